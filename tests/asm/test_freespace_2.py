"""Freespace under Asar 2.0: places, tags, pins, cleaned blocks and errors; the real one is asked where it is there."""

from __future__ import annotations

import random

import pytest

from nayru_lsp.asm.expand import Expansion, run
from nayru_lsp.asm.freespace import Mapping
from nayru_lsp.asm.freespace_2 import CODE, Image2, Wanted2
from nayru_lsp.asm.live import Live
from nayru_lsp.asm.mapping import SA1_BANKS, MappingMode
from nayru_lsp.asm.project import Root
from nayru_lsp.asm.syntax import Dialect
from tests import oracle
from tests.asm.executing import applied_twice, block, image, used_up
from tests.comparison import compare_bytes, compare_labels, errors_of, row_of

MAIN = "/main.asm"
ROOT = Root(MAIN, Dialect.ASAR_2)


def expand(text: str, base: bytes) -> Expansion:
    return run(ROOT, {MAIN: text.encode()}.get, base)


def patched(expansion: Expansion, base: bytes) -> bytes:
    """``base`` with all that was written; as large as the last byte needs, in steps of 32 KiB."""
    out = bytearray(base)
    for write in expansion.writes:
        assert write.rom is not None and write.data is not None, write
        end = write.rom + write.size
        out.extend(bytes(max(0, (end + 0x7FFF & ~0x7FFF) - len(out))))
        out[write.rom:end] = write.data
    return bytes(out)


def stated(text: str) -> dict[int, int]:
    """``offset bytes / offset bytes``, all in hex; ``00*100`` is $100 times the same."""
    out: dict[int, int] = {}
    for part in text.split(" / ") if text else ():
        offset, *data = part.split()
        at = int(offset, 16)
        for one in data:
            byte, _, count = one.partition("*")
            for _ in range(int(count or "1", 16)):
                out[at] = int(byte, 16)
                at += 1
    return out


HOOK = "org $008000\nautoclean JSL Main\n"
GROWING = "if read1($008000) == $22\nnop #{}\nelse\nnop #{}\nendif\n"

