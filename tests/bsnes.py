"""The real bsnes core, driven for tests: run a routine on given registers and memory, read back what it did.

The core is a libretro library and a global singleton: one per process (`harness()` gives it). A test restores a saved
state, patches code into the live ROM and runs frames until the routine has returned; nothing is loaded anew, so a run
costs about 3 ms and is the same every time. Durations are exact master clocks, measured with the H/V latch.
"""

from __future__ import annotations

import ctypes as C
import functools
import os
import struct
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.kit import require

SLOT = 0xA000           # the routine under test, in bank $00 (FastROM: $80)
PRELUDE = 0x9000        # sets registers, latches H/V, calls the slot, latches again, stores the registers
RESULTS = 0x1F00        # in WRAM; $1F00-$1FFF belongs to the harness
STACK = 0x1EFF
WRAM, VRAM = 2, 3
_WORD = struct.Struct("<H").pack
_CALLBACK = C.CFUNCTYPE


class _GameInfo(C.Structure):
    _fields_ = [("path", C.c_char_p), ("data", C.c_void_p), ("size", C.c_size_t), ("meta", C.c_char_p)]


class _MemoryDescriptor(C.Structure):
    _fields_ = [("flags", C.c_uint64), ("ptr", C.c_void_p), ("offset", C.c_size_t), ("start", C.c_size_t),
                ("select", C.c_size_t), ("disconnect", C.c_size_t), ("length", C.c_size_t), ("space", C.c_char_p)]


class _MemoryMap(C.Structure):
    _fields_ = [("descriptors", C.POINTER(_MemoryDescriptor)), ("count", C.c_uint)]


