"""Asar's own test files as cases for our expansion. They are read where somebody has them, never copied.

The head of a file says what is expected: lines that begin with a semicolon and a backtick hold bytes (two hex
digits), ROM offsets (five or six), ``+`` (patch the 512 KiB image below), ``#N`` (apply N times), ``errE...`` and
``warnW...`` (ids, in the order of emission). Where errors are is not stated: the real Asar is asked. Some cases ask
for settings of the command line and a memory file: all get them, so that those marked ``skip`` run too.
"""

from __future__ import annotations

import posixpath
import re
import signal
import traceback
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import NamedTuple

from nayru_lsp.asm.problem import Problem
from nayru_lsp.asm.project import Root
from tests.comparison import compare_bytes, compare_labels, errors_of, hit, row_of
from tests.expansion import Job, Lines, dialect_of, ours, show_bytes, theirs
from tests.oracle import Assembled, Told

PATIENCE = 60                   # seconds for one run of ours
CHECKSUM = range(0x7FDC, 0x7FE0)
DEFINES = (
    ("stddefined", "1"), ("stddefined2", "1"), ("stddefined3", ""), ("stddefined4", "1"),
    ("stddefined5", " $60,$50,$40 "), ("cmddefined", ""), ("cmddefined2", ""), ("cmddefined3", " $10,$F0,$E0 "),
    ("cmdl_define_utf8", "\u65e5\u672c\u8a9e\U0001f1ef\U0001f1f5"),
)
MEMORY = {"file.memory": b"!fancy_memory_file_define = $123456"}


def dummy_rom() -> bytes:
    """The image of Asar's runner: empty but for the start of a game, its title, mapping mode, size and checksum."""
    image = bytearray(0x80000)
    for at, data in ((0, b"\x78\x9c\x00\x42\x9c\x0c\x42"), (0x7FC0, b"SUPER MARIOWORLD     \x20"), (0x7FD7, b"\x0a"),
                     (0x7FDC, b"\x46\xf8\xb9\x07")):
        image[at:at + len(data)] = data
    return bytes(image)


@dataclass(slots=True)
class Case:
    """``expected``: ROM offset -> byte, only what the head states."""

    path: str
    expected: dict[int, int] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    patches: bool = False
    times: int = 1

    @property
    def name(self) -> str:
        return posixpath.basename(self.path)


_NUMBER = re.compile(r"[0-9a-fA-F]+\Z")


def read_case(path: str, data: bytes, asar: int) -> Case:
    """The head ends at the first other line in 1.91's runner; 2.0's looks at all lines."""
    case = Case(path)
    at = 0
    for line in data.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "replace").split("\n"):
        line = line.rstrip("\r")
        if not line.startswith(";`"):
            if asar == 1 and not re.match(r";.>", line):
                break
            continue
        for word in line[2:].split():
            if word == "+":
                case.patches = True
            elif word.startswith("#"):
                case.times = int(word[1:])
            elif word.startswith("errE"):
                case.errors.append(word[3:])
            elif word.startswith("warnW"):
                case.warnings.append(word[4:])
            elif _NUMBER.match(word) and len(word) == 2:
                case.expected[at] = int(word, 16)
                at += 1
            elif _NUMBER.match(word) and len(word) in (5, 6):
                at = int(word, 16)
    return case


def cases(folder: Path, asar: int) -> list[Case]:
    return [read_case(path.as_posix(), path.read_bytes(), asar)
            for path in sorted(folder.glob("*.asm")) if path.is_file()]


def job_of(case: Case, asar: int) -> Job:
    folder = posixpath.dirname(case.path)
    root = Root(case.path, dialect_of(asar), defines=DEFINES, include_paths=(folder, f"{folder}/stdinclude"))
    memory = {f"{folder}/{name}": data for name, data in MEMORY.items()}
    return Job(root, dummy_rom() if case.patches else b"", memory)


def as_stated(case: Case, result: Assembled) -> str:
    """What of the head the real Asar does not do, or nothing: then the case is set up as its runner sets it up."""
    if [error.name for error in result.errors] != case.errors:
        return f"errors {[error.name for error in result.errors]}, stated {case.errors}"
    if [warning.name for warning in result.warnings] != case.warnings:
        return f"warnings {[warning.name for warning in result.warnings]}, stated {case.warnings}"
    return "" if case.errors else wrong_bytes(case, result.image)


def wrong_bytes(case: Case, image: bytes) -> str:
    for at, byte in case.expected.items():
        if image[at:at + 1] != bytes([byte]) and at not in CHECKSUM:
            return f"{image[at:at + 1].hex() or 'nothing'} at {at:06X}, stated {byte:02x}"
    return ""


@contextmanager
def patience() -> Iterator[None]:
    """TimeoutError after `PATIENCE` seconds, where the system can do that."""
    def late(number: int, frame: FrameType | None) -> None:
        raise TimeoutError(f"no end after {PATIENCE} s")

    if not hasattr(signal, "setitimer"):
        yield
        return
    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, PATIENCE)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def same_text(error: Told, own: list[Problem], asar: int, lines: Lines) -> bool:
    """2.0 miscounts the lines of a macro inside a macro, yet tells what stands there: is ours of the same name on a
    line that reads so, while the line that it names does not?"""
    told = "".join(error.block.split())

    def reads(row: int) -> bool:
        held = lines.rows(error.path)
        return 0 <= row < held and told in "".join(lines.files[error.path][row].split())

    return asar == 2 and bool(told and error.callers) and not reads(error.line) and any(
        problem.code == error.name and problem.path == error.path and reads(row_of(problem)) for problem in own)


