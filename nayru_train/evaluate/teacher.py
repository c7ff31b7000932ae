"""Log-probabilities of given lines by teacher forcing, on merged weights. Run in a fresh process.

For each row: log p(its own answer | its prompt), and log p(the next row's answer of the same file | its prompt). The
second is what *context gain* subtracts: every answer stands once on both sides, so house style cancels and only the
knowledge of which line belongs where remains (`gate.py`).
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nayru_train import libraries, render
from nayru_train.progress import say
from nayru_train.sample import Sample

TOKENS_PER_BATCH = 6000


def mismatched(rows: Sequence[Sample]) -> dict[str, Sample | None]:
    """Row id -> the row whose answer is set against it: the next one of the same file, in a ring. None in a file with
    one row."""
    files: dict[str, list[Sample]] = {}
    for row in rows:
        files.setdefault(row.cluster, []).append(row)
    out: dict[str, Sample | None] = {}
    for members in files.values():
        for at, row in enumerate(members):
            out[row.id] = members[(at + 1) % len(members)] if len(members) > 1 else None
    return out


def score(model_folder: Path, test: Sequence[Sample], frozen: Sequence[Sample], threads: int, most_tokens: int = 0,
          ) -> dict[str, Any]:
    """{"test": {id: [matched, mismatched]}, "frozen": {id: log p}} in nats, summed over the answer's tokens."""
    import torch
    from transformers import AutoModelForCausalLM

    libraries.quiet(threads)
    started = time.monotonic()
    place = "cuda" if torch.cuda.is_available() else "cpu"
    model = AutoModelForCausalLM.from_pretrained(
        str(model_folder), dtype=torch.bfloat16 if place == "cuda" else torch.float32, device_map=place).eval()
    tokenise = libraries.tokenise(libraries.tokenizer(str(model_folder)))
    others = mismatched(test)
    wanted: list[tuple[tuple[str, str], list[int], list[int]]] = []
    for row in test:
        rendered = render.render(row)
        given = tokenise(rendered.prompt)
        wanted.append(((row.id, "matched"), given, tokenise(rendered.answer)))
        other = others[row.id]
        if other is not None:
            wanted.append(((row.id, "other"), given, tokenise(render.render(other).answer)))
    for row in frozen:
        rendered = render.render(row)
        wanted.append(((row.id, "frozen"), tokenise(rendered.prompt), tokenise(rendered.answer)))
    values: dict[tuple[str, str], float] = {}
    wanted.sort(key=lambda item: len(item[1]) + len(item[2]))
    at = 0
    while at < len(wanted):
        longest = len(wanted[min(len(wanted), at + 64) - 1][1]) + len(wanted[min(len(wanted), at + 64) - 1][2])
        batch = wanted[at : at + max(1, min(64, TOKENS_PER_BATCH // longest))]
        at += len(batch)
        width = max(len(given) + len(answer) for _, given, answer in batch)
        ids = torch.zeros((len(batch), width), dtype=torch.long)
        mask = torch.zeros((len(batch), width), dtype=torch.long)
        for number, (_, given, answer) in enumerate(batch):
            whole = given + answer
            ids[number, : len(whole)] = torch.tensor(whole)
            mask[number, : len(whole)] = 1
        most = max(len(answer) for _, _, answer in batch)
        with torch.no_grad():
            hidden = model.model(input_ids=ids.to(place), attention_mask=mask.to(place), use_cache=False)[0]
            for number, (key, given, answer) in enumerate(batch):
                start = len(given) - 1      # the position that predicts the answer's first token
                logits = model.lm_head(hidden[number, start : start + len(answer)]).float()
                picked = torch.log_softmax(logits, -1).gather(1, torch.tensor(answer, device=place)[:, None])
                values[key] = float(picked.sum())
        del hidden, most
    say("eval", f"{len(values)} lines scored on {model_folder.parent.name or model_folder.name} in "
                f"{time.monotonic() - started:.0f} s")
    return {"test": {row.id: [values[row.id, "matched"], values.get((row.id, "other"))] for row in test},
            "frozen": {row.id: values[row.id, "frozen"] for row in frozen}}
