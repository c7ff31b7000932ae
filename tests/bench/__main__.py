"""``make bench``: the budgets of speed and memory, measured on this machine in one run.

Where there is a peer the figure is a ratio (our time over a bare call's, our index over one scan with `re`); absolute
times are this machine's. ``ARGS="--only keys"`` runs a part: start, keys, large, judge, backend,
samples, index, execution.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from lsprotocol import types
from rich.console import Console
from rich.table import Table

from nayru_lsp.asm.facts import FactTable
from nayru_lsp.asm.parser import parse_text
from nayru_lsp.asm.project import ParsedFile, Project
from nayru_lsp.asm.text import SourceText, Span
from nayru_lsp.assist.complete import Completer
from nayru_lsp.assist.verify import verify
from nayru_lsp.config import Config, GhostConfig, UserConfig
from nayru_lsp.plugins import Plugins
from nayru_lsp.samples import Sample, SampleStore
from nayru_lsp.snapshot import Client, Snapshot
from tests.bench.execution import execution
from tests.bench.indexing import index
from tests.bench.large import large
from tests.kit import find_part
from tests.server.editor import Editor

LINES = 18_000
Row = tuple[str, str, str, bool | None]        # what, measured, budget, kept


def program(lines: int, seed: int = 1) -> str:
    """A generated disassembly: routines, loops, tables, comments."""
    rng = random.Random(seed)
    out = ["lorom", "org $008000"]
    routine = 0
    while len(out) < lines:
        routine += 1
        out += ["", f"; routine {routine}: moves things about", f"Routine_{routine:05}:", "    REP #$30", "    PHX"]
        for loop in range(rng.randrange(1, 5)):
            out.append(f".loop{loop}")
            for _ in range(rng.randrange(4, 12)):
                out.append(rng.choice((
                    f"    LDA.w ${rng.randrange(0x2000):04X},X", f"    STA.w ${rng.randrange(0x2000):04X}",
                    f"    LDA.w #${rng.randrange(65536):04X}", "    CLC", f"    ADC.b ${rng.randrange(256):02X}",
                    f"    JSR Routine_{rng.randrange(1, routine + 1):05}", "    INX", "    ASL A",
                    f"    STZ.b ${rng.randrange(256):02X}   ; scratch")))
            out.append(f"    BNE .loop{loop}")
        out += ["    PLX", "    RTS"]
        if rng.random() < 0.3:
            out += [f"Table_{routine:05}:"] + [
                "    dw " + ", ".join(f"${rng.randrange(65536):04X}" for _ in range(8))
                for _ in range(rng.randrange(2, 9))]
    return "\n".join(out[:lines]) + "\n"


def at(values: list[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def spread(values: list[float]) -> str:
    return f"p50 {1000 * at(values, 0.5):.1f}, p95 {1000 * at(values, 0.95):.1f} ms"


def within(values: list[float], p50: float | None, p95: float) -> bool:
    return (p50 is None or 1000 * at(values, 0.5) <= p50) and 1000 * at(values, 0.95) <= p95


def resident(pid: int) -> float | None:
    """Resident memory of a process in MB, where the system tells it."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6
    except (OSError, ValueError, AttributeError):
        return None


async def start(folder: Path) -> list[Row]:
    taken = []
    for number in range(5):
        editor = Editor(folder / f"ws{number}", folder / f"home{number}")
        for place in (editor.folder, editor.home):
            place.mkdir()
        begun = time.perf_counter()
        await editor.start()
        taken.append(time.perf_counter() - begun)
        await editor.ready()
        await editor.stop()
    return [("start to the answer of `initialize`", spread(taken), "<= 1 s", at(taken, 0.5) <= 1.0)]


