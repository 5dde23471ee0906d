"""Everything that is in a Consul and a Postgres, to be compared with the same at another time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tests.servers.consul import ConsulServer
from tests.servers.postgres import PostgresServer

Snapshot = Mapping[str, Any]


def snapshot(consul: ConsulServer, postgres: PostgresServer | None = None) -> Snapshot:
    """Both, with the revisions of all that has one: writing a thing as it was before is a change too."""
    return of_consul(consul) | (of_postgres(postgres) if postgres else {})


def of_consul(consul: ConsulServer) -> dict[str, Any]:
    """The lists of the API; without the health of Consul itself, which changes by the clock."""
    nodes = [n for n in consul.get("/v1/internal/ui/nodes") if n["Node"] != "test-server"]
    return {
        "kv": consul.get("/v1/kv/?recurse=true"),
        "sessions": consul.get("/v1/session/list"),
        "policies": consul.get("/v1/acl/policies"),
        "tokens": consul.get("/v1/acl/tokens"),
        "acl roles": consul.get("/v1/acl/roles"),
        "queries": consul.get("/v1/query"),
        "config entries": consul.get("/v1/config/"),
        "nodes": nodes,
    }


def of_postgres(postgres: PostgresServer) -> dict[str, Any]:
    """The rows of the shared catalogues; ``xmin`` tells a row that was written again."""
    catalogues = ("pg_authid", "pg_database", "pg_auth_members", "pg_db_role_setting", "pg_shdescription")
    with postgres.connect() as connection:
        return {name: connection.execute(f"SELECT xmin, t.* FROM pg_catalog.{name} t ORDER BY t::text").fetchall() for name in catalogues}
