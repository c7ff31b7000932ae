"""The command "assemble", and the trainer's filter "assembles"."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote, urlsplit

from nayru_asar.harness import verify_text
from nayru_asar.judge import Absent, Asar
from nayru_asar.validate import Validator
from nayru_lsp.asm.parser import parse_text
from nayru_lsp.asm.text import SourceText
from nayru_lsp.hookspecs import Project, Severity, Snapshot, Span, WorkerError

FILTER_SECONDS = 5.0


async def assemble(validator: Validator, snapshot: Snapshot, arguments: list[Any]) -> dict[str, Any]:
    """``[uri or path]`` -> ``{ok, problems, size, roots, reason}``: the roots that reach the file, assembled. ``size``
    counts the bytes written; ``reason`` says why there is no answer (``ok`` is then null)."""
    path = _path(str(arguments[0])) if arguments else ""
    roots = snapshot.project.roots_of(path)
    none = {"ok": None, "problems": [], "size": None, "roots": [root.path for root in roots]}
    if validator.asar.absence:
        return {**none, "reason": f"Asar: {validator.asar.absence}"}
    if not roots:
        return {**none, "reason": f"no root reaches {path}: name one in nayru.toml"}
    problems, ok, size = [], True, 0
    for root in roots:
        found, answer = await validator.run(snapshot, root)
        ok &= not any(problem.severity is Severity.ERROR for problem in found)
        size += sum(count for _, _, count in answer["blocks"]) if answer is not None else 0
        problems += [_plain(snapshot, problem) for problem in found]
    return {**none, "ok": ok, "problems": problems, "size": size, "reason": ""}


def _plain(snapshot: Snapshot, problem: Any) -> dict[str, Any]:
    file = snapshot.project.files.get(problem.path)
    line = file.text.line_of(problem.span.start) if file is not None else 0
    column = problem.span.start - file.text.line_start(line) if file is not None else 0
    return {"path": problem.path, "line": line + 1, "column": column + 1, "code": problem.code,
            "severity": problem.severity.name.lower(), "message": problem.message}


def _path(name: str) -> str:
    """A path or a ``file:`` URI as the project's path."""
    if not name.startswith("file:"):
        return name
    path = unquote(urlsplit(name).path)
    if path[2:3] == ":" and path[0] == "/":         # /C:/...
        path = path[1].upper() + path[2:]
    return path


async def assembles(asar: Asar, sample: Mapping[str, Any]) -> str | None:
    """None to keep, else the drop reason. Judged in place of the text it was made for where the sample has that, with
    labels stood in for and whatever only its project could tell left alone; nothing is dropped without Asar."""
    text = _first(sample, "target", "output", "settled", "accepted")
    if not text.strip():
        return None
    before = _first(sample, "prefix", "base_text", "context")
    after = _first(sample, "suffix")
    mapper = _first(sample, "mapper", "mapping_mode")
    if mapper:
        before = f"{mapper}\n{before}"
    parsed = parse_text("/sample.asm", SourceText.of(before + after))
    project = Project().with_file(parsed)
    try:
        verdict = await verify_text(asar, project, parsed, Span(len(before), len(before)), text, FILTER_SECONDS)
    except (Absent, WorkerError):
        return None
    if verdict is None or verdict.ok:
        return None
    return f"does not assemble ({asar.name}): {verdict.reasons[0].code}: {verdict.reasons[0].message}"


def _first(sample: Mapping[str, Any], *keys: str) -> str:
    for key in keys:
        value = sample.get(key)
        if isinstance(value, str) and value:
            return value
    return ""
