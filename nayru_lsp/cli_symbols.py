"""`nayru symbols`: the names that a project's text holds, or every label of one root, executed as Asar executes it.

Nothing outside the project is read but what the user's own settings or flags name.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
import time
import zlib
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from nayru_lsp.__main__ import line_column, load, load_config, load_plugins, print_json, shown, workspace_of
from nayru_lsp.asm.expanded import ECHOES
from nayru_lsp.asm.mapping import without_header
from nayru_lsp.asm.project import Root
from nayru_lsp.asm.symbol_files import LineRow, SymbolRow, write_mesen, write_wla
from nayru_lsp.config import Config, Places, UserConfig
from nayru_lsp.files import SOURCE_LIMIT, SOURCE_SUFFIXES, Fence, Refused, configured_roots, dress, normal

if TYPE_CHECKING:
    from nayru_lsp.asm.expand import Expansion

IMAGE_LIMIT = 0x1000000 + 512       # bytes of the largest ROM, with a copier's header
PROGRESS = 0.5                      # seconds between two words of it
_DEFINE = re.compile(r"!?(\w+)(?:=(.*))?\Z", re.ASCII | re.DOTALL)


def symbols(arguments: argparse.Namespace, where: Places, user: UserConfig) -> int:
    given = arguments.query
    if os.path.isfile(given):
        return _of_root(arguments, user)
    if os.path.isdir(given):
        raise Refused(f"{given} is a folder: give the root file that the assembler is given, or --folder {given} "
                      "and a part of a name")
    if "/" in given or os.sep in given or given.lower().endswith(".asm"):
        _tell(f"{given}: no such file; give the root file that the assembler is given, or a part of a name")
        return 1
    for option in ("-D", "--base", "--wla", "--mesen"):
        if getattr(arguments, "defines" if option == "-D" else option.lstrip("-")):
            raise Refused(f"{option} needs the root file: nayru symbols ROOT {option} ..."
                          + (f" ({given} is no file)" if given else ""))
    return _of_project(arguments, where, user)


def _tell(text: str) -> None:
    print(f"nayru: {text}", file=sys.stderr)


# --- names in the text of a project ------------------------------------------------------------------------------

def _of_project(arguments: argparse.Namespace, where: Places, user: UserConfig) -> int:
    snapshot, _, _ = load(normal(arguments.folder), user, load_plugins(where, user))
    query = arguments.query.casefold()
    found = [symbol for file in snapshot.project.files.values() for symbol in file.symbols
             if query in symbol.name.casefold() and symbol.kind != "relative label"]
    rows = []
    for symbol in found:
        line, column = line_column(snapshot.project, symbol.path, symbol.name_span.start)
        rows.append({"name": symbol.name, "kind": symbol.kind, "file": shown(symbol.path), "line": line,
                     "column": column, "value": symbol.value, "detail": symbol.detail, "doc": symbol.doc})
    if arguments.json:
        print_json(rows)
    else:
        for row in rows:
            value = f" = ${row['value']:X}" if row["value"] is not None else ""
            print(f"{row['file']}:{row['line']}: {row['kind']} {row['name']}{value}")
    if query and not rows:
        _tell(f"no name in {shown(normal(arguments.folder))} contains {arguments.query}")
    return 0 if rows or not query else 1


# --- the labels of a root, executed ------------------------------------------------------------------------------

class Reader:
    """Gives an expansion the bytes inside the fence; remembers what it gave and what it kept back."""

    def __init__(self, fence: Fence) -> None:
        self.fence = fence
        self.given: dict[str, bytes] = {}
        self.refused: dict[str, Refused] = {}

    def read(self, path: str) -> bytes | None:
        if path not in self.given:
            try:
                self.given[path] = self.fence.read_bytes(path, SOURCE_LIMIT)
            except Refused as error:
                if os.path.lexists(path):
                    self.refused[path] = error
                return None
        return self.given[path]


def _of_root(arguments: argparse.Namespace, user: UserConfig) -> int:
    path = normal(arguments.query)
    folder = workspace_of(path)
    root = _root(path, folder, load_config(folder, user), arguments.defines)
    reader = Reader(Fence((folder,), tuple(normal(one) for one in user.outside_include_paths)))
    if reader.read(path) is None:
        _tell(f"{arguments.query} cannot be read: {reader.refused.get(path, 'it is gone')}")
        return 1
    target = arguments.wla or arguments.mesen
    if target and target.lower().endswith(SOURCE_SUFFIXES):
        raise Refused(f"{target} looks like a source and is not overwritten: name a symbol file (.sym, .mlb)")
    image = image_of(arguments.base, root, reader.fence)

    from nayru_lsp.asm.expand import run

    with Progress(path) as progress:
        expansion = run(root, reader.read, image, progress.tick)
    rows = [SymbolRow(name, made.value, made.path, made.row + 1) for name, made in expansion.labels.items()]
    _tell_of(expansion, reader, rows, bool(image))
    if target:
        text = _wla(expansion, reader, rows) if arguments.wla else _mesen(expansion, rows)
        data = text.encode("utf-8", "surrogateescape")
        if target == "-":
            sys.stdout.buffer.write(data)
        else:
            Path(target).write_bytes(data)
    elif arguments.json:
        print_json([{"name": row.name, "value": row.value, "file": shown(row.path), "line": row.line} for row in rows])
    else:
        for row in rows:
            value = f" = ${row.value:06X}" if row.value is not None else ""
            print(f"{shown(row.path)}:{row.line}: label {row.name}{value}")
    return 0


class Progress:
    """What is being done and for how long, on a terminal, where it takes its time."""

    def __init__(self, path: str) -> None:
        self._name = path.rpartition("/")[2]
        self._begun = self._told = time.monotonic()
        self._shows = sys.stderr.isatty()

    def tick(self) -> None:
        now = time.monotonic()
        if self._shows and now - self._told >= PROGRESS:
            self._told = now
            print(f"\rnayru: executing {self._name}: {now - self._begun:.0f} s", end="", file=sys.stderr, flush=True)

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *error: object) -> None:
        if self._told > self._begun:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)


def _root(path: str, folder: str, config: Config, defines: Iterable[str]) -> Root:
    """The root as ``nayru.toml`` describes it, with the defines of the flags laid over."""
    project = config.projects[folder]
    found = [root for root in configured_roots(folder, project) if root.path == path]
    if len(found) > 1:
        _tell(f"nayru.toml names {shown(path)} as a root {len(found)} times: the first is taken")
    root = found[0] if found else dress(Root(path), folder, project)
    return replace(root, defines=tuple(sorted({**dict(root.defines), **dict(map(_define, defines))}.items())))


def _define(given: str) -> tuple[str, str]:
    match = _DEFINE.match(given)
    if match is None:
        raise Refused(f"-D {given}: expected NAME=VALUE, the name of letters, digits and _")
    return match[1], match[2] or ""


def image_of(base: str, root: Root, fence: Fence) -> bytes | None:
    """The base image without a copier's header; None when there is none. ``base``: the user's own word, so it may lie
    anywhere. Raises Refused."""
    if not base and not root.base_image:
        return None
    path = normal(os.path.realpath(base or root.base_image))
    try:
        image = (Fence((path.rpartition("/")[0] or "/",)) if base else fence).read_bytes(path, IMAGE_LIMIT)
    except Refused as error:
        if base:
            raise Refused(f"--base {base} cannot be read: {error}") from None
        _tell(f"the base image {shown(root.base_image)} cannot be read: {error}")
        return None
    return without_header(image)


def _wla(expansion: Expansion, reader: Reader, rows: list[SymbolRow]) -> str:
    lines = [LineRow(write.snes, write.path, write.row + 1) for write in expansion.writes if write.snes is not None]
    sums = {path: zlib.crc32(data) for path, data in reader.given.items()}
    return write_wla(rows, lines, sums)


def _mesen(expansion: Expansion, rows: list[SymbolRow]) -> str:
    text, left = write_mesen(rows, expansion.mapping_mode)
    for reason, number in left.most_common():
        _tell(f"not in the file: {_labels(number)} with {reason}")
    return text


def _labels(number: int) -> str:
    return f"{number} label{'s' * (number != 1)}"


def _tell_of(expansion: Expansion, reader: Reader, rows: list[SymbolRow], image: bool) -> None:
    """What went wrong and what stayed unknown, on stderr."""
    for path, why in reader.refused.items():
        _tell(f"{shown(path)} is not read: {why}")
    if any("outside" in str(why) for why in reader.refused.values()):
        _tell("folders outside the project are read when your own config.toml names them: outside_include_paths")
    errors = [problem for problem in expansion.problems if problem.severity == 1
              and not (expansion.reasons and problem.code in ECHOES)]
    for problem in errors[:3]:
        _tell(f"{shown(problem.path)}:{problem.span.start + 1}: {problem.message}")     # its span is of rows
    if len(errors) > 3:
        _tell(f"and {len(errors) - 3} more errors")
    if errors:
        _tell("Asar would stop there; what lies behind an error may have another address")
    unknown = sum(row.value is None for row in rows)
    if unknown:
        reason = expansion.reasons.most_common(1)[0][0] if expansion.reasons else ""
        hint = " (here: --base IMAGE)" if "base image" in reason and not image else ""
        _tell(f"{unknown} of {_labels(len(rows))} {'has' if unknown == 1 else 'have'} no known value"
              + (f", most often since: {reason}{hint}" if reason else ""))
