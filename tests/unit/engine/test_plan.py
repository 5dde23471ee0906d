"""The decision table, row by row (docs/design.md §5)."""

from dataclasses import replace

import pytest

from reconciler.model.change import Action, Reason
from reconciler.model.errors import ManifestError
from reconciler.model.record import Origin, State
from reconciler.model.resource import Dependant
from reconciler.model.secret import Hidden, Secret

from .world import RETAIN, World, address, desired


def actions(plan):
    return {str(c.address).removeprefix("thing/"): c.action for c in plan.changes}


def only(plan):
    (change,) = plan.changes
    return change


@pytest.fixture
def applied():
    """A world in which ``a`` was created with ``x`` 1."""
    world = World()
    world.apply(desired("a", {"x": 1}))
    return world


def claim(world, **changes):
    """The record of ``a`` as it is between the claim and the creation."""
    record = world.records[address("a")]
    world.records[address("a")] = replace(record, state=State.CLAIMING, incarnation=None, modify_index=0, **changes)


def test_absent_is_created():
    change = only(World().plan(desired("a", {"x": 1})))
    assert (change.action, change.reasons) == (Action.CREATE, (Reason.NEW,))


def test_equal_and_not_ours_is_adopted_and_nothing_is_written():
    world = World()
    world.stranger("a", {"x": 1, "y": 2})
    change = only(world.plan(desired("a", {"x": 1})))
    assert (change.action, change.fields, change.removal) == (Action.ADOPT, (), RETAIN)


def test_different_and_not_ours_is_a_conflict_that_says_what_to_type():
    world = World()
    world.stranger("a", {"x": 2})
    plan = world.plan(desired("a", {"x": 1}))
    assert not plan.changes
    assert (
        str(plan.refusals[0])
        == "thing/a: exists and was not made by this manifest; it differs in x: to take it over and change it: --adopt 'thing/a'"
    )


@pytest.mark.parametrize("how", ["option", "entry"])
def test_different_and_not_ours_is_adopted_and_updated_with_consent(how):
    world = World()
    world.stranger("a", {"x": 2})
    plan = world.plan(desired("a", {"x": 1}, adopt=how == "entry"), adopt=("thing/*",) if how == "option" else ())
    assert only(plan).action is Action.ADOPT
    assert [f.path for f in only(plan).fields] == [("x",)]


def test_what_another_manifest_owns_is_a_conflict_that_names_it(applied):
    applied.owner = "other"
    plan = applied.plan(desired("a", {"x": 1}))
    assert not plan.changes
    assert "belongs to the manifest 'world'" in plan.refusals[0].what


def test_owned_and_equal_is_nothing(applied):
    assert applied.plan(desired("a", {"x": 1})).is_empty


@pytest.mark.parametrize(
    ("live", "wanted", "reasons"),
    [(1, 2, (Reason.MANIFEST,)), (3, 1, (Reason.DRIFTED,)), (3, 2, (Reason.MANIFEST, Reason.DRIFTED))],
)
def test_owned_and_different_is_updated_with_the_reason(applied, live, wanted, reasons):
    applied.edit("a", x=live)
    change = only(applied.plan(desired("a", {"x": wanted})))
    assert (change.action, change.reasons) == (Action.UPDATE, reasons)


def test_a_field_that_the_manifest_does_not_set_is_left_alone(applied):
    applied.edit("a", y=5)
    assert applied.plan(desired("a", {"x": 1})).is_empty


def test_a_field_that_was_set_and_is_not_any_more_is_unset(applied):
    applied.apply(desired("a", {"x": 1, "y": 5}))
    applied.apply(desired("a", {"x": 1}))
    assert "y" not in applied.live[address("a")].fields
    assert applied.plan(desired("a", {"x": 1})).is_empty


def test_an_unset_field_returns_to_its_default(applied):
    applied.apply(desired("a", {"x": 1, "switch": False}))
    applied.apply(desired("a", {"x": 1}))
    assert applied.live[address("a")].fields["switch"] is True


def test_owned_and_absent_is_created_again(applied):
    applied.remove("a")
    change = only(applied.plan(desired("a", {"x": 1})))
    assert (change.action, change.reasons) == (Action.CREATE, (Reason.DRIFTED,))


def test_made_anew_by_somebody_else_is_a_conflict_when_it_differs_and_adopted_when_it_does_not(applied):
    applied.stranger("a", {"x": 1})
    change = only(applied.plan(desired("a", {"x": 1})))
    assert change.action is Action.ADOPT and Reason.DRIFTED in change.reasons
    assert "made anew by somebody else" in applied.plan(desired("a", {"x": 2})).refusals[0].what


