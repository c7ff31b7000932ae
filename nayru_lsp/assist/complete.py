"""Ghost text: when to ask, whom, how to trim the answer, when to stay silent and why.

One `Completer` per server, on the event loop. Per document the newest request wins: an older one is cancelled, backend
and all. What was offered is remembered, so that typing along a suggestion costs no model call.
"""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace

from nayru_lsp import prompt
from nayru_lsp.asm.lexer import scan
from nayru_lsp.asm.project import ParsedFile
from nayru_lsp.asm.statements import parse_line
from nayru_lsp.asm.syntax import Instruction
from nayru_lsp.asm.text import Span
from nayru_lsp.assist import context
from nayru_lsp.assist.events import new_id
from nayru_lsp.assist.verify import verify
from nayru_lsp.config import UserConfig
from nayru_lsp.contract import Candidate, CompletionRequest, Fragment, Offer, Provider, ProviderError, Verdict
from nayru_lsp.plugins import Plugins
from nayru_lsp.snapshot import Snapshot

log = logging.getLogger("nayru.complete")

REMEMBERED = 100            # offers kept for typing along
BEHIND, AHEAD = 2_000, 400  # code points before and behind the place that must be the same
CONTEXT_DEADLINE = 0.03     # seconds that plugins may take for prompt fragments
STATUS_SECONDS = 2.0        # how long a backend's status is believed; asking it is cheap, and never waited for
REMEMBER_SECONDS = 120.0    # an older offer may no longer fit what was changed elsewhere
PATIENCE_SECONDS = 30.0     # asked for by hand, a model that is being loaded may take this much longer


@dataclass(frozen=True, slots=True)
class Completion:
    """What became of a request. Without offers ``reason`` says why; with them it says what else the user should know
    ("Ollama does not run ..."). ``provider``: who answered ("local", "ollama:nayru", "" when nobody was asked)."""

    offers: tuple[Offer, ...]
    reason: str = ""
    provider: str = ""
    latency_ms: float = 0.0


@dataclass(frozen=True, slots=True)
class _Remembered:
    path: str
    before: str             # the text before the place, cut to BEHIND
    after: str              # the text behind it, cut to AHEAD
    text: str               # what was offered at the place
    offer: Offer
    since: float            # clock


