"""One mesh for the laws: it is not wiped between tests, because that nothing is left behind is one of the laws."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.laws.mesh import Mesh
from tests.laws.population import populate
from tests.servers.consul import ConsulServer, binary
from tests.servers.idle import put_idle
from tests.servers.machine import Machine, why_not
from tests.servers.mesh_node import MeshNode
from tests.servers.postgres import PostgresServer
from tests.servers.ssh import ssh_config


@pytest.fixture(scope="session")
def populated_consul(no_settings_of_the_developer: None) -> Iterator[ConsulServer]:
    """A Consul of this worker's own."""
    with ConsulServer(for_machines=True) as server:
        yield server


@pytest.fixture(scope="session", params=[16, 18], ids=lambda v: f"postgres{v}")
def populated_mesh(request: pytest.FixtureRequest, populated_consul: ConsulServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    """A mesh in which somebody else has made a resource of every kind."""
    with PostgresServer(request.param) as server:
        mesh = Mesh(populated_consul, server, tmp_path_factory.mktemp("manifests"))
        populate(mesh)
        yield mesh


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """What has nothing to do with Postgres is tested beside one of its versions only."""
    twice = [item for item in items if _is_repeated(item)]
    if twice:
        config.hook.pytest_deselected(items=twice)
        items[:] = [item for item in items if item not in set(twice)]


def _is_repeated(item: pytest.Item) -> bool:
    parameters = getattr(getattr(item, "callspec", None), "params", {})
    maker = parameters.get("specimen")
    return parameters.get("populated_mesh", 18) != 18 and maker is not None and not {"db_roles", "databases"} & maker("sample").manifest.keys()


@pytest.fixture
def mesh(populated_mesh: Mesh) -> Mesh:
    """The mesh that the laws hold on."""
    return populated_mesh


@pytest.fixture(scope="session")
def node_of_this_worker(populated_consul: ConsulServer) -> Iterator[MeshNode]:
    """A machine of this worker's own, since an agent is a member of one mesh only; ask for ``machine``."""
    if reason := why_not():
        pytest.skip(reason)
    with Machine(programs={"consul": binary()}) as machine:
        put_idle(machine)
        yield MeshNode(machine, populated_consul).join()


@pytest.fixture
def machine(node_of_this_worker: MeshNode, mesh: Mesh) -> Iterator[MeshNode]:
    """A machine ``gateway`` of the mesh, while the test lasts."""
    mesh.member = node_of_this_worker
    mesh.environment["RECONCILER_SSH_CONFIG"] = str(ssh_config(node_of_this_worker.machine, mesh.folder))
    yield node_of_this_worker
    mesh.member = None
