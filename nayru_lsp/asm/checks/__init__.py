"""(project, file) -> Problems; one file per family."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from nayru_lsp.asm.problem import Problem
from nayru_lsp.asm.project import ParsedFile, Project

Check = Callable[[Project, ParsedFile], Iterable[Problem]]


def check_file(project: Project, file: ParsedFile, extra: Iterable[Check] = ()) -> tuple[Problem, ...]:
    """Own problems of one file, in text order."""
    raise NotImplementedError
