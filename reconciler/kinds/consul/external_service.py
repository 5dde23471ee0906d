"""Services outside the mesh, registered in the catalog."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Final

from reconciler.kinds.consul import _checks
from reconciler.kinds.consul._catalog import is_agent, node_address, nodes_with_services, service_address
from reconciler.kinds.consul._external_entry import expressed
from reconciler.kinds.consul._filed import documents, what_it_is
from reconciler.kinds.consul._free import FreeMapRules
from reconciler.kinds.consul._order import planned
from reconciler.kinds.consul._registrations import registrations
from reconciler.manifest.loaded import LoadedManifest
from reconciler.manifest.models import ExternalService as Entry
from reconciler.model.address import Address
from reconciler.model.diagnostic import Diagnostic
from reconciler.model.errors import ManifestError
from reconciler.model.field_rules import FieldRules
from reconciler.model.importing import Expression, Found
from reconciler.model.kind import Operation, Order, Permission, TransactionalKind, Wanted
from reconciler.model.resource import CONSUL, Desired, Hold, Live, SystemType
from reconciler.model.value import JSON, Path, Value
from reconciler.systems.consul.client import Consul
from reconciler.systems.consul.reader import ConsulReader


@dataclass(frozen=True, slots=True)
class _ServiceRules(FreeMapRules):
    """Checks are compared one by one, by the rules of :mod:`_checks`; the case of their IDs means nothing."""

    def same(self, path: Path, one: Value, other: Value) -> bool:
        if path == ("checks",) and isinstance(one, Mapping) and isinstance(other, Mapping):
            ours, theirs = ({check_id.lower(): check for check_id, check in checks.items()} for checks in (one, other))
            return ours.keys() == theirs.keys() and all(_checks.same(check, theirs[check_id]) for check_id, check in ours.items())
        return FreeMapRules.same(self, path, one, other)


class ExternalService:
    """``external-service/NODE/ID``. Fields: ``service``, ``port``, ``service_address``, ``tags``, ``meta`` (a free map) and ``checks`` by ID.

    The checks belong wholly to the manifest once it sets them. A service is always written whole, so what the manifest has no word for (weights,
    tagged addresses) is written as it was read.
    """

    name: ClassVar[str] = "external-service"
    system: ClassVar[SystemType] = "consul"
    covers: ClassVar[frozenset[str]] = frozenset({"external_services"})
    rules: ClassVar[FieldRules] = _ServiceRules(whole=frozenset({("checks",)}), free=frozenset({("meta",)}))
    replaces: ClassVar[bool] = False

    def address(self, *segments: str) -> Address:
        """Consul folds the case of node names and service IDs."""
        return service_address(*segments)

    def declare(self, manifest: LoadedManifest) -> list[Desired]:
        """The entries of ``external_services``. Raises ManifestError for checks that Consul would not store."""
        entries = manifest.manifest.external_services
        faults = [fault for label, entry in entries.items() for fault in _lost_fields(manifest, label, entry)]
        if faults:
            raise ManifestError(faults)
        return [_declared(manifest, label, entry) for label, entry in entries.items()]

    def permissions(self, wanted: Wanted, *, write: bool) -> Iterator[Permission]:
        """The service by its name, which for one that leaves only the record knows; and reading its node, without which it is hidden."""
        fields = [wanted.desired.fields] if wanted.desired else []
        fields += [wanted.record.specification] if wanted.record else []
        yield Permission("node", wanted.address.segments[0], "read", wanted.address)
        for name in sorted({str(f["service"]) for f in fields if "service" in f}):
            yield Permission("service", name, "read", wanted.address)
            if write:
                yield Permission("service", name, "write", wanted.address)

    def read(self, system: ConsulReader, wanted: Sequence[Wanted]) -> list[Live]:
        """One list of all nodes, with their services and checks."""
        nodes = nodes_with_services(system)
        services = {(name, service["ID"].lower()): (node, service) for name, node in nodes.items() for service in node.get("Services") or ()}
        found = [(want.address, services.get((want.address.identity[0], want.address.identity[1]))) for want in wanted]
        takers = {check: w.address for w in wanted if w.desired is not None for check in _checks_on_node(w.address, w.desired.fields)}
        return [_with_holds(_live(address, *there), takers) for address, there in found if there is not None]

    def create_operations(self, order: Order) -> list[Operation]:
        """Written if there is no such service on the node, nor such checks."""
        node, service_id = order.address.segments
        checks = [
            _checks.create(node, service_id, order.fields["service"], check_id, check)
            for check_id, check in (order.fields.get("checks") or {}).items()
        ]
        return [_operation("cas", node, {"ID": service_id, **_body(order), "ModifyIndex": 0}), *checks]

    def update_operations(self, order: Order) -> list[Operation]:
        """Written if nobody has written the service, or those of its checks that change, since they were read. The node is not touched."""
        raw = planned(order).raw
        return [_operation("cas", raw["Node"], {**raw["Service"], **_body(order)}), *_check_operations(order)]

    def delete_operations(self, live: Live) -> list[Operation]:
        """Removed, with its checks, if nobody has written it since it was read."""
        service = {key: live.raw["Service"][key] for key in ("ID", "Service", "ModifyIndex")}
        return [_operation("delete-cas", live.raw["Node"], service)]

    def hindrance(self, system: Consul, live: Live) -> str:  # noqa: ARG002  # nodes look at them
        """Nothing hinders."""
        return ""

    def find(self, system: ConsulReader) -> list[Live]:
        """Every service on a node that no agent runs on."""
        nodes = [node for node in nodes_with_services(system).values() if not is_agent(node)]
        return [_live(service_address(n["Node"], s["ID"]), n, s) for n in nodes for s in n.get("Services") or ()]

    def express(self, live: Live, found: Found) -> Expression:
        """It and its node, under its name when no other has it."""
        return expressed(live, found)

    def in_file(self, file: str, text: str) -> list[Live]:  # noqa: ARG002  # the text says it all
        """The body of a registration with ``/v1/catalog/register``. Raises ValueError when the file is neither HCL nor JSON."""
        return [
            _live(service_address(node["Node"], service["ID"]), node, service)
            for node, services in registrations(documents(text))
            for service in services
        ]

    def what_else(self, text: str) -> str:
        """Whether it is for a local agent: services outside the mesh are often taken for such."""
        return what_it_is(text)


def _lost_fields(manifest: LoadedManifest, label: str, entry: Entry) -> Iterator[Diagnostic]:
    subject = service_address(entry.node, entry.id or entry.service or label)
    for check_label, check in (entry.checks or {}).items():
        for key in _checks.DROPPED:
            if getattr(check, key) is not None:
                where = manifest.place("external_services", label, "checks", check_label, key)
                yield Diagnostic(where, f"{subject}.checks.{check_label}.{key}", "is not stored by Consul for external services", "remove it")


def _declared(manifest: LoadedManifest, label: str, entry: Entry) -> Desired:
    service = entry.service or label
    fields: dict[str, Value] = {"service": service, "port": entry.port}
    if entry.service_address is not None:
        fields["service_address"] = entry.service_address
    if entry.tags is not None:
        fields["tags"] = sorted(set(entry.tags))
    if entry.meta is not None:
        fields["meta"] = dict(entry.meta)
    if entry.checks is not None:
        fields["checks"] = {check.id or check_label: _checks.declared(check, check_label) for check_label, check in entry.checks.items()}
    return Desired(
        service_address(entry.node, entry.id or service),
        CONSUL,
        fields,
        label,
        manifest.place("external_services", label),
        needs=frozenset({node_address(entry.node)}),
        on_removal=entry.on_removal,
        protect=entry.protect,
        adopt=entry.adopt,
    )


def _live(address: Address, node: Mapping[str, JSON], service: Mapping[str, JSON]) -> Live:
    checks = [check for check in node.get("Checks") or () if check["ServiceID"].lower() == service["ID"].lower()]
    fields = {
        "service": service["Service"],
        "port": service.get("Port") or 0,
        "service_address": service.get("Address") or "",
        "tags": sorted(set(service.get("Tags") or ())),
        "meta": service.get("Meta") or {},
        "checks": {check["CheckID"]: _checks.live(check) for check in checks},
    }
    return Live(
        address,
        fields,
        incarnation="@",
        created_index=service["CreateIndex"],
        revision=service["ModifyIndex"],
        foreign="lies on the node of a Consul agent, which removes what it does not know" if is_agent(node) else "",
        raw={"Node": node["Node"], "Service": service, "Checks": checks},
    )


def _checks_on_node(service: Address, fields: Mapping[str, Value]) -> set[tuple[str, str]]:
    """The checks of a service by node and ID, of which Consul takes one of each, in any case."""
    checks = fields.get("checks")
    return {(service.identity[0], check_id.lower()) for check_id in checks} if isinstance(checks, Mapping) else set()


def _with_holds(live: Live, takers: Mapping[tuple[str, str], Address]) -> Live:
    """A service that has a check which another one is to have must give it up first."""
    holds: set[Hold] = set()
    for check in sorted(_checks_on_node(live.address, live.fields)):
        taker = takers.get(check, live.address)
        if taker != live.address:
            what = f"{taker} to have no check {check[1]}"
            holds.add(Hold(frozenset({taker}), what, lambda w, s=taker, c=check: c not in _checks_on_node(s, w(s) or {})))  # type: ignore[misc]
    return replace(live, stands_on=frozenset(holds)) if holds else live


def _check_operations(order: Order) -> Iterator[Operation]:
    live = planned(order)
    node, service_id = live.raw["Node"], live.raw["Service"]["ID"]
    there = {check["CheckID"].lower(): check for check in live.raw["Checks"]}
    wanted: Mapping[str, Any] = {check_id.lower(): (check_id, check) for check_id, check in (order.fields.get("checks") or {}).items()}
    # checks repeat the service's name and tags, and do not follow them by themselves
    renamed = any((order.fields.get(key) or []) != live.fields[key] for key in ("service", "tags"))
    for key, (check_id, check) in wanted.items():
        if key not in there:
            yield _checks.create(node, service_id, order.fields["service"], check_id, check)
        elif renamed or not _checks.same(check, _checks.live(there[key])):
            yield _checks.update(there[key], order.fields["service"], check)
    for key, raw in there.items():
        if key not in wanted:
            yield _checks.delete(raw)


def _operation(verb: str, node: str, service: Mapping[str, JSON]) -> Operation:
    return {"Service": {"Verb": verb, "Node": node, "Service": dict(service)}}


def _body(order: Order) -> dict[str, JSON]:
    return {
        "Service": order.fields["service"],
        "Port": order.fields["port"],
        "Address": order.fields.get("service_address") or "",
        "Tags": list(order.fields.get("tags") or ()),
        "Meta": dict(order.fields.get("meta") or {}),
    }


KIND: Final[TransactionalKind] = ExternalService()
