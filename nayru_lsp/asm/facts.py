"""Facts: named addresses and their lore, looked up by name or by address."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class BitField:
    """Bits ``high``..``low`` (inclusive) of a register: a name and the meaning of its values, where listed."""

    high: int
    low: int
    name: str
    values: tuple[tuple[int, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Fact:
    """A named address. ``address`` is the 24-bit SNES address of its canonical form; ``size`` in bytes.

    ``access``: "r", "w", "rw" or "w2" (write twice). ``when``: when it may be touched. ``source``: where the fact
    comes from. ``plugin``: who registered it.
    """

    name: str
    address: int
    kind: str               # "register", "ram", "routine"
    title: str
    body: str = ""
    size: int = 1
    access: str = "rw"
    when: str = ""
    bits: tuple[BitField, ...] = ()
    source: str = ""
    plugin: str = ""


class FactTable:
    """An immutable table of facts. Look-ups take the address as written in code: mirrors are the caller's to fold
    (``mapping.canonical_register``)."""

    def __init__(self, facts: Iterable[Fact] = ()) -> None:
        self.facts: tuple[Fact, ...] = tuple(facts)
        self._by_address: dict[int, tuple[Fact, ...]] = {}
        self._by_name: dict[str, tuple[Fact, ...]] = {}
        for fact in self.facts:
            self._by_address[fact.address] = (*self._by_address.get(fact.address, ()), fact)
            self._by_name[fact.name.upper()] = (*self._by_name.get(fact.name.upper(), ()), fact)

    def at(self, address: int) -> tuple[Fact, ...]:
        return self._by_address.get(address, ())

    def named(self, name: str) -> tuple[Fact, ...]:
        return self._by_name.get(name.upper(), ())
