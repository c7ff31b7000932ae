"""The embedded Provider over a real worker process, and the predictor in it."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio
from hypothesis import given, settings
from hypothesis import strategies as st

from nayru_lsp.asm.facts import FactTable
from nayru_lsp.asm.parser import parse_text
from nayru_lsp.asm.project import Project
from nayru_lsp.asm.text import SourceText
from nayru_lsp.assist import local_predict, local_rank
from nayru_lsp.assist.local import LocalProvider, changed_lines
from nayru_lsp.assist.local_candidates import gather, place_at
from nayru_lsp.assist.local_index import split_lines
from nayru_lsp.assist.local_predict import Predictor
from nayru_lsp.assist.local_rank import rank
from nayru_lsp.config import Config
from nayru_lsp.contract import CompletionRequest, GenerationRequest, ProviderError, Verdict
from nayru_lsp.snapshot import Client, Snapshot
from nayru_lsp.work import Worker

ROUTINE = """\
Actor{n}:
    PHB
    PHK
    PLB
    LDA !state{n},X
    ASL A
    TAX
    JSR (.table,X)
    PLB
    RTL
.table
    dw Actor{n}_Init
    dw Actor{n}_Main
"""
PROJECT = "\n".join(ROUTINE.format(n=n) for n in range(8))


def best(text: str, project: str = PROJECT, max_lines: int = 4, threshold: float = 0.5) -> tuple[str, float]:
    """The best suggestion at the `|` in ``text``, the project indexed beside it."""
    predictor = Predictor()
    predictor.handle(("add", [("/ws/other.asm", project)]))
    return best_of(predictor, text, max_lines, threshold)


def best_of(predictor: Predictor, text: str, max_lines: int = 4, threshold: float = 0.5) -> tuple[str, float]:
    offset = text.index("|")
    text = text.replace("|", "")
    predictor.handle(("open", "/ws/open.asm", text))
    row = text.count("\n", 0, offset)
    column = offset - (text.rfind("\n", 0, offset) + 1)
    answer = predictor.handle(("predict", "/ws/open.asm", row, column, max_lines, threshold))
    return answer[0] if answer else ("", 0.0)


# --- predicting ------------------------------------------------------------------------------------------------------

def test_the_next_line_of_a_familiar_sequence() -> None:
    text, probability = best("Actor9:\n    PHB\n    PHK\n|", max_lines=1)
    assert text == "    PLB" and probability > 0.5


def test_what_is_typed_is_continued_in_its_own_style() -> None:
    assert best("Actor9:\n\tphb\n\tphk\n\tp|", max_lines=1)[0] == "lb"
    assert best("Actor9:\n\tphb\n\tphk\n|", max_lines=1)[0] == "\tplb"


def test_operands_are_substituted() -> None:
    text, _ = best("Actor9:\n    PHB\n    PHK\n    PLB\n    LDA !state9,X\n    ASL A\n    TAX\n    JSR (.table,X)\n"
                   "    PLB\n    RTL\n.table\n    dw Actor9_Init\n|", max_lines=1, threshold=0.0)
    assert text == "    dw Actor9_Main"


@pytest.mark.parametrize(("probability", "lines"), [
    (0.95, ["    JSR (.table,X)", "    PLB", "    RTL"]),       # nothing behind the return
    (0.75, ["    JSR (.table,X)", "    PLB"]),                  # 0.75 * 0.75 is above a half, a third factor not
    (0.69, ["    JSR (.table,X)"]),
])
def test_how_far_a_suggestion_goes(probability: float, lines: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def sure(*arguments: object, **options: object) -> list[local_rank.Ranked]:
        first, *rest = rank(*arguments, **options)      # type: ignore[arg-type]
        return [first._replace(probability=probability), *rest]

    monkeypatch.setattr(local_predict, "rank", sure)
    text, whole = best("Actor9:\n    PHB\n    PHK\n    PLB\n    LDA !state9,X\n    ASL A\n    TAX\n|")
    assert text.split("\n") == lines
    assert whole == pytest.approx(probability ** len(lines))


def test_a_finished_line_is_followed_by_the_next() -> None:
    text, _ = best("Actor9:\n    PHB\n    PHK|\n", max_lines=1)
    assert text == "\n    PLB"


def test_the_line_below_is_not_repeated() -> None:
    text, _ = best("Actor9:\n    PHB\n    PHK\n|\n    PLB\n    LDA !state9,X\n", threshold=0.0)
    assert text.split("\n")[0] != "    PLB"


def test_progressions() -> None:
    predictor = Predictor()
    predictor.handle(("open", "a", "    STZ $10\n    STZ $12\n    STZ $14\n\n"))
    place = place_at(predictor.index, predictor.index.files["a"].lines, 3, path="a")
    assert "stz $16" in gather(predictor.index, place).candidates


def test_a_label_that_is_waited_for() -> None:
    predictor = Predictor()
    predictor.handle(("open", "a", "Main:\n    LDA $10\n    BEQ .done\n    INC $12\n\n"))
    place = place_at(predictor.index, predictor.index.files["a"].lines, 4, path="a")
    assert gather(predictor.index, place).candidates[".done"].unresolved


@pytest.mark.parametrize("text", [
    "    LDA $10 ; a comm|ent", "    LDA |$10", "|", "\n|\n", "    db \"text|", "%%%%|", "|\x00\x00", "((((((((((|",
    ";|", "!|", "x:::|", "+|", "    LDA $10 : |",
])
def test_any_place_is_answered(text: str) -> None:
    assert isinstance(best(text, threshold=0.0)[0], str)


LINES = st.sampled_from([
    "    LDA $10", "    STA $12 : RTS", "Main:", ".sub", "+", "- DEX", "    db $01,$02", "!a = ²", "!a1 = $0F",
    "!a2 = $10", "    %m(a1)", "    %m(a2)", "", "; note", "    BNE .sub", "    LDA.w Table_A,X", "    LDA.w Table_B,X",
    "    PHA", "٣",
]) | st.text(max_size=12).map(lambda text: text.replace("\r", "").replace("\n", ""))


@settings(max_examples=150, deadline=None)
@given(st.lists(LINES, min_size=1, max_size=14), st.data())
def test_any_text_is_answered(lines: list[str], data: st.DataObject) -> None:
    predictor = Predictor()
    predictor.handle(("add", [("/ws/other.asm", PROJECT)]))
    predictor.handle(("open", "/ws/a.asm", "\n".join(lines)))
    row = data.draw(st.integers(0, len(lines) - 1))
    column = data.draw(st.integers(0, len(lines[row])))
    for text, probability in predictor.handle(("predict", "/ws/a.asm", row, column, 4, 0.0)):
        assert text and 0.0 <= probability <= 1.0 and text.count("\n") <= 4


def test_no_suggestion_before_code_or_in_a_comment() -> None:
    assert best("    LDA |$10", threshold=0.0) == ("", 0.0)
    assert best("    LDA $10 ; then|", threshold=0.0) == ("", 0.0)


def test_empty_workspace_is_quiet() -> None:
    predictor = Predictor()
    assert best_of(predictor, "|")[1] < 0.5
    assert predictor.handle(("predict", "/unknown", 0, 0, 4, 0.5)) == []


def test_a_changed_line_is_learned() -> None:
    predictor = Predictor()
    predictor.handle(("open", "/a", "    LDA $77\n    XBA\n    STA $78\n" * 3 + "    LDA $77\n"))
    predictor.handle(("edit", "/a", 9, 9, ["    LDA $77", "    XBA", "    WDM #$42", "    NOP"] * 4))
    predictor.handle(("settle", "/a"))
    assert best_of(predictor, "    LDA $77\n    XBA\n    WDM #$42\n|")[0].split("\n")[0] == "    NOP"


# --- ranking ---------------------------------------------------------------------------------------------------------

def places() -> Iterator[list[local_rank.Ranked]]:
    lines = split_lines(PROJECT)
    predictor = Predictor()
    predictor.handle(("add", [("a", PROJECT)]))
    for row in range(5, len(lines), 7):
        for suffix in (True, False):
            place = place_at(predictor.index, lines, row, path="a", suffix=suffix)
            yield rank(predictor.index, place, gather(predictor.index, place))
            yield rank(predictor.index, place, gather(predictor.index, place), hand=True)


def test_probabilities_are_probabilities() -> None:
    for ranked in places():
        values = [one.probability for one in ranked]
        assert all(0.0 <= value <= 1.0 for value in values)
        assert values == sorted(values, reverse=True)
        assert len({one.text for one in ranked}) == len(ranked)


def test_weights_are_shipped_and_fit_the_features() -> None:
    models = local_rank.shipped()
    assert models is not None and len(models) == 2
    for model in models:
        for tree in model.trees:
            assert max(tree.feature) < len(local_rank.FEATURES)
            assert len(tree.leaf) == len(tree.feature) + 1 or len(tree.leaf) == 1
    assert local_rank.load(local_rank.dump(models)) == models


def test_weights_of_another_version_are_refused() -> None:
    data = local_rank.dump(local_rank.shipped() or ())
    assert local_rank.load(b"") is None and local_rank.load(b"XXXX" + data[4:]) is None
    assert local_rank.load(data[:6] + b"\x01\x00" + data[8:]) is None


def test_features_and_names_agree() -> None:
    predictor = Predictor()
    predictor.handle(("add", [("a", PROJECT)]))
    place = place_at(predictor.index, split_lines(PROJECT), 6, path="a")
    _, rows = local_rank.features(predictor.index, place, gather(predictor.index, place))
    assert rows and all(len(row) == len(local_rank.FEATURES) for row in rows)


# --- the provider ----------------------------------------------------------------------------------------------------

@pytest_asyncio.fixture
async def provider() -> AsyncIterator[LocalProvider]:
    one = LocalProvider(Worker("nayru_lsp.assist.local:serve", name="predictor"))
    try:
        yield one
    finally:
        await one.close()


def request(text: str, path: str = "/ws/open.asm", deadline: float = 20.0, max_lines: int = 1) -> CompletionRequest:
    offset = text.index("|")
    parsed = parse_text(path, SourceText.of(text.replace("|", "")))
    snapshot = Snapshot(Project().with_file(parsed), Config(), Client(), "utf-16", FactTable(()), 1)
    return CompletionRequest(snapshot, path, offset, max_lines, deadline)


async def test_the_provider_learns_and_answers(provider: LocalProvider) -> None:
    told: list[tuple[str, float]] = []
    await provider.index([("/ws/other.asm", PROJECT)], lambda message, share: told.append((message, share)))
    assert told[-1][1] == 1.0
    candidate, *_ = await provider.complete(request("Actor9:\n    PHB\n    PHK\n|"))
    assert candidate.text == "    PLB" and candidate.maker == "local"
    assert candidate.confidence is not None and candidate.confidence > 0.5
    assert (await provider.status()).state == "ready"


async def test_edits_follow_by_difference(provider: LocalProvider) -> None:
    await provider.index([("/ws/other.asm", PROJECT)])
    for text in ("Actor9:\n    PHB\n|", "Actor9:\n    PHB\n    PHK\n|", "Actor9:\r\n    PHB\r\n    PHK\r\n|"):
        found = await provider.complete(request(text))
    assert found[0].text == "    PLB"


async def test_a_killed_worker_is_fed_again(provider: LocalProvider) -> None:
    await provider.index([("/ws/other.asm", PROJECT)])
    await provider.complete(request("Actor9:\n    PHB\n|"))
    worker = provider._worker
    assert isinstance(worker, Worker)
    worker.kill()
    for _ in range(50):
        try:
            found = await provider.complete(request("Actor9:\n    PHB\n    PHK\n|"))
            break
        except ProviderError as error:
            assert "starts anew" in str(error)
            await asyncio.sleep(0.05)
    assert found[0].text == "    PLB"


async def test_cancelling_does_not_kill_the_worker(provider: LocalProvider) -> None:
    await provider.index([("/ws/other.asm", PROJECT)])
    starts = provider._worker.starts
    for _ in range(20):
        task = asyncio.create_task(provider.complete(request("Actor9:\n    PHB\n    PHK\n|")))
        await asyncio.sleep(random.Random(1).random() * 0.004)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert (await provider.complete(request("Actor9:\n    PHB\n    PHK\n|")))[0].text == "    PLB"
    assert provider._worker.starts == starts


async def test_changes_and_removals_reach_the_worker(provider: LocalProvider) -> None:
    provider.changed("/ws/other.asm", PROJECT)
    while provider._settling:
        await asyncio.gather(*provider._settling.values())
        break
    assert (await provider.complete(request("Actor9:\n    PHB\n    PHK\n|")))[0].text == "    PLB"
    provider.forgotten("/ws/other.asm")
    await asyncio.gather(*provider._settling.values())
    stats = await provider._worker.call(("stats",), deadline=5.0)
    assert stats["files"] == 1


async def test_a_busy_worker_is_said_so(provider: LocalProvider) -> None:
    await provider.index([("/ws/other.asm", PROJECT)])
    async with provider._lock:
        with pytest.raises(ProviderError, match="busy"):
            await provider.complete(request("Actor9:\n|", deadline=0.05))


async def test_generation_comes_from_the_library(provider: LocalProvider) -> None:
    asked = request("|")
    wanted = GenerationRequest(asked.snapshot, asked.path, 0, "copy a block of memory with memcpy", 5.0)
    first, *_ = await provider.generate(wanted)
    assert first.maker.startswith("library:") and first.text.strip()
    verdict = Verdict(False, 0, ("nayru",))
    again = GenerationRequest(asked.snapshot, asked.path, 0, wanted.instruction, 5.0, (), ((first, verdict),))
    assert first.maker not in {candidate.maker for candidate in await provider.generate(again)}
    nothing = GenerationRequest(asked.snapshot, asked.path, 0, "brew some tea", 5.0)
    assert await provider.generate(nothing) == ()


def test_changed_lines_by_random_edits() -> None:
    chance = random.Random(3)
    for _ in range(3000):
        old = "".join(chance.choice("ab\n\n") for _ in range(chance.randrange(12)))
        start = chance.randrange(len(old) + 1)
        end = min(len(old), start + chance.randrange(4))
        new = old[:start] + "".join(chance.choice("ab\n") for _ in range(chance.randrange(4))) + old[end:]
        first, last, lines = changed_lines(old, new)
        patched = split_lines(old)
        patched[first:last] = lines
        assert patched == split_lines(new)


