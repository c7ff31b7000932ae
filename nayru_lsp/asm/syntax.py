"""The syntax of one logical line: frozen nodes, positions relative to the start of that line.

A logical line is one or more physical lines (joined by a trailing ``,`` or ``\\``), kept with its exact text:
joining ``Line.raw`` of all lines gives the file back, byte for byte. Every ``start``/``end`` below is an offset
into ``Line.raw``, so equal text gives equal, shared nodes wherever it stands.

``Opaque`` means: a define (``!x``) or a macro argument (``<x>``) may stand for anything here, or this reader does
not know the form. Nothing may be reported about opaque text.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Dialect(StrEnum):
    ASAR_1 = "1.91"
    ASAR_2 = "2.0"


class LabelKind(StrEnum):
    MAIN = "main"            # name:
    SUB = "sub"              # .name or .name:   (nests by dots; belongs to the last main label)
    RELATIVE = "relative"    # + ++ - --
    MACRO_MAIN = "macro"     # ?name:
    MACRO_SUB = "macro sub"  # ?.name
    MACRO_RELATIVE = "macro relative"  # ?+ ?-


@dataclass(frozen=True, slots=True)
class Node:
    start: int
    end: int


# --- expressions -----------------------------------------------------------------------------------------------

@dataclass(frozen=True, slots=True)
class Number(Node):
    value: int | float
    base: int       # 16, 10 or 2
    digits: int     # how many digits were written: Asar takes a literal's width from them


@dataclass(frozen=True, slots=True)
class Name(Node):
    """A label reference as written: ``main``, ``.sub``, ``Struct.member``, ``+``, ``--``, ``?x``."""

    text: str
    kind: LabelKind


@dataclass(frozen=True, slots=True)
class String(Node):
    text: str       # without its quotes; ``""`` folded to ``"``


@dataclass(frozen=True, slots=True)
class Char(Node):
    text: str


@dataclass(frozen=True, slots=True)
class Unary(Node):
    operator: str   # - + ~ <:
    operand: Expr


@dataclass(frozen=True, slots=True)
class Binary(Node):
    operator: str
    left: Expr
    right: Expr


@dataclass(frozen=True, slots=True)
class Group(Node):
    inner: Expr


@dataclass(frozen=True, slots=True)
class Call(Node):
    name: str
    arguments: tuple[Expr, ...]


@dataclass(frozen=True, slots=True)
class OpaqueExpr(Node):
    text: str
    expandable: bool    # True: contains a define or a macro argument. False: a form this reader does not know


Expr = Number | Name | String | Char | Unary | Binary | Group | Call | OpaqueExpr


# --- statements ------------------------------------------------------------------------------------------------

@dataclass(frozen=True, slots=True)
class Label(Node):
    name: str           # as written, without `:` and `#`: ``main``, ``.sub``, ``..deep``, ``+``, ``?x``
    kind: LabelKind
    declared: bool      # written with `#`: does not change the current scope


@dataclass(frozen=True, slots=True)
class Assignment(Node):
    """``Name = expr``"""

    name: str
    name_end: int
    value: Expr


@dataclass(frozen=True, slots=True)
class Define(Node):
    """``!name OP value``; ``name`` without the ``!``."""

    name: str
    name_start: int
    name_end: int
    operator: str       # = += := #= ?=
    value_start: int
    value_end: int      # value text, quotes included


class OperandShape(StrEnum):
    """The form of an operand as written, before its width is known."""

    NONE = ""
    ACCUMULATOR = "A"
    IMMEDIATE = "#e"
    PLAIN = "e"
    INDEXED_X = "e,X"
    INDEXED_Y = "e,Y"
    INDEXED_S = "e,S"
    INDIRECT = "(e)"
    INDIRECT_X = "(e,X)"
    INDIRECT_Y = "(e),Y"
    STACK_INDIRECT_Y = "(e,S),Y"
    LONG_INDIRECT = "[e]"
    LONG_INDIRECT_Y = "[e],Y"
    MOVE = "e,e"        # mvn / mvp
    OPAQUE = "?"        # contains something unexpanded, or another CPU's form


@dataclass(frozen=True, slots=True)
class Operand(Node):
    shape: OperandShape
    value: Expr | None
    second: Expr | None     # the second operand of a block move


@dataclass(frozen=True, slots=True)
class Instruction(Node):
    mnemonic: str           # upper case
    mnemonic_end: int       # end of the mnemonic without its width suffix
    suffix: str             # "" | "b" | "w" | "l" | other text as written, lower case, without the dot
    operand: Operand | None


@dataclass(frozen=True, slots=True)
class Directive(Node):
    """What Asar calls a command: ``org``, ``db``, ``incsrc``, ``if``, ``macro`` ..."""

    name: str               # lower case
    name_end: int
    arguments: tuple[Expr, ...]     # split on commas outside quotes and parentheses; empty for free-form ones
    text_start: int         # the argument text as written
    text_end: int


@dataclass(frozen=True, slots=True)
class MacroCall(Node):
    """``%name(a, b)``; arguments are spans into ``Line.raw``."""

    name: str
    name_start: int
    name_end: int
    arguments: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Opaque(Node):
    """Text whose meaning is not known before expansion (``expandable``) or that this reader does not know."""

    expandable: bool


Statement = Label | Assignment | Define | Instruction | Directive | MacroCall | Opaque


@dataclass(frozen=True, slots=True)
class Line:
    """One logical line. ``rows`` counts its physical lines; ``comment`` is the span of the last comment, if any."""

    raw: str
    statements: tuple[Statement, ...]
    comment: tuple[int, int] | None
    rows: int
    defect: tuple[int, int, str] | None = None   # (start, end, message): e.g. an unclosed quote; never on opaque text
