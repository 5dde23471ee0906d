"""``agent-service/HOST/ID``: the registration of a gateway with the Consul agent of its machine.

``consul connect envoy -register`` makes the same one when it starts, and nobody takes it away when the gateway has stopped. Here it is made before
the unit starts, put right when somebody has changed it meanwhile, and removed after the unit. Always with the gateway's own token, as that command
does it: the agent keeps the token that it is registered with, on disk and for its own use, and ours must not stay there.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

from reconciler.kinds.host._gateway import processes
from reconciler.manifest.loaded import LoadedManifest
from reconciler.model.address import Address
from reconciler.model.errors import AccessDenied, AlreadyExists, Rejected
from reconciler.model.field_rules import FieldRules
from reconciler.model.kind import Made, Order, Permission, Wanted
from reconciler.model.resource import Desired, Live, SystemType
from reconciler.model.secret import Reference, Secret
from reconciler.model.value import JSON
from reconciler.systems.host import Host


class AgentService:
    """Registrations with the agent of a machine."""

    name: ClassVar[str] = "agent-service"
    system: ClassVar[SystemType] = "host"
    covers: ClassVar[frozenset[str]] = frozenset()
    rules: ClassVar[FieldRules] = FieldRules(not_compared=frozenset({"token"}))
    replaces: ClassVar[bool] = False

    def address(self, *segments: str) -> Address:
        """A host and a service's ID, which Consul folds."""
        return Address.of(self.name, *segments)

    def declare(self, manifest: LoadedManifest) -> Iterable[Desired]:
        """One for each gateway that the manifest runs."""
        for process in processes(manifest):
            (address, port), token = process.listens_on, Address.of("acl-token", process.process.token)
            told = {"kind": "terminating-gateway", "service": process.name, "address": address, "port": port}
            yield Desired(
                process.address(self.name), process.system, {**told, "token": Reference(token, "secret_id")}, process.name, process.place,
                needs=frozenset({token}), must_exist=frozenset({token}),
                on_removal=process.gateway.on_removal, protect=process.gateway.protect, adopt=process.gateway.adopt,
            )  # fmt: skip

    def permissions(self, wanted: Wanted, *, write: bool) -> Iterable[Permission]:
        """Those of any service."""
        yield Permission("service", wanted.address.segments[1], "read")
        if write:
            yield Permission("service", wanted.address.segments[1], "write")

    def read(self, system: Host, wanted: Sequence[Wanted]) -> Iterable[Live]:
        """All in one call."""
        found = system.agent.services()
        return [_live(want.address, found[want.address.segments[1]]) for want in wanted if want.address.segments[1] in found]

    def create(self, system: Host, order: Order) -> Made:
        """As the gateway's own command does it."""
        name = order.address.segments[1]
        if name in system.agent.services():
            raise AlreadyExists(f"{system.name}: its Consul agent has a service {name!r} already")
        return self.update(system, order)

    def update(self, system: Host, order: Order) -> Made:
        """The whole registration anew."""
        token = order.fields.get("token")
        if not isinstance(token, Secret):
            raise Rejected("it is registered with the gateway's token, whose secret may not be read: use a token with acl:write")
        try:
            system.agent.register(_body(order), token)
        except AccessDenied as denied:
            raise AccessDenied(f"the gateway's own token may not register it: {denied}") from None
        return Made(None)

    def delete(self, system: Host, order: Order) -> None:
        """Deregister it."""
        system.agent.deregister(order.address.segments[1])


KIND = AgentService()


def _live(address: Address, service: JSON) -> Live:
    fields = {"kind": service.get("Kind", ""), "service": service["Service"], "address": service.get("Address", ""), "port": service["Port"]}
    return Live(address, fields)


def _body(order: Order) -> dict[str, Any]:
    fields = order.fields
    address, port = fields.get("address") or "", fields["port"]
    tagged = {"TaggedAddresses": {"lan": {"Address": address, "Port": port}}} if address else {}
    host = f"[{address}]" if ":" in address else address or "127.0.0.1"
    check = {"Name": "terminating-gateway listening", "TCP": f"{host}:{port}", "Interval": "10s", "DeregisterCriticalServiceAfter": "6h"}
    body = {"Kind": fields["kind"], "ID": order.address.segments[1], "Name": fields["service"], "Address": address, "Port": port, "Check": check}
    return {**body, **tagged}
