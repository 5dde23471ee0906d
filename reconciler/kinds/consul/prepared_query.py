"""Prepared queries: named questions to the catalog, which DNS can ask too."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, Final

from reconciler.kinds.consul._durations import go_text, nanoseconds
from reconciler.kinds.consul._order import planned
from reconciler.manifest.loaded import LoadedManifest
from reconciler.manifest.models import PreparedQuery as Entry
from reconciler.manifest.models import QueryTarget
from reconciler.model.address import Address
from reconciler.model.errors import LostRace, Rejected
from reconciler.model.field_rules import FieldRules
from reconciler.model.importing import Expression, Found, Needed, stated, variable
from reconciler.model.kind import DirectKind, Made, Order, Permission, Wanted
from reconciler.model.resource import CONSUL, Desired, Live, SystemType
from reconciler.model.secret import Hidden, Reference, Secret
from reconciler.model.value import JSON, Value
from reconciler.systems.consul.acl import secret_or_hidden
from reconciler.systems.consul.client import Consul
from reconciler.systems.consul.reader import ConsulReader

_NAMELESS: Final = "any-name"
_SERVICE: Final = {
    "service": "Service",
    "only_passing": "OnlyPassing",
    "near": "Near",
    "tags": "Tags",
    "node_meta": "NodeMeta",
    "service_meta": "ServiceMeta",
    "peer": "Peer",
    "connect": "Connect",
    "ignore_check_ids": "IgnoreCheckIDs",
}
_FAILOVER: Final = {"nearest_n": "NearestN", "datacenters": "Datacenters", "targets": "Targets"}
_TARGET: Final = {"datacenter": "Datacenter", "peer": "Peer"}
_TEMPLATE: Final = {"type": "Type", "regexp": "Regexp", "remove_empty_tags": "RemoveEmptyTags"}
_UNORDERED: Final = frozenset({"tags", "ignore_check_ids"})


class PreparedQuery:
    """``prepared-query/NAME``. Fields: ``service``, with ``failover`` in it, and ``template`` as the manifest has them, ``dns_ttl``, and ``token``.

    Its ID is its incarnation. The metadata that it asks for belongs wholly to the manifest: with one key more it is another question.
    """

    name: ClassVar[str] = "prepared-query"
    system: ClassVar[SystemType] = "consul"
    covers: ClassVar[frozenset[str]] = frozenset({"prepared_queries"})
    rules: ClassVar[FieldRules] = FieldRules(whole=frozenset({("service", "node_meta"), ("service", "service_meta")}))
    replaces: ClassVar[bool] = False

    def address(self, *segments: str) -> Address:
        """Consul folds the case of names when it looks for one that is taken, or asked for."""
        return Address.of(self.name, *segments, fold=True)

    def declare(self, manifest: LoadedManifest) -> Iterator[Desired]:
        """The entries of ``prepared_queries``."""
        for label, entry in manifest.manifest.prepared_queries.items():
            needs = frozenset({entry.token.address} if isinstance(entry.token, Reference) else ())
            yield Desired(
                self.address(entry.name),
                CONSUL,
                _declared(entry),
                label,
                manifest.place("prepared_queries", label),
                needs=needs,
                must_exist=needs,
                on_removal=entry.on_removal,
                protect=entry.protect,
                adopt=entry.adopt,
            )

    def permissions(self, wanted: Wanted, *, write: bool) -> Iterator[Permission]:
        """The query's name. Its token can only be read with ``acl:write``; without, the plan says that it cannot compare it."""
        name = wanted.address.segments[0]
        yield Permission("query", name, "read", wanted.address)
        if write:
            yield Permission("query", name, "write", wanted.address)

    def read(self, system: ConsulReader, wanted: Sequence[Wanted]) -> list[Live]:
        """One list, which has everything."""
        queries = {query["Name"].lower(): query for query in system.queries() if query["Name"] or query["Template"]["Type"]}
        return [_live(want.address, queries[want.address.identity[0]]) for want in wanted if want.address.identity[0] in queries]

    def create(self, system: Consul, order: Order) -> Made:
        """Make it. Raises AlreadyExists when another query has the name."""
        query_id = system.create_query({"Name": order.address.segments[0], **_body(order.fields, {})})
        return _made(system, query_id)

    def update(self, system: Consul, order: Order) -> Made:
        """Write all of it. Consul has no conditional write for queries: what is planned against is read once more just before.

        What the manifest has no word for is written as it is. Raises Rejected for a token that may not be read,
        and so could not be kept.
        """
        live = planned(order)
        token = order.fields.get("token")
        if isinstance(token, Hidden):
            raise Rejected(f"writing it would take away its token, which cannot be kept: {token.why}")
        now = system.read_query(live.incarnation or "")
        if now is None or now["ModifyIndex"] != live.revision:
            raise LostRace("somebody else changed it meanwhile: run again")
        system.update_query(now["ID"], {**now, **_body(order.fields, now)})
        return _made(system, now["ID"])

    def delete(self, system: Consul, order: Order) -> None:
        """Remove it, by its ID: one that was made anew under its name is not touched."""
        system.delete_query(planned(order).incarnation or "")

    def find(self, system: ConsulReader) -> list[Live]:
        """Every query that has a name or is a template, and is not bound to a session."""
        live = [_live(self.address(query["Name"]), query) for query in system.queries() if query["Name"] or query["Template"]["Type"]]
        return [one for one in live if not one.foreign]

    def express(self, live: Live, found: Found) -> Expression:
        """What it asks for; its token as a reference."""
        name, fields = live.address.segments[0], stated(live.fields, self.rules)
        token = fields.pop("token", None)
        body: dict[str, Any] = {key: fields[key] for key in ("service", "dns_ttl", "template") if key in fields}
        notes: tuple[str, ...] = ()
        if isinstance(token, Hidden):
            notes = (f"its token is not said: {token.why}",)
        elif isinstance(token, Secret):
            holder = found.holder_of(token)
            body["token"] = {"kv": holder.segments[0]} if holder else Needed(variable("query", name, "token"), f"the token of {live.address}")
        said = body if name else {"name": "", **body}
        return Expression(("prepared_queries",), name or _NAMELESS, said, (live.fields["service"]["service"],), notes=notes)


