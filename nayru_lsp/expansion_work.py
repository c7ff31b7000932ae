"""The analysis process: executes roots as Asar would and keeps them at hand (`asm.live`). Started by `work.Worker`.

Requests are tuples: ``("open", roots, fence)`` says what there is and what may be read; ``("edit", path, text)`` lays
the text of an open document over the disk's (None: the disk's holds again); ``("expand", path, number, paths)`` gives
what executing a root found: (number, sections, digests of the texts, whole, moved), of sections (`asm.packing`) only
those that the caller, who has result ``number``, lacks, unless ``whole``; the lines of ``paths`` are told. ``moved``:
None, or the result came from the disk, and these are the files that are other ones now; ``("warm", path)`` executes the
root then, so that it can follow edits. ``("store", path)`` keeps the result on disk.

What takes long is done in slices: the answer to "expand" is ``(paths,)`` then, the files read since the last time, to
"warm" it is False and to "store" None, and the request is to be made again; anything else may be asked before.
``("drop", path)`` gives up.
Who has nothing yet (``number`` 0) is now and then given what is sure so far (`asm.early`): ``(paths, sections,
digests)``.
All that is kept here can be had again from the caller and the disk: the process may be killed at any moment.
"""

from __future__ import annotations

import gc
import math
from codecs import BOM_UTF8 as BOM
from collections import OrderedDict
from collections.abc import Callable, Collection
from functools import cache, partial
from hashlib import blake2b
from pathlib import Path
from typing import Any

from nayru_lsp import asm
from nayru_lsp.asm.expanded import FILE, Packed, digest
from nayru_lsp.asm.expansion import Cancelled, Expansion
from nayru_lsp.asm.live import Live
from nayru_lsp.asm.mapping import without_header
from nayru_lsp.asm.packing import Packer, pack
from nayru_lsp.asm.project import Root
from nayru_lsp.cache import DiskCache
from nayru_lsp.files import FILE_LIMIT, Fence, Refused, decode
from nayru_lsp.slices import Sliced

HELD_LINES = 1_500_000          # executed lines of all roots kept at hand; some 1 KB each at most
FIRST, MORE = 0.2, 1.5          # seconds of an execution until what is sure so far is told, and times that until again
SLICE = 0.1                     # seconds that others wait at most, but where what is told is packed


class _Held:
    """A root at hand: ``digests`` are of the texts it was executed with, ``paths`` have other ones now, ``number``
    names its result."""

    def __init__(self, root: Root) -> None:
        self.root = root
        self.live: Live | None = None
        self.packer: Packer | None = None
        self.digests: dict[str, bytes] = {}
        # Digests of the very bytes, of binaries too; None: not made yet, they are those in ``overlay``
        self.contents: dict[str, bytes | None] = {}
        self.paths: set[str] = set()
        self.overlay: dict[str, bytes] = {}     # the texts of open documents when it was begun to execute it
        self.reading: list[str] = []            # what was read since that was told
        self.number = 0
        self.told = 0                           # number of the last result that was told
        self.shown: frozenset[str] = frozenset()    # the files whose lines were
        self.stored: Packed | None = None       # all sections, as they came from the disk
        self.tell_at = FIRST                    # seconds of its execution after which what is sure so far is told


