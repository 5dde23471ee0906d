"""The normal form of config entries. That Consul answers what we expect is asked in tests/kinds/consul."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.kinds.consul._entries import DECLARATIONS
from reconciler.kinds.consul._values import Fault, Reading
from tests.unit.kinds.consul.entry_bodies import BODIES, spelled

CASES = sorted((Path(__file__).parents[4].parent / "shared" / "cases").glob("*.json"))


def normal(kind: str, body: Any, *, strict: bool = True) -> Any:
    reading = Reading(strict)
    fields = DECLARATIONS[kind].form.normal(body, (), reading, inside=False)
    assert reading.faults == []
    return fields


def faults(kind: str, body: Any, name: str = "web") -> list[Fault]:
    reading = Reading(strict=True)
    fields = DECLARATIONS[kind].form.normal(body, (), reading, inside=False)
    check = DECLARATIONS[kind].check
    if check is not None:
        check(name, fields, reading)
    return reading.faults


@pytest.mark.parametrize("kind", BODIES)
@given(data=st.data())
def test_the_spelling_of_keys_means_nothing(kind, data):
    body = data.draw(BODIES[kind])
    assert normal(kind, spelled(body, data.draw)) == normal(kind, body)


@pytest.mark.parametrize("kind", BODIES)
@given(data=st.data())
def test_what_is_sent_has_the_normal_form_it_was_made_of(kind, data):
    fields = normal(kind, data.draw(BODIES[kind]))
    assert normal(kind, json.loads(json.dumps(DECLARATIONS[kind].form.body(fields)))) == fields


def test_durations_are_as_go_writes_them():
    passive = {"Interval": "90s", "BaseEjectionTime": 30_000_000_000}
    body = {"UpstreamConfig": {"Defaults": {"PassiveHealthCheck": passive}}}
    assert normal("service-defaults", body, strict=False)["UpstreamConfig"]["Defaults"]["PassiveHealthCheck"] == {
        "Interval": "1m30s",
        "BaseEjectionTime": "30s",
    }


def test_zero_is_left_out_of_an_element_unless_it_means_something():
    override = {"Name": "db", "ConnectTimeoutMs": 0, "Protocol": "", "Limits": {"MaxConnections": 0}, "PassiveHealthCheck": {"MaxFailures": 0}}
    assert normal("service-defaults", {"UpstreamConfig": {"Overrides": [override]}}) == {
        "UpstreamConfig": {"Overrides": {"db": {"Limits": {"MaxConnections": 0}}}}
    }


def test_sources_are_a_mapping_in_the_order_written():
    body = {"Sources": [{"Name": "b", "Action": "allow"}, {"Name": "a", "Action": "deny"}, {"Name": "b", "Peer": "p", "Action": "deny"}]}
    fields = normal("service-intentions", body)
    assert fields == {"Sources": {"b": {"Action": "allow"}, "a": {"Action": "deny"}, "b p": {"Name": "b", "Peer": "p", "Action": "deny"}}}
    assert DECLARATIONS["service-intentions"].form.body(fields) == body


def test_what_consul_fills_in_is_dropped():
    source = {"Name": "a", "Action": "allow", "Precedence": 9, "Type": "consul", "LegacyID": "x", "LegacyMeta": {"a": "b"}, "LegacyCreateTime": "t"}
    stored = {"Kind": "service-intentions", "Name": "web", "Sources": [source], "Hash": 1, "CreateIndex": 2, "ModifyIndex": 3}
    assert normal("service-intentions", stored) == {"Sources": {"a": {"Action": "allow"}}}


def test_the_order_of_permissions_counts_and_that_of_methods_does_not():
    def permissions(*paths, methods=("GET", "PUT")):
        each = [{"Action": "allow", "HTTP": {"PathPrefix": path, "Methods": list(methods)}} for path in paths]
        return normal("service-intentions", {"Sources": [{"Name": "a", "Permissions": each}]})

    assert permissions("/a", "/b") != permissions("/b", "/a")
    assert permissions("/a", methods=("put", "get")) == permissions("/a")


def test_free_maps_are_left_alone():
    assert normal("terminating-gateway", {"Meta": {"max_connections": "", "Namespace": "x"}}) == {"Meta": {"max_connections": "", "Namespace": "x"}}


def test_unknown_fields_of_a_newer_consul_are_kept():
    reading = Reading(strict=False)
    fields = DECLARATIONS["terminating-gateway"].form.normal(
        {"Services": [{"Name": "a", "NewThing": {"x": 1}}], "Newer": 2}, (), reading, inside=False
    )
    assert fields == {"Services": {"a": {"NewThing": {"x": 1}}}, "Newer": 2}
    assert DECLARATIONS["terminating-gateway"].form.body(fields) == {"Services": [{"Name": "a", "NewThing": {"x": 1}}], "Newer": 2}


@pytest.mark.parametrize(
    ("kind", "body", "trail", "what", "what_to_do"),
    [
        ("service-defaults", {"Protocl": "http"}, ("Protocl",), "is not a field of this kind of config entry", "did you mean Protocol?"),
        (
            "service-defaults",
            {"upstream_config": {"defaults": {"limits": {"MaxConnection": 1}}}},
            ("upstream_config", "defaults", "limits", "MaxConnection"),
            "is not a field of this kind of config entry",
            "did you mean MaxConnections?",
        ),
        ("service-defaults", {"Protocol": "htpp"}, ("Protocol",), "'htpp' is none of the words it takes", "did you mean http?"),
        ("service-defaults", {"Protocol": True}, ("Protocol",), "must be text", 'put it in quotes: "true"'),
        ("service-defaults", {"ExternalSNI": 5}, ("ExternalSNI",), "must be text", 'put it in quotes: "5"'),
        ("service-defaults", {"ExternalSNI": ["a"]}, ("ExternalSNI",), "must be text", 'put it in quotes: "…"'),
        ("service-defaults", {"Meta": {"team": 5}}, ("Meta", "team"), "must be text", 'put it in quotes: "5"'),
        ("service-defaults", {"Meta": {"team": 1.5}}, ("Meta", "team"), "must be text", 'put it in quotes: "1.5"'),
        ("service-defaults", {"MaxInboundConnections": "5"}, ("MaxInboundConnections",), "must be a whole number", "write digits without quotes"),
        ("service-defaults", {"MaxInboundConnections": -5}, ("MaxInboundConnections",), "must not be negative", "write 0 or more"),
        ("service-defaults", {"Expose": {"Checks": "true"}}, ("Expose", "Checks"), "must be true or false", "write true or false, without quotes"),
        ("service-defaults", {"MaxInboundConnections": "many"}, ("MaxInboundConnections",), "must be a whole number", "write digits without quotes"),
        ("service-defaults", {"Expose": {"Checks": 1}}, ("Expose", "Checks"), "must be true or false", "write true or false, without quotes"),
        ("service-defaults", {"Expose": "x"}, ("Expose",), "must be a mapping", "write {Checks: …}"),
        ("service-defaults", {"EnvoyExtensions": "x"}, ("EnvoyExtensions",), "must be a list", "write [ … ]"),
        ("service-defaults", {"RateLimits": {"a": 1}}, ("RateLimits",), "is a feature of Consul Enterprise", "remove it"),
        ("service-defaults", {"Namespace": "team"}, ("Namespace",), "is a feature of Consul Enterprise", "remove it"),
        (
            "service-defaults",
            {"MeshGateway": {}, "mesh_gateway": {}},
            ("mesh_gateway",),
            "stands twice, as mesh_gateway and in another spelling",
            "leave one of them out",
        ),
        ("terminating-gateway", {"Services": [{"Name": "a"}, {"Name": "a"}]}, ("Services", 1), "'a' stands twice", "leave one of them out"),
        ("terminating-gateway", {"Services": [{"SNI": "a"}]}, ("Services", 0), "has no Name", "add Name"),
        ("service-intentions", {}, (), "has no source", "name at least one, or remove the entry"),
        (
            "service-intentions",
            {"Sources": [{"Name": "a"}]},
            ("Sources", "a"),
            "must have either an action or permissions",
            "write Action: allow, Action: deny or Permissions: […]",
        ),
        (
            "service-intentions",
            {"Sources": [{"Name": "a", "Permissions": [{"Action": "deny", "HTTP": {}}]}]},
            ("Sources", "a", "Permissions", 0),
            "has no condition on the request",
            "write path_prefix: / (PathPrefix) for all requests",
        ),
    ],
)
def test_mistakes_are_named_with_their_place(kind, body, trail, what, what_to_do):
    assert faults(kind, body) == [Fault(trail, what, what_to_do)]


@pytest.mark.parametrize(
    ("written", "what", "what_to_do"),
    [
        (10, "must be a duration with its unit", 'write "10s"'),
        ("30", "must be a duration with its unit", 'write "30s"'),
        ("0", "must be a duration with its unit", 'write "0s"'),
        (0, "must be a duration with its unit", 'write "0s"'),
        ("", "must be a duration with its unit", 'write "10s"'),
        (True, "must be a duration with its unit", 'write "10s"'),
        (1.5, "must be a duration with its unit", 'write "10s"'),
        ("soon", "must be a duration", 'write it as in "10s" or "1m30s"'),
        ("-90s", "must not be negative", 'write "1m30s"'),
    ],
)
def test_a_duration_has_a_unit_and_no_sign(written, what, what_to_do):
    body = {"UpstreamConfig": {"Defaults": {"PassiveHealthCheck": {"Interval": written}}}}
    assert faults("service-defaults", body) == [Fault(("UpstreamConfig", "Defaults", "PassiveHealthCheck", "Interval"), what, what_to_do)]


def test_what_consul_answers_may_be_typed_otherwise():
    answered = {"ExternalSNI": 5, "MaxInboundConnections": "5", "Expose": {"Checks": "true"}, "Meta": {"team": 5}}
    assert normal("service-defaults", answered, strict=False) == {
        "ExternalSNI": "5", "MaxInboundConnections": 5, "Expose": {"Checks": True}, "Meta": {"team": "5"},
    }  # fmt: skip


def test_all_mistakes_are_named():
    assert len(faults("service-defaults", {"Protocl": "x", "Expose": {"Chekcs": True}, "Mode": "drect"})) == 3


def test_a_wildcard_destination_takes_no_permissions():
    body = {"Sources": [{"Name": "a", "Permissions": [{"Action": "deny", "HTTP": {"PathPrefix": "/"}}]}]}
    assert faults("service-intentions", body) == []
    assert [f.trail for f in faults("service-intentions", body, "*")] == [("Sources", "a")]


@pytest.mark.skipif(not CASES, reason="the cases are not here")
@pytest.mark.parametrize("case", CASES, ids=lambda path: path.stem)
def test_entries_of_real_packages_are_what_consul_stored(case):
    content = json.loads(case.read_text())
    stored = {(e["Kind"], e["Name"]): e for e in content["config_entries_stored"]}
    known = [e for e in content["config_entries"] if e["Kind"] in DECLARATIONS]
    assert known
    for entry in known:
        ours, theirs = normal(entry["Kind"], entry), normal(entry["Kind"], stored[(entry["Kind"], entry["Name"])], strict=False)
        assert _without_empties(ours) == _without_empties(theirs)


def _without_empties(tree: Any) -> Any:
    """At the top, FieldRules take emptiness for absence."""
    if not isinstance(tree, dict):
        return tree
    return {k: inner for k, v in tree.items() if (inner := _without_empties(v)) not in ({}, "", 0, False, None)}
