"""What an execution that still goes on has found for sure: nothing that follows can change it.

In the first pass a size that is taken from a label further down is a guess. It holds once the label is there and gives
the same; while one does not, what stands behind it may be moved, up to the next `org` with a number. All else is as it
will be: which lines are executed hangs on nothing but numbers and what is above. Where the place of something did
decide (a condition on a label, ``pc()``) that may yet move, nothing behind it is told.

Promises: addresses, labels and defines as in the end (tests/asm/test_early.py); bytes only where no label is in them;
a line that was executed once may be executed again, and a label be made twice. No problems.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Collection
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

from nayru_lsp.asm.compiled import Rows, row_data
from nayru_lsp.asm.expansion import REGION, UNPLACED, WRITES, Expansion, Part
from nayru_lsp.asm.state import OPEN

if TYPE_CHECKING:
    from nayru_lsp.asm.following import Following

REASON = "the program is still being executed"
MOST = 50_000       # events; with more of them it is too slow to tell
BORDER, ORG, PUSH, PULL, DECIDED = range(5)

_NOWHERE = UNPLACED << REGION


class Event(NamedTuple):
    """A border, a command that sets the place, or a place that decided something. ``guesses``, ``writes`` and
    ``labels``: how many there were before it; ``names``: the labels that it hangs on, "" for the place itself."""

    guesses: int
    writes: int
    labels: int
    kind: int
    names: tuple[str, ...] = ()
    number: int = 0     # of a border


def so_far(machine: Following, paths: Collection[str]) -> Expansion | None:
    """What there is; of lines only those of ``paths``. None where nothing can be told."""
    events = machine.events
    if events is None or len(events) > MOST or not machine.segments:
        return None
    borders = [Event(one.at[3], one.at[0], one.at[1], BORDER, number=number)
               for number, one in enumerate(machine.segments)]
    last, moving = _sorted_out(machine, sorted([*events, *borders], key=lambda event: event[:3]), borders[-1])
    return _snapshot(machine, last, moving, paths) if last else None


def _sorted_out(machine: Following, events: list[Event], end: Event) -> tuple[int, list[tuple[Event, Event]]]:
    """The number of the last border before which all is sure, and the stretches before it that may yet be moved."""
    guesses, now = machine.guesses, machine.now
    waiting = [number for number, (keys, literal, used, position, how) in enumerate(guesses[:end.guesses])
               if not all(key in now or how[0] + key in now for key in keys)
               or machine.width_of(keys, literal, position, how) != used]
    moving: list[tuple[Event, Event]] = []
    names = {OPEN}                  # labels that may yet be moved
    pushed: list[bool] = []
    sure, border, at = True, 0, 0
    for one, following in pairwise([*events, end]):
        if one.kind == BORDER:
            border = one.number
        elif one.kind == PUSH:
            pushed.append(sure)
        elif one.kind == PULL:
            sure = bool(pushed) and pushed.pop()
        else:
            fixed = all((name not in names) if name else sure for name in one.names)
            if one.kind == DECIDED and not fixed:
                break
            sure = fixed if one.kind == ORG else sure
        while at < len(waiting) and waiting[at] < following.guesses:
            sure = False
            at += 1
        if not sure:
            moving.append((one, following))
            names.update(machine.label_log[one.labels:following.labels])
    return border, moving


def _snapshot(machine: Following, last: int, moving: list[tuple[Event, Event]], paths: Collection[str]) -> Expansion:
    """What was made before border ``last``."""
    at = machine.segments[last].at
    found, out = machine.out, Expansion()
    labels, static = machine.labels, machine.static
    names = machine.label_log[:at[1]]
    out.values = {name: labels[name] for name in names}
    out.places = {name: machine.now[name] for name in names}
    out._at, out._real = found._at[:at[0]], found._real[:at[0]]
    for one, following in moving:
        stop = min(following.writes, at[0])
        for column in (out._at, out._real):
            column[one.writes:stop] = array("q", [_NOWHERE]) * (stop - one.writes)
        for name in names[one.labels:following.labels]:
            if name not in static:
                out.values[name] = _NOWHERE
    out._machine, out.mapping_mode = machine, machine.mode
    out.files, out.call_table, out.defines = list(found.files), found.call_table, machine.defines
    out.define_log, out._marks, out._skipped = found.define_log[:at[5]], found._marks[:at[6]], found._skipped[:at[7]]
    out.macros = {name: (out.files[macro.file], macro.row, macro.parameters) for name, macro in machine.macros.items()}
    out.reasons = Counter({REASON: 1})
    out._objects, out._place, out._sizes = found._objects[:at[0]], found._place[:at[0]], found._sizes[:at[0]]
    wanted = {number for number, path in enumerate(out.files) if path in paths}
    out._parts = []
    for border, behind in pairwise(machine.segments[:last + 1]):
        start, stop = border.at[WRITES], behind.at[WRITES]
        files = {place >> 24 & 0xFFFF for place in out._place[start:stop]}
        if not wanted.isdisjoint(files):
            part = Part()
            part.data = [_bytes(obj) for obj in out._objects[start:stop]]
            part.files = frozenset(files)
            out._parts.append((start, part))
    return out


def _bytes(obj: Any) -> bytes | None:
    """What hangs on no label."""
    if type(obj) is bytes:
        return obj
    return obj.data() if type(obj) is Rows else row_data(obj) if type(obj) is str else None
