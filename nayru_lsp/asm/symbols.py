"""What a block of lines defines, mentions, includes and might make; positions relative to the block.

Scope (main label, sub label parents, namespace, macro, processor, conditional) runs through the file, so a block is
read with the scope it is entered with and gives the scope it is left with; equal entry and text give the shared result.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from nayru_lsp.asm.lexer import DEFINE_USE, EXPANDABLE, scan
from nayru_lsp.asm.statements import Memo, data_arguments, parse_line
from nayru_lsp.asm.syntax import (
    Assignment,
    Binary,
    Call,
    Define,
    Dialect,
    Directive,
    Expr,
    Group,
    Instruction,
    Label,
    LabelKind,
    Line,
    MacroCall,
    Name,
    Number,
    Opaque,
    Statement,
    Unary,
)
from nayru_lsp.asm.text import Span
from nayru_lsp.asm.words import FREESPACE, INCLUDES, MAPPERS


@dataclass(frozen=True, slots=True)
class Symbol:
    """A definition. ``name`` is the full name (``main_sub``, ``!define``, ``%macro``, ``function()``), ``short`` the
    name as written. ``kind``: "label", "sub label", "relative label", "assignment", "define", "macro", "function",
    "struct", "namespace". ``span`` covers the whole statement. ``value`` is set where the text after ``=`` is a plain
    number. ``scope`` is the main label that a sub label belongs to, or "". ``doc`` is the comment above or beside.
    ``detail`` is the text after ``=``, a macro's or function's parameters. ``conditional``: stands between ``if`` and
    ``endif``."""

    name: str
    short: str
    kind: str
    path: str
    span: Span
    name_span: Span
    value: int | None = None
    scope: str = ""
    doc: str = ""
    detail: str = ""
    conditional: bool = False


@dataclass(frozen=True, slots=True)
class Reference:
    """A mention of a name, resolved against the scope it stands in. ``kind``: "label", "sub label",
    "relative label", "define", "macro", "function", "struct". With a ``namespace`` the name is first sought inside it.
    ``sure``: outside of macros and conditionals, so that it is certainly looked up as written."""

    name: str
    kind: str
    path: str
    span: Span
    namespace: str = ""
    sure: bool = True


@dataclass(frozen=True, slots=True)
class Include:
    """``incsrc "a.asm"`` and its kin. ``kind``: "incsrc" or "incbin". ``span`` covers the path's text (without quotes).
    ``opaque``: the path is made by a define or a macro argument. ``sure``: outside of macros and conditionals."""

    name: str
    kind: str
    path: str
    span: Span
    opaque: bool = False
    sure: bool = True


@dataclass(frozen=True, slots=True)
class Scope:
    """What a line's meaning depends on besides its own text."""

    main: str = ""
    parents: tuple[str, ...] = ()       # sub labels, outermost first
    namespace: str = ""
    nested: bool = False
    namespaces: tuple[str, ...] = ()    # pushns
    macro: int = 0                      # depth of macro definitions
    struct: str = ""
    arch: str = "65816"
    conditions: int = 0                 # depth of if / while / for
    global_next: bool = False


@dataclass(slots=True)
class BlockIndex:
    """All positions are relative to the start of the block; ``path`` of the records is ""."""

    entry: Scope
    exit: Scope
    symbols: list[Symbol] = field(default_factory=list)
    includes: list[Include] = field(default_factory=list)
    makers: frozenset[str] = frozenset()    # regular expressions of label names that expansion may make; "" = any
    starts_program: bool = False            # sets a mapper, org or freespace
    scopes: list[tuple[int, Scope]] = field(default_factory=list)   # scope from this position on, ascending
    by_name: dict[str, list[Symbol]] = field(default_factory=dict)


_DEFINING_DIRECTIVES = INCLUDES | MAPPERS | FREESPACE | frozenset("""
    macro endmacro function struct endstruct namespace pushns pullns if while for endif endwhile endfor else elseif arch
    org global spcblock endspcblock
""".split())
_OPENING = frozenset({"if", "while", "for"})
_CLOSING = frozenset({"endif", "endwhile", "endfor"})
_WORD = re.compile(r"[ \t]*(\w+)", re.ASCII)
_HOLE = re.compile(r"<[^<>\s]*>|!\^*\w+|!\{[^{}]*\}", re.ASCII)
_MADE_LABEL = re.compile(r"[ \t]*#?((?:\w|\.|\?|<[^<>\s]*>|!\^*\w+|!\{[^{}]*\})+)(:?)(?=\s|\Z)", re.ASCII)
_PLAIN_TEXT = re.compile(r'"(?:[^"]|"")*"|\S+')


