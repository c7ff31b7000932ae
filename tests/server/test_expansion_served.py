"""The expansion behind the real server: labels of macros, addresses that follow edits, a process that may die, the
fence, the switch."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from lsprotocol import types

from nayru_lsp.files import normal
from tests.kit import require
from tests.server.editor import Editor

MAIN = """\
lorom
incsrc "lib.asm"
org $808000
Main:
    %spawn(Boss)
    JSR Boss_Loop
    RTS
"""
LIB = """\
macro spawn(name)
<name>_Init:
    NOP
<name>_Loop:
    RTS
endmacro
"""
NAMED = "[[roots]]\npath = \"main.asm\"\n"
HIDDEN = {"ghost": {"provider": "local"}, "generate": {"provider": "local"}}


async def hover(editor: Editor, name: str, line: int, character: int) -> str:
    found = await editor.client.text_document_hover_async(types.HoverParams(**editor.at(name, line, character)))
    return editor.hovered(found) if found is not None else ""


async def until(ask: Callable[[], Any], wanted: Callable[[Any], bool]) -> Any:
    """The first wanted answer; the execution comes when it comes."""
    answer = None
    for _ in range(1_000):
        answer = await ask()
        if wanted(answer):
            return answer
        await asyncio.sleep(0.02)
    raise AssertionError(f"never: {answer}")


async def hovered(editor: Editor, line: int, character: int, wanted: str) -> str:
    return str(await until(lambda: hover(editor, "main.asm", line, character), lambda text: wanted in text))


def workers(editor: Editor) -> list[int]:
    """Processes that the server started."""
    server = editor.client._server
    assert server is not None
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parent = (entry / "stat").read_text().rpartition(")")[2].split()[1]
                command = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if int(parent) == server.pid and b"work_child.py" in command:
                found.append(int(entry.name))
    return found


async def opened(editor: Editor, main: str = MAIN, lib: str = LIB, **settings: Any) -> None:
    editor.write("main.asm", main)
    editor.write("lib.asm", lib)
    await editor.start(options={**HIDDEN, **settings})
    await editor.ready()
    editor.open("main.asm", main)
    await editor.diagnostics("main.asm", 1)


async def test_a_label_made_by_a_macro(editor: Editor) -> None:
    await opened(editor)
    text = await hovered(editor, 5, 10, "$80:8001")
    assert "in macro spawn" in text and "lib.asm, line 4" in text and "called from line 5" in text
    assert "`$80:8002`: `20 01 80`" in await hover(editor, "main.asm", 5, 5)
    places = await editor.client.text_document_definition_async(types.DefinitionParams(**editor.at("main.asm", 5, 10)))
    assert isinstance(places, list)
    assert [(one.uri.rpartition("/")[2], one.range.start.line) for one in places] == [("lib.asm", 3), ("main.asm", 4)]
    items = await editor.client.text_document_completion_async(types.CompletionParams(**editor.at("main.asm", 5, 11)))
    assert isinstance(items, types.CompletionList)
    assert [one.label for one in items.items if one.label.startswith("Boss")] == ["Boss_Init", "Boss_Loop"]

    # An edit above it moves it, one in the macro too, and undoing gives the first answer again.
    editor.change("main.asm", 2, ((4, 0, 4, 0), "    NOP\n"))
    await editor.diagnostics("main.asm", 2)
    await hovered(editor, 6, 10, "$80:8002")
    editor.open("lib.asm", LIB)
    await editor.diagnostics("lib.asm", 1)
    editor.change("lib.asm", 2, ((2, 4, 2, 7), "NOP : NOP"))
    await editor.diagnostics("lib.asm", 2)
    await hovered(editor, 6, 10, "$80:8003")
    editor.change("lib.asm", 3, ((2, 4, 2, 13), "NOP"))
    await editor.diagnostics("lib.asm", 3)
    await hovered(editor, 6, 10, "$80:8002")


async def test_rows_of_another_text_are_never_shown(vscode: Editor) -> None:
    await opened(vscode)
    await hovered(vscode, 5, 5, "20 01 80")
    vscode.change("main.asm", 2, ((5, 0, 5, 0), "    NOP\n    NOP\n"))
    assert "this line" not in await hover(vscode, "main.asm", 5, 5)     # at once: nothing of what is new,
    late = "`: `20 01 80` (before the last change)"         # and what was there before as such, wherever it is now
    assert f"this line: `$80:8002{late}" in await hover(vscode, "main.asm", 7, 5)
    assert "before the last change" in await hover(vscode, "main.asm", 7, 10)
    made = await vscode.client.text_document_definition_async(types.DefinitionParams(**vscode.at("main.asm", 7, 10)))
    assert isinstance(made, list) and [one.range.start.line for one in made] == [3, 4]
    await vscode.diagnostics("main.asm", 2)
    await hovered(vscode, 7, 5, "20 01 80")


async def test_the_process_is_killed(vscode: Editor) -> None:
    if not Path("/proc").exists():
        pytest.skip("needs /proc to find the process")
    # Never saved: what the editor holds is told to the next process again.
    await opened(vscode)
    vscode.change("main.asm", 2, ((4, 0, 4, 0), "    NOP\n"))
    await vscode.diagnostics("main.asm", 2)
    await hovered(vscode, 6, 10, "$80:8002")
    killed = workers(vscode)
    assert killed
    for pid in killed:
        os.kill(pid, signal.SIGKILL)
    assert "$80:8002" in await hover(vscode, "main.asm", 6, 10)         # what was found stays
    vscode.open("lib.asm", LIB)
    await vscode.diagnostics("lib.asm", 1)
    vscode.change("lib.asm", 2, ((2, 4, 2, 7), "NOP : NOP"))
    await vscode.diagnostics("lib.asm", 2)
    await hovered(vscode, 6, 10, "$80:8003")
    assert not set(killed) & set(workers(vscode))


async def test_a_root_that_ends_its_process_is_given_up(vscode: Editor) -> None:
    if not Path("/proc").exists():
        pytest.skip("needs /proc to find the process")
    await opened(vscode, LOOP)

    async def kill() -> None:
        while True:
            for pid in workers(vscode):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            await asyncio.sleep(0.05)

    async def type_on() -> None:
        for version in range(2, 1_000):
            vscode.change("main.asm", version, ((7, 0, 7, 0), "    NOP\n"))
            await vscode.diagnostics("main.asm", version)
            await asyncio.sleep(0.5)

    tasks = [asyncio.ensure_future(kill()), asyncio.ensure_future(type_on())]
    told = await vscode.hear(types.WINDOW_SHOW_MESSAGE)
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    assert "main.asm ended again and again" in told.message and "`nayru.restart`" in told.message
    assert await vscode.client.workspace_execute_command_async(
        types.ExecuteCommandParams(command="nayru.restart", arguments=[]))
    await vscode.hear("nayru/status", lambda status: "executing main.asm" in str(status))


async def test_a_file_outside_of_the_workspace_is_not_read(vscode: Editor, tmp_path: Path) -> None:
    (tmp_path / "secret.asm").write_text("Secret:\n")
    (tmp_path / "secret.bin").write_bytes(b"\x11\x22\x33\x44")
    (vscode.folder / "link.bin").symlink_to(tmp_path / "secret.bin")
    main = ("lorom\norg $808000\nMain:\n    NOP\nincsrc \"../secret.asm\"\nincbin \"link.bin\"\n"
            f"incbin \"{tmp_path}/secret.bin\"\ndb readfile1(\"../secret.bin\", 0)\nAfter:\n    RTS\n")
    await opened(vscode, main)
    await hovered(vscode, 3, 5, "$80:8000")
    text = await hover(vscode, "main.asm", 8, 2)
    assert "its place is not known" in text and "$80" not in text       # 4 + 4 + 1 bytes further, had they been read
    for line in (5, 6, 7):
        assert "11" not in await hover(vscode, "main.asm", line, 1)
    items = await vscode.client.text_document_completion_async(types.CompletionParams(**vscode.at("main.asm", 9, 7)))
    assert "Secret" not in str(items)


async def test_switched_off(vscode: Editor) -> None:
    await opened(vscode, analysis={"expansion": False})

    async def switch(on: bool) -> None:
        vscode.client.set_configuration({**HIDDEN, "analysis": {"expansion": on}}, section="nayru")
        vscode.client.workspace_did_change_configuration(types.DidChangeConfigurationParams(settings=None))

    assert await hover(vscode, "main.asm", 5, 10) == ""
    await switch(True)
    await hovered(vscode, 5, 10, "$80:8001")
    await switch(False)
    await until(lambda: hover(vscode, "main.asm", 5, 10), lambda text: text == "")
    await asyncio.sleep(0.3)        # more than the pause before an execution
    assert "this line" not in await hover(vscode, "main.asm", 5, 5)


async def test_problems_of_the_execution(vscode: Editor) -> None:
    main = MAIN.replace("Boss_Loop", "Boss_Lop") + "    BRA Far\n    fillbyte 0 : fill 200\nFar:\n"
    vscode.write("nayru.toml", NAMED)
    await opened(vscode, main)
    found = await vscode.diagnostics("main.asm", 1, lambda found: len(found) == 2)
    assert [(one.code, one.source, one.range.start.line, one.range.start.character) for one in found] == [
        ("NAY401", "nayru", 5, 8), ("Erelative_branch_out_of_bounds", "nayru", 7, 4)]
    vscode.change("main.asm", 2, ((5, 8, 5, 16), "Boss_Loop"), ((7, 8, 7, 11), "Main"))
    await vscode.diagnostics("main.asm", 2, lambda found: not found)


async def test_a_label_that_the_text_has_and_the_execution_has_not(vscode: Editor) -> None:
    """A label of a macro's is the parent of the sub label below the call."""
    main = MAIN + ".sub\n    dw Main_sub\n"
    vscode.write("nayru.toml", NAMED)
    await opened(vscode, main)
    found = await vscode.diagnostics("main.asm", 1, lambda found: any(one.code == "NAY401" for one in found))
    assert ["where this is executed" in one.message for one in found] == [True]
    vscode.change("main.asm", 2, ((8, 0, 8, 15), "    %spawn(Boss)"))
    await vscode.diagnostics("main.asm", 2, lambda found: not found)
    twice = await vscode.diagnostics("main.asm", 2, lambda found: len(found) == 2)
    assert [one.range.start.line for one in twice] == [8, 8]
    assert "in `%spawn(Boss)` (lib.asm, line 2)" in twice[0].message and (
        "this line made it before, in another call or turn" in twice[0].message)


