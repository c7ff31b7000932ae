"""Constant expressions have Asar's values: random ones are assembled and compared, in both of 1.91's arithmetics."""

from __future__ import annotations

import random

import pytest

from nayru_lsp.asm import evaluate, parse_line
from nayru_lsp.asm.symbols import expressions
from tests.asar import assemble

LABELS = {"one": 1, "word": 0x1234, "far": 0x7E2000}


def expression(coin: random.Random, depth: int) -> str:
    choice = coin.random()
    if depth == 0 or choice < 0.3:
        return coin.choice([f"${coin.randrange(1 << coin.choice((4, 8, 16))):X}", str(coin.randrange(300)),
                            "%" + bin(coin.randrange(1, 64))[2:], *LABELS])
    if choice < 0.42:
        return f"({expression(coin, depth - 1)})"
    if choice < 0.52:
        return coin.choice("-~") + expression(coin, 0)
    if choice < 0.6:
        name, count = coin.choice([("min", 2), ("max", 2), ("bank", 1), ("not", 1), ("equal", 2), ("less", 2),
                                   ("greater", 2), ("notequal", 2), ("select", 3), ("floor", 1), ("ceil", 1),
                                   ("clamp", 3)])
        return f"{name}({','.join(expression(coin, depth - 1) for _ in range(count))})"
    operator = coin.choice(["+", "-", "*", "/", "%", "<<", ">>", "&", "|", "^", "**"])
    right = str(coin.randrange(6)) if operator in ("<<", ">>", "**") else expression(coin, depth - 1)
    return f"{expression(coin, depth - 1)}{operator}{right}"


@pytest.mark.parametrize("precedence", [False, True])
def test_values_equal_asars(precedence: bool) -> None:
    head = ("asar 1.90\n" if precedence else "") + "lorom\norg $808000\n" + "".join(
        f"{name} = ${value:X}\n" for name, value in LABELS.items())
    coin = random.Random(816)
    texts = sorted({expression(coin, 3) for _ in range(700)})
    known = 0
    for text in texts:
        line = parse_line(f"dl {text}\n")
        (expr,) = expressions(line, line.statements[0])
        mine = evaluate(expr, LABELS.get, precedence=precedence)
        careful = evaluate(expr, LABELS.get)
        if mine is None:
            continue
        theirs = assemble(f"{head}dl {text}\n")
        if not theirs.ok:
            continue        # divided by zero, too large: refused, not another value
        known += 1
        assert mine & 0xFFFFFF == int.from_bytes(theirs.data[:3], "little"), text
        assert careful in (None, mine), text
    assert known > len(texts) // 2
