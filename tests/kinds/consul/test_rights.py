"""What each kind says it needs is enough to read and to write, and reading needs no more than it says."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

from reconciler.kinds import all_kinds
from reconciler.model.errors import SystemFault
from reconciler.model.kind import Permission, Wanted
from tests.kinds.consul.workbench import OWNER

SCALARS = ("acl", "mesh", "operator")

ENTRIES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "acl-policy": (
        {"mesh_credentials": {"policies": {"p": {"rules": "", "description": "a"}}}},
        {"mesh_credentials": {"policies": {"p": {"rules": ""}}}},
    ),
    "acl-token": ({"mesh_credentials": {"tokens": {"t": {"description": "a"}}}}, {"mesh_credentials": {"tokens": {"t": {"description": "b"}}}}),
    "acl-role": ({"mesh_credentials": {"roles": {"r": {"description": "a"}}}}, {"mesh_credentials": {"roles": {"r": {"description": "b"}}}}),
    "prepared-query": (
        {"prepared_queries": {"q": {"service": {"service": "a"}}}},
        {"prepared_queries": {"q": {"service": {"service": "b"}}}},
    ),
    "kv": ({"kv": {"a/b": "1"}}, {"kv": {"a/b": "2"}}),
    "external-node": (
        {"external_services": {"s": {"node": "n", "address": "a", "port": 1}}},
        {"external_services": {"s": {"node": "n", "address": "b", "port": 1}}},
    ),
    "external-service": (
        {"external_services": {"s": {"node": "n", "address": "a", "port": 1, "checks": {"c": {"tcp": "a:1"}}}}},
        {"external_services": {"s": {"node": "n", "address": "a", "port": 2, "checks": {"c": {"tcp": "a:2"}, "d": {"tcp": "a:3"}}}}},
    ),
    "defaults": (
        {"config_entries": [{"Kind": "service-defaults", "Name": "s", "Protocol": "tcp"}]},
        {"config_entries": [{"Kind": "service-defaults", "Name": "s", "Protocol": "http"}]},
    ),
    "intentions": ({"intentions": {"s": {"a": "allow"}}}, {"intentions": {"s": {"a": "deny"}}}),
    "gateway": ({"terminating_gateways": {"g": {"services": {"s": {}}}}}, {"terminating_gateways": {"g": {"services": {}}}}),
}


def rules_for(permissions: Iterable[Permission]) -> str:
    """The smallest rules that grant these permissions."""
    strongest: dict[tuple[str, str], str] = {}
    for p in permissions:
        if strongest.get((p.resource, p.segment)) != "write":
            strongest[p.resource, p.segment] = p.access
    services = {segment for resource, segment in strongest if resource in ("service", "intention")}
    lines = [f'{resource} = "{access}"' for (resource, _), access in strongest.items() if resource in SCALARS]
    lines += [f'{r} "{s}" {{ policy = "{access}" }}' for (r, s), access in strongest.items() if r not in (*SCALARS, "service", "intention")]
    for name in services:
        intentions = strongest.get(("intention", name), "deny")
        lines.append(f'service "{name}" {{ policy = "{strongest.get(("service", name), "deny")}" intentions = "{intentions}" }}')
    return "\n".join(lines)


@pytest.mark.parametrize("name", ENTRIES)
def test_the_rights_that_are_asked_for_are_enough(bench, name):
    kind = all_kinds()[name if name in all_kinds() else "config-entry"]
    desired, changed = (bench.declare_one(kind.name, **sections) for sections in ENTRIES[name])
    if name == "external-service":
        bench.create(bench.declare_one("external-node", **ENTRIES[name][0]))
    want = Wanted(desired.address, OWNER, desired)
    reader, writer = (bench.as_token(rules_for(kind.permissions(want, write=write))) for write in (False, True))
    with reader, writer:
        assert bench.read([want], writer) == {}
        bench.create(desired, writer)
        assert bench.read([want], reader)[desired.address].fields == bench.there(desired).fields
        bench.update(changed, client=writer, live=bench.read([want], writer)[desired.address])
        assert bench.differences(changed) == []
        with pytest.raises(SystemFault):
            bench.delete(desired, reader)
        bench.delete(desired, writer)
        assert bench.live(desired) is None
