"""The Ollama provider: on a real server where it can be, on a lying one for the faults."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from nayru_lsp import prompt
from nayru_lsp.asm.facts import FactTable
from nayru_lsp.assist import context, ollama_client
from nayru_lsp.assist import ollama as ollama_module
from nayru_lsp.assist.ollama import OllamaProvider, _enough, _seconds
from nayru_lsp.config import Config, OllamaConfig
from nayru_lsp.contract import (
    Candidate,
    CompletionRequest,
    Fragment,
    GenerationRequest,
    ProviderError,
    Reason,
    Span,
    Verdict,
)
from nayru_lsp.snapshot import Client, Snapshot
from tests.assist.fake_ollama import SHOWN, Call, FakeOllama, Reply, fake_ollama
from tests.kit import project_of, read_fixture
from tests.ollama_server import OllamaServer, ollama_server

__all__ = ["ollama_server"]

SOURCE = """
;- main.asm
lorom
org $008000
Reset:
    SEP #$20
    <|>
Next:
    RTS
"""


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy machine may need its time to load a model that is not there."""
    monkeypatch.setattr(ollama_module, "LOAD_PATIENCE", 20.0)


def snapshot_of(text: str = SOURCE) -> tuple[Snapshot, str, int]:
    fixture = read_fixture(text)
    assert fixture.cursor is not None
    snapshot = Snapshot(project_of(fixture), Config(), Client(), "utf-16", FactTable(), 1)
    return snapshot, *fixture.cursor


def wanted(text: str = SOURCE, *, deadline: float = 5.0, max_lines: int = 4) -> CompletionRequest:
    return CompletionRequest(*snapshot_of(text), max_lines, deadline)


def wished(instruction: str = "wait for vertical blank", text: str = SOURCE, **more: Any) -> GenerationRequest:
    return GenerationRequest(*snapshot_of(text), instruction, 20.0, **more)


@asynccontextmanager
async def served(generate: Reply | None, **settings: Any) -> AsyncIterator[tuple[FakeOllama, OllamaProvider]]:
    async with fake_ollama(generate) as fake:
        provider = OllamaProvider(OllamaConfig(**{"url": fake.url, **settings}))
        try:
            yield fake, provider
        finally:
            await provider.close()


def says(*texts: str, count: int = 100) -> Reply:
    async def reply(call: Call) -> None:
        await call.begin()
        for text in texts:
            await call.part(text)
        await call.done(count)
    return reply


# --- the real server -------------------------------------------------------------------------------------------

async def test_a_real_ollama_completes_and_generates(ollama_server: OllamaServer) -> None:
    provider = OllamaProvider(ollama_server.config())
    try:
        status = await provider.status()
        assert (status.state, status.model) == ("ready", "nayru") and len(status.digest) == 64
        [ghost] = await provider.complete(wanted())
        assert ghost.text == "LDA.b #$0F\n    STA.w $2100\n    RTS"
        assert (ghost.maker, ghost.digest) == ("ollama:nayru", status.digest)
        assert ghost.prompt.endswith(prompt.FIM_MIDDLE) and json.loads(ghost.sampling)["num_ctx"] == 4096
        [routine] = await provider.generate(wished())
        assert routine.text.startswith("WaitVBlank:\n    BIT.w $4212")
        # Byte-level vocabulary: the measured rate is one byte a token, and no prompt is longer than its share.
        assert provider.rate == 1.0
        assert len(ghost.prompt) < 4096 * 3 // 4
    finally:
        await provider.close()


async def test_no_request_of_a_session_makes_ollama_reload(ollama_server: OllamaServer) -> None:
    """Option drift would cost seconds at each change: every request must say the same num_ctx."""
    provider = OllamaProvider(ollama_server.config())
    try:
        for _ in range(2):
            await provider.complete(wanted())
            assert await _loaded_context(ollama_server) == 4096
            await provider.generate(wished())
            assert await _loaded_context(ollama_server) == 4096
    finally:
        await provider.close()