async def test_a_root_that_nobody_named_is_not_judged(vscode: Editor) -> None:
    await opened(vscode, MAIN + "    %spawn(Boss)\n")
    await hovered(vscode, 5, 5, "this line")
    assert not any("lib.asm" in one.params.uri for one in vscode.inbox
                   if one.method == types.TEXT_DOCUMENT_PUBLISH_DIAGNOSTICS)
    vscode.write("nayru.toml", NAMED)
    vscode.client.workspace_did_change_watched_files(types.DidChangeWatchedFilesParams(
        changes=[types.FileEvent(uri=vscode.uri("nayru.toml"), type=types.FileChangeType.Created)]))
    found = await vscode.diagnostics("main.asm", 1, lambda found: bool(found))
    assert [(one.code, one.range.start.line) for one in found] == [("Elabel_redefined", 7)] * 2


async def test_said_once_beside_asar(vscode: Editor) -> None:
    library = require("asar")
    vscode.environment = {"NAYRU_PLUGINS": "asar"}
    main = MAIN.replace("Boss_Loop", "Boss_Lop")
    vscode.write("nayru.toml", NAMED)
    vscode.write("main.asm", main)
    vscode.write("lib.asm", LIB)
    await vscode.start(options={**HIDDEN, "asar": {"library": str(library), "pause_ms": 100}})
    await vscode.ready()
    vscode.open("main.asm", main)
    found = await vscode.diagnostics(
        "main.asm", 1, lambda found: any(one.source == "nayru, asar" for one in found))
    assert [(one.code, one.range.start.line) for one in found] == [("NAY401", 5)]


