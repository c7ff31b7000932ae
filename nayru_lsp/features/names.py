"""What stands at a position: the mention or the definition whose name covers it. Reads one block, not the file."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from nayru_lsp.asm.project import ParsedFile, Project
from nayru_lsp.asm.symbols import Include, Reference, Symbol
from nayru_lsp.asm.text import Span


def reference_at(file: ParsedFile, offset: int) -> Reference | None:
    """The mention that covers ``offset`` (its end counts: the cursor stands behind the name); the innermost one."""
    found = file.block_at(offset)
    if found is None:
        return None
    start, block = found
    index = next(index for at, one, index in file.indexes if at == start)
    covering = [reference for reference in block.references(index)
                if reference.span.start <= offset - start <= reference.span.end]
    if not covering:
        return None
    best = max(covering, key=lambda reference: reference.span.start)
    return replace(best, path=file.path, span=Span(best.span.start + start, best.span.end + start))


def symbol_at(file: ParsedFile, offset: int) -> Symbol | None:
    """The definition whose name covers ``offset``."""
    found = file.block_at(offset)
    if found is None:
        return None
    for start, _, index in file.indexes:
        if start == found[0]:
            for symbol in index.symbols:
                if symbol.name_span.start <= offset - start <= symbol.name_span.end:
                    return placed(file, symbol, start)
    return None


def placed(file: ParsedFile, symbol: Symbol, start: int) -> Symbol:
    """A symbol of the block at ``start``, with its place in the file."""
    return replace(symbol, path=file.path, span=Span(symbol.span.start + start, symbol.span.end + start),
                   name_span=Span(symbol.name_span.start + start, symbol.name_span.end + start))


def own_symbols(file: ParsedFile) -> Iterator[tuple[int, Symbol]]:
    """(start of its block, symbol) of a file, in text order, without placing each."""
    for start, _, index in file.indexes:
        for symbol in index.symbols:
            yield start, symbol


def include_at(file: ParsedFile, offset: int) -> Include | None:
    return next((include for include in file.includes if include.span.start <= offset <= include.span.end), None)


def definitions_at(project: Project, file: ParsedFile, offset: int) -> tuple[Symbol, ...]:
    """What the name at ``offset`` means: its definitions, those in the same file first."""
    reference = reference_at(file, offset)
    if reference is not None and reference.kind == "relative label":
        target = relative_target(file, reference)
        return (target,) if target is not None else ()
    if reference is not None:
        found = project.resolve(reference)
        return tuple(sorted(found, key=lambda one: (one.path != file.path, one.path, one.span)))
    symbol = symbol_at(file, offset)
    return (symbol,) if symbol is not None else ()


def relative_target(file: ParsedFile, reference: Reference) -> Symbol | None:
    """Where ``+`` goes: the next label of that name below; ``-``: the last one above (or on its line)."""
    forward = reference.name.lstrip("?").startswith("+")
    before: Symbol | None = None
    at = 0
    for start, symbol in own_symbols(file):
        if symbol.kind == "relative label" and symbol.name == reference.name:
            if symbol.span.start + start > reference.span.start:
                if forward:
                    return placed(file, symbol, start)
                break
            before, at = symbol, start
    return None if forward or before is None else placed(file, before, at)
