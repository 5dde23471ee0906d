"""Config entries that join services which change together: they stand aside for a moment, or are in the way, which the plan says first."""

from __future__ import annotations

import itertools

import pytest

from reconciler.engine.operations import Options, plan
from reconciler.model.change import Action
from tests.kinds.consul.test_entry_orders import L7, defaults, proxy_defaults, resolver, router, splitter, stored

FAILOVER = resolver("web", Failover={"*": {"Service": "api"}})
REDIRECT = resolver("web", Redirect={"Service": "api"})
SPLITTER = {"Kind": "service-splitter", "Name": "web", "Splits": [{"Weight": 50, "Service": "web"}, {"Weight": 50, "Service": "api"}]}
ROUTER = router("web", "web", "api")


@pytest.fixture
def run(tool):
    """Apply entries, insisting that all was done and nothing is left to do; the plan."""

    def run(*entries, intentions=None, **options):
        return tool.apply({"config_entries": list(entries), "intentions": intentions or {}}, **options)

    return run


@pytest.fixture
def planned(tool):
    """What would be done, and what is refused."""

    def planned(*entries, intentions=None, **options):
        with tool.connections({"config_entries": list(entries), "intentions": intentions or {}}) as connections:
            return plan(connections, Options(allow_delete=("*",), **options))

    return planned


def both(protocol):
    return defaults("web", protocol), defaults("api", protocol)


def aside(plan):
    return [str(c.address).removeprefix("config-entry/") for c in plan.changes if c.stands_aside]


def refused(plan):
    return [(r.rule, str(r.address).removeprefix("config-entry/")) for r in plan.refusals]


@pytest.mark.parametrize(
    ("joint", "one", "other"),
    [(FAILOVER, "tcp", "http"), (REDIRECT, "tcp", "grpc"), (SPLITTER, "http", "http2"), (ROUTER, "http", "grpc")],
    ids=["failover", "redirect", "splitter", "router"],
)
def test_what_joins_two_services_stands_aside_while_they_change_together(run, consul, joint, one, other):
    """Consul lets neither of the two change first, and the entry itself does not change."""
    run(*both(one), joint)
    name = f"{joint['Kind']}/web"
    before = {**consul.get(f"/v1/config/{name}"), "ModifyIndex": 0}
    for protocol in (other, one):
        changed = run(*both(protocol), joint)
        assert aside(changed) == [name]
        assert any(name in w and "gone for a moment" in w for w in changed.warnings)
        (change,) = (c for c in changed.changes if c.stands_aside)
        assert (change.action, change.fields) == (Action.UPDATE, ())
    assert {**consul.get(f"/v1/config/{name}"), "ModifyIndex": 0} == before


def test_what_joins_services_and_changes_itself_stands_aside_too(run):
    run(*both("tcp"), FAILOVER)
    changed = run(*both("http"), {**FAILOVER, "ConnectTimeout": "7s"})
    assert aside(changed) == ["service-resolver/web"]


def test_services_joined_in_a_row(run):
    every = [resolver("a", Redirect={"Service": "b"}), resolver("b", Failover={"*": {"Service": "c"}}), router("d", "a")]
    run(*(defaults(s, "http") for s in "abcd"), *every)
    changed = run(*(defaults(s, "grpc") for s in "abcd"), *every)
    assert aside(changed) == ["service-resolver/a", "service-resolver/b", "service-router/d"]


def test_what_all_inherit_changes_under_a_failover_at_once(run):
    run(proxy_defaults("tcp"), FAILOVER)
    assert aside(run(proxy_defaults("http"), FAILOVER)) == []


def test_one_service_has_defaults_of_its_own_and_the_other_inherits(run):
    run(proxy_defaults("tcp"), defaults("web", "tcp"), FAILOVER)
    assert aside(run(proxy_defaults("http"), defaults("web", "http"), FAILOVER)) == ["service-resolver/web"]


def test_a_protocol_that_is_inherited_before_the_own_one_goes_needs_nothing_to_stand_aside(run):
    run(proxy_defaults("tcp"), defaults("web", "http"), router("web", "web"))
    assert aside(run(proxy_defaults("http"), router("web", "web"))) == []
    assert aside(run(proxy_defaults("tcp"), defaults("web", "http"), router("web", "web"))) == []


