"""Asar's own test files, where NAYRU_ASAR_TESTS (1.91) and NAYRU_ASAR_2_TESTS name the folders that hold them.

See `tests.asar_suite`; those of 2.0 also need its library.
"""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

import pytest

from tests import asar_suite, oracle
from tests.kit import require

FOLDERS = {1: "NAYRU_ASAR_TESTS", 2: "NAYRU_ASAR_2_TESTS"}
CASES = {1: 94, 2: 116}
CLEAN = {1: 72, 2: 82}
ERRORS = {1: 50, 2: 95}


@cache
def judged(asar: int) -> asar_suite.Judged | None:
    folder = os.environ.get(FOLDERS[asar], "")
    library = require("asar") if asar == 1 and folder else oracle.library(asar)
    return asar_suite.judged(Path(folder).resolve(), asar, library) if folder and library is not None else None


@pytest.fixture(params=[1, 2], ids=["1.91", "2.0"])
def asar(request: pytest.FixtureRequest) -> int:
    return int(request.param)


@pytest.fixture
def suite(asar: int) -> asar_suite.Judged:
    found = judged(asar)
    if found is None:
        pytest.skip(f"{FOLDERS[asar]} names no folder with Asar's own test files, or there is no library")
    return found


def test_these_are_the_files_of_this_version(asar: int, suite: asar_suite.Judged) -> None:
    count, notes, _ = suite
    assert (count["cases"], count["clean"], count["errors"]) == (CASES[asar], CLEAN[asar], ERRORS[asar])
    assert notes.get("the real Asar does not do what the head states", []) == []


@pytest.mark.parametrize("what", ["without false errors", "bytes as Asar's", "labels as Asar's"])
def test_clean_files(what: str, asar: int, suite: asar_suite.Judged) -> None:
    kind = {"without false errors": "false errors"}.get(what, what.split()[0])
    assert suite.count[what] == CLEAN[asar], suite.notes.get(kind)


def test_nothing_raises(suite: asar_suite.Judged) -> None:
    assert not suite.count["raised"], suite.notes.get("ours raised")


def test_errors_on_their_lines(asar: int, suite: asar_suite.Judged) -> None:
    notes = suite.notes
    assert notes.get("errors that ours lacks", []) + notes.get("errors that ours has at a caller", []) == []
    assert notes.get("more errors of ours in failing cases", []) == []
    assert suite.count["errors on the same line"] == ERRORS[asar]
