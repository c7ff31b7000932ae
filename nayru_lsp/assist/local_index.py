"""Where in the workspace a line stood in a context like this one: columns of items, and sorted arrays of context keys.

Positions number the items of all indexed text in file order, six sentinels (text 0) between pieces. Each *key type*
describes a position's surroundings by some of: T exact line, S shape, M head (mnemonic), of the lines above (-1 ..)
and below (+1 ..). For every key type a segment holds one sorted array of 64-bit numbers, hash * 2^32 + position, so
that equal contexts lie side by side and are found by bisection.

A file is one or more *pieces*, each a run of lines indexed together. An edit cuts the old pieces and adds a small new
one for the changed lines; positions that are gone are marked in `alive`. Small segments merge into bigger ones.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import repeat
from sys import getsizeof
from typing import NamedTuple

from nayru_lsp.assist.local_items import DATA, Words, items_of_line

REACH = 6               # lines of context on either side that a key can see
EXAMPLES = 48           # positions that vote for one key
CROWD = 400             # a key seen more often than this finds no places to align with
DATA_RUN = 16           # of a longer run of data lines only this many are indexed
MOST_SEGMENTS = 8
TEXT_BYTES = 800        # what one different line costs, measured
_MASK = 0xFFFFFFFF


class Key(NamedTuple):
    """A key type: its hand weight, the columns it joins, whether it looks below the cursor."""

    weight: float
    columns: tuple[str, ...]
    below: bool


def _keys(table: str) -> tuple[Key, ...]:
    rows = []
    for line in table.split("\n"):
        if line.strip():
            weight, *columns = line.split()
            rows.append(Key(float(weight), tuple(columns), any("+" in column for column in columns)))
    return tuple(rows)


# N1..N3 are the shapes of the last lines that are no labels; G-, G+ the gap (blank or comment) above and below.
KEYS = _keys("""
    1   T-1
    2   T-1 T-2
    4   T-1 T-2 T-3
    6   T-1 T-2 T-3 T-4
    9   T-1 T-2 T-3 T-4 T-5 T-6
    .5  S-1
    1   S-1 S-2
    2   S-1 S-2 S-3
    3   S-1 S-2 S-3 S-4
    6   S-1 S-2 S-3 S-4 S-5 S-6
    1   M-1 M-2 M-3
    3   M-1 M-2 M-3 M-4 M-5
    1   S-1 T-2
    3   T-1 S-2 S-3
    1   N1 N2
    2   N1 N2 N3
    .7  S-1 G-
    2.5 S-1 S-2 S-3 G-
    2   O-1 O-2 M-2
    1   T+1
    2   T+1 T+2
    .5  S+1
    1   S+1 S+2
    2   S+1 S+2 S+3
    4   T-1 T+1
    3   T-1 S+1
    1.5 S-1 S+1
    3   S-1 S-2 S+1
    3   S-1 S+1 S+2
    6   S-1 S-2 S+1 S+2
    6   T-1 T-2 T+1
    6   T-1 T+1 T+2
    2   M-1 M-2 M+1 M+2
    2   M-1 M-2 M-3 M+1
    .7  M-1 M+1
    2   S-1 S+1 G- G+
    2   S-1 S-2 S+1 G- G+
