"""Items, index and edits of the next-line predictor."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nayru_lsp.assist.local_index import KEYS, REACH, Index, key_hashes, split_lines
from nayru_lsp.assist.local_items import (
    KIND_NAMES,
    item_of,
    items_of_line,
    leading_label,
    normalised,
)


@pytest.mark.parametrize(("line", "texts", "shapes", "kinds"), [
    ("    LDA.w #$00FF,X ; note", ["lda.w #$00ff,x"], ["lda.w #$4,x"], ["opcode"]),
    ("Main: STA $2100", ["Main:", "sta $2100"], ["@main", "sta R"], ["label", "opcode"]),
    (".sub", [".sub"], ["@sub"], ["label"]),
    (".sub: RTS", [".sub", "rts"], ["@sub", "rts "], ["label", "opcode"]),
    ("+ BRA -", ["+", "bra -"], ["@+", "bra -"], ["label", "opcode"]),
    ("++", ["++"], ["@++"], ["label"]),
    ("LDA $12 : STA !state,x", ["lda $12 : sta !state,x"], ["lda $2 : sta !,x"], ["opcode"]),
    ("REP #$30", ["rep #$30"], ["rep #$30"], ["opcode"]),
    ("%move( a, $10 )", ["%move(a,$10)"], ["%move(a,$2)"], ["macro"]),
    ("!speed = $12+3", ["!speed = $12+3"], ["!=$2+9"], ["define"]),
    ("Speed = 3", ["Speed = 3"], ["L=9"], ["define"]),
    ("db $01,$02,$03", ["db $01,$02,$03"], ["db $2 3"], ["data"]),
    ('db "a;b : c",0', ['db "a;b : c",0'], ["db Q 2"], ["data"]),
    ("org $008000", ["org $008000"], ["org $6"], ["command"]),
    ("if !x == 1", ["if !x==1"], ["if !==9"], ["command"]),
    ("JSL Bank.Routine", ["jsl Bank.Routine"], ["jsl L."], ["opcode"]),
    ("", [], [], []),
    ("; only a comment", [], [], []),
])
def test_items(line: str, texts: list[str], shapes: list[str], kinds: list[str]) -> None:
    items, _ = items_of_line(line)
    assert [item.text for item in items] == texts
    assert [item.shape for item in items] == shapes
    assert [KIND_NAMES[item.kind] for item in items] == kinds
    for item in items:
        assert item_of(item.text) == item       # a normalised text reads back as itself


def test_gaps() -> None:
    assert items_of_line("   ")[1] == 1
    assert items_of_line(" ; c")[1] == 2


@given(st.text(alphabet="ld a$1#,xX.!%(+-:;\"' \tMn", max_size=40))
def test_any_text_gives_items_that_read_back(line: str) -> None:
    again = normalised(line)
    for item in items_of_line(line)[0]:
        assert item.text and item.shape
    assert isinstance(again, str)


@pytest.mark.parametrize(("typed", "label", "rest"), [
    ("Main: LD", "Main: ", "LD"), ("Main:", "", "Main:"), (".x ", ".x ", ""), (".x", "", ".x"), ("  LDA", "", "  LDA"),
    ("+ - LDA", "+ - ", "LDA"), ("", "", ""),
])
def test_leading_label(typed: str, label: str, rest: str) -> None:
    assert leading_label(typed) == (label, rest)


def texts_of(index: Index, path: str) -> list[str]:
    return [index.words.items[index.text[position]].text
            for piece in index.files[path].pieces for position in range(piece.start, piece.end)]


def test_equal_contexts_are_found() -> None:
    index = Index()
    index.add([("a", "lda $10\nsta $20\nrts"), ("b", "lda $10\nsta $20\nrtl")])
    words = index.words
    above = [words.ids["lda $10"], words.ids["sta $20"]]
    texts = [0] * (REACH - 2) + above + [0] + [0] * REACH
    key = next(number for number, one in enumerate(KEYS) if one.columns == ("T-1", "T-2"))
    value = list(key_hashes(words, texts, [0] * len(texts), True))[key][0]
    positions, total = index.find(key, value, 0)
    assert total == 2
    assert [words.items[index.text[position]].text for position in positions] == ["rts", "rtl"]


def test_edits_keep_step_with_the_text() -> None:
    """Random edits, some settled: pieces, columns, counts and positions always say what the text says."""
    chance = random.Random(7)
    index = Index()
    index.add([("a", "\n".join(f" lda ${i:04x}" for i in range(200))), ("b", " rts\n nop")])
    lines = list(index.files["a"].lines)
    for _ in range(300):
        start = chance.randrange(len(lines) + 1)
        end = min(len(lines), start + chance.choice((0, 0, 1, 1, 3)))
        new = [chance.choice((" nop", " lda $12", "", "; x", "foo: rts", ".a")) for _ in range(chance.randrange(4))]
        lines[start:end] = new
        index.edit("a", start, end, new)
        assert index.files["a"].lines == lines
        if chance.random() < 0.4:
            index.settle("a")
            wanted = [item.text for line in lines for item in items_of_line(line)[0]]
            assert texts_of(index, "a") == wanted
            assert index.words.count[index.words.ids["nop"]] == wanted.count("nop") + 1
            for row, line in enumerate(lines):
                if items_of_line(line)[0]:
                    at = index.text[index.position_of("a", row)]
                    assert index.words.items[at].text == items_of_line(line)[0][0].text
    assert index.living == sum(index.alive)
    index.forget("a")
    assert index.living == 2


def test_stale_lines_are_named_until_settled() -> None:
    index = Index()
    index.add([("a", "lda $10\nsta $20\nrts")])
    index.edit("a", 1, 2, ["stz $20", "nop"])
    (low, high), = index.stale("a")
    assert [index.words.items[index.text[p]].text for p in range(low, high)] == ["sta $20"]
    assert index.words.items[index.text[index.position_of("a", 3)]].text == "rts"
    index.settle("a")
    assert index.stale("a") == []


def test_segments_merge_and_dead_positions_go() -> None:
    index = Index()
    for number in range(40):
        index.add([(f"f{number}", "lda $10\nsta $20\nrts\n" * 3)])
    assert len(index.segments) < 10
    assert sum(len(segment.arrays[0]) for segment in index.segments) == 40 * 9


def test_the_cap_and_data_runs() -> None:
    index = Index(cap_mb=1)
    lines = "\n".join(f"lda ${number:04x}" for number in range(2000))
    assert index.add([("a", lines)]) == 1
    assert index.size > 1_000_000 and index.add([("b", "nop")]) == 0
    index = Index()
    index.add([("dump", "db $00\n" * 5000)])
    assert index.living <= 16


def test_lines_end_where_editors_end_them() -> None:
    assert split_lines("a\r\nb\rc\nd") == ["a", "b", "c", "d"]
    assert split_lines("a\n") == ["a", ""]
    assert split_lines("a\x0cb\u2028c") == ["a\x0cb\u2028c"]
