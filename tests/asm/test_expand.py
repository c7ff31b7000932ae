"""The expansion against the real Asar 1.91: the same bytes at the same places, and an error where Asar has one. Long,
since its programs stand here."""

from __future__ import annotations

import pytest

from nayru_lsp.asm.expand import Expansion, Limits, run
from nayru_lsp.asm.expanded import UNKNOWN, Expanded
from nayru_lsp.asm.packing import pack
from nayru_lsp.asm.problem import Severity
from nayru_lsp.asm.project import Root
from nayru_lsp.asm.syntax import Dialect
from tests import oracle
from tests.asar import assemble
from tests.asm.executing import expand, ours


def errors(expansion: Expansion) -> list[tuple[int, str]]:
    expansion.data()
    return [(problem.span.start, problem.code) for problem in expansion.problems if problem.severity is Severity.ERROR]


GOOD = {
    "plain": "org $008000\nlda #$12 : sta $2100\nlda.w $12\nlda.l $12,x\n",
    "labels of all kinds": """org $008000
Main: : bra .sub
.sub
    bne ..deep
..deep
-   dex : bne -
    beq +
    bra ++
+   nop
++  rts
#Declared: bra .sub
Other.dotted: jmp Other.dotted
""",
    "label assignment": "org $008000\nHere = $7E0010\nlda Here : lda Here+1 : lda.w Here\nTwice = Here*2\ndl Twice\n",
    "defines": """org $008000
!a = 1
!b = !a+1
!a = 5
db !b,!a
!c := !a
!a = 7
db !c
!d #= 2+3*4
db !d
!d ?= 9
!e ?= $10
db !d,!e
!text = "nop : nop"
!text
!name = d
db !{!{name}}
!list = 1
!list += ",2,3"
db !list
db "a\\!b"
""",
    "no end": "org $008000\ncmp 10**400\nlda #10**400\ndb 10**400\nlda.w 0-10**400\nasl #3\n",
    "left to right": "org $008000\ndb 2+3*4, 7/2*2, (1+2)*3, -2+5, ~1&$FF\n",
    "precedence": "asar 1.90\norg $008000\ndb 2+3*4, 7/2*2, 2**3, 1<<2+1\ndw round(2.5,0), 7/2\n",
    "macros": """org $008000
macro one(x, y)
    lda #<x>
    sta <y>
endmacro
macro two(a)
    %one($12, <a>)
    %one(<a>&$FF, $2100)
?here: bra ?here
    bra ?+
?+  nop
endmacro
%two($34) : nop
%two($56)
""",
    "variadic": """org $008000
macro list(...)
    db sizeof(...)
    !i = 0
    while !i < sizeof(...)
        db <...[!i]>
        !i #= !i+1
    endwhile
endmacro
%list(1, 2, 3)
%list()
%list("4", 5)
""",
    "conditions": """org $008000
!x = 3
if !x == 3 : db 1 : endif
if !x != 3
    db 2
elseif !x > 2 && !x < 4
    db 3
else
    db 4
endif
if 0
    if 1
        db 5
    else
        db 6
    endif
elseif 1 == 2 || 3 == 3
    db 7
endif
if not(0) : db 8
db 9
""",
    "loops": """org $008000
!i = 0
while !i < 3
    !j = 0
    while !j < 2
        db !i, !j
        !j #= !j+1
    endwhile
    !i #= !i+1
endwhile
for k = 0..4
    db !k
endfor
for n = 0..2 : db 7 : endfor
rep 3 : nop
""",
    "functions": "org $008000\nfunction twice(a) = a*2\nfunction both(a,b) = twice(a)+b\n"
                 "db both(3,4), twice(select(1,5,6))\n",
    "structs": """struct Obj $7E0100
.x: skip 2
.y: skip 2
.rest: skip 4
endstruct
struct More extends Obj
.z: skip 1
endstruct align 4
org $008000
lda Obj.x : lda Obj.y : sta Obj[2].rest
db sizeof(Obj), objectsize(Obj)
lda Obj.More.z
""",
    "namespaces": """org $008000
namespace first
Label: bra Label
.sub
    bra .sub
namespace nested on
namespace second
Label: bra Label
namespace off
jmp Label
namespace off
namespace nested off
global Free:
namespace off
dw first_Label, first_second_Label, Free, first_Label_sub
pushns
Label: bra Label
pullns
""",
    "places": """lorom
org $018000
base $7E2000
Ram: dw Ram
base off
dw pc()
pushpc
org $028000
Far: dl Far
pullpc
dl Far
skip 4
skip align 16
db 1
fillbyte $AB
fill 3
fill align 8
padbyte $EE
pad $018040
db 2
org $048000
pushbase
base $1000
dw Low
Low:
pullbase
dl pc()
""",
    "hirom": "hirom\norg $C00000\nStart: jml Start\ndl $123456\norg $408000\ndb 1\n",
    "width by label": """lorom
org $018000
Near: lda Near : lda Far : lda Later
jsl Far
lda #Near : lda #Near>>16 : lda.b #Near
Later: rts
org $028000
Far: lda Near,x : lda Far,x
""",
    "width guessed wrong": """lorom
org $018000
lda Far
After: dw After
lda Far,x
dw After2
After2:
org $058000
Far:
""",
    "optimize": """lorom
optimize dp always
optimize address mirrors
Ram = $7E0012
High = $7E1234
org $018000
lda Ram : lda High : lda Ram,x
dpbase $1200
lda High
bank noassume
lda $0112 : lda Code
bank auto
Code: lda Code
""",
    "immediates": "org $008000\nlda #$1 : lda #$123 : lda #12 : lda #300 : ldx.w #$1 : rep #$30\ncop #$12 : brk\n"
                  "wdm #3\ninx #3 : asl #2 : mvn $7E,$7F : pei ($12) : per Here : pea Here\nHere:\n",
    "indirect": "org $008000\nlda ($12),y : lda [$12],y : lda ($12,x) : lda ($1,s),y : lda $1,s\njmp ($1234)\n"
                "jmp [$1234] : jml [$1234] : jsr ($1234,x) : lda ($12)+1 : lda (1+2)*3,x : lda ($10+2)\n",
    "strings": "org $008000\n'A' = $10\n'B' = $11\ndb \"AB C\",0\npushtable\ncleartable\n"
               "db \"AB\",'A'\npulltable\n"
               "db \"AB\"\ndw \"AB\"\n",
    "sound": """org $008000
arch spc700
mov a,#$12
mov $12,a
bne Loop
Loop: dbnz y,Loop
mov a,$1234+x
arch 65816
nop
""",
    "spcblock": "org $008000\nspcblock $0500 nspc\nHere: mov a,#1 : bra Here : dw Here\nendspcblock execute Here\n",
    "comments and joins": "org $008000 ; here\ndb 1, ; one\n   2,\n\n   3\nlda \\\n #$12\ndb \";\" ; x\n",
    "old forms": "org $008000\n@db 1\ndb #2\nrep 2 : db 3\nwarnpc $009000\nincsrc_ = 4\ndb incsrc_\n",
    "math words": "org $008000\nmath pri on\ndb 2+3*4\nmath pri off\ndb 2+3*4\n",
    "data by label": "org $008000\ndb Here, Here>>8, Here>>16\ndw Here-4, Here\ndl Here|$800000\ndd Here*2\nHere:\n",
    "assert": "org $008000\nassert 1 == 1, \"never\"\nassert pc() <= $008000\nnop\nassert Later > $008000\nLater:\n",
    "bank border": "org $00FFFE\nnop : nop\n",
    "border off": "check bankcross off\norg $00FFFE\nnop : nop : nop : dl 1\nHere: dl Here\n",
    "empty macro line": "macro m(a)\n<a>\nendmacro\norg $008000\n%m(nop)\n%m(\"\")\n%m(\"db 1,2\")\n",
    "quoted": 'macro m(a,b)\ndb <a>,<b>\nendmacro\norg $008000\n%m("1,2", 3)\n%m("""x""", \'"\')\n',
    "special comments": "org $008000\n;@db 1\nnop ; x\n;@nosuch thing\n@foo\n@ db 2 : @bar\n",
    "global without a scope": "namespace a\norg $008000\nMain:\nglobal #Free:\n.sub\ndw Free, a_Main_sub\n",
    "conversions by the mode of the line": "lorom\norg $008000\ndl snestopc($018000),pctosnes($400000),snestopc(0)\n"
                                           "hirom\norg $C00100\ndl snestopc($018000),pctosnes($8000)\n",
    "one mode after another": "lorom\norg $008004\ndb 1\nhirom\norg $C00005\ndb 2\nnorom\norg $000006\ndb 3\n",
    "banks of an sa-1": "sa1rom 1,0,3,2\norg $008000\ndb 1\norg $208000\ndl snestopc($C00000),pctosnes($100000)\n",
    "defined at its place": '!a = 1\norg $008000\ndb defined("a")\nundef "a"\ndb defined("a")\n',
    "read or else": 'org $008000\ndb readfile1("no.bin",0,$EE),canreadfile1("no.bin",0),read1($7E0000,5),'
                    'canread1($7E0000)\n',
    "datasize": "org $008000\ndw datasize(A)\nA: db 1,2,3\nB: dl datasize(B)\n",
    "pc in a row": "org $008000\ndw pc(),pc()\ndw pc(),pc()\nbase $7000\ndl realbase(),pc()\n",
    "sound in blocks of old": "org $008000\narch spc700-inline\norg $0500\nHere: jmp Here\nskip 4\nnop\n"
                              "startpos Here\narch 65816\ndb 1\n",
    "sound to the end of the file": "org $008000\narch spc700-inline\norg $0500\nnop\nstartpos $0500\n",
    "startpos": "org $008000\nspcblock $0500\nnop\nstartpos Here\nHere: nop\nendspcblock\ndb 1\n",
    "xkas": ";@xkas\norg $008000\n!a = 5\ndb \"!a\",!a\nlda Here,x : lda.w Here\nHere:\nrep 0 : db 1\n"
            "rep -1 : db 2\nrep 2 : db 3\n",
    "xkas, a define with quotes": ';@xkas\norg $008000\n!w = "a""b"\ndb 1\n',
    "a label of -1 stands here": "Before = pc()\norg $008000\nnop\nHere = -1\nThere = $FFFFFF\ndl Before,Here,There\n",
    "no org, but a base": "base $7E1234\nHere:\ndl Here,realbase(),pc()\n",
    "no org, but a base for a struct": "base $011000\nstruct Word\n.up: skip 1\nendstruct\ndl Word.up,pc()\n",
    "another processor behind a block of sound":
        "org $008000\narch superfx\nspcblock $500\nmov a,#1\nendspcblock\nnop\n",
    "a filler that is a label": "padbyte Here\nHere = 3\norg $008000\ndb 1\n",
    "asar behind macros and defines":
        "!a = 1\nmacro m()\nnop\nendmacro\n;@asar 1.50\nasar 1.50\norg $008000\ndb 1\n",
    "a function of a function":
        "function f(a) = a+1\nfunction g(a) = f(a)*2\norg $008000\ndb f(1),g(1),min(f(1),g(1))\n",
    "undef": 'org $008000\n!a = 1\nif defined("a") : db 1 : endif\nundef "a"\nif defined("a") == 0 : db 2 : endif\n',
}


