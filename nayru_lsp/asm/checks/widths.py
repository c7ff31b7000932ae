"""NAY201 an immediate is written for the other width, NAY202 an immediate does not fit its suffix."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from nayru_lsp.asm.file import ParsedBlock, ParsedFile
from nayru_lsp.asm.flow import WidthState, routine_states, states_of_text
from nayru_lsp.asm.isa import AddressingMode as Mode
from nayru_lsp.asm.isa import Size, opcode_for
from nayru_lsp.asm.problem import Fix, Problem, Severity
from nayru_lsp.asm.project import Project
from nayru_lsp.asm.statements import Memo
from nayru_lsp.asm.symbols import BlockIndex
from nayru_lsp.asm.syntax import Dialect, Instruction, Number, OperandShape, Statement
from nayru_lsp.asm.text import Span

_BITS = {"b": 8, "w": 16}
_NAMES = {"m": "A", "x": "X and Y"}


def immediate_register(statement: Statement) -> Size | None:
    """"m" or "x" where ``statement`` is an immediate whose size follows that flag."""
    if isinstance(statement, Instruction) and statement.operand is not None \
            and statement.operand.shape is OperandShape.IMMEDIATE:
        opcode = opcode_for(statement.mnemonic, Mode.IMMEDIATE)
        if opcode is not None and opcode.size in ("m", "x"):
            return opcode.size
    return None


def written_width(statement: Instruction) -> int | None:
    """The width in bits that Asar will emit for an immediate: by suffix, else by the digits of a plain number."""
    if statement.suffix in _BITS:
        return _BITS[statement.suffix]
    value = statement.operand.value if statement.operand is not None else None
    if statement.suffix or not isinstance(value, Number):
        return None
    if value.base == 16:
        return 8 if value.digits <= 2 else 16
    if value.base == 2:
        return 8 if value.digits <= 8 else 16
    return 8 if value.value <= 0xFF else 16


def contradiction(statement: Statement, state: WidthState) -> str | None:
    """What is wrong with an immediate under a known width state; None when nothing is, or nothing is known."""
    flag = immediate_register(statement)
    if flag is None or not isinstance(statement, Instruction):
        return None
    known = state.m if flag == "m" else state.x
    written = written_width(statement)
    if known is None or written is None or known == written:
        return None
    suffix = "b" if known == 8 else "w"
    plural = "is" if flag == "m" else "are"
    return (f"{_NAMES[str(flag)]} {plural} {known}-bit here, but this immediate is written with {written} bits: "
            f"use {statement.mnemonic}.{suffix}, or change the width before it")


def too_large(statement: Statement) -> str | None:
    """A literal that does not fit the width its suffix asks for."""
    if isinstance(statement, Instruction) and statement.suffix == "b" and immediate_register(statement) is not None:
        assert statement.operand is not None
        value = statement.operand.value
        if isinstance(value, Number) and value.value > 0xFF:
            return f"{value.value:.0f} does not fit 8 bits: Asar keeps the low byte only"
    return None


def _contradictions(key: tuple[str, str, Dialect]) -> tuple[tuple[int, int, str], ...]:
    """Of one routine, calls taken as unknown and no label as reached from outside: a first, cheap look."""
    text, main, dialect = key
    lowered = text.lower()
    if "sep" not in lowered and "rep" not in lowered:
        return ()
    return tuple((start, end, message) for start, end, statement, state in states_of_text(text, main, dialect)
                 if (message := contradiction(statement, state)) is not None)


_first_look: Memo[tuple[str, str, Dialect], tuple[tuple[int, int, str], ...]] = Memo(_contradictions, 4_000)


def check(project: Project, file: ParsedFile) -> Iterator[Problem]:
    if project.foreign(file.path):
        return
    begun, main = 0, ""
    suspects: list[int] = []
    for start, block, index in file.indexes:
        low, high, last, inside = _inside(block, index, file.dialect)
        if low < 0:
            continue
        if _first_look((file.text.slice(begun, start + low), main, file.dialect)):     # runs over a block's border
            suspects.append(begun)
        suspects.extend(start + at for at in inside)
        begun, main = start + high, last
    if _first_look((file.text.slice(begun, file.text.length), main, file.dialect)):
        suspects.append(begun)
    for at in suspects:
        yield from _confirmed(project, file, at)


def _inside(block: ParsedBlock, index: BlockIndex, dialect: Dialect) -> tuple[int, int, str, tuple[int, ...]]:
    """(first main label, last one, its name, suspect routines between them) of a block; (-1, ...) without a label."""
    kept = block.notes.get("widths")
    if kept is None or kept[0] is not index:
        labels = [(symbol.span.start, symbol.short) for symbol in index.symbols if symbol.kind == "label"]
        text = block.text
        found = tuple(start for (start, main), (end, _) in pairwise(labels)
                      if _first_look((text[start:end], main, dialect)))
        kept = block.notes["widths"] = (index, (labels[0][0], *labels[-1], found) if labels else (-1, -1, "", ()))
    answer: tuple[int, int, str, tuple[int, ...]] = kept[1]
    return answer


def _confirmed(project: Project, file: ParsedFile, offset: int) -> Iterator[Problem]:
    """The full analysis of the routine: only what it says too is reported."""
    for start, statement, state in routine_states(file, offset, lambda name: project.mentions(name, file.path))[2]:
        message = contradiction(statement, state)
        scope = file.scope_at(start)
        if message is not None and not scope.macro and not scope.conditions and scope.arch == "65816":
            span = Span(start, start + statement.end - statement.start)
            yield Problem(file.path, span, "NAY201", Severity.WARNING, message, fixes=_fixes(statement, state, start))


def _fixes(statement: Statement, state: WidthState, start: int) -> tuple[Fix, ...]:
    """Write the suffix of the proven width, where the value fits it."""
    assert isinstance(statement, Instruction) and statement.operand is not None
    known = state.m if immediate_register(statement) == "m" else state.x
    value = statement.operand.value
    if known is None or (known == 8 and not (isinstance(value, Number) and value.value <= 0xFF)):
        return ()
    suffix = ".b" if known == 8 else ".w"
    low = start + statement.mnemonic_end - statement.start
    high = low + (1 + len(statement.suffix) if statement.suffix else 0)
    return (Fix(f"Use {statement.mnemonic}{suffix}", ((Span(low, high), suffix),)),)
