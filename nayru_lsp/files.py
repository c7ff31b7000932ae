"""The only reader of the user's sources: folders, included files, decoding, and the fence around the workspace.

Nothing outside the fence is opened, whatever a source or a ``nayru.toml`` names: a path is followed through every
symbolic link before it is judged, and what is no regular file is left alone. Nothing here is ever written or run.
Paths are absolute, normalised and written with ``/`` ("C:/..." on Windows).
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from nayru_lsp.asm.parser import parse_text
from nayru_lsp.asm.problem import Problem, Severity
from nayru_lsp.asm.project import Project, Root
from nayru_lsp.asm.syntax import Dialect
from nayru_lsp.asm.text import SourceText, Span
from nayru_lsp.config import PROJECT_FILE, Config, ConfigError, ProjectConfig, parse_project

SOURCE_LIMIT = 16 * 1024 * 1024     # bytes of one source file
FILE_LIMIT = 32 * 1024 * 1024       # bytes of a source, a binary or a base image that is executed
CONFIG_LIMIT = 1024 * 1024
MOST_TOLD = 5                       # files that nayru.toml names and that are not there, each in a sentence
FILES_LIMIT = 20_000                # source files of one folder
FOLDERS_LIMIT = 20_000
SOURCE_SUFFIXES = (".asm", ".s", ".inc", ".a65", ".65s", ".65c", ".i65", ".asr", ".mac")
SKIPPED_FOLDERS = frozenset({"node_modules", "__pycache__"})


def normal(path: str) -> str:
    """``path`` absolute and normalised, with ``/`` and an upper-case drive letter."""
    path = os.path.abspath(path).replace(os.sep, "/")
    return path[0].upper() + path[1:] if path[1:2] == ":" else path


def is_below(path: str, folder: str) -> bool:
    """True when ``path`` is ``folder`` or lies in it (both normalised)."""
    return path == folder or path.startswith(folder if folder.endswith("/") else folder + "/")


@dataclass(frozen=True, slots=True)
class Source:
    """A file's text. ``problems`` says what reading it cost (bytes that are no UTF-8)."""

    path: str
    text: str
    problems: tuple[Problem, ...] = ()


class Refused(Exception):
    """A file that is not read; ``str()`` says why."""


