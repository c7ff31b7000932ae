"""Expressions have Asar's values and errors: tables and random trees, bit for bit against the real Asar 1.91 in both
of its arithmetics; 2.0, which is not here to be asked, by table."""

from __future__ import annotations

import math
import random
import re
import time

import pytest

from nayru_lsp.asm.arithmetic import (
    OUTSIDE,
    PURE,
    PURE_2,
    Expression,
    Rules,
    Unknown,
    Wrong,
    compile_expression,
    int32,
    int64,
    number_text,
)
from nayru_lsp.asm.syntax import Dialect
from tests.asar import assemble

ONE = Rules(Dialect.ASAR_1, False, True)        # 1.91 as it begins
MODERN = Rules(Dialect.ASAR_1, True, False)     # behind `asar 1.90`
TWO = Rules(Dialect.ASAR_2, True, False)
HEADS = {
    ONE: "", MODERN: "asar 1.90\n",
    Rules(Dialect.ASAR_1, True, True): "math pri on\n", Rules(Dialect.ASAR_1, False, False): "math round off\n",
}

LABELS = {"one": 1, "word": 0x1234, "far": 0x7E2000, "S.m": 0x100, "S[2].m": 0x108, "S[3].m": 0x10C}
FUNCTIONS = {
    "double": (("x",), "x*2"),
    "sum": (("a", "b"), "a+b"),
    "mixed": (("x", "y"), "(x+y*2)>>1"),
    "quirk": (("ab", "b"), "ab"),
    "glued": (("a",), "$0a"),
    "member": (("a",), "a.m"),
    "ignored": (("a",), "5"),
    "quoted": (("x",), 'stringsequal("x","y")'),
    "outer": (("x",), "sum(x,double(x))+far"),
    "size": (("s",), "sizeof(s)"),
    "passed": (("s",), "size(s)+1"),
    "endless": (("x",), "endless(x)"),
    "bank": (("x",), "x+1"),                    # in front of the built-in
    "tail": (("x",), "-x"),
    "third": (("Num",), "num/3"),
    "nested": (("a", "b", "c"), "min(a,max(b,c))<<(a&3)"),
}


class Outside:
    """A small world: `LABELS`, `FUNCTIONS`, the struct S of four bytes, the position $808000."""

    def __init__(self, functions: bool = True) -> None:
        self.functions = FUNCTIONS if functions else {}

    def label(self, name: str) -> int:
        if name not in LABELS:
            raise Wrong("label_not_found", f"there is no label `{name}`")
        return LABELS[name]

    def function(self, name: str) -> tuple[tuple[str, ...], str] | None:
        return self.functions.get(name)

    def call(self, name: str, arguments: tuple[float | int | str, ...]) -> float | int:
        match name, arguments:
            case ("pc" | "realbase"), ():
                return 0x808000
            case ("sizeof" | "objectsize"), ("S",):
                return 4
            case ("sizeof" | "objectsize"), (_,):
                raise Wrong("struct_not_found", "no such struct")
            case "defined", (define,):
                return int(define == "assembler")
            case "snestopc", (address,):
                return (int(address) & 0x7F0000) >> 1 | int(address) & 0x7FFF
            case "read1", (_, default):
                return default if isinstance(default, int | float) else 0
        raise Unknown("depends on the ROM")


def head(rules: Rules, functions: bool = True) -> str:
    text = (f"{HEADS[rules]}lorom\norg $808000\none = 1\nword = $1234\nfar = $7E2000\n"
            "struct S $100\n.m: skip 4\nendstruct\n")
    if functions:
        text += "".join(f"function {name}({','.join(parameters)}) = {body}\n"
                        for name, (parameters, body) in FUNCTIONS.items())
    return text