@pytest.mark.parametrize("name", GOOD)
def test_bytes_as_asar(name: str) -> None:
    asar = assemble(GOOD[name])
    assert asar.ok, asar.errors
    expansion = expand(GOOD[name])
    assert errors(expansion) == []
    theirs = {offset + at: byte for offset, _, data in asar.blocks for at, byte in enumerate(data)}
    assert ours(expansion) == theirs


BAD = {
    "label_not_found": "org $008000\nnop\njmp Nowhere\n",
    "label_redefined": "org $008000\nA:\nA:\n",
    "macro_not_found": "org $008000\n%no()\n",
    "macro_wrong_num_params": "macro m(a)\nendmacro\norg $008000\n%m()\n",
    "define_not_found": "org $008000\ndb !nothing\n",
    "relative_branch_out_of_bounds": "org $008000\nbra Far\nfill 200\nFar:\n",
    "assertion_failed": "org $008000\nassert 1 == 2, \"no\"\n",
    "unknown_command": "org $008000\nfoo bar\n",
    "bank_border_crossed": "org $00FFFF\nnop\nnop\n",
    "label_missing_parent": "org $008000\n.sub\n",
    "invalid_label_name": "org $008000\n1a:\n",
    "label_in_conditional": "org $008000\nA:\nif A > 1\nendif\n",
    "misplaced_endif": "org $008000\nendif\n",
    "unclosed_if": "org $008000\nif 1\nnop\n",
    "pullpc_without_pushpc": "org $008000\npullpc\n",
    "pullns_without_pushns": "pullns\n",
    "struct_without_endstruct": "struct A $7E0000\n.x: skip 1\n",
    "nested_struct": "struct A $7E0000\nstruct B $7E0000\nendstruct\n",
    "invalid_namespace_name": "namespace 1a\n",
    "broken_for_loop": "for i = 3\nendfor\n",
    "file_not_found": 'org $008000\nincbin "nothing.bin"\n',
    "label_cross_assignment": "org $008000\nA:\nB = A\n",
    "macro_redefined": "macro m()\nendmacro\nmacro m()\nendmacro\n",
    "unclosed_macro": "macro m()\nnop\n",
    "division_by_zero": "org $008000\ndb 1/0\n",
    "mismatched_quotes": "org $008000\nlda #'a\n",
    "pullwarnings_without_pushwarnings": "org $008000\nwarnings pull\n",
    "pushwarnings_without_pullwarnings": "warnings push\n",
    "invalid_mapper": "sa1rom 0,1\n",
    "invalid_global_label": "org $008000\nglobal name\n",
    "spc700_inline_no_base": "org $008000\narch spc700-inline\nbase $0500\n",
    "macro_label_outside_of_macro": "org $008000\n?a:\n",
    "function_not_found": "org $008000\nfunction g(a) = f(a)\ndb g(1)\nfunction f(a) = a\n",
    "start_of_file": "org $008000\nasar 1.80\n",
    "invalid_check": "org $008000\ncheck bankcross some\n",
    "recursion_limit": "org $008000\n!a = !b\n!b = !a\ndb !a\n",
}
OTHER = {"file_not_found": "failed_to_open_file"}