async def keys(folder: Path) -> list[Row]:
    editor = Editor(folder / "ws", folder / "home")
    for place in (editor.folder, editor.home):
        place.mkdir()
    text = program(LINES)
    editor.write("main.asm", text)
    await editor.start()
    await editor.ready()
    editor.open("main.asm", text)
    await editor.diagnostics("main.asm", 1)
    rng = random.Random(2)
    taken = []
    for version in range(2, 82):
        line = rng.randrange(100, LINES - 100)
        new = "x" if version % 3 else "\n    LDA.w #$12"
        begun = time.perf_counter()
        editor.change("main.asm", version, ((line, 0, line, 0), new))
        await editor.diagnostics("main.asm", version)
        taken.append(time.perf_counter() - begun)
    rows: list[Row] = [
        (f"key to own diagnostics, {LINES:,} lines", spread(taken), "p95 <= 50 ms", within(taken, None, 50))]

    client = editor.client
    requests: dict[str, Callable[[int], Awaitable[Any]]] = {
        "hover": lambda line: client.text_document_hover_async(types.HoverParams(**editor.at("main.asm", line, 9))),
        "definition": lambda line: client.text_document_definition_async(
            types.DefinitionParams(**editor.at("main.asm", line, 9))),
        "completion": lambda line: client.text_document_completion_async(
            types.CompletionParams(**editor.at("main.asm", line, 8))),
        "code actions": lambda line: client.text_document_code_action_async(types.CodeActionParams(
            text_document=editor.document("main.asm"), context=types.CodeActionContext(diagnostics=[]),
            range=types.Range(types.Position(line, 0), types.Position(line, 0)))),
    }
    for name, ask in requests.items():
        taken = []
        for _ in range(60):
            line = rng.randrange(100, LINES - 100)
            begun = time.perf_counter()
            await ask(line)
            taken.append(time.perf_counter() - begun)
        rows.append((f"{name} there", spread(taken), "p95 <= 20 ms", within(taken, None, 20)))
    server = client._server
    memory = resident(server.pid) if server is not None else None
    rows.append(("server's memory then", f"{memory:.0f} MB" if memory else "unknown here", "quoted", None))
    editor.inbox.clear()
    await editor.stop()
    return rows


def snapshot_of(files: dict[str, str], user: UserConfig | None = None) -> Snapshot:
    project = Project().with_files(parse_text(path, SourceText.of(text)) for path, text in files.items())
    return Snapshot(project, Config(user=user or UserConfig()), Client(), "utf-8", FactTable(), 1)


CANDIDATE = "    LDA.w #$1234\n    STA.w $0F78,X\n    BNE .out\n    INX\n    CPX.w #$0040\n" * 10


