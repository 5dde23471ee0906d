"""Config entries of gateways: terminating-gateway, ingress-gateway, api-gateway, and the routes and certificates of the last."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from reconciler.kinds.consul._declaration import (
    COUNT_OR_NONE,
    FLAG,
    HEADER_MODIFIERS,
    NUMBER,
    PASSIVE_HEALTH_CHECK,
    SPAN,
    TEXT,
    TLS_VERSION,
    Declaration,
    Fields,
    entry,
    rows,
    table,
    unordered,
)
from reconciler.kinds.consul._forms import Keyed, Table
from reconciler.kinds.consul._may_write import may_write
from reconciler.kinds.consul._protocols import HTTP_PROTOCOLS, PROXY_DEFAULTS, speaks
from reconciler.kinds.consul._surroundings import Surroundings, entry_address
from reconciler.kinds.consul._values import Defaulted, Dropped, Free, Material, Number, Reading, Shape, Text, enterprise
from reconciler.model.address import Address
from reconciler.model.resource import Hold

# --- terminating-gateway ------------------------------------------------------------------------------------------------------------------

_LINK: Final = table(Name=TEXT, CAFile=TEXT, CertFile=TEXT, KeyFile=TEXT, SNI=TEXT, DisableAutoHostRewrite=FLAG)
_TERMINATING_GATEWAY: Final = entry(Services=Keyed(("Name",), _LINK))


def _needs_of_gateway(name: str, fields: Fields, surroundings: Surroundings) -> Iterator[Address]:
    # A gateway that is linked before its token may write the service never starts serving it (docs/facts.md: Consul 8).
    linked = set(fields.get("Services") or {})
    yield from surroundings.policies_that_write({name, *linked})
    yield from surroundings.external_services(linked)


def _grants(name: str, fields: Fields, surroundings: Surroundings) -> Iterator[Hold]:
    token = surroundings.token_of_gateway(name)
    if token is None:
        return
    for service in fields.get("Services") or {}:
        yield Hold(
            surroundings.rights_of_token(token), f"its gateway's token to have service:write on {service}",
            lambda world, s=service: may_write(s, token, world), service,  # type: ignore[misc]
        )  # fmt: skip


def _without_services(live: Fields, _wanted: Fields, parts: frozenset[str]) -> Fields:
    return {**live, "Services": {name: link for name, link in (live.get("Services") or {}).items() if name not in parts}}


def _after_protocols(_name: str, fields: Fields, _: Surroundings) -> Iterator[Address]:
    return (entry_address("service-defaults", service) for service in fields.get("Services") or {} if service != "*")


# --- ingress-gateway ----------------------------------------------------------------------------------------------------------------------

_SDS: Final = table(ClusterName=TEXT, CertResource=TEXT)
_TLS: Final = table(Enabled=FLAG, SDS=_SDS, TLSMinVersion=TLS_VERSION, TLSMaxVersion=TLS_VERSION, CipherSuites=rows(TEXT))
_LIMITS: Final[Mapping[str, Shape]] = {
    "MaxConnections": NUMBER,
    "MaxPendingRequests": NUMBER,
    "MaxConcurrentRequests": NUMBER,
    "PassiveHealthCheck": PASSIVE_HEALTH_CHECK,
}
_EXPOSED: Final = table(
    Name=TEXT,
    Hosts=unordered(TEXT),
    TLS=table(SDS=_SDS),
    RequestHeaders=HEADER_MODIFIERS,
    ResponseHeaders=HEADER_MODIFIERS,
    Meta=Free(texts=True),
    **_LIMITS,
)
_LISTENER: Final = table(
    Port=NUMBER, Protocol=Defaulted(Text(case="lower", words=("tcp", *HTTP_PROTOCOLS)), "tcp"), TLS=_TLS, Services=Keyed(("Name",), _EXPOSED)
)
_INGRESS_GATEWAY: Final = entry(TLS=_TLS, Listeners=Keyed(("Port",), _LISTENER), Defaults=table(**_LIMITS))


def _listeners(fields: Fields) -> Iterator[tuple[str, str, list[str]]]:
    """Port, protocol and services of each listener, but for the wildcard."""
    for port, listener in (fields.get("Listeners") or {}).items():
        yield port, listener.get("Protocol", "tcp"), [service for service in listener.get("Services") or {} if service != "*"]


def _ingress_stands_on(_name: str, fields: Fields) -> Iterator[Hold]:
    for _, protocol, services in _listeners(fields):
        yield from speaks(protocol, services)


def _ingress_hinders(_name: str, fields: Fields) -> Iterator[Hold]:
    for _, protocol, services in _listeners(fields):
        if protocol != "tcp":
            yield from speaks(protocol, services)
            continue
        # in front of a service that becomes http, a tcp listener may stay, but not once requests are told apart behind it
        for service in services:
            behind = frozenset(entry_address(kind, service) for kind in ("service-splitter", "service-router"))
            what = f"{service} to have neither splitter nor router"
            yield Hold(behind, what, lambda world, addresses=behind: all(world(a) is None for a in addresses))  # type: ignore[misc]


def _without_changing_listeners(live: Fields, wanted: Fields, _parts: frozenset[str]) -> Fields:
    then = list(_listeners(wanted))
    kept = {listener[0] for listener in _listeners(live) if listener in then}
    return {**live, "Listeners": {port: listener for port, listener in (live.get("Listeners") or {}).items() if port in kept}}


def _check_ingress(_name: str, fields: Fields, reading: Reading) -> None:
    for port, protocol, services in _listeners(fields):
        names = list(fields["Listeners"][port].get("Services") or {})
        if not names:
            reading.fault(("Listeners", port), "has no service", "write Services: [{Name: NAME}]")
        if protocol == "tcp" and (len(names) > 1 or len(names) > len(services)):
            reading.fault(("Listeners", port), "is for tcp and stands before more than one service", "name one service, or give it Protocol: http")


# --- api-gateway --------------------------------------------------------------------------------------------------------------------------


def _references(kind: str, *others: str) -> Table:
    return table(Kind=Defaulted(Text(words=(kind, *others)), kind), Name=TEXT, SectionName=TEXT)


_STATUS: Final = Dropped()
_API_LISTENER: Final = table(
    Name=TEXT,
    Hostname=TEXT,
    Port=NUMBER,
    Protocol=Text(case="lower", words=("http", "tcp")),
    TLS=table(
        Certificates=rows(_references("inline-certificate", "file-system-certificate")),
        MinVersion=TLS_VERSION,
        MaxVersion=TLS_VERSION,
        CipherSuites=rows(TEXT),
    ),
    Override=enterprise(),
    Default=enterprise(),
    MaxRequestHeadersKB=COUNT_OR_NONE,
)
_API_GATEWAY: Final = entry(Listeners=Keyed(("Name",), _API_LISTENER), Status=_STATUS)


def _check_api_gateway(_name: str, fields: Fields, reading: Reading) -> None:
    if not fields.get("Listeners", True):
        reading.fault(("Listeners",), "is empty", "write Listeners: [{Name: NAME, Port: 443, Protocol: http}]")


def _certificates(_name: str, fields: Fields, _: Surroundings) -> Iterator[Address]:
    for listener in (fields.get("Listeners") or {}).values():
        for reference in (listener.get("TLS") or {}).get("Certificates") or ():
            if "Name" in reference:
                yield entry_address(reference.get("Kind", "inline-certificate"), reference["Name"])


# --- http-route, tcp-route ----------------------------------------------------------------------------------------------------------------

_FILTER: Final = table(Add=Free(texts=True), Set=Free(texts=True), Remove=unordered(TEXT))
_RETRIES: Final = table(NumRetries=NUMBER, RetryOn=unordered(TEXT), RetryOnStatusCodes=unordered(NUMBER), RetryOnConnectFailure=FLAG)
_FILTERS: Final = table(
    Headers=rows(_FILTER),
    URLRewrite=table(Path=TEXT),
    RetryFilter=_RETRIES,
    TimeoutFilter=table(RequestTimeout=SPAN, IdleTimeout=SPAN),
    JWT=enterprise(),
)
_ANSWERS: Final = table(Headers=rows(_FILTER))
_HOW: Final = ("exact", "prefix", "present", "regex", "suffix")
_MATCH: Final = table(
    Headers=rows(table(Match=Text(words=_HOW), Name=TEXT, Value=TEXT)),
    Method=Text(case="upper"),
    Path=Defaulted(table(Match=Text(words=("exact", "prefix", "regex")), Value=TEXT), {"Match": "prefix", "Value": "/"}),
    Query=rows(table(Match=Text(words=("exact", "present", "regex")), Name=TEXT, Value=TEXT)),
)
_TARGET: Final = table(Name=TEXT, Weight=Defaulted(Number(), 1), Filters=_FILTERS, ResponseFilters=_ANSWERS)
_RULE: Final = table(Filters=_FILTERS, ResponseFilters=_ANSWERS, Matches=rows(_MATCH), Services=rows(_TARGET))
_PARENTS: Final = unordered(_references("api-gateway"))
_HTTP_ROUTE: Final = entry(Parents=_PARENTS, Rules=rows(_RULE), Hostnames=unordered(TEXT), Status=_STATUS)
_TCP_ROUTE: Final = entry(Parents=_PARENTS, Services=rows(table(Name=TEXT)), Status=_STATUS)


def _check_route(_name: str, fields: Fields, reading: Reading) -> None:
    for number, rule in enumerate(fields.get("Rules") or ()):
        for index, match in enumerate(rule.get("Matches") or ()):
            if "Value" in match.get("Path", {}) and "Match" not in match["Path"]:
                # Consul takes every path then, and says nothing
                reading.fault(("Rules", number, "Matches", index, "Path"), "does not say how paths match", "add Match: exact, prefix or regex")


def _parents(_name: str, fields: Fields, _: Surroundings) -> Iterator[Address]:
    return (entry_address("api-gateway", parent["Name"]) for parent in fields.get("Parents") or () if "Name" in parent)


def _after_routed(_name: str, fields: Fields, _: Surroundings) -> Iterator[Address]:
    yield PROXY_DEFAULTS
    targets: list[Mapping[str, Any]] = [
        *(fields.get("Services") or ()),
        *(s for rule in fields.get("Rules") or () for s in rule.get("Services") or ()),
    ]
    for service in {target["Name"] for target in targets if "Name" in target}:
        for kind in ("service-defaults", "service-resolver", "service-splitter", "service-router"):
            yield entry_address(kind, service)


# --- certificates -------------------------------------------------------------------------------------------------------------------------

_INLINE_CERTIFICATE: Final = entry(Certificate=Material(secret=False), PrivateKey=Material(secret=True))
_FILE_SYSTEM_CERTIFICATE: Final = entry(Certificate=TEXT, PrivateKey=TEXT)


GATEWAYS: Final = (
    Declaration(
        kind="terminating-gateway", form=_TERMINATING_GATEWAY, read="service", write="mesh", needs=_needs_of_gateway, after=_after_protocols,
        late=_grants, aside=_without_services, section="terminating_gateways",
    ),
    Declaration(
        kind="ingress-gateway", form=_INGRESS_GATEWAY, read="service", write="mesh", stands_on=_ingress_stands_on, hinders=_ingress_hinders,
        aside=_without_changing_listeners, check=_check_ingress,
    ),
    Declaration(kind="api-gateway", form=_API_GATEWAY, read="service", write="mesh", needs=_certificates, check=_check_api_gateway, has_status=True),
    Declaration(
        kind="http-route", form=_HTTP_ROUTE, read="mesh", write="mesh", needs=_parents, after=_after_routed, check=_check_route, has_status=True
    ),
    Declaration(kind="tcp-route", form=_TCP_ROUTE, read="mesh", write="mesh", needs=_parents, after=_after_routed, has_status=True),
    Declaration(
        kind="inline-certificate", form=_INLINE_CERTIFICATE, read="mesh", write="mesh", public="Certificate"
    ),
    Declaration(kind="file-system-certificate", form=_FILE_SYSTEM_CERTIFICATE, read="mesh", write="mesh"),
)  # fmt: skip
"""The kinds of this file."""
