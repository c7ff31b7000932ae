"""What Asar said about a root -> Problems: lines found again, columns guessed well, cascades folded.

Asar reports (file, line, block): the line counts LF only, the block is the text after expansion, there is no column.
It reports in the order of its passes, some things twice, and much that only follows from an earlier error.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from nayru_asar.sources import WRAPPER, is_source
from nayru_lsp.asm.isa import MNEMONICS
from nayru_lsp.asm.lexer import EXPANDABLE
from nayru_lsp.asm.parser import parse_text
from nayru_lsp.asm.syntax import Assignment, Directive, Label, Line
from nayru_lsp.asm.text import SourceText
from nayru_lsp.hookspecs import ParsedFile, Problem, Project, Related, Root, Severity, Span

MOST_PROBLEMS = 500         # of one root
MOST_OF_A_KIND = 100        # warnings with one code
MOST_RELATED = 8

# What may be wrong only because the ROM that the patch is for is not here.
IMAGE_ERRORS = frozenset("""
    Eno_freespace Eno_freespace_in_mapped_banks Efreespace_limit_reached Erom_too_short Erom_title_incorrect
    Estatic_freespace_growing Estatic_freespace_autoclean Wfreespace_leaked
""".split())
# What a condition that reads the ROM may decide wrongly then.
IMAGE_JUDGED = frozenset({"Eassertion_failed", "Eerror_command", "Wwarn_command", "Wwarnpc_failed", "Ewarnpc_failed"})
ADVICE = frozenset({"Wfeature_deprecated", "Woptimization_settings", "Wimplicitly_sized_immediate"})
# These speak of Asar's own confusion, not of the text.
CONSEQUENCES = frozenset({"Elabel_on_third_pass", "Elabel_moving"})
# Once the PC is astray, every following line says so.
PLACES = frozenset({"Emissing_org", "Esnes_address_doesnt_map_to_rom", "Esnes_address_out_of_bounds"})
NOT_FOUND = frozenset({"Elabel_not_found", "Edefine_not_found", "Emacro_not_found", "Efunction_not_found",
                       "Estruct_not_found"})
MISPLACED = frozenset({"Emisplaced_endif", "Emisplaced_else", "Emisplaced_elseif", "Eelse_in_while_loop",
                       "Eelseif_in_while", "Eunclosed_if"})
CONDITIONAL = re.compile(r"(?i)(?:^|\s)(?:if|elseif|while|for)\s")
READS_IMAGE = re.compile(r"\b_?(?:can)?read[1-4]?\s*\(")
USES_FREESPACE = re.compile(rb"(?i)\b(?:free(?:space|code|data)|autoclean|segment)\b")

# Errors of 1.91 on a macro's own line, and those found before anything is expanded: their line is right.
NOT_SHIFTED = frozenset("""
    Emismatched_quotes Eunclosed_macro Ebroken_macro_declaration Einvalid_macro_name Emacro_redefined
    Einvalid_macro_param_name Emacro_param_redefined Enested_macro_definition Evararg_must_be_last
""".split())
LEADS = {"Edefine_not_found": r"!\^*\{?", "Emacro_not_found": "%", "Emacro_param_not_found": "<"}

_QUOTED = re.compile(r"'([^']*)'")
_RELATIVE = re.compile(r":(pos|neg)_(\d+)_\d+")
_BLOCK_SEPARATOR = re.compile(r"\s:\s")


@dataclass(frozen=True, slots=True)
class Said:
    """One error or warning of Asar. ``line`` counts from 0, -1 = none."""

    name: str
    text: str
    block: str
    path: str
    line: int
    callers: tuple[tuple[str, int, str], ...]
    warning: bool


class Texts:
    """The files of one run as parsed files, also those that the project does not know."""

    def __init__(self, project: Project, files: Mapping[str, bytes]) -> None:
        self._project = project
        self._files = files
        self._parsed: dict[str, ParsedFile] = {}
        self._starts: dict[str, list[int]] = {}

    def get(self, path: str) -> ParsedFile | None:
        found = self._project.files.get(path) or self._parsed.get(path)
        if found is None and path in self._files:
            text = self._files[path].decode("utf-8-sig", "replace")
            found = self._parsed[path] = parse_text(path, SourceText.of(text))
        return found

    def is_source(self, path: str) -> bool:
        return path in self._project.files or is_source(path)

    def start_of(self, file: ParsedFile, line: int) -> int:
        """Offset of the start of Asar's line ``line``, which ends at LF only; clamped to the text."""
        starts = self._starts.get(file.path)
        if starts is None:
            starts = self._starts[file.path] = [0]
            starts += [match.end() for match in re.finditer("\n", str(file.text))]
        return starts[min(max(line, 0), len(starts) - 1)]


