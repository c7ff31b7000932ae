"""The whole loop on real parts: an editing session, samples, JSONL, a retrained model in Ollama, its ghost text."""

from __future__ import annotations

import asyncio
import json
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from lsprotocol import types

from nayru_train import config as configuration
from nayru_train import generated
from nayru_train.__main__ import main
from nayru_train.config import RunConfig
from nayru_train.run import Run
from tests.kit import require
from tests.server.editor import Editor
from tests.train.conftest import base_folder, data, ollama_url, settings, tiny

__all__ = ["base_folder", "data", "ollama_url", "settings", "tiny"]     # fixtures shared with the training tests

ACCEPTED = 44
ALIAS = "loop-nayru"
pytestmark = pytest.mark.slow


class Place:
    """A line taken out of a file: where, and how the text reads without it."""

    def __init__(self, name: str, lines: list[str], row: int) -> None:
        self.name, self.row, self.line = name, row, lines[row]
        self.indent = self.line[: len(self.line) - len(self.line.lstrip())]
        self.text = "\n".join([*lines[:row], self.indent, *lines[row + 1 :]])


def places(folder: Path, count: int) -> list[Place]:
    rng = random.Random(3)
    found = []
    files = sorted(path for path in folder.rglob("*.asm") if path.name != "main.asm")
    while len(found) < count:
        path = rng.choice(files)
        lines = path.read_text().split("\n")
        rows = [row for row, line in enumerate(lines) if 6 < row < len(lines) - 4 and line.startswith(" ")
                and lines[row - 1].startswith(" ")]
        if rows:
            found.append(Place(path.relative_to(folder).as_posix(), lines, rng.choice(rows)))
    return found


async def ask(editor: Editor, place: Place, version: int) -> types.InlineCompletionItem | None:
    if version == 1:
        editor.open(place.name, place.text)
    else:
        editor.change(place.name, version, (None, place.text))
    params = types.InlineCompletionParams(
        context=types.InlineCompletionContext(trigger_kind=types.InlineCompletionTriggerKind.Invoked),
        **editor.at(place.name, place.row, len(place.indent)))
    answer = await asyncio.wait_for(editor.client.text_document_inline_completion_async(params), 30)
    items = answer if isinstance(answer, list) else getattr(answer, "items", [])
    return items[0] if items else None


def first_line(place: Place, item: types.InlineCompletionItem | None) -> str:
    if item is None:
        return ""
    text = item.insert_text if isinstance(item.insert_text, str) else item.insert_text.value
    return " ".join((place.indent + text).split("\n")[0].split())


async def leave(editor: Editor, versions: dict[str, int]) -> None:
    """End the server once it has had its say on the last version of every document."""
    for name, version in versions.items():
        await editor.diagnostics(name, version)
    await editor.stop()


async def session(folder: Path, home: Path, wanted: list[Place]) -> list[Place]:
    """Take what is offered until enough was taken; change every fifth a little; save all."""
    editor = Editor(folder, home)
    editor.answers[types.WINDOW_SHOW_MESSAGE_REQUEST] = lambda params: params.actions[0]
    await editor.start(options={"ghost": {"provider": "local", "max_lines": 1}})
    await editor.ready()
    versions: dict[str, int] = {}
    taken: list[Place] = []
    for place in wanted:
        if len(taken) == ACCEPTED:
            break
        version = versions.get(place.name, 0) + 1
        item = await ask(editor, place, version)
        versions[place.name] = version
        if item is None:
            continue
        text = str(item.insert_text)
        end = len(place.indent)
        versions[place.name] += 1
        editor.change(place.name, versions[place.name], ((place.row, end, place.row, end), text))
        await editor.client.workspace_execute_command_async(types.ExecuteCommandParams(
            command=item.command.command, arguments=item.command.arguments))
        if len(taken) % 5 == 4:
            versions[place.name] += 1
            after = end + len(text.split("\n")[0])
            editor.change(place.name, versions[place.name], ((place.row, after, place.row, after), " ; checked"))
        editor.save(place.name)
        taken.append(place)
    assert len(taken) == ACCEPTED, f"only {len(taken)} of {len(wanted)} places were offered something"
    for _ in range(200):
        rows = await editor.client.workspace_execute_command_async(types.ExecuteCommandParams(
            command="nayru.samples.list", arguments=[{"state": "settled", "limit": 1000}]))
        if len(rows) >= ACCEPTED:
            break
        await asyncio.sleep(0.05)
    await editor.hear(types.WINDOW_SHOW_MESSAGE_REQUEST)
    await leave(editor, versions)
    return taken


