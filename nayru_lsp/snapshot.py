"""The frozen view that every handler receives."""

from __future__ import annotations

from dataclasses import dataclass

from nayru_lsp.asm.facts import FactTable
from nayru_lsp.asm.project import Project
from nayru_lsp.config import Config


@dataclass(frozen=True, slots=True)
class Client:
    """What the editor can do, resolved once from its capabilities."""

    name: str = ""
    inline_completion: bool = False
    snippets: bool = False
    markdown: bool = True
    related_information: bool = False
    hierarchical_symbols: bool = False
    work_done_progress: bool = False
    apply_edit: bool = False
    code_action_literals: bool = False
    versioned_edits: bool = False
    watched_files: bool = False
    configuration: bool = False


@dataclass(frozen=True, slots=True)
class Snapshot:
    """``encoding`` is the agreed position encoding ("utf-8", "utf-16", "utf-32"); ``revision`` grows with every
    change of any file or of the configuration."""

    project: Project
    config: Config
    client: Client
    encoding: str
    facts: FactTable
    revision: int
