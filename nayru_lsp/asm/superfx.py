"""The instructions of the Super FX (`arch superfx`): operand text -> form -> bytes, from `superfx.toml`.

Promises and refusals are those of `spc700`. The `move` of a value or an address has a short and a long form, and the
value decides (`Form.by_value`): Asar reserves the short one before it knows the value, so a label behind a long
``move r1,#$1234`` is an error in Asar ("label moving"), and `Form.size` says 2 while `Form.encode` gives 3 bytes.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

from nayru_lsp.asm.evaluate import evaluate
from nayru_lsp.asm.expressions import parse_expression
from nayru_lsp.asm.spc700 import BRANCHES, Form, Part, arguments, data, is_expression, size_of
from nayru_lsp.asm.syntax import Dialect

_REGISTER = re.compile(r"(?:([rR#])|\([rR])(1[0-5]|[0-9])(\)?)\Z", re.ASCII)
_OPERAND = re.compile(r"(\()?([r#])(?:(\d+)(?:-(\d+))?)?\)?\Z")


class _Operand(NamedTuple):
    """``kind``: "r", "#" or "(" with the numbers from ``low`` to ``high``, or the pattern of an expression."""

    kind: str
    low: int
    high: int


class _Row(NamedTuple):
    pattern: tuple[_Operand, ...]
    test: str
    parts: tuple[Part, ...]
    wide: tuple[Part, ...]


def _operand(text: str) -> _Operand:
    match = _OPERAND.match(text)
    if match is None:
        return _Operand(text, 0, 0)
    parenthesis, kind, low, high = match.groups()
    return _Operand(parenthesis or kind, int(low or 0), int(high or low or 15))


def _parts(text: str) -> tuple[Part, ...]:
    """("+1", byte) is a byte to which the register of the first operand is added."""
    return tuple((word, 0) if word in "bwhq" else (word[2:] or "=", int(word[:2], 16)) for word in text.split())


def _table() -> dict[tuple[str, int], tuple[_Row, ...]]:
    table: dict[tuple[str, int], tuple[_Row, ...]] = {}
    for key, text in data("superfx.toml")["forms"].items():
        mnemonic, _, operand = key.partition(" ")
        pattern = tuple(_operand(one) for one in operand.split(",") if one)
        test, _, rest = text.partition(" ")
        if test not in ("short", "signed"):
            test, rest = "", text
        parts, _, wide = rest.partition("|")
        place = mnemonic, len(pattern)
        table[place] = (*table.get(place, ()), _Row(pattern, test, _parts(parts), _parts(wide)))
    return table


_FORMS = _table()


def read(
    mnemonic: str, suffix: str, operand: str, width: Callable[[str], int], dialect: Dialect = Dialect.ASAR_1,
) -> Form | None:
    """The form of ``mnemonic`` (any case) with ``operand`` (expanded text); None where Asar knows none.

    ``width(expression)``: 1, 2 or 3 bytes as Asar counts them; asked only where the choice of form depends on it.
    """
    found = arguments(operand) if operand else []
    if found is None or suffix:
        return None
    for row in _FORMS.get((mnemonic.lower(), len(found)), ()):
        numbers, expressions = [], []
        for wanted, text in zip(row.pattern, found, strict=True):
            kind, number = _number(text)
            if wanted.kind in ("r", "#", "("):
                if kind != wanted.kind or not wanted.low <= number <= wanted.high:
                    break
            elif (expression := _expression(wanted.kind, kind, text, len(found))) is not None:
                expressions.append(expression)
            else:
                break
            numbers.append(number)
        else:
            return _form(row, numbers, expressions, width, dialect)
    return None


def _number(text: str) -> tuple[str, int]:
    """("r", "#" or "(", number of the register) or ("", 0)."""
    match = _REGISTER.match(text)
    if match is None or (match.group(1) is None) != bool(match.group(3)):
        return "", 0
    return (match.group(1) or "(").lower(), int(match.group(2))


def _expression(pattern: str, kind: str, text: str, count: int) -> str | None:
    """The expression of ``text``, one of ``count`` operands, where it fits "*", "#*" or "(*)"."""
    if pattern == "#*":
        return text[1:] if text.startswith("#") and is_expression(text[1:]) else None
    closed = text.find(")") == len(text) - 1
    if pattern == "(*)":
        return text[1:-1] if text.startswith("(") and closed and not kind and is_expression(text[1:-1]) else None
    if text.startswith("(") and not closed and count == 2:      # ``lea r1,(2)+1``: Asar reads an address that goes on
        return None
    return text if is_expression(text) else None


def _form(
    row: _Row, numbers: list[int], expressions: list[str], width: Callable[[str], int], dialect: Dialect,
) -> Form | None:
    def made(parts: tuple[Part, ...]) -> tuple[Part, ...]:
        return tuple([("=", value + numbers[int(kind) - 1]) if kind[0] == "+" else (kind, value)
                      for kind, value in parts])

    parts, wide, test = made(row.parts), made(row.wide), row.test
    if parts[-1][0] == "q" and width(expressions[-1]) == 1:
        parts = (*parts[:-1], ("b", 0))
    size = size_of(parts)
    if test and row.pattern[0].kind == "(*)" and dialect is Dialect.ASAR_1:
        # Asar 1.91 asks for this value already when it places labels; one that it does not know yet counts as odd.
        value = evaluate(parse_expression(expressions[0], expressions[0], 0, len(expressions[0])), lambda name: None)
        if value is None or value % 2 or not 0 <= value < 0x200:
            size = size_of(wide)
    return Form(size, tuple(expressions), parts[-1][0] in BRANCHES, parts, 0, test, wide)
