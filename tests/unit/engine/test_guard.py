"""What is refused without consent, and with which words."""

from dataclasses import replace

import pytest

from reconciler.engine.guard import Limits, Own, refusals
from reconciler.model.resource import Dependant

from .world import World, address, desired


def rules(world, *wanted, own=Own(), **limits):
    situation = world.situation(*wanted)
    return [r.rule for r in refusals(world.plan(*wanted), situation, own, Limits(**limits))]


def world_of(count, **options):
    world = World()
    wanted = [desired(f"r{i:02}", {"x": 1}, **options) for i in range(count)]
    world.apply(*wanted)
    return world, wanted


def test_the_one_entry_of_a_small_manifest_may_go():
    world, _ = world_of(1)
    assert rules(world) == []


def test_a_third_of_a_larger_manifest_may_go_and_not_one_more():
    world, wanted = world_of(10)
    assert rules(world, *wanted[3:]) == []
    assert rules(world, *wanted[4:]) == ["deletion limit"]


@pytest.mark.parametrize(
    "consent", [{"max_deletes": "4"}, {"max_deletes": "40%"}, {"allow_delete": ("thing/r00",)}, {"allow_delete": ("*",)}, {"destroy": True}]
)
def test_the_limit_is_waived_by_name_or_number(consent):
    world, wanted = world_of(10)
    assert rules(world, *wanted[4:], **consent) == []


def test_deleting_everything_is_asked_about_from_five_on():
    assert rules(world_of(4)[0]) == []
    assert rules(world_of(5)[0]) == ["deletes everything"]
    assert rules(world_of(5)[0], allow_delete=("*",)) == []
    assert rules(world_of(5)[0], destroy=True) == []


def test_what_is_protected_is_neither_deleted_nor_replaced_but_may_be_forgotten():
    world, _ = world_of(1, protect=True)
    assert rules(world) == ["protected"]
    assert rules(world, desired("r00", {"x": 1, "fixed": 3}, protect=True)) == ["protected"]
    assert rules(world, desired("r00", {"x": 2}, protect=True)) == []


def test_what_the_run_itself_uses_is_not_written():
    world, _ = world_of(1)
    assert rules(world, own=Own(frozenset({address("r00")}))) == ["own credentials"]
    assert rules(world, desired("r00", {"x": 2}), own=Own(frozenset({address("r00")}))) == ["own credentials"]
    assert rules(world, desired("r00", {"x": 1}), own=Own(frozenset({address("r00")}))) == []


def lose(world, name, *dependants, hindrances=()):
    world.live[address(name)] = replace(world.live[address(name)], dependants=dependants, hindrances=hindrances)


def test_losing_what_depends_on_it_takes_consent_by_address():
    world, _ = world_of(1)
    lose(world, "r00", Dependant("12 tables, 3.4 MB"))
    assert rules(world) == ["data loss"]
    assert rules(world, allow_data_loss=("thing/r00",)) == []
    assert rules(world, destroy=True) == ["data loss"]


def test_a_dependant_that_an_earlier_step_deletes_or_gives_away_does_not_count():
    world = World()
    role, database = desired("role", {}), desired("database", {"owner": "role"})
    world.apply(role, database, desired("heir", {}))
    lose(world, "role", Dependant("database", address("database"), is_itself=True), Dependant("7 objects", address("database")))
    assert rules(world, destroy=True) == []
    lose(world, "role", Dependant("database", address("database"), is_itself=True))
    assert rules(world, desired("database", {"owner": "heir"}), desired("heir", {})) == []
    lose(world, "role", Dependant("7 objects in it", address("database")))
    assert rules(world, desired("database", {"owner": "heir"}), desired("heir", {})) == ["data loss"]


def test_what_hinders_a_deletion_is_waived_by_nothing_but_the_same_plan():
    world = World()
    world.apply(desired("role", {}), desired("database", {"owner": "role"}), desired("heir", {}))
    itself = Dependant("database", address("database"), is_itself=True, remedy="give it away")
    lose(world, "role", hindrances=(itself, Dependant("tablespace", remedy="give it away"), Dependant("a closed one", remedy="open it")))
    stays = (desired("database", {"owner": "role"}), desired("heir", {}))
    situation = world.situation(*stays)
    found = refusals(world.plan(*stays), situation, Own(), Limits(allow_data_loss=("*",), allow_delete=("*",), destroy=True))
    assert [(r.rule, r.what, r.what_to_do) for r in found] == [
        ("hindered", "cannot be deleted, because of database, tablespace", "give it away"),
        ("hindered", "cannot be deleted, because of a closed one", "open it"),
    ]
    lose(world, "role", hindrances=(itself,))
    assert rules(world, destroy=True) == []
    given = world.plan(desired("database", {"owner": "heir"}), desired("heir", {}))
    assert next(c for c in given.changes if c.address == address("role")).waits_for == {address("database")}
    assert rules(world, desired("database", {"owner": "heir"}), desired("heir", {})) == []


def test_what_is_lost_by_those_who_go_too_does_not_count():
    world = World()
    kid = desired("kid", {})
    world.apply(desired("role", {}), kid)
    lose(world, "role", Dependant("SELECT that it granted to kid", address("database"), whose=frozenset({address("kid")})))
    assert rules(world, kid) == ["data loss"]
    assert rules(world, destroy=True) == []
