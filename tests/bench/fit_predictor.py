"""Fit the ranker of the next-line predictor: ``python -m tests.bench.fit_predictor --corpus DIR --write FILE``.

Positions are drawn from permissively licensed projects only (RandomMetroidSolver is MIT), each asked as
`tests.bench.prediction` asks; the result is a weights file for `nayru_lsp.assist.local_rank`: thresholds and leaf
values, no text. Gradient boosting with a softmax over the candidates of a position plus "none of them" at a fixed
score; needs numpy (the train extra brings it).
"""

from __future__ import annotations

import argparse
import hashlib
import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from nayru_lsp.assist import local_rank
from nayru_lsp.assist.local_rank import FEATURES, NONE_SCORE, Model, Tree, dump, features
from tests.bench.prediction import ask, draw, known_windows, load

Array = Any     # numpy is not required to be installed where types are checked
BINS = 64


@dataclass
class Table:
    """Rows of candidates; ``group[i]`` is the position of row i (rows of one position are adjacent); ``right`` marks
    the line that stood there; ``fold[g]`` is a part per file for cross-checks."""

    x: Array
    group: Array
    right: Array
    fold: Array


def collect(corpus: Path, names: list[str], positions: int, folds: int, modes: tuple[str, ...],
            seed: int) -> dict[str, Table]:
    known = known_windows(corpus, names)
    rows: dict[str, list[list[float]]] = {mode: [] for mode in modes}
    groups: dict[str, list[int]] = {mode: [] for mode in modes}
    right: dict[str, list[bool]] = {mode: [] for mode in modes}
    fold: dict[str, list[int]] = {mode: [] for mode in modes}
    for name in names:
        files = load(corpus / name)
        targets = draw(files, positions, known[name], seed)
        for case in ask(name, files, targets, folds, modes):
            chosen, values = features(case.index, case.place, case.field)
            number = len(fold[case.mode])
            fold[case.mode].append(int(hashlib.sha256(case.target.path.encode()).hexdigest(), 16) % 3)
            rows[case.mode] += values
            groups[case.mode] += [number] * len(chosen)
            right[case.mode] += [c.item.text == case.target.text for c in chosen]
    return {
        mode: Table(np.array(rows[mode], dtype=np.float32), np.array(groups[mode]), np.array(right[mode]),
                    np.array(fold[mode]))
        for mode in modes
    }


def joined(*tables: Table) -> Table:
    offset, groups = 0, []
    for table in tables:
        groups.append(table.group + offset)
        offset += len(table.fold)
    return Table(np.concatenate([t.x for t in tables]), np.concatenate(groups),
                 np.concatenate([t.right for t in tables]), np.concatenate([t.fold for t in tables]))


def part(table: Table, keep: Array) -> Table:
    """The positions where ``keep`` holds."""
    rows = keep[table.group]
    number = np.cumsum(keep) - 1
    return Table(table.x[rows], number[table.group[rows]], table.right[rows], table.fold[keep])


def probabilities(score: Array, group: Array, count: int) -> Array:
    top = np.full(count, NONE_SCORE)
    np.maximum.at(top, group, score)
    weight = np.exp(score - top[group])
    total = np.bincount(group, weight, count) + np.exp(NONE_SCORE - top)
    return weight / total[group]


def edges_of(column: Array) -> Array:
    """Thresholds between bins, of float32 values so that training and use decide alike."""
    values = np.unique(np.quantile(column, np.linspace(0, 1, BINS + 1)[1:-1], method="lower").astype(np.float32))
    zero = np.float32(0.0)
    if column.min() <= 0 < column.max() and zero not in values:
        values = np.sort(np.append(values, zero))
    return values[values < column.max()]


def fit(table: Table, trees: int = 160, leaves: int = 15, rate: float = 0.08, share: float = 0.5, l2: float = 3.0,
        least: int = 30, seed: int = 1) -> list[Tree]:
    x, group, right = table.x, table.group, table.right.astype(np.float64)
    count, width = len(table.fold), x.shape[1]
    edges = [edges_of(x[:, f]) for f in range(width)]
    binned = np.stack([np.searchsorted(edges[f], x[:, f], side="left").astype(np.uint8) for f in range(width)])
    chance = np.random.default_rng(seed)
    score = np.zeros(len(x))
    out: list[Tree] = []
    for _ in range(trees):
        p = probabilities(score, group, count)
        gradient, hessian = p - right, np.maximum(p * (1 - p), 1e-6)
        chosen = [f for f in np.sort(chance.choice(width, max(1, int(width * share)), replace=False)) if len(edges[f])]
        tree, step = grow(binned, edges, gradient, hessian, chosen, leaves, l2, least, rate)
        score += step
        out.append(tree)
    return out


