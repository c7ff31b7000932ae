"""Configuration: frozen, strict Structs. Unknown keys and wrong types are errors that name their path.

Two files, two trusts. ``nayru.toml`` in a workspace describes the *project* (`ProjectConfig`) and can reach nothing
outside it. `UserConfig` (the user's own ``config.toml``, flags, machine-scoped editor settings) holds all that loads
code, runs, reads outside the workspace or sends text.

The descriptions below are the only ones: the settings page, the editors' JSON Schema and the error texts come from
them.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import Meta
from msgspec.structs import replace

PROJECT_FILE = "nayru.toml"
EDITOR_KEYS = frozenset({"server", "trace"})    # sections of the editor settings that are the extension's own
PROJECT_SECTION = "project"                     # the section of the editor settings that describes the project


class RootConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One root file of a project, with what Asar would be told on its command line."""

    path: Annotated[str, Meta(description="The root file, relative to the workspace folder.")]
    defines: Annotated[dict[str, str], Meta(
        description="Defines set before the file is read, as Asar's `-D` does; names without `!`.")] = {}
    include_paths: Annotated[tuple[str, ...], Meta(
        description="Folders searched for included files, inside the workspace.")] = ()
    mapping_mode: Annotated[str, Meta(
        description="lorom, hirom, exlorom, exhirom, sa1rom, fullsa1rom, sfxrom or norom; empty: as the source says.",
        pattern="^(lorom|hirom|exlorom|exhirom|sa1rom|fullsa1rom|sfxrom|norom|)$")] = ""
    prelude: Annotated[str, Meta(description="A file assembled before the root.")] = ""
    base_image: Annotated[str, Meta(
        description="The ROM that the patch is applied to, inside the workspace. Without it, problems that depend on "
                    "ROM contents or free space are hidden.")] = ""


class ProjectConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``nayru.toml``: describes the project; every path lies inside the workspace."""

    roots: Annotated[tuple[RootConfig, ...], Meta(
        description="The files given to the assembler. Empty: the files that nobody includes and that set a mapping "
                    "mode, `org` or freespace.")] = ()
    include_paths: Annotated[tuple[str, ...], Meta(
        description="Folders searched for included files, for every root; inside the workspace.")] = ()
    defines: Annotated[dict[str, str], Meta(description="Defines for every root; names without `!`.")] = {}
    dialect: Annotated[str, Meta(
        description="The Asar version the source is written for: 1.91 or 2.0; empty: 1.91.",
        pattern="^(1\\.91|2\\.0|)$")] = ""
    mapping_mode: Annotated[str, Meta(
        description="The mapping mode where no source file sets one.",
        pattern="^(lorom|hirom|exlorom|exhirom|sa1rom|fullsa1rom|sfxrom|norom|)$")] = ""
    prelude: Annotated[str, Meta(description="A file assembled before every root.")] = ""
    base_image: Annotated[str, Meta(description="The ROM that every root is applied to.")] = ""
    symbols: Annotated[tuple[str, ...], Meta(
        description="Symbol files (WLA or no$sns `.sym`, Mesen 2 `.mlb`), inside the workspace: hover names addresses "
                    "by them. They define nothing.")] = ()
    checks: Annotated[dict[str, bool], Meta(
        description="Problem codes switched off (false) or on (true), such as `NAY201 = false`.")] = {}
    packs: Annotated[tuple[str, ...], Meta(
        description="Packs of facts to load beside the default ones, by plugin name.")] = ()
    licence: Annotated[str, Meta(description="The project's own licence, noted in every sample.")] = ""


class OllamaConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The model server."""

    url: Annotated[str, Meta(description="Where Ollama listens.")] = "http://127.0.0.1:11434"
    model: Annotated[str, Meta(description="The model's name in Ollama.")] = "nayru"
    api_key: Annotated[str, Meta(description="Sent as a bearer token, only when set here.")] = ""
    allow_remote_host: Annotated[bool, Meta(
        description="Allow a host other than this machine; cloud models stay refused.")] = False
    num_ctx: Annotated[int, Meta(
        description="The context window in tokens; the same for every request, since a change reloads the model.",
        ge=512)] = 4096
    temperature: Annotated[float, Meta(description="Sampling temperature of generated routines.", ge=0.0)] = 0.5
    top_p: Annotated[float, Meta(description="Nucleus sampling of generated routines.", gt=0.0, le=1.0)] = 0.85
    keep_alive: Annotated[str, Meta(description="How long Ollama keeps the model in memory.")] = "30m"
    connect_timeout: Annotated[float, Meta(description="Seconds to wait for a connection.", gt=0.0)] = 0.5
    complete_timeout: Annotated[float, Meta(description="Seconds to wait for ghost text.", gt=0.0)] = 5.0
    generate_timeout: Annotated[float, Meta(description="Seconds to wait for a routine.", gt=0.0)] = 120.0


class GhostConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Ghost text (inline completion)."""

    enabled: Annotated[bool, Meta(description="Offer ghost text.")] = True
    provider: Annotated[str, Meta(
        description="auto (Ollama when it answers, else the embedded predictor), ollama or local.",
        pattern="^(auto|ollama|local)$")] = "auto"
    debounce_ms: Annotated[int, Meta(
        description="Milliseconds of quiet before a model is asked.", ge=0, le=5000)] = 75
    threshold: Annotated[float, Meta(
        description="The embedded predictor speaks from this probability on.", ge=0.0, le=1.0)] = 0.5
    max_lines: Annotated[int, Meta(description="Lines of one suggestion at most.", ge=1, le=64)] = 4
    asar_deadline_ms: Annotated[int, Meta(
        description="Milliseconds that Asar may take to judge a suggestion; later, our own analysis decides alone.",
        ge=0)] = 80


class GenerateConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Routines from comments."""

    provider: Annotated[str, Meta(
        description="auto (Ollama when it answers, else the routine library), ollama or local.",
        pattern="^(auto|ollama|local)$")] = "auto"
    repair_rounds: Annotated[int, Meta(
        description="How often errors are fed back to the model.", ge=0, le=10)] = 2


class AsarConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The assembler as judge."""

    enabled: Annotated[bool, Meta(description="Use Asar where its library is found.")] = True
    library: Annotated[str, Meta(
        description="Absolute path of libasar.so, asar.dll or libasar.dylib; empty: looked for in known places, "
                    "never inside the workspace.")] = ""
    pause_ms: Annotated[int, Meta(
        description="Milliseconds of quiet before the project is assembled.", ge=0)] = 600
    project_timeout: Annotated[float, Meta(description="Seconds one assembly may take.", gt=0.0)] = 10.0
    memory_mb: Annotated[int, Meta(description="Megabytes one assembly may use.", ge=64)] = 1024


class AnalysisConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Our own execution of each root, in a process of its own: labels made by macros, addresses, bytes."""

    expansion: Annotated[bool, Meta(
        description="Execute the roots that reach the files you have open, as Asar would.")] = True
    seconds: Annotated[float, Meta(
        description="Seconds one execution may take; a root that takes longer is left out.", gt=0.0)] = 60.0
    memory_mb: Annotated[int, Meta(description="Megabytes that process may use.", ge=256)] = 2048
    cache: Annotated[bool, Meta(
        description="Keep what was found in the platform's cache folder: a project is there at once next time.")] = True


class SamplesConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Training samples, kept on this machine, only where you said yes."""

    enabled: Annotated[bool, Meta(description="False: never ask, never store.")] = True
    folder: Annotated[str, Meta(description="Where the store lies; empty: the platform's data folder.")] = ""
    cap_mb: Annotated[int, Meta(description="Megabytes the store may take.", ge=1)] = 256
    settle_seconds: Annotated[float, Meta(
        description="Seconds of quiet after which accepted text counts as settled.", gt=0.0)] = 10.0


class UserConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``config.toml`` in the user's own configuration folder."""

    ollama: OllamaConfig = OllamaConfig()
    ghost: GhostConfig = GhostConfig()
    generate: GenerateConfig = GenerateConfig()
    asar: AsarConfig = AsarConfig()
    analysis: AnalysisConfig = AnalysisConfig()
    samples: SamplesConfig = SamplesConfig()
    plugins: Annotated[tuple[str, ...] | None, Meta(
        description="The plugins to load; not set: every installed one.")] = None
    outside_include_paths: Annotated[tuple[str, ...], Meta(
        description="Folders outside the workspace that included files may be read from.")] = ()
    log_level: Annotated[str, Meta(
        description="DEBUG, INFO, WARNING or ERROR. Document text is not logged at any of them.",
        pattern="^(DEBUG|INFO|WARNING|ERROR)$")] = "WARNING"


