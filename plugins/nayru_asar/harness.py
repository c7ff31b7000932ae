"""A candidate text in a small program of its own, so that Asar can judge it in a millisecond, not in a project's time.

What the candidate needs is put before it: settings of the project, the defines, macros, functions and structs that it
names (as far as the project's text is simple about them), and a stand-in for each label that it mentions. Labels that
the project assigns stand at their value, all others near the candidate. Nothing that rests on a guess may count
against the candidate: a line that needs something unknown is *unsure*, and what Asar says about it is not used.
"""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass
from typing import Any

from nayru_asar.judge import Absent, Asar
from nayru_asar.needs import NAME, NEAR, WORDS, Needs
from nayru_asar.problems import NOT_FOUND, Said, said, span_in
from nayru_asar.settings import Setting, origin_of, setting_of
from nayru_asar.sources import unsent
from nayru_lsp.asm.isa import modes_for
from nayru_lsp.asm.lexer import ends_open, scan
from nayru_lsp.asm.parser import parse_text
from nayru_lsp.asm.symbols import Scope
from nayru_lsp.asm.syntax import (
    Assignment,
    Define,
    Directive,
    Instruction,
    Label,
    LabelKind,
    Line,
    MacroCall,
    OperandShape,
)
from nayru_lsp.asm.text import SourceText
from nayru_lsp.hookspecs import ParsedFile, Project, Reason, Root, Snapshot, Span, Verdict

MAIN = "/candidate.asm"
MOST_LINES = 400            # of a candidate

# What these do cannot be judged apart from the project: files, free space, places, other processors' blocks.
UNSURE = frozenset("""
    incsrc incbin table include includefrom includeonce asar assert error warn warnpc pad check spcblock endspcblock
    freespace freecode freedata segment freespace_settings prot autoclean base rep startpos reset print header fastrom
    pushtable pulltable cleartable global skip fill bank dpbase optimize math
""".split())
OPENERS = {"if": "endif", "while": "endwhile", "for": "endfor", "struct": "endstruct", "pushpc": "pullpc",
           "pushbase": "pullbase", "pushns": "pullns"}
CLOSERS = {closer: opener for opener, closer in OPENERS.items()}
HOPELESS = frozenset({"macro", "endmacro", "else", "elseif", "arch", "while", "for", "endwhile", "endfor"})
# Said about the harness, not about the text.
IGNORED = NOT_FOUND | {"Elabel_missing_parent", "Elabel_moving", "Elabel_on_third_pass", "Elabel_redefined",
                       "Ebank_border_crossed", "Elabel_in_conditional", "Ebroken_label_definition",
                       "Efile_not_found", "Efailed_to_open_file", "Elabel_cross_assignment", "Elabel_forward",
                       "Efunction_redefined", "Emacro_redefined", "Estruct_redefined", "Edefine_label_math"}
_MARKS = re.compile(r"(?<![\w)\].$%+-])(\++|-+)(?=\s*(?:[),]|$))", re.ASCII)
@dataclass(slots=True)
class Row:
    """One logical line of the candidate. ``start`` is its offset in the full text, ``first`` its first harness line.
    ``sent`` is what Asar gets for it."""

    line: Line
    start: int
    first: int = 0
    sent: str = ""
    unsure: bool = False


@dataclass(slots=True)
class Harness:
    """``text`` is the program; ``shift`` code points of the file precede the candidate in the full text."""

    text: str
    rows: list[Row]
    first: int
    shift: int
    length: int
    defined: frozenset[str]
    guessed: set[str]
    other_processor: bool
    sizes: bool = True


