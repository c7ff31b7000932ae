"""Files, include graph, roots and look-up tables; patched by block difference."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from nayru_lsp.asm.symbols import Include, Reference, Symbol
from nayru_lsp.asm.syntax import Dialect, Line, Statement
from nayru_lsp.asm.text import SourceText


@dataclass(frozen=True, slots=True)
class Root:
    """A file given to the assembler, with what it would be told on the command line. Paths are absolute."""

    path: str
    dialect: Dialect = Dialect.ASAR_1
    mapping_mode: str = ""
    defines: tuple[tuple[str, str], ...] = ()
    include_paths: tuple[str, ...] = ()
    prelude: str = ""
    base_image: str = ""


class ParsedFile:
    path: str
    text: SourceText
    dialect: Dialect

    def lines(self) -> Iterator[tuple[int, Line]]:
        """(absolute start, logical line), in order; joining ``raw`` gives the text back."""
        raise NotImplementedError

    def line_at(self, offset: int) -> tuple[int, Line]:
        raise NotImplementedError

    def statement_at(self, offset: int) -> tuple[int, Line, Statement | None]:
        raise NotImplementedError

    @property
    def symbols(self) -> tuple[Symbol, ...]:
        raise NotImplementedError

    @property
    def references(self) -> tuple[Reference, ...]:
        raise NotImplementedError

    @property
    def includes(self) -> tuple[Include, ...]:
        raise NotImplementedError


class Project:
    """Immutable; ``with_...`` return a new one that shares what did not change."""

    files: Mapping[str, ParsedFile]
    blobs: Mapping[str, bytes]
    roots: tuple[Root, ...]
    absent: frozenset[tuple[str, str]]

    def __init__(self, roots: Iterable[Root] = ()) -> None:
        """``roots`` as configured; without any they are derived from the files."""
        raise NotImplementedError

    def with_file(self, parsed: ParsedFile) -> Project:
        raise NotImplementedError

    def without_file(self, path: str) -> Project:
        raise NotImplementedError

    def with_blob(self, path: str, data: bytes | None) -> Project:
        """A binary file is known (``None`` forgets it; ``b""`` will do when only its existence matters)."""
        raise NotImplementedError

    def with_roots(self, roots: Iterable[Root]) -> Project:
        raise NotImplementedError

    def with_absent(self, absent: Iterable[tuple[str, str]]) -> Project:
        """Pairs (path of the including file, include name as written) that the caller looked for and did not find."""
        raise NotImplementedError

    def definitions(self, name: str) -> tuple[Symbol, ...]:
        raise NotImplementedError

    def references(self, name: str) -> tuple[Reference, ...]:
        raise NotImplementedError

    def names(self) -> Iterable[str]:
        """Every defined full name, without order."""
        raise NotImplementedError

    def resolve_include(self, from_path: str, name: str) -> str | None:
        """The known file or blob that ``name`` means in ``from_path``, by Asar's search order."""
        raise NotImplementedError

    def include_candidates(self, from_path: str, name: str) -> tuple[str, ...]:
        """Every path that Asar would try, in its order, existing or not (for whoever reads the disk)."""
        raise NotImplementedError

    def includers(self, path: str) -> tuple[str, ...]:
        raise NotImplementedError

    def roots_of(self, path: str) -> tuple[Root, ...]:
        raise NotImplementedError

    def may_be_made(self, name: str) -> bool:
        """Could a macro body, an opaque statement, a define or an unread include make this label?"""
        raise NotImplementedError
