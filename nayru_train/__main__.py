"""The `nayru-train` command: each stage by itself, or `retrain` for all; `status`, `rollback`, `verify`, `forget`."""

from __future__ import annotations

import sys

try:
    import argparse
    import json
    from collections.abc import Sequence
    from pathlib import Path

    from nayru_train import config as configuration
    from nayru_train import forget, manifest, registry
    from nayru_train import run as runs
    from nayru_train.config import RunConfig
except KeyboardInterrupt:       # whoever changes his mind at once; `main` sees to it from then on
    sys.exit(130)

EPILOG = """\
SETTINGS are section.key=value, for example
  collect.checkouts=["/home/me/hack"]  train.epochs=2  register.alias=nayru  folder=/data/nayru
docs/training.md lists them all.

A run can be interrupted at any time; the same command goes on where it stopped.
"""


def parser() -> argparse.ArgumentParser:
    out = argparse.ArgumentParser(prog="nayru-train", description="Retrain Nayru's model on accepted suggestions.",
                                  epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = out.add_subparsers(dest="command", required=True, metavar="COMMAND")
    told = {"retrain": "all stages, in order", "collect": "gather samples from store, JSONL and checkouts",
            "prepare": "filter, deduplicate, split, decontaminate", "train": "train the adapter (QLoRA)",
            "merge": "merge it onto the dequantised base", "export": "write what Ollama takes",
            "register": "create the models in Ollama", "eval": "measure against the version before",
            "promote": "let the alias name the new version if the gate allows"}
    for name, text in told.items():
        command = commands.add_parser(name, help=text, description=text)
        command.add_argument("--run", default="", help="the run's name (default: the newest unfinished one)")
        command.add_argument("--rehearsal", action="store_true",
                             help="a tiny base made on the spot, else the same path")
        command.add_argument("--config", type=Path, help="settings in TOML")
        command.add_argument("--ollama", default="", metavar="URL", help="short for register.url=URL")
        command.add_argument("settings", nargs="*", metavar="SETTINGS")
    for name, text in (("status", "list versions, aliases and runs"),
                       ("rollback", "let the alias name what it named before"),
                       ("verify", "check a run's manifest and files"), ("forget", "remove deleted samples' text")):
        command = commands.add_parser(name, help=text, description=text)
        command.add_argument("--json", action="store_true", help="for programs")
        command.add_argument("--folder", default="", help="the trainer's data folder")
        if name == "rollback":
            command.add_argument("--alias", default="nayru")
            command.add_argument("--ollama", default=configuration.RegisterConfig().url, metavar="URL")
        if name == "verify":
            command.add_argument("run")
        if name == "forget":
            command.add_argument("ids", nargs="*", metavar="ID")
            command.add_argument("--stdin", action="store_true", help='read {"ids": [...], "texts": [...]} from stdin')
    return out


def main(arguments: Sequence[str] | None = None) -> int:
    try:
        from nayru_lsp.samples import SampleError
        from nayru_train.libraries import Absent, report_crash
        from nayru_train.ollama_api import OllamaError
        from nayru_train.processes import StageError
        from nayru_train.sample import DataError
    except KeyboardInterrupt:
        return 130

    chosen = parser().parse_args(arguments)
    try:
        return _do(chosen)
    except KeyboardInterrupt:
        print("nayru-train: interrupted; the same command goes on where it stopped", file=sys.stderr)
        return 130
    except (configuration.ConfigError, DataError, OllamaError, StageError, SampleError, Absent) as error:
        print(f"nayru-train: {error}", file=sys.stderr)
    except OSError as error:
        print(f"nayru-train: {report_crash(error)}", file=sys.stderr)
    return 1


def _do(chosen: argparse.Namespace) -> int:
    if chosen.command == "status":
        return _status(_folder(chosen), chosen.json)
    if chosen.command == "verify":
        return _verify(_folder(chosen), chosen.run, chosen.json)
    if chosen.command == "forget":
        more = json.load(sys.stdin) if chosen.stdin else {}
        gone = forget.purge(_folder(chosen), [*chosen.ids, *more.get("ids", ())], more.get("texts", ()))
        if chosen.json:
            print(json.dumps(gone._asdict()))
        else:
            print(f"{gone.rows} rows removed from {len(gone.files)} files")
            for name in gone.versions:
                print(f"the model of run {name} was trained on them and cannot forget; train anew to be rid of it")
        return 0
    if chosen.command == "rollback":
        from nayru_train.ollama_api import Ollama

        with Ollama(chosen.ollama, 60.0) as ollama:
            move = registry.rollback(_folder(chosen) / "registry.json", ollama, chosen.alias)
        print(f"{chosen.alias} is now {move.version or move.model} ({move.digest[:12]})")
        return 0
    return _stages(chosen)


def _stages(chosen: argparse.Namespace) -> int:
    from nayru_train import stages

    overrides = [*chosen.settings, *([f"register.url={chosen.ollama}"] if chosen.ollama else [])]
    config = configuration.load(chosen.config, overrides, chosen.rehearsal)
    if chosen.run and (begun := runs.reopen(chosen.run, configuration.data_folder(config))):
        # A run that exists goes on with the settings it began with; what is said now changes them.
        config = configuration.load(chosen.config, overrides, start=begun)
    run = runs.choose(chosen.run, config)
    names = runs.STAGES if chosen.command == "retrain" else (chosen.command,)
    if chosen.command == "retrain" and not run.finished():
        from nayru_train.ollama_api import Ollama

        with Ollama(config.register.url, 10.0) as ollama:      # said now, not after hours of training
            ollama.version()
    for name in names:
        run.do(stages.ALL[name])
    print(json.dumps({"run": run.name, "folder": str(run.folder), **({"outcome": run.record("promote")["outcome"]}
                      if run.finished() else {})}))
    return 0


def _folder(chosen: argparse.Namespace) -> Path:
    return configuration.data_folder(RunConfig(folder=chosen.folder))


def _status(folder: Path, as_json: bool) -> int:
    rows = registry.describe(registry.load(folder / "registry.json"))
    deleted = _tombstones()
    for row in rows:
        row["deleted_samples"] = forget.deleted_rows(folder / "runs" / row["run"], deleted) if row["run"] else 0
    unfinished = []
    for place in sorted((folder / "runs").glob("*")) if (folder / "runs").is_dir() else ():
        done = [name for name in runs.STAGES if (place / "stages" / f"{name}.json").exists()]
        if len(done) < len(runs.STAGES):
            unfinished.append({"run": place.name, "done": done, "next": runs.STAGES[len(done)]})
    if as_json:
        print(json.dumps({"folder": str(folder), "versions": rows, "unfinished": unfinished}))
        return 0
    print(f"folder: {folder}")
    for row in rows:
        aliases = f"  <- {', '.join(row['aliases'])}" if row["aliases"] else ""
        print(f"{row['version']:24} {row['outcome']:13} {row['digest']}  {row['served']:8} "
              f"from {row['parent'] or '-'}{aliases}")
        if row["deleted_samples"]:
            print(f"{'':24} was trained on {row['deleted_samples']} samples that you deleted since")
    if not rows:
        print("no version yet; `nayru-train retrain --rehearsal` tries the whole path in a few minutes")
    for entry in unfinished:
        print(f"run {entry['run']}: next is {entry['next']}")
    return 0


def _tombstones() -> frozenset[str]:
    """Ids that the user deleted from the editor's store; none where there is no store."""
    from nayru_lsp.samples import SampleStore

    path = configuration.sample_store(RunConfig())
    if not path.exists():
        return frozenset()
    store = SampleStore(path)
    try:
        return store.tombstones()
    finally:
        store.close()


def _verify(folder: Path, name: str, as_json: bool) -> int:
    place = folder / "runs" / name
    read = manifest.read(place / "manifest.json")
    wrong = manifest.broken(read)
    from nayru_train.sample import file_hash

    for link in read["chain"]:
        for output, expected in link["body"].get("outputs", {}).items():
            path = place.joinpath(*output.split("/"))
            if not path.exists():
                wrong.append(f"{output} is gone")
            elif file_hash(path) != expected:
                wrong.append(f"{output} was changed")
    if as_json:
        print(json.dumps({"run": name, "head": read.get("head"), "wrong": wrong}))
    else:
        print("\n".join(wrong) if wrong else f"whole: {len(read['chain'])} links, head {read['head']}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
