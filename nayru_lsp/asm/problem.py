"""Problems: neutral findings, read by editor, generator and trainer alike."""

from __future__ import annotations

from collections.abc import Iterable
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


def joined(problems: Iterable[Problem]) -> tuple[Problem, ...]:
    """Everything found by everybody, in file and text order, each finding once. Where another judge calls the very
    same words an error too, its word stands and ours is left out."""
    once = {(problem.path, problem.span, problem.code, problem.message): problem for problem in problems}
    judged = {(problem.path, problem.span) for problem in once.values()
              if problem.source != "nayru" and problem.severity is Severity.ERROR}
    kept = [problem for problem in once.values() if not (
        problem.source == "nayru" and problem.severity is Severity.ERROR and (problem.path, problem.span) in judged)]
    return tuple(sorted(kept, key=lambda problem: (problem.path, problem.span, problem.code)))
