"""What the training tests share: one tiny base, one real Ollama, one data folder; all made once per session."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from nayru_train import config as configuration
from nayru_train import processes, rehearsal
from nayru_train.config import RunConfig
from tests.kit import require
from tests.ollama_server import serving

# Smaller than the rehearsal's own: two layers, a third of the steps.
TINY = ("tiny.layers=2", "tiny.steps=220", "tiny.projects=6")


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The trainer's data folder. NAYRU_TRAIN_DATA=FOLDER keeps the base between sessions."""
    folder = tmp_path_factory.mktemp("train")
    if kept := os.environ.get("NAYRU_TRAIN_DATA"):
        (Path(kept) / "rehearsal").mkdir(parents=True, exist_ok=True)
        (folder / "rehearsal").symlink_to(Path(kept) / "rehearsal", target_is_directory=True)
    return folder


@pytest.fixture(scope="session")
def settings(data: Path) -> tuple[str, ...]:
    return (*TINY, f"folder={data}", "collect.use_store=false")


@pytest.fixture(scope="session")
def tiny(data: Path, settings: tuple[str, ...]) -> RunConfig:
    """A rehearsal's configuration whose base is made."""
    require("train")
    config = configuration.load(None, settings, rehearsal=True)
    processes.call("nayru_train.rehearsal:ensure_base", data, config.tiny, config.collect, 1, threads=1)
    return config


@pytest.fixture(scope="session")
def base_folder(data: Path, tiny: RunConfig) -> Path:
    return rehearsal.base_folder(data, tiny.tiny) / "model"


@pytest.fixture(scope="session")
def ollama_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real Ollama server of our own: own port, own models, no vendor."""
    binary = require("ollama")
    if os.environ.get("NAYRU_OLLAMA_URL"):
        yield os.environ["NAYRU_OLLAMA_URL"]
        return
    with serving(binary, tmp_path_factory.mktemp("ollama")) as url:
        yield url
