"""How good the embedded next-line predictor is, as a program: ``python -m tests.bench.prediction --corpus DIR``.

``DIR`` holds one folder per project. From each project at most ``--positions`` lines are drawn by fixed rules: a quota
per kind of line, no lines from dumps (mostly data, definitions or one-line patches), none whose six-line window stands
in another project too. The drawn lines are deleted from the tree in ``--folds`` parts; each part is asked with an index
built without it, the cursor where the line was. What counts is the whole line, equal after `normalised`.

Modes: *full* sees the code after the cursor; *prefix* does not, but later lines of the file are known; *tail* does not
and no later line of the file may speak, as when typing at a file's end. *hole* is full with one to eight further
lines missing below, as when new code is typed between old. *word* is full with the line's first word and
a blank typed already (lines of one word are left out), *letters* with its first two characters.
"""

from __future__ import annotations

import argparse
import random
import statistics
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from nayru_lsp.assist.local_candidates import Field, Place, gather, place_at
from nayru_lsp.assist.local_index import Index, split_lines
from nayru_lsp.assist.local_items import DATA, DEFINE, KIND_NAMES, items_of_line, normalised
from nayru_lsp.assist.local_predict import Predictor
from nayru_lsp.assist.local_rank import Ranked, rank

PROJECTS = ("Oracle-of-Secrets", "RandomMetroidSolver", "SA1-Root", "SMW-SA1-Pack", "SpriteToolSuperDelux",
            "wide-snes", "SNES-ROM-Framework")
ALSO_KNOWN = ("sm_disassembly", "SMWDisX")      # a window that stands here is no test of anything
QUOTA = {"opcode": 0.70, "label": 0.08, "command": 0.06, "macro": 0.06, "data": 0.06, "define": 0.04}
SEED = 20261101
MODES = ("full", "prefix", "tail")
MORE = ("hole", "word", "letters")
HOLES = (1, 2, 3, 5, 8)         # so many lines of code below the asked one are missing too


@dataclass(frozen=True)
class Target:
    path: str
    row: int
    text: str
    kind: str


@dataclass(frozen=True)
class Case:
    """One position asked in one mode."""

    project: str
    target: Target
    mode: str
    index: Index
    place: Place
    field: Field
    ranked: list[Ranked]
    seconds: float

    @property
    def right(self) -> bool:
        return bool(self.ranked) and self.ranked[0].text == self.target.text


def load(folder: Path) -> dict[str, str]:
    """The project's ``.asm`` files by path, in path order."""
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() == ".asm" and path.is_file())
    return {path.as_posix(): path.read_text("utf-8", "replace") for path in files}


def windows(lines: list[str]) -> Iterator[tuple[int, str]]:
    """(row, its six-line window: three lines above, itself, two below) for each line of code."""
    rows = [(row, normalised(line)) for row, line in enumerate(lines)]
    rows = [(row, text) for row, text in rows if text]
    texts = [text for _, text in rows]
    for spot, (row, _) in enumerate(rows):
        yield row, "\n".join(texts[max(0, spot - 3) : spot + 3])


def is_dump(lines: list[str]) -> bool:
    items = [item for line in lines for item in items_of_line(line)[0]]
    kinds = Counter(item.kind for item in items)
    patches = sum(item.head.startswith("org") for item in items)
    return len(items) < 20 or kinds[DATA] + kinds[DEFINE] > 0.6 * len(items) or patches > 0.25 * len(items)


def draw(files: dict[str, str], count: int, known: set[int], seed: int) -> list[Target]:
    """At most ``count`` targets; ``known`` holds the hashes of windows that other projects have too."""
    by_kind: dict[str, list[Target]] = {kind: [] for kind in QUOTA}
    for path, text in files.items():
        lines = split_lines(text)
        if is_dump(lines):
            continue
        for row, window in windows(lines):
            if hash(window) not in known:
                kind = KIND_NAMES[items_of_line(lines[row])[0][-1].kind]
                by_kind[kind].append(Target(path, row, normalised(lines[row]), kind))
    chance = random.Random(seed)
    out: list[Target] = []
    for kind, share in QUOTA.items():
        if kind != "opcode":
            pool = by_kind[kind]
            out += chance.sample(pool, min(len(pool), round(share * count)))
    pool = by_kind["opcode"]
    out += chance.sample(pool, min(len(pool), count - len(out)))
    chance.shuffle(out)
    return out


def known_windows(corpus: Path, names: list[str]) -> dict[str, set[int]]:
    """For each name the hashes of all windows of the *other* projects."""
    own: dict[str, set[int]] = {}
    for name in [*names, *ALSO_KNOWN]:
        own[name] = {hash(window) for text in load(corpus / name).values() for _, window in windows(split_lines(text))}
    counts: Counter[int] = Counter()
    for hashes in own.values():
        counts.update(hashes)
    return {name: {value for value in own[name] if counts[value] > 1} for name in names}


