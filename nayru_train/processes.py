"""Heavy stages run in processes of their own: `call("module:function", ...)` starts a fresh interpreter, runs one
function and returns its answer.

Fresh matters: a forward pass without gradients may rewrite 4-bit weights in place (`merge.py`). The child ends when its
parent does. Its progress lines go to our stderr; its last words become the text of `StageError`.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any


class StageError(Exception):
    """The child could not do it; ``str()`` is one sentence. ``kind`` is the name of the exception it raised."""

    def __init__(self, text: str, kind: str = "") -> None:
        super().__init__(text)
        self.kind = kind


def call(target: str, *arguments: Any, threads: int = 0, environment: dict[str, str] | None = None) -> Any:
    """Run ``module:function(*arguments)`` in a new interpreter. Arguments and answer are pickled."""
    surroundings = {**os.environ, "TOKENIZERS_PARALLELISM": "false", "PYTHONUNBUFFERED": "1",
                    "HF_HUB_DISABLE_TELEMETRY": "1", **(environment or {})}
    if threads:
        surroundings |= {"OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)}
    with tempfile.TemporaryDirectory(prefix="nayru-train-") as folder:
        answer = Path(folder) / "answer"
        child = subprocess.Popen([sys.executable, "-W", "ignore", "-m", "nayru_train.processes", str(answer)],
                                 stdin=subprocess.PIPE, env=surroundings)
        assert child.stdin is not None
        try:
            request = pickle.dumps((target, arguments))
            child.stdin.write(len(request).to_bytes(8, "big") + request)
            child.stdin.flush()
            code = child.wait()
        except BrokenPipeError:
            code = child.wait()
        finally:
            if child.poll() is None:
                child.kill()
                child.wait()
            with contextlib.suppress(OSError):
                child.stdin.close()
        if not answer.exists():
            what = f"was ended by signal {-code}" if code < 0 else f"ended with code {code}"
            hint = " (often the system's: too little memory)" if code == -9 else ""
            raise StageError(f"the process for {target} {what}{hint}; run the same command again to go on", "Died")
        kind, value = pickle.loads(answer.read_bytes())
        if kind:
            raise StageError(value, kind)
        return value


def _child(answer: Path) -> None:
    import logging

    length = int.from_bytes(sys.stdin.buffer.read(8), "big")
    target, arguments = pickle.loads(sys.stdin.buffer.read(length))
    threading.Thread(target=_follow_parent, daemon=True).start()
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
    outcome: tuple[str, Any]
    try:
        import importlib

        module, _, name = target.partition(":")
        outcome = ("", getattr(importlib.import_module(module), name)(*arguments))
    except BaseException as error:
        from nayru_train.libraries import report_crash

        if os.environ.get("NAYRU_TRACE") == "1":
            import traceback

            traceback.print_exc()
        outcome = (type(error).__name__, report_crash(error))
    temporary = answer.with_name("answer.part")
    temporary.write_bytes(pickle.dumps(outcome))
    os.replace(temporary, answer)


def _follow_parent() -> None:
    """Our stdin closes when the parent has ended: then nobody wants the answer any more."""
    while sys.stdin.buffer.read(1 << 16):
        pass
    os._exit(70)


if __name__ == "__main__":
    _child(Path(sys.argv[1]))
    sys.stderr.flush()
    os._exit(0)     # no waiting for libraries' threads
