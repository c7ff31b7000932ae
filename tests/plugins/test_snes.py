"""nayru_snes: the table is whole, hover decodes, checks are careful, the prompt hears about the registers at hand."""

from __future__ import annotations

import nayru_snes
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nayru_snes.checks import check
from nayru_snes.decode import decode
from nayru_snes.registers import FIELDS, NO_REGISTER, REGISTERS, read_at, registers_at, written_at

from nayru_lsp.asm.facts import FactTable
from nayru_lsp.asm.parser import parse_text
from nayru_lsp.asm.project import ParsedFile, Project
from nayru_lsp.asm.text import SourceText
from nayru_lsp.config import Config, UserConfig
from nayru_lsp.plugins import Plugins
from nayru_lsp.snapshot import Client, Snapshot
from tests.kit import read_fixture

RANGES = (range(0x2100, 0x2144), range(0x2180, 0x2184), range(0x4016, 0x4018), range(0x4200, 0x4220),
          *(range(0x4300 + 0x10 * channel, 0x430C + 0x10 * channel) for channel in range(8)))


def project_of(text: str) -> tuple[Project, ParsedFile, int]:
    fixture = read_fixture(text)
    project = Project().with_files([parse_text(path, SourceText.of(body)) for path, body in fixture.files.items()])
    path, offset = fixture.cursor or (next(iter(fixture.files)), 0)
    return project, project.files[path], offset


def snapshot_of(project: Project) -> Snapshot:
    return Snapshot(project, Config(user=UserConfig(), projects={}), Client(), "utf-16", FactTable(REGISTERS), 1)


def hover(text: str) -> str | None:
    project, file, offset = project_of(text)
    return nayru_snes.nayru_hover(snapshot_of(project), file, offset)


def problems(text: str) -> list[str]:
    project, file, _ = project_of(text)
    return [f"{file.text.line_of(p.span.start) + 1} {p.code} {file.text.slice(*p.span)}" for p in check(project, file)]


# --- the table -------------------------------------------------------------------------------------------------

def test_every_address_is_there() -> None:
    wanted = {address for one in RANGES for address in one} - NO_REGISTER
    assert {fact.address for fact in REGISTERS} == wanted
    assert not NO_REGISTER & wanted


def test_every_bit_once() -> None:
    for fact, fields in FIELDS:
        bits = [bit for field in fields for bit in range(field.low, field.high + 1)]
        assert sorted(bits) == list(range(8)), fact.name
        for field in fields:
            assert field.name.strip() and field.high >= field.low
            values = [value for value, _ in field.values]
            assert len(set(values)) == len(values)
            assert all(0 <= value < 1 << field.high - field.low + 1 for value in values), (fact.name, field)


def test_names_sources_access_and_time() -> None:
    names = [fact.name for fact in REGISTERS]
    assert len(set(names)) == len(names)
    for fact in REGISTERS:
        assert fact.kind == "register" and fact.plugin == "snes" and fact.size == 1
        assert fact.access in ("r", "w", "rw", "w2") and fact.when and fact.title
        assert "SNESdev Wiki" in fact.source, fact.name
        assert "{" not in fact.name + fact.title + fact.body


@pytest.mark.parametrize("address, name", [
    (0x2100, "INIDISP"), (0x802100, "INIDISP"), (0x3F210A, "BG4SC"), (0x2113, "BG4HOFS"), (0x2114, "BG4VOFS"),
    (0x2128, "WH2"), (0x2129, "WH3"), (0x2136, "MPYH"), (0x2143, "APUIO3"), (0x217F, "APUIO3"), (0x421F, "JOY4H"),
    (0x4375, "DAS7L"), (0x437F, "UNUSED7"), (0x430B, "UNUSED0"), (0xBF420B, "MDMAEN"),
])
def test_look_up(address: int, name: str) -> None:
    assert [fact.name for fact in registers_at(address)] == [name]


