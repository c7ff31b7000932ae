"""Macros as Asar 2.0 has them: defined inside each other, with ``<^p>`` and ``!^d`` for one level further out.

The lines of a body are looked at while it is defined, too: what carries as many ``^`` as there are definitions around
it is replaced then and there. Errors carry Asar's names and its scope (a line is given up, never the macro).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

from nayru_lsp.asm.arithmetic import Unknown, Wrong
from nayru_lsp.asm.compiled import unquoted_2
from nayru_lsp.asm.prepared import folded

if TYPE_CHECKING:
    from nayru_lsp.asm.defines import Defines

_ARGUMENT = re.compile(r"<<(?![:^])|<(?! )(\^*)((?:[^<>](?!:))*)>")
_NAME = re.compile(r"[A-Za-z_]\w*\Z", re.ASCII)
_HEAD_LETTERS = re.compile(r"[\w,. ]*\Z", re.ASCII)


class Definition(NamedTuple):
    """``name`` empty: it is not defined. ``end``: the index of its last line; ``fixed``: it would be the same again."""

    name: str
    parameters: tuple[str, ...]
    lines: list[str]
    end: int
    fixed: bool


def read_definition(m: Defines, frame: Any, head: str) -> Definition:
    """The macro whose line `macro` is at ``frame.index``."""
    place = m.place
    name, parameters = _declared(m, head)
    lines: list[str] = frame.lines
    body: list[str] = []
    fixed = frame.macro is None
    deep = 1
    index = frame.index + 1
    while index < len(lines):
        line = lines[index]
        if "^" in line and ("!^" in line or (frame.macro is not None and "<^" in line)):
            m.place = place - frame.index + index
            line = _at_definition(m, frame, line, deep)
            fixed = False
        start = line[:6].lower()
        if start == "macro ":
            deep += 1
        elif start == "endmac" and line.lower() == "endmacro":
            deep -= 1
            if not deep:
                break
        body.append(line)
        index += 1
    m.place = place
    if index >= len(lines):
        m.problem("unclosed_macro", "this macro is not closed: add `endmacro`")
        name = ""
    return Definition(name, parameters, body, min(index, len(lines) - 1), fixed)


def _at_definition(m: Defines, frame: Any, line: str, deep: int) -> str:
    m.defining = deep
    try:
        if frame.macro is not None and "<^" in line:
            line = folded(with_arguments(m, frame, line, deep))
        return _resolved(m, line) if "!^" in line else line
    except (m.dropped, Unknown):
        return ""
    except Wrong as wrong:
        m.problem(wrong.code, str(wrong))
        return ""
    finally:
        m.defining = 0


def _resolved(m: Defines, text: str) -> str:
    out: list[str] = []
    m.resolve_into(out, text, 0)
    return "".join(out)


def _declared(m: Defines, head: str) -> tuple[str, tuple[str, ...]]:
    head = folded(head)
    name, opened, rest = head.partition("(")
    if not opened or head.count("(") != head.count(")"):
        m.problem("broken_macro_declaration", "write `macro name(parameter, ...)`")
        return "", ()
    if not _NAME.match(name):
        m.problem("invalid_macro_name", f"`{name}` is no name for a macro")
        return "", ()
    inside = rest[:-1]
    if rest[-1] != ")" or not _HEAD_LETTERS.match(inside) or ",," in inside or inside[:1] == "," or (
            inside[-1:] == "," or re.search(r"(?:^|,)[0-9]", inside)):
        m.problem("broken_macro_declaration", "write `macro name(parameter, ...)`")
        return "", ()
    if name in m.macros:
        m.problem("macro_redefined", f"the macro `{name}` is defined twice")
        return "", ()
    parameters = tuple(part.strip() for part in inside.split(",")) if inside else ()
    for number, one in enumerate(parameters):
        if one == "...":
            if number < len(parameters) - 1:
                m.problem("vararg_must_be_last", "`...` stands behind all other parameters")
                break
        elif not _NAME.match(one):
            m.problem("invalid_macro_param_name", f"`{one}` is no name for a parameter")
            break
        if one in parameters[number + 1:]:
            m.problem("macro_param_redefined", f"the parameter `{one}` is there twice")
            break
    return name, parameters


# --- arguments ---------------------------------------------------------------------------------------------------

def template(macro: Any, text: str) -> tuple[Any, ...]:
    """See `Machine.template`: literal texts, indexes of arguments, ``(name,)`` for what each call works out."""
    if macro.variadic and "sizeof(...)" in text:
        before, after = text.split("sizeof(...)", 1)
        return (*template(macro, before), ("sizeof(...)",), *template(macro, after))
    parts: list[Any] = []
    at = 0
    for match in _ARGUMENT.finditer(text):
        name = match.group(2)
        if name is None or match.group(1):
            continue
        parts.append(text[at:match.start()])
        at = match.end()
        parts.append(macro.parameters.index(name) if name in macro.parameters and name != "..." else (name,))
    parts.append(text[at:])
    return tuple(parts)


def with_arguments(m: Defines, frame: Any, text: str, deep: int) -> str:
    """``text`` with its parameters of ``deep`` levels further out replaced, while a macro is defined."""
    out: list[str] = []
    at = 0
    for match in _ARGUMENT.finditer(text):
        name = match.group(2)
        level = len(match.group(1) or "")
        if name is None or level < deep:
            continue
        if level > deep:
            raise m.drop("invalid_depth_resolve", f"there are only {deep - 1} macros around this one: `<{'^' * level}` "
                                                  "asks for one further out")
        out.append(text[at:match.start()])
        at = match.end()
        parameters = frame.macro.parameters
        value = frame.arguments[parameters.index(name)] if name in parameters and name != "..." else argument(
            m, frame.macro, frame.arguments, name)
        out.append(unquoted_2(value))
    out.append(text[at:])
    return "".join(out)


def argument(m: Defines, macro: Any, arguments: tuple[str, ...], name: str) -> str:
    """What is not simply the name of a parameter of this call."""
    if name == "sizeof(...)":
        return str(len(arguments) - len(macro.parameters) + 1)
    variadic = name.startswith("...[")
    if variadic:
        if not name.endswith("]"):
            raise m.drop("unclosed_vararg", "write `<...[number]>`")
        if not macro.variadic:
            raise m.drop("macro_not_varadic", f"`{macro.name}` takes no `...`")
        name = name[4:-1]
    if "!" in name:
        name = _resolved(m, name)
    if not variadic:
        if not _NAME.match(name):
            raise m.drop("invalid_macro_param_name", f"`<{name}>` is no name for a parameter; an argument of `...` is "
                                                     "written <...[number]>")
        if name not in macro.parameters or macro.parameters.index(name) >= len(arguments):
            raise m.drop("macro_param_not_found", f"`{macro.name}` has no parameter `{name}`")
        return arguments[list(macro.parameters).index(name)]
    if _NAME.match(name) and m.looked_up(m.key(name)) is None:
        raise m.drop("invalid_vararg", f"`{name}` is no number of an argument")
    expression = m.compiler.expression(name)
    number = expression.integer(m)
    if m.forward(expression):
        raise m.drop("label_forward", "this label must be defined above")
    extra = arguments[len(macro.parameters) - 1:]
    if not 0 <= number < len(extra):
        raise m.drop("vararg_out_of_bounds", f"there is no argument number {number} here")
    return extra[number]
