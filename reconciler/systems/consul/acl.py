"""Policies, roles and tokens of Consul's ACL system. There is no condition to give with any write (docs/facts.md: Consul 4)."""

from __future__ import annotations

from typing import Final

from reconciler.model.errors import OutcomeUnknown
from reconciler.model.secret import Hidden, Secret
from reconciler.model.value import JSON
from reconciler.systems.consul._library import Agent
from reconciler.systems.consul._library import base as library
from reconciler.systems.consul.calls import Calls, Listing, or_none
from reconciler.systems.consul.http import encoded, path_of

_WITHHELD: Final = "<hidden>"
"""What Consul answers in the place of a secret to who has not acl:write."""


def secret_or_hidden(answered: str | None, why: str) -> Secret | Hidden:
    """A secret as Consul answers it, to who may see it; else ``why`` it cannot be read."""
    return Secret(answered) if answered and answered != _WITHHELD else Hidden(why)


class Acl:
    """The ACL objects of one agent. What does not exist reads as None and is deleted without complaint."""

    def __init__(self, agent: Agent, calls: Calls) -> None:
        self._calls = calls
        self._policies = library.Consul.ACL.Policy(agent)
        self._tokens = library.Consul.ACL.Tokens(agent)

    def list_policies(self) -> Listing:
        """All ACL policies, without their rules; ``Hash`` covers those."""
        return Listing(self._policies.list())

    def read_policy(self, policy_id: str) -> JSON | None:
        """One policy with its rules."""
        return or_none(lambda: self._policies.get(policy_id))

    def create_policy(self, body: JSON) -> JSON:
        """Create a policy; Consul chooses its ID. Raises AlreadyExists when there is one of that name."""
        return self._calls.put(path_of("v1", "acl", "policy"), body)

    def update_policy(self, policy_id: str, body: JSON) -> JSON:
        """Replace a policy: what the body omits becomes empty. There is no condition to give (docs/facts.md: Consul 4)."""
        return self._calls.put(path_of("v1", "acl", "policy", policy_id), {**body, "ID": policy_id})

    def delete_policy(self, policy_id: str) -> None:
        """Delete a policy."""
        or_none(lambda: self._policies.delete(policy_id))

    def list_roles(self) -> Listing:
        """All ACL roles, whole."""
        return self._calls.list("/v1/acl/roles")

    def read_role(self, role_id: str) -> JSON | None:
        """One role."""
        return self._calls.get(path_of("v1", "acl", "role", role_id))

    def create_role(self, body: JSON) -> JSON:
        """Create a role; Consul chooses its ID. Raises AlreadyExists when there is one of that name."""
        return self._calls.put(path_of("v1", "acl", "role"), body)

    def update_role(self, role_id: str, body: JSON) -> JSON:
        """Replace a role: what the body omits becomes empty. There is no condition to give."""
        return self._calls.put(path_of("v1", "acl", "role", role_id), {**body, "ID": role_id})

    def delete_role(self, role_id: str) -> None:
        """Delete a role."""
        self._calls.delete(path_of("v1", "acl", "role", role_id))

    def list_tokens(self) -> Listing:
        """All ACL tokens; ``SecretID`` is ``<hidden>`` to who may only read."""
        return Listing(self._tokens.list())

    def read_token(self, accessor_id: str) -> JSON | None:
        """One token."""
        return or_none(lambda: self._tokens.get(accessor_id))

    def create_token(self, body: JSON) -> JSON:
        """Create a token. Raises AlreadyExists when its accessor or secret is in use.

        When the answer is lost, a body with ``AccessorID`` and ``SecretID`` tells our token from any other, so it is looked for.
        """
        try:
            return self._calls.put(path_of("v1", "acl", "token"), body)
        except OutcomeUnknown:
            made = self.read_token(body["AccessorID"]) if body.get("AccessorID") and body.get("SecretID") else None
            if made is None or encoded(made.get("SecretID")) != encoded(body["SecretID"]):
                raise
            return made

    def update_token(self, accessor_id: str, body: JSON) -> JSON:
        """Replace a token: what the body omits becomes empty, but for its secret. There is no condition to give."""
        return self._calls.put(path_of("v1", "acl", "token", accessor_id), {**body, "AccessorID": accessor_id})

    def delete_token(self, accessor_id: str) -> None:
        """Delete a token."""
        or_none(lambda: self._tokens.delete(accessor_id))
