"""Where samples come from: the editor's sample store, instruction JSONL files, assembly checkouts. All with provenance.

Nothing is judged here: filters, duplicates and the split are `prepare`'s work. What cannot be read is named.
"""

from __future__ import annotations

import hashlib
import posixpath
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from nayru_lsp import files, prompt
from nayru_lsp.asm.facts import FactTable
from nayru_lsp.asm.parser import parse_text
from nayru_lsp.asm.project import Project
from nayru_lsp.asm.text import SourceText, Span
from nayru_lsp.assist import context
from nayru_lsp.config import Config
from nayru_lsp.samples import SampleStore
from nayru_lsp.snapshot import Client, Snapshot
from nayru_train import split
from nayru_train.config import CollectConfig
from nayru_train.sample import DataError, Sample, read_rows, sealed

DATA_WORDS = frozenset({"DB", "DW", "DL", "DD", "INCBIN", "FILL", "PAD", "FILLBYTE", "PADBYTE", "TABLE"})
POSITIONS_PER_FILE = 24         # so that one long file does not make up a whole training set
POSITIONS_PER_PROJECT = 6000
STORE_TOKENS = 1200             # of a prompt that has to be laid out anew
BYTES_PER_TOKEN = 2.5           # of what is no digit, for Qwen's tokenizer on assembly; the server calibrates its own


@dataclass(slots=True)
class Collected:
    """``families``: family -> representative (near copies joined). ``unread``: (file, why)."""

    samples: list[Sample] = field(default_factory=list)
    families: dict[str, str] = field(default_factory=dict)
    unread: list[tuple[str, str]] = field(default_factory=list)


# --- the editor's store ----------------------------------------------------------------------------------------

def from_store(path: Path, licence: str) -> tuple[list[Sample], frozenset[str]]:
    """Settled samples of ``path`` and the ids that the user deleted. Raises DataError when there is no such file."""
    if not path.exists():
        raise DataError(f"there is no sample store {path}; accept suggestions in the editor first, or name another "
                        "with collect.store=FILE")
    store = SampleStore(path)
    try:
        rows = [sample for row in store.export() if (sample := _from_export(row, licence, str(path)))]
        return rows, store.tombstones()
    finally:
        store.close()


def _from_export(row: Mapping[str, Any], licence: str, origin: str) -> Sample | None:
    """A row as `SampleStore.export` gives it; None when it holds no settled text or no consent."""
    settled = str(row.get("settled") or "")
    if not settled.strip() or not row.get("consent"):
        return None
    workspace = files.normal(str(row.get("workspace") or "/")).rstrip("/")
    absolute = files.normal(str(row.get("path") or "/"))
    shown = absolute[len(workspace) + 1 :] if files.is_below(absolute, workspace) else posixpath.basename(absolute)
    project = posixpath.basename(workspace) or "project"
    prefix = str(row.get("prefix") or "")
    given = ""
    if str(row.get("renderer") or "") == prompt.RENDERER:
        given = _where_it_stands(str(row.get("prompt") or ""), prefix)
    if not given and row.get("kind") != "routine":      # made by the embedded predictor, or before prompts changed
        given = laid_out(prefix, str(row.get("suffix") or ""), shown, project)
    return sealed(Sample(
        kind="generation" if row.get("kind") == "routine" else "completion",
        target=settled, prefix=prefix, suffix=str(row.get("suffix") or ""),
        instruction=str(row.get("instruction") or "") if row.get("kind") == "routine" else "",
        # The very prompt that was sent is the best one to train on, as long as prompts still have that form.
        prompt=given,
        project=project, path=shown, line=prefix.count("\n") + 1, licence=str(row.get("licence") or licence),
        source="store", origin=str(row.get("id") or origin), digest=str(row.get("digest") or ""),
        widths=str(row.get("widths") or ""), renderer=str(row.get("renderer") or ""),
        family=split.family_key(project, shown, split.routine_name(prefix)), cluster=f"{project}/{shown}"))


def laid_out(prefix: str, suffix: str, shown: str, project: str, tokens: int = STORE_TOKENS) -> str:
    """The prompt that the server would send for the end of ``prefix``, as far as the text itself tells: window and
    register widths, but no symbols of other files."""
    file = parse_text(f"/{project}/{shown}", SourceText.of(prefix + suffix))
    snapshot = Snapshot(Project().with_file(file), Config(), Client(), "utf-16", FactTable(), 0)
    kept = context.fit(context.fragments(snapshot, file, len(prefix)), int(tokens * context.FRAGMENT_SHARE),
                       BYTES_PER_TOKEN)
    part = context.window(file, len(prefix), tokens=int(tokens * (1 - context.FRAGMENT_SHARE)), rate=BYTES_PER_TOKEN)
    return prompt.fim(part.prefix, part.suffix, path=shown, repo=project, fragments=kept)


def _where_it_stands(sent: str, prefix: str) -> str:
    """The prompt as it would be sent for the place where the text was taken. An offer may come from the cache of an
    earlier place: then what was typed since is added to its prefix. "" when the two do not fit together."""
    if prompt.FIM_PREFIX not in sent:
        return sent
    head, _, rest = sent.partition(prompt.FIM_PREFIX)
    segment, _, tail = rest.partition(prompt.FIM_SUFFIX)
    before = prompt.plain(prefix)
    if segment.endswith(before):
        return sent
    at = before.rfind(segment) if segment else -1
    return f"{head}{prompt.FIM_PREFIX}{before[at:]}{prompt.FIM_SUFFIX}{tail}" if at >= 0 else ""


# --- instruction rows ------------------------------------------------------------------------------------------

