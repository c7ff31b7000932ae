"""Features on text: a fixture with a cursor in, the answer as short text out.

A case is one file, ``cases/<feature>-<title>.txt``: the fixture (tests/kit.py: ``<|>`` the cursor, ``;- name`` a file),
a line ``;=``, and the answer. ``--update-golden`` rewrites the answers; then read the diff. Where the first file begins
with ``; executed``, it is a root and was executed. A file whose name ends in ``.sym`` is a symbol file of the project.
"""

from __future__ import annotations

from collections.abc import Callable

from lsprotocol import types

from nayru_lsp.asm.checks import check_file
from nayru_lsp.asm.expand import run
from nayru_lsp.asm.expanded import Expanded, digest, placed
from nayru_lsp.asm.facts import BitField, Fact, FactTable
from nayru_lsp.asm.mapping import MappingMode
from nayru_lsp.asm.packing import pack
from nayru_lsp.asm.parser import parse_text
from nayru_lsp.asm.problem import joined
from nayru_lsp.asm.project import ParsedFile, Project, Root
from nayru_lsp.asm.symbol_files import AddressNames, read_symbols
from nayru_lsp.asm.text import SourceText, Span
from nayru_lsp.config import Config
from nayru_lsp.convert import to_path, to_span
from nayru_lsp.features.code_action import code_action
from nayru_lsp.features.completion import completion, resolve
from nayru_lsp.features.definition import definition
from nayru_lsp.features.diagnostics import diagnostics
from nayru_lsp.features.document_symbol import document_symbol
from nayru_lsp.features.hover import hover
from nayru_lsp.snapshot import Client, Snapshot
from tests.kit import Fixture, read_fixture

FACTS = FactTable([
    Fact("INIDISP", 0x2100, "register", "Screen display", access="w", when="any time", bits=(
        BitField(7, 7, "forced blank"), BitField(3, 0, "brightness", ((0, "black"), (15, "full"))))),
    Fact("VMDATAL", 0x2118, "register", "VRAM data, low", access="w"),
    Fact("OAMTable", 0x7E0800, "ram", "Sprite table", size=544),
])
CLIENT = Client(hierarchical_symbols=True, code_action_literals=True, versioned_edits=True, related_information=True,
                snippets=True)


def world(fixture: Fixture) -> Snapshot:
    project = Project()
    symbols = []
    for path, text in fixture.files.items():
        if path.endswith(".sym"):
            symbols.append(AddressNames(path, read_symbols(text)[0], MappingMode.LOROM))
            continue
        project = project.with_file(parse_text(path, SourceText.of(text)))
    root = next(iter(fixture.files), "")
    expanded = {}
    if fixture.files.get(root, "").startswith("; executed"):
        project = project.with_roots([Root(root)])
        texts = {path: file.text for path, file in project.files.items()}
        sections = pack(run(Root(root), lambda path: fixture.files[path].encode() if path in fixture.files else None))
        digests = {path: digest(text) for path, text in fixture.files.items()}
        expanded[root] = Expanded(sections, texts, digests=digests)
    return Snapshot(project, Config(), CLIENT, "utf-16", FACTS, 1, expanded,
                    {root.rpartition("/")[0]: tuple(symbols)})


def _cursor(fixture: Fixture) -> tuple[Snapshot, ParsedFile, int]:
    assert fixture.cursor is not None, "the fixture has no <|>"
    snapshot = world(fixture)
    path, offset = fixture.cursor
    return snapshot, snapshot.project.files[path], offset


def _text(snapshot: Snapshot, uri: str, range_: types.Range) -> str:
    file = snapshot.project.files[to_path(uri)]
    return file.text.slice(*to_span(file.text, range_, snapshot.encoding))


def render_hover(fixture: Fixture) -> str:
    snapshot, file, offset = _cursor(fixture)
    answer = hover(snapshot, file, offset)
    if answer is None:
        return "nothing"
    assert isinstance(answer.contents, types.MarkupContent) and answer.range is not None
    return f"on {_text(snapshot, 'file://' + file.path, answer.range)!r}\n{answer.contents.value}"


def render_definition(fixture: Fixture) -> str:
    snapshot, file, offset = _cursor(fixture)
    found = []
    for location in definition(snapshot, file, offset):
        path = to_path(location.uri)
        line = snapshot.project.files[path].text.line(location.range.start.line)
        found.append(f"{path.removeprefix('/ws/')}:{location.range.start.line + 1}: {line.strip()}")
    return "\n".join(found) or "nothing"


