"""The plugin contract, and all that a plugin imports besides `nayru_lsp.asm`.

A plugin is a module, found by entry point group ``nayru``, whose functions are marked with ``@hookimpl``. Arguments
are keywords and are only ever added; an implementation takes the ones it needs. A plugin that fails to import, to
register or to match the contract is left out and named by ``nayru doctor``; one that raises, or overruns its deadline
twice, is named in the log and the rest goes on. Hook wrappers are not supported.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, Protocol

import pluggy

from nayru_lsp.asm.facts import BitField, Fact
from nayru_lsp.asm.problem import Fix, Problem, Related, Severity
from nayru_lsp.asm.project import ParsedFile, Project, Root
from nayru_lsp.asm.text import Span
from nayru_lsp.contract import Fragment, Reason, Verdict
from nayru_lsp.snapshot import Snapshot
from nayru_lsp.work import Worker, WorkerDied, WorkerError, WorkerTimeout

__all__ = [
    "BitField", "Fact", "Fix", "Fragment", "ParsedFile", "Problem", "Project", "Reason", "Related", "Root",
    "Severity", "Snapshot", "Span", "Verdict", "Worker", "WorkerDied", "WorkerError", "WorkerTimeout", "hookimpl",
]

hookspec = pluggy.HookspecMarker("nayru")
hookimpl = pluggy.HookimplMarker("nayru")

Check = Callable[[Project, ParsedFile], Iterable[Problem]]
Command = Callable[[Snapshot, list[Any]], Any]
Filter = Callable[[Mapping[str, Any]], str | Awaitable[str | None] | None]


class RegisterFact(Protocol):
    def __call__(self, fact: Fact) -> None: ...


class RegisterNamed(Protocol):
    def __call__(self, name: str, function: Callable[..., Any]) -> None: ...


@hookspec
def nayru_register_facts(register: RegisterFact) -> None:
    """At load, once, on the main thread: call ``register(fact)`` for each named address. Facts feed hover,
    completion, checks and the prompt. Raising leaves the plugin out."""


@hookspec
def nayru_register_checks(register: RegisterNamed) -> None:
    """At load: ``register(code, check)`` with ``check(project, file) -> Problems``; pure and quick (it runs with our
    own checks after each key). A check that raises is skipped and named."""


@hookspec
def nayru_register_commands(register: RegisterNamed) -> None:
    """At load: ``register(name, command)`` with ``command(snapshot, arguments) -> JSON value``; the server announces
    it as ``nayru.<name>``."""


@hookspec
def nayru_hover(snapshot: Snapshot, file: ParsedFile, offset: int) -> str | None:
    """On request, in a thread with a deadline: Markdown to be joined below the server's own hover, or None."""


@hookspec
async def nayru_validate(snapshot: Snapshot, root: Root) -> list[Problem]:
    """After a pause and on save, for each root that reaches the changed file: async, cancellable, has a deadline.
    Problems may lie in any file of the root."""
    raise NotImplementedError


@hookspec
async def nayru_verify(snapshot: Snapshot, file: ParsedFile, span: Span, text: str, deadline: float) -> Verdict | None:
    """Before a suggestion is shown: judge ``text`` put in place of ``span``. Async; ``deadline`` in seconds. None
    when this plugin cannot judge (its reason goes to ``nayru_status``)."""


@hookspec
def nayru_context(snapshot: Snapshot, file: ParsedFile, offset: int) -> list[Fragment]:
    """Before a model call, in a thread with a deadline: pieces of prompt context."""
    raise NotImplementedError


@hookspec
def nayru_register_filters(register: RegisterNamed) -> None:
    """In the trainer, at load: ``register(name, filter)``; ``filter(sample) -> None | drop reason`` (may be async);
    ``sample`` is the Sample as a plain mapping."""


@hookspec
def nayru_configure(settings: Mapping[str, Any]) -> None:
    """After load and whenever the user's settings change: the plugin's own section of `UserConfig` as plain data
    (``settings["asar"]`` for nayru_asar), and ``settings["data_folder"]``."""


@hookspec
def nayru_status() -> str | None:
    """On request, quick: one sentence for ``nayru doctor`` and the status item ("Asar 1.91, /usr/lib/libasar.so",
    or what is missing and where it goes), or None."""


@hookspec
async def nayru_close() -> None:
    """At shutdown: end worker processes and free files, within a second."""
