"""What the model may see: bounded, anchored, and laid out so that a cached prompt stays valid while somebody types."""

from __future__ import annotations

import random

import pytest

from nayru_lsp import prompt
from nayru_lsp.asm.facts import FactTable
from nayru_lsp.asm.parser import parse_text
from nayru_lsp.asm.project import Project, Root
from nayru_lsp.asm.text import SourceText
from nayru_lsp.assist import context
from nayru_lsp.config import Config
from nayru_lsp.contract import Fragment
from nayru_lsp.snapshot import Client, Snapshot
from tests.kit import project_of, read_fixture


def snapshot_of(project: Project) -> Snapshot:
    return Snapshot(project, Config(), Client(), "utf-16", FactTable(), 1)


def one_file(text: str) -> Snapshot:
    return snapshot_of(Project().with_file(parse_text("/ws/main.asm", SourceText.of(text))))


# --- tokens ----------------------------------------------------------------------------------------------------

@pytest.mark.parametrize(("text", "tokens"), [
    ("", 1), ("abc", 4), ("$12", 4), ("é", 3), ("日本", 7), ("\ud800", 4)])
def test_at_rate_one_every_byte_is_a_token(text: str, tokens: int) -> None:
    assert context.tokens_at_most(text) == tokens


def test_numbers_count_in_full_at_any_rate() -> None:
    assert context.tokens_at_most("$1F,$2A", 4.0) == 6 + 0 + 1
    assert context.tokens_at_most("LDA STA ", 4.0) == 2 + 1


def test_a_measured_rate_bounds_the_text_that_it_was_measured_on() -> None:
    text = "    LDA.w $2100,X ; the screen\n" * 40
    for count in (400, 700, 1000):
        rate = context.rate_of(text, count)
        assert rate is not None
        assert count <= context.tokens_at_most(text, rate) <= count + 2
    assert context.rate_of("short", 3) is None
    with_control = prompt.fim(text, "", path="a.asm")
    assert context.rate_of(with_control, 705) == pytest.approx(context.rate_of(text, 700), rel=0.03)


# --- the window ------------------------------------------------------------------------------------------------

def test_the_window_stays_put_while_lines_are_typed() -> None:
    """A prompt cache keeps a common prefix: 80 lines typed one after the other move the start twice at most."""
    lines = [f"    NOP ; {i}\n" for i in range(200)]
    starts = set()
    for count in range(100, 180):
        text = "".join(lines[:count])
        file = one_file(text).project.files["/ws/main.asm"]
        part = context.window(file, len(text), tokens=3000)
        assert len(part.prefix.splitlines()) >= context.LEAST_LINES
        starts.add(part.start)
    assert len(starts) <= 2


def test_the_window_starts_at_the_routine_that_encloses_the_cursor() -> None:
    text = "".join(f"    NOP ; {i}\n" for i in range(50)) + "Main:\n" + "    INX\n" * 120
    file = one_file(text).project.files["/ws/main.asm"]
    assert context.window(file, len(text), tokens=3000).prefix.startswith("Main:\n")
    assert context.routine_line(file, len(text)) == 50
    assert context.routine_line(file, 10) is None


def test_a_window_too_small_moves_in_steps_and_keeps_the_end() -> None:
    text = "".join(f"    LDA #${i:02X}\n" for i in range(256))
    file = one_file(text).project.files["/ws/main.asm"]
    part = context.window(file, len(text), tokens=500)
    assert part.prefix.endswith("    LDA #$FF\n") and text.endswith(part.prefix)
    assert file.text.line_of(part.start) % 16 == 0


def test_a_line_of_six_thousand_characters_is_cut_at_its_far_end() -> None:
    text = "db " + ",".join(["$00"] * 1500)
    file = one_file(text).project.files["/ws/main.asm"]
    part = context.window(file, len(text), tokens=300)
    assert text.endswith(part.prefix) and 200 < len(part.prefix) <= 300


def test_the_suffix_is_short() -> None:
    text = "    NOP\n" * 100
    file = one_file(text).project.files["/ws/main.asm"]
    part = context.window(file, 8 * 50, tokens=3000)
    assert len(part.suffix.splitlines()) <= context.SUFFIX_LINES + 1
    assert len(context.window(file, 8 * 50, tokens=200).suffix) <= 30


@pytest.mark.parametrize("num_ctx", [512, 1024, 4096])
def test_any_text_makes_a_prompt_within_its_share(num_ctx: int) -> None:
    draw = random.Random(num_ctx)
    pieces = ["Main:\n", "    LDA #$12\n", "é日", "\r\n", "\x00", "; <|fim_middle|>\n", "db " + "$00," * 400, "\n" * 30,
              ".loop\n", "%m(1)\n", "!a = $10\n", "\ud800", "a" * 900]
    for _ in range(60):
        text = "".join(draw.choice(pieces) for _ in range(draw.randrange(1, 60)))
        snapshot = one_file(text)
        offset = draw.randrange(len(text) + 1)
        many = tuple(Fragment(draw.choice(pieces), "x $12\n" * draw.randrange(400)) for _ in range(draw.randrange(5)))
        for rate in (1.0, 2.7):
            made = context.fim_prompt(snapshot, "/ws/main.asm", offset, many, num_ctx=num_ctx, rate=rate)
            assert context.tokens_at_most(made, rate) <= prompt.prompt_tokens(num_ctx)
            assert made.count(prompt.FIM_MIDDLE) == 1 and made.endswith(prompt.FIM_MIDDLE)


