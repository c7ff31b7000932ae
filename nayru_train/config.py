"""Configuration of a training run: one frozen Struct per stage, from TOML plus ``section.key=value``.

The defaults are the recipe of nayru-v5. Unknown keys and wrong types are errors that name their path. The hash of a
configuration is part of a run's identity (`manifest.py`).
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

import msgspec
import platformdirs

from nayru_lsp.config import ConfigError as LspConfigError
from nayru_lsp.config import UserConfig, parse_user

PROJECTIONS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


class ConfigError(Exception):
    """A setting is wrong; ``str()`` names it and says what is allowed."""


class _Section(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    pass


class CollectConfig(_Section, frozen=True):
    """Where samples come from. ``licence`` is noted for rows whose source states none."""

    store: str = ""                         # the sample database; "" = the user's own
    use_store: bool = True
    jsonl: tuple[str, ...] = ()             # instruction/input/output rows
    checkouts: tuple[str, ...] = ()         # folders of assembly: rows and held-back lines of the project
    base_checkouts: tuple[str, ...] = ()    # folders of other projects: replay and forgetting rows
    licence: str = "unstated"
    rows_per_project: int = 600             # random next-line rows drawn from the checkouts
    prompt_tokens: int = 1200               # rows from checkouts get the server's own layout within this; 0 = windows
    prefix_lines: int = 12                  # the window where prompt_tokens is 0, and what duplicates are judged by
    suffix_lines: int = 4
    generated: bool = False                 # add a generated project of our own in place of checkouts
    generated_seed: int = 1
    generated_files: int = 150


class PrepareConfig(_Section, frozen=True):
    """Filters, duplicates, split. A family is a routine with its variants and near copies; it is never split."""

    near_duplicate: float = 0.85
    test_share: float = 0.4                 # of the checkouts' families; families with samples always train
    test_positions: int = 400
    test_per_file: int = 9                  # so that 400 positions lie in at least 40 files
    frozen_positions: int = 240             # of other projects, for the forgetting bound
    replay: float = 0.5                     # share of replay rows in the training set
    repeat_samples: int = 1                 # each accepted sample counts this many times
    max_rows: int = 0                       # 0 = all
    plugins: tuple[str, ...] | None = None  # whose filters judge rows; None = every installed one
    allow_no_library: bool = False          # go on without the routine library's tasks to decontaminate against
    control: Literal["", "shuffled"] = ""   # "shuffled": targets rotated among rows; such a run is never promoted


class TrainConfig(_Section, frozen=True):
    base: str = "Qwen/Qwen2.5-Coder-7B-Instruct"
    base_licence: str = "Apache-2.0"
    rank: int = 16
    alpha: int = 32
    dropout: float = 0.05
    targets: tuple[str, ...] = PROJECTIONS
    quantise: Literal["nf4", "none"] = "nf4"
    double_quant: bool = True
    compute_dtype: Literal["bfloat16", "float32"] = "bfloat16"
    epochs: float = 3.0
    learning_rate: float = 2e-4
    batch: int = 1
    accumulation: int = 8
    warmup_steps: int = 20
    max_length: int = 2048
    over_long: Literal["raise", "drop"] = "raise"     # never cut in silence
    checkpoint_steps: int = 50
    gradient_checkpointing: bool = True
    min_steps: int = 0                      # raise the number of epochs until there are this many steps


class MergeConfig(_Section, frozen=True):
    dtype: Literal["float16", "bfloat16", "float32"] = "float16"
    max_difference: float = 0.15            # of the adapter's own effect on the logits; a wrong merge is far above


class ExportConfig(_Section, frozen=True):
    quantise: str = "q4_K_M"
    serve: Literal["merged", "adapter"] = "merged"    # the form that is judged and promoted
    serve_base: str = "qwen2.5-coder:7b-instruct"     # what the adapter form is built on, an Ollama model name


class RegisterConfig(_Section, frozen=True):
    alias: str = "nayru"
    url: str = "http://127.0.0.1:11434"
    timeout: float = 600.0


class EvaluateConfig(_Section, frozen=True):
    """The gate of docs/training.md. Points are percentage points, nats are summed over a line."""

    min_positions: int = 200
    min_files: int = 40
    exact_margin: float = 2.0
    forget_margin: float = 0.5
    resamples: int = 4000
    max_line_tokens: int = 48
    library_tasks: bool = True
    compare_adapter: int = 40               # positions on which the form that is not served is compared


class RehearsalConfig(_Section, frozen=True):
    """The tiny base that a rehearsal makes for itself. Hidden size 256 so that q4_K_M rows are whole."""

    hidden: int = 256
    layers: int = 3
    heads: int = 4
    kv_heads: int = 2
    mlp: int = 768
    vocabulary: int = 1536
    steps: int = 400
    batch: int = 16
    learning_rate: float = 3e-3
    seed: int = 7
    projects: int = 10


class RunConfig(_Section, frozen=True):
    folder: str = ""                        # data folder of the trainer; "" = the platform's
    seed: int = 17
    rehearsal: bool = False
    threads: int = 0                        # 0 = the libraries' own choice
    collect: CollectConfig = CollectConfig()
    prepare: PrepareConfig = PrepareConfig()
    train: TrainConfig = TrainConfig()
    merge: MergeConfig = MergeConfig()
    export: ExportConfig = ExportConfig()
    register: RegisterConfig = RegisterConfig()
    evaluate: EvaluateConfig = EvaluateConfig()
    tiny: RehearsalConfig = RehearsalConfig()


# What a rehearsal changes: sizes and rates that suit a model of a few million parameters. All else is the same.
REHEARSAL: dict[str, Any] = {
    "rehearsal": True,
    "threads": 1,
    "collect": {"prompt_tokens": 0},
    "train": {"base": "rehearsal", "learning_rate": 2e-3, "batch": 8, "accumulation": 1, "warmup_steps": 10,
              "gradient_checkpointing": False},
    "export": {"serve_base": ""},
    "register": {"alias": "nayru-rehearsal"},
}


def home(kind: Literal["config", "data"]) -> Path:
    """The user's own folder, the same as the editor's side uses: below ``NAYRU_HOME`` where that is set."""
    if below := os.environ.get("NAYRU_HOME"):
        return Path(below) / kind
    find = platformdirs.user_config_path if kind == "config" else platformdirs.user_data_path
    return find("nayru", appauthor=False)


def data_folder(config: RunConfig) -> Path:
    """Where runs, the registry and the rehearsal's base live."""
    return Path(config.folder) if config.folder else home("data") / "train"


