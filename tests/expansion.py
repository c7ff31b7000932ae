"""Our execution of a root beside the real Asar's: labels by the gaps between neighbours, bytes, defines, errors, time.

    python -m tests.expansion ROOT [-D n=v] [-I FOLDER] [--base FILE|SIZE:BYTE] [--asar 1|2] [--show N]
    python -m tests.expansion --suite FOLDER [--asar 1|2] [--show N]

ROOT is a file, the name of one of `CORPORA` below, or ``all`` of them (in the folder that NAYRU_CORPUS names);
FOLDER holds Asar's own test files (`asar_suite`). ``--oracle`` runs Asar alone. What is compared: `comparison`.
"""

from __future__ import annotations

import argparse
import os
import posixpath
import re
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from nayru_lsp.asm.project import Root
from nayru_lsp.asm.syntax import Dialect
from tests import oracle
from tests.comparison import Bytes, Cause, Labels, Made, Write, compare_bytes, compare_labels, errors_of, hit, row_of
from tests.oracle import Assembled

if TYPE_CHECKING:
    from nayru_lsp.asm.expand import Expansion


@dataclass(frozen=True, slots=True)
class Corpus:
    """A public project's root and how it is assembled; paths below NAYRU_CORPUS. ``base`` as ``--base`` takes it,
    ``patches`` (ROM offset, bytes) on top of it; files that are not there have ``stand_in`` bytes for both sides."""

    name: str
    root: str
    defines: tuple[tuple[str, str], ...] = ()
    include_paths: tuple[str, ...] = ()
    base: str = ""
    patches: tuple[tuple[int, bytes], ...] = ()
    stand_in: int = 0


CORPORA = (
    Corpus("smw", "SMWDisX/smw.asm", (("_VER", "1"),)),
    Corpus("dkc2", "DKC2-disassembly/all.asm"),
    Corpus("sm", "sm_disassembly/src/main.asm", base="3M:FF", stand_in=32),
    Corpus("oos", "Oracle-of-Secrets/Oracle_main.asm", include_paths=("Oracle-of-Secrets",), base="2M:7F",
           patches=((0xE9E6, b"\x73\x80\x39"), (0xE9F5, b"\x7a\x80\x38"))),
)


@dataclass(frozen=True, slots=True)
class Job:
    root: Root
    base: bytes = b""
    memory: Mapping[str, bytes] = field(default_factory=dict)

    def read(self, path: str) -> bytes | None:
        held = self.memory.get(path)
        if held is not None:
            return held
        try:
            return Path(path).read_bytes()
        except (OSError, ValueError):
            return None


class Ours(NamedTuple):
    """``seconds``: CPU time of the run, and of asking for all labels and bytes after it."""

    expansion: Expansion
    labels: Mapping[str, Made]
    writes: Sequence[Write]
    seconds: tuple[float, float]


def ours(job: Job) -> Ours:
    from nayru_lsp.asm.expand import run

    start = time.process_time()
    expansion = run(job.root, job.read, job.base)
    middle = time.process_time()
    labels, writes = expansion.labels, expansion.writes
    return Ours(expansion, labels, writes, (middle - start, time.process_time() - middle))


def theirs(job: Job, library: Path) -> Assembled:
    root = job.root
    return oracle.assemble(root.path, library=library, defines=root.defines, include_paths=root.include_paths,
                           base_image=job.base, memory=job.memory)


def with_stand_ins(job: Job, result: Assembled, size: int) -> Job:
    """``job`` with a file for each that Asar did not find: ``size`` bytes that count upwards."""
    memory = dict(job.memory)
    for error in result.errors:
        if error.name == "Efile_not_found":
            name = error.text.split("'")[1]
            memory[posixpath.normpath(posixpath.join(posixpath.dirname(error.path), name))] = bytes(
                number & 0xFF for number in range(1, size + 1))
    return Job(job.root, job.base, memory)


# --- the command -----------------------------------------------------------------------------------------------------

_BASE = re.compile(r"(\d+|0x[0-9a-fA-F]+)([KM]?):\$?([0-9a-fA-F]{1,2})\Z")