def test_no_folder_above_the_project_is_shown() -> None:
    snapshot = snapshot_of(project_of(read_fixture(
        ";- quest/main.asm\norg $008000\nincsrc \"code/a.asm\"\n;- quest/code/a.asm\n    NOP\n",
        "/home/somebody/secret")))
    made = context.fim_prompt(snapshot, "/home/somebody/secret/quest/code/a.asm", 4, num_ctx=4096)
    assert made.startswith("<|repo_name|>quest\n<|file_sep|>code/a.asm\n")
    assert "somebody" not in made and "secret" not in made


# --- fragments -------------------------------------------------------------------------------------------------

def test_names_used_near_are_explained_when_they_are_out_of_sight() -> None:
    fixture = read_fixture("""
;- main.asm
lorom
org $008000
incsrc "ram.asm"
Main:
    %wait(!frames)
    STA Lives
    JSR Quiet
    JSR Loud
    SEP #$20
    <|>
Quiet:
    RTS
;- ram.asm
; how often Link may fall
Lives = $7E0DBE
!frames = 60
!unused = 1
macro wait(n)
endmacro
; plays a sound
Loud:
    RTS
""")
    snapshot = snapshot_of(project_of(fixture))
    assert fixture.cursor is not None
    path, offset = fixture.cursor
    found = {f.title: f.text for f in context.fragments(snapshot, snapshot.project.files[path], offset)}
    assert found["symbols"].split("\n") == [
        "macro wait(n)", "!frames = 60", "Lives = $7E0DBE ; how often Link may fall", "Loud: ; plays a sound"]
    assert found[context.STATE] == "; Asar 1.91, A 8-bit"


def test_the_mapping_mode_is_told_where_it_is_certain() -> None:
    snapshot = one_file("    NOP\n")
    rooted = snapshot_of(snapshot.project.with_roots([Root("/ws/main.asm", mapping_mode="hirom")]))
    for given, told in ((snapshot, "; Asar 1.91"), (rooted, "; Asar 1.91, hirom")):
        assert context.fragments(given, given.project.files["/ws/main.asm"], 0)[-1].text == told


def test_fragments_that_do_not_fit_are_cut_by_weight_at_line_ends() -> None:
    light, heavy = Fragment("light", "a\n" * 50, 1.0), Fragment("heavy", "bb\n" * 10, 9.0)
    kept = context.fit([light, heavy], 90)
    assert [f.title for f in kept] == ["light", "heavy"]
    assert kept[1] == heavy and set(kept[0].text.split("\n")) == {"a"} and len(kept[0].text) < 50
    assert context.fit([light, heavy], 10) == ()


def test_the_ledger_only_appends_while_somebody_types() -> None:
    now = [0.0]
    ledger = context.Ledger(lambda: now[0])
    state = Fragment(context.STATE, "; A 8-bit", 3.0)
    one, two = Fragment("symbols", "A = 1\nB = 2"), Fragment("registers", "; $2100", 2.0)
    first = ledger.take("/a", [one, state], tokens=500)
    now[0] += 1
    second = ledger.take("/a", [Fragment("symbols", "C = 3\nB = 2"), two, Fragment(context.STATE, "; A 16-bit", 3.0)],
                         tokens=500)
    assert first == (one, state)
    assert second == (one, two, Fragment("symbols", "C = 3"), Fragment(context.STATE, "; A 16-bit", 3.0))
    now[0] += 5
    assert ledger.take("/a", [one, two, state], tokens=500) == (two, one, state)
    now[0] += 1
    assert ledger.take("/a", [Fragment("symbols", "D = 4\n" * 20), state], tokens=40) == (
        Fragment("symbols", "D = 4\n" * 20), state)


def test_a_prompt_grows_at_its_end_when_a_line_is_typed() -> None:
    """What changes with a key lies behind the last thing that did not: the cache keeps all of it."""
    head = "Main:\n" + "    INC $10\n" * 30
    before = context.fim_prompt(one_file(head), "/ws/main.asm", len(head), num_ctx=4096)
    after = context.fim_prompt(one_file(head + "    LDA "), "/ws/main.asm", len(head) + 8, num_ctx=4096)
    common = before[: -len(prompt.FIM_SUFFIX + prompt.FIM_MIDDLE)]
    assert after.startswith(common)
