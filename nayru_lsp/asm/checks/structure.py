"""NAY301 opened and never closed, NAY302 closed and never opened, NAY303 defined twice."""

from __future__ import annotations

from collections.abc import Iterator

from nayru_lsp.asm.file import ParsedBlock, ParsedFile
from nayru_lsp.asm.problem import Problem, Related, Severity
from nayru_lsp.asm.project import Project
from nayru_lsp.asm.statements import parse_line
from nayru_lsp.asm.symbols import Symbol
from nayru_lsp.asm.syntax import Dialect, Directive, Opaque
from nayru_lsp.asm.text import Span
from nayru_lsp.asm.words import OPENERS

_CLOSERS = {closer: opener for opener, closer in OPENERS.items()}
_WORDS = tuple(OPENERS) + tuple(_CLOSERS)


def check(project: Project, file: ParsedFile) -> Iterator[Problem]:
    yield from _balance(file)
    yield from _twice(file)


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
                        inline = statement.name in ("if", "while", "for") and number + 1 < len(statements)
                        out.append((at + statement.start, at + statement.name_end, "?" if inline else statement.name))
                    elif isinstance(statement, Opaque) and statement.expandable:
                        out.append((at, at, "?"))
            at += len(raw)
        found = block.notes["structure"] = tuple(out)
    marks: tuple[tuple[int, int, str], ...] = found
    return marks


def _balance(file: ParsedFile) -> Iterator[Problem]:
    stack: list[tuple[str, Span]] = []
    problems: list[Problem] = []
    for start, block, _ in file.indexes:
        for low, high, word in _marks(block, file.dialect):
            span = Span(start + low, start + high)
            if word == "?":
                return      # a one-line `if` needs no `endif`, and expanded text may hold either
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


def _twice(file: ParsedFile) -> Iterator[Problem]:
    first: dict[str, tuple[int, Symbol]] = {}
    for start, _, index in file.indexes:
        for symbol in index.symbols:
            if symbol.kind not in ("label", "sub label") or symbol.conditional or "." in symbol.name:
                continue
            if symbol.kind == "sub label" and not symbol.scope:
                continue        # its main label stands in another file
            known = first.setdefault(symbol.name, (start, symbol))
            if known[1] is symbol:
                continue
            here = Span(symbol.name_span.start + start, symbol.name_span.end + start)
            there = Span(known[1].name_span.start + known[0], known[1].name_span.end + known[0])
            yield Problem(file.path, here, "NAY303", Severity.ERROR, f"{symbol.name} is defined twice in this file",
                          related=(Related(file.path, there, "first defined here"),))
