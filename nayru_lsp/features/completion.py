"""``textDocument/completion``: what may stand at the cursor, and no more; told in full only when asked (resolve)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from string import hexdigits
from typing import Any

from lsprotocol import types

from nayru_lsp.asm.facts import Fact
from nayru_lsp.asm.isa import MNEMONICS
from nayru_lsp.asm.lexer import code_end
from nayru_lsp.asm.project import ParsedFile
from nayru_lsp.asm.symbols import Symbol
from nayru_lsp.asm.text import Span
from nayru_lsp.asm.words import BUILT_IN_DEFINES, DIRECTIVES, FUNCTIONS, SPC700
from nayru_lsp.convert import to_range
from nayru_lsp.features.hover import fact_text, made_text, symbol_text
from nayru_lsp.features.names import address_text, own_symbols, plain
from nayru_lsp.snapshot import Snapshot

LIMIT = 200
MADE_LIMIT = 50     # labels that only an execution knows
_NEAR = 20_000  # characters on each side of the cursor whose symbols are offered when nothing is typed yet

_WORD = re.compile(r"(?:[!%]?\w+|[!%$]|\.+\w*|\$\w*|\?\w*)$", re.ASCII)
_LABEL = re.compile(r"^\s*(?:#?[.?]*\w+:|[+-]+:?|\.+\w+:?)(?=\s)", re.ASCII)
_HEAD = re.compile(r"^\s*([A-Za-z]\w*)(?:\.\w)?(?=\s)", re.ASCII)
_SEPARATOR = re.compile(r"(?<=\s):(?=\s)")
_JUMPS = frozenset({
    "BCC", "BCS", "BEQ", "BMI", "BNE", "BPL", "BRA", "BRL", "BVC", "BVS", "BLT", "BGE",
    "JMP", "JML", "JSR", "JSL", "PER",
})
_FILES = frozenset({"incsrc", "incbin"})

_KINDS = {
    "label": types.CompletionItemKind.Function, "sub label": types.CompletionItemKind.Field,
    "assignment": types.CompletionItemKind.Constant, "define": types.CompletionItemKind.Variable,
    "macro": types.CompletionItemKind.Method, "function": types.CompletionItemKind.Operator,
    "struct": types.CompletionItemKind.Struct, "namespace": types.CompletionItemKind.Module,
}


class _Items:
    """The items so far; knows what was typed, what it replaces, and when there are enough."""

    def __init__(self, snapshot: Snapshot, file: ParsedFile, word: str, offset: int) -> None:
        self.word = word
        self.folded = word.casefold()
        self.found: dict[str, types.CompletionItem] = {}
        self.cut = False
        self._range = to_range(file.text, Span(offset - len(word), offset), snapshot.encoding)
        self._path = file.path

    def add(self, label: str, kind: types.CompletionItemKind, *, rank: int, detail: str = "", insert: str = "",
            match: str = "", data: dict[str, Any] | None = None) -> None:
        text = match or label
        if not text.casefold().startswith(self.folded) or label in self.found:
            return
        if len(self.found) >= LIMIT:
            self.cut = True
            return
        self.found[label] = types.CompletionItem(
            label=label, kind=kind, detail=detail or None, sort_text=f"{rank}{text.casefold()}", filter_text=text,
            text_edit=types.TextEdit(range=self._range, new_text=insert or label),
            data=None if data is None else {**data, "from": self._path})

    def add_symbol(self, symbol: Symbol, rank: int, label: str = "") -> None:
        label = label or symbol.name
        self.add(label, _KINDS.get(symbol.kind, types.CompletionItemKind.Text), rank=rank,
                 insert=f"{label}(" if symbol.kind == "macro" else label.removesuffix(")"),
                 detail=symbol.detail or symbol.kind, data={"symbol": symbol.name})

    def answer(self) -> types.CompletionList:
        return types.CompletionList(is_incomplete=self.cut, items=list(self.found.values()))


def completion(snapshot: Snapshot, file: ParsedFile, offset: int) -> types.CompletionList | None:
    text = file.text
    line = text.line_of(offset)
    before = text.slice(text.line_start(line), offset)
    if code_end(before) < len(before):
        return None                                             # in a comment
    segment = _SEPARATOR.split(before)[-1]
    if segment.count('"') % 2:
        return _include_paths(snapshot, file, segment, offset)
    match = _WORD.search(segment)
    word = match.group() if match else ""
    head = segment[:len(segment) - len(word)]
    items = _Items(snapshot, file, word, offset)
    rest = _LABEL.sub("", head)
    if word.startswith("!"):
        _named(items, snapshot, file, "define", offset)
        for name in sorted(BUILT_IN_DEFINES):
            items.add(f"!{name}", types.CompletionItemKind.Variable, rank=5, detail="built into Asar")
    elif not rest.strip():
        if word.startswith("."):
            return items.answer()                               # a new sub label: nothing to offer
        if not word.startswith("%"):
            _statement_words(items, file, line)
        _named(items, snapshot, file, "macro", offset)
    elif (directive := _HEAD.match(rest)) is not None or rest.lstrip()[:1] in "!%":
        _operand(items, snapshot, file, offset, directive.group(1) if directive else "", rest)
    return items.answer()


def _statement_words(items: _Items, file: ParsedFile, line: int) -> None:
    upper = items.word.isupper() if items.word else _writes_upper(file, line)
    for mnemonic in MNEMONICS.values():
        items.add(mnemonic.name if upper else mnemonic.name.lower(), types.CompletionItemKind.Keyword, rank=1,
                  detail=mnemonic.meaning, data={"mnemonic": mnemonic.name})
    for directive in sorted(DIRECTIVES):
        items.add(directive.upper() if items.word and upper else directive, types.CompletionItemKind.Keyword, rank=2,
                  detail="directive")


def _writes_upper(file: ParsedFile, line: int) -> bool:
    """Do the instructions above ``line`` stand in capitals?"""
    for above in range(line - 1, max(-1, line - 60), -1):
        found = _HEAD.match(_LABEL.sub("", file.text.line(above)) + " ")
        if found and found.group(1).upper() in MNEMONICS:
            return found.group(1).isupper()
    return True


def _operand(items: _Items, snapshot: Snapshot, file: ParsedFile, offset: int, head: str, rest: str) -> None:
    name = head.upper()
    jump = name in _JUMPS
    if name in MNEMONICS or name in SPC700:
        operand = rest[len(head):].strip()
        if jump and "," in operand:
            return
        if not jump and operand.endswith(","):                  # an index register
            for register in ("X", "Y", "S"):
                items.add(register, types.CompletionItemKind.Keyword, rank=0)
            return
    if items.word.startswith("$"):
        for fact in snapshot.facts.facts:
            _add_address(items, fact)
        _filed(items, snapshot, file)
        return
    if items.word.startswith(".") or jump or not items.word:
        _sub_labels(items, file, offset)
    if items.word.startswith("."):
        return
    immediate = rest.rstrip().endswith("#")
    kinds = ("assignment", "define", "function", "struct") if immediate else (
        ("label",) if jump else ("assignment", "label", "function", "struct"))
    for rank, symbol in _ranked(snapshot, file, offset, items, kinds):
        items.add_symbol(symbol, rank)
    if not immediate:
        _made_labels(items, snapshot, file)
    if not jump and items.word:
        if not immediate:
            for fact in snapshot.facts.facts:
                _add_fact(items, snapshot, fact)
        for function in sorted(FUNCTIONS):
            items.add(function, types.CompletionItemKind.Operator, rank=6, insert=f"{function}(", detail="function")
    if immediate or not items.word:
        _named(items, snapshot, file, "define", offset, limit=60)


def _ranked(snapshot: Snapshot, file: ParsedFile, offset: int, items: _Items, kinds: tuple[str, ...]) -> Iterator[
        tuple[int, Symbol]]:
    """Symbols that may stand there: those of this file around the cursor, then the project's by what is typed."""
    length = len(items.word)
    for start, symbol in own_symbols(file):
        if symbol.kind in kinds and symbol.name[:length].casefold() == items.folded and (
                length or abs(symbol.span.start + start - offset) < _NEAR):
            yield 2, symbol
    if not items.word:
        items.cut = True
        return
    for name in _names(snapshot, items):
        for symbol in snapshot.project.definitions(name)[:1]:
            if symbol.kind in kinds or (symbol.kind == "sub label" and "label" in kinds):
                yield 3, symbol