async def answers(folder: Path, home: Path, url: str, model: str, wanted: list[Place]) -> list[str]:
    """The first line of ghost text at each place, by ``model`` behind Ollama, through the server."""
    editor = Editor(folder, home)
    await editor.start(options={"ghost": {"provider": "ollama", "max_lines": 1},
                                "ollama": {"url": url, "model": model, "complete_timeout": 20.0}})
    await editor.ready()
    out = []
    versions: dict[str, int] = {}
    for place in wanted:
        versions[place.name] = versions.get(place.name, 0) + 1
        out.append(first_line(place, await ask(editor, place, versions[place.name])))
    await leave(editor, versions)
    return out


@pytest.fixture(scope="module")
def loop(tmp_path_factory: pytest.TempPathFactory, tiny: RunConfig, settings: tuple[str, ...],
         ollama_url: str) -> dict[str, Any]:
    require("train")
    root = tmp_path_factory.mktemp("loop")
    folder, home = root / "ws", root / "home"
    home.mkdir()
    for name, text in generated.project(seed=1, files=150).items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    taken = asyncio.run(session(folder, home, places(folder, 400)))
    exported = root / "samples.jsonl"
    environment = {**os.environ, "NAYRU_HOME": str(home)}
    subprocess.run([sys.executable, "-P", "-m", "nayru_lsp", "samples", "export", "--output", str(exported)],
                   check=True, env=environment, cwd=root, capture_output=True)
    kept = tuple(one for one in settings if not one.startswith("collect.use_store"))
    options = [*kept, f"collect.store={home / 'data' / 'samples.sqlite'}", f'collect.checkouts=["{folder.as_posix()}"]',
               "collect.generated=false", "collect.rows_per_project=200", "prepare.test_positions=200",
               "prepare.test_per_file=6", "prepare.frozen_positions=200", "prepare.plugins=[]",
               "prepare.repeat_samples=4",
               "evaluate.library_tasks=false", "evaluate.resamples=500", "evaluate.compare_adapter=5",
               f"register.alias={ALIAS}", f"register.url={ollama_url}"]
    assert main(["retrain", "--rehearsal", "--run", "loop", *options]) == 0
    run = Run("loop", configuration.load(None, options, rehearsal=True))
    return {"folder": folder, "home": home, "taken": taken, "exported": exported, "run": run, "root": root}


def test_accepted_edits_are_exported_as_rows_that_datasets_loads(loop: dict[str, Any]) -> None:
    rows = [json.loads(line) for line in loop["exported"].read_text().splitlines()]
    assert len(rows) >= 40
    assert all(row["output"].strip() and row["consent"] and row["renderer"] for row in rows)
    assert sum("; checked" in row["output"] for row in rows) >= 7, "what was changed after accepting is what settled"
    import datasets

    loaded = datasets.load_dataset("json", data_files=str(loop["exported"]), split="train",
                                   cache_dir=str(loop["root"] / "cache"))
    assert loaded.num_rows == len(rows)


def test_the_manifest_names_the_samples(loop: dict[str, Any]) -> None:
    ruling = json.loads(loop["run"].path("eval", "report.json").read_text())["ruling"]
    print("ruling:", json.dumps(ruling))
    assert ruling["outcome"] == "promoted", ruling
    prepared = loop["run"].path("prepare", "train.jsonl").read_text()
    assert prepared.count("; checked") >= 1


def test_the_new_model_says_through_the_server_what_the_one_before_did_not_know(
        loop: dict[str, Any], ollama_url: str) -> None:
    registered = loop["run"].record("register")["models"]
    new = registered["merged"][0]
    places_ = loop["taken"]
    after = asyncio.run(answers(loop["folder"], loop["home"], ollama_url, new, places_))
    before = asyncio.run(answers(loop["folder"], loop["home"], ollama_url, f"{ALIAS}-base", places_))
    wanted = [" ".join(place.line.split(";")[0].split()) for place in places_]
    gained = [(place.name, place.row + 1, want)
              for place, want, now, was in zip(places_, wanted, after, before, strict=True)
              if now.split(";")[0].strip() == want and was.split(";")[0].strip() != want]
    print(f"right before: {sum(b == w for b, w in zip(before, wanted, strict=True))}, "
          f"after: {sum(a.split(';')[0].strip() == w for a, w in zip(after, wanted, strict=True))} of {len(wanted)}; "
          f"new: {gained[:5]}")
    assert gained
