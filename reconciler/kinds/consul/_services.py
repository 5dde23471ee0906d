"""Config entries of single services: service-defaults, service-intentions, exported-services, jwt-provider."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from reconciler.kinds.consul._declaration import (
    COUNT_OR_NONE,
    ENVOY_EXTENSIONS,
    EXPOSE,
    FLAG,
    MESH,
    MESH_GATEWAY,
    MODE,
    MUTUAL_TLS_MODE,
    NUMBER,
    PASSIVE_HEALTH_CHECK,
    PROTOCOL,
    SAMENESS_GROUP,
    SPAN,
    TEXT,
    TRANSPARENT_PROXY,
    Declaration,
    Fields,
    entry,
    rows,
    table,
    unordered,
)
from reconciler.kinds.consul._forms import Keyed, Table
from reconciler.kinds.consul._protocols import PROXY_DEFAULTS, default_protocol, is_http, speaks_http
from reconciler.kinds.consul._surroundings import Surroundings, entry_address
from reconciler.kinds.consul._values import Defaulted, Dropped, KeySet, Number, OnceEncoded, Reading, Text, enterprise
from reconciler.model.address import Address
from reconciler.model.resource import Hold

# --- service-defaults ---------------------------------------------------------------------------------------------------------------------

_BALANCE: Final = Text(words=("exact_balance",))
# Pointers in Consul: 0 is a limit of nothing, or switches ejection off; absent is Envoy's default.
_LIMITS: Final = table(MaxConnections=COUNT_OR_NONE, MaxPendingRequests=COUNT_OR_NONE, MaxConcurrentRequests=COUNT_OR_NONE)
_UPSTREAM: Final = table(
    Name=TEXT,
    Peer=TEXT,
    EnvoyListenerJSON=TEXT,
    EnvoyClusterJSON=TEXT,
    Protocol=PROTOCOL,
    ConnectTimeoutMs=NUMBER,
    Limits=_LIMITS,
    PassiveHealthCheck=PASSIVE_HEALTH_CHECK,
    MeshGateway=MESH_GATEWAY,
    BalanceOutboundConnections=_BALANCE,
)
_SERVICE_DEFAULTS: Final = entry(
    Protocol=PROTOCOL,
    Mode=MODE,
    TransparentProxy=TRANSPARENT_PROXY,
    MutualTLSMode=MUTUAL_TLS_MODE,
    MeshGateway=MESH_GATEWAY,
    Expose=EXPOSE,
    ExternalSNI=TEXT,
    UpstreamConfig=table(Overrides=Keyed(("Name", "Peer"), _UPSTREAM), Defaults=_UPSTREAM),
    Destination=table(Addresses=rows(TEXT), Port=NUMBER),
    MaxInboundConnections=NUMBER,
    LocalConnectTimeoutMs=NUMBER,
    LocalRequestTimeoutMs=NUMBER,
    BalanceInboundConnections=_BALANCE,
    RateLimits=enterprise(),
    EnvoyExtensions=ENVOY_EXTENSIONS,
    MaxRequestHeadersKB=COUNT_OR_NONE,
)


def _check_defaults(name: str, fields: Fields, reading: Reading) -> None:
    if name == "*":
        reading.fault((), "cannot be for all services", "write the same into proxy-defaults, or name a service")
    if "Destination" in fields:
        if "UpstreamConfig" in fields:
            reading.fault((), "has both UpstreamConfig and Destination", "remove one of them: a destination outside the mesh has no upstreams")
        destination = fields["Destination"]
        if isinstance(destination, Mapping):
            if not destination.get("Addresses", True):
                reading.fault(("Destination", "Addresses"), "is empty", "name an address")
            if not 1 <= destination.get("Port", 1) <= 65535:
                reading.fault(("Destination", "Port"), f"is {destination['Port']}", "write a port from 1 to 65535")


def _after_defaults(_name: str, fields: Fields, surroundings: Surroundings) -> Iterator[Address]:
    # What a service inherits becomes http before the service lets go of its own protocol, and tcp after it has got one.
    if is_http(default_protocol(surroundings.entries.get(PROXY_DEFAULTS))):
        yield PROXY_DEFAULTS
    if fields.get("MutualTLSMode") == "permissive":
        yield MESH


# --- service-intentions -------------------------------------------------------------------------------------------------------------------

_VERDICT: Final = Text(words=("allow", "deny"))
_CLAIM: Final = table(Path=rows(TEXT), Value=TEXT)
_JWT: Final = table(Providers=rows(table(Name=TEXT, VerifyClaims=rows(_CLAIM))))
_HEADER: Final = table(Name=TEXT, Present=FLAG, Exact=TEXT, Prefix=TEXT, Suffix=TEXT, Contains=TEXT, Regex=TEXT, Invert=FLAG, IgnoreCase=FLAG)
_HTTP: Final = Table(
    {"PathExact": TEXT, "PathPrefix": TEXT, "PathRegex": TEXT, "Header": rows(_HEADER), "Methods": unordered(Text(case="upper"))}, significant=True
)
_SOURCE: Final = table(
    Name=TEXT,
    Peer=TEXT,
    SamenessGroup=SAMENESS_GROUP,
    Action=_VERDICT,
    Permissions=rows(table(Action=_VERDICT, HTTP=_HTTP, JWT=_JWT)),
    Description=TEXT,
    **{name: Dropped() for name in ("Precedence", "Type", "LegacyID", "LegacyMeta", "LegacyCreateTime", "LegacyUpdateTime")},
)
_SERVICE_INTENTIONS: Final = entry(Sources=Keyed(("Name", "Peer"), _SOURCE), JWT=_JWT)


def _permissions(fields: Fields) -> list[Mapping[str, Any]]:
    return [permission for source in (fields.get("Sources") or {}).values() for permission in source.get("Permissions", ())]


def _check_intentions(name: str, fields: Fields, reading: Reading) -> None:
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


def _there(address: Address) -> Hold:
    return Hold(frozenset({address}), f"{'/'.join(address.identity)}", lambda world: world(address) is not None)


def _intentions_stand_on(name: str, fields: Fields) -> Iterator[Hold]:
    if _permissions(fields):
        yield from speaks_http([name])
    for place in (fields, *_permissions(fields)):
        for provider in (place.get("JWT") or {}).get("Providers") or ():
            if "Name" in provider:
                yield _there(entry_address("jwt-provider", provider["Name"]))


# --- exported-services --------------------------------------------------------------------------------------------------------------------

# Consul reads PeerName too, and answers Peer.
_CONSUMER: Final = Table({"Peer": TEXT, "Partition": enterprise(neutral="default"), "SamenessGroup": SAMENESS_GROUP}, aliases={"peername": "Peer"})
_EXPORTED_SERVICES: Final = entry(Services=Keyed(("Name",), table(Name=TEXT, Consumers=unordered(_CONSUMER))))


def _check_exported(_name: str, fields: Fields, reading: Reading) -> None:
    for service, exported in (fields.get("Services") or {}).items():
        if not exported.get("Consumers"):
            reading.fault(("Services", service), "has no consumer", "write Consumers: [{Peer: NAME}]")


def _exported_needs(_name: str, fields: Fields, surroundings: Surroundings) -> Iterator[Address]:
    # Consul looks at the whole chain of what is exported, and then lets it lead nowhere new.
    exported = {service.lower() for service in fields.get("Services") or {}}
    for address in surroundings.entries:
        kind, name = address.identity
        if kind in ("service-defaults", "service-resolver", "service-splitter", "service-router") and (name in exported or "*" in exported):
            yield address
    yield PROXY_DEFAULTS


# --- jwt-provider -------------------------------------------------------------------------------------------------------------------------

_JWT_CLUSTER: Final = table(
    DiscoveryType=Text(words=("STRICT_DNS", "STATIC", "LOGICAL_DNS", "EDS", "ORIGINAL_DST")),
    TLSCertificates=table(
        CaCertificateProviderInstance=table(InstanceName=TEXT, CertificateName=TEXT),
        TrustedCA=table(Filename=TEXT, EnvironmentVariable=TEXT, InlineString=TEXT, InlineBytes=OnceEncoded()),
    ),
    ConnectTimeout=SPAN,
)
_REMOTE_KEYS: Final = table(
    URI=TEXT,
    RequestTimeoutMs=NUMBER,
    CacheDuration=SPAN,
    FetchAsynchronously=FLAG,
    UseSNI=FLAG,
    RetryPolicy=table(NumRetries=NUMBER, RetryPolicyBackOff=table(BaseInterval=SPAN, MaxInterval=SPAN)),
    JWKSCluster=_JWT_CLUSTER,
)
_LOCATION: Final = table(
    Header=table(Name=TEXT, ValuePrefix=TEXT, Forward=FLAG), QueryParam=table(Name=TEXT), Cookie=table(Name=TEXT)
)  # fmt: skip
_SKEW_S: Final = 30
_JWT_PROVIDER: Final = entry(
    JSONWebKeySet=table(Local=table(JWKS=KeySet(), Filename=TEXT), Remote=_REMOTE_KEYS),
    Issuer=TEXT,
    Audiences=unordered(TEXT),
    Locations=rows(_LOCATION),
    Forwarding=table(HeaderName=TEXT, PadForwardPayloadHeader=FLAG),
    ClockSkewSeconds=Defaulted(Number(), _SKEW_S),
    CacheConfig=table(Size=NUMBER),
)


def _check_provider(_name: str, fields: Fields, reading: Reading) -> None:
    keys = fields.get("JSONWebKeySet")
    if keys is not None and ("Local" in keys) == ("Remote" in keys):
        reading.fault(("JSONWebKeySet",), "must have one set of keys", "write JSONWebKeySet: {Local: …} or {Remote: …}")


SERVICES: Final = (
    Declaration(
        kind="service-defaults", form=_SERVICE_DEFAULTS, carries=True, read="service", write="service", after=_after_defaults, check=_check_defaults
    ),
    Declaration(
        kind="service-intentions", form=_SERVICE_INTENTIONS, read="intention", write="intention", stands_on=_intentions_stand_on,
        section="intentions", check=_check_intentions,
    ),
    Declaration(kind="exported-services", form=_EXPORTED_SERVICES, read="mesh", write="mesh", after=_exported_needs, check=_check_exported),
    Declaration(
        kind="jwt-provider", form=_JWT_PROVIDER, carries=True, read="mesh", write="mesh", check=_check_provider,
        defaults={"ClockSkewSeconds": _SKEW_S},
    ),
)  # fmt: skip
"""The kinds of this file."""
