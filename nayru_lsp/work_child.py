"""The child's side of `work.py`: the light ``__main__`` of a worker process, and the frames both sides speak.

Standard library only, and little of it: the parent starts this very file, isolated (no working directory on its path,
no site start-up), and hands over its own ``sys.path`` in the first message.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import queue
import signal
import struct
import sys
import threading
import time
from collections.abc import Callable
from typing import Any, BinaryIO, TypedDict

HEADER = struct.Struct("<Q")


class Limits(TypedDict, total=False):
    """What the child may use; a missing key means no limit of that kind.

    ``memory_mb``: address space (POSIX; macOS may ignore it) or committed memory (Windows). ``cpu_seconds``: per
    call. ``file_bytes``: largest file it may write (POSIX). ``new_files``: False = from the moment the factory has
    returned no file can be opened (POSIX; whoever needs this on Windows must check what it sends). With any limit
    given, core dumps are off and a Windows child can start no process.
    """

    memory_mb: int
    cpu_seconds: int
    file_bytes: int
    new_files: bool


def send(pipe: BinaryIO | Any, data: bytes) -> None:
    pipe.write(HEADER.pack(len(data)))
    pipe.write(data)
    pipe.flush()


def receive(pipe: BinaryIO | Any, most: int = 1 << 32) -> bytes | None:
    """The next message; None at the end of the stream. ValueError when it is longer than ``most`` bytes."""
    head = pipe.read(HEADER.size)
    if len(head) < HEADER.size:
        return None
    (length,) = HEADER.unpack(head)
    if length > most:
        raise ValueError("a message that is too long")
    data: bytes = pipe.read(length)
    return data if len(data) == length else None


def child_main() -> None:
    """Serve requests from fd 0 until it ends; answers go to what was fd 1. A thread reads, so that the parent's end
    is noticed also while native code hangs."""
    if os.name == "nt":
        import msvcrt

        for descriptor in (0, 1):
            msvcrt.setmode(descriptor, os.O_BINARY)     # type: ignore[attr-defined,unused-ignore]
    requests = os.fdopen(os.dup(0), "rb")
    answers = os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    try:
        os.dup2(2, 1)
    except OSError:         # no stderr at all
        os.dup2(nothing, 1)
    sys.stdout = sys.stderr
    signal.signal(signal.SIGINT, signal.SIG_IGN)    # Ctrl-C in a terminal is for the parent

    def answer(good: bool, value: Any) -> None:
        try:
            data = pickle.dumps((good, value), protocol=pickle.HIGHEST_PROTOCOL)
        except Exception as error:
            data = pickle.dumps((False, f"the answer cannot be sent: {error}"))
        send(answers, data)

    first = receive(requests)
    if first is None:
        return
    hello = pickle.loads(first)
    sys.path[:] = hello["path"]
    limits: Limits = hello["limits"]
    inbox: queue.SimpleQueue[bytes] = queue.SimpleQueue()

    def read() -> None:
        while (data := receive(requests)) is not None:
            inbox.put(data)
        os._exit(0)

    try:
        _limit_before(limits)
        handle = _load(hello["target"])(**hello["options"])
        threading.Thread(target=read, daemon=True).start()
        _limit_after(limits)
    except BaseException as error:
        answer(False, _text_of(error))
        return
    answer(True, None)
    while True:
        data = inbox.get()
        try:
            _limit_call(limits)
            value = handle(pickle.loads(data))
        except Exception as error:
            answer(False, _text_of(error))
        else:
            answer(True, value)
        del data


def _text_of(error: BaseException) -> str:
    text = str(error)
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _load(target: str) -> Callable[..., Callable[[Any], Any]]:
    """The factory "package.module:name" or, without importing the package around it, "/path/module.py:name"."""
    import importlib.util

    place, _, name = target.rpartition(":")
    if place.endswith(".py"):
        spec = importlib.util.spec_from_file_location("nayru_worker_target", place)
        if spec is None or spec.loader is None:
            raise ImportError(f"{place} cannot be loaded")
        module = importlib.util.module_from_spec(spec)
        sys.modules[spec.name] = module
        spec.loader.exec_module(module)
    else:
        module = importlib.import_module(place)
    factory: Callable[..., Callable[[Any], Any]] = getattr(module, name)
    return factory


if sys.platform == "win32":
    def _limit_before(limits: Limits) -> None:
        """Put this process into a job of its own: a memory ceiling, no child processes. Untried on a real Windows."""
        import ctypes
        from ctypes import wintypes

        if not limits:
            return

        class Basic(ctypes.Structure):
            _fields_ = [("process_time", ctypes.c_int64), ("job_time", ctypes.c_int64), ("flags", wintypes.DWORD),
                        ("minimum", ctypes.c_size_t), ("maximum", ctypes.c_size_t), ("processes", wintypes.DWORD),
                        ("affinity", ctypes.c_size_t), ("priority", wintypes.DWORD), ("scheduling", wintypes.DWORD)]

        class Extended(ctypes.Structure):
            _fields_ = [("basic", Basic), ("io", ctypes.c_uint64 * 6), ("process_memory", ctypes.c_size_t),
                        ("job_memory", ctypes.c_size_t), ("peak_process", ctypes.c_size_t),
                        ("peak_job", ctypes.c_size_t)]

        information = Extended()
        information.basic.flags = 0x8 | 0x400           # active processes, die on unhandled exception
        information.basic.processes = 1
        if memory := limits.get("memory_mb"):
            information.basic.flags |= 0x100            # process memory
            information.process_memory = memory << 20
        kernel = ctypes.WinDLL("kernel32", use_last_error=True)
        kernel.CreateJobObjectW.restype = wintypes.HANDLE
        kernel.GetCurrentProcess.restype = wintypes.HANDLE
        job = wintypes.HANDLE(kernel.CreateJobObjectW(None, None))
        done = kernel.SetInformationJobObject(job, 9, ctypes.byref(information), ctypes.sizeof(information))
        if not (done and kernel.AssignProcessToJobObject(job, wintypes.HANDLE(kernel.GetCurrentProcess()))):
            raise OSError(ctypes.get_last_error(), "cannot limit the worker process")

    def _limit_after(limits: Limits) -> None:
        """Windows has no limit on open files: the caller checks what it sends."""

    def _limit_call(limits: Limits) -> None:
        """The caller's deadline is the limit."""
