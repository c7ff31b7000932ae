"""The analysis process: executes roots as Asar would and keeps them at hand (`asm.live`). Started by `work.Worker`.

Requests are tuples: ``("open", roots, fence)`` says what there is and what may be read; ``("edit", path, text)`` lays
the text of an open document over the disk's (None: the disk's holds again); ``("expand", path, number)`` executes a
root and answers with (number, packed expansion), or b"unchanged" where the caller's ``number`` is still the last one.
All that is kept here can be had again from the caller and the disk: the process may be killed at any moment.
"""

from __future__ import annotations

import gc
import time
from collections import OrderedDict
from collections.abc import Callable
from functools import partial
from typing import Any

from nayru_lsp.asm.expanded import UNCHANGED, Packed, digest
from nayru_lsp.asm.expansion import Cancelled
from nayru_lsp.asm.live import Live
from nayru_lsp.asm.packing import pack
from nayru_lsp.asm.project import Root
from nayru_lsp.files import Fence, Refused, decode

HELD_LINES = 1_500_000          # executed lines of all roots kept at hand; some 1 KB each at most
FILE_LIMIT = 32 * 1024 * 1024   # bytes of a source, a binary or a base image


class _Held:
    """A root at hand: ``digests`` are of the texts it was executed with, ``paths`` have other ones now, ``number``
    names its result."""

    def __init__(self, root: Root) -> None:
        self.root = root
        self.live: Live | None = None
        self.digests: dict[str, bytes] = {}
        self.paths: set[str] = set()
        self.number = 0


class Service:
    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._until = 0.0
        self._roots: dict[str, Root] = {}
        self._fence = Fence()
        self._overlay: dict[str, bytes] = {}
        self._held: OrderedDict[str, _Held] = OrderedDict()
        self._count = 0

    def handle(self, request: Any) -> Any:
        match request:
            case ("open", roots, fence):
                return self.open(roots, fence)
            case ("edit", path, text):
                return self.edit(path, text)
            case ("expand", path, number):
                return self.expand(path, number)
        raise ValueError(f"no such request: {request[:1]}")

    def open(self, roots: tuple[Root, ...], fence: Fence) -> None:
        if fence != self._fence:
            self._fence = fence
            self._held.clear()
        self._roots = {root.path: root for root in roots}
        for path in [path for path, held in self._held.items() if self._roots.get(path) != held.root]:
            del self._held[path]

    def edit(self, path: str, text: str | None) -> None:
        if text is None:
            self._overlay.pop(path, None)
            data = self._data(path)
            now = _digest(data) if data is not None else b""
        else:
            self._overlay[path] = text.encode("utf-8", "surrogatepass")
            now = digest(text)
        for held in self._held.values():
            if now and held.digests.get(path) == now:
                held.paths.discard(path)        # it was executed with this very text
            else:
                held.paths.add(path)

    def expand(self, path: str, number: int) -> tuple[int, Packed] | bytes:
        root = self._roots[path]
        held = self._held.pop(path, None) or _Held(root)    # only what ends well is kept: half an execution is none
        self._until = time.monotonic() + self._seconds
        try:
            if held.live is None:
                held.live = Live(root, partial(self._read, held), self._image(root), self._tick)
                self._count += 1
                held.number = self._count
            elif any(held.live.reads(one) for one in held.paths):
                held.live.changed(held.paths)
                self._count += 1
                held.number = self._count
        except Cancelled:
            raise TimeoutError(f"it takes more than {self._seconds:g} s") from None
        held.paths = set()
        self._held[path] = held
        while len(self._held) > 1 and sum(
                one.live.expansion.lines for one in self._held.values() if one.live is not None) > HELD_LINES:
            self._held.popitem(last=False)
        if held.number == number:
            return UNCHANGED
        packed = pack(held.live.expansion, dict(root.defines))
        packed["digests"] = dict(held.digests)
        return held.number, packed

    def _tick(self) -> None:
        if time.monotonic() > self._until:
            raise Cancelled

    def _read(self, held: _Held, path: str) -> bytes | None:
        data = self._data(path)
        held.digests[path] = _digest(data) if data is not None else b""
        return data

    def _data(self, path: str) -> bytes | None:
        """The text that the editor holds, else the file, where the fence lets it be read."""
        data = self._overlay.get(path)
        if data is None:
            try:
                data = self._fence.read_bytes(path, FILE_LIMIT)
            except Refused:
                return None
        return data

    def _image(self, root: Root) -> bytes:
        return self._data(root.base_image) or b"" if root.base_image else b""


def _digest(data: bytes) -> bytes:
    """Of the text as the server reads it; b"" for what is no text."""
    return b"" if b"\0" in data else digest(decode("", data).text)


def serve(seconds: float = 60.0) -> Callable[[Any], Any]:
    """Factory for `work.Worker`: one `Service`, whose expansions end after ``seconds``."""
    gc.set_threshold(50_000, 20, 100)       # an expansion is millions of small objects that live on
    return Service(seconds).handle
