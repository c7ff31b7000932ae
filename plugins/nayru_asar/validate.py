"""A root assembled as a whole by Asar, with every unsaved text in place."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Mapping
from typing import Any

from nayru_asar.judge import Absent, Asar
from nayru_asar.library import BASE_BYTES
from nayru_asar.problems import READS_IMAGE, USES_FREESPACE, Texts, problems_of, said, whole_root
from nayru_asar.sources import Reader, Sources, candidates, collect, unsent
from nayru_lsp.hookspecs import Problem, Root, Severity, Snapshot, WorkerDied, WorkerError, WorkerTimeout

ROUNDS = 8              # how often files that Asar asked for are fetched and the root is assembled anew
EXTRA_FILES = 2000

_FILE = re.compile(r"'([^']+)'")


class Validator:
    """Runs roots; remembers which files each asked for, so that the next run needs one round."""

    def __init__(self, asar: Asar) -> None:
        self.asar = asar
        self.reader = Reader()
        self._extra: dict[str, tuple[str, ...]] = {}
        self._wants_image: set[Root] = set()        # roots that ran for ever because their image is not here

    async def run(self, snapshot: Snapshot, root: Root) -> tuple[list[Problem], dict[str, Any] | None]:
        """(Problems, Asar's last answer or None). Nothing is said when there is no Asar; the status says it."""
        asar = self.asar
        if asar.absence:
            return [], None
        asar.worker("candidates").start()       # suggestions come next: they shall not wait for a cold start
        folders = fence_of(snapshot, root)
        end = time.monotonic() + asar.project_timeout
        extra = self._extra.get(root.path, ())
        answer: dict[str, Any] | None = None
        for _ in range(ROUNDS):
            sources = await asyncio.to_thread(collect, snapshot.project, root, extra, self.reader, folders)
            texts = Texts(snapshot.project, sources.files)
            if root.path not in sources.files:
                return [], None     # the file is gone
            if root in self._wants_image:
                return [_image_wanted(root, texts)], None
            if not asar.fenced and (refusal := _refused(sources, root, texts)):
                return [refusal], None
            try:
                if not await asar.speaks(root.dialect, "projects", end - time.monotonic()):
                    return [], None
                answer = await asar.ask("projects", self._request(sources, root), end - time.monotonic())
            except Absent:
                return [], None
            except WorkerTimeout:
                if not sources.image and _reads_image(sources, texts):
                    self._wants_image.add(root)
                    return [_image_wanted(root, texts)], None
                return [whole_root(root, texts, f"Asar did not come to an end within {asar.project_timeout:g} seconds "
                                   "and was stopped: an endless loop, or too much to expand "
                                   "(asar.project_timeout sets the limit).", Severity.WARNING)], None
            except WorkerDied as error:
                return [whole_root(root, texts, f"Asar could not finish: it {_end(str(error))} on this root. The text "
                                   "may be half-typed in a way that breaks it, or need more memory than "
                                   "asar.memory_mb.")], None
            except WorkerError as error:
                return [whole_root(root, texts, f"Asar could not be asked: {error}")], None
            more = await asyncio.to_thread(self._asked_for, answer, sources, root, folders)
            if not more:
                break
            extra = self._extra[root.path] = (*extra, *more)[:EXTRA_FILES]
        assert answer is not None
        found = await asyncio.to_thread(_problems, answer, root, texts, sources)
        return found, answer

    def _request(self, sources: Sources, root: Root) -> dict[str, Any]:
        image = sources.image
        if not image and any(USES_FREESPACE.search(data) for data in sources.files.values()):
            image = bytes(BASE_BYTES)
        return {"path": sources.main, "files": sources.files, "include_paths": root.include_paths,
                "defines": root.defines, "image": image}

    def _asked_for(self, answer: Mapping[str, Any], sources: Sources, root: Root,
                   folders: tuple[str, ...]) -> list[str]:
        """Files that Asar missed (their names are made by defines or macros) and that may be read."""
        more: dict[str, None] = {}
        for one in said(answer):
            if not one.name.startswith(("Efile_not_found", "Efailed_to_open")):
                continue
            match = _FILE.search(one.text)
            for path in candidates(one.path, match[1], root) if match else ():
                if path not in sources.files and self.reader.read(path, folders) is not None:
                    more[path] = None
                    break
        return list(more)


def fence_of(snapshot: Snapshot, root: Root) -> tuple[str, ...]:
    """The folders that files are read from: the workspace folders, what the user allows besides, and without any
    workspace the root's own folder."""
    config = snapshot.config
    folders = tuple(folder for folder in config.projects if root.path.startswith(folder.rstrip("/") + "/"))
    return (*(folders or (root.path.rpartition("/")[0] or "/",)), *config.user.outside_include_paths)


def _reads_image(sources: Sources, texts: Texts) -> bool:
    """Whether some source looks into the ROM (`read1` and its kin)."""
    return any(b"read" in data and READS_IMAGE.search(data.decode("utf-8", "replace"))
               for path, data in sources.files.items() if texts.is_source(path))


def _image_wanted(root: Root, texts: Texts) -> Problem:
    return whole_root(root, texts, "Asar cannot judge this root: what it does depends on the ROM that it reads, and no "
                      "base image is named. Set base_image in nayru.toml.", Severity.INFORMATION)


def _problems(answer: Mapping[str, Any], root: Root, texts: Texts, sources: Sources) -> list[Problem]:
    reads = not sources.image and _reads_image(sources, texts)
    generation = 3 if answer["version"] < 20000 else 4
    return problems_of(answer, root, texts, generation=generation, image=bool(sources.image), reads_image=reads)


def _refused(sources: Sources, root: Root, texts: Texts) -> Problem | None:
    """Where Asar could open files by itself it runs only when every file command's target is handed over."""
    for path in sources.files:
        file = texts.get(path)
        hit = unsent(path, str(file.text), sources.files, root) if file is not None else None
        if hit is not None and file is not None:
            line = file.text.line_of(hit[0]) + 1
            return whole_root(root, texts, f"Asar is not run on this root: on Windows it could open any file, and "
                              f"`{hit[1]}` in {path}, line {line}, names one that is not known beforehand.",
                              Severity.INFORMATION)
    return None


def _end(text: str) -> str:
    """How the worker ended, without its name."""
    return text.rpartition(": ")[2]
