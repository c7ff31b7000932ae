"""(project, file) -> Problems; one file per family. Shared by editor, generator and training filters.

Nothing here may be wrong: text that a define, a macro argument, a condition or an unread file could excuse is not
judged. Codes: NAY0xx text, NAY1xx instructions, NAY2xx widths, NAY3xx structure, NAY4xx names and files.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from nayru_lsp.asm.checks import instructions, names, structure, widths
from nayru_lsp.asm.expanded import Expanded
from nayru_lsp.asm.problem import Problem
from nayru_lsp.asm.project import ParsedFile, Project

Check = Callable[[Project, ParsedFile], Iterable[Problem]]

OWN: tuple[Check, ...] = (instructions.check, widths.check, structure.check)


def check_file(project: Project, file: ParsedFile, extra: Iterable[Check] = (),
               judges: Sequence[Expanded] = ()) -> tuple[Problem, ...]:
    """Own problems of one file, and those of ``extra`` checks, in text order. ``judges``: fresh and sure expansions of
    all roots that reach the file; they know all labels."""
    found = [problem for check in (*OWN, *extra) for problem in check(project, file)]
    found += names.check(project, file, judges)
    return tuple(sorted(found, key=lambda problem: (problem.span, problem.code)))


__all__ = ["OWN", "Check", "check_file"]
