"""Candidate text -> Verdict: what our own analysis and the plugins say of it, in its place.

Our own judge objects to what is certainly wrong: words it does not know, modes a mnemonic does not have, immediates of
the other width, characters that cannot be seen, names that nothing defines or could make, an ``org`` that no ROM byte
answers to, labels defined twice, blocks left open. Asar (a plugin) judges too where it is there in time; when it is
late or absent the verdict says so.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator

from nayru_lsp.asm.checks.widths import contradiction, too_large
from nayru_lsp.asm.cost import cost
from nayru_lsp.asm.encode import size_of
from nayru_lsp.asm.evaluate import evaluate
from nayru_lsp.asm.flow import UNKNOWN, Elsewhere, WidthState, routine_states
from nayru_lsp.asm.isa import MNEMONICS, modes_for
from nayru_lsp.asm.mapping import MappingMode, to_rom
from nayru_lsp.asm.parser import data_arguments, parse_text
from nayru_lsp.asm.project import ParsedFile, Project
from nayru_lsp.asm.symbols import BlockIndex, Reference, Symbol, index_block, references_of
from nayru_lsp.asm.syntax import (
    Assignment,
    Define,
    Directive,
    Instruction,
    Label,
    Line,
    Number,
    Opaque,
    OperandShape,
    Statement,
    String,
)
from nayru_lsp.asm.text import Span
from nayru_lsp.asm.words import BUILT_IN_DEFINES, DATA, FREESPACE, MAPPERS, OPENERS, PRINT_WORDS
from nayru_lsp.contract import Reason, Verdict
from nayru_lsp.plugins import Plugins
from nayru_lsp.snapshot import Snapshot

OWN = "nayru"
_UNIT = {"db": 1, "dw": 2, "dl": 3, "dd": 4}
# Control characters, halves of surrogate pairs, and what makes text read in another order than it is assembled.
_UNSHOWN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_CLOSERS = {closer: opener for opener, closer in OPENERS.items()}
_SIZELESS = frozenset({"{", "}", "print", "warn", "assert", "namespace", "pushns", "pullns", "global", "undef", "check",
                       "warnings", "optimize", "dpbase", "bank", "function", "arch"})


async def verify(snapshot: Snapshot, file: ParsedFile, span: Span, text: str, *, plugins: Plugins | None,
                 deadline: float) -> Verdict:
    """Judge ``text`` put in place of ``span``. ``deadline`` (seconds) bounds the plugins, not our own analysis."""
    own = judge(snapshot.project, file, span, text)
    if plugins is None or not text.strip():
        return own
    asked = plugins.implementers("nayru_verify")
    if not asked:
        return own
    begun = time.monotonic()
    results = dict(await plugins.gather(
        "nayru_verify", deadline=deadline, snapshot=snapshot, file=file, span=span, text=text))
    late = time.monotonic() - begun >= 0.9 * deadline
    heard = [verdict for verdict in results.values() if isinstance(verdict, Verdict)]
    why = f"late ({1000 * deadline:.0f} ms)" if late else "gave no verdict"
    absent = tuple(f"{name}: {why}" for name in asked if not isinstance(results.get(name), Verdict))
    return _merge(own, heard, absent, len(text))


def _merge(own: Verdict, others: list[Verdict], absent: tuple[str, ...], length: int) -> Verdict:
    """The strictest of all: the text is good as far as everybody says so. An assembler's size beats ours."""
    everyone = [own, *others]
    sizes = [verdict.size for verdict in (*others, own) if verdict.size is not None]
    judged = [verdict for verdict in everyone if verdict.judges]
    ok = all(verdict.ok for verdict in judged)
    return Verdict(
        ok=ok, good=length if ok else max(0, min(length, *(verdict.good for verdict in judged if not verdict.ok))),
        judges=tuple(dict.fromkeys(name for verdict in judged for name in verdict.judges)),
        reasons=tuple(reason for verdict in everyone for reason in verdict.reasons),
        absent=(*(name for verdict in everyone for name in verdict.absent), *absent),
        size=sizes[0] if sizes else None, cycles=own.cycles)


