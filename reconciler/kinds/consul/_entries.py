"""The kinds of config entries, each a declaration: its fields, what it takes to read and write it, what it needs first.

A new one is one more :class:`Declaration` in :data:`DECLARATIONS`; the field names are those of its structure in Consul's package ``structs``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final, Literal

from reconciler.kinds.consul._forms import Keyed, Rows, Table
from reconciler.kinds.consul._surroundings import Surroundings, entry_address
from reconciler.kinds.consul._values import Dropped, Enterprise, Flag, Free, Number, Reading, Shape, Span, Text
from reconciler.model.address import Address
from reconciler.model.value import Value

Check = Callable[[str, Mapping[str, Value], Reading], None]
"""Notes what Consul would refuse about the entry of this name with these fields, beyond its shape."""

Needs = Callable[[str, Mapping[str, Value], Surroundings], Iterator[Address]]
"""What must be written before the entry of this name with these fields."""


def _nothing(_name: str, _fields: Mapping[str, Value], _surroundings: Surroundings) -> Iterator[Address]:
    yield from ()


@dataclass(frozen=True, slots=True)
class Declaration:
    """One kind of config entry.

    ``read`` and ``write`` are the resources of the ACL rights; the segment is the entry's name, but for the resources that have none
    (``mesh``, ``operator``). ``needs`` and ``after`` are those of :class:`~reconciler.model.resource.Desired`. ``section`` is the section of the
    manifest that has entries of this kind besides ``config_entries``.
    """

    kind: str
    form: Table
    read: Literal["service", "intention", "mesh"]
    write: Literal["service", "intention", "mesh"]
    needs: Needs = _nothing
    after: Needs = _nothing
    section: str = ""
    check: Check | None = None


_META: Final = Free(texts=True)
_FILLED_IN: Final[Mapping[str, Shape]] = {name: Dropped() for name in ("Kind", "Name", "CreateIndex", "ModifyIndex", "Hash")}
_TEXT: Final = Text()
_NUMBER: Final = Number()
_FLAG: Final = Flag()


def _entry(**fields: Shape) -> Table:
    return Table({**fields, "Meta": _META, **_FILLED_IN})


def _table(**fields: Shape) -> Table:
    return Table(fields)


# --- service-defaults ---------------------------------------------------------------------------------------------------------------------

_HTTP_PROTOCOLS: Final = ("http", "http2", "grpc")
_PROTOCOL: Final = Text(case="lower", words=("tcp", *_HTTP_PROTOCOLS))
_BALANCE: Final = Text(words=("exact_balance",))
_MESH_GATEWAY: Final = _table(Mode=Text(words=("none", "local", "remote")))
# Pointers in Consul: 0 is a limit of nothing, or switches ejection off; absent is Envoy's default.
_LIMITS: Final = _table(
    MaxConnections=Number(significant=True), MaxPendingRequests=Number(significant=True), MaxConcurrentRequests=Number(significant=True)
)
_PASSIVE_HEALTH_CHECK: Final = _table(
    Interval=Span(),
    MaxFailures=_NUMBER,
    EnforcingConsecutive5xx=Number(significant=True),
    MaxEjectionPercent=Number(significant=True),
    BaseEjectionTime=Span(significant=True),
)
_UPSTREAM: Final = _table(
    Name=_TEXT,
    Peer=_TEXT,
    EnvoyListenerJSON=_TEXT,
    EnvoyClusterJSON=_TEXT,
    Protocol=_PROTOCOL,
    ConnectTimeoutMs=_NUMBER,
    Limits=_LIMITS,
    PassiveHealthCheck=_PASSIVE_HEALTH_CHECK,
    MeshGateway=_MESH_GATEWAY,
    BalanceOutboundConnections=_BALANCE,
)
_EXPOSED_PATH: Final = _table(ListenerPort=_NUMBER, Path=_TEXT, LocalPathPort=_NUMBER, Protocol=_TEXT, ParsedFromCheck=_FLAG)
_ENVOY_EXTENSION: Final = _table(Name=_TEXT, Required=_FLAG, Arguments=Free(), ConsulVersion=_TEXT, EnvoyVersion=_TEXT)

_SERVICE_DEFAULTS: Final = _entry(
    Protocol=_PROTOCOL,
    Mode=Text(words=("direct", "transparent")),
    TransparentProxy=_table(OutboundListenerPort=_NUMBER, DialedDirectly=_FLAG),
    MutualTLSMode=Text(words=("strict", "permissive")),
    MeshGateway=_MESH_GATEWAY,
    Expose=_table(Checks=_FLAG, Paths=Rows(_EXPOSED_PATH)),
    ExternalSNI=_TEXT,
    UpstreamConfig=_table(Overrides=Keyed(("Name", "Peer"), _UPSTREAM), Defaults=_UPSTREAM),
    Destination=_table(Addresses=Rows(_TEXT), Port=_NUMBER),
    MaxInboundConnections=_NUMBER,
    LocalConnectTimeoutMs=_NUMBER,
    LocalRequestTimeoutMs=_NUMBER,
    BalanceInboundConnections=_BALANCE,
    RateLimits=Enterprise(),
    EnvoyExtensions=Rows(_ENVOY_EXTENSION),
    MaxRequestHeadersKB=Number(significant=True),
)


def _after_permissions_went(name: str, fields: Mapping[str, Value], surroundings: Surroundings) -> Iterator[Address]:
    # The way back from http: intentions must have lost their permissions first. With permissions it is the other way round, see below.
    intentions = entry_address("service-intentions", name)
    if intentions in surroundings.entries and not _permissions(surroundings.entries[intentions]) and fields.get("Protocol") not in _HTTP_PROTOCOLS:
        yield intentions


# --- service-intentions -------------------------------------------------------------------------------------------------------------------

_VERDICT: Final = Text(words=("allow", "deny"))
_CLAIM: Final = _table(Path=Rows(_TEXT), Value=_TEXT)
_JWT: Final = _table(Providers=Rows(_table(Name=_TEXT, VerifyClaims=Rows(_CLAIM))))
_HEADER: Final = _table(
    Name=_TEXT, Present=_FLAG, Exact=_TEXT, Prefix=_TEXT, Suffix=_TEXT, Contains=_TEXT, Regex=_TEXT, Invert=_FLAG, IgnoreCase=_FLAG
)
_HTTP: Final = Table(
    {
        "PathExact": _TEXT,
        "PathPrefix": _TEXT,
        "PathRegex": _TEXT,
        "Header": Rows(_HEADER),
        "Methods": Rows(Text(case="upper"), ordered=False),
    },
    significant=True,
)
_SOURCE: Final = _table(
    Name=_TEXT,
    Peer=_TEXT,
    SamenessGroup=Enterprise(),
    Action=_VERDICT,
    Permissions=Rows(_table(Action=_VERDICT, HTTP=_HTTP, JWT=_JWT)),
    Description=_TEXT,
    **{name: Dropped() for name in ("Precedence", "Type", "LegacyID", "LegacyMeta", "LegacyCreateTime", "LegacyUpdateTime")},
)
_SERVICE_INTENTIONS: Final = _entry(Sources=Keyed(("Name", "Peer"), _SOURCE), JWT=_JWT)


def _permissions(fields: Mapping[str, Value]) -> list[Mapping[str, Any]]:
    return [permission for source in (fields.get("Sources") or {}).values() for permission in source.get("Permissions", ())]


def _check_intentions(name: str, fields: Mapping[str, Value], reading: Reading) -> None:
    sources = fields.get("Sources")
    if not sources:
        reading.fault((), "has no source", "name at least one, or remove the entry")
    for source, rule in (sources or {}).items():
        trail = ("Sources", source)
        if ("Action" in rule) == ("Permissions" in rule):
            reading.fault(trail, "must have either an action or permissions", "write Action: allow, Action: deny or Permissions: […]")
        if name == "*" and "Permissions" in rule:
            reading.fault(trail, "has permissions, which Consul takes for no wildcard destination", "write allow or deny")
        for number, permission in enumerate(rule.get("Permissions", ())):
            if not permission.get("HTTP"):
                reading.fault(
                    (*trail, "Permissions", number), "has no condition on the request", "write path_prefix: / (PathPrefix) for all requests"
                )


def _needs_of_intentions(name: str, fields: Mapping[str, Value], _: Surroundings) -> Iterator[Address]:
    if _permissions(fields):
        yield entry_address("proxy-defaults", "global")
        yield entry_address("service-defaults", name)
    for provider in _providers(fields):
        yield entry_address("jwt-provider", provider)


def _providers(fields: Mapping[str, Value]) -> set[str]:
    return {p["Name"] for place in (fields, *_permissions(fields)) for p in (place.get("JWT") or {}).get("Providers") or () if "Name" in p}


# --- terminating-gateway ------------------------------------------------------------------------------------------------------------------

_LINK: Final = _table(Name=_TEXT, CAFile=_TEXT, CertFile=_TEXT, KeyFile=_TEXT, SNI=_TEXT, DisableAutoHostRewrite=_FLAG)
_TERMINATING_GATEWAY: Final = _entry(Services=Keyed(("Name",), _LINK))


def _needs_of_gateway(name: str, fields: Mapping[str, Value], surroundings: Surroundings) -> Iterator[Address]:
    # A gateway that is linked before its token may write the service never starts serving it (docs/facts.md: Consul 8).
    linked = set(fields.get("Services") or {})
    yield from surroundings.policies_that_write({name, *linked})
    yield from surroundings.external_services(linked)


def _after_protocols(_name: str, fields: Mapping[str, Value], _: Surroundings) -> Iterator[Address]:
    return (entry_address("service-defaults", service) for service in fields.get("Services") or {} if service != "*")


_ALL: Final = (
    Declaration("service-defaults", _SERVICE_DEFAULTS, "service", "service", after=_after_permissions_went),
    Declaration(
        "service-intentions", _SERVICE_INTENTIONS, "intention", "intention", _needs_of_intentions, section="intentions", check=_check_intentions
    ),
    Declaration("terminating-gateway", _TERMINATING_GATEWAY, "service", "mesh", _needs_of_gateway, _after_protocols, "terminating_gateways"),
)
DECLARATIONS: Final[Mapping[str, Declaration]] = MappingProxyType({declaration.kind: declaration for declaration in _ALL})
"""The kinds of config entries that are known, by name."""
