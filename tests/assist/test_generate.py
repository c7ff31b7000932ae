"""Comment -> routine: the wish read, the answer cut out of its prose, errors fed back, the best one offered."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import pytest

from nayru_lsp.asm.facts import FactTable
from nayru_lsp.asm.text import Span
from nayru_lsp.assist.generate import Generation, code_of, generate, wish_at
from nayru_lsp.assist.ollama import OllamaProvider
from nayru_lsp.config import Config, GenerateConfig, OllamaConfig, UserConfig
from nayru_lsp.contract import Candidate, GenerationRequest, Provider, ProviderError, ProviderStatus
from nayru_lsp.snapshot import Client, Snapshot
from tests.kit import Fixture, project_of, read_fixture
from tests.ollama_server import OllamaServer, ollama_server

__all__ = ["ollama_server"]

SOURCE = """
;- main.asm
lorom
org $008000
Main:
    SEP #$20
    RTS

; Wait for vertical blank.<|>

After:
    RTS
"""
GOOD = "WaitVBlank:\n    BIT.w $4212\n    BPL WaitVBlank\n    RTS\n"


@dataclass
class Scripted:
    """A provider that gives the answers of a list, one a call; an exception in it is raised."""

    answers: list[str | ProviderError]
    name: str = "scripted"
    maker: str = "scripted"
    requests: list[GenerationRequest] = field(default_factory=list)

    async def status(self) -> ProviderStatus:
        return ProviderStatus("ready", self.name)

    async def complete(self, request: object) -> tuple[Candidate, ...]:
        return ()

    async def generate(self, request: GenerationRequest) -> tuple[Candidate, ...]:
        self.requests.append(request)
        if not self.answers:
            return ()
        answer = self.answers.pop(0)
        if isinstance(answer, ProviderError):
            raise answer
        if request.heard is not None:
            for end in range(0, len(answer), 10):
                request.heard(answer[:end])
        return (Candidate(answer, self.maker),)


async def generated(*providers: Provider, source: str = SOURCE, rounds: int = 2, user: UserConfig | None = None,
                    said: list[tuple[str, float]] | None = None) -> tuple[Generation, str]:
    """The Generation at the cursor, and the text of the file with it."""
    fixture = read_fixture(source)
    snapshot, path, span = placed(fixture, user or UserConfig(generate=GenerateConfig(repair_rounds=rounds)))
    heard: list[tuple[str, float]] = [] if said is None else said
    found = await generate(snapshot, path, span, providers=providers, plugins=None,
                           progress=lambda message, share: heard.append((message, share)))
    text = snapshot.project.files[path].text
    return found, str(text.replace(found.offer.span, found.offer.text)) if found.offer else str(text)


def placed(fixture: Fixture, user: UserConfig) -> tuple[Snapshot, str, Span]:
    snapshot = Snapshot(project_of(fixture), Config(user), Client(), "utf-16", FactTable(), 1)
    if fixture.selection is not None:
        path, start, end = fixture.selection
        return snapshot, path, Span(start, end)
    assert fixture.cursor is not None
    return snapshot, fixture.cursor[0], Span(fixture.cursor[1], fixture.cursor[1])


async def test_a_good_answer_stands_below_the_comment() -> None:
    provider = Scripted([GOOD])
    found, text = await generated(provider)
    assert found.offer is not None and found.rounds == 1
    assert "; Wait for vertical blank.\n" + GOOD + "\nAfter:" in text
    assert found.offer.kind == "routine" and found.offer.verdict.ok
    assert (found.offer.verdict.size, found.offer.verdict.cycles) == (6, (12, 14))
    assert found.reason == "by scripted, judged by nayru, 6 bytes, 12-14 cycles in a straight line"
    assert provider.requests[0].instruction == "Wait for vertical blank."


async def test_errors_are_fed_back_until_it_holds() -> None:
    bad = GOOD.replace("BIT.w", "BOT.w")
    provider = Scripted([bad, bad.replace("BPL WaitVBlank", "BPL Elsewhere"), GOOD])
    found, _ = await generated(provider)
    assert found.offer is not None and found.rounds == 3
    [(first, verdict)] = provider.requests[1].attempts
    assert "BOT.w" in first.text and not verdict.ok
    assert first.text[slice(*verdict.reasons[0].span)] == "BOT.w $4212"
    assert len(provider.requests[2].attempts) == 2


async def test_what_never_holds_is_not_offered() -> None:
    provider = Scripted(["    INX\n    BOT\n", "    BIT #$1234\n    BOT\n", "    BOT\n    RTS\n"])
    found, text = await generated(provider)
    assert found.offer is None and found.rounds == 3 and "After:" in text
    assert found.reason.startswith("scripted wrote nothing that holds (BOT is no mnemonic")


async def test_the_next_provider_is_asked_when_the_first_fails() -> None:
    broken = Scripted([ProviderError("Ollama does not run")], name="ollama")
    found, _ = await generated(broken, Scripted([GOOD], maker="library:wait"))
    assert found.offer is not None and found.offer.candidate.maker == "library:wait"
    assert found.reason.endswith("; Ollama does not run")
    found, _ = await generated(broken, Scripted([]))
    assert found.offer is None and "scripted knows nothing for this wish" in found.reason
    found, _ = await generated()
    assert found.reason == "nobody was there to be asked"


async def test_prose_alone_is_said() -> None:
    found, _ = await generated(Scripted(["I am sorry, I cannot do that. Please ask somebody."]))
    assert found.offer is None and "answered with no code" in found.reason


async def test_progress_tells_the_lines_as_they_come() -> None:
    said: list[tuple[str, float]] = []
    await generated(Scripted([GOOD]), said=said)
    assert any("line 2: BIT.w $4212" in message for message, _ in said)
    assert said[-1] == ("done", 1.0)


async def test_a_cancelled_run_ends_at_once() -> None:
    class Hanging(Scripted):
        async def generate(self, request: GenerationRequest) -> tuple[Candidate, ...]:
            await asyncio.Event().wait()
            return ()
    task = asyncio.create_task(generated(Hanging([])))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(task, 2)


async def test_a_library_routine_gets_a_free_name() -> None:
    source = SOURCE.replace("After:", "WaitVBlank:")
    found, text = await generated(Scripted([GOOD], maker="library:wait"), source=source)
    assert found.offer is not None and "WaitVBlank_2:\n    BIT.w $4212\n    BPL WaitVBlank_2\n" in text


async def test_line_ends_and_a_missing_last_one() -> None:
    crlf = SOURCE.strip("\n").replace("\n", "\r\n").replace(";- main.asm\r\n", ";- main.asm\n")
    _, text = await generated(Scripted([GOOD]), source=crlf)
    assert GOOD.replace("\n", "\r\n") in text and "\n" not in text.replace("\r\n", "")
    _, text = await generated(Scripted([GOOD]), source=";- main.asm\nMain:\n    RTS\n; wait<|>")
    assert text.endswith("; wait\n" + GOOD)


async def test_a_wish_that_is_repeated_at_the_top_is_dropped() -> None:
    _, text = await generated(Scripted(["; wait for vertical blank.\n" + GOOD]))
    assert text.count("ertical blank") == 1


# --- the wish --------------------------------------------------------------------------------------------------

@pytest.mark.parametrize(("source", "wish", "below"), [
    ("; one<|>\n; two\nX:\n", "one\ntwo", "X:\n"),
    ("; one\n; two\n<|>\nX:\n", "one\ntwo", "\nX:\n"),
    ("<|>; one\n; two<|>\n; three\n", "one\ntwo", "; three\n"),
    ("; ---------\n;  Title\n; ---------\n<|>", "Title", ""),
    ("X:\n    RTS ; not this\n<|>\n", None, ""),
    ("; far above\n\n\n\n\n<|>", None, ""),
    (";\n;;;\n<|>", None, ""),
    ("<|>", None, ""),
    ("    INX\n    ; inner <|>wish\n    RTS\n", "inner wish", "    RTS\n"),
])
def test_the_wish_is_read(source: str, wish: str | None, below: str) -> None:
    fixture = read_fixture(";- main.asm\n" + source)
    _, path, span = placed(fixture, UserConfig())
    file = project_of(fixture).files[path]
    found = wish_at(file, span)
    assert (found[0] if found else None) == wish
    if found:
        assert str(file.text)[found[1]:] == below


async def test_without_a_comment_nobody_is_asked() -> None:
    provider = Scripted([GOOD])
    found, _ = await generated(provider, source=";- main.asm\nMain:\n    RTS\n<|>\n")
    assert found.offer is None and "no comment here" in found.reason and not provider.requests


# --- the answer ------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("answer", [
    GOOD,
    f"```asm\n{GOOD}```",
    f"Sure! Here is the routine.\n\n```65816\n{GOOD}```\nIt waits until the screen is drawn.",
    f"```\n{GOOD}",
    f"Certainly, this waits:\n\n{GOOD}\nExplanation:\nThe bit is set in vertical blank.",
    GOOD.replace("\n", "\r\n"),
])
def test_code_is_cut_out_of_prose(answer: str) -> None:
    assert code_of(answer).strip("\n") == GOOD.strip("\n")


@pytest.mark.parametrize("answer", [
    "", "Sorry.", "```\n\n```", "\x00", "; only a comment\n", "Use the BIT mnemonic\nwell."])
def test_no_code(answer: str) -> None:
    assert code_of(answer).strip() == ""


# --- the real server -------------------------------------------------------------------------------------------

async def test_a_real_model_writes_a_routine(ollama_server: OllamaServer) -> None:
    user = UserConfig(ollama=ollama_server.config())
    provider = OllamaProvider(user.ollama)
    said: list[tuple[str, float]] = []
    try:
        found, text = await generated(provider, user=user, said=said)
    finally:
        await provider.close()
    assert found.offer is not None and found.offer.candidate.maker == "ollama:nayru"
    assert "; Wait for vertical blank.\n" + GOOD in text
    assert any("line 1: WaitVBlank:" in message for message, _ in said)


async def test_a_real_model_that_writes_rubbish_is_asked_again_and_then_not_shown(ollama_server: OllamaServer) -> None:
    await asyncio.to_thread(ollama_server.make, "rubbish", routine="Here:\n    LDA #$123456\n    BOT $10\n")
    user = UserConfig(ollama=OllamaConfig(url=ollama_server.url, model="rubbish"))
    provider = OllamaProvider(user.ollama)
    try:
        found, _ = await generated(provider, user=user)
    finally:
        await provider.close()
    assert found.offer is None and found.rounds == 3
    assert found.reason.startswith("ollama:rubbish wrote nothing that holds")
