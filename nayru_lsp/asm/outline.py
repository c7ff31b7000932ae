"""A block's outline: what it defines, mentions, includes and might make, read at some millions of lines a second.

Rows of plain numbers and comments are cut off every line; what is left is looked up in a memo, since most lines of a
project say what others say. Labels, calls and assignments in their usual forms are read here; whatever looks otherwise
is parsed and given to the same reader that makes the full index, so both agree.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import accumulate

from nayru_lsp.asm.expressions import split
from nayru_lsp.asm.isa import MNEMONICS
from nayru_lsp.asm.lexer import code_end, logical_end, logical_starts
from nayru_lsp.asm.records import Outline, Scope
from nayru_lsp.asm.statements import MAX_LINE, parse_line
from nayru_lsp.asm.symbols import CLOSING, DEFINING, OPENING, Reader, interesting, loose
from nayru_lsp.asm.syntax import Dialect, Directive, Statement
from nayru_lsp.asm.text import split_lines
from nayru_lsp.asm.words import DIRECTIVES, FREESPACE, INCLUDES, MAPPERS, SPC700, SUPERFX

# A row of numbers, and of names that spell hexadecimal numbers: see `searched`.
_NUMBERS = re.compile(r"\n[ \t]*+[dD][bBwWlLdD][ \t]++[0-9A-Fa-f$%, \t]*[0-9A-Fa-f][ \t]*+(?=[;\n])")
# Quotes are as in `lexer.code_end`: does this text in front of a `;` end outside of them?
_OUTSIDE_QUOTES = re.compile(r"""(?:[^"']++|"[^"]*+"|'[^']'|'(?!\Z))*+\Z""")

# An instruction, data, or a command that defines nothing.
_PLAIN = re.compile(r"([A-Za-z_]\w*)(?:\.[A-Za-z])?(?:[ \t]++((?!=)[^:]*+))?+\Z", re.ASCII)
_HARMLESS = (DIRECTIVES - DEFINING) | {name.lower() for name in MNEMONICS}
_ELSEWHERES = frozenset(name.lower() for name in SPC700 | SUPERFX) - _HARMLESS      # on another processor
_STARTING = MAPPERS | FREESPACE | {"org"}
_LABEL_FORM = re.compile(r"([A-Za-z_]\w*):(?:[ \t]++(.*+))?+\Z", re.ASCII)
_SUB_FORM = re.compile(r"(\.++\w++):?(?:[ \t]++(.*+))?+\Z", re.ASCII)
_RELATIVE_FORM = re.compile(r"(\++|-++):?(?:[ \t]++(.*+))?+\Z", re.ASCII)
_DECLARED_FORM = re.compile(r"\#([A-Za-z_]\w*):(?:[ \t]++(.*+))?+\Z", re.ASCII)
_VALUE_FORM = re.compile(r"([A-Za-z_]\w*)[ \t]++=[ \t]++[^:\"']*+\Z", re.ASCII)
_DEFINE_FORM = re.compile(r"(!\w++)[ \t]++[:+?\#]?=[ \t]++([^:\"';]*+)\Z", re.ASCII)
# Parentheses three deep; strings only where no bracket, comma or comment is in them; line feeds between arguments only.
_CALL_FORM = re.compile(
    r'''%(\w++)[ \t]*+\(((?:[T\n]++|"S*+"|\((?:[T]++|"S*+"|\((?:[T]++|"S*+")*+\))*+\))*+)\)\Z'''.replace(
        "[T\\n]", r"""[^()":;'\\]""").replace("[T]", r"""[^()":;'\\\n]""").replace(
            "S", r"""[^()":;'\\,\n]"""), re.ASCII)
(_NOTHING, _OTHER, _LABEL, _SUB, _CALL, _VALUE, _DEFINE, _DECLARED, _RELATIVE, _IF, _ENDIF, _STARTS, _ELSEWHERE,
 _JOINED, _CUT) = range(15)
_WORDS = re.compile(r"[A-Za-z_]\w{3,}", re.ASCII)
_SEARCHED = re.compile(r"[0-9A-Fa-f]+\Z|.{0,3}\Z")
_DIGITS = frozenset("0123456789ABCDEFabcdef")
MEMO = 40_000           # distinct lines that are remembered
LONG = 400              # characters of a line that is not
# Rows of numbers are cut off at once where they are many: where so many characters of a block hold so many rows.
SAMPLE, NUMBER_ROW = 1_000, 200

