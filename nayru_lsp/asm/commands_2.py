"""The commands of Asar 2.0: how many words each takes, what it does and which of 2.0's errors it has (see `commands`).

2.0 counts words strictly (``org $8000 + 2`` is an unknown command) and has other names for many errors; the commands
that 1.91 only deprecated are gone. Where freespace lies is found in `freespace_2`, if there is an image. As long as
`commands` and for the same reason: some seventy commands, most of a few lines.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from nayru_lsp.asm.arithmetic import OUTSIDE, PURE_2, Expression, Unknown, Wrong
from nayru_lsp.asm.commands import COMMANDS, at_start, begin_struct, check_title, filled, part_of
from nayru_lsp.asm.compiled import CODE, REPEATED, REST, Code, Data, pack, split_list, unquoted_2
from nayru_lsp.asm.expansion import REGION, UNPLACED, Fatal
from nayru_lsp.asm.freespace import Mapping
from nayru_lsp.asm.freespace_2 import ANY as ANYWHERE
from nayru_lsp.asm.freespace_2 import CODE as IN_CODE
from nayru_lsp.asm.freespace_2 import NOT_KNOWN, Block, Freespace2, Wanted2
from nayru_lsp.asm.mapping import SA1_BANKS, MappingMode, to_rom

if TYPE_CHECKING:
    from nayru_lsp.asm.expand import Machine

_NAME = re.compile(r"[A-Za-z_]\w*\Z", re.ASCII)
_LABEL_NAME = re.compile(r"\??\.*[A-Za-z_0-9][\w.]*\Z", re.ASCII)
_PRINTED = re.compile(r"(?i)(bin|dec|hex|double)\((.*)\) *\Z", re.DOTALL)
_SA1_BANKS = re.compile(r"[0-9],[0-9],[0-9],[0-9]\Z")
_MOST = 1 << 30


def command_2(m: Machine, name: str, words: list[str]) -> None:
    found = COMMANDS_2.get(name)
    if found is None or len(words) - 1 not in found[0]:
        raise m.drop("unknown_command", m.unknown_word(words))
    found[1](m, words)


# --- help --------------------------------------------------------------------------------------------------------

def _number(m: Machine, text: str, fixed: bool = False, forward: str = "") -> int:
    """``fixed``: without labels that move; ``forward``: the error for a label that comes later."""
    expression = m.compiler.expression(text)
    if forward and m.forward(expression):
        raise m.drop(forward, "this label must be defined above")
    if fixed and not m.is_static(expression):
        raise m.drop("no_labels_here", "a label cannot stand here")
    return expression.integer(m)


def _address(m: Machine, text: str, forward: str = "", mask: int = 0xFFFFFF) -> int:
    value = _number(m, text, forward=forward)
    if value & ~mask:
        raise m.drop("snes_address_out_of_bounds", f"${value & 0xFFFFFFFF:X} is too large here")
    return value


def _path(m: Machine, word: str) -> str:
    if "\\" in word:
        raise m.drop("platform_paths", "write / in paths")
    return unquoted_2(word)


def _outside_block(m: Machine) -> None:
    if m.block is not None:
        raise m.drop("feature_unavaliable_in_spcblock", "this cannot stand in an spcblock")


# --- places ------------------------------------------------------------------------------------------------------

def _org(m: Machine, words: list[str]) -> None:
    _outside_block(m)
    m.end_freespace()
    m.pos = m.real = m.origin = m.real_origin = _address(m, words[1], "label_forward")


def _base(m: Machine, words: list[str]) -> None:
    if words[1].lower() == "off":
        m.pos, m.origin = m.real, m.real_origin
        return
    value = _address(m, words[1], "base_label_invalid")
    m.optimize_bank = -1
    if m.real >= 0:         # without an `org` a base is none
        m.pos = m.origin = value


def _pushpc(m: Machine, words: list[str]) -> None:
    if m.pos < 0:
        m.without_org()
    COMMANDS["pushpc"](m, words)


def _pullpc(m: Machine, words: list[str]) -> None:
    if m.pc_stack and m.pc_stack[-1][4] != m.arch:
        m.pc_stack.pop()
        m.end_freespace()
        raise m.drop("pullpc_different_arch", "`arch` is not what it was at the `pushpc`")
    COMMANDS["pullpc"](m, words)


def _skip(m: Machine, words: list[str]) -> None:
    amount = _amount(m, words)
    if m.pos >= 0:
        m.step(amount)


def _fill(m: Machine, words: list[str]) -> None:
    amount = _amount(m, words)
    if amount > m.limits.output:
        raise m.drop("nayru_limit", f"{amount:,} bytes at once")
    if amount > 0:
        m.write(filled(m.fill_with, amount), amount)


def _amount(m: Machine, words: list[str]) -> int:
    lower = [word.lower() for word in words]
    if len(words) == 2:
        return _number(m, words[1], True)
    if len(words) == 4 or lower[1] != "align" or (len(words) == 5 and lower[3] != "offset"):
        raise m.drop("unknown_command", f"write `{words[0]} align n` or `{words[0]} align n offset m`")
    alignment = _number(m, words[2], True)
    offset = _number(m, words[4], True) if len(words) == 5 else 0
    if alignment > 0x800000:
        raise m.drop("alignment_too_big", "an alignment is $800000 at most")
    if alignment < 1:
        raise m.drop("alignment_too_small", "an alignment is at least 1")
    if alignment & (alignment - 1):
        raise m.drop("invalid_alignment", "an alignment is a power of two")
    if m.pos >> REGION >= UNPLACED:
        raise Unknown("an alignment in a place that is not known")
    return -(m.pos - offset) & (alignment - 1)


def _pad(m: Machine, words: list[str]) -> None:
    if m.free_id:
        raise m.drop("pad_in_freespace", "`pad` cannot stand in freespace")
    if m.real >= 0 and m.real >> REGION:
        raise Unknown("a `pad` in a place that is not known")
    target = _number(m, words[1])
    if target & ~0xFFFFFF:
        raise m.drop("snes_address_doesnt_map_to_rom", f"${target & 0xFFFFFFFF:06X} shows no ROM")
    if target > m.real:
        end, start = to_rom(m.mode, target), to_rom(m.mode, m.real) if m.real >= 0 else None
        size = (-1 if end is None else end) - (-1 if start is None else start)
        if size > 0:
            m.write(filled(m.pad_with, size), size)


def _filler(m: Machine, words: list[str]) -> None:
    name = words[0].lower()
    unit = {"byte": 1, "word": 2, "long": 3, "dword": 4}[name.removeprefix("fill").removeprefix("pad")]
    filler = pack(_number(m, words[1], True), unit) * (12 // unit)
    if name.startswith("fill"):
        m.fill_with = filler
    else:
        m.pad_with = filler


def _mapper(m: Machine, words: list[str]) -> None:
    if len(words) > 1 and not _SA1_BANKS.match(words[1]):
        raise m.drop("invalid_mapper", "write `sa1rom 0,1,2,3`")
    _outside_block(m)
    COMMANDS[words[0].lower()](m, words)


def _arch(m: Machine, words: list[str]) -> None:
    _outside_block(m)
    arch = words[1].lower()
    if arch not in ("65816", "spc700", "superfx"):
        raise m.drop("broken_command", f"`{arch}` is no processor: 65816, spc700 or superfx")
    m.arch = arch
    m.compiler = m.compiler_of()


def _bank(m: Machine, words: list[str]) -> None:
    what = words[1].lower()
    m.optimize_bank = -1 if what == "auto" else 0x140 if what == "noassume" else _address(m, words[1], mask=0xFF)


def _dpbase(m: Machine, words: list[str]) -> None:
    value = _number(m, words[1], forward="base_label_invalid")
    if value & ~0xFF00:
        raise m.drop("bad_dp_base", "a direct page base is $xx00")
    m.dp_base = value


def _optimize(m: Machine, words: list[str]) -> None:
    which, what = words[1].lower(), words[2].lower()
    if which == "dp":
        if what not in ("none", "ram", "always"):
            raise m.drop("bad_dp_optimize", "write `optimize dp none`, `ram` or `always`")
        m.optimize_dp = what
    elif which == "address":
        if what not in ("default", "ram", "mirrors"):
            raise m.drop("bad_address_optimize", "write `optimize address default`, `ram` or `mirrors`")
        m.optimize_address = what
    else:
        raise m.drop("bad_optimize", "write `optimize dp ...` or `optimize address ...`")


def _check(m: Machine, words: list[str]) -> None:
    what, how = words[1].lower(), words[2].lower()
    if what == "bankcross" and how in ("off", "half", "full"):
        m.cross = how != "off"
        if m.cross:
            m.half = how == "half"
    elif what == "title":
        check_title(m, unquoted_2(words[2]))
    else:
        raise m.drop("invalid_check", "write `check title \"...\"` or `check bankcross off`, `half` or `full`")


# --- files -------------------------------------------------------------------------------------------------------

def _asar(m: Machine, words: list[str]) -> None:
    at_start(m)
    if len(words) < 2:
        return
    parts = words[1].split(".")
    if not all(part.isdecimal() for part in parts) or not 2 <= len(parts) <= 3:
        raise m.drop("invalid_version_number", f"`{words[1]}` is no version: write `asar 2.00`")
    numbers = [int(part) for part in parts]
    if numbers[0] == 2:
        if len(parts) == 2 and len(parts[1]) != 2:
            raise m.drop("invalid_version_number", f"`{words[1]}` is no version: write `asar 2.00`")
        too_new = any(numbers[1:])
    else:
        too_new = numbers[0] > 2
    if too_new:
        m.problem("asar_too_old", f"this wants Asar {words[1]}")
        raise Fatal


def _incsrc(m: Machine, words: list[str]) -> None:
    name = _path(m, words[1])
    if not m.enter_file(name, m.out.files[m.frames[-1].file]):
        m.problem("file_not_found", f"there is no file {name} here")
        raise Unknown(f"{name} is not here")


def _incbin(m: Machine, words: list[str]) -> None:
    name, start, end = words[1], 0, 0
    at = name.find(":", name.rfind('"') if '"' in name else 0)
    if at >= 0:
        first, dots, last = name[at + 1:].partition("..")
        name = name[:at]
        if not dots or not first or not last:
            raise m.drop("broken_incbin", "write the range as `:first..end`")
        start, end = _number(m, first, True), _number(m, last, True)
    data = part_of(m, _path(m, name), start, end, "file_not_found")
    if data:
        m.write(data, len(data))


# --- names -------------------------------------------------------------------------------------------------------

def _character(m: Machine, words: list[str]) -> None:
    value = _number(m, words[2], True)
    m.table = {**(m.table if isinstance(m.table, dict) else {}), ord(words[0][1]): value & 0xFFFFFFFF}


def _function(m: Machine, words: list[str]) -> None:
    head = words[1]
    name, opened, inside = head.partition("(")
    body = " ".join(words[3:])
    if words[2] != "=" or not opened or head.count("(") != head.count(")") or inside.find(")") != len(inside) - 1:
        raise m.drop("broken_function_declaration", "write `function name(parameter) = expression`")
    if not _NAME.match(name):
        raise m.drop("invalid_function_name", f"`{name}` is no name for a function")
    if body.count("(") != body.count(")"):
        raise m.drop("mismatched_parentheses", "the parentheses do not match")
    if name in m.functions or name in PURE_2 or name in OUTSIDE:
        raise m.drop("function_redefined", f"there is a function `{name}` already")
    parameters = tuple(inside[:-1].split(","))
    lower = [one.lower() for one in parameters]
    if len(set(lower)) < len(lower):
        raise m.drop("duplicate_param_name", "a parameter is there twice")
    if not all(_NAME.match(one) for one in parameters):
        raise m.drop("invalid_param_name", "a function needs parameters, each of them a name")
    m.set_function(name, parameters, body)


def _undef(m: Machine, words: list[str]) -> None:
    name = unquoted_2(words[1])
    if name not in m.defines and name not in m.poisoned:
        raise m.drop("define_not_found", f"`!{name}` is not defined here")
    m.poisoned.discard(name)
    m.set_define(name, None)


def _namespace(m: Machine, words: list[str]) -> None:
    _outside_block(m)
    what = words[1].lower()
    if (what == "nested") != (len(words) == 3):
        raise m.drop("invalid_namespace_use", "write `namespace name`, `namespace off` or `namespace nested on`")
    if what not in ("off", "nested") and not _NAME.match(unquoted_2(words[1])):
        raise m.drop("invalid_namespace_name", f"`{words[1]}` is no name for a namespace")
    if what == "nested" and words[2].lower() not in ("on", "off"):
        return
    COMMANDS["namespace"](m, words)


def _global(m: Machine, words: list[str]) -> None:
    label = words[1]
    declared = label.startswith("#")
    name = label.removeprefix("#")[:-1]
    if label[-1:] != ":" or m.in_struct or label[0] in "?+-:." or not re.match(r"[A-Za-z_][\w.]*\Z", name, re.ASCII):
        raise m.drop("invalid_global_label", "write `global name:`")
    if not declared:
        m.sub[:] = [name]
    m.set_label(name, None, False)


# --- structs -----------------------------------------------------------------------------------------------------

def _struct(m: Machine, words: list[str]) -> None:
    if m.in_struct:
        raise m.drop("nested_struct", "a struct cannot stand inside another")
    if len(words) < 2:
        raise m.drop("missing_struct_params", "write `struct name`, with an address or `extends other` behind it")
    if len(words) > 4:
        raise m.drop("too_many_struct_params", "write `struct name address` or `struct name extends other`")
    name = words[1]
    if not _NAME.match(name):
        raise m.drop("invalid_struct_name", f"`{name}` is no name for a struct")
    if name in m.struct_names:
        raise m.drop("struct_redefined", f"there is a struct `{name}` already")
    position, static, parent = m.pos, False, ""
    if len(words) == 4:
        parent = words[3]
        if words[2].lower() != "extends":
            raise m.drop("missing_extends", "write `struct name extends other`")
        if not _NAME.match(parent):
            raise m.drop("struct_invalid_parent_name", f"`{parent}` is no name for a struct")
        if parent not in m.structs:
            raise m.drop("struct_not_found", f"there is no struct `{parent}` to extend")
        position, static = m.structs[parent][2], m.structs[parent][3]
    elif len(words) == 3:
        position = _address(m, words[2])
        static = m.is_static(m.compiler.expression(words[2]))
    begin_struct(m, name, parent, position, static)
    m.set_label(m.space + m.in_struct, position, static)


def _endstruct(m: Machine, words: list[str]) -> None:
    if len(words) not in (1, 3):
        raise m.drop("invalid_endstruct_count", "write `endstruct` or `endstruct align n`")
    if len(words) == 3 and words[1].lower() != "align":
        raise m.drop("expected_align", "write `endstruct align n`")
    if m.in_struct and not m.struct_parent:
        m.struct_names.add(m.in_struct)
    COMMANDS["endstruct"](m, words)


# --- sound blocks ------------------------------------------------------------------------------------------------

def _spcblock(m: Machine, words: list[str]) -> None:
    if m.in_struct:
        raise m.drop("spcblock_inside_struct", "an spcblock cannot stand inside a struct")
    if len(words) < 2:
        raise m.drop("spcblock_too_few_args", "write `spcblock address`")
    if len(words) > 4:
        raise m.drop("spcblock_too_many_args", "write `spcblock address` or `spcblock address nspc`")
    target = _address(m, words[1], mask=0xFFFF)
    kind = words[2].lower() if len(words) > 2 else "nspc"
    if len(words) == 3 and kind != "nspc":
        raise m.drop("custom_spcblock_missing_macro" if kind == "custom" else "unknown_spcblock_type",
                     "write `spcblock address nspc`")
    if len(words) == 4:
        macro = m.macros.get(words[3])
        if kind != "custom":
            raise m.drop("extra_spcblock_arg_for_type", "nothing stands behind `nspc`")
        if macro is None:
            raise m.drop("spcblock_macro_doesnt_exist", f"there is no macro `{words[3]}`")
        if not macro.variadic:
            raise m.drop("spcblock_macro_must_be_varadic", f"the macro `{words[3]}` must take `...`")
        raise m.drop("spcblock_macro_invalid_static_args" if len(macro.parameters) != 3 else
                     "spcblock_custom_types_incomplete", "Asar knows blocks of the kind `nspc` only")
    COMMANDS["spcblock"](m, ["spcblock", str(target)])


def _endspcblock(m: Machine, words: list[str]) -> None:
    if m.block is None:
        raise m.drop("endspcblock_without_spcblock", "there is no `spcblock` for this `endspcblock`")
    if len(words) == 3 and words[1] != "execute":
        m.problem("invalid_endspcblock_arg", "write `endspcblock execute address`")
    elif len(words) not in (1, 3):
        m.problem("unknown_endspcblock_format", "write `endspcblock` or `endspcblock execute address`")
    COMMANDS["endspcblock"](m, words)


# --- freespace ---------------------------------------------------------------------------------------------------

_SWITCHES = frozenset(f"{no}{name}" for no in ("", "no") for name in "ram static align cleaned rats bankcross".split())


def _options(m: Machine, words: Iterable[str]) -> dict[str, Any]:
    """What is asked for: ``bank`` (see `freespace_2`), ``start``, ``pin`` and the switches."""
    found: dict[str, Any] = {}
    for option in ",".join(words).split(","):
        name, _, value = option.partition("=")
        name = name.lower()
        if option.lower() in _SWITCHES:
            if name in ("ram", "noram"):
                found["bank"] = IN_CODE if name == "ram" else ANYWHERE
            else:
                found[name.removeprefix("no")] = not name.startswith("no")
        elif name in ("bank", "start") and "=" in option:
            found[name] = _number(m, value, True)
        elif name == "pin" and "=" in option:
            if not _LABEL_NAME.match(value):
                raise m.drop("invalid_label_name", f"`{value}` is no label")
            m.wanted(value)
            found[name] = m.space, m.key(value)
        else:
            raise m.drop("invalid_freespace_request", f"freespace knows no option `{option}`")
    return found


def _freespace(m: Machine, words: list[str]) -> None:
    _outside_block(m)
    name = words[0].lower()
    settings = dict(m.free_settings)
    if name == "freecode":
        settings["bank"] = IN_CODE
    elif name == "freedata":
        settings["bank"] = ANYWHERE
    elif name == "segment":
        settings["rats"] = False
    if len(words) > 2:
        raise m.drop("invalid_freespace_request", "write the options as one list without spaces")
    if len(words) == 2:
        settings |= _options(m, words[1:])
    tagged = settings.get("rats", True)
    bank = settings.get("bank", None if tagged else ANYWHERE)
    if bank is None or (not tagged and (settings.get("cleaned") or settings.get("static"))):
        raise m.drop("invalid_freespace_request", "freespace needs `ram` or `noram`" if bank is None else
                     "without a RATS tag there is nothing to clean")
    m.end_freespace()
    m.free_code = bank == IN_CODE or (bank >= 0 and not bank & 0x40)
    m.free_id = m.free_number
    m.free_number += 1
    m.optimize_bank = -1
    m.head, m.head_used = len(m.out._objects) if tagged else -1, False
    if m.free_2 is None:
        m.unknown("freespace: its place is found when the patch is applied")
        m.free_start = m.pos
        return
    _begin(m, m.free_2, Wanted2(
        bank, tagged, align=settings.get("align", False), static=settings.get("static", False),
        cross=settings.get("bankcross", False), start=settings.get("start", -1), pin=settings.get("pin"),
        source=m.place))


def _begin(m: Machine, free: Freespace2, wanted: Wanted2) -> None:
    """A block in freespace where there is an image: at 0, until the last pass knows where it lies."""
    m.placed, m.placing = True, m.pass_number < 2
    if not m.pass_number:
        free.blocks[m.free_id] = Block(wanted)
    block = free.block(m.free_id)
    if m.final and block.wanted.static and block.old_place == -2:
        m.unknown("freespace: nothing leads to this static block")
        raise m.drop("static_freespace_autoclean", "a static block needs an `autoclean` above it that leads here")
    place = 0 if m.placing else block.place
    if place == NOT_KNOWN:
        m.unknown("freespace: its bank has no ROM")
        m.free_start = m.pos
        return
    if place < 0:
        m.problem("no_freespace_in_mapped_banks" if m.mode is MappingMode.SA1ROM else "no_freespace",
                  f"there is no room for {block.length:,} bytes")
        raise Fatal
    m.free_start = m.pos = m.real = m.origin = m.real_origin = m.free_id << REGION | place
    if not m.placing and block.wanted.static and block.old_place > 0 and block.length > block.old_length:
        m.problem("static_freespace_growing", f"this block has {block.length:,} bytes now and had "
                  f"{block.old_length:,}: a static one cannot grow")


def place_2(m: Machine) -> None:
    """What Asar does with freespace behind each of its three passes."""
    free = m.free_2
    assert free is not None
    if not m.pass_number:
        free.pin(m.labels)
    elif m.placing:
        free.image.program(_program(m, free.fillers), m.mapping())
        free.place(m.mapping(), m.free_byte)
        for name, position in m.labels.items():
            if 0 < (number := position >> REGION) < UNPLACED:
                m.labels[name] = number << REGION | position + free.block(number).place & 0xFFFFFF
        free.placed = dict(m.labels)
    else:
        m.out._image = free.image.writes


def _program(m: Machine, fillers: list[tuple[int, int]]) -> Iterator[tuple[int, int, int]]:
    """Where the program writes outside of freespace: ROM offset, bytes, the byte that counts as free there."""
    changes = [*((first, (mode, banks), None) for first, mode, banks in m.out._modes),
               *((first, None, byte) for first, byte in fillers)]
    changes.sort(key=lambda change: change[0])
    changes.reverse()
    mapping, filler = Mapping(MappingMode.LOROM, SA1_BANKS), 0
    first = size = next_real = 0
    for number, (real, length) in enumerate(zip(m.out._real, m.out._sizes, strict=True)):
        while changes and changes[-1][0] <= number:
            if size:
                yield first, size, filler
                size = 0
            _, mode, byte = changes.pop()
            mapping, filler = Mapping(*mode) if mode else mapping, filler if byte is None else byte
            next_real = -1
        if real == next_real and real & 0x7FFF:
            size += length
        else:
            if size:
                yield first, size, filler
            first, size = mapping.rom(real), length
            if real >> REGION or first < 0:
                first = size = 0
                next_real = -1
                continue
        next_real = real + length
    if size:
        yield first, size, filler


def _freespace_settings(m: Machine, words: list[str]) -> None:
    m.free_settings = m.free_settings | _options(m, words[1:])


def _freespacebyte(m: Machine, words: list[str]) -> None:
    m.free_byte = _number(m, words[1], True) & 0xFF
    if m.free_2 is not None and m.pass_number == 1:
        m.free_2.fillers.append((len(m.out._objects), m.free_byte))


def _prot(m: Machine, words: list[str]) -> None:
    _outside_block(m)
    names = split_list(words[1])
    if m.head != len(m.out._objects):
        raise m.drop("prot_not_at_freespace_start", "`prot` stands at the start of freespace")
    if m.head_used:
        m.step(-5)              # the end of the one before is written over
    if len(names) * 3 > 255:
        raise m.drop("prot_too_many_entries", "85 labels at most")
    m.write(b"PROT" + bytes([len(names) * 3]), 5)
    for name in names:
        m.write(_long_label(m, name), 3)
    m.write(b"STOP\0", 5)
    m.head, m.head_used = len(m.out._objects), True


def _long_label(m: Machine, text: str) -> object:
    if not _LABEL_NAME.match(text):
        raise m.drop("label_not_found", f"`{text}` is no label")
    target = m.compiler.expression(text)
    return Data(3, (target,)), None, m.captured(target.names)


def _autoclean(m: Machine, words: list[str]) -> None:
    made = m.compiler.instruction(words[1:]) if m.arch == "65816" and m.block is None else None
    if len(words) == 2 and made is None:
        _outside_block(m)
        if m.free_2 is not None:
            m.placed, m.placing = True, m.pass_number < 2
            if not m.pass_number:
                m.free_2.image.source = m.place
                m.free_2.image.remove(_number(m, words[1]), m.free_byte, m.mapping())
        return
    if words[1].lower() == "dl":
        _outside_block(m)
        label = words[2] if len(words) == 3 else ""
        if m.free_id:
            raise m.drop("autoclean_in_freespace", "`autoclean` cannot stand in freespace")
        kept = _long_label(m, label)
        _clean(m, label, None, m.pos)
        m.write(kept, 3)
        return
    if made is None:
        raise m.drop("broken_autoclean" if len(words) == 3 else "unknown_command",
                     "`autoclean` stands before `dl` or an instruction with a long label")
    kind, size, obj = made
    if kind != CODE:
        if kind and isinstance(size, str) and isinstance(obj, str) and size != REPEATED:
            raise m.drop(size, obj)
        raise m.drop("broken_autoclean", "this instruction takes no long label")
    label = obj.expression.text if isinstance(obj, Code) else ""
    kept = obj
    if not isinstance(obj, bytes):
        size, kept = m.code(size, obj)
    opcode = kept[1] if isinstance(kept, tuple) else obj.fixed if isinstance(obj, Code) else None
    if size != 4:
        m.problem("broken_autoclean", "this instruction takes no long label")
    elif m.free_id:
        m.problem("autoclean_in_freespace", "`autoclean` cannot stand in freespace")
    elif not _LABEL_NAME.match(label):
        m.problem("label_not_found", f"`{label}` is no label")
    elif opcode is not None:
        at = m.pos
        m.write(bytes([opcode.value]), 1)
        m.write(_long_label(m, label), 3)
        _clean(m, label, opcode.value, at)
        return
    m.write(kept, size)


def _clean(m: Machine, label: str, opcode: int | None, at: int) -> None:
    """What `autoclean` does to the image in the second pass and checks in the last one."""
    if m.free_2 is None:
        return
    m.placed, m.placing = True, m.pass_number < 2
    key = m.key(label)
    position = m.labels.get(m.space + key, m.labels.get(key))
    if not m.final or position is None or at >> REGION:
        return
    if m.placing:
        m.free_2.image.source = m.place
        m.free_2.clean(at, opcode, position >> REGION, m.mapping(), m.free_byte)
    elif not m.free_2.leads_into(position & 0xFFFFFF, m.mapping()):
        m.problem("autoclean_label_at_freespace_end", f"`{label}` lies in no freespace, or at its start")


# --- text --------------------------------------------------------------------------------------------------------

def _print(m: Machine, words: list[str]) -> None:
    """Evaluated at the end, when every label is there."""
    names: list[str] = []
    calls: list[str] = []
    for expression in _printed(m, words[1]):
        names.extend(expression.names)
        calls.extend(expression.calls)
    m.deferred.append((words, m.captured(tuple(names), tuple(calls)), m.place, m.pos, m.real))


def said_2(m: Machine, words: list[str]) -> str:
    """The text of a `print`, where it holds nothing but strings; what is wrong with it is raised."""
    out = []
    for part in split_list(words[1]):
        if part[:1] == '"':
            out.append(unquoted_2(part))
    for expression in _printed(m, words[1], True):
        expression.value(m)
    return "".join(out)


def _printed(m: Machine, text: str, strict: bool = False) -> list[Expression]:
    out: list[Expression] = []
    for part in split_list(text):
        if part[:1] == '"' or part.lower() in ("bytes", "freespaceuse", "pc"):
            continue
        match = _PRINTED.match(part)
        if match is None:
            if strict:
                raise Wrong("unknown_variable", f"`{part}` cannot be printed: use dec(), hex(), bin() or double()")
            continue
        inner = split_list(match.group(2))
        if len(inner) > 2 and strict:
            raise Wrong("wrong_num_parameters", f"`{match.group(1)}` takes a number and how many digits it gets")
        out.extend(m.compiler.expression(one.strip()) for one in reversed(inner))
    return out


def _error(m: Machine, words: list[str]) -> None:
    if len(words) == 1:
        raise m.drop("error_command", "an `error` command was reached")
    _print(m, words)


def _warn(m: Machine, words: list[str]) -> None:
    if len(words) > 1:
        _print(m, words)


def _warnings(m: Machine, words: list[str]) -> None:
    what = words[1].lower()
    if len(words) == 3 and what in ("enable", "disable"):
        return
    if len(words) == 3 or what not in ("push", "pull"):
        raise m.drop("broken_command", "write `warnings push`, `pull`, `enable W...` or `disable W...`")
    if what == "pull" and not m.warnings_pushed:
        raise m.drop("pullwarnings_without_pushwarnings", "there is no `warnings push` for this `warnings pull`")
    m.warnings_pushed += 1 if what == "push" else -1


def _reset(m: Machine, words: list[str]) -> None:
    if words[1].lower() not in ("bytes", "freespaceuse"):
        raise m.drop("unknown_variable", "write `reset bytes` or `reset freespaceuse`")


# --- of our own --------------------------------------------------------------------------------------------------

def _repeated(m: Machine, words: list[str]) -> None:
    """``nop #3``."""
    expression = m.compiler.expression(words[1])
    if expression.names:
        raise m.drop("no_labels_here", "a label cannot stand here")
    count = expression.integer(m)
    if count > 0x1000000:
        m.problem("bank_border_crossed", "repeated beyond the end of the bank")
        raise Fatal
    if count > 0:
        m.write(words[0].encode("latin-1") * count, count)


