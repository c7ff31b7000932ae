"""Freespace against the real Asar 1.91: the same places, tags, cleaned blocks and errors on the same images."""

from __future__ import annotations

import random

import pytest

from nayru_lsp.asm.expand import Expansion, run
from nayru_lsp.asm.freespace import NOWHERE, Image, Mapping, Wanted
from nayru_lsp.asm.mapping import SA1_BANKS, MappingMode
from nayru_lsp.asm.project import Root
from tests import oracle
from tests.asm.executing import applied_twice, block, image, used_up
from tests.comparison import compare_bytes, compare_labels, errors_of, row_of
from tests.kit import require

LOROM = Mapping(MappingMode.LOROM, SA1_BANKS)
FILES = {"/data.bin": bytes(range(256)) * 64}


def both(text: str, base: bytes) -> tuple[Expansion, oracle.Assembled]:
    files = {"/main.asm": text.encode(), **FILES}
    return (run(Root("/main.asm"), files.get, base),
            oracle.assemble("/main.asm", library=require("asar"), memory=files, base_image=base, limit=20))


def check(text: str, base: bytes, times: int = 1) -> Expansion:
    """Apply ``text`` again and again, each time to what came out."""
    for _ in range(times):
        ours, asar = both(text, base)
        assert not asar.died, asar.died
        writes = ours.writes
        own = {(problem.code, row_of(problem)) for problem in errors_of(ours.problems)}
        told = {(error.name, error.line) for error in asar.errors}
        assert own == told
        if not asar.ok:
            break
        labels = compare_labels(ours.labels, asar.labels)
        assert labels.all_equal, labels
        compared = compare_bytes(writes, asar)
        assert compared.all_equal, compared
        base = asar.image
    return ours


