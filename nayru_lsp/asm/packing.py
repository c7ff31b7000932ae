"""An expansion as plain columns that cross from one process to another; `expanded` reads them.

Promises: plain data only (str, int, bytes, lists, tuples, dicts), made in well below a second for 400,000 lines.
Names that Asar makes itself (with ``:``) are left out.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Mapping, Sequence

from nayru_lsp.asm.compiled import Rows, row_size
from nayru_lsp.asm.expanded import BYTES, GONE, TOO_LONG, Packed
from nayru_lsp.asm.expansion import Expansion
from nayru_lsp.asm.problem import Severity

LONG = 2_000            # characters of a define's value; a longer one is not kept
LOG = 500_000           # assignments to defines; with more, none are kept
KEY = (1 << 40) - 1     # file and row of a place

# Errors that leave no line out in which a name could have been made.
HARMLESS = frozenset({"Elabel_not_found", "Erelative_branch_out_of_bounds", "Eassertion_failed"})


def pack(expansion: Expansion, given: Mapping[str, str] | None = None) -> Packed:
    """``given``: the defines that the root was started with."""
    data = expansion.data()         # may find problems
    problems = [(one.path, one.span.start, one.code, int(one.severity), one.message) for one in expansion.problems]
    reasons = dict(expansion.reasons.most_common(20))
    cut = any(code not in HARMLESS for _, _, code, severity, _ in problems if severity == Severity.ERROR)
    return {
        "files": list(expansion.files), "problems": problems, "reasons": reasons, "sure": not reasons and not cut,
        "mapping_mode": str(expansion.mapping_mode),
        "labels": _pack_labels(expansion), "lines": _pack_lines(expansion, data),
        "defines": _pack_defines(expansion, given or {}), "skipped": _pack_skipped(expansion),
        "macros": _pack_macros(expansion)}


def _pack_labels(expansion: Expansion) -> Packed:
    places, values = expansion.places, expansion.values
    # Labels that stand for a number instead of a place.
    numbers = getattr(expansion._machine, "static", ())
    named = sorted([(place & KEY, name, place >> 40) for name, place in places.items()
                    if ":" not in name and name in values])
    calls: dict[int, int] = {0: 0}
    chain: list[tuple[int, int]] = [(0, 0)]

    def number(call: int) -> int:
        waiting = []
        while call not in calls:
            waiting.append(call)
            call = expansion.call_table[call][0]
        for one in reversed(waiting):
            caller, place = expansion.call_table[one]
            calls[one] = len(chain)
            chain.append((calls.get(caller, 0), place & KEY))
        return calls[waiting[0] if waiting else call]

    address = expansion.address
    return {
        "names": "\n".join([name for _, name, _ in named]),
        "keys": array("Q", [key for key, _, _ in named]).tobytes(),
        "values": array("q", [-1 if (value := address(values[name])) is None else value
                              for _, name, _ in named]).tobytes(),
        "calls": array("I", [number(call) if call else 0 for _, _, call in named]).tobytes(),
        "numbers": bytes([name in numbers for _, name, _ in named]),
        "callers": array("I", [caller for caller, _ in chain]).tobytes(),
        "called": array("Q", [key for _, key in chain]).tobytes()}


def _pack_lines(expansion: Expansion, data: Sequence[bytes | None]) -> Packed:
    """One entry per line that wrote anything: the first write, and its bytes where it is the only one."""
    keys, ats, sizes, made = _unrolled(expansion, data)
    count = len(keys)
    numbers = range(count)
    first = dict(zip(reversed(keys), reversed(numbers), strict=True))
    last = dict(zip(keys, numbers, strict=True))
    times = Counter(keys) if len(first) < count else None
    order = sorted(first)
    starts = [first[key] for key in order]
    pieces: list[bytes] = []
    lengths: list[int] = []
    for key, at in zip(order, starts, strict=True):
        size = sizes[at]
        piece = made[at]
        if times is not None and times[key] > 1:
            end = last[key] + 1
            # Several statements of one line are neighbours; a line of a macro or a loop comes again later.
            piece, size = None, 0
            if end - at == times[key]:
                parts = made[at:end]
                size = sum(sizes[at:end])
                piece = None if None in parts else b"".join([part for part in parts if part is not None])
        pieces.append(b"" if piece is None else piece[:BYTES])
        lengths.append(0 if piece is None else size)
    ends = array("I", [0])
    total = 0
    for piece in pieces:
        total += len(piece)
        ends.append(total)
    return {"keys": array("Q", order).tobytes(), "at": array("q", [ats[at] for at in starts]).tobytes(),
            "sizes": array("I", lengths).tobytes(), "ends": ends.tobytes(), "bytes": b"".join(pieces)}


def _unrolled(expansion: Expansion, data: Sequence[bytes | None]) -> tuple[
        list[int], list[int], list[int], list[bytes | None]]:
    """Key, address (-1: not known), size and bytes of every write; runs of rows taken apart."""
    address = expansion.address
    objects, ats, places, sizes = expansion._objects, expansion._at, expansion._place, expansion._sizes
    rows = [number for number, kind in enumerate(map(type, objects)) if kind is Rows]
    keys = [place & KEY for place in places]
    known = [-1 if (one := address(at)) is None else one for at in ats]
    if not rows:
        return keys, known, list(sizes), list(data)
    out: tuple[list[int], list[int], list[int], list[bytes | None]] = ([], [], [], [])
    done = 0

    def copy(end: int) -> None:
        out[0].extend(keys[done:end])
        out[1].extend(known[done:end])
        out[2].extend(sizes[done:end])
        out[3].extend(data[done:end])

    for number in rows:
        copy(number)
        done = number + 1
        run, key, at, whole = objects[number], keys[number], known[number], data[number]
        offset = 0
        for row, text in enumerate(run.lines, key):
            if text:
                size = row_size(text)
                out[0].append(row)
                out[1].append(at + offset if at >= 0 else -1)
                out[2].append(size)
                out[3].append(None if whole is None else whole[offset:offset + size])
                offset += size
    copy(len(keys))
    return out


def _pack_defines(expansion: Expansion, given: Mapping[str, str]) -> Packed | None:
    log = expansion.define_log
    if len(log) > LOG:
        return None
    names: dict[str, int] = {}
    texts: dict[str, int] = {}
    which, what = array("I"), array("i")
    for name, text, _ in log:
        which.append(names.setdefault(name, len(names)))
        what.append(GONE if text is None else TOO_LONG if len(text) > LONG else texts.setdefault(text, len(texts)))
    return {
        "names": list(names), "texts": list(texts), "which": which.tobytes(), "what": what.tobytes(),
        "final": {name: text for name, text in expansion.defines.items() if len(text) <= LONG},
        "given": {name.lstrip("!"): text for name, text in given.items()},
        "marks": {file: (array("I", [row for row, _ in marks]).tobytes(), array("I", [at for _, at in marks]).tobytes())
                  for file, marks in expansion.define_marks.items()}}


def _pack_skipped(expansion: Expansion) -> dict[int, bytes]:
    out = {}
    for file, rows in expansion.skipped.items():
        ranges = array("I")
        for row in sorted(rows):
            if ranges and ranges[-1] == row:
                ranges[-1] = row + 1
            else:
                ranges.extend((row, row + 1))
        out[file] = ranges.tobytes()
    return out


def _pack_macros(expansion: Expansion) -> list[tuple[int, int, int, str]]:
    """(file, row of `macro`, row of `endmacro`, name)."""
    numbers = {path: number for number, path in enumerate(expansion.files)}
    bodies = getattr(expansion._machine, "macros", {})
    return [(numbers[path], row, row + 1 + len(getattr(bodies.get(name), "lines", ())), name)
            for name, (path, row, _) in expansion.macros.items() if path in numbers]
