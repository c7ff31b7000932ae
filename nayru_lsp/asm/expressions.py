"""Expressions and operands: text -> trees. Total; what it does not know becomes `OpaqueExpr`."""

from __future__ import annotations

import re

from nayru_lsp.asm.lexer import EXPANDABLE
from nayru_lsp.asm.syntax import (
    Binary,
    Call,
    Char,
    Expr,
    Group,
    LabelKind,
    Name,
    Number,
    OpaqueExpr,
    Operand,
    OperandShape,
    String,
    Unary,
)

MAX_DEPTH = 40          # nesting; deeper text is opaque
MAX_LENGTH = 20_000     # code points of one expression
MAX_OPERATORS = 300     # of one expression: a chain of terms is a tree as deep as it is long, and readers recurse

_NAME = r"\??\.*[A-Za-z_]\w*(?:\[[^\[\]]*\])?(?:\.\w+(?:\[[^\[\]]*\])?)*|\??\.+\w+"
_SIMPLE = re.compile(rf"(?:\$([0-9A-Fa-f]+)|([0-9]+)|({_NAME}))\Z", re.ASCII)
_ATOM = re.compile(
    rf"""[ \t]*+(?:
      (?P<hex>\$[0-9A-Fa-f]+) | (?P<bin>%[01]+(?!\w)) | (?P<dec>[0-9]+(?:\.[0-9]+)?)
    | (?P<name>{_NAME})
    | (?P<string>"[^"]*") | (?P<char>'[^\r\n]')
    | (?P<relative>(?:\?)?(?:\++|-+)(?=[ \t]*(?:\)|,|\Z)))
    | (?P<unary><:|[-+~]) | (?P<open>\() )""", re.VERBOSE | re.ASCII)
_OPERATOR = re.compile(r"[ \t]*+(\*\*|<<|>>|<=|>=|==|!=|&&|\|\||[-+*/%&|^<>=])")
_OPERATOR_SIGN = re.compile(r"[-+*/%&|^<>=~]")
_CALL = re.compile(r"[ \t]*\(")
_LEVEL = {
    "**": 7, "*": 6, "/": 6, "%": 6, "+": 5, "-": 5, "<<": 4, ">>": 4, "&": 3, "|": 3, "^": 3,
    "==": 2, "!=": 2, "<": 2, ">": 2, "<=": 2, ">=": 2, "=": 2, "&&": 1, "||": 1,
}
_INDEX = re.compile(r"[ \t]*,[ \t]*([xXyYsS])[ \t]*\Z")


class _Unknown(Exception):
    """This text is no expression that we know. Never leaves this module."""


def kind_of(name: str) -> LabelKind:
    if name.startswith("?"):
        rest = name[1:2]
        if rest == ".":
            return LabelKind.MACRO_SUB
        return LabelKind.MACRO_RELATIVE if rest in ("+", "-") else LabelKind.MACRO_MAIN
    if name[0] == ".":
        return LabelKind.SUB
    return LabelKind.RELATIVE if name[0] in "+-" else LabelKind.MAIN


def parse_expression(code: str, masked: str, start: int, end: int) -> Expr:
    """The expression in ``code[start:end]``; ``masked`` is the same text with string insides masked."""
    text = code[start:end]
    simple = _SIMPLE.match(text)
    if simple is not None and len(text) < 200:
        if simple.lastindex == 1:
            digits = simple.group(1)
            return Number(start, end, int(digits, 16), 16, len(digits))
        if simple.lastindex == 2:
            return Number(start, end, int(text), 10, len(text))
        return Name(start, end, text, kind_of(text))
    if EXPANDABLE.search(text) is not None:
        return OpaqueExpr(start, end, text, True)
    if not text.strip() or len(text) > MAX_LENGTH or (
            len(text) > MAX_OPERATORS and len(_OPERATOR_SIGN.findall(text)) > MAX_OPERATORS):
        return OpaqueExpr(start, end, text, False)
    try:
        tree, at = _binary(code, masked, start, end, 0, 0)
    except _Unknown:
        return OpaqueExpr(start, end, text, False)
    if code[at:end].strip():
        return OpaqueExpr(start, end, text, False)
    return tree


