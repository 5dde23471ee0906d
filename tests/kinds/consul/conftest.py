"""One kind at a time on a real Consul: declared from a manifest, written as the engine writes it, read back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from reconciler.model.secret import Secret
from reconciler.systems.consul.client import Consul
from reconciler.systems.consul.connection import ConsulSettings
from tests.kinds.consul.whole_tool import Tool
from tests.kinds.consul.workbench import Workbench
from tests.servers.consul import ConsulServer


@pytest.fixture
def client(consul: ConsulServer) -> Iterator[Consul]:
    """Our client, with the management token."""
    with Consul(ConsulSettings(host=consul.host, port=consul.port, token=Secret(consul.token))) as one:
        yield one


@pytest.fixture
def bench(consul: ConsulServer, client: Consul, tmp_path: Path) -> Workbench:
    """What a test of one kind works with."""
    return Workbench(consul, client, tmp_path)


@pytest.fixture
def tool(environment: dict[str, str], tmp_path: Path) -> Tool:
    """The tool as a whole."""
    return Tool(environment, tmp_path)
