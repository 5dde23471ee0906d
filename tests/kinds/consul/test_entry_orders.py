"""The order in which config entries that depend on one another are created, changed and deleted: each in one apply, on a real Consul."""

from __future__ import annotations

import pytest

from reconciler.engine.operations import Options
from reconciler.engine.operations import plan as planned

L7 = {"permissions": [{"action": "allow", "http": {"path_prefix": "/"}}]}


def defaults(name, protocol, **fields):
    return {"Kind": "service-defaults", "Name": name, "Protocol": protocol, **fields}


def proxy_defaults(protocol):
    return {"Kind": "proxy-defaults", "Name": "global", "Config": {"protocol": protocol}}


def resolver(name, *subsets, **fields):
    return {"Kind": "service-resolver", "Name": name, "Subsets": {s: {"Filter": f"Service.Meta.version == {s}"} for s in subsets}, **fields}


def splitter(name, *subsets, **service):
    each = [{"Weight": 100 / len(subsets), "ServiceSubset": s, **service} for s in subsets]
    return {"Kind": "service-splitter", "Name": name, "Splits": each}


def router(name, *services, **destination):
    each = [{"Match": {"HTTP": {"PathPrefix": f"/{s}"}}, "Destination": {"Service": s, **destination}} for s in services]
    return {"Kind": "service-router", "Name": name, "Routes": each}


def ingress(protocol, *services):
    return {"Kind": "ingress-gateway", "Name": "in", "Listeners": [{"Port": 8080, "Protocol": protocol, "Services": [{"Name": s} for s in services]}]}


@pytest.fixture
def run(tool):
    """Apply entries, insisting that all was done and nothing is left to do; the plan."""

    def run(*entries, intentions=None, **options):
        return tool.apply({"config_entries": list(entries), "intentions": intentions or {}}, **options)

    return run


def stored(consul):
    return {f"{e['Kind']}/{e.get('Name', '')}" for e in consul.get("/v1/config/") if e["Kind"] != "bound-api-gateway"}


HTTP = (
    ingress("http", "web", "api"),
    router("web", "api", ServiceSubset="v1"),
    splitter("web", "v1", "v2"),
    splitter("api", "v1"),
    resolver("web", "v1", "v2"),
    resolver("api", "v1"),
    resolver("old", Redirect={"Service": "web", "ServiceSubset": "v1"}),
    defaults("web", "http"),
    defaults("api", "http"),
    defaults("old", "http"),
    {"Kind": "exported-services", "Name": "default", "Services": [{"Name": "web", "Consumers": [{"Peer": "p"}]}]},
)


def test_a_whole_mesh_is_created_in_one_apply_and_destroyed_in_one(run, consul):
    jwt = {"Kind": "jwt-provider", "Name": "keys", "JSONWebKeySet": {"Local": {"JWKS": "e30="}}}
    permissive = defaults("loose", "tcp", MutualTLSMode="permissive")
    gateway = {"Kind": "api-gateway", "Name": "gate", "Listeners": [{"Name": "l", "Port": 1, "Protocol": "http", "TLS": {"Certificates": [
        {"Kind": "file-system-certificate", "Name": "c"}]}}]}  # fmt: skip
    route = {"Kind": "http-route", "Name": "r", "Parents": [{"Name": "gate"}], "Rules": [{"Services": [{"Name": "web"}]}]}
    certificate = {"Kind": "file-system-certificate", "Name": "c", "Certificate": "/c", "PrivateKey": "/k"}
    mesh = {"Kind": "mesh", "AllowEnablingPermissiveMutualTLS": True}
    with_jwt = {"sources": {"a": {"permissions": [{**L7["permissions"][0], "jwt": {"Providers": [{"Name": "keys"}]}}]}}}
    before = stored(consul)
    run(*HTTP, permissive, route, gateway, certificate, jwt, mesh, intentions={"web": with_jwt})
    assert len(stored(consul) - before) == len(HTTP) + 7
    run(destroy=True)
    assert stored(consul) == before


def test_from_tcp_to_http_and_back(run, consul):
    """Back: the router, the splitter and the permissions go before the protocol does, and the listener stands aside for a moment."""
    tcp = (defaults("web", "tcp"), ingress("tcp", "web"))
    http = (ingress("http", "web"), router("web", "web"), splitter("web", "v1", "v2"), resolver("web", "v1", "v2"), defaults("web", "http"))
    run(*tcp, intentions={"web": {"a": "allow"}})
    run(*http, intentions={"web": {"a": L7}})
    back = run(*tcp, intentions={"web": {"a": "allow"}})
    assert [str(c.address) for c in back.changes if c.stands_aside] == ["config-entry/ingress-gateway/in"]
    assert any("gone for a moment" in warning for warning in back.warnings)
    run(*http, intentions={"web": {"a": L7}})
    run(destroy=True)


def test_permissions_that_are_removed_together_with_http(run, consul):
    run(defaults("web", "http"), intentions={"web": {"a": L7}})
    run(defaults("web", "tcp"))
    assert "service-intentions/web" not in stored(consul)


def test_from_tcp_to_http_and_back_for_all_services(run, consul):
    run(proxy_defaults("tcp"))
    run(proxy_defaults("http"), router("web", "api"), intentions={"web": {"a": L7}})
    run(proxy_defaults("tcp"))
    assert {"service-router/web", "service-intentions/web"} & stored(consul) == set()


