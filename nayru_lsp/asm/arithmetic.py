"""Expressions as Asar computes them: text -> a shared `Expression` that asks an `Environment` for what lies outside.

The one home of Asar's operators and functions, in both dialects and in both of 1.91's orders of evaluation. Numbers are
Asar's doubles, spelled as ``int`` wherever they are whole and exact (within +/-2^53), else as ``float``; infinities
are numbers to Asar, NaN is an error. Conversions to integers beyond their range do what the x86-64 build of Asar does.

Promises: `compile_expression` never raises, also on rubbish; evaluating raises `Unknown` and `Wrong` only; both are
bounded in depth and work. Refuses to know labels, files, the ROM and the position: the environment answers for them.

One file although it is long: reader, operators and functions call each other in a ring (a user's function is read
anew from text while it is evaluated).
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple, Protocol

from nayru_lsp.asm.statements import Memo
from nayru_lsp.asm.syntax import Dialect

Value = int | float
Compute = Callable[[Any], Value]        # of the environment

_INFINITE: Final = (math.inf, -math.inf)
EXACT: Final = 1 << 53          # up to here every whole double is exact, so ints are the same numbers
ADDRESS: Final = 0xFFFFFF       # Asar cuts every label to 24 bits before it computes
MAX_LENGTH = 20_000             # code points of one text
MAX_DEPTH = 80                  # parentheses, calls and operators inside each other
MAX_CALLS_DEEP = 40             # user functions inside each other (Asar: 250 levels of anything, or 5,000)
MAX_CALLS = 20_000              # calls of user functions for one value: functions may double without end

_ONE, _TWO = Dialect.ASAR_1, Dialect.ASAR_2


class Unknown(Exception):
    """The value cannot be known here; ``args[0]`` says why in a few words for a user."""


class Wrong(Exception):
    """Asar would report an error: ``code`` is its id without the ``E``, ``args[0]`` a message for a user."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class Rules(NamedTuple):
    """1.91 begins with ``(ASAR_1, False, True)``; ``asar 1.90`` or later makes it ``(ASAR_1, True, False)``, ``math
    pri`` and ``math round`` set the two apart; 2.0 is always ``(ASAR_2, True, False)``."""

    dialect: Dialect
    precedence: bool        # else strictly from left to right
    truncate: bool          # every number and result is cut to a whole one


class Environment(Protocol):
    """What an expression may ask. All three raise `Unknown` or `Wrong`."""

    def label(self, name: str) -> int:
        """A label by its name as written (``main``, ``.sub``, ``+``, ``?x``, ``Struct[2].m``); 24 bits of it count."""

    def function(self, name: str) -> tuple[tuple[str, ...], str] | None:
        """The user's function of this name: its parameters and the text of its body."""

    def call(self, name: str, arguments: tuple[float | int | str, ...]) -> float | int:
        """A built-in of `OUTSIDE` with the right number of arguments, names of structs and labels as strings."""


class Expression:
    """One text under one set of rules; shared, so never changed.

    ``value(env)`` computes it. ``names`` are the labels it looks up, ``calls`` the functions it calls, both as written
    (an index that is not constant is written ``[]``). What a user's function looks up is in neither. ``constant`` is
    the value where nothing outside is asked for; with a call it is None, since every function may be the user's own.
    ``characters``: those in quotes, which count with their own code unless a table was given.
    """

    __slots__ = ("calls", "characters", "constant", "literal_width", "names", "text", "value")

    def __init__(self, text: str, value: Compute, constant: Value | None, names: tuple[str, ...],
                 calls: tuple[str, ...], literal_width: int, characters: str = "") -> None:
        self.text = text
        self.value: Compute = value
        self.constant = constant
        self.names = names
        self.calls = calls
        self.literal_width = literal_width      # bytes, 0 to 3, of the widest literal; 0 = there is none
        self.characters = characters

    def integer(self, env: Environment) -> int:
        """The value as Asar emits it: cut to a whole number and wrapped to 32 bits, signed."""
        return int32(self.value(env))

    def __repr__(self) -> str:
        return f"Expression({self.text!r})"


# --- numbers -----------------------------------------------------------------------------------------------------

def int64(value: Value) -> int:
    """A double as a signed 64-bit integer, kept at the ends of the range: what ``print hex`` and friends show."""
    if value.__class__ is int:
        return int(value)
    if value != value or value < -0x8000_0000_0000_0000:
        return -0x8000_0000_0000_0000
    # 2^63 itself is not kept: Asar compares with the end of the range as a double, which is 2^63, and then converts
    return 0x7FFF_FFFF_FFFF_FFFF if value > 2.0**63 else _wrapped(int(value))


def int32(value: Value) -> int:
    """`int64` cut to its low 32 bits, signed: labels, bytes and counts."""
    if value.__class__ is int and -0x8000_0000 <= value <= 0x7FFF_FFFF:
        return int(value)
    return ((int64(value) + 0x8000_0000) & 0xFFFF_FFFF) - 0x8000_0000


