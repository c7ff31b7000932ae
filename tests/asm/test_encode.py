from __future__ import annotations

import pytest

from nayru_lsp.asm.encode import encode, literal_width, select, size_of
from nayru_lsp.asm.flow import WidthState
from nayru_lsp.asm.isa import OPCODES
from nayru_lsp.asm.parser import parse_line
from nayru_lsp.asm.syntax import Expr, Instruction, OperandShape

UNKNOWN = WidthState()


def read(text: str) -> Instruction:
    (statement,) = parse_line(text).statements
    assert isinstance(statement, Instruction)
    return statement


def value_of(text: str) -> Expr:
    operand = read(f"lda {text}").operand
    assert operand is not None and operand.value is not None
    return operand.value


@pytest.mark.parametrize("text, width", [
    ("$1", 1), ("$12", 1), ("$012", 2), ("$1234", 2), ("$12345", 3), ("$123456789", 3), ("255", 1), ("256", 2),
    ("65536", 3), ("%101", 1), ("%101010101", 2), ("'a'", 1), ("$12+$1234", 2), ("-1", 1), ("~$1234", 2),
    ("label", None), ("label+1", None), ("!define", None), ("$!x", None),
])
def test_literal_width(text: str, width: int | None) -> None:
    assert literal_width(value_of(text)) == width


@pytest.mark.parametrize("text, size", [
    ("lda #$12", 2), ("lda #$1234", 3), ("lda.w #label", 3), ("lda #label", 3), ("lda #label>>16", 2),
    ("lda label", 3), ("lda.l label", 4), ("lda.b label", 2), ("jsr !routine", 3), ("jsl !routine", 4),
    ("bra !there", 2), ("lda.w !table", 3), ("lda.b !direct", 2), ("lda.l !table,x", 4), ("sta.l !ram", 4),
    ("lda !x", None), ("nop #4", 4), ("asl #$03", 3), ("nop #!n", None), ("lda.q $12", None), ("sta #$12", None),
    ("sep #$30", 2), ("mvn $7E,$7F", 3), ("rep #!flags", 2), ("pha", 1), ("brk", 2), ("jml [$1234]", 3),
])
def test_size(text: str, size: int | None) -> None:
    assert size_of(read(text), UNKNOWN) == size


def test_an_unexpanded_immediate_has_the_width_of_its_register() -> None:
    for text, state, size in (
            ("bit #!mask", UNKNOWN, None), ("bit #!mask", WidthState(8, 16), 2),
            ("lda #!value+1", WidthState(16, 8), 3), ("ldx #!value", WidthState(16, 8), 2),
            ("lda.w #!value", WidthState(8, 8), 3), ("and.b #!v", UNKNOWN, 2)):
        assert size_of(read(text), state) == size, text
        assert encode(read(text), lambda expr: None, None) is None


def test_a_label_in_another_bank_is_long() -> None:
    far = read("lda far")
    assert size_of(far, UNKNOWN, lambda expr: 0x7E0010, 0x008000) == 4
    assert size_of(far, UNKNOWN, lambda expr: 0x001234, 0x008000) == 3
    assert encode(far, lambda expr: 0x7E0010, None) is None, "the bank of the code is not known"
    assert encode(read("lda.l far"), lambda expr: 0x7E0010, None) == bytes.fromhex("af10007e")


def test_unknown_values_stay_unknown() -> None:
    for text in ("lda label", "bra label", "lda #label", "lda.w !x", "mvn here,there", "nop #count"):
        assert encode(read(text), lambda expr: None, 0x8000) is None


def test_branches() -> None:
    for target, data in ((0x8002, "8000"), (0x8081, "807f"), (0x7F82, "8080"), (0x8082, None), (0x7F81, None)):
        found = encode(read("bra there"), lambda expr, target=target: target, 0x8000)
        assert found == (bytes.fromhex(data) if data else None)


def test_select_is_total() -> None:
    assert select("FOO", OperandShape.PLAIN, "", 1) is None
    assert select("LDA", OperandShape.OPAQUE, "w", 2) is None
    assert select("LDA", OperandShape.PLAIN, "", None) is None
    assert select("JSR", OperandShape.PLAIN, "w", None) is OPCODES[0x20]
