"""What pygls does otherwise than we need: reading messages, text sync, broken messages, pop-ups, the exit code.

- Messages are read and handled one after the other as there, but what takes long before one can be handled is done in
  a thread: to decode a long one or the first of its kind (cattrs writes and compiles code then), and what
  `Protocol.before` names. Everything else goes on meanwhile. What comes behind is read ahead, so that an editor that
  wants us to end need not wait for it.
- The end waits for no thread: one may compute for seconds, and an editor kills a server that does not end in a few.
- The texts are the session's. pygls splits lines at form feeds, so an incremental edit after one corrupts its copy,
  and keeping that copy costs tens of milliseconds a key in a large file: its document handlers are not run.
- A request that does not fit the protocol's types is answered with an error, and never shown as a pop-up.
- Errors go to the log. Nothing the server does wrong is put in front of the user per keystroke.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
from collections.abc import Awaitable, Callable, Generator
from typing import Any, BinaryIO

from cattrs import Converter
from lsprotocol import types
from lsprotocol.converters import get_converter
from pygls.exceptions import JsonRpcException, JsonRpcInvalidParams
from pygls.io_ import StdinAsyncReader, StdoutWriter
from pygls.lsp.server import LanguageServer
from pygls.protocol import LanguageServerProtocol, lsp_method

log = logging.getLogger("nayru.protocol")

SHORT = 20_000      # bytes of a message that is decoded on the event loop
PATIENCE = 0.3      # seconds that the end waits for what `Protocol.before` does
_ENDS = (b"shutdown", b"exit")
_LENGTH = re.compile(rb"^Content-Length: (\d+)\r\n$")
_METHOD = re.compile(rb'"method": ?"([^"]*)"')

Steps = Generator[Any, Any, None]


def converter() -> Converter:
    """The protocol's converter, lenient where real editors break the protocol."""
    made = get_converter()
    # Old clients send triggerKind 0 (VS Code's own numbering) for inline completion.
    made.register_structure_hook(
        types.InlineCompletionTriggerKind,
        lambda value, _: (types.InlineCompletionTriggerKind.Invoked if value == 1
                          else types.InlineCompletionTriggerKind.Automatic))
    return made


class _Broken:
    """A message that does not fit the protocol's types."""

    def __init__(self, data: dict[str, Any], error: Exception) -> None:
        self.id = data.get("id")
        self.method = data.get("method")
        self.error = error


class Protocol(LanguageServerProtocol):
    """pygls' protocol with the differences of this module's head."""

    # Method -> what is done in a thread before a message is handled; it must not touch what the event loop changes.
    before: dict[str, Callable[[Any], object]]

    shut_down = False       # the editor has asked for it

    def structure_message(self, data: dict[str, Any]) -> Any:
        if "jsonrpc" not in data:
            return data
        if "method" in data and self.get_message_type(str(data["method"])) is None:
            data.setdefault("params", None)     # unknown to us; its own parameters may be optional
        try:
            return super().structure_message(data)
        except JsonRpcException as error:
            return _Broken(data, error)

    def handle_message(self, message: Any) -> None:
        if isinstance(message, _Broken):
            log.warning("a message does not fit the protocol: %s", message.method)
            if message.id is not None and message.method is not None:
                error = JsonRpcInvalidParams(f"the parameters of {message.method} do not fit the protocol")
                self._send_response(message.id, None, error.to_response_error())
            elif message.id is not None and (future := self._request_futures.pop(message.id, None)) is not None:
                future.set_exception(message.error)
            return
        if not hasattr(message, "jsonrpc"):
            log.warning("a message is no JSON-RPC message")
            return
        if self.shut_down and hasattr(message, "id") and hasattr(message, "method"):
            # LSP: after shutdown every request is answered with InvalidRequest.
            self._send_response(message.id, None, types.ResponseError(
                code=types.ErrorCodes.InvalidRequest.value, message="the server has been shut down"))
            return
        self.shut_down = self.shut_down or getattr(message, "method", "") == types.SHUTDOWN
        super().handle_message(message)

    @lsp_method(types.EXIT)
    def lsp_exit(self, *args: Any) -> Steps:
        """Ends `Server.start_io` where pygls ends the interpreter."""
        server = self._server
        assert isinstance(server, Server)
        server.stop()
        yield from ()

    def _send_data(self, data: Any) -> None:
        """One write per message; the text of a message never reaches a log."""
        if not data or self.writer is None:
            return
        try:
            body = json.dumps(data, default=self._serialize_message).encode("utf-8")
            self.writer.write(b"Content-Length: %d\r\n\r\n" % len(body) + body)
        except (BrokenPipeError, ValueError, OSError):
            log.warning("the editor has gone")
        except TypeError:
            log.exception("a message cannot be sent")

    def _user_handler(self, method: str, params: Any) -> Steps:
        if (handler := self.fm.features.get(method)) is not None:
            yield handler, (params,), None

    @lsp_method(types.TEXT_DOCUMENT_DID_OPEN)
    def lsp_text_document__did_open(self, params: types.DidOpenTextDocumentParams) -> Steps:
        yield from self._user_handler(types.TEXT_DOCUMENT_DID_OPEN, params)

    @lsp_method(types.TEXT_DOCUMENT_DID_CHANGE)
    def lsp_text_document__did_change(self, params: types.DidChangeTextDocumentParams) -> Steps:
        yield from self._user_handler(types.TEXT_DOCUMENT_DID_CHANGE, params)

    @lsp_method(types.TEXT_DOCUMENT_DID_CLOSE)
    def lsp_text_document__did_close(self, params: types.DidCloseTextDocumentParams) -> Steps:
        yield from self._user_handler(types.TEXT_DOCUMENT_DID_CLOSE, params)

    @lsp_method(types.WORKSPACE_EXECUTE_COMMAND)
    async def lsp_workspace__execute_command(  # type: ignore[override]
            self, params: types.ExecuteCommandParams) -> Any:
        """One handler gets all commands with their whole parameters: pygls passes on the arguments alone, and a
        progress token among the rest is lost. A coroutine, since only these can be cancelled."""
        if params.command not in self.fm.commands:
            raise JsonRpcInvalidParams(f"there is no command {params.command!r}")
        return await self.fm.features[types.WORKSPACE_EXECUTE_COMMAND](params)


