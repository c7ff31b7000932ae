"""An expansion that follows edits: what an edit does not touch is not executed again.

While a root is executed, its state is kept at *borders* (see `following`). After an edit, execution begins again at
the border before it and goes on until it comes to a border of the time before in the very state of then; what lies
behind is kept. Three things make an edit matter further on, and then the whole is executed again: a label that
decided something (a condition, an `org`) has another value, the size of an instruction elsewhere was taken from a
label that lies in another bank now, or a name is defined twice.

Promises: after every `changed` the result equals a fresh one of the same texts (tests/asm/test_live.py), apart from
the labels of Asar's own making, whose names are arbitrary. Owns no disk and no clock: texts come through ``read``,
which must give the new text of a path before `changed` names it.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Collection, Iterable
from contextlib import suppress
from dataclasses import replace

from nayru_lsp.asm.early import so_far
from nayru_lsp.asm.expand import Expansion, Limits, Read
from nayru_lsp.asm.expansion import Fatal
from nayru_lsp.asm.following import COUNTED, ENTERED, TWICE, Everything, Following, Segment, kept
from nayru_lsp.asm.lexer import joins_next
from nayru_lsp.asm.mapping import without_header
from nayru_lsp.asm.prepared import faults_2, prepared_lines
from nayru_lsp.asm.project import Root
from nayru_lsp.asm.state import Lines
from nayru_lsp.asm.syntax import Dialect
from nayru_lsp.asm.text import Span

MAX_PLACES = 20         # of one edit, in the order of execution
MAX_SLIDES = 30         # and stretches that need not be executed because of it
MORE_CALLS = 200_000    # of macros, made in parts, before the whole is executed again: those of the past are kept
CONTEXT = 64            # lines that joins may reach around an edit

_ROW = 0xFFFFFF
_FILE_AND_ROW = 0xFFFF_FFFFFF


class Live:
    """One root, kept executed while its files change."""

    def __init__(self, root: Root, read: Read, base_image: bytes | None = None, tick: Callable[[], None] | None = None,
                 limits: Limits | None = None, begun: Callable[[Live], None] | None = None) -> None:
        """``begun`` is given this before the root is executed, so that `so_far` can be asked meanwhile."""
        self.root = root
        self._machine = Following(root, read, base_image, tick, limits or Limits())
        self._texts: dict[str, str] = {}            # of the files that have changed once
        if begun is not None:
            begun(self)
        self.expansion: Expansion = self._machine.expansion()
        self._finished()

    def _finished(self) -> None:
        self._machine.end()
        self._most = 2 * len(self._machine.out.call_table) + MORE_CALLS
        self.again = "everything"       # what the last change executed again, for whoever measures

    def reads(self, path: str) -> bool:
        """Was this path asked for, whether it was there or not?"""
        return path == self.root.base_image or path in self._machine.prepared or path in self._machine.binaries

    def changed(self, paths: Iterable[str]) -> Expansion:
        """The texts of ``paths`` are other ones now."""
        machine = self._machine
        paths = set(paths)
        image = self.root.base_image
        data = machine.read(image) if image in paths else None
        data = None if data is None else without_header(data)
        if image in paths and data != machine.base_image:
            machine.base_image = data       # nothing that was found with another one holds
            for path in paths:
                machine.forget(path)
                self._texts.pop(path, None)
            self.expansion = machine.expansion()
            self._finished()
            return self.expansion
        paths.discard(image)
        touched = [path for path in sorted(paths) if self.reads(path)]
        if not touched:
            self.again = "nothing"
            return self.expansion
        if len(touched) == 1 and machine.prepared.get(touched[0]) is not None and touched[0] not in machine.binaries:
            if self._edited(touched[0]):
                return self.expansion
        else:
            for path in touched:
                machine.forget(path)
                self._texts.pop(path, None)
        self.expansion = machine.expansion(again=True)
        self._finished()
        return self.expansion

    def so_far(self, paths: Collection[str]) -> Expansion | None:
        """What the very first execution, which still goes on, has found for sure; of lines only those of ``paths``."""
        return so_far(self._machine, paths)

    def fresh(self) -> tuple[dict[str, int | None] | None, set[int], bool]:
        """What is another than when this was asked last: the labels that have another value or place, are new or are
        gone, with the places that they had (None: all may be other ones); the files of which lines are further down or
        up; are assignments to defines other ones?"""
        machine = self._machine
        found = machine.relabeled, machine.shifted, machine.redefined
        machine.relabeled, machine.shifted, machine.redefined = {}, set(), False
        return found

    # --- one file ----------------------------------------------------------------------------------------------------

    def _edited(self, path: str) -> bool:
        """Prepare what changed in one file, and execute no more than needed; False: all of it is to be executed."""
        machine = self._machine
        old = machine.prepared[path]
        assert old is not None
        data = machine.read(path)
        if data is None:
            machine.forget(path)
            self._texts.pop(path, None)
            return False
        text = data.decode("utf-8", "surrogateescape")
        if machine.modern and (machine.faults.get(path) or faults_2(text)):
            machine.forget(path)        # what is wrong with a file as a whole is found when it is entered
            self._texts.pop(path, None)
            return False
        before = self._texts.get(path)
        self._texts[path] = text
        change = None if before is None else self._prepared(before, text)
        if change is None:
            fresh = prepared_lines(text, machine.dialect)
            first = _common(old, fresh)
            last = _common_end(old, fresh, first)
            change = (first, len(old) - last, fresh[first:len(fresh) - last])
        first, end, lines = change
        while lines and end > first and lines[-1] == old[end - 1]:
            end -= 1
            lines.pop()
        same = _common(old[first:end], lines)
        first, lines = first + same, lines[same:]
        if not lines and first == end:
            self.again = "nothing"
            return True
        new = _spliced(old, first, end, lines)
        machine.prepared[path] = new
        number = machine.file_number.get(path)
        if number is None or any("asar" in line.lower() for line in (*lines, *old[first:end])):
            return False        # `asar 1.90` changes the arithmetic of all there is
        return self._executed(number, old, new, first, end, len(lines) - (end - first))

    def _prepared(self, before: str, text: str) -> tuple[int, int, list[str]] | None:
        """(first row, end of the old rows, new rows): the prepared lines around the difference of two texts."""
        if "\0" in text or "\0" in before or (
                self._machine.dialect is Dialect.ASAR_2 and (";[[" in text or ";[[" in before)):
            return None
        start = _same_start(before, text)
        stop = _same_end(before, text, start)
        begin = before.rfind("\n", 0, start) + 1
        for _ in range(CONTEXT):        # a join may reach down to the edit
            if not begin:
                break
            above = before.rfind("\n", 0, begin - 1) + 1
            line = before[above:begin - 1]
            if not joins_next(line) and line.split(";", 1)[0].strip():
                break
            begin = above
        else:
            return None
        ends = [_line_end(one, len(one) - stop) for one in (before, text)]
        for _ in range(CONTEXT):        # and from there on down
            tails = [one[begin:end].rstrip("\r\n") for one, end in zip((before, text), ends, strict=True)]
            if not any(_open(tail) for tail in tails) or ends[0] >= len(before) or ends[1] >= len(text):
                break
            ends = [_line_end(one, end) for one, end in zip((before, text), ends, strict=True)]
        else:
            return None
        first = before.count("\n", 0, begin)
        old = before[begin:ends[0]]
        fresh = text[begin:ends[1]]
        whole = ends[1] >= len(text) or ends[0] >= len(before)
        if whole:
            old, fresh = before[begin:], text[begin:]
            return first, first + old.count("\n") + 1, prepared_lines(fresh, self._machine.dialect)
        rows = prepared_lines(fresh.removesuffix("\n"), self._machine.dialect)
        if begin == 0 and text.startswith("\ufeff") is not before.startswith("\ufeff"):
            return None
        return first, first + old.count("\n"), rows

    def _executed(self, file: int, old: Lines, new: Lines, first: int, end: int, delta: int) -> bool:
        machine = self._machine
        segments = machine.segments
        if machine.stopped or not machine.settled or machine.sized or machine.placed or not segments or (
                len(machine.out.call_table) > self._most):
            return False
        concerned = machine.concerned(file)
        affected = next((one for one in concerned if self._touches(one, file, first, end)), -1)
        if affected < 0:
            return False
        if delta:
            machine.shifted.add(file)
            self._shift(file, end, delta, concerned)
            self._shift_states(file, end, delta)
        for number in concerned:
            self._moved(segments[number], file, old, new, first, end, delta)
        changed: set[str] = set()
        before, slides, places = machine.part, 0, 0
        while affected >= 0:
            machine.sliding = slides < MAX_SLIDES
            stop = self._part(affected, changed)
            if stop is None:
                return False
            segments = machine.segments
            affected = next((one for one in machine.concerned(file) if one >= stop and segments[one].part <= before
                             and self._touches(one, file, first, end + delta)), -1)
            if machine.slid:            # not to the very end: something is executed behind it
                most = affected if affected >= 0 else len(segments) - 1
                affected = machine.slid_to(stop, most)
                changed.update(machine.slide(stop, affected, machine.slid))
                slides += 1
            elif affected >= 0:         # a file that is included more than once
                places += 1
                if places == MAX_PLACES:
                    return False
        if len(set(machine.entered)) != len(machine.out.files):
            return False        # one is not included any more
        # A label of a call is read in that call only, which is executed as a whole.
        read = [name for name in changed & machine.shape_reads if ":macro_" not in name]
        if machine.sized or machine.sought or read or not self._guesses_hold(changed) or (
                machine.pass_number and machine.ending["structs"] != machine.earlier):
            return False
        machine.moved |= changed
        for name, value in machine.ending.items():
            setattr(machine, name, kept(value))
        machine.told()
        self.again = "a part"
        return True

    def _touches(self, number: int, file: int, first: int, end: int) -> bool:
        """Does segment ``number`` execute any of the changed rows of ``file``?"""
        machine = self._machine
        segments = machine.segments
        start, stretch_end = machine.stretch(number)
        entered = machine.entered[start[ENTERED]:stretch_end[ENTERED]].count(file)
        starts = [frame[3] + 1 for frame in segments[number].frames if frame[1] == file]
        following = segments[number + 1] if number + 1 < len(segments) else None
        stops = [frame[3] + 1 for frame in following.frames if frame[1] == file] if following is not None else []
        if entered > (1 if stops and not starts else 0):
            return True         # all of it, once at least
        if not starts and not stops:
            return False
        if starts == stops and len(starts) == 1 and not entered and not first < starts[0] <= end and file not in (
                segments[number].file, following.file if following is not None else file):
            return False        # all of it is below one line of the file, which is not among them
        begin = min(starts, default=0)
        stop = max(stops, default=1 << 31)
        if stop < begin:
            return True         # a loop went back
        return begin <= max(end, first + 1) and first <= stop

    def _moved(self, segment: Segment, file: int, old: Lines, new: Lines, first: int, end: int, delta: int) -> None:
        if segment.file == file and segment.row >= end:
            segment.row += delta
        if file in segment.files:
            segment.frames = [frame if frame[1] != file else (
                new, *frame[1:3], _row(frame[3], first, end, delta), *frame[4:8],
                frame[8] + delta if frame[8] >= end else frame[8], frame[9]) for frame in segment.frames]

    def _shift_states(self, file: int, end: int, delta: int) -> None:
        """Macros and open conditions behind the edit are some lines further down. States share what they can."""
        machine = self._machine
        seen: set[int] = set()
        for state in (machine.ending, *(segment.state for segment in machine.segments)):
            macros, loops = state["macros"], state["loops"]
            if id(macros) not in seen:
                seen.add(id(macros))
                for macro in macros.values():
                    if id(macro) not in seen:
                        seen.add(id(macro))
                        if macro.file == file and macro.row >= end:
                            macro.row += delta
            if id(loops) not in seen:
                seen.add(id(loops))
                for loop in loops.values():
                    if loop.place >> 24 & 0xFFFF == file and loop.row >= end:
                        loop.row, loop.place = loop.row + delta, loop.place + delta

    def _shift(self, file: int, end: int, delta: int, concerned: list[int]) -> None:
        """Every place behind the edit is some lines further down (or up)."""
        machine, out = self._machine, self._machine.out
        low, high = file << 24 | end, file << 24 | _ROW

        def moved(place: int) -> int:
            return place + delta if low <= place & _FILE_AND_ROW <= high else place

        calls = [machine.segments[number].calls for number in concerned]
        stretches = [machine.stretch(number) for number in concerned]
        if any(one.file == file and one.row + len(one.lines) + 1 >= end for one in machine.macros.values()):
            calls = [(0, len(out.call_table))]      # a macro is gone through anywhere
            stretches = [((0,) * COUNTED, machine.lengths())]
        for first, stop in calls:
            out.call_table[first:stop] = [(call, moved(place)) for call, place in out.call_table[first:stop]]
        places, now = out._place, machine.now
        for start, until in stretches:
            at, to = start[0], until[0]
            places[at:to] = array("Q", [place + delta if low <= place & _FILE_AND_ROW <= high else place
                                        for place in places[at:to]])
            for name in machine.label_log[start[1]:until[1]]:
                now[name] = moved(now[name])
            at, to = start[4], until[4]
            machine.deferred[at:to] = [(words, scope, moved(place), pos, real)
                                       for words, scope, place, pos, real in machine.deferred[at:to]]
            at, to = start[5], until[5]
            out.define_log[at:to] = [(name, text, moved(place)) for name, text, place in out.define_log[at:to]]
            at, to = start[6], until[6]
            out._marks[at:to] = [(one, row + delta, length) if one == file and row >= end else (one, row, length)
                                 for one, row, length in out._marks[at:to]]
            at, to = start[7], until[7]
            out._skipped[at:to] = [(one, row + delta if row >= end else row, last + delta if last > end else last)
                                   if one == file else (one, row, last) for one, row, last in out._skipped[at:to]]
        path = out.files[file]
        for number, problem in enumerate(machine.problems):
            if problem.path == path and problem.span.start >= end:
                span = Span(problem.span.start + delta, problem.span.end + delta)
                problem = machine.problems[number] = replace(problem, span=span)
            if problem.again and low <= problem.again <= high:
                problem = machine.problems[number] = replace(problem, again=problem.again + delta)
            if problem.code == "Elabel_redefined" and "also in" in problem.message:     # it says where the other one is
                name = problem.message.split("`")[1]
                said = f"{problem.message.rpartition(' ')[0]} {(now[name] & _ROW) + 1}"
                machine.problems[number] = replace(problem, message=said)

    def _part(self, number: int, changed: set[str]) -> int | None:
        """Execute again from border ``number`` on. Gives the number (in the new list) of the first border that is still
        as it was, or None where the whole is to be executed."""
        machine = self._machine
        start, tail = machine.segments[number], machine.segments[number + 1:]
        before = machine.begin_part(start, tail, machine.segments[:number])
        try:
            with suppress(Fatal):
                machine.loop()
        except Everything:
            machine.found_border = -2
        met = machine.found_border
        if met == -2 or machine.placed or (met < 0 and machine.frames):
            return None     # a name is there twice, the image is changed, or Asar stopped: that is another program
        if met < 0:
            machine.finish()
            machine.end()
        where = start.at[TWICE], tail[met].at[TWICE] if met >= 0 else len(machine.saved[TWICE])
        elsewhere = {*machine.saved[TWICE][:where[0]], *machine.saved[TWICE][where[1]:]}
        try:
            made = machine.end_part(start, tail, met)
        except Everything:
            return None
        if elsewhere and not (elsewhere.isdisjoint(made) and elsewhere.isdisjoint(before)):
            return None         # which of two is the label, and where that one is
        changed.update(machine.renamed)
        other = {name: place for name, (place, number) in machine.stood.items()
                 if machine.now.get(name) != place or (name in machine.static) is not number}
        for name, value in before.items():
            if name not in machine.now:
                machine.labels.pop(name, None)
            elif machine.labels[name] == value:
                continue
            changed.add(name)
            other[name] = machine.stood[name][0]
        new = [name for name in made if name not in before]
        changed.update(new)
        if machine.relabeled is not None:
            machine.relabeled = {**dict.fromkeys(new), **other, **machine.relabeled}
        return len(machine.segments) if met < 0 else len(machine.segments) - len(tail[met:])

    def _guesses_hold(self, changed: set[str]) -> bool:
        machine = self._machine
        untouched = changed.isdisjoint
        for keys, literal, used, position, how in machine.guesses if changed else ():
            if untouched(keys) and not (how[0] and any(how[0] + key in changed for key in keys)):
                continue
            if machine.width_of(keys, literal, position, how) != used:
                return False
        return True


def _row(row: int, first: int, end: int, delta: int) -> int:
    """A row of the text before in the new one; rows that are gone become none that is ever met."""
    if row >= end:
        return row + delta
    return row if row < first else -2


def _spliced(old: Lines, first: int, end: int, lines: list[str]) -> Lines:
    """The lines with some replaced; what is known about the others is kept."""
    new = Lines([*old[:first], *lines, *old[end:]])
    delta = len(lines) - (end - first)
    for row, (macro, last) in old.macros.items():
        if last < first:
            new.macros[row] = (macro, last)
        elif row >= end:
            new.macros[row + delta] = (macro, last + delta)
    for compiler, known in old.compiled.items():
        new.compiled[compiler] = [*known[:first], *[None] * len(lines), *known[end:]]
    for row, rows in old.runs.items():
        if rows.end < first:
            new.runs[row] = rows
    controls = old.controls
    if controls is not None and not any(_may_control(line) for line in (*lines, *old[first:end])):
        if delta:
            here = array("I", [controls[end] + delta]) * len(lines)
            above, below = controls[:first], controls[end:]
            controls = array("I", [row + delta if row >= end else row for row in above]) + here + array(
                "I", [row + delta for row in below])
        new.controls = controls
    return new


def _may_control(line: str) -> bool:
    lower = line.lower()
    return any(word in lower for word in ("if", "else", "while", "for"))


def _common(old: list[str], new: list[str]) -> int:
    for number, (one, other) in enumerate(zip(old, new, strict=False)):
        if one != other:
            return number
    return min(len(old), len(new))


def _common_end(old: list[str], new: list[str], first: int) -> int:
    most = min(len(old), len(new)) - first
    for number in range(most):
        if old[-1 - number] != new[-1 - number]:
            return number
    return most


def _same_start(one: str, other: str) -> int:
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        if one[low:middle] == other[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def _same_end(one: str, other: str, start: int) -> int:
    """How many characters at the end are the same, not reaching over ``start``."""
    low, high = 0, min(len(one), len(other)) - start
    while low < high:
        middle = (low + high + 1) // 2
        if one[len(one) - middle:len(one) - low] == other[len(other) - middle:len(other) - low]:
            low = middle
        else:
            high = middle - 1
    return low


def _line_end(text: str, at: int) -> int:
    """Behind the line end at or after ``at``."""
    found = text.find("\n", at)
    return len(text) if found < 0 else found + 1


def _open(text: str) -> bool:
    """Does the last line that holds anything go on below?"""
    for line in reversed(text[-4_000:].split("\n")):
        code = line.split(";", 1)[0].strip()
        if code or ";" in line or '"' in line:
            return joins_next(line) or (not code and ";" in line)
    return False


