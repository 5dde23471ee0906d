"""Whether this machine's server leads the cluster: only there a reset works."""

from __future__ import annotations

import socket
from dataclasses import dataclass, replace
from ipaddress import ip_address

from reconciler.credentials.regeneration.place import Place
from reconciler.model.errors import ReconcilerError, Refused
from reconciler.systems.consul.client import Consul
from reconciler.systems.consul.connection import ConsulSettings
from reconciler.systems.consul.leader import Server, leader, node_name, servers


@dataclass(frozen=True, slots=True)
class Cluster:
    """``name`` is the datacenter. ``servers``: how many there are."""

    name: str
    trust_domain: str
    leader: Server
    servers: int


def demand_leader(settings: ConsulSettings, place: Place) -> Cluster:
    """The cluster, when its leader is the server of this machine.

    Raises Refused, naming the leader, when it is another one, and ReconcilerError or a SystemFault when that cannot be told.
    """
    if not settings.is_on_this_machine:
        raise ReconcilerError(f"Consul at {settings.address} is on another machine: unset CONSUL_HTTP_ADDR, and run this on the leader itself")
    with Consul(replace(settings, token=None, token_from="")) as consul:
        identity = consul.identity()
        found = leader(consul)
        if not _is_ours(found, place):
            name = node_name(consul, found)
            which = f"{name} ({found})" if name else str(found)
            raise Refused(f"the leader of {identity.datacenter} is {which}, not this machine, and only there this works: run the same on {which}")
        return Cluster(identity.datacenter, identity.trust_domain, found, servers(consul))


def _is_ours(server: Server, place: Place) -> bool:
    addresses, port = place.own_addresses()
    if server.port != port:
        return False
    if addresses:
        return any(_same(address, server.host) for address in addresses)
    return _is_of_this_machine(server.host)


def _same(one: str, other: str) -> bool:
    try:
        return ip_address(one) == ip_address(other)
    except ValueError:
        return one == other


def _is_of_this_machine(host: str) -> bool:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((host, 0))  # only an own address can be bound
        except OSError:
            return False
    return True
