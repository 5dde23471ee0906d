"""The services that one Consul agent itself has registered. Unlike the catalog's, only the agent can add and remove them."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from reconciler.model.value import JSON
from reconciler.systems.consul.client import Consul
from reconciler.systems.consul.faults import NotThere
from reconciler.systems.consul.http import encoded, path_of


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

    def register(self, body: JSON) -> None:
        """Add or replace one, and the checks of it that ``body`` does not name."""
        self._consul().http.send("PUT", "/v1/agent/service/register", query=[("replace-existing-checks", "true")], body=encoded(body))

    def deregister(self, service_id: str) -> None:
        """Remove one, with its checks; what is gone already is no error."""
        with suppress(NotThere):
            self._consul().http.send("PUT", path_of("v1", "agent", "service", "deregister", service_id))

    def lacks_of_member(self, node: str) -> str:
        """What ``node`` lacks to be a member: the servers know it, and the gossip reaches it. The agent asks them, so it must reach them itself."""
        checks = self._consul().http.send("GET", path_of("v1", "health", "node", node)).json() or []
        status = next((str(check["Status"]) for check in checks if check["CheckID"] == "serfHealth"), None)
        if status is None:
            return f"the catalog has no node {node} yet"
        return "" if status == "passing" else f"the mesh does not reach {node} yet (serfHealth is {status})"
