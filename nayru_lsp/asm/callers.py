"""Where a problem is seen that was found while a macro was gone through: at the outermost calls, where the user can
act, and in the macro itself only if it is wrong at every call.

A macro that fails at one of a thousand calls is not underlined: the call is. One that fails at every call is, and of
its calls the first of each file is told, to lead whoever looks at that file to it. All of it is read off what the
execution left (places, writes, assertions), so that it costs nothing while there are no such problems. Whether a call
went well is known only of lines that write something or assert something; of all others the calls are told. A file
that is brought in again is wrong where that is done, not at each label that it makes a second time.

Promises: the same for the same program, however it was executed; bounded (`CALLS`, `TOLD`, `LINES`).
"""

from __future__ import annotations

import re
import sys
from array import array
from bisect import bisect_right
from collections.abc import Sequence
from typing import Any

from nayru_lsp.asm.compiled import split_list
from nayru_lsp.asm.expansion import Expansion
from nayru_lsp.asm.problem import EXECUTED, Problem

CALLS = 20          # of one line of a macro, from one file, that are told
TOLD = 200          # and of all lines; behind that one of each
LINES = 50          # of macros that are asked whether they fail at every call
LINKS = 4           # calls in calls that are named, the innermost ones
DEEP = 20           # calls in each other through which arguments are followed
SAID = 60           # characters of a call

Place = tuple[int, int]     # number of the file, row
Call = tuple[tuple[Place, ...], str, str, str]      # outermost first; as written; what is wrong; that there are more
Via = tuple[bool, tuple[Call, ...], bool]   # is the macro wrong; the calls that are told; is it told for its line

_KEY = (1 << 40) - 1
_ROW = 0xFFFFFF
_CALL = re.compile(r"%([A-Za-z_]\w*) ?\(", re.ASCII)
_PARAMETER = re.compile(r"<(\w+)>")


def seen_from(expansion: Expansion) -> list[Via | None]:
    """Of each problem, where it is seen; None: where it stands, if at all. What is told with another one of its line is
    seen nowhere."""
    problems = expansion.problems
    lines: dict[tuple[str, int, str], list[int]] = {}
    files: dict[tuple[str, int, str], list[int]] = {}
    for number, one in enumerate(problems):
        if one.code not in EXECUTED:        # nobody is shown it
            continue
        if one.call:
            lines.setdefault((one.path, one.span.start, one.code), []).append(number)
        elif one.again:
            files.setdefault((one.path, one.again, one.code), []).append(number)
    out: list[Via | None] = [None] * len(problems)
    for (_, place, _), numbers in files.items():    # that are brought in again: the line that does it is wrong
        for number in numbers:
            out[number] = False, (), False
        first = min(numbers, key=lambda number: (problems[number].span, problems[number].message))
        more = f" (and {len(numbers) - 1:,} more)" if len(numbers) > 1 else ""
        call = ((place >> 24, place & _ROW),), "this file, which was brought in before", problems[first].message, more
        out[first] = False, (call,), True
    if not lines:
        return out
    callers = _Callers(expansion)
    left = TOLD
    for asked, ((path, row, _), numbers) in enumerate(sorted(lines.items())):
        place = callers.number[path] << 24 | row
        those = [problems[number] for number in numbers]
        always = asked < LINES and callers.always(place, those)
        calls = callers.told(place, those, always, left)
        left -= len(calls)
        for number in numbers:
            out[number] = always, (), False
        said = calls[0][2] if calls else min(one.message for one in those)     # both lines say the same
        out[next(number for number in numbers if problems[number].message == said)] = always, calls, True
    return out


