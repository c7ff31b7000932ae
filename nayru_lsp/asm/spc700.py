"""The instructions of the sound processor (`arch spc700`): operand text -> form -> bytes, from `spc700.toml`.

Promises: `read` is total and linear; what it takes and refuses, and every byte, is Asar 1.91's (proven form by form).
That includes Asar's liberties (``mov3 $12`` is ``mov1 c,$12.3``) and its gaps (``tset1`` is unknown, ``bra .1`` too:
the name of the label reads as a bit). Refuses to know: values of labels, the lines around (`org` of an inline block).
"""

from __future__ import annotations

import pkgutil
import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

Part = tuple[str, int]      # ("=", a byte) or (a letter of the tables' heads, index of the expression)

_SIZES = {"w": 2, "m": 2}
BRANCHES = frozenset("rqt")
_QUOTED = r"""\"[^"]*"|'(?:''|[^'][^']*')"""
_MARKS = re.compile(rf"""{_QUOTED}|[(),"']""")
_PIECES = re.compile(rf"({_QUOTED})")
_SPACE = re.compile(r"\s+")


def size_of(parts: tuple[Part, ...]) -> int:
    return sum(_SIZES.get(kind, 1) for kind, _ in parts)


@dataclass(frozen=True, slots=True)
class Form:
    """An instruction of the SPC700 or the Super FX, read: everything but the values of its expressions.

    ``size``: bytes. Where ``by_value`` is true the value decides between ``parts`` and ``wide`` (by ``test``), and
    the bytes of `encode` may be more or fewer than ``size``, the number that Asar reserves before it knows the value.
    ``expressions``: their texts, in the order of the operand. ``relative``: the last one is a branch target (a
    displacement written as a number is none).
    """

    size: int
    expressions: tuple[str, ...]
    relative: bool
    parts: tuple[Part, ...]
    bit: int = 0
    test: str = ""
    wide: tuple[Part, ...] = ()

    @property
    def by_value(self) -> bool:
        return bool(self.test)

    def encode(self, address: int, values: Sequence[int], labels: Sequence[bool]) -> bytes | None:
        """The bytes at ``address``; ``labels[i]``: there is a label in expression i. None where Asar refuses: a branch
        out of range (most of the SPC700's may be so where no label is written), an address too large for the form."""
        parts = self.parts if not self.test or _is_short(self.test, values[0]) else self.wide
        out = bytearray()
        for kind, index in parts:
            if kind == "=":
                out.append(index)
                continue
            value = (values[index] + 0x8000_0000 & 0xFFFF_FFFF) - 0x8000_0000
            if kind in BRANCHES:
                value -= address + size_of(parts)
                if kind == "r" and not labels[index]:
                    pass
                elif not -0x80 <= value < 0x80:
                    return None
            elif kind == "d":
                if not 0 <= value < 0x100:
                    return None
            elif kind == "n":
                if not 0 <= value < 0x10:
                    return None
                value = value << 4 | 1
            elif kind == "m":
                if not 0 <= value < 0x2000:
                    return None
                value |= self.bit << 13
            elif kind == "h":
                if value % 2 or not 0 <= value < 0x200:
                    return None
                value >>= 1
            out.append(value & 0xFF)
            if kind in _SIZES:
                out.append(value >> 8 & 0xFF)
        return bytes(out)


def _is_short(test: str, value: int) -> bool:
    if test == "short":
        return not value & 1 and 0 <= value < 0x200
    return not 0x80 <= value & 0xFFFF < 0xFF80


def arguments(operand: str) -> list[str] | None:
    """``operand`` cut at the commas outside parentheses and quotes, spaces beside punctuation dropped; None where it
    has a parenthesis or quote without its partner."""
    if _SPACE.search(operand) is not None:
        operand = "".join(
            piece if number % 2 else _tight(piece) for number, piece in enumerate(_PIECES.split(operand))).strip()
    out = []
    start = depth = 0
    for match in _MARKS.finditer(operand):
        mark = match.group()
        if mark == "(":
            depth += 1
        elif mark == ")":
            depth -= 1
            if depth < 0:
                return None
        elif mark == "," and not depth:
            out.append(operand[start:match.start()])
            start = match.end()
        elif len(mark) == 1 and mark != ",":
            return None
    out.append(operand[start:])
    return out if not depth else None


def _tight(piece: str) -> str:
    piece = _SPACE.sub(" ", piece)
    for mark in ",()#+!":
        piece = piece.replace(f" {mark}", mark).replace(f"{mark} ", mark)
    return piece


def is_expression(text: str) -> bool:
    """False for what can be no expression, whatever labels there are."""
    return bool(text) and text[0] not in "#!"


def data(name: str) -> dict[str, dict[str, str]]:
    raw = pkgutil.get_data("nayru_lsp", f"asm/{name}")
    assert raw is not None, f"{name} is part of the package"
    return tomllib.loads(raw.decode("utf-8"))


# --- the table -------------------------------------------------------------------------------------------------------

class _Row(NamedTuple):
    pattern: tuple[tuple[str, str | None], ...]     # an operand each: text left and right of the expression; None: none
    first: bool         # read before bits are looked for
    narrow: tuple[Part, ...]
    wide: tuple[Part, ...]      # for an expression wider than a byte, else empty


