"""Where the Asar library is: the user's setting, the environment, known places. Never the workspace."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass

VARIABLE = "NAYRU_ASAR"
FORK_WORDS = (b"incgfx", b"incmsg")     # directives of a fork that run text of the source as shell commands


@dataclass(frozen=True, slots=True)
class Found:
    """``path`` of a library, or "" with the reason and what to do next."""

    path: str
    reason: str = ""


def file_names() -> tuple[str, ...]:
    """What the library is called on this system."""
    if sys.platform == "win32":
        return ("asar.dll", "libasar.dll")
    if sys.platform == "darwin":
        return ("libasar.dylib", "libasar.so")
    return ("libasar.so",)


def known_folders(data_folder: str) -> list[str]:
    """Folders that are looked into, first one first."""
    home = os.path.expanduser("~")
    folders = [os.path.join(data_folder, "asar")] if data_folder else []
    if sys.platform == "win32":
        for variable in ("LOCALAPPDATA", "ProgramFiles"):
            base = os.environ.get(variable, "")
            folders += [os.path.join(base, "Programs", "asar"), os.path.join(base, "asar")] if base else []
    elif sys.platform == "darwin":
        folders += [os.path.join(home, "Library/Application Support/asar"), os.path.join(home, ".local/lib"),
                    "/usr/local/lib", "/opt/homebrew/lib"]
    else:
        folders += [os.path.join(home, ".local/lib"), "/usr/local/lib", "/usr/lib", "/usr/lib64",
                    f"/usr/lib/{os.uname().machine}-linux-gnu"]
    return [folder for folder in folders if os.path.isabs(folder)]


def find(setting: str, data_folder: str = "") -> Found:
    """The library to load. A place that the user named is the only one looked at."""
    for named, origin in ((setting, "the setting asar.library"), (os.environ.get(VARIABLE, ""), VARIABLE)):
        if not named:
            continue
        path = os.path.expanduser(named)
        if not os.path.isabs(path):
            return Found("", f"{origin} must be an absolute path, not {named!r}")
        if not os.path.isfile(path):
            return Found("", f"{origin} names {path}, which is no file")
        return _judged(path)
    for folder in known_folders(data_folder):
        for name in file_names():
            path = os.path.join(folder, name)
            if os.path.isfile(path):
                return _judged(path)
    place = os.path.join(data_folder or "<data folder>", "asar", file_names()[0])
    return Found("", f"no Asar library found; put {file_names()[0]} of an Asar 1.91 release at {place}, or name it in "
                     "the setting asar.library")


def _judged(path: str) -> Found:
    """Asar is looked over before it is loaded: loading already runs its code."""
    try:
        with open(path, "rb") as file:
            data = file.read(64 << 20)
    except OSError as error:
        return Found("", f"{path} cannot be read: {error.strerror}")
    if any(word in data for word in FORK_WORDS):
        return Found("", f"{path} is a fork of Asar with directives that run programs; it is not used")
    return Found(path)