# What a line says: (kind, what is defined or called, text of a call's arguments or behind a define's `=`, statements of
# an `_OTHER`). None: it only mentions names, if anything.
_Form = tuple[int, str, str, tuple[Statement, ...]]
_FIRSTS = {".": (_SUB_FORM, _SUB), "+": (_RELATIVE_FORM, _RELATIVE), "-": (_RELATIVE_FORM, _RELATIVE),
           "#": (_DECLARED_FORM, _DECLARED)}
_JOINED_FORM: _Form = (_JOINED, "", "", ())
_CUT_FORM: _Form = (_CUT, "", "", ())       # the `;` that it was cut off at may stand in a string


def searched(name: str) -> bool:
    """Is this a word that outlines leave out: a short one, or one that mostly spells a number?"""
    return _SEARCHED.match(name) is not None


class _Kinds(dict[str, int]):
    """The first word of a line -> the kind of line that it makes by itself. What makes none (`_OTHER`) is not kept."""

    def __missing__(self, word: str) -> int:
        name, dot, suffix = word.lower().partition(".")
        if dot and not (len(suffix) == 1 and suffix.isascii() and suffix.isalpha()):
            return _OTHER
        kind = _NOTHING if name in _HARMLESS else _ELSEWHERE if name in _ELSEWHERES else _OTHER
        if kind == _OTHER and not dot:
            kind = (_STARTS if name in _STARTING else _IF if name in OPENING else _ENDIF if name in CLOSING else _OTHER)
        if kind != _OTHER:
            self[word] = kind
        return kind


_kinds = _Kinds()


def _kind(code: str) -> int:
    """Of code without label and indentation."""
    if ":" in code:
        return _OTHER
    word, _, rest = code.partition(" ")
    kind = _kinds[word]
    if (kind == _OTHER and "\t" in word) or rest[:1] in ("=", " ", "\t"):
        found = _PLAIN.match(code)      # tabs, or more than one space
        return _OTHER if found is None else _kinds[found.group(1)]
    return kind


def arguments_of(text: str) -> tuple[str, ...]:
    """The arguments of a macro call as outlines keep them."""
    if "(" not in text and '"' not in text:
        return tuple([one.strip(" \t") for one in text.split(",")]) if text.strip(" \t") else ()
    return tuple([text[start:end].strip('"') for start, end in split(text, 0, len(text))])


def _simple_call(code: str) -> _Form | None:
    """A macro call on one line, without brackets or commas inside of its arguments; None for any other."""
    name, _, text = code[1:-1].partition("(")
    if code[-1] != ")" or not name.isidentifier() or not name.isascii() or "(" in text or ")" in text \
            or ":" in text or "'" in text or "\\" in text:
        return None
    if '"' in text:
        pieces = text.split('"')
        if len(pieces) % 2 == 0 or "," in "".join(pieces[1::2]):
            return None
    return _CALL, name, text, ()


def _form(code: str, dialect: Dialect) -> _Form | None:
    """Read one line without its comment and indentation."""
    first, last = code[0], code[-1]
    if last == "," or last == "\\":
        return _JOINED_FORM
    if len(code) > MAX_LINE:
        return _parsed(code, dialect)
    if first == "%":
        call = _CALL_FORM.match(code)
        return _parsed(code, dialect) if call is None else (_CALL, call.group(1), call.group(2), ())
    if ":" not in code:
        name, equals, text = code.partition("=")
        if equals and text[:1] == " " and name[-1:] == " " and '"' not in text and "'" not in text:
            name = name.rstrip(" ")
            if name.isidentifier() and name.isascii():
                return _VALUE, name, "", ()
    elif " : " in code and '"' not in code and "'" not in code and all(
            _kind(part.strip(" \t")) == _NOTHING for part in code.split(" : ")):
        return None
    kind = _kind(code)
    if kind == _NOTHING:
        return None
    if kind != _OTHER:
        return kind, "", "", ()
    if first == "!":
        form = _DEFINE_FORM.match(code)
        return _parsed(code, dialect) if form is None else (_DEFINE, form.group(1), form.group(2), ())
    shape, kind = _FIRSTS.get(first, (_LABEL_FORM, _LABEL))
    form = shape.match(code)
    if form is not None:
        rest = form.group(2)
        if not rest or _kind(rest) == _NOTHING:
            return kind, form.group(1), "", ()
    elif (form := _VALUE_FORM.match(code)) is not None:
        return _VALUE, form.group(1), "", ()
    return _parsed(code, dialect)


