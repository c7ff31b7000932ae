from __future__ import annotations

from functools import partial

from hypothesis import given
from hypothesis import strategies as st

from nayru_lsp.asm import SourceText, parse_line, parse_text
from nayru_lsp.asm.file import HELD
from nayru_lsp.asm.flow import WidthState, routine_states, widths_before
from nayru_lsp.asm.lexer import logical_lines
from nayru_lsp.asm.project import Project, Root
from nayru_lsp.asm.records import BlockIndex, Scope
from nayru_lsp.asm.symbols import _SymbolReader as SymbolReader
from nayru_lsp.asm.symbols import interesting
from tests.kit import project_of, read_fixture


def names(text: str) -> list[str]:
    file = parse_text("/ws/a.asm", SourceText.of(text))
    return [f"{symbol.kind} {symbol.name}" for symbol in file.symbols]


def test_symbols_of_all_kinds() -> None:
    assert names("""
Main:           ; does things
.sub
..deep:
#Other:
.more
-   BRA -
Value = $7E0010
!define = $10
macro thing(a, b)
Inner:
endmacro
function double(x) = x*2
struct Enemy $7E0020
.x: skip 2
endstruct
namespace Boss
Fight:
.phase
namespace off
global Free:
""") == [
        "label Main", "sub label Main_sub", "sub label Main_sub_deep", "label Other", "sub label Main_more",
        "relative label -", "assignment Value", "define !define", "macro %thing", "function double()", "struct Enemy",
        "sub label Enemy.x", "label Boss_Fight", "sub label Boss_Fight_phase", "label Free"]


def test_symbol_details() -> None:
    file = parse_text("/ws/a.asm", SourceText.of(
        "; Waits.\n; For ever.\nMain: NOP\nX = $7E0010 ; position\n!a = %101\n"))
    main, x, a = file.symbols
    assert (main.doc, x.doc, x.value, x.detail, a.value) == ("Waits.\nFor ever.", "position", 0x7E0010, "$7E0010", 5)
    assert file.text.slice(*main.name_span) == "Main" and file.text.slice(*a.name_span) == "!a"


FIXTURE = read_fixture("""
;- main.asm
lorom
org $008000
incsrc "sub/b.asm"
namespace N
Main:
    JSR Helper
    JSR Local
.loop
    BRA .loop
Local: RTS
namespace off
    JSR N_Local
;- sub/b.asm
incsrc "c.asm"
Helper: RTS
;- sub/c.asm
Third: RTS
;- lonely.asm
Alone: RTS
""")


def test_include_graph_roots_and_references() -> None:
    project = project_of(FIXTURE)
    assert [root.path for root in project.roots] == ["/ws/main.asm"]
    assert [root.path for root in project.roots_of("/ws/sub/c.asm")] == ["/ws/main.asm"]
    assert project.roots_of("/ws/lonely.asm") == ()
    assert project.includers("/ws/sub/c.asm") == ("/ws/sub/b.asm",)
    assert project.resolve_include("/ws/main.asm", "sub\\b.asm") == "/ws/sub/b.asm"
    assert project.complete("/ws/sub/c.asm") and not project.complete("/ws/lonely.asm")
    text = FIXTURE.files["/ws/main.asm"]
    found = project.references("N_Local")
    assert [text[ref.span.start : ref.span.end] for ref in found] == ["Local", "N_Local"]
    assert [ref.path for ref in project.references("Helper")] == ["/ws/main.asm"]
    loop = next(ref for ref in project.files["/ws/main.asm"].references if ref.kind == "sub label")
    assert [symbol.name for symbol in project.resolve(loop)] == ["N_Main_loop"]


def test_include_paths_of_a_configured_root() -> None:
    project = project_of(read_fixture(";- main.asm\nincsrc \"b.asm\"\n;- lib/b.asm\nB: RTS\n"))
    assert project.resolve_include("/ws/main.asm", "b.asm") is None
    rooted = project.with_roots([Root("/ws/main.asm", include_paths=("/ws/lib",))])
    assert rooted.resolve_include("/ws/main.asm", "b.asm") == "/ws/lib/b.asm"
    assert rooted.complete("/ws/lib/b.asm")


