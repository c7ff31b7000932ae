"""What an instruction costs: CPU cycles and master clocks, least and most, in native mode.

Proven on the bsnes core for every opcode (tests/asm/test_cost.py). What is unknown (a register's width, the low byte
of D, whether a page is crossed or a branch taken) widens the range. Refuses to know: how often a loop runs, DRAM
refresh (40 of every 1364 clocks), how long WAI waits. A block move is priced per byte moved.
Source: W65C816S data sheet, cycle tables; nesdev SNES wiki, "Timing" (6, 8 or 12 clocks a memory cycle).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

from nayru_lsp.asm.encode import operand_width, select, shape_of
from nayru_lsp.asm.flow import WidthState
from nayru_lsp.asm.isa import MNEMONICS, AddressingMode, Opcode, modes_for, opcode_for
from nayru_lsp.asm.syntax import Expr, Instruction, Number, OperandShape

INTERNAL = 6        # master clocks of a cycle without a memory access
FAST, SLOW = 6, 8   # ROM with and without FastROM; WRAM is 8, hardware registers are 6 ($4000-$41FF: 12)


class _Cycles(NamedTuple):
    """Instruction fetches, other accesses, internal cycles."""

    fetch: int
    data: int
    internal: int


def _range(opcode: Opcode, state: WidthState, dl_zero: bool | None) -> tuple[_Cycles, _Cycles]:
    m = (0, 1) if state.m is None else (state.m // 16,) * 2
    x = (0, 1) if state.x is None else (state.x // 16,) * 2
    size = opcode.size if isinstance(opcode.size, int) else 2
    fetch, data = [size, size], [opcode.data, opcode.data]
    internal = [opcode.cycles - size - opcode.data] * 2
    for rule in opcode.rules:
        match rule:
            case "m" | "x":
                wide = m if rule == "m" else x
                into = fetch if opcode.mode is AddressingMode.IMMEDIATE else data
                added = wide
            case "d":
                into, added = internal, (0, 1) if dl_zero is None else (int(not dl_zero),) * 2
            case "p":
                into, added = internal, (1, 1) if state.x == 16 else (0, 1)
            case "t":
                into, added = internal, (0, 1)
            case _:
                continue
        into[0] += added[0]
        into[1] += added[1]
    return _Cycles(fetch[0], data[0], internal[0]), _Cycles(fetch[1], data[1], internal[1])


def _opcodes(what: Instruction | Opcode) -> tuple[Iterable[Opcode], int]:
    """Every opcode that ``what`` may be, and how often it is repeated."""
    if isinstance(what, Opcode):
        return (what,), 1
    operand = what.operand
    shape = shape_of(what)
    width, times = None, 1
    if operand is not None and operand.value is not None:
        width = operand_width(operand.value, immediate=shape is OperandShape.IMMEDIATE)
        known = MNEMONICS.get(what.mnemonic)
        if shape is OperandShape.IMMEDIATE and known is not None and known.repeatable:
            times = _plain(operand.value)
    opcode = select(what.mnemonic, shape, what.suffix, width)
    if opcode is not None:
        return (opcode,), times
    if width is not None or what.suffix:
        return (), times        # Asar refuses the form
    return [row for mode in modes_for(what.mnemonic, shape) if (row := opcode_for(what.mnemonic, mode))], times


def _plain(expr: Expr) -> int:
    return expr.value if isinstance(expr, Number) and isinstance(expr.value, int) else 1


def _sum(
    what: Instruction | Opcode, state: WidthState, dl_zero: bool | None, price: Callable[[Opcode, _Cycles], int],
) -> tuple[int, int]:
    opcodes, times = _opcodes(what)
    ranges = [(price(opcode, low) * times, price(opcode, high) * times)
              for opcode in opcodes for low, high in (_range(opcode, state, dl_zero),)]
    return (min(low for low, _ in ranges), max(high for _, high in ranges)) if ranges else (0, 0)


def cost(what: Instruction | Opcode, state: WidthState, *, dl_zero: bool | None = None) -> tuple[int, int]:
    """Least and most CPU cycles. ``dl_zero``: whether the low byte of D is 0 (None = unknown). An instruction of
    several possible opcodes has the range of all of them; one that Asar refuses costs (0, 0)."""
    return _sum(what, state, dl_zero, lambda _, cycles: sum(cycles))


def master_clocks(
    what: Instruction | Opcode, state: WidthState, *, dl_zero: bool | None = None, fetch: int = SLOW, data: int = SLOW,
) -> tuple[int, int]:
    """Least and most master clocks (21.477 MHz NTSC); ``fetch`` and ``data`` are the clocks of one access to the
    instruction's own bank and to its data: 6, 8 or 12."""

    def price(opcode: Opcode, cycles: _Cycles) -> int:
        near = 2 if opcode.mode is AddressingMode.ABSOLUTE_X_INDIRECT else 0    # its table lies in the program bank
        return (cycles.fetch + near) * fetch + (cycles.data - near) * data + cycles.internal * INTERNAL

    return _sum(what, state, dl_zero, price)