async def judge(folder: Path) -> list[Row]:
    snapshot = snapshot_of({"/bench/main.asm": program(LINES)})
    file: ParsedFile = snapshot.project.files["/bench/main.asm"]
    candidate = CANDIDATE.rstrip("\n") + "\n.out"
    offsets = [file.text.line_start(line) for line in range(200, LINES - 200, (LINES - 400) // 60)]
    rows: list[Row] = []
    library = find_part("asar")
    plugins = None
    if library is not None:
        plugins = Plugins.load(["asar"])
        plugins.configure({"asar": {"library": str(library)}}, str(folder))
    for name, judges in (("own analysis", None), ("own analysis and Asar", plugins)):
        if name.endswith("Asar") and judges is None:
            rows.append(("a candidate of 50 lines, with Asar", "Asar is absent", "p95 <= 10 ms", None))
            continue
        await verify(snapshot, file, Span(offsets[0], offsets[0]), candidate, plugins=judges, deadline=5)
        taken, late = [], 0
        for offset in offsets:
            begun = time.perf_counter()
            verdict = await verify(snapshot, file, Span(offset, offset), candidate, plugins=judges, deadline=1)
            taken.append(time.perf_counter() - begun)
            late += bool(verdict.absent)
        missed = f", {late} of {len(offsets)} without Asar" if judges is not None else ""
        rows.append((f"a candidate of 50 lines: {name}", spread(taken) + missed, "p95 <= 10 ms",
                     within(taken, None, 10)))
    if plugins is not None:
        await plugins.close()
    return rows


async def backend(folder: Path) -> list[Row]:
    binary = find_part("ollama")
    if binary is None:
        return [("overhead over a bare Ollama call", "Ollama is absent", "p50/p95 <= 5/15 ms", None)]
    from nayru_lsp.assist.ollama import OllamaProvider
    from tests.bench.backend import running

    async with running(binary, folder) as config:
        provider = OllamaProvider(config)
        user = UserConfig(ollama=config, ghost=GhostConfig(provider="ollama", debounce_ms=0))
        text = program(2_000, seed=4)
        source = SourceText.of(text)
        blank = [line for line in range(200, 1_900) if not source.line(line)]
        ours, bare, cached, over = [], [], [], []
        for number, line in enumerate(blank[:60]):
            snapshot = snapshot_of({"/bench/a.asm": text}, user)
            offset = source.line_start(line)

            def fresh() -> Completer:
                return Completer(user, local=None, model=provider, plugins=None)

            # The prompt is in Ollama's cache for both: what is left is what each adds to it.
            warm = await fresh().complete(snapshot, "/bench/a.asm", offset, True)
            if not warm.offers:
                continue
            candidate = warm.offers[0].candidate
            options = json.loads(candidate.sampling)
            completer = fresh()
            for turn in ("ours", "bare") if number % 2 else ("bare", "ours"):
                begun = time.perf_counter()
                if turn == "ours":
                    await completer.complete(snapshot, "/bench/a.asm", offset, True)
                    ours.append(time.perf_counter() - begun)
                    over.append(ours[-1] - provider.latency.call_ms / 1000)     # what is not the call itself
                else:
                    await bare_call(config.url, config.model, candidate.prompt, options)
                    bare.append(time.perf_counter() - begun)
            begun = time.perf_counter()
            again = await completer.complete(snapshot, "/bench/a.asm", offset, True)
            cached.append(time.perf_counter() - begun)
            assert again.offers
        rows: list[Row] = [
            ("ghost text through us / bare Ollama call", f"{statistics.median(ours) / statistics.median(bare):.2f}x "
             f"({spread(ours)} against {spread(bare)})" if bare else "no offers", "quoted", None),
            ("our overhead", spread(over) if over else "no offers", "p50/p95 <= 5/15 ms",
             bool(over) and within(over, 5, 15)),
            ("repeat from cache", spread(cached) if cached else "no offers", "p50/p95 <= 10/25 ms",
             bool(cached) and within(cached, 10, 25))]
        quick = Completer(UserConfig(ollama=config, ghost=GhostConfig(provider="ollama", debounce_ms=50)), local=None,
                          model=provider, plugins=None)
        calls = 0
        real = provider.complete

        async def counted(request: Any) -> Any:
            nonlocal calls
            calls += 1
            return await real(request)

        provider.complete = counted  # type: ignore[method-assign]
        offset = source.line_start(blank[0])
        asked = []
        for number in range(6):
            snapshot = snapshot_of({"/bench/a.asm": text[:offset] + "LDA #$"[:number] + text[offset:]}, user)
            asked.append(asyncio.ensure_future(quick.complete(snapshot, "/bench/a.asm", offset + number, False)))
            await asyncio.sleep(0.01)
        await asyncio.gather(*asked)
        rows.append(("six quick keys", f"{calls} backend call{'s' * (calls != 1)}", "1", calls == 1))
        await provider.close()
    return rows


async def bare_call(url: str, model: str, prompt: str, options: dict[str, Any]) -> None:
    import httpx

    async with httpx.AsyncClient(trust_env=False) as http:
        await http.post(f"{url}/api/generate", timeout=30, json={
            "model": model, "prompt": prompt, "raw": True, "stream": False, "options": options, "keep_alive": "30m"})


async def samples(folder: Path) -> list[Row]:
    """How long until an accepted edit is on the disk, and how long a deletion takes."""
    store = SampleStore(folder / "samples.sqlite")
    taken = []
    for number in range(60):
        sample = Sample(id=f"{number:032x}", kind="ghost", state="accepted", created=time.time(), workspace="/bench",
                        path="/bench/a.asm", offered="    LDA.w #$1234", accepted="    LDA.w #$1234",
                        prefix="x" * 4_000, suffix="y" * 4_000, prompt="z" * 9_000, consent=1.0)
        begun = time.perf_counter()
        await asyncio.wrap_future(store.put(sample, "accepted", sample.accepted))
        taken.append(time.perf_counter() - begun)
    begun = time.perf_counter()
    await asyncio.wrap_future(store.delete([f"{number:032x}" for number in range(10)]))
    gone = time.perf_counter() - begun
    store.close()
    return [("an accepted edit on the disk", spread(taken), "<= 200 ms", within(taken, None, 200)),
            ("ten of 60 samples deleted for good", f"{1000 * gone:.0f} ms", "quoted", None)]


async def indexed(folder: Path) -> list[Row]:
    return index(program)


async def with_many_lines(folder: Path) -> list[Row]:
    return await large(folder, program, resident)


async def executed(folder: Path) -> list[Row]:
    return execution(folder, {lines: [program(20_000, seed) for seed in range(lines // 20_000)]
                            for lines in (20_000, 100_000, 400_000)})


PARTS: dict[str, Callable[[Path], Awaitable[list[Row]]]] = {
    "start": start, "keys": keys, "large": with_many_lines, "judge": judge, "backend": backend, "samples": samples,
    "index": indexed, "execution": executed}


def main() -> int:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--only", choices=PARTS, action="append", help="run this part (may be given again)")
    chosen = parser.parse_args().only or list(PARTS)
    table = Table("what", "measured", "budget", "kept")
    missed = 0
    for name in chosen:
        with tempfile.TemporaryDirectory(prefix="nayru-bench-", ignore_cleanup_errors=True) as folder:
            for what, measured, budget, kept in asyncio.run(PARTS[name](Path(folder))):
                missed += kept is False
                table.add_row(what, measured, budget, {True: "yes", False: "[red]no[/]", None: ""}[kept])
    Console(width=140).print(table)
    return int(missed > 0)


if __name__ == "__main__":
    sys.exit(main())
