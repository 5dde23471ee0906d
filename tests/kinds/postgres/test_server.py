"""Connecting, and what goes wrong on the way; how much a plan asks."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import threading

import psycopg
import pytest

from reconciler.manifest.models import PostgresSection
from reconciler.model.errors import AccessDenied, OutcomeUnknown, ReconcilerError, Rejected, SystemFault, Unreachable
from reconciler.model.kind import Order, Wanted
from reconciler.model.secret import Secret
from reconciler.systems.postgres import Name, Postgres, sql
from tests.kinds.postgres.conftest import KINDS, OWNER, connect
from tests.servers.counting_proxy import Fate
from tests.servers.postgres import PostgresServer
from tests.servers.postgres_proxy import PostgresProxy


def section(server, **changed):
    return PostgresSection(**{"host": server.host, "port": server.port, "user": server.user, "password": Secret(server.password), **changed})


def from_section(server, name="db", **changed):
    return Postgres.connect(name, section(server, **changed), os.environ, lambda secret: secret)


def test_a_plan_asks_three_questions_however_many_roles_and_databases_there_are(bench):
    for name in ("one", "two"):
        bench.apply("db-role", name, login=True)
        bench.apply("database", name, owner=name)
    many = [f"absent{n}" for n in range(500)]
    with PostgresProxy(bench.server.host, bench.server.port) as proxy:
        system = connect(bench.server, PGPORT=str(proxy.port))
        for kind in ("db-role", "database"):
            wanted = [Wanted(KINDS[kind].address("default", name), OWNER) for name in ("one", "two", *many)]
            assert len(list(KINDS[kind].read(system, wanted))) == 2
        assert sum(proxy.statements.values()) == system.statements == 3
        assert proxy.connections == 1
        # three of what goes with roles that are leaving, however many, and one inside each database that is
        leaving = [Wanted(KINDS[kind].address("default", n), OWNER, leaving=True) for kind in ("db-role", "database") for n in ("one", "two")]
        for kind in ("db-role", "database"):
            list(KINDS[kind].read(system, [w for w in leaving if w.address.kind == kind]))
        assert sum(proxy.statements.values()) == system.statements == 3 + (1 + 3) + (1 + 2)
        assert proxy.writes == []
        system.close()


def test_a_server_says_who_it_is_and_what_we_may(postgres):
    system = from_section(postgres)
    assert system.identity == postgres.query("SELECT system_identifier::text AS id FROM pg_control_system()")[0]["id"]
    assert system.version // 10000 == postgres.version
    assert (system.me.name, system.me.is_superuser, system.me.can_read_authid, system.me.is_standby) == ("postgres", True, True, False)
    assert system.query("SELECT application_name FROM pg_stat_activity WHERE pid = pg_backend_pid()") == [{"application_name": "reconciler"}]
    assert system.statements == 2
    system.close()


def test_the_manifest_wins_over_the_environment_and_that_over_libpqs_defaults(postgres18, monkeypatch):
    for name, value in postgres18.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("PGUSER", "somebody")
    monkeypatch.delenv("PGDATABASE")
    system = Postgres.connect("default", PostgresSection(user="postgres", application_name="nightly"), os.environ, lambda secret: secret)
    assert system.query("SELECT current_database() AS d, current_setting('application_name') AS a") == [{"d": "postgres", "a": "nightly"}]
    system.close()
    monkeypatch.setenv("PGDATABASE", "template1")
    monkeypatch.setenv("PGUSER", "postgres")
    system = Postgres.connect("default", None, os.environ, lambda secret: secret)
    assert system.query("SELECT current_database() AS d") == [{"d": "template1"}]
    system.close()


def test_a_service_file_and_a_password_file_are_found_as_by_libpq(postgres18, tmp_path, monkeypatch):
    (tmp_path / "service").write_text(f"[mesh]\nhost={postgres18.host}\nport={postgres18.port}\nuser=postgres\ndbname=template1\n")
    passwords = tmp_path / "passwords"
    passwords.write_text(f"{postgres18.host}:*:*:postgres:{postgres18.password}\n")
    passwords.chmod(0o600)
    monkeypatch.setenv("PGSERVICEFILE", str(tmp_path / "service"))
    system = Postgres.connect("db", PostgresSection(service="mesh", passfile=str(passwords)), os.environ, lambda secret: secret)
    assert system.query("SELECT current_database() AS d") == [{"d": "template1"}]
    system.close()


def test_names_of_operators_and_functions_are_those_of_postgres_whatever_the_search_path(postgres):
    postgres.query(
        "CREATE SCHEMA evil; CREATE FUNCTION evil.same(text, text) RETURNS bool LANGUAGE sql AS 'SELECT true';"
        "CREATE OPERATOR evil.= (LEFTARG = text, RIGHTARG = text, FUNCTION = evil.same);"
        "ALTER ROLE postgres SET search_path = evil, pg_catalog"
    )
    try:
        system = from_section(postgres)
        assert system.me.name == "postgres"
        assert system.query("SELECT current_setting('search_path') AS path, 'a'::text = 'b'::text AS same") == [{"path": "pg_catalog", "same": False}]
        with system.in_database("template1") as session:
            assert session.query("SELECT current_setting('search_path') AS path, current_setting('lock_timeout') AS wait") == [
                {"path": "pg_catalog", "wait": "30s"}
            ]
        system.close()
    finally:
        postgres.query("ALTER ROLE postgres RESET search_path")
        postgres.query("DROP SCHEMA evil CASCADE")


def said(server, **changed):
    with pytest.raises(SystemFault) as caught:
        _ = from_section(server, **changed).me
    return type(caught.value), str(caught.value)


def test_what_is_wrong_with_a_connection_is_one_line_without_the_password(postgres18, free_port):
    where = f"Postgres db (127.0.0.1:{postgres18.port})"
    refused = f"Postgres db (127.0.0.1:{free_port}) cannot be reached: connection refused: start it, or set postgres.db.host and port"
    assert said(postgres18, port=free_port) == (Unreachable, f"{refused}, or PGHOST and PGPORT")
    wrong = said(postgres18, password=Secret("sesame-open"))
    assert wrong == (AccessDenied, f'{where} refuses the user "postgres": wrong password, no such role, or expired')
    assert said(postgres18, user="nobody-knows")[0] is AccessDenied
    assert said(postgres18, dbname="nowhere") == (Rejected, f'{where} has no database "nowhere": set dbname to one that exists')
    assert said(postgres18, password=None)[1].startswith(f"{where} asks for a password, and none was given: set password")
    assert said(postgres18, sslmode="require") == (Unreachable, f"{where} cannot be reached: server does not support SSL, but SSL was required")
    assert "its name is not known: correct postgres.db.host or PGHOST" in said(postgres18, host="no-such-host.invalid")[1]
    assert said(postgres18, host="/no/such/folder")[0] is Unreachable
    assert "sesame" not in str(wrong)


def test_a_role_that_may_not_log_in_or_not_into_this_database_is_named(postgres18):
    postgres18.query("CREATE ROLE app PASSWORD 'x'; CREATE ROLE visitor LOGIN PASSWORD 'x'")
    postgres18.query("CREATE DATABASE closed")
    postgres18.query("REVOKE CONNECT ON DATABASE closed FROM PUBLIC")
    assert said(postgres18, user="app", password=Secret("x"))[1].endswith(
        'does not let the role "app" log in: ALTER ROLE … LOGIN, or use another user'
    )
    assert said(postgres18, user="visitor", password=Secret("x"), dbname="closed")[1].endswith(
        'does not let this role connect to the database "closed"'
    )


@pytest.mark.parametrize("password", ["a\0b", "a\udcff"])
def test_a_connection_password_that_libpq_cannot_take_is_refused_without_showing_it(postgres18, password):
    with pytest.raises(ReconcilerError, match="is not text in UTF-8 without NUL") as caught:
        from_section(postgres18, password=Secret(password))
    assert caught.value.__cause__ is None
    assert repr(password) not in repr(caught.value)


def test_a_server_that_accepts_and_then_says_nothing_is_given_up(postgres18):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        fault, text = said(postgres18, port=silent.getsockname()[1], connect_timeout=2)
    assert fault is Unreachable
    assert "cannot be reached: no answer in time: " in text


def test_a_question_is_asked_again_on_a_new_connection_when_the_old_one_is_dead(postgres):
    system = from_section(postgres)
    _ = system.me
    postgres.query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'reconciler'")
    assert system.query("SELECT 1 AS one") == [{"one": 1}]
    assert system.query("SELECT current_setting('search_path') AS path") == [{"path": "pg_catalog"}]
    system.close()


def test_a_restarted_server_is_found_again_and_another_one_is_not_taken_for_it():
    with PostgresServer(18) as server, PostgresServer(16) as other, PostgresProxy(server.host, server.port) as proxy:
        system = from_section(server, port=proxy.port)
        assert system.version >= 180000
        server.restart()
        assert system.query("SELECT 1 AS one") == [{"one": 1}]
        # the address now leads to another server, which happens to know the same password
        other.query(f"ALTER ROLE postgres PASSWORD '{server.password}'")
        server.query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'reconciler'")
        proxy.upstream = (other.host, other.port)
        with pytest.raises(Unreachable, match="another server answers"):
            system.query("SELECT 1 AS one")
        system.close()


def test_a_connection_lost_before_commit_changes_nothing_and_one_lost_at_commit_is_unknown(bench):
    bench.sql("CREATE ROLE app")
    [live] = bench.read("db-role", "app").values()
    for word, fault, limit in (("ALTER", Unreachable, -1), ("COMMIT", OutcomeUnknown, 5)):
        with PostgresProxy(bench.server.host, bench.server.port, counts=lambda text: True) as proxy:
            proxy.after = lambda statement, word=word: Fate.END if statement.text.startswith(word) else None
            system = connect(bench.server, PGPORT=str(proxy.port))
            order = Order(live.address, {"connection_limit": 5}, OWNER, changed=(("connection_limit",),), live=live)
            with pytest.raises(fault):
                KINDS["db-role"].update(system, order)
        assert bench.value("SELECT rolconnlimit FROM pg_roles WHERE rolname = 'app'") == limit


def test_a_standby_can_be_read_and_not_written():
    with PostgresServer(18) as server:
        server.query("CREATE ROLE app")
        server._end()
        (server.data / "standby.signal").touch()
        server._start_once()
        system = connect(server)
        assert system.me.is_standby
        assert list(KINDS["db-role"].read(system, [Wanted(KINDS["db-role"].address("default", "app"), OWNER)]))
        for write in (lambda: system.run(sql("DROP ROLE {}", Name("app"))), lambda: system.run_outside_transaction(sql("CREATE DATABASE x"))):
            with pytest.raises(Rejected, match="is a standby and cannot be written: name the primary"):
                write()
        system.close()


def test_several_threads_share_one_server(bench):
    bench.create("db-role", "app")
    results = []

    def work(number):
        bench.system.run(sql("ALTER ROLE {} CONNECTION LIMIT {}", Name("app"), number))
        results.append(bench.system.query("SELECT 1 AS one")[0]["one"])

    threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [1] * 8


class RelayAsAnotherBackend:
    """In front of a server, what a pooler looks like: the connection's process is another than the one that answers."""

    def __init__(self, server):
        self.server = server
        self.listener = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def port(self):
        return self.listener.getsockname()[1]

    def _accept(self):
        client, _ = self.listener.accept()
        upstream = socket.create_connection((self.server.host, self.server.port))
        threading.Thread(target=self._copy, args=(client, upstream, lambda data: data), daemon=True).start()
        self._copy(upstream, client, self._renumbered)

    @staticmethod
    def _copy(source, target, change):
        while data := source.recv(65536):
            target.sendall(change(data))

    @staticmethod
    def _renumbered(data):
        # BackendKeyData: 'K', length, process id, key
        at = data.find(b"K\0\0\0\x0c")
        return data if at < 0 else data[: at + 5] + b"\0\0\0\x01" + data[at + 9 :]


