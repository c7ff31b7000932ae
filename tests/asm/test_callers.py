"""Where problems of macros are seen: at the calls that fail, in the macro if all do; how they are said, how many."""

from __future__ import annotations

import time

from nayru_lsp.asm.callers import CALLS, TOLD
from nayru_lsp.asm.expanded import Found, placed
from nayru_lsp.asm.text import SourceText
from tests.asm.test_expanded import expanded

MAIN, LIB = "/ws/main.asm", "/ws/lib.asm"


def shown(main: str, lib: str = "") -> list[Found]:
    """Of a program of which nothing is unknown; the first row of ``main`` is 3."""
    return list(expanded(f";- main.asm\nlorom\nincsrc \"lib.asm\"\norg $808000\n{main}\n;- lib.asm\n{lib}\n").shown())


def places(found: list[Found]) -> list[tuple[str, int]]:
    return [(one.path.rpartition("/")[2], one.row) for one in found]


SPAWN = "macro spawn(name)\n    jsr <name>_Init\nendmacro\n"


def test_one_call_of_a_thousand() -> None:
    found = shown("Boss_Init: rts\n" + "%spawn(Boss)\n" * 500 + "%spawn(Bos)\n" + "%spawn(Boss)\n" * 500, SPAWN)
    assert [(one.path, one.row, one.code, one.message) for one in found] == [
        (MAIN, 504, "Elabel_not_found", "in `%spawn(Bos)` (lib.asm, line 2): there is no label `Bos_Init`")]
    assert found[0].related == ((LIB, 1, "there is no label `Bos_Init`"),)


def test_a_macro_that_fails_at_every_call() -> None:
    broken = "macro broken()\n    nop\n    jsr Nowhere\nendmacro\n"
    found = shown("%broken()\n" * 1_000, broken)
    assert [(one.path, one.row, one.message) for one in found] == [
        (LIB, 2, "there is no label `Nowhere`"),
        (MAIN, 3, "in `%broken()` (lib.asm, line 3): there is no label `Nowhere` (and at 999 more calls)")]
    assert found[0].related == ((MAIN, 3, "called from here"),)
    far = "macro far(name)\n    bra <name>\nendmacro\n"
    found = shown("%far(Far)\n" * 1_000 + "skip $400\nFar: rts", far)
    assert places(found) == [("lib.asm", 1), ("main.asm", 3)]
    assert f"(lib.asm, line 2): {found[0].message} (and" in found[1].message, "the distance is that of one call"
    # In one file the line itself says all.
    assert places(shown(broken + "%broken()\n" * 3)) == [("main.asm", 5)]
    # One call says nothing about whose fault a name is that it gave; a second one that fails too does.
    assert places(shown("%spawn(Boss)", SPAWN)) == [("main.asm", 3)]
    assert places(shown("%spawn(Boss)\n%spawn(Imp)", SPAWN)) == [("lib.asm", 1), ("main.asm", 3)]


def test_many_calls_of_many() -> None:
    """More problems than are kept, and some calls that went well."""
    main = "Good_Init: rts\n%spawn(Good)\n" + "".join(f"%spawn(Bad{number})\n" for number in range(3_000))
    begun = time.process_time()
    found = shown(main, SPAWN)
    assert time.process_time() - begun < 10
    assert len(found) == CALLS and {one.path for one in found} == {MAIN}
    assert found[0].message.endswith("no label `Bad0_Init`") and found[-1].message.endswith(
        f"no label `Bad{CALLS - 1}_Init` (and at {2_000 - CALLS:,} more calls)")
    macros = "".join(f"macro m{number}(name)\n jsr <name>\nendmacro\n" for number in range(100))
    calls = "".join(f"%m{number}(Good)\n" + f"%m{number}(Bad)\n" * 9 for number in range(100))
    assert TOLD <= len(shown("Good: rts\n" + calls, macros)) <= TOLD + 100


def test_what_nobody_is_shown_takes_no_room() -> None:
    broken = "".join(f"macro b{number}()\n unknown word\nendmacro\n%b{number}()\n" for number in range(2 * TOLD))
    program = f"{broken}org $8000\n{SPAWN}Good_Init:\n%spawn(Good)\n" + "%spawn(Bad)\n" * 30
    found = [one for one in expanded(program).problems if one.code == "Elabel_not_found" and one.via[2]]
    assert [len(one.via[1]) for one in found] == [CALLS]


