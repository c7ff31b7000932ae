"""Edits of every kind, in any order: what `Live` gives after each equals a fresh execution, in everything it tells.

Programs and edits are data, so a failure shrinks to a small one and can stand below as an example. NAYRU_EDITS=100000
makes it a long run of so many edits; NAYRU_SEED=n begins another one.
"""

from __future__ import annotations

import os
import random
import re
import time
from collections import Counter
from collections.abc import Callable
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from nayru_lsp.asm import following
from nayru_lsp.asm.callers import seen_from
from nayru_lsp.asm.compiled import Rows, row_size
from nayru_lsp.asm.expand import Expansion, Limits, run
from nayru_lsp.asm.live import Live
from nayru_lsp.asm.mapping import SA1_BANKS, MappingMode, to_rom
from nayru_lsp.asm.project import Root
from nayru_lsp.asm.syntax import Dialect
from tests.asm.executing import HEAD

EDITS = int(os.environ.get("NAYRU_EDITS", "0"))
SEED = int(os.environ.get("NAYRU_SEED", "1"))
PARTS = 8
EDITS_EACH = 20         # of one example, at most
SLOWEST = 5.0           # seconds of one edit; what a long run took at most is printed
LIMITS = Limits(loops=300, lines=20_000, depth=40, text=2_000, output=0x20000)     # a border is kept of every frame
MAIN, INC, MORE, BINARY = "/main.asm", "/inc.asm", "/more.asm", "/data.bin"
PATHS = (MAIN, INC, MORE)

