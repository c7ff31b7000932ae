from __future__ import annotations

import os
from collections import Counter
from itertools import accumulate
from pathlib import Path
from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nayru_lsp.asm import Dialect, SourceText, Span, parse_line, parse_text
from nayru_lsp.asm.checks import check_file
from nayru_lsp.asm.project import Project
from nayru_lsp.asm.syntax import Instruction, Opaque, OpaqueExpr, OperandShape, Statement
from nayru_lsp.asm.text import BLOCK_LINES
from tests.kit import REPOSITORY, missing, required

PATH = "/ws/main.asm"


def shape(text: str, dialect: Dialect = Dialect.ASAR_1) -> str:
    """The statements of one line as short text."""
    line = parse_line(text, dialect)
    return " | ".join(one(text, statement) for statement in line.statements)


def one(text: str, s: Statement) -> str:
    name = type(s).__name__
    match s:
        case Instruction():
            suffix = "." + s.suffix if s.suffix else ""
            return f"{s.mnemonic}{suffix} {s.operand.shape.value if s.operand else '-'}"
        case Opaque():
            return f"opaque{'!' if s.expandable else ''}"
    return f"{name.lower()} {getattr(s, 'name', '')}"


@pytest.mark.parametrize(("text", "wanted"), [
    ("Main:", "label Main"),
    ("Main: LDA #$12", "label Main | LDA #e"),
    ("nop: nop", "label nop | NOP -"),
    (".sub", "label .sub"),
    (".sub: STA $10,x", "label .sub | STA e,X"),
    ("..deep", "label ..deep"),
    ("#Name: RTS", "label Name | RTS -"),
    ("+ LDA ($12),y", "label + | LDA (e),Y"),
    ("--: BRA -", "label -- | BRA e"),
    ("?loop: BNE ?loop", "label ?loop | BNE e"),
    ("Name = $7E0010", "assignment Name"),
    ("!x = $10", "define x"),
    ("!{x} += 5", "define x"),
    ("!x ?= \"a b\"", "define x"),
    ("%call(1, \"a,b\", (2,3))", "macrocall call"),
    ("LDA.w $10 : STA $12 : RTS", "LDA.w e | STA e | RTS -"),
    ("lda [$10],Y", "LDA [e],Y"),
    ("LDA $03,s", "LDA e,S"),
    ("LDA ($03,s),y", "LDA (e,S),Y"),
    ("JMP ($1234,X)", "JMP (e,X)"),
    ("JML [$1234]", "JML [e]"),
    ("MVN $7E, $7F", "MVN e,e"),
    ("ASL A", "ASL A"),
    ("LDA (1)+2", "LDA e"),
    ("REP #$30", "REP #e"),
    ("rep 5 : nop", "directive rep | NOP -"),
    ("LDA !x", "LDA ?"),
    ("!call arg", "opaque!"),
    ("<arg>_loop:", "opaque!"),
    ("LDA #<value>", "LDA ?"),
    ("LDA <value>,x", "LDA ?"),
    ("db 1,2,$FF", "directive db"),
    ("db \"a;b\", 'c' ; text", "directive db"),
    ("org $008000", "directive org"),
    ("incsrc \"a.asm\"", "directive incsrc"),
    ("if !x == 1 : nop : endif", "directive if | NOP - | directive endif"),
    ("{", "directive {"),
    ("FROBNICATE $10", "opaque"),
    ("", ""),
    ("; only a comment", ""),
])
def test_statements(text: str, wanted: str) -> None:
    assert shape(text) == wanted


def test_joined_lines_and_block_comments() -> None:
    text = "db 1,\n\n   2,; c\n   3\nLDA #\\\n$10\nRTS\n"
    file = parse_text(PATH, SourceText.of(text))
    assert [line.rows for _, line in file.lines()] == [4, 2, 1]
    two = parse_text(PATH, SourceText.of("LDA $10 ;[[ a\n b ]]\nRTS\n"), Dialect.ASAR_2)
    assert [line.rows for _, line in two.lines()] == [2, 1]


def test_an_unclosed_quote_is_a_defect_only_where_nothing_could_close_it() -> None:
    assert parse_line('db "abc').defect is not None
    assert parse_line('db "abc!q').defect is None
    assert parse_line("LDA ($10").defect is not None
    assert parse_line('db "a""b"').defect is None


SNIPPETS = st.sampled_from([
    "Main:", ".sub", "..deep", "+", "--", "LDA #$10", "STA.w Main_sub,X", "!x = 5", "!x", "!{x", "%m(1,",
    "%m(a)", "macro m(a)", "endmacro", "if 1", "endif", "while 0", "<a>", '"', "'", "'x'", ";", ";[[", "]]", ",",
    "\\", ":", " : ",
    "\n", "\r\n", "\r", "\t", "\x00", "\f", "é", 'incsrc "b.asm"', "namespace N", "namespace off", "struct S",
    "endstruct", "((((", "))", "org $8000", "lorom", "arch spc700", "db 1,2", "$", "#", "REP #$30", "SEP #$20", "PHP",
    "PLP", "JSR Main", "BRA .sub"])
DOCUMENT = st.lists(SNIPPETS | st.text(max_size=4), max_size=40).map(" ".join)


