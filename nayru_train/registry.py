"""Versions of the model, the alias that editors use, promotion and rollback. One JSON file; Ollama holds the models.

A version is never changed once written. The alias is moved with Ollama's own copy call and read back by digest. A model
of that name which this registry did not make is kept under another name before the alias is first moved.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import msgspec

from nayru_train.ollama_api import Ollama, OllamaError
from nayru_train.progress import say
from nayru_train.sample import DataError


class Version(msgspec.Struct, frozen=True):
    """``models``: form ("merged", "adapter") -> [Ollama name, digest]; ``served`` is the form that was judged.
    ``weights``: the merged folder, for the next comparison. ``control``: made to be refused."""

    name: str
    run: str
    parent: str
    served: str
    models: dict[str, list[str]]
    weights: str
    created: float
    manifest: str = ""
    outcome: str = ""
    control: str = ""

    @property
    def model(self) -> str:
        return self.models[self.served][0]

    @property
    def digest(self) -> str:
        return self.models[self.served][1]


class Move(msgspec.Struct, frozen=True):
    """The alias came to name ``version`` ("" = a model that is not ours, kept as ``model``)."""

    version: str
    model: str
    digest: str
    at: float
    why: str


class Registry(msgspec.Struct):
    versions: dict[str, Version] = {}
    moves: dict[str, list[Move]] = {}


def load(path: Path) -> Registry:
    if not path.exists():
        return Registry()
    try:
        return msgspec.json.decode(path.read_bytes(), type=Registry)
    except (OSError, msgspec.DecodeError) as error:
        raise DataError(f"cannot read the registry {path}: {error}") from None


def save(path: Path, registry: Registry) -> None:
    temporary = path.with_name(path.name + ".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(msgspec.json.format(msgspec.json.encode(registry, order="sorted"), indent=1))
        os.replace(temporary, path)
    except OSError as error:
        raise DataError(f"cannot write the registry {path}: {error.strerror or error}") from None


def next_name(registry: Registry, alias: str) -> str:
    """``nayru-v1``, ``nayru-v2`` ...: one more than the highest number given out."""
    numbers = [int(name.rpartition("-v")[2]) for name in registry.versions
               if name.startswith(f"{alias}-v") and name.rpartition("-v")[2].isdigit()]
    return f"{alias}-v{max(numbers, default=0) + 1}"


def current(registry: Registry, alias: str) -> Move | None:
    moves = registry.moves.get(alias)
    return moves[-1] if moves else None


def promote(path: Path, ollama: Ollama, alias: str, version: str, why: str) -> Move:
    """Let ``alias`` name ``version``, in Ollama and here. Raises OllamaError, DataError."""
    registry = load(path)
    chosen = registry.versions.get(version)
    if chosen is None:
        raise DataError(f"there is no version {version}; `nayru-train status` lists them")
    if chosen.control:
        raise DataError(f"{version} was made with prepare.control={chosen.control}, to test the gate; it is never "
                        "promoted")
    return _move(path, registry, ollama, alias, version, chosen.model, chosen.digest, why)


def rollback(path: Path, ollama: Ollama, alias: str) -> Move:
    """Let ``alias`` name what it named before the last move. Raises DataError when there is nothing before."""
    registry = load(path)
    moves = registry.moves.get(alias, [])
    now = moves[-1] if moves else None
    back = next((move for move in reversed(moves[:-1]) if now is not None and move.digest != now.digest), None)
    if back is None:
        raise DataError(f"{alias} has named nothing else before; there is nothing to go back to")
    return _move(path, registry, ollama, alias, back.version, back.model, back.digest, "rollback")


def _move(path: Path, registry: Registry, ollama: Ollama, alias: str, version: str, model: str, digest: str,
          why: str) -> Move:
    held = ollama.digest(alias)
    moves = registry.moves.setdefault(alias, [])
    if held and held not in {move.digest for move in moves} | {digest}:
        kept = f"{alias}-before-{held.removeprefix('sha256:')[:8]}"
        ollama.copy(alias, kept)
        moves.append(Move("", kept, held, time.time(), "found in Ollama under this name; kept"))
        save(path, registry)
        say("promote", f"{alias} named a model made elsewhere; it is kept as {kept}")
    if ollama.digest(model) != digest:
        raise OllamaError(f"Ollama's {model} is not the model that was registered ({digest[:12]}); register it again")
    ollama.copy(model, alias)
    if ollama.digest(alias) != digest:
        raise OllamaError(f"Ollama did not take {model} as {alias}; see Ollama's own log")
    moves.append(Move(version, model, digest, time.time(), why))
    save(path, registry)
    return moves[-1]


def describe(registry: Registry) -> list[dict[str, Any]]:
    """Rows for `nayru-train status`: newest first, with the aliases that name each version."""
    named: dict[str, list[str]] = {}
    for alias in registry.moves:
        if move := current(registry, alias):
            named.setdefault(move.version, []).append(alias)
    return [{"version": version.name, "aliases": named.get(version.name, []), "outcome": version.outcome or "-",
             "parent": version.parent, "served": version.served, "digest": version.digest[:12], "run": version.run}
            for version in sorted(registry.versions.values(), key=lambda item: -item.created)]