class Server(LanguageServer):
    protocol: Protocol

    def __init__(self, name: str, version: str) -> None:
        super().__init__(name, version, protocol_cls=Protocol, converter_factory=converter, max_workers=2)
        self.protocol.before = {}
        self.at_end: Callable[[], Awaitable[None]] | None = None   # awaited when nothing more is to be handled
        self._decoded: set[bytes] = set()       # methods that were decoded once
        self._stopped = False

    def stop(self) -> None:
        """Handle no more messages."""
        self._stopped = True

    def start_io(self, stdin: BinaryIO, stdout: BinaryIO) -> None:      # type: ignore[override]
        """Serve until the editor says `exit` or has gone. Threads may still work then: whoever called is to end the
        process. (`asyncio.run` would wait for them, and `shutdown` for the one that reads.)"""
        self.protocol.set_writer(StdoutWriter(stdout))
        try:
            asyncio.new_event_loop().run_until_complete(self._serve(StdinAsyncReader(stdin, self.thread_pool)))
        except BrokenPipeError:
            log.warning("the editor has gone")

    async def _serve(self, reader: StdinAsyncReader) -> None:
        """Handle messages until there are none."""
        loop = asyncio.get_running_loop()
        self._impatient = loop.create_future()
        bodies: asyncio.Queue[bytes] = asyncio.Queue()
        reading = loop.create_task(self._read(reader, bodies))
        while not self._stopped and (body := await bodies.get()):
            try:
                await self._take(body)
            except Exception as error:
                self.report_server_error(error, "a message")
            await asyncio.sleep(0)      # a request takes its snapshot before the next message may change anything
        reading.cancel()
        if self.at_end is not None:
            await self.at_end()

    async def _read(self, reader: StdinAsyncReader, bodies: asyncio.Queue[bytes]) -> None:
        """Put messages into ``bodies`` as they come; b"" stands for the end of all."""
        length = 0
        while header := await reader.readline():
            if match := _LENGTH.match(header):
                length = int(match[1])
            if header.strip() or not length:
                continue
            body = await reader.readexactly(length)
            if len(body) < length:
                break
            length = 0
            bodies.put_nowait(body)
            if _method(body) in _ENDS:
                self._hurry()
        bodies.put_nowait(b"")
        self._hurry()

    def _hurry(self) -> None:
        """The editor wants us to end."""
        def enough() -> None:
            if not self._impatient.done():
                self._impatient.set_result(None)
        asyncio.get_running_loop().call_later(PATIENCE, enough)

    async def _take(self, body: bytes) -> None:
        method = _method(body)
        if (len(body) <= SHORT and method in self._decoded) or self._impatient.done():     # the thread may be busy
            message = self._decode(body)
        else:
            message = await self._in_thread(self._decode, body)
            self._decoded.add(method)
        before = None if isinstance(message, _Broken) else self.protocol.before.get(getattr(message, "method", ""))
        if before is not None:
            work = self._in_thread(before, message.params)
            await asyncio.wait((work, self._impatient), return_when=asyncio.FIRST_COMPLETED)
            if not work.done():
                return          # a document that would be read for nobody
            work.result()
        self.protocol.handle_message(message)

    def _in_thread(self, call: Callable[[Any], Any], argument: Any) -> asyncio.Future[Any]:
        """In the one thread that is kept for messages: all others may be busy."""
        return asyncio.get_running_loop().run_in_executor(self.thread_pool, call, argument)

    def _decode(self, body: bytes) -> Any:
        return json.loads(body, object_hook=self.protocol.structure_message)

    def report_server_error(self, error: Exception, source: Any) -> None:
        """Log only: a pop-up per failure is what users turn a server off for."""
        log.error("%s: %s", getattr(source, "__name__", source), error)


def _method(body: bytes) -> bytes:
    match = _METHOD.search(body)
    return match[1] if match else b""
