"""A part of a plan: never more than the whole, always with what it cannot go without, and a step on the way."""

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.engine.scope import Scope
from reconciler.model.change import Action

from .test_plan_properties import NAMES, as_wanted, manifests
from .world import World, address, desired


def by_address(plan):
    return {c.address: (c.action, c.fields) for c in plan.changes}


def part(names):
    return tuple(f"thing/{name}" for name in sorted(names))


@settings(max_examples=300, deadline=None)
@given(manifests(), manifests(), st.sets(NAMES, min_size=1))
def test_targets(a, b, names):
    world = World()
    world.apply(*a)
    scope = Scope(part(names))
    whole, partial = world.plan(*b), world.plan(*b, scope=scope)
    assert not partial.refusals
    assert partial.partial
    assert by_address(partial).items() <= by_address(whole).items(), "never another change than the whole plan would make"
    changed = by_address(whole)
    kept = by_address(partial).keys()
    assert {address(n) for n in names} & changed.keys() <= kept
    wanted = {d.address: d for d in b}
    for change in partial.changes:
        if change.desired is not None:
            assert change.desired.needs & changed.keys() <= kept, "what it needs comes with it"
        if change.action is Action.REPLACE:
            assert {w.address for w in wanted.values() if change.address in w.needs} & changed.keys() <= kept, "who uses it moves over"
        if change.action is Action.DELETE:
            needing = {r_address for r_address, r in world.records.items() if world.records[change.address].key in r.needs}
            assert needing & changed.keys() <= kept, "who needs it goes, or changes, with it"
    world.apply(*b, scope=scope)
    world.apply(*b)
    assert as_wanted(world, b)
    assert world.live.keys() == wanted.keys() == world.records.keys()


@settings(max_examples=300, deadline=None)
@given(manifests(), manifests(), st.sets(NAMES, min_size=1))
def test_excludes(a, b, names):
    world = World()
    world.apply(*a)
    scope = Scope(excludes=part(names))
    whole, partial = world.plan(*b), world.plan(*b, scope=scope)
    left_out = {address(n) for n in names}
    assert by_address(partial).items() <= by_address(whole).items()
    assert not by_address(partial).keys() & left_out
    if partial.refusals:
        assert {r.rule for r in partial.refusals} == {"excluded need"}
        return
    assert by_address(partial).keys() == by_address(whole).keys() - left_out
    before = {n: world.live.get(n) for n in left_out}
    world.apply(*b, scope=scope)
    assert {n: world.live.get(n) for n in left_out} == before
    world.apply(*b)
    assert as_wanted(world, b)


def test_a_conflict_elsewhere_does_not_hinder_a_part_but_that_of_a_need_does():
    world = World()
    world.stranger("theirs", {"x": 2})
    manifest = [desired("theirs", {"x": 1}), desired("mine", {"x": 1}), desired("user", {"x": 1}, frozenset({"theirs"}))]
    assert not world.plan(*manifest, scope=Scope(("thing/mine",))).refusals
    assert [str(r.address) for r in world.plan(*manifest, scope=Scope(("thing/user",))).refusals] == ["thing/theirs"]
    excluded = world.plan(*manifest, scope=Scope(excludes=("thing/theirs",)))
    assert [(r.rule, str(r.address)) for r in excluded.refusals] == [("excluded need", "thing/user")]


def test_what_uses_the_users_of_something_that_is_replaced_moves_over_too():
    """A token, its file, and the unit that reads it; also when the file has moved over already."""

    def chain(fixed, x):
        return [desired("token", {"fixed": fixed}), desired("file", {"x": x}, frozenset({"token"})), desired("unit", {"x": x}, frozenset({"file"}))]

    world = World()
    world.apply(*chain(1, 1))
    of_the_token = Scope(("thing/token",))
    assert by_address(world.plan(*chain(2, 2), scope=of_the_token)).keys() == {address(name) for name in ("token", "file", "unit")}
    without_unit = world.plan(*chain(2, 2), scope=Scope(excludes=("thing/unit",)))
    assert [(r.rule, str(r.address)) for r in without_unit.refusals] == [("excluded need", "thing/token")]

    world.apply(*chain(2, 2))
    world.records[address("token")] = replace(world.records[address("token")], superseded=("1",))
    world.edit("unit", x=1)
    assert by_address(world.plan(*chain(2, 2), scope=of_the_token)).keys() == {address("token"), address("unit")}


def test_what_matches_nothing_is_named():
    scope = Scope(("thing/a", "thing/b*"), ("thing/c",))
    assert scope.unmatched([address("a"), address("d")]) == [("--target", "thing/b*"), ("--exclude", "thing/c")]
    assert Scope(("thing/b",), must_match=False).unmatched([]) == []
