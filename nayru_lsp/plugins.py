"""Plugins: loaded each in its own ``try``, called each in its own ``try``.

The hook caller of pluggy is never used to answer a request: one exception there discards everybody's results.
`Plugins.call_each` and `Plugins.gather` walk the implementations instead and yield ``(plugin name, result)``. What a
plugin does wrong is logged under its name, kept for `nayru doctor`, and never reaches the caller.

``NAYRU_PLUGINS=a,b`` limits loading to these names ("" loads none); ``NAYRU_TRACE=1`` prints each call to stderr.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Collection, Coroutine, Iterable, Iterator, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from functools import partial
from importlib.metadata import EntryPoint, entry_points
from queue import SimpleQueue
from typing import Any, cast

import pluggy

from nayru_lsp import hookspecs
from nayru_lsp.asm.facts import Fact, FactTable
from nayru_lsp.asm.problem import Problem
from nayru_lsp.asm.project import ParsedFile, Project
from nayru_lsp.hookspecs import Check, Command, Filter
from nayru_lsp.snapshot import Snapshot

GROUP = "nayru"
OVERRUNS_ALLOWED = 1        # the second one disables the plugin until restart
SLOW_CHECK_SECONDS = 0.25   # a check runs on the event loop after each key: one this slow is an overrun
SYNC_ONLY = frozenset({
    "nayru_register_facts", "nayru_register_checks", "nayru_register_commands", "nayru_register_filters",
    "nayru_configure", "nayru_status",
})

log = logging.getLogger("nayru.plugins")


@dataclass(slots=True)
class Record:
    """One plugin as `nayru doctor` lists it. ``state``: "loaded", "failed" (left out at load) or "disabled"."""

    name: str
    version: str = ""
    state: str = "loaded"
    hooks: tuple[str, ...] = ()
    failures: dict[str, int] = field(default_factory=dict)     # what went wrong -> how often
    overruns: int = 0

    def note(self, message: str) -> None:
        """Count a failure; the log names each once, since a check may fail at every key."""
        new = message not in self.failures
        if not new or len(self.failures) < 20:
            self.failures[message] = self.failures.get(message, 0) + 1
        log.log(logging.WARNING if new else logging.DEBUG, "plugin %s: %s", self.name, message)


class _Lane:
    """The one thread in which a plugin's synchronous request hooks run. A daemon: a plugin that never returns must
    not keep the server from ending."""

    def __init__(self, name: str) -> None:
        self._jobs: SimpleQueue[tuple[Callable[[], Any], Future[Any]] | None] = SimpleQueue()
        threading.Thread(target=self._run, name=f"nayru plugin {name}", daemon=True).start()

    def submit(self, call: Callable[[], Any]) -> Future[Any]:
        future: Future[Any] = Future()
        self._jobs.put((call, future))
        return future

    def leave(self) -> None:
        """Ask the thread to end when its present job does."""
        self._jobs.put(None)

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None:
            call, future = job
            if not future.set_running_or_notify_cancel():
                continue
            try:
                future.set_result(call())
            except BaseException as error:
                future.set_exception(error if isinstance(error, Exception) else RuntimeError(repr(error)))


class Plugins:
    """The loaded plugins and what they registered. An object, not a module global: tests make their own."""

    def __init__(self) -> None:
        self.records: dict[str, Record] = {}
        self.facts = FactTable()
        self.checks: dict[str, Check] = {}
        self.commands: dict[str, Command] = {}
        self.filters: dict[str, Filter] = {}
        self._manager = pluggy.PluginManager(GROUP)
        self._manager.add_hookspecs(hookspecs)
        self._lanes: dict[str, _Lane] = {}
        self._trace = os.environ.get("NAYRU_TRACE") == "1"

    # --- loading -----------------------------------------------------------------------------------------------

    @staticmethod
    def load(names: Collection[str] | None = None, modules: Mapping[str, Any] | None = None) -> Plugins:
        """Load the installed plugins called ``names`` (None: all), and ``modules`` (name -> module) as they are."""
        plugins = Plugins()
        for entry in _entries(names):
            plugins._load(entry.name, entry.dist.version if entry.dist else "", entry.load)
        for name, module in (modules or {}).items():
            plugins._load(name, "", partial(_same, module))
        for name in sorted(set(names or ()) - _installed()):
            plugins._left_out(plugins.records.setdefault(name, Record(name, "")), "is not installed")
        return plugins

    def _load(self, name: str, version: str, load: Callable[[], Any]) -> None:
        record = self.records[name] = Record(name, version)
        try:
            module = load()
        except (Exception, SystemExit) as error:
            self._left_out(record, f"cannot be imported: {_describe(error)}")
            return
        try:
            self._manager.register(module, name)
            record.hooks = _contract(self._manager, module)
            self._register(name, module)
        except (Exception, SystemExit) as error:
            if self._manager.has_plugin(name):
                self._manager.unregister(name=name)
            self._left_out(record, _describe(error))

    def _left_out(self, record: Record, message: str) -> None:
        record.state, record.hooks = "failed", ()
        record.note(message)

    def _register(self, name: str, module: Any) -> None:
        """Run the register hooks of one plugin; all that it registers is taken, or, when one raises, nothing."""
        facts: list[Fact] = []
        named: dict[str, dict[str, Callable[..., Any]]] = {"checks": {}, "commands": {}, "filters": {}}

        def fact(fact: Fact) -> None:
            if not isinstance(fact, Fact):
                raise TypeError(f"registered {type(fact).__name__} as a fact")
            facts.append(fact if fact.plugin else replace(fact, plugin=name))

        def taker(kind: str) -> Callable[[str, Callable[..., Any]], None]:
            def take(name: str, function: Callable[..., Any]) -> None:
                if not isinstance(name, str) or not callable(function):
                    raise TypeError(f"registered {name!r} with {type(function).__name__} in {kind}")
                if name in named[kind] or name in getattr(self, kind):
                    raise ValueError(f"{kind}: {name!r} is taken")
                named[kind][name] = function
            return take

        for impl in self._implementations("nayru_register_facts", name):
            impl.function(**_arguments(impl, {"register": fact}))
        for kind in named:
            for impl in self._implementations(f"nayru_register_{kind}", name):
                impl.function(**_arguments(impl, {"register": taker(kind)}))
        self.facts = FactTable((*self.facts.facts, *facts))
        self.checks.update({code: self._guarded(name, code, check) for code, check in named["checks"].items()})
        self.commands.update(named["commands"])
        self.filters.update(named["filters"])

    def _guarded(self, name: str, code: str, check: Check) -> Check:
        """``check`` with its failures kept from the others: a check runs with our own after each key."""
        record = self.records[name]

        def guarded(project: Project, file: ParsedFile) -> tuple[Problem, ...]:
            if record.state != "loaded":
                return ()
            start = time.perf_counter()
            try:
                found = tuple(check(project, file))
            except Exception as error:
                record.note(f"check {code}: {_describe(error)}")
                return ()
            finally:
                if time.perf_counter() - start > SLOW_CHECK_SECONDS:
                    self._overrun(record, f"check {code}", SLOW_CHECK_SECONDS)
            good = tuple(problem for problem in found if isinstance(problem, Problem))
            if len(good) != len(found):
                record.note(f"check {code}: returned something that is no Problem")
            return good
        return guarded

    # --- calling -----------------------------------------------------------------------------------------------

    def _implementations(self, hook: str, only: str = "") -> list[pluggy.HookImpl]:
        caller = getattr(self._manager.hook, hook)
        found = [impl for impl in caller.get_hookimpls()
                 if (not only or impl.plugin_name == only) and self.records[impl.plugin_name].state == "loaded"]
        return sorted(found, key=lambda impl: impl.plugin_name)

    def has(self, hook: str) -> bool:
        """True when some plugin implements ``hook``."""
        return bool(self._implementations(hook))

    def implementers(self, hook: str) -> tuple[str, ...]:
        """The names of the plugins that implement ``hook``, sorted."""
        return tuple(impl.plugin_name for impl in self._implementations(hook))

    def call_each(self, hook: str, **arguments: Any) -> Iterator[tuple[str, Any]]:
        """Call the synchronous implementations of ``hook`` here and now, by plugin name; yield what is not None."""
        for impl in self._implementations(hook):
            record = self.records[impl.plugin_name]
            start = time.perf_counter()
            try:
                result = impl.function(**_arguments(impl, arguments))
                if inspect.isawaitable(result):
                    getattr(result, "close", lambda: None)()
                    raise TypeError(f"{hook} must not be async")
            except (Exception, SystemExit) as error:
                record.note(f"{hook}: {_describe(error)}")
                continue
            finally:
                self._traced(hook, record.name, start)
            if result is not None:
                yield record.name, result

    async def gather(self, hook: str, *, deadline: float, **arguments: Any) -> list[tuple[str, Any]]:
        """Call all implementations of ``hook`` at once: async ones on this loop, the others each in their plugin's
        own thread. What is not there ``deadline`` seconds from now is left out. A hook may have an argument called
        ``deadline``, which it is told."""
        arguments["deadline"] = deadline
        impls = self._implementations(hook)
        if not impls:
            return []
        results = await asyncio.gather(*(self._one(hook, impl, deadline, arguments) for impl in impls))
        return [(impl.plugin_name, result) for impl, result in zip(impls, results, strict=True)
                if result is not None]

    async def _one(self, hook: str, impl: pluggy.HookImpl, deadline: float, arguments: Mapping[str, Any]) -> Any:
        record = self.records[impl.plugin_name]
        start = time.perf_counter()
        is_async = inspect.iscoroutinefunction(impl.function)
        call = partial(impl.function, **_arguments(impl, arguments))
        try:
            if is_async:
                return await asyncio.wait_for(cast("Coroutine[Any, Any, Any]", call()), deadline)
            lane = self._lanes.get(record.name)
            if lane is None:
                lane = self._lanes[record.name] = _Lane(record.name)
            return await asyncio.wait_for(asyncio.wrap_future(lane.submit(call)), deadline)
        except TimeoutError:
            if time.perf_counter() - start < deadline * 0.9:
                record.note(f"{hook}: raised TimeoutError")
            elif is_async and time.perf_counter() - start < deadline + 1:
                record.note(f"{hook}: not ready within {deadline:g} s")
            else:
                # A thread that is stuck stays stuck: the plugin gets a new one for its second chance.
                if (stuck := self._lanes.pop(record.name, None)) is not None:
                    stuck.leave()
                self._overrun(record, hook, deadline)
        except Exception as error:
            record.note(f"{hook}: {_describe(error)}")
        finally:
            self._traced(hook, record.name, start)
        return None

    def _overrun(self, record: Record, what: str, deadline: float) -> None:
        record.overruns += 1
        record.note(f"{what}: took longer than {deadline:g} s")
        if record.overruns > OVERRUNS_ALLOWED:
            record.state = "disabled"
            record.note("disabled until the next start")

    def _traced(self, hook: str, name: str, start: float) -> None:
        if self._trace:
            print(f"nayru: {hook} {name} {1000 * (time.perf_counter() - start):.1f} ms", file=sys.stderr)

    # --- the rest ----------------------------------------------------------------------------------------------

    def configure(self, user: Mapping[str, Any], data_folder: str) -> None:
        """Tell each plugin its own section of the user's settings (``user``: `UserConfig` as plain data)."""
        for impl in self._implementations("nayru_configure"):
            name = impl.plugin_name
            settings = {"data_folder": data_folder, **({name: user[name]} if name in user else {})}
            try:
                impl.function(**_arguments(impl, {"settings": settings}))
            except (Exception, SystemExit) as error:
                self.records[name].note(f"nayru_configure: {_describe(error)}")

    def run_command(self, name: str, snapshot: Snapshot, arguments: list[Any]) -> Any:
        """The answer of the plugin command ``name`` (perhaps awaitable). Raises what the command raises."""
        return self.commands[name](snapshot, arguments)

    def table(self) -> list[Record]:
        return sorted(self.records.values(), key=lambda record: record.name)

    async def close(self, deadline: float = 1.0) -> None:
        await self.gather("nayru_close", deadline=deadline)
        for lane in self._lanes.values():
            lane.leave()
        self._lanes.clear()


