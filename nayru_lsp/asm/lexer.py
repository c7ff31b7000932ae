"""Logical lines, comments, strings, separators: the first reading of the text, before any grammar.

A *logical line* is one physical line, or several where a line ends in ``,`` or ``\\`` (comments, spaces and tabs not
counted), or where a 2.0 block comment ``;[[ ]]`` spans lines. As in Asar, a comma swallows blank lines, a form feed is
text, and a ``\\`` joins nothing behind lines that commas or a block comment joined: for Asar the line below is empty
then. Everything here is linear in the text and total.
"""

from __future__ import annotations

import re
from itertools import accumulate
from typing import NamedTuple

from nayru_lsp.asm.syntax import Dialect
from nayru_lsp.asm.text import split_lines

# Code of one physical line: up to `;` outside quotes. "..." has no escapes; 'x' is exactly one code point.
_CODE = re.compile(r"""(?:[^;"'\r\n]++|"[^"\r\n]*+"|'[^\r\n]'|')*+""")
_STRING = re.compile(r'''"[^"\r\n]*+"|'[^\r\n]\'''')
_JOINS = re.compile(r"[,\\][ \t]*(?:;[^\r\n]*)?(?:[\r\n]|$)")
_ENDS = " \t\r\n"
BLANK = " \t"           # all that Asar takes for white space inside a line
_SEPARATOR = re.compile(r"(?<![^ \t\r\n]):(?![^ \t\r\n])")

# What may stand for anything: !define, !{define}, <macro argument>. `\!` is an escaped mark.
EXPANDABLE = re.compile(
    r"(?<!\\)!\^*(?:\w+|\{)|(?:(?<!<)|(?<=<<))<(?:\^*[A-Za-z_]\w*|\.\.\.(?:\[[^<>\r\n]*\])?|\d+)>(?!>)", re.ASCII)
DEFINE_USE = re.compile(r"(?<!\\)!\^*(?:(\w+)|\{\^*(\w+)\})", re.ASCII)

_NUMBER = r"(?:\$[0-9A-Fa-f]++|%[01]++|[0-9]++)"
DATA_ROW = re.compile(
    rf"[ \t]*+[dD][bBwWlLdD][ \t]++{_NUMBER}(?:[ \t]*+,[ \t]*+{_NUMBER})*+[ \t]*+(?=[;\r\n]|\Z)")


class Code(NamedTuple):
    """A logical line without its comments: ``code`` has the length of the raw line, with comments, line ends and
    joins turned into spaces; in ``masked`` the insides of strings are masked as well (``"\\0\\0"``).

    ``comment`` is the span of the last comment without its line end. ``defect`` is (start, end, message)."""

    code: str
    masked: str
    comment: tuple[int, int] | None
    rows: int
    torn: bool                              # a `\\` join glues two words: positions inside cannot be kept apart
    defect: tuple[int, int, str] | None


def code_end(line: str) -> int:
    """Where the code of a physical line ends: at its comment, or at its line end."""
    at = line.find(";")
    if at < 0:
        return len(line.rstrip("\r\n"))
    if '"' not in line and "'" not in line:
        return at
    match = _CODE.match(line)
    assert match is not None
    end = match.end()
    if end < len(line) and line[end] == '"':        # an unclosed quote swallows the rest of the line
        return len(line.rstrip("\r\n"))
    return end


def joins_next(line: str) -> bool:
    """Does this physical line continue on the next one?"""
    code = line[:code_end(line)].rstrip(BLANK)
    return code[-1:] in (",", "\\")


def ends_open(text: str) -> bool:
    """Does the last logical line of this run of whole lines continue behind it?"""
    end = len(text)
    last = True
    while end > 0:
        if text[end - 1] == "\n" and text[end - 2:end - 1] == "\r":
            end -= 1
        start = max(text.rfind("\n", 0, end - 1), text.rfind("\r", 0, end - 1)) + 1
        line = text[start:end]
        code = line[:code_end(line)].rstrip(BLANK)
        if code:
            return code[-1] == "," or (code[-1] == "\\" and last)    # only a comma swallows blank lines
        end = start
        last = False
    return False


def block_comment_open(text: str, inside: bool) -> bool:
    """Dialect 2.0: is a ``;[[`` comment open at the end of ``text``? ``inside``: one was open at its start."""
    at = 0
    while True:
        if inside:
            at = text.find("]]", at)
            if at < 0:
                return True
            at, inside = at + 2, False
        at = text.find(";", at)
        if at < 0:
            return False
        start = max(text.rfind("\n", 0, at), text.rfind("\r", 0, at)) + 1
        stop = _line_end(text, at)
        line = text[start:stop]
        semicolon = code_end(line) + start
        if semicolon > at:                      # that `;` stands in a string
            at += 1
            continue
        if text.startswith(";[[", at):
            at, inside = at + 3, True
        else:
            at = stop


def _line_end(text: str, at: int) -> int:
    ends = [end for end in (text.find("\n", at), text.find("\r", at)) if end >= 0]
    return min(ends) if ends else len(text)


def logical_lines(text: str, dialect: Dialect = Dialect.ASAR_1) -> list[str]:
    """The logical lines of ``text``; joining them gives ``text``."""
    lines = split_lines(text)
    block_comments = dialect is Dialect.ASAR_2 and ";[[" in text
    if not block_comments and not _JOINS.search(text):
        return lines
    out: list[str] = []
    row = 0
    while row < len(lines):
        end = logical_end(lines, row, dialect)
        out.append(lines[row] if end == row + 1 else "".join(lines[row:end]))
        row = end
    return out


