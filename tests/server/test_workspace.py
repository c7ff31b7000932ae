"""A workspace in the editor: files that nobody opened, names across them, configuration, trust, hostile content."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest
from lsprotocol import types

from tests.server.editor import Editor

MAIN = """\
lorom
incsrc "lib/ram.asm"
org $008000
Reset:
    STZ.w Player_X
    JSR Help
.loop:
    BRA .loop
"""
RAM = """\
; where the player stands
Player_X = $0010
Help:
    RTS
"""


async def where(editor: Editor, name: str, line: int, character: int) -> list[tuple[str, int]]:
    found = await editor.client.text_document_definition_async(
        types.DefinitionParams(**editor.at(name, line, character)))
    return [(one.uri.rpartition("/ws/")[2], one.range.start.line) for one in found or ()]


async def test_names_across_files_that_nobody_opened(editor: Editor) -> None:
    editor.write("main.asm", MAIN)
    editor.write("lib/ram.asm", RAM)
    editor.write("sp ace/\u00e9.asm", "Far:\n")
    await editor.start()
    await editor.ready()
    editor.open("main.asm", MAIN)
    await editor.diagnostics("main.asm", 1)
    assert await where(editor, "main.asm", 4, 12) == [("lib/ram.asm", 1)]
    assert await where(editor, "main.asm", 5, 9) == [("lib/ram.asm", 2)]
    assert await where(editor, "main.asm", 7, 9) == [("main.asm", 6)]
    assert await where(editor, "main.asm", 1, 12) == [("lib/ram.asm", 0)]
    assert await where(editor, "main.asm", 4, 0) == []
    hover = editor.hovered(await editor.client.text_document_hover_async(
        types.HoverParams(**editor.at("main.asm", 4, 12))))
    assert "where the player stands" in hover and "`$10`" in hover and "ram.asm, line 2" in hover
    editor.change("main.asm", 2, ((5, 8, 5, 12), "Far"))
    await editor.diagnostics("main.asm", 2)
    assert await where(editor, "main.asm", 5, 9) == [("sp%20ace/%C3%A9.asm", 0)]
    symbols = await editor.client.text_document_document_symbol_async(
        types.DocumentSymbolParams(text_document=editor.document("main.asm")))
    assert symbols is not None
    assert [(one.name, [child.name for child in one.children or ()]) for one in symbols
            if isinstance(one, types.DocumentSymbol)] == [("Reset", [".loop"])]


async def test_files_that_change_come_and_go_on_disk(vscode: Editor) -> None:
    vscode.write("main.asm", MAIN)
    await vscode.start()
    await vscode.ready()
    registered = await vscode.hear(types.CLIENT_REGISTER_CAPABILITY)
    assert {one.method for one in registered.registrations} == {
        "workspace/didChangeWatchedFiles", "workspace/didChangeConfiguration"}
    vscode.open("main.asm", MAIN)
    await vscode.diagnostics("main.asm", 1)
    assert await where(vscode, "main.asm", 5, 9) == []

    async def changed(name: str, kind: types.FileChangeType, expected: list[tuple[str, int]]) -> None:
        vscode.client.workspace_did_change_watched_files(types.DidChangeWatchedFilesParams(
            changes=[types.FileEvent(uri=vscode.uri(name), type=kind)]))
        for _ in range(500):
            if await where(vscode, "main.asm", 5, 9) == expected:
                return
            await asyncio.sleep(0.01)
        raise AssertionError(f"{name}: {kind}")

    path = vscode.write("lib/ram.asm", RAM)
    await changed("lib/ram.asm", types.FileChangeType.Created, [("lib/ram.asm", 2)])
    path.write_text("\n" + RAM)
    await changed("lib/ram.asm", types.FileChangeType.Changed, [("lib/ram.asm", 3)])
    path.unlink()
    await changed("lib/ram.asm", types.FileChangeType.Deleted, [])


async def test_several_folders_come_and_go(vscode: Editor, tmp_path: Path) -> None:
    (tmp_path / "second").mkdir()
    (tmp_path / "second" / "b.asm").write_text("Help:\n")
    vscode.write("main.asm", MAIN)
    await vscode.start()
    await vscode.ready()
    vscode.open("main.asm", MAIN)
    await vscode.diagnostics("main.asm", 1)
    folder = types.WorkspaceFolder(uri=(tmp_path / "second").as_uri(), name="second")

    async def until(known: bool) -> None:
        for _ in range(500):
            found = await vscode.client.text_document_definition_async(
                types.DefinitionParams(**vscode.at("main.asm", 5, 9)))
            if bool(found) is known:
                return
            await asyncio.sleep(0.01)
        raise AssertionError(known)

    await until(False)
    vscode.client.workspace_did_change_workspace_folders(types.DidChangeWorkspaceFoldersParams(
        event=types.WorkspaceFoldersChangeEvent(added=[folder], removed=[])))
    await until(True)
    vscode.client.workspace_did_change_workspace_folders(types.DidChangeWorkspaceFoldersParams(
        event=types.WorkspaceFoldersChangeEvent(added=[], removed=[folder])))
    await until(False)


async def test_an_untitled_document_and_odd_uris(editor: Editor) -> None:
    await editor.start(folders=[])
    await editor.ready()
    for name in ("untitled:Untitled-1", "file:///c%3A/Games/a%20b.asm", "vscode-notebook-cell:/x#y"):
        editor.open(name, "Here:\n    JMP Here\n")
        await editor.diagnostics(name, 1)
        found = await editor.client.text_document_definition_async(
            types.DefinitionParams(**editor.at(name, 1, 9)))
        assert found and found[0].uri == name and found[0].range.start.line == 0
        editor.close(name)


@pytest.mark.parametrize(("encoding", "character"), [("utf-8", 20), ("utf-16", 18), ("utf-32", 17)])
async def test_position_encodings(vscode: Editor, encoding: str, character: int) -> None:
    result = await vscode.start(encodings=[encoding])
    assert result is not None and result.capabilities.position_encoding == encoding
    await vscode.ready()
    vscode.open("a.asm", 'Here:\n    db "\U0001f600" : JMP Here\n')
    await vscode.diagnostics("a.asm", 1)
    found = await vscode.client.text_document_definition_async(
        types.DefinitionParams(**vscode.at("a.asm", 1, character)))
    assert found and found[0].range == types.Range(
        start=types.Position(line=0, character=0), end=types.Position(line=0, character=4))


# --- configuration and trust -----------------------------------------------------------------------------------

async def test_a_workspace_that_reaches_for_the_user_is_told(editor: Editor) -> None:
    editor.write("nayru.toml", '[ollama]\nurl = "http://203.0.113.1"\n[asar]\nlibrary = "evil.so"\n')
    await editor.start()
    await editor.ready()
    for key in ("asar", "ollama"):
        told = await editor.hear(types.WINDOW_SHOW_MESSAGE)
        assert f"`{key}` is ignored" in told.message and "nayru.toml" in told.message


async def test_a_broken_configuration_keeps_the_last_good_one(vscode: Editor) -> None:
    toml = vscode.write("nayru.toml", 'include_paths = ["lib"]\n')
    vscode.write("main.asm", 'lorom\nincsrc "ram.asm"\norg $8000\n  JSR Help\n')
    vscode.write("lib/ram.asm", RAM)
    await vscode.start()
    await vscode.ready()
    vscode.open("main.asm", vscode.path("main.asm").read_text())
    assert await vscode.diagnostics("main.asm", 1) == []
    assert await where(vscode, "main.asm", 1, 10) == [("lib/ram.asm", 0)]
    for text, told in (("include_paths = 3\n", "include_paths: Expected `array`"), ("x", "nayru.toml: ")):
        toml.write_text(text)
        vscode.client.workspace_did_change_watched_files(types.DidChangeWatchedFilesParams(
            changes=[types.FileEvent(uri=vscode.uri("nayru.toml"), type=types.FileChangeType.Changed)]))
        assert told in (await vscode.hear(types.WINDOW_SHOW_MESSAGE)).message
        assert await where(vscode, "main.asm", 1, 10) == [("lib/ram.asm", 0)]


async def test_a_file_is_not_missed_before_the_include_paths_are_known(vscode: Editor) -> None:
    vscode.write("nayru.toml", 'include_paths = ["lib"]\n')
    vscode.write("main.asm", 'lorom\nincsrc "ram.asm"\norg $8000\n  JSR Help\n')
    vscode.write("lib/ram.asm", RAM)
    await vscode.start()
    vscode.open("main.asm", vscode.path("main.asm").read_text())
    await vscode.ready()
    await asyncio.sleep(0.5)        # longer than the pause before a check
    found = [one.params.diagnostics for one in vscode.inbox if one.method == types.TEXT_DOCUMENT_PUBLISH_DIAGNOSTICS]
    assert found and not any(found)
    await vscode.diagnostics("main.asm", 1)


async def test_settings_of_the_editor(editor: Editor) -> None:
    (editor.home / "config").mkdir()
    (editor.home / "config" / "config.toml").write_text("[ghost]\nenabled = 3\n")
    editor.write("a.asm", "nop\n")
    editor.answers[types.WORKSPACE_CONFIGURATION] = None
    await editor.start(options={"ghost": {"enabled": "no"}})
    assert "config.toml: ghost.enabled" in (await editor.hear(types.WINDOW_SHOW_MESSAGE)).message
    assert "editor settings: ghost.enabled" in (await editor.hear(types.WINDOW_SHOW_MESSAGE)).message
    await editor.ready()
    editor.client.set_configuration({"ghost": {"enabled": False}}, section="nayru")
    editor.client.workspace_did_change_configuration(types.DidChangeConfigurationParams(settings={
        "nayru": {"ghost": {"enabled": False}}}))
    editor.open("a.asm", "nop\n")
    await editor.diagnostics("a.asm", 1)
    context = types.InlineCompletionContext(trigger_kind=types.InlineCompletionTriggerKind.Invoked)
    for _ in range(200):
        assert await editor.client.text_document_inline_completion_async(
            types.InlineCompletionParams(**editor.at("a.asm", 0, 3), context=context)) is None
        if any(said.method == "nayru/status" and "switched off" in str(said.params) for said in editor.inbox):
            break
        await asyncio.sleep(0.01)
    else:
        raise AssertionError("ghost text was not switched off")


async def test_what_the_user_allows_outside(vscode: Editor, tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    (shared / "ram.asm").write_text(RAM)
    text = f'lorom\nincsrc "{shared.as_posix()}/ram.asm"\norg $8000\n  JSR Help\n'
    vscode.write("main.asm", text)
    await vscode.start()
    await vscode.ready()
    vscode.open("main.asm", text)
    await vscode.diagnostics("main.asm", 1, lambda found: [one.code for one in found] == ["NAY405"])
    vscode.client.set_configuration({"outside_include_paths": [str(shared)]}, section="nayru")
    vscode.client.workspace_did_change_configuration(types.DidChangeConfigurationParams(settings=None))
    for _ in range(500):
        found = await vscode.client.text_document_definition_async(
            types.DefinitionParams(**vscode.at("main.asm", 3, 8)))
        if found:
            break
        await asyncio.sleep(0.01)
    assert found and found[0].uri.endswith("/shared/ram.asm")
    await vscode.diagnostics("main.asm", 1, lambda found: not found)


# --- hostile content -------------------------------------------------------------------------------------------

@pytest.mark.skipif(os.name == "nt", reason="named pipes and links")
async def test_a_hostile_workspace(editor: Editor, tmp_path: Path) -> None:
    (tmp_path / "secret.asm").write_text("Secret = $1234\n")
    names = ["../secret.asm", str(tmp_path / "secret.asm"), "link.asm", "pipe.asm", "main.asm", "/dev/stdin",
             "/dev/zero", "C:/x.asm", "\\\\host\\share\\x.asm", "a\\..\\..\\secret.asm", "x" * 5000, "nul\0l"]
    text = "lorom\norg $8000\n" + "".join(f'incsrc "{name}"\n' for name in names) + "LDA #Secret\n"
    editor.write("main.asm", text)
    editor.write("json.py", "raise SystemExit(9)\n")            # a module of that name must not be imported
    editor.path("link.asm").symlink_to(tmp_path / "secret.asm")
    os.mkfifo(editor.path("pipe.asm"))
    editor.path("loop").symlink_to(editor.folder)
    editor.write("wild.asm", bytes(range(256)) * 20 + b"\n" + b"db " + b"$00," * 2000 + b"$00\r\r\n\x0c")
    editor.write("open.asm", '"unclosed\nmacro\n%\n!\n<\n((((((((\n' + "(" * 3000 + "\n")
    await editor.start()
    await editor.ready()
    editor.open("main.asm", text)
    await editor.diagnostics("main.asm", 1)
    line = text.count("\n") - 1
    assert await where(editor, "main.asm", line, 6) == []
    for number in range(2, 2 + len(names)):
        for location in await where(editor, "main.asm", number, 9):
            assert location[0] == "main.asm"
    hints = await editor.diagnostics("wild.asm", None)
    assert [one.code for one in hints] == ["NAY001"]


async def test_lines_beyond_all_measure(editor: Editor) -> None:
    text = "LDA " + "$00+" * 1500 + "$00\n" + "a" * 6000 + "\n\0\0\nNOP\n"
    await editor.start()
    await editor.ready()
    editor.open("long.asm", text)
    await editor.diagnostics("long.asm", 1)
    for line in range(4):
        await editor.client.text_document_hover_async(types.HoverParams(**editor.at("long.asm", line, 2)))
        await editor.client.text_document_completion_async(types.CompletionParams(**editor.at("long.asm", line, 2)))
    editor.change("long.asm", 2, (None, ""))
    assert await editor.diagnostics("long.asm", 2) == []


async def test_a_large_document_keeps_the_order_of_messages(vscode: Editor) -> None:
    """It is parsed beside the event loop; what the editor sends meanwhile waits for it."""
    await vscode.start(options={"analysis": {"expansion": False}})
    await vscode.ready()
    text = "".join(f"Label{number}:\n    LDA.w #{number} : STA $7E{number:04X},x\n" for number in range(20_000))
    vscode.open("main.asm", text)
    vscode.change("main.asm", 2, ((0, 0, 0, 0), "First:\n"), ((0, 5, 0, 5), "Most"))
    asked = asyncio.ensure_future(vscode.client.text_document_document_symbol_async(
        types.DocumentSymbolParams(text_document=vscode.document("main.asm"))))
    await asyncio.sleep(0)      # it is sent now
    vscode.change("main.asm", 3, ((0, 0, 1, 0), ""))
    found = await asked
    assert found and [one.name for one in found[:2]] == ["FirstMost", "Label0"]
    await vscode.diagnostics("main.asm", 3)
