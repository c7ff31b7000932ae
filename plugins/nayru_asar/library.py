"""Asar's C interface by ctypes, both generations: 303 (Asar 1.9x) and 400 (the 2.0 beta). Runs in a worker process
only: the library keeps everything in globals, can hang and can crash. The worker loads this file by its path, so it
imports nothing of ours.

The layouts below are those of a 64-bit build; ``structsize`` must match to the byte. Everything is copied out of the
library's memory at once: its pointers live until the next call.
"""

from __future__ import annotations

import ctypes as C
import re
from collections.abc import Callable
from typing import Any

MOST_ERRORS = 400           # of one run, warnings likewise
MOST_TEXT = 2000            # bytes of one message
ROM_BYTES = 0x1000000       # a buffer of exactly this size saves Asar one copy
BASE_BYTES = 0x80000        # the smallest image in which Asar finds free space

_NAME = re.compile(rb"\((\w+)\)")


class _MemoryFile(C.Structure):
    _fields_ = [("path", C.c_char_p), ("data", C.c_void_p), ("size", C.c_size_t)]


class _Define(C.Structure):
    _fields_ = [("name", C.c_char_p), ("text", C.c_char_p)]


class _WarnSetting(C.Structure):
    _fields_ = [("name", C.c_char_p), ("enabled", C.c_bool)]


_HEAD: list[Any] = [
    ("structsize", C.c_int), ("patchloc", C.c_char_p), ("romdata", C.c_void_p), ("buflen", C.c_int),
    ("romlen", C.POINTER(C.c_int)), ("includepaths", C.POINTER(C.c_char_p)), ("numincludepaths", C.c_int),
]
_TAIL: list[Any] = [
    ("defines", C.POINTER(_Define)), ("definecount", C.c_int), ("stdincludesfile", C.c_char_p),
    ("stddefinesfile", C.c_char_p), ("warnsettings", C.POINTER(_WarnSetting)), ("warnsettingcount", C.c_int),
    ("memoryfiles", C.POINTER(_MemoryFile)), ("memoryfilecount", C.c_int), ("override_checksum", C.c_bool),
    ("generate_checksum", C.c_bool),
]


class _Params3(C.Structure):
    _fields_ = [*_HEAD, ("should_reset", C.c_bool), *_TAIL]


class _Params4(C.Structure):
    _fields_ = [*_HEAD, *_TAIL, ("full_call_stack", C.c_bool)]


class _Error3(C.Structure):
    _fields_ = [("full", C.c_char_p), ("raw", C.c_char_p), ("block", C.c_char_p), ("filename", C.c_char_p),
                ("line", C.c_int), ("callerfilename", C.c_char_p), ("callerline", C.c_int), ("errid", C.c_int)]


class _StackEntry(C.Structure):
    _fields_ = [("fullpath", C.c_char_p), ("prettypath", C.c_char_p), ("line", C.c_int), ("details", C.c_char_p)]


class _Error4(C.Structure):
    _fields_ = [("full", C.c_char_p), ("raw", C.c_char_p), ("block", C.c_char_p), ("filename", C.c_char_p),
                ("line", C.c_int), ("callstack", C.POINTER(_StackEntry)), ("callstacksize", C.c_int),
                ("errname", C.c_char_p)]


class _Block(C.Structure):
    _fields_ = [("pc", C.c_int), ("snes", C.c_int), ("count", C.c_int)]


class _Label(C.Structure):
    _fields_ = [("name", C.c_char_p), ("location", C.c_int)]


class Refused(Exception):
    """A library that is not used; ``str()`` says why."""


