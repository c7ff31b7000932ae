"""A machine that keeps its state at borders, so that `Live` can begin there again and stop where nothing differs.

A border is the first line of a file, and every `BORDER` lines from there on, outside of loops, structs, sound blocks
and macros. Between two borders lies a *segment*; what it wrote, defined and found stands together in the logs.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from nayru_lsp.asm.expand import Limits, Machine, Read
from nayru_lsp.asm.project import Root
from nayru_lsp.asm.state import Frame

BORDER = 512
COUNTED = 11            # logs whose lengths a border knows; columns beside the first are as long as that

# What is no part of the state of an execution: its surroundings, its results, what is remembered for speed.
_NO_STATE = frozenset("""
    held
    root dialect modern read tick limits base_image compilers prepared faults binaries inactive templates labels
    static out scope region now problems guesses deferred modes label_log shape_reads total turns calls_made
    written place file_number pass_number final placing placed stopped free free_2 head head_used last_mark
    functions_version frames priority builtin segments found_border part parting passed before base saved
    unbordered follow borders old_index reason_log struct_log structs below
""".split())


class Everything(Exception):
    """No part alone can be executed again."""


class Segment:
    """From one border to the next: the state at its start, and where its part of the results begins."""

    __slots__ = ("at", "entered", "file", "frames", "part", "row", "state")

    def __init__(self, file: int, row: int, state: dict[str, Any], frames: list[tuple[Any, ...]], at: tuple[int, ...],
                 part: int, entered: bool) -> None:
        self.file = file
        self.row = row
        self.state = state
        self.frames = frames        # from the root: lines, file, call, index, blocks, at, fake, online, jump, level
        self.at = at                # lengths of the results
        self.part = part            # which execution made it
        self.entered = entered      # it is the beginning of its file


def kept(value: Any) -> Any:
    if type(value) is dict:
        return {key: replace(one) if hasattr(one, "again") else one for key, one in value.items()}
    if isinstance(value, list | set | dict):
        return value.copy()
    return value


class Following(Machine):
    """A machine that keeps its state at borders."""

    first_border = 0

    def __init__(self, root: Root, read: Read, base_image: bytes, tick: Callable[[], None] | None,
                 limits: Limits) -> None:
        super().__init__(root, read, base_image, tick, limits)
        self.segments: list[Segment] = []
        self.follow: dict[int, list[int]] = {}          # file -> rows of the borders of the time before, ascending
        self.old_index: dict[tuple[int, int], list[int]] = {}     # (file, row) -> their numbers
        self.borders: list[Segment] = []               # of the time before, from the first that may be met
        self.found_border = -1
        self.part = 0               # how many times a part was executed
        self.parting = False
        self.passed = 0
        self.base: tuple[int, ...] = ()
        self.saved: list[Any] = []
        self.below: set[str] | None = None      # labels that were made behind what is executed again

    def start(self, number: int) -> None:
        super().start(number)
        self.segments = []
        self.parting, self.base, self.saved = False, (), []
        self.unbordered: set[int] = set()       # files that were entered where no border can be
        self.borders, self.follow, self.old_index, self.found_border = [], {}, {}, -1

    def at_border(self, frame: Frame, index: int) -> bool:
        rows = self.follow.get(frame.file)
        if rows is None:
            frame.border = index + BORDER
        else:
            number = bisect_left(rows, index + 1)
            frame.border = min(rows[number] if number < len(rows) else 1 << 31, index + 2 * BORDER)
        if self.in_struct or self.block is not None or self.unsure is not None or self.repeat != 1 or self.placing or (
                self.head == len(self.out._objects)) or (       # `prot` may follow
                self.loops and any(loop.kind != "if" for loop in self.loops.values())):     # a loop is one step
            if frame.index < 0:
                self.unbordered.add(frame.file)
            return False
        segment = self.segment(frame, index)
        for number in self.old_index.get((frame.file, index), ()):
            if self.borders[number].at[1] >= self.passed:
                if self.same(segment, self.borders[number]):
                    self.found_border = number
                    return True
                self.pass_to(self.borders[number + 1].at[1] if number + 1 < len(self.borders) else len(self.saved[1]))
                break
        self.segments.append(segment)
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
        frames[-1] = (*top[:3], index - 1, (), 0, 0, True, -1, top[9])
        return Segment(frame.file, index, state, frames, self.lengths(), self.part,
                        frame.index < 0)

    def same(self, new: Segment, old: Segment) -> bool:
        if len(new.frames) != len(old.frames):
            return False
        for one, other in zip(new.frames, old.frames, strict=True):
            if one[1:4] != other[1:4] or one[5:] != other[5:] or one[0] is not other[0]:
                return False
            if one[4] is not other[4] and one[4] != other[4]:
                return False
        mine, theirs = new.state, old.state
        return mine.keys() == theirs.keys() and all(
            value is theirs[name] or value == theirs[name] for name, value in mine.items())

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

    def set_label(self, name: str, value: int | None, static: bool) -> None:
        if self.parting and name in self.now:
            raise Everything       # twice, or it came from further down
        super().set_label(name, value, static)

    def looked_up(self, key: str) -> str | None:
        found = super().looked_up(key)
        if self.parting and found is not None:
            if self.below is None:
                self.below = set(self.saved[1][self.passed:])
            if found in self.below and found not in self.label_log:
                raise Everything       # it is made further down, where execution has not been yet
        return found

    # --- a part that is executed again -------------------------------------------------------------------------------

    def logs(self) -> list[tuple[Any, str]]:
        return [(self.out, "_objects"), (self, "label_log"), (self, "problems"), (self, "guesses"), (self, "deferred"),
                (self.out, "define_log"), (self.out, "_marks"), (self.out, "_skipped"), (self, "modes"),
                (self, "reason_log"), (self, "struct_log"),
                (self.out, "_at"), (self.out, "_real"), (self.out, "_place"), (self.out, "_sizes")]

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
        self.parting, self.below = True, None
        self.before: dict[str, int | None] = {}
        self.passed = start.at[1]
        self.pass_to(tail[0].at[1] if tail else len(self.saved[1]))
        self.follow, self.old_index = {}, {}
        for number, segment in enumerate(tail):
            self.follow.setdefault(segment.file, []).append(segment.row)
            self.old_index.setdefault((segment.file, segment.row), []).append(number)
        for rows in self.follow.values():
            rows.sort()
        self.found_border = -1
        self.restore(start)
        return self.before

    def pass_to(self, length: int) -> None:
        """The labels of before up to ``length`` of their log are to be made anew."""
        for name in self.saved[1][self.passed:length]:
            if self.now.pop(name, None) is not None:
                self.before[name] = self.labels.get(name)
        self.passed = max(self.passed, length)

    def end_part(self, start: Segment, tail: list[Segment], met: int) -> list[str]:
        """The new part in place of the old one. Gives the labels that it made."""
        stop = tail[met] if met >= 0 else None
        self.pass_to(stop.at[1] if stop is not None else len(self.saved[1]))
        made: list[str] = self.label_log
        lengths = self.lengths()
        self.base = ()
        self.parting = False
        for which, ((owner, name), log) in enumerate(zip(self.logs(), self.saved, strict=True)):
            column = 0 if which >= COUNTED else which
            fresh = getattr(owner, name)
            if which == 6 and stop is not None:     # where the log of defines is longer or shorter now, marks are moved
                by = lengths[5] - stop.at[5]
                if by:
                    log[stop.at[6]:] = [(file, row, length + by) for file, row, length in log[stop.at[6]:]]
                    fresh.append((stop.file, stop.row, lengths[5]))
            if which == 8 and stop is not None and (by := lengths[0] - stop.at[0]):
                log[stop.at[8]:] = [(at + by, *more) for at, *more in log[stop.at[8]:]]
            log[start.at[column]:stop.at[column] if stop is not None else len(log)] = fresh
            setattr(owner, name, log)
        self.saved = []
        if stop is not None:
            offsets = [mine - theirs for mine, theirs in zip(lengths, stop.at, strict=True)]
            offsets[6] += bool(offsets[5])
            if any(offsets):
                for segment in tail[met:]:
                    segment.at = tuple([one + by for one, by in zip(segment.at, offsets, strict=True)])
            self.segments.extend(tail[met:])
        return made

    def end(self) -> dict[str, Any]:
        return {name: kept(value) for name, value in vars(self).items() if name not in _NO_STATE}
