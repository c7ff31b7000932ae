"""What a file is assembled under, as far as its project's text tells: mapping mode, optimizer, math mode, bank."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from nayru_lsp.asm.file import ParsedBlock
from nayru_lsp.asm.words import MAPPERS
from nayru_lsp.hookspecs import ParsedFile, Project, Root

MOST_FILES = 400        # of a root that are searched

_MAPPER = "|".join(sorted(MAPPERS))
_DIRECTIVE = re.compile(rf"(?im)^[ \t]*((?:{_MAPPER})\b[^;\r\n]*|(?:optimize|dpbase|math|asar|bank)[ \t][^;\r\n]*)")
_ORG = re.compile(r"(?im)^[ \t]*(?:org|freecode|freedata|freespace|pullpc|base)\b[ \t]*([^;\r\n]*)")
_LITERAL = re.compile(r"\$([0-9A-Fa-f]{5,6})\s*\Z")

# Where nothing is known; elsewhere $80: its registers and mirrors are where most code expects them.
ORIGINS = {"fullsa1rom": 0xC08000, "norom": 0x8000, "sa1rom": 0x8000, "sfxrom": 0x8000}


class Setting(NamedTuple):
    """``lines``: directives to put first; ``mapper``: "" when the project does not say; ``doubtful``: some directive
    is given twice with different arguments, so that widths may come out otherwise."""

    mapper: str
    lines: tuple[str, ...]
    doubtful: bool


def setting_of(project: Project, file: ParsedFile) -> Setting:
    """The settings of the first root that reaches ``file``, else those that the file itself makes."""
    roots = project.roots_of(file.path)
    root = roots[0] if roots else Root(file.path, file.dialect)
    found: dict[str, str] = {}
    doubtful = False
    mapper = root.mapping_mode
    for one in _closure(project, root, file):
        for line in _directives(one):
            words = line.lower().split()
            if words[0] in MAPPERS:
                mapper = mapper or line
                continue
            kind = " ".join(words[:2]) if words[0] in ("optimize", "math") else words[0]
            if kind in ("bank", "dpbase"):      # these change from place to place: width may depend on them
                doubtful = True
                continue
            doubtful |= found.get(kind, line) != line
            found.setdefault(kind, line)
    head = sorted(found.values(), key=lambda line: not line.lower().startswith("asar"))
    return Setting(mapper.split()[0].lower() if mapper else "", (*head, *((mapper,) if mapper else ("lorom",))),
                   doubtful or not mapper)


def origin_of(project: Project, file: ParsedFile, offset: int, mapper: str, depth: int = 0) -> tuple[int, bool]:
    """(address to assemble at, known): the bank of the nearest ``org`` above, in this file or before the line that
    includes it; else a neutral one."""
    for start, block, _ in reversed(file.outlines):
        for at, bank in reversed(_places(block) if start < offset else ()):
            if start + at < offset:
                return (bank | 0x8000, True) if bank >= 0 else (ORIGINS.get(mapper, 0x808000), False)
    for path in project.includers(file.path)[:1] if depth < 4 else ():
        includer = project.files[path]
        for include in includer.includes:
            if not include.opaque and project.resolve_include(path, include.name) == file.path:
                return origin_of(project, includer, include.span.start, mapper, depth + 1)
    return ORIGINS.get(mapper, 0x808000), False


def _closure(project: Project, root: Root, file: ParsedFile) -> Iterator[ParsedFile]:
    seen: set[str] = set()
    waiting = [path for path in (root.prelude, root.path) if path]
    waiting.reverse()
    while waiting and len(seen) < MOST_FILES:
        path = waiting.pop()
        if path in seen:
            continue
        seen.add(path)
        if (one := project.files.get(path)) is not None:
            yield one
            waiting.extend(reversed(project.graph.edges.get(path, ())))
    if file.path not in seen:
        yield file


def _directives(file: ParsedFile) -> Iterator[str]:
    for block in file.blocks:
        found = block.notes.get(_directives)
        if found is None:
            found = block.notes[_directives] = _directives_in(block)
        assert isinstance(found, tuple)
        yield from found


def _directives_in(block: ParsedBlock) -> tuple[str, ...]:
    return tuple(match[1].strip() for match in _DIRECTIVE.finditer(block.text))


def _places(block: ParsedBlock) -> tuple[tuple[int, int], ...]:
    """(position, bank as $xx0000 or -1 when it is not written out) of each directive of a block that moves the PC."""
    found = block.notes.get(_places)
    if found is None:
        out = []
        for match in _ORG.finditer(block.text):
            literal = _LITERAL.search(match[1].strip()) if match[0].lstrip()[:3].lower() == "org" else None
            out.append((match.start(), int(literal[1], 16) & 0xFF0000 if literal else -1))
        found = block.notes[_places] = tuple(out)
    assert isinstance(found, tuple)
    return found
