"""The whole retrain on a tiny base and a real Ollama, with four planted pairs for the gate:

equal -> inconclusive, shuffled targets -> refused, better -> promoted, worse -> refused. In this order, so that the
first three are compared with the base and the last with the promoted version.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from nayru_lsp import prompt
from nayru_lsp.samples import Sample as Event
from nayru_lsp.samples import SampleStore
from nayru_train import config as configuration
from nayru_train import generated, manifest, registry, render, sources, stages
from nayru_train.__main__ import main
from nayru_train.config import RunConfig
from nayru_train.evaluate import served
from nayru_train.ollama_api import Ollama, OllamaError
from nayru_train.run import STAGES, Run
from nayru_train.sample import read_samples

ALIAS = "test-nayru"
# 200 held-back lines of 40 files or more, 200 rows and as many replay rows: the least that the gate rules on.
SMALL = ("prepare.test_positions=200", "prepare.test_per_file=4", "prepare.frozen_positions=200",
         "collect.rows_per_project=240", "prepare.plugins=[]", "evaluate.library_tasks=false",
         "evaluate.resamples=1000", "evaluate.compare_adapter=20", f"register.alias={ALIAS}")
IDLE = ("train.epochs=0.05", "train.learning_rate=1e-6")


@pytest.fixture(scope="module")
def small(settings: tuple[str, ...], tiny: RunConfig, ollama_url: str) -> tuple[str, ...]:
    return (*settings, *SMALL, f"register.url={ollama_url}")


def retrain(small: tuple[str, ...], name: str, *more: str) -> Run:
    """`nayru-train retrain --rehearsal --run NAME ...`, then the run."""
    assert main(["retrain", "--rehearsal", "--run", name, *small, *more]) == 0
    return Run(name, configuration.load(None, [*small, *more], rehearsal=True))


def ruling(run: Run) -> dict[str, Any]:
    return dict(json.loads(run.path("eval", "report.json").read_text())["ruling"])


@pytest.fixture(scope="module")
def equal(small: tuple[str, ...]) -> Run:
    return retrain(small, "equal", *IDLE)


@pytest.fixture(scope="module")
def shuffled(equal: Run, small: tuple[str, ...]) -> Run:
    return retrain(small, "shuffled", "prepare.control=shuffled", "train.epochs=1.5")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store as the editor leaves it after a session: 40 accepted and settled lines of a project of its own, in which
    each room calls its own handler. The words are the generated projects', so that the tiny tokenizer has them."""
    path = tmp_path_factory.mktemp("store") / "samples.sqlite"
    samples = SampleStore(path)
    for number in range(40):
        room = generated.ENTITIES[number % 10]
        line = f"JSR {generated.HANDLERS[3 * number % 10 % 8]}_{generated.FIELDS[(7 * number + 3) % 10]}"
        samples.put(Event(
            id=f"event{number:02}", kind="ghost", state="settled", created=float(number), consent=1.0, licence="MIT",
            workspace="/home/u/hack", path=f"/home/u/hack/{room.lower()}.asm", maker="local", settled_at=1.0,
            prefix=f"; what happens in the {room.lower()} room\n{room}Room{number // 10}:\n    REP #$30\n    ",
            suffix="\n    RTS\n", offered=line, accepted=line, settled=line)).result(10)
    samples.close()
    return path


@pytest.fixture(scope="module")
def better_settings(small: tuple[str, ...], store: Path) -> tuple[str, ...]:
    return (*small, "collect.use_store=true", f"collect.store={store}", "prepare.repeat_samples=4")


@pytest.fixture(scope="module")
def better(shuffled: Run, better_settings: tuple[str, ...]) -> Run:
    return retrain(better_settings, "better")


@pytest.fixture(scope="module")
def worse(better: Run, small: tuple[str, ...]) -> Run:
    return retrain(small, "worse", *IDLE)


def test_equal_is_inconclusive(equal: Run) -> None:
    found = ruling(equal)
    assert found["outcome"] == "inconclusive", found
    assert "no gain shown" in found["reasons"][0]
    assert registry.current(registry.load(equal.registry), ALIAS) is None


