"""``textDocument/definition``: names across files, labels that macros make, and the file that an include names."""

from __future__ import annotations

from lsprotocol import types

from nayru_lsp.asm.expanded import Expanded
from nayru_lsp.asm.project import ParsedFile
from nayru_lsp.asm.text import Span
from nayru_lsp.convert import to_range, to_uri
from nayru_lsp.features.names import definitions_at, include_at, made_at
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
    return found or _made(snapshot, file, offset)


def _made(snapshot: Snapshot, file: ParsedFile, offset: int) -> list[types.Location]:
    """A label that only an execution knows: the line that made it, in a macro's body mostly, and the outermost call."""
    found = made_at(snapshot, file, offset)
    if found is None:
        return []
    expanded, made = found
    places = dict.fromkeys([(made.path, made.row), *made.calls[:1]])
    return [location for path, row in places if (location := _line(snapshot, expanded, path, row)) is not None]


def _line(snapshot: Snapshot, expanded: Expanded, path: str, row: int) -> types.Location | None:
    """The first word of a line; None where it is another text by now."""
    owner = snapshot.project.files.get(path)
    now = expanded.row_now(path, owner.text, row) if owner is not None else None
    if owner is None or now is None:
        return None
    line, start = owner.text.line(now), owner.text.line_start(now)
    word = Span(start + len(line) - len(line.lstrip()), start + len(line) - len(line.lstrip()) + len(
        (line.split() or [""])[0]))
    return types.Location(uri=to_uri(path), range=to_range(owner.text, word, snapshot.encoding))