@pytest.mark.parametrize("name", BAD)
def test_errors_as_asar(name: str) -> None:
    asar = assemble(BAD[name])
    found = errors(expand(BAD[name]))
    assert any(f"(E{name})" in text for _, text in asar.errors), asar.errors
    assert "E" + OTHER.get(name, name) in {code for _, code in found}
    lines = {line for line, text in asar.errors if f"(E{name})" in text and line >= 0}
    if name not in ("unclosed_if", "unclosed_macro", "struct_without_endstruct",     # ours point at the opener
                    "pushwarnings_without_pullwarnings"):
        assert lines & {line for line, _ in found}, (asar.errors, found)


def test_a_line_that_was_read_before_is_read_by_the_rules_of_now() -> None:
    found = expand("""norom
org $000000
macro body(x)
nop
db <x>
incsrc "inc.asm"
endmacro
%body(1)
arch spc700
%body(2)
arch 65816
%body(3)
nop
arch spc700 : nop
nop
incsrc "inc.asm"
arch 65816
incsrc "plain.asm"
macro outer()
incsrc "plain.asm"
endmacro
%outer()
""", inc__asm="nop\nnop", plain__asm="nop\ndb 7\ndb 8")
    assert not found.problems
    assert b"".join(part or b"?" for part in found.data()).hex() == (
        "ea01eaea" "00020000" "ea03eaea" "ea" "00" "00" "0000" "ea0708" "ea0708")


