"""Text -> `ParsedFile`. Never raises; blocks whose text and entry state are unchanged are shared."""

from __future__ import annotations

from nayru_lsp.asm.file import ParsedBlock, ParsedFile
from nayru_lsp.asm.lexer import block_comment_open, ends_open
from nayru_lsp.asm.statements import data_arguments, parse_line
from nayru_lsp.asm.syntax import Dialect
from nayru_lsp.asm.text import Block, SourceText

__all__ = ["data_arguments", "parse_line", "parse_text"]


def parse_text(
    path: str, text: SourceText, dialect: Dialect = Dialect.ASAR_1, previous: ParsedFile | None = None,
) -> ParsedFile:
    """The parsed form of ``text``. ``previous``: an earlier form of the file, whose unchanged blocks are shared."""
    known: dict[tuple[int, ...], ParsedBlock] = {}
    if previous is not None and previous.dialect is dialect:
        known = {tuple(map(id, block.sources)): block for block in previous.blocks}
    blocks: list[ParsedBlock] = []
    run: list[Block] = []
    for source in text.blocks:
        run.append(source)
        # A logical line never crosses the border of a parsed block: blocks that it joins are read as one.
        if not _open(run, dialect):
            blocks.append(known.get(tuple(map(id, run))) or ParsedBlock(tuple(run), dialect))
            run = []
    if run:
        blocks.append(known.get(tuple(map(id, run))) or ParsedBlock(tuple(run), dialect))
    return ParsedFile(path, text, dialect, tuple(blocks))


def _open(run: list[Block], dialect: Dialect) -> bool:
    last = run[-1].text
    if dialect is Dialect.ASAR_2:
        whole = last if len(run) == 1 else "".join(block.text for block in run)
        if ";[[" in whole and block_comment_open(whole, False):
            return True
    return ends_open(last)
