"""The commands of Asar 1.91: what each does to the machine that executes them (see `expand`); 2.0 has its own, and a
few of these (`commands_2`).

Each takes the words of its block, itself first. Errors carry Asar's names. Refuses to know: printing, warnings and
titles, which change neither labels nor bytes. Long because Asar has some eighty commands, most of a few lines.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING

from nayru_lsp.asm.arithmetic import Unknown, Wrong
from nayru_lsp.asm.compiled import REST, Data, pack, split_list, unquoted
from nayru_lsp.asm.expansion import REGION, UNPLACED, UNSET, Fatal
from nayru_lsp.asm.freespace import Event, Wanted
from nayru_lsp.asm.mapping import SA1_BANKS, MappingMode, to_rom
from nayru_lsp.asm.state import OPEN

if TYPE_CHECKING:
    from nayru_lsp.asm.expand import Machine

MAX_SPACE = 10_000      # characters of all namespaces around a label
_PLAIN_NAME = re.compile(r"[A-Za-z_]\w*\Z", re.ASCII)
_FUNCTION = re.compile(r"([A-Za-z_]\w*)\(([^()]*)\)\Z", re.ASCII)


def _words(m: Machine, words: list[str], *counts: int) -> None:
    if len(words) - 1 not in counts:
        raise m.drop("unknown_command", f"`{words[0]}` takes {' or '.join(map(str, counts))} words")


def _number(m: Machine, text: str, static: bool = False) -> int:
    expression = m.compiler.expression(text)
    if static and not m.is_static(expression):
        raise m.drop("no_labels_here", "a label cannot stand here")
    return expression.integer(m)


def _outside_block(m: Machine) -> None:
    if m.block is not None:
        raise m.drop("feature_unavaliable_in_spcblock", "this cannot stand in an spcblock")


def _org(m: Machine, words: list[str]) -> None:
    _words(m, words, 1)
    if m.inline:
        _inline_org(m, _number(m, words[1], True))
        return
    _outside_block(m)
    m.end_freespace()
    try:
        value = _number(m, words[1])
    except Wrong as wrong:
        if wrong.code == "label_not_found":
            raise m.drop("org_label_forward", "the label of this `org` must be defined above it") from wrong
        raise
    if not 0 <= value <= 0xFFFFFF:
        raise m.drop("snes_address_out_of_bounds", f"${value & 0xFFFFFFFF:X} is no address of 24 bits")
    m.pos = m.real = m.origin = m.real_origin = value


def _base(m: Machine, words: list[str]) -> None:
    _words(m, words, 1)
    if m.inline:
        raise m.drop("spc700_inline_no_base", "`base` cannot stand in code of `arch spc700-inline`")
    if words[1].lower() == "off":
        m.pos, m.origin = m.real, m.real_origin
        return
    value = _number(m, words[1])
    if not 0 <= value <= 0xFFFFFF:
        raise m.drop("snes_address_out_of_bounds", f"${value & 0xFFFFFFFF:X} is no address of 24 bits")
    m.pos = m.origin = value
    m.optimize_bank = -1


def _pushpc(m: Machine, words: list[str]) -> None:
    _words(m, words, 0)
    m.pc_stack.append((m.pos, m.real, m.origin, m.real_origin, m.arch, m.free_id,
                          m.free_start, m.free_extra))
    m.pos = m.real = m.origin = m.real_origin = UNSET


def _pullpc(m: Machine, words: list[str]) -> None:
    _words(m, words, 0)
    if not m.pc_stack:
        raise m.drop("pullpc_without_pushpc", "there is no `pushpc` for this `pullpc`")
    m.end_freespace()
    (m.pos, m.real, m.origin, m.real_origin, arch, m.free_id, m.free_start,
     m.free_extra) = m.pc_stack.pop()
    if arch != m.arch:
        m.problem("pullpc_different_arch", "`arch` is not what it was at the `pushpc`")


def _pushbase(m: Machine, words: list[str]) -> None:
    _words(m, words, 0)
    m.base_stack.append(m.pos)


def _pullbase(m: Machine, words: list[str]) -> None:
    _words(m, words, 0)
    if not m.base_stack:
        raise m.drop("pullbase_without_pushbase", "there is no `pushbase` for this `pullbase`")
    m.pos = m.origin = m.base_stack.pop()
    if m.pos < 0:
        m.real = m.real_origin = UNSET
    if m.pos != m.real_origin:
        m.optimize_bank = -1


def _skip(m: Machine, words: list[str]) -> None:
    amount = _amount(m, words)
    if m.inline and len(words) == 2:
        _inline_org(m, m.pos + amount)
        return
    if m.real < 0:
        m.without_org()
    m.step(amount)


def _fill(m: Machine, words: list[str]) -> None:
    amount = _amount(m, words)
    if amount > 0:
        if amount > m.limits.output:
            raise m.drop("nayru_limit", f"{amount:,} bytes at once")
        m.write(filled(m.fill_with, amount), amount)


def _amount(m: Machine, words: list[str]) -> int:
    lower = [word.lower() for word in words]
    if len(words) >= 3 and lower[1] == "align":
        offset = 0
        if "offset" in lower[3:]:
            at = lower.index("offset", 3)
            offset = _number(m, " ".join(words[at + 1:]), True)
            words = words[:at]
        alignment = _number(m, " ".join(words[2:]), True)
        if alignment < 1 or alignment & (alignment - 1) or alignment > 0x800000:
            raise m.drop("invalid_alignment", "an alignment is a power of two")
        if m.pos >> REGION >= UNPLACED:
            raise Unknown("an alignment in a place that is not known")
        return -(m.pos - offset) & (alignment - 1)
    _words(m, words, 1)
    return _number(m, words[1], True)


def _pad(m: Machine, words: list[str]) -> None:
    _words(m, words, 1)
    if m.real >> REGION:
        raise m.drop("pad_in_freespace", "`pad` cannot stand in freespace") if m.real >> REGION < UNPLACED \
            else Unknown("a `pad` in a place that is not known")
    target = _number(m, words[1])
    if target > m.real:
        end, start = to_rom(m.mode, target, m.sa1_banks), to_rom(m.mode, m.real, m.sa1_banks)
        if end is None and target & 0xFFFF == 0:
            last = to_rom(m.mode, target - 1, m.sa1_banks)
            end = None if last is None else last + 1
        if end is None or start is None:
            raise m.drop("snes_address_doesnt_map_to_rom", f"${target:06X} shows no ROM")
        size = end - start
        if size > 0:
            m.write(filled(m.pad_with, size), size)


def _filler(m: Machine, words: list[str]) -> bytes:
    """Nothing where it is a label that comes later."""
    _words(m, words, 1)
    name = words[0].lower()
    unit = {"byte": 1, "word": 2, "long": 3, "dword": 4}[name.removeprefix("fill").removeprefix("pad")]
    try:
        return pack(_number(m, words[1]), unit) * (12 // unit)
    except Wrong as wrong:
        if wrong.code != "label_not_found":
            raise
    for name in m.compiler.expression(words[1]).names:
        m.wanted(name)
    return b""


def filled(filler: bytes, size: int) -> bytes:
    if not filler:
        raise Unknown("a filler that comes later")
    return (filler * (size // 12 + 1))[:size]


def _fillbyte(m: Machine, words: list[str]) -> None:
    m.fill_with = _filler(m, words)


def _padbyte(m: Machine, words: list[str]) -> None:
    m.pad_with = _filler(m, words)


def _mapper(m: Machine, words: list[str]) -> None:
    _outside_block(m)
    banks = SA1_BANKS
    if len(words) > 1:
        if len(words) > 2 or words[0].lower() != "sa1rom" or not re.fullmatch("[0-9](?:,[0-9]){3}", words[1]):
            raise m.drop("invalid_mapper", "write `sa1rom 0,1,2,3` with the megabytes that the SA-1 shows")
        banks = tuple(int(digit) for digit in words[1].split(","))
    if words[0].lower() == "sa1rom":
        m.sa1_banks = banks
    m.mode = MappingMode(words[0].lower())
    m.modes.append((len(m.out._objects), m.mode, m.sa1_banks))


def _arch(m: Machine, words: list[str]) -> None:
    _words(m, words, 1)
    _outside_block(m)
    arch = words[1].lower()
    if m.inline:
        _inline_end(m)
    if arch == "spc700-raw":
        m.mode = MappingMode.NOROM
        m.modes.append((len(m.out._objects), m.mode, m.sa1_banks))
    m.inline = arch == "spc700-inline"
    if arch in ("65816", "spc700", "superfx", "spc700-raw", "spc700-inline"):
        m.arch = "spc700" if arch.startswith("spc700") else arch
        m.compiler = m.compiler_of()


def _math(m: Machine, words: list[str]) -> None:
    _words(m, words, 2)
    on = words[2].lower() == "on"
    which = words[1].lower()
    if which == "pri":
        m.rules = m.rules._replace(precedence=on or m.priority)
    elif which == "round":
        m.rules = m.rules._replace(truncate=on and not m.priority)
    m.compiler = m.compiler_of()


def at_start(m: Machine) -> None:
    """Before it only defines and macros may stand, also where a macro is called that it is in."""
    for frame in reversed(m.frames):
        lines, row = frame.lines, 0
        while row < frame.index:
            known = lines.macros.get(row)
            if known is not None:
                row = known[1]
            elif lines[row] and lines[row][0] not in "!@":
                break
            row += 1
        if row < frame.index or frame.at > 1:
            raise m.drop("start_of_file", "this stands at the start of a file only")
        if frame.macro is None:
            return


def _xkas(m: Machine, words: list[str]) -> None:
    """1.91 for patches of the assembler before it: defines stay as they are in strings, all labels count three bytes.
    Left out is ``jmp`` to another bank, which becomes ``jml``."""
    _words(m, words, 0)
    at_start(m)
    if len([one for one in m.frames if one.macro is None]) != 1 and not m.xkas:
        raise m.drop("command_in_non_root_file", "`xkas` may stand in the root only")
    m.xkas = True
    m.optimize_bank = 0x100
    m.sub[:] = [":xkasdefault:"]


def _asar(m: Machine, words: list[str]) -> None:
    at_start(m)
    if len(words) < 2:
        return
    if m.xkas:
        raise m.drop("xkas_asar_conflict", "`asar` and `xkas` cannot stand in one patch")
    parts = words[1].split(".")
    if not all(part.isdigit() for part in parts) or not 2 <= len(parts) <= 3:
        raise m.drop("invalid_version_number", f"`{words[1]}` is no version: write `asar 1.90`")
    numbers = [int(part) for part in parts]
    minor = numbers[1] // 10 if len(parts) == 2 else numbers[1]
    if numbers[0] == 1 and len(parts) == 2 and len(parts[1]) != 2:
        raise m.drop("invalid_version_number", f"`{words[1]}` is no version for Asar 1.91: write `asar 1.90`")
    if numbers[0] > 1:
        m.problem("asar_too_old", f"this wants Asar {words[1]}")
        raise Fatal
    if numbers[0] != 1 or minor < 9:
        return
    m.asked = True
    if not m.priority:
        if m.out.define_log:
            m.decided(OPEN)     # it was computed in the old way
        m.priority = True
        m.rules = m.rules._replace(precedence=True, truncate=False)
        m.compiler = m.compiler_of()


def _include(m: Machine, words: list[str]) -> None:
    at_start(m)
    if len(m.frames) == 1:
        m.problem("cant_be_main_file", "this file says that it is not the main file")
        raise Fatal


def _includeonce(m: Machine, words: list[str]) -> None:
    m.included_once.add(m.out.files[m.frames[-1].file])


def _incsrc(m: Machine, words: list[str]) -> None:
    _words(m, words, 1)
    name = unquoted(words[1])
    if name is None:
        raise m.drop("garbage_near_quoted_string", "something stands beside the file name")
    frame = m.frames[-1]
    if not m.enter_file(name, m.out.files[frame.file]):
        m.problem("failed_to_open_file", f"there is no file {name} here")
        raise Unknown(f"{name} is not here")


def _incbin(m: Machine, words: list[str]) -> None:
    if len(words) not in (2, 4):
        raise m.drop("unknown_command", "write `incbin \"file\":first..end`")
    name, start, end = words[1], 0, 0
    at = name.find(":", name.rfind('"') if '"' in name else 2)
    if at >= 0:
        name, span = name[:at], name[at + 1:]
        if ".." in span:
            first, last = span.split("..", 1)
            start = _number(m, first, True) if first else 0
            end = _number(m, last, True) if last else 0
        else:
            start, end = _old_range(m, span)
    bare = unquoted(name)
    if bare is None:
        raise m.drop("garbage_near_quoted_string", "something stands beside the file name")
    data = part_of(m, bare, start, end, "failed_to_open_file")
    if len(words) == 4:
        _incbin_elsewhere(m, words, data)
    elif data:
        m.write(data, len(data))


def part_of(m: Machine, name: str, start: int, end: int, absent: str) -> bytes:
    """The bytes of a file from ``start`` to ``end`` (0: all that follow). ``absent``: the error where there is none."""
    data = m.binary(name)
    if data is None:
        m.problem(absent, f"there is no file {name} here")
        raise Unknown(f"{name} is not here")
    end = end or len(data)
    if not 0 <= start <= end <= len(data):
        raise m.drop("file_offset_out_of_bounds", f"{name} has {len(data):,} bytes only")
    return data[start:end]


def _incbin_elsewhere(m: Machine, words: list[str], data: bytes) -> None:
    """1.91: ``incbin "file" -> address``, or to a place in freespace that gets a label."""
    name = words[3]
    if words[2] != "->":
        raise m.drop("broken_incbin", "write `incbin \"file\" -> address`")
    if not _PLAIN_NAME.match(name):
        target = _number(m, name, True)
        if to_rom(m.mode, target, m.sa1_banks) is None:
            raise m.drop("snes_address_doesnt_map_to_rom", f"${target & 0xFFFFFF:06X} shows no ROM")
        m.put(data, target)
        return
    number = _next_block(m)
    if m.free is None:
        m.out.places[name] = m.place
        raise Unknown("freespace: its place is found when the patch is applied")
    free, image, mapping = m.free, m.free.image, m.mapping()
    if len(data) > 0x10000:
        raise m.drop("incbin_64kb_limit", f"{len(data):,} bytes do not fit into one bank")
    if not m.final:
        m.placed = True
        image.source = m.place
        at = image.place(Wanted(len(data), False, borders=False), mapping, m.free_byte)
        if at >= 0:
            free.places[number] = mapping.snes(at)
            image.write(at, b"\xFF" * len(data))
    place = free.places.get(number)
    if place is None:
        raise m.drop("no_freespace", f"there is no room for {len(data):,} bytes")
    m.set_label(name, number << REGION | place, False)
    m.put(data, number << REGION | place)


def _old_range(m: Machine, text: str) -> tuple[int, int]:
    """1.91: ``hex-hex``, where an end in parentheses is an expression."""
    match = re.match(r"(?:\((.*)\)|([0-9A-Fa-f]+))-(?:\((.*)\)|([0-9A-Fa-f]+))\Z", text)
    if match is None:
        raise m.drop("broken_incbin", "write the range as `:first..end`")
    ends = [_number(m, one, True) if one is not None else int(other, 16)
            for one, other in (match.group(1, 2), match.group(3, 4))]
    return ends[0], ends[1]


def _table(m: Machine, words: list[str]) -> None:
    _words(m, words, 1)
    name = re.sub(r",(?:ltr|rtl)\Z", "", words[1])
    flipped = words[1].endswith(",rtl")
    data = m.binary(unquoted(name) or name)
    if data is None:
        raise Unknown(f"{name} is not here")
    table = list(range(256))
    for line in data.decode("latin-1").splitlines():
        if flipped and "=" in line:
            value, _, letter = line.partition("=")
        else:
            letter, value = line[:1], line[2:]
        if len(letter) == 1 and re.fullmatch("[0-9A-Fa-f]+", value):
            table[ord(letter)] = int(value, 16)
    m.table = table


def _character(m: Machine, words: list[str]) -> None:
    table = list(range(256)) if m.table is None else list(m.table)
    table[words[0][1:-1].encode("utf-8", "surrogateescape")[0]] = _number(m, words[2], True)
    m.table = table


def _cleartable(m: Machine, words: list[str]) -> None:
    m.table = None


def _pushtable(m: Machine, words: list[str]) -> None:
    m.tables.append(m.table)


def _pulltable(m: Machine, words: list[str]) -> None:
    if not m.tables:
        raise m.drop("pulltable_without_table", "there is no `pushtable` for this `pulltable`")
    m.table = m.tables.pop()


def _function(m: Machine, words: list[str]) -> None:
    match = _FUNCTION.match(words[1]) if len(words) > 3 and words[2] == "=" else None
    if match is None or len(words) > 4:
        raise m.drop("broken_function_declaration", "write `function name(parameter) = expression`")
    names = tuple(part.strip() for part in match.group(2).split(","))
    if not all(_PLAIN_NAME.match(one) for one in names):
        raise m.drop("broken_function_declaration", "a function needs parameters, each of them a name")
    m.set_function(match.group(1), names, " ".join(words[3:]))


def _undef(m: Machine, words: list[str]) -> None:
    _words(m, words, 1)
    name = unquoted(words[1]) or ""
    if name not in m.defines and name not in m.poisoned:
        raise m.drop("define_not_found", f"`!{name}` is not defined here")
    m.poisoned.discard(name)
    m.set_define(name, None)


def _namespace(m: Machine, words: list[str]) -> None:
    _outside_block(m)
    if len(words) not in (2, 3):
        raise m.drop("unknown_command", "write `namespace name` or `namespace off`")
    what = words[1].lower()
    if what == "off" and len(words) == 2:
        if m.nested:
            if m.spaces:
                m.spaces.pop()
        else:
            m.spaces.clear()
    elif what == "nested" and len(words) == 3:
        m.nested = words[2].lower() == "on"
    else:
        name = unquoted(words[1])
        if len(words) > 2 or name is None or not _PLAIN_NAME.match(name):
            raise m.drop("invalid_namespace_name", f"`{words[1]}` is no name for a namespace")
        if not m.nested:
            m.spaces.clear()
        m.spaces.append(name)
    if sum(map(len, m.spaces)) > MAX_SPACE:
        m.spaces.pop()
        raise m.drop("nayru_limit", f"namespaces nested beyond {MAX_SPACE:,} characters")
    m.space = "".join(one + "_" for one in m.spaces)


def _pushns(m: Machine, words: list[str]) -> None:
    _outside_block(m)
    m.space_stack.append((m.space, list(m.spaces), m.nested))
    m.space, m.spaces, m.nested = "", [], False


def _pullns(m: Machine, words: list[str]) -> None:
    _outside_block(m)
    if not m.space_stack:
        raise m.drop("pullns_without_pushns", "there is no `pushns` for this `pullns`")
    m.space, m.spaces, m.nested = m.space_stack.pop()


def _global(m: Machine, words: list[str]) -> None:
    name = words[1] if len(words) == 2 else ""
    if not re.match(r"#?[A-Za-z_][\w.]*:\Z", name, re.ASCII) or m.in_struct:
        raise m.drop("invalid_global_label", "write `global name:`")
    if name[0] != "#":
        m.sub[:] = [name[:-1]]
    m.set_label(name.strip("#:"), None, False)


def _optimize(m: Machine, words: list[str]) -> None:
    _words(m, words, 2)
    which, what = words[1].lower(), words[2].lower()
    if which == "dp" and what in ("none", "ram", "always"):
        m.optimize_dp = what
        m.optimized |= 1
    elif which == "address" and what in ("default", "ram", "mirrors"):
        m.optimize_address = what
        m.optimized |= 2
    else:
        raise m.drop("bad_optimize", "write `optimize dp none|ram|always` or `optimize address default|ram|mirrors`")


def _bank(m: Machine, words: list[str]) -> None:
    _words(m, words, 1)
    what = words[1].lower()
    m.optimize_bank = -1 if what == "auto" else 0x100 if what == "noassume" else _number(m, words[1]) & 0xFF


def _dpbase(m: Machine, words: list[str]) -> None:
    _words(m, words, 1)
    value = _number(m, words[1])
    if value & ~0xFF00:
        raise m.drop("bad_dp_base", "a direct page base is $xx00")
    m.dp_base = value


def _check(m: Machine, words: list[str]) -> None:
    _words(m, words, 2)
    what, how = words[1].lower(), words[2].lower()
    if what == "bankcross" and how in ("off", "half", "full"):
        m.cross, m.half = how != "off", how == "half"
    elif what == "title":
        check_title(m, unquoted(words[2]) or "")
    elif what != "bankcross" or how != "on":
        raise m.drop("invalid_check", "write `check title` or `check bankcross`")


def check_title(m: Machine, title: str) -> None:
    """Asar compares when it first comes by: with the image that was there before."""
    image = m.base_image
    if image is None:
        return
    if len(image) < (0x10000 if m.mode in (MappingMode.HIROM, MappingMode.EXHIROM) else 0x8000):
        raise m.drop("rom_too_short", f"the image is too short to have the title `{title}`")
    first = to_rom(m.mode, 0x00FFC0, m.sa1_banks)
    if first is not None and len(image) >= first + 21:
        there, wanted = (text.split(b"\0")[0][:21] for text in (
            image[first:first + 21], title.encode("utf-8", "surrogateescape")))
        if there != wanted:
            raise m.drop("rom_title_incorrect", f"the title of the image is `{there.decode('latin-1')}`")


def _rep(m: Machine, words: list[str]) -> None:
    _words(m, words, 1)
    m.repeat = _number(m, words[1])
    if m.xkas and m.repeat <= 0:
        m.repeat = 1 if m.repeat == 0 else 0
    if m.repeat > m.limits.loops:
        m.repeat = 1
        raise m.drop("nayru_limit", f"repeated {_number(m, words[1]):,} times")


def _warnpc(m: Machine, words: list[str]) -> None:
    _words(m, words, 1)
    if m.pos >> REGION:
        if m.free_id:
            raise m.drop("warnpc_in_freespace", "`warnpc` cannot stand in freespace")
        return
    most = _number(m, words[1])
    if m.xkas and m.pos == most:
        m.problem("warnpc_failed_equal", f"the code ends at ${m.pos & 0xFFFFFF:06X}: for xkas that is too far")
    if m.pos > most:
        m.problem("warnpc_failed", f"the code ends at ${m.pos & 0xFFFFFF:06X}, behind ${most & 0xFFFFFF:06X}")


def _error(m: Machine, words: list[str]) -> None:
    said = unquoted(words[1]) if len(words) > 1 and words[1].startswith('"') else None
    m.problem("error_command", f"the source says: {said}" if said else "an `error` command was reached")


def _rest(m: Machine, words: list[str]) -> None:
    """What stands behind `arch` on its line is read by the rules of the new processor."""
    frame = m.frames[-1]
    frame.blocks, frame.at = m.compiler.line(words[0]), 0


def _warnings(m: Machine, words: list[str]) -> None:
    what = [word.lower() for word in words[1:]]
    if what == ["push"]:
        m.warnings_pushed += 1
    elif what == ["pull"]:
        if not m.warnings_pushed:
            raise m.drop("pullwarnings_without_pushwarnings", "there is no `warnings push` for this `warnings pull`")
        m.warnings_pushed -= 1


def _nothing(m: Machine, words: list[str]) -> None:
    """Says something, or sets what has no meaning for labels and bytes."""


# --- structs -----------------------------------------------------------------------------------------------------

def _struct(m: Machine, words: list[str]) -> None:
    if m.in_struct:
        raise m.drop("nested_struct", "a struct cannot stand inside another")
    if not 2 <= len(words) <= 4 or not _PLAIN_NAME.match(words[1]):
        raise m.drop("missing_struct_params", "write `struct name`, with an address or `extends other` behind it")
    name = words[1]
    position, static, parent = m.pos, False, ""
    if len(words) == 4:
        parent = words[3]
        if words[2].lower() != "extends" or parent not in m.structs:
            raise m.drop("struct_not_found", f"there is no struct `{parent}` to extend")
        position, static = m.structs[parent][2], m.structs[parent][3]
    elif len(words) == 3:
        expression = m.compiler.expression(words[2])
        static = m.is_static(expression)
        position = expression.integer(m)
        if not 0 <= position <= 0xFFFFFF:
            raise m.drop("snes_address_out_of_bounds", "this is no address of 24 bits")
    begin_struct(m, name, parent, position, static)
    m.set_label(m.in_struct, position, static)


def begin_struct(m: Machine, name: str, parent: str, position: int, static: bool) -> None:
    m.struct_back = (m.pos, m.origin, m.real, m.real_origin, m.optimize_bank, m.place)
    m.in_struct = f"{parent}.{name}" if parent else name
    m.struct_parent, m.struct_static, m.struct_base = parent, static, position
    m.optimize_bank = -1
    m.pos = m.origin = position
    m.real = m.real_origin = 0


def _endstruct(m: Machine, words: list[str]) -> None:
    if not m.in_struct:
        raise m.drop("endstruct_without_struct", "there is no `struct` for this `endstruct`")
    alignment = _number(m, words[2]) if len(words) == 3 else 1
    if alignment < 1:
        raise m.drop("alignment_too_small", "an alignment is at least 1")
    size = -(-(m.pos - m.struct_base) // alignment) * alignment
    m.structs[m.in_struct] = size, size, m.pos, m.struct_static
    parent = m.structs.get(m.struct_parent)
    if parent is not None:
        m.structs[m.struct_parent] = parent[0], max(parent[1], parent[0] + size), parent[2], parent[3]
    m.pos, m.origin, m.real, m.real_origin, m.optimize_bank, _ = m.struct_back
    m.in_struct = m.struct_parent = ""


# --- sound blocks ------------------------------------------------------------------------------------------------

def _spcblock(m: Machine, words: list[str]) -> None:
    if len(words) not in (2, 3) or (len(words) == 3 and words[2].lower() != "nspc"):
        raise m.drop("spcblock_too_many_args", "write `spcblock address` or `spcblock address nspc`")
    target = _number(m, words[1])
    if target & ~0xFFFF:
        raise m.drop("snes_address_out_of_bounds", "the sound processor has addresses of 16 bits")
    number = len(m.out._objects)
    m.write(bytes(2), 2)
    m.write(pack(target, 2), 2)
    m.block = (number, m.space, m.place)
    m.pos = m.origin = target
    m.space = ":SPCBLOCK:_" + m.space
    m.compiler = m.compiler_of()


def _endspcblock(m: Machine, words: list[str]) -> None:
    if m.block is None:
        raise m.drop("endspcblock_without_spcblock", "there is no `spcblock` for this `endspcblock`")
    number, outside, _ = m.block
    m.out._objects[number] = pack(m.pos - m.origin, 2)
    if len(words) == 3 and words[1] == "execute":
        m.write(bytes(2), 2)
        entry = m.compiler.expression(words[2])
        m.write((Data(2, (entry,)), None, m.captured(entry.names, entry.calls)), 2)
    elif len(words) == 1 and m.entry is not None:
        m.write(bytes(2), 2)
        m.write(m.entry, 2)
    m.block, m.space, m.entry = None, outside, None
    m.compiler = m.compiler_of()


def _startpos(m: Machine, words: list[str]) -> None:
    """1.91: the old way to say where the sound processor goes on."""
    _words(m, words, 1)
    if m.block is None and not m.inline:
        raise m.drop("startpos_without_spcblock", "`startpos` belongs into an spcblock")
    entry = m.compiler.expression(words[1])
    m.entry = (Data(2, (entry,)), None, m.captured(entry.names, entry.calls))


def _inline_org(m: Machine, target: int) -> None:
    """`arch spc700-inline`: each `org` begins a block with its size and address before it."""
    _inline_size(m)
    if target & ~0xFFFF:
        raise m.drop("snes_address_out_of_bounds", "the sound processor has addresses of 16 bits")
    m.inline_head = len(m.out._objects) if m.pos >= 0 else -1      # without an `org` the size goes nowhere
    m.write(bytes(2), 2)
    m.write(pack(target, 2), 2)
    m.pos = m.origin = target


def _inline_size(m: Machine) -> None:
    if m.inline_head >= 0:
        m.out._objects[m.inline_head] = pack(m.pos - m.origin, 2)
    m.inline_head = -1


def _inline_end(m: Machine) -> None:
    _inline_size(m)
    m.write(bytes(2), 2)
    m.write(m.entry or bytes(2), 2)
    m.inline, m.entry = False, None


# --- freespace ---------------------------------------------------------------------------------------------------

def _next_block(m: Machine) -> int:
    if m.free_number > 125:
        m.problem("freespace_limit_reached", "Asar knows 125 blocks in freespace at most")
        raise Fatal
    m.free_number += 1
    return m.free_number - 1


def _freespacebyte(m: Machine, words: list[str]) -> None:
    _words(m, words, 1)
    m.free_byte = _number(m, words[1], True) & 0xFF


def _wanted(m: Machine, words: list[str]) -> tuple[Wanted, set[str]]:
    """1.91: what a block asks for (its size is not known yet), and the words among its options."""
    refusal = "write `freecode` or `freedata`, with static, align or cleaned behind it"
    options = words[1].lower().split(",") if len(words) > 1 else []
    ram = {"freecode": ["ram"], "freedata": ["noram"]}.get(words[0].lower(), [])
    seen: set[str] = set()
    free = m.free_byte
    for option in ram + options:
        option = {"fixed": "static"}.get(option, option)
        if option in ("ram", "noram", "static", "align", "cleaned"):
            kind = "ram" if option == "noram" else option
            if kind in seen:
                raise m.drop("invalid_freespace_request", refusal)
            seen |= {kind, option}
        else:
            free = _number(m, option) & 0xFF
    if "ram" not in seen or len(words) > 2:
        raise m.drop("invalid_freespace_request", refusal)
    if m.mode is MappingMode.NOROM:
        raise m.drop("no_freespace_norom", "`norom` has no freespace")
    return Wanted(0, "noram" not in seen, "align" in seen, free), seen


def _place(m: Machine, words: list[str]) -> None:
    """A block in freespace where there is an image: its length comes from the first pass, its place from the second."""
    wanted, options = _wanted(m, words)
    m.end_freespace()
    number = _next_block(m)
    free, mapping, fixed = m.free, m.mapping(), "static" in options
    assert free is not None
    free.free[number] = wanted.free
    m.free_code = wanted.code
    m.placing = not m.final
    m.placed = True
    place = 0x8000
    if m.final:
        place = free.old_places.get(number, -2) if fixed else 0
        if place < 0:
            m.pos = m.real = m.origin = m.real_origin = UNSET
            raise m.drop("static_freespace_autoclean", "a static block needs an `autoclean` above it that leads here")
        if not place:
            free.image.source = m.place
            size = free.lengths.get(number, 0)
            place = mapping.snes(free.image.place(wanted._replace(size=size), mapping, m.free_byte))
        if place < 0:
            code = "no_freespace_in_mapped_banks" if m.mode is MappingMode.SA1ROM else "no_freespace"
            m.problem(code, f"there is no room for {free.lengths.get(number, 0):,} bytes")
            raise Fatal
        free.places[number] = place
        free.events.append(Event(m.place, mapping, number))
    if fixed:
        free.fixed.add(number)
    m.free_id = number
    m.free_start = m.pos = m.real = m.origin = m.real_origin = number << REGION | place


def _freespace(m: Machine, words: list[str]) -> None:
    _outside_block(m)
    if m.free is not None:
        _place(m, words)
    else:
        _wanted(m, words)
        m.end_freespace()
        options = {part.strip().lower() for part in " ".join(words[1:]).split(",")}
        name = words[0].lower()
        m.free_code = name == "freecode" or (name == "freespace" and "ram" in options) or (
            name == "segment" and "noram" not in options)
        m.free_id = _next_block(m)
        m.unknown("freespace: its place is found when the patch is applied")
        m.free_start = m.pos
    m.optimize_bank = -1
    m.head, m.head_used = len(m.out._objects), False


def _autoclean(m: Machine, words: list[str]) -> None:
    _outside_block(m)
    if len(words) == 2:
        if m.free is not None and not m.final:
            m.free.image.source = m.place
            m.free.image.remove(_number(m, words[1]), m.free_byte, m.mapping())
            m.placed = True
        return
    if len(words) != 3:
        raise m.drop("broken_autoclean", "write `autoclean JSL label`")
    word = words[1].lower().removesuffix(".l")
    target = m.compiler.expression(words[2])
    _clean(m, word, words[2])
    opcode = {"jsl": 0x22, "jml": 0x5C, "dl": None}.get(word, -1)
    if opcode == -1:
        raise m.drop("broken_autoclean", "only JSL, JML and dl can be cleaned")
    if opcode is not None:
        m.write(bytes([opcode]), 1)
    m.write((Data(3, (target,)), None, m.captured(target.names)), 3)


def _clean(m: Machine, word: str, name: str) -> None:
    """1.91: what `autoclean` checks, and does to the image."""
    if m.pos < 0 or (m.pos >> REGION and m.free_id):
        raise m.drop("autoclean_in_freespace", "`autoclean` cannot stand in freespace")
    if m.compiler.expression(name).names != (name,):
        raise m.drop("label_not_found", f"`{name}` is no label")
    if word not in ("jsl", "jml", "dl") or m.free is None or m.pos >> REGION:
        return
    key = m.key(name)
    label = m.space + key if m.space + key in m.labels else key
    if m.final:
        m.free.events.append(Event(m.place, m.mapping(), label=label, data=word == "dl"))
    opcode = {"jsl": 0x22, "jml": 0x5C}.get(word)
    m.placing = not m.final
    m.placed = True
    m.free.image.source = m.place
    m.free.clean(m.pos, opcode, m.labels.get(label, -1) >> REGION & 0xFF, m.mapping(), m.free_number, m.final)


def _prot(m: Machine, words: list[str]) -> None:
    _outside_block(m)
    names = split_list(words[1]) if len(words) == 2 else []
    if m.head != len(m.out._objects):
        raise m.drop("prot_not_at_freespace_start", "`prot` has to be the first thing in freespace")
    if m.head_used:
        m.step(-5)              # the end of the one before is written over
    if len(names) * 3 > 255:
        raise m.drop("prot_too_many_entries", "one `prot` holds 85 labels at most")
    m.write(b"PROT" + bytes([len(names) * 3 & 0xFF]), 5)
    for name in names:
        target = m.compiler.expression(name)
        m.write((Data(3, (target,)), None, m.captured(target.names)), 3)
    m.write(b"STOP\0", 5)
    m.head, m.head_used = len(m.out._objects), True


COMMANDS: dict[str, Callable[[Machine, list[str]], None]] = {
    "org": _org, "base": _base, "pushpc": _pushpc, "pullpc": _pullpc,
    "pushbase": _pushbase, "pullbase": _pullbase, "skip": _skip, "fill": _fill,
    "pad": _pad, "arch": _arch, "math": _math, "asar": _asar,
    "include": _include, "includefrom": _include, "includeonce": _includeonce,
    "incsrc": _incsrc, "incbin": _incbin, "table": _table, "' =": _character,
    "cleartable": _cleartable, "pushtable": _pushtable, "pulltable": _pulltable,
    "function": _function, "undef": _undef, "namespace": _namespace,
    "pushns": _pushns, "pullns": _pullns, "global": _global,
    "optimize": _optimize, "bank": _bank, "dpbase": _dpbase, "check": _check,
    "rep": _rep, "warnpc": _warnpc, "error": _error, "struct": _struct,
    "endstruct": _endstruct, "spcblock": _spcblock, "endspcblock": _endspcblock,
    "freespace": _freespace, "freecode": _freespace, "freedata": _freespace,
    "segment": _freespace, "autoclean": _autoclean, "autoclear": _autoclean,
    "prot": _prot, REST: _rest, "freespacebyte": _freespacebyte, "warnings": _warnings, "startpos": _startpos,
    "xkas": _xkas,
    **dict.fromkeys(("fillbyte", "fillword", "filllong", "filldword"), _fillbyte),
    **dict.fromkeys(("padbyte", "padword", "padlong", "paddword"), _padbyte),
    **dict.fromkeys(("lorom", "hirom", "exlorom", "exhirom", "sfxrom", "norom", "fullsa1rom", "sa1rom"), _mapper),
    **dict.fromkeys("print warn freespace_settings reset header fastrom".split(),
                    _nothing),
}
