"""An expansion as plain columns that cross from one process to another; `expanded` reads them.

They are cut into *sections*, so that after an edit only those cross again that are other ones now: what is known of
the whole (``head``), labels (``names``, ``labels``, ``values``), ``defines``, and one section for every file whose
lines somebody wants to see.

Promises: plain data only (str, int, bytes, lists, tuples, dicts). Names that Asar makes itself (with ``:``) are left
out.
"""

from __future__ import annotations

import marshal
from array import array
from collections.abc import Collection, Container, Mapping, Sequence
from hashlib import blake2b
from typing import Any

from nayru_lsp.asm.compiled import Rows, row_size
from nayru_lsp.asm.expanded import BYTES, FILE, GONE, TOO_LONG, Packed
from nayru_lsp.asm.expansion import REGION, Expansion, Part
from nayru_lsp.asm.live import Live
from nayru_lsp.asm.problem import Severity

LONG = 2_000            # characters of a define's value; a longer one is not kept
LOG = 500_000           # assignments to defines; with more, none are kept
KEY = (1 << 40) - 1     # file and row of a place
ROW = 0xFFFFFF
_FILE = 0xFFFF << 24

# Errors that leave no line out in which a name could have been made.
HARMLESS = frozenset({"Elabel_not_found", "Erelative_branch_out_of_bounds", "Eassertion_failed"})


def pack(expansion: Expansion, given: Mapping[str, str] | None = None) -> Packed:
    """All sections, those of all files. ``given``: the defines that the root was started with."""
    marks, skipped = expansion.define_marks, expansion.skipped
    names = _ordered(expansion, _named(expansion))
    return {"head": _head(expansion), "names": "\n".join(names), **_labels(expansion, names),
            "defines": _defines(expansion, given or {}), **{
                FILE + path: _file(expansion, number, marks, skipped) for number, path in enumerate(expansion.files)}}


class Packer:
    """Packs what a `Live` found, again and again, for one reader who keeps all sections that it was given."""

    def __init__(self, live: Live) -> None:
        self._live = live
        self._given = dict(live.root.defines)
        self._names: list[str] = []             # of labels, in order
        self._told: dict[str, bytes] = {}       # section -> digest of what the reader has
        self._files: dict[str, tuple[bytes, tuple[Part, ...]]] = {}    # what the section of a file was made of

    def pack(self, paths: Collection[str], digests: Mapping[str, bytes], known: bool) -> Packed:
        """The sections that the reader does not have. ``paths``: files whose lines it wants; ``digests``: of the
        texts; ``known``: it still has what it was given before."""
        expansion = self._live.expansion
        relabeled, other_names, redefined = self._live.fresh()
        if not known:
            self._told.clear()
        made: dict[str, Any] = {"head": _head(expansion)}
        if relabeled or other_names or "names" not in self._told:
            if other_names:
                self._names = _named(expansion)
            names = _ordered(expansion, self._names)
            if other_names or names is not self._names or "names" not in self._told:
                made["names"] = "\n".join(names)
            self._names = names
            made |= _labels(expansion, names)
        if redefined or "defines" not in self._told:
            made["defines"] = _defines(expansion, self._given)
            self._files.clear()
        numbers = {path: number for number, path in enumerate(expansion.files)}
        marks, skipped = expansion.define_marks, expansion.skipped
        for path in paths:
            if path not in numbers:
                continue
            number = numbers[path]
            parts = tuple([part for _, part in expansion.parts() if number in part.files])
            source = digests.get(path, b""), parts
            if FILE + path not in self._told or not _same(self._files.get(path), source):
                made[FILE + path] = _file(expansion, number, marks, skipped)
                self._files[path] = source
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


def _same(one: tuple[bytes, tuple[Part, ...]] | None, other: tuple[bytes, tuple[Part, ...]]) -> bool:
    return one is not None and one[0] == other[0] and len(one[1]) == len(other[1]) and all(
        mine is theirs for mine, theirs in zip(one[1], other[1], strict=True))


