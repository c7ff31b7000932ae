"""What stands at a position: the mention or the definition whose name covers it. Reads one block, not the file."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace

from nayru_lsp.asm.expanded import Expanded, Unclear
from nayru_lsp.asm.expansion import Made
from nayru_lsp.asm.mapping import MappingMode
from nayru_lsp.asm.project import ParsedFile, Project
from nayru_lsp.asm.symbol_files import home
from nayru_lsp.asm.symbols import Include, Reference, Symbol
from nayru_lsp.asm.text import Span
from nayru_lsp.snapshot import Snapshot

MAX_DEFINE = 2_000      # characters that a define is expanded to
MAX_NESTING = 16
NAMES = 6               # of one address that are listed
_LABELS = frozenset({"label", "sub label", "assignment", "struct"})
_USE = re.compile(r"!(?:\{(\w+)\}|(\w+))", re.ASCII)


def reference_at(file: ParsedFile, offset: int) -> Reference | None:
    """The mention that covers ``offset`` (its end counts: the cursor stands behind the name); the innermost one."""
    found = file.index_at(offset)
    if found is None:
        return None
    start, block, index = found
    covering = [reference for reference in block.references(index)
                if reference.span.start <= offset - start <= reference.span.end]
    if not covering:
        return None
    best = max(covering, key=lambda reference: reference.span.start)
    return replace(best, path=file.path, span=Span(best.span.start + start, best.span.end + start))


def symbol_at(file: ParsedFile, offset: int) -> Symbol | None:
    """The definition whose name covers ``offset``."""
    found = file.index_at(offset)
    if found is None:
        return None
    start, _, index = found
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
    for symbol in file.definitions(reference.name):
        if symbol.span.start > reference.span.start:
            if forward:
                return symbol
            break
        before = symbol
    return None if forward else before


# --- what executing the root found ---------------------------------------------------------------------------------

def made_at(snapshot: Snapshot, file: ParsedFile, offset: int) -> tuple[Expanded, Made] | None:
    """The label that the name at ``offset`` means, as an execution made it."""
    expanded = snapshot.expanded_of(file.path)
    name = reference_at(file, offset) or symbol_at(file, offset)
    if expanded is None or name is None or name.kind not in _LABELS:
        return None
    made = expanded.label(name.name, name.namespace if isinstance(name, Reference) else "")
    if made is None:
        made = _made_in_namespace(snapshot.project, expanded, definitions_at(snapshot.project, file, offset))
    return None if made is None else (expanded, made)


def _made_in_namespace(project: Project, expanded: Expanded, symbols: tuple[Symbol, ...]) -> Made | None:
    """The label that was made where the index has the only definition: in a namespace that was begun in another file
    it has a longer name."""
    owner = project.files.get(symbols[0].path) if len(symbols) == 1 else None
    if owner is None:
        return None
    symbol = symbols[0]
    row = expanded.executed_row(owner.path, owner.text, owner.text.line_of(owner.line_at(symbol.name_span.start)[0]))
    if row is None:
        return None
    found = [made for made in expanded.places(owner.path, row) if made.name.endswith(f"_{symbol.name}")]
    return found[0] if len(found) == 1 else None


def executed_at(snapshot: Snapshot, file: ParsedFile, offset: int) -> tuple[Expanded, int] | None:
    """(the execution, the row in it) of the line at ``offset``; None where it is another line than was executed."""
    expanded = snapshot.expanded_of(file.path)
    if expanded is None:
        return None
    row = expanded.executed_row(file.path, file.text, file.text.line_of(file.line_at(offset)[0]))
    return None if row is None else (expanded, row)


def define_at(expanded: Expanded, path: str, row: int, name: str) -> tuple[str, str] | None:
    """(value, what that expands to in the end) of ``!name`` at a line; None where it is not defined or not known."""
    value = expanded.define_at(path, row, name)
    if not isinstance(value, str):
        return None
    whole = value
    for _ in range(MAX_NESTING):
        known: dict[str, str | Unclear | None] = {
            one: expanded.define_at(path, row, one) for match in _USE.finditer(whole) for one in match.groups() if one}
        if not known:
            break
        if not all(isinstance(text, str) for text in known.values()):
            return value, value
        whole = _USE.sub(lambda match, known=known: str(known[match[1] or match[2]]), whole)    # type: ignore[misc]
        if len(whole) > MAX_DEFINE:
            return value, value
    return value, whole


def address_text(address: int) -> str:
    """``$80:8123``"""
    return f"${address >> 16 & 0xFF:02X}:{address & 0xFFFF:04X}"


# --- names of an address -------------------------------------------------------------------------------------------

def labels_at(snapshot: Snapshot, path: str, address: int) -> tuple[Expanded, tuple[Made, ...]] | None:
    """The labels that stand at an address, or where the same byte is seen, as an execution made them; and the names
    that are set to a long address."""
    expanded = snapshot.expanded_of(path)
    if expanded is None:
        return None
    mode = MappingMode(expanded.mapping_mode)
    here = home(mode, address)
    found: dict[str, Made] = {}
    for value in dict.fromkeys((address, address ^ 0x800000, address & 0xFFFF, here)):
        if value == address or home(mode, value) == here:
            found |= {made.name: made for made in expanded.labels_of(value)
                      if value > 0xFFFF or not expanded.is_number(made)}
    return (expanded, tuple(found.values())) if found else None


def listed(names: Iterable[str]) -> str:
    """Names as Markdown, the first few."""
    known = list(names)
    return ", ".join(f"`{plain(name)}`" for name in known[:NAMES]) + (
        f" and {len(known) - NAMES} more" if len(known) > NAMES else "")


def plain(name: str) -> str:
    """A name from a file that anybody may have written: nothing in it is Markdown, or turns the text around."""
    return "".join(char if char.isprintable() else "?" for char in name).replace("`", "'")


def filed(snapshot: Snapshot, path: str, address: int, known: Iterable[str] = ()) -> list[str]:
    """What the symbol files call an address, besides the names that are known; one sentence per file."""
    skipped = set(known)
    found = []
    for file in snapshot.symbols_of(path):
        names = [name for name in file.at(address) if name not in skipped]
        if names:
            skipped.update(names)
            found.append(f"{listed([file.path.rpartition('/')[2]])} calls `{address_text(address)}` {listed(names)}")
    return found
