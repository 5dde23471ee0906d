"""Dropping roles: nothing is lost without consent, nothing that others own is touched, and what hinders is named beforehand."""

from __future__ import annotations

import pytest

from reconciler.model.address import Address
from reconciler.model.errors import Rejected
from reconciler.model.kind import Order
from reconciler.model.resource import Dependant
from tests.kinds.postgres.conftest import KINDS, OWNER


def leaving(bench, role="app"):
    return bench.read("db-role", role, leaving=True)[role].dependants


def test_what_a_role_owns_are_its_dependants_with_where_they_lie(bench):
    bench.sql("CREATE ROLE app; CREATE ROLE other")
    bench.sql("CREATE DATABASE one OWNER app")
    bench.sql("CREATE DATABASE two")
    bench.sql("CREATE SCHEMA mine AUTHORIZATION app; CREATE TABLE t (id serial PRIMARY KEY); ALTER TABLE t OWNER TO app", database="two")
    one, two = Address.of("database", "default", "one"), Address.of("database", "default", "two")
    assert leaving(bench) == (Dependant("3 objects in database two", two),)
    (hindrance,) = bench.read("db-role", "app", leaving=True)["app"].hindrances
    assert (hindrance.text, hindrance.within, hindrance.is_itself) == ("database one", one, True)
    assert leaving(bench, "other") == ()
    assert bench.read("db-role", "app")["app"].dependants == (), "only asked of what is leaving"


def test_rights_on_what_others_own_are_no_dependants(bench):
    bench.sql("CREATE ROLE app; CREATE TABLE t (); GRANT SELECT ON t TO app; GRANT CONNECT ON DATABASE postgres TO app")
    assert leaving(bench) == ()


def test_what_it_granted_to_others_goes_with_it_and_is_named_wherever_it_lies(bench):
    bench.sql("CREATE ROLE app; CREATE ROLE kid")
    bench.sql("CREATE DATABASE one")
    bench.sql("GRANT CONNECT, CREATE ON DATABASE one TO app WITH GRANT OPTION; SET ROLE app; GRANT CONNECT ON DATABASE one TO kid")
    bench.sql(
        "CREATE SCHEMA s; CREATE TABLE t (a int, b int); CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'; SELECT lo_create(7);"
        "GRANT SELECT, UPDATE ON t TO app WITH GRANT OPTION; GRANT INSERT (b) ON t TO app WITH GRANT OPTION; GRANT USAGE ON SCHEMA s TO app;"
        "GRANT EXECUTE ON FUNCTION f() TO app WITH GRANT OPTION; GRANT SELECT ON LARGE OBJECT 7 TO app WITH GRANT OPTION;"
        "GRANT SELECT ON t TO kid; SET ROLE app; GRANT SELECT, UPDATE ON t TO kid; GRANT INSERT (b) ON t TO PUBLIC;"
        "GRANT EXECUTE ON FUNCTION f() TO kid; GRANT SELECT ON LARGE OBJECT 7 TO kid",
        "one",
    )
    one, kid = Address.of("database", "default", "one"), frozenset({Address.of("db-role", "default", "kid")})
    found = bench.read("db-role", "app", leaving=True)["app"]
    assert {d.text for d in found.dependants} == {
        "CONNECT on database one that it granted to kid",
        "SELECT, UPDATE on table public.t that it granted to kid",
        "INSERT on column b of table public.t that it granted to PUBLIC",
        "EXECUTE on function public.f() that it granted to kid",
        "SELECT on large object 7 that it granted to kid",
    }
    assert {d.within for d in found.dependants} == {one} and [d.whose for d in found.dependants].count(kid) == 4
    assert found.hindrances == ()
    bench.delete("db-role", "app")
    row = bench.sql("SELECT has_table_privilege('kid', 't', 'SELECT') AS select, has_table_privilege('kid', 't', 'UPDATE') AS update", "one")
    assert row == [{"select": True, "update": False}], "what others granted stays"


def test_who_is_in_a_role_loses_that_with_it(bench):
    bench.sql("CREATE ROLE app CREATEROLE; CREATE ROLE kid; GRANT app TO kid; GRANT app TO postgres; SET ROLE app; CREATE ROLE made; RESET ROLE")
    (lost,) = leaving(bench)
    assert lost.text == "the membership of kid in it", "not that of the role which this program runs as"
    assert lost.within == Address.of("db-membership", "default", "app", "kid") and lost.whose == {Address.of("db-role", "default", "kid")}
    assert leaving(bench, "made") == (), "the row of who made it is no membership that anybody granted"


def test_a_role_with_rights_everywhere_is_dropped_and_nothing_else_is_lost(bench):
    bench.sql("CREATE ROLE app; CREATE ROLE friend; CREATE ROLE team; GRANT team TO app WITH ADMIN OPTION")
    bench.sql("GRANT CONNECT ON DATABASE postgres TO app; ALTER ROLE app SET work_mem = '8MB'; COMMENT ON ROLE app IS 'x'")
    for name in ("one", "two"):
        bench.sql(f"CREATE DATABASE {name}")
        bench.sql(f"GRANT CREATE ON DATABASE {name} TO app", database=name)
        bench.sql("CREATE TABLE t (id int); INSERT INTO t VALUES (1); GRANT ALL ON t TO app; GRANT SELECT ON t TO friend", database=name)
        bench.sql("ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO app", database=name)
        bench.sql("ALTER TABLE t ENABLE ROW LEVEL SECURITY; CREATE POLICY p ON t TO app, friend USING (true)", database=name)
    bench.delete("db-role", "app")
    assert bench.read("db-role", "app") == {}
    for name in ("one", "two"):
        assert bench.value("SELECT count(*) FROM t", database=name) == 1
        assert bench.value("SELECT has_table_privilege('friend', 't', 'SELECT')", database=name) is True
        assert bench.value("SELECT count(*) FROM pg_policies", database=name) == 1
    assert set(bench.read("db-role", "friend", "team")) == {"friend", "team"}