def number_text(value: Value, digits: int = 100) -> str:
    """A number as Asar writes it into a define or an argument: up to ``digits`` decimals, without useless zeroes."""
    if value.__class__ is int:
        return str(value)
    text = f"{value:.{max(0, min(100, digits))}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def normal(value: Value) -> Value:
    """The same number, as an int where it is whole and exact. Raises `Wrong` for NaN."""
    if -EXACT <= value <= EXACT:
        if value.__class__ is int:
            return value
        whole = int(value)
        return whole if whole == value else value
    if value != value:
        raise Wrong("nan", "this is not a number (NaN)")
    return float(value)


def cut(value: Value) -> Value:
    """Without its fraction; infinities stay."""
    if value.__class__ is int or not -EXACT <= value <= EXACT:
        return value
    return int(value)


def _wrapped(value: int) -> int:
    return ((value + 0x8000_0000_0000_0000) & 0xFFFF_FFFF_FFFF_FFFF) - 0x8000_0000_0000_0000


def _bits64(value: Value) -> int:
    """The processor's conversion: out of range gives the smallest integer."""
    if -0x8000_0000_0000_0000 <= value < 0x8000_0000_0000_0000:
        return int(value)
    return -0x8000_0000_0000_0000


def _bits32(value: Value) -> int:
    return int(value) if -0x8000_0001 < value < 0x8000_0000 else -0x8000_0000


def _unsigned(value: Value) -> int:
    return _bits64(value) & 0xFFFF_FFFF


# --- operators ---------------------------------------------------------------------------------------------------

def _add(a: Value, b: Value) -> Value:
    return normal(a + b)


def _subtract(a: Value, b: Value) -> Value:
    return normal(a - b)


def _multiply(a: Value, b: Value) -> Value:
    return normal(a * b)


def _divide(a: Value, b: Value) -> Value:
    if b == 0:
        raise Wrong("division_by_zero", "division by zero")
    return normal(a / b)


def _modulo(a: Value, b: Value) -> Value:
    if b == 0:
        raise Wrong("modulo_by_zero", "modulo by zero")
    return normal(_c(math.fmod, a, b))


def _power(a: Value, b: Value) -> Value:
    try:
        return normal(math.pow(a, b))
    except OverflowError:
        return -math.inf if a < 0 and b % 2 == 1 else math.inf
    except ValueError:
        if a == 0:
            return math.inf
        raise Wrong("nan", "a negative number has no such power") from None


def _shift(b: Value) -> int:
    if b < 0:
        raise Wrong("negative_shift", "a shift by a negative amount")
    return int(b) & 63 if b < EXACT else 0      # the processor looks at six bits; a larger double has none there


def _left(a: Value, b: Value) -> Value:
    return normal(_wrapped(_bits64(a) << _shift(b)))


def _right(a: Value, b: Value) -> Value:
    return normal(_bits64(a) >> _shift(b))


OPERATORS: Final[Mapping[str, Callable[[Value, Value], Value]]] = {
    "**": _power, "*": _multiply, "/": _divide, "%": _modulo, "+": _add, "-": _subtract, "<<": _left, ">>": _right,
    "&": lambda a, b: normal(_bits64(a) & _bits64(b)),
    "|": lambda a, b: normal(_bits64(a) | _bits64(b)),
    "^": lambda a, b: normal(_bits64(a) ^ _bits64(b)),
    "==": lambda a, b: int(a == b), "!=": lambda a, b: int(a != b), "<": lambda a, b: int(a < b),
    ">": lambda a, b: int(a > b), "<=": lambda a, b: int(a <= b), ">=": lambda a, b: int(a >= b),
    "&&": lambda a, b: int(_bits64(a) != 0 and _bits64(b) != 0),
    "||": lambda a, b: int(_bits64(a) != 0 or _bits64(b) != 0),
}
CUTTING: Final[Mapping[str, Callable[[Value, Value], Value]]] = {      # whole operands: only these give fractions
    **OPERATORS, "/": lambda a, b: cut(_divide(a, b)), "**": lambda a, b: cut(_power(a, b))}
PREFIXES: Final[Mapping[str, Callable[[Value], Value]]] = {
    "-": lambda a: -a, "+": lambda a: a, "~": lambda a: ~_bits32(a), "<:": lambda a: _bits32(a) >> 16}

LEVELS_1: Final = {"**": 4, "*": 3, "/": 3, "%": 3, "+": 2, "-": 2, "<<": 1, ">>": 1, "&": 0, "|": 0, "^": 0}
LEVELS_2: Final = {"**": 6, "*": 5, "/": 5, "%": 5, "+": 4, "-": 4, "<<": 3, ">>": 3, "&": 2, "|": 2, "^": 2,
                   "==": 1, "!=": 1, "<": 1, ">": 1, "<=": 1, ">=": 1, "&&": 0, "||": 0}


# --- functions ---------------------------------------------------------------------------------------------------

def _c(function: Callable[..., float], *arguments: Value) -> float:
    """A function of the C library, where Python has an exception and C has a NaN."""
    try:
        return float(function(*arguments))
    except ValueError:
        raise Wrong("nan", "this is not a number (NaN)") from None
    except OverflowError:
        return math.inf


def _logarithm(function: Callable[[float], float]) -> Callable[[Value], Value]:
    return lambda a: -math.inf if a == 0 else _c(function, a)


def _stepped(function: Callable[[float], int]) -> Callable[[Value], Value]:
    return lambda a: function(a) if -EXACT <= a <= EXACT else a


