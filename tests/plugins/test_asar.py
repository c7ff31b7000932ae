"""Projects judged by the real Asar: unsaved texts, includes, columns, cascades, fences, hangs and crashes."""

from __future__ import annotations

import os
import time
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import nayru_asar
import pytest
from nayru_asar import locate
from nayru_asar.assemble import assemble
from nayru_asar.judge import Asar, version_text
from nayru_asar.sources import Reader, named_in, unsent
from nayru_asar.validate import Validator

from nayru_lsp.asm.facts import FactTable
from nayru_lsp.asm.parser import parse_text
from nayru_lsp.asm.problem import Problem, Severity
from nayru_lsp.asm.project import Project, Root
from nayru_lsp.asm.syntax import Dialect
from nayru_lsp.asm.text import SourceText
from nayru_lsp.config import Config, ProjectConfig, UserConfig
from nayru_lsp.plugins import Plugins
from nayru_lsp.snapshot import Client, Snapshot
from tests.kit import read_fixture, require


@pytest.fixture(scope="module")
def library() -> str:
    return str(require("asar"))


@pytest.fixture
async def validator(library: str) -> AsyncIterator[Validator]:
    asar = Asar()
    asar.configure({"asar": {"library": library}})
    yield Validator(asar)
    await asar.close()


def snapshot_of(files: Mapping[str, str], root: Root, folder: str = "/ws") -> Snapshot:
    project = Project([root]).with_files([parse_text(path, SourceText.of(text)) for path, text in files.items()])
    config = Config(user=UserConfig(), projects={folder: ProjectConfig()})
    return Snapshot(project, config, Client(), "utf-16", FactTable(), 1)


async def run(validator: Validator, fixture: str, **root: Any) -> list[str]:
    """The problems of ``fixture`` (root /ws/main.asm), one short line each: file:line:column-column code text."""
    files = read_fixture(fixture).files
    snapshot = snapshot_of(files, Root("/ws/main.asm", **root))
    problems, _ = await validator.run(snapshot, snapshot.project.roots[0])
    return [shown(snapshot, problem) for problem in problems if problem.severity is not Severity.HINT]


def shown(snapshot: Snapshot, problem: Problem) -> str:
    file = snapshot.project.files[problem.path]
    line = file.text.line_of(problem.span.start)
    text = file.text.slice(*problem.span)
    related = "".join(f" <- {r.path.rpartition('/')[2]}:{snapshot.project.files[r.path].text.line_of(r.span.start) + 1}"
                      for r in problem.related)
    return f"{problem.path.removeprefix('/ws/')}:{line + 1} {problem.code} [{text}]{related}"


async def test_clean_program(validator: Validator) -> None:
    assert await run(validator, 'lorom\norg $008000\nincsrc "a.asm"\nLDA Foo\n;- a.asm\nFoo = $12\n') == []


async def test_unsaved_text_and_include_chain(validator: Validator) -> None:
    """Nothing of this is on disk: every file goes to Asar as the editor holds it."""
    assert await run(validator, """
;- main.asm
lorom
org $008000
incsrc "sub/a.asm"
incbin "sub/data.inc"
;- sub/a.asm
incsrc "b.asm"
    LDA #$12
;- sub/b.asm
    NOP
    STA #$12    ; wrong
;- sub/data.inc
any bytes at all
""") == ["sub/b.asm:2 Eunknown_command [STA #$12]"]


