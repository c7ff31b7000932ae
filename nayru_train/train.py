"""The QLoRA recipe, read top to bottom: rows -> an adapter.

Loss on answers only (`render.check_mask` proves it for every row). No evaluation in this process: on a CPU
bitsandbytes rewrites the 4-bit weights in place at the first forward without gradients, and neither training nor
merging may follow that. Killed at any moment, the same call goes on from the last checkpoint.
"""

from __future__ import annotations

import json
import math
import os
import shutil
import time
from pathlib import Path
from typing import Any

import msgspec

from nayru_train import libraries, render
from nayru_train.config import TrainConfig
from nayru_train.progress import say
from nayru_train.sample import DataError, canonical, digest_of, file_hash, read_samples


class TrainError(Exception):
    """Training cannot go on; ``str()`` says why and what to do."""


def train(rows_file: Path, out: Path, config: TrainConfig, seed: int, threads: int) -> dict[str, Any]:
    """Train on ``rows_file`` and leave the adapter in ``out/adapter``. Returns the record of the run.

    ``out/checkpoints`` holds what is needed to go on; it is removed at the end. ``out/loss.jsonl`` has a line per step.
    """
    import torch
    from datasets import Dataset
    from peft import LoraConfig, get_peft_model, prepare_model_for_kbit_training
    from transformers import Trainer, TrainerCallback, TrainingArguments, set_seed

    libraries.quiet(threads)
    started = time.monotonic()
    set_seed(seed)

    # 1. Rows. Every one is tokenised, masked and checked before the model is loaded.
    samples = read_samples(rows_file)
    tokenizer = libraries.tokenizer(config.base)
    rows, left_out = render.encode_all(samples, libraries.tokenise(tokenizer), config.max_length, config.over_long)
    if left_out:
        say("train", f"{len(left_out)} rows left out as too long: {', '.join(row for row, _ in left_out[:20])}")
    if not rows:
        raise DataError(f"{rows_file} holds no rows to train on")
    taught = sum(label != render.IGNORED for row in rows for label in row.labels)
    total = sum(len(row.ids) for row in rows)
    data = Dataset.from_list([{"input_ids": row.ids, "labels": row.labels} for row in rows])
    say("train", f"{len(rows)} rows, {total} tokens, {taught} of them carry loss ({100 * taught / total:.0f} %)")

    # 2. Steps.
    per_epoch = math.ceil(len(rows) / (config.batch * config.accumulation))
    epochs = max(config.epochs, config.min_steps / per_epoch)
    steps = max(1, math.ceil(per_epoch * epochs))
    if steps < 200:
        say("train", f"only {steps} steps: below some 200 steps a project is hardly learnt (train.min_steps=200 helps)")

    # 3. The 4-bit base and its adapter.
    model = libraries.load_base(config, quantised=True)
    model.config.use_cache = False
    if config.quantise != "none":
        model = prepare_model_for_kbit_training(model, use_gradient_checkpointing=config.gradient_checkpointing)
    model = get_peft_model(model, LoraConfig(
        r=config.rank, lora_alpha=config.alpha, lora_dropout=config.dropout, target_modules=list(config.targets),
        bias="none", task_type="CAUSAL_LM"))
    trainable = sum(p.numel() for p in model.parameters() if p.requires_grad)

    # 4. The trainer. No evaluation strategy: see the head of this file.
    checkpoints = out / "checkpoints"
    identity = digest_of([file_hash(rows_file), msgspec.to_builtins(config), seed, libraries.versions()])
    resume = _latest_checkpoint(checkpoints, identity)
    arguments = TrainingArguments(
        output_dir=str(checkpoints), per_device_train_batch_size=config.batch,
        gradient_accumulation_steps=config.accumulation, max_steps=steps, learning_rate=config.learning_rate,
        warmup_steps=min(config.warmup_steps, steps // 4), lr_scheduler_type="linear", max_grad_norm=1.0,
        optim="adamw_torch", logging_steps=1, save_strategy="steps", save_steps=config.checkpoint_steps,
        save_total_limit=2, report_to="none", seed=seed, data_seed=seed, remove_unused_columns=False,
        gradient_checkpointing=config.gradient_checkpointing, disable_tqdm=True, dataloader_pin_memory=False,
        use_cpu=not torch.cuda.is_available(), bf16=torch.cuda.is_available() and config.compute_dtype == "bfloat16")
    losses = out / "loss.jsonl"
    history = _history(losses, resume)

    class Progress(TrainerCallback):  # type: ignore[misc]
        def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float] | None = None, **_: Any) -> None:
            if logs and "loss" in logs:
                history.append({"step": state.global_step, "loss": round(logs["loss"], 6)})
                with losses.open("a", encoding="utf-8") as line:
                    line.write(json.dumps(history[-1]) + "\n")
                step = state.global_step
                if not math.isfinite(logs["loss"]):
                    raise TrainError(f"the loss is {logs['loss']} at step {step}; lower train.learning_rate")
                if step % max(1, steps // 12) == 0 or step == steps:
                    say("train", f"{step}/{steps} loss {logs['loss']:.3f}", step / steps, started)

    trainer = Trainer(model=model, args=arguments, train_dataset=data, data_collator=_collator(tokenizer),
                      callbacks=[Progress()])
    trainer.remove_callback(_printer())
    if resume:
        say("train", f"going on from {Path(resume).name}")
    trainer.train(resume_from_checkpoint=resume)

    # 5. The adapter, whole or not at all.
    working = out / "adapter.part"
    shutil.rmtree(working, ignore_errors=True)
    model.save_pretrained(str(working))
    shutil.rmtree(out / "adapter", ignore_errors=True)
    os.replace(working, out / "adapter")
    shutil.rmtree(checkpoints, ignore_errors=True)
    tail = [entry["loss"] for entry in history[-max(1, steps // 10) :]]
    return {"rows": len(rows), "left_out": [row for row, _ in left_out], "tokens": total, "taught_tokens": taught,
            "steps": steps, "trainable": trainable, "first_loss": history[0]["loss"],
            "last_loss": round(sum(tail) / len(tail), 4), "resumed": bool(resume),
            "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu",
            "adapter": file_hash(out / "adapter" / "adapter_model.safetensors"),
            "seconds": round(time.monotonic() - started, 1)}


def _collator(tokenizer: Any) -> Any:
    """Pads a batch on the right; padding carries no loss and no attention."""
    import torch

    pad = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id

    def collate(rows: list[dict[str, list[int]]]) -> dict[str, Any]:
        width = max(len(row["input_ids"]) for row in rows)

        def padded(name: str, filler: int) -> Any:
            return torch.tensor([row[name] + [filler] * (width - len(row[name])) for row in rows])

        mask = [[1] * len(row["input_ids"]) + [0] * (width - len(row["input_ids"])) for row in rows]
        return {"input_ids": padded("input_ids", pad), "labels": padded("labels", render.IGNORED),
                "attention_mask": torch.tensor(mask)}

    return collate


def _latest_checkpoint(folder: Path, identity: str) -> str | None:
    """The newest whole checkpoint of this very run; those of another data set or configuration are thrown away."""
    marker = folder / "identity"
    if not (marker.exists() and marker.read_text(encoding="utf-8") == identity):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True, exist_ok=True)
        marker.write_bytes(identity.encode())
        return None
    whole = [place for place in folder.glob("checkpoint-*") if (place / "trainer_state.json").exists()]
    return str(max(whole, key=lambda place: int(place.name.rpartition("-")[2]))) if whole else None


def _history(losses: Path, resume: str | None) -> list[dict[str, Any]]:
    """The loss lines up to the checkpoint that training goes on from; the file is cut back to them."""
    step = int(Path(resume).name.rpartition("-")[2]) if resume else 0
    kept = []
    if losses.exists():
        for line in losses.read_text(encoding="utf-8").splitlines():
            try:
                entry = json.loads(line)
            except ValueError:
                continue        # cut off when the process was killed
            if entry["step"] <= step:
                kept.append(entry)
    losses.write_bytes(b"".join(canonical(entry) + b"\n" for entry in kept))
    return kept


def _printer() -> Any:
    from transformers import PrinterCallback

    return PrinterCallback
