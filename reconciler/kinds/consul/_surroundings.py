"""What else a manifest declares that its config entries need first."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from functools import cached_property

from reconciler.kinds.consul._catalog import service_address
from reconciler.kinds.consul._grants import links
from reconciler.kinds.consul._rules import understand, understand_mapping, writable
from reconciler.manifest.models import Manifest
from reconciler.model.address import Address
from reconciler.model.value import Value

_Index = Mapping[str, Collection[Address]]
_ANY = "*"


def entry_address(kind: str, name: str) -> Address:
    """The address of a config entry; Consul folds the case of its name."""
    return Address.of("config-entry", kind, name, fold=True)


class Surroundings:
    """A manifest, indexed by service when it is first asked. ``entries`` are all of its config entries, in normal form."""

    def __init__(self, manifest: Manifest, entries: Mapping[Address, Mapping[str, Value]]) -> None:
        self._manifest = manifest
        self.entries = entries

    def policies_that_write(self, services: Iterable[str]) -> Iterator[Address]:
        """The policies that grant writing one of the services, ``*`` for any."""
        names, prefixes = self._writers
        for service in services:
            if service == _ANY:
                for index in (names, prefixes):
                    for addresses in index.values():
                        yield from addresses
                continue
            yield from names.get(service, ())
            for length in range(len(service) + 1):
                yield from prefixes.get(service[:length], ())

    def external_services(self, services: Iterable[str]) -> Iterator[Address]:
        """The external services with these names, ``*`` for all."""
        for service in services:
            for addresses in self._registered.values() if service == _ANY else [self._registered.get(service, ())]:
                yield from addresses

    def token_of_gateway(self, name: str) -> Address | None:
        """The token that the process of a terminating gateway has, when the manifest runs it."""
        gateway = self._manifest.terminating_gateways.get(name)
        return Address.of("acl-token", gateway.process.token) if gateway is not None and gateway.process is not None else None

    def rights_of_token(self, token: Address) -> frozenset[Address]:
        """The token, and the roles and policies that it is linked to by the manifest: what its rights come from."""
        credentials = self._manifest.mesh_credentials
        entry = credentials.tokens.get(token.segments[0])
        linked = links(entry) if entry is not None else frozenset()
        roles = [role for label, role in credentials.roles.items() if Address.of("acl-role", role.name or label, fold=True) in linked]
        return frozenset({token}).union(linked, *map(links, roles))

    @cached_property
    def _writers(self) -> tuple[_Index, _Index]:
        """The policies by the service, and by the prefix of services, that they grant writing."""
        names: defaultdict[str, list[Address]] = defaultdict(list)
        prefixes: defaultdict[str, list[Address]] = defaultdict(list)
        for label, entry in self._manifest.mesh_credentials.policies.items():
            address = Address.of("acl-policy", entry.name or label, fold=True)
            found = understand(entry.rules) if isinstance(entry.rules, str) else understand_mapping(entry.rules)
            for index, granted in zip((names, prefixes), writable(found.rules, "service"), strict=True):
                for service in granted:
                    index[service].append(address)
        return dict(names), dict(prefixes)

    @cached_property
    def _registered(self) -> _Index:
        found: defaultdict[str, list[Address]] = defaultdict(list)
        for label, entry in self._manifest.external_services.items():
            service = entry.service or label
            found[service].append(service_address(entry.node, entry.id or service))
        return dict(found)
