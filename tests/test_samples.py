from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pytest

from nayru_lsp.samples import DAY, Sample, SampleError, SampleStore


def sample(number: int, state: str = "settled", **more: object) -> Sample:
    fields: dict[str, object] = {
        "id": f"{number:032x}", "kind": "ghost", "state": state, "created": 1000.0 + number, "workspace": "/ws",
        "path": "/ws/a.asm", "offered": f"    LDA #$SECRET{number:04}\n", "accepted": f"    LDA #$SECRET{number:04}\n",
        "settled": f"    LDA #$SECRET{number:04}\n", "prefix": "Main:\n", "consent": 1.0,
    }
    return msgspec.convert(fields | more, Sample)


@pytest.fixture
def store(tmp_path: Path):
    one = SampleStore(tmp_path / "data" / "samples.sqlite")
    yield one
    one.close()


def test_what_is_put_is_on_the_disk_and_comes_back(store: SampleStore) -> None:
    wanted = sample(7, widths="m8 x16", sampling='{"temperature": 0.5}', settled_at=12.5)
    begun = time.perf_counter()
    store.put(wanted, "accepted", "LDA").result(5)
    assert time.perf_counter() - begun < 2.0
    code = "import sqlite3,sys; print(sqlite3.connect(sys.argv[1]).execute('select settled from sample').fetchone()[0])"
    seen = subprocess.run([sys.executable, "-c", code, str(store.path)], capture_output=True, text=True, check=True)
    assert "SECRET0007" in seen.stdout
    assert store.get(wanted.id) == wanted
    assert store.get(wanted.id[:31]) == wanted
    assert [(kind, text) for _, kind, text in store.history(wanted.id)] == [("accepted", "LDA")]


def test_delete_leaves_a_tombstone_and_no_byte_of_the_text(store: SampleStore) -> None:
    for number in range(60):
        store.put(sample(number, prompt="x" * 3000), "accepted", f"LDA #$SECRET{number:04}")
    store.put(sample(99, settled="KEPT")).result(5)
    assert store.delete([sample(n).id for n in range(60)]).result(10) == 60
    for file in store.path.parent.iterdir():
        assert b"SECRET00" not in file.read_bytes().replace(b"SECRET0099", b""), file
    assert b"KEPT" in store.path.read_bytes()
    assert len(store.tombstones()) == 60
    store.put(sample(3)).result(5)
    assert store.get(sample(3).id) is None, "a deleted sample must not come back"


def test_two_servers_share_one_store(store: SampleStore) -> None:
    other = SampleStore(store.path)
    done = [writer.put(sample(n)) for n in range(20) for writer in ((store, other)[n % 2],)]
    for future in done:
        future.result(10)
    assert len(store.select()) == len(other.select()) == 20
    other.close()


def test_offers_expire_and_the_store_is_capped(store: SampleStore) -> None:
    now = 100 * DAY
    store.put(sample(1, "offered", created=now - 31 * DAY))
    store.put(sample(2, "offered", created=now - 29 * DAY))
    store.put(sample(3, "settled", created=now - 90 * DAY)).result(5)
    assert store.expire(now).result(5) == 1
    assert {s.id for s in store.select()} == {sample(2).id, sample(3).id}
    for number in range(10, 60):
        store.put(sample(number, "offered" if number % 2 else "settled", prompt="y" * 20_000, created=now)).result(5)
    store.cap_bytes = 500_000
    store.expire(now).result(10)
    assert store.path.stat().st_size < 550_000
    assert {s.state for s in store.select()} == {"settled"}, "offers go before what the user took"


def test_consent_is_kept_per_workspace(store: SampleStore) -> None:
    assert store.consent("/ws") is None
    store.set_consent("/ws", True).result(5)
    store.set_consent("/other", False).result(5)
    assert store.consents() == {"/ws": True, "/other": False}


def test_a_locked_store_loses_nothing_and_says_so_once(tmp_path: Path) -> None:
    said: list[str] = []
    store = SampleStore(tmp_path / "s.sqlite", on_problem=said.append)
    store.put(sample(1)).result(5)
    blocker = sqlite3.connect(store.path)
    blocker.execute("BEGIN EXCLUSIVE")
    waiting = store.put(sample(2))
    deadline = time.monotonic() + 20
    while not said and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not waiting.done()
    blocker.rollback()
    blocker.close()
    waiting.result(10)
    assert len(store.select()) == 2
    assert len(said) == 1 and "held by another program" in said[0]
    store.close()


