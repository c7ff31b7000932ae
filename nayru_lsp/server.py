"""The language server: owns every LSP method, takes a snapshot, calls a feature, merges the plugins. No logic.

Handlers of notifications are synchronous and short, and the only ones that touch the session. Handlers of requests
work on a snapshot; every one is answered, with ``null`` when it fails or is overtaken. What the server announces is
what `_wire` lists. Long, since every method of the protocol is answered here.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import logging
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from functools import partial
from importlib import metadata
from typing import Any, BinaryIO, NoReturn

import msgspec
from lsprotocol import types
from pygls.exceptions import JsonRpcException

from nayru_lsp.asm.checks import check_file
from nayru_lsp.asm.project import ParsedFile, Root
from nayru_lsp.asm.text import Span
from nayru_lsp.config import PROJECT_FILE, Config, Places, UserConfig
from nayru_lsp.convert import is_on_disk, to_offset, to_path, to_span, to_uri
from nayru_lsp.features.code_action import code_action
from nayru_lsp.features.completion import completion, resolve
from nayru_lsp.features.definition import definition
from nayru_lsp.features.diagnostics import diagnostics
from nayru_lsp.features.document_symbol import document_symbol
from nayru_lsp.features.hover import hover
from nayru_lsp.files import SOURCE_SUFFIXES, Fence, is_below, normal
from nayru_lsp.plugins import Plugins
from nayru_lsp.schedule import Schedule
from nayru_lsp.server_assist import Assist
from nayru_lsp.server_expansion import Expansions
from nayru_lsp.server_index import Index
from nayru_lsp.server_protocol import Server
from nayru_lsp.server_settings import Settings, client_of
from nayru_lsp.server_symbols import SymbolFiles
from nayru_lsp.session import Session
from nayru_lsp.snapshot import Snapshot
from nayru_lsp.work import kill_all

END_SECONDS = 1.0               # that what works may take to end; then it is given up
READ_SECONDS = 3.0              # that a definition waits for the project to be read, where it is not found
CHECK_DELAY = 0.015             # seconds of quiet before own checks; a key's diagnostics are due within 50 ms
CHECK_ON_LOOP = 0.020           # a check that took longer than this last time runs in a thread
SMALL_FILE = 50_000             # characters; the first check of a larger file runs in a thread
PLUGIN_DEADLINE = 0.25          # seconds that plugins may take for a request
# What sources read besides each other: graphics, music, tables, base images.
BINARIES = "**/*.{bin,dat,gfx,chr,pal,map,tpl,mw3,lz,lz2,lz5,rle,brr,spc,nspc,sfc,smc,rom}"
PROJECT_PAUSE = 0.1             # seconds of quiet before open documents are checked again after the project moved
COMMANDS = ("nayru.generate", "nayru.accepted", "nayru.samples.list", "nayru.samples.show", "nayru.samples.delete",
            "nayru.restart")
STATUS = "nayru/status"

log = logging.getLogger("nayru.server")


class Nayru:
    """One server for one editor."""

    def __init__(self, places: Places, user: UserConfig, plugins: Plugins, trouble: str = "") -> None:
        self.places = places
        self._trouble = trouble
        self.ls = Server("nayru", metadata.version("nayru") if _installed() else "0")
        self.plugins = plugins
        self.settings = Settings(user)
        self.session = Session(Config(user=user), plugins.facts)
        self.schedule = Schedule()
        self.index = Index(self.session, self._project_moved)
        self.assist = Assist(self)
        self.expansions = Expansions(self)
        self.symbols = SymbolFiles(self)
        self._told: set[str] = set()            # sentences shown to the user; each once
        self._check_cost: dict[str, tuple[float, object]] = {}      # of the last check, with the names of then
        self._status: dict[str, Any] = {}       # as last sent
        self._state = ("starting", "", 0)
        self._model = ""
        self._root_note = ""
        self._work_note = ""
        self._ending: asyncio.Task[None] | None = None
        self._opening: dict[str, ParsedFile] = {}
        self._published: dict[str, tuple[int | None, list[types.Diagnostic]]] = {}  # path -> last sent
        self._wire()

    def _wire(self) -> None:
        """Everything announced, in one list."""
        notify, answer = self._notification, self._request
        notify(types.INITIALIZE, self.initialize)
        answer(types.INITIALIZED, self.initialized)
        answer(types.SHUTDOWN, self.shutdown)
        self.ls.at_end = self.end
        self.ls.protocol.before[types.TEXT_DOCUMENT_DID_OPEN] = self._parse
        notify(types.TEXT_DOCUMENT_DID_OPEN, self.did_open)
        notify(types.TEXT_DOCUMENT_DID_CHANGE, self.did_change)
        notify(types.TEXT_DOCUMENT_DID_CLOSE, self.did_close)
        notify(types.TEXT_DOCUMENT_DID_SAVE, self.did_save, types.SaveOptions(include_text=False))
        notify(types.WORKSPACE_DID_CHANGE_CONFIGURATION, self.did_change_configuration)
        notify(types.WORKSPACE_DID_CHANGE_WATCHED_FILES, self.did_change_watched_files)
        notify(types.WORKSPACE_DID_CHANGE_WORKSPACE_FOLDERS, self.did_change_workspace_folders)
        answer(types.TEXT_DOCUMENT_HOVER, self.hover)
        answer(types.TEXT_DOCUMENT_DEFINITION, self.definition)
        answer(types.TEXT_DOCUMENT_DOCUMENT_SYMBOL, self.document_symbol)
        answer(types.TEXT_DOCUMENT_COMPLETION, self.completion,
               types.CompletionOptions(trigger_characters=[".", "!", "%", "#", "$"], resolve_provider=True))
        answer(types.COMPLETION_ITEM_RESOLVE, self.completion_resolve)
        answer(types.TEXT_DOCUMENT_CODE_ACTION, self.code_action,
               types.CodeActionOptions(code_action_kinds=[
                   types.CodeActionKind.QuickFix, types.CodeActionKind.RefactorRewrite]))
        answer(types.TEXT_DOCUMENT_INLINE_COMPLETION, self.inline_completion, types.InlineCompletionOptions())
        answer(types.WORKSPACE_EXECUTE_COMMAND, self.execute_command)
        for name in (*COMMANDS, *(f"nayru.{name}" for name in self.plugins.commands)):
            self.ls.command(name)(_announced)

    def _notification(self, method: str, work: Callable[[Any], None], options: Any = None) -> None:
        def handler(params: Any) -> None:
            try:
                work(params)
            except Exception:
                log.exception("%s failed", method)
        self.ls.feature(method, options)(handler)

    def _request(self, method: str, work: Callable[[Any], Awaitable[Any]], options: Any = None) -> None:
        async def handler(params: Any) -> Any:
            try:
                return await work(params)
            except Exception:
                log.exception("%s failed", method)
                return None
        self.ls.feature(method, options)(handler)

    # --- life --------------------------------------------------------------------------------------------------

    def initialize(self, params: types.InitializeParams) -> None:
        encoding = str(getattr(self.ls.workspace.position_encoding, "value", self.ls.workspace.position_encoding))
        self.session.set_client(client_of(params), encoding)
        folders = [to_path(folder.uri) for folder in params.workspace_folders or ()]
        if not folders and params.root_uri:
            folders = [to_path(params.root_uri)]
        elif not folders and params.root_path:
            folders = [normal(params.root_path)]
        self.session.folders = [folder for folder in folders if is_on_disk(folder)]
        self.settings.initialized(params)
        self._fence()

    async def initialized(self, _: types.InitializedParams) -> None:
        self.status("starting", reason="reading the project")
        if self._trouble:
            self.tell(self._trouble, types.MessageType.Error)
        await self.settings.pull(self.ls, self.session)
        self._configure()
        self.schedule.start(self._register())
        self.schedule.start(self._read_workspace())

    async def _read_workspace(self) -> None:
        start = time.perf_counter()
        try:
            await self.index.read_folders(self.session.folders, self.expansions.first_answer)
        except Exception:
            log.exception("the project could not be read")
        self.expansions.all_read()
        log.info("read %d files in %.1f s", len(self.session.project.files), time.perf_counter() - start)
        for name, text in self.plugins.call_each("nayru_status"):   # what is there, or missing, said once
            self.ls.window_log_message(types.LogMessageParams(
                type=types.MessageType.Info, message=f"{name}: {text}"))
        await self.assist.start()

    async def _register(self) -> None:
        """Ask the editor to tell us of files and settings that change."""
        wanted = []
        if self.session.client.watched_files:
            watchers = [types.FileSystemWatcher(glob_pattern=pattern) for pattern in (
                "**/*.{asm,s,inc,a65,65s,65c,i65,asr,mac}", BINARIES, "**/*.{sym,mlb}", f"**/{PROJECT_FILE}")]
            wanted.append(types.Registration(
                id="nayru-watch", method=types.WORKSPACE_DID_CHANGE_WATCHED_FILES,
                register_options=types.DidChangeWatchedFilesRegistrationOptions(watchers=watchers)))
        if self.settings.watched:
            wanted.append(types.Registration(
                id="nayru-settings", method=types.WORKSPACE_DID_CHANGE_CONFIGURATION,
                register_options=types.DidChangeConfigurationRegistrationOptions(section="nayru")))
        if wanted:
            with contextlib.suppress(JsonRpcException):
                await self.ls.client_register_capability_async(types.RegistrationParams(registrations=wanted))

    async def shutdown(self, _: None) -> None:
        await self.end()

    async def end(self) -> None:
        """Write what must be kept, then end what works, as far as it ends soon. Done once, whoever asks first: the
        editor, or that it has gone."""
        if self._ending is None:
            self._ending = asyncio.get_running_loop().create_task(self._end())
        await asyncio.shield(self._ending)

    async def _end(self) -> None:
        self.assist.keep()
        work = asyncio.gather(self.schedule.close(), self.expansions.close(), self.assist.close(), self.plugins.close(),
                              return_exceptions=True)
        await asyncio.wait((work,), timeout=END_SECONDS)
        self.index.close()

    # --- telling -----------------------------------------------------------------------------------------------

    def status(self, state: str, *, model: str | None = None, reason: str = "", latency_ms: int = 0) -> None:
        """``nayru/status``, when it differs from the last one."""
        if model is not None:
            self._model = model
        self._state = (state, reason, latency_ms)
        self._send_status()

    def _send_status(self) -> None:
        state, reason, latency_ms = self._state
        status = {"state": state, "model": self._model, "latencyMs": latency_ms,
                  "reason": "; ".join(part for part in (reason, self._root_note, self._work_note) if part)}
        if status != self._status:
            self._status = status
            self.ls.protocol.notify(STATUS, status)

    def _note(self, note: str) -> None:
        """A remark that stands behind the reason of every status until it changes."""
        if note != self._root_note and self.index.done:
            self._root_note = note
            self._send_status()

    def work_note(self, note: str) -> None:
        """What works in the background, behind the reason of every status until it is done."""
        if note != self._work_note:
            self._work_note = note
            self._send_status()

    def tell(self, message: str, kind: types.MessageType = types.MessageType.Warning) -> None:
        """Show one sentence to the user, once."""
        if message not in self._told:
            self._told.add(message)
            log.warning("%s", message)
            self.ls.window_show_message(types.ShowMessageParams(type=kind, message=message))

    # --- configuration -----------------------------------------------------------------------------------------

    def _fence(self) -> None:
        outside = tuple(normal(path) for path in self.session.config.user.outside_include_paths)
        # Without a workspace folder, the folder of an open file is the workspace of that file.
        alone = {path.rpartition("/")[0] for path in self.session.documents
                 if is_on_disk(path) and not self.session.folder_of(path)}
        self.index.fence = Fence((*self.session.folders, *sorted(alone)), outside)

    def _configure(self) -> None:
        """Put the configuration together anew, and tell everybody whom it concerns."""
        config = self.settings.read(self.session.config, self.session.folders, self.tell)
        if config != self.session.config:
            self.session.set_config(config)
            if self.index.done:
                self.schedule.later("includes", PROJECT_PAUSE, self.index.follow_all)
        logging.getLogger("nayru").setLevel(config.user.log_level)
        self._fence()
        self.index.settle_roots()
        self.plugins.configure(msgspec.to_builtins(config.user), self.places.data_folder)
        self.assist.configure(config.user)
        self.expansions.configure(config.user.analysis)
        self.symbols.look()
        self._project_moved(set(self.session.documents))

    def did_change_configuration(self, params: types.DidChangeConfigurationParams) -> None:
        self.settings.pushed(params.settings)

        async def again() -> None:
            await self.settings.pull(self.ls, self.session)
            self._configure()
        self.schedule.later("settings", 0, again)

    def did_change_workspace_folders(self, params: types.DidChangeWorkspaceFoldersParams) -> None:
        removed = {to_path(folder.uri) for folder in params.event.removed}
        added = [path for folder in params.event.added if is_on_disk(path := to_path(folder.uri))]
        self.session.folders = [path for path in self.session.folders if path not in removed] + [
            path for path in added if path not in self.session.folders]
        for path in [path for path in self.session.project.files if not self.session.folder_of(path)]:
            if any(is_below(path, folder) for folder in removed):
                self.session.problems.forget(path)
                self.session.drop(path)
                self.publish(path)

        async def again() -> None:
            await self.settings.pull(self.ls, self.session)
            self._configure()
            await self.index.read_folders(added)
        self.schedule.start(again())

    def did_change_watched_files(self, params: types.DidChangeWatchedFilesParams) -> None:
        paths = [to_path(event.uri) for event in params.changes]
        self.symbols.look()
        if any(path.endswith("/" + PROJECT_FILE) for path in paths):
            self._configure()
        others = [path for path in paths if not path.endswith((f"/{PROJECT_FILE}", ".sym", ".mlb"))
                  and path not in self.session.documents]
        known = self.session.project.files
        sources = [path for path in others if path.lower().endswith(SOURCE_SUFFIXES) or path in known]
        if sources:
            self.schedule.start(self.index.read(sources))
        binaries = set(others) - set(sources)
        if binaries:
            self.session.outdate(binaries)
            self.expansions.moved(binaries)

    # --- documents ---------------------------------------------------------------------------------------------

    def _parse(self, params: types.DidOpenTextDocumentParams) -> None:
        """What `did_open` needs and takes long, in a thread."""
        self._opening[params.text_document.uri] = self.session.parse(params.text_document)

    def did_open(self, params: types.DidOpenTextDocumentParams) -> None:
        document = self.session.open(params.text_document, self._opening.pop(params.text_document.uri, None))
        self._fence()
        self.expansions.changed(document.path)
        self.check_soon(document.path, 0)
        self._validate_soon(document.path, self.session.config.user.asar.pause_ms / 1000)
        # Else it will be looked at with all others, when the roots and their include paths are known.
        if is_on_disk(document.path) and (self.index.done or not self.session.folder_of(document.path)):
            self.schedule.start(self._follow(document.path))

    async def _follow(self, path: str) -> None:
        """Read what an open document includes."""
        sources = await self.index.follow([path])
        if sources:
            await self.index.read(sources)

    def did_change(self, params: types.DidChangeTextDocumentParams) -> None:
        changed = self.session.change(params)
        if changed is None:
            log.warning("a change of a document that is not open")
            return
        document, edits = changed
        self.assist.changed(document.path, edits)
        self.expansions.changed(document.path)
        self.check_soon(document.path, CHECK_DELAY)
        self._validate_soon(document.path, self.session.config.user.asar.pause_ms / 1000)

    def did_save(self, params: types.DidSaveTextDocumentParams) -> None:
        path = to_path(params.text_document.uri)
        if path in self.session.documents:
            self.assist.saved(path)
            self._validate_soon(path, 0)
            if is_on_disk(path):
                self.schedule.start(self._follow(path))

    def did_close(self, params: types.DidCloseTextDocumentParams) -> None:
        document = self.session.close(params.text_document.uri)
        if document is None:
            return
        path = document.path
        self.assist.closed(path)
        self.schedule.forget(("check", path))
        self.session.problems.own.pop(path, None)
        self.publish(path, uri=document.uri)
        if is_on_disk(path) and self.session.folder_of(path):
            self.schedule.start(self._reread(path))
        else:
            self.session.drop(path)
        self._fence()

    async def _reread(self, path: str) -> None:
        """The disk's text in place of the editor's, which may never have been saved."""
        before = self.session.project.files.get(path)
        await self.index.read([path])
        after = self.session.project.files.get(path)
        if before is not None and after is not None and before.text != after.text:
            self._validate_soon(path, 0)

    # --- diagnostics -------------------------------------------------------------------------------------------

    def _project_moved(self, paths: set[str]) -> None:
        """Files arrived, changed or went: what that means for open documents is found out in the next pause."""
        self.assist.moved(paths - set(self.session.documents))
        self.expansions.moved(paths - set(self.session.documents))
        for path in self.session.documents:
            self.check_soon(path, PROJECT_PAUSE)
        for path in paths - set(self.session.documents):
            self.publish(path)

    def check_soon(self, path: str, delay: float = 0) -> None:
        self.schedule.later(("check", path), delay, partial(self._check, path))

    async def _check(self, path: str) -> None:
        """Our own checks of one open document, published with its version."""
        session = self.session
        file, project = session.project.files.get(path), session.project
        if file is None or path not in session.documents:
            return
        self.symbols.look()
        start = time.perf_counter()
        # Until all is read, there may be a root that nobody has heard of.
        checks, judges = tuple(self.plugins.checks.values()), session.snapshot().judges(path) if self.index.done else ()
        # Where names came or went, all that is unknown is looked at anew, and what it cost before tells nothing.
        cost, names = self._check_cost.get(path, (0.0, None))
        if file.text.length < SMALL_FILE if names is not project.epoch else cost < CHECK_ON_LOOP:
            problems = check_file(project, file, checks, judges)
        else:
            problems = await asyncio.to_thread(check_file, project, file, checks, judges)
        self._check_cost[path] = time.perf_counter() - start, project.epoch
        if session.project.files.get(path) is file:     # else a newer check is on its way
            session.problems.own[path] = problems
            self.publish(path)

    def _validate_soon(self, path: str, delay: float) -> None:
        """Let the plugins judge every root that reaches ``path``, after a pause."""
        if not self.plugins.has("nayru_validate"):
            return
        roots = self.session.project.roots_of(path)
        for root in roots:
            self.schedule.later(("validate", root.path), delay, partial(self._validate, root))
        name = path.rpartition("/")[2]
        self._note("" if roots else f"the assembler is not run on {name}: no root file reaches it")

    async def _validate(self, root: Root) -> None:
        session = self.session
        snapshot, revision = session.snapshot(), session.text_revision
        results = await self.plugins.gather(
            "nayru_validate", deadline=snapshot.config.user.asar.project_timeout + 2, snapshot=snapshot, root=root)
        if session.text_revision != revision:
            return      # the text moved on; the pause after it brings a new validation
        found = [problem for name, problems in results for problem in _problems(problems)]
        for path in session.problems.set_root(root.path, found):
            self.publish(path)

    def publish(self, path: str, uri: str = "") -> None:
        """What is known about ``path``, from every source, in one message; silent where nothing is new.

        Neovim takes diagnostics off the screen at every message that comes while one types.
        """
        session, document = self.session, self.session.documents.get(path)
        file = session.project.files.get(path)
        shown = diagnostics(session.snapshot(), file, session.problems.of(path)) if file is not None else []
        if document is None and not shown and not self._published.get(path, (None, []))[1]:
            self._published.pop(path, None)
            return
        said = (document.version if document else None, shown)
        if self._published.get(path) == said:
            return
        self._published[path] = said
        self.ls.text_document_publish_diagnostics(types.PublishDiagnosticsParams(
            uri=document.uri if document else uri or to_uri(path), diagnostics=shown, version=said[0]))

    # --- requests about a position -----------------------------------------------------------------------------

    def _at(self, document: types.TextDocumentIdentifier, position: types.Position) -> tuple[
            Snapshot, ParsedFile, int] | None:
        file = self.session.file(document.uri)
        if file is None:
            return None
        snapshot = self.session.snapshot()
        return snapshot, file, to_offset(file.text, position, snapshot.encoding)

    async def hover(self, params: types.HoverParams) -> types.Hover | None:
        where = self._at(params.text_document, params.position)
        if where is None:
            return None
        self.symbols.look()
        snapshot, file, offset = where
        own = hover(snapshot, file, offset)
        parts = await self.plugins.gather("nayru_hover", deadline=PLUGIN_DEADLINE, snapshot=snapshot, file=file,
                                          offset=offset)
        texts = [own.contents.value] if own is not None and isinstance(own.contents, types.MarkupContent) else []
        texts += [text for _, text in parts if isinstance(text, str) and text.strip()]
        if not texts:
            return None
        kind = types.MarkupKind.Markdown if snapshot.client.markdown else types.MarkupKind.PlainText
        return types.Hover(contents=types.MarkupContent(kind=kind, value="\n\n---\n\n".join(texts)),
                           range=own.range if own else None)

    async def definition(self, params: types.DefinitionParams) -> list[types.Location] | None:
        where = self._at(params.text_document, params.position)
        if where is None:
            return None
        locations = definition(*where)
        if not locations and not self.index.done:       # it may stand in a file that is not read yet
            await self.index.until_done(READ_SECONDS)
            again = self._at(params.text_document, params.position)
            if again is not None and again[1].text is where[1].text:
                locations = definition(*again)
        for location in locations:
            location.uri = self.session.uri(to_path(location.uri)) or location.uri
        return locations

    async def document_symbol(self, params: types.DocumentSymbolParams) -> Any:
        file = self.session.file(params.text_document.uri)
        return None if file is None else document_symbol(self.session.snapshot(), file)

    async def completion(self, params: types.CompletionParams) -> types.CompletionList | None:
        where = self._at(params.text_document, params.position)
        self.symbols.look()
        return completion(*where) if where else None

    async def completion_resolve(self, item: types.CompletionItem) -> types.CompletionItem:
        try:
            return resolve(self.session.snapshot(), item)
        except Exception:
            log.exception("completionItem/resolve failed")
            return item

    async def code_action(self, params: types.CodeActionParams) -> list[types.CodeAction | types.Command] | None:
        file = self.session.file(params.text_document.uri)
        document = self.session.documents.get(to_path(params.text_document.uri))
        if file is None or document is None:
            return None
        snapshot = self.session.snapshot()
        span = to_span(file.text, params.range, snapshot.encoding)
        return code_action(snapshot, file, span, self.session.problems.of(file.path), params.context,
                           uri=document.uri, version=document.version)

    async def inline_completion(self, params: types.InlineCompletionParams) -> types.InlineCompletionList | None:
        where = self._at(params.text_document, params.position)
        if where is None or to_path(params.text_document.uri) not in self.session.documents:
            return None
        snapshot, file, offset = where
        invoked = params.context.trigger_kind is types.InlineCompletionTriggerKind.Invoked
        return await self.assist.inline(snapshot, file, offset, invoked)

    # --- commands ----------------------------------------------------------------------------------------------

    async def execute_command(self, params: types.ExecuteCommandParams) -> Any:
        arguments = list(params.arguments or ())
        first = arguments[0] if arguments and isinstance(arguments[0], Mapping) else {}
        match params.command:
            case "nayru.generate":
                return await self.generate(first, params.work_done_token)
            case "nayru.accepted":
                return self.assist.accepted(str(first.get("id", arguments[0] if arguments else "")))
            case "nayru.restart":
                return await self.restart()
            case "nayru.samples.list":
                return await self.assist.samples_list(first)
            case "nayru.samples.show":
                return await self.assist.samples_show(str(first.get("id", arguments[0] if arguments else "")))
            case "nayru.samples.delete":
                ids = first.get("ids", [first["id"]] if "id" in first else arguments)
                return await self.assist.samples_delete(
                    [one for one in ids if isinstance(one, str)] if isinstance(ids, list) else [])
            case name:
                result = self.plugins.run_command(name.removeprefix("nayru."), self.session.snapshot(), arguments)
                return await result if inspect.isawaitable(result) else result

    async def generate(self, argument: Mapping[str, Any], token: types.ProgressToken | None) -> dict[str, Any]:
        """A routine from the comment in ``range``: judged, offered as an edit of that document."""
        uri = str(argument.get("uri", ""))
        document, file = self.session.documents.get(to_path(uri)), self.session.file(uri)
        if document is None or file is None:
            return {"applied": False, "reason": "the document is not open"}
        snapshot = self.session.snapshot()
        span = Span(0, 0)
        if argument.get("range"):
            try:
                where = self.ls.protocol._converter.structure(argument["range"], types.Range)
            except Exception:
                return {"applied": False, "reason": "the range does not fit the protocol"}
            span = to_span(file.text, where, snapshot.encoding)
        return await self.assist.generate(snapshot, file, span, document, token)

    async def restart(self) -> dict[str, Any]:
        """Read the configuration and the project anew, and start the model and the plugins' workers anew."""
        await self.assist.close()
        await self.expansions.restart()
        await self.plugins.gather("nayru_close", deadline=1.0)
        await self.settings.pull(self.ls, self.session)
        self._configure()
        await self.index.read_folders(self.session.folders)
        await self.assist.start()
        for path in self.session.documents:
            self._validate_soon(path, 0)
        return {"files": len(self.session.project.files)}


