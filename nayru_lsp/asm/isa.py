"""The 65816 instruction set: mnemonics, addressing modes and the 256 opcodes, read once from `isa.toml`.

Promises: every look-up is total (an unknown name gives None or an empty tuple, never an error), and the table is what
Asar assembles, so its extra spellings (``JMP [$1234]``, ``ASL #4``) are known here too. Asar has no aliases (BLT, DEA).
Refuses to know: operand values, register widths, the other processors (`arch spc700`, `arch superfx`).
"""

from __future__ import annotations

import pkgutil
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Literal

from nayru_lsp.asm.syntax import OperandShape

Size = int | Literal["m", "x"]


class AddressingMode(StrEnum):
    """WDC's addressing modes; "stack" is WDC's name for pushes, pulls and returns that take no operand."""

    IMPLIED = "implied"
    STACK = "stack"
    INTERRUPT = "interrupt"         # BRK, COP, WDM: one signature byte
    ACCUMULATOR = "accumulator"
    IMMEDIATE = "immediate"
    DIRECT = "direct page"
    DIRECT_X = "direct page,X"
    DIRECT_Y = "direct page,Y"
    DIRECT_INDIRECT = "direct page indirect"
    DIRECT_X_INDIRECT = "direct page indexed indirect,X"
    DIRECT_INDIRECT_Y = "direct page indirect indexed,Y"
    DIRECT_INDIRECT_LONG = "direct page indirect long"
    DIRECT_INDIRECT_LONG_Y = "direct page indirect long indexed,Y"
    ABSOLUTE = "absolute"
    ABSOLUTE_X = "absolute,X"
    ABSOLUTE_Y = "absolute,Y"
    ABSOLUTE_INDIRECT = "absolute indirect"
    ABSOLUTE_X_INDIRECT = "absolute indexed indirect,X"
    ABSOLUTE_INDIRECT_LONG = "absolute indirect long"
    ABSOLUTE_LONG = "absolute long"
    ABSOLUTE_LONG_X = "absolute long,X"
    STACK_RELATIVE = "stack relative"
    STACK_RELATIVE_INDIRECT_Y = "stack relative indirect indexed,Y"
    RELATIVE = "relative"
    RELATIVE_LONG = "relative long"
    BLOCK_MOVE = "block move"


@dataclass(frozen=True, slots=True)
class Opcode:
    """One row of the table.

    ``size`` in bytes, opcode included; "m" ("x") means 2 with an 8-bit and 3 with a 16-bit A (X, Y). ``cycles`` is
    the base: 8-bit registers, DL = 0, no page crossed, branch not taken, native mode; each letter of ``rules`` may
    add one (see the head of isa.toml). ``data`` of the base cycles are accesses to memory other than the instruction.
    ``flags`` are those affected ("*": those named by the operand).
    """

    value: int
    mnemonic: str
    mode: AddressingMode
    size: Size
    cycles: int
    rules: str
    data: int
    flags: str
    meaning: str


@dataclass(frozen=True, slots=True)
class Mnemonic:
    name: str
    meaning: str
    opcodes: tuple[Opcode, ...]
    repeatable: bool    # Asar repeats it: ``nop #3``


# (mnemonic, mode) -> opcode, for forms that WDC files under another mnemonic.
_EXTRA: Mapping[tuple[str, AddressingMode], int] = {
    ("JMP", AddressingMode.ABSOLUTE_INDIRECT_LONG): 0xDC,
}
_REPEATABLE = frozenset({"NOP", "INX", "INY", "DEX", "DEY", "ASL", "LSR", "ROL", "ROR", "INC", "DEC"})

