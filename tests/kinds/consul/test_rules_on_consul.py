"""Our reading of ACL rules against Consul's own: what it accepts, and what it grants."""

from __future__ import annotations

import itertools
import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reconciler.kinds.consul._rules import UNREADABLE, canonical_text, understand
from tests.servers.consul import ConsulServer
from tests.unit.kinds.consul.rule_texts import IGNORED, LENIENT, MERGED, REFUSED, SAME
from tests.unit.kinds.consul.strategies import normal_rules

_numbers = itertools.count()


def write(consul: ConsulServer, text: str):
    return consul.request("PUT", "/v1/acl/policy", {"Name": f"rules-{next(_numbers)}", "Rules": text})


def granted(consul: ConsulServer, text: str, questions):
    """What a token with these rules may do, of the questions."""
    token = consul.token_for(text)
    answers = [consul.request("POST", "/v1/internal/acl/authorize", questions[n : n + 64], token=token) for n in range(0, len(questions), 64)]
    assert all(answer.status == 200 for answer in answers), answers
    return [(a["Resource"], a.get("Segment"), a["Access"]) for answer in answers for a in answer.body if a["Allow"]]


RESOURCES = ("agent", "event", "key", "node", "query", "service", "session")


def questions_about(rules):
    """Every access to every name that the rules mention, and to longer ones."""
    asked = [{"Resource": scalar, "Access": access} for scalar in ("acl", "keyring", "mesh", "operator", "peering") for access in ("read", "write")]
    for resource in RESOURCES:
        names = {name + end for kind in (resource, f"{resource}_prefix") for name in rules.get(kind, {}) for end in ("", "x")}
        accesses = ("read", "write", "list") if resource == "key" else ("read", "write")
        asked += [{"Resource": resource, "Segment": name, "Access": access} for name in sorted(names) for access in accesses]
        if resource == "service":
            asked += [{"Resource": "intention", "Segment": name, "Access": access} for name in sorted(names) for access in ("read", "write")]
    return asked


@pytest.mark.parametrize("text", [*SAME, *(text for text, _ in MERGED)])
def test_consul_grants_what_we_read(consul, text):
    rules = understand(text).rules
    questions = questions_about(rules)
    assert granted(consul, text, questions) == granted(consul, canonical_text(rules), questions)


def test_consul_accepts_what_it_ignores(consul):
    assert [text for text in IGNORED + LENIENT if write(consul, text).status != 200] == []


def test_consul_refuses_what_we_say_it_refuses(consul):
    assert [text for text in REFUSED if write(consul, text).status != 500] == []


def spelled_as_hcl_objects(rules):
    return "\n".join(f'{name} = "{each}"' if isinstance(each, str) else f"{name} = {{\n{objects(each)}}}" for name, each in rules.items())


def objects(each):
    lines = []
    for segment, body in each.items():
        quoted = canonical_text({"key": {segment: {}}}).split(" {")[0].removeprefix("key ")
        lines.append(f"{quoted} = {{ " + " ".join(f'{key} = "{word}"' for key, word in body.items()) + " }\n")
    return "".join(lines)


def spelled_as_json(rules):
    return json.dumps(rules, ensure_ascii=False)


def spelled_as_json_lists(rules):
    return json.dumps({n: e if isinstance(e, str) else [{s: b} for s, b in e.items()] for n, e in rules.items()}, ensure_ascii=False)


def spelled_as_one_list(rules):
    return json.dumps({n.upper(): e if isinstance(e, str) else [e] for n, e in rules.items()}, ensure_ascii=False)


SPELLINGS = [canonical_text, spelled_as_hcl_objects, spelled_as_json, spelled_as_json_lists, spelled_as_one_list]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(rules=normal_rules(), spelling=st.sampled_from(SPELLINGS))
def test_random_rules_in_every_syntax_are_read_as_consul_grants_them(consul_of_this_worker, rules, spelling):
    text = spelling(rules)
    assert understand(text).rules == rules
    questions = questions_about(rules)
    assert granted(consul_of_this_worker, text, questions) == granted(consul_of_this_worker, canonical_text(rules), questions)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(one=normal_rules(), other=normal_rules(), again=normal_rules())
def test_rules_that_stand_several_times_are_merged_as_consul_merges_them(consul_of_this_worker, one, other, again):
    named = [{name: each for name, each in rules.items() if not isinstance(each, str)} for rules in (one, other, again)]
    text = "\n".join(canonical_text(rules) for rules in named)
    rules = understand(text).rules
    assert UNREADABLE not in rules
    questions = questions_about(rules)
    assert granted(consul_of_this_worker, text, questions) == granted(consul_of_this_worker, canonical_text(rules), questions)
