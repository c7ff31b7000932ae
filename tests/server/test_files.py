"""The fence: what may be read, whatever names it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from nayru_lsp.files import Fence, Refused, decode, is_below, normal, read_project_config, sources_below


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    (tmp_path / "ws" / "sub").mkdir(parents=True)
    (tmp_path / "ws" / "main.asm").write_text("nop\n")
    (tmp_path / "ws" / "sub" / "b.inc").write_text("nop\n")
    (tmp_path / "secret.asm").write_text("secret")
    return tmp_path / "ws"


def test_inside_is_read_and_outside_is_not(workspace: Path) -> None:
    fence = Fence((normal(str(workspace)),))
    assert fence.read(normal(str(workspace / "main.asm"))).text == "nop\n"
    for path in (workspace / ".." / "secret.asm", workspace.parent / "secret.asm"):
        with pytest.raises(Refused, match="outside the workspace"):
            fence.read(str(path))
    allowed = Fence((normal(str(workspace)),), (normal(str(workspace.parent)),))
    assert allowed.read(normal(str(workspace.parent / "secret.asm"))).text == "secret"


@pytest.mark.skipif(os.name == "nt", reason="symbolic links need a privilege on Windows")
def test_links_are_followed_before_they_are_judged(workspace: Path) -> None:
    (workspace / "link.asm").symlink_to(workspace.parent / "secret.asm")
    (workspace / "folder").symlink_to(workspace.parent)
    (workspace / "loop").symlink_to(workspace)
    (workspace / "fine.asm").symlink_to(workspace / "main.asm")
    fence = Fence((normal(str(workspace)),))
    for name in ("link.asm", "folder/secret.asm"):
        assert not fence.exists(normal(str(workspace / name)))
        with pytest.raises(Refused):
            fence.read(normal(str(workspace / name)))
    found = [os.path.relpath(path, workspace) for path in sources_below(normal(str(workspace)), fence)]
    assert found == ["fine.asm", "main.asm", "sub/b.inc"]
    (workspace / "nayru.toml").symlink_to("/etc/passwd")
    with pytest.raises(Refused):
        read_project_config(normal(str(workspace)))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="named pipes are POSIX")
def test_what_is_no_regular_file_is_left_alone(workspace: Path) -> None:
    os.mkfifo(workspace / "pipe.asm")
    fence = Fence((normal(str(workspace)),))
    with pytest.raises(Refused, match="no regular file"):
        fence.read(normal(str(workspace / "pipe.asm")))
    with pytest.raises(Refused):
        fence.read(normal(str(workspace / "sub")))
    with pytest.raises(Refused):
        fence.read(normal(str(workspace / "absent.asm")))
    with pytest.raises(Refused):
        fence.read(normal(str(workspace)) + "/a\0b")


def test_size_cap(workspace: Path) -> None:
    with pytest.raises(Refused, match="larger than 3 bytes"):
        Fence((normal(str(workspace)),)).read_bytes(normal(str(workspace / "main.asm")), 3)


def test_bytes_that_are_no_utf8_are_read_and_told() -> None:
    source = decode("/a.asm", b"; caf\xe9\nnop\n\xff")
    assert source.text == "; caf\ufffd\nnop\n\ufffd"
    assert [(problem.code, problem.span) for problem in source.problems] == [("NAY001", (5, 6))]
    assert "$E9" in source.problems[0].message
    assert decode("/a.asm", b"\xef\xbb\xbfnop\r\n").text == "nop\r\n"
    assert decode("/a.asm", b"a\0b").text == "a\0b"


def test_is_below() -> None:
    assert is_below("/ws/a", "/ws") and is_below("/ws", "/ws") and is_below("/a", "/")
    assert not is_below("/wsx/a", "/ws")
