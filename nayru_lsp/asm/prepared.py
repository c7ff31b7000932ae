"""A file as Asar reads it, before any meaning: one text per physical line, comments gone, joins done, spaces folded.

Promises: one entry per line that ends with LF (Asar knows no other line end), so an index is Asar's line number from 0;
a line that was joined to the one before is empty. Strings keep their spaces. Total and linear.
"""

from __future__ import annotations

import re

from nayru_lsp.asm.syntax import Dialect

_QUOTED = re.compile(r'''"[^"\n]*"|\'(?:\'\'|[^'\n])\'|["']''')
_COMMENT = re.compile(r'''(?:[^;"']++|"[^"]*+"|'(?:''|[^'])'|["'])*+''')
_QUOTE = re.compile(r"[\"']")
_SPACES = re.compile(r"[ \t\r\f\v]+")
_AFTER_COMMA = re.compile(r",[ \t]+")


def folded(text: str) -> str:
    """Runs of blanks become one space and those behind a comma none, outside strings; both ends are trimmed."""
    if '"' not in text and "'" not in text:
        if "\t" in text or "  " in text or "\r" in text:
            text = " ".join(text.split())
        else:
            text = text.strip()
        return text.replace(", ", ",") if ", " in text else text
    out: list[str] = []
    at = 0
    for match in _QUOTED.finditer(text):
        out.append(_AFTER_COMMA.sub(",", _SPACES.sub(" ", text[at:match.start()])))
        out.append(match.group())
        at = match.end()
    out.append(_AFTER_COMMA.sub(",", _SPACES.sub(" ", text[at:])))
    whole = "".join(out)
    return whole.strip(" ")


def closed_quotes(text: str) -> bool:
    """Does every quote end? A ``'`` encloses one character."""
    if '"' not in text and "'" not in text:
        return True
    at = 0
    while True:
        match = _QUOTE.search(text, at)
        if match is None:
            return True
        if match.group() == '"':
            at = text.find('"', match.end()) + 1
            if not at:
                return False
        else:
            at = match.end() + 2
            if text[at - 1:at] != "'":
                return False


def faults_2(text: str) -> list[tuple[int, str, str]]:
    """What Asar 2.0 finds in a file before it goes through it: row, its error, a message."""
    lines = _physical_lines(text)
    out: list[tuple[int, str, str]] = []
    if ";[[" in text:
        lines, opened = _without_block_comments(lines)
        if opened >= 0:
            out.append((opened, "unclosed_block_comment", "this comment is never closed: add `]]`"))
    for row, line in enumerate(lines):
        if ('"' in line or "'" in line) and not closed_quotes(without_comment(line)):
            out.append((row, "mismatched_quotes", 'this quote is not closed: add `"`'))
    return out


def without_comment(line: str) -> str:
    """The line up to its first ``;`` outside quotes. An unclosed quote hides every ``;`` behind it."""
    if ";" not in line:
        return line
    if '"' not in line and "'" not in line:
        return line[:line.index(";")]
    match = _COMMENT.match(line)
    assert match is not None
    return line[:match.end()]


def _with_special(line: str) -> str:
    """1.91: ``;@`` begins no comment but a command, which other assemblers are not to see."""
    at = 0
    while True:
        code = without_comment(line)
        if not line.startswith(";@", len(code)) or len(code) < at:
            return code
        at = len(code) + 1
        line = code + " " + line[at:]


def prepared_lines(text: str, dialect: Dialect = Dialect.ASAR_1) -> list[str]:
    """``text`` as Asar would go through it. A NUL ends the text, as it does for Asar."""
    lines = _physical_lines(text)
    modern = dialect is Dialect.ASAR_2
    if modern and ";[[" in text:
        lines, _ = _without_block_comments(lines)
    out: list[str] = []
    add = out.append
    comma = False       # the last line that held anything ended in a comma: this one belongs to it
    slash = False
    first = 0
    for line in lines:
        if ";" in line:
            line = without_comment(line) if modern or ";@" not in line else _with_special(line)
        if '"' in line or "'" in line:
            line = "" if modern and not closed_quotes(line) else folded(line)
        else:
            line = " ".join(line.split())
            if ", " in line:
                line = line.replace(", ", ",")
        if comma or slash:
            add("")
            if slash or line:
                joined = out[first] + line
                comma = joined.endswith(",")
                slash = joined.endswith("\\") and not joined.endswith("\\\\")
                out[first] = joined[:-1] if slash else joined
            continue
        if line and line[-1] in ",\\":
            first = len(out)
            comma = line[-1] == ","
            slash = not comma
            if slash:
                line = line[:-1]
        add(line)
    return out


def _physical_lines(text: str) -> list[str]:
    at = text.find("\0")
    return (text if at < 0 else text[:at]).removeprefix("\ufeff").split("\n")


def _without_block_comments(lines: list[str]) -> tuple[list[str], int]:
    """2.0: what stands behind a ``]]`` is glued to the line where the comment began. Gives also the row where one began
    that never ends, or -1."""
    out: list[str] = []
    opened = -1
    for line in lines:
        if opened >= 0:
            end = line.find("]]")
            out.append("")
            if end < 0:
                continue
            line = out[opened] + line[end + 2:]
            row = opened
        else:
            row = len(out)
            out.append(line)
        opened = -1
        while True:
            code = without_comment(line)
            rest = line[len(code):]
            if not rest.startswith(";[["):
                break
            end = rest.find("]]")
            if end < 0:
                line, opened = code, row
                break
            line = code + rest[end + 2:]
        out[row] = line
    return out, opened
