"""Passwords: what is written here logs in there, and leaves no trace in the log."""

from __future__ import annotations

import psycopg
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from reconciler.model.errors import ReconcilerError, SystemFault
from reconciler.model.kind import Order, Wanted
from reconciler.model.secret import Secret, Verifies
from reconciler.systems import scram
from reconciler.systems.postgres import Name, sql
from tests.kinds.postgres.conftest import KINDS, OWNER, connect
from tests.servers.postgres import PostgresServer

passwords = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=30)


def stored(bench, role="app"):
    return bench.value(f"SELECT rolpassword FROM pg_authid WHERE rolname = '{role}'")


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(password=passwords)
@example(password="a\u0340")
@example(password="a\u200bb")
@example(password="\u05d0a")
@example(password="SCRAM-SHA-256$4096:c2FsdA==$a:b")
@example(password="ä" * 500)
def test_any_password_that_is_set_logs_in(bench, password):
    bench.apply("db-role", "app", login=True, password=Secret(password))
    assert bench.server.accepts("app", password)
    assert not bench.server.accepts("app", password + "x")


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(password=passwords)
def test_any_password_that_the_server_hashed_itself_is_recognised(bench, password):
    # not one that looks like a verifier: the server would keep it as one
    bench.sql("DROP ROLE IF EXISTS app; CREATE ROLE app")
    with bench.server.connect() as connection:
        connection.execute(psycopg.sql.SQL("ALTER ROLE app PASSWORD {}").format(psycopg.sql.Literal(password)))
    verifier = bench.read("db-role", "app")["app"].fields["password"]
    assert isinstance(verifier, Verifies)
    assert verifier.matches(Secret(password))
    assert not verifier.matches(Secret(password + "x"))


def test_a_password_is_changed_checked_and_taken_away(bench):
    first = bench.apply("db-role", "app", login=True, password=Secret("one"))
    assert bench.apply("db-role", "app", login=True, password=Secret("one")).witness == first.witness
    second = bench.apply("db-role", "app", login=True, password=Secret("two"))
    assert second.witness != first.witness
    assert bench.server.accepts("app", "two")
    assert not bench.server.accepts("app", "one")
    third = bench.apply("db-role", "app", login=True)
    assert stored(bench) is None
    assert third.witness is None
    assert "password" not in third.fields


def test_the_witness_is_the_salt_and_shows_that_somebody_wrote_the_same_password_again(bench):
    before = bench.apply("db-role", "app", password=Secret("one"))
    assert before.witness == stored(bench).split("$")[1].split(":")[1]
    bench.sql("ALTER ROLE app PASSWORD 'one'")
    after = bench.read("db-role", "app")["app"]
    assert after.witness != before.witness
    assert after.fields["password"].matches(Secret("one"))


def test_changing_something_else_leaves_the_password_and_its_witness(bench):
    before = bench.apply("db-role", "app", password=Secret("one"))
    after = bench.apply("db-role", "app", password=Secret("one"), connection_limit=4)
    assert after.witness == before.witness


def test_an_md5_password_of_old_is_recognised_and_replaced_by_scram(bench):
    bench.sql("SET password_encryption = 'md5'; CREATE ROLE app PASSWORD 'one'")
    live = bench.read("db-role", "app")["app"]
    assert stored(bench).startswith("md5")
    assert live.fields["password"].matches(Secret("one"))
    assert live.witness is None
    bench.apply("db-role", "app", password=Secret("one"))
    assert stored(bench).startswith("md5"), "it is the right password: nothing to do"
    bench.apply("db-role", "app", password=Secret("two"))
    assert stored(bench).startswith("SCRAM-SHA-256$")


def test_the_verifier_is_kept_verbatim_also_where_md5_is_the_rule(bench):
    bench.sql("ALTER ROLE postgres SET password_encryption = 'md5'")
    try:
        bench.apply("db-role", "app", login=True, password=Secret("one"))
    finally:
        bench.sql("ALTER ROLE postgres RESET password_encryption")
    assert stored(bench).startswith("SCRAM-SHA-256$4096:")
    assert bench.server.accepts("app", "one")


