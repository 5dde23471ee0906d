"""Databases: made by one statement, what is in them counted, dropped only when empty or with consent."""

from __future__ import annotations

import threading

import psycopg
import pytest

from reconciler.model.errors import AlreadyExists, LostRace, OutcomeUnknown, ReconcilerError, Rejected
from reconciler.model.kind import Order, Wanted
from tests.kinds.postgres.conftest import KINDS, OWNER, connect
from tests.servers.counting_proxy import Fate
from tests.servers.postgres_proxy import PostgresProxy

KIND = KINDS["database"]


@pytest.fixture
def invalid(bench):
    """A database of ours as an interrupted DROP DATABASE leaves it."""
    live = bench.apply("database", "app")
    bench.sql("UPDATE pg_database SET datconnlimit = -2 WHERE datname = 'app'")
    yield live
    bench.sql("DROP DATABASE IF EXISTS app")


def order(name="app", **changed):
    return Order(KIND.address("default", name), changed.pop("fields", {}), OWNER, **changed)


def leaving(bench, name="app"):
    return [d.text for d in bench.read("database", name, leaving=True)[name].dependants]


def test_every_field_is_created_changed_and_unset_again(bench):
    bench.sql("CREATE ROLE one; CREATE ROLE two")
    every = {"owner": "one", "encoding": "UTF8", "lc_collate": "C", "lc_ctype": "C.UTF-8", "template": "template0", "connection_limit": 7}
    made = bench.apply("database", "app", **every)
    row = bench.sql(
        "SELECT pg_get_userbyid(datdba) AS owner, pg_encoding_to_char(encoding) AS encoding, datcollate, datctype, datconnlimit, oid::text "
        "FROM pg_database WHERE datname = 'app'"
    )[0]
    assert tuple(row.values()) == ("one", "UTF8", "C", "C.UTF-8", 7, made.incarnation)
    changed = bench.apply("database", "app", **{**every, "owner": "two", "connection_limit": 8})
    assert changed.incarnation == made.incarnation
    unset = bench.apply("database", "app", encoding="UTF8")
    assert (unset.fields["owner"], unset.fields["connection_limit"]) == ("two", -1), "a database always has an owner: the last one stays"


def test_nothing_but_a_name_makes_a_database_from_template0(bench):
    bench.sql("CREATE TABLE additions ()", database="template1")
    with bench.server.connect("template1"):
        bench.apply("database", "app")  # which a session in template1 would hinder, were it made from that
    assert bench.value("SELECT count(*) FROM pg_tables WHERE tablename = 'additions'", database="app") == 0
    bench.apply("database", "other", template="template1")
    assert bench.value("SELECT count(*) FROM pg_tables WHERE tablename = 'additions'", database="other") == 1
    bench.sql("DROP TABLE additions", database="template1")


def test_another_template_later_is_no_difference(bench):
    bench.apply("database", "app", template="template0")
    _, differences = bench.differences(bench.desired("database", "app", {"template": "template1"}))
    assert differences.fields == ()
    bench.apply("database", "app")


@pytest.mark.parametrize("name", ['we"ird; DROP', "pg_mine", "ünï/x", "%s{}", "PUBLIC", "host=evil user=x", "  ", "é" * 31])
def test_any_name_that_postgres_takes_is_kept_as_it_is(bench, name):
    bench.apply("database", name, connection_limit=3)
    bench.sql("SELECT 1", database=name)
    assert leaving(bench, name) == []
    bench.delete("database", name)
    assert bench.read("database", name) == {}


@pytest.mark.parametrize(
    ("made", "wanted"),
    [
        ("ENCODING 'UTF8' LC_COLLATE 'C.utf8' LC_CTYPE 'C.utf8'", {"encoding": "utf-8", "locale": "C.UTF-8"}),
        ("ENCODING 'UTF8' LC_COLLATE 'C.UTF-8' LC_CTYPE 'C'", {"encoding": "unicode", "lc_collate": "C.utf8", "lc_ctype": "C"}),
        ("ENCODING 'LATIN1' LOCALE 'C'", {"encoding": "iso-8859-1", "locale": "C"}),
        ("ENCODING 'EUC_JIS_2004' LOCALE 'C'", {"encoding": "euc-jis-2004", "locale": "C"}),
        ("ENCODING 'WIN1252' LOCALE 'C'", {"encoding": "windows-1252", "locale": "C"}),
        ("ENCODING 'SQL_ASCII' LOCALE 'C'", {"encoding": "sql_ascii", "locale": "C"}),
    ],
)
def test_an_encoding_or_locale_spelled_otherwise_is_equal(bench, made, wanted):
    from reconciler.kinds.postgres.database import _fields
    from reconciler.manifest.models import Database

    bench.sql(f"CREATE DATABASE app TEMPLATE template0 {made}")
    _, differences = bench.differences(bench.desired("database", "app", _fields(Database(name="app", server="default", **wanted))))
    assert differences.fields == ()


