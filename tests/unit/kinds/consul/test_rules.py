"""ACL rules: what they mean, in every way of writing them. What Consul itself says of the same texts is asked in tests/kinds/consul."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.kinds.consul._rules import UNREADABLE, canonical_text, recorded, semantic, understand, understand_mapping, writable
from tests.unit.kinds.consul.rule_texts import IGNORED, LENIENT, MERGED, REFUSED, SAME, WRITE_A
from tests.unit.kinds.consul.strategies import normal_rules

CASES = sorted((Path(__file__).parents[4].parent / "shared" / "cases").glob("*.json"))


@pytest.mark.parametrize("text", SAME)
def test_every_syntax_means_the_same(text):
    assert understand(text).rules == WRITE_A
    assert understand(text).faults == []


@pytest.mark.parametrize(("text", "meaning"), MERGED)
def test_what_stands_twice_is_merged_as_consul_does_and_is_a_fault(text, meaning):
    assert understand(text).rules == meaning
    assert understand(text).faults


@pytest.mark.parametrize("text", IGNORED + REFUSED + LENIENT)
def test_what_consul_ignores_or_refuses_is_a_fault(text):
    assert understand(text).faults


@pytest.mark.parametrize("text", ["", " \n", "{}", "# nothing", '{"service": {}}'])
def test_no_rules_are_no_rules(text):
    assert understand(text).faults == []
    assert {k: v for k, v in understand(text).rules.items() if v} == {}


@pytest.mark.parametrize(
    ("text", "what", "what_to_do"),
    [
        ('srvice "web" { policy = "read" }', "line 1 of the text: srvice is not an ACL rule, and Consul ignores it", "did you mean service?"),
        ('\n\nkey "k" { policy = "raed" }', 'line 3 of the text: key "k": "raed" is not an access level', "did you mean read?"),
        (
            'service "web" { polcy = "read" policy = "read" }',
            'line 1 of the text: service "web" has polcy, which Consul ignores',
            "did you mean policy?",
        ),
        ('service { policy = "write" }', "line 1 of the text: service has no name of what it is about", 'write service "NAME" { policy = "read" }'),
        ('partition "p" {}', "line 1 of the text: partition is a rule of Consul Enterprise", "remove it"),
        ("service {", "are neither HCL nor JSON: line 1: ends where a name is expected", "correct the text"),
    ],
)
def test_a_fault_says_what_and_what_to_do(text, what, what_to_do):
    assert understand(text).faults == [(what, what_to_do)]


def test_surrogate_escapes_are_refused_because_they_crash_consuls_request():
    (fault,) = understand('{"key": {"\\ud83d\\ude00": {"policy": "read"}}}').faults
    assert "\\ud83d, which Consul does not read" in fault[0]
    assert understand('{"key": {"\\\\ud83d \\u00e9": {"policy": "read"}}}').faults == []


def test_a_mapping_means_the_same_as_the_text():
    mapping = {
        "service": {"a": "write", "b": {"policy": "read", "intentions": "write"}},
        "operator": "read",
        "key_prefix": [{"x/": "list"}, {"y/": "deny"}],
    }
    text = 'operator = "read" service "a" { policy = "write" } service "b" { policy = "read" intentions = "write" }'
    text += 'key_prefix "x/" { policy = "list" } key_prefix "y/" { policy = "deny" }'
    assert understand_mapping(mapping).rules == understand(text).rules
    assert understand_mapping(mapping).faults == []


def test_a_service_with_intentions_alone_is_a_fault_because_consul_refuses_it():
    assert understand_mapping({"service": {"a": {"intentions": "read"}}}).faults


@given(normal_rules())
def test_the_canonical_text_means_what_it_was_made_of(rules):
    understood = understand(canonical_text(rules))
    assert understood.rules == rules
    assert understood.faults == []


@given(normal_rules())
def test_the_canonical_text_does_not_depend_on_the_order(rules):
    turned = {name: dict(reversed(each.items())) if isinstance(each, dict) else each for name, each in reversed(rules.items())}
    assert canonical_text(turned) == canonical_text(rules)


@given(st.text())
def test_any_text_at_all_is_understood_or_shown_as_it_stands(text):
    value = semantic(text)
    if UNREADABLE in value.normal:
        assert value.shown == text
    else:
        canonical_text(value.normal)


KEYS = st.sampled_from(["service", "acl", "policy", "a", "key", ""])
ANY_JSON = st.recursive(st.none() | st.booleans() | st.integers() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(KEYS, inner))


@given(ANY_JSON)
def test_any_json_at_all_can_be_shown(tree):
    canonical_text(understand(json.dumps({"service": tree, "Key": tree, "acl": tree, "key": [tree]})).rules)


@pytest.mark.parametrize("depth", [100, 300, 500, 900, 5000])
@pytest.mark.parametrize("text", ['{"x": %s%s}', "x = %s%s"])
def test_brackets_may_be_nested_ever_so_deeply(text, depth):
    value = semantic(text % ("[" * depth, "]" * depth))
    assert value.shown
    assert json.dumps(value.normal)


def test_what_is_recorded_equals_what_is_live():
    live = semantic('{"service": [{"a": {"policy": "write"}}]}')
    assert recorded(json.loads(json.dumps(live.normal))) == live


def test_rules_that_are_not_known_differ_from_none():
    assert semantic('workload "w" { policy = "write" }') != semantic("")


def test_what_may_be_written():
    text = 'service "db" { policy = "write" } service "web" { policy = "read" } service_prefix "d" { policy = "write" } node "n" { policy = "write" }'
    assert writable(understand(text).rules, "service") == (["db"], ["d"])
    assert writable(understand(text).rules, "key") == ([], [])


@pytest.mark.skipif(not CASES, reason="the cases are not here")
@pytest.mark.parametrize("case", CASES, ids=lambda path: path.stem)
def test_policies_of_real_packages(case):
    for policy in json.loads(case.read_text())["acl_policies"]:
        understood = understand(policy["rules"])
        assert understood.faults == []
        assert understood.rules
        assert understand(canonical_text(understood.rules)).rules == understood.rules
        if policy["rules_parsed"] is not None:
            assert understand(json.dumps(policy["rules_parsed"])).rules == understood.rules
