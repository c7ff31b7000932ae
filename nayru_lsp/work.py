"""Worker processes: one child that serves calls one at a time, killed at its deadline, restarted at the next call.

The child is a plain interpreter with `work_child.py` as its ``__main__`` (isolated: no working directory on its path,
no site start-up), so it never imports the server and starts in some 50 ms. Its stdout is turned to stderr;
requests and answers are pickles over private pipes. Requests may hold any class that both sides can import; answers
must be plain data (None, bool, numbers, str, bytes, and lists, tuples, dicts, sets of them), because the child may
run native code on hostile input and an answer must not be able to name code for this side to run.

Promises: the event loop is never blocked; no zombie is left; the child ends when this process ends, however that
happens; a worker may be used from several event loops, one after the other or at once.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import io
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import Future, InvalidStateError
from typing import Any

from nayru_lsp import work_child
from nayru_lsp.work_child import Limits, receive, send

START_SECONDS = 30.0        # a factory that takes longer is killed
ANSWER_BYTES = 1 << 28      # a longer answer is rubbish


class WorkerError(Exception):
    """The child answered with an exception; ``str()`` is its text."""


class WorkerDied(WorkerError):
    """The child ended before it answered (crash, memory limit, killed)."""


class WorkerTimeout(WorkerError):
    """The deadline passed; the child was killed if it had begun this request."""


class _Job:
    """One call: a request on its way. ``future`` is None for a mere start."""

    __slots__ = ("expires", "future", "request")

    def __init__(self, request: Any, expires: float, future: Future[Any] | None) -> None:
        self.request = request
        self.expires = expires
        self.future = future

    def settle(self, answer: Any = None, error: Exception | None = None) -> None:
        if self.future is None:
            return
        with contextlib.suppress(InvalidStateError):        # the caller has given up meanwhile
            if error is None:
                self.future.set_result(answer)
            else:
                self.future.set_exception(error)


class Worker:
    """``target`` is "package.module:factory", or "/path/module.py:factory" for a module that is light only without the
    package around it. In the child, ``factory(**options)`` is called once and returns ``handle(request) -> answer``.
    Calls queue; a cancelled call kills the child only if it has already begun.

    ``starts`` counts the children started so far: a caller that keeps state in the child sends it again when the
    number has changed. ``generation`` is the number that served the latest answer; ``ready`` counts the children whose
    factory returned.
    """

    def __init__(self, target: str, *, name: str, options: dict[str, Any] | None = None,
                 limits: Limits | None = None) -> None:
        self.target = target
        self.name = name
        self.options = options or {}
        self.limits: Limits = limits or {}
        self.starts = 0
        self.generation = 0
        self.ready = 0
        self._condition = threading.Condition()     # guards everything below
        self._queue: list[_Job] = []                # next one first
        self._running: _Job | None = None
        self._child: subprocess.Popen[bytes] | None = None
        self._thread: threading.Thread | None = None
        self._closing = False
        self._failed_starts = 0
        self._retry_at = 0.0
        self._start_error = ""

    # --- the caller's side ---------------------------------------------------------------------------------------

    async def call(self, request: Any, *, deadline: float, urgent: bool = False) -> Any:
        """Send ``request`` and wait at most ``deadline`` seconds (queueing included) for the answer.

        ``urgent`` calls overtake everything that still waits, so among them the newest comes first. Time spent in
        starting the child counts against the deadline but does not kill the child: the next call finds it warm.
        Raises WorkerError (the handler raised), WorkerDied, WorkerTimeout; cancelling the task is fine.
        """
        future: Future[Any] = Future()
        job = _Job(request, time.monotonic() + deadline, future)
        self._put(job, urgent)
        waiting = asyncio.wrap_future(future)
        try:
            await asyncio.wait([waiting], timeout=max(deadline, 0.0))
        finally:
            if not waiting.done():
                waiting.cancel()
                self._give_up(job, future)
        if waiting.cancelled():
            raise WorkerTimeout(f"{self.name}: no answer within {deadline:g} s")
        return waiting.result()

    def start(self) -> None:
        """Begin to start the child, without waiting for it."""
        with self._condition:
            alive = self._child is not None or self._queue
        if not alive:
            self._put(_Job(None, time.monotonic() + START_SECONDS, None), False)

    @property
    def pid(self) -> int | None:
        """The child's process id, None while there is none."""
        child = self._child
        return child.pid if child is not None and child.poll() is None else None

    def kill(self) -> None:
        """End the child at once. A call that it serves ends with WorkerDied; the next one starts a new child."""
        with self._condition:
            if self._child is not None:
                self._child.kill()

    async def close(self) -> None:
        """End the child; calls that wait end with WorkerError; later calls start a new one, at once."""
        with self._condition:
            thread, jobs = self._thread, self._queue
            self._queue = []
            if thread is not None:
                self._closing = True
                if self._child is not None:
                    self._child.kill()
            self._condition.notify_all()
        for job in jobs:
            job.settle(error=WorkerError(f"{self.name}: closed"))
        if thread is not None:
            await asyncio.to_thread(thread.join, 5.0)

    def _put(self, job: _Job, urgent: bool) -> None:
        with self._condition:
            if urgent:
                self._queue.insert(0, job)
            else:
                self._queue.append(job)
            # A thread that is about to end hands over to the next one, which waits for it.
            if self._thread is None or self._closing:
                before, self._closing = self._thread, False
                self._thread = threading.Thread(target=self._serve, args=(before,), name=f"worker {self.name}",
                                                daemon=True)
                self._thread.start()
            self._condition.notify_all()

    def _give_up(self, job: _Job, future: Future[Any]) -> None:
        """The caller no longer waits: forget the job if it still queues, kill the child if it works on it."""
        with self._condition:
            future.cancel()
            if job in self._queue:
                self._queue.remove(job)
            elif self._running is job and self._child is not None:
                self._child.kill()

    # --- the serving thread --------------------------------------------------------------------------------------

    def _serve(self, before: threading.Thread | None) -> None:
        if before is not None:
            before.join()
        self._failed_starts, self._retry_at = 0, 0.0
        me = threading.current_thread()
        while True:
            with self._condition:
                while not self._queue and not self._closing and self._thread is me:
                    self._condition.wait()
                if self._closing or self._thread is not me:
                    break
                job = self._queue.pop(0)
            try:
                self._serve_one(job)
            except Exception as error:      # a bug here must not leave the caller waiting, nor the pipes out of step
                self._reap(kill=True)
                job.settle(error=WorkerError(f"{self.name}: {error!r}"))
        self._reap(kill=True)
        with self._condition:
            if self._thread is me:
                self._thread, self._closing = None, False

    def _serve_one(self, job: _Job) -> None:
        if job.future is not None and (job.future.cancelled() or time.monotonic() > job.expires):
            job.settle(error=WorkerTimeout(f"{self.name}: no answer in time (it waited behind others)"))
            return
        error = self._ensure_child()
        if error is not None or job.future is None:
            if error is not None:
                job.settle(error=error)
            return
        try:
            data = pickle.dumps(job.request, protocol=pickle.HIGHEST_PROTOCOL)
        except Exception as unpicklable:
            job.settle(error=WorkerError(f"{self.name}: the request cannot be sent: {unpicklable}"))
            return
        child = self._child
        assert child is not None and child.stdin is not None and child.stdout is not None
        with self._condition:
            if job.future.cancelled():
                return
            self._running = job
        try:
            send(child.stdin, data)
            answer = receive(child.stdout, ANSWER_BYTES)
        except (OSError, ValueError):
            answer = None
        with self._condition:
            self._running = None
        if answer is None:
            job.settle(error=WorkerDied(f"{self.name}: {self._reap(kill=True)}"))
            return
        self.generation = self.starts
        try:
            good, value = _load_plain(answer)
        except Exception as rubbish:
            self._reap(kill=True)
            job.settle(error=WorkerDied(f"{self.name}: answered with rubbish ({rubbish})"))
            return
        if good:
            job.settle(value)
        else:
            job.settle(error=WorkerError(str(value)))

    def _ensure_child(self) -> WorkerError | None:
        """A child that is ready for requests; or why there is none. Repeated failures are spaced out (at most 30 s),
        so that a broken factory costs no process per key stroke."""
        if self._child is not None:
            if self._child.poll() is None:
                return None
            self._reap()
        if time.monotonic() < self._retry_at:
            return WorkerDied(self._start_error)
        try:
            problem = self._start_child()
        except OSError as error:
            problem = f"cannot start: {error}"
        if not problem:
            self._failed_starts = 0
            self.ready += 1
            return None
        end = self._reap(kill=True)
        self._failed_starts += 1
        self._retry_at = time.monotonic() + min(0.05 * 2**self._failed_starts, 30.0)
        self._start_error = f"{self.name}: {problem if problem != 'ended' else end + ' while starting'}"
        return WorkerDied(self._start_error)

    def _start_child(self) -> str:
        """Start a child and wait until its factory has returned; "" or what went wrong ("ended": it died)."""
        # On Windows a virtual environment's python.exe is a launcher with the real one as its child.
        python = (getattr(sys, "_base_executable", "") if os.name == "nt" else "") or sys.executable
        flags = getattr(subprocess, "CREATE_NO_WINDOW", 0)
        hello = {
            # Relative entries are dropped: they would be looked up in the workspace.
            "path": [entry for entry in sys.path if os.path.isabs(entry)],
            "target": self.target, "options": self.options, "limits": dict(self.limits),
        }
        data = pickle.dumps(hello, protocol=pickle.HIGHEST_PROTOCOL)
        command = [python, "-I", "-S", "-X", "utf8", os.path.abspath(work_child.__file__)]
        child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, creationflags=flags)
        with self._condition:
            self._child = child
            self.starts += 1
            if self._closing:
                child.kill()
        if not _children:
            atexit.register(kill_all)
        _children.add(child)
        watch = threading.Timer(START_SECONDS, child.kill)
        watch.daemon = True
        watch.start()
        try:
            assert child.stdin is not None and child.stdout is not None
            send(child.stdin, data)
            answer = receive(child.stdout, ANSWER_BYTES)
        except (OSError, ValueError):
            answer = None
        finally:
            watch.cancel()
        if answer is None:
            return "ended"
        good, value = _load_plain(answer)
        return "" if good else str(value)

    def _reap(self, kill: bool = False) -> str:
        """Wait for the child's end and forget it; how it ended, for people."""
        with self._condition:
            child, self._child = self._child, None
        if child is None:
            return "ended"
        if kill:
            # A child that died by itself is about to be a zombie: give its own exit code the first word.
            try:
                child.wait(0.05)
            except subprocess.TimeoutExpired:
                child.kill()
        code = child.wait()
        _children.discard(child)
        for pipe in (child.stdin, child.stdout):
            with contextlib.suppress(OSError):      # unsent bytes
                if pipe is not None:
                    pipe.close()
        return _ending(code)


_children: set[subprocess.Popen[bytes]] = set()


def kill_all() -> None:
    """End every child of every worker; done at the interpreter's end too."""
    for child in list(_children):
        child.kill()
        child.wait()


def _ending(code: int) -> str:
    """A child's end in words. ``code``: as `subprocess` gives it, negative for a signal."""
    if code >= 0:
        return f"ended with exit code {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = str(-code)
    return {"SIGKILL": "was killed", "SIGXCPU": "used up its processor time"}.get(name, f"crashed ({name})")


def _load_plain(data: bytes) -> Any:
    class Plain(pickle.Unpickler):
        def find_class(self, module: str, name: str) -> Any:
            raise pickle.UnpicklingError(f"an answer must be plain data, not {module}.{name}")

    return Plain(io.BytesIO(data)).load()
