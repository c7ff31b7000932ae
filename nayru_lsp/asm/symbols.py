"""What a file defines, mentions and includes."""

from __future__ import annotations

from dataclasses import dataclass

from nayru_lsp.asm.text import Span


@dataclass(frozen=True, slots=True)
class Symbol:
    """A definition. ``name`` is the full name (``main_sub``, ``!define``, ``%macro``, ``function()``), ``short`` the
    name as written. ``kind``: "label", "sub label", "relative label", "assignment", "define", "macro", "function",
    "struct", "namespace". ``span`` covers the whole statement. ``value`` is set where the text after ``=`` is a plain
    number. ``scope`` is the main label that a sub label belongs to, or "". ``doc`` is the comment above or beside.
    ``detail`` is the text after ``=``, a macro's or function's parameters."""

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


@dataclass(frozen=True, slots=True)
class Reference:
    """A mention of a name, resolved against the scope it stands in. ``kind``: "label", "sub label",
    "relative label", "define", "macro", "function", "struct"."""

    name: str
    kind: str
    path: str
    span: Span


@dataclass(frozen=True, slots=True)
class Include:
    """``incsrc "a.asm"`` and its kin. ``kind``: "incsrc", "incbin", "include" ... as written, lower case. ``span``
    covers the path's text (without quotes). ``opaque``: the path is made by a define or a macro argument."""

    name: str
    kind: str
    path: str
    span: Span
    opaque: bool = False