def test_shuffled_targets_are_refused(shuffled: Run, ollama_url: str) -> None:
    """By the gate itself, although log-probability may well have risen: house style is no knowledge."""
    found = ruling(shuffled)
    assert found["outcome"] == "refused", found
    assert found["context_gain"]["high"] < 0
    with Ollama(ollama_url, 60.0) as ollama:
        assert not ollama.digest(ALIAS)


def test_better_is_promoted(better: Run, ollama_url: str) -> None:
    found = ruling(better)
    assert found["outcome"] == "promoted", found
    assert found["context_gain"]["low"] > 0 and found["exact_match"]["low"] > -2 and found["forgetting"]["low"] > -0.5
    assert found["context_gain"]["lines"] >= 200 and found["context_gain"]["files"] >= 40
    move = registry.current(registry.load(better.registry), ALIAS)
    assert move is not None
    with Ollama(ollama_url, 60.0) as ollama:
        assert ollama.digest(ALIAS) == move.digest == better.record("register")["models"]["merged"][1]


def test_worse_is_refused(worse: Run, better: Run, ollama_url: str) -> None:
    found = ruling(worse)
    assert worse.record("register")["parent"] == better.record("register")["version"]
    assert found["outcome"] == "refused", found
    with Ollama(ollama_url, 60.0) as ollama:
        assert ollama.digest(ALIAS) == better.record("register")["models"]["merged"][1]


def test_the_manifest_leads_from_rows_to_the_digest_in_ollama(better: Run, ollama_url: str) -> None:
    read = manifest.read(better.path("manifest.json"))
    assert manifest.broken(read) == []
    assert [link["stage"] for link in read["chain"]] == ["run", *STAGES]
    train = read_samples(better.path("prepare", "train.jsonl"))
    assert read["rows"] == manifest.rows(train) and len(train) > 400
    assert read["licences"]["base"]["licence"] and sum(read["licences"]["rows"].values()) == len(train)
    assert {"torch", "transformers", "peft", "bitsandbytes"} <= set(read["environment"]["versions"])
    digest = read["chain"][-1]["body"]["record"]["digest"]
    with Ollama(ollama_url, 60.0) as ollama:
        assert ollama.digest(ALIAS) == digest
        shown = ollama.show(ALIAS)
    assert "Apache-2.0" in shown["license"] and "training rows" in shown["license"]
    assert shown["template"] == prompt.TEMPLATE and shown["system"] == prompt.SYSTEM
    assert shown["model_info"]["qwen2.rope.freq_base"] == 10000
    assert b"LDA" not in better.path("manifest.json").read_bytes()      # no text of any row
    assert main(["verify", "--folder", str(better.data), better.name]) == 0
    train_file = better.path("prepare", "train.jsonl")
    kept = train_file.read_bytes()
    train_file.write_bytes(kept + b"\n")
    assert main(["verify", "--folder", str(better.data), better.name]) == 1
    train_file.write_bytes(kept)


def test_both_forms_are_served_and_agree(better: Run) -> None:
    report = json.loads(better.path("eval", "report.json").read_text())
    assert sorted(better.record("register")["models"]) == ["adapter", "merged"]
    assert report["forms_agree"] >= 0.7     # the base below the adapter is quantised, the merged weights otherwise
    assert better.record("register")["parity"] == {"templates": 20, "token_counts": 16}


def test_the_new_version_knows_a_line_that_the_one_before_did_not(better: Run, ollama_url: str) -> None:
    rows = read_samples(better.path("prepare", "test.jsonl"))
    settings = served.options(2048, 48, 1)
    with Ollama(ollama_url, 60.0) as ollama:
        for row in rows:
            old, new = (str(ollama.raw(model, render.render(row).prompt, settings)["response"])
                        for model in (f"{ALIAS}-base", ALIAS))
            if served.same_line(new, row.target) and not served.same_line(old, row.target):
                return
    pytest.fail("every line that the new version gets right was right before")


def test_accepted_lines_are_known_to_the_new_version(better: Run, ollama_url: str) -> None:
    """What was accepted in the editor comes back from Ollama, asked as the server asks; the base had none of it."""
    rows = {row.origin: row for row in read_samples(better.path("prepare", "train.jsonl")) if row.source == "store"}
    assert len(rows) == 40
    known = {f"{ALIAS}-base": 0, ALIAS: 0}
    with Ollama(ollama_url, 60.0) as ollama:
        for model in known:
            for row in list(rows.values())[:20]:
                asked = sources.laid_out(row.prefix, row.suffix, row.path, row.project)
                answer = ollama.raw(model, asked, served.options(2048, 48, 1))
                known[model] += served.same_line(str(answer["response"]), row.target)
    assert known[f"{ALIAS}-base"] == 0 and known[ALIAS] >= 10, known
    assert {row[2] for row in manifest.read(better.path("manifest.json"))["rows"]} > set(rows)


