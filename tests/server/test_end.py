"""The server's end: at once, whatever computes, and nothing that was accepted is lost."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest
from lsprotocol import types

from nayru_lsp.files import normal
from nayru_lsp.samples import SampleStore
from tests.server.editor import TIMEOUT, Editor
from tests.server.test_assist_served import LEARNED, OPTIONS, TYPED, ghost

COMPUTES = 40.0     # seconds that a check and the reading of a document take here, as in files of some 200,000 lines
ENDS = 10.0         # the end takes at most some two seconds; a machine that is shared by others gets more
LARGE = "; large\n" * 10_000
DOCUMENTS = 40      # more than a pool of threads takes at a time

BUSY = f'''
import os, time
from nayru_lsp import session
from nayru_lsp.hookspecs import hookimpl

parse = session.parse_text

def compute(kind):
    with open(os.environ["BUSY_FILE"], "a") as file:
        file.write(kind)
    end = time.monotonic() + {COMPUTES}
    while time.monotonic() < end:
        time.sleep(0.001)

def slow(path, text, *others):
    if path.endswith("/slow.asm"):
        compute("p")
    return parse(path, text, *others)

session.parse_text = slow

@hookimpl
def nayru_register_checks(register):
    def check(project, file):
        if file.text.length > 50_000:
            compute("c")
        return []
    register("BUSY1", check)
'''


@pytest.fixture
def busy(vscode: Editor, tmp_path: Path) -> Editor:
    """An editor whose server reads ``slow.asm`` and checks large files for `COMPUTES` seconds."""
    vscode.install(tmp_path / "site", busy=BUSY)
    vscode.environment["BUSY_FILE"] = str(tmp_path / "busy")
    return vscode


async def _works(editor: Editor, kinds: str) -> None:
    """Wait until the server computes."""
    path = Path(editor.environment["BUSY_FILE"])
    end = time.monotonic() + TIMEOUT
    while not path.exists() or not path.read_text().startswith(kinds):
        assert time.monotonic() < end
        await asyncio.sleep(0.01)


@pytest.mark.parametrize("documents", [1, DOCUMENTS])
async def test_checks_do_not_hold_up_the_end(busy: Editor, documents: int) -> None:
    await busy.start()
    await busy.ready()
    for number in range(documents):
        busy.open(f"{number}.asm", LARGE)
    await _works(busy, "c" if documents == 1 else "cccccc")
    start = time.monotonic()
    await busy.stop()
    assert time.monotonic() - start < ENDS


async def test_a_document_that_is_being_read_does_not_either(busy: Editor) -> None:
    await busy.start()
    await busy.ready()
    busy.open("slow.asm", "nop\n")
    busy.open("other.asm", "nop\n")
    await _works(busy, "p")
    start = time.monotonic()
    await busy.stop()
    assert time.monotonic() - start < ENDS


async def test_exit_right_behind_shutdown(vscode: Editor) -> None:
    """The answer comes all the same, and the status is that of a proper end."""
    await vscode.start()
    answer = asyncio.ensure_future(vscode.client.shutdown_async(None))
    await asyncio.sleep(0)
    vscode.client.exit(None)
    server = vscode.client._server
    assert server is not None
    assert await asyncio.wait_for(answer, TIMEOUT) is None
    assert await asyncio.wait_for(server.wait(), TIMEOUT) == 0
    await vscode.client.stop()


async def test_an_editor_that_is_gone_loses_no_sample(busy: Editor) -> None:
    store = SampleStore(busy.home / "data" / "samples.sqlite")
    store.set_consent(normal(str(busy.folder)), True).result(TIMEOUT)
    store.close()
    busy.write("main.asm", LEARNED)
    await busy.start(options=OPTIONS)
    await busy.ready()
    busy.open("main.asm", TYPED)
    await busy.diagnostics("main.asm", 1)
    item = await ghost(busy, "main.asm", TYPED)
    for number in range(DOCUMENTS):
        busy.open(f"{number}.asm", LARGE)
    await _works(busy, "cccccc")
    assert item.range is not None and isinstance(item.insert_text, str)
    end = item.range.start
    start = time.monotonic()
    busy.change("main.asm", 2, ((end.line, end.character, end.line, end.character), item.insert_text))
    server = busy.client._server
    assert server is not None and server.stdin is not None
    server.stdin.close()
    assert await asyncio.wait_for(server.wait(), TIMEOUT) == 1
    assert time.monotonic() - start < ENDS
    (sample,) = SampleStore(busy.home / "data" / "samples.sqlite").select(state="accepted")
    assert sample.accepted.strip().startswith("INC.w Counter")
    for said in busy.inbox:
        said.read = True
    await busy.client.stop()
    assert types.WINDOW_SHOW_MESSAGE not in {said.method for said in busy.inbox}
