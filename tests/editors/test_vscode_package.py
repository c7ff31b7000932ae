"""package.json of the VS Code extension agrees with the configuration, the server and the grammar's own rules.

``python -m tests.editors.test_vscode_package`` writes the settings of package.json anew from `nayru_lsp.config`.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import msgspec

from nayru_lsp.asm.isa import MNEMONICS
from nayru_lsp.config import UserConfig
from nayru_lsp.server import COMMANDS
from tests.kit import REPOSITORY, missing, require

EXTENSION = REPOSITORY / "editors" / "vscode"
PACKAGE = EXTENSION / "package.json"

# The extension's own settings, and the one that a workspace may set.
OWN: dict[str, dict[str, Any]] = {
    "nayru.server.path": {
        "type": "string", "default": "", "scope": "machine",
        "description": "Absolute path of the `nayru` command. Empty: the active Python environment's, else PATH's."},
    "nayru.project": {
        "type": "object", "default": {}, "scope": "resource",
        "description": "The project, with the keys of nayru.toml (roots, include_paths, defines, base_image, ...), "
                       "laid over that file. The file is the better place: every editor reads it."},
}


def settings() -> dict[str, dict[str, Any]]:
    """Every key of `UserConfig`, at machine scope: they load code, run, read outside the workspace or send text."""
    made = {"nayru.server.path": OWN["nayru.server.path"]}
    for field in msgspec.structs.fields(UserConfig):
        default = getattr(UserConfig(), field.name)
        if isinstance(default, msgspec.Struct):
            for inner in msgspec.structs.fields(type(default)):
                made[f"nayru.{field.name}.{inner.name}"] = setting(inner.type, getattr(default, inner.name))
        else:
            made[f"nayru.{field.name}"] = setting(field.type, default)
    return {**made, "nayru.project": OWN["nayru.project"]}


def setting(kind: Any, default: Any) -> dict[str, Any]:
    meta = next(one for one in getattr(kind, "__metadata__", ()) if isinstance(one, msgspec.Meta))
    plain = kind.__origin__
    names = {str: "string", bool: "boolean", int: "integer", float: "number"}
    made: dict[str, Any] = {"type": names.get(plain, "array")}
    if made["type"] == "array":
        made["items"] = {"type": "string"}
        if default is None:
            made["type"] = ["array", "null"]
    choices = re.fullmatch(r"\^\(([\w|]+)\)\$", meta.pattern or "")
    if choices:
        made["enum"] = choices.group(1).split("|")
    for name, value in (("minimum", meta.ge), ("maximum", meta.le), ("exclusiveMinimum", meta.gt)):
        if value is not None:
            made[name] = value
    return {**made, "default": default, "scope": "machine", "description": meta.description}


def written() -> dict[str, Any]:
    found = json.loads(PACKAGE.read_text(encoding="utf-8"))
    assert isinstance(found, dict)
    return found


def test_settings_are_those_of_the_configuration() -> None:
    expected = json.loads(json.dumps(settings()))
    assert written()["contributes"]["configuration"]["properties"] == expected, (
        "run python -m tests.editors.test_vscode_package")


def test_only_the_project_may_come_from_a_workspace() -> None:
    for name, one in written()["contributes"]["configuration"]["properties"].items():
        assert one["scope"] == ("resource" if name == "nayru.project" else "machine"), name


def test_commands() -> None:
    source = "".join(path.read_text(encoding="utf-8") for path in (EXTENSION / "src").glob("*.ts"))
    for one in written()["contributes"]["commands"]:
        assert f'command("{one["command"]}"' in source, one
        # The client registers the server's own commands itself; a second one of that name would fail.
        assert one["command"] not in COMMANDS
    for name in re.findall(r'ask(?:<[^>]*>+)?\("([\w.]+)"', source):
        assert name in COMMANDS, name


def test_the_grammar_knows_every_mnemonic() -> None:
    grammar = json.loads((EXTENSION / "syntaxes" / "asm65816.tmLanguage.json").read_text(encoding="utf-8"))
    rule = grammar["repository"]["instruction"]["match"]
    for name in MNEMONICS:
        assert re.search(rf"[(|]{name.lower()}[|)]", rule), f"the grammar lacks {name}"


def test_where_the_server_is_found(tmp_path: Path) -> None:
    node = str(require("node"))
    if not (EXTENSION / "node_modules" / "esbuild").exists():
        missing("vscode", "the extension's build tools are not installed; `make tools` brings them")
    made = tmp_path / "find.cjs"
    bundle = ("import { build } from 'esbuild'; await build({ entryPoints: ['src/find.ts'], bundle: true, "
              f"platform: 'node', format: 'cjs', outfile: {json.dumps(str(made))}, logLevel: 'warning' }})")
    subprocess.run([node, "--input-type=module", "-e", bundle], cwd=EXTENSION, check=True, timeout=60)
    done = subprocess.run([node, "--test", "test/find.test.mjs"], cwd=EXTENSION, capture_output=True, text=True,
                          timeout=60, env={**os.environ, "NAYRU_FIND": str(made)})
    assert done.returncode == 0, done.stdout + done.stderr


if __name__ == "__main__":
    package = written()
    package["contributes"]["configuration"]["properties"] = settings()
    PACKAGE.write_text(json.dumps(package, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
