"""Logical line -> statements. Never raises; memoised per line.

Promises: ``Line.raw`` is the text that was given; the same text gives the same (shared) line. Refuses to know: what
defines and macro arguments stand for (`Opaque`), which branch of an ``if`` is taken, which processor is meant.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Generic, TypeVar

from nayru_lsp.asm.expressions import closing, kind_of, parse_expression, parse_operand, split, trim
from nayru_lsp.asm.isa import MNEMONICS
from nayru_lsp.asm.lexer import DATA_ROW, EXPANDABLE, Code, scan, segments
from nayru_lsp.asm.syntax import (
    Assignment,
    Define,
    Dialect,
    Directive,
    Expr,
    Instruction,
    Label,
    Line,
    MacroCall,
    Opaque,
    OpaqueExpr,
    Operand,
    OperandShape,
    Statement,
)
from nayru_lsp.asm.words import DIRECTIVES, EXPRESSIONS, SPC700, SUPERFX

MAX_LINE = 200_000      # code points; a longer logical line is one opaque statement
MAX_STATEMENTS = 20_000

_LABEL = re.compile(
    r"(#?)((?:\?)?(?:[A-Za-z_][\w.]*(?=:)|\.+\w+|\++(?=:?(?:[ \t]|\Z))|-+(?=:?(?:[ \t]|\Z)))):?(?=[ \t]|\Z)", re.ASCII)
_DEFINE = re.compile(r"!(\^*(\w+)|\{(\w+)\})[ \t]+(=|\+=|:=|#=|\?=)(?=[ \t]|\Z)", re.ASCII)
_MACRO = re.compile(r"%(\w+)[ \t]*(?=\()", re.ASCII)
_ASSIGN = re.compile(r"(\??[A-Za-z_]\w*)[ \t]+=(?=[ \t]|\Z)", re.ASCII)
_WORD = re.compile(r"@?([A-Za-z_][\w]*)(?:\.([^ \t(\[]+))?(?=[ \t(\[]|\Z)", re.ASCII)
_CHARACTER = re.compile(r"'\0'[ \t]+=|'[^\r\n]'[ \t]+=")
_FIRST = re.compile(r"[^ \t]+")

_OTHER_MNEMONICS = (SPC700 | SUPERFX) - frozenset(MNEMONICS)
_MOVES = frozenset({"MVN", "MVP"})

_K = TypeVar("_K")
_V = TypeVar("_V")


class Memo(Generic[_K, _V]):
    """A bounded memo in two generations: what was not asked for during the last ``size`` new entries is dropped."""

    __slots__ = ("_make", "_old", "_size", "_young")

    def __init__(self, make: Callable[[_K], _V], size: int) -> None:
        self._make = make
        self._size = size
        self._young: dict[_K, _V] = {}
        self._old: dict[_K, _V] = {}

    def __call__(self, key: _K) -> _V:
        found = self._young.get(key)
        if found is None:
            found = self._old.get(key)
            if found is None:
                found = self._make(key)
            if len(self._young) >= self._size:
                self._old, self._young = self._young, {}
            self._young[key] = found
        return found

    def __len__(self) -> int:
        return len(self._young) + len(self._old)


def _parse(raw: str, dialect: Dialect) -> Line:
    code = scan(raw, dialect)
    if DATA_ROW.match(raw) and code.rows == 1:
        return Line(raw, (_plain_data(code.code),), code.comment, 1)
    statements = tuple(parse_statements(code))
    defect = code.defect
    if defect is None:
        defect = _unbalanced(code, statements)
    return Line(raw, statements, code.comment, code.rows, defect)


def _plain_data(code: str) -> Directive:
    """A row of plain numbers: its arguments are parsed on demand (`data_arguments`)."""
    start, end = trim(code, 0, len(code))
    text_start, _ = trim(code, start + 2, end)
    return Directive(start, end, code[start:start + 2].lower(), start + 2, (), text_start, end)


_lines_1: Memo[str, Line] = Memo(lambda raw: _parse(raw, Dialect.ASAR_1), 40_000)
_lines_2: Memo[str, Line] = Memo(lambda raw: _parse(raw, Dialect.ASAR_2), 40_000)


def parse_line(raw: str, dialect: Dialect = Dialect.ASAR_1) -> Line:
    """One logical line (with or without its line end). Shared: equal text gives the same object while remembered."""
    if len(raw) > 2_000:
        return _parse(raw, dialect)
    return _lines_1(raw) if dialect is Dialect.ASAR_1 else _lines_2(raw)


def data_arguments(line: Line, directive: Directive) -> tuple[Expr, ...]:
    """The arguments of a directive, also of a plain data row, whose ``arguments`` are left empty for speed."""
    if directive.arguments or directive.name not in EXPRESSIONS:
        return directive.arguments
    code = scan(line.raw)
    return tuple(parse_expression(code.code, code.masked, start, end)
                 for start, end in split(code.masked, directive.text_start, directive.text_end))


def parse_statements(code: Code) -> list[Statement]:
    text, masked = code.code, code.masked
    out: list[Statement] = []
    if len(text) > MAX_LINE or code.torn:
        start, end = trim(text, 0, len(text))
        return [Opaque(start, end, EXPANDABLE.search(text) is not None)] if start < end else []
    for start, end in segments(masked):
        if len(out) > MAX_STATEMENTS:
            out.append(Opaque(start, len(masked.rstrip()), False))
            break
        while start < end:
            label = _LABEL.match(masked, start, end)
            if label is None:
                break
            name = label.group(2)
            out.append(Label(start, label.end(), name, kind_of(name), bool(label.group(1))))
            start, _ = trim(masked, label.end(), end)
        if start < end:
            out.append(_statement(text, masked, start, end))
    return out


def _statement(code: str, masked: str, start: int, end: int) -> Statement:
    first = masked[start]
    if first == "!":
        return _define(code, masked, start, end)
    if first == "%":
        return _macro_call(code, masked, start, end)
    if first in "{}" and end == start + 1:
        return Directive(start, end, first, end, (), end, end)
    if first == "'":
        match = _CHARACTER.match(masked, start, end)
        if match is not None:
            at, _ = trim(code, match.end(), end)
            return Directive(start, end, "'", start + 3, (parse_expression(code, masked, at, end),), at, end)
        return Opaque(start, end, EXPANDABLE.search(code, start, end) is not None)
    assign = _ASSIGN.match(masked, start, end)
    if assign is not None:
        at, _ = trim(code, assign.end(), end)
        value = parse_expression(code, masked, at, end)
        return Assignment(start, end, assign.group(1), start + len(assign.group(1)), value)
    word = _WORD.match(masked, start, end)
    if word is None:
        return Opaque(start, end, EXPANDABLE.search(code, start, end) is not None)
    name, suffix = word.group(1), word.group(2)
    lower = name.lower()
    if suffix is None and lower in DIRECTIVES and (lower != "rep" or not _is_instruction(masked, word.end(), end)):
        return _directive(code, masked, start, end, lower, word.end(1))
    upper = name.upper()
    at, _ = trim(masked, word.end(), end)
    if upper in MNEMONICS:
        operand = parse_operand(code, masked, at, end, upper in _MOVES)
        return Instruction(start, end, upper, word.end(1), (suffix or "").lower(), operand)
    if upper in _OTHER_MNEMONICS:
        return Instruction(start, end, upper, word.end(1), (suffix or "").lower(), _foreign(code, at, end))
    return Opaque(start, end, _first_word_expands(code, start, end))


def _first_word_expands(code: str, start: int, end: int) -> bool:
    """An unknown word may be anything once a define or an argument is glued to it, not when one merely follows."""
    match = _FIRST.match(code, start, end)
    return match is not None and EXPANDABLE.search(code, start, match.end()) is not None


def _foreign(code: str, start: int, end: int) -> Operand | None:
    if start >= end:
        return None
    text = code[start:end]
    expandable = EXPANDABLE.search(text) is not None
    return Operand(start, end, OperandShape.OPAQUE, OpaqueExpr(start, end, text, expandable), None)


def _is_instruction(masked: str, at: int, end: int) -> bool:
    """``rep #$30`` against the old directive ``rep 5``."""
    at, _ = trim(masked, at, end)
    return at >= end or masked[at] in "#!<"


