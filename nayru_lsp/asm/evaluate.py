"""Parsed expressions whose labels are known -> int or unknown, in both dialects' arithmetic.

For readers of single lines, who have the tree of an expression at hand and no program around it. The operators and
functions are those of `arithmetic`; what asks for more than labels (a user's function, the ROM, a file) is unknown.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from nayru_lsp.asm.arithmetic import (
    CUTTING,
    OPERATORS,
    PREFIXES,
    PURE,
    PURE_2,
    Unknown,
    Value,
    Wrong,
    cut,
    int64,
    normal,
)
from nayru_lsp.asm.syntax import Binary, Call, Char, Dialect, Expr, Group, Name, Number, String, Unary

Lookup = Callable[[str], int | None]


def evaluate(
    expr: Expr, lookup: Lookup, dialect: Dialect = Dialect.ASAR_1, precedence: bool | None = None,
) -> int | None:
    """The value of ``expr`` truncated to an integer, or None where anything in it is unknown or an error.

    Asar 1.91 computes strictly from left to right, cutting every result to an integer, unless the source starts with
    ``asar 1.90`` or later; ``precedence=None`` in that dialect answers only where both ways agree."""
    if dialect is Dialect.ASAR_2 or precedence is True:
        return _whole(expr, _Walk(lookup, dialect, cutting=False, ordered=True))
    left = _whole(expr, _Walk(lookup, dialect, cutting=True, ordered=False))
    if precedence is False:
        # Asar computes the other way as well, to warn of a difference, and an error there is an error
        return None if _whole(expr, _Walk(lookup, dialect, cutting=True, ordered=True)) is None else left
    return left if left == _whole(expr, _Walk(lookup, dialect, cutting=False, ordered=True)) else None


def _whole(expr: Expr, walk: _Walk) -> int | None:
    try:
        value = walk.value(expr)
    except (Unknown, Wrong, ArithmeticError, ValueError):
        return None
    return int64(value) if math.isfinite(value) else None


class _Walk:
    """One way through a tree."""

    __slots__ = ("cutting", "functions", "lookup", "operators", "ordered")

    def __init__(self, lookup: Lookup, dialect: Dialect, *, cutting: bool, ordered: bool) -> None:
        self.lookup = lookup
        self.cutting = cutting
        self.ordered = ordered          # by precedence, as the tree is built; else as written
        self.functions = PURE_2 if dialect is Dialect.ASAR_2 else PURE
        self.operators = CUTTING if cutting else OPERATORS

    def value(self, expr: Expr) -> Value:
        match expr:
            case Number(value=number):
                return cut(normal(number)) if self.cutting else normal(number)
            case Char(text=text):
                return ord(text)
            case Name(text=text):
                found = self.lookup(text)
                if found is None:
                    raise Unknown(f"the label {text} is not known")
                return found
            case Group(inner=inner):
                return self.value(inner)
            case Unary(operator=operator, operand=operand):
                return PREFIXES[operator](self.value(operand))
            case Binary(operator=operator, left=left, right=right):
                if not self.ordered:
                    return self.as_written(expr)
                return self.operator(operator)(self.value(left), self.value(right))
            case Call():
                return self.call(expr)
        raise Unknown("not understood")

    def operator(self, operator: str) -> Callable[[Value, Value], Value]:
        return self.operators["==" if operator == "=" else operator]

    def as_written(self, expr: Binary) -> Value:
        """Operand, operator, operand ... without regard to how the tree binds them."""
        parts: list[Expr | str] = []
        waiting: list[Expr | str] = [expr]
        while waiting:
            part = waiting.pop()
            if isinstance(part, Binary):
                waiting += (part.right, part.operator, part.left)
            else:
                parts.append(part)
        operands = [self.value(part) for part in parts if not isinstance(part, str)]
        total = operands[0]
        for operator, operand in zip((part for part in parts if isinstance(part, str)), operands[1:], strict=True):
            total = self.operator(operator)(total, operand)
        return total

    def call(self, expr: Call) -> Value:
        found = self.functions.get(expr.name)
        if found is None or len(found[0]) != len(expr.arguments):
            raise Unknown(f"the function {expr.name} is not known")
        kinds, function = found
        arguments: list[Value | str] = []
        for kind, argument in zip(kinds, expr.arguments, strict=True):
            if (kind == "s") != isinstance(argument, String):
                raise Unknown("not understood")
            arguments.append(argument.text if isinstance(argument, String) else self.value(argument))
        value = normal(function(*arguments))
        return cut(value) if self.cutting else value