def _round(value: Value, digits: Value) -> Value:
    if value in _INFINITE:
        raise Wrong("label_not_found", "infinity cannot be rounded")      # Asar reads its own text `inf` as a label
    return float(number_text(value, _bits32(digits)))


def _raw(text: str) -> bytes:
    """As in the file: what was no UTF-8 is kept as escapes."""
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogatepass")


def _character(text: str, index: Value) -> Value:
    raw, at = _raw(text), _bits32(index)
    if at >= len(raw):
        raise Wrong("oob", f"position {at} lies behind the end of a string of {len(raw)} bytes")
    if at < 0:
        raise Unknown("Asar reads before the beginning of the string")
    return raw[at] - 256 if raw[at] > 127 else raw[at]


_C_FUNCTIONS = {"sqrt": math.sqrt, "sin": math.sin, "cos": math.cos, "tan": math.tan, "asin": math.asin,
                "acos": math.acos, "atan": math.atan, "arcsin": math.asin, "arccos": math.acos, "arctan": math.atan}


def _of_c(function: Callable[[float], float]) -> Callable[[Value], Value]:
    return lambda a: _c(function, a)


# name -> what it takes: n a number, s a string, y the bare name of a struct or label; behind | what may be left out
PURE: Final[Mapping[str, tuple[str, Callable[..., Value]]]] = {
    **{name: ("n", _of_c(function)) for name, function in _C_FUNCTIONS.items()},
    "log": ("n", _logarithm(math.log)), "log2": ("n", _logarithm(math.log2)), "log10": ("n", _logarithm(math.log10)),
    "ceil": ("n", _stepped(math.ceil)), "floor": ("n", _stepped(math.floor)), "round": ("nn", _round),
    "max": ("nn", lambda a, b: a if a > b else b), "min": ("nn", lambda a, b: a if a < b else b),
    "clamp": ("nnn", lambda value, low, high: max(low, min(high, value))),
    "safediv": ("nnn", lambda a, b, instead: instead if b == 0 else a / b),
    "select": ("nnn", lambda condition, yes, no: no if condition == 0 else yes),
    "bank": ("n", lambda a: _bits32(a) >> 16),
    "not": ("n", lambda a: int(not _unsigned(a))),
    "equal": ("nn", lambda a, b: int(a == b)), "notequal": ("nn", lambda a, b: int(a != b)),
    "less": ("nn", lambda a, b: int(a < b)), "lessequal": ("nn", lambda a, b: int(a <= b)),
    "greater": ("nn", lambda a, b: int(a > b)), "greaterequal": ("nn", lambda a, b: int(a >= b)),
    "and": ("nn", lambda a, b: int(_unsigned(a) != 0 and _unsigned(b) != 0)),
    "or": ("nn", lambda a, b: int(_unsigned(a) != 0 or _unsigned(b) != 0)),
    "nand": ("nn", lambda a, b: int(not (a and b))), "nor": ("nn", lambda a, b: int(not (a or b))),
    "xor": ("nn", lambda a, b: int(bool(a) != bool(b))),
    "stringsequal": ("ss", lambda a, b: int(a == b)),
    "stringsequalnocase": ("ss", lambda a, b: int(_raw(a).lower() == _raw(b).lower())),
}
PURE_2: Final[Mapping[str, tuple[str, Callable[..., Value]]]] = {
    **PURE, "char": ("sn", _character), "stringlength": ("s", lambda a: len(_raw(a)))}
OUTSIDE: Final[Mapping[str, str]] = {
    **{f"read{size}": "n|n" for size in "1234"}, "canread": "nn", **{f"canread{size}": "n" for size in "1234"},
    **{f"readfile{size}": "sn|n" for size in "1234"}, "canreadfile": "snn",
    **{f"canreadfile{size}": "sn" for size in "1234"}, "filesize": "s", "getfilestatus": "s", "defined": "s",
    "snestopc": "n", "pctosnes": "n", "realbase": "", "pc": "", "sizeof": "y", "objectsize": "y", "datasize": "y",
}


# --- reading -----------------------------------------------------------------------------------------------------

_Node = Value | Compute
_Argument = tuple[str, _Node | str]     # its text, and what it is: a value, or a string

_NAME = r"\??\.*[A-Za-z0-9_][A-Za-z0-9_.]*"
_ATOM = re.compile(
    r"\$([0-9A-Fa-f]+)|%([01]+)|([0-9][0-9.]*)|(" + _NAME + r")|'(.)'|(\()|\x01([0-9]+)\x02", re.DOTALL)
_OPERATOR_1 = re.compile(r"\*\*|<<|>>|[-+*/%&|^]")
_OPERATOR_2 = re.compile(r"\*\*|<<|>>|&&|\|\||[<>=!]=|[-+*/%&|^<>]")
_RELATIVE = re.compile(r"\??(?:\++|-+)(?=\)|\Z)")
_REST = re.compile(r"[A-Za-z0-9_.]*")
_SYMBOL = re.compile(r" *(?:\"([^\"]*)\"|([A-Za-z0-9_.]+)) *")
_SYMBOLIC = re.compile(r"[A-Za-z0-9_]*\Z")
_RISKY = re.compile(r"[/%]|<<|>>|\*\*")
_WIDE = re.compile(rf"\$([0-9A-Fa-f]*)|%([01]*)|'.'|([0-9]+)|{_NAME}(?:\[[^\]]*\][A-Za-z0-9_.]*)*", re.DOTALL)
_NEEDS = {"n": "a number", "s": "a string in quotes", "y": "a name"}