LOOP = "lorom\norg $808000\n!i = 0\nwhile !i < 400000\n!i #= 1+!i\nendwhile\nMain:\n    RTS\n"


async def test_a_long_one_can_be_cancelled(vscode: Editor) -> None:
    vscode.write("other.asm", "lorom\norg $808000\nOther:\n    RTS\n")
    await opened(vscode, LOOP)
    await vscode.hear("nayru/status", lambda status: "executing main.asm" in str(status))
    begun = await vscode.hear(types.PROGRESS, lambda one: "executing main.asm" in str(one.value))
    busy = workers(vscode)
    vscode.client.window_work_done_progress_cancel(types.WorkDoneProgressCancelParams(token=begun.token))
    await vscode.hear("nayru/status", lambda status: "executing" not in str(status))
    assert "this line" not in await hover(vscode, "main.asm", 7, 5)
    vscode.open("other.asm", "lorom\norg $808000\nOther:\n    RTS\n")
    await vscode.diagnostics("other.asm", 1)
    await until(lambda: hover(vscode, "other.asm", 3, 5), lambda text: "this line: `$80:8000`" in text)
    assert set(busy) <= set(workers(vscode)), "only this execution was given up, not its process"
    assert await vscode.client.workspace_execute_command_async(
        types.ExecuteCommandParams(command="nayru.restart", arguments=[]))


