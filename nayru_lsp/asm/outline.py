"""A block's outline: what it defines, mentions, includes and might make, read at some millions of lines a second.

One regular expression takes indentation, comments and rows of plain numbers off every line; what is left is looked up
in a memo, since most lines of a project say what others say. Labels, calls and assignments in their usual forms are
read here; whatever looks otherwise is parsed and given to the same reader that makes the full index, so both agree.
"""

from __future__ import annotations

import re
from array import array
from dataclasses import dataclass
from sys import intern

from nayru_lsp.asm.expressions import split
from nayru_lsp.asm.isa import MNEMONICS
from nayru_lsp.asm.lexer import logical_end, logical_lines, logical_starts
from nayru_lsp.asm.records import Outline, Scope
from nayru_lsp.asm.statements import MAX_LINE, parse_line
from nayru_lsp.asm.symbols import DEFINING, Reader, interesting, loose
from nayru_lsp.asm.syntax import Dialect, Directive, Statement
from nayru_lsp.asm.text import split_lines
from nayru_lsp.asm.words import DIRECTIVES, FREESPACE, INCLUDES, MAPPERS

# The code of each physical line, without indentation; empty for blank lines, comments, and rows of plain numbers.
# Quotes are as in `lexer.code_end`. A name that spells a hexadecimal number is taken for one here: see `searched`.
_CODE = r"""(?!\Z)[ \t]*+(?:[dD][bBwWlLdD][ \t]++[0-9A-Fa-f$%%, \t]*[0-9A-Fa-f][ \t]*+(?=[;%(ends)s]|\Z)
    |([^;"'%(ends)s]*+(?:(?=["'])(?:[^;"'%(ends)s]++|"[^"%(ends)s]*+"|'[^%(ends)s]'|'|"[^%(ends)s]*+)*+)?))
    [^%(ends)s]*+(?:\r\n?|\n)?"""


def _lines_with(ends: str) -> re.Pattern[str]:
    return re.compile(re.sub(r"\n +", "", _CODE) % {"ends": ends})


_ANY_ENDS, _LINE_FEEDS = _lines_with(r"\r\n"), _lines_with(r"\n")

# An instruction, data, or a command that defines nothing.
_PLAIN = re.compile(r"([A-Za-z_]\w*)(?:\.[A-Za-z])?(?:[ \t]++((?!=)[^:]*+))?+\Z", re.ASCII)
_HARMLESS = (DIRECTIVES - DEFINING) | {name.lower() for name in MNEMONICS}
_STARTING = MAPPERS | FREESPACE | {"org"}
_FORM = re.compile(r"""
      ([A-Za-z_]\w*):(?:[ \t]++(.*+))?+\Z
    | (\.++\w++):?(?:[ \t]++(.*+))?+\Z
    | ([A-Za-z_]\w*)[ \t]++=[ \t]++[^:"']*+\Z
    | !(\w++)[ \t]++[:+?\#]?=[ \t]++([^:"';]*+)\Z
    | \#([A-Za-z_]\w*):(?:[ \t]++(.*+))?+\Z
    | (\++|-++):?(?:[ \t]++(.*+))?+\Z""", re.VERBOSE | re.ASCII)
# Parentheses three deep; strings only where no bracket, comma or comment is in them.
_CALL_FORM = re.compile(
    r'''%(\w++)[ \t]*+\(((?:T++|"S*+"|\((?:T++|"S*+"|\((?:T++|"S*+")*+\))*+\))*+)\)[ \t]*+\Z'''.replace(
        "T", r"""[^()":;'\\]""").replace("S", r"""[^()":;'\\,]"""), re.ASCII)
_OTHER, _LABEL, _SUB, _CALL, _VALUE, _DEFINE, _DECLARED, _RELATIVE, _STARTS = range(9)
_WORDS = re.compile(r"[A-Za-z_$]\w*", re.ASCII)
_SEARCHED = re.compile(r"[0-9A-Fa-f]+\Z|[AaXxYySs]\Z")
_REGISTERS = frozenset("AaXxYySs")
MEMO = 40_000           # distinct lines that are remembered
LONG = 400              # characters of a line that is not


@dataclass(slots=True)
class _Form:
    """What a line says besides mentioning words. ``name``: what is defined or called; of an `_OTHER` the line itself,
    which its ``statements`` are of."""

    words: tuple[str, ...]
    kind: int
    name: str
    text: str = ""          # of the arguments of a call, or of what a define stands for
    statements: tuple[Statement, ...] = ()


class _Joined:
    """This line goes on in the next one."""


_Entry = tuple[str, ...] | str | _Form | _Joined | None       # a str is a lone label
_JOINED = _Joined()


def searched(name: str) -> bool:
    """Is this a word that outlines leave out, since it mostly spells a number or a register?"""
    return _SEARCHED.match(name) is not None


def _words(code: str) -> tuple[str, ...]:
    if code.isidentifier() and code.isascii():
        return (intern(code),) if code not in _REGISTERS else ()
    found = [intern(word) for word in _WORDS.findall(code) if word[0] != "$" and word not in _REGISTERS]
    return tuple(found) if len(found) < 2 else tuple(dict.fromkeys(found))