LINES = [
    # code, data, labels
    "", "; a word", "    nop", "    lda #$1{n}", "    lda.w #$1234 ; twelve", "    lda.l L{m},x", "    lda L{m},x",
    "    jmp L{m}", "    jml L{m}", "    bra L{n}", "    lda Far{m}", "    sta C{n}", "    mvn C{n},$7F",
    "    brl L{m}", "L{n}:", "Far{n}:", ".sub{n}", "..deep{n}:", "    bra .sub{m}", "#Other{n}:",
    "    db L{n}_sub{m}", "-", "-   dex : bne -", "--", "    bne --", "    beq +", "+   inx", "++", "    bra ++",
    "    dl +,-", "    db 1,2,3", "    db 4", "    dw $1234,L{m}", '    db "text{n}",0', "    dl pc(),L{n}-L{m}",
    "    dd {n}", "    db 1, ; join", "    2,", "    lda \\", "  #$12 : db {n},", "db 'q'", "C{n} = {m}",
    "C{n} = $7E00{m}0", "C{n} = L{m}+1", "    lda #C{n}", "fill {n}", "skip {n}",
    "    assert L{m} > 0", "    assert C{n} == {m}, \"said\"", "    db (1+{n}", "    lda L{m}+C{n}",
    # places
    "org $01{n}000", "org $028{n}00", "base $7000", "base off",
    "pushpc", "pushbase", "pullbase", "pad $00800{n}",
    "padbyte {n}", "fillbyte $1{n}", "warnpc $00802{n}",
    "lorom",
    "check bankcross full", "optimize dp always", "optimize address ram", "dpbase ${n}00", "bank {n}", "bank auto",
    "bank noassume",
    # defines
    "!d{n} = {m}", "!d{n} = $7E0{m}", "    db !d{n}", "!d{m} += 1", "!d{n} #= !d{m}+1", "!d{n} ?= {m}",
    "!d{n} := !d{m}", '    db defined("d{n}")', 'undef "d{n}"', "!d{n} = \"db {m} : L{n}:\"", "!d{n}",
    "    db !{d!d{m}}", "    db \\!d{n}", "!a = L{n} : db {m}", "!d{n} = %mac({m})",
    # conditions, loops
    "if !d{n} == {m}", "if C{n} > {m}", "if {n} : db {m}", 'if defined("d{n}")',
    "endif", "if read1($008000)", "if {n} : !d{m} = 5 : endif",
    "while !i < 3\n    db !i\n    !i #= !i+1\nendwhile\n!i = 0", "!i #= !i+1",
    "for k = 0..{n}\n    db !k\nendfor", "rep 2 : nop", "rep {n} : lda L{m}",
    "for k = 0..3\nR!k:\n    beq +\n+   bra R!k\nendfor",
    # macros, functions
    "%mac({n})", "%two(L{m})", "%any({n},{m},L{n})", "%extra{n}()", "%extra{n}({m})", "%files()",
    "macro extra{n}()\n    db {m}\nendmacro", "macro extra{n}(a)\n    db <a>\n?in: bra ?in\nendmacro",
    "    db <a>", "?lab{n}:", "    bra ?lab{n}", "?+", "    bra ?+", "?-", "    bra ?-",
    "macro out{n}(p)\nmacro in{n}(q)\n db <q>,<^p>\nendmacro\nendmacro\n%out{n}({m})\n%in{n}(1)",
    "function f{n}(a) = a+{m}", "    db f{n}({m})", "function g(a) = pc()+a", "    dl g({n})", "if f{n}(1) > {m}",
    # structs, namespaces, tables, files, other processors
    "struct S{n} $7E0{m}00\n.m: skip {n}\n.o: skip 2\nendstruct", ".m: skip {n}", "endstruct",
    "endstruct align {n}", "struct E{n} extends S{m}\n.p: skip 1\nendstruct", "    sta S{n}.m", "    lda S{n}[{m}].o",
    "    db sizeof(S{n})", "    db sizeof(E{n}),objectsize(S{m})", "    lda S{n}.E{m}.p", "namespace n{n}",
    "namespace off", "pushns", "pullns", "    lda n{n}_L{m}", "global G{n}:", "'a' = $2{n}",
    "cleartable", "pushtable", "pulltable", '    db "abc"', "    lda #'a'", 'table "data.bin"',
    *['incsrc "inc.asm"', 'incsrc "more.asm"'] * 4, 'incbin "data.bin"',
    'incbin "data.bin":1..{n}', '    db readfile1("data.bin",{n})',
    '    db filesize("data.bin")', 'if canreadfile1("data.bin",{n})', "arch 65816",
    "    mov a,#{n}", "endspcblock execute L{n}", "startpos L{n}",
    "print \"x\", hex(L{n})",
    "warnings push", "warnings pull", "b ]] nop", ";@ db {n}",
    "    lda.b #read1($008000+{n})",
]
RARE = [        # most of these end a program or tear it apart
    "include", "xkas", "\0", "asar 1.90", "asar 1.81", "org $00FFF{n}", "endspcblock", "arch spc700-inline",
    "while !i < {n}", "macro mac(a)", "macro x{n}()", "hirom", "sa1rom", "rep {n}", 'db "open', "for k = {m}..{n}",
    "if {n}", "struct S{n}", "spcblock ${n}000", "@asar 1.50", ";[[ a", "freecode", "freespace ram",
    "freedata align", "autoclean jsl L{n}", "autoclean $00800{n}", "arch spc700", "arch superfx",
    "namespace nested on", "endmacro", "check bankcross off", "error \"e{n}\"", "fill align 8 offset {n}",
    "skip align 4", "includeonce", 'incsrc "none.asm"', "else", "elseif !d{m} > 2", "L{n}: L{m}:", "math pri on",
    "if L{n} > {m}", "unknown word", "endfor", "endwhile", "pullpc", "prot L{n}", "    db datasize(L{n})",
    "base L{m}", "org L{m}", "org C{n}",
]
QUIET = [       # most of these neither ask where they stand nor set it: what is behind an edit slides
    "    nop", "    lda.w #$1234", "    lda.l L{m},x", "    jml L{m}", "    jmp L{m}", "    bra L{n}", "    brl L{m}",
    "    lda C{n}", "    sta L{m}_sub{n}", "L{n}:", "Far{n}:", "    lda Far{m}", ".sub{n}", "    bra .sub{m}",
    "#Other{n}:", "-   dex : bne -", "    beq +", "+   inx", "    dl +,-", "    db 1,2,3", "    dw L{m},L{n}",
    "    dl L{m}-L{n},Far{n}", "    assert L{m} > $8020", "%mac({n})", "%two(L{m})", "%any({n},{m},L{n})", "    db 4",
    "rep 2 : nop", "rep {n} : lda L{m}", "C{n} = $7E00{m}0", "!d{n} = {m}", "    db !d{n}", "if !d{n} == {m}", "endif",
    'incbin "data.bin"', "namespace n{n}", "namespace off", "    mvn L{m}>>16,$7F", "    lda S1.m", "    lda S1[{m}].m",
    "    db f({n}),f(L{m})", "    lda L{m}>>8",
]
SOME_QUIET = [
    "    dl pc(),L{n}-L{m}", "org $01FFC0", "org $02A000", "org $03A000", "pushpc", "pullpc", "base $7000", "base off",
    "!d{n} #= pc()", "if pc() > $80{n}0", "    dl g({n})", "fill align 8", "skip 2", "pad $008100", "warnpc $008080",
    'incsrc "inc.asm"', "struct S1 $7E0000\n.m: skip 2\nendstruct", "function f(a) = a+{m}", "function g(a) = pc()+a",
    "C{n} = L{m}+1", "if L{n} > $8010", "    assert pc() < $8090", "arch spc700", "    mov a,#{n}", "    bra L{m}",
    "arch 65816", "    db datasize(L{n})", "check bankcross off", "optimize dp always", "bank {n}", "hirom", "lorom",
    'incsrc "more.asm"', "spcblock $7000\n    bra -\nendspcblock", "org L{m}", "rep 40 : lda L{n}",
]
MORE_MACROS = HEAD + """macro any(a,...)
    db <a>,<...[0]>,sizeof(...)
endmacro
macro files()
    incsrc "inc.asm"
    incbin "data.bin"
endmacro
org $008000"""

