"""Comment -> routine: ask, check, repair, choose, edit.

The comment block at the place is the wish. Providers are asked in turn; what a model answers is cut out of its prose,
judged in its place, and sent back with its errors for a few rounds; the best candidate is offered as an insertion below
the comment. What nothing good came of is said, with the reason.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from nayru_lsp.asm.parser import parse_line
from nayru_lsp.asm.project import ParsedFile
from nayru_lsp.asm.symbols import Symbol
from nayru_lsp.asm.syntax import Instruction, Label
from nayru_lsp.asm.text import Span
from nayru_lsp.assist import context
from nayru_lsp.assist.events import new_id
from nayru_lsp.assist.verify import verify
from nayru_lsp.config import UserConfig
from nayru_lsp.contract import Candidate, GenerationRequest, Offer, Provider, ProviderError, Verdict
from nayru_lsp.plugins import Plugins
from nayru_lsp.snapshot import Snapshot

VERIFY_DEADLINE = 2.0       # seconds for the plugins' verdict: nobody waits for a key here
CONTEXT_DEADLINE = 0.25
MAX_WISH = 2_000            # code points of comment that make a wish
MAX_LINES = 400             # of an answer

Progress = Callable[[str, float], None]

_FENCE = re.compile(r"^[ \t]*```[^\n]*\n(.*?)(?:^[ \t]*```|\Z)", re.MULTILINE | re.DOTALL)

_LIKE_CODE = re.compile(r"[ \t]+[A-Za-z]{3}(?:\.[bwlBWL])?(?:[ \t]+[^\s;]+)?[ \t]*(?:;.*)?$")


@dataclass(frozen=True, slots=True)
class Generation:
    """``offer`` is None when there is nothing to show; ``reason`` then says why. ``rounds``: how often a model was
    asked. ``instruction``: the wish as read from the comment."""

    offer: Offer | None
    reason: str
    rounds: int
    instruction: str = ""


async def generate(snapshot: Snapshot, path: str, span: Span, *, providers: Sequence[Provider],
                   plugins: Plugins | None, progress: Progress, config: UserConfig | None = None) -> Generation:
    """A routine for the comment in or right above ``span``. Cancellable at every await."""
    config = config or snapshot.config.user
    file = snapshot.project.files[path]
    wish = wish_at(file, span)
    if wish is None:
        return Generation(None, "there is no comment here: write what the routine is to do as a `;` comment", 0)
    instruction, place = wish
    fragments = await context.gathered(snapshot, file, place, plugins, CONTEXT_DEADLINE)
    notes: list[str] = []
    best: tuple[Candidate, Verdict, str] | None = None
    rounds = 0
    for provider in providers:
        attempts: list[tuple[Candidate, Verdict]] = []
        for turn in range(1 + max(0, config.generate.repair_rounds)):
            said = f"{provider.name}: " + ("asking" if not turn else f"repairing, round {turn}")
            progress(said, 0.1 + 0.25 * turn)
            request = GenerationRequest(snapshot, path, place, instruction, config.ollama.generate_timeout, fragments,
                                        tuple(attempts), _hearing(progress, said, 0.1 + 0.25 * turn))
            try:
                candidates = await provider.generate(request)
            except ProviderError as error:
                notes.append(str(error))
                break
            rounds += 1
            if not candidates:
                notes.append(f"{provider.name} knows nothing for this wish")
                break
            latest: tuple[Candidate, Verdict, str] | None = None
            for candidate in candidates:
                if candidate.maker.startswith("library:"):      # whole, with its contract
                    text = renamed(snapshot, file, laid_out(file, place, candidate.text))
                else:
                    text = laid_out(file, place, _without_echo(code_of(candidate.text), instruction))
                if not text.strip():
                    continue
                progress("checking", 0.2 + 0.25 * turn)
                verdict = await verify(snapshot, file, Span(place, place), text, plugins=plugins,
                                       deadline=VERIFY_DEADLINE)
                if latest is None or _rank(verdict, text) > _rank(latest[1], latest[2]):
                    latest = (candidate, verdict, text)
                if verdict.ok:
                    break
            if latest is None:
                notes.append(f"{provider.name} answered with no code")
                break
            if best is None or _rank(latest[1], latest[2]) > _rank(best[1], best[2]):
                best = latest
            if latest[1].ok or latest[0].maker.startswith("library:"):
                break
            attempts.append((replace(latest[0], text=latest[2]), latest[1]))     # as judged: spans fit this text
        if best is not None and best[1].ok:
            break
    progress("done", 1.0)
    return _outcome(file, place, instruction, best, notes, rounds)


def _hearing(progress: Progress, said: str, share: float) -> Callable[[str], None]:
    """Show the last whole line of an answer while it comes."""
    def heard(answer: str) -> None:
        lines = answer.split("\n")
        if len(lines) > 1:
            progress(f"{said}, line {len(lines) - 1}: {' '.join(lines[-2].split())[:60]}",
                     share + 0.2 * min(1.0, len(lines) / 40))
    return heard


def _outcome(file: ParsedFile, place: int, instruction: str, best: tuple[Candidate, Verdict, str] | None,
             notes: Sequence[str], rounds: int) -> Generation:
    told = "; ".join(dict.fromkeys(notes))
    if best is None:
        return Generation(None, told or "nobody was there to be asked", rounds, instruction)
    candidate, verdict, text = best
    if not verdict.ok:
        first = verdict.reasons[0].message if verdict.reasons else "its judges object"
        return Generation(None, f"{candidate.maker} wrote nothing that holds ({first})" + (f"; {told}" if told else ""),
                          rounds, instruction)
    offer = Offer(new_id(), "routine", file.path, Span(place, place), text, verdict, candidate)
    return Generation(offer, summary(offer) + (f"; {told}" if told else ""), rounds, instruction)


def summary(offer: Offer) -> str:
    """One sentence: who made it, who judged it, what it costs."""
    verdict = offer.verdict
    parts = [f"by {offer.candidate.maker}", "judged by " + " and ".join(verdict.judges)]
    if verdict.size is not None:
        parts.append(f"{verdict.size} bytes")
    if verdict.cycles is not None:
        low, high = verdict.cycles
        parts.append(f"{low} cycles in a straight line" if low == high else f"{low}-{high} cycles in a straight line")
    parts += [f"not judged by {one}" for one in verdict.absent]
    return ", ".join(parts)


def _rank(verdict: Verdict, text: str) -> tuple[bool, float, int]:
    return verdict.ok, verdict.good / max(1, len(text)), -len(verdict.reasons)


# --- the wish --------------------------------------------------------------------------------------------------------

def wish_at(file: ParsedFile, span: Span) -> tuple[str, int] | None:
    """(instruction, where the routine goes): the comment lines of the selection, else the comment block at the cursor
    or right above it. None without a comment."""
    text = file.text
    first, last = text.line_of(span.start), text.line_of(max(span.start, span.end))
    if last > first and text.line_start(last) == span.end:
        last -= 1
    chosen = [number for number in range(first, last + 1) if _comment(file, number) is not None]
    if not chosen:
        above = first - 1
        while above >= 0 and not text.line(above).strip():
            above -= 1
        if above < 0 or _comment(file, above) is None or first - above > 3:
            return None
        first = last = above
        chosen = [above]
    if first == last:       # a cursor: the whole block around it
        low = high = chosen[0]
        while low > 0 and _comment(file, low - 1) is not None:
            low -= 1
        while high + 1 < text.line_count and _comment(file, high + 1) is not None:
            high += 1
        chosen = list(range(low, high + 1))
    words = [_comment(file, number) or "" for number in chosen]
    instruction = "\n".join(line for line in words if any(c.isalnum() for c in line)).strip()[:MAX_WISH]
    if not instruction:
        return None
    end = chosen[-1]
    if end + 1 < text.line_count:
        return instruction, text.line_start(end + 1)
    return instruction, text.length


def _comment(file: ParsedFile, number: int) -> str | None:
    """The text of a line that is nothing but a comment; None for any other line."""
    line = file.text.line(number)
    if not line.lstrip().startswith(";"):
        return None
    return line.lstrip("; \t-=*#").rstrip(" \t-=*#")


# --- the answer ------------------------------------------------------------------------------------------------------

def code_of(answer: str) -> str:
    """The assembly in a model's answer: its fenced blocks where there are some, else the code without the prose."""
    answer = answer.replace("\r\n", "\n").replace("\r", "\n").replace("\x00", "")
    blocks = _FENCE.findall(answer)
    if blocks:
        return "\n".join(block.strip("\n") for block in blocks if block.strip()) + "\n"
    lines = answer.split("\n")[:MAX_LINES]
    good = [number for number, line in enumerate(lines) if _is_code(line)]
    while good and _is_heading(lines, good[-1]):
        good.pop()
    if not good:
        return ""
    first = good[0]
    while first > 0 and lines[first - 1].lstrip().startswith(";"):
        first -= 1
    return "\n".join(lines[first : good[-1] + 1]) + "\n"


