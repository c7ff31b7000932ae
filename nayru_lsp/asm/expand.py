"""A root executed as Asar executes it: every label with its value, the bytes of every line, what is defined where.

Asar's language is run, not declared (docs/decisions): three passes over the text, in which labels are first unknown,
then placed, then final. This runs the first; while it runs, everything whose *size* was taken from a label that was
not there yet is written down. Where all of those guesses hold, the second and third pass would change nothing, and
they are left out; else the whole is run again with the labels of the pass before, at most `MAX_PASSES` times. Operand
values are not needed to place anything: they are evaluated at the end, when all labels are there.

Promises: total and bounded (`Limits`); what was cut is a problem. What depends on something unknown (a base image that
is not there, a file that cannot be read) is ``None``, never guessed, and `Expansion.reasons` counts why. Reads files
through ``read`` only, calls ``tick`` every few thousand lines: who runs it owns disk, time and cancellation.

A machine is made of rooms, a class and a file each: its `state`, the `names` of labels and what expressions ask, the
`defines` and macros, `conditions`, `placing`; here is the way through the lines. A long file all the same: that way is
one loop, and each of its steps is short. Commands are in `commands`, the bytes in `written`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

from nayru_lsp.asm.arithmetic import Unknown, Wrong
from nayru_lsp.asm.calls import Calls, lasting
from nayru_lsp.asm.commands import COMMANDS
from nayru_lsp.asm.commands_2 import command_2, moving_2, place_2
from nayru_lsp.asm.compiled import (
    ASSIGN,
    BAD,
    CALL,
    CODE,
    COMMAND,
    CONTROL,
    DATA_ROW,
    Block,
    Code,
    Rows,
    row_size,
)
from nayru_lsp.asm.conditions import Conditions
from nayru_lsp.asm.expansion import Border, Cancelled, Expansion, Fatal, Limits, Made, Part, Write
from nayru_lsp.asm.prepared import closed_quotes, faults_2, folded, prepared_lines
from nayru_lsp.asm.project import Root
from nayru_lsp.asm.rounds import at_once
from nayru_lsp.asm.state import Compiled, Drop, Frame, Lines, Read
from nayru_lsp.asm.written import evaluate

__all__ = ["Cancelled", "Expansion", "Limits", "Machine", "Made", "Read", "Write", "run"]

MAX_PASSES = 4

TICK = 1_024            # lines between two calls of ``tick``

_ESCAPED = re.compile("[\udc80-\udcff]")       # bytes that are no UTF-8


def run(root: Root, read: Read, base_image: bytes | None = None, tick: Callable[[], None] | None = None,
        limits: Limits | None = None) -> Expansion:
    """Execute ``root``. ``read`` gives the bytes of an absolute path, or None. ``base_image``: what it is applied to;
    None where that is not known, b"" where it makes an image of its own."""
    machine = Machine(root, read, base_image, tick, limits or Limits())
    return machine.expansion()


class Machine(Calls, Conditions):
    """One root, one execution."""

    def expansion(self, again: bool = False) -> Expansion:
        """Execute. ``again``: with the labels of the time before, which nearly always spares a pass: where every size
        that was taken from one of them holds, the passes of a fresh execution come to the same."""
        self.total = 0
        first = int(again and not (self.placed or self.sized) and (self.modern or not self.priority))
        if not first:
            self.priority = self.modern
        for number in range(first, MAX_PASSES):
            earlier = self.problems if number > first else []
            self.earlier = self.structs if number else {}
            self.start(number)
            self.stopped = True
            with suppress(Fatal):
                self.go()
                self.stopped = False
            self.placing = self.placing and not self.stopped
            self.finish()
            if number:
                for name in self.labels.keys() - self.now.keys():
                    del self.labels[name]
            self.settled = not self.wrong_guess()
            if first and (self.stopped or self.sized or self.placed or not self.settled
                          or self.structs != self.earlier):
                return self.expansion()
            if self.stopped and self.placed:        # no further pass; what the first one found is told all the same
                # The calls of that pass have other numbers.
                self.problems = [*(replace(one, call=0, again=0) for one in earlier),
                                 *(one for one in self.problems if one not in earlier)]
                break
            if self.settled or (number and not self.placing):
                break
        if self.modern and self.pass_number and not self.placing:
            moving_2(self)
        self.out.passes, self.out.lines = self.pass_number + 1, self.total
        return self.told()

    def told(self) -> Expansion:
        """What is found so far, with all that is read off the state at the end of the program."""
        out = self.out
        out._labels = out._parts = None
        out.values, out.mapping_mode, out.defines = self.labels, self.mode, self.defines
        out.structs = {name: (size, whole) for name, (size, whole, _, _) in self.structs.items()}
        out.macros = {name: (out.files[macro.file], macro.row, macro.parameters) for name, macro in self.macros.items()}
        out.problems, out.reasons = tuple(self.problems), Counter(self.reason_log)
        return out

    def part_borders(self) -> Sequence[Border]:
        """Where the parts begin in which all that was written is evaluated."""
        return (Border(),)

    def evaluated(self, out: Expansion) -> list[tuple[int, Part]]:
        return evaluate(self, out)

    def forget(self, path: str) -> None:
        """The file at ``path`` is another one now."""
        self.prepared.pop(path, None)
        self.binaries.pop(path, None)

    # --- a pass ------------------------------------------------------------------------------------------------------

    def go(self) -> None:
        if not self.enter_file(self.root.path, ""):
            self.problem("failed_to_open_file", f"{self.root.path} cannot be read")
            return
        if self.root.prelude and not self.enter_file(self.root.prelude, ""):     # gone through first
            self.problem("failed_to_open_file", f"{self.root.prelude} cannot be read")
        self.loop()

    def finish(self) -> None:
        if self.in_struct:
            self.problem("struct_without_endstruct", "this struct is not closed: add `endstruct`", self.struct_back[-1])
        elif self.pc_stack:
            self.problem("pushpc_without_pullpc", "a `pushpc` has no `pullpc`")
        elif self.space_stack:
            self.problem("pushns_without_pullns", "a `pushns` has no `pullns`")
        if self.block is not None:
            self.problem("missing_endspcblock", "this spcblock is not closed: add `endspcblock`", self.block[2])
        if self.inline:
            with suppress(Drop):
                COMMANDS["arch"](self, ["arch", "65816"])   # closes the last block of the sound processor's
        if self.warnings_pushed:
            self.problem("pushwarnings_without_pullwarnings", "a `warnings push` has no `warnings pull`")
        self.end_freespace()
        if self.free_2 is not None and self.placed and not self.stopped:
            place_2(self)
        if self.free is not None and not self.placing and not self.stopped:
            for code, message, place in self.free.finish(self.labels):
                self.problem(code, message, place)
            self.out._image = self.free.image.writes

    def wrong_guess(self) -> bool:
        """Was any size taken from a label that came later, and would be another now?"""
        if self.placing or self.sought:
            return True
        for keys, literal, used, position, how in self.guesses:
            if self.width_of(keys, literal, position, how) != used:
                return True
        return False

    # --- frames ------------------------------------------------------------------------------------------------------

    def source(self, path: str) -> Lines | None:
        if path not in self.prepared:
            data = self.read(path)
            text = "" if data is None else data.decode("utf-8", "surrogateescape")
            if self.modern and data is not None:
                if not text.isascii() and _ESCAPED.search(text):
                    text = ""
                    self.faults[path] = [(0, "invalid_utf8", "this file is not UTF-8: Asar 2.0 reads nothing else")]
                else:
                    self.faults[path] = faults_2(text)
            self.prepared[path] = None if data is None else Lines(prepared_lines(text, self.dialect))
        return self.prepared[path]

    def enter_file(self, path: str, from_path: str) -> bool:
        for one in self.found(path, from_path) if from_path else [path]:
            lines = self.source(one)
            if lines is None:
                continue
            if one in self.included_once:
                return True
            number = self.file_number.get(one)
            if number is None:
                number = self.file_number[one] = len(self.out.files)
                self.out.files.append(one)
            for row, code, message in self.faults.get(one, ()):
                if not any(told.span.start == row and told.path == one and told.code == "E" + code
                           for told in self.problems):
                    self.problem(code, message, number << 24 | row)
            call = self.frames[-1].call if self.frames else 0
            self.push(Frame(lines, number, 0, call, self.frames[-1].macro if self.frames else None, self.numif))
            if self.frames[-1].macro is None:
                self.frames[-1].border = self.first_border
            else:
                outer = self.frames[-2]
                frame = self.frames[-1]
                frame.arguments, frame.macro_id, frame.labels = outer.arguments, outer.macro_id, outer.labels
                outer.signed("+")
                frame.signs = outer.signs
            return True
        return False

    def leave(self, line: int) -> None:
        """``line``: how many were executed before the end of this frame."""
        frame = self.frames.pop()
        if self.repeat != 1:
            self.repeat = 1
        if self.numif != frame.conditions:
            if self.modern and frame.macro is not None:
                self.problem("unclosed_if", "the macro has an `if` without `endif`, or the other way round",
                             self.out.call_table[frame.call][1])
            else:
                self.problem("unclosed_if", "this file or macro ends inside an `if`: add `endif`",
                             self.loops[self.numif - 1].place if self.numif - 1 in self.loops else None)
            for level in range(frame.conditions, self.numif):
                self.loops.pop(level, None)
                self.else_done.pop(level + 1, None)
            self.numif = self.numtrue = frame.conditions
            if self.unsure is not None and self.unsure > self.numif:
                self.end_unsure()
        record = self.record
        if record is not None and record.frame is frame:
            self.record = None
            self.recorded(record, line)

    first_border = 1 << 31      # `Live` wants to be asked at every file and from there on

    def at_border(self, frame: Frame, index: int) -> bool:
        """A line of a file at which `Live` may stop; True ends the loop."""
        return False

    def loop(self) -> None:
        """Go through all frames; the hot path of the whole."""
        frames = self.frames
        bottom = 0
        out = self.out
        add_object, add_at, add_real = out._objects.append, out._at.append, out._real.append
        add_place, add_size = out._place.append, out._sizes.append
        define_log = out.define_log
        countdown = TICK
        self.record = None
        while len(frames) > bottom:
            frame = frames[-1]
            depth = len(frames)
            lines = frame.lines
            count = len(lines)
            blocks, at = frame.blocks, frame.at
            base = frame.call << 40 | frame.file << 24 | frame.row
            border, of_file, marked = frame.border, frame.macro is None, -1
            compiled = self.compiled(frame)
            if at:
                self.place = base + frame.index     # behind a call
            while True:
                if at >= len(blocks):
                    # --- the next line
                    if frame.fake:
                        frame.fake = 0
                        self.close_condition()
                    index = frame.index + 1
                    if frame.jump >= 0:
                        index, frame.jump = frame.jump, -1
                    if self.numif != self.numtrue:
                        index = self.next_control(frame, index)
                    while index < count and not lines[index]:
                        index += 1
                    if index >= count:
                        self.leave(self.total + TICK - countdown)
                        break
                    if index >= border:
                        if self.at_border(frame, index):
                            return
                        border, marked = frame.border, -1
                    frame.index = index
                    frame.online = True
                    self.place = base + index
                    countdown -= 1
                    while countdown <= 0:
                        countdown += TICK
                        self.tock()
                    at = 0
                    if self.numif == self.numtrue:
                        if of_file and marked != len(define_log):
                            marked = len(define_log)
                            if self.last_mark.get(frame.file) != marked:
                                self.last_mark[frame.file] = marked
                                out._marks.append((frame.file, index, marked))
                        known = None if compiled is None else compiled[index]
                    else:
                        known = None
                    if known is not None:
                        blocks = known
                    else:
                        try:
                            blocks = self.fetch(frame, lines[index])
                            if self.at_once:
                                countdown -= self.at_once
                                self.at_once = 0
                                while countdown <= 0:
                                    countdown += TICK
                                    self.tock()
                        except Drop:
                            blocks = ()
                        except Unknown as reason:
                            blocks = self.unknown_line(lines[index], str(reason))
                        except Wrong as wrong:
                            blocks = ()
                            self.problem(wrong.code, str(wrong))
                    frame.blocks = blocks
                    if not blocks:
                        continue
                block = blocks[at]
                at += 1
                kind = block[1]
                if not frame.online and kind != CONTROL:
                    continue
                try:
                    if kind == CONTROL:
                        frame.at = at
                        if block[0] and self.numif == self.numtrue:
                            for label in block[0]:
                                self.add_label(label)
                        self.control(frame, block)
                        continue
                    if self.numif != self.numtrue:
                        continue
                    if block[0]:
                        for label in block[0]:
                            self.add_label(label)
                    if kind == CODE:
                        size = block[2]
                        obj = block[3]
                        if self.repeat != 1:
                            self.record = None
                            self.repeated(block)
                            continue
                        if type(obj) is not bytes:
                            size, kept = self.code(size, obj)
                            if kept is not obj and self.record is not None and not lasting(kept):
                                self.record = None
                            obj = kept
                        if self.real < 0:       # `base` alone is no place
                            self.without_org()
                            self.branches_from_nowhere(obj)
                        add_object(obj)
                        add_at(self.pos)
                        add_real(self.real)
                        add_place(self.place)
                        add_size(size)
                        if self.cross:
                            self.pos = pos = self.pos + size
                            self.real += size
                            if (pos ^ self.origin) & 0xFF0000 or self.half:
                                self.crossed()
                        else:
                            self.step(size)
                        continue
                    if kind == CALL:
                        frame.at = at
                        countdown -= self.call_macro(block[2], block[3], self.total + TICK - countdown)
                        break
                    if kind == COMMAND:
                        frame.at = at
                        self.command(block)
                        if len(frames) != depth or frame.at != at:
                            break
                        compiled = self.compiled(frame)     # it may be another processor's from here on
                    elif kind == ASSIGN:
                        self.assign(block[2], block[3])
                    elif kind == BAD:
                        if not block[2]:
                            raise Unknown(block[3])
                        self.problem(block[2], block[3])
                except Drop:
                    pass
                except Unknown as reason:
                    self.unknown(str(reason))
                except Wrong as wrong:
                    self.problem(wrong.code, str(wrong))

    def branches_from_nowhere(self, obj: Any) -> None:
        """1.91 takes $008000 where there was no `org`, but counts a branch from the place that was none."""
        op = obj[0] if type(obj) is tuple else obj
        if type(op) is Code and op.branch and op.expression.names:
            self.problem("relative_branch_out_of_bounds", "there is no `org` before this branch")

    def tock(self) -> None:
        self.total += TICK
        if self.total > self.limits.lines:
            self.problem("nayru_limit", f"cut after {self.limits.lines:,} executed lines")
            raise Fatal
        if self.tick is not None:
            self.tick()

    def compiled(self, frame: Frame) -> Compiled | None:
        lines = frame.lines
        if frame.macro is None or frame.macro.lines is lines:
            frame.compiled = lines.compiled.get(self.compiler)
            if frame.compiled is None:
                frame.compiled = lines.compiled[self.compiler] = [None] * len(lines)
        return frame.compiled

    def fetch(self, frame: Frame, text: str) -> tuple[Block, ...]:
        """The blocks of a line: arguments and defines replaced, compiled. Definitions of macros are read here."""
        if self.numif != self.numtrue:
            return self.skipped_line(frame, text)
        macro = frame.macro
        whole = True        # nothing is put in
        if macro is None:
            if text[0] in "dD" and DATA_ROW.match(text) and self.cross and not self.half:
                return self.rows(frame)
        elif "<" in text or macro.variadic:
            whole = False
            text = self.with_arguments(frame, text)
            if not text:
                return ()
        if text[0] in "mMeE":
            first = text[:6].lower()
            if first == "macro " and (macro is None or self.modern):
                self.define_macro(frame, text)
                return ()
            if first == "endmac" and text.lower() == "endmacro":
                self.problem("misplaced_endmacro", "there is no `macro` for this `endmacro`")
                return ()
        if "!" in text or "\\" in text:
            whole = False
            if text[:6].lower() == "while ":
                at_once(self, frame, text)
            text = self.resolved(text) if not self.xkas else self.resolved_outside(text)
            if not text:
                return ()
            if text[0] == " " or text[-1] == " " or "  " in text or ", " in text:
                text = folded(text)
                if not text:
                    return ()
            if len(text) > self.limits.text:
                raise self.drop("nayru_limit", f"this line expands to more than {self.limits.text:,} characters")
        if macro is not None and self.modern:
            if macro.variadic and "sizeof(...)" in text:
                text = text.replace("sizeof(...)", str(len(frame.arguments) - len(macro.parameters) + 1))
            if not closed_quotes(text):
                raise self.drop("mismatched_quotes", 'a quote is not closed in what this line becomes')
        blocks = self.compiler.line(text)
        if whole and frame.compiled is not None and not (blocks and type(blocks[0][3]) is str):     # a row of numbers
            frame.compiled[frame.index] = blocks
        return blocks

    def rows(self, frame: Frame) -> tuple[Block, ...]:
        """This row of numbers and all that follow it, as one step. Most lines of a disassembly are such rows."""
        lines, first = frame.lines, frame.index
        runs = lines.runs
        found = runs.get(first)
        if found is None or found.end > frame.border:
            match = DATA_ROW.match
            end, size, last = first, 0, first
            for end in range(first, min(len(lines), frame.border)):
                row = lines[end]
                if row:
                    if not match(row):
                        break
                    size += row_size(row)
                    last = end
            found = runs[first] = Rows(lines[first:last + 1], last + 1, size)
        if self.repeat != 1 or (self.modern if self.pos < 0 else (self.pos + found.size - 1 ^ self.pos) & 0xFF0000):
            return (((), CODE, row_size(lines[first]), lines[first]),)  # the row that leaves the bank is to be named
        frame.index = found.end - 1
        return (((), CODE, found.size, found),)

    # --- commands -----------------------------------------------------------------------------------------------------

    def command(self, block: Block) -> None:
        name, words = block[2], block[3]
        if name not in ("{", "}"):
            self.record = None
        if self.repeat != 1:
            self.repeat = 1
        if self.modern:
            command_2(self, name, words)
            return
        handler = COMMANDS.get(name)
        if handler is None:
            if name in ("{", "}") and len(words) == 1:
                return
            raise self.drop("unknown_command", self.unknown_word(words))
        handler(self, words)

    def unknown_word(self, words: list[str]) -> str:
        return f"`{words[0]}` is no instruction or command here, or not with this operand"
