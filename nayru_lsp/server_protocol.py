"""What pygls does otherwise than we need: reading messages, text sync, broken messages, pop-ups, the exit code.

- Messages are read and handled one after the other as there, but what takes long before one can be handled is done in
  a thread: to decode a long one or the first of its kind (cattrs writes and compiles code then), and what
  `Protocol.before` names. Everything else goes on meanwhile.
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
from collections.abc import Callable, Generator
from threading import Event
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

    @property
    def shut_down(self) -> bool:
        return bool(self._shutdown)

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
        if self._shutdown and hasattr(message, "id") and hasattr(message, "method"):
            # LSP: after shutdown every request is answered with InvalidRequest.
            self._send_response(message.id, None, types.ResponseError(
                code=types.ErrorCodes.InvalidRequest.value, message="the server has been shut down"))
            return
        super().handle_message(message)

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
        self._decoded: set[bytes] = set()       # methods that were decoded once

    def start_io(self, stdin: BinaryIO, stdout: BinaryIO) -> None:      # type: ignore[override]
        self._stop_event = Event()
        self.protocol.set_writer(StdoutWriter(stdout))
        try:
            asyncio.run(self._read(StdinAsyncReader(stdin, self.thread_pool)))
        except BrokenPipeError:
            log.warning("the editor has gone")
        except (KeyboardInterrupt, SystemExit):
            pass
        finally:
            self.shutdown()         # type: ignore[no-untyped-call]

    async def _read(self, reader: StdinAsyncReader) -> None:
        """Handle messages until there are none."""
        stop, length = self._stop_event, 0
        assert stop is not None
        while not stop.is_set() and (header := await reader.readline()):
            if match := _LENGTH.match(header):
                length = int(match[1])
            if header.strip() or not length:
                continue
            body = await reader.readexactly(length)
            if len(body) < length:
                break
            length = 0
            try:
                await self._take(body)
            except Exception as error:
                self.report_server_error(error, "a message")

    async def _take(self, body: bytes) -> None:
        match = _METHOD.search(body)
        method = match[1] if match else b""
        if len(body) <= SHORT and method in self._decoded:
            message = self._decode(body)
        else:
            message = await asyncio.to_thread(self._decode, body)
            self._decoded.add(method)
        before = None if isinstance(message, _Broken) else self.protocol.before.get(getattr(message, "method", ""))
        if before is not None:
            await asyncio.to_thread(before, message.params)
        self.protocol.handle_message(message)

    def _decode(self, body: bytes) -> Any:
        return json.loads(body, object_hook=self.protocol.structure_message)

    def report_server_error(self, error: Exception, source: Any) -> None:
        """Log only: a pop-up per failure is what users turn a server off for."""
        log.error("%s: %s", getattr(source, "__name__", source), error)
