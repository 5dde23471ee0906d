"""Nodes of the catalog that no agent runs on: what external services are registered on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import ClassVar, Final

from reconciler.kinds.consul._catalog import check_address, checks_of_the_node, is_agent, node_address, nodes_with_services, service_address
from reconciler.kinds.consul._filed import documents
from reconciler.kinds.consul._free import FreeMapRules
from reconciler.kinds.consul._order import planned
from reconciler.kinds.consul._registrations import registrations
from reconciler.manifest.loaded import LoadedManifest
from reconciler.manifest.models import ExternalService
from reconciler.model.address import Address
from reconciler.model.field_rules import FieldRules
from reconciler.model.importing import Expression, Found
from reconciler.model.kind import Operation, Order, Permission, TransactionalKind, Wanted
from reconciler.model.resource import CONSUL, Desired, Live, OnRemoval, SystemType
from reconciler.model.value import JSON, Value
from reconciler.systems.consul.client import Consul
from reconciler.systems.consul.reader import ConsulReader


class ExternalNode:
    """``external-node/NODE``. Fields: ``address``, and ``meta``, a free map. Several external services can lie on one node, and agree about it."""

    name: ClassVar[str] = "external-node"
    system: ClassVar[SystemType] = "consul"
    covers: ClassVar[frozenset[str]] = frozenset()
    rules: ClassVar[FieldRules] = FreeMapRules(free=frozenset({("meta",)}))
    replaces: ClassVar[bool] = False

    def address(self, *segments: str) -> Address:
        """Consul folds the case of node names."""
        return node_address(*segments)

    def declare(self, manifest: LoadedManifest) -> list[Desired]:
        """The nodes that ``external_services`` names; entries that name one node agree about it, which the manifest's own rules see to."""
        by_node: dict[Address, list[tuple[str, ExternalService]]] = {}
        for label, entry in manifest.manifest.external_services.items():
            by_node.setdefault(node_address(entry.node), []).append((label, entry))
        return [_declared(manifest, address, entries) for address, entries in by_node.items()]

    def permissions(self, wanted: Wanted, *, write: bool) -> Iterator[Permission]:
        """The node, and reading what lies on it would be hidden without ``service:read``; that is asked for by the services themselves."""
        node = wanted.address.segments[0]
        yield Permission("node", node, "read", wanted.address)
        if write:
            yield Permission("node", node, "write", wanted.address)

    def read(self, system: ConsulReader, wanted: Sequence[Wanted]) -> list[Live]:
        """Two lists: one has the nodes' indexes, the other what lies on them."""
        nodes = {node["Node"].lower(): node for node in system.nodes()}
        services = nodes_with_services(system)
        found = [(want.address, nodes.get(want.address.identity[0]), services.get(want.address.identity[0], {})) for want in wanted]
        return [_live(address, node, contents) for address, node, contents in found if node is not None]

    def create_operations(self, order: Order) -> list[Operation]:
        """Written if there is no such node."""
        return [_operation("cas", {"Node": order.address.segments[0], **_body(order), "ModifyIndex": 0})]

    def update_operations(self, order: Order) -> list[Operation]:
        """Written if nobody has written the node since it was read. It is written whole, so all else of it is taken from what was read."""
        return [_operation("cas", {**planned(order).raw, **_body(order)})]

    def delete_operations(self, live: Live) -> list[Operation]:
        """Removed if nobody has written the node since it was read. What still lies on it would go too: see :meth:`hindrance`."""
        return [_operation("delete-cas", {"Node": live.raw["Node"], "ModifyIndex": live.revision})]

    def hindrance(self, system: Consul, live: Live) -> str:
        """A node is only deleted when nothing lies on it; services and checks do not touch the node's index, so this is asked just before."""
        node = live.raw["Node"]
        contents = system.node_services(node) or {}
        found = [f"service {service['ID']!r}" for service in contents.get("Services") or ()]
        found += [f"check {check_id!r}" for check_id in checks_of_the_node(system.node_checks(node))]
        return f"not empty ({min(found)}{' and others' if len(found) > 1 else ''})" if found else ""

    def find(self, system: ConsulReader) -> list[Live]:
        """Every node that no agent runs on."""
        live = self.read(system, [Wanted(self.address(node["Node"]), "") for node in system.nodes() if not node.get("PeerName")])
        return [one for one in live if not one.foreign]

    def express(self, live: Live, found: Found) -> Expression | None:  # noqa: ARG002  # it refers to nothing
        """The entries of its services say what it is; without one it cannot be said."""
        if any(occupant.kind == "external-service" for occupant in live.occupants):
            return None
        return Expression(why_not="no service lies on it, and a node is only declared with one")

    def in_file(self, file: str, text: str) -> list[Live]:  # noqa: ARG002  # the text says it all
        """The nodes that bodies of a registration would make. Raises ValueError when the file is neither HCL nor JSON."""
        return [
            _live(self.address(node["Node"]), {"CreateIndex": 0, "ModifyIndex": 0, **node}, {"Services": services, "Checks": node["Checks"]})
            for node, services in registrations(documents(text))
        ]


def _declared(manifest: LoadedManifest, address: Address, entries: list[tuple[str, ExternalService]]) -> Desired:
    label, model = entries[0]
    fields: dict[str, Value] = {"address": model.address}
    if model.node_meta is not None:
        fields["meta"] = dict(model.node_meta)
    return Desired(
        address,
        CONSUL,
        fields,
        label,
        manifest.place("external_services", label, "node"),
        on_removal=_removal([entry.on_removal for _, entry in entries]),
        protect=any(entry.protect for _, entry in entries),
        adopt=any(entry.adopt for _, entry in entries),
    )


def _removal(choices: list[OnRemoval | None]) -> OnRemoval | None:
    """What the entries on a node say together: one that is to stay keeps the node; to delete it takes them all."""
    if OnRemoval.RETAIN in choices:
        return OnRemoval.RETAIN
    return OnRemoval.DELETE if all(choice is OnRemoval.DELETE for choice in choices) else None


def _live(address: Address, node: Mapping[str, JSON], contents: Mapping[str, JSON]) -> Live:
    return Live(
        address,
        {"address": node["Address"], "meta": node.get("Meta") or {}},
        incarnation="@",
        created_index=node["CreateIndex"],
        revision=node["ModifyIndex"],
        occupants=frozenset(
            [
                *(service_address(node["Node"], service["ID"]) for service in contents.get("Services") or ()),
                *(check_address(node["Node"], check_id) for check_id in checks_of_the_node(contents.get("Checks") or ())),
            ]
        ),
        foreign="is the node of a Consul agent" if is_agent(contents) else "",
        raw=node,
    )


def _operation(verb: str, node: Mapping[str, JSON]) -> Operation:
    return {"Node": {"Verb": verb, "Node": dict(node)}}


def _body(order: Order) -> dict[str, JSON]:
    return {"Address": order.fields["address"], "Meta": dict(order.fields.get("meta") or {})}


KIND: Final[TransactionalKind] = ExternalNode()
