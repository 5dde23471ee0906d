"""Everything a plan is made from, as one value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from reconciler.engine.scope import WHOLE, Scope
from reconciler.model.address import Address
from reconciler.model.field_rules import FieldRules
from reconciler.model.kind import Finding, Kind
from reconciler.model.record import Record
from reconciler.model.resource import Desired, Live, System


@dataclass(frozen=True, slots=True)
class Situation:
    """What is wanted, what is recorded, what is live.

    ``records`` holds those of this manifest and of every other manifest that has one of the desired addresses. ``keys`` are the keys of the
    records that desired addresses have, or would have. ``systems`` are the identities of the systems that were reached. ``unknown_systems``
    are records of this manifest whose system is none of them. ``reach`` is what was looked at for a ``scope`` that leaves something out: ``live``
    says nothing of the rest, and nothing is decided of it. None is everything. ``files`` are those of the manifest, as they were given.
    ``elsewhere`` are the records of other manifests of the kinds that must know them (``ForeseeingKind``).
    ``incarnations_elsewhere`` are the kinds and incarnations of what other manifests own, each with its address and its owner.
    ``needed_elsewhere`` are the keys of records that records of other manifests need, each with one that does, in words.
    ``findings`` are what was found out about machines besides.
    """

    name: str
    desired: Mapping[Address, Desired]
    records: Mapping[Address, Record]
    live: Mapping[Address, Live]
    kinds: Mapping[str, Kind]
    keys: Mapping[Address, str]
    systems: Mapping[System, str] = field(default_factory=dict)
    unknown_systems: tuple[Record, ...] = ()
    scope: Scope = WHOLE
    reach: frozenset[Address] | None = None
    files: tuple[str, ...] = ()
    needed_elsewhere: Mapping[str, str] = field(default_factory=dict)
    elsewhere: tuple[Record, ...] = ()
    incarnations_elsewhere: Mapping[tuple[str, str], tuple[str, str]] = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()

    def rules(self, address: Address) -> FieldRules:
        """How the fields of a resource are compared."""
        return self.kinds[address.kind].rules

    def is_reached(self, address: Address) -> bool:
        """Whether it was looked at."""
        return self.reach is None or address in self.reach

    def owned(self) -> dict[Address, Record]:
        """The records of this manifest."""
        return {a: r for a, r in self.records.items() if r.owner == self.name}


def is_ours(record: Record, live: Live) -> bool:
    """Whether what is live is what the record is about, and not something made anew under its name."""
    if record.incarnation is None:
        return True
    if record.incarnation == "@":
        return live.created_index == record.created_index
    return incarnation(live) == record.incarnation


def incarnation(live: Live) -> str | None:
    """What to remember of a live resource that we did not make in one transaction with its record."""
    return str(live.created_index) if live.incarnation == "@" else live.incarnation