def test_one_address_two_registers() -> None:
    out, serial = written_at(0x4016), read_at(0x4016)
    assert out is not None and serial is not None and (out.name, serial.name) == ("JOYOUT", "JOYSER0")


@pytest.mark.parametrize("address", [0x7E2100, 0x402100, 0xC02100, 0x420E, 0x2144 - 0x2000, 0x21C0, 0x430C, 0x1000000])
def test_no_register(address: int) -> None:
    assert registers_at(address) == ()


def test_decode() -> None:
    screen = written_at(0x2100)
    assert screen is not None
    assert decode(0x8F, screen).splitlines() == [
        "- bit 7 Forced blank: 1, screen off, video memory free", "- bits 3-0 Brightness: 15, full"]
    assert decode(0x35, screen).splitlines() == [
        "- bit 7 Forced blank: 0, screen on", "- bits 3-0 Brightness: 5", "- bits 5, 4 set: no effect"]


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(REGISTERS), st.integers(0, 255))
def test_decode_any_value(fact: nayru_snes.Fact, value: int) -> None:
    assert decode(value, fact)


# --- hover -----------------------------------------------------------------------------------------------------

WRITTEN = "Writes `$8F` = `%10001111` to **INIDISP** ($2100)"


@pytest.mark.parametrize("text", [
    "main:\n    SEP #$20\n    LDA #$8F\n    STA $21<|>00\n",
    "main:\n    SEP #$20\n    LDA.b #$8F\n    S<|>TA.w $2100\n",
    "main:\n    SEP #$20\n    LDA #%10001111\n    STA.l $80210<|>0\n",
    "main:\n    SEP #$30\n    LDX #143\n    STX $210<|>0\n",
    "!INIDISP = $2100\n!blank = $80\nmain:\n    SEP #$20\n    LDA #!blank|$0F\n    STA !INI<|>DISP\n",
    "INIDISP = $2100\nBRIGHT = 15\nmain:\n    SEP #$20\n    LDA #BRIGHT+$80\n    STA INI<|>DISP\n",
    "main:\n    SEP #$20\n    LDA #$8F\n    STA $00\n    LDX #$00\n    STZ $4200\n    STA $21<|>00\n",
])
def test_a_constant_written_is_decoded(text: str) -> None:
    shown = hover(text)
    assert shown is not None and WRITTEN in shown, shown
    assert "- bit 7 Forced blank: 1, screen off" in shown and "(if" not in shown


def test_width_unknown_is_said() -> None:
    shown = hover("main:\n    LDA #$8F\n    STA $21<|>00\n")
    assert shown is not None and WRITTEN in shown and "(if the register is 8-bit here)" in shown


def test_a_16_bit_store_covers_two_registers() -> None:
    shown = hover("main:\n    REP #$20\n    LDA #$1801\n    STA $43<|>00\n")
    assert shown is not None
    assert "`$01` = `%00000001` to **DMAP0**" in shown and "`$18` = `%00011000` to **BBAD0**" in shown
    assert "Registers written in turn: 1, p, p+1" in shown


def test_stz_writes_zero() -> None:
    shown = hover("main:\n    SEP #$20\n    STZ $42<|>00\n")
    assert shown is not None and "`$00` = `%00000000` to **NMITIMEN**" in shown


@pytest.mark.parametrize("text", [
    "main:\n    SEP #$20\n    LDA #$8F\n.again\n    STA $21<|>00\n",         # something may jump here
    "main:\n    SEP #$20\n    LDA #$8F\n    JSR other\n    STA $21<|>00\n",
    "main:\n    SEP #$20\n    LDA #$8F\n    EOR #$01\n    STA $21<|>00\n",
    "main:\n    SEP #$20\n    LDA #$8F\n    ASL\n    STA $21<|>00\n",
    "main:\n    SEP #$20\n    LDA $00\n    STA $21<|>00\n",
    "main:\n    SEP #$20\n    LDA #$8F\n    %macro()\n    STA $21<|>00\n",
    "main:\n    SEP #$20\n    LDA #!unknown\n    STA $21<|>00\n",
    "main:\n    LDA #$8F\n    REP #$20\n    STA $21<|>00\n",
    "!a = $01\n!a = $02\nmain:\n    SEP #$20\n    LDA #!a\n    STA $21<|>00\n",
    "main:\n    SEP #$20\n    LDA #$8F\n    STA $7E21<|>00\n",
    "main:\n    SEP #$20\n    LDA #$8F\n    STA $21<|>00,x\n",
    "main:\n    LDA #$8F ; STA $21<|>00\n",
])
def test_what_is_not_plain_is_not_decoded(text: str) -> None:
    assert hover(text) is None


