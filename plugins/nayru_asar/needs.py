"""What a candidate needs from the project before Asar can read it: found by walking from names to definitions.

Every look-up answers whether what was found is certain. Simple is enough: one definition, or the one right above in
the same file; whatever could be otherwise is put in all the same, so that names exist, and is called uncertain.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from nayru_lsp.asm.isa import MNEMONICS
from nayru_lsp.asm.lexer import DEFINE_USE, EXPANDABLE, scan
from nayru_lsp.asm.symbols import Symbol
from nayru_lsp.asm.text import split_lines
from nayru_lsp.asm.words import BUILT_IN_DEFINES, DIRECTIVES, FUNCTIONS, SPC700, SUPERFX
from nayru_lsp.hookspecs import ParsedFile, Project

MOST_NEEDS = 200            # names that are looked up
MOST_BODY = 200             # lines of a macro

REGISTERS = frozenset({"a", "x", "y", "s", "ya", "sp", "psw", "c"} | {f"r{n}" for n in range(16)})
WORDS = frozenset({name.lower() for name in (*MNEMONICS, *SPC700, *SUPERFX)}) | DIRECTIVES | REGISTERS

NEAR = "\0"                 # the address of a stand-in, filled in when all is known
_LABEL_BEFORE = re.compile(r"(?:^|\s)(?:#?\??\.+\w+|\++|-+)$")

# A label, function or mnemonic, and whether `(` follows.
NAME = re.compile(r"(?<![\w.$%!<'\"])(\.*[A-Za-z_][\w.]*)(\s*\()?", re.ASCII)
_MACRO_USE = re.compile(r"(?:^|\s)%(\w+)\s*\(", re.ASCII)
_END_OF_MACRO = re.compile(r"(?im)^[ \t]*endmacro\b[^\r\n]*")
_END_OF_STRUCT = re.compile(r"(?im)^[ \t]*endstruct\b[^\r\n]*")
_FILE_OR_PLACE = re.compile(
    r"(?im)\b(?:incsrc|incbin|table|readfile\d|canreadfile\d?|filesize|getfilestatus|org|pushpc|pullpc|freecode|"
    r"freedata|freespace|autoclean|lorom|hirom|sa1rom|arch|namespace|warnpc|assert|error|read\d|canread\d?)\b")


@dataclass(slots=True)
class Needs:
    """What must be put before the candidate, found by walking from name to definition."""

    project: Project
    file: ParsedFile
    offset: int
    origin: int
    known_bank: bool
    before: list[str] = field(default_factory=list)
    macros: list[str] = field(default_factory=list)
    sure: dict[str, bool] = field(default_factory=dict)     # name -> is what stands for it certain
    labels: set[str] = field(default_factory=set)           # stood in for, or not in need of it
    guessed: set[str] = field(default_factory=set)          # those whose stand-in's address is a guess

    # Each look-up answers whether what was found is certain.

    def define(self, name: str) -> bool:
        key = "!" + name
        if key in self.sure or name in BUILT_IN_DEFINES:
            return self.sure.get(key, True)
        self.sure[key] = False          # while it is looked up: a circle is not certain
        if len(self.sure) > MOST_NEEDS:
            return False
        for root in self.project.roots_of(self.file.path):
            for told, value in root.defines:
                if told == name:
                    self.before.append(f'!{name} = "{value}"' if value else f"!{name} =")
                    self.sure[key] = True
                    return True
        found = [symbol for symbol in self.project.definitions(key) if symbol.kind == "define"]
        symbol, certain = self._choose(found)
        if symbol is None:
            return False
        text = self._statement(symbol)
        certain &= self.text(text.partition("=")[2], quoted=True) and "+=" not in text
        self.before.append(text)
        self.sure[key] = certain
        return certain

    def _choose(self, found: list[Symbol]) -> tuple[Symbol | None, bool]:
        """The definition that holds at the candidate, and whether that is certain."""
        if not found:
            return None, False
        above = [symbol for symbol in found if symbol.path == self.file.path and symbol.span.start < self.offset]
        if above and not above[-1].conditional:
            return above[-1], True
        details = {symbol.detail for symbol in found}
        return found[0], len(details) == 1 and (len(found) == 1 or not any(one.conditional for one in found))

    def _statement(self, symbol: Symbol) -> str:
        file = self.project.files[symbol.path]
        return " ".join(file.text.slice(*symbol.span).split())

    def _body(self, symbol: Symbol, end: re.Pattern[str]) -> str | None:
        file = self.project.files[symbol.path]
        start = file.text.line_start(file.text.line_of(symbol.span.start))
        text = file.text.slice(start, start + 40_000)
        match = end.search(text)
        if match is None or text.count("\n", 0, match.end()) > MOST_BODY:
            return None
        return "\n".join(line.rstrip("\r\n") for line in split_lines(text[:match.end()]))

    def macro(self, name: str) -> bool:
        key = "%" + name
        if key in self.sure:
            return self.sure[key]
        self.sure[key] = False
        found = self.project.definitions(key)
        if len(self.sure) > MOST_NEEDS or len(found) != 1:
            return False
        body = self._body(found[0], _END_OF_MACRO)
        if body is None or found[0].conditional:
            return False
        certain = not _FILE_OR_PLACE.search(re.sub(r";[^\n]*", "", body))
        inside = body.split("\n")[1:-1]
        defined = {match[1] for line in inside if (match := re.match(r"\s*#?\??([A-Za-z_]\w*):", line))}
        for line in inside:
            certain &= self.text(scan(line).code, own=defined)
        self.macros.append(body)
        self.sure[key] = certain
        return certain

    def function(self, name: str) -> bool:
        key = name + "()"
        if key in self.sure or name.lower() in FUNCTIONS:
            return self.sure.get(key, True)
        self.sure[key] = False
        found = self.project.definitions(key)
        if len(self.sure) > MOST_NEEDS or not found:
            return False
        text = self._statement(found[0])
        self.sure[key] = True
        parameters = set(re.findall(r"\w+", text.partition("(")[2].partition(")")[0]))
        certain = self.text(text.partition("=")[2], own=parameters)
        self.before.append(text)
        self.sure[key] = certain and len({symbol.detail for symbol in found}) == 1
        return self.sure[key]

    def struct(self, name: str) -> bool:
        key = "struct " + name
        if key in self.sure:
            return self.sure[key]
        self.sure[key] = False
        found = [symbol for symbol in self.project.definitions(name) if symbol.kind == "struct"]
        body = self._body(found[0], _END_OF_STRUCT) if len(found) == 1 else None
        if body is None or "extends" in body.lower():
            return False
        lines = body.split("\n")
        certain = self.text(scan(lines[0]).code.partition(name)[2])
        for line in lines[1:-1]:
            certain &= self.text(scan(line).code.partition("skip")[2])
        self.before.append(body)
        self.sure[key] = certain
        return certain

    def label(self, name: str) -> bool:
        """A stand-in for a label. Certain is only what the project assigns; a guess is good enough for names."""
        if name in self.labels:
            return True
        self.labels.add(name)
        found = [symbol for symbol in self.project.definitions(name) if symbol.kind == "assignment"]
        value = next((symbol.value for symbol in found if symbol.value is not None), None)
        if value is not None:
            if not self.known_bank:
                self.guessed.add(name)
            if not self.known_bank and value & 0x8000 and value >> 16 not in (0x7E, 0x7F):
                value = value & 0xFFFF | self.origin & 0xFF0000     # as seen from the candidate's own bank
            self.before.append(f"{name} = ${value:06X}" if value > 0xFFFF else f"{name} = ${value:04X}")
        elif found and len(self.labels) < MOST_NEEDS and self.text(found[0].detail):
            self.guessed.add(name)
            self.before.append(f"{name} = {found[0].detail}")
        else:
            self.guessed.add(name)
            self.before.append(f"{name} = {NEAR}")
        return True

    def text(self, code: str, own: Iterable[str] = (), quoted: bool = False) -> bool:
        """Meet the needs of a piece of code; False when something in it stays unknown. ``quoted``: a define's value,
        whose quotes only hold it together."""
        certain = True
        bare = code if quoted else re.sub(r'"[^"]*"', '""', code)
        for match in DEFINE_USE.finditer(bare):
            certain &= self.define(match[1] or match[2])
        if "!{" in bare and re.search(r"!\^*\{[^{}]*[!{]", bare):
            certain = False         # a name made of names
        for match in _MACRO_USE.finditer(bare):
            certain &= self.macro(match[1])
        for match in NAME.finditer(EXPANDABLE.sub(_blank, bare)):
            name = match[1]
            head = name.lower().partition(".")[0]
            if name in own or name.startswith(".") or head in REGISTERS:
                continue
            if head in WORDS and _leads(bare, match) and not self.project.defined(name):
                continue
            if match[2]:
                certain &= self.function(name)
            elif "." in name:
                certain &= self.struct(name.partition(".")[0])
            else:
                self.label(name)
        return certain


def _leads(code: str, match: re.Match[str]) -> bool:
    """True where a word opens a statement: there it is a mnemonic or a directive, elsewhere it may be a label."""
    before = code[:match.start()].rstrip()
    return not before or before.endswith((":", "{")) or bool(_LABEL_BEFORE.search(before))


def _blank(match: re.Match[str]) -> str:
    return "\0" * len(match[0])
