"""One parsed file: blocks of logical lines, each with its index; shared between versions of the file."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import replace
from functools import cached_property
from itertools import accumulate
from typing import Any

from nayru_lsp.asm.lexer import logical_lines, logical_starts
from nayru_lsp.asm.statements import parse_line
from nayru_lsp.asm.symbols import BlockIndex, Include, Maker, Reference, Scope, Symbol, index_block, references_of
from nayru_lsp.asm.syntax import Dialect, Line, Statement
from nayru_lsp.asm.text import Block, SourceText, Span

TOP = Scope()


class ParsedBlock:
    """A run of whole logical lines over one or more text blocks. What is derived from it is made on demand."""

    __slots__ = ("_index", "_lines", "_references", "_starts", "dialect", "length", "notes", "sources")

    def __init__(self, sources: tuple[Block, ...], dialect: Dialect) -> None:
        self.sources = sources
        self.dialect = dialect
        self.length = sum(len(source.text) for source in sources)
        self._lines: list[str] | None = None
        self._starts: list[int] | None = None
        self._index: BlockIndex | None = None
        self._references: tuple[BlockIndex, list[Reference]] | None = None
        self.notes: dict[object, Any] = {}       # what checks keep about this very block

    @property
    def text(self) -> str:
        return self.sources[0].text if len(self.sources) == 1 else "".join(source.text for source in self.sources)

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

    def index(self, entry: Scope) -> BlockIndex:
        if self._index is None or self._index.entry != entry:
            self._index = index_block(self.lines, entry, self.dialect)
        return self._index

    def references(self, index: BlockIndex) -> list[Reference]:
        if self._references is None or self._references[0] is not index:
            self._references = (index, references_of(self.lines, index, self.dialect))
        return self._references[1]


class ParsedFile:
    """An immutable parsed file."""

    def __init__(self, path: str, text: SourceText, dialect: Dialect, blocks: tuple[ParsedBlock, ...]) -> None:
        self.path = path
        self.text = text
        self.dialect = dialect
        self.blocks = blocks
        self._offsets = list(accumulate((block.length for block in blocks), initial=0))

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
        number = min(max(0, bisect_right(self._offsets, offset) - 1), len(self.blocks) - 1)
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
    def indexes(self) -> tuple[tuple[int, ParsedBlock, BlockIndex], ...]:
        """(absolute start, block, its index), in order."""
        out = []
        scope = TOP
        for start, block in zip(self._offsets, self.blocks, strict=False):
            index = block.index(scope)
            scope = index.exit
            out.append((start, block, index))
        return tuple(out)

    def scope_at(self, offset: int) -> Scope:
        """The scope of the line at ``offset``, as it is at the line's start."""
        number = min(max(0, bisect_right(self._offsets, offset) - 1), len(self.blocks) - 1)
        if number < 0:
            return TOP
        start, _, index = self.indexes[number]
        line_start, _ = self.line_at(offset)
        at = bisect_right(index.scopes, line_start - start, key=lambda item: item[0]) - 1
        return index.scopes[max(0, at)][1]

    @cached_property
    def symbols(self) -> tuple[Symbol, ...]:
        return tuple(self._placed(symbol, start) for start, _, index in self.indexes for symbol in index.symbols)

    def _placed(self, symbol: Symbol, start: int) -> Symbol:
        span, name = symbol.span, symbol.name_span
        return replace(symbol, path=self.path, span=Span(span.start + start, span.end + start),
                       name_span=Span(name.start + start, name.end + start))

    def definitions(self, name: str) -> list[Symbol]:
        """The definitions of one full name in this file."""
        return [self._placed(symbol, start)
                for start, _, index in self.indexes for symbol in index.by_name.get(name, ())]

    @cached_property
    def references(self) -> tuple[Reference, ...]:
        return tuple(self.references_in(0, len(self.blocks)))

    def references_in(self, first: int, last: int) -> Iterator[Reference]:
        """The references of blocks ``first`` to ``last`` (excluded)."""
        for start, block, index in self.indexes[first:last]:
            for reference in block.references(index):
                span = reference.span
                yield replace(reference, path=self.path, span=Span(span.start + start, span.end + start))

    @cached_property
    def includes(self) -> tuple[Include, ...]:
        return tuple(
            replace(include, path=self.path, span=Span(include.span.start + start, include.span.end + start))
            for start, _, index in self.indexes for include in index.includes)

    @cached_property
    def makers(self) -> frozenset[Maker]:
        """What expansion may make here."""
        return frozenset().union(*(index.makers for _, _, index in self.indexes))

    @cached_property
    def calls(self) -> tuple[tuple[str, tuple[str, ...]], ...]:
        """Macro calls with their arguments, in order."""
        return tuple(call for _, _, index in self.indexes for call in index.calls)

    @cached_property
    def namespaces(self) -> frozenset[str]:
        return frozenset().union(*(index.namespaces for _, _, index in self.indexes))

    @cached_property
    def define_texts(self) -> tuple[tuple[str, str], ...]:
        """(name, value text) of every define that is assigned, in order."""
        return tuple((symbol.name, symbol.detail) for _, _, index in self.indexes for symbol in index.symbols
                     if symbol.kind == "define")

    @cached_property
    def foreign(self) -> bool:
        """Holds another processor's code and never says ``arch 65816``."""
        return any(index.foreign for _, _, index in self.indexes) and not any(
            index.native for _, _, index in self.indexes)

    @property
    def starts_program(self) -> bool:
        """Sets a mapper, ``org`` or freespace: may be a root."""
        return any(index.starts_program for _, _, index in self.indexes)
