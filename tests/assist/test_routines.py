"""Every routine of the library, run on the real core: right results, kept widths, nothing else touched."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from nayru_lsp.assist.library import Routine, find, routines
from tests.asar import assemble
from tests.bsnes import SLOT, Result, harness

BY_NAME = {routine.name: routine for routine in routines()}
M8X16, M16X16, M8X8, M16X8 = 0x20, 0x00, 0x30, 0x10


def code(routine: Routine, around: str = "", label: str = "") -> bytes:
    """The routine at the slot, called by JSR from a wrapper that returns by RTL."""
    text = f"lorom\norg ${SLOT:06X}\n{around or f'    JSR {label or routine.label_name}'}\n    RTL\n{routine.text}"
    done = assemble(text)
    assert done.ok, done.errors
    return done.data


@dataclass
class Case:
    """One run. ``given``: WRAM; ``wanted``: WRAM afterwards; ``scratch``: addresses that may change to anything."""

    name: str
    given: dict[int, bytes] = field(default_factory=dict)
    registers: dict[str, int] = field(default_factory=dict)
    wanted: dict[int, bytes] = field(default_factory=dict)
    scratch: tuple[range, ...] = ()
    carry: bool | None = None
    look: Callable[[Result], None] | None = None
    around: str = ""
    vram: dict[int, bytes] = field(default_factory=dict)


def le(value: int, size: int = 2) -> bytes:
    return (value & (1 << 8 * size) - 1).to_bytes(size, "little")


def run(case: Case, widths: int, fill: int) -> None:
    routine = BY_NAME[case.name]
    registers = {"P": widths, "D": 0, "DBR": 0} | case.registers
    result = harness().run(code(routine, case.around), registers, wram=case.given, vram=case.vram, fill=fill)
    assert result.outcome == "returned", f"{case.name}: {result.outcome}"
    if not case.around:
        assert result.registers["P"] & 0x38 == widths & 0x38, f"{case.name}: widths or decimal mode changed"
        assert result.registers["DBR"] == registers["DBR"] and result.registers["D"] == 0
    assert result.registers["S"] == EMPTY_STACK, f"{case.name}: the stack is not where it was"
    expected = bytearray([fill]) * 0x20000
    for address, data in (case.given | case.wanted).items():
        expected[address : address + len(data)] = data
    for free in (*case.scratch, range(0x1E00, 0x2000)):
        expected[free.start : free.stop] = result.wram[free.start : free.stop]
    if result.wram != expected:
        wrong = [(hex(at), hex(have), hex(want))
                 for at, (have, want) in enumerate(zip(result.wram, expected, strict=True)) if have != want]
        raise AssertionError(f"{case.name} {case.given}: (address, is, wanted) {wrong[:8]}")
    if case.carry is not None:
        assert bool(result.registers["P"] & 1) is case.carry, f"{case.name} {case.given}: carry"
    if case.look:
        case.look(result)


EMPTY_STACK = 0x1EFE


def arithmetic() -> list[Case]:
    rng = random.Random(65816)
    cases: list[Case] = []
    edges8, edges16 = (0, 1, 2, 127, 128, 255), (0, 1, 2, 255, 256, 0x7FFF, 0x8000, 0xFFFE, 0xFFFF)
    some8 = [(a, b) for a in edges8 for b in edges8]
    some16 = [(a, b) for a in edges16 for b in edges16]
    some16 += [(rng.randrange(65536), rng.randrange(65536)) for _ in range(40)]
    for a, b in some8:
        cases.append(Case("multiply_8", {0: bytes([a, b])}, wanted={2: le(a * b)}))
    for a, b in some16:
        cases.append(Case("multiply_16", {0: le(a), 2: le(b)}, wanted={4: le(a * b, 4)}))
        quotient, rest = divmod(a, b) if b else (0xFFFF, a)
        cases.append(Case("divide_16", {0: le(a), 2: le(b)}, wanted={0: le(quotient), 4: le(rest)}))
        small = b & 0xFF
        quotient, rest = divmod(a, small) if small else (0xFFFF, a)
        cases.append(Case("divide_8", {0: le(a), 2: bytes([small])}, wanted={4: le(quotient), 6: le(rest)}))
        signed = (a ^ 0x8000) - 0x8000
        factor = (small ^ 0x80) - 0x80
        cases.append(Case("multiply_signed", {0: le(a), 2: bytes([small])}, wanted={4: le(signed * factor, 3)}))
        cases.append(Case("negate_16", {0: le(a)}, wanted={0: le(abs(signed))}))
        low, high = sorted((b, rng.randrange(65536)))
        cases.append(Case("clamp_16", {0: le(a), 2: le(low), 4: le(high)}, wanted={0: le(min(max(a, low), high))}))
    for _ in range(60):
        a, b = rng.choice([0, 1, 0xFFFFFF, 0x00FFFF, rng.randrange(1 << 24)]), rng.randrange(1 << 24)
        cases.append(Case("add_24", {0: le(a, 3), 3: le(b, 3)}, wanted={0: le(a + b, 3)}, carry=a + b >= 1 << 24))
        cases.append(Case("subtract_24", {0: le(a, 3), 3: le(b, 3)}, wanted={0: le(a - b, 3)}, carry=a >= b))
    for value in (0, 1, 9, 10, 99, 100, 12345, 40000, 65535, 10000):
        digits = bytes(int(d) for d in f"{value:05}")
        cases.append(Case("decimal_digits", {0: le(value)}, wanted={2: digits}, scratch=(range(8, 9),)))
    for a, b in ((0, 0), (9, 1), (99, 1), (1234, 8765), (5000, 4999), (9999, 1)):
        cases.append(Case("bcd_add", {0: le(int(str(a), 16)), 2: le(int(str(b), 16))},
                          wanted={0: le(int(str((a + b) % 10000), 16))}))
    for value in (0, 0x09, 0x0A, 0x5F, 0xA0, 0xFF):
        cases.append(Case("hex_digits", {0: bytes([value])}, wanted={2: f"{value:02X}".encode()}))
    seed = 0xACE1
    for _ in range(20):
        after = seed
        after ^= after << 7 & 0xFFFF
        after ^= after >> 9
        after ^= after << 8 & 0xFFFF
        cases.append(Case("random_16", {0x1A: le(seed)}, wanted={0x1A: le(after)}))
        seed = after
    return cases


def memory() -> list[Case]:
    cases: list[Case] = []
    block = bytes(range(1, 200))
    cases.append(Case("memcpy", {0: le(len(block)), 0x3000: block}, {"X": 0x3000, "Y": 0x5000}, {0x5000: block}))
    cases.append(Case("memcpy", {0: le(0), 0x3000: block}, {"X": 0x3000, "Y": 0x5000}))
    cases.append(Case("memcpy", {0: le(1), 0x3000: b"\x77"}, {"X": 0x3000, "Y": 0x5000}, {0x5000: b"\x77"}))
    for count in (0, 1, 300):
        cases.append(Case("memset", {0: le(count) + b"\x5C"}, {"X": 0x4000}, {0x4000: b"\x5C" * count}))
    table = b"".join(le(number * 257 & 0xFFFF) for number in range(256))
    for index in (0, 1, 127, 128, 255):
        cases.append(Case("table_word", {0: bytes([index]), 0x0800: table}, {"X": 0x0800},
                          {2: le(index * 257)}, scratch=(range(4, 6),)))
    hidden = bytes(544)
    objects = bytearray(b"\xEE" * 512)
    objects[1::4] = b"\xF0" * 128
    cases.append(Case("oam_hide", {0x200: b"\xEE" * 544}, wanted={0x200: bytes(objects) + hidden[:32]}))
    for number, wanted in ((0, 5), (1, 6), (2, 4), (3, 0), (4, 5), (255, 5)):
        cases.append(Case("jump_table", {0: bytes([number, 5])}, wanted={1: bytes([wanted])}))
    for brightness, carry, after in ((0, False, 1), (7, False, 8), (15, True, 15)):
        cases.append(Case("fade_in", {0x18: bytes([brightness])}, wanted={0x18: bytes([after])}, carry=carry))
    for brightness, carry, after in ((15, False, 14), (1, False, 0), (0, True, 0)):
        cases.append(Case("fade_out", {0x18: bytes([brightness])}, wanted={0x18: bytes([after])}, carry=carry))
    return cases


READ_CGRAM = """
    SEP #$20
    REP #$10
    LDA #$00
    STA $2121
    LDX.w #$0000
