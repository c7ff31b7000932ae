"""Files, include graph, roots and look-up tables; patched by block difference."""

from __future__ import annotations

import posixpath
import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain
from types import MappingProxyType

from nayru_lsp.asm.file import ParsedFile
from nayru_lsp.asm.made import MadeNames
from nayru_lsp.asm.mentions import mentioned
from nayru_lsp.asm.records import Outline
from nayru_lsp.asm.symbols import Reference, Symbol
from nayru_lsp.asm.syntax import Dialect

__all__ = ["ParsedFile", "Project", "Root"]


@dataclass(frozen=True, slots=True)
class Root:
    """A file given to the assembler, with what it would be told on the command line. Paths are absolute."""

    path: str
    dialect: Dialect = Dialect.ASAR_1
    mapping_mode: str = ""
    defines: tuple[tuple[str, str], ...] = ()
    include_paths: tuple[str, ...] = ()
    prelude: str = ""
    base_image: str = ""


MAX_NAMESPACES = 500
NAME_PARTS = 256        # of the table of names
ABOVE = 5       # folders above an including file in which Asar may have been started


@lru_cache(maxsize=1 << 14)
def _candidates(folder: str, others: tuple[str, ...], name: str) -> tuple[str, ...]:
    """``name`` in ``folder``, in the ``others``, and in the folders above."""
    folders = [folder, *others]
    for _ in range(ABOVE):
        folder = posixpath.dirname(folder)
        folders.append(folder)
    return tuple([posixpath.normpath(posixpath.join(one, name)) for one in dict.fromkeys(folders)])


class _Graph:
    """What is derived from all files and dropped when includes, files or roots change."""

    __slots__ = ("edges", "foreign", "includers", "open_ends", "reach", "roots")

    def __init__(self, project: Project) -> None:
        self.edges: dict[str, tuple[str, ...]] = {}
        self.includers: dict[str, list[str]] = {}
        self.open_ends: set[str] = set()        # files with an include that is not known here
        self.foreign: set[str] = set()          # files that are read as another processor's code
        for path, file in project.files.items():
            targets = []
            if file.foreign:
                self.foreign.add(path)
            for include in file.includes:
                target = None if include.opaque else project.resolve_include(path, include.name)
                if target is None:
                    if include.kind == "incsrc":
                        self.open_ends.add(path)
                elif include.kind == "incsrc" and target in project.files:
                    targets.append(target)
                    if include.foreign:
                        self.foreign.add(target)
                    self.includers.setdefault(target, []).append(path)
            self.edges[path] = tuple(targets)
        self.roots = project.configured_roots or tuple(
            Root(path, file.dialect) for path, file in project.files.items()
            if path not in self.includers and file.starts_program)
        self.reach: dict[str, frozenset[str]] = {}
        spread = list(self.foreign)
        while spread:
            for target in self.edges.get(spread.pop(), ()):
                if target not in self.foreign:
                    self.foreign.add(target)
                    spread.append(target)

    def reached(self, path: str) -> frozenset[str]:
        """Every file that ``path`` includes, itself among them."""
        found = self.reach.get(path)
        if found is None:
            seen: set[str] = set()
            stack = [path]
            while stack:
                one = stack.pop()
                if one not in seen:
                    seen.add(one)
                    stack.extend(self.edges.get(one, ()))
            found = self.reach[path] = frozenset(seen)
        return found


class Epoch:
    """Stands for one set of defined names; what is kept here is true as long as it lasts."""

    __slots__ = ("near",)

    def __init__(self) -> None:
        self.near: dict[str, tuple[str, ...]] = {}      # unknown name -> known names much like it


