"""What a block of lines defines, mentions, includes and might make; positions relative to the block.

Scope (main label, sub label parents, namespace, macro, processor, conditional) runs through the file, so a block is
read with the scope it is entered with and gives the scope it is left with; equal entry and text give the shared result.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from nayru_lsp.asm.isa import MNEMONICS
from nayru_lsp.asm.lexer import EXPANDABLE, scan
from nayru_lsp.asm.mentions import expressions, names_in, references_of
from nayru_lsp.asm.records import (
    ANY,
    MAX_NAME,
    MAX_NESTING,
    BlockIndex,
    Include,
    Maker,
    Outline,
    Reference,
    Scope,
    Symbol,
)
from nayru_lsp.asm.statements import Memo, parse_line
from nayru_lsp.asm.syntax import (
    Assignment,
    Define,
    Dialect,
    Directive,
    Instruction,
    Label,
    LabelKind,
    Line,
    MacroCall,
    Number,
    Opaque,
    Statement,
)
from nayru_lsp.asm.text import Span
from nayru_lsp.asm.words import FREESPACE, INCLUDES, MAPPERS

__all__ = [
    "ANY", "BlockIndex", "Include", "Maker", "Reader", "Reference", "Scope", "Symbol", "expressions", "index_block",
    "interesting", "names_in", "one_line", "references_of",
]

DEFINING = INCLUDES | MAPPERS | FREESPACE | frozenset("""
    macro endmacro function struct endstruct namespace pushns pullns if while for endif endwhile endfor arch
    org global spcblock endspcblock
