"""A role that may create roles and databases and is no superuser: passwords cannot be compared, all else works."""

from __future__ import annotations

import pytest

from reconciler.model.errors import AccessDenied, Rejected
from reconciler.model.kind import Order, Wanted
from reconciler.model.secret import Hidden, Secret
from tests.kinds.postgres.conftest import KINDS, OWNER, connect


def test_passwords_are_written_and_cannot_be_compared(modest):
    assert not modest.system.me.can_read_authid
    live = modest.apply("db-role", "app", login=True, password=Secret("one"))
    assert live.fields["password"] == Hidden(f"modest may not read pg_authid on Postgres default (127.0.0.1:{modest.server.port})")
    assert modest.server.accepts("app", "one")
    _, differences = modest.differences(modest.desired("db-role", "app", {"login": True, "password": Secret("two")}))
    assert differences.fields == ()
    assert differences.unreadable == ((("password",), live.fields["password"].why),)


def test_everything_else_of_a_role_is_managed(modest):
    every = {
        "login": True, "createdb": True, "createrole": True, "inherit": False, "connection_limit": 5, "valid_until": "infinity",
        "settings": {"work_mem": "8MB"},
    }  # fmt: skip
    modest.apply("db-role", "app", **every)
    modest.apply("db-role", "app", **{**every, "connection_limit": 6, "settings": {"work_mem": "9MB"}})
    modest.apply("db-role", "app")
    modest.delete("db-role", "app")
    assert modest.read("db-role", "app") == {}


def test_what_only_a_superuser_may_do_is_denied_and_leaves_nothing(modest):
    with pytest.raises(AccessDenied, match=r"SUPERUSER|superuser"):
        modest.create("db-role", "app", superuser=True)
    assert modest.read("db-role", "app") == {}


def test_a_database_is_created_for_a_role_that_this_one_was_no_member_of(modest):
    modest.apply("db-role", "app", login=True)
    modest.apply("database", "app", owner="app", connection_limit=5)
    modest.apply("db-role", "heir")
    modest.apply("database", "app", owner="heir", connection_limit=6)
    modest.delete("database", "app")
    modest.delete("db-role", "app")
    modest.delete("db-role", "heir")
    assert modest.read("db-role", "app", "heir") == {}


def test_an_owner_that_cannot_be_joined_is_an_error_that_says_what_to_grant(modest):
    modest.sql("CREATE ROLE boss SUPERUSER")
    with pytest.raises(AccessDenied, match='GRANT "boss" TO "modest"'):
        modest.create("database", "app", owner="boss")
    assert modest.read("database", "app") == {}
    modest.sql("ALTER ROLE boss NOSUPERUSER; GRANT boss TO modest")
    modest.apply("database", "app", owner="boss")


def test_a_role_with_rights_and_objects_is_dropped(modest):
    modest.apply("db-role", "app", login=True)
    modest.apply("database", "app", owner="app")
    modest.apply("db-role", "heir")
    modest.apply("database", "app", owner="heir")
    modest.sql("CREATE TABLE mine (); ALTER TABLE mine OWNER TO app; CREATE TABLE theirs (id int); ALTER TABLE theirs OWNER TO heir", database="app")
    modest.sql("SET ROLE heir; GRANT SELECT ON theirs TO app", database="app")
    modest.delete("db-role", "app", allow_data_loss=True)
    assert modest.read("db-role", "app") == {}
    assert modest.value("SELECT string_agg(tablename, ',') FROM pg_tables WHERE schemaname = 'public'", database="app") == "theirs"


def test_what_only_a_superuser_could_revoke_is_said(modest):
    modest.apply("db-role", "app", login=True)
    modest.sql("CREATE DATABASE other")
    modest.sql("CREATE TABLE theirs (); GRANT SELECT ON theirs TO app", database="other")
    with pytest.raises(Rejected, match=r"1 object in database other.*modest may not revoke what others granted to it"):
        modest.delete("db-role", "app")
    assert modest.value("SELECT has_table_privilege('app', 'theirs', 'SELECT')", database="other") is True


def test_somebody_elses_role_is_left_where_rights_do_not_reach(modest):
    if modest.server.version < 16:
        pytest.skip("until 15, CREATEROLE was enough")
    modest.sql("CREATE ROLE theirs")
    live = modest.read("db-role", "theirs")["theirs"]
    with pytest.raises(AccessDenied, match="ADMIN"):
        KINDS["db-role"].delete(modest.system, Order(live.address, {}, OWNER, live=live))
    assert "theirs" in modest.read("db-role", "theirs")


def test_a_role_without_any_right_can_plan(postgres):
    postgres.query("CREATE ROLE reader LOGIN PASSWORD 'x'")
    postgres.query("CREATE DATABASE app")
    system = connect(postgres, PGUSER="reader", PGPASSWORD="x")
    for kind, name in (("db-role", "postgres"), ("database", "app")):
        address = KINDS[kind].address("default", name)
        [live] = KINDS[kind].read(system, [Wanted(address, OWNER, leaving=True)])
        assert live.incarnation
    system.close()