def asar(texts: list[str], rules: Rules, functions: bool = True) -> list[tuple[int, str] | str]:
    """What the real Asar makes of each: (the four bytes of ``dd``, the text of ``print``), or the id of its error."""
    start = head(rules, functions)
    first = start.count("\n")
    wrong: dict[int, str] = {}
    for _ in range(4):
        lines = ["" if number in wrong else f"dd {text}" for number, text in enumerate(texts)]
        prints = [f"print double({text},20)" for number, text in enumerate(texts) if number not in wrong]
        done = assemble(start + "\n".join(lines + prints) + "\n")
        if done.ok:
            break
        for row, message in done.errors:
            if first <= row < first + len(texts):
                named = re.search(r"error: \(E(\w+)\)", message)
                wrong.setdefault(row - first, named.group(1) if named else "")
        assert wrong, done.errors
    assert done.ok, done.errors
    values = [int.from_bytes(data, "little") for data in split(done.data, 4)]
    printed = [text.removeprefix("-") if text == "-0" else text for text in done.prints]
    right = iter(zip(values, printed, strict=True))
    return [wrong[number] if number in wrong else next(right) for number in range(len(texts))]


def split(data: bytes, size: int) -> list[bytes]:
    return [data[at:at + size] for at in range(0, len(data), size)]


def mine(expression: Expression, functions: bool = True) -> tuple[int, str] | str:
    env = Outside(functions)
    try:
        value = expression.value(env)
        text = number_text(value, 20)
        return expression.integer(env) & 0xFFFFFFFF, "0" if text == "-0" else text
    except Wrong as error:
        assert str(error)
        return error.code


def compare(texts: list[str], rules: Rules, functions: bool = True) -> int:
    """Both agree on every text; returns how many have a value."""
    theirs = asar(texts, rules, functions)
    differing = [(text, mine(compile_expression(text, rules), functions), answer)
                 for text, answer in zip(texts, theirs, strict=True)
                 if mine(compile_expression(text, rules), functions) != answer]
    assert not differing, f"{len(differing)} differ: (text, mine, Asar's)\n" + "\n".join(map(str, differing[:25]))
    return sum(isinstance(answer, tuple) for answer in theirs)


