"""Results kept on disk between two starts: one file per key, the oldest deleted where there are too many.

Nothing here is needed: a file that is missing, damaged or of another version is as good as none, and the folder may be
deleted at any time. A result is only as good as its check: whoever stores one stores with it what it was made of.
"""

from __future__ import annotations

import contextlib
import marshal
import os
import sys
import zlib
from hashlib import blake2b
from pathlib import Path
from typing import Any

FORMAT = 1                          # of what is stored; another number makes everything stored before worthless
LIMIT = 256 * 1024 * 1024           # bytes of all files
_DIGEST = 16
_PYTHON = f"{sys.implementation.cache_tag} {FORMAT} ".encode()      # `marshal` differs from version to version


class DiskCache:
    """``folder`` is made at the first `store`; "" switches the cache off."""

    def __init__(self, folder: str, limit: int = LIMIT) -> None:
        self._folder = Path(folder) if folder else None
        self._limit = limit

    def load(self, key: str) -> Any:
        """What was stored last under ``key``; None where there is nothing whole."""
        if self._folder is None:
            return None
        try:
            data = self._path(key).read_bytes()
            digest, packed = data[:_DIGEST], data[_DIGEST:]
            # The digest tells damage; who can write into the user's own folder needs no cache to do harm.
            if digest != _digest(packed):
                return None
            value = marshal.loads(zlib.decompress(packed))
        except (OSError, ValueError, EOFError, TypeError, zlib.error):
            return None
        return value

    def store(self, key: str, value: Any) -> bool:
        """Keep ``value`` (what `marshal` can write). False where it could not be: a full disk, no right to write."""
        if self._folder is None:
            return False
        packed = zlib.compress(marshal.dumps(value), 1)
        path = self._path(key)
        beside = path.with_suffix(f".{os.getpid()}")
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            beside.write_bytes(_digest(packed) + packed)
            os.replace(beside, path)
        except OSError:
            with contextlib.suppress(OSError):
                beside.unlink()
            return False
        self._trim()
        return True

    def _path(self, key: str) -> Path:
        assert self._folder is not None
        return self._folder / (blake2b(key.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest() + ".bin")

    def _trim(self) -> None:
        assert self._folder is not None
        with contextlib.suppress(OSError):
            found = sorted(((one.stat().st_mtime, one.stat().st_size, one) for one in self._folder.iterdir()),
                           reverse=True)
            total = 0
            for number, (_, size, path) in enumerate(found):
                total += size
                if number and total > self._limit:
                    path.unlink(missing_ok=True)


def _digest(data: bytes) -> bytes:
    return blake2b(_PYTHON + data, digest_size=_DIGEST).digest()
