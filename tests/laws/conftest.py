"""One mesh for the laws: it is not wiped between tests, because that nothing is left behind is one of the laws."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.laws.mesh import Mesh
from tests.laws.population import populate
from tests.servers.consul import ConsulServer
from tests.servers.postgres import PostgresServer


@pytest.fixture(scope="session")
def populated_consul(no_settings_of_the_developer: None) -> Iterator[ConsulServer]:
    """A Consul of this worker's own."""
    with ConsulServer() as server:
        yield server


@pytest.fixture(scope="session", params=[16, 18], ids=lambda v: f"postgres{v}")
def populated_mesh(request: pytest.FixtureRequest, populated_consul: ConsulServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    """A mesh in which somebody else has made a resource of every kind."""
    with PostgresServer(request.param) as server:
        mesh = Mesh(populated_consul, server, tmp_path_factory.mktemp("manifests"))
        populate(mesh)
        yield mesh


@pytest.fixture
def mesh(populated_mesh: Mesh) -> Mesh:
    """The mesh that the laws hold on."""
    return populated_mesh