def said(answer: Mapping[str, Any]) -> list[Said]:
    """All errors, then all warnings, in Asar's order."""
    out = []
    for kind in ("errors", "warnings"):
        for name, text, block, path, line, callers in answer[kind]:
            if callers and path != callers[-1][0] and "/" not in path:      # 2.0 names the file that is missing
                path, line, _ = callers[-1]
            out.append(Said(name, text, block, path, line, callers, kind == "warnings"))
    return out


def problems_of(answer: Mapping[str, Any], root: Root, texts: Texts, *, generation: int, image: bool,
                reads_image: bool) -> list[Problem]:
    """The Problems of one run over ``root``, sorted by file and place, each once. ``image``: a base image was there;
    ``reads_image``: the sources look into the image."""
    everything = said(answer)
    hidden = 0
    kept: list[tuple[Said, Problem, str]] = []
    for one in _folded(everything, texts):
        if not image and (one.name in IMAGE_ERRORS or (reads_image and one.name in IMAGE_JUDGED)
                          or (not one.warning and READS_IMAGE.search(one.block))):
            hidden += not one.warning
            continue
        problem = place(one, root, texts, generation)
        file = texts.get(problem.path)
        line = file.text.slice(*problem.span) if file is not None else ""
        if not image and not one.warning and READS_IMAGE.search(line):
            hidden += 1
            continue
        kept.append((one, problem, line))
    merged: dict[tuple[str, Span, str, str], Problem] = {}
    counts: dict[str, int] = {}
    for one, problem, _ in kept:
        key = (problem.path, problem.span, problem.code, problem.message)
        if key in merged:
            related = [*merged[key].related, *(r for r in problem.related if r not in merged[key].related)]
            merged[key] = replace(merged[key], related=tuple(related[:MOST_RELATED]))
            continue
        counts[problem.code] = counts.get(problem.code, 0) + 1
        if not one.warning or one.name in ADVICE or counts[problem.code] <= MOST_OF_A_KIND:
            merged[key] = problem
    found = sorted(_advice_once(merged.values()), key=lambda p: (p.path, p.span, p.code))
    found.sort(key=lambda p: p.severity is not Severity.ERROR)      # so that the cut takes warnings first
    found = sorted(found[:MOST_PROBLEMS], key=lambda p: (p.path, p.span, p.code))
    if not answer["ok"] and not hidden and not any(problem.severity is Severity.ERROR for problem in found):
        found.append(whole_root(root, texts, "Asar gave up on this root without saying why. Asar 1.91 does so for a "
                                "few faults, such as a sub label that is used before its main label."))
    return found


def _advice_once(problems: Iterable[Problem]) -> list[Problem]:
    """Hints about the next version, each once, at its first place, with the number of places."""
    out: list[Problem] = []
    same: dict[tuple[str, str], list[Problem]] = {}
    for problem in problems:
        if problem.code in ADVICE:
            same.setdefault((problem.code, re.sub(r"\d+", "0", problem.message)), []).append(problem)
        else:
            out.append(problem)
    for those in same.values():
        first = min(those, key=lambda p: (p.path, p.span))
        places = f" ({len(those)} places in this root)" if len(those) > 1 else ""
        out.append(replace(first, message=first.message + places))
    return out


def whole_root(root: Root, texts: Texts, message: str, severity: Severity = Severity.ERROR) -> Problem:
    """A problem of the run as a whole: it stands on the root's first line."""
    file = texts.get(root.path)
    end = file.text.line_end(0) if file is not None else 0
    return Problem(root.path, Span(0, end), "asar", severity, message, source="asar")


# --- folding ---------------------------------------------------------------------------------------------------------