Lines = tuple[str, ...]
Edit = tuple[Any, ...]


def _variants(texts: list[str], times: int) -> list[str]:
    """With names that differ: two lines at random nearly never make the same label, but often mean it."""
    rng = random.Random(7)
    out = []
    for text in texts:
        makes = re.match(r"(?:[LFOGC#]|macro|struct|function|global)", text)
        for _ in range(1 if "{" not in text else times * (4 if makes else 1)):
            n, m = rng.randrange(24 if makes else 6), rng.randrange(6)
            out.append(text.replace("{n}", str(n)).replace("{m}", str(m)))
    return out


line = st.sampled_from([*_variants(LINES, 5) * 2, *_variants(RARE, 1)])
at = st.integers(0, 99)
paths = st.sampled_from((MAIN,) * 5 + (INC,) * 2 + (MORE,))
quiet = st.sampled_from([*_variants(QUIET, 4) * 4, *_variants(SOME_QUIET, 1)])


def edits_of(line: st.SearchStrategy[str]) -> st.SearchStrategy[Edit]:
    return st.one_of(
        # path, row, rows that go, lines that come
        *[st.tuples(st.just("lines"), paths, at, st.just(0), st.tuples(line))] * 4,
        *[st.tuples(st.just("lines"), paths, at, st.just(1), st.tuples(line))] * 4,
        *[st.tuples(st.just("lines"), paths, at, st.integers(1, 3), st.just(()))] * 2,
        st.tuples(st.just("lines"), paths, at, st.integers(0, 3), st.lists(line, min_size=1, max_size=4).map(tuple)),
        # path, row, column, characters that go, text that comes
        *[st.tuples(st.just("chars"), paths, at, st.integers(0, 20), st.integers(0, 3),
                    st.text(alphabet="0123abL:;,\\\"'!<>(+-. %={}\n", max_size=2))] * 2,
        st.tuples(st.just("paste"), paths, at, st.integers(1, 8), paths, at),
        st.tuples(st.just("swap"), paths, at, st.integers(1, 9)),
        st.tuples(st.just("undo"), st.integers(1, 4)),
        st.one_of(st.tuples(st.sampled_from(("gone", "back")), st.sampled_from((INC, MORE, BINARY))),
                  st.tuples(st.just("bytes"), st.binary(max_size=6)),
                  st.tuples(st.just("quiet"))))         # it goes together with the next one


programs = st.fixed_dictionaries({
    "main": st.lists(line, min_size=20, max_size=60).map(tuple), "inc": st.lists(line, max_size=15).map(tuple),
    "more": st.lists(line, max_size=9).map(tuple), "modern": st.booleans(), "border": st.sampled_from((2, 6, 16)),
    "image": st.sampled_from((b"", b"", b"", b"\x12" * 64))})
quiet_programs = st.fixed_dictionaries({
    "main": st.lists(quiet, min_size=40, max_size=90).map(tuple), "inc": st.lists(quiet, max_size=15).map(tuple),
    "more": st.lists(quiet, max_size=9).map(tuple), "modern": st.booleans(), "border": st.sampled_from((2, 4)),
    "image": st.just(b"")})


# --- what is told --------------------------------------------------------------------------------------------------

