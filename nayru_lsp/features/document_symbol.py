"""``textDocument/documentSymbol``: main labels with their sub labels below them, in text order."""

from __future__ import annotations

from itertools import pairwise

from lsprotocol import types

from nayru_lsp.asm.project import ParsedFile
from nayru_lsp.asm.symbols import Symbol
from nayru_lsp.asm.text import Span
from nayru_lsp.convert import to_range, to_uri
from nayru_lsp.snapshot import Snapshot

LIMIT = 20_000

_KINDS = {
    "label": types.SymbolKind.Function,
    "sub label": types.SymbolKind.Field,
    "assignment": types.SymbolKind.Constant,
    "define": types.SymbolKind.Variable,
    "macro": types.SymbolKind.Method,
    "function": types.SymbolKind.Operator,
    "struct": types.SymbolKind.Struct,
    "namespace": types.SymbolKind.Namespace,
}


def document_symbol(snapshot: Snapshot, file: ParsedFile) -> list[types.DocumentSymbol] | list[
        types.SymbolInformation]:
    symbols = [symbol for symbol in file.symbols if symbol.kind in _KINDS][:LIMIT]
    if not snapshot.client.hierarchical_symbols:
        return [types.SymbolInformation(
            name=symbol.short, kind=_KINDS[symbol.kind], container_name=symbol.scope or None,
            location=types.Location(uri=to_uri(file.path), range=to_range(file.text, symbol.span, snapshot.encoding)))
            for symbol in symbols]
    mains = [symbol for symbol in symbols if symbol.kind == "label"]
    # A main label reaches to the next one, so that the editor knows which routine the cursor is in.
    ends = {id(symbol): max(symbol.span.end, following.span.start)
            for symbol, following in pairwise(mains)}
    top: list[types.DocumentSymbol] = []
    owners: dict[str, types.DocumentSymbol] = {}        # labels and structs by name, the last of each
    for symbol in symbols:
        end = ends.get(id(symbol), file.text.length) if symbol.kind == "label" else symbol.span.end
        item = _item(snapshot, file, symbol, end)
        owner = owners.get(symbol.scope) if symbol.kind == "sub label" else None
        if owner is None:
            top.append(item)
        else:
            owner.children = [*(owner.children or ()), item]
            if _before(owner.range.end, item.range.end):
                owner.range = types.Range(start=owner.range.start, end=item.range.end)
        if symbol.kind in ("label", "struct"):
            owners[symbol.name] = item
    return top


def _before(one: types.Position, other: types.Position) -> bool:
    return (one.line, one.character) < (other.line, other.character)


def _item(snapshot: Snapshot, file: ParsedFile, symbol: Symbol, end: int) -> types.DocumentSymbol:
    return types.DocumentSymbol(
        name=symbol.short or symbol.name, kind=_KINDS[symbol.kind], detail=symbol.detail or None,
        range=to_range(file.text, Span(symbol.span.start, max(end, symbol.span.end)), snapshot.encoding),
        selection_range=to_range(file.text, symbol.name_span, snapshot.encoding))
