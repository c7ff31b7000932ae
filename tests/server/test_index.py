"""What is read first: the files that may tell which roots reach a document."""

from __future__ import annotations

from pathlib import Path

import pytest

from nayru_lsp import server_index
from nayru_lsp.files import Fence, sources_below
from nayru_lsp.server_index import includers


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, text in {
            "main.asm": "lorom\nincsrc banks.asm\n", "banks.asm": "incsrc \"sub\\BANK_01.asm\"\n",
            "bank_02.asm": "db 1\n", "sub/bank_01.asm": "db 2\n", "tools.asm": "; main.asm is told of here\n"}.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    return tmp_path


def above(folder: Path, *names: str) -> list[str] | None:
    fence, place = Fence((folder.as_posix(),)), folder.as_posix()
    found = includers([f"{place}/{name}" for name in names], list(sources_below(place, fence)), fence)
    return None if found is None else [path.removeprefix(place + "/") for path in found]


def test_whoever_names_a_file_and_whoever_names_that_one(folder: Path) -> None:
    assert above(folder, "sub/bank_01.asm") == ["banks.asm", "main.asm", "tools.asm"]
    assert above(folder, "bank_02.asm") == []
    assert above(folder) == []


def test_too_many(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_index, "MOST_ABOVE", 2)
    assert above(folder, "sub/bank_01.asm") is None