def render_document_symbol(fixture: Fixture) -> str:
    snapshot = world(fixture)
    file = next(iter(snapshot.project.files.values()))

    def tree(symbols: object, indent: str) -> list[str]:
        assert isinstance(symbols, (list, tuple))
        lines = []
        for symbol in symbols:
            assert isinstance(symbol, types.DocumentSymbol)
            where = f"{symbol.range.start.line + 1}-{symbol.range.end.line + 1}"
            lines.append(f"{indent}{types.SymbolKind(symbol.kind).name.lower()} {symbol.name} {where}"
                         + (f" {symbol.detail}" if symbol.detail else ""))
            lines += tree(symbol.children or [], indent + "  ")
        return lines
    return "\n".join(tree(document_symbol(snapshot, file), "")) or "nothing"


def render_completion(fixture: Fixture) -> str:
    """The first items as an editor sorts them: label, what is inserted for what, detail."""
    snapshot, file, offset = _cursor(fixture)
    answer = completion(snapshot, file, offset)
    if answer is None:
        return "nothing"
    lines = []
    items = sorted(answer.items, key=lambda item: item.sort_text or "")
    for item in items[:12]:
        assert isinstance(item.text_edit, types.TextEdit)
        replaced = _text(snapshot, "file://" + file.path, item.text_edit.range)
        insert = "" if item.text_edit.new_text == item.label else f" -> {item.text_edit.new_text}"
        lines.append(f"{item.label}{insert}" + (f" for {replaced!r}" if replaced else "")
                     + (f" | {item.detail}" if item.detail else ""))
    if len(items) > 12:
        lines.append(f"... {len(items)}{' and more' if answer.is_incomplete else ''}")
    return "\n".join(lines) or "nothing"


def render_resolve(fixture: Fixture) -> str:
    """The documentation of the first completion item."""
    snapshot, file, offset = _cursor(fixture)
    answer = completion(snapshot, file, offset)
    assert answer is not None and answer.items
    first = min(answer.items, key=lambda item: item.sort_text or "")
    told = resolve(snapshot, first).documentation
    return f"{first.label}\n{told.value if isinstance(told, types.MarkupContent) else told}"


def render_diagnostics(fixture: Fixture) -> str:
    snapshot = world(fixture)
    lines = []
    for file in snapshot.project.files.values():
        problems = list(check_file(snapshot.project, file, judges=snapshot.judges(file.path)))
        problems += [placed(one, file.text) for expanded in snapshot.expanded.values()
                     for one in expanded.shown() if one.path == file.path]
        for one in diagnostics(snapshot, file, joined(problems)):
            what = _text(snapshot, "file://" + file.path, one.range)
            where = f"{file.path.removeprefix('/ws/')}:{one.range.start.line + 1}"
            lines.append(f"{where}: {one.code} {what!r}: {one.message}")
    return "\n".join(lines) or "nothing"


def render_code_action(fixture: Fixture) -> str:
    snapshot, file, offset = _cursor(fixture)
    span = Span(*fixture.selection[1:]) if fixture.selection else Span(offset, offset)
    found = code_action(snapshot, file, span, check_file(snapshot.project, file),
                        types.CodeActionContext(diagnostics=[]), uri="file://" + file.path, version=7)
    lines = []
    for action in found:
        lines.append(action.title)
        if isinstance(action, types.CodeAction) and action.edit is not None:
            for change in action.edit.document_changes or ():
                assert isinstance(change, types.TextDocumentEdit) and change.text_document.version == 7
                for edit in change.edits:
                    assert isinstance(edit, types.TextEdit)
                    lines.append(f"  {_text(snapshot, change.text_document.uri, edit.range)!r} -> {edit.new_text!r}")
        command = action.command if isinstance(action, types.CodeAction) else action
        if isinstance(command, types.Command):
            argument = (command.arguments or [{}])[0]
            assert isinstance(argument, dict)
            lines.append(f"  {command.command} lines {argument['range']['start']['line'] + 1}-"
                         f"{argument['range']['end']['line'] + 1}")
    return "\n".join(lines) or "nothing"


RENDERERS: dict[str, Callable[[Fixture], str]] = {
    "hover": render_hover, "definition": render_definition, "document_symbol": render_document_symbol,
    "completion": render_completion, "resolve": render_resolve, "diagnostics": render_diagnostics,
    "code_action": render_code_action,
}


def render(feature: str, text: str) -> str:
    return RENDERERS[feature](read_fixture(text))
