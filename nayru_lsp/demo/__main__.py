"""`nayru demo`: starts the real server over stdio and drives it as an editor would, over a small program of our own.

Everything happens in a temporary folder. Each step prints what the server answered; the first one that does not happen
ends the demo with status 1 and says which.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any, TypeVar

from lsprotocol import types
from pygls.lsp.client import LanguageClient
from rich.console import Console
from rich.markdown import Markdown
from rich.padding import Padding
from rich.syntax import Syntax

T = TypeVar("T")

PATIENCE = 20.0         # seconds to wait for one answer


class NotSeen(Exception):
    """A step did not happen; ``str()`` says what was expected."""


class Desk:
    """An editor in miniature: open texts with versions, what the server published, and how it was answered."""

    def __init__(self, folder: Path, console: Console) -> None:
        self.folder = folder
        self.console = console
        self.client = LanguageClient("nayru-demo", "1")
        self.texts: dict[str, str] = {}
        self.versions: dict[str, int] = {}
        self.diagnostics: dict[str, list[types.Diagnostic]] = {}
        self.status: dict[str, Any] = {}
        self.questions: list[str] = []
        self._news = asyncio.Event()
        self._listen()

    def _listen(self) -> None:
        answers: dict[str, Callable[[Any], Any]] = {
            types.TEXT_DOCUMENT_PUBLISH_DIAGNOSTICS: self._published,
            "nayru/status": self._status,
            types.WORKSPACE_APPLY_EDIT: self._apply,
            types.WINDOW_SHOW_MESSAGE_REQUEST: self._question,
        }
        for silent in (types.WINDOW_SHOW_MESSAGE, types.WINDOW_LOG_MESSAGE, types.PROGRESS,
                       types.CLIENT_REGISTER_CAPABILITY, types.WINDOW_WORK_DONE_PROGRESS_CREATE):
            answers[silent] = _nothing
        for method, answer in answers.items():
            self.client.feature(method)(_function(answer))

    def _published(self, params: types.PublishDiagnosticsParams) -> None:
        self.diagnostics[params.uri] = list(params.diagnostics)
        self._news.set()

    def _status(self, params: Any) -> None:
        self.status = {name: getattr(params, name, None) for name in ("state", "model", "reason", "latencyMs")}
        self._news.set()

    def _apply(self, params: types.ApplyWorkspaceEditParams) -> types.ApplyWorkspaceEditResult:
        for uri, edits in _edits(params.edit).items():
            for edit in sorted(edits, key=lambda e: (e.range.start.line, e.range.start.character), reverse=True):
                self.change(uri, edit.range, edit.new_text)
        return types.ApplyWorkspaceEditResult(applied=True)

    def _question(self, params: types.ShowMessageRequestParams) -> types.MessageActionItem | None:
        self.questions.append(params.message)
        self._news.set()
        return params.actions[0] if params.actions else None

    async def start(self, home: Path) -> None:
        environment = {**os.environ, "NAYRU_HOME": str(home)}
        await self.client.start_io(sys.executable, "-P", "-m", "nayru_lsp", "serve", env=environment)
        caps = types.ClientCapabilities(
            workspace=types.WorkspaceClientCapabilities(apply_edit=True),
            text_document=types.TextDocumentClientCapabilities(
                hover=types.HoverClientCapabilities(content_format=[types.MarkupKind.Markdown]),
                inline_completion=types.InlineCompletionClientCapabilities(),
                publish_diagnostics=types.PublishDiagnosticsClientCapabilities(related_information=True)))
        await asyncio.wait_for(self.client.initialize_async(types.InitializeParams(
            capabilities=caps, process_id=os.getpid(), root_uri=self.folder.as_uri(),
            workspace_folders=[types.WorkspaceFolder(uri=self.folder.as_uri(), name="demo")],
            client_info=types.ClientInfo(name="nayru demo"))), PATIENCE)
        self.client.initialized(types.InitializedParams())

    def open(self, name: str, text: str | None = None) -> str:
        path = self.folder / name
        uri = path.as_uri()
        self.texts[uri] = path.read_text(encoding="utf-8") if text is None else text
        self.versions[uri] = 1
        self.client.text_document_did_open(types.DidOpenTextDocumentParams(types.TextDocumentItem(
            uri=uri, language_id="asm65816", version=1, text=self.texts[uri])))
        return uri

    def change(self, uri: str, span: types.Range, new: str) -> None:
        text = self.texts[uri]
        start, end = _offset(text, span.start), _offset(text, span.end)
        self.texts[uri] = text[:start] + new + text[end:]
        self.versions[uri] += 1
        self.client.text_document_did_change(types.DidChangeTextDocumentParams(
            text_document=types.VersionedTextDocumentIdentifier(uri=uri, version=self.versions[uri]),
            content_changes=[types.TextDocumentContentChangePartial(range=span, text=new)]))

    def replace(self, uri: str, old: str, new: str) -> None:
        at = self.texts[uri].index(old)
        self.change(uri, types.Range(_position(self.texts[uri], at), _position(self.texts[uri], at + len(old))), new)

    def place(self, uri: str, needle: str, behind: bool = False) -> types.Position:
        at = self.texts[uri].index(needle)
        return _position(self.texts[uri], at + len(needle) * behind)

    def save(self, uri: str) -> None:
        name = uri.rpartition("/")[2]
        (self.folder / name).write_text(self.texts[uri], encoding="utf-8")
        self.client.text_document_did_save(types.DidSaveTextDocumentParams(types.TextDocumentIdentifier(uri)))

    async def until(self, what: str, look: Callable[[], T | None]) -> T:
        """Wait until ``look`` finds something in what the server sent."""
        deadline = time.monotonic() + PATIENCE
        while True:
            self._news.clear()
            found = look()
            if found:
                return found
            try:
                await asyncio.wait_for(self._news.wait(), max(0.0, deadline - time.monotonic()))
            except TimeoutError:
                raise NotSeen(what) from None

    async def command(self, name: str, *arguments: Any) -> Any:
        return _plain(await asyncio.wait_for(self.client.workspace_execute_command_async(
            types.ExecuteCommandParams(command=name, arguments=list(arguments))), PATIENCE))


def _function(method: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """A plain function: pygls marks what it registers, and a bound method takes no marks."""
    def heard(params: Any) -> Any:
        return method(params)
    return heard


def _nothing(params: Any) -> None:
    """Heard, and of no interest here."""


async def run(console: Console) -> None:
    with tempfile.TemporaryDirectory(prefix="nayru-demo-") as temporary:
        folder = Path(temporary).resolve() / "demo"
        with as_file(files("nayru_lsp.demo") / "program") as program:
            shutil.copytree(program, folder)
        desk = Desk(folder, console)
        started = time.perf_counter()
        await desk.start(Path(temporary) / "home")
        console.print(f"[dim]the server answered after {time.perf_counter() - started:.1f} s; "
                      f"the program is nayru_lsp/demo/program, copied to a temporary folder[/]")
        try:
            await mistake(desk)
            await hover(desk)
            await ghost(desk)
            await routine(desk)
            await sample(desk)
        finally:
            await _stop(desk.client)


async def mistake(desk: Desk) -> None:
    _title(desk, 1, "A mistake, and what is said about it")
    text = (desk.folder / "boot.asm").read_text(encoding="utf-8")
    good = "    LDA #$80\n    STA $2100"
    assert good in text
    uri = desk.open("boot.asm", text.replace(good, good.replace("LDA #$80", "LDA.w #$80")))
    found = await desk.until("a diagnostic about LDA.w #$80", lambda: next(
        (one for one in desk.diagnostics.get(uri, ()) if one.code == "NAY201"), None))
    row = found.range.start.line
    _code(desk, desk.texts[uri], row - 8, row + 2, mark=row)
    for one in desk.diagnostics[uri]:
        desk.console.print(f"  [yellow]{one.source} {one.code}[/], line {one.range.start.line + 1}: {one.message}")
    desk.replace(uri, "LDA.w #$80", "LDA #$80")
    await desk.until("no diagnostic after the repair", lambda: not desk.diagnostics.get(uri))
    desk.console.print("  repaired: [green]no problems[/]")


async def hover(desk: Desk) -> None:
    _title(desk, 2, "Hover on a store to $2100")
    uri = (desk.folder / "boot.asm").as_uri()
    where = desk.place(uri, "STA $2100")
    answer = await asyncio.wait_for(desk.client.text_document_hover_async(types.HoverParams(
        types.TextDocumentIdentifier(uri), types.Position(where.line, where.character + 5))), PATIENCE)
    text = answer.contents.value if answer and isinstance(answer.contents, types.MarkupContent) else ""
    if "INIDISP" not in text:
        raise NotSeen("a hover that names INIDISP and the bits written to it")
    _code(desk, desk.texts[uri], where.line - 1, where.line + 1)
    desk.console.print(Padding(Markdown(text), (0, 2)))


async def ghost(desk: Desk) -> None:
    _title(desk, 3, "Ghost text")
    text = (desk.folder / "dma.asm").read_text(encoding="utf-8")
    typed = "; To WRAM, through its port.\nDmaToWram:\n    STZ $4300\n    LDA #$80\n    "
    uri = desk.open("dma.asm", text.replace("; To OAM.", f"{typed}\n\n; To OAM.", 1))
    await desk.until("a model that is ready", lambda: desk.status.get("state") in ("ready", "silent"))
    where = desk.place(uri, typed, behind=True)
    params = types.InlineCompletionParams(
        context=types.InlineCompletionContext(types.InlineCompletionTriggerKind.Invoked),
        text_document=types.TextDocumentIdentifier(uri), position=where)
    answer: Any = None
    deadline = time.monotonic() + PATIENCE
    while not answer and time.monotonic() < deadline:       # the predictor may still be learning the workspace
        answer = await asyncio.wait_for(desk.client.text_document_inline_completion_async(params), PATIENCE)
        if not answer:
            await asyncio.sleep(0.2)
    items = answer if isinstance(answer, list) else answer.items if answer else []
    if not items:
        raise NotSeen(f"ghost text after LDA #$80 (the server says: {desk.status.get('reason')})")
    item = items[0]
    shown = str(item.insert_text if isinstance(item.insert_text, str) else item.insert_text.value)
    lines = desk.texts[uri].split("\n")
    before = "\n".join(lines[where.line - 4 : where.line])
    desk.console.print(Padding(Syntax(before, "ca65", theme="ansi_dark"), (0, 4)))
    desk.console.print(f"    {lines[where.line]}[dim italic]{shown.strip()}[/]   <- offered")
    status = desk.status
    desk.console.print(f"  made by [cyan]{status.get('model')}[/], {status.get('latencyMs')} ms; "
                       f"{status.get('reason') or 'judged before it was shown'}")
    desk.change(uri, item.range or types.Range(where, where), shown)
    if item.command:
        await desk.command(item.command.command, *(item.command.arguments or []))


async def routine(desk: Desk) -> None:
    _title(desk, 4, "A routine from a comment")
    uri = desk.open("text.asm", (desk.folder / "text.asm").read_text(encoding="utf-8")
                    + "\n; Multiply two unsigned 16-bit numbers\n")
    where = desk.place(uri, "; Multiply two")
    end = desk.place(uri, "16-bit numbers", behind=True)
    answer = await desk.command("nayru.generate", {
        "uri": uri, "range": {"start": {"line": where.line, "character": where.character},
                              "end": {"line": end.line, "character": end.character}}})
    if not isinstance(answer, dict) or not answer.get("applied"):
        raise NotSeen(f"a routine put below the comment ({answer})")
    _code(desk, desk.texts[uri], where.line, desk.texts[uri].count("\n"))
    cycles = answer.get("cycles")
    lasts = f", {cycles[0]}-{cycles[1]} cycles in a straight line" if cycles else ""
    desk.console.print(f"  made by [cyan]{answer['maker']}[/]; {'[green]good[/]' if answer['ok'] else '[red]bad[/]'}, "
                       f"judged by {' and '.join(answer['judges'])}; {answer['size']} bytes{lasts}")
    for absent in answer.get("absent") or ():
        desk.console.print(f"  [dim]not judged by {absent}[/]")


async def sample(desk: Desk) -> None:
    _title(desk, 5, "What was accepted, edited and kept: a sample")
    uri = (desk.folder / "text.asm").as_uri()
    await desk.until("the question for consent", lambda: desk.questions)
    desk.console.print(f"  [dim]asked once:[/] {desk.questions[0]}  [dim]-> yes[/]")
    desk.replace(uri, "Multiply16:", "MultiplyWords:")
    desk.save(uri)
    deadline = time.monotonic() + PATIENCE
    rows: list[dict[str, Any]] = []
    while time.monotonic() < deadline:
        rows = [row for row in await desk.command("nayru.samples.list") or [] if row["state"] == "settled"
                and row["kind"] == "routine" and "MultiplyWords" in row["text"]]
        if rows:
            break
        await asyncio.sleep(0.05)
    if not rows:
        raise NotSeen("the edited routine as a settled sample")
    shown = await desk.command("nayru.samples.show", rows[0]["id"])
    for name in ("id", "kind", "state", "how", "maker", "instruction", "widths", "settled_by", "renderer"):
        desk.console.print(f"  {name:12} {shown[name]}")
    desk.console.print(f"  {'settled':12} {shown['settled'].strip().splitlines()[0]} ... "
                       f"({len(shown['settled'].splitlines())} lines; offered as Multiply16)")


async def _stop(client: LanguageClient) -> None:
    try:
        await asyncio.wait_for(client.shutdown_async(None), 5)
        client.exit(None)
        stop: Any = client.stop
        await asyncio.wait_for(stop(), 5)
    except Exception as error:      # the demo's own outcome matters more than how the server went
        print(f"the server did not end well: {error!r}", file=sys.stderr)


def _title(desk: Desk, number: int, text: str) -> None:
    desk.console.print(f"\n[bold]{number}. {text}[/]")


def _code(desk: Desk, text: str, first: int, last: int, mark: int | None = None) -> None:
    lines = text.split("\n")
    body = "\n".join(lines[max(0, first) : last + 1])
    desk.console.print(Padding(Syntax(
        body, "ca65", theme="ansi_dark", line_numbers=True, start_line=max(0, first) + 1,
        highlight_lines={mark + 1} if mark is not None else None), (0, 2)))


def _edits(edit: types.WorkspaceEdit) -> dict[str, list[Any]]:
    out: dict[str, list[Any]] = {uri: list(edits) for uri, edits in (edit.changes or {}).items()}
    for change in edit.document_changes or ():
        if isinstance(change, types.TextDocumentEdit):
            out.setdefault(change.text_document.uri, []).extend(change.edits)
    return out


def _offset(text: str, position: types.Position) -> int:
    """The demo's sources are ASCII: every position encoding counts alike."""
    at = 0
    for _ in range(position.line):
        at = text.index("\n", at) + 1
    return at + position.character


def _position(text: str, offset: int) -> types.Position:
    line = text.count("\n", 0, offset)
    return types.Position(line, offset - (text.rfind("\n", 0, offset) + 1))


def _plain(value: Any) -> Any:
    """pygls gives objects with attributes for JSON that it has no type for."""
    if hasattr(value, "_asdict"):
        return {key: _plain(item) for key, item in value._asdict().items()}
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="nayru demo", description="The whole thing on a small program of its own.")
    parser.parse_args(argv)
    console = Console(highlight=False)
    begun = time.perf_counter()
    try:
        asyncio.run(run(console))
    except NotSeen as error:
        console.print(f"\n[red]The demo stopped: the server did not give {error}.[/] "
                      "`nayru doctor` says what is missing.")
        return 1
    except TimeoutError:
        console.print(f"\n[red]The demo stopped: the server did not answer within {PATIENCE:.0f} s.[/]")
        return 1
    console.print(f"\n[bold]Done[/] in {time.perf_counter() - begun:.1f} s. Next: docs/install.md, and `nayru doctor`.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
