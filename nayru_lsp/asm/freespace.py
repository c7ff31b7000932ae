"""The image that a patch is applied to, as Asar changes it before any code is written: free space found and tagged,
old blocks taken away, the image made larger.

A block in freespace stands behind a *RATS tag*: "STAR", its length less one as two bytes, and those inverted. Whoever
looks for space jumps over what is tagged; `autoclean` finds the tag of the block that the old code jumps to and frees
all of it, and what its `prot` names with it. Lengths come from Asar's first pass; where a label was not known then,
Asar leaves room for a longer instruction and cuts the tag to size when all is placed.

Promises: total and bounded on any image. Follows Asar 1.91 to the byte, its oddities too (a block of no bytes lies
nowhere, ExLoROM tags a place that it does not use). Refuses to know code: whatever is assembled is not in this image.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from collections.abc import Mapping as Dictionary
from dataclasses import dataclass
from typing import NamedTuple

from nayru_lsp.asm.mapping import MappingMode, to_rom, to_snes

HEAD = 8                    # bytes of a RATS tag
MOST = 0x10000              # bytes of one block
NOWHERE = 0x1234            # where Asar says that a block of no bytes lies
MAX_IMAGE = 0x1000000
_FIRST = 0x80000            # in the mapping modes of patched games nothing below is ever taken
_SIZE_BYTE = {0x100000: 0x0A, 0x200000: 0x0B, 0x400000: 0x0C}       # the header's, of a LoROM image
_SIZE_BYTES = (0, 0x0A, 0x0B, 0x0C, 0x0C, 0x0D, 0x0D, 0x0D, 0x0D)    # by megabytes, with an SA-1
_NAME = re.compile(rb"[A-Z]{4}")


@dataclass(frozen=True, slots=True)
class Mapping:
    """How the image is seen: a mapping mode, and the megabytes that an SA-1 shows."""

    mode: MappingMode
    banks: tuple[int, ...]

    def rom(self, address: int) -> int:
        """As Asar's own conversion: -1 where there is none."""
        found = to_rom(self.mode, address, self.banks)
        return -1 if found is None else found

    def snes(self, offset: int) -> int:
        if offset < 0:
            return -1
        found = to_snes(self.mode, offset, self.banks)
        return -1 if found is None else found


class Wanted(NamedTuple):
    """What a block asks for. ``code``: it wants to see the RAM mirrors; ``free``: the byte that counts as free."""

    size: int
    code: bool
    align: bool = False
    free: int = 0
    borders: bool = True    # it has to lie within one bank


