"""What the tests share: real servers, started when the first test of a worker asks for one, and clean for each test.

=====================  =====================================================================================================================
``consul``             a Consul server, wiped before the test (KV, ACLs, config entries, catalog, queries, sessions)
``postgres16``, ``18`` a Postgres server of that version, wiped before the test (databases, roles)
``postgres``           the test runs twice, with each of them
``environment``        what a program under test gets as its environment: PATH, HOME, the ``consul`` server; add ``**postgres18.environment``
``manifest_name``      a manifest name that no other test uses
``free_port``          a port on loopback that nobody listens on
``gateway_host``       a Debian with systemd and sshd of its own; the same one for all tests of a worker, so it fails if it is not left as found
``second_gateway_host`` another one
``mesh``               a Consul server, wiped before the test, that hosts can join and that serves xDS
``gateway_node``       ``gateway_host`` as a node of that mesh, with a Consul agent, ``consul`` and ``envoy``; nothing is registered at it
``second_gateway_node`` the same of ``second_gateway_host``
=====================  =====================================================================================================================

A test that needs a server of its own (TLS, a kill, a second datacenter) makes one: ``with ConsulServer(tls=True) as consul``.
"""

from __future__ import annotations

import itertools
import os
import secrets
import signal
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from tests.servers.consul import ConsulServer
    from tests.servers.lending import Lending
    from tests.servers.machine import Machine
    from tests.servers.mesh_node import MeshNode
    from tests.servers.postgres import PostgresServer

_numbers = itertools.count(1)
_failed = pytest.StashKey[bool]()


def pytest_configure() -> None:
    """One seed for the random pairs of manifests, the same in every run, so that a change is judged by itself; ``PAIRS_SEED=random`` draws others."""
    if os.environ.setdefault("PAIRS_SEED", "1") == "random":  # workers inherit what is drawn here
        os.environ["PAIRS_SEED"] = str(secrets.randbits(32))
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # started in the background: it would be so for every program under test as well
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_xdist_auto_num_workers() -> int:
    """One more than processors, because many tests wait: for a unit to start, a node to join, a token to expire."""
    return len(os.sched_getaffinity(0)) + 1


def pytest_report_header() -> str:
    """Without a seed a failure could not be repeated."""
    return f"PAIRS_SEED={os.environ['PAIRS_SEED']}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """What a test that failed has left is not looked at: it gets no machine back."""
    report = yield
    if report.failed:
        item.stash[_failed] = True
    return report


# how long an example takes says how busy the machine is, and nothing of the program
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


@pytest.fixture(scope="session", autouse=True)
def no_settings_of_the_developer() -> None:
    """Nobody's own Consul or Postgres is met by accident. CONSUL, without an underscore, names the binary and stays."""
    for name in list(os.environ):
        if name.startswith(("CONSUL_", "PG", "RECONCILER_")) or name in ("NO_COLOR", "FORCE_COLOR", "CLICOLOR", "CLICOLOR_FORCE"):
            del os.environ[name]


@pytest.fixture(scope="session")
def consul_of_this_worker(no_settings_of_the_developer: None) -> Iterator[ConsulServer]:
    """One server for all tests of a worker; ask for ``consul``."""
    from tests.servers.consul import ConsulServer

    with ConsulServer() as server:
        yield server


@pytest.fixture(scope="session")
def postgres16_of_this_worker(no_settings_of_the_developer: None) -> Iterator[PostgresServer]:
    """One server for all tests of a worker; ask for ``postgres16``."""
    from tests.servers.postgres import PostgresServer

    with PostgresServer(16) as server:
        yield server


@pytest.fixture(scope="session")
def postgres18_of_this_worker(no_settings_of_the_developer: None) -> Iterator[PostgresServer]:
    """One server for all tests of a worker; ask for ``postgres18``."""
    from tests.servers.postgres import PostgresServer

    with PostgresServer(18) as server:
        yield server


@pytest.fixture
def consul(consul_of_this_worker: ConsulServer) -> ConsulServer:
    """A real Consul with nothing in it."""
    consul_of_this_worker.wipe()
    return consul_of_this_worker


@pytest.fixture
def postgres16(postgres16_of_this_worker: PostgresServer) -> PostgresServer:
    """A real Postgres 16 with nothing in it."""
    postgres16_of_this_worker.wipe()
    return postgres16_of_this_worker