async def test_columns(validator: Validator) -> None:
    assert await run(validator, """
;- main.asm
lorom
org $008000
!d = $12
Start:  LDA   #$12 : STA   #$12 : NOP   ; three
    BRA Missing : LDA Gone,x
    LDA !undefined
    %nomacro(1)
    LDA #nofunction(1)
    BRA -
    db "; no comment", "unclosed
    !d #$12 : BOGUS !d : RTS
    db $12,
       $13, Nowhere
""") == [
        "main.asm:4 Eunknown_command [STA   #$12]",
        "main.asm:5 Elabel_not_found [Missing]",
        "main.asm:5 Elabel_not_found [Gone]",
        "main.asm:6 Edefine_not_found [!undefined]",
        "main.asm:7 Emacro_not_found [%nomacro]",
        "main.asm:8 Efunction_not_found [nofunction]",
        "main.asm:9 Elabel_not_found [-]",
        'main.asm:10 Emismatched_quotes [db "; no comment", "unclosed]',
        "main.asm:11 Eunknown_command [!d #$12]",
        "main.asm:11 Eunknown_command [BOGUS !d]",
        "main.asm:13 Elabel_not_found [Nowhere]",
    ]


async def test_macros_and_their_callers(validator: Validator) -> None:
    found = await run(validator, """
;- main.asm
lorom
org $008000
macro store(where)
    LDA #$12
    STA #<where>
    bogus
endmacro
    NOP
    %store($12)
    STZ #1
    %store(1, 2)
""")
    assert found == [
        "main.asm:5 Eunknown_command [STA #<where>] <- main.asm:9",
        "main.asm:6 Eunknown_command [bogus] <- main.asm:9",
        "main.asm:10 Eunknown_command [STZ #1]",
        "main.asm:11 Emacro_wrong_num_params [%store(1, 2)]",
    ]


async def test_cascades_are_folded(validator: Validator) -> None:
    assert await run(validator, """
;- main.asm
lorom
org $008000
if !undefined == 1
    NOP
else
    CLC
endif
Foo: LDA !gone
    JSR Foo
macro broken(a
    LDA <a>
endmacro
    LDA [Foo],x
""") == [
        "main.asm:3 Edefine_not_found [!undefined]",
        "main.asm:8 Edefine_not_found [!gone]",
        "main.asm:10 Ebroken_macro_declaration [macro broken(a]",
        "main.asm:13 Einvalid_number [LDA [Foo],x]",
    ]
    assert await run(validator, "lorom\norg $001234\n    NOP\n    CLC\n    SEC\n") == [
        "main.asm:3 Esnes_address_doesnt_map_to_rom [NOP]"]
    many = "".join(f"    JSR Sub{n}\n" for n in range(50))
    assert await run(validator, f'lorom\norg $008000\nincsrc "gone.asm"\n{many}') == [
        "main.asm:3 Efile_not_found [gone.asm]"]


async def test_advice_comes_once(validator: Validator) -> None:
    text = "lorom\norg $008000\nLow = $12\n    LDA Low\n    LDA Low\n    STA Low\n"
    snapshot = snapshot_of({"/ws/main.asm": text}, Root("/ws/main.asm"))
    [problem], _ = await validator.run(snapshot, snapshot.project.roots[0])
    assert (problem.code, problem.severity) == ("Woptimization_settings", Severity.HINT)
    assert problem.message.endswith("(3 places in this root)") and problem.span.start == text.index("LDA Low")


async def test_line_ends(validator: Validator) -> None:
    """Asar's lines end at LF only; the editor's also at a lone CR."""
    fixture = {"/ws/main.asm": "lorom\r\norg $008000\r\n; one\r; still Asar's third line\r\n    STA #1\r\n"}
    snapshot = snapshot_of(fixture, Root("/ws/main.asm"))
    problems, _ = await validator.run(snapshot, snapshot.project.roots[0])
    assert [shown(snapshot, problem) for problem in problems] == ["main.asm:5 Eunknown_command [STA #1]"]


async def test_root_settings(validator: Validator) -> None:
    program = """
;- main.asm
org $C08000
incsrc "ram.asm"
if !version == 2
    LDA Link : LDA !extra
endif
;- inc/ram.asm
Link = $22
;- prelude.asm
!extra = $33
"""
    assert await run(validator, program, mapping_mode="hirom", include_paths=("/ws/inc",),
                     defines=(("version", "2"),), prelude="/ws/prelude.asm") == []
    assert await run(validator, program, defines=(("version", "1"),)) == ["main.asm:2 Efile_not_found [ram.asm]"]


