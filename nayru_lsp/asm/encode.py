"""Instruction -> opcode, size and bytes, as Asar 1.91 chooses them; proven form by form against Asar.

A width comes from the suffix, else from the widest part of the operand as written: a literal by its digits, a label
by its bank (two bytes in the bank of the code, else three). What is not known stays None: a name without a value, an
operand with something unexpanded, a label seen from an unknown bank. Refuses to know the registers' widths (Asar does
not track them either), ``optimize`` and ``dpbase``, and the other processors.
"""

from __future__ import annotations

from collections.abc import Callable

from nayru_lsp.asm.flow import WidthState
from nayru_lsp.asm.isa import MNEMONICS, AddressingMode, Opcode, modes_for, opcode_for
from nayru_lsp.asm.syntax import (
    Binary,
    Call,
    Char,
    Expr,
    Group,
    Instruction,
    LabelKind,
    Name,
    Number,
    OpaqueExpr,
    OperandShape,
    Unary,
)

Values = Callable[[Expr], int | None]

SUFFIXES = {"b": 1, "w": 2, "l": 3}
MAX_REPEAT = 0x10000        # more cannot lie in one bank

_Mode = AddressingMode
# Two-byte modes that take a one-byte operand when no suffix forbids it.
_WIDENING = frozenset({
    _Mode.ABSOLUTE, _Mode.ABSOLUTE_Y, _Mode.ABSOLUTE_INDIRECT, _Mode.ABSOLUTE_X_INDIRECT, _Mode.ABSOLUTE_INDIRECT_LONG})
_BRANCHING = frozenset({_Mode.RELATIVE, _Mode.RELATIVE_LONG})


def _unknown(expr: Expr) -> int | None:
    return None


# --- widths ----------------------------------------------------------------------------------------------------

