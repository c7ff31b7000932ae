"""What a block of lines defines, mentions, includes and might make; positions relative to the block.

Scope (main label, sub label parents, namespace, macro, processor, conditional) runs through the file, so a block is
read with the scope it is entered with and gives the scope it is left with; equal entry and text give the shared result.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

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
    "ANY", "BlockIndex", "Include", "Maker", "Reference", "Scope", "Symbol", "expressions", "index_block",
    "interesting", "names_in", "one_line", "references_of",
]

_DEFINING_DIRECTIVES = INCLUDES | MAPPERS | FREESPACE | frozenset("""
    macro endmacro function struct endstruct namespace pushns pullns if while for endif endwhile endfor else elseif arch
    org global spcblock endspcblock
""".split())
_OPENING = frozenset({"if", "while", "for"})
_CLOSING = frozenset({"endif", "endwhile", "endfor"})
_WORD = re.compile(r"[ \t]*(\w+)", re.ASCII)
_HOLE = re.compile(r"<[^<>\s]*>|!\^*\w+|!\{[^{}]*\}", re.ASCII)
_MADE_LABEL = re.compile(r"[ \t]*#?((?:\w|\.|\?|<[^<>\s]*>|!\^*\w+|!\{[^{}]*\})+)(:?)(?=\s|\Z)", re.ASCII)
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
            case Directive() if statement.name not in _DEFINING_DIRECTIVES:
                continue
        found.append(statement)
    return tuple(found)


_interesting_1: Memo[str, tuple[Statement, ...]] = Memo(lambda raw: interesting(parse_line(raw)), 60_000)
_interesting_2: Memo[str, tuple[Statement, ...]] = Memo(
    lambda raw: interesting(parse_line(raw, Dialect.ASAR_2)), 60_000)
_PLAIN = re.compile(
    r"[ \t]*+(?:([A-Za-z]{3})(?:\.[A-Za-z])?(?=[ \t\r\n;]|\Z)[^:!<=;\"%\r\n]*+)?+(?:;[^\r\n]*+)?(?:\r\n?|\n)?\Z")
_DATA = re.compile(r"[ \t]*[dD][bBwWlLdD][ \t]")


def index_block(lines: Sequence[str], entry: Scope, dialect: Dialect) -> BlockIndex:
    """Read the definitions of a block."""
    look = _interesting_1 if dialect is Dialect.ASAR_1 else _interesting_2
    reader = _Reader(entry)
    at = 0
    for row, raw in enumerate(lines):
        plain = _PLAIN.match(raw)
        if plain is not None:       # a comment, or an instruction that nothing is to be learned from
            word = plain.group(1)
            skip = word is None or word.upper() in MNEMONICS
        else:
            skip = raw.isspace() or (":" not in raw and "=" not in raw and _DATA.match(raw) is not None)
        if not skip or (dialect is Dialect.ASAR_2 and ";[[" in raw):
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
        self.makers: set[Maker] = set()

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
                    self.scope = replace(self.scope, conditions=self.scope.conditions + 1)
                case Directive():
                    self._directive(raw, at, statement, lines, row)
                case MacroCall():
                    self._call(raw, statement)
                case Instruction():
                    self.out.foreign = True
                case Opaque() if statement.expandable:
                    self._opaque(raw[statement.start : statement.end])
                    self._unsure()
        if inline:
            self.scope = replace(self.scope, conditions=max(0, self.scope.conditions - inline))
        if self.scope is not before:
            self.out.scopes.append((at + statements[-1].end, self.scope))

    def _unsure(self) -> None:
        if self.scope.sure:
            self.scope = replace(self.scope, sure=False)

    def _call(self, raw: str, call: MacroCall) -> None:
        arguments = tuple(raw[start:end].strip('"') for start, end in call.arguments)
        self.out.calls.append((call.name, arguments))
        self._unsure()

    def _add(self, raw: str, at: int, node: Statement, name: str, kind: str, start: int, end: int,
             lines: Sequence[str], row: int, *, full: str = "", value: int | float | None = None, scope: str = "",
             detail: str = "") -> None:
        whole = full or name
        if kind in ("label", "sub label", "assignment") and self.scope.namespace and not self.scope.global_next:
            whole = f"{self.scope.namespace}_{whole}"
        self.out.symbols.append(Symbol(
            whole, name, kind, "", Span(at + node.start, at + node.end), Span(at + start, at + end),
            value if isinstance(value, int) else None, scope, _comment(raw, lines, row), detail,
            self.scope.conditions > 0,
            self.scope.space_sure and (self.scope.sure or kind != "sub label")))

    def _label(self, raw: str, at: int, label: Label, lines: Sequence[str], row: int) -> None:
        scope = self.scope
        start = label.start + label.declared
        end = start + len(label.name)
        if scope.macro:
            if label.kind is LabelKind.MAIN:
                self.makers.add(Maker("name", re.escape(label.name)))
            elif label.kind is LabelKind.SUB:       # attaches to whatever main label the call stands under
                self._loose(label.name)
            return
        if label.kind is LabelKind.MAIN:
            self._add(raw, at, label, label.name, "label", start, end, lines, row)
            if not label.declared and not scope.struct:
                self.scope = replace(scope, main=label.name, parents=(), global_next=False, sure=scope.conditions == 0)
        elif label.kind is LabelKind.SUB:
            bare = label.name.lstrip(".")
            level = len(label.name) - len(bare)
            if scope.struct:
                full = f"{scope.struct}.{bare}"
                self.out.symbols.append(Symbol(
                    full, label.name, "sub label", "", Span(at + label.start, at + label.end),
                    Span(at + start, at + end), None, scope.struct, _comment(raw, lines, row)))
                return
            if not scope.sure or not scope.main:
                self._loose(label.name)
            if scope.sure and not scope.conditions and (not scope.main or level - 1 > len(scope.parents)):
                self.out.orphans.append((Span(at + label.start, at + end), label.name, bool(scope.main)))
            parents = scope.parents[: level - 1]
            full = "_".join((scope.main, *parents, bare)) if scope.main else bare
            self._add(raw, at, label, label.name, "sub label", start, end, lines, row, full=full, scope=scope.main)
            if not label.declared:
                self.scope = replace(self.scope, parents=(*parents, bare))
        elif label.kind is LabelKind.RELATIVE:
            self._add(raw, at, label, label.name, "relative label", start, end, lines, row, scope=scope.main)

    def _loose(self, name: str) -> None:
        """A sub label that may belong to any main label."""
        self.makers.add(Maker("name", r"(?:\w*_)?" + re.escape(name.lstrip("."))))

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
        if name in _OPENING:
            self.scope = replace(scope, conditions=scope.conditions + 1)
        elif name in _CLOSING:
            self.scope = replace(scope, conditions=max(0, scope.conditions - 1))
        elif name == "macro":
            self._macro(raw, at, directive, text, lines, row)
        elif name == "endmacro":
            if scope.macro == 1 and scope.outside is not None:
                self.scope = scope.outside
            else:
                self.scope = replace(scope, macro=max(0, scope.macro - 1))
        elif name in INCLUDES:
            self._include(raw, at, directive, text)
            if name == "incsrc":
                self._unsure()
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
        elif name in ("namespace", "pushns", "pullns") and scope.macro:
            self.makers.add(ANY)        # a call changes the names of everything behind it
        elif name == "namespace":
            self._namespace(text)
        elif name == "pushns":
            self.scope = replace(scope, namespaces=(*scope.namespaces[-MAX_NESTING:], scope.namespace),
                                 namespace="")
        elif name == "pullns" and scope.namespaces:
            self.scope = replace(scope, namespaces=scope.namespaces[:-1], namespace=scope.namespaces[-1])
        elif name == "arch":
            arch = text.strip().lower() or "65816"
            self.scope = replace(scope, arch=arch)
            self.out.foreign = self.out.foreign or arch != "65816"
            self.out.native = self.out.native or arch == "65816"
        elif name == "spcblock":
            self.scope = replace(scope, arch="spc700")
            self.out.foreign = True
        elif name == "endspcblock":
            self.scope = replace(scope, arch="65816")
        elif name == "global":
            match = re.match(r"([A-Za-z_]\w*):", text, re.ASCII)
            if match is not None and not scope.macro:
                begin = directive.text_start
                self.scope = replace(scope, global_next=True)
                self._add(raw, at, directive, match.group(1), "label", begin, begin + len(match.group(1)), lines, row)
                self.scope = replace(scope, main=match.group(1), parents=(), sure=scope.conditions == 0)
            elif match is not None:
                self.makers.add(Maker("name", re.escape(match.group(1))))
            else:
                self.makers.add(ANY)
        elif not scope.macro and (name in MAPPERS or name in FREESPACE or name == "org"):
            self.out.starts_program = True

    def _namespace(self, text: str) -> None:
        words = text.strip().strip('"').split()
        scope = self.scope
        sure = scope.conditions == 0
        if EXPANDABLE.search(text) is not None:
            self.makers.add(ANY)
            self.scope = replace(scope, space_sure=False)
        elif words[:1] == ["nested"]:
            self.scope = replace(scope, nested=words[1:] == ["on"])
        elif words == ["off"]:
            outer = scope.namespace.rpartition("_")[0] if scope.nested else ""
            self.scope = replace(scope, namespace=outer, space_sure=sure)
        elif words:
            inner = f"{scope.namespace}_{words[0]}" if scope.nested and scope.namespace else words[0]
            inner = inner[-MAX_NAME:]
            self.out.namespaces.update((words[0], inner))
            self.scope = replace(scope, namespace=inner, space_sure=sure)

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
            self.scope = replace(scope, macro=scope.macro + 1)
        else:
            self.scope = Scope(sure=False, macro=1, macro_name=name, parameters=parameters, arch=scope.arch,
                               outside=replace(scope, outside=None))

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
        self.out.includes.append(Include(name, directive.name, "", Span(at + start, at + end), opaque, sure,
                                         self.scope.arch != "65816"))


def one_line(raw: str, directive: Directive) -> bool:
    """Is this ``if`` or ``while`` of the form ``if c : x``, which 1.91 ends with the line?"""
    rest = raw[directive.end :].lstrip()
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