def test_a_branch_before_any_org() -> None:
    """Asar takes $008000 for it, but not for its distance."""
    text = "BRA Here\nHere: nop\n"
    assert [line for line, _ in assemble(text).errors] == [0]
    assert errors(expand(text)) == [(0, "Erelative_branch_out_of_bounds")]


def test_a_function_that_is_there_twice_means_what_stands_above() -> None:
    """Which of the two is meant behind the second is not told: silence, and no wrong byte."""
    text = "org $008000\nfunction f(a) = a\ndb f(1)\nfunction f(a) = a+1\ndb f(1)\n"
    assert assemble(text).blocks[0][2] == b"\1\2"
    assert [write.data for write in expand(text).writes] == [None, None]


@pytest.mark.parametrize("levels", [247, 248])
def test_defines_in_defines(levels: int) -> None:
    """250 texts inside each other, that of the line among them."""
    text = "org $008000\n!a0 = 1\n" + "".join(f"!a{n + 1} = !a{n}\n" for n in range(levels)) + f"db !a{levels}\n"
    library = oracle.library(1)
    if library is not None:     # a process of its own: each such error makes the next one come a level earlier
        assert oracle.assemble("/main.asm", library=library, memory={"/main.asm": text.encode()}).ok == (levels < 248)
    assert errors(expand(text)) == ([] if levels < 248 else [(levels + 2, "Erecursion_limit")])


