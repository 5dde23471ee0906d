"""The command, a mesh, and machines of it that the command reaches over SSH."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.e2e.command import Command
from tests.hosts.gateways import Gateways
from tests.servers.consul import ConsulServer
from tests.servers.idle import put_idle
from tests.servers.mesh_node import MeshNode
from tests.servers.ssh import ssh_config


@pytest.fixture
def gateways(mesh: ConsulServer, gateway_node: MeshNode, tmp_path: Path) -> Gateways:
    """A folder for manifests of gateways on a machine of the mesh, and the command in it. The machine must be left as it was found."""
    machine = gateway_node.machine
    put_idle(machine)
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "LANG": "C.UTF-8", **mesh.environment}
    environment["RECONCILER_SSH_CONFIG"] = str(ssh_config(machine, tmp_path))
    return Gateways(Command(tmp_path, environment), gateway_node)