async def test_the_reload_test_would_notice_drift(ollama_server: OllamaServer, monkeypatch: pytest.MonkeyPatch) -> None:
    real = prompt.generating
    monkeypatch.setattr(prompt, "generating", lambda config: replace(real(config), num_ctx=2048))
    provider = OllamaProvider(ollama_server.config())
    try:
        await provider.generate(wished())
        assert await _loaded_context(ollama_server) == 2048
    finally:
        await provider.close()


async def _loaded_context(server: OllamaServer) -> int:
    """The context that the model ``nayru`` is loaded with now."""
    connection = ollama_client.Connection(server.config())
    try:
        loaded = (await connection.client().ps()).models
    finally:
        await connection.close()
    return next(int(model.context_length or 0) for model in loaded if model.model == "nayru:latest")


async def test_a_missing_model_names_the_commands(ollama_server: OllamaServer) -> None:
    provider = OllamaProvider(ollama_server.config(model="nobody"))
    try:
        status = await provider.status()
    finally:
        await provider.close()
    assert status.state == "absent"
    assert "`nayru model create`" in status.reason
    assert "`ollama pull qwen2.5-coder:7b-instruct` (about 4.7 GB)" in status.reason


async def test_create_without_the_base_pulls_nothing(ollama_server: OllamaServer) -> None:
    with pytest.raises(ollama_client.Missing, match=r"ollama pull qwen2\.5-coder:7b-instruct.*4\.7 GB"):
        await ollama_client.create(ollama_server.config(model="made"))


@pytest.mark.parametrize("from_", ["./nothing.gguf", "/nowhere/merged", "nothing.gguf"])
async def test_create_from_a_file_that_is_not_there(from_: str) -> None:
    with pytest.raises(ProviderError, match="no file or folder"):
        await ollama_client.create(OllamaConfig(url="http://127.0.0.1:9"), from_=from_)


async def test_create_from_a_folder_without_weights(tmp_path: Path) -> None:
    with pytest.raises(ProviderError, match="holds no safetensors"):
        await ollama_client.create(OllamaConfig(url="http://127.0.0.1:9"), from_=str(tmp_path))


async def test_create_from_another_model(ollama_server: OllamaServer) -> None:
    seen: list[str] = []
    digest = await ollama_client.create(
        ollama_server.config(), name="second", from_="nayru", licences=["Apache-2.0"], progress=seen.append)
    assert len(digest) == 64 and "success" in seen
    shown = await _shown(ollama_server, "second")
    assert shown["system"] == prompt.SYSTEM and "Apache-2.0" in shown["license"]


