"""What the model may see around a position, within a token budget, laid out so that prompt caches hold.

Ollama keeps a common *prefix* of prompts only. So the window above the cursor starts at an anchor (a 64-line mark, or
the routine that encloses the cursor) instead of sliding, the text below is short, and fragments are only ever appended
while somebody types (`Ledger`). Everything here is a pure reading of a Snapshot except the Ledger, which remembers.
"""

from __future__ import annotations

import posixpath
import re
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from nayru_lsp import prompt
from nayru_lsp.asm.flow import WidthState, widths_before
from nayru_lsp.asm.project import ParsedFile, Project
from nayru_lsp.asm.symbols import Symbol
from nayru_lsp.asm.syntax import Label, LabelKind
from nayru_lsp.asm.text import SourceText
from nayru_lsp.contract import Fragment
from nayru_lsp.plugins import Plugins
from nayru_lsp.snapshot import Snapshot

ANCHOR_LINES = 64       # the window starts at a multiple of this many lines ...
LEAST_LINES = 32        # ... at least this many above the cursor
ROUTINE_LINES = 160     # or at the enclosing routine, when it starts no farther up
SUFFIX_LINES = 20
NEAR_LINES = 40         # names used within this many lines are worth explaining
MOST_SYMBOLS = 24
FRAGMENT_SHARE, SUFFIX_SHARE = 0.3, 0.15    # of the prompt's tokens
LEAST_CALIBRATION = 300     # bytes: a shorter prompt says little about the tokenizer
IDLE_SECONDS = 3.0      # after this long without a request the fragments are laid out anew
STATE = "state"         # the title of the fragment that changes most: it stands last

_NUMBER = re.compile(r"\$[0-9A-Fa-f]+|[A-F]*[0-9][0-9A-F]*")
_CONTROL = re.compile(r"<\|[a-z_]+\|>")
_NAME = re.compile(r"[!%]?[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*)*")


SAMPLE = """\
; Move the sprite in slot X, then look whether it left the screen.
CODE_01A51A:
    PHP : REP #$20 : SEP #$10
    LDA.w SpriteXLow,X : CLC : ADC.b Velocity : STA.w SpriteXLow,X
    CMP.w #$0100 : BCC .inside
    STZ.w !sprite_state,X
    JSL Sprite_Remove
.inside
    AND #$00FF : ASL A : TAY
    LDA ($10),Y : STA [$13],Y
    dw DATA_0280F3,Table+2,$FFFE
    db $00,$80,$7F,%00011000
-   LDA.l $7EF36E,X : BMI + : DEX : BPL -
+   PLP
    RTL
"""
"""Dense ordinary code of our own: what a tokenizer makes of it tells the rate that prompts are measured with."""


def tokens_at_most(text: str, rate: float = 1.0) -> int:
    """An upper bound of the tokens of ``text``. Qwen's tokenizer is byte-level and takes each digit by itself: what is
    a number or no ASCII counts a token a byte, the rest ``rate`` bytes a token. 1.0 is certain, a rate measured on a
    model is tighter."""
    certain, rest = _weigh(text)
    return certain + int(rest / rate) + 1


def rate_of(text: str, tokens: int) -> float | None:
    """Bytes per token of ``text``, numbers left out, when it made ``tokens``; None for a text too short to tell."""
    control = _CONTROL.findall(text)
    certain, rest = _weigh(_CONTROL.sub("", text))
    if rest < LEAST_CALIBRATION or tokens <= 0:
        return None
    return rest / max(1, tokens - certain - len(control))


def _weigh(text: str) -> tuple[int, int]:
    """(bytes that may each be a token, other bytes)"""
    numbers = sum(map(len, _NUMBER.findall(text)))
    if text.isascii():
        return numbers, len(text) - numbers
    wide = sum(1 for c in text if c > "\x7f")
    size = len(text.encode("utf-8", "surrogatepass"))
    return numbers + size - (len(text) - wide), len(text) - wide - numbers


@dataclass(frozen=True, slots=True)
class Window:
    """The text before and after the cursor that goes into a prompt; ``start`` is where ``prefix`` begins."""

    start: int
    prefix: str
    suffix: str


