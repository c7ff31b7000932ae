"""The width state is never wrong: random programs are executed, and whatever the analysis claims must be so."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nayru_lsp.asm import SourceText, flow, parse_text
from nayru_lsp.asm.flow import WidthState, routine_states
from nayru_lsp.asm.project import ParsedFile
from nayru_lsp.asm.syntax import Instruction, Label, LabelKind, Name, Number, Statement

LINES = st.sampled_from([
    "A:", "B:", "  C:", ".x", ".y", "..z", "+", "-", "++", "--", " REP #$20", " SEP #$20", " REP #$30", " SEP #$30",
    " SEP #$10", " PHP", " PLP", " PHA", " PLA", " PHX", " PLX", " BNE .x", " BEQ .y", " BRA .x", " BNE +", " BEQ -",
    " BRA ++", " BNE --", " JMP A", " JMP B_x", " BNE C", " JSR A", " JSR B", " JSR .x", " JSR C", " RTS", " NOP",
    " LDA #$12", " LDX #$1234", " BNE ..z", " BRA A_y", "+ RTS", "- DEX : BNE -",
])


class Machine:
    """Just enough of the processor: widths, the stack, jumps. Conditions are a coin."""

    def __init__(self, file: ParsedFile, coin: random.Random) -> None:
        self.coin = coin
        self.code: list[tuple[int, Statement]] = []
        self.labels: dict[str, int] = {}
        self.scopes: list[tuple[str, ...]] = []
        scope: tuple[str, ...] = ()
        for start, line in file.lines():
            for statement in line.statements:
                if isinstance(statement, Label):
                    scope = self._label(statement, scope)
                self.code.append((start + statement.start, statement))
                self.scopes.append(scope)
        self.m, self.x = coin.choice((8, 16)), coin.choice((8, 16))
        self.stack: list[object] = []

    def _label(self, label: Label, scope: tuple[str, ...]) -> tuple[str, ...]:
        if label.kind is LabelKind.MAIN:
            scope = (label.name,)
        elif label.kind is LabelKind.SUB:
            bare = label.name.lstrip(".")
            scope = (*scope[: len(label.name) - len(bare)], bare)
        else:
            return scope
        self.labels.setdefault("_".join(scope), len(self.code))
        return scope

    def target(self, at: int, name: str) -> int | None:
        if name[0] == "+":
            places = range(at + 1, len(self.code))
        elif name[0] == "-":
            places = range(at, -1, -1)
        else:
            bare = name.lstrip(".")
            level = len(name) - len(bare)
            return self.labels.get("_".join((*self.scopes[at][:level], bare)) if level else name)
        return next((n for n in places if isinstance(s := self.code[n][1], Label) and s.name == name), None)

    def pull(self, wanted: str) -> object | None:
        top = self.stack.pop() if self.stack else None
        return top if isinstance(top, tuple) and top[0] == wanted else None

    def push_register(self, width: int) -> None:
        self.stack.extend(("byte",) for _ in range(width // 8))

    def step(self, at: int) -> int | None:
        """The next statement, None at the end of what this machine knows."""
        statement = self.code[at][1]
        if not isinstance(statement, Instruction):
            return at + 1
        name, operand = statement.mnemonic, statement.operand
        value = operand.value if operand is not None else None
        if name in ("REP", "SEP") and isinstance(value, Number):
            width = 16 if name == "REP" else 8
            self.m = width if int(value.value) & 0x20 else self.m
            self.x = width if int(value.value) & 0x10 else self.x
        elif name == "PHP":
            self.stack.append(("flags", self.m, self.x))
        elif name == "PLP":
            flags = self.pull("flags")
            self.m, self.x = flags[1:] if isinstance(flags, tuple) else (
                self.coin.choice((8, 16)), self.coin.choice((8, 16)))
        elif name in ("PHA", "PHX"):
            self.push_register(self.m if name == "PHA" else self.x)
        elif name in ("PLA", "PLX"):
            for _ in range((self.m if name == "PLA" else self.x) // 8):
                if self.stack:
                    self.stack.pop()
        elif name in ("JMP", "BRA") and isinstance(value, Name):
            return self.target(at, value.text)
        elif name == "JSR" and isinstance(value, Name):
            self.stack.append(("return", at + 1))
            return self.target(at, value.text)
        elif name == "RTS":
            back = self.pull("return")
            return back[1] if isinstance(back, tuple) else None     # type: ignore[no-any-return]
        elif name[0] == "B" and isinstance(value, Name) and self.coin.random() < 0.5:
            return self.target(at, value.text)
        return at + 1


def without_doubles(lines: list[str]) -> list[str]:
    """Drop labels that are defined already or have no parent: Asar refuses such a program."""
    kept: list[str] = []
    for line in lines:
        file = parse_text("/ws/main.asm", SourceText.of("\n".join(["A:", *kept, line])))
        names = {symbol.name for symbol in file.symbols if symbol.kind != "relative label"}
        if len(names) == sum(symbol.kind != "relative label" for symbol in file.symbols) and not any(
                index.orphans for _, _, index in file.indexes):
            kept.append(line)
    return kept


@settings(max_examples=400, deadline=None)
@given(st.lists(LINES, min_size=3, max_size=40), st.integers(0, 2**32))
def test_no_claim_is_wrong(lines: list[str], seed: int) -> None:
    file = parse_text("/ws/main.asm", SourceText.of("\n".join(["A:", *without_doubles(lines), ""])))
    claims: dict[int, WidthState] = {}
    for _, _, index in file.indexes:
        for symbol in index.symbols:
            if symbol.kind == "label":
                for start, _, state in routine_states(file, symbol.span.end)[2]:
                    claims.setdefault(start, state)
    coin = random.Random(seed)
    for _ in range(12):
        machine = Machine(file, coin)
        entries = [n for n, (_, s) in enumerate(machine.code) if isinstance(s, Label) and s.kind is LabelKind.MAIN]
        at: int | None = coin.choice(entries)
        for _ in range(80):
            if at is None or at >= len(machine.code):
                break
            start, statement = machine.code[at]
            state = claims[start]
            assert state.m in (None, machine.m), (str(file.text), start, statement, state)
            assert state.x in (None, machine.x), (str(file.text), start, statement, state)
            at = machine.step(at)


@pytest.mark.parametrize("text", [
    "A:\n REP #$20\n BRA +\nB:\n SEP #$20\n+<|> NOP\n",                  # the branch stands in another routine
    "B:\n SEP #$20\n-<|> NOP\n RTS\nC:\n REP #$20\n BRA -\n",
    "B:\n SEP #$20\n JSR .s\n REP #$20\n.s<|> NOP\n",                    # called, and fallen into
    "B:\n SEP #$20\n.s<|> NOP\n RTS\n dw .s\n",                          # in a table
    "B:\n SEP #$20\n PEA .s-1\n.s<|> NOP\n",
    "  B:\n SEP #$20\n.s<|> NOP\n RTS\nC:\n REP #$20\n JMP B_s\n",
    "B:\n SEP #$20\n %m()\n SEP #$20\n+<|> NOP\n",                       # a macro may branch to it
    "B:\n SEP #$20\n JSR K\n<|> NOP\nK: LDA $10\n BNE L\n RTS\nL:\n REP #$20\n RTS\n",
    "B:\n SEP #$20\n JSR K\n<|> NOP\nK: LDA $10\n PHA\n RTS\n",           # returns somewhere else
    "B:\n PHP\n PHA\n SEP #$20\n PLP\n<|> NOP\n",                        # pulls the accumulator as flags
    "B:\n SEP #$20\n XCE\n<|> NOP\n",
    "B:\n SEP #!x\n<|> NOP\n",
])
def test_unknown_where_another_way_leads_in(text: str) -> None:
    at = text.index("<|>")
    file = parse_text("/ws/main.asm", SourceText.of(text.replace("<|>", "")))
    start, end, states = routine_states(file, at)
    assert start <= at <= end
    assert next(state for begin, _, state in states if begin >= at).m is None


@pytest.mark.parametrize("seed", range(4))
def test_a_routine_is_found_from_nearby_as_from_afar(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = random.Random(seed)
    lines = ["    nop ; some words"] * 12_000
    for row in rng.sample(range(len(lines)), rng.choice((0, 3, 60, 900))):
        lines[row] = rng.choice(("Name:", "#Declared: nop", ".sub:", "Not:this", "Label_with_a_long_name_1:",
                                "  Far:", "\rA:"))
    file = parse_text("/a.asm", SourceText.of("\n".join(lines)))
    offsets = [0, file.text.length, *(rng.randrange(file.text.length) for _ in range(300))]
    offsets += [file.text.line_start(row) + by for row in range(0, len(lines), 700) for by in (0, 1)]
    nearby = [flow._routine_text(file, offset) for offset in offsets]
    monkeypatch.setattr(flow, "REACHES", (flow.MAX_ROUTINE,))
    assert nearby == [flow._routine_text(file, offset) for offset in offsets]
