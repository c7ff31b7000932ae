"""A deletion reaches everything below the data folder, through the real commands."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from nayru_lsp.samples import Sample, SampleStore
from nayru_train.sample import Sample as Row
from nayru_train.sample import sealed, write_jsonl

SECRET = "    LDA.w #$5EC2 : STA.l $7E1234"


def test_samples_delete_leaves_no_byte_below_the_data_folder(tmp_path: Path) -> None:
    data = tmp_path / "data"
    store = SampleStore(data / "samples.sqlite")
    for number in range(3):
        text = SECRET if number == 1 else f"    LDX.b #${number:02X}"
        store.put(Sample(id=f"{number:032x}", kind="ghost", state="settled", created=1.0, workspace="/ws",
                         path="/ws/a.asm", offered=text, accepted=text, settled=text, consent=1.0)).result(10)
    store.close()
    prepared = data / "train" / "runs" / "one" / "prepare" / "train.jsonl"
    prepared.parent.mkdir(parents=True)
    rows = [Row("completion", SECRET, project="p", source="store", origin=f"{1:032x}"),
            Row("completion", "    RTS", prefix="Kept:", project="p", source="checkout", origin="a.asm:1")]
    write_jsonl(prepared, [sealed(row) for row in rows])

    environment = {**os.environ, "NAYRU_HOME": str(tmp_path), "NAYRU_PLUGINS": ""}
    done = subprocess.run([sys.executable, "-P", "-m", "nayru_lsp", "samples", "delete", f"{1:032x}", "--json"],
                          env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["deleted"] == 1
    left = [path for path in tmp_path.rglob("*") if path.is_file() and b"5EC2" in path.read_bytes()]
    assert left == []
    assert "Kept:" in prepared.read_text()
