"""The data half, without torch: sources, families, duplicates, decontamination, masks, manifest, deletion."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from nayru_lsp import prompt
from nayru_lsp.samples import Sample as Event
from nayru_lsp.samples import SampleStore
from nayru_train import config as configuration
from nayru_train import (
    dedup,
    export,
    filters,
    forget,
    generated,
    manifest,
    prepare,
    registry,
    rehearsal,
    render,
    sources,
    split,
)
from nayru_train import run as runs
from nayru_train.config import CollectConfig, ConfigError, PrepareConfig, RunConfig
from nayru_train.sample import DataError, Sample, canonical, digest_of, read_samples, sealed, write_jsonl

ROUTINE = """\
PlayerMove:
    REP #$20
    LDA.w PlayerX
    CLC
    ADC.w PlayerSpeed
    STA.w PlayerX
    RTS
"""


def letters(text: str) -> list[int]:
    """A tokenizer for tests: a token per character, the control tokens whole."""
    out, at = [], 0
    while at < len(text):
        control = next((token for token in prompt.STOPS if text.startswith(token, at)), "")
        out.append(1000 + prompt.STOPS.index(control) if control else ord(text[at]))
        at += len(control) or 1
    return out


def row(target: str = "    LDA.w #$10", prefix: str = "Foo:\n", **more: str) -> Sample:
    return sealed(Sample(kind="completion", target=target, prefix=prefix, suffix="\n    RTS\n", project="demo",
                         path="a.asm", source="store", cluster="demo/a.asm", **more))


# --- the package -----------------------------------------------------------------------------------------------

def test_import_needs_no_torch() -> None:
    code = ("import sys, nayru_train, nayru_train.__main__, nayru_train.stages; "
            "print([name for name in ('torch', 'transformers', 'peft', 'datasets', 'pygls', 'lsprotocol') "
            "if name in sys.modules])")
    got = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert got.stdout.strip() == "[]"


def test_settings_are_strict_and_name_their_path(tmp_path: Path) -> None:
    file = tmp_path / "train.toml"
    file.write_text('[train]\nepochs = 2\n[collect]\njsonl = ["a.jsonl"]\n')
    loaded = configuration.load(file, ["train.rank=8", 'collect.checkouts=["x"]', "collect.use_store=false"])
    assert (loaded.train.epochs, loaded.train.rank, loaded.collect.jsonl) == (2.0, 8, ("a.jsonl",))
    assert loaded.collect.checkouts == ("x",) and loaded.collect.use_store is False
    for wrong, named in (("train.rnak=8", "rnak"), ("train.rank=many", "rank"), ("nonsense", "section.key=value"),
                         ("train.quantise=int3", "quantise")):
        with pytest.raises(ConfigError, match=named):
            configuration.load(None, [wrong])


def test_the_defaults_are_those_of_nayru_v5() -> None:
    train = RunConfig().train
    assert train.base == "Qwen/Qwen2.5-Coder-7B-Instruct"
    assert (train.rank, train.alpha, train.dropout, train.epochs, train.learning_rate, train.max_length) == (
        16, 32, 0.05, 3.0, 2e-4, 2048)
    assert train.targets == ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
    assert (train.quantise, train.double_quant, train.compute_dtype) == ("nf4", True, "bfloat16")
    assert RunConfig().prepare.replay == 0.5


# --- sources ---------------------------------------------------------------------------------------------------

def event(number: int, settled: str, **more: object) -> Event:
    return msgspec.structs.replace(Event(
        id=f"event{number:04}", kind="ghost", state="settled", created=float(number), workspace="/home/u/hack",
        path="/home/u/hack/src/move.asm", offered=settled, accepted=settled, settled=settled, consent=1.0,
        prefix="PlayerMove:\n", suffix="\n    RTS\n", licence="MIT", digest="abc", settled_at=2.0), **more)


def test_the_store_gives_settled_samples_with_provenance(tmp_path: Path) -> None:
    store = SampleStore(tmp_path / "samples.sqlite")
    store.put(event(1, "    LDA.w PlayerX")).result(10)
    store.put(event(2, "    STA.w PlayerX", state="accepted")).result(10)
    store.put(event(3, "    INC.w PlayerX", consent=0.0)).result(10)
    store.put(event(4, "    DEC.w PlayerX")).result(10)
    store.delete(["event0004"]).result(10)
    store.close()
    rows, deleted = sources.from_store(tmp_path / "samples.sqlite", "unstated")
    assert [(r.origin, r.target, r.licence, r.project, r.path) for r in rows] == [
        ("event0001", "    LDA.w PlayerX", "MIT", "hack", "src/move.asm")]
    assert deleted == {"event0004"}
    assert "/home/u" not in canonical(rows[0]).decode()
    with pytest.raises(DataError, match="no sample store"):
        sources.from_store(tmp_path / "absent.sqlite", "")


def test_the_prompt_that_was_sent_is_trained_on_while_prompts_have_that_form(tmp_path: Path) -> None:
    sent = prompt.fim("PlayerMove:\n", "\n", path="src/move.asm", repo="hack")
    store = SampleStore(tmp_path / "s.sqlite")
    store.put(event(1, "    RTS", prompt=sent, renderer=prompt.RENDERER)).result(10)
    store.put(event(2, "    RTL", prompt="an older form", renderer="nayru-0")).result(10)
    store.close()
    rows = {r.origin: r for r in sources.from_store(tmp_path / "s.sqlite", "")[0]}
    assert render.render(rows["event0001"]).prompt == sent
    anew = render.render(rows["event0002"]).prompt
    assert anew.startswith("<|repo_name|>hack\n<|file_sep|>state\n") and anew.endswith(
        "<|file_sep|>src/move.asm\n" + prompt.fim("PlayerMove:\n", "\n    RTS\n"))


def test_exported_rows_read_back_as_the_store_gives_them(tmp_path: Path) -> None:
    store = SampleStore(tmp_path / "s.sqlite")
    store.put(event(1, "    LDA.w PlayerX")).result(10)
    write_jsonl(tmp_path / "rows.jsonl", store.export())
    store.close()
    assert list(sources.from_jsonl(tmp_path / "rows.jsonl", "")) == sources.from_store(tmp_path / "s.sqlite", "")[0]


def test_instruction_rows(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text('{"instruction": "Clear RAM.", "input": "16-bit", "output": "ClearRam:\\n    RTS\\n"}\n\n')
    (found,) = sources.from_jsonl(file, "CC0-1.0")
    assert (found.kind, found.licence, found.origin) == ("generation", "CC0-1.0", "rows.jsonl:1")
    rendered = render.render(found)
    assert rendered.prompt.startswith("<|im_start|>system\n") and rendered.prompt.endswith("<|im_start|>assistant\n")
    assert "16-bit" in rendered.prompt and rendered.answer == "ClearRam:\n    RTS\n<|im_end|>"
    file.write_text('{"instruction": "x"}\n')
    with pytest.raises(DataError, match="line 1"):
        list(sources.from_jsonl(file, ""))
    file.write_text("{broken\n")
    with pytest.raises(DataError, match="line 1"):
        list(sources.from_jsonl(file, ""))


def test_checkout_rows_are_lines_in_their_place(tmp_path: Path) -> None:
    (tmp_path / "a.asm").write_text("; head\n" + ROUTINE + "Table:\n    db $01,$02\nName = $10\n")
    (tmp_path / "b.asm").write_bytes(b"Foo:\n    LDA #\x8f\xff\n")
    (tmp_path / "crlf.asm").write_bytes(ROUTINE.replace("\n", "\r\n").replace("Player", "Enemy").encode())
    found = sources.from_checkout(tmp_path, CollectConfig(), 1, licence="MIT")
    assert [name for name, _ in found.unread] == ["b.asm"]
    targets = [sample.target.strip() for sample in found.samples if sample.path == "a.asm"]
    assert sorted(targets) == sorted(["REP #$20", "LDA.w PlayerX", "CLC", "ADC.w PlayerSpeed", "STA.w PlayerX", "RTS"])
    text = (tmp_path / "a.asm").read_text()
    for sample in found.samples:
        assert "\r" not in "".join(sample.texts) and sample.licence == "MIT"
        if sample.path == "a.asm":
            assert sample.prefix + sample.target + sample.suffix in text     # exactly what stands there
    assert found.samples == sources.from_checkout(tmp_path, CollectConfig(), 1, licence="MIT").samples


# --- families, duplicates --------------------------------------------------------------------------------------

def test_variants_are_one_family_and_families_are_not_split() -> None:
    assert split.family_key("p", "a.asm", "Update_2") == split.family_key("p", "b.asm", "Update")
    assert split.family_key("p", "a.asm", "Update") != split.family_key("q", "a.asm", "Update")
    assert split.family_key("p", "a.asm", "") != split.family_key("p", "b.asm", "")
    assert split.routine_name("A:\n  NOP\nB:\n.sub:\n  NOP\n") == "B"
    names = [f"family{number}" for number in range(1000)]
    held = split.test_families(names, names[:10], 3, 0.4)
    assert not held & set(names[:10]) and 330 < len(held) < 460
    assert held == split.test_families(reversed(names), names[:10], 3, 0.4)


def test_near_copies_of_routines_join() -> None:
    copy = ROUTINE.replace("    CLC\n", "    CLC            ; carry\n").replace("PlayerMove", "MovePlayer")
    other = "Foo:\n" + "".join(f"    LDX.w Table{n}\n" for n in range(8))
    joined = split.join_near_copies({"a": ROUTINE.partition("\n")[2], "b": copy.partition("\n")[2], "c": other}, 0.7)
    assert joined["a"] == joined["b"] != joined["c"]


def test_code_is_compared_without_looks() -> None:
    assert dedup.code_lines('  lda.w  #$10 ; x\r\n\n; only\ndb "a;b"') == ["LDA.W#$10", 'DB"A;B"']
    assert dedup.exact_key(" LDA #1") == dedup.exact_key("lda  #1 ; one")


def test_minhash_finds_what_jaccard_finds() -> None:
    body = [f"    LDA.w Value{number}" for number in range(20)]
    index = dedup.NearIndex()
    index.add("whole", "\n".join(body))
    assert index.match("\n".join([*body[:19], "    NOP"]), 0.85) == "whole"
    assert index.match("\n".join(body[:8]), 0.85) == ""
    assert index.match("\n".join(f"    STA.w Other{number}" for number in range(20)), 0.5) == ""


def test_duplicates_go_and_the_first_stays() -> None:
    first = row(origin="a")
    again = row(origin="b", target="    lda.w  #$10 ; the same")
    other = row(origin="c", target="    STA.w Foo")
    kept, drops = filters.without_duplicates([first, again, other], 0.85)
    assert [sample.origin for sample in kept] == ["a", "c"]
    assert [(drop.origin, drop.reason) for drop in drops] == [("b", f"exact duplicate of {first.id}")]


# --- filters ---------------------------------------------------------------------------------------------------

@pytest.mark.parametrize(("sample", "why"), [
    (row(target="  \n"), "empty"), (row(target="; only a comment"), "no code"), (row(target="LDA\x00"), "control"),
    (row(target="NOP\n" * 300), "longer"), (row(licence=""), "licence"),
])
def test_own_filters(sample: Sample, why: str) -> None:
    kept, drops, judges = filters.judge([sample], frozenset(), None)
    assert not kept and why in drops[0].reason and judges == ["own"]


def test_plugin_filters_judge_and_fail_closed() -> None:
    class Plugins:
        filters = {"assembles": None, "late": None}     # noqa: RUF012 - a stand-in

        async def close(self) -> None:
            pass

    async def assembles(sample: object) -> str | None:
        assert isinstance(sample, dict) and sample["target"]
        return "does not assemble" if "BAD" in sample["target"] else None

    def broken(sample: object) -> str | None:
        raise ValueError("no idea")

    plugins = Plugins()
    plugins.filters = {"assembles": assembles}
    kept, drops, _ = filters.judge([row(), row(target="    BAD")], frozenset(), plugins)  # type: ignore[arg-type]
    assert len(kept) == 1 and drops[0].reason == "assembles: does not assemble"
    plugins.filters = {"broken": broken}
    kept, drops, _ = filters.judge([row()], frozenset(), plugins)  # type: ignore[arg-type]
    assert not kept and "could not judge" in drops[0].reason


def test_what_nobody_looked_at_is_not_called_judged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Asar absent: its filter lets everything pass, and must not be named as a judge or counted as "assembles"."""
    from nayru_lsp.config import UserConfig

    monkeypatch.setenv("NAYRU_PLUGINS", "asar")
    monkeypatch.setenv("NAYRU_ASAR", str(tmp_path / "absent.so"))
    config = PrepareConfig(plugins=("asar",))
    bad = row(target="    NOTCODE #$12")
    kept, _, judges = filters.judge([bad], frozenset(), prepare.load_plugins(config, UserConfig(), str(tmp_path)))
    assert kept == [bad] and judges == ["own"]
    with filters.Judge(prepare.load_plugins(config, UserConfig(), str(tmp_path))) as judge:
        assert judge("Foo:\n    RTS\n") is None


