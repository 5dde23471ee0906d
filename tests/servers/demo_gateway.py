"""``make demo-gateway``: bytes of a client reach an external database through the mesh, by one manifest, and then nothing is left; told step by step.

Runs the real command on ``examples/07-gateway`` (a copy in a temporary folder, with an overlay that says where the servers are). The steps are also
a test, ``tests/e2e/test_data_path.py``.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from tests.servers import envoy
from tests.servers.consul import ConsulServer
from tests.servers.machine import Machine, why_not
from tests.servers.machine_runner import HERE
from tests.servers.mesh_node import MeshNode
from tests.servers.postgres import PostgresServer, installation
from tests.servers.sidecar import Sidecar
from tests.servers.ssh import ssh_config
from tests.servers.story import CannotRunHere, DemoFailed, Story, environment, nothing_is_left, told
from tests.servers.traces import Traces

EXAMPLE = Path(__file__).parents[2] / "examples" / "07-gateway"
_FILES = ("manifest.yaml", "here.yaml")
SERVICE, CLIENT = "carbonio-files-db", "carbonio-files"
_GATEWAY = "carbonio-gateway"
_CLOSED = "server closed the connection unexpectedly"
_QUERY = "SELECT current_user, current_setting('server_version_num')::int / 10000, inet_client_addr()"
_HERE = """\
hosts: {{gateway: {{ssh: root@{gateway}}}}}
postgres:
  external-database: {{host: 127.0.0.1, port: {first.port}, password: {{env: FIRST_PASSWORD}}, sslmode: disable, sslrootcert: null}}
  other-database: {{host: 127.0.0.1, port: {second.port}, user: postgres, password: {{env: SECOND_PASSWORD}}}}
