"""Every prompt text there is: completion (FIM), generation and repair (ChatML), the Modelfile. Pure.

Server, trainer and evaluator all render here and nowhere else, so a model is asked in the form it was trained on.
`RENDERER` names that form and is kept in every sample: change it whenever the bytes of a prompt change. Token and
layout facts are those of the Qwen2.5-Coder model card (repository-level fill-in-the-middle, ChatML).

Text of the user's that spells a control token (``<|fim_middle|>`` in a comment) is defused by `plain`: in a raw
prompt it would otherwise be read as the token.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from nayru_lsp.config import OllamaConfig
from nayru_lsp.contract import Fragment

RENDERER = "nayru-1"
BASE = "qwen2.5-coder:7b-instruct"
BASE_SIZE = "about 4.7 GB"

FIM_PREFIX, FIM_SUFFIX, FIM_MIDDLE, FIM_PAD = "<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>", "<|fim_pad|>"
REPO_NAME, FILE_SEP = "<|repo_name|>", "<|file_sep|>"
IM_START, IM_END, END_OF_TEXT = "<|im_start|>", "<|im_end|>", "<|endoftext|>"

STOPS: tuple[str, ...] = (
    END_OF_TEXT, FIM_PREFIX, FIM_SUFFIX, FIM_MIDDLE, FIM_PAD, REPO_NAME, FILE_SEP, IM_START, IM_END,
)
"""Where an answer ends, whatever was asked. One list for all requests and for the Modelfile."""

SYSTEM = """\
You are Nayru, a specialist in 65816 assembly for the Super Nintendo (SNES), written for the Asar assembler.

