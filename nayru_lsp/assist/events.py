"""What became of an offer, read from the document itself.

No editor tells a server all of it (a word accepted, the same text typed by hand), so acceptance is found from
``didChange`` alone: after each change the text at the offer's place is compared with the offer. An accepted region is
followed through later edits until it *settles*: 10 s of quiet, a save, or the next start.

One `Events` per server, touched on the event loop only; all writing goes to the store's own thread.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import msgspec

from nayru_lsp.asm.text import Span
from nayru_lsp.contract import Offer
from nayru_lsp.samples import Sample, SampleStore

WINDOW = 4_000          # code points of text kept on each side of an offer
OPEN_OFFERS = 32        # offers watched per document; older ones count as ignored
FOLLOWED = 200          # accepted regions followed per document

AskConsent = Callable[[str], Awaitable[bool | None]]


def new_id() -> str:
    return uuid.uuid4().hex


@dataclass(slots=True)
class _Open:
    """An offer on the screen. ``matched``: code points of its text that stand in the document; ``jumped``: some of them
    came in one step of more than one visible character (an acceptance, not typing)."""

    offer: Offer
    sample: Sample
    start: int
    matched: int
    touched: float
    jumped: bool = False


@dataclass(slots=True)
class _Followed:
    sample: Sample
    start: int
    end: int
    touched: float


@dataclass(slots=True)
class _Document:
    workspace: str
    offers: list[_Open] = field(default_factory=list)
    followed: list[_Followed] = field(default_factory=list)


class Events:
    """Watches offers and accepted text. ``clock`` gives seconds since 1970. ``ask_consent(workspace)`` asks the user
    once: True, False, or None when it was not answered (nothing is kept, and asked again after the next start)."""

    def __init__(self, store: SampleStore | None, ask_consent: AskConsent, *, settle_seconds: float = 10.0,
                 clock: Callable[[], float] = time.time) -> None:
        self._store = store
        self._ask = ask_consent
        self._settle = settle_seconds
        self._clock = clock
        self._documents: dict[str, _Document] = {}
        self._dismissed: set[str] = set()       # workspaces whose question was waved away in this run
        self._consent: dict[str, bool] = dict(store.consents()) if store is not None else {}
        self._waiting: dict[str, list[tuple[Sample, str]]] = {}     # accepted, while the question is open
        self._asking: dict[str, asyncio.Task[None]] = {}

    # --- the life of an offer ------------------------------------------------------------------------------------

    def offered(self, offer: Offer, text: str, *, workspace: str, licence: str = "", renderer: str = "",
                widths: str = "", instruction: str = "") -> None:
        """``offer`` was sent to the editor while the document's text was ``text``."""
        if self._store is None or self._consent.get(workspace) is False:
            return
        start, end = offer.span
        sample = Sample(
            id=offer.id, kind=offer.kind, state="offered", created=self._clock(), workspace=workspace, path=offer.path,
            offered=offer.text, licence=licence, maker=offer.candidate.maker,
            model=offer.candidate.maker.partition(":")[2], digest=offer.candidate.digest, renderer=renderer,
            sampling=offer.candidate.sampling, instruction=instruction, prompt=offer.candidate.prompt,
            prefix=text[max(0, start - WINDOW) : start], suffix=text[end : end + WINDOW], base=text[start:end],
            widths=widths, verdict=msgspec.json.encode(offer.verdict).decode(),
        )
        document = self._documents.setdefault(offer.path, _Document(workspace))
        document.offers = [one for one in document.offers if one.start != start or one.offer.text != offer.text]
        document.offers.append(_Open(offer, sample, start, _common(text, start, offer.text), self._clock()))
        for one in document.offers[:-OPEN_OFFERS]:
            self._end(document, one, "ignored")
        self._write(sample, "offered")

    def accepted(self, offer_id: str) -> bool:
        """The editor says that the user took the whole offer. False when it is not known (any more)."""
        for document in self._documents.values():
            for one in document.offers:
                if one.offer.id == offer_id:
                    self._take(document, one, "whole", len(one.offer.text))
                    return True
        return any(one.sample.id == offer_id for document in self._documents.values() for one in document.followed)

    def changed(self, path: str, edits: Iterable[tuple[Span, str]], text: str) -> None:
        """The document changed by ``edits`` (each in the coordinates left by the one before) and is now ``text``."""
        document = self._documents.get(path)
        if document is None:
            return
        inserted = 0
        for span, new in edits:
            inserted = max(inserted, len(new.strip()))    # Enter with its indentation is typing
            for one in document.offers:
                one.start = _moved(one.start, span, new, follows=False)
            for region in document.followed:
                if span.end >= region.start and span.start <= region.end:
                    region.touched = self._clock()
                _shift(region, span, new)
        for one in list(document.offers):
            self._compare(document, one, text, inserted)

    def saved(self, path: str, text: str) -> None:
        self._settle_regions(path, text, "save", forced=True)

    def tick(self, text_of: Callable[[str], str | None]) -> None:
        """Call every second or so: regions left alone for the settling time are settled."""
        for path in list(self._documents):
            text = text_of(path)
            if text is not None:
                self._settle_regions(path, text, "quiet", forced=False)

    def closed(self, path: str) -> None:
        """The document was closed: open offers were ignored; what is not settled is found again at the next start."""
        document = self._documents.pop(path, None)
        if document is not None:
            for one in list(document.offers):
                self._end(document, one, "ignored")

    def recover(self, workspace: str, read: Callable[[str], str | None]) -> int:
        """At start: settle what was accepted in an earlier run and never settled, from the files as they are now. The
        place is found by the lines around it; not found again means deleted. Returns how many were settled."""
        if self._store is None:
            return 0
        done = 0
        for sample in self._store.select(state="accepted", workspace=workspace):
            text = read(sample.path)
            if text is None:
                continue
            found = find_again(text, sample)
            self._write(_settled(sample, found or "", "start", self._clock()), "settled", found or "")
            done += 1
        return done

    def forget(self, ids: Iterable[str]) -> None:
        """Deleted samples must not come back: stop following them."""
        gone = set(ids)
        for document in self._documents.values():
            document.offers = [one for one in document.offers if one.offer.id not in gone]
            document.followed = [one for one in document.followed if one.sample.id not in gone]

    def close(self) -> None:
        for task in self._asking.values():
            task.cancel()

    # --- inside --------------------------------------------------------------------------------------------------

    def _compare(self, document: _Document, one: _Open, text: str, inserted: int) -> None:
        matched = _common(text, one.start, one.offer.text)
        if matched > one.matched:
            one.jumped = one.jumped or inserted > 1
            one.matched, one.touched = matched, self._clock()
            if matched == len(one.offer.text):
                self._take(document, one, "whole" if one.jumped else "typed", matched)
        elif matched < one.matched or _left(text, one, matched):
            self._end(document, one, "rejected")

    def _take(self, document: _Document, one: _Open, how: str, length: int) -> None:
        document.offers = [other for other in document.offers if other.start != one.start]
        taken = one.offer.text[:length]
        sample = replace_sample(one.sample, state="accepted", how=how, accepted=taken, taken=self._clock())
        document.followed.append(_Followed(sample, one.start, one.start + length, self._clock()))
        del document.followed[:-FOLLOWED]
        self._keep(document.workspace, sample, taken)

    def _end(self, document: _Document, one: _Open, state: str) -> None:
        if one.jumped:
            self._take(document, one, "part", one.matched)
            return
        document.offers.remove(one)
        self._write(replace_sample(one.sample, state=state), state)

    def _settle_regions(self, path: str, text: str, by: str, *, forced: bool) -> None:
        document = self._documents.get(path)
        if document is None:
            return
        now = self._clock()
        for one in [one for one in document.offers if one.jumped]:
            if forced or now - one.touched >= self._settle:
                self._take(document, one, "part", one.matched)
        for region in document.followed:
            end = len(text) if (at := text.find("\n", max(region.start, region.end - 1))) < 0 else at
            end = max(end, region.end) if region.end > region.start else region.end
            current = text[region.start : end]
            if region.sample.settled_at is not None and region.sample.settled == current:
                continue
            if forced or now - region.touched >= self._settle:
                region.sample = _settled(region.sample, current, by, now)
                self._keep(document.workspace, region.sample, current)

    def _keep(self, workspace: str, sample: Sample, text: str) -> None:
        """Write an accepted sample, asking for consent first where the user was never asked."""
        answer = self._consent.get(workspace)
        if answer is None and workspace in self._dismissed:
            return
        if answer is None:
            self._waiting.setdefault(workspace, []).append((sample, text))
            if workspace not in self._asking:
                self._asking[workspace] = asyncio.get_running_loop().create_task(self._question(workspace))
        else:
            self._write(sample, sample.state, text)

    async def _question(self, workspace: str) -> None:
        try:
            answer = await self._ask(workspace)
            waiting = self._waiting.pop(workspace, [])
            if answer is None or self._store is None:
                self._dismissed.add(workspace)
                return
            self._consent[workspace] = answer
            self._store.set_consent(workspace, answer)
            for sample, text in waiting if answer else ():
                self._write(sample, sample.state, text)
        finally:
            self._asking.pop(workspace, None)

    def _write(self, sample: Sample, event: str, text: str = "") -> None:
        if self._store is not None and self._consent.get(sample.workspace):
            stamped = sample if sample.consent else replace_sample(sample, consent=self._clock())
            self._store.put(stamped, event, text)


