"""``textDocument/publishDiagnostics``: problems as the editor shows them."""

from __future__ import annotations

from collections.abc import Iterable

from lsprotocol import types

from nayru_lsp.asm.problem import Problem
from nayru_lsp.asm.project import ParsedFile
from nayru_lsp.convert import to_diagnostic
from nayru_lsp.snapshot import Snapshot

LIMIT = 1000


def diagnostics(snapshot: Snapshot, file: ParsedFile, problems: Iterable[Problem]) -> list[types.Diagnostic]:
    """``problems`` of ``file``, less those that the project's configuration switches off."""
    checks = snapshot.config.project_for(file.path).checks
    shown = [problem for problem in problems if checks.get(problem.code, True)]
    return [to_diagnostic(problem, snapshot, file.text) for problem in shown[:LIMIT]]