def _folded(everything: list[Said], texts: Texts) -> Iterable[Said]:
    """Without what only follows from something else that is said."""
    errors = [one for one in everything if not one.warning]
    dropped_lines = {(one.path, one.line) for one in errors}
    unknown = {(one.path, one.line, one.block) for one in errors if one.name == "Eunknown_command"}
    missing_source = any(one.name.startswith(("Efile_not_found", "Efailed_to_open_file"))
                         and one.block.lower().lstrip().startswith("incsrc") for one in errors)
    broken_if: dict[str, int] = {}      # path -> the first line of a conditional that was dropped
    broken_macro: list[tuple[str, int, int]] = []
    lost_labels: set[str] = set()
    for path, number in dropped_lines:
        file = texts.get(path)
        if file is None or number < 0:
            continue
        start, line = file.line_at(texts.start_of(file, number))
        lost_labels |= {s.name.lstrip(".#?") for s in line.statements if isinstance(s, Label | Assignment)}
        if CONDITIONAL.search(line.raw.partition(";")[0]):
            broken_if[path] = min(number, broken_if.get(path, number))
        if any(isinstance(s, Directive) and s.name == "macro" for s in line.statements):
            broken_macro.append((path, number, number + _macro_rows(file, start)))
    out_of_place: set[tuple[str, str]] = set()
    serious = any(one.name not in CONSEQUENCES for one in errors)
    for one in everything:
        if one.warning:
            yield one
            continue
        if one.name in CONSEQUENCES and serious:
            continue
        if one.name in PLACES:
            if (one.path, one.name) in out_of_place:
                continue
            out_of_place.add((one.path, one.name))
        if one.name in MISPLACED and broken_if.get(one.path, one.line) < one.line:
            continue
        if any(path == one.path and first < one.line <= last for path, first, last in broken_macro):
            continue
        if one.name == "Elabel_not_found":
            quoted = _QUOTED.search(one.text)
            name = quoted[1] if quoted else ""
            if (one.path, one.line, one.block) in unknown or any(
                    name == lost or name.endswith("_" + lost) for lost in lost_labels if lost):
                continue
        if one.name in NOT_FOUND and missing_source:
            continue
        yield one


def _macro_rows(file: ParsedFile, start: int) -> int:
    """How many lines further the ``endmacro`` of the macro at ``start`` stands."""
    text = file.text.slice(start, start + 100_000)
    match = re.search(r"(?im)^\s*endmacro\b", text)
    return text.count("\n", 0, match.end()) if match else 0


# --- places ----------------------------------------------------------------------------------------------------------

def place(one: Said, root: Root, texts: Texts, generation: int) -> Problem:
    """The Problem of one thing said, with its columns."""
    severity = Severity.HINT if one.name in ADVICE else Severity.WARNING if one.warning else Severity.ERROR
    file = texts.get(one.path)
    if file is None or posixpath.basename(one.path) == WRAPPER:
        problem = whole_root(root, texts, _message(one), severity)
        return replace(problem, code=one.name)
    start, line, in_macro = _line_of(one, file, texts, generation)
    span = span_in(one, line.raw)
    related = []
    for path, number, what in one.callers if generation != 3 or in_macro else ():
        caller = texts.get(path)
        if caller is None or (path, number) == (one.path, one.line) or what.startswith("in block"):
            continue        # 2.0 lists includes as well: the file's own path says as much
        at, calling = caller.line_at(texts.start_of(caller, number))
        if generation == 3 and "%" not in calling.raw:
            continue        # 1.91 goes on naming the caller of an earlier error
        first, last = _stripped(calling.raw)
        related.append(Related(path, Span(at + first, at + last), what or "called from here"))
    return Problem(one.path, Span(start + span.start, start + span.end), one.name, severity, _message(one),
                   source="asar", related=tuple(related[-MOST_RELATED:]))


def _line_of(one: Said, file: ParsedFile, texts: Texts, generation: int) -> tuple[int, Line, bool]:
    """(absolute start, logical line, inside a macro's body). 1.91 counts lines of macro bodies one too small."""
    start, line = file.line_at(texts.start_of(file, one.line) if one.line >= 0 else file.text.length)
    if one.line < 0 and not line.raw.strip() and start:     # the end of the file: its last line with text
        tail = file.text.slice(file.text.length - 4096, file.text.length)
        start, line = file.line_at(file.text.length - len(tail) + max(0, len(tail.rstrip()) - 1))
    if generation != 3 or one.line < 0:
        return start, line, bool(file.scope_at(start).macro)
    after, next_line = file.line_at(texts.start_of(file, one.line + 1))
    if after <= start or not file.scope_at(after).macro or one.name in NOT_SHIFTED:
        return start, line, False
    if one.block and _find_block(one.block, line.raw) and not _find_block(one.block, next_line.raw):
        return start, line, bool(file.scope_at(start).macro)
    return after, next_line, True