def interesting(line: Line) -> tuple[Statement, ...]:
    """The statements of a line that the index reads; nearly all lines have none."""
    found = []
    for statement in line.statements:
        match statement:
            case Instruction() | MacroCall():
                continue
            case Directive() if statement.name not in _DEFINING_DIRECTIVES:
                continue
        found.append(statement)
    return tuple(found)


_interesting_1: Memo[str, tuple[Statement, ...]] = Memo(lambda raw: interesting(parse_line(raw)), 60_000)
_interesting_2: Memo[str, tuple[Statement, ...]] = Memo(
    lambda raw: interesting(parse_line(raw, Dialect.ASAR_2)), 60_000)
_DATA = re.compile(r"[ \t]*[dD][bBwWlLdD][ \t]")


def index_block(lines: Sequence[str], entry: Scope, dialect: Dialect) -> BlockIndex:
    """Read the definitions of a block."""
    look = _interesting_1 if dialect is Dialect.ASAR_1 else _interesting_2
    reader = _Reader(entry)
    at = 0
    for row, raw in enumerate(lines):
        if len(raw) > 2 and not _DATA.match(raw):
            statements = look(raw) if len(raw) < 2_000 else interesting(parse_line(raw, dialect))
            if statements:
                reader.read(raw, at, statements, lines, row)
        at += len(raw)
    out = reader.out
    out.exit = reader.scope
    out.makers = frozenset(reader.makers)
    for symbol in out.symbols:
        out.by_name.setdefault(symbol.name, []).append(symbol)
    return out


