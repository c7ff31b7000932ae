"""Positions in three encodings, and the names of documents on every system."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lsprotocol import types

from nayru_lsp.asm.text import SourceText, Span
from nayru_lsp.convert import ENCODINGS, to_offset, to_path, to_position, to_range, to_span, to_uri

TEXT = SourceText.of("ab\r\n\u00e9\U0001f600x\rend\x0cd")


@pytest.mark.parametrize(("encoding", "character"), [("utf-8", 6), ("utf-16", 3), ("utf-32", 2)])
def test_wide_characters(encoding: str, character: int) -> None:
    x = 6       # a b \r \n e-acute face x
    assert to_position(TEXT, x, encoding) == types.Position(line=1, character=character)
    assert to_offset(TEXT, types.Position(line=1, character=character), encoding) == x
    assert to_offset(TEXT, types.Position(line=1, character=99), encoding) == 7


def test_outside_is_clamped_and_inside_a_character_is_before_it() -> None:
    assert to_offset(TEXT, types.Position(line=1, character=2), "utf-16") == 5      # between the surrogates
    assert to_offset(TEXT, types.Position(line=9, character=0), "utf-16") == TEXT.length
    assert to_offset(TEXT, types.Position(line=0, character=3), "utf-16") == 2
    assert to_position(TEXT, 3, "utf-16") == types.Position(line=0, character=2)    # between CR and LF
    assert to_position(TEXT, 99, "utf-16") == types.Position(line=2, character=5)   # a form feed ends no line
    backwards = types.Range(start=types.Position(line=1, character=0), end=types.Position(line=0, character=0))
    assert to_span(TEXT, backwards, "utf-16") == Span(0, 4)


@given(text=st.text(alphabet=st.sampled_from("a\r\n\x0c\u00e9\u2028\U0001f600"), max_size=40), data=st.data())
def test_there_and_back(text: str, data: st.DataObject) -> None:
    source = SourceText.of(text)
    offset = data.draw(st.integers(0, len(text)))
    if text[offset - 1:offset + 1] == "\r\n":
        offset -= 1
    for encoding in ENCODINGS:
        assert to_offset(source, to_position(source, offset, encoding), encoding) == offset
        span = to_span(source, to_range(source, (0, offset), encoding), encoding)
        assert source.slice(*span) == text[:offset]


@pytest.mark.parametrize(("uri", "path"), [
    ("file:///a/b%20c.asm", "/a/b c.asm"),
    ("file:///a/%D0%B0.asm", "/a/\u0430.asm"),
    ("file:///c%3A/x/y.asm", "C:/x/y.asm"),
    ("file:///C:/x/y.asm", "C:/x/y.asm"),
    ("file:///c:/", "C:/"),
    ("file://server/share/a.asm", "//server/share/a.asm"),
    ("file://localhost/a.asm", "/a.asm"),
    ("file:/a.asm", "/a.asm"),
    ("file:///a/b#c?.asm", "/a/b#c?.asm"),
    ("file:///ws/", "/ws"),
    ("file:///", "/"),
    ("untitled:Untitled-1", "untitled:Untitled-1"),
])
def test_uris(uri: str, path: str) -> None:
    assert to_path(uri) == path
    assert to_path(to_uri(path)) == path
