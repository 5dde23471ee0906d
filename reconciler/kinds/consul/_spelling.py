"""Keys as Consul reads them: ``MeshGateway``, ``meshgateway`` and ``mesh_gateway`` are one."""

from __future__ import annotations

from collections.abc import Mapping

from reconciler.model.value import JSON


def get(value: JSON, key: str) -> JSON:
    """The value of ``key``, which is folded, in whatever spelling it stands; None where there is none."""
    return next((v for k, v in value.items() if folded(k) == key), None) if isinstance(value, Mapping) else None


def folded(key: str) -> str:
    """A key without case and underscores."""
    return key.replace("_", "").lower()
