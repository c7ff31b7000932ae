"""Where two executions of one root differ, ours and the real Asar's: labels, bytes, errors.

A wrong size shifts all labels behind it, so values are counted but not listed: a *cause* is the place where the
distance between our values and Asar's changes.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from nayru_lsp.asm.problem import Problem, Severity
from tests.oracle import Assembled, Told


class Made(Protocol):
    """A label of ours: what is compared of it."""

    @property
    def value(self) -> int | None: ...
    @property
    def path(self) -> str: ...
    @property
    def row(self) -> int: ...


class Write(Protocol):
    """Bytes of ours; ``rom`` None: their place is not known, ``data`` None: they are not."""

    @property
    def rom(self) -> int | None: ...
    @property
    def size(self) -> int: ...
    @property
    def data(self) -> bytes | None: ...
    @property
    def path(self) -> str: ...
    @property
    def row(self) -> int: ...


# --- labels ----------------------------------------------------------------------------------------------------------

class Cause(NamedTuple):
    """The distance between our value of ``label`` and Asar's differs from that of ``before``, the next lower label."""

    label: str
    before: str
    path: str
    row: int
    asar_gap: int
    our_gap: int
    asar_value: int


@dataclass(frozen=True, slots=True)
class Labels:
    asar: int
    ours: int
    found: int
    equal: int
    unknown: tuple[str, ...]
    missing: tuple[str, ...]
    extra: tuple[str, ...]
    causes: tuple[Cause, ...]

    @property
    def all_equal(self) -> bool:
        return self.equal == self.asar == self.ours


def compare_labels(made: Mapping[str, Made], asar: Mapping[str, int]) -> Labels:
    """Both without the names that Asar makes itself (``:pos_0_1``)."""
    asar = {name: value for name, value in asar.items() if not name.startswith(":")}
    mine = {name: label for name, label in made.items() if not name.startswith(":")}
    values = {name: label.value & 0xFFFFFF for name, label in mine.items() if label.value is not None}
    known = [name for name in asar if name in values]
    return Labels(
        len(asar), len(mine), sum(name in mine for name in asar), sum(values[name] == asar[name] for name in known),
        tuple(name for name in asar if name in mine and name not in values),
        tuple(sorted(asar.keys() - mine.keys(), key=lambda name: asar[name])),
        tuple(sorted(mine.keys() - asar.keys())), tuple(_causes(mine, values, asar, known)))


def _causes(mine: Mapping[str, Made], values: Mapping[str, int], asar: Mapping[str, int], known: Iterable[str],
            ) -> list[Cause]:
    """In the order in which our labels were made. Neighbours by address are taken among the labels of the same file,
    since assignments and code under `base` mix, and among all, since a file may go on where another one ends."""
    order = {name: number for number, name in enumerate(mine)}
    found: list[Cause] = []
    last: dict[str, str] = {}
    before = ""
    for name in sorted(known, key=lambda name: (asar[name], order[name])):
        path = mine[name].path
        shift = values[name] - asar[name]
        neighbours = [other for other in (last.get(path), before) if other]
        if shift and all(values[other] - asar[other] != shift for other in neighbours):
            near = neighbours[0] if neighbours else ""
            found.append(Cause(name, near, path, mine[name].row, asar[name] - asar.get(near, 0),
                               values[name] - values.get(near, 0), asar[name]))
        last[path] = before = name
    return sorted(found, key=lambda cause: order[cause.label])


# --- bytes -----------------------------------------------------------------------------------------------------------

class Spot(NamedTuple):
    """Bytes of one source line that are not as Asar's. ``kind``: different, unknown, missing or extra; ``asar`` and
    ``ours`` hold the first few."""

    kind: str
    path: str
    row: int
    rom: int
    size: int
    asar: bytes
    ours: bytes


@dataclass(frozen=True, slots=True)
class Bytes:
    """``unlisted``: ours, in no block that Asar reports, yet in its image (1.91 loses a write at the very end of the
    address space). ``unplaced``: ours, without a place. ``spots``: in the order of our writes."""

    asar: int
    equal: int
    different: int
    unknown: int
    missing: int
    extra: int
    unlisted: int
    unplaced: int
    spots: tuple[Spot, ...]

    @property
    def all_equal(self) -> bool:
        return self.equal == self.asar and not self.extra and not self.unplaced


_NOTHING, _KNOWN, _UNKNOWN = 0, 1, 2