def hole(lines: list[str], row: int, count: int) -> int:
    """How many physical lines from ``row`` on hold the next ``count`` lines of code."""
    for end in range(row, len(lines)):
        if items_of_line(lines[end])[0]:
            count -= 1
            if not count:
                return end + 1 - row
    return len(lines) - row


def ask(project: str, files: dict[str, str], targets: list[Target], folds: int, modes: tuple[str, ...],
        hand: bool = False) -> Iterator[Case]:
    for fold in range(folds):
        part = targets[fold::folds]
        gone: dict[str, set[int]] = {}
        for target in part:
            gone.setdefault(target.path, set()).add(target.row)
        tree = {
            path: [line for row, line in enumerate(split_lines(text)) if row not in gone.get(path, ())]
            for path, text in files.items()
        }
        index = Index(1000)
        index.add((path, "\n".join(lines)) for path, lines in tree.items())
        for target in part:
            row = target.row - sum(other < target.row for other in gone[target.path])
            for mode in modes:
                begin = time.process_time()     # processor time: others may be busy here
                typed = {"word": target.text.split(" ")[0] + " ", "letters": target.text[:2]}.get(mode, "")
                if len(typed) >= len(target.text):
                    continue
                lines = tree[target.path]
                skip = hole(lines, row, HOLES[target.row % len(HOLES)]) if mode == "hole" else 0
                place = place_at(index, lines, row, path=target.path, suffix=mode not in ("prefix", "tail"),
                                 tail=mode == "tail", skip=skip)
                place.typed = typed
                field = gather(index, place)
                ranked = rank(index, place, field, hand=hand, typed=typed)
                yield Case(project, target, mode, index, place, field, ranked, time.process_time() - begin)


def copied(case: Case) -> str:
    """The floor: the line that followed, in the same file, the longest run of lines equal to those above."""
    index, above = case.index, case.place.above
    best, line = 0, ""
    for piece in index.files[case.target.path].pieces:
        for position in range(piece.start, piece.end):
            length = 0
            while length < min(12, len(above)) and position - 1 - length >= piece.start \
                    and index.text[position - 1 - length] == above[length]:
                length += 1
            if length > best and not case.place.near - 4 <= position <= case.place.near + 10:
                best, line = length, index.words.items[index.text[position]].text
    return line


def suggest(corpus: Path, names: list[str], positions: int, folds: int, threshold: float) -> str:
    """Whole suggestions, as an editor gets them: from each target on four lines of code are cut out, an empty line is
    left, and the answer (up to four lines) is compared line by line with what was there."""
    known = known_windows(corpus, names)
    asked = spoken = whole = lines_said = lines_right = 0
    by_length: Counter[tuple[int, bool]] = Counter()
    times = []
    for name in names:
        files = load(corpus / name)
        targets = draw(files, positions, known[name], SEED)
        for fold in range(folds):
            predictor = Predictor(1000)
            trees = {path: split_lines(text) for path, text in files.items()}
            holes: list[tuple[str, int, list[str]]] = []
            taken: dict[str, list[int]] = {}
            for target in sorted(targets[fold::folds], key=lambda target: (target.path, -target.row)):
                lines = trees[target.path]
                rows = [row for row in range(target.row, len(lines)) if normalised(lines[row])]
                last = rows[min(3, len(rows) - 1)]
                if any(last >= other - 8 for other in taken.get(target.path, ())):
                    continue        # holes keep their distance
                taken.setdefault(target.path, []).append(target.row)
                truth = [normalised(lines[row]) for row in rows[:4]]
                lines[target.row : last + 1] = [""]
                gone = last - target.row
                holes = [(path, row - gone if path == target.path else row, was) for path, row, was in holes]
                holes.append((target.path, target.row, truth))
            predictor.handle(("add", [(path, "\n".join(lines)) for path, lines in trees.items()]))
            for path, row, truth in holes:
                begin = time.process_time()
                answer = predictor.handle(("predict", path, row, 0, 4, threshold))
                times.append(1000 * (time.process_time() - begin))
                asked += 1
                if not answer or answer[0][1] < threshold:
                    continue
                said = [text for text in map(normalised, answer[0][0].split("\n")) if text]
                same = [a == b for a, b in zip(said, truth, strict=False)]
                right = same.index(False) if False in same else len(same)
                spoken += 1
                lines_said += len(said)
                lines_right += right
                whole += right == len(said)
                by_length[len(said), right == len(said)] += 1
    said_of = {n: by_length[n, True] + by_length[n, False] for n in range(1, 5)}
    lengths = ", ".join(f"{n} lines: {said_of[n]} said, {100 * by_length[n, True] / max(1, said_of[n]):.0f} % right"
                        for n in said_of)
    times.sort()
    return (f"whole suggestions at {threshold}: {asked} places, spoken {100 * spoken / asked:.1f} %, all lines right "
            f"{100 * whole / max(1, spoken):.1f} %, {lines_said / max(1, spoken):.2f} lines each, "
            f"{100 * lines_right / max(1, lines_said):.1f} % of lines right; {lengths}; "
            f"ms p50 {times[len(times) // 2]:.2f}, p95 {times[len(times) * 95 // 100]:.2f}")


