"""NAY001 unclosed quote or parenthesis, NAY101 unknown word, NAY102 no such addressing mode, NAY103 unknown width
suffix, NAY105 a number as other languages write it, NAY106 no form of that width."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from nayru_lsp.asm.encode import SUFFIXES, literal_width, select
from nayru_lsp.asm.file import ParsedBlock
from nayru_lsp.asm.isa import MNEMONICS, modes_for
from nayru_lsp.asm.lexer import EXPANDABLE
from nayru_lsp.asm.problem import Fix, Problem, Severity
from nayru_lsp.asm.project import ParsedFile, Project
from nayru_lsp.asm.statements import Memo, parse_line
from nayru_lsp.asm.symbols import BlockIndex
from nayru_lsp.asm.syntax import (
    Dialect,
    Directive,
    Expr,
    Instruction,
    Line,
    Opaque,
    OpaqueExpr,
    OperandShape,
    Statement,
)
from nayru_lsp.asm.text import Span
from nayru_lsp.asm.words import DATA, DIRECTIVES

_SHAPES = {
    OperandShape.NONE: "without an operand", OperandShape.ACCUMULATOR: "on the accumulator",
    OperandShape.IMMEDIATE: "with an immediate (#)", OperandShape.PLAIN: "on an address",
    OperandShape.INDEXED_X: "indexed by X", OperandShape.INDEXED_Y: "indexed by Y",
    OperandShape.INDEXED_S: "indexed by S", OperandShape.INDIRECT: "through (address)",
    OperandShape.INDIRECT_X: "through (address,X)", OperandShape.INDIRECT_Y: "through (address),Y",
    OperandShape.STACK_INDIRECT_Y: "through (offset,S),Y", OperandShape.LONG_INDIRECT: "through [address]",
    OperandShape.LONG_INDIRECT_Y: "through [address],Y", OperandShape.MOVE: "with two operands",
}
# One edit away from a word of the language, and nothing else that Asar knows begins like this.
_WORDS = sorted({*MNEMONICS, *(word.upper() for word in DIRECTIVES | DATA if len(word) > 2)})

_ADDRESSED = frozenset(_SHAPES) - {
    OperandShape.NONE, OperandShape.ACCUMULATOR, OperandShape.IMMEDIATE, OperandShape.MOVE}
_FORMS = {1: "8-bit (direct page)", 2: "16-bit (absolute)", 3: "24-bit (long)"}

_OTHER_HEX = re.compile(r"(?<![\w.$])0[xX]([0-9A-Fa-f]+)(?!\w)")

Finding = tuple[int, int, str, Severity, str, tuple[tuple[int, int, str], ...]]


def check(project: Project, file: ParsedFile) -> Iterator[Problem]:
    foreign = project.foreign(file.path)
    for start, block, index in file.indexes:
        key = ("instructions", index.entry, foreign)
        found = block.notes.get(key)
        if found is None:
            found = block.notes[key] = tuple(_block(block, index, file.dialect, foreign))
        assert isinstance(found, tuple)
        for low, high, code, severity, message, edits in found:
            fixes = tuple(Fix(f"Change to {new}", ((Span(start + a, start + b), new),)) for a, b, new in edits)
            yield Problem(file.path, Span(start + low, start + high), code, severity, message, fixes=fixes)


def _block(block: ParsedBlock, index: BlockIndex, dialect: Dialect, foreign: bool) -> Iterable[Finding]:
    scopes, number = index.scopes, 0
    at = 0
    for raw in block.lines:
        while number + 1 < len(scopes) and scopes[number + 1][0] <= at:
            number += 1
        scope = scopes[number][1]
        if not scope.macro and not scope.conditions and scope.arch == "65816" and not raw.isspace():
            for low, high, code, severity, message, edits in findings((raw, dialect)):
                if code == "NAY001" or not foreign:
                    yield (at + low, at + high, code, severity, message,
                           tuple((at + one, at + two, new) for one, two, new in edits))
        at += len(raw)


def _of_line(key: tuple[str, Dialect]) -> tuple[Finding, ...]:
    """What is wrong with one logical line by itself, positions relative to it."""
    line = parse_line(*key)
    if line.defect is not None:
        low, high, message = line.defect
        return ((low, high, "NAY001", Severity.ERROR, message, ()),)
    return () if _conditional(line) else tuple(_line(line, 0))


findings: Memo[tuple[str, Dialect], tuple[Finding, ...]] = Memo(_of_line, 30_000)


def _conditional(line: Line) -> bool:
    """A condition and what hangs on it, on one line."""
    return len(line.statements) > 1 and any(
        isinstance(statement, Directive) and statement.name in ("if", "elseif", "while", "for", "else")
        for statement in line.statements)


def _line(line: Line, at: int) -> Iterable[Finding]:
    for statement in line.statements:
        match statement:
            case Instruction() if statement.mnemonic in MNEMONICS:
                yield from _instruction(line, statement, at)
            case Opaque(expandable=False):
                yield from _word(line, statement, at)
        if "x" in line.raw or "X" in line.raw:
            yield from _numbers(statement, at)


def _numbers(statement: Statement, at: int) -> Iterable[Finding]:
    """``0x80``: Asar knows ``$80`` only, and says "unknown operator"."""
    exprs: tuple[Expr | None, ...] = ()
    if isinstance(statement, Instruction):
        exprs = (statement.operand.value,) if statement.operand is not None else ()
    elif isinstance(statement, Directive):
        exprs = statement.arguments
    for expr in exprs:
        if isinstance(expr, OpaqueExpr) and not expr.expandable and '"' not in expr.text and "'" not in expr.text:
            for match in _OTHER_HEX.finditer(expr.text):
                low = at + expr.start + match.start()
                high = low + len(match.group())
                yield (low, high, "NAY105", Severity.ERROR, f"Asar writes this number ${match.group(1)}",
                       ((low, high, "$" + match.group(1)),))


def _instruction(line: Line, statement: Instruction, at: int) -> Iterable[Finding]:
    name, suffix = statement.mnemonic, statement.suffix
    if suffix and suffix not in ("b", "w", "l", "d", "a", "r"):
        if EXPANDABLE.search(line.raw) is None:
            low = at + statement.mnemonic_end
            yield (low, low + 1 + len(suffix), "NAY103", Severity.ERROR,
                   f"there is no width suffix .{suffix}: use .b, .w or .l", ())
        return
    shape = statement.operand.shape if statement.operand is not None else OperandShape.NONE
    if shape is OperandShape.OPAQUE or (name == "REP" and suffix):      # rep.b 5 : nop is the old command
        return
    if shape is OperandShape.ACCUMULATOR and not modes_for(name, shape) and modes_for(name, OperandShape.PLAIN):
        return      # a label may be called `a`
    if modes_for(name, shape):
        yield from _width(statement, shape, at)
        return
    have = _possible(name)
    yield (at + statement.start, at + statement.end, "NAY102", Severity.ERROR,
           f"{name} does not work {_SHAPES[shape]}; it works {have}", ())


def _width(statement: Instruction, shape: OperandShape, at: int) -> Iterable[Finding]:
    name, suffix, operand = statement.mnemonic, statement.suffix, statement.operand
    if operand is None or operand.value is None or shape not in _ADDRESSED or (suffix and suffix not in SUFFIXES):
        return
    width = SUFFIXES.get(suffix) or literal_width(operand.value)
    if width is not None and select(name, shape, suffix, width) is None:
        yield (at + statement.start, at + statement.end, "NAY106", Severity.ERROR,
               f"{name} has no {_FORMS[width]} form {_SHAPES[shape]}", ())


def _possible(name: str) -> str:
    shapes = [text for shape, text in _SHAPES.items() if modes_for(name, shape)]
    return shapes[0] if len(shapes) == 1 else ", ".join(shapes[:-1]) + f" or {shapes[-1]}"


def _word(line: Line, statement: Opaque, at: int) -> Iterable[Finding]:
    text = line.raw[statement.start : statement.end]
    first = text.split(None, 1)[0] if text.split() else ""
    word = first.partition(".")[0]
    if not (2 <= len(word) <= 12 and word.isascii() and word.isalpha()) or EXPANDABLE.search(text) is not None:
        return
    upper = word.upper()
    near = [other for other in _WORDS if one_edit(upper, other)]
    if len(upper) > 4:
        near = [other for other in near if len(other) > 4]
    elif len(upper) == 3:
        near = [other for other in near if len(other) == 3] or near
    if not near:
        return
    shown = [other if upper == word else other.lower() for other in near[:3]]
    low = at + statement.start
    yield (low, low + len(word), "NAY101", Severity.ERROR,
           f"{word} is no mnemonic or command; did you mean {' or '.join(shown)}?",
           tuple((low, low + len(word), other) for other in shown))


def one_edit(a: str, b: str) -> bool:
    """One letter changed, added, left out, or two neighbours swapped."""
    if abs(len(a) - len(b)) > 1 or a == b:
        return False
    if len(a) == len(b):
        different = [i for i in range(len(a)) if a[i] != b[i]]
        if len(different) == 1:
            return True
        return len(different) == 2 and different[1] == different[0] + 1 and a[different[0]] == b[different[1]] \
            and a[different[1]] == b[different[0]]
    short, long = sorted((a, b), key=len)
    return any(long[:i] + long[i + 1 :] == short for i in range(len(long)))
