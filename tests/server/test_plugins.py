"""Isolation: whatever one plugin does, the others answer and the table names it."""

from __future__ import annotations

import asyncio
import logging
import time
from types import ModuleType
from typing import Any

import pytest

from nayru_lsp.hookspecs import Fact, hookimpl
from nayru_lsp.plugins import Plugins


def module(**functions: Any) -> ModuleType:
    made = ModuleType("made")
    for name, function in functions.items():
        setattr(made, name, hookimpl(function))
    return made


def failures(plugins: Plugins, name: str) -> str:
    return "; ".join(plugins.records[name].failures)


def test_what_is_registered() -> None:
    def nayru_register_facts(register: Any) -> None:
        register(Fact("INIDISP", 0x2100, "register", "Screen display"))

    def nayru_register_commands(register: Any) -> None:
        register("say", lambda snapshot, arguments: arguments)

    plugins = Plugins.load((), {"good": module(nayru_register_facts=nayru_register_facts,
                                               nayru_register_commands=nayru_register_commands)})
    assert plugins.facts.at(0x2100)[0].plugin == "good"
    assert plugins.run_command("say", None, [1]) == [1]     # type: ignore[arg-type]
    assert plugins.table()[0].hooks == ("nayru_register_commands", "nayru_register_facts")
    assert plugins.table()[0].state == "loaded"


@pytest.mark.parametrize(("functions", "told"), [
    ({"nayru_hoover": lambda: None}, "nayru_hoover is no hook"),
    ({"nayru_hover": lambda position: None}, "position"),
    ({"nayru_register_facts": lambda register: register("INIDISP")}, "registered str as a fact"),
    ({"nayru_register_checks": lambda register: register("A1", 3)}, "registered 'A1' with int"),
    ({"nayru_register_facts": lambda register: 1 / 0}, "ZeroDivisionError"),
])
def test_a_plugin_that_breaks_the_contract_is_left_out(functions: dict[str, Any], told: str) -> None:
    plugins = Plugins.load((), {"bad": module(**functions), "good": module(nayru_status=lambda: "fine")})
    assert plugins.records["bad"].state == "failed"
    assert told in failures(plugins, "bad")
    assert list(plugins.call_each("nayru_status")) == [("good", "fine")]
    assert not plugins.facts.facts


def test_half_registered_is_not_registered() -> None:
    def nayru_register_facts(register: Any) -> None:
        register(Fact("A", 1, "ram", ""))
        raise SystemExit(3)

    plugins = Plugins.load((), {"bad": module(nayru_register_facts=nayru_register_facts)})
    assert plugins.records["bad"].state == "failed" and not plugins.facts.facts


def test_async_where_the_contract_is_not() -> None:
    async def nayru_status() -> str:
        return "x"

    wrapper = ModuleType("wrapper")
    wrapper.nayru_status = hookimpl(wrapper=True)(lambda: (yield))      # type: ignore[attr-defined]
    plugins = Plugins.load((), {"bad": module(nayru_status=nayru_status), "wrapper": wrapper})
    assert "must not be async" in failures(plugins, "bad")
    assert "wrappers are not supported" in failures(plugins, "wrapper")


async def test_a_hostile_plugin_hides_nobody(caplog: pytest.LogCaptureFixture) -> None:
    def raises(snapshot: Any) -> str:
        raise RuntimeError("boom")

    async def late(snapshot: Any) -> str:
        await asyncio.sleep(60)
        return "late"

    plugins = Plugins.load((), {
        "a_raises": module(nayru_hover=raises),
        "b_sleeps": module(nayru_hover=lambda: time.sleep(1.0)),
        "c_good": module(nayru_hover=lambda file, offset: f"{file} {offset}"),
        "d_rubbish": module(nayru_hover=lambda: 17),
        "e_late": module(nayru_hover=late),
        "f_exits": module(nayru_hover=lambda: exit()),
    })
    ask = {"snapshot": None, "file": "f", "offset": 3}
    start = time.perf_counter()
    with caplog.at_level(logging.WARNING):
        answers = await plugins.gather("nayru_hover", deadline=0.15, **ask)
    assert answers == [("c_good", "f 3"), ("d_rubbish", 17)]
    assert time.perf_counter() - start < 0.6
    assert "boom" in failures(plugins, "a_raises") and "a_raises" in caplog.text
    assert "took longer" in failures(plugins, "b_sleeps")
    assert plugins.records["b_sleeps"].state == "loaded"            # the first time is forgiven
    await plugins.gather("nayru_hover", deadline=0.15, **ask)
    assert plugins.records["b_sleeps"].state == "disabled"
    assert plugins.records["e_late"].state == "loaded"              # async: only left out of the answer
    answers = await plugins.gather("nayru_hover", deadline=0.15, **ask)
    assert answers == [("c_good", "f 3"), ("d_rubbish", 17)]
    await plugins.close()


async def test_cancelling_the_caller_cancels_async_hooks() -> None:
    ended = asyncio.Event()

    async def slow() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            ended.set()

    plugins = Plugins.load((), {"slow": module(nayru_validate=slow)})
    task = asyncio.create_task(plugins.gather("nayru_validate", deadline=60))
    await asyncio.sleep(0.01)
    task.cancel()
    await asyncio.wait_for(ended.wait(), 1)


def test_checks_are_guarded() -> None:
    def nayru_register_checks(register: Any) -> None:
        register("BAD1", lambda project, file: 1 / 0)
        register("BAD2", lambda project, file: [1, 2])
        register("BAD3", lambda project, file: None)

    plugins = Plugins.load((), {"bad": module(nayru_register_checks=nayru_register_checks)})
    for check in plugins.checks.values():
        assert check(None, None) == ()      # type: ignore[arg-type]
    told = failures(plugins, "bad")
    assert "BAD1" in told and "BAD2: returned something" in told and "BAD3" in told


def test_each_plugin_is_told_its_own_section() -> None:
    told: dict[str, Any] = {}
    plugins = Plugins.load((), {
        name: module(nayru_configure=lambda settings, name=name: told.update({name: settings}))
        for name in ("asar", "other")})
    plugins.configure({"asar": {"enabled": False}, "ollama": {"api_key": "secret"}}, "/data")
    assert told == {"asar": {"asar": {"enabled": False}, "data_folder": "/data"}, "other": {"data_folder": "/data"}}
    assert "secret" not in str(told)


def test_names_and_environment_limit_what_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NAYRU_PLUGINS", "")
    assert not Plugins.load().records
    monkeypatch.setenv("NAYRU_PLUGINS", "no such plugin")
    assert not Plugins.load().records
    monkeypatch.delenv("NAYRU_PLUGINS")
    record = Plugins.load(["snse"]).records["snse"]         # a slip in config.toml must not go unnoticed
    assert record.state == "failed" and list(record.failures) == ["is not installed"]


def test_trace(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("NAYRU_TRACE", "1")
    list(Plugins.load((), {"good": module(nayru_status=lambda: "fine")}).call_each("nayru_status"))
    assert "nayru_status good" in capsys.readouterr().err
