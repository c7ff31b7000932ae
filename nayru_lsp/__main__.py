"""The `nayru` command: the same answers as in an editor, on the command line.

``--json`` prints what a program reads. Lines and columns are counted from 1, columns in code points. Exit status:
0 fine, 1 problems of severity error (or nothing found), 2 wrong usage or configuration. Long, since every command
stands here.
"""

from __future__ import annotations

import sys

# Never import from the folder one happens to stand in: with `python -m` it comes first, and it may be a workspace.
if __name__ == "__main__" and not sys.flags.safe_path and sys.path[0] in ("", __import__("os").getcwd()):
    del sys.path[0]

try:
    import argparse
    import asyncio
    import io
    import json
    import logging
    import logging.handlers
    import os
    import platform
    from collections.abc import Callable, Iterable
    from importlib import metadata
    from pathlib import Path
    from typing import TYPE_CHECKING, Any, NoReturn

    import msgspec
    import platformdirs

    from nayru_lsp.config import Config, ConfigError, Places, UserConfig, parse_user
    from nayru_lsp.files import Fence, Refused, normal, project_config, read_folder
    from nayru_lsp.forgetting import ForgetError, forget_in_training
except KeyboardInterrupt:       # whoever changes his mind at once; `main` sees to it from then on
    sys.exit(130)

if TYPE_CHECKING:
    from nayru_lsp.asm.problem import Problem
    from nayru_lsp.asm.project import Project
    from nayru_lsp.plugins import Plugins
    from nayru_lsp.samples import Sample, SampleStore
    from nayru_lsp.snapshot import Snapshot


DELETE_SECONDS = 60.0       # how long a deletion waits for another program to let go of the store


def main(argv: list[str] | None = None) -> int:
    try:
        arguments = _parser().parse_args(argv)
        if not hasattr(arguments, "run"):
            _parser().print_help()
            return 2
        for stream in (sys.stdout, sys.stderr):     # a name or comment that the terminal cannot show must not end us
            if isinstance(stream, io.TextIOWrapper) and stream.errors == "strict":
                stream.reconfigure(errors="backslashreplace")
        status = int(arguments.run(arguments))
        sys.stdout.flush()
        return status
    except (ConfigError, ForgetError, Refused, _Usage) as error:
        print(f"nayru: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)    # the reader left; nothing more to say at exit
        return 0
    except OSError as error:        # a disk that is full, a folder that is none
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)    # else the interpreter fails again at its end
        print(f"nayru: {error.filename or 'the output'}: {error.strerror or error}", file=sys.stderr)
        return 2