class _Names:
    """Full name -> the files that define it, each as often as it has blocks that do. Immutable; in parts, of which a
    change copies those that it touches, so that a key costs the same in a project of any size."""

    __slots__ = ("_parts",)

    def __init__(self, parts: tuple[dict[str, tuple[str, ...]], ...] = ({},) * NAME_PARTS) -> None:
        self._parts = parts

    def __contains__(self, name: str) -> bool:
        return name in self._parts[hash(name) % NAME_PARTS]

    def __iter__(self) -> Iterator[str]:
        return chain.from_iterable(self._parts)

    def get(self, name: str) -> tuple[str, ...]:
        return self._parts[hash(name) % NAME_PARTS].get(name, ())

    def patched(self, changes: Iterable[tuple[str, Collection[str], Collection[str]]]) -> _Names:
        """With what (path, names that left it, names that came) say."""
        parts = list(self._parts)
        own = [False] * NAME_PARTS
        for path, gone, come in changes:
            for name in chain(gone, come):
                number = hash(name) % NAME_PARTS
                if not own[number]:
                    own[number], parts[number] = True, dict(parts[number])
            for name in gone:
                part = parts[hash(name) % NAME_PARTS]
                have = part.pop(name)
                if len(have) > 1:
                    at = have.index(path)
                    part[name] = have[:at] + have[at + 1:]
            alone = (path,)
            for name in come:
                part = parts[hash(name) % NAME_PARTS]
                have = part.setdefault(name, alone)
                if have is not alone:
                    part[name] = have + alone
        return _Names(tuple(parts))


