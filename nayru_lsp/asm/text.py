"""Source text as a value: blocks of lines, shared between versions.

Offsets are code points from the start of the file. A line ends at ``\\n``, ``\\r\\n`` or a lone ``\\r`` and
at nothing else (LSP's rule): a form feed or U+2028 is ordinary text. ``line_count`` counts as editors do: a text
that ends with a line end has one more, empty, line.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from itertools import accumulate
from operator import attrgetter
from typing import NamedTuple

BLOCK_LINES = 384

_TEXT, _ROWS = attrgetter("text"), attrgetter("rows")
_LINE = re.compile(r"[^\r\n]*(?:\r\n?|\n)|[^\r\n]+")


class Span(NamedTuple):
    """A half-open range of code points in one file: ``start`` included, ``end`` excluded."""

    start: int
    end: int


def split_lines(text: str) -> list[str]:
    """The physical lines of ``text``, each with its terminator; joining them gives ``text``."""
    if "\r" in text:
        return _LINE.findall(text)
    parts = text.split("\n")
    last = parts.pop()
    lines = [part + "\n" for part in parts]
    if last:
        lines.append(last)
    return lines


class Block:
    """An immutable run of whole lines. ``rows`` counts line *ends* in it."""

    __slots__ = ("_starts", "rows", "text")

    def __init__(self, text: str, rows: int) -> None:
        self.text = text
        self.rows = rows
        self._starts: list[int] | None = None

    def starts(self) -> list[int]:
        """Offset of each line in this block; one more entry than ``rows`` (what follows the last line end)."""
        starts = self._starts
        if starts is None:
            starts = [0]
            starts.extend(accumulate(map(len, split_lines(self.text))))
            if len(starts) > self.rows + 1:     # the last line has no line end
                starts.pop()
            self._starts = starts
        return starts


def _blocks_of(text: str) -> list[Block]:
    """Cut behind line feeds, where some `BLOCK_LINES` lines should be: lines are made only where these are too many."""
    size = BLOCK_LINES * len(text) // (text.count("\n") + 1)
    blocks = []
    start, end = 0, len(text)
    while start < end:
        stop = text.find("\n", start + size) + 1 or end
        part = text[start:stop]
        rows = _rows_of(part)
        blocks += [Block(part, rows)] if rows < 2 * BLOCK_LINES else _exact_blocks_of(part)
        start = stop
    return blocks


def _exact_blocks_of(text: str) -> list[Block]:
    lines = split_lines(text)
    blocks = []
    for first in range(0, len(lines), BLOCK_LINES):
        part = lines[first:first + BLOCK_LINES]
        blocks.append(Block("".join(part), len(part) if part[-1][-1] in "\r\n" else len(part) - 1))
    return blocks


class SourceText:
    """An immutable text. `replace` shares every block that the change does not touch."""

    __slots__ = ("_offsets", "_rows", "blocks", "length", "line_count")

    def __init__(self, blocks: tuple[Block, ...], offsets: list[int] | None = None,
                 rows: list[int] | None = None) -> None:
        """``offsets`` and ``rows`` in front of each block, and at the end, where they are known."""
        self.blocks = blocks
        self._offsets = offsets or list(accumulate(map(len, map(_TEXT, blocks)), initial=0))
        self._rows = rows or list(accumulate(map(_ROWS, blocks), initial=0))
        self.length = self._offsets[-1]
        self.line_count = self._rows[-1] + 1

    @staticmethod
    def of(text: str) -> SourceText:
        return SourceText(tuple(_blocks_of(text)))

    def __str__(self) -> str:
        return "".join(block.text for block in self.blocks)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SourceText) and (self.blocks == other.blocks or str(self) == str(other))

    def __hash__(self) -> int:
        return hash((self.length, self.line_count))

    @property
    def offsets(self) -> list[int]:
        """Where each block begins, and where the last one ends."""
        return self._offsets

    def _block_of_line(self, line: int) -> tuple[int, int]:
        index = min(bisect_right(self._rows, line) - 1, len(self.blocks) - 1)
        return index, line - self._rows[index]

    def line_start(self, line: int) -> int:
        """Offset of the start of physical line ``line`` (from 0); lines past the end start at the end."""
        if line <= 0 or not self.blocks:
            return 0
        if line >= self.line_count:
            return self.length
        index, row = self._block_of_line(line)
        return self._offsets[index] + self.blocks[index].starts()[row]

    def line_end(self, line: int) -> int:
        """Offset of the end of the line, without its terminator."""
        if line < 0 or not self.blocks:
            return 0
        start = self.line_start(line)
        end = self.line_start(line + 1) if line + 1 < self.line_count else self.length
        tail = self.slice(max(start, end - 2), end)
        if tail.endswith("\r\n"):
            return end - 2
        return end - 1 if tail[-1:] in ("\r", "\n") and line + 1 < self.line_count else end

    def line(self, line: int) -> str:
        return self.slice(self.line_start(line), self.line_end(line))

    def line_of(self, offset: int) -> int:
        """The physical line that holds ``offset``; offsets outside the text are clamped."""
        if offset <= 0 or not self.blocks:
            return 0
        if offset >= self.length:
            return self.line_count - 1
        index = bisect_right(self._offsets, offset) - 1
        return self._rows[index] + bisect_right(self.blocks[index].starts(), offset - self._offsets[index]) - 1

    def slice(self, start: int, end: int) -> str:
        start, end = max(0, start), min(end, self.length)
        if start >= end:
            return ""
        first = bisect_right(self._offsets, start) - 1
        base = self._offsets[first]
        if end <= self._offsets[first + 1]:
            return self.blocks[first].text[start - base:end - base]
        last = bisect_right(self._offsets, end - 1) - 1
        middle = [block.text for block in self.blocks[first:last + 1]]
        middle[-1] = middle[-1][:end - self._offsets[last]]
        middle[0] = middle[0][start - base:]
        return "".join(middle)

    def replace(self, span: Span, text: str) -> SourceText:
        """The text with ``span`` replaced. Blocks outside the change are shared with this one."""
        start = min(max(0, span[0]), self.length)
        end = min(max(start, span[1]), self.length)
        if not self.blocks:
            return SourceText.of(text)
        first = min(bisect_right(self._offsets, start) - 1, len(self.blocks) - 1)
        last = max(first, min(bisect_right(self._offsets, max(start, end - 1)) - 1, len(self.blocks) - 1))
        base, stop = self._offsets[first], self._offsets[last + 1]
        middle = self.slice(base, start) + text + self.slice(end, stop)
        # A block must hold whole lines: a line end may not be torn ("\r" | "\n") and the last line must be ended.
        while last + 1 < len(self.blocks) and (
                not middle or middle[-1] not in "\r\n"
                or (middle[-1] == "\r" and self.blocks[last + 1].text[0] == "\n")):
            last += 1
            middle += self.blocks[last].text
        while first > 0 and middle and middle[0] == "\n" and self.blocks[first - 1].text[-1] == "\r":
            first -= 1
            middle = self.blocks[first].text + middle
        small = middle.count("\n") + middle.count("\r") < BLOCK_LINES // 4
        if small and middle and last + 1 < len(self.blocks):    # keep blocks from crumbling
            last += 1
            middle += self.blocks[last].text
        made = [_one_block(middle)] if middle and _rows_of(middle) < 2 * BLOCK_LINES else _blocks_of(middle)
        return SourceText((*self.blocks[:first], *made, *self.blocks[last + 1:]),
                          _spliced(self._offsets, first, last + 1, [len(block.text) for block in made]),
                          _spliced(self._rows, first, last + 1, [block.rows for block in made]))


def _spliced(sums: list[int], first: int, last: int, sizes: list[int]) -> list[int]:
    """These running sums with what is from ``first`` to ``last`` (excluded) replaced by parts of other sizes."""
    out = sums[:first] + list(accumulate(sizes, initial=sums[first]))
    moved = out.pop() - sums[last]
    return out + ([one + moved for one in sums[last:]] if moved else sums[last:])


def _rows_of(text: str) -> int:
    if "\r" in text:
        return text.count("\n") + text.count("\r") - text.count("\r\n")
    return text.count("\n")


def _one_block(text: str) -> Block:
    return Block(text, _rows_of(text))
