"""Asar's own test files with lines taken out, doubled or exchanged: the real Asar beside ours, mutant by mutant.

    python -m tests.asar_mutants FOLDER [--asar 1|2] [--count N] [--seed S] [--show N]
    python -m tests.asar_mutants FOLDER [--asar 1|2] --text SEED:NUMBER

FOLDER holds the test files (`asar_suite`). A mutant is made from its seed and number alone: ``--text`` shows one and
what both say of it. Most are programs that somebody could have written, unlike those of `asm.test_mutants`.
"""

from __future__ import annotations

import argparse
import random
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from nayru_lsp.asm.expand import Expansion, Limits, run
from tests import oracle
from tests.asar_suite import Case, cases, job_of, patience, same_text
from tests.comparison import compare_bytes, compare_labels, errors_of, hit, row_of
from tests.expansion import Job, Lines

LIMITS = Limits(lines=300_000, loops=20_000, text=200_000, held=5_000_000, output=0x800000, calls=100_000)
PATIENCE = 5.0                  # seconds for the real Asar: mutants loop for ever now and then
WRONG = ("raised", "false error", "labels", "bytes", "missed")
KINDS = (*WRONG, "more errors", "fewer errors")


class Mutant(NamedTuple):
    case: Case
    change: str
    job: Job


def mutants(folder: Path, asar: int, seed: int, numbers: Sequence[int]) -> Iterator[Mutant]:
    held = cases(folder, asar)
    texts = {case.path: Path(case.path).read_bytes().decode("utf-8", "surrogateescape").split("\n") for case in held}
    for number in numbers:
        rng = random.Random(f"{seed}:{number}")
        case = held[rng.randrange(len(held))]
        lines = texts[case.path].copy()
        changes = []
        for _ in range(rng.choice((1, 1, 1, 2, 3))):
            changes.append(change(rng, lines, texts[held[rng.randrange(len(held))].path]))
        job = job_of(case, asar)
        data = "\n".join(lines).encode("utf-8", "surrogateescape")
        yield Mutant(case, ", ".join(changes), Job(job.root, job.base, {**job.memory, case.path: data}))


def change(rng: random.Random, lines: list[str], others: list[str]) -> str:
    """Change one of ``lines`` that says something, or put one of ``others`` between them; in words what was done."""
    def one(of: list[str]) -> int:
        said = [row for row, line in enumerate(of) if line.strip() and not line.lstrip().startswith(";")]
        return rng.choice(said) if said else 0

    at, kind = one(lines), rng.random()
    if len(lines) < 2:
        lines.append("")
    if kind < 0.35:
        del lines[at]
        return f"without line {at + 1}"
    if kind < 0.6:
        to = one(lines)
        lines.insert(to, lines[at])
        return f"line {at + 1} again at {to + 1}"
    if kind < 0.85:
        other = one(lines)
        lines[at], lines[other] = lines[other], lines[at]
        return f"lines {at + 1} and {other + 1} exchanged"
    lines.insert(at, others[one(others)])
    return f"a foreign line at {at + 1}"


@dataclass(frozen=True, slots=True)
class Difference:
    kind: str
    about: str                  # what mutants with one cause have in common
    text: str


def differences(mutant: Mutant, asar: int, result: oracle.Assembled) -> tuple[list[Difference], str]:
    """What is not as Asar's, and how the two ended: "ok", "failed", or "cut" where there is nothing to compare."""
    job = mutant.job
    if result.died:
        return [], "cut"
    try:
        with patience():
            expansion = run(job.root, job.read, job.base, limits=LIMITS)
            labels, writes = expansion.labels, expansion.writes
    except Exception as raised:  # the expansion promises never to raise
        return [Difference("raised", type(raised).__name__, f"{type(raised).__name__} {raised}")], "failed"
    own = errors_of(expansion.problems)
    if any(problem.code == "Enayru_limit" for problem in own):
        return [], "cut"
    lines = Lines(job)
    if not result.ok:
        return list(_errors(expansion, asar, result, lines)), "failed"
    found = [Difference("false error", problem.code, f"{lines.at(problem.path, row_of(problem))}  {problem.code} "
                        f"{problem.message}") for problem in own]
    if own:
        return found, "ok"
    compared = compare_labels(labels, result.labels)
    wrong = compared.found - compared.equal - len(compared.unknown)
    if wrong or (not expansion.reasons and (compared.missing or compared.extra)):
        causes = [f"{cause.label} on line {cause.row + 1}: {cause.asar_gap}, ours {cause.our_gap}"
                  for cause in compared.causes[:2]]
        found.append(Difference("labels", mutant.case.name, (
            f"{wrong} wrong, missing {compared.missing[:3]}, extra {compared.extra[:3]}, causes {causes}")))
    made = compare_bytes(writes, result)
    spots = [f"{spot.kind} {spot.rom:06X} {lines.at(spot.path, spot.row)}: {spot.asar.hex()} ours {spot.ours.hex()}"
             for spot in made.spots if spot.kind == "different" or not (
                 spot.kind == "unknown" or expansion.reasons or (spot.kind == "missing" and not any(spot.asar)))]
    if spots:       # zeros may be missing: where a mapper follows another, Asar lists bytes that nobody wrote
        found.append(Difference("bytes", mutant.case.name, "; ".join(spots[:2])))
    return found, "ok" if not expansion.reasons else "unknown"


