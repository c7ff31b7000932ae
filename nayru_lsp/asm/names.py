"""Labels as they are made, and what expressions ask while they are evaluated: labels, functions, files, the ROM."""

from __future__ import annotations

import posixpath
import re
from functools import lru_cache

from nayru_lsp.asm.arithmetic import PURE, PURE_2, Expression, Unknown, Wrong
from nayru_lsp.asm.compiled import looks_inside
from nayru_lsp.asm.expansion import ALWAYS, REGION, UNPLACED
from nayru_lsp.asm.mapping import to_rom, to_snes
from nayru_lsp.asm.state import OPEN, TOP, Scope, State, version_of

LONGEST = 300           # names of files that are remembered


class Names(State):
    """The `Environment` of expressions."""

    def key(self, written: str) -> str:
        """The name under which a label that is written so would be kept, without namespace."""
        first = written[0]
        if first == "+" or first == "-":
            depth = len(written)
            return f":pos_{depth}_{self.plus[depth]}" if first == "+" else f":neg_{depth}_{self.minus[depth]}"
        if first == "?":
            frame = self.frames[-1]
            if frame.macro is None:
                raise Wrong("macro_label_outside_of_macro", f"`{written}` stands outside of a macro")
            rest = written[1:]
            if rest[:1] in ("+", "-"):
                depth = len(rest)
                count = frame.signed(rest[0])[depth]
                return f":macro_{frame.macro_id}_{'pos' if rest[0] == '+' else 'neg'}_{depth}_{count}"
            if rest.startswith("."):
                return self.sub_key(rest, frame.labels)
            return f":macro_{frame.macro_id}_{rest}"
        if first == "." and not self.in_struct:
            return self.sub_key(written, self.sub)
        return written

    def sub_key(self, written: str, parents: list[str]) -> str:
        bare = written.lstrip(".")
        level = len(written) - len(bare)
        if level > len(parents):
            raise Wrong("label_missing_parent", f"`{written}` belongs to no label above it")
        return parents[level - 1] + "_" + bare

    def add_label(self, written: str) -> None:
        """Asar's `addlabel`: a label that stands here."""
        first = written[0]
        declared = first == "#"
        if declared:
            written = written[1:]
            first = written[0]
        if first in "+-" or (first == "?" and written[1:2] in ("+", "-")):
            macro = first == "?"
            sign = written[1] if macro else first
            frame = self.frames[-1]
            if macro and frame.macro is None:
                raise Wrong("macro_label_outside_of_macro", f"`{written}` stands outside of a macro")
            depth = len(written) - macro
            counts = frame.signed(sign) if macro else self.plus if sign == "+" else self.minus
            if sign == "-":
                counts[depth] += 1
            name = self.key(written)
            if sign == "+":
                counts[depth] += 1
            self.set_label(name, None, False)
            return
        bare = written.rstrip(":")
        if self.in_struct:
            if not bare.startswith("."):
                raise Wrong("invalid_label_name", "members of a struct begin with a dot")
            name = f"{self.in_struct}{bare}"
            self.set_label(self.space + name, None, self.struct_static)
            return
        macro = bare[0] == "?"
        inner = bare[1:] if macro else bare
        parents = self.frames[-1].labels if macro else self.sub
        if macro and self.frames[-1].macro is None:
            raise Wrong("macro_label_outside_of_macro", f"`{written}` stands outside of a macro")
        if inner[0].isdigit():
            raise Wrong("invalid_label_name", f"`{written}` is no name for a label")
        if inner[0] == ".":
            level = len(inner) - len(inner.lstrip("."))
            name = self.sub_key(inner, parents)
        else:
            level = 0
            name = f":macro_{self.frames[-1].macro_id}_{inner}" if macro else inner
        if not declared:
            del parents[level:]
            parents.append(name)
        self.set_label(self.space + name, None, False)

    def set_label(self, name: str, value: int | None, static: bool) -> None:
        if value is None:
            if self.real < 0:
                self.without_org()
            value = self.pos
        if name in self.now:
            if ":" in name:     # behind the namespace stands the number of the call, which is Asar's own
                label = name.rpartition(":")[2].split("_", 2)[-1]
                raise self.drop("label_redefined", f"`?{label}` is defined twice in one call")
            file, row = self.now[name] >> 24 & 0xFFFF, self.now[name] & 0xFFFFFF
            raise self.drop("label_redefined", f"`{name}` is defined twice: " + (
                "this line made it before, in another call or turn"
                if (file, row) == (self.place >> 24 & 0xFFFF, self.place & 0xFFFFFF)
                else f"also in {self.out.files[file].rpartition('/')[2]}, line {row + 1}"))
        self.now[name] = self.place
        self.label_log.append(name)
        self.labels[name] = value
        if static:
            self.static.add(name)
        else:
            self.static.discard(name)

    def forward(self, expression: Expression) -> bool:
        """Does it use a label that comes later?"""
        for written in expression.names:
            if written.lstrip("?")[0] == "+":
                return True
            if self.looked_up(self.key(without_index(written))) is None:
                return True
        return False

    def wanted(self, written: str) -> None:
        """A label that must be there in the end."""
        self.deferred.append((["assert", f"1|{written}"], self.captured((written,)), self.place, self.pos, self.real))

    def assign(self, name: str, expression: Expression) -> None:
        self.record = None
        if self.modern and self.forward(expression):
            raise self.drop("label_forward", "this label must be defined above")
        static = self.is_static(expression)
        if not static:
            if not self.modern:
                raise self.drop("label_cross_assignment", "a label cannot be set from another label that is not fixed")
            self.fixed = True
        value: int | None
        try:
            value = expression.integer(self)
            if value & 0xFFFFFFFF == 0xFFFFFFFF:        # to Asar this says that there is no value: it stands here
                value, self.fixed = None, True
            else:
                value &= 0xFFFFFF
        except Unknown as reason:
            self.reason_log.append(str(reason))
            value = UNPLACED << REGION
        if name[0] == "?":
            frame = self.frames[-1]
            if frame.macro is None:
                raise self.drop("macro_label_outside_of_macro", f"`{name}` stands outside of a macro")
            name = f":macro_{frame.macro_id}_{name[1:]}"
        self.set_label(self.space + name, value, static)

    def looked_up(self, key: str) -> str | None:
        """The full name of a label that is already there: in the namespace, else global. Asar decides nothing about the
        shape of a program by a label that comes later."""
        now = self.now
        self.shape_reads.add(key)
        if self.space:
            inside = self.space + key
            self.shape_reads.add(inside)
            if inside in now:
                return inside
        return key if key in now else None

    def is_static(self, expression: Expression) -> bool:
        for written in expression.names:
            name = self.looked_up(self.key(without_index(written)))
            if name is None or name not in self.static:
                return False
        return True

    def captured(self, names: tuple[str, ...], calls: tuple[str, ...] = ()) -> Scope:
        keys = {}
        for written in names:
            bare = without_index(written)
            try:
                keys[bare] = self.key(bare)
            except Wrong:
                continue        # said when it is evaluated
        return Scope(keys, self.space, frozenset(self.defines) if "defined" in calls else None,
                     self.not_yet(calls) if calls else frozenset())

    # --- the environment of expressions -------------------------------------------------------------------------------

    def label(self, name: str) -> int:
        scope = self.scope
        index = 0
        if "[" in name:
            struct, _, rest = name.partition("[")
            number, _, member = rest.partition("]")
            size = self.struct(struct)
            if size is None:
                raise Wrong("struct_not_found", f"there is no struct `{struct}`")
            index = int(number) * size[1]
            name = struct + member
        if scope is TOP:
            found = self.looked_up(self.key(name))
            self.fixed |= found is not None and ":" in found    # `Live` does not ask what such a label decided
            if found not in self.static:
                self.decided(found or OPEN)
        else:
            key = scope.keys.get(name, name)
            found = None
            self.reads.add(key)
            if scope.space:
                inside = scope.space + key
                self.reads.add(inside)
                found = inside if inside in self.labels else None
            if found is None and key in self.labels:
                found = key
        if found is None:
            raise Wrong("label_not_found", f"there is no label `{name}`")
        position = self.labels[found]
        if position >> REGION >= UNPLACED and position >> REGION != self.region:
            raise Unknown(f"the place of `{name}` is not known")
        return (position & 0xFFFFFF) + index

    def struct(self, name: str) -> tuple[int, int, int, bool] | None:
        """One that comes later is known from the pass before."""
        found = self.structs.get(name) or self.earlier.get(name)
        if found is None and not self.final and self.scope is TOP:
            self.sought = True
            self.decided(OPEN)
        return found

    def set_function(self, name: str, parameters: tuple[str, ...], body: str) -> None:
        if self.functions.get(name, (parameters, body)) != (parameters, body):
            self.overdefined.add(name)
        self.functions[name] = (parameters, body)
        inside = self.compiler.expression(body)
        sure = (self.functions.keys() - self.impure - {name}) | (PURE.keys() | PURE_2.keys()) - self.functions.keys()
        if set(inside.names) <= set(parameters) and set(inside.calls) <= sure:
            self.impure.discard(name)
        else:
            self.impure.add(name)
        self.functions_version = version_of(self.functions_version, self.rules, name, parameters, body)

    def not_yet(self, calls: tuple[str, ...]) -> frozenset[str]:
        """What of the functions, and those that they call, is not defined above."""
        waiting, functions, seen, out = list(calls), self.functions, set(), set()
        while waiting:
            name = waiting.pop()
            if name not in functions:
                out.add(name)
            elif name not in seen:
                seen.add(name)
                waiting.extend(self.compiler.expression(functions[name][1]).calls)
        return frozenset(out)

    def hangs_on(self, expression: Expression) -> None:
        """What comes of this is used: where it may be another at the next call, a call cannot be replayed."""
        if self.record is not None and not (looks_inside(expression) and self.impure.isdisjoint(expression.calls)):
            self.record = None

    def function(self, name: str) -> tuple[tuple[str, ...], str] | None:
        scope = self.scope
        if scope is not TOP and name in scope.without:
            return None
        if scope is not TOP and name in self.overdefined:
            raise Unknown(f"the function `{name}` is defined twice")
        return self.functions.get(name)

    def call(self, name: str, arguments: tuple[float | int | str, ...]) -> float | int:
        name = name.lstrip("_")
        if name == "pc" or name == "realbase":
            self.fixed = True
            self.decided("")
        if name == "pc":
            if self.pos >> REGION >= UNPLACED:
                raise Unknown("pc() in a place that is not known")
            return self.pos & 0xFFFFFF if self.modern and self.pos >= 0 else self.pos
        if name == "realbase":
            if self.real >> REGION >= UNPLACED:
                raise Unknown("realbase() in a place that is not known")
            return self.real & 0xFFFFFF if self.modern and self.real >= 0 else self.real
        if name == "defined":
            if str(arguments[0]) in self.poisoned:
                raise Unknown(f"`!{arguments[0]}` is not known")
            if self.scope.defines is None:
                self.reads.add(ALWAYS)
            return int(str(arguments[0]) in (self.defines if self.scope.defines is None else self.scope.defines))
        if name in ("snestopc", "pctosnes"):
            convert = to_rom if name == "snestopc" else to_snes
            found = convert(self.mode, int(arguments[0]), self.sa1_banks)
            return -1 if found is None else found
        if name in ("sizeof", "objectsize"):
            if self.modern and arguments[0] == "...":
                raise Wrong("macro_not_varadic" if self.place >> 40 else "vararg_sizeof_nomacro",
                            "only a macro that takes `...` has a sizeof(...)")
            struct = self.struct(str(arguments[0]))
            if struct is None:
                raise Wrong("struct_not_found", f"there is no struct `{arguments[0]}`")
            return struct[0] if name == "sizeof" else struct[1]
        if name == "datasize":
            return self.data_size(str(arguments[0]))
        if name.startswith("canreadfile"):
            width = int(name[11:] or 0) or int(arguments[2])
            data = self.binary(str(arguments[0]))
            return int(data is not None and 0 <= int(arguments[1]) <= len(data) - width)
        if name.startswith("readfile"):
            width, data, offset = int(name[8:]), self.binary(str(arguments[0])), int(arguments[1])
            if len(arguments) > 2 and (data is None or not 0 <= offset <= len(data) - width):
                return _number(arguments[2])
            if data is None:
                raise Unknown(f"{arguments[0]} is not here")
            if not 0 <= offset <= len(data) - width:
                raise Wrong("file_offset_out_of_bounds", f"{arguments[0]} has no {width} bytes at {offset}")
            return int.from_bytes(data[offset:offset + width], "little")
        if name == "filesize":
            data = self.binary(str(arguments[0]))
            if data is None:
                raise Unknown(f"{arguments[0]} is not here")
            return len(data)
        if name == "getfilestatus":
            return 0 if self.binary(str(arguments[0])) is not None else 1
        if name.startswith(("canread", "read")):
            return self.rom_value(name, arguments)
        raise Wrong("function_not_found", f"there is no function `{name}`")

    def rom_value(self, name: str, arguments: tuple[float | int | str, ...]) -> float | int:
        can = name.startswith("canread")
        digit = name[7:] if can else name[4:]
        width = int(digit) if digit else int(arguments[1])
        offset = to_rom(self.mode, int(arguments[0]), self.sa1_banks)
        image = self.base_image
        if offset is not None and image is None:
            raise Unknown("depends on the base image: set base_image")
        inside = offset is not None and image is not None and offset + width <= len(image)
        if can:
            return int(inside)
        if not inside and len(arguments) > 1:
            return _number(arguments[1])
        if offset is None or image is None:
            raise Wrong("snes_address_doesnt_map_to_rom", f"${int(arguments[0]):06X} shows no ROM")
        if not inside:
            raise Wrong("snes_address_out_of_bounds", f"${int(arguments[0]):06X} is outside of the base image")
        return int.from_bytes(image[offset:offset + width], "little")

    def data_size(self, name: str) -> int:
        """Bytes from a label to the one that follows it in the address space, or to its end. Full names only."""
        self.reads.add(ALWAYS)
        if self.scope is TOP:
            self.sized = True
            self.decided(OPEN)
        if self.modern:
            return self.data_size_2(name)
        found = self.labels.get(name)
        if found is None:
            raise Wrong("label_not_found", f"there is no label `{name}`")
        if found >> REGION >= UNPLACED:
            raise Unknown(f"the place of `{name}` is not known")
        address = found & 0xFFFFFF
        return min((one & 0xFFFFFF for one in self.labels.values()
                    if one >> REGION < UNPLACED and one & 0xFFFFFF > address), default=0xFFFFFF) - address

    def data_size_2(self, name: str) -> int:
        """Bytes to the label that was made after this one; names are whole ones here, whatever the namespace."""
        if name not in self.labels:
            raise Wrong("label_not_found", f"there is no label `{name}`")
        position = self.labels[name]
        names = iter(self.label_log)
        following = next((next(names, None) for one in names if one == name), None)
        end = 0xFFFFFF if following is None else self.labels[following]
        if (end ^ position) >> REGION and max(end, position) >> REGION >= UNPLACED:
            raise Unknown(f"the place of `{name}` is not known")
        return (end & 0xFFFFFF) - (position & 0xFFFFFF)

    def found(self, name: str, from_path: str) -> list[str]:
        """Every path that Asar would try for ``name``."""
        paths = _paths if len(name) <= LONGEST else _paths.__wrapped__
        return list(paths(name, from_path, self.root.include_paths, self.root.path))

    def binary(self, name: str) -> bytes | None:
        from_path = self.out.files[self.place >> 24 & 0xFFFF] if self.out.files else self.root.path
        for path in self.found(name, from_path):
            if path not in self.binaries:
                self.binaries[path] = self.read(path)
            if self.binaries[path] is not None:
                return self.binaries[path]
        return None


@lru_cache(maxsize=1 << 12)      # a loop may read from one file thousands of times
def _paths(name: str, from_path: str, include_paths: tuple[str, ...], root: str) -> tuple[str, ...]:
    name = name.replace("\\", "/")
    if name.startswith("/") or re.match(r"[A-Za-z]:", name):
        return (posixpath.normpath(name),)
    # Last comes the folder that Asar was started in: nearly always that of the root.
    folders = [posixpath.dirname(from_path), *include_paths, posixpath.dirname(root)]
    return tuple([posixpath.normpath(posixpath.join(folder, name)) for folder in folders])


def without_index(name: str) -> str:
    return re.sub(r"\[[^\]]*\]", "", name) if "[" in name else name


def _number(value: float | int | str) -> float | int:
    return value if not isinstance(value, str) else 0
