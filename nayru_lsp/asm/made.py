"""Which names expansion could make: macro bodies, opaque statements and defines, as far as text alone tells.

Conservative: where anything is not plain, the answer is "any name". It exists so that "there is no such label" is
said only where nothing unexpanded could excuse it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from nayru_lsp.asm.statements import Memo
from nayru_lsp.asm.symbols import ANY, Maker

if TYPE_CHECKING:
    from nayru_lsp.asm.project import Project

_PARAMETER = re.compile(r"<(\w+)>", re.ASCII)
# Text that can only be an operand, a mnemonic or a plain command where it is put at the start of a statement.
_HARMLESS = re.compile(r"[^:=%<!]*\Z")
_MAKING_WORDS = re.compile(r"(?i)(?<!\w)(?:incsrc|macro|namespace|struct|function|global|pushns|pullns|endmacro)(?!\w)")
_USE = re.compile(r"!\^*\{?(\w+)\}?", re.ASCII)
_CALL = re.compile(r"%(\w+)\(([^%]*)\)\Z", re.ASCII)
_SUB = re.compile(r"\.+\w+\Z", re.ASCII)
_NAME = re.compile(r"\w+\Z", re.ASCII)
MAX_NESTING = 6
_plain: Memo[str, bool] = Memo(
    lambda text: _HARMLESS.match(text) is not None and _MAKING_WORDS.search(text) is None, 50_000)


class MadeNames:
    """Read once from all files of a project; look-ups are a set and a regular expression."""

    def __init__(self, project: Project) -> None:
        self._project = project
        self.namespaces: set[str] = set()
        self._calls: dict[str, list[tuple[str, ...]]] = {}
        makers: set[Maker] = set()
        for file in project.files.values():
            makers |= file.makers
            self.namespaces |= file.namespaces
        self._dependent = {maker.macro for maker in makers if maker.kind in ("parameter", "argument")}
        if self._dependent:
            for file in project.files.values():
                for name, arguments in file.calls:
                    if name in self._dependent:
                        self._calls.setdefault(name, []).append(arguments)
        self._parameters: dict[str, list[str] | None] = {}
        self._harmless_defines: dict[str, bool] = {}
        self._exact: set[str] = set()
        patterns: set[str] = set()
        self.any = False
        self.any_define = Maker("defines") in makers
        for maker in makers:
            if maker == ANY or self.any:
                self.any = True
                break
            if maker.kind == "name":
                patterns.add(maker.pattern)
            elif maker.kind == "parameter":
                self._expand(maker, patterns)
            elif maker.kind == "define":
                self.any = not self._harmless_define(maker.pattern, 0)
            elif maker.kind == "argument":
                self.any = not all(self._harmless(argument, 0) and argument[:1] not in (".", "?", "#")
                                   for argument in self._arguments(maker.macro, maker.pattern))
        self._pattern = re.compile("|".join(sorted(patterns)), re.ASCII) if patterns else None

    def holds(self, name: str) -> bool:
        """Could ``name`` be made?"""
        if self.any:
            return True
        if name[0] == "!":
            return self.any_define
        if name[0] == "%":
            return False
        return name in self._exact or (self._pattern is not None and self._pattern.fullmatch(name) is not None)

    def _parameter_list(self, macro: str) -> list[str] | None:
        """Parameter names of a macro; None where there is not exactly one plain definition."""
        if macro not in self._parameters:
            found = self._project.definitions("%" + macro)
            names = [part.strip(" \t\r\n\\") for part in found[0].detail.split(",")] if len(found) == 1 else None
            self._parameters[macro] = names
        return self._parameters[macro]

    def _arguments(self, macro: str, parameter: str) -> Iterator[str]:
        """Every text that is passed for a parameter; ":" (a harmful text) where that is not known."""
        names = self._parameter_list(macro)
        if names is not None and not parameter.isidentifier():     # <0>, <...[i]>: any of the variadic ones
            for arguments in self._calls.get(macro, ()):
                yield from arguments
            return
        if names is None or parameter not in names:
            yield ":"
            return
        position = names.index(parameter)
        for arguments in self._calls.get(macro, ()):
            if position < len(arguments):
                yield arguments[position]

    def _expand(self, maker: Maker, patterns: set[str]) -> None:
        """The label names that a macro's body makes from its arguments."""
        names = self._parameter_list(maker.macro)
        holes = _PARAMETER.findall(maker.pattern)
        if names is None or not all(hole in names for hole in holes):
            patterns.add(_any_filling(maker.pattern))
            return
        positions = {hole: names.index(hole) for hole in holes}
        for arguments in self._calls.get(maker.macro, ()):
            texts = {hole: arguments[at] if at < len(arguments) else "" for hole, at in positions.items()}
            name = _PARAMETER.sub(lambda match, texts=texts: texts[match.group(1)], maker.pattern)  # type: ignore[misc]
            name = name.lstrip("#")
            if _NAME.match(name):
                self._exact.add(name)
            elif _SUB.match(name):
                patterns.add(r"(?:\w*_)?" + re.escape(name.lstrip(".")))
            elif any(":" in text or "%" in text for text in texts.values()):
                self.any = True     # more than a name was passed
            elif not all(self._harmless(text, 0) for text in texts.values()):
                patterns.add(_any_filling(maker.pattern))

    def _harmless(self, text: str, depth: int) -> bool:
        """Can this text, put at the start of a statement, make no name?"""
        if _plain(text):
            return True
        called = _CALL.match(text)
        if called is not None:      # a macro call as an argument: what its body makes by itself is counted anyway
            return called.group(1) not in self._dependent and self._parameter_list(called.group(1)) is not None \
                and _HARMLESS.match(called.group(2)) is not None
        plain = _USE.sub("", text)
        if depth > MAX_NESTING or not _HARMLESS.match(plain) or _MAKING_WORDS.search(plain):
            return False
        return all(self._harmless_define(name, depth + 1) for name in _USE.findall(text))

    def _harmless_define(self, name: str, depth: int) -> bool:
        if name not in self._harmless_defines:
            self._harmless_defines[name] = False        # while it is looked up: a circle is not harmless
            values = [symbol.detail.strip().strip('"') for symbol in self._project.definitions("!" + name)]
            given = [value for root in self._project.configured_roots for key, value in root.defines if key == name]
            self._harmless_defines[name] = bool(values or given) and not self.any_define and all(
                self._harmless(value, depth) and value[:1] not in (".", "?", "#", "+", "-") for value in values + given)
        return self._harmless_defines[name]


def _any_filling(pattern: str) -> str:
    return re.escape(_PARAMETER.sub("\0", pattern)).replace(re.escape("\0"), r"\w*")
