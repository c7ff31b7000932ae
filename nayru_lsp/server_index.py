"""Reading the project in the background: folders first, then whatever the files include.

Disk and parser work in one thread; the session is touched on the event loop, one file at a time.
"""

from __future__ import annotations

import asyncio
import gc
import os
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from itertools import chain
from typing import ParamSpec, TypeVar

from nayru_lsp.asm.parser import parse_text
from nayru_lsp.asm.problem import Problem
from nayru_lsp.asm.project import ParsedFile
from nayru_lsp.asm.text import SourceText
from nayru_lsp.config import Config
from nayru_lsp.files import (
    SOURCE_LIMIT,
    Fence,
    Refused,
    dialect_of,
    effective_roots,
    is_below,
    sources_below,
    wanted_includes,
)
from nayru_lsp.session import Session

BATCH_FILES = 16
BATCH_BLOBS = 64
ROUNDS = 64         # how deep includes are followed from one change
SMALL = 2_000_000   # bytes of sources that are read in some 0.2 s: nothing needs to come before
MOST_ABOVE = 100    # files that are read before all others because they may include an open document

T = TypeVar("T")
P = ParamSpec("P")
Read = tuple[list[ParsedFile], dict[str, tuple[Problem, ...]], list[str]]


def read_batch(paths: Sequence[str], fence: Fence, config: Config) -> Read:
    """(parsed files, problems of reading by path, paths that cannot be read)."""
    parsed, problems, gone = [], {}, []
    for path in paths:
        try:
            source = fence.read(path)
        except Refused:
            gone.append(path)
            continue
        dialect = dialect_of(config.project_for(path))
        file = parse_text(path, SourceText.of(source.text), dialect)
        _ = file.outlines, file.includes        # made on demand: here, not on the event loop
        parsed.append(file)
        problems[path] = source.problems
    return parsed, problems, gone


def _list_sources(folder: str, fence: Fence) -> list[str]:
    return list(sources_below(folder, fence))


def _size(folders: list[list[str]]) -> int:
    """Bytes of all these files."""
    found = 0
    for path in chain.from_iterable(folders):
        with suppress(OSError):
            found += os.stat(path).st_size
    return found


def includers(paths: Iterable[str], sources: Sequence[str], fence: Fence) -> list[str] | None:
    """The ``sources`` that hold the file name of one of ``paths``, those that hold the name of one of these, and so on:
    whoever includes a file must name it, but for a name that is put together. None: they are too many."""
    known = set(paths)
    newest = list(known)
    found: list[str] = []
    texts: dict[str, bytes] = {}
    while newest and len(found) <= MOST_ABOVE:
        names = [path.rpartition("/")[2].lower().encode("utf-8", "surrogatepass") for path in newest]
        newest = []
        for path in sources:
            if path in known:
                continue
            text = texts.get(path)
            if text is None:
                try:
                    text = fence.read_bytes(path, SOURCE_LIMIT).lower()
                except Refused:
                    text = b""
                texts[path] = text
            if any(name in text for name in names):
                newest.append(path)
        known.update(newest)
        found += newest
    return found if len(found) <= MOST_ABOVE else None


class Index:
    """``changed(paths)`` is called on the event loop when files arrived, changed or went."""

    def __init__(self, session: Session, changed: Callable[[set[str]], None]) -> None:
        self._session = session
        self._changed = changed
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="nayru index")
        self.fence = Fence()
        self._read = asyncio.Event()
        self.rooted: set[str] = set()       # documents of which all is read that may include them

    @property
    def done(self) -> bool:
        """The folders have been read once."""
        return self._read.is_set()

    async def until_done(self, seconds: float) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(self._read.wait(), seconds)

    async def in_thread(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, partial(call, *args, **kwargs))

    async def read_folders(self, folders: Iterable[str], between: Callable[[], Awaitable[None]] | None = None) -> None:
        """Read every source below ``folders`` and what these include; first what may include an open document. What
        that is wanted for comes ``between``, where the rest takes long."""
        gc.disable()        # a full collection in mid-read holds every thread for 100 ms
        try:
            listed = [(folder, await self.in_thread(_list_sources, folder, self.fence)) for folder in folders]
            first: set[str] = set()
            if between is not None and await self.in_thread(_size, [sources for _, sources in listed]) > SMALL:
                for folder, sources in listed:
                    first.update(await self._read_above(folder, sources))
                await between()
            for _, sources in listed:
                await self.read(sources, first)
        finally:
            self._read.set()
            gc.freeze()     # the project stays: no later collection needs to walk it
            gc.enable()

    async def _read_above(self, folder: str, sources: list[str]) -> list[str]:
        """Read those of the ``sources`` that tell which roots reach the open documents; returns them."""
        documents = [path for path in self._session.documents if is_below(path, folder)]
        above = await self.in_thread(includers, documents, sources, self.fence)
        if above is None:
            return []
        above = [path for path in above if path not in self._session.documents]
        await self._adopt(*await self.in_thread(read_batch, above, self.fence, self._session.config))
        self.settle_roots()
        self.rooted.update(documents)
        self._changed(set())
        return above

    async def read(self, paths: Iterable[str], known: Collection[str] = ()) -> None:
        """Read ``paths`` from disk (but for open documents, and what is ``known``) and follow their includes; what is
        gone is dropped."""
        waiting = list(dict.fromkeys(paths))
        for _ in range(ROUNDS):
            wanted = [path for path in waiting if path not in self._session.documents and path not in known]
            for first in range(0, len(wanted), BATCH_FILES):
                batch = wanted[first:first + BATCH_FILES]
                config = self._session.config
                await self._adopt(*await self.in_thread(read_batch, batch, self.fence, config))
            self.settle_roots()         # their include paths are looked into
            waiting, known = await self.follow(waiting), ()
            if not waiting:
                break
        self.settle_roots()

    async def follow_all(self) -> None:
        """Look up every include anew: the fence or the include paths have changed."""
        sources = await self.follow(list(self._session.project.files))
        if sources:
            await self.read(sources)

    async def _adopt(self, parsed: list[ParsedFile], problems: dict[str, tuple[Problem, ...]],
                     gone: list[str]) -> None:
        session = self._session
        for path in gone:
            session.problems.forget(path)
            session.drop(path)
        session.problems.reading.update(problems)
        for file in parsed:
            session.adopt([file])
            await asyncio.sleep(0)
        self._changed({*gone, *problems})

    async def follow(self, paths: Iterable[str]) -> list[str]:
        """Look up what ``paths`` include; returns the sources that must be read for it."""
        session, paths = self._session, list(paths)
        project = session.project
        sources, blobs, absent = await self.in_thread(wanted_includes, project, paths, self.fence)
        for first in range(0, len(blobs), BATCH_BLOBS):
            session.add_blobs(blobs[first:first + BATCH_BLOBS])
            await asyncio.sleep(0)
        asked, before = set(paths), session.project.absent
        session.set_absent([pair for pair in before if pair[0] not in asked] + absent)
        if blobs or session.project.absent != before:
            self._changed(set())
        return sources

    def settle_roots(self) -> None:
        """Take the roots of ``nayru.toml``, and dress derived ones with what it says for all."""
        session = self._session
        roots = effective_roots(session.project, session.config, session.folders)
        if roots is not None:
            session.set_roots(roots)

    def close(self) -> None:
        self._thread.shutdown(wait=False, cancel_futures=True)
