"""The real Asar on a whole root, as the oracle of what executing it means: labels, defines, bytes, errors.

Each run has a process of its own: Asar may hang, crash and eat memory. What the library knows is asked for also when
it failed: labels and errors are there, written bytes are not (Asar then leaves the image alone).

This file is its own worker (``python oracle.py LIBRARY``): it imports nothing of ours and only what the work needs.
"""

from __future__ import annotations

import ctypes as C
import marshal
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Self

LIMIT = 120.0                   # seconds by the wall clock
MEMORY = 4 << 30                # bytes of address space, where the system can limit it
ROM = 1 << 24                   # Asar's largest image; a buffer of this size saves it a copy
VARIABLE = {1: "NAYRU_ASAR", 2: "NAYRU_ASAR_2"}


class Told(NamedTuple):
    """An error or a warning. ``name``: Asar's id ("Eunknown_command"); ``line`` from 0, -1 where there is none;
    ``callers``: (path, line), outermost first."""

    name: str
    path: str
    line: int
    text: str
    block: str
    callers: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class Assembled:
    """``blocks``: (ROM offset, SNES address, bytes), by address and without overlaps; empty after a failure.
    ``image``: the file after a good run. ``died``: why there is no answer at all, else empty. ``seconds``: CPU time
    of the run itself."""

    ok: bool
    labels: Mapping[str, int]
    defines: Mapping[str, str]
    blocks: tuple[tuple[int, int, bytes], ...]
    image: bytes
    errors: tuple[Told, ...]
    warnings: tuple[Told, ...]
    prints: tuple[str, ...]
    seconds: float
    version: int
    died: str = ""

    @property
    def named(self) -> dict[str, int]:
        """The labels somebody wrote: without those that Asar itself names (``:pos_0_1``)."""
        return {name: value for name, value in self.labels.items() if not name.startswith(":")}


def library(asar: int) -> Path | None:
    """Where the library of generation 1 (1.9x) or 2 (the 2.0 beta) is."""
    if asar == 1:
        from tests.kit import find_part

        return find_part("asar")
    place = os.environ.get(VARIABLE[asar])
    return Path(place) if place else None


def assemble(
    path: str, *, library: Path, defines: Iterable[tuple[str, str]] = (), include_paths: Iterable[str] = (),
    base_image: bytes | int = b"", memory: Mapping[str, bytes] | None = None, limit: float = LIMIT,
) -> Assembled:
    """Run Asar on the root ``path``. ``base_image``: its bytes, or how many zeros. ``memory``: files that stand
    before those of the disk; relative names are found as Asar finds them."""
    image = bytes(base_image) if isinstance(base_image, int) else base_image
    job = (path, tuple(defines), tuple(include_paths), image, dict(memory or {}))
    command = [sys.executable, "-E", "-S", __file__, str(library)]
    try:
        done = subprocess.run(command, input=marshal.dumps(job), capture_output=True, timeout=limit)
    except subprocess.TimeoutExpired:
        return _dead(f"no end after {limit:g} s")
    if done.returncode:
        said = done.stderr.decode("utf-8", "replace").strip().rpartition("\n")[2]
        return _dead(f"ended with code {done.returncode}" + (f": {said}" if said else ""))
    return _assembled(done.stdout)


