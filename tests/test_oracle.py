"""What the expansion is compared with, and the comparison itself, which must not find what is not there."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pytest

from nayru_lsp.asm.problem import Problem, Severity
from nayru_lsp.asm.text import Span
from tests import oracle
from tests.asar_suite import Case, dummy_rom, read_case, wrong_bytes
from tests.comparison import compare_bytes, compare_labels, hit
from tests.expansion import base_image
from tests.kit import require
from tests.oracle import Assembled, Told

MAIN = """lorom
!text = word
org $008000
Main:
    LDA.b #!outside
.sub
    JSL Far
-   BRA -
incsrc "part.asm"
print "done"
"""
PART = "org $018000\nFar:\n    RTL\n"


@pytest.fixture(params=[1, 2])
def library(request: pytest.FixtureRequest) -> Path:
    if request.param == 1:
        return require("asar")
    place = oracle.library(2)
    if place is None:
        pytest.skip("NAYRU_ASAR_2 names no library of the 2.0 beta")
    return place


def test_a_good_run(library: Path, tmp_path: Path) -> None:
    main = tmp_path / "main.asm"
    main.write_text(MAIN)
    result = oracle.assemble(main.as_posix(), library=library, defines=[("outside", "$12")], base_image=0x8000,
                             memory={(tmp_path / "part.asm").as_posix(): PART.encode()})
    assert result.ok and not result.died and not result.errors
    assert result.named == {"Main": 0x8000, "Main_sub": 0x8002, "Far": 0x18000}
    assert any(name.startswith(":") for name in result.labels)
    assert result.defines["text"] == "word" and result.defines["outside"] == "$12"
    assert result.blocks == ((0, 0x808000, b"\xa9\x12\x22\x00\x80\x01\x80\xfe"), (0x8000, 0x818000, b"\x6b"))
    assert result.image[:2] == b"\xa9\x12" and result.image[8:0x8000] == bytes(0x7FF8)
    assert result.prints == ("done",) and 0 <= result.seconds < 60 and result.version // 10000 in (1, 2)


def test_a_failed_run_has_labels(library: Path, tmp_path: Path) -> None:
    main, part = tmp_path / "main.asm", tmp_path / "below" / "part.asm"
    part.parent.mkdir()
    part.write_text(PART + "    bogus\n")
    main.write_text(MAIN.replace("!outside", "1") + 'incsrc "gone.asm"\n')
    result = oracle.assemble(main.as_posix(), library=library, include_paths=[part.parent.as_posix()])
    assert not result.ok and not result.died and not result.blocks and not result.image
    assert result.named == {"Main": 0x8000, "Main_sub": 0x8002, "Far": 0x18000}
    assert {(error.name, error.path, error.line) for error in result.errors} == {
        ("Eunknown_command", part.as_posix(), 3), ("Efile_not_found", main.as_posix(), 10)}
    assert "bogus" in {error.block for error in result.errors}


def test_no_end_and_no_library(library: Path, tmp_path: Path) -> None:
    main = tmp_path / "main.asm"
    main.write_text("lorom\norg $008000\nwhile 1 == 1\nendwhile\n")
    assert "no end" in oracle.assemble(main.as_posix(), library=library, limit=1).died
    assert "ended with code" in oracle.assemble(main.as_posix(), library=main).died


# --- the comparison --------------------------------------------------------------------------------------------------

class Label(NamedTuple):
    value: int | None
    path: str
    row: int


class Written(NamedTuple):
    rom: int | None
    data: bytes | None
    row: int
    size: int = 2
    path: str = "/a.asm"


def test_one_wrong_size_is_one_cause() -> None:
    """Behind it everything is shifted up to the next `org`; labels of another file in between change nothing."""
    asar = {"A": 0x8000, "B": 0x8004, "C": 0x8008, "D": 0x800C, "Ram": 0x8009, "Next": 0x18000, ":pos_0_1": 5}
    made = {"Ram": Label(0x8009, "/ram.asm", 0), "A": Label(0x8000, "/a.asm", 0), "B": Label(0x8004, "/a.asm", 4),
            "C": Label(0x8009, "/a.asm", 8), "D": Label(0x800D, "/a.asm", 9), "Next": Label(0x18000, "/b.asm", 0),
            ":macro": Label(3, "/a.asm", 2)}
    found = compare_labels(made, asar)
    assert (found.asar, found.ours, found.found, found.equal) == (6, 6, 6, 4)
    [cause] = found.causes
    assert (cause.label, cause.before, cause.path, cause.row, cause.asar_gap, cause.our_gap) == (
        "C", "B", "/a.asm", 8, 4, 5)
    assert not found.all_equal
    assert compare_labels({name: Label(value, "/a.asm", 0) for name, value in asar.items()}, asar).all_equal


def test_labels_that_only_one_has() -> None:
    found = compare_labels({"A": Label(None, "/a.asm", 0), "C": Label(1, "/a.asm", 1)}, {"A": 1, "B": 2})
    assert (found.unknown, found.missing, found.extra, found.causes) == (("A",), ("B",), ("C",), ())


def test_bytes_of_all_kinds() -> None:
    block = b"\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a"
    result = Assembled(True, {}, {}, ((0x10, 0x8010, block),), bytes(0x10) + block + b"\xaa\xbb\0\0", (), (), (), 0, 1)
    ours = [Written(0x10, b"\xff\xff", 0), Written(0x10, b"\1\2", 1), Written(0x12, b"\3\xff", 2),
            Written(0x14, None, 3), Written(0x18, b"\x09\x0a", 4), Written(0x1A, b"\xaa\xbb", 5),
            Written(0x30, b"\1\2", 6), Written(None, b"\1\2", 7)]
    found = compare_bytes(ours, result)
    assert (found.asar, found.equal, found.different, found.unknown, found.missing, found.extra, found.unlisted,
            found.unplaced) == (10, 5, 1, 2, 2, 2, 2, 2)
    assert [(spot.kind, spot.row, spot.rom, spot.size, spot.asar, spot.ours) for spot in found.spots] == [
        ("different", 2, 0x13, 1, b"\x04", b"\xff"), ("unknown", 3, 0x14, 2, b"\5\6", b""),
        ("missing", 3, 0x16, 2, b"\7\x08", b""), ("extra", 6, 0x30, 2, b"\0\0", b"\1\2")]
    assert compare_bytes([Written(0x10, block, 0, 10)], result).all_equal


def test_errors_on_the_same_line() -> None:
    def problem(row: int, code: str = "E") -> Problem:
        return Problem("/a.asm", Span(row, row), code, Severity.ERROR, "")

    def error(line: int, *callers: tuple[str, int]) -> Told:
        return Told("Eunclosed_if", "/a.asm", line, "", "", callers)

    def how(told: Told, *problems: Problem, generation: int = 1) -> str:
        return hit(told, problems, generation, lambda path: 20)

    assert how(error(5), problem(5)) == "line"
    assert how(error(5), problem(6)) == how(error(5, ("/a.asm", 9)), problem(6), generation=2) == ""
    assert how(error(5, ("/a.asm", 9)), problem(6)) == "line"
    assert how(error(5, ("/a.asm", 9)), problem(9)) == "call"
    assert how(error(-1), problem(3, "Eunclosed_if")) == how(error(19), problem(3, "Eunclosed_if")) == "file"
    assert how(error(-1), problem(3)) == ""


def test_base_images(tmp_path: Path) -> None:
    assert base_image("2K:7F") == b"\x7f" * 2048 and base_image("0x10:$0") == bytes(16) and base_image("") == b""
    (tmp_path / "rom.sfc").write_bytes(b"rom")
    assert base_image(str(tmp_path / "rom.sfc"), [(1, b"u")]) == b"rum"


def test_heads_of_asars_test_files() -> None:
    text = b"\xef\xbb\xbf;`+ #2\r\n;`07606 5C 08\r\n;P>text\r\n;`errEfoo warnWbar errEfoo\r\norg $008000\r\n;`FF\r\n"
    assert read_case("/t/a.asm", text, 1) == Case(
        "/t/a.asm", {0x7606: 0x5C, 0x7607: 8}, ["Efoo", "Efoo"], ["Wbar"], True, 2)
    assert read_case("/t/a.asm", text, 2).expected == {0x7606: 0x5C, 0x7607: 8, 0x7608: 0xFF}
    image = bytearray(dummy_rom())
    assert len(image) == 0x80000 and wrong_bytes(read_case("/t/a.asm", text, 1), bytes(image))
    image[0x7606:0x7608] = b"\x5c\x08"
    assert not wrong_bytes(read_case("/t/a.asm", text, 1), bytes(image))
