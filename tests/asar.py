"""The real Asar 1.91 as a library, for tests: text in, bytes, errors, warnings and prints out.

In this process on purpose (well below a millisecond a call): give it only text that this project wrote.
"""

from __future__ import annotations

import ctypes as C
from dataclasses import dataclass
from functools import cache
from typing import Any

from tests.kit import require


class _MemoryFile(C.Structure):
    _fields_ = [("path", C.c_char_p), ("data", C.c_void_p), ("size", C.c_size_t)]


class _Params(C.Structure):     # the layout of API 303
    _fields_ = [
        ("structsize", C.c_int), ("patchloc", C.c_char_p), ("romdata", C.c_void_p), ("buflen", C.c_int),
        ("romlen", C.POINTER(C.c_int)), ("includepaths", C.c_void_p), ("numincludepaths", C.c_int),
        ("should_reset", C.c_bool), ("defines", C.c_void_p), ("definecount", C.c_int),
        ("stdincludesfile", C.c_char_p), ("stddefinesfile", C.c_char_p), ("warnsettings", C.c_void_p),
        ("warnsettingcount", C.c_int), ("memoryfiles", C.POINTER(_MemoryFile)), ("memoryfilecount", C.c_int),
        ("override_checksum", C.c_bool), ("generate_checksum", C.c_bool),
    ]


class _Error(C.Structure):
    _fields_ = [
        ("full", C.c_char_p), ("raw", C.c_char_p), ("block", C.c_char_p), ("filename", C.c_char_p),
        ("line", C.c_int), ("callerfilename", C.c_char_p), ("callerline", C.c_int), ("errid", C.c_int),
    ]


class _Block(C.Structure):
    _fields_ = [("pc", C.c_int), ("snes", C.c_int), ("count", C.c_int)]


@dataclass(frozen=True)
class Assembled:
    """``blocks``: (ROM offset, SNES address, bytes) as written; ``errors`` and ``warnings``: (line from 0, text)."""

    ok: bool
    blocks: tuple[tuple[int, int, bytes], ...]
    errors: tuple[tuple[int, str], ...]
    warnings: tuple[tuple[int, str], ...]
    prints: tuple[str, ...]

    @property
    def data(self) -> bytes:
        return b"".join(block[2] for block in self.blocks)


@cache
def _library() -> C.CDLL:
    library = C.CDLL(str(require("asar")))
    assert library.asar_apiversion() // 100 == 3, "these tests speak the API of Asar 1.91"
    library.asar_init.restype = C.c_bool
    library.asar_patch_ex.restype = C.c_bool
    library.asar_patch_ex.argtypes = [C.POINTER(_Params)]
    for name, kind in (("errors", _Error), ("warnings", _Error), ("prints", C.c_char_p), ("writtenblocks", _Block)):
        function = getattr(library, f"asar_get{name}")
        function.restype = C.POINTER(kind)
        function.argtypes = [C.POINTER(C.c_int)]
    assert library.asar_init()
    return library


_ROM = C.create_string_buffer(0x1000000)


def assemble(text: str) -> Assembled:
    """Assemble ``text`` as a patch of an empty image of 16 MiB room."""
    library = _library()
    raw = text.encode("utf-8")
    buffer = C.create_string_buffer(raw, len(raw))
    memory = _MemoryFile(b"/main.asm", C.cast(buffer, C.c_void_p), len(raw))
    length = C.c_int(0)
    params = _Params(
        structsize=C.sizeof(_Params), patchloc=b"/main.asm", romdata=C.cast(_ROM, C.c_void_p), buflen=len(_ROM),
        romlen=C.pointer(length), should_reset=True, memoryfiles=C.pointer(memory), memoryfilecount=1,
        override_checksum=True, generate_checksum=False)
    ok = bool(library.asar_patch_ex(C.byref(params)))

    def got(name: str) -> list[Any]:
        count = C.c_int(0)
        items = getattr(library, f"asar_get{name}")(C.byref(count))
        return [items[i] for i in range(count.value)]

    def texts(name: str) -> tuple[tuple[int, str], ...]:
        return tuple((error.line, error.full.decode("utf-8", "replace")) for error in got(name))

    start = C.addressof(_ROM)
    blocks = tuple((b.pc, b.snes, C.string_at(start + b.pc, b.count)) for b in got("writtenblocks")) if ok else ()
    return Assembled(ok, blocks, texts("errors"), texts("warnings"),
                     tuple(text.decode("utf-8", "replace") for text in got("prints")))
