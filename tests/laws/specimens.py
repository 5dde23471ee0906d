"""One specimen of each kind: how the manifest declares it, and how somebody else makes, changes and removes one.

The laws know nothing else of kinds. Every module here whose name begins with ``specimens_`` adds its own ``SPECIMENS``.
"""

from __future__ import annotations

import os
import tempfile
import uuid
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import Any

from .mesh import Mesh
from .specimen import Manifest, Specimen, without_policy


def acl_policy(n: str) -> Specimen:
    rules = {"key_prefix": {"app/": "read"}, "service": {"web": "write"}}
    body = {
        "Name": n,
        "Description": "made by test",
        "Rules": '{"key_prefix": [{"app/": {"policy": "read"}}], "service": [{"web": {"policy": "write"}}]}',
    }

    def put(mesh: Mesh, **changed: Any) -> None:
        policy = mesh.policy(n)
        mesh.http("PUT", f"/v1/acl/policy/{policy['ID']}", {**policy, **changed})

    return Specimen(
        kind="acl-policy",
        address=f"acl-policy/{n}",
        entry=("mesh_credentials", "policies", n),
        manifest={"name": n, "mesh_credentials": {"policies": {n: {"description": "made by test", "rules": rules}}}},
        variants={
            "description": {"description": "other", "rules": rules},
            "rules": {"description": "made by test", "rules": {**rules, "node_prefix": {"": "read"}}},
        },
        edited="rules",
        edit=lambda m: put(m, Rules='service "web" { policy = "read" }'),
        remove=lambda m: m.http("DELETE", f"/v1/acl/policy/{m.policy(n)['ID']}"),
        make=lambda m: m.http("PUT", "/v1/acl/policy", body),
        make_other=lambda m: m.http("PUT", "/v1/acl/policy", {**body, "Rules": 'operator = "read"'}),
        exists=lambda m: m.policy(n) is not None,
    )


def acl_token(n: str) -> Specimen:
    accessor = str(uuid.uuid5(uuid.NAMESPACE_URL, n))
    policies = {n: {"rules": {"key_prefix": {"a/": "read"}}}, f"{n}-2": {"rules": {"key_prefix": {"b/": "read"}}}}
    entry = {"description": n, "policies": [n], "accessor": accessor}

    def put(mesh: Mesh, **changed: Any) -> None:
        mesh.http("PUT", f"/v1/acl/token/{accessor}", {**mesh.http("GET", f"/v1/acl/token/{accessor}"), **changed})

    def make(mesh: Mesh, description: str) -> None:
        for policy in policies:
            if mesh.policy(policy) is None:
                mesh.http(
                    "PUT", "/v1/acl/policy", {"Name": policy, "Rules": f'key_prefix "{"b" if policy.endswith("-2") else "a"}/" {{ policy = "read" }}'}
                )
        mesh.http("PUT", "/v1/acl/token", {"AccessorID": accessor, "Description": description, "Policies": [{"Name": n}]})

    return Specimen(
        kind="acl-token",
        address=f"acl-token/{n}",
        entry=("mesh_credentials", "tokens", n),
        manifest={"name": n, "mesh_credentials": {"policies": policies, "tokens": {n: entry}}},
        variants={"description": {**entry, "description": "other"}, "policies": {**entry, "policies": [n, f"{n}-2"]}},
        edited="policies",
        edit=lambda m: put(m, Policies=[{"Name": f"{n}-2"}]),
        edit_unset=lambda m: put(m, TemplatedPolicies=[{"TemplateName": "builtin/dns"}]),
        read_unset=lambda m: m.http("GET", f"/v1/acl/token/{accessor}").get("TemplatedPolicies"),
        remove=lambda m: m.http("DELETE", f"/v1/acl/token/{accessor}"),
        make=lambda m: make(m, n),
        make_other=lambda m: make(m, "other"),
        exists=lambda m: m.http("GET", f"/v1/acl/token/{accessor}") is not None,
        leftovers=tuple(map(without_policy, policies)),
    )


