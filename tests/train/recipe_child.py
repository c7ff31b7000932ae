"""What the recipe tests run in processes of their own (`nayru_train.processes.call`): one heavy thing each."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

from nayru_train import libraries, merge, render, train
from nayru_train.config import MergeConfig, TrainConfig
from nayru_train.sample import Sample


def merge_in_four_bits(adapter: Path, out: Path, config: TrainConfig) -> None:
    """The defect put back: merge inside the 4-bit layers, then store what they hold."""
    import peft
    import torch

    libraries.quiet(1)
    model = peft.PeftModel.from_pretrained(libraries.load_base(config, quantised=True), str(adapter)).merge_and_unload()
    _save(model.dequantize().to(torch.float16), out, config)


def merge_after_a_forward_pass(adapter: Path, out: Path, config: TrainConfig, row: Sample) -> str:
    """The trap: an eval forward pass, then a merge in the same process. The result says whether merging refused."""
    import torch

    libraries.quiet(1)
    loaded = libraries.load_base(config, quantised=True).eval()
    tokenise = libraries.tokenise(libraries.tokenizer(config.base))
    with torch.no_grad():
        loaded(input_ids=torch.tensor([tokenise(render.render(row).prompt)]))
    repacked = any(getattr(getattr(module.weight, "quant_state", None), "packing_format_for_cpu", False)
                   for module in loaded.modules() if hasattr(module, "weight"))
    libraries.load_base = lambda *_, **__: loaded  # type: ignore[assignment]
    try:
        merge.merge(adapter, out, config, MergeConfig(), 1)
    except merge.MergeError as error:
        return f"refused: {error}"
    return "merged, and nothing was repacked" if not repacked else "merged repacked weights"


def one_step_gradients(config: TrainConfig, rows: list[Sample], batch: int, accumulation: int) -> list[float]:
    """The adapter's B matrices after one optimiser step on four rows, flattened: the sum of each."""
    import torch
    from datasets import Dataset
    from peft import LoraConfig, get_peft_model
    from transformers import Trainer, TrainingArguments, set_seed

    libraries.quiet(1)
    set_seed(1)
    tokenizer = libraries.tokenizer(config.base)
    encoded, _ = render.encode_all(rows, libraries.tokenise(tokenizer), 2048, "raise")
    model = get_peft_model(libraries.load_base(config, quantised=False), LoraConfig(
        r=4, lora_alpha=8, lora_dropout=0.0, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM"))
    trainer = Trainer(
        model=model, data_collator=train._collator(tokenizer),
        train_dataset=Dataset.from_list([{"input_ids": row.ids, "labels": row.labels} for row in encoded]),
        args=TrainingArguments(
            output_dir=tempfile.mkdtemp(), per_device_train_batch_size=batch, gradient_accumulation_steps=accumulation,
            max_steps=1, learning_rate=1e-2, optim="sgd", lr_scheduler_type="constant", max_grad_norm=0.0,
            report_to="none", save_strategy="no", disable_tqdm=True, use_cpu=True, remove_unused_columns=False))
    trainer.train()
    with torch.no_grad():
        return [float(value.double().abs().sum()) for name, value in sorted(model.named_parameters())
                if "lora_B" in name]


def train_with_little_room(rows: Path, out: Path, config: TrainConfig, bytes_per_file: int) -> Any:
    """Training where no file may grow beyond a limit: what a full disk looks like to it."""
    import resource
    import signal

    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (bytes_per_file, bytes_per_file))
    return train.train(rows, out, config, 1, 1)


def _save(model: Any, out: Path, config: TrainConfig) -> None:
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    model.save_pretrained(str(out))
    libraries.tokenizer(config.base).save_pretrained(str(out))


def die() -> None:
    os.kill(os.getpid(), 9)
