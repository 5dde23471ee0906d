"""Config entries on a real Consul."""

from __future__ import annotations

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reconciler.kinds.consul._entries import DECLARATIONS
from reconciler.kinds.consul._values import Reading
from reconciler.kinds.consul.config_entry import KIND
from reconciler.model.errors import AlreadyExists, LostRace, Rejected
from reconciler.model.kind import Wanted
from reconciler.model.value import leaves, look_up
from reconciler.systems.consul.reader import ConsulReader
from tests.kinds.consul.workbench import OWNER
from tests.unit.kinds.consul.entry_bodies import BODIES, spelled


def defaults(**fields):
    return {"config_entries": [{"Kind": "service-defaults", "Name": "web", **fields}]}


GATEWAY = {"terminating_gateways": {"gw": {"services": {"db": {"ca_file": "/ca.pem", "sni": "db.example.com"}, "mail": {}}, "meta": {"team": "x"}}}}
L7 = {
    "files": {
        "permissions": [
            {"action": "allow", "http": {"path_prefix": "/a", "methods": ["PUT", "get"], "header": [{"name": "Cookie", "present": True}]}}
        ]
    }
}

CHANGES = [
    pytest.param(defaults(Protocol="HTTP"), [defaults(Protocol="grpc"), defaults(Protocol="")], ["Protocol"], id="protocol"),
    pytest.param(
        defaults(UpstreamConfig={"Defaults": {"Limits": {"MaxConnections": 7}}}),
        [defaults(UpstreamConfig={"Defaults": {"Limits": {"MaxConnections": 0}}})],
        ["UpstreamConfig.Defaults.Limits.MaxConnections"],
        id="limit",
    ),
    pytest.param(
        defaults(UpstreamConfig={"Overrides": [{"Name": "a", "Limits": {"MaxConnections": 1}}, {"Name": "b"}]}),
        [defaults(UpstreamConfig={"Overrides": [{"Name": "b", "Protocol": "http"}]})],
        ["UpstreamConfig.Overrides"],
        id="overrides",
    ),
    pytest.param(
        defaults(UpstreamConfig={"Defaults": {"PassiveHealthCheck": {"Interval": "90s", "BaseEjectionTime": "30s"}}}),
        [defaults(UpstreamConfig={"Defaults": {"PassiveHealthCheck": {"Interval": "1m30s", "BaseEjectionTime": "0s"}}})],
        ["UpstreamConfig.Defaults.PassiveHealthCheck.BaseEjectionTime"],
        id="durations",
    ),
    pytest.param(defaults(Meta={"a": "1", "b": ""}), [defaults(Meta={"a": "2", "b": ""})], ["Meta.a"], id="meta"),
    pytest.param(
        {"intentions": {"web": {"files": "allow", "*": "deny"}}},
        [{"intentions": {"web": {"files": "deny", "*": "deny"}}}, {"intentions": {"web": {"*": "deny"}}}],
        ["Sources"],
        id="sources",
    ),
    pytest.param(
        {"intentions": {"web": {"sources": {"files": "allow"}, "meta": {"a": "b"}}}},
        [{"intentions": {"web": {"sources": {"files": "allow"}, "meta": {"a": "c"}}}}],
        ["Meta.a"],
        id="intention-meta",
    ),
    pytest.param(
        GATEWAY,
        [{"terminating_gateways": {"gw": {"services": {"db": {}, "new": {}}, "meta": {"team": "x"}}}}],
        ["Services"],
        id="services",
    ),
]


@pytest.mark.parametrize(("first", "then", "fields"), CHANGES)
def test_created_read_changed_and_deleted(bench, first, then, fields):
    desired = bench.declare_one("config-entry", **first)
    assert bench.live(desired) is None
    made = bench.create(desired)
    live = bench.there(desired)
    assert bench.differences(desired) == []
    assert made.incarnation == live.incarnation == str(live.created_index)
    for changed in then:
        desired = bench.declare_one("config-entry", **changed)
        assert bench.differences(desired) == fields
        assert bench.update(desired).incarnation == made.incarnation
        assert bench.differences(desired) == []
    assert bench.there(desired).incarnation == made.incarnation
    bench.delete(desired)
    assert bench.live(desired) is None


