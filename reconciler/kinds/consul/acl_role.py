"""ACL roles: named sets of policies and identities, to which tokens are linked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import ClassVar, Final

from reconciler.kinds.consul._grant_entry import granted
from reconciler.kinds.consul._grants import GrantRules, declared_grants, grants_body, links, live_grants
from reconciler.kinds.consul._order import planned
from reconciler.manifest.loaded import LoadedManifest
from reconciler.model.address import Address
from reconciler.model.errors import LostRace
from reconciler.model.field_rules import FieldRules
from reconciler.model.importing import Expression, Found, stated
from reconciler.model.kind import DirectKind, Made, Order, Permission, Wanted
from reconciler.model.resource import CONSUL, Desired, Live, SystemType
from reconciler.model.value import JSON
from reconciler.systems.consul.client import Consul
from reconciler.systems.consul.reader import ConsulReader


class AclRole:
    """``acl-role/NAME``. Fields: ``description``, ``policies`` (names), ``service_identities``, ``node_identities``, ``templated_policies``.

    Like a policy it is never replaced: tokens would lose their link to one that is made anew under its name.
    """

    name: ClassVar[str] = "acl-role"
    system: ClassVar[SystemType] = "consul"
    covers: ClassVar[frozenset[str]] = frozenset({"mesh_credentials.roles"})
    rules: ClassVar[FieldRules] = GrantRules()
    replaces: ClassVar[bool] = False

    def address(self, *segments: str) -> Address:
        """Consul folds the case of role names."""
        return Address.of(self.name, *segments, fold=True)

    def declare(self, manifest: LoadedManifest) -> Iterator[Desired]:
        """The roles of ``mesh_credentials.roles``."""
        for label, entry in manifest.manifest.mesh_credentials.roles.items():
            yield Desired(
                self.address(entry.name or label),
                CONSUL,
                declared_grants(entry),
                label,
                manifest.place("mesh_credentials", "roles", label),
                needs=links(entry),
                must_exist=links(entry),
                on_removal=entry.on_removal,
                protect=entry.protect,
                adopt=entry.adopt,
            )

    def permissions(self, wanted: Wanted, *, write: bool) -> Iterator[Permission]:
        """``acl`` has no segments: read for all roles, or write."""
        yield Permission("acl", "", "write" if write else "read", wanted.address)

    def read(self, system: ConsulReader, wanted: Sequence[Wanted]) -> list[Live]:
        """One list, which has everything."""
        roles = {role["Name"].lower(): role for role in system.roles()}
        return [_live(want.address, roles[want.address.identity[0]]) for want in wanted if want.address.identity[0] in roles]

    def create(self, system: Consul, order: Order) -> Made:
        """Make it. Raises AlreadyExists when another role has the name."""
        return Made(system.acl.create_role({"Name": order.address.segments[0], **grants_body(order.fields)})["ID"])

    def update(self, system: Consul, order: Order) -> Made:
        """Write all of it. Consul has no conditional write for roles: what is planned against is read once more just before."""
        live = planned(order)
        now = system.acl.read_role(live.incarnation or "")
        if now is None or now["Hash"] != live.revision:
            raise LostRace("somebody else changed it meanwhile: run again")
        # A change of case alone is refused ("already exists"), so the name stays as it is spelt.
        return Made(system.acl.update_role(now["ID"], {"Name": now["Name"], **grants_body(order.fields)})["ID"])

    def delete(self, system: Consul, order: Order) -> None:
        """Remove it, by its ID: one that was made anew under its name is not touched."""
        system.acl.delete_role(planned(order).incarnation or "")

    def find(self, system: ConsulReader) -> list[Live]:
        """Every role; none is built in."""
        return [_live(self.address(role["Name"]), role) for role in system.roles()]

    def express(self, live: Live, found: Found) -> Expression:  # noqa: ARG002  # it refers to nothing
        """What it is linked to."""
        return granted("roles", live, stated(live.fields, self.rules))


def _live(address: Address, role: Mapping[str, JSON]) -> Live:
    return Live(
        address, live_grants(role), incarnation=role["ID"], created_index=role["CreateIndex"], revision=role["Hash"],
    )  # fmt: skip


KIND: Final[DirectKind] = AclRole()