def build(project: Project, file: ParsedFile, span: Span, text: str) -> Harness | None:
    """The harness for ``text`` in place of ``span``; None where nothing can be judged (inside a macro or a struct,
    half a conditional, far too long)."""
    scope = file.scope_at(span.start)
    if scope.macro or scope.struct or not re.fullmatch(r"\w*|spc700-\w+", scope.arch):
        return None
    start, _ = file.line_at(span.start)
    start = min(start, span.start)
    prefix = file.text.slice(start, span.start)
    suffix = file.text.slice(span.end, file.text.line_end(file.text.line_of(span.end)))
    full = prefix + text + suffix
    if full.count("\n") > MOST_LINES:
        return None
    parsed = parse_text(MAIN, SourceText.of(full), file.dialect)
    rows = [Row(line, at, sent=line.raw) for at, line in parsed.lines()]
    if rows and ends_open(rows[-1].line.raw):       # it goes on below the candidate
        rows[-1].unsure = True
    setting = setting_of(project, file)
    origin, known_bank = origin_of(project, file, span.start, setting.mapper)
    own_place = False
    for row in rows:            # an `org` of its own says where the rest stands
        for statement in row.line.statements:
            if isinstance(statement, Directive) and statement.name == "org":
                place = row.line.raw[statement.text_start:statement.text_end].strip()
                literal = re.fullmatch(r"\$([0-9A-Fa-f]{5,6})", place)
                row.unsure |= literal is None or not setting.mapper
                own_place = True
                if literal is not None:
                    origin, known_bank = int(literal[1], 16) & 0xFF0000 | 0x8000, True
    if not _closed(rows):
        return None
    needs = Needs(project, file, span.start, origin, known_bank)
    mine = _defined_by(rows, scope.main)
    for name in mine:
        needs.sure[name] = True
        needs.labels.add(name)
    needs.labels.add(scope.main)
    for row in rows:
        _meet(row, needs, mine, setting.doubtful)
    return _put_together(rows, needs, setting, own_place, scope, mine,
                         Harness("", rows, 0, len(prefix), len(text), frozenset(mine), needs.guessed,
                                 scope.arch not in ("65816", "")))


def _defined_by(rows: list[Row], main: str) -> set[str]:
    """What the candidate itself defines: "label", ".sub", "label_sub", "!define", "function()", "struct name"."""
    mine: set[str] = set()
    for row in rows:
        for statement in row.line.statements:
            match statement:
                case Label():
                    mine.add(statement.name)
                    if statement.kind is LabelKind.MAIN:
                        main = statement.name
                    elif statement.kind is LabelKind.SUB:
                        mine.add(f"{main}_{statement.name.lstrip('.')}")
                case Assignment():
                    mine.add(statement.name)
                case Define() if statement.operator != "+=":
                    mine.add("!" + statement.name)
                case Directive(name="function"):
                    words = row.line.raw[statement.text_start:statement.text_end].partition("(")[0].split()
                    mine.update(f"{word}()" for word in words)
                case Directive(name="struct"):
                    words = row.line.raw[statement.text_start:statement.text_end].split()
                    mine.update(f"struct {word}" for word in words[:1])
    return mine


def _closed(rows: list[Row]) -> bool:
    """Make openers and closers balance: a closer whose opener lies above is left out, a missing closer is added.
    False where that cannot be done without knowing more."""
    stack: list[str] = []
    for row in rows:
        for statement in row.line.statements:
            if not isinstance(statement, Directive):
                continue
            name = statement.name
            if name in HOPELESS and not (name in ("else", "elseif") and stack[-1:] == ["if"]):
                return False
            if name == "if" and statement is not row.line.statements[-1]:
                return False        # the one-line form of 1.91 needs no endif
            if name in OPENERS:
                stack.append(name)
            elif name in CLOSERS:
                if stack and stack[-1] == CLOSERS[name]:
                    stack.pop()
                elif stack or len(row.line.statements) > 1:
                    return False
                else:
                    row.sent = ""
    if stack and rows:
        last = rows[-1]
        joint = "" if last.sent.endswith(("\n", "\r")) else "\n"
        last.sent += joint + "\n".join(OPENERS[name] for name in reversed(stack)) + "\n"
    return True


