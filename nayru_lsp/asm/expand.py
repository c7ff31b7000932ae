"""A root executed as Asar executes it: every label with its value, the bytes of every line, what is defined where.

Asar's language is run, not declared (docs/decisions): three passes over the text, in which labels are first unknown,
then placed, then final. This runs the first; while it runs, everything whose *size* was taken from a label that was
not there yet is written down. Where all of those guesses hold, the second and third pass would change nothing, and
they are left out; else the whole is run again with the labels of the pass before, at most `MAX_PASSES` times. Operand
values are not needed to place anything: they are evaluated at the end, when all labels are there.

Promises: total and bounded (`Limits`); what was cut is a problem. What depends on something unknown (a base image that
is not there, a file that cannot be read) is ``None``, never guessed, and `Expansion.reasons` counts why. Reads files
through ``read`` only, calls ``tick`` every few thousand lines: who runs it owns disk, time and cancellation.

One long file on purpose: it is one machine, whose state every line may change; its commands are in `commands`.
"""

from __future__ import annotations

import itertools
import posixpath
import re
from array import array
from collections import Counter, deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from nayru_lsp.asm.arithmetic import PURE, PURE_2, Expression, Rules, Unknown, Wrong, compile_expression, number_text
from nayru_lsp.asm.commands import COMMANDS
from nayru_lsp.asm.commands_2 import command_2, moving_2, said_2
from nayru_lsp.asm.compiled import (
    ASSIGN,
    BAD,
    CALL,
    CODE,
    COMMAND,
    CONTROL,
    DATA_ROW,
    Block,
    Chosen,
    Code,
    Compiler,
    Data,
    Foreign,
    Rows,
    Words,
    blocks_of_text,
    pack,
    row_data,
    row_size,
    split_list,
    unquoted,
    unquoted_2,
    words_of,
)
from nayru_lsp.asm.expansion import REGION, UNPLACED, UNSET, Cancelled, Expansion, Fatal, Limits, Made, Write
from nayru_lsp.asm.freespace import Freespace, Mapping
from nayru_lsp.asm.macros_2 import argument as argument_2
from nayru_lsp.asm.macros_2 import read_definition
from nayru_lsp.asm.macros_2 import template as template_2
from nayru_lsp.asm.mapping import SA1_BANKS, MappingMode, to_rom, to_snes
from nayru_lsp.asm.prepared import closed_quotes, faults_2, folded, prepared_lines
from nayru_lsp.asm.problem import Problem, Severity
from nayru_lsp.asm.project import Root
from nayru_lsp.asm.syntax import Dialect
from nayru_lsp.asm.text import Span

__all__ = ["Cancelled", "Expansion", "Limits", "Machine", "Made", "Write", "run"]

Read = Callable[[str], bytes | None]

MAX_PASSES = 4
_versions = itertools.count(1)

TICK = 4_096            # lines between two calls of ``tick``
MAX_TEMPLATES = 100_000


class _Drop(Exception):
    """This block or line is given up; the problem has been reported."""


_ARGUMENT = re.compile(r"<<(?!:)|<(\.\.\.\[[^<>]*\]|[^<> :][^<>:]*)>")
_USE = re.compile(r"\\\\|\\!|!")
_DEFINING = re.compile(r" (\+=|:=|#=|\?=|=) ")
_ASSIGNING = re.compile(r"(?:^| : )!\S+ (?:\+=|:=|#=|\?=|=) ")
_SIMPLE_USE = re.compile(r"!(?:(\w+)|\{(\w+)\})?", re.ASCII)
_NAME = re.compile(r"\w+", re.ASCII)
_ESCAPED = re.compile("[\udc80-\udcff]")       # bytes that are no UTF-8
_PLAIN_NAME = re.compile(r"[A-Za-z_]\w*\Z", re.ASCII)
_CONTROL_WORD = re.compile(r"(?i)(?:^|: )(?:if|elseif|else|endif|while|endwhile|for|endfor)\b")
_MACRO_HEAD = re.compile(r"([A-Za-z_]\w*) ?\((.*)\)\Z", re.ASCII)
_CONDITION_OPERATORS = frozenset({"<", ">", "<=", ">=", "==", "!=", "="})


class _Lines(list[str]):
    """The prepared lines of a file or a macro body, and what was found out about them."""

    __slots__ = ("controls", "macros", "runs")

    def __init__(self, lines: Iterable[str]) -> None:
        super().__init__(lines)
        self.controls: array[int] | None = None     # index -> the next line with a control word
        self.runs: dict[int, Rows] = {}             # index -> the rows of numbers that begin there
        self.macros: dict[int, tuple[_Macro, int]] = {}      # index -> the macro defined there, its last line


@dataclass(slots=True)
class _Macro:
    name: str
    parameters: tuple[str, ...]
    variadic: bool
    file: int
    row: int                    # of the line `macro`
    lines: _Lines
    nested: tuple[int, ...] = ()            # rows behind ``row`` where 1.91 finds a macro inside this one
    templates: dict[str, tuple[Any, ...]] = field(default_factory=dict, compare=False)


@dataclass(slots=True)
class _Loop:
    row: int = 0                # index of the line of the condition in its frame
    place: int = 0
    kind: str = "if"
    again: bool = False
    variable: str = ""
    current: int = 0
    end: int = 0
    backup: str | None = None


@dataclass(slots=True)
class _Frame:
    """A file or a macro call that is being gone through."""

    lines: _Lines
    file: int
    row: int                    # of ``lines[0]``
    call: int
    macro: _Macro | None
    conditions: int             # open when it began
    index: int = -1
    blocks: tuple[Block, ...] = ()
    at: int = 0
    fake: int = 0
    online: bool = True         # does a condition of this very line hold (``if x : y``)
    border: int = 1 << 31       # the next line at which `Live` wants to be asked
    jump: int = -1              # the line to go on with behind this one: back to the head of a loop
    arguments: tuple[str, ...] = ()
    macro_id: int = -1
    labels: list[str] = field(default_factory=list)             # ?sub label parents
    signs: tuple[Counter[int], Counter[int]] | None = None      # how many ?+ and ?- there were, by depth

    def signed(self, sign: str) -> Counter[int]:
        if self.signs is None:
            self.signs = (Counter(), Counter())
        return self.signs[sign == "-"]


def run(root: Root, read: Read, base_image: bytes = b"", tick: Callable[[], None] | None = None,
        limits: Limits | None = None) -> Expansion:
    """Execute ``root``. ``read`` gives the bytes of an absolute path, or None."""
    machine = Machine(root, read, base_image, tick, limits or Limits())
    return machine.expansion()


class _Scope:
    """What names mean where an expression stands, kept until all labels have their values."""

    __slots__ = ("defines", "keys", "space")

    def __init__(self, keys: dict[str, str], space: str, defines: frozenset[str] | None = None) -> None:
        self.keys = keys
        self.space = space
        self.defines = defines      # those there are, where somebody asks


_TOP = _Scope({}, "")


