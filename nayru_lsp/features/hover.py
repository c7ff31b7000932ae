"""``textDocument/hover``: an instruction with its bytes and cycles, a name with its value and its comment, a number."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from typing import Any

from lsprotocol import types

from nayru_lsp.asm.cost import cost
from nayru_lsp.asm.encode import size_of
from nayru_lsp.asm.facts import Fact
from nayru_lsp.asm.flow import WidthState, widths_before
from nayru_lsp.asm.isa import MNEMONICS, Opcode, modes_for, opcode_for
from nayru_lsp.asm.mapping import canonical_register
from nayru_lsp.asm.project import ParsedFile
from nayru_lsp.asm.symbols import Symbol
from nayru_lsp.asm.syntax import Instruction, Number, Operand, OperandShape
from nayru_lsp.asm.text import Span
from nayru_lsp.convert import to_range
from nayru_lsp.features.names import definitions_at, reference_at, symbol_at
from nayru_lsp.snapshot import Snapshot

_ACCESS = {"r": "read", "w": "write", "rw": "read, write", "w2": "write twice"}


def hover(snapshot: Snapshot, file: ParsedFile, offset: int) -> types.Hover | None:
    start, line, statement = file.statement_at(offset)
    at = offset - start
    if line.comment is not None and line.comment[0] <= at and at > line.comment[0]:
        return None
    if isinstance(statement, Instruction):
        end = statement.mnemonic_end + (len(statement.suffix) + 1 if statement.suffix else 0)
        if statement.start <= at <= end and (at < end or at == statement.mnemonic_end):
            text = _instruction(statement, widths_before(file, offset))
            return _answer(snapshot, file, text, Span(start + statement.start, start + end))
    name = reference_at(file, offset) or symbol_at(file, offset)
    if name is not None:
        span = name.name_span if isinstance(name, Symbol) else name.span
        symbols = definitions_at(snapshot.project, file, offset)
        if symbols:
            return _answer(snapshot, file, _symbols(snapshot, file, symbols), span)
        facts = snapshot.facts.named(name.name)
        if facts:
            return _answer(snapshot, file, "\n\n".join(map(fact_text, facts)), span)
    number = number_at(statement, at)
    if number is not None and isinstance(number.value, int):
        immediate = isinstance(statement, Instruction) and statement.operand is not None and (
            statement.operand.shape is OperandShape.IMMEDIATE)
        text = _number(snapshot, number, address=not immediate)
        return _answer(snapshot, file, text, Span(start + number.start, start + number.end))
    return None


def _answer(snapshot: Snapshot, file: ParsedFile, text: str, span: Span) -> types.Hover:
    kind = types.MarkupKind.Markdown if snapshot.client.markdown else types.MarkupKind.PlainText
    return types.Hover(contents=types.MarkupContent(kind=kind, value=text),
                       range=to_range(file.text, span, snapshot.encoding))


# --- instructions ----------------------------------------------------------------------------------------------

def _instruction(instruction: Instruction, state: WidthState) -> str:
    mnemonic = MNEMONICS.get(instruction.mnemonic)
    if mnemonic is None:
        return f"**{instruction.mnemonic}**"
    shape = instruction.operand.shape if instruction.operand else OperandShape.NONE
    modes = modes_for(instruction.mnemonic, shape)
    size = size_of(instruction, state)
    rows = [row for mode in modes if (row := opcode_for(instruction.mnemonic, mode)) is not None]
    exact = [row for row in rows if size is None or row.size in (size, "m", "x")]
    lines = [f"**{mnemonic.name}** — {mnemonic.meaning}", ""]
    for row in exact or rows:
        lines.append(f"- {row.mode}: {_bytes(row, size)}, {_cycles(row, state)}, opcode `${row.value:02X}`")
    flags = {row.flags for row in rows if row.flags}
    if flags:
        lines.append(f"- flags: {', '.join(sorted(flags))}")
    widths = _widths(state)
    if widths:
        lines.append(f"- here: {widths}")
    return "\n".join(lines)


def _bytes(row: Opcode, size: int | None) -> str:
    if isinstance(row.size, int):
        return f"{row.size} byte{'s' if row.size > 1 else ''}"
    if size is not None:
        return f"{size} bytes"
    return f"2 bytes (3 with 16-bit {'A' if row.size == 'm' else 'X and Y'})"


def _cycles(row: Opcode, state: WidthState) -> str:
    low, high = cost(row, state, dl_zero=None)
    return f"{low} cycles" if low == high else f"{low}-{high} cycles"


def _widths(state: WidthState) -> str:
    known = []
    if state.m is not None:
        known.append(f"A is {state.m}-bit")
    if state.x is not None:
        known.append(f"X and Y are {state.x}-bit")
    return ", ".join(known)


# --- names -----------------------------------------------------------------------------------------------------

def _symbols(snapshot: Snapshot, file: ParsedFile, symbols: tuple[Symbol, ...]) -> str:
    return "\n\n".join(symbol_text(snapshot, file.path, symbol) for symbol in symbols[:3]) + (
        f"\n\n({len(symbols)} definitions)" if len(symbols) > 3 else "")


def symbol_text(snapshot: Snapshot, from_path: str, symbol: Symbol) -> str:
    """A definition as Markdown: what it is, its value, where it stands, the comment above or beside it."""
    shown = symbol.name
    if symbol.kind == "macro":
        shown = f"{symbol.name}({symbol.detail})"
    elif symbol.kind == "function":
        shown = f"{symbol.short}({symbol.detail})" if "(" not in symbol.detail else symbol.detail
    elif symbol.detail:
        shown = f"{symbol.name} = {symbol.detail}"
    lines = [f"```asar\n{shown}\n```"]
    if symbol.value is not None:
        lines.append(number_text(symbol.value))
        facts = _facts_at(snapshot, symbol.value)
        lines += [fact_text(fact) for fact in facts[:1]]
    if symbol.doc:
        lines.append(symbol.doc)
    owner = snapshot.project.files.get(symbol.path)
    where = f"line {owner.text.line_of(symbol.name_span.start) + 1}" if owner else ""
    place = where if symbol.path == from_path else f"{symbol.path.rpartition('/')[2]}, {where}"
    lines.append(f"*{symbol.kind}, {place}*")
    return "\n\n".join(lines)


# --- numbers and facts -----------------------------------------------------------------------------------------

def number_at(node: Any, at: int) -> Number | None:
    """The number written at ``at`` anywhere below a statement."""
    waiting = [node]
    while waiting:      # a stack of its own: an expression may be thousands of terms deep
        one = waiting.pop()
        if isinstance(one, Number):
            if one.start <= at <= one.end:
                return one
        elif isinstance(one, tuple):
            waiting += one
        elif is_dataclass(one) and not isinstance(one, type):
            if isinstance(one, Operand) and not one.start <= at <= one.end:
                continue
            waiting += [getattr(one, field.name) for field in fields(one)]
    return None


def number_text(value: int) -> str:
    """``$12 = 18 = %00010010``, and the negative reading where the top bit is set."""
    width = 1 if 0 <= value < 0x100 else 2 if 0 <= value < 0x10000 else 3
    if value < 0:
        return f"{value}"
    parts = [f"${value:0{2 * width}X}", str(value)]
    if width <= 2:
        parts.append(f"%{value:0{8 * width}b}")
    if width <= 2 and value >> (8 * width - 1):
        parts.append(str(value - (1 << 8 * width)))
    return "`" + "` = `".join(parts) + "`"


def _number(snapshot: Snapshot, number: Number, *, address: bool) -> str:
    assert isinstance(number.value, int)
    facts = _facts_at(snapshot, number.value) if address and number.base == 16 else ()
    return "\n\n".join([number_text(number.value), *map(fact_text, facts)])


def _facts_at(snapshot: Snapshot, value: int) -> tuple[Fact, ...]:
    exact = snapshot.facts.at(value)
    register = None if exact else canonical_register(value)
    return exact or (snapshot.facts.at(register) if register is not None else ())


def fact_text(fact: Fact) -> str:
    """A named address as Markdown, with its bits."""
    head = f"**{fact.name}** `${fact.address:0{6 if fact.address > 0xFFFF else 4}X}` — {fact.title}"
    lines = [head]
    if fact.kind == "register":
        lines.append("- " + _ACCESS.get(fact.access, fact.access) + (f", {8 * fact.size} bits" if fact.size > 1 else "")
                     + (f"; {fact.when}" if fact.when else ""))
    for bit in fact.bits:
        place = f"{bit.high}" if bit.high == bit.low else f"{bit.high}-{bit.low}"
        values = "; ".join(f"{value} = {meaning}" for value, meaning in bit.values)
        lines.append(f"- bit {place}: {bit.name}" + (f" ({values})" if values else ""))
    if fact.body:
        lines += ["", fact.body]
    return "\n".join(lines)
