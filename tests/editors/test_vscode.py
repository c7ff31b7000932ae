"""The VS Code extension, built and installed as a user would, in the real editor in a browser."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from tests.kit import REPOSITORY, TOOLS, find_part, missing, require

EXTENSION = REPOSITORY / "editors" / "vscode"
MISTAKE = ("    LDA #$80\n    STA $2100", "    LDA.w #$80\n    STA $2100")
TYPED = "; To WRAM, through its port.\nDmaToWram:\n    STZ $4300\n    LDA #$80\n\n"


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def browser() -> str:
    for name in ("chromium", "google-chrome", "chrome"):
        found = shutil.which(name)
        if found:
            return found
    missing("vscode", "there is no Chromium to show VS Code in; `make tools` installs it")
    raise AssertionError


def package(folder: Path) -> Path:
    """The extension as a VSIX, built from a copy of its sources."""
    node = require("node")
    if not (EXTENSION / "node_modules" / ".bin" / "vsce").exists():
        missing("vscode", "the extension's build tools are not installed; `make tools` brings them")
    made = folder / "nayru.vsix"
    for command in (["node_modules/typescript/bin/tsc", "--noEmit"], ["build.mjs"],
                    ["node_modules/@vscode/vsce/vsce", "package", "--no-dependencies", "--allow-missing-repository",
                     "--out", str(made)]):
        done = subprocess.run([str(node), *command], cwd=EXTENSION, capture_output=True, text=True, timeout=180,
                              env={**os.environ, "PATH": f"{node.parent}{os.pathsep}{os.environ['PATH']}"})
        assert done.returncode == 0, done.stdout + done.stderr
    return made


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """One drive through the editor: step -> what was seen."""
    entry = require("vscode")
    node = str(require("node"))
    folder = tmp_path_factory.mktemp("vscode")
    workspace = folder / "demo"
    shutil.copytree(REPOSITORY / "nayru_lsp" / "demo" / "program", workspace)
    boot = workspace / "boot.asm"
    boot.write_text(boot.read_text().replace(*MISTAKE, 1))
    dma = workspace / "dma.asm"
    dma.write_text(dma.read_text().replace("; To OAM.", TYPED + "; To OAM.", 1))
    text = workspace / "text.asm"
    text.write_text(text.read_text() + "\n; Multiply two unsigned 16-bit numbers\n")
    pictures = Path(os.environ.get("NAYRU_SCREENSHOTS") or folder / "pictures")
    pictures.mkdir(parents=True, exist_ok=True)

    nobody = free_port()
    data, extensions = folder / "data", folder / "extensions"
    (data / "User").mkdir(parents=True)
    launcher = folder / "nayru"
    launcher.write_text(f'#!/bin/sh\nexec "{sys.executable}" -P -m nayru_lsp "$@"\n')
    launcher.chmod(0o755)
    (data / "User" / "settings.json").write_text(json.dumps({
        "workbench.startupEditor": "none", "editor.wordBasedSuggestions": "off", "extensions.autoUpdate": False,
        "telemetry.telemetryLevel": "off", "security.workspace.trust.enabled": False, "editor.minimap.enabled": False,
        "workbench.tips.enabled": False, "workbench.reduceMotion": "on", "chat.commandCenter.enabled": False}))
    # Machine-scoped settings of a browser session live with the server.
    (data / "Machine").mkdir()
    (data / "Machine" / "settings.json").write_text(json.dumps({
        "nayru.server.path": str(launcher), "nayru.asar.library": str(find_part("asar") or ""),
        "nayru.ollama.url": f"http://127.0.0.1:{nobody}"}))
    # A workspace that tries to run a program and to send text elsewhere.
    intruder = workspace / "intruder"
    intruder.write_text(f'#!/bin/sh\ntouch "{folder}/intruded"\n')
    intruder.chmod(0o755)
    (workspace / ".vscode").mkdir()
    (workspace / ".vscode" / "settings.json").write_text(json.dumps({
        "nayru.server.path": str(intruder), "nayru.ollama.url": "http://127.0.0.1:9",
        "nayru.ollama.allow_remote_host": True, "nayru.no_such_key": 1}))
    env = {name: value for name, value in os.environ.items() if not name.startswith(("NAYRU_", "VSCODE_"))}
    env |= {"EXTENSIONS_GALLERY": "{}", "NAYRU_HOME": str(folder / "home"), "HOME": str(folder),
            "VIRTUAL_ENV": str(folder / "venv"), "PATH": f"{folder}{os.pathsep}{env['PATH']}"}
    base = [node, str(entry), "--user-data-dir", str(data), "--extensions-dir", str(extensions)]
    installed = subprocess.run([*base, "--install-extension", str(package(folder)), "--force"], env=env,
                               capture_output=True, text=True, timeout=120)
    assert installed.returncode == 0, installed.stdout + installed.stderr
    port = free_port()
    log = (folder / "server.log").open("wb")
    server = subprocess.Popen(
        [*base, "--auth", "none", "--bind-addr", f"127.0.0.1:{port}", "--disable-telemetry", "--disable-update-check",
         "--disable-workspace-trust", str(workspace)], env=env, stdout=log, stderr=log)
    try:
        wait_for(port, server)
        opened = json.dumps([["openFile", f"vscode-remote://127.0.0.1:{port}{boot}"]], separators=(",", ":"))
        job = {
            "url": f"http://127.0.0.1:{port}/?" + urllib.parse.urlencode({"folder": str(workspace), "payload": opened}),
            "playwright": str(TOOLS / "vscode" / "node_modules" / "playwright-core"), "browser": browser(),
            "pictures": str(pictures), "seen": str(folder / "seen.json"),
            "hover": {"line": line_of(boot, "STA $2100"), "column": 10},
            "call": {"line": line_of(boot, "JSR WaitFrame")},
            "ghost": {"file": dma.name, "line": line_of(dma, "DmaToWram:") + 2},
            "comment": {"file": text.name, "line": line_of(text, "; Multiply two"), "label": "Multiply16:"}}
        drive = subprocess.run([node, str(EXTENSION / "test" / "drive.mjs")], capture_output=True, text=True,
                               timeout=400, env={**env, "NAYRU_DRIVE": json.dumps(job)})
        assert (folder / "seen.json").exists(), drive.stdout + drive.stderr
        answer = json.loads((folder / "seen.json").read_text())
        answer["pictures"] = sorted(path.name for path in pictures.glob("vscode-*.png"))
        answer["dma"] = dma.read_text()
        answer["intruded"] = (folder / "intruded").exists()
        answer["nobody"] = f"http://127.0.0.1:{nobody}"
        answer["text"] = text.read_text()
        assert isinstance(answer, dict)
        return answer
    finally:
        server.terminate()
        server.wait(20)
        log.close()


def wait_for(port: int, server: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        assert server.poll() is None, "code-server ended"
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=5).close()
            return
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
    raise AssertionError("code-server does not answer")


def line_of(path: Path, text: str) -> int:
    """The number (from 1) of the first line that holds ``text``."""
    return next(number for number, line in enumerate(path.read_text().split("\n"), 1) if text in line)


def test_diagnostics_hover_and_completion(seen: dict[str, Any]) -> None:
    assert "A is 8-bit here" in seen.get("problem", ""), seen
    assert "INIDISP" in seen.get("hover", ""), seen
    assert seen.get("completion") == "WaitFrame" and seen.get("completed"), seen


def test_ghost_text_is_taken_with_tab(seen: dict[str, Any]) -> None:
    assert "BRA DmaGo" in seen.get("ghost", ""), seen
    assert "BRA DmaGo" in seen["dma"].split("LDA #$80\n")[1].split("; To OAM")[0], seen
    assert seen["statusWithGhost"].startswith("Nayru ready: "), seen


def test_silence_has_a_reason(seen: dict[str, Any]) -> None:
    assert seen.get("silence", "").startswith("Nayru silent: "), seen


def test_the_question_for_consent_and_the_sample(seen: dict[str, Any]) -> None:
    assert "training samples" in seen.get("consent", ""), seen
    assert "BRA DmaGo" in seen.get("sampleRow", "") and seen.get("sample"), seen


def test_a_routine_from_a_comment(seen: dict[str, Any]) -> None:
    assert seen.get("routine") and "Multiply16:" in seen["text"], seen
    assert "bytes" in seen["routineMessage"] and "cycles" in seen["routineMessage"], seen
    if find_part("asar"):
        assert "not judged by asar" not in seen["routineMessage"], "the machine's setting nayru.asar.library is used"


def test_restart_and_status(seen: dict[str, Any]) -> None:
    assert seen.get("restarted") and seen.get("statusMessage") and "failure" not in seen, seen


def test_a_workspace_changes_no_setting_that_is_the_users(seen: dict[str, Any]) -> None:
    assert not seen["intruded"]
    assert seen["nobody"] in seen["statusMessage"], "the machine's address for Ollama, not the workspace's"


def test_pictures_are_kept(seen: dict[str, Any]) -> None:
    wanted = {"diagnostic", "hover", "completion", "ghost", "consent", "routine", "samples", "status"}
    assert {f"vscode-{name}.png" for name in wanted} <= set(seen["pictures"])
