"""The 65816 as Asar 2.0 reads it: operand text -> opcodes by width, or the error that it has for this form.

Unlike 1.91, 2.0 first takes the form from the ends of the text, spaces or not, and then looks for the width: a form
that the instruction lacks is `Ebad_addr_mode`, a width that the form lacks `Ebad_access_width`. The beta that is the
oracle takes three forms that the processor lacks (``sta #1``, ``stx $1234,y``, ``sty $1234,x``): they give its bytes.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from nayru_lsp.asm.isa import AddressingMode, Opcode

_ENDS = (       # in Asar's order: how it begins, how it ends, the form
    ("#", "", "imm"), ("(", ",s),y", "sy"), ("(", "),y", "indy"), ("(", ",x)", "xind"), ("(", ")", "ind"),
    ("[", "],y", "lindy"), ("[", "]", "lind"), ("", ",x", "x"), ("", ",y", "y"), ("", ",s", "s"))
_PATTERNS = {ending: re.compile(" *".join(map(re.escape, ending)) + r" *\Z", re.IGNORECASE)
             for _, ending, _ in _ENDS if ending}
_BANK_TAKEN = re.compile(r"(?:\$[0-9A-Fa-f]+|%[01]+|[0-9]+|\??\.*[A-Za-z_][\w.]*)(?:>>16|/65536|/\$10000)\Z", re.ASCII)
_SUFFIX = {"b": 1, "w": 2, "l": 3}

Widths = tuple[int | None, int | None, int | None]      # the opcode for an operand of 1, 2 and 3 bytes
Rows = tuple[Opcode | None, Opcode | None, Opcode | None]


class Form(NamedTuple):
    """``bank``: labels are seen from there, whatever `bank` says (-1: from where the code is); None: as usual."""

    opcodes: Widths
    bank: int | None = None


class Plan(NamedTuple):
    """What an instruction is. ``kind``: "bad" (``code``: Asar's error), "bytes" (no operand: the rest of its size is
    zeros), "repeat", "branch", "move", "signature" or "operand". ``rows``: the opcodes for an operand that is 1, 2 and
    3 bytes wide as written."""

    kind: str
    rows: Rows = (None, None, None)
    text: str = ""
    bank: int | None = None
    target: str = ""            # of a branch: "a" for an address, "r" for a displacement, "" by what stands there
    code: str = ""
    said: str = ""


def _full(base: int, immediate: int) -> dict[str, Form]:
    def one(offset: int) -> Form:
        return Form((base + offset, None, None))

    return {"xind": one(1), "s": one(3), "lind": one(7), "indy": one(0x11), "ind": one(0x12), "sy": one(0x13),
            "lindy": one(0x17), "abs": Form((base + 5, base + 0xD, base + 0xF)),
            "x": Form((base + 0x15, base + 0x1D, base + 0x1F)), "y": Form((None, base + 0x19, None)),
            "imm": Form((immediate, immediate, None))}


def _short(byte: int, word: int) -> Form:
    return Form((byte, word, None))


def _shift(base: int, alone: int) -> dict[str, Form]:
    return {"abs": _short(base + 6, base + 0xE), "x": _short(base + 0x16, base + 0x1E),
            "a": Form((alone, None, None)), "imp": Form((alone, None, None)), "repeat": Form((alone, None, None))}


def _only(*widths: int | None) -> Form:
    one, two, three = (*widths, None, None, None)[:3]
    return Form((one, two, three))


FORMS: dict[str, dict[str, Form]] = {
    **{name: _full(base, base + 9) for name, base in (
        ("ora", 0), ("and", 0x20), ("eor", 0x40), ("adc", 0x60), ("sta", 0x80), ("lda", 0xA0), ("cmp", 0xC0),
        ("sbc", 0xE0))},
    **{name: _shift(base, alone) for name, base, alone in (
        ("asl", 0, 0x0A), ("rol", 0x20, 0x2A), ("lsr", 0x40, 0x4A), ("ror", 0x60, 0x6A), ("dec", 0xC0, 0x3A),
        ("inc", 0xE0, 0x1A))},
    "bit": {"abs": _short(0x24, 0x2C), "x": _short(0x34, 0x3C), "imm": _short(0x89, 0x89)},
    "tsb": {"abs": _short(0x04, 0x0C)}, "trb": {"abs": _short(0x14, 0x1C)},
    "stz": {"abs": _short(0x64, 0x9C), "x": _short(0x74, 0x9E)},
    "stx": {"abs": _short(0x86, 0x8E), "y": _short(0x96, 0x9E)},
    "sty": {"abs": _short(0x84, 0x8C), "x": _short(0x94, 0x9C)},
    "ldx": {"abs": _short(0xA6, 0xAE), "imm": _short(0xA2, 0xA2), "y": _short(0xB6, 0xBE)},
    "ldy": {"abs": _short(0xA4, 0xAC), "imm": _short(0xA0, 0xA0), "x": _short(0xB4, 0xBC)},
    "cpx": {"abs": _short(0xE4, 0xEC), "imm": _short(0xE0, 0xE0)},
    "cpy": {"abs": _short(0xC4, 0xCC), "imm": _short(0xC0, 0xC0)},
    "rep": {"imm": _only(0xC2)}, "sep": {"imm": _only(0xE2)}, "pei": {"ind": _only(0xD4)},
    "pea": {"abs": _only(None, 0xF4)}, "jsl": {"abs": _only(None, None, 0x22)},
    "jmp": {"abs": Form((None, 0x4C, None), -1), "xind": Form((None, 0x7C, None), -1),
            "ind": Form((None, 0x6C, None), 0), "lind": Form((None, 0xDC, None), 0)},
    "jsr": {"abs": Form((None, 0x20, None), -1), "xind": Form((None, 0xFC, None), -1)},
    "jml": {"abs": Form((None, None, 0x5C), -1), "lind": Form((None, 0xDC, None), 0)},
}
BRANCHES = {"bcc": 0x90, "bcs": 0xB0, "beq": 0xF0, "bmi": 0x30, "bne": 0xD0, "bpl": 0x10, "bra": 0x80, "bvc": 0x50,
            "bvs": 0x70, "brl": 0x82, "per": 0x62}
REPEATED = {"dex": 0xCA, "dey": 0x88, "inx": 0xE8, "iny": 0xC8, "nop": 0xEA}
SIGNED = {"cop": 0x02, "wdm": 0x42, "brk": 0x00}
MOVES = {"mvn": 0x54, "mvp": 0x44}
ALONE = dict(zip("""clc cld cli clv pha phb phd phk php phx phy pla plb pld plp plx ply rti rtl rts sec sed sei stp tax
    tay tcd tcs tdc tsc tsx txa txs txy tya tyx wai xba xce""".split(), bytes.fromhex(
    "18d858b8488b0b4b08da5a68ab2b28fa7a406b6038f878dbaaa85b1b7b3bba8a9a9b98bbcbebfb"), strict=True))
MNEMONICS_2 = frozenset({*FORMS, *BRANCHES, *REPEATED, *SIGNED, *MOVES, *ALONE})


def read(mnemonic: str, suffix: str, operand: str) -> Plan:
    """``mnemonic`` in small letters, one of `MNEMONICS_2`; ``suffix`` the letter behind the dot."""
    name = mnemonic.upper()
    if mnemonic in ALONE:
        return _bad(name) if operand else Plan("bytes", _same(ALONE[mnemonic], 1, name))
    if mnemonic in MOVES:
        return Plan("move", _same(MOVES[mnemonic], 3, name), operand)
    if mnemonic in BRANCHES:
        form, text = _form(operand, frozenset({"abs"}))
        if form != "abs":
            return _bad(name)
        if suffix and suffix not in "ar":
            return Plan("bad", code="invalid_opcode_length", said=f"`.{suffix}` is nothing for a branch: .a or .r")
        size = 3 if mnemonic in ("brl", "per") else 2
        return Plan("branch", _same(BRANCHES[mnemonic], size, name), text, target=suffix)
    if mnemonic in SIGNED or mnemonic in REPEATED:
        form, text = _form(operand, frozenset({"imm", "imp"}))
        if form not in ("imm", "imp"):
            return _bad(name)
        if mnemonic in SIGNED:
            return Plan("bytes" if form == "imp" else "signature", _same(SIGNED[mnemonic], 2, name), text)
        return Plan("bytes" if form == "imp" else "repeat", _same(REPEATED[mnemonic], 1, name), text)
    forms = FORMS[mnemonic]
    alone = forms.get("a")
    form, text = _form(operand, frozenset({*forms, "imm"}) if alone else frozenset(forms))
    if alone and alone.opcodes[0] is not None and form in ("imm", "a", "imp"):
        return Plan("repeat" if form == "imm" else "bytes", _same(alone.opcodes[0], 1, name), text)
    if form not in forms:
        return _bad(name)
    opcodes, bank = forms[form]
    width = 0
    if suffix:
        if suffix not in _SUFFIX:
            return Plan("bad", code="invalid_opcode_length", said=f"`.{suffix}` is no width: use .b, .w or .l")
        width = _SUFFIX[suffix]
    elif form == "imm" and _BANK_TAKEN.match(text):
        width = 1
    if not width:
        return Plan("operand", _rows(opcodes, form == "imm", name), text, bank=bank)
    opcode = opcodes[width - 1]
    if opcode is None:
        return Plan("bad", code="bad_access_width", said=f"{name} takes no operand of {width} bytes here")
    return Plan("operand", _same(opcode, width + 1, name), text, bank=bank)


def _same(opcode: int, size: int, name: str) -> Rows:
    made = _opcode(opcode, size, name)
    return made, made, made


def _rows(opcodes: Widths, immediate: bool, name: str) -> Rows:
    """A narrow operand is widened to what there is; an immediate of three bytes is cut to two."""
    out: list[Opcode | None] = []
    for width in (1, 2, 3):
        if immediate and width == 3 and opcodes[1] is not None:
            width = 2
        out.append(next((_opcode(opcode, size + 1, name) for size in range(width, 4)
                         if (opcode := opcodes[size - 1]) is not None), None))
    return out[0], out[1], out[2]


_OPCODES: dict[tuple[int, int], Opcode] = {}


def _opcode(value: int, size: int, name: str) -> Opcode:
    """An opcode as the expansion needs it: its byte and its size."""
    found = _OPCODES.get((value, size))
    if found is None:
        found = _OPCODES[value, size] = Opcode(value, name, AddressingMode.ABSOLUTE, size, 0, "", 0, "", "")
    return found


def _form(operand: str, allowed: frozenset[str]) -> tuple[str, str]:
    """The form by Asar's reading and the text inside; "" where it is one that the instruction lacks."""
    stripped = operand.lstrip(" ")
    for start, ending, form in _ENDS:
        if start and not stripped.startswith(start):
            continue
        end = len(operand)
        if ending:
            match = _PATTERNS[ending].search(operand)
            if match is None:
                continue
            end = match.start()
        if form in allowed:
            first = len(operand) - len(stripped) + 1 if start else 0
            return form, operand[first:end].strip(" ")
        if form != "ind":       # what only looks like `(x)` is an expression
            return "", ""
    form = "abs" if operand and operand not in ("a", "A") else "a" if operand else "imp"
    return (form if form in allowed else ""), operand


def _bad(name: str) -> Plan:
    return Plan("bad", code="bad_addr_mode", said=f"{name} has no operand of this form")
