"""The program inside this process, with both servers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from reconciler.engine.operations import Connections
from reconciler.importing.operations import import_live
from reconciler.importing.request import Imported, Request
from reconciler.manifest.loading import load_text
from tests.laws.mesh import Mesh
from tests.servers.consul import ConsulServer
from tests.servers.postgres import PostgresServer


@pytest.fixture
def mesh(consul: ConsulServer, postgres18: PostgresServer, tmp_path: Path) -> Mesh:
    """Both servers, with nothing in them."""
    return Mesh(consul, postgres18, tmp_path)


@pytest.fixture
def imported(mesh: Mesh) -> Callable[..., Imported]:
    """Imports from the mesh, as the manifest ``mesh``."""

    def imported(**choices: object) -> Imported:
        request = Request(**{"name": "mesh", **choices})  # type: ignore[arg-type]
        with Connections(load_text(f"version: 1\nname: {request.name}\n"), mesh.environment) as connections:
            return import_live(connections, request)

    return imported
