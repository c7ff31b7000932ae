"""The width state along straight-line code and the branches inside one routine.

A routine is the text from one main label to the next. What enters it is unknown; REP, SEP and matched PHP/PLP say what
holds after them; a label inside it holds what all ways to it agree on, and nothing where a way could come from
elsewhere (its name is mentioned otherwise than as the target of a branch of this routine, or a macro is called here);
a call keeps the widths only where the called routine is in the same file and plainly keeps them. Everything else is
unknown: a wrong width would be a false error.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from nayru_lsp.asm.file import ParsedFile
from nayru_lsp.asm.lexer import logical_lines
from nayru_lsp.asm.statements import Memo, data_arguments, parse_line
from nayru_lsp.asm.symbols import names_in
from nayru_lsp.asm.syntax import (
    Dialect,
    Directive,
    Instruction,
    Label,
    LabelKind,
    Line,
    MacroCall,
    Name,
    Number,
    Opaque,
    OpaqueExpr,
    OperandShape,
    Statement,
)
from nayru_lsp.asm.words import DATA

MAX_ROUTINE = 60_000        # code points looked at on each side
REACHES = (2_000, 12_000, MAX_ROUTINE)      # and where the ends of a routine are looked for first


@dataclass(frozen=True, slots=True)
class WidthState:
    """``m``, ``x``: width of A and of X/Y in bits (8 or 16), None = unknown. ``e``: emulation mode, None = unknown."""

    m: int | None = None
    x: int | None = None
    e: bool | None = None


UNKNOWN = WidthState()
_BRANCHES = frozenset("BCC BCS BEQ BMI BNE BPL BVC BVS BLT BGE".split())
_JUMPS = frozenset({"BRA", "BRL", "JMP", "JML"})
_ENDS = frozenset({"RTS", "RTL", "RTI", "STP"})
_CALLS = frozenset({"JSR", "JSL"})
_PUSHES = frozenset("PHA PHX PHY PHB PHD PHK PEA PEI PER".split())
_PULLS = frozenset("PLA PLX PLY PLB PLD".split())
_OBSCURE = frozenset("REP SEP PLP XCE RTI JSR JSL JMP JML BRK COP STP TXS TCS PEA PEI PER".split())
_CODELESS = frozenset({"print", "warn", "warnpc", "assert", "namespace", "pushpc", "pullpc", "global",
                       "undef", "warnings", "check", "bank", "optimize", "dpbase", "{", "}"})
_CONDITIONAL = frozenset({"if", "elseif", "else", "endif", "while", "endwhile", "for", "endfor"})


def _join(one: WidthState, other: WidthState) -> WidthState:
    return WidthState(
        one.m if one.m == other.m else None, one.x if one.x == other.x else None, one.e if one.e == other.e else None)


def widths_after(state: WidthState, statement: Statement) -> WidthState:
    """The state after ``statement`` alone (no stack memory: PLP gives unknown)."""
    match statement:
        case Instruction(mnemonic="REP" | "SEP" as mnemonic, operand=operand):
            if operand is not None and operand.shape is OperandShape.IMMEDIATE and isinstance(operand.value, Number):
                mask = int(operand.value.value)
                width = 16 if mnemonic == "REP" else 8
                return WidthState(width if mask & 0x20 else state.m, width if mask & 0x10 else state.x, state.e)
            return WidthState(None, None, state.e)
        case Instruction(mnemonic="XCE" | "PLP" | "RTI"):
            return UNKNOWN
        case Instruction(mnemonic="JSR" | "JSL" | "BRK" | "COP"):
            return UNKNOWN
        case MacroCall() | Opaque():
            return UNKNOWN
        case Label(kind=LabelKind.MAIN):
            return UNKNOWN
    return state


Elsewhere = Callable[[str], bool]     # is this label name mentioned in another file?


class _Routine:
    """The statements of one routine and the state before each. ``None`` = not reached by anything known."""

    def __init__(self, file: ParsedFile | None, dialect: Dialect, text: str, base: int, main: str,
                 elsewhere: Elsewhere | None = None) -> None:
        """Without ``file`` every call is unknown, and no label is taken as reached from outside."""
        self.base = base
        self._file = file
        self._text = text
        self.statements: list[tuple[int, Statement]] = []
        self._mentions: set[str] = set()        # label names mentioned otherwise than by a branch of this routine
        self._loose = False                     # expanded text may branch to any label here
        at = 0
        for raw, line in _lines_of(text, dialect):
            for statement in line.statements:
                self.statements.append((at + statement.start, statement))
                if file is not None:
                    self._note(line, statement)
            at += len(raw)
        self.states: list[WidthState] = []
        outside = self._outside(main, elsewhere) if file is not None else set()
        sources: dict[int, WidthState] = {}
        for _ in range(6):
            found = self._walk(sources, outside)
            if found == sources:
                return
            sources = found
        self.states = [UNKNOWN] * (len(self.statements) + 1)       # it would not settle

    def before(self, offset: int) -> WidthState:
        """The state before the first statement that starts at or behind ``offset``; at the end, behind the last."""
        for number, (start, _) in enumerate(self.statements):
            if self.base + start >= offset:
                return self.states[number]
        return self.states[-1]

    def _note(self, line: Line, statement: Statement) -> None:
        match statement:
            case Instruction(mnemonic=mnemonic, operand=operand) if operand is not None:
                plain = operand.shape is OperandShape.PLAIN and isinstance(operand.value, Name)
                if plain and (mnemonic in _BRANCHES or mnemonic in _JUMPS):
                    return
                for expr in (operand.value, operand.second):
                    if isinstance(expr, OpaqueExpr):
                        self._mentions.update(_WORDS.findall(expr.text))
                    elif expr is not None:
                        self._mentions.update(name.text for name in names_in(expr) if isinstance(name, Name))
            case MacroCall() | Opaque():
                self._loose = True
            case Directive(name=name):
                if name in ("incsrc", "macro"):
                    self._loose = True
                elif name not in ("db",) and statement.text_end - statement.text_start < 4_000:
                    for expr in data_arguments(line, statement):
                        self._mentions.update(_WORDS.findall(line.raw[expr.start:expr.end]))
                    if name in ("autoclean", "prot"):
                        self._mentions.update(_WORDS.findall(line.raw[statement.text_start:statement.text_end]))

    def _outside(self, main: str, elsewhere: Elsewhere | None) -> set[int]:
        """Numbers of the label statements that something else than a known branch may reach."""
        file = self._file
        assert file is not None
        out: set[int] = set()
        seen: set[str] = set()
        last: dict[str, int] = {}
        parents: list[str] = []
        for number, (_, label) in enumerate(self.statements):
            if not isinstance(label, Label):
                continue
            if label.kind is LabelKind.MAIN:
                if not label.declared:
                    main, parents = label.name, []
                continue
            if self._loose or label.name in self._mentions:
                out.add(number)
            elif label.kind is LabelKind.RELATIVE:
                if label.name[0] == "+" and label.name not in seen and _crosses_in(file, self.base, label.name):
                    out.add(number)
                last[label.name] = number
                seen.add(label.name)
            elif label.kind is LabelKind.SUB:
                bare = label.name.lstrip(".")
                parents = [*parents[: len(label.name) - len(bare) - 1], bare]
                full = "_".join((main, *parents))
                if not main or any(block.holds(full) for block in file.blocks) or (
                        elsewhere is not None and elsewhere(full)):
                    out.add(number)
        for name, number in last.items():
            if name[0] == "-" and _crosses_out(file, self.base + len(self._text), name):
                out.add(number)
        return out

    def _walk(self, known: dict[int, WidthState], outside: set[int]) -> dict[int, WidthState]:
        """One pass: fills ``states``, gives the joined state of the branches to each label statement."""
        found: dict[int, WidthState] = {}
        states: list[WidthState] = []
        state: WidthState | None = UNKNOWN
        stack: list[WidthState | None] | None = []       # None in it: something else than the flags
        conditions: list[tuple[WidthState | None, WidthState | None, bool]] = []
        for number, (_, statement) in enumerate(self.statements):
            if isinstance(statement, Label) and number:
                stack = None if statement.kind is not LabelKind.MAIN and (number in known or state is None) else stack
                arriving = known.get(number)
                if statement.kind not in (LabelKind.SUB, LabelKind.RELATIVE) or number in outside:
                    state = UNKNOWN
                elif arriving is not None:
                    state = arriving if state is None else _join(state, arriving)
                elif state is None:
                    state = UNKNOWN
            states.append(state or UNKNOWN)
            match statement:
                case Instruction(mnemonic=mnemonic):
                    target = self._target(number, statement)
                    if mnemonic in _BRANCHES or mnemonic in _JUMPS:
                        if target is not None:
                            here = state or UNKNOWN
                            found[target] = _join(found[target], here) if target in found else here
                        if mnemonic in _JUMPS:
                            state = None
                    elif mnemonic in _ENDS:
                        state = None
                    elif mnemonic == "PHP" or mnemonic in _PUSHES:
                        if stack is not None:
                            stack.append((state or UNKNOWN) if mnemonic == "PHP" else None)
                    elif mnemonic == "PLP":
                        state = (stack.pop() if stack else None) or UNKNOWN
                    elif mnemonic in _PULLS:
                        if stack and stack[-1] is None:
                            stack.pop()
                        else:
                            stack = None        # pulls what this routine did not push, or half of the flags
                    elif mnemonic in _CALLS:
                        state = state if state is not None and self._keeps(number, statement) else UNKNOWN
                    elif mnemonic in ("TXS", "TCS"):
                        stack = None
                    elif state is not None:
                        state = widths_after(state, statement)
                case Directive(name=name):
                    if name in _CONDITIONAL:
                        state = self._condition(name, state, conditions)
                        stack = None
                    elif name in DATA or name not in _CODELESS:
                        state = UNKNOWN if state is not None else None
                case MacroCall() | Opaque():
                    state, stack = UNKNOWN, None
        states.append(state or UNKNOWN)
        self.states = states
        return found

    @staticmethod
    def _condition(name: str, state: WidthState | None,
                   conditions: list[tuple[WidthState | None, WidthState | None, bool]]) -> WidthState | None:
        """``if`` keeps (state at its start, join of the ends of the branches so far, an else was seen)."""
        if name in ("while", "endwhile", "for", "endfor"):
            return UNKNOWN
        if name == "if":
            conditions.append((state, None, False))
            return state
        if not conditions:
            return UNKNOWN
        start, ends, had_else = conditions[-1]
        joined = state if ends is None else ends if state is None else _join(ends, state)
        if name in ("else", "elseif"):
            conditions[-1] = (start, joined, had_else or name == "else")
            return start
        conditions.pop()
        if had_else:
            return joined
        return start if joined is None else joined if start is None else _join(joined, start)

    def _target(self, number: int, statement: Instruction) -> int | None:
        """The label statement in this routine that a branch or jump goes to."""
        operand = statement.operand
        if operand is None or not isinstance(operand.value, Name) or operand.shape is not OperandShape.PLAIN:
            return None
        name = operand.value.text
        if operand.value.kind is LabelKind.RELATIVE:
            steps = (range(number, -1, -1) if name[0] == "-" else range(number + 1, len(self.statements)))
            for other in steps:
                label = self.statements[other][1]
                if isinstance(label, Label) and label.name == name:
                    return other
            return None
        for other, (_, label) in enumerate(self.statements):
            if isinstance(label, Label) and label.name == name:
                return other
        return None

    def _keeps(self, number: int, call: Instruction) -> bool:
        """Does the called routine plainly return with the widths it was called with?"""
        operand = call.operand
        if self._file is None or operand is None or operand.shape is not OperandShape.PLAIN \
                or not isinstance(operand.value, Name) or operand.value.kind is not LabelKind.MAIN:
            return False
        found = self._file.definitions(operand.value.text)
        if len(found) != 1 or found[0].kind != "label" or found[0].conditional:
            return False
        if self._file.scope_at(self.base + self.statements[number][0]).namespace:
            return False        # the name may mean another label there
        return _keeps_widths((_routine_text(self._file, found[0].span.end)[0], self._file.dialect))


def _keeps_widths_uncached(key: tuple[str, Dialect]) -> bool:
    """Straight code and branches inside the routine, nothing that touches widths or calls, stack level at its end."""
    statements = [statement for _, line in _lines_of(*key) for statement in line.statements]
    labels = {statement.name for statement in statements if isinstance(statement, Label)}
    level = 0
    last = ""
    for number, statement in enumerate(statements):
        match statement:
            case Instruction(mnemonic=mnemonic, operand=operand):
                if mnemonic in _OBSCURE:
                    return False
                if mnemonic in _BRANCHES or mnemonic in ("BRA", "BRL"):
                    value = operand.value if operand is not None else None
                    if not isinstance(value, Name) or value.text not in labels or value.kind is LabelKind.MAIN:
                        return False
                level += (mnemonic in _PUSHES or mnemonic == "PHP") - (mnemonic in _PULLS)
                last = mnemonic
            case Label(kind=LabelKind.MAIN):
                if number:
                    return False
            case Label():
                pass
            case Directive(name=name) if name not in _CODELESS and name not in _CONDITIONAL:
                return False
            case MacroCall() | Opaque():
                return False
    return last in ("RTS", "RTL") and level == 0


_keeps_widths: Memo[tuple[str, Dialect], bool] = Memo(_keeps_widths_uncached, 4_000)
_WORDS = re.compile(r"\.*[A-Za-z_]\w*|\++|-+", re.ASCII)


def _crosses_in(file: ParsedFile, base: int, name: str) -> bool:
    """May a branch above ``base`` mean the first ``+`` below it?"""
    text = file.text.slice(file.line_at(base - MAX_ROUTINE)[0] if base > MAX_ROUTINE else 0, base)
    end = len(text)
    while (at := text.rfind(name, 0, end)) >= 0:        # a line at a time: the pattern is slow, the mark is rare
        low, high = _line_around(text, at)
        if found := list(_relative(name).finditer(text[low:high])):
            return found[-1].group(1) is not None
        end = low
    return base > MAX_ROUTINE


def _crosses_out(file: ParsedFile, end: int, name: str) -> bool:
    """May a branch below ``end`` mean the last ``-`` above it?"""
    text = file.text.slice(end, end + MAX_ROUTINE)
    begin = 0
    while (at := text.find(name, begin)) >= 0:
        low, high = _line_around(text, at)
        if found := _relative(name).search(text[low:high]):
            return found.group(1) is not None
        begin = high
    return end + MAX_ROUTINE < file.text.length


def _line_around(text: str, at: int) -> tuple[int, int]:
    """(start, end) of the physical line at ``at``, its terminator included."""
    low = max(text.rfind("\n", 0, at), text.rfind("\r", 0, at)) + 1
    ends = [end + 1 for end in (text.find("\n", at), text.find("\r", at)) if end >= 0]
    return low, min(ends, default=len(text))


def _relative_pattern(name: str) -> re.Pattern[str]:
    """Group 1: a mention; without it: a definition. `+` behind a comma, a bracket or a word is a mention."""
    mark = re.escape(name)
    definition = rf"(?:^|(?<=[ \t]:))[ \t]*{mark}:?(?=\s|\Z)"
    mention = rf"[^\s+\-;][ \t]*[ \t(,]({mark})(?=[ \t]*(?:[;),\r\n:]|\Z))"
    return re.compile(f"{definition}|{mention}", re.MULTILINE)


_relative: Memo[str, re.Pattern[str]] = Memo(_relative_pattern, 50)


def _lines_of(text: str, dialect: Dialect) -> Iterator[tuple[str, Line]]:
    for raw in logical_lines(text, dialect):
        yield raw, parse_line(raw, dialect)


_MAIN_LABEL = re.compile(r"^#?[A-Za-z_]\w*:(?!\w)", re.MULTILINE | re.ASCII)


def _routine_text(file: ParsedFile, offset: int) -> tuple[str, int, str]:
    """(text, its start, main label) of the routine around ``offset``: from the main label's line to the next one."""
    length = file.text.length
    for reach in REACHES:       # most routines are short, and a call asks for that of its target
        low, high = max(0, offset - reach), min(length, offset + reach)
        line_start = file.line_at(low)[0] if low else 0
        window = file.text.slice(line_start, high)
        here = offset - line_start
        begin, main, end = 0, "", len(window)
        begun, ended = not low, high == length
        for match in _MAIN_LABEL.finditer(window):
            if match.start() <= here:
                begin, main = match.start(), match.group().strip("#:")
                begun = begun or begin > 0
            else:
                end = match.start()
                ended = ended or match.end() < len(window)
                break
        if begun and ended:
            break
    return window[begin:end], line_start + begin, main


