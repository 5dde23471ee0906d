"""Specimens of the kinds of config entries, each with what Consul wants to be there first."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tests.servers.certificates import PAIRS, two_pairs

from .mesh import Mesh
from .specimen import Act, Specimen

Body = Mapping[str, Any]


def http_service(name: str) -> dict[str, Any]:
    return {"Kind": "service-defaults", "Name": name, "Protocol": "http"}


def _specimen(
    n: str,
    kind: str,
    body: Body,
    *,
    variants: Mapping[str, Body],
    edited: str,
    other: Body,
    unset: Body | None = None,
    name: str = "",
    around: tuple[dict[str, Any], ...] = (),
    written: Body | None = None,
) -> Specimen:
    """``written``: the entry in the manifest, where it is not the ``body`` that somebody else sends."""
    name = name or n
    entry = {"Kind": kind, "Name": name, **(written or body)}

    def put(mesh: Mesh, what: Body) -> None:
        for one in around:
            mesh.http("PUT", "/v1/config", one)
        named = {} if kind == "mesh" else {"Name": name}
        mesh.http("PUT", "/v1/config", {"Kind": kind, **named, **{k: v() if callable(v) else v for k, v in what.items()}})

    def get(mesh: Mesh) -> Any:
        return mesh.http("GET", f"/v1/config/{kind}/{name}")

    def without(one: Mapping[str, Any]) -> Act:
        return lambda m: m.http("DELETE", f"/v1/config/{one['Kind']}/{one['Name']}")

    return Specimen(
        kind=f"config-entry/{kind}",
        address=f"config-entry/{kind}/{name}",
        entry=("config_entries", 0),
        manifest={"name": n, "config_entries": [entry, *around]},
        variants={path: {**entry, **changed} for path, changed in variants.items()},
        edited=edited,
        edit=lambda m: put(m, {**get(m), **other}),
        edit_unset=(lambda m: put(m, {**get(m), **unset})) if unset else None,
        read_unset=(lambda m: {key: get(m)[key] for key in unset}) if unset else None,
        remove=lambda m: m.http("DELETE", f"/v1/config/{kind}/{name}"),
        make=lambda m: put(m, body),
        make_other=lambda m: put(m, {**body, **other}),
        exists=lambda m: get(m) is not None,
        leftovers=tuple(without(one) for one in reversed(around)),
    )


def proxy_defaults(n: str) -> Specimen:
    extension = {"Name": "builtin/lua", "Arguments": {"ProxyType": "connect-proxy", "Listener": "inbound", "Script": "x"}}
    return _specimen(
        n, "proxy-defaults", {"Config": {"protocol": "http", "envoy_x": {"deep": [1, 2.5]}}, "EnvoyExtensions": [extension]}, name="global",
        variants={
            "Config.protocol": {"Config": {"protocol": "grpc", "envoy_x": {"deep": [1, 2.5]}}},
            "AccessLogs.Enabled": {"AccessLogs": {"Enabled": True}},
            "MeshGateway.Mode": {"mesh_gateway": {"mode": "local"}},
        },
        edited="Config.protocol", other={"Config": {"protocol": "tcp"}}, unset={"Meta": {"a": "b"}, "Mode": "transparent"},
    )  # fmt: skip


def mesh_itself(n: str) -> Specimen:
    return _specimen(
        n, "mesh", {"TransparentProxy": {"MeshDestinationsOnly": True}, "TLS": {"Incoming": {"TLSMinVersion": "TLSv1_2"}}}, name="mesh",
        variants={
            "TLS.Incoming.TLSMinVersion": {"TLS": {"Incoming": {"TLSMinVersion": "TLSv1_3"}}},
            "HTTP.SanitizeXForwardedClientCert": {"HTTP": {"SanitizeXForwardedClientCert": True}},
            "Peering.PeerThroughMeshGateways": {"peering": {"peer_through_mesh_gateways": True}},
        },
        edited="TransparentProxy.MeshDestinationsOnly", other={"TransparentProxy": {"MeshDestinationsOnly": False}}, unset={"ValidateClusters": True},
    )  # fmt: skip


def exported_services(n: str) -> Specimen:
    consumers = [{"Peer": "west"}, {"Peer": "east"}]
    return _specimen(
        n, "exported-services", {"Services": [{"Name": n, "Consumers": consumers}, {"Name": f"{n}-2", "Consumers": [{"Peer": "west"}]}]},
        name="default",
        variants={"Services": {"Services": [{"Name": n, "Consumers": [{"peer_name": "west"}]}]}},
        edited="Services", other={"Services": [{"Name": f"{n}-3", "Consumers": consumers}]}, unset={"Meta": {"a": "b"}},
    )  # fmt: skip


def jwt_provider(n: str) -> Specimen:
    remote = {"URI": "https://keys.example.com/", "CacheDuration": "90s", "JWKSCluster": {"ConnectTimeout": "5s", "DiscoveryType": "STATIC"}}
    return _specimen(
        n, "jwt-provider", {"JSONWebKeySet": {"Remote": remote}, "Issuer": "here", "Audiences": ["b", "a"]},
        variants={
            "ClockSkewSeconds": {"ClockSkewSeconds": 45},
            "JSONWebKeySet.Remote.CacheDuration": {"JSONWebKeySet": {"Remote": {**remote, "CacheDuration": "2m"}}},
            "Audiences": {"Audiences": ["a"]},
        },
        edited="Issuer", other={"Issuer": "there"}, unset={"Forwarding": {"HeaderName": "x"}, "CacheConfig": {"Size": 5}},
    )  # fmt: skip


def service_resolver(n: str) -> Specimen:
    body = {
        "DefaultSubset": "v1", "Subsets": {"v1": {"Filter": "Service.Meta.version == 1"}, "v2": {}}, "ConnectTimeout": "90s",
        "Failover": {"*": {"Datacenters": ["dc2"]}}, "LoadBalancer": {"Policy": "maglev", "HashPolicies": [{"SourceIP": True}]},
    }  # fmt: skip
    return _specimen(
        n, "service-resolver", body,
        variants={
            "Subsets": {"Subsets": {"v1": {"Filter": "Service.Meta.version == 1"}}},
            "ConnectTimeout": {"ConnectTimeout": "1500ms"},
            "LoadBalancer.Policy": {"LoadBalancer": {"Policy": "ring_hash", "HashPolicies": [{"SourceIP": True}]}},
        },
        edited="ConnectTimeout", other={"ConnectTimeout": "5s"}, unset={"RequestTimeout": "7s"},
    )  # fmt: skip


def service_splitter(n: str) -> Specimen:
    splits = [{"Weight": 33.33, "Service": f"{n}-api", "RequestHeaders": {"Set": {"X-Api": "1"}}}, {"Weight": 66.67}]
    return _specimen(
        n, "service-splitter", {"Splits": splits[::-1]}, written={"Splits": splits},
        variants={"Splits": {"Splits": [{"Weight": 50, "Service": f"{n}-api"}, {"Weight": 50}]}},
        edited="Splits", other={"Splits": [{"Weight": 100}]}, unset={"Meta": {"a": "b"}}, around=(http_service(n), http_service(f"{n}-api")),
    )  # fmt: skip


def service_router(n: str) -> Specimen:
    match = {"HTTP": {"PathPrefix": "/a", "Methods": ["put", "GET"], "Header": [{"Name": "x", "Present": True}]}}
    routes = [{"Match": match, "Destination": {"Service": f"{n}-api", "RequestTimeout": "90s", "NumRetries": 3, "RetryOnStatusCodes": [503, 500]}}]
    return _specimen(
        n, "service-router", {"Routes": routes},
        variants={"Routes": {"Routes": [{"Match": {"HTTP": {"PathExact": "/b"}}}, *routes]}},
        edited="Routes", other={"Routes": [{"Match": {"HTTP": {"PathRegex": "c"}}}]}, unset={"Meta": {"a": "b"}},
        around=(http_service(n), http_service(f"{n}-api")),
    )  # fmt: skip


def ingress_gateway(n: str) -> Specimen:
    web = {"Name": n, "Hosts": ["b.example.com", "a.example.com"], "MaxConnections": 4, "PassiveHealthCheck": {"EnforcingConsecutive5xx": 0}}
    listener, tcp = {"Port": 8080, "Protocol": "HTTP", "Services": [{"Name": f"{n}-2"}, web]}, {"Port": 9000, "Services": [{"Name": f"{n}-tcp"}]}
    return _specimen(
        n, "ingress-gateway", {"Listeners": [tcp, listener]}, written={"Listeners": [listener, tcp]},
        variants={
            "Listeners": {"Listeners": [{**listener, "Services": [web]}]},
            "TLS.Enabled": {"TLS": {"Enabled": True}},
            "Defaults.PassiveHealthCheck.Interval": {"Defaults": {"PassiveHealthCheck": {"Interval": "90s"}}},
        },
        edited="Listeners", other={"Listeners": [tcp]}, unset={"Meta": {"a": "b"}, "Defaults": {"MaxConnections": 5}},
        around=(http_service(n), http_service(f"{n}-2"), {**http_service(f"{n}-tcp"), "Protocol": "tcp"}),
    )  # fmt: skip


def api_gateway(n: str) -> Specimen:
    one = {
        "Name": "one", "Port": 8443, "Protocol": "HTTP", "Hostname": "*.example.com", "MaxRequestHeadersKB": 0,
        "TLS": {"MinVersion": "TLSv1_2", "Certificates": [{"Name": "c"}, {"Kind": "file-system-certificate", "Name": "d"}]},
    }  # fmt: skip
    return _specimen(
        n, "api-gateway", {"Listeners": [{"Name": "two", "Port": 9000, "Protocol": "tcp"}, one]},
        written={"Listeners": [one, {"Name": "two", "Port": 9000, "Protocol": "tcp"}]},
        variants={"Listeners": {"Listeners": [one]}, "Meta.a": {"Meta": {"a": "b"}}},
        edited="Listeners", other={"Listeners": [{**one, "Port": 8444}]}, unset={"Meta": {"z": "b"}},
    )  # fmt: skip


def http_route(n: str) -> Specimen:
    filters = {"Headers": [{"Add": {"X-A": "1"}, "Remove": ["b", "a"]}], "TimeoutFilter": {"RequestTimeout": "90s"}}
    rule = {"Filters": filters, "Matches": [{"Method": "get", "Path": {"Match": "prefix", "Value": "/"}}], "Services": [{"Name": "web"}]}
    return _specimen(
        n, "http-route", {"Parents": [{"Name": n}], "Rules": [rule], "Hostnames": ["b.example.com", "a.example.com"]},
        variants={
            "Rules": {"Rules": [{**rule, "Services": [{"Name": "web", "Weight": 3}, {"Name": "api", "Weight": 1}]}]},
            "Hostnames": {"Hostnames": ["a.example.com"]},
            "Parents": {"Parents": [{"Kind": "api-gateway", "Name": n, "SectionName": "one"}]},
        },
        edited="Hostnames", other={"Hostnames": ["c.example.com"]}, unset={"Meta": {"a": "b"}},
        around=({"Kind": "api-gateway", "Name": n, "Listeners": [{"Name": "one", "Port": 8080, "Protocol": "http"}]},),
    )  # fmt: skip


def tcp_route(n: str) -> Specimen:
    return _specimen(
        n, "tcp-route", {"Parents": [{"Name": n, "SectionName": "one"}], "Services": [{"Name": "db"}]},
        variants={"Services": {"Services": [{"Name": "mail"}]}},
        edited="Services", other={"Services": [{"Name": "other"}]}, unset={"Meta": {"a": "b"}},
        around=({"Kind": "api-gateway", "Name": n, "Listeners": [{"Name": "one", "Port": 9000, "Protocol": "tcp"}]},),
    )  # fmt: skip


def file_system_certificate(n: str) -> Specimen:
    return _specimen(
        n, "file-system-certificate", {"Certificate": "/etc/c.pem", "PrivateKey": "/etc/k.pem"},
        variants={"Certificate": {"Certificate": "/etc/d.pem"}},
        edited="PrivateKey", other={"PrivateKey": "/etc/other.pem"}, unset={"Meta": {"a": "b"}},
    )  # fmt: skip


def inline_certificate(n: str) -> Specimen:
    """From references, so the certificate counts as secret too; somebody else cannot change one of the two without the other."""
    written = {"Certificate": {"file": str(PAIRS / "0.pem")}, "PrivateKey": {"file": str(PAIRS / "0-key.pem")}}
    return _specimen(
        n, "inline-certificate", {"Certificate": lambda: two_pairs()[0].certificate, "PrivateKey": lambda: two_pairs()[0].key}, written=written,
        variants={"Meta.team": {"Meta": {"team": "x"}}},
        edited="Certificate", other={"Certificate": lambda: two_pairs()[1].certificate, "PrivateKey": lambda: two_pairs()[1].key},
    )  # fmt: skip


SPECIMENS = (
    proxy_defaults,
    mesh_itself,
    exported_services,
    jwt_provider,
    service_resolver,
    service_splitter,
    service_router,
    ingress_gateway,
    api_gateway,
    http_route,
    tcp_route,
    inline_certificate,
    file_system_certificate,
)
