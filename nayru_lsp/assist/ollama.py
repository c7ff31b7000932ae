"""The Provider that asks a local Ollama: when it may be asked, what it is sent, when enough has come.

One place builds options (`prompt.Sampling`), so ``num_ctx`` never drifts and Ollama never reloads the model in a
session. A newer request for a document ends the older one, and its socket with it: that is how Ollama stops working.
While a routine is written, no ghost text is asked for: there is one slot. Nothing is sent to a model that runs
elsewhere, nor to a server that has just failed (`Breaker`).
"""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, aclosing, suppress
from dataclasses import dataclass, replace

from nayru_lsp import prompt
from nayru_lsp.assist import context
from nayru_lsp.assist.ollama_client import (
    Connection,
    Missing,
    Overdue,
    Refused,
    Unreachable,
    check_local,
    check_name,
    full_name,
    preload,
)
from nayru_lsp.config import OllamaConfig
from nayru_lsp.contract import Candidate, CompletionRequest, GenerationRequest, ProviderError, ProviderStatus, Verdict

FACTS_SECONDS = 30.0        # what `show` said is believed for this long, then asked for again in the background
LOAD_TIMEOUT = 180.0        # a 7B model from a slow disk
LOAD_PATIENCE = 1.0         # how long ghost text waits for a model that is being loaded
# Ollama 0.24's own runner can stop for good when the client leaves in the very moment in which an answer ends (seen
# after about 100 early leavings of a fast model). So what follows "enough" is heard out for a moment, beside it.
LINGER = 1.0                # seconds; the slot is let go at once when a newer request wants it ...
LET_GO = 0.05               # ... or nearly at once: an answer that is about to end may end
MOST_OVERDUE = 3            # late answers in a row until ghost text pauses
_ENDS = re.compile(r"\s*(?:RTS|RTL|RTI|JMP|JML|BRA|BRL|STP)\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Facts:
    """What Ollama says of the model. ``num_ctx`` is what it can really hold, ``seen`` when it was asked (monotonic)."""

    digest: str
    system: str
    num_ctx: int
    seen: float


class Breaker:
    """After a failure nothing is sent for a while, twice as long each time; the reason is kept for the status."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._wait = 0.0
        self._until = 0.0
        self.error: ProviderError | None = None

    def failed(self, error: ProviderError) -> None:
        least, most = (2.0, 10.0) if isinstance(error, (Unreachable, Missing)) else (2.0, 60.0)
        self._wait = min(most, max(least, 2 * self._wait))
        self._until = self._clock() + self._wait
        self.error = error

    def worked(self) -> None:
        self._wait, self.error = 0.0, None

    def check(self) -> None:
        """Raise the last error while the pause lasts; then one request may try again."""
        if self.error is not None and self._clock() < self._until:
            raise type(self.error)(str(self.error))


class Latency:
    """Milliseconds of the last completions, and what the prompt cost: under about 0.5 ms a token it was cached."""

    def __init__(self) -> None:
        self._totals: deque[float] = deque(maxlen=64)
        self.prompt_ms_per_token = 0.0
        self.call_ms = 0.0          # the last call by itself, from sending the prompt to the end of what was read
        self.load_ms = 0.0

    def add(self, total_ms: float) -> None:
        self._totals.append(total_ms)

    def percentile(self, share: float) -> float:
        """0.5: the median. 0.0 when nothing was measured."""
        ordered = sorted(self._totals)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0


class OllamaProvider:
    """See `contract.Provider`."""

    name = "ollama"

    def __init__(self, config: OllamaConfig, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.config = config
        self.latency = Latency()
        self.rate = 1.0             # bytes per token that prompts are measured with; 1.0 until one was counted
        self._clock = clock
        self._breaker = Breaker(clock)
        self._connection: Connection | None = None
        self._facts: Facts | None = None
        self._asking: asyncio.Task[Facts] | None = None
        self._loading: asyncio.Task[None] | None = None
        self._loaded_until = 0.0
        self._running: dict[str, asyncio.Task[tuple[Candidate, ...]]] = {}
        self._generating = 0
        self._overdue = 0
        self._calibrated = False
        self._lingering: asyncio.Task[None] | None = None

    # --- what there is -----------------------------------------------------------------------------------------

    async def status(self) -> ProviderStatus:
        """Asks Ollama at most every `FACTS_SECONDS`, loads nothing. Giving up the wait leaves the question open."""
        model = self.config.model
        try:
            facts = await self._known()
        except Refused as error:
            return ProviderStatus("refused", model, str(error))
        except ProviderError as error:
            return ProviderStatus("absent", model, str(error))
        if self._loading is not None and not self._loading.done():
            return ProviderStatus("starting", model, f"'{model}' is being loaded into memory", facts.digest)
        return ProviderStatus("ready", model, "", facts.digest)

    async def close(self) -> None:
        known = (self._asking, self._loading, self._lingering, *self._running.values())
        tasks = [task for task in known if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._connection is not None:
            await self._connection.close()

    def _connected(self) -> Connection:
        if self._connection is None:
            check_name(self.config.model)
            self._connection = Connection(self.config)
        return self._connection

    async def _known(self) -> Facts:
        """The model's facts; raises the ProviderError that says why it may not be asked."""
        self._breaker.check()
        connection = self._connected()
        if self._asking is None or self._asking.done():
            if self._facts is not None and self._clock() - self._facts.seen < FACTS_SECONDS:
                return self._facts
            self._asking = asyncio.create_task(self._ask(connection))
            self._asking.add_done_callback(_retrieved)
        if self._facts is not None:
            return self._facts
        return await asyncio.shield(self._asking)

    async def _ask(self, connection: Connection) -> Facts:
        model = self.config.model
        await asyncio.to_thread(preload)
        try:
            shown = await connection.show(model)
            check_local(model, shown)
            _check_form(model, shown)
            digests = await connection.digests()
        except Missing as error:
            self._facts = None
            failure = await self._missing(connection, error)
            self._breaker.failed(failure)
            raise failure from error
        except ProviderError as error:
            self._facts = None
            self._breaker.failed(error)
            raise
        self._breaker.worked()
        system = shown.get("system")
        self._facts = Facts(
            digests.get(full_name(model), ""), system if isinstance(system, str) and system else prompt.SYSTEM,
            min(self.config.num_ctx, _context_length(shown) or self.config.num_ctx), self._clock())
        return self._facts

    async def _missing(self, connection: Connection, error: Missing) -> Missing:
        """With the command that brings the base model, where that lacks too."""
        try:
            there = full_name(prompt.BASE) in await connection.digests()
        except ProviderError:
            return error
        pull = "" if there else f", after `ollama pull {prompt.BASE}` ({prompt.BASE_SIZE})"
        return Missing(f"{error}{pull}")

    async def _load(self, facts: Facts, patience: float) -> None:
        """Have the model in memory before ghost text waits for it; ProviderError when that takes longer."""
        if self._clock() < self._loaded_until:
            return
        if self._loading is None:
            self._loading = asyncio.create_task(self._load_now())
            self._loading.add_done_callback(_retrieved)
        else:
            patience = 0.0 if patience <= LOAD_PATIENCE else patience
        loading = self._loading
        done, _ = await asyncio.wait({loading}, timeout=patience)
        if not done:
            raise ProviderError(f"'{self.config.model}' is being loaded into memory")
        await loading

    async def _load_now(self) -> None:
        try:
            sampling = replace(prompt.completing(self.config, 1), num_predict=1)
            self._measure(context.SAMPLE, await self._connected().load(
                self.config.model, context.SAMPLE, sampling.options(), LOAD_TIMEOUT))
            self._used()
        except ProviderError as error:
            self._breaker.failed(error)
            raise
        finally:
            self._loading = None

    def _used(self) -> None:
        self._loaded_until = self._clock() + _seconds(self.config.keep_alive)

    # --- asking ------------------------------------------------------------------------------------------------

    async def complete(self, request: CompletionRequest) -> tuple[Candidate, ...]:
        """At most one candidate. A newer request for the same document makes this one answer nothing."""
        older = self._running.get(request.path)
        if older is not None:
            older.cancel()
        task = asyncio.create_task(self._complete(request))
        self._running[request.path] = task
        try:
            return await task
        except asyncio.CancelledError:
            current = asyncio.current_task()
            if current is not None and current.cancelling():
                task.cancel()
                raise
            return ()
        finally:
            if self._running.get(request.path) is task:
                del self._running[request.path]

    async def _complete(self, request: CompletionRequest) -> tuple[Candidate, ...]:
        started = time.perf_counter()
        facts = await self._known()
        if self._generating:
            raise ProviderError("the model is busy with a routine")
        patient = request.deadline > self.config.complete_timeout
        await self._load(facts, request.deadline if patient else min(LOAD_PATIENCE, request.deadline))
        text = context.fim_prompt(request.snapshot, request.path, request.offset, request.fragments,
                                  num_ctx=facts.num_ctx, rate=self.rate)
        sampling = prompt.completing(self.config, request.max_lines)
        below = _next_line(request)
        answer = await self._run(text, sampling, min(request.deadline, self.config.complete_timeout),
                                 lambda answer: _enough(answer, request.max_lines, below) is not None)
        self.latency.add(1000 * (time.perf_counter() - started))
        cut = _enough(answer, request.max_lines, below)
        answer = (answer if cut is None else answer[:cut]).rstrip("\r\n")
        return (self._candidate(answer, facts, text, sampling),) if answer.strip() else ()

    async def generate(self, request: GenerationRequest) -> tuple[Candidate, ...]:
        """One answer, as the model wrote it. Ghost text in the making is given up for it."""
        facts = await self._known()
        self._generating += 1
        try:
            for task in self._running.values():
                task.cancel()
            text = self._wish(request, facts)
            sampling = prompt.generating(self.config)
            answer = await self._run(text, sampling, min(request.deadline, self.config.generate_timeout),
                                     lambda answer: _listen(request, answer))
            return (self._candidate(answer, facts, text, sampling),) if answer.strip() else ()
        finally:
            self._generating -= 1

    def _candidate(self, answer: str, facts: Facts, text: str, sampling: prompt.Sampling) -> Candidate:
        return Candidate(answer, f"ollama:{self.config.model}", None, facts.digest, text,
                         json.dumps(sampling.options(), sort_keys=True))

    async def _run(self, text: str, sampling: prompt.Sampling, timeout: float,
                   enough: Callable[[str], bool | None]) -> str:
        """The answer to a raw prompt, stopped when ``enough`` of it has come. What came before a failure counts as
        far as its lines are whole."""
        connection = self._connected()
        answer = ""
        begun = time.perf_counter()
        try:
            async with connection.translated(self.config.model, timeout), asyncio.timeout(timeout):
                await self._let_go()
                async with AsyncExitStack() as held:
                    parts = await held.enter_async_context(
                        aclosing(connection.stream(self.config.model, text, sampling.options())))
                    async for part in parts:
                        answer += part.response or ""
                        if part.done:
                            self._measure(text, part)
                        elif len(answer) > 64 * sampling.num_predict:
                            break
                        elif enough(answer):
                            self._lingering = asyncio.create_task(_hear_out(parts, held.pop_all()))
                            break
        except ProviderError as error:
            self._failed(error)
            whole = answer[: answer.rfind("\n") + 1]
            if not whole.strip():
                raise
            return whole
        self._overdue = 0
        self._breaker.worked()
        self._used()
        self.latency.call_ms = 1000 * (time.perf_counter() - begun)
        return answer

    async def _let_go(self) -> None:
        """End what is still being heard out from the request before: there is one slot, and it is wanted now."""
        task, self._lingering = self._lingering, None
        if task is not None and not task.done():
            await asyncio.wait({task}, timeout=LET_GO)
            task.cancel()
            await asyncio.wait({task})

    def _failed(self, error: ProviderError) -> None:
        if not isinstance(error, Overdue):
            self._loaded_until = 0.0
            self._breaker.failed(error)
            return
        # Late: the model may have been thrown out of memory meanwhile, or this machine is too slow for it.
        self._overdue += 1
        self._loaded_until = 0.0
        if self._overdue >= MOST_OVERDUE:
            self._breaker.failed(Overdue(f"'{self.config.model}' is too slow here: {self._overdue} answers in a row "
                                         f"took longer than {self.config.complete_timeout:g} s"))

    def _measure(self, text: str, part: object) -> None:
        """Learn the tokenizer's density and the cost of the prompt from the last part of an answer."""
        count = getattr(part, "prompt_eval_count", None)
        if not isinstance(count, int) or count <= 0:
            return
        self.latency.prompt_ms_per_token = (getattr(part, "prompt_eval_duration", None) or 0) / 1e6 / count
        self.latency.load_ms = (getattr(part, "load_duration", None) or 0) / 1e6
        measured = context.rate_of(text, count)
        if measured is None:
            return
        # A tenth in hand, in steps of a tenth (a budget that creeps would move the window), and only downwards
        # once it is known: the densest text met so far counts.
        rate = max(1.0, min(4.0, int(measured * 9) / 10))
        self.rate = min(self.rate, rate) if self._calibrated else rate
        self._calibrated = True

    def _wish(self, request: GenerationRequest, facts: Facts) -> str:
        """The chat that asks for a routine, within the budget: the latest attempts first, then facts, then code."""
        tokens = prompt.prompt_tokens(facts.num_ctx)
        file = request.snapshot.project.files[request.path]
        shown, _ = context.shown_path(request.snapshot.project, request.path)
        instruction = context.head(request.instruction, tokens // 4, self.rate)
        tries = [prompt.repair(candidate.text, _complaints(candidate, verdict))
                 for candidate, verdict in request.attempts[-2:]]
        room = tokens
        while True:
            after_wish = [turn for pair in tries for turn in pair]
            fixed = prompt.chat([prompt.wish(instruction), *after_wish], system=facts.system)
            left = room - context.tokens_at_most(fixed, self.rate)
            kept = context.fit(request.fragments, int(left * 0.4), self.rate) if left > 0 else ()
            spent = sum(context.tokens_at_most(f"{f.title}:\n{f.text}\n\n", self.rate) for f in kept)
            above, below = context.around(file, request.offset, tokens=max(0, left - spent), rate=self.rate)
            wish = prompt.wish(instruction, path=shown, before=above, after=below, fragments=kept)
            text = prompt.chat([wish, *after_wish], system=facts.system)
            over = context.tokens_at_most(text, self.rate) - tokens
            if over <= 0:
                return text
            if left <= 0 and tries:
                tries = tries[1:]
            elif left <= 0:
                return prompt.chat([prompt.wish(instruction)], system=facts.system)
            else:
                room -= over + 8


def _listen(request: GenerationRequest, answer: str) -> None:
    if request.heard is not None:
        request.heard(answer)


def _complaints(candidate: Candidate, verdict: Verdict) -> list[str]:
    """What is wrong with an attempt, each with the line it is about."""
    out = []
    for reason in verdict.reasons[:6]:
        start = candidate.text.rfind("\n", 0, reason.span.start) + 1
        line = candidate.text[start:].split("\n", 1)[0].strip()[:100]
        out.append(f"`{line}`: {reason.message}" if line else reason.message)
    return out


def _enough(answer: str, max_lines: int, below: str) -> int | None:
    """Where a streamed completion ends, or None while it should go on: after ``max_lines`` lines, at a blank line, at
    the line that stands below already, at the third time of one line, after a statement that never falls through."""
    lines = answer.split("\n")
    at = 0
    for number, line in enumerate(lines):
        whole = number < len(lines) - 1
        bare = line.strip()
        begun = bool(answer[:at].strip())
        if begun and whole and (not bare or (below and bare == below)
                                or (number >= 2 and lines[number - 1].strip() == bare == lines[number - 2].strip())):
            return at
        at += len(line) + 1
        if whole and (number + 1 >= max_lines + (not lines[0].strip()) or _ENDS.match(line)):
            return at
    return None


def _next_line(request: CompletionRequest) -> str:
    """The next line with text below the cursor's line, without its spaces."""
    text = request.snapshot.project.files[request.path].text
    line = text.line_of(request.offset)
    for number in range(line + 1, min(line + 4, text.line_count)):
        if bare := text.line(number).strip():
            return bare
    return ""


def _check_form(model: str, shown: dict[str, object]) -> None:
    """Refused for a model that does not speak the prompts we write."""
    details = shown.get("details")
    family = str(details.get("family", "")) if isinstance(details, dict) else ""
    if not family.startswith("qwen") and prompt.IM_START not in str(shown.get("template", "")):
        raise Refused(f"'{model}' is no model of Qwen's form (ChatML and fill-in-the-middle tokens); set ollama.model "
                      "to one that is, such as nayru")


def _context_length(shown: dict[str, object]) -> int:
    info = shown.get("model_info")
    for key, value in info.items() if isinstance(info, dict) else ():
        if str(key).endswith(".context_length") and isinstance(value, int) and value >= 256:
            return value
    return 0


def _seconds(keep_alive: str) -> float:
    """How long Ollama keeps an idle model, a little less than it says; negative means for ever."""
    match = re.fullmatch(r"(-?[0-9.]+)(h|m|s|ms)?", keep_alive.strip())
    try:
        amount = float(match.group(1)) if match else 300.0
    except ValueError:
        amount = 300.0
    unit = {"h": 3600.0, "m": 60.0, "ms": 0.001}.get((match.group(2) or "s") if match else "s", 1.0)
    return 1e9 if amount < 0 else 0.9 * amount * unit


def _retrieved(task: asyncio.Task[object]) -> None:
    """Its error was kept by the breaker; asyncio need not complain that nobody asked the task."""
    if not task.cancelled():
        task.exception()


async def _hear_out(parts: AsyncIterator[object], held: AsyncExitStack) -> None:
    """Read on, for `LINGER` seconds at most, and close. Nobody waits for this and nothing of it is wanted."""
    async with held:
        with suppress(Exception):       # a broken connection too: the answer is there already
            async with asyncio.timeout(LINGER):
                async for _ in parts:
                    continue
