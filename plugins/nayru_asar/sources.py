"""What Asar is given to read: every file a root needs, as bytes, from the project and from disk inside a fence.

The worker can open no file (POSIX), so what is not collected here does not exist for Asar. A file that the editor has
open goes as the editor has it; any other one with its own bytes, also where these are no UTF-8.
"""

from __future__ import annotations

import glob
import itertools
import os
import posixpath
import re
import stat
from collections.abc import Iterable
from typing import NamedTuple

from nayru_lsp.asm.mapping import without_header
from nayru_lsp.hookspecs import Project, Root

FILE_LIMIT = 32 << 20       # bytes of one file
CACHE_LIMIT = 64 << 20      # bytes of all files kept between runs
MOST_MATCHES = 300          # files fetched for one pattern
MOST_NAMES = 2000           # of macro arguments of one file that may be file names
WRAPPER = ".nayru-root.asm"

# File commands and functions. The name: quoted, or up to a space, colon or comma.
_COMMAND = re.compile(r'(?im)^(?:[^;"\r\n]*?[ \t:])??(incsrc|incbin|table)[ \t]+("[^"\r\n]*"|[^\s,:;"]+)')
_FUNCTION = re.compile(r'\b_?(?:(?:can)?readfile[1-4]?|filesize|getfilestatus)\s*\(\s*"([^"\r\n]+)"')
_FILE_WORD = re.compile(r"(?i)\b_?(?:incsrc|incbin|table|(?:can)?readfile[1-4]?|filesize|getfilestatus)\b")
_CALL = re.compile(r"%\w+\(([^\r\n;]*\.[^\r\n;]*)")
_FILE_NAME = re.compile(r"[\w/\\. -]+\.\w{1,4}(?![\w.])")
_WHOLE_HOLE = re.compile(r"!\^*\w+|!\{[\w^]+\}|<\^*\w+>|<\.\.\.\[[^<>\]]*\]>")
_HOLE = re.compile(r"!|<\w")


