"""A write that fails: what depends on it is not attempted, all else is applied, the report says which is which, and running again converges."""

from __future__ import annotations

import re
from collections import Counter
from itertools import count

import pytest

from reconciler.model.errors import SystemFault
from reconciler.model.outcome import Status
from tests.faults.killing import finish, proxied, towards
from tests.servers.counting_proxy import Fate, Refusal

CHUNKS = 2
FATES = {
    "refused": ("before", Refusal(500, "rpc error making call: out of space")),
    "lost before it arrived": ("before", Fate.CUT),
    "answer lost": ("after", Fate.CUT),
}


@pytest.fixture
def expected(site):
    finish(site, "apply", site.manifest)
    managed = site.managed()
    finish(site, "destroy", site.manifest)
    return managed


@pytest.mark.parametrize("chunk", range(CHUNKS))
@pytest.mark.parametrize("fate", FATES)
def test_a_write_to_consul_that_fails_is_reported_and_the_next_run_converges(site, expected, fate, chunk):
    reach(site, expected, "consul", fate, count(chunk + 1, CHUNKS), at_least=20)


@pytest.mark.parametrize("fate", [f for f in FATES if f != "refused"])
def test_a_write_to_postgres_that_fails_is_reported_and_the_next_run_converges(site, expected, fate):
    reach(site, expected, "postgres", fate, count(1), at_least=3)


def reach(site, expected, system, fate, numbers, at_least):
    """Let one write after the other fail, of applying and of destroying the example."""
    number = 0
    for number in numbers:
        applying = fails(site, "apply", system, number, fate)
        finish(site, "apply", site.manifest)
        site.demand_clean(site.manifest, expected)
        destroying = fails(site, "destroy", system, number, fate)
        finish(site, "destroy", site.manifest)
        site.demand_nothing_left()
        if not (applying or destroying):
            break
    assert number > at_least


def fails(site, operation, system, number, fate):
    """Whether the run had so many writes, so that one of them failed."""
    moment, what = FATES[fate]
    destroy = operation == "destroy"
    with proxied(site, system) as proxy:
        setattr(proxy, moment, lambda write: what if write.number == number else None)
        try:
            planned, outcome = site.through(towards(proxy)).apply(site.manifest, destroy=destroy, parallelism=1)
        except SystemFault:
            # its session, or the lock
            assert system == "consul" and number <= 2
            return True
        if system == "consul":
            sent = Counter((w.path, w.body) for w in proxy.writes if not may_be_repeated(w))
            assert max(sent.values()) == 1
        reached = len(proxy.writes) >= number
    demand_honest(planned, outcome)
    again = site.plan(site.manifest, destroy=destroy)
    assert not {c.address for c in again.changes} & {r.change.address for r in outcome.results if r.status is Status.APPLIED}
    assert again.is_empty == outcome.complete
    return reached


def may_be_repeated(write):
    """Whether a write leaves the same when it is done twice: what deletes, what replaces an object by its ID, what gives up the lock if it is held."""
    repeatable = r"DELETE .*|PUT /v1/acl/(policy|token)/[^/]+|PUT /v1/session/(renew|destroy)/[^/]+"
    return re.fullmatch(repeatable, f"{write.method} {write.path}") is not None or write.verbs == ("kv check-session", "kv delete")


def demand_honest(planned, outcome):
    """Everything in the plan has a result; what was not attempted waited for what was not applied, and nothing that was applied did."""
    status = {r.change.address: r.status for r in outcome.results}
    assert status.keys() == {c.address for c in planned.changes}
    for result in outcome.results:
        blocked = any(status.get(a, Status.APPLIED) is not Status.APPLIED for a in result.change.waits_for)
        assert blocked == (result.status is Status.NOT_ATTEMPTED), (result.change.address, result.status, result.why)
        assert (result.status is Status.APPLIED) == (result.why == "")
    assert outcome.exit_code == (0 if set(status.values()) == {Status.APPLIED} else 3)