def test_a_service_takes_the_protocol_of_all_and_gives_it_back(run):
    """What is inherited becomes http before the service lets go of its own, and tcp after it has one again."""
    run(proxy_defaults("tcp"), defaults("web", "http"), router("web", "web"))
    run(proxy_defaults("http"), router("web", "web"))
    run(proxy_defaults("tcp"), defaults("web", "http"), router("web", "web"))


def test_a_service_that_is_not_routed_to_any_more_may_turn_to_tcp(run):
    run(defaults("web", "http"), defaults("api", "http"), router("web", "api"))
    run(defaults("web", "http"), defaults("api", "tcp"), defaults("new", "http"), router("web", "new"))


def test_a_subset_that_is_not_used_any_more_goes_after_its_last_use(run):
    run(defaults("web", "http"), resolver("web", "v1", "v2"), splitter("web", "v1", "v2"))
    run(defaults("web", "http"), resolver("web", "v2"), splitter("web", "v2"))


def test_one_subset_is_exchanged_for_another(run):
    """Consul lets neither the resolver change first nor the splitter."""
    run(defaults("web", "http"), resolver("web", "v1"), splitter("web", "v1"), router("web", "web", ServiceSubset="v1"))
    run(defaults("web", "http"), resolver("web", "v2"), splitter("web", "v2"), router("web", "web", ServiceSubset="v2"))


def test_what_stood_aside_for_nothing_stands_again(run, consul):
    """Somebody else makes a router, which needs http, so the service cannot turn to tcp."""
    run(defaults("web", "http"), ingress("http", "web"))
    with pytest.raises(AssertionError, match="does not permit advanced routing"):
        run(defaults("web", "tcp"), ingress("tcp", "web"), meanwhile=lambda: consul.put("/v1/config", router("web", "web")))
    (listener,) = consul.get("/v1/config/ingress-gateway/in")["Listeners"]
    assert listener["Protocol"] == "http"
    consul.delete("/v1/config/service-router/web")
    run(defaults("web", "tcp"), ingress("tcp", "web"))


def test_a_gateway_and_its_routes_change_together(run):
    """Consul writes their status whenever one of them changes, which is nobody's edit."""

    def entries(number):
        listeners = [{"Name": "l", "Port": number, "Protocol": "http"}]
        routes = [
            {"Kind": "http-route", "Name": f"r{n}", "Parents": [{"Name": "gate"}], "Rules": [{"Services": [{"Name": "web", "Weight": number}]}]}
            for n in range(6)
        ]
        return [*routes, {"Kind": "api-gateway", "Name": "gate", "Listeners": listeners}]

    for number in range(2, 6):
        run(*entries(number))
    run(destroy=True)


def test_from_http_to_tcp_while_the_service_is_exported(run, consul):
    exported = {"Kind": "exported-services", "Name": "default", "Services": [{"Name": "web", "Consumers": [{"Peer": "p"}]}]}
    run(defaults("web", "http"), splitter("web", "v1"), resolver("web", "v1"), exported)
    run(defaults("web", "tcp"), exported)
    run(defaults("web", "http"), splitter("web", "v1"), resolver("web", "v1"), exported)
    run({**exported, "Services": [{"Name": "web", "Consumers": [{"Peer": "q"}]}]}, defaults("web", "tcp"))
    run(destroy=True)


def test_requests_are_told_apart_once_the_listener_in_front_is_gone_or_speaks_http(run):
    run(defaults("web", "tcp"), ingress("tcp", "web"))
    run(defaults("web", "http"), router("web", "web"))
    run(defaults("web", "tcp"), ingress("tcp", "web"))
    plan = run(defaults("web", "http"), splitter("web", "one"), resolver("web", "one"), router("web", "web"), ingress("http", "web"))
    assert not any(c.stands_aside for c in plan.changes)
    run(defaults("web", "tcp"), ingress("tcp", "web"))


def test_routing_behind_somebody_elses_tcp_listener_is_refused(run, tool, consul):
    run(defaults("web", "http"))
    consul.put("/v1/config", {"Kind": "service-defaults", "Name": "web", "Protocol": "tcp"})
    consul.put("/v1/config", ingress("tcp", "web"))
    with tool.connections({"config_entries": [defaults("web", "http"), router("web", "web")]}) as connections:
        (refusal,) = planned(connections, Options()).refusals
    assert str(refusal.address) == "config-entry/service-router/web"
    assert "ingress-gateway/in, which this manifest does not own, needs web to have neither splitter nor router" in refusal.what


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ([resolver("web"), defaults("web", "http")], [resolver("web", Redirect={"Service": "api"})]),
        ([defaults("web", "http"), defaults("api", "http")], [resolver("web", Failover={"*": {"Service": "api"}})]),
        ([defaults("web", "grpc")], [ingress("tcp", "web")]),
        ([proxy_defaults("tcp"), defaults("web", "grpc"), router("web", "web")], [proxy_defaults("http"), ingress("http", "web")]),
    ],
    ids=["redirect", "failover, of two", "listener", "listener, with a protocol for all"],
)
def test_what_stands_on_a_protocol_that_comes_back_waits_until_the_services_own_is_gone(run, one, other):
    for entries in (one, other, one):
        run(*entries)
    run(destroy=True)
