"""The wheel, installed with its run-time dependencies and nothing else, does its work: no torch, no test tools, no
file left behind in the repository. Without network: what it depends on is linked in from the tests' own environment.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from tests.kit import REPOSITORY

pytestmark = pytest.mark.slow

SOURCE = """lorom
org $008000
Reset:
    SEP #$20
    LDA.w #$10
    STA $2100
    BRA Reset
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    done = subprocess.run([sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder)],
                          cwd=REPOSITORY, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return next(folder.glob("nayru-*.whl"))


def needed(requirements: list[str], seen: set[str]) -> Iterator[metadata.Distribution]:
    """The distributions that these requirements ask for here, and what those ask for."""
    for text in requirements:
        requirement = Requirement(text)
        if requirement.marker and not requirement.marker.evaluate({"extra": ""}):
            continue
        name = requirement.name.lower().replace("_", "-")
        if name not in seen:
            seen.add(name)
            found = metadata.distribution(name)
            assert found.version in requirement.specifier, f"{name} {found.version}, wanted {requirement.specifier}"
            yield found
            yield from needed(found.requires or [], seen)


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an environment that holds the wheel and its run-time dependencies; its commands are in `bin`."""
    folder = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True, timeout=120)
    python = next(folder.glob("bin/python")) if os.name != "nt" else folder / "Scripts" / "python.exe"
    subprocess.run([sys.executable, "-m", "pip", "--python", str(python), "install", "-q", "--no-deps", "--no-index",
                    "--disable-pip-version-check", str(wheel)], check=True, timeout=120)
    site = Path(subprocess.run([str(python), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
                               capture_output=True, text=True, check=True).stdout.strip())
    with zipfile.ZipFile(wheel) as archive:
        name = next(one for one in archive.namelist() if one.endswith(".dist-info/METADATA"))
        wanted = metadata.PathDistribution(zipfile.Path(archive, name.rpartition("/")[0] + "/")).requires or []
        for one in needed(wanted, set()):
            for top in {str(file).partition("/")[0] for file in one.files or []} - {"..", "__pycache__"}:
                if not (site / top).exists():
                    (site / top).symlink_to(Path(str(one.locate_file(top))))
    return python.parent


def run(installed: Path, *words: str, folder: Path, code: int = 0) -> str:
    env = {name: value for name, value in os.environ.items() if not name.startswith(("NAYRU_", "PYTHON"))}
    env["NAYRU_HOME"] = str(folder / "home")
    done = subprocess.run([str(installed / words[0]), *words[1:]], capture_output=True, text=True, cwd=folder, env=env,
                          timeout=120)
    assert done.returncode == code, f"{words}: {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def test_only_what_belongs_into_it(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    tops = {name.partition("/")[0] for name in names if ".dist-info/" not in name}
    assert tops == {"nayru_lsp", "nayru_train", "nayru_asar", "nayru_snes"}
    for name in ("nayru_lsp/Modelfile.nayru", "nayru_lsp/asm/isa.toml", "nayru_lsp/demo/program/main.asm",
                 "nayru_lsp/assist/local_weights.bin", "nayru_snes/registers.toml", "nayru_lsp/py.typed"):
        assert name in names, name
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in names)
    assert sum(name.startswith("nayru_lsp/assist/routines/") and name.endswith(".asm") for name in names) >= 16
    strangers = [name for name in names if not name.endswith((
        ".py", ".toml", ".asm", ".bin", ".typed", ".nayru", "/LICENSE", "/METADATA", "/RECORD", "/WHEEL",
        "/entry_points.txt"))]
    assert not strangers


def test_the_command_works_without_the_heavy_packages(installed: Path, tmp_path: Path) -> None:
    assert run(installed, "nayru", "--version", folder=tmp_path).startswith("nayru ")
    absent = "import importlib.util as u; print([n for n in ('torch', 'numpy', 'pytest') if u.find_spec(n)])"
    assert run(installed, "python", "-c", absent, folder=tmp_path).strip() == "[]"
    source = tmp_path / "main.asm"
    source.write_text(SOURCE)
    found = json.loads(run(installed, "nayru", "check", "--json", str(source), folder=tmp_path))
    assert "NAY201" in json.dumps(found)
    assert "plugin snes" in run(installed, "nayru", "doctor", folder=tmp_path)
    assert "retrain" in run(installed, "nayru-train", "--help", folder=tmp_path)


def test_the_demo_runs_from_the_wheel(installed: Path, tmp_path: Path) -> None:
    assert "INIDISP" in run(installed, "nayru", "demo", folder=tmp_path)
