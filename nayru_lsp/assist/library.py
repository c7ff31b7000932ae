"""The routine library: verified routines of our own, one ``.asm`` each, with the contract in its header.

A header is the comment block at the top: the first line says what the routine does; ``Words:`` are what people call
it; ``Entry:``, ``Exit:`` and ``Uses:`` are its contract. Every routine is run on an emulator by the tests.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from nayru_lsp.asm.text import Span


@dataclass(frozen=True, slots=True)
class Routine:
    """``name``: the file's name. ``text``: code with its header, without ``Words:``; ends with a newline.
    ``label``: the span in ``text`` of the main label that callers use."""

    name: str
    summary: str
    words: frozenset[str]
    text: str
    label: Span

    @property
    def label_name(self) -> str:
        return self.text[self.label.start : self.label.end]


# What people write -> the word the headers use.
_SYNONYMS = {
    "colours": "colour", "colors": "colour", "color": "colour", "palettes": "palette", "sprites": "sprite",
    "objects": "sprite", "object": "sprite", "tiles": "tile", "pads": "joypad", "pad": "joypad", "gamepad": "joypad",
    "controller": "joypad", "controllers": "joypad", "buttons": "button", "multiplies": "multiply",
    "multiplication": "multiply", "mul": "multiply", "times": "multiply", "divides": "divide", "division": "divide",
    "div": "divide", "copies": "copy", "copying": "copy", "clears": "clear", "clearing": "clear", "zero": "clear",
    "zeroes": "clear", "erase": "clear", "waits": "wait", "waiting": "wait", "reads": "read", "reading": "read",
    "poll": "read", "adds": "add", "adding": "add", "addition": "add", "sum": "add", "subtracts": "subtract",
    "subtraction": "subtract", "minus": "subtract", "fills": "fill", "filling": "fill", "hides": "hide",
    "transfers": "transfer", "transferring": "transfer", "upload": "transfer", "uploads": "transfer",
    "numbers": "number", "digits": "digit", "letters": "letter", "text": "string", "message": "string",
    "prints": "draw", "print": "draw", "draws": "draw", "draw": "draw", "display": "draw", "write": "draw",
    "initialise": "init", "initialize": "init", "initialises": "init", "initializes": "init", "initialization": "init",
    "initialisation": "init", "setup": "init", "random": "random", "rng": "random", "prng": "random",
    "vertical": "vblank", "blank": "vblank", "blanking": "vblank", "bytes": "byte", "words": "word",
    "absolute": "abs", "lookup": "look-up", "registers": "register", "converts": "convert", "conversion": "convert",
    "dispatches": "dispatch", "limits": "clamp", "limit": "clamp", "8-bit": "8", "16-bit": "16", "24-bit": "24",
    "32-bit": "32", "8bit": "8", "16bit": "16", "24bit": "24", "hexadecimal": "hex", "memory": "ram",
}
_IDLE_TEXT = """
a an and are as at by bit bits code do down for from function get given in into is it its let make me my of on one or
our put routine set so some snes subroutine that the then this to up use using value values via we which will with
"""
_STRONG_TEXT = """
dma vram cgram oam joypad multiply divide fade nmi vblank decimal bcd random hex mvn wram clamp abs signed memcpy memset
jump table subtract draw hide init palette fill
"""
_IDLE = frozenset(_IDLE_TEXT.split())
_STRONG = frozenset(_STRONG_TEXT.split())      # terms that tell routines apart


def _terms(text: str) -> set[str]:
    found = re.findall(r"[a-z0-9]+(?:-[a-z0-9]+)*", text.lower())
    parts = found + [part for term in found if "-" in term for part in term.split("-")]
    return {_SYNONYMS.get(part, part) for part in parts} - _IDLE


@cache
def routines() -> tuple[Routine, ...]:
    """All routines, by name. Read once from the package's own data."""
    folder = files("nayru_lsp.assist") / "routines"
    return tuple(
        _routine(entry.name.removesuffix(".asm"), entry.read_text(encoding="utf-8"))
        for entry in sorted(folder.iterdir(), key=lambda entry: entry.name) if entry.name.endswith(".asm"))


def _routine(name: str, source: str) -> Routine:
    kept, words, in_words = [], "", False
    for line in source.splitlines():
        in_words = line.startswith("; Words:") or (in_words and line.startswith(";   "))
        if in_words:
            words += " " + line.lstrip("; ").removeprefix("Words:")
        else:
            kept.append(line)
    text = "\n".join(kept) + "\n"
    summary = kept[0].lstrip("; ")
    label = re.search(r"^([A-Za-z_]\w*):", text, re.MULTILINE)
    assert label is not None, f"{name}: no main label"
    return Routine(name, summary, frozenset(_terms(words + " " + name.replace("_", " "))), text, Span(*label.span(1)))


def find(instruction: str, limit: int = 3) -> list[Routine]:
    """The routines that the instruction asks for, best first; empty when none is close.

    Every term that a routine does not know counts against it, so "multiply by a table of tiles" does not answer with
    the first routine that multiplies when the rest of the sentence is about something else.
    """
    wanted = _terms(instruction)
    if not wanted:
        return []
    scored = []
    for routine in routines():
        shared = wanted & routine.words
        weight = sum(2.0 if term in _STRONG else 1.0 for term in shared)
        summary = len(wanted & _terms(routine.summary))
        score = (weight + 0.25 * summary) / (len(wanted) + sum(term in _STRONG for term in wanted))
        if shared & _STRONG and score >= 0.4:
            scored.append((score, -len(routine.words), routine))
    scored.sort(key=lambda item: (-item[0], -item[1], item[2].name))
    return [routine for _, _, routine in scored[:limit]]
