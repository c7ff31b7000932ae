"""NAY301 opened and never closed, NAY302 closed and never opened, NAY303 defined twice, NAY304 no parent."""

from __future__ import annotations

import re
from collections.abc import Iterator

from nayru_lsp.asm.file import ParsedBlock, ParsedFile
from nayru_lsp.asm.problem import Problem, Related, Severity
from nayru_lsp.asm.project import Project
from nayru_lsp.asm.statements import parse_line
from nayru_lsp.asm.symbols import BlockIndex, Symbol, one_line
from nayru_lsp.asm.syntax import Dialect, Directive, Opaque
from nayru_lsp.asm.text import Span
from nayru_lsp.asm.words import OPENERS

_MADE_LABEL = re.compile(r"[^ \t]+:(?=[ \t]|\Z)")
_CLOSERS = {closer: opener for opener, closer in OPENERS.items()}
_WORDS = tuple(OPENERS) + tuple(_CLOSERS)


def check(project: Project, file: ParsedFile) -> Iterator[Problem]:
    yield from _balance(file)
    yield from _twice(file)
    yield from _orphans(project, file)


def _marks(block: ParsedBlock, dialect: Dialect) -> tuple[tuple[int, int, str], ...]:
    """(start, end, word) of every opener and closer; ("", "inline") where a one-line form makes counting unsure."""
    found = block.notes.get("structure")
    if found is None:
        out: list[tuple[int, int, str]] = []
        at = 0
        for raw in block.lines:
            lowered = raw.lower()
            if any(word in lowered for word in _WORDS) or "!" in raw or "<" in raw:
                statements = parse_line(raw, dialect).statements
                for number, statement in enumerate(statements):
                    if isinstance(statement, Directive) and statement.name in _WORDS:
                        inline = statement.name in ("if", "while") and number + 1 < len(statements)
                        if inline and dialect is Dialect.ASAR_1 and one_line(raw, statement):
                            continue        # ends with its line
                        out.append((at + statement.start, at + statement.name_end, statement.name))
                    elif isinstance(statement, Opaque) and statement.expandable and not _MADE_LABEL.match(
                            raw, statement.start, statement.end):
                        out.append((at, at, "?"))
            at += len(raw)
        found = block.notes["structure"] = tuple(out)
    marks: tuple[tuple[int, int, str], ...] = found
    return marks


def _balance(file: ParsedFile) -> Iterator[Problem]:
    stack: list[tuple[str, Span]] = []
    problems: list[Problem] = []
    for start, block, _ in file.outlines:
        for low, high, word in _marks(block, file.dialect):
            span = Span(start + low, start + high)
            if word == "?":
                return      # expanded text may open or close anything
            if word in OPENERS:
                stack.append((word, span))
                continue
            opener = _CLOSERS[word]
            if word == "endif" and file.dialect is Dialect.ASAR_1 and stack and stack[-1][0] == "while":
                opener = "while"        # 1.91 closes both with endif
            if stack and stack[-1][0] == opener:
                stack.pop()
            elif any(name == opener for name, _ in stack):
                while stack[-1][0] != opener:
                    problems.append(_unclosed(file, *stack.pop()))
                stack.pop()
            else:
                problems.append(Problem(file.path, span, "NAY302", Severity.ERROR,
                                        f"{word} closes nothing: there is no open {opener} above it"))
    problems.extend(_unclosed(file, word, span) for word, span in stack)
    yield from problems


def _unclosed(file: ParsedFile, word: str, span: Span) -> Problem:
    return Problem(file.path, span, "NAY301", Severity.ERROR,
                   f"this {word} is never closed: {OPENERS[word]} is missing")


def _unique(symbol: Symbol) -> bool:
    """Must this name be defined once? A sub label without scope has its main label in another file."""
    return symbol.kind in ("label", "sub label") and not symbol.conditional and symbol.sure \
        and "." not in symbol.name and (symbol.kind == "label" or bool(symbol.scope))


def _own_names(block: ParsedBlock, index: BlockIndex) -> tuple[frozenset[str], bool]:
    """The names that a block defines and must define once, and whether it does not."""
    kept = block.notes.get("own")
    if kept is None or kept[0] is not index:
        names = [symbol.name for symbol in index.symbols if _unique(symbol)]
        kept = block.notes["own"] = (index, frozenset(names), len(set(names)) < len(names))
    return kept[1], kept[2]


def _twice(file: ParsedFile) -> Iterator[Problem]:
    seen: set[str] = set()
    for _, block, index in file.indexes:
        names, double = _own_names(block, index)
        if double or not seen.isdisjoint(names):
            break
        seen |= names
    else:
        return          # nearly always
    first: dict[str, tuple[int, Symbol]] = {}
    for start, _, index in file.indexes:
        for symbol in index.symbols:
            if not _unique(symbol):
                continue
            known = first.setdefault(symbol.name, (start, symbol))
            if known[1] is symbol:
                continue
            here = Span(symbol.name_span.start + start, symbol.name_span.end + start)
            there = Span(known[1].name_span.start + known[0], known[1].name_span.end + known[0])
            yield Problem(file.path, here, "NAY303", Severity.ERROR, f"{symbol.name} is defined twice in this file",
                          related=(Related(file.path, there, "first defined here"),))


def _orphans(project: Project, file: ParsedFile) -> Iterator[Problem]:
    """At the start of a file the parent may stand in whoever includes it, so only a configured root is judged there."""
    for start, _, index in file.indexes:
        for span, name, under_a_main in index.orphans:
            if not under_a_main and (
                    project.includers(file.path) or not any(root.path == file.path for root in project.configured_roots)
                    or any(root.prelude for root in project.roots_of(file.path))):
                continue
            missing = "a label one dot less" if under_a_main else "a main label"
            yield Problem(file.path, Span(span.start + start, span.end + start), "NAY304", Severity.ERROR,
                          f"{name} has no parent: {missing} must stand above it")