def _config_entry(
    n: str, kind: str, section: tuple[str, ...], manifest: Manifest, variants: Mapping[str, Any],
    body: dict[str, Any], other: dict[str, Any], edited: str, unset: dict[str, Any] | None = None,
) -> Specimen:  # fmt: skip
    def merge(mesh: Mesh, changed: dict[str, Any]) -> None:
        mesh.http("PUT", "/v1/config", {**mesh.http("GET", f"/v1/config/{kind}/{n}"), **changed})

    return Specimen(
        kind=f"config-entry/{kind}",
        address=f"config-entry/{kind}/{n}",
        entry=section,
        manifest={"name": n, **manifest},
        variants=variants,
        edited=edited,
        edit=lambda m: merge(m, other),
        edit_unset=(lambda m: merge(m, unset)) if unset else None,
        read_unset=(lambda m: {k: m.http("GET", f"/v1/config/{kind}/{n}")[k] for k in unset}) if unset else None,
        remove=lambda m: m.http("DELETE", f"/v1/config/{kind}/{n}"),
        make=lambda m: m.http("PUT", "/v1/config", {"Kind": kind, "Name": n, **body}),
        make_other=lambda m: m.http("PUT", "/v1/config", {"Kind": kind, "Name": n, **body, **other}),
        exists=lambda m: m.http("GET", f"/v1/config/{kind}/{n}") is not None,
    )


def intentions(n: str) -> Specimen:
    body = {"Sources": [{"Name": "web", "Action": "allow"}, {"Name": "batch", "Action": "deny"}]}
    return _config_entry(
        n, "service-intentions", ("intentions", n),
        {"intentions": {n: {"sources": {"web": "allow", "batch": "deny"}}}},
        {"Sources": {"sources": {"web": "allow"}}},
        body, {"Sources": [{"Name": "web", "Action": "deny"}]}, "Sources", {"Meta": {"team": "x"}},
    )  # fmt: skip


def terminating_gateway(n: str) -> Specimen:
    services = {"db": {"ca_file": "/etc/ca.pem", "sni": "db.example.com"}, "mail": {}}
    body = {"Services": [{"Name": "mail"}, {"Name": "db", "CAFile": "/etc/ca.pem", "SNI": "db.example.com"}]}
    return _config_entry(
        n, "terminating-gateway", ("terminating_gateways", n),
        {"terminating_gateways": {n: {"services": services}}},
        {"Services": {"services": {**services, "db": {"ca_file": "/etc/other.pem", "cert_file": "/c", "key_file": "/k"}}}},
        body, {"Services": [{"Name": "mail"}]}, "Services", {"Meta": {"team": "x"}},
    )  # fmt: skip


def service_defaults(n: str) -> Specimen:
    entry = {"Kind": "service-defaults", "Name": n, "Protocol": "http", "UpstreamConfig": {"Defaults": {"Limits": {"MaxConnections": 7}}}}
    kept = {k: v for k, v in entry.items() if k not in ("Kind", "Name")}
    return _config_entry(
        n, "service-defaults", ("config_entries",), {"config_entries": [entry]},
        {
            "Protocol": [{**entry, "Protocol": "grpc"}],
            "MaxInboundConnections": [{**entry, "MaxInboundConnections": 5}],
            "UpstreamConfig.Defaults.Limits.MaxConnections": [{**entry, "UpstreamConfig": {"Defaults": {"Limits": {"MaxConnections": 8}}}}],
        },
        kept, {"Protocol": "tcp"}, "Protocol", {"Meta": {"team": "x"}, "MaxInboundConnections": 3},
    )  # fmt: skip


def external_node(n: str) -> Specimen:
    node = f"{n}-node"
    entry = {"node": node, "address": "10.9.8.7", "port": 5432, "node_meta": {"external-node": "true"}}

    def register(mesh: Mesh, **changed: Any) -> None:
        mesh.http("PUT", "/v1/catalog/register", {"Node": node, "Address": "10.9.8.7", "NodeMeta": {"external-node": "true"}, **changed})

    return Specimen(
        kind="external-node",
        address=f"external-node/{node}",
        entry=("external_services", n),
        manifest={"name": n, "external_services": {n: entry}},
        variants={
            "address": {**entry, "address": "10.9.8.8"},
            "meta.external-probe": {**entry, "node_meta": {"external-node": "true", "external-probe": "true"}},
        },
        edited="address",
        edit=lambda m: register(m, Address="10.0.0.1"),
        edit_unset=lambda m: register(m, NodeMeta={"external-node": "true", "rack": "7"}),
        read_unset=lambda m: m.http("GET", f"/v1/catalog/node/{node}")["Node"]["Meta"]["rack"],
        remove=lambda m: m.http("PUT", "/v1/catalog/deregister", {"Node": node}),
        make=lambda m: register(m, Service={"Service": n, "Port": 5432}),
        make_other=lambda m: register(m, Address="10.0.0.1"),
        exists=lambda m: m.http("GET", f"/v1/catalog/node/{node}") is not None,
    )


