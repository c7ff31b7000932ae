"""True alarms on plain mistakes, silence wherever expansion could excuse the text."""

from __future__ import annotations

import re
import time

import pytest

from nayru_lsp.asm import SourceText, parse_text
from nayru_lsp.asm.checks import check_file
from nayru_lsp.asm.project import Project, Root
from tests.kit import REPOSITORY, check_problems, project_of, read_fixture


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


def test_forms_that_do_not_exist() -> None:
    check_problems("""
;- main.asm
lorom
org $008000
Main:
    STA $123456,y
;   ^^^^^^^^^^^^^ NAY106 STA has no 24-bit (long) form indexed by Y
    STX.w $12,y
;   ^^^^^^^^^^^ NAY106 no 16-bit
    JSR ($12)
;   ^^^^^^^^^ NAY102 JSR does not work through (address)
    AND #~0x80
;         ^^^^ NAY105 $80
    db 1, 0xFF
;         ^^^^ NAY105 $FF
    db "0x80"
    REP $20
    LDA ($12),x
    MVN $1234
    BEQ a
a:  RTS
""")


def test_the_repair_of_a_number_is_applied() -> None:
    text = "    LDA #0x1F\n"
    file = parse_text("/ws/main.asm", SourceText.of(text))
    (problem,) = check_file(Project().with_file(file), file)
    (fix,) = problem.fixes
    ((span, new),) = fix.edits
    assert text[: span.start] + new + text[span.end :] == "    LDA #$1F\n"


def test_sub_labels_without_parent() -> None:
    fixture = """
;- main.asm
lorom
org $008000
.early
; ^^^^ NAY304 .early has no parent
Main:
..deep
;^^^^^ NAY304 one dot less
.sub
..fine
if 1
...loose
endif
    RTS
;- part.asm
.belongs_to_the_includer
"""
    files = read_fixture(fixture)
    project = project_of(files).with_roots([Root("/ws/main.asm")])
    found = [(problem.code, project.files["/ws/main.asm"].text.slice(*problem.span))
             for path in files.files for problem in check_file(project, project.files[path])]
    assert found == [("NAY304", ".early"), ("NAY304", "..deep")]
    derived = project_of(files)
    assert [problem.code for problem in check_file(derived, derived.files["/ws/main.asm"])] == ["NAY304"]


def test_defines_are_judged_only_where_the_build_is_known() -> None:
    files = read_fixture("""
;- main.asm
lorom
org $008000
!known = 1
    LDA.b #!known+!given+!missing+!assembler_ver
    db "\\!escaped"
if 0
    LDA !untaken
endif
""")
    project = project_of(files)
    assert check_file(project, project.files["/ws/main.asm"]) == ()
    rooted = project.with_roots([Root("/ws/main.asm", defines=(("given", "2"),))])
    (problem,) = check_file(rooted, rooted.files["/ws/main.asm"])
    assert (problem.code, rooted.files["/ws/main.asm"].text.slice(*problem.span)[-7:]) == ("NAY402", "missing")


@pytest.mark.parametrize("text", [
    # what a macro's arguments, a namespace, an include or a condition could have made
    "macro mk(n)\n<n>:\nendmacro\n    %mk(Foo)\n.a\n    dw Foo_a\n    %mk(Bar)\n.a\n    RTS",
    "macro mk()\nFoo:\nendmacro\n    %mk()\n.a\n    dw Foo_a",
    "macro mk(n)\n<n>:\nendmacro\nMain:\n    BRA .x\n    %mk(.x)",
    "if 1\nFoo:\nelse\nBar:\nendif\n.s\n    dw Foo_s",
    "namespace A\nincsrc \"b.asm\"\nnamespace off\n    dw A_Q, A_Q_s\n;- b.asm\nQ: NOP\n.s NOP\n    dw Q, .s",
    "incsrc \"b.asm\"\n.t NOP\n    dw Q_t\n;- b.asm\nQ: NOP",
    "Main:\nincsrc \"b.asm\"\n    dw Main_q\n;- b.asm\n.q NOP",
    "namespace A\nglobal Foo:\n.x\nnamespace off\n    dw Foo, A_Foo_x",
    "macro in()\nnamespace A\nendmacro\n    %in()\nFoo:\nnamespace off\n    dw A_Foo",
    "!t = \"Foo:\"\n    !t NOP\n    dw Foo",
    "macro op(o)\n<o> $12\nendmacro\n    %op(\"Foo: LDA\")\n    dw Foo",
    "arch spc700\n    INC $12+x\n    MOV A,$00+y\narch 65816",
    "base off\n    print pc, bytes\n    skip align 4",
    "if 1 : Foo: NOP\nif 0 : JSR Nowhere\n    dw Foo",
    "    db 1 : Foo: db 2 : dw Foo",
    "while 0\n    JSR Nowhere\nendif",
])
def test_nothing_is_said_about_what_could_have_been_made(text: str) -> None:
    check_problems(f";- main.asm\nlorom\norg $008000\nStart:\n{text}\n")