class _Callers:
    """The calls of one expansion."""

    def __init__(self, expansion: Expansion) -> None:
        self._expansion = expansion
        self._table = expansion.call_table
        self.number = {path: number for number, path in enumerate(expansion.files)}
        self._outermost: dict[int, int] = {}
        self._bodies: dict[int, list[Any]] = {}
        machine = expansion._machine
        self._lines = getattr(machine, "prepared", {})
        for macro in getattr(machine, "macros", {}).values():
            self._bodies.setdefault(macro.file, []).append(macro)
        self._places: bytes | None = None

    # --- is it the macro that is wrong? ------------------------------------------------------------------------------

    def always(self, place: int, problems: Sequence[Problem]) -> bool:
        """Did every call of the line at ``place`` fail, in a way that is not for a call alone to mend?"""
        failed = {one.call for one in problems}
        code, first = problems[0].code, problems[0].message
        fixed = "<" not in self._line(place)        # it reads the same at every call
        name = first.split("`")[1] if first.count("`") >= 2 else ""
        if code == "Emacro_wrong_num_params" or (code == "Emacro_not_found" and name not in self._expansion.macros):
            return fixed
        if code in ("Elabel_not_found", "Erelative_branch_out_of_bounds", "Edefine_not_found"):
            went = self._written(place, failed)
            if went is None:
                known = name.lstrip("!") in self._expansion.defines
                went = not (code == "Edefine_not_found" and fixed and name and not known)
        elif code == "Eassertion_failed":
            asserted = {one >> 40 for _, _, one, _, _ in self._expansion._machine.deferred if one & _KEY == place}
            went = not failed or asserted != failed
        else:
            return False        # it hangs on where a call stands, or on another one
        return not went and (fixed or len(failed) > 1)

    def _written(self, place: int, failed: set[int]) -> bool | None:
        """Did a call other than these write what stands at ``place``? None: not even these did."""
        if self._places is None:
            places = self._expansion._place
            if sys.byteorder == "big":
                places = array("Q", places)
                places.byteswap()
            self._places = places.tobytes()
        wanted, at, wrote = place.to_bytes(8, "little")[:5], -1, False
        parts = self._expansion.parts()
        starts = [start for start, _ in parts]
        while (at := self._places.find(wanted, at + 1)) >= 0:
            if at % 8:
                continue
            if self._expansion._place[at // 8] >> 40 in failed:
                wrote = True
                continue
            part = bisect_right(starts, at // 8) - 1
            if parts[part][1].data[at // 8 - starts[part]] is not None:
                return True
            wrote = True
        return False if wrote else None

    # --- which calls -------------------------------------------------------------------------------------------------

    def told(self, place: int, problems: Sequence[Problem], always: bool, left: int) -> tuple[Call, ...]:
        """The calls of the line at ``place`` that are told: the first ones of each file."""
        files: dict[int, dict[int, list[Problem]]] = {}
        for one in problems:
            outer = self._outermost_of(one.call)
            files.setdefault(outer >> 24, {}).setdefault(outer & _ROW, []).append(one)
        if always and "<" not in self._line(place):
            files.pop(place >> 24, None)        # whoever looks at this file sees the line itself
        most = 1 if always or left <= 0 else CALLS
        out: list[Call] = []
        for file in sorted(files, key=self._expansion.files.__getitem__):
            rows = sorted(files[file])
            for row in rows[:most]:
                those = files[file][row]
                first = those[0] if len(those) == 1 else min(those, key=lambda one: (one.message, self._chain(one)))
                more = len(those) - 1
                if row == rows[:most][-1]:
                    more += sum(len(files[file][other]) for other in rows[most:])
                rest = f" (and at {more:,} more call{'s' if more > 1 else ''})" if more else ""
                out.append((self._chain(first), self._said(first.call, place), first.message, rest))
        return tuple(out)

    def _chain(self, problem: Problem) -> tuple[Place, ...]:
        calls: list[Place] = []
        call = problem.call
        while call > 0 and len(calls) < LINKS:
            place = self._table[call][1]
            calls.append((place >> 24 & 0xFFFF, place & _ROW))
            call = place >> 40
        if call > 0:
            place = self._outermost_of(call)
            calls.append((place >> 24, place & _ROW))
        return tuple(reversed(calls))

    def _outermost_of(self, call: int) -> int:
        """The place of the outermost call, without a call in it."""
        known, way = self._outermost, []
        while call not in known:
            way.append(call)
            place = self._table[call][1]
            if not place >> 40:
                known[call] = place & _KEY
                break
            call = place >> 40
        found = known[call]
        known.update(dict.fromkeys(way, found))
        return found

    # --- as it is written --------------------------------------------------------------------------------------------

    def _said(self, call: int, place: int) -> str:
        """The call in which ``place`` was come to, with its arguments where they can be told."""
        way: list[int] = []
        while call > 0 and len(way) < DEEP:
            way.append(self._table[call][1])
            call = way[-1] >> 40
        name, arguments, macro = "", None, None
        inside: dict[str, str] = {}
        for number, at in enumerate(reversed(way)):
            below = way[len(way) - number - 2] if number + 1 < len(way) else place
            macro = self._macro(below & _KEY)
            text = _PARAMETER.sub(lambda found, inside=inside: inside.get(found[1], found[0]),      # type: ignore[misc]
                                  self._line(at & _KEY))
            found = [one for one in _calls(text) if macro is None or one[0] == macro.name]
            name, arguments = found[0] if len(set(found)) == 1 else (macro.name if macro is not None else "", None)
            inside = {}
            if macro is not None and arguments is not None and not call:
                inside = dict(zip(macro.parameters, arguments, strict=False))
        if not name:
            return "a macro"
        if arguments is None or any("<" in one for one in arguments):
            return f"`%{name}`"
        whole = f"%{name}({', '.join(arguments)})".replace("`", "'")
        return f"`{whole}`" if len(whole) <= SAID else f"`{whole[:SAID]}...`"

    def _line(self, place: int) -> str:
        lines = self._lines.get(self._expansion.files[place >> 24])
        row = place & _ROW
        return lines[row] if lines is not None and row < len(lines) else ""

    def _macro(self, place: int) -> Any:
        """The innermost one whose body holds this line."""
        row = place & _ROW
        return max((one for one in self._bodies.get(place >> 24, ()) if one.row < row <= one.row + len(one.lines)),
                   key=_row_of, default=None)


def _row_of(macro: Any) -> int:
    return int(macro.row)


def _calls(text: str) -> list[tuple[str, tuple[str, ...]]]:
    """The calls on a line, with their arguments."""
    out = []
    for found in _CALL.finditer(text):
        depth, at, quoted = 1, found.end(), False
        while at < len(text) and depth:
            letter = text[at]
            if letter == '"':
                quoted = not quoted
            elif not quoted:
                depth += (letter == "(") - (letter == ")")
            at += 1
        inside = text[found.end():at - 1].strip() if not depth else ""
        out.append((found[1], tuple([part.strip() for part in split_list(inside)]) if inside else ()))
    return out
