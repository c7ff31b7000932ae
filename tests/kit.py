"""What tests share: fixtures written as text, real parts, goldens."""

from __future__ import annotations

import os
import re
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from nayru_lsp.asm.checks import Check, check_file
from nayru_lsp.asm.parser import parse_text
from nayru_lsp.asm.project import Project
from nayru_lsp.asm.text import SourceText

REPOSITORY = Path(__file__).resolve().parents[1]
TOOLS = REPOSITORY / ".tools"

# part -> (places to look, environment variable that overrides, what brings it)
_PARTS: dict[str, tuple[tuple[Path, ...], str]] = {
    "asar": ((TOOLS / "lib/libasar.so", TOOLS / "lib/asar.dll", TOOLS / "lib/libasar.dylib"), "NAYRU_ASAR"),
    "ollama": ((TOOLS / "bin/ollama",), "NAYRU_OLLAMA"),
    "bsnes": ((TOOLS / "cores/bsnes_mercury_performance_libretro.so",), "NAYRU_BSNES"),
    "nvim": ((TOOLS / "bin/nvim",), "NAYRU_NVIM"),
    "vscode": ((TOOLS / "vscode/node_modules/code-server/out/node/entry.js",), "NAYRU_VSCODE"),
}


def required(part: str) -> bool:
    """True where the environment says that a missing ``part`` is a failure (``NAYRU_REQUIRE=asar,ollama``)."""
    return part in os.environ.get("NAYRU_REQUIRE", "").replace(" ", "").split(",")


def missing(part: str, reason: str) -> None:
    """Skip the running test because ``part`` is not here; fail instead where it is required."""
    if required(part):
        pytest.fail(f"{part} is required here (NAYRU_REQUIRE) but {reason}", pytrace=False)
    pytest.skip(f"{part}: {reason}")


def find_part(part: str) -> Path | None:
    """Where the real part is: the user's override, then ``.tools``, then PATH; None when absent."""
    places, variable = _PARTS[part]
    override = os.environ.get(variable)
    if override:
        return Path(override)
    for place in places:
        if place.exists():
            return place
    on_path = shutil.which({"vscode": "code-server"}.get(part, part)) if part in ("ollama", "nvim") else None
    return Path(on_path) if on_path else None


def require(part: str) -> Path:
    """The path of a real part; skips the test with the reason when it is missing, or fails where it is required.

    Parts: asar, ollama, bsnes, nvim, vscode (paths); node (the executable); train (the interpreter that has torch).
    """
    if part == "node":
        brought = TOOLS / "node" / "bin" / "node"        # there where `make tools` had to bring it
        node = str(brought) if brought.exists() else shutil.which("node")
        if node is None:
            missing(part, "there is no node on PATH; install Node.js 20, or `make tools` brings it")
        return Path(str(node))
    if part == "train":
        import importlib.util

        absent = [name for name in ("torch", "transformers", "peft", "bitsandbytes", "datasets", "gguf")
                  if importlib.util.find_spec(name) is None]
        if absent:
            missing(part, f"{', '.join(absent)} not installed; `pip install nayru[train]`, or `make tools`")
        return Path(sys.executable)
    found = find_part(part)
    if found is None:
        missing(part, "not found; `make tools` builds it")
    assert found is not None
    return found


@dataclass(frozen=True, slots=True)
class Fixture:
    """Files of a text fixture. ``cursor`` = (path, offset); ``selection`` = (path, start, end) when two marks stand."""

    files: dict[str, str]
    cursor: tuple[str, int] | None
    selection: tuple[str, int, int] | None


def read_fixture(text: str, folder: str = "/ws") -> Fixture:
    """Split ``;- name`` files, take ``<|>`` marks out. Without a ``;- name`` line the one file is ``main.asm``."""
    files: dict[str, list[str]] = {}
    name = "main.asm"
    for line in text.lstrip("\n").splitlines(keepends=True):
        if line.startswith(";- "):
            name = line[3:].strip()
            files[name] = []
        else:
            files.setdefault(name, []).append(line)
    out: dict[str, str] = {}
    cursor: tuple[str, int] | None = None
    selection: tuple[str, int, int] | None = None
    for name, lines in files.items():
        body = "".join(lines)
        path = f"{folder}/{name}"
        marks = []
        while "<|>" in body:
            at = body.index("<|>")
            marks.append(at)
            body = body[:at] + body[at + 3 :]
        if marks:
            cursor = (path, marks[-1])
            if len(marks) == 2:
                selection = (path, marks[0], marks[1])
        out[path] = body
    return Fixture(out, cursor, selection)


def project_of(fixture: Fixture) -> Project:
    """The parsed project of a fixture; files that end in .bin are blobs."""
    project = Project().with_files(
        parse_text(path, SourceText.of(text)) for path, text in fixture.files.items() if not path.endswith(".bin"))
    for path, text in fixture.files.items():
        if path.endswith(".bin"):
            project = project.with_blob(path, text.encode())
    return project


_ANNOTATION = re.compile(r";\s*(\^+)\s+(\S+)(?: (.*))?$")


def check_problems(text: str, *checks: Check) -> None:
    """Own problems (and those of ``checks``) equal the annotations: under a line, ``;   ^^^^ NAY201 part of message``.

    A caret line marks columns of the nearest line above that is no annotation; ``;`` may be left of them."""
    fixture = read_fixture(text)
    project = project_of(fixture)
    for path in project.files:
        lines = fixture.files[path].split("\n")
        wanted: list[tuple[int, int, int, str, str]] = []
        above = 0
        for number, line in enumerate(lines):
            match = _ANNOTATION.match(line.strip()) if line.lstrip().startswith(";") else None
            if match is None:
                above = number
                continue
            start = line.index("^")
            wanted.append((above, start, start + len(match.group(1)), match.group(2), match.group(3) or ""))
        found = []
        file = project.files[path]
        for problem in check_file(project, file, checks):
            row = file.text.line_of(problem.span.start)
            low = file.text.line_start(row)
            found.append((row, problem.span.start - low, problem.span.end - low, problem.code, problem.message))
        shown = "\n".join(f"{path}:{row + 1}: {'^' * (high - low)} at {low} {code} {message}"
                          for row, low, high, code, message in found)
        assert [item[:4] for item in found] == [item[:4] for item in wanted], f"found:\n{shown}\nwanted: {wanted}"
        for have, want in zip(found, wanted, strict=True):
            assert want[4] in have[4], f"{have[4]!r} lacks {want[4]!r}"