def _made_labels(items: _Items, snapshot: Snapshot, file: ParsedFile) -> None:
    """Labels of macros and the like, which the index does not know."""
    expanded = snapshot.expanded_of(file.path) if items.word else None
    if expanded is None:
        return
    begins = tuple({items.word, items.word.lower(), items.word.upper(), items.word.capitalize()})
    left = MADE_LIMIT
    for name in expanded.names():
        if name.startswith(begins) and not snapshot.project.defined(name):
            made = expanded.label(name)
            value = made.value if made is not None else None
            items.add(name, types.CompletionItemKind.Function, rank=5, data={"made": name},
                      detail="label made here" if value is None else address_text(value))
            left -= 1
            if not left:
                items.cut = True
                return


def _names(snapshot: Snapshot, items: _Items) -> Iterable[str]:
    """Names of the project that begin with what is typed, in its case or the usual others. Runs over every name of
    the project at each key, so it must be one cheap call per name."""
    word = items.word
    begins = tuple({word, word.lower(), word.upper(), word.capitalize()})
    for name in snapshot.project.names():
        if name.startswith(begins):
            yield name
            if items.cut:
                return


def _named(items: _Items, snapshot: Snapshot, file: ParsedFile, kind: str, offset: int, limit: int = LIMIT) -> None:
    """Defines or macros: of this file first, then of the project."""
    for _, symbol in own_symbols(file):
        if symbol.kind == kind:
            items.add_symbol(symbol, 3)
    mark = {"define": "!", "macro": "%"}[kind]
    for name in snapshot.project.names():
        if name.startswith(mark) and name[:len(items.word)].casefold() == items.folded[:len(name)]:
            for symbol in snapshot.project.definitions(name)[:1]:
                items.add_symbol(symbol, 4)
            if len(items.found) >= limit:
                items.cut = True
                return