class _Puzzled(Exception):
    """Not understood; never leaves this module."""


def _refusing(code: str, message: str) -> Compute:
    def value(env: Environment) -> Value:
        raise Wrong(code, message)
    return value


def _puzzling(reason: str) -> Compute:
    def value(env: Environment) -> Value:
        raise Unknown(reason)
    return value


def _always(number: Value) -> Compute:
    return lambda env: number


def _lookup(name: str) -> Compute:
    return lambda env: env.label(name) & ADDRESS


class _Reader:
    """Reads one text from left to right as Asar's evaluator walks over it, and makes closures of it."""

    __slots__ = ("at", "calls", "characters", "cutting", "depth", "levels", "names", "operator", "operators",
                 "reordered", "rules", "slots", "table", "text")

    def __init__(self, text: str, rules: Rules, table: Mapping[int, int] | None = None, slots: bool = False) -> None:
        self.text = text
        self.at = 0
        self.rules = rules
        self.table = table
        self.slots = slots              # may \1n\2 stand for the n-th argument of a user's function?
        self.levels, self.operator = (LEVELS_2, _OPERATOR_2) if rules.dialect is _TWO else (LEVELS_1, _OPERATOR_1)
        self.cutting = rules.truncate
        self.operators = CUTTING if rules.truncate else OPERATORS
        self.names: list[str] = []
        self.calls: list[str] = []
        self.characters = ""
        self.depth = 0
        self.reordered = False          # would precedence change the order?

    def whole(self) -> _Node:
        node = self.expression(0)
        if self.at < len(self.text):
            if self.text[self.at] == ",":
                raise Wrong("invalid_input", "a comma that does not belong here")
            raise Wrong("mismatched_parentheses", "the parentheses do not match")
        return node

    def spaces(self) -> None:
        text, at = self.text, self.at
        while text.startswith(" ", at):
            at += 1
        self.at = at

    def expression(self, level: int) -> _Node:
        """One run of operands and operators that bind at least as tightly as ``level``."""
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise _Puzzled("nested too deeply")
        text = self.text
        relative = _RELATIVE.match(text, self.at)
        if relative is not None:
            self.at = relative.end()
            self.depth -= 1
            return self.label(relative.group())
        left = self.operand()
        self.spaces()
        steps: list[tuple[str, _Node]] = []
        strongest = 9
        precedence = self.rules.precedence
        while (following := text[self.at:self.at + 1]) and following not in "),]":
            self.spaces()
            match = self.operator.match(text, self.at)
            if match is None:
                raise Wrong("unknown_operator", f"`{text[self.at:self.at + 1]}` is no operator")
            operator = match.group()
            strength = self.levels[operator]
            if precedence:
                if strength < level:
                    break
                self.at = match.end()
                right = self.expression(strength + 1)
            else:
                self.at = match.end()
                if strength > strongest:
                    self.reordered = True
                strongest = strength
                right = self.operand()
            steps.append((operator, right))
        self.depth -= 1
        return self.chain(left, steps) if len(steps) > 8 else self.folded(left, steps)

    def folded(self, left: _Node, steps: list[tuple[str, _Node]]) -> _Node:
        for operator, right in steps:
            left = _binary(operator, self.operators[operator], left, right)
        return left

    def chain(self, left: _Node, steps: list[tuple[str, _Node]]) -> _Node:
        """Many terms in one loop: closures in closures would recurse once for each."""
        known = 0
        while known < len(steps) and isinstance(left, int | float):
            made = self.folded(left, steps[known:known + 1])
            if not isinstance(made, int | float):
                break
            left = made
            known += 1
        if known == len(steps):
            return left
        first = _always(left) if isinstance(left, int | float) else left
        rest = [(self.operators[operator], _always(right) if isinstance(right, int | float) else right)
                for operator, right in steps[known:]]

        def value(env: Environment) -> Value:
            result = first(env)
            for compute, right in rest:
                result = compute(result, right(env))
            return result
        return value

    def operand(self) -> _Node:
        """A number, label, call or group with its prefixes, which bind tighter than anything."""
        text = self.text
        prefixes: list[str] = []
        while True:
            self.spaces()
            sign = text[self.at:self.at + 1]
            if not sign or sign not in "-~+<":
                break
            if sign == "<":
                if not text.startswith("<:", self.at):
                    break
                sign = "<:"
            prefixes.append(sign)
            self.at += len(sign)
        node = self.atom()
        if len(prefixes) > MAX_DEPTH:
            raise _Puzzled("nested too deeply")
        for sign in reversed(prefixes):
            if sign != "+":
                node = _prefixed(PREFIXES[sign], node)
        return node

    def atom(self) -> _Node:
        text = self.text
        match = _ATOM.match(text, self.at)
        if match is None:
            self.reject()
        assert match is not None
        self.at = match.end()
        group = match.lastindex
        if group == 1:
            number = int(match.group(1), 16)
            if number <= EXACT:
                return number
            return normal(float(min(number, 0xFFFF_FFFF_FFFF_FFFF) if self.rules.dialect is _ONE
                                 else number & 0xFFFF_FFFF_FFFF_FFFF))
        if group == 2:
            return normal(float(min(int(match.group(2), 2), 0xFFFF_FFFF_FFFF_FFFF)))
        if group == 3:
            return self.decimal(match.group(3))
        if group == 4:
            return self.named(match.group(4))
        if group == 5:
            return self.quoted(match.group(5))
        if group == 6:
            node = self.expression(0)
            if not text.startswith(")", self.at):
                raise Wrong("mismatched_parentheses", "the parentheses do not match")
            self.at += 1
            return node
        if not self.slots:
            raise Wrong("invalid_number", "a control character")
        slot = int(match.group(7))
        return lambda env: env.arguments[slot]

    def reject(self) -> None:
        following = self.text[self.at:self.at + 1]
        if following == "$":
            raise Wrong("invalid_hex_value", "`$` without hexadecimal digits")
        if following == "%":
            raise Wrong("invalid_binary_value", "`%` without binary digits")
        if following == "'":
            raise Wrong("invalid_character", "one character stands between quotes")
        if following and following in ".?":
            raise Wrong("invalid_label_name", "this is no name for a label")
        raise Wrong("invalid_number", f"`{self.text[self.at:self.at + 20]}` is no number" if following
                    else "a number is missing")

    def decimal(self, digits: str) -> Value:
        whole, _, fraction = digits.partition(".")
        number = normal(float(f"{whole}.{fraction.partition('.')[0] or 0}") if fraction else
                         int(whole) if len(whole) < 16 else float(whole))
        return cut(number) if self.cutting else number

    def quoted(self, character: str) -> Value:
        code = ord(character)
        if self.rules.dialect is _ONE:
            if 0xDC80 <= code <= 0xDCFF:
                code -= 0xDC00      # a byte that was no UTF-8
            elif code > 127:
                raise Wrong("invalid_character", "one byte stands between quotes, and this is more")
        self.characters += character
        number = self.table.get(code, code) if self.table is not None else code
        if number < 0:
            raise Wrong("undefined_char", f"`{character}` is not in the character table")
        return normal(number)

    def label(self, name: str) -> Compute:
        self.names.append(name)
        return _lookup(name)

    def named(self, name: str) -> _Node:
        text = self.text
        if name[0] == "?":
            if name[1].isdigit():
                raise Wrong("invalid_label_name", "the name of a label does not begin with a digit")
        else:
            end = self.at
            self.spaces()
            if text.startswith("(", self.at):
                self.at += 1
                return self.called(name)
            self.at = end
        if not text.startswith("[", self.at):
            return self.label(name)
        if text.find("]", self.at) < 0:
            raise Wrong("invalid_label_missing_closer", "`[` is never closed")
        self.at += 1
        index = self.expression(0)
        if not text.startswith("]", self.at):
            raise Wrong("mismatched_parentheses", "the parentheses do not match")
        match = _REST.match(text, self.at + 1)
        assert match is not None
        rest = match.group()
        self.at = match.end()
        if text.startswith("[", self.at):
            raise Wrong("multiple_subscript_operators", "only one index is possible")
        if isinstance(index, int):
            return self.label(f"{name}[{index}]{rest}")
        if isinstance(index, float):
            raise _Puzzled("an index that is not whole")
        self.names.append(f"{name}[]{rest}")
        compute = index

        def value(env: Environment) -> Value:
            at = compute(env)
            if at.__class__ is not int:
                raise Unknown("an index that is not whole")
            return env.label(f"{name}[{at}]{rest}") & ADDRESS
        return value

    def called(self, name: str) -> Compute:
        """A call, from behind its opening parenthesis."""
        self.calls.append(name)
        text = self.text
        one = self.rules.dialect is _ONE
        plain = name[1:] if one and name[0] == "_" and (name[1:] in PURE or name[1:] in OUTSIDE) else name
        kinds = OUTSIDE.get(plain)
        arguments: list[_Argument] = []
        self.spaces()
        self.depth += 1
        if kinds == "y" and (symbol := _SYMBOL.match(text, self.at)) is not None:
            if symbol.group(1) is not None and not one:
                raise Wrong("string_literal_not_terminated", f"`{name}` takes a bare name")
            self.at = symbol.end()
            arguments.append((symbol.group().strip(), symbol.group(symbol.lastindex or 0)))
        elif not text.startswith(")", self.at):
            arguments.append(self.argument())
        while text.startswith(",", self.at):
            self.at += 1
            arguments.append(self.argument())
        self.depth -= 1
        if not text.startswith(")", self.at):
            if self.at >= len(text):
                raise Wrong("mismatched_parentheses", "the parentheses do not match")
            raise Wrong("malformed_function_call", f"the call of `{name}` is malformed")
        self.at += 1
        return _call(name, plain, tuple(arguments), self.rules)

    def argument(self) -> _Argument:
        text = self.text
        start = self.at
        self.spaces()
        if not text.startswith('"', self.at):
            node = self.expression(0)
            return text[start:self.at], node
        close = text.find('"', self.at + 1)
        if close < 0:
            raise Wrong("string_literal_not_terminated", "this string is never closed")
        inside = text[self.at + 1:close]
        self.at = close + 1
        self.spaces()
        return f'"{inside}"', inside