def histogram(binned: Array, chosen: list[int], rows: Array, gradient: Array, hessian: Array) -> Array:
    """[feature, (gradient, hessian, rows), bin]"""
    out = np.empty((len(chosen), 3, BINS + 2))
    g, h = gradient[rows], hessian[rows]
    for spot, f in enumerate(chosen):
        b = binned[f][rows]
        out[spot, 0] = np.bincount(b, g, BINS + 2)
        out[spot, 1] = np.bincount(b, h, BINS + 2)
        out[spot, 2] = np.bincount(b, minlength=BINS + 2)
    return out


def best_split(table: Array, l2: float, least: int) -> tuple[float, int, int]:
    """(gain, feature spot, bin): rows with bin <= it go left."""
    sums = np.cumsum(table, axis=2)
    total = sums[:, :, -1:]
    left, rest = sums[:, :, :-1], total - sums[:, :, :-1]
    worth = [side[:, 0] ** 2 / (side[:, 1] + l2) for side in (left, rest, total)]
    gain = worth[0] + worth[1] - worth[2]
    gain = np.where((left[:, 2] >= least) & (rest[:, 2] >= least), gain, -1.0)
    spot = int(np.argmax(gain))
    return float(gain.flat[spot]), spot // gain.shape[1], spot % gain.shape[1]


def grow(binned: Array, edges: list[Array], gradient: Array, hessian: Array, chosen: list[int], leaves: int, l2: float,
         least: int, rate: float) -> tuple[Tree, Array]:
    """One tree, the best split first. Returns it and what it adds to each row's score."""
    feature: list[int] = []
    threshold: list[float] = []
    children: list[list[int]] = []
    everything = np.arange(len(gradient))
    table = histogram(binned, chosen, everything, gradient, hessian)
    # an open leaf: (split, rows, histogram, (parent node, side))
    open_leaves = [(best_split(table, l2, least), everything, table, (-1, 0))]
    while len(open_leaves) < leaves:
        spot = max(range(len(open_leaves)), key=lambda i: open_leaves[i][0][0])
        (gain, feature_spot, edge), rows, table, (parent, side) = open_leaves[spot]
        if gain <= 1e-6:
            break
        open_leaves.pop(spot)
        f = int(chosen[feature_spot])
        node = len(feature)
        feature.append(f)
        threshold.append(float(edges[f][edge]))
        children.append([0, 0])
        if parent >= 0:
            children[parent][side] = node
        goes = binned[f][rows] <= edge
        left, right = rows[goes], rows[~goes]
        small = left if len(left) < len(right) else right
        of_small = histogram(binned, chosen, small, gradient, hessian)
        of_left, of_right = (of_small, table - of_small) if small is left else (table - of_small, of_small)
        open_leaves.append((best_split(of_left, l2, least), left, of_left, (node, 0)))
        open_leaves.append((best_split(of_right, l2, least), right, of_right, (node, 1)))
    values = []
    step = np.zeros(len(gradient))
    for number, (_, rows, _, (parent, side)) in enumerate(open_leaves):
        value = -rate * gradient[rows].sum() / (hessian[rows].sum() + l2)
        values.append(float(value))
        step[rows] = value
        if parent >= 0:
            children[parent][side] = ~number
    if not feature:     # no split is worth it: one node that sends everything to the only leaf
        return Tree((0,), (math.inf,), (-1,), (-1,), (values[0],)), step
    left_of, right_of = zip(*children, strict=True)
    return Tree(tuple(feature), tuple(threshold), left_of, right_of, tuple(values)), step


def predict(trees: list[Tree], x: Array) -> Array:
    score = np.zeros(len(x))
    for tree in trees:
        feature, threshold = np.array(tree.feature), np.array(tree.threshold, dtype=np.float32)
        left, right, leaf = np.array(tree.left), np.array(tree.right), np.array(tree.leaf)
        node = np.zeros(len(x), dtype=np.int64)
        for _ in range(len(feature)):
            inside = np.flatnonzero(node >= 0)
            if not len(inside):
                break
            at = node[inside]
            node[inside] = np.where(x[inside, feature[at]] <= threshold[at], left[at], right[at])
        score += leaf[~node]
    return score


@dataclass
class Judgement:
    """Shares in percent; ``spoken`` at probability .5, ``right`` of what is spoken."""

    exact: float
    spoken: float
    right: float
    loss: float

    def __str__(self) -> str:
        return f"exact {self.exact:.1f}, spoken {self.spoken:.1f}, right {self.right:.1f}, loss {self.loss:.3f}"