def moving_2(m: Machine) -> None:
    """Three passes are all there are: a label that would move once more is refused."""
    if m.free_2 is not None and m.placed:
        _moved(m, m.free_2.placed)
        return
    if any(problem.code == "Elabel_redefined" for problem in m.problems):       # where it is has two answers anyway
        return
    for keys, literal, used, position, how in m.guesses:
        if m.width_of(keys, literal, position, how) != used:
            behind = [(value, name) for name, value in m.labels.items()
                      if value > position and not (value ^ position) >> REGION and name not in m.static]
            if behind:
                name = min(behind)[1]
                m.problem("label_ambiguous", f"`{name}` would move again: the width of an operand before it depends on "
                                             "where it lies", m.now[name])
            return


def _moved(m: Machine, placed: dict[str, int]) -> None:
    """With freespace: where Asar expects a label in its last pass, and where it is."""
    failed = bool(m.problems)
    if any(problem.code == "Esnes_address_doesnt_map_to_rom" for problem in m.problems):
        for name in m.label_log:        # what would have been written moved nothing
            position = m.labels[name]
            if position >> REGION < UNPLACED and name in placed:
                m.labels[name] = position >> REGION << REGION | placed[name] & 0xFFFFFF
        return
    for name in m.label_log:
        position, expected = m.labels[name], placed.get(name, m.labels[name])
        if (position ^ expected) & 0xFFFFFF and position >> REGION < UNPLACED:
            other_bank = (position ^ expected) & 0xFF0000 or expected & 0xFFFFFF == m.dp_base + 0xFF
            if other_bank or not failed:
                m.problem("label_ambiguous" if other_bank else "internal_error",
                          f"`{name}` is not where the pass before left it", m.now[name])
            failed = True