class Image:
    """``writes``: (ROM offset, bytes, source) in order, all that Asar counts as written; ``source`` is where in the
    text the next ones come from."""

    def __init__(self, base: bytes) -> None:
        self.base = base
        self.data = bytearray(base)
        self.writes: list[tuple[int, bytes, int]] = []
        self.source = 0

    def write(self, at: int, data: bytes) -> None:
        if at < 0 or at + len(data) > MAX_IMAGE:
            return
        if at + len(data) > len(self.data):
            self.data.extend(bytes(at + len(data) - len(self.data)))
        self.data[at:at + len(data)] = data
        self.writes.append((at, data, self.source))

    def grow(self, size: int, filler: int = 0) -> None:
        if len(self.data) < size <= MAX_IMAGE:
            self.data.extend(bytes([filler]) * (size - len(self.data)))

    def old(self, at: int, size: int) -> int:
        """A number of the image as it came, or -1 outside of it."""
        return int.from_bytes(self.base[at:at + size], "little") if 0 <= at <= len(self.base) - size else -1

    # --- tags --------------------------------------------------------------------------------------------------------

    def is_tag(self, at: int) -> bool:
        head = self.data[at:at + HEAD]
        return head[:4] == b"STAR" and len(head) == HEAD and head[4] ^ head[6] == head[5] ^ head[7] == 0xFF

    def length(self, at: int) -> int:
        """As the tag states it: one less than there are bytes."""
        return int.from_bytes(self.data[at + 4:at + 6], "little")

    def tag_of(self, at: int) -> int:
        """Where the tag of the block that holds ``at`` begins, or -1."""
        if at < _FIRST - HEAD:
            return -1
        first = at + 4
        while (first := self.data.rfind(b"STAR", at - MOST, first)) >= 0:
            if self.is_tag(first):
                return first if self.length(first) > at - first - HEAD - 1 else -1
            first += 3
        return -1

    def tag(self, at: int, size: int) -> None:
        """Mark a block of ``size`` bytes behind ``at``."""
        self.write(at, b"STAR" + _lengths(size))

    def resize(self, address: int, size: int, mapping: Mapping) -> None:
        at = self.tag_of(mapping.rom(address))
        if mapping.snes(at) >= 0:
            self.write(at + 4, _lengths(size))

    def remove(self, address: int, filler: int, mapping: Mapping) -> None:
        """Free the block that holds ``address``, and those that it protects."""
        at = self.tag_of(mapping.rom(address))
        if at < 0:
            return
        inside = at + HEAD
        for name_at in self._metadata(inside):
            if self.data[name_at:name_at + 4] == b"PROT":
                self.data[name_at:name_at + 4] = b"NULL"        # it may name itself: then it is gone half-way through
                size = self.data[name_at + 4]
                for entry in range(name_at + 5, name_at + 5 + size, 3) if size % 3 == 0 else ():
                    self.remove(int.from_bytes(self.data[entry:entry + 3], "little"), 0, mapping)
        gone = bytes([filler]) * (self.length(at) + HEAD + 1)
        self.data[at:at + len(gone)] = gone[:len(self.data) - at]       # the tag may promise more than there is
        self.writes.append((at, gone, self.source))

    def _metadata(self, first: int) -> Iterator[int]:
        """Where each entry begins, if there is a last one, as the image is when it is asked for."""
        def entries() -> Iterator[int]:
            at = first
            while _NAME.match(self.data, at) and at + 4 < len(self.data):
                yield at
                at += 5 + self.data[at + 4]

        if any(self.data[at:at + 4] == b"STOP" for at in entries()):
            for at in entries():
                if self.data[at:at + 4] == b"STOP":
                    return
                yield at

    # --- free space --------------------------------------------------------------------------------------------------

    def place(self, wanted: Wanted, mapping: Mapping, filler: int) -> int:
        """Find and tag a place; the ROM offset of its first byte, or -1. The image grows where this mapping mode lets
        it, by bytes of ``filler``."""
        if not wanted.size:
            return NOWHERE
        if wanted.size > MOST:
            return -1
        search = {MappingMode.LOROM: self._lorom, MappingMode.SA1ROM: self._sa1}.get(mapping.mode)
        if search is None:
            return self._elsewhere(wanted, mapping.mode)
        for growing in (True, False):
            found = search(wanted, mapping)
            if found >= 0 or not growing or not self.grown(wanted.code, mapping, filler):
                return found
        return -1

    def _lorom(self, wanted: Wanted, mapping: Mapping) -> int:
        size = wanted.size + HEAD
        if size > 0x8008 and wanted.borders:
            return -1
        border = 0x7FFF if wanted.borders else 0xFFFFFF
        align = 0x7FFF if wanted.align or (not wanted.borders and size >= 0x8000) else 0
        end = len(self.data)
        if end > 0x200000 and not wanted.code:
            found = self._try(0x200000 - HEAD, min(end, 0x400000), wanted, border, align)
            if found >= 0:
                return found
        return self._try(_FIRST, min(end, 0x200000), wanted, border, align)

    def _sa1(self, wanted: Wanted, mapping: Mapping) -> int:
        for start in [bank << 20 for bank in mapping.banks]:
            if start + 0x100000 <= len(self.data):
                found = self._try(start or _FIRST, start + 0x100000, wanted, 0x7FFF, 0x7FFF if wanted.align else 0)
                if found >= 0:
                    return found
        return -1

    def _elsewhere(self, wanted: Wanted, mode: MappingMode) -> int:
        end = len(self.data)
        half, full = (0x7FFF, 0xFFFF) if wanted.align else (0, 0)
        if mode in (MappingMode.HIROM, MappingMode.EXHIROM):
            if not wanted.code:
                return self._try(0, end, wanted, 0xFFFF, full)
            for start in range(0x8000, min(end, 0x400000), 0xFFFF):
                found = self._try(start, min(start + 0x7FFF, end), wanted, 0x7FFF, full)
                if found >= 0:
                    return found
            return -1
        if mode is MappingMode.EXLOROM:
            if wanted.code:
                self._try(0, min(end, 0x200000), wanted, 0x7FFF, half)
            return self._try(0, end, wanted, 0x7FFF, half)
        if mode is MappingMode.SFXROM:
            return self._try(_FIRST, end, wanted, 0x7FFF, half) if wanted.code else -1
        if mode is MappingMode.FULLSA1ROM:
            if not wanted.code and end > 0x400000:
                found = self._try(0x400000, end, wanted, 0xFFFF, full)
                if found >= 0:
                    return found
            return self._try(_FIRST, end, wanted, 0x7FFF, half)
        return -1

    def grown(self, code: bool, mapping: Mapping, filler: int) -> bool:
        size = len(self.data)
        if mapping.mode is MappingMode.LOROM:
            if code and size >= 0x200000:
                return False        # code could not use it
            larger = {0x80000: 0x100000, 0x100000: 0x200000, 0x200000: 0x400000, 0x300000: 0x400000}.get(size, 0)
            if larger:
                self.grow(larger, filler)
                self.write(mapping.rom(0x00FFD7), bytes([_SIZE_BYTE[larger]]))
            return larger > 0
        partly = [bank << 20 for bank in mapping.banks if bank << 20 <= size < (bank << 20) + 0x100000]
        if partly:
            self.grow(partly[-1] + 0x100000, filler)
            self.write(0x7FD7, bytes([_SIZE_BYTES[min(len(self.data) >> 20, 8)]]))
        return bool(partly)

    def _try(self, start: int, end: int, wanted: Wanted, border: int, align: int) -> int:
        """The first place from ``start`` on, up to ``end``, where tag and contents are free bytes; ``border`` and
        ``align`` are a bank's size less one. The tag alone may lie in the bank before."""
        data, size = self.data, wanted.size + HEAD
        free = bytes([wanted.free])
        run = free * size
        other = re.compile(b"[^" + re.escape(free) + b"]", re.DOTALL)
        last_tag = border & 0xFFFFF8
        before = -1
        while start + size <= end:
            in_last = start & last_tag == last_tag
            if (start + HEAD) & ~border != (start + size - 1) & ~border & 0xFFFFFF and not in_last:
                start = start & ~border & 0xFFFFFF | last_tag
                continue
            if align:
                start = start & ~align & 0xFFFFFF | align & 0xFFFFF8
                if start <= before:
                    return -1           # Asar would look here for ever
                before = start
            if self.is_tag(start):
                start += self.length(start) + 1 + HEAD
                continue
            if align or in_last:
                found = other.search(data, start, start + size)
                if found is None and (start + size <= len(data) or not wanted.free):
                    break               # an aligned place may lie behind the end: there are zeros
                free_bytes = max(0, (found.start() if found is not None else len(data)) - start)
                if start & align == 0x7FF8 and free_bytes < HEAD:
                    free_bytes = HEAD
                start += free_bytes or 1
                continue
            # Nothing of this bank is in the way but tags: go on with the nearest of a tag, a run, the bank's end.
            stop = min((start | border) - size + 2, end - size + 1)
            place = data.find(run, start, stop + size - 1)
            tag = self._next_tag(start, stop if place < 0 else place)
            if tag >= 0:
                start = tag
            elif place >= 0:
                start = place
                break
            else:
                found = other.search(data, stop - 1)
                start = stop if found is None or found.start() == stop - 1 else found.start()
        else:
            return -1
        self.tag(start, wanted.size)
        return start + HEAD

    def _next_tag(self, start: int, stop: int) -> int:
        at = start - 1
        while (at := self.data.find(b"STAR", at + 1, min(stop + 3, len(self.data)))) >= 0:
            if self.is_tag(at):
                return at
        return -1


