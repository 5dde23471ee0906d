"""What is live: every system is asked in bulk, and an answer that may be incomplete is an error, never an absence (docs/design.md §5)."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from reconciler.engine.connections import Connections
from reconciler.engine.guard import Own
from reconciler.engine.own import own_of
from reconciler.engine.reading import read_all, system_of
from reconciler.engine.scope import WHOLE, Scope
from reconciler.engine.situation import Situation
from reconciler.kinds import all_kinds
from reconciler.manifest.loaded import LoadedManifest
from reconciler.manifest.secret_walk import connection_references
from reconciler.manifest.suggestion import closest
from reconciler.model.address import Address
from reconciler.model.diagnostic import Diagnostic
from reconciler.model.errors import AccessDenied, ManifestError, ReconcilerError, Refused, Unreachable
from reconciler.model.kind import ForeseeingKind, Permission, Wanted
from reconciler.model.record import Record
from reconciler.model.resource import CONSUL, Desired, System
from reconciler.model.secret import Reference, SecretSource
from reconciler.model.value import Value, all_of, replaced
from reconciler.ownership import lock, records
from reconciler.systems.consul.identity import ConsulIdentity

if TYPE_CHECKING:
    from reconciler.systems.consul.transactions import KvPair

_NOTHING_MOVED: Final[Mapping[str, System]] = MappingProxyType({})
_SUPPORTED_CONNECTIONS = frozenset({"postgres.password.kv", "postgres.os_user", "postgres.via", "hosts", "secrets.bootstrap_token"})
"""What of a manifest's features the systems answer for, and no kind."""


@dataclass(frozen=True, slots=True)
class Observation:
    """The situation of a run, and what the guard must know besides."""

    situation: Situation
    own: Own
    record_indexes: Mapping[str, int]


def unsupported(loaded: LoadedManifest) -> list[Diagnostic]:
    """What the manifest asks for and no kind or system answers for yet."""
    covered = frozenset().union(*(k.covers for k in all_kinds().values())) | _SUPPORTED_CONNECTIONS
    return [
        Diagnostic(place, subject, "not supported yet", "remove it, or use a newer version")
        for feature, subject, place in loaded.features()
        if feature not in covered
    ]  # fmt: skip


def declare(loaded: LoadedManifest) -> dict[Address, Desired]:
    """Every resource that the manifest wants, by address. Raises ManifestError for what cannot be expressed, every mistake at once."""
    desired: dict[Address, Desired] = {}
    mistakes: list[Diagnostic] = []
    for kind in all_kinds().values():
        try:
            desired |= {d.address: d for d in kind.declare(loaded)}
        except ManifestError as error:
            mistakes += error.diagnostics
    if mistakes:
        raise ManifestError(sorted(dict.fromkeys(mistakes), key=_by_place))
    return desired


def completed(error: ManifestError) -> ManifestError:
    """A manifest's mistakes together with those that only the kinds see in the part of it that is sound."""
    if not isinstance(error.sound, LoadedManifest):
        return error
    try:
        declare(error.sound)
    except ManifestError as more:
        return ManifestError(sorted(dict.fromkeys([*error.diagnostics, *more.diagnostics]), key=_by_place))
    return error


def _by_place(diagnostic: Diagnostic) -> tuple[str, int, int, str]:
    place = diagnostic.place
    return (place.file, place.line, place.column, diagnostic.what) if place else ("", 0, 0, diagnostic.what)


def observe(
    connections: Connections, desired: Mapping[Address, Desired], *, write: bool, only_recorded: bool = False, scope: Scope = WHOLE,
    moved: Mapping[str, System] = _NOTHING_MOVED,
) -> Observation:  # fmt: skip
    """Read everything that a plan for ``desired`` needs to know.

    ``write``: also make sure that the token may write it. ``only_recorded``: resolve no secrets and look only at what is recorded. What ``scope``
    leaves out, and nothing in it could need, is not read. ``moved`` are systems by identities that they had before. Raises ReconcilerError for
    a part of the scope that means nothing.
    """
    return _Observer(connections, desired, write=write, only_recorded=only_recorded, scope=scope, moved=moved).observe()