async def test_a_cancelled_request_stops_the_real_server(ollama_server: OllamaServer) -> None:
    """The slot is free at once: a new request is answered while the old one would still have been running."""
    await asyncio.to_thread(ollama_server.make, "endless", completion="    NOP\n", stop=False)
    provider = OllamaProvider(ollama_server.config(model="endless"))
    try:
        task = asyncio.create_task(provider.complete(wanted(max_lines=1000)))
        await _until(lambda: bool(provider._running) and provider._loaded_until > 0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        begun = time.perf_counter()
        [ghost] = await provider.complete(wanted(max_lines=1))
        assert ghost.text.strip() == "NOP"
        assert time.perf_counter() - begun < 10
    finally:
        await provider.close()


async def _shown(server: OllamaServer, model: str) -> dict[str, Any]:
    connection = ollama_client.Connection(server.config())
    try:
        return await connection.show(model)
    finally:
        await connection.close()


# --- who text is never sent to ---------------------------------------------------------------------------------

@pytest.mark.parametrize(("settings", "said"), [
    ({"url": "http://192.0.2.7:11434"}, "allow_remote_host"),
    ({"url": "http://example.com"}, "allow_remote_host"),
    ({"url": "http://127.0.0.1.example.com:11434"}, "allow_remote_host"),
    ({"url": "http://0.0.0.0:11434"}, "allow_remote_host"),
    ({"url": "ftp://127.0.0.1"}, "must look like"),
    ({"url": "http://127.0.0.1:99999"}, "no address"),
    ({"url": ""}, "must look like"),
    ({"model": "qwen3-coder:480b-cloud"}, "remote service"),
    ({"model": "anything:cloud"}, "remote service"),
    ({"model": ""}, "no model name"),
])
async def test_refused_before_anything_is_sent(settings: dict[str, str], said: str) -> None:
    provider = OllamaProvider(OllamaConfig(**settings))  # type: ignore[arg-type]
    status = await provider.status()
    assert status.state == "refused" and said in status.reason
    with pytest.raises(ProviderError, match=said):
        await provider.complete(wanted())
    await provider.close()


@pytest.mark.parametrize("extra", [{"remote_host": "https://example.com:443"}, {"remote_model": "big"}])
async def test_a_model_that_runs_elsewhere_gets_no_text(extra: dict[str, str]) -> None:
    async with served(says("LDA #$01\n")) as (fake, provider):
        fake.shown = {**SHOWN, **extra}
        with pytest.raises(ProviderError, match="remote service"):
            await provider.complete(wanted())
        assert (await provider.status()).state == "refused"
        assert not fake.asked("/api/generate") and not fake.loads


async def test_a_model_of_another_form_gets_no_text() -> None:
    async with served(says("LDA #$01\n")) as (fake, provider):
        fake.shown = {"details": {"family": "llama"}, "template": "[INST]"}
        assert (await provider.status()).state == "refused"
        assert not fake.asked("/api/generate")


async def test_environment_and_redirects_lead_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    async with fake_ollama() as other:
        monkeypatch.setenv("OLLAMA_API_KEY", "secret")
        monkeypatch.setenv("OLLAMA_HOST", other.url)
        monkeypatch.setenv("HTTP_PROXY", other.url)
        monkeypatch.setenv("ALL_PROXY", other.url)
        async with served(says("LDA #$01\n")) as (fake, provider):
            assert (await provider.complete(wanted()))[0].text == "LDA #$01"
            assert all("authorization" not in call.headers for call in fake.calls)

            async def away(call: Call) -> None:
                await call.send(307, {}, f"Location: {other.url}{call.path}\r\n")
            fake.generate = away
            with pytest.raises(ProviderError, match="redirect"):
                await provider.complete(wanted())
        assert other.calls == []


async def test_the_key_that_the_user_set_is_sent() -> None:
    async with served(says("LDA #$01\n"), api_key="mine") as (fake, provider):
        await provider.complete(wanted())
        assert {call.headers["authorization"] for call in fake.calls} == {"Bearer mine"}


# --- one place for options, one call for many keys ---------------------------------------------------------------

async def test_options_of_all_requests_agree() -> None:
    async with served(says("LDA #$01\n", "    RTS\n"), keep_alive="-1") as (fake, provider):
        await provider.complete(wanted())
        await provider.generate(wished())
        bodies = [call.body for call in fake.calls if call.path == "/api/generate"]
        assert len(bodies) == 3 and fake.loads == 1
        for body in bodies:
            assert body["options"]["num_ctx"] == 4096
            assert body["keep_alive"] == -1
            assert not {"num_gpu", "num_thread", "num_batch", "main_gpu", "use_mmap"} & set(body["options"])
            assert "suffix" not in body and "system" not in body and "template" not in body
        assert all(body["raw"] for body in bodies)


async def test_the_model_is_spoken_to_in_its_own_system_text() -> None:
    async with served(says("    RTS\n")) as (fake, provider):
        fake.shown = {**SHOWN, "system": "You are nayru-v5."}
        [candidate] = await provider.generate(wished())
        assert candidate.prompt.startswith("<|im_start|>system\nYou are nayru-v5.<|im_end|>\n")


async def test_the_newest_request_of_a_document_wins_and_the_older_socket_closes() -> None:
    closed = asyncio.Event()

    async def slow_once(call: Call) -> None:
        if len(fake.asked("/api/generate")) > 1:
            await says("LDA #$02\n")(call)
            return
        await call.begin()
        await call.part("LDA")
        await call.gone()
        closed.set()

    async with served(slow_once) as (fake, provider):
        first = asyncio.create_task(provider.complete(wanted()))
        await _until(lambda: bool(fake.asked("/api/generate")))
        second = await provider.complete(wanted())
        assert await first == ()
        assert second[0].text == "LDA #$02"
        await asyncio.wait_for(closed.wait(), 10)


async def test_cancelling_closes_the_socket_at_once() -> None:
    closed: list[float] = []

    async def hang(call: Call) -> None:
        await call.begin()
        await call.gone()
        closed.append(time.perf_counter())

    async with served(hang) as (fake, provider):
        task = asyncio.create_task(provider.complete(wanted()))
        await _until(lambda: bool(fake.asked("/api/generate")))
        begun = time.perf_counter()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await _until(lambda: bool(closed))
        assert closed[0] - begun < 2


async def test_ghost_text_gives_way_to_a_routine() -> None:
    go_on = asyncio.Event()

    async def reply(call: Call) -> None:
        await call.begin()
        if call.body["prompt"].endswith(prompt.FIM_MIDDLE):
            await call.gone()
            return
        await go_on.wait()
        await call.part("    RTS\n")
        await call.done()

    async with served(reply) as (fake, provider):
        ghost = asyncio.create_task(provider.complete(wanted()))
        await _until(lambda: bool(fake.asked("/api/generate")))
        routine = asyncio.create_task(provider.generate(wished()))
        assert await ghost == ()
        with pytest.raises(ProviderError, match="busy with a routine"):
            await provider.complete(wanted())
        go_on.set()
        assert (await routine)[0].text == "    RTS\n"


async def test_a_model_that_is_being_loaded_is_not_waited_for() -> None:
    loaded = asyncio.Event()

    async with served(says("LDA #$01\n")) as (fake, provider):
        answer = fake.answer

        async def slow_load(call: Call) -> None:
            if call.path == "/api/generate" and call.body["options"]["num_predict"] == 1:
                await loaded.wait()
            await answer(call)
        fake.answer = slow_load  # type: ignore[method-assign]
        with pytest.raises(ProviderError, match="being loaded"):
            await provider.complete(wanted(deadline=0.05))
        assert (await provider.status()).state == "starting"
        loaded.set()
        await _until(lambda: provider._loading is None)
        assert (await provider.status()).state == "ready"
        assert (await provider.complete(wanted()))[0].text == "LDA #$01"
        assert fake.loads == 1


# --- faults ----------------------------------------------------------------------------------------------------

async def _break_off(call: Call) -> None:
    await call.begin()
    await call.part("LDA #$01\n    STA $2100\n    RT")
    call.writer.transport.abort()


async def _error_line(call: Call) -> None:
    await call.begin()
    await call.part("LDA #$01\n    STA $21")
    await call.chunk({"error": "model runner has unexpectedly stopped"})


async def _endless(call: Call) -> None:
    await call.begin()
    while not call.writer.is_closing():
        await call.chunk({"model": "nayru", "response": "", "done": False})
        await asyncio.sleep(0)


async def _one_huge_line(call: Call) -> None:
    await call.begin()
    while not call.writer.is_closing():
        await call.chunk(b" " * 65536)


async def _packed(call: Call) -> None:
    await call.begin("Content-Encoding: gzip\r\n")
    await call.done()


def _status(code: int, body: Any) -> Reply:
    async def reply(call: Call) -> None:
        await call.send(code, body)
    return reply


def _raw(*chunks: bytes) -> Reply:
    async def reply(call: Call) -> None:
        await call.begin()
        for chunk in chunks:
            await call.chunk(chunk)
        call.writer.write(b"0\r\n\r\n")
    return reply


async def _hang(call: Call) -> None:
    await call.begin()
    await call.gone()


async def _no_http(call: Call) -> None:
    call.writer.write(b"SSH-2.0-OpenSSH_9.2\r\n\r\n")
    await call.writer.drain()
    call.writer.close()


@pytest.mark.parametrize(("reply", "said"), [
    (_hang, "did not answer within"),
    (_endless, "did not answer within|broke off"),
    (_one_huge_line, "broke off|did not answer within"),
    (_packed, "broke off"),
    (_status(500, {"error": "model runner has unexpectedly stopped"}), "failed on 'nayru' .*unexpectedly stopped"),
    (_status(503, {"error": "server busy, please try again"}), "busy"),
    (_status(400, {"error": "raw mode does not support template"}), "refused the request"),
    (_status(401, b"who are you"), "api_key"),
    (_status(404, {"error": "model 'nayru' not found"}), "no model 'nayru'"),
    (_status(200, b"<html>\x00\xff"), "not as Ollama does"),
    (_raw(b"[1, 2]\n"), "not as Ollama does"),
    (_raw(b'{"response": {"a": 1}, "done": false}\n'), "not as Ollama does"),
    (_raw(b"[" * 200_000 + b"\n"), "not as Ollama does"),
    (_raw(b'{"error": "' + b"x" * 5000 + b'\\u0007"}\n'), "failed on"),
    (_no_http, "broke off"),
], ids=lambda value: getattr(value, "__name__", None))
async def test_faults_are_one_clear_sentence(reply: Reply, said: str) -> None:
    async with served(reply, complete_timeout=0.6) as (_, provider):
        with pytest.raises(ProviderError, match=said) as caught:
            await provider.complete(wanted())
        assert len(str(caught.value)) < 400 and str(caught.value).isprintable()


@pytest.mark.parametrize("shown", [b"\x00", [1], {"details": 7, "template": None}, {"details": {"family": 3}}])
async def test_a_server_that_shows_nonsense_is_refused_or_absent(shown: Any) -> None:
    async with served(says("LDA #$01\n")) as (fake, provider):
        fake.shown = shown
        assert (await provider.status()).state in ("absent", "refused")
        assert not fake.asked("/api/generate")


@pytest.mark.parametrize(("reply", "left"), [
    (_break_off, "LDA #$01\n    STA $2100"), (_error_line, "LDA #$01")])
async def test_what_came_before_a_break_is_used_as_far_as_its_lines_are_whole(reply: Reply, left: str) -> None:
    async with served(reply) as (_, provider):
        assert (await provider.complete(wanted()))[0].text == left


async def test_a_stream_that_ends_undone_is_an_answer() -> None:
    """Ollama's own guard against repetition ends a stream so."""
    async with served(_raw(b'{"response": "    db $00\\n    db $0", "done": false}\n')) as (_, provider):
        assert (await provider.complete(wanted()))[0].text == "    db $00\n    db $0"


async def test_after_a_failure_nothing_is_sent_for_a_while() -> None:
    now = [100.0]
    async with fake_ollama(_status(500, {"error": "boom"})) as fake:
        provider = OllamaProvider(OllamaConfig(url=fake.url), clock=lambda: now[0])
        for _ in range(3):
            with pytest.raises(ProviderError, match="boom"):
                await provider.complete(wanted())
        assert len(fake.asked("/api/generate")) == 1
        assert (await provider.status()).state == "absent"
        now[0] += 2.1
        with pytest.raises(ProviderError, match="boom"):
            await provider.complete(wanted())
        assert len(fake.asked("/api/generate")) == 2
        now[0] += 2.1       # the second pause is longer
        with pytest.raises(ProviderError, match="boom"):
            await provider.complete(wanted())
        assert len(fake.asked("/api/generate")) == 2
        now[0] += 60
        fake.generate = says("LDA #$01\n")
        assert (await provider.complete(wanted()))[0].text == "LDA #$01"
        assert (await provider.status()).state == "ready"
        await provider.close()


async def test_nothing_listens() -> None:
    async with fake_ollama() as fake:
        url = fake.url
    provider = OllamaProvider(OllamaConfig(url=url))
    status = await provider.status()
    assert status.state == "absent" and "`ollama serve`" in status.reason
    await provider.close()


async def test_a_slow_machine_is_told_after_three_late_answers() -> None:
    async with served(_hang, complete_timeout=0.05) as (_, provider):
        for _ in range(3):
            with pytest.raises(ProviderError, match="did not answer"):
                await provider.complete(wanted(deadline=0.05))
        assert "too slow here" in (await provider.status()).reason


# --- length ----------------------------------------------------------------------------------------------------

async def test_no_prompt_is_longer_than_three_quarters_of_the_context() -> None:
    big = "".join(f"    db ${i % 256:02X},${i * 7 % 256:02X} ; {i}\n" for i in range(3000))
    text = f";- main.asm\n{big}Main:\n    LDA #$01\n<|>\n{big}"
    async with served(says("LDA #$01\n", count=2000)) as (_, provider):
        facts = tuple(Fragment(f"facts {i}", "; $2100 screen\n" * 400) for i in range(4))
        for rate in (1.0, 1.7, 3.9):
            provider.rate = rate
            provider._calibrated = True
            request = wanted(text)
            request = CompletionRequest(request.snapshot, request.path, request.offset, 4, 5.0, facts)
            ghost = (await provider.complete(request))[0].prompt
            attempts = ((Candidate("    LDA #$01\n" * 300, "x"),
                         Verdict(False, 0, ("nayru",), (Reason("N", "wrong " * 50, Span(0, 3)),) * 9)),) * 5
            chats = [(await provider.generate(wished(wish, text, fragments=facts, attempts=attempts)))[0].prompt
                     for wish in ("do it", "do it " * 3000)]
            for made in (ghost, *chats):
                assert context.tokens_at_most(made, rate) <= 3072, rate


async def test_the_density_of_tokens_is_learned_and_never_forgotten() -> None:
    filler = "; some words of comment that stand here\n" * 60
    counts = iter((700, 1400, 500))

    async def reply(call: Call) -> None:
        await says("LDA #$01\n", count=next(counts))(call)

    async with served(reply) as (_, provider):
        await provider.complete(wanted(f";- main.asm\n{filler}<|>\n"))
        first = provider.rate
        assert 1.5 < first < 4
        await provider.complete(wanted(f";- main.asm\n{filler}<|>\n"))
        assert 1.0 <= provider.rate < first
        densest = provider.rate
        await provider.complete(wanted(f";- main.asm\n{filler}<|>\n"))
        assert provider.rate == densest


async def test_the_density_is_known_once_the_model_is_loaded() -> None:
    """Ghost text is mostly stopped before Ollama counts: the sample that loads the model is what is counted."""
    async with served(says("LDA #$01\n")) as (fake, provider):
        fake.sample_tokens = 200
        await provider.complete(wanted())
        assert 1.2 < provider.rate < 4
        assert 200 <= context.tokens_at_most(context.SAMPLE, provider.rate) <= 225
        assert context.rate_of(context.SAMPLE, 200) is not None


async def test_a_model_with_a_small_context_gets_short_prompts() -> None:
    async with served(says("LDA #$01\n")) as (fake, provider):
        fake.shown = {**SHOWN, "model_info": {"qwen2.context_length": 512}}
        [ghost] = await provider.complete(wanted(";- main.asm\n" + "    NOP\n" * 200 + "<|>\n"))
        assert len(ghost.prompt) <= 384
        assert fake.asked("/api/generate")[0].body["options"]["num_ctx"] == 4096


# --- where an answer ends --------------------------------------------------------------------------------------

@pytest.mark.parametrize(("answer", "below", "kept"), [
    ("LDA #$01\n    STA $10", "", None),
    ("LDA #$01\n    STA $10\n    STA $12\n    STA $14\n    X", "", "LDA #$01\n    STA $10\n    STA $12\n    STA $14\n"),
    ("\n    LDA #$01\n    STA $10\n    STA $12\n    STA $14\n", "",
     "\n    LDA #$01\n    STA $10\n    STA $12\n    STA $14\n"),
    ("LDA #$01\n\n    STA $10", "", "LDA #$01\n"),
    ("LDA #$01\n    STA $10\n", "STA $10", "LDA #$01\n"),
    ("RTS\nOther:", "", "RTS\n"),
    ("    rts ; done\nOther:", "", "    rts ; done\n"),
    ("db $00\n    db $00\n    db $00\n", "", "db $00\n    db $00\n"),
])
def test_enough_of_an_answer(answer: str, below: str, kept: str | None) -> None:
    cut = _enough(answer, 4, below)
    assert (None if cut is None else answer[:cut]) == kept


@pytest.mark.parametrize(("setting", "seconds"), [("30m", 1620), ("1h", 3240), ("90", 81), ("-1", 1e9), ("soon", 270)])
def test_keep_alive(setting: str, seconds: float) -> None:
    assert _seconds(setting) == pytest.approx(seconds)


async def _until(true: Any, seconds: float = 20.0) -> None:
    async with asyncio.timeout(seconds):
        while not true():
            await asyncio.sleep(0.005)