def _prefixed(compute: Callable[[Value], Value], node: _Node) -> _Node:
    if isinstance(node, int | float):
        return compute(node)
    inner = node
    return lambda env: compute(inner(env))


def _binary(operator: str, compute: Callable[[Value, Value], Value], left: _Node, right: _Node) -> _Node:
    if isinstance(left, int | float):
        if isinstance(right, int | float):
            try:
                return compute(left, right)
            except Wrong as error:
                return _refusing(error.code, error.args[0])
        first, other = left, right
        return lambda env: compute(first, other(env))
    one = left
    if not isinstance(right, int | float):
        two = right
        return lambda env: compute(one(env), two(env))
    number = right
    if isinstance(number, int):
        if operator in "+-":
            offset = number if operator == "+" else -number

            def added(env: Environment) -> Value:
                result = one(env) + offset
                return result if result.__class__ is int and -EXACT <= result <= EXACT else normal(result)
            return added
        if operator == ">>" and 0 <= number < 64:
            def shifted(env: Environment) -> Value:
                result = one(env)
                return result >> number if result.__class__ is int else compute(result, number)
            return shifted
        if operator == "&" and number >= 0:
            def masked(env: Environment) -> Value:
                result = one(env)
                return result & number if result.__class__ is int else compute(result, number)
            return masked
    return lambda env: compute(one(env), number)


