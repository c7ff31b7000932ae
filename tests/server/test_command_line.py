"""`nayru` on the command line gives the editor's answers."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from nayru_lsp.samples import Sample, SampleStore
from tests.asm.test_symbol_files import asars_file
from tests.kit import require

BAD = "lorom\norg $008000\nmain:\n    SEP #$20\n    LDA.w #$1234 ; caf\u00e9\n    JMP nowhere\n"


@pytest.fixture
def run(tmp_path: Path) -> Any:
    """Run `nayru`; gives the finished process."""
    def call(*arguments: str, code: int = 0, **environment: str) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, "-P", "-m", "nayru_lsp", *arguments], capture_output=True, text=True, timeout=60,
            encoding="utf-8", cwd=tmp_path, check=False, stdin=subprocess.DEVNULL,
            env={**os.environ, "NAYRU_HOME": str(tmp_path / "home"), "NAYRU_PLUGINS": "", "PYTHONUTF8": "1",
                 **environment})
        assert done.returncode == code, f"{done.returncode}\n{done.stdout}\n{done.stderr}"
        return done
    return call


def test_check_one_file_and_a_folder(run: Any, tmp_path: Path) -> None:
    (tmp_path / "ws").mkdir()
    (tmp_path / "ws" / "bad.asm").write_text(BAD, encoding="utf-8")
    (tmp_path / "ws" / "good.asm").write_text("nop\n")
    done = run("check", "ws/bad.asm", code=1)
    assert [(line.partition(" ")[0], line.rpartition(" ")[2]) for line in done.stdout.splitlines()] == [
        ("ws/bad.asm:5:5:", "[NAY201]"), ("ws/bad.asm:6:9:", "[NAY401]")]
    assert "error: there is no label nowhere" in done.stdout and "1 error, 1 other" in done.stderr
    found = json.loads(run("check", "ws", "--json", code=1).stdout)
    assert [(one["file"], one["line"], one["column"], one["endColumn"], one["code"]) for one in found] == [
        ("ws/bad.asm", 5, 5, 17, "NAY201"), ("ws/bad.asm", 6, 9, 16, "NAY401")]
    assert run("check", "ws/good.asm").stdout == ""
    (tmp_path / "ws" / "nayru.toml").write_text("[checks]\nNAY201 = false\nNAY401 = false\n")
    assert json.loads(run("check", "ws", "--json").stdout) == []


def test_check_executes_the_roots(run: Any, tmp_path: Path) -> None:
    """Errors that only execution finds, at the call of the macro, with its arguments."""
    (tmp_path / "nayru.toml").write_text('[[roots]]\npath = "main.asm"\n')
    (tmp_path / "lib.asm").write_text("macro spawn(name)\n    NOP\n    JSR <name>_Init\nendmacro\n")
    main = 'lorom\nincsrc "lib.asm"\norg $808000\nBoss_Init:\n    %spawn(Boss)\n    %spawn(Bos)\n'
    (tmp_path / "main.asm").write_text(main)
    for paths in ((), ("main.asm",)):
        done = run("check", *paths, code=1)
        assert done.stdout == ("main.asm:6:5: error: in `%spawn(Bos)` (lib.asm, line 3): there is no label `Bos_Init` "
                               "[Elabel_not_found]\n")
    (one,) = json.loads(run("check", "--json", code=1).stdout)
    assert (one["line"], one["endColumn"], one["related"]) == (
        6, 16, [{"file": "lib.asm", "line": 3, "message": "there is no label `Bos_Init`"}])
    assert run("check", "lib.asm").stdout == ""
    (tmp_path / "main.asm").write_text(main + "!i = 0\nwhile !i < 400000\n!i #= 1+!i\nendwhile\n")
    (tmp_path / "settings.toml").write_text("[analysis]\nseconds = 0.2\n")
    done = run("check", "--config", "settings.toml")
    assert "takes more than 0.2 s (analysis.seconds in your settings)" in done.stderr
    (tmp_path / "settings.toml").write_text("[analysis]\nexpansion = false\n")
    done = run("check", "--config", "settings.toml")
    assert done.stdout == "" and "executing" not in done.stderr


def test_check_says_what_a_workspace_may_not_do(run: Any, tmp_path: Path) -> None:
    (tmp_path / "nayru.toml").write_text('[ollama]\nurl = "http://203.0.113.1"\n')
    (tmp_path / "a.asm").write_bytes(b"; caf\xe9\n")
    done = run("check", "--json")
    assert "`ollama` is ignored" in done.stderr
    assert [(one["code"], one["severity"]) for one in json.loads(done.stdout)] == [("NAY001", "information")]
    (tmp_path / "nayru.toml").write_text("roots = 3\n")
    assert "roots: Expected `array`" in run("check", code=2).stderr


def test_wrong_usage(run: Any, tmp_path: Path) -> None:
    assert "no such file" in run("check", "absent.asm", code=2).stderr
    assert "no such file" in run("check", "--config", "absent.toml", code=2).stderr
    assert "FILE:LINE" in run("complete", "a.asm", code=2).stderr
    assert "no such file" in run("generate", "absent.asm:3", code=2).stderr
    run("nothing", code=2)
    assert "commands" in run(code=2).stdout
    assert run("--version").stdout.startswith("nayru ")
    (tmp_path / "home" / "config").mkdir(parents=True)
    (tmp_path / "home" / "config" / "config.toml").write_text("[ollama]\nmodle = 'x'\n")
    assert "ollama: Object contains unknown field `modle`" in run("check", code=2).stderr


def test_symbols(run: Any, tmp_path: Path) -> None:
    (tmp_path / "a.asm").write_text("; Waits.\nWait:\n.loop:\nSpeed = $10\n!x = 3\n")
    assert run("symbols").stdout.splitlines() == [
        "a.asm:2: label Wait", "a.asm:3: sub label Wait_loop", "a.asm:4: assignment Speed = $10",
        "a.asm:5: define !x = $3"]
    row = json.loads(run("symbols", "wait", "--json").stdout)[0]
    assert (row["name"], row["doc"], row["line"], row["column"]) == ("Wait", "Waits.", 2, 1)
    assert "contains absent" in run("symbols", "absent", code=1).stderr
    assert "is a folder: give the root file" in run("symbols", ".", code=2).stderr


ROOT = """\
lorom
org $008000
incsrc "sub.asm"
Main:
.sub:
    LDA.b #!speed