# What is assembled, onto what, how often, and what 2.0 wrote the last time.
GOOD: dict[str, tuple[str, bytes, int, str]] = {
    "one block": (
        "freecode cleaned\nMain: rtl\n", image(), 1,
        "007fd7 0a / 080000 53 54 41 52 00 00 ff ff 6b"),
    "code and data": (
        "org $008000\nautoclean JSL Main\nfreecode\nMain: lda.l Table,x : rtl\nfreedata cleaned\nTable: db 1,2,3\n",
        image(), 3,
        "000000 22 08 80 90 / 080000 53 54 41 52 04 00 fb ff bf 2b 80 90 6b / 080023 53 54 41 52 02 00 fd ff 01 "
        "02 03"),
    "a label is near in its own block only": (
        "freecode cleaned\nHere: bra There\nlda There\nbeq +\n+\nlda Far\nThere: nop\nfreedata cleaned\nFar: db "
        "1\nlda Here\nlda Far\n", image(), 1,
        "007fd7 0a / 080000 53 54 41 52 0b 00 f4 ff 80 09 ad 13 80 f0 00 af 1c 80 90 ea 53 54 41 52 07 00 f8 ff "
        "01 af 08 80 90 ad 1c 80"),
    "under a base": (
        "freecode cleaned\nbase $1000\nlda Near\nNear: nop\nbase off\nFar: lda Far\n", image(), 1,
        "007fd7 0a / 080000 53 54 41 52 06 00 f9 ff ad 03 10 ea ad 0c 80"),
    "in the upper half of a large image": (
        "freedata cleaned\nLow: db 1\nfreecode cleaned\nHigh: rtl\n", image(0x400000), 1,
        "080000 53 54 41 52 00 00 ff ff 6b / 1ffff8 53 54 41 52 00 00 ff ff / 200000 01"),
    "tags are jumped over": (
        "freecode cleaned\nMain: nop\n", image(0x100000, x80000=block(bytes(0x100)), x80110=block(b"\0")), 1,
        "080119 53 54 41 52 00 00 ff ff ea"),
    "too small a gap": (
        "freecode cleaned\nMain: nop #9\n", image(0x100000, x80000=b"\1", x8000A=b"\1", x80018=b"\1"), 1,
        "080019 53 54 41 52 08 00 f7 ff ea*9"),
    "no block crosses a bank": (
        "freedata cleaned\nfill $7F00\nfreecode cleaned\nMain: fill $200\n", image(), 1,
        "007fd7 0a / 080000 53 54 41 52 ff 7e 00 81 00*7f00 / 087ff8 53 54 41 52 ff 01 00 fe / 088000 00*200"),
    "the tag in the bank before": (
        "freedata cleaned\nMain: fill $8000\n", image(), 1,
        "007fd7 0a / 087ff8 53 54 41 52 ff 7f 00 80 / 088000 00*8000"),
    "aligned": (
        "org $008000\nautoclean JSL Main\nfreecode align\nMain: rtl\n", image(), 2,
        "000000 22 00 80 92 / 08fff8 53 54 41 52 00 00 ff ff / 090000 6b"),
    "aligned, the first place taken": (
        "freedata cleaned,align\nfill $100\n", image(0x100000, x87FFA=b"\1", x90050=b"\1"), 1,
        "097ff8 53 54 41 52 ff 00 00 ff / 098000 00*100"),
    "another free byte": (
        "freespacebyte $FF\nfreecode cleaned\nnop\n", image(0x100000, x80000=b"\xFF" * 0x80000), 1,
        "080000 53 54 41 52 00 00 ff ff ea"),
    "position": (
        "freecode cleaned\nMain: dd pc(),realbase() : dl pc()\nskip 3\ndb 1\n", image(), 1,
        "007fd7 0a / 080000 53 54 41 52 0e 00 f1 ff 08 80 90 00 0c 80 90 00 10 80 90 00 00 00 01"),
    "pushpc": (
        "freecode cleaned\nMain: nop\npushpc\norg $008100\njsl Main\npullpc\nMore: rtl\n", image(), 1,
        "000100 22 08 80 90 / 007fd7 0a / 080000 53 54 41 52 01 00 fe ff ea 6b"),
    "blocks inside each other": (
        "freecode cleaned\nOne: nop\npushpc\nfreedata cleaned\nTwo: db 1\npullpc\nThree: rtl\n", image(), 1,
        "007fd7 0a / 080000 53 54 41 52 01 00 fe ff ea 6b 53 54 41 52 00 00 ff ff 01"),
    "grows and shrinks": (
        "org $008000\nautoclean JSL Main\nfreecode\nMain:\nif read1($008000) == $22\nnop #20\nelse\nnop "
        "#200\nendif\nrtl\n", image(), 3,
        "000000 22 08 80 90 / 080000 53 54 41 52 14 00 eb ff ea*14 6b"),
    "cleaned room is used again": (
        "org $008000\nautoclean JSL Main\nautoclean dl Table\nfreecode\nMain: nop #4 : rtl\nfreedata\nTable: db "
        "1\n", image(), 2,
        "000000 22 08 80 90 15 80 90 / 080000 53 54 41 52 04 00 fb ff ea ea ea ea 6b 53 54 41 52 00 00 ff ff 01"),
    "jml, dl and others": (
        "org $008000\nautoclean JML One\nautoclean dl Two\nautoclean lda Three,x\nautoclean cmp.l "
        "Three\nfreecode\nnop\nOne: rtl\nfreedata\nTwo: db 1\nfreedata\nThree: db 2\n", image(), 3,
        "000000 5c 09 80 90 12 80 90 bf 1b 80 90 cf 1b 80 90 / 080000 53 54 41 52 01 00 fe ff ea 6b 53 54 41 52 "
        "00 00 ff ff 01 53 54 41 52 00 00 ff ff 02"),
    "one block cleaned twice": (
        "org $008000\nautoclean JSL One\nautoclean JSL Two\nfreecode\nOne: rtl\nTwo: rtl\n", image(), 3,
        "000000 22 08 80 90 22 09 80 90 / 080000 53 54 41 52 01 00 fe ff 6b 6b"),
    "two blocks become one": (
        "org $008000\nautoclean jsl One\nautoclean jsl Two\nif read1($008000) == 0\nfreecode\nOne: "
        "rtl\nfreecode\nTwo: rtl\nelse\nfreecode\nOne: rtl\nTwo: rtl\nendif\n", image(), 3,
        "000000 22 08 80 90 22 09 80 90 / 080000 53 54 41 52 01 00 fe ff 6b 6b"),
    "protected": (
        "org $008000\nautoclean JSL Main\nfreecode\nprot Table\nMain: lda.l Table : rtl\nfreedata\nTable: db 1,2\n",
        image(), 3,
        "000000 22 15 80 90 / 080000 53 54 41 52 11 00 ee ff 50 52 4f 54 03 22 80 90 53 54 4f 50 00 af 22 80 90 "
        "6b 53 54 41 52 01 00 fe ff 01 02"),
    "protected twice, and itself": (
        "org $008000\nautoclean JSL Main\nfreecode\nprot Main,One\nprot Two\nMain: rtl\nfreedata\nOne: db "
        "1\nfreedata\nTwo: db 1,2\n", image(), 3,
        "000000 22 20 80 90 / 080000 53 54 41 52 18 00 e7 ff 50 52 4f 54 06 20 80 90 3b 80 90 50 52 4f 54 03 44 "
        "80 90 53 54 4f 50 00 6b / 080033 53 54 41 52 00 00 ff ff 01 53 54 41 52 01 00 fe ff 01 02"),
    "prot behind a skip": (
        "freecode cleaned\nskip 3\nprot Main\nMain: rtl\n", image(), 1,
        "007fd7 0a / 080000 53 54 41 52 10 00 ef ff 00 00 00 50 52 4f 54 03 18 80 90 53 54 4f 50 00 6b"),
    "static": (
        "org $008000\nautoclean JSL Main\nfreecode static\nMain: rtl\nfreecode cleaned\nnop\n", image(), 3,
        "000000 22 08 80 90 / 080008 6b / 08001b 53 54 41 52 00 00 ff ff ea"),
    "static and shrinking": (
        "org $008000\nautoclean JSL Main\nfreecode static\nMain:\nif read1($008000) != $22\nnop\nendif\nrtl\n",
        image(), 3,
        "000000 22 08 80 90 / 080008 6b"),
    "clean an address": (
        "autoclean $108008\nfreecode cleaned\nrtl\n",
        image(0x100000, x80000=block(b"PROT\3\0\x81\x10STOP\0" + b"\1" * 30), x80100=block(b"\1" * 9)), 1,
        "080000 53 54 41 52 00 00 ff ff 6b 00*2a / 080100 00*11"),
    "another game's JSL is no block": (
        "org $008000\nautoclean JSL Main\nfreecode\nMain: rtl\n", image(x00000=b"\x22\x00\x80\x01"), 2,
        "000000 22 08 80 90 / 080000 53 54 41 52 00 00 ff ff 6b"),
    "settings": (
        "freespace_settings ram,cleaned\nfreespace\nnop\nfreespace_settings "
        "nocleaned,norats\nsegment\nrtl\nfreespace noram\nrts\n", image(), 1,
        "007fd7 0a / 080000 53 54 41 52 00 00 ff ff ea 6b 60"),
    "in a bank": (
        "freespace cleaned,bank=$13\nMain: lda Main\nfreespace cleaned,bank=$94\nlda Main\nsegment bank=$13\nfill "
        "4\n", image(0x100000), 1,
        "098000 53 54 41 52 02 00 fd ff ad 08 80 00 00 00 00 / 0a0000 53 54 41 52 03 00 fc ff af 08 80 93"),
    "from an address on": (
        "freecode cleaned,start=$108800\nMain: rtl\nsegment start=$008000\ndb 1\norg $008000\nnop\n", image(), 1,
        "000000 ea 01 / 007fd7 0a / 080800 53 54 41 52 00 00 ff ff 6b"),
    "pinned": (
        "segment pin=Late\nOne: db 1\nfreecode cleaned\nTwo: db 2,2\nfreedata cleaned,pin=One\ndb 3\nsegment "
        "start=$12A000\nLate: db 4 : dl One\n", image(), 1,
        "007fd7 0a / 080000 53 54 41 52 01 00 fe ff 02 02 / 092000 04 04 a0 92 01 03"),
    "pinned to each other": (
        "segment pin=Two\nOne: db 1\nsegment pin=One\nTwo: db 2\n", image(), 1,
        "007fd7 0a / 080000 02 01"),
    "pinned in a namespace": (
        "namespace foo\nfreecode cleaned\nOne: nop\nfreecode cleaned,pin=One\nTwo: rtl\nnamespace off\nsegment "
        "pin=foo_One\nrts\n", image(), 1,
        "007fd7 0a / 080000 53 54 41 52 02 00 fd ff ea 6b 60"),
    "the program is in the way": (
        "org $108010\ndb 1\norg $108030\nfill 16\nfreecode cleaned\nnop #8\nfreecode cleaned\nnop #9\nfreecode "
        "cleaned\nnop\n", image(), 1,
        "080000 53 54 41 52 07 00 f8 ff ea*8 01 53 54 41 52 08 00 f7 ff ea*9 53 54 41 52 00 00 ff ff ea / 080030 "
        "00*10"),
    "the program makes the image larger": (
        "freespacebyte $42\norg $10FFFC\ndb 1\nfreedata cleaned,start=$108000\ndb 2\n", image(), 1,
        "080000 53 54 41 52 00 00 ff ff 02 / 087ffc 01"),
    "over banks": (
        "check bankcross off\nsegment bankcross\nfill $7FFF\nnop\n", image(), 1,
        "007fd7 0a / 087ff8 00*8 / 088000 00*7ff7 ea"),
    "a full image grows": (
        "freedata cleaned\nfill $7F00\nfreedata cleaned\nfill $4000\n", image(0x80000), 1,
        "007fd7 0a / 080000 53 54 41 52 ff 7e 00 81 00*7f00 / 087ff8 53 54 41 52 ff 3f 00 c0 / 088000 00*4000"),
    "empty": (
        "freecode cleaned\nMain:\nfreespace cleaned,bank=$12\nMore:\n", image(), 1,
        ""),
    "datasize": (
        "org $008000\nautoclean JSL Main\nfreecode\nMain: db datasize(Main) : dl datasize(More)\nMore: nop\n",
        image(), 1,
        "000000 22 08 80 90 / 007fd7 0a / 080000 53 54 41 52 04 00 fb ff 04 f3 7f 6f ea"),
    "other processors": (
        "freecode cleaned\narch spc700\nmov a,Later\nbra Later\nLater:\narch 65816\nfreecode cleaned\nnop\n",
        image(), 1,
        "007fd7 0a / 080000 53 54 41 52 04 00 fb ff e5 0d 80 2f 00 53 54 41 52 00 00 ff ff ea"),
    "hirom": (
        "hirom\nfreecode cleaned\nMain: lda Main : rtl\nfreedata cleaned\nData: db 1\n",
        image(0x100000, xC0=b"\1" * 0x9000), 1,
        "000000 53 54 41 52 00 00 ff ff 01 / 0090c0 53 54 41 52 03 00 fc ff ad c8 90 6b"),
    "exlorom": (
        "exlorom\nfreecode cleaned\nMain: rtl\nfreedata cleaned\nData: db 1\n", image(0x100000), 1,
        "000000 53 54 41 52 00 00 ff ff 00 53 54 41 52 00 00 ff ff 6b 53 54 41 52 00 00 ff ff 01"),
    "exhirom": (
        "exhirom\nfreecode cleaned\nMain: rtl\nfreedata cleaned\nData: db 1\n", image(0x100000), 1,
        "000000 53 54 41 52 00 00 ff ff 01 / 008000 53 54 41 52 00 00 ff ff 6b"),
    "super fx": (
        "sfxrom\nfreecode cleaned\nMain: rtl\n", image(0x100000), 1,
        "080000 53 54 41 52 00 00 ff ff 6b"),
    "sa-1": (
        "sa1rom\nfreecode cleaned\nMain: rtl\nfreedata cleaned\nData: fill $7FF0\n", image(0x180000), 1,
        "080000 53 54 41 52 00 00 ff ff 6b / 087ff8 53 54 41 52 ef 7f 10 80 / 088000 00*7ff0"),
    "sa-1 with other banks": (
        "sa1rom 4,5,6,7\nfreecode cleaned\nMain: rtl\n", image(0x600000), 1,
        "400000 53 54 41 52 00 00 ff ff 6b"),
    "all of an sa-1": (
        "fullsa1rom\nfreecode cleaned\nMain: rtl\nfreedata cleaned\nData: db 1\n", image(0x800000), 1,
        "080000 53 54 41 52 00 00 ff ff 6b / 400000 53 54 41 52 00 00 ff ff 01"),
}
BAD: dict[str, tuple[str, bytes, list[int]]] = {
    "no_freespace": ("freecode cleaned\nMain: nop\n", image(0x200000, x80000=b"\1" * 0x180000), [0]),
    "no_freespace, empty in hirom": ("hirom\nfreecode cleaned\norg $C00000\nnop\n", image(), [1]),
    "no_freespace, norom": ("norom\nfreecode cleaned\nnop\n", image(), [1]),
    "no_freespace_in_mapped_banks": ("sa1rom 2,3,4,5\nfreecode cleaned\nnop\n", image(0x180000), [1]),
    "invalid_freespace_request": ("freespace cleaned\n", image(), [0]),
    "invalid_freespace_request, segment": ("segment static\n", image(), [0]),
    "static_freespace_autoclean": ("freecode static\nMain: nop\nMore:\ndl More\n", image(), [0]),
    "autoclean_label_at_freespace_end": ("org $008000\nautoclean JSL Main\nMain: nop\n", image(), [1]),
    "autoclean_in_freespace": ("freecode cleaned\nMain: nop\nautoclean dl Main\n", image(), [2]),
    "broken_autoclean": ("org $008000\nautoclean lda.w Main\nfreecode\nnop\nMain: nop\n", image(), [1]),
    "broken_autoclean, nothing": ("org $008000\nautoclean nop\n", image(), [1]),
    "label_not_found": ("org $008000\nautoclean dl Main+1\nfreecode\nMain: nop\n", image(), [1]),
    "label_not_found, pin": ("freecode cleaned,pin=Main\nnop\n", image(), [0]),
    "prot_not_at_freespace_start": ("freecode cleaned\nnop\nprot Main\nMain: nop\n", image(), [2]),
    "prot_not_at_freespace_start, segment": ("segment\nprot Main\nMain: nop\n", image(), [1]),
    "pad_in_freespace": ("freecode cleaned\npad $108100\n", image(), [1]),
    "label_ambiguous": ("freecode cleaned\nMain: nop\nCopy = Main\nMore = Main+1\n", image(), [2, 3]),
    "internal_error": (
        "freecode cleaned\nMain: nop\nskip align 16\nMore: nop\nskip align 16\nLast: nop\n", image(), [3]),
    "snes_address_doesnt_map_to_rom": (
        "org $008000\nMain: nop\nfreecode cleaned,pin=Main\nrtl\n", image(), [3]),
    "snes_address_doesnt_map_to_rom, beyond the last bank": (
        "freedata bankcross,cleaned\nMain: fill $7000\nMore: fill $0FFE\nlda $1234\nlda $1234\nLast: db 1,2\nfreecode "
        "cleaned\nOther: nop\norg $008000\ndl Main,More,Last,Other\n", image(), [3, 4, 5]),
    "no_freespace, the free byte of then": (
        "freespace_settings noram,start=$8040\norg $807F\ndb $42\nfreespacebyte $42\ndb $12,$34\nfreecode cleaned\n"
        "db $56\n", b"", [5]),
    "no_freespace, no image": ("freecode cleaned\nnop\n", b"", [0]),
}


