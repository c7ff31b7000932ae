"""A machine that keeps its state at borders, so that `Live` can begin there again and stop where nothing differs.

A border is the first line of a file, and every `BORDER` lines from there on, outside of loops, structs, sound blocks
and macros. Between two borders lies a *segment*; what it wrote, defined and found stands together in the logs.

Where nothing but the place differs from then, segments whose lines did nothing but be placed *slide*: they are not
executed, all that they made lies so many bytes further on. A long file: what is known of a border stands together.
"""

from __future__ import annotations

import itertools
from array import array
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from nayru_lsp.asm.arithmetic import Expression, Unknown, Wrong
from nayru_lsp.asm.compiled import Block
from nayru_lsp.asm.early import DECIDED, ORG, PULL, PUSH, Event
from nayru_lsp.asm.expand import Limits, Machine, Read
from nayru_lsp.asm.expansion import REGION, Border, Expansion
from nayru_lsp.asm.project import Root
from nayru_lsp.asm.state import Drop, Frame

BORDER = 512
FRESH = 1 << 40         # more `+` labels than there are in any program
ENTERED, TWICE = 10, 11  # the logs of files, and of labels that were there already
DEEPEST = 100           # frames that a border keeps
SLIDING = 3             # segments in a row for which it is worth it
COUNTED = 12            # logs whose lengths a border knows; columns beside the first are as long as that

# Commands that neither ask where they stand nor set it. All others fix their segment.
_SLIDE = frozenset("incsrc incbin namespace function undef print { }".split())

# What is no part of the state of an execution: its surroundings, its results, what is remembered for speed.
_NO_STATE = frozenset("""
    held
    root dialect modern read tick limits base_image compilers prepared faults binaries inactive templates labels
    static out scope region now problems guesses deferred modes label_log shape_reads total turns calls_made
    written place file_number pass_number final placing placed stopped free free_2 head head_used last_mark
    frames priority builtin segments found_border part parting passed before base saved
    follow borders old_index reason_log below settled sized reads moved evaluated_with earlier sought stood
    relabeled redefined shifted ending serial renamed entered twice here known
    record shapes shared effects fixed slid sliding events at_once
""".split())


_MAY_DIFFER = frozenset({"plus", "minus", "pos", "real"})
_SETS_PLACE = {"org": ORG, "pushpc": PUSH, "pullpc": PULL}
_SIGNS = {"plus": "pos", "minus": "neg"}        # counts of `+` and `-` labels: only names hang on them


class Everything(Exception):
    """No part alone can be executed again."""


class Segment(Border):
    """From one border to the next: the state at its start, and where its part of the results begins."""

    __slots__ = ("calls", "entered", "file", "files", "fixed", "frames", "part", "row", "state")

    def __init__(self, file: int, row: int, state: dict[str, Any], frames: list[tuple[Any, ...]], at: tuple[int, ...],
                 part: int, entered: bool) -> None:
        super().__init__(at)
        self.file = file
        self.row = row
        self.state = state
        self.frames = frames        # from the root: lines, file, call, index, blocks, at, fake, online, jump, level
        self.files = frozenset([frame[1] for frame in frames])
        self.calls = (0, 0)         # numbers of the macro calls that it made: from, up to
        self.part = part            # which execution made it
        self.entered = entered      # it is the beginning of its file
        self.fixed = True           # what its lines did may hang on where they stand


def kept(value: Any) -> Any:
    if type(value) is dict:
        return {key: replace(one) if hasattr(one, "again") else one for key, one in value.items()}
    if isinstance(value, list | set | dict):
        return value.copy()
    return value