def test_asar_judges_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from nayru_lsp.config import UserConfig
    from tests.kit import require

    monkeypatch.setenv("NAYRU_PLUGINS", "asar")
    monkeypatch.setenv("NAYRU_ASAR", str(require("asar")))
    config = PrepareConfig(plugins=("asar",))
    good, bad = row(target="    LDA.w Elsewhere,x"), row(target="    NOTCODE #$12")
    kept, drops, judges = filters.judge([good, bad], frozenset(),
                                        prepare.load_plugins(config, UserConfig(), str(tmp_path)))
    assert kept == [good] and judges == ["own", "assembles"] and "does not assemble" in drops[0].reason
    with filters.Judge(prepare.load_plugins(config, UserConfig(), str(tmp_path))) as judge:
        assert (judge("Foo:\n    RTS\n"), judge("Foo:\n    NOTCODE #$12\n")) == (True, False)


def test_deleted_samples_are_dropped() -> None:
    samples = [row(origin="gone"), row(origin="here", target="    NOP")]
    kept, drops, _ = filters.judge(samples, frozenset(["gone"]), None)
    assert [sample.origin for sample in kept] == ["here"] and drops[0].reason == "deleted by the user"


def test_contaminated_rows_are_dropped() -> None:
    body = "    PHP\n    REP #$30\n    LDA $00\n    BEQ .no\n    DEC A\n    MVN $7E,$7E\n"
    task = f"Memcpy:\n{body}.no:\n    PLP\n    RTS\n"
    held = row(target="    LDA.w Secret", prefix="Held:\n    REP #$20\n")
    copied = row(target="    DEC A", prefix=f"Mine:\n{body.lower().replace('#$30', '#$30 ; wide')}")
    whole = sealed(Sample(kind="generation", instruction="copy", target=task.lower(), source="jsonl"))
    clean = row(target="    STX.w Foo", prefix="Other:\n    LDX.w Bar\n")
    kept, drops = filters.decontaminated([held, copied, whole, clean], [held], {"memcpy": task}, 0.85)
    assert kept == [clean]
    assert [drop.reason.partition(": ")[2].split()[0] for drop in drops] == ["equals", "holds", "holds"]