@pytest.mark.parametrize("name", GOOD)
def test_places(name: str) -> None:
    text, base, times, written = GOOD[name]
    for _ in range(times):
        expansion = expand(text, base)
        writes = expansion.writes
        assert errors_of(expansion.problems) == []
        base = patched(expansion, base)
    at = [offset for write in writes if write.rom is not None for offset in range(write.rom, write.rom + write.size)]
    assert {offset: base[offset] for offset in at} == stated(written)


@pytest.mark.parametrize("name", GOOD)
def test_places_as_the_real_2_0(name: str) -> None:
    text, base, times, written = GOOD[name]
    for _ in range(times):
        ours, asar = expand(text, base), real(text, base)
        assert asar.ok, asar.errors
        labels, compared = compare_labels(ours.labels, asar.labels), compare_bytes(ours.writes, asar)
        assert labels.all_equal, labels
        assert compared.all_equal, compared
        base = asar.image
    assert {offset + at: byte for offset, _, data in asar.blocks for at, byte in enumerate(data)} == stated(written)


@pytest.mark.parametrize("name", BAD)
def test_errors(name: str) -> None:
    text, base, rows = BAD[name]
    expansion = expand(text, base)
    expansion.data()
    own = [(problem.code, row_of(problem)) for problem in errors_of(expansion.problems)]
    assert own == [("E" + name.partition(",")[0], row) for row in rows]


