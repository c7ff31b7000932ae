"""Facts of the register table that a program can see, run on the bsnes core."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from nayru_snes.registers import FIELDS, read_at, registers_at

from nayru_lsp.asm.encode import encode
from nayru_lsp.asm.evaluate import evaluate
from nayru_lsp.asm.parser import parse_line
from nayru_lsp.asm.syntax import Instruction
from tests.bsnes import Core, Harness, Result, harness
from tests.kit import REPOSITORY, missing, require


def assemble(text: str) -> bytes:
    """A few instructions with plain operands, by our own encoder."""
    out = b""
    for line in text.split(":"):
        (statement,) = parse_line(line.strip()).statements
        assert isinstance(statement, Instruction), line
        data = encode(statement, lambda expr: evaluate(expr, lambda name: None), None)
        assert data is not None, line
        out += data
    return out


def run(text: str, **options: object) -> Result:
    """``text`` with 8-bit registers and DBR 0; forced blank is on, interrupts are off."""
    result = harness().run(assemble(text + " : rtl"), {"P": 0x30, "DBR": 0}, **options)  # type: ignore[arg-type]
    assert result.outcome == "returned"
    return result


def nops(cycles: int) -> str:
    return " : ".join(["nop"] * (cycles // 2))


def test_every_proven_fact_is_proven_here() -> None:
    proven = {fact.name for fact, _ in FIELDS if "bsnes core" in fact.source}
    assert proven == {
        "VMAIN", "VMDATAL", "VMDATAH", "M7A", "M7B", "MPYL", "MPYM", "MPYH", "SLHV", "OPHCT", "OPVCT", "STAT77",
        "STAT78", "WMDATA", "WMADDL", "WMADDM", "WMADDH", "JOYSER1", "WRMPYA", "WRMPYB", "WRDIVL", "WRDIVH", "WRDIVB",
        "MEMSEL", "RDNMI", "HVBJOY", "RDDIVL", "RDDIVH", "RDMPYL", "RDMPYH"}


MULTIPLY = "lda #123 : sta $4202 : lda #45 : sta $4203 : {} : lda $4216 : sta $10 : lda $4217 : sta $11"
DIVIDE = ("lda #$31 : sta $4204 : lda #$D4 : sta $4205 : lda #{by} : sta $4206 : {wait} : "
          "lda $4214 : sta $10 : lda $4215 : sta $11 : lda $4216 : sta $12 : lda $4217 : sta $13")


def test_multiplication() -> None:
    assert run(MULTIPLY.format(nops(8))).word(0x10) == 123 * 45
    again = MULTIPLY.format(f"{nops(8)} : lda #2 : sta $4203 : {nops(8)}")
    assert run(again).word(0x10) == 123 * 2, "WRMPYA is kept"


def test_division() -> None:
    def divide(by: int) -> tuple[int, int]:
        result = run(DIVIDE.format(by=by, wait=nops(16)))
        return result.word(0x10), result.word(0x12)

    assert divide(200) == divmod(0xD431, 200)
    assert divide(0) == (0xFFFF, 0xD431)


def early(path: str) -> None:
    """In a process of its own, on the accuracy core: the performance core has the results at once."""
    core = Harness(Core(Path(path)))

    def word(text: str) -> int:
        return core.run(assemble(text + " : rtl"), {"P": 0x30, "DBR": 0}).word(0x10)

    product, quotient = 123 * 45, 0xD431 // 200
    assert word(MULTIPLY.format(nops(8))) == product
    assert word(MULTIPLY.format("clc")) != product
    assert word(DIVIDE.format(by=200, wait=nops(16))) == quotient
    assert word(DIVIDE.format(by=200, wait=nops(8))) != quotient
    print("as the table says")


def test_results_take_their_time() -> None:
    accuracy = require("bsnes").with_name("bsnes_mercury_accuracy_libretro.so")
    if not accuracy.exists():
        missing("bsnes", "the accuracy core is not beside the performance core")
    code = f"from tests.plugins.test_snes_core import early; early({str(accuracy)!r})"
    child = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=REPOSITORY, timeout=60)
    assert child.stdout.strip() == "as the table says", child.stderr[-800:]


def test_ppu_product_is_ready_at_once() -> None:
    for a, b in ((1234, 56), (-1234, 56), (0x7FFF, -128), (-1, -1)):
        result = run(f"lda #{a & 0xFF} : sta $211B : lda #{a >> 8 & 0xFF} : sta $211B : lda #{b & 0xFF} : sta $211C : "
                     "lda $2134 : sta $10 : lda $2135 : sta $11 : lda $2136 : sta $12")
        assert int.from_bytes(result.wram[0x10:0x13], "little", signed=True) == a * b


def test_registers_to_read_ignore_writes() -> None:
    """Of those whose value holds still: written with the opposite bits, read as before."""
    for address in (0x2134, 0x2135, 0x2136, 0x4214, 0x4215, 0x4216, 0x4217):
        fact = read_at(address)
        assert fact is not None and fact.access == "r"
        result = run(f"lda ${address:04X} : sta $10 : eor #$FF : sta ${address:04X} : lda ${address:04X} : sta $11")
        assert result.byte(0x10) == result.byte(0x11), fact.name


def test_registers_to_write_read_as_open_bus() -> None:
    """The last byte on the bus is the high byte of the operand, $21 or $42; PPU1's own bus ($21x4-6, $21x8-A) aside."""
    for address in (0x2100, 0x2101, 0x2102, 0x2103, 0x210B, 0x2121, 0x2123, 0x2133, 0x4200, 0x420D):
        assert all("r" not in fact.access for fact in registers_at(address))
        for before in (0x00, 0xFF):
            result = run(f"lda #${before:02X} : lda ${address:04X} : sta $10")
            assert result.byte(0x10) == address >> 8, hex(address)


