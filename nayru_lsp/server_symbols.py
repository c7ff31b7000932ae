"""The symbol files that ``nayru.toml`` names: read beside the loop, inside the fence, and read again when one changes.

Not every editor tells of files that change, and builds write them at any time: so they are looked at (their dates, not
their contents) whenever somebody asks what they know.
"""

from __future__ import annotations

import asyncio
import logging
import os
import stat
from typing import TYPE_CHECKING, NamedTuple

from nayru_lsp.asm.mapping import MappingMode
from nayru_lsp.asm.symbol_files import AddressNames, read_symbols
from nayru_lsp.files import Fence, Refused, configured_roots, decode, is_below, normal

if TYPE_CHECKING:
    from nayru_lsp.server import Nayru

LIMIT = 16 * 1024 * 1024    # bytes of one symbol file
PAUSE = 0.1                 # seconds of quiet before they are looked at

log = logging.getLogger("nayru.symbols")

Stamp = tuple[int, int, int]


class _Wanted(NamedTuple):
    folder: str
    path: str
    mode: MappingMode | None


class _Read(NamedTuple):
    """``names`` is None where the file cannot be read; ``trouble`` says what the user should know."""

    stamp: Stamp | None
    names: AddressNames | None
    trouble: str


class SymbolFiles:
    """Used on the event loop only."""

    def __init__(self, nayru: Nayru) -> None:
        self._nayru = nayru
        self._known: dict[_Wanted, _Read] = {}
        self._again = False

    def look(self) -> None:
        """See soon whether one is new or has changed."""
        schedule = self._nayru.schedule
        if schedule.busy("symbols"):
            self._again = True
        elif self._known or any(one.symbols for one in self._nayru.session.config.projects.values()):
            schedule.later("symbols", PAUSE, self._look)

    async def _look(self) -> None:
        while True:
            self._again = False
            wanted = self._wanted()
            known = await asyncio.to_thread(read_changed, wanted, self._nayru.index.fence, self._known)
            if known != self._known:
                for one, read in known.items():
                    if read.trouble and self._known.get(one) != read:
                        self._nayru.tell(f"{one.path}: {read.trouble}")
                self._known = known
                self._nayru.session.set_symbols({
                    folder: tuple(read.names for one, read in known.items() if one.folder == folder and read.names)
                    for folder in {one.folder for one in known}})
            if not self._again:
                return
            await asyncio.sleep(PAUSE)

    def _wanted(self) -> list[_Wanted]:
        session = self._nayru.session
        return [_Wanted(folder, normal(os.path.join(folder, name)), mode)
                for folder in session.folders if folder in session.config.projects
                for mode in (self._mode(folder),) for name in session.config.projects[folder].symbols]

    def _mode(self, folder: str) -> MappingMode | None:
        """That of all roots in the folder: as configured, else as executed. None where it is not known, or several."""
        session = self._nayru.session
        found = {root.mapping_mode for root in configured_roots(folder, session.config.projects[folder])}
        if not found or "" in found:
            found = {one.mapping_mode for path, one in session.expanded.items()
                     if is_below(path, folder) and not one.early} or {
                session.config.projects[folder].mapping_mode}
        return MappingMode(found.pop()) if len(found) == 1 and "" not in found else None


def read_changed(wanted: list[_Wanted], fence: Fence, known: dict[_Wanted, _Read]) -> dict[_Wanted, _Read]:
    """What ``wanted`` hold; those that did not change are not read again."""
    found = {}
    for one in wanted:
        stamp = _stamp(one.path, fence)
        before = known.get(one)
        found[one] = before if before is not None and before.stamp == stamp else _read(one, stamp, fence)
    return found


def _stamp(path: str, fence: Fence) -> Stamp | None:
    try:
        status = os.stat(fence.real(path))
    except (Refused, OSError, ValueError):
        return None
    return (status.st_mtime_ns, status.st_size, status.st_ino) if stat.S_ISREG(status.st_mode) else None


def _read(one: _Wanted, stamp: Stamp | None, fence: Fence) -> _Read:
    if stamp is None:
        return _Read(None, None, "")        # that a file is not there was told with the configuration
    try:
        text = decode(one.path, fence.read_bytes(one.path, LIMIT)).text
    except Refused as error:
        return _Read(stamp, None, f"it is not read: {error}")
    rows, skipped = read_symbols(text, one.mode)
    log.info("%s: %d symbols, %d other lines", one.path, len(rows), skipped)
    trouble = "" if rows or not skipped or one.mode is None else (
        "it holds no symbols that can be read; files of WLA, no$sns and Mesen can")
    return _Read(stamp, AddressNames(one.path, rows, one.mode), trouble)