class Project:
    """Immutable; ``with_...`` return a new one that shares what did not change."""

    __slots__ = ("_graph", "_makers", "_names", "absent", "blobs", "configured_roots", "epoch", "files")

    def __init__(self, roots: Iterable[Root] = ()) -> None:
        """``roots`` as configured; without any they are derived from the files."""
        self.files: Mapping[str, ParsedFile] = MappingProxyType({})
        self.blobs: Mapping[str, bytes] = MappingProxyType({})
        self.configured_roots: tuple[Root, ...] = tuple(roots)
        self.absent: frozenset[tuple[str, str]] = frozenset()
        self._names = _Names()
        self.epoch = Epoch()       # another one whenever the set of defined names changes
        self._graph: _Graph | None = None
        self._makers: MadeNames | None = None

    def _copy(self) -> Project:
        new = Project.__new__(Project)
        for name in Project.__slots__:
            setattr(new, name, getattr(self, name))
        return new

    # --- changes -------------------------------------------------------------------------------------------------

    def with_file(self, parsed: ParsedFile) -> Project:
        return self.with_files((parsed,))

    def with_files(self, many: Iterable[ParsedFile]) -> Project:
        """Several files at once: one copy of the tables for all of them."""
        new = self._copy()
        files = dict(self.files)
        changes = []
        for parsed in many:
            old = files.get(parsed.path)
            files[parsed.path] = parsed
            left, came = _difference(old, parsed)
            gone, come = _name_difference(left, came)
            if gone or come:
                changes.append((parsed.path, gone, come))
            if old is None or _made_from(left) != _made_from(came):
                new._makers = None
            if old is None or _shape(left) != _shape(came):
                new._graph = None
        new.files = MappingProxyType(files)
        if changes:
            new._names, new.epoch = self._names.patched(changes), Epoch()
        return new

    def without_file(self, path: str) -> Project:
        old = self.files.get(path)
        if old is None:
            return self
        new = self._copy()
        new.files = MappingProxyType({key: file for key, file in self.files.items() if key != path})
        gone = [name for _, _, outline in old.outlines for name in outline.names]
        new._names, new.epoch = self._names.patched([(path, gone, ())]), Epoch()
        new._graph = new._makers = None
        return new

    def with_blob(self, path: str, data: bytes | None) -> Project:
        """A binary file is known (``None`` forgets it; ``b""`` will do when only its existence matters)."""
        new = self._copy()
        blobs = {key: value for key, value in self.blobs.items() if key != path}
        if data is not None:
            blobs[path] = data
        new.blobs = MappingProxyType(blobs)
        return new

    def with_roots(self, roots: Iterable[Root]) -> Project:
        new = self._copy()
        new.configured_roots, new._graph, new._makers = tuple(roots), None, None
        return new

    def with_absent(self, absent: Iterable[tuple[str, str]]) -> Project:
        """Pairs (path of the including file, include name as written) that the caller looked for and did not find."""
        new = self._copy()
        new.absent = frozenset(absent)
        return new

    # --- names ---------------------------------------------------------------------------------------------------

    def definitions(self, name: str) -> tuple[Symbol, ...]:
        """Every definition with this full name, file by file."""
        paths = dict.fromkeys(self._names.get(name))
        return tuple(symbol for path in paths for symbol in self.files[path].definitions(name))

    def defined(self, name: str) -> bool:
        return name in self._names

    def resolve(self, reference: Reference) -> tuple[Symbol, ...]:
        """What a reference means: inside its namespace first, then globally (Asar's order)."""
        if reference.namespace:
            inside = self.definitions(f"{reference.namespace}_{reference.name}")
            if inside:
                return inside
        return self.definitions(reference.name)

    def references(self, name: str) -> tuple[Reference, ...]:
        """Every mention of this full name. Only blocks whose code holds the name as it is written are read closely."""
        needles = {symbol.short.lstrip(".!%").removesuffix("()") for symbol in self.definitions(name)}
        needles = {needle for needle in needles if needle} or {name.lstrip("!%").removesuffix("()")}
        out: list[Reference] = []
        for file in self.files.values():
            for number, block in enumerate(file.blocks):
                text = block.text
                if any(mentioned(text, needle) for needle in needles):
                    out.extend(reference for reference in file.references_in(number, number + 1)
                               if name in (reference.name, f"{reference.namespace}_{reference.name}"))
        return tuple(out)

    def mentions(self, text: str, besides: str) -> bool:
        """Does any file but ``besides`` hold this text?"""
        return any(block.holds(text) for path, file in self.files.items() if path != besides for block in file.blocks)

    def names(self) -> Iterable[str]:
        """Every defined full name, without order."""
        return self._names

    # --- includes ------------------------------------------------------------------------------------------------

    def include_candidates(self, from_path: str, name: str) -> tuple[str, ...]:
        """Every path that Asar would try, in its order, existing or not (for whoever reads the disk): beside the
        including file, then each include path, then the folder that Asar is started in. That one is not known: it is
        that of a root or some folder above, so all of them are tried. Backslashes are taken as slashes, as Asar 1.91
        does."""
        name = name.replace("\\", "/")
        if name.startswith("/") or re.match(r"[A-Za-z]:", name):
            return (posixpath.normpath(name),)
        folders = [folder for root in self.configured_roots for folder in root.include_paths]
        folders.extend(posixpath.dirname(root.path) for root in self.configured_roots)
        return _candidates(posixpath.dirname(from_path), tuple(folders), name)

    def resolve_include(self, from_path: str, name: str) -> str | None:
        """The known file or blob that ``name`` means in ``from_path``, by Asar's search order."""
        for path in self.include_candidates(from_path, name):
            if path in self.files or path in self.blobs:
                return path
        return None

    @property
    def graph(self) -> _Graph:
        if self._graph is None:
            self._graph = _Graph(self)
        return self._graph

    @property
    def roots(self) -> tuple[Root, ...]:
        """The configured roots; else the files that nobody includes and that set a mapper, ``org`` or freespace."""
        return self.graph.roots

    def includers(self, path: str) -> tuple[str, ...]:
        return tuple(self.graph.includers.get(path, ()))

    def roots_of(self, path: str) -> tuple[Root, ...]:
        """The roots that reach ``path``."""
        graph = self.graph
        return tuple(root for root in graph.roots if path in graph.reached(root.path) or path == root.prelude)

    def complete(self, path: str) -> bool:
        """True when some root reaches ``path`` and every source file of every such root is known here. A file that only
        looks like a root is none where it stands alone among others."""
        roots = self.roots_of(path)
        graph = self.graph
        alone = graph.reached(path) == {path} and not graph.includers.get(path)
        if alone and not self.configured_roots and len(graph.roots) > 1:
            return False        # nobody names it a root, and it stands alone among others: a fragment, perhaps
        return bool(roots) and not any(graph.reached(root.path) & graph.open_ends for root in roots)

    # --- what only expansion could tell --------------------------------------------------------------------------

    def may_be_made(self, name: str) -> bool:
        """Could a macro body, an opaque statement, a define, an inherited namespace or an unread include make this
        name? ``name``: a label's full name, ``!define`` or ``%macro``."""
        if self.graph.open_ends:
            return True
        if self._makers is None:
            self._makers = MadeNames(self)
        return self._makers.holds(name) or self._under_a_namespace(name, 4)

    def _under_a_namespace(self, name: str, depth: int) -> bool:
        """A namespace may be opened in the including file, so it is not seen where the label or its mention stands."""
        assert self._makers is not None
        if len(self._makers.namespaces) > MAX_NAMESPACES:
            return True         # not worth the search
        for space in self._makers.namespaces:
            if self.defined(f"{space}_{name}"):
                return True
            if name.startswith(space + "_"):
                inner = name[len(space) + 1:]
                if self.defined(inner) or self._makers.holds(inner) or (
                        depth > 0 and self._under_a_namespace(inner, depth - 1)):
                    return True
        return False

    def foreign(self, path: str) -> bool:
        """Is this file (partly) another processor's code, by its own words or by how it is included?"""
        return path in self.graph.foreign


