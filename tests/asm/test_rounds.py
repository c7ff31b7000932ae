"""Rounds that are done at once: nobody can tell them from those that are gone through."""

from __future__ import annotations

import random

import pytest

from nayru_lsp.asm import expand as executing
from nayru_lsp.asm import rounds
from nayru_lsp.asm.compiled import Rows, row_data
from nayru_lsp.asm.expand import Expansion, Limits, run
from nayru_lsp.asm.live import Live
from nayru_lsp.asm.project import Root
from nayru_lsp.asm.syntax import Dialect
from tests.asar import assemble
from tests.asm.executing import MAIN, ours

LIMITS = Limits(loops=700, lines=3_000, held=20_000)
HEADS = [*["while !i < {n}"] * 4, "while !i < ${n}", "While !i < <x>", "while !i <= {n}", "while !j < {n}",
         "while !i < !n", "while !i < {n} && 1 == 1", "while !i < 0{n}"]
BODIES = ["db $FF", "dw 1,2", "nop", "lda #$12", "db !i", "L:", "db 1 : nop", "jmp Here", "if 1 == 1\nnop\nendif",
          "!j = 7", "", "fill 3", "db \"x\"", "eor #1", "inc #3", "skip 2", "; nothing", "%other()", "db $FF\ndb 1,2,3"]
STEPS = ["!i #= !i+1", "!i #= !i+3", "!i #= !i*2+1", "!i #= !i+1", "!i #= !i+1", "!j #= !i+1", "!i := !i+1"]
AROUND = ["org $008000", "org $00FFF0", "base $7E0000", "base off", "arch spc700", "arch 65816", "check bankcross off",
          "check bankcross on", "!i = 0", "!i = $0", "!i = 5", "!j = 0", "rep 3", "db 1", "Here{k}:", "namespace n",
          "namespace off", "bank noassume", "!n = 9", "pushpc", "pullpc", "if !i > 3", "endif", "freecode"]


def program(rng: random.Random) -> str:
    def loop() -> str:
        body = [rng.choice(BODIES) for _ in range(rng.randrange(3))]
        body.insert(rng.randrange(len(body) + 1), rng.choice(STEPS))
        start = rng.choice(["!i = 0\n", "!i = 0\n", ""])
        return start + "\n".join([rng.choice(HEADS), *body, rng.choice(["endwhile"] * 6 + ["endif"])]).replace(
            "{n}", str(rng.choice([0, 1, 2, 7, 30, 200, 200, 400, 900])))

    parts = ["lorom", "macro other()\nnop\nendmacro", "!i = 0\n!j = 0\n!n = 4"]
    for number in range(rng.randrange(1, 4)):
        parts.append(f"macro m{number}(x)\n{loop()}\nendmacro")
    parts.append("org $008000\nHere:")
    for _ in range(rng.randrange(2, 9)):
        kind = rng.random()
        parts.append(loop().replace("<x>", "6") if kind < 0.3 else f"%m{rng.randrange(3)}(${rng.randrange(40)})"
                     if kind < 0.7 else rng.choice(AROUND).replace("{k}", str(len(parts))))
    return "\n".join(parts) + "\n"


def everything(expansion: Expansion) -> list[object]:
    """With rows of numbers as their bytes, each by itself."""
    objects: list[object] = []
    for number, made in enumerate(expansion._objects):
        rows = made.lines if type(made) is Rows else [made]
        at, real, place = expansion._at[number], expansion._real[number], expansion._place[number]
        for below, row in enumerate(rows):
            if row == "":
                continue
            data = row_data(row) if type(row) is str else row
            kept = data if type(data) is bytes else None
            objects.append((kept, at, real, place + below))
            at, real = at + len(kept or b""), real + len(kept or b"")
    return [objects, expansion.define_log, expansion._marks, expansion.defines, expansion.problems, expansion.lines,
            expansion.places, expansion.values, expansion.call_table, expansion._machine.turns,
            expansion._machine.held, expansion.data() and None]


@pytest.mark.parametrize("dialect", Dialect)
def test_as_if_they_were_gone_through(dialect: Dialect, monkeypatch: pytest.MonkeyPatch) -> None:
    done = []
    write = rounds._write
    monkeypatch.setattr(rounds, "_write", lambda *all_: (done.append(all_[-1]), write(*all_)))
    at_once = executing.at_once
    for seed in range(80):
        text = program(random.Random(seed))
        for kind in (run, Live):
            monkeypatch.setattr(executing, "at_once", at_once)
            one = kind(Root(MAIN, dialect), {MAIN: text.encode()}.get, limits=LIMITS)
            monkeypatch.setattr(executing, "at_once", lambda *all_: None)
            other = kind(Root(MAIN, dialect), {MAIN: text.encode()}.get, limits=LIMITS)
            found = [each.expansion if isinstance(each, Live) else each for each in (one, other)]
            if any("lines" in problem.message for problem in (*found[0].problems, *found[1].problems)
                   if problem.code == "Enayru_limit"):
                continue        # where it is cut is looked at now and then only
            assert everything(found[0]) == everything(found[1]), text
    assert len(done) > 15 and max(done) > 100


FILLS = """lorom
org $008000
macro fill(n)
!i = 0
while !i < <n>
    db $FF,1
    nop
    !i #= !i+1
endwhile
endmacro
%fill($123)
!k = 0
while !k < 1000
    !k #= !k+3
    dw 7
endwhile
db !k
%fill(40)
org $01FF00
!i = 0
while !i < 256
    !i #= !i+1
    db 9
endwhile
org $028000
dl !i
"""


def test_bytes_as_asar() -> None:
    asar = assemble(FILLS)
    assert asar.ok
    theirs = {offset + at: byte for offset, _, data in asar.blocks for at, byte in enumerate(data)}
    assert ours(run(Root(MAIN), {MAIN: FILLS.encode()}.get)) == theirs
