"""What the run itself stands on, and what it may do, against what a plan would change."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from reconciler.engine.connections import Connections
from reconciler.engine.guard import Own
from reconciler.engine.situation import Situation
from reconciler.model.address import Address
from reconciler.model.change import Change, Plan, Refusal
from reconciler.model.errors import AccessDenied
from reconciler.model.kind import DemandingKind, Kind, WaryKind
from reconciler.model.resource import Live, System


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


def demand_rights(connections: Connections, situation: Situation, planned: Plan) -> None:
    """Raises AccessDenied, before anything is written, with every right that this run is known to lack."""
    for system, kinds, changes in _by_system(situation, planned):
        lacking = sorted({right for kind in kinds if isinstance(kind, DemandingKind) for right in kind.lacking(connections.of(system), changes)})
        if lacking:
            raise AccessDenied(
                f"the role of this run may not make all that this manifest changes on {system}; it lacks {', '.join(lacking)}: "
                "grant that, or use another role"
            )


def objections(connections: Connections, situation: Situation, planned: Plan) -> tuple[Refusal, ...]:
    """Why it must not be this run that applies ``planned``."""
    found: list[Refusal] = []
    for system, kinds, changes in _by_system(situation, planned):
        staying = [d.address for d in situation.desired.values() if d.system == system]
        found += [r for kind in kinds if isinstance(kind, WaryKind) for r in kind.objections(connections.of(system), changes, staying)]
    return tuple(found)


def _by_system(situation: Situation, planned: Plan) -> Iterator[tuple[System, list[Kind], dict[Address, Change]]]:
    """Each system on which ``planned`` changes something, with its kinds and those changes."""
    changes: dict[System, dict[Address, Change]] = {}
    for change in planned.changes:
        if change.system is not None:
            changes.setdefault(change.system, {})[change.address] = change
    for system, of_it in sorted(changes.items(), key=lambda item: item[0]):
        yield system, [k for k in situation.kinds.values() if k.system == system.type], of_it
