"""nayru_asar: Asar as the judge of code. Projects after a pause and on save, candidates before they are shown, samples
before they are trained on. Asar runs in worker processes with limits; the library is the user's own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nayru_asar.assemble import assemble, assembles
from nayru_asar.harness import verify
from nayru_asar.judge import Absent, Asar
from nayru_asar.validate import Validator
from nayru_lsp.hookspecs import ParsedFile, Problem, Root, Snapshot, Span, Verdict, WorkerError, hookimpl

asar = Asar()
validator = Validator(asar)


@hookimpl
def nayru_configure(settings: Mapping[str, Any]) -> None:
    asar.configure(settings)


@hookimpl
def nayru_status() -> str | None:
    return asar.status()


@hookimpl
async def nayru_validate(snapshot: Snapshot, root: Root) -> list[Problem]:
    problems, _ = await validator.run(snapshot, root)
    return problems


@hookimpl
async def nayru_verify(snapshot: Snapshot, file: ParsedFile, span: Span, text: str, deadline: float) -> Verdict | None:
    try:
        return await verify(asar, snapshot, file, span, text, deadline)
    except Absent as error:             # our own analysis decides alone, and the verdict says why
        return Verdict(ok=True, good=len(text), judges=(), absent=(f"asar: {str(error).partition(';')[0]}",))
    except WorkerError:                 # late or dead
        return None


@hookimpl
def nayru_register_commands(register: Any) -> None:
    async def run(snapshot: Snapshot, arguments: list[Any]) -> Any:
        return await assemble(validator, snapshot, arguments)

    register("assemble", run)


@hookimpl
def nayru_register_filters(register: Any) -> None:
    async def keep(sample: Mapping[str, Any]) -> str | None:
        return await assembles(asar, sample)

    register("assembles", keep)


@hookimpl
async def nayru_close() -> None:
    await asar.close()
