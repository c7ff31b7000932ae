"""What the editor can do and what it is set to: capabilities, settings pushed and pulled, each ``nayru.toml``.

What is wrong is told, and the last good part is kept.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
from lsprotocol import types
from pygls.exceptions import JsonRpcException
from pygls.lsp.server import LanguageServer

from nayru_lsp.config import (
    PROJECT_SECTION,
    Config,
    ConfigError,
    ProjectConfig,
    UserConfig,
    merge_settings,
    project_from,
)
from nayru_lsp.convert import to_uri
from nayru_lsp.files import project_config
from nayru_lsp.session import Session
from nayru_lsp.snapshot import Client

PULL_SECONDS = 5.0      # an editor that answers later is taken at what it pushed

Tell = Callable[..., None]


class Settings:
    """``base``: ``config.toml`` and flags, without the editor's settings."""

    def __init__(self, base: UserConfig) -> None:
        self._base = base
        self._editor: Any = None
        self._folders: dict[str, Any] = {}      # workspace folder -> the editor's settings for it
        self.watched = False                    # the editor wants to be asked to tell of changes

    def initialized(self, params: types.InitializeParams) -> None:
        workspace = params.capabilities.workspace
        changes = workspace.did_change_configuration if workspace else None
        self.watched = bool(changes and changes.dynamic_registration)
        self._editor = _section(params.initialization_options)

    def pushed(self, settings: Any) -> None:
        """``didChangeConfiguration``; editors that want to be asked push nothing."""
        if settings is not None and settings != {}:
            self._editor = _section(settings)

    async def pull(self, ls: LanguageServer, session: Session) -> None:
        """Ask the editor for its settings where it answers that; they win over what it pushed."""
        if not session.client.configuration:
            return
        items = [types.ConfigurationItem(section="nayru")]
        items += [types.ConfigurationItem(section="nayru", scope_uri=to_uri(path)) for path in session.folders]
        try:
            answers = await asyncio.wait_for(
                ls.workspace_configuration_async(types.ConfigurationParams(items=items)), PULL_SECONDS)
        except (JsonRpcException, TimeoutError):
            return
        if answers and answers[0] is not None:
            self._editor = answers[0]
        self._folders = dict(zip(session.folders, (answers or [])[1:], strict=False))

    def read(self, old: Config, folders: Sequence[str], tell: Tell) -> Config:
        """The configuration of now; for what is wrong, that part of ``old``."""
        user = old.user
        try:
            user = merge_settings(self._base, self._editor)
        except ConfigError as error:
            tell(str(error), types.MessageType.Error)
        projects: dict[str, ProjectConfig] = {}
        for folder in folders:
            try:
                projects[folder] = self._project(folder, user, tell)
            except ConfigError as error:
                tell(str(error), types.MessageType.Error)
                projects[folder] = old.projects.get(folder, ProjectConfig())
        return Config(user=user, projects=projects)

    def _project(self, folder: str, user: UserConfig, tell: Tell) -> ProjectConfig:
        """A folder's ``nayru.toml`` with the editor's `project` section over it. Raises ConfigError."""
        config, notices = project_config(folder, user.outside_include_paths)
        settings = self._folders.get(folder) or self._editor
        section = settings.get(PROJECT_SECTION) if isinstance(settings, Mapping) else None
        if section:
            if not isinstance(section, Mapping):
                raise ConfigError(f"editor settings: {PROJECT_SECTION}: expected an object")
            laid = {**msgspec.to_builtins(config), **{key: item for key, item in section.items() if item is not None}}
            config, more = project_from(laid, f"editor settings: {PROJECT_SECTION}")
            notices = (*notices, *more)
        for notice in notices:
            tell(notice)
        return config


def client_of(params: types.InitializeParams) -> Client:
    """What the editor can do, from its capabilities."""
    caps = params.capabilities
    text, workspace, window = caps.text_document, caps.workspace, caps.window
    completion_item = text.completion.completion_item if text and text.completion else None
    formats = text.hover.content_format if text and text.hover else None
    symbols = text.document_symbol if text else None
    actions = text.code_action if text else None
    publish = text.publish_diagnostics if text else None
    edit = workspace.workspace_edit if workspace else None
    watched = workspace.did_change_watched_files if workspace else None
    return Client(
        name=params.client_info.name if params.client_info else "",
        inline_completion=bool(text and text.inline_completion),
        snippets=bool(completion_item and completion_item.snippet_support),
        markdown=formats is None or types.MarkupKind.Markdown in formats,
        related_information=bool(publish and publish.related_information),
        hierarchical_symbols=bool(symbols and symbols.hierarchical_document_symbol_support),
        work_done_progress=bool(window and window.work_done_progress),
        apply_edit=bool(workspace and workspace.apply_edit),
        code_action_literals=bool(actions and actions.code_action_literal_support),
        versioned_edits=bool(edit and edit.document_changes),
        watched_files=bool(watched and watched.dynamic_registration),
        configuration=bool(workspace and workspace.configuration))


def _section(settings: Any) -> Any:
    """The `nayru` section, where an editor sends its settings with that name around them."""
    inner = settings.get("nayru") if isinstance(settings, Mapping) else None
    return inner if isinstance(inner, Mapping) else settings
