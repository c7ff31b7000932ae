"""What crosses the rooms: neutral, frozen values and the Provider protocol. Pure; no LSP types, no I/O."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from nayru_lsp.asm.text import Span

if TYPE_CHECKING:
    from nayru_lsp.snapshot import Snapshot


@dataclass(frozen=True, slots=True)
class Fragment:
    """A piece of prompt context. ``weight`` orders fragments when the budget is short (higher stays)."""

    title: str
    text: str
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a candidate is bad: ``span`` is in code points of the candidate text."""

    code: str
    message: str
    span: Span


@dataclass(frozen=True, slots=True)
class Verdict:
    """The judgement of one candidate text.

    ``good`` is the length in code points of the longest prefix of whole lines that no judge objects to; ``ok`` means
    the whole text is good. ``judges`` names who judged ("nayru", "asar 1.91"); ``absent`` names who could not, with
    the reason ("asar: late (80 ms)"). ``size`` in bytes, ``cycles`` (min, max) of straight-line execution, None when
    unknown.
    """

    ok: bool
    good: int
    judges: tuple[str, ...]
    reasons: tuple[Reason, ...] = ()
    absent: tuple[str, ...] = ()
    size: int | None = None
    cycles: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class Candidate:
    """What a provider proposes, not yet judged. ``maker``: "local", "library:memcpy", "ollama:nayru"."""

    text: str
    maker: str
    confidence: float | None = None
    digest: str = ""            # model digest, "" when there is none
    prompt: str = ""            # the exact prompt sent, "" when there is none (never logged)
    sampling: str = ""          # JSON of the sampling options sent


@dataclass(frozen=True, slots=True)
class TextEdit:
    span: Span
    text: str


@dataclass(frozen=True, slots=True)
class Offer:
    """A judged suggestion: replace ``span`` of ``path`` by ``text``. ``kind``: "ghost" or "routine"."""

    id: str
    kind: str
    path: str
    span: Span
    text: str
    verdict: Verdict
    candidate: Candidate


@dataclass(frozen=True, slots=True)
class CompletionRequest:
    """Ghost text is wanted at ``offset`` of ``path``; ``deadline`` is seconds from now."""

    snapshot: Snapshot
    path: str
    offset: int
    max_lines: int
    deadline: float
    fragments: tuple[Fragment, ...] = ()


@dataclass(frozen=True, slots=True)
class GenerationRequest:
    """A routine is wanted for ``instruction`` (the comment text without `;`), to stand at ``offset`` of ``path``.

    ``attempts`` are the earlier candidates of this run, as they were judged, with what was wrong with each, oldest
    first. ``heard``, where given, is told the answer so far, as often as more of it comes.
    """

    snapshot: Snapshot
    path: str
    offset: int
    instruction: str
    deadline: float
    fragments: tuple[Fragment, ...] = ()
    attempts: tuple[tuple[Candidate, Verdict], ...] = field(default=())
    heard: Callable[[str], None] | None = None


@dataclass(frozen=True, slots=True)
class ProviderStatus:
    """``state``: "ready", "starting", "absent" or "refused"; ``reason`` is for people, with what to do next."""

    state: str
    model: str
    reason: str = ""
    digest: str = ""


class ProviderError(Exception):
    """A backend cannot answer now. ``str(error)`` is one sentence for the status item, with what to do next."""


class Provider(Protocol):
    """A model backend. Both calls are cancellable (`asyncio`), bounded by the request's deadline, and raise only
    ProviderError. An empty answer is a fine answer."""

    name: str

    async def status(self) -> ProviderStatus: ...

    async def complete(self, request: CompletionRequest) -> tuple[Candidate, ...]: ...

    async def generate(self, request: GenerationRequest) -> tuple[Candidate, ...]: ...
