"""The counting proxies, against the real servers."""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
from psycopg import sql

from tests.servers.counting_proxy import CountingProxy, Fate
from tests.servers.postgres_proxy import PostgresProxy, first_word, is_write

# --- Consul ---


@pytest.fixture
def proxy(consul):
    with CountingProxy(consul.address) as running:
        yield running


class _Client:
    """One kept connection to the proxy."""

    def __init__(self, proxy, token):
        self.connection = http.client.HTTPConnection(*proxy._server.server_address)
        self.token = token

    def ask(self, method, path, body=None, **options):
        self.connection.request(method, path, body, {"X-Consul-Token": self.token}, **options)
        answer = self.connection.getresponse()
        return answer, answer.read()


@pytest.fixture
def client(proxy, consul):
    made = _Client(proxy, consul.token)
    yield made
    made.connection.close()


def _transaction(*operations):
    return json.dumps([{"KV": operation} for operation in operations])


def test_answers_pass_unchanged(client, consul):
    answer, body = client.ask("GET", "/v1/catalog/nodes?near=_agent")
    assert answer.status == 200
    assert answer.headers["X-Consul-KnownLeader"] == "true"
    assert json.loads(body)[0]["Node"] == "test-server"
    answer, body = client.ask("GET", "/v1/kv/absent")
    assert (answer.status, body) == (404, b"")
    assert client.ask("PUT", "/v1/kv/made", b"\0binary\xff")[1].strip() == b"true"
    assert consul.keys() == {"made": b"\0binary\xff"}


def test_chunked_bodies_arrive_whole(client, consul):
    client.ask("PUT", "/v1/kv/parts", iter([b"one", b"two"]), encode_chunked=True)
    assert consul.keys() == {"parts": b"onetwo"}


def test_only_what_changes_something_is_a_write(client, proxy, consul):
    session = consul.put("/v1/session/create", {})["ID"]
    client.ask("GET", "/v1/kv/a?recurse=true")
    client.ask("POST", "/v1/internal/acl/authorize", json.dumps([{"Resource": "acl", "Access": "read"}]))
    client.ask("PUT", "/v1/txn", _transaction({"Verb": "get-or-empty", "Key": "a"}, {"Verb": "check-not-exists", "Key": "a"}))
    client.ask("PUT", f"/v1/session/renew/{session}")
    assert proxy.writes == []
    client.ask("PUT", "/v1/txn", _transaction({"Verb": "check-not-exists", "Key": "a"}, {"Verb": "cas", "Key": "a", "Index": 0, "Value": ""}))
    client.ask("DELETE", "/v1/kv/a")
    client.ask("PUT", f"/v1/session/destroy/{session}")
    assert [str(write) for write in proxy.writes] == [
        "1: PUT /v1/txn kv check-not-exists kv cas",
        "2: DELETE /v1/kv/a",
        f"3: PUT /v1/session/destroy/{session}",
    ]
    assert proxy.requests["PUT", "/v1/txn"] == 2
    assert proxy.requests["GET", "/v1/kv/a"] == 1
    assert (proxy.total, proxy.renewals) == (6, 1)


def test_write_that_is_cut_before_never_reaches_consul(client, proxy, consul):
    proxy.before = lambda write: Fate.CUT if write.number == 2 else None
    client.ask("PUT", "/v1/kv/first", b"")
    with pytest.raises(http.client.RemoteDisconnected):
        client.ask("PUT", "/v1/kv/second", b"")
    client.ask("PUT", "/v1/kv/third", b"")
    assert set(consul.keys()) == {"first", "third"}


def test_write_that_is_cut_after_is_done_without_an_answer(client, proxy, consul):
    proxy.after = lambda write: Fate.CUT
    with pytest.raises(http.client.RemoteDisconnected):
        client.ask("PUT", "/v1/kv/first", b"")
    assert set(consul.keys()) == {"first"}


def test_nothing_is_forwarded_after_the_end(client, proxy, consul):
    proxy.before = lambda write: Fate.END
    for _ in range(3):
        with pytest.raises(http.client.RemoteDisconnected):
            client.ask("PUT", "/v1/kv/some", b"")
    assert proxy.has_ended
    assert consul.keys() == {}
    proxy.reset()
    client.ask("PUT", "/v1/kv/some", b"")
    assert len(proxy.writes) == 1


@pytest.mark.parametrize(("when", "done"), [("before", 2), ("after", 3)])
def test_writer_is_killed_at_an_exact_write(proxy, consul, when, done):
    program = (
        "import sys, urllib.request as u\n"
        "for n in range(9): u.urlopen(u.Request(sys.argv[1] + f'/v1/kv/{n}', b'', {'X-Consul-Token': sys.argv[2]}, method='PUT'))"
    )
    killed: list[subprocess.Popen[bytes]] = []
    getattr(proxy, f"kill_{when}")(3, lambda: killed[0].pid)
    with subprocess.Popen([sys.executable, "-c", program, proxy.address, consul.token]) as writer:
        killed.append(writer)
        assert writer.wait() == -9
    assert len(consul.keys()) == done
    assert len(proxy.writes) == 3


def test_writes_from_many_threads_are_numbered_once_each(proxy, consul):
    def write(number):
        _Client(proxy, consul.token).ask("PUT", f"/v1/kv/{number}", b"")

    with ThreadPoolExecutor(16) as threads:
        list(threads.map(write, range(64)))
    assert [write.number for write in proxy.writes] == list(range(1, 65))
    assert len(consul.keys()) == 64


def test_mistake_in_a_callback_is_not_lost(consul):
    def look(write):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), CountingProxy(consul.address, before=look) as proxy:
        with pytest.raises(http.client.RemoteDisconnected):
            _Client(proxy, consul.token).ask("PUT", "/v1/kv/some", b"")
        assert proxy.has_ended