def external_service(n: str) -> Specimen:
    node = f"{n}-node"
    entry = {
        "node": node, "address": "10.9.8.7", "port": 5432, "id": f"{n}-id", "meta": {"a": "1"}, "tags": ["t1", "t2"],
        "checks": {"probe": {"name": "Probe", "tcp": "10.9.8.7:5432", "interval": "10s"}},
    }  # fmt: skip
    body = {"ID": f"{n}-id", "Service": n, "Port": 5432, "Meta": {"a": "1"}, "Tags": ["t2", "t1"]}
    check = {
        "CheckID": "probe",
        "Name": "Probe",
        "ServiceID": f"{n}-id",
        "Status": "passing",
        "Definition": {"TCP": "10.9.8.7:5432", "Interval": "10s"},
    }

    def register(mesh: Mesh, **changed: Any) -> None:
        mesh.http("PUT", "/v1/catalog/register", {"Node": node, "Address": "10.9.8.7", "Service": {**body, **changed}, "Checks": [check]})

    def live(mesh: Mesh) -> Any:
        services = mesh.http("GET", f"/v1/catalog/node-services/{node}")["Services"] or []
        return next((s for s in services if s["ID"] == f"{n}-id"), None)

    return Specimen(
        kind="external-service",
        address=f"external-service/{node}/{n}-id",
        entry=("external_services", n),
        manifest={"name": n, "external_services": {n: entry, f"{n}-other": {"node": node, "address": "10.9.8.7", "port": 1}}},
        variants={
            "port": {**entry, "port": 5433},
            "meta.b": {**entry, "meta": {"a": "1", "b": "2"}},
            "tags": {**entry, "tags": ["t1"]},
            "checks": {**entry, "checks": {"probe": {"name": "Probe", "tcp": "10.9.8.7:5432", "interval": "20s"}}},
        },
        edited="port",
        edit=lambda m: register(m, Port=1),
        edit_unset=lambda m: register(m, Meta={"a": "1", "z": "9"}),
        read_unset=lambda m: live(m)["Meta"]["z"],
        remove=lambda m: m.http("PUT", "/v1/catalog/deregister", {"Node": node, "ServiceID": f"{n}-id"}),
        make=register,
        make_other=lambda m: register(m, Port=1),
        exists=lambda m: live(m) is not None,
        leftovers=(lambda m: m.http("PUT", "/v1/catalog/deregister", {"Node": f"{n}-node"}),),
    )


def kv(n: str) -> Specimen:
    key = f"{n}/greeting"

    def put(mesh: Mesh, value: str, flags: int = 0) -> None:
        mesh.http("PUT", f"/v1/kv/{key}?flags={flags}", value.encode())

    return Specimen(
        kind="kv",
        address=f"kv/{key}",
        entry=("kv", key),
        manifest={"name": n, "kv": {key: {"value": "hello"}}},
        variants={"value": {"value": "good day"}, "flags": {"value": "hello", "flags": 3}},
        edited="value",
        edit=lambda m: put(m, "edited"),
        edit_unset=lambda m: put(m, "hello", 7),
        read_unset=lambda m: m.http("GET", f"/v1/kv/{key}")[0]["Flags"],
        remove=lambda m: m.http("DELETE", f"/v1/kv/{key}"),
        make=lambda m: put(m, "hello"),
        make_other=lambda m: put(m, "other"),
        exists=lambda m: m.kv(key) is not None,
    )


def db_role(n: str) -> Specimen:
    entry = {"login": True, "connection_limit": 5, "settings": {"work_mem": "8MB"}}
    return Specimen(
        kind="db-role",
        address=f"db-role/default/{n}",
        entry=("db_roles", n),
        manifest={"name": n, "db_roles": {n: entry}},
        variants={
            "connection_limit": {**entry, "connection_limit": 6},
            "createdb": {**entry, "createdb": True},
            "inherit": {**entry, "inherit": False},
            "valid_until": {**entry, "valid_until": "2031-01-01 00:00:00+00"},
            "settings.work_mem": {**entry, "settings": {"work_mem": "9MB"}},
            "settings.search_path": {**entry, "settings": {"work_mem": "8MB", "search_path": "app, public"}},
        },
        edited="login",
        edit=lambda m: m.sql(f'ALTER ROLE "{n}" NOLOGIN'),
        edit_unset=lambda m: m.sql(f"ALTER ROLE \"{n}\" SET statement_timeout = '5s'"),
        read_unset=lambda m: m.sql(f"SELECT setconfig FROM pg_db_role_setting s JOIN pg_roles r ON r.oid = s.setrole WHERE rolname = '{n}'"),
        remove=lambda m: m.sql(f'DROP ROLE "{n}"'),
        make=lambda m: m.sql(f'CREATE ROLE "{n}" LOGIN CONNECTION LIMIT 5; ALTER ROLE "{n}" SET work_mem = \'8MB\''),
        make_other=lambda m: m.sql(f'CREATE ROLE "{n}"'),
        exists=lambda m: bool(m.sql(f"SELECT 1 FROM pg_roles WHERE rolname = '{n}'")),
    )


