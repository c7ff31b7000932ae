"""The eight stages of a retrain, in order. Each reads what the one before wrote and returns its record.

Everything heavy happens in a process of its own (`processes.call`): training, merging and scoring must not share one.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from nayru_lsp import prompt
from nayru_train import config as configuration
from nayru_train import (
    export,
    filters,
    generated,
    libraries,
    manifest,
    prepare,
    processes,
    registry,
    rehearsal,
    render,
    sources,
)
from nayru_train.config import RehearsalConfig, RunConfig, TrainConfig
from nayru_train.evaluate import gate, served, tasks
from nayru_train.ollama_api import Ollama, OllamaError
from nayru_train.progress import say
from nayru_train.run import STAGES, Run, Stage
from nayru_train.sample import DataError, Sample, canonical, digest_of, file_hash, read_samples, write_jsonl

PARITY_ROWS = 8
LIBRARY_TOKENS = 400


# --- collect ---------------------------------------------------------------------------------------------------

def collect(run: Run) -> dict[str, Any]:
    settings = run.config.collect
    found = sources.Collected()
    deleted: frozenset[str] = frozenset()
    store = configuration.sample_store(run.config)
    if settings.use_store and (store.exists() or settings.store):
        rows, deleted = sources.from_store(store, settings.licence)
        found.samples += rows
        say("collect", f"{len(rows)} settled samples from {store}")
    for name in settings.jsonl:
        rows = list(sources.from_jsonl(Path(name), settings.licence))
        found.samples += rows
        say("collect", f"{len(rows)} rows from {name}")
    parts = [sources.from_checkout(Path(name), settings, run.config.seed) for name in settings.checkouts]
    if settings.generated or (run.config.rehearsal and not settings.checkouts):
        folder = run.path("collect", "generated")
        rehearsal.write_project(folder, settings.generated_seed, settings.generated_files)
        parts.append(sources.from_checkout(folder, settings, run.config.seed, source="generated", project="generated",
                                           licence=generated.LICENCE))
    for part in parts:
        found.samples += part.samples
        found.families |= part.families
        found.unread += part.unread
        say("collect", f"{len(part.samples)} lines of {part.samples[0].project if part.samples else 'nothing'}"
            + (f", {len(part.unread)} files not read" if part.unread else ""))
    if not found.samples:
        raise DataError("the sources gave nothing: accept suggestions in the editor, or name collect.jsonl or "
                        "collect.checkouts")
    base: list[Sample] = []
    if settings.base_checkouts:
        for name in settings.base_checkouts:
            base += sources.from_checkout(Path(name), settings, run.config.seed).samples
    else:
        recipe = base_recipe(run.config)
        base = rehearsal.base_rows(rehearsal.base_folder(run.data, recipe), recipe, settings)
    write_jsonl(run.path("collect", "samples.jsonl"), found.samples)
    write_jsonl(run.path("collect", "base.jsonl"), base)
    run.path("collect", "families.json").write_bytes(canonical(found.families))
    run.path("collect", "deleted.json").write_bytes(canonical(sorted(deleted)))
    counts: dict[str, int] = {}
    for sample in found.samples:
        counts[sample.source] = counts.get(sample.source, 0) + 1
    return {"samples": counts, "base": len(base), "unread": [list(item) for item in found.unread[:100]],
            "tombstones": len(deleted)}


def base_recipe(config: RunConfig) -> RehearsalConfig:
    return config.tiny


# --- prepare ---------------------------------------------------------------------------------------------------

def prepare_rows(run: Run) -> dict[str, Any]:
    samples = read_samples(run.path("collect", "samples.jsonl"))
    base = read_samples(run.path("collect", "base.jsonl"))
    families = msgspec.json.decode(run.path("collect", "families.json").read_bytes(), type=dict[str, str])
    deleted = frozenset(msgspec.json.decode(run.path("collect", "deleted.json").read_bytes(), type=list[str]))
    record = prepare.prepare(samples, families, base, deleted, run.path("prepare"), run.config.prepare,
                             run.config.collect.rows_per_project, run.config.seed,
                             configuration.user_settings(), str(configuration.home("data")))
    rows = manifest.rows(read_samples(run.path("prepare", "train.jsonl")))
    run.path("prepare", "rows.json").write_bytes(canonical(rows))
    return record


# --- train -----------------------------------------------------------------------------------------------------

def trained_on(run: Run) -> TrainConfig:
    """The training settings with the base's place: the rehearsal's own base has a folder, not a name."""
    settings = run.config.train
    if not run.config.rehearsal:
        return settings
    folder = rehearsal.base_folder(run.data, base_recipe(run.config)) / "model"
    return msgspec.structs.replace(settings, base=str(folder), base_licence=generated.LICENCE)


def _call(run: Run, target: str, *arguments: Any) -> Any:
    offline = {"HF_HUB_OFFLINE": "1"} if run.config.rehearsal else {}
    return processes.call(target, *arguments, threads=run.config.threads, environment=offline)


def train(run: Run) -> dict[str, Any]:
    libraries.check()
    if run.config.rehearsal:
        run.need_room(0.2, "the rehearsal")
        base = _call(run, "nayru_train.rehearsal:ensure_base", run.data, base_recipe(run.config), run.config.collect,
                     run.config.threads)
        record = json.loads((Path(base) / "done.json").read_text(encoding="utf-8"))
        say("train", f"base: {record['parameters']} parameters, trained on {record['rows']} generated rows")
    else:
        run.need_room(2.0, "an adapter with its checkpoints")
    run.path("train").mkdir(exist_ok=True)
    result = _call(run, "nayru_train.train:train", run.path("prepare", "train.jsonl"), run.path("train"),
                   trained_on(run), run.config.seed, run.config.threads)
    return dict(result)


# --- merge -----------------------------------------------------------------------------------------------------

def merge(run: Run) -> dict[str, Any]:
    settings, threads = trained_on(run), run.config.threads
    if not run.config.rehearsal:
        run.need_room(36.0, "merging a model of seven billion parameters")
    zero = zero_folder(run)
    if not zero.exists():
        _call(run, "nayru_train.merge:merge", None, zero, settings, run.config.merge, threads)
    export.fix_config(zero)
    record = dict(_call(run, "nayru_train.merge:merge", run.path("train", "adapter"), run.path("merge", "model"),
                        settings, run.config.merge, threads))
    record["rope_theta"] = export.fix_config(run.path("merge", "model"))
    rows = read_samples(run.path("prepare", "test.jsonl"))[:PARITY_ROWS] or read_samples(
        run.path("prepare", "train.jsonl"))[:PARITY_ROWS]
    record["parity"] = _call(run, "nayru_train.merge:check", run.path("merge", "model"), run.path("train", "adapter"),
                             settings, run.config.merge, rows, threads)
    say("merge", f"differs from base + adapter by {record['parity']['share']:.1%} of the adapter's effect")
    return record


def zero_folder(run: Run) -> Path:
    """Where the base without any adapter lies, dequantised as a merged model is: version zero."""
    settings = trained_on(run)
    identity = digest_of([settings.base, settings.quantise, settings.double_quant, run.config.merge.dtype])
    return run.data / "bases" / identity[:16]


# --- export ----------------------------------------------------------------------------------------------------

def export_model(run: Run) -> dict[str, Any]:
    model, folder = run.path("merge", "model"), run.path("export")
    folder.mkdir(exist_ok=True)
    export.check_vocabulary(model)
    record = _call(run, "nayru_train.export:write_adapter", run.path("train", "adapter"), folder / "adapter.gguf")
    settings = run.config.train
    named = export.licences(trained_on(run).base_licence, "of the rehearsal" if run.config.rehearsal else settings.base,
                            read_samples(run.path("prepare", "train.jsonl")))
    export.write_modelfile(folder / "Modelfile.merged", str(Path("..") / "merge" / "model"), "", named)
    export.write_modelfile(folder / "Modelfile.adapter", base_model(run.config), "./adapter.gguf", named)
    return {"rope_theta": run.record("merge")["rope_theta"], "adapter": record, "licences": named,
            "weights": file_hash(model), "quantise": run.config.export.quantise}


def base_model(config: RunConfig) -> str:
    """The base's name in Ollama, with our template: what adapters stand on, and version zero."""
    return f"{config.register.alias}-base"


