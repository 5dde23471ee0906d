"""Which Consul this is: its trust domain and datacenter, which stay while servers come and go."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final

from reconciler.model.errors import AccessDenied, Rejected, Unreachable
from reconciler.systems.consul._library import Agent
from reconciler.systems.consul._library import base as library
from reconciler.systems.consul.faults import NotThere, UnknownToken
from reconciler.systems.consul.http import HTTPClient

OLDEST: Final = (1, 14)
"""The oldest version of Consul whose conditional writes and filter headers are what this package relies on."""


@dataclass(frozen=True, slots=True)
class ConsulIdentity:
    """``primary_datacenter`` is None where there is only one datacenter and none was configured. ``node_name`` is that of the agent, None where it
    cannot be told: sessions belong to that node, and creating one takes ``session:write`` on it.
    """

    trust_domain: str
    datacenter: str
    primary_datacenter: str | None
    version: str
    node_name: str | None

    @property
    def text(self) -> str:
        """What is written into records: ``11111111-2222-3333-4444-555555555555.consul/dc1``."""
        return f"{self.trust_domain}/{self.datacenter}"

    @property
    def is_secondary(self) -> bool:
        """Whether policies and config entries of this datacenter belong to another."""
        return self.primary_datacenter not in (None, self.datacenter)


def read_identity(http: HTTPClient) -> ConsulIdentity:
    """Ask the agent who it is: two requests with ``agent:read`` on it, four without (five where there are several datacenters).

    Raises Rejected when Consul is too old or has Connect switched off, AccessDenied when it does not know the token.
    """
    agent = Agent(http)
    trust_domain = _trust_domain(agent, http)
    try:
        config = library.Consul.Agent(agent).self()["Config"]
    except UnknownToken:
        raise
    except AccessDenied as denied:
        return _without_agent_read(http, agent, trust_domain, str(denied))
    except (KeyError, TypeError):
        raise Rejected(f"what answers at {http.settings.address} is not Consul: correct {http.settings.point}") from None
    _demand_version(config["Version"], http)
    return ConsulIdentity(trust_domain, config["Datacenter"], config.get("PrimaryDatacenter") or None, config["Version"], config["NodeName"])


def _trust_domain(agent: Agent, http: HTTPClient) -> str:
    where = f"Consul at {http.settings.address}"
    try:
        roots = library.Consul.Connect.Certificates(agent).list()
    except Rejected as rejected:
        if "Connect must be enabled" in str(rejected):
            raise Rejected(f"{where} has its service mesh switched off: set connect {{ enabled = true }}") from None
        raise
    except NotThere:
        raise Rejected(f"what answers at {http.settings.address} is not Consul: correct {http.settings.point}") from None
    domain = roots.get("TrustDomain") if isinstance(roots, dict) else None
    if not domain:
        raise Unreachable(f"{where} has no certificate authority yet: try again when it has started")
    return str(domain)


def _without_agent_read(http: HTTPClient, agent: Agent, trust_domain: str, denial: str) -> ConsulIdentity:
    """From endpoints that need no permission. The datacenters come with the agent's own first (``Router.GetDatacentersByDistance``)."""
    try:
        version = str(http.send("GET", "/v1/agent/version").json()["HumanVersion"])
    except NotThere:
        raise _too_old("this version", http) from None
    _demand_version(version, http)
    datacenters: list[str] = library.Consul.Catalog(agent).datacenters()
    primary: str | None = None
    if len(datacenters) > 1:
        replication: dict[str, Any] = http.send("GET", "/v1/acl/replication").json()
        primary = replication["SourceDatacenter"] if replication["Enabled"] else datacenters[0]
    node = re.search(r'agent:read on "([^"]+)"', denial)
    return ConsulIdentity(trust_domain, datacenters[0], primary, version, node[1] if node else None)


def _demand_version(version: str, http: HTTPClient) -> None:
    found = re.match(r"(\d+)\.(\d+)", version)
    if found is None or (int(found[1]), int(found[2])) < OLDEST:
        raise _too_old(version, http)


def _too_old(version: str, http: HTTPClient) -> Rejected:
    return Rejected(f"Consul at {http.settings.address} is too old ({version}): use {OLDEST[0]}.{OLDEST[1]} or newer")