EARLY = "macro made()\nMade:\n    db 5\nendmacro\n%made()\n    JSL Made\n    JSL Behind\n"


async def test_what_is_sure_is_told_while_it_is_executed(vscode: Editor) -> None:
    other = "lorom\norg $808000\nOther:\n    RTS\n"
    vscode.write("nayru.toml", NAMED + NAMED.replace("main", "other"))
    vscode.write("other.asm", other)
    vscode.write("slow.asm", f"    NOP\n{LOOP}")
    await opened(vscode, 'lorom\norg $808000\nincsrc "lib.asm"\nincsrc "slow.asm"\nBehind:\n    RTS\n', EARLY)
    begun = await vscode.hear(types.PROGRESS, lambda one: "executing main.asm" in str(one.value))
    vscode.open("lib.asm", EARLY)       # what it was told first is without the lines of this one
    await vscode.diagnostics("lib.asm", 1)
    text = await until(lambda: hover(vscode, "lib.asm", 5, 10), lambda text: "`$80:8000` (so far)" in text)
    assert "made in line 2" in text and "in macro made" in text
    await until(lambda: hover(vscode, "lib.asm", 5, 5), lambda text: "this line: `$80:8001` (so far)" in text)
    assert "this line" not in await hover(vscode, "main.asm", 5, 5), "it has not come there"
    # What is typed meanwhile is not what is being executed, also when that goes on behind another root.
    vscode.change("lib.asm", 2, ((5, 0, 5, 0), "    NOP\n"))
    await vscode.diagnostics("lib.asm", 2)
    vscode.open("other.asm", other)
    await vscode.diagnostics("other.asm", 1)
    await until(lambda: hover(vscode, "other.asm", 3, 5), lambda text: "this line: `$80:8000`" in text)
    end = time.monotonic() + 3
    while time.monotonic() < end:
        assert "`$80:8001`" in (text := await hover(vscode, "lib.asm", 6, 5)), text
        assert "this line" not in await hover(vscode, "lib.asm", 5, 5)
    vscode.client.window_work_done_progress_cancel(types.WorkDoneProgressCancelParams(token=begun.token))


async def test_another_root_is_not_kept_waiting(vscode: Editor) -> None:
    other = "lorom\norg $808000\nOther:\n    RTS\n"
    vscode.write("other.asm", other)
    await opened(vscode, LOOP.replace("400000", "60000"))
    begun = await vscode.hear(types.PROGRESS, lambda one: "executing main.asm" in str(one.value))
    await vscode.hear(types.PROGRESS, lambda one: one.token == begun.token and one.value.get("percentage", 0) > 80)
    vscode.open("other.asm", other)
    await vscode.diagnostics("other.asm", 1)
    await until(lambda: hover(vscode, "other.asm", 3, 5), lambda text: "this line: `$80:8000`" in text)
    assert "this line" not in await hover(vscode, "main.asm", 7, 5), "it was not waited for"
    # It goes on where it was, and is told what was typed meanwhile.
    vscode.change("main.asm", 2, ((7, 0, 7, 0), "    NOP\n"))
    await vscode.diagnostics("main.asm", 2)
    await hovered(vscode, 8, 5, "this line: `$80:8001`: `60`")


