"""A run that is killed at whatever write: the next one ends clean, with no second token, nothing left over, and nothing of anybody else's touched."""

from __future__ import annotations

import os
import signal
from itertools import count

import pytest

from tests.faults import live
from tests.faults.example import changed, rotated, written
from tests.faults.killing import KILLED, deliver_late, finish, kill, towards, until
from tests.servers.counting_proxy import CountingProxy

CHUNKS = 3
PARALLEL = "--parallelism=1"
"""So that writes come one at a time, and none of them hides behind another."""

WAITING = " DATABASE \"'' || replace(w.name,"
"""Part of the query that a run asks while it waits for another's statement, as a text of SQL."""

everywhere = pytest.mark.parametrize(
    ("system", "chunk", "chunks"),
    [*(pytest.param("consul", n, CHUNKS, id=f"consul{n}") for n in range(CHUNKS)), pytest.param("postgres", 0, 1, id="postgres")],
)
either = pytest.mark.parametrize("when", ["before", "after"])


@pytest.fixture
def expected(site):
    """What is live after the example was applied without anything in the way."""
    finish(site, "apply", site.manifest)
    managed = site.managed()
    assert len(managed["records"]) == 14 and all(found for found in managed.values())
    finish(site, "destroy", site.manifest)
    site.demand_nothing_left()
    return managed


@everywhere
@either
def test_an_apply_or_destroy_that_is_killed_is_finished_by_the_next(site, expected, system, when, chunk, chunks):
    for number in count(chunk + 1, chunks):
        killed = kill(site, system, when, number, "apply", site.manifest, PARALLEL)
        if killed:
            finish(site, "apply", site.manifest)
        site.demand_clean(site.manifest, expected)
        if kill(site, system, when, number, "destroy", site.manifest, PARALLEL):
            finish(site, "destroy", site.manifest)
        elif not killed:
            break
        site.demand_nothing_left()
        assert live.end_sessions(site) <= 2
    assert number > (20 if system == "consul" else 3)


@everywhere
def test_an_apply_that_is_killed_can_be_given_up_at_once(site, system, chunk, chunks):
    for number in count(chunk + 1, chunks):
        killed = kill(site, system, "after", number, "apply", site.manifest, PARALLEL)
        finish(site, "destroy", site.manifest)
        site.demand_nothing_left()
        live.end_sessions(site)
        if not killed:
            break
    assert number > (20 if system == "consul" else 3)


@everywhere
def test_a_write_of_a_killed_run_that_comes_late_does_no_harm(site, expected, system, chunk, chunks):
    for number in count(chunk + 1, chunks):
        applied = deliver_late(site, system, number, "apply", site.manifest, PARALLEL)
        site.demand_clean(site.manifest, expected)
        destroyed = deliver_late(site, system, number, "destroy", site.manifest, PARALLEL)
        site.demand_nothing_left()
        live.end_sessions(site)
        if not (applied or destroyed):
            break
    assert number > (20 if system == "consul" else 3)


@pytest.mark.parametrize("following", ["apply", "destroy"])
def test_a_database_that_postgres_is_still_making_for_a_killed_run_is_waited_for(site, expected, following):
    """Postgres goes on with what a client has sent that is dead."""
    with CountingProxy(site.consul.address) as proxy:
        with site.postgres.connect() as somebody, somebody.transaction():
            somebody.execute("LOCK TABLE pg_database IN EXCLUSIVE MODE")  # nobody can make a database now
            run = site.run("apply", site.manifest)
            until(lambda: site.sql("SELECT 1 FROM pg_stat_activity WHERE state = 'active' AND query LIKE 'CREATE DATABASE%'"))
            os.kill(run.pid, signal.SIGKILL)
            assert run.code == KILLED
            next_run = site.run(following, site.manifest, through=towards(proxy))
            waiting = f"SELECT 1 FROM pg_stat_activity WHERE query LIKE '%{WAITING}%' AND pid <> pg_backend_pid()"
            until(lambda: len(proxy.writes) > 2 or site.sql(waiting))
        assert next_run.code == 0, next_run
    if following == "apply":
        site.demand_clean(site.manifest, expected)
        finish(site, "destroy", site.manifest)
    site.demand_nothing_left()


@pytest.mark.parametrize("number", [5, 8, 11, 14])
def test_a_run_that_is_killed_while_it_writes_in_parallel_is_finished_by_the_next(site, expected, number):
    assert kill(site, "consul", "before", number, "apply", site.manifest)
    finish(site, "apply", site.manifest)
    site.demand_clean(site.manifest, expected)
    assert kill(site, "consul", "before", number, "destroy", site.manifest)
    finish(site, "destroy", site.manifest)
    site.demand_nothing_left()


@everywhere
@either
def test_an_update_of_every_kind_that_is_killed_is_finished_by_the_next(site, system, when, chunk, chunks):
    one, other = written(site.manifest), changed(site.manifest)
    wanted = []
    for manifest in (one, other):
        finish(site, "apply", manifest)
        wanted.append((manifest, site.managed()))
    for number in count(chunk + 1, chunks):
        killed = []
        for manifest, expected in wanted:
            killed.append(kill(site, system, when, number, "apply", manifest, PARALLEL))
            if killed[-1]:
                finish(site, "apply", manifest)
            site.demand_clean(manifest, expected)
        live.end_sessions(site)
        if not any(killed):
            break
    assert number > (15 if system == "consul" else 3)
    finish(site, "destroy", one)
    site.demand_nothing_left()


@pytest.mark.parametrize("chunk", range(CHUNKS))
@either
def test_a_rotation_that_is_killed_is_finished_by_the_next_and_leaves_one_token(site, when, chunk):
    number, manifest = 0, site.manifest
    finish(site, "apply", manifest)
    for rotation in count(1):
        number = chunk + 1 + (rotation - 1) * CHUNKS
        manifest = rotated(site.manifest, rotation)
        (old,) = tokens(site)
        if not kill(site, "consul", when, number, "apply", manifest, PARALLEL):
            break
        finish(site, "apply", manifest)
        (new,) = tokens(site)
        assert new != old
        assert (site.gateway / "token").read_text() == new + "\n"
        assert site.plan(manifest).is_empty
        assert site.drift(manifest).is_empty
        live.end_sessions(site)
    assert number > 8
    finish(site, "destroy", manifest)
    site.demand_nothing_left()


def tokens(site):
    return [t["SecretID"] for t in site.http("GET", "/v1/acl/tokens") if t["Description"] == "Token for carbonio-gateway"]
