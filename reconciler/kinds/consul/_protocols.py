"""The protocol of a service, and what config entries stand on of it (docs/facts.md: Consul 7)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from reconciler.kinds.consul._surroundings import entry_address
from reconciler.model.address import Address
from reconciler.model.resource import Hold, World
from reconciler.model.value import Value

HTTP_PROTOCOLS: Final = ("http", "http2", "grpc")
PROXY_DEFAULTS: Final = entry_address("proxy-defaults", "global")
_TCP: Final = "tcp"


def is_http(protocol: Value) -> bool:
    """Whether it is a protocol that requests can be told apart in."""
    return protocol in HTTP_PROTOCOLS


def default_protocol(fields: Mapping[str, Value] | None) -> Any:
    """The protocol that proxy-defaults with these fields give to services that have none of their own."""
    config = (fields or {}).get("Config")
    return config.get("protocol") if isinstance(config, Mapping) else None


def protocol_of(service: str, world: World) -> str:
    """The protocol of a service: its own, where it has defaults of its own, or else that of all."""
    own = world(entry_address("service-defaults", service))
    found = own.get("Protocol") if own is not None else default_protocol(world(PROXY_DEFAULTS))
    return str(found).lower() if found else _TCP


def speaks(protocol: str, services: Iterable[str]) -> Iterator[Hold]:
    """That each of these services has this protocol."""
    for service in services:
        yield Hold(_defaults(service), f"{service.lower()} to speak {protocol}", lambda world, s=service: protocol_of(s, world) == protocol)  # type: ignore[misc]


def speaks_http(services: Iterable[str]) -> Iterator[Hold]:
    """That each of these services has a protocol with requests."""
    for service in services:
        what = f"{service.lower()} to speak {', '.join(HTTP_PROTOCOLS[:-1])} or {HTTP_PROTOCOLS[-1]}"
        yield Hold(_defaults(service), what, lambda world, s=service: is_http(protocol_of(s, world)))  # type: ignore[misc]


def speaks_like(name: str, others: Iterable[str]) -> Iterator[Hold]:
    """That each of the other services, to which a chain leads from ``name``, has its protocol."""
    for other in others:
        if other.lower() != name.lower():
            yield Hold(
                _defaults(name, other), f"{name.lower()} and {other.lower()} to speak one protocol",
                lambda world, s=other: protocol_of(name, world) == protocol_of(s, world),  # type: ignore[misc]
            )  # fmt: skip


def _defaults(*services: str) -> frozenset[Address]:
    return frozenset({PROXY_DEFAULTS, *(entry_address("service-defaults", service) for service in services)})
