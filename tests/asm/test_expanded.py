"""The columns of an expansion: what they say of labels, lines, defines; that they are plain, quick and bounded."""

from __future__ import annotations

import pickle
import time
from array import array
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nayru_lsp.asm.expand import run
from nayru_lsp.asm.expanded import BYTES, UNKNOWN, Expanded, Found, common_lines, digest, placed
from nayru_lsp.asm.packing import pack
from nayru_lsp.asm.project import Root
from nayru_lsp.asm.text import SourceText, Span
from nayru_lsp.work import _load_plain
from tests.kit import read_fixture

SPAWN = """\
;- main.asm
lorom
incsrc "lib.asm"
!step = 2
org $808000
Main:
    %spawn(Boss)
    JSR Boss_Loop : NOP
!step = 3
    %spawn(Imp)
Here = $12
.sub
namespace inner
Deep: RTS
namespace off
db 1,2,3
dw $1234

db 4
if 0
    db 9
endif
;- lib.asm
macro spawn(name)
    LDA #!step
<name>_Loop:
    RTS
?local:
endmacro
"""


def expanded(text: str, *, defines: tuple[tuple[str, str], ...] = (), named: bool = True) -> Expanded:
    """As the server gets it: packed, sent, unpacked."""
    files = {path: body.encode() for path, body in read_fixture(text).files.items()}
    packed = pack(run(Root("/ws/main.asm", defines=defines), files.get), dict(defines))
    return Expanded(_load_plain(pickle.dumps(packed)), named=named,
                    digests={path: digest(body.decode()) for path, body in files.items()})


def test_labels_of_a_value() -> None:
    found = expanded(SPAWN)
    values = {name: found.label(name) for name in found.names()}
    for made in values.values():
        assert made is not None and made.value is not None
        same = {one.name for one in values.values() if one is not None and one.value == made.value}
        assert {one.name for one in found.labels_of(made.value)} == same
    assert [one.name for one in found.labels_of(0x12)] == ["Here"] and found.labels_of(0x808001) == ()
    main = found.label("Main")
    assert main is not None and [one.name for one in found.labels_of(main.value or 0)] == ["Main"]
    assert found.labels_of(-1) == ()        # what stands for an unknown value
    assert found.mapping_mode == "lorom"


def test_labels() -> None:
    found = expanded(SPAWN)
    assert sorted(found.names()) == ["Boss_Loop", "Here", "Imp_Loop", "Imp_Loop_sub", "Main", "inner_Deep"]
    made = found.label("Boss_Loop")
    assert made == ("Boss_Loop", 0x808002, "/ws/lib.asm", 2, (("/ws/main.asm", 5),))
    assert found.macro_at("/ws/lib.asm", 2) == "spawn" and found.macro_at("/ws/main.asm", 5) == ""
    assert found.label("Nowhere") is None
    deep, here = found.label("Deep", "inner"), found.label("Here", "inner")
    assert deep is not None and deep.name == "inner_Deep" and found.label("Deep") is None
    assert here is not None and here.value == 0x12 and found.is_number(here) and not found.is_number(deep)
    assert [made.name for made in found.places("/ws/lib.asm", 2)] == ["Boss_Loop", "Imp_Loop"]
    assert found.places("/ws/lib.asm", 1) == () == found.places("/elsewhere.asm", 2)
    assert found.sure and not found.problems and found.files == ("/ws/main.asm", "/ws/lib.asm")


def test_lines() -> None:
    found = expanded(SPAWN)
    main, lib = "/ws/main.asm", "/ws/lib.asm"
    assert (found.address(main, 6), found.line_bytes(main, 6)) == (0x808003, b"\x20\x02\x80\xea")
    assert (found.address(lib, 1), found.line_bytes(lib, 1)) == (0x808000, None)    # two calls
    assert found.wrote(lib, 1) and found.line_size(lib, 1) is None
    assert found.address(main, 4) == 0x808000 and not found.wrote(main, 4)          # a label alone
    assert found.address(main, 9) is None                                           # an assignment is no place
    rows = [(found.address(main, row), found.line_bytes(main, row)) for row in range(14, 18)]
    assert rows == [(0x80800B, b"\1\2\3"), (0x80800E, b"\x34\x12"), (None, None), (0x808010, b"\4")]
    assert found.skipped(main) == ((19, 21),) and not found.wrote(main, 19) and found.skipped(lib) == ()


def test_a_long_line_is_cut() -> None:
    found = expanded("org $8000\n" + "db " + ",".join(["!x"] * 100) + "\n", defines=(("x", "7"),))
    assert found.line_bytes("/ws/main.asm", 1) == b"\7" * BYTES and found.line_size("/ws/main.asm", 1) == 100