# --- register --------------------------------------------------------------------------------------------------

def register(run: Run) -> dict[str, Any]:
    settings, exported = run.config, run.record("export")
    alias = settings.register.alias
    book = registry.load(run.registry)
    name = next((version.name for version in book.versions.values() if version.run == run.name and
                 version.name != base_model(settings)), "") or registry.next_name(book, alias)
    with Ollama(settings.register.url, settings.register.timeout) as ollama:
        def told(text: str) -> None:
            say("register", text)

        say("register", f"Ollama {ollama.version()} at {ollama.url}")
        base = base_model(settings)
        base_digest = ollama.digest(base)
        known = book.versions.get(base)
        zero = str(zero_folder(run))
        if not base_digest or known is None or known.digest != base_digest or known.weights != zero:
            licence = export.licences(trained_on(run).base_licence, trained_on(run).base, [])
            if settings.rehearsal or not settings.export.serve_base:
                base_digest = ollama.create(base, zero, licences=licence, quantise=settings.export.quantise,
                                            progress=told)
            else:
                if not ollama.digest(settings.export.serve_base):
                    raise OllamaError(f"Ollama lacks the base model; `ollama pull {settings.export.serve_base}` brings "
                                      f"it ({prompt.BASE_SIZE})")
                base_digest = ollama.create(base, settings.export.serve_base, licences=licence)
        models = {}
        for form, source, adapter, quantise in (
                ("merged", str(run.path("merge", "model")), "", settings.export.quantise),
                ("adapter", base, str(run.path("export", "adapter.gguf")), "")):
            model = f"{name}-{form}"
            digest = ollama.create(model, source, adapter=adapter, licences=exported["licences"], quantise=quantise,
                                   progress=told)
            models[form] = [model, digest]
            _read_back(ollama, model, exported["rope_theta"])
            say("register", f"{model} = {digest[:12]}")
        parity = _parity(run, ollama, [model for model, _ in models.values()])
        ollama.copy(models[settings.export.serve][0], name)
    now = registry.current(book, alias)
    parent = now.version if now is not None and now.version else base
    if parent == name:      # registered anew after its own promotion: it is still compared with what stood before
        parent = book.versions[name].parent
    stamp = run.path("manifest.json").stat().st_mtime
    book.versions[base] = registry.Version(base, "", "", "merged", {"merged": [base, base_digest]}, zero, stamp,
                                           outcome="base")
    book.versions[name] = registry.Version(
        name, run.name, parent, settings.export.serve, models, str(run.path("merge", "model")), stamp,
        manifest=str(run.path("manifest.json")), control=settings.prepare.control)
    registry.save(run.registry, book)
    return {"version": name, "parent": parent, "models": models, "base": [base, base_digest], "parity": parity}