def _parsed(raw: str, dialect: Dialect) -> _Form | None:
    """Read a line by the grammar."""
    statements = interesting(parse_line(raw, dialect))
    return (_OTHER, raw, "", statements) if statements else None


class _Forms(dict[str, "_Form | None"]):
    """code -> what `_form` makes of it; bounded."""

    def __init__(self, dialect: Dialect) -> None:
        super().__init__()
        self._dialect = dialect

    def __missing__(self, code: str) -> _Form | None:
        bare = code.strip(" \t")
        entry: _Form | None = None
        first, last = bare[:1], bare[-1:]
        if last == ":" and bare.isascii() and (label := bare[:-1]).isidentifier():
            return _LABEL, label, "", ()        # hardly ever the same as another one
        if first == "%" and (call := _simple_call(bare)) is not None:
            entry = call
        elif bare:
            word, _, rest = bare.partition(" ")
            quoted = '"' in bare or "'" in bare
            if not quoted and ":" not in bare and rest[:1] not in "= \t" and _kinds[word] == _NOTHING \
                    and last not in ",\\":
                if first in "dD" and last in _DIGITS and "," in bare:
                    return None     # a row of numbers: neither
            elif quoted and _OUTSIDE_QUOTES.match(bare) is None:
                entry = _CUT_FORM
            else:
                entry = _form(bare, self._dialect)
        if len(code) < LONG:
            if len(self) >= MEMO:
                self.clear()
            self[code] = entry
        return entry


_forms = {dialect: _Forms(dialect) for dialect in Dialect}


def outline_block(text: str, entry: Scope, dialect: Dialect) -> Outline:
    """The outline of a run of whole logical lines that is entered with the scope ``entry``."""
    return _Outliner(text, entry, dialect).outline()


