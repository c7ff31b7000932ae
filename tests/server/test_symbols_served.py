"""Symbol files behind the real server: they name addresses, follow the disk, define nothing; the fence holds."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from lsprotocol import types

from tests.server.editor import Editor
from tests.server.test_expansion_served import HIDDEN, hover, until

MAIN = """\
lorom
org $808000
Main:
    JSL $80841C
    LDA $10
    dl $C08000
    JSL Known
"""
TOML = """\
symbols = ["out/game.sym", "game.mlb"]
[[roots]]
path = "main.asm"
"""
SYM = "[labels]\n00:841C Known\n7E:0010 Player\n"


async def opened(editor: Editor, toml: str = TOML, main: str = MAIN) -> None:
    editor.write("nayru.toml", toml)
    editor.write("main.asm", main)
    await editor.start(options=HIDDEN)
    await editor.ready()
    editor.open("main.asm", main)


async def hovered(editor: Editor, line: int, character: int, wanted: str) -> str:
    return str(await until(lambda: hover(editor, "main.asm", line, character), lambda text: wanted in text))


async def test_addresses_have_their_names(editor: Editor) -> None:
    editor.write("out/game.sym", SYM)
    editor.write("game.mlb", "SnesPrgRom:841C:Data_second\nSnesPrgRom:200000:Far\n")
    await opened(editor)
    # What only a symbol file knows is still unknown to the assembler.
    found = await editor.diagnostics("main.asm", 1, lambda found: bool(found))
    assert [(one.code, one.range.start.line) for one in found] == [("NAY401", 6)]
    text = await hovered(editor, 3, 10, "`game.sym` calls `$80:841C` `Known`")
    assert "Data_second" not in text        # $01:841C
    assert "`game.sym` calls `$00:0010` `Player`" in await hover(editor, "main.asm", 4, 9)
    assert "`game.mlb` calls `$C0:8000` `Far`" in await hovered(editor, 5, 9, "Far")    # LoROM, as executed
    items = await editor.client.text_document_completion_async(types.CompletionParams(**editor.at("main.asm", 6, 12)))
    assert isinstance(items, types.CompletionList)
    assert not [one.label for one in items.items if "Known" in one.label]
    items = await editor.client.text_document_completion_async(types.CompletionParams(**editor.at("main.asm", 3, 13)))
    assert isinstance(items, types.CompletionList)
    assert [one.label for one in items.items if "$80841C" in one.label] == ["$80841C Known"]


async def test_a_file_that_a_build_writes_again(editor: Editor) -> None:
    path = editor.write("out/game.sym", SYM)
    editor.write("game.mlb", "")
    await opened(editor)        # this editor does not watch files
    await editor.diagnostics("main.asm", 1, lambda found: bool(found))
    await hovered(editor, 3, 10, "`Known`")
    path.write_text("80841C Newer\n")
    await hovered(editor, 3, 10, "`Newer`")
    path.unlink()
    await until(lambda: hover(editor, "main.asm", 3, 10), lambda text: "Newer" not in text)


async def test_a_file_that_the_editor_tells_of(vscode: Editor) -> None:
    await opened(vscode)
    for name in ("symbols[0]", "symbols[1]"):
        assert f"{name}: there is no file" in (await vscode.hear(types.WINDOW_SHOW_MESSAGE)).message
    await vscode.diagnostics("main.asm", 1, lambda found: bool(found))
    registered = await vscode.hear(types.CLIENT_REGISTER_CAPABILITY)
    assert "sym" in str(registered.registrations) and "mlb" in str(registered.registrations)
    vscode.write("out/game.sym", SYM)
    vscode.client.workspace_did_change_watched_files(types.DidChangeWatchedFilesParams(
        changes=[types.FileEvent(uri=vscode.uri("out/game.sym"), type=types.FileChangeType.Created)]))
    await hovered(vscode, 3, 10, "`Known`")
    vscode.write("nayru.toml", "[[roots]]\npath = \"main.asm\"\n")
    vscode.client.workspace_did_change_watched_files(types.DidChangeWatchedFilesParams(
        changes=[types.FileEvent(uri=vscode.uri("nayru.toml"), type=types.FileChangeType.Changed)]))
    await until(lambda: hover(vscode, "main.asm", 3, 10), lambda text: "Known" not in text)


@pytest.mark.skipif(os.name == "nt", reason="named pipes and links")
async def test_hostile_files(editor: Editor, tmp_path: Path) -> None:
    (tmp_path / "secret.sym").write_text("80841C Secret\n")
    editor.path("link.sym").symlink_to(tmp_path / "secret.sym")
    os.mkfifo(editor.path("pipe.sym"))
    editor.path("folder.sym").mkdir()
    with open(editor.path("large.sym"), "wb") as file:
        file.truncate(17 << 20)
    editor.write("wild.sym", bytes(range(256)) * 100 + b"\n80841C \xe2\x80\xae`**[x](y)\x1b\n80841C " + b"A" * 9999)
    editor.write("none.sym", "hello\nworld\n")
    names = ["link", "pipe", "folder", "large", "wild", "none"]
    await opened(editor, "symbols = [" + ", ".join(f'"{name}.sym"' for name in names)
                 + "]\nmapping_mode = \"lorom\"\n[[roots]]\npath = \"main.asm\"\n")
    told = [(await editor.hear(types.WINDOW_SHOW_MESSAGE)).message for _ in range(5)]
    for name, why in (("symbols[0]", "no file"), ("symbols[1]", "no file"), ("symbols[2]", "no file"),
                      ("large.sym", "larger"), ("none.sym", "no symbols")):
        assert any(name in one and why in one for one in told), (name, told)
    await editor.diagnostics("main.asm", 1, lambda found: bool(found))
    text = await hovered(editor, 3, 10, "wild.sym")
    assert "Secret" not in text and "?'**[x](y)?" in text and "\x1b" not in text and len(text) < 1000


async def test_outside_of_the_workspace(editor: Editor) -> None:
    await opened(editor, "symbols = [\"../secret.sym\"]\n")
    assert "symbols[0]: '../secret.sym' lies outside" in (await editor.hear(types.WINDOW_SHOW_MESSAGE)).message
    await editor.diagnostics("main.asm", 1, lambda found: True)