def test_a_claim_without_a_resource_is_created(applied):
    claim(applied)
    applied.remove("a")
    change = only(applied.plan(desired("a", {"x": 1})))
    assert (change.action, change.reasons) == (Action.CREATE, (Reason.UNFINISHED,))


def test_a_claim_whose_resource_is_there_is_finished(applied):
    claim(applied)
    change = only(applied.plan(desired("a", {"x": 1})))
    assert (change.action, change.reasons) == (Action.RECORD, (Reason.UNFINISHED,))
    applied.apply(desired("a", {"x": 1}))
    assert applied.records[address("a")].origin is Origin.CREATED
    assert applied.plan(desired("a", {"x": 1})).is_empty


def test_a_claim_is_compared_by_its_own_specification_and_then_updated(applied):
    claim(applied)
    change = only(applied.plan(desired("a", {"x": 2})))
    assert (change.action, change.reasons) == (Action.UPDATE, (Reason.MANIFEST, Reason.UNFINISHED))


def test_what_is_older_than_the_claim_is_not_ours(applied):
    claim(applied)
    applied.records[address("a")] = replace(applied.records[address("a")], modify_index=99)
    plan = applied.plan(desired("a", {"x": 1}))
    assert [r.rule for r in plan.refusals] == ["conflict"]
    assert only(applied.plan(desired("a", {"x": 1}), adopt=("*",))).action is Action.ADOPT


def test_what_differs_from_the_claim_is_not_ours(applied):
    claim(applied)
    applied.edit("a", x=7)
    assert applied.plan(desired("a", {"x": 1})).refusals[0].rule == "conflict"


def test_a_removed_entry_is_deleted(applied):
    assert only(applied.plan()).action is Action.DELETE


def test_a_removed_entry_that_was_adopted_is_forgotten():
    world = World()
    world.stranger("a", {"x": 1})
    world.apply(desired("a", {"x": 1}))
    world.apply()
    assert address("a") in world.live and not world.records


@pytest.mark.parametrize("state", ["owned", "claiming"])
def test_a_removed_entry_that_is_gone_is_forgotten(applied, state):
    if state == "claiming":
        claim(applied)
    applied.remove("a")
    assert only(applied.plan()).action is Action.FORGET


def test_a_removed_entry_that_somebody_made_anew_is_forgotten_with_a_warning(applied):
    applied.stranger("a", {"x": 1})
    plan = applied.plan()
    assert only(plan).action is Action.FORGET
    assert "made anew by somebody else" in plan.warnings[0]


def test_a_removed_claim_whose_resource_is_there_is_deleted(applied):
    claim(applied)
    assert only(applied.plan()).action is Action.DELETE


def test_a_removed_claim_with_something_else_in_its_place_is_forgotten_with_a_warning(applied):
    claim(applied)
    applied.edit("a", x=7)
    assert only(applied.plan()).action is Action.FORGET


def test_changing_on_removal_or_protect_is_a_record_change(applied):
    assert only(applied.plan(desired("a", {"x": 1}, on_removal=RETAIN))).action is Action.RECORD
    assert only(applied.plan(desired("a", {"x": 1}, protect=True))).action is Action.RECORD


def test_what_is_retained_keeps_what_it_needs():
    world = World()
    world.apply(desired("role", {}), desired("database", {}, frozenset({"role"}), on_removal=RETAIN))
    plan = world.plan()
    assert actions(plan) == {"role": Action.FORGET, "database": Action.FORGET}


def test_a_delete_waits_for_the_change_of_everything_that_needs_it():
    world = World()
    world.apply(desired("p", {}), desired("t", {"policy": "p"}, frozenset({"p"})))
    plan = world.plan(desired("q", {}), desired("t", {"policy": "q"}, frozenset({"q"})))
    waits = {str(c.address): {str(a) for a in c.waits_for} for c in plan.changes}
    assert waits == {"thing/p": {"thing/t"}, "thing/t": {"thing/q"}, "thing/q": set()}


def test_what_only_comes_after_gives_an_order_and_is_not_kept_with_it():
    world = World()
    first, second = desired("first", {"x": 1}), replace(desired("second", {"x": 1}), after=frozenset({address("first")}))
    waits = {str(c.address): c.waits_for for c in world.plan(first, second).changes}
    assert waits["thing/second"] == {address("first")}
    world.apply(first, replace(second, on_removal=RETAIN))
    assert actions(world.plan()) == {"first": Action.DELETE, "second": Action.FORGET}


