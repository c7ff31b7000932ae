"""Projects of our own, made by a seeded grammar: what a rehearsal learns from and is measured on.

Each project has house rules of its own (limits, scratch cells, handlers, register order, which idiom follows which)
over words that all projects share. A model that has read other projects knows the language but not the rules; a model
retrained on some files of a project can know the rules in its other files. All of it assembles with Asar.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass

LICENCE = "Apache-2.0"

ENTITIES = ("Player", "Boss", "Door", "Lift", "Torch", "Arrow", "Bomb", "Chest", "Bird", "Crab", "Ghost", "Knight",
            "Cart", "Wheel", "Plant", "Stone", "Cloud", "Fish", "Key", "Lamp", "Bridge", "Snake", "Coin", "Mirror")
FIELDS = ("Timer", "PosX", "PosY", "Speed", "State", "Health", "Frame", "Flags", "Angle", "Depth", "Power", "Delay")
VERBS = ("Update", "Init", "Move", "Draw", "Check", "Reset", "Hit", "Spawn")
HANDLERS = ("Notify", "Play", "Queue", "Mark", "Log", "Send", "Wake", "Sort")
SCRATCH = tuple(f"Scratch_{letter}" for letter in "ABCDEFGH")
REGISTERS = ("$2100", "$2101", "$2105", "$2107", "$210B", "$212C", "$2130", "$2131", "$4200", "$420C")
IDIOMS = ("tick", "clamp", "copy", "call", "upload", "table", "add", "mask")


@dataclass(frozen=True, slots=True)
class Rules:
    """The house rules of one project; ``next_idiom`` maps an idiom to the one that mostly follows."""

    name: str
    entities: tuple[str, ...]
    fields: tuple[str, ...]
    limit: dict[str, int]
    scratch: dict[str, str]
    partner: dict[str, str]
    handler: dict[str, str]
    mask: dict[str, int]
    next_register: dict[str, str]
    value: dict[str, int]
    next_idiom: dict[str, str]
    carry_first: bool
    indent: str


def rules(seed: int, name: str = "") -> Rules:
    draw = random.Random(f"rules {seed}")

    def shuffled(items: tuple[str, ...], count: int = 0) -> tuple[str, ...]:
        return tuple(draw.sample(items, count or len(items)))

    fields = shuffled(FIELDS, 8)
    ring = shuffled(REGISTERS)
    order = shuffled(IDIOMS)
    return Rules(
        name=name or f"generated{seed}", entities=shuffled(ENTITIES, 20), fields=fields,
        limit={f: draw.randrange(0x10, 0x400, 8) for f in fields},
        scratch=dict(zip(fields, shuffled(SCRATCH), strict=True)),
        partner=dict(zip(fields, fields[1:] + fields[:1], strict=True)),
        handler={f: f"{draw.choice(HANDLERS)}_{draw.choice(FIELDS)}" for f in fields},
        mask={f: 1 << draw.randrange(16) for f in fields},
        next_register=dict(zip(ring, ring[1:] + ring[:1], strict=True)),
        value={r: draw.randrange(256) for r in ring},
        next_idiom=dict(zip(order, order[1:] + order[:1], strict=True)),
        carry_first=draw.random() < 0.5, indent=draw.choice(("    ", "    ", "  ")),
    )


def project(seed: int, files: int = 150) -> dict[str, str]:
    """File name -> text: main.asm, ram.asm, handlers.asm and ``files`` files with one routine each (at most 160)."""
    house = rules(seed)
    draw = random.Random(f"project {seed}")
    pairs = [(entity, verb) for entity in house.entities for verb in VERBS]
    chosen = draw.sample(pairs, min(files, len(pairs)))
    out = {}
    for entity, verb in chosen:
        out[f"{entity.lower()}_{verb.lower()}.asm"] = _routine(house, draw, entity, verb)
    out["ram.asm"] = _ram(house)
    out["handlers.asm"] = _handlers(house)
    includes = "".join(f'incsrc "{name}"\n' for name in ("ram.asm", "handlers.asm", *(
        name for name in sorted(out) if name not in ("ram.asm", "handlers.asm"))))
    out["main.asm"] = "lorom\norg $008000\n" + includes
    return out


def _routine(house: Rules, draw: random.Random, entity: str, verb: str) -> str:
    lines = [f"; {verb} of the {entity.lower()}", f"{entity}_{verb}:", "REP #$30"]
    idiom = draw.choice(IDIOMS)
    field = draw.choice(house.fields)
    for number in range(draw.randint(5, 7)):
        lines += _idiom(house, draw, idiom, entity, field, number)
        idiom = house.next_idiom[idiom] if draw.random() < 0.85 else draw.choice(IDIOMS)
        field = house.partner[field] if draw.random() < 0.7 else draw.choice(house.fields)
    lines.append("RTS")
    return "\n".join(line if line.startswith((";", ".")) or line.endswith(":") else house.indent + line
                     for line in lines) + "\n"


def _idiom(house: Rules, draw: random.Random, idiom: str, entity: str, field: str, number: int) -> Iterator[str]:
    cell, other = f"{entity}_{field}", house.partner[field]
    if idiom == "tick":
        yield from (f"LDA.w {cell}", f"BEQ .done{number}", "DEC A", f"STA.w {cell}", f".done{number}:")
    elif idiom == "clamp":
        limit = f"#${house.limit[field]:04X}"
        yield from (f"LDA.w {cell}", f"CMP.w {limit}", f"BCC .below{number}", f"LDA.w {limit}", f"STA.w {cell}",
                    f".below{number}:")
    elif idiom == "copy":
        yield from (f"LDA.w {cell}", f"STA.w {house.scratch[field]}", f"LDA.w {entity}_{other}",
                    f"STA.w {house.scratch[other]}")
    elif idiom == "call":
        yield from (f"LDA.w {cell}", f"JSR {house.handler[field]}", f"STA.w {cell}")
    elif idiom == "upload":
        register = draw.choice(REGISTERS)
        yield "SEP #$20"
        for _ in range(3):
            yield from (f"LDA.b #${house.value[register]:02X}", f"STA.w {register}")
            register = house.next_register[register]
        yield "REP #$20"
    elif idiom == "table":
        yield from (f"LDX.w {entity}_{other}", f"LDA.w Table_{field},x", f"STA.w {cell}")
    elif idiom == "add":
        load = f"LDA.w {cell}"
        yield from (("CLC", load) if house.carry_first else (load, "CLC"))
        yield from (f"ADC.w {entity}_{other}", f"STA.w {cell}")
    else:
        mask = f"#${house.mask[field]:04X}"
        yield from (f"LDA.w {cell}", f"AND.w {mask}", f"BNE .set{number}", f"INC.w {entity}_{other}", f".set{number}:")


def _ram(house: Rules) -> str:
    names = [f"{entity}_{field}" for entity in house.entities for field in house.fields] + list(SCRATCH)
    return "".join(f"{name} = ${0x0100 + 2 * number:04X}\n" for number, name in enumerate(names))


def _handlers(house: Rules) -> str:
    out = []
    for name in sorted(set(house.handler.values())):
        out.append(f"{name}:\n{house.indent}STA.w {SCRATCH[len(name) % 8]}\n{house.indent}RTS\n")
    for field in house.fields:
        row = ",".join(f"${(house.limit[field] + 3 * step) & 0xFFFF:04X}" for step in range(8))
        out.append(f"Table_{field}:\n{house.indent}dw {row}\n")
    return "\n".join(out)
