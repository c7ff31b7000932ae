"""Edits: what is executed again gives what a fresh execution gives."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import pytest

from nayru_lsp.asm.expand import Expansion, Limits, run
from nayru_lsp.asm.expanded import LABELS, Expanded
from nayru_lsp.asm.expansion import Made
from nayru_lsp.asm.live import Live
from nayru_lsp.asm.packing import Packer, _Piece, pack
from nayru_lsp.asm.project import Root
from nayru_lsp.asm.syntax import Dialect
from tests.asm.executing import HEAD

LINES = [
    "", "    nop", "    lda #$12", "    lda.w #$1234 ; twelve", "L{n}:", ".sub{n}", "    bra L{n}", "    jmp L{m}",
    "    lda L{m},x", "    lda Far{m}", "-   dex : bne -", "    beq +", "+   inx", "++", "    db 1,2,3", "    db 4",
    "    dw $1234,L{m}", "    bra ++", "!d{n} = {m}", "    db !d{n}", "!d{m} += 1", "if !d{n} == {m}",
    "elseif !d{m} > 2", "else", "endif", "%mac({n})", "%two(L{m})", "macro extra{n}()\n    db {m}\nendmacro",
    "%extra{n}()", "org $01{n:01X}000", "org $028{n:03X}", "pushpc", "pullpc", "C{n} = {m}", "    lda #C{n}",
    "    db 1, ; join", "    2,", "    lda \\", "namespace n{n}", "namespace off",
    "while !i < 3\n    db !i\n    !i #= !i+1\nendwhile\n!i = 0", "for k = 0..{n}\n    db !k\nendfor", "rep 2 : nop",
    'incsrc "inc.asm"', "skip {n}", "fill {n}", "Far{n}:", "    assert L{m} > 0", "unknown word", "    db (1+{n}",
    "struct S{n} $7E0000", ".m: skip {n}", "endstruct", "    sta S{n}.m", "arch spc700", "arch 65816", "base $7000",
    "base off", 'undef "d{n}"',
]
LIMITS = Limits(loops=500, lines=40_000, text=2_000)



def line(rng: random.Random) -> str:
    text = rng.choice(LINES)
    n, m = rng.randrange(6), rng.randrange(6)
    text = text.replace("{n:01X}", f"{n:X}").replace("{n:03X}", f"{n:03X}")
    return text.replace("{n}", str(n)).replace("{m}", str(m))


def seen(expansion: Expansion) -> dict[str, object]:
    data = expansion.data()
    assert len(data) == len(expansion._place)
    return {
        "labels": {name: (made.value, made.path, made.row, made.calls) for name, made in expansion.labels.items()
                   if ":" not in name},
        "defines": dict(expansion.defines), "skipped": expansion.skipped,
        "problems": sorted({(one.path, one.span, one.code) for one in expansion.problems}),
        "macros": expansion.macros, "structs": expansion.structs, "mode": expansion.mapping_mode,
    }


def check(texts: dict[str, str], live: Live, root: Root) -> None:
    fresh = run(root, lambda path: texts[path].encode() if path in texts else None, limits=LIMITS)
    if any(problem.code == "Enayru_limit" for problem in (*fresh.problems, *live.expansion.problems)):
        return      # where it is cut depends on how often it was executed
    one, other = seen(live.expansion), seen(fresh)
    one_bytes, other_bytes = bytes_of(live.expansion), bytes_of(fresh)
    assert one_bytes == other_bytes, live.again
    for key in ("labels", "defines", "skipped", "problems", "macros", "structs", "mode"):
        assert one[key] == other[key], (key, live.again)


def labels(sections: dict[str, Any]) -> dict[str, Made | None]:
    found = Expanded(sections)
    return {name: found.label(name) for name in found.names()}


def bytes_of(expansion: Expansion) -> list[tuple[int | None, int | None]]:
    """(address, byte) in the order of execution: neighbouring rows of numbers may be joined in other ways."""
    out: list[tuple[int | None, int | None]] = []
    for at, size, data in zip(expansion._real, expansion._sizes, expansion.data(), strict=True):
        start = expansion.address(at)
        out += [(None if start is None else start + offset, None if data is None else data[offset])
                for offset in range(size)]
    return out


@pytest.mark.parametrize("seed", range(12))
def test_edits_equal_a_fresh_execution(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nayru_lsp.asm.following.BORDER", 6)
    rng = random.Random(seed)
    body = [line(rng) for _ in range(rng.randrange(20, 90))]
    texts = {"/main.asm": HEAD + "org $008000\n" + "\n".join(body) + "\n",
             "/inc.asm": "\n".join(line(rng) for _ in range(rng.randrange(3, 30))).replace("incsrc", ";")}
    root = Root("/main.asm", Dialect.ASAR_1)
    live = Live(root, lambda path: texts[path].encode() if path in texts else None, limits=LIMITS)
    check(texts, live, root)
    packer, reader = Packer(live), dict[str, Any]()
    for _ in range(25):
        path = "/main.asm" if rng.random() < 0.8 else "/inc.asm"
        rows = texts[path].split("\n")
        kind = rng.random()
        at = rng.randrange(len(rows))
        if kind < 0.35:
            rows[at] = line(rng)
        elif kind < 0.6:
            rows.insert(at, line(rng))
        elif kind < 0.8:
            del rows[at:at + rng.randrange(1, 4)]
        elif kind < 0.9:
            text = rows[at]
            column = rng.randrange(len(text) + 1)
            rows[at] = text[:column] + rng.choice("0123abc:;,\\\"!<>( ") + text[column:]
        else:
            rows[at:at + 1] = [line(rng) for _ in range(rng.randrange(1, 12))]
        texts[path] = "\n".join(rows)
        if path == "/inc.asm":
            texts[path] = texts[path].replace("incsrc", ";")
        live.changed([path])
        check(texts, live, root)
        # Whoever keeps the sections that were told has, of the files he sees, what is true now.
        sections = packer.pack(list(texts), {one: body.encode() for one, body in texts.items()}, bool(reader))
        reader |= sections
        now = pack(live.expansion)
        assert labels(reader) == labels(now)
        # Labels of one line are in any order, and numbers of calls that are gone are not given again.
        assert {name: reader.get(name) for name in now if name != "calls" and not name.startswith(LABELS)} == {
            name: section for name, section in now.items() if name != "calls" and not name.startswith(LABELS)}


def test_the_arithmetic_of_a_version_goes_with_its_line() -> None:
    texts = {"/main.asm": "asar 1.90\norg $008000\ndb 2+3*4\n" + "nop\n" * 600}
    root = Root("/main.asm", Dialect.ASAR_1)
    live = Live(root, lambda path: texts[path].encode() if path in texts else None)
    for head in ("", "asar 1.90", "; asar 1.90", "asar 1.81"):
        texts["/main.asm"] = head + "\n" + texts["/main.asm"].split("\n", 1)[1]
        live.changed(["/main.asm"])
        check(texts, live, root)
        assert live.expansion.data()[0] == bytes([14 if head == "asar 1.90" else 20])


BANKS = "lorom\n!old = 1\n" + "".join(
    f"org $0{bank}8000\n" + "".join(f"L{bank}_{n}:\n    lda #!old\n-   bne -\n    beq +\n+   rts\n" for n in range(150))
    for bank in range(4))


@pytest.mark.parametrize("line", [
    "    lda $1234", "New:", "+   nop", "-   bne -", "++", "L0_3:", "    db 1,2"])
def test_what_is_typed_is_executed_in_a_part(line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nayru_lsp.asm.following.BORDER", 50)
    texts = {"/main.asm": BANKS}
    root = Root("/main.asm", Dialect.ASAR_1)
    live = Live(root, lambda path: texts[path].encode() if path in texts else None)
    rows = BANKS.split("\n")
    at = next(number for number, row in enumerate(rows) if row.startswith("L1_70"))
    for end in [*range(1, len(line) + 1), 0]:
        texts["/main.asm"] = "\n".join([*rows[:at], *([line[:end]] if end else []), *rows[at:]])
        live.changed(["/main.asm"])
        check(texts, live, root)
        assert live.again in ("a part", "nothing")
        machine = live._machine
        new = [segment for segment in machine.segments if segment.part == machine.part]
        assert len(new) < len(machine.segments) / 3, "more was executed than the bank"


def test_what_many_parts_write_alike_is_evaluated_again_in_each(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nayru_lsp.asm.following.BORDER", 10)
    texts = {"/main.asm": "lorom\norg $008000\n" + "    jsl There\n" * 40 + "org $018000\nThere:\n    rtl\n"}
    root = Root("/main.asm", Dialect.ASAR_1)
    live = Live(root, lambda path: texts[path].encode() if path in texts else None)
    assert set(live.expansion.data()[:-1]) == {b"\x22\x00\x80\x01"}
    texts["/main.asm"] = texts["/main.asm"].replace("There:", "    nop\nThere:")
    live.changed(["/main.asm"])
    check(texts, live, root)
    assert set(live.expansion.data()[:-2]) == {b"\x22\x01\x80\x01"}


SLIDING = "lorom\n" + "".join(
    f"org $0{bank}8000\n" + "".join(
        f"L{bank}_{n}:\n    lda L{1 - bank}_{n}\n    jml L{bank}_{(n + 7) % 200}\n    bra L{bank}_{n}\n"
        f"    dw L{bank}_{n}\n"
        for n in range(200)) + f"pushpc\norg $0{bank}FF00\n    dw L{bank}_100\npullpc\n" + "".join(
        f"M{bank}_{n}:\n-   bne -\n    beq +\n+   assert pc() == M{bank}_{n}+4\n" for n in range(200))
    for bank in range(2))


@pytest.mark.parametrize("dialect", Dialect)
@pytest.mark.parametrize("line", ["    nop", "New:\n    jmp New", "-   beq -\n+   nop", "%no()", "    dl pc()"])
def test_what_is_only_moved_is_not_executed(dialect: Dialect, line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nayru_lsp.asm.following.BORDER", 20)
    texts = {"/main.asm": SLIDING}
    root = Root("/main.asm", dialect)
    live = Live(root, lambda path: texts[path].encode() if path in texts else None)
    before = live.expansion.values["L0_150"], live.expansion.values["M0_150"], live.expansion.values["M1_150"]
    rows = SLIDING.split("\n")
    at = rows.index("L0_3:")
    for text in [line.split("\n")[0], line, "", line, "    lda #$12\n" + line, ""]:
        texts["/main.asm"] = "\n".join([*rows[:at], *([text] if text else []), *rows[at:]])
        machine, part = live._machine, live._machine.part
        live.changed(["/main.asm"])
        check(texts, live, root)
        assert live.again in ("a part", "nothing")
        new = [segment for segment in machine.segments if segment.part > part]
        assert len(new) < len(machine.segments) / 5, "what lies behind the line was executed"
    assert before == (live.expansion.values["L0_150"], live.expansion.values["M0_150"], live.expansion.values["M1_150"])


def test_what_is_moved_is_told_as_it_is_now(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nayru_lsp.asm.following.BORDER", 20)
    kinds: Counter[bool] = Counter()
    became = _Piece.became

    def counted(piece: _Piece, *more: Any) -> _Piece | None:
        new = became(piece, *more)
        kinds[new is not None] += 1
        return new

    monkeypatch.setattr(_Piece, "became", counted)
    awkward = ["    jmp {0} : dw {0},{1} : lda #1", "    dw " + ",".join(["1,{0}"] * 12),
               "    dw {0} : %m({1}) : dw {1}", "    %m({0})", "    lda {0} : bra {1} : dw {1}", "{2}:  dw {2}",
               "    dl missing : dw {0}", "    db 1,2", "    dl pc()", "    dw {1} : nop : nop",
               "    dw {0}-{1},{0} : db 7 : dw {0}"]
    lines = [awkward[n * 7 % len(awkward)].format(f"L{n // 11 * 11 + 5}", f"L{(n // 11 * 11 + 16) % 440}", f"X{n}")
             for n in range(440)]
    for n in range(5, 440, 11):
        lines[n] = f"L{n}: nop"
    texts = {"/main.asm": 'lorom\nincsrc "m.asm"\norg $008000\n' + "\n".join(lines) + "\n",
             "/m.asm": "macro m(x)\n    dw <x>\nendmacro\n"}
    root = Root("/main.asm", Dialect.ASAR_1)
    live = Live(root, lambda path: texts[path].encode() if path in texts else None)
    packer = Packer(live)
    reader = dict(packer.pack(list(texts), {}, False))
    for number, line in enumerate(["    nop", "", "    nop : nop : dw L5", "%m(L27)", "missing:"]):
        rows = texts["/main.asm"].split("\n")
        rows.insert(20 + number, line)
        texts["/main.asm"] = "\n".join(rows)
        live.changed(["/main.asm"])
        check(texts, live, root)
        assert live.again == "a part"
        reader |= packer.pack(list(texts), {}, True)
        assert reader["file:/main.asm"] == pack(live.expansion)["file:/main.asm"]
    assert kinds[True] > 30 and kinds[False] > 3


def test_a_bank_that_is_too_full_takes_nothing_else_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nayru_lsp.asm.following.BORDER", 50)
    body = "".join(f"A{n}:\n    db {','.join(['1'] * 64)}\n" for n in range(511)) + f"    db {','.join(['2'] * 57)}\n"
    rest = ("Last:\n    jmp Gone\nGone:\n    jml Other\n"
            "org $018000\nOther:\n    jml First\n    jmp Other\n    jml Gone\n    dl Last,Gone\n")
    texts = {"/main.asm": f"lorom\norg $008000\nFirst:\n{body}{rest}"}
    root = Root("/main.asm", Dialect.ASAR_1)
    live = Live(root, lambda path: texts[path].encode() if path in texts else None)
    assert not live.expansion.problems, "$00FFFF is the last byte"
    known = [b"\x5c\x00\x80\x00", b"\x4c\x00\x80"]
    for count, last, gone in ((0, 0xFFF9, 0xFFFC), (1, 0xFFFA, 0xFFFD), (3, 0xFFFC, 0xFFFF), (5, 0xFFFE, None),
                              (9, None, None), (2, 0xFFFB, 0xFFFE), (0, 0xFFF9, 0xFFFC)):
        texts["/main.asm"] = f"lorom\norg $008000\nFirst:\n{'nop : ' * count}\n{body}{rest}"
        live.changed(["/main.asm"])
        check(texts, live, root)
        expansion = live.expansion
        assert live.again in ("a part", "nothing")
        assert [one.code for one in expansion.problems] == ["Ebank_border_crossed"] * (count > 0)
        values = [one.value if (one := expansion.label(name)) is not None else -1 for name in ("Last", "Gone", "Other")]
        assert values == [last, gone, 0x018000]
        assert expansion.data()[-4:-2] == known, "what is behind the next `org` is there"
        assert (expansion.data()[-1] is None) is (last is None or gone is None)


def test_another_base_image_is_another_program() -> None:
    files = {"/main.asm": b"lorom\norg $008000\ndb read1($008000)\n", "/base.sfc": b"\x01" * 0x8000}
    root = Root("/main.asm", Dialect.ASAR_1, base_image="/base.sfc")
    live = Live(root, files.get, files["/base.sfc"])
    assert live.expansion.data() == [b"\x01"]
    assert live.reads("/base.sfc")
    before = live.changed(["/base.sfc"])
    assert before is live.expansion and live.expansion.data() == [b"\x01"]
    files["/base.sfc"] = b"\x02" * 0x8000
    assert live.changed(["/base.sfc"]).data() == [b"\x02"]
    del files["/base.sfc"]
    assert live.changed(["/base.sfc"]).data() == [None]


def test_a_binary_file_that_changes_is_written_anew() -> None:
    files = {"/main.asm": b'lorom\norg $008000\nincbin "a.bin"\n', "/a.bin": b"abc"}
    live = Live(Root("/main.asm", Dialect.ASAR_1), files.get)
    files["/a.bin"] = b"de"
    assert live.reads("/a.bin")
    assert live.changed(["/a.bin"]).data() == [b"de"]
