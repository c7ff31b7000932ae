"""The store of samples: what was offered, what the user made of it, and what stayed.

One SQLite file in the user's data folder, given by the caller. One writer thread per store; every write is its own
transaction with a full sync, so what a returned future confirms is on the disk. Several servers may share the file:
the rollback journal (not a write-ahead log) is used, so that a deletion leaves no second copy of a text lying in a
side file, and ``secure_delete`` with a ``VACUUM`` leaves none in the free pages.

Samples are only written for workspaces whose user said yes (`assist.events` asks); this module keeps the answers.
"""

from __future__ import annotations

import queue
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from contextlib import closing
from pathlib import Path
from typing import Any, TypeVar

import msgspec

T = TypeVar("T")

OFFER_DAYS = 30     # offers that nobody took are forgotten after this many days
DAY = 86_400.0

MIGRATIONS: tuple[str, ...] = (
    """
    CREATE TABLE sample (
      id TEXT PRIMARY KEY, kind TEXT NOT NULL, state TEXT NOT NULL, created REAL NOT NULL, taken REAL,
      how TEXT NOT NULL,
      workspace TEXT NOT NULL, path TEXT NOT NULL, licence TEXT NOT NULL, consent REAL NOT NULL,
      maker TEXT NOT NULL, model TEXT NOT NULL, digest TEXT NOT NULL, renderer TEXT NOT NULL, sampling TEXT NOT NULL,
      instruction TEXT NOT NULL, prompt TEXT NOT NULL, prefix TEXT NOT NULL, suffix TEXT NOT NULL, base TEXT NOT NULL,
      offered TEXT NOT NULL, accepted TEXT NOT NULL, settled TEXT NOT NULL, settled_at REAL, settled_by TEXT NOT NULL,
      widths TEXT NOT NULL, verdict TEXT NOT NULL
    );
    CREATE INDEX sample_state ON sample (state, created);
    CREATE TABLE event (number INTEGER PRIMARY KEY, id TEXT NOT NULL, at REAL NOT NULL, kind TEXT NOT NULL,
      text TEXT NOT NULL);
    CREATE INDEX event_id ON event (id);
    CREATE TABLE tombstone (id TEXT PRIMARY KEY, at REAL NOT NULL);
    CREATE TABLE consent (workspace TEXT PRIMARY KEY, answer INTEGER NOT NULL, at REAL NOT NULL);
    """,
)


class SampleError(Exception):
    """The store cannot be used now; ``str()`` says what happened, where, and what to do."""


class Sample(msgspec.Struct, frozen=True):
    """One suggestion and its life. Times are seconds since 1970; texts are as in the editor, newlines included.

    ``state``: offered -> accepted | rejected | ignored; accepted -> settled | deleted (the user took it out again).
    ``how``: whole, part, typed (the user typed the same text by hand). ``settled_by``: quiet, save, start.
    ``prefix``/``suffix``: the text around the place, cut to a window; ``base``: the lines that were replaced.
    ``verdict``: JSON of the Verdict. ``widths``: "m8 x16", "m? x?".
    """

    id: str
    kind: str
    state: str
    created: float
    workspace: str
    path: str
    offered: str
    consent: float = 0.0
    taken: float | None = None
    how: str = ""
    licence: str = ""
    maker: str = ""
    model: str = ""
    digest: str = ""
    renderer: str = ""
    sampling: str = ""
    instruction: str = ""
    prompt: str = ""
    prefix: str = ""
    suffix: str = ""
    base: str = ""
    accepted: str = ""
    settled: str = ""
    settled_at: float | None = None
    settled_by: str = ""
    widths: str = ""
    verdict: str = ""


_OWN_FAULTS = (sqlite3.IntegrityError, sqlite3.ProgrammingError, sqlite3.DataError)
FIELDS = tuple(field.name for field in msgspec.structs.fields(Sample))
_COLUMNS = ", ".join(FIELDS)
_INSERT = f"INSERT OR REPLACE INTO sample ({_COLUMNS}) VALUES ({', '.join('?' * len(FIELDS))})"


