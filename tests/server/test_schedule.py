"""Delay, newest wins, deadline, every request answered."""

from __future__ import annotations

import asyncio

import pytest

from nayru_lsp.schedule import Schedule


async def test_later_waits_for_quiet() -> None:
    schedule, ran = Schedule(), []

    async def work(name: str) -> None:
        ran.append(name)

    for name in "abc":
        schedule.later("k", 0.01, lambda name=name: work(name))
    schedule.later("other", 0, lambda: work("x"))
    assert schedule.busy("k")
    while schedule.busy("k"):
        await asyncio.sleep(0.002)
    assert ran == ["x", "c"]


async def test_work_that_runs_is_ended_only_when_newer_work_is_due() -> None:
    schedule, log = Schedule(), []
    go = asyncio.Event()

    async def long() -> None:
        try:
            log.append("begun")
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            log.append("ended")
            raise

    async def short() -> None:
        log.append("newer")
        go.set()

    schedule.later("k", 0, long)
    while not log:
        await asyncio.sleep(0)
    schedule.later("k", 0.02, short)
    await asyncio.sleep(0)
    assert log == ["begun"]
    await asyncio.wait_for(go.wait(), 2)
    await asyncio.sleep(0)
    assert sorted(log) == ["begun", "ended", "newer"]
    schedule.later("k", 0, long)
    schedule.forget("k")
    assert not schedule.busy("k")
    await schedule.close()


async def test_newest_wins_and_all_are_answered() -> None:
    schedule, calls = Schedule(), []

    async def work(n: int) -> int:
        await asyncio.sleep(0.01)
        calls.append(n)
        return n

    answers = await asyncio.gather(*(schedule.newest("k", work(n)) for n in range(6)))
    assert answers == [None] * 5 + [5] and calls == [5]


async def test_deadline_failure_and_cancel() -> None:
    schedule = Schedule()

    async def forever() -> int:
        await asyncio.sleep(60)
        return 1

    async def broken() -> int:
        raise ValueError("no")

    assert await schedule.newest("k", forever(), deadline=0.01) is None
    assert await schedule.newest("k", broken()) is None
    caller = asyncio.create_task(schedule.newest("k", forever()))
    await asyncio.sleep(0)
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    assert await schedule.newest("k", asyncio.sleep(0, 3)) == 3
    await schedule.close()