def test_the_servers_iterations_are_used(bench):
    bench.sql("ALTER ROLE postgres SET scram_iterations = 5000")
    try:
        bench.apply("db-role", "app", login=True, password=Secret("one"))
    finally:
        bench.sql("ALTER ROLE postgres RESET scram_iterations")
    assert stored(bench).startswith("SCRAM-SHA-256$5000:")
    assert bench.server.accepts("app", "one")


def test_a_password_that_looks_like_a_verifier_is_a_password(bench):
    looks = "md5" + "0" * 32
    bench.apply("db-role", "app", login=True, password=Secret(looks))
    assert bench.server.accepts("app", looks)


@pytest.mark.parametrize("password", ["", "a\0b"])
def test_a_password_that_postgres_would_not_store_makes_no_role(bench, password):
    with pytest.raises(ReconcilerError, match="the password"):
        bench.create("db-role", "app", login=True, password=Secret(password))
    assert bench.read("db-role", "app") == {}


def test_a_verifier_that_somebody_broke_is_replaced(bench):
    bench.apply("db-role", "app", login=True, password=Secret("one"))
    bench.sql("UPDATE pg_authid SET rolpassword = 'SCRAM-SHA-256$nonsense' WHERE rolname = 'app'")
    bench.apply("db-role", "app", login=True, password=Secret("one"))
    assert bench.server.accepts("app", "one")


def test_a_verifier_that_would_take_for_ever_cannot_be_compared(bench):
    bench.apply("db-role", "app", login=True, password=Secret("one"))
    bench.sql("UPDATE pg_authid SET rolpassword = replace(rolpassword, '$4096:', '$999999999:') WHERE rolname = 'app'")
    _, differences = bench.differences(bench.desired("db-role", "app", {"login": True, "password": Secret("one")}))
    assert differences.fields == ()
    assert "999999999 iterations" in differences.unreadable[0][1]


LOUD = {
    "log_statement": "all", "log_min_duration_statement": "0", "log_min_error_statement": "debug5", "log_duration": "on",
    "log_transaction_sample_rate": "1", "log_min_duration_sample": "0", "log_statement_sample_rate": "1", "log_error_verbosity": "verbose",
}  # fmt: skip


@pytest.mark.parametrize("version", [16, 18])
def test_neither_password_nor_verifier_reaches_the_loudest_log(version):
    with PostgresServer(version, settings=LOUD) as server:
        system = connect(server)
        kind, address = KINDS["db-role"], KINDS["db-role"].address("default", "app")
        kind.create(system, Order(address, {"login": True, "password": Secret("pass-one")}, OWNER))
        [live] = kind.read(system, [Wanted(address, OWNER)])
        kind.update(system, Order(address, {"password": Secret("pass-two")}, OWNER, changed=(("password",),), live=live))
        verifiers = [
            server.query("SELECT rolpassword FROM pg_authid WHERE rolname = 'app'")[0]["rolpassword"],
            scram.build(Secret("pass-three")).reveal(),
        ]
        for broken in ("FOO", "VALID UNTIL 'never'"):
            with pytest.raises(SystemFault) as caught:
                system.run(sql("ALTER ROLE {} PASSWORD {} " + broken, Name("app"), Secret(verifiers[1])))
            assert_shows_nothing(caught.value, verifiers[1])
        with pytest.raises(SystemFault):
            kind.create(system, Order(address, {"password": Secret("pass-four")}, OWNER))
        with pytest.raises(SystemFault):
            broken_too = {"password": Secret("pass-five"), "settings": {"bad": "1"}}
            kind.update(system, Order(address, broken_too, OWNER, changed=(("password",), ("settings", "bad")), live=live))
        # statements without a secret are logged as ever, also on this connection afterwards
        system.run(sql("ALTER ROLE {} CONNECTION LIMIT 7", Name("app")))
        system.close()
        log = server.log_text()
    assert "CONNECTION LIMIT 7" in log
    assert "SCRAM-SHA-256$" not in log
    assert "pass-" not in log
    assert server.password not in log
    for verifier in verifiers:
        assert verifier.split("$")[2] not in log


def assert_shows_nothing(error, secret):
    """Neither the error nor anything it is chained to quotes the secret."""
    seen = []
    while error is not None:
        seen += [str(error), repr(error), str(vars(error))]
        assert error.__context__ is None or error.__context__ is error.__cause__
        error = error.__cause__ or error.__context__
    assert not any(secret in text or secret.split("$")[2] in text for text in seen)