def _meet(row: Row, needs: Needs, mine: set[str], doubtful: bool) -> None:
    """Find what a line needs; a line that cannot be judged is left out but for its label."""
    code = scan(row.line.raw).code
    row.unsure |= not needs.text(code)
    gone = False
    for statement in row.line.statements:
        if isinstance(statement, Directive):
            if statement.name in UNSURE:
                row.unsure = gone = True
            if statement.name in ("if", "elseif") and row.unsure:
                gone = True
        elif isinstance(statement, MacroCall):
            row.unsure |= not needs.macro(statement.name)
    if doubtful and any(isinstance(s, Instruction) and not s.suffix for s in row.line.statements):
        # Widths of labels may differ from the real ones; what is written as a number is as it is.
        row.unsure |= any(name[1] in needs.labels for name in NAME.finditer(code))
    conditional = any(isinstance(s, Directive) and s.name in ("if", "elseif", "else", "endif")
                      for s in row.line.statements)
    if (gone or (row.unsure and not conditional)) and row.sent:
        head = row.line.statements[0]
        kept = row.line.raw[:head.end] if isinstance(head, Label) and head.kind is LabelKind.MAIN else ""
        extra = row.sent[len(row.line.raw):]        # closers that were added
        row.sent = kept + "\n" * row.line.rows + extra


def _put_together(rows: list[Row], needs: Needs, setting: Setting, own_place: bool, scope: Scope,
                  mine: set[str], harness: Harness) -> Harness | None:
    origin, head = needs.origin, setting.lines
    for row in rows:
        if row.unsure and any(isinstance(s, Directive) and s.name in ("if", "elseif") for s in row.line.statements):
            return None
    code = "\n".join(scan(row.line.raw).code for row in rows)
    subs = {match[1] for match in NAME.finditer(code) if match[1].startswith(".")} - mine
    marks = {match[1] for line in code.split("\n") for match in _MARKS.finditer(line)}
    lines = [*head, f"org ${origin:06X}"]
    if not own_place and scope.arch in ("65816", "") and setting.mapper in ("", "lorom", "hirom", "exlorom", "exhirom"):
        # The same addresses near the start of the image: Asar fills an image up to where it writes, some 7 ms for 4 MB.
        lines[-1:] = ["org $808000", f"base ${origin:06X}"]
    if scope.arch not in ("65816", ""):
        lines.append(f"arch {scope.arch}")
    lines += "\n".join(needs.before).replace(NEAR, f"${origin + min(2 * len(rows), 0x60):06X}").split("\n")
    lines += "\n".join(needs.macros).split("\n") if needs.macros else []
    if scope.namespace:
        lines.append(f"namespace {scope.namespace}")
    main = scope.main or "Nayru_above"
    if main not in mine:
        lines.append(f"{main}:")
    for depth, parent in enumerate(scope.parents):
        dotted = "." * (depth + 1) + parent
        if main in mine or (dotted in mine and depth + 1 == len(scope.parents)):
            break
        lines.append(f"{dotted}:")
        subs.discard(dotted)
    level = len(scope.parents)
    lines += [f"{name}:" for name in sorted(subs) if len(name) - len(name.lstrip(".")) <= max(1, level)
              and main not in mine and not (level > 1 and name.count(".") < level)]
    lines += sorted(mark for mark in marks if mark.startswith("-"))
    harness.first = len(lines)
    at = harness.first
    for row in rows:
        row.first = at
        at += row.line.rows
    sent = "".join(row.sent if row.sent.endswith(("\n", "\r")) or row is rows[-1] else row.sent + "\n" for row in rows)
    body = sent.replace("\r\n", "\n").replace("\r", "\n")
    tail = sorted(mark for mark in marks if mark.startswith("+"))
    harness.text = "\n".join([*lines, body, *tail, ""])
    harness.sizes = not any(row.unsure for row in rows)
    return harness