class _Outliner:
    def __init__(self, text: str, entry: Scope, dialect: Dialect) -> None:
        self.text = text
        self.entry = entry
        self.dialect = dialect
        self.reader = Reader(entry)
        self.lines: list[str] | None = None     # with their line ends
        self.starts: list[int] = []
        self.codes: list[str] = []

    def outline(self) -> Outline:
        if self.dialect is Dialect.ASAR_2 and ";[[" in self.text:
            return self.done(self.logical())
        return self.done(self.physical())

    def done(self, texts: Iterable[str]) -> Outline:
        words = set(_WORDS.findall("\n".join(texts)))
        out = Outline(self.entry, self.entry, words="\n" + "\n".join(words) + "\n")
        self.reader.fill(out)
        return out

    def logical(self) -> Iterable[str]:
        """Every line by the grammar: comments over several lines are rare."""
        lines = split_lines(self.text)
        row = at = 0
        while row < len(lines):
            end = logical_end(lines, row, self.dialect)
            raw = "".join(lines[row:end])
            self.reader.read(raw, at, interesting(parse_line(raw, self.dialect)), (), row)
            at += len(raw)
            row = end
        return (self.text,)

    def slowly(self, row: int, form: _Form) -> int:
        """Read a line that the quick way has no form for; returns the row behind it."""
        kind, name, _, statements = form
        if kind == _OTHER:
            at = 0          # only an include's place is of interest
            if any(isinstance(one, Directive) and one.name in INCLUDES for one in statements):
                at = self.start(row) + len(self.codes[row]) - len(self.codes[row].lstrip(" \t"))
            self.reader.read(name, at, statements, (), row)
            return row + 1
        if self.lines is None:
            self.lines = split_lines(self.text)
        end = logical_end(self.lines, row, self.dialect) if kind == _JOINED else row + 1
        raw = "".join(self.lines[row:end])
        self.reader.read(raw, self.start(row), interesting(parse_line(raw, self.dialect)), (), row)
        return end

    def start(self, row: int) -> int:
        """Where this physical line begins."""
        if not self.starts:
            if "\r" in self.text:
                self.starts = logical_starts(split_lines(self.text))
            else:
                self.starts = list(accumulate([len(line) + 1 for line in self.text.split("\n")], initial=0))
        return self.starts[row]

    def joined_call(self, row: int) -> int:
        """A macro call whose arguments stand on lines of their own: the row behind it; 0 where it is anything else."""
        parts = []
        for end in range(row, len(self.codes)):
            code = self.codes[end].strip(" \t")
            last = code[-1:]
            if last == "\\":
                code = code[:-1].rstrip(" \t")
                if code[-1:] != "(":
                    return 0    # an argument of more than one line
            parts.append(code)
            if last != "," and last != "\\":
                break
        else:
            return 0
        call = _CALL_FORM.match("\n".join(parts))
        if "" in parts or call is None:
            return 0
        self.reader.calls.append((call.group(1), call.group(2).replace("\n", " ")))
        return end + 1

    def physical(self) -> Iterable[str]:
        """Line by line. The scope is taken apart into local names, since nearly every label changes it."""
        reader = self.reader
        names, calls, makers, texts = reader.names, reader.calls, reader.makers, reader.define_texts
        scope = self.entry
        main, parents, sure, conditions = scope.main, scope.parents, scope.sure, scope.conditions
        space = "" if scope.global_next else scope.namespace
        special = scope.macro or scope.struct or scope.global_next
        changed = False
        behind = 0          # rows before this one belong to a logical line that was read
        text = self.text
        if "\r" in text:
            text = text.replace("\r\n", "\n").replace("\r", "\n")
        if len(_NUMBERS.findall(text, 0, SAMPLE)) * NUMBER_ROW > SAMPLE:
            text = _NUMBERS.sub("\n", text)
        lines = text.split("\n")
        self.codes = codes = [line.partition(";")[0] for line in lines]
        said = set(codes)
        for row, form in enumerate(map(_forms[self.dialect].__getitem__, codes)):
            if form is None or row < behind:
                continue
            kind, name, text, _ = form
            if kind == _LABEL and not special:
                names.setdefault(f"{space}_{name}" if space else name, row)
                main, parents, sure, changed = name, (), not conditions, True
                continue
            if kind == _CUT:
                said.add(lines[row])
                codes[row] = code = lines[row][:code_end(lines[row])]
                if (precise := _form(code.strip(" \t"), self.dialect)) is None:
                    continue
                form = precise
                kind, name, text, _ = form
            if kind == _CALL:
                calls.append((name, text))
                if sure:
                    sure, changed = False, True
                continue
            if kind == _JOINED and codes[row].lstrip(" \t")[:1] == "%" and (end := self.joined_call(row)):
                behind = end
                if sure:
                    sure, changed = False, True
                continue
            if kind == _IF:
                conditions, changed = conditions + 1, True
                continue
            if kind == _ENDIF:
                conditions, changed = max(0, conditions - 1), True
                continue
            if kind == _ELSEWHERE:
                reader.foreign = True
                continue
            if kind == _SUB and scope.struct and not scope.macro:
                names.setdefault(f"{scope.struct}.{name.lstrip('.')}", row)
                continue
            if not special:
                if kind == _SUB:
                    bare = name.lstrip(".")
                    if not sure or not main:
                        makers.add(loose(bare))
                    parents = parents[:len(name) - len(bare) - 1]
                    full = "_".join((main, *parents, bare)) if main else bare
                    names.setdefault(f"{space}_{full}" if space else full, row)
                    parents, changed = (*parents, bare), True
                    continue
                if kind in (_VALUE, _DECLARED):
                    names.setdefault(f"{space}_{name}" if space else name, row)
                    continue
                if kind == _RELATIVE:
                    names.setdefault(name, row)
                    continue
                if kind == _DEFINE:
                    names.setdefault(name, row)
                    texts.append((name, text))
                    continue
                if kind == _STARTS:
                    reader.starts_program = True
                    continue
            if changed:
                scope = reader.scope = scope._replace(main=main, parents=parents, sure=sure, conditions=conditions)
                changed = False
            behind = self.slowly(row, form)
            if reader.scope is not scope:
                scope = reader.scope
                main, parents, sure, conditions = scope.main, scope.parents, scope.sure, scope.conditions
                space = "" if scope.global_next else scope.namespace
                special = scope.macro or scope.struct or scope.global_next
        if changed:
            reader.scope = scope._replace(main=main, parents=parents, sure=sure, conditions=conditions)
        return said