HOOK = "org $008000\nautoclean JSL Main\n"
GOOD: dict[str, tuple[str, bytes, int]] = {
    "one block": ("freecode cleaned\nMain: rtl\n", image(), 1),
    "code and data": (HOOK + "freecode\nMain: lda.l Table,x : rtl\nfreedata cleaned\nTable: db 1,2,3\n", image(), 3),
    "in the upper half of a large image": ("freedata cleaned\nA: db 1\nfreecode cleaned\nB: rtl\n", image(0x400000), 1),
    "a large image is full below": (
        "freedata cleaned\nA: db 1\n", image(0x200000, x80000=b"\1" * 0x180000), 1),
    "tags are jumped over": (
        "freecode cleaned\nA: nop\n", image(0x100000, x80000=block(bytes(0x100)), x80110=block(b"\0")), 1),
    "too small a gap": ("freecode cleaned\nA: nop #9\n", image(0x100000, x80000=b"\1", x8000A=b"\1", x80018=b"\1"), 1),
    "no block crosses a bank": ("freecode cleaned\nA: fill $7F00\nfreecode cleaned\nB: fill $200\n", image(), 1),
    "the tag in the bank before": ("freedata cleaned\nA: fill $8000\n", image(), 1),
    "aligned": (HOOK + "freecode align\nMain: rtl\n", image(), 2),
    "aligned, the first place taken": (
        "freedata cleaned,align\nA: fill $100\n", image(0x100000, x87FFA=b"\1", x90050=b"\1"), 1),
    "another free byte": (
        "freespacebyte $FF\nfreecode cleaned\nA: nop\n", image(0x100000, x80000=b"\xFF" * 0x80000), 1),
    "a free byte of its own": ("freecode cleaned,$FF\nA: nop\n", image(0x100000, x90000=b"\xFF" * 0x100), 1),
    "labels that come later leave room": (
        HOOK + "freecode\nMain: lda Later : jsl Later : bra Later : lda.w Later : lda #Later\nLater: rtl\n"
        "freecode cleaned\nB: nop\n", image(), 2),
    "optimize asks once": (
        "optimize dp none\noptimize address default\nfreecode cleaned\nlda Later : beq +\n+\nlda #Later>>16\nLater:\n"
        "freecode cleaned\nB: nop\n", image(), 1),
    "functions leave room for good": (
        "freecode cleaned\nA: lda #read1($008000) : lda #max(1,2)\nfreecode cleaned\nB: nop\n", image(), 1),
    "other processors": (
        "freecode cleaned\narch spc700\nmov a,Later\nbra Later\nLater:\narch 65816\nfreecode cleaned\nB: nop\n",
        image(), 1),
    "position": ("freecode cleaned\nA: dd pc(),realbase() : dl pc()\nskip align 16\ndb 1\n", image(), 1),
    "pushpc": ("freecode cleaned\nA: nop\npushpc\norg $008100\njsl A\npullpc\nB: rtl\n", image(), 1),
    "blocks inside each other": (
        "freecode cleaned\nA: nop\npushpc\nfreedata cleaned\nB: db 1\npullpc\nC: rtl\n", image(), 1),
    "grows and shrinks": (
        HOOK + "freecode\nMain:\nif read1($008000) == $22\nnop #20\nelse\nnop #200\nendif\nrtl\n", image(), 3),
    "jml and dl": (
        "org $008000\nautoclean JML A\nautoclean dl B\nfreecode\nnop\nA: rtl\nfreedata\nB: db 1\n", image(), 3),
    "one block cleaned twice": (
        "org $008000\nautoclean JSL A\nautoclean JSL B\nfreecode\nA: rtl\nB: rtl\n", image(), 3),
    "two blocks become one": (
        "org $008000\nautoclean jsl A\nautoclean jsl B\nif read1($008000) == 0\nfreecode\nA: rtl\nfreecode\nB: rtl\n"
        "else\nfreecode\nA: rtl\nB: rtl\nendif\n", image(), 3),
    "protected": (
        HOOK + "freecode\nprot Table\nMain: lda.l Table : rtl\nfreedata\nTable: db 1,2\n", image(), 3),
    "protected twice, and itself": (
        HOOK + "freecode\nprot Main,A\nprot B\nMain: rtl\nfreedata\nA: db 1\nfreedata\nB: db 1,2\n", image(), 3),
    "static": (HOOK + "freecode static\nMain: rtl\nfreecode cleaned\nB: nop\n", image(), 3),
    "static and shrinking": (
        HOOK + "freecode static\nMain:\nif read1($008000) != $22\nnop\nendif\nrtl\n", image(), 3),
    "clean an address": (
        "autoclean $108008\nfreecode cleaned\nA: rtl\n",
        image(0x100000, x80000=block(b"PROT\3\0\x81\x10STOP\0" + b"\1" * 30), x80100=block(b"\1" * 9)), 1),
    "another game's JSL is no block": ("org $008000\nautoclean JSL A\nfreecode\nA: rtl\n",
                                       image(x00000=b"\x22\x00\x80\x01"), 2),
    "incbin": ('incbin "data.bin":0-20 -> Here\norg $008000\ndl Here\nfreecode cleaned\nA: lda.l Here\n', image(), 2),
    "a large incbin": ('incbin "data.bin" -> Here\norg $008000\ndl Here\n', image(), 1),
    "incbin to an address": ('incbin "data.bin":2..9 -> $018000\norg $008000\ndb 1\n', image(), 1),
    "hirom": ("hirom\nfreecode cleaned\nA: rtl\nfreedata cleaned\nB: db 1\n", image(0x100000, xC0=b"\1" * 0x9000), 1),
    "exlorom": ("exlorom\nfreecode cleaned\nA: rtl\nfreedata cleaned\nB: db 1\n", image(0x100000), 1),
    "exhirom": ("exhirom\nfreecode cleaned\nA: rtl\nfreedata cleaned\nB: db 1\n", image(0x100000), 1),
    "super fx": ("sfxrom\nfreecode cleaned\nA: rtl\n", image(0x100000), 1),
    "sa-1": ("sa1rom\nfreecode cleaned\nA: rtl\nfreedata cleaned\nB: fill $7FF0\n", image(0x180000), 1),
    "sa-1 with other banks": ("sa1rom 4,5,6,7\nfreecode cleaned\nA: rtl\n", image(0x600000), 1),
    "all of an sa-1": ("fullsa1rom\nfreecode cleaned\nA: rtl\nfreedata cleaned\nB: db 1\n", image(0x800000), 1),
    "125 blocks": ("freecode cleaned : nop\n" * 125, image(), 1),
}


@pytest.mark.parametrize("name", GOOD)
def test_places_as_asar(name: str) -> None:
    check(*GOOD[name])


