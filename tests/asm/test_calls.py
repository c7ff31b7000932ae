"""Calls of macros that are replayed: the same results as from a machine that goes through every line, each time."""

from __future__ import annotations

import random
from typing import Any

import pytest

from nayru_lsp.asm.calls import Calls
from nayru_lsp.asm.expand import Expansion, Limits
from nayru_lsp.asm.following import Following
from nayru_lsp.asm.live import Live
from nayru_lsp.asm.project import Root
from nayru_lsp.asm.syntax import Dialect

MAIN = "/main.asm"
LIMITS = Limits(loops=300, lines=20_000, text=2_000, depth=40)


class Executing(Following):
    """A machine that remembers no call."""

    remembers = False


def machine(kind: type[Following], texts: dict[str, str], dialect: Dialect) -> Following:
    return kind(Root(MAIN, dialect), lambda path: texts[path].encode() if path in texts else None, b"", None, LIMITS)


def told(expansion: Expansion) -> dict[str, Any]:
    """Everything that an execution found."""
    data = expansion.data()
    return {"data": data, "at": list(expansion._at), "real": list(expansion._real), "places": list(expansion._place),
            "sizes": list(expansion._sizes), "log": expansion.define_log, "marks": expansion._marks,
            "skipped": expansion._skipped,
            "calls": expansion.call_table, "labels": expansion.values, "where": expansion.places,
            "defines": expansion.defines, "problems": expansion.problems, "reasons": expansion.reasons,
            "macros": expansion.macros, "structs": expansion.structs, "lines": expansion.lines}


def check(texts: dict[str, str], dialect: Dialect = Dialect.ASAR_1) -> int:
    """Execute twice, with and without memory; gives the number of calls that could be replayed."""
    one, other = machine(Following, texts, dialect), machine(Executing, texts, dialect)
    for again in (False, True, True):
        mine, theirs = told(one.expansion(again)), told(other.expansion(again))
        for key, value in theirs.items():
            assert mine[key] == value, (key, again)
    return one.effects


REPLAYED = {
    "an argument in an operand": "macro m(a)\n    lda #<a>\n    db <a>\nendmacro\norg $008000\n%m(1)\n%m(2)\n%m(1)\n",
    "defines that it reads and sets": """macro step(by)
    !at #= !at+<by>
    if !at > 5
        db !at
    else
        dw !at
    endif
endmacro
org $008000
!at = 0
%step(1)
%step(1)
!at = 0
%step(1)
while !at < 20
    %step(2)
endwhile
""",
    "a loop and a scratch define": """macro fill(n)
    !i = 0
    while !i < <n>
        db $FF
        !i #= !i+1
    endwhile
endmacro
org $008000
%fill(5)
%fill(5)
!i = 77
%fill(5)
db !i
""",
    "labels of the call, calls in calls": """macro inner(a)
?start:
    db <a>,!x
?.sub
endmacro
macro outer(a,b)
?start: nop
    %inner(<a>)
    db <b>
    %inner(<b>)
endmacro
org $018000
!x = 3
%outer(1,2)
%outer(1,2)
!x = 4
%outer(1,2)
""",
    "names of labels, namespaces": """macro jump(to)
    dw <to>
    jmp.w <to>
    db function_of(<to>)
endmacro
function function_of(a) = a>>8
org $018000
Far: %jump(Far)
namespace inside
Far: %jump(Far)
namespace off
%jump(Far)
""",
    "to the end of a bank, and on": """macro some(n)
    db <n>,<n>
    dw <n>
endmacro
org $00FFF8
%some(1)
%some(1)
org $018000
%some(1)
check bankcross off
org $00FFFE
%some(1)
""",
    "an appended and a missing define": """macro more(a)
    !list += ",<a>"
    !first ?= <a>
    db !first!list
endmacro
org $008000
!list = ""
%more(1)
!list = ""
%more(1)
""",
    "assertions": """macro sure(a)
    assert <a> > 0, "what"
    db <a>
endmacro
org $008000
%sure(1)
%sure(0)
%sure(1)
""",
    "a function that comes later": """macro use(a)
    if f(<a>) > 3 : db <a>
    db f(<a>)
endmacro
function f(a) = a+1
org $008000
%use(3)
function g(a) = a
%use(3)
""",
    "a place that is not known": "macro m()\n    db 1\n    nop\nendmacro\norg read1($8000)\n%m()\norg $8000\n%m()\n",
    "many arguments": """macro any(...)
    !n #= sizeof(...)
    db <0>,!n
    nop
endmacro
org $008000
%any(4,5)
%any(4,5)
%any(6)
""",
    "behind a call": "macro m()\n    nop\n    rts\nendmacro\norg $008000\n%m() : After: db 1\n%m() : db 2\n",
}


@pytest.mark.parametrize("name", REPLAYED)
def test_a_replayed_call_does_what_an_executed_one_does(name: str) -> None:
    assert check({MAIN: REPLAYED[name]})


EXECUTED = {
    "the place": "    db pc()\n    if pc() > $8010 : nop",
    "a label that has one": "    if Some > $8010 : nop\n    nop",
    "the nearest label": "    bra +\n    nop\n+",
    "a command": "    skip 3\n    nop",
    "an error": "    bogus <a>\n    nop",
    "is it defined": "    if defined(\"x\") : nop\n    !x = 1",
    "a width": "    lda Some,x\n    nop",
}


