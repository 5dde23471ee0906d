"""Peer authentication: connecting as the account that the server knows, while all other threads stay who they are."""

from __future__ import annotations

import os
import pwd
import threading
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from reconciler.manifest.models import PostgresSection
from reconciler.model.errors import AccessDenied, ReconcilerError, SystemFault
from reconciler.systems.postgres import Postgres
from reconciler.systems.postgres.peer import connecting_as
from tests.servers.postgres import PostgresServer

ACCOUNT = "nobody" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name
"""Root can be anybody; others can only be themselves."""


@pytest.fixture(scope="module", params=[16, 18])
def local(request: pytest.FixtureRequest) -> Iterator[PostgresServer]:
    """A server with a socket, on which only peers get in."""
    server = PostgresServer(request.param)
    server._settings["unix_socket_directories"] = str(server.folder)
    with server:
        (server.data / "pg_hba.conf").write_text("local all all peer\nhost all all 127.0.0.1/32 scram-sha-256\n")
        server.query(f'CREATE ROLE "{ACCOUNT}" SUPERUSER LOGIN')
        server.query("SELECT pg_reload_conf()")
        yield server


def server_of(local, **section):
    return Postgres.connect("db", PostgresSection(**{"host": str(local.folder), "port": local.port, "os_user": ACCOUNT, **section}), {}, lambda s: s)


def test_the_account_is_let_in_without_a_password_and_everything_works(local):
    system = server_of(local)
    assert (system.me.name, system.me.is_superuser) == (ACCOUNT, True)
    with system.in_database("template1") as session:
        assert session.query("SELECT session_user::text AS who") == [{"who": ACCOUNT}]
    system.close()


def test_only_the_thread_that_connects_is_somebody_else_and_only_while_it_does(local, monkeypatch):
    before = os.geteuid()
    seen: dict[str, int] = {}
    connect = psycopg.connect
    connecting = threading.Event()

    def look() -> None:
        connecting.wait()
        seen["another thread"] = os.geteuid()

    another = threading.Thread(target=look)
    another.start()

    def watched(*positional, **keywords):
        connecting.set()
        another.join()
        seen["this thread"] = os.geteuid()
        status = Path(f"/proc/self/task/{threading.get_native_id()}/status").read_text(encoding="ascii")
        seen["its files"] = next(int(line.split()[4]) for line in status.splitlines() if line.startswith("Uid:"))
        return connect(*positional, **keywords)

    monkeypatch.setattr(psycopg, "connect", watched)
    system = server_of(local)
    assert system.me.name == ACCOUNT
    system.close()
    assert seen == {"this thread": pwd.getpwnam(ACCOUNT).pw_uid, "another thread": before, "its files": before}
    assert os.geteuid() == before


def test_a_failed_connection_leaves_this_thread_who_it_was(local):
    before = os.geteuid()
    with pytest.raises(SystemFault, match=r'does not take this account for the role "postgres": correct postgres\.db\.os_user or user'):
        _ = server_of(local, user="postgres").me
    assert os.geteuid() == before


def test_what_peer_authentication_cannot_be_is_said():
    for section, say in (
        (PostgresSection(os_user="x", host="a.example.com"), "a.example.com"),
        (PostgresSection(os_user="x", hostaddr="::1"), "::1"),
    ):
        with pytest.raises(ReconcilerError, match=f"os_user is for the Unix socket of this machine, and {say} is none"):
            Postgres.connect("db", section, {}, lambda s: s)
    with pytest.raises(ReconcilerError, match="there is no account carbonio-nobody on this machine"), connecting_as("Postgres db", "carbonio-nobody"):
        pass


def test_only_root_can_be_somebody_else(monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 4242)
    with pytest.raises(AccessDenied, match="only root can connect as the account root: run as root"), connecting_as("Postgres db", "root"):
        pass
