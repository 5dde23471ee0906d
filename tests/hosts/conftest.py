"""The command, a mesh, and machines of it that the command reaches over SSH."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.credentials.archives import contents
from tests.credentials.archives import write as write_archive
from tests.e2e.command import Command
from tests.hosts.gateways import Gateways
from tests.hosts.members import PASSWORD, Member, Members
from tests.servers.consul import ConsulServer
from tests.servers.mesh_node import MeshNode
from tests.servers.ssh import ssh_config


@pytest.fixture
def gateways(mesh: ConsulServer, gateway_node: MeshNode, tmp_path: Path) -> Gateways:
    """A folder for manifests of gateways on a machine of the mesh, and the command in it. The machine must be left as it was found."""
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "LANG": "C.UTF-8", **mesh.environment}
    environment["RECONCILER_SSH_CONFIG"] = str(ssh_config(gateway_node.machine, tmp_path))
    return Gateways(Command(tmp_path, environment), gateway_node)


@pytest.fixture
def members(gateways: Gateways, gateway_node: MeshNode, second_gateway_node: MeshNode, tmp_path: Path) -> Iterator[Members]:
    """Two machines of the mesh that are not set up any more, while the test lasts."""
    machines = (gateway_node.machine, second_gateway_node.machine)
    lines = []
    for machine in machines:
        lines += [f"Host {machine.address}", f"  IdentityFile {machine.identity_file}", f"  UserKnownHostsFile {machine.known_hosts}"]
    (tmp_path / "ssh_config_of_both").write_text("\n".join([*lines, "Host *", "  IdentitiesOnly yes", ""]))
    inside = contents()
    write_archive(tmp_path, inside, PASSWORD)
    (tmp_path / "password").write_text(PASSWORD)
    found = (Member(gateway_node), Member(second_gateway_node))
    yield Members(gateways.run.having(RECONCILER_SSH_CONFIG=str(tmp_path / "ssh_config_of_both")), found, inside)
    for member in found:
        member.put_back()
