"""Everything that Consul can hold of what is imported is either said, or a comment where it belongs."""

import pytest

from reconciler.model.change import Action
from tests.importing.test_round_trips import document, with_secrets

LEFT = "  # not said here, and left as it is:"
TAGGED = {"lan": {"Address": "10.0.0.1", "Port": 81}}


@pytest.fixture
def made(mesh):
    def register(node, **service):
        body = {"Node": node, "Address": "10.0.0.9", "Service": service, "ID": "5b4b8b3c-0000-4000-8000-000000000001" if node == "full" else ""}
        mesh.consul.put("/v1/catalog/register", body)

    mesh.consul.put("/v1/acl/policy", {"Name": "local", "Rules": 'service "a" { policy = "read" }', "Datacenters": ["dc1"]})
    mesh.consul.put("/v1/acl/token", {"Description": "expiring", "ExpirationTTL": "720h", "Policies": [{"Name": "local"}]})
    mesh.consul.put("/v1/acl/token", {"Description": "odd", "ExpirationTTL": "90m30s", "Local": True})
    register("full", Service="a", Port=80, TaggedAddresses=TAGGED, Weights={"Passing": 3, "Warning": 1}, Connect={"Native": True})
    register("full", Service="b", Port=81)
    register("full", Service="socket", SocketPath="/run/socket")
    check = {"Node": "full", "CheckID": "disk", "Name": "disk", "Status": "passing"}
    mesh.consul.put("/v1/catalog/register", {"Node": "full", "Address": "10.0.0.9", "SkipNodeUpdate": True, "Check": check})
    register("plain", Service="c", Port=80)
    register("gateway", Service="exit", Kind="terminating-gateway", Port=8443)
    targets = {"Failover": {"Targets": [{"Peer": "abroad"}, {"Datacenter": "dc2"}]}}
    mesh.consul.request("POST", "/v1/query", {"Name": "targets", "Service": {"Service": "a", **targets}})
    mesh.consul.request("POST", "/v1/query", {"Name": "peer", "Service": {"Service": "a", "Peer": "abroad"}})
    sources = [{"Name": "a", "Peer": "abroad", "Action": "allow"}, {"Name": "a", "Action": "deny"}]
    mesh.consul.put("/v1/config", {"Kind": "service-intentions", "Name": "b", "Sources": sources})
    return mesh


def test_it_is_adopted_as_it_is_and_what_cannot_be_said_is_a_comment(made, imported):
    first = imported()
    found = document(first.text)
    assert found["prepared_queries"] == {
        "peer": {"service": {"service": "a", "peer": "abroad"}},
        "targets": {"service": {"service": "a", "failover": {"targets": [{"peer": "abroad"}, {"datacenter": "dc2"}]}}},
    }
    assert {token.get("expires_after") for token in found["mesh_credentials"]["tokens"].values()} == {"720h", "1h30m30s"}
    assert found["intentions"]["b"]["a abroad"] == {"name": "a", "action": "allow", "peer": "abroad"}
    services = first.text.partition("external_services:\n")[2].partition("\n\n")[0].split("\n")
    assert [line for line in services if line.startswith(("  #", "  a:", "  b:", "  c:"))] == [
        LEFT,
        "  #   its Connect, TaggedAddresses, Weights",
        "  #   of its node, ID",
        "  #   of its node, the check disk",
        '  a: {node: full, address: "10.0.0.9", port: 80}',
        '  b: {node: full, address: "10.0.0.9", port: 81}',
        '  c: {node: plain, address: "10.0.0.9", port: 80}',
    ]
    assert f"  {LEFT} that it counts in dc1 alone\n    local:\n" in first.text
    assert dict(first.left_out) == {
        "external-service/full/socket": "port is 0",
        "external-service/gateway/exit": "it is a terminating-gateway, not a service outside the mesh",
    }
    manifest = with_secrets(made, first)
    assert {(c.action, c.fields) for c in made.plan(manifest).changes} == {(Action.ADOPT, ())}
    made.apply_all(manifest)
    assert made.plan(manifest).is_empty


def test_targets_of_a_query_are_written_and_taken_away(mesh):
    query = {"service": {"service": "a", "failover": {"targets": [{"peer": "abroad"}, {"datacenter": "dc2"}]}}}
    manifest = {"name": "mine", "prepared_queries": {"q": query}}
    mesh.apply_all(manifest)
    assert mesh.http("GET", "/v1/query")[0]["Service"]["Failover"]["Targets"] == [
        {"Peer": "abroad", "Datacenter": ""},
        {"Peer": "", "Datacenter": "dc2"},
    ]
    assert mesh.plan(manifest).is_empty
    query["service"]["failover"] = {"nearest_n": 2}
    mesh.apply_all(manifest)
    assert mesh.http("GET", "/v1/query")[0]["Service"]["Failover"] == {"NearestN": 2, "Datacenters": None, "Targets": None}
    assert mesh.plan(manifest).is_empty


def test_secrets_deep_in_a_free_map_are_references_and_paths_are_not(mesh, imported):
    arguments = {"ProxyType": "connect-proxy", "Listener": "inbound", "Script": "x", "Headers": [{"access_token": "s3cr3t in a list"}]}
    extensions = {"EnvoyExtensions": [{"Name": "builtin/lua", "Arguments": arguments}]}
    mesh.consul.put("/v1/config", {"Kind": "service-defaults", "Name": "app", **extensions})
    mesh.consul.put("/v1/config", {"Kind": "proxy-defaults", "Name": "global", "Config": {"tracing_token": "s3cr3t of tracing", "plain": 1}})
    paths = {"Certificate": "/tls/cert.pem", "PrivateKey": "/tls/key.pem"}
    mesh.consul.put("/v1/config", {"Kind": "file-system-certificate", "Name": "tls", **paths})
    first = imported()
    entries = {entry["Kind"]: entry for entry in document(first.text)["config_entries"]}
    assert first.left_out == ()
    assert "s3cr3t" not in first.text
    assert len(first.variables) == 2
    assert entries["file-system-certificate"] == {"Kind": "file-system-certificate", "Name": "tls", **paths}
    assert entries["proxy-defaults"]["Config"] == {"tracing_token": {"env": "PROXY_DEFAULTS_GLOBAL_CONFIG_TRACING_TOKEN"}, "plain": 1}
    values = {name: "s3cr3t of tracing" if "tracing" in needed.what else "s3cr3t in a list" for name, needed in first.variables}
    mesh.environment |= values
    assert {(c.action, c.fields) for c in mesh.plan(document(first.text)).changes} == {(Action.ADOPT, ())}
