"""Config entries that say where requests for a service go: service-resolver, service-splitter, service-router."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from reconciler.kinds.consul._declaration import (
    FLAG,
    HEADER_MODIFIERS,
    NUMBER,
    SAMENESS_GROUP,
    SPAN,
    TEXT,
    Declaration,
    Fields,
    entry,
    rows,
    table,
    unordered,
)
from reconciler.kinds.consul._forms import Named
from reconciler.kinds.consul._protocols import PROXY_DEFAULTS, speaks_http, speaks_like
from reconciler.kinds.consul._surroundings import Surroundings, entry_address
from reconciler.kinds.consul._values import Reading, Share, Text, enterprise
from reconciler.model.address import Address
from reconciler.model.resource import Hold, World


def _subset(service: str, place: Fields) -> Iterator[Hold]:
    subset, resolver = place.get("ServiceSubset"), entry_address("service-resolver", service)

    def is_there(world: World) -> bool:
        return subset in ((world(resolver) or {}).get("Subsets") or {})

    if subset:
        yield Hold(frozenset({resolver}), f"the subset {subset} of {service.lower()}", is_there)


# --- service-resolver ---------------------------------------------------------------------------------------------------------------------

_TARGET: Final = table(Service=TEXT, ServiceSubset=TEXT, Datacenter=TEXT, Peer=TEXT)
_FAILOVER: Final = table(
    Service=TEXT, ServiceSubset=TEXT, Datacenters=rows(TEXT), Targets=rows(_TARGET), Policy=enterprise(), SamenessGroup=SAMENESS_GROUP
)
_HASH_POLICY: Final = table(
    Field=Text(words=("header", "cookie", "query_parameter")),
    FieldValue=TEXT,
    CookieConfig=table(Session=FLAG, TTL=SPAN, Path=TEXT),
    SourceIP=FLAG,
    Terminal=FLAG,
)
_LOAD_BALANCER: Final = table(
    Policy=Text(words=("random", "round_robin", "least_request", "ring_hash", "maglev")),
    RingHashConfig=table(MinimumRingSize=NUMBER, MaximumRingSize=NUMBER),
    LeastRequestConfig=table(ChoiceCount=NUMBER),
    HashPolicies=rows(_HASH_POLICY),
)
_RESOLVER: Final = entry(
    DefaultSubset=TEXT,
    Subsets=Named(table(Filter=TEXT, OnlyPassing=FLAG)),
    Redirect=table(Service=TEXT, ServiceSubset=TEXT, Datacenter=TEXT, Peer=TEXT, SamenessGroup=SAMENESS_GROUP),
    Failover=Named(_FAILOVER),
    PrioritizeByLocality=enterprise(),
    ConnectTimeout=SPAN,
    RequestTimeout=SPAN,
    LoadBalancer=_LOAD_BALANCER,
)


def _elsewhere(name: str, fields: Fields) -> Iterator[tuple[str, Fields]]:
    """The services that a resolver leads to, and the place that says so; those of a cluster peer are none of ours."""
    redirect = fields.get("Redirect") or {}
    failovers = [f for f in (fields.get("Failover") or {}).values() if isinstance(f, dict)]
    for place in (redirect, *failovers, *(target for f in failovers for target in f.get("Targets", ()))):
        if place and not place.get("Peer") and not place.get("Targets"):
            yield place.get("Service") or name, place


def _check_resolver(_name: str, fields: Fields, reading: Reading) -> None:
    subsets, default = fields.get("Subsets") or {}, fields.get("DefaultSubset")
    if default and default not in subsets:
        reading.fault(("DefaultSubset",), f"is {default}, which is not in Subsets", f"add it: Subsets: {{{default}: {{…}}}}")
    if fields.get("Redirect") and (subsets or default or fields.get("Failover")):
        reading.fault(("Redirect",), "stands beside what Consul would not look at", "remove Subsets, DefaultSubset and Failover, or the redirect")


def _resolver_stands_on(name: str, fields: Fields) -> Iterator[Hold]:
    for service, place in _elsewhere(name, fields):
        if service != name:
            yield from _subset(service, place)
    yield from speaks_like(name, (service for service, _ in _elsewhere(name, fields)))


def _resolver_needs(name: str, fields: Fields, _: Surroundings) -> Iterator[Address]:
    # services that one chain leads to have one protocol
    yield PROXY_DEFAULTS
    for service in {name, *(service for service, _ in _elsewhere(name, fields))}:
        yield entry_address("service-defaults", service)


def _leading_nowhere(live: Fields, _wanted: Fields, _parts: frozenset[str]) -> Fields:
    return {key: value for key, value in live.items() if key not in ("Redirect", "Failover")}


def _resolver_related(name: str, fields: Fields) -> Iterator[str]:
    return (service for service, _ in _elsewhere(name, fields))


# --- service-splitter ---------------------------------------------------------------------------------------------------------------------

_SPLIT: Final = table(Weight=Share(), Service=TEXT, ServiceSubset=TEXT, RequestHeaders=HEADER_MODIFIERS, ResponseHeaders=HEADER_MODIFIERS)
_SPLITTER: Final = entry(Splits=unordered(_SPLIT))


def _split_services(name: str, fields: Fields) -> Iterator[tuple[str, Any]]:
    return ((split.get("Service") or name, split) for split in fields.get("Splits") or () if isinstance(split, dict))


def _check_splitter(_name: str, fields: Fields, reading: Reading) -> None:
    weights = [split.get("Weight", 0) for split in fields.get("Splits") or () if isinstance(split, dict)]
    if "Splits" in fields and round(sum(weights) * 100) != 100 * 100:
        reading.fault(("Splits",), f"has weights of {sum(weights):g} in all", "make them 100 together")


def _splitter_stands_on(name: str, fields: Fields) -> Iterator[Hold]:
    for service, split in _split_services(name, fields):
        yield from _subset(service, split)
    services = [service for service, _ in _split_services(name, fields)]
    yield from speaks_http([name, *services])
    yield from speaks_like(name, services)


def _splitter_needs(name: str, fields: Fields, _: Surroundings) -> Iterator[Address]:
    return (entry_address("service-resolver", service) for service in {name, *(service for service, _ in _split_services(name, fields))})


def _splitter_related(name: str, fields: Fields) -> Iterator[str]:
    return (service for service, _ in _split_services(name, fields))


# --- service-router -----------------------------------------------------------------------------------------------------------------------

_METHODS: Final = unordered(Text(case="upper"))
_HEADER: Final = table(Name=TEXT, Present=FLAG, Exact=TEXT, Prefix=TEXT, Suffix=TEXT, Regex=TEXT, Invert=FLAG)
_HTTP_MATCH: Final = table(
    PathExact=TEXT,
    PathPrefix=TEXT,
    PathRegex=TEXT,
    CaseInsensitive=FLAG,
    Header=rows(_HEADER),
    QueryParam=rows(table(Name=TEXT, Present=FLAG, Exact=TEXT, Regex=TEXT)),
    Methods=_METHODS,
)
_DESTINATION: Final = table(
    Service=TEXT,
    ServiceSubset=TEXT,
    PrefixRewrite=TEXT,
    RequestTimeout=SPAN,
    IdleTimeout=SPAN,
    NumRetries=NUMBER,
    RetryOnConnectFailure=FLAG,
    RetryOn=unordered(TEXT),
    RetryOnStatusCodes=unordered(NUMBER),
    RequestHeaders=HEADER_MODIFIERS,
    ResponseHeaders=HEADER_MODIFIERS,
)
_ROUTER: Final = entry(Routes=rows(table(Match=table(HTTP=_HTTP_MATCH), Destination=_DESTINATION)))


def _destinations(name: str, fields: Fields) -> Iterator[tuple[str, Any]]:
    for route in fields.get("Routes") or ():
        if isinstance(route, dict):
            yield (route.get("Destination") or {}).get("Service") or name, route.get("Destination") or {}


def _router_stands_on(name: str, fields: Fields) -> Iterator[Hold]:
    for service, destination in _destinations(name, fields):
        yield from _subset(service, destination)
    services = [service for service, _ in _destinations(name, fields)]
    yield from speaks_http([name, *services])
    yield from speaks_like(name, services)


def _router_needs(name: str, fields: Fields, _: Surroundings) -> Iterator[Address]:
    for service in {name, *(service for service, _ in _destinations(name, fields))}:
        yield entry_address("service-resolver", service)
        yield entry_address("service-splitter", service)


def _router_related(name: str, fields: Fields) -> Iterator[str]:
    return (service for service, _ in _destinations(name, fields))


def _after_ingress(name: str, _fields: Fields, surroundings: Surroundings) -> Iterator[Address]:
    # A tcp listener may stay in front of a service that becomes http, but not once requests are told apart behind it.
    for address, fields in surroundings.entries.items():
        if address.identity[0] == "ingress-gateway" and any(
            name.lower() == service.lower() for listener in (fields.get("Listeners") or {}).values() for service in listener.get("Services") or ()
        ):
            yield address


ROUTING: Final = (
    Declaration(
        kind="service-resolver", form=_RESOLVER, carries=True, read="service", write="service", related=_resolver_related, needs=_resolver_needs,
        stands_on=_resolver_stands_on, check=_check_resolver, aside=_leading_nowhere,
    ),
    Declaration(
        kind="service-splitter", form=_SPLITTER, read="service", write="service", related=_splitter_related, needs=_splitter_needs,
        after=_after_ingress, stands_on=_splitter_stands_on, check=_check_splitter, aside=lambda live, _, __: {**live, "Splits": [{"Weight": 100}]},
    ),
    Declaration(
        kind="service-router", form=_ROUTER, read="service", write="service", related=_router_related, needs=_router_needs,
        after=_after_ingress, stands_on=_router_stands_on, aside=lambda live, _, __: {**live, "Routes": []},
    ),
)  # fmt: skip
"""The kinds of this file."""
