"""NAY-SNES1: a read of a register that can only be written; NAY-SNES2: a write to one that can only be read.

Only where the address is written out as a number. A 16-bit address means a register only while the data bank shows
one, so nothing is said where the routine touched the data bank before. The warning stands on what each block of text
holds by itself and is kept with it; only a finding looks back through its routine.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

from nayru_lsp.asm import parse_line
from nayru_lsp.asm.encode import SUFFIXES, literal_width
from nayru_lsp.asm.syntax import Dialect, Instruction, Label, LabelKind, Number, OperandShape
from nayru_lsp.hookspecs import ParsedFile, Problem, Project, Severity, Span
from nayru_snes.operands import READ_WRITES, READS, STORES, statements_before
from nayru_snes.registers import read_at, registers_at, written_at

# A number that may be a register's address.
_CANDIDATE = re.compile(r"\$(?:[0-9A-Fa-f]{2})?(?:2[01]|4[0-3])[0-9A-Fa-f]{2}(?![0-9A-Fa-f])")
_ROUTINE = 400      # logical lines looked back for PHB, PLB


class _Finding(NamedTuple):
    start: int          # from the start of the block
    end: int
    code: str
    message: str
    banked: bool        # the address has no bank of its own


def check(project: Project, file: ParsedFile) -> Iterable[Problem]:
    if project.foreign(file.path):
        return
    at = 0
    for block in file.blocks:
        key = "snes"
        found = block.notes.get(key)
        if found is None:
            found = block.notes[key] = tuple(_findings(block.text, block.lines, block.starts, file.dialect))
        for finding in found:
            start = at + finding.start
            if file.scope_at(start).arch == "65816" and not (finding.banked and _bank_touched(file, start)):
                yield Problem(file.path, Span(start, at + finding.end), finding.code, Severity.WARNING,
                              finding.message, "snes")
        at += block.length


def _findings(text: str, lines: list[str], starts: list[int], dialect: Dialect) -> Iterable[_Finding]:
    if _CANDIDATE.search(text) is None:
        return
    for start, raw in zip(starts, lines, strict=False):
        if "$" not in raw or _CANDIDATE.search(raw) is None:
            continue
        for statement in parse_line(raw, dialect).statements:
            if isinstance(statement, Instruction):
                finding = _finding(start, statement)
                if finding is not None:
                    yield finding


def _finding(start: int, instruction: Instruction) -> _Finding | None:
    operand, name = instruction.operand, instruction.mnemonic
    if operand is None or operand.shape is not OperandShape.PLAIN or not isinstance(operand.value, Number):
        return None
    number = operand.value
    if number.base != 16 or not isinstance(number.value, int):
        return None
    width = SUFFIXES.get(instruction.suffix) or literal_width(number)
    address = number.value
    if width not in (2, 3) or (width == 2 and address > 0xFFFF) or not registers_at(address):
        return None
    readable, writable = read_at(address), written_at(address)
    span = (start + operand.value.start, start + operand.value.end)
    if (name in READS or name in READ_WRITES) and readable is None and writable is not None:
        message = f"{writable.name} can only be written; a read gives what was last on the bus"
        return _Finding(*span, "NAY-SNES1", message, width == 2)
    if name in STORES and writable is None and readable is not None:
        return _Finding(*span, "NAY-SNES2", f"{readable.name} can only be read; this write has no effect", width == 2)
    return None


def _bank_touched(file: ParsedFile, offset: int) -> bool:
    """Is the data bank saved or set between the last main label and here (or is the start of the routine too far)?"""
    start = offset
    for begin, _, statement in statements_before(file, offset, _ROUTINE):
        start = begin
        if isinstance(statement, Instruction) and statement.mnemonic in ("PLB", "PHB", "MVN", "MVP"):
            return True
        if isinstance(statement, Label) and statement.kind is LabelKind.MAIN:
            return False
    return start > 0
