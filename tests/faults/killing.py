"""Runs that are killed at one write after the other, until there is no further one to be killed at."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Literal

from tests.faults.conftest import Site
from tests.faults.example import Manifest
from tests.faults.runs import Run
from tests.servers.counting_proxy import CountingProxy
from tests.servers.postgres_proxy import PostgresProxy, first_word, is_write

System = Literal["consul", "postgres"]
When = Literal["before", "after"]

KILLED = -signal.SIGKILL


@contextmanager
def proxied(site: Site, system: System) -> Iterator[CountingProxy | PostgresProxy]:
    """A proxy for one run alone: what a killed run had sent can never be taken for the next one's. A COMMIT is a write: with it writes happen."""
    if system == "consul":
        with CountingProxy(site.consul.address) as consul:
            yield consul
    else:
        with PostgresProxy(site.postgres.host, site.postgres.port, counts=lambda text: is_write(text) or first_word(text) == "COMMIT") as postgres:
            yield postgres


def towards(proxy: CountingProxy | PostgresProxy) -> dict[str, str]:
    """The environment of a run that goes through the proxy."""
    return {"CONSUL_HTTP_ADDR": proxy.address} if isinstance(proxy, CountingProxy) else {"PGHOST": proxy.host, "PGPORT": str(proxy.port)}


def kill(site: Site, system: System, when: When, number: int, operation: str, manifest: Manifest, *options: str) -> bool:
    """Run it, and kill it right before or after its ``number``-th write; False when it has no such write, and has ended clean."""
    started: Future[Run] = Future()
    with proxied(site, system) as proxy:
        at = proxy.kill_before if when == "before" else proxy.kill_after
        at(number, lambda: started.result(60).pid)
        run = site.run(operation, manifest, *options, through=towards(proxy))
        started.set_result(run)
        assert run.code in (0, KILLED), run
        return run.code == KILLED


def finish(site: Site, operation: str, manifest: Manifest) -> None:
    """The next run ends clean."""
    run = site.run(operation, manifest)
    assert run.code == 0, run
    assert run.last_line.startswith(("Apply complete: ", "No changes. ")), run