def _sub_labels(items: _Items, file: ParsedFile, offset: int) -> None:
    scope = file.scope_at(offset).main
    for _, symbol in own_symbols(file):
        if symbol.kind == "sub label" and symbol.scope == scope:
            items.add_symbol(symbol, 1, symbol.short)


def _add_fact(items: _Items, snapshot: Snapshot, fact: Fact) -> None:
    written = f"${fact.address:04X}" if fact.address <= 0xFFFF else f"${fact.address:06X}"
    known = bool(snapshot.project.definitions(fact.name))
    items.add(fact.name, types.CompletionItemKind.Value, rank=4, detail=f"{written}  {fact.title}",
              insert=fact.name if known else written, data={"fact": fact.name})


def _add_address(items: _Items, fact: Fact) -> None:
    written = f"${fact.address:04X}" if fact.address <= 0xFFFF else f"${fact.address:06X}"
    items.add(f"{written} {fact.name}", types.CompletionItemKind.Value, rank=1, detail=fact.title, insert=written,
              match=written, data={"fact": fact.name})


def _filed(items: _Items, snapshot: Snapshot, file: ParsedFile) -> None:
    """Addresses that a symbol file names: the number is offered, since the assembler does not know the name."""
    digits = items.word[1:]
    if len(digits) < 2 or not all(char in hexdigits for char in digits):
        return
    for names in snapshot.symbols_of(file.path):
        for address, name in names.beginning(digits):
            written = f"${address:06X}"
            items.add(f"{written} {plain(name)}", types.CompletionItemKind.Value, rank=2, insert=written, match=written,
                      detail=plain(names.path.rpartition("/")[2]))
            if items.cut:
                return


def _include_paths(snapshot: Snapshot, file: ParsedFile, segment: str, offset: int) -> types.CompletionList | None:
    """Source files of the project, relative to this one."""
    typed = segment.rpartition('"')[2]
    head = _HEAD.match(segment)
    if head is None or head.group(1).lower() not in _FILES:
        return None
    items = _Items(snapshot, file, typed, offset)
    folder = file.path.rpartition("/")[0] + "/"
    for path in (*snapshot.project.files, *snapshot.project.blobs):
        if path.startswith(folder) and path != file.path:
            items.add(path[len(folder):], types.CompletionItemKind.File, rank=1)
    return items.answer()


def resolve(snapshot: Snapshot, item: types.CompletionItem) -> types.CompletionItem:
    """The documentation of one item."""
    data = item.data if isinstance(item.data, dict) else {}
    text = ""
    if "symbol" in data:
        found = snapshot.project.definitions(str(data["symbol"]))
        text = symbol_text(snapshot, str(data.get("from", "")), found[0]) if found else ""
    elif "made" in data:
        path = str(data.get("from", ""))
        expanded = snapshot.expanded_of(path)
        made = expanded.label(str(data["made"])) if expanded is not None else None
        text = made_text(snapshot, path, expanded, made) if expanded is not None and made is not None else ""
    elif "fact" in data:
        text = "\n\n".join(map(fact_text, snapshot.facts.named(str(data["fact"]))))
    elif "mnemonic" in data and (mnemonic := MNEMONICS.get(str(data["mnemonic"]))) is not None:
        rows = "\n".join(f"- {row.mode}: `${row.value:02X}`" for row in mnemonic.opcodes)
        text = f"{mnemonic.meaning}\n\n{rows}"
    if text:
        kind = types.MarkupKind.Markdown if snapshot.client.markdown else types.MarkupKind.PlainText
        item.documentation = types.MarkupContent(kind=kind, value=text)
    return item