@pytest.mark.parametrize("dialect", Dialect)
def test_the_title_of_the_image(dialect: Dialect) -> None:
    def found(base: bytes | None) -> list[str]:
        return [problem.code for problem in run(Root("/main.asm", dialect), {
            "/main.asm": b'check title "AB"\norg $008000\nnop\n'}.get, base).problems]

    titled = bytes(0x7FC0) + b"AB" + bytes(0x3E)
    assert found(None) == found(titled) == []
    assert found(b"") == found(bytes(0x7FFF)) == ["Erom_too_short"]
    assert found(bytes(0x8000)) == ["Erom_title_incorrect"]


def test_labels_that_an_instruction_does_not_reach() -> None:
    text = """org $008000
Low = $000010
Ram = $7E2000
jmp Far : jsr Later : lda Far,y : pea Far : stz Far : ldx Far,y : jmp [Far] : tsb Far : jsr Far
lda (Low),y : lda [Low] : lda (Near,x)
Near: jmp Near : jsr Near : lda Near,y : stz Near
bank $01
lda Far,y : stz Far : lda Near,y : jsr Near : jmp Far
bank $7E
lda Ram,y : jmp Ram
bank auto
optimize dp always
lda (Low),y : stz Low
org $018000
Far: jsr Near : jsr Far
org $028000
Later: nop
"""
    asar = assemble(text)
    found = errors(expand(text))
    lines = [line for line, _ in asar.errors]
    assert sorted(lines) == sorted(line for line, _ in found) and len(lines) == 16
    assert {code for _, code in found} == {"Eunknown_command"}


def test_labels_know_where_they_come_from() -> None:
    expansion = expand("macro make(n)\n<n>_start:\n    nop\nendmacro\norg $008000\n%make(One)\nnop\n%make(Two)\n")
    two = expansion.labels["Two_start"]
    assert (two.value, two.path, two.row, two.calls) == (0x8002, "/main.asm", 1, (("/main.asm", 7),))


def test_defines_at_every_point() -> None:
    expansion = expand("!a = 1\n!b = 2\norg $008000\ndb !a\n!a = 3\ndb !a\n")
    assert [(name, text) for name, text, _ in expansion.define_log] == [("a", "1"), ("b", "2"), ("a", "3")]
    assert expansion.define_marks[0] == [(0, 0), (1, 1), (2, 2), (5, 3)]


