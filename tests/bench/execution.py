"""Executing a root: cold and warm beside Asar itself, one key, growth with the size of the project."""

from __future__ import annotations

import gc
import os
import pickle
import random
import tempfile
import time
from pathlib import Path

from nayru_lsp.asm.live import Live
from nayru_lsp.asm.project import Root
from nayru_lsp.asm.state import Read
from nayru_lsp.expansion_work import Service
from nayru_lsp.files import Fence
from tests.expansion import CORPORA, Job, job_of, theirs, with_stand_ins
from tests.kit import find_part

Row = tuple[str, str, str, bool | None]
KEYS = 40
COLD, WARM, KEY, EVERYTHING, CACHED = 5.0, 1.0, 0.100, 1.5, 0.2


def generated(folder: Path, program: list[str]) -> Job:
    """``program``: texts of 20,000 lines each, as files of one root over many banks."""
    lines = ["norom"]
    for number, text in enumerate(program):
        name = f"part{number}.asm"
        body = "\n".join(text.split("\n")[2:]).replace("Routine_", f"R{number}_").replace("Table_", f"T{number}_")
        (folder / name).write_text(body)
        lines += [f"org ${number:02X}0000", f'incsrc "{name}"']
    root = folder / "root.asm"
    root.write_text("\n".join(lines) + "\n")
    return Job(Root(root.resolve().as_posix()))


def measured(folder: Path, name: str, job: Job, asar: Path | None, budget: bool) -> list[Row]:
    texts = dict(job.memory)

    def read(path: str) -> bytes | None:
        if path in texts:
            return texts[path]
        try:
            return Path(path).read_bytes()
        except OSError:
            return None

    result = theirs(job, asar) if asar is not None else None
    peer = result.seconds if result is not None else 0.0
    gc.collect()
    gc.disable()
    begun = time.process_time()
    live = Live(job.root, read, job.base)
    placed = time.process_time() - begun
    live.expansion.data()
    cold = time.process_time() - begun
    gc.freeze()
    prepared = live._machine.prepared
    biggest = max((path for path, lines in prepared.items() if lines), default=job.root.path,
                  key=lambda path: len(prepared[path] or ()))
    rows = (read(biggest) or b"").split(b"\n")
    touched = [*rows, b""]
    texts[biggest] = b"\n".join(touched)
    live.changed([biggest])
    begun = time.process_time()
    live._machine.expansion(again=True)
    warm = time.process_time() - begun
    del live
    gc.unfreeze()
    kept = tempfile.mkdtemp(dir=folder)
    service = served(job, read, kept)
    path = job.root.path
    number = service.expand(path, 0, [biggest])[0]
    live = service._held[path].live
    assert live is not None
    gc.freeze()
    rng = random.Random(1)
    keys: list[float] = []
    wide: list[float] = []
    told: list[int] = []
    for _ in range(KEYS):
        rows = texts[biggest].split(b"\n")
        at = rng.randrange(len(rows))
        rows[at:at + 1] = rng.choice([[rows[at] + b" ; x"], [rows[at] + b"0"], [rows[at], b""], [rows[at], b"    nop"]])
        texts[biggest] = b"\n".join(rows)
        begun = time.perf_counter()
        service.edit(biggest, texts[biggest].decode("utf-8", "surrogateescape"))
        answer = service.expand(path, number, [biggest])
        told.append(len(pickle.dumps(answer, 5)))
        spent = time.perf_counter() - begun
        number = answer[0]
        (wide if live.again == "everything" else keys).append(spent)
    gc.enable()
    gc.unfreeze()
    lines = live.expansion.lines
    service.edit(biggest, None)
    while not service.warm(path):
        pass
    begun = time.perf_counter()
    assert service.store(path)
    stored = time.perf_counter() - begun
    size = sum(one.stat().st_size for one in Path(kept).iterdir())
    del live, service
    begun = time.perf_counter()
    answer = served(job, read, kept).expand(path, 0, [biggest])
    pickle.dumps(answer, 5)
    loaded = time.perf_counter() - begun
    assert answer[-1] == ()     # as it was stored
    keys.sort()
    p50, p95 = (keys[int(share * (len(keys) - 1))] if keys else 0.0 for share in (0.5, 0.95))
    told.sort()
    beside = f"{cold / peer:.1f}x Asar's {peer:.2f} s" if peer else "no Asar to compare with"
    again = f"{warm / peer:.2f}x Asar" if peer else "no Asar to compare with"
    return [
        (f"{name}: executed cold, with bytes ({lines:,} lines executed)",
         f"{beside} ({placed:.2f} s + {cold - placed:.2f} s for the bytes)", f"<= {COLD:.0f}x",
         cold <= COLD * peer if peer and budget else None),
        (f"{name}: executed again, labels and addresses", f"{again} ({warm:.2f} s)", f"<= {WARM:.0f}x",
         warm <= WARM * peer if peer and budget else None),
        (f"{name}: one key in a file of {len(rows):,} lines", f"p50 {1000 * p50:.1f}, p95 {1000 * p95:.1f} ms; "
         f"{len(wide)} of {KEYS} keys executed everything, in at most {1000 * max(wide, default=0.0):.0f} ms; "
         f"p95 {told[int(0.95 * (len(told) - 1))] / 1024:,.0f} KB told",
         "p95 <= 100, everything <= 1,500 ms", p95 <= KEY and max(wide, default=0.0) <= EVERYTHING),
        (f"{name}: from the disk cache",
         f"{1000 * loaded:.0f} ms ({size / 1e6:.1f} MB; written in {1000 * stored:.0f} ms)",
         f"<= {1000 * CACHED:.0f} ms", loaded <= CACHED)]


def served(job: Job, read: Read, folder: str) -> Service:
    """The analysis process's own service, which reads through ``read`` instead of the fence."""
    service = Service(600.0, folder)
    service.open((job.root,), Fence())
    service._disk = read        # type: ignore[method-assign]
    service._image = lambda held: job.base      # type: ignore[method-assign]
    return service


def execution(folder: Path, programs: dict[int, list[str]]) -> list[Row]:
    asar = find_part("asar")
    rows: list[Row] = []
    for lines, program in programs.items():
        place = folder / str(lines)
        place.mkdir()
        rows += measured(place, f"generated, {lines:,} lines", generated(place, program), asar, False)
    corpus = os.environ.get("NAYRU_CORPUS")
    for one in CORPORA if corpus else ():
        job = job_of(one, Path(corpus or ""), 1)
        if one.stand_in and asar is not None:
            job = with_stand_ins(job, theirs(job, asar), one.stand_in)
        rows += measured(folder, one.name, job, asar, True)
    if not corpus:
        rows.append(("four real projects", "set NAYRU_CORPUS to their folder", "", None))
    return rows
