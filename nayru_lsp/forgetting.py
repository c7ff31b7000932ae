"""Deletion that reaches the trainer's folders too.

The editor's side never imports the trainer; it starts ``nayru-train forget`` as a process of its own, and only where
the trainer has a folder at all.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

AT_ONCE = 500       # ids on one command line
PATIENCE = 120.0    # seconds


class ForgetError(Exception):
    """The trainer's folders could not be cleaned; ``str()`` says why and what to do."""


def forget_in_training(data_folder: str, ids: Sequence[str]) -> list[str]:
    """Remove the samples' text from prepared sets and run folders below ``data_folder``/train. Returns the runs whose
    model was trained on it. Blocks for about a second; call it off the event loop."""
    folder = Path(data_folder) / "train"
    if not ids or not folder.is_dir():
        return []
    versions: list[str] = []
    for first in range(0, len(ids), AT_ONCE):
        some = ids[first : first + AT_ONCE]
        command = [sys.executable, "-P", "-m", "nayru_train", "forget", "--json", "--folder", str(folder), *some]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, stdin=subprocess.DEVNULL)
            answer: dict[str, Any] = json.loads(done.stdout) if done.returncode == 0 else {}
        except (OSError, ValueError, subprocess.TimeoutExpired) as error:
            raise ForgetError(_said(folder, str(error))) from error
        if done.returncode:
            raise ForgetError(_said(folder, done.stderr.strip().rpartition("\n")[2]))
        versions += [name for name in answer.get("versions", []) if name not in versions]
    return versions


def _said(folder: Path, why: str) -> str:
    return (f"deleted from the store, but text may be left in {folder} ({why[:200]}); "
            "`nayru-train forget ID` tries again")
