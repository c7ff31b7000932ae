"""Real source, torn and mended at random: an execution ends in time and raises nothing, whatever it is given.

NAYRU_MUTANTS=100000 makes it a long run; with NAYRU_CORPUS the mutants are those of real projects.
"""

from __future__ import annotations

import os
import random
import time
from pathlib import Path

import pytest

from nayru_lsp.asm.expand import Limits, run
from nayru_lsp.asm.project import Root
from nayru_lsp.asm.syntax import Dialect

MUTANTS = int(os.environ.get("NAYRU_MUTANTS", "1500"))
PARTS = 10
LIMITS = Limits(lines=200_000, loops=3_000, text=100_000, output=0x100000, calls=20_000)
PIECES = [
    "!", "<", ">", '"', "'", ":", " : ", "%", "(", ")", "[", "]", "{", "}", "\\", ",", ";", "#", "$", ".", "+", "-",
    "?", "=", "@", "~", "<:", "**", "&&", "||", "\n", "\u0000", "\u00e9", ";[[", "]]", "macro ", "endmacro", "if ",
    "endif", "else", "elseif ", "while ", "endwhile", "for i = 0..3", "endfor", "!a = ", "!a += ", "!a #= ",
    "struct a $0", "endstruct", "org $", "base $", 'incsrc "x.asm"', 'incbin "x"', "%x(", "<...[0]>", "sizeof(...)",
    "arch spc700", "arch superfx", "arch 65816", "namespace x", "pushns", "pullns", "rep 9 :", "freecode",
    "autoclean jsl x", "spcblock 0", "endspcblock", "fill ", "skip -", "pad $", 'db "', "table x", "'x' = 1", "pc()",
    "read1($8000)", 'readfile1("x",0)', 'defined("a")', "warnpc ", "pushpc", "pullpc", "global x:",
    "function f(a) = a", "f(1)", "assert ", "prot x", 'undef "a"', "check bankcross off",]
HEAD = ["", "org $008000\n", "lorom\norg $8000\nmacro x(a,...)\n db <a>\nendmacro\n", "asar 1.90\nhirom\norg $C00000\n"]


def sources() -> list[Path]:
    corpus = os.environ.get("NAYRU_CORPUS")
    if corpus:
        return sorted(Path(corpus).rglob("*.asm"))
    return sorted((Path(__file__).parents[2] / "nayru_lsp").rglob("*.asm"))


def mutant(rng: random.Random, lines: list[str]) -> str:
    start = rng.randrange(max(1, len(lines)))
    text = "\n".join(lines[start:start + rng.randrange(5, 80)])
    for _ in range(rng.randrange(1, 12)):
        at, kind = rng.randrange(len(text) + 1), rng.random()
        if kind < 0.5:
            text = text[:at] + rng.choice(PIECES) + text[at:]
        elif kind < 0.75:
            text = text[:at] + text[at + rng.randrange(1, 9):]
        else:
            other = rng.randrange(len(text) + 1)
            text = text[:at] + text[min(at, other):max(at, other)][:200] + text[at:]
    return rng.choice(HEAD) + text


@pytest.mark.parametrize("part", range(PARTS))
def test_mutants(part: int) -> None:
    rng = random.Random(part)
    files = sources()
    texts: dict[Path, list[str]] = {}
    for number in range(MUTANTS // PARTS):
        path = rng.choice(files)
        if path not in texts:
            texts[path] = path.read_bytes().decode("utf-8", "surrogateescape").split("\n")
            if len(texts) > 200:
                texts.pop(next(iter(texts)))
        text = mutant(rng, texts[path])
        known = {"/m.asm": text.encode("utf-8", "surrogateescape"), "/x.asm": b"nop\n!a = 1\n", "/x": b"12345"}
        dialect = rng.choice([Dialect.ASAR_1, Dialect.ASAR_2])
        start = time.process_time()
        expansion = run(Root("/m.asm", dialect), known.get, rng.choice([None, b"", bytes(0x80000)]), limits=LIMITS)
        data = expansion.data()
        assert len(expansion.labels) == len(expansion.values)
        for size, made in zip(expansion._sizes, data, strict=True):
            assert made is None or len(made) == size, text
        assert time.process_time() - start < 5, f"mutant {number} of part {part}: {text}"
