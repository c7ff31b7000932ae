"""Configuration: frozen, strict Structs. Unknown keys and wrong types are errors that name their path.

Two files, two trusts. ``nayru.toml`` in a workspace describes the *project* (`ProjectConfig`) and can reach nothing
outside it. `UserConfig` (the user's own ``config.toml``, flags, machine-scoped editor settings) holds all that loads
code, runs, reads outside the workspace or sends text.
"""

from __future__ import annotations

import msgspec


class RootConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One root file of a project, with what Asar would be told on its command line."""

    path: str
    defines: dict[str, str] = {}
    include_paths: tuple[str, ...] = ()
    mapping_mode: str = ""          # "", lorom, hirom, exlorom, exhirom, sa1rom, fullsa1rom, sfxrom, norom
    prelude: str = ""               # a file assembled before the root
    base_image: str = ""            # the ROM the patch is applied to


class ProjectConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``nayru.toml``: describes the project; every path lies inside the workspace."""

    roots: tuple[RootConfig, ...] = ()
    include_paths: tuple[str, ...] = ()
    defines: dict[str, str] = {}
    dialect: str = ""               # "", "1.91", "2.0"
    mapping_mode: str = ""
    prelude: str = ""
    base_image: str = ""
    checks: dict[str, bool] = {}    # problem code -> on or off
    packs: tuple[str, ...] = ()     # facts to load beside the default ones
    licence: str = ""               # the project's own licence, noted in every sample


class OllamaConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    url: str = "http://127.0.0.1:11434"
    model: str = "nayru"
    api_key: str = ""
    allow_remote_host: bool = False     # a host other than this machine; cloud models stay refused
    num_ctx: int = 4096
    temperature: float = 0.5
    top_p: float = 0.85
    keep_alive: str = "30m"
    connect_timeout: float = 0.5
    complete_timeout: float = 5.0
    generate_timeout: float = 120.0


class GhostConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    enabled: bool = True
    provider: str = "auto"          # auto (Ollama when it answers, else local), ollama, local
    debounce_ms: int = 75
    threshold: float = 0.5          # the embedded predictor speaks from this probability on
    max_lines: int = 4
    asar_deadline_ms: int = 80


class GenerateConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    provider: str = "auto"
    repair_rounds: int = 2


class AsarConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    enabled: bool = True
    library: str = ""               # absolute path of libasar.so / asar.dll / libasar.dylib; "" = look in known places
    pause_ms: int = 600
    project_timeout: float = 10.0
    memory_mb: int = 1024


class SamplesConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    enabled: bool = True            # False: never ask, never store
    folder: str = ""                # "" = the platform's data folder
    cap_mb: int = 256
    settle_seconds: float = 10.0


class UserConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``config.toml`` in the user's own configuration folder."""

    ollama: OllamaConfig = OllamaConfig()
    ghost: GhostConfig = GhostConfig()
    generate: GenerateConfig = GenerateConfig()
    asar: AsarConfig = AsarConfig()
    samples: SamplesConfig = SamplesConfig()
    plugins: tuple[str, ...] | None = None      # None = every installed one
    outside_include_paths: tuple[str, ...] = ()
    log_level: str = "WARNING"


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