# --- prepare ---------------------------------------------------------------------------------------------------

@pytest.fixture(scope="module")
def lines(tmp_path_factory: pytest.TempPathFactory) -> sources.Collected:
    folder = tmp_path_factory.mktemp("generated")
    rehearsal.write_project(folder / "target", 1, 160)
    return sources.from_checkout(folder / "target", CollectConfig(prompt_tokens=0), 1, source="generated",
                                 licence="Apache-2.0")


@pytest.fixture(scope="module")
def base_lines(tmp_path_factory: pytest.TempPathFactory) -> list[Sample]:
    return rehearsal.base_rows(tmp_path_factory.mktemp("base"), RunConfig().tiny, CollectConfig(prompt_tokens=0))


def test_prepare_keeps_the_sides_apart(lines: sources.Collected, base_lines: list[Sample], tmp_path: Path) -> None:
    config = PrepareConfig(plugins=())
    mine = [row(origin=f"event{number}", target=f"    LDA.w Cell{number}", prefix=f"Mine{number}:\n")
            for number in range(40)]
    record = prepare.prepare([*lines.samples, *mine], lines.families, base_lines, frozenset(["event3"]), tmp_path,
                             config, 300, 17)
    train, test, frozen = (read_samples(tmp_path / f"{name}.jsonl") for name in ("train", "test", "frozen"))
    assert record["train"] >= 300 and abs(record["replay"] - record["train"]) <= record["train"] * 0.05
    assert len(test) == 400 and len({sample.cluster for sample in test}) >= 40 and len(frozen) == 240
    assert not {sample.family for sample in train} & {sample.family for sample in [*test, *frozen]}
    assert sum(sample.source == "store" for sample in train) == 39
    assert all(sample.source == "generated" for sample in test)
    drops = (tmp_path / "drops.jsonl").read_text()
    assert '"deleted by the user"' in drops and "Cell3\"" not in drops
    again = tmp_path / "again"
    assert prepare.prepare([*lines.samples, *mine], lines.families, base_lines, frozenset(["event3"]), again, config,
                           300, 17)["hashes"] == record["hashes"]


