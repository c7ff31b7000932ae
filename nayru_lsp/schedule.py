"""Who works when: one place for delay, "newest wins", deadline and "every request is answered".

Work is named by a key, usually (kind, path). All of it runs on one event loop.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Hashable
from typing import Any, TypeVar

log = logging.getLogger("nayru.schedule")

T = TypeVar("T")


class Schedule:
    def __init__(self) -> None:
        self._waiting: dict[Hashable, asyncio.Task[Any]] = {}
        self._working: dict[Hashable, asyncio.Task[Any]] = {}
        self._newest: dict[Hashable, asyncio.Task[Any]] = {}
        self._running: set[asyncio.Task[Any]] = set()

    def later(self, key: Hashable, delay: float, work: Callable[[], Awaitable[None]]) -> None:
        """Run ``work`` after ``delay`` seconds of quiet. Another call for ``key`` takes the place of one that still
        waits; one that works already is let go on until the newer one is due (it may hold a process that is dear to
        restart), and is cancelled then."""
        if (waiting := self._waiting.pop(key, None)) is not None:
            waiting.cancel()

        async def run() -> None:
            await asyncio.sleep(delay)
            if self._waiting.get(key) is task:
                del self._waiting[key]
            if (older := self._working.get(key)) is not None:
                older.cancel()
            self._working[key] = task
            try:
                await work()
            finally:
                if self._working.get(key) is task:
                    del self._working[key]

        self._waiting[key] = task = self.start(run())

    def busy(self, key: Hashable) -> bool:
        """True when work for ``key`` waits or runs."""
        return key in self._waiting or key in self._working

    def forget(self, key: Hashable) -> None:
        """Drop the work for ``key``, waiting or running."""
        for tasks in (self._waiting, self._working):
            if (task := tasks.pop(key, None)) is not None:
                task.cancel()

    def start(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Run ``work`` beside everything else; what it raises is logged."""
        task = asyncio.get_running_loop().create_task(work)
        self._running.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._running.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("background work failed", exc_info=error)

    async def newest(self, key: Hashable, work: Coroutine[Any, Any, T], *, deadline: float | None = None) -> T | None:
        """The answer of ``work``; None when a newer call for ``key`` overtakes it, at the deadline (seconds), and
        when it fails (which is logged). Cancelling the caller cancels the work."""
        if (older := self._newest.get(key)) is not None:
            older.cancel()
        task = asyncio.get_running_loop().create_task(work)
        self._newest[key] = task
        try:
            done, _ = await asyncio.wait({task}, timeout=deadline)
            if not done or task.cancelled():
                return None
            return task.result()
        except asyncio.CancelledError:      # the client took its request back
            raise
        except Exception:
            log.exception("a request failed")
            return None
        finally:
            task.cancel()
            if self._newest.get(key) is task:
                del self._newest[key]

    async def close(self) -> None:
        tasks = [*self._running, *self._newest.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