class SampleStore:
    """All calls are thread-safe. Writing calls return a future that completes when the change is on the disk; reading
    calls block for a few milliseconds (call them off the event loop).

    ``on_problem`` is told once, in one sentence, when writing fails for a while (locked, disk full); what was accepted
    is kept in memory and tried again until it is written or the store is closed.
    """

    def __init__(self, path: Path, *, cap_bytes: int = 256 << 20,
                 on_problem: Callable[[str], None] = lambda text: None) -> None:
        self.path = path
        self.cap_bytes = cap_bytes
        self._on_problem = on_problem
        self._troubled = False
        self._jobs: queue.Queue[tuple[Callable[[sqlite3.Connection], Any], Future[Any]] | None] = queue.Queue()
        self._closing = threading.Event()
        self._connection: sqlite3.Connection | None = None
        self._thread = threading.Thread(target=self._write_loop, name="nayru-samples", daemon=True)
        self._thread.start()

    # --- writing -------------------------------------------------------------------------------------------------

    def put(self, sample: Sample, event: str = "", text: str = "") -> Future[None]:
        """Insert or replace one sample, with an event in its history. A tombstoned id stays deleted."""
        row = tuple(_storable(getattr(sample, name)) for name in FIELDS)

        def job(connection: sqlite3.Connection) -> None:
            if connection.execute("SELECT 1 FROM tombstone WHERE id = ?", (sample.id,)).fetchone():
                return
            connection.execute(_INSERT, row)
            connection.execute("INSERT INTO event (id, at, kind, text) VALUES (?, ?, ?, ?)",
                               (sample.id, time.time(), event or sample.state, _storable(text)))

        return self._submit(job)

    def set_consent(self, workspace: str, answer: bool) -> Future[None]:
        def job(connection: sqlite3.Connection) -> None:
            connection.execute("INSERT OR REPLACE INTO consent VALUES (?, ?, ?)",
                               (_storable(workspace), int(answer), time.time()))

        return self._submit(job)

    def delete(self, ids: Iterable[str]) -> Future[int]:
        """Delete samples for good: rows, history, free pages and set-aside broken files that hold their text. A
        tombstone with the id alone remains. The result is how many samples there were."""
        wanted = tuple(map(_storable, ids))

        def job(connection: sqlite3.Connection) -> int:
            gone = 0
            texts: set[str] = set()
            for sample_id in wanted:
                row = connection.execute(f"SELECT {_COLUMNS} FROM sample WHERE id = ?", (sample_id,)).fetchone()
                if row is not None:
                    gone += 1
                    texts |= {sample_id, *_lines(row)}
                connection.execute("DELETE FROM sample WHERE id = ?", (sample_id,))
                connection.execute("DELETE FROM event WHERE id = ?", (sample_id,))
                connection.execute("INSERT OR REPLACE INTO tombstone VALUES (?, ?)", (sample_id, time.time()))
            connection.commit()
            connection.execute("VACUUM")
            self._drop_broken_files(texts)
            return gone

        return self._submit(job)

    def delete_all(self) -> Future[int]:
        """`delete` every sample, and every set-aside broken file whatever it holds."""
        def job(connection: sqlite3.Connection) -> int:
            ids = [row[0] for row in connection.execute("SELECT id FROM sample")]
            now = time.time()
            connection.executemany("INSERT OR REPLACE INTO tombstone VALUES (?, ?)", [(one, now) for one in ids])
            connection.execute("DELETE FROM sample")
            connection.execute("DELETE FROM event")
            connection.commit()
            connection.execute("VACUUM")
            for aside in self._broken_files():
                aside.unlink()
            return len(ids)

        return self._submit(job)

    def expire(self, now: float | None = None) -> Future[int]:
        """Forget offers that nobody took within 30 days, then, while the file is over its cap, the oldest samples:
        offers first, accepted ones last. The result is how many went."""
        moment = time.time() if now is None else now

        def job(connection: sqlite3.Connection) -> int:
            loose = "state IN ('offered', 'rejected', 'ignored')"
            rows = [row[0] for row in connection.execute(
                f"SELECT id FROM sample WHERE {loose} AND created < ?", (moment - OFFER_DAYS * DAY,))]
            self._forget(connection, rows)
            gone = len(rows)
            while self._used_bytes(connection) > self.cap_bytes:
                rows = [row[0] for row in connection.execute(
                    f"SELECT id FROM sample ORDER BY ({loose}) DESC, created LIMIT 10")]
                if not rows:
                    break
                self._forget(connection, rows)
                gone += len(rows)
            connection.commit()
            if gone:
                connection.execute("VACUUM")
            return gone

        return self._submit(job)

    def close(self, timeout: float = 5.0) -> None:
        """Write what is queued, then end the writer thread. Waits at most ``timeout`` seconds."""
        self._jobs.put(None)
        self._thread.join(timeout)
        self._closing.set()

    # --- reading -------------------------------------------------------------------------------------------------

    def consent(self, workspace: str) -> bool | None:
        """The user's answer for this workspace; None when never asked."""
        row = self._read("SELECT answer FROM consent WHERE workspace = ?", (workspace,))
        return bool(row[0][0]) if row else None

    def consents(self) -> dict[str, bool]:
        return {row[0]: bool(row[1]) for row in self._read("SELECT workspace, answer FROM consent", ())}

    def select(self, *, state: str = "", workspace: str = "", limit: int = 1_000_000) -> list[Sample]:
        """Newest first."""
        where, values = [], []
        for name, value in (("state", state), ("workspace", workspace)):
            if value:
                where.append(f"{name} = ?")
                values.append(value)
        clause = f" WHERE {' AND '.join(where)}" if where else ""
        rows = self._read(f"SELECT {_COLUMNS} FROM sample{clause} ORDER BY created DESC LIMIT ?", (*values, limit))
        return [_sample(row) for row in rows]

    def get(self, sample_id: str) -> Sample | None:
        """One sample by its id or by a prefix of it that only one sample has."""
        rows = self._read(f"SELECT {_COLUMNS} FROM sample WHERE substr(id, 1, ?) = ? LIMIT 2",
                          (len(sample_id), sample_id))
        return _sample(rows[0]) if len(rows) == 1 and sample_id else None

    def history(self, sample_id: str) -> list[tuple[float, str, str]]:
        """(time, kind, text) of each event of a sample, oldest first."""
        return [tuple(row) for row in self._read("SELECT at, kind, text FROM event WHERE id = ? ORDER BY number",
                                                 (sample_id,))]

    def tombstones(self) -> frozenset[str]:
        return frozenset(row[0] for row in self._read("SELECT id FROM tombstone", ()))

    def export(self, *, workspace: str = "") -> Iterator[dict[str, Any]]:
        """Settled samples as instruction/input/output rows, with all that is known of each beside them."""
        for sample in self.select(state="settled", workspace=workspace):
            yield msgspec.to_builtins(sample) | {
                "instruction": sample.instruction or "Continue this 65816 assembly code (Asar).",
                "input": sample.prefix if sample.kind == "ghost" else "",
                "output": sample.settled,
            }

    # --- inside --------------------------------------------------------------------------------------------------

    def _submit(self, job: Callable[[sqlite3.Connection], T]) -> Future[T]:
        future: Future[T] = Future()
        self._jobs.put((job, future))
        return future

    def _write_loop(self) -> None:
        while True:
            item = self._jobs.get()
            if item is None:
                break
            job, future = item
            while True:
                try:
                    connection = self._connection = self._connection or self._open()
                    result = job(connection)
                    connection.commit()
                except sqlite3.DatabaseError as error:
                    if isinstance(error, _OWN_FAULTS):      # would fail for ever, and hold up the jobs behind it
                        self._close_connection()
                        future.set_exception(SampleError(_trouble(self.path, error)))
                        break
                    if self._set_aside_if_broken(error):
                        continue
                    self._close_connection()
                    if not self._troubled:
                        self._troubled = True
                        self._on_problem(_trouble(self.path, error))
                    last_call = not self._jobs.empty() and None in list(self._jobs.queue)
                    if self._closing.wait(0.0 if last_call else 0.5) or last_call:
                        future.set_exception(SampleError(_trouble(self.path, error)))
                        break
                except Exception as error:      # the job's own fault, or its file's; the jobs behind it go on
                    self._close_connection()
                    future.set_exception(SampleError(_trouble(self.path, error)))
                    break
                else:
                    self._troubled = False
                    future.set_result(result)
                    break
        self._close_connection()

    def _open(self) -> sqlite3.Connection:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(self.path, timeout=5.0)
        try:
            connection.execute("PRAGMA secure_delete = ON")
            connection.execute("PRAGMA journal_mode = DELETE")
            connection.execute("PRAGMA synchronous = FULL")
            _migrate(connection)
        except sqlite3.Error:
            connection.close()
            raise
        return connection

    def _close_connection(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _read(self, statement: str, values: tuple[Any, ...]) -> list[tuple[Any, ...]]:
        if not self.path.exists():
            return []
        try:
            with closing(sqlite3.connect(self.path, timeout=5.0)) as connection:
                if connection.execute("PRAGMA user_version").fetchone()[0] == 0:
                    return []
                return connection.execute(statement, tuple(map(_storable, values))).fetchall()
        except sqlite3.Error as error:
            raise SampleError(_trouble(self.path, error)) from error

    def _set_aside_if_broken(self, error: sqlite3.Error) -> bool:
        """A file that is no database any more is moved beside and a new one begun; True when that was done."""
        if not _is_damage(error):
            return False
        self._close_connection()
        aside = self.path.with_name(f"{self.path.name}.broken-{time.time_ns()}")
        try:
            self.path.rename(aside)
        except OSError:
            return False
        self._on_problem(f"The sample store {self.path} was damaged: set aside as {aside.name}, a new one begun.")
        return True

    def _broken_files(self) -> list[Path]:
        return list(self.path.parent.glob(f"{self.path.name}.broken-*"))

    def _drop_broken_files(self, texts: set[str]) -> None:
        for aside in self._broken_files():
            content = aside.read_bytes()
            if any(text.encode() in content for text in texts):
                aside.unlink()

    @staticmethod
    def _forget(connection: sqlite3.Connection, ids: list[str]) -> None:
        for sample_id in ids:
            connection.execute("DELETE FROM sample WHERE id = ?", (sample_id,))
            connection.execute("DELETE FROM event WHERE id = ?", (sample_id,))

    @staticmethod
    def _used_bytes(connection: sqlite3.Connection) -> int:
        def pragma(name: str) -> int:
            return int(connection.execute(f"PRAGMA {name}").fetchone()[0])

        return (pragma("page_count") - pragma("freelist_count")) * pragma("page_size")


def _storable(value: T) -> T:
    """``value``, with U+FFFD for half a surrogate pair: an editor can send one, SQLite cannot store it."""
    if isinstance(value, str):
        return type(value)(value.encode("utf-16", "surrogatepass").decode("utf-16", "replace"))
    return value


def _sample(row: tuple[Any, ...]) -> Sample:
    return Sample(**dict(zip(FIELDS, row, strict=True)))


def _lines(row: tuple[Any, ...]) -> set[str]:
    """The telling lines of a row's own texts. SQLite cuts a long text into pages, so a whole one may stand nowhere."""
    texts = (str(row[FIELDS.index(name)]) for name in ("base", "offered", "accepted", "settled"))
    return {line.strip() for text in texts for line in text.splitlines() if len(line.strip()) >= 4}


def _migrate(connection: sqlite3.Connection) -> None:
    """Bring the file to the newest form. Migrations are only ever appended; another server may do it first, so the
    version is read again inside the transaction."""
    connection.execute("BEGIN IMMEDIATE")
    version = int(connection.execute("PRAGMA user_version").fetchone()[0])
    if version > len(MIGRATIONS):
        connection.rollback()
        raise sqlite3.OperationalError(f"the file was written by a newer Nayru (form {version}); upgrade this one")
    for number, script in enumerate(MIGRATIONS[version:], start=version + 1):
        for statement in filter(str.strip, script.split(";")):
            connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {number}")
    connection.commit()


def _is_damage(error: Exception) -> bool:
    return "malformed" in str(error) or "not a database" in str(error)


def _trouble(path: Path, error: Exception) -> str:
    text = str(error)
    if "full" in text:
        return f"The disk is full: samples wait in memory and are written to {path} when there is room again."
    if _is_damage(error):
        return (f"The sample store {path} is damaged. The next sample sets it aside as {path.name}.broken-\u2026 "
                "and begins a new one; `nayru samples delete --all` removes both.")
    if "locked" in text or "busy" in text:
        return f"The sample store {path} is held by another program; samples wait in memory and are tried again."
    return f"The sample store {path} cannot be used ({text}); check that the folder exists and can be written to."
