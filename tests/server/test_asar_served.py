"""Real Asar behind the real server: diagnostics of texts that were never saved, and a judge of suggestions."""

from __future__ import annotations

from lsprotocol import types

from tests.kit import require
from tests.server.editor import Editor

TEXT = """\
lorom
org $008000
Main:
    SEP #$20
    LDA.b #$12
    STA.w $2100
    RTS
"""


async def test_an_unsaved_text(editor: Editor) -> None:
    library = require("asar")
    editor.write("main.asm", TEXT)
    editor.environment = {"NAYRU_PLUGINS": "asar"}
    await editor.start(options={"asar": {"library": str(library), "pause_ms": 100},
                                "ghost": {"provider": "local"}, "generate": {"provider": "local"}})
    await editor.ready()
    editor.open("main.asm", TEXT)
    assert await editor.diagnostics("main.asm", 1) == []
    editor.change("main.asm", 2, ((5, 4, 5, 15), "JSR Missing : db 1,"))
    found = await editor.diagnostics(
        "main.asm", 2, lambda found: any("asar" in str(one.source) for one in found))
    label = next(one for one in found if one.code == "NAY401")
    assert (label.source, label.range.start.line, label.range.start.character) == ("nayru, asar", 5, 8)
    assert "Elabel_not_found" not in [one.code for one in found]    # said once, by both
    editor.change("main.asm", 3, ((5, 4, 5, 23), "STA.w $2100"))
    assert await editor.diagnostics("main.asm", 3, lambda found: not found) == []

    # A routine from the library is judged by Asar as well before it is offered.
    text = TEXT + "\n; Multiply two unsigned 16-bit numbers\n"
    editor.answers[types.WINDOW_SHOW_MESSAGE_REQUEST] = None
    editor.change("main.asm", 4, (None, text))
    await editor.diagnostics("main.asm", 4)
    line = text.count("\n") - 1
    answer = await editor.client.workspace_execute_command_async(types.ExecuteCommandParams(
        command="nayru.generate", arguments=[{"uri": editor.uri("main.asm"), "range": {
            "start": {"line": line, "character": 0}, "end": {"line": line, "character": 1}}}]))
    assert answer["applied"] and any("asar" in judge.lower() for judge in answer["judges"]), answer
    await editor.hear(types.WORKSPACE_APPLY_EDIT)
    await editor.hear(types.WINDOW_SHOW_MESSAGE_REQUEST)
