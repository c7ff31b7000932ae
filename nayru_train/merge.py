"""Adapter into base: dequantise the NF4 weights the adapter was trained on, then merge. Never merge in 4 bits.

Must run in a process that has made no forward pass: on some CPUs bitsandbytes rewrites 4-bit weights in place at the
first one, and what is dequantised afterwards is garbage without an error. `check` then compares the logits of the
merged model with those of base + adapter, in another fresh process.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

from nayru_train import libraries, render
from nayru_train.config import MergeConfig, TrainConfig
from nayru_train.sample import Sample, file_hash

LARGE = 2_000_000_000      # parameters from which a model is merged in 16 bits


class MergeError(Exception):
    """The merged model is not what was trained; ``str()`` says by how much."""


def merge(adapter: Path | None, out: Path, config: TrainConfig, merging: MergeConfig, threads: int) -> dict[str, Any]:
    """Write the merged model to ``out``. Without an adapter: the dequantised base, the version zero that retrained
    ones are compared with."""
    import bitsandbytes
    import peft

    libraries.quiet(threads)
    model = libraries.load_base(config, quantised=True, place="cpu")     # the memory of the host, not of the GPU
    packed = [name for name, module in model.named_modules() if isinstance(module, bitsandbytes.nn.Linear4bit)
              and getattr(module.weight.quant_state, "packing_format_for_cpu", False)]
    if packed:
        raise MergeError(f"{len(packed)} weights were repacked by a forward pass; merge in a fresh process")
    if config.quantise != "none":
        model = model.dequantize()
    # Adding a small update in 16 bits rounds some of it away; a large model does not fit the host's memory otherwise.
    small = sum(p.numel() for p in model.parameters()) < LARGE
    model = model.float() if small else model.to(libraries.dtype(merging.dtype))
    left = [name for name, module in model.named_modules() if isinstance(module, bitsandbytes.nn.Linear4bit)]
    if left:
        raise MergeError(f"{len(left)} layers are still in 4 bits ({left[0]} ...); merging there would round the "
                         "adapter away")
    if adapter is not None:
        model = peft.PeftModel.from_pretrained(model, str(adapter)).merge_and_unload(safe_merge=True)
    model = model.to(libraries.dtype(merging.dtype))
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    model.config.use_cache = True
    working = out.with_name(out.name + ".part")
    shutil.rmtree(working, ignore_errors=True)
    model.save_pretrained(str(working))
    libraries.tokenizer(config.base).save_pretrained(str(working))
    shutil.rmtree(out, ignore_errors=True)
    os.replace(working, out)
    return {"method": f"dequantised {config.quantise} base, merged in {'float32' if small else merging.dtype}, "
                      f"saved as {merging.dtype}",
            "weights": file_hash(out / "model.safetensors") if (out / "model.safetensors").exists() else file_hash(out)}


def check(merged: Path, adapter: Path, config: TrainConfig, merging: MergeConfig, rows: list[Sample],
          threads: int) -> dict[str, Any]:
    """Mean |difference| of logits, merged against base + adapter, as a share of the adapter's own effect. Raises
    MergeError above ``merging.max_difference``. This process is spoilt for merging afterwards."""
    import peft
    import torch
    from transformers import AutoModelForCausalLM

    libraries.quiet(threads)
    tokenise = libraries.tokenise(libraries.tokenizer(config.base))
    inputs = [torch.tensor([tokenise(rendered.prompt + rendered.answer)])
              for rendered in (render.render(row) for row in rows)]
    model = peft.PeftModel.from_pretrained(libraries.load_base(config, quantised=True), str(adapter)).eval()
    with torch.no_grad():
        trained = [model(input_ids=ids.to(model.device)).logits.float().cpu() for ids in inputs]
        with model.disable_adapter():
            base = [model(input_ids=ids.to(model.device)).logits.float().cpu() for ids in inputs]
    large = sum(p.numel() for p in model.parameters()) >= LARGE
    place = model.device
    del model
    torch.cuda.empty_cache()
    served = AutoModelForCausalLM.from_pretrained(
        str(merged), dtype=torch.bfloat16 if large else torch.float32, device_map=place).eval()
    with torch.no_grad():
        found = [served(input_ids=ids.to(place)).logits.float().cpu() for ids in inputs]
    effect = sum(float((a - b).abs().mean()) for a, b in zip(trained, base, strict=True)) / len(inputs)
    error = sum(float((a - b).abs().mean()) for a, b in zip(trained, found, strict=True)) / len(inputs)
    share = error / effect if effect > 0 else (0.0 if error < 1e-3 else float("inf"))
    record = {"adapter_effect": round(effect, 6), "difference": round(error, 6), "share": round(share, 4)}
    # An adapter that changes next to nothing cannot be told from rounding: then the rounding itself must be small.
    if share > merging.max_difference and error > 0.02:
        raise MergeError(f"the merged model differs from base + adapter by {share:.0%} of the adapter's effect "
                         f"(limit {merging.max_difference:.0%}): it is not what was trained")
    return record
