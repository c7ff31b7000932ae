"""Execute a text, and see what it wrote: for the tests of both dialects."""

from __future__ import annotations

from nayru_lsp.asm.expand import Expansion, Limits, run
from nayru_lsp.asm.project import Root
from nayru_lsp.asm.syntax import Dialect

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
