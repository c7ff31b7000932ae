"""The width state along straight-line code."""

from __future__ import annotations

from dataclasses import dataclass

from nayru_lsp.asm.project import ParsedFile
from nayru_lsp.asm.syntax import Statement


@dataclass(frozen=True, slots=True)
class WidthState:
    """``m``, ``x``: width of A and of X/Y in bits (8 or 16), None = unknown. ``e``: emulation mode, None = unknown."""

    m: int | None = None
    x: int | None = None
    e: bool | None = None


UNKNOWN = WidthState()


def widths_before(parsed: ParsedFile, offset: int) -> WidthState:
    """The state before the statement at ``offset``."""
    raise NotImplementedError


def widths_after(state: WidthState, statement: Statement) -> WidthState:
    """The state after ``statement`` alone (no stack memory: PLP gives unknown)."""
    raise NotImplementedError
