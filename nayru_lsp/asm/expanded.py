"""What an expansion found, read from the columns that another process made of it (`packing`).

Promises: it costs nothing until somebody asks, and then a look-up. Rows count from 0 as Asar counts lines: what is said
of a row holds for the very text that was executed, so ask `Expanded.is_text` first, or for its row there
(`Expanded.executed_row`), which is known above and below an edit. A long file: whatever is read off an expansion stands
together, labels, lines, defines and problems.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from enum import Enum
from functools import cached_property
from hashlib import blake2b
from itertools import chain, islice
from operator import itemgetter
from typing import Any, Final, NamedTuple

from nayru_lsp.asm.expansion import Made
from nayru_lsp.asm.problem import EXECUTED, Problem, Related, Severity
from nayru_lsp.asm.text import SourceText, Span

Packed = dict[str, Any]

FILE = "file:"          # sections that begin so are of the lines of one file
LABELS = "labels:"      # these are of the labels that one brought; its number follows
TURNS = 20_000          # of a loop that are looked at
BYTES = 32              # kept of one line
RELATED = 8             # calls that are named with a problem of a macro
_ROW = 0xFFFFFF
GONE, TOO_LONG = -1, -2     # in place of the number of a define's text

# Errors that could be the echo of something that is not known.
ECHOES = frozenset({"Elabel_not_found", "Emacro_not_found", "Edefine_not_found"})
_HERE = frozenset({"Erelative_branch_out_of_bounds", "Eassertion_failed"})
_UNREAD = "Efailed_to_open_file"


class Unclear(Enum):
    UNKNOWN = "unknown"


UNKNOWN: Final = Unclear.UNKNOWN


class Found(NamedTuple):
    """A problem with the row it stands in. ``via``: where it is seen (`callers.Via`), None: there. ``related``: other
    rows that it is about."""

    path: str
    row: int
    code: str
    severity: int
    message: str
    via: Any = None
    related: tuple[tuple[str, int, str], ...] = ()


def digest(text: str) -> bytes:
    """Stands for a text; b"" for one whose rows are not Asar's (it ends lines at a lone CR, Asar does not)."""
    if "\r" in text and text.count("\r") != text.count("\r\n"):
        return b""
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=12).digest()


class _Labels:
    """The section of the labels that one file brought, in the order of the files and rows that they are written in.
    ``before``: the section that it had until now."""

    def __init__(self, section: Packed, before: _Labels | None) -> None:
        self.keys = _column("Q", section["keys"])
        self.calls = _column("I", section["calls"])
        self.numbers: bytes = section["numbers"]
        self.values: bytes = section["values"]
        self.value = _column("q", self.values)
        self.section = section
        self.text: str = section["names"]
        if before is not None and before.text == self.text:     # what was derived from them holds
            self.text = before.text
            vars(self).update({name: value for name, value in vars(before).items() if name in ("names", "index")})

    @cached_property
    def names(self) -> list[str]:
        return self.text.split("\n") if self.text else []

    @cached_property
    def index(self) -> dict[str, int]:
        return dict(zip(self.names, range(len(self.names)), strict=True))


class _Lines:
    """The section of a file."""

    __slots__ = ("at", "data", "ends", "marks", "rows", "sizes", "skipped")

    def __init__(self, section: Packed) -> None:
        self.rows = _column("I", section["rows"])
        self.at = _column("q", section["at"])
        self.sizes = _column("I", section["sizes"])
        self.ends = _column("I", section["ends"])
        self.data: bytes = section["bytes"]
        self.marks = tuple([_column("I", one) for one in section["marks"]])
        self.skipped = _column("I", section["skipped"])

    def number(self, row: int) -> int | None:
        at = bisect_left(self.rows, row)
        return at if at < len(self.rows) and self.rows[at] == row else None


class _Defines:
    """The section of defines."""

    def __init__(self, section: Packed) -> None:
        self.texts: list[str] = section["texts"]
        self.final: dict[str, str] = section["final"]
        self.given: dict[str, str] = section["given"]
        self._section = section

    @cached_property
    def log(self) -> dict[str, tuple[list[int], list[int]]]:
        """Of each define: where in the log it was set, and to which text."""
        names = self._section["names"]
        each: list[tuple[list[int], list[int]]] = [([], []) for _ in names]
        for at, (name, text) in enumerate(zip(_column("I", self._section["which"]),
                                              _column("i", self._section["what"]), strict=True)):
            each[name][0].append(at)
            each[name][1].append(text)
        return dict(zip(names, each, strict=True))


