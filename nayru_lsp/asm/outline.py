"""A block's outline: what it defines, includes, calls and might make, read at some millions of lines a second.

One pattern goes over a block: it passes over blank lines, comments, instructions and data, takes labels, calls and
assignments in their usual forms to pieces, and gives every other line. Most of these were seen before, and what they
say is remembered; the rest is parsed and given to the same reader that makes the full index, so both agree.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from enum import Enum

from nayru_lsp.asm.expressions import split
from nayru_lsp.asm.isa import MNEMONICS
from nayru_lsp.asm.lexer import logical_end, logical_starts
from nayru_lsp.asm.records import Maker, Outline, Scope
from nayru_lsp.asm.statements import MAX_LINE, Memo, parse_line
from nayru_lsp.asm.symbols import CLOSING, DEFINING, OPENING, Reader, interesting, loose
from nayru_lsp.asm.syntax import Dialect, Directive, Statement
from nayru_lsp.asm.text import split_lines
from nayru_lsp.asm.words import DATA, DIRECTIVES, FREESPACE, INCLUDES, MAPPERS, SPC700, SUPERFX

_COMMON = "lsjdbraxcpitowenm"      # first letters of mnemonics, the commonest first


def _one_of(words: Iterable[str]) -> str:
    """A pattern for these words, in either case, that looks at every letter once."""
    rests: dict[str, list[str]] = {}
    for word in words:
        rests.setdefault(word[0], []).append(word[1:])
    last = "".join(letter + letter.upper() for letter, more in rests.items() if more == [""])
    ways = [f"[{last}]"] if last else []
    for letter in sorted(rests, key=_COMMON.find):
        if rests[letter] != [""]:
            ways.append(f"[{letter}{letter.upper()}]{_one_of(rests[letter])}")
    return ways[0] if len(ways) == 1 else f"(?:{'|'.join(ways)})"


# An instruction, data, or a row of numbers, that nothing is hidden in and that does not go on below. Most have one word
# behind one space, so that is tried first. A word of an operand is anything but what ends or joins statements, and
# strings. (`BLANK`: a run of spaces is passed over faster by itself.)
_PARTS = (
    ("PLAIN", r"(?:[dD][bBwWlLdD][ \t]++[0-9A-Fa-f$%, \t]*+(?<![, \t])END"
              r"|KNOWN(?:(?> (?!=)WORD++(?<!,)|)BLANKEND|OPERAND(?:(?<= ):(?= )BLANKKNOWNOPERAND)*+END))"),
    ("OPERAND", r"(?>[ \t]++(?!=)WORD++(?:[ \t]++WORD++)*+(?<!,))?+BLANK"),
    ("KNOWN", _one_of([*sorted(DATA), *sorted(name.lower() for name in MNEMONICS)]) + r"(?:\.[A-Za-z])?+"),
    ("NESTED", r"\((?:GIVEN++|STRING|\((?:GIVEN++|STRING)*+\))*+\)"),       # in parentheses three deep
    ("STRING", r"""\"[^()":;'\\,\n]*+\""""),
    ("GIVEN", r"""[^()":;'\\\n]"""),
    ("WORD", r"""[^ \t:;"'\\\n]"""),
    ("BLANK", r" *+[ \t]*+"),
    ("END", r"(?=[;\n]|\Z)"))


def _pattern(text: str) -> re.Pattern[str]:
    for name, part in _PARTS:
        text = text.replace(name, part)
    return re.compile(text, re.ASCII)


# Every line that is not plain; the number of its last group tells which. Calls may go on below behind a comma.
_LINES = _pattern(
    r"\n *+[ \t]*+(?!;|\n|PLAIN)(?:"
    r"([A-Za-z_]\w*+):BLANK(?:END|PLAIN)"
    r"|(\.++\w++):?(?:BLANKEND|[ \t]++PLAIN)"
    r"|%(\w++)[ \t]*+\((?:(GIVEN*+)\)BLANKEND|(?:\\\n)?+((?:GIVEN++|(?<=,)\n|STRING|NESTED)*+)\)BLANKEND)"
    r"""|([A-Za-z_]\w*+)[ \t]++=[ \t]++[^:;"',\\ \t\n][^:;"',\\\n]*+END"""
    r"""|(!\w++)[ \t]++[:+?#]?=[ \t]++([^:;"',\\\n]*[^:;"',\\ \t\n])BLANKEND"""
    r"|(\++|-++):?(?:BLANKEND|[ \t]++PLAIN)"
    r"|([^;\n]++))")
