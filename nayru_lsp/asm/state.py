"""What an execution changes as it goes: everything that a line may read or set, and how an error is told.

The rooms of a machine stand on each other, each a class of its own: `State` < `Names` < `Defines` < `Conditions`,
`Names` < `Placing`, and `Calls` on all but `Conditions`; `expand.Machine` joins them and goes through the lines.
"""

from __future__ import annotations

import itertools
from array import array
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from nayru_lsp.asm.arithmetic import Rules
from nayru_lsp.asm.compiled import Block, Compiler, Rows
from nayru_lsp.asm.expansion import REGION, UNPLACED, UNSET, Expansion, Fatal, Limits
from nayru_lsp.asm.freespace import Freespace, Mapping
from nayru_lsp.asm.freespace_2 import Freespace2
from nayru_lsp.asm.mapping import SA1_BANKS, MappingMode
from nayru_lsp.asm.problem import Problem, Severity
from nayru_lsp.asm.project import Root
from nayru_lsp.asm.syntax import Dialect
from nayru_lsp.asm.text import Span

Read = Callable[[str], bytes | None]

OPEN = "!"          # for the name of a label: something that is not there yet

MAX_VERSIONS = 100_000
_new_version = itertools.count(1).__next__
_versions: dict[tuple[Any, ...], int] = {}


def version_of(*change: Any) -> int:
    """A number for a set of functions, made of that before and what was added: the same one whenever, and in whatever
    machine, it comes to this again. What a condition gave is true under one version."""
    found = _versions.get(change)
    if found is None:
        if len(_versions) >= MAX_VERSIONS:
            _versions.clear()
        found = _versions[change] = _new_version()
    return found


class Drop(Exception):
    """This block or line is given up; the problem has been reported."""


Compiled = list[tuple[Block, ...] | None]


class Lines(list[str]):
    """The prepared lines of a file or a macro body, and what was found out about them."""

    __slots__ = ("compiled", "controls", "macros", "rounds", "runs")

    def __init__(self, lines: Iterable[str]) -> None:
        super().__init__(lines)
        self.controls: array[int] | None = None     # index -> the next line with a control word
        self.runs: dict[int, Rows] = {}             # index -> the rows of numbers that begin there
        self.compiled: dict[Compiler, Compiled] = {}    # the blocks of lines into which nothing is put
        self.rounds: dict[int, Any] = {}                # index of a ``while`` -> a round of it, see `rounds`
        self.macros: dict[int, tuple[Macro, int]] = {}      # index -> the macro defined there, its last line


@dataclass(slots=True)
class Macro:
    name: str
    parameters: tuple[str, ...]
    variadic: bool
    file: int
    row: int                    # of the line `macro`
    lines: Lines
    nested: tuple[int, ...] = ()            # rows behind ``row`` where 1.91 finds a macro inside this one
    templates: dict[str, tuple[Any, ...]] = field(default_factory=dict, compare=False)
    # What calls did: by the names of the defines that they read, then by their arguments and the texts of those.
    effects: dict[tuple[str, ...], dict[Any, Any]] = field(default_factory=dict, compare=False)
    tries: int = field(default=0, compare=False)        # calls that could not be remembered

    @property
    def base(self) -> int:
        """The place of the first line of the body, outside of any call."""
        return (self.file << 24 | self.row) + 1


@dataclass(slots=True)
class Loop:
    row: int = 0                # index of the line of the condition in its frame
    place: int = 0
    kind: str = "if"
    again: bool = False
    variable: str = ""
    current: int = 0
    end: int = 0
    backup: str | None = None


@dataclass(slots=True)
class Frame:
    """A file or a macro call that is being gone through."""

    lines: Lines
    file: int
    row: int                    # of ``lines[0]``
    call: int
    macro: Macro | None
    conditions: int             # open when it began
    index: int = -1
    blocks: tuple[Block, ...] = ()
    at: int = 0
    fake: int = 0
    online: bool = True         # does a condition of this very line hold (``if x : y``)
    border: int = 1 << 31       # the next line at which `Live` wants to be asked
    jump: int = -1              # the line to go on with behind this one: back to the head of a loop
    compiled: Compiled | None = None        # by the rules of now; None: what is put into a line hangs on who called
    arguments: tuple[str, ...] = ()
    macro_id: int = -1
    labels: list[str] = field(default_factory=list)             # ?sub label parents
    signs: tuple[Counter[int], Counter[int]] | None = None      # how many ?+ and ?- there were, by depth

    def signed(self, sign: str) -> Counter[int]:
        if self.signs is None:
            self.signs = (Counter(), Counter())
        return self.signs[sign == "-"]


