"""A Qwen2 model that says what a test wants, made in a tenth of a second without any library.

Its attention and feed-forward weights are zero, so what comes next depends on the last token alone; the output matrix
is chosen so that a *script* follows: after ``<|fim_middle|>`` the completion, after the line end that closes
``<|im_start|>assistant`` the routine, each ended by its stop token. One token per scripted line. Everything else about
it is real: the GGUF form, a byte-level vocabulary (each byte of a prompt is a token), the control tokens, the answer
computed by the server.
"""

from __future__ import annotations

import array
import random
import struct
import sys
from collections.abc import Sequence
from pathlib import Path

from nayru_lsp import prompt

WIDTH, HEADS, FEED_FORWARD = 128, 4, 32
_TYPES = {"u32": 4, "f32": 6, "bool": 7, "str": 8, "array": 9, "i32": 5}


def write(path: Path, *, completion: str, routine: str, context_length: int = 4096, seed: int = 1,
          stop: bool = True) -> Path:
    """A GGUF file. ``stop`` False: the last line of each script follows itself for ever."""
    specials = list(prompt.STOPS)
    bytes_ = [_byte_level(bytes([value])) for value in range(256)]
    said = [line for text in (completion, routine) for line in _lines(text)]
    scripted = list(dict.fromkeys(_byte_level(line.encode()) for line in said))
    tokens = [*bytes_, *(piece for piece in scripted if piece not in bytes_), _byte_level(b"  "), *specials]
    number = {piece: index for index, piece in enumerate(tokens)}
    follows: dict[int, int] = {}

    def script(first: int, text: str, end: str) -> None:
        at = first
        for line in _lines(text):
            piece = number[_byte_level(line.encode())]
            assert at not in follows or follows[at] == piece, f"a scripted line stands twice: {line!r}"
            follows[at] = piece
            at = piece
        follows.setdefault(at, number[end] if stop else at)

    script(number[prompt.FIM_MIDDLE], completion, prompt.END_OF_TEXT)
    script(number[_byte_level(b"\n")], routine, prompt.IM_END)

    draw = random.Random(seed)
    embedding = [[draw.gauss(0, 1) for _ in range(WIDTH)] for _ in tokens]
    output = [[0.0] * WIDTH for _ in tokens]
    for before, after in follows.items():
        norm = sum(x * x for x in embedding[before]) / WIDTH
        for column, x in enumerate(embedding[before]):
            output[after][column] += 40.0 * x / norm / WIDTH
    zeros, ones = [0.0], [1.0]
    kv = WIDTH // 2
    tensors: list[tuple[str, tuple[int, ...], list[float]]] = [
        ("token_embd.weight", (WIDTH, len(tokens)), [x for row in embedding for x in row]),
        ("output.weight", (WIDTH, len(tokens)), [x for row in output for x in row]),
        ("output_norm.weight", (WIDTH,), ones * WIDTH),
        ("blk.0.attn_norm.weight", (WIDTH,), ones * WIDTH),
        ("blk.0.ffn_norm.weight", (WIDTH,), ones * WIDTH),
        ("blk.0.attn_q.weight", (WIDTH, WIDTH), zeros * WIDTH * WIDTH),
        ("blk.0.attn_q.bias", (WIDTH,), zeros * WIDTH),
        ("blk.0.attn_k.weight", (WIDTH, kv), zeros * WIDTH * kv),
        ("blk.0.attn_k.bias", (kv,), zeros * kv),
        ("blk.0.attn_v.weight", (WIDTH, kv), zeros * WIDTH * kv),
        ("blk.0.attn_v.bias", (kv,), zeros * kv),
        ("blk.0.attn_output.weight", (WIDTH, WIDTH), zeros * WIDTH * WIDTH),
        ("blk.0.ffn_gate.weight", (WIDTH, FEED_FORWARD), zeros * WIDTH * FEED_FORWARD),
        ("blk.0.ffn_up.weight", (WIDTH, FEED_FORWARD), zeros * WIDTH * FEED_FORWARD),
        ("blk.0.ffn_down.weight", (FEED_FORWARD, WIDTH), zeros * WIDTH * FEED_FORWARD),
    ]
    kinds = [3 if piece in specials else 1 for piece in tokens]     # 3: a control token
    facts: list[tuple[str, str, object]] = [
        ("general.architecture", "str", "qwen2"), ("general.name", "str", "scripted"), ("general.file_type", "u32", 0),
        ("qwen2.block_count", "u32", 1), ("qwen2.context_length", "u32", context_length),
        ("qwen2.embedding_length", "u32", WIDTH), ("qwen2.feed_forward_length", "u32", FEED_FORWARD),
        ("qwen2.attention.head_count", "u32", HEADS), ("qwen2.attention.head_count_kv", "u32", HEADS // 2),
        ("qwen2.attention.layer_norm_rms_epsilon", "f32", 1e-6), ("qwen2.rope.freq_base", "f32", 10000.0),
        ("tokenizer.ggml.model", "str", "gpt2"), ("tokenizer.ggml.pre", "str", "qwen2"),
        ("tokenizer.ggml.tokens", "array", ("str", tokens)), ("tokenizer.ggml.token_type", "array", ("i32", kinds)),
        ("tokenizer.ggml.merges", "array", ("str", [f"{_byte_level(b' ')} {_byte_level(b' ')}"])),
        ("tokenizer.ggml.eos_token_id", "u32", number[prompt.END_OF_TEXT]),
        ("tokenizer.ggml.padding_token_id", "u32", number[prompt.END_OF_TEXT]),
        ("tokenizer.ggml.add_bos_token", "bool", False),
    ]
    path.write_bytes(_gguf(facts, tensors))
    return path


def _lines(text: str) -> list[str]:
    return text.splitlines(keepends=True)


def _byte_level(data: bytes) -> str:
    """GPT-2's spelling of bytes as printable characters."""
    return "".join(_SPELLING[value] for value in data)


def _spelling() -> list[str]:
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    spelled, extra = [""] * 256, 256
    for value in range(256):
        if value in printable:
            spelled[value] = chr(value)
        else:
            spelled[value] = chr(extra)
            extra += 1
    return spelled


_SPELLING = _spelling()


def _gguf(facts: Sequence[tuple[str, str, object]],
          tensors: Sequence[tuple[str, tuple[int, ...], list[float]]]) -> bytes:
    out = bytearray(b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(facts)))
    for name, kind, value in facts:
        out += _text(name) + struct.pack("<I", _TYPES[kind]) + _value(kind, value)
    place = 0
    for name, shape, _ in tensors:
        out += _text(name) + struct.pack("<I", len(shape)) + struct.pack(f"<{len(shape)}Q", *shape)
        out += struct.pack("<IQ", 0, place)     # 0: 32-bit floats
        size = 4
        for length in shape:
            size *= length
        place += (size + 31) // 32 * 32
    out += bytes(-len(out) % 32)
    for _, _, values in tensors:
        data = array.array("f", values)
        if sys.byteorder == "big":
            data.byteswap()
        out += data.tobytes()
        out += bytes(-len(out) % 32)
    return bytes(out)


def _text(text: str) -> bytes:
    data = text.encode()
    return struct.pack("<Q", len(data)) + data


def _value(kind: str, value: object) -> bytes:
    if kind == "array":
        assert isinstance(value, tuple)
        inner, items = value
        return struct.pack("<IQ", _TYPES[inner], len(items)) + b"".join(_value(inner, item) for item in items)
    if kind == "str":
        return _text(str(value))
    assert isinstance(value, (int, float))
    return struct.pack({"u32": "<I", "i32": "<i", "f32": "<f", "bool": "<?"}[kind], value)
