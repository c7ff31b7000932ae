"""Suggestions look like their neighbours."""

from __future__ import annotations

import pytest

from nayru_lsp.assist.local_layout import continue_line, lay_out, style_at

UPPER = """\
Main:
    LDA.b $12
    STA.w $21FF,X
    JSR Sub
.loop:
    DEX
    BNE .loop
    RTS"""
LOWER = """\
main:
\tlda #$ab
\tsta $00, x
\tlda #$cd
\tsta $02, y
.loop
\tdex
"""
COLUMNS = """\
start:  lda   $10
        sta.w $1234
        jsr   sub
        rts
        lda   $11"""


@pytest.mark.parametrize(("around", "text", "laid"), [
    (UPPER, "lda.w $21ab,x", "    LDA.w $21AB,X"),
    (UPPER, ".next", ".next:"),
    (UPPER, "Sub:", "Sub:"),
    (LOWER, "sta $0a,x", "\tsta $0a, x"),
    (LOWER, ".next", ".next"),
    (COLUMNS, "ldx $12", "        ldx   $12"),
    (COLUMNS, "ldx.w $1212", "        ldx.w $1212"),
    ("", "lda $12", "    LDA $12"),
    ("    LDA $00 : STA $01\n", "lda $02 : sta $03", "    LDA $02 : STA $03"),
    ("if !a == 1\n!b = 2\nendif", "if !a==2", "if !a == 2"),
    ("!b=2", "!c = 3", "!c=3"),
    ("    %call(a, 1)", "%call(b,2)", "    %call(b, 2)"),
    ("    db $01, $02\n", "db $03,$04", "    db $03, $04"),
])
def test_laid_out(around: str, text: str, laid: str) -> None:
    lines = around.split("\n")
    assert lay_out(style_at(lines, len(lines)), text) == laid


@pytest.mark.parametrize(("typed", "laid", "rest"), [
    ("", "    LDA $12", "    LDA $12"),
    ("    ", "    LDA $12", "LDA $12"),
    ("\t", "    LDA $12", "LDA $12"),
    ("    LD", "    LDA $12", "A $12"),
    ("    lda", "    LDA $12", " $12"),
    ("    LDA ", "    LDA   $12", "$12"),
    ("    LDA $1", "    LDA $12", "2"),
    ("    LDA $0", "    LDA $12", None),
    ("    LDA $00,", "    LDA $00,X", "X"),
])
def test_continued(typed: str, laid: str, rest: str | None) -> None:
    assert continue_line(typed, laid) == rest
