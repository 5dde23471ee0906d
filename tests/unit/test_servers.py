"""The servers that other tests stand on: that they are what they say, and that nothing of them is left behind."""

from __future__ import annotations

import http.client
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.servers.consul import ConsulServer
from tests.servers.consul_binary import version_of
from tests.servers.ports import free_ports
from tests.servers.postgres import PostgresServer
from tests.servers.supervised import ServerFailed

_ROOT = Path(__file__).parents[2]


def _waited(condition, timeout_s=15.0):
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def _is_alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_consul_denies_what_was_not_granted(consul):
    consul.put("/v1/kv/here", b"x")
    reader = consul.token_for('key_prefix "" { policy = "read" }')
    assert consul.request("GET", "/v1/kv/here", token=reader).status == 200
    assert consul.request("PUT", "/v1/kv/here", b"y", token=reader).status == 403
    assert consul.request("GET", "/v1/kv/here", token="").status in (403, 404)


def test_wiped_consul_is_as_it_was_when_new(consul):
    before = {path: consul.get(path) for path in ("/v1/acl/tokens", "/v1/acl/policies", "/v1/config/", "/v1/session/list", "/v1/catalog/services")}
    consul.put("/v1/kv/a/b", b"x")
    consul.token_for('key_prefix "" { policy = "read" }')
    consul.put("/v1/acl/role", {"Name": "r"})
    consul.put("/v1/catalog/register", {"Node": "external", "Address": "192.0.2.1", "Service": {"Service": "db"}})
    consul.put("/v1/agent/service/register", {"Name": "local"})
    consul.put("/v1/config", {"Kind": "mesh"})
    consul.put("/v1/config", {"Kind": "service-defaults", "Name": "web", "Protocol": "http"})
    consul.put("/v1/config", {"Kind": "service-splitter", "Name": "web", "Splits": [{"Weight": 100}]})
    consul.put("/v1/session/create", {"Name": "s"})
    consul.wipe()
    assert {path: consul.get(path) for path in before} == before
    assert consul.keys() == {}


def test_persistent_consul_remembers_across_a_kill():
    with ConsulServer(persistent=True) as consul:
        consul.put("/v1/kv/kept", b"yes")
        consul.kill()
        assert not consul.is_listening()
        consul.restart()
        assert consul.keys() == {"kept": b"yes"}


def test_consul_serves_tls_and_a_unix_socket_when_asked_to():
    with ConsulServer(tls=True, unix_socket=True) as consul:
        context = ssl.create_default_context(cafile=str(consul.ca_file))
        secure = http.client.HTTPSConnection(consul.host, int(consul.https_address.rpartition(":")[2]), context=context)
        secure.request("GET", "/v1/status/leader")
        assert secure.getresponse().status == 200
        secure.close()
        with socket.socket(socket.AF_UNIX) as plain:
            plain.connect(str(consul.unix_socket))
            plain.sendall(b"GET /v1/status/leader HTTP/1.0\r\n\r\n")
            assert b" 200 OK" in plain.recv(100)


def test_consul_that_cannot_start_says_why():
    with pytest.raises(ServerFailed, match="nonsense"):
        ConsulServer(extra="nonsense = true").start()


def test_listeners_are_on_loopback_only(consul, mesh, postgres18):
    for pid in (consul.pid, mesh.pid, postgres18.pid):
        inodes = {os.readlink(entry) for entry in Path(f"/proc/{pid}/fd").iterdir() if entry.is_symlink()}
        listening = [
            fields[1]
            for name in ("tcp", "tcp6")
            for fields in map(str.split, Path(f"/proc/{pid}/net/{name}").read_text().splitlines()[1:])
            if fields[3] == "0A" and f"socket:[{fields[9]}]" in inodes
        ]
        assert listening
        assert all(re.match("[0-9A-F]{6}7F:", address) for address in listening)  # 127.0.0.0/8: the first byte comes last


def test_postgres_asks_for_passwords_and_logs_every_statement(postgres):
    assert postgres.query("SHOW server_version_num")[0]["server_version_num"].startswith(str(postgres.version))
    assert postgres.query("SHOW password_encryption")[0]["password_encryption"] == "scram-sha-256"
    assert not postgres.accepts("postgres", "wrong")
    mark = postgres.log_size_bytes()
    postgres.query("SELECT 'seen in the log'")
    assert "seen in the log" in postgres.logged_since(mark)


def test_wiped_postgres_has_no_databases_and_roles_of_a_test(postgres):
    def names():
        rows = postgres.query("SELECT datname::text AS name FROM pg_database UNION ALL SELECT rolname::text FROM pg_roles")
        return sorted(row["name"] for row in rows)

    before = names()
    postgres.query("CREATE ROLE joe LOGIN PASSWORD 'x' SUPERUSER")
    postgres.query("CREATE DATABASE joes OWNER joe IS_TEMPLATE true")
    postgres.query("CREATE TABLE t (); ALTER TABLE t OWNER TO joe")
    postgres.wipe()
    assert names() == before


def test_postgres_keeps_its_data_across_a_kill():
    with PostgresServer() as postgres:
        postgres.query("CREATE ROLE kept")
        postgres.kill()
        postgres.restart()
        assert postgres.query("SELECT 1 FROM pg_roles WHERE rolname = 'kept'")


@pytest.mark.parametrize("server", ["consul.ConsulServer", "postgres.PostgresServer"])
def test_servers_end_when_their_starter_is_killed(server):
    module, name = server.split(".")
    program = f"from tests.servers.{module} import {name}; s = {name}().start(); print(s.pid, s.folder, flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", program], cwd=_ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as starter:
        assert starter.stdout
        pid, folder = starter.stdout.readline().split()
        assert _is_alive(int(pid))
        starter.send_signal(signal.SIGKILL)
        starter.wait()
        assert _waited(lambda: not _is_alive(int(pid)))
        assert _waited(lambda: not Path(folder).exists())


def test_stopped_servers_leave_nothing_behind():
    for server in (ConsulServer(), PostgresServer()):
        with server:
            pid = server.pid
        assert not _is_alive(pid)
        assert not server.folder.exists()


def test_ports_that_are_taken_are_not_given_out():
    (port,) = free_ports(1)
    with socket.create_server(("127.0.0.1", port)):
        assert port not in free_ports(500)
    assert len(set(free_ports(50))) == 50


def test_what_is_no_consul_has_no_version(tmp_path):
    script = tmp_path / "consul"
    script.write_text("#!/bin/sh\necho Nonsense v1\n")
    script.chmod(0o755)
    assert version_of(script) is None
    assert version_of(tmp_path / "absent") is None
