"""The manifest of a run: canonical JSON, each stage's entry chained to the one before by hash.

It leads from sample ids and data-set hashes over configuration, library versions and seed to the digest in Ollama and
the gate's ruling, and names the licence of the base and of every row. It holds no text of any sample.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from nayru_train import libraries
from nayru_train.sample import DataError, Sample, canonical, digest_of, file_hash

FORM = 1
FIRST = "0" * 64


def entry(previous: str, stage: str, body: Mapping[str, Any]) -> dict[str, Any]:
    """A link of the chain: its hash covers the hash before it."""
    link = {"stage": stage, "previous": previous, "body": dict(body)}
    return {**link, "hash": digest_of(link)}


def broken(manifest: Mapping[str, Any]) -> list[str]:
    """What does not hold in a manifest's chain, [] when it is whole."""
    wrong, previous = [], FIRST
    for link in manifest.get("chain", ()):
        expected = digest_of({"stage": link["stage"], "previous": link["previous"], "body": link["body"]})
        if link["previous"] != previous:
            wrong.append(f"{link['stage']} does not follow what stands before it")
        if link["hash"] != expected:
            wrong.append(f"{link['stage']} was changed after it was written")
        previous = link["hash"]
    bodies = {link["stage"]: link["body"] for link in manifest.get("chain", ())}
    for name in ("config", "environment"):
        if bodies.get("run", {}).get(name) != digest_of(manifest.get(name)):
            wrong.append(f"the {name} is not the one that the run began with")
    if "prepare" in bodies and bodies["prepare"]["outputs"].get("prepare/rows.json") != digest_of(manifest.get("rows")):
        wrong.append("the rows are not those that were prepared")
    if manifest.get("head") != previous:
        wrong.append("the head is not the last link's hash")
    return wrong


def environment() -> dict[str, Any]:
    """Library versions, machine and the hash of the trainer's own code and prompts."""
    package = Path(__file__).parent
    own = [[path.name, file_hash(path)] for path in sorted(package.rglob("*.py"))]
    rendered = package.parent / "nayru_lsp" / "prompt.py"
    return {"versions": libraries.versions(), "system": platform.system(), "machine": platform.machine(),
            "processors": os.cpu_count(), "code": digest_of([own, file_hash(rendered) if rendered.exists() else ""])}


def rows(samples: Iterable[Sample]) -> list[list[str]]:
    """[id, source, origin, licence] of every row, sorted."""
    return sorted([sample.id, sample.source, sample.origin, sample.licence] for sample in samples)


def write(path: Path, links: Sequence[Mapping[str, Any]], head: Mapping[str, Any]) -> None:
    """Write the manifest as a whole or not at all."""
    last = links[-1]["hash"] if links else FIRST
    temporary = path.with_name(path.name + ".part")
    try:
        temporary.write_bytes(canonical({"form": FORM, **head, "chain": list(links), "head": last}) + b"\n")
        os.replace(temporary, path)
    except OSError as error:
        raise DataError(f"cannot write {path}: {error.strerror or error}") from None


def read(path: Path) -> dict[str, Any]:
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[str, Any])
    except (OSError, msgspec.DecodeError) as error:
        raise DataError(f"cannot read {path}: {error}") from None
