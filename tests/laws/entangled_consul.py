"""Parts of manifests about Consul, each drawn from a few names that have to do with one another."""

from __future__ import annotations

import tempfile
from typing import Any

from hypothesis import strategies as st

from .drawing import ACCESSOR, HERE, Draw, Part, labelled, maybe, one_of, some, without_nothing

SERVICES = tuple(f"{HERE}-service-{number}" for number in range(3))
PROTOCOLS = ("tcp", "http", "grpc")
"""What a service has of its own."""
_POLICIES = tuple(f"{HERE}-policy-{number}" for number in range(3))
_RULES: tuple[Part, ...] = (
    {"service": {SERVICES[0]: "write", SERVICES[1]: "write"}},
    {"service_prefix": {HERE: "write"}},
    {"key_prefix": {"a/": "read"}},
)
_FILES = tuple(f"{tempfile.gettempdir()}/{HERE}-token-{number}" for number in range(3))


@st.composite
def credentials(draw: Draw) -> Part:
    """Policies, roles and tokens of one another, and the tokens' files."""
    policies = some(draw, _POLICIES)
    roles = some(draw, (f"{HERE}-role-0", f"{HERE}-role-1"))
    files = {path: one_of(draw, 0, 1, 2) for path in some(draw, _FILES)}
    tokens = {
        f"{HERE}-token-{number}": _token(draw, policies, roles, [p for p, n in files.items() if n == number]) for number in some(draw, (0, 1, 2))
    }
    # one token that is known by its accessor, so that it stays the same under another label
    tokens |= {label: {"accessor": ACCESSOR, "description": one_of(draw, "one", "two")} for label in some(draw, (f"{HERE}-a", f"{HERE}-z"), 1)}
    return {
        "mesh_credentials": {
            "policies": labelled(draw, "policy", [_policy(draw, name) for name in policies]),
            "roles": labelled(draw, "role", [_role(draw, name, policies) for name in roles]),
            "tokens": tokens,
        }
    }


def _policy(draw: Draw, name: str) -> Part:
    return without_nothing(name=name, rules=one_of(draw, *_RULES), description=one_of(draw, None, "one", "two"))


def _role(draw: Draw, name: str, policies: list[str]) -> Part:
    identities = one_of(draw, None, [{"service": "web"}], [{"service": "api"}, {"service": "web"}])
    return without_nothing(name=name, policies=some(draw, policies) if maybe(draw) else None, service_identities=identities)


def _token(draw: Draw, policies: list[str], roles: list[str], files: list[str]) -> Part:
    # the rotation is always said: without it a token stays as it is, so that what is left does depend on what was there
    return without_nothing(
        rotation=one_of(draw, 0, 1),
        description=one_of(draw, None, "one"),
        local=one_of(draw, None, True, False),
        policies=some(draw, policies) if maybe(draw) else None,
        roles=some(draw, roles) if maybe(draw) else None,
        file=[without_nothing(path=path, mode=one_of(draw, "0600", "0640")) for path in files] or None,
    )


@st.composite
def catalog(draw: Draw) -> Part:
    """External services that share nodes, gateways that are linked to them or to what is not there, policies that let them, queries."""
    nodes = {f"{HERE}-node-{number}": _node(draw) for number in range(2)}
    places = [(node, service_id) for node in nodes for service_id in (f"{HERE}-id-0", f"{HERE}-id-1")]
    # one check moves and the other does not: that two change places in one run is refused
    checks = {(node, "probe"): one_of(draw, f"{HERE}-id-0", f"{HERE}-id-1", "") for node in nodes}
    checks |= {(node, "other"): one_of(draw, f"{HERE}-id-0", "") for node in nodes}
    services = [
        _external_service(draw, node, service_id, nodes[node], [c for (n, c), owner in checks.items() if (n, owner) == (node, service_id)])
        for node, service_id in some(draw, places, 3)
    ]
    gateways = {f"{HERE}-gateway-{number}": {"services": _linked(draw)} for number in some(draw, (0, 1))}
    queries = [{"name": name, "service": {"service": one_of(draw, *SERVICES)}} for name in some(draw, (f"{HERE}-query-0", f"{HERE}-query-1"))]
    return {
        "external_services": labelled(draw, "service", services),
        "terminating_gateways": gateways,
        "prepared_queries": labelled(draw, "query", queries),
        "mesh_credentials": {"policies": {name: _policy(draw, name) for name in some(draw, (f"{HERE}-links-0", f"{HERE}-links-1"))}},
    }


def _node(draw: Draw) -> Part:
    return without_nothing(address=one_of(draw, "10.9.8.7", "10.9.8.8"), node_meta=one_of(draw, None, {"external-node": "true"}, {"rack": "1"}))