class Library:
    """A loaded Asar. ``version`` as it counts (10901), ``generation`` 3 or 4. Raises Refused or OSError."""

    def __init__(self, path: str) -> None:
        if C.sizeof(C.c_void_p) != 8:
            raise Refused("only a 64-bit Python can call Asar here")
        handle = C.CDLL(path)
        # Asar's fork z3dk says it is Asar 2.0, but its own two directives run text of the source as shell commands.
        if hasattr(handle, "asar_patchparams_size"):
            raise Refused("this is not Asar but a fork whose directives can run programs")
        for name in ("asar_apiversion", "asar_version", "asar_init", "asar_patch"):
            if not hasattr(handle, name):
                raise Refused("this is no Asar library")
        handle.asar_apiversion.restype = C.c_int
        self.generation: int = handle.asar_apiversion() // 100      # this call also unlocks asar_init
        if self.generation not in (3, 4):
            raise Refused(f"its interface has version {self.generation}xx; 3xx (Asar 1.9) and 4xx (Asar 2.0) are known")
        self._error: Any = _Error3 if self.generation == 3 else _Error4
        self._params: Any = _Params3 if self.generation == 3 else _Params4
        self._patch = handle.asar_patch_ex if self.generation == 3 else handle.asar_patch
        self._patch.restype = C.c_bool
        self._patch.argtypes = [C.c_void_p]
        handle.asar_init.restype = C.c_bool
        if not handle.asar_init():
            raise Refused("it cannot be initialised")
        self.version: int = handle.asar_version()
        self._handle = handle
        self._rom = C.create_string_buffer(ROM_BYTES)

    def _list(self, getter: str, kind: Any, most: int) -> list[Any]:
        function = getattr(self._handle, getter)
        function.restype = C.POINTER(kind)
        function.argtypes = [C.POINTER(C.c_int)]
        count = C.c_int(0)
        items = function(C.byref(count))
        return [items[i] for i in range(min(count.value, most))] if items else []

    def patch(self, path: str, files: dict[str, bytes], *, include_paths: tuple[str, ...] = (),
              defines: tuple[tuple[str, str], ...] = (), image: bytes = b"", labels: bool = False,
              code: bool = False) -> dict[str, Any]:
        """Assemble the memory file ``path`` over ``image``. Every path is absolute with ``/``.

        Answer, plain data: ``ok``; ``errors`` and ``warnings``, each (name, text, block, path, line from 0 or -1,
        callers outermost first as (path, line, what)); ``prints``; ``blocks`` as (ROM offset, SNES address, size);
        on request ``labels`` (name -> address), ``code`` (one bytes per block).
        """
        kept = [(name.encode(), data) for name, data in files.items()]
        memory = (_MemoryFile * len(kept))(*[
            _MemoryFile(name, C.cast(C.c_char_p(data), C.c_void_p), len(data)) for name, data in kept])
        paths = (C.c_char_p * len(include_paths))(*[entry.encode() for entry in include_paths])
        pairs = (_Define * len(defines))(*[_Define(name.encode(), text.encode()) for name, text in defines])
        if image:
            C.memmove(self._rom, image, min(len(image), ROM_BYTES))
        length = C.c_int(min(len(image), ROM_BYTES))
        params = self._params(
            patchloc=path.encode(), romdata=C.cast(self._rom, C.c_void_p), buflen=ROM_BYTES,
            romlen=C.pointer(length), includepaths=paths, numincludepaths=len(paths), defines=pairs,
            definecount=len(pairs), memoryfiles=memory, memoryfilecount=len(kept),
            override_checksum=True, generate_checksum=False)
        params.structsize = C.sizeof(params)
        if self.generation == 3:
            params.should_reset = True
        ok = bool(self._patch(C.byref(params)))
        errors = [self._told(error) for error in self._list("asar_geterrors", self._error, MOST_ERRORS)]
        warnings = [self._told(error) for error in self._list("asar_getwarnings", self._error, MOST_ERRORS)]
        blocks = [(b.pc, b.snes, b.count) for b in self._list("asar_getwrittenblocks", _Block, 100_000)]
        answer: dict[str, Any] = {
            "ok": ok, "errors": errors, "warnings": warnings, "blocks": blocks,
            "prints": [_text(line) for line in self._list("asar_getprints", C.c_char_p, MOST_ERRORS)],
        }
        if labels:
            found = self._list("asar_getalllabels", _Label, 1_000_000)
            answer["labels"] = {_text(label.name): label.location for label in found}
        if code:
            start = C.addressof(self._rom)
            answer["code"] = [C.string_at(start + pc, count) for pc, _, count in blocks
                              if 0 <= pc <= ROM_BYTES - count] if ok else []
        return answer

    def _told(self, error: Any) -> tuple[str, str, str, str, int, tuple[tuple[str, int, str], ...]]:
        callers: tuple[tuple[str, int, str], ...] = ()
        if self.generation == 3:
            # Only the full text holds the name; what stands before it is the path, which may hold parentheses too.
            full = error.full or b""
            head = full.rpartition(error.raw or b"")[0]
            names = _NAME.findall(head) or _NAME.findall(full)
            name = _text(names[-1]) if names else str(error.errid)
            if error.callerfilename:
                callers = ((_text(error.callerfilename), error.callerline, ""),)
        else:
            name = _text(error.errname)
            callers = tuple((_text(entry.fullpath), entry.line, _text(entry.details).strip())
                            for entry in error.callstack[:min(error.callstacksize, 50)])
        return name, _text(error.raw), _text(error.block), _text(error.filename), error.line, callers


def _text(data: bytes | None) -> str:
    return (data or b"")[:MOST_TEXT].decode("utf-8", "replace")


_WARM = b"lorom\norg $008000\nmacro m(a)\nlda <a>\nendmacro\n!d = $12\nx:\n%m(!d)\nbra x\nfoo\n"


def serve(library: str) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """The worker's factory: load ``library`` and use it once, so that the first request finds everything imported and
    in memory (files are out of reach from then on). Requests are the arguments of `Library.patch`, or {} for the
    version alone; answers are those of `Library.patch` with ``version``."""
    asar = Library(library)
    asar.patch("/warm.asm", {"/warm.asm": _WARM})

    def handle(request: dict[str, Any]) -> dict[str, Any]:
        answer = asar.patch(**request) if request else {}
        answer["version"] = asar.version
        return answer

    return handle