def _plain(code: str) -> tuple[str, ...] | None:
    """The words that something mentions which defines nothing; None where this may be something else."""
    found = _PLAIN.match(code)
    if found is None:
        return None
    word, operand = found.groups()
    if word.lower() not in _HARMLESS:
        return None
    return _words(operand.rstrip()) if operand else ()


def arguments_of(text: str) -> tuple[str, ...]:
    """The arguments of a macro call as outlines keep them."""
    if "(" not in text and '"' not in text:
        return tuple([one.strip(" \t\f\v") for one in text.split(",")]) if text.strip() else ()
    return tuple([text[start:end].strip('"') for start, end in split(text, 0, len(text))])


def _form(code: str, dialect: Dialect) -> _Entry:
    """Read one line without its comment."""
    last = code[-1]
    if last in ",\\" or (last.isspace() and code.rstrip()[-1:] in (",", "\\")):
        return _JOINED
    if len(code) > MAX_LINE:
        return _parsed(code, dialect)
    if code[0] == "%":
        if (call := _CALL_FORM.match(code)) is not None:
            return _Form(_words(code), _CALL, call.group(1), call.group(2))
        return _parsed(code, dialect)
    words = _plain(code)
    if words is not None:
        return words or None
    code = code.rstrip(" \t")
    form = _FORM.match(code)
    if form is not None:
        label, after, sub, after_sub, value, define, text, declared, after_declared, sign, after_sign = form.groups()
        if value is not None:
            return _Form(_words(code), _VALUE, intern(value))
        if define is not None:
            return _Form(_words(code), _DEFINE, intern("!" + define), text.rstrip(" \t\r\n\f\v"))
        rest = after or after_sub or after_declared or after_sign
        words = _plain(rest) if rest else ()
        if words is not None:
            if label is not None:
                return _Form(words, _LABEL, intern(label))
            if sub is not None:
                return _Form(words, _SUB, sub)
            return _Form(words, _RELATIVE, intern(sign)) if sign else _Form(words, _DECLARED, intern(declared))
    elif " : " in code and '"' not in code and "'" not in code:
        parts = [_plain(part.strip(" \t")) for part in code.split(" : ")]
        if None not in parts:
            return tuple(dict.fromkeys([word for part in parts for word in part or ()])) or None
    elif ":" not in code and code.partition(" ")[0].lower() in _STARTING:
        return _Form(_words(code), _STARTS, "")
    return _parsed(code, dialect)


def _parsed(raw: str, dialect: Dialect) -> _Entry:
    """Read a line by the grammar."""
    statements = interesting(parse_line(raw, dialect))
    words = _words(raw)
    return _Form(words, _OTHER, raw, "", statements) if statements else words or None


class _Forms(dict[str, _Entry]):
    """code -> what `_form` makes of it; bounded."""

    def __init__(self, dialect: Dialect) -> None:
        super().__init__({"": None})
        self._dialect = dialect

    def __missing__(self, code: str) -> _Entry:
        if code[-1] == ":" and code.isascii() and (label := code[:-1]).isidentifier():
            return intern(label)        # hardly ever the same as another one
        entry = _form(code, self._dialect)
        if len(code) < LONG and entry is not _JOINED:
            if len(self) >= MEMO:
                self.forget()
            self[code] = entry
        return entry

    def forget(self) -> None:
        self.clear()
        self[""] = None


_forms = {dialect: _Forms(dialect) for dialect in Dialect}


def forget_lines() -> None:
    """Empty the memo: a project was read, and the keys that follow need little of it."""
    for forms in _forms.values():
        forms.forget()


def outline_block(text: str, entry: Scope, dialect: Dialect) -> Outline:
    """The outline of a run of whole logical lines that is entered with the scope ``entry``."""
    if dialect is Dialect.ASAR_2 and ";[[" in text:
        return _Outliner(text, entry, dialect).logical()
    return _Outliner(text, entry, dialect).physical()