def replace_sample(sample: Sample, **changes: Any) -> Sample:
    return msgspec.structs.replace(sample, **changes)


def _settled(sample: Sample, text: str, by: str, now: float) -> Sample:
    state = "settled" if text.strip() else "deleted"
    return replace_sample(sample, state=state, settled=text, settled_at=now, settled_by=by)


def _common(text: str, start: int, wanted: str) -> int:
    """How many code points of ``wanted`` stand at ``start``."""
    have = text[start : start + len(wanted)]
    if have == wanted:
        return len(wanted)
    return next((i for i, (a, b) in enumerate(zip(have, wanted, strict=False)) if a != b), min(len(have), len(wanted)))


def _left(text: str, one: _Open, matched: int) -> bool:
    """True when something other than the offer was typed at its end: the rest of that line is not what it was."""
    rest = text[one.start + matched :].partition("\n")[0]
    was = (one.sample.base[matched:] + one.sample.suffix).partition("\n")[0]
    return rest != was and rest.strip() != ""


def _moved(at: int, span: Span, new: str, *, follows: bool) -> int:
    """Where an offset goes when ``span`` becomes ``new``. ``follows``: an insertion exactly at it pushes it on."""
    if span.end < at or (span.end == at and (span.start < at or follows)):
        return at + len(new) - (span.end - span.start)
    if span.start >= at:
        return at
    return span.start + (len(new) if follows else 0)