@pytest.mark.parametrize("name", BAD)
def test_the_real_2_0_has_these_errors(name: str) -> None:
    text, base, rows = BAD[name]
    asar = real(text, base)
    assert [(error.name, error.line) for error in asar.errors] == [
        ("E" + name.partition(",")[0], row) for row in rows]
    if "beyond" in name:
        assert {label: made.value for label, made in expand(text, base).labels.items()} == asar.named


def real(text: str, base: bytes) -> oracle.Assembled:
    library = oracle.library(2)
    if library is None:
        pytest.skip("no library of Asar 2.0: set NAYRU_ASAR_2")
    return oracle.assemble(MAIN, library=library, memory={MAIN: text.encode()}, base_image=base, limit=5)


def test_a_static_block_does_not_grow() -> None:
    text = HOOK + "freecode static\nMain:\n" + GROWING.format(20, 1) + "rtl\n"
    first = expand(text, image())
    assert errors_of(first.problems) == []
    again = expand(text, patched(first, image()))
    assert [(problem.code, row_of(problem)) for problem in errors_of(again.problems)] == [
        ("Estatic_freespace_growing", 2)]


def test_any_number_of_blocks() -> None:
    """1.91 has 125 at most."""
    expansion = expand("!n = 0\nwhile !n < 300\nfreecode cleaned : nop\n!n #= !n+1\nendwhile\nLast: nop\n", image())
    assert errors_of(expansion.problems) == []
    assert expansion.labels["Last"].value == 0x908000 + 300 * 9


