"""The frozen view that every handler receives."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from nayru_lsp.asm.expanded import Expanded
from nayru_lsp.asm.facts import FactTable
from nayru_lsp.asm.project import Project
from nayru_lsp.asm.symbol_files import AddressNames
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
    change of any file or of the configuration. ``expanded``: what executing each root (by its path) found, where that
    was done; it may be older than the texts (`Expanded.stale`). ``symbols``: the symbol
    files of each workspace folder; they name addresses and define nothing."""

    project: Project
    config: Config
    client: Client
    encoding: str
    facts: FactTable
    revision: int
    expanded: Mapping[str, Expanded] = field(default_factory=dict)
    symbols: Mapping[str, tuple[AddressNames, ...]] = field(default_factory=dict)

    def expanded_of(self, path: str) -> Expanded | None:
        """That of the first root that reaches this file; one that is named before one that is guessed."""
        if not self.expanded:
            return None
        roots = [root.path for root in self.project.roots_of(path)]
        found = [one for root in roots if (one := self.expanded.get(root)) is not None]
        if not found:       # the include was made by a macro or a define
            found = [one for one in self.expanded.values() if path in one.files]
        return min(found, key=lambda one: (path not in one.files, not one.named, one.stale), default=None)

    def symbols_of(self, path: str) -> tuple[AddressNames, ...]:
        """Those of the innermost workspace folder that holds ``path``."""
        folder = max((folder for folder in self.symbols if path.startswith(folder.rstrip("/") + "/")), key=len,
                     default="")
        return self.symbols.get(folder, ())

    def judges(self, path: str) -> tuple[Expanded, ...]:
        """Those of all roots that reach this file, where every one of them is there, fresh and sure; else none."""
        found = [self.expanded.get(root.path) for root in self.project.roots_of(path)] if self.expanded else []
        return tuple(one for one in found if one is not None) if all(
            one is not None and one.sure and not one.stale for one in found) else ()
