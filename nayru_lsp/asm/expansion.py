"""What executing a root found: labels, bytes, places, defines (see `expand`). Columns inside; objects on demand."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Any, NamedTuple

from nayru_lsp.asm.mapping import SA1_BANKS, MappingMode, to_rom, to_snes
from nayru_lsp.asm.problem import Problem

UNPLACED = 1 << 24      # regions from this number on have no known place
OVERFULL = 1 << 32      # and these: what did not fit into bank 0 and those behind it
REGION = 24             # bits below the number of a region in a position
UNSET = -1              # no `org` yet
MOST_CALLS = 250        # that are told of one place; outside of 2.0 there are no more
ALWAYS = "*"            # among the names that a part read: it depends on more than the labels it named


@dataclass(frozen=True, slots=True)
class Limits:
    """Where an expansion is cut. Asar itself knows none of these but the depths."""

    lines: int = 30_000_000     # executed, of all passes
    loops: int = 500_000        # turns of while and for, of one pass
    depth: int = 249            # macros and includes, and the defines in defines on their lines
    depth_2: int = 5_000        # the same in 2.0
    text: int = 2_000_000       # characters of one line after expansion
    held: int = 50_000_000      # characters of all values that defines ever had, in one pass
    output: int = 0x2000000     # bytes written
    calls: int = 3_000_000      # of macros, of one pass
    problems: int = 2_000


UNSURE = "\0"       # in the log of defines, as a text: nobody knows it from here on


class Made(NamedTuple):
    """A label: where it was made, ``row`` from 0; ``calls`` are the macro calls it came through, outermost first."""

    name: str
    value: int | None
    path: str
    row: int
    calls: tuple[tuple[str, int], ...]


class Write(NamedTuple):
    """``size`` bytes at the SNES address ``snes`` (None: its place is not known); ``data`` None: not known."""

    snes: int | None
    rom: int | None
    size: int
    data: bytes | None
    path: str
    row: int


class Part:
    """Writes in a row and their bytes. The numbers in ``unmapped``, ``wrong`` and ``reasons`` count from its first
    write, those in ``judged`` from its first assertion: (number, code, message)."""

    __slots__ = ("data", "files", "judged", "readers", "reads", "reasons", "unmapped", "was", "wrong")

    def __init__(self) -> None:
        self.data: list[bytes | None] = []
        self.judged: list[tuple[int, str, str]] = []
        self.unmapped: list[tuple[int, int, str, str]] = []     # with the row behind that of its write
        self.wrong: list[tuple[int, str, str]] = []
        self.reasons: list[tuple[int, str]] = []    # why something is not known
        self.reads: tuple[str, ...] = ()
        self.readers: dict[str, list[int]] | None = None     # name -> numbers of writes, once that was of use
        self.files: frozenset[int] = frozenset()    # in which its lines stand
        # The part that this was, how many bytes further on it lies, and the numbers of what was evaluated anew
        self.was: tuple[Part, int, set[int]] | None = None


WRITES, JUDGED = 0, 4       # in ``Border.at``


class Border:
    """Where a part begins; ``at`` are lengths of what was made before it, `WRITES` that of the writes, `JUDGED` that of
    the assertions; ``made`` is what was evaluated of it, before it came to lie ``slid`` bytes further on."""

    __slots__ = ("at", "made", "slid")

    def __init__(self, at: tuple[int, ...] = (0,) * (JUDGED + 1)) -> None:
        self.at = at
        self.made: Part | None = None
        self.slid = 0


class Cancelled(Exception):
    """Raised by ``tick`` to end an expansion."""


class Fatal(Exception):
    """Asar would stop here."""


class Expansion:
    """What an execution found. Columns inside; objects are made when somebody asks."""

    def __init__(self) -> None:
        self.mapping_mode = MappingMode.LOROM
        self.files: list[str] = []
        self.values: dict[str, int] = {}            # name -> position (24 bits and a region above them)
        self.places: dict[str, int] = {}            # name -> place
        self.call_table: list[tuple[int, int]] = [(-1, 0)]      # call -> its caller, place of the call
        self.defines: dict[str, str] = {}
        self.define_log: list[tuple[str, str | None, int]] = []      # name, text (None: gone; `UNSURE`), place
        self._marks: list[tuple[int, int, int]] = []        # file, row, length of the log before it
        self._skipped: list[tuple[int, int, int]] = []      # file, first row, end of a branch that was not taken
        self.macros: dict[str, tuple[str, int, tuple[str, ...]]] = {}    # name -> path, row, parameters
        self.structs: dict[str, tuple[int, int]] = {}
        self.problems: tuple[Problem, ...] = ()
        self.reasons: Counter[str] = Counter()
        self.passes = 0
        self.lines = 0
        self._modes: list[tuple[int, MappingMode, tuple[int, ...]]] = []    # from this write on: mode, banks of an SA-1
        self._image: list[tuple[int, bytes, int]] = []      # written before any code: ROM offset, bytes, place
        self._objects: list[Any] = []
        self._at = array("q")
        self._real = array("q")
        self._place = array("Q")
        self._sizes = array("I")
        self._parts: list[tuple[int, Part]] | None = None       # number of the first write; None: not evaluated yet
        self._machine: Any = None
        self._labels: dict[str, Made] | None = None

    @property
    def define_marks(self) -> dict[int, list[tuple[int, int]]]:
        """File -> (row, length of ``define_log`` before it was executed), in the order of execution."""
        out: dict[int, list[tuple[int, int]]] = {}
        for file, row, length in self._marks:
            out.setdefault(file, []).append((row, length))
        return out

    @property
    def skipped(self) -> dict[int, set[int]]:
        """File -> rows in branches that were not taken, at least once."""
        out: dict[int, set[int]] = {}
        for file, first, end in self._skipped:
            out.setdefault(file, set()).update(range(first, end))
        return out

    # --- labels ------------------------------------------------------------------------------------------------------

    @property
    def labels(self) -> Mapping[str, Made]:
        """Every label by its name as Asar spells it; those of Asar's own making begin with ``:``."""
        if self._labels is None:
            self._labels = {name: self.label(name) for name in self.values}  # type: ignore[misc]
        return self._labels

    def label(self, name: str) -> Made | None:
        position = self.values.get(name)
        if position is None:
            return None
        path, row, calls = self.where(self.places[name])
        return Made(name, self.address(position), path, row, calls)

    def address(self, position: int) -> int | None:
        """A position as a 24-bit address, or None in a region without a place."""
        return None if position < 0 or position >> REGION >= UNPLACED else position & 0xFFFFFF

    def where(self, place: int) -> tuple[str, int, tuple[tuple[str, int], ...]]:
        call = place >> 40
        calls: list[tuple[str, int]] = []
        while call > 0 and len(calls) < MOST_CALLS:
            call, outer = self.call_table[call]
            calls.append((self.files[outer >> 24 & 0xFFFF], outer & 0xFFFFFF))
            call = outer >> 40
        return self.files[place >> 24 & 0xFFFF], place & 0xFFFFFF, tuple(reversed(calls))

    # --- bytes -------------------------------------------------------------------------------------------------------

    def data(self) -> list[bytes | None]:
        """The bytes of every write, in order."""
        return list(chain.from_iterable([part.data for _, part in self.parts()]))

    def parts(self) -> list[tuple[int, Part]]:
        """All that was written, in order, evaluated: the number of its first write and a part. Finds problems."""
        if self._parts is None:
            self._parts = self._machine.evaluated(self)
        return self._parts

    @property
    def writes(self) -> list[Write]:
        out = []
        data = self.data()
        banks = self._modes[-1][2] if self._modes else SA1_BANKS
        for at, tag, place in self._image:
            out.append(Write(to_snes(self.mapping_mode, at, banks), at, len(tag), tag,
                             self.files[place >> 24 & 0xFFFF], place & 0xFFFFFF))
        mode, banks = MappingMode.LOROM, SA1_BANKS
        modes = iter(self._modes)
        upcoming = next(modes, None)
        for number, place in enumerate(self._place):
            while upcoming is not None and upcoming[0] <= number:
                _, mode, banks = upcoming
                upcoming = next(modes, None)
            real = self._real[number]
            snes = self.address(real)
            rom = to_rom(mode, snes, banks) if snes is not None else None
            out.append(Write(snes, rom, self._sizes[number], data[number], self.files[place >> 24 & 0xFFFF],
                             place & 0xFFFFFF))
        return out