You write clean code that assembles as it stands:
- Comments say what a routine expects, what it returns, which registers and which widths of A and X/Y it changes, \
and why a step is needed.
- A is 8 or 16 bits wide by the M flag, X and Y by the X flag. Set the width with SEP and REP before an immediate \
needs it, write immediates in that width (#$12 or #$1234), and leave the widths as the caller had them.
- Choose the addressing mode on purpose: direct page for $00-$FF, absolute within the data bank, absolute long \
(.l) across banks, (dp),Y and [dp],Y for pointers. End a routine called by JSR with RTS, one called by JSL with RTL.
- org takes a SNES address that fits the mapping mode: LoROM maps ROM at $8000-$FFFF of each bank ($008000 is the \
start of the file), HiROM maps whole banks from $C00000 on.
- Hardware registers by their right address and width: $2100-$213F PPU, $2140-$2143 APU, $2180-$2183 WRAM port, \
$4200-$421F CPU, $43x0-$43xA DMA. VRAM, CGRAM and OAM are written in forced blank or vertical blank only.
- Use the names, defines and macros of the project where they exist; never invent a label that nothing defines.

Answer with assembly source only. What there is to say goes into comments.\
"""

TEMPLATE = """\
{{- if .Suffix }}<|fim_prefix|>{{ .Prompt }}<|fim_suffix|>{{ .Suffix }}<|fim_middle|>
{{- else }}
{{- if .System }}<|im_start|>system
{{ .System }}<|im_end|>
{{ end }}
{{- range .Messages }}
{{- if ne .Role "system" }}<|im_start|>{{ .Role }}
{{ .Content }}<|im_end|>
{{ end }}
{{- end }}<|im_start|>assistant
{{ end }}"""
"""The Modelfile's TEMPLATE. It renders exactly what `chat` and a bare `fim` render; a test asks a real Ollama."""

_CONTROL = re.compile(r"<\|(?=[A-Za-z_]+\|>)")


def plain(text: str) -> str:
    """``text`` with nothing in it that a tokenizer reads as a control token."""
    return _CONTROL.sub("<| ", text)


# --- completion ------------------------------------------------------------------------------------------------

def fim(prefix: str, suffix: str, *, path: str = "", repo: str = "", fragments: Iterable[Fragment] = ()) -> str:
    """The raw prompt of a completion: fragments as files of a repository, then the file with its gap.

    Without ``path`` it is the bare three-token form. The order serves prompt caches, which keep a common *prefix*
    only: what changes least stands first, what changes with each key (``prefix``'s end, ``suffix``) last.
    """
    parts: list[str] = []
    if path:
        parts.append(f"{REPO_NAME}{plain(repo or 'project')}\n")
        parts += [f"{FILE_SEP}{plain(fragment.title)}\n{plain(fragment.text)}\n" for fragment in fragments]
        parts.append(f"{FILE_SEP}{plain(path)}\n")
    parts += (FIM_PREFIX, plain(prefix), FIM_SUFFIX, plain(suffix), FIM_MIDDLE)
    return "".join(parts)


# --- generation and repair -------------------------------------------------------------------------------------

class Turn(NamedTuple):
    """One message: ``role`` is "user" or "assistant"."""

    role: str
    text: str


def chat(turns: Iterable[Turn], *, system: str = SYSTEM) -> str:
    """ChatML up to where the assistant's answer begins."""
    parts = [f"{IM_START}system\n{plain(system)}{IM_END}\n"] if system else []
    parts += [f"{IM_START}{role}\n{plain(text)}{IM_END}\n" for role, text in turns]
    return "".join(parts) + f"{IM_START}assistant\n"


def answer(text: str) -> str:
    """What a model is taught to write after `chat`: the text and the token that ends it."""
    return plain(text) + IM_END


def completed(text: str) -> str:
    """What a model is taught to write after `fim`: the middle and the token that ends it."""
    return plain(text) + END_OF_TEXT


def wish(instruction: str, *, path: str = "", before: str = "", after: str = "",
         fragments: Iterable[Fragment] = ()) -> Turn:
    """The user's turn that asks for a routine: the wish, then what there is to know about its place."""
    parts = [instruction.strip()]
    parts += [f"{fragment.title}:\n{fragment.text}" for fragment in fragments]
    if before.strip():
        parts.append(f"Above it in {path or 'the file'}:\n{_fenced(before)}")
    if after.strip():
        parts.append(f"Below it:\n{_fenced(after)}")
    return Turn("user", "\n\n".join(parts))


def repair(code: str, complaints: Sequence[str]) -> tuple[Turn, Turn]:
    """The assistant's earlier code and the user's turn that says what is wrong with it."""
    listed = "\n".join(f"- {complaint}" for complaint in complaints)
    return (Turn("assistant", code.rstrip("\n")),
            Turn("user", f"This does not hold:\n{listed}\n\nWrite the whole routine again with that put right."))


def _fenced(code: str) -> str:
    return "```asm\n" + code.strip("\n") + "\n```"


# --- sampling --------------------------------------------------------------------------------------------------

@dataclass(frozen=True, slots=True)
class Sampling:
    """How an answer is drawn, as Ollama's options. ``num_ctx`` is the same in every request of a session: Ollama
    reloads the model (seconds) when it changes."""

    temperature: float
    top_p: float
    num_ctx: int
    num_predict: int
    stop: tuple[str, ...] = STOPS

    def options(self) -> dict[str, Any]:
        return {"temperature": self.temperature, "top_p": self.top_p, "num_ctx": self.num_ctx,
                "num_predict": self.num_predict, "stop": list(self.stop)}


def completing(config: OllamaConfig, max_lines: int) -> Sampling:
    """Ghost text: the likeliest continuation, never drawn by chance; a 65816 line is 10 to 16 tokens."""
    return Sampling(0.0, 1.0, config.num_ctx, min(config.num_ctx // 4, 24 * max(1, max_lines) + 8))


def generating(config: OllamaConfig) -> Sampling:
    """A routine: the user's temperature and top_p, and what the prompt leaves of the context."""
    return Sampling(config.temperature, config.top_p, config.num_ctx, config.num_ctx // 4)


def prompt_tokens(num_ctx: int) -> int:
    """How many tokens a prompt may have: three quarters of the context, the rest is the answer's."""
    return num_ctx * 3 // 4


# --- the Modelfile ---------------------------------------------------------------------------------------------

PARAMETERS: tuple[tuple[str, str], ...] = (
    ("temperature", "0.5"), ("top_p", "0.85"), ("num_ctx", "4096"), *(("stop", f'"{stop}"') for stop in STOPS),
)


def modelfile(from_: str = BASE, *, adapter: str = "", licences: Sequence[str] = ()) -> str:
    """The Ollama recipe. ``from_``: an Ollama model, a GGUF file or a folder of safetensors; ``adapter``: a GGUF
    LoRA; ``licences``: full texts or names, the base model's first. ValueError for text no Modelfile can hold."""
    for line in (from_, adapter):
        if any(ord(c) < 32 for c in line):
            raise ValueError(f"a path with a control character cannot stand in a Modelfile: {line!r}")
    if not from_.strip():
        raise ValueError("a Modelfile needs a FROM")
    for licence in licences:
        if '"""' in licence:
            raise ValueError('a licence text that holds """ cannot stand in a Modelfile')
    parts = [
        "# Nayru's model in Ollama: `nayru model create`, or `ollama create nayru -f` this file.",
        "# Made by nayru_lsp/prompt.py, where every prompt is rendered; a test proves that both agree.",
        f"FROM {from_}",
    ]
    if adapter:
        parts.append(f"ADAPTER {adapter}")
    parts.append(f'\nTEMPLATE """{TEMPLATE}"""')
    parts.append(f'\nSYSTEM """{SYSTEM}"""\n')
    parts += [f"PARAMETER {name} {value}" for name, value in PARAMETERS]
    parts += [f'\nLICENSE """{licence}"""' for licence in licences]
    return "\n".join(parts) + "\n"


def parameters() -> dict[str, Any]:
    """`PARAMETERS` as Ollama's create call takes them."""
    return {"temperature": 0.5, "top_p": 0.85, "num_ctx": 4096, "stop": list(STOPS)}
