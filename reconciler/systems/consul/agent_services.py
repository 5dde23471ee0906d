"""The services that one Consul agent itself has registered. Unlike the catalog's, only the agent can add and remove them."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from reconciler.model.errors import AccessDenied
from reconciler.model.secret import Secret
from reconciler.model.value import JSON
from reconciler.systems.consul.client import Consul
from reconciler.systems.consul.faults import NotThere
from reconciler.systems.consul.http import Query, encoded, path_of

# half a minute, and the time for one more question
_REMEMBERS_S: Final = 32.0
_PAUSE_S: Final = 1.0


class AgentServices:
    """Those of the agent that ``consul`` talks to, which is connected when it is first needed."""

    def __init__(self, consul: Callable[[], Consul]) -> None:
        self._consul = consul

    def services(self) -> dict[str, JSON]:
        """All that the token may see, by ID: ``Kind``, ``Service``, ``Port``, ``Address``, ``Meta``."""
        return dict(self._consul().http.send("GET", "/v1/agent/services").json() or {})

    def checks(self) -> dict[str, JSON]:
        """Their health checks, by ID: ``ServiceID``, ``Status``, ``Output``."""
        return dict(self._consul().http.send("GET", "/v1/agent/checks").json() or {})

    def register(self, body: JSON, token: Secret) -> None:
        """Add or replace one, and the checks of it that ``body`` does not name, with the service's own ``token``.

        The agent writes the token of this request to its machine's disk, and goes on using it for the service (docs/facts.md: Consul 17).
        """
        query = [("replace-existing-checks", "true")]
        self._change("/v1/agent/service/register", query=query, body=encoded(body), token=token)

    def deregister(self, service_id: str) -> None:
        """Remove one, with its checks; what is gone already is no error."""
        with suppress(NotThere):
            self._change(path_of("v1", "agent", "service", "deregister", service_id))

    def _change(self, path: str, *, query: Query = (), body: bytes | None = None, token: Secret | None = None) -> None:
        """Ask for it until it is done, or the agent must have heard of every right that there is: it goes by what it remembers (Consul 17)."""
        deadline = time.monotonic() + _REMEMBERS_S
        while True:
            try:
                self._consul().http.send("PUT", path, query=query, body=body, token=token)
            except AccessDenied:
                if time.monotonic() > deadline:
                    raise
                time.sleep(_PAUSE_S)
            else:
                return

    def lacks_of_member(self, node: str) -> str:
        """What ``node`` lacks to be a member: the servers know it, and the gossip reaches it. The agent asks them, so it must reach them itself."""
        checks = self._consul().http.send("GET", path_of("v1", "health", "node", node)).json() or []
        status = next((str(check["Status"]) for check in checks if check["CheckID"] == "serfHealth"), None)
        if status is None:
            return f"the catalog has no node {node} yet"
        return "" if status == "passing" else f"the mesh does not reach {node} yet (serfHealth is {status})"
