"""The session: our own text under every kind of edit, problems that move with the text."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lsprotocol import types

from nayru_lsp.asm.facts import FactTable
from nayru_lsp.asm.parser import parse_text
from nayru_lsp.asm.problem import Fix, Problem, Related, Severity
from nayru_lsp.asm.syntax import Dialect
from nayru_lsp.asm.text import SourceText, Span
from nayru_lsp.config import Config, ProjectConfig
from nayru_lsp.convert import ENCODINGS
from nayru_lsp.session import ProblemStore, Session
from nayru_lsp.snapshot import Client

PATH, URI = "/ws/a.asm", "file:///ws/a.asm"


def session(text: str, encoding: str = "utf-16") -> Session:
    made = Session(Config(), FactTable())
    made.folders = ["/ws", "/ws/sub"]
    made.set_client(Client(), encoding)
    made.open(types.TextDocumentItem(uri=URI, language_id="asar", version=1, text=text))
    return made


def change(version: int, *changes: tuple[types.Range | None, str]) -> types.DidChangeTextDocumentParams:
    return types.DidChangeTextDocumentParams(
        text_document=types.VersionedTextDocumentIdentifier(uri=URI, version=version),
        content_changes=[
            types.TextDocumentContentChangeWholeDocument(text=text) if where is None else
            types.TextDocumentContentChangePartial(range=where, text=text) for where, text in changes])


def lines_of(text: str) -> list[str]:
    """By LSP's rule, from the specification's words: \\n, \\r\\n and \\r end a line."""
    return text.replace("\r\n", "\n").replace("\r", "\n").split("\n")


def units(text: str, encoding: str) -> int:
    codec, width = {"utf-8": ("utf-8", 1), "utf-16": ("utf-16-le", 2), "utf-32": ("utf-32-le", 4)}[encoding]
    return len(text.encode(codec)) // width


def position(text: str, offset: int, encoding: str) -> types.Position:
    """An independent reading of the specification."""
    lines = lines_of(text[:offset])
    return types.Position(line=len(lines) - 1, character=units(lines[-1], encoding))


ALPHABET = st.sampled_from([
    *"ab ;:\"'.\n\r\t\x0c", "\r\n", "\u00e9", "\u2028", "\U0001f600", "lda #$12", "!x"])
TEXTS = st.lists(ALPHABET, max_size=30).map("".join)


@settings(max_examples=150, deadline=None)
@given(start=TEXTS, data=st.data(), encoding=st.sampled_from(ENCODINGS))
def test_incremental_edits_equal_the_full_text(start: str, data: st.DataObject, encoding: str) -> None:
    made, text = session(start, encoding), start
    for version in range(2, 2 + data.draw(st.integers(1, 4))):
        changes = []
        for _ in range(data.draw(st.integers(1, 3))):
            first, last = sorted(data.draw(st.integers(0, len(text))) for _ in range(2))
            # A position between CR and LF does not exist for an editor.
            first -= text[first - 1:first + 1] == "\r\n"
            last += text[last - 1:last + 1] == "\r\n"
            new = data.draw(TEXTS)
            where = types.Range(start=position(text, first, encoding), end=position(text, last, encoding))
            changes.append((where, new))
            text = text[:first] + new + text[last:]
        made.change(change(version, *changes))
        file = made.project.files[PATH]
        assert str(file.text) == text
        assert "".join(line.raw for _, line in file.lines()) == text
        fresh = parse_text(PATH, SourceText.of(text), Dialect.ASAR_1)
        assert [(at, line.raw) for at, line in file.lines()] == [(at, line.raw) for at, line in fresh.lines()]
    assert made.documents[PATH].version == version


def test_a_form_feed_ends_no_line() -> None:
    made = session("a\x0cb\nc")
    made.change(change(2, (types.Range(start=types.Position(line=1, character=0),
                                       end=types.Position(line=1, character=1)), "d")))
    assert str(made.project.files[PATH].text) == "a\x0cb\nd"


def test_full_replacement_and_edits_in_one_message() -> None:
    made = session("old")
    start = types.Position(line=0, character=0)
    changed = made.change(change(2, (None, "abc\n"), (types.Range(start=start, end=start), "x")))
    assert changed is not None and changed[1] == [(Span(0, 3), "abc\n"), (Span(0, 0), "x")]
    assert str(made.project.files[PATH].text) == "xabc\n"


def test_unknown_documents_are_left_alone() -> None:
    made = session("a")
    assert made.close("file:///ws/none.asm") is None
    other = change(2, (None, "b"))
    other.text_document.uri = "file:///ws/none.asm"
    assert made.change(other) is None


def test_the_editor_wins_over_the_disk() -> None:
    made = session("nop")
    made.adopt([parse_text(PATH, SourceText.of("disk"), Dialect.ASAR_1)])
    made.drop(PATH)
    assert str(made.project.files[PATH].text) == "nop"
    made.close(URI)
    made.adopt([parse_text(PATH, SourceText.of("disk"), Dialect.ASAR_1)])
    assert str(made.project.files[PATH].text) == "disk"
    made.drop(PATH)
    assert PATH not in made.project.files


def test_what_is_known_of_a_text_is_kept() -> None:
    made = Session(Config(), FactTable())
    made.adopt([parse_text(PATH, SourceText.of("nop"), Dialect.ASAR_1)])
    read = made.project.files[PATH]
    made.open(types.TextDocumentItem(uri=URI, language_id="asar", version=1, text="nop"))
    assert made.project.files[PATH] is read
    made.close(URI)
    made.adopt([parse_text(PATH, SourceText.of("nop"), Dialect.ASAR_1)])
    assert made.project.files[PATH] is read


def test_snapshots_are_frozen_and_shared() -> None:
    made = session("nop")
    before = made.snapshot()
    assert made.snapshot() is before
    made.change(change(2, (None, "rts")))
    after = made.snapshot()
    assert after.revision > before.revision and str(before.project.files[PATH].text) == "nop"
    assert made.folder_of("/ws/sub/x.asm") == "/ws/sub" and made.folder_of("/wsx/a.asm") == ""


def test_a_new_dialect_parses_anew() -> None:
    made = session("nop")
    made.set_config(Config(projects={"/ws": ProjectConfig(dialect="2.0")}))
    assert made.project.files[PATH].dialect is Dialect.ASAR_2


# --- problems --------------------------------------------------------------------------------------------------

def problem(start: int, end: int, code: str = "N", path: str = PATH) -> Problem:
    return Problem(path, Span(start, end), code, Severity.ERROR, "m", fixes=(Fix("f", ((Span(start, end), "x"),)),))


@pytest.mark.parametrize(("edit", "text", "moved"), [
    ((0, 0), "abc", (13, 15)),      # before
    ((10, 10), "abc", (13, 15)),    # right before
    ((12, 12), "abc", (10, 12)),    # right after
    ((20, 25), "", (10, 12)),       # after
    ((11, 11), "x", None),          # inside
    ((5, 11), "", None),            # across
    ((0, 4), "", (6, 8)),
])
def test_problems_move_with_the_text(edit: tuple[int, int], text: str, moved: tuple[int, int] | None) -> None:
    store = ProblemStore()
    store.own[PATH] = (problem(10, 12),)
    store.set_root("/ws/root.asm", [problem(10, 12, "E"), problem(1, 2, path="/ws/b.asm")])
    store.shift(PATH, [(Span(*edit), text)])
    assert [one.span for one in store.of(PATH)] == ([moved] * 2 if moved else [])
    for one in store.of(PATH):
        assert one.fixes[0].edits[0][0] == moved
    assert len(store.of("/ws/b.asm")) == 1


def test_what_a_problem_is_related_to_moves_too() -> None:
    store = ProblemStore()
    related = (Related(PATH, Span(20, 25), "here"), Related(PATH, Span(2, 3), "above"),
               Related("/ws/b.asm", Span(9, 9), "elsewhere"))
    store.set_root("r", [replace(problem(10, 12), related=related)])
    store.shift(PATH, [(Span(15, 17), "abcde")])
    (one,) = store.of(PATH)
    assert one.span == (10, 12) and [other.span for other in one.related] == [(23, 28), (2, 3), (9, 9)]


def test_a_root_replaces_what_it_said_and_each_finding_is_said_once() -> None:
    store = ProblemStore()
    assert store.set_root("r", [problem(0, 1), problem(0, 1, path="/ws/b.asm")]) == {PATH, "/ws/b.asm"}
    assert store.set_root("r", [problem(0, 1)]) == {"/ws/b.asm"}
    store.set_root("s", [problem(0, 1)])
    assert len(store.of(PATH)) == 1
    assert store.set_root("r", []) == {PATH} and len(store.of(PATH)) == 1


def test_what_both_found_is_said_once() -> None:
    store = ProblemStore()
    store.own[PATH] = (problem(0, 3, "NAY401"), problem(5, 6, "NAY102"))
    theirs = Problem(PATH, Span(0, 3), "Elabel_not_found", Severity.ERROR, "not found", "asar")
    store.set_root("r", [theirs])
    assert [(one.code, one.source) for one in store.of(PATH)] == [("NAY401", "nayru, asar"), ("NAY102", "nayru")]
