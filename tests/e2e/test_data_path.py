"""A client's bytes reach an external database through the mesh, by one manifest: Consul, host, Envoy, Postgres and the command are real.

The steps and what is checked at each are those of ``make demo-gateway``.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.servers.consul import ConsulServer
from tests.servers.demo_gateway import CLIENT, SERVICE, Client, Stage, tell
from tests.servers.mesh_node import MeshNode
from tests.servers.postgres import PostgresServer
from tests.servers.sidecar import Sidecar
from tests.servers.story import Story

pytestmark = [pytest.mark.systemd, pytest.mark.envoy]


def test_from_one_manifest_to_a_query_and_back_to_nothing(
    mesh: ConsulServer, gateway_node: MeshNode, postgres16: PostgresServer, postgres18: PostgresServer, tmp_path: Path
):
    stage = Stage(mesh, gateway_node, postgres16, postgres18, tmp_path)
    with Sidecar(mesh, SERVICE, client=CLIENT) as sidecar:
        story = Story(tmp_path, stage.environment())
        tell(story, stage, Client(story, stage, sidecar.port))
