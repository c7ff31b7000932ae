"""The predictor as it runs in its worker process: told of files and edits, asked for the lines at a cursor.

Requests are tuples, the verb first (see `Predictor.handle`); answers are plain data. One process, one request at a
time, nothing is read from disk.
"""

from __future__ import annotations

import gc
import os
from typing import Any

from nayru_lsp.assist.local_candidates import Place, following, gather, place_at
from nayru_lsp.assist.local_index import Index, split_lines
from nayru_lsp.assist.local_items import ENDS_FLOW, LABEL, Item, forget_lines, item_of, items_of_line, leading_label
from nayru_lsp.assist.local_layout import Style, continue_line, lay_out, style_at
from nayru_lsp.assist.local_rank import Ranked, rank

GO_ON = 0.7         # a further line is added while it is at least this likely ...
WHOLE = 0.5         # ... and all of them together this likely
CHOICES = 3         # first lines that are tried for what is typed


class Predictor:
    """``cap_mb``: files are added until the index takes about this much memory."""

    def __init__(self, cap_mb: int = 60) -> None:
        self.index = Index(cap_mb)

    def handle(self, request: tuple[Any, ...]) -> Any:
        """One request, the verb first:

        ("add", [(path, text)]) -> lines indexed so far, -1 when the cap is reached; ("open", path, text): what an
        editor holds; ("edit", path, start, end, lines): lines start..end became these -> how many lines there are;
        ("settle", path): index what was edited; ("forget", path);
        ("predict", path, row, column, max_lines, threshold) -> [(text, probability)];
        ("stats",) -> {"lines", "files", "bytes", "resident"}. The others answer None.
        """
        verb, *rest = request
        index = self.index
        if verb == "predict":
            return self.predict(*rest)
        if verb == "edit":
            index.edit(*rest)
            return len(index.files[rest[0]].lines)
        if verb == "add":
            taken = index.add(rest[0])
            forget_lines()
            gc.freeze()         # what is indexed stays: keep collections from walking it again and again
            return index.living if taken == len(rest[0]) else -1
        if verb == "stats":
            return {"lines": index.living, "files": len(index.files), "bytes": index.size,
                    "resident": _memory()}
        if verb == "settle":
            index.settle(rest[0])
        elif verb == "open":
            self.open(*rest)
        elif verb == "forget":
            index.forget(rest[0])
        else:
            raise ValueError(f"unknown request {verb!r}")
        return None

    def open(self, path: str, text: str) -> None:
        """The whole text of an open file: only what differs from the text indexed is looked at."""
        lines = split_lines(text)
        file = self.index.files.get(path)
        if file is None:
            self.index.edit(path, 0, 0, lines)
        elif file.lines != lines:
            old = file.lines
            head = 0
            while head < min(len(old), len(lines)) and old[head] == lines[head]:
                head += 1
            tail = 0
            while tail < min(len(old), len(lines)) - head and old[-1 - tail] == lines[-1 - tail]:
                tail += 1
            self.index.edit(path, head, len(old) - tail, lines[head : len(lines) - tail])
        self.index.settle(path)

    # --- predicting ------------------------------------------------------------------------------------------------

    def predict(self, path: str, row: int, column: int, max_lines: int, threshold: float) -> list[tuple[str, float]]:
        """What could be added at the cursor, best first, with the probability of all of it."""
        file = self.index.files.get(path)
        if file is None or not 0 <= row < len(file.lines) or max_lines < 1:
            return []
        lines, line = file.lines, file.lines[row]
        typed, rest = line[:column], line[column:].strip()
        if (rest and rest[0] != ";") or _in_comment(typed):
            return []
        label, fragment = leading_label(typed)
        style = style_at(lines, row, row + 1)
        wanted = _normalised_start(fragment)
        place = place_at(self.index, lines, row, path=path, before=label, skip=1)
        place.typed = wanted
        ranked = rank(self.index, place, gather(self.index, place), typed=wanted)
        if wanted and not fragment[-1].isspace() and self._is_whole(fragment, wanted, ranked, threshold):
            item = item_of(fragment) or item_of(wanted)
            if item is None:
                return []
            return self._on_the_next_line(following(place, self.index, item), style, item, max_lines, threshold)
        out = []
        next_line = self._text(place.below)
        repeats = next_line == self._text(place.above)      # a run of equal lines may go on
        for choice in ranked[:CHOICES]:
            if choice.text == next_line and not repeats:
                continue        # the cursor stands right before it
            item = item_of(choice.text)
            if item is None or choice.text == wanted or (label and item.kind == LABEL):
                continue
            start = continue_line(fragment if label else typed, lay_out(style, choice.text, indent=not label))
            if not start:
                continue
            text, probability = self._extend(start, choice.probability, item, place, style, max_lines, threshold)
            out.append((text, probability))
            if len(out) == 1 and choice.probability < threshold:
                break
        return out

    def _text(self, numbers: list[int]) -> str:
        return self.index.words.items[numbers[0]].text if numbers else ""

    def _is_whole(self, fragment: str, wanted: str, ranked: list[Ranked], threshold: float) -> bool:
        """Is the typed line finished? It is when it stands so elsewhere and nothing longer is likely."""
        item = item_of(fragment)
        if item is None:
            return False
        longer = max((r.probability for r in ranked if r.text != wanted), default=0.0)
        number = self.index.words.ids.get(item.text, -1)
        known = number >= 0 and self.index.words.count[number] > 0
        return longer < threshold and (known or any(r.text == wanted for r in ranked))

    def _on_the_next_line(self, place: Place, style: Style, item: Item, max_lines: int,
                          threshold: float) -> list[tuple[str, float]]:
        if _ends(item):
            return []
        ranked = rank(self.index, place, gather(self.index, place))
        if not ranked:
            return []
        best = item_of(ranked[0].text)
        if best is None or best.text == self._text(place.below):
            return []
        beside = item.kind == LABEL and best.kind != LABEL and _beside(style, item)
        start = style.behind if beside else "\n"
        start += lay_out(style, best.text, indent=not beside)
        return [self._extend(start, ranked[0].probability, best, place, style, max_lines, threshold)]

    def _extend(self, text: str, probability: float, item: Item, place: Place, style: Style, max_lines: int,
                threshold: float) -> tuple[str, float]:
        """Add further lines while they are likely; stop behind a return or jump, before a main label, before a line
        that stands below already."""
        lines = 1
        floor = max(WHOLE, threshold)
        below = self._text(place.below)
        while lines < max_lines and probability >= floor and not _ends(item):
            place = following(place, self.index, item)
            ranked = rank(self.index, place, gather(self.index, place))
            if not ranked or ranked[0].probability < GO_ON or probability * ranked[0].probability < floor:
                break
            following_item = item_of(ranked[0].text)
            if following_item is None or following_item.shape == "@main" or following_item.text == below:
                break
            beside = item.kind == LABEL and following_item.kind != LABEL and _beside(style, item)
            text += (style.behind if beside else "\n") + lay_out(style, following_item.text, indent=not beside)
            lines += not beside
            probability *= ranked[0].probability
            item = following_item
        return text, probability