def test_permissions_of_intentions(bench):
    bench.create(bench.declare_one("config-entry", **defaults(Protocol="http")))
    desired = bench.declare_one("config-entry", intentions={"web": L7})
    bench.create(desired)
    assert bench.differences(desired) == []
    (stored,) = bench.server.get("/v1/config/service-intentions/web")["Sources"]
    assert stored["Permissions"][0]["HTTP"] == {"PathPrefix": "/a", "Methods": ["GET", "PUT"], "Header": [{"Name": "Cookie", "Present": True}]}
    other = json.loads(json.dumps(L7))
    other["files"]["permissions"].append({"action": "deny", "http": {"path_exact": "/b"}})
    desired = bench.declare_one("config-entry", intentions={"web": other})
    assert bench.differences(desired) == ["Sources"]
    bench.update(desired)
    assert bench.differences(desired) == []


@pytest.mark.parametrize("kind", BODIES)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(data=st.data())
def test_what_consul_stores_equals_what_was_sent(consul_of_this_worker, kind, data):
    """Random entries in random spellings: sent as people write them, and as we write them, they are read back as the same."""
    consul, form = consul_of_this_worker, DECLARATIONS[kind].form
    consul.put("/v1/config", {"Kind": "service-defaults", "Name": "random", "Protocol": "http"})
    body = data.draw(BODIES[kind])
    reading = Reading(strict=True)
    fields = form.normal(body, (), reading, inside=False)
    assert reading.faults == []
    without_namespaces = {
        **body,
        **({"Sources": [{k: v for k, v in s.items() if k != "Namespace"} for s in body["Sources"]]} if "Sources" in body else {}),
    }
    for sent in (spelled(without_namespaces, data.draw), form.body(fields)):
        consul.put("/v1/config", {"Kind": kind, "Name": "random", **sent})
        stored = form.normal(consul.get(f"/v1/config/{kind}/random"), (), Reading(strict=False), inside=False)
        for path, want in leaves(fields, KIND.rules.whole):
            assert KIND.rules.same(path, want, look_up(stored, path)), path
        for path, have in leaves(stored, KIND.rules.whole):
            assert KIND.rules.same(path, look_up(fields, path), have), path
    consul.delete(f"/v1/config/{kind}/random")


def test_all_entries_take_one_request(bench, client):
    entries = [{"Kind": "service-defaults", "Name": f"s{n}", "Protocol": "http"} for n in range(20)]
    desired = bench.declare("config-entry", config_entries=entries, **GATEWAY)
    for one in desired.values():
        bench.create(one)
    reader = ConsulReader(client)
    assert len(list(KIND.read(reader, [Wanted(d.address, OWNER, d) for d in desired.values()]))) == 21
    assert reader.requests == 1


def test_what_the_manifest_does_not_set_stays(bench):
    bench.server.put(
        "/v1/config", {"Kind": "service-defaults", "Name": "WEB", "Protocol": "tcp", "Meta": {"theirs": "1"}, "MaxInboundConnections": 5}
    )
    desired = bench.declare_one("config-entry", **defaults(Protocol="http", Meta={"ours": "2"}))
    bench.update(desired)
    stored = bench.server.get("/v1/config/service-defaults/web")
    assert (stored["Name"], stored["Protocol"], stored["Meta"], stored["MaxInboundConnections"]) == ("WEB", "http", {"theirs": "1", "ours": "2"}, 5)


