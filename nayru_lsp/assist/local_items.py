"""Lines as the next-line predictor sees them: items, shapes and the tables that number them.

A physical line gives no item (blank, comment), one item, or two (a label, then the code behind it). An item's text is
the line *normalised*: no comment, one blank after the first word, none elsewhere unless two words would touch,
mnemonics, index registers, command words and hex digits in lower case; names and strings stay as written. Its
*shape* is that text with every name and number replaced by its class, so that ``lda $12`` and ``lda $34`` share one.

This reader is not `nayru_lsp.asm.parser`: it may be wrong about a line (then a suggestion is worse), it must number a
hundred thousand lines in a second or two, and equal lines must come out equal.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Iterator
from itertools import pairwise
from sys import intern
from typing import NamedTuple

OPCODE, COMMAND, LABEL, MACRO, DATA, DEFINE = range(6)
KIND_NAMES = ("opcode", "command", "label", "macro", "data", "define")

MNEMONICS = frozenset(
    "adc and asl bcc bcs beq bit bmi bne bpl bra brk brl bvc bvs clc cld cli clv cmp cop cpx cpy dec dex dey eor inc "
    "inx iny jml jmp jsl jsr lda ldx ldy lsr mvn mvp nop ora pea pei per pha phb phd phk php phx phy pla plb pld plp "
    "plx ply rep rol ror rti rtl rts sbc sec sed sei sep sta stp stx sty stz tax tay tcd tcs tdc trb tsb tsc tsx txa "
    "txs txy tya tyx wai wdm xba xce "
    # SPC700 and Super FX words that are no 65816 mnemonic; the commonest only, for the kind of a line.
    "mov movw cmpw addw subw incw decw cbne dbnz bbs bbc set1 clr1 iwt ibt lms sms stw stb getb plot color".split()
)
DATA_WORDS = frozenset(("db", "dw", "dl", "dd"))
BRANCHES = frozenset("bcc bcs beq bmi bne bpl bra brl bvc bvs jmp jml jsr jsl per".split())
ENDS_FLOW = frozenset("rts rtl rti jmp jml bra brl stp".split())

_LABEL = re.compile(
    r"\s*(?:(?P<main>#?\??[A-Za-z_][\w!<>{}]*(?:\.[\w!<>{}]+)*:)(?![=:])"
    r"|(?P<sub>#?\??\.+[\w!<>{}]+:?)(?=\s|$)"
    r"|(?P<run>\??(?:\++|-+):?)(?=\s|$))"
)
_TOKEN = re.compile(
    r'"[^"]*"?|\'[^\']*\'|\$[0-9A-Fa-f]+|<\^?\w+>|%[01]+(?![\w(])|!\^*\{?\w+\}?|%\w+|\?*\.*\w+(?:\.\w+)*'
    r"|\++|-+|<:|<<|>>|[=!<>]=|:=|\#=|\?=|\S"
)
_QUOTED = re.compile(r'"[^"]*"|\'.\'|[;:]')
_HARDWARE = ("21", "22", "42", "43")
_INDEX_NAMES = frozenset("xysaXYSA")


class Item(NamedTuple):
    """One line of code. ``head`` is the mnemonic with its size suffix, the command word, the macro's name or the kind;
    ``operand_shape`` is "" when there is no operand."""

    text: str
    shape: str
    head: str
    operand: str
    operand_shape: str
    kind: int


def _code(line: str) -> tuple[str, list[str]]:
    """(the line without its comment, its statements): `;` ends it, ` : ` splits it, both outside quotes only."""
    if '"' not in line and "'" not in line:
        body = line.split(";", 1)[0]
        return body, body.split(" : ") if " : " in body else [body]
    cuts, end = [], len(line)
    for match in _QUOTED.finditer(line):
        mark = match[0]
        if mark == ";":
            end = match.start()
            break
        if mark == ":" and line[match.start() - 1 : match.end() + 1] == " : ":
            cuts.append(match.start())
    edges = [-1, *cuts, end]
    return line[:end], [line[a + 1 : b] for a, b in pairwise(edges)]


def tokens_of(text: str) -> list[str]:
    """The tokens of a normalised text; joining them by the rule of `join` gives the text back."""
    return _TOKEN.findall(text)


def _wordy(char: str) -> bool:
    return char.isalnum() or char in "_}\"'"


def join(tokens: list[str]) -> str:
    """Operand text: a blank only where two words would touch."""
    out: list[str] = []
    last = ""
    for token in tokens:
        if last and _wordy(last[-1]) and (_wordy(token[0]) or token[0] in "$!.?"):
            out.append(" ")
        out.append(token)
        last = token
    return "".join(out)


def token_shape(token: str) -> str:
    """The class of one operand token: R hardware register, $n hex digits, 9, b, !, ., L, L., Q; the rest as it is."""
    first = token[0]
    if first == "$":
        digits = token[1:]
        if len(digits) == 4 and digits[:2] in _HARDWARE:
            return "R"
        if len(digits) == 6 and digits[:2] in ("00", "80") and digits[2:4] in _HARDWARE:
            return "R"
        return f"${len(digits)}"
    if first == "!":
        return "!" if len(token) > 1 and token != "!=" else token
    if first == "%" and len(token) > 1:
        return "b"
    if first.isdigit():
        return "9"
    if first in "\"'":
        return "Q"
    if first == "<" and len(token) > 2:
        return "<>"
    if first in ".?" and len(token) > 1:
        return "."
    if first.isalpha() or first == "_":
        if token in _INDEX_NAMES:
            return token
        return "L." if "." in token else "L"
    return token


def _statement(source: str) -> Item | None:
    tokens = _TOKEN.findall(source)
    if not tokens:
        return None
    first = tokens[0]
    rest = [t.lower() if t[0] == "$" else t for t in tokens[1:]]
    if first[0] == "!" and len(first) > 1 and rest and rest[0] in ("=", ":=", "#=", "?=", "+") and first != "!=":
        operator = rest[0] if rest[0] != "+" else "".join(rest[:2])
        value = rest[1:] if rest[0] != "+" else rest[2:]
        shape = "".join(map(token_shape, value))
        return Item(f"{first} {operator} {join(value)}", "!=" + shape, "!", join(value), shape, DEFINE)
    if first[0] == "%" and len(first) > 1:
        shape = "".join(map(token_shape, rest))
        operand = join(rest)
        return Item(first + operand, first + shape, first, operand, shape, MACRO)
    if rest and rest[0] == "=" and (first[0].isalpha() or first[0] == "_"):
        shape = "".join(map(token_shape, rest[1:]))
        return Item(f"{first} = {join(rest[1:])}", "L=" + shape, "=", join(rest[1:]), shape, DEFINE)
    head = first.lower()
    word = head.split(".", 1)[0]
    if word in MNEMONICS:
        rest = [t.lower() if t in _INDEX_NAMES else t for t in rest]
        shape = "".join(map(token_shape, rest))
        operand = join(rest)
        text = f"{head} {operand}" if rest else head
        # The operand of rep and sep is a set of bits: it belongs to the shape.
        return Item(text, text if word in ("rep", "sep") else f"{head} {shape}", head, operand, shape, OPCODE)
    operand = join(rest)
    text = f"{head} {operand}" if rest else head
    if word in DATA_WORDS:
        count = min(rest.count(",") + 1, 16)
        shape = token_shape(rest[0]) if rest else ""
        return Item(text, f"{head} {shape} {count}", head, operand, f"{shape} {count}", DATA)
    shape = "".join(map(token_shape, rest))
    return Item(text, f"{head} {shape}", head, operand, shape, COMMAND)


def _label(text: str) -> Item:
    name = text.rstrip(":")
    bare = name.lstrip("#?")
    if bare[0] == ".":
        kind = "@sub"
    elif bare[0] in "+-":
        kind = "@" + bare
    else:
        kind, name = "@main", name + ":"
    return Item(name, kind, kind, "", "", LABEL)


_memo: dict[str, tuple[tuple[Item, ...], int]] = {}
_MEMO_CAP = 12_000


def forget_lines() -> None:
    """Empty the memo: after indexing, what it holds is mostly of files that nobody looks at."""
    _memo.clear()


def items_of_line(line: str) -> tuple[tuple[Item, ...], int]:
    """(items, gap): ``gap`` is what a line without items leaves between its neighbours: 1 blank, 2 comment, 0 none."""
    found = _memo.get(line)
    if found is None:
        if len(_memo) >= _MEMO_CAP:
            _memo.clear()
        found = _memo[line] = read_line(line)
    return found


def read_line(line: str) -> tuple[tuple[Item, ...], int]:
    body, statements = _code(line[:1000])
    items: list[Item] = []
    match = _LABEL.match(body)
    if match:
        items.append(_label(match[0].strip()))
        statements[0] = statements[0][match.end() :]
        second = _LABEL.match(statements[0])
        if second and second["run"]:        # "+ -" or "name: -": both are labels
            items.append(_label(second[0].strip()))
            statements[0] = statements[0][second.end() :]
    parts = [item for item in map(_statement, statements) if item is not None]
    if len(parts) == 1:
        items.append(parts[0])
    elif parts:
        items.append(Item(
            " : ".join(p.text for p in parts), " : ".join(p.shape for p in parts), ":".join(p.head for p in parts),
            " : ".join(p.operand for p in parts), " : ".join(p.operand_shape for p in parts), parts[0].kind,
        ))
    if items:
        return tuple(items), 0
    return (), 2 if ";" in line else 1


def leading_label(typed: str) -> tuple[str, str]:
    """(whole labels with the blanks behind them, the rest) of a line typed so far; a label that the cursor touches is
    still being typed and belongs to the rest."""
    end = 0
    while match := _LABEL.match(typed[end:]):
        behind = end + match.end()
        if behind >= len(typed) or not typed[behind].isspace():
            break
        while behind < len(typed) and typed[behind].isspace():
            behind += 1
        end = behind
    return typed[:end], typed[end:]


def item_of(text: str) -> Item | None:
    """The item of one normalised text, None when it is not exactly one item."""
    items, _ = items_of_line(text)
    return items[0] if len(items) == 1 else None


def normalised(line: str) -> str:
    """The whole line normalised, label included: what two lines must share to count as the same line."""
    return " ".join(item.text for item in items_of_line(line)[0])


def names_in(text: str) -> Iterator[str]:
    """The label names an item's text refers to: branch and call targets, table names, `+` and `-` runs not."""
    for token in tokens_of(text)[1:]:
        if (token[0].isalpha() or token[0] in "._?") and token not in _INDEX_NAMES and len(token) > 1:
            yield token


