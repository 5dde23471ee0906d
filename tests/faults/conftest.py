"""The example on real servers, among things that somebody else has made."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from tests.faults import live
from tests.faults.example import Manifest, example
from tests.faults.runs import Run
from tests.laws.mesh import Mesh
from tests.laws.population import populate
from tests.servers.consul import ConsulServer
from tests.servers.postgres import PostgresServer


@dataclass
class Site(Mesh):
    """The servers, the folder of the token file, and what was live before the example was."""

    before: dict[str, Any] = field(default_factory=dict)
    disposable: bool = False
    """Whether the test may leave things behind."""

    @property
    def gateway(self) -> Path:
        """The folder of the token file."""
        return self.folder / "gateway"

    @property
    def manifest(self) -> Manifest:
        """The example."""
        return example(self.gateway / "token")

    def run(
        self,
        operation: str,
        manifest: Mapping[str, Any],
        *options: str,
        through: Mapping[str, str] | None = None,
        first: Callable[[], object] | None = None,
    ) -> Run:
        """Start a run in a process of its own, ``through`` proxies."""
        arguments = [operation, *(["--auto-approve"] if operation in ("apply", "destroy") else []), *options, str(self.write(manifest))]
        return Run(arguments, {**self.environment, **(through or {})}, self.folder, first)

    def through(self, environment: Mapping[str, str]) -> Site:
        """The same site as runs see it that go through proxies."""
        return replace(self, environment={**self.environment, **environment})

    def backends(self) -> set[int]:
        """The process IDs of all sessions of Postgres but this one."""
        return {pid for (pid,) in self.sql("SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()")}

    def managed(self) -> dict[str, Any]:
        """What the example has made."""
        return live.managed(self, self.gateway)

    def demand_clean(self, manifest: Mapping[str, Any], expected: Mapping[str, Any]) -> None:
        """What is live is as ``manifest`` wants it, once each, and nothing that somebody else made has been touched."""
        assert self.managed() == expected
        assert self.plan(manifest).is_empty
        assert self.drift(manifest).is_empty
        assert live.untouched(self.before, self.everything()) == self.before
        assert not live.locks(self)

    def demand_nothing_left(self) -> None:
        """All is as it was before the example was first applied."""
        assert self.everything() == self.before
        assert list(self.gateway.iterdir()) == []
        assert not live.locks(self)


@pytest.fixture(scope="session")
def servers(no_settings_of_the_developer: None) -> Iterator[tuple[ConsulServer, PostgresServer]]:
    """Servers of this worker's own."""
    with ConsulServer() as consul, PostgresServer(18) as postgres:
        yield consul, postgres


@pytest.fixture
def site(servers: tuple[ConsulServer, PostgresServer], tmp_path: Path) -> Iterator[Site]:
    """A site at which somebody else has made something of every kind. A test leaves it as it was, or it is made anew."""
    consul, postgres = servers
    one = Site(consul, postgres, tmp_path)
    one.gateway.mkdir()
    if one.policy("foreign") is None:
        populate(one)
    one.before = one.everything()
    yield one
    live.end_sessions(one)
    if one.everything() != one.before:
        consul.wipe()
        postgres.wipe()
        assert one.disposable, "the test left something behind"
