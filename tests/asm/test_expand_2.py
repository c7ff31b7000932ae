"""The expansion by the rules of Asar 2.0: bytes and errors as its beta has them, asked itself where it is at hand."""

from __future__ import annotations

import pytest

from nayru_lsp.asm.expand import Expansion
from nayru_lsp.asm.live import Live
from nayru_lsp.asm.problem import Severity
from nayru_lsp.asm.project import Root
from nayru_lsp.asm.syntax import Dialect
from tests import oracle
from tests.asm import executing
from tests.asm.executing import MAIN, ours


def expand(text: str | bytes, **files: str) -> Expansion:
    return executing.expand(text, Dialect.ASAR_2, **files)


def errors(expansion: Expansion) -> list[tuple[int, str]]:
    expansion.data()
    return sorted({(problem.span.start, problem.code.removeprefix("E")) for problem in expansion.problems
                   if problem.severity is Severity.ERROR})


def stated(text: str) -> dict[int, int]:
    """``offset bytes / offset bytes``, all in hex."""
    out: dict[int, int] = {}
    for block in text.split(" / "):
        offset, _, data = block.partition(" ")
        out.update(enumerate(bytes.fromhex(data), int(offset, 16)))
    return out


# What was assembled, and what 2.0 wrote.
GOOD = {
    "spaces in operands": (
        "org $008000\nlda $12 , X\nlda ( $12 ) , y\nlda # $12 + 3\nlda [ $12 ],Y\nlda ( $1 , s ),y\ndb 1 + 2 , 3\n",
        "000000 B5 12 B1 12 A9 15 B7 12 B3 01 03 03"),
    "forms by their ends": (
        "org $008000\nlda ($12)+1\nlda ($10)+1,x\nlda (1+2)*3\njmp ($1234)\njmp [$1234]\njml [$1234]\n"
        "jsr ($1234,x)\n",
        "000000 A5 13 B5 11 A5 09 6C 34 12 DC 34 12 DC 34 12 FC 34 12"),
    "opcodes that there are none": (
        "org $008000\nsta #$12\nstx $1234,y\nsty $1234,x\n",
        "000000 89 12 9E 34 12 9C 34 12"),
    "widths": (
        "org $008000\nlda $1\nlda $123\nlda $12345\nlda.l $12,x\nlda $10,y\nldx $10,y\nstz $1234,x\nlda #300\n"
        "lda #$123456\nbit #$12\n",
        "000000 A5 01 AD 23 01 AF 45 23 01 BF 12 00 00 B9 10 00 B6 10 9E 34 12 A9 2C 01 A9 56 34 89 12"),
    "one opcode without a width": (
        "org $008000\nclc.b\ninc.w\nasl a\nror\ndec A\n",
        "000000 18 1A 0A 6A 3A"),
    "immediates by label": (
        "org $008000\nlda #A\nlda #A>>16\nlda.b #A\nrep #$30\nA:\n",
        "000000 A9 09 80 A9 00 A9 09 C2 30"),
    "repeated": (
        "org $008000\nnop #3\nasl #1+1\ninc #2\ndex #0\nnop\n",
        "000000 EA EA EA 0A 0A 1A 1A EA"),
    "interrupts and moves": (
        "org $008000\nbrk\nbrk #1\nwdm\ncop #2\nmvn 1,2\nmvp $7E, $7F\npei ($12)\npea $12\n",
        "000000 00 00 00 01 42 00 02 02 54 01 02 44 7E 7F D4 12 F4 12 00"),
    "branches": (
        "org $008000\nbra.r $10\nbra.a $8010\nbra $10\nbrl.a $8123\nper $1234\nper L\nbne L\nL:\n",
        "000000 80 10 80 0C 80 10 82 1A 01 62 34 12 62 02 00 D0 00"),
    "a branch over the end of the bank": (
        "org $008000\nL: nop\norg $00FFF0\nbrl L\n",
        "000000 EA / 007FF0 82 0D 80"),
    "labels of direct page and mirrors": (
        "org $008000\nL = $7E0010\nB = $000010\nC = $7E1234\nD = $012345\nlda L\nlda L,x\nlda B\nlda C\nlda D\n"
        "lda E\nE:\n",
        "000000 A5 10 B5 10 A5 10 AD 34 12 AD 45 23 AD 0F 80"),
    "optimize": (
        "org $008000\nL = $7E0010\noptimize dp none\nlda L\noptimize address ram\nlda L\noptimize address default\n"
        "lda L\noptimize dp ram\nlda L\ndpbase $0100\nlda L\n",
        "000000 AD 10 00 AD 10 00 AF 10 00 7E A5 10 AF 10 00 7E"),
    "bank": (
        "org $008000\nbank noassume\nlda L\nbank $10\nlda L\nbank auto\nlda L\njmp L\nL:\n",
        "000000 AF 0E 80 00 AF 0E 80 00 AD 0E 80 4C 0E 80"),
    "jumps see the bank of the code": (
        "org $018000\nbank $7E\njmp L\njsr (L,x)\nlda L\nL:\n",
        "008000 4C 0A 80 FC 0A 80 AF 0A 80 01"),
    "expressions": (
        "org $008000\ndb 2**3, 7/2*2, -2**2+8, 1|2&3, ~0&$FF, 5%3, 1 << 2 + 1\n"
        "db 1 == 1, 1 != 1, 2 >= 1, 1&&0, 1||0, bank($123456), <:$123456\n",
        "000000 08 07 0C 03 FF 02 08 01 00 01 00 01 12 12"),
    "functions": (
        "org $008000\nfunction f(a, b) = a + b * 2\n"
        "db f(1, 2), char(\"abc\",1), stringlength(\"abc\"), round(2.555,1)\n",
        "000000 05 62 03 02"),
    "conditions": (
        "org $008000\nif 1==1 && (2 > 1 || 0)\ndb 1\nendif\nif -1\ndb 2\nendif\nif 0.5\ndb 3\nendif\n"
        "if 1 : db 4 : endif\nif 0\nelseif 1==2\ndb 5\nelseif 1\ndb 6\nelse\ndb 7\nendif\n",
        "000000 01 02 04 06"),
    "loops": (
        "org $008000\nfor i=0..2\ndb !i\nendfor\nfor i = 0..3 : db 9 : endfor\n!n = 0\nwhile !n < 2\ndb !n+8\n"
        "!n #= !n+1\nendwhile\n",
        "000000 00 01 09 09 09 08 09"),
    "assignments that move": (
        "org $008000\nnop\nA:\nB = A\ndw B\nC = B+1\ndw C\n",
        "000000 EA 01 80 02 80"),
    "comments in blocks": (
        "org $008000\n;[[ hi\n nop\n]] nop\nnop ;[[ x ]] : nop\n;[[ a ]];[[ b\n]] rts\n",
        "000000 EA EA EA 60"),
    "separators": (
        "org $008000\nnop : : nop :\n: nop\n{\n}\n{ : nop : }\n",
        "000000 EA EA EA EA"),
    "joins": (
        "org $008000\ndb 1, ; c\n 2\nnop \\\n: rts\n",
        "000000 01 02 EA 60"),
    "defines": (
        "org $008000\n!a = 5\ndb !a\n!b #= 1/2\ndb !b*4\n!c = \"nop : nop\"\n!c\n!{d} = 7\ndb !{d}\n!e ?= 8\n"
        "!e += +1\ndb !e\n!f := !a\nundef f\ndb defined(\"f\")\n",
        "000000 05 02 EA EA 07 09 00"),
    "text behind a string": (
        "org $008000\ndb \"abc\"+1\n!q = \"\"\"x\"\"\"\ndb !q\n",
        "000000 61 62 63 78"),
    "characters": (
        "org $008000\n'a' = $41\n'é' = $99\ndb \"aé日\",'a','é'\npushtable\ncleartable\ndw \"aé日\",'日'\npulltable\n"
        "db \"a\"\n",
        "000000 41 99 E5 41 99 61 00 E9 00 E5 65 E5 65 41"),
    "macros": (
        "org $008000\nmacro m(a, b)\ndb <a>,<b>,<:<a>,1<<2,<a><<1\n?x: bra ?x\nendmacro\n%m($123456, 2)\n"
        "%m(\"1\", 3 + 4)\n",
        "000000 56 02 12 04 AC 80 FE 01 07 00 04 02 80 FE"),
    "variadic": (
        "org $008000\nmacro m(x, ...)\ndb <...[0]>,sizeof(...)\n!s = sizeof(...)\ndb !s\nendmacro\n%m(9,1,2)\n"
        "%m(9,1)\n",
        "000000 01 02 02 01 01 01"),
    "macros in macros": (
        "org $008000\nmacro o(a)\nmacro i_<a>(b)\ndb <b>,<^a>,!^x,!x\nmacro j()\ndb <^^a>,<^b>\nendmacro\n"
        "endmacro\nendmacro\n!x = 1\n%o(5)\n!x = 2\n%i_5(6)\n%j()\n",
        "000000 06 05 01 02 05 06"),
    "a macro is made in a loop": (
        "org $008000\nmacro all(...)\n!n = 0\nwhile !n < sizeof(...)\nmacro <...[!n]>()\ndb <^...[!^n]>_v\n"
        "endmacro\n!n #= !n+1\nendwhile\nendmacro\none_v = 1\ntwo_v = 2\n%all(one, two)\n%two()\n%one()\n",
        "000000 02 01"),
    "labels": (
        "org $008000\na: b: c: nop\ndw a,b,c\nx.y: dw x.y\n#z: .b\ndw x.y_b\nglobal #free:\ndw free\n+ nop : \n"
        "- bra +\n+:\n",
        "000000 EA 00 80 00 80 00 80 07 80 09 80 0B 80 EA 80 00"),
    "namespaces": (
        "org $008000\nnamespace nested on\nnamespace a\nnamespace b\nL:\nglobal G:\nnamespace off\nnamespace off\n"
        "dw a_b_L,G\n",
        "000000 00 80 00 80"),
    "structs": (
        "org $008000\nstruct A $7E0000\n.x: skip 2\n.y skip 1\nendstruct align 4\nstruct B extends A\n.z: skip 3\n"
        "endstruct\ndb sizeof(A),objectsize(A)\nlda A[1].y\nlda A.B.z\nstruct C\n.x: skip 1\nendstruct\ndw C.x\n",
        "000000 04 07 A5 09 A5 03 06 80"),
    "places": (
        "org $008000\nbase $7E0000\nA: nop\nbase off\ndl A\npushpc\norg $9000\nnop\npullpc\npushbase\nbase $1000\n"
        "B:\npullbase\ndw B\nskip align 16\nnop\nfill align 8 offset 1\nfillword $1234\nfill 3\npadbyte 1\n"
        "pad $008040\nrts\n",
        "000000 EA 00 00 7E 00 10 / 000010 EA 34 12 34 01 01 01 01 01 01 01 01 01 01 01 01 01 01 01 01 01 01 "
        "01 01 01 01 01 01 01 01 01 01 01 01 01 01 01 01 01 01 01 01 01 01 01 01 01 01 60 / 001000 EA"),
    "other processors on one line": (
        "org $008000\narch spc700 : nop : mov a,#1\narch superfx : nop : arch 65816 : nop\n",
        "000000 00 E8 01 01 EA"),
    "spcblock": (
        "org $008000\nspcblock $500 nspc\nL: mov a,#1\nbra L\nendspcblock execute L\nnop\n",
        "000000 04 00 00 05 E8 01 2F FC 00 00 00 05 EA"),
    "bank borders": (
        "check bankcross off\norg $00FFFE\nnop : nop : rts\ncheck bankcross full\norg $018000\nnop\n",
        "007FFE EA EA / 008000 EA"),
    "before any org": (
        "assert pc() < 0\norg $008000\ndb 1\n",
        "000000 01"),
    "a label of -1 stands here": (
        "org $008000\nnop\nHere = -1\nThere = $FFFFFF\ndl Here,There\n",
        "000000 EA 01 80 00 FF FF FF"),
    "superfx around a block of sound": (
        "org $008000\narch superfx\nspcblock $500\nmov a,#1\nendspcblock\nnop\n",
        "000000 02 00 00 05 E8 01 01"),
    "datasize": (
        "org $008000\ndb datasize(A)\nA: nop\nB:\nrts\n",
        "000000 01 EA 60"),
}


