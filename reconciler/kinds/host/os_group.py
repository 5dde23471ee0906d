"""``os-group/HOST/NAME``: the system group that a gateway's process runs as."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import ClassVar, Final

from reconciler.kinds.host._gateway import processes
from reconciler.kinds.host._machine import ACCOUNTS, OnMachine, once
from reconciler.manifest.loaded import LoadedManifest
from reconciler.model.address import Address
from reconciler.model.field_rules import FieldRules
from reconciler.model.kind import Made, Order, Wanted
from reconciler.model.resource import Desired, Live
from reconciler.systems.host import Facts, Host, Inquiry

_CREATE: Final = """
getent group "$1" >/dev/null && fault exists "the group $1 exists already"
groupadd --system -- "$1" >&2 && getent group "$1" | cut -d: -f3
"""
_DELETE: Final = """
getent group "$1" >/dev/null || exit 0
groupdel -- "$1"
"""


class OsGroup(OnMachine):
    """Groups."""

    name: ClassVar[str] = "os-group"
    covers: ClassVar[frozenset[str]] = frozenset()
    rules: ClassVar[FieldRules] = FieldRules()

    def declare(self, manifest: LoadedManifest) -> Iterable[Desired]:
        """One for each gateway's process; several may share one."""
        return once(
            Desired(
                p.address(self.name), p.system, {}, p.name, p.place,
                on_removal=p.gateway.on_removal, protect=p.gateway.protect, adopt=p.gateway.adopt,
            )
            for p in processes(manifest)
        )  # fmt: skip

    def asks(self, wanted: Sequence[Wanted]) -> Inquiry:
        """By name."""
        return Inquiry(groups=frozenset(w.address.segments[1] for w in wanted))

    def told(self, wanted: Sequence[Wanted], facts: Facts) -> Iterable[Live]:
        """There is nothing to compare but that it is there, and its number. An account that has it as its primary group keeps it there."""
        for want in wanted:
            host, name = want.address.segments
            state = facts.groups.get(name)
            if state is not None:
                occupants = frozenset(Address.of("os-user", host, account) for account in state.primary_of)
                yield Live(want.address, {}, incarnation=str(state.gid), occupants=occupants)

    def create(self, system: Host, order: Order) -> Made:
        """With a number that the machine chooses."""
        return Made(system.run(ACCOUNTS + _CREATE, order.address.segments[1]).strip())

    def update(self, system: Host, order: Order) -> Made:
        """Nothing of it can differ."""
        del system
        return Made(order.live.incarnation if order.live else None)

    def delete(self, system: Host, order: Order) -> None:
        """The system refuses while it is an account's primary group."""
        system.run(ACCOUNTS + _DELETE, order.address.segments[1])


KIND = OsGroup()