@pytest.mark.parametrize("text", [
    # macros, defines and namespaces that cannot make the name do not hide a mistake
    "macro mk(n)\n<n>_ok:\nendmacro\n    %mk(Foo)\n    dw Foo_ok\n    JSR Nowhere\n;       ^^^^^^^ NAY401 Nowhere",
    "macro op(o)\n<o> $12\nendmacro\n    %op(LDA)\n    %op(STA)\n    JSR Nowhere\n;       ^^^^^^^ NAY401 Nowhere",
    "macro one(a)\n    dw <a>\nendmacro\nmacro all(p)\n.p\n<p>\nendmacro\n    %all(%one($12))\n    JSR Nowhere\n"
    ";       ^^^^^^^ NAY401 Nowhere",
    "!c = autoclean\n    !c JSL Start\n    JSR Nowhere\n;       ^^^^^^^ NAY401 Nowhere",
    "if 1 : NOP\n    JSR Nowhere\n;       ^^^^^^^ NAY401 Nowhere",
    "namespace A\nFoo: RTS\nnamespace off\n    JSR A_Fooo\n;       ^^^^^^ NAY401 A_Fooo",
])
def test_a_mistake_is_found_among_macros(text: str) -> None:
    check_problems(f";- main.asm\nlorom\norg $008000\nStart:\n{text}\n")


def test_labels_that_differ_only_by_what_is_unknown_are_not_doubles() -> None:
    check_problems("""
;- main.asm
lorom
org $008000
macro mk(n)
<n>:
endmacro
    %mk(Foo)
.a
    %mk(Bar)
.a
namespace !space
Same: RTS
namespace !other
Same: RTS
namespace off
A: RTS
    .b
    .b
;   ^^ NAY303 A_b is defined twice
""")


def test_every_code_is_described() -> None:
    described = set(re.findall(r"^\| (NAY\d+) \|", (REPOSITORY / "docs/language.md").read_text("utf-8"), re.MULTILINE))
    used = {code for path in (REPOSITORY / "nayru_lsp/asm/checks").glob("*.py")
            for code in re.findall(r'"(NAY\d+)"', path.read_text("utf-8"))}
    assert used == described


@pytest.mark.parametrize(("text", "repaired"), [
    ("Main:\n    SEP #$20\n    LDA.w #$10\n", "Main:\n    SEP #$20\n    LDA.b #$10\n"),
    ("Main:\n    REP #$20\n    LDA #$10\n", "Main:\n    REP #$20\n    LDA.w #$10\n"),
    ("Main:\n    SEP #$20\n    LDA #$1234\n", None),
    ("lorom\norg $8000\nMain:\n.loop\n    BRA .lop\n", "lorom\norg $8000\nMain:\n.loop\n    BRA .loop\n"),
    ("lorom\norg $8000\nMain:\n    JSR Mian\n", "lorom\norg $8000\nMain:\n    JSR Main\n"),
    ("    LDZ $10\n", "    LDA $10\n"),
])
def test_repairs(text: str, repaired: str | None) -> None:
    file = parse_text("/ws/main.asm", SourceText.of(text))
    (problem,) = check_file(Project().with_file(file), file)
    results = []
    for fix in problem.fixes:
        new = file.text
        for span, replacement in fix.edits:
            new = new.replace(span, replacement)
        results.append(str(new))
    assert results[:1] == ([repaired] if repaired is not None else [])


def test_thousands_of_names_that_nothing_defines() -> None:
    """What was meant is looked up, not compared with every name there is."""
    made = "".join(f"Label_number_{number}:\n" for number in range(20_000))
    used = "".join(f"    JMP Labels_number_{number}\n" for number in range(5_000))
    file = parse_text("/ws/main.asm", SourceText.of("org $008000\n" + made + used))
    begun = time.process_time()
    found = check_file(Project().with_files([file]), file)
    assert len(found) == 5_000 and "did you mean Label_number_0?" in found[0].message
    assert time.process_time() - begun < 20     # comparing each with each took minutes