def test_done_stages_are_not_done_again(better: Run, better_settings: tuple[str, ...],
                                        capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["retrain", "--rehearsal", "--run", "better", *better_settings]) == 0
    assert capsys.readouterr().err.count("done before") == len(STAGES)


def test_canary_a_template_that_differs(better: Run, ollama_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The origin's defect (an extra newline before the turn's end in one of the two) put back: registering stops."""
    with Ollama(ollama_url, 60.0) as ollama:
        model = better.record("register")["models"]["merged"][0]
        stages._parity(better, ollama, [model])
        monkeypatch.setattr(prompt, "TEMPLATE", prompt.TEMPLATE.replace("{{ .Content }}<|im_end|>",
                                                                        "{{ .Content }}\n<|im_end|>"))
        ollama.create("other-template", model)
        with pytest.raises(OllamaError, match="renders another prompt than the trainer"):
            stages._parity(better, ollama, ["other-template"])
        ollama.delete("other-template")


def test_canary_a_lost_rope_base(better: Run, ollama_url: str, tmp_path: Path) -> None:
    """What transformers 5 writes, without our top-level `rope_theta`: reading back stops it."""
    import shutil

    folder = tmp_path / "model"
    shutil.copytree(better.path("merge", "model"), folder)
    config = json.loads((folder / "config.json").read_text())
    del config["rope_theta"]
    (folder / "config.json").write_text(json.dumps(config))
    with Ollama(ollama_url, 60.0) as ollama:
        ollama.create("no-rope", str(folder))
        with pytest.raises(OllamaError, match="it would compute nonsense"):
            stages._read_back(ollama, "no-rope", 10000.0)
        ollama.delete("no-rope")


def test_a_model_made_elsewhere_is_kept_and_rollback_returns_to_it(better: Run, ollama_url: str,
                                                                    tmp_path: Path) -> None:
    book = registry.load(better.registry)
    path = tmp_path / "registry.json"
    registry.save(path, registry.Registry(versions=book.versions))
    version = better.record("register")["version"]
    with Ollama(ollama_url, 60.0) as ollama:
        ollama.copy(f"{ALIAS}-base", "mine")
        foreign = ollama.digest("mine")
        registry.promote(path, ollama, "mine", version, "test")
        assert ollama.digest("mine") == book.versions[version].digest != foreign
        move = registry.rollback(path, ollama, "mine")
        assert ollama.digest("mine") == move.digest == foreign and move.version == ""
        again = registry.promote(path, ollama, "mine", version, "test")
        assert ollama.digest("mine") == again.digest
        for name in ("mine", f"mine-before-{foreign[:8]}"):
            ollama.delete(name)
        broken = msgspec.structs.replace(book.versions[version], models={"merged": [f"{ALIAS}-base", again.digest]})
        registry.save(path, registry.Registry(versions={version: broken}))
        with pytest.raises(OllamaError, match="is not the model that was registered"):
            registry.promote(path, ollama, "mine", version, "test")
        assert not ollama.digest("mine")


def test_status_lists_versions(worse: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status", "--folder", str(worse.data), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    outcomes = {entry["run"]: entry["outcome"] for entry in told["versions"] if entry["run"]}
    assert outcomes == {"equal": "inconclusive", "shuffled": "refused", "better": "promoted", "worse": "refused"}
    assert [entry["aliases"] for entry in told["versions"] if entry["run"] == "better"] == [[ALIAS]]


def test_without_ollama_the_message_says_what_to_do(better: Run, small: tuple[str, ...],
                                                    capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["retrain", "--rehearsal", "--run", "none", *small, "register.url=http://127.0.0.1:9"]) == 1
    assert "start it with `ollama serve`" in capsys.readouterr().err
    assert not Run("none", configuration.load(None, small, rehearsal=True)).path("collect").exists()
    with pytest.raises(OllamaError, match="names another machine"):
        Ollama("http://192.0.2.1:11434", 5.0)