async def test_without_a_base_image(validator: Validator) -> None:
    """What only the ROM decides is not reported; free space works on an empty image."""
    assert await run(validator, """
;- main.asm
lorom
freecode
New:
    LDA.l $008000
    RTL
org $008000
if read1($00FFD5) == $30
    error "fast ROM"
endif
assert read1($008000) == $12, "not the right ROM"
autoclean JML New
    STA #1
""") == ["main.asm:12 Eunknown_command [STA #1]"]


async def test_base_image(validator: Validator, tmp_path: Path) -> None:
    image = bytearray(0x80000)
    image[0] = 0x42
    (tmp_path / "rom.sfc").write_bytes(bytes(512) + image)        # with a copier header
    main = f"{tmp_path}/main.asm".replace(os.sep, "/")
    text = 'lorom\nassert read1($008000) == $42, "wrong"\nassert read1($008001) == $42, "right"\n'
    root = Root(main, base_image=f"{tmp_path}/rom.sfc")
    snapshot = snapshot_of({main: text}, root, str(tmp_path))
    problems, _ = await validator.run(snapshot, root)
    assert [problem.code for problem in problems] == ["Eassertion_failed"]
    assert "right" in problems[0].message


async def test_files_on_disk_and_made_up_names(validator: Validator, tmp_path: Path) -> None:
    """Files that the project does not know are read inside the workspace, also where a macro makes their names."""
    (tmp_path / "gfx").mkdir()
    (tmp_path / "gfx/a.bin").write_bytes(b"1234")
    (tmp_path / "gfx/b.bin").write_bytes(b"56")
    (tmp_path / "part.asm").write_bytes(
        b'; caf\xe9\nincbin "gfx/a.bin"\nmacro data(name)\nincbin "gfx/<name>.bin"\nendmacro\n'
        b'%data(b)\n%data(gone)\nincsrc "!{kind}.asm"\n')
    (tmp_path / "more.asm").write_text("dw filesize(\"gfx/a.bin\")\nSTA #1\n")
    main = f"{tmp_path}/main.asm".replace(os.sep, "/")
    root = Root(main)
    snapshot = snapshot_of({main: 'lorom\norg $008000\n!kind = more\nincsrc "part.asm"\n'}, root, str(tmp_path))
    problems, answer = await validator.run(snapshot, root)
    found = [problem for problem in problems if problem.severity is Severity.ERROR]
    assert [(problem.path.rpartition("/")[2], problem.code) for problem in found] == [
        ("more.asm", "Eunknown_command"), ("part.asm", "Efile_not_found")]
    assert answer is not None and sum(block[2] for block in answer["blocks"]) == 8


@pytest.mark.skipif(os.name == "nt", reason="the fence is POSIX")
async def test_nothing_outside_is_read(validator: Validator, tmp_path: Path) -> None:
    (tmp_path / "ws").mkdir()
    (tmp_path / "secret.bin").write_bytes(b"secret")
    (tmp_path / "ws/link.bin").symlink_to(tmp_path / "secret.bin")
    os.mkfifo(tmp_path / "ws/pipe.bin")
    main = f"{tmp_path}/ws/main.asm"
    names = ("/etc/passwd", "../secret.bin", "link.bin", "pipe.bin")
    text = "lorom\norg $008000\n" + "".join(f'incbin "{name}"\n' for name in names) + (
        'incsrc "/etc/passwd"\ndb readfile1("/etc/passwd", 0)\n'
        'if canreadfile1("/etc/passwd", 0)\nerror "it can read"\nendif\n')
    root = Root(main)
    snapshot = snapshot_of({main: text}, root, f"{tmp_path}/ws")
    problems, answer = await validator.run(snapshot, root)
    assert [text[slice(*problem.span)] for problem in problems] == [*names, *["/etc/passwd"] * 2]
    assert {problem.code for problem in problems} <= {
        "Efile_not_found", "Efailed_to_open_file", "Efailed_to_open_not_regular_file"}
    assert answer is not None and not any("root:" in str(entry) for entry in answer["errors"])