class _Reader:
    """Walks the lines of one block; holds the running scope."""

    def __init__(self, entry: Scope) -> None:
        self.scope = entry
        self.out = BlockIndex(entry, entry, scopes=[(0, entry)])
        self.makers: set[str] = set()

    def read(self, raw: str, at: int, statements: tuple[Statement, ...], lines: Sequence[str], row: int) -> None:
        before = self.scope
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
                case Directive():
                    self._directive(raw, at, statement, lines, row)
                case Opaque() if statement.expandable:
                    self._opaque(raw[statement.start : statement.end])
        if self.scope is not before:
            self.out.scopes.append((at + statements[-1].end, self.scope))

    def _add(self, raw: str, at: int, node: Statement, name: str, kind: str, start: int, end: int,
             lines: Sequence[str], row: int, *, full: str = "", value: int | float | None = None, scope: str = "",
             detail: str = "") -> None:
        whole = full or name
        if kind in ("label", "sub label", "assignment") and self.scope.namespace and not self.scope.global_next:
            whole = f"{self.scope.namespace}_{whole}"
        self.out.symbols.append(Symbol(
            whole, name, kind, "", Span(at + node.start, at + node.end), Span(at + start, at + end),
            value if isinstance(value, int) else None, scope, _comment(raw, lines, row), detail,
            self.scope.conditions > 0))

    def _label(self, raw: str, at: int, label: Label, lines: Sequence[str], row: int) -> None:
        scope = self.scope
        start = label.start + label.declared
        end = start + len(label.name)
        if scope.macro:
            if label.kind is LabelKind.MAIN:
                self.makers.add(re.escape(label.name))
            elif label.kind is LabelKind.SUB:       # attaches to whatever main label the call stands under
                self.makers.add(r"\w*_" + re.escape(label.name.lstrip(".")))
            return
        if label.kind is LabelKind.MAIN:
            self._add(raw, at, label, label.name, "label", start, end, lines, row)
            if not label.declared and not scope.struct:
                self.scope = replace(scope, main=label.name, parents=(), global_next=False)
        elif label.kind is LabelKind.SUB:
            bare = label.name.lstrip(".")
            level = len(label.name) - len(bare)
            if scope.struct:
                full = f"{scope.struct}.{bare}"
                self.out.symbols.append(Symbol(
                    full, label.name, "sub label", "", Span(at + label.start, at + label.end),
                    Span(at + start, at + end), None, scope.struct, _comment(raw, lines, row)))
                return
            parents = scope.parents[: level - 1]
            full = "_".join((scope.main, *parents, bare)) if scope.main else bare
            self._add(raw, at, label, label.name, "sub label", start, end, lines, row, full=full, scope=scope.main)
            if not label.declared:
                self.scope = replace(scope, parents=(*parents, bare))
        elif label.kind is LabelKind.RELATIVE:
            self._add(raw, at, label, label.name, "relative label", start, end, lines, row, scope=scope.main)

    def _define(self, raw: str, at: int, define: Define, lines: Sequence[str], row: int) -> None:
        text = raw[define.value_start : define.value_end]
        value = _number(text) if define.operator in ("=", "?=", ":=", "#=") else None
        self._add(raw, at, define, "!" + define.name, "define", define.name_start - 1, define.name_end, lines, row,
                  value=value, detail=text)

    def _opaque(self, text: str) -> None:
        made = _MADE_LABEL.match(text)
        if made is not None and (made.group(2) or made.group(1).startswith(".")):
            name = made.group(1)
            pattern = _HOLE.sub("\0", name)
            bare = pattern.lstrip(".?")
            escaped = re.escape(bare).replace(re.escape("\0"), r"\w*")
            self.makers.add(escaped if bare == pattern else r"\w*" + escaped)
        elif made is not None and made.end() == len(text.rstrip()) and made.group(1).startswith("?"):
            return
        else:
            self.makers.add("")

    def _directive(self, raw: str, at: int, directive: Directive, lines: Sequence[str], row: int) -> None:
        name, scope = directive.name, self.scope
        text = raw[directive.text_start : directive.text_end]
        if name in _OPENING:
            self.scope = replace(scope, conditions=scope.conditions + 1)
        elif name in _CLOSING:
            self.scope = replace(scope, conditions=max(0, scope.conditions - 1))
        elif name == "macro":
            match = re.match(r"([\w]+)[ \t]*\((.*)\)", text, re.ASCII)
            if match is not None:
                begin = directive.text_start
                self._add(raw, at, directive, "%" + match.group(1), "macro", begin, begin + len(match.group(1)), lines,
                          row, detail=match.group(2).strip())
            self.scope = replace(scope, macro=scope.macro + 1)
        elif name == "endmacro":
            self.scope = replace(scope, macro=max(0, scope.macro - 1))
        elif name in INCLUDES:
            self._include(raw, at, directive, text)
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
                self.scope = replace(scope, struct=match.group(1))
        elif name == "endstruct":
            self.scope = replace(scope, struct="")
        elif name == "namespace":
            self._namespace(text)
        elif name == "pushns":
            self.scope = replace(scope, namespaces=(*scope.namespaces, scope.namespace), namespace="")
        elif name == "pullns" and scope.namespaces:
            self.scope = replace(scope, namespaces=scope.namespaces[:-1], namespace=scope.namespaces[-1])
        elif name == "arch":
            self.scope = replace(scope, arch=text.strip().lower() or "65816")
        elif name == "spcblock":
            self.scope = replace(scope, arch="spc700")
        elif name == "endspcblock":
            self.scope = replace(scope, arch="65816")
        elif name == "global":
            match = re.match(r"([A-Za-z_]\w*):", text, re.ASCII)
            if match is not None and not scope.macro:
                begin = directive.text_start
                self.scope = replace(scope, global_next=True)
                self._add(raw, at, directive, match.group(1), "label", begin, begin + len(match.group(1)), lines, row)
                self.scope = replace(scope, main=match.group(1), parents=())
            else:
                self.makers.add("")
        elif not scope.macro and (name in MAPPERS or name in FREESPACE or name == "org"):
            self.out.starts_program = True

    def _namespace(self, text: str) -> None:
        words = text.strip().strip('"').split()
        scope = self.scope
        if words[:1] == ["nested"]:
            self.scope = replace(scope, nested=words[1:] == ["on"])
        elif words == ["off"]:
            outer = scope.namespace.rpartition("_")[0] if scope.nested else ""
            self.scope = replace(scope, namespace=outer)
        elif words:
            inner = f"{scope.namespace}_{words[0]}" if scope.nested and scope.namespace else words[0]
            self.scope = replace(scope, namespace=inner)

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
        self.out.includes.append(Include(name, directive.name, "", Span(at + start, at + end), opaque, sure))


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


