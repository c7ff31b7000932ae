"""The server's side of the language model: providers, ghost text, generation, samples, and the status.

Nothing here may stop the editor: a backend that fails shows in the status with its reason, and the answer is ``null``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from lsprotocol import types

from nayru_lsp.asm.project import ParsedFile
from nayru_lsp.asm.text import Span
from nayru_lsp.config import UserConfig
from nayru_lsp.session import Document, Edit
from nayru_lsp.snapshot import Snapshot

if TYPE_CHECKING:
    from nayru_lsp.server import Nayru


class Assist:
    def __init__(self, nayru: Nayru) -> None:
        self._nayru = nayru

    async def start(self) -> None:
        self._nayru.status("silent", reason="no model yet")

    def configure(self, user: UserConfig) -> None: ...

    def changed(self, path: str, edits: Iterable[Edit]) -> None: ...

    def saved(self, path: str) -> None: ...

    def closed(self, path: str) -> None: ...

    def accepted(self, offer_id: str) -> bool:
        return False

    async def inline(self, snapshot: Snapshot, file: ParsedFile, offset: int, invoked: bool) -> (
            types.InlineCompletionList | None):
        return None

    async def generate(self, snapshot: Snapshot, file: ParsedFile, span: Span, document: Document,
                       token: types.ProgressToken | None) -> dict[str, Any]:
        return {"applied": False, "reason": "no model yet"}

    async def samples_list(self, wanted: Mapping[str, Any]) -> list[dict[str, Any]]:
        return []

    async def samples_show(self, sample_id: str) -> dict[str, Any] | None:
        return None

    async def samples_delete(self, ids: list[str]) -> int:
        return 0

    async def close(self) -> None: ...
