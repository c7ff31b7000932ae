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
    parent: types.DocumentSymbol | None = None
    parent_name, parent_end = "", -1
    for symbol in symbols:
        end = ends.get(id(symbol), file.text.length) if symbol.kind == "label" else symbol.span.end
        item = _item(snapshot, file, symbol, end)
        if symbol.kind == "label":
            parent, parent_name, parent_end = item, symbol.name, end
            top.append(item)
        elif parent is not None and symbol.scope == parent_name and symbol.span.end <= parent_end:
            parent.children = [*(parent.children or ()), item]
        else:
            top.append(item)
    return top


def _item(snapshot: Snapshot, file: ParsedFile, symbol: Symbol, end: int) -> types.DocumentSymbol:
    return types.DocumentSymbol(
        name=symbol.short or symbol.name, kind=_KINDS[symbol.kind], detail=symbol.detail or None,
        range=to_range(file.text, Span(symbol.span.start, max(end, symbol.span.end)), snapshot.encoding),
        selection_range=to_range(file.text, symbol.name_span, snapshot.encoding))
