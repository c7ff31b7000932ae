"""Text -> `ParsedFile`. Never raises; blocks whose text and entry state are unchanged are shared."""

from __future__ import annotations

from nayru_lsp.asm.project import ParsedFile
from nayru_lsp.asm.statements import data_arguments, parse_line
from nayru_lsp.asm.syntax import Dialect
from nayru_lsp.asm.text import SourceText

__all__ = ["data_arguments", "parse_line", "parse_text"]


def parse_text(
    path: str, text: SourceText, dialect: Dialect = Dialect.ASAR_1, previous: ParsedFile | None = None,
) -> ParsedFile:
    raise NotImplementedError
