"""Specimens of ACL roles, of tokens with all that they can have, and of prepared queries."""

from __future__ import annotations

import uuid
from typing import Any

from .mesh import Mesh
from .specimen import Act, Specimen, without_policy

_IDENTITIES = {
    "service_identities": [{"service": "web", "datacenters": ["dc2", "dc1"]}, {"service": "api"}],
    "node_identities": [{"node": "n1", "datacenter": "dc1"}],
    "templated_policies": [{"template": "builtin/service", "name": "api"}, {"template": "builtin/dns"}],
}
_IDENTITIES_BODY = {
    "ServiceIdentities": [{"ServiceName": "api"}, {"ServiceName": "web", "Datacenters": ["dc1", "dc2"]}],
    "NodeIdentities": [{"NodeName": "n1", "Datacenter": "dc1"}],
    "TemplatedPolicies": [{"TemplateName": "builtin/dns"}, {"TemplateName": "builtin/service", "TemplateVariables": {"Name": "api"}}],
}
_IDENTITY_VARIANTS = {
    "service_identities": [{"service": "web"}],
    "node_identities": [],
    "templated_policies": [{"template": "builtin/service", "name": "web", "datacenters": ["dc1"]}],
}


def _policy(mesh: Mesh, name: str) -> None:
    if mesh.policy(name) is None:
        mesh.http("PUT", "/v1/acl/policy", {"Name": name, "Rules": 'key_prefix "a/" { policy = "read" }'})


def _role(mesh: Mesh, name: str) -> Any:
    return mesh.http("GET", f"/v1/acl/role/name/{name}")


def _without_role(name: str) -> Act:
    return lambda m: _role(m, name) and m.http("DELETE", f"/v1/acl/role/{_role(m, name)['ID']}")


def acl_role(n: str) -> Specimen:
    policies = {p: {"rules": {"key_prefix": {"a/": "read"}}} for p in (n, f"{n}-2")}
    entry = {"policies": [n.upper()], **_IDENTITIES}

    def put(mesh: Mesh, **changed: Any) -> None:
        role = _role(mesh, n)
        mesh.http("PUT", f"/v1/acl/role/{role['ID']}", {**role, **changed})

    def make(mesh: Mesh, **other: Any) -> None:
        for policy in policies:
            _policy(mesh, policy)
        mesh.http("PUT", "/v1/acl/role", {"Name": n, "Policies": [{"Name": n}], **_IDENTITIES_BODY, **other})

    return Specimen(
        kind="acl-role",
        address=f"acl-role/{n}",
        entry=("mesh_credentials", "roles", n),
        manifest={"name": n, "mesh_credentials": {"policies": policies, "roles": {n: entry}}},
        variants={
            "policies": {**entry, "policies": [n, f"{n}-2"]},
            "description": {**entry, "description": "other"},
            **{key: {**entry, key: other} for key, other in _IDENTITY_VARIANTS.items()},
        },
        edited="policies",
        edit=lambda m: put(m, Policies=[]),
        edit_unset=lambda m: put(m, Description="edited"),
        read_unset=lambda m: _role(m, n)["Description"],
        remove=_without_role(n),
        make=make,
        make_other=lambda m: make(m, NodeIdentities=[]),
        exists=lambda m: _role(m, n) is not None,
        leftovers=tuple(map(without_policy, policies)),
    )


def token_with_grants(n: str) -> Specimen:
    accessor = str(uuid.uuid5(uuid.NAMESPACE_URL, n))
    roles: dict[str, Any] = {n: {"service_identities": [{"service": "web"}]}, f"{n}-2": {"service_identities": [{"service": "api"}]}}
    entry = {"description": n, "accessor": accessor, "roles": [n.upper()], "expires_after": "90m", "local": False, **_IDENTITIES}

    def put(mesh: Mesh, **changed: Any) -> None:
        mesh.http("PUT", f"/v1/acl/token/{accessor}", {**mesh.http("GET", f"/v1/acl/token/{accessor}"), **changed})

    def make(mesh: Mesh, **other: Any) -> None:
        for role, declared in roles.items():
            if _role(mesh, role) is None:
                service = declared["service_identities"][0]["service"]
                mesh.http("PUT", "/v1/acl/role", {"Name": role, "ServiceIdentities": [{"ServiceName": service}]})
        body = {"AccessorID": accessor, "Description": n, "Roles": [{"Name": n}], "ExpirationTTL": "1h30m", **_IDENTITIES_BODY, **other}
        mesh.http("PUT", "/v1/acl/token", body)

    return Specimen(
        kind="acl-token",
        address=f"acl-token/{n}",
        entry=("mesh_credentials", "tokens", n),
        manifest={"name": n, "mesh_credentials": {"roles": roles, "tokens": {n: entry}}},
        variants={
            "description": {**entry, "description": "other"},
            "roles": {**entry, "roles": [f"{n}-2", n]},
            **{key: {**entry, key: other} for key, other in _IDENTITY_VARIANTS.items()},
        },
        edited="roles",
        edit=lambda m: put(m, Roles=[{"Name": f"{n}-2"}]),
        edit_unset=lambda m: put(m, Policies=[{"Name": "foreign"}]),
        read_unset=lambda m: [p["Name"] for p in m.http("GET", f"/v1/acl/token/{accessor}").get("Policies", [])],
        remove=lambda m: m.http("DELETE", f"/v1/acl/token/{accessor}"),
        make=make,
        make_other=lambda m: make(m, ServiceIdentities=[]),
        exists=lambda m: m.http("GET", f"/v1/acl/token/{accessor}") is not None,
        leftovers=tuple(map(_without_role, roles)),
    )


