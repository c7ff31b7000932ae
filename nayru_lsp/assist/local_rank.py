"""Which candidate is the best, and how likely it is right.

Each candidate gets some sixty features and a score from an ensemble of small decision trees (one ensemble with, one
without the code below the cursor). The trees were fitted offline with a softmax over the candidates of a place plus
one outcome "none of them" of fixed score, so that the softmax gives a probability that can be taken at its word. The
weights file holds feature numbers, thresholds and leaf values, no text. Without it, `hand_probability` maps the votes
to a probability by a logistic curve fitted on the same positions.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from typing import NamedTuple

from nayru_lsp.assist.local_candidates import Candidate, Field, Place
from nayru_lsp.assist.local_index import KEYS, Index
from nayru_lsp.assist.local_items import BRANCHES, ENDS_FLOW, OPCODE

NONE_SCORE = 2.0            # the score of "none of the candidates"
_FIRST_TREES = 30           # with these all candidates are scored, with the rest only the best few
_FINALISTS = 15


class Ranked(NamedTuple):
    """A normalised line and the probability that it is the one."""

    text: str
    probability: float


def _key(columns: str) -> int:
    return next(number for number, key in enumerate(KEYS) if " ".join(key.columns) == columns)


# Key types whose votes are features by themselves: for the line, and for the line's shape.
LINE_KEYS = tuple(map(_key, (
    "T-1", "T-1 T-2", "T-1 T-2 T-3", "T-1 T-2 T-3 T-4", "S-1 S-2", "S-1 S-2 S-3", "S-1 S-2 S-3 S-4", "M-1 M-2 M-3",
    "S-1 S-2 S-3 G-", "O-1 O-2 M-2", "N1 N2 N3", "T+1", "T-1 T+1", "S-1 S+1", "S-1 S-2 S+1 S+2", "T-1 T-2 T+1",
    "T-1 T+1 T+2", "S-1 S+1 G- G+",
)))
SHAPE_KEYS = tuple(map(_key, (
    "S-1 G-", "S-1 S-2 S-3 G-", "M-1 M-2 M-3", "T-1", "S-1 S+1", "S-1 S-2 S+1 S+2", "S-1 S+1 G- G+", "M-1 M-2 M+1 M+2",
)))
FEATURES = (
    "mix", "mix_share", "shape", "head", "kind_mix",
    *(f"line {n}" for n in LINE_KEYS), *(f"shape {n}" for n in SHAPE_KEYS),
    "sim_max", "sim_sum", "sub_max", "sub_sum", "sim_gap", "period", "variant", "unresolved", "operand_above",
    "operand_below", "line_above", "line_below", "uses", "line_count", "operand_count", "label_distance",
    "stack", "kind", "length", "no_operand", "routine", "size", "gap_above", "gap_below", "after_end", "same_shape",
    "statements",
)


def features(index: Index, place: Place, field: Field) -> tuple[list[Candidate], list[list[float]]]:
    """The candidates and one row of `FEATURES` for each."""
    words = index.words
    items, counts = words.items, words.count
    votes, examples = field.votes, field.examples
    shape_votes: list[tuple[dict[int, float], float]] = []
    for key in SHAPE_KEYS:
        summed: dict[int, float] = {}
        for number, times in votes.get(key, {}).items():
            shape = words.shape[number]
            summed[shape] = summed.get(shape, 0.0) + times
        shape_votes.append((summed, examples.get(key, 0) + 1.0))
    line_votes: list[tuple[dict[int, int], float]] = [
        (votes.get(key, {}), examples.get(key, 0) + 1.0) for key in LINE_KEYS]

    operand_above: dict[str, int] = {}
    uses: dict[str, int] = {}
    routine = 0
    in_routine = True
    pushes: list[str] = []
    closed = 0
    stack_known = True
    for distance, number in enumerate(place.above, 1):
        item = items[number]
        if item.operand:
            operand_above.setdefault(item.operand, distance)
        if in_routine:
            if item.shape == "@main":
                in_routine = False
            routine += 1
            if item.operand:
                uses[item.operand] = uses.get(item.operand, 0) + 1
            head = item.head
            if stack_known:         # walking back: a pull closes a push further up
                if head[:2] == "pl" and len(head) == 3:
                    closed += 1
                elif head[:2] == "ph" and len(head) == 3:
                    if closed:
                        closed -= 1
                    else:
                        pushes.append(head)
    operand_below: dict[str, int] = {}
    for distance, number in enumerate(place.below, 1):
        if items[number].operand:
            operand_below.setdefault(items[number].operand, distance)
    top_mix = max(field.mix.values(), default=0.0)
    size = math.log1p(len(index.text))
    first_above = items[place.above[0]] if place.above else items[0]
    after_end = 1.0 if first_above.head.split(":")[-1] in ENDS_FLOW else 0.0
    gap_above, gap_below = float(place.gap_above), float(place.gap_below)
    best_similarity = field.best_similarity
    labels = field.labels_in_sight
    recent, coming = field.recent, field.coming
    mix = field.mix

    rows = []
    chosen = list(field.candidates.values())
    for c in chosen:
        item, number = c.item, c.number
        head = item.head
        known = number >= 0
        shape = words.shape[number] if known else words.named(item.shape)
        head_number = words.head[number] if known else words.named(head)
        operand = (words.operand[number] if known else words.named(item.operand)) if item.operand else -1
        value = mix.get(number, 0.0)
        row = [
            value, value / top_mix if top_mix else 0.0, field.shape_mix.get(shape, 0.0),
            field.head_mix.get(head_number, 0.0), field.kind_mix.get(item.kind, 0.0),
        ]
        row += [counted.get(number, 0) / total for counted, total in line_votes]
        row += [summed.get(shape, 0.0) / total for summed, total in shape_votes]
        label_distance = 0.0
        stack = 0.0
        if item.kind == OPCODE:
            if head[:2] == "pl" and len(head) == 3:
                stack = 0.0 if not pushes else 1.0 if pushes[0][2] == head[2] else -1.0
            elif head in ("rts", "rtl", "rti") and pushes:
                stack = -2.0
            if head.split(".")[0] in BRANCHES:
                distance = labels.get(item.operand, 0)
                label_distance = 1.0 / distance if distance else 0.0
        row += [
            c.sim_max, c.sim_sum, c.sub_max, c.sub_sum, max(c.sim_max, c.sub_max) - best_similarity, float(c.period),
            float(c.variant), float(c.unresolved),
            1.0 / (1 + operand_above[item.operand]) if item.operand in operand_above else 0.0,
            1.0 / (1 + operand_below[item.operand]) if item.operand in operand_below else 0.0,
            1.0 / (1 + recent[number]) if number in recent else 0.0,
            1.0 / (1 + coming[number]) if number in coming else 0.0,
            float(uses.get(item.operand, 0)),
            math.log1p(max(0, counts[number])) if known else 0.0,
            math.log1p(max(0, words.uses[operand])) if operand >= 0 else 0.0,
            label_distance, stack, float(item.kind), float(len(item.text)), 0.0 if item.operand else 1.0,
            float(routine), size, gap_above, gap_below, after_end, 1.0 if item.shape == first_above.shape else 0.0,
            float(item.text.count(" : ")),
        ]
        rows.append(row)
    return chosen, rows


# --- trees ---------------------------------------------------------------------------------------------------------

class Tree(NamedTuple):
    """``feature[i] <= threshold[i]`` goes to ``left[i]``, else to ``right[i]``; a negative number n means leaf ~n."""

    feature: tuple[int, ...]
    threshold: tuple[float, ...]
    left: tuple[int, ...]
    right: tuple[int, ...]
    leaf: tuple[float, ...]


class Model(NamedTuple):
    trees: tuple[Tree, ...]
    scale: float            # scores are multiplied by this before the softmax: what calibration found


_HEAD = struct.Struct("<4sHHH")     # magic, version, number of features, number of models
_MAGIC = b"NYRK"


def dump(models: Sequence[Model]) -> bytes:
    """The weights file: little-endian, no text."""
    out = [_HEAD.pack(_MAGIC, 1, len(FEATURES), len(models))]
    for model in models:
        out.append(struct.pack("<Hf", len(model.trees), model.scale))
        for tree in model.trees:
            nodes, leaves = len(tree.feature), len(tree.leaf)
            out.append(struct.pack("<BB", nodes, leaves))
            out.append(bytes(tree.feature))
            values = (*tree.threshold, *tree.left, *tree.right, *tree.leaf)
            out.append(struct.pack(f"<{nodes}f{nodes}b{nodes}b{leaves}f", *values))
    return b"".join(out)


def load(data: bytes) -> tuple[Model, ...] | None:
    """The models of a weights file; None when it is of another version or has other features."""
    if len(data) < _HEAD.size:
        return None
    magic, version, count, models = _HEAD.unpack_from(data)
    if magic != _MAGIC or version != 1 or count != len(FEATURES):
        return None
    at = _HEAD.size
    out = []
    for _ in range(models):
        trees_count, scale = struct.unpack_from("<Hf", data, at)
        at += 6
        trees = []
        for _ in range(trees_count):
            nodes, leaves = data[at], data[at + 1]
            at += 2
            feature = tuple(data[at : at + nodes])
            at += nodes
            form = f"<{nodes}f{nodes}b{nodes}b{leaves}f"
            values = struct.unpack_from(form, data, at)
            at += struct.calcsize(form)
            trees.append(Tree(feature, values[:nodes], tuple(map(int, values[nodes : 2 * nodes])),
                              tuple(map(int, values[2 * nodes : 3 * nodes])), values[3 * nodes :]))
        out.append(Model(tuple(trees), scale))
    return tuple(out)


@cache
def shipped() -> tuple[Model, ...] | None:
    """(model with the code below, model without), or None when the weights are not there."""
    source = files("nayru_lsp.assist") / "local_weights.bin"
    return load(source.read_bytes()) if source.is_file() else None


def _sum(trees: Sequence[Tree], row: Sequence[float]) -> float:
    total = 0.0
    for feature, threshold, left, right, leaf in trees:
        node = 0
        while node >= 0:
            node = left[node] if row[feature[node]] <= threshold[node] else right[node]
        total += leaf[~node]
    return total


def scores(model: Model, rows: Sequence[Sequence[float]]) -> list[float]:
    """A score per row; rows that the first trees rate low keep that partial score, lowered below the finalists."""
    first, rest = model.trees[:_FIRST_TREES], model.trees[_FIRST_TREES:]
    out = [_sum(first, row) for row in rows]
    order = sorted(range(len(rows)), key=out.__getitem__, reverse=True)
    for spot in order[:_FINALISTS]:
        out[spot] += _sum(rest, rows[spot])
    if len(order) > _FINALISTS:
        floor = min(out[spot] for spot in order[:_FINALISTS])
        for spot in order[_FINALISTS:]:
            out[spot] = min(out[spot], floor)
    return out


# --- ranking -------------------------------------------------------------------------------------------------------

# suffix -> (constant, mix, margin to the second, similarity of the best place)
_HAND = {True: (-3.69, 3.85, 2.98, 0.38), False: (-4.06, 3.62, 2.43, 0.59)}


def hand_probability(mix: float, margin: float, similarity: float, suffix: bool) -> float:
    constant, *slopes = _HAND[suffix]
    value = constant + slopes[0] * mix + slopes[1] * margin + slopes[2] * similarity
    return 1.0 / (1.0 + math.exp(-value))


def rank(index: Index, place: Place, field: Field, models: Sequence[Model] | None = None,
         typed: str = "", hand: bool = False) -> list[Ranked]:
    """The candidates, best first. ``typed``: only lines that begin with this normalised text."""
    if models is None and not hand:
        models = shipped()
    if models is None:
        return _by_hand(place, field, typed)
    chosen, rows = features(index, place, field)
    if typed:
        kept = [spot for spot, c in enumerate(chosen) if c.item.text.startswith(typed)]
        chosen, rows = [chosen[spot] for spot in kept], [rows[spot] for spot in kept]
    if not chosen:
        return []
    model = models[0 if place.suffix else 1]
    values = scores(model, rows)
    top = max(*values, NONE_SCORE)
    weights = [math.exp(model.scale * (value - top)) for value in values]
    none = math.exp(model.scale * (NONE_SCORE - top)) * (_none_share(typed) if typed else 1.0)
    total = sum(weights) + none
    order = sorted(range(len(chosen)), key=lambda spot: (-values[spot], -chosen[spot].mix))
    return [Ranked(chosen[spot].item.text, weights[spot] / total) for spot in order]


def _none_share(typed: str) -> float:
    """How much of "none of the candidates" is left when the line begins with ``typed``: an unknown line begins with
    a known word often, with a known operand seldom."""
    return 0.3 if " " not in typed else 0.1


def _by_hand(place: Place, field: Field, typed: str) -> list[Ranked]:
    chosen = [c for c in field.candidates.values() if c.item.text.startswith(typed)]
    chosen.sort(key=lambda c: (-c.mix, -c.sub_max))
    total = sum(c.mix for c in chosen) if typed else 1.0
    if not chosen or not total:
        return []
    values = [c.mix / total for c in chosen]
    out: list[Ranked] = []
    for spot, c in enumerate(chosen):
        rival = values[0] if spot else values[1] if len(values) > 1 else 0.0
        margin = max(0.0, values[spot] - rival)
        probability = hand_probability(values[spot], margin, c.sim_max, place.suffix)
        out.append(Ranked(c.item.text, min(probability, out[-1].probability) if out else probability))
    return out