def test_what_the_manifest_sets_no_more_is_unset(bench):
    desired = bench.declare_one(
        "config-entry", **defaults(Protocol="http", UpstreamConfig={"Defaults": {"Limits": {"MaxConnections": 0}}}, Meta={"a": ""})
    )
    bench.create(desired)
    record = bench.record(desired)
    desired = bench.declare_one("config-entry", **defaults(Protocol="http"))
    assert bench.differences(desired, record) == ["Meta.a", "UpstreamConfig.Defaults.Limits.MaxConnections"]
    bench.update(desired, record)
    stored = bench.server.get("/v1/config/service-defaults/web")
    assert "Meta" not in stored
    assert "Limits" not in stored.get("UpstreamConfig", {}).get("Defaults", {})


def test_an_intention_of_the_old_api_is_rewritten(bench):
    """Consul refuses to write its LegacyMeta back."""
    bench.server.request("POST", "/v1/connect/intentions", {"SourceName": "a", "DestinationName": "web", "Action": "allow", "Meta": {"k": "v"}})
    desired = bench.declare_one("config-entry", intentions={"web": {"a": "allow"}})
    assert bench.differences(desired) == []
    desired = bench.declare_one("config-entry", intentions={"web": {"a": "allow", "b": "deny"}})
    bench.update(desired)
    assert bench.differences(desired) == []


def test_sources_are_written_in_the_manifests_order(bench):
    desired = bench.declare_one("config-entry", intentions={"web": {"zeta": "allow", "alpha": "allow", "mid": "deny"}})
    bench.create(desired)
    assert [s["Name"] for s in bench.server.get("/v1/config/service-intentions/web")["Sources"]] == ["zeta", "alpha", "mid"]
    other = bench.declare_one("config-entry", intentions={"web": {"alpha": "allow", "mid": "deny", "zeta": "allow"}})
    assert bench.differences(other) == []


def test_what_somebody_wrote_meanwhile_is_not_overwritten(bench):
    desired = bench.declare_one("config-entry", **defaults(Protocol="http"))
    bench.create(desired)
    live = bench.there(desired)
    bench.server.put("/v1/config", {"Kind": "service-defaults", "Name": "web", "Protocol": "grpc"})
    with pytest.raises(AlreadyExists):
        bench.create(desired)
    with pytest.raises(LostRace):
        bench.update(bench.declare_one("config-entry", **defaults(Protocol="tcp")), live=live)
    with pytest.raises(LostRace):
        bench.delete(desired, live=live)
    assert bench.server.get("/v1/config/service-defaults/web")["Protocol"] == "grpc"
    bench.server.delete("/v1/config/service-defaults/web")
    bench.delete(desired, live=live)


def test_a_wildcard_destination(bench):
    desired = bench.declare_one("config-entry", intentions={"*": {"*": "deny"}})
    bench.create(desired)
    assert bench.differences(desired) == []
    bench.delete(desired)


def test_names_with_slashes_and_spaces(bench):
    desired = bench.declare_one("config-entry", config_entries=[{"Kind": "service-defaults", "Name": "a/b c", "Protocol": "tcp"}])
    bench.create(desired)
    assert bench.differences(desired) == []
    bench.delete(desired)
    assert bench.live(desired) is None


def test_the_protocol_cannot_change_under_permissions(bench):
    """Why intentions and defaults have an order, both ways (docs/facts.md: Consul 7)."""
    first = bench.declare("config-entry", intentions={"web": L7}, **defaults(Protocol="http"))
    with pytest.raises(Rejected):
        bench.create(first["config-entry/service-intentions/web"])
    for name in ("service-defaults", "service-intentions"):
        bench.create(first[f"config-entry/{name}/web"])
    then = bench.declare("config-entry", intentions={"web": {"files": "allow"}}, **defaults(Protocol="tcp"))
    with pytest.raises(Rejected):
        bench.update(then["config-entry/service-defaults/web"])
    for name in ("service-intentions", "service-defaults"):
        bench.update(then[f"config-entry/{name}/web"])