class Config(msgspec.Struct, frozen=True):
    """What the rest of the program reads: the user's settings, and the project settings of each workspace folder
    (absolute folder path -> its ``nayru.toml``)."""

    user: UserConfig = UserConfig()
    projects: dict[str, ProjectConfig] = {}

    def project_for(self, path: str) -> ProjectConfig:
        """The project settings of the innermost workspace folder that holds ``path``."""
        best = ""
        for folder in self.projects:
            if (path == folder or path.startswith(folder.rstrip("/") + "/")) and len(folder) >= len(best):
                best = folder
        return self.projects.get(best, ProjectConfig())


class Places(msgspec.Struct, frozen=True):
    """Where the user's own files lie (absolute paths)."""

    config_file: str
    data_folder: str
    log_file: str
    cache_folder: str = ""


# --- reading ---------------------------------------------------------------------------------------------------

class ConfigError(Exception):
    """A configuration that cannot be used; ``str()`` is one sentence that names the file and the key's path."""


_S = TypeVar("_S", bound=msgspec.Struct)


def _convert(data: Any, kind: type[_S], origin: str) -> _S:
    try:
        return msgspec.convert(data, kind)
    except msgspec.ValidationError as error:
        message, _, path = str(error).partition(" - at `$")
        raise ConfigError(f"{origin}: {path.rstrip('`').lstrip('.') or 'top level'}: {message}") from None