def _literal_width(text: str) -> int:
    """Bytes of the widest literal, counted over the bare text as Asar does."""
    widest = 0
    for match in _WIDE.finditer(text):
        group = match.lastindex
        if group == 1:
            width = (len(match.group(1)) + 1) // 2
        elif group == 2:
            width = (len(match.group(2)) + 7) // 8
        elif group == 3:
            width = _decimal_width(match.group(3))
        else:
            width = 1 if match.group()[0] == "'" else 0
        if width > widest:
            widest = width
    return min(widest, 3)


def _decimal_width(digits: str) -> int:
    if len(digits) > 9:
        # Asar keeps the low 32 bits of it, and what is negative then counts nothing
        value = ((min(int(digits), 0x7FFF_FFFF_FFFF_FFFF) if len(digits) < 20 else 0x7FFF_FFFF_FFFF_FFFF)
                 + 0x8000_0000 & 0xFFFF_FFFF) - 0x8000_0000
    else:
        value = int(digits)
    return 0 if value < 0 else 1 if value < 0x100 else 2 if value < 0x10000 else 3


# --- calls -------------------------------------------------------------------------------------------------------

class _Frame:
    """The environment inside a user's function: the outer one, and the arguments."""

    __slots__ = ("arguments", "budget", "call", "function", "label", "stack")

    def __init__(self, env: Any, name: str, arguments: tuple[Value, ...]) -> None:
        self.label = env.label
        self.function = env.function
        self.call = env.call
        self.arguments = arguments
        if env.__class__ is _Frame:
            self.stack: tuple[str, ...] = (*env.stack, name)
            self.budget: list[int] = env.budget
            if len(self.stack) > MAX_CALLS_DEEP:
                if name in env.stack:       # no call is conditional: what calls itself never ends
                    raise Wrong("recursion_limit", f"the function `{name}` calls itself without end")
                raise Unknown("functions nested too deeply")
        else:
            self.stack = (name,)
            self.budget = [MAX_CALLS]
        self.budget[0] -= 1
        if self.budget[0] < 0:
            raise Unknown("too many calls of functions")


class _Body(NamedTuple):
    """A user's function read once: the arguments stand in it as values. None where its text must be read anew."""

    expression: Expression | None
    used: frozenset[int]


_SLOT = re.compile(r"(.?)\x01([0-9]+)\x02(.?)", re.DOTALL)


def _substituted(parameters: tuple[str, ...], texts: tuple[str, ...], body: str) -> str:
    """``body`` with its parameters replaced, letter by letter as Asar does: without regard to case, also in strings,
    and a parameter of one letter once more at the end of a longer one before it."""
    out: list[str] = []
    size = at = 0
    lower = body.lower()
    end = len(body)
    names = [parameter.lower() for parameter in parameters]
    while at < end:
        letter = body[at]
        if not (letter.isascii() and (letter.isalpha() or letter == "_")):
            out.append(letter)
            at += 1
            continue
        found = False
        for name, text in zip(names, texts, strict=True):
            after = at + len(name)
            if lower.startswith(name, at) and not (after < end and body[after].isascii() and (
                    body[after].isalnum() or body[after] == "_")):
                out.append(text)
                size += len(text)
                if size > MAX_LENGTH:
                    raise Unknown("too much text in a function")
                at = after - 1
                found = True
        if not found:
            start = at
            while at < end and body[at].isascii() and (body[at].isalnum() or body[at] == "_"):
                at += 1
            out.append(body[start:at + 1])
        at += 1
    return "".join(out)