class _Observer:
    def __init__(
        self,
        connections: Connections,
        desired: Mapping[Address, Desired],
        *,
        write: bool,
        only_recorded: bool,
        scope: Scope,
        moved: Mapping[str, System],
    ) -> None:
        self.scope = scope
        self.moved = moved
        self.connections = connections
        self.kinds = all_kinds()
        self.write = write
        self.desired = desired
        self.only_recorded = only_recorded

    def observe(self) -> Observation:
        _refuse_secondary(self.connections.demand_consul())
        consul = self.connections.consul
        token = consul.self_token()
        try:
            pairs = consul.kv_tree(records.PREFIX)
        except AccessDenied:
            self._preflight(self._wanted({}).values())  # says everything that is missing, and not only this
            raise
        headers = {k: records.header(p) for k, p in pairs.items()}
        own = {k: h for k, h in headers.items() if h.owner == self.connections.loaded.name}
        surely = self.scope.reach(self.desired, {}, self._replaces, self._key) if self.scope.is_partial else frozenset(self.desired)
        try:
            identities = self._identities(own.values(), surely)
        except AccessDenied:
            self._preflight(self._wanted({}, surely).values())  # a connection's secret may be in Consul: everything that is missing at once
            raise
        names = {(s.type, i): s for s, i in identities.items()} | {(s.type, i): s for i, s in self.moved.items()}
        mine = [records.decode(pairs[k], self.kinds, names) for k in sorted(own)]
        reach = self._reach(mine, pairs)
        dragged_along = {d.system for a, d in self.desired.items() if reach is not None and a in reach}
        identities |= {s: self.connections.identity(s) for s in sorted(dragged_along - identities.keys())}
        keys = {a: records.key_of(a, d.system, identities[d.system]) for a, d in self.desired.items() if d.system in identities}
        needs = {n: system_of(n, self.kinds) for d in self.desired.values() for n in d.needs}
        keys |= {n: records.key_of(n, s, identities[s]) for n, s in needs.items() if s in identities}
        others = {k: records.decode(pairs[k], self.kinds, names) for k in sorted(set(keys.values()) & pairs.keys() - own.keys())}
        by_address = {r.address: r for r in (*mine, *others.values()) if r.system is not None}
        foreseeing = sorted(k for k in headers.keys() - own.keys() if isinstance(self.kinds.get(headers[k].kind), ForeseeingKind))
        wanted = self._wanted(by_address, reach)
        self._preflight(wanted.values())
        answers = read_all(self.connections, self.kinds, wanted)
        live = answers.live
        desired = dict(self.desired)
        if not self.only_recorded:
            desired |= {a: self._resolved(d) for a, d in self.desired.items() if reach is None or a in reach}
        situation = Situation(
            name=self.connections.loaded.name, desired=desired, records=by_address, live=live, kinds=self.kinds, keys=keys, systems=identities,
            unknown_systems=tuple(r for r in mine if r.system is None and (reach is None or self._is_reached(r, pairs, reach))),
            scope=self.scope, reach=reach, files=self.connections.loaded.files,
            needed_elsewhere=_needed_elsewhere(headers, own), elsewhere=tuple(records.decode(pairs[k], self.kinds, names) for k in foreseeing),
            incarnations_elsewhere={
                (h.kind, h.incarnation): (k.removeprefix(records.PREFIX), h.owner) for k, h in headers.items() if k not in own and h.incarnation
            },
            findings=answers.findings,
        )  # fmt: skip
        roles = {s.name: self.connections.postgres(s.name).me.name for s in identities if s.type == "postgres"}
        return Observation(situation, own_of(token, roles, live), {k: p.modify_index for k, p in pairs.items()})

    def _reach(self, mine: Iterable[Record], pairs: Mapping[str, KvPair]) -> frozenset[Address] | None:
        """What the scope could drag along. A record on a system that is not reached counts under the name that it was written with."""
        if not self.scope.is_partial:
            return None
        by_address = {r.address if r.system else self._as_written(pairs[r.key]): r for r in mine}
        known = {*self.desired, *by_address}
        for option, glob in self.scope.unmatched(known):
            guess = closest(glob, map(str, known))
            remedy = f"did you mean {guess}?" if guess else "see reconciler owned list, and the manifest"
            raise ReconcilerError(f"{option} {glob!r} matches nothing that is in the manifest or owned by it: {remedy}")
        if self.only_recorded:
            return frozenset(a for a in by_address if self.scope.selects(a))
        return self.scope.reach(self.desired, by_address, self._replaces, self._key)

    def _is_reached(self, record: Record, pairs: Mapping[str, KvPair], reach: frozenset[Address]) -> bool:
        return self._as_written(pairs[record.key]) in reach

    def _as_written(self, pair: KvPair) -> Address:
        return records.decode(pair, self.kinds, None).address

    def _replaces(self, address: Address) -> bool:
        return self.kinds[address.kind].replaces

    def _key(self, address: Address) -> str:
        return records.key_of(address, system_of(address, self.kinds), "")

    def _identities(self, own: Iterable[records.Header], reach: frozenset[Address]) -> dict[System, str]:
        """The identity of each system that is wanted; and of every declared one, when a record of ours is on none of those."""
        wanted = [self.desired[a] for a in reach]
        systems = {CONSUL, *self.moved.values()} | {d.system for d in wanted} | {system_of(n, self.kinds) for d in wanted for n in d.needs}
        recorded = {(self.kinds[h.kind].system, h.system_identity) for h in own if h.kind in self.kinds}
        identities = self.connections.identities(systems)
        reached = {(s.type, i) for s, i in identities.items()} | {(s.type, i) for i, s in self.moved.items()}
        missing = {t for t, i in recorded - reached}
        if "postgres" in missing:
            for name in self.connections.server_names():
                # Asked only to find out whether it is the one: when it cannot be, our records there are refused, by name.
                with suppress(Unreachable, AccessDenied):
                    identities[System("postgres", name)] = self.connections.identity(System("postgres", name))
        if "host" in missing:
            for name in self.connections.host_names():
                with suppress(Unreachable, AccessDenied):
                    identities[System("host", name)] = self.connections.identity(System("host", name))
        _refuse_doubles(identities)
        return identities

    def _wanted(self, by_address: Mapping[Address, Record], reach: frozenset[Address] | None = None) -> dict[Address, Wanted]:
        name = self.connections.loaded.name
        desired = self.desired if reach is None else {a: d for a, d in self.desired.items() if a in reach}
        wanted = {a: Wanted(a, name, d, by_address.get(a)) for a, d in desired.items()}
        for address, record in by_address.items():
            if record.owner == name and (reach is None or address in reach):
                wanted.setdefault(address, Wanted(address, name, None, record, leaving=not self.only_recorded))
        referred = {n for d in desired.values() for n in d.must_exist} | {r.address for d in desired.values() for r in all_of(d.fields, Reference)}
        servers = {d.system.name for d in desired.values()} | {r.system.name for r in by_address.values() if r.system is not None}
        for address in referred | connection_references(self.connections.loaded.manifest, servers):
            wanted.setdefault(address, Wanted(address, name))
        return wanted

    def _preflight(self, wanted: Iterable[Wanted]) -> None:
        lock_key = lock.PREFIX + self.connections.loaded.name
        asked = {Permission("key", records.PREFIX, "read")}
        if self.write:
            asked |= {Permission("key", records.PREFIX, "write"), Permission("key", lock_key, "write")}
            node = self.connections.consul.identity().node_name
            asked |= {Permission("session", node, "write")} if node else set()
        for want in wanted:
            kind = self.kinds[want.address.kind]
            asked |= {
                replace(p, address=want.address) for p in kind.permissions(want, write=self.write and (want.desired or want.record) is not None)
            }
        ordered = sorted(asked, key=lambda p: (p.resource, p.segment, p.access))
        denied = [p for p, allowed in zip(ordered, self.connections.consul.authorize(ordered), strict=True) if not allowed]
        if denied:
            missing = ", ".join(map(str, denied))
            doing = "read and write" if self.write else "read"
            raise AccessDenied(
                f"the Consul token may not {doing} everything that this manifest touches; it lacks {missing}: grant that, or use another token"
            )

    def _resolved(self, desired: Desired) -> Desired:
        return replace(desired, fields=_resolve(desired.fields, self.connections))


