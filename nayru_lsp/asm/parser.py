"""Text -> `ParsedFile`. Never raises; blocks whose text and entry state are unchanged are shared."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from itertools import accumulate
from operator import is_

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
    sources = text.blocks
    blocks: list[ParsedBlock] = []
    at, end = 0, len(sources)
    old: tuple[ParsedBlock, ...] = ()
    known: dict[int, ParsedBlock] = {}
    rest, turn = 0, end                 # the old blocks from `rest` on are what stands from `turn` on
    if previous is not None and previous.dialect is dialect and previous.blocks:
        old, was = previous.blocks, previous.text.blocks
        starts: Sequence[int] = range(len(was) + 1)
        if len(old) != len(was):
            starts = list(accumulate([len(block.sources) for block in old], initial=0))
        first = bisect_right(starts, _alike(sources, was)) - 1
        if first == len(old) and len(was) != end:
            first -= 1                  # the last one may have been left open; any other ends where it ended
        rest = max(first, bisect_left(starts, len(was) - _alike(sources[::-1], was[::-1])))
        turn = end - len(was) + starts[rest]
        known = {id(block.sources[0]): block for block in old[first:min(rest, len(old) - 1)]}
        blocks += old[:first]
        at = starts[first]
    while at < end:
        while turn < at:                # what stands above is open now
            turn += len(old[rest].sources)
            rest += 1
        if at == turn:
            blocks += old[rest:]
            break
        found = known.get(id(sources[at]))
        if found is not None and sources[at:at + len(found.sources)] == found.sources:
            blocks.append(found)
            at += len(found.sources)
            continue
        stop = at + 1
        # A logical line never crosses the border of a parsed block: blocks that it joins are read as one.
        while stop < end and _open(sources[at:stop], dialect):
            stop += 1
        blocks.append(ParsedBlock(sources[at:stop], dialect))
        at = stop
    return ParsedFile(path, text, dialect, tuple(blocks))


def _alike(one: tuple[Block, ...], other: tuple[Block, ...]) -> int:
    """How many blocks at the beginning are the same."""
    return [*map(is_, one, other), False].index(False)


def _open(run: tuple[Block, ...], dialect: Dialect) -> bool:
    last = run[-1].text
    if dialect is Dialect.ASAR_2:
        whole = last if len(run) == 1 else "".join(block.text for block in run)
        if ";[[" in whole and block_comment_open(whole, False):
            return True
    return ends_open(last)