def test_branches_that_are_not_taken() -> None:
    expansion = expand("org $008000\nif 0\nnop\nelse\nnop\nendif\n")
    assert expansion.skipped[0] == {2, 3} or expansion.skipped[0] == {2, 3, 5}


def test_what_depends_on_the_base_image_stays_unknown() -> None:
    text = "org $008000\nif read1($008000) == 1\nA: nop\nendif\nB: nop\norg $018000\nC: nop\n"
    expansion = expand(text)
    assert "A" not in expansion.labels
    assert expansion.labels["B"].value is None
    assert expansion.labels["C"].value == 0x18000
    assert any("base image" in reason for reason in expansion.reasons)
    known = run(Root("/main.asm"), lambda path: text.encode(), b"\1" + bytes(0x7FFF))
    assert (known.labels["A"].value, known.labels["B"].value) == (0x8000, 0x8001)
    empty = run(Root("/main.asm"), lambda path: text.encode(), b"")       # it makes an image of its own
    assert [problem.code for problem in empty.problems] == ["Esnes_address_out_of_bounds"]


UNSURE = """org $008000
!a = 1
!once = 0
!text = x
if read1($008000) == 1
    !a = 2
endif
!a += ",3"
!a ?= 4
!sum #= !a+1
!same := !a
if !sum == 3
Perhaps: nop
elseif !same == 1
    db 2
endif
while !once == 0
    if read1($008000) == 1
        !once = 1
    endif
endwhile
if !a == 1 : db 7
org $018000
Sure: nop
!text db !a
undef "a"
db defined("a")
"""


def test_a_define_that_may_be_another_has_no_value() -> None:
    expansion = expand(UNSURE)
    assert not expansion.problems
    assert {name: label.value for name, label in expansion.labels.items()} == {"Sure": 0x18000}
    assert not expansion.defines.keys() & {"a", "sum", "same", "once"} and expansion.defines["text"] == "x"
    assert [write.data for write in expansion.writes if write.rom is not None] == [b"\xEA"]
    told = Expanded(pack(expansion), named=True)
    assert [told.define_at("/main.asm", row, "a") for row in (1, 2, 7, 14)] == [None, "1", UNKNOWN, UNKNOWN]
    known = run(Root("/main.asm"), lambda path: UNSURE.encode(), bytes(0x8000))
    assert known.defines["same"] == "1,3"


def test_what_is_known_goes_on_behind_a_loop_that_nobody_can_count() -> None:
    text = "org $008000\n!n = 9\nwhile !n\nif read1($8000+!n) == 1\n!n = 0\nendif\n!n #= !n-1\nendwhile\nA: nop\n"
    expansion = expand(text, limits=Limits(loops=3))
    assert not expansion.problems and expansion.labels["A"].value == 0x8000


def test_a_missing_file_leaves_the_rest_known() -> None:
    expansion = expand('org $008000\nA: nop\nincbin "no.bin"\nB: nop\norg $018000\nC: nop\n')
    assert [expansion.labels[name].value for name in "ABC"] == [0x8000, None, 0x18000]


@pytest.mark.parametrize("text", [
    "while 1\nendwhile\n", "org $008000\nfor i = 0..2000000000\ndb 0\nendfor\n", "macro m()\n%m()\nendmacro\n%m()\n",
    'incsrc "main.asm"\n', "org $008000\nfill 2000000000\n", "org $008000\nnop #2000000000\n",
    "!d0 = x\n" + "".join(f"!d{n + 1} = !d{n}!d{n}\n" for n in range(40)) + "db !d40\n",
    "!a = !a\ndb !a\n", "org $008000\ndb " + "(" * 20_000 + "\n", "org $008000\nrep 2000000000 : nop\n",
    "if 1\n" * 5_000, "check bankcross off\norg $008000\nskip -1\n" * 50])
def test_nothing_runs_away(text: str) -> None:
    limits = Limits(lines=2_000_000, loops=20_000, text=200_000)
    expand(text, limits=limits).data()