else:
    def _limit_before(limits: Limits) -> None:
        import resource

        if not limits:
            return
        _lower(resource.RLIMIT_CORE, 0)
        if memory := limits.get("memory_mb"):
            _lower(resource.RLIMIT_AS, memory << 20)
        if "file_bytes" in limits:
            _lower(resource.RLIMIT_FSIZE, limits["file_bytes"])

    def _limit_after(limits: Limits) -> None:
        """With a limit of 0 the files that are open stay usable and no other can be opened."""
        if not limits.get("new_files", True):
            import resource

            _lower(resource.RLIMIT_NOFILE, 0)

    def _limit_call(limits: Limits) -> None:
        """The processor limit counts a process's whole life: move it before each call."""
        if seconds := limits.get("cpu_seconds"):
            import resource

            _, hard = resource.getrlimit(resource.RLIMIT_CPU)
            soft = int(time.process_time()) + 1 + seconds
            resource.setrlimit(resource.RLIMIT_CPU, (soft if hard < 0 else min(soft, hard), hard))

    def _lower(kind: int, value: int) -> None:
        """Lower a limit for good. A system that refuses it (macOS: address space) goes without."""
        import resource

        _, hard = resource.getrlimit(kind)
        value = value if hard < 0 else min(value, hard)
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(kind, (value, value))


if __name__ == "__main__":
    child_main()
