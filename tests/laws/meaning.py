"""What is live by its meaning: without identifiers, indexes, times and secrets, so that the same manifest always leaves the same."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import stat
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.laws.mesh import Mesh

# An ACL that nobody wrote means the same as one that says what is granted by default; the order of an ACL means nothing.
_ACL = "ARRAY(SELECT a::text FROM unnest(coalesce({0}, acldefault('{1}', {2}))) a ORDER BY 1)"
_DATABASE_ACL, _SCHEMA_ACL = _ACL.format("datacl", "d", "datdba"), _ACL.format("nspacl", "n", "nspowner")
_VOLATILE = frozenset({"CreateIndex", "ModifyIndex", "LockIndex", "Hash", "ID", "SecretID", "CreateTime", "ExpirationTime", "PolicyID"})
# Of what is in Postgres: all servers, then each database.
_CLUSTER = {
    "roles": """SELECT rolname, rolsuper, rolinherit, rolcreaterole, rolcreatedb, rolcanlogin, rolreplication, rolbypassrls, rolconnlimit,
        rolvaliduntil::text, ARRAY(SELECT unnest(setconfig) ORDER BY 1)
        FROM pg_roles LEFT JOIN pg_db_role_setting s ON s.setrole = pg_roles.oid AND s.setdatabase = 0 ORDER BY 1""",
    "members": "SELECT roleid::regrole::text, to_jsonb(m) - '{oid,roleid,member,grantor}'::text[], member::regrole::text FROM pg_auth_members m",
    "databases": f"SELECT datname, datdba::regrole::text, datconnlimit, pg_encoding_to_char(encoding), datcollate, {_DATABASE_ACL} FROM pg_database",
}
_DATABASE = {
    "schemas": f"SELECT nspname, nspowner::regrole::text, {_SCHEMA_ACL} FROM pg_namespace",
    "extensions": "SELECT extname, extversion, extnamespace::regnamespace::text FROM pg_extension",
    "defaults": """SELECT defaclrole::regrole::text, defaclnamespace::regnamespace::text, defaclobjtype::text,
        ARRAY(SELECT a::text FROM unnest(defaclacl) a ORDER BY 1) FROM pg_default_acl""",
    "relations": "SELECT oid::regclass::text, relowner::regrole::text, relacl::text FROM pg_class WHERE relacl IS NOT NULL AND oid >= 16384",
}


def meaning(mesh: Mesh, inside: str = "") -> dict[str, Any]:
    """All that is live; of this tool's own bookkeeping only which records there are. ``inside``: look only into databases whose name begins so."""
    return {**_consul(mesh), **_postgres(mesh, inside)}


def meaning_of(mesh: Mesh, manifest: Mapping[str, Any]) -> dict[str, Any]:
    """The same while ``manifest`` is applied, with its files. What it lets be generated counts as that; its secrets must fit one another."""
    found = meaning(mesh, manifest["name"])
    found["files"] = {str(path): stat.S_IMODE(path.stat().st_mode) for path in files_of(manifest["name"])}
    found["secrets"] = _fitting(mesh, manifest)
    found["kv"] |= {key: ("(generated)", found["kv"][key][1]) for key in manifest.get("kv", {}) if _is_generated(manifest["kv"], key)}
    return found


def files_of(name: str) -> list[Path]:
    """The files that were made for the manifest of this name."""
    return sorted(Path(tempfile.gettempdir()).glob(f"{name}-*"))


def _is_generated(entries: Mapping[str, Any], key: str) -> bool:
    value = entries.get(key)
    value = value.get("value", value) if isinstance(value, dict) else value
    return isinstance(value, dict) and ("generate" in value or _is_generated(entries, value.get("kv", "")))


def _fitting(mesh: Mesh, manifest: Mapping[str, Any]) -> dict[str, Any]:
    """For each role whether its password is the one that the manifest means; for each token which files hold it."""
    verifiers = dict(mesh.sql("SELECT rolname, rolpassword FROM pg_authid"))
    passwords = {role.get("name", label): role.get("password") for label, role in manifest.get("db_roles", {}).items()}
    meant = {name: mesh.kv(password["kv"]) if isinstance(password, dict) else password for name, password in passwords.items()}
    tokens = {token["SecretID"]: token["AccessorID"] for token in mesh.http("GET", "/v1/acl/tokens")}
    files = [file for token in manifest.get("mesh_credentials", {}).get("tokens", {}).values() for file in _files(token)]
    return {
        **{name: verifiers[name] is None if password is None else _verifies(verifiers[name], password) for name, password in meant.items()},
        **{path: tokens.get(Path(path).read_text(encoding="ascii").removesuffix("\n"), "no token") for path in files},
    }


