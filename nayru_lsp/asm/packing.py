"""An expansion as plain columns that cross from one process to another; `expanded` reads them.

They are cut into *sections*, so that after an edit only those cross again that are other ones now: what is known of
the whole (``head``), the labels that each file brought (``labels:`` and its number), the macro ``calls`` that they came
through, ``defines``, and one section for every file whose lines somebody wants to see.

Promises: plain data only (str, int, bytes, lists, tuples, dicts). Names that Asar makes itself (with ``:``) are left
out.
"""

from __future__ import annotations

import marshal
import sys
from array import array
from bisect import bisect_left
from collections.abc import Callable, Collection, Container, Mapping, Sequence
from hashlib import blake2b
from itertools import accumulate, chain, pairwise
from operator import sub
from typing import Any

from nayru_lsp.asm.callers import seen_from
from nayru_lsp.asm.compiled import Rows, row_size
from nayru_lsp.asm.expanded import BYTES, FILE, GONE, LABELS, TOO_LONG, Packed
from nayru_lsp.asm.expansion import REGION, UNSURE, Expansion, Part
from nayru_lsp.asm.live import Live
from nayru_lsp.asm.problem import Severity

LONG = 2_000            # characters of a define's value; a longer one is not kept
LOG = 500_000           # assignments to defines; with more, none are kept
KEY = (1 << 40) - 1     # file and row of a place
ROW = 0xFFFFFF
_FILE = 0xFFFF << 24

# Errors that leave no line out in which a name could have been made.
HARMLESS = frozenset({"Elabel_not_found", "Erelative_branch_out_of_bounds", "Eassertion_failed"})


def pack(expansion: Expansion, given: Mapping[str, str] | None = None, paths: Collection[str] | None = None,
         tick: Callable[[], object] = bool) -> Packed:
    """All sections. ``given``: the defines that the root was started with; ``paths``: the files whose lines are
    wanted, None for all; ``tick`` is called between two files."""
    calls = _Calls(expansion)
    sections: dict[str, Any] = {"head": _head(expansion)}
    for file, names in calls.by_file().items():
        sections[f"{LABELS}{file}"] = _labels(expansion, names, calls)
        tick()
    sections["calls"], sections["defines"] = calls.packed(), _defines(expansion, given or {})
    for number, path in enumerate(expansion.files):
        if paths is None or path in paths:
            tick()
            sections[FILE + path] = _file(expansion, number, _pieces(expansion, number))
    return sections


class Packer:
    """Packs what a `Live` found, again and again, for one reader who keeps all sections that it was given."""

    def __init__(self, live: Live) -> None:
        self._live = live
        self._given = dict(live.root.defines)
        self._names: dict[int, list[str]] = {}          # file -> the labels that it brought
        self._among: dict[int, frozenset[int]] = {}     # and the files that they are written in
        self._calls = _Calls(live.expansion)
        self._told: dict[str, bytes] = {}               # section -> digest of what the reader has
        self._files: dict[str, tuple[bytes, list[_Piece]]] = {}     # what the section of a file was made of

    def pack(self, paths: Collection[str], digests: Mapping[str, bytes], known: bool) -> Packed:
        """The sections that the reader does not have. ``paths``: files whose lines it wants; ``digests``: of the
        texts; ``known``: it still has what it was given before."""
        expansion = self._live.expansion
        relabeled, shifted, redefined = self._live.fresh()
        if not known:
            self._told.clear()
        made: dict[str, Any] = {"head": _head(expansion)}
        for file in self._relabeled(relabeled, shifted):
            labels = made[f"{LABELS}{file}"] = _labels(expansion, self._names.get(file, []), self._calls)
            self._among[file] = frozenset(labels["files"])
        if relabeled is None or relabeled or shifted or not known:
            made["calls"] = self._calls.packed()
        if redefined or "defines" not in self._told:
            made["defines"] = _defines(expansion, self._given)
        numbers = {path: number for number, path in enumerate(expansion.files)}
        for path in paths:
            if path not in numbers:
                continue
            digest = digests.get(path, b"")
            before, pieces = self._files.get(path, (b"", []))
            now = _pieces(expansion, numbers[path], pieces)
            if redefined or FILE + path not in self._told or before != digest or not _same(now, pieces):
                made[FILE + path] = _file(expansion, numbers[path], now)
            self._files[path] = digest, now
        for path in self._files.keys() - set(paths):
            del self._files[path]
            self._told.pop(FILE + path, None)
        out = {}
        for name, section in made.items():
            digest = blake2b(marshal.dumps(section), digest_size=16).digest()
            if self._told.get(name) != digest:
                self._told[name] = digest
                out[name] = section
        return out

    def _relabeled(self, relabeled: Mapping[str, int | None] | None, shifted: set[int]) -> set[int]:
        """The files of which labels are to be told."""
        expansion = self._live.expansion
        told = {int(name.removeprefix(LABELS)) for name in self._told if name.startswith(LABELS)}
        if relabeled is None or self._calls.crowded:
            self._calls = _Calls(expansion)
            self._names = self._calls.by_file()
            return told | self._names.keys()
        files = {file for file, among in self._among.items() if not among.isdisjoint(shifted)}
        gone: dict[int, set[str]] = {}
        brought_by = self._calls.brought_by
        for name, place in relabeled.items():
            if ":" in name:
                continue
            now = expansion.places.get(name)
            old, new = None if place is None else brought_by(place), None if now is None else brought_by(now)
            if old != new and old is not None:
                gone.setdefault(old, set()).add(name)
            if old != new and new is not None:
                self._names.setdefault(new, []).append(name)
            files |= {one for one in (old, new) if one is not None}
        for file, names in gone.items():
            self._names[file] = [name for name in self._names[file] if name not in names]
        return files | (self._names.keys() - told)


