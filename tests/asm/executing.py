"""Execute a text, and see what it wrote: for the tests of both dialects."""

from __future__ import annotations

import random
from collections.abc import Callable

from nayru_lsp.asm.expand import Expansion, Limits, run
from nayru_lsp.asm.project import Root
from nayru_lsp.asm.syntax import Dialect
from tests.comparison import compare_bytes, compare_labels, errors_of
from tests.oracle import Assembled

MAIN = "/main.asm"


def expand(text: str | bytes, dialect: Dialect = Dialect.ASAR_1, limits: Limits | None = None,
           **files: str) -> Expansion:
    """``inc__asm="..."`` is the file ``/inc.asm``."""
    texts = {MAIN: text if isinstance(text, bytes) else text.encode(),
             **{f"/{name.replace('__', '.')}": body.encode() for name, body in files.items()}}
    return run(Root(MAIN, dialect), texts.get, limits=limits)


def ours(expansion: Expansion) -> dict[int, int]:
    """ROM offset -> byte; every byte must be known."""
    out: dict[int, int] = {}
    for write in expansion.writes:
        assert write.data is not None and len(write.data) == write.size, write
        assert write.rom is not None, write
        out.update(enumerate(write.data, write.rom))
    return out


# --- images with freespace ---------------------------------------------------------------------------------------

def image(size: int = 0x80000, **patches: bytes) -> bytes:
    """``size`` zeros, with bytes at ``x80000=`` offsets."""
    out = bytearray(size)
    for at, data in patches.items():
        out[int(at[1:], 16):int(at[1:], 16) + len(data)] = data
    return bytes(out)


def block(contents: bytes) -> bytes:
    stated = len(contents) - 1
    return (b"STAR" + stated.to_bytes(2, "little") + (stated ^ 0xFFFF).to_bytes(2, "little")) + contents


def used_up(rng: random.Random) -> bytearray:
    """An image in which something lies here and there, blocks with tags too."""
    base = bytearray(rng.choice((0x80000, 0x100000, 0x180000, 0x400000)))
    for _ in range(rng.randrange(10)):
        at, size = rng.randrange(len(base) - 0x8000), rng.choice((3, 300, 0x7000))
        base[at:at + size] = bytes([rng.choice((1, 0xFF))]) * size
    for _ in range(rng.randrange(6)):
        at = rng.choice((0x80000 + rng.randrange(0x100), rng.randrange(len(base) - 0x8000) | 0x7FF4))
        base[at:at + 8] = block(bytes(rng.choice((1, 6, 0x3000))))[:8]
    return base


def applied_twice(both: Callable[[bytes], tuple[Expansion, Assembled]], base: bytes) -> None:
    """A patch on an image and on what came of it: bytes, labels and errors of ours are those of the real Asar."""
    for _ in range(2):
        ours, asar = both(base)
        assert not asar.died or "no end" in asar.died, asar.died
        ours.data()
        codes = {problem.code for problem in errors_of(ours.problems)}
        if not asar.ok:
            assert asar.died or codes & {error.name for error in asar.errors}, (asar.errors, codes)
            return
        assert not codes
        assert compare_bytes(ours.writes, asar).all_equal and compare_labels(ours.labels, asar.labels).all_equal
        base = asar.image


# What programs made of random lines begin with: the counter of their loops, and macros.
HEAD = """lorom
!i = 0
macro mac(a)
    lda #<a>
?loop: bne ?loop
    bra ?+
?+
endmacro
macro two(a)
    jsl <a>
<a>_made:
endmacro
"""