def _files(token: Mapping[str, Any]) -> list[str]:
    files = token.get("file", [])
    return [file["path"] for file in (files if isinstance(files, list) else [files])]


def _verifies(verifier: str, password: str) -> bool:
    """Whether a SCRAM-SHA-256 verifier is that of a password (RFC 5803)."""
    _, how, keys = verifier.split("$")
    iterations, salt = how.split(":")
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), base64.b64decode(salt), int(iterations))
    stored = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    return base64.b64encode(stored).decode() == keys.split(":")[0]


def differences(one: dict[str, Any], other: dict[str, Any]) -> list[str]:
    """What only one of two meanings has, a line for each thing."""
    ours, others = lines(one), lines(other)
    return [*(f"- {line}" for line in sorted(ours - others)), *(f"+ {line}" for line in sorted(others - ours))]


def lines(found: dict[str, Any]) -> set[str]:
    """A line for each thing in each section."""
    return {f"{section}: {text}" for section, rows in found.items() for text in _texts(rows or ())}


def _texts(rows: Any) -> list[str]:
    things = rows.items() if isinstance(rows, dict) else rows if isinstance(rows, list | tuple) else [rows]
    return [_text(thing) for thing in things]


def _text(value: Any) -> str:
    return json.dumps(value, sort_keys=True, default=str)


def _consul(mesh: Mesh) -> dict[str, Any]:
    pairs = mesh.http("GET", "/v1/kv/?recurse") or []
    return {
        "policies": [_policy(mesh, listed["ID"], listed["ModifyIndex"]) for listed in mesh.http("GET", "/v1/acl/policies")],
        "tokens": [_unordered(row) for row in _listed(mesh, "/v1/acl/tokens")],
        "acl roles": [_unordered(row) for row in _listed(mesh, "/v1/acl/roles")],
        "queries": [_meant(row) for row in _listed(mesh, "/v1/query")],
        "config": _config(mesh),
        "nodes": [_node(node) for node in mesh.http("GET", "/v1/internal/ui/nodes")],
        "kv": {p["Key"]: (p["Value"], p["Flags"]) for p in pairs if not p["Key"].startswith("reconciler/")},
        "bookkeeping": sorted(p["Key"] for p in pairs if p["Key"].startswith("reconciler/")),
    }


def _policy(mesh: Mesh, policy_id: str, index: int) -> Any:
    """Its rules are not in the list; what was read once is not read again."""
    if (policy_id, index) not in mesh.policies_read:
        mesh.policies_read[policy_id, index] = _without(mesh.http("GET", f"/v1/acl/policy/{policy_id}"))
    return mesh.policies_read[policy_id, index]


def _node(node: dict[str, Any]) -> dict[str, Any]:
    """A node of the catalog; the IDs of its services mean something."""
    services = [{**_without(service), "is": service["ID"]} for service in node["Services"] or ()]
    return {**_unordered(_without(node)), "Services": sorted(services, key=_text)}


def _config(mesh: Mesh) -> list[Any]:
    """But for what Consul writes itself, when it likes."""
    entries = _listed(mesh, "/v1/config/")
    return [{k: v for k, v in entry.items() if k != "Status"} for entry in entries if entry["Kind"] != "bound-api-gateway"]


def _postgres(mesh: Mesh, inside: str) -> dict[str, Any]:
    found = _asked(mesh, _CLUSTER, "postgres")
    for name in (row["datname"] for row in found["databases"]):
        if name not in ("template0", "template1") and name.startswith(inside):
            found[f"in {name}"] = _asked(mesh, _DATABASE, name)
    return found


def _asked(mesh: Mesh, queries: Mapping[str, str], database: str) -> dict[str, Any]:
    """The rows of several queries, asked in one."""
    columns = ", ".join(f"(SELECT coalesce(jsonb_agg(to_jsonb(q)), '[]') FROM ({query}) q)" for query in queries.values())
    [row] = mesh.sql(f"SELECT ARRAY[{columns}]", database)
    return {name: sorted(rows, key=_text) for name, rows in zip(queries, row[0], strict=True)}


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
