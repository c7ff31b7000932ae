"""The quick outline of a block against its full index, and both against the labels that the real Asar finds."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nayru_lsp.asm import SourceText, parse_text
from nayru_lsp.asm.file import ParsedFile
from nayru_lsp.asm.lexer import logical_lines
from nayru_lsp.asm.mentions import mentioned
from nayru_lsp.asm.outline import arguments_of, outline_block
from nayru_lsp.asm.records import Outline, Scope
from nayru_lsp.asm.symbols import index_block
from nayru_lsp.asm.syntax import Dialect
from tests.kit import project_of, read_fixture
from tests.oracle import assemble, library


def told(outline: Outline) -> dict[str, object]:
    """What an outline and a full index must agree on."""
    calls = [(name, arguments_of(given) if isinstance(given, str) else given) for name, given in outline.calls]
    return {"exit": outline.exit, "names": set(outline.names), "includes": outline.includes, "makers": outline.makers,
            "calls": calls, "namespaces": outline.namespaces, "defines": outline.define_texts,
            "flags": (outline.foreign, outline.native, outline.starts_program)}


def agrees(text: str, dialect: Dialect, entry: Scope) -> ParsedFile:
    file = parse_text("/ws/a.asm", SourceText.of(text), dialect)
    for _, block, outline in file.outlines:
        index = block.index(outline.entry)
        assert told(outline) == told(index)
        for reference in block.references(index):
            written = re.findall(r"[A-Za-z_]\w*", block.text[slice(*reference.span)], re.ASCII)
            assert all(mentioned(block.text, word) for word in written), (text, reference)
    lines = logical_lines(text, dialect)
    assert told(outline_block(text, entry, dialect)) == told(index_block(lines, entry, dialect))
    return file


PARTS = st.sampled_from([
    "Main:", "Other: RTS", ".sub", "..deep:", ".sub: skip 2", "+", "-- BNE --", "#Here:", "#Here: NOP", "a.b:",
    "x = 5", "X = Main+1", "!d = Main", "!d += 1", "!d := \"a : b\"", "%m(a, Main)", "%m(\"x\", !d)",
    "%m(%n(1, 2), (3))", "%m()", "%m (1)", "%m(\\", "%n(Main),", "2)", "3,", "%m(a", "db Main,", "dw Bad, Face",
    "db \"a;b\", 'c' ; d", "db '\"' ; \"", "db \"a", "LDA Main,X", "LDA !d : STA Main", "JSR A : Main: RTS",
    "NOP : endif", "if x : nop", "if x : nop ; endif", "if 1", "endif", "macro m(a, b)", "<a>:", ".<a>", "<a>",
    "endmacro", "struct S $7E0000", "endstruct", "skip 2", "namespace N", "namespace nested on", "namespace off",
    "pushns", "pullns", "global G:", "arch spc700", "arch 65816", "mov a,b", "incsrc \"b.asm\"", "incbin c.bin:1-2",
    "org $8000", "lorom", "LDA  Main", "LDA\tMain", "LDA = 5", "LDA.l Main, X", "NOP : NOP", "STA Main : RTS : ",
    "STA Main :RTS", "db $10, 20", "db $10 ,", "db = 2", "LDA.xy 1", "X = f(1, 2)", "X = \"a\"", "X  =  5 : nop",
    ".sub: RTS : A:", "+ RTS", "- : B:", "\"%m(1)", "%m(\"a, b\", 2)", "%m(1) : nop", "%m(((((1)))))", "mov.b a",
    "freecode", "org.l 5", "while 1", "function f(a) = a+Main", "rep 5", "REP #$20", ";[[", "]]", "; text", "\\", ",",
    " ", "\t", "\f", "\xa0", ":", " : ", "Ünder:", "%é(1)", "!{d} = 1", "{", "}"])
ENTRIES = st.sampled_from([Scope(), Scope(main="Up"), Scope(main="Up", conditions=1), Scope(macro=1, macro_name="m"),
                           Scope(struct="S"), Scope(main="Up", namespace="N", sure=False), Scope(global_next=True)])


@settings(max_examples=int(os.environ.get("NAYRU_OUTLINES", "1000")), deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["", " ", "\t"]), PARTS, st.sampled_from(["", " ", " ; c", ","]),
                          st.sampled_from(["\n", "\n", "\r\n", "\r", " "])), max_size=14),
       st.sampled_from(list(Dialect)), ENTRIES)
def test_an_outline_agrees_with_the_full_index(parts: list[tuple[str, ...]], dialect: Dialect, entry: Scope) -> None:
    agrees("".join("".join(part) for part in parts), dialect, entry)


def test_outlines_of_real_projects_agree_with_the_full_index() -> None:
    """Every block of local copies of public projects, and of Asar's own test files."""
    folders = [Path(one) for one in (os.environ.get("NAYRU_CORPUS"), os.environ.get("NAYRU_ASAR_TESTS")) if one]
    if not folders:
        pytest.skip("NAYRU_CORPUS names no folder with local copies of public projects")
    count = 0
    for path in sorted(path for folder in folders for path in folder.rglob("*.[aA][sS][mM]")):
        file = parse_text(path.as_posix(), SourceText.of(path.read_bytes().decode("utf-8", "replace")))
        for _, block, outline in file.outlines:
            assert told(outline) == told(block.index(outline.entry)), path
            count += 1
        file.slim()
    assert count > 1


