"""NAY401 unknown label, NAY402 unknown define, NAY403 unknown macro, NAY404 wrong number of macro arguments, NAY405
file not found."""

from __future__ import annotations

import string
from collections.abc import Iterator, Sequence
from itertools import islice

from nayru_lsp.asm.expanded import Expanded
from nayru_lsp.asm.file import ParsedBlock
from nayru_lsp.asm.problem import Fix, Problem, Severity
from nayru_lsp.asm.project import ParsedFile, Project
from nayru_lsp.asm.symbols import BlockIndex, Reference
from nayru_lsp.asm.syntax import MacroCall
from nayru_lsp.asm.words import BUILT_IN_DEFINES, PRINT_WORDS

MOST_NEAR = 300         # names that others are sought for
LONGEST_NEAR = 100      # characters of one
_LETTERS = string.ascii_letters + string.digits + "_."
_LOOKED_UP = frozenset({"label", "sub label", "macro", "struct", "define"})


def check(project: Project, file: ParsedFile, judges: Sequence[Expanded] = ()) -> Iterator[Problem]:
    """``judges``: see `check_file`. A label that one of them knows is not unknown; one they sought in vain is."""
    yield from _files(project, file)
    if project.foreign(file.path):
        return
    complete = project.complete(file.path)
    wanted: dict[str, int | None] = {}
    missing = _missing(file, judges)
    for number, (start, block, index) in enumerate(file.indexes):
        # Nearly every name is known and every call right: only a block with another is looked at closely.
        unknown = _unknown_names(project, block, index) if complete else frozenset()
        wrong = False
        for name, arguments in index.calls:
            if name not in wanted:
                wanted[name] = _wanted(project, name)
            wrong = wrong or wanted[name] not in (None, len(arguments))
        sought = any(start <= at < start + block.length for at, _ in missing)
        if unknown or wrong or sought:
            for reference in file.references_in(number, number + 1):
                if sought and _sought(file, reference, missing) and not _expanded(judges, reference):
                    yield _no_label(project, file, reference)
                elif not reference.sure:
                    continue
                elif (reference.name, reference.namespace) in unknown:
                    if not _expanded(judges, reference):
                        yield from _unknown(project, file, reference)
                elif reference.kind == "macro" and wrong:
                    yield from _arguments(project, file, reference)


def _missing(file: ParsedFile, judges: Sequence[Expanded]) -> frozenset[tuple[int, str]]:
    """(start of the line, label as written) that was sought in vain when the line was executed."""
    return frozenset((file.text.line_start(row), name) for judge in judges if judge.is_text(file.path, file.text)
                     for row, name in judge.missing(file.path))


def _sought(file: ParsedFile, reference: Reference, missing: frozenset[tuple[int, str]]) -> bool:
    if reference.kind not in ("label", "sub label"):
        return False
    start, _ = file.line_at(reference.span.start)
    return (start, file.text.slice(*reference.span)) in missing


def _expanded(judges: Sequence[Expanded], reference: Reference) -> bool:
    """Does an execution know this label?"""
    return reference.kind in ("label", "sub label", "struct") and any(
        judge.label(reference.name, reference.namespace) is not None for judge in judges)


def _unknown_names(project: Project, block: ParsedBlock, index: BlockIndex) -> frozenset[tuple[str, str]]:
    """The distinct (name, namespace) that a block surely mentions and nobody defines; remembered as long as the
    project's names are the same."""
    known = block.notes.get("unknown")
    if known is not None and known[0] is index and known[1] is project.epoch:
        return frozenset(known[2])
    kept = block.notes.get("names")
    if kept is None or kept[0] is not index:
        kept = block.notes["names"] = (index, frozenset(
            (reference.name, reference.namespace) for reference in block.references(index)
            if reference.sure and reference.kind in _LOOKED_UP))
    unknown = frozenset(pair for pair in kept[1] if not _known(project, *pair))
    block.notes["unknown"] = (index, project.epoch, unknown)
    return unknown


def _known(project: Project, name: str, namespace: str) -> bool:
    return project.defined(name) or (bool(namespace) and project.defined(f"{namespace}_{name}"))