def judge(score: Array, table: Table, scale: float = 1.0) -> Judgement:
    count = len(table.fold)
    p = probabilities(NONE_SCORE + scale * (score - NONE_SCORE), table.group, count)
    best = np.zeros(count)
    np.maximum.at(best, table.group, p)
    hit = np.zeros(count, dtype=bool)
    told = np.zeros(count)
    order = np.lexsort((p, table.group))
    last = np.append(np.flatnonzero(np.diff(table.group[order])), len(order) - 1)
    hit[table.group[order[last]]] = table.right[order[last]]
    np.add.at(told, table.group[table.right], p[table.right])
    none = 1 - np.bincount(table.group, p, count)
    held = np.bincount(table.group, table.right, count) > 0
    loss = -np.log(np.maximum(np.where(held, told, none), 1e-9)).mean()
    spoken = best >= 0.5
    right = hit[spoken].mean() * 100 if spoken.any() else 0.0
    return Judgement(hit.mean() * 100, spoken.mean() * 100, right, float(loss))


def hand_curve(table: Table) -> tuple[float, ...]:
    """The constants of `local_rank.hand_probability`: a logistic curve on the best mix, its margin, its similarity."""
    mix = table.x[:, 0].astype(np.float64)
    order = np.lexsort((-mix, table.group))
    starts = np.flatnonzero(np.diff(table.group[order], prepend=-1))
    first = order[starts]
    sizes = np.diff(starts, append=len(order))
    second = np.where(sizes > 1, mix[order[np.minimum(starts + 1, len(order) - 1)]], 0)
    x = np.stack([np.ones(len(first)), mix[first], mix[first] - second, table.x[first, FEATURES.index("sim_max")]],
                 axis=1)
    y = table.right[first].astype(np.float64)
    weight = np.zeros(x.shape[1])
    for _ in range(30):
        p = 1 / (1 + np.exp(-x @ weight))
        curvature = (x * (p * (1 - p))[:, None]).T @ x + 0.1 * np.eye(len(weight))
        weight += np.linalg.solve(curvature, x.T @ (y - p) - 0.1 * weight)
    return tuple(float(round(value, 2)) for value in weight)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("--projects", nargs="*", default=["RandomMetroidSolver"])
    parser.add_argument("--positions", type=int, default=1800)
    parser.add_argument("--folds", type=int, default=8)
    parser.add_argument("--trees", type=int, default=160)
    parser.add_argument("--leaves", type=int, default=15)
    parser.add_argument("--write", type=Path)
    parser.add_argument("--check", action="store_true", help="fit on two thirds of the files, judge on the third")
    options = parser.parse_args()
    begin = time.perf_counter()
    modes = ("full", "hole", "prefix", "tail")
    tables = collect(options.corpus, options.projects, options.positions, options.folds, modes, 20261102)
    print(f"{len(tables['full'].fold)} positions, {len(tables['full'].x)} rows, {len(FEATURES)} features, "
          f"{time.perf_counter() - begin:.0f} s")
    models = []
    # Whoever types between old lines has one more line missing, or many: the model learns from both.
    below, without = joined(tables["full"], tables["hole"]), joined(tables["prefix"], tables["tail"])
    for name, table, few in (("with the code below", below, 2), ("without", without, 2)):
        print(name, "hand curve (constant, mix, margin, similarity):", hand_curve(table))
        scale = 1.0
        if options.check:
            held, parts = [], []
            for fold in range(3):
                trees = fit(part(table, table.fold != fold), options.trees, options.leaves, least=30 * few)
                own = part(table, table.fold == fold)
                held.append(predict(trees, own.x))
                parts.append(own)
            score, whole = np.concatenate(held), joined(*parts)
            scale = min((0.6, 0.7, 0.8, 0.9, 1.0, 1.1), key=lambda s: judge(score, whole, s).loss)
            print(name, "held-out files:", judge(score, whole))
            print(name, f"held-out files, scale {scale}:", judge(score, whole, scale))
        trees = fit(table, options.trees, options.leaves, least=30 * few)
        print(name, "own positions:", judge(predict(trees, table.x), table))
        models.append(Model(tuple(trees), scale))
    if options.write:
        options.write.write_bytes(dump(models))
        assert local_rank.load(options.write.read_bytes()) is not None
        print(f"{options.write}: {options.write.stat().st_size} bytes, {time.perf_counter() - begin:.0f} s")


if __name__ == "__main__":
    main()