# --- Postgres ---


@pytest.fixture
def through(postgres):
    with PostgresProxy(postgres.host, postgres.port) as running:
        yield running


def _connect(through, postgres):
    return psycopg.connect(host=through.host, port=through.port, user=postgres.user, password=postgres.password, dbname="postgres", autocommit=True)


def _roles(postgres):
    return {row["rolname"] for row in postgres.query("SELECT rolname FROM pg_roles WHERE rolname ~ '^test'")}


@pytest.mark.parametrize(
    ("text", "word", "write"),
    [
        ("SELECT 1", "SELECT", False),
        ("  -- why\n /* what\n for */ create role a", "CREATE", True),
        ("with x as (select 1) select * from x", "WITH", False),
        ("WITH x AS (DELETE FROM t RETURNING 1) SELECT * FROM x", "WITH", True),
        ("begin", "BEGIN", False),
        ("COMMIT", "COMMIT", False),
        ("DO $$ BEGIN END $$", "DO", True),
        ("", "", False),
        ("-- nothing", "", False),
    ],
)
def test_statements_are_judged_by_their_first_word(text, word, write):
    assert first_word(text) == word
    assert is_write(text) is write


def test_statements_of_both_protocols_are_counted(through, postgres):
    with _connect(through, postgres) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
        assert connection.execute("SELECT %s::int", [2]).fetchone() == (2,)
        connection.execute("CREATE TABLE t (i int)")
        for number in range(8):  # psycopg prepares from the fifth time on
            connection.execute("INSERT INTO t VALUES (%s)", [number])
        with connection.transaction():
            connection.execute(sql.SQL("CREATE ROLE {}").format(sql.Identifier("test")))
    assert through.statements == {"SELECT": 2, "CREATE": 2, "INSERT": 8, "BEGIN": 1, "COMMIT": 1}
    assert [write.number for write in through.writes] == list(range(1, 11))
    assert str(through.writes[-1]) == '10: CREATE ROLE "test"'
    assert through.connections == 1
    postgres.query("DROP TABLE t")


def test_pipelines_with_errors_stay_in_step(through, postgres):
    seen = []
    through.after = lambda write: seen.append(write.text)
    with _connect(through, postgres) as connection:
        with pytest.raises(psycopg.Error), connection.pipeline() as pipeline:
            connection.execute("CREATE ROLE test1")
            connection.execute("CREATE ROLE test1")
            connection.execute("CREATE ROLE never")
            pipeline.sync()
        connection.execute("CREATE ROLE test2")
    assert seen[:2] == ["CREATE ROLE test1", "CREATE ROLE test1"]
    assert seen[-1] == "CREATE ROLE test2"
    assert _roles(postgres) == {"test2"}  # a pipeline is one transaction


@pytest.mark.parametrize("parameters", [None, ["x"]])
def test_statement_that_is_cut_before_never_reaches_postgres(through, postgres, parameters):
    postgres.query("CREATE TABLE IF NOT EXISTS log (t text); TRUNCATE log")
    through.before = lambda write: Fate.CUT
    with _connect(through, postgres) as connection, pytest.raises(psycopg.OperationalError):
        connection.execute("INSERT INTO log VALUES (%s)" if parameters else "INSERT INTO log VALUES ('x')", parameters)
    assert postgres.query("SELECT * FROM log") == []
    postgres.query("DROP TABLE log")


@pytest.mark.parametrize("parameters", [None, ["x"]])
def test_statement_that_is_cut_after_is_done_without_an_answer(through, postgres, parameters):
    postgres.query("CREATE TABLE IF NOT EXISTS log (t text); TRUNCATE log")
    through.after = lambda write: Fate.CUT
    with _connect(through, postgres) as connection, pytest.raises(psycopg.OperationalError):
        connection.execute("INSERT INTO log VALUES (%s)" if parameters else "INSERT INTO log VALUES ('x')", parameters)
    assert len(through.writes) == 1
    if parameters is None:  # with parameters the cut comes before Sync, where an implicit transaction commits or not
        assert postgres.query("SELECT * FROM log") == [{"t": "x"}]
    postgres.query("DROP TABLE log")


@pytest.mark.parametrize(("when", "done"), [("before", {"test0", "test1"}), ("after", {"test0", "test1", "test2"})])
def test_database_writer_is_killed_at_an_exact_write(through, postgres, when, done):
    program = "import psycopg\nwith psycopg.connect(autocommit=True) as c:\n for n in range(9): c.execute(f'CREATE ROLE test{n}')"
    killed: list[subprocess.Popen[bytes]] = []
    getattr(through, f"kill_{when}")(3, lambda: killed[0].pid)
    environment = postgres.environment | {"PGPORT": str(through.port)}
    with subprocess.Popen([sys.executable, "-c", program], env=environment) as writer:
        killed.append(writer)
        assert writer.wait() == -9
    assert _roles(postgres) == done


def test_commits_count_when_asked_to(postgres):
    with PostgresProxy(postgres.host, postgres.port, counts=lambda text: first_word(text) == "COMMIT") as through:
        through.before = lambda write: Fate.END
        with pytest.raises(psycopg.OperationalError), _connect(through, postgres) as connection, connection.transaction():
            connection.execute("CREATE ROLE test")
        assert len(through.writes) == 1
    assert _roles(postgres) == set()


def test_mistake_in_a_callback_about_a_statement_is_not_lost(postgres18):
    def look(write):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), PostgresProxy(postgres18.host, postgres18.port, before=look) as through:
        with pytest.raises(psycopg.OperationalError), _connect(through, postgres18) as connection:
            connection.execute("CREATE ROLE test")
        assert through.has_ended