@pytest.mark.parametrize("seed", range(30))
def test_generated_patches(seed: int) -> None:
    rng = random.Random(seed)
    base = used_up(rng)
    names = ["First", "Second", "Third", "Fourth"][:rng.randrange(1, 5)]
    lines = [rng.choice(("", "sa1rom", "exlorom", "sa1rom 1,0,3,2"))]
    for number, name in enumerate(names):
        hook = [f"org $00{0xF000 + 16 * number:X}", f"autoclean {rng.choice(('JSL', 'jml', 'dl', 'lda'))} {name}"]
        lines += hook if rng.random() < 0.5 else []
        if rng.random() < 0.2:
            lines += [f"org $1080{rng.randrange(256):02X}", "fill 20"]
        kind = rng.choice(("freecode", "freedata", "segment"))
        options = ["cleaned"] * (kind != "segment") + rng.choices(
            ["align", f"pin={rng.choice(names)}", "bank=$12", "start=$118100", "start=$908000"], k=rng.randrange(2))
        lines.append(f"{kind} {','.join(options)}".strip())
        lines += [f"prot {rng.choice(names)}"] * (rng.random() < 0.3 and kind != "segment")
        lines.append(f"{name}:")
        lines += [rng.choice(("nop", "lda {}", "jsl {}", "dl {}", "lda #{}>>16", "fill 300", "lda.w {}", "fill $6000"))
                  .format(rng.choice(names)) for _ in range(rng.randrange(1, 6))]
    text = "\n".join(lines) + "\n"
    applied_twice(lambda base: (expand(text, base), real(text, base)), bytes(base))


