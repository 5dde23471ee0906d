"""What this program asks of Consul. python-consul2 does what it does soundly (docs/facts.md: Consul 13); the rest are requests of our own."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from types import TracebackType
from typing import Any, Final, Self

from reconciler.model.errors import AlreadyExists, LostRace, OutcomeUnknown, Rejected
from reconciler.model.kind import Operation, Permission
from reconciler.model.value import JSON
from reconciler.systems.consul._library import Agent
from reconciler.systems.consul._library import base as library
from reconciler.systems.consul.connection import ConsulSettings
from reconciler.systems.consul.faults import NotThere, UnknownToken, hidden
from reconciler.systems.consul.http import HTTPClient, Log, encoded, path_of
from reconciler.systems.consul.identity import ConsulIdentity, read_identity
from reconciler.systems.consul.transactions import KvPair, TransactionDenied, TransactionRejected, concurrently, read_keys, read_trees, transact

__all__ = ["Consul", "ConsulIdentity", "KvPair", "Listing", "TransactionDenied", "TransactionRejected"]

_MAX_AUTHORIZATIONS: Final = 64
_RENEWAL_LIMIT_S: Final = 5.0

# Without it, an agent with `discovery_max_stale` answers catalog requests from any server, leader or not.
_FROM_THE_LEADER: Final = (("leader", ""),)


class Listing(list[JSON]):
    """What a list call gave. ``is_filtered``: Consul says that it left out what the token may not see (the anonymous token is not told)."""

    def __init__(self, items: Iterable[JSON], *, is_filtered: bool = False) -> None:
        super().__init__(items)
        self.is_filtered = is_filtered


class Consul:
    """One Consul agent; threads may share it. A context manager; leaving it closes the connections.

    Everything raises a SystemFault when Consul cannot be asked or refuses. What does not exist reads as None and is deleted without complaint.
    ``log`` is called with an event's name and its fields for every request, ``pause`` to wait before a request is made again.
    """

    def __init__(self, settings: ConsulSettings, *, log: Log | None = None, pause: Callable[[float], object] = time.sleep) -> None:
        self.http = HTTPClient(settings, log=log, pause=pause)
        self.settings = settings
        agent = Agent(self.http)
        self._policies = library.Consul.ACL.Policy(agent)
        self._tokens = library.Consul.ACL.Tokens(agent)
        self._sessions = library.Consul.Session(agent)
        self._identity: ConsulIdentity | None = None
        self._identifying = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self.http.close()

    @property
    def requests(self) -> int:
        """How many requests were sent."""
        return self.http.requests

    # --- who is there, and what may be done ---------------------------------------------------------------------------------------------

    def identity(self) -> ConsulIdentity:
        """Which Consul this is; asked once. Raises Rejected when it is older than 1.14."""
        with self._identifying:
            if self._identity is None:
                self._identity = read_identity(self.http)
            return self._identity

    def self_token(self) -> JSON | None:
        """The token that requests are made with, without its secret; ``ExpandedPolicies`` are all its policies, those of its roles too.

        None where there is no token, or where ACLs are off. Raises AccessDenied when Consul does not know it.
        """
        reply = self.http.send("GET", "/v1/acl/token/self", query=[("expanded", "true")], accept={401, 403})
        if reply.status == 401:
            return None
        if reply.status == 403:
            if self.settings.token is None:
                return None
            raise UnknownToken(self.settings)
        token: dict[str, JSON] = reply.json()
        del token["SecretID"]
        return token

    def authorize(self, permissions: Sequence[Permission]) -> list[bool]:
        """Whether the token has each of the permissions; all of them where ACLs are off."""
        batches = [permissions[n : n + _MAX_AUTHORIZATIONS] for n in range(0, len(permissions), _MAX_AUTHORIZATIONS)]
        return [allowed for answers in concurrently(self._authorize, batches) for allowed in answers]

    def _authorize(self, permissions: Sequence[Permission]) -> list[bool]:
        body = encoded([{"Resource": p.resource, "Segment": p.segment, "Access": p.access} for p in permissions])
        reply = self.http.send("POST", "/v1/internal/acl/authorize", body=body, accept={401})
        if reply.status == 401:
            return [True] * len(permissions)
        answers = reply.json()
        if [(a["Resource"], a.get("Segment", ""), a["Access"]) for a in answers] != [(p.resource, p.segment, p.access) for p in permissions]:
            raise Rejected(f"Consul at {self.settings.address} did not answer what {reply.request} asked: nothing can be concluded from that")
        return [bool(a["Allow"]) for a in answers]

    # --- KV and transactions ------------------------------------------------------------------------------------------------------------

    def transaction(self, operations: Sequence[Operation]) -> list[JSON]:
        """Do all operations or none; the results as the API gives them. See :func:`~reconciler.systems.consul.transactions.transact`."""
        return transact(self.http, operations).entries

    def kv_get(self, keys: Iterable[str]) -> dict[str, KvPair]:
        """The entries of these keys that exist. Raises AccessDenied when one may not be read."""
        return read_keys(self.http, keys)

    def kv_tree(self, prefix: str) -> dict[str, KvPair]:
        """All entries under a prefix. Raises AccessDenied when Consul says that it left some out."""
        pairs, is_filtered = read_trees(self.http, [prefix])
        if is_filtered:
            raise hidden(f'key:read on "{prefix}"', self.settings)
        return pairs

    def list_keys(self) -> tuple[dict[str, KvPair], bool]:
        """All entries, and whether Consul says that it left some out. A transaction takes no empty prefix, and here is no key in the path."""
        reply = self.http.send("GET", "/v1/kv/", query=[("recurse", "true"), *_FROM_THE_LEADER], accept={404})
        pairs = [KvPair.of(entry) for entry in (reply.json() if reply.status == 200 else [])]
        return {pair.key: pair for pair in pairs}, reply.is_filtered

    # --- ACL ----------------------------------------------------------------------------------------------------------------------------

    def list_policies(self) -> Listing:
        """All ACL policies, without their rules; ``Hash`` covers those."""
        return Listing(self._policies.list())

    def read_policy(self, policy_id: str) -> JSON | None:
        """One policy with its rules."""
        return _or_none(lambda: self._policies.get(policy_id))

    def create_policy(self, body: JSON) -> JSON:
        """Create a policy; Consul chooses its ID. Raises AlreadyExists when there is one of that name."""
        return self._put(path_of("v1", "acl", "policy"), body)

    def update_policy(self, policy_id: str, body: JSON) -> JSON:
        """Replace a policy: what the body omits becomes empty. There is no condition to give (docs/facts.md: Consul 4)."""
        return self._put(path_of("v1", "acl", "policy", policy_id), {**body, "ID": policy_id})

    def delete_policy(self, policy_id: str) -> None:
        """Delete a policy."""
        _or_none(lambda: self._policies.delete(policy_id))

    def list_roles(self) -> Listing:
        """All ACL roles, whole."""
        return self._list("/v1/acl/roles")

    def read_role(self, role_id: str) -> JSON | None:
        """One role."""
        return self._get(path_of("v1", "acl", "role", role_id))

    def create_role(self, body: JSON) -> JSON:
        """Create a role; Consul chooses its ID. Raises AlreadyExists when there is one of that name."""
        return self._put(path_of("v1", "acl", "role"), body)

    def update_role(self, role_id: str, body: JSON) -> JSON:
        """Replace a role: what the body omits becomes empty. There is no condition to give."""
        return self._put(path_of("v1", "acl", "role", role_id), {**body, "ID": role_id})

    def delete_role(self, role_id: str) -> None:
        """Delete a role."""
        self._delete(path_of("v1", "acl", "role", role_id))

    def list_tokens(self) -> Listing:
        """All ACL tokens; ``SecretID`` is ``<hidden>`` to who may only read."""
        return Listing(self._tokens.list())

    def read_token(self, accessor_id: str) -> JSON | None:
        """One token."""
        return _or_none(lambda: self._tokens.get(accessor_id))

    def create_token(self, body: JSON) -> JSON:
        """Create a token. Raises AlreadyExists when its accessor or secret is in use.

        When the answer is lost, a body with ``AccessorID`` and ``SecretID`` tells our token from any other, so it is looked for.
        """
        try:
            return self._put(path_of("v1", "acl", "token"), body)
        except OutcomeUnknown:
            made = self.read_token(body["AccessorID"]) if body.get("AccessorID") and body.get("SecretID") else None
            if made is None or encoded(made.get("SecretID")) != encoded(body["SecretID"]):
                raise
            return made

    def update_token(self, accessor_id: str, body: JSON) -> JSON:
        """Replace a token: what the body omits becomes empty, but for its secret. There is no condition to give."""
        return self._put(path_of("v1", "acl", "token", accessor_id), {**body, "AccessorID": accessor_id})

    def delete_token(self, accessor_id: str) -> None:
        """Delete a token."""
        _or_none(lambda: self._tokens.delete(accessor_id))

    # --- config entries -----------------------------------------------------------------------------------------------------------------

    def list_config_entries(self) -> Listing:
        """All config entries of all kinds. The empty kind is in no documentation, but in every version (docs/facts.md: Consul 2)."""
        return self._list("/v1/config/")

    def read_config_entry(self, kind: str, name: str) -> JSON | None:
        """One config entry."""
        return self._get(path_of("v1", "config", kind, name))

    def write_config_entry(self, body: JSON, cas: int) -> None:
        """Write a config entry if its ModifyIndex is ``cas``; 0: if it does not exist. Raises LostRace, or for 0 AlreadyExists."""
        if self.http.send("PUT", "/v1/config", query=[("cas", cas)], body=encoded(body)).json() is not True:
            what = f"the config entry {body.get('Kind', body.get('kind'))}/{body.get('Name', body.get('name', ''))}"
            raise LostRace(f"{what} was changed by somebody else meanwhile: run again") if cas else AlreadyExists(f"{what} exists: run again")

    def delete_config_entry(self, kind: str, name: str, cas: int) -> None:
        """Delete a config entry if its ModifyIndex is ``cas``; one that is gone is no error. Raises LostRace."""
        if cas < 1:
            raise ValueError("a config entry is deleted by its ModifyIndex, which is never 0")
        if self.http.send("DELETE", path_of("v1", "config", kind, name), query=[("cas", cas)]).json() is not True:
            raise LostRace(f"the config entry {kind}/{name} was changed by somebody else meanwhile: run again")

    # --- catalog ------------------------------------------------------------------------------------------------------------------------

    def list_nodes(self) -> Listing:
        """All nodes of the catalog, without services."""
        return self._list("/v1/catalog/nodes")

    def list_node_services(self) -> Listing:
        """All nodes with their services and checks; without the nodes' datacenter and indexes (docs/facts.md: Consul 2)."""
        return self._list("/v1/internal/ui/nodes")

    def node_services(self, node: str) -> JSON | None:
        """One node (``Node``) and its services (``Services``, a list). Raises AccessDenied when Consul says that it left some out."""
        reply = self.http.send("GET", path_of("v1", "catalog", "node-services", node), query=_FROM_THE_LEADER)
        if reply.is_filtered:
            raise hidden(f'node:read on "{node}", or service:read on what is there', self.settings)
        answer = reply.json()
        return answer if answer and answer.get("Node") else None

    def node_checks(self, node: str) -> Listing:
        """The health checks of one node and of what lies on it. Raises AccessDenied when Consul says that it left some out."""
        checks = self._list(path_of("v1", "health", "node", node))
        if checks.is_filtered:
            raise hidden(f'node:read on "{node}", or service:read on what is there', self.settings)
        return checks

    # --- prepared queries ---------------------------------------------------------------------------------------------------------------

    def list_queries(self) -> Listing:
        """All prepared queries, whole; ``Token`` is ``<hidden>`` to who has not acl:write."""
        return self._list("/v1/query")

    def read_query(self, query_id: str) -> JSON | None:
        """One prepared query."""
        found = self._get(path_of("v1", "query", query_id))
        return found[0] if found else None

    def create_query(self, body: JSON) -> str:
        """Create a prepared query; its ID, which Consul chooses. Raises AlreadyExists when there is one of that name."""
        return str(self.http.send("POST", "/v1/query", body=encoded(body)).json()["ID"])

    def update_query(self, query_id: str, body: JSON) -> None:
        """Replace a prepared query: what the body omits becomes empty. There is no condition to give."""
        self.http.send("PUT", path_of("v1", "query", query_id), body=encoded({**body, "ID": query_id}))

    def delete_query(self, query_id: str) -> None:
        """Delete a prepared query."""
        self._delete(path_of("v1", "query", query_id))

    # --- sessions -----------------------------------------------------------------------------------------------------------------------

    def create_session(self, name: str, ttl_s: int, lock_delay_s: int) -> str:
        """Create a session that no health check ends, only its TTL (10 to 86,400 s); its ID."""
        return str(self._sessions.create(name=name, checks=[], lock_delay=lock_delay_s, ttl=ttl_s))

    def renew_session(self, session_id: str) -> bool:
        """Let the session live for another TTL; False when it is gone."""
        # not for long: whoever holds a lock must know in time
        path = path_of("v1", "session", "renew", session_id)
        return _or_none(lambda: self.http.send("PUT", path, limit_s=_RENEWAL_LIMIT_S).json()) is not None

    def destroy_session(self, session_id: str) -> None:
        """End a session."""
        self._sessions.destroy(session_id)

    def session_info(self, session_id: str) -> JSON | None:
        """A session as it is."""
        return self._sessions.info(session_id)[1]

    # ------------------------------------------------------------------------------------------------------------------------------------

    def _list(self, path: str) -> Listing:
        reply = self.http.send("GET", path, query=_FROM_THE_LEADER)
        return Listing(reply.json() or [], is_filtered=reply.is_filtered)

    def _get(self, path: str) -> JSON | None:
        return _or_none(lambda: self.http.send("GET", path).json())

    def _delete(self, path: str) -> None:
        _or_none(lambda: self.http.send("DELETE", path))

    def _put(self, path: str, body: Any) -> JSON:
        return self.http.send("PUT", path, body=encoded(body)).json()


def _or_none(ask: Callable[[], Any]) -> Any:
    try:
        return ask()
    except NotThere:
        return None
