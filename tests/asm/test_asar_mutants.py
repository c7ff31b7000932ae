"""A few mutants of Asar's own test files, where `test_suite` finds those: see `tests.asar_mutants`.

NAYRU_ASAR_MUTANTS=1000 makes it a long run; NAYRU_SEED chooses others.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests import asar_mutants, oracle
from tests.asar_suite import Case
from tests.asm.test_suite import FOLDERS
from tests.expansion import Job
from tests.kit import require
from tests.oracle import Assembled, Told

MUTANTS = int(os.environ.get("NAYRU_ASAR_MUTANTS", "60"))
SEED = int(os.environ.get("NAYRU_SEED", "0"))
FILE = Case("/main.asm")


@pytest.mark.parametrize("asar", [1, 2], ids=["1.91", "2.0"])
def test_mutants(asar: int) -> None:
    folder = os.environ.get(FOLDERS[asar], "")
    library = require("asar") if asar == 1 and folder else oracle.library(asar)
    if not folder or library is None:
        pytest.skip(f"{FOLDERS[asar]} names no folder with Asar's own test files, or there is no library")
    ended = []
    for number, mutant, found, how in asar_mutants.compared(Path(folder).resolve(), asar, library, SEED,
                                                            range(MUTANTS)):
        wrong = [one for one in found if one.kind in asar_mutants.WRONG]
        assert not wrong, f"mutant {SEED}:{number}, {mutant.case.name} {mutant.change}: {wrong}"
        ended.append(how)
    assert {"ok", "failed"} <= set(ended) and ended.count("cut") < MUTANTS // 10


def test_a_mutant_is_made_again_from_its_number(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / f"{name}.asm").write_text("".join(f"{name}{row}:\n" for row in range(9)))
    first, again = (list(asar_mutants.mutants(tmp_path, 1, 7, range(start, 20))) for start in (0, 12))
    assert first[12:] == again
    assert len({mutant.job.memory[mutant.case.path] for mutant in first}) > 10


@pytest.mark.parametrize(("text", "labels", "errors", "kinds"), [
    ("org $008000\nA: db 1\n", {"A": 0x8000}, (), []),
    ("org $008000\nA: db 1\n", {"A": 0x8001}, (), ["labels"]),
    ("org $008000\nA: db 1\n", {"B": 0x8000}, (), ["labels"]),
    ("org $008000\nA: db 2\n", {"A": 0x8000}, (), ["bytes"]),
    ("org $008000\nfoo bar\nA: db 1\n", {"A": 0x8000}, (), ["false error"]),
    ("org $008000\nA: db 1\n", {}, ("Eunknown_command",), ["missed"]),
    ("org $008000\nfoo bar\n", {}, ("Eunknown_command",), []),
    ("org $008000\n\n\nfoo bar\n", {}, ("Eno_freespace",), ["fewer errors", "more errors"]),
    ("while 1\nendwhile\n", {}, (), ["cut"]),
])
def test_differences(text: str, labels: dict[str, int], errors: tuple[str, ...], kinds: list[str]) -> None:
    """Against an Asar that wrote the byte 1 and these labels, or has these errors on the second line."""
    told = tuple(Told(name, FILE.path, 1, "", "", ()) for name in errors)
    result = Assembled(not errors, labels, {}, () if errors else ((0, 0x8000, b"\1"),), b"\1", told, (), (), 0.0, 10901)
    job = asar_mutants.job_of(FILE, 1)
    mutant = asar_mutants.Mutant(FILE, "", Job(job.root, job.base, {FILE.path: text.encode()}))
    found, ended = asar_mutants.differences(mutant, 1, result)
    assert sorted(one.kind for one in found) == ([] if kinds == ["cut"] else kinds)
    assert (ended == "cut") == (kinds == ["cut"])