TABLE = """
0 1 $FF $ffff %101 255 1.5 1. 1.2.3 0.1+0.2 9007199254740993 $FFFFFFFF $FFFFFFFFFFFFFFFF $FFFFFFFFFFFFFFFFFFFF 'a' '''
'~' -1 --1 -~1 ~0 ~-1 ~$FFFFFFFF ~$80000000 +5 -+5 <:far <:-1 <:$FFFFFFFF <:$123456 -<:$123456 ~1.9 ~-1.9 1+2*3 2*3+1
7/2 7/2*2 -7/2 -7.5/2 7%3 -7%3 7%-3 7.5%2 2**3 2**3**2 -2**2 2**-1 2**0.5 0**0 0**-1 2**62 2**63 2**64 2**1024
-(2**64) (2**64)&$FF (-8)**(1/3) 1<<4 1<<31 1<<32 1<<63 1<<64 1<<65 3<<63 -1>>1 -1>>70 $123456>>16 1.9<<1.9 1<<2-3
1<<(2-3) 1>>-1 1/0 1%0 1/-0 0/5 1/2**-2000 1/3*3 10-4-3 100/10/5 1|2&3 1|2^3&1 $F0F0&$FF00|1 5%10 5%300 2+3<<1 1<<2+1
1<<1<<1 2*3**2 (2*3)**2 ((7))/2 (1+2)*(3+4) 1--1 1-~1 1+-2 3*-2 one+1 word-1 far>>16 far&$FFFF far/65536 word*word
word|far word^far one<<8 (far>>16)+1 (far&$FFFF)|(one<<16) -word ~word <:far+1 S.m S.m+1 S[2].m S[1+1].m S[one+2].m
S[2].m-S.m missing missing+1 far.sub word+missing sqrt(2) sqrt(16) sqrt(-1) sin(1) cos(1) tan(1.5) asin(1) acos(1)
acos(2) atan(1) arcsin(0.5) arccos(0.5) arctan(2) log(2.5) log(0) log(-1) log2(8) log2(10) log10(1000) log10(0)
ceil(2.1) ceil(-2.5) floor(2.9) floor(-2.5) round(2.567,2) round(2.5,0) round(3.5,0) round(-2.5,0) round(1.23456789,3)
round(1,-3) round(1.005,2) round(12345.678,1) max(1,2) max(2.5,1) min(1,2) min(-1,1) clamp(5,1,3) clamp(0,1,3)
clamp(2,1,3) clamp(2,3,1) safediv(1,0,5) safediv(7,2,5) select(1,2,3) select(0,2,3) select(0.5,2,3) select(-1,2,3)
not(0) not(1) not(0.5) not($100000000) not($FFFFFFFFFF) not(-1) equal(1,1) equal(1,2) equal(1.5,1.5) notequal(1,2)
less(1,2) lessequal(2,2) greater(1,2) greaterequal(2,2) and(1,2) and(0.5,1) and(1,0) or(0,0) or(0,5) or(0.5,0)
nand(1,1) nand(1,0) nor(0,0) nor(0.5,0) xor(1,2) xor(0,1) xor(0.5,0) stringsequal("a","a") stringsequal("a","A")
stringsequalnocase("aB","Ab") stringsequalnocase("a","b") _min(4,5) _sin(1) _bank($30000) stringsequal("a,b)","a,b)")
defined("assembler") defined("nothing") snestopc($818000) sizeof(S) objectsize(S) sizeof("S") sizeof(X)
read1($7E0000,3) max(min(1,2),min(3,4)) min(1+2,3*4) max((1),(2)) double(3) double(2.5) double(far) double(-3)
sum(1,2) sum(-1,-2) sum(far,word) sum(far+1,double(1)) mixed(1,2) mixed(3,5) mixed(word,far) quirk(4,5) glued(5)
glued(one) member(S) ignored(missing) ignored(missing+1) quoted(y) quoted(z) outer(1) outer(word) size(S) passed(S)
passed(one) bank(3) tail(-3) tail(3) tail(1/3)*3 third(10) third(1) nested(7,2,9) nested(-1,2,3) sum(1) sum(1,2,3)
sum() sum(1/2,1/2) sum(1.25,2.5) Double(3) sum("a","b") double(missing) double(1)+double(2) $ % 1+ *1 (1 1) ( ) () 1=2
0x12 $0x12 %2 1e5 nothing(1) max(1) max(1,2,3) max() sqrt("a") 'ab' defined(x) 1] 1++1 1+*2 1&&2 1==2 1<2
""".split()
# Asar checks parentheses before it computes, or reads these as something else: the wrong code is no difference here
ELSEWHERE = {"(1", "1)", "(", ")", "'ab'", "1]", "$0x12"}


@pytest.mark.parametrize("rules", HEADS, ids=lambda rules: f"{rules.precedence}-{rules.truncate}")
def test_the_table(rules: Rules) -> None:
    known = compare([text for text in TABLE if text not in ELSEWHERE], rules)
    assert known > 220
    for text in ELSEWHERE:
        assert isinstance(mine(compile_expression(text, rules)), str)


def number(coin: random.Random) -> str:
    match coin.randrange(12):
        case 0:
            return "%" + format(coin.randrange(1 << coin.choice((1, 8, 16))), "b")
        case 1:
            return f"{coin.randrange(100)}.{coin.randrange(1000)}"
        case 2:
            return str(coin.randrange(1 << 32))
        case 3:
            return coin.choice(list(LABELS)[:4])
        case 4:
            return f"'{coin.choice('aZ09 .~')}'".replace(" ", "_")
        case 5 | 6 | 7:
            return f"${coin.randrange(1 << coin.choice((4, 8, 16, 24, 32, 40))):X}"
    return str(coin.randrange(coin.choice((4, 20, 300, 70000))))


