"""The server with a watch on its event loop: every callback that held it is written down, as lines of JSON into the
file that NAYRU_BENCH_SLICES names. Run as a program by `tests.bench.large`."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from typing import Any

from nayru_lsp.__main__ import main

SHORT = 0.005       # seconds; what holds the loop for less is not written down


def watch(path: str) -> None:
    out = open(path, "a", buffering=1, encoding="utf-8")    # noqa: SIM115 - as long as the process
    run = asyncio.Handle._run

    def timed(handle: Any) -> None:
        before, work = time.perf_counter(), time.thread_time()
        called = getattr(handle, "_callback", None)
        task = getattr(called, "__self__", None)
        name = str(task.get_coro()) if isinstance(task, asyncio.Task) else str(called)
        run(handle)
        if time.perf_counter() - before > SHORT:
            out.write(json.dumps({"wall": time.perf_counter() - before, "cpu": time.thread_time() - work,
                                  "name": name[:300]}) + "\n")

    asyncio.Handle._run = timed     # type: ignore[method-assign]


if __name__ == "__main__":
    watch(os.environ["NAYRU_BENCH_SLICES"])
    sys.argv[1:] = ["serve"]
    sys.exit(main())
