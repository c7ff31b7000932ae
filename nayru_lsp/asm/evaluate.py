"""Constant expressions -> int or unknown, in both dialects' arithmetic."""

from __future__ import annotations

from collections.abc import Callable

from nayru_lsp.asm.syntax import Dialect, Expr


def evaluate(
    expr: Expr, lookup: Callable[[str], int | None], dialect: Dialect = Dialect.ASAR_1,
    precedence: bool | None = None,
) -> int | None:
    """The value of ``expr`` truncated to an integer, or None where anything in it is unknown.

    Asar 1.91 computes strictly from left to right unless the source starts with ``asar 1.90`` or later;
    ``precedence=None`` in that dialect answers only where both ways agree."""
    raise NotImplementedError
