"""Calls of macros; those whose effect hangs on nothing but their arguments and some defines are executed once only.

While such a call is executed it is *recorded*: which defines it read, what it wrote, defined and set, all of it
relative to where it stands. The next call of the macro with these arguments, while those defines hold the same, is
*replayed*: written down again without going through its lines. Whatever else a line may read or change (a label that
has a place, `pc()`, a command, an error) ends the recording, and the call is executed whenever it comes.

Promises: a replayed call leaves the same state and results as an executed one (tests/asm/test_calls.py). Only machines
that execute more than once remember (`remembers`).
"""

from __future__ import annotations

from array import array
from itertools import accumulate
from typing import Any

from nayru_lsp.asm.defines import Defines
from nayru_lsp.asm.expansion import Fatal
from nayru_lsp.asm.placing import Placing
from nayru_lsp.asm.state import Frame, Macro

TRIES = 4               # recordings of a macro that came to nothing, before none is begun any more
MAX_EFFECTS = 100_000
MAX_LINES = 50_000      # of one recorded call
MAX_READS = 8           # sets of defines that the calls of one macro read

_INSIDE = (1 << 40) - 1


class Record:
    """A call that is being executed, and what it read and set so far."""

    __slots__ = ("called", "depth", "frame", "line", "macro", "others", "pos", "reads", "real", "starts", "turns",
                 "written")

    def __init__(self, macro: Macro, frame: Frame, line: int, pos: int, real: int, turns: int,
                 starts: tuple[int, ...], others: tuple[int, ...]) -> None:
        self.macro = macro
        self.frame = frame
        self.line = line            # how many were executed before it
        self.pos = pos
        self.real = real
        self.turns = turns
        self.starts = starts        # lengths of the logs
        self.others = others        # of those that must not change, or it cannot be replayed
        self.called = [macro]       # and what it called, in the order of the table of calls
        self.depth = 0              # the most frames that were open
        self.reads: dict[str, str | None] = {}      # defines with the texts that they had at the call
        self.written: set[str] = set()

    def saw(self, names: tuple[str, ...], texts: list[str]) -> None:
        if self.written:
            written = self.written
            for name, text in zip(names, texts, strict=True):
                if name not in written:
                    self.reads[name] = text
        else:
            self.reads.update(zip(names, texts, strict=True))


class Shape:
    """What many calls have in common: all but the objects that they write and the texts of their defines."""

    __slots__ = ("bases", "called", "calls", "context", "defines", "depth", "labels", "lines", "macros", "offsets",
                 "places", "relative", "set_at", "set_relative", "size", "sizes", "table", "turns")

    def __init__(self, called: tuple[Macro, ...], context: tuple[Any, ...], lines: int, turns: int, depth: int,
                 sizes: array[int], relative: array[int], defines: tuple[str, ...], set_relative: array[int],
                 table: tuple[tuple[int, int], ...], labels: tuple[tuple[int, str, int, int], ...]) -> None:
        self.called = called
        self.macros = tuple({id(one): one for one in called}.values())
        self.context = context
        self.lines = lines
        self.turns = turns
        self.depth = depth                  # frames above that of the call
        self.sizes = sizes
        self.offsets = list(accumulate(sizes, initial=0))
        self.size = self.offsets.pop()
        self.relative = relative            # places: the number of the call among ``called``, the row in its macro
        self.defines = defines
        self.set_relative = set_relative
        self.table = table                  # of calls inside this one: number of the caller, place
        self.labels = labels                # number of the call, name in it, offset, place
        self.rebase()

    def rebase(self) -> None:
        """The rows of the macros are where they are now."""
        self.bases = tuple([macro.base for macro in self.macros])
        bases = [macro.base for macro in self.called]
        self.places = [one + bases[one >> 40] for one in self.relative]
        self.set_at = [one + bases[one >> 40] for one in self.set_relative]
        self.calls = [(caller, place + bases[place >> 40]) for caller, place in self.table]