def _difference(old: ParsedFile | None, new: ParsedFile) -> tuple[list[Outline], list[Outline]]:
    """The outlines that left the file and those that came; all others are the same, in the same order."""
    before = old.outlines if old is not None else ()
    after = new.outlines
    first = 0
    for (_, _, one), (_, _, other) in zip(before, after, strict=False):
        if one is not other:
            break
        first += 1
    last = 0
    most = min(len(before), len(after)) - first
    while last < most and before[-1 - last][2] is after[-1 - last][2]:
        last += 1
    return ([outline for _, _, outline in before[first:len(before) - last]],
            [outline for _, _, outline in after[first:len(after) - last]])


def _shape(outlines: Iterable[Outline]) -> tuple[object, ...]:
    """What the include graph depends on."""
    includes: list[object] = []
    foreign = native = starts = False
    for outline in outlines:
        includes.extend((one.kind, one.name, one.opaque, one.foreign) for one in outline.includes)
        foreign, native = foreign or outline.foreign, native or outline.native
        starts = starts or outline.starts_program
    return includes, foreign, native, starts


def _made_from(outlines: Iterable[Outline]) -> tuple[object, ...]:
    """What `MadeNames` reads of them."""
    makers: set[object] = set()
    namespaces: set[str] = set()
    calls: list[object] = []
    defines: list[object] = []
    for outline in outlines:
        makers |= outline.makers
        namespaces |= outline.namespaces
        calls += outline.calls
        defines += outline.define_texts
    return makers, namespaces, calls, defines


def _name_difference(left: Sequence[Outline], came: Sequence[Outline]) -> tuple[Collection[str], Collection[str]]:
    """Names that left and names that came, each as often as it did."""
    if not left or not came:
        return [name for one in left for name in one.names], [name for one in came for name in one.names]
    if len(left) == len(came) == 1:
        return left[0].names.keys() - came[0].names.keys(), came[0].names.keys() - left[0].names.keys()
    gone = Counter(chain.from_iterable(one.names for one in left))
    come = Counter(chain.from_iterable(one.names for one in came))
    return list((gone - come).elements()), list((come - gone).elements())