def _define(code: str, masked: str, start: int, end: int) -> Statement:
    match = _DEFINE.match(masked, start, end)
    if match is None:
        return Opaque(start, end, True)
    at, _ = trim(code, match.end(), end)
    group = 2 if match.group(2) is not None else 3
    return Define(start, end, match.group(group), match.start(group), match.end(group), match.group(4), at, end)


def _macro_call(code: str, masked: str, start: int, end: int) -> Statement:
    match = _MACRO.match(masked, start, end)
    if match is None:
        return Opaque(start, end, EXPANDABLE.search(code, start, end) is not None)
    close = closing(masked, match.end(), end)
    if close < 0 or close != end - 1:
        return Opaque(start, end, EXPANDABLE.search(code, start, end) is not None)
    arguments = tuple(split(masked, match.end() + 1, close))
    return MacroCall(start, end, match.group(1), match.start(1), match.end(1), arguments)


def _directive(code: str, masked: str, start: int, end: int, name: str, name_end: int) -> Statement:
    at, _ = trim(code, name_end, end)
    arguments: tuple[Expr, ...] = ()
    if name in EXPRESSIONS:
        arguments = tuple(parse_expression(code, masked, one, two) for one, two in split(masked, at, end))
    return Directive(start, end, name, name_end, arguments, at, end)


def _unbalanced(code: Code, statements: tuple[Statement, ...]) -> tuple[int, int, str] | None:
    masked = code.masked
    if masked.count("(") == masked.count(")") or EXPANDABLE.search(code.code) is not None:
        return None
    for statement in statements:
        if isinstance(statement, Instruction | MacroCall | Opaque | Directive):
            span = masked[statement.start:statement.end]
            if span.count("(") > span.count(")"):
                at = statement.start + span.rfind("(")
                return at, statement.end, "this parenthesis is not closed: add `)`"
    return None