def test_shuffled_control_keeps_the_lines_and_loses_their_places(
        lines: sources.Collected, base_lines: list[Sample], tmp_path: Path) -> None:
    for name in ("", "shuffled"):
        prepare.prepare(lines.samples, lines.families, base_lines, frozenset(), tmp_path / (name or "real"),
                        PrepareConfig(plugins=(), replay=0.0, control=name), 200, 17)  # type: ignore[arg-type]
    real, shuffled = (read_samples(tmp_path / name / "train.jsonl") for name in ("real", "shuffled"))
    assert sorted(sample.target for sample in real) == sorted(sample.target for sample in shuffled)
    places = {sample.origin: sample.target for sample in real}
    assert sum(places[sample.origin] == sample.target for sample in shuffled) < len(real) / 4


def test_decontamination_fails_closed(lines: sources.Collected, base_lines: list[Sample], tmp_path: Path,
                                      monkeypatch: pytest.MonkeyPatch) -> None:
    def none() -> list[object]:
        raise prepare.tasks.NoTasks("the routine library holds no routine")

    monkeypatch.setattr(prepare.tasks, "library_tasks", none)
    with pytest.raises(DataError, match="cannot be kept apart"):
        prepare.prepare(lines.samples, {}, base_lines, frozenset(), tmp_path, PrepareConfig(plugins=()), 100, 17)
    assert not list(tmp_path.iterdir())


