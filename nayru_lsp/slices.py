"""A long computation that goes on for a while at a time, so that whoever runs it serves others in between.

It has a thread of its own, for the sake of its stack only: either it works or its owner does, never both, so that
nothing needs a lock. It says often that it could pause (`Sliced.pause`).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

STACK = 32 * 1024 * 1024    # bytes; some systems give a thread far less than the main one

T = TypeVar("T")


class Dropped(Exception):
    """Raised inside the computation: nobody wants it any more."""


class Sliced(Generic[T]):
    def __init__(self, work: Callable[[], T]) -> None:
        self._work = work
        self._thread: threading.Thread | None = None
        self._mine, self._owners = threading.Semaphore(0), threading.Semaphore(0)   # whose turn it is
        self._until = 0.0
        self.spent = 0.0        # seconds of processor time that it has had
        self._dropped = self._ended = False
        self._result: list[T] = []
        self._error: BaseException | None = None

    # --- the owner's side --------------------------------------------------------------------------------------------

    def go_on(self, seconds: float) -> bool:
        """Let it work for ``seconds``, or a little longer; True when it has come to its end."""
        self._until = time.monotonic() + seconds
        if self._thread is None:
            before = threading.stack_size(STACK)
            self._thread = threading.Thread(target=self._run, name="slices", daemon=True)
            self._thread.start()
            threading.stack_size(before)
        else:
            self._mine.release()
        self._owners.acquire()
        return self._ended

    def result(self) -> T:
        """What it came to, once it has ended; raises what it raised."""
        if self._error is not None:
            raise self._error
        return self._result[0]

    def drop(self) -> None:
        """End it where it pauses."""
        self._dropped = True
        if self._thread is not None and not self._ended:
            self.go_on(0)

    # --- the computation's side --------------------------------------------------------------------------------------

    def pause(self) -> None:
        """Give way where the time is up."""
        self.spent = time.thread_time()         # what else the machine does is not its fault
        if time.monotonic() >= self._until:
            self._owners.release()
            self._mine.acquire()
            if self._dropped:
                raise Dropped

    def _run(self) -> None:
        try:
            self._result.append(self._work())
        except BaseException as error:      # the owner's to judge
            self._error = error
        self._ended = True
        self._owners.release()
