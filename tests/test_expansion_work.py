"""The analysis process from inside: what it tells again, what it keeps on disk, what makes that worthless."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nayru_lsp import expansion_work
from nayru_lsp.asm.expanded import FILE, LABELS, Expanded
from nayru_lsp.asm.project import Root
from nayru_lsp.asm.text import SourceText
from nayru_lsp.expansion_work import Service
from nayru_lsp.files import Fence, decode

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
    return found[0], found[1], found[2], found[4] is not None


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


@pytest.mark.parametrize("data", [b"\xef\xbb\xbf" + MAIN.encode(), b"; caf\xe9\n" + MAIN.encode()],
                         ids=["byte order mark", "no UTF-8"])
def test_an_open_file_whose_text_is_not_its_bytes(started: Callable[..., Service], folder: Path, data: bytes) -> None:
    """The editor's text is that of the disk: what is found is kept, is found again, and is that of the file."""
    path = f"{folder.as_posix()}/main.asm"
    Path(path).write_bytes(data)
    service = started()
    text = decode(path, data).text
    service.edit(path, text)
    _, opened, digests, _ = ask(service, folder, 0, "main.asm")
    assert service.store(path)
    service = started()
    _, closed, known, stored = ask(service, folder, 0, "main.asm")
    assert stored and (closed, known) == (opened, digests)
    service = started()
    service.edit(path, text)
    assert ask(service, folder, 0, "main.asm")[3] and not service._moved(service._held[path])
    service.edit(path, text + "NOP\n")
    ask(service, folder, -1, "main.asm")
    assert not service.store(path)


@pytest.mark.parametrize("change", ["lib.asm", "data.bin", "gone", "overlay"])
def test_what_the_disk_has_of_other_files_is_told_as_such(started: Callable[..., Service], folder: Path,
                                                          change: str) -> None:
    path = f"{folder.as_posix()}/main.asm"
    service = started()
    ask(service, folder)
    assert service.store(path) and ask(started(), folder)[3]
    if change == "lib.asm":
        (folder / "lib.asm").write_text("!step = 5\nLib:\n    NOP : RTS\n")
    elif change == "data.bin":
        (folder / "data.bin").write_bytes(b"\0\1\2\3")
    elif change == "gone":
        (folder / "data.bin").unlink()
    service = started()
    if change == "overlay":
        service.edit(path, MAIN + "    NOP\nMore:\n")
    number, sections, digests, whole, moved = service.expand(path, 0, [path])
    other = {"gone": "data.bin", "overlay": "main.asm"}.get(change, change)
    assert whole and moved == (f"{folder.as_posix()}/{other}",) and end_of(sections, digests) == 0x808006
    number, sections, digests, whole, moved = service.expand(path, number, [path])
    assert whole and moved is None, "the result of another execution, of which nothing is a difference"
    assert end_of(sections, digests) == (
        0x808007 if change in ("lib.asm", "data.bin") else None if change == "gone" else 0x808006)
    assert service.expand(path, number, [path])[1:4] == ({}, digests, False)
    # Who has a result of a process that is gone does not want an older one.
    service = started()
    if change == "overlay":
        service.edit(path, MAIN + "    NOP\nMore:\n")
    assert service.expand(path, -1, [path])[3:] == (True, None)