def _binary(code: str, masked: str, at: int, end: int, level: int, depth: int) -> tuple[Expr, int]:
    if depth > MAX_DEPTH:
        raise _Unknown
    left, at = _atom(code, masked, at, end, depth)
    while True:
        match = _OPERATOR.match(code, at, end)
        if match is None:
            return left, at
        operator = match.group(1)
        strength = _LEVEL[operator]
        if strength <= level:
            return left, at
        right, at = _binary(code, masked, match.end(), end, strength, depth + 1)
        left = Binary(left.start, right.end, operator, left, right)


def _atom(code: str, masked: str, at: int, end: int, depth: int) -> tuple[Expr, int]:
    if depth > MAX_DEPTH:
        raise _Unknown
    match = _ATOM.match(code, at, end)
    if match is None:
        raise _Unknown
    kind = match.lastgroup
    start, stop = match.span(kind or 0)
    text = code[start:stop]
    if kind == "hex":
        return Number(start, stop, int(text[1:], 16), 16, stop - start - 1), stop
    if kind == "name":
        called = _CALL.match(code, stop, end)
        if called is not None and text[0] not in ".?":
            close = closing(masked, called.end() - 1, end)
            if close < 0:
                raise _Unknown
            arguments = tuple(
                _whole(code, masked, first, last, depth + 1) for first, last in split(masked, called.end(), close))
            return Call(start, close + 1, text, arguments), close + 1
        return Name(start, stop, text, kind_of(text)), stop
    if kind == "dec":
        value = float(text) if "." in text else int(text) if len(text) < 40 else 0
        return Number(start, stop, value, 10, stop - start), stop
    if kind == "bin":
        return Number(start, stop, int(text[1:], 2), 2, stop - start - 1), stop
    if kind == "string":
        return String(start, stop, text[1:-1]), stop
    if kind == "char":
        return Char(start, stop, text[1]), stop
    if kind == "relative":
        return Name(start, stop, text, kind_of(text)), stop
    if kind == "unary":
        inner, stop = _atom(code, masked, stop, end, depth + 1)
        return Unary(start, inner.end, text, inner), stop
    close = closing(masked, start, end)
    if close < 0:
        raise _Unknown
    return Group(start, close + 1, _whole(code, masked, start + 1, close, depth + 1)), close + 1


def _whole(code: str, masked: str, start: int, end: int, depth: int) -> Expr:
    tree, at = _binary(code, masked, start, end, 0, depth)
    if code[at:end].strip():
        raise _Unknown
    return tree


_BRACKETS = re.compile(r"[()\[\]]")


def closing(masked: str, at: int, end: int) -> int:
    """Index of the bracket that closes the one at ``at``, or -1."""
    opener = masked[at]
    closer = ")" if opener == "(" else "]"
    depth = 0
    for match in _BRACKETS.finditer(masked, at, end):
        bracket = match.group()
        if bracket == opener:
            depth += 1
        elif bracket == closer:
            depth -= 1
            if depth == 0:
                return match.start()
    return -1


_SPLIT = re.compile(r"[(),]")


def split(masked: str, start: int, end: int) -> list[tuple[int, int]]:
    """Spans between commas outside parentheses (and strings, which are masked), trimmed; empty text gives none."""
    if not masked[start:end].strip():
        return []
    out = []
    depth = 0
    first = start
    for match in _SPLIT.finditer(masked, start, end):
        mark = match.group()
        if mark == "(":
            depth += 1
        elif mark == ")":
            depth = max(0, depth - 1)
        elif depth == 0:
            out.append(trim(masked, first, match.start()))
            first = match.end()
    out.append(trim(masked, first, end))
    return out