def routine_states(
    file: ParsedFile, offset: int, elsewhere: Elsewhere | None = None,
) -> tuple[int, int, list[tuple[int, Statement, WidthState]]]:
    """(start, end, [(absolute start, statement, state before it)]) of the routine around ``offset``. ``elsewhere``
    tells whether another file mentions a label (`Project.mentions`); without it only this file is looked at."""
    text, base, main = _routine_text(file, offset)
    routine = _routine(file, text, base, main, elsewhere)
    return base, base + len(text), [
        (base + start, statement, state)
        for (start, statement), state in zip(routine.statements, routine.states, strict=False)]


def _routine(file: ParsedFile, text: str, base: int, main: str, elsewhere: Elsewhere | None = None) -> _Routine:
    arch = file.scope_at(base).arch
    routine = _Routine(file, file.dialect, text, base, main, elsewhere)
    if arch not in ("65816", ""):
        routine.states = [UNKNOWN] * len(routine.states)
    return routine


def widths_before(parsed: ParsedFile, offset: int) -> WidthState:
    """The state before the statement at ``offset``."""
    text, base, main = _routine_text(parsed, offset)
    return _routine(parsed, text, base, main).before(offset)


def states_of_text(text: str, main: str, dialect: Dialect) -> Iterator[tuple[int, int, Statement, WidthState]]:
    """(start, end, statement, state before it) of one routine by itself, calls taken as unknown: for a first look."""
    routine = _Routine(None, dialect, text, 0, main)
    for (start, statement), state in zip(routine.statements, routine.states, strict=False):
        yield start, start + statement.end - statement.start, statement, state