@dataclass
class Row:
    """What is kept of a case."""

    project: str
    kind: str
    mode: str
    rank: int           # of the right line, 0 the best; -1 not among the candidates
    confidence: float
    seconds: float
    candidates: int
    copied: bool        # the floor has it right


def row_of(case: Case) -> Row:
    texts = [ranked.text for ranked in case.ranked]
    rank_ = texts.index(case.target.text) if case.target.text in texts else -1
    confidence = case.ranked[0].probability if case.ranked else 0.0
    return Row(case.project, case.target.kind, case.mode, rank_, confidence, case.seconds, len(texts),
               copied(case) == case.target.text)


def report(rows: list[Row], threshold: float) -> str:
    out = ["mode        n floor  EM    EM3   EM5  held cands | spoken right  @.3          @.7          @.9         "
           "| P@10 P@20 P@40 | ms p50  p95"]
    for mode in (*MODES, *MORE):
        part = [row for row in rows if row.mode == mode]
        if not part:
            continue
        n = len(part)
        exact = [sum(0 <= row.rank < k for row in part) / n * 100 for k in (1, 3, 5)]
        held = sum(row.rank >= 0 for row in part) / n * 100
        speak = []
        for level in (threshold, 0.3, 0.7, 0.9):
            spoken = [row for row in part if row.confidence >= level]
            right = sum(row.rank == 0 for row in spoken)
            speak.append(f"{len(spoken) / n * 100:5.1f} {right / max(1, len(spoken)) * 100:5.1f}")
        part.sort(key=lambda row: -row.confidence)
        top = [sum(row.rank == 0 for row in part[: n * q // 100]) / max(1, n * q // 100) * 100 for q in (10, 20, 40)]
        times = sorted(row.seconds * 1000 for row in part)
        out.append(
            f"{mode:7} {n:5} {sum(row.copied for row in part) / n * 100:5.1f} "
            f"{exact[0]:5.1f} {exact[1]:5.1f} {exact[2]:5.1f} {held:5.1f} "
            f"{statistics.mean(row.candidates for row in part):5.0f}  | {'  '.join(speak)} | "
            f"{' '.join(f'{value:4.0f}' for value in top)} | {times[n // 2]:5.2f} {times[n * 95 // 100]:5.2f}"
        )
        kinds = []
        for kind in KIND_NAMES:
            of_kind = [row for row in part if row.kind == kind]
            if of_kind:
                kinds.append(f"{kind} {sum(row.rank == 0 for row in of_kind) / len(of_kind) * 100:.1f}/{len(of_kind)}")
        out.append("        " + ", ".join(kinds))
        names = []
        for name in PROJECTS:
            of_name = [row for row in part if row.project == name]
            if of_name:
                names.append(f"{name} {sum(row.rank == 0 for row in of_name) / len(of_name) * 100:.1f}")
        out.append("        " + ", ".join(names))
        tenths = []
        for tenth in range(10):
            inside = [row for row in part if tenth / 10 <= row.confidence < (tenth + 1) / 10 + (tenth == 9)]
            if inside:
                tenths.append(f"{statistics.mean(row.confidence for row in inside):.2f}/"
                              f"{sum(row.rank == 0 for row in inside) / len(inside):.2f}")
        out.append("        calibration (said/was): " + " ".join(tenths))
    return "\n".join(out)


def cases(corpus: Path, names: list[str], positions: int, folds: int, modes: tuple[str, ...],
          hand: bool = False) -> Iterator[Case]:
    known = known_windows(corpus, names)
    for name in names:
        files = load(corpus / name)
        yield from ask(name, files, draw(files, positions, known[name], SEED), folds, modes, hand)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("--projects", nargs="*", default=list(PROJECTS))
    parser.add_argument("--positions", type=int, default=600)
    parser.add_argument("--folds", type=int, default=6)
    parser.add_argument("--modes", nargs="*", default=list(MODES), choices=(*MODES, *MORE))
    parser.add_argument("--threshold", type=float, default=0.5)
    parser.add_argument("--hand", action="store_true", help="hand weights instead of the fitted ranker")
    parser.add_argument("--suggest", action="store_true", help="whole suggestions of up to four lines instead")
    options = parser.parse_args()
    names = [name for name in options.projects if (options.corpus / name).is_dir()]
    if options.suggest:
        print(suggest(options.corpus, names, options.positions, options.folds, options.threshold))
        return
    begin = time.perf_counter()
    asked = cases(options.corpus, names, options.positions, options.folds, tuple(options.modes), options.hand)
    rows = [row_of(case) for case in asked]
    print(report(rows, options.threshold))
    print(f"{len(rows)} answers in {time.perf_counter() - begin:.0f} s; projects: {', '.join(names)}")


if __name__ == "__main__":
    main()