class Calls(Defines, Placing):
    """`Defines`, and macros that are called."""

    def call_macro(self, name: str, arguments: tuple[str, ...], line: int) -> int:
        """``line``: how many were executed before it. Gives how many were replayed; 0: they are to be gone through."""
        macro = self.macros.get(name)
        if macro is None:
            raise self.drop("macro_not_found", f"there is no macro `{name}`")
        wanted = len(macro.parameters)
        if len(arguments) < wanted - 1 if macro.variadic else len(arguments) != wanted:
            raise self.drop("macro_wrong_min_params" if macro.variadic else "macro_wrong_num_params",
                            f"`{name}` takes {wanted - macro.variadic} arguments{' or more' * macro.variadic}")
        self.calls_made += 1
        if self.calls_made > self.limits.calls:
            self.problem("nayru_limit", f"cut after {self.limits.calls:,} macro calls")
            raise Fatal
        table = self.out.call_table
        table.append((self.place >> 40, self.place))
        plain = self.remembers and self.is_plain()
        if plain and macro.effects:
            defines = self.defines.get
            for names, effects in macro.effects.items():
                texts = tuple([defines(one) for one in names])
                effect = effects.get((arguments, texts))
                if effect is not None and self.replayed(names, texts, *effect):
                    return int(effect[0].lines)
        frame = Frame(macro.lines, macro.file, macro.row + 1, len(table) - 1, macro, self.numif,
                      arguments=arguments, macro_id=len(table) - 2)
        self.push(frame)
        if self.record is not None:
            self.record.called.append(macro)
            self.record.depth = max(self.record.depth, len(self.frames))
        elif plain and macro.tries < TRIES and len(macro.lines) > 1:
            macro.tries += 1
            self.record = Record(macro, frame, line, self.pos, self.real, self.turns, self.starts(), self.others())
        return 0

    def is_plain(self) -> bool:
        """Is nothing in force that makes a call another one here than elsewhere?"""
        return (not self.half and self.table is None and self.repeat == 1 and not self.in_struct
                and self.real >= 0 and not self.free_id and not self.xkas and not self.defining)

    def context(self) -> tuple[Any, ...]:
        return self.compiler, self.functions_version, self.space

    def starts(self) -> tuple[int, ...]:
        out = self.out
        return len(out._objects), len(out.define_log), len(out.call_table), len(self.label_log)

    def others(self) -> tuple[int, ...]:
        out = self.out
        return (len(self.problems), len(self.guesses), len(self.deferred), len(self.reason_log),
                len(out._modes), len(out.files))

    def recorded(self, record: Record, line: int) -> None:
        """The call has come to its end, and nothing stood in the way: remember it."""
        macro, lines = record.macro, line - record.line
        names = tuple(sorted(record.reads))
        effects = macro.effects.get(names)
        if lines > MAX_LINES or record.others != self.others() or (effects is None and len(macro.effects) >= MAX_READS):
            return
        out = self.out
        writes, sets, calls, labels = record.starts
        first = calls - 1           # the number of this call
        called = tuple(record.called)
        bases = [one.base for one in called]

        def relative(place: int) -> int:
            number = (place >> 40) - first
            return (number << 40) + (place & _INSIDE) - bases[number]

        if not self.cross and (self.pos - record.pos, self.real - record.real) != (sum(out._sizes[writes:]),) * 2:
            return                  # it went on in the next bank
        made = []
        for name in self.label_log[labels:]:
            number, suffix = _own_label(name, self.space)
            if number < first - 1:
                return              # no label of this very call
            made.append((number - first + 1, suffix, self.labels[name] - record.pos, relative(self.now[name])))
        log = out.define_log[sets:]
        sizes = out._sizes[writes:]
        places = array("Q", [relative(one) for one in out._place[writes:]])
        set_places = array("Q", [relative(one[2]) for one in log])
        defines = tuple([one[0] for one in log])
        table = tuple([(caller - first, relative(place)) for caller, place in out.call_table[calls:]])
        turns, depth = self.turns - record.turns, max(0, record.depth - len(self.frames) - 1)
        key = (tuple(map(id, called)), self.context(), lines, turns, depth, sizes.tobytes(), places.tobytes(), defines,
               set_places.tobytes(), table, tuple(made))
        if self.effects >= MAX_EFFECTS:
            for one in self.macros.values():
                one.effects.clear()
            self.effects, self.shapes, self.shared = 0, {}, {}
        shape = self.shapes.get(key)
        if shape is None:
            shape = self.shapes[key] = Shape(called, self.context(), lines, turns, depth, sizes, places,
                                             defines, set_places, table, tuple(made))
        self.effects += 1
        same = self.shared.setdefault
        texts = tuple([record.reads[one] for one in names])
        objects = tuple(out._objects[writes:])
        values = tuple([one[1] for one in log])
        macro.effects.setdefault(names, {})[record.frame.arguments, same(texts, texts)] = (
            shape, same(objects, objects), same(values, values))
        macro.tries -= 1

    def replayed(self, names: tuple[str, ...], texts: tuple[str | None, ...], shape: Shape, objects: tuple[Any, ...],
                 values: tuple[str, ...]) -> bool:
        """Do again what the call did; False where it would not be the same."""
        pos = self.pos
        if self.cross:
            inside = not shape.size or not (pos + shape.size - 1 ^ self.origin) & 0xFF0000
        else:
            inside = self.stays(shape.size)
        if (not inside or shape.context != self.context() or self.turns + shape.turns > self.limits.loops
                or len(self.frames) + 1 + shape.depth > self.limits.depth
                or self.calls_made + len(shape.table) > self.limits.calls):
            return False
        for macro, base in zip(shape.macros, shape.bases, strict=True):
            if self.macros.get(macro.name) is not macro:
                return False
            if macro.base != base:
                shape.rebase()
        out = self.out
        number = len(out.call_table) - 1
        here = number << 40
        record = self.record
        if record is not None:
            record.called.extend(shape.called)
            record.depth = max(record.depth, len(self.frames) + 1 + shape.depth)
            record.saw(names, list(texts))
            record.written.update(shape.defines)
        if objects:
            out._objects.extend(objects)
            real = self.real
            out._at.extend([pos + one for one in shape.offsets])
            out._real.extend([real + one for one in shape.offsets])
            out._place.extend([here + one for one in shape.places])
            out._sizes.extend(shape.sizes)
            self.pos, self.real = pos + shape.size, real + shape.size
            if not self.cross:
                self.origin, self.real_origin = self.pos, self.real
        if shape.calls:
            self.calls_made += len(shape.calls)
            out.call_table.extend([(number + caller, here + place) for caller, place in shape.calls])
        self.turns += shape.turns
        if values:
            log, defines = out.define_log.append, self.defines
            for name, value, place in zip(shape.defines, values, shape.set_at, strict=True):
                self.held += len(value)
                defines[name] = value
                log((name, value, here + place))
            if self.held > self.limits.held:
                self.problem("nayru_limit", f"cut after {self.limits.held:,} characters of defines")
                raise Fatal
            if self.poisoned:
                self.poisoned.difference_update(shape.defines)
        if shape.labels:
            place = self.place
            for call, suffix, offset, at in shape.labels:
                self.place = here + at + shape.called[call].base
                self.set_label(f"{self.space}:macro_{number - 1 + call}_{suffix}", pos + offset, False)
            self.place = place
        return True


def lasting(kept: Any) -> bool:
    """Is what is kept of an instruction or of data the same at every call? A name is, unless it means the nearest."""
    if type(kept) is bytes:
        return True
    op, scope = (kept[0], kept[2]) if type(kept) is tuple else (kept, None)
    return (scope is None or scope.defines is None) and not any(
        name[0] in ".?+-" for one in op.expressions for name in one.names)


def _own_label(name: str, space: str) -> tuple[int, str]:
    """Number of the call (as labels have it) and the name in it; -1 for a label that is of no macro."""
    start = space + ":macro_"
    if not name.startswith(start):
        return -1, ""
    number, _, suffix = name[len(start):].partition("_")
    return int(number), suffix