class Reader:
    """Reads regular files inside ``folders``, links followed before they are judged; keeps what did not change."""

    def __init__(self) -> None:
        self._kept: dict[str, tuple[tuple[int, int, int], bytes]] = {}

    def read(self, path: str, folders: Iterable[str]) -> bytes | None:
        """The bytes of ``path``; None when it lies outside, is no regular file, is too long or cannot be read."""
        try:
            real = os.path.realpath(path)
            if not any(_below(real, os.path.realpath(folder)) for folder in folders):
                return None
            found = os.stat(real)
            mark = (found.st_mtime_ns, found.st_size, found.st_ino)
            kept = self._kept.get(real)
            if kept is not None and kept[0] == mark:
                return kept[1]
            # Non-blocking, so that a named pipe cannot hold us; judged by the open file.
            handle = os.open(real, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
            with os.fdopen(handle, "rb") as file:
                found = os.fstat(file.fileno())
                if not stat.S_ISREG(found.st_mode) or found.st_size > FILE_LIMIT:
                    return None
                data = file.read(FILE_LIMIT)
        except (OSError, ValueError):
            return None
        self._kept[real] = (mark, data)
        while len(self._kept) > 1 and sum(len(data) for _, data in self._kept.values()) > CACHE_LIMIT:
            del self._kept[next(iter(self._kept))]
        return data


def _below(path: str, folder: str) -> bool:
    try:
        return os.path.commonpath((path, folder)) == folder
    except ValueError:      # another drive
        return False


class Sources(NamedTuple):
    """``files``: absolute path -> bytes, the main file ``main`` among them. ``image``: the base image without its
    copier header, b"" when there is none."""

    main: str
    files: dict[str, bytes]
    image: bytes


def as_bytes(path: str, text: str, reader: Reader, folders: Iterable[str]) -> bytes:
    """The bytes of a file that the project knows as ``text``: the disk's own where ``text`` was decoded with loss."""
    if "\ufffd" in text:
        raw = reader.read(path, folders)
        if raw is not None and raw.decode("utf-8-sig", "replace") == text:
            return raw
    return text.encode("utf-8", "replace")


def collect(project: Project, root: Root, extra: Iterable[str], reader: Reader, folders: tuple[str, ...]) -> Sources:
    """Everything that ``root`` names, as far as it can be read; ``extra``: paths that Asar asked for before."""
    files: dict[str, bytes] = {}
    waiting = [root.path, *([root.prelude] if root.prelude else []), *extra]
    while waiting:
        path = waiting.pop()
        if path in files:
            continue
        parsed = project.files.get(path)
        if parsed is not None:
            text = str(parsed.text)
            files[path] = as_bytes(path, text, reader, folders)
        else:
            data = project.blobs.get(path) or reader.read(path, folders)
            if data is None:
                continue
            files[path] = data
            text = data.decode("utf-8", "replace") if is_source(path) else ""
        names, patterns = named_in(text)
        for name in names:
            for candidate in candidates(path, name, root):
                if candidate in files or candidate in project.files or reader.read(candidate, folders) is not None:
                    waiting.append(candidate)
                    break
        for name in in_calls(text):         # macros that include take names; relative ones are the macro's file's
            for base in dict.fromkeys((path, root.path)):
                waiting += [found for found in candidates(base, name, root)
                            if found not in files and reader.read(found, folders) is not None]
        for name in patterns:
            for pattern in candidates(path, name, root):
                waiting += [found for found in _matching(pattern) if reader.read(found, folders) is not None]
    main = root.path
    if root.prelude or root.mapping_mode:
        lines = [root.mapping_mode, *(f'incsrc "{path}"' for path in (root.prelude, root.path) if path)]
        main = posixpath.join(posixpath.dirname(root.path), WRAPPER)
        files[main] = "\n".join(line for line in lines if line).encode()
    image = (reader.read(root.base_image, folders) or b"") if root.base_image else b""
    return Sources(main, files, without_header(image))


def is_source(path: str) -> bool:
    """Whether a file on disk that the project does not know is worth searching for file names."""
    return path.lower().endswith((".asm", ".s", ".inc", ".a65", ".65s", ".65c", ".i65", ".asr", ".mac", ".txt"))


def named_in(text: str) -> tuple[list[str], list[str]]:
    """(names, patterns) of the files that a source names. In a pattern each define or macro argument has become `*`:
    likely files are fetched at once, so that Asar need not be run again for each."""
    names: list[str] = []
    patterns: list[str] = []
    lower = text.lower()
    found = [match[2].strip('"') for match in _COMMAND.finditer(text)] if "inc" in lower or "table" in lower else []
    found += [match[1] for match in _FUNCTION.finditer(text)] if "file" in lower else []
    for name in dict.fromkeys(found):
        if not _HOLE.search(name):
            names.append(name)
        else:
            parts = _WHOLE_HOLE.split(name.replace("\\", "/"))
            if not _HOLE.search("".join(parts)) and any(re.search(r"\w", part) for part in parts):
                patterns.append("*".join(map(glob.escape, parts)))
    return names, patterns


def in_calls(text: str) -> list[str]:
    """Arguments of macro calls that look like file names (``%data("gfx/a.bin")``), at most MOST_NAMES."""
    if "%" not in text:
        return []
    found = (match[0].strip() for call in _CALL.finditer(text) for match in _FILE_NAME.finditer(call[1]))
    return list(itertools.islice(dict.fromkeys(found), MOST_NAMES))


def _matching(pattern: str) -> list[str]:
    """Files on disk that a pattern may mean, at most MOST_MATCHES."""
    try:
        return [found.replace(os.sep, "/") for found in itertools.islice(glob.iglob(pattern), MOST_MATCHES)]
    except (OSError, ValueError, re.error):
        return []


def candidates(from_path: str, name: str, root: Root) -> list[str]:
    """Where Asar looks for ``name`` in ``from_path``, in its order."""
    name = name.replace("\\", "/")
    if name.startswith("/") or name[1:2] == ":":
        return [posixpath.normpath(name)]
    folders = [posixpath.dirname(from_path), *root.include_paths]
    return [posixpath.normpath(posixpath.join(folder, name)) for folder in folders]


def unsent(path: str, text: str, files: Iterable[str], root: Root) -> tuple[int, str] | None:
    """Where there is no file fence: the first file word of ``text`` whose target is not among ``files`` or is not
    written out, as (offset, the word). None when every one is. A word in a comment does not count."""
    known = set(files)
    named = {match.start(1): match[2].strip('"') for match in _COMMAND.finditer(text)}
    named |= {match.start(): match[1] for match in _FUNCTION.finditer(text)}
    for match in _FILE_WORD.finditer(text):
        line_start = text.rfind("\n", 0, match.start()) + 1
        before = text[line_start:match.start()]
        if ";" in before and before.count('"') % 2 == 0:
            continue
        name = named.get(match.start())
        if name is None or _HOLE.search(name) or not any(one in known for one in candidates(path, name, root)):
            return match.start(), match[0]
    return None
