"""The rehearsal's base model, made on the spot: a Qwen2 of a few million parameters and its own tokenizer.

The tokenizer is a byte-level BPE with Qwen2's pre-tokenizer and the real FIM and ChatML control tokens. The model is
trained for about a minute on generated projects (`generated.py`), well enough that a retrain can be measured. Nothing
is downloaded and nothing here is anybody else's. The result is kept and made again only when its recipe changes.
"""

from __future__ import annotations

import json
import math
import os
import random
import shutil
import time
from pathlib import Path
from typing import Any

import msgspec

from nayru_lsp import prompt
from nayru_train import generated, render, sources, split
from nayru_train.config import CollectConfig, RehearsalConfig
from nayru_train.progress import say
from nayru_train.sample import Sample, canonical, digest_of, file_hash

VERSION = 1                     # of the recipe below
BASE_SEED, BASE_SHARE = 5, 0.15     # which families of the base projects are never trained on: the frozen ones
BASE_PER_FILE, SERVED_TOKENS = 9, 1200
PROMPT_WEIGHT = 0.25            # of prompt tokens in pre-training; retraining gives them none

_PRE_TOKENIZER = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
    r"|\s+(?!\S)|\s+"
)                               # Qwen2's own: Ollama recognises the tokenizer by the hash of this text
CONTROL = (prompt.END_OF_TEXT, prompt.IM_START, prompt.IM_END, prompt.FIM_PREFIX, prompt.FIM_MIDDLE,
           prompt.FIM_SUFFIX, prompt.FIM_PAD, prompt.REPO_NAME, prompt.FILE_SEP)


def base_folder(data: Path, config: RehearsalConfig) -> Path:
    """Where the base of this recipe lies; a change of the generator or of the prompts makes another one."""
    recipe = [VERSION, msgspec.to_builtins(config), prompt.RENDERER, file_hash(Path(generated.__file__))]
    return data / "rehearsal" / digest_of(recipe)[:16]


def base_projects(folder: Path, config: RehearsalConfig) -> list[Path]:
    """Write the generated base projects below ``folder`` (once) and return their folders."""
    out = []
    for number in range(config.projects):
        place = folder / "projects" / f"base{number}"
        if not (place / "main.asm").exists():
            write_project(place, 1000 + 100 * config.seed + number, 100)
        out.append(place)
    return out


