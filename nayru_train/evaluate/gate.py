"""The gate: is the candidate better than the version before? Pure statistics over paired, per-file results.

Three bounds, all of which must hold for a promotion (where they come from, and what they can detect: docs/training.md):

1. *context gain*: sum over a file of log p(line i | prompt i) - log p(line i+1 | prompt i), candidate minus before,
   per line; the lower 95 % bound is above 0. House style cancels: a model trained on shuffled lines fails here.
2. *exact match* through the served model: estimate at least 0 and lower bound above -2 points. A veto, no proof.
3. *forgetting*: log p of frozen lines of other projects; lower bound above -0.5 nats per line.

Evidence of harm (an interval wholly on the wrong side, or an estimate beyond a margin) is `refused`; a bound that
fails only because its interval is wide, or too few lines, is `inconclusive`. Whole files are resampled: lines of a file
are not independent, and single lines would not cancel style.
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from typing import Literal

import msgspec

from nayru_train.config import EvaluateConfig

Outcome = Literal["promoted", "refused", "inconclusive"]


class Interval(msgspec.Struct, frozen=True):
    """``estimate`` with its 95 % bootstrap interval; ``error`` the clustered standard error, ``least`` the smallest
    true effect that would be found with 80 % power (2.8 errors)."""

    estimate: float
    low: float
    high: float
    error: float
    least: float
    lines: int
    files: int


class Ruling(msgspec.Struct, frozen=True):
    outcome: Outcome
    reasons: tuple[str, ...]
    context_gain: Interval
    exact_match: Interval
    forgetting: Interval
    log_probability: Interval       # reported, never decisive


def interval(groups: Mapping[str, Sequence[float]], resamples: int, seed: int) -> Interval:
    """Mean of all values, whole groups resampled. Zero-width for no values."""
    sums = [(math.fsum(values), len(values)) for _, values in sorted(groups.items()) if values]
    lines = sum(count for _, count in sums)
    if not lines:
        return Interval(0.0, 0.0, 0.0, 0.0, 0.0, 0, 0)
    estimate = math.fsum(total for total, _ in sums) / lines
    draw = random.Random(seed)
    means = []
    for _ in range(resamples):
        total, count = 0.0, 0
        for one_total, one_count in draw.choices(sums, k=len(sums)):
            total += one_total
            count += one_count
        means.append(total / count)
    means.sort()
    middle = math.fsum(means) / len(means)
    error = math.sqrt(math.fsum((mean - middle) ** 2 for mean in means) / len(means))
    low, high = means[int(0.025 * len(means))], means[min(len(means) - 1, int(0.975 * len(means)))]
    return Interval(round(estimate, 6), round(low, 6), round(high, 6), round(error, 6), round(2.8 * error, 6), lines,
                    len(sums))


def grouped(differences: Mapping[str, float], file_of: Mapping[str, str]) -> dict[str, list[float]]:
    out: dict[str, list[float]] = {}
    for row, value in sorted(differences.items()):
        out.setdefault(file_of[row], []).append(value)
    return out


def context_differences(before: Mapping[str, Sequence[float | None]], after: Mapping[str, Sequence[float | None]],
                        ) -> dict[str, float]:
    """Row -> (matched - mismatched) after minus before; rows without a mismatch are left out."""
    out = {}
    for row, (matched, other) in after.items():
        old_matched, old_other = before[row]
        if None not in (matched, other, old_matched, old_other):
            assert matched is not None and other is not None and old_matched is not None and old_other is not None
            out[row] = (matched - other) - (old_matched - old_other)
    return out


def decide(context: Mapping[str, Sequence[float]], exact: Mapping[str, Sequence[float]],
           forgotten: Mapping[str, Sequence[float]], raw: Mapping[str, Sequence[float]], config: EvaluateConfig,
           seed: int) -> Ruling:
    """All arguments: file -> values, candidate minus before. ``exact`` in 0/1 differences, the others in nats."""
    gain = interval(context, config.resamples, seed)
    in_points = {file: [100 * value for value in values] for file, values in exact.items()}
    points = interval(in_points, config.resamples, seed)
    lost = interval(forgotten, config.resamples, seed)
    log_probability = interval(raw, config.resamples, seed)
    harm, doubt = [], []
    if gain.high < 0:
        harm.append(f"context gain {_told(gain, 'nats')}: it knows less of which line belongs where")
    elif gain.low <= 0:
        doubt.append(f"context gain {_told(gain, 'nats')}: no gain shown; from {gain.least:.2f} nats on it would")
    margin = config.exact_margin
    if points.high < 0 or points.estimate < -margin:
        harm.append(f"exact match {_told(points, 'points')}: fewer lines right through the served model")
    elif points.estimate < 0 or points.low <= -margin:
        doubt.append(f"exact match {_told(points, 'points')}: a loss of {margin:g} points is not excluded")
    margin = config.forget_margin
    if lost.estimate < -margin:
        harm.append(f"forgetting {_told(lost, 'nats')}: other projects' lines became unlikely (limit -{margin:g})")
    elif lost.low <= -margin:
        doubt.append(f"forgetting {_told(lost, 'nats')}: a loss of {margin:g} nats is not excluded")
    for name, found in (("held-back", gain), ("served", points), ("frozen", lost)):
        if found.lines < config.min_positions:
            doubt.append(f"only {found.lines} {name} lines, {config.min_positions} are needed")
    if gain.files < config.min_files:
        doubt.append(f"held-back lines lie in {gain.files} files, {config.min_files} are needed")
    outcome: Outcome = "refused" if harm else "inconclusive" if doubt else "promoted"
    good = () if harm or doubt else (f"context gain {_told(gain, 'nats')}", f"exact match {_told(points, 'points')}",
                                     f"forgetting {_told(lost, 'nats')}")
    return Ruling(outcome, (*harm, *doubt, *good), gain, points, lost, log_probability)


def _told(found: Interval, unit: str) -> str:
    return f"{found.estimate:+.2f} {unit} [{found.low:+.2f}, {found.high:+.2f}]"
