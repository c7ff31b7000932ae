"""The records of the index: what is defined, mentioned, included, and the scope that runs through a file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from nayru_lsp.asm.text import Span


@dataclass(frozen=True, slots=True)
class Symbol:
    """A definition. ``name`` is the full name (``main_sub``, ``!define``, ``%macro``, ``function()``), ``short`` the
    name as written. ``kind``: "label", "sub label", "relative label", "assignment", "define", "macro", "function",
    "struct", "namespace". ``span`` covers the whole statement. ``value`` is set where the text after ``=`` is a plain
    number. ``scope`` is the main label that a sub label belongs to, or "". ``doc`` is the comment above or beside.
    ``detail`` is the text after ``=``, a macro's or function's parameters. ``conditional``: stands between ``if`` and
    ``endif``. ``sure``: no macro call, include or condition above it could have changed its scope or namespace."""

    name: str
    short: str
    kind: str
    path: str
    span: Span
    name_span: Span
    value: int | None = None
    scope: str = ""
    doc: str = ""
    detail: str = ""
    conditional: bool = False
    sure: bool = True


@dataclass(frozen=True, slots=True)
class Reference:
    """A mention of a name, resolved against the scope it stands in. ``kind``: "label", "sub label",
    "relative label", "define", "macro", "function", "struct". With a ``namespace`` the name is first sought inside it.
    ``sure``: outside of macros and conditionals, so that it is certainly looked up as written."""

    name: str
    kind: str
    path: str
    span: Span
    namespace: str = ""
    sure: bool = True


@dataclass(frozen=True, slots=True)
class Include:
    """``incsrc "a.asm"`` and its kin. ``kind``: "incsrc" or "incbin". ``span`` covers the path's text (without quotes).
    ``opaque``: the path is made by a define or a macro argument. ``sure``: outside of macros and conditionals.
    ``foreign``: it stands under another processor (``arch spc700``, ``spcblock``)."""

    name: str
    kind: str
    path: str
    span: Span
    opaque: bool = False
    sure: bool = True
    foreign: bool = False


class Scope(NamedTuple):
    """What a line's meaning depends on besides its own text."""

    main: str = ""
    parents: tuple[str, ...] = ()       # sub labels, outermost first
    namespace: str = ""
    nested: bool = False
    namespaces: tuple[str, ...] = ()    # pushns
    sure: bool = True                   # no macro call, include or condition could have changed main and parents
    space_sure: bool = True             # the same of the namespace
    macro: int = 0                      # depth of macro definitions
    macro_name: str = ""
    parameters: tuple[str, ...] = ()    # of that macro
    outside: Scope | None = None        # what holds again behind endmacro
    struct: str = ""
    arch: str = "65816"
    conditions: int = 0                 # depth of if / while / for
    global_next: bool = False


@dataclass(frozen=True, slots=True)
class Maker:
    """A statement that may make names when it is expanded. ``kind``: "name" (makes what the regular expression
    ``pattern`` matches), "parameter" (``pattern`` is a label name with ``<parameters>`` of ``macro`` in it), "define"
    (``!pattern`` at the start of a statement: its value decides), "argument" (``<pattern>`` of ``macro`` at the start
    of a statement), "defines" (assigns to a define whose name is expanded), "any"."""

    kind: str
    pattern: str = ""
    macro: str = ""


ANY = Maker("any")
MAX_NESTING = 64        # of pushns; what lies deeper is forgotten
MAX_NAME = 1_000        # code points of a namespace prefix


@dataclass(slots=True)
class Outline:
    """What a block of lines tells at a first, quick reading. All positions are relative to the start of the block;
    ``path`` of the includes is "". ``names``: every full name that is defined here, and the first physical line that
    does."""

    entry: Scope
    exit: Scope
    names: dict[str, int] = field(default_factory=dict)
    includes: tuple[Include, ...] = ()
    makers: frozenset[Maker] = frozenset()
    calls: tuple[tuple[str, tuple[str, ...] | str], ...] = ()   # macro calls with their arguments, or these as text
    namespaces: frozenset[str] = frozenset()
    define_texts: tuple[tuple[str, str], ...] = ()          # (!name, text after `=`)
    foreign: bool = False                   # holds another processor's code
    native: bool = False                    # says `arch 65816`
    starts_program: bool = False            # sets a mapper, org or freespace


@dataclass(slots=True)
class BlockIndex(Outline):
    """The same with every definition in full, where each scope begins, and sub labels without a parent."""

    symbols: tuple[Symbol, ...] = ()
    orphans: tuple[tuple[Span, str, bool], ...] = ()    # (where, name, is a main label there?)
    scopes: Sequence[tuple[int, Scope]] = ()            # scope from this position on, ascending
    by_name: dict[str, list[Symbol]] = field(default_factory=dict)