def _shift(region: _Followed, span: Span, new: str) -> None:
    """Move a followed region. What is inserted before it stays out; what is typed on at its end, on the same line,
    belongs to it (an operand typed again)."""
    start = region.start
    inside = start < span.end and span.start < start
    region.start = span.start if inside else _moved(start, span, new, follows=True)
    region.end = max(region.start, _moved(region.end, span, new, follows="\n" not in new or span.end > span.start))


def find_again(text: str, sample: Sample) -> str | None:
    """The text that stands now where ``sample`` was accepted: between the last line before and the first line behind
    it. None when the place cannot be told for sure."""
    if text.count(sample.accepted) == 1 and sample.accepted.strip():
        return sample.accepted
    above = [line for line in sample.prefix.split("\n")[:-1] if line.strip()][-2:]
    below = [line for line in sample.suffix.split("\n")[1:] if line.strip()][:2]
    if not above or not below:
        return None
    lines = text.split("\n")
    solid = [(number, line) for number, line in enumerate(lines) if line.strip()]
    texts = [line for _, line in solid]
    tops = [i + len(above) for i in range(len(texts)) if texts[i : i + len(above)] == above]
    bottoms = [i for i in range(len(texts)) if texts[i : i + len(below)] == below]
    pairs = [(top, bottom) for top in tops for bottom in bottoms if top <= bottom]
    if len(tops) != 1 or not pairs:
        return None
    top, bottom = min(pairs, key=lambda pair: pair[1] - pair[0])
    if bottom - top > sample.accepted.count("\n") + 30:
        return None
    return "\n".join(lines[solid[top][0] : solid[bottom][0]]).strip("\n") if top < bottom else ""