def _parts(text: str) -> tuple[Part, ...]:
    out: list[Part] = []
    for word in text.split():
        if word[0] in "bwdrtnm":
            before = sum(kind not in "=+" for kind, _ in out)
            out.append((word[0], int(word[1:]) - 1 if word[1:] else before))
        else:
            out.append(("+" if word.endswith("+") else "=", int(word[:2], 16)))
    return tuple(out)


def _pattern(operand: str) -> tuple[tuple[str, str | None], ...]:
    return tuple((left, right if star else None)
                 for left, star, right in (one.partition("*") for one in operand.split(",") if operand))


def _table(rows: Mapping[str, str]) -> dict[tuple[str, int], tuple[_Row, ...]]:
    """By mnemonic and number of operands, in the order of the file."""
    table: dict[tuple[str, int], tuple[_Row, ...]] = {}
    for key, text in rows.items():
        mnemonic, _, operand = key.partition(" ")
        pattern = _pattern(operand)
        narrow, _, wide = text.partition("|")
        first = len(pattern) < 2 and operand != "*"
        place = mnemonic, len(pattern)
        table[place] = (*table.get(place, ()), _Row(pattern, first, _parts(narrow), _parts(wide)))
    return table


_DATA = data("spc700.toml")
_FORMS = _table(_DATA["forms"])
_BITS = _table(_DATA["bits"])
_WITH_CARRY = frozenset(name for (name, count), rows in _BITS.items() if count == 2
                        and any(row.pattern[0] == ("c", None) for row in rows))
_WIDTHS = {"b": 1, "w": 2}


# --- reading ---------------------------------------------------------------------------------------------------------

def read(mnemonic: str, suffix: str, operand: str, width: Callable[[str], int]) -> Form | None:
    """The form of ``mnemonic`` (any case) with ``operand`` (expanded text); None where Asar knows none.

    ``width(expression)``: 1, 2 or 3 bytes as Asar counts them; asked only where the choice of form depends on it.
    """
    name = mnemonic.lower()
    if not operand:
        rows = _FORMS.get((name, 0), ())
        return _made(rows[0].narrow, ()) if rows and not suffix else None
    forced = _WIDTHS.get(suffix[:1].lower(), 0)
    if suffix and not forced:
        return None
    found = arguments(operand)
    if found is None:
        return None
    rows = _FORMS.get((name, len(found)), ())
    for row in rows:
        if row.first and (expressions := _match(row, found)) is not None:
            return _chosen(row, expressions, forced, width)
    if len(found) == 2 and found[0].lower() == "c" and (bit := _bit_of(name, found[1])) and bit[0] in _WITH_CARRY:
        return _bit_form(bit, found, 1)
    if bit := _bit_of(name, found[0]):
        return _bit_form(bit, found, 0)
    for row in rows:
        if not row.first and (expressions := _match(row, found)) is not None:
            return _chosen(row, expressions, forced, width)
    return None


def _match(row: _Row, found: list[str]) -> list[str] | None:
    """The texts of the expressions, or None where ``found`` is not of this pattern."""
    out = []
    for (left, right), text in zip(row.pattern, found, strict=True):
        if right is None:
            if text.lower() != left:
                return None
            continue
        stop = len(text) - len(right)
        if stop < len(left) or text[:len(left)].lower() != left or text[stop:].lower() != right:
            return None
        out.append(text[len(left):stop])
    return out


def _chosen(row: _Row, expressions: list[str], forced: int, width: Callable[[str], int]) -> Form | None:
    if not all(map(is_expression, expressions)):
        return None
    parts = row.narrow
    if row.wide and (forced or width(expressions[0])) != 1:
        parts = row.wide
    if parts[-1][0] == "r" and width(expressions[-1]) == 1:
        parts = (*parts[:-1], ("b", parts[-1][1]))
    return _made(parts, tuple(expressions))


def _bit_of(name: str, text: str) -> tuple[str, str, int] | None:
    """(mnemonic, address, bit) where the operand ``text`` or the mnemonic ends in a bit number."""
    if text[-2:-1] == "." and text[-1] in "0123456789":
        if text[-1] in "89":
            return None
        return name[:-1] if name.endswith("1") else name, text[:-2], int(text[-1])
    if name[-1:] and name[-1] in "01234567":
        return name[:-1], text, int(name[-1])
    return None


def _bit_form(bit: tuple[str, str, int], found: list[str], at: int) -> Form | None:
    """The form whose operand ``at`` is ``bit``."""
    name, address, number = bit
    plain = [*found[:at], address + ".", *found[at + 1:]]
    for row in _BITS.get((name, len(found)), ()):
        expressions = _match(row, plain) if row.pattern[at][1] == "." else None
        if expressions is not None and all(map(is_expression, expressions)):
            parts = [("=", value | number << 5) if kind == "+" else (kind, value) for kind, value in row.narrow]
            return _made(tuple(parts), tuple(expressions), number)
    return None


def _made(parts: tuple[Part, ...], expressions: tuple[str, ...], bit: int = 0) -> Form:
    return Form(size_of(parts), expressions, parts[-1][0] in BRANCHES, parts, bit)