def _body(parameters: tuple[str, ...], body: str, rules: Rules) -> _Body:
    if len(body) > MAX_LENGTH or '"' in body or "'" in body or "\x01" in body or len(body) != len(body.lower()):
        return _Body(None, frozenset())
    text = _substituted(parameters, tuple(f"\x01{number}\x02" for number in range(len(parameters))), body)
    used = set()
    for match in _SLOT.finditer(text):
        before, after = match.group(1), match.group(3)
        if (before and before not in "(+-*/%&|^<>=~:, ") or (after and after not in ")+-*/%&|^<>=!,"):
            return _Body(None, frozenset())
        used.add(int(match.group(2)))
    if text.count("\x01") != len(_SLOT.findall(text)):
        return _Body(None, frozenset())
    reader = _Reader(text, rules, slots=True)
    try:
        node = reader.whole()
    except (Wrong, _Puzzled):
        return _Body(None, frozenset())
    if reader.reordered or any(kind == "y" for call in reader.calls if (kind := OUTSIDE.get(call.lstrip("_")))):
        return _Body(None, frozenset())
    compute = _always(node) if isinstance(node, int | float) else node
    return _Body(Expression(body, compute, None, tuple(reader.names), tuple(reader.calls), 0), frozenset(used))


def _run(env: Any, name: str, function: tuple[tuple[str, ...], str], arguments: tuple[_Argument, ...],
         rules: Rules) -> Value:
    """A user's function. Asar puts the texts of its arguments into its body: those of a bare word as they are, of
    anything else the number."""
    parameters, body = function
    if len(arguments) != len(parameters):
        if len(arguments) < len(parameters):
            raise Wrong("expected_parameter", f"`{name}` takes {len(parameters)} arguments")
        raise Wrong("unexpected_parameter", f"`{name}` takes only {len(parameters)} arguments")
    read = _BODIES[_index(rules)]((parameters, body))
    if read.expression is not None:
        values: list[Value] = []
        for number, (text, node) in enumerate(arguments):
            if isinstance(node, str):
                break
            value: Value = 0
            if isinstance(node, int | float):
                value = node
            elif not _SYMBOLIC.match(text):
                value = node(env)
            elif read.expression.calls:         # another function may take the name itself
                break
            elif number in read.used:
                value = node(env)
            if value in _INFINITE:              # its text is read as a label
                break
            values.append(value)
        else:
            return read.expression.value(_Frame(env, name, tuple(values)))
    texts = []
    for text, node in arguments:
        if isinstance(node, str) or _SYMBOLIC.match(text):
            texts.append(text)
        else:
            texts.append(number_text(node if isinstance(node, int | float) else node(env)))
    return compile_expression(_substituted(parameters, tuple(texts), body), rules).value(_Frame(env, name, ()))


def _call(name: str, plain: str, arguments: tuple[_Argument, ...], rules: Rules) -> Compute:
    pure = (PURE_2 if rules.dialect is _TWO else PURE).get(plain)
    cutting = rules.truncate
    finish = (lambda value: cut(normal(value))) if cutting else normal
    if pure is not None:
        kinds, compute = pure
        refusal = _mismatch(name, kinds, arguments)
        nodes = [node for _, node in arguments]
        if refusal is None and len(nodes) == 1 and not isinstance(nodes[0], str):
            only = _computing(nodes[0])

            def value(env: Environment) -> Value:
                function = env.function(name)
                return finish(compute(only(env)) if function is None else _run(env, name, function, arguments, rules))
            return value
    else:
        kinds = OUTSIDE.get(plain, "")
        refusal = _mismatch(name, kinds, arguments) if plain in OUTSIDE else (
            "function_not_found", f"there is no function `{name}`")
        compute = _puzzling("")
    parts = [(lambda env, text=node: text) if isinstance(node, str) else _computing(node) for _, node in arguments]
    outside = pure is None

    def general(env: Environment) -> Value:
        function = env.function(name)
        if function is not None:
            return finish(_run(env, name, function, arguments, rules))
        if refusal is not None:
            raise Wrong(*refusal)
        values = [part(env) for part in parts]
        return finish(env.call(plain, tuple(values)) if outside else compute(*values))
    return general


def _computing(node: _Node) -> Compute:
    return _always(node) if isinstance(node, int | float) else node


def _mismatch(name: str, kinds: str, arguments: tuple[_Argument, ...]) -> tuple[str, str] | None:
    """The error of a built-in that is called with the wrong arguments, as code and message."""
    needed, _, more = kinds.partition("|")
    wanted = needed + more
    for (_, node), kind in zip(arguments, wanted, strict=False):
        if isinstance(node, str) == (kind == "n"):
            return ("invalid_number" if kind == "n" else "string_literal_not_terminated",
                    f"`{name}` takes {_NEEDS[kind]} here")
    if len(arguments) > len(wanted):
        return "malformed_function_call", f"`{name}` takes only {len(wanted)} arguments"
    if len(arguments) < len(needed):
        if arguments:
            return "require_parameter", f"`{name}` takes {len(needed)} arguments"
        return ("invalid_number" if needed[0] == "n" else "string_literal_not_terminated",
                f"`{name}` takes {_NEEDS[needed[0]]}")
    return None


# --- compiling ---------------------------------------------------------------------------------------------------

_SIMPLE = re.compile(
    r"(?:\$([0-9A-Fa-f]{1,12})|([0-9]{1,14})|(\??\.*[A-Za-z_][A-Za-z0-9_.]*))"
    r"(?:([-+*/&|^]|<<|>>)(?:\$([0-9A-Fa-f]{1,12})|([0-9]{1,14})))?\Z")


