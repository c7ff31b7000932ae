"""The predictor keeps its promises: exact lines, and what it says is mostly right.

With NAYRU_CORPUS (a folder of public projects, see `tests.bench.prediction`) a tenth of the measurement runs on them;
else a generated project stands in, whose figures say only that the machinery works.
"""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from tests.bench.prediction import PROJECTS, Row, ask, cases, draw, hole, row_of


def generated(seed: int = 5) -> dict[str, str]:
    """Files of routines that are variations of a few patterns."""
    chance = random.Random(seed)
    files = {}
    for number in range(6):
        lines: list[str] = []
        for routine in range(14):
            name = f"Actor{number}{routine:02}"
            field = chance.choice(("X", "Y", "Timer", "State", "Speed"))
            lines += [f"{name}_Main:", "    PHB", "    PHK", "    PLB", f"    LDA !{field},X"]
            if chance.random() < 0.5:
                lines += ["    BEQ .done", f"    DEC !{field},X"]
            lines += [f"    JSR {name}_Sub", ".done", "    PLB", "    RTL", ""]
            lines += [f"{name}_Sub:", f"    LDA ${chance.randrange(256):02X}", "    CLC",
                      f"    ADC #${chance.randrange(256):02X}", f"    STA !{field},X", "    RTS", ""]
        files[f"/ws/file{number}.asm"] = "\n".join(lines)
    return files


def rows(hand: bool) -> list[Row]:
    folder = os.environ.get("NAYRU_CORPUS")
    if folder:
        names = [name for name in PROJECTS if (Path(folder) / name).is_dir()]
        assert names, f"NAYRU_CORPUS={folder} holds none of {', '.join(PROJECTS)}"
        return [row_of(case) for case in cases(Path(folder), names, 60, 2, ("full", "prefix"), hand)]
    files = generated()
    targets = draw(files, 120, set(), 1)
    return [row_of(case) for case in ask("generated", files, targets, 3, ("full", "prefix"), hand)]


@pytest.mark.parametrize("hand", [True, False], ids=["hand weights", "ranker"])
def test_exact_lines_and_trustworthy_silence(hand: bool) -> None:
    found = rows(hand)
    for mode, least in (("full", 27.0), ("prefix", 22.0)):
        part = [row for row in found if row.mode == mode]
        exact = 100 * sum(row.rank == 0 for row in part) / len(part)
        spoken = [row for row in part if row.confidence >= 0.5]
        right = 100 * sum(row.rank == 0 for row in spoken) / max(1, len(spoken))
        assert exact >= least, f"{mode}: {exact:.1f} % exact"
        assert len(spoken) >= 0.10 * len(part), f"{mode}: speaks at {len(spoken)} of {len(part)}"
        assert right >= 70.0, f"{mode}: {right:.1f} % right"


def test_the_measurement_removes_what_it_asks_for() -> None:
    """An index that had the line itself would find it by its suffix."""
    files = {"/ws/a.asm": "\n".join(f"    LDA ${number:04X}\n    STA ${number * 7:04X}" for number in range(100, 160))}
    targets = draw(files, 20, set(), 1)
    assert targets
    for case in ask("generated", files, targets, 2, ("full",)):
        assert case.index.words.count[case.index.words.ids[case.target.text]] == 0 \
            if case.target.text in case.index.words.ids else True


def test_a_hole_skips_lines_of_code() -> None:
    assert hole(["", "; c", "nop", "", "rts"], 0, 1) == 3
    assert hole(["nop"], 0, 5) == 1
