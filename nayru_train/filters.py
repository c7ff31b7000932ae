"""Which samples become rows: each is kept, or dropped with a reason. Plugins add filters (`nayru_register_filters`).

A filter that fails drops the row and says so: what could not be judged is not trained on.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from nayru_lsp.plugins import Plugins
from nayru_train import dedup
from nayru_train.sample import Sample

Filter = Callable[[Mapping[str, Any]], "str | Awaitable[str | None] | None"]

MOST_TARGET_LINES = 200
RUN = 6             # this many neighbouring code lines in common with an eval task count as contamination
FILTER_SECONDS = 10.0
RUBBISH = msgspec.to_builtins(Sample(kind="generation", target="Rubbish:\n    NOTCODE #$12\n"))


class Drop(NamedTuple):
    """Written to the drops file: no text, only what was dropped and why."""

    id: str
    origin: str
    reason: str


def own_reason(sample: Sample) -> str:
    """Why this sample is no use, "" when nothing speaks against it."""
    if not sample.target.strip():
        return "empty target"
    if sample.target.count("\n") > MOST_TARGET_LINES:
        return f"target longer than {MOST_TARGET_LINES} lines"
    if any((ord(c) < 32 and c not in "\t\r\n") or ord(c) == 0xFFFD for c in "".join(sample.texts)):
        return "control characters or undecodable text"
    if not dedup.code_lines(sample.target):
        return "target holds no code"
    if not sample.licence:
        return "no licence noted"
    return ""


def judge(samples: Sequence[Sample], deleted: frozenset[str], plugins: Plugins | None,
          ) -> tuple[list[Sample], list[Drop], list[str]]:
    """(kept, drops, names of the filters that judged). ``deleted``: ids of the store that the user deleted. Plugin
    filters judge what people or models wrote (store, JSONL), not checkouts, whose lines stand in assembled projects.

    A filter that lets `RUBBISH` pass is asked all the same, but is not named among those that judged: Asar may be
    absent, and what nobody looked at must not count as good."""
    kept: list[Sample] = []
    drops: list[Drop] = []
    filters: dict[str, Filter] = dict(plugins.filters) if plugins is not None else {}
    with asyncio.Runner() as runner:
        judged = [name for name, one in filters.items() if runner.run(_asked(name, one, RUBBISH))]
        for sample in samples:
            reason = "deleted by the user" if sample.origin in deleted or sample.id in deleted else own_reason(sample)
            if not reason and sample.source in ("store", "jsonl"):
                plain = msgspec.to_builtins(sample)
                for name, one in filters.items():
                    reason = runner.run(_asked(name, one, plain))
                    if reason:
                        break
            if reason:
                drops.append(Drop(sample.id, sample.origin, reason))
            else:
                kept.append(sample)
        if plugins is not None:
            runner.run(plugins.close())
    return kept, drops, ["own", *judged]


class Judge:
    """The plugins' filters as one question: does this code stand? None where no plugin can tell. A context manager."""

    def __init__(self, plugins: Plugins) -> None:
        self._plugins = plugins
        self._runner = asyncio.Runner()
        self._able = {name: one for name, one in plugins.filters.items()
                      if self._runner.run(_asked(name, one, RUBBISH))}

    def __enter__(self) -> Judge:
        return self

    def __exit__(self, *_: object) -> None:
        self._runner.run(self._plugins.close())
        self._runner.close()

    def __call__(self, code: str) -> bool | None:
        if not self._able:
            return None
        plain = msgspec.to_builtins(Sample(kind="generation", target=code))
        return not any(self._runner.run(_asked(name, one, plain)) for name, one in self._able.items())


async def _asked(name: str, one: Filter, sample: Mapping[str, Any]) -> str:
    try:
        answer = one(sample)
        if inspect.isawaitable(answer):
            answer = await asyncio.wait_for(answer, FILTER_SECONDS)
        return f"{name}: {answer}" if answer else ""
    except Exception as error:      # a plugin's; judged to be against the row
        return f"{name} could not judge: {type(error).__name__}: {error}"


def without_duplicates(samples: Sequence[Sample], threshold: float) -> tuple[list[Sample], list[Drop]]:
    """Exact duplicates (same target in the same nearest context) and near ones (same target, similar context) go; the
    first stays, so put what matters most first."""
    kept: list[Sample] = []
    drops: list[Drop] = []
    exact: dict[str, str] = {}
    near: dict[str, dedup.NearIndex] = {}
    for sample in samples:
        above, below = _nearest(sample)
        key = dedup.exact_key(sample.kind, sample.instruction, above, sample.target, below)
        if key in exact:
            drops.append(Drop(sample.id, sample.origin, f"exact duplicate of {exact[key]}"))
            continue
        index = near.setdefault(dedup.exact_key(sample.kind, sample.target), dedup.NearIndex())
        whole = f"{sample.instruction}\n{above}\n{sample.target}\n{below}"
        if twin := index.match(whole, threshold):
            drops.append(Drop(sample.id, sample.origin, f"near duplicate of {twin}"))
            continue
        exact[key] = sample.id
        index.add(sample.id, whole)
        kept.append(sample)
    return kept, drops


def _nearest(sample: Sample, lines: int = 6) -> tuple[str, str]:
    above = "\n".join(sample.prefix.split("\n")[-lines:])
    return above, "\n".join(sample.suffix.split("\n")[: lines // 2])


def decontaminated(train: Sequence[Sample], test: Sequence[Sample], tasks: Mapping[str, str], threshold: float,
                   ) -> tuple[list[Sample], list[Drop]]:
    """Rows that hold an eval task's code, or are a held-back row in all but name, go. ``tasks``: name -> code."""
    runs = dedup.runs(tasks, RUN)
    targets = {dedup.exact_key(code): name for name, code in tasks.items()}
    held_back = {dedup.exact_key(*_nearest(row), row.target): row.id for row in test}
    index = dedup.NearIndex()
    for row in test:
        index.add(row.id, _window(row))
    kept: list[Sample] = []
    drops: list[Drop] = []
    for sample in train:
        lines = dedup.code_lines("\n".join((sample.prefix, sample.target, sample.suffix, sample.input)))
        if task := targets.get(dedup.exact_key(sample.target)) or dedup.shared_run(lines, runs, RUN):
            reason = f"contaminated: holds code of the eval task {task}"
        elif same := held_back.get(dedup.exact_key(*_nearest(sample), sample.target)):
            reason = f"contaminated: equals the held-back row {same}"
        elif same := index.match(_window(sample), threshold):
            reason = f"contaminated: nearly the held-back row {same}"
        else:
            kept.append(sample)
            continue
        drops.append(Drop(sample.id, sample.origin, reason))
    return kept, drops


def _window(sample: Sample) -> str:
    above, below = _nearest(sample)
    return f"{above}\n{sample.target}\n{below}"
