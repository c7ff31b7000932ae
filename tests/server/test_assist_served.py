"""Ghost text, routines and samples through the real server, by the embedded predictor and the routine library."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from lsprotocol import types
from pygls.exceptions import JsonRpcRequestCancelled

from nayru_lsp.samples import SampleStore
from tests.server.editor import TIMEOUT, Editor

# A program that says the same thing often, so that what comes next is beyond doubt.
BLOCK = "    LDA.w Source{0}\n    STA.w Target{0}\n    INC.w Counter\n    JSR Wait\n\n"
LEARNED = "lorom\norg $008000\nCounter = $0100\nWait:\n    RTS\n" + "".join(
    f"Source{n} = ${0x200 + n:04X}\nTarget{n} = ${0x300 + n:04X}\n" for n in range(12)) + "Main:\n" + "".join(
    BLOCK.format(n) for n in range(11))
TYPED = LEARNED + "    LDA.w Source11\n    STA.w Target11\n"
OPTIONS = {"ghost": {"provider": "local", "debounce_ms": 0}, "generate": {"provider": "local"}}


def at_end(editor: Editor, name: str, text: str, kind: types.InlineCompletionTriggerKind) -> Any:
    lines = text.split("\n")
    return types.InlineCompletionParams(**editor.at(name, len(lines) - 1, len(lines[-1])),
                                        context=types.InlineCompletionContext(trigger_kind=kind))


async def ghost(editor: Editor, name: str, text: str) -> types.InlineCompletionItem:
    """The first suggestion at the end of ``text``, once the predictor has learned the workspace."""
    for _ in range(200):
        answer = await asyncio.wait_for(editor.client.text_document_inline_completion_async(
            at_end(editor, name, text, types.InlineCompletionTriggerKind.Invoked)), TIMEOUT)
        if isinstance(answer, types.InlineCompletionList) and answer.items:
            return answer.items[0]
        await asyncio.sleep(0.05)
    raise AssertionError([said.params for said in editor.inbox if said.method == "nayru/status"][-5:])


async def test_ghost_text_to_sample(editor: Editor) -> None:
    editor.write("main.asm", LEARNED)
    editor.answers[types.WINDOW_SHOW_MESSAGE_REQUEST] = types.MessageActionItem(title="Yes")
    await editor.start(options=OPTIONS)
    await editor.ready()
    uri = editor.open("main.asm", TYPED)
    await editor.diagnostics("main.asm", 1)
    item = await ghost(editor, "main.asm", TYPED)
    assert isinstance(item.insert_text, str) and item.insert_text.strip().startswith("INC.w Counter")
    assert item.range is not None and item.range.start.line == item.range.end.line == TYPED.count("\n")
    assert item.command is not None and item.command.command == "nayru.accepted"
    await editor.hear("nayru/status", lambda status: "'ready'" in repr(status) and "local" in repr(status))

    # Taken: the text comes by didChange, the command says so, the question comes once.
    end = item.range.start
    editor.change("main.asm", 2, ((end.line, end.character, end.line, end.character), item.insert_text))
    await editor.diagnostics("main.asm", 2)
    assert await editor.client.workspace_execute_command_async(types.ExecuteCommandParams(
        command=item.command.command, arguments=item.command.arguments)) is True
    asked = await editor.hear(types.WINDOW_SHOW_MESSAGE_REQUEST)
    assert "training samples" in asked.message and [one.title for one in asked.actions or ()] == ["Yes", "No"]
    editor.save("main.asm")

    async def samples() -> list[Any]:
        rows = await editor.client.workspace_execute_command_async(
            types.ExecuteCommandParams(command="nayru.samples.list", arguments=[{"state": "settled"}]))
        return list(rows or [])
    for _ in range(200):
        if rows := await samples():
            break
        await asyncio.sleep(0.02)
    (row,) = rows
    assert row["maker"] == "local" and row["text"].strip().startswith("INC.w Counter") and uri.endswith("main.asm")
    shown = await editor.client.workspace_execute_command_async(
        types.ExecuteCommandParams(command="nayru.samples.show", arguments=[{"id": row["id"]}]))
    assert shown["how"] == "whole" and shown["settled_by"] == "save" and shown["consent"] > 0
    assert shown["workspace"].endswith("/ws") and shown["prefix"].endswith("STA.w Target11\n")
    assert await editor.client.workspace_execute_command_async(
        types.ExecuteCommandParams(command="nayru.samples.delete", arguments=[{"ids": [row["id"]]}])) == 1
    assert await samples() == []


async def test_no_is_no(vscode: Editor) -> None:
    vscode.write("main.asm", LEARNED)
    vscode.answers[types.WINDOW_SHOW_MESSAGE_REQUEST] = types.MessageActionItem(title="No")
    await vscode.start(options=OPTIONS)
    await vscode.ready()
    vscode.open("main.asm", TYPED)
    await vscode.diagnostics("main.asm", 1)
    item = await ghost(vscode, "main.asm", TYPED)
    assert item.range is not None and isinstance(item.insert_text, str)
    end = item.range.start
    vscode.change("main.asm", 2, ((end.line, end.character, end.line, end.character), item.insert_text))
    await vscode.hear(types.WINDOW_SHOW_MESSAGE_REQUEST)
    await vscode.diagnostics("main.asm", 2)
    vscode.save("main.asm")
    assert await vscode.client.workspace_execute_command_async(
        types.ExecuteCommandParams(command="nayru.samples.list")) == []


async def test_commands_about_samples_say_what_the_store_suffers_from(vscode: Editor) -> None:
    await vscode.start(options=OPTIONS)
    await vscode.ready()
    (vscode.home / "data" / "samples.sqlite").write_bytes(b"no database " * 99)

    async def command(name: str, *arguments: Any) -> Any:
        return await vscode.client.workspace_execute_command_async(
            types.ExecuteCommandParams(command=f"nayru.samples.{name}", arguments=list(arguments)))

    assert await command("list") == [] and await command("show", {"id": "1"}) is None
    assert "is damaged" in (await vscode.hear(types.WINDOW_SHOW_MESSAGE)).message
    for wrong in ({"ids": 5}, {"ids": "abc"}, {"uri": "x"}, 5, [[]]):
        assert await command("delete", wrong) == 0
    assert "set aside" in (await vscode.hear(types.WINDOW_SHOW_MESSAGE)).message
    assert SampleStore(vscode.home / "data" / "samples.sqlite").tombstones() == frozenset()


async def test_the_newest_request_wins_and_every_one_is_answered(vscode: Editor) -> None:
    vscode.write("main.asm", LEARNED)
    await vscode.start(options={**OPTIONS, "ghost": {"provider": "local", "debounce_ms": 60}})
    await vscode.ready()
    vscode.open("main.asm", TYPED)
    await vscode.diagnostics("main.asm", 1)
    await ghost(vscode, "main.asm", TYPED)
    # A fresh place: what was offered before is not remembered there.
    text = LEARNED + BLOCK.format(5) + "    LDA.w Source11\n    STA.w Target11\n"
    vscode.change("main.asm", 2, (None, text))
    automatic = at_end(vscode, "main.asm", text, types.InlineCompletionTriggerKind.Automatic)
    asked = [asyncio.ensure_future(vscode.client.text_document_inline_completion_async(automatic)) for _ in range(6)]
    answers = await asyncio.wait_for(asyncio.gather(*asked), TIMEOUT)
    assert answers[:5] == [None] * 5 and answers[5] is not None
    # Taken back by the editor, at another fresh place.
    text = LEARNED + BLOCK.format(7) + "    LDA.w Source11\n    STA.w Target11\n"
    vscode.change("main.asm", 3, (None, text))
    automatic = at_end(vscode, "main.asm", text, types.InlineCompletionTriggerKind.Automatic)
    future = vscode.client.protocol.send_request("textDocument/inlineCompletion", automatic, msg_id="gone")
    vscode.client.cancel_request(types.CancelParams(id="gone"))
    with pytest.raises(JsonRpcRequestCancelled):
        await asyncio.wait_for(asyncio.wrap_future(future), TIMEOUT)


async def test_a_routine_from_a_comment(editor: Editor) -> None:
    text = "lorom\norg $008000\nMain:\n    RTS\n\n; Multiply two unsigned 16-bit numbers\n"
    editor.write("main.asm", text)
    editor.answers[types.WINDOW_SHOW_MESSAGE_REQUEST] = None        # the question is left open
    await editor.start(options=OPTIONS)
    await editor.ready()
    uri = editor.open("main.asm", text)
    await editor.diagnostics("main.asm", 1)
    where = {"start": {"line": 5, "character": 0}, "end": {"line": 5, "character": 3}}
    actions = await editor.client.text_document_code_action_async(types.CodeActionParams(
        text_document=editor.document("main.asm"), context=types.CodeActionContext(diagnostics=[]),
        range=types.Range(start=types.Position(line=5, character=2), end=types.Position(line=5, character=2))))
    assert actions and actions[0].title == "Generate routine from comment"
    answer = await asyncio.wait_for(editor.client.workspace_execute_command_async(types.ExecuteCommandParams(
        command="nayru.generate", arguments=[{"uri": uri, "range": where}])), TIMEOUT)
    assert answer["applied"] is True and answer["ok"] is True
    assert answer["maker"].startswith("library:") and "nayru" in answer["judges"] and answer["size"] > 0
    applied = await editor.hear(types.WORKSPACE_APPLY_EDIT)
    if editor.kind == "vscode":
        (change,) = applied.edit.document_changes
        assert change.text_document.version == 1 and change.text_document.uri == uri
        edits = change.edits
    else:
        edits = applied.edit.changes[uri]
    assert edits[0].range.start.line >= 5 and answer["text"] == edits[0].new_text
    await editor.hear(types.WINDOW_SHOW_MESSAGE_REQUEST)
    reports = [said.params.value for said in editor.inbox if said.method == types.PROGRESS]
    assert len(reports) >= 2


async def test_a_comment_is_needed_and_documents_may_move_on(vscode: Editor) -> None:
    text = "Main:\n    RTS\n"
    await vscode.start(options=OPTIONS)
    await vscode.ready()
    uri = vscode.open("main.asm", text)
    await vscode.diagnostics("main.asm", 1)
    for argument, told in (
        ({"uri": uri, "range": {"start": {"line": 1, "character": 0}, "end": {"line": 1, "character": 0}}}, "comment"),
        ({"uri": "file:///none.asm"}, "not open"), ({}, "not open"), ({"uri": uri, "range": 3}, "does not fit"),
    ):
        answer = await vscode.client.workspace_execute_command_async(
            types.ExecuteCommandParams(command="nayru.generate", arguments=[argument]))
        assert answer["applied"] is False and told in answer["reason"]
    assert await vscode.client.workspace_execute_command_async(
        types.ExecuteCommandParams(command="nayru.accepted", arguments=["unknown"])) is False


async def test_restart(vscode: Editor) -> None:
    vscode.write("main.asm", LEARNED)
    await vscode.start(options=OPTIONS)
    await vscode.ready()
    vscode.open("main.asm", TYPED)
    await vscode.diagnostics("main.asm", 1)
    answer = await asyncio.wait_for(vscode.client.workspace_execute_command_async(
        types.ExecuteCommandParams(command="nayru.restart")), TIMEOUT)
    assert answer["files"] == 1
    await ghost(vscode, "main.asm", TYPED)