def writes(expansion: Expansion) -> list[tuple[Any, ...]]:
    """Every statement that wrote: address, ROM offset, bytes, and where it stands. Runs of rows are taken apart."""
    out: list[tuple[Any, ...]] = []
    mode, banks = MappingMode.LOROM, SA1_BANKS
    modes = list(expansion._modes)
    data = expansion.data()
    assert len(data) == len(expansion._place) == len(expansion._objects) == len(expansion._real)
    for number, (obj, size, made) in enumerate(zip(expansion._objects, expansion._sizes, data, strict=True)):
        while modes and modes[0][0] <= number:
            _, mode, banks = modes.pop(0)
        place, at, real = expansion._place[number], expansion._at[number], expansion._real[number]
        rows = enumerate(obj.lines) if type(obj) is Rows else ()
        parts = [(row_size(text), row) for row, text in rows if text] or [(size, 0)]
        assert sum(part for part, _ in parts) == size
        done = 0
        for length, row in parts:
            snes, virtual = expansion.address(real + done), expansion.address(at + done)
            out.append((virtual, None if snes is None else to_rom(mode, snes, banks), length,
                        None if made is None else made[done:done + length], expansion.where(place + row)))
            done += length
    return out


def marks(expansion: Expansion) -> dict[str, list[tuple[int, Any]]]:
    """File -> (row, assignments before it), where these became other ones."""
    out: dict[str, list[tuple[int, Any]]] = {}
    for file, row, length in expansion._marks:
        rows = out.setdefault(expansion.files[file], [])
        if not rows or rows[-1][1] != length:
            rows.append((row, length))
    return out


def told(expansion: Expansion) -> dict[str, Any]:
    """All that anybody can ask an expansion. Names of Asar's own making are arbitrary: their labels go by place."""
    made = writes(expansion)
    labels, machine = expansion.labels, expansion._machine
    plain = [label for name, label in labels.items() if ":" not in name]
    return {
        "writes": made, "image": expansion._image, "labels": {label.name: tuple(label) for label in plain},
        "numbers": {label.name for label in plain if label.name in machine.static},
        "made labels": Counter(tuple(label)[1:] for name, label in labels.items() if ":" in name),
        "order": [name for name in machine.label_log if ":" not in name],
        "defines": dict(expansion.defines),
        "define log": [(name, text, expansion.where(place)) for name, text, place in expansion.define_log],
        "marks": marks(expansion),
        "skipped": {expansion.files[file]: rows for file, rows in expansion.skipped.items() if rows},
        "reasons": expansion.reasons, "macros": expansion.macros, "structs": expansion.structs,
        "mode": expansion.mapping_mode, "files": sorted(expansion.files),
        "bodies": {name: len(macro.lines) for name, macro in machine.macros.items()},
        "problems": [(one.path, one.span.start, one.code, one.severity, one.message) for one in expansion.problems],
        "seen": seen(expansion),
    }


def seen(expansion: Expansion) -> list[Any]:
    """Where problems of macros are seen: files go by name, and which of those of one line tells it is arbitrary."""
    return sorted([(via[0], via[2], one.code, [
        ([(expansion.files[file], row) for file, row in places], *rest) for places, *rest in via[1]])
        for one, via in zip(expansion.problems, seen_from(expansion), strict=True) if via is not None and via[2]])


def compare(live: Live, root: Root, read: Callable[[str], bytes | None], image: bytes = b"",
            limits: Limits = LIMITS) -> None:
    fresh = run(root, read, image, limits=limits)
    one, other = told(live.expansion), told(fresh)
    if any(code == "Enayru_limit" for _, _, code, _, _ in one["problems"] + other["problems"]):
        return      # where it is cut depends on how often it was executed
    for key, expected in other.items():
        assert one[key] == expected, (key, live.again)


# --- programs that are edited ----------------------------------------------------------------------------------------

class Editing:
    """The texts of a program, and what was in them before."""

    def __init__(self, program: dict[str, Any]) -> None:
        self.texts: dict[str, bytes] = {
            MAIN: ("\n".join([MORE_MACROS, *program["main"]]) + "\n").encode(),
            INC: "\n".join(program["inc"]).encode(), MORE: "\n".join(program["more"]).encode(), BINARY: b"1=2\n34"}
        self.past = [dict(self.texts)]
        self.root = Root(MAIN, Dialect.ASAR_2 if program["modern"] else Dialect.ASAR_1)
        self.waiting: set[str] = set()

    def read(self, path: str) -> bytes | None:
        return self.texts.get(path)

    def edited(self, one: Edit) -> None:
        """Do it; the paths that have another text then wait."""
        now = dict(self.texts)
        kind = one[0]
        if kind in ("lines", "chars", "paste", "swap"):
            path, row = one[1], one[2]
            rows = now.get(path, b"").decode().split("\n")
            row %= len(rows)
            if kind == "lines":
                rows[row:row + one[3]] = one[4]
            elif kind == "chars":
                whole, column = "\n".join(rows[row:]), one[3]
                rows[row:] = [whole[:column] + one[5] + whole[column + one[4]:]]
            elif kind == "paste":
                other = now.get(one[4], b"").decode().split("\n")
                other[one[5] % len(other):one[5] % len(other)] = rows[row:row + one[3]]
                path, rows = one[4], other
            elif kind == "swap":
                rows[row:row + 2 * one[3]] = rows[row + one[3]:row + 2 * one[3]] + rows[row:row + one[3]]
            now[path] = "\n".join(rows).encode()
        elif kind == "undo":
            now = dict(self.past[max(0, len(self.past) - 1 - one[1])])
        elif kind == "gone":
            now.pop(one[1], None)
        elif kind == "back":
            now[one[1]] = self.past[0][one[1]]
        elif kind == "bytes":
            now[BINARY] = one[1]
        self.waiting |= {path for path in now.keys() | self.texts.keys() if now.get(path) != self.texts.get(path)}
        self.texts = now
        self.past.append(dict(now))


