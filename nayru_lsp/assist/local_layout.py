"""Normalised lines laid out as their neighbours are: indentation, operand column, case, blanks, label colons.

The predictor works on normalised text; the user must see text in the style of the lines around the cursor. Whatever
the neighbours do not show falls back to: four blanks before code, none before labels, upper-case mnemonics.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from nayru_lsp.assist.local_items import (
    COMMAND,
    DATA,
    DEFINE,
    LABEL,
    MACRO,
    MNEMONICS,
    OPCODE,
    Item,
    item_of,
    items_of_line,
    join,
    tokens_of,
)

_LOOK_ABOVE, _LOOK_BELOW = 80, 30
_NEAR = 5       # so many neighbours of a kind decide about indentation
_LEAD = re.compile(
    r"(?P<indent>\s*)(?P<label>(?:[^\s\";]+:(?!=)|[.?]\S+|[+-]+:?)(?=\s|$))?(?P<blank>\s*)"
    r"(?P<word>[^\s\";(]*)(?P<gap>\s*)"
)
_HEX = re.compile(r"\$[0-9A-Fa-f]*[A-Fa-f][0-9A-Fa-f]*")
_INDEX = re.compile(r",(\s*)([xysXYS])\b")
_COMPARE = re.compile(r"(?<=[\w)}])(==|!=|<=|>=|&&|\|\||[<>])(?=[\w$(!%.\"-])")
_PLUS = re.compile(r"(?<=[\w)}])([+-])(?=[\w$(!%.])")


@dataclass(slots=True)
class Style:
    """What the neighbours show. Counters hold votes, nearest lines only."""

    indents: dict[str, list[str]] = field(default_factory=dict)    # class of line -> its indentations, nearest first
    gaps: list[tuple[int, str]] = field(default_factory=list)       # (column of the operand, blanks before it)
    upper_heads: Counter[bool] = field(default_factory=Counter)
    upper_commands: Counter[bool] = field(default_factory=Counter)
    upper_hex: Counter[bool] = field(default_factory=Counter)
    upper_index: Counter[bool] = field(default_factory=Counter)
    index_comma: Counter[bool] = field(default_factory=Counter)     # a blank before the X of `,X`
    comma: Counter[bool] = field(default_factory=Counter)           # a blank after the comma
    operator: Counter[bool] = field(default_factory=Counter)        # blanks around + and -
    equals: Counter[bool] = field(default_factory=Counter)          # blanks around = of a definition
    colons: dict[str, bool] = field(default_factory=dict)           # class of label -> written with a colon
    beside: dict[str, bool] = field(default_factory=dict)           # class of label -> code on the same line
    behind: str = " "                                               # blanks between a label and code beside it


def _class(item: Item) -> str:
    if item.kind == LABEL:
        return "run" if item.head[1] in "+-" else item.head
    return {OPCODE: "code", DATA: "data", MACRO: "macro", DEFINE: "define", COMMAND: "command"}[item.kind]


def style_at(lines: Sequence[str], row: int, below: int | None = None) -> Style:
    """The style around ``row``: lines above it and from ``below`` (default ``row``) on."""
    start = row if below is None else below
    near = list(reversed(lines[max(0, row - _LOOK_ABOVE) : row])) + list(lines[start : start + _LOOK_BELOW])
    style = Style()
    for line in near:
        items, _ = items_of_line(line)
        if items:
            _learn(style, line.split(";", 1)[0].rstrip(), items)
    return style


def _learn(style: Style, line: str, items: tuple[Item, ...]) -> None:
    match = _LEAD.match(line)
    assert match is not None        # every part may be empty
    code = next((item for item in items if item.kind != LABEL), None)
    label = items[0] if items[0].kind == LABEL else None
    if label is not None:
        kind = _class(label)
        style.indents.setdefault(kind, []).append(match["indent"])
        style.colons.setdefault(kind, (match["label"] or "").endswith(":"))
        style.beside.setdefault(kind, code is not None)
        if code is not None and match["blank"]:
            style.behind = match["blank"]
    if code is None:
        return
    if label is None:
        style.indents.setdefault(_class(code), []).append(match["indent"])
    word = match["word"]
    if code.kind == OPCODE:
        style.upper_heads[word.split(".")[0].isupper()] += 1
        if code.operand and ":" not in code.head and len(style.gaps) < 12:
            style.gaps.append((match.start("gap") + len(match["gap"]) - match.start("word"), match["gap"]))
        for blank, letter in _INDEX.findall(line):
            style.upper_index[letter.isupper()] += 1
            style.index_comma[bool(blank)] += 1
    elif code.kind in (COMMAND, DATA) and word.isalpha():
        style.upper_commands[word.isupper()] += 1
    elif code.kind == DEFINE:
        style.equals[" =" in line] += 1
    for number in _HEX.findall(line):
        style.upper_hex[number.upper() == number] += 1
    if code.kind != OPCODE and "," in line:
        style.comma[", " in line] += 1
    if code.kind != DEFINE and ("+" in code.operand[1:] or "-" in code.operand[1:]):
        style.operator[" + " in line or " - " in line] += 1


def _most(votes: Counter[bool], default: bool) -> bool:
    return votes[True] > votes[False] if votes[True] != votes[False] else default


def _indent(style: Style, item: Item) -> str:
    kind = _class(item)
    order = {"code": ("code", "macro", "data", "command"), "macro": ("macro", "code"), "data": ("data", "code"),
             "command": ("command",), "define": ("define",)}.get(kind, (kind,))
    for name in order:
        found = style.indents.get(name)
        if found:
            near = found[:_NEAR]
            return max(near, key=lambda text: (near.count(text), -near.index(text)))
    return "    " if kind in ("code", "macro", "data") else ""


def _operand(style: Style, item: Item, tokens: list[str], kind: int) -> str:
    upper_hex = _most(style.upper_hex, True)
    upper_index = _most(style.upper_index, _most(style.upper_heads, True))
    out: list[str] = []
    for spot, token in enumerate(tokens):
        if token[0] == "$" and upper_hex:
            token = token.upper()
        elif kind == OPCODE and token in ("x", "y", "s", "a") and (spot == 0 or tokens[spot - 1] == ","):
            token = token.upper() if upper_index else token
        out.append(token)
    text = join(out)
    if kind == OPCODE and _most(style.index_comma, False):
        text = re.sub(r",([xysXYS])\b", r", \1", text)
    if kind != OPCODE and "," in text and _most(style.comma, kind == MACRO):
        text = _outside_quotes(text, lambda part: part.replace(",", ", "))
    if kind == COMMAND and item.head in ("if", "elseif", "elif", "while", "assert"):
        text = _outside_quotes(text, lambda part: _COMPARE.sub(r" \1 ", part))
    elif _most(style.operator, False):
        text = _outside_quotes(text, lambda part: _PLUS.sub(r" \1 ", part))
    return text


def _outside_quotes(text: str, change: Callable[[str], str]) -> str:
    parts = re.split(r'("[^"]*"|\'[^\']*\')', text)
    return "".join(part if spot % 2 else change(part) for spot, part in enumerate(parts))


def _statement(style: Style, text: str) -> str:
    item = item_of(text)
    if item is None:
        return text
    tokens = tokens_of(text)
    if item.kind == MACRO:
        return item.head + _operand(style, item, tokens[1:], MACRO)
    if item.kind == DEFINE:
        operator = text.split(" ", 2)[1]
        value = _operand(style, item, tokens_of(item.operand), DEFINE)
        return f"{tokens[0]} {operator} {value}" if _most(style.equals, True) else f"{tokens[0]}{operator}{value}"
    head = tokens[0]
    if item.kind == OPCODE:
        if _most(style.upper_heads, True):
            word, dot, suffix = head.partition(".")
            head = word.upper() + dot + suffix
    elif item.head.isalpha() and _most(style.upper_commands, False) and item.head not in MNEMONICS:
        head = head.upper()
    if len(tokens) == 1:
        return head
    gap = " "
    if item.kind == OPCODE and style.gaps:
        columns = Counter(column for column, _ in style.gaps)
        blanks = Counter(blank for _, blank in style.gaps)
        blank, votes = blanks.most_common(1)[0]
        column, column_votes = columns.most_common(1)[0]
        gap = blank or " "
        if column_votes > votes and column > len(head) and "\t" not in gap:
            gap = " " * (column - len(head))
    return head + gap + _operand(style, item, tokens[1:], item.kind)


def lay_out(style: Style, text: str, indent: bool = True) -> str:
    """One normalised item as a line (without its end). ``indent`` False: it stands behind a label on its line."""
    item = item_of(text)
    if item is None:
        return text
    if item.kind == LABEL:
        kind = _class(item)
        line = item.text
        if kind != "@main" and style.colons.get(kind, False):
            line += ":"
    else:
        line = " : ".join(_statement(style, part) for part in text.split(" : "))
    return (_indent(style, item) if indent else "") + line


def continue_line(typed: str, laid: str) -> str | None:
    """What must be added to ``typed`` to get the line ``laid``, None when it says something else. Blanks and case of
    what is typed already stay the user's."""
    spot = 0
    size = len(laid)
    for char in typed.lstrip():
        if spot == 0:
            spot = size - len(laid.lstrip())
        if char.isspace():
            while spot < size and laid[spot].isspace():
                spot += 1
            continue
        while spot < size and laid[spot].isspace():
            spot += 1
        if spot >= size or laid[spot].lower() != char.lower():
            return None
        spot += 1
    if not typed.strip():
        return laid[len(typed):] if laid.startswith(typed) else laid.lstrip()
    rest = laid[spot:]
    return rest.lstrip() if typed[-1].isspace() else rest
