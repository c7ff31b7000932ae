"""Sample -> prompt and answer through `nayru_lsp.prompt` -> token ids with the loss on the answer alone.

Prompt and answer are tokenised apart, as they are when the model is served: the answer begins where Ollama begins to
sample. Rows that are too long are listed, never cut.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from nayru_lsp import prompt
from nayru_lsp.contract import Fragment
from nayru_train.sample import DataError, Sample

IGNORED = -100      # a label that carries no loss, as torch's cross entropy has it

Tokenise = Callable[[str], list[int]]


class TooLong(DataError):
    """Rows that do not fit; ``ids`` lists them."""

    def __init__(self, found: Sequence[tuple[str, int]], limit: int) -> None:
        self.ids = tuple(sample_id for sample_id, _ in found)
        listed = ", ".join(f"{sample_id} ({length} tokens)" for sample_id, length in found[:20])
        more = f" and {len(found) - 20} more" if len(found) > 20 else ""
        super().__init__(f"{len(found)} rows are longer than train.max_length={limit}: {listed}{more}. Nothing was "
                         "cut. Raise train.max_length, delete the rows, or set train.over_long=drop")


class MaskError(DataError):
    """The loss would fall on tokens that the model is given, or on nothing."""


@dataclass(frozen=True, slots=True)
class Rendered:
    """``prompt`` is what the model is given, ``answer`` what it is taught to write, its end token included."""

    prompt: str
    answer: str


@dataclass(frozen=True, slots=True)
class Encoded:
    """``labels`` equal ``ids`` on the answer and are `IGNORED` on the prompt."""

    id: str
    ids: list[int]
    labels: list[int]


def render(sample: Sample) -> Rendered:
    if sample.kind == "completion":
        given = sample.prompt or prompt.fim(sample.prefix, sample.suffix, path=sample.path, repo=sample.project)
        return Rendered(given, prompt.completed(sample.target))
    if sample.prompt:
        return Rendered(sample.prompt, prompt.answer(sample.target))
    fragments = (Fragment("Input", sample.input),) if sample.input.strip() else ()
    wish = prompt.wish(sample.instruction, path=sample.path, before=sample.prefix, after=sample.suffix,
                       fragments=fragments)
    return Rendered(prompt.chat([wish]), prompt.answer(sample.target))


def encode(sample: Sample, tokenise: Tokenise) -> Encoded:
    rendered = render(sample)
    given, answer = tokenise(rendered.prompt), tokenise(rendered.answer)
    return Encoded(sample.id, given + answer, [IGNORED] * len(given) + answer)


def encode_all(samples: Iterable[Sample], tokenise: Tokenise, max_length: int, over_long: str,
               ) -> tuple[list[Encoded], list[tuple[str, int]]]:
    """(rows, [(id, length) of the rows left out for their length]). Raises TooLong unless ``over_long`` is "drop";
    raises MaskError where a row teaches nothing."""
    rows: list[Encoded] = []
    too_long: list[tuple[str, int]] = []
    for sample in samples:
        row = encode(sample, tokenise)
        if len(row.ids) > max_length:
            too_long.append((sample.id, len(row.ids)))
            continue
        check_mask(row, tokenise(render(sample).answer))
        rows.append(row)
    if too_long and over_long != "drop":
        raise TooLong(too_long, max_length)
    return rows, too_long


def check_mask(row: Encoded, answer: Sequence[int]) -> None:
    """The loss covers the answer to its last token, and nothing else. Raises MaskError."""
    taught = [label for label in row.labels if label != IGNORED]
    if not taught:
        raise MaskError(f"row {row.id} teaches nothing: its answer is empty")
    if len(row.labels) != len(row.ids):
        raise MaskError(f"row {row.id}: {len(row.ids)} tokens but {len(row.labels)} labels")
    if taught != list(answer) or row.ids[-len(answer) :] != list(answer):
        raise MaskError(f"row {row.id}: the loss covers {len(taught)} tokens, the answer has {len(answer)}; prompt "
                        "tokens must not be trained on and no answer may be cut")