def _find_block(block: str, raw: str) -> Span | None:
    """Where the words of ``block`` stand in ``raw``, spaces aside."""
    words = block.split()
    if not words:
        return None
    pattern = r"\s+".join(r",\s*".join(re.escape(part) for part in word.split(",")) for word in words)
    match = re.search(pattern, raw)
    return Span(*match.span()) if match else None


def span_in(one: Said, raw: str) -> Span:
    """The best guess at what of the line is meant: a quoted name in it, the block, the statement, the whole line."""
    first, last = _stripped(raw)
    area = _find_block(one.block, raw) if one.block else None
    if area is None and one.block:
        area = _by_first_word(one.block, raw, first, last)
    area = area or Span(first, last)
    quoted = _QUOTED.search(one.text)
    if (quoted and one.name in (*NOT_FOUND, "Emacro_param_not_found")) or (quoted and (
            one.name.startswith(("Efile_not_found", "Efailed_to_open")))):
        name = quoted[1].partition("(")[0] if one.name == "Efunction_not_found" else quoted[1]
        relative = _RELATIVE.fullmatch(name)
        if relative:
            name = ("+" if relative[1] == "pos" else "-") * int(relative[2])
        for text in dict.fromkeys((name, name.rpartition("_")[2])) if name else ():
            lead = LEADS.get(one.name, "")
            at = re.compile(rf"{lead}(?<!\w){re.escape(text)}(?!\w)" if not relative else
                            rf"(?<![+-]){re.escape(text)}(?![+-])").search(raw, area.start, area.end)
            if at:
                return Span(*at.span())
    return area


def _by_first_word(block: str, raw: str, first: int, last: int) -> Span | None:
    """The piece between ` : ` that may have become ``block``, where there is exactly one; else the one that has its
    first word; else, where the line has one piece, that."""
    pieces, at = [], first
    for match in [*_BLOCK_SEPARATOR.finditer(raw, first, last), None]:
        end = match.start() if match else last
        pieces.append(Span(at, end))
        at = match.end() if match else last
    words = block.split()
    word = words[0].lower() if words else ""
    whole = " ".join(words)
    same = [piece for piece in pieces if _could_be(raw[piece.start:piece.end], whole)] or [
        piece for piece in pieces if word in raw[piece.start:piece.end].lower().split()]
    found = same[0] if len(same) == 1 else pieces[0] if len(pieces) == 1 else None
    if found is None:
        return None
    inside = raw[found.start:found.end]
    lead = len(inside) - len(inside.lstrip())
    return Span(found.start + lead, found.start + len(inside.rstrip()))


def _could_be(piece: str, block: str) -> bool:
    """Whether ``piece`` may read ``block`` once its defines and macro arguments are replaced."""
    fixed = EXPANDABLE.sub("\0", " ".join(piece.split()))
    return "\0" in fixed and re.fullmatch(".*".join(map(re.escape, fixed.split("\0"))), block) is not None


def _stripped(raw: str) -> tuple[int, int]:
    """Start and end of the code of a logical line: no indent, no comment, no line end."""
    code, quoted = raw, False
    for index, letter in enumerate(raw):
        if letter == '"':
            quoted = not quoted
        elif letter == ";" and not quoted:
            code = raw[:index]
            break
    end = len(code.rstrip())
    start = len(code) - len(code.lstrip())
    if start >= end:        # nothing but a comment
        return 0, len(raw.rstrip("\r\n"))
    return start, end


def _message(one: Said) -> str:
    """Asar's sentence; its inner names for relative labels turned back into what was written."""
    def marks(match: re.Match[str]) -> str:
        return ("+" if match[1] == "pos" else "-") * int(match[2])

    text = _RELATIVE.sub(marks, one.text)
    if one.name == "Eunknown_command" and one.block[:3].upper() in MNEMONICS:
        return f"{text} Asar 1.9 says so of a wrong addressing mode or width, too."
    if one.name == "Efile_not_found":
        return f"{text} Nayru hands Asar the files of the workspace only."
    if one.name.startswith("Efailed_to_open"):
        return f"{text} It is not a readable file inside the workspace."
    return text
