"""Ghost text: asked when it belongs, by one call for many keys; trimmed, judged, remembered; silent with a reason."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from nayru_lsp.asm.facts import FactTable
from nayru_lsp.asm.parser import parse_text
from nayru_lsp.asm.project import Project
from nayru_lsp.asm.text import SourceText, Span
from nayru_lsp.assist import context
from nayru_lsp.assist.complete import Completer, Completion, trimmed
from nayru_lsp.assist.ollama import OllamaProvider
from nayru_lsp.config import Config, GhostConfig, OllamaConfig, UserConfig
from nayru_lsp.contract import Candidate, CompletionRequest, GenerationRequest, ProviderError, ProviderStatus
from nayru_lsp.snapshot import Client, Snapshot
from tests.assist.fake_ollama import Call, fake_ollama
from tests.kit import project_of, read_fixture
from tests.ollama_server import OllamaServer, ollama_server

__all__ = ["ollama_server"]

QUICK = GhostConfig(debounce_ms=0)
SOURCE = """
;- main.asm
lorom
org $008000
Main:
    SEP #$20
    <|>
Next:
    RTS
"""


@dataclass
class Says:
    """A provider that always answers the same; ``wait`` holds it back until it is set."""

    text: str
    name: str = "local"
    confidence: float | None = None
    state: str = "ready"
    error: str = ""
    wait: asyncio.Event | None = None
    requests: list[CompletionRequest] = field(default_factory=list)
    cancelled: int = 0

    async def status(self) -> ProviderStatus:
        return ProviderStatus(self.state, self.name, "" if self.state == "ready" else f"{self.name} is {self.state}")

    async def complete(self, request: CompletionRequest) -> tuple[Candidate, ...]:
        self.requests.append(request)
        try:
            if self.wait is not None:
                await self.wait.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        if self.error:
            raise ProviderError(self.error)
        return (Candidate(self.text, self.name, self.confidence),) if self.text else ()

    async def generate(self, request: GenerationRequest) -> tuple[Candidate, ...]:
        return ()


def at(source: str, user: UserConfig | None = None) -> tuple[Snapshot, str, int]:
    fixture = read_fixture(source)
    assert fixture.cursor is not None
    config = Config(user or UserConfig(ghost=QUICK))
    snapshot = Snapshot(project_of(fixture), config, Client(), "utf-16", FactTable(), 1)
    return snapshot, *fixture.cursor


async def ghost(source: str, says: Says | str, *, invoked: bool = False, **settings: Any) -> Completion:
    user = UserConfig(ghost=GhostConfig(**{"debounce_ms": 0, **settings}))
    provider = Says(says) if isinstance(says, str) else says
    completer = Completer(user, local=provider, model=None, plugins=None)
    try:
        return await completer.complete(*at(source, user), invoked)
    finally:
        await completer.close()


async def check_ghost(source: str, says: str, shown: str) -> None:
    """Answered ``says`` at the cursor, ``shown`` is offered; "" for silence with a reason."""
    found = await ghost(source, says)
    if shown:
        assert [offer.text for offer in found.offers] == [shown], found.reason
        assert found.offers[0].verdict.ok and found.offers[0].verdict.good == len(shown)
    else:
        assert not found.offers and found.reason


# --- where and when --------------------------------------------------------------------------------------------

@pytest.mark.parametrize(("source", "why"), [
    ("Main: ; a comment<|>\n", "comment"),
    ("; a comment <|>\n", "comment"),
    ('    db "text<|>\n', "string"),
    ("    LDA<|> $10\n", "behind the cursor"),
    ("    LD<|>A $10\n", "behind the cursor"),
    ("<|>", "empty"),
])
async def test_places_where_no_suggestion_belongs(source: str, why: str) -> None:
    provider = Says("LDA #$01")
    found = await ghost(";- main.asm\n" + source, provider)
    assert not found.offers and why in found.reason and not provider.requests


@pytest.mark.parametrize("source", [
    "    LDA <|> ; a comment behind\n    RTS\n", "; a comment\n    <|>\n", "    LDA <|>", '    db "text",<|>\n'])
async def test_places_where_one_does(source: str) -> None:
    provider = Says("$01")
    await ghost(";- main.asm\n" + source, provider)
    assert len(provider.requests) == 1


async def test_switched_off() -> None:
    found = await ghost(SOURCE, "LDA #$01", enabled=False)
    assert "switched off" in found.reason


async def test_six_quick_keys_make_one_call() -> None:
    user = UserConfig(ghost=GhostConfig(debounce_ms=40))
    provider = Says("#$01")
    completer = Completer(user, local=provider, model=None, plugins=None)
    keys = ["L", "LD", "LDA", "LDA ", "LDA", "LDA "]
    tasks = []
    for typed in keys:
        tasks.append(asyncio.create_task(completer.complete(*at(SOURCE.replace("<|>", typed + "<|>"), user), False)))
        await asyncio.sleep(0.002)
    found = await asyncio.gather(*tasks)
    assert [bool(one.offers) for one in found] == [False] * 5 + [True]
    assert {one.reason for one in found[:5]} == {"overtaken by a newer request"}
    assert len(provider.requests) == 1
    await completer.close()


async def test_a_newer_request_ends_the_older_one_and_its_backend_call() -> None:
    provider = Says("LDA #$01", wait=asyncio.Event())
    completer = Completer(UserConfig(ghost=QUICK), local=provider, model=None, plugins=None)
    first = asyncio.create_task(completer.complete(*at(SOURCE), True))
    other = asyncio.create_task(completer.complete(*at(SOURCE.replace("main.asm", "other.asm")), True))
    while len(provider.requests) < 2:
        await asyncio.sleep(0)
    assert provider.wait is not None
    second = asyncio.create_task(completer.complete(*at(SOURCE), True))
    while len(provider.requests) < 3:
        await asyncio.sleep(0)
    provider.wait.set()
    assert (await first).reason == "overtaken by a newer request"
    assert (await second).offers and (await other).offers       # another document is another matter
    assert provider.cancelled == 1
    await completer.close()


async def test_a_cancelled_request_cancels_the_backend() -> None:
    provider = Says("LDA #$01", wait=asyncio.Event())
    completer = Completer(UserConfig(ghost=QUICK), local=provider, model=None, plugins=None)
    task = asyncio.create_task(completer.complete(*at(SOURCE), True))
    while not provider.requests:
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert provider.cancelled == 1
    await completer.close()


# --- whom to ask -----------------------------------------------------------------------------------------------

@pytest.mark.parametrize(("setting", "model", "maker", "reason"), [
    ("auto", Says("STA $10", "ollama"), "ollama", ""),
    ("auto", Says("STA $10", "ollama", state="absent"), "local", "ollama is absent"),
    ("auto", Says("STA $10", "ollama", error="it broke off"), "local", "it broke off"),
    ("auto", Says("", "ollama"), "local", ""),
    ("auto", None, "local", ""),
    ("local", Says("STA $10", "ollama"), "local", ""),
    ("ollama", Says("STA $10", "ollama"), "ollama", ""),
    ("ollama", Says("", "ollama", error="gone"), "", "gone"),
])
async def test_who_answers(setting: str, model: Says | None, maker: str, reason: str) -> None:
    user = UserConfig(ghost=GhostConfig(provider=setting, debounce_ms=0))
    completer = Completer(user, local=Says("INX"), model=model, plugins=None)
    found = await completer.complete(*at(SOURCE, user), False)
    assert [offer.candidate.maker for offer in found.offers] == ([maker] if maker else [])
    assert found.reason == reason and found.provider in (maker, setting)
    await completer.close()


async def test_a_backend_that_hangs_when_asked_how_it_is_holds_nobody_up() -> None:
    class Hangs(Says):
        async def status(self) -> ProviderStatus:
            await asyncio.Event().wait()
            raise AssertionError
    completer = Completer(UserConfig(ghost=QUICK), local=Says("INX"), model=Hangs("", "ollama"), plugins=None)
    found = await asyncio.wait_for(completer.complete(*at(SOURCE), False), 2)
    assert found.offers[0].text == "INX"
    await completer.close()


async def test_the_predictor_speaks_from_its_threshold_on() -> None:
    assert (await ghost(SOURCE, Says("INX", confidence=0.5))).offers
    found = await ghost(SOURCE, Says("INX", confidence=0.49))
    assert not found.offers and found.reason == "not sure enough (49% < 50%)"


async def test_the_reason_is_the_best_candidates() -> None:
    """A sure suggestion that is held back is no "not sure enough": that was said of the unlikely ones behind it."""
    class Several(Says):
        async def complete(self, request: CompletionRequest) -> tuple[Candidate, ...]:
            return Candidate("JSR Nowhere", "local", 0.9), Candidate("INX", "local", 0.01)
    found = await ghost(SOURCE, Several(""))
    assert not found.offers and found.reason == "held back by nayru: there is no label Nowhere in this project"


# --- what is left of an answer ---------------------------------------------------------------------------------

async def test_nothing_bad_is_shown() -> None:
    found = await ghost(SOURCE, "LDA #$1234\n    RTS")
    assert not found.offers and found.reason.startswith("held back by nayru: A is 8-bit here")


@pytest.mark.parametrize(("says", "shown"), [
    ("INX\n    LDA #$1234\n    INY", "INX"),
    ("INX\n    INY\n    if 1\n    LDQ\n    endif", "INX\n    INY"),     # cut, then judged again: so goes the open if
    ("LDQ $10", ""),
    ("JSR Nowhere", ""),
    ("INX\n    Main:\n", "INX"),
])
async def test_the_longest_good_prefix_is_shown(says: str, shown: str) -> None:
    await check_ghost(SOURCE, says, shown)


@pytest.mark.parametrize(("source", "says", "shown"), [
    # what stands below already
    ("Main:\n    <|>\n    STA $10\n    RTS\n", "LDA $12\n    STA $10\n    RTS\n", "LDA $12"),
    ("Main:\n    <|>\n    STA $10 ; note\n", "STA $10", ""),
    ("Main:\n    LDA <|>\n    STA $10\n", "$12\n    STA $10\n", "$12"),
    # what was typed already
    ("Main:\n    LDA <|>\n", "    LDA $12", "$12"),
    ("Main:\n    LDA $1<|>\n", "2", "2"),
    # lines
    ("Main:\n    <|>\n", "\n    INX", "INX"),
    ("Main:\n    <|>\n", "INX\n    INY\n    DEX\n    DEY\n    RTS", "INX\n    INY\n    DEX\n    DEY"),
    ("Main:\n    <|>\n", "INX\n    INX\n    INX\n    INX", "INX\n    INX"),
    ("Main:\n    INX<|>\n", "\n    INY\n", "\n    INY"),
    ("Main:\n    LDA <|> ; the speed\n", "$12\n    STA $10", "$12"),
    # columns, case, line ends, and no character that code never holds
    ("Main:\n\tinx\n\tiny\n\tdex\n\t<|>\n", "LDA $12\n\tSTA.w Buffer\n", "lda $12\n\tsta.w Buffer"),
    ("Main:\n    INX\n    INY\n    DEX\n    <|>\n", "lda $12", "lda $12"),
    ("Main:\n    <|>\n", "LDA $12      ; a    b\n", "LDA $12      ; a    b"),
    ("Main:\n    <|>\n", "LDA $12\x00 STA", "LDA $12"),
    ("Main:\n    <|>\n", "LDA $12 ; \u202e evil", "LDA $12 ;"),
])
async def test_trims(source: str, says: str, shown: str) -> None:
    await check_ghost(";- main.asm\nBuffer = $1000\n" + source, says, shown)


async def test_line_ends_of_the_file() -> None:
    source = ";- main.asm\n" + "lorom\norg $008000\nMain:\n    <|>\n".replace("\n", "\r\n")
    found = await ghost(source, "INX\n    INY")
    assert found.offers[0].text == "INX\r\n    INY"


def test_any_answer_is_trimmed_without_trouble() -> None:
    draw = random.Random(3)
    pieces = ["LDA", "\n", " ", "$", "\r", "\r\n", ";", '"', "\x00", "é", "\ud800", "x" * 500, "    RTS\n", ":", "+"]
    file = parse_text("/ws/a.asm", SourceText.of("Main:\n    lda #$01\n    inx\n    iny\n    \n    RTS\n"))
    for _ in range(500):
        text = "".join(draw.choice(pieces) for _ in range(draw.randrange(15)))
        made = trimmed(file, draw.randrange(file.text.length + 1), text, 4)
        assert made.count("\n") < 4 and made == made.rstrip() and "\x00" not in made


# --- typing along ----------------------------------------------------------------------------------------------

async def test_typing_along_a_suggestion_asks_nobody() -> None:
    provider = Says("LDA #$01\n    STA $2100")
    completer = Completer(UserConfig(ghost=QUICK), local=provider, model=None, plugins=None)
    first = (await completer.complete(*at(SOURCE), False)).offers[0]
    for typed in ("L", "LDA", "LDA ", "LDA #$01\n", "LDA #$01\n    STA $210"):
        found = await completer.complete(*at(SOURCE.replace("<|>", typed + "<|>")), False)
        assert found.offers[0].text == first.text[len(typed):], typed
        assert found.offers[0].id != first.id and found.offers[0].verdict.size is None
    assert len(provider.requests) == 1
    again = (await completer.complete(*at(SOURCE), False)).offers[0]
    assert again == first
    await completer.close()


@pytest.mark.parametrize("changed", [
    SOURCE.replace("<|>", "LX<|>"), SOURCE.replace("<|>", "LDA<|>").replace("Next", "Then"),
    SOURCE.replace("<|>", "LDA<|>").replace("SEP", "REP"), SOURCE.replace("<|>", " LDA<|>"),
    SOURCE.replace("main.asm", "other.asm").replace("<|>", "LDA<|>"),
    SOURCE.replace("<|>", "LDA #$01<|>")])
async def test_what_does_not_continue_it_is_asked_anew(changed: str) -> None:
    provider = Says("LDA #$01")
    completer = Completer(UserConfig(ghost=QUICK), local=provider, model=None, plugins=None)
    await completer.complete(*at(SOURCE), False)
    await completer.complete(*at(changed), False)
    assert len(provider.requests) == 2
    await completer.close()


async def test_an_old_suggestion_is_forgotten() -> None:
    now = [0.0]
    provider = Says("LDA #$01")
    completer = Completer(UserConfig(ghost=QUICK), local=provider, model=None, plugins=None, clock=lambda: now[0])
    await completer.complete(*at(SOURCE), False)
    now[0] += 121
    await completer.complete(*at(SOURCE.replace("<|>", "L<|>")), False)
    assert len(provider.requests) == 2
    await completer.close()


# --- with Ollama -----------------------------------------------------------------------------------------------

@asynccontextmanager
async def completing(user: UserConfig) -> AsyncIterator[tuple[Completer, OllamaProvider]]:
    provider = OllamaProvider(user.ollama)
    completer = Completer(user, local=None, model=provider, plugins=None)
    try:
        yield completer, provider
    finally:
        await completer.close()
        await provider.close()


async def test_ghost_text_from_a_real_model(ollama_server: OllamaServer) -> None:
    user = UserConfig(ghost=QUICK, ollama=ollama_server.config())
    async with completing(user) as (completer, provider):
        found = await completer.complete(*at(SOURCE, user), True)
        [offer] = found.offers
        assert offer.text == "LDA.b #$0F\n    STA.w $2100\n    RTS"
        assert found.provider == "ollama:nayru" and offer.candidate.digest == (await provider.status()).digest
        assert offer.verdict.size == 6 and offer.verdict.judges == ("nayru",)
        assert "; Asar 1.91, lorom, A 8-bit" in offer.candidate.prompt or "A 8-bit" in offer.candidate.prompt


async def test_a_prompt_tells_what_is_known_and_leaves_the_cache_whole() -> None:
    async def reply(call: Call) -> None:
        await call.begin()
        await call.part("INX\n")
        await call.done()
    async with fake_ollama(reply) as fake:
        user = UserConfig(ghost=QUICK, ollama=OllamaConfig(url=fake.url))
        source = SOURCE.replace("Next:", "Next = $7E0010 ; what comes\nThen:").replace("SEP", "LDA Next\n    SEP")
        async with completing(user) as (completer, _):
            await completer.complete(*at(source, user), False)
            await completer.complete(*at(source.replace("<|>", "DEY\n    <|>"), user), False)
        first, second = (call.body["prompt"] for call in fake.asked("/api/generate"))
        assert "Next = $7E0010 ; what comes" in first and f"{context.STATE}\n; Asar 1.91" in first
        common = len(first) - len(first.split("<|fim_suffix|>")[1]) - len("<|fim_suffix|>")
        assert second[:common] == first[:common]


async def test_our_own_share_of_the_time_is_small() -> None:
    """Overhead over a bare call of the same server: the bench has the real bound, this only notices a disaster."""
    async def reply(call: Call) -> None:
        await call.begin()
        await call.part("INX\n")
        await call.part("    INY\n")
        await call.done()
    big = "".join(f"R{i}:\n    LDA #${i % 256:02X}\n    STA $10\n    RTS\n" for i in range(4000))
    async with fake_ollama(reply) as fake:
        user = UserConfig(ghost=QUICK, ollama=OllamaConfig(url=fake.url))
        project = Project().with_file(parse_text("/ws/main.asm", SourceText.of(big)))
        async with completing(user) as (completer, provider):
            ours, bare = [], []
            for round_ in range(20):
                text = project.files["/ws/main.asm"].text
                line = 5000 + 40 * round_
                offset = text.line_end(line)
                changed = text.replace(Span(offset, offset), "\n    ")
                project = project.with_file(parse_text(
                    "/ws/main.asm", changed, previous=project.files["/ws/main.asm"]))
                snapshot = Snapshot(project, Config(user), Client(), "utf-16", FactTable(), round_)
                begun = time.perf_counter()
                found = await completer.complete(snapshot, "/ws/main.asm", offset + 5, False)
                ours.append(time.perf_counter() - begun)
                assert found.offers, found.reason
                begun = time.perf_counter()
                async for part in provider._connected().stream("nayru", found.offers[0].candidate.prompt, {}):
                    assert part
                bare.append(time.perf_counter() - begun)
    overhead = 1000 * (sorted(ours)[10] - sorted(bare)[10])
    assert overhead < 40, overhead
