"""The command, a folder for its manifests, and what is live before and after."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.command import Command
from tests.e2e.snapshot import Snapshot, of_consul, snapshot
from tests.servers.consul import ConsulServer
from tests.servers.postgres import PostgresServer


@pytest.fixture
def command(environment: dict[str, str], tmp_path: Path) -> Command:
    """The command in the folder of the test, with a Consul and no Postgres."""
    return Command(tmp_path, environment)


@pytest.fixture
def reconciler(command: Command, postgres18: PostgresServer) -> Command:
    """The command in the folder of the test, with a Consul and a Postgres."""
    return command.having(**postgres18.environment)


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., str]:
    """Writes a manifest without its first two lines, and gives the file's name."""

    def write(body: str, *, name: str = "mesh", file: str = "mesh.yaml") -> str:
        (tmp_path / file).write_text(f"version: 1\nname: {name}\n{body}", "utf-8")
        return file

    return write


@pytest.fixture
def live(consul: ConsulServer, postgres18: PostgresServer) -> Callable[[], Snapshot]:
    """Everything that is in both servers at this moment."""
    return lambda: snapshot(consul, postgres18)


@pytest.fixture
def live_consul(consul: ConsulServer) -> Callable[[], Snapshot]:
    """Everything that is in Consul at this moment."""
    return lambda: of_consul(consul)
