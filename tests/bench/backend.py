"""A real Ollama server with a tiny model, for a bench run."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from nayru_lsp.assist import ollama_client
from nayru_lsp.config import OllamaConfig
from nayru_lsp.contract import ProviderError
from tests import tiny_model


@asynccontextmanager
async def running(binary: Path, folder: Path) -> AsyncIterator[OllamaConfig]:
    """The configuration of a server that holds the model ``nayru``; ended on leaving."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    env = {key: value for key, value in os.environ.items() if not key.upper().startswith("OLLAMA")}
    env |= {"OLLAMA_HOST": f"127.0.0.1:{port}", "OLLAMA_MODELS": str(folder / "models"), "OLLAMA_NO_CLOUD": "1",
            "HOME": str(folder), "OLLAMA_NUM_PARALLEL": "1"}
    process = subprocess.Popen([str(binary), "serve"], env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                               stdin=subprocess.DEVNULL)
    try:
        config = OllamaConfig(url=f"http://127.0.0.1:{port}")
        connection = ollama_client.Connection(config)
        for _ in range(200):
            try:
                await connection.version()
                break
            except ProviderError:
                await asyncio.sleep(0.05)
        await connection.close()
        model = tiny_model.write(folder / "tiny.gguf", completion="    LDA.b #$0F\n    STA.w $2100\n    RTS\n",
                                 routine="Wait:\n    RTS\n")
        await ollama_client.create(config, from_=str(model))
        yield config
    finally:
        process.terminate()
        process.wait(10)
