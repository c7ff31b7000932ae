"""The server's side of the language model: providers, ghost text, generation, samples, and the status.

Nothing here may stop the editor: a backend that fails shows in the status with its reason, and the answer is ``null``.
The model's modules are imported after ``initialized``, so that the editor does not wait for them.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
import uuid
from collections.abc import Callable, Coroutine, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import msgspec
from lsprotocol import types
from pygls.exceptions import JsonRpcException

from nayru_lsp.asm.flow import widths_before
from nayru_lsp.asm.project import ParsedFile
from nayru_lsp.asm.text import Span
from nayru_lsp.assist.events import Events
from nayru_lsp.config import UserConfig
from nayru_lsp.contract import Offer
from nayru_lsp.convert import to_range, to_workspace_edit
from nayru_lsp.features.inline_completion import inline_completion
from nayru_lsp.files import Refused
from nayru_lsp.forgetting import ForgetError, forget_in_training
from nayru_lsp.plugins import Plugins
from nayru_lsp.prompt import RENDERER
from nayru_lsp.samples import SampleError, SampleStore
from nayru_lsp.session import Document, Edit
from nayru_lsp.snapshot import Snapshot
from nayru_lsp.work import Worker

if TYPE_CHECKING:
    from nayru_lsp.assist.models import Models
    from nayru_lsp.server import Nayru

T = TypeVar("T")
P = ParamSpec("P")

log = logging.getLogger("nayru.assist")

YES, NO = "Yes", "No"
TICK_SECONDS = 1.0
KEEP_SECONDS = 1.0          # that writing samples may take at the end; another program may hold the store
DELETE_SECONDS = 30.0       # how long a deletion waits for another program to let go of the store


class Assist:
    def __init__(self, nayru: Nayru) -> None:
        self._nayru = nayru
        self._models: Models | None = None
        self._store: SampleStore | None = None
        self._events: Events | None = None

    # --- life --------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Open the samples and start the providers; called when the project has been read, and after `close`."""
        await self._open_samples()
        self._nayru.schedule.later("tick", TICK_SECONDS, self._tick)
        await self._start_models()

    async def _open_samples(self) -> None:
        user = self._nayru.session.config.user.samples
        if not user.enabled or self._events is not None:
            return
        folder = Path(user.folder or self._nayru.places.data_folder)
        loop = asyncio.get_running_loop()

        def told(text: str) -> None:
            loop.call_soon_threadsafe(self._nayru.tell, text)
        try:
            self._store = await asyncio.to_thread(_open_store, folder, user.cap_mb << 20, told)
            self._events = await asyncio.to_thread(
                Events, self._store, self._ask_consent, settle_seconds=user.settle_seconds)
            for workspace in self._nayru.session.folders:
                await asyncio.to_thread(self._events.recover, workspace, self._read)
        except (SampleError, OSError) as error:
            self._nayru.tell(f"No samples are kept: {error}")

    def _read(self, path: str) -> str | None:
        """The text of a file as it is now, from the editor or the disk (called in a thread)."""
        document = self._nayru.session.project.files.get(path)
        if document is not None:
            return str(document.text)
        try:
            return self._nayru.index.fence.read(path).text
        except Refused:
            return None

    async def _tick(self) -> None:
        if self._events is not None:
            self._events.tick(self._text)
        self._nayru.schedule.later("tick", TICK_SECONDS, self._tick)

    def _text(self, path: str) -> str | None:
        file = self._nayru.session.project.files.get(path)
        return None if file is None else str(file.text)

    async def _start_models(self) -> None:
        nayru = self._nayru
        models = await asyncio.to_thread(_make_models, nayru.session.config.user, nayru.plugins)
        while models.user != nayru.session.config.user:     # settings changed meanwhile
            await models.close()
            models = await asyncio.to_thread(_make_models, nayru.session.config.user, nayru.plugins)
        self._models = models
        nayru.schedule.start(self._learn(models))
        await self._tell_model()

    async def _learn(self, models: Models) -> None:
        """Let the embedded predictor read the project, beside everything else."""
        await models.learn(self._nayru.session.snapshot())
        if self._models is models:
            await self._tell_model()

    async def _tell_model(self) -> None:
        """What will answer, before anything is asked."""
        if (models := self._models) is None:
            return
        if not models.user.ghost.enabled:
            self._nayru.status("off", reason="ghost text is switched off (ghost.enabled)")
            return
        state, model, reason = await models.status()
        if self._models is models:
            self._nayru.status(state, model=model, reason=reason)

    def configure(self, user: UserConfig) -> None:
        """Settings changed: providers that they concern are made anew."""
        models = self._models
        if models is None or models.user == user:
            return
        self._models = None

        async def again() -> None:
            await models.close()
            await self._start_models()
        self._nayru.schedule.start(again())

    def keep(self) -> None:
        """Write the samples, and take no more. Called on the event loop, which has nothing else to do at the end: a
        thread of a pool may not be free."""
        if self._events is not None:
            for path in list(self._nayru.session.documents):
                self._events.closed(path)
            self._events.close()
            self._events = None
        if self._store is not None:
            self._store.close(KEEP_SECONDS)
            self._store = None

    async def close(self) -> None:
        self._nayru.schedule.forget("tick")
        self.keep()
        if self._models is not None:
            await self._models.close()
            self._models = None

    # --- documents ---------------------------------------------------------------------------------------------

    def changed(self, path: str, edits: Iterable[Edit]) -> None:
        file = self._nayru.session.project.files.get(path)
        if file is None:
            return
        if self._models is not None:
            self._models.local.changed(path, file.text)
        if self._events is not None:
            self._events.changed(path, edits, str(file.text))

    def moved(self, paths: Iterable[str]) -> None:
        """Files arrived, changed or went on the disk."""
        if self._models is None:
            return
        for path in paths:
            file = self._nayru.session.project.files.get(path)
            if file is None:
                self._models.local.forgotten(path)
            else:
                self._models.local.changed(path, file.text)

    def saved(self, path: str) -> None:
        if self._events is not None and (text := self._text(path)) is not None:
            self._events.saved(path, text)

    def closed(self, path: str) -> None:
        if self._events is not None:
            self._events.closed(path)

    def accepted(self, offer_id: str) -> bool:
        return self._events is not None and self._events.accepted(offer_id)

    def _offered(self, snapshot: Snapshot, file: ParsedFile, offer: Offer, instruction: str = "") -> None:
        if self._events is None:
            return
        state = widths_before(file, offer.span.start)
        self._events.offered(
            offer, str(file.text), workspace=self._workspace(offer.path), renderer=RENDERER,
            licence=snapshot.config.project_for(offer.path).licence, instruction=instruction,
            widths=f"m{state.m or '?'} x{state.x or '?'}")

    def _workspace(self, path: str) -> str:
        return self._nayru.session.folder_of(path) or path.rpartition("/")[0]

    async def _ask_consent(self, workspace: str) -> bool | None:
        """Ask once per workspace, at the first acceptance, in whatever editor this is."""
        name = workspace.rpartition("/")[2] or workspace
        try:
            answer = await self._nayru.ls.window_show_message_request_async(types.ShowMessageRequestParams(
                type=types.MessageType.Info,
                message=f"Nayru: keep the suggestions you accept in \u201c{name}\u201d, and what becomes of them, as "
                        "training samples? They stay on this machine; `nayru samples` lists and deletes them.",
                actions=[types.MessageActionItem(title=YES), types.MessageActionItem(title=NO)]))
        except JsonRpcException:
            return None
        return None if answer is None else answer.title == YES

    # --- ghost text --------------------------------------------------------------------------------------------

    async def inline(self, snapshot: Snapshot, file: ParsedFile, offset: int, invoked: bool) -> (
            types.InlineCompletionList | None):
        """Judged suggestions for a place; ``null`` when a newer request overtakes this one, or there is none."""
        nayru, user = self._nayru, snapshot.config.user
        if not user.ghost.enabled:
            nayru.status("off", reason="ghost text is switched off (ghost.enabled)")
            return None
        if self._models is None:
            return None
        completer = self._models.completer
        found = await nayru.schedule.newest(    # the completer keeps its own time, and says so: it comes first
            ("inline", file.path), completer.complete(snapshot, file.path, offset, invoked),
            deadline=completer.patience(invoked) + 2)
        if found is None:
            return None
        nayru.status("ready" if found.offers else "silent", model=found.provider or None, reason=found.reason,
                     latency_ms=round(found.latency_ms))
        for offer in found.offers:
            self._offered(snapshot, file, offer)
        return inline_completion(snapshot, file, found.offers) if found.offers else None

    # --- routines ----------------------------------------------------------------------------------------------

    async def generate(self, snapshot: Snapshot, file: ParsedFile, span: Span, document: Document,
                       token: types.ProgressToken | None) -> dict[str, Any]:
        """A routine from the comment in ``span``, offered as an edit of the document it was made for."""
        if self._models is None:
            return {"applied": False, "reason": "the model is still being started"}
        nayru, models = self._nayru, self._models
        version = document.version
        progress = await Progress.begin(nayru, token, "Nayru: generating a routine")
        nayru.status("busy", reason="generating a routine")
        found = None
        try:
            found = await progress.run(models.generate(snapshot, file.path, span, progress.report))
        except asyncio.CancelledError:
            if not progress.cancelled:
                raise
            return {"applied": False, "reason": "cancelled"}
        finally:
            offer = found.offer if found is not None else None
            told = found.reason if found is not None else "cancelled" if progress.cancelled else "failed"
            progress.end(told or "done")
            nayru.status("ready" if offer is not None else "silent", reason=told)
        if offer is None:
            return {"applied": False, "text": "", "reason": found.reason, "rounds": found.rounds}
        self._offered(snapshot, file, offer, found.instruction)
        answer: dict[str, Any] = {
            "applied": False, "text": offer.text, "reason": found.reason, "rounds": found.rounds, "id": offer.id,
            "maker": offer.candidate.maker, "ok": offer.verdict.ok, "judges": list(offer.verdict.judges),
            "absent": list(offer.verdict.absent), "size": offer.verdict.size,
            "cycles": list(offer.verdict.cycles) if offer.verdict.cycles else None}
        if document.version != version or nayru.session.documents.get(file.path) is not document:
            return {**answer, "reason": "the document changed meanwhile"}
        if not snapshot.client.apply_edit:
            return {**answer, "reason": "the editor takes no edits (workspace/applyEdit)"}
        edit = to_workspace_edit(file.path, version, [types.TextEdit(
            range=to_range(file.text, offer.span, snapshot.encoding), new_text=offer.text)], snapshot, document.uri)
        try:
            result = await nayru.ls.workspace_apply_edit_async(
                types.ApplyWorkspaceEditParams(edit=edit, label="Generate routine from comment"))
        except JsonRpcException as error:
            return {**answer, "reason": f"the editor refused the edit: {error}"}
        if result.applied:
            self.accepted(offer.id)
        return {**answer, "applied": bool(result.applied), "reason": result.failure_reason or answer["reason"]}

    # --- samples -----------------------------------------------------------------------------------------------

    async def samples_list(self, wanted: Mapping[str, Any]) -> list[dict[str, Any]]:
        if self._store is None:
            return []
        limit = wanted.get("limit", 200)
        rows = await self._read_samples(self._store.select, state=str(wanted.get("state", "")),
                                        limit=limit if isinstance(limit, int) and 0 < limit < 1 << 31 else 200)
        return [{"id": row.id, "kind": row.kind, "state": row.state, "created": row.created, "path": row.path,
                 "maker": row.maker, "text": row.settled or row.accepted or row.offered} for row in rows or ()]

    async def _read_samples(self, read: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T | None:
        """``read`` in a thread; None, and a word to the user, when the store cannot be read now."""
        try:
            return await asyncio.to_thread(read, *args, **kwargs)
        except SampleError as error:
            self._nayru.tell(str(error), types.MessageType.Error)
            return None

    async def samples_show(self, sample_id: str) -> dict[str, Any] | None:
        if self._store is None:
            return None
        row = await self._read_samples(self._store.get, sample_id)
        if row is None:
            return None
        history = await self._read_samples(self._store.history, row.id)
        return {**msgspec.to_builtins(row), "history": [list(one) for one in history or ()]}

    async def samples_delete(self, ids: list[str]) -> int:
        if self._store is None:
            return 0
        if self._events is not None:
            self._events.forget(ids)
        try:
            gone = await asyncio.wait_for(asyncio.wrap_future(self._store.delete(ids)), DELETE_SECONDS)
        except (SampleError, TimeoutError) as error:
            self._nayru.tell("Nothing was deleted: " + (str(error) or "another program holds the sample store; try "
                                                       "again when it has ended"), types.MessageType.Error)
            return 0
        try:
            trained = await asyncio.to_thread(forget_in_training, self._nayru.places.data_folder, ids)
        except ForgetError as error:
            self._nayru.tell(str(error), types.MessageType.Error)
            return gone
        if trained:
            self._nayru.tell("Deleted. The models of these runs were trained on it and cannot forget: "
                             + ", ".join(trained))
        return gone


def _make_models(user: UserConfig, plugins: Plugins) -> Models:
    """In a thread: httpx and ollama are slow to import, and so are certificates to read."""
    from nayru_lsp.assist.models import PREDICTOR, Models

    return Models(user, plugins, Worker(PREDICTOR, name="predictor"))


def _open_store(folder: Path, cap: int, told: Callable[[str], None]) -> SampleStore:
    folder.mkdir(parents=True, exist_ok=True)
    return SampleStore(folder / "samples.sqlite", cap_bytes=cap, on_problem=told)


class Progress:
    """``$/progress`` with cancel, where the editor can show it."""

    def __init__(self, nayru: Nayru, token: types.ProgressToken | None) -> None:
        self._nayru = nayru
        self._token = token
        self._task: asyncio.Task[Any] | None = None
        self._last = 0.0
        self._said = "", 0
        self.cancelled = False

    @staticmethod
    async def begin(nayru: Nayru, token: types.ProgressToken | None, title: str) -> Progress:
        shown = nayru.ls.work_done_progress
        if token is None and nayru.session.client.work_done_progress:
            token = uuid.uuid4().hex
            try:
                await asyncio.wait_for(shown.create_async(token), 2)
            except (JsonRpcException, TimeoutError):
                token = None
        made = Progress(nayru, token)
        if token is not None:
            shown.begin(token, types.WorkDoneProgressBegin(title=title, cancellable=True, percentage=0))
            shown.tokens[token].add_done_callback(made._cancel)
        return made

    def _cancel(self, _: Any) -> None:
        self.cancelled = True
        if self._task is not None:
            self._task.cancel()

    async def run(self, work: Coroutine[Any, Any, T]) -> T:
        """``work``, which the user may cancel (CancelledError)."""
        self._task = task = asyncio.get_running_loop().create_task(work)
        if self.cancelled:
            task.cancel()
        try:
            return await task
        finally:
            task.cancel()

    def report(self, message: str, fraction: float) -> None:
        """What is new, at most ten times a second."""
        now = time.monotonic()
        news = message, max(0, min(100, round(100 * fraction)))
        if self._token is not None and news != self._said and (now - self._last > 0.1 or fraction >= 1):
            self._last, self._said = now, news
            self._nayru.ls.work_done_progress.report(self._token, types.WorkDoneProgressReport(
                message=news[0], percentage=news[1]))

    def end(self, message: str) -> None:
        if self._token is not None:
            with contextlib.suppress(Exception):
                self._nayru.ls.work_done_progress.end(self._token, types.WorkDoneProgressEnd(message=message))
            # pygls keeps ended tokens for ever.
            self._nayru.ls.work_done_progress.tokens.pop(self._token, None)