class Completer:
    """``local`` and ``model`` are providers, either may be None. ``clock``: seconds, monotonic."""

    def __init__(self, config: UserConfig, *, local: Provider | None, model: Provider | None,
                 plugins: Plugins | None, clock: Callable[[], float] = time.monotonic) -> None:
        self._config = config
        self._local = local
        self._model = model
        self._plugins = plugins
        self._clock = clock
        self._running: dict[str, asyncio.Task[Completion]] = {}
        self._memory: OrderedDict[int, _Remembered] = OrderedDict()
        self._count = 0
        self._model_state: tuple[float, str, str] = (-1e9, "starting", "Ollama was not asked yet")
        self._asking: asyncio.Task[None] | None = None
        self._ledger = context.Ledger(clock)

    async def complete(self, snapshot: Snapshot, path: str, offset: int, invoked: bool) -> Completion:
        """The suggestion for ``offset``. ``invoked``: asked for by hand, so without delay and wherever it is."""
        begun = self._clock()
        file = snapshot.project.files.get(path)
        if file is None:
            return Completion((), "this file is not open")
        if not self._config.ghost.enabled:
            return Completion((), "ghost text is switched off (ghost.enabled)")
        unfit = _unfit(file, offset, invoked)
        if unfit:
            return Completion((), unfit)
        known = self._remembered(file, offset)
        if known is not None:
            return Completion((known,), "", known.candidate.maker, 1000 * (self._clock() - begun))
        previous = self._running.get(path)
        if previous is not None:
            previous.cancel()
        task = asyncio.get_running_loop().create_task(self._ask(snapshot, file, offset, invoked))
        self._running[path] = task
        try:
            found = await task
        except asyncio.CancelledError:
            task.cancel()
            current = asyncio.current_task()
            if current is not None and current.cancelling():
                raise
            return Completion((), "overtaken by a newer request")
        finally:
            if self._running.get(path) is task:
                del self._running[path]
        for offer in found.offers:
            self._remember(file, offset, offer)
        return replace(found, latency_ms=1000 * (self._clock() - begun))

    async def close(self) -> None:
        for task in list(self._running.values()):
            task.cancel()
        if self._asking is not None:
            self._asking.cancel()

    # --- asking --------------------------------------------------------------------------------------------------

    async def _ask(self, snapshot: Snapshot, file: ParsedFile, offset: int, invoked: bool) -> Completion:
        if not invoked:
            await asyncio.sleep(self._config.ghost.debounce_ms / 1000)
        providers, note = await self._providers()
        reason, asked = note or "no model is configured", ""
        for provider in providers:
            asked = provider.name
            try:
                candidates = await self._candidates(provider, snapshot, file, offset, invoked)
            except ProviderError as error:
                note = reason = str(error)
                if provider is self._model:
                    self._model_state = (self._clock(), "absent", reason)
                continue
            offers, why = await self._judged(snapshot, file, offset, candidates)
            if offers:
                return Completion(offers, note, offers[0].candidate.maker)
            reason = f"{why}; {note}" if note else why
        return Completion((), reason, asked)

    async def _providers(self) -> tuple[list[Provider], str]:
        """Whom to ask, in order, and what to tell about who is not asked."""
        wanted = self._config.ghost.provider
        local = [self._local] if self._local is not None else []
        if wanted == "local" or self._model is None:
            return list(local), ""
        if wanted == "ollama":
            return [self._model], ""
        at, state, reason = self._model_state
        if self._clock() - at > STATUS_SECONDS and (self._asking is None or self._asking.done()):
            self._asking = asyncio.get_running_loop().create_task(self._look())
            if at < 0:      # the very first time: a model that is there should answer the first key
                await asyncio.wait({self._asking}, timeout=0.3)
                _, state, reason = self._model_state
        if state == "ready":
            return [self._model, *local], ""
        return list(local), reason

    async def _look(self) -> None:
        """Ask the model's backend how it is, beside the requests."""
        assert self._model is not None
        try:
            status = await self._model.status()
            self._model_state = (self._clock(), status.state, status.reason)
        except ProviderError as error:
            self._model_state = (self._clock(), "absent", str(error))

    async def _candidates(self, provider: Provider, snapshot: Snapshot, file: ParsedFile, offset: int,
                          invoked: bool) -> tuple[Candidate, ...]:
        fragments: tuple[Fragment, ...] = ()
        if provider is self._model:
            gathered = await context.gathered(snapshot, file, offset, self._plugins, CONTEXT_DEADLINE)
            tokens = prompt.prompt_tokens(self._config.ollama.num_ctx) * context.FRAGMENT_SHARE
            fragments = self._ledger.take(file.path, gathered, tokens=int(tokens))
        return await provider.complete(CompletionRequest(
            snapshot, file.path, offset, self._config.ghost.max_lines, self.patience(invoked), fragments))

    def patience(self, invoked: bool) -> float:
        """Seconds that one request may take, a model being loaded included."""
        return self._config.ollama.complete_timeout + (PATIENCE_SECONDS if invoked else 0)

    async def _judged(self, snapshot: Snapshot, file: ParsedFile, offset: int, candidates: tuple[Candidate, ...]) -> (
            tuple[tuple[Offer, ...], str]):
        """The first candidate of which something good is left; or none, and why the best one is not shown."""
        whys: list[str] = []
        for candidate in candidates:
            if candidate.confidence is not None and candidate.confidence < self._config.ghost.threshold:
                whys.append(f"not sure enough ({candidate.confidence:.0%} < {self._config.ghost.threshold:.0%})")
                continue
            text = trimmed(file, offset, candidate.text, self._config.ghost.max_lines)
            if not text.strip():
                whys.append("the suggestion only repeats what is there")
                continue
            span = Span(offset, offset)
            text, verdict, why = await self._good(snapshot, file, span, text)
            if not text:
                whys.append(why)
                continue
            offer = Offer(new_id(), "ghost", file.path, span, text, verdict, candidate)
            return (offer,), ""
        return (), whys[0] if whys else "the model has no suggestion here"

    async def _good(self, snapshot: Snapshot, file: ParsedFile, span: Span, text: str) -> tuple[str, Verdict, str]:
        """The longest beginning of ``text``, in whole lines, that its judges pass; "" with the reason where none is."""
        while True:
            verdict = await verify(snapshot, file, span, text, plugins=self._plugins,
                                   deadline=self._config.ghost.asar_deadline_ms / 1000)
            if verdict.ok:
                return text, verdict, ""
            first = verdict.reasons[0] if verdict.reasons else None
            who = verdict.judges[0 if first is None or first.code.startswith("NAY") else -1]
            text = text[: verdict.good].rstrip("\r\n")      # always shorter: it may hold what only the cut made bad
            if not text.strip():
                return "", verdict, f"held back by {who}: {first.message}" if first else f"held back by {who}"

    # --- typing along --------------------------------------------------------------------------------------------

    def _remember(self, file: ParsedFile, offset: int, offer: Offer) -> None:
        self._count += 1
        before = file.text.slice(offset - BEHIND, offset)
        after = file.text.slice(offset, offset + AHEAD)
        self._memory[self._count] = _Remembered(file.path, before, after, offer.text, offer, self._clock())
        while len(self._memory) > REMEMBERED:
            self._memory.popitem(last=False)

    def _remembered(self, file: ParsedFile, offset: int) -> Offer | None:
        """What an earlier offer still has to give here: the text before is the old one plus a part of the offer."""
        after = file.text.slice(offset, offset + AHEAD)
        youngest = self._clock() - REMEMBER_SECONDS
        for one in reversed(self._memory.values()):
            if one.since < youngest:
                break
            if one.path != file.path or one.after != after:
                continue
            typed_most = len(one.text) - 1
            before = file.text.slice(offset - BEHIND - typed_most, offset)
            tail = one.before[-200:]
            at = before.rfind(tail) if tail else -1
            if at < 0:
                continue
            typed = before[at + len(tail) :]
            old = before[: at + len(tail)]
            if not one.text.startswith(typed) or len(typed) > typed_most:
                continue
            if not (old.endswith(one.before) or one.before.endswith(old)):
                continue
            rest = one.text[len(typed) :]
            if not rest.strip():
                continue
            verdict = replace(one.offer.verdict, good=len(rest), size=None, cycles=None) if typed else (
                one.offer.verdict)
            identity = one.offer.id if not typed else new_id()
            return replace(one.offer, id=identity, span=Span(offset, offset), text=rest, verdict=verdict)
        return None


