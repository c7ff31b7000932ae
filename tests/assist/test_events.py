from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from nayru_lsp.asm.text import Span
from nayru_lsp.assist.events import Events, find_again
from nayru_lsp.contract import Candidate, Offer, Verdict
from nayru_lsp.samples import Sample, SampleStore

PATH = "/ws/a.asm"


class Desk:
    """An editor in miniature: a text, edits, a clock, one Events over a real store."""

    def __init__(self, store: SampleStore, text: str, answer: bool | None = True) -> None:
        self.store = store
        self.text = text
        self.now = 1000.0
        self.asked: list[str] = []
        self.answer = answer
        self.events = Events(store, self.ask, clock=lambda: self.now)

    async def ask(self, workspace: str) -> bool | None:
        self.asked.append(workspace)
        return self.answer

    def offer(self, text: str, at: int | None = None, span: Span | None = None) -> Offer:
        place = span or Span(at if at is not None else len(self.text), at if at is not None else len(self.text))
        offer = Offer(f"{len(self.events._documents.get(PATH, []) and self.events._documents[PATH].offers):032x}"
                      + str(self.now), "ghost", PATH, place, text, Verdict(True, len(text), ("nayru",)),
                      Candidate(text, "local", 0.9))
        self.events.offered(offer, self.text, workspace="/ws", widths="m8 x16")
        return offer

    def edit(self, start: int, end: int, new: str) -> None:
        self.text = self.text[:start] + new + self.text[end:]
        self.events.changed(PATH, [(Span(start, end), new)], self.text)

    def type(self, text: str) -> None:
        for letter in text:
            self.edit(len(self.text), len(self.text), letter)

    def wait(self, seconds: float) -> None:
        self.now += seconds
        self.events.tick(lambda path: self.text)

    async def samples(self) -> list[Sample]:
        for _ in range(5):
            await asyncio.sleep(0)
        self.store.set_consent("/other", False).result(5)   # a barrier: earlier writes are done
        return self.store.select()


@pytest.fixture
def store(tmp_path: Path):
    one = SampleStore(tmp_path / "samples.sqlite")
    yield one
    one.close()


async def only(desk: Desk) -> Sample:
    found = await desk.samples()
    assert len(found) == 1, found
    return found[0]


async def test_taken_whole_edited_and_settled(store: SampleStore) -> None:
    desk = Desk(store, "Main:\n")
    desk.offer("    LDA #$01\n    STA $10")
    desk.edit(6, 6, "    LDA #$01\n    STA $10")
    taken = await only(desk)
    assert (taken.state, taken.how, taken.accepted) == ("accepted", "whole", "    LDA #$01\n    STA $10")
    assert desk.asked == ["/ws"]
    at = desk.text.index("$10")
    desk.edit(at, at + 3, "")
    for letter in "$2100 ; screen":
        desk.edit(len(desk.text), len(desk.text), letter)
    desk.wait(5)
    assert (await only(desk)).state == "accepted"
    desk.wait(6)
    settled = await only(desk)
    assert (settled.state, settled.settled_by) == ("settled", "quiet")
    assert settled.settled == "    LDA #$01\n    STA $2100 ; screen"
    assert (settled.prefix, settled.widths, settled.offered) == ("Main:\n", "m8 x16", "    LDA #$01\n    STA $10")
    desk.edit(len(desk.text), len(desk.text), "\n    RTS\n")
    desk.events.saved(PATH, desk.text)
    assert (await only(desk)).settled == "    LDA #$01\n    STA $2100 ; screen"


async def test_typed_by_hand_is_told_from_taken(store: SampleStore) -> None:
    desk = Desk(store, "Main:\n    ")
    store.set_consent("/ws", True).result(5)
    desk.events = Events(store, desk.ask, clock=lambda: desk.now)
    desk.offer("LDA $10")
    desk.type("LDA $10")
    assert (await only(desk)).how == "typed"
    assert desk.asked == []


async def test_a_part_taken_word_by_word(store: SampleStore) -> None:
    desk = Desk(store, "Main:\n    ")
    desk.offer("LDA.w Table,X")
    desk.edit(len(desk.text), len(desk.text), "LDA.w")
    desk.type(" Other,Y")
    taken = await only(desk)
    assert (taken.state, taken.how, taken.accepted) == ("accepted", "part", "LDA.w ")
    desk.wait(11)
    assert (await only(desk)).settled == "LDA.w Other,Y"


