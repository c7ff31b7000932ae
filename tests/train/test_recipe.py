"""The recipe on a tiny base, on a CPU: masks, steps, resuming, merging. Each run in a process of its own."""

from __future__ import annotations

import json
import os
import pickle
import signal
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pytest

from nayru_train import merge, processes
from nayru_train.config import MergeConfig, RunConfig, TrainConfig
from nayru_train.sample import Sample, file_hash, write_jsonl
from nayru_train.sources import from_checkout

HERE = "tests.train.recipe_child"


@pytest.fixture(scope="module")
def recipe(tiny: RunConfig, base_folder: Path) -> TrainConfig:
    return msgspec.structs.replace(tiny.train, base=str(base_folder), epochs=4.0, checkpoint_steps=6)


@pytest.fixture(scope="module")
def rows(tiny: RunConfig, tmp_path_factory: pytest.TempPathFactory) -> list[Sample]:
    from nayru_train import rehearsal

    folder = tmp_path_factory.mktemp("project") / "target"
    rehearsal.write_project(folder, 1, 40)
    return from_checkout(folder, tiny.collect, 1, source="generated", licence="Apache-2.0").samples


@pytest.fixture(scope="module")
def rows_file(rows: list[Sample], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("rows") / "train.jsonl"
    write_jsonl(path, rows[:40])
    return path


@pytest.fixture(scope="module")
def trained(recipe: TrainConfig, rows_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder with an adapter: 20 steps at a high rate, so that the adapter's effect is plain."""
    out = tmp_path_factory.mktemp("trained")
    record = processes.call("nayru_train.train:train", rows_file, out, recipe, 1, 1, threads=1)
    (out / "record.json").write_text(json.dumps(record))
    return out


def test_training_lowers_the_loss_on_answers_alone(trained: Path) -> None:
    record = json.loads((trained / "record.json").read_text())
    assert record["rows"] == 40 and record["steps"] == 20 and not record["left_out"]
    assert 0.02 < record["taught_tokens"] / record["tokens"] < 0.15     # a line of a window of lines
    losses = [json.loads(line) for line in (trained / "loss.jsonl").read_text().splitlines()]
    assert [entry["step"] for entry in losses] == list(range(1, 21))
    assert sum(entry["loss"] for entry in losses[-5:]) < 0.8 * sum(entry["loss"] for entry in losses[:5])
    assert not (trained / "checkpoints").exists()


def test_killed_in_the_middle_it_goes_on_to_the_same_adapter(trained: Path, recipe: TrainConfig, rows_file: Path,
                                                             tmp_path: Path) -> None:
    """SIGKILL after the first checkpoint; the second call goes on from it and ends with the adapter, bit for bit, of a
    run that was never interrupted."""
    out = tmp_path / "out"
    out.mkdir()
    request = tmp_path / "call.py"
    request.write_text(
        "import pickle, sys\nfrom nayru_train import train\n"
        f"rows, out, config = pickle.loads({pickle.dumps((rows_file, out, recipe))!r})\n"
        "train.train(rows, out, config, 1, 1)\n")
    child = subprocess.Popen([sys.executable, "-W", "ignore", str(request)], cwd=Path(__file__).parents[2],
                             env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": "."})
    deadline = time.monotonic() + 120
    while not list((out / "checkpoints").glob("checkpoint-*/trainer_state.json")):
        assert child.poll() is None and time.monotonic() < deadline, "it ended before it could be killed"
        time.sleep(0.01)
    os.kill(child.pid, signal.SIGKILL)
    assert child.wait() == -signal.SIGKILL
    assert not (out / "adapter").exists()
    record = processes.call("nayru_train.train:train", rows_file, out, recipe, 1, 1, threads=1)
    assert record["resumed"] and record["steps"] == 20
    assert file_hash(out / "adapter" / "adapter_model.safetensors") == file_hash(
        trained / "adapter" / "adapter_model.safetensors")
    assert len((out / "loss.jsonl").read_text().splitlines()) == 20


def test_a_killed_process_is_one_sentence() -> None:
    with pytest.raises(processes.StageError, match=r"ended by signal 9.*run the same command again"):
        processes.call(f"{HERE}:die")


@pytest.mark.skipif(sys.platform == "win32", reason="file size limits are POSIX")
def test_a_full_disk_is_one_sentence(recipe: TrainConfig, rows_file: Path, tmp_path: Path) -> None:
    with pytest.raises(processes.StageError, match="the disk is full or a limit is reached") as raised:
        processes.call(f"{HERE}:train_with_little_room", rows_file, tmp_path, recipe, 200_000, threads=1)
    assert "\n" not in str(raised.value) and not (tmp_path / "adapter").exists()


def test_accumulation_equals_a_batch(recipe: TrainConfig, rows: list[Sample]) -> None:
    """Four rows of unequal answers: one batch of four, or four batches of one accumulated, take the same step."""
    four = sorted(rows, key=lambda row: len(row.target))
    four = [four[0], four[len(four) // 3], four[2 * len(four) // 3], four[-1]]
    whole = processes.call(f"{HERE}:one_step_gradients", recipe, four, 4, 1, threads=1)
    parts = processes.call(f"{HERE}:one_step_gradients", recipe, four, 1, 4, threads=1)
    assert whole == pytest.approx(parts, rel=2e-3) and min(whole) > 0


# --- merging ---------------------------------------------------------------------------------------------------

def check(merged: Path, trained: Path, recipe: TrainConfig, rows: list[Sample]) -> dict[str, float]:
    return dict(processes.call("nayru_train.merge:check", merged, trained / "adapter", recipe, MergeConfig(),
                               rows[80:86], 1, threads=1))


def test_the_merged_model_is_what_was_trained(trained: Path, recipe: TrainConfig, rows: list[Sample],
                                              tmp_path: Path) -> None:
    record = processes.call("nayru_train.merge:merge", trained / "adapter", tmp_path / "merged", recipe, MergeConfig(),
                            1, threads=1)
    assert "dequantised nf4" in record["method"]
    assert check(tmp_path / "merged", trained, recipe, rows)["share"] < 0.1


def test_canary_merge_in_four_bits(trained: Path, recipe: TrainConfig, rows: list[Sample], tmp_path: Path) -> None:
    """The defect put back: the check must stop it."""
    processes.call(f"{HERE}:merge_in_four_bits", trained / "adapter", tmp_path / "merged", recipe, threads=1)
    with pytest.raises(processes.StageError, match="it is not what was trained") as raised:
        check(tmp_path / "merged", trained, recipe, rows)
    assert raised.value.kind == merge.MergeError.__name__


def test_weights_that_a_forward_pass_repacked_are_not_merged(trained: Path, recipe: TrainConfig, rows: list[Sample],
                                                             tmp_path: Path) -> None:
    answer = processes.call(f"{HERE}:merge_after_a_forward_pass", trained / "adapter", tmp_path / "merged", recipe,
                            rows[0], threads=1)
    # Whether weights are repacked depends on the CPU; where they are, merging must refuse.
    assert answer.startswith("refused: ") or answer == "merged, and nothing was repacked"
