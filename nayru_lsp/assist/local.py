"""The embedded default Provider: next lines learned from the open workspace, routines from our own library.

The predictor runs in a worker process (`serve` is its factory); this side sends it files and edits and asks. Nothing
leaves the machine and nothing is needed beside Python. Whoever starts the server makes the Worker and passes it in:
``LocalProvider(Worker("nayru_lsp.assist.local:serve", name="predictor"))``.
"""

from __future__ import annotations

import asyncio
import contextlib
import posixpath
from collections.abc import Callable, Iterable
from typing import Any, Protocol

from nayru_lsp.asm.text import SourceText
from nayru_lsp.assist import library
from nayru_lsp.assist.local_predict import serve
from nayru_lsp.contract import Candidate, CompletionRequest, GenerationRequest, ProviderError, ProviderStatus

__all__ = ["LocalProvider", "serve"]

BATCH = 200_000             # code points sent to the worker at once: a request waits behind one batch at most
SETTLE_SECONDS = 0.4        # quiet time before edits are indexed
CALL_SECONDS = 30.0         # a worker that takes longer is killed and fed again


class Caller(Protocol):
    """What is needed of `nayru_lsp.work.Worker`."""

    starts: int

    async def call(self, request: Any, *, deadline: float, urgent: bool = False) -> Any: ...

    async def close(self) -> None: ...


class LocalProvider:
    """``name`` is "local". Create it on the event loop that will use it."""

    name = "local"

    def __init__(self, worker: Caller) -> None:
        self._worker = worker
        # path -> text that the worker has or is being sent; as a SourceText it shares its blocks with the project
        self._known: dict[str, str | SourceText] = {}
        self._fed = worker.starts                   # the child that was told of `_known`
        self._lock = asyncio.Lock()                 # requests that change the worker's files go one after the other
        self._settling: dict[str, asyncio.Task[None]] = {}
        self._last = ""                             # the file asked about last: files near it are indexed first
        self._lines = 0
        self._indexing = False
        self._full = False
        self._problem = ""

    # --- what the workspace holds ------------------------------------------------------------------------------------

    async def index(self, files: Iterable[tuple[str, str | SourceText]],
                    progress: Callable[[str, float], None] | None = None) -> None:
        """Index these files, nearest to the file in use first, until the cap is reached. ``progress`` gets a message
        and the share done (0..1). Cancelling stops between two batches."""
        waiting = [(path, text) for path, text in files if path not in self._known]
        waiting.sort(key=lambda one: (_distance(one[0], self._last or (waiting[0][0] if waiting else "")), one[0]))
        total = max(1, len(waiting))
        self._indexing = True
        try:
            batch: list[tuple[str, str | SourceText]] = []
            size = 0
            for done, (path, text) in enumerate(waiting, 1):
                if path in self._known:     # opened meanwhile
                    continue
                batch.append((path, text))
                size += len(text) if isinstance(text, str) else text.length
                if size >= BATCH or done == total:
                    if not await self._add(batch):
                        break
                    batch, size = [], 0
                    if progress is not None:
                        progress(f"{self._lines} lines", done / total)
            if batch:
                await self._add(batch)
        finally:
            self._indexing = False
        if progress is not None:
            progress(f"{self._lines} lines", 1.0)

    async def _add(self, batch: list[tuple[str, str | SourceText]]) -> bool:
        async with self._lock:
            self._known.update(batch)
            answer = await self._call(("add", [(path, str(text)) for path, text in batch]))
        if isinstance(answer, int) and answer >= 0:
            self._lines = answer
            return True
        self._full = answer == -1
        return answer is None       # a worker that failed is fed again at the next request

    def changed(self, path: str, text: str | SourceText) -> None:
        """An open file has a new text. Cheap; the index follows after a moment of quiet."""
        self._last = path
        with contextlib.suppress(RuntimeError):     # no running loop: the next request brings the text along
            loop = asyncio.get_running_loop()
            previous = self._settling.pop(path, None)
            if previous is not None:
                previous.cancel()
            self._settling[path] = loop.create_task(self._settle(path, text))

    def forgotten(self, path: str) -> None:
        """A file is gone."""
        previous = self._settling.pop(path, None)
        if previous is not None:
            previous.cancel()
        if self._known.pop(path, None) is not None:
            with contextlib.suppress(RuntimeError):
                self._settling[path] = asyncio.get_running_loop().create_task(self._forget(path))

    async def _settle(self, path: str, text: str | SourceText) -> None:
        await asyncio.sleep(SETTLE_SECONDS)
        await asyncio.shield(self._tell_and_settle(path, text))

    async def _tell_and_settle(self, path: str, text: str | SourceText) -> None:
        async with self._lock:
            await self._tell(path, text)
            await self._call(("settle", path))

    async def _forget(self, path: str) -> None:
        async with self._lock:
            await self._call(("forget", path))

    async def _tell(self, path: str, text: str | SourceText, urgent: bool = False) -> None:
        """Make the worker's text of ``path`` this one; sends only the lines that differ. Call under the lock."""
        old = self._known.get(path)
        if old is text:
            return
        self._known[path] = text
        before, now = None if old is None else str(old), str(text)
        if before is None:
            await self._call(("open", path, now), urgent)
        elif before != now:
            count = await self._call(("edit", path, *changed_lines(before, now)), urgent)
            if count != now.replace("\r\n", "\n").replace("\r", "\n").count("\n") + 1:
                await self._call(("open", path, now), urgent)       # out of step: a new child was told the new text

    # --- the Provider ------------------------------------------------------------------------------------------------

    async def status(self) -> ProviderStatus:
        model = f"next lines of this workspace ({self._lines} indexed{', the cap' if self._full else ''})"
        if self._problem:
            return ProviderStatus("absent", model, self._problem)
        return ProviderStatus("starting" if self._indexing else "ready", model)

    async def complete(self, request: CompletionRequest) -> tuple[Candidate, ...]:
        """The likely next lines at the cursor, best first; ``confidence`` is the probability that all are right."""
        file = request.snapshot.project.files.get(request.path)
        if file is None:
            return ()
        source = file.text
        row = source.line_of(request.offset)
        column = request.offset - source.line_start(row)
        self._last = request.path
        threshold = request.snapshot.config.user.ghost.threshold
        # Cancelling a call that has begun would kill the worker with all it has learned: let it finish unheard.
        asking = asyncio.ensure_future(self._ask(request.path, source, row, column, request.max_lines, threshold))
        asking.add_done_callback(_drop)
        try:
            answer = await asyncio.wait_for(asyncio.shield(asking), request.deadline)
        except TimeoutError:
            raise ProviderError("The local predictor is busy indexing; suggestions come in a moment.") from None
        if self._problem:
            raise ProviderError(self._problem)
        return tuple(Candidate(text, "local", probability) for text, probability in answer or ())

    async def _ask(self, path: str, text: SourceText, row: int, column: int, max_lines: int, threshold: float) -> Any:
        async with self._lock:
            await self._tell(path, text, urgent=True)
            return await self._call(("predict", path, row, column, max_lines, threshold), urgent=True)

    async def generate(self, request: GenerationRequest) -> tuple[Candidate, ...]:
        """The library's routines that the instruction asks for; those that were tried already are left out."""
        tried = {candidate.maker for candidate, _ in request.attempts}
        found = library.find(request.instruction)
        return tuple(
            Candidate(routine.text, f"library:{routine.name}", None) for routine in found
            if f"library:{routine.name}" not in tried)

    async def close(self) -> None:
        for task in self._settling.values():
            task.cancel()
        await self._worker.close()

    # --- the worker --------------------------------------------------------------------------------------------------

    async def _call(self, request: tuple[Any, ...], urgent: bool = False) -> Any:
        """The worker's answer; None when it failed (then `_problem` says why). A worker that was started anew is told
        all files first."""
        try:
            if self._fed and self._worker.starts != self._fed:
                self._fed = self._worker.starts
                await self._feed()
            answer = await self._worker.call(request, deadline=CALL_SECONDS, urgent=urgent)
            if self._worker.starts != self._fed:        # this very call started a new child
                fresh = self._fed == 0
                self._fed = self._worker.starts
                if not fresh:
                    await self._feed()
                    answer = await self._worker.call(request, deadline=CALL_SECONDS, urgent=urgent)
        except Exception as error:      # whatever ends the worker ends only the suggestions, and says so
            if isinstance(error, asyncio.CancelledError):
                raise
            self._problem = f"The local predictor failed ({error}); it starts anew with the next key."
            return None
        self._problem = ""
        return answer

    async def _feed(self) -> None:
        """Tell a new child everything that the last one knew."""
        batch: list[tuple[str, str]] = []
        for path, text in list(self._known.items()):
            batch.append((path, str(text)))
            if sum(len(one) for _, one in batch) >= BATCH:
                await self._worker.call(("add", batch), deadline=CALL_SECONDS)
                batch = []
        if batch:
            await self._worker.call(("add", batch), deadline=CALL_SECONDS)