async def test_a_part_taken_and_left_alone(store: SampleStore) -> None:
    desk = Desk(store, "Main:\n    ")
    desk.offer("LDA $10\n    STA $12")
    desk.edit(len(desk.text), len(desk.text), "LDA $10")
    desk.wait(11)
    assert (await only(desk)).accepted == "LDA $10"


async def test_the_typed_beginning_belongs_to_the_offer(store: SampleStore) -> None:
    desk = Desk(store, "Main:\n    LD")
    desk.offer("LDA $10", span=Span(10, 12))
    desk.edit(10, 12, "LDA $10")
    assert (await only(desk)).how == "whole"


async def test_rejected_ignored_and_nothing_without_consent(store: SampleStore) -> None:
    store.set_consent("/ws", True).result(5)
    desk = Desk(store, "Main:\n    ")
    desk.offer("LDA $10")
    desk.type("S")
    assert (await only(desk)).state == "rejected"
    desk.now += 1
    desk.offer("TA $10")
    desk.events.closed(PATH)
    assert [s.state for s in await desk.samples()] == ["ignored", "rejected"]

    refused = Desk(store, "Main:\n", answer=False)
    refused.events = Events(None, refused.ask)
    refused.offer("LDA $10")
    refused.edit(6, 6, "LDA $10")
    assert len(await refused.samples()) == 2


async def test_a_question_waved_away_is_not_asked_again_in_this_run(store: SampleStore) -> None:
    desk = Desk(store, "Main:\n", answer=None)
    for line in ("    LDA $10\n", "    STA $11\n"):
        desk.offer(line)
        desk.edit(len(desk.text), len(desk.text), line)
        assert await desk.samples() == []
        desk.wait(30)
        assert await desk.samples() == []
    assert desk.asked == ["/ws"] and store.consent("/ws") is None


async def test_no_means_no_byte_is_written(tmp_path: Path) -> None:
    store = SampleStore(tmp_path / "s.sqlite")
    desk = Desk(store, "Main:\n", answer=False)
    desk.offer("    LDA #$5EC2E7")
    desk.edit(6, 6, "    LDA #$5EC2E7")
    assert await desk.samples() == []
    assert store.consent("/ws") is False
    desk.wait(30)
    assert b"5EC2E7" not in store.path.read_bytes()
    store.close()


async def test_deleted_again_is_a_sample_too(store: SampleStore) -> None:
    desk = Desk(store, "Main:\n")
    desk.offer("    NOP")
    desk.edit(6, 6, "    NOP")
    desk.edit(6, 13, "")
    desk.wait(11)
    assert (await only(desk)).state == "deleted"


async def test_edits_elsewhere_move_the_region(store: SampleStore) -> None:
    desk = Desk(store, "Main:\n\nEnd:\n")
    desk.offer("    NOP", at=6)
    desk.edit(6, 6, "    NOP")
    desk.edit(0, 0, "; a comment\n")
    desk.edit(len(desk.text), len(desk.text), "    RTS\n")
    desk.wait(11)
    assert (await only(desk)).settled == "    NOP"


async def test_what_an_earlier_run_accepted_is_settled_at_start(store: SampleStore) -> None:
    desk = Desk(store, "Main:\n    SEP #$20\n\n    RTS\nNext:\n    RTL\n")
    desk.offer("    LDA #$01", at=19)
    desk.edit(19, 19, "    LDA #$01")
    await desk.samples()
    later = desk.text.replace("LDA #$01", "LDA.b #$0F")
    fresh = Events(store, desk.ask, clock=lambda: desk.now)
    assert fresh.recover("/ws", lambda path: later) == 1
    settled = await only(desk)
    assert (settled.settled.strip(), settled.settled_by) == ("LDA.b #$0F", "start")


def test_find_again_does_not_guess() -> None:
    base = Sample(id="1", kind="ghost", state="accepted", created=0, workspace="/ws", path=PATH, offered="x",
                  accepted="    NOP\n    WAI", prefix="A:\n    CLC\n", suffix="\n    RTS\nB:\n")
    assert find_again("A:\n    CLC\n    SEC\n    RTS\nB:\n", base) == "    SEC"
    assert find_again("A:\n    CLC\n    RTS\nB:\n", base) == ""
    twice = "A:\n    CLC\n    SEC\n    RTS\nB:\n" * 2
    assert find_again(twice, base) is None
    assert find_again("something else\n", base) is None
