"""Exact and near duplicates of assembly text. Pure; MinHash of our own, small enough to read.

Code is compared without comments, case, white space and blank lines. Shingles are pairs of neighbouring lines, so
order counts a little and a moved line does not hide a copy.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator, Mapping
from itertools import pairwise

BANDS, ROWS = 24, 4                 # 96 hashes; pairs at 0.5 similarity are found with 79 %, at 0.7 with 99.8 %
_PRIME = (1 << 61) - 1
_draw = random.Random("nayru minhash")
_HASHES = tuple((_draw.randrange(1, _PRIME), _draw.randrange(_PRIME)) for _ in range(BANDS * ROWS))


def code_lines(text: str) -> list[str]:
    """Lines without comment, case and white space; blank ones left out. Quotes keep their ``;``."""
    out = []
    for line in text.replace("\r", "\n").split("\n"):
        if bare := "".join(_without_comment(line).split()).upper():
            out.append(bare)
    return out


def _without_comment(line: str) -> str:
    quoted = False
    for at, character in enumerate(line):
        if character == '"':
            quoted = not quoted
        elif character == ";" and not quoted:
            return line[:at]
    return line


def exact_key(*texts: str) -> str:
    return hashlib.sha256("\0".join("\n".join(code_lines(text)) for text in texts).encode()).hexdigest()


def shingles(text: str) -> frozenset[int]:
    """Hashes of pairs of neighbouring code lines; of the single line where there is one only."""
    lines = code_lines(text)
    pairs = [f"{a}\n{b}" for a, b in pairwise(lines)] or lines
    return frozenset(int.from_bytes(hashlib.blake2b(pair.encode(), digest_size=7).digest()) for pair in pairs)


def similarity(left: frozenset[int], right: frozenset[int]) -> float:
    """Jaccard: 1.0 for equal sets, 0.0 when nothing is shared."""
    union = len(left | right)
    return len(left & right) / union if union else 1.0


def signature(of: frozenset[int]) -> tuple[int, ...]:
    return tuple(min((a * shingle + b) % _PRIME for shingle in of) for a, b in _HASHES) if of else ()


def near_pairs(texts: Mapping[str, str], threshold: float) -> Iterator[tuple[str, str]]:
    """Pairs of keys whose texts are at least ``threshold`` similar: MinHash proposes, the exact Jaccard decides."""
    sets = {key: shingles(text) for key, text in texts.items()}
    buckets: dict[tuple[int, ...], list[str]] = {}
    seen: set[tuple[str, str]] = set()
    for key, found in sets.items():
        signed = signature(found)
        for band in range(BANDS if signed else 0):
            place = (band, *signed[band * ROWS : (band + 1) * ROWS])
            for other in buckets.setdefault(place, []):
                if (other, key) not in seen:
                    seen.add((other, key))
                    if similarity(sets[other], found) >= threshold:
                        yield other, key
            buckets[place].append(key)


class NearIndex:
    """Texts to be compared against: ``add`` them, then ask ``match`` for the most similar one."""

    def __init__(self) -> None:
        self._sets: dict[str, frozenset[int]] = {}
        self._buckets: dict[tuple[int, ...], list[str]] = {}

    def __len__(self) -> int:
        return len(self._sets)

    def add(self, key: str, text: str) -> None:
        found = self._sets[key] = shingles(text)
        signed = signature(found)
        for band in range(BANDS if signed else 0):
            self._buckets.setdefault((band, *signed[band * ROWS : (band + 1) * ROWS]), []).append(key)

    def match(self, text: str, threshold: float) -> str:
        """The key of the most similar text at or above ``threshold``, "" when there is none."""
        found = shingles(text)
        signed = signature(found)
        keys = {key for band in range(BANDS if signed else 0)
                for key in self._buckets.get((band, *signed[band * ROWS : (band + 1) * ROWS]), ())}
        scored = sorted(((similarity(self._sets[key], found), key) for key in keys), reverse=True)
        return scored[0][1] if scored and scored[0][0] >= threshold else ""


def shared_run(lines: list[str], index: Mapping[tuple[str, ...], str], length: int) -> str:
    """The key of an indexed run of ``length`` code lines that occurs in ``lines``, "" when none does."""
    for at in range(len(lines) - length + 1):
        if key := index.get(tuple(lines[at : at + length])):
            return key
    return ""


def runs(texts: Mapping[str, str], length: int) -> dict[tuple[str, ...], str]:
    """Every run of ``length`` neighbouring code lines -> the key of the text it stands in."""
    out: dict[tuple[str, ...], str] = {}
    for key, text in texts.items():
        lines = code_lines(text)
        for at in range(len(lines) - length + 1):
            out.setdefault(tuple(lines[at : at + length]), key)
    return out
