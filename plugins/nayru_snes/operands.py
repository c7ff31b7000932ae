"""What an instruction plainly touches: its address and the constant it writes. Unknown stays unknown."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from nayru_lsp.asm import evaluate, parse_line, widths_before
from nayru_lsp.asm.encode import SUFFIXES, operand_width
from nayru_lsp.asm.syntax import Directive, Expr, Instruction, Label, Line, Operand, OperandShape, Statement
from nayru_lsp.hookspecs import ParsedFile, Project

STORES = {"STA": "A", "STX": "X", "STY": "Y", "STZ": ""}
READS = frozenset("LDA LDX LDY ORA AND EOR ADC SBC CMP CPX CPY BIT".split())
READ_WRITES = frozenset("ASL LSR ROL ROR INC DEC TSB TRB".split())
_LOADS = {"LDA": "A", "LDX": "X", "LDY": "Y"}
# Instructions behind which a register's constant still holds.
_HARMLESS = READ_WRITES | STORES.keys() | frozenset(
    "CMP CPX CPY BIT NOP CLC SEC CLD SED CLI SEI CLV PHA PHX PHY PHP PHB PHK PHD PEA PEI PER "
    "BCC BCS BEQ BNE BMI BPL BVC BVS WDM".split())
_CHANGES = {"A": frozenset("LDA PLA TXA TYA TDC TSC XBA ORA AND EOR ADC SBC".split()),
            "X": frozenset("LDX PLX TAX TYX TSX INX DEX".split()), "Y": frozenset("LDY PLY TAY TXY INY DEY".split())}
_DEFINE = re.compile(r"!(?:\{(\w+)\}|(\w+))")
LOOK_BACK = 40      # logical lines from a store up to the load of its value


@dataclass(frozen=True, slots=True)
class Store:
    """``width`` in bits; ``sure``: known from the code, not taken from the way the constant is written."""

    address: int
    value: int
    width: int
    sure: bool


def constant(project: Project, name: str) -> str | None:
    """The text of the one plain number that ``name`` (a label assignment, or a define with its ``!``) is."""
    found = project.definitions(name)
    if len(found) != 1 or found[0].value is None or found[0].kind not in ("assignment", "define"):
        return None
    value = found[0].value
    return found[0].detail.strip().strip('"') or f"${value:04X}"


def _lookup(project: Project, name: str) -> int | None:
    found = project.definitions(name)
    return found[0].value if len(found) == 1 and found[0].kind == "assignment" else None


def operand_of(project: Project, line: Line, instruction: Instruction) -> Operand | None:
    """The operand, with defines that are plain numbers put in."""
    operand = instruction.operand
    if operand is None or operand.shape is not OperandShape.OPAQUE:
        return operand
    text = line.raw[operand.start:operand.end]
    for _ in range(8):
        match = _DEFINE.search(text)
        if match is None:
            break
        number = constant(project, "!" + (match[1] or match[2]))
        if number is None:
            return None
        text = text[:match.start()] + number + text[match.end():]
    suffix = f".{instruction.suffix}" if instruction.suffix else ""
    statements = parse_line(f"{instruction.mnemonic}{suffix} {text}").statements
    read = statements[0] if len(statements) == 1 else None
    return read.operand if isinstance(read, Instruction) else None


def number_of(project: Project, expr: Expr | None) -> int | None:
    return None if expr is None else evaluate(expr, lambda name: _lookup(project, name))


def address_of(project: Project, line: Line, instruction: Instruction) -> int | None:
    """The address of a plain absolute or long operand; None for direct page, indexed and indirect ones."""
    operand = operand_of(project, line, instruction)
    if operand is None or operand.shape is not OperandShape.PLAIN or operand.value is None:
        return None
    value = number_of(project, operand.value)
    if value is None:
        return None
    width = SUFFIXES.get(instruction.suffix) or operand_width(operand.value) or (3 if value > 0xFFFF else 2)
    return None if width == 1 else value & 0xFFFF if width == 2 else value & 0xFFFFFF


def statements_before(file: ParsedFile, offset: int, lines: int = LOOK_BACK) -> Iterator[tuple[int, Line, Statement]]:
    """(start of the line, line, statement) before ``offset``, nearest first, over at most so many lines."""
    start, line = file.line_at(offset)
    for _ in range(lines):
        for statement in reversed(line.statements):
            if start + statement.start < offset:
                yield start, line, statement
        if start == 0:
            return
        start, line = file.line_at(start - 1)


def store_at(project: Project, file: ParsedFile, start: int, line: Line, instruction: Instruction) -> Store | None:
    """What a store writes, when its register was loaded with a constant just before and nothing came between."""
    register = STORES.get(instruction.mnemonic)
    address = address_of(project, line, instruction) if register is not None else None
    if register is None or address is None:
        return None
    at = start + instruction.start
    state = widths_before(file, at)
    known = state.m if register in ("A", "") else state.x
    if register == "":
        return Store(address, 0, known or 8, known is not None)
    for begin, other_line, other in statements_before(file, at):
        if isinstance(other, Label | Directive) or not isinstance(other, Instruction):
            return None
        if _LOADS.get(other.mnemonic) == register:
            operand = operand_of(project, other_line, other)
            if operand is None or operand.shape is not OperandShape.IMMEDIATE or operand.value is None:
                return None
            value = number_of(project, operand.value)
            written = SUFFIXES.get(other.suffix) or operand_width(operand.value, immediate=True)
            if value is None or written is None or widths_before(file, begin + other.start) != state:
                return None
            width = known or 8 * min(written, 2)
            return Store(address, value & (1 << width) - 1, width, known is not None)
        if other.mnemonic in _CHANGES[register] or not _keeps(other, register):
            return None
    return None


def _keeps(instruction: Instruction, register: str) -> bool:
    name = instruction.mnemonic
    if name in READ_WRITES and (instruction.operand is None or instruction.operand.value is None
                                or instruction.operand.shape is OperandShape.IMMEDIATE):
        return register != "A"      # ``asl``, ``inc a``, ``asl #4``
    return name in _HARMLESS or any(name in changed for other, changed in _CHANGES.items() if other != register)