def _without_echo(code: str, instruction: str) -> str:
    """The code without a repetition of the wish at its top: that comment stands in the file already."""
    lines = code.split("\n")
    for wished in instruction.split("\n"):
        if lines and lines[0].strip("; \t").casefold() == wished.strip("; \t").casefold():
            lines.pop(0)
    return "\n".join(lines)


def _is_code(line: str) -> bool:
    """An instruction or a label; also what only looks like an instruction: a mnemonic that the model made up must not
    be taken for prose and dropped."""
    statements = parse_line(line).statements
    return any(isinstance(statement, Instruction | Label) for statement in statements) or bool(_LIKE_CODE.match(line))


def _is_heading(lines: Sequence[str], number: int) -> bool:
    """A last "label" with prose below it ("Explanation:")."""
    below = [line for line in lines[number + 1 :] if line.strip() and not line.lstrip().startswith(";")]
    return bool(below) and all(isinstance(statement, Label) for statement in parse_line(lines[number]).statements)


def laid_out(file: ParsedFile, place: int, code: str) -> str:
    """The code as whole lines for ``place``: a line end before it where the text lacks one, the file's line ends."""
    lines = [line.rstrip() for line in code.strip("\n").split("\n")][:MAX_LINES]
    if not any(lines):
        return ""
    text = "\n".join(lines) + "\n"
    if place and file.text.slice(place - 1, place) not in ("\n", "\r"):
        text = "\n" + text
    row = file.text.line_of(place)
    if file.text.line_start(row) == place and file.text.line(row).strip():
        text += "\n"
    return text.replace("\n", "\r\n") if "\r\n" in file.text.slice(0, 4_000) else text


def renamed(snapshot: Snapshot, file: ParsedFile, text: str) -> str:
    """A library routine under names that the project does not have yet: ``Multiply16`` becomes ``Multiply16_2``."""
    project = snapshot.project
    for name in dict.fromkeys(re.findall(r"^([A-Za-z_]\w*)(?=:| *= )", text, re.MULTILINE)):
        taken: tuple[Symbol, ...] = project.definitions(name)
        if not taken:
            continue
        number = 2
        while project.defined(f"{name}_{number}"):
            number += 1
        text = re.sub(rf"(?<![\w.]){re.escape(name)}(?!\w)", f"{name}_{number}", text)
    return text
