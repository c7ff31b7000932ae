"""Worker processes: deadlines, crashes, limits, order, and no child left behind."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nayru_lsp.work import Worker, WorkerDied, WorkerError, WorkerTimeout

HERE = "tests.test_work"
posix = pytest.mark.skipif(os.name == "nt", reason="resource limits are POSIX")


# --- what runs in the child ------------------------------------------------------------------------------------

def odd_jobs(greeting: str = "hello") -> Callable[[Any], Any]:
    seen: list[Any] = []

    def handle(request: Any) -> Any:
        seen.append(request)
        match request:
            case "greet":
                return greeting
            case "pid":
                return os.getpid()
            case "seen":
                return list(seen)
            case "modules":
                return sorted(name.partition(".")[0] for name in sys.modules)
            case "print":
                print("this line must not break the pipe")
                os.write(1, b"nor this one\n")
                return "printed"
            case "raise":
                raise ValueError("no such thing")
            case "crash":
                os.abort()
            case "exit":
                os._exit(3)
            case "hang":
                while True:
                    time.sleep(60)
            case "burn":
                while True:
                    pass
            case "eat":
                return len(bytes(3 << 30))
            case "object":
                return Path("x")
            case ("sleep", seconds):
                time.sleep(seconds)
                return seconds
            case ("open", path):
                with open(path, "rb") as file:
                    return len(file.read())
            case ("write", path, size):
                with open(path, "wb") as file:
                    return file.write(bytes(size))
        return request

    return handle


def broken() -> Callable[[Any], Any]:
    raise RuntimeError("the library is missing")


def dies() -> Callable[[Any], Any]:
    os._exit(7)


# --- tests ------------------------------------------------------------------------------------------------------

def gone(pid: int) -> bool:
    """True once no process ``pid`` exists, not even as a zombie (POSIX)."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