class _Outliner:
    def __init__(self, text: str, entry: Scope, dialect: Dialect) -> None:
        self.text = text
        self.entry = entry
        self.dialect = dialect
        self.reader = Reader(entry)
        self.mentions: list[tuple[str, ...]] = []
        self.rows: list[int] = []
        self.lines: list[str] | None = None
        self.starts: list[int] = []
        self.codes: list[str] = []

    def logical(self) -> Outline:
        """Every line by the grammar: comments over several lines are rare."""
        at = row = 0
        for raw in logical_lines(self.text, self.dialect):
            self.parse(raw, at, row)
            at += len(raw)
            row += len(split_lines(raw))
        return self.done()

    def parse(self, raw: str, at: int, row: int) -> None:
        entry = _parsed(raw, self.dialect)
        if isinstance(entry, _Form):
            self.note(entry.words, row)
            self.reader.read(raw, at, entry.statements, (), row)
        elif isinstance(entry, tuple):
            self.note(entry, row)

    def slowly(self, row: int, form: _Form | _Joined | str) -> int:
        """Read a line that the quick way has no form for; returns the row behind it."""
        if isinstance(form, _Form) and form.kind == _OTHER and not any(
                isinstance(one, Directive) and one.name in INCLUDES for one in form.statements):
            self.reader.read(form.name, 0, form.statements, (), row)
            return row + 1
        if isinstance(form, _Joined) and self.codes[row][0] == "%" and (end := self.joined_call(row)):
            return end
        if self.lines is None:
            self.lines = split_lines(self.text)
            self.starts = logical_starts(self.lines)
        end = logical_end(self.lines, row) if isinstance(form, _Joined) else row + 1
        raw = "".join(self.lines[row:end])
        at = self.starts[row]
        if isinstance(form, _Joined):
            self.parse(raw, at, row)
        else:
            self.reader.read(raw, at, interesting(parse_line(raw, self.dialect)), (), row)
        return end

    def joined_call(self, row: int) -> int:
        """A macro call whose arguments stand on lines of their own: the row behind it; 0 where it is anything else."""
        parts = []
        depth = 0
        for end in range(row, len(self.codes)):
            code = self.codes[end].rstrip(" \t")
            last = code[-1:]
            if last == "\\":
                code = code[:-1].rstrip(" \t")
            parts.append(code)
            depth += code.count("(") - code.count(")")
            if last not in (",", "\\"):
                break
            if code[-1:] not in (",", "(") or depth != 1:
                return 0        # an argument of more than one line
        else:
            return 0
        text = " ".join(parts)
        call = _CALL_FORM.match(text)
        if "" in parts or call is None:
            return 0
        self.note(_words(text), row)
        self.reader.calls.append((call.group(1), call.group(2)))
        self.reader.unsure()
        return end + 1

    def note(self, words: tuple[str, ...], row: int) -> None:
        if words:
            self.mentions.append(words)
            self.rows.append(row)

    def done(self) -> Outline:
        out = Outline(self.entry, self.entry, mentions=tuple(self.mentions), mention_rows=array("I", self.rows))
        self.reader.fill(out)
        return out

    def physical(self) -> Outline:
        """Line by line. The scope is taken apart into local names, since nearly every label changes it."""
        reader = self.reader
        mentions, rows, names, calls, makers = self.mentions, self.rows, reader.names, reader.calls, reader.makers
        scope = self.entry
        main, parents, sure, conditions = scope.main, scope.parents, scope.sure, scope.conditions
        space = "" if scope.global_next else scope.namespace
        special = scope.macro or scope.struct or scope.global_next
        changed = False
        behind = 0          # rows before this one belong to a logical line that was read
        pattern = _ANY_ENDS if "\r" in self.text else _LINE_FEEDS
        self.codes = pattern.findall(self.text)
        for row, form in enumerate(map(_forms[self.dialect].__getitem__, self.codes)):
            if form is None or row < behind:
                continue
            if isinstance(form, tuple):
                mentions.append(form)
                rows.append(row)
                continue
            if isinstance(form, str) and not special:
                names.setdefault(f"{space}_{form}" if space else form, row)
                main, parents, sure, changed = form, (), not conditions, True
                continue
            if isinstance(form, _Form):
                kind, name = form.kind, form.name
                if form.words:
                    mentions.append(form.words)
                    rows.append(row)
                if kind == _CALL:
                    calls.append((name, form.text))
                    if sure:
                        sure, changed = False, True
                    continue
                if not special:
                    if kind == _LABEL:
                        names.setdefault(f"{space}_{name}" if space else name, row)
                        main, parents, sure, changed = name, (), not conditions, True
                        continue
                    if kind == _SUB:
                        bare = name.lstrip(".")
                        if not sure or not main:
                            makers.add(loose(bare))
                        parents = parents[:len(name) - len(bare) - 1]
                        full = "_".join((main, *parents, bare)) if main else bare
                        names.setdefault(f"{space}_{full}" if space else full, row)
                        parents, changed = (*parents, bare), True
                        continue
                    if kind == _RELATIVE:
                        names.setdefault(name, row)
                        continue
                    if kind in (_VALUE, _DECLARED):
                        names.setdefault(f"{space}_{name}" if space else name, row)
                        continue
                    if kind == _DEFINE:
                        names.setdefault(name, row)
                        reader.define_texts.append((name, form.text))
                        continue
                    if kind == _STARTS:
                        reader.starts_program = True
                        continue
            if changed:
                scope = reader.scope = scope._replace(main=main, parents=parents, sure=sure)
                changed = False
            behind = self.slowly(row, form)
            if reader.scope is not scope:
                scope = reader.scope
                main, parents, sure, conditions = scope.main, scope.parents, scope.sure, scope.conditions
                space = "" if scope.global_next else scope.namespace
                special = scope.macro or scope.struct or scope.global_next
        if changed:
            reader.scope = scope._replace(main=main, parents=parents, sure=sure)
        return self.done()
