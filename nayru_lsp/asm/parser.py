"""Text -> ParsedFile; never raises; memoised per line."""

from __future__ import annotations

from nayru_lsp.asm.project import ParsedFile
from nayru_lsp.asm.syntax import Dialect, Line
from nayru_lsp.asm.text import SourceText


def parse_line(raw: str, dialect: Dialect = Dialect.ASAR_1) -> Line:
    """One logical line."""
    raise NotImplementedError


def parse_text(
    path: str, text: SourceText, dialect: Dialect = Dialect.ASAR_1, previous: ParsedFile | None = None,
) -> ParsedFile:
    raise NotImplementedError