_LABEL, _SUB, _CALL, _JOINED_CALL, _VALUE, _DEFINE, _RELATIVE, _OTHER = 1, 2, 4, 5, 6, 8, 9, 10

# Quotes are as in `lexer.code_end`: does this text in front of a `;` end outside of them?
_OUTSIDE_QUOTES = re.compile(r"""(?:[^"']++|"[^"]*+"|'[^']'|'(?!\Z))*+\Z""")
_WORD = re.compile(r"([A-Za-z_]\w*)(?:\.[A-Za-z])?(?![^ \t])(?![ \t]*+=)", re.ASCII)
_HARMLESS = (DIRECTIVES - DEFINING) | {name.lower() for name in MNEMONICS}
_ELSEWHERES = frozenset(name.lower() for name in SPC700 | SUPERFX) - _HARMLESS      # on another processor
_STARTING = MAPPERS | FREESPACE | {"org"}
MEMO = 40_000           # distinct lines that are remembered
LONG = 400              # characters of a line that is not


class _Says(Enum):
    """What a line says that the pattern does not take to pieces, where it need not be parsed."""

    OPENS = 1           # a condition
    CLOSES = 2
    STARTS = 3          # a program
    ELSEWHERE = 4       # an instruction of another processor
    GOES_ON = 5         # below; or the `;` that it was cut off at stands in a string


_Meaning = _Says | tuple[Statement, ...]


def arguments_of(text: str) -> tuple[str, ...]:
    """The arguments of a macro call as outlines keep them."""
    text = text.replace("\n", " ")
    if "(" not in text and '"' not in text:
        return tuple([one.strip(" \t") for one in text.split(",")]) if text.strip(" \t") else ()
    return tuple([text[start:end].strip('"') for start, end in split(text, 0, len(text))])


def _meaning(code: str, dialect: Dialect) -> _Meaning:
    """Read one line without its comment and indentation: what it says, or the statements that the index reads."""
    if code[-1] in ",\\" or (("'" in code or '"' in code) and _OUTSIDE_QUOTES.match(code) is None):
        return _Says.GOES_ON
    if ":" not in code and (found := _WORD.match(code)) is not None:
        word = found.group(1).lower()
        if word in _HARMLESS:
            return ()
        if word in _ELSEWHERES:
            return _Says.ELSEWHERE
        if found.end() == found.end(1):
            if word in _STARTING:
                return _Says.STARTS
            if word in OPENING:
                return _Says.OPENS
            if word in CLOSING:
                return _Says.CLOSES
    return interesting(parse_line(code, dialect))


class _Meanings(dict[str, _Meaning]):
    """code -> what `_meaning` makes of it; bounded."""

    def __init__(self, dialect: Dialect) -> None:
        super().__init__()
        self._dialect = dialect

    def __missing__(self, code: str) -> _Meaning:
        found = _meaning(code.rstrip(" \t"), self._dialect)
        if len(code) < LONG:
            if len(self) >= MEMO:
                self.clear()
            self[code] = found
        return found


_meanings = {dialect: _Meanings(dialect) for dialect in Dialect}
_exactly: Memo[str, Maker] = Memo(lambda name: Maker("name", re.escape(name)), 5_000)


def outline_block(text: str, entry: Scope, dialect: Dialect) -> Outline:
    """The outline of a run of whole logical lines that is entered with the scope ``entry``."""
    return _Outliner(text, entry, dialect).outline()


