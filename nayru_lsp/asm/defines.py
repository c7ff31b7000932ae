"""A line before it is compiled: arguments of macros and defines put in, assignments to defines done, macros read."""

from __future__ import annotations

import re
from typing import Any

from nayru_lsp.asm.arithmetic import Unknown, number_text
from nayru_lsp.asm.compiled import unquoted, unquoted_2
from nayru_lsp.asm.expansion import UNSURE, Fatal
from nayru_lsp.asm.macros_2 import argument as argument_2
from nayru_lsp.asm.macros_2 import read_definition
from nayru_lsp.asm.macros_2 import template as template_2
from nayru_lsp.asm.names import Names
from nayru_lsp.asm.prepared import closed_quotes, folded
from nayru_lsp.asm.state import Frame, Lines, Macro

MAX_TEMPLATES = 100_000
MAX_NAMES = 250         # `!{...}` in `!{...}`

_ARGUMENT = re.compile(r"<<(?!:)|<(\.\.\.\[[^<>]*\]|[^<> :][^<>:]*)>")
_USE = re.compile(r"\\\\|\\!|!")
DEFINING = re.compile(r" (\+=|:=|#=|\?=|=) ")
_ASSIGNING = re.compile(r"(?:^| : )!\S+ (?:\+=|:=|#=|\?=|=) ")
_SIMPLE_USE = re.compile(r"!(?:(\w+)|\{(\w+)\})?", re.ASCII)
_NAME = re.compile(r"\w+", re.ASCII)
_PLAIN_NAME = re.compile(r"[A-Za-z_]\w*\Z", re.ASCII)
_MACRO_HEAD = re.compile(r"([A-Za-z_]\w*) ?\((.*)\)\Z", re.ASCII)