-
    BRA -
Big = $FFFFFB
macro made(name)
<name>_made:
    db 1
endmacro
%made(Foo)
"""
LABELS = [("Inner", 0x008000, "ws/sub.asm", 1), ("Main", 0x008002, "ws/main.asm", 4),
          ("Main_sub", 0x008002, "ws/main.asm", 5), (":neg_1_1", 0x008004, "ws/main.asm", 7),
          ("Big", 0xFFFFFB, "ws/main.asm", 9), ("Foo_made", 0x008006, "ws/main.asm", 11)]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "ws").mkdir()
    (tmp_path / "ws" / "main.asm").write_text(ROOT)
    (tmp_path / "ws" / "sub.asm").write_text("Inner: dw Inner\n")
    return tmp_path / "ws" / "main.asm"


def test_every_label_of_a_root(run: Any, root: Path) -> None:
    done = run("symbols", "ws/main.asm", "-D", "speed=3", "--json")
    assert [(row["name"], row["value"], row["file"], row["line"]) for row in json.loads(done.stdout)] == LABELS
    assert done.stderr == "" and all(len(row) == 4 for row in json.loads(done.stdout))
    lines = run("symbols", "ws/main.asm", "-D!speed=3").stdout.splitlines()
    assert lines[1] == "ws/main.asm:4: label Main = $008002" and len(lines) == len(LABELS)


def test_symbol_files_of_a_root(run: Any, root: Path, tmp_path: Path) -> None:
    """The WLA file is Asar's, but for who made it, the checksum of the ROM, which is not known here, and the lines of
    macros, where Asar 1.91 names the line above."""
    require("asar")
    text = ROOT.replace('incsrc "sub.asm"', "Inner: dw Inner").replace("!speed", "3")
    root.write_text(text)
    assert run("symbols", "ws/main.asm", "--wla", "out.sym").stdout == ""
    theirs = asars_file(text).replace("/main.asm", str(root)).replace("by asar", "by nayru")
    assert "00:8006 0000:0000000b\n" in theirs
    theirs = theirs.replace("00:8006 0000:0000000b\n", "00:8006 0000:0000000c\n")
    assert (tmp_path / "out.sym").read_text() == re.sub(r"\[rom checksum\]\n.*\n\n", "", theirs)
    root.write_text(text + "Nowhere = $6000\n")
    told = run("symbols", "ws/main.asm", "--mesen", "out.mlb").stderr
    assert told == "nayru: not in the file: 1 label with a value that is no address of a memory that Mesen names\n"
    assert (tmp_path / "out.mlb").read_text() == (
        "SnesPrgRom:0000:Inner\nSnesPrgRom:0002:Main:also Main_sub\nSnesPrgRom:0004:_neg_1_1\n"
        "SnesPrgRom:0006:Foo_made\nSnesPrgRom:3FFFFB:Big\n")


def test_a_root_as_nayru_toml_says(run: Any, root: Path, tmp_path: Path) -> None:
    (root.parent / "nayru.toml").write_text(
        'base_image = "base.sfc"\n[[roots]]\npath = "main.asm"\ndefines = { at = "$9000", name = "Named" }\n')
    (root.parent / "base.sfc").write_bytes(bytes(512) + b"\x12\x34" + bytes(0x7FFE))
    root.write_text("lorom\norg !at\n!name:\nRead = read2($008000)\n")
    rows = json.loads(run("symbols", str(root), "--json").stdout)
    assert [(row["name"], row["value"]) for row in rows] == [("Named", 0x9000), ("Read", 0x3412)]
    (tmp_path / "other.sfc").write_bytes(b"\xff" * 0x8000)
    rows = json.loads(run("symbols", str(root), "--json", "-Dat=$A000", "--base", "other.sfc").stdout)
    assert [(row["name"], row["value"]) for row in rows] == [("Named", 0xA000), ("Read", 0xFFFF)]


def test_labels_that_stay_unknown_are_told(run: Any, root: Path) -> None:
    root.write_text("lorom\norg $8000\nKnown:\nskip read1($008000)\nAfter:\n")
    done = run("symbols", "ws/main.asm")
    assert done.stdout.splitlines() == ["ws/main.asm:3: label Known = $008000", "ws/main.asm:5: label After"]
    assert "1 of 2 labels has no known value, most often since: " in done.stderr and "--base IMAGE" in done.stderr
    assert json.loads(run("symbols", "ws/main.asm", "--json").stdout)[1]["value"] is None
    root.write_text("lorom\norg $8000\nif read1($008000) : Made: nop\ndw Made\nbogus 5\n")
    told = run("symbols", "ws/main.asm").stderr
    assert "`Made`" not in told, "what may not have been executed may have made it"
    assert "main.asm:5: " in told and "Asar would stop there" in told


def test_a_symbol_file_on_standard_output(run: Any, root: Path) -> None:
    assert "00:8002 Main\n" in run("symbols", "ws/main.asm", "-Dspeed=3", "--wla", "-").stdout


def test_a_root_stays_inside_its_project(run: Any, root: Path, tmp_path: Path) -> None:
    (root.parent / "nayru.toml").write_text("")
    (tmp_path / "out.asm").write_text("Outside:\n")
    root.write_text('lorom\norg $8000\nincsrc "../out.asm"\nIn:\n')
    done = run("symbols", "ws/main.asm")
    assert "label In" in done.stdout and "Outside" not in done.stdout
    assert "out.asm is not read: it lies outside the workspace" in done.stderr
    assert "outside_include_paths" in done.stderr and "nayru: ws/main.asm:3: " in done.stderr
    (tmp_path / "home" / "config").mkdir(parents=True)
    (tmp_path / "home" / "config" / "config.toml").write_text(f"outside_include_paths = [{str(tmp_path)!r}]\n")
    done = run("symbols", "ws/main.asm")
    assert "out.asm:1: label Outside = $008000" in done.stdout and done.stderr == ""


def test_a_root_that_cannot_be_had(run: Any, root: Path, tmp_path: Path) -> None:
    assert "absent.asm: no such file" in run("symbols", "absent.asm", code=1).stderr
    assert "ws/absent: no such file" in run("symbols", "ws/absent", code=1).stderr
    with open(tmp_path / "huge.asm", "wb") as file:
        file.truncate(17 << 20)
    assert "huge.asm cannot be read: it is larger than" in run("symbols", "huge.asm", code=1).stderr
    assert "--wla needs the root file" in run("symbols", "--wla", "x.sym", code=2).stderr
    assert "-D a b=1: expected NAME=VALUE" in run("symbols", "ws/main.asm", "-D", "a b=1", code=2).stderr
    assert "--base no.sfc cannot be read: " in run("symbols", "ws/main.asm", "--base", "no.sfc", code=2).stderr
    assert "not overwritten" in run("symbols", "ws/main.asm", "--wla", "ws/sub.asm", code=2).stderr
    run("symbols", "ws/main.asm", "--json", "--wla", "x.sym", code=2)


@pytest.mark.skipif(os.name == "nt", reason="POSIX: signals")
@pytest.mark.parametrize("command", [
    ("-m", "nayru_lsp", "--version"), ("-c", "import sys; from nayru_lsp.__main__ import main; sys.exit(main())"),
    ("-m", "nayru_train", "status")])
def test_ctrl_c_at_once(tmp_path: Path, command: tuple[str, ...]) -> None:
    """While modules are still being imported."""
    (tmp_path / "msgspec.py").write_text(
        "import sys, time\nsys.stdout.write('here')\nsys.stdout.flush()\ntime.sleep(60)\n")
    with subprocess.Popen(
            [sys.executable, "-P", *command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(tmp_path)}) as process:
        assert process.stdout is not None and process.stdout.read(4) == b"here"
        process.send_signal(signal.SIGINT)
        said = process.communicate(timeout=30)
    assert process.returncode == 130 and said == (b"", b"")


@pytest.mark.skipif(os.name == "nt", reason="needs a terminal of its own")
def test_a_long_execution_on_a_terminal(tmp_path: Path) -> None:
    import pty

    (tmp_path / "main.asm").write_text("lorom\norg $808000\nMain:\n!i = 0\nwhile !i < 400000\n!i #= 1+!i\nendwhile\n")
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "nayru_lsp", "symbols", "main.asm", "--wla", "out.sym"], cwd=tmp_path,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=theirs,
        env={**os.environ, "NAYRU_HOME": str(tmp_path / "home"), "NAYRU_PLUGINS": ""})
    os.close(theirs)
    said = b""
    while b"executing main.asm: " not in said:
        said += os.read(ours, 1000)
    process.send_signal(signal.SIGINT)
    assert process.wait(30) == 130
    said += os.read(ours, 1000)
    os.close(ours)
    assert said.endswith(b"\r\x1b[K") and b"Traceback" not in said
    assert process.stdout is not None and process.stdout.read() == b"" and not (tmp_path / "out.sym").exists()
    process.stdout.close()



def test_a_module_in_the_workspace_is_not_imported(run: Any, tmp_path: Path) -> None:
    for name in ("json", "msgspec", "argparse", "platformdirs"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('hostile module imported')\n")
    (tmp_path / "a.asm").write_text("nop\n")
    run("check", "a.asm")


def test_complete_and_generate(run: Any, tmp_path: Path) -> None:
    from tests.server.test_assist_served import TYPED

    path = tmp_path / "main.asm"
    path.write_text(TYPED)
    answer = json.loads(run("complete", f"main.asm:{TYPED.count(chr(10)) + 1}", "--json").stdout)
    assert answer["offers"][0]["text"].strip().startswith("INC.w Counter") and answer["provider"] == "local"
    assert "nayru" in answer["offers"][0]["verdict"]["judges"]
    done = run("complete", "main.asm:3:5", code=1)
    assert done.stdout == "" and "no suggestion: " in done.stderr
    path.write_text("lorom\norg $8000\n; Multiply two unsigned 16-bit numbers\n; caf\u00e9\n", encoding="utf-8")
    done = run("generate", "main.asm:3")
    assert "RTS" in done.stdout and "by library:" in done.stderr and "judged by nayru" in done.stderr
    answer = json.loads(run("generate", "main.asm:3", "--write", "--json").stdout)
    assert answer["written"] and answer["text"].strip() in path.read_text(encoding="utf-8")
    assert run("check", "main.asm").stdout == ""
    assert "no routine: there is no comment" in run("generate", "main.asm:1", code=1).stderr


def test_samples(run: Any, tmp_path: Path) -> None:
    data = tmp_path / "home" / "data"
    data.mkdir(parents=True)
    store = SampleStore(data / "samples.sqlite")
    for number in (1, 2):
        store.put(Sample(id=f"{number}" * 32, kind="ghost", state="settled", created=float(number), workspace="/ws",
                         path="/ws/a.asm", offered="    RTS\n", accepted="    RTS\n", settled=f"    RTS ;{number}\n",
                         consent=1.0, maker="local")).result(10)
    store.close()
    assert [line.split()[0] for line in run("samples", "list").stdout.splitlines()] == ["2" * 12, "1" * 12]
    shown = json.loads(run("samples", "show", "11", "--json").stdout)
    assert shown["settled"] == "    RTS ;1\n" and shown["history"][0][1] == "settled"
    run("samples", "export", "--output", str(tmp_path / "out.jsonl"))
    rows = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert [row["output"] for row in rows] == ["    RTS ;2\n", "    RTS ;1\n"] and "instruction" in rows[0]
    assert "no sample, or several" in run("samples", "show", "3", code=2).stderr
    assert "which" in run("samples", "delete", code=2).stderr
    assert json.loads(run("samples", "delete", "11", "--json").stdout)["deleted"] == 1
    assert json.loads(run("samples", "delete", "--all", "--json").stdout)["deleted"] == 1
    assert json.loads(run("samples", "--json").stdout) == []


def test_doctor(run: Any, tmp_path: Path) -> None:
    rows = {row["what"]: row for row in json.loads(run("doctor", "--json").stdout)}
    assert rows["configuration"]["state"] == "ok" and "does not exist" in rows["configuration"]["text"]
    assert rows["log"]["text"].endswith("home/log/nayru.log")
    assert rows["plugins"]["state"] == "missing"
    (tmp_path / "home" / "config").mkdir(parents=True)
    (tmp_path / "home" / "config" / "config.toml").write_text("[ollama]\nurl = 3\n")
    rows = {row["what"]: row for row in json.loads(run("doctor", "--json", code=1).stdout)}
    assert rows["configuration"]["state"] == "wrong" and "ollama.url" in rows["configuration"]["text"]
    assert "configuration" in run("doctor", code=1).stdout


def test_the_server_is_imported_for_serve_alone(run: Any, tmp_path: Path) -> None:
    (tmp_path / "a.asm").write_text("nop\n")
    code = ("import sys; from nayru_lsp.__main__ import main; main(['check', 'a.asm']); "
            "print([name for name in ('pygls', 'lsprotocol', 'ollama', 'httpx') if name in sys.modules])")
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, cwd=tmp_path, check=True,
                          env={**os.environ, "NAYRU_HOME": str(tmp_path / "home"), "NAYRU_PLUGINS": ""})
    assert done.stdout.strip() == "[]"


def test_what_cannot_be_read_is_said_and_is_no_all_clear(run: Any, tmp_path: Path) -> None:
    (tmp_path / "ws").mkdir()
    (tmp_path / "ws" / "good.asm").write_text("nop\n")
    with open(tmp_path / "ws" / "huge.asm", "wb") as file:
        file.truncate(17 << 20)
    for command in (("check", "ws/huge.asm"), ("complete", "ws/huge.asm:1"), ("generate", "ws/huge.asm:1")):
        assert "huge.asm cannot be read: it is larger than" in run(*command, code=2).stderr
    assert "ws/huge.asm is not read: it is larger than" in run("check", "ws").stderr


def test_a_root_that_is_not_there_is_said(run: Any, tmp_path: Path) -> None:
    (tmp_path / "nayru.toml").write_text("base_image = 'my.sfc'\n[[roots]]\npath = 'mian.asm'\n")
    (tmp_path / "main.asm").write_text("lorom\norg $8000\n JMP nowhere\n")
    told = run("check").stderr
    assert "more files" not in told
    assert "roots[0].path: there is no file 'mian.asm'" in told and "base_image: there is no file 'my.sfc'" in told


def test_many_files_that_are_not_there_are_told_once(run: Any, tmp_path: Path) -> None:
    (tmp_path / "nayru.toml").write_text(f"symbols = {[f'{number}.sym' for number in range(30)]}\n")
    told = run("check").stderr
    assert told.count("there is no file") == 5 and "25 more files that it names are not there" in told


def test_lines_that_do_not_exist(run: Any, tmp_path: Path) -> None:
    (tmp_path / "a.asm").write_text("nop\nnop\n")
    assert "counted from 1" in run("complete", "a.asm:0", code=2).stderr
    assert "a.asm has no line 9, only 3" in run("complete", "a.asm:9", code=2).stderr
    assert "a.asm has no line 9, only 3" in run("generate", "a.asm:1-9", code=2).stderr


def test_write_keeps_a_byte_order_mark_and_never_half_a_file(run: Any, tmp_path: Path) -> None:
    path, wish = tmp_path / "main.asm", b"\xef\xbb\xbflorom\r\norg $8000\r\n; Multiply two unsigned 16-bit numbers\r\n"
    path.write_bytes(wish)
    run("generate", "main.asm:3", "--write")
    assert path.read_bytes().startswith(wish) and b"RTS" in path.read_bytes()
    path.write_bytes(wish + b"; caf\xe9\n")
    done = run("generate", "main.asm:3", "--write", code=1)
    assert "not written: the file is no UTF-8" in done.stderr and path.read_bytes() == wish + b"; caf\xe9\n"
    assert [one.name for one in tmp_path.iterdir() if one.name != "home"] == ["main.asm"]


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX: limits, names that are no text")
def test_names_and_outputs_of_a_bad_day(run: Any, tmp_path: Path) -> None:
    (tmp_path / os.fsdecode(b"caf\xe9.asm")).write_text("lorom\norg $8000\n JMP nowhere ; \u306b\n", encoding="utf-8")
    for encoding in ("utf-8:strict", "ascii:strict", "cp1252:strict"):
        found = json.loads(run("check", "--json", code=1, PYTHONUTF8="0", PYTHONIOENCODING=encoding).stdout)
        assert found[0]["file"] == "caf\udce9.asm"
        assert "caf" in run("check", code=1, PYTHONUTF8="0", PYTHONIOENCODING=encoding).stdout
    assert "/absent/x: No such file" in run("samples", "export", "--output", "/absent/x", code=2).stderr
    with open("/dev/full", "w") as full:
        done = subprocess.run([sys.executable, "-P", "-m", "nayru_lsp", "check"], stdout=full, stderr=subprocess.PIPE,
                              text=True, cwd=tmp_path, env={**os.environ, "NAYRU_HOME": str(tmp_path / "home"),
                                                            "NAYRU_PLUGINS": ""}, check=False)
    assert done.returncode == 2 and done.stderr.splitlines()[-1] == "nayru: the output: No space left on device"
    (tmp_path / "home" / "data").rmdir()
    (tmp_path / "home" / "data").write_text("")
    assert "home/data: File exists" in run("samples", code=2).stderr
    assert "which?" in run("samples", "show", code=2, NAYRU_HOME=str(tmp_path / "other")).stderr


def test_everything_goes_from_a_damaged_store(run: Any, tmp_path: Path) -> None:
    data = tmp_path / "home" / "data"
    data.mkdir(parents=True)
    (data / "samples.sqlite").write_bytes(b"no database " * 99)
    assert "is damaged" in run("samples", code=2).stderr
    assert run("samples", "delete", "--all").stdout == "deleted 0\n"
    assert [one.name for one in data.iterdir()] == ["samples.sqlite"] and run("samples").stdout == ""


def test_an_all_clear_names_who_did_not_judge(run: Any, tmp_path: Path) -> None:
    (tmp_path / "main.asm").write_text("lorom\norg $8000\n; Multiply two unsigned 16-bit numbers\n")
    (tmp_path / "lone.asm").write_text("nop\n")
    (tmp_path / "home" / "config").mkdir(parents=True)
    (tmp_path / "home" / "config" / "config.toml").write_text("[asar]\nlibrary = '/absent/libasar.so'\n")
    told = run("check", "main.asm", "lone.asm", NAYRU_PLUGINS="asar").stderr
    assert "Asar: the setting asar.library names /absent/libasar.so, which is no file" in told
    assert "the assembler is not run on lone.asm: no root file reaches it" in told
    told = run("generate", "main.asm:3", NAYRU_PLUGINS="asar").stderr
    assert "judged by nayru, not by asar: the setting asar.library names /absent/libasar.so" in told