def _needed_elsewhere(headers: Mapping[str, records.Header], own: Container[str]) -> dict[str, str]:
    """Which of our own records those of other manifests need, by key, each with one that does."""
    users: dict[str, str] = {}
    for key, header in sorted(headers.items()):
        if key not in own:
            users |= {need: f"{key.removeprefix(records.PREFIX)} of {header.owner}" for need in header.needs if need in own}
    return users


def _resolve(fields: Mapping[str, Value], connections: Connections) -> dict[str, Value]:
    def fetched(source: SecretSource) -> Value:
        secret = connections.secret(source)
        return secret if source.masked else secret.reveal()

    return {key: replaced(value, SecretSource, fetched) for key, value in fields.items()}


def _refuse_secondary(identity: ConsulIdentity) -> None:
    if identity.is_secondary:
        raise Refused(
            f"this agent is in the secondary datacenter {identity.datacenter}: policies and config entries are global and belong to the primary, "
            f"{identity.primary_datacenter}: run it there"
        )


def _refuse_doubles(identities: Mapping[System, str]) -> None:
    seen: dict[tuple[str, str], System] = {}
    for system, identity in identities.items():
        other = seen.setdefault((system.type, identity), system)
        if other is not system:
            raise ReconcilerError(f"{other} and {system} are one and the same system ({identity}): name it once")
