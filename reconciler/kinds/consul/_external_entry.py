"""External services as entries of a manifest, which say of their node, too, what there is to say."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from reconciler.kinds.consul._catalog import node_address
from reconciler.manifest.models import HealthCheck
from reconciler.model.importing import Expression, Found
from reconciler.model.resource import Live
from reconciler.model.value import JSON

_CHECK_FIELDS: Final = frozenset(HealthCheck.model_fields)
_LEFT_OUT: Final[Mapping[str, JSON]] = {"Weights": {"Passing": 1, "Warning": 1}, "EnableTagOverride": False, "TaggedAddresses": {}}
"""What a registration has besides, and that Consul fills in so."""


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
    left = sorted(key for key, usual in _LEFT_OUT.items() if raw.get(key) and raw[key] != usual)
    notes = [f"{', '.join(left)}: not said here, and left as it is"] if left else []
    notes += ["its checks have parts that a manifest has no word for: not said here, and left as they are"] if checks is None else []
    body = {key: value for key, value in said.items() if value or key == "port"}
    return Expression(("external_services",), label, body, (service,), also=(node.address,), notes=tuple(notes))


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
