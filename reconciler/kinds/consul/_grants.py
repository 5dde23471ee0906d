"""What ACL tokens and roles have in common: the policies they are linked to, and the identities that Consul derives rights from.

Normal form: names sorted, each once; identities as the manifest writes them, sorted, without empty fields. Consul merges and reorders them, fills in
the IDs of links and templates, and folds the keys of a template's variables (docs/facts.md: Consul 5).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from reconciler.manifest.models import AclRole, AclToken
from reconciler.model.address import Address
from reconciler.model.field_rules import FieldRules
from reconciler.model.value import JSON, Path, Value

Grantee = AclRole | AclToken

_LINKS: Final = frozenset({"policies", "roles"})


@dataclass(frozen=True, slots=True)
class GrantRules(FieldRules):
    """Names of policies and roles are compared without case, as Consul does."""

    def same(self, path: Path, one: Value, other: Value) -> bool:
        """Whether two values, or absences, mean the same."""
        if path[0] in _LINKS and isinstance(one, list) and isinstance(other, list):
            return sorted(map(str.lower, one)) == sorted(map(str.lower, other))
        return FieldRules.same(self, path, one, other)


def declared_grants(entry: Grantee) -> dict[str, Value]:
    """What a manifest's token or role sets of description, links and identities."""
    given = {key: getattr(entry, key, None) for key in ("description", *_LINKS) if key in entry.model_fields_set}
    fields: dict[str, Value] = {key: _names(value) if key in _LINKS else value for key, value in given.items() if value is not None}
    for key in ("service_identities", "node_identities", "templated_policies"):
        identities = getattr(entry, key)
        if identities is not None:
            fields[key] = _sorted(_identity(**identity.model_dump(exclude_none=True)) for identity in identities)
    return fields


def live_grants(grantee: Mapping[str, JSON]) -> dict[str, Value]:
    """The same fields of a token or role as Consul answers it; only a token has ``roles``, see :func:`linked`."""
    return {
        "description": grantee.get("Description") or "",
        "policies": linked(grantee, "Policies"),
        "service_identities": _sorted(
            _identity(service=i["ServiceName"], datacenters=i.get("Datacenters")) for i in grantee.get("ServiceIdentities") or ()
        ),
        "node_identities": _sorted(_identity(node=i["NodeName"], datacenter=i["Datacenter"]) for i in grantee.get("NodeIdentities") or ()),
        "templated_policies": _sorted(
            _identity(template=p["TemplateName"], name=(p.get("TemplateVariables") or {}).get("name"), datacenters=p.get("Datacenters"))
            for p in grantee.get("TemplatedPolicies") or ()
        ),
    }


def grants_body(fields: Mapping[str, Any]) -> dict[str, JSON]:
    """What to send to Consul for these fields; it takes away what a request leaves out."""
    return {
        "Description": fields.get("description") or "",
        "Policies": link_body(fields.get("policies")),
        "ServiceIdentities": [
            {"ServiceName": i["service"], "Datacenters": i.get("datacenters") or []} for i in fields.get("service_identities") or ()
        ],
        "NodeIdentities": [{"NodeName": i["node"], "Datacenter": i["datacenter"]} for i in fields.get("node_identities") or ()],
        "TemplatedPolicies": [
            {
                "TemplateName": p["template"],
                **({"TemplateVariables": {"Name": p["name"]}} if "name" in p else {}),
                "Datacenters": p.get("datacenters") or [],
            }
            for p in fields.get("templated_policies") or ()
        ],
    }


def linked(grantee: Mapping[str, JSON], key: str) -> list[str]:
    """The names that a token or role is linked to under ``key``, in normal form."""
    return _names(link["Name"] for link in grantee.get(key) or ())


def link_body(names: Iterable[str] | None) -> list[JSON]:
    """Links by name, as Consul takes them."""
    return [{"Name": name} for name in names or ()]


def links(entry: Grantee) -> frozenset[Address]:
    """The policies and roles that it names; each may be declared or live."""
    found = {Address.of("acl-policy", name, fold=True) for name in entry.policies or ()}
    return frozenset(found | {Address.of("acl-role", name, fold=True) for name in getattr(entry, "roles", None) or ()})


def _names(names: Iterable[str]) -> list[str]:
    """Each name once, in one order: Consul keeps the order of links, but it means nothing."""
    return sorted({name.lower(): name for name in names}.values(), key=str.lower)


def _identity(**parts: Any) -> dict[str, JSON]:
    return {key: sorted(set(value)) if isinstance(value, list) else value for key, value in parts.items() if value}


def _sorted(identities: Iterable[dict[str, JSON]]) -> list[dict[str, JSON]]:
    return sorted(identities, key=lambda identity: json.dumps(identity, sort_keys=True))
