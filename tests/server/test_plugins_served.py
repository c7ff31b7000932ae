"""Plugins in the real server: what they find is published beside our own, and a hostile one hides nobody."""

from __future__ import annotations

from pathlib import Path

import pytest
from lsprotocol import types

from tests.server.editor import Editor

GOOD = '''
import asyncio
from nayru_lsp.hookspecs import Fact, Problem, Related, Severity, Span, hookimpl
from nayru_lsp.asm.problem import Fix

@hookimpl
def nayru_register_facts(register):
    register(Fact("INIDISP", 0x2100, "register", "Screen display"))

@hookimpl
def nayru_register_checks(register):
    def check(project, file):
        at = str(file.text).find("STP")
        if at >= 0:
            yield Problem(file.path, Span(at, at + 3), "GOOD1", Severity.WARNING, "stops", "good",
                          fixes=(Fix("Replace by WAI", ((Span(at, at + 3), "WAI"),)),))
    register("GOOD1", check)

@hookimpl
def nayru_register_commands(register):
    async def echo(snapshot, arguments):
        return {"revision": snapshot.revision, "arguments": arguments}
    register("good.echo", echo)

@hookimpl
def nayru_hover(file, offset):
    return "good hover"

@hookimpl
async def nayru_validate(snapshot, root):
    text = str(snapshot.project.files[root.path].text)
    await asyncio.sleep(0.05)
    return [Problem(root.path, Span(0, 5), "root", Severity.ERROR, f"{text.count(chr(10))} lines", "good")]
'''

HOSTILE = '''
import os, sys, time
from nayru_lsp.hookspecs import hookimpl

@hookimpl
def nayru_register_checks(register):
    register("BAD1", lambda project, file: 1 / 0)
    register("BAD2", lambda project, file: ["rubbish"])

@hookimpl
def nayru_hover(file):
    print("Content-Length: 3\\r\\n\\r\\n{}")
    os.write(1, b"junk on stdout")
    sys.stdin.read()
    time.sleep(5)

@hookimpl
async def nayru_validate(root):
    raise RuntimeError("boom")

@hookimpl
def nayru_configure(settings):
    raise KeyError("settings")

@hookimpl
async def nayru_close():
    import asyncio
    await asyncio.sleep(60)
'''


@pytest.fixture
def plugged(vscode: Editor, tmp_path: Path) -> Editor:
    """An editor whose server finds the plugins `good`, `hostile` and `broken` installed."""
    vscode.install(tmp_path / "site", good=GOOD, hostile=HOSTILE, broken="raise ImportError('no such thing')\n")
    return vscode


async def test_good_and_hostile_together(plugged: Editor) -> None:
    editor = plugged
    text = "lorom\norg $8000\n  STP\n"
    editor.write("main.asm", text)
    result = await editor.start(options={"asar": {"pause_ms": 50}})
    assert result is not None and result.capabilities.execute_command_provider is not None
    assert "nayru.good.echo" in result.capabilities.execute_command_provider.commands
    await editor.ready()
    editor.open("main.asm", text)
    own = await editor.diagnostics("main.asm", 1, lambda found: "GOOD1" in {one.code for one in found})
    assert {one.code for one in own} <= {"GOOD1", "root"}
    both = await editor.diagnostics("main.asm", 1, lambda found: len(found) == 2)
    assert {(one.code, one.message) for one in both} == {("GOOD1", "stops"), ("root", "3 lines")}

    for _ in range(3):      # the sleeping one is left out, then disabled; the good one always answers
        hover = editor.hovered(await editor.client.text_document_hover_async(
            types.HoverParams(**editor.at("main.asm", 2, 3))))
        assert "Stop the processor" in hover and "good hover" in hover

    actions = await editor.client.text_document_code_action_async(types.CodeActionParams(
        text_document=editor.document("main.asm"), context=types.CodeActionContext(diagnostics=[]),
        range=types.Range(start=types.Position(line=2, character=3), end=types.Position(line=2, character=3))))
    assert actions and actions[0].title == "Replace by WAI"

    answer = await editor.client.workspace_execute_command_async(
        types.ExecuteCommandParams(command="nayru.good.echo", arguments=[1, "two"]))
    assert dict(answer)["arguments"] == [1, "two"] if isinstance(answer, dict) else answer.arguments == [1, "two"]

    log = editor.log()
    for told in ("plugin broken: cannot be imported: ImportError", "plugin hostile: check BAD1: ZeroDivisionError",
                 "plugin hostile: check BAD2: returned something", "plugin hostile: nayru_validate: RuntimeError: boom",
                 "plugin hostile: nayru_configure: KeyError", "plugin hostile: nayru_hover: took longer",
                 "plugin hostile: disabled until the next start"):
        assert told in log


async def test_a_file_that_no_root_reaches(plugged: Editor) -> None:
    await plugged.start()
    await plugged.ready()
    plugged.open("alone.asm", "nop\n")
    await plugged.diagnostics("alone.asm", 1)
    await plugged.hear("nayru/status", lambda status: "no root file reaches it" in str(status))
    plugged.change("alone.asm", 2, (None, "lorom\norg $8000\nnop\n"))
    await plugged.diagnostics("alone.asm", 2, lambda found: bool(found))
    await plugged.hear("nayru/status", lambda status: "no root file reaches it" not in str(status))


async def test_validation_follows_the_text(plugged: Editor) -> None:
    editor = plugged
    text = "lorom\norg $8000\n"
    editor.write("main.asm", text)
    await editor.start(options={"asar": {"pause_ms": 200}})
    await editor.ready()
    editor.open("main.asm", text)
    await editor.diagnostics("main.asm", 1, lambda found: [one.message for one in found] == ["2 lines"])
    # What was found earlier moves with the text, until the pause after the last key; a stale result is dropped.
    for version in range(2, 6):
        editor.change("main.asm", version, ((0, 0, 0, 0), "\n"))
    moved = await editor.diagnostics("main.asm", 5, lambda found: bool(found))
    assert [(one.range.start.line, one.message) for one in moved] == [(4, "2 lines")]
    last = await editor.diagnostics("main.asm", 5, lambda found: "6 lines" in [one.message for one in found])
    assert [one.message for one in last] == ["6 lines"]
    heard = [one for said in editor.inbox if said.method == types.TEXT_DOCUMENT_PUBLISH_DIAGNOSTICS
             for one in said.params.diagnostics]
    assert {one.message for one in heard} == {"2 lines", "6 lines"}
    editor.save("main.asm")
    editor.close("main.asm")        # the disk's text counts again
    await editor.diagnostics("main.asm", None, lambda found: [one.message for one in found] == ["2 lines"])