def tree(coin: random.Random, depth: int, calls: bool) -> str:
    choice = coin.random()
    if depth == 0 or choice < 0.12:
        return number(coin)
    if choice < 0.25:
        return f"({tree(coin, depth - 1, calls)})"
    if choice < 0.35:
        return coin.choice(("-", "~", "+", "<:", "-~")) + number(coin)
    if calls and choice < 0.5:
        name = coin.choice([name for name in (*PURE, *FUNCTIONS) if not name.startswith("string") and name not in (
            "glued", "member", "quoted", "size", "passed", "endless")])
        count = len(FUNCTIONS[name][0]) if name in FUNCTIONS else len(PURE[name][0])
        if name == "round":
            return f"round({tree(coin, depth - 1, calls)},{coin.randrange(6)})"
        return f"{name}({','.join(tree(coin, depth - 1, calls) for _ in range(count))})"
    operator = coin.choice(("+", "-", "*", "/", "%", "<<", ">>", "&", "|", "^", "+", "-", "**"))
    if operator in ("<<", ">>", "**"):
        right = coin.choice((str(coin.randrange(8)), str(coin.randrange(70)), "one"))
        return f"{tree(coin, depth - 1, calls)}{operator}{right}"
    return f"{tree(coin, depth - 1, calls)}{operator}{tree(coin, depth - 1, calls)}"


@pytest.mark.parametrize("calls", [False, True])
@pytest.mark.parametrize("rules", HEADS, ids=lambda rules: f"{rules.precedence}-{rules.truncate}")
def test_random_trees(rules: Rules, calls: bool) -> None:
    coin = random.Random(816 + calls)
    texts = sorted({tree(coin, 4, calls) for _ in range(900)} - {"'"})
    known = compare(texts, rules, calls)
    assert known > len(texts) * 0.6


def test_widths_of_literals() -> None:
    """Asar chooses the form of ``lda`` by the widest literal in the text."""
    coin = random.Random(65816)
    texts = ["$1+" + tree(coin, 2, False) for _ in range(400)] + [
        f"{1 << bits}" for bits in range(70)] + [f"{(1 << bits) - 1}" for bits in range(1, 70)] + [
        "5%10", "5%1000", "5%100000000", "300%11", "$00000", "%00000000000000000", "1+'a'", "'$'+1", "'\"'+'1'+1"]
    known = 0
    for text in texts:
        expression = compile_expression(text, ONE)
        if expression.names or "." in text:
            continue
        done = assemble(f"lorom\norg $808000\nlda {text}\n")
        if done.ok:
            # where no literal counts, as in 2147483648, Asar takes two bytes
            assert len(done.data) == 1 + (expression.literal_width or 2), text
            known += 1
    assert known > 250


TABLE_2 = [
    ("1==1", 1), ("1==2", 0), ("1!=2", 1), ("1<2", 1), ("2<=2", 1), ("3>4", 0), ("3>=3", 1), ("1.5==1.5", 1),
    ("1&&2", 1), ("1&&0", 0), ("0||0", 0), ("0||3", 1), ("0.5||0", 0), ("0.5&&1", 0), ("1&2==2", 0), ("(1&2)==2", 0),
    ("1|2==3", 1), ("4&(2==2)", 0), ("1+1==2&&2+2==4", 1), ("1==2||3==3", 1), ("1||0&&0", 0), ("1||(0&&0)", 1),
    ("1<<2<5", 1), ("5>1<<2", 1), ("2+3*4", 14), ("7/2", 3.5), ("2**3**2", 64), ("-2**2", 4), ("1 + 2 * 3", 7),
    ("( 1 + 2 ) * 3", 9), ("1 +2 ", 3), ("- 5", -5), ("~ 0", -1), ("~1.9", -2), ("bank($123456)", 0x12),
    ("<:$123456", 0x12), ("max( 1 , 2 )", 2), ("'a'", 97), ("'é'", 0xE9), ("'''", 39), ("char(\"abc\",1)", 98),
    ("stringlength(\"abc\")", 3), ("stringlength(\"é\")", 2), ("char(\"é\",0)", -61), ("stringsequal(\"a\",\"a\")", 1),
    ("round(2.567,1)", 2.6), ("$10000000000000001", 1), ("far", 0x7E2000), ("far+1", 0x7E2001), ("S[1+1].m", 0x108),
    ("0&&(1/0)", "division_by_zero"), ("1=1", "unknown_operator"), ("_min(1,2)", "function_not_found"),
    ("char(\"abc\",3)", "oob"), ("sizeof(\"S\")", "string_literal_not_terminated"), ("1!1", "unknown_operator"),
    ("1<<(0-1)", "negative_shift"), ("missing", "label_not_found"), ("1,2", "invalid_input"),
    ("(1", "mismatched_parentheses"), ("1)", "mismatched_parentheses"), ("sizeof(S)", 4), ("!1", "invalid_number"),
]