@pytest.mark.parametrize("name", EXECUTED)
def test_what_hangs_on_more_than_that_is_executed(name: str) -> None:
    text = f"macro m(a)\n{EXECUTED[name]}\nendmacro\norg $008000\nSome:\n%m(1)\n%m(1)\n"
    effects = check({MAIN: text})
    assert effects == 0 or name == "the place", effects


PLAIN = [
    "    db <a>", "    db !x", "    db <b>,!y", "    lda #<a>", "    dw Some", "    nop", "?in:", "?.sub:",
    "!x #= !x+1", "!x = <a>", "!y = !x", "!y := !x", "!y += 1", "!x ?= 3", "!z!x = <b>",
    "if !x > <a>\n    nop\nelse\n    rts\nendif",
    "if !x == 1\n    db 1\nelseif <b> > !y\n    !y = <a>\nendif", "if <a> : db <b>", "    assert <a> >= 0", "{", "}",
    "while !x < 5\n    !x #= !x+1\n    db !x\nendwhile", "    db f(<a>)", "if f(!x) > 3 : nop", '    db "text",!x',
    "    lda.w Some,x", "%inner(<b>)", "%inner(!x)", "%other(<a>,!y)",
]
OTHERS = [
    "    jmp Some", "    lda Some,x", "    bra ?in", "L<a>_!x:", "    db pc()", "    db !z1", "if !x > <a>",
    "elseif !y == 2", "else", "endif", "    assert <a> > 1", "    assert Some > 0", "    skip 1", "rep 2 : nop",
    "    db 'q'", "+", "    bra +", "-", "for k = 0..<a>\n    db !k\nendfor", "C<a> = 5", "    sta C<a>", 'print "x"',
    "    db <c>", "    bogus",
    'if defined("x") : nop', "    lda.w #f(<b>) : nop", "namespace n<a>", "if _pc() > $8010 : nop",
    ".sub:", "    dw .sub",
]
BETWEEN = [
    "%outer({n},{m})", "%outer({n},{m})", "%inner({n})", "%other({m},{n})", "!x = {n}", "!y = {m}", "org $0{m}FFF8",
    "org $0{n}8000", "nop", "function f(a) = a+1", "function h{n}(a) = {m}", "undef \"x\"", "namespace s{n}",
    "namespace off", "'q' = {n}", "cleartable", "arch spc700", "arch 65816", "check bankcross off", "math pri on",
    "%outer({n},{m}) : db 1", "!z1 = {n}",
]


def program(rng: random.Random) -> str:
    def body(count: int) -> str:
        return "\n".join(rng.choice(OTHERS if rng.random() < others else PLAIN) for _ in range(rng.randrange(1, count)))

    others = rng.choice((0, 0.05, 0.2))
    macros = {"inner(a)": 4, "other(a,b)": 5, "outer(a,b)": 7}
    parts = [f"macro {head}\n{body(count)}\nendmacro" for head, count in macros.items()]
    if rng.random() < 0.8:
        parts.append("function f(a) = a*2")
    parts += ["!x = 1", "!y = 2", "org $008000", "Some:"]
    for _ in range(rng.randrange(3, 20)):
        parts.append(rng.choice(BETWEEN).replace("{n}", str(rng.randrange(4))).replace("{m}", str(rng.randrange(4))))
    return "\n".join(parts) + "\n"


@pytest.mark.parametrize("dialect", Dialect)
@pytest.mark.parametrize("seed", range(8))
def test_random_programs(seed: int, dialect: Dialect) -> None:
    rng = random.Random(seed)
    effects = 0
    for _ in range(60):
        text = program(rng)
        try:
            effects += check({MAIN: text}, dialect)
        except AssertionError:
            print(text)
            raise
    assert effects > 5


def placed(expansion: Expansion) -> list[tuple[Any, ...]]:
    return [(at, data, expansion.where(place)) for at, data, place in zip(
        expansion._at, expansion.data(), expansion._place, strict=True)]


def test_macros_that_move_are_still_known() -> None:
    """Their rows are others after an edit above them; a body that is another one is executed."""
    calls = "org $008000\n" + "%outer(1)\n%outer(2)\n" * 4
    texts = {MAIN: 'incsrc "macros.asm"\n' + calls, "/macros.asm": (
        "macro inner(a)\n?x:\n    db <a>\nendmacro\nmacro outer(a)\n    nop\n    %inner(<a>)\nendmacro\n")}
    live = Live(Root(MAIN, Dialect.ASAR_1), lambda path: texts[path].encode())
    for old, new in (("macro inner", ";\n\nmacro inner"), ("endmacro\nmacro outer", "endmacro\n\nmacro outer"),
                     ("    db <a>\n", "    db <a>,2\n"), ("    nop", "    nop\n    nop")):
        texts["/macros.asm"] = texts["/macros.asm"].replace(old, new)
        mine, theirs = live.changed(["/macros.asm"]), machine(Executing, texts, Dialect.ASAR_1).expansion()
        assert placed(mine) == placed(theirs), old


def test_effects_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nayru_lsp.asm.calls.MAX_EFFECTS", 10)
    text = "macro m(a)\n    db <a>\n    nop\nendmacro\norg $008000\n" + "".join(f"%m({n})\n" for n in range(50))
    assert check({MAIN: text}) <= 10


def test_only_what_executes_again_remembers() -> None:
    assert Following.remembers and not Calls.remembers