@pytest.mark.parametrize("name", GOOD)
def test_bytes(name: str) -> None:
    text, data = GOOD[name]
    expansion = expand(text)
    assert errors(expansion) == []
    assert ours(expansion) == stated(data)


@pytest.mark.parametrize("name", GOOD)
def test_the_real_2_0_writes_these_bytes(name: str) -> None:
    text, data = GOOD[name]
    result = real(text)
    assert result.ok, result.errors
    assert {offset + at: byte for offset, _, block in result.blocks for at, byte in enumerate(block)} == stated(data)


# The row from 0, the error that 2.0 has there, the text.
BAD = [
    (6, "label_ambiguous", "org $008000\noptimize dp always\nbase $f9\nlda x\nlda y\nrts\ny:\nx = $ff\n"),
    (2, "snes_address_doesnt_map_to_rom", "org $008000\nskip -1\nnop\n"),
    (1, "snes_address_doesnt_map_to_rom", "org $7E0000\nnop\n"),
    (1, "unknown_command", "org $008000\nskip 1 + 2\n"),
    (1, "unknown_command", "org $008000\nelse if 1\n"),
    (1, "broken_label_definition", "org $008000\nfoo!: nop\n"),
    (1, "broken_label_definition", "org $008000\n-foo: nop\n"),
    (1, "bad_addr_mode", "org $008000\nnop = 5\n"),
    (1, "bad_access_width", "org $008000\njmp.l $1234\n"),
    (1, "bad_access_width", "org $008000\nlda ($1234),y\n"),
    (1, "bad_access_width", "org $008000\njsr B\norg $018000\nB:\n"),
    (1, "bad_access_width", "org $008000\nrep #A\nA:\n"),
    (1, "no_labels_here", "org $008000\nnop #A\nA:\n"),
    (1, "relative_branch_out_of_bounds", "org $008000\nbra -2\n"),
    (1, "relative_branch_out_of_bounds", "org $008000\nbra $8000\n"),
    (1, "bad_addr_mode", "org $008000\nmvn $1234\n"),
    (1, "bad_access_width", "org $008000\ncop #300\n"),
    (1, "invalid_opcode_length", "org $008000\nlda.d 1\n"),
    (1, "unknown_command", "org $008000\n@nop\n"),
    (1, "bad_addr_mode", "org $008000\nxba 1\n"),
    (1, "bad_addr_mode", "org $008000\nbeq a\na:\n"),
    (1, "broken_macro_usage", "org $008000\n%m (1)\n"),
    (0, "invalid_macro_name", "macro m (a)\nendmacro\n"),
    (0, "macro_param_redefined", "macro m(a,a)\nendmacro\n"),
    (0, "vararg_must_be_last", "macro m(..., a)\nendmacro\n"),
    (0, "broken_macro_declaration", "macro m(1a)\nendmacro\n"),
    (3, "macro_wrong_min_params", "org $008000\nmacro m(a,...)\nendmacro\n%m()\n"),
    (2, "invalid_macro_param_name", "org $008000\nmacro m(...)\ndb <0>\nendmacro\n%m(1)\n"),
    (2, "unclosed_vararg", "org $008000\nmacro m(...)\ndb <...[0>\nendmacro\n%m(1)\n"),
    (2, "macro_not_varadic", "org $008000\nmacro m(a)\ndb <...[0]>\nendmacro\n%m(1)\n"),
    (2, "macro_not_varadic", "org $008000\nmacro m(a)\ndb sizeof(...)\nendmacro\n%m(1)\n"),
    (1, "invalid_depth_resolve", "org $008000\ndb !^x\n"),
    (2, "recursion_limit", "org $008000\nmacro m()\n\n%m()\nendmacro\n%m()\n"),
    (3, "invalid_depth_resolve", "org $008000\nmacro o()\nmacro i(b)\ndb <^^b>\nendmacro\nendmacro\n%o()\n"),
    (1, "vararg_sizeof_nomacro", "org $008000\ndb sizeof(...)\n"),
    (1, "label_forward", "org $008000\nC = D\nD:\n"),
    (2, "misplaced_endif", "org $008000\nif 1\nendwhile\nendif\n"),
    (1, "function_redefined", "function f(a) = a\nfunction f(b) = b\n"),
    (0, "duplicate_param_name", "function f(a,A) = 1\n"),
    (0, "invalid_param_name", "function f() = 1\n"),
    (0, "invalid_function_name", "function 1f(a) = 1\n"),
    (1, "label_before_if", "org $008000\nA: if 1\n"),
    (1, "broken_command", "org $008000\nif\nendif\n"),
    (1, "bad_single_line_for", "org $008000\nnop : for i = 0..3 : nop : endfor\n"),
    (2, "label_in_conditional", "org $008000\nA:\nif A == 1\nendif\n"),
    (1, "assertion_failed", "org $008000\nassert A==$8000, \"no\"\nnop\nA:\n"),
    (1, "unknown_variable", "org $008000\nprint asdf\n"),
    (1, "wrong_num_parameters", "org $008000\nprint hex(1,2,3)\n"),
    (1, "error_command", "org $008000\nerror\n"),
    (1, "pullwarnings_without_pushwarnings", "org $008000\nwarnings pull\n"),
    (1, "broken_command", "org $008000\nwarnings foo\n"),
    (1, "invalid_check", "org $008000\ncheck bankcross on\n"),
    (1, "bad_dp_optimize", "org $008000\noptimize dp foo\n"),
    (1, "bad_address_optimize", "org $008000\noptimize address x\n"),
    (1, "snes_address_out_of_bounds", "org $008000\nbank $100\n"),
    (1, "bad_dp_base", "org $008000\ndpbase $12\n"),
    (1, "broken_command", "org $008000\narch foo\n"),
    (1, "invalid_namespace_use", "org $008000\nnamespace a b\n"),
    (1, "missing_struct_params", "org $008000\nstruct\n"),
    (1, "missing_extends", "org $008000\nstruct A foo B\n"),
    (1, "struct_not_found", "org $008000\nstruct A extends B\n"),
    (3, "struct_redefined", "org $008000\nstruct A $7E0000\nendstruct\nstruct A $7E0000\nendstruct\n"),
    (1, "spcblock_too_few_args", "org $008000\nspcblock\n"),
    (1, "unknown_spcblock_type", "org $008000\nspcblock $500 foo\n"),
    (2, "feature_unavaliable_in_spcblock", "org $008000\nspcblock $500\norg $8000\nendspcblock\n"),
    (1, "base_label_invalid", "org $008000\nbase A\nA:\n"),
    (0, "missing_org", "nop\n"),
    (0, "missing_org", "A:\n"),
    (1, "missing_org", "A: nop\ndb 1\ndb 2\n"),
    (2, "missing_org", "db 1\norg\ndb 2\n"),
    (1, "pullpc_without_pushpc", "pushpc\npullpc\n"),
    (1, "function_not_found", "org $008000\ndb f(1)\nfunction f(a) = a\n"),
    (2, "function_not_found", "org $008000\nfunction g(a) = f(a)\nassert g(1)\nfunction f(a) = a\n"),
    (3, "recursion_limit", "org $008000\n!a = !b\n!b = !a\ndb !a\n"),
    (3, "recursion_limit", "org $008000\n!a = 1\nmacro m()\ndb !a\n%m()\nendmacro\n%m()\n"),
    (1, "invalid_alignment", "org $008000\nskip align 3\n"),
    (1, "alignment_too_small", "org $008000\nskip align 0\n"),
    (1, "alignment_too_big", "org $008000\nskip align $1000000\n"),
    (1, "no_labels_here", "org $008000\nfill A\nA:\n"),
    (1, "platform_paths", "org $008000\nincsrc \"a\\b\"\n"),
    (1, "broken_incbin", "org $008000\nincbin \"x\":1-2\n"),
    (1, "file_not_found", "org $008000\nincbin \"nofile\"\n"),
    (1, "broken_define_declaration", "org $008000\n!a = b c\n"),
    (1, "define_not_found", "org $008000\n!a += 1\n"),
    (1, "overriding_builtin_define", "org $008000\n!assembler = 1\n"),
    (1, "mismatched_braces", "org $008000\ndb !{a\n"),
    (4, "mismatched_quotes", "org $008000\n!q = '\"'\n!w = \"db !z\"\"\"\n!z = 1\n!w\n"),
    (1, "unclosed_block_comment", "org $008000\nnop ;[[ x\nnop\n"),
    (1, "mismatched_quotes", "org $008000\ndb \"abc\nnop\n"),
    (1, "invalid_mapper", "org $008000\nsa1rom 1,2\n"),
    (2, "start_of_file", "org $008000\nnop\nasar 2.00\n"),
    (1, "start_of_file", "org $008000\nasar 2\n"),
    (1, "start_of_file", "org $008000\nasar 3.00\n"),
    (1, "bad_addr_mode", "org $008000\nrep 3 : nop\n"),
    (1, "unknown_command", "org $008000\nwarnpc $9000\n"),
    (1, "unknown_command", "org $008000\nmath pri on\n"),
    (1, "unknown_command", "org $008000\ntable \"x\"\n"),
    (1, "unknown_variable", "org $008000\nreset foo\n"),
    (1, "prot_not_at_freespace_start", "org $008000\nprot A\nA:\n"),
    (1, "invalid_freespace_request", "org $008000\nfreecode foo\n"),
    (1, "invalid_freespace_request", "org $008000\nsegment cleaned\n"),
    (1, "bad_addr_mode", "org $008000\nautoclean lda.w A\nA:\n"),
    (1, "unknown_command", "org $008000\nglobal a: nop\n"),
    (1, "macro_label_outside_of_macro", "org $008000\n?a:\n"),
    (1, "label_missing_parent", "org $008000\n..a\n"),
    (1, "oob", "org $008000\ndb char(\"abc\",5)\n"),
    (1, "function_not_found", "org $008000\ndb nofunc(1)\n"),
    (1, "function_not_found", "org $008000\ndb _max(1,2)\n"),
    (1, "unknown_operator", "org $008000\ndb 1 2\n"),
    (1, "broken_for_loop", "org $008000\nfor i\nendfor\n"),
    (2, "elseif_in_while", "org $008000\nwhile 0\nelseif 1\nendwhile\n"),
    (4, "unclosed_if", "org $008000\nmacro m()\nif 1\nendmacro\n%m()\n"),
]
OPENERS = [     # 2.0 has these without a line: ours are where the thing was opened
    ("warnings push", "pushwarnings_without_pullwarnings"), ("pushpc", "pushpc_without_pullpc"),
    ("if 1 : db 1", "unclosed_if"), ("macro m()", "unclosed_macro"), ("pushns", "pushns_without_pullns"),
    ("struct A $7E0000", "struct_without_endstruct"), ("spcblock $500", "missing_endspcblock"),
]