# --- references: parsed on demand, block by block -------------------------------------------------------------------

def names_in(expr: Expr) -> Iterator[Name | Call]:
    """Every name and function call of an expression, in text order; bounded by the parser's depth limit."""
    match expr:
        case Name():
            yield expr
        case Call():
            yield expr
            for argument in expr.arguments:
                yield from names_in(argument)
        case Unary():
            yield from names_in(expr.operand)
        case Binary():
            yield from names_in(expr.left)
            yield from names_in(expr.right)
        case Group():
            yield from names_in(expr.inner)


def expressions(line: Line, statement: Statement) -> tuple[Expr, ...]:
    """The expressions of a statement."""
    match statement:
        case Instruction(operand=operand) if operand is not None:
            return tuple(expr for expr in (operand.value, operand.second) if expr is not None)
        case Assignment(value=value):
            return (value,)
        case Directive():
            return data_arguments(line, statement)
    return ()


def references_of(lines: Sequence[str], index: BlockIndex, dialect: Dialect) -> list[Reference]:
    """Every mention of a name in a block, positions relative to it."""
    out: list[Reference] = []
    scopes = index.scopes
    at, number = 0, 0
    for raw in lines:
        while number + 1 < len(scopes) and scopes[number + 1][0] <= at:
            number += 1
        if len(raw) > 2 and not (_DATA.match(raw) and not any(c.isalpha() for c in raw.lstrip()[2:])):
            _references_of_line(raw, at, scopes[number][1], dialect, out)
        at += len(raw)
    return out


def _references_of_line(raw: str, at: int, scope: Scope, dialect: Dialect, out: list[Reference]) -> None:
    line = parse_line(raw, dialect)
    sure = not scope.macro and not scope.conditions
    for statement in line.statements:
        match statement:
            case Label() if statement.kind is LabelKind.MAIN and not statement.declared:
                scope = replace(scope, main=statement.name, parents=())
            case Label() if statement.kind is LabelKind.SUB and not statement.declared:
                bare = statement.name.lstrip(".")
                level = len(statement.name) - len(bare)
                scope = replace(scope, parents=(*scope.parents[: level - 1], bare))
            case MacroCall():
                out.append(Reference("%" + statement.name, "macro", "",
                                     Span(at + statement.name_start, at + statement.name_end), sure=sure))
        for expr in expressions(line, statement):
            for name in names_in(expr):
                out.append(_reference(name, at, scope, sure))
    if "!" in raw:
        code = scan(raw, dialect).code
        for match in DEFINE_USE.finditer(code):
            group = 1 if match.group(1) is not None else 2
            start, end = match.span(group)
            defined = any(isinstance(s, Define) and s.name_start == start for s in line.statements)
            if not defined:
                out.append(Reference("!" + match.group(group), "define", "", Span(at + start, at + end), sure=sure))


def _reference(name: Name | Call, at: int, scope: Scope, sure: bool) -> Reference:
    if isinstance(name, Call):
        return Reference(name.name + "()", "function", "", Span(at + name.start, at + name.start + len(name.name)),
                         sure=sure)
    span = Span(at + name.start, at + name.end)
    text = name.text
    if name.kind is LabelKind.SUB:
        bare = text.lstrip(".")
        level = len(text) - len(bare)
        parents = scope.parents[: level - 1]
        full = "_".join((scope.main, *parents, bare)) if scope.main else bare
        return Reference(full, "sub label", "", span, scope.namespace, sure and not scope.macro)
    if name.kind is LabelKind.MAIN:
        if "." in text or "[" in text:
            return Reference(re.sub(r"\[[^\[\]]*\]", "", text), "struct", "", span, sure=sure)
        return Reference(text, "label", "", span, scope.namespace, sure)
    return Reference(text, "relative label" if name.kind is LabelKind.RELATIVE else "macro label", "", span, sure=False)
