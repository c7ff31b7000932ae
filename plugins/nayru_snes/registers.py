"""`registers.toml` as Facts, and the look-up by address with mirrors folded."""

from __future__ import annotations

import pkgutil
import tomllib
from collections.abc import Iterator
from typing import Any

from nayru_lsp.asm.mapping import canonical_register
from nayru_lsp.hookspecs import BitField, Fact

UNUSED = "unused"
# In $2100-$213F, $2140-$2143, $2180-$2183, $4016-$4017, $4200-$421F these addresses have no register.
NO_REGISTER = frozenset({0x420E, 0x420F})
_WHEN = {
    "any": "any time", "vblank": "in vertical or forced blank",
    "hblank": "in vertical, horizontal or forced blank (in the middle of a line it shows at once)",
}
_PROVEN = "checked on the bsnes core"


def _field(text: str) -> BitField:
    """``7-4 Name: 0 = meaning; 1 = meaning``"""
    place, _, rest = text.partition(" ")
    high, _, low = place.partition("-")
    name, colon, values = rest.partition(": ")
    pairs: list[tuple[int, str]] = []
    if colon:
        for part in values.split("; "):
            number, equals, meaning = part.partition(" = ")
            if not equals or not number.isdigit():      # the colon belongs to the name
                return BitField(int(high), int(low or high), rest)
            pairs.append((int(number), meaning))
    return BitField(int(high), int(low or high), name, tuple(pairs))


def _expand(row: dict[str, Any]) -> Iterator[tuple[int, dict[str, str]]]:
    """(address, what the braces of this row mean there)."""
    if "at" in row:
        yield row["at"], {}
    for index, address in enumerate(row.get("each", ())):
        yield address, {"n0": str(index), "n1": str(index + 1), "n2": str(index + 2), "even": str(2 * index),
                        "odd": str(2 * index + 1), "lmh": "LMH"[min(index, 2)],
                        "part": ("low", "middle", "high")[min(index, 2)]}


def _fact(
    row: dict[str, Any], address: int, words: dict[str, str], source: str, when: str,
) -> tuple[Fact, tuple[BitField, ...]]:
    def text(value: str) -> str:
        return value.format(**words)

    fields = tuple(_field(text(bits)) for bits in row["bits"])
    proven = f"; {_PROVEN}" if row.get("proven") else ""
    fact = Fact(
        text(row["name"]), address, "register", text(row["title"]), text(row.get("note", "")), 1, row["access"],
        _WHEN.get(when, when), tuple(field for field in fields if field.name != UNUSED), source + proven, "snes")
    return fact, fields


def _read() -> tuple[tuple[Fact, tuple[BitField, ...]], ...]:
    raw = pkgutil.get_data("nayru_snes", "registers.toml")
    assert raw is not None, "registers.toml is part of the package"
    data = tomllib.loads(raw.decode("utf-8"))
    sources = data["sources"]
    rows = [_fact(row, address, words, sources[row["source"]], row["when"])
            for row in data["register"] for address, words in _expand(row)]
    for channel in range(8):
        rows += [_fact(row, row["at"] + 0x10 * channel, {"ch": str(channel)}, sources["dma"],
                       "while the channel is not at work") for row in data["channel"]]
    return tuple(rows)


_ROWS = _read()
REGISTERS: tuple[Fact, ...] = tuple(fact for fact, _ in _ROWS)
# Every bit field of each register, those without function too: what the completeness test looks at.
FIELDS: tuple[tuple[Fact, tuple[BitField, ...]], ...] = _ROWS

_BY_ADDRESS: dict[int, tuple[Fact, ...]] = {}
for _one in REGISTERS:
    _BY_ADDRESS[_one.address] = (*_BY_ADDRESS.get(_one.address, ()), _one)


def registers_at(address: int) -> tuple[Fact, ...]:
    """The registers at a 24-bit address as written in code, mirrors and banks folded; two where reading and writing
    reach different ones."""
    register = canonical_register(address)
    if register is None:
        return ()
    if register & 0xFF8F == 0x430F:
        register -= 4       # the byte without function is seen twice
    return _BY_ADDRESS.get(register, ())


def written_at(address: int) -> Fact | None:
    return next((fact for fact in registers_at(address) if "w" in fact.access), None)


def read_at(address: int) -> Fact | None:
    return next((fact for fact in registers_at(address) if "r" in fact.access), None)