@pytest.mark.parametrize(("row", "code", "text"), BAD)
def test_errors(row: int, code: str, text: str) -> None:
    assert (row, code) in errors(expand(text))


@pytest.mark.parametrize(("row", "code", "text"), BAD)
def test_the_real_2_0_has_these_errors(row: int, code: str, text: str) -> None:
    assert (row, "E" + code) in {(error.line, error.name) for error in real(text).errors}


@pytest.mark.parametrize(("text", "code"), OPENERS)
def test_what_is_not_closed(text: str, code: str) -> None:
    found = [one for _, one in errors(expand(f"org $008000\nnop\n{text}\n"))]
    assert found == [code]


def test_a_file_that_is_no_utf_8() -> None:
    assert errors(expand(b"org $008000\ndb \"\xff\"\n")) == [(0, "invalid_utf8")]


def test_only_the_first_file_may_say_that_it_is_included() -> None:
    assert errors(expand("include\norg $008000\n")) == [(0, "cant_be_main_file")]
    assert errors(expand('org $008000\nincsrc "a.asm"\n', a__asm="include\nnop\n")) == []


def test_what_lies_in_freespace_has_no_place() -> None:
    expansion = expand("org $008000\nautoclean jsl Far\nfreecode bank=$10\nprot Far\nFar: lda Far : rtl\n")
    assert errors(expansion) == []
    assert expansion.labels["Far"].value is None
    assert ours_known(expansion) == {0: 0x22}