def serve(places: Places, user: UserConfig, trouble: str = "") -> NoReturn:
    """Serve one editor on stdin and stdout, and end the process; the exit status is 0 after a proper shutdown (LSP's
    rule). ``trouble`` is what is wrong with ``config.toml``, to be told once."""
    # While the project is read in a thread, a key must not wait 5 ms for each turn of the interpreter lock.
    sys.setswitchinterval(0.001)
    signal.signal(signal.SIGINT, signal.SIG_DFL)    # Ctrl-C: the thread that reads stdin would hold us for ever
    reader, writer = _claim_standard_streams()
    nayru = Nayru(places, user, Plugins.load(user.plugins), trouble)
    nayru.expansions.configure(user.analysis)       # the process starts while the editor says what it wants
    status = 1
    try:
        nayru.ls.start_io(reader, writer)
        status = 0 if nayru.ls.protocol.shut_down else 1
    except Exception:
        log.exception("the server failed")
    finally:
        # The interpreter's own end waits for every thread of a pool, and a check of a large file takes many seconds.
        # What had to be kept is written (`Nayru.end`).
        kill_all()
        logging.shutdown()
        os._exit(status)


def _claim_standard_streams() -> tuple[BinaryIO, BinaryIO]:
    """Stdin and stdout for the protocol alone: what a plugin prints goes to stderr, what it reads is empty. Done by
    descriptor, so that libraries and child processes are covered too."""
    sys.stdout.flush()
    reader, writer = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    return reader, writer


def _problems(result: Any) -> Iterable[Any]:
    from nayru_lsp.asm.problem import Problem
    return [item for item in result if isinstance(item, Problem)] if isinstance(result, (list, tuple)) else []


def _installed() -> bool:
    try:
        metadata.version("nayru")
    except metadata.PackageNotFoundError:
        return False
    return True


def _announced() -> None:
    """Stands for a command in pygls' list; `Protocol` passes all of them to `Nayru.execute_command`."""