class Judged(NamedTuple):
    """``count``: how many cases or errors, by what they are; ``notes``: what is not as Asar's, in words, by kind;
    ``by_name``: id of an error -> how ours reports it."""

    count: Counter[str]
    notes: dict[str, list[str]]
    by_name: dict[str, Counter[str]]


def judged(folder: Path, asar: int, library: Path, most: int = 0, alone: bool = False) -> Judged:
    """Run all cases of ``folder``; ``alone``: the real Asar only. Differing bytes of the first ``most`` are printed."""
    count: Counter[str] = Counter()
    by_name: dict[str, Counter[str]] = {}
    notes: dict[str, list[str]] = {}

    def note(kind: str, text: str) -> None:
        notes.setdefault(kind, []).append(text)

    for case in cases(folder, asar):
        job = job_of(case, asar)
        result = theirs(job, library)
        for _ in range(case.times - 1):
            job = Job(job.root, result.image, job.memory)
            result = theirs(job, library)
        count["cases"] += 1
        count["clean" if result.ok else "failing"] += 1
        if unlike := result.died or as_stated(case, result):
            note("the real Asar does not do what the head states", f"{case.name}: {unlike}")
        if alone:
            continue
        try:
            with patience():
                made = ours(job)
        except Exception as raised:  # the expansion promises never to raise: that is what is noted
            last = traceback.extract_tb(raised.__traceback__)[-1]
            note("ours raised", f"{case.name}: {type(raised).__name__} {raised} ({last.name}:{last.lineno})")
            count["raised"] += 1
            continue
        lines = Lines(job)
        own = errors_of(made.expansion.problems)
        if result.ok:
            for problem in own:
                note("false errors", f"{lines.at(problem.path, row_of(problem))}  {problem.code} {problem.message}")
            count["without false errors"] += not own
            compared = compare_bytes(made.writes, result)
            count["bytes as Asar's"] += compared.all_equal
            if not compared.all_equal:
                note("bytes", f"{case.name}: {compared.equal} of {compared.asar} equal, {compared.different} different,"
                              f" {compared.unknown} unknown, {compared.missing} missing, {compared.extra} extra, "
                              f"{compared.unplaced} unplaced")
                if len(notes["bytes"]) <= most:
                    show_bytes(compared, lines, 3)
            labels = compare_labels(made.labels, result.labels)
            count["labels as Asar's"] += labels.all_equal
            if not labels.all_equal:
                note("labels", f"{case.name}: {labels.equal} of {labels.asar} equal, unknown {labels.unknown[:3]}, "
                               f"missing {labels.missing[:3]}, extra {labels.extra[:3]}, "
                               f"causes {[f'{cause.label} on line {cause.row + 1}' for cause in labels.causes[:3]]}")
            continue
        hits = [hit(error, own, asar, lines.rows) or "line" * same_text(error, own, asar, lines)
                for error in result.errors]
        for error, how in zip(result.errors, hits, strict=True):
            by_name.setdefault(error.name, Counter())[how] += 1
            count["errors"] += 1
            count["errors on the same line"] += how in ("line", "file")
            if how in ("", "call"):
                note("errors that ours lacks" if not how else "errors that ours has at a caller",
                     f"{lines.at(error.path, error.line)}  {error.name} {error.text}")
        count["failing, all on the same lines"] += all(how in ("line", "file") for how in hits)
        count["failing, none"] += not any(hits)
        places = {(error.path, error.line + more) for error in result.errors for more in (0, asar == 1)}
        places |= {caller for error in result.errors for caller in error.callers}
        for problem in own:
            if (problem.path, row_of(problem)) not in places and (
                    problem.code not in {error.name for error in result.errors}):
                note("more errors of ours in failing cases",
                     f"{lines.at(problem.path, row_of(problem))}  {problem.code} {problem.message}")
    return Judged(count, notes, by_name)


def report(folder: Path, asar: int, library: Path, most: int, alone: bool) -> None:
    """Run all cases of ``folder`` and print what ours makes of them; ``alone``: the real Asar only."""
    count, notes, by_name = judged(folder, asar, library, most, alone)
    print(f"{folder}, Asar {asar}: {count['cases']} cases, {count['clean']} clean, {count['failing']} failing")
    if not alone:
        for what, of in (("without false errors", "clean"), ("bytes as Asar's", "clean"), ("labels as Asar's", "clean"),
                         ("failing, all on the same lines", "failing"), ("failing, none", "failing"),
                         ("errors on the same line", "errors"), ("raised", "cases")):
            print(f"  {what}: {count[what]} of {count[of]}")
    for kind, texts in notes.items():
        print(f"{kind}: {len(texts)}")
        for text in texts[:most]:
            print(f"  {text}")
    lacking = {name: hits for name, hits in by_name.items() if hits[""] or hits["call"]}
    if lacking:
        print("ids not always on the same line: " + ", ".join(
            f"{name} {hits['line'] + hits['file']} of {hits.total()}" for name, hits in sorted(lacking.items())))