def test_generated_projects_differ_in_rules_and_are_reproducible() -> None:
    assert generated.project(1, 20) == generated.project(1, 20)
    assert generated.rules(1).limit != generated.rules(2).limit
    files = generated.project(1, 20)
    assert len(files) == 23 and files["main.asm"].startswith("lorom\norg $008000\n")


# --- rendering and masks ---------------------------------------------------------------------------------------

def test_the_loss_is_on_the_answer_alone() -> None:
    encoded = render.encode(row(), letters)
    taught = [token for token, label in zip(encoded.ids, encoded.labels, strict=True) if label != render.IGNORED]
    assert "".join(map(chr, taught[:-1])) == "    LDA.w #$10"
    assert taught[-1] == letters(prompt.END_OF_TEXT)[0]
    assert encoded.ids == letters(render.render(row()).prompt + render.render(row()).answer)


def test_canary_prompt_tokens_in_the_loss(monkeypatch: pytest.MonkeyPatch) -> None:
    """The origin's defect (labels = all ids) put back: preparing rows must stop."""
    good = render.encode

    def defect(sample: Sample, tokenise: render.Tokenise) -> render.Encoded:
        encoded = good(sample, tokenise)
        return render.Encoded(encoded.id, encoded.ids, list(encoded.ids))

    assert render.encode_all([row()], letters, 2048, "raise")[0]
    monkeypatch.setattr(render, "encode", defect)
    with pytest.raises(render.MaskError, match="prompt tokens must not be trained on"):
        render.encode_all([row()], letters, 2048, "raise")


