"""Executing roots beside the editor: which one when, in the analysis process, and what its answer is put into.

The worker holds nothing that this side does not: texts of open documents, roots and the fence are sent again to a new
child. One root is executed at a time, in slices: between two of them another root that is wanted more may have its
turn, the user may cancel, and at the very first execution what is sure so far is told. What was found is kept, stale
where an edit overtook it, until the next result comes; what the disk has is told first, stale where files have changed
since. After each execution only the sections that are other ones come (`asm.packing`), and of lines only those of open
documents. Nothing waits for the whole project to be read: it is enough to know which roots reach a document
(`Index.rooted`).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from typing import TYPE_CHECKING, Any

from nayru_lsp.asm.expanded import Expanded, Packed, digest, told
from nayru_lsp.asm.problem import Problem
from nayru_lsp.asm.project import Project, Root
from nayru_lsp.asm.text import SourceText
from nayru_lsp.config import AnalysisConfig
from nayru_lsp.convert import is_on_disk
from nayru_lsp.files import FILE_LIMIT, Fence, Refused, configured_roots
from nayru_lsp.server_assist import Progress
from nayru_lsp.work import Worker, WorkerDied, WorkerError, WorkerTimeout

if TYPE_CHECKING:
    from nayru_lsp.server import Nayru

PAUSE = 0.05            # seconds of quiet before a change is executed
SLOW = 0.15             # an execution that takes longer waits for three times that pause
STORE_AFTER = 5.0       # seconds of quiet before a result is kept on disk
FIRST = 1.5             # seconds that reading the project waits for what is known of the open documents
SHOW_AFTER = 0.7        # a first execution that takes longer shows its progress
NOTE_AFTER = 0.3        # an execution that takes longer is named in the status
ROOTS = 4               # of one document
KEPT = 8                # roots that reach no open document are forgotten when there are more
TRIES = 2
DEATHS = 3              # of an execution, at TRIES each, before the root is given up
EARLY = 3               # parts of an answer that is none yet: the files read, what is sure so far, digests of the texts
TOO_MUCH = {"TimeoutError": ("time", "seconds"), "MemoryError": ("memory", "memory_mb")}    # with the setting for it

log = logging.getLogger("nayru.expansion")


class _NewChild(Exception):
    """The child that answered knows nothing of what was said before."""


class _PutOff(Exception):
    """Another root is wanted more."""


class _Stopped(Exception):
    """The user does not want it."""


class Expansions:
    """Used on the event loop only."""

    def __init__(self, nayru: Nayru) -> None:
        self._nayru = nayru
        self._config = AnalysisConfig()
        self._worker: Worker | None = None
        self._child = 0                                 # the child that knows what follows
        self._opened: tuple[tuple[Root, ...], Fence] | None = None
        self._texts: dict[str, SourceText] = {}         # open documents
        self._disk: set[str] = set()                    # files that changed on disk
        self._done: dict[str, tuple[Root, int, int]] = {}   # path -> root as executed, number of the result, child
        self._failed: dict[str, int] = {}               # path of a root -> revision of the texts
        self._stopped: set[str] = set()                 # roots that are not tried again
        self._ended: dict[str, int] = {}                # path of a root -> executions that ended their process
        self._last: list[str] = []                      # open documents, the one edited last at the end
        self._running: asyncio.Task[None] | None = None
        self._resting: asyncio.Task[None] | None = None     # what can wait
        self._answered = asyncio.Event()                # once: something is told, or it takes long
        self._progress: Progress | None = None          # of what is executed now
        self._read: dict[str, set[str]] = {}            # root that is being executed -> files that it came to
        self._slow = False                              # the last execution was
        self._stored: set[str] = set()                  # roots whose result came from the disk
        self._to_store: set[str] = set()                # roots whose result is not on the disk

    # --- what happens ------------------------------------------------------------------------------------------------

    def configure(self, config: AnalysisConfig) -> None:
        """Take new settings."""
        if config == self._config and self._worker is not None:
            return
        before, self._worker, self._config = self._worker, None, config
        self._cancel()
        if before is not None:
            self._nayru.schedule.start(before.close())
        self._reset()
        if config.expansion:
            self._worker = Worker("nayru_lsp.expansion_work:serve", name="expansion",
                                  options={"seconds": config.seconds, "folder": self._folder()},
                                  limits={"memory_mb": config.memory_mb})
            self._worker.start()
        self.wake()

    def _folder(self) -> str:
        """Where results are kept between two starts, or ""."""
        folder = self._nayru.places.cache_folder
        return f"{folder}/expansion" if folder and self._config.cache else ""

    def _reset(self) -> None:
        self._opened, self._child = None, 0
        self._read.clear()
        self._stored.clear()
        self._to_store.clear()
        self._done.clear()
        self._failed.clear()
        self._stopped.clear()
        self._ended.clear()
        for path in list(self._nayru.session.expanded):
            self._forget(path)

    def _forget(self, path: str) -> None:
        """What was found in a root is true no more."""
        self._done.pop(path, None)
        self._nayru.session.set_expanded(path, None)
        self._publish(path)

    def changed(self, path: str) -> None:
        """An open document has a new text."""
        if path in self._last:
            self._last.remove(path)
        self._last.append(path)
        self.wake()

    def moved(self, paths: set[str]) -> None:
        """Files arrived, changed or went, on disk."""
        self._disk |= {path for path in paths if not self._is_executed(path)}
        self.wake()

    def wake(self) -> None:
        """Look for work after a pause."""
        if self._worker is not None and (self._nayru.index.done or self._nayru.index.rooted):
            self._nayru.schedule.later("expansion", 3 * PAUSE if self._slow else PAUSE, self._start)

    async def first_answer(self) -> None:
        """Wait for what the disk has of the open documents: two threads at work would take turns."""
        rooted = self._nayru.index.rooted.intersection(self._nayru.session.documents)
        if self._worker is not None and any(map(self._nayru.session.project.roots_of, rooted)):
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._answered.wait(), FIRST)

    def all_read(self) -> None:
        """The whole project is read: what was found earlier has its lines."""
        for root in self._nayru.session.expanded:
            self._publish(root)
        self.wake()

    def _is_executed(self, path: str) -> bool:
        """Is this very text what every result that depends on the file was made of?"""
        session = self._nayru.session
        file = session.project.files.get(path)
        results = [expanded for expanded in session.expanded.values() if expanded.reads(path)]
        return file is not None and bool(results) and all(one.is_text(path, file.text) for one in results)

    async def _start(self) -> None:
        if self._running is None or self._running.done():
            self._running = self._nayru.schedule.start(self._run())

    async def restart(self) -> None:
        """Forget everything and begin anew."""
        await self.close()
        self._reset()
        self.wake()

    async def close(self) -> None:
        self._cancel()
        if self._worker is not None:
            await self._worker.close()

    def _cancel(self) -> None:
        self._nayru.schedule.forget("expansion store")
        for task in (self._running, self._resting):
            if task is not None:
                task.cancel()

    # --- working -----------------------------------------------------------------------------------------------------

    async def _run(self) -> None:
        while (root := self._next()) is not None:
            await self._expand(root)
            if self._nayru.schedule.busy("expansion"):      # one types: the pause decides when to go on
                return
        if self._resting is None or self._resting.done():
            self._resting = self._nayru.schedule.start(self._rest())

    def _next(self) -> Root | None:
        """A root that reaches an open document and was not executed with the texts of now."""
        session = self._nayru.session
        known = {root.path: root for root in session.project.roots}
        named = self._named()
        for path, expanded in list(session.expanded.items()):
            root = known.get(path)
            if root is None or self._done[path][0] != root or expanded.named is not (root in named):
                self._forget(path)
        if self._worker is None:
            return None
        if len(session.expanded) > KEPT:
            for path in [path for path, one in session.expanded.items() if not any(map(one.reads, session.documents))]:
                self._forget(path)
        opened = sorted(session.documents, key=lambda path: self._last.index(path) if path in self._last else -1)
        for path in reversed(opened):
            if not is_on_disk(path) or not (self._nayru.index.done or path in self._nayru.index.rooted):
                continue
            reaching = [root.path for root in session.project.roots_of(path)[:ROOTS]]
            reaching += [root for root, expanded in session.expanded.items() if expanded.reads(path)]
            if not reaching:        # a define or a macro may make the name that it is included by
                folder = session.folder_of(path)
                reaching = [root.path for root in session.project.roots
                            if root in named and session.folder_of(root.path) == folder][:ROOTS]
            for name in reaching:
                found = session.expanded.get(name)
                there = found is not None and not found.stale and all(
                    map(found.shows, filter(is_on_disk, session.documents)))
                if not there and name not in self._stopped and self._failed.get(name) != session.text_revision:
                    return known[name]
        return None

    async def _rest(self) -> None:
        """What can wait: roots that came from the disk are executed, and what is not on the disk is written there."""
        while self._stored and self._worker is not None:
            root = next(iter(self._stored))
            done = True
            with contextlib.suppress(WorkerError, _NewChild):
                done = await self._send(("warm", root))
            if done:
                self._stored.discard(root)
            if self._running is not None and not self._running.done():
                return          # and at its end it comes here again
        if self._to_store:
            self._nayru.schedule.later("expansion store", STORE_AFTER, self._store)

    async def _store(self) -> None:
        if self._running is not None and not self._running.done():
            return
        for root in list(self._to_store):
            with contextlib.suppress(WorkerError, _NewChild):
                while (done := await self._send(("store", root))) is None:
                    if self._running is not None and not self._running.done():
                        return          # and at its end it comes here again
                if done:
                    self._to_store.discard(root)

    async def _expand(self, root: Root) -> None:
        session = self._nayru.session
        first = not self._is_told(root) or root.path in self._stored
        name = root.path.rpartition("/")[2]
        note = asyncio.get_running_loop().call_later(NOTE_AFTER, self._nayru.work_note, f"executing {name}")
        task = asyncio.get_running_loop().create_task(self._ask(root))
        revision, said = session.text_revision, "stopped"
        ready = self._worker.ready if self._worker is not None else 0
        try:
            if first:
                await self._look_at_image(root)
                await asyncio.wait({task}, timeout=SHOW_AFTER)
                if not task.done():
                    self._progress = await Progress.begin(self._nayru, None, f"Nayru: executing {name}")
            await task
            said = "done"
        except _PutOff:
            said = "put off"
        except _Stopped:
            self._stopped.add(root.path)
            log.info("%s is not executed: cancelled", name)
        except WorkerError as error:
            self._failed[root.path] = revision
            for kind, (what, setting) in TOO_MUCH.items():
                if kind in str(error):
                    self._stopped.add(root.path)
                    self._nayru.tell(
                        f"Nayru: executing {root.path} takes more {what} than it may, so the labels that its macros "
                        f"make, its addresses and its errors stay unknown. Raise analysis.{setting} in your settings "
                        f"(now {getattr(self._config, setting):g}) to have them.")
            if isinstance(error, WorkerDied | WorkerTimeout):
                self._ended[root.path] = self._ended.get(root.path, 0) + 1
                if self._ended[root.path] == DEATHS:
                    if self._worker is not None and self._worker.ready > ready:
                        self._stopped.add(root.path)    # starting is spaced out already
                    self._nayru.tell(
                        f"Nayru: the process that executes {root.path} ended again and again ({error}), so the labels "
                        "that its macros make, its addresses and its errors stay as they are. Run `nayru.restart` to "
                        "try again; the log says more.")
            log.warning("%s could not be executed: %s", name, error)
        finally:
            task.cancel()
            note.cancel()
            self._answered.set()
            self._nayru.work_note("")
            if self._progress is not None:
                self._progress.end(said)
                self._progress = None

    async def _look_at_image(self, root: Root) -> None:
        """Tell of a base image that is there and is not read; of one that is not there, the settings tell."""
        fence, image = self._nayru.index.fence, root.base_image
        if image and fence.exists(image):
            try:
                await asyncio.to_thread(fence.read_bytes, image, FILE_LIMIT)
            except Refused as error:
                self._nayru.tell(f"Nayru: the base image {image} is not read: {error}. What depends on it stays "
                                 f"unknown in {root.path}.")

    async def _ask(self, root: Root) -> None:
        """Execute ``root`` with the texts of now, and put what was found into the session."""
        session = self._nayru.session
        project = session.project
        texts = self._texts_of(project)
        known = session.expanded.get(root.path)
        begun = time.monotonic()
        for left in reversed(range(TRIES)):
            try:
                answer, paths = await self._call(project, texts, root)
                break
            except WorkerDied:
                if not left:
                    raise
        self._ended.pop(root.path, None)
        self._slow = time.monotonic() - begun > SLOW
        self._read.pop(root.path, None)
        number, sections, digests, whole, moved = answer
        if moved is None:
            self._stored.discard(root.path)
            self._to_store.add(root.path)
        else:
            self._stored.add(root.path)
        named = root in self._named()
        executed = {path: text for path, text in texts.items() if path not in (moved or ())}
        if known is None or whole:
            expanded = Expanded(sections, executed, named=named, digests=digests)
        else:
            expanded = known.followed(sections, paths, executed, digests, named=named)
        changed = {*(moved or ()), *await self._overtaken(expanded, project, texts)}
        self._done[root.path] = root, number, self._child
        session.set_expanded(root.path, expanded.with_moved(changed) if changed else expanded)
        self._disk = {path for path in self._disk if not self._is_executed(path)}
        self._publish(root.path)
        for path in session.documents:
            if expanded.reads(path):
                self._nayru.check_soon(path)

    async def _overtaken(self, expanded: Expanded, project: Project, texts: dict[str, SourceText]) -> list[str]:
        """The files of ``expanded`` that have another text now than in ``project``, when it was asked for. What takes
        long is done beside the event loop: a table of names, and a look at each file that was read for the first time
        meanwhile, nearly always as it was executed."""
        files = self._nayru.session.project.files

        def others() -> list[str]:
            now = self._nayru.session.project.files
            return [path for path in {*expanded.files, *expanded.moved, *texts}
                    if expanded.reads(path) and _text(now, path) is not _text(project.files, path)]

        def prepare() -> None:
            expanded.label("")
            for path, text in new:
                expanded.is_text(path, text)

        new = [(path, files[path].text) for path in others() if path in files and path not in project.files]
        await asyncio.to_thread(prepare)
        now = self._nayru.session.project.files
        return [path for path in others() if path in project.files or not (
            path in now and expanded.is_text(path, now[path].text))]

    async def _call(self, project: Project, texts: dict[str, SourceText], root: Root) -> tuple[Any, tuple[str, ...]]:
        """Tell the worker what it does not know yet, then ask until it answers. A new child is told everything. The
        answer, and the files of which it has the lines."""
        for _ in range(TRIES + 1):
            with contextlib.suppress(_NewChild):
                opened = (project.roots, self._nayru.index.fence)
                if self._opened != opened:
                    await self._send(("open", *opened))
                    self._opened = opened
                for path in [path for path in self._texts if path not in texts]:
                    await self._send(("edit", path, None))
                    del self._texts[path]
                for path in [path for path in self._disk if path not in texts]:
                    await self._send(("edit", path, None))
                self._disk.clear()
                for path, text in texts.items():
                    if self._texts.get(path) is not text:
                        await self._send(("edit", path, str(text)))
                        self._texts[path] = text
                _, number, child = self._done.get(root.path, (root, 0, 0))
                if child != self._child:
                    number = -1 if self._is_told(root) else 0
                while True:
                    paths = tuple(texts | self._texts_of(self._nayru.session.project))
                    answer = await self._send(("expand", root.path, number, paths))
                    if len(answer) > EARLY:
                        return answer, paths
                    if len(answer) == EARLY and not self._is_told(root):
                        await self._tell_early(root, project, texts, *answer[1:])
                    await self._between(root, answer[0])
        raise WorkerDied("the process was started anew again and again")

    def _texts_of(self, project: Project) -> dict[str, SourceText]:
        """Of the open documents."""
        return {path: project.files[path].text for path in self._nayru.session.documents
                if is_on_disk(path) and path in project.files}

    def _is_told(self, root: Root) -> bool:
        """Is there a result, stale or not, of a whole execution?"""
        expanded = self._nayru.session.expanded.get(root.path)
        return expanded is not None and not expanded.early

    async def _tell_early(self, root: Root, project: Project, texts: dict[str, SourceText], sections: Packed,
                          digests: dict[str, bytes]) -> None:
        """Put what is sure so far into the session."""
        before = self._nayru.session.expanded.get(root.path)
        later = self._texts_of(self._nayru.session.project)

        def executed() -> dict[str, SourceText]:       # it may have been begun with others than those of now
            known = [*(before.texts.items() if before is not None else ()), *texts.items(), *later.items()]
            return {path: text for path, text in known if digests.get(path) == digest(str(text))}

        expanded = Expanded(sections, await asyncio.to_thread(executed), named=root in self._named(), digests=digests,
                            early=True)
        changed = await self._overtaken(expanded, project, texts)
        self._done[root.path] = root, 0, self._child
        self._nayru.session.set_expanded(root.path, expanded.with_moved(changed) if changed else expanded)

    async def _between(self, root: Root, read: list[str]) -> None:
        """A slice of an execution is over, in which it came to these files. Raises where it is not to go on."""
        self._answered.set()
        come = self._read.setdefault(root.path, set())
        come.update(read)
        if self._progress is not None:
            project = self._nayru.session.project
            sizes = {path: project.files[path].text.length for path in project.graph.reached(root.path)
                     if path in project.files}
            whole = sum(sizes.values())
            if whole:       # the last tenth stands for what comes when all is read
                self._progress.report("", 0.9 * sum(size for path, size in sizes.items() if path in come) / whole)
            if self._progress.cancelled:
                self._read.pop(root.path)
                await self._send(("drop", root.path))
                raise _Stopped
        if self._next() != root:
            raise _PutOff

    async def _send(self, request: tuple[Any, ...]) -> Any:
        worker = self._worker
        if worker is None:
            raise WorkerError("switched off")
        try:
            answer = await worker.call(request, deadline=self._config.seconds + 30)
        except WorkerError as error:
            if isinstance(error, (WorkerDied, WorkerTimeout)) or worker.generation == self._child:
                raise
        else:
            if worker.generation == self._child:
                return answer
        self._child, self._opened = worker.generation, None
        self._texts.clear()
        self._disk.clear()
        raise _NewChild

    # --- problems ----------------------------------------------------------------------------------------------------

    def _problems(self, root: str) -> list[Problem]:
        expanded = self._nayru.session.expanded.get(root)
        if expanded is None or (expanded.stale and root in self._stored):
            return []       # what was wrong before files changed need not be so any more
        files = self._nayru.session.project.files
        return told(expanded, {path: files[path].text for path in expanded.files if path in files})

    def _named(self) -> set[Root]:
        """The roots that a ``nayru.toml`` names; the others are guessed."""
        session = self._nayru.session
        return {root for folder in session.folders if folder in session.config.projects
                for root in configured_roots(folder, session.config.projects[folder])}

    def _publish(self, root: str) -> None:
        problems = self._problems(root)
        touched = self._nayru.session.problems.set_root(("expansion", root), problems)
        for path in touched | {other.path for one in problems for other in one.related}:
            self._nayru.publish(path)


def _text(files: Any, path: str) -> SourceText | None:
    file = files.get(path)
    return None if file is None else file.text