@pytest.mark.parametrize("guest", ["while 1\nendwhile\n", "!a = 1\nwhile !a = 1\nendwhile\n", "nop #2000000000\n"])
async def test_hang(validator: Validator, guest: str) -> None:
    validator.asar.project_timeout = 1.0
    begin = time.monotonic()
    assert (await run(validator, "lorom\norg $008000\n" + guest))[0].startswith("main.asm:1 asar [lorom]")
    assert time.monotonic() - begin < 6
    assert await run(validator, "lorom\norg $008000\n    NOP\n") == []


async def test_hang_for_want_of_the_rom(validator: Validator) -> None:
    validator.asar.project_timeout = 1.0
    text = "lorom\n!a = $008000\nwhile canread1(!a) == 0\n!a #= !a+0\nendwhile\n"
    snapshot = snapshot_of({"/ws/main.asm": text}, Root("/ws/main.asm"))
    for limit in (5.0, 0.5):        # the second time it is not even tried
        begin = time.monotonic()
        problems, _ = await validator.run(snapshot, Root("/ws/main.asm"))
        assert time.monotonic() - begin < limit
        assert problems[0].severity is Severity.INFORMATION and "base_image" in problems[0].message


async def test_memory_bomb(validator: Validator) -> None:
    validator.asar.configure({"asar": {"library": validator.asar.library, "memory_mb": 256, "project_timeout": 5.0}})
    bomb = "!a0 = 1,2,3,4,5\n" + "".join(f"!a{n + 1} = !a{n},!a{n}\n" for n in range(30)) + "    db !a30\n"
    found = await run(validator, "lorom\norg $008000\n" + bomb)
    assert found and found[0].startswith("main.asm:1 asar")
    assert await run(validator, "lorom\norg $008000\n    NOP\n") == []


async def test_crash_and_silent_failure(validator: Validator) -> None:
    crash = await run(validator, "lorom\norg $008000\narch spc700\nmov a,[x\nmov a,($12+x\nmov [$12+x,a\ncmp (x),(y\n")
    assert crash        # whatever became of it, it was told
    assert await run(validator, "lorom\norg $008000\ndw .b\na:\n.b\n") == ["main.asm:1 asar [lorom]"]
    assert await run(validator, "lorom\norg $008000\n    NOP\n") == []


async def test_worker_killed(validator: Validator) -> None:
    for _ in range(3):
        assert await run(validator, "lorom\norg $008000\n    NOP\n") == []
        validator.asar.worker("projects").kill()
        await run(validator, "lorom\norg $008000\n    NOP\n")


async def test_odd_bytes(validator: Validator) -> None:
    for text in ("", "\0", "lorom\norg $008000\n\0STA #1\n", "; é\ud800🎮\nlorom\n", "x" * 100_000, "\r\r\r", "\f"):
        await run(validator, text)
    assert await run(validator, "lorom\norg $008000\n; é🎮\n    STA #1 ; é\n") == [
        "main.asm:4 Eunknown_command [STA #1]"]


async def test_command(validator: Validator) -> None:
    snapshot = snapshot_of({"/ws/main.asm": "lorom\norg $008000\n    LDA #$12\n    RTS\n"}, Root("/ws/main.asm"))
    answer = await assemble(validator, snapshot, ["file:///ws/main.asm"])
    assert answer == {"ok": True, "problems": [], "size": 3, "roots": ["/ws/main.asm"], "reason": ""}
    broken = snapshot_of({"/ws/main.asm": "lorom\norg $008000\n    STA #$12\n"}, Root("/ws/main.asm"))
    answer = await assemble(validator, broken, ["/ws/main.asm"])
    assert answer["ok"] is False
    assert answer["problems"] == [{"path": "/ws/main.asm", "line": 3, "column": 5, "code": "Eunknown_command",
                                   "severity": "error", "message": "Unknown command. Asar 1.9 says so of a wrong "
                                                                    "addressing mode or width, too."}]
    answer = await assemble(validator, snapshot, ["/ws/other.asm"])
    assert answer["ok"] is None and "no root reaches" in answer["reason"]


