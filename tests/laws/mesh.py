"""A Consul and a Postgres under test, as this tool sees them, and as somebody else does who changes things behind its back."""

from __future__ import annotations

import base64
import io
import os
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

from ruamel.yaml import YAML

from reconciler.engine.operations import Connections, Options, apply, drift, plan
from reconciler.manifest.loading import load
from reconciler.model.change import Plan
from reconciler.model.outcome import Outcome
from tests.servers.certificates import two_pairs
from tests.servers.consul import ConsulServer
from tests.servers.mesh_node import MeshNode
from tests.servers.postgres import PostgresServer

_ROLES = """SELECT a.oid, a.rolname, a.rolpassword, a.rolcanlogin, a.rolconnlimit, s.setconfig
  FROM pg_authid a LEFT JOIN pg_db_role_setting s ON s.setrole = a.oid ORDER BY 1"""

_MEMBERSHIPS = "SELECT roleid, member, grantor, admin_option, inherit_option, set_option FROM pg_auth_members ORDER BY 1, 2, 3"
_INSIDE = (
    "SELECT oid, nspname, nspowner, nspacl::text FROM pg_namespace WHERE nspname !~ '^pg_' ORDER BY 1",
    "SELECT oid, relname, relowner, relacl::text FROM pg_class WHERE oid >= 16384 ORDER BY 1",
    "SELECT oid, extname, extversion, extnamespace FROM pg_extension ORDER BY 1",
    "SELECT oid, defaclrole, defaclnamespace, defaclobjtype, defaclacl::text FROM pg_default_acl ORDER BY 1",
    "SELECT datacl::text FROM pg_database WHERE datname = current_database()",
)
_QUERIES = {
    "roles": _ROLES,
    "memberships": _MEMBERSHIPS,
    "databases": "SELECT oid, datname, datdba, datconnlimit FROM pg_database ORDER BY 1",
    **{f"inside {number}": query for number, query in enumerate(_INSIDE)},
}


