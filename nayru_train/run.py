"""A run: a folder with a marker per finished stage, so that any stage can be interrupted and asked for again.

A stage is done when its marker exists, names the same inputs (settings, the stage before, versions) and its outputs
are there. The marker is written last.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from nayru_train import manifest
from nayru_train.config import RunConfig, data_folder
from nayru_train.progress import say
from nayru_train.sample import DataError, canonical, digest_of, file_hash

STAGES = ("collect", "prepare", "train", "merge", "export", "register", "eval", "promote")


class Stage(NamedTuple):
    """``sections``: the parts of the configuration that the result depends on; ``outputs``: paths in the run folder."""

    name: str
    work: Callable[[Run], dict[str, Any]]
    sections: tuple[str, ...]
    outputs: tuple[str, ...]


class Run:
    """``name``'s folder below the data folder. Made on first use, with the configuration beside it."""

    def __init__(self, name: str, config: RunConfig) -> None:
        self.name = name
        self.config = config
        self.data = data_folder(config)
        self.folder = self.data / "runs" / name
        self.registry = self.data / "registry.json"
        try:
            (self.folder / "stages").mkdir(parents=True, exist_ok=True)
            _write(self.folder / "config.json", canonical(msgspec.to_builtins(config)))
        except OSError as error:
            raise DataError(f"cannot write the run folder {self.folder}: {error.strerror or error}; choose another "
                            "with folder=PATH") from None

    def path(self, *parts: str) -> Path:
        return self.folder.joinpath(*parts)

    def record(self, stage: str) -> dict[str, Any]:
        """What ``stage`` wrote down. Raises DataError when it is not done."""
        marker = self._marker(stage)
        if marker is None:
            raise DataError(f"stage {stage} of run {self.name} is not done; `nayru-train {stage} --run {self.name}`")
        return dict(marker["record"])

    def do(self, stage: Stage) -> dict[str, Any]:
        """Do ``stage`` unless it is done. The earlier stages must be."""
        before = self._before(stage.name)
        key = digest_of([stage.name, before, self._settings(stage)])
        marker = self._marker(stage.name)
        if marker and marker["key"] == key and all(self.path(*name.split("/")).exists() for name in stage.outputs):
            say(stage.name, "done before")
            return dict(marker["record"])
        self._undo_from(stage.name)
        started = time.monotonic()
        record = stage.work(self)
        outputs = {name: file_hash(self.path(*name.split("/"))) for name in stage.outputs}
        seconds = round(time.monotonic() - started, 1)
        _write(self.path("stages", f"{stage.name}.json"), canonical(
            {"stage": stage.name, "key": key, "record": record, "outputs": outputs, "seconds": seconds}))
        self.write_manifest()
        say(stage.name, f"done in {seconds:.0f} s")
        return record

    def finished(self) -> bool:
        return self._marker("promote") is not None

    def write_manifest(self) -> None:
        """The manifest as far as the run has come."""
        environment = self._environment()
        settings = msgspec.to_builtins(self.config)
        links = [manifest.entry(manifest.FIRST, "run", {
            "seed": self.config.seed, "config": digest_of(settings), "environment": digest_of(environment)})]
        for name in STAGES:
            marker = self._marker(name)
            if marker is None:
                break
            links.append(manifest.entry(links[-1]["hash"], name, {
                key: marker[key] for key in ("key", "record", "outputs", "seconds")}))
        head: dict[str, Any] = {"run": self.name, "config": settings, "environment": environment}
        rows = self.path("prepare", "rows.json")
        if rows.exists():
            head["rows"] = msgspec.json.decode(rows.read_bytes())
            counts: dict[str, int] = {}
            for row in head["rows"]:
                counts[row[3]] = counts.get(row[3], 0) + 1
            head["licences"] = {"base": {"model": self.config.train.base, "licence": self.config.train.base_licence},
                                "rows": counts}
        manifest.write(self.path("manifest.json"), links, head)

    def need_room(self, gigabytes: float, what: str) -> None:
        """Raises DataError where the disk has less room than ``what`` takes."""
        free = shutil.disk_usage(self.folder).free / 1e9
        if free < gigabytes:
            raise DataError(f"{what} takes some {gigabytes:.1f} GB and {self.folder} has {free:.1f} GB left; free some "
                            "room or choose another folder with folder=PATH")

    # --- inside --------------------------------------------------------------------------------------------------

    def _environment(self) -> dict[str, Any]:
        path = self.path("environment.json")
        if not path.exists():
            _write(path, canonical(manifest.environment()))
        return dict(msgspec.json.decode(path.read_bytes()))

    def _settings(self, stage: Stage) -> list[Any]:
        return [[name, msgspec.to_builtins(getattr(self.config, name))] for name in ("seed", *stage.sections)]

    def _before(self, stage: str) -> str:
        at = STAGES.index(stage)
        if at == 0:
            return manifest.FIRST
        marker = self._marker(STAGES[at - 1])
        if marker is None:
            raise DataError(f"stage {STAGES[at - 1]} comes before {stage} and is not done; run `nayru-train "
                            f"{STAGES[at - 1]} --run {self.name}`")
        return digest_of([marker["key"], marker["outputs"]])

    def _marker(self, stage: str) -> dict[str, Any] | None:
        path = self.path("stages", f"{stage}.json")
        try:
            return dict(msgspec.json.decode(path.read_bytes()))
        except (OSError, msgspec.DecodeError, ValueError):
            return None

    def _undo_from(self, stage: str) -> None:
        """What is done anew takes back what was built on it."""
        for name in STAGES[STAGES.index(stage) :]:
            self.path("stages", f"{name}.json").unlink(missing_ok=True)


def _write(path: Path, data: bytes) -> None:
    temporary = path.with_name(path.name + ".part")
    temporary.write_bytes(data)
    os.replace(temporary, path)


def choose(name: str, config: RunConfig) -> Run:
    """The run called ``name``; without a name the newest unfinished run with these settings, else a new one."""
    if name:
        if not name.replace("-", "").replace("_", "").replace(".", "").isalnum() or name.startswith("."):
            raise DataError(f"{name!r} is no run name: letters, digits, - and _ only")
        return Run(name, config)
    folder = data_folder(config) / "runs"
    wanted = canonical(msgspec.to_builtins(config))
    for place in sorted(folder.glob("*"), reverse=True) if folder.is_dir() else ():
        saved = place / "config.json"
        if saved.exists() and saved.read_bytes() == wanted and not (place / "stages" / "promote.json").exists():
            say("run", f"going on with {place.name}")
            return Run(place.name, config)
    stamp = time.strftime("%Y%m%d-%H%M%S")
    return Run(f"{stamp}-{digest_of(msgspec.to_builtins(config))[:6]}", config)


def reopen(name: str, folder: Path) -> RunConfig | None:
    """The configuration of an existing run, None when there is no such run."""
    path = folder / "runs" / name / "config.json"
    return msgspec.json.decode(path.read_bytes(), type=RunConfig) if path.exists() else None
