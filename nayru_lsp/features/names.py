"""What stands at a position: the mention or the definition whose name covers it."""

from __future__ import annotations

from bisect import bisect_right

from nayru_lsp.asm.project import ParsedFile, Project
from nayru_lsp.asm.symbols import Include, Reference, Symbol


def reference_at(file: ParsedFile, offset: int) -> Reference | None:
    """The mention that covers ``offset`` (its end counts: the cursor stands behind the name)."""
    references = file.references
    index = bisect_right(references, offset, key=lambda reference: reference.span.start) - 1
    # Mentions may nest (a define inside a name): the innermost that covers the offset starts last.
    for candidate in references[max(0, index - 3):index + 1][::-1]:
        if candidate.span.start <= offset <= candidate.span.end:
            return candidate
    return None


def symbol_at(file: ParsedFile, offset: int) -> Symbol | None:
    """The definition whose name covers ``offset``."""
    symbols = file.symbols
    index = bisect_right(symbols, offset, key=lambda symbol: symbol.name_span.start) - 1
    for candidate in symbols[max(0, index - 3):index + 1][::-1]:
        if candidate.name_span.start <= offset <= candidate.name_span.end:
            return candidate
    return None


def include_at(file: ParsedFile, offset: int) -> Include | None:
    return next((include for include in file.includes if include.span.start <= offset <= include.span.end), None)


def definitions_at(project: Project, file: ParsedFile, offset: int) -> tuple[Symbol, ...]:
    """What the name at ``offset`` means: its definitions, those in the same file first."""
    reference = reference_at(file, offset)
    symbol = symbol_at(file, offset)
    name = reference.name if reference else symbol.name if symbol else ""
    found = project.definitions(name) if name else ()
    if not found and symbol is not None:
        found = (symbol,)
    return tuple(sorted(found, key=lambda one: (one.path != file.path, one.path, one.span)))