def _toml(text: str, origin: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except ValueError as error:         # a syntax error, or a number of thousands of digits
        raise ConfigError(f"{origin}: {error}") from None
    except RecursionError:
        raise ConfigError(f"{origin}: it is nested too deeply") from None


def parse_user(text: str, origin: str = "config.toml") -> UserConfig:
    """The user's ``config.toml``. Raises ConfigError."""
    return _user(_toml(text, origin), origin)


def parse_project(text: str, origin: str = PROJECT_FILE) -> tuple[ProjectConfig, tuple[str, ...]]:
    """A workspace's ``nayru.toml``, and sentences for the user about keys it may not set. Raises ConfigError."""
    return project_from(_toml(text, origin), origin)


def project_from(data: Any, origin: str) -> tuple[ProjectConfig, tuple[str, ...]]:
    """Like `parse_project`, from plain data. Keys of `UserConfig` are left out and told: they belong to the user,
    not to whoever wrote the workspace. Paths that leave the workspace are errors. Raises ConfigError."""
    notices: list[str] = []
    if isinstance(data, Mapping):
        for key in sorted(set(data) & set(UserConfig.__struct_fields__)):
            notices.append(f"{origin}: `{key}` is ignored: it can only be set in your own config.toml or in your "
                           "editor's user settings, not by a workspace.")
        data = {key: value for key, value in data.items() if key not in UserConfig.__struct_fields__}
    _look_at_defines(data, origin)
    config = _convert(data, ProjectConfig, origin)
    for where, path in _project_paths(config):
        if not inside(path):
            raise ConfigError(f"{origin}: {where}: {path!r} lies outside the workspace; only your own config.toml "
                              "can allow that (outside_include_paths)")
    return config, tuple(notices)


def _look_at_defines(data: Any, origin: str) -> None:
    """A number without quotes is what everybody writes first. Raises ConfigError."""
    roots = data.get("roots") if isinstance(data, Mapping) else None
    parts = [("", data)] + [(f"roots[{i}].", one) for i, one in enumerate(roots if isinstance(roots, list) else [])]
    for where, one in parts:
        defines = one.get("defines") if isinstance(one, Mapping) else None
        for name, value in defines.items() if isinstance(defines, Mapping) else ():
            if isinstance(value, int | float):
                raise ConfigError(f'{origin}: {where}defines.{name}: write its value in quotes, as Asar is to read it: '
                                  f'{name} = "{value}"')


def inside(path: str) -> bool:
    """True when ``path`` is relative and does not climb out of the folder it is relative to."""
    path = path.replace("\\", "/")
    if path.startswith("/") or path[1:2] == ":":
        return False
    depth = 0
    for part in path.split("/"):
        depth += -1 if part == ".." else 0 if part in ("", ".") else 1
        if depth < 0:
            return False
    return True


def _project_paths(config: ProjectConfig) -> list[tuple[str, str]]:
    found = [(f"include_paths[{i}]", path) for i, path in enumerate(config.include_paths)]
    found += [("prelude", config.prelude), ("base_image", config.base_image)]
    found += [(f"symbols[{i}]", path) for i, path in enumerate(config.symbols)]
    for i, root in enumerate(config.roots):
        found += [(f"roots[{i}].path", root.path), (f"roots[{i}].prelude", root.prelude),
                  (f"roots[{i}].base_image", root.base_image)]
        found += [(f"roots[{i}].include_paths[{k}]", path) for k, path in enumerate(root.include_paths)]
    return found


def merge_settings(user: UserConfig, settings: Any, origin: str = "editor settings") -> UserConfig:
    """``user`` with the editor's settings laid over it. ``null`` means "not set here", so a key that the editor
    only knows by its default does not hide ``config.toml``. Raises ConfigError."""
    settings = _without_nulls(settings)
    if not settings:
        return user
    if not isinstance(settings, dict):
        raise ConfigError(f"{origin}: expected an object, got {type(settings).__name__}")
    settings = {key: value for key, value in settings.items() if key not in EDITOR_KEYS | {PROJECT_SECTION}}
    return _user(_merge(msgspec.to_builtins(user), settings), origin)


def _user(data: Any, origin: str) -> UserConfig:
    """The user's settings with `~` expanded. A relative folder is refused: it would mean another one, perhaps in the
    workspace, wherever the program is started. Raises ConfigError."""
    config = _convert(data, UserConfig, origin)

    def folder(key: str, path: str) -> str:
        path = os.path.expanduser(path)
        if path and not os.path.isabs(path):
            raise ConfigError(f"{origin}: {key}: {path!r} must be an absolute path (or begin with ~/)")
        return path

    return replace(
        config, samples=replace(config.samples, folder=folder("samples.folder", config.samples.folder)),
        asar=replace(config.asar, library=os.path.expanduser(config.asar.library)),
        outside_include_paths=tuple(folder(f"outside_include_paths[{i}]", path)
                                    for i, path in enumerate(config.outside_include_paths)))


def _without_nulls(data: Any) -> Any:
    if isinstance(data, Mapping):
        kept = {key: _without_nulls(value) for key, value in data.items()}
        return {key: value for key, value in kept.items() if value is not None}
    return data


def _merge(base: dict[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in over.items():
        old = merged.get(key)
        merged[key] = _merge(old, value) if isinstance(old, dict) and isinstance(value, Mapping) else value
    return merged


# --- describing ------------------------------------------------------------------------------------------------

def settings_schema() -> dict[str, Any]:
    """JSON Schema of the editor settings (the `nayru` section): `UserConfig` with `project`."""
    (user, project), components = msgspec.json.schema_components(
        (UserConfig, ProjectConfig), ref_template="#/$defs/{name}")
    schema: dict[str, Any] = {"$schema": "https://json-schema.org/draft/2020-12/schema", **user}
    components["UserConfig"]["properties"][PROJECT_SECTION] = project
    return {**schema, "$defs": components}


def project_schema() -> dict[str, Any]:
    """JSON Schema of ``nayru.toml``."""
    return msgspec.json.schema(ProjectConfig)


def settings_page() -> str:
    """docs/settings.md between its markers: one table per section, from the Structs."""
    out: list[str] = ["### Your own settings: `config.toml`, or the `nayru` section of your editor's settings", ""]
    sections: list[tuple[str, type[msgspec.Struct]]] = [("", UserConfig)]
    for name in UserConfig.__struct_fields__:
        default = getattr(UserConfig(), name)
        if isinstance(default, msgspec.Struct):
            sections.append((name, type(default)))
    for section, kind in sections:
        rows = _rows(kind)
        if section:
            out += [f"#### `[{section}]`", "", (kind.__doc__ or "").strip(), ""]
        out += ["| key | default | meaning |", "|---|---|---|", *rows, ""]
    out += ["### The project: `nayru.toml` in the workspace folder", "",
            "| key | default | meaning |", "|---|---|---|", *_rows(ProjectConfig), "",
            "#### `[[roots]]`", "", "| key | default | meaning |", "|---|---|---|", *_rows(RootConfig), ""]
    return "\n".join(out)


def _rows(kind: type[msgspec.Struct]) -> list[str]:
    rows = []
    for field in msgspec.structs.fields(kind):
        default: Any = field.default if field.default is not msgspec.NODEFAULT else (
            field.default_factory() if field.default_factory is not msgspec.NODEFAULT else msgspec.NODEFAULT)
        if isinstance(default, msgspec.Struct):
            continue
        meta = next((m for m in getattr(field.type, "__metadata__", ()) if isinstance(m, Meta)), None)
        text = "required" if default is msgspec.NODEFAULT else "not set" if default is None else (
            f"`{msgspec.json.encode(default).decode()}`")
        rows.append(f"| `{field.name}` | {text} | {meta.description if meta else ''} |")
    return rows
