"""External services as entries of a manifest, which say of their node, too, what there is to say."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from reconciler.kinds.consul._catalog import node_address
from reconciler.manifest.models import HealthCheck
from reconciler.model.importing import Expression, Found, left_as_it_is
from reconciler.model.resource import Live
from reconciler.model.value import JSON

_CHECK_FIELDS: Final = frozenset(HealthCheck.model_fields)
_SAID: Final = frozenset(
    {"ID", "Service", "Kind", "Port", "Address", "Meta", "Tags", "PeerName", "CreateIndex", "ModifyIndex", "RaftIndex", "Datacenter", "Node"}
)
_USUAL: Final[Mapping[str, JSON]] = {"Weights": {"Passing": 1, "Warning": 1}}
"""What Consul fills in."""

_VIRTUAL: Final = "consul-virtual"
"""The address that Consul gives a service in the mesh."""


def expressed(live: Live, found: Found) -> Expression:
    """The entry of one service, under its name when no other has it."""
    service, raw = live.fields["service"], live.raw["Service"]
    node = found.live.get(node_address(live.raw["Node"]))
    if node is None:
        return Expression(services=(service,), why_not="its node may not be read")
    if raw.get("Kind"):
        return Expression(services=(service,), why_not=f"it is a {raw['Kind']}, not a service outside the mesh")
    label = _label(live, found)
    meta = node.fields["meta"]
    checks = _checks(live.fields["checks"], is_probed=meta.get("external-probe") == "true")
    said = {
        "service": service if service != label else "",
        "node": live.raw["Node"],
        "address": node.fields["address"],
        "port": live.fields["port"],
        "id": raw["ID"] if raw["ID"] != service else "",
        "service_address": live.fields["service_address"],
        "node_meta": dict(meta),
        "meta": dict(live.fields["meta"]),
        "tags": live.fields["tags"],
        "checks": checks or {},
    }
    unsaid = [f"its {', '.join(besides)}"] if (besides := _besides(raw)) else []
    unsaid += ["its checks, which have parts that a manifest has no word for"] if checks is None else []
    if live.address == min(a for a in node.occupants or {live.address} if a.kind == live.address.kind):
        unsaid += _unsaid_of_node(node)
    body = {key: value for key, value in said.items() if value or key == "port"}
    return Expression(("external_services",), label, body, (service,), also=(node.address,), notes=tuple(map(left_as_it_is, unsaid)))


def _besides(raw: Mapping[str, JSON]) -> list[str]:
    """What a service has that Consul has not filled in, and that a manifest has no word for."""
    tagged = {tag: address for tag, address in (raw.get("TaggedAddresses") or {}).items() if tag != _VIRTUAL}
    parts = {**raw, "TaggedAddresses": tagged}
    return sorted(key for key, value in parts.items() if key not in _SAID and _says_something(value) and value != _USUAL.get(key))


def _unsaid_of_node(node: Live) -> list[str]:
    """The same of its node, and the checks of the node itself."""
    checks = sorted(address.segments[1] for address in node.occupants if address.kind != "external-service")
    parts = [key for key in ("ID", "TaggedAddresses", "Locality") if _says_something((node.raw or {}).get(key))]
    return [f"of its node, {what}" for what in (*parts, *(f"the check {check_id}" for check_id in checks))]


def _says_something(value: JSON) -> bool:
    return any(map(_says_something, value.values())) if isinstance(value, Mapping) else bool(value)


def _label(live: Live, found: Found) -> str:
    service, node = live.fields["service"], live.raw["Node"]
    namesakes = [one for one in found.of_kind("external-service") if one.fields["service"] == service]
    if len(namesakes) < 2:
        return str(service)
    there = [one for one in namesakes if one.raw["Node"] == node]
    return f"{service}@{node}" if len(there) == 1 else f"{service}@{node}/{live.raw['Service']['ID']}"


def _checks(checks: Mapping[str, Mapping[str, Any]], *, is_probed: bool) -> dict[str, Any] | None:
    """The checks by ID; None when the manifest has no word for a part of one. consul-esm writes the state of what it probes."""
    if any(check.keys() - _CHECK_FIELDS for check in checks.values()):
        return None
    return {
        check_id: {
            key: value for key, value in check.items() if not (key == "name" and value == check_id) and not (key == "status" and is_probed)
        }
        for check_id, check in checks.items()
    }  # fmt: skip