def test_another_encoding_or_locale_is_a_difference_that_takes_a_replacement(bench):
    bench.sql("CREATE DATABASE app TEMPLATE template0 ENCODING 'LATIN1' LOCALE 'C'")
    _, differences = bench.differences(bench.desired("database", "app", {"encoding": "UTF8", "lc_ctype": "C.UTF-8", "connection_limit": -1}))
    assert {f.path[0] for f in differences.fields} == {"encoding", "lc_ctype"} <= KIND.rules.immutable
    assert not KIND.replaces


def test_an_impossible_locale_is_refused_by_the_server_and_leaves_nothing(bench):
    with pytest.raises(Rejected, match="it_XX"):
        bench.create("database", "app", lc_collate="it_XX.UTF-8", lc_ctype="it_XX.UTF-8")
    assert bench.read("database", "app") == {}


def test_a_database_that_exists_is_not_taken_for_ours(bench):
    bench.sql("CREATE DATABASE app")
    with pytest.raises(AlreadyExists):
        bench.create("database", "app")


def test_of_two_that_create_one_database_at_one_time_one_finds_that_it_exists(bench):
    """The loser collides in the catalogue's index (23505), or meets the finished database (42P04)."""
    other = connect(bench.server)
    results: list[str] = []

    def create(system):
        try:
            KIND.create(system, order())
            results.append("made")
        except AlreadyExists:
            results.append("exists")

    threads = [threading.Thread(target=create, args=(s,)) for s in (bench.system, other, connect(bench.server))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results) == ["exists", "exists", "made"]


