"""The bytes of what an execution wrote, once every label has its value (see `expand`).

They are evaluated in parts: what lies between two borders (`following`), or all at once where there are none. A part
remembers which names it looked up, so that after an edit only those parts are evaluated again that were made anew,
read a label that is another one now, or lie elsewhere; and of the latter only the lines to which that matters.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from contextlib import suppress
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from nayru_lsp.asm.arithmetic import Unknown, Wrong
from nayru_lsp.asm.commands_2 import said_2
from nayru_lsp.asm.compiled import Code, Data, Rows, each_row, pack, row_data, split_list, unquoted, words_of
from nayru_lsp.asm.expansion import ALWAYS, JUDGED, REGION, UNPLACED, WRITES, Expansion, Part
from nayru_lsp.asm.mapping import SA1_BANKS, MappingMode, to_rom
from nayru_lsp.asm.state import BARE, TOP, Drop, Scope

if TYPE_CHECKING:
    from nayru_lsp.asm.expand import Machine

TICK = 2_048            # writes between two calls of ``tick``
STANDS = "@"        # among the names that a part reads: where it stands


def evaluate(machine: Machine, out: Expansion) -> list[tuple[int, Part]]:
    """The parts, and into ``out`` the problems and reasons found with them."""
    borders = machine.part_borders()
    if machine.evaluated_with != (machine.functions, machine.structs):
        machine.evaluated_with = dict(machine.functions), dict(machine.structs)
        for border in borders:
            border.made = None
    changed, machine.moved = machine.moved, set()
    kept, reasons = machine.problems, machine.reason_log    # what is found here stands apart
    mode, banks, reads = machine.mode, machine.sa1_banks, machine.shape_reads
    machine.problems, machine.reason_log, machine.shape_reads = [], [], set()
    done: dict[int, bytes] = {}
    parts = []
    ends = [border.at for border in borders[1:]] + [(len(out._objects), 0, 0, 0, len(machine.deferred))]
    for border, end in zip(borders, ends, strict=True):
        part, before = border.made, border.made
        span = border.at[WRITES], end[WRITES]
        if part is None or border.slid or ALWAYS in part.reads or not changed.isdisjoint(part.reads):
            part = border.made = Part()
            machine.mode, machine.sa1_banks, machine.reads = mode, banks, set()
            _judge(machine, part, border.at[JUDGED], end[JUDGED])
            if before is None or ALWAYS in before.reads or not _mapped_as_before(out, before, border.slid, *span):
                _evaluate(machine, out, part, *span, done)
            else:
                _patch(machine, out, part, before, changed, border.slid, *span)
            border.slid = 0
        parts.append((border.at[WRITES], part))
    for border, (_, part) in zip(borders, parts, strict=True):
        for at, code, message in part.judged:
            machine.problem(code, message, machine.deferred[border.at[JUDGED] + at][2])
    for start, part in parts:
        for at, row, code, message in part.unmapped:
            machine.problem(code, message, out._place[start + at] + row)
    for start, part in parts:
        for at, code, message in part.wrong:
            machine.problem(code, message, out._place[start + at])
        machine.reason_log += [reason for _, reason in part.reasons]
    out.problems = tuple(kept + machine.problems)
    out.reasons = Counter(reasons + machine.reason_log)
    machine.problems, machine.reason_log, machine.shape_reads = kept, reasons, reads
    machine.mode, machine.sa1_banks = mode, banks
    machine.scope = TOP
    machine.region = -1
    return parts


def _judge(machine: Machine, part: Part, start: int, stop: int) -> None:
    """The assertions, now that every label is there."""
    for number in range(start, stop):
        words, machine.scope, machine.place, machine.pos, machine.real = machine.deferred[number]
        parts = split_list(" ".join(words[1:]))
        with suppress(Drop, Unknown):
            try:
                if words[0].lower() != "assert":
                    said = said_2(machine, words)
                    if words[0].lower() == "error":
                        part.judged.append((number - start, "error_command", f"the source says: {said}"))
                elif not machine.condition(parts[:1] if machine.modern else words_of(parts[0]), "assert"):
                    said = "".join(text for one in parts[1:] if (text := unquoted(one)) is not None and '"' in one)
                    part.judged.append((number - start, "assertion_failed",
                                        f"the assertion does not hold{': ' + said if said else ''}"))
            except Wrong as wrong:
                if not machine.stopped or wrong.code != "label_not_found":
                    part.judged.append((number - start, wrong.code, str(wrong)))
        if machine.problems:
            part.judged += [(number - start, one.code[1:], one.message) for one in machine.problems]
            machine.problems.clear()


def _evaluate(machine: Machine, out: Expansion, part: Part, start: int, stop: int, done: dict[int, bytes]) -> None:
    """``done``: the bytes of what is the same wherever it stands, by the identity of the object; whatever part it is
    in reads the labels."""
    objects, places, reals = out._objects, out._place, out._real
    reads = machine.reads
    add = part.data.append
    modes = out._modes
    next_mode = _mode(machine, out, start)
    change = modes[next_mode][0] if next_mode < len(modes) else stop
    mapped: set[int] = set()
    tick_at = start if machine.tick is not None else stop
    for number in range(start, stop):
        if number >= tick_at and machine.tick is not None:
            machine.tick()
            tick_at += TICK
        while change <= number:
            _, machine.mode, machine.sa1_banks = modes[next_mode]
            next_mode += 1
            change = modes[next_mode][0] if next_mode < len(modes) else stop
            mapped.clear()
        real = reals[number]
        if real >> 15 not in mapped and not machine.stopped:
            if 0 <= real >> REGION < UNPLACED and to_rom(
                    machine.mode, real & 0xFFFFFF, machine.sa1_banks) is None:
                for row, at in each_row(objects[number], out._sizes[number]):
                    snes = real + at & 0xFFFFFF
                    if to_rom(machine.mode, snes, machine.sa1_banks) is None:
                        part.unmapped.append((number - start, row, "snes_address_doesnt_map_to_rom",
                                              f"${snes:06X} shows no ROM in {machine.mode}"))
            else:
                mapped.add(real >> 15)
        obj = objects[number]
        kind = type(obj)
        if kind is bytes:
            add(obj)
            continue
        if kind is Rows:
            add(obj.data())
            continue
        if kind is str:
            add(row_data(obj))
            continue
        if kind is tuple:
            op, opcode, scope = obj
            key = 0
        else:
            op, opcode, scope = obj, None, None
            key = 0 if op.names is None or op.stands else id(obj)
            if key in done:
                reads.update(op.names)
                add(done[key])
                continue
        made = _one(machine, out, part, number, number - start, op, opcode, scope)
        if key and made is not None:
            done[key] = made
        add(made)
    part.reads = tuple(reads)
    part.files = frozenset([place >> 24 & 0xFFFF for place in places[start:stop]])
    machine.reads = set()


def _mode(machine: Machine, out: Expansion, number: int) -> int:
    """That of write ``number``; gives which change of it comes next."""
    modes = out._modes
    after = bisect_right([at for at, _, _ in modes], number)
    machine.mode, machine.sa1_banks = modes[after - 1][1:] if after else (MappingMode.LOROM, SA1_BANKS)
    return after


def _one(machine: Machine, out: Expansion, part: Part, number: int, at: int, op: Any, opcode: Any,
         scope: Scope | None) -> bytes | None:
    """The bytes of write ``number``, ``at`` in its part."""
    if op.plain is not None and (known := _plain(machine, op, opcode, scope, out._at[number])) is not None:
        return known
    machine.scope = scope if scope is not None else BARE
    machine.place, machine.real = out._place[number], out._real[number]
    try:
        return _bytes_of(machine, op, opcode, out._at[number])
    except Unknown as reason:
        part.reasons.append((at, str(reason)))
    except Wrong as wrong:
        if not machine.stopped or wrong.code != "label_not_found":     # it may come later
            part.wrong.append((at, wrong.code, str(wrong)))
    return None


def _plain(machine: Machine, op: Any, opcode: Any, scope: Scope | None, position: int) -> bytes | None:
    """What is made of labels and numbers only, as most is that waits for values; None where a label has no plain
    address."""
    labels, reads = machine.labels, machine.reads
    values: list[int] = []
    for name in op.plain:
        if type(name) is int:
            values.append(name)
            continue
        value = None
        if scope is not None:
            name = scope.keys.get(name, name)
            if scope.space:
                reads.add(scope.space + name)
                value = labels.get(scope.space + name)
        reads.add(name)
        if value is None:
            value = labels.get(name)
        if value is None or value >> REGION:
            return None
        values.append(value)
    if type(op) is Data:
        return b"".join([pack(value, op.unit) for value in values])
    opcode = opcode or op.fixed
    if op.branch:
        value, most = values[0] - position - 1 - op.branch, 1 << 8 * op.branch - 1
        if machine.modern or position >> REGION or not -most <= value < most:
            return None
        return bytes([opcode.value]) + pack(value, op.branch)
    return bytes([opcode.value]) + pack(values[0], opcode.size - 1)


def _mapped_as_before(out: Expansion, before: Part, slid: int, start: int, stop: int) -> bool:
    """Does every write show ROM if it did before, when all of them lay ``slid`` bytes higher up?"""
    if not slid or start == stop:
        return True
    first, last = out._real[start], out._real[stop - 1]     # a part that slides goes on in one direction
    return not before.unmapped and len({first >> 15, last >> 15, first - slid >> 15, last - slid >> 15}) == 1


def _patch(machine: Machine, out: Expansion, part: Part, before: Part, changed: set[str], slid: int, start: int,
           stop: int) -> None:
    """What was evaluated before, and anew only what reads a label that changed or looks where it stands."""
    objects = out._objects
    part.data, part.unmapped, part.files = before.data.copy(), before.unmapped, before.files
    if before.readers is None:
        before.readers = {ALWAYS: [], STANDS: []}
        for at, obj in enumerate(objects[start:stop]):
            _reads(before.readers, at, obj)
    readers = part.readers = before.readers
    again = set(readers[ALWAYS] + readers[STANDS] * bool(slid))
    again.update(*[readers[name] for name in readers.keys() & changed])
    part.was, before.was = (before, slid, again), None
    next_mode = _mode(machine, out, start)
    several = next_mode < len(out._modes) and out._modes[next_mode][0] < stop
    for at in sorted(again):
        obj = objects[start + at]
        if several:
            _mode(machine, out, start + at)
        if type(obj) is tuple:
            part.data[at] = _one(machine, out, part, start + at, at, *obj)
            for name in obj[2].keys.values() if obj[2] is not None else ():
                if name[0] == ":":          # of Asar's own making: it may be another one now
                    for known in (name, obj[2].space + name):
                        if at not in (found := readers.setdefault(known, [])):
                            found.append(at)
        else:
            part.data[at] = _one(machine, out, part, start + at, at, obj, None, None)
    part.wrong = sorted([*(one for one in before.wrong if one[0] not in again), *part.wrong], key=itemgetter(0))
    part.reasons = sorted([*(one for one in before.reasons if one[0] not in again), *part.reasons], key=itemgetter(0))
    part.reads = (*before.reads, *machine.reads.difference(before.reads))
    machine.reads = set()


def _reads(readers: dict[str, list[int]], at: int, obj: Any) -> None:
    """Write ``at`` among those that read the labels that it reads."""
    kind = type(obj)
    if kind is bytes or kind is Rows or kind is str:
        return
    op, _, scope = obj if kind is tuple else (obj, None, None)
    names = (ALWAYS,) if op.names is None else op.names
    if op.stands:
        names = *names, STANDS
    if scope is not None:
        names = tuple([scope.keys.get(name, name) for name in names])
        if scope.space:
            names += tuple([scope.space + name for name in names])
    for name in names:
        readers.setdefault(name, []).append(at)


def _bytes_of(machine: Machine, op: Any, opcode: Any, position: int) -> bytes:
    kind = type(op)
    machine.pos = position
    machine.region = -1
    if kind is Code:
        opcode = opcode or op.fixed
        if op.branch:
            machine.region = position >> REGION
            value = op.expression.integer(machine)
            size = op.branch
            if machine.modern:
                value = _branch_2(op, value, position & 0xFFFFFF)
            elif op.expression.names:
                value -= (position & 0xFFFFFF) + 1 + size
                if not -(1 << 8 * size - 1) <= value < 1 << 8 * size - 1:
                    raise Wrong("relative_branch_out_of_bounds", f"the target is {value:+,} bytes away")
            return bytes([opcode.value]) + pack(value, size)
        value = op.expression.integer(machine)
        if op.second is not None:
            return bytes([opcode.value, value & 0xFF, op.second.integer(machine) & 0xFF])
        return bytes([opcode.value]) + pack(value, opcode.size - 1)
    if kind is Data:
        unit = op.unit
        if not op.scoped:
            return b"".join([item if type(item) is bytes else pack(item.integer(machine), unit) for item in op.items])
        parts = []
        for item in op.items:       # `pc()` moves on from one to the next
            parts.append(item if type(item) is bytes else pack(item.integer(machine), unit))
            machine.pos += len(parts[-1])
            machine.real += len(parts[-1])
        return b"".join(parts)
    values = [one.integer(machine) for one in op.expressions]
    made = op.form.encode(position & 0xFFFFFF, values, [bool(one.names) for one in op.expressions])
    if made is None:
        raise Wrong("relative_branch_out_of_bounds", "the target is too far away")
    return bytes(made)


def _branch_2(op: Code, value: int, position: int) -> int:
    """What a branch of 2.0 holds: it may go on in its bank from the other end, and a displacement is no negative
    number."""
    size = op.branch
    if op.target == "a" or (not op.target and (op.expression.names or not {"pc", "realbase"}.isdisjoint(
            op.expression.calls))):
        value_16 = (value - position - 1 - size + 0x8000 & 0xFFFF) - 0x8000
        if (value ^ position) & ~0xFFFF or (size == 1 and not -0x80 <= value_16 <= 0x7F):
            raise Wrong("relative_branch_out_of_bounds", f"the target is {value_16:+,} bytes away")
        return value_16
    if value & ~((1 << 8 * size) - 1):
        raise Wrong("relative_branch_out_of_bounds", f"{value:,} is no displacement: write `.a` for an address")
    return value
