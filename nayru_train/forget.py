"""Deletion that reaches the trainer: no byte of a deleted sample's text stays in prepared sets and run folders.

What stays: ids and hashes, in manifests and tombstones. Weights that were trained on the text cannot forget it; the
versions concerned are named, so that the user can train anew and drop them.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from nayru_train.sample import DataError, canonical

TEXTS = ("target", "prompt", "prefix", "suffix", "instruction", "input", "output", "settled", "accepted", "offered",
         "base")

LEAST_TEXT = 8      # a shorter text (`RTS`) is nobody's in particular


class Purged(NamedTuple):
    """``versions``: manifests (run names) whose model was trained on a deleted sample."""

    rows: int
    files: tuple[str, ...]
    versions: tuple[str, ...]


def purge(data_folder: Path, ids: Iterable[str], texts: Iterable[str] = ()) -> Purged:
    """Remove the samples with these ids (of the store or of rows) from every row file below ``data_folder``, and with
    them other rows of the same project whose text holds theirs: a neighbour's context is a copy too. ``texts``: more
    texts that must go, in whatever project; give the deleted samples' own where they are still known.

    Each file is replaced as a whole. Raises DataError for a file that cannot be rewritten; calling again is harmless.
    """
    wanted = frozenset(ids)
    files = sorted(path for path in data_folder.rglob("*.jsonl*") if path.is_file()) if data_folder.is_dir() else []
    told: set[tuple[str | None, str]] = {(None, text.strip()) for text in texts if len(text.strip()) >= LEAST_TEXT}
    for path in files:
        for row in _rows(path):
            if _is(row, wanted):
                told |= {(str(row.get("project", "")), text) for name in ("target", "settled", "accepted", "offered")
                         if (text := str(row.get(name) or "").strip())}
    removed, changed = 0, []
    for path in files:
        if path.name.endswith(".part"):
            path.unlink()       # left by a run that was killed while it wrote
            continue
        rows = list(_rows(path))
        kept = [row for row in rows if not _is(row, wanted) and not _holds(row, told)]
        if len(kept) < len(rows):
            removed += len(rows) - len(kept)
            changed.append(str(path))
            _rewrite(path, kept)
    manifests = sorted(data_folder.rglob("manifest.json")) if data_folder.is_dir() else []
    versions = [path.parent.name for path in manifests if deleted_rows(path.parent, wanted)]
    return Purged(removed, tuple(changed), tuple(versions))


def deleted_rows(run_folder: Path, ids: frozenset[str]) -> int:
    """How many of the samples ``ids`` the run in ``run_folder`` was trained on, by its manifest."""
    try:
        manifest = msgspec.json.decode((run_folder / "manifest.json").read_bytes())
    except (OSError, msgspec.DecodeError):
        return 0
    return len({row[2] if row[2] in ids else row[0] for row in manifest.get("rows", ())
                if row[0] in ids or row[2] in ids})


def _rows(path: Path) -> Iterable[dict[str, Any]]:
    for line in path.read_bytes().split(b"\n"):
        if line.strip():
            try:
                row = msgspec.json.decode(line)
            except msgspec.DecodeError:
                continue            # half a line of a killed run: dropped when the file is rewritten
            if isinstance(row, dict):
                yield row


def _is(row: dict[str, Any], ids: frozenset[str]) -> bool:
    return row.get("id") in ids or row.get("origin") in ids


def _holds(row: dict[str, Any], told: set[tuple[str | None, str]]) -> bool:
    whole = "\n".join(str(row.get(name) or "") for name in TEXTS)
    project = str(row.get("project", ""))
    return any((theirs is None or theirs == project) and text in whole for theirs, text in told)


def _rewrite(path: Path, rows: list[dict[str, Any]]) -> None:
    temporary = path.with_name(path.name + ".purge")
    try:
        temporary.write_bytes(b"".join(canonical(row) + b"\n" for row in rows))
        os.replace(temporary, path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise DataError(f"cannot rewrite {path}: {error.strerror or error}") from None