@dataclass
class Mesh:
    """Both servers, and a folder for manifests. ``environment`` is what a person would have exported."""

    consul: ConsulServer
    postgres: PostgresServer
    folder: Path
    environment: dict[str, str] = field(default_factory=dict)
    policies_read: dict[tuple[str, int], Any] = field(default_factory=dict)
    member: MeshNode | None = None
    """A machine of the mesh, while a test has it."""

    def __post_init__(self) -> None:
        two_pairs()  # for specimens that read a key from a file
        self.environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder),
            "LANG": "C.UTF-8",
            **self.consul.environment,
            **self.postgres.environment,
            **self.environment,
        }

    # this tool

    def write(self, manifest: Mapping[str, Any]) -> Path:
        """Write a manifest file; its path."""
        path = self.folder / f"{manifest['name']}.yaml"
        text = io.StringIO()
        YAML(typ="safe").dump({"version": 1, **manifest}, text)
        path.write_text(text.getvalue(), encoding="utf-8")
        return path

    def connections(self, manifest: Mapping[str, Any]) -> Connections:
        return Connections(load([self.write(manifest)]), self.environment)

    def plan(self, manifest: Mapping[str, Any], **options: Any) -> Plan:
        with self.connections(manifest) as connections:
            return plan(connections, Options(**options))

    def apply(self, manifest: Mapping[str, Any], **options: Any) -> tuple[Plan, Outcome | None]:
        with self.connections(manifest) as connections:
            return apply(connections, Options(**options), approve=lambda _: True, progress=lambda _: None, stop=threading.Event())

    def apply_all(self, manifest: Mapping[str, Any], **options: Any) -> Plan:
        """Apply, and insist that everything was done."""
        planned, outcome = self.apply(manifest, **options)
        assert not planned.refusals, [str(r) for r in planned.refusals]
        assert outcome is None or outcome.complete, [(str(r.change.address), r.why) for r in outcome.results if r.why] or outcome
        return planned

    def drift(self, manifest: Mapping[str, Any]) -> Plan:
        with self.connections(manifest) as connections:
            return drift(connections)

    def destroy(self, manifest: Mapping[str, Any], **options: Any) -> Plan:
        return self.apply_all(manifest, destroy=True, **options)

    # somebody else

    @property
    def node(self) -> MeshNode:
        """The machine."""
        assert self.member is not None
        return self.member

    def on(self, script: str, *arguments: str, stdin: str = "") -> str:
        """Run a script of the shell on the machine, as root; what it printed."""
        return self.node.machine.run("sh", "-ec", script, "sh", *arguments, stdin=stdin).stdout

    def is_there(self, path: str) -> bool:
        """Whether there is anything at a path of the machine."""
        return self.node.machine.exists(path)

    def http(self, method: str, path: str, body: Any = None) -> Any:
        """One request to Consul with the management token; the JSON of the answer, None for 404."""
        answer = self.consul.request(method, path, body)
        if answer.status == 404 or (answer.status == 403 and "ACL not found" in answer.body):
            return None
        assert answer.status == 200, f"{method} {path}: {answer.status} {answer.body!r}"
        return answer.body

    def kv(self, key: str) -> str | None:
        pairs = self.http("GET", f"/v1/kv/{quote(key)}")
        return base64.b64decode(pairs[0]["Value"] or "").decode() if pairs else None

    def policy(self, name: str) -> Any:
        return self.http("GET", f"/v1/acl/policy/name/{name}")

    def token(self, description: str) -> Any:
        found = [t for t in self.http("GET", "/v1/acl/tokens") if t["Description"] == description]
        return self.http("GET", f"/v1/acl/token/{found[0]['AccessorID']}") if found else None

    def sql(self, statement: str, database: str = "postgres") -> list[tuple[Any, ...]]:
        """One statement as the superuser."""
        with self.postgres.connect(database) as connection:
            cursor = connection.execute(statement)
            return [tuple(row.values()) for row in cursor.fetchall()] if cursor.description else []

    def everything(self) -> dict[str, Any]:
        """All that is live and not this tool's own bookkeeping, for comparing before with after."""
        keys = self.http("GET", "/v1/kv/?recurse") or []
        return {
            "policies": {p["Name"]: p["Hash"] for p in self.http("GET", "/v1/acl/policies")},
            "tokens": {
                t["AccessorID"]: (t["Description"], t.get("Policies"), t["Hash"], t["CreateIndex"]) for t in self.http("GET", "/v1/acl/tokens")
            },
            "acl_roles": {r["Name"]: r["Hash"] for r in self.http("GET", "/v1/acl/roles")},
            "queries": {q["ID"]: q for q in self.http("GET", "/v1/query")},
            "config": {(e["Kind"], e.get("Name")): _version(e) for e in self.http("GET", "/v1/config/") if e["Kind"] != "bound-api-gateway"},
            "nodes": {n["Node"]: (n["Address"], n["Meta"], [(s["ID"], s["ModifyIndex"]) for s in self._services(n["Node"])]) for n in self._nodes()},
            "machine": (self.node.machine.snapshot(), self.node.services()) if self.member else None,
            "kv": {k["Key"]: (k["Value"], k["Flags"], k["ModifyIndex"]) for k in keys if not k["Key"].startswith("reconciler/lock/")},
            **self._in_postgres(),
        }  # fmt: skip

    def _in_postgres(self) -> dict[str, Any]:
        """The catalogues that all databases share, and those of ``law``; by one login, because logging in takes longer than all the rest."""
        with self.postgres.connect("law") as connection:
            return {name: [tuple(row.values()) for row in connection.execute(query).fetchall()] for name, query in _QUERIES.items()}

    def _nodes(self) -> list[Any]:
        """But for machines: an agent tells Consul of itself and its services a little later, and is asked itself."""
        return [node for node in self.http("GET", "/v1/catalog/nodes") if node["Node"] not in self.consul.spared]

    def _services(self, node: str) -> list[Any]:
        return list(self.http("GET", f"/v1/catalog/node-services/{quote(node)}")["Services"] or [])


def _version(entry: Mapping[str, Any]) -> Any:
    """What changes when somebody writes the config entry; Consul itself writes a status whenever it likes."""
    own = ("Status", "ModifyIndex", "Hash")
    return {key: value for key, value in entry.items() if key not in own} if "Status" in entry else entry["ModifyIndex"]
