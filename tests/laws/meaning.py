"""What is live by its meaning: without identifiers, indexes, times and secrets, so that the same manifest always leaves the same."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

from tests.laws.mesh import Mesh

_VOLATILE = frozenset({"CreateIndex", "ModifyIndex", "LockIndex", "Hash", "ID", "SecretID", "CreateTime", "ExpirationTime", "PolicyID"})
# Of what is in Postgres: all servers, then each database.
_CLUSTER = {
    "roles": """SELECT rolname, rolsuper, rolinherit, rolcreaterole, rolcreatedb, rolcanlogin, rolreplication, rolbypassrls, rolconnlimit,
        rolvaliduntil::text, ARRAY(SELECT unnest(setconfig) ORDER BY 1)
        FROM pg_roles LEFT JOIN pg_db_role_setting s ON s.setrole = pg_roles.oid AND s.setdatabase = 0 ORDER BY 1""",
    "members": "SELECT roleid::regrole::text, to_jsonb(m) - '{oid,roleid,member,grantor}'::text[], member::regrole::text FROM pg_auth_members m",
    "databases": "SELECT datname, datdba::regrole::text, datconnlimit, pg_encoding_to_char(encoding), datcollate, datacl::text FROM pg_database",
}
_DATABASE = {
    "schemas": "SELECT nspname, nspowner::regrole::text, nspacl::text FROM pg_namespace",
    "extensions": "SELECT extname, extversion, extnamespace::regnamespace::text FROM pg_extension",
    "defaults": "SELECT defaclrole::regrole::text, defaclnamespace::regnamespace::text, defaclobjtype::text, defaclacl::text FROM pg_default_acl",
    "relations": "SELECT oid::regclass::text, relowner::regrole::text, relacl::text FROM pg_class WHERE relacl IS NOT NULL AND oid >= 16384",
}


def meaning(mesh: Mesh) -> dict[str, Any]:
    """All that is live and not this tool's own bookkeeping."""
    return {**_consul(mesh), **_postgres(mesh)}


def differences(one: dict[str, Any], other: dict[str, Any]) -> list[str]:
    """What only one of two meanings has, a line for each thing."""
    ours, others = ({f"{section}: {text}" for section, rows in meant.items() for text in _texts(rows)} for meant in (one, other))
    return [*(f"- {line}" for line in sorted(ours - others)), *(f"+ {line}" for line in sorted(others - ours))]


def _texts(rows: Any) -> list[str]:
    return [_text(row) for row in (rows.items() if isinstance(rows, dict) else rows)]


def _text(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


def _consul(mesh: Mesh) -> dict[str, Any]:
    names = [node["Node"] for node in mesh.http("GET", "/v1/catalog/nodes")]
    pairs = mesh.http("GET", "/v1/kv/?recurse") or []
    return {
        "policies": [_without(mesh.http("GET", f"/v1/acl/policy/{p['ID']}")) for p in mesh.http("GET", "/v1/acl/policies")],
        "tokens": [_unordered(row) for row in _listed(mesh, "/v1/acl/tokens")],
        "acl roles": [_unordered(row) for row in _listed(mesh, "/v1/acl/roles")],
        "queries": [_meant(row) for row in _listed(mesh, "/v1/query")],
        "config": _config(mesh),
        "nodes": [_without(mesh.http("GET", f"/v1/catalog/node-services/{quote(name)}")) for name in names],
        "checks": [_without(mesh.http("GET", f"/v1/health/node/{quote(name)}")) for name in names],
        "kv": {p["Key"]: (p["Value"], p["Flags"]) for p in pairs if not p["Key"].startswith("reconciler/")},
    }


def _config(mesh: Mesh) -> list[Any]:
    """But for what Consul writes itself, when it likes."""
    entries = _listed(mesh, "/v1/config/")
    return [{k: v for k, v in entry.items() if k != "Status"} for entry in entries if entry["Kind"] != "bound-api-gateway"]


def _postgres(mesh: Mesh) -> dict[str, Any]:
    found: dict[str, Any] = {name: sorted(mesh.sql(text), key=str) for name, text in _CLUSTER.items()}
    for database in [row[0] for row in found["databases"] if row[0] not in ("template0", "template1")]:
        found[f"in {database}"] = {name: sorted(mesh.sql(text, database), key=str) for name, text in _DATABASE.items()}
    return found


def _listed(mesh: Mesh, path: str) -> list[Any]:
    return sorted((_without(row) for row in mesh.http("GET", path)), key=_text)


def _unordered(row: dict[str, Any]) -> dict[str, Any]:
    """With lists in an order of their own: in ACLs all are sets."""
    return {key: sorted(value, key=_text) if isinstance(value, list) else value for key, value in row.items()}


def _meant(value: Any) -> Any:
    """A query without what is empty, which Consul gives back as it was sent, or not at all; its lists of tags and datacenters in an order."""
    if isinstance(value, dict):
        return {key: meant for key, inner in value.items() if (meant := _meant(inner)) not in (None, "", 0, False, [], {})}
    return sorted((_meant(row) for row in value), key=_text) if isinstance(value, list) else value


def _without(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _without(v) for k, v in value.items() if k not in _VOLATILE}
    return [_without(v) for v in value] if isinstance(value, list) else value