@contextmanager
def _quiet() -> Iterator[None]:
    """The core writes debug lines to file descriptor 2."""
    saved = os.dup(2)
    with open(os.devnull, "wb") as sink:
        os.dup2(sink.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(saved, 2)
            os.close(saved)


class Core:
    """One libretro core. ``buttons`` is the state of joypad 1: a set of libretro button numbers (0 B, 1 Y, 2 Select,
    3 Start, 4 Up, 5 Down, 6 Left, 7 Right, 8 A, 9 X, 10 L, 11 R)."""

    def __init__(self, path: Path) -> None:
        self.buttons: set[int] = set()
        self._pixel_format = 0
        self._picture: tuple[bytes, int, int, int] | None = None
        self._rom_pointer: int | None = None
        with _quiet():
            self._library = library = C.CDLL(str(path))
            for name, kind in (("retro_get_memory_data", C.c_void_p), ("retro_get_memory_size", C.c_size_t),
                               ("retro_serialize_size", C.c_size_t), ("retro_load_game", C.c_bool),
                               ("retro_serialize", C.c_bool), ("retro_unserialize", C.c_bool)):
                getattr(library, name).restype = kind
            self._callbacks = {
                "environment": _CALLBACK(C.c_bool, C.c_uint, C.c_void_p)(self._environment),
                "video_refresh": _CALLBACK(None, C.c_void_p, C.c_uint, C.c_uint, C.c_size_t)(self._video),
                "audio_sample": _CALLBACK(None, C.c_int16, C.c_int16)(lambda left, right: None),
                "audio_sample_batch": _CALLBACK(C.c_size_t, C.c_void_p, C.c_size_t)(lambda data, count: count),
                "input_poll": _CALLBACK(None)(lambda: None),
                "input_state": _CALLBACK(C.c_int16, C.c_uint, C.c_uint, C.c_uint, C.c_uint)(
                    lambda port, device, index, button: int(port == 0 and button in self.buttons)),
            }
            for name, callback in self._callbacks.items():
                getattr(library, f"retro_set_{name}")(callback)
            library.retro_init()

    def _environment(self, command: int, data: int) -> bool:
        if command == 10:           # the pixel format: 1 = XRGB8888, 2 = RGB565
            self._pixel_format = C.cast(data, C.POINTER(C.c_int))[0]
            return True
        if command in (9, 31):      # system and save folder
            C.cast(data, C.POINTER(C.c_char_p))[0] = b"."
            return True
        if command == 0x10024:      # memory maps: the live ROM
            memory = C.cast(data, C.POINTER(_MemoryMap))[0]
            for index in range(memory.count):
                descriptor = memory.descriptors[index]
                if descriptor.ptr and descriptor.start == 0x8000:
                    self._rom_pointer = descriptor.ptr
                    break
            return True
        return False

    def _video(self, data: int, width: int, height: int, pitch: int) -> None:
        if data:
            self._picture = (C.string_at(data, pitch * height), width, height, pitch)

    def load(self, rom: bytes) -> None:
        self._rom = C.create_string_buffer(rom, len(rom))
        with _quiet():
            info = _GameInfo(b"x.sfc", C.cast(self._rom, C.c_void_p), len(rom), None)
            assert self._library.retro_load_game(C.byref(info))
            # bsnes settles its pixel format inside this call
            self._library.retro_get_system_av_info(C.create_string_buffer(64))

    def run(self, frames: int = 1) -> None:
        for _ in range(frames):
            self._library.retro_run()

    def memory(self, kind: int) -> C.Array[C.c_ubyte]:
        """The live memory: ``WRAM`` (131,072 bytes) or ``VRAM`` (65,536 bytes)."""
        size = self._library.retro_get_memory_size(kind)
        return (C.c_ubyte * size).from_address(self._library.retro_get_memory_data(kind))

    def save(self) -> bytes:
        """The state. Only while the CPU runs: after STP this would hang for ever."""
        size = self._library.retro_serialize_size()
        buffer = C.create_string_buffer(size)
        assert self._library.retro_serialize(buffer, C.c_size_t(size))
        return buffer.raw

    def restore(self, state: bytes) -> None:
        assert self._library.retro_unserialize(state, C.c_size_t(len(state)))

    def patch(self, offset: int, code: bytes) -> None:
        """Write into the live ROM; the next fetch sees it."""
        assert self._rom_pointer is not None
        C.memmove(self._rom_pointer + offset, code, len(code))

    def pixels(self) -> list[list[tuple[int, int, int]]]:
        """The last frame: rows of (red, green, blue), 8 bits each."""
        assert self._picture is not None, "no frame was drawn"
        raw, width, height, pitch = self._picture
        size, shifts = (4, None) if self._pixel_format == 1 else (2, ())
        rows = []
        for y in range(height):
            line = struct.unpack_from(f"<{width}{'I' if size == 4 else 'H'}", raw, y * pitch)
            if shifts is None:
                rows.append([(v >> 16 & 255, v >> 8 & 255, v & 255) for v in line])
            else:
                rows.append([(v >> 11 << 3, (v >> 5 & 63) << 2, (v & 31) << 3) for v in line])
        return rows


@dataclass(frozen=True, slots=True)
class Result:
    """What a run left. ``outcome``: "returned", "brk" (BRK or COP was run) or "hang" (out of frames). ``registers``:
    A X Y D DBR P S as left by the routine (16 bits each, DBR and P 8). ``clocks``: master clocks between the latches
    in this run, DRAM refresh taken off; compare with an empty routine."""

    outcome: str
    registers: dict[str, int]
    wram: bytes
    vram: bytes
    clocks: int
    frames: int
    start: tuple[int, int]
    end: tuple[int, int]

    def byte(self, address: int) -> int:
        return self.wram[address]

    def word(self, address: int) -> int:
        return self.wram[address] | self.wram[address + 1] << 8


def _boot(fast: int) -> bytes:
    """Native mode, PPU registers cleared, then: publish $5A, wait for the host's flag, wait for line 0, go on."""
    code = bytes.fromhex(f"7818fbc238a2ff1e9aa900005be220a90048aba9808d00219c0042a9{fast:02x}8d0d42")
    code += b"".join(b"\x9c" + _WORD(register) + b"\x9c" + _WORD(register) for register in range(0x2101, 0x2134))
    code += b"\x9c" + _WORD(0x1FF0) + b"\x9c" + _WORD(0x1FF3) + b"\xa9\x5a\x8d" + _WORD(0x1FF2)
    code += b"\xad" + _WORD(0x1FF3) + b"\xf0\xfb" + b"\x2c" + _WORD(0x4212) + b"\x10\xfb" + b"\x2c" + _WORD(0x4212)
    code += b"\x30\xfb" + b"\x5c" + _WORD(PRELUDE) + bytes([0x80 * fast])
    rom = bytearray(0x8000)
    rom[: len(code)] = code
    rom[0x7F00] = 0x40                                                  # NMI and IRQ: RTI
    rom[0x7F04:0x7F0E] = bytes.fromhex("e220a9ee8ff01f7e80fe")          # BRK and COP: say so, stay
    rom[0x7FC0:0x7FD5] = b"NAYRU EXEC HARNESS   "
    rom[0x7FD5:0x7FE0] = bytes([0x30 if fast else 0x20, 0, 5, 0, 1, 0x33, 0, 0xFF, 0xFF, 0, 0])
    for offset, vector in ((0x7FE4, 0xFF04), (0x7FE6, 0xFF04), (0x7FEA, 0xFF00), (0x7FEE, 0xFF00), (0x7FFC, 0x8000)):
        rom[offset : offset + 2] = _WORD(vector)
    return bytes(rom)


def _read_latch(offset: int) -> bytes:
    return b"".join(b"\xad" + _WORD(register) + b"\x8d" + _WORD(RESULTS + offset + index)
                    for index, register in enumerate((0x213C, 0x213C, 0x213D, 0x213D)))


def _prelude(registers: Mapping[str, int], pad: int, fast: int) -> bytes:
    def value(name: str) -> int:
        return registers.get(name, 0)

    code = (b"\xad\0\0" if fast else b"\xea") * pad + bytes.fromhex("ad3f21ad3721") + _read_latch(0)
    code += b"\xc2\x30\xa9" + _WORD(value("D")) + b"\x5b\xe2\x20\xa9" + bytes([value("DBR")]) + b"\x48\xab\xc2\x20"
    code += b"\xa2" + _WORD(value("X")) + b"\xa0" + _WORD(value("Y")) + b"\xf4" + _WORD(value("P"))
    code += b"\xa9" + _WORD(value("A")) + b"\x28" + b"\x22" + _WORD(SLOT) + bytes([0x80 * fast])
    code += bytes.fromhex("08c23848da5a8b0be220af372100a90048abc230a900005b")
    code += bytes.fromhex("688d101fe220688d121fc220688d141f688d161f688d181fe220688d1a1fc2203b8d1c1fe220")
    return code + _read_latch(4) + bytes.fromhex("a9a58df01f80fe")


def _clock(h: int, v: int) -> int:
    """Master clocks since line 0, from the dot counter: dots 323 and 327 are two clocks longer, and every line stops
    the CPU for 40 clocks near dot 134 (DRAM refresh), which are taken off."""
    return v * 1364 + 4 * h + 2 * (h > 323) + 2 * (h > 327) - 40 * (v + (h >= 134))


class Harness:
    def __init__(self, core: Core, fast: bool = False) -> None:
        self.core = core
        self.fast = int(fast)
        core.load(_boot(self.fast))
        core.run(4)
        self.wram = core.memory(WRAM)
        self.vram = core.memory(VRAM)
        assert self.wram[0x1FF2] == 0x5A, "the harness ROM did not start"
        self.state = core.save()

    def run(self, code: bytes, registers: Mapping[str, int] | None = None, *, wram: Mapping[int, bytes] | None = None,
            vram: Mapping[int, bytes] | None = None, fill: int = 0, pad: int = 0, frames: int = 30) -> Result:
        """Run ``code`` (it ends with RTL) with these registers (P as pushed: M and X are bits $20 and $10) and memory;
        all WRAM outside of it below $1E00 and above $2000 is ``fill``."""
        core = self.core
        core.restore(self.state)
        for start, count in ((0, 0x1E00), (0x2000, 0x1E000)):
            C.memset(C.addressof(self.wram) + start, fill, count)
        for target, parts in ((self.wram, wram or {}), (self.vram, vram or {})):
            for address, data in parts.items():
                C.memmove(C.addressof(target) + address, data, len(data))
        core.patch(PRELUDE - 0x8000, _prelude(registers or {}, pad, self.fast))
        core.patch(SLOT - 0x8000, code)
        self.wram[0x1FF0] = 0
        self.wram[0x1FF3] = 1
        used = 0
        while used < frames and not self.wram[0x1FF0]:
            core.run()
            used += 1
        mark = self.wram[0x1FF0]
        block = bytes(self.wram[RESULTS : RESULTS + 0x20])

        def word(offset: int, mask: int = 0xFFFF) -> int:
            return (block[offset] | block[offset + 1] << 8) & mask

        start, end = (word(0, 511), word(2, 511)), (word(4, 511), word(6, 511))
        return Result(
            outcome={0xA5: "returned", 0xEE: "brk"}.get(mark, "hang"),
            registers={"A": word(24), "X": word(22), "Y": word(20), "D": word(16), "DBR": block[18], "P": block[26],
                       "S": word(28)},
            wram=bytes(self.wram), vram=bytes(self.vram), clocks=_clock(*end) - _clock(*start), frames=used,
            start=start, end=end)

    def clocks(self, code: bytes, registers: Mapping[str, int] | None = None, **options: Any) -> int:
        """Exact master clocks of ``code`` (RTL included), within one frame: the mean of two start phases takes the
        latch's 4-clock steps away; an empty routine is taken off."""
        total = 0
        for pad in (0, 1):
            total += self.run(code, registers, pad=pad, **options).clocks
            total -= self.run(b"\x6b", registers, pad=pad, **options).clocks
        return total // 2


@functools.cache
def _core() -> Core:
    return Core(require("bsnes"))


_running: list[Harness] = []


def harness(fast: bool = False) -> Harness:
    """The one harness of this process. Asking for the other speed loads its ROM anew and ends the first."""
    if not _running or bool(_running[0].fast) != fast:
        _running[:] = [Harness(_core(), fast)]
    return _running[0]