@pytest.mark.parametrize(("text", "expected"), TABLE_2)
def test_the_second_dialect(text: str, expected: float | str) -> None:
    expression = compile_expression(text, TWO)
    if isinstance(expected, str):
        with pytest.raises(Wrong) as caught:
            expression.value(Outside(functions=False))
        assert caught.value.code == expected
    else:
        value = expression.value(Outside(functions=False))
        assert value == expected
        assert isinstance(value, int) == float(expected).is_integer()


def test_functions_of_both_dialects() -> None:
    assert len(PURE) + len(OUTSIDE) == 64
    assert len(PURE_2) + len(OUTSIDE) == 66


@pytest.mark.parametrize(("text", "names", "calls", "width", "constant"), [
    ("$12", (), (), 1, 0x12), ("$0012", (), (), 2, 0x12), ("$123", (), (), 2, 0x123),
    ("$12345678", (), (), 3, 0x12345678),
    ("%101", (), (), 1, 5), ("%100000000", (), (), 2, 256), ("255", (), (), 1, 255), ("256", (), (), 2, 256),
    ("65536", (), (), 3, 65536), ("4294967296", (), (), 1, 4294967296), ("2147483648", (), (), 0, 2147483648),
    ("'a'", (), (), 1, 97), ("label", ("label",), (), 0, None), (".sub", (".sub",), (), 0, None),
    ("..deep+1", ("..deep",), (), 1, None), ("?x", ("?x",), (), 0, None), ("?.x", ("?.x",), (), 0, None),
    ("+", ("+",), (), 0, None), ("--", ("--",), (), 0, None), ("?+", ("?+",), (), 0, None),
    ("(+)", ("+",), (), 0, None),
    ("Struct.m", ("Struct.m",), (), 0, None), ("Struct[1+1].m", ("Struct[2].m",), (), 0, None),
    ("S[i].m", ("i", "S[].m"), (), 0, None), ("label+$12", ("label",), (), 1, None),
    ("label+other*$123456", ("label", "other"), (), 3, None), ("bank(label)", ("label",), ("bank",), 0, None),
    ("f(a,g(b),$12)", ("a", "b"), ("f", "g"), 1, None), ("$12+$1234", (), (), 2, 0x1246), ("5%1000", (), (), 1, 5),
    ("1+2*3", (), (), 1, 9), ("1/0", (), (), 1, None), ("x1y2", ("x1y2",), (), 0, None),
    ("(label>>16)", ("label",), (), 1, None),
    ("sizeof(S)", (), ("sizeof",), 0, None), ("label-label", ("label", "label"), (), 0, None),
])
def test_what_an_expression_says_about_itself(
    text: str, names: tuple[str, ...], calls: tuple[str, ...], width: int, constant: float | None,
) -> None:
    expression = compile_expression(text, ONE)
    assert (expression.names, expression.calls, expression.literal_width, expression.constant) == (
        names, calls, width, constant)
    assert expression.text == text
    assert compile_expression(text, ONE) is expression


def test_character_tables() -> None:
    table = {ord("A"): 0x21, ord("B"): -1}
    assert compile_expression("'A'+1", ONE, table).value(Outside()) == 0x22
    assert compile_expression("'A'+1", ONE).constant == 66
    assert compile_expression("'A'+1", ONE).characters == "A"
    assert compile_expression("'C'", ONE, table).value(Outside()) == ord("C")
    with pytest.raises(Wrong) as caught:
        compile_expression("'B'", TWO, table).value(Outside())
    assert caught.value.code == "undefined_char"
    with pytest.raises(Wrong):
        compile_expression("'é'", ONE).value(Outside())


