"""What was applied is read again: what somebody put back at once is reported as not converged, with the names of its fields."""

from __future__ import annotations

import threading
import uuid

import pytest

from reconciler.engine.operations import Options, apply
from reconciler.model.outcome import Status
from tests.faults.killing import finish, towards
from tests.laws.specimens import ANYWHERE
from tests.servers.counting_proxy import CountingProxy

EVERY = [pytest.param(s, id=s.__name__) for s in ANYWHERE]
every_kind = pytest.mark.parametrize("specimen", EVERY, indirect=True)


@pytest.fixture
def specimen(request, site):
    """A fresh specimen."""
    site.disposable = True
    one = request.param(f"back-{uuid.uuid4().hex[:8]}")
    yield one
    if one.kind == "file" and one.exists(site):
        one.remove(site)


def applied(site, specimen, then):
    """Apply the specimen with somebody at work right after it was recorded; the outcome."""

    def follow(progress):
        if progress.stage == "applied" and str(progress.change.address) == specimen.address:
            then(site)

    with site.connections(specimen.manifest) as connections:
        _, outcome = apply(connections, Options(), approve=lambda _: True, progress=follow, stop=threading.Event())
    assert outcome is not None
    assert all(r.status is Status.APPLIED for r in outcome.results)
    assert outcome.exit_code == 3
    return {str(n.change.address): [".".join(f.path) for f in n.fields] for n in outcome.not_converged}


@every_kind
def test_what_somebody_changes_at_once_is_reported_with_its_field(site, specimen):
    assert specimen.edited in applied(site, specimen, specimen.edit)[specimen.address]
    site.apply_all(specimen.manifest)
    assert site.plan(specimen.manifest).is_empty


@pytest.mark.parametrize("specimen", [s for s in EVERY if s.id != "external_node"], indirect=True)  # its service would fail for want of it
def test_what_somebody_deletes_at_once_is_reported(site, specimen):
    assert specimen.address in applied(site, specimen, specimen.remove)
    site.apply_all(specimen.manifest)
    assert site.plan(specimen.manifest).is_empty


@every_kind
def test_what_somebody_makes_anew_at_once_is_reported(site, specimen):
    def make_anew(mesh):
        specimen.remove(mesh)
        specimen.make_other(mesh)

    assert applied(site, specimen, make_anew)[specimen.address]


def test_the_report_says_what_did_not_converge_and_the_next_run_converges(site):
    def put_back(write):
        if b'"Key":"carbonio-files/db-name"' in write.body:
            site.http("PUT", "/v1/kv/carbonio-files/db-name", b"put back")

    with CountingProxy(site.consul.address, after=put_back) as proxy:
        run = site.run("apply", site.manifest, through=towards(proxy))
        assert run.code == 3, str(run)
    assert "Not converged: written, and different when read again:" in run.output
    _, _, text = run.output.partition("Not converged")
    assert "~ kv/carbonio-files/db-name\n        value: put back → carbonio-files-db" in text
    assert run.last_line.endswith("0 failed, 0 not attempted, 1 not converged.")
    finish(site, "apply", site.manifest)
    finish(site, "destroy", site.manifest)


def test_what_was_deleted_and_is_made_anew_at_once_is_somebody_elses(site):
    finish(site, "apply", site.manifest)

    def make_anew(write):
        if b'"Verb":"delete-cas","Key":"carbonio-files/db-name"' in write.body:
            site.http("PUT", "/v1/kv/carbonio-files/db-name", b"theirs")

    with CountingProxy(site.consul.address, after=make_anew) as proxy:
        run = site.run("destroy", site.manifest, through=towards(proxy))
        assert run.code == 0, str(run)
    assert site.kv("carbonio-files/db-name") == "theirs"
    site.http("DELETE", "/v1/kv/carbonio-files/db-name")