class Machine:
    """One root, one execution; `Environment` of its expressions."""

    dropped = _Drop

    def __init__(self, root: Root, read: Read, base_image: bytes, tick: Callable[[], None] | None,
                 limits: Limits) -> None:
        self.root = root
        self.dialect = root.dialect
        self.modern = root.dialect is Dialect.ASAR_2
        self.read = read
        self.tick = tick
        self.limits = limits
        self.base_image = base_image
        self.compilers: dict[tuple[str, Rules], Compiler] = {}
        self.prepared: dict[str, _Lines | None] = {}
        self.faults: dict[str, list[tuple[int, str, str]]] = {}     # 2.0: what is wrong with a file as it is read
        self.binaries: dict[str, bytes | None] = {}
        self.inactive: dict[str, tuple[Block, ...]] = {}
        self.templates: dict[str, tuple[str, ...] | None] = {}
        self.labels: dict[str, int] = {}
        self.static: set[str] = set()
        self.structs: dict[str, tuple[int, int, int, bool]] = {}    # name -> size, object size, end, static
        self.priority = self.modern     # `asar 1.90` holds for all passes
        self.total = 0
        self.out = Expansion()
        self.scope = _TOP
        self.region = -1            # of the branch that is being evaluated
        self.mode = MappingMode.LOROM
        self.problems: list[Problem] = []
        self.placing = False        # another pass is needed: this one gave the lengths of what is to be placed
        self.placed = False         # something was sought in the image
        self.stopped = False        # by an error, before the end

    def expansion(self, again: bool = False) -> Expansion:
        """Execute. ``again``: with the labels of the time before, which nearly always spares a pass."""
        self.total = 0
        first = 1 if again and not self.placed else 0
        for number in range(first, MAX_PASSES):
            before = dict(self.labels) if number else {}
            earlier = self.problems if number > first else []
            self.start(number)
            self.stopped = True
            with suppress(Fatal):
                self.go()
                self.stopped = False
            if first and number == first and (self.stopped or (self.priority and not self.modern and not self.asked)):
                self.structs, self.priority = {}, self.modern
                return self.expansion()     # what was known from before does not hold, or would not be reached
            self.placing = self.placing and not self.stopped
            self.finish()
            structs, self.structs = self.structs, dict(self.struct_log)
            if number:
                for name in self.labels.keys() - self.now.keys():
                    del self.labels[name]
            if self.stopped and self.placed:        # no further pass; what the first one found is told all the same
                self.problems = [*earlier, *(one for one in self.problems if one not in earlier)]
                break
            if number > first or first == 0:
                if (number and not self.placing) or not self.wrong_guess():
                    break
            elif (_same_names(self.labels, before) and self.structs == structs and not self.placing
                  and not self.wrong_guess()):
                break
        if self.modern and self.pass_number and not self.placing:
            moving_2(self)
        self.out.passes, self.out.lines = self.pass_number + 1, self.total
        return self.told()

    def told(self) -> Expansion:
        """What is found so far, with all that is read off the state at the end of the program."""
        out = self.out
        out._labels = out._data = None
        out.values, out.mapping_mode, out.defines = self.labels, self.mode, self.defines
        out.structs = {name: (size, whole) for name, (size, whole, _, _) in self.structs.items()}
        out.macros = {name: (out.files[macro.file], macro.row, macro.parameters) for name, macro in self.macros.items()}
        out.problems, out.reasons = tuple(self.problems), Counter(self.reason_log)
        return out

    def forget(self, path: str) -> None:
        """The file at ``path`` is another one now."""
        self.prepared.pop(path, None)
        self.binaries.pop(path, None)

    # --- a pass ------------------------------------------------------------------------------------------------------

    def start(self, number: int) -> None:
        self.pass_number = number
        self.placing = False
        self.final = number > 0     # Asar would know every label by now
        self.arch = "65816"
        self.mode = MappingMode.LOROM
        self.sa1_banks = SA1_BANKS
        self.rules = Rules(self.dialect, self.priority, not self.priority)
        self.compiler = self.compiler_of()
        self.pos = self.real = self.origin = self.real_origin = UNSET
        self.space = ""
        self.spaces: list[str] = []
        self.nested = False
        self.space_stack: list[tuple[str, list[str], bool]] = []
        self.sub: list[str] = []
        self.plus: Counter[int] = Counter()
        self.minus: Counter[int] = Counter()
        self.shape_reads: set[str] = set()          # labels that were looked up while the program was placed
        self.macros: dict[str, _Macro] = {}
        self.functions: dict[str, tuple[tuple[str, ...], str]] = {}
        self.functions_version = next(_versions)    # of all machines: what a condition gave is true under one version
        self.impure: set[str] = set()               # user functions that look at anything but their arguments
        self.defines: dict[str, str] = {"assembler": "asar", "assembler_ver": "20000" if self.modern else "10901"}
        self.builtin = frozenset(self.defines) | ({"assembler_time"} if self.modern else frozenset())
        for name, value in self.root.defines:
            self.defines[name.lstrip("!")] = value
        self.poisoned: set[str] = set()
        self.pc_stack: list[tuple[int, int, int, int, str, int, int, int]] = []
        self.base_stack: list[int] = []
        # None: each character stands for itself; a dictionary in 2.0, where any code point can be in it
        self.table: list[int] | dict[int, int] | None = None
        self.tables: list[list[int] | dict[int, int] | None] = []
        self.fill_with = b"\0" * 12
        self.pad_with = b"\0" * 12
        self.optimize_bank = -1
        self.optimize_dp = "always" if self.modern else "none"
        self.optimize_address = "mirrors" if self.modern else "default"
        self.dp_base = 0
        self.cross = True           # bank borders are watched
        self.half = False
        self.in_struct = ""
        self.struct_parent = ""
        self.struct_static = False
        self.struct_base = 0
        self.struct_back: tuple[Any, ...] = ()
        self.block: tuple[int, str, int] | None = None      # spcblock: address of its size, namespace outside, entry
        self.included_once: set[str] = set()
        self.defining = 0           # 2.0: definitions of macros around the line that is looked at
        self.struct_names: set[str] = set()
        self.free_settings: dict[str, int] = {}
        self.prot_end = UNSET
        self.next_region = UNPLACED
        self.free_number = 1
        self.free_id = 0
        self.free_start = 0
        self.free_extra = 0
        self.free_code = False
        self.free_byte = 0
        self.head = -1              # number of the write that would be the first of a freespace block
        self.head_used = False      # it is a `prot`
        self.optimized = 0          # 1: `optimize dp` was there, 2: `optimize address`
        self.warnings_pushed = 0
        self.asked = False          # for the arithmetic of `asar 1.90`
        self.xkas = False
        self.inline = False         # `arch spc700-inline`
        self.inline_head = -1       # the write that holds the size of its block
        self.entry: Any = None      # what `startpos` names
        self.repeat = 1
        self.numif = self.numtrue = 0
        self.else_done: dict[int, bool] = {}
        self.loops: dict[int, _Loop] = {}
        self.turns = 0
        self.unsure: int | None = None              # the level of an `if` whose condition is not known
        self.unsure_reason = ""
        self.unsure_matters = False
        self.calls_made = 0
        self.guesses: list[tuple[tuple[str, ...], int, int, int, tuple[Any, ...]]] = []
        self.problems = []
        self.struct_log: list[tuple[str, tuple[int, int, int, bool]]] = []
        self.reason_log: list[str] = []             # why something is not known
        self.label_log: list[str] = []              # in the order in which they were set
        self.last_mark: dict[int, int] = {}
        self.deferred: list[tuple[list[str], _Scope, int, int, int]] = []   # assertions: words, scope, place, pos, real
        self.frames: list[_Frame] = []
        self.file_number: dict[str, int] = {}
        self.place = 0
        self.written = 0
        self.held = 0
        out = self.out = Expansion()
        out._machine = self
        self.modes = out._modes
        self.now: dict[str, int] = out.places
        if number == 0:
            self.labels = {}
            self.static = set()
            self.placed = False
            self.free = Freespace(self.base_image) if self.base_image and not self.modern else None
        if self.free is not None:
            self.free.events.clear()

    def compiler_of(self) -> Compiler:
        key = (self.arch, self.rules)
        found = self.compilers.get(key)
        if found is None:
            found = self.compilers[key] = Compiler(self.dialect, self.arch, self.rules)
        return found

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
            COMMANDS["arch"](self, ["arch", "65816"])       # closes the last block of the sound processor's
        if self.warnings_pushed:
            self.problem("pushwarnings_without_pullwarnings", "a `warnings push` has no `warnings pull`")
        self.end_freespace()
        if self.free is not None and not self.placing and not self.stopped:
            for code, message, place in self.free.finish(self.labels):
                self.problem(code, message, place)
            self.out._image = self.free.image.writes

    def wrong_guess(self) -> bool:
        """Was any size taken from a label that came later, and would be another now?"""
        if self.placing:
            return True
        for keys, literal, used, position, how in self.guesses:
            if self.width_of(keys, literal, position, how) != used:
                return True
        return False

    # --- problems ----------------------------------------------------------------------------------------------------

    def problem(self, code: str, message: str, place: int | None = None, severity: Severity = Severity.ERROR) -> None:
        if len(self.problems) >= self.limits.problems and code != "nayru_limit":
            return
        place = self.place if place is None else place
        path = self.out.files[place >> 24 & 0xFFFF] if self.out.files else self.root.path
        row = place & 0xFFFFFF
        self.problems.append(Problem(path, Span(row, row), "E" + code, severity, message))

    def drop(self, code: str, message: str) -> _Drop:
        self.problem(code, message)
        return _Drop()

    def mapping(self) -> Mapping:
        return Mapping(self.mode, self.sa1_banks)

    def unknown(self, reason: str) -> None:
        """What follows has no known place until the next `org`."""
        self.reason_log.append(reason)
        self.next_region += 1
        self.pos = self.real = self.origin = self.real_origin = self.next_region << REGION | 0x8000

    # --- frames ------------------------------------------------------------------------------------------------------

    def source(self, path: str) -> _Lines | None:
        if path not in self.prepared:
            data = self.read(path)
            text = "" if data is None else data.decode("utf-8", "surrogateescape")
            if self.modern and data is not None:
                if not text.isascii() and _ESCAPED.search(text):
                    text = ""
                    self.faults[path] = [(0, "invalid_utf8", "this file is not UTF-8: Asar 2.0 reads nothing else")]
                else:
                    self.faults[path] = faults_2(text)
            self.prepared[path] = None if data is None else _Lines(prepared_lines(text, self.dialect))
        return self.prepared[path]

    def found(self, name: str, from_path: str) -> list[str]:
        """Every path that Asar would try for ``name``."""
        name = name.replace("\\", "/")
        if name.startswith("/") or re.match(r"[A-Za-z]:", name):
            return [posixpath.normpath(name)]
        # Last comes the folder that Asar was started in: nearly always that of the root.
        folders = [posixpath.dirname(from_path), *self.root.include_paths, posixpath.dirname(self.root.path)]
        return [posixpath.normpath(posixpath.join(folder, name)) for folder in folders]

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
            self.push(_Frame(lines, number, 0, call, self.frames[-1].macro if self.frames else None, self.numif))
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

    def push(self, frame: _Frame) -> None:
        if len(self.frames) >= self.limits.depth:
            self.problem("recursion_limit", f"macros and includes are nested more than {self.limits.depth} deep")
            raise Fatal
        self.frames.append(frame)

    def leave(self) -> None:
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

    first_border = 1 << 31      # `Live` wants to be asked at every file and from there on

    def at_border(self, frame: _Frame, index: int) -> bool:
        """A line of a file at which `Live` may stop; True ends the loop."""
        return False

    def loop(self) -> None:
        """Go through all frames; the hot path of the whole."""
        frames = self.frames
        bottom = 0
        out = self.out
        add_object, add_at, add_real = out._objects.append, out._at.append, out._real.append
        add_place, add_size = out._place.append, out._sizes.append
        countdown = TICK
        while len(frames) > bottom:
            frame = frames[-1]
            depth = len(frames)
            lines = frame.lines
            count = len(lines)
            blocks, at = frame.blocks, frame.at
            base = frame.call << 40 | frame.file << 24 | frame.row
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
                        self.leave()
                        break
                    if index >= frame.border and self.at_border(frame, index):
                        return
                    frame.index = index
                    frame.online = True
                    self.place = base + index
                    countdown -= 1
                    if not countdown:
                        countdown = TICK
                        self.tock()
                    at = 0
                    try:
                        blocks = self.fetch(frame, lines[index])
                    except _Drop:
                        blocks = ()
                    except Unknown as reason:
                        blocks = ()
                        self.unknown(str(reason))
                    except Wrong as wrong:
                        blocks = ()
                        self.problem(wrong.code, str(wrong))
                    frame.blocks = blocks
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
                            self.repeated(block)
                            continue
                        if type(obj) is not bytes:
                            size, obj = self.code(size, obj)
                        if self.pos < 0:
                            self.without_org()
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
                        self.call_macro(block[2], block[3])
                        break
                    if kind == COMMAND:
                        frame.at = at
                        self.command(block)
                        if len(frames) != depth or frame.at != at:
                            break
                    elif kind == ASSIGN:
                        self.assign(block[2], block[3])
                    elif kind == BAD:
                        if not block[2]:
                            raise Unknown(block[3])
                        self.problem(block[2], block[3])
                except _Drop:
                    pass
                except Unknown as reason:
                    self.unknown(str(reason))
                except Wrong as wrong:
                    self.problem(wrong.code, str(wrong))

    def tock(self) -> None:
        self.total += TICK
        if self.total > self.limits.lines:
            self.problem("nayru_limit", f"cut after {self.limits.lines:,} executed lines")
            raise Fatal
        if self.tick is not None:
            self.tick()

    def next_control(self, frame: _Frame, index: int) -> int:
        """Inside a branch that is not taken: the next line that may end it."""
        lines = frame.lines
        if self.unsure is not None:
            return index
        nexts = lines.controls
        if nexts is None:
            nexts = lines.controls = _control_lines(lines, self.modern)
        found = nexts[index] if index < len(lines) else index
        if frame.macro is None and found > index:
            self.out._skipped.append((frame.file, index, found))
        return found

    def fetch(self, frame: _Frame, text: str) -> tuple[Block, ...]:
        """The blocks of a line: arguments and defines replaced, compiled. Definitions of macros are read here."""
        if self.numif != self.numtrue:
            return self.skipped_line(frame, text)
        macro = frame.macro
        if macro is None:
            log = len(self.out.define_log)
            if self.last_mark.get(frame.file) != log:
                self.last_mark[frame.file] = log
                self.out._marks.append((frame.file, frame.index, log))
            if text[0] in "dD" and DATA_ROW.match(text) and self.cross and not self.half:
                return self.rows(frame)
        elif "<" in text or macro.variadic:
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
        return self.compiler.line(text)

    def rows(self, frame: _Frame) -> tuple[Block, ...]:
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
        if self.repeat != 1 or (self.pos >= 0 and (self.pos + found.size - 1 ^ self.pos) & 0xFF0000):
            return (((), CODE, row_size(lines[first]), lines[first]),)  # the row that leaves the bank is to be named
        frame.index = found.end - 1
        return (((), CODE, found.size, found),)

    def skipped_line(self, frame: _Frame, text: str) -> tuple[Block, ...]:
        found = self.inactive.get(text)
        if found is None:
            found = self.inactive[text] = tuple(
                [((), CONTROL, words_of(part)[0].lower(), (part, more)) for part, more in _control_parts(text)])
        if frame.macro is None:
            self.out._skipped.append((frame.file, frame.index, frame.index + 1))
        if self.unsure is not None:
            self.look_at_unsure(text)
        return found

    def look_at_unsure(self, text: str) -> None:
        """A branch that may or may not be taken: what would it change?"""
        for part in blocks_of_text(text):
            match = re.match(r"!\{?(\w+)\}?" + _DEFINING.pattern, part, re.ASCII)
            if match is not None:
                self.poisoned.add(match.group(1))
            elif not re.match(r"(?i)(?:print|error|warn|assert|if|elseif|else|endif|warnings)\b|$", part):
                self.unsure_matters = True

    def end_unsure(self) -> None:
        self.unsure = None
        if self.unsure_matters:
            self.unsure_matters = False
            self.unknown(self.unsure_reason)
        else:
            self.reason_log.append(self.unsure_reason)

    # --- text --------------------------------------------------------------------------------------------------------

    def with_arguments(self, frame: _Frame, text: str) -> str:
        """The line with the arguments of the call in place of ``<parameters>``."""
        macro = frame.macro
        assert macro is not None
        parts = macro.templates.get(text)
        if parts is None:
            parts = macro.templates[text] = self.template(macro, text)
        if len(parts) == 1:
            only = parts[0]
            return only if type(only) is str else ""
        arguments = frame.arguments
        texts = []
        for part in parts:
            if type(part) is str:
                texts.append(part)
                continue
            if type(part) is int:
                value = arguments[part] if part < len(arguments) else ""
            else:
                value = self.argument(macro, arguments, part[0])
            if value[:1] == '"':
                bare = unquoted_2(value) if self.modern else unquoted(value)
                value = value if bare is None else bare
            texts.append(value)
        out = "".join(texts)
        if len(out) > self.limits.text:
            raise self.drop("nayru_limit", f"this line expands to more than {self.limits.text:,} characters")
        if out and (out[0] == " " or out[-1] == " " or "  " in out or ", " in out):
            return folded(out)
        return out

    def template(self, macro: _Macro, text: str) -> tuple[Any, ...]:
        """Literal texts, indexes of arguments, and ``(name,)`` where a name is to be worked out at each call."""
        if self.modern:
            return template_2(macro, text)
        parts: list[Any] = []
        at = 0
        if macro.variadic and "sizeof(...)" in text:
            before, after = text.split("sizeof(...)", 1)
            return (*self.template(macro, before), ("sizeof(...)",), *self.template(macro, after))
        for match in _ARGUMENT.finditer(text):
            name = match.group(1)
            parts.append(text[at:match.start()] if name is not None else text[at:match.end()])
            at = match.end()
            if name is None:
                continue
            if name in macro.parameters and name != "...":
                parts.append(macro.parameters.index(name))
            else:
                parts.append((name,))
        parts.append(text[at:])
        return tuple(parts)

    def argument(self, macro: _Macro, arguments: tuple[str, ...], name: str) -> str:
        if self.modern:
            return argument_2(self, macro, arguments, name)
        if name == "sizeof(...)":
            return str(len(arguments) - len(macro.parameters) + 1)
        if "!" in name:
            name = self.resolved(name)
        if name in macro.parameters:
            at = macro.parameters.index(name)
            if at < len(arguments):
                return arguments[at]
        if not macro.variadic:
            raise self.drop("macro_param_not_found", f"`{macro.name}` has no parameter `{name}`")
        inner = name[4:-1] if name.startswith("...[") else name
        number = self.compiler.expression(inner).integer(self)
        extra = arguments[len(macro.parameters) - 1:]
        if not 0 <= number < len(extra):
            raise self.drop("vararg_out_of_bounds", f"there is no argument number {number} here")
        return extra[number]

    def resolved(self, text: str) -> str:
        """``text`` with its defines replaced; assignments at the start of a block are done on the way."""
        parts = self.templates.get(text)
        if parts is None and text not in self.templates:
            parts = _define_template(text)
            if len(self.templates) > MAX_TEMPLATES:
                self.templates.clear()
            self.templates[text] = parts
        if parts is not None:
            defines = self.defines
            texts = []
            name = False
            for part in parts:
                if name:
                    value = defines.get(part)
                    if value is None or "!" in value or "\\" in value or (
                            self.modern and ('"' in value or "'" in value)):
                        break
                    texts.append(value)
                else:
                    texts.append(part)
                name = not name
            else:
                return "".join(texts)
        out: list[str] = []
        self.resolve_into(out, text, 0)
        return "".join(out)

    def resolved_outside(self, text: str) -> str:
        """`xkas`: strings stay as they are."""
        return "".join(part if number % 2 else self.resolved(part)
                       for number, part in enumerate(re.split('("[^"]*")', text)))

    def resolve_into(self, out: list[str], text: str, depth: int) -> None:
        if depth > self.limits.depth:
            raise self.drop("recursion_limit", "a define contains itself")
        at, end = 0, len(text)
        while True:
            match = _USE.search(text, at)
            if match is None:
                out.append(text[at:])
                if self.modern and not closed_quotes(whole := "".join(out)):
                    self.problem("mismatched_quotes", f"a quote is not closed in what this becomes: {whole[:100]}")
                    out.clear()
                return
            start = match.start()
            out.append(text[at:start])
            at = match.end()
            if self.defining and match.group() != "!":
                out.append(match.group())       # not yet
                continue
            if match.group() != "!":
                if match.group() == "\\\\" and self.modern and "!" not in text:
                    out.append("\\\\")
                else:
                    out.append(match.group()[1])
                continue
            first = start == 0 or text[max(0, start - 3):start] == " : "
            if self.modern:
                level = at
                while at < end and text[at] == "^":
                    at += 1
                level = at - level
                if level > self.defining:
                    raise self.drop("invalid_depth_resolve", f"there are only {self.defining} macros around this: `!"
                                                             f"{'^' * level}` asks for one further out")
                if level < self.defining:
                    out.append(text[start:at])
                    continue
            if at < end and text[at] == "{":
                close, deep = at + 1, 1
                while close < end and deep:
                    deep += {"{": 1, "}": -1}.get(text[close], 0)
                    close += 1
                    if deep > self.limits.depth:
                        raise self.drop("recursion_limit", f"braces are nested more than {self.limits.depth} deep")
                if deep:
                    raise self.drop("mismatched_braces", "this brace is not closed: add `}`")
                name = text[at + 1:close - 1]
                if "!" in name:
                    inner: list[str] = []
                    self.resolve_into(inner, name, depth + 1)
                    name = "".join(inner)
                at = close
                if _NAME.fullmatch(name) is None:
                    raise self.drop("invalid_define_name", f"`{name}` is no name for a define")
            else:
                named = _NAME.match(text, at)
                if named is None:
                    out.append("!")
                    continue
                name, at = named.group(), named.end()
            operator = _DEFINING.match(text, at) if first else None
            if operator is not None:
                at = self.define(name, operator.group(1), text, operator.end(), depth)
                continue
            value = self.defines.get(name)
            if value is None:
                if name in self.poisoned:
                    raise Unknown(self.unsure_reason or f"`!{name}` is not known")
                raise self.drop("define_not_found", f"`!{name}` is not defined here")
            if "!" in value or "\\" in value:
                self.resolve_into(out, value, depth + 1)
            else:
                out.append(value)
            if sum(map(len, out[-64:])) > self.limits.text or len(out) > self.limits.text:
                raise self.drop("nayru_limit", f"this line expands to more than {self.limits.text:,} characters")

    def define(self, name: str, operator: str, text: str, at: int, depth: int) -> int:
        """An assignment; gives the position behind it."""
        end = len(text)
        if text[at:at + 1] == '"':
            at += 1
            parts = []
            while True:
                close = text.find('"', at)
                if close < 0:
                    raise self.drop("mismatched_quotes", 'this quote is not closed: add `"`')
                parts.append(text[at:close])
                if text[close + 1:close + 2] == '"':
                    parts.append('"')
                    at = close + 2
                    continue
                if close + 1 < end and text[close + 1] != " ":
                    raise self.drop("broken_define_declaration", "something stands behind the value")
                at = close + 1
                break
            value = "".join(parts)
        else:
            close = text.find(" ", at)
            if close < 0:
                close = end
            value = text[at:close]
            at = close
        if at < end and not text.startswith(" : ", at):
            raise self.drop("broken_define_declaration", 'something stands behind the value: put it in quotes ("...")')
        if name in self.builtin:
            raise self.drop("overriding_builtin_define", f"`!{name}` belongs to Asar")
        if not self.modern:
            value = folded(value)
        if operator == "+=":
            if name not in self.defines:
                raise self.drop("define_not_found", f"`!{name}` is not defined here")
            value = self.defines[name] + value
        elif operator == ":=":
            inner: list[str] = []
            self.resolve_into(inner, value, depth + 1)
            value = "".join(inner)
        elif operator == "#=":
            inner = []
            self.resolve_into(inner, value, depth + 1)
            expression = self.compiler.expression("".join(inner))
            try:
                if not self.is_static(expression):
                    raise self.drop("define_label_math", "a label cannot be in the value of a define")
                value = number_text(expression.value(self))
            except Unknown:
                self.defines.pop(name, None)
                self.poisoned.add(name)
                raise
        elif operator == "?=" and name in self.defines:
            return at
        if len(value) > self.limits.text:
            raise self.drop("nayru_limit", f"`!{name}` would hold more than {self.limits.text:,} characters")
        self.set_define(name, value)
        return at

    def set_define(self, name: str, value: str | None) -> None:
        if value is None:
            self.defines.pop(name, None)
        else:
            self.held += len(value)
            if self.held > self.limits.held:
                self.problem("nayru_limit", f"cut after {self.limits.held:,} characters of defines")
                raise Fatal
            self.defines[name] = value
            self.poisoned.discard(name)
        self.out.define_log.append((name, value, self.place))

    # --- macros ------------------------------------------------------------------------------------------------------

    def define_macro(self, frame: _Frame, text: str) -> None:
        """Take the body of a macro, up to its `endmacro`."""
        lines, first = frame.lines, frame.index
        if self.modern:
            self.define_macro_2(frame, text)
            return
        known = lines.macros.get(first)
        if known is not None and frame.macro is None:
            macro, frame.index = known
            macro.file, macro.row = frame.file, frame.row + first
        else:
            macro = self.new_macro(frame, text)
            if frame.macro is None:
                lines.macros[first] = (macro, frame.index)
        for row in macro.nested:
            self.problem("nested_macro_definition", "a macro cannot be defined inside another", self.place + row)
        if macro.name in self.macros:
            raise self.drop("macro_redefined", f"the macro `{macro.name}` is defined twice")
        self.macros[macro.name] = macro

    def define_macro_2(self, frame: _Frame, text: str) -> None:
        lines, first = frame.lines, frame.index
        known = lines.macros.get(first)
        if known is not None and frame.macro is None and known[0].name not in self.macros:
            macro, frame.index = known
            macro.file, macro.row = frame.file, frame.row + first
            self.macros[macro.name] = macro
            return
        name, parameters, body, end, fixed = read_definition(self, frame, folded(self.resolved(text))[6:])
        frame.index = end
        if name:
            macro = self.macros[name] = _Macro(name, parameters, parameters[-1:] == ("...",), frame.file,
                                               frame.row + first, _Lines(body))
            if fixed and "!" not in text:
                lines.macros[first] = (macro, end)

    def new_macro(self, frame: _Frame, text: str) -> _Macro:
        lines, first = frame.lines, frame.index
        index, deep = first + 1, 1
        nested: list[int] = []
        count = len(lines)
        while index < count:
            line = lines[index]
            start = line[:6].lower()
            if start == "macro ":
                if not self.modern:
                    nested.append(index - first)
                else:
                    deep += 1
            elif start == "endmac" and line.lower() == "endmacro":
                deep -= 1
                if not deep:
                    break
            index += 1
        frame.index = min(index, count - 1)
        if index >= count:
            raise self.drop("unclosed_macro", "this macro is not closed: add `endmacro`")
        head = folded(text[6:])
        match = _MACRO_HEAD.match(head)
        if match is None:
            raise self.drop("broken_macro_declaration", "write `macro name(parameter, ...)`")
        names = tuple(part.strip() for part in match.group(2).split(",")) if match.group(2).strip() else ()
        if any(one != "..." and not _PLAIN_NAME.match(one) for one in names) or len(set(names)) < len(names) or (
                "..." in names[:-1]):
            raise self.drop("broken_macro_declaration", "a parameter of this macro is no name, or there twice")
        return _Macro(match.group(1), names, bool(names) and names[-1] == "...", frame.file, frame.row + first,
                      _Lines(lines[first + 1:index]), tuple(nested))

    def call_macro(self, name: str, arguments: tuple[str, ...]) -> None:
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
        self.push(_Frame(macro.lines, macro.file, macro.row + 1, len(table) - 1, macro, self.numif,
                         arguments=arguments, macro_id=len(table) - 2))

    # --- labels ------------------------------------------------------------------------------------------------------

    def key(self, written: str) -> str:
        """The name under which a label that is written so would be kept, without namespace."""
        first = written[0]
        if first == "+" or first == "-":
            depth = len(written)
            return f":pos_{depth}_{self.plus[depth]}" if first == "+" else f":neg_{depth}_{self.minus[depth]}"
        if first == "?":
            frame = self.frames[-1]
            if frame.macro is None:
                raise Wrong("macro_label_outside_of_macro", f"`{written}` stands outside of a macro")
            rest = written[1:]
            if rest[:1] in ("+", "-"):
                depth = len(rest)
                count = frame.signed(rest[0])[depth]
                return f":macro_{frame.macro_id}_{'pos' if rest[0] == '+' else 'neg'}_{depth}_{count}"
            if rest.startswith("."):
                return self.sub_key(rest, frame.labels)
            return f":macro_{frame.macro_id}_{rest}"
        if first == "." and not self.in_struct:
            return self.sub_key(written, self.sub)
        return written

    def sub_key(self, written: str, parents: list[str]) -> str:
        bare = written.lstrip(".")
        level = len(written) - len(bare)
        if level > len(parents):
            raise Wrong("label_missing_parent", f"`{written}` belongs to no label above it")
        return parents[level - 1] + "_" + bare

    def add_label(self, written: str) -> None:
        """Asar's `addlabel`: a label that stands here."""
        first = written[0]
        declared = first == "#"
        if declared:
            written = written[1:]
            first = written[0]
        if first in "+-" or (first == "?" and written[1:2] in ("+", "-")):
            macro = first == "?"
            sign = written[1] if macro else first
            frame = self.frames[-1]
            if macro and frame.macro is None:
                raise Wrong("macro_label_outside_of_macro", f"`{written}` stands outside of a macro")
            depth = len(written) - macro
            counts = frame.signed(sign) if macro else self.plus if sign == "+" else self.minus
            if sign == "-":
                counts[depth] += 1
            name = self.key(written)
            if sign == "+":
                counts[depth] += 1
            self.set_label(name, None, False)
            return
        bare = written.rstrip(":")
        if self.in_struct:
            if not bare.startswith("."):
                raise Wrong("invalid_label_name", "members of a struct begin with a dot")
            name = f"{self.in_struct}{bare}"
            self.set_label(self.space + name, None, self.struct_static)
            return
        macro = bare[0] == "?"
        inner = bare[1:] if macro else bare
        parents = self.frames[-1].labels if macro else self.sub
        if macro and self.frames[-1].macro is None:
            raise Wrong("macro_label_outside_of_macro", f"`{written}` stands outside of a macro")
        if inner[0].isdigit():
            raise Wrong("invalid_label_name", f"`{written}` is no name for a label")
        if inner[0] == ".":
            level = len(inner) - len(inner.lstrip("."))
            name = self.sub_key(inner, parents)
        else:
            level = 0
            name = f":macro_{self.frames[-1].macro_id}_{inner}" if macro else inner
        if not declared:
            del parents[level:]
            parents.append(name)
        self.set_label(self.space + name, None, False)

    def set_label(self, name: str, value: int | None, static: bool) -> None:
        if value is None:
            if self.pos < 0:
                self.without_org()
            value = self.pos
        if name in self.now:
            before = self.out.where(self.now[name])
            raise self.drop("label_redefined", f"`{name}` is defined twice: also in "
                            f"{before[0].rpartition('/')[2]}, line {before[1] + 1}")
        self.now[name] = self.place
        self.label_log.append(name)
        self.labels[name] = value
        if static:
            self.static.add(name)
        else:
            self.static.discard(name)

    def set_struct(self, name: str, value: tuple[int, int, int, bool]) -> None:
        self.structs[name] = value
        self.struct_log.append((name, value))

    def forward(self, expression: Expression) -> bool:
        """Does it use a label that comes later?"""
        for written in expression.names:
            if written.lstrip("?")[0] == "+":
                return True
            if self.looked_up(self.key(_without_index(written))) is None:
                return True
        return False

    def wanted(self, written: str) -> None:
        """A label that must be there in the end."""
        self.deferred.append((["assert", f"1|{written}"], self.captured((written,)), self.place, self.pos, self.real))

    def assign(self, name: str, expression: Expression) -> None:
        if self.modern and self.forward(expression):
            raise self.drop("label_forward", "this label must be defined above")
        static = self.is_static(expression)
        if not static and not self.modern:
            raise self.drop("label_cross_assignment", "a label cannot be set from another label that is not fixed")
        try:
            value = expression.integer(self) & 0xFFFFFF
        except Unknown as reason:
            self.reason_log.append(str(reason))
            value = UNPLACED << REGION
        if name[0] == "?":
            frame = self.frames[-1]
            if frame.macro is None:
                raise self.drop("macro_label_outside_of_macro", f"`{name}` stands outside of a macro")
            name = f":macro_{frame.macro_id}_{name[1:]}"
        self.set_label(self.space + name, value, static)

    def looked_up(self, key: str) -> str | None:
        """The full name of a label that is already there: in the namespace, else global. Asar decides nothing about the
        shape of a program by a label that comes later."""
        now = self.now
        self.shape_reads.add(key)
        if self.space:
            inside = self.space + key
            self.shape_reads.add(inside)
            if inside in now:
                return inside
        return key if key in now else None

    def is_static(self, expression: Expression) -> bool:
        for written in expression.names:
            name = self.looked_up(self.key(_without_index(written)))
            if name is None or name not in self.static:
                return False
        return True

    # --- the environment of expressions ------------------------------------------------------------------------------

    def label(self, name: str) -> int:
        scope = self.scope
        index = 0
        if "[" in name:
            struct, _, rest = name.partition("[")
            number, _, member = rest.partition("]")
            size = self.structs.get(struct)
            if size is None:
                raise Wrong("struct_not_found", f"there is no struct `{struct}`")
            index = int(number) * size[1]
            name = struct + member
        if scope is _TOP:
            found = self.looked_up(self.key(name))
        else:
            key = scope.keys.get(name, name)
            found = scope.space + key if scope.space and scope.space + key in self.labels else (
                key if key in self.labels else None)
        if found is None:
            raise Wrong("label_not_found", f"there is no label `{name}`")
        position = self.labels[found]
        if position >> REGION >= UNPLACED and position >> REGION != self.region:
            raise Unknown(f"the place of `{name}` is not known")
        return (position & 0xFFFFFF) + index

    def set_function(self, name: str, parameters: tuple[str, ...], body: str) -> None:
        self.functions[name] = (parameters, body)
        inside = self.compiler.expression(body)
        sure = (self.functions.keys() - self.impure - {name}) | (PURE.keys() | PURE_2.keys()) - self.functions.keys()
        if set(inside.names) <= set(parameters) and set(inside.calls) <= sure:
            self.impure.discard(name)
        else:
            self.impure.add(name)
        self.functions_version = next(_versions)

    def function(self, name: str) -> tuple[tuple[str, ...], str] | None:
        return self.functions.get(name)

    def call(self, name: str, arguments: tuple[float | int | str, ...]) -> float | int:
        name = name.lstrip("_")
        if name == "pc":
            if self.pos >> REGION >= UNPLACED:
                raise Unknown("pc() in a place that is not known")
            return self.pos
        if name == "realbase":
            if self.real >> REGION >= UNPLACED:
                raise Unknown("realbase() in a place that is not known")
            return self.real
        if name == "defined":
            return int(str(arguments[0]) in (self.defines if self.scope.defines is None else self.scope.defines))
        if name in ("snestopc", "pctosnes"):
            convert = to_rom if name == "snestopc" else to_snes
            found = convert(self.mode, int(arguments[0]), self.sa1_banks)
            return -1 if found is None else found
        if name in ("sizeof", "objectsize"):
            if self.modern and arguments[0] == "...":
                raise Wrong("macro_not_varadic" if self.place >> 40 else "vararg_sizeof_nomacro",
                            "only a macro that takes `...` has a sizeof(...)")
            struct = self.structs.get(str(arguments[0]))
            if struct is None:
                raise Wrong("struct_not_found", f"there is no struct `{arguments[0]}`")
            return struct[0] if name == "sizeof" else struct[1]
        if name == "datasize":
            return self.data_size(str(arguments[0]))
        if name.startswith("canreadfile"):
            width = int(name[11:] or 0) or int(arguments[2])
            data = self.binary(str(arguments[0]))
            return int(data is not None and 0 <= int(arguments[1]) <= len(data) - width)
        if name.startswith("readfile"):
            width, data, offset = int(name[8:]), self.binary(str(arguments[0])), int(arguments[1])
            if len(arguments) > 2 and (data is None or not 0 <= offset <= len(data) - width):
                return _number(arguments[2])
            if data is None:
                raise Unknown(f"{arguments[0]} is not here")
            if not 0 <= offset <= len(data) - width:
                raise Wrong("file_offset_out_of_bounds", f"{arguments[0]} has no {width} bytes at {offset}")
            return int.from_bytes(data[offset:offset + width], "little")
        if name == "filesize":
            data = self.binary(str(arguments[0]))
            if data is None:
                raise Unknown(f"{arguments[0]} is not here")
            return len(data)
        if name == "getfilestatus":
            return 0 if self.binary(str(arguments[0])) is not None else 1
        if name.startswith(("canread", "read")):
            return self.rom_value(name, arguments)
        raise Wrong("function_not_found", f"there is no function `{name}`")

    def rom_value(self, name: str, arguments: tuple[float | int | str, ...]) -> float | int:
        can = name.startswith("canread")
        digit = name[7:] if can else name[4:]
        width = int(digit) if digit else int(arguments[1])
        offset = to_rom(self.mode, int(arguments[0]), self.sa1_banks)
        if offset is not None and not self.base_image:
            raise Unknown("depends on the base image: set base_image")
        inside = offset is not None and offset + width <= len(self.base_image)
        if can:
            return int(inside)
        if not inside and len(arguments) > 1:
            return _number(arguments[1])
        if offset is None:
            raise Wrong("snes_address_doesnt_map_to_rom", f"${int(arguments[0]):06X} shows no ROM")
        if not inside:
            raise Wrong("snes_address_out_of_bounds", f"${int(arguments[0]):06X} is outside of the base image")
        return int.from_bytes(self.base_image[offset:offset + width], "little")

    def data_size(self, name: str) -> int:
        """Bytes from a label to the one that follows it in the address space, or to its end. Full names only."""
        if self.modern:
            return self.data_size_2(name)
        found = self.labels.get(name)
        if found is None:
            raise Wrong("label_not_found", f"there is no label `{name}`")
        if found >> REGION >= UNPLACED:
            raise Unknown(f"the place of `{name}` is not known")
        address = found & 0xFFFFFF
        return min((one & 0xFFFFFF for one in self.labels.values()
                    if one >> REGION < UNPLACED and one & 0xFFFFFF > address), default=0xFFFFFF) - address

    def data_size_2(self, name: str) -> int:
        """Bytes to the label that was made after this one; names are whole ones here, whatever the namespace."""
        if name not in self.labels:
            raise Wrong("label_not_found", f"there is no label `{name}`")
        position = self.labels[name]
        names = iter(self.now)
        following = next((next(names, None) for one in names if one == name), None)
        end = 0xFFFFFF if following is None else self.labels[following]
        if (end ^ position) >> REGION:
            raise Unknown(f"the place of `{name}` is not known")
        return end - position

    def binary(self, name: str) -> bytes | None:
        from_path = self.out.files[self.place >> 24 & 0xFFFF] if self.out.files else self.root.path
        for path in self.found(name, from_path):
            if path not in self.binaries:
                self.binaries[path] = self.read(path)
            if self.binaries[path] is not None:
                return self.binaries[path]
        return None

    # --- code --------------------------------------------------------------------------------------------------------

    def captured(self, names: tuple[str, ...], calls: tuple[str, ...] = ()) -> _Scope:
        keys = {}
        for written in names:
            bare = _without_index(written)
            try:
                keys[bare] = self.key(bare)
            except Wrong:
                continue        # said when it is evaluated
        return _Scope(keys, self.space, frozenset(self.defines) if "defined" in calls else None)

    def code(self, size: int, obj: Any) -> tuple[int, Any]:
        """What is kept of an instruction or data that waits for values: its size, and itself with its scope."""
        kind = type(obj)
        if kind is str or kind is Rows:
            return size, obj
        if self.table is not None and kind is not Chosen and any(one.characters for one in obj.expressions):
            obj = self.with_table(obj)
            if type(obj) is bytes:
                return len(obj), obj
        if kind is Code:
            if self.free is not None and self.free_id and obj.asks:
                self.leave_room(obj.expression, 1 if self.optimized == 3 else 2)
            if not size:
                expression = obj.expression
                keys = tuple([self.key(_without_index(name)) for name in expression.names])
                back = self.optimize_bank
                if obj.bank is not None:
                    self.optimize_bank = obj.bank
                width = self.chosen_width(keys, max(expression.literal_width, 2 if expression.calls else 0))
                self.optimize_bank = back
                opcode = obj.opcode(width)
                if opcode is None:
                    raise self.drop("bad_access_width" if self.modern else "unknown_command",
                                    f"{obj.fixed.mnemonic} takes no operand of {width} bytes here")
                size = opcode.size
                if obj.scoped or self.space:
                    return size, (obj, opcode, self.captured(expression.names, expression.calls))
                return size, (obj, opcode, None)
            if obj.scoped or (self.space and obj.expression.names):
                names = obj.expression.names if obj.second is None else obj.expression.names + obj.second.names
                return size, (obj, obj.fixed, self.captured(names, obj.expression.calls))
            return size, obj
        if kind is Data:
            if obj.strings:
                obj = self.with_strings(obj)
                if type(obj) is bytes:
                    return len(obj), obj
                size = sum(len(item) if type(item) is bytes else obj.unit for item in obj.items)
            if obj.scoped or self.space:
                names = tuple([name for item in obj.items if type(item) is Expression for name in item.names])
                if names or obj.scoped:
                    calls = tuple([name for one in obj.expressions for name in one.calls])
                    return size, (obj, None, self.captured(names, calls))
            return size, obj
        if kind is Chosen:
            return self.chosen_form(obj)
        names = tuple([name for one in obj.expressions for name in one.names])
        if obj.scoped or (names and self.space):
            return size, (obj, None, self.captured(names))
        return size, obj

    def leave_room(self, expression: Expression, room: int) -> None:
        """In freespace Asar leaves ``room`` bytes for an operand with a label that it does not know (or a function,
        which it takes for one), once for each time that it asks for its width."""
        labels, space = self.labels, self.space
        unknown = bool(expression.calls)
        for name in expression.names:
            if name.lstrip("?")[0] not in "+-":
                key = self.key(_without_index(name))
                unknown = unknown or not (key in labels or space + key in labels)
        if unknown:
            self.free_extra += room

    def chosen_form(self, obj: Chosen) -> tuple[int, Any]:
        def width(text: str) -> int:
            expression = self.compiler.expression(text)
            keys = tuple([self.key(_without_index(name)) for name in expression.names])
            if self.free is not None and self.free_id:
                self.leave_room(expression, 1)
            return max(1, self.chosen_width(keys, max(expression.literal_width, 2 if expression.calls else 0)))

        form = obj.read(obj.mnemonic, obj.suffix, obj.operand, width)
        if form is None:
            raise self.drop("unknown_command", f"`{obj.mnemonic}` takes no such operand")
        made = Foreign(form, tuple([self.compiler.expression(text) for text in form.expressions]))
        return self.code(form.size, made)

    def with_table(self, obj: Any) -> Any:
        """Character literals through the character table as it is now."""
        table = self.table if isinstance(self.table, dict) else dict(enumerate(self.table or ()))

        def seen(one: Expression) -> Expression:
            return compile_expression(one.text, self.rules, table) if one.characters else one

        if type(obj) is Data:
            return Data(obj.unit, tuple(seen(item) if type(item) is Expression else item for item in obj.items))
        if type(obj) is Code:
            return Code(seen(obj.expression), obj.by_width, obj.second and seen(obj.second), obj.branch,
                        target=obj.target, bank=obj.bank)
        return Foreign(obj.form, tuple(seen(one) for one in obj.expressions))

    def with_strings(self, data: Data) -> Any:
        """Strings through the character table as it is now."""
        items: list[Expression | bytes] = []
        for item in data.items:
            if not isinstance(item, str):
                assert not isinstance(item, bytes)
                items.append(item)
                continue
            codes = [ord(letter) for letter in item] if self.modern else list(item.encode("utf-8", "surrogateescape"))
            if isinstance(self.table, dict):
                codes = [self.table.get(code, code) for code in codes]
            elif self.table is not None:
                codes = [self.table[code] if code < 256 else code for code in codes]
            items.append(b"".join(pack(code, data.unit) for code in codes))
        if all(isinstance(item, bytes) for item in items):
            return b"".join(item for item in items if isinstance(item, bytes))
        return Data(data.unit, tuple(items))

    def how(self) -> tuple[Any, ...]:
        return (self.space, self.optimize_bank, self.optimize_dp, self.optimize_address, self.dp_base, self.free_code)

    def chosen_width(self, keys: tuple[str, ...], literal: int) -> int:
        """Bytes of an operand; a guess where a label is not there yet."""
        how = self.how()
        position = self.real if self.free_id and self.modern else self.pos      # in freespace also under a `base`
        width = self.width_of(keys, literal, position, how)
        self.guesses.append((keys, literal, width, position, how))
        return width

    def width_of(self, keys: tuple[str, ...], literal: int, position: int, how: tuple[Any, ...]) -> int:
        space, for_bank, dp, address, dp_base, free_code = how
        labels = self.labels
        width = literal
        for key in keys:
            value = labels.get(space + key) if space else None
            if value is None:
                value = labels.get(key)
            one = 2 if value is None else label_width(value, position, for_bank, dp, address, dp_base, free_code)
            if one > width:
                width = one
        return min(3, max(1, width))

    def without_org(self) -> None:
        self.problem("missing_org", "there is no `org` before this: Asar takes $008000",
                     severity=Severity.ERROR if self.modern else Severity.WARNING)
        self.pos = self.real = self.origin = self.real_origin = 0x8000

    def write(self, data: Any, size: int) -> None:
        """One more write at the current place."""
        if self.pos < 0:
            self.without_org()
        self.written += size
        if self.written > self.limits.output:
            self.problem("nayru_limit", f"cut after {self.limits.output:,} bytes of output")
            raise Fatal
        out = self.out
        out._objects.append(data)
        out._at.append(self.pos)
        out._real.append(self.real)
        out._place.append(self.place)
        out._sizes.append(size)
        self.step(size)

    def put(self, data: bytes, position: int) -> None:
        """A write somewhere else, which moves nothing."""
        here = self.pos, self.real, self.origin, self.real_origin
        self.pos = self.real = self.origin = self.real_origin = position
        cross, self.cross = self.cross, False
        self.write(data, len(data))
        self.cross = cross
        self.pos, self.real, self.origin, self.real_origin = here

    def repeated(self, block: Block) -> None:
        count, self.repeat = self.repeat, 1
        size, obj = block[2], block[3]
        if count * max(1, size) > self.limits.output:
            raise self.drop("nayru_limit", f"repeated {count:,} times")
        for _ in range(max(0, count)):
            one, kept = self.code(size, obj) if type(obj) is not bytes else (size, obj)
            self.write(kept, one)

    def step(self, size: int) -> None:
        if self.cross:
            self.pos += size
            self.real += size
            if (self.pos ^ self.origin) & 0xFF0000 or self.half:
                self.crossed()
            return
        self.pos = self.pos >> REGION << REGION | self.stepped(self.pos & 0xFFFFFF, size)
        self.real = self.real >> REGION << REGION | self.stepped(self.real & 0xFFFFFF, size)
        self.origin, self.real_origin = self.pos, self.real

    def stepped(self, address: int, size: int) -> int:
        """`check bankcross off`: on to the next bank where this mapping mode has it."""
        mode = self.mode
        beyond = (address & 0xFFFF) + size > 0xFFFF
        if mode in (MappingMode.EXLOROM, MappingMode.FULLSA1ROM):
            offset = to_rom(mode, address)
            found = None if offset is None else to_snes(mode, offset + size)
            return 0xFFFFFF if found is None else found
        if beyond and (mode is MappingMode.LOROM or (mode is not MappingMode.NOROM and not address & 0x400000)):
            return address + size + 0x8000
        return address + size

    def crossed(self) -> None:
        mask = 0x7FFF0000 | (0x8000 if self.half else 0)
        for one, start in ((self.pos, self.origin), (self.real, self.real_origin)):
            if start >= 0 and (one ^ start) & mask and (one - 1 ^ start) & mask:
                self.problem("bank_border_crossed", f"the end of the bank is passed at ${one & 0xFFFFFF:06X}")
                raise Fatal

    # --- conditions and loops ----------------------------------------------------------------------------------------

    def control(self, frame: _Frame, block: Block) -> None:
        word, words = block[2], block[3]
        skipped = type(words) is tuple      # a line that was not expanded
        more = words[1] if skipped else frame.at < len(frame.blocks)
        if not frame.online and word in ("if", "while", "for", "assert"):
            return
        if word == "assert":
            if self.numif == self.numtrue:
                self.later(words)
            return
        if word in ("if", "while", "for"):
            self.open_condition(frame, word, words, skipped, more)
        elif word == "elseif":
            self.else_if(frame, words, skipped, more)
        elif word == "else":
            frame.online = True
            if not self.numif:
                raise Wrong("misplaced_else", "there is no `if` for this `else`")
            if self.loops[self.numif - 1].kind != "if":
                raise Wrong("else_in_while_loop", "`else` belongs to an `if`, this is a loop")
            if self.numif == self.numtrue:
                self.numtrue -= 1
            elif self.numif == self.numtrue + 1 and not self.else_done.get(self.numif):
                self.numtrue += 1
                self.else_done[self.numif] = True
        else:
            if frame.fake:
                frame.fake -= 1
            if self.numif <= (0 if self.modern else frame.conditions):
                raise Wrong("misplaced_endif", f"there is no `{word[3:]}` for this `{word}`")
            loop = self.loops.get(self.numif - 1)
            if self.modern and loop is not None:
                if word != "end" + loop.kind:
                    raise Wrong("misplaced_endif", f"what is open here is closed by `end{loop.kind}`")
                if loop.kind == "for" and more:
                    self.problem("bad_single_line_for", "nothing stands behind `endfor` on its line")
                    loop.again = False
            self.close_condition()
            if loop is not None and loop.kind != "if" and loop.again:
                if loop.kind == "for":
                    self.set_define(loop.variable, loop.backup)
                if loop.kind == "for" or loop.row != frame.index:
                    frame.jump = loop.row

    def close_condition(self) -> None:
        self.else_done.pop(self.numif, None)
        if self.numif == self.numtrue:
            self.numtrue -= 1
        self.numif -= 1
        loop = self.loops.get(self.numif)
        if loop is not None and not (loop.kind == "for" and loop.again):
            del self.loops[self.numif]      # what is over has no say in what follows
        if self.unsure is not None and self.numif < self.unsure:
            self.end_unsure()

    def open_condition(self, frame: _Frame, word: str, words: Any, skipped: bool, more: bool) -> None:
        if word == "if" and more and not self.modern:
            frame.fake += 1
        level = self.numif
        loop = self.loops.get(level)
        going_on = (word == "for" and loop is not None and loop.kind == "for" and loop.current < loop.end
                    and loop.row == frame.index)
        if not going_on or loop is None:
            loop = self.loops[level] = _Loop(frame.index, self.place, word)
        self.numif += 1
        if skipped:
            return
        self.else_done[self.numif] = False
        if word == "for":
            if self.modern and frame.at > 1:
                self.numif -= 1
                frame.online = False
                raise Wrong("bad_single_line_for", "`for` is the first on its line")
            self.turn(loop, words, going_on)
            return
        try:
            holds = self.condition(words if type(words) is Words else words[1:], word)
        except Unknown as reason:
            if self.unsure is None:
                self.unsure, self.unsure_reason, self.unsure_matters = self.numif, str(reason), False
            self.else_done[self.numif] = True
            if more and word == "if":
                self.unsure_matters = True
                frame.online = False
            return
        except Wrong:
            if more:
                frame.online = False
            raise
        if holds:
            self.numtrue += 1
            self.else_done[self.numif] = True
            if word == "while":
                self.count_turn()
        elif more:
            frame.online = False
        loop.again = holds

    def count_turn(self) -> None:
        self.turns += 1
        if self.turns > self.limits.loops:
            self.problem("nayru_limit", f"this loop was cut after {self.limits.loops:,} turns")
            raise Fatal

    def turn(self, loop: _Loop, words: list[str], going_on: bool) -> None:
        if not going_on:
            text = " ".join(words[1:])
            match = re.match(r"(\w+) *= *(.+)\Z" if self.modern else r"(\w+) = (.+)\Z", text, re.ASCII)
            ends = match.group(2).split("..", 1) if match is not None else []
            if match is None or len(ends) != 2:
                raise self.drop("broken_for_loop", "write `for name = first..end`")
            first, end = (self.compiler.expression(part.strip()) for part in ends)
            if not self.is_static(first) or not self.is_static(end):
                raise self.drop("label_in_conditional", "a label cannot stand in a condition")
            loop.variable = match.group(1)
            loop.current, loop.end = first.integer(self), end.integer(self)
        else:
            loop.current += 1
        loop.again = loop.current < loop.end
        if loop.again:
            self.count_turn()
            self.numtrue += 1
            self.else_done[self.numif] = True
            loop.backup = self.defines.get(loop.variable)
            self.set_define(loop.variable, str(loop.current))

    def else_if(self, frame: _Frame, words: Any, skipped: bool, more: bool) -> None:
        if not self.numif:
            raise Wrong("misplaced_elseif", "there is no `if` for this `elseif`")
        if self.numtrue != self.numif and self.numtrue + 1 != self.numif:
            return
        if self.loops[self.numif - 1].kind == "while":
            raise Wrong("elseif_in_while", "`elseif` belongs to an `if`, this is a loop")
        if self.numif == self.numtrue:
            self.numtrue -= 1
            return
        if self.else_done.get(self.numif):
            return
        if skipped:
            text = words[0]
            if frame.macro is not None and "<" in text:
                text = self.with_arguments(frame, text)
            blocks = self.compiler.line(folded(self.resolved(text)))
            words = blocks[0][3] if blocks else []
        try:
            holds = self.condition(words, "elseif")
        except Unknown as reason:
            self.unsure, self.unsure_reason, self.unsure_matters = self.numif, str(reason), False
            self.else_done[self.numif] = True
            return
        if holds:
            if more:
                frame.online = True
            self.numtrue += 1
            self.else_done[self.numif] = True

    def condition(self, words: list[str], word: str) -> bool:
        """Does it hold? 1.91 reads words (``a == b && c``), 2.0 one expression."""
        if type(words) is Words:
            if words.version == self.functions_version:
                return words.holds
            holds = self.condition(list(words), word)
            if words.pure and self.impure.isdisjoint(words.calls):
                words.version, words.holds = self.functions_version, holds
            return holds
        if not words:
            raise self.drop("broken_command" if self.modern else "broken_conditional", f"`{word}` needs a condition")
        if self.modern:
            expression = self.compiler.expression(" ".join(words))
            if word != "assert" and not self.is_static(expression):
                raise self.drop("label_in_conditional", "a label cannot stand in a condition")
            return int(expression.value(self)) != 0
        at = 0
        joiner = ""
        while True:
            if at >= len(words):
                raise self.drop("broken_conditional", f"this `{word}` ends too early")
            operator = words[at + 1] if at + 1 < len(words) else ""
            if operator in ("", "&&", "||"):
                text = words[at]
                negated = text.startswith("!")
                holds = (self.operand(text[1:] if negated else text, word) > 0) is not negated
                at += 1
            else:
                if at + 2 >= len(words) or operator not in _CONDITION_OPERATORS:
                    raise self.drop("broken_conditional", f"this `{word}` is not understood: write `a == b`, spaced")
                holds = _compared(self.operand(words[at], word), operator, self.operand(words[at + 2], word))
                at += 3
            operator = words[at] if at < len(words) else ""
            if not operator:
                return holds
            if operator not in ("&&", "||"):
                raise self.drop("broken_conditional", f"`{operator}` joins no conditions: write && or ||")
            if joiner and joiner != operator:
                raise self.drop("invalid_condition", "&& and || cannot be mixed in one condition")
            joiner = operator
            if holds is (operator == "||"):
                return holds
            at += 1

    def operand(self, text: str, word: str) -> int | float:
        expression = self.compiler.expression(text)
        if expression.names and word != "assert" and not self.is_static(expression):
            raise self.drop("label_in_conditional", "a label cannot stand in a condition")
        return expression.value(self)

    def later(self, words: list[str]) -> None:
        """An assertion may use every label: it is judged at the end."""
        names: list[str] = []
        for text in split_list(" ".join(words[1:]))[:1]:
            for part in [text] if self.modern else words_of(text):
                names.extend(self.compiler.expression(part).names)
        self.deferred.append((words, self.captured(tuple(names)), self.place, self.pos, self.real))

    def judge(self) -> None:
        """The assertions, now that every label is there."""
        for words, scope, place, pos, real in self.deferred:
            self.scope, self.place, self.pos, self.real = scope, place, pos, real
            parts = split_list(" ".join(words[1:]))
            try:
                if words[0].lower() != "assert":
                    said = said_2(self, words)
                    if words[0].lower() == "error":
                        self.problem("error_command", f"the source says: {said}")
                    continue
                if not self.condition(parts[:1] if self.modern else words_of(parts[0]), "assert"):
                    said = "".join(text for part in parts[1:] if (text := unquoted(part)) is not None and '"' in part)
                    self.problem("assertion_failed", f"the assertion does not hold{': ' + said if said else ''}")
            except (_Drop, Unknown):
                pass
            except Wrong as wrong:
                if not self.stopped or wrong.code != "label_not_found":
                    self.problem(wrong.code, str(wrong))
        self.scope = _TOP

    # --- commands -----------------------------------------------------------------------------------------------------

    def command(self, block: Block) -> None:
        name, words = block[2], block[3]
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

    def end_freespace(self) -> None:
        if self.free is not None and self.free_id and self.pos >= 0 and self.pos >> REGION:
            self.free.lengths[self.free_id] = self.pos - self.free_start + self.free_extra
        self.free_id = self.free_extra = 0

    # --- bytes -------------------------------------------------------------------------------------------------------

    def evaluated(self, out: Expansion) -> list[bytes | None]:
        """The bytes of every write; None where a value is not known."""
        kept, reasons = self.problems, self.reason_log      # what is found here stands apart
        self.problems, self.reason_log = [], []
        self.judge()
        if not self.stopped:
            self.unmapped(out)
        done: dict[int, bytes | None] = {}
        data: list[bytes | None] = []
        add = data.append
        ats, places = out._at, out._place
        modes, mode_now, banks_now = deque(out._modes), self.mode, self.sa1_banks
        self.mode, self.sa1_banks = MappingMode.LOROM, SA1_BANKS
        for number, obj in enumerate(out._objects):
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
                self.scope = scope if scope is not None else _BARE
                key = 0
            else:
                op, opcode, scope = obj, None, _BARE
                self.scope = _BARE
                key = 0 if kind is Foreign or (kind is Code and obj.branch) else id(obj)
                if key in done:
                    add(done[key])
                    continue
            self.place, self.real = places[number], out._real[number]
            while modes and modes[0][0] <= number:
                _, self.mode, self.sa1_banks = modes.popleft()
            try:
                made = self.bytes_of(op, opcode, ats[number])
            except Unknown as reason:
                self.reason_log.append(str(reason))
                made = None
            except Wrong as wrong:
                if not self.stopped or wrong.code != "label_not_found":     # it may come later
                    self.problem(wrong.code, str(wrong))
                made, key = None, 0
            if key:
                done[key] = made
            add(made)
        self.mode, self.sa1_banks = mode_now, banks_now
        self.scope = _TOP
        self.region = -1
        out.problems = tuple(kept + self.problems)
        out.reasons = Counter(reasons + self.reason_log)
        self.problems, self.reason_log = kept, reasons
        return data

    def unmapped(self, out: Expansion) -> None:
        """What is written to where no ROM is."""
        modes, mode, banks = deque(out._modes), MappingMode.LOROM, SA1_BANKS
        mapped: set[int] = set()
        for number, real in enumerate(out._real):
            while modes and modes[0][0] <= number:
                _, mode, banks = modes.popleft()
                mapped.clear()
            if real >> 15 not in mapped:
                if not real >> REGION and to_rom(mode, real, banks) is None:
                    if out._sizes[number]:
                        self.problem("snes_address_doesnt_map_to_rom", f"${real:06X} shows no ROM in {mode}",
                                     out._place[number])
                else:
                    mapped.add(real >> 15)

    def bytes_of(self, op: Any, opcode: Any, position: int) -> bytes | None:
        kind = type(op)
        self.pos = position
        self.region = -1
        if kind is Code:
            opcode = opcode or op.fixed
            if op.branch:
                self.region = position >> REGION
                value = op.expression.integer(self)
                size = op.branch
                if self.modern:
                    value = _branch_2(op, value, position & 0xFFFFFF)
                elif op.expression.names:
                    value -= (position & 0xFFFFFF) + 1 + size
                    if not -(1 << 8 * size - 1) <= value < 1 << 8 * size - 1:
                        raise Wrong("relative_branch_out_of_bounds", f"the target is {value:+,} bytes away")
                return bytes([opcode.value]) + pack(value, size)
            value = op.expression.integer(self)
            if op.second is not None:
                return bytes([opcode.value, value & 0xFF, op.second.integer(self) & 0xFF])
            return bytes([opcode.value]) + pack(value, opcode.size - 1)
        if kind is Data:
            unit = op.unit
            if not op.scoped:
                return b"".join([item if type(item) is bytes else pack(item.integer(self), unit) for item in op.items])
            parts = []
            for item in op.items:       # `pc()` moves on from one to the next
                parts.append(item if type(item) is bytes else pack(item.integer(self), unit))
                self.pos += len(parts[-1])
                self.real += len(parts[-1])
            return b"".join(parts)
        values = [one.integer(self) for one in op.expressions]
        made = op.form.encode(position & 0xFFFFFF, values, [bool(one.names) for one in op.expressions])
        if made is None:
            raise Wrong("relative_branch_out_of_bounds", "the target is too far away")
        return bytes(made)