class Count:
    """Of a whole run."""

    edits = 0
    slowest = 0.0
    ways: ClassVar[Counter[str]] = Counter()


def check(program: dict[str, Any], edits: list[Edit]) -> None:
    before = following.BORDER, following.SLIDING
    following.BORDER, following.SLIDING = program["border"], 1
    try:
        editing = Editing(program)
        live = Live(editing.root, editing.read, program["image"], limits=LIMITS)
        compare(live, editing.root, editing.read, program["image"])
        for one in edits:
            editing.edited(one)
            if one[0] == "quiet":
                continue
            begun = time.process_time()
            live.changed(sorted(editing.waiting))
            live.expansion.data()
            spent = time.process_time() - begun
            editing.waiting.clear()
            Count.edits += 1
            Count.slowest = max(Count.slowest, spent)
            Count.ways[live.again] += 1
            assert spent < SLOWEST, f"{spent:.1f} s"
            compare(live, editing.root, editing.read, program["image"])
    finally:
        following.BORDER, following.SLIDING = before


def program(main: str, inc: str = "", modern: bool = False, border: int = 2, image: bytes = b"",
            more: str = "") -> dict[str, Any]:
    return {"main": tuple(main.split("\n")), "inc": tuple(inc.split("\n")), "more": tuple(more.split("\n")),
            "modern": modern, "border": border, "image": image}


TOP: Edit = ("lines", MAIN, 0, 0)
FOUND: list[tuple[dict[str, Any], list[Edit]]] = [       # by long runs, made small
    (program("\n" * 18 + "    dl +,-\nfor k = 0..3\nR!k:\n    beq +\n+   bra R!k\nendfor"),
     [(*TOP, ("",)), (*TOP, ("-",)), (*TOP, ("    nop",)), (*TOP, ("",))]),
    (program("\n" * 19 + "\0"), [(*TOP, ("",)), (*TOP, ("    nop",)), (*TOP, ("",)), (*TOP, ("",))]),
    (program("\n" * 19 + "%mac(2)"),
     [(*TOP, ("",)), ("paste", MAIN, 0, 6, MAIN, 0), (*TOP, ("",)), (*TOP, ("",))]),
    (program("\n" * 18 + "namespace n2\n%mac(2)"),
     [(*TOP, ("",)), ("chars", MAIN, 0, 0, 1, ""), ("paste", MAIN, 0, 5, MAIN, 0), (*TOP, ("",))]),
    (program("    nop", modern=True), [("chars", MAIN, 12, 10, 0, "."), (*TOP, ("    nop",)), (*TOP, ("    nop",))]),
]


@pytest.mark.parametrize("number", range(len(FOUND)))
def test_what_was_wrong_once(number: int) -> None:
    check(*FOUND[number])


@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.parametrize("kind", ["any", "quiet"])
def test_edits_equal_a_fresh_execution(kind: str, part: int) -> None:
    examples = EDITS // PARTS // 14 if EDITS else 10
    program, line_of = (programs, line) if kind == "any" else (quiet_programs, quiet)

    @seed(SEED * PARTS + part)
    @settings(max_examples=examples, deadline=None, database=None, print_blob=False,
              phases=(Phase.generate, Phase.shrink), suppress_health_check=list(HealthCheck))
    @given(program, st.lists(edits_of(line_of), min_size=4, max_size=EDITS_EACH))
    def any_edits(program: dict[str, Any], edits: list[Edit]) -> None:
        check(program, edits)

    any_edits()
    if EDITS:
        print(f"part {part}: {Count.edits} edits, the slowest {1000 * Count.slowest:.0f} ms, {dict(Count.ways)}")