def test_the_defaults_of_both_are_removed(run):
    run(*both("http"), FAILOVER)
    assert aside(run(FAILOVER)) == ["service-resolver/web"]


def test_an_entry_that_now_leads_elsewhere_stands_aside_where_it_must(run):
    new = defaults("new", "http")
    run(*both("tcp"), new, FAILOVER)
    changed = run(defaults("web", "http"), defaults("api", "tcp"), new, resolver("web", Failover={"*": {"Service": "new"}}))
    assert aside(changed) == ["service-resolver/web"]


def test_an_entry_that_no_longer_joins_the_services_goes_first(run):
    run(*both("tcp"), FAILOVER)
    assert aside(run(*both("http"), resolver("web", ConnectTimeout="7s"))) == []


def test_other_changes_of_joined_services_move_nothing_aside(run):
    run(*both("http"), FAILOVER, SPLITTER, ROUTER)
    assert aside(run(*(defaults(s, "http", MaxInboundConnections=7) for s in ("web", "api")), FAILOVER, SPLITTER, ROUTER)) == []


@pytest.mark.parametrize("joint", [FAILOVER, REDIRECT], ids=["failover", "redirect"])
def test_somebody_elses_entry_that_joins_services_is_in_the_way(run, planned, consul, joint):
    run(*both("tcp"), defaults("gone", "tcp"))
    consul.put("/v1/config", joint)
    found = planned(*both("http"))
    assert refused(found) == [("in the way", "service-defaults/api")]
    (refusal,) = found.refusals
    assert "cannot be updated with config-entry/service-defaults/web as long as config-entry/service-resolver/web, which this" in refusal.what
    assert "have it changed or removed, or add its entry here" in refusal.what_to_do


def test_somebody_elses_router_keeps_its_service_at_http(planned, run, consul):
    mine = resolver("web", "v1"), router("other", "other")
    run(defaults("web", "http"), defaults("other", "http"), *mine)
    consul.put("/v1/config", router("web", "web"))
    found = planned(defaults("web", "tcp"), defaults("other", "http"))
    assert refused(found) == [("in the way", "service-defaults/web")]
    assert "config-entry/service-router/web, which this manifest does not own, needs web to speak http" in found.refusals[0].what
    assert refused(planned(destroy=True)) == [("in the way", "service-defaults/web")]
    assert refused(planned(destroy=True, excludes=("config-entry/service-defaults/web",))) == []


@pytest.mark.parametrize("kept", [ROUTER, SPLITTER, {"Kind": "ingress-gateway", "Name": "in", "Listeners": [
    {"Port": 1, "Protocol": "http", "Services": [{"Name": "web"}]}]}], ids=["router", "splitter", "listener"])  # fmt: skip
def test_an_entry_that_stays_and_needs_http_is_named_before_anything_is_deleted(run, planned, kept):
    run(*both("http"), kept, router("third", "third"), defaults("third", "http"))
    found = planned(*both("tcp"), kept, defaults("third", "http"))
    assert {rule for rule, _ in refused(found)} == {"in the way"}
    assert all(f"{kept['Kind']}/" in r.what and "change or remove that entry" in r.what_to_do for r in found.refusals)


def test_permissions_that_stay_need_http(run, planned):
    run(defaults("web", "http"), intentions={"web": {"a": L7}})
    found = planned(defaults("web", "tcp"), intentions={"web": {"a": L7}})
    assert "config-entry/service-intentions/web needs web to speak http" in found.refusals[0].what


def test_a_subset_that_is_still_used_does_not_go(run, planned):
    run(defaults("web", "http"), resolver("web", "v1", "v2"), splitter("web", "v1", "v2"))
    found = planned(defaults("web", "http"), resolver("web", "v2"), splitter("web", "v1", "v2"))
    assert [(r.rule, r.what) for r in found.refusals] == [
        ("in the way", "cannot be updated, because config-entry/service-splitter/web needs the subset v1 of web")
    ]


