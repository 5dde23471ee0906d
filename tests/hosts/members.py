"""Machines that are, or are to become, members of the mesh: with a stand-in for service-discover, which is not to be had, and all else real."""

from __future__ import annotations

import json
import time
from base64 import b64decode
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from reconciler.credentials.archive import ACL_TOKEN, CA_KEY, GOSSIP_KEY
from tests.e2e.canaries import Evidence, Find, known
from tests.e2e.command import Command
from tests.servers.consul import ConsulServer
from tests.servers.mesh_node import CONFIG_FOLDER, MeshNode

PASSWORD: Final = "correct horse ü"
ARCHIVE: Final = f"{CONFIG_FOLDER}/cluster-credentials.tar.gpg"
MARK: Final = f"{ARCHIVE}.set-up-begun"
SET_UP: Final = "service-discover setup-wizard on a terminal"
_NEXT: Final = "/root/next"
_STAND_IN: Final = Path(__file__).with_name("stand_in_service_discover.sh").read_text()
_PREPARE: Final = r"""
mkdir -p "$2"
cp -p "$1/main.json" "$2/joined.json"
mkfifo "$2/held"
[ -e ~admin/.sudo_as_admin_successful ] || touch "$2/no-sudo-yet"
"""
_TAKE_AWAY: Final = r"""
systemctl stop service-discover
rm -f "$1"/config.json "$1"/cluster-credentials.tar.gpg* /var/lib/service-discover/*.pem
[ ! -e "$1/main.json" ] || mv "$1/main.json" "$2/main.json"
"""
_SET_UP_BY_HAND: Final = r"""
install -o service-discover -g service-discover -m 0600 "$2/main.json" "$2/config.json" "$1"
touch /var/lib/service-discover/consul-agent-ca.pem /var/lib/service-discover/dc1-client-consul-0.pem
echo old >"$1/cluster-credentials.tar.gpg"
systemctl start service-discover
"""
_PUT_BACK: Final = r"""
systemctl stop service-discover
rm -f "$1"/config.json "$1"/cluster-credentials.tar.gpg* /var/lib/service-discover/*.pem /usr/bin/service-discover
cp -p "$2/joined.json" "$1/main.json"
[ ! -e "$2/no-sudo-yet" ] || rm -f ~admin/.sudo_as_admin_successful
rm -rf "$2" /var/lib/service-discover/other
systemctl start service-discover
"""


@dataclass
class Member:
    """A machine that has joined a mesh, made into one that is to be set up."""

    node: MeshNode

    def __post_init__(self) -> None:
        self.since_s = int(time.time())
        machine = self.node.machine
        machine.run("sh", "-ec", _PREPARE, "sh", CONFIG_FOLDER, _NEXT)
        machine.write("/usr/bin/service-discover", _STAND_IN, mode="0755")
        machine.write(f"{_NEXT}/password", PASSWORD, mode="0600")
        machine.write(f"{_NEXT}/config.json", json.dumps({"bind_addr": self.address}), mode="0600")
        self._clear(_TAKE_AWAY)

    def put_back(self) -> None:
        """As it was found."""
        self._clear(_PUT_BACK)
        self.node.machine.run("sh", "-c", "systemctl reset-failed 2>/dev/null")
        deadline = time.monotonic() + 60
        while not self.is_member():
            assert time.monotonic() < deadline, self.node.log_text()
            time.sleep(0.05)

    def _clear(self, script: str) -> None:
        self.node.machine.run("sh", "-c", script, "sh", CONFIG_FOLDER, _NEXT)

    @property
    def address(self) -> str:
        return self.node.machine.address

    def joins(self, server: ConsulServer) -> None:
        """From now on set-up makes it a member of another mesh."""
        configuration = json.loads(self.node.machine.read(f"{_NEXT}/main.json"))
        configuration |= {"retry_join": [server.join_address], "encrypt": server.gossip_key}
        configuration |= {"data_dir": "/var/lib/service-discover/other", "acl": {"enabled": True}}
        rules = f'node "{self.node.name}" {{ policy = "write" }} node_prefix "" {{ policy = "read" }} service_prefix "" {{ policy = "write" }}'
        configuration["acl"] |= {"default_policy": "deny", "tokens": {"default": server.token_for(rules)}}
        self.node.machine.run("install", "-d", "-o", "service-discover", "/var/lib/service-discover/other")
        self._write_next("main.json", json.dumps(configuration))

    def is_set_up_by_hand(self) -> None:
        """What set-up does, done by somebody else, with other credentials."""
        self.node.machine.run("sh", "-ec", _SET_UP_BY_HAND, "sh", CONFIG_FOLDER, _NEXT)

    def goes_wrong(self, mishap: str) -> None:
        """At the next set-up; see the stand-in."""
        self._write_next("mishap", mishap)

    def wants(self, password: str) -> None:
        """Another password than :data:`PASSWORD` opens the archive."""
        self._write_next("password", password)

    def _write_next(self, name: str, text: str) -> None:
        self.node.machine.write(f"{_NEXT}/{name}", text, mode="0600")

    def holds(self) -> None:
        """Wait until the stand-in waits."""
        deadline = time.monotonic() + 60
        while not self.node.machine.exists(f"{_NEXT}/holding"):
            assert time.monotonic() < deadline
            time.sleep(0.05)

    def let_go(self) -> None:
        """Let it go on, and wait until it has ended."""
        self.node.machine.run("sh", "-c", f"echo go >{_NEXT}/held; flock {CONFIG_FOLDER} true")

    @property
    def calls(self) -> list[str]:
        """How service-discover was called."""
        return self._text("calls").splitlines()

    @property
    def addresses(self) -> list[str]:
        """What its question for an address was answered with."""
        return self._text("addresses").splitlines()

    @property
    def processes(self) -> str:
        """The command lines and environments of all processes there while set-up had the password."""
        return self._text("processes")

    def _text(self, name: str) -> str:
        path = f"{_NEXT}/{name}"
        return self.node.machine.read(path) if self.node.machine.exists(path) else ""

    def is_set_up(self) -> bool:
        return self.node.machine.exists(f"{CONFIG_FOLDER}/main.json") and not self.node.machine.exists(MARK)

    def is_member(self, server: ConsulServer | None = None) -> bool:
        """Whether the mesh reaches it."""
        checks = (server or self.node.server).get(f"/v1/health/node/{self.node.name}") or []
        runs = self.node.machine.run("systemctl", "is-active", "service-discover", check=False).stdout == "active\n"
        return runs and [c["Status"] for c in checks if c["CheckID"] == "serfHealth"] == ["passing"]

    def archive(self) -> tuple[str, str] | None:
        """The content of its archive, and who may read it."""
        machine = self.node.machine
        if not machine.exists(ARCHIVE):
            return None
        return machine.read(ARCHIVE), machine.run("stat", "-c", "%a %U:%G", ARCHIVE).stdout.strip()


