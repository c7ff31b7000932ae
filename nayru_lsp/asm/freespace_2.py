"""The image that a patch is applied to, as Asar 2.0 changes it before its last pass: where freespace lies.

2.0 goes through a program twice, each block in freespace beginning at 0, before it places anything; then it knows how
long all blocks are, which of them are pinned to which, what `autoclean` freed and where the program writes, and places
them all at once. Nothing is placed on what is tagged or written. Tags are as in 1.91 (see `freespace`), but never cut
to size, and only blocks that ask for it have one.

Promises: total and bounded on any image; where Asar would look for ever, nothing is found. Refuses to know code:
whatever is assembled is not in this image, only where it is.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from nayru_lsp.asm.expansion import REGION
from nayru_lsp.asm.freespace import HEAD, MOST, Image, Mapping
from nayru_lsp.asm.mapping import MappingMode

ANY, CODE = -1, -2          # for `Wanted2.bank`: any bank, any that sees the mirrors of RAM
NONE, NOT_KNOWN = -1, -2    # for `Block.place`: there is no room; nobody can tell where Asar would place it
_FIRST = 0x80000            # of the original game, nothing below is taken unless `start=` says so


class Wanted2(NamedTuple):
    """What a block asks for. ``start``: the SNES address to look from; ``pin``: namespace and name of a label in the
    block that this one has to follow. ``source``: where in the text it is."""

    bank: int = ANY
    tagged: bool = True
    align: bool = False
    static: bool = False
    cross: bool = False
    start: int = -1
    pin: tuple[str, str] | None = None
    source: int = 0


@dataclass(slots=True)
class Block:
    """A block in freespace, as all passes see it. ``old_place``: -2 until an `autoclean` leads here, -1 where the old
    code had no such block, else the SNES address of its older self."""

    wanted: Wanted2
    length: int = 0
    place: int = -1
    old_place: int = -2
    old_length: int = -1
    pinned_to: int = 0
    used: int = 0               # bytes of it that are given to itself and what is pinned to it


class Image2(Image):
    """An image that also knows what is taken: by the program, by tags."""

    def __init__(self, base: bytes) -> None:
        super().__init__(base)
        self.taken: list[tuple[int, int, int]] = []         # SNES address, ROM offset, bytes; none touch in one bank
        self.tags: list[tuple[int, int]] | None = None      # ROM offset, bytes: of the tagged blocks

    def take(self, at: int, size: int, mapping: Mapping) -> None:
        while size > 0 and (start := mapping.snes(at)) >= 0:
            part = min(size, 0x10000 - (start & 0xFFFF))
            self._merge(start, at, part)
            at += part
            size -= part

    def _merge(self, start: int, at: int, size: int) -> None:
        taken = self.taken
        bank = start >> 16
        first = bisect_left(taken, (start,))
        if first and taken[first - 1][0] >> 16 == bank and taken[first - 1][0] + taken[first - 1][2] >= start:
            first -= 1
            size = max(start + size, taken[first][0] + taken[first][2]) - taken[first][0]
            start, at = taken[first][:2]
            del taken[first]
        end = first
        while end < len(taken) and taken[end][0] >> 16 == bank and start + size >= taken[end][0]:
            size = max(start + size, taken[end][0] + taken[end][2]) - start
            end += 1
        taken[first:end] = [(start, at, size)]

    def program(self, writes: Iterable[tuple[int, int, int]], mapping: Mapping) -> None:
        """Where the program writes: ROM offset, bytes, and the byte for what it leaves out behind the image's end."""
        for at, size, filler in writes:
            if at + size > len(self.data):
                self.grow(at, filler)
                self.grow(at + size)
            self.take(at, size, mapping)

    # --- free space --------------------------------------------------------------------------------------------------

    def place_2(self, wanted: Wanted2, size: int, mapping: Mapping, filler: int) -> int:
        """Find a place for ``size`` bytes, tag it where it wants that, and take it. Its SNES address, or
        what stands for none."""
        mode, bank = mapping.mode, wanted.bank
        if size and bank >= 0 and mapping.rom(bank << 16 | (0 if bank & 0x40 else 0x8000)) < 0:
            return NOT_KNOWN        # a bank without ROM: it looks at what lies before the image
        if size > MOST and (wanted.tagged or not wanted.cross):
            return -1
        found = -1
        if not size:            # anywhere
            found = mapping.rom(bank << 16 | 0x8000) if bank >= 0 else 0
        elif bank >= 0:
            half = mode in (MappingMode.LOROM, MappingMode.EXLOROM)
            found = self._in_bank(wanted, size, mapping, filler, 0x7FFF if half else 0xFFFF)
        else:
            for growing in (True, False):
                found = self._search(wanted, size, mapping, filler)
                if found >= 0 or not growing or not self._grows(wanted, size, mapping, filler):
                    break
        place = mapping.snes(found)
        if place >= 0 and bank == CODE and mode in (MappingMode.HIROM, MappingMode.EXHIROM):
            place &= ~0x400000
            return place if place & 0x8000 else -1
        return place

    def _grows(self, wanted: Wanted2, size: int, mapping: Mapping, filler: int) -> bool:
        if mapping.mode is MappingMode.LOROM:
            if size + HEAD * wanted.tagged > 0x8008 and not wanted.cross:
                return False
        elif mapping.mode is not MappingMode.SA1ROM:
            return False
        first = len(self.writes)
        grown = self.grown(wanted.bank == CODE, mapping, filler)
        for at, data, _ in self.writes[first:]:
            self.take(at, len(data), mapping)
        return grown

    def _in_bank(self, wanted: Wanted2, size: int, mapping: Mapping, filler: int, border: int) -> int:
        full = wanted.bank & 0x40
        start = mapping.rom(wanted.bank << 16 | (0 if full else 0x8000))
        end = min(len(self.data), start + (0x10000 if full else 0x8000))
        return self._look(start, end, wanted, size, mapping, filler, border, 0)

    def _search(self, wanted: Wanted2, size: int, mapping: Mapping, filler: int) -> int:
        mode, code, end = mapping.mode, wanted.bank == CODE, len(self.data)
        half, full = (0x7FFF, 0xFFFF) if wanted.align else (0, 0)
        first = 0 if mapping.rom(wanted.start) >= 0 else _FIRST

        def look(start: int, end: int, border: int, align: int) -> int:
            return self._look(start, end, wanted, size, mapping, filler, border, align)

        if mode is MappingMode.LOROM:
            whole = size + HEAD * wanted.tagged
            if whole > 0x8008 and not wanted.cross:
                return -1
            border = 0xFFFFFF if wanted.cross else 0x7FFF
            align = half or (0x7FFF if wanted.cross and whole >= 0x8000 else 0)
            found = -1
            if end > 0x200000 and not code:
                found = look(0x200000 - HEAD if first else 0, min(end, 0x400000), border, align)
            return found if found >= 0 else look(first, min(end, 0x200000), border, align)
        if mode in (MappingMode.HIROM, MappingMode.EXHIROM):
            if not code:
                return look(0, end, 0xFFFFFF if wanted.cross else 0xFFFF, full)
            found = -1
            for start in range(0x8000, min(end, 0x400000), 0x10000):
                found = found if found >= 0 else look(start, min(start + 0x7FFF, end), 0x7FFF, full)
            return found
        if mode is MappingMode.EXLOROM:
            if code:        # found twice: the first place is tagged and left
                look(0, min(end, 0x200000), 0x7FFF, half)
            return look(0, end, 0x7FFF, half)
        if mode is MappingMode.SFXROM:
            return look(first, end, 0x7FFF, half) if code else -1
        if mode is MappingMode.SA1ROM:
            found = -1
            for start in [bank << 20 for bank in mapping.banks if (bank + 1) << 20 <= end]:
                found = found if found >= 0 else look(start or _FIRST, start + 0x100000, 0x7FFF, half)
            return found
        if mode is MappingMode.FULLSA1ROM:
            found = look(0x400000, end, 0xFFFF, full) if not code and end > 0x400000 else -1
            return found if found >= 0 else look(first, end, 0x7FFF, half)
        return -1

    def _look(self, start: int, end: int, wanted: Wanted2, size: int, mapping: Mapping, free: int, border: int,
              align: int) -> int:
        """The ROM offset of the first place in ``start``..``end`` whose bytes are all free and not taken; ``border``
        and ``align`` are a bank's size less one. A tag alone may lie in the bank before."""
        if self.tags is None:
            self.tags = self._all_tags()
        head = HEAD if wanted.tagged else 0
        size += head
        other = re.compile(b"[^" + re.escape(bytes([free])) + b"]", re.DOTALL)
        last = border & 0xFFFFF8
        start = max(start, mapping.rom(wanted.start))
        before = -1
        while start + size <= end:
            if head and (start + HEAD) & ~border != (start + size - 1) & ~border & 0xFFFFFF:
                onward = start & ~border & 0xFFFFFF | last if start & last != last else start + 7 & ~7
                if onward <= start:
                    return -1
                start = onward
                continue
            if not head and start & ~border != (start + size - 1) & ~border:
                start = (start | border) + 1
                continue
            if align:
                start = start & ~align & 0xFFFFFF | align & 0xFFFFF8
            if start <= before:
                return -1
            before = start
            bad = other.search(self.data, start, start + size)
            if bad is not None or (free and start + size > len(self.data)):
                ahead = max(0, (bad.start() if bad is not None else len(self.data)) - start)
                if align:
                    if start & align == 0x7FF8 and ahead < HEAD:
                        ahead = HEAD
                elif not ahead:
                    ahead = self.data.find(free, start) - start
                    if ahead < 0:
                        return -1
                start += ahead or 1
                continue
            onward = self._behind(start, size, mapping)
            if onward >= 0:
                start = onward
                continue
            self._give(start, size, head, mapping)
            return start + head
        return -1

    def _behind(self, start: int, size: int, mapping: Mapping) -> int:
        """The end of something that is in the way of a place, or -1."""
        tags = self.tags or []
        number = bisect_left(tags, (start,))
        if number < len(tags) and tags[number][0] < start + size:
            return sum(tags[number])
        if number and start < sum(tags[number - 1]):
            return sum(tags[number - 1])
        address = mapping.snes(start)
        for number in range(max(0, bisect_left(self.taken, (address,)) - 1), len(self.taken)):
            taken, at, length = self.taken[number]
            if address < taken + length and address + size > taken:
                return at + length
            if taken > address + size:
                break
        return -1

    def _give(self, start: int, size: int, head: int, mapping: Mapping) -> None:
        contents = bytes(self.data[start + head:start + size]).ljust(size - head, b"\0")
        self.write(start + head, contents)
        self.take(start + head, size - head, mapping)
        if head:
            self.tag(start, size - head)
            self.take(start, HEAD, mapping)

    def _all_tags(self) -> list[tuple[int, int]]:
        found: list[tuple[int, int]] = []
        at = 0
        while (at := self.data.find(b"STAR", at)) >= 0:
            if self.is_tag(at):
                found.append((at, self.length(at) + 1 + HEAD))
                at += found[-1][1]
            else:
                at += 1
        return found


