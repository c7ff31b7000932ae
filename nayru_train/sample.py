"""Samples: what training rows are made of. A sample's id is the hash of its content; JSONL in and out.

``Sample`` here is the trainer's: a prompt's parts and the text that should follow, with licence and provenance. The
editor's own records (`nayru_lsp.samples`) are one of its sources.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Literal

import msgspec


class DataError(Exception):
    """Data cannot be used; ``str()`` says which file and line, and what is wrong."""


class Sample(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One row. Completion rows have ``prefix``/``suffix`` and no instruction, generation rows the reverse.

    ``target``: the text that should be produced, without the end token. ``source``: "store", "jsonl", "checkout" or
    "generated". ``origin``: the store's sample id, else "file:line". ``family``: the routine family, never split
    over train and test. ``cluster``: the file, the unit of resampling in the gate. ``digest``: the model that
    suggested the text, "" when a person wrote it. ``prompt``: the very prompt that was sent, where it is known.
    """

    kind: Literal["completion", "generation"]
    target: str
    prefix: str = ""
    suffix: str = ""
    instruction: str = ""
    input: str = ""
    prompt: str = ""
    project: str = ""
    path: str = ""
    line: int = 0
    licence: str = "unstated"
    source: str = ""
    origin: str = ""
    family: str = ""
    cluster: str = ""
    digest: str = ""
    widths: str = ""
    renderer: str = ""
    id: str = ""

    @property
    def texts(self) -> tuple[str, ...]:
        return (self.prompt, self.prefix, self.suffix, self.instruction, self.input, self.target)


def canonical(value: Any) -> bytes:
    """Canonical JSON: sorted keys, no spaces, UTF-8. Equal values give equal bytes."""
    return msgspec.json.encode(value, order="sorted")


def digest_of(value: Any) -> str:
    return hashlib.sha256(canonical(value)).hexdigest()


def sealed(sample: Sample) -> Sample:
    """The sample with its id: the hash of kind, prompt parts and target."""
    return msgspec.structs.replace(sample, id=digest_of([sample.kind, *sample.texts])[:32])


def write_jsonl(path: Path, rows: Iterable[Any]) -> int:
    """Write rows as canonical JSON lines, replacing the file as a whole. The result is the number of rows."""
    count = 0
    temporary = path.with_name(path.name + ".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as out:
            for row in rows:
                out.write(canonical(row) + b"\n")
                count += 1
        os.replace(temporary, path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise DataError(f"cannot write {path}: {error.strerror or error}") from None
    return count


def read_samples(path: Path) -> list[Sample]:
    return [sample for _, sample in _decoded(path, Sample)]


def read_rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """(line number, row) of a JSONL file of objects; blank lines are skipped. Raises DataError with the line."""
    yield from _decoded(path, dict[str, Any])


def _decoded(path: Path, kind: Any) -> Iterator[tuple[int, Any]]:
    decoder = msgspec.json.Decoder(kind)
    try:
        with path.open("rb") as lines:
            for number, line in enumerate(lines, 1):
                if not line.strip():
                    continue
                try:
                    yield number, decoder.decode(line)
                except (msgspec.DecodeError, UnicodeDecodeError) as error:
                    raise DataError(f"{path}, line {number}: {error}") from None
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}") from None


def file_hash(path: Path) -> str:
    """sha256 of a file, or of a folder's files (names and contents, sorted)."""
    if path.is_dir():
        parts = [[str(item.relative_to(path)).replace("\\", "/"), file_hash(item)]
                 for item in sorted(path.rglob("*")) if item.is_file()]
        return digest_of(parts)
    sha = hashlib.sha256()
    with path.open("rb") as data:
        while chunk := data.read(1 << 20):
            sha.update(chunk)
    return sha.hexdigest()
