"""A client's bytes reach an external database through the mesh, by one manifest: Consul, host, Envoy, Postgres and the command are real."""

from __future__ import annotations

import base64
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.command import Command
from tests.servers.consul import ConsulServer
from tests.servers.machine_runner import HERE
from tests.servers.mesh_node import MeshNode
from tests.servers.postgres import PostgresServer, installation
from tests.servers.sidecar import Sidecar
from tests.servers.ssh import ssh_config

pytestmark = [pytest.mark.systemd, pytest.mark.envoy]

MANIFEST = """
version: 1
name: carbonio-files-db
hosts:
  gateway: {{ssh: root@{gateway}}}
postgres:
  first: {{host: 127.0.0.1, port: {first.port}, user: postgres, password: {{env: FIRST_PASSWORD}}}}
  second: {{host: 127.0.0.1, port: {second.port}, user: postgres, password: {{env: SECOND_PASSWORD}}}}
mesh_credentials:
  policies:
    carbonio-gateway-policy:
      rules:
        key_prefix: {{carbonio-gateway/: read}}
        node_prefix: {{"": read}}
        service: {{carbonio-gateway: write, carbonio-files-db: write}}
  tokens:
    carbonio-gateway: {{policies: [carbonio-gateway-policy]}}
"""
ENTRY = """
terminating_gateways:
  carbonio-gateway:
    services: {{carbonio-files-db: {{}}}}
    process: {{host: gateway, token: carbonio-gateway, envoy_version_check: false}}
external_services:
  carbonio-files-db: {{node: external-files-db-node, address: {address}, port: {port}}}
intentions:
  carbonio-files-db: {{client: {verdict}}}
kv:
  carbonio-files/db-name: carbonio-files-adm
  carbonio-files/db-username: carbonio-files-adm
  carbonio-files/db-password: {{generate: {{bytes: 16, encoding: hex}}}}
db_roles:
  first: {{server: first, name: carbonio-files-adm, login: true, password: {{kv: carbonio-files/db-password}}}}
  second: {{server: second, name: carbonio-files-adm, login: true, password: {{kv: carbonio-files/db-password}}}}
databases:
  first: {{server: first, name: carbonio-files-adm, owner: carbonio-files-adm}}
  second: {{server: second, name: carbonio-files-adm, owner: carbonio-files-adm}}
"""


class Mesh:
    """The command, a client with its sidecar, and what the manifest says at the moment."""

    def __init__(self, command: Command, node: MeshNode, servers: tuple[PostgresServer, PostgresServer], file: Path) -> None:
        self.command, self.node, self.servers, self.file = command, node, servers, file

    def write(self, *, server: int = 0, verdict: str = "allow", entry: bool = True) -> None:
        first, second = self.servers
        text = MANIFEST.format(gateway=self.node.machine.address, first=first, second=second)
        if entry:
            text += ENTRY.format(address=HERE, port=self.servers[server].port, verdict=verdict)
        self.file.write_text(text)

    def apply(self, *, server: int = 0, verdict: str = "allow", entry: bool = True) -> str:
        self.write(server=server, verdict=verdict, entry=entry)
        done = self.command("apply", "--auto-approve", "--allow-data-loss", "*", "--allow-delete", "*", self.file.name)
        assert done.code == 0, done.err + done.out
        return done.out

    def psql(self, port: int) -> subprocess.CompletedProcess[str]:
        """As the application logs in: with what stands in KV."""
        consul = self.node.server
        name, user, password = (
            base64.b64decode(consul.get(f"/v1/kv/carbonio-files/db-{key}")[0]["Value"]).decode() for key in ("name", "username", "password")
        )
        return subprocess.run(
            [installation(18) / "bin" / "psql", "--no-psqlrc", "-At", "-c", "SELECT current_user || ' ' || inet_server_port()"],
            env={"PGHOST": "127.0.0.1", "PGPORT": str(port), "PGUSER": user, "PGDATABASE": name, "PGPASSWORD": password, "PGCONNECT_TIMEOUT": "5"},
            capture_output=True, text=True, check=False,
        )  # fmt: skip


def within(seconds: float, port: int, mesh: Mesh, wanted: Callable[[subprocess.CompletedProcess[str]], bool]) -> float:
    """How long it took until an answer was the wanted one."""
    began = time.monotonic()
    while not wanted(answer := mesh.psql(port)):
        assert time.monotonic() - began < seconds, (answer, mesh.node.machine.run("journalctl", "-u", "carbonio-gateway", "-n", "20").stdout)
    return time.monotonic() - began


@pytest.fixture
def mesh_by_manifest(mesh: ConsulServer, gateway_node: MeshNode, postgres16: PostgresServer, postgres18: PostgresServer, tmp_path: Path) -> Mesh:
    environ = {
        **mesh.environment,
        "RECONCILER_SSH_CONFIG": str(ssh_config(gateway_node.machine, tmp_path)),
        "FIRST_PASSWORD": postgres16.environment["PGPASSWORD"],
        "SECOND_PASSWORD": postgres18.environment["PGPASSWORD"],
    }
    return Mesh(Command(tmp_path, environ), gateway_node, (postgres16, postgres18), tmp_path / "carbonio.yaml")


def test_from_one_manifest_to_a_query_and_back_to_nothing(mesh_by_manifest: Mesh, mesh: ConsulServer):
    one = mesh_by_manifest
    host = one.node.machine
    before = host.snapshot()
    first, second = (server.port for server in one.servers)
    one.apply()
    assert one.command("plan", "--detailed-exitcode", one.file.name).code == 0
    with Sidecar(mesh, "carbonio-files-db") as sidecar:
        within(15, sidecar.port, one, lambda answer: answer.stdout == f"carbonio-files-adm {first}\n")
        one.apply(verdict="deny")
        within(2, sidecar.port, one, lambda answer: answer.returncode != 0)
        one.apply(verdict="allow")
        within(5, sidecar.port, one, lambda answer: answer.returncode == 0)
        one.apply(server=1)
        within(10, sidecar.port, one, lambda answer: answer.stdout == f"carbonio-files-adm {second}\n")
        one.apply(entry=False)
        assert host.snapshot().since(before) == []
        assert set(one.node.services()) == set()