def _query(mesh: Mesh, name: str) -> Any:
    return next((q for q in mesh.http("GET", "/v1/query") if q["Name"].lower() == name), None)


def _edit_query(mesh: Mesh, name: str, **changed: Any) -> None:
    query = _query(mesh, name)
    mesh.http("PUT", f"/v1/query/{query['ID']}", {**query, **changed, "Service": {**query["Service"], **changed.get("Service", {})}})


def _without_query(name: str) -> Act:
    return lambda m: m.http("DELETE", f"/v1/query/{_query(m, name)['ID']}")


def prepared_query(n: str) -> Specimen:
    service = {"service": n, "tags": ["b", "!a"], "failover": {"datacenters": ["dc3", "dc2"]}, "node_meta": {"zone": "a"}}
    entry = {"service": service, "dns_ttl": "90s"}
    body = {
        "Name": n.upper(),
        "Service": {"Service": n, "Tags": ["!a", "b", "b"], "Failover": {"Datacenters": ["dc3", "dc2"]}, "NodeMeta": {"zone": "a"}},
        "DNS": {"TTL": "1m30s"},
    }

    def inside(**changed: Any) -> dict[str, Any]:
        return {**entry, "service": {**service, **changed}}

    return Specimen(
        kind="prepared-query",
        address=f"prepared-query/{n}",
        entry=("prepared_queries", n),
        manifest={"name": n, "prepared_queries": {n: entry}},
        variants={
            "service.service": inside(service="other"),
            "service.tags": inside(tags=["b"]),
            "service.failover.datacenters": inside(failover={"datacenters": ["dc2", "dc3"]}),
            "service.failover.nearest_n": inside(failover={"datacenters": ["dc3", "dc2"], "nearest_n": 2}),
            "service.node_meta": inside(node_meta={"zone": "b"}),
            "service.service_meta": inside(service_meta={"empty": ""}),
            "service.only_passing": inside(only_passing=True),
            "service.near": inside(near="_agent"),
            "service.connect": inside(connect=True),
            "service.ignore_check_ids": inside(ignore_check_ids=["c2", "c1"]),
            "dns_ttl": {**entry, "dns_ttl": "0s"},
            "template.type": {**entry, "template": {"type": "name_prefix_match"}},
        },
        edited="service.failover.datacenters",
        edit=lambda m: _edit_query(m, n, Service={"Failover": {"Datacenters": ["dc2"]}}),
        edit_unset=lambda m: _edit_query(m, n, Service={"Near": "_agent"}),
        read_unset=lambda m: _query(m, n)["Service"]["Near"],
        remove=_without_query(n),
        make=lambda m: m.http("POST", "/v1/query", body),
        make_other=lambda m: m.http("POST", "/v1/query", {**body, "DNS": {"TTL": ""}}),
        exists=lambda m: _query(m, n) is not None,
    )


def query_with_token(n: str) -> Specimen:
    keys = {f"{n}/token": {"value": "token of law"}, f"{n}/other-token": {"value": "other token of law"}}
    entry = {"service": {"service": n}, "token": {"kv": f"{n}/token"}}
    body = {"Name": n, "Service": {"Service": n}, "Token": "token of law"}
    return Specimen(
        kind="prepared-query",
        address=f"prepared-query/{n}",
        entry=("prepared_queries", n),
        manifest={"name": n, "kv": keys, "prepared_queries": {n: entry}},
        variants={"token": {**entry, "token": {"kv": f"{n}/other-token"}}},
        edited="token",
        edit=lambda m: _edit_query(m, n, Token="edited"),
        remove=_without_query(n),
        make=lambda m: m.http("POST", "/v1/query", body),
        make_other=lambda m: m.http("POST", "/v1/query", {**body, "Token": "other"}),
        exists=lambda m: _query(m, n) is not None,
    )


def query_for_everything(n: str) -> Specimen:
    """The one template that may be without a name."""
    entry: dict[str, Any] = {"name": "", "service": {"service": n}, "template": {"type": "name_prefix_match", "regexp": "^(.*)$"}}
    body = {"Service": {"Service": n}, "Template": {"Type": "name_prefix_match", "Regexp": "^(.*)$"}}
    return Specimen(
        kind="prepared-query",
        address="prepared-query/",
        entry=("prepared_queries", n),
        manifest={"name": n, "prepared_queries": {n: entry}},
        variants={
            "template.regexp": {**entry, "template": {**entry["template"], "regexp": "^(.+)$"}},
            "template.remove_empty_tags": {**entry, "template": {**entry["template"], "remove_empty_tags": True}},
        },
        edited="service.service",
        edit=lambda m: _edit_query(m, "", Service={"Service": "edited"}),
        edit_unset=lambda m: _edit_query(m, "", Service={"Near": "_agent"}),
        read_unset=lambda m: _query(m, "")["Service"]["Near"],
        remove=_without_query(""),
        make=lambda m: m.http("POST", "/v1/query", body),
        make_other=lambda m: m.http("POST", "/v1/query", {**body, "Service": {"Service": "other"}}),
        exists=lambda m: _query(m, "") is not None,
    )


SPECIMENS = (acl_role, token_with_grants, prepared_query, query_with_token, query_for_everything)
