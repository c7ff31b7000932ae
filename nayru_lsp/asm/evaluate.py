"""Constant expressions -> int or unknown, in both dialects' arithmetic."""

from __future__ import annotations

import math
from collections.abc import Callable

from nayru_lsp.asm.syntax import Binary, Call, Char, Dialect, Expr, Group, Name, Number, Unary

LARGEST = 0xFFFF_FFFF       # beyond it Asar's doubles and its conversions to integers are not modelled

Lookup = Callable[[str], int | None]

# Functions of one to three plain numbers that need neither a ROM nor a label.
_FUNCTIONS: dict[str, Callable[..., float]] = {
    "bank": lambda value: int(value) >> 16, "min": min, "max": max, "floor": math.floor, "ceil": math.ceil,
    "not": lambda value: float(not int(value)),
    "equal": lambda a, b: float(a == b), "notequal": lambda a, b: float(a != b),
    "less": lambda a, b: float(a < b), "greater": lambda a, b: float(a > b),
    "select": lambda condition, yes, no: yes if condition else no,
    "clamp": lambda value, low, high: max(low, min(value, high)),
}


class _Unknown(Exception):
    """Something in the expression is not known. Never leaves this module."""


def evaluate(
    expr: Expr, lookup: Lookup, dialect: Dialect = Dialect.ASAR_1, precedence: bool | None = None,
) -> int | None:
    """The value of ``expr`` truncated to an integer, or None where anything in it is unknown.

    Asar 1.91 computes strictly from left to right, cutting every result to an integer, unless the source starts with
    ``asar 1.90`` or later; ``precedence=None`` in that dialect answers only where both ways agree."""
    if dialect is Dialect.ASAR_2 or precedence is True:
        return _whole(expr, lookup)
    if precedence is False:
        return _left_to_right(expr, lookup)
    one, other = _whole(expr, lookup), _left_to_right(expr, lookup)
    return one if one == other else None


def _whole(expr: Expr, lookup: Lookup) -> int | None:
    try:
        value = _value(expr, lookup)
        return int(value) if math.isfinite(value) else None
    except (_Unknown, ArithmeticError, ValueError, TypeError):
        return None


def _value(expr: Expr, lookup: Lookup) -> float:
    match expr:
        case Number(value=value):
            return value
        case Char(text=text):
            return ord(text)
        case Name(text=text):
            found = lookup(text)
            if found is None:
                raise _Unknown
            return found
        case Group(inner=inner):
            return _value(inner, lookup)
        case Unary(operator=operator, operand=operand):
            return _unary(operator, _value(operand, lookup))
        case Binary(operator=operator, left=left, right=right):
            return _apply(operator, _value(left, lookup), _value(right, lookup))
        case Call(name=name, arguments=arguments) if name in _FUNCTIONS:
            return _FUNCTIONS[name](*(_value(argument, lookup) for argument in arguments))
    raise _Unknown


def _unary(operator: str, value: float) -> float:
    if operator == "-":
        return -value
    if operator == "+":
        return value
    if operator == "~":
        return ~int(value)
    return int(value) >> 16 & 0xFF      # <: is the bank


def _apply(operator: str, a: float, b: float) -> float:
    value = _computed(operator, a, b)
    if abs(value) > LARGEST:
        raise _Unknown
    return value


def _computed(operator: str, a: float, b: float) -> float:
    match operator:
        case "+":
            return a + b
        case "-":
            return a - b
        case "*":
            return a * b
        case "/":
            return a / b
        case "%":
            return math.fmod(a, b)
        case "**":
            if abs(b) > 64:
                raise _Unknown
            return float(a**b)
        case "<<" | ">>":
            if not 0 <= b < 64:
                raise _Unknown
            return int(a) << int(b) if operator == "<<" else int(a) >> int(b)
        case "&":
            return int(a) & int(b)
        case "|":
            return int(a) | int(b)
        case "^":
            return int(a) ^ int(b)
        case "==" | "=":
            return float(a == b)
        case "!=":
            return float(a != b)
        case "<":
            return float(a < b)
        case ">":
            return float(a > b)
        case "<=":
            return float(a <= b)
        case ">=":
            return float(a >= b)
    raise _Unknown


def _flat(expr: Expr) -> list[Expr | str]:
    """A tree of binary operators as written: operand, operator, operand ..."""
    if not isinstance(expr, Binary):
        return [expr]
    return [*_flat(expr.left), expr.operator, *_flat(expr.right)]


def _left_to_right(expr: Expr, lookup: Lookup) -> int | None:
    try:
        return _strict(expr, lookup)
    except (_Unknown, ArithmeticError, ValueError, TypeError, OverflowError):
        return None


def _strict(expr: Expr, lookup: Lookup) -> int:
    parts = _flat(expr)
    total: float | None = None
    operator = ""
    for part in parts:
        if isinstance(part, str):
            operator = part
            continue
        match part:
            case Group(inner=inner):
                value = _strict(inner, lookup)
            case Unary(operator=sign, operand=operand):
                value = int(_unary(sign, _strict(operand, lookup)))
            case Call(name=name, arguments=arguments):
                if name not in _FUNCTIONS:
                    raise _Unknown
                value = int(_FUNCTIONS[name](*(_strict(argument, lookup) for argument in arguments)))
            case _:
                value = int(_value(part, lookup))
        total = value if total is None else int(_apply(operator, total, value))
    if total is None:
        raise _Unknown
    return int(total)