def _simple(text: str, match: re.Match[str], rules: Rules) -> Expression:
    """A number, a name, or one of them, an operator and a number: nearly everything that programs write."""
    digits, decimal, name, operator, right_digits, right_decimal = match.groups()
    if digits is not None:
        number, width = int(digits, 16), (len(digits) + 1) // 2
    elif decimal is not None:
        number, width = int(decimal), _decimal_width(decimal)
    else:
        number = width = 0
    if operator is None:
        if name is None:
            return Expression(text, _always(number), number, (), (), width if width < 3 else 3)
        return Expression(text, _lookup(name), None, (name,), (), 0)
    if right_digits is not None:
        right, other = int(right_digits, 16), (len(right_digits) + 1) // 2
    else:
        right, other = int(right_decimal), _decimal_width(right_decimal)
    width = min(max(width, other), 3)
    compute = (CUTTING if rules.truncate else OPERATORS)[operator]
    if name is None:
        node = _binary(operator, compute, number, right)
        if isinstance(node, int | float):
            return Expression(text, _always(node), node, (), (), width)
        return Expression(text, node, None, (), (), width)
    value: Compute
    if operator == "+":
        value = lambda env: (env.label(name) & ADDRESS) + right  # noqa: E731
    elif operator == "-":
        value = lambda env: (env.label(name) & ADDRESS) - right  # noqa: E731
    elif operator == "&":
        mask = right & ADDRESS
        value = lambda env: env.label(name) & mask  # noqa: E731
    elif operator == ">>" and right < 64:
        value = lambda env: (env.label(name) & ADDRESS) >> right  # noqa: E731
    else:
        value = lambda env: compute(env.label(name) & ADDRESS, right)  # noqa: E731
    return Expression(text, value, None, (name,), (), width)


def _guarded(compute: Compute) -> Compute:
    """The last fence: whatever depth or arithmetic was not foreseen is unknown, not a crash."""
    def value(env: Environment) -> Value:
        try:
            return compute(env)
        except RecursionError:
            raise Unknown("nested too deeply") from None
        except (ArithmeticError, ValueError) as error:
            raise Unknown(f"not understood: {error}") from None
    return value


def _compile(text: str, rules: Rules, table: Mapping[int, int] | None = None) -> Expression:
    match = _SIMPLE.match(text[1:-1] if text[:1] == "(" and text[-1] == ")" else text)
    if match is not None:
        return _simple(text, match, rules)
    if len(text) > MAX_LENGTH:
        return Expression(text, _puzzling("not understood: too long"), None, (), (), 0)
    reader = _Reader(text, rules, table)
    constant: Value | None = None
    try:
        node = reader.whole()
        if reader.reordered and _RISKY.search(text) is not None:
            node = _twice(node, text, rules, table)
        if isinstance(node, int | float):
            constant, value = node, _always(node)
        else:
            value = _guarded(node)
    except Wrong as error:
        value = _refusing(error.code, error.args[0])
    except _Puzzled as error:
        value = _puzzling(f"not understood: {error}")
    except RecursionError:
        value = _puzzling("not understood: nested too deeply")
    except (ArithmeticError, ValueError) as error:
        value = _puzzling(f"not understood: {error}")
    return Expression(text, value, constant, tuple(reader.names), tuple(reader.calls), _literal_width(text),
                      reader.characters)


def _twice(node: _Node, text: str, rules: Rules, table: Mapping[int, int] | None) -> _Node:
    """From left to right, Asar also computes with precedence, to warn where that differs, and an error there is an
    error: ``1<<2-3`` is a negative shift."""
    other = _Reader(text, rules._replace(precedence=True), table).whole()
    if isinstance(other, int | float):
        return node
    one, two = _computing(node), other

    def value(env: Environment) -> Value:
        result = one(env)
        two(env)
        return result
    return value


def _index(rules: Rules) -> int:
    return (rules.dialect is _TWO) * 4 + rules.precedence * 2 + rules.truncate


_ALL_RULES = tuple(Rules(dialect, precedence, truncate)
                   for dialect in (_ONE, _TWO) for precedence in (False, True) for truncate in (False, True))


def _expressions(rules: Rules) -> Memo[str, Expression]:
    return Memo(lambda text: _compile(text, rules), 60_000)


def _bodies(rules: Rules) -> Memo[tuple[tuple[str, ...], str], _Body]:
    return Memo(lambda key: _body(*key, rules), 2_000)


_EXPRESSIONS = tuple(_expressions(rules) for rules in _ALL_RULES)
_BODIES = tuple(_bodies(rules) for rules in _ALL_RULES)


def compile_expression(text: str, rules: Rules, table: Mapping[int, int] | None = None) -> Expression:
    """``text``: defines expanded, no comment, trimmed. Never raises: text that Asar refuses gives an expression whose
    value raises `Wrong`, text that is not understood one that raises `Unknown`.

    ``table``: the character table in force, code -> value (a negative one: undefined), where it is not the default.
    Without a table, equal text and rules give the same object while it is remembered."""
    if table is not None or len(text) > 2_000:
        return _compile(text, rules, table)
    return _EXPRESSIONS[_index(rules)](text)
