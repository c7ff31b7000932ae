"""The analysis process from inside: what it tells again, what it keeps on disk, what makes that worthless."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nayru_lsp.asm.expanded import FILE, LABELS, Expanded
from nayru_lsp.asm.project import Root
from nayru_lsp.asm.text import SourceText
from nayru_lsp.expansion_work import Service
from nayru_lsp.files import Fence

MAIN = "lorom\norg $808000\nincsrc lib.asm\nMain:\n    LDA #!step\n    incbin data.bin\nEnd:\n"
LIB = "!step = 5\nLib:\n    RTS\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "ws"
    place.mkdir()
    (place / "main.asm").write_text(MAIN)
    (place / "lib.asm").write_text(LIB)
    (place / "data.bin").write_bytes(b"\0\1\2")
    return place


@pytest.fixture
def started(folder: Path, tmp_path: Path) -> Callable[[], Service]:
    """A new process, as far as it can tell."""
    def start(**root: Any) -> Service:
        service = Service(60.0, str(tmp_path / "cache"))
        service.open((Root((folder / "main.asm").as_posix(), **root),), Fence((folder.as_posix(),)))
        return service
    return start


def ask(service: Service, folder: Path, number: int = 0, *names: str) -> tuple[
        int, dict[str, Any], dict[str, bytes], bool]:
    found = service.expand(f"{folder.as_posix()}/main.asm", number, [f"{folder.as_posix()}/{name}" for name in names])
    return found[0], found[1], found[2], len(found) == 4


def end_of(sections: dict[str, Any], digests: dict[str, bytes]) -> int | None:
    made = Expanded(sections, digests=digests).label("End")
    assert made is not None
    return made.value


def test_only_what_is_another_now_is_told(started: Callable[[], Service], folder: Path) -> None:
    service, path = started(), f"{folder.as_posix()}/main.asm"
    number, sections, digests, _ = ask(service, folder, 0, "main.asm")
    assert {"head", f"{LABELS}0", f"{LABELS}1", "calls", "defines", FILE + path} == sections.keys()
    first = Expanded(sections, digests=digests)
    assert end_of(sections, digests) == 0x808006 and first.address(path, 4) == 0x808001
    assert ask(service, folder, number, "main.asm")[1] == {}
    again = ask(service, folder, number, "lib.asm", "main.asm")
    assert again[0] == number and again[1].keys() == {f"{FILE}{folder.as_posix()}/lib.asm"}
    service.edit(path, MAIN.replace("#!step", "#!step+1"))
    newer, sections, digests, _ = ask(service, folder, number, "main.asm")
    assert newer != number and sections.keys() == {FILE + path}
    found = first.followed(sections, [path], {}, digests, named=True)
    assert found.line_bytes(path, 4) == b"\xa9\x06" and first.line_bytes(path, 4) == b"\xa9\x05"
    service.edit(path, MAIN.replace("    LDA", "    NOP\n    LDA"))
    last, sections, digests, _ = ask(service, folder, newer, "main.asm")
    assert {f"{LABELS}0", FILE + path} == sections.keys() and last != newer
    found = found.followed(sections, [path], {path: SourceText.of("x")}, digests, named=True)
    assert found.label("End") == (("End", 0x808007, path, 7, ())) and found.define_at(path, 5, "step") == "5"
    # Who lost what it was told is told all of it.
    assert f"{LABELS}0" in ask(service, folder, 0, "main.asm")[1]


def test_kept_on_disk(started: Callable[..., Service], folder: Path) -> None:
    path = f"{folder.as_posix()}/main.asm"
    service = started()
    number, whole, digests, stored = ask(service, folder, 0, "main.asm")
    assert not stored and service.store(path)
    service = started()
    number, sections, known, stored = ask(service, folder, 0, "main.asm")
    assert stored and sections == whole and known == digests
    assert ask(service, folder, number, "main.asm", "lib.asm")[1].keys() == {
        FILE + path, f"{FILE}{folder.as_posix()}/lib.asm"}
    service.warm(path)      # it follows edits now, and is told as a whole once
    service.edit(path, MAIN.replace("    LDA", "    NOP\n    LDA"))
    _, sections, known, stored = ask(service, folder, number, "main.asm")
    assert not stored and end_of(sections, known) == 0x808007
    assert not service.store(path), "what only an editor has is no result of the disk's"
    # Edited before it was executed: what the disk had is no answer any more.
    service = started()
    number = ask(service, folder, 0, "main.asm")[0]
    service.edit(path, MAIN.replace("    LDA", "    NOP\n    LDA"))
    _, sections, known, stored = ask(service, folder, number, "main.asm")
    assert not stored and end_of(sections, known) == 0x808007


@pytest.mark.parametrize("change", ["lib.asm", "data.bin", "root", "overlay", "damage", "gone"])
def test_what_the_disk_has_is_worthless(started: Callable[..., Service], folder: Path, tmp_path: Path,
                                        change: str) -> None:
    path = f"{folder.as_posix()}/main.asm"
    service = started()
    ask(service, folder)
    assert service.store(path) and ask(started(), folder)[3]
    root: dict[str, Any] = {}
    if change == "lib.asm":
        (folder / "lib.asm").write_text("!step = 5\nLib:\n    NOP : RTS\n")
    elif change == "data.bin":
        (folder / "data.bin").write_bytes(b"\0\1\2\3")
    elif change == "root":
        root["defines"] = (("more", "1"),)
    elif change == "gone":
        (folder / "data.bin").unlink()
    elif change == "damage":
        for file in (tmp_path / "cache").iterdir():
            data = bytearray(file.read_bytes())
            data[len(data) // 2] ^= 1
            file.write_bytes(data)
    service = started(**root)
    if change == "overlay":
        service.edit(path, MAIN + "    NOP\nMore:\n")
    _, sections, digests, stored = ask(service, folder)
    assert not stored
    assert end_of(sections, digests) == (
        0x808007 if change in ("lib.asm", "data.bin") else None if change == "gone" else 0x808006)


def test_a_base_image_that_changes(started: Callable[..., Service], folder: Path) -> None:
    image, path = folder / "base.sfc", f"{folder.as_posix()}/main.asm"
    (folder / "main.asm").write_text("lorom\norg $808000+read1($808000)\nEnd:\n")
    image.write_bytes(b"\x10" * 0x8000)
    service = started(base_image=image.as_posix())
    _, sections, digests, _ = ask(service, folder)
    assert end_of(sections, digests) == 0x808010 and service.store(path)
    image.write_bytes(b"\x20" * 0x8000)
    service.edit(image.as_posix(), None)
    assert end_of(*ask(service, folder, 0)[1:3]) == 0x808020
    assert end_of(*ask(started(base_image=image.as_posix()), folder, 0)[1:3]) == 0x808020


def test_a_disk_that_cannot_be_written(started: Callable[..., Service], folder: Path, tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("no folder")
    service = started()
    assert not ask(service, folder)[3] and not service.store(f"{folder.as_posix()}/main.asm")
    assert not ask(started(), folder)[3]
