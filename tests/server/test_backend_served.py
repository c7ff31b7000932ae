"""Ollama behind the real server: the real one, and one that hangs on demand."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from lsprotocol import types

from tests.assist.fake_ollama import Call, _loads, fake_ollama
from tests.ollama_server import OllamaServer, ollama_server
from tests.server.editor import TIMEOUT, Editor

__all__ = ["ollama_server"]

TEXT = "lorom\norg $008000\nMain:\n    SEP #$20\n    "
WISH = "lorom\norg $008000\nMain:\n    RTS\n\n; Wait for the vertical blank\n"


def at_end(editor: Editor, text: str) -> types.InlineCompletionParams:
    lines = text.split("\n")
    return types.InlineCompletionParams(
        **editor.at("main.asm", len(lines) - 1, len(lines[-1])),
        context=types.InlineCompletionContext(trigger_kind=types.InlineCompletionTriggerKind.Automatic))


def wish(editor: Editor) -> types.ExecuteCommandParams:
    where = {"start": {"line": 5, "character": 0}, "end": {"line": 5, "character": 3}}
    return types.ExecuteCommandParams(command="nayru.generate", work_done_token="mine",
                                      arguments=[{"uri": editor.uri("main.asm"), "range": where}])


async def started(editor: Editor, text: str, url: str, **ollama: Any) -> None:
    editor.answers[types.WINDOW_SHOW_MESSAGE_REQUEST] = None
    await editor.start(options={"ollama": {"url": url, **ollama}, "ghost": {"provider": "ollama", "debounce_ms": 50},
                                "generate": {"provider": "ollama", "repair_rounds": 0}})
    await editor.ready()
    editor.open("main.asm", text)
    await editor.diagnostics("main.asm", 1)


async def test_the_real_one(editor: Editor, ollama_server: OllamaServer) -> None:
    await started(editor, TEXT, ollama_server.url, complete_timeout=20.0)
    client = editor.client
    for _ in range(100):
        answer = await asyncio.wait_for(client.text_document_inline_completion_async(at_end(editor, TEXT)), 60)
        if answer is not None:
            break
        await asyncio.sleep(0.1)
    assert isinstance(answer, types.InlineCompletionList)
    assert str(answer.items[0].insert_text).startswith("LDA.b #$0F")
    await editor.hear("nayru/status", lambda status: "'ready'" in repr(status) and "ollama" in repr(status))
    editor.change("main.asm", 2, (None, WISH))
    await editor.diagnostics("main.asm", 2)
    answered = await asyncio.wait_for(client.workspace_execute_command_async(wish(editor)), 60)
    assert answered["applied"] and "BIT.w $4212" in answered["text"], answered
    assert answered["maker"].startswith("ollama") and "nayru" in answered["judges"]
    await editor.hear(types.WORKSPACE_APPLY_EDIT)
    await editor.hear(types.WINDOW_SHOW_MESSAGE_REQUEST)
    reports = [said.params for said in editor.inbox if said.method == types.PROGRESS]
    assert {one.token for one in reports} == {"mine"} and len(reports) >= 2


async def test_a_routine_is_cancelled(vscode: Editor) -> None:
    begun, gone = asyncio.Event(), asyncio.Event()

    async def hang(call: Call) -> None:
        begun.set()
        await call.gone()
        gone.set()

    async with fake_ollama(hang) as fake:
        await started(vscode, WISH, fake.url)
        answering = asyncio.ensure_future(vscode.client.workspace_execute_command_async(wish(vscode)))
        await asyncio.wait_for(begun.wait(), TIMEOUT)
        vscode.client.window_work_done_progress_cancel(types.WorkDoneProgressCancelParams(token="mine"))
        answer = await asyncio.wait_for(answering, TIMEOUT)
        assert answer["applied"] is False and answer["reason"] == "cancelled"
        await asyncio.wait_for(gone.wait(), TIMEOUT)        # the backend sees a closed socket
        values = [said.params.value for said in vscode.inbox if said.method == types.PROGRESS]
        assert "cancelled" in repr(values[-1])
        # Cancelling the request itself does the same.
        begun.clear()
        gone.clear()
        vscode.client.protocol.send_request("workspace/executeCommand", wish(vscode), msg_id="gone")
        await asyncio.wait_for(begun.wait(), TIMEOUT)
        vscode.client.cancel_request(types.CancelParams(id="gone"))
        await asyncio.wait_for(gone.wait(), TIMEOUT)


async def test_a_hung_backend_costs_no_answer(vscode: Editor) -> None:
    async def hang(call: Call) -> None:
        await call.gone()

    async with fake_ollama(hang) as fake:
        await started(vscode, TEXT, fake.url, complete_timeout=0.4)
        assert await asyncio.wait_for(
            vscode.client.text_document_inline_completion_async(at_end(vscode, TEXT)), TIMEOUT) is None
        await vscode.hear("nayru/status", lambda status: "'silent'" in repr(status))
        hover = await vscode.client.text_document_hover_async(types.HoverParams(**vscode.at("main.asm", 3, 5)))
        assert hover is not None


async def test_asked_for_by_hand_a_loading_model_is_waited_for(vscode: Editor) -> None:
    """Longer than `complete_timeout`: the server's own deadline once came first, and gave no reason either."""
    async def answer(call: Call) -> None:
        await call.begin()
        await call.part("LDA.b #$0F\n")
        await call.done()

    async with fake_ollama(answer) as fake:
        quick, now = fake.answer, time.perf_counter

        async def slow_to_load(call: Call) -> None:
            if _loads(call):
                await asyncio.sleep(2.5)
            await quick(call)

        fake.answer = slow_to_load              # type: ignore[method-assign]
        await started(vscode, TEXT, fake.url, complete_timeout=0.3)
        by_hand = at_end(vscode, TEXT)
        by_hand.context.trigger_kind = types.InlineCompletionTriggerKind.Invoked
        begun = now()
        found = await asyncio.wait_for(vscode.client.text_document_inline_completion_async(by_hand), TIMEOUT)
        assert isinstance(found, types.InlineCompletionList) and found.items[0].insert_text == "LDA.b #$0F"
        assert now() - begun > 2


async def test_six_quick_keys_make_one_call(vscode: Editor) -> None:
    async def answer(call: Call) -> None:
        await call.begin()
        await call.part("#$0F\n")
        await call.done()

    async with fake_ollama(answer) as fake:
        await started(vscode, TEXT, fake.url)
        text = TEXT
        asked = []
        for version, key in enumerate("LDA.b ", 2):
            line, column = text.count("\n"), len(text.rpartition("\n")[2])
            vscode.change("main.asm", version, ((line, column, line, column), key))
            text += key
            asked.append(asyncio.ensure_future(
                vscode.client.text_document_inline_completion_async(at_end(vscode, text))))
            await asyncio.sleep(0.005)
        answers = await asyncio.wait_for(asyncio.gather(*asked), TIMEOUT)
        assert answers[:5] == [None] * 5 and isinstance(answers[5], types.InlineCompletionList)
        assert answers[5].items[0].insert_text == "#$0F"
        assert len(fake.asked("/api/generate")) == 1
        assert [one.code for one in await vscode.diagnostics("main.asm", 7)] == ["NAY102"]     # no operand yet
