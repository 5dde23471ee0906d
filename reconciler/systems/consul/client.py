"""What this program asks of Consul. python-consul2 does what it does soundly (docs/facts.md: Consul 13); the rest are requests of our own."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from types import TracebackType
from typing import Final, Self

from reconciler.model.errors import AlreadyExists, LostRace, Rejected
from reconciler.model.kind import Operation, Permission
from reconciler.model.secret import Secret
from reconciler.model.value import JSON
from reconciler.systems.consul._library import Agent
from reconciler.systems.consul._library import base as library
from reconciler.systems.consul.acl import Acl
from reconciler.systems.consul.calls import FROM_THE_LEADER, Calls, Listing, or_none
from reconciler.systems.consul.connection import ConsulSettings
from reconciler.systems.consul.faults import UnknownToken, hidden
from reconciler.systems.consul.http import HTTPClient, Log, encoded, path_of
from reconciler.systems.consul.identity import ConsulIdentity, read_identity
from reconciler.systems.consul.transactions import KvPair, TransactionDenied, TransactionRejected, concurrently, read_keys, read_trees, transact

__all__ = ["Consul", "ConsulIdentity", "KvPair", "Listing", "TransactionDenied", "TransactionRejected"]

_MAX_AUTHORIZATIONS: Final = 64
_RENEWAL_LIMIT_S: Final = 5.0


class Consul:
    """One Consul agent; threads may share it. A context manager; leaving it closes the connections.

    Everything raises a SystemFault when Consul cannot be asked or refuses. What does not exist reads as None and is deleted without complaint.
    ``log`` is called with an event's name and its fields for every request, ``pause`` to wait before a request is made again.
    """

    def __init__(self, settings: ConsulSettings, *, log: Log | None = None, pause: Callable[[float], object] = time.sleep) -> None:
        self.http = HTTPClient(settings, log=log, pause=pause)
        self.settings = settings
        agent = Agent(self.http)
        self._calls = Calls(self.http)
        self.acl = Acl(agent, self._calls)
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

    def authorize(self, permissions: Sequence[Permission], token: Secret | None = None) -> list[bool]:
        """Whether the token, our own unless it is said which, has each of the permissions; all of them where ACLs are off."""
        batches = [permissions[n : n + _MAX_AUTHORIZATIONS] for n in range(0, len(permissions), _MAX_AUTHORIZATIONS)]
        return [allowed for answers in concurrently(lambda batch: self._authorize(batch, token), batches) for allowed in answers]

    def _authorize(self, permissions: Sequence[Permission], token: Secret | None) -> list[bool]:
        body = encoded([{"Resource": p.resource, "Segment": p.segment, "Access": p.access} for p in permissions])
        reply = self.http.send("POST", "/v1/internal/acl/authorize", body=body, accept={401}, token=token)
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
        reply = self.http.send("GET", "/v1/kv/", query=[("recurse", "true"), *FROM_THE_LEADER], accept={404})
        pairs = [KvPair.of(entry) for entry in (reply.json() if reply.status == 200 else [])]
        return {pair.key: pair for pair in pairs}, reply.is_filtered

    # --- config entries -----------------------------------------------------------------------------------------------------------------

    def list_config_entries(self) -> Listing:
        """All config entries of all kinds. The empty kind is in no documentation, but in every version (docs/facts.md: Consul 2)."""
        return self._calls.list("/v1/config/")

    def read_config_entry(self, kind: str, name: str) -> JSON | None:
        """One config entry."""
        return self._calls.get(path_of("v1", "config", kind, name))

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
        return self._calls.list("/v1/catalog/nodes")

    def list_node_services(self) -> Listing:
        """All nodes with their services and checks; without the nodes' datacenter and indexes (docs/facts.md: Consul 2)."""
        return self._calls.list("/v1/internal/ui/nodes")

    def node_services(self, node: str) -> JSON | None:
        """One node (``Node``) and its services (``Services``, a list). Raises AccessDenied when Consul says that it left some out."""
        reply = self.http.send("GET", path_of("v1", "catalog", "node-services", node), query=FROM_THE_LEADER)
        if reply.is_filtered:
            raise hidden(f'node:read on "{node}", or service:read on what is there', self.settings)
        answer = reply.json()
        return answer if answer and answer.get("Node") else None

    def node_checks(self, node: str) -> Listing:
        """The health checks of one node and of what lies on it. Raises AccessDenied when Consul says that it left some out."""
        checks = self._calls.list(path_of("v1", "health", "node", node))
        if checks.is_filtered:
            raise hidden(f'node:read on "{node}", or service:read on what is there', self.settings)
        return checks

    # --- prepared queries ---------------------------------------------------------------------------------------------------------------

    def list_queries(self) -> Listing:
        """All prepared queries, whole; ``Token`` is ``<hidden>`` to who has not acl:write."""
        return self._calls.list("/v1/query")

    def read_query(self, query_id: str) -> JSON | None:
        """One prepared query."""
        found = self._calls.get(path_of("v1", "query", query_id))
        return found[0] if found else None

    def create_query(self, body: JSON) -> str:
        """Create a prepared query; its ID, which Consul chooses. Raises AlreadyExists when there is one of that name."""
        return str(self.http.send("POST", "/v1/query", body=encoded(body)).json()["ID"])

    def update_query(self, query_id: str, body: JSON) -> None:
        """Replace a prepared query: what the body omits becomes empty. There is no condition to give."""
        self.http.send("PUT", path_of("v1", "query", query_id), body=encoded({**body, "ID": query_id}))

    def delete_query(self, query_id: str) -> None:
        """Delete a prepared query."""
        self._calls.delete(path_of("v1", "query", query_id))

    # --- sessions -----------------------------------------------------------------------------------------------------------------------

    def create_session(self, name: str, ttl_s: int, lock_delay_s: int) -> str:
        """Create a session that no health check ends, only its TTL (10 to 86,400 s); its ID."""
        return str(self._sessions.create(name=name, checks=[], lock_delay=lock_delay_s, ttl=ttl_s))

    def renew_session(self, session_id: str) -> bool:
        """Let the session live for another TTL; False when it is gone."""
        # not for long: whoever holds a lock must know in time
        path = path_of("v1", "session", "renew", session_id)
        return or_none(lambda: self.http.send("PUT", path, limit_s=_RENEWAL_LIMIT_S).json()) is not None

    def destroy_session(self, session_id: str) -> None:
        """End a session."""
        self._sessions.destroy(session_id)

    def session_info(self, session_id: str) -> JSON | None:
        """A session as it is."""
        return self._sessions.info(session_id)[1]