def database(n: str) -> Specimen:
    entry = {"owner": n, "connection_limit": 9}
    roles = {n: {"login": True}, f"{n}-2": {}}

    def make(mesh: Mesh, limit: int) -> None:
        for role in roles:
            if not mesh.sql(f"SELECT 1 FROM pg_roles WHERE rolname = '{role}'"):
                mesh.sql(f'CREATE ROLE "{role}"' + (" LOGIN" if role == n else ""))
        mesh.sql(f'CREATE DATABASE "{n}" OWNER "{n}" CONNECTION LIMIT {limit}')

    return Specimen(
        kind="database",
        address=f"database/default/{n}",
        entry=("databases", n),
        manifest={"name": n, "db_roles": roles, "databases": {n: entry}},
        variants={"connection_limit": {**entry, "connection_limit": 8}, "owner": {**entry, "owner": f"{n}-2"}},
        edited="connection_limit",
        edit=lambda m: m.sql(f'ALTER DATABASE "{n}" CONNECTION LIMIT 2'),
        edit_unset=lambda m: m.sql(f"ALTER DATABASE \"{n}\" SET work_mem = '7MB'"),
        read_unset=lambda m: m.sql(f"SELECT setconfig FROM pg_db_role_setting s JOIN pg_database d ON d.oid = s.setdatabase WHERE datname = '{n}'"),
        remove=lambda m: m.sql(f'DROP DATABASE "{n}"'),
        make=lambda m: make(m, 9),
        make_other=lambda m: make(m, 3),
        exists=lambda m: bool(m.sql(f"SELECT 1 FROM pg_database WHERE datname = '{n}'")),
        leftovers=(lambda m: [m.sql(f'DROP ROLE IF EXISTS "{role}"') for role in roles],),
    )


def token_file(n: str) -> Specimen:
    path = Path(tempfile.gettempdir(), f"{n}-token")
    accessor = str(uuid.uuid5(uuid.NAMESPACE_URL, n))
    token = {"description": n, "accessor": accessor, "file": {"path": str(path), "mode": "0600"}}

    def write(content: str) -> None:
        path.write_text(content, encoding="ascii")
        path.chmod(0o600)

    def make(mesh: Mesh) -> None:
        secret = mesh.http("PUT", "/v1/acl/token", {"AccessorID": accessor, "Description": n})["SecretID"]
        write(secret + "\n")

    return Specimen(
        kind="file",
        address=f"file/local{path}",
        entry=("mesh_credentials", "tokens", n, "file"),
        manifest={"name": n, "mesh_credentials": {"tokens": {n: token}}},
        variants={"mode": {"path": str(path), "mode": "0640"}},
        edited="token",
        edit=lambda m: write("edited"),
        edit_unset=(lambda m: os.chown(path, 65534, 65534)) if os.geteuid() == 0 else None,
        read_unset=lambda m: (path.stat().st_uid, path.stat().st_gid),
        remove=lambda m: path.unlink(),
        make=make,
        make_other=lambda m: write("other"),
        exists=lambda m: path.exists(),
        has_incarnation=False,
        option_entry=("mesh_credentials", "tokens", n),
        leftovers=(lambda m: (t := m.token(n)) and m.http("DELETE", f"/v1/acl/token/{t['AccessorID']}"),),
    )


_HERE = (
    acl_policy,
    acl_token,
    service_defaults,
    intentions,
    terminating_gateway,
    external_node,
    external_service,
    kv,
    db_role,
    database,
    token_file,
)
_ELSEWHERE = [import_module(m.name) for m in iter_modules([str(Path(__file__).parent)], f"{__package__}.") if ".specimens_" in m.name]
SPECIMENS = (*_HERE, *(maker for module in _ELSEWHERE for maker in module.SPECIMENS))
ANYWHERE = tuple(maker for maker in SPECIMENS if not maker("sample").on_machine)
"""Those that take no machine."""
