"""The width state along straight-line code and the branches inside one routine.

A routine is the text from one main label to the next. What enters it is unknown; REP, SEP, XCE and matched PHP/PLP say
what holds after them; a label inside it holds what all ways to it agree on; a call keeps the widths only where the
called routine is in the same file and plainly keeps them. Everything else is unknown: a wrong width would be a false
error.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from nayru_lsp.asm.file import ParsedFile
from nayru_lsp.asm.lexer import logical_lines
from nayru_lsp.asm.statements import Memo, parse_line
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
    OperandShape,
    Statement,
)
from nayru_lsp.asm.words import DATA

MAX_ROUTINE = 60_000        # code points looked at on each side


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
_CHANGING = re.compile(r"(?i)(?<![\w.])(?:rep|sep|plp|xce|rti)(?![\w])")
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


class _Routine:
    """The statements of one routine and the state before each. ``None`` = not reached by anything known."""

    def __init__(self, file: ParsedFile | None, dialect: Dialect, text: str, base: int, main: str) -> None:
        """Without ``file`` every call is unknown, and no sub label is looked for outside."""
        self.base = base
        self._file = file
        self.statements: list[tuple[int, Statement]] = []
        at = 0
        for raw, line in _lines_of(text, dialect):
            self.statements.extend((at + statement.start, statement) for statement in line.statements)
            at += len(raw)
        self.states: list[WidthState] = []
        self._solve(main)

    def before(self, offset: int) -> WidthState:
        """The state before the first statement that starts at or behind ``offset``; at the end, behind the last."""
        for number, (start, _) in enumerate(self.statements):
            if self.base + start >= offset:
                return self.states[number]
        return self.states[-1]

    def _solve(self, main: str) -> None:
        file = self._file
        outside = {name for name in self._labels()
                   if file is not None and name[0] == "." and main and _mentioned(file, main, name)}
        sources: dict[int, WidthState] = {}
        for _ in range(6):
            found = self._walk(sources, outside)
            if found == sources:
                return
            sources = found
        self.states = [UNKNOWN] * (len(self.statements) + 1)       # it would not settle

    def _labels(self) -> set[str]:
        return {statement.name for _, statement in self.statements if isinstance(statement, Label)}

    def _walk(self, known: dict[int, WidthState], outside: set[str]) -> dict[int, WidthState]:
        """One pass: fills ``states``, gives the joined state of the branches to each label statement."""
        found: dict[int, WidthState] = {}
        states: list[WidthState] = []
        state: WidthState | None = UNKNOWN
        stack: list[WidthState] | None = []
        conditions: list[tuple[WidthState | None, WidthState | None, bool]] = []
        for number, (_, statement) in enumerate(self.statements):
            if isinstance(statement, Label) and number:
                stack = None if statement.kind is not LabelKind.MAIN and (number in known or state is None) else stack
                arriving = known.get(number)
                if statement.kind not in (LabelKind.SUB, LabelKind.RELATIVE) or statement.name in outside:
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
                    elif mnemonic == "PHP":
                        if stack is not None:
                            stack.append(state or UNKNOWN)
                    elif mnemonic == "PLP":
                        state = stack.pop() if stack else UNKNOWN
                    elif mnemonic in _CALLS:
                        state = state if state is not None and self._keeps(statement) else UNKNOWN
                    elif mnemonic in ("TXS", "TCS") or (mnemonic in ("PLA", "PLX", "PLY") and not stack):
                        stack = None if mnemonic in ("TXS", "TCS") else stack
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

    def _keeps(self, call: Instruction) -> bool:
        """Does the called routine plainly return with the widths it was called with?"""
        operand = call.operand
        if self._file is None or operand is None or operand.shape is not OperandShape.PLAIN \
                or not isinstance(operand.value, Name):
            return False
        name = operand.value.text
        found = self._file.definitions(name) if operand.value.kind is LabelKind.MAIN else []
        if len(found) != 1 or found[0].kind != "label":
            return False
        return _keeps_widths(_routine_text(self._file, found[0].span.end)[0])


def _keeps_widths_uncached(body: str) -> bool:
    code = "\n".join(line.partition(";")[0] for line in body.splitlines())
    if "%" in re.sub(r"%[01]", "", code) or "!" in code or re.search(r"(?i)(?<!\w)(js[rl]|jm[pl]|bra|brl)\b", code):
        return False
    return _CHANGING.search(code) is None and re.search(r"(?i)(?<!\w)rt[sl]\b", code) is not None


_keeps_widths: Memo[str, bool] = Memo(_keeps_widths_uncached, 4_000)


def _mentioned(file: ParsedFile, main: str, sub: str) -> bool:
    full = f"{main}_{sub.lstrip('.')}"
    return any(full in block.text for block in file.blocks)


def _lines_of(text: str, dialect: Dialect) -> Iterator[tuple[str, Line]]:
    for raw in logical_lines(text, dialect):
        yield raw, parse_line(raw, dialect)


_MAIN_LABEL = re.compile(r"^#?[A-Za-z_]\w*:(?!\w)", re.MULTILINE | re.ASCII)


def _routine_text(file: ParsedFile, offset: int) -> tuple[str, int, str]:
    """(text, its start, main label) of the routine around ``offset``: from the main label's line to the next one."""
    low = max(0, offset - MAX_ROUTINE)
    high = min(file.text.length, offset + MAX_ROUTINE)
    line_start = file.line_at(low)[0] if low else 0
    window = file.text.slice(line_start, high)
    here = offset - line_start
    begin, main = 0, ""
    end = len(window)
    for match in _MAIN_LABEL.finditer(window):
        if match.start() <= here:
            begin, main = match.start(), match.group().strip("#:")
        else:
            end = match.start()
            break
    return window[begin:end], line_start + begin, main


def routine_states(file: ParsedFile, offset: int) -> tuple[int, int, list[tuple[int, Statement, WidthState]]]:
    """(start, end, [(absolute start, statement, state before it)]) of the routine around ``offset``."""
    text, base, main = _routine_text(file, offset)
    routine = _routine(file, text, base, main)
    return base, base + len(text), [
        (base + start, statement, state)
        for (start, statement), state in zip(routine.statements, routine.states, strict=False)]


def _routine(file: ParsedFile, text: str, base: int, main: str) -> _Routine:
    arch = file.scope_at(base).arch
    routine = _Routine(file, file.dialect, text, base, main)
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
