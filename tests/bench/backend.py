"""A real Ollama server with a tiny model, for a bench run."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from nayru_lsp.assist import ollama_client
from nayru_lsp.config import OllamaConfig
from tests import tiny_model
from tests.ollama_server import serving


@asynccontextmanager
async def running(binary: Path, folder: Path) -> AsyncIterator[OllamaConfig]:
    """The configuration of a server that holds the model ``nayru``; ended on leaving."""
    with serving(binary, folder) as url:
        config = OllamaConfig(url=url)
        model = tiny_model.write(folder / "tiny.gguf", completion="    LDA.b #$0F\n    STA.w $2100\n    RTS\n",
                                 routine="Wait:\n    RTS\n")
        await ollama_client.create(config, from_=str(model))
        yield config
