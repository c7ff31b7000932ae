"""Routine families, and the split by them. Pure.

A family is a routine with its numbered variants and near copies. It lies on one side of the split as a whole, so that
a held-back line is never known from a sibling of its routine. Families in which the user accepted text always train:
there is too little of it to hold any back.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

from nayru_train import dedup

_MAIN_LABEL = re.compile(r"^[A-Za-z_][A-Za-z0-9_]*(?=:)")
_VARIANT = re.compile(r"(?:_?(?:v|alt|copy|old|new|bak)?_?\d+)+$", re.IGNORECASE)


def routine_name(text_before: str) -> str:
    """The main label that encloses the end of ``text_before``, "" above the first one."""
    for line in reversed(text_before.split("\n")):
        if found := _MAIN_LABEL.match(line):
            return found.group()
    return ""


def family_key(project: str, path: str, routine: str) -> str:
    """``Update_2`` and ``Update`` are one family; text outside routines belongs to its file. The key is a hash: it is
    kept in files that must hold no text of a deleted sample."""
    stem = _VARIANT.sub("", routine).lower()
    return hashlib.sha256(f"{project}/{stem or path + '#'}".encode()).hexdigest()[:16]


def routines(text: str) -> Iterator[tuple[str, str]]:
    """(main label, body) of each routine of a file, in order; text above the first label is left out."""
    name = ""
    body: list[str] = []
    for line in text.split("\n"):
        if found := _MAIN_LABEL.match(line):
            if name:
                yield name, "\n".join(body)
            name, body = found.group(), []
        elif name:
            body.append(line)
    if name:
        yield name, "\n".join(body)


def join_near_copies(bodies: Mapping[str, str], threshold: float) -> dict[str, str]:
    """Family key -> representative: families whose routines are near copies become one. ``bodies``: key -> code."""
    parent = {key: key for key in bodies}

    def find(key: str) -> str:
        while parent[key] != key:
            parent[key] = parent[parent[key]]
            key = parent[key]
        return key

    long_enough = {key: body for key, body in bodies.items() if len(dedup.code_lines(body)) >= 4}
    for left, right in dedup.near_pairs(long_enough, threshold):
        parent[find(max(left, right))] = find(min(left, right))
    return {key: find(key) for key in bodies}


def is_test(family: str, seed: int, share: float) -> bool:
    """By hash of the family alone: the same family falls on the same side in every run with this seed."""
    value = int.from_bytes(hashlib.sha256(f"{seed} {family}".encode()).digest()[:8])
    return value < share * 2**64


def test_families(families: Iterable[str], train_only: Iterable[str], seed: int, share: float) -> frozenset[str]:
    kept = frozenset(train_only)
    return frozenset(family for family in families if family not in kept and is_test(family, seed, share))


def spread(groups: Mapping[str, Sequence[str]], per_group: int, total: int, seed: int) -> list[str]:
    """At most ``per_group`` members of each group, at most ``total`` in all, the groups served in turn. Order and
    choice depend on the hashes of the members alone."""
    def rank(member: str) -> bytes:
        return hashlib.sha256(f"{seed} {member}".encode()).digest()

    ordered = {group: sorted(members, key=rank)[:per_group] for group, members in sorted(groups.items())}
    chosen: list[str] = []
    for turn in range(per_group):
        for members in ordered.values():
            if turn < len(members) and len(chosen) < total:
                chosen.append(members[turn])
    return chosen