class Words:
    """Every different item text once, numbered; what follows from a text alone is kept per number.

    Number 0 is the sentinel between files. ``context[i]`` is the number that stands for ``i`` as a neighbour: a label
    counts by its class only, never by its name.
    """

    def __init__(self) -> None:
        self.ids: dict[str, int] = {}
        self.items: list[Item] = []
        self.shape = array("i")
        self.head = array("i")
        self.operand = array("i")
        self.context = array("i")
        self.label = bytearray()                        # 1 for labels
        self.count = array("i")                         # examples alive with this text
        self._names: dict[str, int] = {}
        self.names: list[str] = []                      # shapes, heads and operands, numbered together
        self.uses = array("i")                          # examples alive with this operand
        self.by_shape: dict[int, list[int]] = {}
        self.by_head: dict[int, list[int]] = {}
        self._tokens: dict[int, list[str]] = {}
        self.add(Item("", "", "", "", "", COMMAND))

    def name(self, text: str) -> int:
        found = self._names.get(text)
        if found is None:
            found = self._names[text] = len(self.names)
            self.names.append(text)
            self.uses.append(0)
        return found

    def named(self, text: str) -> int:
        """The number of a name, -1 when nothing has it."""
        return self._names.get(text, -1)

    def add(self, item: Item) -> int:
        """The number of ``item``, new or old."""
        found = self.ids.get(item.text)
        if found is not None:
            return found
        text, shape_text, head_text, operand_text, operand_shape, kind = item
        item = Item(text, intern(shape_text), intern(head_text), text if operand_text == text else intern(operand_text),
                    intern(operand_shape), kind)        # equal parts of different lines share one string
        number = self.ids[item.text] = len(self.items)
        self.items.append(item)
        shape = self.name(item.shape)
        head = self.name(item.head)
        self.shape.append(shape)
        self.head.append(head)
        self.operand.append(self.name(item.operand))
        is_label = item.kind == LABEL and number > 0
        self.label.append(1 if is_label else 0)
        self.context.append(-2 - shape if is_label else number)
        self.count.append(0)
        self.by_shape.setdefault(shape, []).append(number)
        self.by_head.setdefault(head, []).append(number)
        return number

    def tally(self, number: int, step: int) -> None:
        """Count an example in (+1) or out (-1)."""
        self.count[number] += step
        self.uses[self.operand[number]] += step

    def tokens(self, number: int) -> list[str]:
        found = self._tokens.get(number)
        if found is None:
            if len(self._tokens) > 20_000:
                self._tokens.clear()
            found = self._tokens[number] = tokens_of(self.items[number].text)
        return found