def test_a_thousand_levels_of_macros() -> None:
    """1.91 stops at 250, 2.0 at 5,000."""
    text = "org $008000\nmacro m(n)\nL<n>: db 1\nif <n> < 1000\n!n #= <n>+1\n%m(!n)\nendif\nendmacro\n%m(1)\n"
    assert errors(expand(text)) == []
    assert expand(text).labels["L1000"].value == 0x8000 + 999
    assert len(expand(text).labels["L1000"].calls) == 250       # the nearest ones


@pytest.mark.parametrize("levels", [4998, 4999])
def test_defines_in_defines(levels: int) -> None:
    text = "org $008000\n!a0 = 1\n" + "".join(f"!a{n + 1} = !a{n}\n" for n in range(levels)) + f"db !a{levels}\n"
    expansion = expand(text)
    if levels < 4999:
        assert ours(expansion) == {0: 1}
    else:
        assert errors(expansion) == [(levels + 2, "recursion_limit")]
    assert real(text).ok == (levels < 4999)


def test_a_while_that_endif_closes() -> None:
    """2.0 keeps it in its table of loops, and the next `if` of that depth goes on at its line: in whatever file, here
    over two labels. That is not repeated: the `while` is named instead."""
    loop = "\n" * 9 + "while !i < 1\n!i #= !i+1\nnop\nendif\n"
    text = 'org $008000\n!i = 0\nif 1\nincsrc "a.asm"\nendif\nnop\nif 1\nA:\nB:\nC:\nendif\n'
    expansion = expand(text, a__asm=loop)
    assert errors(expansion) == [(9, "unclosed_if"), (12, "misplaced_endif")]
    assert expansion.values == dict.fromkeys("ABC", 0x8002)
    library = oracle.library(2)
    if library is not None:
        memory = {MAIN: text.encode(), "/a.asm": loop.encode()}
        assert oracle.assemble(MAIN, library=library, memory=memory).named.keys() == {"C"}