def test_the_mnemonic_names_the_register() -> None:
    assert hover("L<|>DA $4212\n") == "**HVBJOY** `$4212` — Blanking and joypad reading state (read)"


# --- checks ----------------------------------------------------------------------------------------------------

def test_read_of_write_only_and_write_to_read_only() -> None:
    assert problems("""
main:
    LDA $2100
    LDA.l $802105
    INC $2121
    STA $4210
    STZ.w $4212
    STX $2137
    BIT $4212
    STA $2100
    LDA $4016
    STA $4016
    LDA $2140
""") == ["2 NAY-SNES1 $2100", "3 NAY-SNES1 $802105", "4 NAY-SNES1 $2121", "5 NAY-SNES2 $4210", "6 NAY-SNES2 $4212",
         "7 NAY-SNES2 $2137"]


def test_no_word_where_it_could_be_something_else() -> None:
    assert problems("""
arch 65816
main:
    PHB
    LDA $2100
    LDA.l $002100
next:
    LDA $7E2100
    LDA $2100,x
    LDA !x
    LDA #$2100
    LDA ($21),y
    JMP $2100
    LDA.b $2100
    dw $2100
    LDA $420E
    ; LDA $2100
arch spc700
    STA $2134
""") == ["5 NAY-SNES1 $002100"]


def test_a_routine_without_a_beginning_is_not_judged() -> None:
    assert problems("    LDA $2100\n") == ["1 NAY-SNES1 $2100"], "the file begins here"
    assert problems("%start()\n" + "    NOP\n" * 500 + "    LDA $2100\n") == []


# --- plugin ----------------------------------------------------------------------------------------------------

def test_context_names_the_registers_above() -> None:
    project, file, offset = project_of("main:\n    STZ $4200\n    LDA #$80\n    STA $2100\n<|>\n    STA $2105\n")
    fragments = nayru_snes.nayru_context(snapshot_of(project), file, offset)
    assert [fragment.title for fragment in fragments] == ["INIDISP", "NMITIMEN"]
    assert fragments[0].weight > fragments[1].weight
    assert all(line.startswith(";") for fragment in fragments for line in fragment.text.splitlines())


def test_loads_through_the_contract() -> None:
    plugins = Plugins.load([], {"snes": nayru_snes})
    assert plugins.records["snes"].state == "loaded" and not plugins.records["snes"].failures
    assert plugins.facts.named("inidisp") and len(plugins.facts.facts) == len(REGISTERS)
    assert list(plugins.checks) == ["NAY-SNES"]


@settings(max_examples=150, deadline=None)
@given(st.lists(st.sampled_from(
    ["STA", "LDA", "#", "$2100", "$80", "!x", " : ", "\n", " ", ",x", "(", "main:", ".s", "STZ.w ", "$", "%m()", "=",
     "\\"]), max_size=30), st.integers(0, 200))
def test_nothing_raises_on_any_text(words: list[str], at: int) -> None:
    text = "".join(words)
    file = parse_text("/ws/a.asm", SourceText.of(text))
    project = Project().with_file(file)
    offset = min(at, len(text))
    nayru_snes.nayru_hover(snapshot_of(project), file, offset)
    nayru_snes.nayru_context(snapshot_of(project), file, offset)
    list(check(project, file))