@dataclass(frozen=True)
class Members:
    """The command in a folder with the mesh's archive, and the machines that are to be its nodes, first to last: ``one`` and ``two``.

    ``contents`` are the members of the archive.
    """

    run: Command
    machines: tuple[Member, ...]
    contents: Mapping[str, bytes]

    def manifest(self, *, first: str = "", by_sudo: str = "two", **cluster: Any) -> dict[str, Any]:
        """``by_sudo`` is the machine that is not logged in to as root."""
        names = ("one", "two")
        hosts: dict[str, Any] = {name: {"ssh": f"root@{m.address}"} for name, m in zip(names, self.machines, strict=True)}
        hosts[by_sudo] = {"ssh": hosts[by_sudo]["ssh"].replace("root", "admin"), "sudo": True}
        nodes = {name: {"first_instance": True} if name == first else {} for name in names}
        own = {"file": "cluster-credentials.tar.gpg", "password": {"file": "password"}, "nodes": nodes}
        return {"version": 1, "name": "members", "hosts": hosts, "mesh_credentials": {"cluster": {**own, **cluster}}}

    def write(self, manifest: dict[str, Any]) -> str:
        (self.run.folder / "mesh.yaml").write_text(json.dumps(manifest))
        return "mesh.yaml"

    def leaks(self, evidence: Evidence, password: str = PASSWORD, contents: Mapping[str, bytes] | None = None) -> list[Find]:
        """What of the archive's secrets, or of its password, is found in ``evidence``, in Consul, or in what a machine has written down."""
        for member in self.machines:
            evidence.add("processes", member.processes)
            evidence.add("journal", member.node.machine.run("journalctl", "--no-pager", f"--since=@{member.since_s}").stdout)
        server = self.machines[0].node.server
        evidence.add("records", *(b64decode(pair["Value"]) for pair in server.get("/v1/kv/reconciler/?recurse") or ()))
        inside = self.contents if contents is None else contents
        secrets = {"password": password, "SecretID": json.loads(inside[ACL_TOKEN])["SecretID"], "gossip key": inside[GOSSIP_KEY].decode()}
        secrets["CA key"] = inside[CA_KEY].decode().splitlines()[1][10:50]
        assert b"setup-wizard" in evidence.all("processes"), "they were looked at while it had the password"
        return evidence.search([known(name, value) for name, value in secrets.items()])

    def sealed(self) -> str:
        """The archive that is to be on them."""
        return (self.run.folder / "cluster-credentials.tar.gpg").read_text()