@settings(max_examples=300, deadline=None)
@given(DOCUMENT, st.sampled_from(list(Dialect)))
def test_any_text_parses_and_joins_again(text: str, dialect: Dialect) -> None:
    file = parse_text(PATH, SourceText.of(text), dialect)
    assert "".join(line.raw for _, line in file.lines()) == text
    for at, line in file.lines():
        for statement in line.statements:
            assert 0 <= statement.start <= statement.end <= len(line.raw)
        assert file.line_at(at)[0] == at or not line.raw
    check_file(Project().with_file(file), file)
    assert all(text[s.name_span.start : s.name_span.end] for s in file.symbols)
    assert list(file.references) is not None


@settings(max_examples=200, deadline=None)
@given(DOCUMENT, st.lists(st.tuples(st.floats(0, 1), st.integers(0, 6), SNIPPETS | st.just("")), max_size=6),
       st.sampled_from([BLOCK_LINES, 6]), st.booleans())
def test_incremental_equals_fresh(text: str, edits: list[tuple[float, int, str]], rows: int, together: bool) -> None:
    with mock.patch("nayru_lsp.asm.text.BLOCK_LINES", rows):
        source = SourceText.of("\nLDA $10\n" * 30 + text + "\nLDA $10\n" * 300)
        file = parse_text(PATH, source)
        project = Project().with_file(file)
        for number, (where, length, new) in enumerate(edits):
            start = int(where * source.length)
            source = source.replace(Span(start, start + length), new)
            if not together or number == len(edits) - 1:    # several edits come in one message
                file = parse_text(PATH, source, previous=file)
                project = project.with_file(file)
        fresh = parse_text(PATH, SourceText.of(str(source)))
    assert [line for _, line in file.lines()] == [line for _, line in fresh.lines()]
    lines = fresh.text.line_count
    assert [source.line_start(row) for row in range(lines)] == [fresh.text.line_start(row) for row in range(lines)]
    assert [start for start, _, _ in file.outlines] == [*accumulate([b.length for b in file.blocks], initial=0)][:-1]
    assert file.symbols == fresh.symbols
    assert file.references == fresh.references
    clean = Project().with_file(fresh)
    names = [{name: set(one._names.get(name)) for name in one.names()} for one in (project, clean)]
    assert names[0] == names[1]
    blocks = Counter(name for _, _, outline in file.outlines for name in outline.names)
    assert {name: len(project._names.get(name)) for name in project.names()} == blocks
    assert check_file(project, file) == check_file(clean, fresh)


@pytest.mark.parametrize("text", [
    "LDA " + "(" * 100_000, "db " + "-" * 100_000 + "1", "db " + "1," * 500_000 + "1", '"' * 100_001, "x" * 3_000_000,
    "a : " * 200_000, "!{" * 50_000, "%m(" * 50_000, "\x00" * 1000, "<" * 100_000, "LDA $" + "F" * 100_000,
    "db '" * 10_000,
])
def test_monsters_are_bounded(text: str) -> None:
    file = parse_text(PATH, SourceText.of(text))
    assert "".join(line.raw for _, line in file.lines()) == text
    check_file(Project().with_file(file), file)


OWN_SOURCES = sorted((REPOSITORY / "nayru_lsp").rglob("*.asm"))


@pytest.mark.parametrize("path", OWN_SOURCES, ids=lambda path: path.stem)
@pytest.mark.parametrize("dialect", list(Dialect))
def test_every_prefix_of_our_own_sources_parses(path: Path, dialect: Dialect) -> None:
    text = path.read_text(encoding="utf-8")[:3000]
    source = SourceText.of("")
    file = parse_text(PATH, source, dialect)
    for end in range(0, len(text), 3):
        source = source.replace(Span(source.length, source.length), text[source.length : end])
        file = parse_text(PATH, source, dialect, previous=file)
        assert "".join(line.raw for _, line in file.lines()) == text[:end]
        assert isinstance(check_file(Project().with_file(file), file), tuple)
        assert file.line_at(end)[0] <= end


def test_corpora_rejoin_without_own_errors() -> None:
    """Local copies of public projects: every file joins again byte for byte, opaque lines are few, and none of our own
    problems is raised (they assemble)."""
    folder = os.environ.get("NAYRU_CORPUS")
    if not folder:
        if required("corpus"):
            missing("corpus", "NAYRU_CORPUS is not set")
        pytest.skip("NAYRU_CORPUS names no folder with local copies of public projects")
    for root in sorted(path for path in Path(folder).iterdir() if path.is_dir()):
        files = []
        lines = opaque = 0
        for path in sorted(root.rglob("*.[aA][sS][mM]")):
            raw = path.read_bytes()
            text = raw.decode("utf-8", "surrogateescape")
            file = parse_text(path.as_posix(), SourceText.of(text))
            assert "".join(line.raw for _, line in file.lines()).encode("utf-8", "surrogateescape") == raw
            files.append(file)
            for _, line in file.lines():
                lines += line.rows
                opaque += any(unknown(statement) for statement in line.statements)
        project = Project().with_files(files)
        problems = [problem for file in files for problem in check_file(project, file)]
        print(f"{root.name}: {len(files)} files, {lines} lines, {opaque / max(1, lines):.2%} opaque, "
              f"{len(problems)} own problems")
        if root.name in ("SMWDisX", "DKC2-disassembly", "sm_disassembly", "Oracle-of-Secrets"):
            assert problems == []
            assert opaque / lines <= 0.05


def unknown(statement: Statement) -> bool:
    if isinstance(statement, Opaque):
        return True
    return isinstance(statement, Instruction) and statement.operand is not None \
        and statement.operand.shape is OperandShape.OPAQUE and not (
            isinstance(statement.operand.value, OpaqueExpr) and statement.operand.value.expandable)
