"""Who may import whom: the table of ARCHITECTURE.md, read from the source by its syntax tree.

Imports under ``TYPE_CHECKING`` are exempt: they vanish at run time.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kit import REPOSITORY

OURS = ("nayru_lsp", "nayru_train", "nayru_asar", "nayru_snes")
CONTRACT = ("nayru_lsp.contract", "nayru_lsp.prompt", "nayru_lsp.config", "nayru_lsp.snapshot", "nayru_lsp.samples")

# room -> (our modules it may import, packages of others it may import). A name stands for itself and what is below it.
ROOMS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "nayru_lsp.asm": (("nayru_lsp.asm",), ()),
    **dict.fromkeys(CONTRACT, (("nayru_lsp.asm", *CONTRACT), ("msgspec",))),
    "nayru_lsp.hookspecs": (
        ("nayru_lsp.asm", "nayru_lsp.contract", "nayru_lsp.snapshot", "nayru_lsp.work"), ("pluggy",)),
    "nayru_lsp.plugins": (
        ("nayru_lsp.asm", "nayru_lsp.contract", "nayru_lsp.snapshot", "nayru_lsp.work", "nayru_lsp.hookspecs"),
        ("pluggy",)),
    "nayru_lsp.convert": (
        ("nayru_lsp.asm", "nayru_lsp.contract", "nayru_lsp.snapshot", "nayru_lsp.convert"), ("lsprotocol",)),
    "nayru_lsp.features": (
        ("nayru_lsp.asm", "nayru_lsp.contract", "nayru_lsp.snapshot", "nayru_lsp.convert", "nayru_lsp.features"),
        ("lsprotocol",)),
    "nayru_lsp.assist": (
        ("nayru_lsp.asm", *CONTRACT, "nayru_lsp.plugins", "nayru_lsp.assist", "nayru_lsp.work"),
        ("ollama", "httpx", "msgspec")),
    "nayru_lsp.files": (("nayru_lsp.asm", "nayru_lsp.contract", "nayru_lsp.config", "nayru_lsp.snapshot"), ()),
    "nayru_lsp.schedule": (("nayru_lsp.asm", "nayru_lsp.contract", "nayru_lsp.config", "nayru_lsp.snapshot"), ()),
    "nayru_lsp.work": (("nayru_lsp.work", "nayru_lsp.work_child"), ()),
    "nayru_lsp.work_child": (("nayru_lsp.work",), ()),
    "nayru_lsp.session": (
        ("nayru_lsp.asm", "nayru_lsp.contract", "nayru_lsp.config", "nayru_lsp.snapshot", "nayru_lsp.convert",
         "nayru_lsp.files"), ("lsprotocol",)),
    "nayru_lsp.server": (("nayru_lsp",), ("pygls", "lsprotocol", "msgspec")),
    "nayru_lsp.server_assist": (("nayru_lsp",), ("pygls", "lsprotocol", "msgspec")),
    "nayru_lsp.server_expansion": (("nayru_lsp",), ("pygls", "lsprotocol")),
    "nayru_lsp.cache": ((), ()),
    "nayru_lsp.expansion_work": (("nayru_lsp.asm", "nayru_lsp.cache", "nayru_lsp.files", "nayru_lsp.slices"), ()),
    "nayru_lsp.slices": ((), ()),
    "nayru_lsp.server_index": (("nayru_lsp",), ("pygls", "lsprotocol")),
    "nayru_lsp.server_symbols": (("nayru_lsp",), ()),
    "nayru_lsp.server_settings": (("nayru_lsp",), ("pygls", "lsprotocol", "msgspec")),
    "nayru_lsp.server_protocol": (("nayru_lsp",), ("pygls", "lsprotocol", "cattrs")),
    "nayru_lsp.forgetting": ((), ()),
    "nayru_lsp.cli_assist": (("nayru_lsp",), ("msgspec",)),
    "nayru_lsp.cli_symbols": (("nayru_lsp",), ()),
    "nayru_lsp.cli_check": (("nayru_lsp",), ()),
    "nayru_lsp.__main__": (("nayru_lsp",), ("platformdirs", "rich", "msgspec")),
    "nayru_lsp.demo": (("nayru_lsp",), ("pygls", "lsprotocol", "rich", "platformdirs")),
    "nayru_train": (
        ("nayru_train", "nayru_lsp"),
        ("msgspec", "platformdirs", "ollama", "httpx", "rich")),
    "nayru_asar": (("nayru_asar", "nayru_lsp.asm", "nayru_lsp.hookspecs"), ()),
    "nayru_snes": (("nayru_snes", "nayru_lsp.asm", "nayru_lsp.hookspecs"), ()),
}
# Never, whatever a wider rule says.
FORBIDDEN: dict[str, tuple[str, ...]] = {
    "nayru_lsp.assist": ("pygls", "lsprotocol", "nayru_lsp.features", "nayru_lsp.server"),
    "nayru_lsp.server": ("nayru_train",),
    "nayru_lsp.__main__": ("nayru_train",),
    "nayru_train": ("nayru_lsp.server", "nayru_lsp.session", "nayru_lsp.features", "nayru_lsp.convert"),
}
# Heavy packages, and the modules whose functions (never their top level) may import them.
LOADERS = ("sources", "train", "prefer", "merge", "export", "rehearsal", "evaluate", "libraries")
HEAVY = ("torch", "transformers", "peft", "bitsandbytes", "datasets", "accelerate", "trl", "gguf", "safetensors",
         "tokenizers", "numpy")
IMPURE = ("os", "io", "pathlib", "logging", "time", "datetime", "threading", "asyncio", "subprocess", "socket",
          "multiprocessing", "shutil", "tempfile", "random")


def modules() -> Iterator[tuple[str, Path]]:
    for base in (REPOSITORY, REPOSITORY / "plugins"):
        for package in OURS:
            for path in sorted((base / package).rglob("*.py")):
                parts = path.relative_to(base).with_suffix("").parts
                yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts), path


ALL = dict(modules())


def imports(path: Path) -> Iterator[tuple[str, int, bool]]:
    """(imported module, line, at top level) of a source file, outside ``if TYPE_CHECKING``."""
    tree = ast.parse(path.read_text(encoding="utf-8"))

    def walk(node: ast.AST, top: bool) -> Iterator[tuple[str, int, bool]]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.dump(child.test):
                for other in child.orelse:
                    yield from walk(ast.Module(body=[other], type_ignores=[]), top)
                continue
            if isinstance(child, ast.Import):
                for alias in child.names:
                    yield alias.name, child.lineno, top
            elif isinstance(child, ast.ImportFrom):
                assert child.level == 0, f"{path}: imports are absolute here"
                for alias in child.names:
                    whole = f"{child.module}.{alias.name}"
                    yield whole if whole in ALL else str(child.module), child.lineno, top
            inner = top and not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            yield from walk(child, inner)

    yield from walk(tree, True)


def room(name: str) -> str:
    found = [one for one in ROOMS if name == one or name.startswith(one + ".")]
    assert found, f"{name} belongs to no room: add it to the table here and in ARCHITECTURE.md"
    return max(found, key=len)


def below(name: str, tops: tuple[str, ...]) -> bool:
    return any(name == top or name.startswith(top + ".") for top in tops)


@pytest.mark.parametrize("name", sorted(ALL))
def test_imports(name: str) -> None:
    if name in ("nayru_lsp",):
        assert not ALL[name].read_text().strip(), "empty on purpose: importing the core must not import the server"
        return
    own, others = ROOMS[room(name)]
    for imported, line, top in imports(ALL[name]):
        where = f"{ALL[name].relative_to(REPOSITORY)}:{line} imports {imported}"
        first = imported.partition(".")[0]
        assert not below(imported, FORBIDDEN.get(room(name), ())), where
        if first in OURS:
            assert below(imported, own), where
        elif first in HEAVY:
            loaders = tuple(f"nayru_train.{one}" for one in LOADERS)
            assert below(name, loaders) and not top, f"{where}: inside functions of {', '.join(LOADERS)} only"
        elif first not in sys.stdlib_module_names:
            assert below(imported, others), where
        elif room(name) == "nayru_lsp.asm":
            assert first not in IMPURE, f"{where}: the core does no I/O and knows no clock"


def test_the_core_pulls_in_nothing() -> None:
    code = ("import sys, nayru_lsp.asm; "
            "print([name for name in ('pygls', 'lsprotocol', 'pluggy', 'torch', 'msgspec') if name in sys.modules])")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_command_line_starts_without_the_server() -> None:
    """`nayru check` must not wait for pygls, nor for the clients of the model: who needs them imports them."""
    code = ("import sys, nayru_lsp.__main__; "
            "print([name for name in ('pygls', 'lsprotocol', 'httpx', 'ollama', 'torch') if name in sys.modules])")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_core_opens_nothing() -> None:
    """No call of a built-in that reads or writes, in any function of the core; its own package data comes by
    importlib.resources."""
    for name, path in ALL.items():
        if below(name, ("nayru_lsp.asm",)):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                    assert node.func.id not in ("open", "print", "input", "exec", "eval", "__import__"), (
                        f"{name}:{node.lineno} calls {node.func.id}")


def test_a_forbidden_import_is_seen(tmp_path: Path) -> None:
    """The reader of imports itself: in functions, in branches, and not under TYPE_CHECKING."""
    source = tmp_path / "one.py"
    source.write_text(
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import torch\nelse:\n    import json\n"
        "def f():\n    import pygls.server\n    from nayru_lsp import session\n")
    assert [one[0] for one in imports(source)] == ["typing", "json", "pygls.server", "nayru_lsp.session"]
    assert [one[2] for one in imports(source)] == [True, True, False, False]


def test_the_trainer_imports_without_its_heavy_packages() -> None:
    code = ("import sys\n"
            f"for name in {HEAVY!r}: sys.modules[name] = None\n"
            "import nayru_train, nayru_train.__main__\nprint('fine')")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "fine", done.stderr


def test_files_are_of_a_readable_size() -> None:
    """Above 500 lines a file says at its head why it is so long."""
    for name, path in ALL.items():
        text = path.read_text(encoding="utf-8")
        if text.count("\n") > 500:
            head = (ast.get_docstring(ast.parse(text)) or "").lower()
            assert "long" in head, f"{name}: {text.count(chr(10))} lines, and its head does not say why it is long"
