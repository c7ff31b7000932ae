"""An expanded line -> what executing it does, compiled once per text.

A line is a tuple of *blocks* ``(labels, kind, a, b)``:

====== ================== =====================================================================
kind   a                  b
====== ================== =====================================================================
CODE   size, 0 = by label ``bytes``, a row of numbers as text, `Rows`; else what waits for values
CALL   macro name         the argument texts
CONTROL word              the words behind it
ASSIGN name               `Expression`
COMMAND word              the words, the first one included
BAD    Asar's error id    message
====== ================== =====================================================================

Promises: total; equal text, rules and processor give the same shared blocks. Knows nothing of labels, positions or
the widths of registers: `expand` executes what stands here. A long file: one small reader per form.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

from nayru_lsp.asm import spc700, superfx
from nayru_lsp.asm.arithmetic import OUTSIDE, PURE_2, Expression, Rules, compile_expression, int32, int64
from nayru_lsp.asm.encode import select
from nayru_lsp.asm.isa import MNEMONICS, AddressingMode, Opcode
from nayru_lsp.asm.native_2 import MNEMONICS_2
from nayru_lsp.asm.native_2 import read as read_2
from nayru_lsp.asm.prepared import closed_quotes
from nayru_lsp.asm.syntax import Dialect, OperandShape
from nayru_lsp.asm.words import DATA, DIRECTIVES

NOTHING, CODE, CALL, CONTROL, ASSIGN, COMMAND, BAD = range(7)
Block = tuple[tuple[str, ...], int, Any, Any]

REST = "\0rest"             # a command of our own: go on with this text, read anew
REPEATED = "\0repeated"     # and: this opcode as often as an expression says

MAX_ENTRIES = 150_000       # of one memo: it starts anew when it is full

_UNIT = {"db": 1, "dw": 2, "dl": 3, "dd": 4}
_NUMBER = r"(?:\$[0-9A-Fa-f]+|%[01]+|[0-9]+)"
DATA_ROW = re.compile(rf"(d[bwld]) ({_NUMBER}(?:,{_NUMBER})*)\Z", re.IGNORECASE)
_SEPARATOR = re.compile(r"(?<![^ ]):(?![^ ])")
_WORDS = re.compile(r'''(?:[^ "']|"[^"]*"|'(?:''|[^'])'|["'])+''')
_CONTROLS = frozenset({"if", "elseif", "else", "endif", "while", "endwhile", "for", "endfor"})
_RELATIVE = re.compile(r"\??(?:\++|-+):?\Z")
_LABEL = re.compile(r"#?\??(?:\.*[A-Za-z0-9_][\w.]*):?\Z", re.ASCII)
_ASSIGNED = re.compile(r"\??[A-Za-z_]\w*\Z", re.ASCII)
_CALL = re.compile(r"%([A-Za-z_]\w*) ?\((.*)\)\Z", re.ASCII | re.DOTALL)
_CALL_2 = re.compile(r"%([A-Za-z_]\w*)\((.*)\)\Z", re.ASCII | re.DOTALL)
_CHARACTER = re.compile(r"'(?:''|[^'])'\Z|'''\Z")
_MNEMONIC = re.compile(r"([A-Za-z]{3})(?:\.([A-Za-z]+))?\Z")
_WORD_SUFFIX = re.compile(r"([A-Za-z]\w*)(?:\.(\w+))?\Z", re.ASCII)
_BANK_TAKEN = re.compile(r"(?:\$[0-9A-Fa-f]+|%[01]+|[0-9]+|\??\.*[A-Za-z_][\w.]*)(?:>>16|/65536|/\$10000)\Z", re.ASCII)
_CHANGES = re.compile(r"(?i)(?:\S*: ?)?(?:arch|spcblock|endspcblock|math|asar)\b")
_SOME_LABEL = re.compile(r"#?\??\.*[A-Za-z0-9_]", re.ASCII)
_REPEATS = frozenset({"ASL", "LSR", "ROL", "ROR", "INC", "DEC", "INX", "DEX", "INY", "DEY", "NOP"})
_SIGNATURES = frozenset({"REP", "SEP", "BRK", "COP", "WDM"})
_BRANCHES = {AddressingMode.RELATIVE: 1, AddressingMode.RELATIVE_LONG: 2}
_SUFFIX = {"b": 1, "w": 2, "l": 3}

_RUN_OF_QUOTES = re.compile('"+')
_QUOTES = "\"'"
_WHOLE_QUOTES = re.compile(r'''("[^"]*"|'(?:''|[^'])')''')


def split_list(text: str) -> list[str]:
    """``text`` cut at the commas outside quotes and parentheses."""
    if "(" not in text and '"' not in text and "'" not in text:
        return text.split(",")
    out: list[str] = []
    depth = first = at = 0
    end = len(text)
    while at < end:
        letter = text[at]
        if letter == '"':
            close = text.find('"', at + 1)
            at = end if close < 0 else close
        elif letter == "'":
            if text.startswith("'''", at) or text[at + 2:at + 3] == "'":
                at += 2
        elif letter == "(":
            depth += 1
        elif letter == ")":
            depth -= 1
        elif letter == "," and depth <= 0:
            out.append(text[first:at])
            first = at + 1
        at += 1
    out.append(text[first:])
    return out


def words_of(block: str) -> list[str]:
    if '"' not in block and "'" not in block:
        return block.split()
    return _WORDS.findall(block)


def unquoted(text: str) -> str | None:
    """The text inside quotes, or the text itself; None where something stands beside the quotes."""
    if not text.startswith('"'):
        return text if '"' not in text else None
    if len(text) < 2 or not text.endswith('"'):
        return None
    inner = text[1:-1]
    return inner.replace('""', '"') if '"' not in inner.replace('""', "") else None


def unquoted_2(text: str) -> str:
    """2.0: what stands behind the last quote does not count."""
    if not text.startswith('"'):
        return text
    return _RUN_OF_QUOTES.sub('"', text[1:max(1, text.rindex('"'))])


def blocks_of_text(line: str) -> list[str]:
    """The texts between `` : `` separators outside quotes."""
    if ":" not in line or (" :" not in line and ": " not in line and line != ":"):
        return [line]
    if '"' not in line and "'" not in line:
        return [part.strip() for part in _SEPARATOR.split(line)]
    hidden = re.sub(r'"[^"]*"|\'(?:\'\'|[^\'])\'', lambda match: "\0" * len(match.group()), line)
    out, first = [], 0
    for match in _SEPARATOR.finditer(hidden):
        out.append(line[first:match.start()].strip())
        first = match.end()
    out.append(line[first:].strip())
    return out


def scoped(expression: Expression) -> bool:
    """Does it hold a name or a function whose meaning depends on where it stands (``.sub``, ``+``, ``?x``, ``pc()``),
    not on the namespace?"""
    return any(name[0] in ".?+-" for name in expression.names) or not PURE_2.keys() >= set(expression.calls)


def looks_inside(expression: Expression) -> bool:
    """Does its value hang on nothing but the functions that it calls? ``_pc()`` is ``pc()`` in 1.91."""
    return not expression.names and not any(name.lstrip("_") in OUTSIDE for name in expression.calls)


def names_in(expressions: Sequence[Expression]) -> tuple[str, ...] | None:
    """All names; None where more than the labels of these names has a say."""
    if any(one.calls or any("[" in name for name in one.names) for one in expressions):
        return None
    return expressions[0].names if len(expressions) == 1 else tuple([name for one in expressions for name in one.names])


def plainly(items: Sequence[Any]) -> tuple[str | int, ...] | None:
    """The names and numbers, where each of them is nothing but a label or a number."""
    out: list[str | int] = []
    for one in items:
        if type(one) is not Expression or one.calls or one.characters:
            return None
        if one.constant is not None:
            out.append(int32(one.constant))
        elif one.names == (one.text,) and "[" not in one.text:
            out.append(one.text)
        else:
            return None
    return items[0].names if len(out) == 1 and items[0].names else tuple(out)


class Code:
    """One instruction of the 65816 whose operand waits for values."""

    __slots__ = ("asks", "bank", "branch", "by_width", "expression", "fixed", "names", "plain", "scoped", "second",
                 "stands", "target")

    def __init__(self, expression: Expression, by_width: tuple[Opcode | None, ...],
                 second: Expression | None = None, branch: int = 0, asks: bool = True, target: str = "",
                 bank: int | None = None) -> None:
        self.expression = expression
        self.asks = asks and second is None         # no suffix: Asar asks for the widths of the labels, needed or not
        self.by_width = by_width        # for an operand of 1, 2 and 3 bytes
        self.fixed = next((one for one in by_width if one is not None), None)
        self.scoped = scoped(expression) or (second is not None and scoped(second))
        self.second = second            # of a block move
        self.branch = branch            # bytes of the displacement of a branch, 0 for anything else
        self.target = target            # 2.0: ``bra.a`` goes to an address, ``bra.r`` that far
        self.bank = bank                # 2.0: where labels are seen from, whatever `bank` says; -1: from the code
        self.names = names_in(self.expressions)
        self.stands = branch > 0        # its bytes hang on where it stands
        self.plain = plainly(self.expressions) if second is None and (expression.names or not branch) else None

    @property
    def expressions(self) -> tuple[Expression, ...]:
        return (self.expression,) if self.second is None else (self.expression, self.second)

    def opcode(self, width: int) -> Opcode | None:
        return self.by_width[width - 1] if 1 <= width <= 3 else self.by_width[0]


class Foreign:
    """An instruction of another processor."""

    __slots__ = ("expressions", "form", "names", "scoped")

    stands, plain = True, None

    def __init__(self, form: Any, expressions: tuple[Expression, ...]) -> None:
        self.form = form
        self.expressions = expressions
        self.scoped = any(scoped(one) for one in expressions)
        self.names = names_in(expressions)


class Chosen:
    """An instruction of another processor whose form depends on the widths of labels."""

    __slots__ = ("mnemonic", "operand", "read", "suffix")

    def __init__(self, read: Callable[..., Any], mnemonic: str, suffix: str, operand: str) -> None:
        self.read = read
        self.mnemonic = mnemonic
        self.suffix = suffix
        self.operand = operand


class Data:
    """``db``, ``dw``, ``dl``, ``dd``: items are expressions or strings (which go through the character table)."""

    __slots__ = ("items", "names", "plain", "scoped", "strings", "unit")

    stands = False

    def __init__(self, unit: int, items: tuple[Expression | str | bytes, ...]) -> None:
        self.unit = unit
        self.items = items
        self.strings = any(type(item) is str for item in items)
        self.scoped = any(isinstance(item, Expression) and scoped(item) for item in items)
        self.names = names_in(self.expressions)
        self.plain = plainly(items)     # what all of it stands for, where no more is asked

    @property
    def expressions(self) -> tuple[Expression, ...]:
        return tuple(item for item in self.items if isinstance(item, Expression))


def each_row(obj: object, size: int) -> list[tuple[int, int]]:
    """Of a write: (row behind its first, offset) of everything in it, if it is not empty."""
    if type(obj) is not Rows:
        return [(0, 0)] if size else []
    out, at = [], 0
    for row, text in enumerate(obj.lines):
        if text:
            out.append((row, at))
            at += row_size(text)
    return out


def row_size(row: str) -> int:
    """Bytes of a row that `DATA_ROW` matches."""
    return _UNIT[row[:2].lower()] * (row.count(",") + 1)


def row_data(row: str) -> bytes:
    unit = _UNIT[row[:2].lower()]
    count = row.count(",") + 1
    if row[3::4] == "$" * count and row[6::4] == "," * (count - 1) and unit == 1 and len(row) == 4 * count + 2:
        return bytes.fromhex(row[4:].replace(",$", ""))        # nearly all of them: `db $12,$34`
    values = []
    for item in row[3:].split(","):
        first = item[0]
        values.append(int(item[1:], 16) if first == "$" else int(item[1:], 2) if first == "%" else int(item))
    if unit == 1:
        return bytes([value & 0xFF for value in values])
    mask = (1 << 8 * unit) - 1
    return b"".join([(value & mask).to_bytes(unit, "little") for value in values])


class Rows:
    """Neighbouring rows of plain numbers that end before line ``end``; their bytes are made when somebody asks."""

    __slots__ = ("end", "lines", "made", "size")

    def __init__(self, lines: list[str], end: int, size: int) -> None:
        self.made: bytes | None = None
        self.lines = lines
        self.end = end
        self.size = size

    def data(self) -> bytes:
        if self.made is None:
            self.made = b"".join([row_data(row) for row in self.lines if row])
        return self.made


def pack(value: int, size: int) -> bytes:
    return (value & (1 << 8 * size) - 1).to_bytes(size, "little")


class Words(list[str]):
    """The words behind ``if`` or ``while``. What they gave is remembered where nothing outside of them has a say."""

    __slots__ = ("calls", "holds", "pure", "version")

    def __init__(self, words: Sequence[str]) -> None:
        super().__init__(words)
        self.pure = True
        self.calls: tuple[str, ...] = ()
        self.version = 0
        self.holds = False


class Assertion(list[str]):
    """The words of an `assert`, and its condition."""

    __slots__ = ("condition",)

    def __init__(self, words: Sequence[str], condition: Words) -> None:
        super().__init__(words)
        self.condition = condition


class Compiler:
    """Compiles lines under one dialect, one processor and one arithmetic; remembers them."""

    def __init__(self, dialect: Dialect, arch: str, rules: Rules) -> None:
        self.dialect = dialect
        self.arch = arch
        self.rules = rules
        self.lines: dict[str, tuple[Block, ...]] = {}
        self.operands: dict[str, tuple[int, int, Any, Any]] = {}

    def line(self, text: str) -> tuple[Block, ...]:
        found = self.lines.get(text)
        if found is not None:
            return found
        if DATA_ROW.match(text):    # nearly all are unique: remembering them would cost more than it saves
            return (((), CODE, row_size(text), text),)
        if self.dialect is Dialect.ASAR_1 and not closed_quotes(text):
            return (((), BAD, "mismatched_quotes", "a quote is not closed in what this line becomes"),)
        parts = blocks_of_text(text)
        for number, part in enumerate(parts[:-1], 1):
            if _CHANGES.match(part):        # what follows is to be read by the rules of then
                parts[number:] = [REST + " " + " : ".join(parts[number:])]
                break
        made = tuple(block for part in parts if part and (block := self.block(part)) is not None)
        if len(self.lines) >= MAX_ENTRIES:
            self.lines.clear()
        if len(text) < 2_000:
            self.lines[text] = made
        return made

    def expression(self, text: str) -> Expression:
        return compile_expression(text, self.rules)

    def block(self, text: str) -> Block | None:
        if text.startswith(REST):
            return (), COMMAND, REST, [text[len(REST) + 1:]]
        words = words_of(text)
        if not words:
            return None
        special = words[0].startswith("@") and self.dialect is Dialect.ASAR_1
        if special:
            words[0] = words[0][1:]
            if not words[0]:
                words.pop(0)
                if not words:
                    return None
        if words[0].lower() == "global" and len(words) == 2:
            return (), COMMAND, "global", words
        labels: list[str] = []
        at = 0
        while at < len(words) and not (at + 1 < len(words) and words[at + 1] == "="):
            word = words[at]
            if _RELATIVE.match(word):
                labels.append(word.rstrip(":"))
            elif word.lstrip("?")[:1] in ("+", "-") and self.dialect is Dialect.ASAR_2:
                return tuple(labels), BAD, "broken_label_definition", f"`{word}` is no label"
            elif word[0] in ".?#" or word[-1] == ":":
                if word[0] == ":" or word == "#":
                    break
                if not _LABEL.match(word):
                    if self.dialect is Dialect.ASAR_2 and _SOME_LABEL.match(word):
                        return tuple(labels), BAD, "broken_label_definition", f"`{word}` is no label"
                    return tuple(labels), BAD, "invalid_label_name", f"`{word}` is no name for a label"
                labels.append(word)
            else:
                break
            at += 1
        rest = words[at:]
        if not rest:
            return tuple(labels), NOTHING, None, None
        kind, a, b = self.statement(rest, text)
        if special and kind == COMMAND and a not in DIRECTIVES and a != "' =":
            return tuple(labels), NOTHING, None, None       # Asar warns only
        if labels and kind == CONTROL and self.dialect is Dialect.ASAR_2:
            return tuple(labels), BAD, "label_before_if", f"a label cannot stand before `{a}`: put it on its own line"
        return tuple(labels), kind, a, b

    def statement(self, words: list[str], text: str) -> tuple[int, Any, Any]:
        first = words[0]
        modern = self.dialect is Dialect.ASAR_2
        if modern and first[0] not in "%'" and (code := self.instruction(words)) is not None:
            return code
        if first[0] == "%":
            called = (_CALL_2 if modern else _CALL).match(text[text.index("%"):])
            if called is None:
                return BAD, "broken_macro_usage", "a macro is called as `%name(arguments)`"
            inside = called.group(2)
            if self.dialect is Dialect.ASAR_1 and " " in inside:
                inside = "".join(part if part[0] in _QUOTES else part.replace(" ", "")
                                 for part in _WHOLE_QUOTES.split(inside) if part)
            return CALL, called.group(1), tuple(part.strip() for part in split_list(inside)) if inside else ()
        lower = first.lower()
        if lower in _CONTROLS or lower == "assert":
            if modern and len(words) > 1 and (lower[:3] == "end" or lower == "else"):
                return BAD, "unknown_command", f"nothing stands behind `{lower}`: put it on its own line"
            if lower in ("if", "while", "elseif"):
                return CONTROL, lower, self.words(words)
            if lower == "assert":
                text = split_list(" ".join(words[1:]))[0]
                return CONTROL, lower, Assertion(words, self.words([first, *([text] if modern else words_of(text))]))
            return CONTROL, lower, words
        if len(words) == 3 and words[1] == "=":
            if _CHARACTER.match(first):
                return COMMAND, "' =", words
            if _ASSIGNED.match(first):
                return ASSIGN, first, self.expression(words[2])
            return BAD, "invalid_label_name", f"`{first}` is no name for a label"
        if lower in DATA:
            if len(words) != 2 and (self.dialect is Dialect.ASAR_1 or len(words) < 2):
                return BAD, "unknown_command", f"`{lower}` takes one list without spaces"
            return self.data(_UNIT[lower], words[1] if len(words) == 2 else " ".join(words[1:]))
        if not modern and (code := self.instruction(words)) is not None:
            return code
        return COMMAND, lower, words

    def words(self, words: list[str]) -> Words:
        """The words of a condition, and whether anything outside of them has a say."""
        out = Words(words[1:])
        for text in [" ".join(out)] if self.dialect is Dialect.ASAR_2 else out:
            expression = self.expression(text)
            out.pure = out.pure and looks_inside(expression)
            out.calls += expression.calls
        return out

    def data(self, unit: int, text: str) -> tuple[int, Any, Any]:
        items: list[Expression | str] = []
        size = 0
        for item in split_list(text):
            item = item.strip()
            if item.startswith('"'):
                inner = unquoted_2(item) if self.dialect is Dialect.ASAR_2 else unquoted(item)
                if inner is None:
                    return BAD, "garbage_near_quoted_string", "something stands beside this string"
                items.append(inner)
                size += unit * (len(inner) if self.dialect is Dialect.ASAR_2 else len(
                    inner.encode("utf-8", "surrogateescape")))
                continue
            if item.startswith("#") and self.dialect is Dialect.ASAR_1:
                item = item[1:]
            items.append(self.expression(item))
            size += unit
        return CODE, size, Data(unit, tuple(items))

    def instruction(self, words: Sequence[str]) -> tuple[int, Any, Any] | None:
        """None where the first word is no mnemonic of this processor, or Asar knows no such form."""
        word = words[0]
        operand = words[1] if len(words) > 1 else ""
        if len(words) > 2:
            if self.dialect is Dialect.ASAR_1:
                return None
            operand = " ".join(words[1:])
        if self.arch == "65816":
            if self.dialect is Dialect.ASAR_2:
                return self.native_2(word.lower(), operand)
            match = _MNEMONIC.match(word)
            if match is None or match.group(1).upper() not in MNEMONICS:
                return None
            return self.native(match.group(1).upper(), (match.group(2) or "").lower(), operand)
        match = _WORD_SUFFIX.match(word)
        if match is None:
            return None
        read = superfx.read if self.arch == "superfx" else spc700.read
        return self.foreign(read, match.group(1), match.group(2) or "", operand)

    def foreign(self, read: Callable[..., Any], mnemonic: str, suffix: str,
                operand: str) -> tuple[int, Any, Any] | None:
        asked = []

        def width(text: str) -> int:
            expression = self.expression(text)
            if expression.names or expression.calls:
                asked.append(text)
            return max(1, expression.literal_width, 2 if expression.names or expression.calls else 0)

        form = read(mnemonic, suffix, operand, width)
        if form is None:
            return None
        if asked:
            return CODE, 0, Chosen(read, mnemonic, suffix, operand)
        expressions = tuple(self.expression(text) for text in form.expressions)
        if not expressions:
            made = form.encode(0x8000, [], [])
            return None if made is None else (CODE, form.size, made)
        if all(one.constant is not None for one in expressions) and not form.relative:
            made = form.encode(0x8000, [int64(one.constant or 0) for one in expressions], [False] * len(expressions))
            if made is not None and not any(one.characters for one in expressions):
                return CODE, len(made), made
        return CODE, form.size, Foreign(form, expressions)

    # --- 65816 -------------------------------------------------------------------------------------------------------

    def native_2(self, word: str, operand: str) -> tuple[int, Any, Any] | None:
        word, suffix = (word[:-2], word[-1]) if word[-2:-1] == "." else (word, "")
        if word not in MNEMONICS_2:
            return None
        kind, rows, text, bank, target, code, said = read_2(word, suffix, operand)
        if kind == "bad":
            return BAD, code, said
        first = next(row for row in rows if row is not None)
        size = int(first.size)
        if kind == "bytes":
            return CODE, size, bytes([first.value]) + bytes(size - 1)
        if kind == "move":
            parts = split_list(text)
            if len(parts) != 2:
                return BAD, "bad_addr_mode", f"{word.upper()} takes two banks"
            return CODE, 3, Code(self.expression(parts[0].strip()), rows, second=self.expression(parts[1].strip()))
        expression = self.expression(text)
        if kind == "branch":
            return CODE, size, Code(expression, rows, branch=size - 1, target=target)
        if kind == "repeat":
            return COMMAND, REPEATED, [chr(first.value), text]
        if kind == "signature":
            if expression.constant is not None and not 0 <= expression.constant < 256:
                return BAD, "bad_access_width", f"the operand of {word.upper()} is one byte"
            return CODE, 2, self._settled(Code(expression, rows), first)
        if not expression.names and not expression.calls:
            row = rows[max(1, expression.literal_width) - 1]
            if row is None:
                return BAD, "bad_access_width", f"{word.upper()} takes no operand of this width here"
            return CODE, int(row.size), self._settled(Code(expression, (row,) * 3), row)
        if rows[0] == rows[1] == rows[2]:
            return CODE, size, Code(expression, rows)
        return CODE, 0, Code(expression, rows, bank=bank)

    def native(self, mnemonic: str, suffix: str, operand: str) -> tuple[int, Any, Any] | None:
        if suffix and suffix not in _SUFFIX:
            return BAD, "invalid_opcode_length", f"`.{suffix}` is no width: use .b, .w or .l"
        if not operand:
            opcode = _by_width(mnemonic, OperandShape.NONE, suffix)[0]
            if opcode is None:
                return None
            return CODE, opcode.size, bytes([opcode.value] + ([0] if opcode.size == 2 else []))
        if operand in ("A", "a"):
            opcode = select(mnemonic, OperandShape.ACCUMULATOR, suffix, None)
            if opcode is not None:
                return CODE, opcode.size, bytes([opcode.value])
        lower = operand.lower()
        first = lower[0]
        if first == "#":
            return self.immediate(mnemonic, suffix, operand[1:].strip())
        shape, inner = OperandShape.PLAIN, operand
        if first == "(" and lower.endswith(",s),y"):
            shape, inner = OperandShape.STACK_INDIRECT_Y, operand[1:-5]
        elif first == "[" and lower.endswith("],y"):
            shape, inner = OperandShape.LONG_INDIRECT_Y, operand[1:-3]
        elif first == "(" and lower.endswith("),y"):
            shape, inner = OperandShape.INDIRECT_Y, operand[1:-3]
        elif lower.endswith(",s"):
            shape, inner = OperandShape.INDEXED_S, operand[:-2]
        elif first == "[" and lower.endswith("]"):
            shape, inner = OperandShape.LONG_INDIRECT, operand[1:-1]
        elif first == "(" and lower.endswith(",x)"):
            shape, inner = OperandShape.INDIRECT_X, operand[1:-3]
        elif first == "(" and lower.endswith(")") and _closes(operand):
            shape, inner = OperandShape.INDIRECT, operand[1:-1]
        elif lower.endswith(",x"):
            shape, inner = OperandShape.INDEXED_X, operand[:-2]
        elif lower.endswith(",y"):
            shape, inner = OperandShape.INDEXED_Y, operand[:-2]
        elif mnemonic in ("MVN", "MVP"):
            parts = split_list(operand)
            if len(parts) == 2:
                opcode = select(mnemonic, OperandShape.MOVE, "", None)
                assert opcode is not None
                return CODE, 3, Code(self.expression(parts[0].strip()), (opcode,) * 3,
                                     second=self.expression(parts[1].strip()))
        return self.memory(mnemonic, suffix, shape, inner.strip())

    def memory(self, mnemonic: str, suffix: str, shape: OperandShape, inner: str) -> tuple[int, Any, Any] | None:
        by_width = _by_width(mnemonic, shape, suffix)
        if not any(by_width):
            return None
        expression = self.expression(inner)
        opcode = next(one for one in by_width if one is not None)
        branch = _BRANCHES.get(opcode.mode, 0)
        code = Code(expression, by_width, branch=branch)
        if suffix or branch:
            return CODE, int(opcode.size), self._settled(code, opcode, not suffix)
        if not expression.names and not expression.calls:
            known = code.opcode(max(1, expression.literal_width))
            if known is None:
                return None
            return CODE, int(known.size), self._settled(Code(expression, (known,) * 3), known)
        if by_width == (opcode,) * 3:
            return CODE, int(opcode.size), code
        if mnemonic in ("JMP", "JSR") and shape is OperandShape.PLAIN:
            code.bank = -1              # whatever `bank` says, they stay in theirs
        return CODE, 0, code

    def _settled(self, code: Code, opcode: Opcode, asks: bool = True) -> Code | bytes:
        constant = code.expression.constant
        if constant is None or code.branch or code.expression.characters:
            return Code(code.expression, (opcode,) * 3, branch=code.branch, asks=asks)
        size = int(opcode.size)
        return bytes([opcode.value]) + pack(int64(constant), size - 1)

    def immediate(self, mnemonic: str, suffix: str, inner: str) -> tuple[int, Any, Any] | None:
        expression = self.expression(inner)
        if mnemonic in _REPEATS:
            opcode = select(mnemonic, OperandShape.NONE, "", None)
            if expression.constant is None or opcode is None:
                return BAD, "", "how often this is repeated is not known"
            count = int64(expression.constant)
            if count > 0x10000:
                return BAD, "bank_border_crossed", "repeated beyond the end of the bank"
            return CODE, max(0, count), bytes([opcode.value]) * max(0, count)
        opcode = _by_width(mnemonic, OperandShape.IMMEDIATE, "")[0]
        if opcode is None:
            return None
        width = _SUFFIX.get(suffix, 0)
        if mnemonic in _SIGNATURES:
            if width > 1 or (not width and max(1, expression.literal_width) != 1 and not expression.names):
                return None
            return CODE, 2, self._settled(Code(expression, (opcode,) * 3), _sized(opcode, 2), not suffix)
        if not width:
            if _BANK_TAKEN.match(inner):
                width = 1
            elif expression.names or expression.calls:
                return CODE, 0, Code(expression, (_sized(opcode, 2), _sized(opcode, 3), _sized(opcode, 3)))
            else:
                width = max(1, expression.literal_width)
        sized = _sized(opcode, 2 if width == 1 else 3)
        return CODE, int(sized.size), self._settled(Code(expression, (sized,) * 3), sized, not suffix)


@lru_cache(maxsize=1 << 13)
def _by_width(mnemonic: str, shape: OperandShape, suffix: str) -> tuple[Opcode | None, ...]:
    """The opcodes for operands of 1, 2 and 3 bytes."""
    return tuple([select(mnemonic, shape, suffix, width) for width in (1, 2, 3)])


def _sized(opcode: Opcode, size: int) -> Opcode:
    key = (opcode.value, size)
    found = _SIZED.get(key)
    if found is None:
        found = _SIZED[key] = Opcode(opcode.value, opcode.mnemonic, opcode.mode, size, opcode.cycles, opcode.rules,
                                     opcode.data, opcode.flags, opcode.meaning)
    return found


_SIZED: dict[tuple[int, int], Opcode] = {}


def _closes(operand: str) -> bool:
    """Is the first parenthesis closed by the last one?"""
    depth = 0
    for at, letter in enumerate(operand):
        if letter == "(":
            depth += 1
        elif letter == ")":
            depth -= 1
            if depth == 0 and at < len(operand) - 1:
                return False
    return depth == 0
