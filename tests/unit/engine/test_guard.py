"""What is refused without consent, and with which words."""

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


def lose(world, name, *dependants):
    from dataclasses import replace

    world.live[address(name)] = replace(world.live[address(name)], dependants=dependants)


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
