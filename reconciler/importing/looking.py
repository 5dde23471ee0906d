"""Everything that is live, kind by kind, and who owns it."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from glob import glob
from pathlib import Path
from typing import Final

from reconciler.engine.connections import Connections
from reconciler.importing.request import Request
from reconciler.kinds import all_kinds
from reconciler.manifest.features import LOCAL
from reconciler.model.address import Address
from reconciler.model.errors import AccessDenied, ReconcilerError, SystemFault
from reconciler.model.importable import ImportableKind, PointedKind
from reconciler.model.importing import Found
from reconciler.model.record import Record
from reconciler.model.resource import CONSUL, Live, System
from reconciler.ownership import records
from reconciler.systems.consul.client import KvPair
from reconciler.systems.consul.reader import ConsulReader

_POSTGRES_IS_MEANT: Final = ("PGHOST", "PGHOSTADDR", "PGPORT", "PGSERVICE", "PGUSER")
HERE: Final = System("host", LOCAL)
_TOGETHER: Final = "@"
"""The incarnation of what is made in one transaction with its record, which tells nothing from anything else."""


@dataclass(frozen=True, slots=True)
class Look:
    """What was found, and what is to be said about the looking itself."""

    found: Found
    warnings: tuple[str, ...]
    left_out: tuple[tuple[str, str], ...] = ()


def look(connections: Connections, request: Request) -> Look:
    """Read all kinds that can be imported: those that may be chosen, and the others for what entries refer to, as far as they may be read."""
    warnings: list[str] = []
    reader = ConsulReader(connections.consul)
    kinds = [kind for kind in all_kinds().values() if isinstance(kind, ImportableKind)]
    live = [(CONSUL, one) for kind in kinds if kind.system == "consul" for one in _find(kind, reader, request)]
    servers = _servers(connections, request, kinds, warnings)
    for server in servers:
        postgres = connections.postgres(server)
        live += [(System("postgres", server), one) for kind in kinds if kind.system == "postgres" for one in kind.find(postgres)]
    warnings += _of_what_is_hidden(reader)
    pairs = connections.consul.kv_tree(records.PREFIX).values()
    named = _identities(connections, request, servers, pairs)
    known = _decoded(pairs, named)
    pointed = {kind: _pointed(kind, request, known) for kind in kinds if isinstance(kind, PointedKind) and HERE in named}
    live += [(HERE, one) for kind, addresses in pointed.items() for one in kind.find_at(connections.host(HERE.name), addresses)]
    found, owned = _with_their_records(live, known, named, request.name)
    unread = _unread(known, request, {address for addresses in pointed.values() for address in addresses})
    return Look(Found(found, owned, connections.server_names(), request.name), tuple(warnings), tuple(unread))


def _of_what_is_hidden(reader: ConsulReader) -> Iterable[str]:
    if reader.filtered:
        hidden = ", ".join(sorted(name.replace("_", " ") for name in reader.filtered))
        yield f"Consul left out what the token may not read, in: {hidden}; use a token that may read more"
    if reader.consul.settings.token is None:
        yield "no Consul token is given: what the anonymous token may not read is missing, and Consul does not say what"


def _identities(connections: Connections, request: Request, servers: Iterable[str], pairs: Iterable[KvPair]) -> dict[System, str]:
    """Of the systems that were looked at; of this machine only where something on it is asked for, or recorded."""
    named = {system: connections.identity(system) for system in [CONSUL, *(System("postgres", server) for server in servers)]}
    if request.token_files:
        named[HERE] = connections.identity(HERE)
    elif any(_is_of_a_host(records.header(pair), request.name) for pair in pairs):
        with suppress(SystemFault):  # a machine without an identity has no records
            named[HERE] = connections.identity(HERE)
    return named


def _find(kind: ImportableKind, reader: ConsulReader, request: Request) -> Iterable[Live]:
    try:
        return list(kind.find(reader))
    except AccessDenied:
        if request.may_want(kind.name):
            raise
        return ()


def _servers(connections: Connections, request: Request, kinds: Iterable[ImportableKind], warnings: list[str]) -> list[str]:
    """The Postgres servers to ask: when they are asked for, or when the manifest or the environment says where they are."""
    wanted = [kind.name for kind in kinds if kind.system == "postgres" and request.may_want(kind.name)]
    if not wanted:
        return []
    is_named = any(name in request.kinds or any(glob.startswith(f"{name}/") for glob in request.globs) for name in wanted)
    if is_named or connections.loaded.manifest.postgres or any(connections.environ.get(name) for name in _POSTGRES_IS_MEANT):
        return connections.server_names()
    warnings.append("Postgres was not looked at: nothing says where it is; set PGHOST, or give --connections")
    return []


def _is_of_a_host(header: records.Header, name: str) -> bool:
    kind = all_kinds().get(header.kind)
    return header.owner == name and kind is not None and kind.system == HERE.type


def _unread(known: Iterable[Record], request: Request, pointed: Container[Address]) -> Iterable[tuple[str, str]]:
    """What the manifest owns and cannot be had back, when all of it is asked for."""
    if request.kinds or request.globs or request.services:
        return
    for address in sorted(record.address for record in known if record.owner == request.name):
        kind = all_kinds()[address.kind]
        if not isinstance(kind, ImportableKind) or (isinstance(kind, PointedKind) and address not in pointed):
            yield str(address), f"owned by {request.name}, and not imported: only files that hold tokens are, of what is on machines"


def _pointed(kind: PointedKind, request: Request, known: Iterable[Record]) -> list[Address]:
    """The files that are named, and those of tokens that the manifest owns."""
    ours = [r for r in known if r.system == HERE and r.owner == request.name and r.address.kind == kind.name]
    addresses = {record.address for record in ours if kind.is_told(record)}
    for pattern in request.token_files:
        paths = glob(str(Path(pattern).absolute()), recursive=True)
        if not paths:
            raise ReconcilerError(f"--token-file {pattern}: there is no such file")
        addresses |= {kind.address(HERE.name, path.removeprefix("/")) for path in paths}
    return sorted(addresses)


def _decoded(pairs: Iterable[KvPair], named: Mapping[System, str]) -> list[Record]:
    names = {(system.type, identity): system for system, identity in named.items()}
    return [records.decode(pair, all_kinds(), names) for pair in pairs]


def _with_their_records(
    live: Iterable[tuple[System, Live]], known: Iterable[Record], identities: Mapping[System, str], name: str
) -> tuple[dict[Address, Live], dict[Address, Record]]:
    """What is live, by address, and the records of it. What this manifest owns has the address that its record says."""
    known = list(known)
    by_address = {record.address: record for record in known}
    by_incarnation = {(r.address.kind, r.system_identity, r.incarnation or ""): r for r in known if r.incarnation not in (None, _TOGETHER)}
    found: dict[Address, Live] = {}
    owned: dict[Address, Record] = {}
    for system, each in live:
        one = each
        record = by_incarnation.get((one.address.kind, identities[system], one.incarnation or "")) or by_address.get(one.address)
        if record is not None:
            # the label of a token is nobody's but the manifest's
            one = replace(one, address=record.address) if record.owner == name else one
            owned[one.address] = record
        found[one.address] = one
    return found, owned