def test_calls_in_calls() -> None:
    lib = SPAWN + "macro outer(what, n)\n    nop\n    %spawn(<what>)\nendmacro\n"
    found = shown("Boss_Init: rts\n%outer(Boss, 2)\n%outer(Imp, (1+2))", lib)
    assert [(one.path, one.row, one.message) for one in found] == [
        (MAIN, 5, "in `%spawn(Imp)` (lib.asm, line 2): there is no label `Imp_Init`")]
    assert found[0].related == ((LIB, 1, "there is no label `Imp_Init`"), (LIB, 5, "through this call"))
    deep = "macro deep(n)\n    if <n> < 60\n    %deep(<n>+1)\n    else\n    jsr X_<n>\n    endif\nendmacro\n"
    found = shown("%deep(1)", deep)
    assert places(found) == [("main.asm", 3)] and "in `%deep` (lib.asm, line 5)" in found[0].message
    assert len(found[0].related) == 5       # the line, and the innermost calls
    # Several calls on one line, one that a define makes, an included file.
    two = shown("A_Init:\n%spawn(A) : %spawn(B)\n!c = %spawn(C)\n!c", SPAWN)
    assert [one.message.partition(":")[0] for one in two] == ["in `%spawn` (lib.asm, line 2)"] * 2
    files = expanded("""\
;- main.asm
lorom
org $808000
macro both(name)
    incsrc "part.asm"
endmacro
Good:
%both(Good)
%both(Bad)
;- part.asm
    jsr <name>
""").shown()
    assert [(one.path, one.row, one.message) for one in files] == [
        (MAIN, 7, "in `%both(Bad)` (part.asm, line 1): there is no label `Bad`")]


def test_a_loop_that_calls() -> None:
    found = shown("!i = 0\nwhile !i < 30\n%spawn(Boss)\n!i #= !i+1\nendwhile", SPAWN)
    assert places(found) == [("lib.asm", 1), ("main.asm", 5)]
    assert found[1].message.endswith("`Boss_Init` (and at 29 more calls)")


def test_what_other_errors_say() -> None:
    near = "macro near()\n    bra ?there\n    fill !n\n?there:\nendmacro\n"
    assert places(shown("!n = 2\n%near()\n!n = 200\n%near()", near)) == [("main.asm", 6)]
    assert places(shown("!n = 200\n%near()\n%near()", near)) == [("lib.asm", 1), ("main.asm", 4)]
    small = "macro small(n)\n    assert <n> < 3, \"too large\"\nendmacro\n"
    assert places(shown("%small(2)\n%small(4)", small)) == [("main.asm", 4)]
    assert places(shown("%small(5)\n%small(4)", small)) == [("lib.asm", 1), ("main.asm", 3)]
    fixed = "macro fixed()\nFixed:\n    rts\nendmacro\n"
    assert places(shown("%fixed()\n%fixed()", fixed)) == [("main.asm", 4)]
    inner = "macro inner(a)\nendmacro\nmacro outer()\n    %inner()\n    %missing()\nendmacro\n"
    two = inner.replace("(a)", "(a, b)").replace("inner()", "inner(1)").replace("    %missing()\n", "")
    assert places(shown("%outer()\n%outer()", two)) == [("lib.asm", 3), ("main.asm", 3)]
    assert ("lib.asm", 4) in places(shown("%outer()", inner))
    used = "macro used()\n    lda #!some\nendmacro\n"
    assert places(shown("%used()\n!some = 1\n%used()", used)) == [("main.asm", 3)]
    assert places(shown("%used()\n%used()", used)) == [("lib.asm", 1), ("main.asm", 3)]


def test_a_sub_label_that_one_call_has_not_is_no_slip_in_the_macro() -> None:
    program = "org $808000\nmacro sub()\n    bra .sub\nendmacro\nOne:\n.sub: %sub()\nTwo: %sub()\n"
    found = expanded(program)
    assert places(list(found.shown())) == [("main.asm", 6)] and not found.missing(MAIN)
    assert expanded(program.replace("One:\n.sub: ", "One: ")).missing(MAIN) == {(2, ".sub")}


def test_a_file_that_is_brought_in_again() -> None:
    part = "First:\n    rts\nSecond:\n    rts\n"
    found = shown('nop\nincsrc "lib.asm"', part)
    twice = "`First` is defined twice: this line made it before, in another call or turn"
    assert [(one.path, one.row, one.message) for one in found] == [
        (MAIN, 4, f"in this file, which was brought in before (lib.asm, line 1): {twice} (and 1 more)")]
    assert found[0].related == ((LIB, 0, twice),)
    assert places(shown("", part + "First:\n")) == [("lib.asm", 4)]
    # A loop makes the lines come again, not the file.
    turns = "!i = 0\nwhile !i < 2\nFirst:\n!i #= !i+1\nendwhile\n"
    assert places(shown("", turns)) == [("lib.asm", 2)]


def test_placed_on_the_call() -> None:
    main, lib = SourceText.of("A: %spawn(Bos)\n"), SourceText.of(SPAWN)
    found = Found(MAIN, 0, "Elabel_not_found", 1, "in `%spawn(Bos)` (lib.asm, line 2): no `Bos_Init`", None,
                  ((LIB, 1, "here"), ("/gone.asm", 2, "there")))
    problem = placed(found, main, {LIB: lib})
    assert main.slice(*problem.span) == "%spawn(Bos)"
    assert [(one.path, lib.slice(*one.span), one.message) for one in problem.related] == [
        (LIB, "jsr <name>_Init", "here")]
    assert main.slice(*placed(found._replace(message="in `%spawn(x)` (lib.asm, line 2): far"), main).span) == "%spawn"
    assert main.slice(*placed(found._replace(message="in `%inner(x)` (lib.asm, line 2): far"), main).span) == (
        "A: %spawn(Bos)")
