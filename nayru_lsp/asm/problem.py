"""Problems: neutral findings, read by editor, generator and trainer alike."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from enum import IntEnum

from nayru_lsp.asm.text import Span

# What our own execution of a root tells, under Asar's names.
EXECUTED = frozenset({
    "Elabel_not_found", "Elabel_redefined", "Emacro_not_found", "Edefine_not_found", "Emacro_wrong_num_params",
    "Erelative_branch_out_of_bounds", "Eassertion_failed", "Ebank_border_crossed", "Enayru_limit"})


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
    # In the execution that found it: the call of a macro, the place of the line that brought in its file again.
    call: int = field(default=0, compare=False)
    again: int = field(default=0, compare=False)


def joined(problems: Iterable[Problem]) -> tuple[Problem, ...]:
    """Everything found by everybody, in file and text order, each finding once. Where another judge calls the same
    words an error too, ours stands, since it says what to do; its source then names both ("nayru, asar"). Of our own, a
    check stands before an execution."""
    once = {(problem.path, problem.span, problem.code, problem.message): problem for problem in problems}
    checked = [problem for problem in once.values() if problem.source == "nayru" and problem.code not in EXECUTED
               and problem.severity is Severity.ERROR]
    if checked:
        once = {key: problem for key, problem in once.items() if problem.source != "nayru"
                or problem.code not in EXECUTED or not any(
                    problem.path == one.path and problem.span.start < one.span.end
                    and one.span.start < problem.span.end for one in checked)}
    own = [problem for problem in once.values() if problem.source == "nayru" and problem.severity is Severity.ERROR]
    kept = dict(once)
    if own:
        places: dict[str, list[Problem]] = {}
        for problem in own:
            places.setdefault(problem.path, []).append(problem)
        for key, other in once.items():
            if other.source == "nayru" or other.severity is not Severity.ERROR:
                continue
            for ours in places.get(other.path, ()):
                if ours.span.start < max(other.span.end, other.span.start + 1) and other.span.start < ours.span.end:
                    mine = (ours.path, ours.span, ours.code, ours.message)
                    judges = dict.fromkeys((*kept[mine].source.split(", "), other.source))
                    kept[mine] = replace(kept[mine], source=", ".join(judges))
                    kept.pop(key, None)
                    break
    return tuple(sorted(kept.values(), key=lambda problem: (problem.path, problem.span, problem.code)))