def base_image(text: str, patches: Iterable[tuple[int, bytes]] = ()) -> bytes:
    """``2M:7F``, ``0x80000:00`` (a size and a byte in hex) or the path of a file."""
    match = _BASE.match(text)
    if match:
        size = int(match[1], 0) * {"": 1, "K": 1 << 10, "M": 1 << 20}[match[2]]
        image = bytearray([int(match[3], 16)]) * size
    else:
        image = bytearray(Path(text).read_bytes() if text else b"")
    for at, data in patches:
        image[at:at + len(data)] = data
    return bytes(image)


def dialect_of(asar: int) -> Dialect:
    return Dialect.ASAR_1 if asar == 1 else Dialect.ASAR_2


def job_of(corpus: Corpus, folder: Path, asar: int) -> Job:
    root = Root((folder / corpus.root).resolve().as_posix(), dialect_of(asar), defines=corpus.defines,
                include_paths=tuple((folder / path).resolve().as_posix() for path in corpus.include_paths))
    return Job(root, base_image(corpus.base, corpus.patches))


class Lines:
    """The source beside a place, for people."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.files: dict[str, list[str]] = {}

    def rows(self, path: str) -> int:
        if path not in self.files:
            self.files[path] = (self.job.read(path) or b"").decode("utf-8", "replace").split("\n")
        return len(self.files[path])

    def at(self, path: str, row: int) -> str:
        if not path:
            return "no file"
        held = self.rows(path)
        text = " ".join(self.files[path][row].split())[:70] if 0 <= row < held else ""
        return f"{posixpath.relpath(path, posixpath.dirname(self.job.root.path))}:{row + 1}  {text}"


def show_labels(labels: Labels, lines: Lines, values: Mapping[str, int], most: int) -> None:
    grouped: dict[tuple[str, int], list[Cause]] = {}
    for cause in labels.causes:
        grouped.setdefault((cause.path, cause.row), []).append(cause)
    print(f"causes: {len(labels.causes)} places where the gap to the label before differs, on {len(grouped)} lines")
    for causes in list(grouped.values())[:most]:
        cause = causes[0]
        print(f"  {lines.at(cause.path, cause.row)}\n      {cause.label} = ${cause.asar_value:06X}, "
              f"{cause.asar_gap} behind {cause.before or '$000000'}; ours {cause.our_gap}"
              f"{f'; {len(causes)} such' if len(causes) > 1 else ''}")
    for what, names in (("missing", labels.missing), ("unknown", labels.unknown), ("extra", labels.extra)):
        if names:
            print(f"{what} labels: " + ", ".join(
                f"{name} ${values[name]:06X}" if name in values else name for name in names[:most]))


def show_bytes(compared: Bytes, lines: Lines, most: int) -> None:
    if compared.spots:
        print(f"bytes not as Asar's, on {len(compared.spots)} lines")
    for spot in compared.spots[:most]:
        print(f"  {spot.kind} at {spot.rom:06X}, {spot.size} bytes: {lines.at(spot.path, spot.row)}\n"
              f"      Asar {spot.asar.hex(' ')}{f'   ours {spot.ours.hex(chr(32))}' if spot.ours else ''}")


def table(job: Job, result: Assembled, most: int) -> None:
    made = ours(job)
    lines = Lines(job)
    labels = compare_labels(made.labels, result.labels)
    row = "{:8} {:>10} {:>10} {:>10} {:>10} {:>9} {:>9} {:>9}".format
    print(row("", "Asar", "ours", "equal", "different", "unknown", "missing", "extra"))
    print(row("labels", labels.asar, labels.ours, labels.equal, labels.found - labels.equal - len(labels.unknown),
              len(labels.unknown), len(labels.missing), len(labels.extra)))
    compared = compare_bytes(made.writes, result)
    if result.ok:
        print(row("bytes", compared.asar, sum(write.size for write in made.writes), compared.equal,
                  compared.different, compared.unknown, compared.missing, compared.extra)
              + "".join(f"  {count} {name}" for name, count in (("unlisted", compared.unlisted),
                                                                ("unplaced", compared.unplaced)) if count))
    defines = made.expansion.defines
    shared = [name for name in result.defines if name in defines]
    same = sum(defines[name] == result.defines[name] for name in shared)
    print(row("defines", len(result.defines), len(defines), same, len(shared) - same, 0,
              len(result.defines) - len(shared), len(defines) - len(shared)))
    own = errors_of(made.expansion.problems)
    generation = result.version // 10000
    hits = [hit(error, own, generation, lines.rows) for error in result.errors]
    print(row("errors", len(result.errors), len(own), sum(kind in ("line", "file") for kind in hits), "", "",
              hits.count("") + hits.count("call"), ""))
    run, rest = made.seconds
    print(f"seconds  {result.seconds:10.2f} {run:10.2f} + {rest:.2f} for labels and bytes")
    show_labels(labels, lines, result.labels, most)
    if result.ok:
        show_bytes(compared, lines, most)
    for problem in own[:most]:
        print(f"our error: {lines.at(problem.path, row_of(problem))}\n      {problem.code} {problem.message}")
    lost = [error for error, kind in zip(result.errors, hits, strict=True) if kind in ("", "call")]
    for error in lost[:most]:
        print(f"Asar's error: {lines.at(error.path, error.line)}\n      {error.name} {error.text}")


def told(result: Assembled) -> str:
    names = [error.name for error in result.errors]
    errors = ", ".join(f"{names.count(name)} {name}" for name in dict.fromkeys(names))
    return (f"Asar {result.version}: {'ok' if result.ok else 'failed'}{result.died and ': ' + result.died}, "
            f"{len(result.named):,} named labels, {sum(len(data) for _, _, data in result.blocks):,} bytes, "
            f"{len(names)} errors{f' ({errors})' if errors else ''}, {len(result.warnings)} warnings, "
            f"{result.seconds:.2f} s")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.expansion", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("root", nargs="?", help=f"a file, 'all' or one of {', '.join(one.name for one in CORPORA)}")
    parser.add_argument("-D", dest="defines", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("-I", dest="include_paths", action="append", default=[], metavar="FOLDER")
    parser.add_argument("--base", default="", metavar="FILE|SIZE:BYTE")
    parser.add_argument("--stand-in", type=int, default=0, metavar="BYTES", help="for files that are not there")
    parser.add_argument("--asar", type=int, choices=(1, 2), default=1)
    parser.add_argument("--show", type=int, default=10, metavar="N", help="differences of each kind")
    parser.add_argument("--oracle", action="store_true", help="Asar alone")
    parser.add_argument("--suite", metavar="FOLDER", help="of Asar's own test files")
    options = parser.parse_args(arguments)
    library = oracle.library(options.asar)
    if library is None:
        parser.error(f"no library of Asar {options.asar}: set {oracle.VARIABLE[options.asar]}")
    if options.suite:
        from tests.asar_suite import report

        report(Path(options.suite).resolve(), options.asar, library, options.show, options.oracle)
        return 0
    defines = {name: value for name, _, value in (one.partition("=") for one in options.defines)}
    includes = tuple(Path(one).resolve().as_posix() for one in options.include_paths)
    chosen = [one for one in CORPORA if options.root in (one.name, "all")]
    folder = os.environ.get("NAYRU_CORPUS", "") if chosen else "."
    if not chosen and options.root:
        chosen = [Corpus(options.root, options.root)]
    elif not chosen:
        parser.error("a root or --suite is needed")
    elif not folder:
        parser.error("NAYRU_CORPUS names no folder with local copies of public projects")
    for one in chosen:
        job = job_of(replace(
            one, defines=tuple((dict(one.defines) | defines).items()), include_paths=(*one.include_paths, *includes),
            base=options.base or one.base), Path(folder), options.asar)
        stand_in = options.stand_in or one.stand_in
        result = theirs(job, library)
        print(f"== {one.name}, {told(result)}", flush=True)
        if stand_in and any(error.name == "Efile_not_found" for error in result.errors):
            job = with_stand_ins(job, result, stand_in)
            result = theirs(job, library)
            print(f"   with {len(job.memory)} stand-ins: {told(result)}", flush=True)
        if not options.oracle:
            table(job, result, options.show)
    return 0


if __name__ == "__main__":
    sys.exit(main())
