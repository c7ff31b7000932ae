"""A real ``ollama serve`` for tests: a free port, a model folder of its own, nothing but this machine."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from nayru_lsp.assist import ollama_client
from nayru_lsp.config import OllamaConfig
from tests import tiny_model
from tests.kit import require

COMPLETION = "LDA.b #$0F\n    STA.w $2100\n    RTS\n"
ROUTINE = "WaitVBlank:\n    BIT.w $4212\n    BPL WaitVBlank\n    RTS\n"


@dataclass(frozen=True)
class OllamaServer:
    url: str
    folder: Path

    def config(self, **changes: object) -> OllamaConfig:
        return OllamaConfig(**{"url": self.url, **changes})  # type: ignore[arg-type]

    def make(self, name: str, *, completion: str = COMPLETION, routine: str = ROUTINE, stop: bool = True,
             context_length: int = 4096) -> str:
        """Register a model that says ``completion`` and ``routine``; returns its digest."""
        file = tiny_model.write(self.folder / f"{name}.gguf", completion=completion, routine=routine, stop=stop,
                                context_length=context_length)
        return asyncio.run(ollama_client.create(self.config(), name=name, from_=str(file)))


_RUNNING = pytest.StashKey[OllamaServer]()


@pytest.fixture(scope="session")
def ollama_server(request: pytest.FixtureRequest) -> OllamaServer:
    """One server for the whole session, whichever test modules ask for it. The model ``nayru`` is there."""
    stash = request.config.stash
    if _RUNNING not in stash:
        stash[_RUNNING] = _start(request.config)
    return stash[_RUNNING]


@contextmanager
def serving(binary: Path, folder: Path) -> Iterator[str]:
    """The address of a real ``ollama serve`` that answers: a free port, its models and home below ``folder``, no
    vendor. Ended on leaving."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    env = {key: value for key, value in os.environ.items() if not key.upper().startswith("OLLAMA")}
    env |= {"OLLAMA_HOST": f"127.0.0.1:{port}", "OLLAMA_MODELS": str(folder / "models"), "OLLAMA_NO_CLOUD": "1",
            "HOME": str(folder), "USERPROFILE": str(folder), "OLLAMA_NUM_PARALLEL": "1"}
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([str(binary), "serve"], env=env, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
    try:
        url = f"http://127.0.0.1:{port}"
        until = time.monotonic() + 30
        with httpx.Client(trust_env=False) as http:
            while True:
                try:
                    if http.get(f"{url}/api/version", timeout=2).status_code == 200:
                        break
                except httpx.HTTPError:
                    pass
                if process.poll() is not None or time.monotonic() > until:
                    said = (folder / "log").read_text(errors="replace")[-2000:]
                    pytest.fail(f"ollama serve did not start:\n{said}")
                time.sleep(0.05)
        yield url
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _start(config: pytest.Config) -> OllamaServer:
    binary = require("ollama")
    held = ExitStack()
    config.add_cleanup(held.close)
    folder = Path(held.enter_context(tempfile.TemporaryDirectory(prefix="nayru-ollama-", ignore_cleanup_errors=True)))
    server = OllamaServer(held.enter_context(serving(binary, folder)), folder)
    server.make("nayru")
    return server