def _read_back(ollama: Ollama, model: str, theta: float) -> None:
    told = ollama.show(model).get("model_info", {}).get("qwen2.rope.freq_base")
    if told is None or float(told) != theta:
        raise OllamaError(f"Ollama took {model} with a rope base of {told} instead of {theta:g}: it would compute "
                          "nonsense. The export is at fault; nothing was promoted")


def _parity(run: Run, ollama: Ollama, models: list[str]) -> dict[str, Any]:
    """The trainer and Ollama must see the same prompt: the same text from the template, the same number of tokens from
    the tokenizer. Raises OllamaError where they do not."""
    rows = read_samples(run.path("prepare", "test.jsonl"))[:PARITY_ROWS]
    wishes = ["Wait for the vertical blank.", "Copy A bytes from X to Y.\nKeep the widths."]
    trained = read_samples(run.path("prepare", "train.jsonl"))
    wishes += [row.instruction for row in trained if row.instruction][:PARITY_ROWS]
    rendered = [(row.id, render.render(row).prompt) for row in rows]
    counts = _call(run, "nayru_train.stages:token_counts", str(run.path("merge", "model")),
                   [text for _, text in rendered])
    for model in models:
        for wish in wishes:
            turn = prompt.wish(wish)
            ours = prompt.chat([turn])
            theirs = ollama.rendered(model, {"messages": [{"role": turn.role, "content": turn.text}]})
            check_same_prompt(model, ours, theirs)
        for row in rows:
            theirs = ollama.rendered(model, {"prompt": row.prefix, "suffix": row.suffix})
            check_same_prompt(model, prompt.fim(row.prefix, row.suffix), theirs)
        for (row_id, text), count in zip(rendered, counts, strict=True):
            got = ollama.raw(model, text, served.options(run.config.train.max_length, 1, run.config.threads))
            if got.get("prompt_eval_count") != count:
                raise OllamaError(f"{model} reads row {row_id} as {got.get('prompt_eval_count')} tokens, the trainer "
                                  f"as {count}: the tokenizers differ")
    return {"templates": len(models) * (len(wishes) + len(rows)), "token_counts": len(models) * len(rows)}