_BARE = _Scope({}, "")


def _same_names(now: dict[str, int], before: dict[str, int]) -> bool:
    """Are the labels that people named where they were? The names of Asar's own are arbitrary; where the size of an
    operand hangs on one of them, it is a guess that is looked at by itself."""
    return all(before.get(name) == value for name, value in now.items() if ":" not in name)


def label_width(value: int, position: int, for_bank: int, dp: str, address: str, dp_base: int, free_code: bool) -> int:
    """Bytes that a label at ``value`` takes as the operand of an instruction at ``position`` (both with their regions),
    by what `bank`, `optimize` and `dpbase` say. Order and cases are Asar's; proven by its bytes."""
    region = value >> REGION
    if not region and (dp != "none" or address != "default"):
        bank, word = value >> 16, value & 0xFFFF
        low = bank == 0x7E or (dp == "always" and not bank & 0x40)
        if dp != "none" and low and 0 <= word - dp_base < 0x100:
            return 1
        if for_bank >= 0:
            from_bank = for_bank
        elif position >> REGION:
            from_bank = 0 if free_code else 0x40
        else:
            from_bank = position >> 16
        if not from_bank & 0x40 and address != "default" and bank == 0x7E and word < 0x2000:
            return 2
        if not from_bank & 0x40 and address == "mirrors" and not bank & 0x40 and word < 0x8000:
            return 2
    if for_bank >= 0:
        return 2 if not region and value >> 16 == for_bank else 3
    if region or position >> REGION:
        return 3 if (value ^ position) >> REGION else 2
    return 3 if (value ^ position) & 0xFF0000 else 2