def _same(module: Any) -> Any:
    return module


def _installed() -> set[str]:
    return {entry.name for entry in entry_points(group=GROUP)}


def _entries(names: Iterable[str] | None) -> list[EntryPoint]:
    limit = os.environ.get("NAYRU_PLUGINS")
    wanted = None if names is None else set(names)
    if limit is not None:
        limited = {name.strip() for name in limit.split(",")}
        wanted = limited if wanted is None else wanted & limited
    found = {entry.name: entry for entry in entry_points(group=GROUP) if wanted is None or entry.name in wanted}
    return [found[name] for name in sorted(found)]


def _contract(manager: pluggy.PluginManager, module: Any) -> tuple[str, ...]:
    """The hooks that a registered plugin implements. Raises when one of them is not the contract's."""
    hooks = []
    for caller in manager.get_hookcallers(module) or []:
        if not caller.has_spec():
            raise TypeError(f"{caller.name} is no hook of this version")
        for impl in caller.get_hookimpls():
            if impl.plugin is not module:
                continue
            if impl.hookwrapper or impl.wrapper:
                raise TypeError(f"{caller.name}: hook wrappers are not supported")
            if caller.name in SYNC_ONLY and inspect.iscoroutinefunction(impl.function):
                raise TypeError(f"{caller.name} must not be async")
        hooks.append(caller.name)
    return tuple(sorted(hooks))


def _arguments(impl: pluggy.HookImpl, arguments: Mapping[str, Any]) -> dict[str, Any]:
    return {name: arguments[name] for name in impl.argnames if name in arguments}


def _describe(error: BaseException) -> str:
    text = " ".join(str(error).split())[:300]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