@pytest.fixture
def postgres18(postgres18_of_this_worker: PostgresServer) -> PostgresServer:
    """A real Postgres 18 with nothing in it."""
    postgres18_of_this_worker.wipe()
    return postgres18_of_this_worker


@pytest.fixture(params=[16, 18], ids=lambda version: f"postgres{version}")
def postgres(request: pytest.FixtureRequest) -> PostgresServer:
    """A real Postgres with nothing in it, of each supported version in turn."""
    server: PostgresServer = request.getfixturevalue(f"postgres{request.param}")
    return server


@pytest.fixture
def environment(consul: ConsulServer, tmp_path: Path) -> dict[str, str]:
    """The environment of a program under test: nothing of ours but PATH, a home folder of its own, and the Consul server."""
    home = tmp_path / "home"
    home.mkdir()
    return {"PATH": os.environ["PATH"], "HOME": str(home), "LANG": "C.UTF-8", **consul.environment}


@pytest.fixture
def manifest_name(worker_id: str) -> str:
    """A manifest name that no other test uses."""
    return f"test-{worker_id}-{next(_numbers)}"


@pytest.fixture
def free_port() -> int:
    """A port on loopback that nobody listens on."""
    from tests.servers.ports import free_ports

    return free_ports(1)[0]


def _machine() -> Machine:
    from tests.servers import envoy
    from tests.servers.consul import binary as consul_binary
    from tests.servers.machine import Machine, why_not

    if reason := why_not():
        pytest.skip(reason)
    try:
        programs = {"consul": consul_binary(), "envoy": envoy.find()}
    except envoy.NoEnvoy as no_envoy:
        pytest.skip(str(no_envoy))
    return Machine(programs=programs).start()


@pytest.fixture(scope="session")
def host_of_this_worker(no_settings_of_the_developer: None) -> Iterator[Lending]:
    """One host for all tests of a worker; ask for ``gateway_host`` or ``gateway_node``."""
    from tests.servers.lending import Lending

    lending = Lending(_machine)
    yield lending
    lending.end()


@pytest.fixture(scope="session")
def second_host_of_this_worker(no_settings_of_the_developer: None) -> Iterator[Lending]:
    """Another one; ask for ``second_gateway_host`` or ``second_gateway_node``."""
    from tests.servers.lending import Lending

    lending = Lending(_machine)
    yield lending
    lending.end()


@pytest.fixture
def gateway_host(request: pytest.FixtureRequest, host_of_this_worker: Lending) -> Iterator[Machine]:
    """A host with systemd and sshd."""
    with host_of_this_worker.lent(lambda: _failed in request.node.stash) as machine:
        yield machine


@pytest.fixture
def second_gateway_host(request: pytest.FixtureRequest, second_host_of_this_worker: Lending) -> Iterator[Machine]:
    """Another host with systemd and sshd."""
    with second_host_of_this_worker.lent(lambda: _failed in request.node.stash) as machine:
        yield machine


@pytest.fixture(scope="session")
def mesh_of_this_worker(no_settings_of_the_developer: None) -> Iterator[ConsulServer]:
    """One server for all tests of a worker; ask for ``mesh``."""
    from tests.servers.consul import ConsulServer

    with ConsulServer(grpc=True, for_machines=True) as server:
        yield server


@pytest.fixture
def mesh(mesh_of_this_worker: ConsulServer, host_of_this_worker: Lending, second_host_of_this_worker: Lending) -> ConsulServer:
    """A real Consul with nothing in it but the nodes that have joined, and nothing registered at those."""
    for lending in (host_of_this_worker, second_host_of_this_worker):
        if lending.node is not None:
            lending.node.wipe()
    mesh_of_this_worker.wipe()
    return mesh_of_this_worker


@pytest.fixture
def gateway_node(mesh: ConsulServer, gateway_host: Machine, host_of_this_worker: Lending) -> MeshNode:
    """A host with a Consul agent at which nothing is registered."""
    return host_of_this_worker.joined(mesh)


@pytest.fixture
def second_gateway_node(mesh: ConsulServer, second_gateway_host: Machine, second_host_of_this_worker: Lending) -> MeshNode:
    """Another host with a Consul agent at which nothing is registered."""
    return second_host_of_this_worker.joined(mesh)