def write_project(folder: Path, seed: int, files: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in sorted(generated.project(seed, files).items(), key=lambda item: item[0] == "main.asm"):
        (folder / name).write_text(text, encoding="utf-8", newline="\n")      # main.asm last: it marks the end


def base_rows(folder: Path, config: RehearsalConfig, collect: CollectConfig, per_file: int = BASE_PER_FILE,
              ) -> list[Sample]:
    """All rows of the base projects, frozen families included."""
    rows: list[Sample] = []
    for place in base_projects(folder, config):
        rows += sources.from_checkout(place, collect, config.seed, source="generated",
                                      licence=generated.LICENCE, per_file=per_file).samples
    return rows


def is_frozen(sample: Sample) -> bool:
    return split.is_test(sample.family, BASE_SEED, BASE_SHARE)


def ensure_base(data: Path, config: RehearsalConfig, collect: CollectConfig, threads: int = 1) -> Path:
    """The folder of the base model (transformers' layout), made if it is not there. Call in a process of its own."""
    folder = base_folder(data, config)
    model = folder / "model"
    if (model / "done.json").exists():
        return model
    # Mostly short windows, which are quick to learn from; some prompts as long as the server's, so that the model has
    # seen their layout.
    long = msgspec.structs.replace(collect, prompt_tokens=SERVED_TOKENS)
    rows = [row for row in [*base_rows(folder, config, collect), *base_rows(folder, config, long, per_file=1)]
            if not is_frozen(row)]
    working = folder / "model.part"
    shutil.rmtree(working, ignore_errors=True)
    working.mkdir(parents=True)
    tokenizer = make_tokenizer(rows, config.vocabulary)
    tokenizer.save_pretrained(working)
    record = _pretrain(rows, tokenizer, config, working, threads)
    (working / "done.json").write_bytes(canonical(record))
    os.replace(working, model)
    return model


def make_tokenizer(rows: list[Sample], vocabulary: int) -> Any:
    """A fast tokenizer trained on the rows' texts, with the system prompt's words among them."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import Qwen2TokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(_PRE_TOKENIZER), "isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=vocabulary - len(CONTROL), show_progress=False,
                                  initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()))
    texts = [f"{row.prefix}{row.target}{row.suffix}\n{row.path}" for row in rows]
    tokenizer.train_from_iterator([*texts, *([prompt.SYSTEM] * (1 + len(texts) // 200))], trainer)
    tokenizer.add_special_tokens(list(CONTROL))
    return Qwen2TokenizerFast(tokenizer_object=tokenizer, unk_token=None, bos_token=None, eos_token=prompt.END_OF_TEXT,
                              pad_token=prompt.END_OF_TEXT, model_max_length=4096)


def _pretrain(rows: list[Sample], tokenizer: Any, config: RehearsalConfig, out: Path, threads: int) -> dict[str, Any]:
    import torch
    from transformers import Qwen2Config, Qwen2ForCausalLM

    from nayru_train.libraries import quiet

    quiet(threads)

    torch.manual_seed(config.seed)
    model = Qwen2ForCausalLM(Qwen2Config(
        vocab_size=len(tokenizer), hidden_size=config.hidden, num_hidden_layers=config.layers,
        num_attention_heads=config.heads, num_key_value_heads=config.kv_heads, intermediate_size=config.mlp,
        max_position_embeddings=4096, tie_word_embeddings=True,
        rope_parameters={"rope_type": "default", "rope_theta": 10000.0},
        bos_token_id=None, eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.eos_token_id))
    draw = random.Random(config.seed)
    wanted = min(len(rows), config.steps * config.batch)
    encoded = [render.encode(row, lambda text: tokenizer(text)["input_ids"]) for row in draw.sample(rows, wanted)]
    encoded.sort(key=lambda row: len(row.ids))
    batches = [encoded[at : at + config.batch] for at in range(0, len(encoded), config.batch)]
    order = [at for _ in range(math.ceil(config.steps / len(batches)))
             for at in draw.sample(range(len(batches)), len(batches))][: config.steps]
    optimizer = torch.optim.AdamW(model.parameters(), lr=config.learning_rate, betas=(0.9, 0.95), weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: min(
        (step + 1) / 40, max(0.05, 0.5 + 0.5 * math.cos(math.pi * step / len(order)))))
    started, smooth, answer_loss = time.monotonic(), 0.0, 0.0
    model.train()
    for step, at in enumerate(order, 1):
        batch = batches[at]
        width = max(len(row.ids) for row in batch)
        ids = torch.tensor([row.ids + [tokenizer.eos_token_id] * (width - len(row.ids)) for row in batch])
        # 1 on answers, PROMPT_WEIGHT on prompts, 0 on padding
        weight = torch.tensor([[PROMPT_WEIGHT if label == render.IGNORED else 1.0 for label in row.labels]
                               + [0.0] * (width - len(row.ids)) for row in batch])[:, 1:]
        with torch.autocast("cpu", dtype=torch.bfloat16):
            logits = model(input_ids=ids, use_cache=False).logits
        losses = torch.nn.functional.cross_entropy(logits[:, :-1].float().transpose(1, 2), ids[:, 1:],
                                                   reduction="none")
        loss = (losses * weight).sum() / weight.sum()
        loss.backward()  # type: ignore[no-untyped-call, unused-ignore]
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad(set_to_none=True)
        told = weight == 1.0
        answer_loss = float(losses.detach()[told].mean())
        smooth = answer_loss if step == 1 else 0.95 * smooth + 0.05 * answer_loss
        if step % 50 == 0 or step == len(order):
            say("base", f"{step}/{len(order)} loss {smooth:.3f}", step / len(order), started)
    model.save_pretrained(out)
    return {"version": VERSION, "config": msgspec.to_builtins(config), "rows": len(encoded),
            "parameters": sum(p.numel() for p in model.parameters()), "loss": round(smooth, 4),
            "seconds": round(time.monotonic() - started, 1), "licence": generated.LICENCE,
            "tokenizer": len(json.dumps(tokenizer.get_vocab()))}