def check_same_prompt(model: str, ours: str, theirs: str) -> None:
    """Raises OllamaError at the first byte where Ollama's rendering leaves the trainer's."""
    if ours != theirs:
        at = next((i for i, pair in enumerate(zip(ours, theirs, strict=False)) if pair[0] != pair[1]), 0)
        at = at or min(len(ours), len(theirs))
        raise OllamaError(f"{model}'s template renders another prompt than the trainer, from character {at} on: "
                          f"{theirs[max(0, at - 20) : at + 20]!r} instead of {ours[max(0, at - 20) : at + 20]!r}")


def token_counts(folder: str, texts: list[str]) -> list[int]:
    tokenise = libraries.tokenise(libraries.tokenizer(folder))
    return [len(tokenise(text)) for text in texts]


# --- eval ------------------------------------------------------------------------------------------------------

def evaluate(run: Run) -> dict[str, Any]:
    settings = run.config.evaluate
    registered = run.record("register")
    book = registry.load(run.registry)
    after, before = book.versions[registered["version"]], book.versions[registered["parent"]]
    if not Path(before.weights).exists():
        raise DataError(f"the weights of {before.name} are gone ({before.weights}); they are needed to compare. "
                        "Promote another version first, or train it again")
    test = read_samples(run.path("prepare", "test.jsonl"))
    frozen = read_samples(run.path("prepare", "frozen.jsonl"))
    files = {row.cluster for row in test}
    # Too few files make the bootstrap coarse: then routine families, the unit of the split, are resampled instead.
    unit = "file" if len(files) >= settings.min_files else "family"
    unit_of = {row.id: row.cluster if unit == "file" else row.family for row in [*test, *frozen]}
    run.path("eval").mkdir(exist_ok=True)
    scores = {version.name: _scores(run, version, test, frozen) for version in (before, after)}
    exact, library = {}, {}
    with Ollama(run.config.register.url, run.config.register.timeout) as ollama:
        for version in (before, after):
            exact[version.name] = _exact(run, ollama, version, test)
        if settings.library_tasks:
            plugins = prepare.load_plugins(run.config.prepare, configuration.user_settings(),
                                           str(configuration.home("data")))
            with filters.Judge(plugins) as judge:
                for version in (before, after):
                    library[version.name] = tasks.ask(ollama, version.model, tasks.library_tasks(), 4096,
                                                      LIBRARY_TOKENS, run.config.threads, judge)
        forms = [model for model, _ in after.models.values()]
        agreed = served.agreement(ollama, forms[0], forms[-1], test[: settings.compare_adapter],
                                  served.options(run.config.train.max_length, settings.max_line_tokens,
                                                  run.config.threads))
    old, new = scores[before.name], scores[after.name]
    ruling = gate.decide(
        gate.grouped(gate.context_differences(old["test"], new["test"]), unit_of),
        gate.grouped({row: float(exact[after.name][row]) - float(exact[before.name][row]) for row in unit_of
                      if row in exact[after.name]}, unit_of),
        gate.grouped({row: new["frozen"][row] - old["frozen"][row] for row in new["frozen"]}, unit_of),
        gate.grouped({row: new["test"][row][0] - old["test"][row][0] for row in new["test"]}, unit_of),
        settings, run.config.seed)
    rates = {name: round(100 * sum(found.values()) / max(1, len(found)), 2) for name, found in exact.items()}
    record = {"before": before.name, "after": after.name, "unit": unit, "ruling": msgspec.to_builtins(ruling),
              "exact_percent": rates, "library": library, "forms_agree": round(agreed, 3), "forms": forms,
              "served": after.served, "control": after.control}
    report = run.path("eval", "report.json")
    report.write_bytes(msgspec.json.format(canonical(record), indent=1) + b"\n")
    say("eval", f"{after.name} against {before.name}: {ruling.outcome.upper()}")
    for reason in ruling.reasons:
        say("eval", f"  {reason}")
    say("eval", f"  exact lines through Ollama: {rates[before.name]} % -> {rates[after.name]} %; log-probability "
        f"{ruling.log_probability.estimate:+.2f} nats (reported only); both forms agree on {agreed:.0%} of lines")
    return record


