"""What a token turns into: the next in a row, the middle of two, a sibling word, a part replaced."""

from __future__ import annotations

import re
from collections.abc import Iterator


def is_name(token: str) -> bool:
    return token[0].isalpha() or (token[0] in "._?!%" and len(token) > 1)


def differing_part(a: str, b: str) -> tuple[str, str] | None:
    """The middle in which two names differ, widened to a `_`/`.` word when a side is shorter than two."""
    if a == b or not is_name(a) or not is_name(b):
        return None
    head = 0
    while head < min(len(a), len(b)) and a[head] == b[head]:
        head += 1
    tail = 0
    while tail < min(len(a), len(b)) - head and a[-1 - tail] == b[-1 - tail]:
        tail += 1
    if min(len(a), len(b)) - head - tail < 2:
        while head > 0 and a[head - 1] not in "_.!":
            head -= 1
        while tail > 0 and a[len(a) - tail] not in "_.":
            tail -= 1
    left, right = a[head : len(a) - tail], b[head : len(b) - tail]
    return (left, right) if left else None


def number_of(token: str) -> int | None:
    return int(token[1:], 16) if token[0] == "$" and len(token) > 1 else None


def written(value: int, like: str) -> str:
    """``value`` in as many hex digits as ``like``; "" when it does not fit."""
    digits = len(like) - 1
    return f"${value:0{digits}x}" if 0 <= value < 16**digits else ""


_DIGITS = re.compile(r"\d+")


def step(a: str, b: str) -> str | None:
    """The token that follows ``a``, ``b`` in a row; None when they make no row."""
    if a == b:
        return b
    x, y = number_of(a), number_of(b)
    if x is not None and y is not None:
        return written(2 * y - x, b) or None if len(a) == len(b) else None
    if a.isdecimal() and b.isdecimal():
        value = 2 * int(b) - int(a)
        return f"{value:0{len(b)}d}" if value >= 0 and (a[0] != "0" or len(a) == len(b)) else None
    if len(a) == 1 and len(b) == 1 and a.isalpha() and b.isalpha():
        code = 2 * ord(b) - ord(a)
        return chr(code) if 0 < code < 128 and chr(code).isalpha() else None
    left, right = _DIGITS.split(a), _DIGITS.split(b)
    if left == right and len(left) > 1:
        old, new = _DIGITS.findall(a), _DIGITS.findall(b)
        out = left[0]
        for index, (p, q) in enumerate(zip(old, new, strict=True)):
            value = 2 * int(q) - int(p)
            if value < 0:
                return None
            out += f"{value:0{len(q)}d}" + left[index + 1]
        return out
    if len(a) == len(b):        # one letter differs: Table_A, Table_B
        spots = [i for i in range(len(a)) if a[i] != b[i]]
        if len(spots) == 1:
            i = spots[0]
            code = 2 * ord(b[i]) - ord(a[i])
            if abs(ord(b[i]) - ord(a[i])) == 1 and a[i].isalpha() and b[i].isalpha() and chr(code).isalpha():
                return b[:i] + chr(code) + b[i + 1 :]
    return None


def middle(a: str, b: str) -> str | None:
    if a == b:
        return a
    x, y = number_of(a), number_of(b)
    if x is not None and y is not None:
        return written((x + y) // 2, a) or None if len(a) == len(b) and not (x + y) % 2 else None
    if a.isdecimal() and b.isdecimal():
        return f"{(int(a) + int(b)) // 2:0{len(a)}d}" if not (int(a) + int(b)) % 2 else None
    left, right = _DIGITS.split(a), _DIGITS.split(b)
    if left == right and len(left) > 1:
        out = left[0]
        for index, (p, q) in enumerate(zip(_DIGITS.findall(a), _DIGITS.findall(b), strict=True)):
            if (int(p) + int(q)) % 2:
                return None
            out += f"{(int(p) + int(q)) // 2:0{len(p)}d}" + left[index + 1]
        return out
    return None


_FAMILIES = (
    ("x", "y"), ("lo", "hi"), ("low", "high", "bank"), ("left", "right"), ("up", "down"), ("src", "dst"),
    ("source", "dest"), ("first", "second", "third"), ("min", "max"), ("start", "end"), ("top", "bottom"),
    ("width", "height"), ("on", "off"), ("read", "write"), ("red", "green", "blue"), ("horizontal", "vertical"),
    ("old", "new"), ("prev", "next"), ("begin", "end"), ("row", "column"), ("h", "v"), ("l", "h"), ("open", "close"),
)
_SIBLINGS: dict[str, list[str]] = {}
for _family in _FAMILIES:
    for _word in _family:
        _SIBLINGS.setdefault(_word, []).extend(_other for _other in _family if _other != _word)
_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+")


def _cased(word: str, like: str) -> str:
    if like.isupper():
        return word.upper()
    return word.capitalize() if like[0].isupper() else word


def siblings(token: str, forward: bool) -> Iterator[str]:
    """What a token may turn into on a neighbouring line."""
    value = number_of(token)
    if value is not None:
        for step in (1, 2):
            new = written(value + step if forward else value - step, token)
            if new:
                yield new
        return
    if token.isdecimal():
        for step in (1, 2):
            yield str(max(0, int(token) + (step if forward else -step)))
        return
    if not is_name(token):
        if token in ("x", "y"):
            yield "y" if token == "x" else "x"
        return
    for match in _WORD.finditer(token):
        word = match[0]
        if word.isdecimal():
            new = f"{max(0, int(word) + (1 if forward else -1)):0{len(word)}d}"
            yield token[: match.start()] + new + token[match.end() :]
        else:
            for other in _SIBLINGS.get(word.lower(), ()):
                yield token[: match.start()] + _cased(other, word) + token[match.end() :]