def test_what_can_never_be_managed_is_forgotten_and_not_deleted(applied):
    applied.live[address("a")] = replace(applied.live[address("a")], foreign="is the node of a Consul agent")
    plan = applied.plan()
    assert only(plan).action is Action.FORGET
    assert plan.warnings == ("thing/a: is the node of a Consul agent, so it is left alone",)


def test_what_is_moved_goes_only_when_its_successor_is_there():
    world = World()
    world.apply(desired("old", {"x": 1}))
    plan = world.plan(replace(desired("new", {"x": 1}), label="old"))
    waits = {str(c.address): c.waits_for for c in plan.changes}
    assert waits == {"thing/new": frozenset(), "thing/old": {address("new")}}


def test_what_hinders_a_deletion_and_goes_itself_goes_first():
    world = World()
    world.apply(desired("role", {}), desired("database", {}))
    hindered = Dependant("2 objects in it", address("database"))
    world.live[address("role")] = replace(world.live[address("role")], dependants=(hindered,))
    waits = {str(c.address): c.waits_for for c in world.plan().changes}
    assert waits == {"thing/role": {address("database")}, "thing/database": frozenset()}


def test_deleting_what_something_still_needs_is_refused():
    world = World()
    world.apply(desired("p", {}), desired("t", {}, frozenset({"p"})))
    plan = world.plan(desired("t", {}, frozenset({"p"})))
    assert [r.rule for r in plan.refusals] == ["needed"]


def test_a_reference_to_what_does_not_exist_is_an_error_with_its_place():
    with pytest.raises(ManifestError, match=r"^m.yaml:1:1: thing/t: thing/p is not declared and does not exist: "):
        World().plan(desired("t", {}, frozenset({"p"})))


def test_a_circle_of_needs_is_an_error():
    with pytest.raises(ManifestError, match=r"needs itself: thing/[ab] → thing/[ab] → thing/[ab]"):
        World().plan(desired("a", {}, frozenset({"b"})), desired("b", {}, frozenset({"a"})))


def test_a_replacement_leaves_the_old_one_to_be_deleted_last(applied):
    old = applied.records[address("a")].incarnation
    change = only(applied.plan(desired("a", {"x": 1, "fixed": 2})))
    assert (change.action, change.deletes_superseded) == (Action.REPLACE, (old,))


def test_replacing_what_an_interrupted_replacement_made_leaves_that_to_be_deleted_too(applied):
    made = applied.live[address("a")].incarnation
    claim(applied, superseded=("old",))
    change = only(applied.plan(desired("a", {"x": 1, "fixed": 2})))
    assert (change.action, change.deletes_superseded) == (Action.REPLACE, ("old", made))


def test_a_secret_that_was_written_anew_with_the_same_value_is_a_record_change(applied):
    applied.apply(desired("a", {"x": Secret("s")}))
    applied.live[address("a")] = replace(applied.live[address("a")], witness="written")
    applied.records[address("a")] = replace(applied.records[address("a")], witness="written")
    assert applied.plan(desired("a", {"x": Secret("s")})).is_empty
    applied.live[address("a")] = replace(applied.live[address("a")], witness="written later")
    change = only(applied.apply(desired("a", {"x": Secret("s")})))
    assert (change.action, change.reasons) == (Action.RECORD, (Reason.DRIFTED,))
    assert applied.plan(desired("a", {"x": Secret("s")})).is_empty


def test_a_secret_that_may_not_be_read_is_no_record_change(applied):
    applied.apply(desired("a", {"x": Secret("s")}))
    applied.edit("a", x=Hidden("not for you"))
    applied.live[address("a")] = replace(applied.live[address("a")], witness="not known")
    assert applied.plan(desired("a", {"x": Secret("s")})).is_empty


def test_a_record_with_superseded_left_is_a_change(applied):
    applied.records[address("a")] = replace(applied.records[address("a")], superseded=("old",))
    change = only(applied.plan(desired("a", {"x": 1})))
    assert (change.action, change.deletes_superseded, change.reasons) == (Action.RECORD, ("old",), (Reason.UNFINISHED,))


def test_a_whole_mapping_belongs_to_the_manifest_and_a_free_one_is_merged(applied):
    applied.apply(desired("a", {"whole": {"k": 1}, "free": {"k": 1}}))
    applied.edit("a", whole={"k": 1, "other": 2}, free={"k": 1, "other": 2})
    change = only(applied.plan(desired("a", {"whole": {"k": 1}, "free": {"k": 1}})))
    assert [f.path for f in change.fields] == [("whole",)]