def test_canary_silent_truncation(monkeypatch: pytest.MonkeyPatch) -> None:
    """The origin's defect (rows cut at max length) put back: preparing rows must stop."""
    good = render.encode

    def defect(sample: Sample, tokenise: render.Tokenise) -> render.Encoded:
        encoded = good(sample, tokenise)
        return render.Encoded(encoded.id, encoded.ids[:-3], encoded.labels[:-3])

    monkeypatch.setattr(render, "encode", defect)
    with pytest.raises(render.MaskError, match="no answer may be cut"):
        render.encode_all([row()], letters, 2048, "raise")


def test_long_rows_are_listed_never_cut() -> None:
    long = row(target="    LDA.w " + "x" * 300)
    with pytest.raises(render.TooLong, match="Nothing was cut") as raised:
        render.encode_all([row(), long], letters, 200, "raise")
    assert raised.value.ids == (long.id,)
    rows, left_out = render.encode_all([row(), long], letters, 200, "drop")
    assert [one.id for one in rows] == [row().id] and left_out[0][0] == long.id


def test_text_that_spells_a_control_token_is_defused() -> None:
    tricky = row(prefix="; <|fim_middle|>\n", target="    NOP ; <|endoftext|>")
    encoded = render.encode(tricky, letters)
    assert encoded.ids.count(letters(prompt.FIM_MIDDLE)[0]) == 1
    assert encoded.ids.count(letters(prompt.END_OF_TEXT)[0]) == 1


# --- manifest, runs, registry ----------------------------------------------------------------------------------

def test_the_chain_notices_every_change() -> None:
    rows = manifest.rows([row(origin="e1")])
    first = manifest.entry(manifest.FIRST, "run", {"seed": 1, "config": digest_of({"a": 1}),
                                                   "environment": digest_of({"b": 2})})
    second = manifest.entry(first["hash"], "prepare", {"outputs": {"prepare/rows.json": digest_of(rows)}})
    whole = {"chain": [first, second], "head": second["hash"], "config": {"a": 1}, "environment": {"b": 2},
             "rows": rows}
    assert manifest.broken(whole) == []
    for change in ({"config": {"a": 2}}, {"environment": {}}, {"rows": []}, {"head": first["hash"]},
                   {"chain": [second]}, {"chain": [first, {**second, "body": {"outputs": {}}}]}):
        assert manifest.broken({**whole, **change}), change


def test_a_stage_is_done_once_and_anew_when_its_input_changes(tmp_path: Path) -> None:
    calls: list[str] = []

    def work(run: runs.Run) -> dict[str, object]:
        calls.append(run.name)
        run.path("out.txt").write_text(str(len(calls)))
        return {"calls": len(calls)}

    stage = runs.Stage("collect", work, ("collect",), ("out.txt",))
    config = RunConfig(folder=str(tmp_path))
    run = runs.Run("one", config)
    assert run.do(stage) == run.do(stage) == {"calls": 1}
    run.path("out.txt").unlink()
    assert run.do(stage) == {"calls": 2}
    changed = msgspec.structs.replace(config, collect=CollectConfig(prefix_lines=3))
    assert runs.Run("one", changed).do(stage) == {"calls": 3}
    with pytest.raises(DataError, match="collect comes before prepare"):
        runs.Run("two", config).do(runs.Stage("prepare", work, (), ()))
    assert manifest.broken(manifest.read(run.path("manifest.json"))) == []


def test_an_unfinished_run_is_gone_on_with(tmp_path: Path) -> None:
    config = RunConfig(folder=str(tmp_path))
    first = runs.choose("", config)
    assert runs.choose("", config).name == first.name
    runs._write(first.path("stages", "promote.json"), b'{"key":"","record":{},"outputs":{},"seconds":0}')
    assert runs.choose("", config).folder != first.folder or first.finished()
    assert runs.choose("", msgspec.structs.replace(config, seed=2)).name != first.name
    with pytest.raises(DataError, match="no run name"):
        runs.choose("../elsewhere", config)


