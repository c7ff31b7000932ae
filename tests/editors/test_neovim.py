"""The Neovim client in the real editor, against the real server."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from rich.console import Console
from rich.text import Text

from tests.kit import REPOSITORY, require

CLIENT = REPOSITORY / "editors" / "neovim"
SERVER = [sys.executable, "-P", "-m", "nayru_lsp", "serve"]


def environment(tmp_path: Path) -> dict[str, str]:
    workspace = tmp_path / "demo"
    shutil.copytree(REPOSITORY / "nayru_lsp" / "demo" / "program", workspace)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("NAYRU_", "XDG_"))}
    return kept | {
        "NAYRU_NEOVIM_CLIENT": str(CLIENT), "NAYRU_SERVER": json.dumps(SERVER), "NAYRU_WORKSPACE": str(workspace),
        "NAYRU_SEEN": str(tmp_path / "seen.json"), "NAYRU_HOME": str(tmp_path / "home"),
        "XDG_CONFIG_HOME": str(tmp_path / "config"), "XDG_DATA_HOME": str(tmp_path / "share"),
        "XDG_STATE_HOME": str(tmp_path / "state"), "XDG_CACHE_HOME": str(tmp_path / "cache"), "TERM": "xterm-256color"}


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    """One run of the scenario: step -> what was seen."""
    nvim = require("nvim")
    folder = tmp_path_factory.mktemp("neovim")
    env = environment(folder)
    done = subprocess.run(
        [str(nvim), "--headless", "-u", str(CLIENT / "tests" / "init.lua"),
         "-S", str(CLIENT / "tests" / "scenario.lua")],
        env=env, capture_output=True, text=True, timeout=240, cwd=folder)
    result = folder / "seen.json"
    assert result.exists(), done.stderr + done.stdout
    answer = json.loads(result.read_text())
    assert isinstance(answer, dict)
    answer["stderr"] = done.stderr
    return answer


def test_it_attaches_to_asar_sources_only(seen: dict[str, object]) -> None:
    assert seen["filetype"] == "asm65816" and seen["attached"], seen


def test_a_buffer_opened_again_has_its_keys(seen: dict[str, object]) -> None:
    assert seen["keys_again"] is True, seen


def test_diagnostics_hover_definition_completion(seen: dict[str, object]) -> None:
    assert "A is 8-bit here" in str(seen["diagnostic"]), seen
    assert seen["repaired"] is True
    assert "INIDISP" in str(seen["hover"])
    assert seen["definition"] and seen["completion"] == "WaitFrame", seen


def test_ghost_text_is_taken_with_tab(seen: dict[str, object]) -> None:
    assert seen["ghost"], seen
    assert seen["after_tab"] == "    " + str(seen["ghost"]).split("\n")[0].lstrip(), seen
    assert "nayru: ready" in str(seen["status_with_ghost"])


def test_a_routine_consent_samples_restart(seen: dict[str, object]) -> None:
    assert seen["routine"] and "training samples" in str(seen["consent"]), seen
    assert seen["samples"] and seen["restarted"], seen


@pytest.mark.parametrize(("text", "filetype"), [
    ("section .text\nglobal _start\n_start:\n    mov eax, 1\n", "asm"),
    ("  .segment \"CODE\"\n  .p816\nreset:\n  rep #$30\n  jsl main\n", "asm"),
    ("Label:\n    ldr r0, [r1]\n    bx lr\n", "asm"),
    ("Copy:\n    STA $4301\n    PHK\n    PLA\n", "asm65816"),
    ("    LDA.w $0000\n", "asm65816"),
    ("lorom\n", "asm65816")])
def test_what_is_taken_for_asar(tmp_path: Path, text: str, filetype: str) -> None:
    nvim = require("nvim")
    env = environment(tmp_path)
    source = tmp_path / "file.asm"
    source.write_text(text)
    done = subprocess.run(
        [str(nvim), "--headless", "-u", str(CLIENT / "tests" / "init.lua"), str(source),
         "-c", "lua io.write(vim.bo.filetype)", "-c", "qall!"], env=env, capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == filetype, done


def test_the_screen_as_a_person_sees_it(tmp_path: Path) -> None:
    """Diagnostic and ghost text in a terminal; the screen is kept as text and as SVG (NAYRU_SCREENSHOTS)."""
    nvim = require("nvim")
    tmux = shutil.which("tmux")
    if tmux is None:
        pytest.skip("tmux is not installed: there is no terminal to look at")
    env = environment(tmp_path)
    source = Path(env["NAYRU_WORKSPACE"]) / "dma.asm"
    typed = "; To WRAM, through its port.\nDmaToWram:\n    STZ $4300\n    LDA #$80\n    "
    text = source.read_text().replace("; To OAM.", f"{typed}\n\n; To OAM.", 1)
    text = text.replace("    LDA #$01\n    STA $420B\n", "    SEP #$20\n    LDA.w #$01\n    STA $420B\n", 1)
    source.write_text(text)
    row = text[: text.index(typed) + len(typed)].count("\n") + 1
    socket = f"nayru-{os.getpid()}"

    def run(*words: str) -> str:
        return subprocess.run([tmux, "-L", socket, *words], capture_output=True, text=True, env=env, timeout=20).stdout

    shown = ""
    try:
        run("-f", "/dev/null", "new-session", "-d", "-x", "110", "-y", "50", str(nvim), "-u",
            str(CLIENT / "tests" / "init.lua"), f"+{row}", str(source))
        deadline = time.monotonic() + 60
        pressed = 0.0
        while time.monotonic() < deadline:
            shown = run("capture-pane", "-p")
            if "A is 8-bit here" in shown and "BRA DmaGo" in shown.split("LDA #$80")[-1].split("To OAM")[0]:
                break
            if time.monotonic() - pressed > 5 and ("A is 8-bit here" in shown or pressed):
                # Out of insert mode first: diagnostics that come while one types stay off the screen until then.
                run("send-keys", "Escape")
                time.sleep(1)
                run("send-keys", "A")       # insert at the end of the line: the place where ghost text is asked for
                pressed = time.monotonic()
            time.sleep(0.2)
        colours = run("capture-pane", "-p", "-e")
    finally:
        run("kill-server")
    folder = Path(os.environ.get("NAYRU_SCREENSHOTS", tmp_path))
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "neovim.txt").write_text(shown)
    console = Console(record=True, width=110, file=io.StringIO())
    console.print(Text.from_ansi(colours))
    (folder / "neovim.svg").write_text(console.export_svg(title="Neovim"))
    assert "A is 8-bit here" in shown, shown
    assert "BRA DmaGo" in shown.split("LDA #$80")[-1].split("To OAM")[0], shown
