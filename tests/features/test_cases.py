"""Every case of cases/ gives its golden answer (render.py says how a case is written)."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.features.render import RENDERERS, render
from tests.kit import read_fixture

CASES = sorted((Path(__file__).parent / "cases").glob("*.txt"))
MARK = "\n;=\n"


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.stem)
def test_case(case: Path, update_golden: bool) -> None:
    text = case.read_text(encoding="utf-8")
    fixture, _, golden = text.partition(MARK)
    answer = render(case.stem.partition("-")[0], fixture + "\n")
    if update_golden:
        case.write_text(f"{fixture}{MARK}{answer}\n", encoding="utf-8")
    else:
        assert answer == golden.rstrip("\n")


def test_every_feature_has_a_case() -> None:
    assert {case.stem.partition("-")[0] for case in CASES} == set(RENDERERS)


WORDS = st.sampled_from([
    "lda", " ", "\n", "#$12", "$2100", ",x", "(", ")", "[", "]", "main:", ".sub", "+", "-", "!x", "!{x}", "= 3", "%m(",
    "macro m(a)", "endmacro", "<a>", ";c", '"', "'", "incsrc \"", "org $8000", "if 1", "namespace n", "struct s", ":",
    "\\", ",", "db ", "\x0c", "\u00e9", "\U0001f600", "\0", "rep #$30", "jsr main_sub", "function f(x)=x",
])


@settings(max_examples=120, deadline=None)
@given(words=st.lists(WORDS, max_size=25), at=st.integers(0, 80), feature=st.sampled_from(sorted(RENDERERS)))
def test_nothing_raises_on_any_text(words: list[str], at: int, feature: str) -> None:
    text = "".join(words)
    at = min(at, len(text))
    if feature == "resolve":
        feature = "completion"
    fixture = read_fixture(text[:at] + "<|>" + text[at:])
    RENDERERS[feature](fixture)