def test_mentions_are_found_in_whatever_form_and_not_in_comments() -> None:
    project = project_of(read_fixture(
        ";- main.asm\nFace:\nX: dw $10,Face\n.x: db X,Face ; Face\nlda X\nnamespace N\nY: jmp Y\nnamespace off\n"
        ";- other.asm\n jsr X_x ; Face\n jsr N_Y\n db \";\",Face\n"))
    for name, count in (("Face", 3), ("X", 2), ("X_x", 1), ("N_Y", 2)):
        assert len(project.references(name)) == count, name
    assert mentioned("; a\n b ; c\n", "b") and not mentioned("; a\n b ; c\n", "a")
    assert mentioned("X_b\r; b", "b") and not mentioned("b_X ; b\r b2 ; \"b", "b")


# Lines that are joined, or look as if they were; the labels that Asar has afterwards.
JOINED = [
    ("Main:, \f\nB:\n nop\n", "B"), ("Main: db 1,\n\f\nA:\nB:\n nop\n", "Main A B"),
    ("A: db 1,\n\n \t\nB:\nC:\n", "A C"), ("A: db 1\\\n,2\nB:\n", "A B"), ("A: db 1\\\f\nB:\n", "A B"),
    ("A: db 1\\\n\nB:\n", "A B"), ("A: db 1 \\\nB:\nC:\n", "A C"), ("A: db 1,\n2\\\nB:\n", "A B"),
    ("A: db 1,\n\\\nB:\n", "A B"), ("A: db 1,2\\\n,\n3\nB:\n", "A B"),
    ("A: db 1 ; \\\nB: db 1, ; c\n ; d\n 2\nC:\n", "A B C"), ("A: db 1,", "A"), ("A: nop \\", "A"),
    ("A:\nMain:\f\n.x\f\n\fB:\n\f\nC:\n", "A C"), ("A:\n\\\nB:\nC:\n", "A B C"),
    ("A: nop : \\\n\\\nB:\nC:\n", "A B C"), ("A: db 1 ;[[ x\n ]] \\\nB:\n", "A/A B"),
    ("A: db 1 ;[[ x\n ; ]] ,\nB:\nC:\n", "A B C/A C")]


@pytest.mark.parametrize(("text", "labels"), JOINED)
@pytest.mark.parametrize("dialect", list(Dialect))
def test_lines_are_joined_as_asar_joins_them(text: str, labels: str, dialect: Dialect, tmp_path: Path) -> None:
    asar = 1 if dialect is Dialect.ASAR_1 else 2
    expected = set((labels.split("/") * 2)[asar - 1].split())
    assert {symbol.name for symbol in agrees(text, dialect, Scope()).symbols} == expected
    found = library(asar)
    if found is not None:
        (tmp_path / "main.asm").write_text("org $008000\n" + text, encoding="utf-8", newline="")
        told_by_asar = assemble(str(tmp_path / "main.asm"), library=found)
        assert not told_by_asar.died and set(told_by_asar.named) == expected