class Following(Machine):
    """A machine that keeps its state at borders."""

    first_border = 0
    remembers = True

    def __init__(self, root: Root, read: Read, base_image: bytes | None, tick: Callable[[], None] | None,
                 limits: Limits) -> None:
        super().__init__(root, read, base_image, tick, limits)
        self.segments: list[Segment] = []
        self.follow: dict[int, list[int]] = {}          # file -> rows of the borders of the time before, ascending
        self.old_index: dict[tuple[int, int], list[int]] = {}     # (file, row) -> their numbers
        self.borders: list[Segment] = []               # of the time before, from the first that may be met
        self.found_border = -1
        self.slid = 0               # bytes that what follows this border lies further on
        self.sliding = True
        self.part = 0               # how many times a part was executed
        self.parting = False
        self.passed = 0
        self.base: tuple[int, ...] = ()
        self.saved: list[Any] = []
        self.known: dict[str, int] = {}         # the labels of the last time that nothing ended the program
        self.here: set[str] = set()             # labels that a part made
        self.below: set[str] | None = None      # labels that were made behind what is executed again
        self.ending: dict[str, Any] = {}        # the state at the end
        self.serial = itertools.count(FRESH)    # of `+` and `-` labels that a part makes: no name is there twice
        self.renamed: set[str] = set()          # labels that are meant by what was not executed again
        # What is another than when `packing` looked: labels with the places of then (None: there was none), files whose
        # lines are further down, assignments
        self.relabeled: dict[str, int | None] | None = None     # None: all of them may be
        self.events: list[Event] | None = None      # of the very first pass, while it goes on, see `early`
        self.shifted: set[int] = set()
        self.redefined = True

    def expansion(self, again: bool = False) -> Expansion:
        if not self.stopped:
            self.known = dict(self.labels)
        elif again:
            self.labels = dict(self.known)
        return super().expansion(again)

    def start(self, number: int) -> None:
        super().start(number)
        self.segments = []
        self.entered: list[int] = []            # files, each time
        self.twice: list[str] = []              # labels that were there already
        self.parting, self.base, self.saved = False, (), []
        self.borders, self.follow, self.old_index, self.found_border = [], {}, {}, -1
        self.relabeled, self.redefined = None, True
        self.shifted.clear()
        self.events = [] if number == 0 else None

    def at_border(self, frame: Frame, index: int) -> bool:
        rows = self.follow.get(frame.file)
        if rows is None:
            frame.border = index + BORDER
        else:
            number = bisect_left(rows, index + 1)
            frame.border = min(rows[number] if number < len(rows) else 1 << 31, index + 2 * BORDER)
        if self.in_struct or self.block is not None or self.inline or self.unsure is not None or self.repeat != 1 or (
                self.placing or len(self.frames) > DEEPEST) or (
                self.head == len(self.out._objects)) or (       # `prot` may follow
                self.loops and any(loop.kind != "if" for loop in self.loops.values())):     # a loop is one step
            return False
        self.close()
        segment = self.segment(frame, index)
        for number in self.old_index.get((frame.file, index), ()):
            if self.borders[number].at[1] >= self.passed:
                if self.same(segment, self.borders[number]) and (
                        not (by := segment.state["pos"] - self.borders[number].state["pos"])
                        or self.slides(number, by)):
                    self.found_border, self.slid = number, by
                    return True
                self.pass_to(self.borders[number + 1].at[1] if number + 1 < len(self.borders) else len(self.saved[1]))
                break
        self.segments.append(segment)
        self.last_mark = {}     # so that the marks behind it hold whatever is executed again above it
        return False

    def segment(self, frame: Frame, index: int) -> Segment:
        last = self.segments[-1].state if self.segments else {}
        state = {}
        for name, value in vars(self).items():
            if name in _NO_STATE:
                continue
            if isinstance(value, list | set | dict):
                before = last.get(name)
                value = before if before == value else kept(value)
            state[name] = value
        frames = [(one.lines, one.file, one.call, one.index, one.blocks, one.at, one.fake, one.online, one.jump,
                   one.conditions) for one in self.frames]
        top = frames[-1]
        # A file begins at its first row, also where that is empty now.
        frames[-1] = (*top[:3], index - 1 if frame.index >= 0 else -1, (), 0, 0, True, -1, top[9])
        made = Segment(frame.file, index, state, frames, self.lengths(), self.part, frame.index < 0)
        made.calls = len(self.out.call_table), 0
        return made

    def close(self) -> None:
        """The last segment ends here."""
        last = self.segments[-1] if self.segments else None
        if last is not None and last.part == self.part:
            last.calls = last.calls[0], len(self.out.call_table)
            last.fixed = self.fixed
        elif last is not None:
            last.fixed |= self.fixed
        self.fixed = False

    def same(self, new: Segment, old: Segment) -> bool:
        """Are they in the same state, but for the place?"""
        if len(new.frames) != len(old.frames):
            return False
        for one, other in zip(new.frames, old.frames, strict=True):
            if one[1:4] != other[1:4] or one[5:] != other[5:] or one[0] is not other[0]:
                return False
            if one[4] is not other[4] and one[4] != other[4]:
                return False
        mine, theirs = new.state, old.state
        return mine.keys() == theirs.keys() and all(
            value is theirs[name] or value == theirs[name] or name in _MAY_DIFFER for name, value in mine.items()
        ) and mine["pos"] - theirs["pos"] == mine["real"] - theirs["real"]

    def slides(self, number: int, by: int) -> bool:
        """Do those from border ``number`` on move along, if it lies so many bytes further on?"""
        return self.sliding and len(self.borders) > number + SLIDING and all(
            self.slides_to(one, following, by)
            for one, following in itertools.pairwise(self.borders[number:number + SLIDING + 1]))

    def slides_to(self, one: Segment, following: Segment, by: int) -> bool:
        """Does it stay in its bank, and did nothing in it ask where it is?"""
        if one.fixed:
            return False
        for state in (one.state, following.state):
            if not state["cross"] or state["half"] or state["free_id"]:
                return False
            for at, origin in (("pos", "origin"), ("real", "real_origin")):
                position, start = state[at], state[origin]
                if not 0 <= position < 1 << REGION or (position + by ^ start) & ~0xFFFF or (position ^ start) & ~0xFFFF:
                    return False
        return True

    def slid_to(self, first: int, most: int) -> int:
        """The border up to which those from ``first`` on move along."""
        segments, by = self.segments, self.slid
        stop = first
        while stop < most and self.slides_to(segments[stop], segments[stop + 1], by):
            stop += 1
        return stop

    def slide(self, first: int, stop: int, by: int) -> list[str]:
        """Segments ``first`` up to ``stop``, and the border of this one, lie so many bytes further on. Gives the labels
        that do."""
        out, segments = self.out, self.segments
        start, until = segments[first].at, segments[stop].at
        for column in (out._at, out._real):
            column[start[0]:until[0]] = array("q", [at + by for at in column[start[0]:until[0]]])
        moved = [name for name in self.label_log[start[1]:until[1]] if name not in self.static]
        for name in moved:
            self.labels[name] += by
        if self.relabeled is not None:
            self.relabeled = {**{name: self.now[name] for name in moved}, **self.relabeled}
        self.guesses[start[3]:until[3]] = [
            (keys, literal, width, at + by, how) for keys, literal, width, at, how in self.guesses[start[3]:until[3]]]
        self.deferred[start[4]:until[4]] = [
            (words, scope, place, at + by, real + by)
            for words, scope, place, at, real in self.deferred[start[4]:until[4]]]
        for segment in segments[first:stop]:
            segment.slid += by
        for segment in segments[first:stop + 1]:
            segment.state["pos"] += by
            segment.state["real"] += by
        return moved

    def restore(self, segment: Segment) -> None:
        for name, value in segment.state.items():
            setattr(self, name, kept(value))
        self.frames[:] = []
        for lines, file, call, index, blocks, at, fake, online, jump, conditions in segment.frames:
            self.frames.append(Frame(lines, file, 0, call, None, conditions, index, blocks, at, fake, online,
                                      index + 1, jump))
        for frame in self.frames[:-1]:
            rows = self.follow.get(frame.file, [])
            number = bisect_left(rows, frame.index + 1)
            frame.border = rows[number] if number < len(rows) else frame.index + BORDER
        self.last_mark = {}
        self.head = -1

    def command(self, block: Block) -> None:
        if block[2] not in _SLIDE or (block[2] == "incbin" and len(block[3]) > 2):
            self.fixed = True
        events, kind = self.events, _SETS_PLACE.get(block[2])
        if events is None or kind is None:
            super().command(block)
            return
        asked = len(events)
        super().command(block)
        names = tuple([name for event in events[asked:] for name in event.names])
        del events[asked:]
        self.event(kind, names)

    def assign(self, name: str, expression: Expression) -> None:
        asked = len(self.events or ())
        try:
            super().assign(name, expression)
        except (Drop, Unknown, Wrong):
            if self.events is not None:     # only the label is missing
                del self.events[asked:]
            raise

    def event(self, kind: int, names: tuple[str, ...]) -> None:
        if self.events is not None:
            self.events.append(Event(len(self.guesses), len(self.out._objects), len(self.label_log), kind, names))

    def decided(self, name: str) -> None:
        self.event(DECIDED, (name,))

    def enter_file(self, path: str, from_path: str) -> bool:
        depth = len(self.frames)
        found = super().enter_file(path, from_path)
        if len(self.frames) > depth:
            self.entered.append(self.frames[-1].file)
        return found

    def set_label(self, name: str, value: int | None, static: bool) -> None:
        if name in self.now:
            if self.is_below(name):
                raise Everything
            self.twice.append(name)
        super().set_label(name, value, static)
        if self.parting:
            self.here.add(name)

    def is_below(self, name: str) -> bool:
        """Is this a label that is made further down, where execution has not been yet?"""
        if not self.parting or name in self.here:
            return False
        if self.below is None:
            self.below = set(self.saved[1][self.passed:])
        return name in self.below

    def looked_up(self, key: str) -> str | None:
        found = super().looked_up(key)
        if found is not None and self.is_below(found):
            raise Everything
        return found

    # --- a part that is executed again -------------------------------------------------------------------------------

    def logs(self) -> list[tuple[Any, str]]:
        return [(self.out, "_objects"), (self, "label_log"), (self, "problems"), (self, "guesses"), (self, "deferred"),
                (self.out, "define_log"), (self.out, "_marks"), (self.out, "_skipped"), (self, "modes"),
                (self, "reason_log"), (self, "entered"), (self, "twice"),
                (self.out, "_at"), (self.out, "_real"), (self.out, "_place"), (self.out, "_sizes")]

    def concerned(self, file: int) -> list[int]:
        """Numbers of the segments in which lines of ``file`` are gone through, not counting macros."""
        ats = [segment.at[ENTERED] for segment in self.segments]
        found = {bisect_right(ats, number) - 1 for number, one in enumerate(self.entered) if one == file}
        for number, segment in enumerate(self.segments):
            if file in segment.files:
                found |= {number, number - 1}
        return sorted(found - {-1})

    def stretch(self, number: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """From where to where in the logs segment ``number`` reaches."""
        segments = self.segments
        return segments[number].at, segments[number + 1].at if number + 1 < len(segments) else self.lengths()

    def lengths(self) -> tuple[int, ...]:
        made = tuple([len(getattr(owner, name)) for owner, name in self.logs()[:COUNTED]])
        return tuple([one + by for one, by in zip(made, self.base, strict=True)]) if self.base else made

    def begin_part(self, start: Segment, tail: list[Segment], above: list[Segment]) -> dict[str, int | None]:
        """Ready to execute from ``start`` on, into empty logs. Gives the labels of what is executed again, with their
        values of before; it fills as execution passes over the borders of then."""
        self.saved = [getattr(owner, name) for owner, name in self.logs()]
        for (owner, name), log in zip(self.logs(), self.saved, strict=True):
            setattr(owner, name, log[:0])
        self.base = start.at
        self.segments, self.borders = above, tail
        self.part += 1
        self.total = 0
        self.fixed = False
        self.parting, self.below = True, None
        self.renamed, self.here = set(), set()
        self.before: dict[str, int | None] = {}
        self.stood: dict[str, tuple[int, bool]] = {}        # place, and was it set to a number?
        self.passed = start.at[1]
        self.pass_to(tail[0].at[1] if tail else len(self.saved[1]))
        self.follow, self.old_index = {}, {}
        for number, segment in enumerate(tail):
            self.follow.setdefault(segment.file, []).append(segment.row)
            self.old_index.setdefault((segment.file, segment.row), []).append(number)
        for rows in self.follow.values():
            rows.sort()
        self.found_border, self.slid = -1, 0
        self.restore(start)
        return self.before

    def pass_to(self, length: int) -> None:
        """The labels of before up to ``length`` of their log are to be made anew."""
        for name in self.saved[1][self.passed:length]:
            if (place := self.now.pop(name, None)) is not None:
                self.before[name] = self.labels.get(name)
                self.stood[name] = place, name in self.static
        self.passed = max(self.passed, length)

    def end_part(self, start: Segment, tail: list[Segment], met: int) -> list[str]:
        """The new part in place of the old one. Gives the labels that it made."""
        stop = tail[met] if met >= 0 else None
        self.pass_to(stop.at[1] if stop is not None else len(self.saved[1]))
        if stop is not None:
            self.join_signs(start, tail[met:])
        made: list[str] = self.label_log
        lengths = self.lengths()
        self.base = ()
        self.parting = False
        for which, ((owner, name), log) in enumerate(zip(self.logs(), self.saved, strict=True)):
            column = 0 if which >= COUNTED else which
            fresh = getattr(owner, name)
            if which == 6:
                fresh = [(file, row, length + start.at[5]) for file, row, length in fresh]
            elif which == 8:
                fresh = [(at + start.at[0], *more) for at, *more in fresh]
            if which == 6 and stop is not None and (by := lengths[5] - stop.at[5]):
                log[stop.at[6]:] = [(file, row, length + by) for file, row, length in log[stop.at[6]:]]
            if which == 8 and stop is not None and (by := lengths[0] - stop.at[0]):
                log[stop.at[8]:] = [(at + by, *more) for at, *more in log[stop.at[8]:]]
            if which == 5:
                old = log[start.at[5]:stop.at[5] if stop is not None else None]
                self.redefined |= [one[:2] for one in old] != [one[:2] for one in fresh]
            log[start.at[column]:stop.at[column] if stop is not None else len(log)] = fresh
            setattr(owner, name, log)
        self.saved = []
        if stop is not None:
            offsets = [mine - theirs for mine, theirs in zip(lengths, stop.at, strict=True)]
            if any(offsets):
                for segment in tail[met:]:
                    segment.at = tuple([one + by for one, by in zip(segment.at, offsets, strict=True)])
            self.segments.extend(tail[met:])
        return made

    def part_borders(self) -> Sequence[Border]:
        first = self.segments[0].at[0] if self.segments else -1
        return self.segments if first == 0 else [Border(), *self.segments]

    def end(self) -> None:
        """Keep the state at the end of the program."""
        self.close()
        self.events = None
        self.ending = {name: kept(value) for name, value in vars(self).items() if name not in _NO_STATE}

    # --- labels without names of their own ---------------------------------------------------------------------------

    def add_label(self, written: str) -> None:
        sign = written[0]
        if not self.parting or sign not in "+-":
            super().add_label(written)
            return
        depth = len(written)
        if sign == "-":
            self.minus[depth] = next(self.serial) - 1
            super().add_label(written)
            return
        if (name := f":pos_{depth}_{self.plus[depth]}") in self.now:    # of the one further down, until now
            self.rename_below("plus", depth, name, next(self.serial), self.borders)
        super().add_label(written)
        self.plus[depth] = next(self.serial)

    def join_signs(self, start: Segment, tail: list[Segment]) -> None:
        """Where the part ends, the last `-` and the next `+` are to have one name on both sides."""
        for which, kind in _SIGNS.items():
            mine, theirs, before = getattr(self, which), tail[0].state[which], start.state[which]
            for depth in mine.keys() | theirs.keys():
                new, old = mine[depth], theirs[depth]
                if new == old:
                    continue
                if new != before[depth] != old:     # made in the part, now and then: the name of then is free
                    here = [getattr(owner, name) for owner, name in self.logs()]
                    self.rename(here, (0,) * COUNTED, self.counts(here), f":{kind}_{depth}_{new}",
                                f":{kind}_{depth}_{old}")
                    for segment in self.segments:
                        counts = segment.state[which]
                        if segment.part == self.part and counts[depth] == new:
                            segment.state[which] = Counter({**counts, depth: old})
                else:
                    self.rename_below(which, depth, f":{kind}_{depth}_{old}", new, tail)

    def rename_below(self, which: str, depth: int, old: str, number: int, tail: list[Segment]) -> None:
        """Another name for a label, as far down as it is meant."""
        new = f":{_SIGNS[which]}_{depth}_{number}"
        if old in self.shape_reads:
            raise Everything
        self.renamed |= {old, new}
        count = tail[0].state[which][depth]
        states: dict[int, Any] = {}
        for segment in tail:
            counts = segment.state[which]
            if counts[depth] != count:
                stop = segment.at
                break
            segment.state[which] = states.setdefault(id(counts), Counter({**counts, depth: number}))
        else:
            stop = self.counts(self.saved)
            if self.ending[which][depth] == count:
                self.ending[which] = Counter({**self.ending[which], depth: number})
        self.rename(self.saved, tail[0].at, stop, old, new)

    def counts(self, logs: list[Any]) -> tuple[int, ...]:
        return tuple(len(log) for log in logs[:COUNTED])

    def rename(self, logs: list[Any], start: tuple[int, ...], stop: tuple[int, ...], old: str, new: str) -> None:
        """In a stretch of the logs; a label whose making is in it, too."""
        for obj in logs[0][start[0]:stop[0]]:
            if type(obj) is tuple and obj[2] is not None:
                _replace(obj[2].keys, old, new)
        for _, scope, *_ in logs[4][start[4]:stop[4]]:
            _replace(scope.keys, old, new)
        for number in range(start[3], stop[3]):
            keys, *more = logs[3][number]
            if old in keys:
                logs[3][number] = (tuple([new if key == old else key for key in keys]), *more)
        names = logs[1]
        for number in range(start[1], stop[1]):
            if names[number] == old:
                names[number] = new
                self.now[new] = self.now.pop(old)
                self.labels[new] = self.labels.pop(old)


def _replace(keys: dict[str, str], old: str, new: str) -> None:
    for written, key in keys.items():
        if key == old:
            keys[written] = new