class Scope:
    """What names mean where an expression stands, kept until all labels have their values."""

    __slots__ = ("defines", "keys", "space", "without")

    def __init__(self, keys: dict[str, str], space: str, defines: frozenset[str] | None = None,
                 without: frozenset[str] = frozenset()) -> None:
        self.keys = keys
        self.space = space
        self.defines = defines      # those there are, where somebody asks
        self.without = without      # functions that come later


TOP = Scope({}, "")         # names as they are at this moment
BARE = Scope({}, "")        # as they are written


class State:
    """All that is known at a line, and the memos that outlive an execution."""

    dropped = Drop
    remembers = False           # it will execute again: calls of macros are recorded

    def __init__(self, root: Root, read: Read, base_image: bytes | None, tick: Callable[[], None] | None,
                 limits: Limits) -> None:
        self.root = root
        self.dialect = root.dialect
        self.modern = root.dialect is Dialect.ASAR_2
        self.deepest = limits.depth_2 if self.modern else limits.depth      # files, macros and defines in each other
        self.read = read
        self.tick = tick
        self.limits = limits
        self.base_image = base_image
        self.compilers: dict[tuple[str, Rules], Compiler] = {}
        self.prepared: dict[str, Lines | None] = {}
        self.faults: dict[str, list[tuple[int, str, str]]] = {}     # 2.0: what is wrong with a file as it is read
        self.binaries: dict[str, bytes | None] = {}
        self.inactive: dict[str, tuple[Block, ...]] = {}
        self.templates: dict[str, tuple[str, ...] | None] = {}
        self.labels: dict[str, int] = {}
        self.static: set[str] = set()
        self.priority = self.modern     # `asar 1.90` holds for all passes
        self.total = 0
        self.out = Expansion()
        self.scope = TOP
        self.region = -1            # of the branch that is being evaluated
        self.mode = MappingMode.LOROM
        self.problems: list[Problem] = []
        self.placing = False        # another pass is needed: this one gave the lengths of what is to be placed
        self.placed = False         # something was sought in the image
        self.stopped = False        # by an error, before the end
        self.reads: set[str] = set()                # names that were looked up to evaluate
        self.moved: set[str] = set()                # labels that are other ones than when all was evaluated last
        self.structs: dict[str, tuple[int, int, int, bool]] = {}    # name -> size, object size, end, static
        self.earlier: dict[str, tuple[int, int, int, bool]] = {}        # the structs of the pass before
        self.sought = False         # a struct was, before it came
        self.evaluated_with: Any = None             # the functions and structs of then
        self.settled = True         # every size that was taken from a label is right
        self.sized = False          # `datasize` was asked before all labels were there
        self.fixed = False          # something hung on where it stands, or set it, see `following`
        self.record: Any = None     # of the call that is being recorded, see `calls`
        self.shapes: dict[Any, Any] = {}
        self.shared: dict[Any, Any] = {}
        self.effects = 0

    def start(self, number: int) -> None:
        self.pass_number = number
        self.placing = False
        self.final = number > 0     # Asar would know every label by now
        self.sized = False
        self.arch = "65816"
        self.mode = MappingMode.LOROM
        self.sa1_banks = SA1_BANKS
        self.rules = Rules(self.dialect, self.priority, not self.priority)
        self.block: tuple[int, str, int] | None = None      # spcblock: address of its size, namespace outside, entry
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
        self.macros: dict[str, Macro] = {}
        self.functions: dict[str, tuple[tuple[str, ...], str]] = {}
        self.functions_version = version_of()
        self.overdefined: set[str] = set()          # functions that are there twice, which 1.91 allows
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
        self.sought = False
        self.structs = {}
        self.in_struct = ""
        self.struct_parent = ""
        self.struct_static = False
        self.struct_base = 0
        self.struct_back: tuple[Any, ...] = ()
        self.included_once: set[str] = set()
        self.defining = 0           # 2.0: definitions of macros around the line that is looked at
        self.struct_names: set[str] = set()
        self.free_settings: dict[str, Any] = {}
        self.next_region = UNPLACED
        self.free_number = 1
        self.free_id = 0
        self.free_start = 0
        self.free_extra = 0
        self.free_code = False
        self.beyond = 0             # the block in freespace that has left the ROM
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
        self.loops: dict[int, Loop] = {}
        self.turns = 0
        self.at_once = 0            # lines that were done at once and are not counted yet
        self.unsure: int | None = None              # the level of an `if` whose condition is not known
        self.unsure_reason = ""
        self.unsure_matters = False
        self.calls_made = 0
        self.guesses: list[tuple[tuple[str, ...], int, int, int, tuple[Any, ...]]] = []
        self.problems = []
        self.reason_log: list[str] = []             # why something is not known
        self.label_log: list[str] = []              # in the order in which they were set
        self.last_mark: dict[int, int] = {}
        self.deferred: list[tuple[list[str], Scope, int, int, int]] = []   # assertions: words, scope, place, pos, real
        self.frames: list[Frame] = []
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
            self.free = None if self.base_image is None or self.modern else Freespace(self.base_image)
            self.free_2 = None if self.base_image is None or not self.modern else Freespace2(self.base_image)
        if self.free is not None:
            self.free.events.clear()

    def decided(self, name: str) -> None:
        """The place of label ``name`` ("": of this line; `OPEN`: of something that is not there yet) is used while the
        program is placed."""

    def compiler_of(self) -> Compiler:
        key = ("spc700" if self.block is not None else self.arch, self.rules)
        found = self.compilers.get(key)
        if found is None:
            found = self.compilers[key] = Compiler(self.dialect, *key)
        return found

    def push(self, frame: Frame) -> None:
        if len(self.frames) >= self.deepest:        # it goes in and stops at the first line
            self.place = frame.call << 40 | frame.file << 24 | frame.row
            raise self.too_deep(f"macros and includes are nested more than {self.deepest:,} deep")
        self.frames.append(frame)

    def too_deep(self, message: str) -> Fatal:
        self.problem("recursion_limit", message)
        return Fatal()

    # --- problems -----------------------------------------------------------------------------------------------------

    def problem(self, code: str, message: str, place: int | None = None, severity: Severity = Severity.ERROR) -> None:
        self.record = None
        if len(self.problems) >= self.limits.problems and code != "nayru_limit":
            return
        place = self.place if place is None else place
        path = self.out.files[place >> 24 & 0xFFFF] if self.out.files else self.root.path
        row = place & 0xFFFFFF
        again = self.brought_by() if code == "label_redefined" and "this line made it before" in message else 0
        self.problems.append(Problem(path, Span(row, row), "E" + code, severity, message, call=place >> 40,
                                     again=again))

    def brought_by(self) -> int:
        """The place of the line that brought in this file, unless a macro or a loop may be what made a line come again;
        0: none."""
        if len(self.frames) < 2 or self.frames[-1].call:
            return 0
        outer, frame = self.frames[-2:]
        turns = any(loop.kind != "if" and level >= frame.conditions for level, loop in self.loops.items())
        return 0 if turns or outer.index < 0 else outer.file << 24 | outer.index

    def drop(self, code: str, message: str) -> Drop:
        self.problem(code, message)
        return Drop()

    def unknown(self, reason: str) -> None:
        """What follows has no known place until the next `org`."""
        self.record = None
        self.fixed = True
        self.reason_log.append(reason)
        self.next_region += 1
        self.pos = self.real = self.origin = self.real_origin = self.next_region << REGION | 0x8000

    def without_org(self) -> None:
        self.fixed = True
        if self.modern:         # and there is none behind it either
            raise self.drop("missing_org", "there is no `org` or freespace before this")
        self.problem("missing_org", "there is no `org` before this: Asar takes $008000", severity=Severity.WARNING)
        self.pos = self.real = self.origin = self.real_origin = 0x8000

    def mapping(self) -> Mapping:
        return Mapping(self.mode, self.sa1_banks)
