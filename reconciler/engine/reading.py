"""Asks every system for what is wanted of it, several systems and kinds at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import reduce
from operator import or_
from typing import Any, Final

from reconciler.engine.connections import Connections
from reconciler.model.address import Address
from reconciler.model.kind import Finding, HostKind, InnerKind, InspectingKind, Kind, Wanted
from reconciler.model.resource import CONSUL, Live, System
from reconciler.systems.consul.reader import ConsulReader

_THREADS: Final = 8
_Group = tuple[Kind, Sequence[Wanted]]


def system_of(address: Address, kinds: Mapping[str, Kind]) -> System:
    """The system that a resource lives in."""
    kind = kinds[address.kind]
    return CONSUL if kind.system == "consul" else System(kind.system, address.segments[0])


@dataclass(frozen=True, slots=True)
class Answers:
    """What is live, and what was found out about machines besides, by address."""

    live: Mapping[Address, Live]
    findings: tuple[Finding, ...]


def read_all(connections: Connections, kinds: Mapping[str, Kind], wanted: Mapping[Address, Wanted]) -> Answers:
    """What is live of ``wanted``. Raises a SystemFault for whatever could not be read completely."""
    groups: dict[System, dict[str, list[Wanted]]] = {}
    for address, want in wanted.items():
        groups.setdefault(system_of(address, kinds), {}).setdefault(address.kind, []).append(want)
    reader = ConsulReader(connections.consul)
    with ThreadPoolExecutor(_THREADS) as pool:
        futures: list[Future[Any]] = []
        for system, by_kind in sorted(groups.items()):
            mine = [(kinds[name], group) for name, group in sorted(by_kind.items())]
            if system.type == "postgres":
                futures.append(pool.submit(_read_server, connections, system, mine))
            elif system.type == "host":
                futures.append(pool.submit(_read_host, connections, system, mine))
            else:
                futures += [pool.submit(_read, kind, reader, group) for kind, group in mine]
        answers = [answer for future in futures for answer in future.result()]
    findings = sorted((a for a in answers if isinstance(a, Finding)), key=lambda f: f.address)
    return Answers({a.address: a for a in answers if isinstance(a, Live)}, tuple(findings))


def _read(kind: Kind, system: Any, group: Sequence[Wanted]) -> list[Live]:
    return list(kind.read(system, group))


def _read_server(connections: Connections, system: System, groups: Sequence[_Group]) -> list[Live]:
    """One connection to a server, and one to each database that is looked into: its kinds are read one after the other."""
    server = connections.postgres(system.name)
    found = [live for kind, group in groups if not isinstance(kind, InnerKind) for live in _read(kind, server, group)]
    inner = [(kind, group) for kind, group in groups if isinstance(kind, InnerKind)]
    databases = {want.address.segments[1] for _, group in inner for want in group}

    def ask(name: str, session: Any) -> list[Live]:
        here = [(kind, [w for w in group if w.address.segments[1] == name]) for kind, group in inner]
        return [live for kind, group in here if group for live in kind.read_inside(session, group)]

    return found + (server.in_each_database(databases, ask) if databases else [])


def _read_host(connections: Connections, system: System, groups: Sequence[_Group]) -> list[Live | Finding]:
    """One round trip to a machine, whatever is asked of it."""
    host = connections.host(system.name)
    found: list[Live | Finding] = [live for kind, group in groups if not isinstance(kind, HostKind) for live in _read(kind, host, group)]
    asking = [(kind, group) for kind, group in groups if isinstance(kind, HostKind)]
    if not asking:
        return found
    facts = host.inquire(reduce(or_, [kind.asks(group) for kind, group in asking]))
    for kind, group in asking:
        found += kind.told(group, facts)
        found += kind.findings(group, facts) if isinstance(kind, InspectingKind) else ()
    return found