def test_what_is_behind_the_missing_org() -> None:
    """Nothing is written and no label made until there is one."""
    text = "A:\nnop\nB: db 1\norg $008000\nB: nop\n"
    expansion = expand(text)
    assert errors(expansion) == [(row, "missing_org") for row in range(3)]
    assert expansion.values == real(text).named == {"B": 0x8000}


def test_an_edit_of_a_function_that_a_condition_asks() -> None:
    texts = {MAIN: "function f(a) = a\norg $008000\nif f(1) == 1\nA: nop\nendif\n"}
    live = Live(Root(MAIN, Dialect.ASAR_2), lambda path: texts[path].encode())
    assert "A" in live.expansion.labels
    texts[MAIN] = texts[MAIN].replace("= a\n", "= a+1\n")
    live.changed([MAIN])
    assert "A" not in live.expansion.labels


def test_after_an_edit_a_label_further_down_is_as_far_away_as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nayru_lsp.asm.following.BORDER", 4)
    texts = {MAIN: "org $008000\n" + "nop\n" * 8 + "D = L\n" + "nop\n" * 20 + "L:\n"}
    live = Live(Root(MAIN, Dialect.ASAR_2), lambda path: texts[path].encode())
    assert errors(live.expansion) == [(9, "label_forward")]
    texts[MAIN] = texts[MAIN].replace("D = L", "!x = 1\nD = L")
    live.changed([MAIN])
    assert errors(live.expansion) == [(10, "label_forward")]
    assert "D" not in live.expansion.labels


def test_after_an_edit_what_is_wrong_with_a_whole_file_is_found() -> None:
    texts = {MAIN: "org $008000\nnop\nrts\n"}
    live = Live(Root(MAIN, Dialect.ASAR_2), lambda path: texts[path].encode())
    for text, found in (("nop ;[[", ["unclosed_block_comment"]), ('db "', ["mismatched_quotes"]), ("nop", [])):
        texts[MAIN] = f"org $008000\n{text}\nrts\n"
        live.changed([MAIN])
        assert errors(live.expansion) == [(1, code) for code in found]


def ours_known(expansion: Expansion) -> dict[int, int]:
    return {write.rom + at: byte for write in expansion.writes if write.rom is not None and write.data is not None
            for at, byte in enumerate(write.data)}


def real(text: str) -> oracle.Assembled:
    library = oracle.library(2)
    if library is None:
        pytest.skip("no library of Asar 2.0: set NAYRU_ASAR_2")
    return oracle.assemble(MAIN, library=library, memory={MAIN: text.encode()})