"""
_ENTRIES_HERE = """\
external_services: {{carbonio-files-db: {{address: {address}, port: {port}}}}}
terminating_gateways: {{carbonio-gateway: {{process: {{envoy_version_check: false}}}}}}    # newer than what this Consul knows of
"""
_MOVED = """\
db_roles: {other: {name: carbonio-files-db, server: other-database, login: true, password: {kv: carbonio-files/db-password}}}
databases: {other: {name: carbonio-files-db, server: other-database, owner: carbonio-files-db}}
"""
_MESH_SECTIONS = ("mesh_credentials", "terminating_gateways", "external_services", "intentions", "config_entries", "files")


@dataclass(frozen=True)
class Stage:
    """Where it is played: real servers that are running, and a folder for the manifest."""

    consul: ConsulServer
    node: MeshNode
    first: PostgresServer
    second: PostgresServer
    folder: Path

    def environment(self) -> dict[str, str]:
        """Of the command."""
        passwords = {"FIRST_PASSWORD": self.first.password, "SECOND_PASSWORD": self.second.password}
        config = ssh_config(self.node.machine, self.folder)
        return environment(self.consul.environment, passwords, {"RECONCILER_SSH_CONFIG": str(config), "HOME": str(self.folder)})

    def write(self, *, server: PostgresServer, more: str = "", entries: bool = True) -> None:
        """The overlay: where the servers are, and at which the external service is."""
        text = _HERE.format(gateway=self.node.machine.address, first=self.first, second=self.second)
        text += _ENTRIES_HERE.format(address=HERE, port=server.port) if entries else ""
        (self.folder / _FILES[1]).write_text(text + more)

    def edit(self, old: str, new: str) -> None:
        """Another text at the one place in the manifest where ``old`` stands."""
        manifest = self.folder / _FILES[0]
        text = manifest.read_text()
        if text.count(old) != 1:
            raise DemoFailed(f"{manifest.name} has {old!r} {text.count(old)} times")
        manifest.write_text(text.replace(old, new))

    def drop(self, *sections: str) -> None:
        """Take these sections out of the manifest."""
        manifest = self.folder / _FILES[0]
        parts = manifest.read_text().split("\n\n")
        kept = [part for part in parts if part.partition(":")[0] not in sections]
        if len(parts) - len(kept) != len(sections):
            raise DemoFailed(f"{manifest.name} has not all of {', '.join(sections)}")
        manifest.write_text("\n\n".join(kept).rstrip("\n") + "\n")


class Client:
    """The application: it logs in through its sidecar, with what stands in KV."""

    def __init__(self, story: Story, stage: Stage, port: int) -> None:
        self._story, self._stage, self._port = story, stage, port

    def gets(self, server: PostgresServer, *, within_s: float) -> None:
        """Its query is answered by ``server``."""
        expected = f"{SERVICE}|{server.version}|{self._stage.node.machine.address}"
        took_s, answer = self._until(lambda answer: answer.stdout.strip() == expected, within_s)
        self._story.aside(f"answered after {took_s:.1f} s: {answer.stdout.strip()}")

    def is_refused(self, *, within_s: float) -> None:
        """Its connection is closed at once, by its own sidecar or by the gateway."""
        took_s, _ = self._until(lambda answer: answer.returncode != 0 and _CLOSED in answer.stderr, within_s)
        self._story.aside(f"refused after {took_s:.1f} s: {_CLOSED}")

    def _until(self, wanted: Callable[[subprocess.CompletedProcess[str]], bool], within_s: float) -> tuple[float, subprocess.CompletedProcess[str]]:
        command = f'psql --host=127.0.0.1 --port={self._port} --command="{_QUERY}"'
        self._story.aside(f"the client, through its sidecar: {command}")
        began = time.monotonic()
        while True:
            answer = self._ask()
            took_s = time.monotonic() - began
            if wanted(answer) and took_s <= within_s:
                return took_s, answer
            if took_s > within_s:
                journal = self._stage.node.machine.run("journalctl", "--unit", _GATEWAY, "--lines=20").stdout
                raise DemoFailed(f"not so within {within_s:g} s: {answer.stdout}{answer.stderr}\n{journal}")

    def _ask(self) -> subprocess.CompletedProcess[str]:
        settings = {key: value.decode() for key, value in self._stage.consul.keys("carbonio-files/").items()}
        name, user, password = (settings.get(f"carbonio-files/db-{key}", "nothing in KV") for key in ("name", "username", "password"))
        login = {"PGUSER": user, "PGDATABASE": name, "PGPASSWORD": password, "PGCONNECT_TIMEOUT": "5"}
        psql = installation(18) / "bin" / "psql"
        return subprocess.run(
            [psql, "--no-psqlrc", "--host=127.0.0.1", f"--port={self._port}", "--no-align", "--tuples-only", f"--command={_QUERY}"],
            env=login, capture_output=True, text=True, check=False,
        )  # fmt: skip


def tell(story: Story, stage: Stage, client: Client) -> None:
    """The steps."""
    before, host_before = Traces.of(stage.consul, stage.first, stage.second), stage.node.machine.snapshot()
    shutil.copytree(EXAMPLE, stage.folder, dirs_exist_ok=True)
    stage.write(server=stage.first)
    story.step(
        "Plan",
        f"""manifest.yaml describes a database outside the mesh and its gateway, on a machine that is reached by SSH; here.yaml is laid over it and
        says where the servers of this demo are. Nothing is there yet: a client's query fails. Look for os-user/gateway/{_GATEWAY}, the files, and
        systemd-unit/gateway/{_GATEWAY}.service.""",
    )
    client.is_refused(within_s=5)
    story.run("plan", *_FILES)
    story.step("Apply", "Each is made after what it needs. At the end it waits until the gateway serves, some ten seconds.")
    story.run("apply", "--auto-approve", *_FILES)
    client.gets(stage.first, within_s=5)  # the apply has ended, so the gateway serves
    story.run("plan", "--detailed-exitcode", *_FILES)
    _change_what_is_reached(story, stage, client)
    _remove(story, stage, client)
    left = stage.node.machine.snapshot().since(host_before)
    story.aside(f"Checked, on the gateway's machine (accounts, files, units, processes): {len(left)} differences from before")
    if left or stage.node.services():
        raise DemoFailed(f"the machine is not as it was before: {left}, {list(stage.node.services())}")
    story.step("Destroy", "What was left in the manifest: the settings, role and database go, too.")
    story.run("destroy", "--auto-approve", *_FILES)
    nothing_is_left(story, Traces.of(stage.consul, stage.first, stage.second).since(before))


def _change_what_is_reached(story: Story, stage: Stage, client: Client) -> None:
    story.step("Deny", "In the manifest, `carbonio-files: allow` becomes `carbonio-files: deny`.")
    stage.edit("{carbonio-files: allow}", "{carbonio-files: deny}")
    story.run("apply", "--auto-approve", *_FILES)
    client.is_refused(within_s=2)
    story.step("Allow again", "And back.")
    stage.edit("{carbonio-files: deny}", "{carbonio-files: allow}")
    story.run("apply", "--auto-approve", *_FILES)
    client.gets(stage.first, within_s=5)
    version = stage.second.version
    story.step("Move the database", f"The external service gets the address of another Postgres, version {version}, with role and database there.")
    stage.write(server=stage.second, more=_MOVED)
    story.run("apply", "--auto-approve", *_FILES)
    client.gets(stage.second, within_s=10)


def _remove(story: Story, stage: Stage, client: Client) -> None:
    story.step(
        "Take the gateway out of the manifest",
        """Its sections go, the settings and the databases stay. That is more than 30 % of what this manifest owns, which takes a consent. The unit is
        stopped before its file goes, the account after it.""",
    )
    stage.drop(*_MESH_SECTIONS)
    stage.write(server=stage.second, more=_MOVED, entries=False)
    story.run("apply", "--auto-approve", *_FILES, expect=5)
    story.run("apply", "--auto-approve", "--max-deletes", "100%", *_FILES)
    client.is_refused(within_s=5)


def act() -> None:
    """Start the servers, tell the story, stop the servers. Raises CannotRunHere."""
    if reason := why_not():
        raise CannotRunHere(f"{reason}; `make demo` needs no machines")
    try:
        binary = envoy.find()
    except envoy.NoEnvoy as no_envoy:
        raise CannotRunHere(str(no_envoy)) from None
    with ExitStack() as running:
        folder = Path(running.enter_context(tempfile.TemporaryDirectory(prefix="reconciler-demo-")))
        consul = running.enter_context(ConsulServer(grpc=True, for_machines=True))
        machine = running.enter_context(Machine(hostname="gateway.example.com", programs={"consul": consul.binary, "envoy": binary}))
        node = MeshNode(machine, consul).join()
        first, second = (running.enter_context(PostgresServer(version)) for version in (16, 18))
        sidecar = running.enter_context(Sidecar(consul, SERVICE, client=CLIENT))
        stage = Stage(consul, node, first, second, folder)
        print(
            f"Started for this demo: a Consul (ACLs on, default deny) at {consul.address}; a Debian with systemd, sshd, a Consul agent and Envoy at "
            f"{machine.address}; Postgres {first.version} and {second.version} on the ports {first.port} and {second.port}; and a client with its "
            f"sidecar, in which port {sidecar.port} leads to {SERVICE}."
        )
        story = Story(folder, stage.environment())
        tell(story, stage, Client(story, stage, sidecar.port))


if __name__ == "__main__":
    sys.exit(told(act))