class Service:
    def __init__(self, seconds: float, folder: str = "", slice_seconds: float = math.inf) -> None:
        self._seconds = seconds
        self._slice = slice_seconds
        self._cache = DiskCache(folder)
        self._roots: dict[str, Root] = {}
        self._fence = Fence()
        self._overlay: dict[str, bytes] = {}
        self._known: dict[str, tuple[bytes, bytes]] = {}    # path -> what is laid over it, digest of its text
        self._held: OrderedDict[str, _Held] = OrderedDict()
        self._begun: dict[str, tuple[_Held, Sliced[None]]] = {}     # not yet at their end
        self._storing: dict[str, Sliced[bool]] = {}
        self._count = 0

    def handle(self, request: Any) -> Any:
        match request:
            case ("open", roots, fence):
                return self.open(roots, fence)
            case ("edit", path, text):
                return self.edit(path, text)
            case ("expand", path, number, paths):
                return self.expand(path, number, paths)
            case ("warm", path):
                return self.warm(path)
            case ("drop", path):
                return self.drop(path)
            case ("store", path):
                return self.store(path)
        raise ValueError(f"no such request: {request[:1]}")

    def open(self, roots: tuple[Root, ...], fence: Fence) -> None:
        other = fence != self._fence
        self._fence = fence
        self._roots = {root.path: root for root in roots}
        for path in [path for path, held in self._held.items() if other or self._roots.get(path) != held.root]:
            self._stop_storing(path)
            del self._held[path]
        for path in [path for path, (held, _) in self._begun.items() if other or self._roots.get(path) != held.root]:
            self.drop(path)

    def edit(self, path: str, text: str | None) -> None:
        if text is None:
            self._overlay.pop(path, None)
            self._known.pop(path, None)
            data = self._data(path)
            now = _digest(data) if data is not None else b""
        else:
            saved = self._overlay[path] = self._saved(path, text)
            now = digest(text)
            self._known[path] = saved, b"" if "\0" in text else now
        for held in self._held.values():
            if now and held.digests.get(path) == now:
                held.paths.discard(path)        # it was executed with this very text
            else:
                held.paths.add(path)
        for held, _ in self._begun.values():
            held.paths.add(path)                # whichever text it comes to: `Live` compares them

    # --- executing ---------------------------------------------------------------------------------------------------

    def expand(self, path: str, number: int, paths: Collection[str]) -> tuple[Any, ...]:
        """``number``: 0 for who has nothing, -1 for who has the result of another process."""
        held = self._held.get(path)
        if held is None and number <= 0 and path not in self._begun:
            held = self._stored(self._roots[path])
            if held is not None:
                self._held[path] = held
        # What is out of date is better than nothing, but not than anything.
        if held is not None and held.stored is not None and (number == 0 or not self._moved(held)):
            names = [name for name in held.stored if not name.startswith(FILE) or name[len(FILE):] in paths]
            if number == held.number:
                names = [name for name in names if name.startswith(FILE)]
            sections = {name: held.stored[name] for name in names}
            return held.number, sections, held.digests, number != held.number, self._moved(held)
        if not self._go_on(path):
            held, work = self._begun[path]
            reading, held.reading = held.reading, []
            early = self._early(held, work.spent, paths) if number == 0 else None
            return (reading,) if early is None else (reading, early, dict(held.digests))
        held = self._held[path]
        assert held.packer is not None and held.live is not None
        known = number == held.told and number > 0
        wanted = frozenset(paths)
        if known and wanted == held.shown and (number == held.number or held.live.again == "nothing"):
            sections = {}
        else:
            sections = held.packer.pack(paths, held.digests, known)
        held.shown = wanted
        held.told = held.number
        return held.number, sections, dict(held.digests), not known, None

    @staticmethod
    def _early(held: _Held, spent: float, paths: Collection[str]) -> Packed | None:
        """What is sure so far, where it is time to tell it."""
        if held.live is None or held.number or spent < held.tell_at:
            return None
        held.tell_at = spent * MORE
        found = held.live.so_far(paths)
        return None if found is None else pack(found, dict(held.root.defines), paths)

    def warm(self, path: str) -> bool:
        return path not in self._roots or self._go_on(path)

    def drop(self, path: str) -> None:
        _, work = self._begun.pop(path, (None, None))
        if work is not None:
            work.drop()

    def _go_on(self, path: str) -> bool:
        """Execute for a while; True when what is at hand was found in the texts of now."""
        while True:
            held = self._held.get(path)
            if path not in self._begun:
                if held is not None and held.live is not None and not self._moved(held):
                    self._held.move_to_end(path)
                    return True
                self._stop_storing(path)
                held = self._held.pop(path, None) or _Held(self._roots[path])
                self._begun[path] = held, Sliced(partial(self._execute, held, self._changed(held)))
            held, work = self._begun[path]
            if not work.go_on(self._slice):
                return False
            del self._begun[path]           # only what ends well is kept: half an execution is none
            try:
                work.result()
            except Cancelled:
                raise TimeoutError(f"it takes more than {self._seconds:g} s") from None
            self._held[path] = held
            while len(self._held) > 1 and sum(
                    one.live.expansion.lines for one in self._held.values() if one.live is not None) > HELD_LINES:
                self._stop_storing(next(iter(self._held)))
                self._held.popitem(last=False)

    def _changed(self, held: _Held) -> set[str]:
        """What is to be looked at anew in an execution that begins now; what happens from now on is for the next."""
        paths, held.paths = held.paths, set()
        held.overlay = dict(self._overlay)
        held.reading.clear()
        return paths

    def _execute(self, held: _Held, paths: set[str]) -> None:
        if held.live is None:
            held.stored, held.digests, held.contents = None, {}, {}
            def begun(live: Live) -> None:
                held.live = live

            live = Live(held.root, partial(self._read, held), self._image(held), partial(self._tick, held), begun=begun)
            held.packer = Packer(live)
        else:
            live = held.live
            live.changed(paths)
        live.expansion.parts()              # evaluates the bytes
        self._count += 1
        held.number = self._count

    @staticmethod
    def _moved(held: _Held) -> tuple[str, ...]:
        """The files it was made of that are other ones now."""
        return tuple([path for path in held.paths if path in held.contents or path in held.digests or (
            held.live is not None and held.live.reads(path))])

    def _tick(self, held: _Held) -> None:
        begun = self._begun.get(held.root.path)
        if begun is not None:
            begun[1].pause()
            if begun[1].spent > self._seconds:
                raise Cancelled

    # --- on disk -----------------------------------------------------------------------------------------------------

    def store(self, path: str) -> bool | None:
        """Keep what is found on disk, unless it is there or rests on a text that only an editor has. None: not yet at
        its end."""
        if path not in self._storing:
            held = self._held.get(path)
            if held is None or held.live is None or self._moved(held):
                return False
            if any(self._overlay.get(one, self._disk(one)) != self._disk(one) for one in held.contents):
                return False
            self._storing[path] = Sliced(partial(self._keep, held, held.live.expansion))
        if not self._storing[path].go_on(self._slice):
            return None
        return self._storing.pop(path).result()

    def _keep(self, held: _Held, expansion: Expansion) -> bool:
        tick = self._storing[held.root.path].pause
        contents = {path: _content(held.overlay[path]) if known is None else known
                    for path, known in held.contents.items()}
        sections = pack(expansion, dict(held.root.defines), None, tick)
        return self._cache.store(_key(held.root), (sections, held.digests, contents))

    def _stop_storing(self, path: str) -> None:
        work = self._storing.pop(path, None)
        if work is not None:
            work.drop()

    def _stored(self, root: Root) -> _Held | None:
        """What the disk has of a root; its ``paths`` are the files that are not as they were then."""
        found = self._cache.load(_key(root))
        if found is None:
            return None
        held = _Held(root)
        held.stored, held.digests, held.contents = found
        for path, known in held.contents.items():
            data = self._data(path)
            if (b"" if data is None else _content(data)) != known:
                held.paths.add(path)
        self._count += 1
        held.number = self._count
        return held

    # --- reading -----------------------------------------------------------------------------------------------------

    def _read(self, held: _Held, path: str) -> bytes | None:
        data = held.overlay.get(path)
        held.reading.append(path)
        if data is None:
            data = self._disk(path)
            held.digests[path] = _digest(data) if data is not None else b""
            held.contents[path] = _content(data) if data is not None else b""
            return data
        known = self._known.get(path)
        held.digests[path] = known[1] if known is not None and known[0] is data else _digest(data)
        held.contents[path] = None
        return data

    def _data(self, path: str) -> bytes | None:
        """The text that the editor holds, else the file, where the fence lets it be read."""
        data = self._overlay.get(path)
        return self._disk(path) if data is None else data

    def _saved(self, path: str, text: str) -> bytes:
        """The bytes of a text that an editor holds: the file's own while it is the file's own text, where a byte order
        mark and bytes that are no UTF-8 are not in."""
        data, disk = text.encode("utf-8", "surrogatepass"), self._disk(path)
        if disk is not None and "\ufffd" in text and decode(path, disk).text == text:
            return disk
        return BOM + data if disk is not None and disk.startswith(BOM) else data

    def _disk(self, path: str) -> bytes | None:
        try:
            return self._fence.read_bytes(path, FILE_LIMIT)
        except Refused:
            return None

    def _image(self, held: _Held) -> bytes | None:
        path = held.root.base_image
        data = self._read(held, path) if path else None
        return None if data is None else without_header(data)


@cache
def _code() -> str:
    """Stands for the code that executes: what another version of it found is worth nothing."""
    found = blake2b(digest_size=12)
    for path in sorted(Path(asm.__file__).parent.iterdir()):
        if path.is_file():
            found.update(path.read_bytes())
    return found.hexdigest()


def _key(root: Root) -> str:
    return f"{_code()} {root!r}"


def _content(data: bytes) -> bytes:
    return blake2b(data, digest_size=12).digest()


def _digest(data: bytes) -> bytes:
    """Of the text as the server reads it; b"" for what is no text."""
    return b"" if b"\0" in data else digest(decode("", data).text)


def serve(seconds: float = 60.0, folder: str = "") -> Callable[[Any], Any]:
    """Factory for `work.Worker`: one `Service`, whose expansions end after ``seconds``; ``folder`` is where
    results are kept, "" for nowhere."""
    gc.set_threshold(50_000, 20, 100)       # an expansion is millions of small objects that live on
    return Service(seconds, folder, SLICE).handle
