"""A mesh as others leave it: made by plain API calls and SQL, with nothing of this program."""

from __future__ import annotations

import json
import os
import re
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from psycopg import sql

from tests.servers.consul import ConsulServer
from tests.servers.postgres import PostgresServer

ROOT = Path(__file__).parents[2]
CASES = Path(os.environ.get("RECONCILER_TEST_CASES", ROOT / ".." / "shared" / "cases"))
"""Real packages' state, one JSON file each, which is kept elsewhere: RECONCILER_TEST_CASES says where."""


def cases() -> list[Path]:
    """The files with cases; none where they are not at hand."""
    return sorted(CASES.glob("*.json"))


def value_of(entry: Mapping[str, str]) -> str:
    """The value of a KV entry; a pattern such as ``<generated: …>`` stands for one that is made."""
    value = entry.get("consistent_value") or entry["value"]
    return secrets.token_hex(16) if re.fullmatch("<.*>", value) else value


def make(case: Mapping[str, Any], consul: ConsulServer, postgres: PostgresServer) -> None:
    """Everything of a case that is in Consul and Postgres, but for the services of agents."""
    for policy in case.get("acl_policies", ()):
        consul.put("/v1/acl/policy", {"Name": policy["name"], "Description": policy["description"], "Rules": policy["rules"]})
    for token in case.get("acl_tokens", ()):
        policies = [{"Name": name} for name in token["policies"]]
        consul.put("/v1/acl/token", {"Description": token["description"], "Policies": policies, "Local": token.get("local", False)})
    for entry in [*case.get("config_entries", ()), *case.get("intentions_needed", ())]:
        consul.put("/v1/config", entry)
    for service in case.get("services", ()):
        if "payload" in service and service["via"].endswith("/catalog/register"):
            consul.put("/v1/catalog/register", service["payload"])
    values = {entry["key"]: value_of(entry) for entry in case.get("kv", ())}
    for key, value in values.items():
        consul.put(f"/v1/kv/{quote(key)}", value.encode())
    for role in case.get("roles", ()):
        make_role(postgres, role, role.get("password") or values[role["password_from_kv"]])
    for database in case.get("databases", ()):
        postgres.query(sql.SQL("CREATE DATABASE {} OWNER {}").format(sql.Identifier(database["name"]), sql.Identifier(database["owner"])))


def make_role(postgres: PostgresServer, role: Mapping[str, Any], password: str) -> None:
    attributes = "".join(f" {'' if role['attributes'][name] else 'NO'}{name.upper()}" for name in ("superuser", "createdb", "createrole"))
    statement = sql.SQL("CREATE ROLE {} LOGIN" + attributes + " PASSWORD {}")
    postgres.query(statement.format(sql.Identifier(role["name"]), sql.Literal(password)))


def load_case(path: Path) -> dict[str, Any]:
    case: dict[str, Any] = json.loads(path.read_text("utf-8"))
    return case


SAME_EVERY_TIME = ("CreateIndex", "ModifyIndex", "Hash", "ID", "CreateTime", "SecretID", "Legacy", "Type")


def meaning(consul: ConsulServer, postgres: PostgresServer) -> dict[str, Any]:
    """What is live, without what any new resource has differently; rules as they are shown, a password as what it is made of."""
    policies = [consul.get(f"/v1/acl/policy/{p['ID']}") for p in consul.get("/v1/acl/policies")]
    tokens = [consul.get(f"/v1/acl/token/{t['AccessorID']}") for t in consul.get("/v1/acl/tokens")]
    roles = [consul.get(f"/v1/acl/role/{r['ID']}") for r in consul.get("/v1/acl/roles")]
    nodes = [consul.get(f"/v1/catalog/node-services/{quote(n['Node'], safe='')}") for n in consul.get("/v1/catalog/nodes")]
    keys = {key: value for key, value in consul.keys().items() if not key.startswith("reconciler/")}
    return {
        "policies": {p["Name"]: (p["Description"], rules_of(p)) for p in policies},
        "tokens": {t["AccessorID"]: without_indexes(t) for t in tokens},
        "acl roles": {r["Name"]: without_indexes(r) for r in roles},
        "queries": without_indexes(consul.get("/v1/query")),
        "config": {(e["Kind"], e.get("Name")): without_indexes(e) for e in consul.get("/v1/config/")},
        "nodes": {n["Node"]["Node"]: without_indexes(n) for n in nodes if n["Node"]["Node"] != "test-server"},
        "checks": [without_indexes(c) for n in nodes for c in consul.get(f"/v1/health/node/{quote(n['Node']['Node'], safe='')}") if c["ServiceID"]],
        "kv": keys,
        "flags": {e["Key"]: e["Flags"] for e in consul.get("/v1/kv/?recurse=true") or () if not e["Key"].startswith("reconciler/")},
        "roles": postgres.query(
            "SELECT rolname, rolcanlogin, rolsuper, rolcreatedb, rolcreaterole, rolinherit, rolconnlimit, rolvaliduntil, setconfig, "
            "rolpassword IS NULL AS without FROM pg_authid a LEFT JOIN pg_db_role_setting s ON s.setrole = a.oid ORDER BY 1"
        ),
        "databases": postgres.query(
            "SELECT datname, pg_get_userbyid(datdba) AS owner, datconnlimit, pg_encoding_to_char(encoding) AS encoding, datcollate, datctype "
            "FROM pg_database ORDER BY 1"
        ),
        "members": postgres.query("SELECT roleid::regrole::text, member::regrole::text, admin_option FROM pg_auth_members ORDER BY 1, 2, 3"),
        "acls": postgres.query("SELECT datname, (SELECT array_agg(a::text ORDER BY 1) FROM unnest(datacl) a) FROM pg_database ORDER BY 1"),
    }


def rules_of(policy: Mapping[str, Any]) -> Any:
    from reconciler.kinds.consul._rules import understand

    return understand(policy.get("Rules") or "").rules


def without_indexes(value: Any) -> Any:
    if isinstance(value, dict):
        value = {k: v for k, v in value.items() if v not in (None, "", [], {}, 0, False)}
        return {k: without_indexes(v) for k, v in value.items() if k not in SAME_EVERY_TIME or (k == "ID" and "Weights" in value)}
    if isinstance(value, list):
        return sorted((without_indexes(v) for v in value), key=str)
    return value