async def until(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "condition did not come true"
        await asyncio.sleep(0.01)


@pytest.fixture
async def worker() -> Any:
    worker = Worker(f"{HERE}:odd_jobs", name="odd jobs", options={"greeting": "good day"})
    yield worker
    await worker.close()


async def test_answers_and_keeps_its_state(worker: Worker) -> None:
    assert await worker.call("greet", deadline=20) == "good day"
    assert await worker.call({"a": (1, 2.5, b"x", None)}, deadline=5) == {"a": (1, 2.5, b"x", None)}
    assert await worker.call("seen", deadline=5) == ["greet", {"a": (1, 2.5, b"x", None)}, "seen"]
    assert worker.starts == worker.generation == 1


async def test_big_messages(worker: Worker) -> None:
    data = bytes(range(256)) * 100_000
    assert await worker.call(data, deadline=30) == data


async def test_child_is_light_and_its_stdout_harmless(worker: Worker) -> None:
    assert await worker.call("print", deadline=20) == "printed"
    tops = set(await worker.call("modules", deadline=5))
    assert not tops & {"pygls", "lsprotocol", "msgspec"}


async def test_target_by_path() -> None:
    worker = Worker(f"{os.path.abspath(__file__)}:odd_jobs", name="by path")
    assert await worker.call("greet", deadline=20) == "hello"
    await worker.close()


async def test_exceptions_are_told(worker: Worker) -> None:
    with pytest.raises(WorkerError, match="ValueError: no such thing"):
        await worker.call("raise", deadline=20)
    pid = await worker.call("pid", deadline=5)
    with pytest.raises(WorkerError, match="cannot be sent"):
        await worker.call(lambda: 0, deadline=5)
    assert await worker.call("pid", deadline=5) == pid


async def test_answers_must_be_plain_data(worker: Worker) -> None:
    with pytest.raises(WorkerDied, match="plain data"):
        await worker.call("object", deadline=20)
    assert await worker.call("greet", deadline=20) == "good day"


async def test_crash_and_restart(worker: Worker) -> None:
    first = await worker.call("pid", deadline=20)
    with pytest.raises(WorkerDied, match=r"crashed|exit code"):
        await worker.call("crash", deadline=20)
    with pytest.raises(WorkerDied, match="exit code 3"):
        await worker.call("exit", deadline=20)
    assert await worker.call("pid", deadline=20) != first
    assert worker.generation == 3
    if os.name != "nt":
        assert gone(first)


async def test_deadline_kills_what_has_begun(worker: Worker) -> None:
    pid = await worker.call("pid", deadline=20)
    begin = time.monotonic()
    with pytest.raises(WorkerTimeout, match="odd jobs"):
        await worker.call("hang", deadline=0.1)
    assert time.monotonic() - begin < 2
    assert await worker.call("pid", deadline=20) != pid


async def test_deadline_while_starting_leaves_the_child_alone(worker: Worker) -> None:
    with pytest.raises(WorkerTimeout):
        await worker.call("greet", deadline=0.001)
    assert await worker.call("greet", deadline=20) == "good day"
    assert worker.starts == 1


async def test_deadline_while_queueing_leaves_the_child_alone(worker: Worker) -> None:
    pid = await worker.call("pid", deadline=20)
    slow = asyncio.create_task(worker.call(("sleep", 0.3), deadline=20))
    await until(lambda: worker._running is not None)
    with pytest.raises(WorkerTimeout):
        await worker.call("greet", deadline=0.02)
    assert await slow == 0.3
    assert await worker.call("pid", deadline=20) == pid
    assert "greet" not in await worker.call("seen", deadline=5)


async def test_cancel(worker: Worker) -> None:
    pid = await worker.call("pid", deadline=20)
    running = asyncio.create_task(worker.call("hang", deadline=60))
    await until(lambda: worker._running is not None)
    waiting = asyncio.create_task(worker.call("greet", deadline=60))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert worker.pid == pid                    # one that only queued kills nobody
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert await worker.call("pid", deadline=20) != pid


async def test_urgent_calls_overtake_newest_first(worker: Worker) -> None:
    await worker.call("greet", deadline=20)
    done: list[str] = []

    async def ask(text: str, urgent: bool) -> None:
        done.append(await worker.call(text, deadline=20, urgent=urgent))

    first = asyncio.create_task(worker.call(("sleep", 0.2), deadline=20))
    await until(lambda: worker._running is not None)
    tasks = [asyncio.create_task(ask(text, text.startswith("u"))) for text in ("p1", "u1", "p2", "u2")]
    await asyncio.gather(first, *tasks)
    assert done == ["u2", "u1", "p1", "p2"]


async def test_broken_factory_is_told_and_not_retried_at_once() -> None:
    worker = Worker(f"{HERE}:broken", name="broken")
    for _ in range(8):
        with pytest.raises(WorkerDied, match="the library is missing"):
            await worker.call(1, deadline=20)
    assert worker.starts < 8
    await worker.close()
    worker = Worker(f"{HERE}:dies", name="dies")
    with pytest.raises(WorkerDied, match="exit code 7 while starting"):
        await worker.call(1, deadline=20)
    await worker.close()


async def test_close_and_use_again(worker: Worker) -> None:
    pid = await worker.call("pid", deadline=20)
    hang = asyncio.create_task(worker.call("hang", deadline=60))
    await until(lambda: worker._running is not None)
    queued = asyncio.create_task(worker.call("greet", deadline=60))
    await asyncio.sleep(0)
    await worker.close()
    for task in (hang, queued):
        with pytest.raises(WorkerError):
            await task
    assert worker.pid is None
    if os.name != "nt":
        assert gone(pid)
    assert await worker.call("greet", deadline=20) == "good day"


def test_several_event_loops() -> None:
    worker = Worker(f"{HERE}:odd_jobs", name="odd jobs")
    pids = {asyncio.run(worker.call("pid", deadline=20)) for _ in range(3)}
    assert len(pids) == 1
    asyncio.run(worker.close())


async def test_killed_from_outside(worker: Worker) -> None:
    for _ in range(3):
        pid = await worker.call("pid", deadline=20)
        worker.kill()
        try:
            again = await worker.call("pid", deadline=20)
        except WorkerDied:
            again = await worker.call("pid", deadline=20)
        assert again != pid


@posix
async def test_limits(tmp_path: Path) -> None:
    worker = Worker(f"{HERE}:odd_jobs", name="limited",
                    limits={"memory_mb": 512, "cpu_seconds": 1, "file_bytes": 1000})
    with pytest.raises(WorkerError, match="MemoryError"):
        await worker.call("eat", deadline=20)
    assert await worker.call(("write", str(tmp_path / "a"), 100), deadline=5) == 100
    with pytest.raises(WorkerError):
        await worker.call(("write", str(tmp_path / "b"), 100_000), deadline=5)
    with pytest.raises(WorkerDied, match="processor time"):
        await worker.call("burn", deadline=30)
    assert await worker.call("greet", deadline=20) == "hello"
    await worker.close()


@posix
async def test_file_fence() -> None:
    worker = Worker(f"{HERE}:odd_jobs", name="fenced", limits={"new_files": False})
    with pytest.raises(WorkerError, match="Too many open files"):
        await worker.call(("open", "/etc/passwd"), deadline=20)
    assert await worker.call("greet", deadline=5) == "hello"
    await worker.close()


PARENT = """
import asyncio, os, sys
sys.path[:0] = {path!r}
from nayru_lsp.work import Worker
async def main():
    worker = Worker("tests.test_work:odd_jobs", name="odd jobs")
    print(await worker.call("pid", deadline=30), flush=True)
    task = asyncio.create_task(worker.call({request!r}, deadline=600))
    await asyncio.sleep(0.2)
    {end}
asyncio.run(main())
"""


@posix
@pytest.mark.parametrize("end", ["os._exit(1)", "os.kill(os.getpid(), 9)", "sys.exit(0)"])
@pytest.mark.parametrize("request_", ["hang", "burn"])
async def test_child_ends_with_its_parent(end: str, request_: str) -> None:
    code = PARENT.format(path=[entry for entry in sys.path if entry], request=request_, end=end)
    parent = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, timeout=60, check=False)
    await until(lambda: gone(int(parent.stdout)))