""")
ABOVE_KEYS = sum(not key.below for key in KEYS)


def key_hashes(words: Words, texts: Sequence[int], gaps: Sequence[int], below: bool) -> Iterator[list[int]]:
    """For each key type in the order of `KEYS` the 32-bit hashes at every position of ``texts`` that has `REACH`
    neighbours on both sides. ``gaps[i]`` is the gap above position ``i``. Tuples of ints hash alike in every run."""
    n = len(texts) - 2 * REACH
    context, shape, head, operand, label = words.context, words.shape, words.head, words.operand, words.label
    columns: dict[str, list[int]] = {}
    for letter, values in (
        ("T", [context[t] for t in texts]), ("S", [shape[t] for t in texts]),
        ("M", [head[t] for t in texts]), ("O", [operand[t] for t in texts]),
    ):
        for step in range(1, REACH + 1):
            columns[f"{letter}-{step}"] = values[REACH - step : REACH - step + n]
            columns[f"{letter}+{step}"] = values[REACH + step : REACH + step + n]
    columns["G-"] = list(gaps[REACH : REACH + n])
    columns["G+"] = list(gaps[REACH + 1 : REACH + 1 + n])
    one = two = three = 0
    last: tuple[list[int], list[int], list[int]] = ([], [], [])
    for index, text in enumerate(texts[: REACH + n]):
        if index >= REACH:
            last[0].append(one)
            last[1].append(two)
            last[2].append(three)
        if not label[text]:
            one, two, three = shape[text], one, two
    columns["N1"], columns["N2"], columns["N3"] = last
    for number, key in enumerate(KEYS):
        if key.below and not below:
            return
        yield [hash(parts) & _MASK for parts in zip(
            repeat(number, n), *(columns[c] for c in key.columns), strict=True)]


@dataclass(slots=True)
class Segment:
    """The keys of positions ``start`` .. ``end``."""

    start: int
    end: int
    arrays: list[array[int]]


@dataclass(slots=True)
class Piece:
    """Positions ``start`` .. ``end`` (sentinels not counted) hold the items of ``rows`` lines of a file; the first of
    these lines is number ``base`` in the line column."""

    start: int
    end: int
    base: int
    rows: int


@dataclass(slots=True)
class File:
    """``pieces`` cover the ``rows`` lines of the version indexed, of which the first ``head`` and the last ``tail``
    stand unchanged in ``lines``, the text as last told (both are ``rows`` when nothing changed)."""

    text: str | list[str]       # one string until somebody asks for the lines: that is smaller
    pieces: list[Piece] = field(default_factory=list)
    rows: int = 0
    head: int = 0
    tail: int = 0

    @property
    def lines(self) -> list[str]:
        if isinstance(self.text, str):
            self.text = split_lines(self.text)
        return self.text

    @property
    def dirty(self) -> bool:
        return not isinstance(self.text, str) and (self.rows != len(self.text) or self.head < self.rows)


class Index:
    """All that is known of the workspace. Not thread-safe; lives in one worker process."""

    def __init__(self, cap_mb: int = 60) -> None:
        """``cap_mb``: `add` takes no further files once about this much memory is used."""
        self.words = Words()
        self.text = array("i")          # position -> text number
        self.gap = bytearray()
        self.line = array("i")          # position -> line within its piece
        self.routine = array("i")       # grows at each main label
        self.alive = bytearray()
        self.segments: list[Segment] = []
        self.files: dict[str, File] = {}
        self.cap = cap_mb * 1_000_000
        self.told = 0                   # bytes of the files given to `add`
        self.living = 0
        self.definitions: dict[str, int] = {}       # label name -> how often it is defined
        self.commonest: dict[tuple[str, int], tuple[int, list[int]]] = {}      # a memo of `local_candidates`
        self._routines = 0
        self._fresh: list[tuple[int, int]] = []

    @property
    def size(self) -> int:
        """About how many bytes all this takes: keys and columns per position, a text with its parts, the sources."""
        return (8 * len(KEYS) + 60) * len(self.text) + TEXT_BYTES * len(self.words.items) + self.told

    # --- telling ---------------------------------------------------------------------------------------------------

    def add(self, files: Iterable[tuple[str, str]]) -> int:
        """Index whole files; how many were taken (0: the cap is reached)."""
        taken = 0
        for path, text in files:
            if self.size > self.cap:
                break
            self.forget(path)
            lines = split_lines(text)
            rows = len(lines)
            self.files[path] = File(text, [self._append(lines, 0, rows)], rows, rows, rows)
            self.told += getsizeof(text)
            taken += 1
        self._seal()
        return taken

    def forget(self, path: str) -> None:
        file = self.files.pop(path, None)
        if file is not None:
            for piece in file.pieces:
                self._kill(piece.start, piece.end)

    def edit(self, path: str, start: int, end: int, lines: list[str]) -> None:
        """Lines ``start`` .. ``end`` of ``path`` became ``lines``. Cheap: the index follows at `settle`."""
        file = self.files.get(path)
        if file is None:
            file = self.files[path] = File([])
        file.lines[start:end] = lines
        file.head = min(file.head, start)
        shared = min(file.rows, len(file.lines)) - file.head
        file.tail = max(0, min(file.tail, len(file.lines) - start - len(lines), shared))

    def settle(self, path: str) -> None:
        """Index the changed lines of an edited file."""
        file = self.files.get(path)
        if file is None or not file.dirty:
            return
        start, end, new_end = file.head, file.rows - file.tail, len(file.lines) - file.tail
        pieces: list[Piece] = []
        inserted = False
        row = 0
        for piece in file.pieces or [Piece(0, 0, 0, 0)]:
            low, high = (max(0, min(edge - row, piece.rows)) for edge in (start, end))
            left, right = self._first_at(piece, low), self._first_at(piece, high)
            if low > 0:
                pieces.append(Piece(piece.start, left, piece.base, low))
            if not inserted and start <= row + piece.rows:
                pieces.append(self._append(file.lines, start, new_end))
                inserted = True
            self._kill(left, right)
            if high < piece.rows:
                pieces.append(Piece(right, piece.end, piece.base + high, piece.rows - high))
            row += piece.rows
        file.pieces = pieces
        if len(pieces) > 24:            # many small pieces: lay the file out anew
            for piece in pieces:
                self._kill(piece.start, piece.end)
            file.pieces = [self._append(file.lines, 0, len(file.lines))]
        file.rows = file.head = file.tail = len(file.lines)
        self._seal()

    def _first_at(self, piece: Piece, row: int) -> int:
        """The first position of ``piece`` at or after its line ``row``."""
        return bisect_left(self.line, piece.base + row, piece.start, piece.end)

    def _kill(self, start: int, end: int) -> None:
        words, text, alive = self.words, self.text, self.alive
        for position in range(start, end):
            if alive[position]:
                alive[position] = 0
                words.tally(text[position], -1)
                self._define(text[position], -1)
                self.living -= 1

    def _define(self, number: int, step: int) -> None:
        if self.words.label[number]:
            name = self.words.items[number].text.rstrip(":")
            self.definitions[name] = self.definitions.get(name, 0) + step

    def _append(self, lines: Sequence[str], start: int, end: int) -> Piece:
        """Columns for ``lines[start:end]``; its keys come with the next `_seal`."""
        text, gaps, rows, routines, alive = self.text, self.gap, self.line, self.routine, self.alive
        words = self.words
        self._pad(lines, range(max(0, start - 40), start), before=True)
        first = len(text)
        gap = run = 0
        for row in range(start, end):
            items, blank = items_of_line(lines[row])
            if not items:
                gap = max(gap, blank)
                continue
            for item in items:
                run = run + 1 if item.kind == DATA else 0
                if run > DATA_RUN:
                    continue
                number = words.add(item)
                if item.shape == "@main":
                    self._routines += 1
                text.append(number)
                gaps.append(gap)
                rows.append(row - start)
                routines.append(self._routines)
                alive.append(1)
                words.tally(number, 1)
                if words.label[number]:
                    self._define(number, 1)
                gap = 0
        last = len(text)
        self.living += last - first
        self._pad(lines, range(end, min(len(lines), end + 40)), before=False)
        self._fresh.append((first, last))
        return Piece(first, last, 0, end - start)

    def _pad(self, lines: Sequence[str], rows: range, before: bool) -> None:
        """`REACH` positions that are context only: the neighbouring lines where there are any, else sentinels."""
        numbers: list[int] = []
        for row in reversed(rows) if before else rows:
            items = items_of_line(lines[row])[0]
            numbers.extend(self.words.add(item) for item in (reversed(items) if before else items))
            if len(numbers) >= REACH:
                break
        numbers = (numbers + [0] * REACH)[:REACH]
        if before:
            numbers.reverse()
        for number in numbers:
            self.text.append(number)
            self.gap.append(0)
            self.line.append(0)
            self.routine.append(self._routines)
            self.alive.append(0)

    def _seal(self) -> None:
        """Give the columns added since the last call their keys, and merge small segments."""
        if not self._fresh:
            return
        makers = [
            key_hashes(self.words, self.text[a - REACH : b + REACH], self.gap[a - REACH : b + REACH], True)
            for a, b in self._fresh
        ]
        arrays = []
        for hashes in zip(*makers, strict=True):        # one key type at a time: the lists are big
            column = [h << 32 | p for (first, _), part in zip(self._fresh, hashes, strict=True)
                      for p, h in enumerate(part, first)]
            column.sort()
            arrays.append(array("Q", column))
        self.segments.append(Segment(self._fresh[0][0], self._fresh[-1][1], arrays))
        self._fresh.clear()
        while len(self.segments) > 1:
            older, newer = self.segments[-2:]
            if older.end - older.start > 2 * (newer.end - newer.start) and len(self.segments) <= MOST_SEGMENTS:
                break
            self.segments[-2:] = [_merge(older, newer, self.alive)]

    # --- asking ----------------------------------------------------------------------------------------------------

    def position_of(self, path: str, row: int) -> int:
        """The first position at or after line ``row`` of ``path`` as indexed; the end of everything for a new file."""
        file = self.files.get(path)
        if file is None or not file.pieces:
            return len(self.text)
        if file.dirty and row > file.head:
            below = row - (len(file.lines) - file.tail)
            row = file.rows - file.tail + below if below >= 0 else file.head
        for piece in file.pieces:
            if row < piece.rows:
                return self._first_at(piece, row)
            row -= piece.rows
        return file.pieces[-1].end

    def stale(self, path: str) -> list[tuple[int, int]]:
        """Position ranges of ``path`` whose lines have changed since they were indexed."""
        file = self.files.get(path)
        if file is None or not file.dirty:
            return []
        out, row = [], 0
        for piece in file.pieces:
            low, high = max(file.head - row, 0), min(file.rows - file.tail - row, piece.rows)
            if low < high:
                out.append((self._first_at(piece, low), self._first_at(piece, high)))
            row += piece.rows
        return out

    def find(self, key: int, value: int, near: int) -> tuple[list[int], int]:
        """(at most `EXAMPLES` positions, those nearest to ``near``, two thirds before it; how many there are)."""
        low_key, high_key = value << 32, (value + 1) << 32
        found: list[int] = []
        total = 0
        room = EXAMPLES
        for segment in reversed(self.segments):         # newest, smallest first: what was just typed always counts
            column = segment.arrays[key]
            low = bisect_left(column, low_key)
            high = bisect_left(column, high_key, low)
            count = high - low
            if not count:
                continue
            total += count
            if room <= 0:
                continue
            if count > room:
                middle = bisect_left(column, low_key | near, low, high)
                after = min(high - middle, max(room // 3, room - (middle - low)))
                low, high = max(low, middle - (room - after)), middle + after
            found.extend([entry & _MASK for entry in column[low:high]])
            room -= high - low
        return found, total


def _merge(older: Segment, newer: Segment, alive: bytearray) -> Segment:
    arrays = []
    dead = alive.count(0, older.start, older.end) > (older.end - older.start) // 8
    for a, b in zip(older.arrays, newer.arrays, strict=True):
        column = [entry for entry in a if alive[entry & _MASK]] if dead else a.tolist()
        column.extend(b)
        column.sort()               # two sorted runs: one merge
        arrays.append(array("Q", column))
    return Segment(older.start, newer.end, arrays)


def split_lines(text: str) -> list[str]:
    r"""Lines as LSP counts them: ended by \n, \r\n or \r only. The empty line after the last end counts."""
    return text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