_Mode = AddressingMode
_MODES_OF_SHAPE: Mapping[OperandShape, tuple[AddressingMode, ...]] = {
    OperandShape.NONE: (_Mode.IMPLIED, _Mode.STACK, _Mode.ACCUMULATOR, _Mode.INTERRUPT),
    OperandShape.ACCUMULATOR: (_Mode.ACCUMULATOR,),
    OperandShape.IMMEDIATE: (_Mode.IMMEDIATE, _Mode.INTERRUPT),
    OperandShape.PLAIN: (_Mode.DIRECT, _Mode.ABSOLUTE, _Mode.ABSOLUTE_LONG, _Mode.RELATIVE, _Mode.RELATIVE_LONG,
                         _Mode.BLOCK_MOVE),      # 1.91 reads ``mvn $ssdd`` as the two operand bytes
    OperandShape.INDEXED_X: (_Mode.DIRECT_X, _Mode.ABSOLUTE_X, _Mode.ABSOLUTE_LONG_X),
    OperandShape.INDEXED_Y: (_Mode.DIRECT_Y, _Mode.ABSOLUTE_Y),
    OperandShape.INDEXED_S: (_Mode.STACK_RELATIVE,),
    OperandShape.INDIRECT: (_Mode.DIRECT_INDIRECT, _Mode.ABSOLUTE_INDIRECT),
    OperandShape.INDIRECT_X: (_Mode.DIRECT_X_INDIRECT, _Mode.ABSOLUTE_X_INDIRECT),
    OperandShape.INDIRECT_Y: (_Mode.DIRECT_INDIRECT_Y,),
    OperandShape.STACK_INDIRECT_Y: (_Mode.STACK_RELATIVE_INDIRECT_Y,),
    OperandShape.LONG_INDIRECT: (_Mode.DIRECT_INDIRECT_LONG, _Mode.ABSOLUTE_INDIRECT_LONG),
    OperandShape.LONG_INDIRECT_Y: (_Mode.DIRECT_INDIRECT_LONG_Y,),
    OperandShape.MOVE: (_Mode.BLOCK_MOVE,),
    OperandShape.OPAQUE: tuple(_Mode),
}


def _read() -> tuple[dict[str, str], tuple[Opcode, ...]]:
    raw = pkgutil.get_data("nayru_lsp", "asm/isa.toml")     # quicker to import than importlib.resources
    assert raw is not None, "isa.toml is part of the package"
    data = tomllib.loads(raw.decode("utf-8"))
    meanings: dict[str, str] = data["mnemonics"]
    rows = []
    for value, row in data["opcodes"].items():
        mnemonic, mode, size, cycles, rules, accesses, flags = row.split(" / ")
        rows.append(Opcode(
            int(value, 16), mnemonic, AddressingMode(mode), size if size in ("m", "x") else int(size), int(cycles),
            rules.strip("-"), int(accesses), flags.strip("-"), meanings[mnemonic]))
    return meanings, tuple(rows)


_MEANINGS, OPCODES = _read()


def _forms() -> dict[tuple[str, AddressingMode], Opcode]:
    forms = {(opcode.mnemonic, opcode.mode): opcode for opcode in OPCODES}
    forms.update({key: OPCODES[value] for key, value in _EXTRA.items()})
    return forms


_FORMS = _forms()


def _mnemonics() -> dict[str, Mnemonic]:
    table = {}
    for name in sorted({name for name, _ in _FORMS}):
        opcodes = tuple(opcode for (form, _), opcode in _FORMS.items() if form == name)
        table[name] = Mnemonic(name, _MEANINGS[name], opcodes, name in _REPEATABLE)
    return table


MNEMONICS: Mapping[str, Mnemonic] = MappingProxyType(_mnemonics())


def opcode_for(mnemonic: str, mode: AddressingMode) -> Opcode | None:
    """The opcode of ``mnemonic`` (any case) in ``mode``, or None when there is none."""
    return _FORMS.get((mnemonic.upper(), mode))


def modes_for(mnemonic: str, shape: OperandShape) -> tuple[AddressingMode, ...]:
    """Every mode that an operand written as ``shape`` can become, narrowest first; empty: Asar refuses the shape.

    A repeat count (``asl #4``) gives the mode that is repeated. `OperandShape.OPAQUE` gives all modes of the mnemonic.
    """
    name = mnemonic.upper()
    modes = tuple(mode for mode in _MODES_OF_SHAPE[shape] if (name, mode) in _FORMS)
    if shape is OperandShape.IMMEDIATE and not modes and name in _REPEATABLE:
        return tuple(mode for mode in (_Mode.IMPLIED, _Mode.ACCUMULATOR) if (name, mode) in _FORMS)
    return modes
