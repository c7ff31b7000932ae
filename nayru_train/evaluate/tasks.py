"""Eval tasks as data: the routine library's routines (reported, never trained on). Held-back lines are samples."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from importlib import resources
from typing import Any, NamedTuple

from nayru_lsp import prompt
from nayru_train.ollama_api import Ollama
from nayru_train.progress import say

VERSION = 1     # of the tasks' form and scoring; results of different versions are not compared

_CODE = re.compile(r"^(?:[A-Za-z_.+-][\w.]*:?\s*)?(?:[A-Za-z]{3}(?:\.[bwlBWL])?)(?:\s|$)")


class Task(NamedTuple):
    """``name``: the routine's file; ``instruction``: its header's text; ``code``: everything below the header."""

    name: str
    instruction: str
    code: str


class NoTasks(Exception):
    """The routine library cannot be read: then rows cannot be kept apart from it either."""


def library_tasks() -> list[Task]:
    """The routines shipped with `nayru_lsp.assist`. Raises NoTasks when there are none."""
    out = []
    try:
        folder = resources.files("nayru_lsp.assist") / "routines"
        for entry in sorted(folder.iterdir(), key=lambda item: item.name):
            if entry.name.endswith(".asm"):
                out.append(_task(entry.name.removesuffix(".asm"), entry.read_text(encoding="utf-8")))
    except OSError as error:
        raise NoTasks(f"the routine library cannot be read ({error})") from None
    if not out:
        raise NoTasks("the routine library holds no routine")
    return out


def _task(name: str, text: str) -> Task:
    lines = text.split("\n")
    header = [line.lstrip("; ").rstrip() for line in lines[: next(
        (at for at, line in enumerate(lines) if not line.startswith(";")), len(lines))]]
    code = "\n".join(lines[len(header) :]).strip("\n") + "\n"
    told = [line for line in header if line and not line.lower().startswith("words:")]
    return Task(name, "\n".join(told), code)


def assembly_share(text: str) -> float:
    """Share of the non-blank, non-comment lines that look like labels or instructions; 0.0 for no line."""
    lines = [line.partition(";")[0].strip() for line in text.split("\n")]
    lines = [line for line in lines if line and not line.startswith("```")]
    good = sum(bool(_CODE.match(line)) or line.endswith(":") for line in lines)
    return good / len(lines) if lines else 0.0


def ask(ollama: Ollama, model: str, tasks: Sequence[Task], num_ctx: int, most_tokens: int,
        threads: int = 0, judge: Callable[[str], bool | None] = lambda text: None) -> dict[str, Any]:
    """Greedy answers to the library's tasks through the served model. Only numbers are kept: answered in code (at
    least nine lines in ten), ends by itself, lines, and what ``judge`` says (assembles, or None: nobody could tell)."""
    results = {}
    settings = {"temperature": 0.0, "seed": 1, "num_ctx": num_ctx, "num_predict": most_tokens,
                "stop": list(prompt.STOPS), **({"num_thread": threads} if threads else {})}
    for task in tasks:
        answer = ollama.raw(model, prompt.chat([prompt.wish(task.instruction)]), settings)
        text = str(answer.get("response", ""))
        results[task.name] = {"code": assembly_share(text) >= 0.9, "ends": answer.get("done_reason") == "stop",
                              "lines": len(text.splitlines()), "assembles": judge(text)}
    done = sum(bool(result["code"] and result["ends"]) for result in results.values())
    judged = [bool(result["assembles"]) for result in results.values() if result["assembles"] is not None]
    told = f", {sum(judged)} of {len(judged)} assemble" if judged else ""
    say("eval", f"{model}: {done} of {len(results)} library tasks answered with code that ends by itself{told}")
    return {"version": VERSION, "answered": done, "assemble": sum(judged), "judged": len(judged), "of": len(results),
            "tasks": results}
