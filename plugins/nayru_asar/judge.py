"""The one mutable object of this plugin: settings, the library's place and version, the two worker processes."""

from __future__ import annotations

import asyncio
import math
import os
import sys
import threading
import time
from collections.abc import Mapping
from typing import Any

from nayru_asar import library, locate
from nayru_lsp.asm.syntax import Dialect
from nayru_lsp.hookspecs import Worker, WorkerDied

STATUS_WAIT = 3.0       # seconds that `status` waits for the version where nobody else waits on this thread


class Absent(Exception):
    """There is no Asar to ask; ``str()`` says why and what to do next."""


class Asar:
    """Asar in two processes: one for candidates (short, newest first) and one for whole projects."""

    def __init__(self) -> None:
        self.enabled = True
        self.library = ""               # the user's setting
        self.data_folder = ""
        self.project_timeout = 10.0
        self.memory_mb = 1024
        self.version = ""               # "1.91", known from the first answer on
        self.trouble = ""               # why the library is not used although it was found
        self.note = ""                  # what the last validation could not do, for the status
        self.fenced = sys.platform != "win32"   # the worker cannot open files (see the files' own check otherwise)
        self._found: locate.Found | None = None
        self._workers: dict[str, Worker] = {}
        self._retired: list[Worker] = []
        self._probe: threading.Thread | None = None

    # --- settings ------------------------------------------------------------------------------------------------

    def configure(self, settings: Mapping[str, Any]) -> None:
        """Take the user's settings; a changed library or limit ends the workers."""
        own = settings.get("asar", {})
        before = (self.enabled, self.library, self.data_folder, self.project_timeout, self.memory_mb)
        self.enabled = bool(own.get("enabled", True))
        self.library = str(own.get("library", ""))
        self.data_folder = str(settings.get("data_folder", ""))
        self.project_timeout = float(own.get("project_timeout", 10.0))
        self.memory_mb = int(own.get("memory_mb", 1024))
        if before != (self.enabled, self.library, self.data_folder, self.project_timeout, self.memory_mb):
            for worker in self._workers.values():
                worker.kill()
            self._retired += self._workers.values()
            self._workers = {}
            self._found = None
            self.version = self.trouble = ""

    @property
    def found(self) -> locate.Found:
        if self._found is None:
            self._found = locate.find(self.library, self.data_folder)
        return self._found

    @property
    def absence(self) -> str:
        """Why Asar cannot be asked, "" when it can."""
        if not self.enabled:
            return "switched off (asar.enabled)"
        return self.found.reason or self.trouble

    @property
    def name(self) -> str:
        """How verdicts name this judge."""
        return f"asar {self.version}" if self.version else "asar"

    # --- asking --------------------------------------------------------------------------------------------------

    def worker(self, kind: str) -> Worker:
        """The worker "candidates" or "projects"; made, not yet started, at the first use."""
        worker = self._workers.get(kind)
        if worker is None:
            seconds = 2 if kind == "candidates" else math.ceil(self.project_timeout) + 1
            worker = self._workers[kind] = Worker(
                f"{os.path.abspath(library.__file__)}:serve", name=f"asar {kind}", options={"library": self.found.path},
                limits={"memory_mb": self.memory_mb, "cpu_seconds": seconds, "file_bytes": 0, "new_files": False})
        return worker

    async def ask(self, kind: str, request: dict[str, Any], deadline: float) -> dict[str, Any]:
        """The answer of `library.serve`. Raises Absent, WorkerTimeout, WorkerDied, WorkerError."""
        if self.absence:
            raise Absent(self.absence)
        worker = self.worker(kind)
        try:
            answer: dict[str, Any] = await worker.call(request, deadline=deadline, urgent=kind == "candidates")
        except WorkerDied as error:
            if worker.ready == 0:       # it never came up: the library itself is at fault
                self.trouble = f"{self.found.path} cannot be used: {_reason(str(error))}"
                raise Absent(self.trouble) from None
            raise
        self.version = version_text(answer["version"])
        return answer

    async def speaks(self, dialect: Dialect, kind: str, deadline: float) -> bool:
        """Whether this library reads ``dialect``: 1.9 refuses much that 2.0 allows. Raises as `ask` does."""
        if not self.version:
            await self.ask(kind, {}, deadline)
        fits = dialect is not Dialect.ASAR_2 or not self.version.startswith("1.")
        self.note = "" if fits else f"a project is written for Asar {dialect.value}: it is not judged by this library"
        return fits

    # --- the rest ------------------------------------------------------------------------------------------------

    def status(self) -> str:
        """One sentence for doctor and status item."""
        if not self.absence and not self.version:
            self._find_version()
        if self.absence:
            return f"Asar: {self.absence}"
        note = f" ({self.note})" if self.note else ""
        return f"Asar {self.version or '(starting)'}, {self.found.path}{note}"

    def _find_version(self) -> None:
        """Ask for the version in the background; wait for it unless an event loop runs on this thread."""
        if self._probe is None or not self._probe.is_alive():
            def probe() -> None:
                try:
                    asyncio.run(self.ask("candidates", {}, 20.0))
                except Exception as error:
                    self.trouble = self.trouble or str(error)

            self._probe = threading.Thread(target=probe, name="asar version", daemon=True)
            self._probe.start()
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            end = time.monotonic() + STATUS_WAIT
            self._probe.join(max(0.0, end - time.monotonic()))

    async def close(self) -> None:
        workers = [*self._workers.values(), *self._retired]
        self._workers, self._retired = {}, []
        await asyncio.gather(*(worker.close() for worker in workers))


def version_text(number: int) -> str:
    """10901 -> "1.91", 20000 -> "2.0" (Asar counts major, minor, bug fix in two digits each; 1.91 writes 1.9.1 so)."""
    major, minor, fix = number // 10000, number // 100 % 100, number % 100
    return f"{major}.{minor}{fix or ''}"


def _reason(text: str) -> str:
    """The worker's own words without its name and the exception's."""
    for head in ("asar candidates: ", "asar projects: ", "Refused: ", "OSError: "):
        text = text.removeprefix(head)
    return text