def trim(text: str, start: int, end: int) -> tuple[int, int]:
    while start < end and text[start] in " \t\r\n\f\v":
        start += 1
    while start < end and text[end - 1] in " \t\r\n\f\v":
        end -= 1
    return start, end


_SHAPE_OF_INDEX = {"x": OperandShape.INDEXED_X, "y": OperandShape.INDEXED_Y, "s": OperandShape.INDEXED_S}


def parse_operand(code: str, masked: str, start: int, end: int, move: bool) -> Operand | None:
    """The operand in ``code[start:end]`` (trimmed); None where there is none. ``move``: of MVN or MVP."""
    if start >= end:
        return None
    first = code[start]
    if first == "#":
        inside, stop = trim(code, start + 1, end)
        value = parse_expression(code, masked, inside, stop)
        shape = OperandShape.OPAQUE if isinstance(value, OpaqueExpr) else OperandShape.IMMEDIATE
        return Operand(start, end, shape, value, None)
    text = code[start:end]
    if text in ("A", "a"):
        return Operand(start, end, OperandShape.ACCUMULATOR, None, None)
    if EXPANDABLE.search(text) is not None:
        return Operand(start, end, OperandShape.OPAQUE, OpaqueExpr(start, end, text, True), None)
    if first in "([":
        bracketed = _bracketed(code, masked, start, end)
        if bracketed is not None:
            return bracketed
    shape = OperandShape.PLAIN
    stop = end
    index = _INDEX.search(masked, start, end)
    if index is not None:
        shape = _SHAPE_OF_INDEX[index.group(1).lower()]
        stop = index.start()
    if "," in text and not (index is not None and "," not in masked[start:stop]):
        spans = split(masked, start, stop)
        if move and len(spans) == 2 and index is None:
            return _operand(start, end, OperandShape.MOVE, *(
                parse_expression(code, masked, one, two) for one, two in spans))
        if len(spans) > 1:
            return Operand(start, end, OperandShape.OPAQUE, OpaqueExpr(start, end, text, False), None)
    return _operand(start, end, shape, parse_expression(code, masked, *trim(code, start, stop)))


def _bracketed(code: str, masked: str, start: int, end: int) -> Operand | None:
    close = closing(masked, start, end)
    if close < 0:
        return Operand(start, end, OperandShape.OPAQUE, OpaqueExpr(start, end, code[start:end], False), None)
    rest = code[close + 1:end].replace(" ", "").replace("\t", "").lower()
    inside, stop = trim(code, start + 1, close)
    if code[start] == "[":
        if rest not in ("", ",y"):
            return Operand(start, end, OperandShape.OPAQUE, OpaqueExpr(start, end, code[start:end], False), None)
        shape = OperandShape.LONG_INDIRECT_Y if rest else OperandShape.LONG_INDIRECT
        return _operand(start, end, shape, parse_expression(code, masked, inside, stop))
    if rest not in ("", ",y"):
        return None
    index = _INDEX.search(masked, inside, stop)
    register = index.group(1).lower() if index is not None else ""
    if index is not None:
        stop = index.start()
    shapes = {
        ("", ""): OperandShape.INDIRECT, ("x", ""): OperandShape.INDIRECT_X,
        ("", ",y"): OperandShape.INDIRECT_Y, ("s", ",y"): OperandShape.STACK_INDIRECT_Y,
    }
    known = shapes.get((register, rest), OperandShape.OPAQUE)
    return _operand(start, end, known, parse_expression(code, masked, *trim(code, inside, stop)))


def _operand(start: int, end: int, shape: OperandShape, value: Expr, second: Expr | None = None) -> Operand:
    if isinstance(value, OpaqueExpr) or isinstance(second, OpaqueExpr):
        shape = OperandShape.OPAQUE
    return Operand(start, end, shape, value, second)
