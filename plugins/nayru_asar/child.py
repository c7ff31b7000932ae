"""What runs in a worker process: one Asar library, asked with plain data."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from nayru_asar.library import Library

_WARM = b"lorom\norg $008000\nmacro m(a)\nlda <a>\nendmacro\n!d = $12\nx:\n%m(!d)\nbra x\nfoo\n"


def serve(library: str) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """Load ``library`` and use it once, so that the first request finds everything imported and in memory (files are
    out of reach from then on). Requests are the arguments of `Library.patch`, or {} for the version alone."""
    asar = Library(library)
    asar.patch("/warm.asm", {"/warm.asm": _WARM})

    def handle(request: dict[str, Any]) -> dict[str, Any]:
        answer = asar.patch(**request) if request else {}
        answer["version"] = asar.version
        return answer

    return handle
