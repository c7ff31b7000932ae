"""``textDocument/codeAction``: the fixes of problems, and "Generate routine from comment"."""

from __future__ import annotations

from collections.abc import Iterable

from lsprotocol import types

from nayru_lsp.asm.problem import Problem
from nayru_lsp.asm.project import ParsedFile
from nayru_lsp.asm.text import Span
from nayru_lsp.convert import to_diagnostic, to_range, to_text_edits, to_workspace_edit
from nayru_lsp.snapshot import Snapshot

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
    comment = comment_lines(file, span)
    if comment is not None and _wanted(context, types.CodeActionKind.RefactorRewrite):
        command = types.Command(
            title="Generate routine from comment", command=GENERATE,
            arguments=[{"uri": uri, "range": _plain(to_range(file.text, comment, snapshot.encoding))}])
        found.append(types.CodeAction(title=command.title, kind=types.CodeActionKind.RefactorRewrite, command=command)
                     if snapshot.client.code_action_literals else command)
    return found


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
