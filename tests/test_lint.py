"""Lint and types are part of the tests: ruff, mypy --strict, TypeScript and Lua where their tools are."""

from __future__ import annotations

import shutil
import subprocess
import sys

import pytest

from tests.kit import REPOSITORY, find_part, missing, require


def run(*command: str, cwd: str = "", timeout: float = 600) -> None:
    done = subprocess.run(command, cwd=REPOSITORY / cwd, capture_output=True, text=True, timeout=timeout)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}{done.stderr}"


def test_ruff() -> None:
    run(sys.executable, "-m", "ruff", "check", "--no-cache", ".")


@pytest.mark.slow
def test_mypy() -> None:
    run(sys.executable, "-m", "mypy", "--no-error-summary")


def test_typescript() -> None:
    node = str(require("node"))
    folder = REPOSITORY / "editors" / "vscode"
    compiler = folder / "node_modules" / "typescript" / "bin" / "tsc"
    if not compiler.exists():
        missing("vscode", "the TypeScript compiler is not installed; `make tools` brings it")
    run(node, str(compiler), "--noEmit", "-p", str(folder))


def test_lua() -> None:
    """Neovim's own compiler reads every Lua file."""
    if find_part("nvim") is None:
        missing("nvim", "there is no Neovim to read the Lua sources; `make tools` brings it")
    nvim = str(require("nvim"))
    for source in sorted((REPOSITORY / "editors" / "neovim").rglob("*.lua")):
        load = f"lua assert(loadfile([[{source}]]))"
        done = subprocess.run([nvim, "--headless", "-u", "NONE", "-c", load, "-c", "q"],
                              capture_output=True, text=True, timeout=60)
        assert not done.stderr.strip(), f"{source}: {done.stderr}"


def test_shell_scripts_parse() -> None:
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("there is no bash to read the scripts")
    scripts = [path for path in sorted((REPOSITORY / ".ci").rglob("*")) if path.is_file()
               and path.read_bytes().startswith(b"#!/usr/bin/env bash")]
    assert scripts
    for script in scripts:
        run(bash, "-n", str(script))
