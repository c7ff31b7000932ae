"""An expansion that follows edits: what an edit does not touch is not executed again.

Promises: after every `changed` the result equals a fresh one of the same texts (tests/asm/test_live.py). Owns no disk
and no clock: texts come through ``read``, which must give the new text of a path before `changed` names it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from nayru_lsp.asm.expand import Expansion, Limits, Machine, Read
from nayru_lsp.asm.project import Root


class Live:
    """One root, executed again whenever something it read has changed."""

    def __init__(self, root: Root, read: Read, base_image: bytes = b"", tick: Callable[[], None] | None = None,
                 limits: Limits | None = None) -> None:
        self.root = root
        self._machine = Machine(root, read, base_image, tick, limits or Limits())
        self.expansion: Expansion = self._machine.expansion()

    def reads(self, path: str) -> bool:
        """Was this path asked for, whether it was there or not?"""
        return path in self._machine.prepared or path in self._machine.binaries

    def changed(self, paths: Iterable[str]) -> Expansion:
        """The texts of ``paths`` are other ones now."""
        touched = [path for path in paths if self.reads(path)]
        if touched:
            for path in touched:
                self._machine.forget(path)
            self.expansion = self._machine.expansion()
        return self.expansion