def judged(harness: Harness, answer: dict[str, Any], judge: str) -> Verdict | None:
    """Asar's answer about a harness as a Verdict about the candidate; None when nothing certain was said and some
    line could not be judged."""
    reasons: list[Reason] = []
    bad_from = harness.length
    in_macro = False
    for one in said(answer):
        if one.warning:
            continue
        if one.line < harness.first:
            in_macro |= one.line >= 0
            continue
        row = _row_of(harness, one)
        if row is None or row.unsure or _excused(one, row, harness):
            continue
        span = span_in(one, row.line.raw)
        start = min(max(0, row.start + span.start - harness.shift), harness.length)
        end = min(max(start, row.start + span.end - harness.shift), harness.length)
        reason = Reason(one.name, one.text, Span(start, end))
        if reason not in reasons:
            reasons.append(reason)
        bad_from = min(bad_from, max(0, row.start - harness.shift))
    unsure = any(row.unsure for row in harness.rows) or (
        in_macro and any(isinstance(s, MacroCall) for row in harness.rows for s in row.line.statements))
    if not reasons and unsure:
        return None
    size = sum(count for _, _, count in answer["blocks"]) if answer["ok"] and harness.sizes and not unsure else None
    reasons.sort(key=lambda reason: reason.span)
    return Verdict(not reasons, harness.length if not reasons else bad_from, (judge,), tuple(reasons), size=size)


def _row_of(harness: Harness, one: Said) -> Row | None:
    for row in harness.rows:
        if row.first <= one.line < row.first + max(1, row.line.rows):
            return row
    return None


def _excused(one: Said, row: Row, harness: Harness) -> bool:
    """True for what Asar says because of a stand-in."""
    if one.name == "Elabel_redefined":
        names = [s.name for other in harness.rows for s in other.line.statements if isinstance(s, Label | Assignment)]
        return not any(mark in one.text for mark in ("'" + name + "'" for name in names if names.count(name) > 1))
    if one.name in IGNORED:
        return True
    if one.name == "Erelative_branch_out_of_bounds":
        targets = [match[1] for match in NAME.finditer(one.block) if match[1].lower() not in WORDS]
        return not targets or any(target not in harness.defined for target in targets)
    if any(isinstance(s, MacroCall) for s in row.line.statements):
        return one.name != "Emacro_wrong_num_params"
    mentioned = {match[1] for match in NAME.finditer(one.block)}
    if any(name in harness.guessed or (name.startswith(".") and name not in harness.defined) for name in mentioned):
        # With the label where it really is, the operand may have another width: is there a width that is legal?
        return one.name != "Eunknown_command" or any(
            isinstance(s, Instruction) and not s.suffix and s.operand is not None
            and (s.operand.shape is OperandShape.OPAQUE or bool(modes_for(s.mnemonic, s.operand.shape)))
            for s in row.line.statements) or harness.other_processor
    return False


async def verify(asar: Asar, snapshot: Snapshot, file: ParsedFile, span: Span, text: str,
                 deadline: float) -> Verdict | None:
    """Judge ``text`` in place of ``span`` within ``deadline`` seconds; None when that cannot be judged. Raises Absent,
    WorkerTimeout, WorkerDied."""
    return await verify_text(asar, snapshot.project, file, span, text, deadline)


async def verify_text(asar: Asar, project: Project, file: ParsedFile, span: Span, text: str,
                      deadline: float) -> Verdict | None:
    if asar.absence:
        raise Absent(asar.absence)
    # In a thread: the first look at a large project takes a while, and is kept.
    harness = await asyncio.to_thread(build, project, file, span, text)
    if harness is None:
        return None
    if not await asar.speaks(file.dialect, "candidates", deadline):
        return None
    if not asar.fenced and unsent(MAIN, harness.text, (), Root(MAIN)) is not None:
        return None
    files = {MAIN: harness.text.encode("utf-8", "replace")}
    answer = await asar.ask("candidates", {"path": MAIN, "files": files}, deadline)
    return judged(harness, answer, asar.name)
