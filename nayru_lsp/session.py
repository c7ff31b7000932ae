"""The one mutable object: what is open, what the project is, what is wrong with it.

Touched by synchronous code on the event loop only; everybody else gets a `Snapshot`. The text of an open document is
ours: it is taken from ``didOpen`` and patched by ``didChange``, and never read back from pygls.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from lsprotocol import types

from nayru_lsp.asm.expanded import Expanded
from nayru_lsp.asm.facts import FactTable
from nayru_lsp.asm.parser import parse_text
from nayru_lsp.asm.problem import EXECUTED, Problem, joined
from nayru_lsp.asm.project import ParsedFile, Project, Root
from nayru_lsp.asm.symbol_files import AddressNames
from nayru_lsp.asm.syntax import Dialect
from nayru_lsp.asm.text import SourceText, Span
from nayru_lsp.config import Config
from nayru_lsp.convert import to_path, to_span
from nayru_lsp.snapshot import Client, Snapshot

Edit = tuple[Span, str]


@dataclass(slots=True)
class Document:
    """An open document. ``uri`` as the editor writes it: answers name the document the same way."""

    uri: str
    path: str
    version: int


class Session:
    def __init__(self, config: Config, facts: FactTable) -> None:
        self.config = config
        self.facts = facts
        self.client = Client()
        self.encoding = "utf-16"
        self.project = Project()
        self.documents: dict[str, Document] = {}
        self.folders: list[str] = []
        self.revision = 0
        self.text_revision = 0      # grows with texts only: what a validation of a root depends on
        self.problems = ProblemStore()
        self.expanded: dict[str, Expanded] = {}     # path of a root -> what executing it found
        self.symbols: Mapping[str, tuple[AddressNames, ...]] = {}   # workspace folder -> its symbol files
        self._snapshot: Snapshot | None = None

    # --- reading -----------------------------------------------------------------------------------------------

    def snapshot(self) -> Snapshot:
        """The frozen view of now; the same object until something changes."""
        if self._snapshot is None:
            self._snapshot = Snapshot(self.project, self.config, self.client, self.encoding, self.facts, self.revision,
                                      dict(self.expanded), self.symbols)
        return self._snapshot

    def file(self, uri: str) -> ParsedFile | None:
        return self.project.files.get(to_path(uri))

    def uri(self, path: str) -> str | None:
        """How the editor calls an open document."""
        document = self.documents.get(path)
        return document.uri if document else None

    def folder_of(self, path: str) -> str:
        """The innermost workspace folder that holds ``path``, or ""."""
        best = ""
        for folder in self.folders:
            if path.startswith(folder.rstrip("/") + "/") and len(folder) > len(best):
                best = folder
        return best

    # --- changing ----------------------------------------------------------------------------------------------

    def _moved(self, *, text: bool = False) -> None:
        self._snapshot = None
        self.revision += 1
        self.text_revision += text

    def _dialect(self, path: str) -> Dialect:
        return Dialect.ASAR_2 if self.config.project_for(path).dialect == Dialect.ASAR_2.value else Dialect.ASAR_1

    def parse(self, item: types.TextDocumentItem) -> ParsedFile:
        """What `open` makes of a document (in any thread): as it is known, or parsed, with all that is asked of it
        first."""
        path = to_path(item.uri)
        text, known, dialect = SourceText.of(item.text), self.project.files.get(path), self._dialect(path)
        if known is not None and known.dialect is dialect and known.text == text:
            return known
        parsed = parse_text(path, text, dialect)
        _ = parsed.outlines, parsed.includes
        return parsed

    def open(self, item: types.TextDocumentItem, parsed: ParsedFile | None = None) -> Document:
        """``didOpen``: from now on the text is the editor's. A second one for an open document replaces its text."""
        path = to_path(item.uri)
        document = self.documents[path] = Document(item.uri, path, item.version)
        if parsed is None or parsed.dialect is not self._dialect(path):
            parsed = self.parse(item)
        if not self._holds(path, parsed.text):
            self.put(parsed)
        return document

    def change(self, params: types.DidChangeTextDocumentParams) -> tuple[Document, list[Edit]] | None:
        """``didChange``: (document, edits in the order given, each in code points of the text before it), or None for
        a document that is not open."""
        document = self.documents.get(to_path(params.text_document.uri))
        if document is None:
            return None
        text = self.project.files[document.path].text
        edits: list[Edit] = []
        for change in params.content_changes:
            if isinstance(change, types.TextDocumentContentChangePartial):
                span = to_span(text, change.range, self.encoding)
                text = text.replace(span, change.text)
            else:
                span = Span(0, text.length)
                text = SourceText.of(change.text)
            edits.append((span, change.text))
        document.version = params.text_document.version
        path = document.path
        if not self._holds(path, text):
            self.put(parse_text(path, text, self._dialect(path), self.project.files[path]))
        self.problems.shift(document.path, edits)
        return document, edits

    def _holds(self, path: str, text: SourceText) -> bool:
        """Is this what is known of the file already, so that all that was found out about it holds?"""
        known = self.project.files.get(path)
        same = known is not None and known.dialect is self._dialect(path) and (known.text is text or known.text == text)
        if same:
            self._moved(text=True)
        return same

    def close(self, uri: str) -> Document | None:
        """``didClose``: the text is the disk's again (the caller reads it anew, or forgets it)."""
        document = self.documents.pop(to_path(uri), None)
        if document is not None and document.path in self.project.files:
            self.project.files[document.path].slim()
        return document

    def put(self, parsed: ParsedFile) -> None:
        self.project = self.project.with_file(parsed)
        self.outdate([parsed.path])
        self._moved(text=True)

    def adopt(self, files: Iterable[ParsedFile]) -> None:
        """Take files that were read and parsed elsewhere, but for those that the editor has open."""
        known = self.project.files
        taken = [parsed for parsed in files if parsed.path not in self.documents and not (
            parsed.path in known and known[parsed.path].text == parsed.text
            and known[parsed.path].dialect is parsed.dialect)]
        self.project = self.project.with_files(taken)
        for parsed in taken:
            self.outdate([parsed.path], parsed.text)
        self._moved(text=True)

    def drop(self, path: str) -> None:
        """The file is gone from the disk."""
        if path not in self.documents:
            self.project = self.project.without_file(path)
            self.outdate([path])
            self._moved(text=True)

    def add_blobs(self, paths: Iterable[str]) -> None:
        """Binary files that exist and may be included."""
        for path in paths:
            self.project = self.project.with_blob(path, b"")
        self._moved()

    def set_absent(self, absent: Sequence[tuple[str, str]]) -> None:
        """(including file, name) pairs that were looked for and are nowhere."""
        self.project = self.project.with_absent(absent)
        self._moved()

    def set_roots(self, roots: Sequence[Root]) -> None:
        if tuple(roots) != self.project.roots:
            self.project = self.project.with_roots(roots)
            self._moved(text=True)

    def set_config(self, config: Config) -> None:
        """Take a new configuration; files whose dialect it changes are parsed anew."""
        self.config = config
        for path, parsed in list(self.project.files.items()):
            if parsed.dialect is not self._dialect(path):
                self.put(parse_text(path, parsed.text, self._dialect(path)))
        self._moved()

    def set_expanded(self, root: str, expanded: Expanded | None) -> None:
        """What executing ``root`` found; None forgets it."""
        if expanded is not None:
            self.expanded[root] = expanded
        else:
            self.expanded.pop(root, None)
        self._snapshot = None

    def set_symbols(self, symbols: Mapping[str, tuple[AddressNames, ...]]) -> None:
        """The symbol files of each workspace folder."""
        self.symbols = symbols
        self._snapshot = None

    def outdate(self, paths: Iterable[str], text: SourceText | None = None) -> None:
        """These files are other ones now, unless a result was made of this very ``text``."""
        for root, expanded in self.expanded.items():
            touched = [path for path in paths if path not in expanded.moved and expanded.reads(path)
                       and (text is None or not expanded.is_text(path, text))]
            if touched:
                self.expanded[root] = expanded.with_moved(touched)
                self._snapshot = None

    def set_client(self, client: Client, encoding: str) -> None:
        self.client, self.encoding = client, encoding
        self._moved()


