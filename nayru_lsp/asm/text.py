"""Source text as a value: blocks of lines, shared between versions.

Offsets are code points from the start of the file. A line ends at ``\\n``, ``\\r\\n`` or a lone ``\\r`` and
at nothing else (LSP's rule): a form feed or U+2028 is ordinary text.
"""

from __future__ import annotations

from typing import NamedTuple


class Span(NamedTuple):
    """A half-open range of code points in one file: ``start`` included, ``end`` excluded."""

    start: int
    end: int