def _same(one: list[_Piece], other: list[_Piece]) -> bool:
    return len(one) == len(other) and all(mine is theirs for mine, theirs in zip(one, other, strict=True))


def _head(expansion: Expansion) -> Packed:
    expansion.parts()       # may find problems
    problems = [(one.path, one.span.start, one.code, int(one.severity), one.message, via)
                for one, via in zip(expansion.problems, seen_from(expansion), strict=True)]
    reasons = dict(expansion.reasons.most_common(20))
    cut = any(code not in HARMLESS for _, _, code, severity, *_ in problems if severity == Severity.ERROR)
    return {"files": list(expansion.files), "problems": problems, "reasons": reasons, "sure": not reasons and not cut,
            "mapping_mode": str(expansion.mapping_mode),
            "macros": _macros(expansion)}


class _Calls:
    """The macro calls that labels came through, numbered as they are met: each by its caller and its place.

    A file *brings* the labels that are written in it and those of the macros that it calls: few files are called by
    all, and an edit of one that calls has its labels made anew."""

    def __init__(self, expansion: Expansion) -> None:
        self._expansion = expansion
        self._numbers: dict[int, int] = {0: 0}
        self._brought: dict[int, int] = {}      # call -> the file in which the outermost one stands
        self._most = 0

    def __getitem__(self, call: int) -> int:
        numbers, table = self._numbers, self._expansion.call_table
        waiting = []
        while call not in numbers:
            waiting.append(call)
            call = max(table[call][0], 0)
        for one in reversed(waiting):
            call = one
            numbers[one] = len(numbers)
        return numbers[call]

    def brought_by(self, place: int) -> int:
        call = place >> 40
        if not call:
            return place >> 24 & 0xFFFF
        file = self._brought.get(call)
        if file is None:
            table, outer = self._expansion.call_table, call
            while (caller := table[outer][0]) > 0:
                outer = caller
            file = self._brought[call] = table[outer][1] >> 24 & 0xFFFF
        return file

    def by_file(self) -> dict[int, list[str]]:
        """The names of all labels by the file that brought them."""
        values, brought_by = self._expansion.values, self.brought_by
        files: dict[int, list[str]] = {}
        for name, place in self._expansion.places.items():
            if ":" not in name and name in values:
                files.setdefault(brought_by(place), []).append(name)
        return files

    def packed(self) -> Packed:
        """The place of each as it is now; its caller has a smaller number."""
        numbers, table = self._numbers, self._expansion.call_table
        self._most = self._most or 2 * len(numbers) + 1_000
        return {"callers": array("I", [numbers.get(table[call][0], 0) for call in numbers]).tobytes(),
                "places": array("Q", [table[call][1] & KEY for call in numbers]).tobytes()}

    @property
    def crowded(self) -> bool:
        """Are most of them gone by now?"""
        return self._most > 0 and len(self._numbers) > self._most


def _labels(expansion: Expansion, names: list[str], calls: _Calls) -> Packed:
    """The labels that one file brought, which are put in the order of the files and rows that they are written in."""
    places, values = expansion.places, expansion.values
    names.sort(key=lambda name: places[name] & KEY)
    where = list(map(places.__getitem__, names))
    keys = [place & KEY for place in where]
    made = list(map(values.__getitem__, names))
    if made and (max(made) >> REGION or min(made) < 0):
        address = expansion.address
        made = [-1 if (value := address(one)) is None else value for one in made]
    # Labels that stand for a number instead of a place.
    numbers: Container[str] = getattr(expansion._machine, "static", ())
    return {"names": "\n".join(names), "keys": array("Q", keys).tobytes(), "files": sorted({key >> 24 for key in keys}),
            "calls": array("I", [calls[call] if (call := place >> 40) else 0 for place in where]).tobytes(),
            "numbers": bytes(map(numbers.__contains__, names)), "values": array("q", made).tobytes()}


