"""What holds for every pair of manifests: planning is a function, applying it gives what was asked for, and nothing else is touched."""

from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.engine.diff import compare
from reconciler.model.change import Action

from .world import Thing, World, address, desired

NAMES = st.sampled_from(["a", "b", "c", "d", "e"])
VALUES = st.one_of(st.integers(0, 2), st.sampled_from(["", "x"]), st.booleans(), st.lists(st.integers(0, 1), max_size=2))
FIELDS = st.fixed_dictionaries(
    {},
    optional={
        "x": VALUES, "switch": st.booleans(), "fixed": st.integers(1, 2),
        "free": st.dictionaries(st.sampled_from("kl"), VALUES, max_size=2), "whole": st.dictionaries(st.sampled_from("kl"), VALUES, max_size=2),
    },
)  # fmt: skip


@st.composite
def manifests(draw):
    names = sorted(draw(st.sets(NAMES)))
    # a resource needs only such as come before it, so that there is no circle
    return [desired(n, draw(FIELDS), frozenset(draw(st.sets(st.sampled_from(names[:i]))) if i else ())) for i, n in enumerate(names)]


def as_wanted(world, manifest):
    """Every desired resource is live and says what the manifest says."""
    return all(d.address in world.live and not compare(d.fields, None, world.live[d.address], Thing.rules).fields for d in manifest)


@given(manifests(), manifests())
def test_applying_a_then_b_leaves_exactly_b(a, b):
    world = World()
    world.apply(*a)
    world.apply(*b)
    assert as_wanted(world, b)
    assert world.live.keys() == {d.address for d in b} == world.records.keys()
    assert world.plan(*b).is_empty


@given(manifests())
def test_a_plan_after_an_apply_is_empty(a):
    world = World()
    world.apply(*a)
    assert world.plan(*a).is_empty


@given(manifests(), manifests(), st.randoms())
def test_the_order_of_the_input_does_not_matter(a, b, random):
    world = World()
    world.apply(*a)
    shuffled = list(b)
    random.shuffle(shuffled)
    assert world.plan(*b) == world.plan(*shuffled)


@settings(max_examples=300)
@given(manifests(), manifests(), st.dictionaries(NAMES, FIELDS))
def test_nothing_that_is_not_ours_is_ever_deleted_or_overwritten(a, b, strangers):
    world = World()
    for name, fields in strangers.items():
        world.stranger(name, fields)
    before = dict(world.live)
    first = world.plan(*a)
    if not first.refusals:
        world.apply(*a)
        second = world.plan(*b)
        assert not any(c.action is Action.DELETE and c.address in before for c in second.changes)
        if not second.refusals:
            world.apply(*b)
    wanted = {d.address for d in (*a, *b)}
    untouched = {k: v for k, v in before.items() if k not in wanted}
    assert {k: world.live.get(k) for k in untouched} == untouched
    assert all(address(n) in world.live for n in strangers)


@given(manifests(), st.dictionaries(NAMES, FIELDS), st.sets(NAMES))
def test_what_others_change_is_put_right(a, edits, deletions):
    world = World()
    world.apply(*a)
    for name, fields in edits.items():
        if address(name) in world.live:
            world.edit(name, **{k: v for k, v in fields.items() if k != "fixed"})
    for name in deletions:
        if address(name) in world.live:
            world.remove(name)
    world.apply(*a)
    assert as_wanted(world, a)
    assert world.plan(*a).is_empty
