"""SIGINT and SIGTERM: what is in flight is finished, nothing new is started, the lock is released, and the report says how far it came."""

from __future__ import annotations

import os
import signal
from concurrent.futures import Future
from itertools import count

import pytest

from tests.faults import live
from tests.faults.inside import WithoutLockDelay
from tests.faults.killing import finish, towards, until
from tests.faults.runs import Run
from tests.servers.counting_proxy import CountingProxy

INTERRUPTED = 130


@pytest.fixture
def expected(site):
    finish(site, "apply", site.manifest)
    managed = site.managed()
    finish(site, "destroy", site.manifest)
    return managed


def interrupted(site, number, what, operation, manifest):
    """The run, interrupted right before its ``number``-th write, and what it wrote; None when it has no such write, and has ended clean."""
    started: Future[Run] = Future()

    def send(write):
        if write.number == number:
            os.kill(started.result(60).pid, what)

    with CountingProxy(site.consul.address, before=send) as proxy:
        run = site.run(operation, manifest, "--parallelism=1", through=towards(proxy), first=WithoutLockDelay())
        started.set_result(run)
        assert run.code in (0, INTERRUPTED), str(run)
        # a request to lock that is in flight may come to be after everything was given up, but then holds nothing
        assert number == 2 or not live.locks(site)
        # only a session whose creation was in flight is left to its TTL
        assert live.end_sessions(site) == (number == 1)
        return (run, proxy.writes) if len(proxy.writes) >= number else None


def releases(write):
    """Whether this write gives up the lock or its session: by then all is done and said."""
    return write.verbs == ("kv check-session", "kv delete") or write.path.startswith("/v1/session/destroy/")


@pytest.mark.parametrize("what", [signal.SIGINT, signal.SIGTERM], ids=lambda s: s.name)
def test_a_run_that_is_interrupted_finishes_what_is_in_flight_and_the_next_one_the_rest(site, expected, what):
    first = 1 if what is signal.SIGINT else 2
    for number in count(first, 2):
        runs = []
        for operation in ("apply", "destroy"):
            runs.append(interrupted(site, number, what, operation, site.manifest))
            if runs[-1]:
                demand_an_early_end(number, *runs[-1])
                finish(site, operation, site.manifest)
            if operation == "apply":
                site.demand_clean(site.manifest, expected)
            else:
                site.demand_nothing_left()
        if not any(runs):
            break
    assert number > 18


def demand_an_early_end(number, run, writes):
    if releases(writes[number - 1]):
        return
    assert run.code == INTERRUPTED, str(run)
    later = [w for w in writes[number:] if not releases(w)]
    if number <= 2:
        # before anything was written: it simply ends
        assert not later
        assert run.errors.strip() == "reconciler: interrupted"
        assert run.output == ""
        return
    assert "interrupted: finishing what is in flight, nothing new is started" in run.errors
    assert "Stopped early: interrupted" in run.output
    assert run.last_line.startswith("Apply incomplete: ")
    # a call of each system may be in flight, and each is recorded
    assert len([w for w in later if w.path != "/v1/txn"]) <= 1, writes


def test_a_second_signal_changes_nothing(site):
    started: Future[Run] = Future()

    def send(write):
        if write.number == 5:
            os.kill(started.result(60).pid, signal.SIGINT)
        if write.number == 6:
            os.kill(started.result(60).pid, signal.SIGTERM)

    with CountingProxy(site.consul.address, before=send) as proxy:
        run = site.run("apply", site.manifest, through=towards(proxy))
        started.set_result(run)
        assert run.code == INTERRUPTED
    assert "still finishing what is in flight; then the lock is released" in run.errors
    assert not live.locks(site)
    finish(site, "apply", site.manifest)
    finish(site, "destroy", site.manifest)


def test_a_run_that_is_interrupted_while_it_waits_for_the_lock_ends_at_once(site):
    session = site.http("PUT", "/v1/session/create", {"Name": "held", "TTL": "30s", "LockDelay": "0s", "Checks": []})["ID"]
    site.http("PUT", f"/v1/kv/reconciler/lock/carbonio-files-db?acquire={session}", b"?")
    with CountingProxy(site.consul.address) as proxy:
        run = site.run("apply", site.manifest, "--lock-timeout=5m", through=towards(proxy))
        asked = ("PUT", "/v1/txn")  # who holds the lock, again and again
        until(lambda: proxy.requests[asked] > 1)
        os.kill(run.pid, signal.SIGINT)
        assert run.code == INTERRUPTED, str(run)
    assert [s["ID"] for s in site.http("GET", "/v1/session/list")] == [session]
    site.http("DELETE", "/v1/kv/reconciler/lock/carbonio-files-db")