def test_databases_are_created_at_one_time_on_connections_of_their_own(bench):
    names = [f"app{n}" for n in range(6)]
    threads = [threading.Thread(target=bench.create, args=("database", name)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(bench.read("database", *names)) == set(names)


def test_a_connection_lost_while_creating_leaves_the_outcome_unknown_and_the_database_comes_to_be(bench):
    bench.sql("CREATE ROLE app")
    with PostgresProxy(bench.server.host, bench.server.port, before=lambda write: None) as proxy:
        proxy.after = lambda write: Fate.END if write.text.startswith("CREATE DATABASE") else None
        system = connect(bench.server, PGPORT=str(proxy.port))
        with pytest.raises(OutcomeUnknown):
            KIND.create(system, order(fields={"owner": "app", "connection_limit": 4}))
    [live] = KIND.read(bench.system, [Wanted(KIND.address("default", "app"), OWNER)])
    assert (live.fields["owner"], live.fields["connection_limit"]) == ("app", 4), "one statement says it all: nothing is left to do"


def test_a_session_that_is_ended_while_creating_leaves_nothing(bench):
    bench.sql("CREATE DATABASE big")
    bench.sql("CREATE TABLE t AS SELECT repeat('x', 1000) AS text FROM generate_series(1, 60000)", database="big")
    faults: list[Exception] = []

    def create():
        try:
            bench.create("database", "app", template="big")
        except ReconcilerError as fault:
            faults.append(fault)

    thread = threading.Thread(target=create)
    thread.start()
    end = (
        "SELECT count(*) FILTER (WHERE pg_terminate_backend(pid)) AS n FROM pg_stat_activity "
        "WHERE query LIKE 'CREATE DATABASE%' AND state = 'active' AND pid <> pg_backend_pid()"
    )
    with bench.server.connect() as connection:
        while not connection.execute(end).fetchone()["n"] and thread.is_alive():
            pass
    thread.join()
    assert faults
    assert not isinstance(faults[0], OutcomeUnknown), "the server said so itself"
    assert bench.read("database", "app") == {}
    bench.create("database", "app")


def test_an_empty_database_loses_nothing_and_is_dropped(bench):
    bench.apply("database", "app")
    assert leaving(bench) == []
    bench.delete("database", "app")
    assert bench.read("database", "app") == {}


def test_what_would_be_lost_is_counted(bench):
    bench.apply("database", "app")
    bench.sql(
        "CREATE TABLE a (id serial); CREATE TABLE b (id int) PARTITION BY RANGE (id); CREATE TABLE b1 PARTITION OF b FOR VALUES FROM (1) TO (9);"
        "INSERT INTO a SELECT generate_series(1, 20000);"
        "CREATE VIEW v AS SELECT 1; CREATE VIEW w AS SELECT 1; CREATE MATERIALIZED VIEW m AS SELECT 1; CREATE SEQUENCE s;"
        "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'; SELECT lo_create(0)",
        database="app",
    )
    tables, *rest = leaving(bench)
    assert tables.startswith("3 tables, 7")
    assert tables.endswith(" kB")
    assert rest == ["1 materialized view", "2 views", "1 sequence", "1 function", "1 large object"]
    assert bench.read("database", "app")["app"].dependants == (), "only asked of what is leaving"


def test_tables_in_other_schemas_count_and_those_of_extensions_do_not(bench):
    bench.apply("database", "app")
    assert leaving(bench) == []  # plpgsql is an extension, with functions of its own
    bench.sql("CREATE SCHEMA hidden; CREATE TABLE hidden.t ()", database="app")
    assert leaving(bench) == ["1 table"]


def test_a_locked_table_is_counted_without_its_size(bench, monkeypatch):
    from reconciler.systems.postgres import server

    monkeypatch.setitem(server._SETTINGS, "lock_timeout", "100")
    bench.apply("database", "app")
    bench.sql("CREATE TABLE t AS SELECT 1", database="app")
    with bench.server.connect("app") as other:
        other.execute("BEGIN; LOCK TABLE t IN ACCESS EXCLUSIVE MODE")
        assert leaving(bench) == ["1 table"]


def test_a_database_that_cannot_be_looked_into_counts_as_not_empty(bench):
    bench.apply("database", "app")
    bench.sql("ALTER DATABASE app ALLOW_CONNECTIONS false")
    assert leaving(bench) == ["contents that cannot be seen (nobody may connect to it)"]


def test_tables_are_not_lost_without_consent_also_when_they_came_after_the_plan(bench):
    bench.apply("database", "app")
    live = bench.read("database", "app", leaving=True)["app"]
    assert live.dependants == ()
    bench.sql("CREATE TABLE t ()", database="app")
    with pytest.raises(Rejected, match="not empty any more: it has 1 table"):
        KIND.delete(bench.system, order(live=live))
    assert bench.value("SELECT count(*) FROM t", database="app") == 0
    KIND.delete(bench.system, order(live=live, allow_data_loss=True))
    assert bench.read("database", "app") == {}


def test_sessions_in_it_are_named_and_only_ended_with_consent(bench):
    bench.sql("CREATE ROLE visitor LOGIN PASSWORD 'x'")
    live = bench.apply("database", "app")
    with bench.server.connect("app", "visitor", "x") as session:
        with pytest.raises(Rejected, match=r"accessed by other users.*: visitor from 127\.0\.0\.1"):
            KIND.delete(bench.system, order(live=live))
        session.execute("SELECT 1")
        KIND.delete(bench.system, order(live=live, allow_data_loss=True))
        with pytest.raises(psycopg.OperationalError):
            session.execute("SELECT 1")
    assert bench.read("database", "app") == {}


def test_an_owner_changes_while_sessions_are_in_it(bench):
    bench.sql("CREATE ROLE one; CREATE ROLE two")
    bench.apply("database", "app", owner="one")
    with bench.server.connect("app"):
        bench.apply("database", "app", owner="two")


def test_what_an_interrupted_drop_left_is_a_conflict_when_wanted_and_dropped_when_not(bench, invalid):
    wanted, _ = bench.differences(bench.desired("database", "app", {}))
    assert wanted.foreign == "is what an interrupted DROP DATABASE left, and cannot be used: drop it (DROP DATABASE app)"
    unwanted = bench.read("database", "app", leaving=True)["app"]
    assert (unwanted.foreign, unwanted.dependants) == ("", ())
    KIND.delete(bench.system, order(live=invalid))
    assert bench.read("database", "app") == {}


def test_a_fatal_error_ends_the_connection_and_not_the_run(bench, invalid):
    with pytest.raises(Rejected, match="invalid database"):
        KIND.update(bench.system, order(fields={"connection_limit": 3}, changed=(("connection_limit",),), live=invalid))
    assert bench.system.query("SELECT 1 AS one") == [{"one": 1}]


def test_a_template_cannot_be_dropped_and_those_of_postgres_not_be_managed(bench):
    bench.sql("CREATE DATABASE app IS_TEMPLATE true")
    with pytest.raises(Rejected, match="template"):
        bench.delete("database", "app", allow_data_loss=True)
    assert bench.read("database", "template0")["template0"].foreign
    assert bench.read("database", "template1")["template1"].foreign


def test_the_database_that_this_program_is_connected_to_cannot_be_dropped(bench):
    with pytest.raises(Rejected, match="currently open database"):
        bench.delete("database", "postgres", allow_data_loss=True)


def test_a_database_that_is_gone_is_no_error_and_one_made_anew_is_left(bench):
    live = bench.apply("database", "app")
    bench.sql("DROP DATABASE app")
    KIND.delete(bench.system, order(live=live))
    bench.sql("CREATE DATABASE app")
    with pytest.raises(LostRace):
        KIND.delete(bench.system, order(live=live, allow_data_loss=True))
    with pytest.raises(LostRace):
        KIND.update(bench.system, order(fields={"connection_limit": 3}, changed=(("connection_limit",),), live=live))
    assert bench.read("database", "app")["app"].fields["connection_limit"] == -1


def test_a_role_whose_database_goes_first_is_dropped_after_it(bench):
    bench.apply("db-role", "app", login=True)
    bench.apply("database", "app", owner="app")
    bench.sql("CREATE TABLE t (); ALTER TABLE t OWNER TO app; GRANT CREATE ON DATABASE app TO app", database="app")
    bench.delete("database", "app", allow_data_loss=True)
    bench.delete("db-role", "app")
    assert bench.read("db-role", "app") == {}
