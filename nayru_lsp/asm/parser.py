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
    known: dict[int, ParsedBlock] = {}
    last = None         # it may have been left open; any other block ends where it ended
    if previous is not None and previous.dialect is dialect and previous.blocks:
        known = {id(block.sources[0]): block for block in previous.blocks}
        last = previous.blocks[-1]
    sources = text.blocks
    blocks: list[ParsedBlock] = []
    at, end = 0, len(sources)
    while at < end:
        block = known.get(id(sources[at]))
        if block is not None:
            stop = at + len(block.sources)
            if (stop == at + 1 or sources[at:stop] == block.sources) and (block is not last or stop == end):
                blocks.append(block)
                at = stop
                continue
        stop = at + 1
        # A logical line never crosses the border of a parsed block: blocks that it joins are read as one.
        while stop < end and _open(sources[at:stop], dialect):
            stop += 1
        blocks.append(ParsedBlock(sources[at:stop], dialect))
        at = stop
    return ParsedFile(path, text, dialect, tuple(blocks))


def _open(run: tuple[Block, ...], dialect: Dialect) -> bool:
    last = run[-1].text
    if dialect is Dialect.ASAR_2:
        whole = last if len(run) == 1 else "".join(block.text for block in run)
        if ";[[" in whole and block_comment_open(whole, False):
            return True
    return ends_open(last)
