"""Asar's own test files for 1.91, where NAYRU_ASAR_TESTS names the folder that holds them; see `tests.asar_suite`."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

import pytest

from tests import asar_suite
from tests.kit import require

CASES = 94
CLEAN = 72
@cache
def counted() -> asar_suite.Judged:
    folder = os.environ.get("NAYRU_ASAR_TESTS", "")
    if not folder:
        pytest.skip("NAYRU_ASAR_TESTS names no folder with Asar's own test files for 1.91")
    return asar_suite.judged(Path(folder).resolve(), 1, require("asar"))


def test_these_are_the_files_of_this_version() -> None:
    count, notes, _ = counted()
    assert (count["cases"], count["clean"]) == (CASES, CLEAN)
    assert notes.get("the real Asar does not do what the head states", []) == []


@pytest.mark.parametrize("what", ["without false errors", "bytes as Asar's", "labels as Asar's"])
def test_clean_files(what: str) -> None:
    count, notes, _ = counted()
    kind = {"without false errors": "false errors"}.get(what, what.split()[0])
    assert count[what] == CLEAN, notes.get(kind)


def test_nothing_raises() -> None:
    count, notes, _ = counted()
    assert not count["raised"], notes.get("ours raised")


def test_errors_on_their_lines() -> None:
    notes = counted().notes
    lacking = notes.get("errors that ours lacks", []) + notes.get("errors that ours has at a caller", [])
    assert lacking == []
    assert notes.get("more errors of ours in failing cases", []) == []