@dataclass(frozen=True)
class Fence:
    """What may be read: the workspace folders, and folders that the user's own configuration allows."""

    folders: tuple[str, ...] = ()
    outside: tuple[str, ...] = ()

    def real(self, path: str) -> str:
        """``path`` with every link followed. Raises Refused when that lies outside."""
        try:
            real = normal(os.path.realpath(path))
        except (OSError, ValueError) as error:
            raise Refused(str(error)) from None
        for folder in (*self.folders, *self.outside):
            if is_below(real, folder) or is_below(real, normal(os.path.realpath(folder))):
                return real
        raise Refused("it lies outside the workspace")

    def read_bytes(self, path: str, limit: int) -> bytes:
        """At most ``limit`` bytes of a regular file. Raises Refused."""
        real = self.real(path)
        try:
            # Non-blocking, so that a named pipe cannot hold us; judged by the open file, so that nobody can swap it.
            handle = os.open(real, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
            with os.fdopen(handle, "rb") as file:
                found = os.fstat(file.fileno())
                if not stat.S_ISREG(found.st_mode):
                    raise Refused("it is no regular file")
                if found.st_size > limit:
                    raise Refused(f"it is larger than {limit} bytes")
                return file.read(limit)
        except (OSError, ValueError) as error:
            raise Refused(getattr(error, "strerror", None) or str(error)) from None

    def exists(self, path: str) -> bool:
        """True when ``path`` is a regular file that may be read."""
        try:
            return os.path.isfile(self.real(path))
        except (Refused, OSError, ValueError):
            return False

    def read(self, path: str) -> Source:
        """A source file, decoded. Raises Refused."""
        return decode(path, self.read_bytes(path, SOURCE_LIMIT))


def decode(path: str, data: bytes) -> Source:
    """UTF-8, with a byte order mark or without; every byte that is none becomes U+FFFD, and a Problem says so."""
    bom = 3 if data.startswith(b"\xef\xbb\xbf") else 0
    try:
        return Source(path, data[bom:].decode("utf-8"))
    except UnicodeDecodeError as error:
        start = len(data[bom:bom + error.start].decode("utf-8", "replace"))
        problem = Problem(path, Span(start, start + 1), "NAY001", Severity.INFORMATION,
                          f"This byte (${data[bom + error.start]:02X}) is not UTF-8; it is read as U+FFFD.")
        return Source(path, data[bom:].decode("utf-8", "replace"), (problem,))


def sources_below(folder: str, fence: Fence) -> Iterator[str]:
    """The source files in ``folder``, nearest first, in name order; hidden folders and links that leave the fence
    are passed over. At most FILES_LIMIT."""
    waiting, found = [folder], 0
    seen: set[str] = set()
    while waiting and len(seen) < FOLDERS_LIMIT:
        here = waiting.pop(0)
        try:
            real = fence.real(here)
            entries = sorted(os.scandir(real), key=lambda entry: entry.name)
        except (Refused, OSError):
            continue
        if real in seen:
            continue
        seen.add(real)
        for entry in entries:
            path = f"{here.rstrip('/')}/{entry.name}"
            try:
                if entry.is_dir():
                    if not entry.name.startswith(".") and entry.name not in SKIPPED_FOLDERS:
                        waiting.append(path)
                elif entry.name.lower().endswith(SOURCE_SUFFIXES) and (not entry.is_symlink() or fence.exists(path)):
                    yield path
                    found += 1
                    if found >= FILES_LIMIT:
                        return
            except OSError:
                continue


def read_project_config(folder: str) -> tuple[str, str] | None:
    """(path, text) of the folder's ``nayru.toml``, or None when there is none. Raises Refused."""
    path = f"{folder.rstrip('/')}/{PROJECT_FILE}"
    if not os.path.lexists(path):
        return None
    return path, Fence((folder,)).read_bytes(path, CONFIG_LIMIT).decode("utf-8", "replace")


def project_config(folder: str, outside: Iterable[str]) -> tuple[ProjectConfig, tuple[str, ...]]:
    """What the folder's ``nayru.toml`` says (the defaults where there is none), and the sentences to tell about it.
    ``outside``: the folders beyond the workspace that the user allowed. Raises ConfigError."""
    try:
        read = read_project_config(folder)
    except Refused as error:
        raise ConfigError(f"{folder}/{PROJECT_FILE}: {error}") from None
    if read is None:
        return ProjectConfig(), ()
    path, text = read
    config, notices = parse_project(text, path)
    fence = Fence((folder,), tuple(normal(one) for one in outside))
    missing = unfound(folder, config, fence)
    if len(missing) > MOST_TOLD:
        missing[MOST_TOLD:] = [f"{len(missing) - MOST_TOLD} more files that it names are not there"]
    return config, (*notices, *(f"{path}: {one}" for one in missing))


def configured_roots(folder: str, config: ProjectConfig) -> tuple[Root, ...]:
    """The roots that ``nayru.toml`` names, with absolute paths."""
    return tuple(dress(Root(_join(folder, root.path)), folder, config, i) for i, root in enumerate(config.roots))


def dress(root: Root, folder: str, config: ProjectConfig, index: int | None = None) -> Root:
    """``root`` with what the folder's configuration says for every root, and for root number ``index``."""
    own = config.roots[index] if index is not None else None
    defines = {**config.defines, **(own.defines if own else {})}
    includes = (*(own.include_paths if own else ()), *config.include_paths)
    prelude = (own.prelude if own else "") or config.prelude
    image = (own.base_image if own else "") or config.base_image
    return Root(
        path=root.path, dialect=dialect_of(config),
        mapping_mode=(own.mapping_mode if own else "") or config.mapping_mode or root.mapping_mode,
        defines=tuple(sorted(defines.items())), include_paths=tuple(_join(folder, path) for path in includes),
        prelude=_join(folder, prelude) if prelude else "", base_image=_join(folder, image) if image else "")


def unfound(folder: str, config: ProjectConfig, fence: Fence) -> list[str]:
    """What ``nayru.toml`` names and is not there, as "key: why" sentences: a typing slip in a root's path would else
    silence everything that is said about the project."""
    named = [("prelude", config.prelude), ("base_image", config.base_image)]
    named += [(f"symbols[{i}]", path or ".") for i, path in enumerate(config.symbols)]
    for i, root in enumerate(config.roots):
        named += [(f"roots[{i}].path", root.path or "."), (f"roots[{i}].prelude", root.prelude),
                  (f"roots[{i}].base_image", root.base_image)]
    return [f"{key}: there is no file {path!r} in the workspace" for key, path in named
            if path and not fence.exists(_join(folder, path))]


def dialect_of(config: ProjectConfig) -> Dialect:
    return Dialect.ASAR_2 if config.dialect == Dialect.ASAR_2.value else Dialect.ASAR_1


def effective_roots(project: Project, config: Config, folders: Iterable[str]) -> tuple[Root, ...] | None:
    """The roots that the configuration names; for folders that name none, those derived from the files, with what
    the folder says for every root. None: nothing is configured, the project's own derivation stands."""
    configured = {folder: config.projects[folder] for folder in folders if folder in config.projects}
    if not any(item != ProjectConfig() for item in configured.values()):
        return None
    found = [root for folder, item in configured.items() for root in configured_roots(folder, item)]
    for root in project.with_roots(()).roots:
        owner = max((folder for folder in configured if is_below(root.path, folder)), key=len, default=None)
        if owner is None:
            found.append(root)
        elif not configured[owner].roots:
            found.append(dress(root, owner, configured[owner]))
    return tuple(found)


def _join(folder: str, path: str) -> str:
    return normal(os.path.join(folder, path))


def wanted_includes(project: Project, paths: Iterable[str], fence: Fence) -> tuple[
        list[str], list[str], list[tuple[str, str]]]:
    """What the files ``paths`` include and the project does not know yet, looked up on disk inside the fence:
    (sources to read, binary files that exist, (including file, name) pairs that are nowhere)."""
    sources: dict[str, None] = {}
    blobs: dict[str, None] = {}
    absent: list[tuple[str, str]] = []
    for path in paths:
        parsed = project.files.get(path)
        if parsed is None:
            continue
        for include in parsed.includes:
            if include.opaque or project.resolve_include(path, include.name) is not None:
                continue
            for candidate in project.include_candidates(path, include.name):
                if fence.exists(candidate):
                    (blobs if include.kind == "incbin" else sources)[candidate] = None
                    break
            else:
                absent.append((path, include.name))
    return list(sources), list(blobs), absent


def read_folder(folder: str, config: Config, fence: Fence, paths: Iterable[str] = (),
                refused: Callable[[str, Refused], object] = lambda path, why: None) -> tuple[
        Project, dict[str, tuple[Problem, ...]]]:
    """The whole project of ``folder``, read here and now, with ``paths`` besides: (project, problems of reading).
    ``refused`` is told of each file that is not read. What the command line works on; the server reads the same in
    slices."""
    project = Project()
    problems: dict[str, tuple[Problem, ...]] = {}
    absent: list[tuple[str, str]] = []
    waiting = list(dict.fromkeys((*sources_below(folder, fence), *paths)))
    while waiting:
        read = []
        for path in waiting:
            try:
                source = fence.read(path)
            except Refused as error:
                refused(path, error)
                continue
            read.append(path)
            project = project.with_file(parse_text(
                path, SourceText.of(source.text), dialect_of(config.project_for(path))))
            problems[path] = source.problems
        sources, blobs, missing = wanted_includes(project, read, fence)
        absent += missing
        for blob in blobs:
            project = project.with_blob(blob, b"")
        waiting = [path for path in sources if path not in problems]
    project = project.with_absent(absent)
    roots = effective_roots(project, config, [folder])
    return (project if roots is None else project.with_roots(roots)), problems
