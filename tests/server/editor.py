"""An editor for tests: pytest-lsp's client under recorded capabilities, with everything the server says kept and
marked as read when a test looks at it."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest_lsp
from lsprotocol import types

from nayru_lsp.convert import to_uri
from nayru_lsp.files import normal

TIMEOUT = 30.0      # seconds; a test that waits this long has failed


def capabilities(editor: str) -> types.ClientCapabilities:
    """Recorded: "neovim" (0.11: utf-8, no versioned edits, no watching) or "vscode" (utf-16, the rest)."""
    caps = pytest_lsp.client_capabilities({"neovim": "neovim@0.11.0", "vscode": "visual_studio_code"}[editor])
    assert caps.text_document is not None
    caps.text_document.inline_completion = types.InlineCompletionClientCapabilities(dynamic_registration=True)
    return caps


@dataclass
class Said:
    """One message from the server."""

    method: str
    params: Any
    at: float
    read: bool = False


@dataclass
class Editor:
    folder: Path                            # the workspace
    home: Path                              # the user's own files
    kind: str = "vscode"
    environment: dict[str, str] = field(default_factory=dict)
    command: tuple[str, ...] = (sys.executable, "-P", "-m", "nayru_lsp", "serve")
    answers: dict[str, Any] = field(default_factory=dict)       # method of a server request -> answer
    inbox: list[Said] = field(default_factory=list)

    async def start(self, *, options: Any = None, folders: list[Path] | None = None, encodings: list[str] | None = None,
                    initialize: bool = True) -> types.InitializeResult | None:
        client = self.client = pytest_lsp.make_test_lsp_client()
        for method in (types.TEXT_DOCUMENT_PUBLISH_DIAGNOSTICS, types.WINDOW_SHOW_MESSAGE, types.WINDOW_LOG_MESSAGE,
                       types.PROGRESS, types.WINDOW_WORK_DONE_PROGRESS_CREATE, "nayru/status"):
            self._record(method)
        self._reply(types.CLIENT_REGISTER_CAPABILITY, None)
        self._reply(types.WORKSPACE_APPLY_EDIT, types.ApplyWorkspaceEditResult(applied=True))
        self._reply(types.WINDOW_SHOW_MESSAGE_REQUEST, None)
        environment = {**os.environ, "NAYRU_HOME": str(self.home), "NAYRU_PLUGINS": "", **self.environment}
        await client.start_io(*self.command, env=environment, cwd=str(self.home))
        if not initialize:
            return None
        caps = capabilities(self.kind)
        if encodings is not None:
            caps.general = types.GeneralClientCapabilities(
                position_encodings=[types.PositionEncodingKind(one) for one in encodings])
        named = [types.WorkspaceFolder(uri=to_uri(normal(str(one))), name=one.name)
                 for one in ([self.folder] if folders is None else folders)]
        return await asyncio.wait_for(client.initialize_session(types.InitializeParams(
            capabilities=caps, workspace_folders=named, initialization_options=options,
            client_info=types.ClientInfo(name=self.kind))), TIMEOUT)

    def _record(self, method: str) -> None:
        self.client.protocol.fm.features.pop(method, None)

        @self.client.feature(method)
        def heard(params: Any) -> None:
            self.inbox.append(Said(method, params, time.perf_counter()))

    def _reply(self, method: str, default: Any) -> None:
        self.client.protocol.fm.features.pop(method, None)

        @self.client.feature(method)
        def asked(params: Any) -> Any:
            self.inbox.append(Said(method, params, time.perf_counter()))
            answer = self.answers.get(method, default)
            return answer(params) if callable(answer) else answer

    # --- files -------------------------------------------------------------------------------------------------

    def path(self, name: str) -> Path:
        return self.folder / name

    def uri(self, name: str) -> str:
        return name if ":" in name else to_uri(normal(str(self.folder / name)))

    def write(self, name: str, text: str | bytes) -> Path:
        path = self.path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return path

    def install(self, site: Path, **plugins: str) -> None:
        """The server finds these plugins installed, in the folder ``site``; their texts are those of modules."""
        info = site / "testing-1.0.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: testing\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(
            "[nayru]\n" + "".join(f"{name} = {name}_plugin\n" for name in plugins))
        for name, text in plugins.items():
            (site / f"{name}_plugin.py").write_text(text)
        self.environment = {**self.environment, "NAYRU_PLUGINS": ",".join(plugins), "PYTHONPATH": str(site)}

    def open(self, name: str, text: str, version: int = 1) -> str:
        uri = self.uri(name)
        self.client.text_document_did_open(types.DidOpenTextDocumentParams(
            text_document=types.TextDocumentItem(uri=uri, language_id="asar", version=version, text=text)))
        return uri

    def change(self, name: str, version: int, *changes: tuple[tuple[int, int, int, int] | None, str]) -> None:
        """Each change: ((line, character, line, character) or None for the whole text, new text)."""
        made: list[Any] = []
        for where, text in changes:
            if where is None:
                made.append(types.TextDocumentContentChangeWholeDocument(text=text))
            else:
                made.append(types.TextDocumentContentChangePartial(text=text, range=types.Range(
                    start=types.Position(line=where[0], character=where[1]),
                    end=types.Position(line=where[2], character=where[3]))))
        self.client.text_document_did_change(types.DidChangeTextDocumentParams(
            text_document=types.VersionedTextDocumentIdentifier(uri=self.uri(name), version=version),
            content_changes=made))

    def save(self, name: str) -> None:
        self.client.text_document_did_save(types.DidSaveTextDocumentParams(text_document=self.document(name)))

    def close(self, name: str) -> None:
        self.client.text_document_did_close(types.DidCloseTextDocumentParams(text_document=self.document(name)))

    def document(self, name: str) -> types.TextDocumentIdentifier:
        return types.TextDocumentIdentifier(uri=self.uri(name))

    def at(self, name: str, line: int, character: int) -> dict[str, Any]:
        return {"text_document": self.document(name), "position": types.Position(line=line, character=character)}

    # --- hearing -----------------------------------------------------------------------------------------------

    async def hear(self, method: str, wanted: Callable[[Any], bool] = lambda params: True) -> Any:
        """The first unread message of ``method`` that is ``wanted``; those of its method before it are read too."""
        end = time.perf_counter() + TIMEOUT
        while time.perf_counter() < end:
            for said in self.inbox:
                if said.method == method and not said.read:
                    if wanted(said.params):
                        said.read = True
                        return said.params
                    if method in (types.TEXT_DOCUMENT_PUBLISH_DIAGNOSTICS, "nayru/status"):
                        continue
            await asyncio.sleep(0.005)
        raise AssertionError(f"never heard {method}; heard {[(one.method, one.params) for one in self.inbox][-10:]}")

    async def diagnostics(self, name: str, version: int | None,
                          wanted: Callable[[list[types.Diagnostic]], bool] = lambda found: True) -> (
            list[types.Diagnostic]):
        """The diagnostics published for ``version`` of a document (None: a closed one); earlier ones are read."""
        uri = self.uri(name)
        heard = await self.hear(types.TEXT_DOCUMENT_PUBLISH_DIAGNOSTICS, lambda params: (
            params.uri == uri and params.version == version and wanted(list(params.diagnostics))))
        for said in self.inbox:
            if said.params is heard:
                break
            if said.method == types.TEXT_DOCUMENT_PUBLISH_DIAGNOSTICS and said.params.uri == uri:
                said.read = True
        return list(heard.diagnostics)

    def hovered(self, hover: types.Hover | None) -> str:
        assert hover is not None and isinstance(hover.contents, types.MarkupContent)
        return hover.contents.value

    async def ready(self) -> None:
        """Wait until the project has been read."""
        await self.hear("nayru/status", lambda status: "reading the project" not in str(_get(status, "reason")))

    def unread(self) -> list[Said]:
        """What no test looked at: anything shown to the user, and the last word of the diagnostics of a document,
        unless it repeats what was read."""
        left = []
        last: dict[str, Said] = {}
        for said in self.inbox:
            if said.method in (types.WINDOW_SHOW_MESSAGE, types.WINDOW_SHOW_MESSAGE_REQUEST,
                               types.WORKSPACE_APPLY_EDIT) and not said.read:
                left.append(said)
            if said.method == types.TEXT_DOCUMENT_PUBLISH_DIAGNOSTICS:
                before = last.get(said.params.uri)
                if not said.read and said.params.diagnostics == (before.params.diagnostics if before else []):
                    said.read = True
                last[said.params.uri] = said
        return left + [said for said in last.values() if not said.read]

    async def stop(self, *, code: int = 0) -> None:
        """Shut the server down properly; nothing may be left unread."""
        server = self.client._server
        assert server is not None
        await asyncio.wait_for(self.client.shutdown_async(None), TIMEOUT)
        self.client.exit(None)
        await asyncio.wait_for(server.wait(), TIMEOUT)
        await self.client.stop()
        assert server.returncode == code
        assert not self.unread(), self.unread()
        published: dict[str, object] = {}
        for said in self.inbox:
            if said.method == types.TEXT_DOCUMENT_PUBLISH_DIAGNOSTICS:
                news = (said.params.version, said.params.diagnostics)
                assert published.get(said.params.uri) != news, f"said twice: {said.params}"
                published[said.params.uri] = news

    def log(self) -> str:
        log = self.home / "log" / "nayru.log"
        return log.read_text(encoding="utf-8") if log.exists() else ""


def _get(params: Any, name: str) -> Any:
    return params.get(name) if isinstance(params, dict) else getattr(params, name, None)
