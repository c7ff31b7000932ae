"""``textDocument/hover``: an instruction with its bytes and cycles, a name with its value and its comment, a number;
and what executing the program made of it: addresses, bytes, labels of macros, the value of a define at this line."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from typing import Any

from lsprotocol import types

from nayru_lsp.asm.cost import cost
from nayru_lsp.asm.encode import size_of
from nayru_lsp.asm.expanded import BYTES, Expanded
from nayru_lsp.asm.expansion import Made
from nayru_lsp.asm.facts import Fact
from nayru_lsp.asm.flow import WidthState, widths_before
from nayru_lsp.asm.isa import MNEMONICS, Opcode, modes_for, opcode_for
from nayru_lsp.asm.mapping import canonical_register
from nayru_lsp.asm.parser import data_arguments
from nayru_lsp.asm.project import ParsedFile
from nayru_lsp.asm.symbols import Symbol
from nayru_lsp.asm.syntax import Directive, Group, Instruction, Line, Number, Operand, OperandShape, Statement
from nayru_lsp.asm.text import Span
from nayru_lsp.convert import to_range
from nayru_lsp.features.names import (
    address_text,
    define_at,
    definitions_at,
    executed_at,
    filed,
    labels_at,
    listed,
    made_at,
    reference_at,
    symbol_at,
)
from nayru_lsp.snapshot import Snapshot

_NO_ADDRESS = frozenset({
    OperandShape.NONE, OperandShape.ACCUMULATOR, OperandShape.IMMEDIATE, OperandShape.INDEXED_S,
    OperandShape.STACK_INDIRECT_Y, OperandShape.MOVE, OperandShape.OPAQUE})
_NO_MEMORY = frozenset({"PEA", "BRK", "COP", "WDM", "MVN", "MVP", "REP", "SEP"})
# Their operand lies in the bank of the code.
_CODE = frozenset({"JMP", "JSR", "BCC", "BCS", "BEQ", "BMI", "BNE", "BPL", "BRA", "BRL", "BVC", "BVS", "PER"})
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
            executed = _executed(snapshot, file, offset)
            if executed:
                text += f"\n- this line: {executed}"
            return _answer(snapshot, file, text, Span(start + statement.start, start + end))
    name = reference_at(file, offset) or symbol_at(file, offset)
    if name is not None:
        span = name.name_span if isinstance(name, Symbol) else name.span
        symbols = definitions_at(snapshot.project, file, offset)
        parts = [_symbols(snapshot, file, symbols)] if symbols else []
        if name.name.startswith("!"):
            parts += _define(snapshot, file, offset, name.name[1:])
        elif (made := made_at(snapshot, file, offset)) is not None:
            parts.append(made_text(snapshot, file.path, *made, known=symbols))
            expanded, label = made
            if label.value is not None and not expanded.is_number(label):
                parts += filed(snapshot, file.path, label.value, [label.name])
        if any(parts):
            return _answer(snapshot, file, "\n\n".join(filter(None, parts)), span)
        facts = snapshot.facts.named(name.name)
        if facts:
            return _answer(snapshot, file, "\n\n".join(map(fact_text, facts)), span)
    number = number_at(line, statement, at)
    if number is not None and isinstance(number.value, int):
        immediate = isinstance(statement, Instruction) and statement.operand is not None and (
            statement.operand.shape is OperandShape.IMMEDIATE)
        text = _number(snapshot, number, address=not immediate)
        address = address_of(snapshot, file, offset, statement, number)
        if address is not None:
            text = "\n\n".join([text, *_address(snapshot, file, address)])
        return _answer(snapshot, file, text, Span(start + number.start, start + number.end))
    if isinstance(statement, Directive) and statement.start <= at <= statement.name_end:
        executed = _executed(snapshot, file, offset)
        if executed:
            return _answer(snapshot, file, executed, Span(start + statement.start, start + statement.name_end))
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


# --- what executing the root found -------------------------------------------------------------------------------

def _executed(snapshot: Snapshot, file: ParsedFile, offset: int) -> str:
    """Where the line's bytes went, and which they are."""
    found = executed_at(snapshot, file, offset)
    address = found[0].address(file.path, found[1]) if found is not None else None
    if found is None or address is None:
        return ""
    expanded, row = found
    data, size = expanded.line_bytes(file.path, row), expanded.line_size(file.path, row)
    if data and size is not None:
        shown = data.hex(" ").upper() + (" ..." if size > BYTES else "")
        return f"`{address_text(address)}`: `{shown}`" + (f" ({size} bytes)" if size > 4 else "") + _late(expanded)
    first = " at first: it is executed several times" if expanded.wrote(file.path, row) and size is None else ""
    return f"`{address_text(address)}`{first}{_late(expanded)}"