class _Usage(Exception):
    """A wrong argument; ``str()`` says which."""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="nayru", description="A language server for SNES 65816 assembly in the Asar dialect.")
    parser.add_argument("--version", action="version", version=f"nayru {version()}")
    commands = parser.add_subparsers(title="commands", metavar="")

    def command(name: str, run: Any, text: str, *, json_output: bool = True) -> argparse.ArgumentParser:
        made = commands.add_parser(name, help=text, description=text)
        made.set_defaults(run=run)
        made.add_argument("--config", metavar="FILE", help="your config.toml, if not in its usual place")
        if json_output:
            made.add_argument("--json", action="store_true", help="print JSON")
        return made

    serve = command("serve", _serve, "serve one editor on stdin and stdout", json_output=False)
    serve.add_argument("--stdio", action="store_true", help="accepted, since editors pass it")
    check = command("check", _check, "report the problems of files or of a whole project")
    check.add_argument("paths", nargs="*", default=["."], help="files or folders (default: this folder)")
    complete = command("complete", _complete, "the ghost text at a place")
    complete.add_argument("place", help="FILE:LINE[:COLUMN]")
    generate = command("generate", _generate, "a routine from the comment in some lines")
    generate.add_argument("place", help="FILE:LINE[-LINE]")
    generate.add_argument("--write", action="store_true", help="put the routine into the file")
    symbols = command("symbols", _symbols, "the names of a project, or every label of a root", json_output=False)
    symbols.add_argument("query", nargs="?", default="", metavar="ROOT|QUERY",
                         help="a file: every label that Asar would make of it; else: only names that contain this")
    symbols.add_argument("--folder", default=".", help="the project of QUERY (default: this folder)")
    symbols.add_argument("-D", dest="defines", action="append", default=[], metavar="NAME=VALUE",
                         help="ROOT: set a define, as Asar's -D does")
    symbols.add_argument("--base", default="", metavar="IMAGE", help="ROOT: the ROM that it is applied to")
    form = symbols.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print JSON")
    form.add_argument("--wla", default="", metavar="FILE", help="ROOT: write a WLA symbol file, as Asar does")
    form.add_argument("--mesen", default="", metavar="FILE", help="ROOT: write a Mesen 2 label file (.mlb)")
    samples = command("samples", _samples, "the stored samples: list, show, delete, export")
    samples.add_argument("action", choices=("list", "show", "delete", "export"), nargs="?", default="list")
    samples.add_argument("ids", nargs="*", help="ids, or the first letters of one")
    samples.add_argument("--all", action="store_true", help="delete: every sample")
    samples.add_argument("--output", metavar="FILE", help="export: the JSONL file (default: standard output)")
    model = command("model", _model, "the model in Ollama: status, create")
    model.add_argument("action", choices=("status", "create"), nargs="?", default="status")
    model.add_argument("--from", dest="base", default="", help="create: the base model, a GGUF file or a folder")
    model.add_argument("--adapter", default="", help="create: a LoRA adapter to lay over it")
    model.add_argument("--name", default="", help="create: the new model's name (default: the one in your settings)")
    command("doctor", _doctor, "what is there, what is missing, and what to do about it")
    demo = command("demo", _demo, "the whole thing on a small program of its own", json_output=False)
    demo.add_argument("rest", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    return parser


def version() -> str:
    try:
        return metadata.version("nayru")
    except metadata.PackageNotFoundError:
        return "0 (not installed)"


# --- the user's own files --------------------------------------------------------------------------------------

def places(arguments: argparse.Namespace) -> Places:
    """Where the user's files lie. ``NAYRU_HOME=<folder>`` puts all of them below one folder."""
    home = os.environ.get("NAYRU_HOME")
    folders = [Path(home) / name for name in ("config", "data", "log", "cache")] if home else [
        platformdirs.user_config_path("nayru", appauthor=False), platformdirs.user_data_path("nayru", appauthor=False),
        platformdirs.user_log_path("nayru", appauthor=False), platformdirs.user_cache_path("nayru", appauthor=False)]
    config = getattr(arguments, "config", None) or os.environ.get("NAYRU_CONFIG") or folders[0] / "config.toml"
    return Places(normal(str(config)), normal(str(folders[1])), normal(str(folders[2] / "nayru.log")),
                  normal(str(folders[3])))


def read_user(where: Places, *, must_exist: bool = False) -> UserConfig:
    """The user's ``config.toml``; the defaults when there is none. Raises ConfigError."""
    try:
        text = Path(where.config_file).read_text(encoding="utf-8")
    except FileNotFoundError:
        if must_exist:
            raise ConfigError(f"{where.config_file}: no such file") from None
        return UserConfig()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{where.config_file}: {error}") from None
    return parse_user(text, where.config_file)


def _user(arguments: argparse.Namespace) -> tuple[Places, UserConfig]:
    where = places(arguments)
    return where, read_user(where, must_exist=bool(arguments.config))


def set_up_log(where: Places, level: str) -> None:
    """Warnings to stderr; one rotating file. Neither holds document text at any level: pygls, which writes whole
    messages to its log, is silenced."""
    root = logging.getLogger()
    root.setLevel(logging.WARNING)
    text = logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s")
    console = logging.StreamHandler(sys.stderr)
    console.setLevel(logging.WARNING)
    handlers: list[logging.Handler] = [console]
    try:
        Path(where.log_file).parent.mkdir(parents=True, exist_ok=True)
        handlers.append(logging.handlers.RotatingFileHandler(
            where.log_file, maxBytes=1_000_000, backupCount=2, encoding="utf-8", delay=True))
    except OSError:
        pass
    for handler in handlers:
        handler.setFormatter(text)
        root.addHandler(handler)
    logging.getLogger("nayru").setLevel(level)
    logging.getLogger("pygls").setLevel(logging.CRITICAL + 1)


# --- a project without an editor -------------------------------------------------------------------------------

def workspace_of(path: str) -> str:
    """The folder that the project of ``path`` lives in: the nearest one above that has a ``nayru.toml`` or is a
    version-controlled one, else the file's own."""
    start = path if os.path.isdir(path) else path.rpartition("/")[0] or "/"
    folder = start
    while True:
        if os.path.exists(f"{folder}/nayru.toml") or os.path.exists(f"{folder}/.git"):
            return folder
        above = folder.rpartition("/")[0]
        if not above or above == folder or above.endswith(":"):
            return start
        folder = above


def load_config(folder: str, user: UserConfig) -> Config:
    """The configuration for one folder; what a ``nayru.toml`` may not set is told on stderr. Raises ConfigError."""
    project, notices = project_config(folder, user.outside_include_paths)
    for notice in notices:
        print(f"nayru: {notice}", file=sys.stderr)
    return Config(user=user, projects={folder: project})


def load(path: str, user: UserConfig, plugins: Plugins, refused: Callable[[str], None] = lambda text: None) -> tuple[
        Snapshot, dict[str, tuple[Problem, ...]], str]:
    """(snapshot, problems of reading, workspace folder) of the project that ``path`` belongs to. Raises Refused when
    ``path`` itself cannot be read; ``refused`` is told of other files that cannot."""
    from nayru_lsp.snapshot import Client, Snapshot

    folder = workspace_of(path)
    config = load_config(folder, user)
    fence = Fence((folder,), tuple(normal(one) for one in user.outside_include_paths))
    found: dict[str, Refused] = {}
    project, problems = read_folder(folder, config, fence, () if os.path.isdir(path) else (path,), found.setdefault)
    for one, why in found.items():
        if one == path:
            raise Refused(f"{path} cannot be read: {why}")
        refused(f"{shown(one)} is not read: {why}")
    return Snapshot(project, config, Client(), "utf-32", plugins.facts, 1), problems, folder


def load_plugins(where: Places, user: UserConfig) -> Plugins:
    from nayru_lsp.plugins import Plugins

    plugins = Plugins.load(user.plugins)
    plugins.configure(msgspec.to_builtins(user), where.data_folder)
    return plugins


def place(text: str, *, lines: bool = False) -> tuple[str, int, int]:
    """``FILE:LINE[:COLUMN]`` or, for ``lines``, ``FILE:LINE[-LINE]``: (path, number, number), from 1."""
    import re

    found = re.fullmatch(r"(.+?):(\d+)(?:-(\d+))?" if lines else r"(.+?):(\d+)(?::(\d+))?", text)
    if found is None:
        raise _Usage(f"{text!r}: expected FILE:LINE{'[-LINE]' if lines else '[:COLUMN]'}")
    path = normal(found.group(1))
    if not os.path.isfile(path):
        raise _Usage(f"{found.group(1)}: no such file")
    first, second = (int(number[:9]) for number in (found.group(2), found.group(3) or "0"))
    if not first or (found.group(3) and not second):
        raise _Usage(f"{text!r}: lines and columns are counted from 1")
    return path, first, second or (first if lines else 0)


def print_json(data: Any) -> None:
    ascii_only = (getattr(sys.stdout, "encoding", None) or "").lower().replace("-", "") != "utf8"
    print(json.dumps(data, ensure_ascii=ascii_only, indent=1, default=msgspec.to_builtins))


# --- commands --------------------------------------------------------------------------------------------------

def _serve(arguments: argparse.Namespace) -> NoReturn:
    where = places(arguments)
    trouble = ""
    try:
        user = read_user(where, must_exist=bool(arguments.config))
    except ConfigError as error:
        user, trouble = UserConfig(), str(error)    # an editor must not lose its server over a typing slip
    set_up_log(where, user.log_level)
    from nayru_lsp.server import serve
    serve(where, user, trouble)


def _check(arguments: argparse.Namespace) -> int:
    where, user = _user(arguments)
    plugins = load_plugins(where, user)
    found: list[dict[str, Any]] = []
    rootless: list[str] = []
    for given in arguments.paths:
        path = normal(given)
        if not os.path.exists(path):
            raise _Usage(f"{given}: no such file or folder")
        snapshot, reading, folder = load(path, user, plugins, lambda text: print(f"nayru: {text}", file=sys.stderr))
        wanted = None if os.path.isdir(path) else path
        if not (snapshot.project.roots if wanted is None else snapshot.project.roots_of(wanted)):
            rootless.append(given)
        problems = asyncio.run(_problems(snapshot, reading, plugins, wanted, folder))
        found += [_plain_problem(snapshot.project, folder, problem) for problem in problems
                  if wanted in (None, problem.path) and (wanted or problem.path.startswith(path.rstrip("/") + "/"))]
    if arguments.json:
        print_json(found)
    else:
        for one in found:
            print(f"{one['file']}:{one['line']}:{one['column']}: {one['severity']}: {one['message']} [{one['code']}]")
        errors = sum(one["severity"] == "error" for one in found)
        print(f"{errors} error{'s' * (errors != 1)}, {len(found) - errors} other", file=sys.stderr)
        _print_judges(plugins, rootless, len(arguments.paths))
    return int(any(one["severity"] == "error" for one in found))


def _print_judges(plugins: Plugins, rootless: list[str], asked: int) -> None:
    """Who judged beside ourselves, and who could not: no problems found is only as good as its judges."""
    if plugins.has("nayru_validate"):
        if rootless:
            print(f"the assembler is not run on {', '.join(rootless)}: no root file reaches it", file=sys.stderr)
        if len(rootless) < asked:
            for _, text in plugins.call_each("nayru_status"):
                print(text, file=sys.stderr)


async def _problems(snapshot: Snapshot, reading: dict[str, tuple[Problem, ...]], plugins: Plugins,
                    wanted: str | None, folder: str) -> list[Problem]:
    """Own problems, problems of reading, what executing each root finds, and what plugins say about it; in file and
    text order."""
    from nayru_lsp.asm.checks import check_file
    from nayru_lsp.asm.problem import joined
    from nayru_lsp.cli_check import executed

    project, config = snapshot.project, snapshot.config
    roots = project.roots if wanted is None else project.roots_of(wanted)
    fence = Fence((folder,), tuple(normal(one) for one in config.user.outside_include_paths))
    snapshot, found = executed(snapshot, folder, roots, fence)
    for path in [wanted] if wanted else list(project.files):
        if path in project.files:
            found += [*reading.get(path, ()), *check_file(project, project.files[path], plugins.checks.values(),
                                                          snapshot.judges(path))]
    for root in roots:
        for _, problems in await plugins.gather("nayru_validate", deadline=config.user.asar.project_timeout + 2,
                                                snapshot=snapshot, root=root):
            found += problems
    await plugins.close()
    return [one for one in joined(found) if config.project_for(one.path).checks.get(one.code, True)]


def _plain_problem(project: Project, folder: str, problem: Problem) -> dict[str, Any]:
    line, column = line_column(project, problem.path, problem.span.start)
    end_line, end_column = line_column(project, problem.path, problem.span.end)
    return {
        "file": shown(problem.path), "line": line, "column": column, "endLine": end_line, "endColumn": end_column,
        "severity": problem.severity.name.lower(), "code": problem.code, "source": problem.source,
        "message": problem.message,
        "related": [{"file": shown(one.path), "line": line_column(project, one.path, one.span.start)[0],
                     "message": one.message} for one in problem.related]}


def line_column(project: Project, path: str, offset: int) -> tuple[int, int]:
    file = project.files.get(path)
    if file is None:
        return 1, 1
    line = file.text.line_of(offset)
    return line + 1, offset - file.text.line_start(line) + 1


def shown(path: str) -> str:
    here = normal(".")
    return path[len(here) + 1:] if path.startswith(here + "/") else path


def _symbols(arguments: argparse.Namespace) -> int:
    where, user = _user(arguments)
    from nayru_lsp import cli_symbols
    return cli_symbols.symbols(arguments, where, user)


def _complete(arguments: argparse.Namespace) -> int:
    where, user = _user(arguments)
    path, line, column = place(arguments.place)
    from nayru_lsp import cli_assist
    answer = asyncio.run(cli_assist.complete(where, user, load_plugins(where, user), path, line, column))
    if arguments.json:
        print_json(answer)
    else:
        for offer in answer["offers"]:
            print(offer["text"])
        if not answer["offers"]:
            print(f"nayru: no suggestion: {answer['reason']}", file=sys.stderr)
    return 0 if answer["offers"] else 1


def _generate(arguments: argparse.Namespace) -> int:
    where, user = _user(arguments)
    path, first, last = place(arguments.place, lines=True)
    from nayru_lsp import cli_assist
    answer = asyncio.run(cli_assist.generate(where, user, load_plugins(where, user), path, first, last,
                                             write=arguments.write))
    if arguments.json:
        print_json(answer)
    elif answer["text"]:
        print(answer["text"], end="" if answer["text"].endswith("\n") else "\n")
        print(f"nayru: {answer['summary']}", file=sys.stderr)
        if arguments.write and not answer["written"]:
            print(f"nayru: not written: {answer['reason']}", file=sys.stderr)
    else:
        print(f"nayru: no routine: {answer['reason']}", file=sys.stderr)
    return 0 if answer["text"] and answer["written"] >= arguments.write else 1


def sample_store(where: Places, user: UserConfig) -> SampleStore:
    from nayru_lsp.samples import SampleStore

    folder = Path(user.samples.folder or where.data_folder)
    folder.mkdir(parents=True, exist_ok=True)
    return SampleStore(folder / "samples.sqlite", cap_bytes=user.samples.cap_mb << 20,
                       on_problem=lambda text: print(f"nayru: {text}", file=sys.stderr))


def _samples(arguments: argparse.Namespace) -> int:
    where, user = _user(arguments)
    from nayru_lsp.samples import SampleError

    store = sample_store(where, user)
    try:
        match arguments.action:
            case "list":
                rows = store.select()
                if arguments.json:
                    print_json([msgspec.to_builtins(row) for row in rows])
                else:
                    for row in rows:
                        first = (row.settled or row.accepted or row.offered).strip().partition("\n")[0]
                        print(f"{row.id[:12]}  {row.state:9} {row.kind:8} {row.maker:16} {first}")
                    print(f"{len(rows)} sample{'s' * (len(rows) != 1)}", file=sys.stderr)
                return 0
            case "show":
                return _show(store, arguments)
            case "delete":
                if not arguments.ids and not arguments.all:
                    raise _Usage("samples delete: which? (ids, or --all)")
                ids = [] if arguments.all else [_one(store, given).id for given in arguments.ids]
                try:
                    gone = (store.delete_all() if arguments.all else store.delete(ids)).result(DELETE_SECONDS)
                except TimeoutError:
                    raise _Usage("nothing was deleted: another program holds the sample store; try again when it has "
                                 "ended") from None
                trained = forget_in_training(
                    places(arguments).data_folder, sorted(store.tombstones()) if arguments.all else ids)
                if arguments.json:
                    print_json({"deleted": gone, "trained": trained})
                else:
                    print(f"deleted {gone}")
                    for name in trained:
                        print(f"the model of run {name} was trained on them and cannot forget: train anew")
                return 0
            case _:
                _export(store.export(), arguments.output)
                return 0
    except SampleError as error:
        raise _Usage(str(error)) from None
    finally:
        store.close()


def _one(store: SampleStore, given: str) -> Sample:
    found = store.get(given)
    if found is None:
        raise _Usage(f"{given}: no sample, or several, have ids that start so")
    return found


def _show(store: SampleStore, arguments: argparse.Namespace) -> int:
    if not arguments.ids:
        raise _Usage("samples show: which? (ids, or the first letters of one)")
    for given in arguments.ids:
        row = _one(store, given)
        history = store.history(row.id)
        if arguments.json:
            print_json({**msgspec.to_builtins(row), "history": history})
        else:
            for name, value in msgspec.to_builtins(row).items():
                if value not in ("", None):
                    print(f"{name}: {value}" if "\n" not in str(value) else f"{name}:\n{value}")
            for at, kind, _ in history:
                print(f"  {at:.1f} {kind}")
    return 0


def _export(rows: Iterable[dict[str, Any]], output: str | None) -> None:
    lines = (json.dumps(row, ensure_ascii=False) for row in rows)
    if output is None:
        for line in lines:
            print(line)
    else:
        with open(output, "w", encoding="utf-8", newline="\n") as file:
            file.writelines(line + "\n" for line in lines)


def _model(arguments: argparse.Namespace) -> int:
    _, user = _user(arguments)
    from nayru_lsp import cli_assist
    if arguments.action == "create":
        def progress(text: str) -> None:
            print(text, file=sys.stderr)
        answer = asyncio.run(cli_assist.create_model(user, arguments.name, arguments.base, arguments.adapter, progress))
    else:
        answer = asyncio.run(cli_assist.model_status(user))
    if arguments.json:
        print_json(answer)
    else:
        print(answer["text"])
    return 0 if answer["ok"] else 1


def _doctor(arguments: argparse.Namespace) -> int:
    where = places(arguments)
    rows: list[tuple[str, str, str]] = []       # what, state ("ok", "info", "missing", "wrong"), text
    try:
        user = read_user(where, must_exist=bool(arguments.config))
        rows.append(("configuration", "ok", where.config_file if os.path.exists(where.config_file) else
                     f"defaults ({where.config_file} does not exist)"))
    except ConfigError as error:
        user = UserConfig()
        rows.append(("configuration", "wrong", str(error)))
    rows.append(("nayru", "ok", f"{version()}, Python {platform.python_version()}, {platform.platform(terse=True)}"))
    rows.append(("log", "ok", where.log_file))
    rows.append(("cache", "ok", where.cache_folder))
    rows.append(("data", "ok", user.samples.folder or where.data_folder))
    plugins = load_plugins(where, user)
    for record in plugins.table():
        state = "ok" if record.state == "loaded" else "wrong"
        told = "; ".join(record.failures) or ", ".join(record.hooks)
        rows.append((f"plugin {record.name}", state, f"{record.version} {record.state}: {told}".strip()))
    if not plugins.records:
        rows.append(("plugins", "missing", "none is installed"))
    for name, text in plugins.call_each("nayru_status"):
        rows.append((name, "info", str(text)))
    from nayru_lsp import cli_assist
    status = asyncio.run(cli_assist.model_status(user))
    rows.append(("model", "ok" if status["ok"] else "missing", status["text"]))
    asyncio.run(plugins.close())
    if arguments.json:
        print_json([{"what": what, "state": state, "text": text} for what, state, text in rows])
    else:
        _print_table(rows)
    return int(any(state == "wrong" for _, state, _ in rows))


def _print_table(rows: list[tuple[str, str, str]]) -> None:
    from rich.console import Console
    from rich.text import Text

    console = Console(soft_wrap=True, highlight=False)
    width = max(len(what) for what, _, _ in rows)
    for what, state, text in rows:
        style = {"ok": "green", "info": "cyan", "missing": "yellow"}.get(state, "red")
        console.print(Text.assemble(f"{what:{width}}  ", (f"{state:8}", style), text))


def _demo(arguments: argparse.Namespace) -> int:
    from nayru_lsp.demo import __main__ as demo
    return int(demo.main(arguments.rest))


if __name__ == "__main__":
    sys.exit(main())