def test_defines() -> None:
    found = expanded(SPAWN, defines=(("given", "5"),))
    main = "/ws/main.asm"
    assert [found.define_at(main, row, "step") for row in (0, 2, 4, 5, 7, 8, 18)] == [None, None, "2", "2", "2", "3",
                                                                                      "3"]
    assert found.define_at("/ws/lib.asm", 1, "step") is UNKNOWN                     # the body of a macro
    assert found.define_at(main, 3, "given") == "5" and found.define_at(main, 3, "none") is None
    assert found.define_at("/other.asm", 3, "given") is UNKNOWN
    assert found.define_at("/ws/lib.asm", 0, "step") is None


def test_defines_in_loops_and_files_read_twice() -> None:
    found = expanded("""\
;- main.asm
org $8000
!i = 0
while !i < 3
db !i
!i #= !i+1
endwhile
db !i
!who = a
incsrc "part.asm"
!who = b
incsrc "part.asm"
;- part.asm
db "!who"
db "!who", "!i"
""")
    assert found.define_at("/ws/main.asm", 1, "i") is None
    assert found.define_at("/ws/main.asm", 4, "i") == "0"           # a line of the loop: its first turn
    assert found.define_at("/ws/main.asm", 6, "i") == "3"           # behind the loop, executed once
    assert found.define_at("/ws/main.asm", 8, "who") == "a"
    assert [found.define_at("/ws/part.asm", row, "who") for row in (0, 1)] == ["a", UNKNOWN]     # it could be "b"
    assert found.define_at("/ws/part.asm", 1, "i") == "3"


def test_sure_and_problems() -> None:
    known = expanded("org $8000\n JSR Missing\n")
    assert known.sure and known.missing("/ws/main.asm") == {(1, "Missing")}
    assert [one.code for one in known.shown()] == ["Elabel_not_found"]
    problem = placed(known.shown()[0], SourceText.of("org $8000\n JSR Missing\n"))
    assert tuple(problem.span) == (15, 22)
    for cut in ("%nothing()\n", "!x\n", "incsrc \"gone.asm\"\n", "if read1($008000) == 0 : nop\n"):
        found = expanded("org $8000\n JSR Missing\n" + cut)
        assert not found.sure, cut
    # A macro that is not there might have made the label; so might what stands behind the end of the bank.
    assert {one.code for one in expanded("org $8000\n JSR Missing\n%nothing()\n").shown()} == {"Emacro_not_found"}
    crossed = expanded("org $80FFFF\n JSR Behind\nBehind:\n")
    assert {one.code for one in crossed.shown()} == {"Ebank_border_crossed"}
    assert expanded("org $8000\n JSR Missing\nincsrc \"gone.asm\"\n").shown() == ()
    assert [one.code for one in expanded("org $8000\n db !x\n").shown()] == ["Edefine_not_found"]
    branch = expanded("org $8000\nA: BRA B\nfillbyte 0 : fill 200\nB: RTS\n").shown()
    assert [(one.row, one.code) for one in branch] == [(1, "Erelative_branch_out_of_bounds")]


def test_a_root_that_is_guessed() -> None:
    """It may be a part of something: what it lacks may be elsewhere, and without `org` nobody knows where it stands."""
    far = "A: BRA B\nfillbyte 0 : fill 200\nB: JSR Missing\n"
    whole, part = expanded("org $8000\n" + far, named=False), expanded(far, named=False)
    assert [one.code for one in whole.shown()] == ["Erelative_branch_out_of_bounds"] and whole.missing(
        "/ws/main.asm") == frozenset()
    assert part.shown() == () and part.address("/ws/main.asm", 0) is None and part.wrote("/ws/main.asm", 0)
    made = part.label("B")
    assert made is not None and made.value is None
    assert whole.address("/ws/main.asm", 1) == 0x8000
    broken = expanded("org $8000\nendif\n" + far)
    assert broken.shown() == ()         # what follows may be an echo


def test_placed_on_the_line() -> None:
    text = SourceText.of("a\n   BRA B   \n")
    assert tuple(placed(Found("/x", 1, "Erelative_branch_out_of_bounds", 1, "far"), text).span) == (5, 10)
    assert tuple(placed(Found("/x", 9, "Enayru_limit", 1, "cut"), text).span) == (14, 14)


def test_which_text() -> None:
    found = expanded("org $8000\nA:\n")
    path, text = "/ws/main.asm", SourceText.of("org $8000\nA:\n")
    assert found.is_text(path, text) and found.is_text(path, text) and not found.stale
    assert not found.is_text(path, SourceText.of("org $8000\nB:\n")) and not found.is_text("/ws/b.asm", text)
    moved = found.with_moved([path])
    assert moved.stale and not moved.is_text(path, text) and not found.stale and moved.reads(path)
    again = moved.followed({}, [path], {path: text}, moved._tables.digests, named=True)
    assert again.is_text(path, text) and not again.stale
    # Asar ends no line at a lone CR: its rows are not ours.
    assert digest("a\rb\n") == b"" and digest("a\r\nb\n") != b""