async def test_one_that_takes_too_long_is_given_up(vscode: Editor) -> None:
    """The user is told once, and what to do."""
    await opened(vscode, LOOP, analysis={"seconds": 0.1})
    told = await vscode.hear(types.WINDOW_SHOW_MESSAGE)
    assert "main.asm takes more time than it may" in told.message
    assert "Raise analysis.seconds in your settings (now 0.1)" in told.message
    await until(lambda: asyncio.to_thread(vscode.log), lambda text: "takes more than 0.1 s" in text)
    vscode.change("main.asm", 2, ((7, 0, 7, 0), "    NOP\n"))
    await vscode.diagnostics("main.asm", 2)
    assert "this line" not in await hover(vscode, "main.asm", 7, 5)


@pytest.mark.parametrize("size", [32 << 20, (32 << 20) + 1])
async def test_a_base_image_that_is_too_large_is_told(vscode: Editor, size: int) -> None:
    with vscode.write("base.sfc", b"").open("wb") as file:
        file.truncate(size)
    vscode.write("nayru.toml", NAMED + 'base_image = "base.sfc"\n')
    await opened(vscode)
    await hovered(vscode, 5, 5, "$80:8002")
    if size > 32 << 20:
        told = await vscode.hear(types.WINDOW_SHOW_MESSAGE)
        assert "base.sfc is not read: it is larger than 33554432 bytes" in told.message
        assert f"unknown in {normal(str(vscode.path('main.asm')))}" in told.message


async def test_a_binary_file_that_changes(vscode: Editor) -> None:
    vscode.write("table.bin", b"\0" * 16)
    main = MAIN.replace("Main:\n", '    incbin "table.bin"\nMain:\n')
    await opened(vscode, main)
    await hovered(vscode, 6, 10, "$80:8011")
    vscode.write("table.bin", b"\0" * 32)
    vscode.client.workspace_did_change_watched_files(types.DidChangeWatchedFilesParams(
        changes=[types.FileEvent(uri=vscode.uri("table.bin"), type=types.FileChangeType.Changed)]))
    await hovered(vscode, 6, 10, "$80:8021")


async def test_there_at_once_the_next_time(vscode: Editor) -> None:
    """What was found is on the disk after a while; a server that could not execute anything has it from there."""
    await opened(vscode)
    assert "20 01 80" in await hovered(vscode, 5, 5, "$80:8002")
    folder = vscode.home / "cache" / "expansion"
    await until(lambda: asyncio.to_thread(lambda: list(folder.glob("*.bin"))), bool)
    await vscode.stop()
    vscode.inbox.clear()
    await vscode.start(options={**HIDDEN, "analysis": {"seconds": 0.000001}})
    vscode.open("main.asm", MAIN)
    await vscode.diagnostics("main.asm", 1)
    assert "20 01 80" in await hovered(vscode, 5, 5, "$80:8002")
    # A key before it could be executed takes nothing away but its own line.
    vscode.change("main.asm", 2, ((4, 0, 4, 0), "    NOP\n"))
    await vscode.diagnostics("main.asm", 2)
    assert "`$80:8002`: `20 01 80` (before the last change)" in await hover(vscode, "main.asm", 6, 5)
    assert "this line" not in await hover(vscode, "main.asm", 4, 5)
    told = await vscode.hear(types.WINDOW_SHOW_MESSAGE)
    assert "takes more time than it may" in told.message