class Freespace2:
    """What is known of the blocks of one root, by number from 1; it lasts through all passes."""

    def __init__(self, base: bytes) -> None:
        self.image = Image2(base)
        self.blocks: dict[int, Block] = {}
        self.fillers: list[tuple[int, int]] = []    # from this write of the second pass on: the byte that is free
        self.placed: dict[str, int] = {}            # the labels, once all blocks have their places

    def block(self, number: int) -> Block:
        """0 is what all labels outside of freespace belong to."""
        return self.blocks.setdefault(number, Block(Wanted2(), place=0, pinned_to=number))

    def clean(self, at: int, opcode: int | None, number: int, mapping: Mapping, filler: int) -> None:
        """`autoclean` at the SNES address ``at``, of an instruction (``opcode``) or a long address that leads to the
        block ``number``."""
        image, block = self.image, self.block(number)
        block.old_place = block.old_length = -1
        here = mapping.rom(at)
        if not 0 <= here < len(image.base) or (opcode is not None and image.base[here] != opcode):
            return
        tag = image.tag_of(mapping.rom(image.old(mapping.rom(at + (opcode is not None)), 3)))
        tag_at = mapping.snes(tag)
        if tag_at < 0:
            return
        block.old_place = tag_at + HEAD
        block.old_length = image.old(mapping.rom(tag_at + 4), 2) + 1
        if not block.wanted.static:
            image.remove(tag_at + HEAD, filler, mapping)

    def leads_into(self, address: int, mapping: Mapping) -> bool:
        """Is there something of a block behind this address that can be cleaned from there?"""
        start = mapping.snes(self.image.tag_of(mapping.rom(address)))
        return 0 <= start < address

    def pin(self, labels: dict[str, int]) -> None:
        """Which blocks belong together."""
        for number in sorted(self.blocks):
            self.blocks[number].pinned_to = number
        for number in sorted(self.blocks):
            if (pin := self.blocks[number].wanted.pin) is not None:
                space, name = pin
                found = labels.get(space + name, labels.get(name))
                if found is not None:
                    self.blocks[number].pinned_to = self._root(found >> REGION)

    def _root(self, number: int) -> int:
        while (above := self.block(number).pinned_to) != number:
            self.blocks[number].pinned_to = number = self.block(above).pinned_to
        return number

    def place(self, mapping: Mapping, filler: int) -> None:
        """Give every block its place."""
        numbers = sorted(number for number in self.blocks if number)
        together: dict[int, list[int]] = {}
        for number in numbers:
            together.setdefault(self._root(number), []).append(number)
        for number in numbers:
            block = self.blocks[number]
            if block.wanted.static and block.old_place > 0:
                block.place = block.old_place
            elif self._root(number) == number:
                members = [self.blocks[one] for one in together[number]]
                wanted = block.wanted._replace(start=max(one.wanted.start for one in members))
                self.image.source = block.wanted.source
                block.place = self.image.place_2(wanted, sum(one.length for one in members), mapping, filler)
                block.used = block.length
        for number in numbers:
            block = self.blocks[number]
            first = self.block(self._root(number))
            if first is not block:
                block.place = first.place + first.used if first.place != NOT_KNOWN else NOT_KNOWN
                first.used += block.length
