"""A value for a register, bit by bit, in words."""

from __future__ import annotations

from nayru_lsp.hookspecs import BitField, Fact


def decode(value: int, fact: Fact) -> str:
    """One Markdown list item per bit field of ``fact``, for a byte ``value``; set bits without function are named."""
    lines = [_line(value, field) for field in fact.bits]
    used = sum((1 << field.high + 1) - (1 << field.low) for field in fact.bits)
    idle = [bit for bit in range(7, -1, -1) if value >> bit & 1 and not used >> bit & 1]
    if idle:
        lines.append(f"- bit{'s' if len(idle) > 1 else ''} {', '.join(map(str, idle))} set: no effect")
    return "\n".join(lines)


def _line(value: int, field: BitField) -> str:
    part = value >> field.low & (1 << field.high - field.low + 1) - 1
    place = f"bit {field.high}" if field.high == field.low else f"bits {field.high}-{field.low}"
    number = f"${part:02X}" if field.high - field.low > 3 else str(part)
    meaning = dict(field.values).get(part)
    return f"- {place} {field.name}: {number}" + (f", {meaning}" if meaning else "")