@pytest.mark.parametrize("number", range(4))
def test_consul_refuses_what_the_plan_refuses(consul, planned, run, number):
    """Otherwise the plan would forbid what could be done."""
    joint = (FAILOVER, REDIRECT, SPLITTER, ROUTER)[number]
    run(*both("http"))
    consul.put("/v1/config", joint)
    assert refused(planned(*both("grpc")))
    for first, second in itertools.permutations(both("grpc")):
        assert consul.request("PUT", "/v1/config", first).status == 500, second
    assert stored(consul)


def parts(plan):
    return {str(c.address).removeprefix("config-entry/"): c.action for c in plan.changes}


def target(*names):
    return {"targets": tuple(f"config-entry/{name}" for name in names)}


def test_a_target_brings_the_removal_that_has_to_let_go_first(run, planned):
    run(
        defaults("web", "http"),
        router("web", "web"),
        splitter("web", "v1"),
        resolver("web", "v1"),
        router("other", "other"),
        defaults("other", "http"),
    )
    then = defaults("web", "tcp"), defaults("other", "http")
    found = planned(*then, **target("service-defaults/web"))
    assert parts(found) == {"service-defaults/web": Action.UPDATE, "service-router/web": Action.DELETE, "service-splitter/web": Action.DELETE}
    assert found.refusals == ()
    excluded = planned(*then, **target("service-defaults/web"), excludes=("config-entry/service-router/web",))
    assert sorted((r.rule, str(r.address), r.what) for r in excluded.refusals) == [
        ("excluded need", f"config-entry/{name}", f"cannot be {done} while config-entry/service-router/web is left out, which must be deleted")
        for name, done in (("service-defaults/web", "updated"), ("service-splitter/web", "deleted"))
    ]


def test_a_target_brings_the_change_that_has_to_let_go_first(run, planned):
    run(defaults("web", "http"), defaults("api", "http"), router("web", "api"))
    then = defaults("web", "http"), defaults("api", "tcp"), router("web", "web")
    assert parts(planned(*then, **target("service-defaults/api"))) == {"service-defaults/api": Action.UPDATE, "service-router/web": Action.UPDATE}
    assert planned(*then, excludes=("config-entry/service-router/web",)).refusals[0].rule == "excluded need"


def test_a_removal_that_does_not_have_to_let_go_stays_out_of_a_part(run, planned):
    run(defaults("web", "http"), router("web", "web"))
    found = planned(defaults("web", "http", MaxInboundConnections=7), **target("service-defaults/web"))
    assert parts(found) == {"service-defaults/web": Action.UPDATE}


def test_a_target_brings_the_service_that_must_change_with_it(run, planned, tool):
    run(*both("tcp"), FAILOVER, defaults("third", "tcp"))
    then = *both("http"), FAILOVER, defaults("third", "http")
    part = target("service-defaults/api")
    found = planned(*then, **part)
    assert parts(found) == dict.fromkeys(("service-defaults/api", "service-defaults/web", "service-resolver/web"), Action.UPDATE)
    assert aside(found) == ["service-resolver/web"]
    excluded = planned(*then, excludes=("config-entry/service-resolver/web",))
    assert [r.rule for r in excluded.refusals] == ["excluded need"]


def test_a_new_protocol_for_what_only_inherited_waits_for_the_removal_that_needs_the_old_one(run, planned):
    """What is targeted has no record yet that the removal's could name."""
    run(proxy_defaults("http"), router("web", "web"))
    found = planned(proxy_defaults("http"), defaults("web", "tcp"), **target("service-defaults/web"))
    assert parts(found) == {"service-defaults/web": Action.CREATE, "service-router/web": Action.DELETE}


def test_a_redirect_goes_before_what_its_router_waits_for(run, consul):
    """The router used the service's resolver by the record, and waits for the new protocol; the redirect has to go before that is written."""
    run(*both("grpc"), REDIRECT, router("web", "web"))
    run(defaults("web", "http"), proxy_defaults("http"), router("web", "api"))
    assert stored(consul) == {"service-defaults/web", "proxy-defaults/global", "service-router/web"}