def _external_service(draw: Draw, node: str, service_id: str, about: Part, checks: list[str]) -> Part:
    return without_nothing(
        service=one_of(draw, *SERVICES[:2]),
        node=node,
        id=service_id,
        **about,
        port=one_of(draw, 1, 2),
        tags=one_of(draw, None, ["a"], ["a", "b"]),
        checks={check: {"tcp": "10.9.8.7:1", "interval": one_of(draw, "10s", "20s")} for check in checks} if maybe(draw) else None,
    )


def _linked(draw: Draw) -> Part:
    return {service: one_of(draw, {}, {"sni": "db.example.com", "ca_file": "/ca.pem"}) for service in some(draw, (*SERVICES[:2], "*"))}


@st.composite
def protocols_and_routes(draw: Draw) -> Part:
    """Services with a protocol of their own or none, and what stands on it: resolvers, splitters, routers, intentions, an ingress gateway."""
    usual = one_of(draw, None, None, "tcp", "http")
    own = {service: one_of(draw, None, *PROTOCOLS) for service in SERVICES}
    protocols = {service: protocol or usual or "tcp" for service, protocol in own.items()}
    entries: list[Part] = [{"Kind": "proxy-defaults", "Name": "global", "Config": {"protocol": usual}}] if usual else []
    entries += [{"Kind": "service-defaults", "Name": service, "Protocol": protocol} for service, protocol in own.items() if protocol]
    subsets: dict[str, list[str]] = {service: [] for service in SERVICES}
    for service in some(draw, SERVICES):
        resolver = _resolver(draw, service, _led_to(service, protocols))
        subsets[service] = sorted(resolver.get("Subsets", ()))
        entries.append(resolver)
    for service in some(draw, [s for s in SERVICES if protocols[s] != "tcp"]):
        there = _led_to(service, protocols)
        if maybe(draw):
            targets = [_place(draw, target, subsets) for target in (some(draw, [service, *there], 2) or [service])]
            entries.append({"Kind": "service-splitter", "Name": service, "Splits": [{"Weight": 100 / len(targets), **target} for target in targets]})
        if maybe(draw):
            route = {"Match": {"HTTP": {"PathPrefix": one_of(draw, "/a", "/b")}}, "Destination": _place(draw, one_of(draw, service, *there), subsets)}
            entries.append({"Kind": "service-router", "Name": service, "Routes": [route]})
    if maybe(draw):
        entries.append(_ingress(draw, protocols))
    return {
        "config_entries": draw(st.permutations(entries)),
        "intentions": {service: _intention(draw, protocols[service]) for service in some(draw, SERVICES)},
    }


def _led_to(service: str, protocols: dict[str, str]) -> list[str]:
    """Where its requests may go: one chain has one protocol, and leads to itself in no circle."""
    return [other for other in SERVICES[SERVICES.index(service) + 1 :] if protocols[other] == protocols[service]]


def _resolver(draw: Draw, service: str, there: list[str]) -> Part:
    entry: Part = {"Kind": "service-resolver", "Name": service, "ConnectTimeout": one_of(draw, "5s", "7s")}
    kind = one_of(draw, "subsets", "plain", *(["redirect", "failover"] if there else []))
    if kind == "subsets":
        entry["Subsets"] = {name: {"Filter": f"Service.Meta.version == {name}"} for name in one_of(draw, ("one",), ("one", "two"))}
    elif kind == "redirect":
        entry["Redirect"] = {"Service": one_of(draw, *there)}
    elif kind == "failover":
        entry["Failover"] = {"*": {"Service": one_of(draw, *there)}}
    return entry


def _place(draw: Draw, service: str, subsets: dict[str, list[str]]) -> Part:
    return without_nothing(Service=service, ServiceSubset=one_of(draw, None, *subsets[service]))


def _ingress(draw: Draw, protocols: dict[str, str]) -> Part:
    service = one_of(draw, *SERVICES)
    listener: dict[str, Any] = {"Port": one_of(draw, 8080, 8081), "Protocol": protocols[service], "Services": [{"Name": service}]}
    return {"Kind": "ingress-gateway", "Name": f"{HERE}-ingress", "Listeners": [listener]}


def _intention(draw: Draw, protocol: str) -> Part:
    actions: list[Any] = ["allow", "deny"]
    if protocol != "tcp":
        actions += [{"permissions": [{"action": "allow", "http": {"path_prefix": path}}]} for path in ("/a", "/b")]
    return {"sources": {source: one_of(draw, *actions) for source in ["web", *some(draw, ("*", "api"))]}}
