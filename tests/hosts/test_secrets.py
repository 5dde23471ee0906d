"""No secret that goes to a machine, or through it, is seen on the way: in no argument, environment, journal, history or file but its own."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.credentials.archives import contents
from tests.credentials.archives import write as write_archive
from tests.e2e.canaries import Canary, Evidence, canary, known
from tests.e2e.command import Command
from tests.hosts.gateways import Gateways, Manifest
from tests.servers.machine import Machine
from tests.servers.machine_runner import HERE
from tests.servers.postgres import PostgresServer
from tests.servers.traced import TRACER, Started, logins_traced, started

pytestmark = [pytest.mark.systemd, pytest.mark.envoy]

NAME = "carbonio-first"
FILES = "/etc/carbonio/first/service-discover"
_SEARCH = r"""
cd /
patterns=$(cat)
find etc home root run srv tmp usr/local var dev/shm -xdev -type f -size -16384k ! -path 'run/log/*' ! -path 'var/log/journal/*' -print0 |
    xargs -0 -r grep -lF -e "$patterns" -- || :
"""
"""The files of a machine that hold any of the lines on standard input. Its journal is read otherwise."""

_OF_THE_AGENT = "/var/lib/service-discover/data/"


class Watched:
    """The command, with a secret in each place from which one goes to a machine; ``evidence`` is what was seen of the runs, here and there."""

    def __init__(self, gateways: Gateways, postgres: PostgresServer) -> None:
        self.gateways, self.postgres = gateways, postgres
        self.machine: Machine = gateways.node.machine
        self.folder = gateways.run.folder
        self.canaries: list[Canary] = [known("the Consul token", gateways.node.server.token), known("the Postgres password", postgres.password)]
        self.evidence, self.programs = Evidence(), list[Started]()
        self.environment = {name: value for name, value in gateways.run.environment.items() if name != "CONSUL_HTTP_TOKEN"}
        self.environment["TMPDIR"] = str(self.folder / "temporary")
        (self.folder / "temporary").mkdir()
        (self.folder / "local").mkdir()
        write_archive(self.folder, contents(gateways.node.server.token), self.plant("the archive's password").value)
        self._cursor = self.machine.run("journalctl", "--quiet", "--lines=0", "--show-cursor").stdout.partition("-- cursor: ")[2].strip()
        self.manifest = self._manifest()

    def plant(self, name: str) -> Canary:
        self.canaries.append(canary(name))
        return self.canaries[-1]

    def _file(self, name: str, value: str = "") -> dict[str, str]:
        path = self.folder / f"{len(list(self.folder.glob('*.secret')))}.secret"
        path.write_text(value or self.plant(name).value)
        return {"file": path.name}

    def _manifest(self) -> Manifest:
        archive = {"file": "cluster-credentials.tar.gpg", "password": self._file("", self.canaries[-1].value)}
        self.environment["CANARY"] = self.plant("a file's content from the environment").value
        login, content = self._file("", self.postgres.password), self._file("a file's content from a file")
        manifest = self.gateways.manifest(NAME, host=self.gateways.host("admin", sudo=True))
        there = {"host": "gateway", "path": f"{FILES}/token", "owner": NAME, "group": NAME}
        manifest["mesh_credentials"]["tokens"][NAME]["file"] = [there, {"path": str(self.folder / "local" / "token")}]
        return manifest | {
            "consul": {"address": self.gateways.node.server.address, "token": {"bootstrap_token": archive}},
            "postgres": {"db": {"via": "gateway", "host": HERE, "port": self.postgres.port, "user": "postgres", "password": login}},
            "db_roles": {"app": {"login": True, "password": self._file("a role's password")}},
            "kv": {"app/db-password": {"generate": {"bytes": 16, "encoding": "hex"}}},
            "files": {
                "from-a-file": {"host": "gateway", "path": f"{FILES}/from-a-file", "content": content, "mode": "0600"},
                "from-kv": {"host": "gateway", "path": f"{FILES}/from-kv", "content": {"kv": "app/db-password"}, "mode": "0600"},
                "here": {"path": str(self.folder / "local" / "from-env"), "content": {"env": "CANARY"}, "mode": "0600"},
            },
        }

    def run(self, operation: str, *options: str) -> None:
        """Run it, and collect what can be seen of it on both sides."""
        notes = {side: self.folder / f"{operation}-{len(list(self.folder.glob('*.notes')))}.{side}.notes" for side in ("here", "there")}
        command = Command(self.folder, self.environment, (str(TRACER), str(notes["here"]), sys.executable, "-m", "reconciler.cli.main"))
        arguments = (operation, self.gateways.write(self.manifest), *options, "-vv", "--log-file", "run.log")
        with logins_traced(self.machine, notes["there"]):
            run = command.from_scratch(*arguments, expect=0)
        self.learn()
        given = set(command.whole_environment.values())
        for side, file in notes.items():
            programs = started(file)
            assert len(programs) > 5, f"what was started {side} was not seen"
            self.programs += programs
            for program in programs:
                self.evidence.add(f"arguments {side}", *program.arguments)
                values = [variable.partition("=")[2] for variable in program.environment]
                self.evidence.add(f"environment {side}", *(value for value in values if value not in given or side == "there"))
        self.evidence.add("output", run.out, run.err, (self.folder / "run.log").read_bytes())

    def learn(self) -> None:
        """The secrets that a run has made itself."""
        server, values = self.gateways.node.server, {c.value for c in self.canaries}
        mine = [token for token in server.get("/v1/acl/tokens") if NAME in [policy["Name"] for policy in token.get("Policies") or ()]]
        secrets = {server.get(f"/v1/acl/token/{token['AccessorID']}")["SecretID"] for token in mine}
        secrets |= {value.decode() for key, value in server.keys("app/").items()}
        self.canaries += [known("made by the run", secret) for secret in secrets - values]

    def looked_at(self) -> None:
        """Collect what is left on both sides once the runs are over."""
        self.machine.run("journalctl", "--sync")
        journal = self.machine.run("journalctl", "--no-pager", "--output=verbose", "--all", f"--after-cursor={self._cursor}").stdout
        self.evidence.add("journal", journal)
        controls = {word for p in self.programs for word in p.arguments if word.endswith("/control")}
        assert controls and not any(Path(control).parent.exists() for control in controls)
        assert list((self.folder / "temporary").iterdir()) == []

    def _files_with(self, canaries: list[Canary]) -> list[str]:
        told = self.machine.run("sh", "-c", _SEARCH, stdin="\n".join(c.value for c in canaries)).stdout
        return [f"/{path}" for path in told.splitlines()]

    def holders(self) -> tuple[set[str], set[str]]:
        """The files with a secret in them: those on the machine, and those here that a run may have made."""
        there = {path for path in self._files_with(self.canaries) if not path.startswith(_OF_THE_AGENT)}
        # the agent keeps the token that a service was registered with: its own, and no other secret
        there |= set(self._files_with([c for c in self.canaries if c.name != "made by the run"]))
        known_here = {path for pattern in ("*.secret", "*.notes") for path in self.folder.glob(pattern)}
        files = [p for p in self.folder.rglob("*") if p.is_file() and p not in known_here]
        here = {str(p.relative_to(self.folder)) for p in files if any(c.value.encode() in p.read_bytes() for c in self.canaries)}
        return there, here


@pytest.fixture
def watched(gateways: Gateways, postgres18: PostgresServer) -> Iterator[Watched]:
    machine = gateways.node.machine
    machine.ssh("sudo", "true", user="admin")  # which leaves a file in the account's home the first time
    before = machine.snapshot()
    yield Watched(gateways, postgres18)
    assert machine.snapshot().since(before) == []


def test_no_secret_is_seen_on_the_way_to_a_machine(watched: Watched) -> None:
    everywhere = {f"{FILES}/token", f"{FILES}/from-a-file", f"{FILES}/from-kv"}, {"local/token", "local/from-env"}
    apply = ("apply", "--auto-approve", "--wait", "0")
    watched.run(*apply)
    assert watched.holders() == everywhere
    watched.manifest["mesh_credentials"]["tokens"][NAME]["rotation"] = 1
    watched.manifest["files"]["from-a-file"]["content"] = watched._file("another content")
    watched.run(*apply)
    assert watched.holders() == everywhere
    assert len({c.name for c in watched.canaries}) == 8 and os.environ.get("CANARY") is None
    watched.run("plan")
    watched.run("destroy", "--auto-approve")
    assert watched.holders() == (set(), set())
    watched.looked_at()
    assert watched.evidence.search(watched.canaries) == []
