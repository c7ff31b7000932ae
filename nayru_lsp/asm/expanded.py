"""What an expansion found, read from the columns that another process made of it (`packing`).

Promises: it costs nothing until somebody asks, and then a look-up. Rows count from 0 as Asar counts lines: what is said
of a row holds for the very text that was executed, so ask `Expanded.is_text` first.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import Enum
from hashlib import blake2b
from itertools import islice
from typing import Any, Final, NamedTuple

from nayru_lsp.asm.expansion import Made
from nayru_lsp.asm.problem import EXECUTED, Problem, Severity
from nayru_lsp.asm.text import SourceText, Span

Packed = dict[str, Any]

UNCHANGED = b"unchanged"        # in place of a packed expansion: the last one still holds
TURNS = 20_000          # of a loop that are looked at
BYTES = 32              # kept of one line
_ROW = 0xFFFFFF
GONE, TOO_LONG = -1, -2     # in place of the number of a define's text

# Errors that could be the echo of something that is not known.
_ECHOES = frozenset({"Elabel_not_found", "Emacro_not_found", "Edefine_not_found"})
_HERE = frozenset({"Erelative_branch_out_of_bounds", "Eassertion_failed"})
_UNREAD = "Efailed_to_open_file"


class Unclear(Enum):
    UNKNOWN = "unknown"


UNKNOWN: Final = Unclear.UNKNOWN


class Found(NamedTuple):
    """A problem with the row it stands in."""

    path: str
    row: int
    code: str
    severity: int
    message: str


def digest(text: str) -> bytes:
    """Stands for a text; b"" for one whose rows are not Asar's (it ends lines at a lone CR, Asar does not)."""
    if "\r" in text and text.count("\r") != text.count("\r\n"):
        return b""
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=12).digest()


class _Tables:
    """The columns; what is derived from them is made when it is asked for first."""

    def __init__(self, packed: Packed) -> None:
        self.files: tuple[str, ...] = tuple(packed["files"])
        self.number = {path: number for number, path in enumerate(self.files)}
        self.digests: dict[str, bytes] = packed.get("digests", {})
        self.checked: dict[str, tuple[SourceText, bool]] = {}
        labels, lines = packed["labels"], packed["lines"]
        self.label_keys = _column("Q", labels["keys"])
        self.values = _column("q", labels["values"])
        self.calls = _column("I", labels["calls"])
        self.callers = _column("I", labels["callers"])
        self.called = _column("Q", labels["called"])
        self.numbers: bytes = labels["numbers"]
        self.line_keys = _column("Q", lines["keys"])
        self.at = _column("q", lines["at"])
        self.sizes = _column("I", lines["sizes"])
        self.ends = _column("I", lines["ends"])
        self.data: bytes = lines["bytes"]
        self.defines: Packed | None = packed["defines"]
        self.packed = packed
        self._names: list[str] | None = None
        self._index: dict[str, int] | None = None
        self._log: dict[str, tuple[list[int], list[int]]] | None = None

    @property
    def names(self) -> list[str]:
        if self._names is None:
            text = self.packed["labels"]["names"]
            self._names = text.split("\n") if text else []
        return self._names

    @property
    def index(self) -> dict[str, int]:
        if self._index is None:
            self._index = dict(zip(self.names, range(len(self.names)), strict=True))
        return self._index

    @property
    def log(self) -> dict[str, tuple[list[int], list[int]]]:
        """Of each define: where in the log it was set, and to which text."""
        if self._log is None:
            assert self.defines is not None
            each: list[tuple[list[int], list[int]]] = [([], []) for _ in self.defines["names"]]
            for at, (name, text) in enumerate(zip(_column("I", self.defines["which"]),
                                                  _column("i", self.defines["what"]), strict=True)):
                each[name][0].append(at)
                each[name][1].append(text)
            self._log = dict(zip(self.defines["names"], each, strict=True))
        return self._log


def _column(kind: str, data: bytes) -> memoryview[int]:
    return memoryview(data).cast(kind)          # type: ignore[call-overload,no-any-return]


