"""Problems: neutral findings, read by editor, generator and trainer alike."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from nayru_lsp.asm.text import Span


class Severity(IntEnum):
    ERROR = 1
    WARNING = 2
    INFORMATION = 3
    HINT = 4


@dataclass(frozen=True, slots=True)
class Related:
    path: str
    span: Span
    message: str


@dataclass(frozen=True, slots=True)
class Fix:
    """A repair: replace each span (of the problem's own file) by its text."""

    title: str
    edits: tuple[tuple[Span, str], ...]


@dataclass(frozen=True, slots=True)
class Problem:
    """``code``: "NAY201" for our own, Asar's name ("Eunknown_command") for Asar's. ``source``: "nayru", "asar"..."""

    path: str
    span: Span
    code: str
    severity: Severity
    message: str
    source: str = "nayru"
    related: tuple[Related, ...] = ()
    fixes: tuple[Fix, ...] = ()
