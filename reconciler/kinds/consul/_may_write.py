"""Whether a token may write a service, by what is known of it, its roles and its policies."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from reconciler.model.address import Address
from reconciler.model.resource import World
from reconciler.model.value import Semantic

_MANAGEMENT: Final = "global-management"
_OF_SERVICES: Final = "builtin/service"


def may_write(service: str, token: Address, world: World) -> bool:
    """Whether ``token`` has ``service:write``; true of one that does not exist, because nothing runs with it yet.

    Policies are merged as Consul does it: an exact rule before prefixes, the longest of these first, and deny before write (docs/facts.md: Consul 4).
    """
    fields = world(token)
    if fields is None:
        return True
    grantees = [fields, *filter(None, (world(Address.of("acl-role", name, fold=True)) for name in fields.get("roles") or ()))]
    names = {str(name).lower() for grantee in grantees for name in grantee.get("policies") or ()}
    if _MANAGEMENT in names or service in {name for grantee in grantees for name in _identities(grantee)}:
        return True
    return _grants(service, [rules for name in sorted(names) if (rules := _rules(world(Address.of("acl-policy", name, fold=True))))])


def _identities(grantee: Mapping[str, Any]) -> Iterator[str]:
    for identity in grantee.get("service_identities") or ():
        yield identity["service"]
    for policy in grantee.get("templated_policies") or ():
        if policy["template"] == _OF_SERVICES and "name" in policy:
            yield policy["name"]


def _rules(policy: Mapping[str, Any] | None) -> Mapping[str, Any]:
    rules = (policy or {}).get("rules")
    return rules.normal if isinstance(rules, Semantic) and isinstance(rules.normal, Mapping) else {}


def _grants(service: str, policies: Iterable[Mapping[str, Any]]) -> bool:
    by_rank: dict[int, set[str]] = {}
    for rules in policies:
        for kind, matches in (("service", service.__eq__), ("service_prefix", service.startswith)):
            for segment, body in (rules.get(kind) or {}).items():
                if matches(segment) and isinstance(body, Mapping):
                    rank = len(service) + 1 if kind == "service" else len(segment)
                    by_rank.setdefault(rank, set()).add(str(body.get("policy")))
    words = by_rank[max(by_rank)] if by_rank else set()
    return "write" in words and "deny" not in words
