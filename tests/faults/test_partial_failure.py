"""A write that fails: what depends on it is not attempted, all else is applied, the report says which is which, and running again converges."""

from __future__ import annotations

import re
from collections import Counter
from itertools import count
from typing import Any

import pytest

from reconciler.model.errors import SystemFault
from reconciler.model.outcome import Status
from tests.faults import live
from tests.faults.killing import finish, proxied, towards
from tests.servers.counting_proxy import CountingProxy, Fate, Refusal

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
        site.demand_clean(site.manifest, expected)
        destroying = fails(site, "destroy", system, number, fate)
        site.demand_nothing_left()
        if not (applying or destroying):
            break
    assert number > at_least


def fails(site, operation, system, number, fate):
    """Whether the run had so many writes, so that one of them failed. What it left undone the next run has done."""
    moment, what = FATES[fate]
    destroy = operation == "destroy"
    with proxied(site, system) as proxy:
        setattr(proxy, moment, lambda write: what if write.number == number else None)
        try:
            planned, outcome = site.through(towards(proxy)).apply(site.manifest, destroy=destroy, parallelism=1)
        except SystemFault:
            # its session, or the lock
            assert system == "consul" and number <= 2
            finish(site, operation, site.manifest)
            return True
        if isinstance(proxy, CountingProxy):
            sent = Counter((w.path, w.body) for w in proxy.writes if not may_be_repeated(w))
            assert max(sent.values()) == 1
        reached = len(proxy.writes) >= number
    demand_honest(planned, outcome)
    assert outcome.complete or (system, fate) != ("consul", "answer lost"), "nobody looked what became of it"
    again = site.plan(site.manifest, destroy=destroy)
    assert not {c.address for c in again.changes} & {r.change.address for r in outcome.results if r.status is Status.APPLIED}
    assert again.is_empty == outcome.complete
    if not outcome.complete:
        finish(site, operation, site.manifest)
    return reached


def may_be_repeated(write):
    """Whether a write leaves the same when it is done twice: it deletes, replaces an object by its ID, or gives up the lock if that is held."""
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


def reported(run, heading):
    """The addresses under one heading of the report of a run."""
    lines = run.output.partition(f"\n{heading}:\n")[2].partition("\n\n")[0].splitlines()
    return {words[1] for line in lines if line.startswith("    ") and (words := line.split())[0] in ("+", "~", "-", "-/+")}


def test_what_depends_on_a_policy_that_consul_refuses_is_not_attempted(site):
    with proxied(site, "consul") as proxy:
        proxy.before = lambda write: Refusal(500, "Invalid Policy: no") if write.path == "/v1/acl/policy" else None
        run = site.run("apply", site.manifest, through=towards(proxy))
        assert run.code == 3
    assert reported(run, "Failed") == {"acl-policy/carbonio-gateway-policy"}
    blocked = {"acl-token/carbonio-gateway", f"file/local{site.gateway}/token", "config-entry/terminating-gateway/carbonio-gateway"}
    assert reported(run, "Not attempted") == blocked
    assert len(reported(run, "Applied")) == 10
    assert "acl-policy/carbonio-gateway-policy (create): " in run.output and "Invalid Policy: no" in run.output
    assert "acl-token/carbonio-gateway (create): acl-policy/carbonio-gateway-policy was not applied" in run.output
    assert run.last_line == "Apply incomplete: 10 added, 0 changed, 0 replaced, 0 deleted, 0 adopted, 0 forgotten, 1 failed, 3 not attempted."
    assert "reconciler/owned/acl-policy/carbonio-gateway-policy" not in live.records(site), "what was not made is not claimed"
    finish(site, "apply", site.manifest)
    finish(site, "destroy", site.manifest)


def test_a_config_entry_that_consul_refuses_keeps_nothing_else_from_being_applied(site):
    intention = {"sources": {"web": {"permissions": [{"action": "allow", "http": {"path_prefix": "/"}}]}}}
    manifest: dict[str, Any] = {"name": "refused", "intentions": {"carbonio-tcp": intention}, "kv": {"carbonio-kept": "kept"}}
    run = site.run("apply", manifest)
    assert run.code == 3
    assert reported(run, "Failed") == {"config-entry/service-intentions/carbonio-tcp"}
    assert 'service "carbonio-tcp" has protocol "tcp"' in run.output
    assert reported(run, "Applied") == {"kv/carbonio-kept"}
    manifest["config_entries"] = [{"Kind": "service-defaults", "Name": "carbonio-tcp", "Protocol": "http"}]
    finish(site, "apply", manifest)
    assert site.plan(manifest).is_empty
    finish(site, "destroy", manifest)


def test_a_database_whose_owner_it_may_not_be_given_to_keeps_nothing_else_from_being_applied(site):
    site.sql("CREATE ROLE carbonio_limited LOGIN CREATEDB PASSWORD 'limited'")
    limited = {"PGUSER": "carbonio_limited", "PGPASSWORD": "limited"}
    manifest = {"name": "limited", "databases": {"carbonio_a": {"owner": "law"}, "carbonio_b": {"owner": "carbonio_limited"}}}
    run = site.run("apply", manifest, through=limited)
    assert run.code == 3
    assert reported(run, "Failed") == {"database/default/carbonio_a"}
    assert 'GRANT "law" TO "carbonio_limited"' in run.output
    assert reported(run, "Applied") == {"database/default/carbonio_b"}
    site.sql("GRANT law TO carbonio_limited")
    run = site.run("apply", manifest, through=limited)
    assert run.code == 0, str(run)
    assert site.plan(manifest).is_empty
    finish(site, "destroy", manifest)
    site.sql("DROP ROLE carbonio_limited")