def _lengths(size: int) -> bytes:
    stated = max(0, size - 1)
    return bytes([stated & 0xFF, stated >> 8 & 0xFF, stated & 0xFF ^ 0xFF, stated >> 8 & 0xFF ^ 0xFF])


class Event(NamedTuple):
    """Something that Asar does or judges when all labels have their places. ``block``: the tag of this block is cut
    to size; ``label``: an `autoclean` names it, by ``dl`` if ``data``. ``source``: the place in the text."""

    source: int
    mapping: Mapping
    block: int = 0
    label: str = ""
    data: bool = False


class Freespace:
    """What is known of the blocks of one root, by number; it lasts through all passes."""

    def __init__(self, base: bytes) -> None:
        self.image = Image(base)
        self.places: dict[int, int] = {}        # block -> SNES address
        self.lengths: dict[int, int] = {}       # block -> bytes, as the last pass left them
        self.old_places: dict[int, int] = {}    # block -> SNES address of its older self; 0: there was none
        self.old_lengths: dict[int, int] = {}
        self.fixed: set[int] = set()            # blocks that stay where their older selves are
        self.free: dict[int, int] = {}          # block -> the byte that frees it
        self.events: list[Event] = []

    def clean(self, at: int, opcode: int | None, block: int, mapping: Mapping, blocks: int, final: bool) -> None:
        """`autoclean` at the SNES address ``at``, of a JSL or JML (``opcode``) or a long address that leads to
        ``block``; ``blocks``: as many there are so far."""
        image = self.image
        old_place = self.old_places.get(block, -2)
        target = image.old(mapping.rom(at + (opcode is not None)), 3)
        if opcode is None:
            jumped = final
        else:
            jumped = image.old(mapping.rom(at), 1) == opcode
            old_place = max(0, old_place)
        if jumped:
            old_place = mapping.snes(image.tag_of(mapping.rom(target))) + HEAD
            used_again = old_place in [self.places.get(one) for one in range(blocks)]
            if final and block not in self.fixed and not used_again:
                image.remove(target, self.free.get(block, 0), mapping)
        if jumped or opcode is None:
            self.old_lengths[block] = image.old(mapping.rom(old_place - 4), 2) + 1
        self.old_places[block] = old_place

    def finish(self, labels: Dictionary[str, int]) -> Iterator[tuple[str, str, int]]:
        """Cut the tags to size; gives the errors that can be seen only now: code, message, source."""
        image = self.image
        for event in self.events:
            image.source = event.source
            if event.block:
                length = self.lengths.get(event.block, 0)
                image.resize(self.places[event.block], length, event.mapping)
                old = self.old_lengths.get(event.block, -1)
                if event.block in self.fixed and self.old_places.get(event.block, -2) > 0 and length > old:
                    yield ("static_freespace_growing", f"this block has {length:,} bytes now and had {old:,}: a static "
                           "one cannot grow", event.source)
            elif event.label in labels:
                address = labels[event.label] & 0xFFFFFF
                start = event.mapping.snes(image.tag_of(event.mapping.rom(address)))
                if start < 0 or start == address or (start > address and not event.data):
                    yield ("autoclean_label_at_freespace_end", f"`{event.label}` lies in no freespace, or at its end",
                           event.source)
