"""Somebody else writes between our reading and our writing: reported, never overwritten, wherever the API can tell. The kinds are those of the laws."""

from __future__ import annotations

import uuid
from copy import deepcopy
from pathlib import Path

import pytest

from reconciler.model.outcome import Status
from tests.faults.killing import towards
from tests.laws.specimens import SPECIMENS
from tests.servers.counting_proxy import CountingProxy

TELL_OF_CHANGES = ("acl-policy", "acl-token", "config-entry", "external-node", "external-service", "kv", "file")
"""Kinds that refuse to write what was changed: by a condition of Consul's, or (ACL, files) by looking once more just before."""
DELETE_IN_ANY_CASE = ("acl-policy", "acl-token")
"""Consul deletes ACL objects by ID, whatever is in them."""
UNTIL_THE_LAST_MOMENT = ("config-entry", "external-node", "external-service", "kv")
"""Kinds whose writes Consul itself makes conditional."""


def of(kinds):
    return [pytest.param(s, id=s.__name__) for s in SPECIMENS if s("x").kind.startswith(kinds)]


@pytest.fixture
def specimen(request, site):
    """A fresh specimen, with an entry beside it that makes sure of a transaction between planning and every other write."""
    site.disposable = True
    one = request.param(f"race-{uuid.uuid4().hex[:8]}")
    yield one
    if one.kind == "file" and one.exists(site):
        one.remove(site)


def with_other(manifest, value):
    """The manifest with an entry beside: with another value it is written first of all."""
    changed = deepcopy(manifest)
    changed.setdefault("kv", {})[f"{manifest['name']}-other"] = {"value": value}
    return changed


def carries(specimen, write):
    """Whether it is this write that changes the specimen."""
    match specimen.kind.partition("/")[0]:
        case "config-entry":
            return write.path.startswith("/v1/config")
        case "kv":
            return f'"Key":"{specimen.entry[1]}"'.encode() in write.body
        case kind:
            return any(verb.startswith(f"{kind.removeprefix('external-')} ") for verb in write.verbs)


def after_planning(specimen, write):
    return write.number == 3


class Meanwhile:
    """Does something at the first write for which ``when`` is true, and remembers what that has made or changed."""

    def __init__(self, site, specimen, when, act):
        self.site, self.specimen, self.when, self.act = site, specimen, when, act
        self.theirs = None

    def __call__(self, write):
        if self.theirs is None and self.when(self.specimen, write):
            before = self.site.everything()
            self.act(self.site)
            self.theirs = difference(before, self.site.everything()) | {"file": self.file()}

    def file(self):
        return Path(self.specimen.address.removeprefix("file/local")).read_text() if self.specimen.kind == "file" else ""

    def demand_untouched(self):
        """It was done, and is as it was left."""
        assert self.theirs is not None
        now = self.site.everything() | {"file": self.file()}
        for section, made in self.theirs.items():
            if isinstance(made, dict):
                assert made == {key: now[section].get(key) for key in made}
            else:
                assert made == "" or all(row in now[section] for row in made)


def difference(before, after):
    return {
        section: {k: v for k, v in now.items() if before[section].get(k) != v} if isinstance(now, dict) else [row for row in now if row not in before[section]]
        for section, now in after.items()
    }


def apply(site, manifest, meanwhile, **options):
    """Apply with something happening meanwhile; what became of each address."""
    with CountingProxy(site.consul.address, before=meanwhile) as proxy:
        planned, outcome = site.through(towards(proxy)).apply(manifest, parallelism=1, **options)
    assert not planned.refusals, planned.refusals
    assert outcome.exit_code == 3
    meanwhile.demand_untouched()
    return {str(r.change.address): r for r in outcome.results}


@pytest.mark.parametrize("specimen", of(""), indirect=True)
def test_what_somebody_makes_meanwhile_is_neither_overwritten_nor_taken(site, specimen):
    results = apply(site, with_other(specimen.manifest, "1"), Meanwhile(site, specimen, after_planning, specimen.make_other))
    assert results[specimen.address].status is not Status.APPLIED
    again = site.plan(with_other(specimen.manifest, "1"))
    assert ("conflict", specimen.address) in [(r.rule, str(r.address)) for r in again.refusals]


@pytest.mark.parametrize("specimen", of(UNTIL_THE_LAST_MOMENT), indirect=True)
def test_what_somebody_makes_at_the_last_moment_is_neither_overwritten_nor_taken(site, specimen):
    results = apply(site, specimen.manifest, Meanwhile(site, specimen, carries, specimen.make_other))
    assert results[specimen.address].status is not Status.APPLIED
    again = site.plan(specimen.manifest)
    assert ("conflict", specimen.address) in [(r.rule, str(r.address)) for r in again.refusals]


@pytest.mark.parametrize("specimen", of(TELL_OF_CHANGES), indirect=True)
def test_what_somebody_changes_meanwhile_is_not_overwritten(site, specimen):
    site.apply_all(with_other(specimen.manifest, "1"))
    wanted = with_other(specimen.with_entry(next(iter(specimen.variants.values()))), "2")
    results = apply(site, wanted, Meanwhile(site, specimen, after_planning, specimen.edit))
    demand_lost(results[specimen.address])


@pytest.mark.parametrize("specimen", of(UNTIL_THE_LAST_MOMENT), indirect=True)
def test_what_somebody_changes_at_the_last_moment_is_not_overwritten(site, specimen):
    site.apply_all(specimen.manifest)
    wanted = specimen.with_entry(next(iter(specimen.variants.values())))
    demand_lost(apply(site, wanted, Meanwhile(site, specimen, carries, specimen.edit))[specimen.address])


@pytest.mark.parametrize("specimen", of(tuple(k for k in TELL_OF_CHANGES if k not in DELETE_IN_ANY_CASE)), indirect=True)
def test_what_somebody_changes_meanwhile_is_not_deleted(site, specimen):
    site.apply_all(with_other(specimen.manifest, "1"))
    wanted = with_other(specimen.removed, "2")
    results = apply(site, wanted, Meanwhile(site, specimen, after_planning, specimen.edit), allow_delete=("*",))
    demand_lost(results[specimen.address])


@pytest.mark.parametrize("specimen", of(UNTIL_THE_LAST_MOMENT), indirect=True)
def test_what_somebody_changes_at_the_last_moment_is_not_deleted(site, specimen):
    site.apply_all(specimen.manifest)
    results = apply(site, specimen.removed, Meanwhile(site, specimen, carries, specimen.edit), allow_delete=("*",))
    demand_lost(results[specimen.address])


def demand_lost(result):
    assert result.status is Status.FAILED
    assert "somebody else" in result.why and "run again" in result.why
    assert "index is stale" not in result.why or "somebody else changed it meanwhile" in result.why
