"""What all heavy stages say to the libraries they use. Imported inside functions only."""

from __future__ import annotations

import contextlib
import errno
import importlib.metadata
import logging
import os
import platform
import warnings
from typing import Any

NAMES = ("torch", "transformers", "peft", "bitsandbytes", "datasets", "accelerate", "tokenizers", "safetensors", "gguf",
         "numpy", "ollama")


class Absent(Exception):
    """The training libraries are not installed; ``str()`` says how to add them."""


def versions() -> dict[str, str]:
    """Name -> version of Python and of the libraries that decide a run's numbers; those not installed are left out."""
    found = {"python": platform.python_version()}
    for name in NAMES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found


def check() -> None:
    """Raises Absent where the `train` extra is missing."""
    absent = [name for name in NAMES if name not in versions()]
    if absent:
        raise Absent(f"{', '.join(absent)} not installed: `pip install 'nayru[train]'` adds them (about 6 GB)")


def quiet(threads: int = 0) -> None:
    """No progress bars of theirs (we print our own lines), no network, ``threads`` threads (0: their choice)."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    import torch
    import transformers

    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", message=".*pin_memory.*")
    warnings.filterwarnings("ignore", message=".*kernels.*")
    if threads:
        torch.set_num_threads(threads)


def dtype(name: str) -> Any:
    import torch

    return getattr(torch, name)


def quantisation(config: Any) -> Any:
    """NF4 as configured, or None for a base in 16 bits. ``config``: TrainConfig."""
    if config.quantise == "none":
        return None
    from transformers import BitsAndBytesConfig

    return BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4",  # type: ignore[no-untyped-call, unused-ignore]
                              bnb_4bit_use_double_quant=config.double_quant,
                              bnb_4bit_compute_dtype=dtype(config.compute_dtype))


def load_base(config: Any, *, quantised: bool, place: str = "") -> Any:
    """The base model on ``place``, by default the best device there is. ``config``: TrainConfig."""
    import torch
    from transformers import AutoModelForCausalLM

    place = place or ("cuda" if torch.cuda.is_available() else "cpu")
    return AutoModelForCausalLM.from_pretrained(
        config.base, quantization_config=quantisation(config) if quantised else None, device_map=place,
        dtype=dtype(config.compute_dtype) if quantised else torch.float32)


def tokenizer(folder: str) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(folder)


def tokenise(loaded: Any) -> Any:
    """text -> ids, control tokens recognised, nothing added: as the server feeds a raw prompt."""
    return lambda text: loaded(text, add_special_tokens=False)["input_ids"]


def report_crash(error: BaseException) -> str:
    """One sentence for what commonly ends a training process."""
    text = str(error) or type(error).__name__
    first = text.splitlines()[0][:300]
    if "out of memory" in text.lower() or isinstance(error, MemoryError):
        return f"the memory did not suffice ({first}); lower train.batch or train.max_length"
    full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EFBIG, errno.EDQUOT)
    # safetensors and torch report a failed write in words of their own
    if full or any(words in text for words in ("No space left", "File too large", "PytorchStreamWriter", "os error 28",
                                               "os error 27")):
        return f"the disk is full or a limit is reached ({first}); free some room and run the same command again"
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename or 'a file'}: {error.strerror}"
    if type(error).__module__.startswith("nayru_"):
        return text
    return f"{type(error).__name__}: {first}"