def _drop(task: asyncio.Future[Any]) -> None:
    if not task.cancelled():
        task.exception()        # an answer nobody waits for any more


def _distance(path: str, near: str) -> int:
    """How many folders lie between two files."""
    a, b = posixpath.dirname(path).split("/"), posixpath.dirname(near).split("/")
    shared = 0
    while shared < min(len(a), len(b)) and a[shared] == b[shared]:
        shared += 1
    return len(a) + len(b) - 2 * shared


def changed_lines(old: str, new: str) -> tuple[int, int, list[str]]:
    """(start, end, lines): lines start..end of ``old`` became ``lines``. Lines end at CR LF, LF or CR."""
    if "\r" in old or "\r" in new:
        old, new = (text.replace("\r\n", "\n").replace("\r", "\n") for text in (old, new))
    head = _shared(old, new)
    head = old.rfind("\n", 0, head) + 1             # to the start of a line
    most = min(len(old), len(new)) - head
    tail = min(_shared(old[::-1], new[::-1]), most)
    cut = old.find("\n", len(old) - tail)           # from the end of a line on
    tail = len(old) - cut if cut >= 0 else 0
    start = old.count("\n", 0, head)
    end = start + old.count("\n", head, len(old) - tail) + 1
    return start, end, new[head : len(new) - tail].split("\n")


def _shared(a: str, b: str) -> int:
    """The length of the common start, by halving: comparing slices is far quicker than characters."""
    low, high = 0, min(len(a), len(b))
    if a[:high] == b[:high]:
        return high
    while high - low > 1:
        middle = (low + high) // 2
        if a[low:middle] == b[low:middle]:
            low = middle
        else:
            high = middle
    return low
