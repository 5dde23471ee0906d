"""Roles: every attribute there and back, names of every sort, and what others do meanwhile."""

from __future__ import annotations

import threading

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reconciler.kinds.postgres import _role_settings as role_settings
from reconciler.model.errors import AlreadyExists, LostRace, ReconcilerError, Rejected
from reconciler.model.kind import Order
from reconciler.systems.postgres import server
from tests.kinds.postgres.conftest import KINDS, OWNER

EVERY_ATTRIBUTE = {
    "login": True, "superuser": True, "createdb": True, "createrole": True, "inherit": False, "replication": True, "bypassrls": True,
    "connection_limit": 5, "valid_until": "2031-01-01T00:00:00+00:00",
    "settings": {"work_mem": "8MB", "search_path": 'app, "$user", public', "statement_timeout": "5min", "app.mode": "a, b='c'\\"},
}  # fmt: skip
ODD_NAMES = [
    'we"ird; DROP ROLE x',
    "ünï",
    "%s{}%%",
    "PUBLIC",
    "current_user",
    "user",
    "Mixed Case",
    "  ",
    "back\\slash",
    "é" * 31,
    "x" * 63,
    "e\u0301",
]


def test_every_attribute_is_created_changed_and_unset_again(bench):
    bench.apply("db-role", "app", **EVERY_ATTRIBUTE)
    row = bench.sql("SELECT * FROM pg_roles WHERE rolname = 'app'")[0]
    assert all(row[f"rol{k}"] for k in ("canlogin", "super", "createdb", "createrole", "replication", "bypassrls"))
    assert (row["rolinherit"], row["rolconnlimit"], row["rolvaliduntil"].isoformat()) == (False, 5, "2031-01-01T00:00:00+00:00")
    for attribute, value in EVERY_ATTRIBUTE.items():
        bench.apply("db-role", "app", **{k: v for k, v in EVERY_ATTRIBUTE.items() if k != attribute})
        live = bench.apply("db-role", "app", **EVERY_ATTRIBUTE)
        assert live.fields[attribute] == value
    bench.apply("db-role", "app")
    row = bench.sql(
        "SELECT rolcanlogin, rolsuper, rolinherit, rolconnlimit, rolvaliduntil::text AS until, rolconfig FROM pg_roles WHERE rolname = 'app'"
    )[0]
    assert tuple(row.values()) == (False, False, True, -1, "infinity", None)


def test_what_the_manifest_does_not_set_is_not_touched(bench):
    bench.apply("db-role", "app", login=True)
    bench.sql("ALTER ROLE app CREATEDB CONNECTION LIMIT 3 PASSWORD 'x'; ALTER ROLE app SET work_mem = '7MB'; COMMENT ON ROLE app IS 'theirs'")
    bench.apply("db-role", "app", login=False, settings={"search_path": "app"})
    row = bench.sql(
        "SELECT r.rolcreatedb, r.rolconnlimit, a.rolpassword IS NOT NULL, r.rolconfig "
        "FROM pg_roles r JOIN pg_authid a USING (oid) WHERE r.rolname = 'app'"
    )[0]
    assert tuple(row.values()) == (True, 3, True, ["work_mem=7MB", "search_path=app"])
    assert bench.value("SELECT shobj_description(oid, 'pg_authid') FROM pg_roles WHERE rolname = 'app'") == "theirs"


def test_settings_for_one_database_are_somebody_elses(bench):
    bench.apply("db-role", "app", settings={"work_mem": "8MB"})
    bench.sql("ALTER ROLE app IN DATABASE postgres SET work_mem = '1MB'")
    assert bench.apply("db-role", "app", settings={"work_mem": "8MB"}).fields["settings"] == {"work_mem": "8MB"}


@pytest.mark.parametrize("name", ODD_NAMES)
def test_any_name_that_postgres_takes_is_kept_as_it_is(bench, name):
    bench.apply("db-role", name, login=True, settings={"work_mem": "8MB"})
    assert bench.value("SELECT count(*) FROM pg_roles WHERE rolname !~ '^pg_' AND rolname <> 'postgres'") == 1
    bench.apply("db-role", name, login=False)
    bench.delete("db-role", name)
    assert bench.read("db-role", name) == {}


@pytest.mark.parametrize("name", ["x" * 64, "é" * 32, "", "a\0b", "line\nbreak", "\x7f", "\ud800"])
def test_a_name_that_postgres_would_cut_or_change_is_refused(bench, name):
    with pytest.raises(ReconcilerError, match="cannot be a name in Postgres"):
        bench.create("db-role", name)
    with pytest.raises(ReconcilerError, match="cannot be a name in Postgres"):
        bench.create("database", name)
    assert bench.value("SELECT count(*) FROM pg_roles WHERE rolname !~ '^pg_'") == 1


