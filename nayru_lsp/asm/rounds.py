"""Rounds of a loop that counts and writes the same bytes each time, done at once.

    while !i < $1000
        db $FF
        !i #= !i+1
    endwhile

Nothing in such a round hangs on anything but the count, so that many of them are written down without going through
their lines: the same writes, assignments and counts. One of them at least, and all that is unusual (another form, the
end of a bank, a limit), is left to whoever goes through the lines, in whose hands each round begins in the state of the
one before.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from nayru_lsp.asm.compiled import CODE, row_data
from nayru_lsp.asm.state import Frame, Lines, State

_HEAD = re.compile(r"while !(\w+) < (\S+)\Z", re.ASCII | re.IGNORECASE)
_STEP = re.compile(r"!(\w+) #= !(\w+)\+([1-9][0-9]{0,5})\Z", re.ASCII)
_BOUND = re.compile(r"(?:\$([0-9A-Fa-f]{1,6})|(0|[1-9][0-9]{0,6}))\Z")
_COUNT = re.compile(r"(?:0|[1-9][0-9]{0,8})\Z")

MOST_LINES = 50         # of one round
MOST_ROUNDS = 4_096     # at once, so that others need not wait


class Round(NamedTuple):
    """``rows`` are indexes of the lines that write, ``step`` that of the assignment, ``after`` that of the line behind
    it, ``by`` what it adds; ``lines`` are gone through in one round."""

    rows: tuple[int, ...]
    step: int
    after: int
    by: int
    lines: int


def at_once(machine: State, frame: Frame, text: str) -> None:
    """At a ``while`` whose line reads ``text`` with the arguments of its macro in: rounds that can be done at once."""
    lines, index = frame.lines, frame.index
    if index not in lines.rounds:
        lines.rounds[index] = _round(lines, index)
    one = lines.rounds[index]
    head = _HEAD.match(text)
    bound = head and _BOUND.match(head.group(2))
    if one is None or head is None or bound is None or not _plain(machine, frame):
        return
    name = head.group(1)
    now = machine.defines.get(name, "")
    if name != lines[one.step][1:].partition(" ")[0] or name in machine.builtin or not _COUNT.match(now):
        return
    writes: list[tuple[bytes, int]] = []
    for row in one.rows:
        for labels, kind, _, made in machine.compiler.line(lines[row]):
            data = row_data(made) if type(made) is str else made
            if labels or kind != CODE or type(data) is not bytes or not data:
                return
            writes.append((data, row))
    first = int(now)
    last = int(bound.group(1), 16) if bound.group(1) else int(bound.group(2))
    size = sum(len(data) for data, _ in writes)
    limits = machine.limits
    rounds = min(MOST_ROUNDS, -(-(last - first) // one.by) - 1, limits.loops - machine.turns,
                 (limits.lines - machine.total) // one.lines - 1, (limits.held - machine.held) // len(str(last)) - 1)
    if size:
        room = min(0xFFFF - (machine.pos & 0xFFFF), 0xFFFF - (machine.real & 0xFFFF))
        rounds = min(rounds, room // size)
    if rounds > 0:
        _write(machine, frame, name, one, writes, first, rounds)


def _round(lines: Lines, index: int) -> Round | None:
    rows: list[int] = []
    step = after = by = count = 0
    for at in range(index + 1, min(len(lines), index + MOST_LINES)):
        line = lines[at]
        if not line:
            continue
        count += 1
        if step and not after:
            after = at
        if line.lower() == "endwhile":
            return Round(tuple(rows), step, after, by, count + 1) if step else None
        match = _STEP.match(line)
        if match is not None:
            if step or match.group(1) != match.group(2):
                return None
            step, by = at, int(match.group(3))
        elif line[0] in "mMeE" or any(letter in line for letter in "!\\<\"':"):
            return None
        else:
            rows.append(at)
    return None


def _plain(machine: State, frame: Frame) -> bool:
    """Is nothing in force that makes a round another one than it looks?"""
    pos, real = machine.pos, machine.real
    return (machine.cross and not machine.half and pos >= 0 and real >= 0
            and not (pos ^ machine.origin) & ~0xFFFF and not (real ^ machine.real_origin) & ~0xFFFF
            and machine.repeat == 1 and machine.unsure is None and not machine.xkas and not machine.defining
            and not machine.in_struct and machine.block is None and not machine.inline and not machine.free_id
            and len(machine.frames) + 2 < machine.deepest
            and (frame.macro is None or (frame.macro.lines is frame.lines and not frame.macro.variadic)))


def _write(machine: State, frame: Frame, name: str, one: Round, writes: list[tuple[bytes, int]], first: int,
           rounds: int) -> None:
    out, record = machine.out, machine.record
    base = frame.call << 40 | frame.file << 24 | frame.row
    if record is not None:
        record.saw((name,), [machine.defines[name]])
        record.written.add(name)
    sizes = [len(data) for data, _ in writes]
    offsets = [sum(sizes[:number]) for number in range(len(sizes))]
    size = sum(sizes)
    out._objects.extend([data for data, _ in writes] * rounds)
    for column, start in ((out._at, machine.pos), (out._real, machine.real)):
        column.extend([start + size * turn + offset for turn in range(rounds) for offset in offsets])
    out._place.extend([base + row for _, row in writes] * rounds)
    out._sizes.extend(sizes * rounds)
    machine.pos += size * rounds
    machine.real += size * rounds
    values = [str(first + one.by * turn) for turn in range(1, rounds + 1)]
    log, place = out.define_log, base + one.step
    if frame.macro is None:
        out._marks.extend([(frame.file, one.after, length) for length in range(len(log) + 1, len(log) + 1 + rounds)])
        machine.last_mark[frame.file] = len(log) + rounds
    entries: list[Any] = [(name, value, place) for value in values]
    log.extend(entries)
    machine.held += sum(map(len, values))
    machine.defines[name] = values[-1]
    machine.poisoned.discard(name)
    machine.turns += rounds
    machine.at_once += rounds * one.lines