def _declared(entry: Entry) -> dict[str, Value]:
    fields: dict[str, Value] = {"service": _given(entry.service, _SERVICE)}
    if entry.service.failover is not None:
        fields["service"]["failover"] = _given(entry.service.failover, _FAILOVER)
    if entry.template is not None:
        fields["template"] = _given(entry.template, _TEMPLATE)
    if entry.dns_ttl is not None:
        fields["dns_ttl"] = go_text(nanoseconds(entry.dns_ttl))
    if entry.token is not None:
        fields["token"] = entry.token
    return fields


def _given(section: object, names: Mapping[str, str]) -> dict[str, Value]:
    return {ours: _normal(ours, value) for ours in names if (value := getattr(section, ours)) is not None}


def _normal(key: str, value: Value) -> Value:
    if key == "targets":
        return [_target(target) for target in value or ()]
    return sorted(set(value or ())) if key in _UNORDERED else value


def _target(target: QueryTarget | Mapping[str, JSON]) -> dict[str, Value]:
    named = {ours: target.get(consul) if isinstance(target, Mapping) else getattr(target, ours) for ours, consul in _TARGET.items()}
    return {ours: name for ours, name in named.items() if name}


def _live(address: Address, query: Mapping[str, JSON]) -> Live:
    service = query["Service"]
    ttl = query["DNS"]["TTL"]
    fields: dict[str, Value] = {
        "service": {
            **{ours: _normal(ours, service.get(consul)) for ours, consul in _SERVICE.items()},
            "failover": {ours: _normal(ours, service["Failover"].get(consul)) for ours, consul in _FAILOVER.items()},
        },
        "template": {ours: query["Template"].get(consul) for ours, consul in _TEMPLATE.items()},
        "dns_ttl": go_text(nanoseconds(ttl)) if ttl else "",
    }
    if query["Token"]:
        fields["token"] = secret_or_hidden(query["Token"], "reading a prepared query's token takes acl:write")
    return Live(
        address,
        fields,
        incarnation=query["ID"],
        created_index=query["CreateIndex"],
        revision=query["ModifyIndex"],
        witness=query["ModifyIndex"],
        foreign="is bound to a session, and goes with it" if query["Session"] else "",
    )


def _body(fields: Mapping[str, Any], now: Mapping[str, JSON]) -> dict[str, JSON]:
    """What to send to Consul; ``now`` is the query as it is, for what the manifest has no word for."""
    service, was = fields["service"], now.get("Service") or {}
    failover = service.get("failover") or {}
    targets = [_renamed(target, _TARGET) for target in failover.get("targets") or ()]
    return {
        "Service": {
            **was,
            **_renamed(service, _SERVICE),
            "Failover": {**(was.get("Failover") or {}), **_renamed(failover, _FAILOVER), "Targets": targets or None},
        },
        "Template": _renamed(fields.get("template") or {}, _TEMPLATE),
        "DNS": {"TTL": fields.get("dns_ttl") or ""},
        "Token": fields.get("token") or "",
    }


def _renamed(fields: Mapping[str, Value], names: Mapping[str, str]) -> dict[str, JSON]:
    """Under Consul's names; null, which it takes for nothing, where there is no value."""
    return {consul: fields.get(ours) for ours, consul in names.items()}


def _made(system: Consul, query_id: str) -> Made:
    """A write says nothing of the index that it gave, so that is asked for."""
    query = system.read_query(query_id)
    return Made(query_id, witness=query["ModifyIndex"] if query else None)


KIND: Final[DirectKind] = PreparedQuery()
