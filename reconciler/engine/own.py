"""What the run itself stands on, of what a plan could touch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from reconciler.engine.guard import Own
from reconciler.model.address import Address
from reconciler.model.resource import Live


def own_of(token: Mapping[str, Any] | None, roles: Mapping[str, str], live: Mapping[Address, Live]) -> Own:
    """``token`` is what Consul says of the run's own token; ``roles`` are its roles on the Postgres servers, by the servers' names."""
    mine = {Address.of("db-role", server, role) for server, role in roles.items()}
    return Own(frozenset(a for a, one in live.items() if a in mine or (token and _is_of_token(one, token))))


def _is_of_token(live: Live, token: Mapping[str, Any]) -> bool:
    """Whether it is the token, one of its policies or one of its roles; Consul ignores the case of their names."""
    match live.address.kind:
        case "acl-policy":
            return live.address.identity[0] in _names(token.get("ExpandedPolicies") or token.get("Policies"))
        case "acl-role":
            return live.address.identity[0] in _names(token.get("Roles"))
        case "acl-token":
            return (live.incarnation or "").startswith(token["AccessorID"])
    return False


def _names(links: list[Mapping[str, str]] | None) -> set[str]:
    return {link["Name"].lower() for link in links or ()}
