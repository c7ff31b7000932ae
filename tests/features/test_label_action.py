"""A number that was replaced by its label is assembled to the same bytes, by the real Asar."""

from __future__ import annotations

import re

from lsprotocol import types

from nayru_lsp.asm.text import Span
from nayru_lsp.convert import to_span
from nayru_lsp.features.code_action import code_action
from tests.asar import assemble
from tests.features.render import world
from tests.kit import read_fixture, require

PROGRAM = """\
; executed
lorom
org $808000
Main:
    JSL $80801C : JML $80801D
    LDA $80801C : JSL.l $80801C
    dl $80801C, $80801D+1, $80801B, $808000
Sub:
    RTL
namespace Space
Inner:
    RTL
    JSL $80801D : JSL $00801C
namespace off
db $13
"""


def test_the_bytes_stay() -> None:
    require("asar")
    snapshot = world(read_fixture(PROGRAM))
    path, file = next(iter(snapshot.project.files.items()))
    before = assemble(PROGRAM)
    assert before.ok
    changed = {}
    for match in re.finditer(r"\$\w+", PROGRAM):
        for action in code_action(snapshot, file, Span(match.start() + 1, match.start() + 1), (),
                                  types.CodeActionContext(diagnostics=[]), uri="file://" + path, version=1):
            assert isinstance(action, types.CodeAction) and action.edit is not None
            (change,) = action.edit.document_changes or ()
            assert isinstance(change, types.TextDocumentEdit)
            (edit,) = change.edits
            assert isinstance(edit, types.TextEdit)
            low, high = to_span(file.text, edit.range, snapshot.encoding)
            after = assemble(PROGRAM[:low] + edit.new_text + PROGRAM[high:])
            assert after.ok and after.blocks == before.blocks
            changed[match.start()] = edit.new_text
    assert len(changed) >= 3 and set(changed.values()) == {"Main", "Sub", "Space_Inner"}
