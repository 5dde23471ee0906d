"""What external nodes and the services on them have in common: both are read out of one list of all nodes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from reconciler.model.address import Address
from reconciler.model.value import JSON
from reconciler.systems.consul.reader import ConsulReader

_AGENT_CHECK: Final = "serfHealth"
_PROBE_CHECK: Final = "externalNodeHealth"
"""What consul-esm registers on every node that it is to probe (``external-probe``), whose it is not; without the node it registers none."""


def node_address(node: str) -> Address:
    """The address of a node; Consul folds the case of its name."""
    return Address.of("external-node", node, fold=True)


def service_address(node: str, service_id: str) -> Address:
    """The address of one service on a node; Consul folds the case of both."""
    return Address.of("external-service", node, service_id, fold=True)


def check_address(node: str, check_id: str) -> Address:
    """How a check of the node itself is called; nothing manages one."""
    return Address.of("external-check", node, check_id, fold=True)


def checks_of_the_node(checks: Iterable[Mapping[str, JSON]]) -> list[str]:
    """The IDs of those checks that belong to the node itself and not to a service: somebody registered them, and they go with the node."""
    return sorted(check["CheckID"] for check in checks if not check["ServiceID"] and check["CheckID"] != _PROBE_CHECK)


def nodes_with_services(system: ConsulReader) -> dict[str, Mapping[str, JSON]]:
    """Every node with its services and checks, by its name in lower case. Nodes that a cluster peer exports are none of ours."""
    return {node["Node"].lower(): node for node in system.node_services() if not node.get("PeerName")}


def is_agent(node: Mapping[str, JSON]) -> bool:
    """Whether a Consul agent runs under this node's name. It removes what it does not know from the node within minutes (docs/facts.md: Consul 9)."""
    return any(check["CheckID"] == _AGENT_CHECK for check in node.get("Checks") or ())