def from_jsonl(path: Path, licence: str) -> Iterator[Sample]:
    """instruction/input/output rows; rows that `nayru samples export` wrote keep all that is known of them."""
    for number, row in read_rows(path):
        if "settled" in row and "kind" in row:
            if exported := _from_export(row, licence, f"{path.name}:{number}"):
                yield exported
            continue
        instruction, output = row.get("instruction"), row.get("output")
        if not isinstance(instruction, str) or not isinstance(output, str) or not output.strip():
            raise DataError(f"{path}, line {number}: a row needs the texts 'instruction' and 'output'")
        origin = f"{path.name}:{number}"
        family = split.family_key(path.stem, origin, split.routine_name(output + "\n"))
        yield sealed(Sample(
            kind="generation", instruction=instruction, input=str(row.get("input") or ""), target=output,
            licence=str(row.get("licence") or licence), source="jsonl", origin=origin, project=path.stem,
            path=str(row.get("path") or ""), family=family, cluster=family))


# --- checkouts -------------------------------------------------------------------------------------------------

def from_checkout(folder: Path, config: CollectConfig, seed: int, *, source: str = "checkout", project: str = "",
                  licence: str = "", per_file: int = POSITIONS_PER_FILE) -> Collected:
    """Next-line rows from the assembly files below ``folder``: for each chosen line of code, the text before it, the
    text after it and the line itself. The choice depends on ``seed`` and the lines' places alone."""
    if not folder.is_dir():
        raise DataError(f"there is no folder {folder}")
    root = files.normal(str(folder))
    fence = files.Fence((root,))
    name = project or posixpath.basename(root)
    out = Collected()
    texts: dict[str, list[str]] = {}
    places: dict[str, list[str]] = {}
    bodies: dict[str, str] = {}
    for path in sorted(files.sources_below(root, fence)):
        shown = path[len(root) + 1 :]
        try:
            source_text = fence.read(path)
        except (files.Refused, OSError) as error:
            out.unread.append((shown, str(error)))
            continue
        if source_text.problems:
            out.unread.append((shown, source_text.problems[0].message))
            continue
        lines = source_text.text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
        texts[shown] = lines
        places[shown] = [f"{shown}:{number}" for number, line in enumerate(lines, 1) if is_code(line)]
        for routine, body in split.routines("\n".join(lines)):
            key = split.family_key(name, shown, routine)
            bodies[key] = bodies.get(key, "") + body + "\n"
    out.families = split.join_near_copies(bodies, 0.7)
    for place in split.spread(places, per_file, POSITIONS_PER_PROJECT, seed):
        shown, _, number = place.rpartition(":")
        out.samples.append(_next_line(texts[shown], int(number), shown, name, config, source,
                                      licence or config.licence))
    if config.prompt_tokens:
        out.samples = _as_served(out.samples, root, texts, config.prompt_tokens)
    return out


def _as_served(samples: list[Sample], root: str, texts: Mapping[str, list[str]], tokens: int) -> list[Sample]:
    """The samples with the prompts that the server would send while their line is not there yet: same window, same
    fragments, same layout (`nayru_lsp.assist.context`), in ``tokens`` at most. Plugins' fragments are left out."""
    parsed = {shown: parse_text(f"{root}/{shown}", SourceText.of("\n".join(lines))) for shown, lines in texts.items()}
    project = Project().with_files(parsed.values())
    out = []
    for sample in samples:
        whole = parsed[sample.path]
        end = whole.text.line_end(sample.line - 1)
        start = end - len(whole.text.line(sample.line - 1)[_indent(sample) :])
        without = parse_text(whole.path, whole.text.replace(Span(start, end), ""), previous=whole)
        snapshot = Snapshot(project.with_file(without), Config(), Client(), "utf-16", FactTable(), 0)
        text = context.fim_prompt(snapshot, whole.path, start, context.fragments(snapshot, without, start),
                                  num_ctx=tokens * 4 // 3, rate=BYTES_PER_TOKEN)
        out.append(sealed(msgspec.structs.replace(sample, prompt=text, renderer=prompt.RENDERER)))
    return out


def _indent(sample: Sample) -> int:
    """How far into its line a next-line row begins: behind the indentation, or at the line's start."""
    return len(sample.prefix) - (sample.prefix.rfind("\n") + 1)


def is_code(line: str) -> bool:
    """An instruction, directive or macro call: no blank line, comment, label alone, assignment or row of data."""
    bare = line.partition(";")[0].strip()
    if not bare or bare.endswith(":") or "=" in bare or bare[0] in "}{":
        return False
    return bare.split()[0].split(".")[0].upper() not in DATA_WORDS and len(bare) < 120


def _next_line(lines: list[str], number: int, shown: str, project: str, config: CollectConfig, source: str,
               licence: str) -> Sample:
    at = number - 1
    line = lines[at]
    indent = line[: len(line) - len(line.lstrip())]
    # Editors put the cursor behind the indentation or at the line's start: both forms are learnt.
    if hashlib.sha256(f"{shown}:{number}".encode()).digest()[0] % 4 == 0:
        indent = ""
    before = lines[max(0, at - config.prefix_lines) : at]
    after = lines[at + 1 : at + 1 + config.suffix_lines]
    family = split.family_key(project, shown, split.routine_name("\n".join(lines[:at]) + "\n"))
    return sealed(Sample(
        kind="completion", prefix="".join(f"{one}\n" for one in before) + indent,
        suffix="".join(f"\n{one}" for one in after), target=line[len(indent) :].rstrip(), project=project, path=shown,
        line=number, licence=licence, source=source, origin=f"{project}/{shown}:{number}", family=family,
        cluster=f"{project}/{shown}"))
