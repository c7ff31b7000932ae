"""What is told while a root is executed for the first time is as it is in the end.

NAYRU_EDITS=20000 makes it a long run of so many programs; NAYRU_SEED=n begins another one.
"""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings

from nayru_lsp.asm import expand, following
from nayru_lsp.asm.early import REASON
from nayru_lsp.asm.expanded import UNKNOWN, Expanded
from nayru_lsp.asm.expansion import Expansion
from nayru_lsp.asm.live import Live
from nayru_lsp.asm.packing import pack
from nayru_lsp.asm.project import Root
from nayru_lsp.asm.state import Read
from nayru_lsp.asm.syntax import Dialect
from tests.asm.test_edits import EDITS, INC, LIMITS, MAIN, MORE, PARTS, SEED, Editing, programs, quiet_programs


def early_and_end(root: Root, read: Read, image: bytes = b"", border: int = 1) -> tuple[list[Expansion], Expansion]:
    """What is told before each line (of many lines, before some), and what comes out."""
    lives: list[Live] = []
    found: list[Expansion] = []
    lines = itertools.count()

    def look() -> None:
        if (number := next(lines)) < 20 or number % 7 == 0:
            one = lives[0].so_far((MAIN, INC, MORE))
            if one is not None:
                found.append(one)

    before = following.BORDER, expand.TICK
    following.BORDER, expand.TICK = border, 1
    try:
        live = Live(root, read, image, look, LIMITS, begun=lives.append)
    finally:
        following.BORDER, expand.TICK = before
    return found, live.expansion


def of_text(main: str, inc: str = "") -> tuple[list[Expansion], Expansion]:
    texts = {MAIN: main.encode(), INC: inc.encode()}
    return early_and_end(Root(MAIN, Dialect.ASAR_1), texts.get)


def check(early: list[Expansion], end: Expansion) -> int:
    """Gives how many labels and writes were told early, in all."""
    data = end.data()
    if any(one.code == "Enayru_limit" for one in end.problems):
        return 0
    written: dict[tuple[int, int, int], list[bytes | None]] = {}
    for at, place, size, made in zip(end._at, end._place, end._sizes, data, strict=True):
        written.setdefault((at, place, size), []).append(made)
    count = 0
    for one in early:
        for name in one.values:
            label = one.label(name)
            assert label is not None
            if label.value is not None:
                count += 1
                assert end.label(name) == label, name
        for start, part in one._parts or ():
            for number, made in enumerate(part.data, start):
                if one.address(one._at[number]) is not None:
                    count += 1
                    finds = written.get((one._at[number], one._place[number], one._sizes[number]))
                    assert finds is not None, one.where(one._place[number])
                    assert made is None or made in finds
        assert one.define_log == end.define_log[:len(one.define_log)]
        assert one._marks == end._marks[:len(one._marks)]
        assert one._skipped == end._skipped[:len(one._skipped)]
        assert not one.problems
    return count


@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.parametrize("kind", ["any", "quiet"])
def test_what_is_told_early_holds(kind: str, part: int) -> None:
    told = 0

    @seed(SEED * PARTS + part)
    @settings(max_examples=EDITS // PARTS // 2 if EDITS else 6, deadline=None, database=None, print_blob=False,
              phases=(Phase.generate, Phase.shrink), suppress_health_check=list(HealthCheck))
    @given(programs if kind == "any" else quiet_programs)
    def any_program(program: dict[str, Any]) -> None:
        nonlocal told
        editing = Editing(program)
        told += check(*early_and_end(editing.root, editing.read, program["image"], program["border"]))

    any_program()
    assert told > 50, "it tells something"


HEAD = "org $008000\nA: nop\n"
OPEN = HEAD + "    lda Far\nB: nop\n"       # how long this is will be seen when Far is there
STRUCT = "struct S $7E0000\n.m: skip 2\nendstruct"
CASES = {       # a program up to here, what follows it, labels whose place is told, and labels whose place is not
    "all is sure": (HEAD + "    lda A\nB: nop", "", "A B", ""),
    "a guess is open": (OPEN, "Far: nop", "A", "B"),
    "a guess holds": (OPEN + "Far: nop\nC: nop", "", "A B Far C", ""),
    "a guess does not hold": (OPEN + "org $018000\nFar: nop", "", "A Far", "B"),
    "an org with a number": (OPEN + "org $028000\nC: nop", "Far: nop", "A C", "B"),
    "an org with a label that may be moved": (OPEN + "org B+$100\nC: nop", "Far: nop", "A", "B C"),
    "an org with one that is sure": (OPEN + "org A+$100\nC: nop", "Far: nop", "A C", "B"),
    "an org behind this place": (OPEN + "org pc()+$100\nC: nop", "Far: nop", "A", "B C"),
    "back to where it may be moved": (
        OPEN + "pushpc\norg $028000\nC: nop\npullpc\nD: nop", "Far: nop", "A C", "B D"),
    "back to where it is sure": (
        HEAD + "pushpc\norg $028000\nC: nop\n    lda Far\nD: nop\npullpc\nB: nop", "Far: nop", "A B C", "D"),
    "a place that may be another decides": (
        OPEN + "    nop\nif pc() > $8005\nC: nop\nendif\norg $028000\nD: nop", "Far: nop", "A", "B"),
    "a place that is sure decides": (HEAD + "if pc() > $8000\nC: nop\nendif\nB: nop", "Far: nop", "A B C", ""),
    "a number from what comes later": (HEAD + "X = sizeof(S)\nB: nop", STRUCT, "A B", ""),
    "what comes later decides": (
        HEAD + "    nop\nif sizeof(S) > 1\nB: nop\nendif\norg $028000\nC: nop", STRUCT, "A", ""),
    "other rules from here on": ("!x #= 1+2*3\nasar 1.90\n" + HEAD, "", "", ""),
    "other rules from the start": ("asar 1.90\n!x #= 1+2*3\n" + HEAD, "", "A", ""),
}


@pytest.mark.parametrize("case", CASES)
def test_what_may_be_moved_is_not_told(case: str) -> None:
    text, rest, known, unknown = CASES[case]
    early, end = of_text(f'{text}\n    nop\n    nop\n    nop\nincsrc "inc.asm"', rest)
    told = [Expansion(), *(one for one in early if INC not in one.files)][-1]
    places = {name: label.value for name, label in told.labels.items()}
    assert {name for name, value in places.items() if value is not None} - {"X"} == set(known.split())
    assert {name for name, value in places.items() if value is None} == set(unknown.split())
    assert all(end.labels[name].value == value for name, value in places.items() if value is not None)
    check(early, end)


def test_of_lines_those_that_hang_on_nothing_have_bytes() -> None:
    early, _ = of_text(HEAD + "    db 1,2\n    bra Later\n    nop\n    nop\nLater: nop")
    expanded = Expanded(pack(early[-1], {}, (MAIN,)), early=True)
    assert expanded.stale and not expanded.sure and REASON in expanded.reasons
    assert expanded.line_bytes(MAIN, 2) == b"\1\2"
    assert (expanded.address(MAIN, 3), expanded.line_bytes(MAIN, 3)) == (0x8003, None)
    assert expanded.label("A") is not None and expanded.label("Later") is None


def test_a_define_is_told_where_execution_has_been() -> None:
    text = "!x = 1\norg $008000\n    db !x\n    nop\n    nop\n!x = 2\n    db !x"
    early, _ = of_text(text)
    expanded = Expanded(pack(early[3], {}, (MAIN,)), early=True)
    assert expanded.define_at(MAIN, 1, "x") == "1"
    assert expanded.define_at(MAIN, 6, "x") is UNKNOWN