""".split())
OPENING = frozenset({"if", "while", "for"})
CLOSING = frozenset({"endif", "endwhile", "endfor"})
_WORD = re.compile(r"[ \t]*(\w+)", re.ASCII)
_HOLE = re.compile(r"<[^<>\s]*>|!\^*\w+|!\{[^{}]*\}", re.ASCII)
_MADE_LABEL = re.compile(r"[ \t]*#?((?:\w|\.|\?|<[^<>\s]*>|!\^*\w+|!\{[^{}]*\})+)(:?)(?=[ \t]|\Z)", re.ASCII)
_MADE_DEFINE = re.compile(r"![^ \t]+[ \t]+(?:=|\+=|:=|#=|\?=)(?=[ \t]|\Z)")
_MADE_VALUE = re.compile(r"([^ \t=]+)[ \t]+=(?=[ \t]|\Z)")
_LONE = re.compile(r"[A-Za-z]*\.?(?:!\{?(\w+)\}?|<(\w+|\.\.\.\[[^<>]*\])>)(?=[ \t.]|\Z)", re.ASCII)    # !x, <x>, LDA<x>
_CLOSER = re.compile(r"(?i)(?<![\w.!])end(?:if|while)(?!\w)")
_PLAIN_TEXT = re.compile(r'"(?:[^"]|"")*"|\S+')


def interesting(line: Line) -> tuple[Statement, ...]:
    """The statements of a line that the index reads; nearly all lines have none."""
    found = []
    for statement in line.statements:
        match statement:
            case Instruction(mnemonic=mnemonic) if mnemonic in MNEMONICS:
                continue
            case Directive() if statement.name not in DEFINING:
                continue
        found.append(statement)
    return tuple(found)


def index_block(lines: Sequence[str], entry: Scope, dialect: Dialect) -> BlockIndex:
    """Read the definitions of a block in full, line by logical line."""
    reader = _SymbolReader(entry)
    at = 0
    for row, raw in enumerate(lines):
        if not plain(raw) or (dialect is Dialect.ASAR_2 and ";[[" in raw):
            statements = interesting(parse_line(raw, dialect))
            if statements:
                reader.read(raw, at, statements, lines, row)
        at += len(raw)
    index = BlockIndex(entry, entry, symbols=tuple(reader.symbols), orphans=tuple(reader.orphans),
                       scopes=reader.scopes)
    for symbol in index.symbols:
        index.by_name.setdefault(symbol.name, []).append(symbol)
    reader.fill(index)
    return index


_PLAIN = re.compile(
    r"[ \t]*+(?:([A-Za-z]{3})(?:\.[A-Za-z])?(?=[ \t\r\n;]|\Z)[^:!<=;\"%\r\n]*+)?+(?:;[^\r\n]*+)?(?:\r\n?|\n)?\Z")
_DATA = re.compile(r"[ \t]*[dD][bBwWlLdD][ \t]")


def plain(raw: str) -> bool:
    """Is this line blank, a comment, or an instruction or data that no definition can hide in?"""
    found = _PLAIN.match(raw)
    if found is not None:
        word = found.group(1)
        return word is None or word.upper() in MNEMONICS
    return raw.isspace() or (":" not in raw and "=" not in raw and _DATA.match(raw) is not None)


loose: Memo[str, Maker] = Memo(lambda name: Maker("name", r"(?:\w*_)?" + re.escape(name)), 5_000)
"""A sub label that may belong to any main label."""


class Reader:
    """Walks the statements of one block that the index reads; holds the running scope. What is defined is known by
    its name only."""

    def __init__(self, entry: Scope) -> None:
        self.scope = entry
        self.names: dict[str, int] = {}
        self.makers: set[Maker] = set()
        self.calls: list[tuple[str, tuple[str, ...] | str]] = []
        self.includes: list[Include] = []
        self.namespaces: set[str] = set()
        self.define_texts: list[tuple[str, str]] = []
        self.foreign = self.native = self.starts_program = False

    def fill(self, out: Outline) -> None:
        """Put down what was found."""
        out.exit, out.names = self.scope, self.names
        out.makers, out.namespaces = frozenset(self.makers), frozenset(self.namespaces)
        out.calls, out.includes, out.define_texts = tuple(self.calls), tuple(self.includes), tuple(self.define_texts)
        out.foreign, out.native, out.starts_program = self.foreign, self.native, self.starts_program

    def read(self, raw: str, at: int, statements: tuple[Statement, ...], lines: Sequence[str], row: int) -> None:
        before = self.scope
        inline = 0
        for statement in statements:
            match statement:
                case Label():
                    self._label(raw, at, statement, lines, row)
                case Assignment():
                    value = statement.value.value if isinstance(statement.value, Number) else None
                    self._add(raw, at, statement, statement.name, "assignment", statement.start, statement.name_end,
                              lines, row, value=value, detail=raw[statement.value.start : statement.value.end])
                case Define():
                    self._define(raw, at, statement, lines, row)
                case Directive(name="if" | "while") if one_line(raw, statement):
                    inline += 1         # 1.91: the condition ends with the line
                    self.scope = self.scope._replace(conditions=self.scope.conditions + 1)
                case Directive():
                    self._directive(raw, at, statement, lines, row)
                case MacroCall():
                    self._call(raw, statement)
                case Instruction():
                    self.foreign = True
                case Opaque() if statement.expandable:
                    self._opaque(raw[statement.start : statement.end])
                    self.unsure()
        if inline:
            self.scope = self.scope._replace(conditions=max(0, self.scope.conditions - inline))
        if self.scope is not before:
            self._scope_begins(at + statements[-1].end)

    def _scope_begins(self, at: int) -> None:
        """Another scope holds from here on."""

    def unsure(self) -> None:
        if self.scope.sure:
            self.scope = self.scope._replace(sure=False)

    def _call(self, raw: str, call: MacroCall) -> None:
        arguments = tuple(raw[start:end].strip('"') for start, end in call.arguments)
        self.calls.append((call.name, arguments))
        self.unsure()

    def _add(self, raw: str, at: int, node: Statement, name: str, kind: str, start: int, end: int,
             lines: Sequence[str], row: int, *, full: str = "", value: int | float | None = None, scope: str = "",
             detail: str = "", member: bool = False) -> None:
        """A definition: ``start`` and ``end`` are of its name. ``member``: of a struct."""
        if kind == "define":
            self.define_texts.append((name, detail))
        self.names.setdefault(self._whole(full or name, kind, member), row)

    def _whole(self, name: str, kind: str, member: bool) -> str:
        """The name with its namespace."""
        if member or not self.scope.namespace or self.scope.global_next or kind not in (
                "label", "sub label", "assignment"):
            return name
        return f"{self.scope.namespace}_{name}"

    def _orphan(self, span: Span, name: str, under_a_main: bool) -> None:
        """A sub label that surely has no parent."""

    def _label(self, raw: str, at: int, label: Label, lines: Sequence[str], row: int) -> None:
        scope = self.scope
        start = label.start + label.declared
        end = start + len(label.name)
        if scope.macro:
            if label.kind is LabelKind.MAIN:
                self.makers.add(Maker("name", re.escape(label.name)))
            elif label.kind is LabelKind.SUB:       # attaches to whatever main label the call stands under
                self.makers.add(loose(label.name.lstrip(".")))
            return
        if label.kind is LabelKind.MAIN:
            self._add(raw, at, label, label.name, "label", start, end, lines, row)
            if not label.declared and not scope.struct:
                self.scope = scope._replace(main=label.name, parents=(), global_next=False, sure=scope.conditions == 0)
        elif label.kind is LabelKind.SUB:
            bare = label.name.lstrip(".")
            level = len(label.name) - len(bare)
            if scope.struct:
                full = f"{scope.struct}.{bare}"
                self._add(raw, at, label, label.name, "sub label", start, end, lines, row, full=full,
                          scope=scope.struct, member=True)
                return
            if not scope.sure or not scope.main:
                self.makers.add(loose(label.name.lstrip(".")))
            if scope.sure and not scope.conditions and (not scope.main or level - 1 > len(scope.parents)):
                self._orphan(Span(at + label.start, at + end), label.name, bool(scope.main))
            parents = scope.parents[: level - 1]
            full = "_".join((scope.main, *parents, bare)) if scope.main else bare
            self._add(raw, at, label, label.name, "sub label", start, end, lines, row, full=full, scope=scope.main)
            if not label.declared:
                self.scope = self.scope._replace(parents=(*parents, bare))
        elif label.kind is LabelKind.RELATIVE:
            self._add(raw, at, label, label.name, "relative label", start, end, lines, row, scope=scope.main)

    def _define(self, raw: str, at: int, define: Define, lines: Sequence[str], row: int) -> None:
        text = raw[define.value_start : define.value_end]
        value = _number(text) if define.operator in ("=", "?=", ":=", "#=") else None
        self._add(raw, at, define, "!" + define.name, "define", define.name_start - 1, define.name_end, lines, row,
                  value=value, detail=text)

    def _opaque(self, text: str) -> None:
        """What an expanded statement may make: a label of some form, an assignment, or whatever its first word is."""
        scope = self.scope
        made = _MADE_LABEL.match(text)
        if made is not None and made.group(1).startswith("?"):
            return
        if made is not None and (made.group(2) or made.group(1).startswith(".")):
            name = made.group(1)
            if name.startswith("."):
                self.makers.add(Maker("name", r"\w*_" + _holes(name.lstrip("."))))
            elif scope.macro and EXPANDABLE.search(re.sub(r"<\w+>", "", name)) is None:
                self.makers.add(Maker("parameter", name, scope.macro_name))
            else:
                self.makers.add(Maker("name", _holes(name)))
            return
        if _MADE_DEFINE.match(text):
            self.makers.add(Maker("defines"))
            return
        assigned = _MADE_VALUE.match(text)
        if assigned is not None:
            self.makers.add(Maker("name", _holes(assigned.group(1))))
            return
        lone = _LONE.match(text)
        if lone is None:
            self.makers.add(ANY)
        elif lone.group(1) is not None:
            self.makers.add(Maker("define", lone.group(1)))
        elif scope.macro and (lone.group(2) in scope.parameters or not lone.group(2).isidentifier()):
            self.makers.add(Maker("argument", lone.group(2), scope.macro_name))
        else:
            self.makers.add(ANY)

    def _directive(self, raw: str, at: int, directive: Directive, lines: Sequence[str], row: int) -> None:
        name, scope = directive.name, self.scope
        text = raw[directive.text_start : directive.text_end]
        if name in OPENING:
            self.scope = scope._replace(conditions=scope.conditions + 1)
        elif name in CLOSING:
            self.scope = scope._replace(conditions=max(0, scope.conditions - 1))
        elif name == "macro":
            self._macro(raw, at, directive, text, lines, row)
        elif name == "endmacro":
            if scope.macro == 1 and scope.outside is not None:
                self.scope = scope.outside
            else:
                self.scope = scope._replace(macro=max(0, scope.macro - 1))
        elif name in INCLUDES:
            self._include(raw, at, directive, text)
            if name == "incsrc":
                self.unsure()
        elif name == "function":
            match = re.match(r"([A-Za-z_]\w*)[ \t]*(\([^)]*\))", text, re.ASCII)
            if match is not None:
                begin = directive.text_start
                self._add(raw, at, directive, match.group(1) + "()", "function", begin, begin + len(match.group(1)),
                          lines, row, detail=match.group(2))
        elif name == "struct":
            match = _WORD.match(text)
            if match is not None and not scope.macro:
                begin = directive.text_start + match.start(1)
                self._add(raw, at, directive, match.group(1), "struct", begin, begin + len(match.group(1)), lines, row)
                self.scope = scope._replace(struct=match.group(1))
        elif name == "endstruct":
            self.scope = scope._replace(struct="")
        elif name in ("namespace", "pushns", "pullns") and scope.macro:
            self.makers.add(ANY)        # a call changes the names of everything behind it
        elif name == "namespace":
            self._namespace(text)
        elif name == "pushns":
            self.scope = scope._replace(namespaces=(*scope.namespaces[-MAX_NESTING:], scope.namespace),
                                 namespace="")
        elif name == "pullns" and scope.namespaces:
            self.scope = scope._replace(namespaces=scope.namespaces[:-1], namespace=scope.namespaces[-1])
        elif name == "arch":
            arch = text.strip().lower() or "65816"
            self.scope = scope._replace(arch=arch)
            self.foreign = self.foreign or arch != "65816"
            self.native = self.native or arch == "65816"
        elif name == "spcblock":
            self.scope = scope._replace(arch="spc700")
            self.foreign = True
        elif name == "endspcblock":
            self.scope = scope._replace(arch="65816")
        elif name == "global":
            match = re.match(r"([A-Za-z_]\w*):", text, re.ASCII)
            if match is not None and not scope.macro:
                begin = directive.text_start
                self.scope = scope._replace(global_next=True)
                self._add(raw, at, directive, match.group(1), "label", begin, begin + len(match.group(1)), lines, row)
                self.scope = scope._replace(main=match.group(1), parents=(), sure=scope.conditions == 0)
            elif match is not None:
                self.makers.add(Maker("name", re.escape(match.group(1))))
            else:
                self.makers.add(ANY)
        elif not scope.macro and (name in MAPPERS or name in FREESPACE or name == "org"):
            self.starts_program = True

    def _namespace(self, text: str) -> None:
        words = text.strip().strip('"').split()
        scope = self.scope
        sure = scope.conditions == 0
        if EXPANDABLE.search(text) is not None:
            self.makers.add(ANY)
            self.scope = scope._replace(space_sure=False)
        elif words[:1] == ["nested"]:
            self.scope = scope._replace(nested=words[1:] == ["on"])
        elif words == ["off"]:
            outer = scope.namespace.rpartition("_")[0] if scope.nested else ""
            self.scope = scope._replace(namespace=outer, space_sure=sure)
        elif words:
            inner = f"{scope.namespace}_{words[0]}" if scope.nested and scope.namespace else words[0]
            inner = inner[-MAX_NAME:]
            self.namespaces.update((words[0], inner))
            self.scope = scope._replace(namespace=inner, space_sure=sure)

    def _macro(self, raw: str, at: int, directive: Directive, text: str, lines: Sequence[str], row: int) -> None:
        scope = self.scope
        match = re.match(r"([\w]+)[ \t]*\((.*)\)", text, re.ASCII | re.DOTALL)
        name, parameters = "", ()
        if match is not None:
            begin, name = directive.text_start, match.group(1)
            self._add(raw, at, directive, "%" + name, "macro", begin, begin + len(name), lines, row,
                      detail=match.group(2).strip())
            parameters = tuple(re.findall(r"\w+", match.group(2), re.ASCII))
        if scope.macro:
            self.scope = scope._replace(macro=scope.macro + 1)
        else:
            self.scope = Scope(sure=False, macro=1, macro_name=name, parameters=parameters, arch=scope.arch,
                               outside=scope._replace(outside=None))

    def _include(self, raw: str, at: int, directive: Directive, text: str) -> None:
        match = _PLAIN_TEXT.match(text)
        if match is None:
            return
        name, start, end = match.group(), directive.text_start + match.start(), directive.text_start + match.end()
        if name.startswith('"'):
            start, end = start + 1, max(start + 1, end - (len(name) > 1 and name.endswith('"')))
            name = raw[start:end]
        elif directive.name == "incbin":
            for mark in (":", "->"):
                cut = name.find(mark, 2)        # not the colon of a drive letter
                if cut > 0:
                    name, end = name[:cut], start + cut
        opaque = EXPANDABLE.search(name) is not None
        sure = not self.scope.conditions and not self.scope.macro
        self.includes.append(Include(name, directive.name, "", Span(at + start, at + end), opaque, sure,
                                         self.scope.arch != "65816"))


class _SymbolReader(Reader):
    """Puts down every definition in full."""

    def __init__(self, entry: Scope) -> None:
        super().__init__(entry)
        self.symbols: list[Symbol] = []
        self.orphans: list[tuple[Span, str, bool]] = []
        self.scopes = [(0, entry)]

    def _scope_begins(self, at: int) -> None:
        self.scopes.append((at, self.scope))

    def _orphan(self, span: Span, name: str, under_a_main: bool) -> None:
        self.orphans.append((span, name, under_a_main))

    def _add(self, raw: str, at: int, node: Statement, name: str, kind: str, start: int, end: int,
             lines: Sequence[str], row: int, *, full: str = "", value: int | float | None = None, scope: str = "",
             detail: str = "", member: bool = False) -> None:
        now = self.scope
        sure = member or (now.space_sure and (now.sure or kind != "sub label"))
        self.symbols.append(Symbol(
            self._whole(full or name, kind, member), name, kind, "", Span(at + node.start, at + node.end),
            Span(at + start, at + end), value if isinstance(value, int) else None, scope, _comment(raw, lines, row),
            detail, now.conditions > 0 and not member, sure))
        super()._add(raw, at, node, name, kind, start, end, lines, row, full=full, detail=detail, member=member)


def one_line(raw: str, directive: Directive) -> bool:
    """Is this ``if`` or ``while`` of the form ``if c : x``, which 1.91 ends with the line?"""
    rest = (scan(raw).code if ";" in raw else raw)[directive.end :].lstrip()
    return rest[:1] == ":" and _CLOSER.search(rest) is None


def _holes(name: str) -> str:
    """A regular expression for a name in which defines and macro arguments stand for anything."""
    return re.escape(_HOLE.sub("\0", name)).replace(re.escape("\0"), r"\w*")


def _number(text: str) -> int | None:
    body = text.strip().strip('"').strip()
    try:
        if body.startswith("$"):
            return int(body[1:], 16)
        if body.startswith("%"):
            return int(body[1:], 2)
        return int(body) if body.isascii() and body.isdigit() and len(body) < 20 else None
    except ValueError:
        return None


def _comment(raw: str, lines: Sequence[str], row: int) -> str:
    """The comment beside a definition, else the block of comment lines right above it (at most 12)."""
    if ";" in raw:
        code = scan(raw)
        if code.comment is not None:
            beside = raw[code.comment[0] : code.comment[1]].lstrip("; \t").rstrip()
            if beside:
                return beside
    above: list[str] = []
    while row > 0 and len(above) < 12:
        row -= 1
        text = lines[row].strip()
        if not text.startswith(";"):
            break
        body = text.lstrip(";").strip()
        above.append("" if body and not any(letter.isalnum() for letter in body) else body)
    return "\n".join(reversed(above)).strip("\n")
