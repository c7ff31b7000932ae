"""What the deployed model answers, through the real Ollama: greedy next lines, compared with what stands there."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from nayru_lsp import prompt
from nayru_train import dedup, render
from nayru_train.ollama_api import Ollama
from nayru_train.progress import say
from nayru_train.sample import Sample


def same_line(answer: str, target: str) -> bool:
    """Equal after case, white space and comments are folded; the first line of code counts."""
    got, wanted = dedup.code_lines(answer), dedup.code_lines(target)
    return bool(wanted) and got[:1] == wanted[:1]


def options(num_ctx: int, most_tokens: int, threads: int = 0) -> dict[str, Any]:
    """Greedy, one line, the same context size for every call (another size makes Ollama load the model again).

    ``threads`` 0 is Ollama's own choice. A tiny model wants one: on a busy machine of two cores two spinning threads
    took a hundred times as long (docs/training.md)."""
    return {"temperature": 0.0, "seed": 1, "num_ctx": num_ctx, "num_predict": most_tokens,
            "stop": [*prompt.STOPS, "\n"], **({"num_thread": threads} if threads else {})}


def exact_lines(ollama: Ollama, model: str, rows: Sequence[Sample], settings: dict[str, Any]) -> dict[str, bool]:
    """Row id -> whether the model's next line is the one that stands there."""
    started = time.monotonic()
    found: dict[str, bool] = {}
    for number, row in enumerate(rows, 1):
        answer = ollama.raw(model, render.render(row).prompt, settings)
        found[row.id] = same_line(str(answer.get("response", "")), row.target)
        if number % 100 == 0 or number == len(rows):
            say("eval", f"{model}: {number}/{len(rows)} lines, {100 * sum(found.values()) / number:.1f} % exact",
                number / len(rows), started)
    return found


def agreement(ollama: Ollama, left: str, right: str, rows: Sequence[Sample], settings: dict[str, Any]) -> float:
    """Share of rows on which two models give the same text."""
    answers = [[str(ollama.raw(model, render.render(row).prompt, settings).get("response", "")) for row in rows]
               for model in (left, right)]
    return float(sum(a == b for a, b in zip(*answers, strict=True)) / max(1, len(rows)))
