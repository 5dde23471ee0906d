"""What lets go of something comes before that changes, deletions included; what can be neither first nor last stands aside."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from reconciler.engine.bookkeeping import Bookkeeping
from reconciler.engine.schedule import Schedule
from reconciler.engine.scope import Scope
from reconciler.model.kind import Made
from reconciler.model.outcome import Status
from reconciler.model.resource import Hold
from tests.unit.engine.world import RETAIN, World, address, desired


def hold(name, what):
    """That what is called ``name`` has the protocol ``what``."""
    return Hold(frozenset({address(name)}), f"{name} to speak {what}", lambda world: (world(address(name)) or {}).get("protocol") == what)


def holding(world, name, *holds, aside=False):
    """Say of what is live what it stands on."""
    world.live[address(name)] = replace(world.live[address(name)], stands_on=frozenset(hold(*h) for h in holds), can_stand_aside=aside)


def standing(one, *holds):
    return replace(one, stands_on=frozenset(hold(*h) for h in holds))


def waits(plan):
    return {str(c.address).removeprefix("thing/"): {str(a).removeprefix("thing/") for a in c.waits_for} for c in plan.changes}


def run(plan):
    """The order in which the changes of a plan are made, one at a time."""
    schedule = Schedule(plan.changes, lambda _: None)
    order = []
    while not schedule.is_done:
        change = schedule.ready()[0]
        schedule.start(change)
        schedule.end(change, None)
        order.append(str(change.address).removeprefix("thing/"))
    return order


def http_service_with_router():
    world = World()
    world.apply(desired("service", {"protocol": "http"}), desired("router", {}, frozenset({"service"})))
    holding(world, "router", ("service", "http"))
    return world


def test_what_is_deleted_lets_go_before_the_change():
    plan = http_service_with_router().plan(desired("service", {"protocol": "tcp"}))
    assert waits(plan) == {"service": {"router"}, "router": set()}
    assert run(plan) == ["router", "service"]


def test_other_deletions_still_come_last():
    world = http_service_with_router()
    world.apply(desired("service", {"protocol": "http"}), desired("router", {}, frozenset({"service"})), desired("another", {}))
    assert run(world.plan(desired("service", {"protocol": "tcp"})))[-1] == "another"


def test_what_is_changed_so_that_it_lets_go_comes_first_although_it_still_needs_it():
    world = http_service_with_router()
    router = standing(desired("router", {"plain": True}, frozenset({"service"})))
    plan = world.plan(desired("service", {"protocol": "tcp"}), router)
    assert waits(plan) == {"service": {"router"}, "router": set()}


def test_what_still_holds_on_comes_after_as_ever():
    world = http_service_with_router()
    router = standing(desired("router", {"more": 1}, frozenset({"service"})), ("service", "http"))
    assert waits(world.plan(desired("service", {"protocol": "http2"}), router)) == {"service": set(), "router": {"service"}}


def test_what_is_forgotten_stays_and_lets_go_of_nothing():
    world = World()
    world.apply(desired("service", {"protocol": "http"}), desired("router", {}, frozenset({"service"}), on_removal=RETAIN))
    holding(world, "router", ("service", "http"))
    assert waits(world.plan(desired("service", {"protocol": "tcp"})))["service"] == set()


def test_what_lets_go_of_one_thing_and_takes_up_another_stands_aside_where_it_can():
    for able in (True, False):
        world = http_service_with_router()
        holding(world, "router", ("service", "http"), aside=able)
        router = standing(desired("router", {"more": 1}, frozenset({"service"})), ("service", "tcp"))
        plan = world.plan(desired("service", {"protocol": "tcp"}), router)
        assert waits(plan) == {"service": set(), "router": {"service"}}
        assert [c.stands_aside for c in plan.changes] == [able, False]
        assert len(plan.warnings) == able


def test_what_was_not_so_before_is_not_insisted_on():
    """The system let it be so, or is understood wrongly here."""
    world = http_service_with_router()
    world.edit("service", protocol="tcp")
    router = standing(desired("router", {}, frozenset({"service"})), ("service", "http"))
    assert world.plan(desired("service", {"protocol": "grpc"}), router).refusals == ()
    assert [r.rule for r in http_service_with_router().plan(desired("service", {"protocol": "grpc"}), router).refusals] == ["in the way"]


def test_what_stays_as_it_is_stands_aside_for_what_it_joins_and_is_written_after_it():
    """Neither of two services may change first, and one of them is deleted."""
    for gone in (False, True):
        world = World()
        one, other = desired("one", {"protocol": "tcp"}), desired("other", {"protocol": "tcp"})
        needs = frozenset({"one", "other"})
        world.apply(one, other, desired("joint", {}, needs))
        same = Hold(
            frozenset({address("one"), address("other")}), "one protocol",
            lambda w: (w(address("one")) or {}).get("protocol", "http") == (w(address("other")) or {}).get("protocol", "http"),
        )  # fmt: skip
        for able in (True, False):
            world.live[address("joint")] = replace(world.live[address("joint")], stands_on=frozenset({same}), can_stand_aside=able)
            joint = replace(desired("joint", {}, needs), stands_on=frozenset({same}), must_exist=frozenset())
            plan = world.plan(desired("one", {"protocol": "http"}), *([] if gone else [desired("other", {"protocol": "http"})]), joint)
            if able:
                assert waits(plan) == {"one": set(), "other": set(), "joint": {"one", "other"}}
                assert run(plan)[-1] == "joint"
            assert [r.rule for r in plan.refusals] == ([] if able else ["in the way"])
            assert [str(c.address) for c in plan.changes if c.stands_aside] == (["thing/joint"] if able else [])
            excluded = world.plan(
                desired("one", {"protocol": "http"}),
                *([] if gone else [desired("other", {"protocol": "http"})]),
                joint,
                scope=Scope((), ("thing/joint",)),
            )
            assert len(excluded.refusals) == 1


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4), st.booleans()), max_size=12), st.sets(st.integers(0, 4)))
def test_letting_go_never_closes_a_circle(holds, kept):
    """Whatever stands on whatever: each change gets its turn."""
    world = World()
    needs = {n: frozenset(f"t{b}" for a, b, _ in holds if a == n and b < n) for n in range(5)}
    world.apply(*(desired(f"t{n}", {"protocol": "old"}, needs[n]) for n in range(5)))
    for n in range(5):
        holding(world, f"t{n}", *((f"t{b}", "old") for a, b, _ in holds if a == n), aside=True)
    then = [
        standing(
            desired(f"t{n}", {"protocol": "new"}, needs[n] & {f"t{k}" for k in kept}),
            *((f"t{b}", "new") for a, b, again in holds if a == n and again),
        )
        for n in sorted(kept)
    ]
    plan = world.plan(*then)
    assert sorted(run(plan)) == sorted(str(c.address).removeprefix("thing/") for c in plan.changes)


def test_what_is_in_vain_without_something_is_taken_away_until_there_is_that():
    """A link whose grant comes later: the entry is not changed by the manifest, and is written all the same."""
    world = World()
    grants, link = desired("grants", {"may": "no"}), desired("link", {"services": "db"}, frozenset({"grants"}))
    granted = Hold(frozenset({address("grants")}), "the grant", lambda w: (w(address("grants")) or {}).get("may") == "yes", "db")
    world.apply(grants, link)
    link = replace(link, stands_on=frozenset({granted}))
    world.live[address("link")] = replace(world.live[address("link")], stands_on=frozenset({granted}), can_stand_aside=True)
    assert world.plan(grants, link).is_empty
    plan = world.plan(replace(grants, fields={"may": "yes"}), link)
    _, stood = plan.changes
    assert (stood.stands_aside, stood.without, stood.fields, plan.refusals) == (True, frozenset({"db"}), (), ())
    assert "db is gone for a moment" in stood.warning
    assert run(plan) == ["grants", "link"]
    # a part of the plan takes it along
    partial = world.plan(replace(grants, fields={"may": "yes"}), link, scope=Scope(("thing/grants",)))
    assert [str(c.address) for c in partial.changes if c.stands_aside] == ["thing/link"]
    # what drops the link anyway has nothing to wait for, and what does not change the grant neither
    dropped = replace(link, fields={"services": ""}, stands_on=frozenset())
    assert not any(c.stands_aside for c in world.plan(replace(grants, fields={"may": "yes"}), dropped).changes)
    assert not any(c.stands_aside for c in world.plan(replace(grants, fields={"may": "not yet"}), link).changes)
    # taking the grant away is not hindered
    world.apply(replace(grants, fields={"may": "yes"}), link)
    assert world.plan(grants, link).refusals == ()
    # where it cannot be written, that is said
    world.edit("grants", may="no")
    world.live[address("link")] = replace(world.live[address("link")], stands_on=frozenset({granted}), can_stand_aside=False)
    (warned,) = world.plan(replace(grants, fields={"may": "yes"}), link).changes
    assert "thing/link does not notice it for db" in warned.warning


def rotated_token_without_its_policy():
    """A token is replaced and has another policy then; the old policy's entry is gone."""
    world = World()
    world.apply(desired("policy", {}), desired("role", {}, frozenset({"policy"})), desired("token", {"fixed": 1}, frozenset({"role"})))
    return world.plan(desired("token", {"fixed": 2}), desired("another", {})), world