@pytest.mark.parametrize("change", ["root", "damage"])
def test_what_the_disk_has_is_worthless(started: Callable[..., Service], folder: Path, tmp_path: Path,
                                        change: str) -> None:
    service = started()
    ask(service, folder)
    assert service.store(f"{folder.as_posix()}/main.asm") and ask(started(), folder)[3]
    for file in (tmp_path / "cache").iterdir() if change == "damage" else ():
        data = bytearray(file.read_bytes())
        data[len(data) // 2] ^= 1
        file.write_bytes(data)
    _, sections, digests, stored = ask(started(**{"defines": (("more", "1"),)} if change == "root" else {}), folder)
    assert not stored and end_of(sections, digests) == 0x808006


LOOP = "!i = 0\nwhile !i < 20000\n!i #= 1+!i\nendwhile\n"      # some ten pauses


def go_on(service: Service, path: str, number: int = 0) -> tuple[Any, ...]:
    while len(answer := service.expand(path, number, [path])) == 1:
        pass
    return answer


def going_on() -> bool:
    return any(thread.name == "slices" for thread in threading.enumerate())


def test_others_are_served_between_two_slices(folder: Path) -> None:
    path, other = f"{folder.as_posix()}/main.asm", f"{folder.as_posix()}/other.asm"
    (folder / "main.asm").write_text(f"lorom\norg $808000\n{LOOP}incsrc lib.asm\nEnd:\n")
    (folder / "other.asm").write_text("lorom\norg $808000\nEnd:\n")
    service = Service(60.0, "", 0.0)
    service.open((Root(path), Root(other)), Fence((folder.as_posix(),)))
    assert service.expand(path, 0, [path]) == ([path],), "not at its end, but it has come to this file"
    assert service.expand(path, 0, [path]) == ([],)
    # Another root has its turn; what an editor tells meanwhile is for the next execution, whatever was read already.
    assert end_of(*go_on(service, other)[1:3]) == 0x808000
    service.edit(f"{folder.as_posix()}/lib.asm", LIB + "    NOP\n")
    service.edit(path, f"lorom\norg $808000\n{LOOP}incsrc lib.asm\n    NOP\nEnd:\n")
    number, sections, digests, whole, moved = go_on(service, path)
    assert whole and moved is None and end_of(sections, digests) == 0x808003, "an answer is of the texts of now"
    assert {name.rpartition("/")[2] for name in digests} == {"main.asm", "lib.asm"}
    # One that nobody wants any more begins anew when it is asked for.
    service.edit(path, f"lorom\norg $808000\n{LOOP}{LOOP}End:\n")
    assert service.expand(path, number, [path]) == ([path],)
    service.drop(path)
    assert not going_on()
    assert end_of(*go_on(service, path)[1:3]) == 0x808000


def test_time_counts_while_it_works(folder: Path) -> None:
    path = f"{folder.as_posix()}/main.asm"
    (folder / "main.asm").write_text("lorom\norg $808000\n!i = 0\nwhile !i < 2000000\n!i #= 1+!i\nendwhile\n")
    service = Service(0.3, "", 0.05)
    service.open((Root(path),), Fence((folder.as_posix(),)))
    assert len(service.expand(path, 0, [])) == 1
    time.sleep(0.4)
    assert len(service.expand(path, 0, [])) == 1, "the owner's time is not the execution's"
    with pytest.raises(TimeoutError, match=r"more than 0\.3 s"):
        go_on(service, path)
    assert len(service.expand(path, 0, [])) == 1, "and it may be tried again"
    service.open((), Fence())
    assert not going_on(), "a root that is none any more is given up"


def test_a_base_image_that_changes(started: Callable[..., Service], folder: Path) -> None:
    image, path = folder / "base.sfc", f"{folder.as_posix()}/main.asm"
    (folder / "main.asm").write_text("lorom\norg $808000+read1($808000)\nEnd:\n")
    image.write_bytes(b"\x10" * 0x8000)
    service = started(base_image=image.as_posix())
    _, sections, digests, _ = ask(service, folder)
    assert end_of(sections, digests) == 0x808010 and service.store(path)
    image.write_bytes(b"\xEE" * 512 + b"\x20" * 0x8000)       # with a copier's header
    service.edit(image.as_posix(), None)
    assert end_of(*ask(service, folder, 0)[1:3]) == 0x808020
    assert end_of(*ask(started(base_image=image.as_posix()), folder, -1)[1:3]) == 0x808020


def test_a_disk_that_cannot_be_written(started: Callable[..., Service], folder: Path, tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("no folder")
    service = started()
    assert not ask(service, folder)[3] and not service.store(f"{folder.as_posix()}/main.asm")
    assert not ask(started(), folder)[3]


def test_what_is_sure_is_told_while_it_is_executed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(expansion_work, "FIRST", 1e-9)
    monkeypatch.setattr(expansion_work, "MORE", 1e9)
    path, lib = f"{folder.as_posix()}/main.asm", f"{folder.as_posix()}/lib.asm"
    (folder / "main.asm").write_text("lorom\norg $808000\nincsrc lib.asm\nincsrc slow.asm\nEnd:\n")
    (folder / "slow.asm").write_text("    NOP\n" + LOOP)
    service = Service(60.0, "", 0.0)
    service.open((Root(path),), Fence((folder.as_posix(),)))
    while len(answer := service.expand(path, 0, [lib])) == 1:
        pass
    _, sections, digests = answer
    early = Expanded(sections, digests=digests, early=True)
    assert early.shows(lib) and not early.shows(path)
    assert early.label("Lib") == ("Lib", 0x808000, lib, 1, ()) and early.label("End") is None
    assert len(service.expand(path, 0, [path])) == 1, "not again so soon"
    assert len(service.expand(path, -1, [path])) == 1, "nor to somebody who has a whole result"
    while len(answer := service.expand(path, 0, [path])) < 5:
        pass
    assert end_of(*answer[1:3]) == 0x808002


def test_storing_gives_way(folder: Path, tmp_path: Path) -> None:
    path = f"{folder.as_posix()}/main.asm"
    service = Service(60.0, str(tmp_path / "cache"), 0.0)
    service.open((Root(path),), Fence((folder.as_posix(),)))
    go_on(service, path)
    assert service.store(path) is None and going_on()
    # A key comes: what would have been stored is not what holds now.
    service.edit(path, MAIN.replace("Main:", "Main:\n    NOP"))
    assert end_of(*go_on(service, path)[1:3]) == 0x808007
    assert not going_on() and not list((tmp_path / "cache").glob("*.bin"))
    service.edit(path, None)
    go_on(service, path)
    assert service.store(path) is None
    while service.store(path) is None:
        pass
    service = Service(60.0, str(tmp_path / "cache"))
    service.open((Root(path),), Fence((folder.as_posix(),)))
    _, sections, digests, _, moved = go_on(service, path)
    assert moved == () and end_of(sections, digests) == 0x808006
