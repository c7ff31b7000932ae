"""SNES address <-> ROM offset in each of Asar's mapping modes, and the fold of hardware register mirrors.

A mapping mode is a list of windows of banks through which the ROM is seen. Checked bank by bank against Asar
(tests/asm/test_mapping.py). Refuses to know the size of the ROM and the contents of SRAM.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from functools import cache


class MappingMode(StrEnum):
    """Named as the directive that chooses it."""

    LOROM = "lorom"
    HIROM = "hirom"
    EXLOROM = "exlorom"
    EXHIROM = "exhirom"
    SA1ROM = "sa1rom"           # four megabytes at a time: which ones is the chip's to choose (``banks`` below)
    FULLSA1ROM = "fullsa1rom"
    SFXROM = "sfxrom"
    NOROM = "norom"


@dataclass(frozen=True, slots=True)
class _Window:
    """Banks ``first``..``last`` show the ROM from ``offset`` on, ``step`` bytes a bank.

    With a step of 32 KiB both halves of a bank show the same bytes; ``lower`` says whether its half $0000-$7FFF is
    ROM at all.
    """

    first: int
    last: int
    lower: bool
    step: int
    offset: int

    def to_rom(self, address: int) -> int | None:
        bank, word = address >> 16, address & 0xFFFF
        if not self.first <= bank <= self.last or (word < 0x8000 and not self.lower):
            return None
        return self.offset + (bank - self.first) * self.step + (word & (self.step - 1))

    def to_snes(self, offset: int) -> int | None:
        bank, word = divmod(offset - self.offset, self.step)
        if not 0 <= bank <= self.last - self.first or (self.step == _FULL and word < 0x8000 and not self.lower):
            return None
        return (self.first + bank) << 16 | word | (0x8000 if self.step == _HALF else 0)


_HALF, _FULL = 0x8000, 0x10000
SA1_BANKS: tuple[int, ...] = (0, 1, 2, 3)       # the megabytes that an SA-1 shows where `sa1rom` names none
# The order is that in which Asar chooses an address for an offset: the fast, always visible mirrors first.
_WINDOWS: dict[MappingMode, tuple[_Window, ...]] = {
    MappingMode.LOROM: (
        _Window(0x80, 0xBF, False, _HALF, 0), _Window(0xC0, 0xEF, True, _HALF, 0x200000),
        _Window(0xF0, 0xFF, False, _HALF, 0x380000), _Window(0x00, 0x3F, False, _HALF, 0),
        _Window(0x40, 0x6F, True, _HALF, 0x200000), _Window(0x70, 0x7D, False, _HALF, 0x380000)),
    MappingMode.HIROM: (
        _Window(0xC0, 0xFF, True, _FULL, 0), _Window(0x80, 0xBF, False, _FULL, 0),
        _Window(0x40, 0x7D, True, _FULL, 0), _Window(0x00, 0x3F, False, _FULL, 0)),
    MappingMode.EXLOROM: (
        _Window(0x80, 0xBF, False, _HALF, 0), _Window(0xC0, 0xFF, True, _HALF, 0x200000),
        _Window(0x00, 0x3F, False, _HALF, 0x400000), _Window(0x40, 0x6F, True, _HALF, 0x600000)),
    MappingMode.EXHIROM: (
        _Window(0xC0, 0xFF, True, _FULL, 0), _Window(0x80, 0xBF, False, _FULL, 0),
        _Window(0x40, 0x7D, True, _FULL, 0x400000), _Window(0x00, 0x3F, False, _FULL, 0x400000)),
    MappingMode.SA1ROM: (
        _Window(0x00, 0x3F, False, _HALF, 0), _Window(0x80, 0xBF, False, _HALF, 0x200000),
        _Window(0xC0, 0xFF, True, _FULL, 0)),
    MappingMode.FULLSA1ROM: (
        _Window(0x00, 0x3F, False, _HALF, 0), _Window(0x80, 0xBF, False, _HALF, 0x200000),
        _Window(0xC0, 0xFF, True, _FULL, 0x400000)),
    MappingMode.SFXROM: (_Window(0x00, 0x3F, False, _HALF, 0), _Window(0x40, 0x5F, True, _FULL, 0)),
    MappingMode.NOROM: (_Window(0x00, 0xFF, True, _FULL, 0),),
}


@cache
def _windows(mode: MappingMode, banks: tuple[int, ...]) -> tuple[_Window, ...]:
    if mode is not MappingMode.SA1ROM or banks == SA1_BANKS:
        return _WINDOWS[mode]
    starts = [bank << 20 for bank in banks]
    return (*(_Window(first, first + 0x1F, False, _HALF, start)
              for first, start in zip((0x00, 0x20, 0x80, 0xA0), starts, strict=True)),
            *(_Window(first, first + 0x0F, True, _FULL, start)
              for first, start in zip((0xC0, 0xD0, 0xE0, 0xF0), starts, strict=True)))


def without_header(image: bytes) -> bytes:
    """A ROM without the 512 bytes that copiers put in front of it."""
    return image[512:] if len(image) % 0x8000 == 512 else image


def to_rom(mode: MappingMode, address: int, banks: tuple[int, ...] = SA1_BANKS) -> int | None:
    """The ROM offset that the 24-bit SNES ``address`` shows, or None where it shows no ROM. ``banks``: the megabytes
    that an SA-1 shows."""
    if not 0 <= address <= 0xFFFFFF:
        return None
    return next((offset for window in _windows(mode, banks) if (offset := window.to_rom(address)) is not None), None)


def to_snes(mode: MappingMode, offset: int, banks: tuple[int, ...] = SA1_BANKS) -> int | None:
    """The SNES address that Asar would choose for the ROM ``offset``, or None where none shows it."""
    return next((address for window in _windows(mode, banks) if (address := window.to_snes(offset)) is not None), None)


def canonical_register(address: int) -> int | None:
    """The bank-0 form of an address in the hardware register area ($2000-$5FFF of banks $00-$3F and $80-$BF), with
    the sound ports' mirrors folded: $802100 -> $002100, $3F2144 -> $002140. None for any other address."""
    bank, word = address >> 16, address & 0xFFFF
    if not 0 <= bank <= 0xBF or bank & 0x40 or not 0x2000 <= word <= 0x5FFF:
        return None
    return 0x2140 | word & 3 if 0x2140 <= word <= 0x217F else word
