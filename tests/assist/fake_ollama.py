"""A server that does to a client what a real Ollama will not do on demand: hang, break off, lie, redirect, flood."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

Reply = Callable[["Call"], Awaitable[None]]

SHOWN = {"details": {"family": "qwen2"}, "template": "<|im_start|>", "model_info": {"qwen2.context_length": 32768}}


@dataclass
class Call:
    """One request, and the socket to answer it on."""

    method: str
    path: str
    headers: dict[str, str]
    body: Any
    writer: asyncio.StreamWriter
    reader: asyncio.StreamReader
    eof: asyncio.Event = field(default_factory=asyncio.Event)

    async def send(self, status: int, body: Any, headers: str = "") -> None:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.writer.write(f"HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {len(data)}\r\n"
                          f"{headers}\r\n".encode() + data)
        await self.writer.drain()

    async def begin(self, headers: str = "") -> None:
        """Start a streamed answer."""
        self.writer.write(f"HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n"
                          f"{headers}\r\n".encode())
        await self.writer.drain()

    async def chunk(self, data: Any) -> None:
        raw = data if isinstance(data, bytes) else json.dumps(data).encode() + b"\n"
        self.writer.write(f"{len(raw):x}\r\n".encode() + raw + b"\r\n")
        await self.writer.drain()

    async def part(self, text: str, **more: Any) -> None:
        await self.chunk({"model": "nayru", "response": text, "done": False, **more})

    async def done(self, count: int = 100, **more: Any) -> None:
        await self.chunk({"model": "nayru", "response": "", "done": True, "done_reason": "stop",
                          "prompt_eval_count": count, "prompt_eval_duration": 1000, **more})
        self.writer.write(b"0\r\n\r\n")
        await self.writer.drain()

    async def gone(self) -> None:
        """Wait until the client has closed its end."""
        await self.reader.read()
        self.eof.set()


@dataclass
class FakeOllama:
    url: str = ""
    calls: list[Call] = field(default_factory=list)
    shown: Any = field(default_factory=lambda: dict(SHOWN))
    tags: Any = field(default_factory=lambda: {"models": [{"model": "nayru:latest", "digest": "d1"}]})
    generate: Reply | None = None
    loads: int = 0
    sample_tokens: int = 0

    def asked(self, path: str) -> list[Call]:
        """Requests for ``path``; of `/api/generate` those that want an answer, not only the model in memory."""
        return [call for call in self.calls if call.path == path and not _loads(call)]

    async def answer(self, call: Call) -> None:
        self.calls.append(call)
        if call.path == "/api/show":
            await self._plain(call, self.shown)
        elif call.path == "/api/tags":
            await self._plain(call, self.tags)
        elif call.path == "/api/version":
            await call.send(200, {"version": "0.0.0"})
        elif _loads(call):
            self.loads += 1
            await call.send(200, {"model": "nayru", "response": "", "done": True, "done_reason": "length",
                                  "prompt_eval_count": self.sample_tokens})
        elif call.path == "/api/generate" and self.generate is not None:
            await self.generate(call)
        else:
            await call.send(404, {"error": "not here"})

    async def _plain(self, call: Call, what: Any) -> None:
        if callable(what):
            await what(call)
        else:
            await call.send(200, what)


def _loads(call: Call) -> bool:
    return call.path == "/api/generate" and call.body["options"].get("num_predict") == 1


@contextlib.asynccontextmanager
async def fake_ollama(generate: Reply | None = None) -> AsyncIterator[FakeOllama]:
    fake = FakeOllama(generate=generate)
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
                method, path, _ = head[0].split(" ", 2)
                headers = {key.lower(): value.strip() for key, _, value in (line.partition(":") for line in head[1:])}
                size = int(headers.get("content-length", "0"))
                data = await reader.readexactly(size)
                body = json.loads(data) if data else None
                await fake.answer(Call(method, path, headers, body, writer, reader))
                if writer.is_closing():
                    break
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, limit=1 << 24)
    port = server.sockets[0].getsockname()[1]
    fake.url = f"http://127.0.0.1:{port}"
    try:
        yield fake
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
