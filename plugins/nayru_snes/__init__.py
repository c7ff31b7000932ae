"""nayru_snes: the SNES's hardware registers as facts with bits, access and timing; checks, hover, prompt context."""

from __future__ import annotations

from typing import Any

from nayru_lsp.asm.syntax import Instruction
from nayru_lsp.hookspecs import Fact, Fragment, ParsedFile, Project, Snapshot, hookimpl
from nayru_snes.checks import check
from nayru_snes.decode import decode
from nayru_snes.operands import address_of, statements_before, store_at
from nayru_snes.registers import REGISTERS, registers_at, written_at

CONTEXT_LINES = 24      # logical lines above the cursor whose registers the model is told about
CONTEXT_REGISTERS = 8
_ACCESS = {"r": "read", "w": "write", "rw": "read, write", "w2": "write twice"}


@hookimpl
def nayru_register_facts(register: Any) -> None:
    for fact in REGISTERS:
        register(fact)


@hookimpl
def nayru_register_checks(register: Any) -> None:
    register("NAY-SNES", check)


@hookimpl
def nayru_hover(snapshot: Snapshot, file: ParsedFile, offset: int) -> str | None:
    """A store of a known constant, bit by bit; on the mnemonic also the name of the register."""
    start, line, statement = file.statement_at(offset)
    if not isinstance(statement, Instruction) or (line.comment is not None and offset - start > line.comment[0]):
        return None
    store = store_at(snapshot.project, file, start, line, statement)
    if store is not None:
        return _written(store.address, store.value, store.width, store.sure)
    if offset - start > statement.mnemonic_end:
        return None         # on the operand the fact itself is shown
    address = address_of(snapshot.project, line, statement)
    named = registers_at(address) if address is not None else ()
    return "\n\n".join(f"**{fact.name}** `${fact.address:04X}` — {fact.title} ({_ACCESS[fact.access]})"
                       for fact in named) or None


def _written(address: int, value: int, width: int, sure: bool) -> str | None:
    parts = []
    for offset in range(width // 8):
        fact = written_at(address + offset)
        if fact is not None:
            byte = value >> 8 * offset & 0xFF
            head = f"Writes `${byte:02X}` = `%{byte:08b}` to **{fact.name}** (${fact.address:04X}), {fact.title}:"
            parts.append(f"{head}\n\n{decode(byte, fact)}")
    if parts and not sure:
        parts.append(f"(if the register is {width}-bit here)")
    return "\n\n".join(parts) or None


@hookimpl
def nayru_context(snapshot: Snapshot, file: ParsedFile, offset: int) -> list[Fragment]:
    """The registers touched above the cursor, nearest first, one fragment each."""
    return [Fragment(fact.name, _brief(fact), 0.6 - 0.05 * rank)
            for rank, fact in enumerate(_near(snapshot.project, file, offset))]


def _near(project: Project, file: ParsedFile, offset: int) -> list[Fact]:
    found: dict[str, Fact] = {}
    for _, line, statement in statements_before(file, offset, CONTEXT_LINES):
        if isinstance(statement, Instruction):
            address = address_of(project, line, statement)
            for fact in registers_at(address) if address is not None else ():
                found.setdefault(fact.name, fact)
        if len(found) >= CONTEXT_REGISTERS:
            break
    return list(found.values())[:CONTEXT_REGISTERS]


def _brief(fact: Fact) -> str:
    """Two or three comment lines."""
    bits = "; ".join(f"{field.high}{f'-{field.low}' if field.low != field.high else ''} {field.name}"
                     for field in fact.bits)
    access = f"{_ACCESS[fact.access]}, {fact.when}"
    lines = [f"; {fact.name} ${fact.address:04X}: {fact.title} ({access})", f";   bits {bits}"]
    if fact.body:
        lines.append(f";   {fact.body}")
    return "\n".join(lines)
