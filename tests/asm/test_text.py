from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from nayru_lsp.asm.text import SourceText, Span, split_lines

TEXT = st.text(alphabet=st.sampled_from("ab;\"',\\ \t\n\r\f\x00\u2028é\U0001f3ae"), max_size=60)


@given(TEXT)
def test_only_lf_crlf_and_cr_end_lines(text: str) -> None:
    lines = split_lines(text)
    assert "".join(lines) == text
    assert all(line.rstrip("\r\n").count("\n") + line.rstrip("\r\n").count("\r") == 0 for line in lines)
    assert SourceText.of(text).line_count == text.replace("\r\n", "\n").replace("\r", "\n").count("\n") + 1


@given(st.lists(st.tuples(st.integers(0, 80), st.integers(0, 80), TEXT), max_size=12), st.integers(0, 3))
def test_edits_equal_the_plain_string(edits: list[tuple[int, int, str]], size: int) -> None:
    plain = "Label: LDA $10\n" * (size * 400)
    text = SourceText.of(plain)
    for start, length, new in edits:
        start = min(start * 77, len(plain))
        end = min(start + length, len(plain))
        plain = plain[:start] + new + plain[end:]
        text = text.replace(Span(start, end), new)
    assert str(text) == plain
    fresh = SourceText.of(plain)
    assert (text.line_count, text.length) == (fresh.line_count, fresh.length)
    for line in {0, fresh.line_count // 2, fresh.line_count - 1}:
        assert (text.line_start(line), text.line_end(line)) == (fresh.line_start(line), fresh.line_end(line))
        assert text.line_of(text.line_start(line)) == line


def test_a_key_shares_all_other_blocks() -> None:
    text = SourceText.of("    LDA $10\n" * 20_000)
    after = text.replace(Span(120_000, 120_000), "x")
    shared = set(map(id, text.blocks)) & set(map(id, after.blocks))
    assert len(shared) >= len(text.blocks) - 2