# --- where not to ask ------------------------------------------------------------------------------------------------

def _unfit(file: ParsedFile, offset: int, invoked: bool) -> str:
    """Why no suggestion belongs here; "" where one does."""
    line_number = file.text.line_of(offset)
    start, end = file.text.line_start(line_number), file.text.line_end(line_number)
    line = file.text.slice(start, end)
    column = offset - start
    code = scan(line, file.dialect)
    if code.comment is not None and code.comment[0] < column:
        return "the cursor is in a comment"
    if code.masked[:column].count('"') % 2:
        return "the cursor is in a string"
    rest = line[column:]
    if rest.strip() and not rest.lstrip().startswith(";"):
        return "there is code behind the cursor on its line"
    if not invoked and file.text.length == 0:
        return "the file is empty"
    return ""


_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\u202a-\u202e\u2066-\u2069]")     # nothing that code holds


# --- trimming --------------------------------------------------------------------------------------------------------

def trimmed(file: ParsedFile, offset: int, text: str, max_lines: int) -> str:
    """``text`` without what the document has already, in the document's case and line ends: at most ``max_lines``
    lines, no repeat of the lines that follow, nothing behind its last visible character."""
    text = _CONTROL.split(text.replace("\r\n", "\n").replace("\r", "\n"), maxsplit=1)[0]
    line_number = file.text.line_of(offset)
    typed = file.text.slice(file.text.line_start(line_number), offset)
    if typed.strip() and text.startswith(typed):
        text = text[len(typed) :]           # a model that starts the line anew
    lines = text.split("\n")
    if len(lines) > 1 and not lines[0].strip() and not typed.strip():
        lines = lines[1:]                   # ghost text starts on the cursor's line
        if lines and typed and lines[0].startswith(typed):
            lines[0] = lines[0][len(typed) :]
    if file.text.slice(offset, file.text.line_end(line_number)).strip():
        max_lines = 1                       # a comment stands behind the cursor: it stays on this line
    lines = lines[:max_lines]
    following = _following(file, line_number, len(lines) + 2)
    kept: list[str] = []
    for number, line in enumerate(lines):
        whole = (typed + line if number == 0 else line).split(";")[0].split()
        if whole and following and whole == following[0] and (number or not typed.strip()):
            break
        if number and whole and kept and whole == (typed * (number == 1) + kept[-1]).split(";")[0].split() \
                and len(kept) > 1 and whole == kept[-2].split(";")[0].split():
            break                           # the same line a third time
        kept.append(line)
    text = "\n".join(kept).rstrip()
    if _lower_case(file, line_number):
        text = _in_lower_case(typed, text)
    ending = _line_end(file)
    return text.replace("\n", ending) if ending != "\n" else text


def _following(file: ParsedFile, line_number: int, most: int) -> list[list[str]]:
    """The words of the code lines below, without comments; empty lines left out."""
    out = []
    for number in range(line_number + 1, min(file.text.line_count, line_number + 1 + most)):
        words = file.text.line(number).split(";")[0].split()
        if words:
            out.append(words)
    return out


def _line_end(file: ParsedFile) -> str:
    first = file.text.slice(0, 4_000)
    return "\r\n" if "\r\n" in first and first.count("\r\n") == first.count("\n") else "\n"


def _lower_case(file: ParsedFile, line_number: int) -> bool:
    """True where the instructions above are written in lower case."""
    at = file.text.line_start(line_number)
    seen: list[bool] = []
    while at > 0 and len(seen) < 12:
        start, line = file.line_at(at - 1)
        seen.extend(line.raw[s.start : s.mnemonic_end].islower() for s in line.statements if isinstance(s, Instruction))
        if start >= at or at < file.text.line_start(max(0, line_number - 60)):
            break
        at = start
    return len(seen) >= 3 and all(seen)


def _in_lower_case(typed: str, text: str) -> str:
    out = []
    for number, line in enumerate(text.split("\n")):
        head = typed if number == 0 else ""
        parsed = parse_line(head + line)
        whole = head + line
        for statement in parsed.statements:
            if isinstance(statement, Instruction):
                low, high = statement.start, statement.mnemonic_end
                whole = whole[:low] + whole[low:high].lower() + whole[high:]
        out.append(whole[len(head) :])
    return "\n".join(out)