def test_an_unwritable_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match=r"cannot write the run folder .*folder=PATH"):
        runs.Run("one", RunConfig(folder=str(tmp_path / "file" / "below")))


def test_a_full_disk_is_said_before_work_begins(tmp_path: Path) -> None:
    run = runs.Run("one", RunConfig(folder=str(tmp_path)))
    with pytest.raises(DataError, match="GB left; free some room"):
        run.need_room(1e9, "a model")


def test_versions_are_numbered_and_controls_are_never_promoted(tmp_path: Path) -> None:
    book = registry.Registry()
    assert registry.next_name(book, "nayru") == "nayru-v1"
    for number, control in ((1, ""), (5, "shuffled")):
        name = f"nayru-v{number}"
        book.versions[name] = registry.Version(name, "run", "", "merged", {"merged": [name, "d"]}, "", 0.0,
                                               control=control)
    assert registry.next_name(book, "nayru") == "nayru-v6"
    registry.save(tmp_path / "registry.json", book)
    assert registry.load(tmp_path / "registry.json") == book
    with pytest.raises(DataError, match="never promoted"):
        registry.promote(tmp_path / "registry.json", None, "nayru", "nayru-v5", "")  # type: ignore[arg-type]
    with pytest.raises(DataError, match="no version"):
        registry.promote(tmp_path / "registry.json", None, "nayru", "nayru-v9", "")  # type: ignore[arg-type]
    with pytest.raises(DataError, match="nothing to go back to"):
        registry.rollback(tmp_path / "registry.json", None, "nayru")  # type: ignore[arg-type]


def test_modelfile_names_every_licence(tmp_path: Path) -> None:
    named = export.licences("Apache-2.0", "Qwen/X", [row(licence="MIT"), row(licence="MIT"), row(licence="CC0-1.0")])
    assert named == ["Base model Qwen/X: Apache-2.0", "1 training rows (store): CC0-1.0",
                     "2 training rows (store): MIT"]
    export.write_modelfile(tmp_path / "Modelfile", "base", "./adapter.gguf", named)
    text = (tmp_path / "Modelfile").read_text()
    assert text == prompt.modelfile("base", adapter="./adapter.gguf", licences=named)
    assert "MIT" in text and "ADAPTER ./adapter.gguf" in text


def test_export_writes_the_rope_base_at_the_top(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"rope_parameters": {"rope_theta": 10000.0}}')
    assert export.fix_config(tmp_path) == 10000.0
    assert msgspec.json.decode((tmp_path / "config.json").read_bytes())["rope_theta"] == 10000.0
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(export.ExportError, match="rope_theta"):
        export.fix_config(tmp_path)


# --- deletion --------------------------------------------------------------------------------------------------

def test_forget_leaves_no_byte(tmp_path: Path) -> None:
    secret = "    LDA.w MySecretCell"
    gone = row(origin="gone", target=secret)
    neighbour = row(origin="near", target="    STA.w Foo", prefix=f"Foo:\n{secret}\n")
    stranger = msgspec.structs.replace(row(origin="far", target="    STX.w Foo"), project="other")
    for place in ("runs/a/collect/samples.jsonl", "runs/a/prepare/train.jsonl", "runs/b/prepare/test.jsonl"):
        write_jsonl(tmp_path / place, [gone, neighbour, stranger])
    (tmp_path / "runs/a/prepare/half.jsonl.part").write_text(secret)
    (tmp_path / "runs/a/manifest.json").write_bytes(canonical({"rows": manifest.rows([gone, stranger])}))
    (tmp_path / "runs/b/manifest.json").write_bytes(canonical({"rows": manifest.rows([stranger])}))
    found = forget.purge(tmp_path, ["gone"])
    assert (found.rows, len(found.files), found.versions) == (6, 3, ("a",))
    for path in tmp_path.rglob("*"):
        assert path.is_dir() or b"MySecretCell" not in path.read_bytes(), path
    assert [sample.origin for sample in read_samples(tmp_path / "runs/a/prepare/train.jsonl")] == ["far"]
    assert forget.purge(tmp_path, ["gone"]).rows == 0
    assert forget.purge(tmp_path, [], texts=["    STX.w Foo"]).rows == 3