class _Tables:
    """All sections that are here. ``before``: the tables that some of them were in."""

    def __init__(self, sections: Packed, digests: Mapping[str, bytes], before: _Tables | None = None) -> None:
        head = sections["head"]
        self.sections = sections
        self.files: tuple[str, ...] = tuple(head["files"])
        self.number = {path: number for number, path in enumerate(self.files)}
        self.macros: list[tuple[int, int, int, str]] = head["macros"]
        self.digests = digests
        self.checked: dict[str, tuple[SourceText, bool]] = {} if before is None else before.checked
        self.same: dict[str, tuple[SourceText, SourceText, int, int]] = {}      # as `common_lines` found it

        def still(name: str) -> bool:
            return before is not None and sections[name] is before.sections.get(name)

        self.callers = _column("I", sections["calls"]["callers"])
        self.called = _column("Q", sections["calls"]["places"])
        self.labels: dict[int, _Labels] = {}
        self.written: dict[int, list[_Labels]] = {}     # file -> the sections of labels that are written in it
        for name, section in sections.items():
            if name.startswith(LABELS):
                number = int(name[len(LABELS):])
                was = None if before is None else before.labels.get(number)
                labels = was if was is not None and was.section is section else _Labels(section, was)
                self.labels[number] = labels
                for file in section["files"]:
                    self.written.setdefault(file, []).append(labels)
        self.defines: _Defines | None = before.defines if before is not None and still("defines") else (
            None if sections["defines"] is None else _Defines(sections["defines"]))
        self.lines: dict[str, _Lines] = {}
        for name, section in sections.items():
            if name.startswith(FILE):
                path = name[len(FILE):]
                self.lines[path] = before.lines[path] if before is not None and still(name) else _Lines(section)


def _column(kind: str, data: bytes) -> memoryview[int]:
    return memoryview(data).cast(kind)          # type: ignore[call-overload,no-any-return]