BAD: dict[str, tuple[str, bytes]] = {
    "no_freespace": ("freecode cleaned\nA: nop\n", image(0x200000, x80000=b"\1" * 0x180000)),
    "no_freespace_in_mapped_banks": ("sa1rom 2,3,4,5\nfreecode cleaned\nA: nop\n", image(0x180000)),
    "no_freespace_norom": ("norom\nfreecode cleaned\n", image()),
    "invalid_freespace_request": ("freespace cleaned\n", image()),
    "freespace_limit_reached": ("freecode cleaned : nop\n" * 126, image()),
    "static_freespace_autoclean": ("freecode static\nA: nop\n", image()),
    "autoclean_label_at_freespace_end": ("org $008000\nautoclean JSL A\nfreecode\nnop\nA:\n", image()),
    "autoclean_in_freespace": ("freecode cleaned\nA: nop\nautoclean JSL A\n", image()),
    "broken_autoclean": ("org $008000\nautoclean lda A\nfreecode cleaned\nnop\nA: nop\n", image()),
    "prot_not_at_freespace_start": ("freecode cleaned\nnop\nprot A\nA: nop\n", image()),
    "pad_in_freespace": ("freecode cleaned\npad $108100\n", image()),
    "warnpc_in_freespace": ("freecode cleaned\nwarnpc $108100\n", image()),
    "snes_address_out_of_bounds": ("org $008000\ndb read1($108000)\n", image()),
}


@pytest.mark.parametrize("name", BAD)
def test_errors_as_asar(name: str) -> None:
    text, base = BAD[name]
    ours, asar = both(text, base)
    ours.data()
    told = {(error.name, error.line) for error in asar.errors if error.name == f"E{name}"}
    assert told and told <= {(problem.code, row_of(problem)) for problem in errors_of(ours.problems)}, asar.errors


def test_a_static_block_does_not_grow() -> None:
    text = HOOK + "freecode static\nMain:\nif read1($008000) == $22\nnop #20\nendif\nrtl\n"
    _, asar = both(text, image())
    ours, failed = both(text, asar.image)
    assert "Estatic_freespace_growing" in {error.name for error in failed.errors}     # it stumbles on
    assert {problem.code for problem in errors_of(ours.problems)} == {"Estatic_freespace_growing"}


@pytest.mark.parametrize("seed", range(20))
def test_generated_patches(seed: int) -> None:
    rng = random.Random(seed)
    base = used_up(rng)
    names = ["First", "Second", "Third", "Fourth"][:rng.randrange(1, 5)]
    lines = [rng.choice(("", "sa1rom", "exlorom", "sa1rom 1,0,3,2"))]
    for number, name in enumerate(names):
        hook = [f"org $00{0xF000 + 16 * number:X}", f"autoclean JSL {name}"]
        lines += hook if rng.random() < 0.5 else []
        lines.append(rng.choice(("freecode", "freedata")) + rng.choice(("", " cleaned", " align,cleaned")))
        lines += [f"prot {rng.choice(names)}"] * (rng.random() < 0.3)
        lines.append(f"{name}:")
        lines += [rng.choice(("nop", "lda {}", "jsl {}", "dl {}", "lda #{}>>16", "fill 300", "lda.w {}", "fill $6000"))
                  .format(rng.choice(names)) for _ in range(rng.randrange(1, 6))]
    text = "\n".join(lines) + "\n"
    applied_twice(lambda base: both(text, base), bytes(base))


# --- without Asar ----------------------------------------------------------------------------------------------------

def test_without_an_image_the_place_is_not_known() -> None:
    expansion = run(Root("/main.asm"), {"/main.asm": b"org $008000\nA: nop\nfreecode cleaned\nB: nop\n"}.get)
    assert (expansion.labels["A"].value, expansion.labels["B"].value) == (0x8000, None)
    assert any("freespace" in reason for reason in expansion.reasons)


def test_a_block_of_no_bytes_lies_nowhere() -> None:
    empty = Image(image())
    assert empty.place(Wanted(0, True), LOROM, 0) == NOWHERE
    assert empty.writes == []


def test_too_large_for_a_bank() -> None:
    assert Image(image()).place(Wanted(0x8001, False), LOROM, 0) == -1
    assert Image(image()).place(Wanted(0x10001, False, borders=False), LOROM, 0) == -1


@pytest.mark.parametrize("mode", MappingMode)
def test_total_on_any_image(mode: MappingMode) -> None:
    """Every size and content ends, also where Asar itself would look for ever (HiROM, aligned)."""
    rng = random.Random(5)
    mapping = Mapping(mode, SA1_BANKS)
    for size in (0, 1, 7, 0x8000, 0x80001, 0x12345):
        data = bytes(rng.choice((0, 0, 0, 1, 83)) for _ in range(size)) + b"STAR\xFF\xFF\0\0" * (size & 1)
        for align in (False, True):
            for code in (False, True):
                subject = Image(data)
                subject.place(Wanted(rng.choice((1, 100, 0x7FF0)), code, align), mapping, 0xFF)
                for at in (0, 0x8000, 0x108000, len(data)):
                    subject.remove(at, 0, mapping)
                    subject.resize(at, 3, mapping)