async def test_known_before_the_project_is_read(vscode: Editor) -> None:
    """Which roots reach a document is found out first."""
    vscode.write("nayru.toml", NAMED)
    for number in range(60):
        vscode.write(f"data/part{number}.asm", f"Part{number}:\n" + "".join(
            f".at{row}:\n    LDA.w #{number}+{row} : STA $7E{row:04X},x\n" for row in range(2_000)))
    vscode.write("lib.asm", LIB)
    vscode.write("main.asm", MAIN)
    await vscode.start(options=HIDDEN)
    vscode.open("main.asm", MAIN)
    await hovered(vscode, 5, 5, "this line: `$80:8002`: `20 01 80`")
    said = [str(one.params) for one in vscode.inbox if one.method == "nayru/status"]
    assert said and "reading the project" in said[-1], "so the project was not read yet"
    await vscode.ready()
    await vscode.diagnostics("main.asm", 1)
    # Nothing of it was looked at again because it was read at last.
    await asyncio.sleep(0.3)
    assert "this line: `$80:8002`: `20 01 80`" in await hover(vscode, "main.asm", 5, 5)


async def test_included_by_a_name_that_a_define_makes(vscode: Editor) -> None:
    vscode.write("nayru.toml", NAMED)
    vscode.write("main.asm", "lorom\norg $808000\n!part = lib\nincsrc \"!{part}.asm\"\n")
    lib = "Sub:\n    RTS\n"
    vscode.write("lib.asm", lib)
    await vscode.start(options=HIDDEN)
    vscode.open("lib.asm", lib)
    await vscode.diagnostics("lib.asm", 1)
    await until(lambda: hover(vscode, "lib.asm", 1, 5), lambda text: "this line: `$80:8000`: `60`" in text)


STALE = """\
lorom
incsrc "lib.asm"
incsrc "slow.asm"
org $808000
Main:
    LDA #!step
    BRA Far
    fillbyte 0 : fill !far
Far:
    RTS
"""


async def test_files_that_changed_between_two_starts(vscode: Editor) -> None:
    """What was found before is told at once as such, though not what was wrong then; what is true now replaces it."""
    vscode.write("nayru.toml", NAMED)
    vscode.write("slow.asm", "!i = 0\nwhile !i < 20000\n!i #= 1+!i\nendwhile\n")
    await opened(vscode, STALE, "!step = 5\n!far = 200\n")
    await hovered(vscode, 5, 5, "this line: `$80:8000`: `A9 05`")
    found = await vscode.diagnostics("main.asm", 1, lambda found: bool(found))
    assert [one.code for one in found] == ["Erelative_branch_out_of_bounds"]
    folder = vscode.home / "cache" / "expansion"
    await until(lambda: asyncio.to_thread(lambda: list(folder.glob("*.bin"))), bool)
    await vscode.stop()

    vscode.inbox.clear()
    vscode.write("lib.asm", "!step = 6\n!far = 2\n")
    await vscode.start(options=HIDDEN)
    vscode.open("main.asm", STALE)
    text = await hovered(vscode, 5, 5, "this line")
    assert "`$80:8000`: `A9 05` (before the last change)" in text
    assert "here: `5` (before the last change)" in await hover(vscode, "main.asm", 5, 11)
    await vscode.diagnostics("main.asm", 1)
    # A key does not take it away, but from the lines that it is in.
    vscode.change("main.asm", 2, ((9, 0, 9, 0), "    NOP\n"))
    assert "(before the last change)" in await hover(vscode, "main.asm", 4, 2)
    assert "`A9 05` (before the last change)" in await hover(vscode, "main.asm", 5, 5)
    assert "this line" not in await hover(vscode, "main.asm", 9, 5)
    vscode.change("main.asm", 3, ((0, 0, 0, 0), "\n"))
    assert "this line" not in await hover(vscode, "main.asm", 6, 5), "it is between two edits"
    await vscode.diagnostics("main.asm", 3)
    await hovered(vscode, 6, 5, "this line: `$80:8000`: `A9 06`")
    assert "(before the last change)" not in await hover(vscode, "main.asm", 6, 5)
    assert not any(one.params.diagnostics for one in vscode.inbox
                   if one.method == types.TEXT_DOCUMENT_PUBLISH_DIAGNOSTICS)