_WORDS = {
    "org": (1,), "base": (1,), "pushpc": (0,), "pullpc": (0,), "pushbase": (0,), "pullbase": (0,), "skip": (1, 2, 4),
    "fill": (1, 2, 4), "pad": (1,), "arch": (1,), "asar": (0, 1), "include": (0,), "includefrom": (1,),
    "includeonce": (0,), "incsrc": (1,), "incbin": (1,), "' =": (2,), "cleartable": (0,), "pushtable": (0,),
    "pulltable": (0,), "undef": (1,), "namespace": (1, 2), "pushns": (0,), "pullns": (0,), "global": (1,),
    "optimize": (2,), "bank": (1,), "dpbase": (1,), "check": (2,), "error": (0, 1), "warn": (0, 1), "print": (1,),
    "warnings": (1, 2), "freespace_settings": (1,), "freespacebyte": (1,), "prot": (1,), "reset": (1,),
    "{": (0,), "}": (0,), "sa1rom": (0, 1), REPEATED: (1,), REST: (0,),
    **dict.fromkeys(("lorom", "hirom", "exlorom", "exhirom", "sfxrom", "norom", "fullsa1rom"), (0,)),
    **dict.fromkeys(("fillbyte", "fillword", "filllong", "filldword", "padbyte", "padword", "padlong", "paddword"),
                    (1,)),
}
_OWN: dict[str, Callable[[Machine, list[str]], None]] = {
    "org": _org, "base": _base, "pushpc": _pushpc, "pullpc": _pullpc, "skip": _skip, "fill": _fill, "pad": _pad,
    "arch": _arch, "asar": _asar, "incsrc": _incsrc, "incbin": _incbin,
    "' =": _character, "function": _function, "undef": _undef, "namespace": _namespace, "global": _global,
    "optimize": _optimize, "bank": _bank, "dpbase": _dpbase, "check": _check, "error": _error, "warn": _warn,
    "print": _print, "warnings": _warnings, "struct": _struct, "endstruct": _endstruct, "spcblock": _spcblock,
    "endspcblock": _endspcblock, "freespace": _freespace, "freecode": _freespace, "freedata": _freespace,
    "segment": _freespace, "freespace_settings": _freespace_settings, "freespacebyte": _freespacebyte, "prot": _prot,
    "autoclean": _autoclean, "reset": _reset, REPEATED: _repeated,
    "{": lambda m, words: None, "}": lambda m, words: None,
    **dict.fromkeys(("fillbyte", "fillword", "filllong", "filldword", "padbyte", "padword", "padlong", "paddword"),
                    _filler),
    **dict.fromkeys(("lorom", "hirom", "exlorom", "exhirom", "sfxrom", "norom", "fullsa1rom", "sa1rom"), _mapper),
}
_SAME = ("pushbase", "pullbase", "include", "includefrom", "includeonce", "cleartable", "pushtable", "pulltable",
         "pushns", "pullns", REST)
COMMANDS_2: dict[str, tuple[tuple[int, ...] | range, Callable[[Machine, list[str]], None]]] = {
    name: (_WORDS.get(name, range(2 if name == "function" else 1 if name == "autoclean" else 0, _MOST)), handler)
    for name, handler in {**_OWN, **{name: COMMANDS[name] for name in _SAME}}.items()}
