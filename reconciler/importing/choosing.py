"""Which of what was found is taken: what was asked for, and with a service all that belongs to it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from reconciler.importing.request import Request
from reconciler.kinds import all_kinds
from reconciler.manifest.suggestion import closest
from reconciler.model.address import Address, matches
from reconciler.model.field_rules import FieldRules
from reconciler.model.importable import ImportableKind
from reconciler.model.importing import Expression, Found, left_as_it_is
from reconciler.model.record import Record


@dataclass(frozen=True, slots=True)
class Entry:
    """One resource and how it is said. ``group`` is the service it stands with."""

    address: Address
    said: Expression
    group: str = ""

    @property
    def addresses(self) -> tuple[Address, ...]:
        """Everything that the entry declares."""
        return (self.address, *self.said.also)

    @property
    def place(self) -> tuple[tuple[str, ...], str | Address]:
        """Where it stands in a manifest: what has the same place is one entry."""
        return self.said.section, self.address if self.said.label is None else self.said.label

    def noted(self, *notes: str) -> Entry:
        """The same with more comments."""
        return replace(self, said=replace(self.said, notes=(*self.said.notes, *notes))) if notes else self


def entries(found: Found) -> list[Entry]:
    """Every resource that has an entry of its own, or cannot have one, by address."""
    said: list[Entry] = []
    for address in sorted(found.live):
        kind = all_kinds()[address.kind]
        expression = kind.express(found.live[address], found) if isinstance(kind, ImportableKind) else None
        if expression is not None:
            expression = expression.carrying(_kept(found.records.get(address), kind.rules)) if not expression.why_not else expression
            said.append(Entry(address, expression).noted(*map(left_as_it_is, found.live[address].unsaid)))
    by_address = {entry.address: entry for entry in said}
    return [Entry(entry.address, entry.said, _group(entry, by_address)) for entry in said]


def _kept(record: Record | None, rules: FieldRules) -> dict[str, Any]:
    """What only the record of a resource can tell: what becomes of it when its entry goes, and how it was made."""
    if record is None:
        return {}
    mute = rules.not_compared
    options: dict[str, Any] = {key: value for key, value in record.specification.items() if key in mute}
    options |= {"on_removal": str(record.on_removal)} if record.on_removal is not None else {}
    return options | ({"protect": True} if record.protect else {})


def chosen(every: Sequence[Entry], request: Request) -> list[Entry]:
    """Those that were asked for."""
    belonging = _belonging(every, request.services) if request.services else {entry.address for entry in every}
    return [entry for entry in every if entry.address in belonging and _is_asked_for(entry, request)]


def without_effect(every: Sequence[Entry], request: Request) -> list[str]:
    """The services and addresses that nothing is found for, and what may have been meant."""
    services = {service for entry in every for service in entry.said.services}
    known = {service.lower() for service in services}
    faults = [f"nothing is found for the service {name}{_guess(name, services)}" for name in request.services if name.lower() not in known]
    addresses = [address for entry in every for address in entry.addresses]
    return faults + [_what_of(glob, addresses) for glob in request.globs if not any(matches(glob, address) for address in addresses)]


def _what_of(glob: str, addresses: Sequence[Address]) -> str:
    kind, kinds = glob.partition("/")[0], [name for name, kind in all_kinds().items() if isinstance(kind, ImportableKind)]
    if "*" not in kind and kind not in kinds:
        return f"{glob} is no address: its kind is none of {', '.join(kinds)}"
    below = f"{glob.rstrip('/')}/*"
    if any(matches(below, address) for address in addresses):
        return f"nothing is found at {glob}: did you mean {below!r}?"
    return f"nothing is found at {glob}{_guess(glob, map(str, addresses)) if '*' not in glob else ''}"


def _guess(name: str, known: Iterable[str]) -> str:
    guess = closest(name, sorted(known))
    return f": did you mean {guess}?" if guess else ""


def _is_asked_for(entry: Entry, request: Request) -> bool:
    of_a_kind = not request.kinds or any(address.kind in request.kinds for address in entry.addresses)
    return of_a_kind and (not request.globs or any(matches(glob, address) for glob in request.globs for address in entry.addresses))


def _belonging(every: Sequence[Entry], services: Iterable[str]) -> set[Address]:
    """What is about one of the services, and what goes with that or is brought by it."""
    names = {service.lower() for service in services}
    belonging = {entry.address for entry in every if any(service.lower() in names for service in entry.said.services)}
    while True:
        more = {entry.address for entry in every if not belonging.isdisjoint(entry.said.goes_with)}
        more |= {brought for entry in every if entry.address in belonging for brought in entry.said.brings}
        if more <= belonging:
            return belonging
        belonging |= more


def _group(entry: Entry, by_address: Mapping[Address, Entry], seen: frozenset[Address] = frozenset()) -> str:
    """The service of what the entry goes with, or else its own."""
    following = [by_address[address] for address in entry.said.goes_with if address in by_address and address not in seen]
    groups = (_group(one, by_address, seen | {entry.address}) for one in following)
    return next(filter(None, groups), entry.said.services[0] if entry.said.services else "")