def test_a_full_disk_is_said_and_written_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    full = True
    real_open = SampleStore._open

    def open_small(self: SampleStore) -> sqlite3.Connection:
        connection = real_open(self)
        if full:
            connection.execute("PRAGMA max_page_count = 1")     # SQLite's own way to a full disk
        return connection

    monkeypatch.setattr(SampleStore, "_open", open_small)
    store = SampleStore(tmp_path / "s.sqlite", on_problem=said.append)
    waiting = store.put(sample(1, prompt="z" * 200_000))
    deadline = time.monotonic() + 20
    while not said and time.monotonic() < deadline:
        time.sleep(0.05)
    assert "disk is full" in said[0]
    full = False
    waiting.result(10)
    assert store.get(sample(1).id) is not None
    store.close()


def test_a_damaged_file_is_set_aside(tmp_path: Path) -> None:
    path = tmp_path / "s.sqlite"
    path.write_bytes(b"no database SECRET0001" * 500)
    said: list[str] = []
    store = SampleStore(path, on_problem=said.append)
    store.put(sample(1)).result(5)
    assert len(list(tmp_path.glob("s.sqlite.broken-*"))) == 1
    assert "set aside" in said[0]
    store.delete([sample(1).id]).result(5)
    store.close()


def test_an_unusable_place_is_an_error_not_a_crash(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    store = SampleStore(tmp_path / "file" / "s.sqlite")
    with pytest.raises(SampleError, match="cannot be used"):
        store.put(sample(1)).result(5)
    store.close()


def test_a_newer_form_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "s.sqlite"
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    said: list[str] = []
    store = SampleStore(path, on_problem=said.append)
    waiting = store.put(sample(1))
    store.close()
    with pytest.raises(SampleError, match="newer Nayru"):
        waiting.result(5)


def test_export_is_what_datasets_loads(store: SampleStore, tmp_path: Path) -> None:
    store.put(sample(1))
    store.put(sample(2, kind="routine", instruction="clear the screen"))
    store.put(sample(3, "rejected")).result(5)
    rows = list(store.export())
    assert {row["instruction"] for row in rows} == {"Continue this 65816 assembly code (Asar).", "clear the screen"}
    wanted = {"instruction", "input", "output", "prefix", "settled", "licence", "digest"}
    assert all(wanted <= row.keys() for row in rows)
    assert json.loads(json.dumps(rows)) == rows


def test_closing_writes_what_is_queued(tmp_path: Path) -> None:
    store = SampleStore(tmp_path / "s.sqlite")
    futures = [store.put(sample(n)) for n in range(30)]
    store.close()
    assert all(future.done() for future in futures)


def test_half_a_surrogate_pair_is_stored_and_the_writer_lives_on(store: SampleStore) -> None:
    """An editor may send one in an edit. SQLite cannot store it: once the writer died of it, and all later samples."""
    store.put(sample(10, offered="; \ud800 \U0001f600\n", path="/ws/caf\udce9.asm"), text="\udfff").result(10)
    found = store.get("0" * 31 + "a")
    assert found is not None and found.offered == "; \ufffd \U0001f600\n" and found.path == "/ws/caf\ufffd.asm"
    store.set_consent("/ws/caf\udce9", True).result(10)
    assert store.consent("/ws/caf\udce9") is True
    assert store.get("\ud800") is None
    assert store.delete(["0" * 31 + "a", "\udfff"]).result(10) == 1


def test_a_job_that_fails_by_itself_costs_no_other(store: SampleStore) -> None:
    with pytest.raises(SampleError):
        store.put(msgspec.structs.replace(sample(10), created={})).result(10)
    store.put(sample(11)).result(10)
    assert store.get("0" * 31 + "b") is not None


def test_deletion_reaches_long_texts_in_a_file_set_aside(tmp_path: Path) -> None:
    """A long text is cut into pages by SQLite: as a whole it is in no file, its lines are."""
    text = "".join(f"    LDA.w Secret{number:04}\n" for number in range(2000))
    first = SampleStore(tmp_path / "s.sqlite")
    first.put(sample(10, offered=text, settled=text)).result(10)
    first.close()
    good = (tmp_path / "s.sqlite").read_bytes()
    assert text.encode() not in good and b"Secret0999" in good
    (tmp_path / "s.sqlite.broken-1").write_bytes(good)
    second = SampleStore(tmp_path / "s.sqlite")
    assert second.delete(["0" * 31 + "a"]).result(10) == 1
    second.close()
    assert not [path for path in tmp_path.iterdir() if b"Secret" in path.read_bytes()]


def test_everything_can_be_deleted_from_a_damaged_store(tmp_path: Path) -> None:
    path, said = tmp_path / "s.sqlite", []
    path.write_bytes(b"no database, but Secret text" * 100)
    store = SampleStore(path, on_problem=said.append)
    with pytest.raises(SampleError, match="is damaged"):
        store.select()
    store.put(sample(10)).result(10)
    assert store.delete_all().result(10) == 1 and store.select() == [] and store.tombstones() == {"0" * 31 + "a"}
    store.close()
    assert [one.name for one in tmp_path.iterdir()] == ["s.sqlite"] and "set aside" in said[0]