def compare_bytes(writes: Sequence[Write], result: Assembled) -> Bytes:
    """Every byte of every block that Asar wrote against the last of our writes to its place."""
    ends = [rom + len(data) for rom, _, data in result.blocks]
    ends += [write.rom + write.size for write in writes if write.rom is not None]
    size = max(ends, default=0)
    state, data, owner = bytearray(size), bytearray(size), array("I", bytes(4 * size))
    unplaced = 0
    for number, write in enumerate(writes):
        if write.rom is None:
            unplaced += write.size
            continue
        part = slice(write.rom, write.rom + write.size)
        owner[part] = array("I", [number]) * write.size
        if write.data is None:
            state[part] = bytes([_UNKNOWN]) * write.size
        else:
            assert len(write.data) == write.size, f"{write.path}:{write.row + 1}: {write}"
            state[part] = bytes([_KNOWN]) * write.size
            data[part] = write.data
    counts = dict.fromkeys(("asar", "equal", "different", "unknown", "missing", "extra", "unlisted"), 0)
    spots: dict[tuple[str, int], list[int]] = {}        # kind, number of the write -> ROM offsets
    wanted, listed = bytearray(size), bytearray(size)
    for rom, _, block in result.blocks:
        wanted[rom:rom + len(block)] = block
        listed[rom:rom + len(block)] = bytes([1]) * len(block)
    counts["asar"] = listed.count(1)
    step = 256
    for start in range(0, size, step):
        part = slice(start, start + step)
        if state[part] == listed[part] and (data[part] == wanted[part] or not any(listed[part])):
            counts["equal"] += listed[part].count(1)        # nothing unknown in it, since 2 is never listed
            continue
        for rom in range(start, min(start + step, size)):
            if listed[rom]:
                kind = ("missing" if state[rom] == _NOTHING else "unknown" if state[rom] == _UNKNOWN
                        else "equal" if data[rom] == wanted[rom] else "different")
            elif state[rom]:
                held = result.image[rom:rom + 1]
                kind = "unlisted" if state[rom] == _KNOWN and held == data[rom:rom + 1] else "extra"
                wanted[rom:rom + 1] = held or b"\0"
            else:
                continue
            counts[kind] += 1
            if kind not in ("equal", "unlisted"):
                if kind == "missing":
                    owner[rom] = owner[rom - 1] if rom else 0       # what stands before it is what we have
                spots.setdefault((kind, owner[rom]), []).append(rom)
    return Bytes(**counts, unplaced=unplaced, spots=tuple(_spots(spots, writes, bytes(wanted), bytes(data))))


def _spots(spots: Mapping[tuple[str, int], list[int]], writes: Sequence[Write], wanted: bytes, data: bytes,
           ) -> list[Spot]:
    lines: dict[tuple[str, str, int], list[int]] = {}
    for (kind, number), offsets in sorted(spots.items(), key=lambda item: item[0][1]):
        at = (writes[number].path, writes[number].row) if writes else ("", 0)
        lines.setdefault((kind, *at), []).extend(offsets)
    return [Spot(kind, path, row, offsets[0], len(offsets), bytes(wanted[at] for at in offsets[:8]),
                 bytes(data[at] for at in offsets[:8]) if kind in ("different", "extra") else b"")
            for (kind, path, row), offsets in lines.items()]


# --- errors ----------------------------------------------------------------------------------------------------------

def row_of(problem: Problem) -> int:
    """An expansion's problems carry rows, not offsets."""
    return problem.span.start


def errors_of(problems: Iterable[Problem]) -> list[Problem]:
    return [problem for problem in problems if problem.severity is Severity.ERROR]


def hit(error: Told, problems: Iterable[Problem], generation: int, rows: Callable[[str], int]) -> str:
    """How ``problems`` report Asar's ``error``: "line" (the same line), "file" (it has no line, or sits at the end of
    the file, which has ``rows`` rows, and ours of the same name is elsewhere in it), "call" (at a line that led
    there), or "". 1.91 counts one line too few inside macros."""
    own = errors_of(problems)
    places = {(problem.path, row_of(problem)) for problem in own}
    if (error.path, error.line) in places:
        return "line"
    if generation == 1 and error.callers and (error.path, error.line + 1) in places:
        return "line"
    last = error.line < 0 or error.line >= rows(error.path) - 1
    if last and any(problem.path == error.path and problem.code == error.name for problem in own):
        return "file"
    return "call" if any(caller in places for caller in error.callers) else ""