# --- on its own ------------------------------------------------------------------------------------------------------

def test_without_an_image_the_place_is_not_known() -> None:
    expansion = run(ROOT, {MAIN: b"org $008000\nOne: nop\nfreecode cleaned\nTwo: nop\nskip 3\nprot Two\n"}.get)
    assert (expansion.labels["One"].value, expansion.labels["Two"].value) == (0x8000, None)
    assert any("freespace" in reason for reason in expansion.reasons)
    assert {problem.code for problem in errors_of(expansion.problems)} == {"Eprot_not_at_freespace_start"}


def test_a_bank_without_rom_has_no_known_place() -> None:
    expansion = expand("freespace cleaned,bank=$7E\nMain: nop\n", image())
    assert expansion.labels["Main"].value is None
    assert errors_of(expansion.problems) == []


@pytest.mark.parametrize("dialect", Dialect)
def test_an_edit_that_brings_the_first_block(dialect: Dialect) -> None:
    head = "org $008000\nStart: nop\n" + "nop\n" * 2_000
    files = {MAIN: head.encode()}
    root = Root(MAIN, dialect)
    live = Live(root, files.get, image())
    for more in ("nop\n", "nop\nfreecode cleaned\nMain: rtl\n", "freedata cleaned\nMain: dl Main\n"):
        files[MAIN] = (head + more).encode()
        expansion, fresh = live.changed([MAIN]), run(root, files.get, image())
        assert {name: label.value for name, label in expansion.labels.items()} == {
            name: label.value for name, label in fresh.labels.items()}
        assert expansion.writes == fresh.writes
        assert expansion.problems == fresh.problems
    assert expansion.labels["Main"].value == 0x908008 if dialect is Dialect.ASAR_2 else 0x108008


