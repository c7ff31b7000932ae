"""The backends and what asks them, made from one configuration: for the server and for the command line."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from nayru_lsp.asm.text import Span
from nayru_lsp.assist.complete import Completer
from nayru_lsp.assist.generate import Generation, generate
from nayru_lsp.assist.local import Caller, LocalProvider
from nayru_lsp.assist.ollama import OllamaProvider
from nayru_lsp.config import UserConfig
from nayru_lsp.contract import Provider
from nayru_lsp.plugins import Plugins
from nayru_lsp.snapshot import Snapshot

PREDICTOR = "nayru_lsp.assist.local:serve"      # the dotted name of the predictor's process


class Models:
    """``worker`` runs `PREDICTOR`. ``close`` ends it and all connections; closed models are not used again."""

    def __init__(self, user: UserConfig, plugins: Plugins, worker: Caller) -> None:
        self.user = user
        self._plugins = plugins
        self.local = LocalProvider(worker)
        self.ollama = OllamaProvider(user.ollama)
        self.completer = Completer(user, local=self.local, model=self.ollama, plugins=plugins)

    async def status(self) -> tuple[str, str, str]:
        """(state, model, reason) for the status item, before anything was asked."""
        wanted = self.user.ghost.provider
        note = ""
        if wanted != "local":
            found = await self.ollama.status()
            if found.state == "ready" or wanted == "ollama":
                return "ready" if found.state == "ready" else "silent", found.model, found.reason
            note = found.reason
        local = await self.local.status()
        return "ready" if local.state == "ready" else "starting", local.model, local.reason or note

    async def learn(self, snapshot: Snapshot) -> None:
        """Let the embedded predictor read the project."""
        if self.user.ghost.provider != "ollama":
            await self.local.index([(path, file.text) for path, file in snapshot.project.files.items()])

    async def generate(self, snapshot: Snapshot, path: str, span: Span,
                       progress: Callable[[str, float], None]) -> Generation:
        return await generate(snapshot, path, span, providers=await self._providers(), plugins=self._plugins,
                              progress=progress)

    async def _providers(self) -> Sequence[Provider]:
        """Who is asked for a routine, in order."""
        wanted = self.user.generate.provider
        if wanted == "local":
            return [self.local]
        if wanted == "ollama":
            return [self.ollama]
        status = await self.ollama.status()
        return [self.ollama, self.local] if status.state == "ready" else [self.local]

    async def close(self) -> None:
        await self.completer.close()
        await self.ollama.close()
        await self.local.close()