def _ends(item: Item) -> bool:
    return item.head.split(":")[-1].split(".")[0] in ENDS_FLOW


def _beside(style: Style, label: Item) -> bool:
    return style.beside.get("run" if label.head[1] in "+-" else label.head, False)


def _in_comment(typed: str) -> bool:
    if ";" not in typed:
        return False
    quoted = False
    for char in typed:
        if char == '"':
            quoted = not quoted
        elif char == ";" and not quoted:
            return True
    return False


def _normalised_start(fragment: str) -> str:
    """How the normalised text of a line begins that begins with ``fragment``."""
    if not fragment.strip():
        return ""
    items, _ = items_of_line(fragment)
    if not items:
        return fragment.strip()
    text = items[-1].text
    if items[-1].kind == LABEL and not fragment.rstrip().endswith(":"):
        text = text.rstrip(":")
    stripped = fragment.strip()
    if fragment[-1].isspace() and " " not in text and text[0] != "%":
        text += " "
    return text if not stripped.endswith(" :") else text + " : "


def _memory() -> int:
    """Resident bytes of this process where the system tells them cheaply, else 0."""
    try:
        with open("/proc/self/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, AttributeError):
        return 0


def serve(cap_mb: int = 60) -> Any:
    """The worker's factory."""
    return Predictor(cap_mb).handle