def test_tables_follow_edits_and_removals() -> None:
    project = project_of(FIXTURE)
    new = parse_text("/ws/sub/c.asm", SourceText.of("Fourth: RTS\n"))
    after = project.with_file(new)
    assert after.defined("Fourth") and not after.defined("Third") and project.defined("Third")
    gone = after.without_file("/ws/sub/b.asm")
    assert not gone.defined("Helper") and not gone.complete("/ws/main.asm")
    assert {root.path for root in gone.roots} == {"/ws/main.asm"}


def test_recursive_includes_end() -> None:
    project = project_of(read_fixture(
        ";- a.asm\norg $8000\nincsrc \"b.asm\"\n;- b.asm\nincsrc \"a.asm\"\nincsrc \"b.asm\"\n"))
    assert project.roots == () and project.roots_of("/ws/b.asm") == ()
    rooted = project.with_roots([Root("/ws/a.asm")])
    assert rooted.roots_of("/ws/b.asm")


def state(text: str) -> WidthState:
    at = text.index("<|>")
    return widths_before(parse_text("/ws/a.asm", SourceText.of(text.replace("<|>", ""))), at)


def test_width_state() -> None:
    assert state("Main:\n<|>  NOP\n") == WidthState(None, None, None)
    assert state("Main:\n  SEP #$20\n<|>  NOP\n").m == 8
    assert state("Main:\n  REP #$30\n  SEP #$10\n<|>\n") == WidthState(16, 8, None)
    assert state("Main:\n  SEP #$20\n  PHP\n  REP #$20\n  PLP\n<|>\n").m == 8
    assert state("Main:\n  SEP #$20\n  PLP\n<|>\n").m is None
    assert state("Main:\n  SEP #$20\n  JSR Far\n<|>\n").m is None
    assert state("Main:\n  SEP #$20\n  JSR Keep\n<|>\nKeep:\n  LDA $10\n  RTS\n").m == 8
    assert state("Main:\n  SEP #$20\n  JSR Wide\n<|>\nWide:\n  REP #$20\n  RTS\n").m is None
    assert state("Main:\n  SEP #$20\n.loop\n  DEX\n  BNE .loop\n<|>\n").m == 8
    assert state("Main:\n  SEP #$20\n.loop\n<|>  REP #$20\n  BNE .loop\n").m is None
    assert state("Main:\n  SEP #$20\n  %m()\n<|>\n").m is None
    assert state("Main:\n  SEP #!mask\n<|>\n").m is None
    assert state("Main:\n  SEP #$20\nif 1\n  REP #$20\nelse\n  NOP\nendif\n<|>\n").m is None
    assert state("Main:\n  SEP #$20\nif 1\n  NOP\nendif\n<|>\n").m == 8
    assert state("Main:\n  SEP #$20\n  RTS\nNext:\n<|>\n").m is None


def test_project_starts_empty() -> None:
    assert Project().roots == () and list(Project().names()) == [] and Project().may_be_made("X") is False


def test_mentions_in_macro_arguments_and_unexpanded_operands() -> None:
    project = project_of(read_fixture("""
;- main.asm
org $008000
Main:
.part
    %jump(Main, .part, "Main")
    LDA.w Main+!offset,X
    autoclean JSL Main
    dl <:Main, (Main>>8)+1
    LDA !Main
    LDA #Main_<x>
"""))
    text = str(project.files["/ws/main.asm"].text)
    assert len(project.references("Main")) == 5
    assert [text[ref.span.start : ref.span.end] for ref in project.references("Main_part")] == [".part"]


@given(st.sampled_from(["LDA", "  rep", "STA.w", "db", "foo", "mov", "org", " asl", "\tinc.l", "if"]),
       st.text(alphabet="ax$#(),:!<>=;. +-%\t\"", max_size=8), st.sampled_from(["\n", "\r\n", "", " ; c\n"]))