def test_beam_latch() -> None:
    result = run("lda $213F : lda $2137 : lda $213C : sta $10 : lda $213C : sta $11 : "
                 "lda $213D : sta $12 : lda $213D : sta $13 : "
                 "lda $213F : sta $14 : lda $213F : sta $15 : lda $213C : sta $16")
    assert 0 <= result.word(0x10) & 0x1FF < 340 and 0 <= result.word(0x12) & 0x1FF < 262
    assert result.byte(0x14) & 0x40 and not result.byte(0x15) & 0x40, "latched, until STAT78 is read"
    assert result.byte(0x16) == result.byte(0x10), "low byte again"


def test_versions_and_video_standard() -> None:
    result = run("lda $213E : sta $10 : lda $213F : sta $11 : lda $4210 : sta $12")
    assert result.byte(0x10) & 0x0F == 1 and result.byte(0x10) & 0xE0 == 0
    assert result.byte(0x11) & 0x10 == 0, "the harness ROM is NTSC"
    assert result.byte(0x12) & 0x0F == 2


def test_nmi_flag_is_cleared_by_reading() -> None:
    # wait for vertical blank: $4212 bit 7
    wait = bytes.fromhex("ad1242 10fb ad1242 30fb ad1242 10fb")
    code = wait + assemble("lda $4210 : sta $10 : lda $4210 : sta $11 : lda $4212 : sta $12 : rtl")
    result = harness().run(code, {"P": 0x30, "DBR": 0})
    assert result.outcome == "returned"
    assert result.byte(0x10) & 0x80 and not result.byte(0x11) & 0x80 and result.byte(0x12) & 0x80
    assert result.byte(0x10) & 0x70 == 0x40, "open bus: the operand's high byte"


def test_work_ram_port() -> None:
    result = run("lda #$34 : sta $2181 : lda #$12 : sta $2182 : lda #$FF : sta $2183 : "
                 "lda #$AA : sta $2180 : lda #$BB : sta $2180")
    assert result.wram[0x11234:0x11236] == b"\xaa\xbb", "bank $7F, one step a byte; bits 7-1 of the bank do not count"
    result = run("lda #$34 : sta $2181 : lda #$12 : sta $2182 : stz $2183 : lda $2180 : sta $10 : lda $2180 : sta $11",
                 wram={0x1234: b"\x56\x78"})
    assert result.wram[0x10:0x12] == b"\x56\x78"


def test_video_memory_steps() -> None:
    def write(mode: int, data: str) -> bytes:
        return run(f"lda #{mode} : sta $2115 : stz $2116 : stz $2117 : {data}").vram[:0x84]

    both = "lda #$11 : sta $2118 : lda #$22 : sta $2119 : lda #$33 : sta $2118 : lda #$44 : sta $2119"
    assert write(0x80, both)[:4] == bytes.fromhex("11223344"), "step after $2119"
    stepped = write(0x81, both)
    assert stepped[0x40:0x42] == bytes.fromhex("3344"), "32 words"
    low = write(0x00, "lda #$11 : sta $2118 : lda #$22 : sta $2118")
    assert (low[0], low[2]) == (0x11, 0x22), "step after $2118"


def test_video_memory_read_is_one_behind() -> None:
    result = run("lda #$80 : sta $2115 : stz $2116 : stz $2117 : lda $2139 : sta $10 : lda $213A : sta $11 : "
                 "lda $2139 : sta $12 : lda $213A : sta $13 : lda $2139 : sta $14 : lda $213A : sta $15",
                 vram={0: bytes.fromhex("112233445566")})
    assert result.wram[0x10:0x16] == bytes.fromhex("112211223344")


def test_second_joypad_port_reads_ones() -> None:
    assert run("lda $4017 : sta $10").byte(0x10) & 0x1C == 0x1C


def test_fast_rom() -> None:
    """MEMSEL: 6 clocks a fetch in bank $80, where 8 without it (tests/asm/test_cost.py runs every opcode so)."""
    assert harness(True).clocks(b"\xea" * 10 + b"\x6b") == 10 * 12
    assert harness(False).clocks(b"\xea" * 10 + b"\x6b") == 10 * 14


def test_dma_registers_keep_what_is_written() -> None:
    for address in (*range(0x4300, 0x430C), *range(0x4370, 0x437C)):
        assert all(fact.access == "rw" for fact in registers_at(address))
        result = run(f"lda #$5A : sta ${address:04X} : lda #$00 : lda ${address:04X} : sta $10")
        assert result.byte(0x10) == 0x5A, hex(address)
    assert run("lda #$5A : sta $430B : lda #$00 : lda $430F : sta $10").byte(0x10) == 0x5A, "seen twice"