class Defines(Names):
    """Defines and macros; needs `Names` for the values of ``#=`` and of an argument's number."""

    def with_arguments(self, frame: Frame, text: str) -> str:
        """The line with the arguments of the call in place of ``<parameters>``."""
        macro = frame.macro
        assert macro is not None
        parts = macro.templates.get(text)
        if parts is None:
            parts = macro.templates[text] = self.template(macro, text)
        if len(parts) == 1:
            only = parts[0]
            return only if type(only) is str else ""
        arguments = frame.arguments
        texts = []
        for part in parts:
            if type(part) is str:
                texts.append(part)
                continue
            if type(part) is int:
                value = arguments[part] if part < len(arguments) else ""
            else:
                value = self.argument(macro, arguments, part[0])
            if value[:1] == '"':
                bare = unquoted_2(value) if self.modern else unquoted(value)
                value = value if bare is None else bare
            texts.append(value)
        out = "".join(texts)
        if len(out) > self.limits.text:
            raise self.drop("nayru_limit", f"this line expands to more than {self.limits.text:,} characters")
        if out and (out[0] == " " or out[-1] == " " or "  " in out or ", " in out):
            return folded(out)
        return out

    def template(self, macro: Macro, text: str) -> tuple[Any, ...]:
        """Literal texts, indexes of arguments, and ``(name,)`` where a name is to be worked out at each call."""
        if self.modern:
            return template_2(macro, text)
        parts: list[Any] = []
        at = 0
        if macro.variadic and "sizeof(...)" in text:
            before, after = text.split("sizeof(...)", 1)
            return (*self.template(macro, before), ("sizeof(...)",), *self.template(macro, after))
        for match in _ARGUMENT.finditer(text):
            name = match.group(1)
            parts.append(text[at:match.start()] if name is not None else text[at:match.end()])
            at = match.end()
            if name is None:
                continue
            if name in macro.parameters and name != "...":
                parts.append(macro.parameters.index(name))
            else:
                parts.append((name,))
        parts.append(text[at:])
        return tuple(parts)

    def argument(self, macro: Macro, arguments: tuple[str, ...], name: str) -> str:
        if self.modern:
            if name.startswith("...["):
                self.record = None
            return argument_2(self, macro, arguments, name)
        if name == "sizeof(...)":
            return str(len(arguments) - len(macro.parameters) + 1)
        if "!" in name:
            name = self.resolved(name)
        if name in macro.parameters:
            at = macro.parameters.index(name)
            if at < len(arguments):
                return arguments[at]
        if not macro.variadic:
            raise self.drop("macro_param_not_found", f"`{macro.name}` has no parameter `{name}`")
        inner = name[4:-1] if name.startswith("...[") else name
        expression = self.compiler.expression(inner)
        self.hangs_on(expression)
        number = expression.integer(self)
        extra = arguments[len(macro.parameters) - 1:]
        if not 0 <= number < len(extra):
            raise self.drop("vararg_out_of_bounds", f"there is no argument number {number} here")
        return extra[number]

    def resolved(self, text: str) -> str:
        """``text`` with its defines replaced; assignments at the start of a block are done on the way."""
        parts = self.templates.get(text) if len(self.frames) < self.deepest else None
        if parts is None and text not in self.templates:
            parts = _define_template(text)
            if len(self.templates) > MAX_TEMPLATES:
                self.templates.clear()
            self.templates[text] = parts
        if parts is not None:
            defines = self.defines
            texts = []
            name = False
            for part in parts:
                if name:
                    value = defines.get(part)
                    if value is None or "!" in value or "\\" in value or (
                            self.modern and ('"' in value or "'" in value)):
                        break
                    texts.append(value)
                else:
                    texts.append(part)
                name = not name
            else:
                if self.record is not None:
                    self.record.saw(parts[1::2], texts[1::2])
                return "".join(texts)
        out: list[str] = []
        self.resolve_into(out, text, 0)
        return "".join(out)

    def resolved_outside(self, text: str) -> str:
        """`xkas`: strings stay as they are, but for those that a define gets."""
        if _ASSIGNING.search(text):
            return self.resolved(text)
        return "".join(part if number % 2 else self.resolved(part)
                       for number, part in enumerate(re.split('("[^"]*")', text)))

    def resolve_into(self, out: list[str], text: str, depth: int) -> None:
        """``depth``: of defines around ``text``."""
        room = self.deepest - len(self.frames) - depth
        if room < 0:
            raise self.too_deep("a define contains itself")
        if depth > MAX_NAMES:
            raise Unknown(f"names of defines are nested more than {MAX_NAMES} deep")
        outer: list[tuple[str, int]] = []       # texts in which a define's value is looked at, and where it ends
        at, end = 0, len(text)
        while True:
            match = _USE.search(text, at)
            if match is None:
                out.append(text[at:])
                if self.modern and not closed_quotes(whole := "".join(out)):
                    self.problem("mismatched_quotes", f"a quote is not closed in what this becomes: {whole[:100]}")
                    out.clear()
                if not outer:
                    return
                text, at = outer.pop()
                end = len(text)
                continue
            start = match.start()
            out.append(text[at:start])
            at = match.end()
            if self.defining and match.group() != "!":
                out.append(match.group())       # not yet
                continue
            if match.group() != "!":
                if match.group() == "\\\\" and self.modern and "!" not in text:
                    out.append("\\\\")
                else:
                    out.append(match.group()[1])
                continue
            first = start == 0 or text[max(0, start - 3):start] == " : "
            if self.modern:
                level = at
                while at < end and text[at] == "^":
                    at += 1
                level = at - level
                if level > self.defining:
                    raise self.drop("invalid_depth_resolve", f"there are only {self.defining} macros around this: `!"
                                                             f"{'^' * level}` asks for one further out")
                if level < self.defining:
                    out.append(text[start:at])
                    continue
            if at < end and text[at] == "{":
                close, deep = at + 1, 1
                while close < end and deep:
                    deep += {"{": 1, "}": -1}.get(text[close], 0)
                    close += 1
                if deep:
                    raise self.drop("mismatched_braces", "this brace is not closed: add `}`")
                name = text[at + 1:close - 1]
                if "!" in name:
                    inner: list[str] = []
                    self.resolve_into(inner, name, depth + 1)
                    name = "".join(inner)
                at = close
                if _NAME.fullmatch(name) is None:
                    raise self.drop("invalid_define_name", f"`{name}` is no name for a define")
            else:
                named = _NAME.match(text, at)
                if named is None:
                    out.append("!")
                    continue
                name, at = named.group(), named.end()
            operator = DEFINING.match(text, at) if first else None
            if operator is not None:
                at = self.define(name, operator.group(1), text, operator.end(), depth)
                continue
            value = self.defines.get(name)
            if self.record is not None:
                self.record.saw((name,), (value,))
            if value is None:
                if name in self.poisoned:
                    raise Unknown(self.unsure_reason or f"`!{name}` is not known")
                raise self.drop("define_not_found", f"`!{name}` is not defined here")
            if len(outer) >= room:
                raise self.too_deep("a define contains itself, or defines contain each other too deep")
            if "!" in value or "\\" in value:
                outer.append((text, at))
                text, at, end = value, 0, len(value)
            else:
                out.append(value)
            if sum(map(len, out[-64:])) > self.limits.text or len(out) > self.limits.text:
                raise self.drop("nayru_limit", f"this line expands to more than {self.limits.text:,} characters")

    def define(self, name: str, operator: str, text: str, at: int, depth: int) -> int:
        """An assignment; gives the position behind it."""
        end = len(text)
        if text[at:at + 1] == '"':
            at += 1
            parts = []
            while True:
                close = text.find('"', at)
                if close < 0:
                    raise self.drop("mismatched_quotes", 'this quote is not closed: add `"`')
                parts.append(text[at:close])
                if text[close + 1:close + 2] == '"':
                    parts.append('"')
                    at = close + 2
                    continue
                if close + 1 < end and text[close + 1] != " ":
                    raise self.drop("broken_define_declaration", "something stands behind the value")
                at = close + 1
                break
            value = "".join(parts)
        else:
            close = text.find(" ", at)
            if close < 0:
                close = end
            value = text[at:close]
            at = close
        if at < end and not text.startswith(" : ", at):
            raise self.drop("broken_define_declaration", 'something stands behind the value: put it in quotes ("...")')
        if name in self.builtin:
            raise self.drop("overriding_builtin_define", f"`!{name}` belongs to Asar")
        if not self.modern:
            value = folded(value)
        if self.record is not None and operator in ("+=", "?="):
            self.record.saw((name,), (self.defines.get(name),))
        if name in self.poisoned and operator in ("+=", "?="):
            return at
        if operator == "+=":
            if name not in self.defines:
                raise self.drop("define_not_found", f"`!{name}` is not defined here")
            value = self.defines[name] + value
        elif operator in (":=", "#="):
            try:
                inner: list[str] = []
                self.resolve_into(inner, value, depth + 1)
                value = "".join(inner)
                if operator == "#=":
                    expression = self.compiler.expression(value)
                    self.hangs_on(expression)
                    if not self.is_static(expression):
                        raise self.drop("define_label_math", "a label cannot be in the value of a define")
                    value = number_text(expression.value(self))
            except Unknown as reason:
                self.reason_log.append(str(reason))
                self.poison(name)
                return at
        elif operator == "?=" and name in self.defines:
            return at
        if len(value) > self.limits.text:
            raise self.drop("nayru_limit", f"`!{name}` would hold more than {self.limits.text:,} characters")
        self.set_define(name, value)
        return at

    def set_define(self, name: str, value: str | None) -> None:
        if self.record is not None:
            self.record.written.add(name)
        if value is None:
            self.defines.pop(name, None)
        else:
            self.held += len(value)
            if self.held > self.limits.held:
                self.problem("nayru_limit", f"cut after {self.limits.held:,} characters of defines")
                raise Fatal
            self.defines[name] = value
            self.poisoned.discard(name)
        self.out.define_log.append((name, value, self.place))

    def poison(self, name: str) -> None:
        """From here on nobody knows what it is."""
        self.record = None
        self.poisoned.add(name)
        self.defines.pop(name, None)
        self.out.define_log.append((name, UNSURE, self.place))

    # --- macros -------------------------------------------------------------------------------------------------------

    def define_macro(self, frame: Frame, text: str) -> None:
        """Take the body of a macro, up to its `endmacro`."""
        lines, first = frame.lines, frame.index
        self.record = None
        if self.modern:
            self.define_macro_2(frame, text)
            return
        known = lines.macros.get(first)
        if known is not None and frame.macro is None:
            macro, frame.index = known
            macro.file, macro.row = frame.file, frame.row + first
        else:
            macro = self.new_macro(frame, text)
            if frame.macro is None:
                lines.macros[first] = (macro, frame.index)
        for row in macro.nested:
            self.problem("nested_macro_definition", "a macro cannot be defined inside another", self.place + row)
        if macro.name in self.macros:
            raise self.drop("macro_redefined", f"the macro `{macro.name}` is defined twice")
        self.macros[macro.name] = macro

    def define_macro_2(self, frame: Frame, text: str) -> None:
        lines, first = frame.lines, frame.index
        known = lines.macros.get(first)
        if known is not None and frame.macro is None and known[0].name not in self.macros:
            macro, frame.index = known
            macro.file, macro.row = frame.file, frame.row + first
            self.macros[macro.name] = macro
            return
        told = len(self.problems)
        name, parameters, body, end, fixed = read_definition(self, frame, folded(self.resolved(text))[6:])
        frame.index = end
        if name:
            macro = self.macros[name] = Macro(name, parameters, parameters[-1:] == ("...",), frame.file,
                                               frame.row + first, Lines(body))
            if fixed and "!" not in text and len(self.problems) == told:
                lines.macros[first] = (macro, end)

    def new_macro(self, frame: Frame, text: str) -> Macro:
        lines, first = frame.lines, frame.index
        index, deep = first + 1, 1
        nested: list[int] = []
        count = len(lines)
        while index < count:
            line = lines[index]
            start = line[:6].lower()
            if start == "macro ":
                if not self.modern:
                    nested.append(index - first)
                else:
                    deep += 1
            elif start == "endmac" and line.lower() == "endmacro":
                deep -= 1
                if not deep:
                    break
            index += 1
        frame.index = min(index, count - 1)
        if index >= count:
            raise self.drop("unclosed_macro", "this macro is not closed: add `endmacro`")
        head = folded(text[6:])
        match = _MACRO_HEAD.match(head)
        if match is None:
            raise self.drop("broken_macro_declaration", "write `macro name(parameter, ...)`")
        names = tuple(part.strip() for part in match.group(2).split(",")) if match.group(2).strip() else ()
        if any(one != "..." and not _PLAIN_NAME.match(one) for one in names) or len(set(names)) < len(names) or (
                "..." in names[:-1]):
            raise self.drop("broken_macro_declaration", "a parameter of this macro is no name, or there twice")
        return Macro(match.group(1), names, bool(names) and names[-1] == "...", frame.file, frame.row + first,
                      Lines(lines[first + 1:index]), tuple(nested))



def _define_template(text: str) -> tuple[str, ...] | None:
    """Literal text and names of defines in turn; None where a line is not that simple."""
    if "\\" in text or _ASSIGNING.search(text):
        return None
    parts: list[str] = []
    at = 0
    for match in _SIMPLE_USE.finditer(text):
        parts.append(text[at:match.start()])
        name = match.group(1) or match.group(2)
        if name is None:
            return None
        parts.append(name)
        at = match.end()
    parts.append(text[at:])
    return tuple(parts)
