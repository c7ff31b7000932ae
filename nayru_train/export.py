"""What Ollama is given: the merged folder put right for it, the adapter as GGUF, and the Modelfile beside them.

Two traps are closed here. transformers 5 writes ``rope_theta`` inside ``rope_parameters`` only; Ollama then takes 0 and
computes NaN, so it is written at the top level too (and read back after registering, `registry.py`). And GGUF stores
alpha, not scale: plain LoRA only, whose scale is alpha / rank on both sides.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from nayru_lsp import prompt
from nayru_train.sample import Sample, file_hash

# The names of Qwen2's seven projections, transformers -> GGUF. Qwen2 needs no permutation of rows.
GGUF_NAMES = {"self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
              "self_attn.o_proj": "attn_output", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up",
              "mlp.down_proj": "ffn_down"}


class ExportError(Exception):
    """This model or adapter cannot be served as it is; ``str()`` says why."""


def fix_config(folder: Path) -> float:
    """Write ``rope_theta`` at the top level of ``folder/config.json``; the result is its value."""
    path = folder / "config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    theta = config.get("rope_theta") or (config.get("rope_parameters") or {}).get("rope_theta")
    if not theta:
        raise ExportError(f"{path} names no rope_theta: Ollama would compute with 0")
    config["rope_theta"] = float(theta)
    temporary = path.with_name("config.json.part")
    temporary.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    os.replace(temporary, path)
    return float(theta)


def check_vocabulary(folder: Path) -> None:
    """The embedding has a row per token and none more: pad rows come back from Ollama as ``[PAD...]`` text."""
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    tokenizer = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    highest = max([*tokenizer["model"]["vocab"].values(), *(token["id"] for token in tokenizer["added_tokens"])])
    if config["vocab_size"] < highest + 1:
        raise ExportError(f"the tokenizer has {highest + 1} tokens, the model {config['vocab_size']} rows")


def write_adapter(adapter: Path, out: Path) -> dict[str, Any]:
    """A PEFT LoRA folder as a GGUF adapter. Raises ExportError for what GGUF cannot say (DoRA, rsLoRA, biases)."""
    import gguf
    import numpy
    from safetensors import safe_open

    settings = json.loads((adapter / "adapter_config.json").read_text(encoding="utf-8"))
    for name in ("use_dora", "use_rslora"):
        if settings.get(name):
            raise ExportError(f"{name} has no GGUF form; serve the merged model (export.serve=merged)")
    if settings.get("bias", "none") != "none" or settings.get("rank_pattern") or settings.get("alpha_pattern"):
        raise ExportError("biases and per-layer ranks have no GGUF form; serve the merged model")
    temporary = out.with_name(out.name + ".part")
    writer = gguf.GGUFWriter(str(temporary), "qwen2")
    writer.add_type("adapter")
    writer.add_string("adapter.type", "lora")
    writer.add_float32("adapter.lora.alpha", float(settings["lora_alpha"]))
    count = 0
    with safe_open(str(adapter / "adapter_model.safetensors"), framework="pt") as tensors:
        for key in sorted(tensors.keys()):
            # base_model.model.model.layers.N.self_attn.q_proj.lora_A.weight
            layer, _, rest = key.partition("layers.")[2].partition(".")
            module, _, half = rest.removesuffix(".weight").rpartition(".lora_")
            if not layer.isdigit() or module not in GGUF_NAMES or half not in ("A", "B"):
                raise ExportError(f"the adapter holds {key}, which has no place in a Qwen2 GGUF")
            values = tensors.get_tensor(key).float().numpy().astype(numpy.float32)
            writer.add_tensor(f"blk.{layer}.{GGUF_NAMES[module]}.weight.lora_{half.lower()}", values)
            count += 1
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    os.replace(temporary, out)
    return {"tensors": count, "alpha": settings["lora_alpha"], "rank": settings["r"], "sha256": file_hash(out)}


def licences(base_licence: str, base: str, samples: Iterable[Sample]) -> list[str]:
    """One line for the base model, one for each licence among the rows, with how many rows have it."""
    rows = Counter((sample.licence, sample.source) for sample in samples)
    return [f"Base model {base}: {base_licence}"] + [
        f"{count} training rows ({source}): {licence}" for (licence, source), count in sorted(rows.items())]


def write_modelfile(path: Path, from_: str, adapter: str, licence_lines: list[str]) -> None:
    """The recipe a user can read and run by hand; the text comes from `nayru_lsp.prompt` alone."""
    path.write_text(prompt.modelfile(from_, adapter=adapter,
                                     licences=[line.replace('"""', "'''") for line in licence_lines]), encoding="utf-8")
