"""Postgres that only its own machine may reach: through that machine's SSH connection, to a port, to a socket, and as one of its accounts."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from reconciler.engine.connections import Connections
from reconciler.manifest.loading import load
from reconciler.model.errors import AccessDenied, ReconcilerError, Rejected, SystemFault
from tests.servers.lending import Lending
from tests.servers.machine import Machine
from tests.servers.postgres import installation
from tests.servers.ssh import ssh_config

_START = """
bin=$1
useradd --system --no-create-home postgres
mkdir -p /var/lib/pg /var/run/postgresql && chown postgres: /var/lib/pg /var/run/postgresql
cd /var/lib/pg
as() { setpriv --reuid=postgres --regid=postgres --clear-groups "$@"; }
as $bin/initdb -D data -U postgres --locale=C -N >/dev/null
printf 'local all all peer\\nhost all all 127.0.0.1/32 scram-sha-256\\n' >data/pg_hba.conf
printf "fsync = off\nlisten_addresses = '127.0.0.1'\nunix_socket_directories = '/var/run/postgresql'\n" >>data/postgresql.conf
as $bin/pg_ctl -D data -w -l log start >/dev/null
as $bin/psql -h /var/run/postgresql -U postgres -qc "ALTER ROLE postgres PASSWORD 'over-tcp'"
as $bin/psql -h /var/run/postgresql -U postgres -qc "CREATE ROLE root LOGIN SUPERUSER"
"""
_UNDO = """
setpriv --reuid=postgres --regid=postgres --clear-groups /opt/pg/*/*/bin/pg_ctl -D /var/lib/pg/data -m immediate -w stop >/dev/null
userdel postgres
rm -rf /var/lib/pg /opt/pg /var/run/postgresql
"""


@pytest.fixture(scope="module")
def database_node(host_of_this_worker: Lending) -> Iterator[Machine]:
    """A machine whose Postgres listens on its own loopback and on a socket, where only peers get in."""
    with host_of_this_worker.lent() as machine:
        _set_up(machine)
        yield machine
        machine.run("sh", "-c", _UNDO)


def _set_up(machine: Machine) -> None:
    machine.run("mkdir", "/opt/pg")
    programs = installation(16)
    parts = [f"{programs.parent.name}/{programs.name}", f"{programs.parent.name}.libs"]
    packed = subprocess.run(["tar", "-C", programs.parents[1], "-cf", "-", *parts], capture_output=True, check=True).stdout
    subprocess.run(["nsenter", f"--target={machine.pid}", "--mount", "--", "tar", "-C", "/opt/pg", "-xf", "-"], input=packed, check=True)
    machine.run("sh", "-ec", _START, "sh", f"/opt/pg/{parts[0]}/bin")


@pytest.fixture
def connect(database_node: Machine, tmp_path: Path) -> Iterator[object]:
    """Connections of a manifest with one server ``db`` that is reached through the machine ``node``."""
    opened = []

    def connections(server: str) -> Connections:
        file = tmp_path / "manifest.yaml"
        hosts = f"{{node: {{ssh: root@{database_node.address}}}}}"
        file.write_text(f"version: 1\nname: via\nhosts: {hosts}\npostgres: {{db: {{via: node, {server}}}}}\n")
        opened.append(Connections(load([file]), {"RECONCILER_SSH_CONFIG": str(ssh_config(database_node, tmp_path))}))
        return opened[-1]

    yield connections
    for each in opened:
        each.close()


def test_a_port_that_only_the_machine_sees(connect):
    server = connect("host: 127.0.0.1, user: postgres, password: over-tcp").postgres("db")
    assert (server.me.name, server.me.is_superuser) == ("postgres", True)
    assert "127.0.0.1:5432 via node" in server.label
    with server.in_database("template1") as session:
        assert session.query("SELECT 1 AS one") == [{"one": 1}]


def test_its_socket_as_who_logs_in_by_ssh(connect):
    assert connect("user: root").postgres("db").me.name == "root"


def test_its_socket_as_another_account_as_the_guide_does_with_sudo(connect):
    connections = connect("os_user: postgres, user: postgres")
    server = connections.postgres("db")
    assert (server.me.name, server.me.is_superuser) == ("postgres", True)
    with server.in_database("template1") as session:
        assert session.query("SELECT current_user::text AS who") == [{"who": "postgres"}]


def test_a_wrong_password_and_a_port_on_which_nobody_listens_say_so(connect):
    with pytest.raises(AccessDenied, match="wrong password"):
        _ = connect("host: 127.0.0.1, user: postgres, password: wrong").postgres("db").me
    with pytest.raises(SystemFault, match="via node"):
        _ = connect("host: 127.0.0.1, port: 1, user: postgres, password: over-tcp").postgres("db").me


@pytest.mark.parametrize(
    ("server", "match"),
    [
        ("os_user: nobody-at-all, user: postgres", "there is no account nobody-at-all"),
        ("os_user: postgres, user: postgres, port: 5433", r"there is no socket /var/run/postgresql/\.s\.PGSQL\.5433"),
    ],
)
def test_an_account_or_a_socket_that_is_not_there_is_named(connect, server, match):
    with pytest.raises(Rejected, match=match):
        _ = connect(server).postgres("db").me


def test_os_user_takes_a_socket(connect):
    with pytest.raises(ReconcilerError, match="os_user is for a Unix socket"):
        connect("host: 127.0.0.1, os_user: postgres").postgres("db")


def test_nothing_of_the_way_is_left(connect, database_node, monkeypatch):
    make, made = tempfile.mkdtemp, []

    def noting(**options):
        made.append(make(**options))
        return made[-1]

    monkeypatch.setattr(tempfile, "mkdtemp", noting)
    connections = connect("os_user: postgres, user: postgres")
    _ = connections.postgres("db").me
    connections.close()
    assert made and not any(Path(folder).exists() for folder in made)
    assert "perl" not in database_node.run("ps", "-eo", "comm").stdout
