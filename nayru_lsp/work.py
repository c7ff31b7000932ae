"""Worker processes: one child that serves calls one at a time, killed at its deadline, restarted at the next call.

The child is a plain interpreter started with a light ``__main__`` (this module), so it never imports the server. Its
stdout is turned to stderr; requests and answers are pickles over private pipes.
"""

from __future__ import annotations

from typing import Any


class WorkerError(Exception):
    """The child answered with an exception; ``str()`` is its text."""


class WorkerDied(WorkerError):
    """The child ended before it answered (crash, memory limit, killed)."""


class WorkerTimeout(WorkerError):
    """The deadline passed; the child was killed."""


class Worker:
    """``target`` is "package.module:factory". In the child, ``factory(**options)`` is called once and returns
    ``handle(request) -> answer``. Requests and answers must pickle. Calls queue; a cancelled call kills the child
    only if it has already begun."""

    def __init__(self, target: str, *, name: str, options: dict[str, Any] | None = None) -> None:
        self.target = target
        self.name = name
        self.options = options or {}

    async def call(self, request: Any, *, deadline: float) -> Any:
        """Send ``request`` and wait at most ``deadline`` seconds (queueing included)."""
        raise NotImplementedError

    async def close(self) -> None:
        """End the child; later calls start a new one."""
        raise NotImplementedError
