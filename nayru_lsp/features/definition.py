"""``textDocument/definition``: names across files, and the file that an include names."""

from __future__ import annotations

from lsprotocol import types

from nayru_lsp.asm.project import ParsedFile
from nayru_lsp.convert import to_range, to_uri
from nayru_lsp.features.names import definitions_at, include_at
from nayru_lsp.snapshot import Snapshot

LIMIT = 50


def definition(snapshot: Snapshot, file: ParsedFile, offset: int) -> list[types.Location]:
    project = snapshot.project
    include = include_at(file, offset)
    if include is not None and not include.opaque:
        target = project.resolve_include(file.path, include.name)
        if target is not None and target in project.files:
            start = types.Position(line=0, character=0)
            return [types.Location(uri=to_uri(target), range=types.Range(start=start, end=start))]
        return []
    found = []
    for symbol in definitions_at(project, file, offset)[:LIMIT]:
        owner = project.files.get(symbol.path)
        if owner is not None:
            found.append(types.Location(uri=to_uri(symbol.path),
                                        range=to_range(owner.text, symbol.name_span, snapshot.encoding)))
    return found