def _scores(run: Run, version: registry.Version, test: list[Sample], frozen: list[Sample]) -> dict[str, Any]:
    """Teacher-forced scores of a version's weights."""
    identity = ["teacher", file_hash(Path(version.weights)), [row.id for row in test], [row.id for row in frozen]]
    return _kept(run, identity, lambda: dict(_call(
        run, "nayru_train.evaluate.teacher:score", Path(version.weights), test, frozen, run.config.threads)))


def _exact(run: Run, ollama: Ollama, version: registry.Version, test: list[Sample]) -> dict[str, bool]:
    """Greedy lines through Ollama, by the digest of what it serves."""
    if ollama.digest(version.model) != version.digest:
        raise OllamaError(f"Ollama's {version.model} is not the model that was registered; register it again")
    settings = served.options(run.config.train.max_length, run.config.evaluate.max_line_tokens, run.config.threads)
    identity = ["served", version.digest, ollama.version(), [row.id for row in test],
                {**settings, "num_thread": 0}]
    return _kept(run, identity, lambda: served.exact_lines(ollama, version.model, test, settings))


def _kept(run: Run, identity: list[Any], measure: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """A measurement, made once for the same model and rows: the version before was measured when it was new. Row ids
    and numbers only, no text."""
    place = run.data / "scores" / f"{identity[0]}-{digest_of(identity)[:24]}.json"
    if not place.exists():
        result = measure()
        place.parent.mkdir(exist_ok=True)
        temporary = place.with_name(place.name + ".part")
        temporary.write_bytes(canonical(result))
        os.replace(temporary, place)
    return dict(msgspec.json.decode(place.read_bytes()))


# --- promote ---------------------------------------------------------------------------------------------------

def promote(run: Run) -> dict[str, Any]:
    ruled = run.record("eval")
    outcome, name, alias = ruled["ruling"]["outcome"], ruled["after"], run.config.register.alias
    book = registry.load(run.registry)
    book.versions[name] = msgspec.structs.replace(book.versions[name], outcome=outcome)
    registry.save(run.registry, book)
    record: dict[str, Any] = {"version": name, "outcome": outcome, "alias": alias}
    if outcome == "promoted" and not ruled["control"]:
        with Ollama(run.config.register.url, run.config.register.timeout) as ollama:
            move = registry.promote(run.registry, ollama, alias, name, f"gate of run {run.name}")
        record["digest"] = move.digest
        say("promote", f"{alias} is now {name} ({move.digest[:12]})")
    else:
        now = registry.current(book, alias)
        kept = now.version or now.model if now else "what it was"
        say("promote", f"{name} is {outcome}; {alias} stays {kept}")
    shutil.rmtree(run.path("train", "checkpoints"), ignore_errors=True)
    return record


ALL = {stage.name: stage for stage in (
    Stage("collect", collect, ("rehearsal", "collect", "tiny"),
          ("collect/samples.jsonl", "collect/base.jsonl", "collect/families.json")),
    Stage("prepare", prepare_rows, ("prepare", "collect"),
          ("prepare/train.jsonl", "prepare/test.jsonl", "prepare/frozen.jsonl", "prepare/drops.jsonl",
           "prepare/rows.json")),
    Stage("train", train, ("rehearsal", "train", "tiny"), ("train/adapter",)),
    Stage("merge", merge, ("merge", "train"), ("merge/model",)),
    Stage("export", export_model, ("export",),
          ("export/adapter.gguf", "export/Modelfile.merged", "export/Modelfile.adapter")),
    Stage("register", register, ("register", "export"), ()),
    Stage("eval", evaluate, ("evaluate",), ("eval/report.json",)),
    Stage("promote", promote, ("register",), ()),
)}
assert tuple(ALL) == STAGES
