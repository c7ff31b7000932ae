"""One parsed file: blocks of logical lines, each with its index; shared between versions of the file."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import replace
from functools import cached_property
from itertools import accumulate
from operator import attrgetter
from typing import Any

from nayru_lsp.asm.lexer import logical_lines, logical_starts
from nayru_lsp.asm.outline import arguments_of, outline_block
from nayru_lsp.asm.records import Outline
from nayru_lsp.asm.statements import Memo, parse_line
from nayru_lsp.asm.symbols import BlockIndex, Include, Maker, Reference, Scope, Symbol, index_block, references_of
from nayru_lsp.asm.syntax import Dialect, Line, Statement
from nayru_lsp.asm.text import Block, SourceText, Span

TOP = Scope()
_LENGTH = attrgetter("length")
HELD = 200      # answers of `ParsedBlock.holds` that a block keeps


class ParsedBlock:
    """A run of whole logical lines over one or more text blocks. What is derived from it is made on demand: the outline
    of every block of a project, the rest where somebody looks."""

    __slots__ = (
        "_held", "_index", "_lines", "_references", "_starts", "dialect", "known", "length", "notes", "sources")

    def __init__(self, sources: tuple[Block, ...], dialect: Dialect) -> None:
        self.sources = sources
        self.dialect = dialect
        self.length = sum([len(source.text) for source in sources])
        self.known: Outline | None = None      # its outline, for the scope that it was entered with
        self.notes: dict[object, Any] = {}       # what checks keep about this very block, each under one key
        self._held: dict[str, bool] = {}
        self.slim()

    def slim(self) -> None:
        """Forget everything but the outline: nobody looks at this file any more."""
        self._lines: list[str] | None = None
        self._starts: list[int] | None = None
        self._index: BlockIndex | None = None
        self._references: tuple[BlockIndex, list[Reference]] | None = None
        self.notes.clear()
        self._held.clear()

    @property
    def text(self) -> str:
        return self.sources[0].text if len(self.sources) == 1 else "".join(source.text for source in self.sources)

    def holds(self, text: str) -> bool:
        """Is ``text`` anywhere in this block? The latest answers are kept."""
        known = self._held.get(text)
        if known is None:
            if len(self._held) >= HELD:
                self._held.clear()
            known = self._held[text] = text in self.text
        return known

    @property
    def lines(self) -> list[str]:
        if self._lines is None:
            self._lines = logical_lines(self.text, self.dialect)
        return self._lines

    @property
    def starts(self) -> list[int]:
        if self._starts is None:
            self._starts = logical_starts(self.lines)
        return self._starts

    def outline(self, entry: Scope) -> Outline:
        known = self.known
        if known is None or (known.entry is not entry and known.entry != entry):
            known = self.known = outline_block(self.text, entry, self.dialect)
        return known

    def index(self, entry: Scope) -> BlockIndex:
        """The full index, kept."""
        if self._index is None or (self._index.entry is not entry and self._index.entry != entry):
            self._index = index_block(self.lines, entry, self.dialect)
        return self._index

    def glimpse(self, entry: Scope) -> BlockIndex:
        """The full index for one look at a block of a file that may never be opened."""
        if self._index is not None and self._index.entry == entry:
            return self._index
        return _glimpses((self, entry))

    def references(self, index: BlockIndex) -> list[Reference]:
        if self._references is None or self._references[0] is not index:
            self._references = (index, references_of(self.lines, index, self.dialect))
        return self._references[1]


_glimpses: Memo[tuple[ParsedBlock, Scope], BlockIndex] = Memo(
    lambda key: index_block(logical_lines(key[0].text, key[0].dialect), key[1], key[0].dialect), 32)


class ParsedFile:
    """An immutable parsed file."""

    def __init__(self, path: str, text: SourceText, dialect: Dialect, blocks: tuple[ParsedBlock, ...]) -> None:
        self.path = path
        self.text = text
        self.dialect = dialect
        self.blocks = blocks
        self._offsets = text.offsets if len(blocks) == len(text.blocks) else list(
            accumulate(map(_LENGTH, blocks), initial=0))

    def lines(self) -> Iterator[tuple[int, Line]]:
        """(absolute start, logical line), in order; joining ``raw`` gives the text back."""
        for start, block in zip(self._offsets, self.blocks, strict=False):
            at = start
            for raw in block.lines:
                yield at, parse_line(raw, self.dialect)
                at += len(raw)

    def block_at(self, offset: int) -> tuple[int, ParsedBlock] | None:
        """(absolute start, block) of the block that holds ``offset``; the last one also holds the end of the text."""
        if not self.blocks:
            return None
        number = self._number_at(offset)
        return self._offsets[number], self.blocks[number]

    def line_at(self, offset: int) -> tuple[int, Line]:
        """(absolute start, logical line) at ``offset``. Behind a last line end that is an empty line."""
        found = self.block_at(offset)
        if found is None:
            return 0, parse_line("", self.dialect)
        start, block = found
        if offset >= start + block.length and block.text[-1:] in ("\n", "\r", ""):
            return self.text.length, parse_line("", self.dialect)
        number = min(max(0, bisect_right(block.starts, offset - start) - 1), len(block.lines) - 1)
        return start + block.starts[number], parse_line(block.lines[number], self.dialect)

    def statement_at(self, offset: int) -> tuple[int, Line, Statement | None]:
        """The statement that holds ``offset`` or ends there (the later one where two touch)."""
        start, line = self.line_at(offset)
        inside = [s for s in line.statements if s.start <= offset - start <= s.end]
        return start, line, inside[-1] if inside else None

    @cached_property
    def outlines(self) -> tuple[tuple[int, ParsedBlock, Outline], ...]:
        """(absolute start, block, its outline), in order."""
        out = []
        scope = TOP
        for start, block in zip(self._offsets, self.blocks, strict=False):
            outline = block.known
            if outline is None or outline.entry is not scope:
                outline = block.outline(scope)
            scope = outline.exit
            out.append((start, block, outline))
        return tuple(out)

    @cached_property
    def indexes(self) -> tuple[tuple[int, ParsedBlock, BlockIndex], ...]:
        """(absolute start, block, its index), in order. For a file that one works in: it costs ten times its text."""
        return tuple([(start, block, block.index(outline.entry)) for start, block, outline in self.outlines])

    def index_at(self, offset: int) -> tuple[int, ParsedBlock, BlockIndex] | None:
        """(absolute start, block, its index) of the block that `block_at` gives."""
        if not self.blocks:
            return None
        start, block, outline = self.outlines[self._number_at(offset)]
        return start, block, block.index(outline.entry)

    def _number_at(self, offset: int) -> int:
        return min(max(0, bisect_right(self._offsets, offset) - 1), len(self.blocks) - 1)

    def slim(self) -> None:
        """Forget what was only of use while the file was looked at; it is made again on demand."""
        for name in ("indexes", "symbols", "references"):
            self.__dict__.pop(name, None)
        for block in self.blocks:
            block.slim()

    def scope_at(self, offset: int) -> Scope:
        """The scope of the line at ``offset``, as it is at the line's start."""
        found = self.index_at(offset)
        if found is None:
            return TOP
        start, _, index = found
        line_start, _ = self.line_at(offset)
        at = bisect_right(index.scopes, line_start - start, key=lambda item: item[0]) - 1
        return index.scopes[max(0, at)][1]

    @cached_property
    def symbols(self) -> tuple[Symbol, ...]:
        return tuple(self._placed(symbol, start)
                     for start, block, outline in self.outlines for symbol in block.glimpse(outline.entry).symbols)

    def _placed(self, symbol: Symbol, start: int) -> Symbol:
        span, name = symbol.span, symbol.name_span
        return replace(symbol, path=self.path, span=Span(span.start + start, span.end + start),
                       name_span=Span(name.start + start, name.end + start))

    def definitions(self, name: str) -> list[Symbol]:
        """The definitions of one full name in this file."""
        return [self._placed(symbol, start) for start, block, outline in self.outlines if name in outline.names
                for symbol in block.glimpse(outline.entry).by_name.get(name, ())]

    @cached_property
    def references(self) -> tuple[Reference, ...]:
        return tuple(self.references_in(0, len(self.blocks)))

    def references_in(self, first: int, last: int) -> Iterator[Reference]:
        """The references of blocks ``first`` to ``last`` (excluded)."""
        for start, block, outline in self.outlines[first:last]:
            for reference in block.references(block.index(outline.entry)):
                span = reference.span
                yield replace(reference, path=self.path, span=Span(span.start + start, span.end + start))

    @cached_property
    def includes(self) -> tuple[Include, ...]:
        return tuple(
            replace(include, path=self.path, span=Span(include.span.start + start, include.span.end + start))
            for start, _, outline in self.outlines for include in outline.includes)

    @property
    def makers(self) -> frozenset[Maker]:
        """What expansion may make here."""
        return frozenset().union(*(outline.makers for _, _, outline in self.outlines))

    @property
    def calls(self) -> Iterator[tuple[str, tuple[str, ...]]]:
        """Macro calls with their arguments, in order."""
        return ((name, arguments_of(given) if isinstance(given, str) else given)
                for _, _, outline in self.outlines for name, given in outline.calls)

    @property
    def namespaces(self) -> frozenset[str]:
        return frozenset().union(*(outline.namespaces for _, _, outline in self.outlines))

    @cached_property
    def foreign(self) -> bool:
        """Holds another processor's code and never says ``arch 65816``."""
        return any(outline.foreign for _, _, outline in self.outlines) and not any(
            outline.native for _, _, outline in self.outlines)

    @property
    def starts_program(self) -> bool:
        """Sets a mapper, ``org`` or freespace: may be a root."""
        return any(outline.starts_program for _, _, outline in self.outlines)