def test_a_name_that_is_too_long_does_not_find_the_role_that_postgres_would_cut_it_to(bench):
    bench.create("db-role", "x" * 63)
    bench.create("database", "x" * 63)
    assert bench.read("db-role", "x" * 64) == {}
    assert bench.read("database", "x" * 64) == {}


def test_names_that_look_alike_are_two_roles(bench):
    bench.create("db-role", "\u00e9")
    bench.create("db-role", "e\u0301")
    assert set(bench.read("db-role", "\u00e9", "e\u0301", "É")) == {"\u00e9", "e\u0301"}


@pytest.mark.parametrize(
    ("typed", "wanted"),
    [
        ("work_mem = '4096kB'", {"work_mem": "4MB"}),
        ("WORK_MEM = '4MB'", {"work_mem": "4 MB"}),
        ("statement_timeout = '300s'", {"statement_timeout": "5min"}),
        ("search_path = a, b", {"search_path": "a,b"}),
        ("search_path = \"$user\", 'B c'", {"search_path": '"$user", "B c"'}),
        ("search_path = 'A'", {"search_path": '"A"'}),
        ("search_path = ''", {"search_path": ""}),
        ("TimeZone = 'Europe/Rome'", {"TimeZone": "Europe/Rome"}),
        ("jit = TRUE", {"jit": "on"}),
        ("temp_tablespaces = ''", {"temp_tablespaces": '""'}),
        ("application_name = '60s'", {"application_name": "60s"}),
    ],
)
def test_a_setting_typed_otherwise_is_equal(bench, typed, wanted):
    bench.sql(f"CREATE ROLE app; ALTER ROLE app SET {typed}")
    _, differences = bench.differences(bench.desired("db-role", "app", {"settings": role_settings.kept(wanted)}))
    assert differences.fields == ()


def test_a_setting_is_sent_as_it_was_written(bench):
    written = {"work_mem": "2048 kB", "jit": "Yes", "statement_timeout": "60000ms", "lc_messages": "C", "role": "True"}
    bench.sql('CREATE ROLE "True"')
    bench.apply("db-role", "app", settings=role_settings.kept(written))
    stored = dict(entry.split("=") for entry in bench.value("SELECT rolconfig FROM pg_roles WHERE rolname = 'app'"))
    assert stored == written
    bench.apply("db-role", "app", settings=role_settings.kept({**written, "work_mem": "2MB", "jit": "off"}))
    assert bench.value("SELECT rolconfig FROM pg_roles WHERE rolname = 'app'").count("work_mem=2048 kB") == 1


def test_a_list_that_was_typed_as_one_name_is_another_list(bench):
    bench.sql("CREATE ROLE app; ALTER ROLE app SET search_path = 'a, b'")
    assert bench.read("db-role", "app")["app"].fields["settings"] == {"search_path": '"a, b"'}
    bench.apply("db-role", "app", settings={"search_path": "a, b"})
    assert bench.value("SELECT rolconfig[1] FROM pg_roles WHERE rolname = 'app'") == "search_path=a, b"


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(elements=st.lists(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=8), min_size=1, max_size=4))
def test_any_list_of_schemas_converges_at_once(bench, elements):
    text = ", ".join('"' + e.replace('"', '""') + '"' for e in elements)
    bench.apply("db-role", "app", settings={"search_path": role_settings.normal_value("search_path", text)})
    shown = bench.value("SELECT rolconfig[1] FROM pg_roles WHERE rolname = 'app'").removeprefix("search_path=")
    assert role_settings.normal_value("search_path", shown) == role_settings.normal_value("search_path", text)


@pytest.mark.parametrize(
    ("typed", "wanted"),
    [
        ("'2031-01-01 01:00+01'", "2031-01-01T00:00:00+00:00"),
        ("'infinity'", "infinity"),
        ("'2031-06-01 12:00:00.25+00'", "2031-06-01T12:00:00.250000+00:00"),
        ("'20000-01-01 00:00:00+00'", "20000-01-01 00:00:00+00"),
        ("'2031-01-01 00:00:00'", "2031-01-01"),
    ],
)
def test_the_same_instant_in_other_words_is_equal(bench, typed, wanted):
    bench.sql(f"CREATE ROLE app VALID UNTIL {typed}")
    _, differences = bench.differences(bench.desired("db-role", "app", {"valid_until": wanted}))
    assert differences.fields == ()
    bench.apply("db-role", "app", valid_until=wanted)


def test_no_end_at_all_and_infinity_are_equal(bench):
    bench.sql("CREATE ROLE app")
    assert bench.value("SELECT rolvaliduntil IS NULL FROM pg_roles WHERE rolname = 'app'")
    _, differences = bench.differences(bench.desired("db-role", "app", {"valid_until": "infinity"}))
    assert differences.fields == ()


