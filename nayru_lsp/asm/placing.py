"""What an instruction or a row of data becomes: its size, its place, what is kept of it until all labels are there."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from nayru_lsp.asm.arithmetic import Expression, compile_expression
from nayru_lsp.asm.compiled import Block, Chosen, Code, Data, Foreign, Rows, pack
from nayru_lsp.asm.expansion import OVERFULL, REGION, UNPLACED, Fatal
from nayru_lsp.asm.mapping import MappingMode, to_rom, to_snes
from nayru_lsp.asm.names import Names, without_index


def _calls(expressions: Iterable[Expression]) -> tuple[str, ...]:
    return tuple([name for one in expressions for name in one.calls])


class Placing(Names):
    """Sizes, writes and steps; `Names` tells how wide a label makes an operand."""

    def code(self, size: int, obj: Any) -> tuple[int, Any]:
        """What is kept of an instruction or data that waits for values: its size, and itself with its scope."""
        kind = type(obj)
        if kind is str or kind is Rows:
            return size, obj
        if self.table is not None and kind is not Chosen and any(one.characters for one in obj.expressions):
            obj = self.with_table(obj)
            if type(obj) is bytes:
                return len(obj), obj
        if kind is Code:
            if self.free is not None and self.free_id and obj.asks:
                self.leave_room(obj.expression, 1 if self.optimized == 3 else 2)
            if not size:
                expression = obj.expression
                keys = tuple([self.key(without_index(name)) for name in expression.names])
                back = self.optimize_bank
                if obj.bank is not None:
                    self.optimize_bank = obj.bank
                width = self.chosen_width(keys, max(expression.literal_width, 2 if expression.calls else 0))
                self.optimize_bank = back
                opcode = obj.opcode(width)
                if opcode is None:
                    raise self.drop("bad_access_width" if self.modern else "unknown_command",
                                    f"{obj.fixed.mnemonic} takes no operand of {width} bytes here")
                size = opcode.size
                if obj.scoped or self.space:
                    return size, (obj, opcode, self.captured(expression.names, expression.calls))
                return size, (obj, opcode, None)
            if obj.scoped or (self.space and obj.expression.names):
                names, calls = obj.expression.names, obj.expression.calls
                if obj.second is not None:
                    names, calls = names + obj.second.names, calls + obj.second.calls
                return size, (obj, obj.fixed, self.captured(names, calls))
            return size, obj
        if kind is Data:
            if obj.strings:
                obj = self.with_strings(obj)
                if type(obj) is bytes:
                    return len(obj), obj
                size = sum(len(item) if type(item) is bytes else obj.unit for item in obj.items)
            if obj.scoped or self.space:
                names = tuple([name for item in obj.items if type(item) is Expression for name in item.names])
                if names or obj.scoped:
                    return size, (obj, None, self.captured(names, _calls(obj.expressions)))
            return size, obj
        if kind is Chosen:
            return self.chosen_form(obj)
        names = tuple([name for one in obj.expressions for name in one.names])
        if obj.scoped or (names and self.space):
            return size, (obj, None, self.captured(names, _calls(obj.expressions)))
        return size, obj

    def leave_room(self, expression: Expression, room: int) -> None:
        """In freespace Asar leaves ``room`` bytes for an operand with a label that it does not know (or a function,
        which it takes for one), once for each time that it asks for its width."""
        labels, space = self.labels, self.space
        unknown = bool(expression.calls)
        for name in expression.names:
            if name.lstrip("?")[0] not in "+-":
                key = self.key(without_index(name))
                unknown = unknown or not (key in labels or space + key in labels)
        if unknown:
            self.free_extra += room

    def chosen_form(self, obj: Chosen) -> tuple[int, Any]:
        def width(text: str) -> int:
            expression = self.compiler.expression(text)
            keys = tuple([self.key(without_index(name)) for name in expression.names])
            if self.free is not None and self.free_id:
                self.leave_room(expression, 1)
            return max(1, self.chosen_width(keys, max(expression.literal_width, 2 if expression.calls else 0)))

        form = obj.read(obj.mnemonic, obj.suffix, obj.operand, width)
        if form is None:
            raise self.drop("unknown_command", f"`{obj.mnemonic}` takes no such operand")
        made = Foreign(form, tuple([self.compiler.expression(text) for text in form.expressions]))
        return self.code(form.size, made)

    def with_table(self, obj: Any) -> Any:
        """Character literals through the character table as it is now."""
        table = self.table if isinstance(self.table, dict) else dict(enumerate(self.table or ()))

        def seen(one: Expression) -> Expression:
            return compile_expression(one.text, self.rules, table) if one.characters else one

        if type(obj) is Data:
            return Data(obj.unit, tuple(seen(item) if type(item) is Expression else item for item in obj.items))
        if type(obj) is Code:
            return Code(seen(obj.expression), obj.by_width, obj.second and seen(obj.second), obj.branch,
                        target=obj.target, bank=obj.bank)
        return Foreign(obj.form, tuple(seen(one) for one in obj.expressions))

    def with_strings(self, data: Data) -> Any:
        """Strings through the character table as it is now."""
        items: list[Expression | bytes] = []
        for item in data.items:
            if not isinstance(item, str):
                assert not isinstance(item, bytes)
                items.append(item)
                continue
            codes = [ord(letter) for letter in item] if self.modern else list(item.encode("utf-8", "surrogateescape"))
            if isinstance(self.table, dict):
                codes = [self.table.get(code, code) for code in codes]
            elif self.table is not None:
                codes = [self.table[code] if code < 256 else code for code in codes]
            items.append(b"".join(pack(code, data.unit) for code in codes))
        if all(isinstance(item, bytes) for item in items):
            return b"".join(item for item in items if isinstance(item, bytes))
        return Data(data.unit, tuple(items))

    def how(self) -> tuple[Any, ...]:
        return (self.space, self.optimize_bank, self.optimize_dp, self.optimize_address, self.dp_base, self.free_code)

    def chosen_width(self, keys: tuple[str, ...], literal: int) -> int:
        """Bytes of an operand; a guess where a label is not there yet."""
        how = self.how()
        position = self.real if self.free_id and self.modern else self.pos      # in freespace also under a `base`
        width = self.width_of(keys, literal, position, how)
        self.guesses.append((keys, literal, width, position, how))
        return width

    def width_of(self, keys: tuple[str, ...], literal: int, position: int, how: tuple[Any, ...]) -> int:
        space, for_bank, dp, address, dp_base, free_code = how
        labels = self.labels
        width = literal
        for key in keys:
            value = labels.get(space + key) if space else None
            if value is None:
                value = labels.get(key)
            one = 2 if value is None else label_width(value, position, for_bank, dp, address, dp_base, free_code)
            if one > width:
                width = one
        return min(3, max(1, width))

    # --- places -------------------------------------------------------------------------------------------------------

    def write(self, data: Any, size: int) -> None:
        """One more write at the current place."""
        if self.real < 0:
            self.without_org()
        self.written += size
        if self.written > self.limits.output:
            self.problem("nayru_limit", f"cut after {self.limits.output:,} bytes of output")
            raise Fatal
        out = self.out
        out._objects.append(data)
        out._at.append(self.pos)
        out._real.append(self.real)
        out._place.append(self.place)
        out._sizes.append(size)
        self.step(size)

    def put(self, data: bytes, position: int) -> None:
        """A write somewhere else, which moves nothing."""
        here = self.pos, self.real, self.origin, self.real_origin
        self.pos = self.real = self.origin = self.real_origin = position
        cross, self.cross = self.cross, False
        head = self.head == len(self.out._objects)
        self.write(data, len(data))
        if head:
            self.head = len(self.out._objects)
        self.cross = cross
        self.pos, self.real, self.origin, self.real_origin = here

    def repeated(self, block: Block) -> None:
        count, self.repeat = self.repeat, 1
        size, obj = block[2], block[3]
        if count * max(1, size) > self.limits.output:
            raise self.drop("nayru_limit", f"repeated {count:,} times")
        for _ in range(max(0, count)):
            one, kept = self.code(size, obj) if type(obj) is not bytes else (size, obj)
            self.write(kept, one)

    def step(self, size: int) -> None:
        if self.cross:
            self.pos += size
            self.real += size
            if (self.pos ^ self.origin) & 0xFF0000 or self.half:
                self.crossed()
            return
        if self.stays(size):
            self.pos = self.origin = self.pos + size
            self.real = self.real_origin = self.real + size
            return
        self.pos = self.pos >> REGION << REGION | self.stepped(self.pos & 0xFFFFFF, size)
        self.real = self.real >> REGION << REGION | self.stepped(self.real & 0xFFFFFF, size)
        self.origin, self.real_origin = self.pos, self.real

    def stays(self, size: int) -> bool:
        """`check bankcross off`: is it inside the bank where ``size`` bytes end?"""
        mode = self.mode
        return ((self.pos & 0xFFFF) + size <= 0xFFFF and (self.real & 0xFFFF) + size <= 0xFFFF and size >= 0
                and mode is not MappingMode.EXLOROM and mode is not MappingMode.FULLSA1ROM)

    def stepped(self, address: int, size: int) -> int:
        """`check bankcross off`: on to the next bank where this mapping mode has it."""
        mode = self.mode
        beyond = (address & 0xFFFF) + size > 0xFFFF
        if mode in (MappingMode.EXLOROM, MappingMode.FULLSA1ROM):
            offset = to_rom(mode, address)
            found = None if offset is None else to_snes(mode, offset + size)
            return 0xFFFFFF if found is None else found
        if mode is MappingMode.HIROM and self.modern and self.free_id:
            return address + size
        if beyond and (mode is MappingMode.LOROM or (mode is not MappingMode.NOROM and not address & 0x400000)):
            return address + size + 0x8000
        return address + size

    def crossed(self) -> None:
        """Asar stops where the end of a bank is passed. Here what follows has no known place until the next `org`, as
        if it were still in that bank, so that one instruction too many takes nothing else away."""
        mask = 0x7FFF0000 | (0x8000 if self.half else 0)
        for one, start in ((self.pos, self.origin), (self.real, self.real_origin)):
            if 0 <= start < UNPLACED << REGION and (one ^ start) & mask and (one - 1 ^ start) & mask:
                self.fixed = True
                code = "bank_border_crossed"
                if self.modern and self.free_id and not self.placing and to_rom(
                        self.mode, (start & 0xFF0000) + 0x10000, self.sa1_banks) is None:
                    # in freespace the last pass alone sees it, byte by byte, and goes on
                    self.pos = self.real = (start | 0xFFFF) + 1
                    if self.beyond != self.free_id:         # what follows lies outside: said when it is evaluated
                        self.beyond = self.free_id
                        self.problem("snes_address_doesnt_map_to_rom", "this block goes beyond the end of the ROM")
                    raise self.dropped
                self.problem(code, f"the end of the bank is passed at ${one & 0xFFFFFF:06X}")
                if self.free_id or self.placing or self.in_struct or self.block is not None or self.inline:
                    raise Fatal
                self.pos = self.origin = _beyond(self.pos, self.origin)
                self.real = self.real_origin = _beyond(self.real, self.real_origin)
                return

    def end_freespace(self) -> None:
        if self.free is not None and self.free_id and self.pos >= 0 and self.pos >> REGION:
            self.free.lengths[self.free_id] = self.pos - self.free_start + self.free_extra
        if self.free_2 is not None and self.free_id and self.real >> REGION == self.free_id:
            self.free_2.block(self.free_id).length = self.real - self.free_start
        self.free_id = self.free_extra = 0


def _beyond(position: int, origin: int) -> int:
    """A position behind the end of the bank in which ``origin`` is."""
    return (OVERFULL + (origin >> 16 & 0xFF)) << REGION | position & 0xFFFFFF


def label_width(value: int, position: int, for_bank: int, dp: str, address: str, dp_base: int, free_code: bool) -> int:
    """Bytes that a label at ``value`` takes as the operand of an instruction at ``position`` (both with their regions),
    by what `bank`, `optimize` and `dpbase` say. Order and cases are Asar's; proven by its bytes."""
    if value >= OVERFULL << REGION:
        value = value >> REGION - 16 & 0xFF0000 | 0xFFFF
    if position >= OVERFULL << REGION:
        position = position >> REGION - 16 & 0xFF0000 | 0xFFFF
    region = value >> REGION
    if not region and (dp != "none" or address != "default"):
        bank, word = value >> 16, value & 0xFFFF
        low = bank == 0x7E or (dp == "always" and not bank & 0x40)
        if dp != "none" and low and 0 <= word - dp_base < 0x100:
            return 1
        if for_bank >= 0:
            from_bank = for_bank
        elif position >> REGION:
            from_bank = 0 if free_code else 0x40
        else:
            from_bank = position >> 16
        if not from_bank & 0x40 and address != "default" and bank == 0x7E and word < 0x2000:
            return 2
        if not from_bank & 0x40 and address == "mirrors" and not bank & 0x40 and word < 0x8000:
            return 2
    if for_bank >= 0:
        return 2 if not region and value >> 16 == for_bank else 3
    if region or position >> REGION:
        return 3 if (value ^ position) >> REGION else 2
    return 3 if (value ^ position) & 0xFF0000 else 2