def judge(project: Project, file: ParsedFile, span: Span, text: str) -> Verdict:
    """Our own verdict. Pure. What is read anew is the candidate's lines; the file's other lines are shared."""
    new = parse_text(file.path, file.text.replace(span, text), file.dialect, previous=file)
    start, end = span.start, span.start + len(text)
    lines = list(_lines(new, start, end))
    first = lines[0][0]
    scope = file.scope_at(span.start)       # the text above is the same in both
    raws = [line.raw for _, line in lines]
    index = index_block(raws, scope, file.dialect)
    reasons: list[tuple[int, int, str, str]] = []
    states: list[tuple[int, Statement, WidthState]] = []
    if scope.arch == "65816":
        for at, line in lines:
            reasons.extend(_line(at, line))
        if index.calls or index.makers or any(symbol.kind in ("define", "macro") for symbol in index.symbols):
            project = project.with_file(new)
        for reference in references_of(raws, index, file.dialect):
            low, high = first + reference.span.start, first + reference.span.end
            if reference.sure and start <= low < end and not _known(project, index, reference):
                what = {"macro": "macro", "define": "define"}.get(reference.kind, "label")
                reasons.append((low, high, "NAY401",
                                f"there is no {what} {reference.name.lstrip('%')} in this project"))
        states = _states(new, start, end, None)
        reasons.extend(_widths(project, new, start, end, states))
    reasons.extend(_origins(project, file, lines))
    reasons.extend(_blocks(lines))
    reasons.extend(_twice(project, file, span, index, first, start, end))
    for found in _UNSHOWN.finditer(text):
        reasons.append((start + found.start(), start + found.end(), "NAY001",
                        f"U+{ord(found[0]):04X} has no place in a source"))
    clipped = sorted((max(0, low - start), min(len(text), high - start), code, message)
                     for low, high, code, message in reasons if high > start and low < end)
    size, cycles = _cost(lines, states, start, end) if not clipped else (None, None)
    return Verdict(
        ok=not clipped, good=_good(text, clipped), judges=(OWN,), size=size, cycles=cycles,
        reasons=tuple(Reason(code, message, Span(low, max(low, high))) for low, high, code, message in clipped))


def _good(text: str, reasons: list[tuple[int, int, str, str]]) -> int:
    """The longest prefix of whole lines before the first bad one."""
    if not reasons:
        return len(text)
    return text.rfind("\n", 0, min(low for low, _, _, _ in reasons)) + 1


def _lines(file: ParsedFile, start: int, end: int) -> Iterator[tuple[int, Line]]:
    at, line = file.line_at(start)
    while True:
        yield at, line
        following = at + len(line.raw)
        if following >= end or not line.raw:
            return
        at, line = file.line_at(following)


def _line(at: int, line: Line) -> Iterator[tuple[int, int, str, str]]:
    if line.defect is not None:
        low, high, message = line.defect
        yield at + low, at + high, "NAY001", message
        return
    for statement in line.statements:
        low, high = at + statement.start, at + statement.end
        match statement:
            case Opaque(expandable=False):
                word = line.raw[statement.start : statement.end].split(None, 1)[0]
                yield low, high, "NAY101", f"{word[:40]} is no mnemonic, command or label"
            case Instruction() if statement.mnemonic in MNEMONICS:
                shape = statement.operand.shape if statement.operand is not None else OperandShape.NONE
                if statement.suffix not in ("", "b", "w", "l") and "!" not in line.raw and "<" not in line.raw:
                    yield low, high, "NAY103", f"there is no width suffix .{statement.suffix}"
                elif shape is not OperandShape.OPAQUE and not modes_for(statement.mnemonic, shape):
                    yield low, high, "NAY102", f"{statement.mnemonic} has no such addressing mode"
                elif shape is OperandShape.IMMEDIATE and _wide(statement):
                    yield low, high, "NAY202", "an immediate has at most 16 bits: Asar keeps the low ones only"
                elif shape is OperandShape.OPAQUE and statement.operand is not None \
                        and not getattr(statement.operand.value, "expandable", True):
                    yield low, high, "NAY104", "this operand is no expression that Asar knows"
            case Instruction():
                yield low, high, "NAY101", f"{statement.mnemonic} belongs to another processor"


def _wide(statement: Instruction) -> bool:
    value = statement.operand.value if statement.operand is not None else None
    return isinstance(value, Number) and value.value > 0xFFFF


def _known(project: Project, index: BlockIndex, reference: Reference) -> bool:
    """True unless it is certain that nothing in the project or the candidate defines the name or could make it."""
    name = reference.name
    if reference.kind in ("relative label", "macro label", "function", "struct") or name in PRINT_WORDS:
        return True
    if name in index.by_name or project.defined(name) or (
            reference.namespace and project.defined(f"{reference.namespace}_{name}")):
        return True
    if reference.kind == "define":
        bare = name[1:]
        return bare in BUILT_IN_DEFINES or any(bare == key for root in project.roots for key, _ in root.defines) \
            or project.may_be_made(name)
    if reference.kind == "sub label" and "_" not in name:
        return True     # its main label stands in the including file
    if "." in name:
        return True
    return project.may_be_made(name)


def _widths(project: Project, file: ParsedFile, start: int, end: int,
            states: list[tuple[int, Statement, WidthState]]) -> Iterator[tuple[int, int, str, str]]:
    """Immediates of the other width. A first look takes no label as reached from other files; what it finds must hold
    when they are looked at too."""
    found = [(at, statement) for at, statement, state in states if contradiction(statement, state)]
    sure = {at: state for at, _, state in _states(
        file, start, end, lambda name: project.mentions(name, file.path))} if found else {}
    for at, statement, _ in states:
        message = too_large(statement) or contradiction(statement, sure.get(at, UNKNOWN))
        if message:
            yield at, at + statement.end - statement.start, "NAY201", message