def literal_width(expr: Expr) -> int | None:
    """1, 2 or 3 bytes by Asar's digit rule (the widest literal counts), or None with a name or anything unknown."""
    match expr:
        case Number(value=float()):
            return None
        case Number(base=16, digits=digits):
            return min((digits + 1) // 2, 3)
        case Number(base=2, digits=digits):
            return min((digits + 7) // 8, 3)
        case Number(value=value):
            return 1 if value < 0x100 else 2 if value < 0x10000 else 3
        case Char():
            return 1
        case Unary(operand=inner) | Group(inner=inner):
            return literal_width(inner)
        case Binary(left=left, right=right):
            one, other = literal_width(left), literal_width(right)
            return None if one is None or other is None else max(one, other)
    return None


def operand_width(
    expr: Expr, values: Values = _unknown, address: int | None = None, *, immediate: bool = False,
) -> int | None:
    """1, 2 or 3 bytes by literals and labels together; ``address`` is the SNES address of the instruction.

    Labels count two bytes, or three where their bank is not that of ``address``; function names count two. In an
    immediate three is two, and ``label>>16`` (also ``/65536``) is one.
    """
    if immediate and _takes_bank(expr):
        return 1
    width = _width(expr, values, None if immediate else address, 2 if immediate else None)
    return min(width, 2) if immediate and width is not None else width


def _takes_bank(expr: Expr) -> bool:
    if not isinstance(expr, Binary) or not isinstance(expr.right, Number):
        return False
    if not (isinstance(expr.left, Number) or (isinstance(expr.left, Name) and not _is_relative(expr.left))):
        return False
    return (expr.operator, expr.right.base, expr.right.digits, expr.right.value) in (
        (">>", 10, 2, 16), ("/", 10, 5, 65536), ("/", 16, 5, 65536))


def _is_relative(name: Name) -> bool:
    return name.kind in (LabelKind.RELATIVE, LabelKind.MACRO_RELATIVE)


def _width(expr: Expr, values: Values, address: int | None, label: int | None) -> int | None:
    """``label``: what an unknown label counts, None = unknown."""
    match expr:
        case Name():
            if _is_relative(expr) or label is not None:
                return label or 2
            value = values(expr)
            if value is None or address is None:
                return None
            return 3 if (value ^ address) & 0xFF0000 else 2
        case Unary(operand=inner) | Group(inner=inner):
            return _width(inner, values, address, label)
        case Binary(left=left, right=right):
            one, other = _width(left, values, address, label), _width(right, values, address, label)
            return None if one is None or other is None else max(one, other)
        case Call(arguments=arguments):
            widths = [_width(argument, values, address, label) for argument in arguments]
            return max([2, *(w for w in widths if w is not None)]) if None not in widths else None
    return literal_width(expr)


def _known_labels(expr: Expr) -> bool:
    """No unexpanded or unknown text inside."""
    match expr:
        case Unary(operand=inner) | Group(inner=inner):
            return _known_labels(inner)
        case Binary(left=left, right=right):
            return _known_labels(left) and _known_labels(right)
        case Call(arguments=arguments):
            return all(_known_labels(argument) for argument in arguments)
        case Name() | Char():
            return True
        case Number(value=value):
            return not isinstance(value, float)
    return False


# --- opcode ----------------------------------------------------------------------------------------------------

def select(mnemonic: str, shape: OperandShape, suffix: str, width: int | None) -> Opcode | None:
    """The opcode that Asar takes for an operand of ``shape`` and ``width`` bytes (see `operand_width`; None =
    unknown). None where Asar refuses the form, or where the width matters and is unknown.

    ``suffix`` is the letter without its dot, "" without one. For ``nop #3`` the opcode that is repeated.
    """
    if shape is OperandShape.OPAQUE or (suffix and suffix not in SUFFIXES):
        return None
    choices = [opcode for mode in modes_for(mnemonic, shape) if (opcode := opcode_for(mnemonic, mode)) is not None]
    if not choices:
        return None
    if shape in (OperandShape.NONE, OperandShape.ACCUMULATOR, OperandShape.MOVE):
        return None if suffix else choices[0]
    width = SUFFIXES.get(suffix, width)
    only = choices[0] if len(choices) == 1 else None
    if shape is OperandShape.IMMEDIATE:
        return only if only is not None and (only.size != 2 or width == 1) else None
    if only is not None and only.mode in _BRANCHING:
        return only
    if only is not None and only.mode is _Mode.ABSOLUTE_LONG:
        return only if suffix in ("", "l") else None
    exact = next((opcode for opcode in choices if opcode.size == (width or 0) + 1), None)
    if exact is None and only is not None and width == 1 and only.mode in _WIDENING:
        return only if not suffix or only.mode is _Mode.ABSOLUTE_Y else None
    return exact


def shape_of(instruction: Instruction) -> OperandShape:
    """As written; an unexpanded ``#!x`` is an immediate, for only behind ``#`` does opaque text begin later."""
    operand = instruction.operand
    if operand is None:
        return OperandShape.NONE
    value = operand.value
    if isinstance(value, OpaqueExpr) and value.expandable and value.start > operand.start:
        return OperandShape.IMMEDIATE
    return operand.shape


def _repeats(instruction: Instruction) -> bool:
    return shape_of(instruction) is OperandShape.IMMEDIATE and (
        (known := MNEMONICS.get(instruction.mnemonic)) is not None and known.repeatable)


def _count(instruction: Instruction, values: Values) -> int | None:
    operand = instruction.operand
    count = values(operand.value) if operand is not None and operand.value is not None else None
    return count if count is not None and 0 <= count <= MAX_REPEAT else None


def _literal(expr: Expr) -> int | None:
    """The value of a plain number, also negated: enough for a repeat count without an evaluator."""
    match expr:
        case Number(value=int() as value):
            return value
        case Unary(operator="-", operand=operand):
            value_ = _literal(operand)
            return None if value_ is None else -value_
        case Group(inner=inner):
            return _literal(inner)
        case Char(text=text):
            return ord(text) if len(text) == 1 else None
    return None


# --- size and bytes --------------------------------------------------------------------------------------------

def size_of(
    instruction: Instruction, state: WidthState, values: Values = _literal, address: int | None = None,
) -> int | None:
    """Bytes of ``instruction`` in the ROM, or None where unknown or where Asar refuses it.

    A label without a known value or place is taken to lie in the bank of the code. An immediate with unexpanded text
    is taken to have the width of its register, where ``state`` knows it.
    """
    operand = instruction.operand
    shape = shape_of(instruction)
    if _repeats(instruction):
        count = _count(instruction, values)
        return count if select(instruction.mnemonic, shape, instruction.suffix, None) else None
    width = None
    if operand is not None and operand.value is not None:
        immediate = shape is OperandShape.IMMEDIATE
        width = operand_width(operand.value, values, address, immediate=immediate)
        if width is None and _known_labels(operand.value):
            width = _width(operand.value, values, None, 2)
    opcode = select(instruction.mnemonic, shape, instruction.suffix, width)
    if opcode is None:
        return _common_size(instruction, shape) if width is None else None
    if isinstance(opcode.size, int):
        return opcode.size
    if shape is OperandShape.IMMEDIATE:
        width = SUFFIXES.get(instruction.suffix, width)
        if width is None:
            bits = state.m if opcode.size == "m" else state.x
            return None if bits is None else 1 + bits // 8
        return 1 + min(width, 2)
    return None


def _common_size(instruction: Instruction, shape: OperandShape) -> int | None:
    """The size where every opcode that an unknown width leaves has the same one: ``jsr !routine``, ``lda.w !table``.

    Unexpanded text is taken not to make the rare forms whose suffix is not their width: ``lda.b $12,y`` (two bytes),
    ``lda.l #$12`` (two), ``asl.b #4`` (a repeat count).
    """
    repeatable = (known := MNEMONICS.get(instruction.mnemonic)) is not None and known.repeatable
    shapes = tuple(OperandShape) if shape is OperandShape.OPAQUE else (shape,)
    if instruction.suffix:
        width = SUFFIXES.get(instruction.suffix, 0)
        rows = [row for one in shapes if not (repeatable and one is OperandShape.IMMEDIATE)
                and (row := select(instruction.mnemonic, one, instruction.suffix, width)) is not None]
        sizes = {1 + width if row.size in ("m", "x") else row.size for row in rows
                 if not (row.mode is _Mode.ABSOLUTE_Y and width == 1) and not (row.size in ("m", "x") and width == 3)}
    elif repeatable:
        return None
    else:
        sizes = {row.size for one in shapes for mode in modes_for(instruction.mnemonic, one)
                 if (row := opcode_for(instruction.mnemonic, mode)) is not None}
    size = sizes.pop() if len(sizes) == 1 else None
    return size if isinstance(size, int) else None


def encode(instruction: Instruction, values: Values, address: int | None) -> bytes | None:
    """The bytes of ``instruction`` at SNES ``address`` (None = unknown), or None where anything that matters is
    unknown or Asar refuses it."""
    operand = instruction.operand
    shape = shape_of(instruction)
    if operand is None or operand.value is None:
        opcode = select(instruction.mnemonic, shape, instruction.suffix, None)
        if opcode is None:
            return None
        return bytes([opcode.value, 0]) if opcode.mode is _Mode.INTERRUPT else bytes([opcode.value])
    if _repeats(instruction):
        opcode, count = select(instruction.mnemonic, shape, instruction.suffix, None), _count(instruction, values)
        return None if opcode is None or count is None else bytes([opcode.value]) * count
    immediate = shape is OperandShape.IMMEDIATE
    width = operand_width(operand.value, values, address, immediate=immediate)
    opcode = select(instruction.mnemonic, shape, instruction.suffix, width)
    value = values(operand.value)
    if opcode is None or value is None:
        return None
    if shape is OperandShape.MOVE:
        second = values(operand.second) if operand.second is not None else None
        return None if second is None else bytes([opcode.value, value & 0xFF, second & 0xFF])
    if opcode.mode in _BRANCHING:
        return _branch(opcode, operand.value, value, address)
    if immediate:
        length: int | None = SUFFIXES.get(instruction.suffix, width)
        length = None if length is None else min(length, 2) if opcode.size in ("m", "x") else 1
    else:
        length = opcode.size - 1 if isinstance(opcode.size, int) else None
    if length is None:
        return None
    return bytes([opcode.value]) + (value & (1 << 8 * length) - 1).to_bytes(length, "little")


def _branch(opcode: Opcode, expr: Expr, value: int, address: int | None) -> bytes | None:
    """A target with a label in it becomes a displacement; a bare number is the displacement, cut to size."""
    length = 1 if opcode.mode is _Mode.RELATIVE else 2
    if _has_label(expr):
        if address is None:
            return None
        value -= address + 1 + length
        if not -(1 << 8 * length - 1) <= value < 1 << 8 * length - 1:
            return None
    return bytes([opcode.value]) + (value & (1 << 8 * length) - 1).to_bytes(length, "little")


def _has_label(expr: Expr) -> bool:
    match expr:
        case Name():
            return True
        case Unary(operand=inner) | Group(inner=inner):
            return _has_label(inner)
        case Binary(left=left, right=right):
            return _has_label(left) or _has_label(right)
        case Call(arguments=arguments):
            return any(_has_label(argument) for argument in arguments)
    return False
