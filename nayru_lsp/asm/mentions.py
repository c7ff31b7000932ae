"""Mentions of names in a block of lines, found on demand; positions relative to the block."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from nayru_lsp.asm.expressions import parse_expression
from nayru_lsp.asm.lexer import DEFINE_USE, code_end, scan
from nayru_lsp.asm.records import BlockIndex, Reference, Scope
from nayru_lsp.asm.statements import data_arguments, parse_line
from nayru_lsp.asm.syntax import (
    Assignment,
    Binary,
    Call,
    Define,
    Dialect,
    Directive,
    Expr,
    Group,
    Instruction,
    Label,
    LabelKind,
    Line,
    MacroCall,
    Name,
    OpaqueExpr,
    Statement,
    Unary,
)
from nayru_lsp.asm.text import Span
from nayru_lsp.asm.words import FUNCTIONS

_DATA = re.compile(r"[ \t]*[dD][bBwWlLdD][ \t]")
_WORDS = re.compile(r"[^ \t]+")
# What another processor's code, or a command, calls a register or a mode: never sought as a label.
_REGISTERS = frozenset({"a", "x", "y", "s", "sp", "ya", "psw", "c", "off", "on", "align"} | {
    f"r{number}" for number in range(16)})
_LABEL_IN_TEXT = re.compile(r"(?<![\w!.<>{}$%?\[\"'])\.*[A-Za-z_]\w*(?![\w!<({\"'\]>])", re.ASCII)


def mentioned(text: str, name: str) -> bool:
    """Does the code of these lines hold ``name``, or what ends with it? Nothing is kept for that: a project's texts are
    searched faster than an index of their words is made, and so seldom that this never comes back in."""
    at = text.find(name)
    while at >= 0:
        behind = text[at + len(name):at + len(name) + 1]
        if not (behind.isascii() and (behind.isalnum() or behind == "_")):
            start = max(text.rfind("\n", 0, at), text.rfind("\r", 0, at)) + 1
            if ";" not in text[start:at] or ";[[" in text:
                return True
            stop = text.find("\n", at)
            if at - start < code_end(text[start:stop if stop >= 0 else len(text)]):
                return True
        at = text.find(name, at + 1)
    return False


def names_in(expr: Expr) -> Iterator[Name | Call]:
    """Every name and function call of an expression, in text order. A stack of its own: a chain of additions may be
    thousands of terms deep."""
    waiting: list[Expr] = [expr]
    while waiting:
        match waiting.pop():
            case Name() as name:
                yield name
            case Call() as call:
                yield call
                waiting.extend(reversed(call.arguments))
            case Unary(operand=operand):
                waiting.append(operand)
            case Binary(left=left, right=right):
                waiting += (right, left)
            case Group(inner=inner):
                waiting.append(inner)


def expressions(line: Line, statement: Statement) -> tuple[Expr, ...]:
    """The expressions of a statement."""
    match statement:
        case Instruction(operand=operand) if operand is not None:
            return tuple(expr for expr in (operand.value, operand.second) if expr is not None)
        case Directive(name="autoclean"):
            words = _WORDS.findall(line.raw, statement.text_start, statement.text_end)
            if not words:
                return ()
            start = line.raw.index(words[-1], statement.text_start)
            return (parse_expression(line.raw, line.raw, start, start + len(words[-1])),)
        case Assignment(value=value):
            return (value,)
        case Directive():
            return data_arguments(line, statement)
    return ()


def references_of(lines: Sequence[str], index: BlockIndex, dialect: Dialect) -> list[Reference]:
    """Every mention of a name in a block, positions relative to it."""
    out: list[Reference] = []
    scopes = index.scopes
    at, number = 0, 0
    for raw in lines:
        while number + 1 < len(scopes) and scopes[number + 1][0] <= at:
            number += 1
        if not raw.isspace() and not (_DATA.match(raw) and not any(c.isalpha() for c in raw.lstrip()[2:])):
            _references_of_line(raw, at, scopes[number][1], dialect, out)
        at += len(raw)
    return out


def _references_of_line(raw: str, at: int, scope: Scope, dialect: Dialect, out: list[Reference]) -> None:
    line = parse_line(raw, dialect)
    sure = not scope.macro and not scope.conditions and scope.arch == "65816"
    for statement in line.statements:
        match statement:
            case Directive(name="if" | "while" | "elseif") if len(line.statements) > 1:
                sure = False
            case Label() if statement.kind is LabelKind.MAIN and not statement.declared:
                scope = scope._replace(main=statement.name, parents=(), sure=scope.conditions == 0)
            case Label() if statement.kind is LabelKind.SUB and not statement.declared:
                bare = statement.name.lstrip(".")
                level = len(statement.name) - len(bare)
                scope = scope._replace(parents=(*scope.parents[: level - 1], bare))
            case MacroCall():
                out.append(Reference("%" + statement.name, "macro", "",
                                     Span(at + statement.name_start, at + statement.name_end), sure=sure))
                scope = scope._replace(sure=False)
                for start, end in statement.arguments:      # mentions, but what the body makes of them is not known
                    argument = parse_expression(raw, raw, start, end)
                    out.extend(_reference(name, at, scope, False) for name in names_in(argument))
        for expr in expressions(line, statement):
            if isinstance(expr, OpaqueExpr):
                _loose_references(expr, at, scope, out)
            for name in names_in(expr):
                out.append(_reference(name, at, scope, sure))
    if "!" in raw:
        code = scan(raw, dialect).code
        for match in DEFINE_USE.finditer(code):
            group = 1 if match.group(1) is not None else 2
            start, end = match.span(group)
            defined = any(isinstance(s, Define) and s.name_start == start for s in line.statements)
            if not defined:
                out.append(Reference("!" + match.group(group), "define", "", Span(at + start, at + end), sure=sure))


def _loose_references(expr: OpaqueExpr, at: int, scope: Scope, out: list[Reference]) -> None:
    """Names in an operand that is not expanded: good for finding mentions, never for judging."""
    if len(expr.text) > 2_000 or '"' in expr.text or not expr.expandable:
        return
    for match in _LABEL_IN_TEXT.finditer(expr.text):
        text = match.group()
        kind = LabelKind.SUB if text[0] == "." else LabelKind.MAIN
        if text.lower() not in _REGISTERS and text not in FUNCTIONS:
            name = Name(expr.start + match.start(), expr.start + match.end(), text, kind)
            out.append(_reference(name, at, scope, False))


def _reference(name: Name | Call, at: int, scope: Scope, sure: bool) -> Reference:
    if isinstance(name, Call):
        return Reference(name.name + "()", "function", "", Span(at + name.start, at + name.start + len(name.name)),
                         sure=sure)
    span = Span(at + name.start, at + name.end)
    text = name.text
    if name.kind is LabelKind.SUB:
        bare = text.lstrip(".")
        level = len(text) - len(bare)
        parents = scope.parents[: level - 1]
        full = "_".join((scope.main, *parents, bare)) if scope.main else bare
        certain = sure and scope.sure and bool(scope.main) and len(parents) == level - 1
        return Reference(full, "sub label", "", span, scope.namespace, certain)
    if name.kind is LabelKind.MAIN:
        if "." in text or "[" in text:
            return Reference(re.sub(r"\[[^\[\]]*\]", "", text), "struct", "", span, sure=sure)
        return Reference(text, "label", "", span, scope.namespace, sure and text.lower() not in _REGISTERS)
    return Reference(text, "relative label" if name.kind is LabelKind.RELATIVE else "macro label", "", span, sure=False)