def test_status_names_versions_that_were_trained_on_deleted_samples(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    from nayru_train.__main__ import main

    monkeypatch.setenv("NAYRU_HOME", str(tmp_path / "home"))
    (tmp_path / "home/data").mkdir(parents=True)
    store = SampleStore(tmp_path / "home/data/samples.sqlite")
    store.put(event(1, "    RTS")).result(10)
    store.delete(["event0001"]).result(10)
    store.close()
    run = tmp_path / "home/data/train/runs/a"
    run.mkdir(parents=True)
    (run / "manifest.json").write_bytes(canonical({"rows": manifest.rows([row(origin="event0001"), row()])}))
    version = registry.Version("nayru-v1", "a", "", "merged", {"merged": ["nayru-v1", "d"]}, "", 0.0)
    registry.save(tmp_path / "home/data/train/registry.json", registry.Registry(versions={"nayru-v1": version}))
    assert main(["status"]) == 0
    assert "was trained on 1 samples that you deleted since" in capsys.readouterr().out


def test_forget_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from nayru_train.__main__ import main

    write_jsonl(tmp_path / "runs/a/prepare/train.jsonl", [row(origin="gone")])
    assert main(["forget", "--folder", str(tmp_path), "--json", "gone"]) == 0
    assert '"rows": 1' in capsys.readouterr().out
    assert main(["status", "--folder", str(tmp_path)]) == 0
    assert "no version yet" in capsys.readouterr().out


def test_one_clear_message(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from nayru_train.__main__ import main

    absent = tmp_path / "absent.sqlite"
    assert main(["collect", f"folder={tmp_path}", f"collect.store={absent}"]) == 1
    assert capsys.readouterr().err.strip().splitlines() == [
        f"nayru-train: there is no sample store {absent}; accept suggestions in the editor first, or name another with "
        "collect.store=FILE"]
    assert main(["train", f"folder={tmp_path}", "--run", "x"]) == 1
    assert "stage prepare comes before train" in capsys.readouterr().err
    assert main(["train", "train.rnak=1"]) == 1
    assert "rnak" in capsys.readouterr().err


# --- prompts as the server lays them out -----------------------------------------------------------------------

def test_checkout_prompts_are_the_servers_without_the_line(tmp_path: Path) -> None:
    (tmp_path / "main.asm").write_text('lorom\norg $008000\nincsrc "ram.asm"\n' + ROUTINE)
    (tmp_path / "ram.asm").write_text("PlayerX = $7E0022\nPlayerSpeed = $7E0024\n")
    found = sources.from_checkout(tmp_path, CollectConfig(prompt_tokens=400), 1)
    rows = {sample.target.strip(): sample for sample in found.samples}
    text = rows["STA.w PlayerX"].prompt
    assert "PlayerX = $7E0022" in text and "main.asm" in text and "A 16-bit" in text
    assert "STA.w PlayerX" not in text and text.endswith(prompt.FIM_MIDDLE)
    assert render.render(rows["STA.w PlayerX"]).prompt == text
    assert all(sample.prompt for sample in found.samples)


def test_a_prompt_from_the_cache_is_moved_to_where_the_text_was_taken() -> None:
    sent = prompt.fim("Foo:\n    ", "\n", path="a.asm", repo="p")
    assert sources._where_it_stands(sent, "; far above\nFoo:\n    ") == sent
    moved = sources._where_it_stands(sent, "; far above\nFoo:\n    LD")
    assert moved == prompt.fim("Foo:\n    LD", "\n", path="a.asm", repo="p")
    assert sources._where_it_stands(sent, "Bar:\n") == ""
    assert sources._where_it_stands(prompt.chat([]), "Foo:\n") == prompt.chat([])