def user_settings() -> UserConfig:
    """The user's ``config.toml``: where Asar lies, where samples are kept. Raises ConfigError."""
    path = Path(os.environ.get("NAYRU_CONFIG") or home("config") / "config.toml")
    try:
        return parse_user(path.read_text(encoding="utf-8"), str(path))
    except FileNotFoundError:
        return UserConfig()
    except (OSError, UnicodeDecodeError, LspConfigError) as error:
        raise ConfigError(f"{path}: {error}") from None


def sample_store(config: RunConfig) -> Path:
    """The editor's sample database."""
    if config.collect.store:
        return Path(config.collect.store)
    return Path(user_settings().samples.folder or home("data")) / "samples.sqlite"


def load(path: Path | None = None, overrides: Iterable[str] = (), rehearsal: bool = False,
         start: RunConfig | None = None) -> RunConfig:
    """Read TOML, then apply ``section.key=value`` (lists as JSON), over ``start`` or defaults. Raises ConfigError."""
    tree: dict[str, Any] = msgspec.to_builtins(start) if start is not None else {}
    if rehearsal and start is None:
        tree = {key: dict(value) if isinstance(value, dict) else value for key, value in REHEARSAL.items()}
    if path is not None:
        try:
            read = tomllib.loads(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise ConfigError(f"{path}: {error}") from None
        for key, value in read.items():
            if isinstance(value, dict):
                tree.setdefault(key, {}).update(value)
            else:
                tree[key] = value
    for item in overrides:
        name, equals, raw = item.partition("=")
        if not equals:
            raise ConfigError(f"{item!r}: write it as section.key=value")
        *parents, last = name.strip().split(".")
        place = tree
        for parent in parents:
            place = place.setdefault(parent, {})
            if not isinstance(place, dict):
                raise ConfigError(f"{name}: {parent} is no section")
        place[last] = _value(raw.strip())
    try:
        return msgspec.convert(tree, RunConfig, strict=False)
    except msgspec.ValidationError as error:
        raise ConfigError(str(error)) from None


def _value(raw: str) -> Any:
    if raw[:1] in "[{\"":
        try:
            return msgspec.json.decode(raw.encode())
        except msgspec.DecodeError as error:
            raise ConfigError(f"{raw}: {error}") from None
    return raw
