from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.server.editor import Editor


@pytest_asyncio.fixture(params=["neovim", "vscode"])
async def editor(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Editor]:
    """An editor that a test starts itself; it is shut down, and asked for unread messages, after the test."""
    made = _made(tmp_path, request.param)
    yield made
    await _end(made)


@pytest_asyncio.fixture
async def vscode(tmp_path: Path) -> AsyncIterator[Editor]:
    made = _made(tmp_path, "vscode")
    yield made
    await _end(made)


def _made(tmp_path: Path, kind: str) -> Editor:
    for name in ("ws", "home"):
        (tmp_path / name).mkdir()
    return Editor(tmp_path / "ws", tmp_path / "home", kind)


async def _end(editor: Editor) -> None:
    client = getattr(editor, "client", None)
    server = client._server if client is not None else None
    if server is None:
        return
    if server.returncode is None:
        try:
            await editor.stop()
        finally:
            if server.returncode is None:
                server.kill()