class Expanded:
    """What executing a root found. ``texts``: of those that were executed; of the others it knows only digests.
    ``named``: somebody said that it is a root; else it may be a part of something, and what it lacks be elsewhere.

    Immutable; `with_moved` names files that have another text by now: the whole is `stale` then, though what is said of
    the rows of every other file still holds for them.
    """

    __slots__ = ("_tables", "early", "mapping_mode", "moved", "named", "placed", "problems", "reasons",
                 "sure", "texts")

    def __init__(self, sections: Packed, texts: Mapping[str, SourceText] | None = None, *, named: bool = True,
                 digests: Mapping[str, bytes] | None = None, before: _Tables | None = None,
                 early: bool = False) -> None:
        """``digests``: of the texts of all files that were asked for; ``before``: tables that
        some of the sections are in; ``early``: it is what an execution that goes on has found so far."""
        head = sections["head"]
        self._tables = _Tables(sections, digests or {}, before)
        self.texts = texts or {}
        self.moved: frozenset[str] = frozenset()
        self.early = early
        self.sure: bool = head["sure"]      # nothing was unknown, nothing was left out
        self.problems: tuple[Found, ...] = tuple([Found(*one) for one in head["problems"]])
        self.reasons: Mapping[str, int] = head["reasons"]
        self.mapping_mode: str = head["mapping_mode"]       # at the end
        self.named = named
        # Without an `org`, a part of a program was executed as if it stood at $008000.
        self.placed = named or not any(one.code == "Emissing_org" for one in self.problems)

    def followed(self, sections: Packed, files: Collection[str], texts: Mapping[str, SourceText],
                 digests: Mapping[str, bytes], *, named: bool) -> Expanded:
        """The result after this one: ``sections`` are those that are other ones now; of lines, only those of ``files``
        are kept."""
        kept = {name: section for name, section in (self._tables.sections | sections).items()
                if not name.startswith(FILE) or name[len(FILE):] in files}
        return Expanded(kept, texts, named=named, digests=digests, before=self._tables)

    def _copy(self) -> Expanded:
        new = Expanded.__new__(Expanded)
        for name in Expanded.__slots__:
            setattr(new, name, getattr(self, name))
        return new

    def with_moved(self, paths: Iterable[str]) -> Expanded:
        new = self._copy()
        new.moved = self.moved | frozenset(paths)
        return new

    def shows(self, path: str) -> bool:
        """Are the lines of this file here (or is it not executed at all)?"""
        return path in self._tables.lines or path not in self._tables.number

    @property
    def stale(self) -> bool:
        """Is there more to know by now?"""
        return self.early or bool(self.moved)

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
        if self.texts.get(path) is text:
            return True
        checked = tables.checked.get(path)
        if checked is None or checked[0] is not text:
            checked = tables.checked[path] = (text, digest(str(text)) == known)
        return checked[1]

    def executed_row(self, path: str, text: SourceText, row: int) -> int | None:
        """The row of the text that was executed that ``row`` of ``text`` is; None where it is in what was edited since,
        or nobody knows. What is said of it was so before the edit, see `stale`."""
        known = self._lines_left(path, text)
        return None if known is None else _across(row, text, known[0], *known[2:])

    def row_now(self, path: str, text: SourceText, row: int) -> int | None:
        """The other way round."""
        known = self._lines_left(path, text)
        return None if known is None else _across(row, known[0], text, *known[2:])

    def _lines_left(self, path: str, text: SourceText) -> tuple[SourceText, SourceText, int, int] | None:
        """(text executed, ``text``, lines that they begin with both, lines that they end with both)."""
        tables = self._tables
        if self.is_text(path, text):
            return text, text, text.line_count, 0
        before = self.texts.get(path)
        if before is None or not tables.digests.get(path) or path not in tables.number:
            return None
        known = tables.same.get(path)
        if known is None or known[0] is not before or known[1] is not text:
            known = tables.same[path] = before, text, *common_lines(before, text)
        return known

    # --- labels ------------------------------------------------------------------------------------------------------

    def names(self) -> Iterator[str]:
        """The names of all labels, without order."""
        return chain.from_iterable([labels.names for labels in self._tables.labels.values()])

    def label(self, name: str, namespace: str = "") -> Made | None:
        """A label by its full name; with a namespace the one inside it first, as Asar looks it up."""
        found = self._found(f"{namespace}_{name}") if namespace else None
        found = found or self._found(name)
        return None if found is None else self._made(*found)

    def _found(self, name: str) -> tuple[_Labels, int] | None:
        """Its section and its number there."""
        for labels in self._tables.labels.values():
            if (at := labels.index.get(name)) is not None:
                return labels, at
        return None

    def is_number(self, made: Made) -> bool:
        """Was it set (``Name = value``), so that it need not be a place?"""
        found = self._found(made.name)
        return found is not None and bool(found[0].numbers[found[1]])

    def labels_of(self, value: int) -> tuple[Made, ...]:
        """The labels that have this value, those that are set to it too, in the order of files and rows."""
        if not self.placed:
            return ()
        wanted, found = array("q", [value]).tobytes(), []
        for labels in self._tables.labels.values():
            at = -1
            while (at := labels.values.find(wanted, at + 1)) >= 0:
                if at % 8 == 0:
                    found.append((labels.keys[at // 8], self._made(labels, at // 8)))
        return tuple([made for _, made in sorted(found, key=itemgetter(0))])

    def places(self, path: str, row: int) -> tuple[Made, ...]:
        """The labels that were made at a line."""
        return tuple(sorted([self._made(labels, at) for labels, at in self._labels_at(path, row)],
                            key=lambda made: (made.calls, made.name)))

    def _labels_at(self, path: str, row: int) -> Iterator[tuple[_Labels, int]]:
        file = self._tables.number.get(path, -1)
        key = file << 24 | row
        for labels in self._tables.written.get(file, ()):
            for at in range(bisect_left(labels.keys, key), bisect_right(labels.keys, key)):
                yield labels, at

    def _made(self, labels: _Labels, at: int) -> Made:
        tables = self._tables
        call, value = labels.calls[at], labels.value[at]
        calls = []
        while call:
            calls.append(self._where(tables.called[call]))
            call = tables.callers[call]
        known = value >= 0 and (self.placed or labels.numbers[at])
        return Made(labels.names[at], value if known else None, *self._where(labels.keys[at]), tuple(reversed(calls)))

    def _where(self, key: int) -> tuple[str, int]:
        return self._tables.files[key >> 24], key & _ROW

    # --- lines -------------------------------------------------------------------------------------------------------

    def _line(self, path: str, row: int) -> tuple[_Lines, int] | None:
        lines = self._tables.lines.get(path)
        number = None if lines is None else lines.number(row)
        return None if lines is None or number is None else (lines, number)

    def wrote(self, path: str, row: int) -> bool:
        """Did this line write any bytes?"""
        return self._line(path, row) is not None

    def address(self, path: str, row: int) -> int | None:
        """Where the first bytes of this line went, else where its first label stands."""
        if not self.placed:
            return None
        line = self._line(path, row)
        if line is not None:
            found = line[0].at[line[1]]
            return None if found < 0 else found
        return next((value for labels, at in self._labels_at(path, row)
                     if (value := labels.value[at]) >= 0 and not labels.numbers[at]), None)

    def line_bytes(self, path: str, row: int) -> bytes | None:
        """The known bytes of a line that was written once, at most BYTES of them; `line_size` counts all."""
        line = self._line(path, row)
        if line is None or not line[0].sizes[line[1]]:
            return None
        lines, at = line
        return lines.data[lines.ends[at]:lines.ends[at + 1]] or None

    def line_size(self, path: str, row: int) -> int | None:
        line = self._line(path, row)
        return None if line is None else line[0].sizes[line[1]] or None

    def skipped(self, path: str) -> tuple[tuple[int, int], ...]:
        """Ranges of rows (the second excluded) in branches that were not taken."""
        lines = self._tables.lines.get(path)
        return () if lines is None else tuple(zip(lines.skipped[::2], lines.skipped[1::2], strict=True))

    # --- defines -----------------------------------------------------------------------------------------------------

    def define_at(self, path: str, row: int, name: str) -> str | Unclear | None:
        """The value of ``!name`` before the line is executed first; None: it is not defined there."""
        lines, defines = self._tables.lines.get(path), self._tables.defines
        if lines is None or defines is None or self.macro_at(path, row) or (
                self.early and row > max((*lines.marks[0], *lines.rows[-1:]), default=-1)):
            return UNKNOWN
        entry = defines.log.get(name)
        if entry is None:
            if name in defines.final:
                return defines.final[name]
            return None if self.sure else UNKNOWN
        times = list(islice(_times(lines.marks[0], lines.marks[1], row), TURNS))
        if self.line_size(path, row) is not None:
            times = times[-1:]      # executed once: behind the loops, not in one
        found = {self._value(defines, name, entry, at) for at in times}
        return found.pop() if len(found) == 1 and len(times) < TURNS else UNKNOWN

    def _value(self, defines: _Defines, name: str, entry: tuple[list[int], list[int]], at: int) -> str | Unclear | None:
        """Before number ``at`` of the log."""
        final = entry[1][-1]
        if final >= 0 and name not in defines.final:
            return UNKNOWN      # it was lost in a branch that may or may not be taken
        before = bisect_left(entry[0], at) - 1
        if before < 0:
            return defines.given.get(name)
        text = entry[1][before]
        return None if text == GONE else UNKNOWN if text == TOO_LONG else defines.texts[text]

    def macro_at(self, path: str, row: int) -> str:
        """The macro whose body holds this line, or ""."""
        number = self._tables.number.get(path)
        return next((str(name) for file, start, end, name in self._tables.macros
                     if file == number and start < row < end), "")

    # --- problems ----------------------------------------------------------------------------------------------------

    def missing(self, path: str) -> frozenset[tuple[int, str]]:
        """(row, label as written) that this file mentions and nobody defines, whatever call of a macro looks for it."""
        if not self.named:
            return frozenset()
        return frozenset((one.row, one.message.split("`")[1]) for one in self.problems
                         if one.path == path and one.code == "Elabel_not_found" and one.message.count("`") >= 2
                         and (one.via is None or one.via[0]))

    def shown(self) -> tuple[Found, ...]:
        """The problems to tell: nothing that could be the echo of something that is not known here, nor of a root that
        is none. Where the structure is broken, all that follows may be."""
        errors = {one.code for one in self.problems if one.severity == Severity.ERROR}
        if not self.named:
            kept = _HERE if self.sure and self.placed else frozenset()
        elif errors - EXECUTED - {_UNREAD}:
            kept = frozenset({"Enayru_limit"})
        else:
            kept = EXECUTED - ECHOES if self.reasons or _UNREAD in errors else EXECUTED
            if not self.sure:
                kept -= {"Elabel_not_found"}    # what was left out or cut off might have made it
        return tuple(chain.from_iterable([self._seen(one) for one in self.problems if one.code in kept]))

    def _seen(self, found: Found) -> Iterator[Found]:
        """A problem where it is seen: at calls of the macro that it stands in, in the macro, or both."""
        if found.via is None:
            yield found
            return
        always, calls, first = found.via
        files = self._tables.files
        ways = [[(files[file], row) for file, row in places] for places, *_ in calls]
        if always and first:
            yield found._replace(via=None, related=tuple([(*way[0], "called from here") for way in ways[:RELATED]]))
        for way, (_, said, message, rest) in zip(ways, calls, strict=True):
            where = f"{found.path.rpartition('/')[2]}, line {found.row + 1}" if found.path != way[0][0] else (
                f"line {found.row + 1}")
            yield Found(*way[0], found.code, found.severity, f"in {said} ({where}): {message}{rest}", None, (
                (found.path, found.row, message), *[(*place, "through this call") for place in reversed(way[1:])]))


def told(expanded: Expanded, texts: Mapping[str, SourceText]) -> list[Problem]:
    """The problems to tell, each in its place, where ``texts`` are those that were executed."""
    shown = expanded.shown()
    paths = {one.path for one in shown} | {path for one in shown for path, _, _ in one.related}
    known = {path: texts[path] for path in paths if path in texts and expanded.is_text(path, texts[path])}
    return [placed(one, known[one.path], known) for one in shown if one.path in known]


def common_lines(one: SourceText, other: SourceText) -> tuple[int, int]:
    """How many lines two texts have in common at their start, and how many at their end. Versions of a text share their
    blocks, so that only those around the edits are looked into."""
    mine, theirs = one.blocks, other.blocks
    most = min(len(mine), len(theirs))
    first = last = start = end = 0
    while first < most and mine[first].text == theirs[first].text:
        start += len(mine[first].text)
        first += 1
    while last < most - first and mine[-1 - last].text == theirs[-1 - last].text:
        last += 1
        end += len(mine[-last].text)
    length = min(one.length, other.length)
    start = _same(length - end, start, lambda at, size: one.slice(at, at + size) == other.slice(at, at + size))
    above = one.line_of(start)
    start = one.line_start(above)       # of a new line, the indentation may be that of the next
    end = _same(length - start, end, lambda at, size: (
        one.slice(one.length - at - size, one.length - at) == other.slice(other.length - at - size, other.length - at)))
    borders = [(text, text.line_of(text.length - end)) for text in (one, other)]
    whole = all(text.line_start(row) == text.length - end for text, row in borders)     # it begins there in both
    return above, one.line_count - borders[0][1] - (not whole)


def _across(row: int, here: SourceText, there: SourceText, above: int, below: int) -> int | None:
    """A row of ``here`` in ``there``, of which so many lines at the start and at the end are the same."""
    if row < above:
        return row
    return row - here.line_count + there.line_count if row >= here.line_count - below else None


def _same(most: int, at: int, equal: Callable[[int, int], bool]) -> int:
    """How far, at most ``most``, it is all equal: behind ``at``, where some is already."""
    step = 4_096
    while at < most and step:
        size = min(step, most - at)
        if equal(at, size):
            at += size
        else:
            step = size // 2
    return at


def placed(found: Found, text: SourceText, others: Mapping[str, SourceText] | None = None) -> Problem:
    """A problem on its line, or on the name that it is about. ``others``: texts of the files with what is related to
    it."""
    known = {found.path: text, **(others or {})}
    related = tuple([Related(path, _line_span(known[path], row), message)
                     for path, row, message in found.related if path in known])
    return Problem(found.path, _span(found, text), found.code, Severity(found.severity), found.message,
                   related=related)


def _span(found: Found, text: SourceText) -> Span:
    line, start = text.line(found.row), text.line_start(found.row)
    name = found.message.split("`")[1] if found.message.count("`") >= 2 else ""
    if found.message.startswith("in `%"):       # it is about the call
        name = name if name in line else name.partition("(")[0]
    elif found.code not in ECHOES | {"Elabel_redefined", "Emacro_wrong_num_params"}:
        name = ""
    at = line.find(name) if name else -1
    return Span(start + at, start + at + len(name)) if at >= 0 else _line_span(text, found.row)


def _line_span(text: SourceText, row: int) -> Span:
    line, start = text.line(row), text.line_start(row)
    return Span(start + len(line) - len(line.lstrip()), start + len(line.rstrip()))


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
