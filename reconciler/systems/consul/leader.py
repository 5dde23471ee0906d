"""Which server leads a cluster, and how many there are: asked without any token."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

from reconciler.model.errors import SystemFault, Unreachable
from reconciler.systems.consul.client import Consul


@dataclass(frozen=True, slots=True)
class Server:
    """The address that the other servers know a server by."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def leader(consul: Consul) -> Server:
    """The leader. Raises Unreachable when there is none at the moment, or another SystemFault."""
    text = str(consul.http.send("GET", "/v1/status/leader").json() or "")
    host, _, port = text.rpartition(":")
    if not port.isdecimal():
        raise Unreachable(f"the cluster of Consul at {consul.settings.address} has no leader: see that most of its servers run, and try again")
    return Server(host.strip("[]"), int(port))


def servers(consul: Consul) -> int:
    """How many servers the cluster has, whether they run or not. Raises a SystemFault."""
    return len(consul.http.send("GET", "/v1/status/peers").json() or ())


def node_name(consul: Consul, server: Server) -> str | None:
    """The node with this address; None where the catalog may not be read."""
    with suppress(SystemFault):
        return next((str(node["Node"]) for node in consul.list_nodes() if node["Address"] == server.host), None)
    return None