# --- the library -----------------------------------------------------------------------------------------------------

async def test_status(library: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asar = Asar()
    asar.configure({"asar": {"library": library}})
    await asar.ask("candidates", {}, 20)
    assert asar.status() == f"Asar 1.91, {library}"
    await asar.close()
    monkeypatch.setenv(locate.VARIABLE, library)
    asar.configure({"data_folder": str(tmp_path)})
    assert asar.found.path == library


def test_status_waits_for_the_version_outside_of_a_loop(library: str) -> None:
    asar = Asar()
    asar.configure({"asar": {"library": library}})
    assert asar.status() == f"Asar 1.91, {library}"
    for worker in asar._workers.values():
        worker.kill()


def test_places(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv(locate.VARIABLE, raising=False)
    monkeypatch.setattr(locate, "known_folders", lambda data: [os.path.join(data, "asar")])
    found = locate.find("", str(tmp_path))
    assert not found.path and str(tmp_path) in found.reason and "asar.library" in found.reason
    assert "absolute" in locate.find("lib/libasar.so").reason
    (tmp_path / "asar").mkdir()
    here = tmp_path / "asar" / locate.file_names()[0]
    here.write_bytes(b"\x7fELF incgfx incmsg")
    assert "fork" in locate.find("", str(tmp_path)).reason
    here.write_bytes(b"not a library")
    assert locate.find("", str(tmp_path)).path == str(here)


async def test_a_file_that_is_no_library(tmp_path: Path) -> None:
    asar = Asar()
    (tmp_path / "libasar.so").write_bytes(b"not a library")
    asar.configure({"asar": {"library": str(tmp_path / "libasar.so")}})
    validator = Validator(asar)
    assert await run(validator, "lorom\n    STA #1\n") == []
    assert "cannot be used" in asar.status()
    await asar.close()


def test_versions() -> None:
    assert [version_text(n) for n in (10901, 10900, 10801, 20000)] == ["1.91", "1.9", "1.81", "2.0"]


async def test_two_point_zero_project_with_a_one_point_nine_library(validator: Validator) -> None:
    """It would complain about what 2.0 allows: nothing is said, and the status says why."""
    text = "lorom\norg $008000\n    LDA $12 , x\n"
    project = Project([Root("/ws/main.asm", Dialect.ASAR_2)]).with_file(
        parse_text("/ws/main.asm", SourceText.of(text), Dialect.ASAR_2))
    snapshot = Snapshot(project, Config(), Client(), "utf-16", FactTable(), 1)
    assert await validator.run(snapshot, project.roots[0]) == ([], None)
    assert "2.0" in validator.asar.status()


async def test_the_other_generation() -> None:
    """Asar 2.0's interface, where somebody has built its beta: NAYRU_ASAR_2 names the library."""
    library = os.environ.get("NAYRU_ASAR_2", "")
    if not library:
        pytest.skip("NAYRU_ASAR_2 names no library of the 2.0 beta")
    asar = Asar()
    asar.configure({"asar": {"library": library}})
    validator = Validator(asar)
    assert await run(validator, """
;- main.asm
lorom
org $008000
macro inner(a)
    LDA <a>
    bogus
endmacro
macro outer()
    %inner(3)
endmacro
    %outer()
incsrc "a.asm"
    LDA $12 , x
incsrc "gone.asm"
;- a.asm
    STZ #3
""") == [
        "a.asm:1 Ebad_addr_mode [STZ #3]",
        "main.asm:5 Eunknown_command [bogus] <- main.asm:10 <- main.asm:8",
        "main.asm:13 Efile_not_found [gone.asm]",
    ]
    assert asar.name == "asar 2.0"
    await asar.close()


# --- where there is no fence -----------------------------------------------------------------------------------------

def test_unsent_files() -> None:
    root, files = Root("/ws/main.asm"), {"/ws/a.asm", "/ws/data/b.bin"}
    fine = 'incsrc "a.asm"\nincbin data/b.bin\nFoo: incbin "data/b.bin":0-8\n; incsrc "c.asm"\ndb "x" ; incbin "q"\n'
    assert unsent("/ws/main.asm", fine, files, root) is None
    for bad in ('incsrc "c.asm"\n', "incbin <name>\n", "%x() : incsrc !file\n", 'db readfile1("x.bin", 0)\n',
                'if canreadfile("a" , 1)\n', "!cmd = incbin\n", 'table "t.tbl"\n', 'incbin "/etc/passwd"\n'):
        assert unsent("/ws/main.asm", fine + bad, files, root) is not None, bad


async def test_without_a_fence_unknown_files_stop_the_run(validator: Validator) -> None:
    validator.asar.fenced = False
    assert await run(validator, 'lorom\norg $008000\nincsrc "a.asm"\n;- a.asm\n    NOP\n') == []
    assert await run(validator, 'lorom\norg $008000\n!x = "incbin"\n!x "/etc/passwd"\n') == ["main.asm:1 asar [lorom]"]


def test_names_of_files() -> None:
    text = ('incsrc "a b.asm"\n  Foo: IncBin c.bin:0-4 ; incbin "no"\nincbin "!x.bin"\nincbin <y>\n'
            'db readfile2("d.bin",0), filesize("e.bin")\ntable t.tbl,ltr\n')
    names, patterns = named_in(text + 'incbin "gfx/!{kind}_<n>.bin"\n')
    assert sorted(names) == ["a b.asm", "c.bin", "d.bin", "e.bin", "t.tbl"]
    assert sorted(patterns) == ["*.bin", "gfx/*_*.bin"]


def test_reader(tmp_path: Path) -> None:
    reader = Reader()
    path = tmp_path / "a.bin"
    path.write_bytes(b"one")
    assert reader.read(str(path), [str(tmp_path)]) == b"one"
    path.write_bytes(b"three")
    assert reader.read(str(path), [str(tmp_path)]) == b"three"
    assert reader.read(str(path), [str(tmp_path / "elsewhere")]) is None
    assert reader.read(str(tmp_path), [str(tmp_path)]) is None
    assert reader.read(str(tmp_path / "a\0b"), [str(tmp_path)]) is None


# --- as a plugin -----------------------------------------------------------------------------------------------------

async def test_plugin_contract(library: str) -> None:
    plugins = Plugins.load([], {"asar": nayru_asar})
    record = plugins.records["asar"]
    assert record.state == "loaded" and not record.failures
    assert "assemble" in plugins.commands and "assembles" in plugins.filters
    plugins.configure({"asar": {"library": library}}, "/tmp/nowhere")
    snapshot = snapshot_of({"/ws/main.asm": "lorom\norg $008000\nMain:\n    STA #1\n"}, Root("/ws/main.asm"))
    root = snapshot.project.roots[0]
    [(name, problems)] = await plugins.gather("nayru_validate", deadline=20, snapshot=snapshot, root=root)
    assert name == "asar" and [problem.code for problem in problems] == ["Eunknown_command"]
    file = snapshot.project.files["/ws/main.asm"]
    span = problems[0].span
    [(_, verdict)] = await plugins.gather("nayru_verify", deadline=20, snapshot=snapshot, file=file, span=span,
                                          text="LDA #1")
    assert verdict.ok and verdict.judges == ("asar 1.91",)
    assert [status for _, status in plugins.call_each("nayru_status")] == [f"Asar 1.91, {library}"]
    await plugins.close(5)
    assert not record.failures
