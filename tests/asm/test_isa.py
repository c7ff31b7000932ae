from __future__ import annotations

import subprocess
import sys
from collections import Counter

from nayru_lsp.asm.isa import MNEMONICS, OPCODES, AddressingMode, modes_for, opcode_for
from nayru_lsp.asm.syntax import OperandShape


def test_256_opcodes_and_92_mnemonics() -> None:
    assert [opcode.value for opcode in OPCODES] == list(range(256))
    assert len(MNEMONICS) == 92
    for opcode in OPCODES:
        assert opcode_for(opcode.mnemonic, opcode.mode) is opcode
        assert opcode.meaning and "\n" not in opcode.meaning
        assert set(opcode.flags) <= set("NVMXDIZCE*") and set(opcode.rules) <= set("mxdptbw")
        assert opcode.cycles >= (opcode.size if isinstance(opcode.size, int) else 2) + opcode.data


def test_look_ups_are_total() -> None:
    assert opcode_for("FOO", AddressingMode.ABSOLUTE) is None
    assert modes_for("", OperandShape.PLAIN) == ()
    assert opcode_for("lda", AddressingMode.IMMEDIATE) is OPCODES[0xA9]


def test_narrowest_mode_first() -> None:
    assert modes_for("LDA", OperandShape.PLAIN) == (
        AddressingMode.DIRECT, AddressingMode.ABSOLUTE, AddressingMode.ABSOLUTE_LONG)
    assert modes_for("jmp", OperandShape.LONG_INDIRECT) == (AddressingMode.ABSOLUTE_INDIRECT_LONG,)
    assert modes_for("NOP", OperandShape.IMMEDIATE) == (AddressingMode.IMPLIED,)
    assert modes_for("STA", OperandShape.IMMEDIATE) == ()
    assert set(modes_for("STX", OperandShape.OPAQUE)) == {
        AddressingMode.DIRECT, AddressingMode.DIRECT_Y, AddressingMode.ABSOLUTE}


def test_how_many_of_each_mode() -> None:
    """The mode counts of WDC's opcode matrix."""
    counts = Counter(opcode.mode for opcode in OPCODES)
    assert counts[AddressingMode.RELATIVE] == 9 and counts[AddressingMode.BLOCK_MOVE] == 2
    assert counts[AddressingMode.STACK_RELATIVE] == 8 and counts[AddressingMode.DIRECT_INDIRECT_LONG] == 8
    assert counts[AddressingMode.ABSOLUTE_LONG_X] == 8 and counts[AddressingMode.IMMEDIATE] == 14


def test_loads_quickly() -> None:
    """15 ms on a quiet machine; the best of several, since others may be at work here."""
    code = ("import nayru_lsp.asm.syntax, tomllib, pkgutil, time; t = time.perf_counter(); "
            "import nayru_lsp.asm.isa; print(time.perf_counter() - t)")
    best = min(float(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)
               for _ in range(3))
    assert best < 0.1, f"{best * 1000:.0f} ms"
