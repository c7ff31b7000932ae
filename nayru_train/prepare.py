"""Samples -> training rows, held-back rows, frozen rows: filters, duplicates, families, decontamination, replay.

Order matters: what cannot be judged or was deleted goes first; the split is by family and comes before any drawing;
decontamination is checked again at the end and fails closed.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from nayru_lsp.config import UserConfig
from nayru_lsp.plugins import Plugins
from nayru_train import filters, rehearsal, split
from nayru_train.config import PrepareConfig
from nayru_train.evaluate import tasks
from nayru_train.progress import say
from nayru_train.sample import DataError, Sample, file_hash, sealed, write_jsonl


def prepare(samples: Sequence[Sample], families: dict[str, str], base: Sequence[Sample], deleted: frozenset[str],
            out: Path, config: PrepareConfig, rows_per_project: int, seed: int,
            user: UserConfig | None = None, data: str = "") -> dict[str, Any]:
    """Write train.jsonl, test.jsonl, frozen.jsonl and drops.jsonl into ``out``; the result is the record of the set."""
    library = _library(config)
    plugins = load_plugins(config, user or UserConfig(), data)
    joined = [msgspec.structs.replace(sample, family=families.get(sample.family, sample.family)) for sample in samples]
    joined.sort(key=lambda sample: (sample.source != "store", sample.source != "jsonl"))    # what people wrote first
    kept, drops, judges = filters.judge(joined, deleted, plugins)
    kept, twins = filters.without_duplicates(kept, config.near_duplicate)
    drops += twins
    for name in sorted(set(plugins.filters) - set(judges)):
        told = "; ".join(str(status) for _, status in plugins.call_each("nayru_status") if status)
        say("prepare", f"the filter '{name}' does not judge here, rows are kept unjudged ({told or 'no reason given'})")
    say("prepare", f"{len(samples)} samples, {len(kept)} left after filters ({', '.join(judges)}) and duplicates")

    # The split, by family. Only lines of checkouts are held back.
    people = [sample for sample in kept if sample.source in ("store", "jsonl")]
    lines = [sample for sample in kept if sample.source not in ("store", "jsonl")]
    held = split.test_families((sample.family for sample in lines), (sample.family for sample in people), seed,
                               config.test_share)
    test = _spread([sample for sample in lines if sample.family in held], config.test_per_file, config.test_positions,
                   seed)
    drawn: list[Sample] = []
    for project in sorted({sample.project for sample in lines}):
        pool = [sample for sample in lines if sample.project == project and sample.family not in held]
        drawn += random.Random(f"{seed} {project}").sample(pool, min(len(pool), rows_per_project))
    train = people * config.repeat_samples + drawn
    if config.max_rows:
        train = train[: config.max_rows]

    # Replay and frozen rows of other projects, apart by family.
    frozen = _spread([row for row in base if rehearsal.is_frozen(row)], 12, config.frozen_positions, seed)
    pool = [row for row in base if not rehearsal.is_frozen(row)]

    # Decontamination against everything that is measured.
    measured = [*test, *frozen]
    train, dirty = filters.decontaminated(train, measured, library, config.near_duplicate)
    drops += dirty
    wanted = round(len(train) * config.replay / (1 - config.replay)) if config.replay < 1 else len(pool)
    replay = random.Random(f"{seed} replay").sample(pool, min(len(pool), wanted))
    replay, dirty = filters.decontaminated(replay, measured, library, config.near_duplicate)
    drops += dirty
    left = filters.decontaminated([*train, *replay], measured, library, config.near_duplicate)[1]
    overlap = {sample.family for sample in train} & {sample.family for sample in measured}
    if left or overlap:
        raise DataError(f"{len(left)} rows are contaminated and {len(overlap)} families lie on both sides of the "
                        "split; nothing was written")
    if not train:
        raise DataError(f"no rows are left to train on: {_summary(drops) or 'the sources gave none'}")
    if config.control == "shuffled":
        train = _shuffled(train, seed)
    rows = [*train, *replay]
    random.Random(f"{seed} order").shuffle(rows)
    for name, found in (("train", rows), ("test", test), ("frozen", frozen)):
        write_jsonl(out / f"{name}.jsonl", found)
    write_jsonl(out / "drops.jsonl", (drop._asdict() for drop in drops))
    say("prepare", f"{len(train)} rows and {len(replay)} replay rows to train on; held back: {len(test)} lines of "
        f"{len({row.cluster for row in test})} files; frozen: {len(frozen)} lines of other projects")
    if drops:
        say("prepare", f"{len(drops)} dropped ({_summary(drops)}), listed in {out / 'drops.jsonl'}")
    return {"train": len(train), "replay": len(replay), "test": len(test), "frozen": len(frozen), "drops": len(drops),
            "accepted": len(people), "judges": judges, "control": config.control,
            "families": {"train": len({row.family for row in train}), "test": len({row.family for row in test})},
            "hashes": {name: file_hash(out / f"{name}.jsonl") for name in ("train", "test", "frozen", "drops")}}


def load_plugins(config: PrepareConfig, user: UserConfig, data: str) -> Plugins:
    """The plugins whose filters judge, told the user's settings (where Asar lies)."""
    plugins = Plugins.load(config.plugins)
    plugins.configure(msgspec.to_builtins(user), data)
    return plugins


def _library(config: PrepareConfig) -> dict[str, str]:
    try:
        return {task.name: task.code for task in tasks.library_tasks()}
    except tasks.NoTasks as error:
        if config.allow_no_library:
            say("prepare", f"{error}; going on, as prepare.allow_no_library says")
            return {}
        raise DataError(f"{error}, so rows cannot be kept apart from the eval tasks; reinstall nayru, or set "
                        "prepare.allow_no_library=true") from None


def _spread(rows: Sequence[Sample], per_file: int, total: int, seed: int) -> list[Sample]:
    by_id = {row.id: row for row in rows}
    files: dict[str, list[str]] = {}
    for row in rows:
        files.setdefault(row.cluster, []).append(row.id)
    # No more per file than is needed to reach the total: more files make a sharper gate than more lines of each.
    chosen = split.spread(files, per_file, total, seed)
    return sorted((by_id[one] for one in set(chosen)), key=lambda row: (row.cluster, row.line, row.id))


def _shuffled(rows: Sequence[Sample], seed: int) -> list[Sample]:
    """The control: every target stands at another row's place. House style stays, knowledge goes."""
    targets = [row.target for row in rows]
    random.Random(f"{seed} shuffled").shuffle(targets)
    return [sealed(msgspec.structs.replace(row, target=target)) for row, target in zip(rows, targets, strict=True)]


def _summary(drops: Sequence[filters.Drop]) -> str:
    counts: dict[str, int] = {}
    for drop in drops:
        reason = drop.reason.partition(" of ")[0].partition(":")[0]
        counts[reason] = counts.get(reason, 0) + 1
    return ", ".join(f"{count} {reason}" for reason, count in sorted(counts.items(), key=lambda item: -item[1])[:6])