class Forked:
    """The same for thousands of small roots: one worker loads the library and forks for each (not on Windows)."""

    def __init__(self, library: Path) -> None:
        self.worker = subprocess.Popen([sys.executable, "-E", "-S", __file__, str(library), "forks"],
                                       stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.worker.communicate()

    def assemble(self, path: str, *, defines: Iterable[tuple[str, str]] = (), include_paths: Iterable[str] = (),
                 base_image: bytes = b"", memory: Mapping[str, bytes] | None = None, limit: float = 5) -> Assembled:
        """As `assemble`; ``limit``: whole seconds of processor time."""
        asked, told = self.worker.stdin, self.worker.stdout
        assert asked is not None and told is not None
        marshal.dump((int(limit), (path, tuple(defines), tuple(include_paths), base_image, dict(memory or {}))), asked)
        asked.flush()
        status, answer = marshal.load(told)
        return _assembled(answer) if not status else _dead(f"ended with status {status}")


def _assembled(data: bytes) -> Assembled:
    answer: dict[str, Any] = marshal.loads(data)
    for kind in ("errors", "warnings"):
        answer[kind] = tuple(Told(*one) for one in answer[kind])
    return Assembled(**answer)


def _dead(why: str) -> Assembled:
    return Assembled(False, {}, {}, (), b"", (), (), (), 0.0, 0, why)


# --- the worker ------------------------------------------------------------------------------------------------------

class _MemoryFile(C.Structure):
    _fields_ = [("path", C.c_char_p), ("data", C.c_char_p), ("size", C.c_size_t)]


class _Define(C.Structure):
    _fields_ = [("name", C.c_char_p), ("text", C.c_char_p)]


_HEAD: list[Any] = [
    ("structsize", C.c_int), ("patchloc", C.c_char_p), ("romdata", C.c_void_p), ("buflen", C.c_int),
    ("romlen", C.POINTER(C.c_int)), ("includepaths", C.POINTER(C.c_char_p)), ("numincludepaths", C.c_int),
]
_TAIL: list[Any] = [
    ("defines", C.POINTER(_Define)), ("definecount", C.c_int), ("stdincludesfile", C.c_char_p),
    ("stddefinesfile", C.c_char_p), ("warnsettings", C.c_void_p), ("warnsettingcount", C.c_int),
    ("memoryfiles", C.POINTER(_MemoryFile)), ("memoryfilecount", C.c_int), ("override_checksum", C.c_bool),
    ("generate_checksum", C.c_bool),
]
_TOLD: list[Any] = [("full", C.c_char_p), ("raw", C.c_char_p), ("block", C.c_char_p), ("path", C.c_char_p),
                    ("line", C.c_int)]


class _Params3(C.Structure):
    _fields_ = [*_HEAD, ("should_reset", C.c_bool), *_TAIL]


class _Params4(C.Structure):
    _fields_ = [*_HEAD, *_TAIL, ("full_call_stack", C.c_bool)]


class _Told3(C.Structure):
    _fields_ = [*_TOLD, ("callerpath", C.c_char_p), ("callerline", C.c_int), ("number", C.c_int)]


class _Call(C.Structure):
    _fields_ = [("path", C.c_char_p), ("pretty", C.c_char_p), ("line", C.c_int), ("details", C.c_char_p)]


class _Told4(C.Structure):
    _fields_ = [*_TOLD, ("calls", C.POINTER(_Call)), ("callcount", C.c_int), ("name", C.c_char_p)]


class _Block(C.Structure):
    _fields_ = [("pc", C.c_int), ("snes", C.c_int), ("size", C.c_int)]


class _Label(C.Structure):
    _fields_ = [("name", C.c_char_p), ("value", C.c_int)]


_LAYOUT: dict[int, tuple[Any, Any]] = {3: (_Params3, _Told3), 4: (_Params4, _Told4)}
_NAME = re.compile(r"(?:^|: )(?:error|warning): \(([EW]\w+)\)")


def _text(raw: bytes | None) -> str:
    return (raw or b"").decode("utf-8", "replace")


def _told(one: Any, generation: int) -> tuple[str, str, int, str, str, tuple[tuple[str, int], ...]]:
    callers: tuple[tuple[str, int], ...] = ()
    if generation == 3:         # only the full text holds the name
        found = _NAME.search(_text(one.full))
        name = found.group(1) if found else str(one.number)
        if one.callerpath:
            callers = ((_text(one.callerpath), one.callerline),)
    else:
        name = _text(one.name)
        callers = tuple((_text(call.path), call.line) for call in one.calls[:one.callcount])
    path, line = _text(one.path), one.line
    if generation == 4 and callers and not os.path.isabs(path):     # the name of a file that it did not find
        *rest, (path, line) = callers
        callers = tuple(rest)
    return name, path, line, _text(one.raw), _text(one.block), callers


def _run(handle: Any, path: str, defines: tuple[tuple[str, str], ...], include_paths: tuple[str, ...], image: bytes,
         memory: dict[str, bytes]) -> dict[str, Any]:
    generation = handle.asar_apiversion() // 100        # this call also unlocks asar_init
    params_type, told_type = _LAYOUT[generation]
    handle.asar_init.restype = C.c_bool
    assert handle.asar_init()
    rom = C.create_string_buffer(ROM)
    C.memmove(rom, image, len(image))
    length = C.c_int(len(image))
    paths = [one.encode() for one in include_paths]
    files = [_MemoryFile(name.encode(), data, len(data)) for name, data in memory.items()]
    pairs = [_Define(name.encode(), text.encode()) for name, text in defines]
    params = params_type(
        structsize=C.sizeof(params_type), patchloc=path.encode(), romdata=C.cast(rom, C.c_void_p), buflen=ROM,
        romlen=C.pointer(length), includepaths=(C.c_char_p * len(paths))(*paths), numincludepaths=len(paths),
        defines=(_Define * len(pairs))(*pairs), definecount=len(pairs),
        memoryfiles=(_MemoryFile * len(files))(*files), memoryfilecount=len(files),
        override_checksum=True, generate_checksum=False)
    if generation == 3:
        params.should_reset = True
    patch = handle.asar_patch_ex if generation == 3 else handle.asar_patch
    patch.restype = C.c_bool
    patch.argtypes = [C.c_void_p]
    before = time.process_time()
    ok = bool(patch(C.byref(params)))
    seconds = time.process_time() - before

    def got(name: str, kind: Any) -> list[Any]:
        function = getattr(handle, f"asar_get{name}")
        function.restype = C.POINTER(kind)
        function.argtypes = [C.POINTER(C.c_int)]
        count = C.c_int(0)
        items = function(C.byref(count))
        return items[:count.value] if count.value else []

    start = C.addressof(rom)
    return {
        "ok": ok,
        "labels": {_text(one.name): one.value for one in got("alllabels", _Label)},
        "defines": {_text(one.name): _text(one.text) for one in got("alldefines", _Define)},
        "blocks": tuple((one.pc, one.snes, C.string_at(start + one.pc, one.size))
                        for one in got("writtenblocks", _Block)
                        if one.pc >= 0 and 0 <= one.size <= ROM - one.pc) if ok else (),
        "image": C.string_at(start, length.value) if ok else b"",
        "errors": [_told(one, generation) for one in got("errors", told_type)],
        "warnings": [_told(one, generation) for one in got("warnings", told_type)],
        "prints": tuple(_text(one) for one in got("prints", C.c_char_p)),
        "seconds": seconds,
        "version": handle.asar_version(),
    }


def _work(place: str) -> None:
    answer = os.dup(1)
    os.dup2(2, 1)               # nothing that the library prints gets into the answer
    with suppress(ImportError):
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with os.fdopen(answer, "wb") as pipe:
        if sys.argv[2:]:
            _forks(C.CDLL(place), pipe)
        else:
            job = marshal.loads(sys.stdin.buffer.read())
            pipe.write(marshal.dumps(_run(C.CDLL(place), *job)))


def _forks(handle: Any, pipe: Any) -> None:
    import resource

    while True:
        try:
            limit, job = marshal.load(sys.stdin.buffer)
        except EOFError:
            return
        from_child, to_parent = os.pipe()
        child = os.fork()
        if not child:
            with suppress(BaseException):
                resource.setrlimit(resource.RLIMIT_CPU, (limit, limit))
                with os.fdopen(to_parent, "wb") as told:
                    marshal.dump(_run(handle, *job), told)
                os._exit(0)
            os._exit(1)
        os.close(to_parent)
        with os.fdopen(from_child, "rb") as heard:
            answer = heard.read()
        status = os.waitpid(child, 0)[1]
        marshal.dump((status, answer), pipe)
        pipe.flush()


if __name__ == "__main__":
    _work(sys.argv[1])