-   LDA $213B
    STA $0800,X
    INX
    CPX.w #$0020
    BNE -
"""
READ_OAM = """
    SEP #$20
    REP #$10
    LDX.w #$0000
    STX $2102
-   LDA $2138
    STA $0800,X
    INX
    CPX.w #$0220
    BNE -
"""


def hardware() -> list[Case]:
    cases: list[Case] = []
    tiles = bytes(random.Random(1).randbytes(256))

    def vram_has(at: int, data: bytes) -> Callable[[Result], None]:
        def look(result: Result) -> None:
            assert result.vram[at : at + len(data)] == data

        return look

    cases.append(Case("dma_vram", {0: bytes([0x7E, 0]), 2: le(0x1200), 0x6000: tiles}, {"X": 0x6000, "Y": 256},
                      look=vram_has(0x2400, tiles)))
    palette = bytes(value & 0x7F for value in tiles[:32])
    cases.append(Case("dma_cgram", {0: bytes([0x7E, 0, 0]), 0x6000: palette}, {"X": 0x6000, "Y": 32, "P": M8X16},
                      {0x800: palette}, around="    JSR DmaCgram\n" + READ_CGRAM))
    objects = bytes(random.Random(2).randbytes(544))
    cases.append(Case("dma_oam", {0: b"\x7E", 0x6000: objects}, {"X": 0x6000, "P": M8X16},
                      {0x800: objects}, around="    JSR DmaOam\n" + READ_OAM))
    cases.append(Case("vram_clear", {}, wanted={0: b"\0"}, vram={0: b"\x99" * 65536}, look=vram_has(0, bytes(65536))))
    letters = b"HELLO"
    words = b"".join(bytes([letter, 0x24]) for letter in letters)
    cases.append(Case("string_draw", {0: le(0x0400) + b"\x24", 0x900: letters + b"\0"}, {"X": 0x0900},
                      look=vram_has(0x800, words)))
    return cases


ALL = [*arithmetic(), *memory(), *hardware()]


@pytest.mark.parametrize("name", sorted({case.name for case in ALL}))
def test_results(name: str) -> None:
    """Each case from two fills of memory (nothing depends on what was there) and all four width states."""
    cases = [case for case in ALL if case.name == name]
    for number, case in enumerate(cases):
        for widths, fill in ((M8X16, 0x00), (M16X16, 0xA5)) if number % 2 else ((M16X16, 0xA5), (M8X16, 0x00)):
            if case.around and widths != M8X16:
                continue
            run(case, widths, fill)


@pytest.mark.parametrize("widths", [M8X8, M16X8])
def test_narrow_index_registers_on_entry(widths: int) -> None:
    seen = set()
    for case in ALL:
        if not case.registers and not case.around and case.name not in seen:
            seen.add(case.name)
            run(case, widths, 0x3C)
    assert len(seen) > 15


def test_wait_vblank_returns_as_the_blank_begins() -> None:
    result = harness().run(code(BY_NAME["wait_vblank"]), {"P": M8X16})
    assert result.outcome == "returned" and result.end[1] in (225, 226), result.end
    inside = "-   LDA $4212\n    BPL -\n    JSR WaitVblank\n"
    again = harness().run(code(BY_NAME["wait_vblank"], inside), {"P": M8X16})
    assert again.end[1] in (225, 226) and again.frames >= 2, "called inside a blank, it waits for the next one"


def test_clear_wram_clears_all_of_it_and_returns() -> None:
    # the wrapper's own return address is cleared as well, so it says itself that it was reached
    around = "    JSR ClearWram\n    LDA #$A5\n    STA $1FF0\n-   BRA -"
    result = harness().run(code(BY_NAME["clear_wram"], around), {"P": M8X16}, fill=0x77)
    assert result.outcome == "returned"
    cleared = [address for address in range(0x20000) if result.wram[address]]
    assert all(0x1D00 <= address < 0x2000 for address in cleared), cleared[:5]


def test_init_registers_leaves_a_dark_screen_and_a_known_state() -> None:
    # junk first: VRAM step, mode 7 matrix
    junk = "    SEP #$20\n    LDA #$0F\n    STA $2100\n    STA $2115\n    STA $211B\n    STA $211B\n    STA $211C\n"
    look = ("    JSR InitRegisters\n    REP #$10\n    LDX.w #$0300\n    STX $2116\n"
            "    LDA #$11\n    STA $2118\n    STA $2119\n"
            "    LDA #$22\n    STA $2118\n    STA $2119\n    LDA $2134\n    STA $0800\n    LDA $2135\n    STA $0801\n")
    result = harness().run(code(BY_NAME["init_registers"], junk + look), {"P": M8X16})
    assert result.outcome == "returned"
    assert result.vram[0x600:0x604] == b"\x11\x11\x22\x22", "the VRAM address grows after the high byte"
    assert result.word(0x800) == 0, "identity matrix times zero"


def test_joypad_read_tells_held_from_pressed() -> None:
    one = harness()
    around = ("    SEP #$20\n    LDA #$01\n    STA $4200\n-   LDA $4212\n    BMI -\n-   LDA $4212\n    BPL -\n"
              "    LDX.w #$0040\n-   DEX\n    BNE -\n    JSR JoypadRead\n    STZ $4200\n")
    try:
        one.core.buttons = {0, 7, 3}                # B, Right, Start
        result = one.run(code(BY_NAME["joypad_read"], around), {"P": M8X16}, wram={0x12: le(0x8000)})
        assert (result.word(0x12), result.word(0x14)) == (0x9100, 0x1100), "B was held before"
    finally:
        one.core.buttons = set()


def test_nmi_handler_keeps_every_register() -> None:
    around = "Outer:\n    PHK\n    PEA .back\n    PHP\n    JML NmiHandler\n.back"
    wanted = {"A": 0x1234, "X": 0x5678, "Y": 0x9ABC, "P": M16X16, "DBR": 0x7E}
    result = harness().run(code(BY_NAME["nmi_handler"], around), wanted, wram={0x10: b"\0\x07"})
    assert result.outcome == "returned"
    assert {name: result.registers[name] & (0x30 if name == "P" else 0xFFFF) for name in wanted} == wanted
    assert result.wram[0x10:0x12] == b"\x01\x08"


def test_random_16_visits_every_number() -> None:
    seen, value = set(), 1
    while value not in seen:
        seen.add(value)
        value ^= value << 7 & 0xFFFF
        value ^= value >> 9
        value ^= value << 8 & 0xFFFF
    assert len(seen) == 65535


def test_every_routine_is_run_by_a_test_here() -> None:
    own = {"wait_vblank", "clear_wram", "init_registers", "joypad_read", "nmi_handler"}
    assert {case.name for case in ALL} | own == set(BY_NAME)
    assert len(BY_NAME) >= 16


@pytest.mark.parametrize(("asked", "wanted"), [
    ("wait for vblank", "wait_vblank"),
    ("copy tiles to VRAM with DMA", "dma_vram"),
    ("upload a palette", "dma_cgram"),
    ("multiply two 16-bit numbers", "multiply_16"),
    ("Divide a 16 bit number by an 8 bit number", "divide_8"),
    ("read the joypad", "joypad_read"),
    ("fade the screen out", "fade_out"),
    ("convert number to decimal digits for the score", "decimal_digits"),
    ("generate a random number", "random_16"),
    ("hide all sprites", "oam_hide"),
    ("initialise the PPU registers", "init_registers"),
])
def test_find(asked: str, wanted: str) -> None:
    assert [routine.name for routine in find(asked)][:1] == [wanted]


SENSELESS = ["", "enemy AI", "draw the player's life meter and coins", "the", "!?", "make coffee"]


@pytest.mark.parametrize("asked", SENSELESS)
def test_find_stays_silent(asked: str) -> None:
    assert find(asked) == []
