"""What the training tests share: one tiny base, one real Ollama, one data folder; all made once per session."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from nayru_train import config as configuration
from nayru_train import processes, rehearsal
from nayru_train.config import RunConfig
from tests.kit import require

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
    home = tmp_path_factory.mktemp("ollama")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    with (home / "log").open("wb") as log:
        server = subprocess.Popen([str(binary), "serve"], stdout=log, stderr=log, env={
            **os.environ, "OLLAMA_HOST": f"127.0.0.1:{port}", "OLLAMA_MODELS": str(home / "models"), "HOME": str(home),
            "OLLAMA_NO_CLOUD": "1"})
    try:
        deadline = time.monotonic() + 30
        while True:
            try:
                httpx.get(f"{url}/api/version", timeout=1.0, trust_env=False)
                break
            except httpx.HTTPError:
                assert server.poll() is None and time.monotonic() < deadline, (home / "log").read_text()[-2000:]
        yield url
    finally:
        server.terminate()
        try:
            server.wait(10)
        except subprocess.TimeoutExpired:
            server.kill()