def _states(file: ParsedFile, start: int, end: int, elsewhere: Elsewhere | None) -> list[
        tuple[int, Statement, WidthState]]:
    out: list[tuple[int, Statement, WidthState]] = []
    at = start
    while at < end:
        low, high, states = routine_states(file, at, elsewhere)
        out.extend(item for item in states if start < item[0] + item[1].end - item[1].start and low <= item[0] < end)
        if high <= at or high >= end:
            break
        at = high
    return list(dict.fromkeys(out))


def _origins(project: Project, file: ParsedFile, lines: list[tuple[int, Line]]) -> Iterator[tuple[int, int, str, str]]:
    for at, line in lines:
        for statement in line.statements:
            if isinstance(statement, Directive) and statement.name == "org" and len(statement.arguments) == 1:
                address = evaluate(statement.arguments[0], lambda name: None, file.dialect)
                mode = mapping_mode(project, file)
                if address is not None and mode is not None and to_rom(mode, address) is None:
                    yield (at + statement.start, at + statement.end, "NAY501",
                           f"${address:06X} is no ROM address in {mode.value}")


def mapping_mode(project: Project, file: ParsedFile) -> MappingMode | None:
    """The mapping mode of the only root that reaches ``file``: as configured, else its own mapper command."""
    roots = project.roots_of(file.path)
    names = set()
    for root in roots:
        name = root.mapping_mode
        if not name and root.path in project.files:
            name = _mapper_of(project.files[root.path])
        names.add(name)
    name = names.pop() if len(names) == 1 else _mapper_of(file) if not roots else ""
    return MappingMode(name) if name in {mode.value for mode in MappingMode} else None


def _mapper_of(file: ParsedFile) -> str:
    """The mapper command in the first lines of a file, or ""."""
    for number, (_, line) in enumerate(file.lines()):
        if number > 400:
            break
        for statement in line.statements:
            if isinstance(statement, Directive) and statement.name in MAPPERS:
                return statement.name
    return ""


def _blocks(lines: list[tuple[int, Line]]) -> Iterator[tuple[int, int, str, str]]:
    """What a candidate opens it must close, and the other way round."""
    stack: list[tuple[str, int, int]] = []
    for at, line in lines:
        for statement in line.statements:
            if not isinstance(statement, Directive):
                continue
            place = at + statement.start, at + statement.name_end
            if statement.name in OPENERS:
                stack.append((statement.name, *place))
            elif statement.name in _CLOSERS:
                if stack and stack[-1][0] in (_CLOSERS[statement.name], "while"):
                    stack.pop()
                else:
                    yield *place, "NAY302", f"{statement.name} closes nothing here"
            elif statement.name in FREESPACE:
                yield *place, "NAY502", f"{statement.name} would move the code that follows"
    for name, low, high in stack:
        yield low, high, "NAY301", f"this {name} is never closed"


def _twice(project: Project, old: ParsedFile, span: Span, index: BlockIndex, first: int, start: int, end: int) -> (
        Iterator[tuple[int, int, str, str]]):
    """Names that the candidate defines although they are defined already."""
    seen: set[str] = set()
    for symbol in index.symbols:
        low, high = first + symbol.name_span.start, first + symbol.name_span.end
        if not start <= low < end or symbol.kind not in ("label", "sub label", "assignment", "macro"):
            continue
        name = symbol.name
        elsewhere = not symbol.conditional and any(
            not other.conditional and not (other.path == old.path and span.start <= other.span.start < span.end)
            for other in _old_definitions(project, old, name))
        if elsewhere or name in seen:
            yield low, high, "NAY303", f"{name.lstrip('%')} is defined already"
        seen.add(name)


def _old_definitions(project: Project, old: ParsedFile, name: str) -> Iterator[Symbol]:
    """The definitions of a name without the candidate, even when ``project`` holds the file with it."""
    for symbol in project.definitions(name):
        if symbol.path != old.path:
            yield symbol
    yield from old.definitions(name)


def _cost(lines: list[tuple[int, Line]], states: list[tuple[int, Statement, WidthState]], start: int, end: int) -> (
        tuple[int | None, tuple[int, int] | None]):
    """Bytes and straight-line cycles of what lies in the candidate; None where any part is unknown."""
    state_at = {(at, statement.end - statement.start): state for at, statement, state in states}
    size: int | None = 0
    low = high = 0
    for at, line in lines:
        for statement in line.statements:
            if at + statement.start < start - 12 or at + statement.start >= end:
                continue
            state = state_at.get((at + statement.start, statement.end - statement.start), WidthState())
            match statement:
                case Instruction():
                    part = size_of(statement, state)
                    size = None if size is None or part is None else size + part
                    least, most = cost(statement, state)
                    low, high = low + least, high + most
                case Label() | Assignment() | Define():
                    continue
                case Directive(name=name) if name in DATA:
                    arguments = data_arguments(line, statement)
                    plain = not any(isinstance(argument, String) for argument in arguments)
                    size = size + _UNIT[name] * len(arguments) if plain and size is not None else None
                case Directive(name=name) if name in _SIZELESS:
                    continue
                case _:
                    size = None
    return size, (low, high) if high else None