def _errors(expansion: Expansion, asar: int, result: oracle.Assembled, lines: Lines) -> Iterator[Difference]:
    own = errors_of(expansion.problems)
    if not result.errors:       # 1.91 fails without a word now and then
        return
    first = result.errors[0]
    if not own:
        if not expansion.reasons:
            yield Difference("missed", first.name, f"{lines.at(first.path, first.line)}  {first.name} {first.text}")
        return
    for error in result.errors:
        if not (expansion.reasons or hit(error, own, asar, lines.rows) in ("line", "file")
                or same_text(error, own, asar, lines)):
            yield Difference("fewer errors", error.name,
                             f"{lines.at(error.path, error.line)}  {error.name} {error.text}")
    places = {(error.path, error.line + more) for error in result.errors for more in (0, asar == 1)}
    places |= {caller for error in result.errors for caller in error.callers}
    names = {error.name for error in result.errors}
    for problem in own:
        if (problem.path, row_of(problem)) not in places and problem.code not in names:
            yield Difference("more errors", problem.code, (
                f"{lines.at(problem.path, row_of(problem))}  {problem.code} {problem.message}"))


def compared(folder: Path, asar: int, library: Path, seed: int, numbers: Sequence[int],
             ) -> Iterator[tuple[int, Mutant, list[Difference], str]]:
    with oracle.Forked(library) as asks:
        for number, mutant in zip(numbers, mutants(folder, asar, seed, numbers), strict=True):
            root = mutant.job.root
            result = asks.assemble(root.path, defines=root.defines, include_paths=root.include_paths,
                                   base_image=mutant.job.base, memory=mutant.job.memory, limit=PATIENCE)
            found, ended = differences(mutant, asar, result)
            yield number, mutant, found, ended


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.asar_mutants", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--asar", type=int, choices=(1, 2), default=1)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--show", type=int, default=5, metavar="N", help="mutants of each kind and cause")
    parser.add_argument("--text", metavar="SEED:NUMBER", help="show this one")
    options = parser.parse_args(arguments)
    library = oracle.library(options.asar)
    if library is None:
        parser.error(f"no library of Asar {options.asar}: set {oracle.VARIABLE[options.asar]}")
    seed, numbers = options.seed, range(options.count)
    if options.text:
        seed, one = map(int, options.text.split(":"))
        numbers = range(one, one + 1)
    ends: Counter[str] = Counter()
    found: dict[tuple[str, str], list[str]] = {}
    for number, mutant, differing, ended in compared(
            options.folder.resolve(), options.asar, library, seed, numbers):
        ends[ended] += 1
        for difference in {(one.kind, one.about): one for one in reversed(differing)}.values():
            found.setdefault((difference.kind, difference.about), []).append(
                f"{seed}:{number} {mutant.case.name}, {mutant.change}: {difference.text}")
        if options.text:
            print(mutant.job.memory[mutant.case.path].decode("utf-8", "replace"))
    print(f"Asar {options.asar}, seed {seed}: {len(numbers)} mutants, {ends['ok'] + ends['unknown']} assemble "
          f"({ends['unknown']} with something unknown to us), {ends['failed']} fail, {ends['cut']} cut")
    count = Counter(kind for (kind, _), texts in found.items() for _ in texts)
    print(", ".join(f"{kind} {count[kind]}" for kind in KINDS))
    for (kind, about), texts in sorted(found.items(), key=lambda item: (KINDS.index(item[0][0]), -len(item[1]))):
        print(f"{kind}, {about}: {len(texts)}")
        for text in texts[:options.show]:
            print(f"    {text}")
    return int(any(kind in WRONG for kind, _ in found))


if __name__ == "__main__":
    sys.exit(main())
