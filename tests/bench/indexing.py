"""The index: reading a project cold beside one scan with ``re``, a key in a large file, which blocks mention a word.

The scan is the floor of what plain Python can do: one pattern over the same texts, its matches thrown away. The index
of the same texts has every definition with its line, the words of the code of every block, includes, macro calls and
what expansion may make. Of its time about a quarter goes into cutting lines and comments, a quarter into the words, the
rest into lines that were not seen before, a microsecond or more each in CPython. So it counts how many lines are unlike
all others: 34 of 100 of SMWDisX and of Oracle-of-Secrets, 25 of sm_disassembly, 11 of DKC2-disassembly; and how long
lines are, which the scan pays for and the index hardly: 25 characters in Oracle-of-Secrets, 55 in sm_disassembly.
"""

from __future__ import annotations

import gc
import os
import random
import re
import time
from collections.abc import Callable
from pathlib import Path

from nayru_lsp.asm import outline
from nayru_lsp.asm.checks import check_file
from nayru_lsp.asm.parser import parse_text
from nayru_lsp.asm.project import Project
from nayru_lsp.asm.text import SourceText, Span
from tests.expansion import CORPORA

Row = tuple[str, str, str, bool | None]
FLOOR = re.compile(
    r"(?m)^[ \t]*(?:([A-Za-z_]\w*):|(\.+\w+)|([A-Za-z_]\w*)[ \t]+=|(!\w+)[ \t]+[+:#?]?=|macro[ \t]+(\w+)"
    r"|incsrc[ \t]+(\S+))")
TIMES = 5           # the best of so many
LARGE = 400_000     # lines; from there on the budget counts
KEYS = 300


def index(program: Callable[[int, int], str]) -> list[Row]:
    """``program(lines, seed)`` makes a source."""
    rows: list[Row] = []
    project = Project()
    for lines in (20_000, 100_000, 400_000):
        texts = {f"/bench/{seed}.asm": program(20_000, seed) for seed in range(lines // 20_000)}
        project, row = _cold("generated", texts)
        rows.append(row)
    corpus = os.environ.get("NAYRU_CORPUS")
    for one in CORPORA if corpus else ():
        rows.append(_cold(one.name, _texts(Path(corpus or "") / one.root.split("/")[0]))[1])
    if not corpus:
        rows.append(("four real projects", "set NAYRU_CORPUS to their folder", "", None))
    return [*rows, *_keys(project, program(129_000, 100)), *_asked(project)]


def _texts(folder: Path) -> dict[str, str]:
    return {path.as_posix(): path.read_bytes().decode("utf-8", "replace")
            for path in sorted(folder.rglob("*.[aA][sS][mM]"))}


def _cold(name: str, texts: dict[str, str]) -> tuple[Project, Row]:
    floors, ours = [], []
    project = Project()
    gc.collect()
    gc.disable()        # as the server does while it reads
    for _ in range(TIMES):
        begun = time.process_time()
        for text in texts.values():
            for _ in FLOOR.finditer(text):
                pass
        floors.append(time.process_time() - begun)
        for forms in outline._forms.values():
            forms.clear()
        begun = time.process_time()
        project = Project().with_files([parse_text(path, SourceText.of(text)) for path, text in texts.items()])
        ours.append(time.process_time() - begun)
    gc.enable()
    lines = sum(text.count("\n") for text in texts.values())
    ratio = min(ours) / min(floors)
    return project, (f"index of {name}, {lines:,} lines / one scan with re",
                     f"{ratio:.1f}x ({min(ours):.2f} s, {len(list(project.names())):,} names)",
                     "<= 2x" if lines >= LARGE - 100 else "quoted", ratio <= 2 if lines >= LARGE - 100 else None)


def _keys(project: Project, text: str) -> list[Row]:
    path = "/bench/large.asm"
    file = parse_text(path, SourceText.of(text))
    project = project.with_file(file)
    rng = random.Random(4)
    taken = []
    for number in range(KEYS):
        source = file.text
        at = source.line_start(rng.randrange(10, source.line_count - 10)) + rng.choice((0, 5))
        begun = time.process_time()
        file = parse_text(path, source.replace(Span(at, at), "x" if number % 3 else "\n    LDA.w #$12"), previous=file)
        project = project.with_file(file)
        taken.append(1000 * (time.process_time() - begun))
    taken.sort()
    p50, p95 = taken[KEYS // 2], taken[int(0.95 * KEYS)]
    return [(f"a key in {file.text.line_count:,} lines of a project: text and index",
             f"p50 {p50:.2f}, p95 {p95:.2f} ms", "p95 <= 1 ms", p95 <= 1)]


def _asked(project: Project) -> list[Row]:
    word = "\nRoutine_00007\n"
    begun = time.process_time()
    found = sum(word in made.words for file in project.files.values() for _, _, made in file.outlines)
    asked = time.process_time() - begun
    file = next(iter(project.files.values()))
    begun = time.process_time()
    problems = check_file(project, file)
    return [("which blocks of that project mention a word", f"{1000 * asked:.1f} ms, {found} blocks", "quoted", None),
            (f"own checks of one {file.text.line_count:,}-line file, cold",
             f"{1000 * (time.process_time() - begun):.0f} ms, {len(problems)} problems", "quoted", None)]
