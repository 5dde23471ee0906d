"""The management tokens that were there before: listed, and deleted when that is wanted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from reconciler.credentials.checks import GLOBAL_MANAGEMENT
from reconciler.model.errors import AccessDenied, ReconcilerError
from reconciler.model.kind import Permission
from reconciler.model.secret import Secret
from reconciler.systems.consul.client import Consul
from reconciler.systems.consul.connection import ConsulSettings


@dataclass(frozen=True, slots=True)
class OldToken:
    """``kept``: why it is never deleted here; empty when it may be."""

    accessor: str
    description: str
    kept: str


def proved(settings: ConsulSettings, secret: Secret) -> dict[str, Any]:
    """The new token as Consul has it. Raises ReconcilerError when it may not do everything, AccessDenied when Consul does not know it."""
    with Consul(replace(settings, token=secret, token_from="the new archive")) as consul:  # noqa: S106  # where it is from, not what it is
        token: dict[str, Any] | None = consul.self_token()
    if token is None or not any(policy["ID"] == GLOBAL_MANAGEMENT for policy in token.get("Policies") or ()):
        raise ReconcilerError(f"Consul at {settings.address} knows the new token, but it has not the policy global-management: run the same again")
    return token


def old_tokens(settings: ConsulSettings, secret: Secret, new: dict[str, Any]) -> tuple[OldToken, ...]:
    """Every other token that may do everything and was made before: by the policy global-management, or by ``acl:write``, which is as good.

    Consul is asked that of each, so it does not matter which policy, role or identity gives it. Raises a SystemFault.
    """
    with Consul(replace(settings, token=None, token_from="")) as consul:
        agents = _accessor_without_token(consul)
    with Consul(replace(settings, token=secret, token_from="the new archive")) as consul:  # noqa: S106
        tokens = sorted(consul.acl.list_tokens(), key=lambda token: int(token["CreateIndex"]))
        return tuple(
            OldToken(token["AccessorID"], str(token.get("Description") or ""), _why_kept(token, agents))
            for token in tokens
            if token["AccessorID"] != new["AccessorID"]
            and token["CreateIndex"] < new["CreateIndex"]
            and (_is_management(token) or _may_write_acl(consul, Secret(token["SecretID"])))
        )


def _is_management(token: dict[str, Any]) -> bool:
    return any(policy["ID"] == GLOBAL_MANAGEMENT for policy in token.get("Policies") or ())


def _may_write_acl(consul: Consul, secret: Secret) -> bool:
    try:
        return consul.authorize([Permission("acl", "", "write")], token=secret)[0]
    except AccessDenied:  # it was deleted, or has expired, meanwhile
        return False


def revoke(settings: ConsulSettings, secret: Secret, tokens: Sequence[OldToken], tell: Callable[[str], object]) -> None:
    """Delete those that may be; ``tell`` is told of each. Raises a SystemFault."""
    with Consul(replace(settings, token=secret, token_from="the new archive")) as consul:  # noqa: S106
        for token in tokens:
            if not token.kept:
                consul.acl.delete_token(token.accessor)
                tell(f"deleted {token.accessor}")


def _accessor_without_token(consul: Consul) -> str:
    """The token that the agent itself uses for requests without one; empty when that is none."""
    reply = consul.http.send("GET", "/v1/acl/token/self", accept={401, 403})
    return str(reply.json().get("AccessorID", "")) if reply.status not in (401, 403) else ""


def _why_kept(token: dict[str, Any], agents: str) -> str:
    if token["AccessorID"] == agents:
        return "the agent on this machine uses it"
    if not _is_management(token):
        return "it may by other policies or roles"
    others = [policy for policy in token.get("Policies") or () if policy["ID"] != GLOBAL_MANAGEMENT]
    if others or any(token.get(name) for name in ("Roles", "ServiceIdentities", "NodeIdentities", "TemplatedPolicies")):
        return "it has other policies too"
    return ""
