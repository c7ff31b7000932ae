"""Ours <-> the protocol's: the only position arithmetic, the only URI handling.

Ours are spans and offsets in code points; the protocol's are lines and characters counted in the agreed encoding.
Every conversion is total: what lies outside a text is clamped to it, as the protocol asks.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from urllib.parse import quote, unquote

from lsprotocol import types

from nayru_lsp.asm.problem import Problem
from nayru_lsp.asm.text import SourceText, Span
from nayru_lsp.snapshot import Snapshot

_DRIVE = re.compile(r"/[A-Za-z]:(?:/|$)")
ENCODINGS = ("utf-8", "utf-32", "utf-16")


# --- positions -------------------------------------------------------------------------------------------------

def _units(text: str, encoding: str) -> int:
    """The length of ``text`` in code units of ``encoding``."""
    if encoding == "utf-32" or text.isascii():
        return len(text)
    if encoding == "utf-8":
        return len(text.encode("utf-8", "surrogatepass"))
    return len(text) + sum(char > "\uffff" for char in text)


def to_offset(text: SourceText, position: types.Position, encoding: str) -> int:
    """The offset of ``position``; inside a character counts as before it."""
    if position.line >= text.line_count:
        return text.length
    start = text.line_start(position.line)
    line = text.line(position.line)
    if encoding == "utf-32" or line.isascii():
        return start + min(max(0, position.character), len(line))
    units = 0
    for index, char in enumerate(line):
        units += _units(char, encoding)
        if units > position.character:
            return start + index
    return start + len(line)


def to_position(text: SourceText, offset: int, encoding: str) -> types.Position:
    line = text.line_of(offset)
    start = text.line_start(line)
    before = text.slice(start, min(max(offset, start), text.line_end(line)))
    return types.Position(line=line, character=_units(before, encoding))


def to_span(text: SourceText, range_: types.Range, encoding: str) -> Span:
    start, end = to_offset(text, range_.start, encoding), to_offset(text, range_.end, encoding)
    return Span(start, end) if start <= end else Span(end, start)


def to_range(text: SourceText, span: tuple[int, int], encoding: str) -> types.Range:
    return types.Range(start=to_position(text, span[0], encoding), end=to_position(text, span[1], encoding))


# --- names of documents ----------------------------------------------------------------------------------------

def to_path(uri: str) -> str:
    """The path of a ``file:`` URI, however its characters were escaped ("C:/..." for a drive, "//host/share/..." for
    a share). Any other URI stands for itself: a document that is on no disk."""
    if uri[:5].lower() != "file:":
        return uri
    rest = uri[5:]      # a file URI has no query and no fragment: a bare "#" or "?" is part of a name
    host = ""
    if rest.startswith("//"):
        host, slash, rest = rest[2:].partition("/")
        rest = slash + rest
    path = unquote(rest) or "/"
    if host and host.lower() != "localhost":
        return f"//{unquote(host)}{path}"
    if _DRIVE.match(path):
        path = path[1].upper() + path[2:]
    return path.rstrip("/") if len(path) > 3 else path


def to_uri(path: str) -> str:
    """The URI of a path; the reverse of `to_path`."""
    if path.startswith("//"):
        return "file:" + quote(path)
    if path[1:2] == ":" and path[2:3] in ("/", ""):
        return f"file:///{path[0].lower()}:{quote(path[2:])}"
    return f"file://{quote(path)}" if path.startswith("/") else path


def is_on_disk(path: str) -> bool:
    """False for documents that only the editor has ("untitled:...")."""
    return path.startswith("/") or path[1:2] == ":"


# --- problems and edits ----------------------------------------------------------------------------------------

def to_diagnostic(problem: Problem, snapshot: Snapshot, text: SourceText) -> types.Diagnostic:
    related = None
    if problem.related and snapshot.client.related_information:
        related = []
        for other in problem.related:
            parsed = snapshot.project.files.get(other.path)
            if parsed is not None:
                related.append(types.DiagnosticRelatedInformation(
                    location=types.Location(uri=to_uri(other.path),
                                            range=to_range(parsed.text, other.span, snapshot.encoding)),
                    message=other.message))
    return types.Diagnostic(
        range=to_range(text, problem.span, snapshot.encoding), message=problem.message,
        severity=types.DiagnosticSeverity(int(problem.severity)), code=problem.code, source=problem.source,
        related_information=related)


def to_text_edits(text: SourceText, edits: Iterable[tuple[tuple[int, int], str]], encoding: str) -> list[
        types.TextEdit]:
    return [types.TextEdit(range=to_range(text, span, encoding), new_text=new) for span, new in edits]


def to_workspace_edit(path: str, version: int | None, edits: list[types.TextEdit], snapshot: Snapshot,
                      uri: str = "") -> types.WorkspaceEdit:
    """An edit of one document; with its version where the editor knows versions, so that it cannot land in other
    text than it was made for."""
    uri = uri or to_uri(path)
    if snapshot.client.versioned_edits:
        document = types.OptionalVersionedTextDocumentIdentifier(uri=uri, version=version)
        return types.WorkspaceEdit(document_changes=[types.TextDocumentEdit(text_document=document, edits=[*edits])])
    return types.WorkspaceEdit(changes={uri: edits})