def _late(expanded: Expanded) -> str:
    """Some file is another one now, and may have moved or changed what is told; or not all is executed yet."""
    return " (before the last change)" if expanded.moved else " (so far)" if expanded.early else ""


def made_text(snapshot: Snapshot, from_path: str, expanded: Expanded, made: Made,
              known: tuple[Symbol, ...] = ()) -> str:
    """A label as an execution made it: its value and, where the index does not know it, where it comes from."""
    lines = []
    if not known:
        lines.append(f"```asar\n{made.name}\n```")
    late = _late(expanded)
    if made.value is None:
        lines.append("its place is not known: " + next(iter(expanded.reasons), "there is no `org` before it"))
    elif not expanded.is_number(made):
        lines.append(f"`{address_text(made.value)}`{late}")
    elif not any(symbol.value is not None for symbol in known):
        lines.append(f"{number_text(made.value)}{late}")
    if made.calls or not known:
        macro = expanded.macro_at(made.path, made.row)
        where = _place(snapshot, from_path, expanded, made.path, made.row) + (f", in macro {macro}" if macro else "")
        if made.calls:
            where += f"; called from {_place(snapshot, from_path, expanded, *made.calls[0])}"
        lines.append(f"*made in {where}*")
    return "\n\n".join(lines)


def _place(snapshot: Snapshot, from_path: str, expanded: Expanded, path: str, row: int) -> str:
    owner = snapshot.project.files.get(path) if path in expanded.moved else None
    now = expanded.row_now(path, owner.text, row) if owner is not None else None
    row = row if now is None else now
    return f"line {row + 1}" if path == from_path else f"{path.rpartition('/')[2]}, line {row + 1}"


def _define(snapshot: Snapshot, file: ParsedFile, offset: int, name: str) -> list[str]:
    """The value of a define at this line."""
    found = executed_at(snapshot, file, offset)
    value = define_at(found[0], file.path, found[1], name) if found is not None else None
    if found is None or value is None:
        return []
    text, whole = (one.replace("`", "'") for one in value)
    return [f"here: `{text or ' '}`" + (f", which expands to `{whole}`" if whole != text else "") + _late(found[0])]


# --- numbers and facts -----------------------------------------------------------------------------------------

def number_at(line: Line, statement: Statement | None, at: int) -> Number | None:
    """The number written at ``at`` anywhere below a statement."""
    waiting: list[Any] = [data_arguments(line, statement) if isinstance(statement, Directive) else statement]
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


def address_of(snapshot: Snapshot, file: ParsedFile, offset: int, statement: Any, number: Number) -> int | None:
    """The 24-bit address that a number means where it stands; None where it is none, or rests on a bank that is not
    known."""
    if number.base != 16 or not isinstance(number.value, int) or not 0 <= number.value <= 0xFFFFFF:
        return None
    long = number.end - number.start > 5        # $7E0010
    if isinstance(statement, Directive):
        return number.value if long or statement.name in ("org", "base") else None
    if not isinstance(statement, Instruction) or file.scope_at(offset).arch != "65816" or (
            snapshot.project.foreign(file.path)):
        return number.value if long and not isinstance(statement, Instruction) else None
    operand = statement.operand
    if operand is None or operand.shape in _NO_ADDRESS or statement.mnemonic in _NO_MEMORY:
        return None
    if long:
        return number.value
    value = operand.value.inner if isinstance(operand.value, Group) else operand.value
    if value != number:
        return None
    mnemonic = MNEMONICS.get(statement.mnemonic)
    if mnemonic is None:
        return None
    if mnemonic.name in _CODE and operand.shape in (OperandShape.PLAIN, OperandShape.INDIRECT_X):
        bank = _code_bank(snapshot, file, offset)
        return None if bank is None else bank << 16 | number.value
    return number.value if number.value < 0x6000 else None      # what every bank of code and data shows


def _code_bank(snapshot: Snapshot, file: ParsedFile, offset: int) -> int | None:
    """The bank in which a line runs that was written once."""
    found = executed_at(snapshot, file, offset)
    if found is None or found[0].line_size(file.path, found[1]) is None:
        return None
    here = found[0].address(file.path, found[1])
    return None if here is None else here >> 16


def _address(snapshot: Snapshot, file: ParsedFile, address: int) -> list[str]:
    """What an address is called: its labels, then the names in symbol files."""
    found = labels_at(snapshot, file.path, address)
    parts = []
    names = []
    if found is not None:
        expanded, labels = found
        names = [made.name for made in labels]
        known = snapshot.project.definitions(names[0])[:1]
        parts = [symbol_text(snapshot, file.path, symbol) for symbol in known]
        parts.append(made_text(snapshot, file.path, expanded, labels[0], known=known))
        if names[1:]:
            parts.append(f"also {listed(names[1:])}")
    return [part for part in (*parts, *filed(snapshot, file.path, address, names)) if part]


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
