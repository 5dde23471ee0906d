"""A role with an heir: what it owns, in every database, is given away before it is dropped, and nothing is lost."""

from __future__ import annotations

from dataclasses import replace

import pytest

from reconciler.model.errors import LostRace, Rejected
from reconciler.model.kind import Order, Wanted
from reconciler.systems.postgres import Condition
from tests.kinds.postgres.conftest import KINDS, OWNER

KIND = KINDS["db-role"]
ADDRESS = KIND.address("default", "le ading")


def owning_in_two_databases(bench):
    bench.apply("db-role", "the heir")
    live = bench.apply("db-role", "le ading", login=True, reassign_to="the heir")
    bench.sql("CREATE ROLE kid; GRANT kid TO postgres")
    for name in ("one", "two"):
        bench.sql(f'CREATE DATABASE {name} OWNER "le ading"')
        bench.sql('CREATE TABLE mine (id int); INSERT INTO mine VALUES (1); ALTER TABLE mine OWNER TO "le ading"; GRANT SELECT ON mine TO kid', name)
        bench.sql('CREATE SCHEMA s AUTHORIZATION "le ading"; CREATE TABLE theirs (); GRANT ALL ON theirs TO "le ading"', name)
        bench.sql('ALTER DEFAULT PRIVILEGES FOR ROLE "le ading" GRANT SELECT ON TABLES TO kid', name)
    return live


def planned(bench):
    return next(iter(KIND.read(bench.system, [Wanted(ADDRESS, OWNER, record=bench.last.get(ADDRESS), leaving=True)])))


def drop(bench, live=None, **options):
    KIND.delete(bench.system, Order(ADDRESS, {}, OWNER, live=live, record=bench.last[ADDRESS], **options))


def test_everything_in_every_database_goes_to_the_heir_and_nothing_is_lost(bench):
    owning_in_two_databases(bench)
    live = planned(bench)
    assert live.dependants == ()
    assert live.notice.startswith("the heir gets ") and "database one" in live.notice and "objects in database two" in live.notice
    drop(bench, live)
    assert bench.read("db-role", "le ading") == {}
    assert {r["owner"] for r in bench.sql("SELECT pg_get_userbyid(datdba) AS owner FROM pg_database WHERE datname IN ('one', 'two')")} == {"the heir"}
    for name in ("one", "two"):
        assert bench.value("SELECT tableowner FROM pg_tables WHERE tablename = 'mine'", name) == "the heir"
        assert bench.value("SELECT count(*) FROM mine", name) == 1
        assert bench.value("SELECT has_table_privilege('kid', 'mine', 'SELECT')", name) is True
        assert bench.value("SELECT nspowner::regrole::text FROM pg_namespace WHERE nspname = 's'", name) == '"the heir"'


def test_without_an_heir_that_exists_nothing_is_touched(bench):
    owning_in_two_databases(bench)
    record = bench.last[ADDRESS]
    bench.last[ADDRESS] = replace(record, specification={**record.specification, "reassign_to": "nobody here"})
    live = planned(bench)
    assert live.dependants and not live.notice
    with pytest.raises(Rejected, match="no role nobody here any more"):
        drop(bench, live)
    assert bench.value("SELECT tableowner FROM pg_tables WHERE tablename = 'mine'", "one") == "le ading"


def test_who_no_superuser_is_reassigns_and_keeps_no_membership(modest):
    modest.apply("db-role", "the heir")
    modest.apply("db-role", "le ading", reassign_to="the heir")
    modest.apply("database", "one", owner="le ading")
    modest.sql('CREATE TABLE mine (); ALTER TABLE mine OWNER TO "le ading"', "one")
    drop(modest, planned(modest))
    assert modest.value("SELECT tableowner FROM pg_tables WHERE tablename = 'mine'", "one") == "the heir"
    assert modest.value("SELECT pg_get_userbyid(datdba)::text FROM pg_database WHERE datname = 'one'") == "the heir"
    assert modest.value("SELECT pg_has_role('modest', 'the heir', 'USAGE')") is False


def test_what_comes_to_be_between_reassigning_and_dropping_is_not_dropped(bench, monkeypatch):
    """DROP OWNED drops whatever the role owns then, so it is looked at once more."""
    owning_in_two_databases(bench)
    looked: list[str] = []

    def late(self, text, parameters, otherwise, *, make=Condition.__init__):
        if "current_database" in text and not looked:
            looked.append(text)
            text = "SELECT false"
            parameters = {}
        make(self, text, parameters, otherwise)

    monkeypatch.setattr(Condition, "__init__", late)
    with pytest.raises(LostRace, match="come to own something"):
        drop(bench, planned(bench))
    assert bench.value("SELECT tableowner FROM pg_tables WHERE tablename = 'mine'", "one") == "le ading"


def test_a_membership_that_the_role_granted_is_not_lost_without_being_named(bench):
    if bench.server.version < 16:
        pytest.skip("until 15 it outlives its grantor")
    bench.sql("CREATE ROLE team; CREATE ROLE kid")
    bench.apply("db-role", "le ading")
    bench.sql('GRANT team TO "le ading" WITH ADMIN OPTION')
    bench.sql('SET ROLE "le ading"; GRANT team TO kid')
    assert [d.text for d in planned(bench).dependants] == ["the membership of kid in team, which it granted"]