class Expanded:
    """What executing a root found. ``texts``: those that were handed over, besides which it knows only digests.
    ``named``: somebody said that it is a root; else it may be a part of something, and what it lacks be elsewhere.

    Immutable; `with_moved` names files that have another text by now: the whole is `stale` then, though what is said of
    the rows of every other file still holds for them.
    """

    __slots__ = ("_tables", "_texts", "mapping_mode", "moved", "named", "placed", "problems", "reasons", "sure")

    def __init__(self, packed: Packed, texts: Mapping[str, SourceText] | None = None, *, named: bool = True) -> None:
        self._tables = _Tables(packed)
        self._texts = texts or {}
        self.moved: frozenset[str] = frozenset()
        self.sure: bool = packed["sure"]        # nothing was unknown, nothing was left out
        self.problems: tuple[Found, ...] = tuple([Found(*one) for one in packed["problems"]])
        self.reasons: Mapping[str, int] = packed["reasons"]
        self.mapping_mode: str = packed["mapping_mode"]     # at the end
        self.named = named
        # Without an `org`, a part of a program was executed as if it stood at $008000.
        self.placed = named or not any(one.code == "Emissing_org" for one in self.problems)

    def _copy(self) -> Expanded:
        new = Expanded.__new__(Expanded)
        for name in Expanded.__slots__:
            setattr(new, name, getattr(self, name))
        return new

    def with_moved(self, paths: Iterable[str]) -> Expanded:
        new = self._copy()
        new.moved = self.moved | frozenset(paths)
        return new

    def with_texts(self, texts: Mapping[str, SourceText]) -> Expanded:
        """The same result, found again: of these texts."""
        new = self._copy()
        new._texts, new.moved = texts, frozenset()
        return new

    @property
    def stale(self) -> bool:
        return bool(self.moved)

    @property
    def files(self) -> tuple[str, ...]:
        """Every file that was executed."""
        return self._tables.files

    def reads(self, path: str) -> bool:
        """Does the result depend on this file, executed or not?"""
        return path in self._tables.number or path in self._tables.digests

    def is_text(self, path: str, text: SourceText) -> bool:
        """Is this the text that was executed? Only then what is said of its rows may be used."""
        tables = self._tables
        known = tables.digests.get(path)
        if not known or path in self.moved or path not in tables.number:
            return False
        if self._texts.get(path) is text:
            return True
        checked = tables.checked.get(path)
        if checked is None or checked[0] is not text:
            checked = tables.checked[path] = (text, digest(str(text)) == known)
        return checked[1]

    # --- labels ------------------------------------------------------------------------------------------------------

    def names(self) -> Sequence[str]:
        """The names of all labels, without order."""
        return self._tables.names

    def label(self, name: str, namespace: str = "") -> Made | None:
        """A label by its full name; with a namespace the one inside it first, as Asar looks it up."""
        index = self._tables.index
        at = index.get(f"{namespace}_{name}") if namespace else None
        if at is None:
            at = index.get(name)
        return None if at is None else self._made(at)

    def is_number(self, made: Made) -> bool:
        """Was it set (``Name = value``), so that it need not be a place?"""
        at = self._tables.index.get(made.name)
        return at is not None and bool(self._tables.numbers[at])

    def labels_of(self, value: int) -> tuple[Made, ...]:
        """The labels that have this value, those that are set to it too, in the order of files and rows."""
        if not self.placed:
            return ()
        data = self._tables.packed["labels"]["values"]
        wanted, found, at = array("q", [value]).tobytes(), [], -1
        while (at := data.find(wanted, at + 1)) >= 0:
            if at % 8 == 0:
                found.append(self._made(at // 8))
        return tuple(found)

    def places(self, path: str, row: int) -> tuple[Made, ...]:
        """The labels that were made at a line."""
        low, high = self._labels_at(path, row)
        return tuple(map(self._made, range(low, high)))

    def _labels_at(self, path: str, row: int) -> tuple[int, int]:
        number = self._tables.number.get(path)
        if number is None:
            return 0, 0
        key = number << 24 | row
        return bisect_left(self._tables.label_keys, key), bisect_right(self._tables.label_keys, key)

    def _made(self, at: int) -> Made:
        tables = self._tables
        key, call, value = tables.label_keys[at], tables.calls[at], tables.values[at]
        calls = []
        while call:
            calls.append(self._where(tables.called[call]))
            call = tables.callers[call]
        known = value >= 0 and (self.placed or tables.numbers[at])
        return Made(tables.names[at], value if known else None, *self._where(key), tuple(reversed(calls)))

    def _where(self, key: int) -> tuple[str, int]:
        return self._tables.files[key >> 24], key & _ROW

    # --- lines -------------------------------------------------------------------------------------------------------

    def _line(self, path: str, row: int) -> int | None:
        number = self._tables.number.get(path)
        if number is None:
            return None
        keys, key = self._tables.line_keys, number << 24 | row
        at = bisect_left(keys, key)
        return at if at < len(keys) and keys[at] == key else None

    def wrote(self, path: str, row: int) -> bool:
        """Did this line write any bytes?"""
        return self._line(path, row) is not None

    def address(self, path: str, row: int) -> int | None:
        """Where the first bytes of this line went, else where its first label stands."""
        if not self.placed:
            return None
        at = self._line(path, row)
        if at is not None:
            found = self._tables.at[at]
            return None if found < 0 else found
        low, high = self._labels_at(path, row)
        return next((value for label in range(low, high)
                     if (value := self._tables.values[label]) >= 0 and not self._tables.numbers[label]), None)

    def line_bytes(self, path: str, row: int) -> bytes | None:
        """The bytes of a line that was written once, at most BYTES of them; `line_size` counts all."""
        at = self._line(path, row)
        if at is None or not self._tables.sizes[at]:
            return None
        return self._tables.data[self._tables.ends[at]:self._tables.ends[at + 1]]

    def line_size(self, path: str, row: int) -> int | None:
        at = self._line(path, row)
        return None if at is None else self._tables.sizes[at] or None

    def skipped(self, path: str) -> tuple[tuple[int, int], ...]:
        """Ranges of rows (the second excluded) in branches that were not taken."""
        number = self._tables.number.get(path)
        rows = _column("I", self._tables.packed["skipped"].get(number, b""))
        return tuple(zip(rows[::2], rows[1::2], strict=True))

    # --- defines -----------------------------------------------------------------------------------------------------

    def define_at(self, path: str, row: int, name: str) -> str | Unclear | None:
        """The value of ``!name`` before the line is executed first; None: it is not defined there."""
        tables = self._tables
        number, defines = tables.number.get(path), tables.defines
        if number is None or defines is None or self.macro_at(path, row):
            return UNKNOWN
        entry = tables.log.get(name)
        if entry is None:
            if name in defines["final"]:
                return str(defines["final"][name])
            return None if self.sure else UNKNOWN
        marks = defines["marks"].get(number)
        if marks is None:
            return UNKNOWN
        times = list(islice(_times(_column("I", marks[0]), _column("I", marks[1]), row), TURNS))
        if self.line_size(path, row) is not None:
            times = times[-1:]      # executed once: behind the loops, not in one
        found = {self._value(name, entry, at) for at in times}
        return found.pop() if len(found) == 1 and len(times) < TURNS else UNKNOWN

    def _value(self, name: str, entry: tuple[list[int], list[int]], at: int) -> str | Unclear | None:
        """Before number ``at`` of the log."""
        defines = self._tables.defines
        assert defines is not None
        final = entry[1][-1]
        if final >= 0 and name not in defines["final"]:
            return UNKNOWN      # it was lost in a branch that may or may not be taken
        before = bisect_left(entry[0], at) - 1
        if before < 0:
            given = defines["given"].get(name)
            return None if given is None else str(given)
        text = entry[1][before]
        return None if text == GONE else UNKNOWN if text == TOO_LONG else str(defines["texts"][text])

    def macro_at(self, path: str, row: int) -> str:
        """The macro whose body holds this line, or ""."""
        number = self._tables.number.get(path)
        return next((str(name) for file, start, end, name in self._tables.packed["macros"]
                     if file == number and start < row < end), "")

    # --- problems ----------------------------------------------------------------------------------------------------

    def missing(self, path: str) -> frozenset[tuple[int, str]]:
        """(row, label as written) that this file mentions and nobody defines."""
        if not self.named:
            return frozenset()
        return frozenset((one.row, one.message.split("`")[1]) for one in self.problems
                         if one.path == path and one.code == "Elabel_not_found" and one.message.count("`") >= 2)

    def shown(self) -> tuple[Found, ...]:
        """The problems to tell: nothing that could be the echo of something that is not known here, nor of a root that
        is none. Where the structure is broken, all that follows may be."""
        errors = {one.code for one in self.problems if one.severity == Severity.ERROR}
        if not self.named:
            kept = _HERE if self.sure and self.placed else frozenset()
        elif errors - EXECUTED - {_UNREAD}:
            kept = frozenset({"Enayru_limit"})
        else:
            kept = EXECUTED - _ECHOES if self.reasons or _UNREAD in errors else EXECUTED
            if not self.sure:
                kept -= {"Elabel_not_found"}    # what was left out or cut off might have made it
        return tuple(one for one in self.problems if one.code in kept)


def placed(found: Found, text: SourceText) -> Problem:
    """A problem on its line, or on the name that it is about."""
    line = text.line(found.row)
    start = text.line_start(found.row)
    name = found.message.split("`")[1] if found.message.count("`") >= 2 else ""
    at = line.find(name) if name and found.code in _ECHOES | {"Elabel_redefined", "Emacro_wrong_num_params"} else -1
    if at >= 0:
        span = Span(start + at, start + at + len(name))
    else:
        span = Span(start + len(line) - len(line.lstrip()), start + len(line.rstrip()))
    return Problem(found.path, span, found.code, Severity(found.severity), found.message)


def _times(rows: memoryview[int], logs: memoryview[int], row: int) -> Iterator[int]:
    """How long the log may have been when ``row`` came first. A mark stands only where the log had grown, so a loop
    above the row, or a second reading of the file, leaves more than one possibility."""
    exact = next((log for one, log in zip(rows, logs, strict=True) if one == row), None)
    if exact is not None:
        yield exact
        return
    best = before = -1
    for one, log in zip(rows, logs, strict=True):
        if one <= before and best >= 0:
            yield best
            best = -1
        before = one
        if one < row:
            best = log
        elif best >= 0:
            break
    if best >= 0:
        yield best