def window(file: ParsedFile, offset: int, *, tokens: int, rate: float = 1.0) -> Window:
    """The window around ``offset`` that costs at most ``tokens``; its start stays put while a routine is typed."""
    text = file.text
    line = text.line_of(offset)
    suffix_tokens = int(tokens * SUFFIX_SHARE)
    suffix = head(_slice_after(text, offset, line, int(suffix_tokens * rate) + 1), suffix_tokens, rate)
    left = tokens - tokens_at_most(suffix, rate)
    anchor = max(0, (line - LEAST_LINES) // ANCHOR_LINES * ANCHOR_LINES)
    routine = routine_line(file, offset)
    if routine is not None and routine < anchor:
        anchor = routine
    while True:
        start = text.line_start(anchor)
        # No text of more bytes than this fits at any rate: it need not be counted.
        if offset - start <= 4 * left and tokens_at_most(text.slice(start, offset), rate) <= left:
            break
        following = (anchor // 16 + 1) * 16
        if following > line:
            start = _tail_start(text, max(text.line_start(line), offset - 4 * left), offset, left, rate)
            break
        anchor = following
    return Window(start, text.slice(start, offset), suffix)


def routine_line(file: ParsedFile, offset: int) -> int | None:
    """The line of the main label whose routine encloses ``offset``, when it is within `ROUTINE_LINES`."""
    line = file.text.line_of(offset)
    lowest = file.text.line_start(max(0, line - ROUTINE_LINES))
    at = offset
    while at >= lowest:
        start, logical = file.line_at(at)
        for statement in logical.statements:
            if isinstance(statement, Label) and statement.kind is LabelKind.MAIN and start + statement.start <= offset:
                return file.text.line_of(start + statement.start)
        if start == 0 or start > at:
            break
        at = start - 1
    return None


def fim_prompt(snapshot: Snapshot, path: str, offset: int, fragments: Iterable[Fragment] = (), *, num_ctx: int,
               rate: float = 1.0) -> str:
    """The whole completion prompt for ``offset`` of ``path``: never more than three quarters of ``num_ctx``."""
    file = snapshot.project.files[path]
    shown, repo = shown_path(snapshot.project, path)
    tokens = prompt.prompt_tokens(num_ctx)
    frame = tokens_at_most(prompt.fim("", "", path=shown, repo=repo))       # control tokens, counted byte by byte
    kept = fit(fragments, int(tokens * FRAGMENT_SHARE), rate)
    spent = frame + tokens_at_most(prompt.fim("", "", path=shown, repo=repo, fragments=kept), rate)
    part = window(file, offset, tokens=max(16, tokens - spent), rate=rate)
    return prompt.fim(part.prefix, part.suffix, path=shown, repo=repo, fragments=kept)


def around(file: ParsedFile, offset: int, *, tokens: int, rate: float = 1.0) -> tuple[str, str]:
    """The text above and below ``offset`` for a generation prompt."""
    part = window(file, offset, tokens=tokens, rate=rate)
    return part.prefix, part.suffix


def fit(fragments: Iterable[Fragment], tokens: int, rate: float = 1.0) -> tuple[Fragment, ...]:
    """The fragments of the highest weight that cost at most ``tokens``, in the order given; a long one is cut."""
    ordered = list(fragments)
    kept: dict[int, Fragment] = {}
    left = tokens
    for index in sorted(range(len(ordered)), key=lambda i: (-ordered[i].weight, i)):
        fragment = ordered[index]
        room = left - tokens_at_most(f"{prompt.FILE_SEP}{fragment.title}\n\n", rate)
        text = head(fragment.text, room, rate) if room > 0 else ""
        if text != fragment.text:
            text = text.rpartition("\n")[0]     # whole lines only
        if not text.strip():
            continue
        kept[index] = fragment if text == fragment.text else Fragment(fragment.title, text, fragment.weight)
        left = room - tokens_at_most(text, rate)
    return tuple(kept[index] for index in sorted(kept))


def fragments(snapshot: Snapshot, file: ParsedFile, offset: int) -> tuple[Fragment, ...]:
    """What our own analysis knows that the window does not show: the names used near, and the state here."""
    project = snapshot.project
    line = file.text.line_of(offset)
    near = file.text.slice(file.text.line_start(line - NEAR_LINES), file.text.line_end(line + SUFFIX_LINES))
    names = dict.fromkeys(_NAME.findall(near))
    visible = file.text.line_start(max(0, (line - LEAST_LINES) // ANCHOR_LINES * ANCHOR_LINES))
    told = []
    for name in names:
        for symbol in (project.definitions(name) or project.definitions(f"{name}()"))[:1]:
            if symbol.path == file.path and visible <= symbol.span[0] <= offset:
                continue
            if text := _told(symbol):
                told.append(text)
        if len(told) == MOST_SYMBOLS:
            break
    found = []
    if told:
        found.append(Fragment("symbols", "\n".join(told), 1.0))
    found.append(Fragment(STATE, state_text(project, file, widths_before(file, offset)), 3.0))
    return tuple(found)


async def gathered(snapshot: Snapshot, file: ParsedFile, offset: int, plugins: Plugins | None,
                   deadline: float) -> tuple[Fragment, ...]:
    """Our own `fragments` and what plugins give within ``deadline`` seconds."""
    found = () if plugins is None else await plugins.gather(
        "nayru_context", deadline=deadline, snapshot=snapshot, file=file, offset=offset)
    foreign = [one for _, many in found if isinstance(many, (list, tuple)) for one in many
               if isinstance(one, Fragment) and isinstance(one.title, str) and isinstance(one.text, str)]
    return (*fragments(snapshot, file, offset), *foreign)


def state_text(project: Project, file: ParsedFile, widths: WidthState) -> str:
    """One comment line: assembler, mapping mode, and the register widths where they are known."""
    parts = [f"Asar {file.dialect}"]
    modes = {root.mapping_mode for root in project.roots_of(file.path) if root.mapping_mode}
    parts += [mode for mode in modes if len(modes) == 1]
    if widths.m is not None:
        parts.append(f"A {widths.m}-bit")
    if widths.x is not None:
        parts.append(f"X/Y {widths.x}-bit")
    return "; " + ", ".join(parts)


def shown_path(project: Project, path: str) -> tuple[str, str]:
    """The path as a prompt and a sample show it, relative to its root's folder, and the project's name. Nothing above
    that folder is shown: a prompt becomes training text, and a user's home is nobody's business."""
    roots = project.roots_of(path)
    folder = posixpath.dirname(roots[0].path if roots else path)
    while folder and not path.startswith(folder.rstrip("/") + "/"):
        folder = posixpath.dirname(folder) if folder not in ("/", posixpath.dirname(folder)) else ""
    shown = path[len(folder.rstrip("/")) + 1:] if folder else posixpath.basename(path)
    return shown, posixpath.basename(folder.rstrip("/")) or "project"


@dataclass(slots=True)
class _Kept:
    fragments: list[Fragment]
    last: float


class Ledger:
    """The fragments of each document in the order in which they were first sent.

    While somebody types, lines are only appended, so that the cached part of the prompt stays valid. After
    `IDLE_SECONDS`, or when ``tokens`` do not suffice, the fragments of now are laid out anew."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._kept: dict[str, _Kept] = {}

    def take(self, path: str, fragments: Sequence[Fragment], *, tokens: int) -> tuple[Fragment, ...]:
        now = self._clock()
        state = [fragment for fragment in fragments if fragment.title == STATE]
        stable = sorted((f for f in fragments if f.title != STATE), key=lambda f: -f.weight)
        kept = self._kept.get(path)
        if kept is None or now - kept.last >= IDLE_SECONDS:
            laid = list(stable)
        else:
            known = {line for fragment in kept.fragments for line in fragment.text.split("\n")}
            laid = list(kept.fragments)
            for fragment in stable:
                if fresh := [line for line in fragment.text.split("\n") if line not in known]:
                    laid.append(Fragment(fragment.title, "\n".join(fresh), fragment.weight))
            if sum(tokens_at_most(f.title + f.text) for f in laid) > tokens:
                laid = list(stable)
        self._kept.pop(path, None)
        self._kept[path] = _Kept(laid, now)
        while len(self._kept) > 64:
            self._kept.pop(next(iter(self._kept)))
        return (*laid, *state)


def _told(symbol: Symbol) -> str:
    """A symbol on one line, as source: what it is, its value, the first line of its comment."""
    doc = symbol.doc.strip().split("\n")[0].strip(" ;\t")
    if symbol.kind in ("assignment", "define"):
        head = f"{symbol.name} = {symbol.detail.strip()}"
    elif symbol.kind in ("macro", "function"):
        head = f"{symbol.kind} {symbol.short.strip('%()')}({symbol.detail.strip('()')})"
    elif symbol.kind in ("label", "struct") and doc:
        head = f"{symbol.name}:" if symbol.kind == "label" else f"struct {symbol.name}"
    else:
        return ""
    return _one_line(f"{head}  ; {doc}" if doc else head)


def _one_line(text: str) -> str:
    return " ".join(text.split())[:160]


def _slice_after(text: SourceText, offset: int, line: int, most: int) -> str:
    return text.slice(offset, min(text.line_end(line + SUFFIX_LINES), offset + most))


def head(text: str, tokens: int, rate: float) -> str:
    """The longest beginning of ``text`` that costs at most ``tokens``; whole lines where there is more than one."""
    if tokens <= 0:
        return ""
    if tokens_at_most(text, rate) <= tokens:
        return text
    low, high = 0, min(len(text), int(tokens * max(1.0, rate)) + 1)
    while low < high:
        middle = (low + high + 1) // 2
        if tokens_at_most(text[:middle], rate) <= tokens:
            low = middle
        else:
            high = middle - 1
    cut = text[:low]
    return cut[: cut.rfind("\n") + 1] or cut


def _tail_start(text: SourceText, lowest: int, end: int, tokens: int, rate: float) -> int:
    low, high = lowest, end
    while low < high:
        middle = (low + high) // 2
        if tokens_at_most(text.slice(middle, end), rate) <= tokens:
            high = middle
        else:
            low = middle + 1
    return low
