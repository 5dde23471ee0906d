"""Runs that are killed at one write after the other, until there is no further one to be killed at."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Literal

from tests.faults.conftest import Site
from tests.faults.example import Manifest
from tests.faults.runs import Run
from tests.servers.counting_proxy import CountingProxy, Write
from tests.servers.postgres_proxy import PostgresProxy, Statement, first_word, is_write

System = Literal["consul", "postgres"]
When = Literal["before", "after"]
"""Before: the system never sees the write. After: it has done it, and the run has not heard of it."""

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
    """Run it, and kill it at its ``number``-th write; False when it has no such write, and has ended clean."""
    started: Future[Run] = Future()
    with proxied(site, system) as proxy:
        at = proxy.kill_before if when == "before" else proxy.kill_after
        at(number, lambda: started.result(60).pid)
        run = site.run(operation, manifest, *options, through=towards(proxy))
        started.set_result(run)
        assert run.code in (0, KILLED), str(run)
        return run.code == KILLED


def deliver_late(site: Site, system: System, number: int, operation: str, manifest: Manifest, *options: str) -> bool:
    """Run it and kill it with its ``number``-th write on its way, which arrives when the next run has made its plan and is about to write.

    False when there is no such write, and the run has ended clean. The next run must end clean.
    """
    started: Future[Run] = Future()
    sent, arrives, arrived = (threading.Event() for _ in range(3))

    def kill_and_hold(write: Write | Statement) -> None:
        if write.number == number:
            os.kill(started.result(60).pid, signal.SIGKILL)
            sent.set()
            arrives.wait(60)

    def notice(write: Write | Statement) -> None:
        if write.number == number:
            arrived.set()

    def let_arrive(write: Write) -> None:
        if write.number == 3:
            arrives.set()
            if system == "consul":
                arrived.wait(60)
            else:
                until(lambda: not backends & site.backends())

    with proxied(site, system) as proxy:
        proxy.before, proxy.after = kill_and_hold, notice
        run = site.run(operation, manifest, *options, through=towards(proxy))
        started.set_result(run)
        assert run.code in (0, KILLED), str(run)
        if not sent.is_set():
            return False
        backends = site.backends()
        with CountingProxy(site.consul.address, before=let_arrive) as another:
            following = site.run(operation, manifest, through=towards(another))
            assert following.code == 0, following
            assert arrives.is_set()
    return True


def finish(site: Site, operation: str, manifest: Manifest) -> None:
    """The next run ends clean."""
    run = site.run(operation, manifest)
    assert run.code == 0, str(run)
    assert run.last_line.startswith(("Apply complete: ", "No changes. ")), str(run)


def until(condition: Callable[[], object]) -> None:
    """Wait until a condition holds. For what calls nobody back: it is asked for every 10 ms."""
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)