def logical_end(lines: list[str], row: int, dialect: Dialect) -> int:
    """The row behind the logical line that begins at physical line ``row``."""
    while row < len(lines):
        begun = row
        code, row = _row(lines, row, dialect)
        while code[-1:] == "," and row < len(lines):
            more, row = _row(lines, row, dialect)
            code = more or code
        if code[-1:] != "\\" or row > begun + 1 or (code == "\\" and dialect is Dialect.ASAR_1):
            return row
    return row


def _row(lines: list[str], row: int, dialect: Dialect) -> tuple[str, int]:
    """(code of a physical line, the row behind it); with the lines that a block comment in it spans."""
    line = lines[row]
    if dialect is Dialect.ASAR_2 and ";[[" in line:
        line, inside, _ = _blank_block_comments(line, False)
        while inside and row + 1 < len(lines):
            row += 1
            more, inside, _ = _blank_block_comments(lines[row], True)
            line = line.rstrip("\r\n") + more
    return line[:code_end(line)].strip(BLANK), row + 1


def logical_starts(lines: list[str]) -> list[int]:
    return list(accumulate(map(len, lines), initial=0))


def scan(raw: str, dialect: Dialect = Dialect.ASAR_1) -> Code:
    """Take comments off a logical line and mask its strings."""
    body = raw.rstrip("\r\n")
    if "\n" in body or "\r" in body or (dialect is Dialect.ASAR_2 and ";[[" in raw):
        return _scan_joined(raw, dialect)
    end = code_end(raw)
    comment = (end, len(body)) if end < len(body) else None
    code = _without_join(raw[:end], dialect)
    masked, defect = _mask(code)
    return Code(code, masked, comment, 1, False, defect)


def _without_join(code: str, dialect: Dialect) -> str:
    """Asar takes a ``\\`` off the end of a line also where there is nothing to join."""
    if "\\" in code and code.rstrip(BLANK)[-1] == "\\" and (dialect is Dialect.ASAR_2 or code.strip(BLANK) != "\\"):
        return code.rstrip(BLANK)[:-1].ljust(len(code))
    return code


def _scan_joined(raw: str, dialect: Dialect) -> Code:
    parts: list[str] = []
    comment: tuple[int, int] | None = None
    defect: tuple[int, int, str] | None = None
    position = 0
    torn = inside = False
    lines = split_lines(raw)
    for row, line in enumerate(lines):
        text = line
        if dialect is Dialect.ASAR_2 and (inside or ";[[" in text):
            text, inside, found = _blank_block_comments(text, inside)
            if found is not None:
                comment = (position + found[0], position + found[1])
        end = code_end(text)
        stop = len(line.rstrip("\r\n"))
        if end < stop:
            comment = (position + end, position + stop)
        code = text[:end]
        if defect is None and '"' in code:
            _, found_defect = _mask(code)
            if found_defect:
                defect = (position + found_defect[0], position + found_defect[1], found_defect[2])
        trimmed = code.rstrip(BLANK)
        if row == len(lines) - 1:
            code = _without_join(code, dialect)
        elif trimmed.endswith("\\"):
            following = lines[row + 1][:1]
            if trimmed[-2:-1] not in ("", *" \t,(") and following not in ("", *" \t\r\n,)"):
                torn = True
            code = trimmed[:-1] + " " * (len(code) - len(trimmed) + 1)
        parts.append(code + " " * (len(line) - len(code)))
        position += len(line)
    whole = "".join(parts)
    masked = _STRING.sub(_hide, whole) if '"' in whole or "'" in whole else whole
    return Code(whole, masked, comment, len(lines), torn, defect)


def _blank_block_comments(line: str, inside: bool) -> tuple[str, bool, tuple[int, int] | None]:
    found: tuple[int, int] | None = None
    out = ""
    rest = line
    while rest:
        if inside:
            at = rest.find("]]")
            stop = at + 2 if at >= 0 else len(rest.rstrip("\r\n"))
            found = (len(out), len(out) + stop)
            out += " " * stop
            inside = at < 0
            rest = rest[stop:]
            if inside:
                return out + rest, True, found
        end = code_end(rest)
        if rest.startswith(";[[", end):
            out += rest[:end] + "   "
            rest = rest[end + 3:]
            inside = True
        else:
            return out + rest, False, found
    return out, inside, found


def _hide(match: re.Match[str]) -> str:
    text = match.group()
    return text[0] + "\0" * (len(text) - 2) + text[-1]


def _mask(code: str) -> tuple[str, tuple[int, int, str] | None]:
    if '"' not in code and "'" not in code:
        return code, None
    masked = _STRING.sub(_hide, code)
    if masked.count('"') % 2:
        start = masked.rfind('"')
        # A define may bring the other quote.
        if EXPANDABLE.search(code) is None:
            stripped = code.rstrip()
            return masked, (start, max(len(stripped), start + 1), 'this quote is not closed: add `"`')
    return masked, None


def segments(masked: str) -> list[tuple[int, int]]:
    """Spans of the blocks between `` : `` separators, trimmed; empty ones are left out."""
    if " :" not in masked and "\t:" not in masked and not masked.startswith(":"):
        spans = [(0, len(masked))]
    else:
        spans, start = [], 0
        for match in _SEPARATOR.finditer(masked):
            spans.append((start, match.start()))
            start = match.end()
        spans.append((start, len(masked)))
    out = []
    for start, end in spans:
        text = masked[start:end]
        inner = text.lstrip(_ENDS)
        if inner:
            start += len(text) - len(inner)
            out.append((start, start + len(inner.rstrip(_ENDS))))
    return out