class _Piece:
    """What a part wrote from lines of one file. One entry per line: its row, the address of its first write (-1: not
    known), and its bytes where it was written once (``sizes`` has 0 where it was not) and they are known."""

    __slots__ = ("at", "data", "ends", "part", "places", "rows", "sizes")

    def __init__(self, part: Part, places: array[int], written: tuple[list[int], list[int], list[int],
                                                                     list[bytes | None]]) -> None:
        self.part = part
        self.places = places        # of all that the part wrote
        rows, ats, sizes, made = written
        first: dict[int, int] = {}
        times: dict[int, int] = {}
        for number, row in enumerate(rows):
            if row in times:
                times[row] += 1
            else:
                first[row], times[row] = number, 1
        order = sorted(first)
        pieces: list[bytes] = []
        self.sizes = array("I")
        for row in order:
            at, count = first[row], times[row]
            size: int = sizes[at]
            piece = made[at]
            if count > 1:
                piece, size = None, 0
                # Several statements of one line are neighbours; a line of a macro or a loop comes again later.
                if rows[at:at + count] == [row] * count:
                    parts = made[at:at + count]
                    size = sum(sizes[at:at + count])
                    piece = None if None in parts else b"".join([part for part in parts if part is not None])
            pieces.append(b"" if piece is None else piece[:BYTES])
            self.sizes.append(size)
        self.rows = array("I", order)
        self.at = array("q", [ats[first[row]] for row in order])
        self.ends = array("I", accumulate(map(len, pieces)))
        self.data = b"".join(pieces)

    def moved(self, by: int, places: array[int]) -> _Piece:
        new = _Piece.__new__(_Piece)
        for name in _Piece.__slots__:
            setattr(new, name, getattr(self, name))
        if by:
            new.rows = array("I", [row + by for row in self.rows])
        new.places = places
        return new

    def became(self, part: Part, by: int, places: array[int], lengths: Sequence[int], low: int) -> _Piece | None:
        """The same lines, ``by`` rows further down, as ``part`` has them now; None where that is no simple matter.
        ``lengths``: of what it wrote."""
        assert part.was is not None
        before, slid, anew = part.was
        new = self.moved(by, places)
        new.part = part
        if slid:
            new.at = array("q", [at + slid if at >= 0 else at for at in self.at])
        made = bytearray(self.data)
        for number in anew:
            now, then = part.data[number], before.data[number]
            place = places[number]
            if now == then or place & _FILE != low:
                continue
            if now is None or then is None:
                return None
            line = bisect_left(new.rows, place & ROW)
            size, begin, end = new.sizes[line], new.ends[line - 1] if line else 0, new.ends[line]
            if end - begin != min(size, BYTES):
                continue        # written more than once, or something beside it is not known
            first = last = number       # of the statements on its line
            while first and places[first - 1] == place:
                first -= 1
            while last + 1 < len(places) and places[last + 1] == place:
                last += 1
            if sum(lengths[first:last + 1]) != size:
                return None
            at = begin + sum(lengths[first:number])
            if at < end:
                made[at:min(at + len(now), end)] = now[:end - at]
        new.data = bytes(made)
        return new


def _rows_down(before: array[int], now: array[int], low: int, alone: bool) -> int | None:
    """How many rows further down all that stands in one file is; None where not all is alike. ``alone``: nothing of
    another file is among them."""
    if before == now:
        return 0
    if len(before) != len(now):
        return None
    if alone:       # as two long numbers, which is much faster
        by = now[0] - before[0]
        old, new, ones = [int.from_bytes(one, sys.byteorder)
                          for one in (before.tobytes(), now.tobytes(), array("Q", [1]).tobytes() * len(now))]
        return by if new - old == by * ones else None
    by = next((one - then for one, then in zip(now, before, strict=True) if one & _FILE == low), 0)
    return by if now == array("Q", [one + by if one & _FILE == low else one for one in before]) else None


def _pieces(expansion: Expansion, file: int, before: Sequence[_Piece] = ()) -> list[_Piece]:
    """Of all parts with lines of a file, in order; those of ``before`` where they are still right."""
    known = {piece.part: piece for piece in before}
    low = file << 24
    out = []
    for start, part in expansion.parts():
        if file not in part.files:
            continue
        end = start + len(part.data)
        places = expansion._place[start:end]
        piece = known.get(part if part.was is None or part in known else part.was[0])
        if piece is not None and (piece.part is not part or piece.places != places):
            # Lines above were added: all of this file are as many further down, where no edit was in the part itself.
            by = _rows_down(piece.places, places, low, len(part.files) == 1)
            if by is None:
                piece = None
            elif piece.part is part:
                piece = piece.moved(by, places)
            else:
                piece = piece.became(part, by, places, expansion._sizes[start:end], low)
        out.append(piece or _Piece(part, places, _unrolled(expansion, file, start, part)))
    return out


