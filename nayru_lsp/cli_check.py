"""What `nayru check` learns from executing roots: the errors that only execution finds, and which labels there are.

It is done here and now, with the time limit of the settings; a root that takes longer is left out, and that is told.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable
from dataclasses import replace

from nayru_lsp.asm.expand import Cancelled, run
from nayru_lsp.asm.expanded import Expanded, digest, told
from nayru_lsp.asm.packing import pack
from nayru_lsp.asm.problem import Problem
from nayru_lsp.asm.project import Root
from nayru_lsp.cli_symbols import Progress, Reader, image_of
from nayru_lsp.files import Fence, configured_roots, decode
from nayru_lsp.snapshot import Snapshot


def executed(snapshot: Snapshot, folder: str, roots: Iterable[Root], fence: Fence) -> tuple[Snapshot, list[Problem]]:
    """The snapshot with what executing ``roots`` found in it, and the problems that were found."""
    config = snapshot.config
    if not config.user.analysis.expansion:
        return snapshot, []
    named = set(configured_roots(folder, config.projects[folder]))
    found = {root.path: expanded for root in roots
             if (expanded := _executed(root, fence, config.user.analysis.seconds, root in named)) is not None}
    files = snapshot.project.files
    problems = [problem for expanded in found.values()
                for problem in told(expanded, {path: files[path].text for path in expanded.files if path in files})]
    return replace(snapshot, expanded=found), problems


def _executed(root: Root, fence: Fence, seconds: float, named: bool) -> Expanded | None:
    reader, begun = Reader(fence), time.process_time()

    def tick() -> None:
        progress.tick()
        if time.process_time() - begun > seconds:
            raise Cancelled

    with Progress(root.path) as progress:
        try:
            expansion = run(root, reader.read, image_of("", root, fence), tick)
            sections = pack(expansion, dict(root.defines), ())
        except Cancelled:
            print(f"nayru: executing {root.path} takes more than {seconds:g} s (analysis.seconds in your settings): "
                  "errors that only execution finds are not told", file=sys.stderr)
            return None
    return Expanded(sections, named=named,
                    digests={path: digest(decode(path, data).text) for path, data in reader.given.items()})
