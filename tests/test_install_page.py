"""docs/install.md names the folders and file names that the code uses."""

from __future__ import annotations

import pytest
from nayru_asar import locate
from platformdirs.macos import MacOS
from platformdirs.unix import Unix

from tests.kit import REPOSITORY

PAGE = (REPOSITORY / "docs" / "install.md").read_text(encoding="utf-8")


def test_folders(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", "/home/someone")
    for system in (Unix("nayru", False), MacOS("nayru", False)):
        for folder in (system.user_config_dir, system.user_data_dir, system.user_log_dir):
            assert f"`{folder.replace('/home/someone', '~')}/`" in PAGE, folder


@pytest.mark.parametrize("platform", ["linux", "darwin", "win32"])
def test_asar(platform: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locate.sys, "platform", platform)
    assert f"`{locate.file_names()[0]}`" in PAGE
