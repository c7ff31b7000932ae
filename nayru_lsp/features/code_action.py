"""``textDocument/codeAction``: the fixes of problems, "Generate routine from comment", and a label for an address."""

from __future__ import annotations

import re
from collections.abc import Iterable

from lsprotocol import types

from nayru_lsp.asm.parser import data_arguments
from nayru_lsp.asm.problem import Problem
from nayru_lsp.asm.project import ParsedFile
from nayru_lsp.asm.syntax import Directive, Instruction, OperandShape
from nayru_lsp.asm.text import Span
from nayru_lsp.convert import to_diagnostic, to_range, to_text_edits, to_workspace_edit
from nayru_lsp.features.hover import number_at
from nayru_lsp.features.names import executed_at
from nayru_lsp.snapshot import Snapshot

_NAME = re.compile(r"[A-Za-z_]\w*\Z", re.ASCII)
GENERATE = "nayru.generate"


def code_action(
    snapshot: Snapshot, file: ParsedFile, span: Span, problems: Iterable[Problem], context: types.CodeActionContext,
    *, uri: str = "", version: int | None = None,
) -> list[types.CodeAction | types.Command]:
    found: list[types.CodeAction | types.Command] = []
    if _wanted(context, types.CodeActionKind.QuickFix) and snapshot.client.code_action_literals:
        for problem in problems:
            if problem.span.start > span.end or problem.span.end < span.start:
                continue
            for number, fix in enumerate(problem.fixes):
                edits = to_text_edits(file.text, fix.edits, snapshot.encoding)
                found.append(types.CodeAction(
                    title=fix.title, kind=types.CodeActionKind.QuickFix,
                    diagnostics=[to_diagnostic(problem, snapshot, file.text)], is_preferred=number == 0,
                    edit=to_workspace_edit(file.path, version, edits, snapshot, uri)))
    if _wanted(context, types.CodeActionKind.RefactorRewrite) and snapshot.client.code_action_literals:
        label = label_for(snapshot, file, span)
        if label is not None:
            name, where = label
            edits = to_text_edits(file.text, [(where, name)], snapshot.encoding)
            found.append(types.CodeAction(
                title=f"Replace {file.text.slice(*where)} by its label {name}",
                kind=types.CodeActionKind.RefactorRewrite,
                edit=to_workspace_edit(file.path, version, edits, snapshot, uri)))
    comment = comment_lines(file, span)
    if comment is not None and _wanted(context, types.CodeActionKind.RefactorRewrite):
        command = types.Command(
            title="Generate routine from comment", command=GENERATE,
            arguments=[{"uri": uri, "range": _plain(to_range(file.text, comment, snapshot.encoding))}])
        found.append(types.CodeAction(title=command.title, kind=types.CodeActionKind.RefactorRewrite, command=command)
                     if snapshot.client.code_action_literals else command)
    return found


def label_for(snapshot: Snapshot, file: ParsedFile, span: Span) -> tuple[str, Span] | None:
    """(label, the number it can stand for) where the bytes stay the same: in what takes three bytes of any label, and
    where the executed root has exactly one label of that value, which the name means there too."""
    start, line, statement = file.statement_at(span.start)
    number = number_at(line, statement, span.start - start)
    if number is None or not isinstance(number.value, int) or number.base != 16 or span.end > start + number.end:
        return None
    if isinstance(statement, Instruction):
        operand = statement.operand
        fits = operand is not None and operand.shape is OperandShape.PLAIN and operand.value == number and (
            statement.mnemonic in ("JSL", "JML") and not statement.suffix)
    else:
        fits = isinstance(statement, Directive) and statement.name == "dl" and (
            number in data_arguments(line, statement))
    executed = executed_at(snapshot, file, span.start)
    scope = file.scope_at(span.start)
    if not fits or executed is None or executed[0].stale or scope.arch != "65816" or scope.macro:
        return None
    expanded = executed[0]
    labels = [made for made in expanded.labels_of(number.value) if not expanded.is_number(made)]
    if len(labels) != 1 or _NAME.match(labels[0].name) is None or (
            expanded.label(labels[0].name, scope.namespace) != labels[0]):
        return None
    return labels[0].name, Span(start + number.start, start + number.end)


def comment_lines(file: ParsedFile, span: Span) -> Span | None:
    """The whole comment lines that ``span`` lies in (grown over the comment lines around a bare cursor); None when it
    touches anything else than comment and blank lines, or no comment."""
    text = file.text
    first, last = text.line_of(span.start), text.line_of(span.end)
    if last > first and span.end == text.line_start(last):
        last -= 1       # a selection of whole lines ends at the start of the next
    lines = [text.line(line).strip() for line in range(first, min(last, first + 200) + 1)]
    if last - first >= 200 or not any(lines) or not all(line.startswith(";") for line in lines if line):
        return None
    if span.start == span.end:
        while first > 0 and text.line(first - 1).strip().startswith(";"):
            first -= 1
        while last + 1 < text.line_count and text.line(last + 1).strip().startswith(";"):
            last += 1
    if not any(text.line(line).strip(" \t;-=*#") for line in range(first, last + 1)):
        return None     # a ruled line says nothing
    return Span(text.line_start(first), text.line_end(last))


def _wanted(context: types.CodeActionContext, kind: types.CodeActionKind) -> bool:
    only = context.only
    return only is None or any(str(kind.value).startswith(str(getattr(one, "value", one))) for one in only)


def _plain(range_: types.Range) -> dict[str, dict[str, int]]:
    return {name: {"line": position.line, "character": position.character}
            for name, position in (("start", range_.start), ("end", range_.end))}