def test_the_quick_reading_of_plain_lines_agrees_with_the_parser(word: str, rest: str, end: str) -> None:
    text = f"Main:\n{word} {rest}{end}\nBehind:\n"
    whole = parse_text("/ws/a.asm", SourceText.of(text))
    (index,) = (index for _, _, index in whole.indexes)
    slow = _slow_index(logical_lines(text))
    assert (index.symbols, index.makers, index.calls) == (slow.symbols, slow.makers, slow.calls)


def _slow_index(lines: list[str]) -> BlockIndex:
    """The index with every line parsed."""
    reader = SymbolReader(Scope())
    at = 0
    for row, raw in enumerate(lines):
        if found := interesting(parse_line(raw)):
            reader.read(raw, at, found, lines, row)
        at += len(raw)
    index = BlockIndex(Scope(), Scope(), symbols=tuple(reader.symbols))
    reader.fill(index)
    return index


def test_asar_may_have_been_started_in_a_folder_above() -> None:
    files = [parse_text(path, SourceText.of(text)) for path, text in {
        "/ws/main.asm": "org $008000\nincsrc \"music/all.asm\"\n", "/ws/music/all.asm": "incsrc \"core/notes.asm\"\n",
        "/ws/core/notes.asm": "Note:\n"}.items()]
    project = Project().with_files(files)
    assert project.resolve_include("/ws/music/all.asm", "core/notes.asm") == "/ws/core/notes.asm"
    assert project.complete("/ws/core/notes.asm")


def test_what_only_looks_like_a_root_is_not_complete() -> None:
    main = parse_text("/ws/main.asm", SourceText.of("org $008000\nincsrc \"a.asm\"\n"))
    part = parse_text("/ws/a.asm", SourceText.of("A:\n"))
    other = parse_text("/ws/unused.asm", SourceText.of("org $018000\nJSL Elsewhere\n"))
    project = Project().with_files([main, part, other])
    assert project.complete("/ws/a.asm") and not project.complete("/ws/unused.asm")
    assert project.with_roots([Root("/ws/unused.asm")]).complete("/ws/unused.asm")


def test_a_key_copies_of_the_table_of_names_only_what_it_touches() -> None:
    text = "".join(f"Label{number}:\n" for number in range(5_000))
    file = parse_text("/ws/a.asm", SourceText.of(text))
    other = parse_text("/ws/b.asm", SourceText.of("Label7:\nMine:\n"))
    before = Project().with_files([file, other])
    after = before.with_file(parse_text("/ws/a.asm", SourceText.of(text.replace("Label7:", "Label_7:")), previous=file))
    assert sum(one is not two for one, two in zip(before._names._parts, after._names._parts, strict=True)) <= 2
    assert set(before.names()) ^ set(after.names()) == {"Label_7"}
    assert [len(one.definitions("Label7")) for one in (before, after, after.without_file("/ws/b.asm"))] == [2, 1, 0]
    assert not after.without_file("/ws/b.asm").defined("Mine")


def _mentioned(project: Project, number: int, name: str) -> bool:
    return project.mentions(f"{name}{number}", "/ws/b.asm")


def test_what_blocks_keep_of_searches_is_bounded() -> None:
    """A key asks for the sub labels around it, in every block of the project, all day long."""
    files = [parse_text(f"/ws/{name}.asm", SourceText.of(f"{name}:\n JMP {name}_sub7\n.sub7\n NOP\n")) for name in "ab"]
    project = Project().with_files(files)
    for number in range(5 * HELD):
        assert project.mentions(f"a_sub{number}", "/ws/b.asm") is (number == 7)
        assert routine_states(files[1], 3, partial(_mentioned, project, number))
    for block in (block for file in files for block in file.blocks):
        assert len(block._held) <= HELD and len(block.notes) <= 20
    assert project.mentions("a_sub7", "/ws/b.asm") and not project.mentions("a_sub8", "/ws/b.asm")
