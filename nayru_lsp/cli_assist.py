"""The command line's side of the language model: ghost text, routines and models without an editor.

One call is one short life: the providers are started, asked once and closed.
"""

from __future__ import annotations

import asyncio
import codecs
import contextlib
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import msgspec

from nayru_lsp import prompt
from nayru_lsp.__main__ import load
from nayru_lsp.asm.text import SourceText, Span
from nayru_lsp.assist import ollama_client
from nayru_lsp.assist.models import PREDICTOR, Models
from nayru_lsp.assist.ollama import OllamaProvider
from nayru_lsp.config import Places, UserConfig
from nayru_lsp.contract import Offer, ProviderError
from nayru_lsp.files import Refused
from nayru_lsp.plugins import Plugins
from nayru_lsp.work import Worker


@contextlib.asynccontextmanager
async def _models(user: UserConfig, plugins: Plugins) -> AsyncIterator[Models]:
    models = Models(user, plugins, Worker(PREDICTOR, name="predictor"))
    try:
        yield models
    finally:
        await models.close()
        await plugins.close()


async def complete(where: Places, user: UserConfig, plugins: Plugins, path: str, line: int, column: int) -> (
        dict[str, Any]):
    """The ghost text at ``line``:``column`` (from 1; column 0: the end of the line), asked for as by hand."""
    snapshot, _, _ = await asyncio.to_thread(load, path, user, plugins)
    file = snapshot.project.files[path]
    row = _row(path, file.text, line)
    end = file.text.line_end(row)
    offset = min(file.text.line_start(row) + column - 1, end) if column else end
    async with _models(user, plugins) as models:
        await models.learn(snapshot)
        found = await models.completer.complete(snapshot, path, offset, True)
    return {"offers": [_plain(offer) for offer in found.offers], "reason": found.reason, "provider": found.provider,
            "latencyMs": round(found.latency_ms)}


async def generate(where: Places, user: UserConfig, plugins: Plugins, path: str, first: int, last: int, *,
                   write: bool) -> dict[str, Any]:
    """A routine from the comment in lines ``first`` to ``last`` (from 1); ``write`` puts it into the file."""
    snapshot, _, _ = await asyncio.to_thread(load, path, user, plugins)
    text = snapshot.project.files[path].text
    first, last = sorted((_row(path, text, first), _row(path, text, last)))
    span = Span(text.line_start(first), text.line_end(last))
    async with _models(user, plugins) as models:
        await models.learn(snapshot)
        found = await models.generate(snapshot, path, span, lambda message, fraction: None)
    offer = found.offer
    if offer is None:
        return {"text": "", "reason": found.reason, "rounds": found.rounds, "summary": "", "written": False}
    if write:
        before = Path(path).read_bytes()
        mark = len(codecs.BOM_UTF8) if before.startswith(codecs.BOM_UTF8) else 0
        if before[mark:] != str(text).encode("utf-8", "surrogatepass"):
            return {**_plain(offer), "reason": "the file is no UTF-8, or was changed meanwhile", "written": False,
                    "rounds": found.rounds, "summary": summary(offer)}
        # The bytes around the place stay as they are, whatever their line ends.
        start, end = (mark + len(text.slice(0, at).encode("utf-8")) for at in offer.span)
        _replace(Path(os.path.realpath(path)), before[:start] + offer.text.encode("utf-8") + before[end:])
    return {**_plain(offer), "reason": found.reason, "rounds": found.rounds, "summary": summary(offer),
            "written": write}


def _row(path: str, text: SourceText, line: int) -> int:
    """Line ``line`` counted from 0. Raises Refused where the file has no such line."""
    if line > text.line_count:
        raise Refused(f"{path} has no line {line}, only {text.line_count}")
    return line - 1


def _replace(path: Path, data: bytes) -> None:
    """New contents for the user's file, whole or not at all: a full disk must not cost the old ones."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        shutil.copymode(path, name)
        os.replace(name, path)
    except OSError:
        os.unlink(name)
        raise


def _plain(offer: Offer) -> dict[str, Any]:
    return {"text": offer.text, "start": offer.span.start, "end": offer.span.end, "maker": offer.candidate.maker,
            "confidence": offer.candidate.confidence, "verdict": msgspec.to_builtins(offer.verdict)}


def summary(offer: Offer) -> str:
    """One line: who made it, who judged it, bytes and cycles."""
    verdict = offer.verdict
    parts = [f"by {offer.candidate.maker}", f"judged by {', '.join(verdict.judges) or 'nobody'}"]
    parts += [f"not by {one}" for one in verdict.absent]
    if verdict.size is not None:
        parts.append(f"{verdict.size} bytes")
    if verdict.cycles is not None:
        low, high = verdict.cycles
        parts.append(f"{low} cycles" if low == high else f"{low}-{high} cycles")
    if not verdict.ok:
        parts.append("NOT good: " + "; ".join(reason.message for reason in verdict.reasons[:3]))
    return ", ".join(parts)


async def model_status(user: UserConfig) -> dict[str, Any]:
    """What Ollama has; when the base model is missing, the line that brings it, with its size."""
    provider = OllamaProvider(user.ollama)
    try:
        status = await provider.status()
    finally:
        await provider.close()
    ok = status.state == "ready"
    text = f"{status.model} at {user.ollama.url}" if ok else f"{status.state}: {status.reason}"
    return {"ok": ok, "state": status.state, "model": status.model, "digest": status.digest,
            "reason": status.reason, "text": text}


async def create_model(user: UserConfig, name: str, base: str, adapter: str, progress: Callable[[str], None]) -> (
        dict[str, Any]):
    """Register the model in Ollama: ``base`` (a model's name, a GGUF file or a merged folder) with our Modelfile."""
    name = name or user.ollama.model
    try:
        await ollama_client.create(user.ollama, name=name, from_=base or prompt.BASE, adapter=adapter,
                                   progress=progress)
    except ProviderError as error:
        return {"ok": False, "model": name, "text": str(error)}
    return {"ok": True, "model": name, "text": f"{name} is registered in Ollama at {user.ollama.url}"}