def test_what_answers_as_another_backend_is_refused_and_left_without_our_settings(postgres):
    relay = RelayAsAnotherBackend(postgres)
    fault, text = said(postgres, port=relay.port, sslmode="disable")
    assert (fault, text) == (Rejected, f"Postgres db (127.0.0.1:{relay.port}) is a connection pooler: connect to Postgres itself")


@pytest.mark.skipif(shutil.which("pgbouncer") is None, reason="needs a pgbouncer on PATH")
@pytest.mark.parametrize("mode", ["session", "transaction", "statement"])
def test_pgbouncer_is_refused(postgres, tmp_path, free_port, mode):
    (tmp_path / "users").write_text(f'"postgres" "{postgres.password}"\n')
    (tmp_path / "ini").write_text(
        f"[databases]\n* = host={postgres.host} port={postgres.port}\n[pgbouncer]\nlisten_addr=127.0.0.1\nlisten_port={free_port}\n"
        f"auth_type=scram-sha-256\nauth_file={tmp_path}/users\npool_mode={mode}\nunix_socket_dir=\n"
    )
    user = ["-u", "nobody"] if os.geteuid() == 0 else []
    pooler = subprocess.Popen(["pgbouncer", *user, tmp_path / "ini"], stderr=subprocess.DEVNULL)
    try:
        while True:
            try:
                psycopg.connect(host="127.0.0.1", port=free_port, user="postgres", password=postgres.password, dbname="postgres").close()
                break
            except psycopg.OperationalError:
                assert pooler.poll() is None
        assert said(postgres, port=free_port)[1].endswith("is a connection pooler: connect to Postgres itself")
        with psycopg.connect(
            host="127.0.0.1", port=free_port, user="postgres", password=postgres.password, dbname="postgres", autocommit=True
        ) as next_one:
            assert next_one.execute("SHOW lock_timeout").fetchone() == ("0",), "nothing of ours is left on the pooled connection"
    finally:
        pooler.terminate()
        pooler.wait()


def test_the_oldest_version_is_checked(postgres18, monkeypatch):
    from reconciler.systems.postgres import server

    monkeypatch.setattr(server, "OLDEST_VERSION", 990000)
    assert said(postgres18)[1].endswith("has version 18, but Postgres 99 or later is needed")


def test_the_program_that_runs_it_need_not_load_psycopg_for_a_manifest_without_databases():
    code = "import sys, reconciler.systems.postgres, reconciler.kinds; reconciler.kinds.all_kinds(); sys.exit('psycopg' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], env={"PYTHONPATH": os.getcwd()}, check=False).returncode == 0