def _head(expansion: Expansion) -> Packed:
    expansion.parts()       # may find problems
    problems = [(one.path, one.span.start, one.code, int(one.severity), one.message) for one in expansion.problems]
    reasons = dict(expansion.reasons.most_common(20))
    cut = any(code not in HARMLESS for _, _, code, severity, _ in problems if severity == Severity.ERROR)
    return {"files": list(expansion.files), "problems": problems, "reasons": reasons, "sure": not reasons and not cut,
            "mapping_mode": str(expansion.mapping_mode),
            "macros": _macros(expansion)}


def _ordered(expansion: Expansion, names: list[str]) -> list[str]:
    """By file and row; the very list where it is in that order already. Of one line, in any order."""
    places = expansion.places
    keys = [places[name] & KEY for name in names]
    return names if keys == sorted(keys) else [name for _, name in sorted(zip(keys, names, strict=True))]


def _labels(expansion: Expansion, names: list[str]) -> Packed:
    """``names`` are in order."""
    values = expansion.values
    # Labels that stand for a number instead of a place.
    numbers: Container[str] = getattr(expansion._machine, "static", ())
    where = list(map(expansion.places.__getitem__, names))
    calls: dict[int, int] = {0: 0}
    chain: list[tuple[int, int]] = [(0, 0)]

    def number(call: int) -> int:
        waiting = []
        while call not in calls:
            waiting.append(call)
            call = expansion.call_table[call][0]
        for one in reversed(waiting):
            caller, place = expansion.call_table[one]
            calls[one] = len(chain)
            chain.append((calls.get(caller, 0), place & KEY))
        return calls[waiting[0] if waiting else call]

    made = list(map(values.__getitem__, names))
    if made and (max(made) >> REGION or min(made) < 0):
        address = expansion.address
        made = [-1 if (value := address(one)) is None else value for one in made]
    return {
        "values": array("q", made).tobytes(),
        "labels": {
            "keys": array("Q", [place & KEY for place in where]).tobytes(),
            "calls": array("I", [
                calls[call] if (call := place >> 40) in calls else number(call) for place in where]).tobytes(),
            "numbers": bytes(map(numbers.__contains__, names)),
            "callers": array("I", [caller for caller, _ in chain]).tobytes(),
            "called": array("Q", [key for _, key in chain]).tobytes()}}


def _named(expansion: Expansion) -> list[str]:
    values = expansion.values
    return [name for name in expansion.places if ":" not in name and name in values]


def _file(expansion: Expansion, file: int, marks: Mapping[int, Sequence[tuple[int, int]]],
          skipped: Mapping[int, Collection[int]]) -> Packed:
    """One entry per line that wrote anything: the first write, and its bytes where it is the only one. Where the log of
    defines stood when a line was reached, and the rows that were not."""
    rows, ats, sizes, made = _unrolled(expansion, file)
    first: dict[int, int] = {}
    times: dict[int, int] = {}
    for number, row in enumerate(rows):
        if row in times:
            times[row] += 1
        else:
            first[row], times[row] = number, 1
    order = sorted(first)
    pieces: list[bytes] = []
    lengths: list[int] = []
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
        lengths.append(0 if piece is None else size)
    ends = array("I", [0])
    total = 0
    for piece in pieces:
        total += len(piece)
        ends.append(total)
    mine = marks.get(file, ())
    return {"rows": array("I", order).tobytes(), "at": array("q", [ats[first[row]] for row in order]).tobytes(),
            "sizes": array("I", lengths).tobytes(), "ends": ends.tobytes(), "bytes": b"".join(pieces),
            "marks": (array("I", [row for row, _ in mine]).tobytes(), array("I", [at for _, at in mine]).tobytes()),
            "skipped": _ranges(skipped.get(file, ()))}


def _unrolled(expansion: Expansion, file: int) -> tuple[list[int], list[int], list[int], list[bytes | None]]:
    """Row, address (-1: not known), size and bytes of every write of a file; runs of rows taken apart."""
    out: tuple[list[int], list[int], list[int], list[bytes | None]] = ([], [], [], [])
    rows, ats, sizes, made = out
    objects, places, positions, lengths = expansion._objects, expansion._place, expansion._at, expansion._sizes
    address = expansion.address
    low = file << 24
    for start, part in expansion.parts():
        if file not in part.files:
            continue
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
        what.append(GONE if text is None else TOO_LONG if len(text) > LONG else texts.setdefault(text, len(texts)))
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