class ProblemStore:
    """What is known to be wrong, by who found it: own checks, reading the file; plugins and the expansion by root."""

    def __init__(self) -> None:
        self.own: dict[str, tuple[Problem, ...]] = {}
        self.reading: dict[str, tuple[Problem, ...]] = {}
        self.by_root: dict[Hashable, dict[str, tuple[Problem, ...]]] = {}

    def of(self, path: str) -> tuple[Problem, ...]:
        """Everything about ``path``, in text order, each finding once."""
        found = [*self.own.get(path, ()), *self.reading.get(path, ())]
        for files in self.by_root.values():
            found.extend(files.get(path, ()))
        own = [one for one in found if one.source == "nayru"]
        at_calls = [(code, span) for code, span in self._at_calls(path) if not any(
            code == one.code and span.start < one.span.end and one.span.start < span.end for one in own)]
        return joined(one for one in found if one.source == "nayru" or not any(
            code == one.code and span.start < one.span.end and one.span.start < span.end for code, span in at_calls))

    def _at_calls(self, path: str) -> list[tuple[str, Span]]:
        """(code, line in ``path``) of what an execution tells at calls of a macro: whoever else judges names the line,
        which is right at most calls."""
        return [(one.code, one.related[0].span) for files in self.by_root.values()
                for problems in files.values() for one in problems
                if one.source == "nayru" and one.code in EXECUTED and one.related and one.related[0].path == path
                and one.related[0].message in one.message]

    def set_root(self, root: Hashable, problems: Iterable[Problem]) -> set[str]:
        """What was found in ``root`` by whom it names, in place of what was found before; returns the paths that are
        touched."""
        files: dict[str, tuple[Problem, ...]] = {}
        for problem in problems:
            files[problem.path] = (*files.get(problem.path, ()), problem)
        old: Mapping[str, tuple[Problem, ...]] = self.by_root.get(root, {})
        self.by_root[root] = files
        return {path for path in {*old, *files} if old.get(path) != files.get(path)}

    def forget(self, path: str) -> None:
        self.own.pop(path, None)
        self.reading.pop(path, None)

    def shift(self, path: str, edits: Iterable[Edit]) -> None:
        """Move what was found earlier along with ``edits``; what an edit touches is dropped until found again."""
        for span, text in edits:
            for store in (self.own, self.reading, *self.by_root.values()):
                if path in store:
                    store[path] = tuple(
                        moved for problem in store[path]
                        if (moved := _shifted(problem, span, len(text))) is not None)


def _shifted(problem: Problem, span: Span, length: int) -> Problem | None:
    by = length - (span.end - span.start)
    if any(one.path == problem.path and one.span.start >= span.end for one in problem.related):
        problem = replace(problem, related=tuple(
            one if one.path != problem.path or one.span.start < span.end
            else replace(one, span=Span(one.span.start + by, one.span.end + by)) for one in problem.related))
    if problem.span.end <= span.start:
        return problem
    if problem.span.start >= span.end:
        return _by(problem, by)
    return None


def _by(problem: Problem, delta: int) -> Problem:
    fixes = tuple(replace(fix, edits=tuple(
        (Span(span.start + delta, span.end + delta), text) for span, text in fix.edits)) for fix in problem.fixes)
    return replace(problem, span=Span(problem.span.start + delta, problem.span.end + delta), fixes=fixes)