def _unknown(project: Project, file: ParsedFile, reference: Reference) -> Iterator[Problem]:
    name = reference.name
    if reference.kind == "define":
        # Without a configuration nobody knows what `-D` the build passes.
        if project.configured_roots and not project.may_be_made(name) and not _given(project, file, name[1:]):
            yield Problem(file.path, reference.span, "NAY402", Severity.ERROR,
                          f"the define {name} is set nowhere in this project")
        return
    if reference.kind == "macro":
        if not project.may_be_made(name):
            yield Problem(file.path, reference.span, "NAY403", Severity.ERROR,
                          f"there is no macro {name.lstrip('%')} in this project")
        return
    if reference.kind == "struct" or name in PRINT_WORDS or "." in name:
        return
    if reference.kind == "sub label" and "_" not in name:
        return      # its main label stands in the including file
    whole = f"{reference.namespace}_{name}" if reference.namespace else name
    if project.may_be_made(name) or project.may_be_made(whole):
        return
    yield _no_label(project, file, reference)


def _no_label(project: Project, file: ParsedFile, reference: Reference) -> Problem:
    name = reference.name
    if _known(project, name, reference.namespace):      # the text has one
        return Problem(file.path, reference.span, "NAY401", Severity.ERROR,
                       f"there is no label {name} where this is executed: it is in no part that is, or what macros "
                       "make gives it another name")
    near = _near(project, name)
    written = file.text.slice(*reference.span)
    prefix = name[: len(name) - len(written.lstrip("."))] if reference.kind == "sub label" else ""
    dots = written[: len(written) - len(written.lstrip("."))]
    shown = [dots + other[len(prefix):] for other in near if other.startswith(prefix)]
    return Problem(
        file.path, reference.span, "NAY401", Severity.ERROR,
        f"there is no label {name} in this project" + (f"; did you mean {' or '.join(shown)}?" if shown else ""),
        fixes=tuple(Fix(f"Change to {other}", ((reference.span, other),)) for other in shown))


def _near(project: Project, name: str) -> tuple[str, ...]:
    """At most three labels one letter away; remembered as long as the project's names are the same. Where thousands of
    names are missing, it is a file that is, and only the first are told."""
    near = project.epoch.near
    known = near.get(name)
    if known is None:
        if len(near) >= MOST_NEAR or len(name) > LONGEST_NEAR:
            return ()
        known = near[name] = tuple(islice(dict.fromkeys(filter(project.defined, _one_letter_away(name))), 3))
    return known


def _one_letter_away(name: str) -> Iterator[str]:
    """A letter changed, added, left out, or two neighbours swapped."""
    for at in range(len(name)):
        yield name[:at] + name[at + 1:]
        yield name[:at] + name[at:at + 2][::-1] + name[at + 2:]
        for letter in _LETTERS:
            yield name[:at] + letter + name[at + 1:]
    for at in range(len(name) + 1):
        for letter in _LETTERS:
            yield name[:at] + letter + name[at:]


def _given(project: Project, file: ParsedFile, name: str) -> bool:
    return name in BUILT_IN_DEFINES or any(
        key == name for root in project.roots_of(file.path) for key, _ in root.defines)


def _arguments(project: Project, file: ParsedFile, reference: Reference) -> Iterator[Problem]:
    wanted = _wanted(project, reference.name[1:])
    _, _, statement = file.statement_at(reference.span.start)
    if wanted is None or not isinstance(statement, MacroCall) or len(statement.arguments) == wanted:
        return
    detail = " ".join(project.definitions(reference.name)[0].detail.replace("\\", " ").split())
    yield Problem(file.path, reference.span, "NAY404", Severity.ERROR,
                  f"{statement.name} takes {wanted} argument{'s' * (wanted != 1)} ({detail}), "
                  f"not {len(statement.arguments)}")


def _wanted(project: Project, macro: str) -> int | None:
    """How many arguments a macro takes; None where it is unknown, defined several times or variadic."""
    definitions = project.definitions("%" + macro)
    if len(definitions) != 1 or definitions[0].conditional:
        return None
    parts = [part.strip(" \t\r\n\\") for part in definitions[0].detail.split(",")] if definitions[0].detail else []
    return None if any(part.startswith("...") for part in parts) else len(parts)


def _files(project: Project, file: ParsedFile) -> Iterator[Problem]:
    for include in file.includes:
        if include.sure and not include.opaque and (file.path, include.name) in project.absent:
            # Disassemblies come without the game's data; a missing source file breaks everything.
            severity = Severity.ERROR if include.kind == "incsrc" else Severity.WARNING
            yield Problem(file.path, include.span, "NAY405", severity, f"there is no file {include.name} here")
