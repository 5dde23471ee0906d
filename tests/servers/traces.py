"""What there is in Consul and in Postgres, by name: to be compared with what there was before."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from tests.servers.consul import ConsulServer
from tests.servers.postgres import PostgresServer


@dataclass(frozen=True, slots=True)
class Traces:
    """Names, by what they are of."""

    names: dict[str, frozenset[str]]

    @classmethod
    def of(cls, consul: ConsulServer, *servers: PostgresServer) -> Self:
        """All that a manifest can have made in them."""
        get = consul.get
        found = {
            "KV entries": list(consul.keys()),
            "ACL policies": [policy["Name"] for policy in get("/v1/acl/policies")],
            "ACL tokens": [f"{token['AccessorID']} {token['Description']}" for token in get("/v1/acl/tokens")],
            "config entries": [f"{entry['Kind']}/{entry.get('Name', '')}" for entry in get("/v1/config/")],
            "nodes": [node["Node"] for node in get("/v1/catalog/nodes")],
            "services": list(get("/v1/catalog/services")),
            "roles": [f"{row['rolname']} on port {server.port}" for server in servers for row in server.query("SELECT rolname FROM pg_roles")],
            "databases": [f"{row['datname']} on port {server.port}" for server in servers for row in server.query("SELECT datname FROM pg_database")],
        }
        return cls({what: frozenset(names) for what, names in found.items()})

    def since(self, before: Traces) -> Traces:
        """What was not there before, and what is there no more."""
        return Traces({what: names ^ before.names[what] for what, names in self.names.items()})

    @property
    def are_none(self) -> bool:
        """Whether nothing differs."""
        return not any(self.names.values())

    def __str__(self) -> str:
        return ", ".join(f"{len(names)} {what}" for what, names in self.names.items())