texts = st.lists(st.sampled_from(["a", "b", "\n", "\n", "\r\n", "\r", "ab\n"]), max_size=14).map("".join)


@given(texts, st.lists(st.tuples(st.integers(0, 20), st.integers(0, 3), texts), max_size=2), texts)
def test_lines_around_an_edit(before: str, edits: list[tuple[int, int, str]], other: str) -> None:
    one = SourceText.of(before)
    two = SourceText.of(other)
    edited = one
    for at, size, text in edits:
        edited = edited.replace(Span(at, at + size), text)
    for now in (edited, two):
        above, below = common_lines(one, now)
        lines = [[text.line(row) for row in range(text.line_count)] for text in (one, now)]
        assert lines[0][:above] == lines[1][:above]
        assert not below or lines[0][-below:] == lines[1][-below:]
        assert above + below <= min(map(len, lines))


def test_rows_around_an_edit() -> None:
    path, before = "/ws/main.asm", SourceText.of("org $8000\nA:\n nop\n rts\nB:\n")
    found = Expanded(pack(run(Root(path), lambda _: str(before).encode())), {path: before},
                     digests={path: digest(str(before))})
    now = before.replace(Span(before.line_start(2), before.line_start(3)), " inx\n iny\n")
    assert [found.executed_row(path, before, row) for row in range(6)] == list(range(6))
    found = found.with_moved([path])
    assert [found.executed_row(path, now, row) for row in range(7)] == [0, 1, None, None, 3, 4, 5]
    assert [found.row_now(path, now, row) for row in range(6)] == [0, 1, None, 4, 5, 6]
    assert found.executed_row(path, SourceText.of("x"), 0) is None
    # Of a text that was never handed over nobody knows what is new in it.
    unseen = Expanded(pack(run(Root(path), lambda _: str(before).encode())), digests={path: digest(str(before))})
    assert unseen.executed_row(path, before, 1) == 1 and unseen.executed_row(path, now, 1) is None
    assert found.executed_row("/ws/other.asm", now, 0) is None


@pytest.mark.parametrize("edits", [[60_000], [3, 128_990]])
def test_an_edit_in_a_long_file_costs_next_to_nothing(edits: list[int]) -> None:
    before = SourceText.of("".join(f"    LDA ${row & 0xFFFF:04X},x ; a comment\n" for row in range(129_000)))
    now = before
    for row in edits:
        now = now.replace(Span(now.line_start(row), now.line_start(row)), "    NOP\n")
    begun = time.process_time()
    above, below = common_lines(before, now)
    spent = time.process_time() - begun
    assert (above, below) == (edits[0], 129_001 - edits[0] if len(edits) == 1 else 129_001 - edits[1] + 1)
    assert spent < 0.05, spent      # 0.5 ms; joining the text alone would be more


def test_half_a_million_lines(record_property: Any) -> None:
    """Packing 63,000 labels and 400,000 lines is work of below a second, reading them next to nothing."""
    from nayru_lsp.asm.expansion import Expansion, Part

    class Machine:
        static: tuple[str, ...] = ()
        macros: Mapping[str, object] = MappingProxyType({})

        def evaluated(self, _: Expansion) -> list[tuple[int, Part]]:
            parts = []
            for number in range(40):
                part = Part()
                part.data, part.files = [b"\xa9\x01"] * 10_000, frozenset([number])
                parts.append((10_000 * number, part))
            return parts

    big = Expansion()
    big._machine = Machine()
    big.files = [f"/ws/{number}.asm" for number in range(40)]
    places = [number // 10_000 << 24 | number % 10_000 for number in range(400_000)]
    big._place = array("Q", places)
    big._at = array("q", range(0x8000, 0x8000 + 800_000, 2))
    big._real = big._at
    big._sizes = array("I", [2]) * 400_000
    big._objects = [b"\xa9\x01"] * 400_000
    big.places = {f"Some_label_{number}": places[number * 6] for number in range(63_000)}
    big.values = dict.fromkeys(big.places, 0x8000)
    start = time.process_time()
    packed = pack(big)
    middle = time.process_time()
    found = Expanded(_load_plain(pickle.dumps(packed)))
    opened = time.process_time()
    label = found.label("Some_label_62999")
    asked = time.process_time()
    record_property("seconds", (middle - start, opened - middle, asked - opened))
    assert label is not None and found.line_bytes("/ws/39.asm", 9_999) == b"\xa9\x01"
    # Far above what it takes (0.3 s, 20 ms): a quadratic step would show, a busy machine not.
    assert middle - start < 15 and opened - middle < 2 and asked - opened < 2, (
        middle - start, opened - middle, asked - opened)
