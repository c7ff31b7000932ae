"""Start, stop, broken messages, unknown methods: nothing leaves the editor waiting."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest
from lsprotocol import types
from pygls.exceptions import JsonRpcException

from tests.server.editor import TIMEOUT, Editor

COMMAND = (sys.executable, "-P", "-m", "nayru_lsp", "serve", "--stdio")


class Wire:
    """Raw JSON-RPC, for what no proper client would send."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process

    @staticmethod
    async def start(home: Path) -> Wire:
        environment = {**os.environ, "NAYRU_HOME": str(home), "NAYRU_PLUGINS": ""}
        return Wire(await asyncio.create_subprocess_exec(
            *COMMAND, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, env=environment))

    def send(self, message: Any) -> None:
        body = message if isinstance(message, bytes) else json.dumps({"jsonrpc": "2.0", **message}).encode()
        assert self.process.stdin is not None
        self.process.stdin.write(b"Content-Length: %d\r\n\r\n" % len(body) + body)

    async def read(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        header = await asyncio.wait_for(self.process.stdout.readuntil(b"\r\n\r\n"), TIMEOUT)
        length = int(header.split(b":")[1].split(b"\r\n")[0])
        message = json.loads(await asyncio.wait_for(self.process.stdout.readexactly(length), TIMEOUT))
        assert isinstance(message, dict)
        return message

    async def answer(self, number: Any) -> dict[str, Any]:
        while (message := await self.read()).get("id") != number or "method" in message:
            pass
        return message

    async def initialize(self) -> dict[str, Any]:
        self.send({"id": 0, "method": "initialize", "params": {"processId": None, "rootUri": None, "capabilities": {}}})
        result = await self.answer(0)
        self.send({"method": "initialized", "params": {}})
        return result


@pytest.fixture
async def wire(tmp_path: Path) -> Any:
    made = await Wire.start(tmp_path)
    yield made
    if made.process.returncode is None:
        made.process.kill()
    await made.process.wait()


async def test_everything_announced_is_wired(vscode: Editor) -> None:
    result = await vscode.start()
    assert result is not None
    caps = result.capabilities
    assert isinstance(caps.text_document_sync, types.TextDocumentSyncOptions)
    assert caps.text_document_sync.change == types.TextDocumentSyncKind.Incremental
    assert caps.text_document_sync.open_close and caps.text_document_sync.save
    assert caps.inline_completion_provider is not None
    assert caps.hover_provider and caps.definition_provider and caps.document_symbol_provider
    assert caps.completion_provider and caps.completion_provider.resolve_provider and caps.code_action_provider
    assert caps.execute_command_provider is not None
    assert set(caps.execute_command_provider.commands) >= {
        "nayru.generate", "nayru.accepted", "nayru.samples.list", "nayru.samples.show", "nayru.samples.delete",
        "nayru.restart"}
    assert caps.references_provider is None and caps.rename_provider is None
    uri = vscode.open("a.asm", "main:\n  jmp main\n")
    await vscode.diagnostics("a.asm", 1)
    client, at = vscode.client, vscode.at("a.asm", 1, 7)
    range_ = types.Range(start=types.Position(0, 0), end=types.Position(0, 0))
    for answer in (
        client.text_document_hover_async(types.HoverParams(**at)),
        client.text_document_definition_async(types.DefinitionParams(**at)),
        client.text_document_document_symbol_async(types.DocumentSymbolParams(text_document=vscode.document("a.asm"))),
        client.text_document_completion_async(types.CompletionParams(**at)),
        client.completion_item_resolve_async(types.CompletionItem(label="x")),
        client.text_document_code_action_async(types.CodeActionParams(
            text_document=vscode.document("a.asm"), range=range_, context=types.CodeActionContext(diagnostics=[]))),
        client.text_document_inline_completion_async(types.InlineCompletionParams(
            **at, context=types.InlineCompletionContext(trigger_kind=types.InlineCompletionTriggerKind.Automatic))),
        *(client.workspace_execute_command_async(types.ExecuteCommandParams(command=name, arguments=[{"uri": uri}]))
          for name in caps.execute_command_provider.commands),
    ):
        await asyncio.wait_for(answer, TIMEOUT)


async def test_unknown_requests_and_documents_are_answered(editor: Editor) -> None:
    await editor.start()
    await editor.ready()
    client = editor.client
    with pytest.raises(JsonRpcException):
        await asyncio.wait_for(client.protocol.send_request_async("nayru/unknown", {}), TIMEOUT)
    with pytest.raises(JsonRpcException):
        await asyncio.wait_for(client.workspace_execute_command_async(
            types.ExecuteCommandParams(command="nayru.nothing")), TIMEOUT)
    client.protocol.notify("nayru/unknown", {})
    assert await client.text_document_hover_async(types.HoverParams(**editor.at("closed.asm", 0, 0))) is None
    editor.change("closed.asm", 2, (None, "nop"))
    editor.close("closed.asm")
    client.cancel_request(types.CancelParams(id="no such request"))
    assert await client.text_document_completion_async(types.CompletionParams(**editor.at("closed.asm", 0, 0))) is None


async def test_messages_that_do_not_fit_the_protocol(wire: Wire) -> None:
    await wire.initialize()
    wire.send({"id": 1, "method": "textDocument/hover", "params": {"position": "here"}})
    assert (await wire.answer(1))["error"]["code"] == -32602
    wire.send({"id": "two", "method": "textDocument/hover"})
    assert (await wire.answer("two"))["error"]["code"] == -32602
    # Old clients number the trigger as VS Code does inside, from 0.
    wire.send({"id": 3, "method": "textDocument/inlineCompletion", "params": {
        "textDocument": {"uri": "file:///a.asm"}, "position": {"line": 0, "character": 0},
        "context": {"triggerKind": 0}}})
    assert (await wire.answer(3)).get("result", 0) is None
    wire.send({"id": 8, "method": "nayru/unknown"})
    assert (await wire.answer(8))["error"]["code"] == -32601
    wire.send({"method": "textDocument/didChange", "params": {}})
    wire.send(b"{ this is no JSON")
    wire.send(b"[1, 2]")
    wire.send(b'"text"')
    wire.send({"id": 4, "result": None})
    wire.send({"id": 5, "method": "textDocument/documentSymbol", "params": {"textDocument": {"uri": "file:///a.asm"}}})
    assert (await wire.answer(5)).get("result", 0) is None
    wire.send({"id": 6, "method": "shutdown"})
    assert "error" not in await wire.answer(6)
    wire.send({"id": 7, "method": "textDocument/hover", "params": {}})
    assert "error" in await wire.answer(7)
    wire.send({"method": "exit"})
    assert await asyncio.wait_for(wire.process.wait(), TIMEOUT) == 0


async def test_end_of_input_ends_the_server(wire: Wire) -> None:
    await wire.initialize()
    assert wire.process.stdin is not None
    wire.process.stdin.close()
    assert await asyncio.wait_for(wire.process.wait(), TIMEOUT) == 1


async def test_exit_without_shutdown(wire: Wire) -> None:
    await wire.initialize()
    wire.send({"method": "exit"})
    assert await asyncio.wait_for(wire.process.wait(), TIMEOUT) == 1


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX: signals")
async def test_ctrl_c_ends_the_server(wire: Wire) -> None:
    """The thread that reads stdin held it up, until somebody typed a line."""
    await wire.initialize()
    wire.process.send_signal(signal.SIGINT)
    assert await asyncio.wait_for(wire.process.wait(), TIMEOUT) == -signal.SIGINT


async def test_no_document_text_in_the_log(wire: Wire, tmp_path: Path) -> None:
    await wire.initialize()
    document = {"uri": "file:///a.asm", "languageId": "asar", "version": 1, "text": "bogus secretword\n"}
    wire.send({"method": "textDocument/didOpen", "params": {"textDocument": document}})
    wire.send({"method": "textDocument/didOpen", "params": {"textDocument": {**document, "version": "secretword"}}})
    wire.send({"method": "textDocument/didOpen", "params": {"textDocument": {"text": "secretword"}}})
    wire.send({"id": 1, "method": "textDocument/hover", "params": {"secretword": "secretword"}})
    assert "error" in await wire.answer(1)
    wire.send({"id": 2, "method": "shutdown"})
    await wire.answer(2)
    wire.send({"method": "exit"})
    assert await asyncio.wait_for(wire.process.wait(), TIMEOUT) == 0
    log = (tmp_path / "log" / "nayru.log").read_text(encoding="utf-8")
    for method in ("textDocument/didOpen", "textDocument/hover"):
        assert f"does not fit the protocol: {method}" in log
    assert "secretword" not in log and "AttributeError" not in log