def _control_parts(text: str) -> list[tuple[str, bool]]:
    """The blocks of a line that is not expanded whose first word opens or closes a condition, and whether more
    blocks follow them."""
    if not _CONTROL_WORD.search(text):
        return []
    parts = [part for part in blocks_of_text(text) if part]
    return [(part, number < len(parts) - 1) for number, part in enumerate(parts) if _CONTROL_WORD.match(part)]


def _control_lines(lines: list[str], modern: bool) -> array[int]:
    """For each line (and the end): the next one that may end a branch which is not taken, passing over conditions
    that open and close inside it."""
    count = len(lines)
    nexts = array("I", [count]) * (count + 1)
    above = [count]         # for each open condition, seen from below: its next `elseif`, `else` or `endif`
    nearest = count
    regular = True
    every = array("I", [count]) * (count + 1)
    for row in range(count - 1, -1, -1):
        text = lines[row]
        if text and _CONTROL_WORD.search(text):
            parts = _control_parts(text)
            words = [part[:part.find(" ")].lower() if " " in part else part.lower() for part, _ in parts]
            if words:
                nearest = row
                depth, low, inline = 0, 0, 0
                for word, (_, more) in zip(words, parts, strict=True):
                    if word in ("if", "while", "for"):
                        depth += 1
                        inline += word == "if" and more and not modern
                    elif word.startswith("end"):
                        depth -= 1
                        inline -= inline > 0
                        low = min(low, depth)
                    else:
                        low = min(low, depth - 1)
                depth -= inline > 0
                if depth == 0 and low == 0:
                    pass                            # opens and closes in itself
                elif len(words) == 1 and depth == 1:
                    if len(above) > 1:
                        above.pop()
                    else:
                        regular = False
                elif len(words) == 1 and depth == -1:
                    above.append(row)
                elif len(words) == 1:
                    above[-1] = row                 # `else` and `elseif`
                else:
                    regular = False
        every[row] = nearest
        nexts[row] = above[-1]
    return nexts if regular else every


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


def _without_index(name: str) -> str:
    return re.sub(r"\[[^\]]*\]", "", name) if "[" in name else name


def _number(value: float | int | str) -> float | int:
    return value if not isinstance(value, str) else 0


def _compared(left: float | int, operator: str, right: float | int) -> bool:
    if operator == ">":
        return left > right
    if operator == "<":
        return left < right
    if operator == ">=":
        return left >= right
    if operator == "<=":
        return left <= right
    return (left == right) is (operator != "!=")


def _define_template(text: str) -> tuple[str, ...] | None:
    """Literal text and names of defines in turn; None where a line is not that simple."""
    if "\\" in text or _ASSIGNING.search(text):
        return None
    parts: list[str] = []
    at = 0
    for match in _SIMPLE_USE.finditer(text):
        parts.append(text[at:match.start()])
        name = match.group(1) or match.group(2)
        if name is None:
            return None
        parts.append(name)
        at = match.end()
    parts.append(text[at:])
    return tuple(parts)