def test_what_an_old_one_needs_goes_after_it():
    plan, _ = rotated_token_without_its_policy()
    schedule = Schedule(plan.changes, lambda _: None)
    for wave in (["another", "token"], ["role"], ["policy"]):
        ready = schedule.ready()
        assert [c.address for c in ready] == [address(name) for name in wave]
        for change in ready:
            schedule.start(change)
            schedule.end(change, None)
        if "token" in wave:
            assert schedule.is_done, "the old token is deleted before anything that it may need"
            schedule.let_go()
    assert schedule.is_done


def test_what_an_old_one_needs_stays_as_long_as_it_does():
    """Also for the next run, to which only the record tells what it needs."""
    plan, world = rotated_token_without_its_policy()
    schedule = Schedule(plan.changes, lambda _: None)
    for change in schedule.ready():
        schedule.start(change)
        schedule.end(change, None)
    token = next(c for c in plan.changes if c.address == address("token"))
    schedule.end(token, ValueError("the old one was kept"))
    schedule.let_go()
    assert schedule.ready() == [] and schedule.is_done
    why = {str(r.change.address): r.why for r in schedule.results() if r.status is Status.NOT_ATTEMPTED}
    assert why == dict.fromkeys(("thing/role", "thing/policy"), "thing/token was not applied")

    made = Bookkeeping(world.situation(desired("token", {"fixed": 2})), "run").made(token, Made("99"))
    assert made.superseded == ("3",) and made.needs == ("reconciler/owned/thing/role",)