def test_a_role_that_passed_memberships_on_is_dropped(bench):
    bench.sql("CREATE ROLE app LOGIN; CREATE ROLE friend; CREATE ROLE team; GRANT team TO app WITH ADMIN OPTION")
    bench.sql("SET ROLE app; GRANT team TO friend")
    bench.delete("db-role", "app")
    assert bench.read("db-role", "app") == {}


@pytest.mark.parametrize("where", ["postgres", "one"])
def test_what_it_owns_is_kept_without_consent_and_dropped_with(bench, where):
    bench.sql("CREATE ROLE app; CREATE ROLE other")
    bench.sql("CREATE DATABASE one")
    bench.sql("CREATE TABLE mine (); ALTER TABLE mine OWNER TO app; CREATE TABLE theirs (); GRANT SELECT ON theirs TO app", database=where)
    with pytest.raises(Rejected, match=f"it owns 1 objects in database {where}"):
        bench.delete("db-role", "app")
    assert bench.value("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'", database=where) == 2
    assert bench.value("SELECT has_table_privilege('app', 'theirs', 'SELECT')", database=where) is True
    bench.delete("db-role", "app", allow_data_loss=True)
    assert bench.value("SELECT string_agg(tablename, ',') FROM pg_tables WHERE schemaname = 'public'", database=where) == "theirs"
    assert bench.read("db-role", "app") == {}


def test_objects_of_others_that_stand_on_its_own_are_not_dropped_even_with_consent(bench):
    bench.sql("CREATE ROLE app")
    bench.sql("CREATE DATABASE one")
    bench.sql("CREATE TABLE mine (id int); ALTER TABLE mine OWNER TO app; CREATE VIEW theirs AS SELECT * FROM mine", database="one")
    with pytest.raises(Rejected, match="theirs"):
        bench.delete("db-role", "app", allow_data_loss=True)
    assert bench.value("SELECT count(*) FROM theirs", database="one") == 0


def test_a_database_that_it_owns_is_never_dropped_with_it(bench):
    bench.sql("CREATE ROLE app")
    bench.sql("CREATE DATABASE one OWNER app")
    bench.sql("CREATE TABLE mine (); ALTER TABLE mine OWNER TO app", database="one")
    assert [h.text for h in bench.read("db-role", "app", leaving=True)["app"].hindrances] == ["database one"]
    with pytest.raises(Rejected, match="it owns database one: drop that first, or give it another owner"):
        bench.delete("db-role", "app", allow_data_loss=True)
    assert bench.value("SELECT count(*) FROM pg_tables WHERE tablename = 'mine'", database="one") == 1


def test_a_database_that_cannot_be_connected_to_hinders_before_anything_is_lost(bench):
    bench.sql("CREATE ROLE app")
    for name in ("one", "two"):
        bench.sql(f"CREATE DATABASE {name}")
        bench.sql("CREATE TABLE t (); GRANT SELECT ON t TO app", database=name)
    bench.sql("ALTER DATABASE two ALLOW_CONNECTIONS false")
    (hindrance,) = bench.read("db-role", "app", leaving=True)["app"].hindrances
    assert hindrance.text == "what it has in database two, which cannot be connected to"
    with pytest.raises(Rejected, match="it is known in database two, which cannot be connected to"):
        bench.delete("db-role", "app", allow_data_loss=True)
    assert bench.value("SELECT has_table_privilege('app', 't', 'SELECT')", database="one") is True


def test_what_it_came_to_own_since_the_plan_is_not_lost(bench):
    """Planned as owning nothing; at the moment of DROP OWNED it owns something."""
    bench.sql("CREATE ROLE app; CREATE TABLE t (); GRANT SELECT ON t TO app")
    live = bench.read("db-role", "app", leaving=True)["app"]
    bench.sql("CREATE TABLE mine (); ALTER TABLE mine OWNER TO app")
    with pytest.raises(Rejected, match="it owns"):
        KINDS["db-role"].delete(bench.system, Order(live.address, {}, OWNER, live=live))
    assert bench.value("SELECT count(*) FROM pg_tables WHERE tablename = 'mine'") == 1


def test_a_role_that_is_gone_is_no_error(bench):
    live = bench.apply("db-role", "app")
    bench.sql("DROP ROLE app")
    KINDS["db-role"].delete(bench.system, Order(live.address, {}, OWNER, live=live))


def test_a_role_with_a_live_session_is_dropped_and_the_session_can_do_nothing_more(bench):
    bench.sql("CREATE ROLE app LOGIN SUPERUSER PASSWORD 'x'")
    bench.sql("CREATE TABLE secrets ()")
    with bench.server.connect(user="app", password="x") as session:
        session.execute("SELECT * FROM secrets")
        bench.delete("db-role", "app")
        with pytest.raises(Exception, match="permission denied"):
            session.execute("SELECT * FROM secrets")


def test_the_role_that_this_program_runs_as_cannot_be_dropped(modest):
    with pytest.raises(Rejected, match="current user"):
        KINDS["db-role"].delete(modest.system, Order(KINDS["db-role"].address("default", "modest"), {}, OWNER))