class _Outliner:
    def __init__(self, text: str, entry: Scope, dialect: Dialect) -> None:
        self.text = text
        self.entry = entry
        self.dialect = dialect
        self.reader = Reader(entry)
        self.lines: list[str] = []      # with their line ends
        self.starts: list[int] = []

    def outline(self) -> Outline:
        text = self.text
        if (self.dialect is Dialect.ASAR_2 and ";[[" in text) or (
                len(text) > MAX_LINE and max(map(len, split_lines(text))) > MAX_LINE):
            self.logical()
        else:
            self.physical()
        out = Outline(self.entry, self.entry)
        self.reader.fill(out)
        return out

    def logical(self) -> None:
        """Every line by the grammar: comments over several lines, and lines without end, are rare."""
        row, rows = 0, len(split_lines(self.text))
        while row < rows:
            row, _ = self.whole(row)

    def whole(self, row: int) -> tuple[int, str]:
        """Read the logical line at ``row`` by the grammar; returns the row behind it, and its text."""
        start = self.start(row)
        end = logical_end(self.lines, row, self.dialect)
        raw = "".join(self.lines[row:end])
        self.reader.read(raw, start, interesting(parse_line(raw, self.dialect)), (), row)
        return end, raw

    def start(self, row: int) -> int:
        """Where this physical line begins."""
        if not self.lines:
            self.lines = split_lines(self.text)
            self.starts = logical_starts(self.lines)
        return self.starts[row]

    def physical(self) -> None:
        """What the pattern finds, in order. The scope is taken apart into local names, since most labels change it."""
        text = "\n" + self.text
        if "\r" in text:
            text = text.replace("\r\n", "\n").replace("\r", "\n")
        reader, meanings = self.reader, _meanings[self.dialect]
        names, calls, makers, texts = reader.names, reader.calls, reader.makers, reader.define_texts
        scope = self.entry
        main, parents, sure, conditions = scope.main, scope.parents, scope.sure, scope.conditions
        space = "" if scope.global_next else scope.namespace
        changed = False
        row = counted = 0       # rows up to this position
        begin = 0
        while begin >= 0:
            found, begin = _LINES.finditer(text, begin), -1
            for match in found:
                kind = match.lastindex
                if kind in (_CALL, _JOINED_CALL):
                    calls.append((match[3], match[kind]))
                    if sure:
                        sure, changed = False, True
                    continue
                says: _Meaning = ()
                if kind == _OTHER and not (says := meanings[match[_OTHER]]):
                    continue
                at = match.start()
                row += text.count("\n", counted, at)
                counted = at
                if kind == _LABEL:
                    name = match[_LABEL]
                    if scope.macro:
                        makers.add(_exactly(name))
                        continue
                    names.setdefault(f"{space}_{name}" if space else name, row)
                    if not scope.struct:
                        main, parents, sure, changed = name, (), not conditions, True
                        if scope.global_next:
                            scope = scope._replace(global_next=False)
                            space = scope.namespace
                elif kind == _SUB:
                    name = match[_SUB]
                    bare = name.lstrip(".")
                    if scope.macro:
                        makers.add(loose(bare))
                    elif scope.struct:
                        names.setdefault(f"{scope.struct}.{bare}", row)
                    else:
                        if not sure or not main:
                            makers.add(loose(bare))
                        parents = parents[:len(name) - len(bare) - 1]
                        full = "_".join((main, *parents, bare)) if main else bare
                        names.setdefault(f"{space}_{full}" if space else full, row)
                        parents, changed = (*parents, bare), True
                elif kind == _VALUE:
                    name = match[_VALUE]
                    names.setdefault(f"{space}_{name}" if space else name, row)
                elif kind == _DEFINE:
                    name = match[_DEFINE - 1]
                    names.setdefault(name, row)
                    texts.append((name, match[_DEFINE]))
                elif kind == _RELATIVE:
                    if not scope.macro:
                        names.setdefault(match[_RELATIVE], row)
                elif says is _Says.OPENS:
                    conditions, changed = conditions + 1, True
                elif says is _Says.CLOSES:
                    conditions, changed = max(0, conditions - 1), True
                elif says is _Says.STARTS:
                    if not scope.macro:
                        reader.starts_program = True
                elif says is _Says.ELSEWHERE:
                    reader.foreign = True
                else:
                    if changed:
                        scope = reader.scope = scope._replace(
                            main=main, parents=parents, sure=sure, conditions=conditions)
                        changed = False
                    if isinstance(says, tuple):
                        place = 0           # only an include's is of interest
                        if any(isinstance(one, Directive) and one.name in INCLUDES for one in says):
                            place = self.start(row) + match.start(_OTHER) - at - 1
                        reader.read(match[_OTHER].rstrip(" \t"), place, says, (), row)
                    else:
                        begin = at + len(self.whole(row)[1].replace("\r\n", "\n"))
                    if reader.scope is not scope:
                        scope = reader.scope
                        main, parents, sure, conditions = scope.main, scope.parents, scope.sure, scope.conditions
                        space = "" if scope.global_next else scope.namespace
                    if begin >= 0:
                        break
        if changed:
            reader.scope = scope._replace(main=main, parents=parents, sure=sure, conditions=conditions)