def test_an_instant_without_an_offset_is_in_the_servers_time_zone(bench):
    bench.sql("ALTER ROLE postgres SET timezone = 'Asia/Tokyo'")
    try:
        bench.apply("db-role", "app", valid_until="2031-01-01 00:00:00")
        assert bench.value("SELECT (rolvaliduntil AT TIME ZONE 'UTC')::text FROM pg_roles WHERE rolname = 'app'") == "2030-12-31 15:00:00"
    finally:
        bench.sql("ALTER ROLE postgres RESET timezone")


def test_an_instant_that_does_not_exist_is_named(bench):
    bench.create("db-role", "app")
    with pytest.raises(Rejected, match="2031-13-45"):
        bench.differences(bench.desired("db-role", "app", {"valid_until": "2031-13-45"}))


def test_a_role_that_exists_is_not_taken_for_ours(bench):
    bench.sql("CREATE ROLE app")
    with pytest.raises(AlreadyExists):
        bench.create("db-role", "app", login=True)
    assert bench.value("SELECT rolcanlogin FROM pg_roles WHERE rolname = 'app'") is False


def test_a_role_that_somebody_else_is_creating_is_waited_for_and_then_exists(bench):
    with bench.server.connect() as other:
        other.execute("BEGIN")
        other.execute("CREATE ROLE app")
        thread, faults = in_background(lambda: bench.create("db-role", "app"))
        wait_until_blocked(bench)
        other.execute("COMMIT")
        thread.join()
    assert [type(f) for f in faults] == [AlreadyExists]


def test_two_that_change_one_role_at_one_time_both_succeed(bench):
    """Postgres answers "tuple concurrently updated" to the second: it is sent again."""
    live = bench.apply("db-role", "app", connection_limit=1)
    with bench.server.connect() as other:
        other.execute("BEGIN")
        other.execute("ALTER ROLE app CREATEDB")
        address = KINDS["db-role"].address("default", "app")
        order = Order(address, {"connection_limit": 2}, OWNER, changed=(("connection_limit",),), live=live)
        thread, faults = in_background(lambda: KINDS["db-role"].update(bench.system, order))
        wait_until_blocked(bench)
        other.execute("COMMIT")
        thread.join()
    assert faults == []
    assert "tuple concurrently updated" in bench.server.log_text()
    assert tuple(bench.sql("SELECT rolcreatedb, rolconnlimit FROM pg_roles WHERE rolname = 'app'")[0].values()) == (True, 2)


def test_somebody_elses_lock_is_not_waited_for_for_ever(bench, monkeypatch):
    monkeypatch.setitem(server._SETTINGS, "lock_timeout", "200")
    live = bench.apply("db-role", "app", connection_limit=1)
    with bench.server.connect() as other:
        other.execute("BEGIN")
        other.execute("ALTER ROLE app CREATEDB")
        address = KINDS["db-role"].address("default", "app")
        order = Order(address, {"connection_limit": 2}, OWNER, changed=(("connection_limit",),), live=live)
        with pytest.raises(LostRace, match="another session holds a lock"):
            KINDS["db-role"].update(bench.system, order)


def test_a_role_that_was_made_anew_is_not_changed(bench):
    live = bench.apply("db-role", "app", connection_limit=1)
    bench.sql("DROP ROLE app; CREATE ROLE app")
    address = KINDS["db-role"].address("default", "app")
    order = Order(address, {"connection_limit": 2}, OWNER, changed=(("connection_limit",),), live=live)
    with pytest.raises(LostRace, match="made anew"):
        KINDS["db-role"].update(bench.system, order)
    with pytest.raises(LostRace, match="made anew"):
        KINDS["db-role"].delete(bench.system, Order(address, {}, OWNER, live=live))
    assert bench.value("SELECT rolconnlimit FROM pg_roles WHERE rolname = 'app'") == -1


def test_postgres_own_roles_can_never_be_managed(bench):
    live = bench.read("db-role", "postgres", "pg_read_all_data")
    assert live["postgres"].foreign == "is the superuser that the server was made with"
    assert live["pg_read_all_data"].foreign == "is a role of Postgres' own"


def test_an_impossible_setting_leaves_no_role_behind(bench):
    with pytest.raises(Rejected, match="no_such_setting"):
        bench.create("db-role", "app", settings={"no_such_setting": "1"})
    assert bench.read("db-role", "app") == {}


def in_background(act):
    faults: list[Exception] = []

    def run():
        try:
            act()
        except ReconcilerError as fault:
            faults.append(fault)

    thread = threading.Thread(target=run)
    thread.start()
    return thread, faults


def wait_until_blocked(bench):
    blocked = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND application_name = 'reconciler'"
    with bench.server.connect() as connection:
        while not next(iter(connection.execute(blocked).fetchone().values())):
            pass
