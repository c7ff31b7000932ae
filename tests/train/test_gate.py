"""The gate as a table of planted effects: what is promoted, refused, inconclusive, and why."""

from __future__ import annotations

import random

import pytest

from nayru_train.config import EvaluateConfig
from nayru_train.evaluate import gate, served, tasks, teacher
from nayru_train.sample import Sample, sealed

CONFIG = EvaluateConfig(resamples=500)


def planted(mean: float, spread: float = 0.5, files: int = 50, lines: int = 8, seed: int = 1) -> dict[str, list[float]]:
    draw = random.Random(seed)
    return {f"file{number}": [draw.gauss(mean, spread) for _ in range(lines)] for number in range(files)}


def lines(right: float, wrong: float, files: int = 50, count: int = 8) -> dict[str, list[float]]:
    """Exact-match differences: a share newly right (+1), a share newly wrong (-1)."""
    draw = random.Random(2)
    return {f"file{number}": [1.0 if (value := draw.random()) < right else -1.0 if value < right + wrong else 0.0
                              for _ in range(count)] for number in range(files)}


@pytest.mark.parametrize(("context", "exact", "forgotten", "expected", "why"), [
    (planted(0.3), lines(0.05, 0.0), planted(-0.1), "promoted", "context gain"),
    (planted(0.3), lines(0.02, 0.02), planted(-0.1), "inconclusive", "exact match"),
    (planted(0.0), lines(0.0, 0.0), planted(0.0), "inconclusive", "no gain shown"),
    (planted(-0.3), lines(0.05, 0.0), planted(-0.1), "refused", "knows less"),
    (planted(0.3), lines(0.0, 0.05), planted(-0.1), "refused", "fewer lines right"),
    (planted(0.3), lines(0.05, 0.0), planted(-0.8), "refused", "became unlikely"),
    (planted(0.3), lines(0.05, 0.0), planted(-0.48, 1.0), "inconclusive", "not excluded"),
    (planted(0.3, files=10), lines(0.05, 0.0, files=10), planted(0.0, files=10), "inconclusive", "are needed"),
    (planted(0.3, files=30), lines(0.05, 0.0, files=30), planted(0.0, files=30), "inconclusive", "30 files"),
])
def test_planted_effects(context: dict[str, list[float]], exact: dict[str, list[float]],
                         forgotten: dict[str, list[float]], expected: str, why: str) -> None:
    ruling = gate.decide(context, exact, forgotten, planted(5.0), CONFIG, 1)
    assert ruling.outcome == expected, ruling
    assert any(why in reason for reason in ruling.reasons), ruling.reasons


def test_log_probability_never_decides() -> None:
    ruling = gate.decide(planted(-0.3), lines(0.0, 0.0), planted(0.0), planted(9.8), CONFIG, 1)
    assert ruling.outcome == "refused"
    assert ruling.log_probability.estimate > 9


def test_house_style_cancels() -> None:
    """A model that makes every line of the project likelier, wherever it stands, has no context gain at all."""
    rows = [sealed(Sample(kind="completion", target=f"LDA {number}", cluster=f"file{number // 4}"))
            for number in range(40)]
    others = teacher.mismatched(rows)
    draw = random.Random(3)
    style = {row.id: draw.uniform(1, 9) for row in rows}       # how much likelier each target became
    before = {row.id: [-9.0, -12.0] for row in rows}
    after = {row.id: [-9.0 + style[row.id], -12.0 + style[other.id]] for row in rows if (other := others[row.id])}
    file_of = {row.id: row.cluster for row in rows}
    found = gate.interval(gate.grouped(gate.context_differences(before, after), file_of), 200, 1)
    assert found.estimate == pytest.approx(0.0, abs=1e-6)
    assert found.low == pytest.approx(0.0, abs=1e-6)
    assert found.high == pytest.approx(0.0, abs=1e-6)


def test_files_are_resampled_not_lines() -> None:
    """Eight equal lines per file are one observation: the interval must be as wide as for one line each."""
    draw = random.Random(4)
    values = {f"file{number}": draw.gauss(0, 1) for number in range(40)}
    one = gate.interval({file: [value] for file, value in values.items()}, 800, 1)
    eight = gate.interval({file: [value] * 8 for file, value in values.items()}, 800, 1)
    assert eight.error == pytest.approx(one.error, rel=0.1)
    assert eight.error > 0.1


def test_a_file_with_one_line_has_no_mismatch() -> None:
    row = sealed(Sample(kind="completion", target="RTS", cluster="alone"))
    assert teacher.mismatched([row]) == {row.id: None}
    assert gate.context_differences({row.id: [-1.0, None]}, {row.id: [-1.0, None]}) == {}


def test_no_values_is_an_empty_interval() -> None:
    assert gate.interval({}, 100, 1).files == 0


@pytest.mark.parametrize(("answer", "target", "same"), [
    ("lda.w  #$10 ; load", "    LDA.w #$10", True),
    ("LDA.w #$10\n    STA $00", "LDA.w #$10", True),
    ("LDA.w #$11", "LDA.w #$10", False),
    ("", "LDA.w #$10", False),
    ("; LDA.w #$10", "LDA.w #$10", False),
    ("RTS", "", False),
])
def test_same_line(answer: str, target: str, same: bool) -> None:
    assert served.same_line(answer, target) is same


@pytest.mark.parametrize(("text", "share"), [
    ("Foo:\n    LDA #$10\n    RTS\n", 1.0),
    ("; nothing but talk\n", 0.0),
    ("Sure, here is a routine for you\n", 0.0),
    ("", 0.0),
    ("```asm\nFoo:\n  RTS\n```\n", 1.0),
])
def test_prose_is_no_code(text: str, share: float) -> None:
    assert tasks.assembly_share(text) == share


def test_library_tasks_have_instruction_and_code() -> None:
    found = tasks.library_tasks()
    assert len(found) >= 16
    for task in found:
        assert task.instruction and "\n\n" not in task.code[:1] and task.code.strip(), task.name
        assert "Words:" not in task.instruction
