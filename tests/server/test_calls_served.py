"""Problems that are found inside macros, behind the real server: at the calls, in the file that calls."""

from __future__ import annotations

from lsprotocol import types

from tests.kit import require
from tests.server.editor import Editor
from tests.server.test_expansion_served import HIDDEN, NAMED, opened

MAIN = """\
lorom
incsrc "lib.asm"
org $808000
Boss_Init:
    %spawn(Boss)
    %spawn(Bos)
    %spawn(Boss)
"""
LIB = """\
macro spawn(name)
    NOP
    JSR <name>_Init
endmacro
"""


def published(editor: Editor, name: str) -> list[types.Diagnostic]:
    """What was said of a file last."""
    return next((list(one.params.diagnostics) for one in reversed(editor.inbox)
                 if one.method == types.TEXT_DOCUMENT_PUBLISH_DIAGNOSTICS and one.params.uri == editor.uri(name)), [])


async def test_a_call_that_fails(vscode: Editor) -> None:
    vscode.write("nayru.toml", NAMED)
    await opened(vscode, MAIN, LIB)
    found, = await vscode.diagnostics("main.asm", 1, lambda found: bool(found))
    assert (found.range.start.line, found.range.start.character, found.range.end.character) == (5, 4, 15)
    assert found.message == "in `%spawn(Bos)` (lib.asm, line 3): there is no label `Bos_Init`"
    assert found.related_information is not None
    (where,) = found.related_information
    assert where.location.uri == vscode.uri("lib.asm") and where.location.range.start.line == 2
    assert not published(vscode, "lib.asm")

    # It moves along, also when its macro does.
    vscode.change("main.asm", 2, ((0, 0, 0, 0), "; a line more\n"))
    found, = await vscode.diagnostics("main.asm", 2, lambda found: bool(found) and found[0].range.start.line == 6)
    vscode.open("lib.asm", LIB)
    await vscode.diagnostics("lib.asm", 1)
    vscode.change("lib.asm", 2, ((0, 0, 0, 0), "\n\n"))
    found, = await vscode.diagnostics("main.asm", 2, lambda found: bool(found) and "line 5" in found[0].message)
    assert found.related_information is not None and found.related_information[0].location.range.start.line == 4
    vscode.change("main.asm", 3, ((6, 14, 6, 14), "s"))
    await vscode.diagnostics("main.asm", 3, lambda found: not found)

    # One that fails at every call is wrong in the macro, and the first call of each file leads to it.
    vscode.change("lib.asm", 3, ((4, 8, 4, 19), "Nowhere"))
    await vscode.diagnostics("lib.asm", 3, lambda found: [one.range.start.line for one in found] == [4])
    found, = await vscode.diagnostics("main.asm", 3, lambda found: bool(found))
    assert found.range.start.line == 5 and found.message == (
        "in `%spawn(Boss)` (lib.asm, line 5): there is no label `Nowhere` (and at 2 more calls)")
    vscode.change("lib.asm", 4, ((4, 8, 4, 15), "Boss_Init"))
    await vscode.diagnostics("lib.asm", 4, lambda found: not found)
    await vscode.diagnostics("main.asm", 3, lambda found: not found)


async def test_said_once_beside_asar(vscode: Editor) -> None:
    """Asar names the line of the macro, which is right at the other calls."""
    library = require("asar")
    vscode.environment = {"NAYRU_PLUGINS": "asar"}
    main = MAIN + "    JSR Missing\n"
    vscode.write("nayru.toml", NAMED)
    vscode.write("main.asm", main)
    vscode.write("lib.asm", LIB)
    await vscode.start(options={**HIDDEN, "asar": {"library": str(library), "pause_ms": 100}})
    await vscode.ready()
    vscode.open("main.asm", main)
    found = await vscode.diagnostics("main.asm", 1, lambda found: len(found) == 2 and any(
        one.source == "nayru, asar" for one in found))
    assert [(one.code, one.range.start.line) for one in found] == [("Elabel_not_found", 5), ("NAY401", 7)]
    assert not published(vscode, "lib.asm")
