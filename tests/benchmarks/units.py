"""A manifest of N units: what one integration of an external service takes, N times.

A unit is 1 ACL policy, 1 token linked to it, 1 external node and service, 1 terminating-gateway entry, 1 service-intentions entry, 3 KV keys,
1 role with password, and 1 database owned by it.
"""

from __future__ import annotations

import json
from typing import Any


def manifest(count: int, name: str = "bench") -> dict[str, Any]:
    """The manifest as plain data; everything in it begins with ``name``."""

    def rules(u: str) -> dict[str, Any]:
        return {"key_prefix": {f"{u}/": "read"}, "node_prefix": {"": "read"}, "service": {f"{u}-gw": "write", u: "write"}}

    units = [f"{name}-{i:03}" for i in range(count)]
    return {
        "version": 1,
        "name": name,
        "mesh_credentials": {
            "policies": {u: {"description": f"Policy for {u}", "rules": rules(u)} for u in units},
            "tokens": {u: {"description": f"Token for {u}", "policies": [u]} for u in units},
        },
        "terminating_gateways": {f"{u}-gw": {"services": {u: {}}} for u in units},
        "external_services": {
            u: {"node": f"{u}-node", "address": "db.example.com", "port": 5432, "node_meta": {"external-node": "true"}} for u in units
        },
        "intentions": {u: {f"{u}-client": "allow"} for u in units},
        "kv": {
            key: value
            for u in units
            for key, value in ((f"{u}/db-name", u), (f"{u}/db-username", u), (f"{u}/db-password", {"generate": {"bytes": 16, "encoding": "hex"}}))
        },
        "db_roles": {u: {"login": True, "password": {"kv": f"{u}/db-password"}} for u in units},
        "databases": {u: {"owner": u} for u in units},
    }  # fmt: skip


def text(count: int, name: str = "bench") -> str:
    """The manifest as a file's text. JSON is YAML."""
    return json.dumps(manifest(count, name), indent=1)
