"""What is read first: files that may tell which roots reach a document. And when something comes before the rest."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from lsprotocol import types

from nayru_lsp import server_index
from nayru_lsp.asm.facts import FactTable
from nayru_lsp.config import Config
from nayru_lsp.files import Fence, sources_below
from nayru_lsp.server_index import Index, includers
from nayru_lsp.session import Session
from tests.server.editor import Editor


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


@pytest.mark.parametrize(("small", "read"), [(2_000_000, []), (0, [0])])
async def test_what_comes_before_a_large_project_is_read(
        folder: Path, monkeypatch: pytest.MonkeyPatch, small: int, read: list[int]) -> None:
    """A small one is read in no time: definitions in other files need not wait."""
    monkeypatch.setattr(server_index, "SMALL", small)
    session = Session(Config(), FactTable())
    index = Index(session, lambda _: None)
    index.fence = Fence((folder.as_posix(),))
    between: list[int] = []

    async def come() -> None:
        between.append(len(session.project.files))

    await index.read_folders([folder.as_posix()], come)
    assert between == read and index.done and len(session.project.files) == 5


async def test_every_file_is_read_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_index, "SMALL", 0)
    read: list[str] = []
    batch = server_index.read_batch

    def reading(paths: Sequence[str], fence: Fence, config: Config) -> server_index.Read:
        read.extend(path.rpartition("/")[2] for path in paths)
        return batch(paths, fence, config)

    monkeypatch.setattr(server_index, "read_batch", reading)
    session = Session(Config(), FactTable())
    index = Index(session, lambda _: None)
    index.fence = Fence((folder.as_posix(),))
    path = (folder / "banks.asm").as_posix()
    session.open(types.TextDocumentItem(Path(path).as_uri(), "asar", 1, "db 2\n"))
    between: list[list[str]] = []

    async def come() -> None:
        between.append([one.path.rpartition("/")[2] for one in session.project.roots_of(path)])

    await index.read_folders([folder.as_posix()], come)
    assert index.rooted == {path} and between == [["main.asm"]]
    assert read[:2] == ["main.asm", "tools.asm"] and sorted(read[2:]) == ["bank_01.asm", "bank_02.asm"]
    assert len(session.project.files) == 5


async def test_a_definition_waits_for_the_project_to_be_read(vscode: Editor) -> None:
    for number in range(40):
        vscode.write(f"data/part{number}.asm", "".join(
            f"Part{number}_{row}:\n    LDA.w #{number}+{row} : STA $7E{row:04X},x\n" for row in range(2_000)))
    main = "lorom\norg $808000\nincsrc \"middle.asm\"\n    JSR Last\n"
    vscode.write("main.asm", main)
    vscode.write("middle.asm", "incsrc \"data/part39.asm\"\nincsrc \"zlast.asm\"\n")
    vscode.write("zlast.asm", "Last:\n    RTS\n")
    await vscode.start()
    vscode.open("main.asm", main)
    found = await vscode.client.text_document_definition_async(types.DefinitionParams(**vscode.at("main.asm", 3, 9)))
    assert isinstance(found, list) and [(one.uri.rpartition("/")[2], one.range.start.line) for one in found] == [
        ("zlast.asm", 0)]
    await vscode.diagnostics("main.asm", 1)