def test_an_edit_at_prot() -> None:
    """Execution does not begin again between `freecode` and the `prot` that has to follow it."""
    files = {MAIN: b"org $008000\nMain: nop\nfreecode cleaned\nincsrc \"more.asm\"\n", "/more.asm": b"prot Main\nnop\n"}
    for dialect in Dialect:
        live = Live(Root(MAIN, dialect), files.get)
        files["/more.asm"] = b"prot Main\nnop\nnop\n"
        assert errors_of(live.changed(["/more.asm"]).problems) == []


@pytest.mark.parametrize("mode", MappingMode)
def test_total_on_any_image(mode: MappingMode) -> None:
    """Every size and content ends, also where Asar itself would look for ever."""
    rng = random.Random(5)
    mapping = Mapping(mode, SA1_BANKS)
    for size in (0, 1, 7, 0x8000, 0x80001, 0x12345):
        data = bytes(rng.choice((0, 0, 0, 1, 83)) for _ in range(size)) + b"STAR\xFF\xFF\0\0" * (size & 1)
        for bank in (-1, CODE, 0, 0x10, 0x40, 0x7E, 0xC0):
            subject = Image2(data)
            subject.program([(rng.randrange(0x90000), rng.randrange(0x9000), 0)], mapping)
            for tagged in (False, True):
                wanted = Wanted2(bank, tagged, align=rng.random() < 0.5, cross=rng.random() < 0.5,
                                 start=rng.choice((-1, 0x8000, 0x108123)))
                for bytes_wanted in (0, 1, 100, 0x7FF0, 0x9000, 0x20000):
                    assert subject.place_2(wanted, bytes_wanted, mapping, rng.choice((0, 0xFF))) < 0x1000000


def test_what_is_taken_is_merged_bank_by_bank() -> None:
    subject = Image2(image())
    mapping = Mapping(MappingMode.LOROM, SA1_BANKS)
    for at, size in ((0x10, 4), (0x20, 4), (0x14, 0xC), (0x7FFE, 4), (0x8001, 1)):
        subject.take(at, size, mapping)
    assert subject.taken == [(0x808010, 0x10, 0x14), (0x80FFFE, 0x7FFE, 2), (0x818000, 0x8000, 2)]