def test_conversions() -> None:
    assert [int32(value) for value in (5, -1, 0xFFFFFFFF, 0x80000000, 1.9, -1.9, 1 << 32, math.inf, -math.inf)] == [
        5, -1, -1, -0x80000000, 1, -1, 0, -1, 0]
    assert int64(2.0**63) == -(1 << 63) and int64(2.0**64) == (1 << 63) - 1
    assert [number_text(value) for value in (5, -3, 2.5, 0.1, 1e20)] == [
        "5", "-3", "2.5", "0.1000000000000000055511151231257827021181583404541015625", "100000000000000000000"]


def test_unknown_stays_unknown() -> None:
    for text in ("read1($808000)", "readfile1(\"x\",0)+1", "double(read1($808000))", "sum(1,filesize(\"x\"))"):
        with pytest.raises(Unknown) as caught:
            compile_expression(text, ONE).value(Outside())
        assert caught.value.args[0] == "depends on the ROM"


class Doubling(Outside):
    """f0 to f39, each of which calls the one before twice."""

    def function(self, name: str) -> tuple[tuple[str, ...], str] | None:
        if not name.startswith("f"):
            return None
        level = int(name[1:])
        return ("x",), f"f{level - 1}(x)+f{level - 1}(x)" if level else "x"


def test_bounded() -> None:
    began = time.monotonic()
    for rules in (ONE, MODERN, TWO):
        with pytest.raises(Wrong) as caught:
            compile_expression("endless(1)", rules).value(Outside())
        assert caught.value.code == "recursion_limit"
        for text in ("f39(1)", "f39(one)"):
            with pytest.raises(Unknown):
                compile_expression(text, rules).value(Doubling())
        assert compile_expression("f8(3)", rules).value(Doubling()) == 768
        assert compile_expression("(" * 60 + "1" + ")" * 60, rules).value(Outside()) == 1
        for text in ("(" * 5000 + "1" + ")" * 5000, "-" * 5000 + "1", "1+" * 9000 + "1+1+1+1+1+1", "f(" * 3000,
                     "1" * 25_000, "$" + "F" * 19_000, "9" * 19_000, "a[" * 4000, "1.5" * 6000):
            try:
                compile_expression(text, rules).value(Outside())
            except (Unknown, Wrong) as error:
                assert error.args[0]
        assert compile_expression("one+" * 4000 + "1", rules).value(Outside()) == 4001
    assert time.monotonic() - began < 20


@pytest.mark.parametrize("rules", [ONE, MODERN, TWO], ids=["left", "modern", "two"])
def test_rubbish_never_raises_anything_else(rules: Rules) -> None:
    coin = random.Random(7)
    parts = ["$12", "%1", "5", "1.5", "far", ".x", "?y", "+", "-", "~", "<:", "*", "/", "**", "<<", ">>", "(", ")", ",",
             "[", "]", "'", "'a'", '"', '"s"', " ", "max(", "double(", "sum(", "quoted(", "sizeof(", "round(", "char(",
             "S[", "\x01", "\x010\x02", "é", "\ud800", "!", "<", "==", "&&", ".", "?", "$", "\0", "1e400", "**-1", ":"]
    for _ in range(6000):
        text = "".join(coin.choice(parts) for _ in range(coin.randrange(9)))
        expression = compile_expression(text, rules)
        assert 0 <= expression.literal_width <= 3
        try:
            value = expression.value(Outside())
        except (Unknown, Wrong) as error:
            assert isinstance(error.args[0], str) and error.args[0]
        else:
            assert isinstance(value, int | float) and value == value, text
            assert not isinstance(value, int) or abs(value) <= 1 << 53, text
            assert expression.constant in (None, value)
