"""What could stand at a place: votes of equal contexts, lines of similar places with their operands substituted,
progressions, variants of neighbours, and operands in sight.

`gather` fills a `Field` of candidates; nothing here decides between them (`local_rank` does).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from nayru_lsp.assist.local_index import CROWD, KEYS, REACH, Index, key_hashes
from nayru_lsp.assist.local_items import BRANCHES, LABEL, OPCODE, Item, Words, item_of, items_of_line, names_in
from nayru_lsp.assist.local_tokens import differing_part, is_name, middle, number_of, siblings, step, written

SIGHT_ABOVE, SIGHT_BELOW = 120, 50      # lines in which operands and labels are looked for
_POOL, _GIVE, _SUBSTITUTE = 120, 24, 14
_BACK = [0.85**d for d in range(8)]
_AHEAD = [0.8**d for d in range(5)]
_BEST_BY_MIX = 40


@dataclass(slots=True)
class Place:
    """Where a line is wanted. ``above`` and ``below`` number the lines in sight, nearest first; ``near`` is the
    position among the indexed ones that is closest; ``hidden`` are position ranges that must not speak."""

    above: list[int]
    below: list[int]
    gap_above: int = 0
    gap_below: int = 0
    suffix: bool = True         # may the lines below be used as context
    near: int = 0
    hidden: list[tuple[int, int]] = field(default_factory=list)
    typed: str = ""             # what stands on the line already, normalised, for choosing operands


class Candidate:
    """One possible line and what speaks for it."""

    __slots__ = ("item", "mix", "number", "period", "sim_max", "sim_sum", "sub_max", "sub_sum", "unresolved", "variant")

    def __init__(self, item: Item, number: int) -> None:
        self.item = item
        self.number = number        # -1: stands nowhere yet
        self.mix = 0.0
        self.sim_max = self.sim_sum = self.sub_max = self.sub_sum = 0.0
        self.period = 0             # 1: progression of period 1; 2: of 2 to 4; 3: middle of the lines around
        self.variant = 0
        self.unresolved = 0


class Field:
    """The candidates of one place and the votes behind them."""

    def __init__(self) -> None:
        self.candidates: dict[str, Candidate] = {}
        self.mix: dict[int, float] = {}                     # text -> mixT, of every voted text
        self.shape_mix: dict[int, float] = {}
        self.head_mix: dict[int, float] = {}
        self.kind_mix: dict[int, float] = {}
        self.votes: dict[int, Counter[int]] = {}            # key type -> text -> votes
        self.examples: dict[int, int] = {}                  # key type -> how many voted
        self.recent: dict[int, int] = {}                    # text -> lines from here, above
        self.coming: dict[int, int] = {}                    # the same below
        self.labels_in_sight: dict[str, int] = {}           # label name -> signed distance
        self.best_similarity = 0.0

    def add(self, words: Words, text: str | None, number: int = -1) -> Candidate | None:
        """The candidate for a text (or a known number), made if need be; None when it is no single item."""
        if number >= 0:
            item = words.items[number]
            text = item.text
        assert text is not None
        found = self.candidates.get(text)
        if found is None:
            if number < 0:
                read = item_of(text)
                if read is None:
                    return None
                item = read
                found = self.candidates.get(item.text)
                if found is not None:
                    return found
                number = words.ids.get(item.text, -1)
            if not item.text:
                return None
            found = self.candidates[item.text] = Candidate(item, number)
        return found


def place_at(index: Index, lines: Sequence[str], row: int, *, path: str = "", suffix: bool = True,
             tail: bool = False, before: str = "", skip: int = 0) -> Place:
    """The place of a line that would stand between ``lines[:row]`` and ``lines[row + skip:]``; ``before`` is text on
    the same line that is already whole items (a label). ``tail``: later lines of this file may not speak either."""
    words = index.words
    above: list[int] = []
    gap_above = 0
    for item in reversed(items_of_line(before)[0]):
        above.append(words.add(item))
    for line in reversed(lines[max(0, row - 3 * SIGHT_ABOVE) : row]):
        items, gap = items_of_line(line)
        if items:
            above.extend(words.add(item) for item in reversed(items))
            if len(above) >= SIGHT_ABOVE:
                break
        elif not above:
            gap_above = max(gap_above, gap)
    below: list[int] = []
    gap_below = 0
    for line in lines[row + skip : row + skip + 3 * SIGHT_BELOW]:
        items, gap = items_of_line(line)
        if items:
            below.extend(words.add(item) for item in items)
            if len(below) >= SIGHT_BELOW:
                break
        elif not below:
            gap_below = max(gap_below, gap)
    near = index.position_of(path, row)
    hidden = index.stale(path)
    if path in index.files:
        hidden.append((max(0, near - 4), min(near + 11, len(index.text))))
        if tail:
            hidden.extend((max(piece.start, near), piece.end) for piece in index.files[path].pieces
                          if piece.end > near)
    return Place(above, below, gap_above, gap_below, suffix and bool(below), near, hidden)


def following(place: Place, index: Index, item: Item) -> Place:
    """The place right below, once ``item`` stands at ``place``."""
    return replace(place, above=[index.words.add(item), *place.above], gap_above=0, typed="")


def gather(index: Index, place: Place) -> Field:
    """All candidates for ``place``."""
    alive = index.alive
    saved = [(low, alive[low:high]) for low, high in place.hidden if low < high]
    for low, kept in saved:
        alive[low : low + len(kept)] = bytes(len(kept))
    try:
        field_ = Field()
        _see(index, place, field_)
        pool = _vote(index, place, field_)
        _align(index, place, field_, pool)
    finally:
        for low, kept in reversed(saved):
            alive[low : low + len(kept)] = kept
    _progress(index, place, field_)
    _vary(index, place, field_)
    _point(index, place, field_)
    return field_


def _see(index: Index, place: Place, field_: Field) -> None:
    """Distances of the lines in sight, and the labels among them."""
    items = index.words.items
    for distance, number in enumerate(place.above[:SIGHT_ABOVE], 1):
        field_.recent.setdefault(number, distance)
        if index.words.label[number]:
            field_.labels_in_sight.setdefault(items[number].text.rstrip(":"), -distance)
    for distance, number in enumerate(place.below[:SIGHT_BELOW], 1):
        field_.coming.setdefault(number, distance)
        if index.words.label[number]:
            field_.labels_in_sight.setdefault(items[number].text.rstrip(":"), distance)


def _vote(index: Index, place: Place, field_: Field) -> dict[int, float]:
    """mixT, ps, pm and pk; returns the pool of positions to align with (position -> summed weight)."""
    words, text, alive = index.words, index.text, index.alive
    above = (place.above[:REACH] + [0] * REACH)[:REACH]
    below = (place.below[:REACH] + [0] * REACH)[:REACH] if place.suffix else [0] * REACH
    texts = [*reversed(above), 0, *below]
    gaps = [0] * REACH + [place.gap_above, place.gap_below] + [0] * REACH
    mix: dict[int, float] = {}
    pool: dict[int, float] = {}
    norm = 0.0
    for number, (hashed,) in enumerate(key_hashes(words, texts, gaps, place.suffix)):
        positions, total = index.find(number, hashed, place.near)
        positions = [p for p in positions if alive[p]]
        count = len(positions)
        if not count:
            continue
        weight = KEYS[number].weight
        factor = weight * math.log1p(count)
        norm += factor
        factor /= count + 1
        votes = Counter([text[p] for p in positions])
        field_.votes[number] = votes
        field_.examples[number] = count
        for candidate, times in votes.items():
            mix[candidate] = mix.get(candidate, 0.0) + factor * times
        if weight >= 2 and total <= CROWD:
            for p in positions:
                pool[p] = pool.get(p, 0.0) + weight
    if norm:
        shape_mix, head_mix, kind_mix = field_.shape_mix, field_.head_mix, field_.kind_mix
        for candidate, value in mix.items():
            mix[candidate] = value = value / norm
            shape, head = words.shape[candidate], words.head[candidate]
            shape_mix[shape] = shape_mix.get(shape, 0.0) + value
            head_mix[head] = head_mix.get(head, 0.0) + value
            kind = words.items[candidate].kind
            kind_mix[kind] = kind_mix.get(kind, 0.0) + value
        best = sorted(mix, key=mix.__getitem__, reverse=True)[:_BEST_BY_MIX]
        for candidate in best:
            made = field_.add(words, None, candidate)
            if made is not None:
                made.mix = mix[candidate]
    field_.mix = mix
    return pool


# --- alignment and substitution ------------------------------------------------------------------------------------

def _align(index: Index, place: Place, field_: Field, pool: dict[int, float]) -> None:
    words, text = index.words, index.text
    context, shape, head = words.context, words.shape, words.head
    above = [(context[t], shape[t], head[t]) for t in place.above[:8]]
    below = [(context[t], shape[t], head[t]) for t in place.below[:5]] if place.suffix else []
    scored = []
    for p in sorted(pool, key=pool.__getitem__, reverse=True)[:_POOL]:
        similarity = 0.0
        for d, (line, form, word) in enumerate(above):
            t = text[p - 1 - d]
            if context[t] == line:
                similarity += _BACK[d]
            elif shape[t] == form:
                similarity += 0.6 * _BACK[d]
            elif head[t] == word:
                similarity += 0.25 * _BACK[d]
            elif d >= 3:
                break
        for d, (line, form, word) in enumerate(below):
            t = text[p + 1 + d]
            if context[t] == line:
                similarity += _AHEAD[d]
            elif shape[t] == form:
                similarity += 0.6 * _AHEAD[d]
            elif head[t] == word:
                similarity += 0.25 * _AHEAD[d]
            elif d >= 3:
                break
        scored.append((similarity, p))
    scored.sort(reverse=True)
    if scored:
        field_.best_similarity = scored[0][0]
    for rank, (similarity, p) in enumerate(scored[:_GIVE]):
        made = field_.add(words, None, text[p])
        if made is None:
            continue
        made.sim_max = max(made.sim_max, similarity)
        made.sim_sum += math.exp(similarity - 4)
        if rank < _SUBSTITUTE:
            changed = _substituted(index, place, p)
            made = field_.add(words, changed) if changed else made
            if made is not None:
                made.sub_max = max(made.sub_max, similarity)
                made.sub_sum += math.exp(similarity - 4)


def _substituted(index: Index, place: Place, position: int) -> str | None:
    """The line at ``position`` rewritten for this place: what its neighbours have there, ours have here."""
    words, text = index.words, index.text
    whole: dict[str, str] = {}
    shift: dict[int, int] = {}
    parts: list[tuple[str, str]] = []
    pairs = [(text[position - 1 - d], ours) for d, ours in enumerate(place.above[:10]) if position > d]
    if place.suffix:
        last = len(text)
        pairs += [(text[position + 1 + d], ours) for d, ours in enumerate(place.below[:4]) if position + 1 + d < last]
    for theirs, ours in pairs:
        if theirs == ours or words.shape[theirs] != words.shape[ours]:
            continue
        left, right = words.tokens(theirs), words.tokens(ours)
        if len(left) != len(right):
            continue
        for a, b in zip(left, right, strict=True):
            if a == b:
                continue
            whole.setdefault(a, b)
            x, y = number_of(a), number_of(b)
            if x is not None and y is not None and len(a) == len(b):
                shift.setdefault(len(a), y - x)
            else:
                part = differing_part(a, b)
                if part:
                    parts.append(part)
    if not whole:
        return None
    out, changed = [], False
    for token in words.tokens(text[position]):
        new = whole.get(token, "")
        if not new:
            value = number_of(token)
            if value is not None and len(token) in shift:
                new = written(value + shift[len(token)], token)
            elif value is None and is_name(token):
                for old_part, new_part in parts:
                    if old_part in token:
                        new = token.replace(old_part, new_part)
                        break
        changed = changed or bool(new and new != token)
        out.append(new or token)
    return _spell(out) if changed else None


def _spell(tokens: list[str]) -> str:
    """A line from its tokens, loosely; reading it back normalises it."""
    if len(tokens) == 2 and tokens[1] == ":":
        return tokens[0] + ":"
    return " ".join(tokens)


# --- progressions and variants -------------------------------------------------------------------------------------

def _progress(index: Index, place: Place, field_: Field) -> None:
    words, above, below = index.words, place.above, place.below
    for period in range(1, 5):
        if len(above) < 2 * period:
            break
        near, far = above[period - 1], above[2 * period - 1]
        if words.shape[near] != words.shape[far] or near == far:
            continue
        a, b = words.tokens(far), words.tokens(near)
        if len(a) != len(b):
            continue
        steps = [step(x, y) for x, y in zip(a, b, strict=True)]
        if all(steps):
            made = field_.add(words, _spell([token for token in steps if token]))
            if made is not None and not made.period:
                made.period = min(period, 2)
    if place.suffix and above and below and words.shape[above[0]] == words.shape[below[0]]:
        a, b = words.tokens(above[0]), words.tokens(below[0])
        if len(a) == len(b):
            between = [middle(x, y) for x, y in zip(a, b, strict=True)]
            if all(between) and above[0] != below[0]:
                made = field_.add(words, _spell([token for token in between if token]))
                if made is not None:
                    made.period = 3


def _vary(index: Index, place: Place, field_: Field) -> None:
    """One token of a neighbouring line changed, where the result is a line of the workspace."""
    words = index.words
    sources = [(number, True) for number in place.above[:4]]
    if place.suffix:
        sources += [(number, False) for number in place.below[:2]]
    for number, forward in sources:
        if words.label[number]:
            continue
        tokens = words.tokens(number)
        for spot in range(1, len(tokens)):
            for new in siblings(tokens[spot], forward):
                if words.items[number].text.count(tokens[spot]) != 1:
                    continue
                found = words.ids.get(words.items[number].text.replace(tokens[spot], new))
                if found is not None and words.count[found] > 0:
                    made = field_.add(words, None, found)
                    if made is not None:
                        made.variant = 1


# --- operands in sight ---------------------------------------------------------------------------------------------

def _commonest(index: Index, table: str, key: int, numbers: list[int], limit: int) -> list[int]:
    """The ``limit`` texts of ``numbers`` that occur most; kept until the list has grown by a tenth."""
    memo = index.commonest
    found = memo.get((table, key))
    if found is None or len(numbers) > found[0] * 1.1:
        best = sorted(numbers, key=index.words.count.__getitem__, reverse=True)[:limit]
        found = memo[(table, key)] = (len(numbers), best)
    return found[1]


def _point(index: Index, place: Place, field_: Field) -> None:
    """Likely shapes and mnemonics filled with operands in sight."""
    words = index.words
    items, count = words.items, words.count
    by_shape: dict[str, list[str]] = {}         # operand shape -> operands in sight, nearest first
    by_head: dict[str, set[str]] = {}           # head -> operand shapes used with it here
    sight = [(d, n) for n, d in field_.recent.items()] + [(d, n) for n, d in field_.coming.items()]
    sight.sort()
    for _, number in sight:
        item = items[number]
        if item.operand:
            operands = by_shape.setdefault(item.operand_shape, [])
            if item.operand not in operands:
                operands.append(item.operand)
            by_head.setdefault(item.head, set()).add(item.operand_shape)
    near_labels = sorted(field_.labels_in_sight, key=lambda name: abs(field_.labels_in_sight[name]))
    typed_head = place.typed.split(" ", 1)[0] if " " in place.typed else ""

    shapes = sorted(field_.shape_mix, key=field_.shape_mix.__getitem__, reverse=True)[:10]
    for rank, shape in enumerate(shapes):
        members = words.by_shape[shape]
        for number in _commonest(index, "shape", shape, members, 6):
            if count[number] > 0:
                field_.add(words, None, number)
        model = items[members[0]]
        if model.kind == LABEL or ":" in model.head or not model.operand_shape:
            continue
        limit = 6 if rank < 4 else 3
        for operand in by_shape.get(model.operand_shape, ())[:limit]:
            field_.add(words, _with_operand(model, operand))
        if model.head.split(".")[0] in BRANCHES and model.operand_shape in ("L", ".", "L."):
            dotted = model.operand_shape == "."
            fitting = [name for name in near_labels if (name[0] == ".") == dotted and name[0] not in "+-?#"]
            for name in fitting[:6]:
                field_.add(words, f"{model.head} {name}")

    heads = sorted(field_.head_mix, key=field_.head_mix.__getitem__, reverse=True)[:5]
    if typed_head:
        heads = [words.name(typed_head)]
    for head in heads:
        word = words.names[head]
        members = words.by_head.get(head, [])
        for number in _commonest(index, "head", head, members, 8)[:5]:
            if count[number] > 0:
                field_.add(words, None, number)
        if not members or items[members[0]].kind not in (OPCODE,) or ":" in word:
            continue
        left = 8
        for form in by_head.get(word, ()):
            for operand in by_shape.get(form, ())[:4]:
                if left:
                    field_.add(words, f"{word} {operand}")
                    left -= 1

    _label_lines(index, place, field_)


def _with_operand(model: Item, operand: str) -> str:
    if model.head[0] == "%" and len(model.head) > 1:
        return model.head + operand
    return f"{model.head} {operand}"


def _label_lines(index: Index, place: Place, field_: Field) -> None:
    """Labels that lines in sight refer to and nobody defines."""
    words, definitions = index.words, index.definitions
    found = 0
    numbers = [*place.above[:60], *(place.below[:20] if place.suffix else ())]
    for number in numbers:
        item = words.items[number]
        if item.kind == LABEL or not item.operand:
            continue
        first = item.head.split(":")[0].split(".")[0]
        if first not in BRANCHES and found >= 3:
            continue
        for name in names_in(item.text):
            if definitions.get(name, 0) <= 0 and name not in field_.labels_in_sight:
                made = field_.add(words, name if name[0] == "." else name + ":")
                if made is not None and made.item.kind == LABEL:
                    made.unresolved = 2 if first in BRANCHES else 1
                    found += 1
        operand = item.operand
        if operand.strip("+") == "" and operand not in field_.labels_in_sight:      # a forward `bra +` waits for it
            made = field_.add(words, operand)
            if made is not None:
                made.unresolved = 2
                found += 1
        if found >= 8:
            break