def _file(expansion: Expansion, file: int, pieces: list[_Piece]) -> Packed:
    """The lines that wrote anything, where the log of defines stood when a line was reached, and the rows that were not
    reached."""
    whole = [piece for piece in pieces if piece.rows]
    rows, at, sizes, lengths = array("I"), array("q"), array("I"), array("I")
    data: list[bytes] = []
    if all(one.rows[-1] < other.rows[0] for one, other in pairwise(whole)):
        for piece in whole:
            rows += piece.rows
            at += piece.at
            sizes += piece.sizes
            lengths.extend(map(sub, piece.ends, chain((0,), piece.ends)))
            data.append(piece.data)
    else:       # what comes again was not written once
        lines: dict[int, tuple[int, int, bytes]] = {}
        for piece in whole:
            begin = 0
            for number, (row, end) in enumerate(zip(piece.rows, piece.ends, strict=True)):
                again = lines.get(row)
                lines[row] = (piece.at[number], piece.sizes[number], piece.data[begin:end]) if again is None else (
                    again[0], 0, b"")
                begin = end
        rows = array("I", sorted(lines))
        at = array("q", [lines[row][0] for row in rows])
        sizes = array("I", [lines[row][1] for row in rows])
        data = [lines[row][2] for row in rows]
        lengths = array("I", map(len, data))
    marks = [(row, length) for one, row, length in expansion._marks if one == file]
    skipped: set[int] = set()
    for one, row, end in expansion._skipped:
        if one == file:
            skipped.update(range(row, end))
    return {"rows": rows.tobytes(), "at": at.tobytes(), "sizes": sizes.tobytes(),
            "ends": array("I", accumulate(lengths, initial=0)).tobytes(), "bytes": b"".join(data),
            "marks": (array("I", [row for row, _ in marks]).tobytes(), array("I", [at for _, at in marks]).tobytes()),
            "skipped": _ranges(skipped)}


def _unrolled(expansion: Expansion, file: int, start: int, part: Part) -> tuple[
        list[int], list[int], list[int], list[bytes | None]]:
    """Row, address (-1: not known), size and bytes of every write of a part from a file; runs of rows taken apart."""
    out: tuple[list[int], list[int], list[int], list[bytes | None]] = ([], [], [], [])
    rows, ats, sizes, made = out
    objects, places, positions, lengths = expansion._objects, expansion._place, expansion._at, expansion._sizes
    address = expansion.address
    low = file << 24
    data = part.data
    for number, place in enumerate(places[start:start + len(data)], start):
        if place & _FILE != low:
            continue
        at = positions[number]
        known = -1 if (found := address(at)) is None else found
        run, row, whole = objects[number], place & ROW, data[number - start]
        if type(run) is not Rows:
            rows.append(row)
            ats.append(known)
            sizes.append(lengths[number])
            made.append(whole)
            continue
        offset = 0
        for below, text in enumerate(run.lines):
            if text:
                size = row_size(text)
                rows.append(row + below)
                ats.append(known + offset if known >= 0 else -1)
                sizes.append(size)
                made.append(None if whole is None else whole[offset:offset + size])
                offset += size
    return out


def _defines(expansion: Expansion, given: Mapping[str, str]) -> Packed | None:
    log = expansion.define_log
    if len(log) > LOG:
        return None
    names: dict[str, int] = {}
    texts: dict[str, int] = {}
    which, what = array("I"), array("i")
    for name, text, _ in log:
        which.append(names.setdefault(name, len(names)))
        what.append(GONE if text is None else TOO_LONG if text == UNSURE or len(text) > LONG
                    else texts.setdefault(text, len(texts)))
    return {
        "names": list(names), "texts": list(texts), "which": which.tobytes(), "what": what.tobytes(),
        "final": {name: text for name, text in expansion.defines.items() if len(text) <= LONG},
        "given": {name.lstrip("!"): text for name, text in given.items()}}


def _ranges(rows: Collection[int]) -> bytes:
    ranges = array("I")
    for row in sorted(rows):
        if ranges and ranges[-1] == row:
            ranges[-1] = row + 1
        else:
            ranges.extend((row, row + 1))
    return ranges.tobytes()


def _macros(expansion: Expansion) -> list[tuple[int, int, int, str]]:
    """(file, row of `macro`, row of `endmacro`, name)."""
    numbers = {path: number for number, path in enumerate(expansion.files)}
    bodies = getattr(expansion._machine, "macros", {})
    return [(numbers[path], row, row + 1 + len(getattr(bodies.get(name), "lines", ())), name)
            for name, (path, row, _) in expansion.macros.items() if path in numbers]
