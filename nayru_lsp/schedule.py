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
        self._later: dict[Hashable, asyncio.Task[Any]] = {}
        self._newest: dict[Hashable, asyncio.Task[Any]] = {}
        self._running: set[asyncio.Task[Any]] = set()

    def later(self, key: Hashable, delay: float, work: Callable[[], Awaitable[None]]) -> None:
        """Run ``work`` after ``delay`` seconds of quiet: another call for ``key`` before that, or while it runs,
        takes its place."""
        self.forget(key)

        async def run() -> None:
            await asyncio.sleep(delay)
            await work()

        task = self.start(run())
        self._later[key] = task
        task.add_done_callback(lambda done: self._later.get(key) is done and self._later.pop(key))

    def waits(self, key: Hashable) -> bool:
        """True when work for ``key`` is waiting or running."""
        return key in self._later

    def forget(self, key: Hashable) -> None:
        """Drop the work for ``key``, waiting or running."""
        if (task := self._later.pop(key, None)) is not None:
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
