"""Progress lines on stderr: `[train] 45/200 loss 1.23, 12 s left`."""

from __future__ import annotations

import sys
import time


def say(stage: str, text: str, share: float | None = None, started: float = 0.0) -> None:
    """One line. With ``share`` done (0..1) of work that began at ``started`` (monotonic), the time left is added."""
    if share and share < 1.0:
        spent = time.monotonic() - started
        text += f", {spent / share - spent:.0f} s left"
    elif share:
        text += f", took {time.monotonic() - started:.0f} s"
    print(f"[{stage}] {text}", file=sys.stderr, flush=True)
