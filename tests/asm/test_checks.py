"""True alarms on plain mistakes, silence wherever expansion could excuse the text."""

from __future__ import annotations

import pytest

from tests.kit import check_problems


def test_words_modes_and_suffixes() -> None:
    check_problems("""
;- main.asm
lorom
org $008000
Main:
    LDQ #$10
;   ^^^ NAY101 did you mean LDA
    STA #$10
;   ^^^^^^^^ NAY102 STA does not work with an immediate
    LDA.q $10
;      ^^ NAY103 .q
    incsrd "x.asm"
;   ^^^^^^ NAY101 incsrc
    db "text
;      ^^^^^ NAY001 quote
    RTS
""")


def test_silence_where_text_could_be_excused() -> None:
    check_problems("""
;- main.asm
lorom
org $008000
!op = LDA
    !op #$10
    LDA !x
    LDA.!x $10
    %thing(1)
macro thing(a)
    LDQ <a>
    STA #<a>
    db "half<a>
endmacro
if 0
    LDQ $10
    STA #$10
endif
arch spc700
    MOV A,#$10
    ADC #$10
arch 65816
    Frobnicate the thing
    RTS
""")


def test_widths() -> None:
    check_problems("""
;- main.asm
Main:
    SEP #$20
    LDA.w #$10
;   ^^^^^^^^^^ NAY201 A is 8-bit here
    LDX.w #$1000
    REP #$10
    LDY #$10
;   ^^^^^^^^ NAY201 X and Y are 16-bit
.loop
    LDA #$12
    BNE .loop
    PHP
    REP #$20
    LDA #$1234
    PLP
    LDA #$12
    JSR Other
    LDA #$1234
    RTS
""")


def test_widths_stay_silent_when_ways_differ() -> None:
    check_problems("""
;- main.asm
Main:
    SEP #$20
    BEQ .wide
    LDA #$12
    BRA .on
.wide
    REP #$20
.on
    LDA #$1234
    LDA #$12
    RTS
Far:
    SEP #$20
    JMP .out
.entered
    LDA #$1234
.out
    RTS
Else:
    JSR Far_entered
    %macro_call()
    RTS
Cond:
    SEP #$30
if !x
    REP #$30
endif
    LDA #$1234
    RTS
macro macro_call()
endmacro
""")


def test_structure() -> None:
    check_problems("""
;- main.asm
Once:
    NOP
    if 1
;   ^^ NAY301 endif is missing
    NOP
;- other.asm
    endif
;   ^^^^^ NAY302 no open if
Twice: RTS
  Twice: RTS
; ^^^^^ NAY303 defined twice
""")


@pytest.mark.parametrize("text", [
    "while !i < 4\n    NOP\nendif\n",
    "if 1 : nop\n",
    "macro a()\nif 1\nendmacro\n!x\n",
])
def test_structure_stays_silent(text: str) -> None:
    check_problems(";- main.asm\n" + text)


def test_names_and_files() -> None:
    check_problems("""
;- main.asm
lorom
org $008000
incsrc "b.asm"
Main:
    JSR Missing
;       ^^^^^^^ NAY401 no label Missing
    JSR Known
    LDA Main_sub
.sub
    BRA .nowhere
;       ^^^^^^^^ NAY401 Main_nowhere
    %two(1)
;    ^^^ NAY404 takes 2 arguments (a, b), not 1
    %none()
;    ^^^^ NAY403 no macro none
    print pc
    dw Known, Main
;- b.asm
Known:
    RTS
macro two(a, b)
    dw <a>, <b>
endmacro
""")


@pytest.mark.parametrize("maker", [
    "macro m(n)\n<n>_made:\nendmacro\n    %m(x)\n    JSR x_made",
    "macro m()\nMade:\nendmacro\n    %m()\n    JSR Made",
    "macro m()\n.sub\nendmacro\nMain:\n    %m()\n    BRA .sub",
    "!n = 5\nmade_!n:\n    JSR made_5",
    "incsrc \"elsewhere.asm\"\n    JSR Unknown",
    "!x = \"Made:\"\n!x\n    JSR Made",
    "namespace N\nIn:\n    JSR In\nnamespace off\n    JSR N_In",
    "struct S $7E0000\n.a: skip 1\nendstruct\n    LDA S.a",
    "if 1\n    JSR NotChecked\nendif",
])
def test_a_name_that_something_could_make_is_not_missed(maker: str) -> None:
    check_problems(f";- main.asm\nlorom\norg $008000\n{maker}\n    RTS\n")


def test_a_file_without_a_root_is_not_judged_on_names() -> None:
    check_problems(";- part.asm\nPart:\n    JSR SomewhereElse\n    RTS\n")
