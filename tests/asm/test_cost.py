"""The cost model against the bsnes core: each opcode runs there, and the master clocks agree to the clock."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from nayru_lsp.asm.cost import cost, master_clocks
from nayru_lsp.asm.flow import WidthState
from nayru_lsp.asm.isa import OPCODES, AddressingMode, Opcode
from nayru_lsp.asm.parser import parse_line
from nayru_lsp.asm.syntax import Instruction
from tests.bsnes import SLOT, Harness, harness

UNTIMED = {0xCB, 0xDB}                  # WAI and STP: the harness would wait for ever
D, DIRECT, DATA = 0x0200, 0x10, 0x2020  # direct page and operand, absolute operand in bank $7E
POINTERS = bytes.fromhex("20207e" * 8)
RTL = b"\x6b"
BY_NAME = {(opcode.mnemonic, opcode.mode): opcode for opcode in OPCODES}
PEA, REP, PLA, PHP, PHK, TSC, TSX, RTS, RTI, RTL_, PHB, PHD = (
    OPCODES[value] for value in (0xF4, 0xC2, 0x68, 0x08, 0x4B, 0x3B, 0xBA, 0x60, 0x40, 0x6B, 0x8B, 0x0B))
PUSH_FOR = {0x28: PHP, 0x68: OPCODES[0x48], 0x7A: OPCODES[0x5A], 0xAB: PHB, 0xFA: OPCODES[0xDA], 0x2B: PHD}


@dataclass
class Case:
    """``code`` runs ``opcodes`` in this order; ``taken``: a branch is (or a page border is crossed)."""

    code: bytes
    opcodes: list[tuple[Opcode, WidthState]]
    registers: dict[str, int]
    wram: dict[int, bytes] = field(default_factory=dict)
    high: bool = False


def word(value: int) -> bytes:
    return value.to_bytes(2, "little")


def case(opcode: Opcode, state: WidthState, fast: bool, *, dl: int = 0, index: int = 3, flags: int = 0) -> Case:
    assert state.m and state.x
    p = (0x20 if state.m == 8 else 0) | (0x10 if state.x == 8 else 0) | flags
    registers = {"A": 0, "X": index, "Y": index, "D": D + dl, "DBR": 0x7E, "P": p}
    made = Case(b"", [], registers, {D + dl + DIRECT: POINTERS})
    wide = WidthState(16, state.x)
    bank = bytes([0x80 if fast else 0])

    def add(row: Opcode, operand: bytes = b"", widths: WidthState = state) -> None:
        made.code += bytes([row.value]) + operand
        made.opcodes.append((row, widths))

    def here(length: int) -> bytes:
        return word(SLOT + len(made.code) + length)

    def pop_word() -> None:
        add(REP, b"\x20")
        add(PLA, widths=wide)

    mode, name = opcode.mode, opcode.mnemonic
    match mode:
        case AddressingMode.IMMEDIATE:
            size = {"m": state.m, "x": state.x}.get(str(opcode.size), 8) // 8
            add(opcode, bytes(size))
        case AddressingMode.INTERRUPT:
            add(opcode, b"\0")
            if name != "WDM":
                made.opcodes.append((RTI, state))       # the handler, patched in
        case AddressingMode.STACK if opcode.value in PUSH_FOR:
            add(PUSH_FOR[opcode.value])
            add(opcode)
        case AddressingMode.STACK if name.startswith("PH"):
            add(opcode)
            pull = {"PHA": 0x68, "PHX": 0xFA, "PHY": 0x7A, "PHD": 0x2B}.get(name, 0xAB)
            add(OPCODES[pull])
        case AddressingMode.STACK if name == "RTI":
            add(PHK)
            add(PEA, here(5))
            add(PHP)
            add(opcode)
        case AddressingMode.STACK if name == "RTS":
            add(PEA, word(SLOT + 3))
            add(opcode)
        case AddressingMode.STACK if name == "RTL":
            add(PHK)
            add(PEA, word(SLOT + 4))
            add(opcode)
        case AddressingMode.IMPLIED if name in ("TXS", "TCS"):
            add(TSX if name == "TXS" else TSC)
            add(opcode)
        case AddressingMode.RELATIVE:
            add(opcode, b"\0")
        case AddressingMode.RELATIVE_LONG:
            add(opcode, b"\0\0")
            if name == "PER":
                pop_word()
        case AddressingMode.BLOCK_MOVE:
            add(opcode, b"\x7e\x7e")
        case AddressingMode.STACK_RELATIVE | AddressingMode.STACK_RELATIVE_INDIRECT_Y:
            add(PEA, word(DATA))
            add(opcode, b"\x01")
            pop_word()
        case AddressingMode.ABSOLUTE_INDIRECT | AddressingMode.ABSOLUTE_INDIRECT_LONG:
            made.wram[0x0300] = word(SLOT + 3) + bank
            add(opcode, word(0x0300))
        case AddressingMode.ABSOLUTE_X_INDIRECT if name == "JMP":
            add(opcode, word(SLOT + 4 - index))
            made.code += RTL + word(SLOT + 3)
        case AddressingMode.ABSOLUTE_X_INDIRECT:
            add(opcode, word(SLOT + 5 - index))
            made.code += RTL + b"\x60" + word(SLOT + 4)
            made.opcodes.append((RTS, state))
        case AddressingMode.ABSOLUTE if name == "JSR":
            add(opcode, word(SLOT + 4))
            made.code += RTL + b"\x60"
            made.opcodes.append((RTS, state))
        case AddressingMode.ABSOLUTE_LONG if name == "JSL":
            add(opcode, word(SLOT + 5) + bank)
            made.code += RTL + RTL
            made.opcodes.append((RTL_, state))
        case AddressingMode.ABSOLUTE if name == "JMP":
            add(opcode, here(3))
        case AddressingMode.ABSOLUTE_LONG if name == "JML":
            add(opcode, here(4) + bank)
        case _ if name == "PEA":
            add(opcode, word(DATA))
            pop_word()
        case _ if name == "PEI":
            add(opcode, bytes([DIRECT]))
            pop_word()
        case _:
            operands = {1: b"", 2: bytes([DIRECT]), 3: word(DATA), 4: word(DATA) + b"\x7e"}
            assert isinstance(opcode.size, int)
            add(opcode, operands[opcode.size])
    made.code += RTL
    return made


def cases(fast: bool) -> Iterator[tuple[str, Case]]:
    narrow, wide = WidthState(8, 8), WidthState(16, 16)
    states = (narrow,) if fast else (narrow, wide, WidthState(8, 16), WidthState(16, 8))
    for opcode in OPCODES:
        if opcode.value in UNTIMED or (fast and opcode.value in (0x00, 0x02)):
            continue            # the interrupt handlers lie in the slow bank
        for state in states:
            if opcode.mnemonic == "TXS" and state.x == 8:
                continue        # would cut the stack pointer to one byte
            made = case(opcode, state, fast)
            made.high = "t" in opcode.rules and opcode.mnemonic in ("BCC", "BNE", "BPL", "BVC")
            yield f"{opcode.value:02X} {opcode.mnemonic} {opcode.mode} {state.m}/{state.x}", made
        if fast:
            continue
        if "d" in opcode.rules:
            yield f"{opcode.value:02X} DL", case(opcode, narrow, fast, dl=1)
        if "p" in opcode.rules:
            made = case(opcode, narrow, fast, index=0xF0)
            made.high = True
            yield f"{opcode.value:02X} page crossed", made
        if "t" in opcode.rules:
            made = case(opcode, narrow, fast, flags=0xC3)
            made.high = opcode.mnemonic in ("BCS", "BEQ", "BMI", "BVS")
            yield f"{opcode.value:02X} flags set", made


@pytest.fixture
def slow_core() -> Iterator[Harness]:
    core = harness(False)
    core.core.patch(0x7F04, b"\x40")            # BRK and COP return at once
    yield core
    core.core.patch(0x7F04, bytes.fromhex("e220a9"))


def measure(core: Harness, fast: bool) -> int:
    count = 0
    empty: dict[int, int] = {}
    wrong = []
    for name, one in cases(fast):
        total = 0
        for pad in (0, 1):
            if pad not in empty:
                empty[pad] = core.run(RTL, {"P": 0x30}, pad=pad).clocks
            result = core.run(one.code, one.registers, wram=one.wram, pad=pad, frames=3)
            assert result.outcome == "returned", name
            total += result.clocks - empty[pad]
        expected = 0
        for opcode, state in one.opcodes:
            dl_zero = one.registers["D"] & 0xFF == 0
            low, high = master_clocks(opcode, state, dl_zero=dl_zero, fetch=6 if fast else 8, data=8)
            if not (set(opcode.rules) & set("tp")):
                assert low == high, name
            expected += high if one.high else low
        if total != 2 * expected:
            wrong.append((name, total / 2, expected))
        count += 1
    assert not wrong, (len(wrong), wrong[:20])
    return count


def test_every_opcode_on_the_core(slow_core: Harness) -> None:
    assert measure(slow_core, fast=False) > 1100


def test_every_opcode_in_fast_rom() -> None:
    assert measure(harness(True), fast=True) > 240


def read(text: str) -> Instruction:
    (statement,) = parse_line(text).statements
    assert isinstance(statement, Instruction)
    return statement


@pytest.mark.parametrize("text, state, expected", [
    ("nop", WidthState(), (2, 2)),
    ("nop #3", WidthState(), (6, 6)),
    ("lda #$12", WidthState(), (2, 3)),
    ("lda #$12", WidthState(8, 8), (2, 2)),
    ("lda $12", WidthState(8, 8), (3, 4)),
    ("lda $1234,x", WidthState(), (4, 6)),
    ("lda $1234,x", WidthState(8, 16), (5, 5)),
    ("sta $1234,x", WidthState(8, 8), (5, 5)),
    ("inc $1234", WidthState(None, 8), (6, 8)),
    ("bne there", WidthState(), (2, 3)),
    ("bra there", WidthState(), (3, 3)),
    ("lda there", WidthState(8, 8), (3, 5)),
    ("sta #$12", WidthState(), (0, 0)),
    ("jsl there", WidthState(), (8, 8)),
    ("brk", WidthState(), (8, 8)),
    ("mvn $7E,$7F", WidthState(), (7, 7)),
    ("bit #!mask", WidthState(8, 8), (2, 2)),
    ("jsl !routine", WidthState(8, 8), (8, 8)),
])
def test_unknown_widens_the_range(text: str, state: WidthState, expected: tuple[int, int]) -> None:
    assert cost(read(text), state) == expected


def test_direct_page_alignment() -> None:
    state = WidthState(8, 8)
    assert cost(read("lda $12"), state, dl_zero=True) == (3, 3)
    assert cost(read("lda $12"), state, dl_zero=False) == (4, 4)
    assert master_clocks(read("lda $12"), state, dl_zero=True, fetch=6) == (20, 20)
