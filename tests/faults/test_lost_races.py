"""Somebody else writes between our reading and our writing: reported, never overwritten, wherever the API can tell. The kinds are the laws'."""

from __future__ import annotations

import uuid
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from reconciler.model.outcome import Status
from tests.faults.killing import towards
from tests.laws.specimens import ANYWHERE
from tests.servers.counting_proxy import CountingProxy

ACL = ("acl-policy", "acl-role", "acl-token")
TELL_OF_CHANGES = (*ACL, "prepared-query", "config-entry", "external-node", "external-service", "kv", "file")
"""Kinds that refuse to write what was changed: by a condition of Consul's, or (ACL, queries, files) by looking once more just before."""
DELETE_IN_ANY_CASE = (*ACL, "prepared-query")
"""Consul deletes ACL objects and prepared queries by ID, whatever is in them."""
UNTIL_THE_LAST_MOMENT = ("config-entry", "external-node", "external-service", "kv")
"""Kinds whose writes Consul itself makes conditional."""


def of(kinds):
    return [pytest.param(s, id=s.__name__) for s in ANYWHERE if s("x").kind.startswith(kinds)]


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
            before = self.everything()
            self.act(self.site)
            self.theirs = {what: how for what, how in self.everything().items() if before.get(what) != how}

    def demand_untouched(self):
        """It was done, and is as it was left."""
        assert self.theirs
        now = self.everything()
        assert self.theirs == {what: now.get(what) for what in self.theirs}

    def everything(self):
        """All that is live, each thing by itself: a node without what lies on it."""
        found = self.site.everything()
        nodes = found.pop("nodes")
        flat: dict[Any, Any] = {(section, row[0]): row for section, rows in found.items() if isinstance(rows, list) for row in rows}
        flat |= {(section, name): how for section, things in found.items() if isinstance(things, dict) for name, how in things.items()}
        flat |= {("node", name): (address, meta) for name, (address, meta, _) in nodes.items()}
        flat |= {("service", name, service): index for name, (_, _, services) in nodes.items() for service, index in services}
        if self.specimen.kind == "file" and self.specimen.exists(self.site):
            flat["file"] = Path(self.specimen.address.removeprefix("file/local")).read_text()
        return flat


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


ANEW = of((*ACL, "prepared-query", "config-entry", "external-service", "kv", "db-role", "database"))
"""Kinds whose incarnations can be told apart, in a manifest in which nothing else would have to be made anew with them."""


def made_anew(specimen):
    def act(site):
        specimen.remove(site)
        specimen.make_other(site)

    return act


@pytest.mark.parametrize("specimen", ANEW, indirect=True)
def test_what_somebody_makes_anew_meanwhile_is_not_changed(site, specimen):
    site.apply_all(with_other(specimen.manifest, "1"))
    wanted = with_other(specimen.with_entry(next(iter(specimen.variants.values()))), "2")
    results = apply(site, wanted, Meanwhile(site, specimen, after_planning, made_anew(specimen)))
    assert results[specimen.address].status is Status.FAILED
    assert "run again" in results[specimen.address].why


@pytest.mark.parametrize("specimen", ANEW, indirect=True)
def test_what_somebody_makes_anew_meanwhile_is_not_deleted(site, specimen):
    site.apply_all(with_other(specimen.manifest, "1"))
    meanwhile = Meanwhile(site, specimen, after_planning, made_anew(specimen))
    with CountingProxy(site.consul.address, before=meanwhile) as proxy:
        site.through(towards(proxy)).apply(with_other(specimen.removed, "2"), parallelism=1, allow_delete=("*",))
    meanwhile.demand_untouched()


@pytest.mark.parametrize("specimen", of("database"), indirect=True)
def test_a_database_that_somebody_fills_meanwhile_is_not_dropped(site, specimen):
    site.apply_all(with_other(specimen.manifest, "1"))
    name = specimen.manifest["name"]

    def fill(mesh):
        mesh.sql("CREATE TABLE t (x int)", name)
        specimen.edit(mesh)  # a table alone is not seen in what the test compares

    meanwhile = Meanwhile(site, specimen, after_planning, fill)
    results = apply(site, with_other(specimen.removed, "2"), meanwhile, allow_delete=("*",))
    assert results[specimen.address].status is Status.FAILED
    assert "not empty any more: it has 1 table" in results[specimen.address].why


@pytest.mark.parametrize("specimen", of("external-node"), indirect=True)
def test_a_node_that_somebody_uses_meanwhile_is_not_deleted_and_forgotten_by_the_next_run(site, specimen):
    site.apply_all(with_other(specimen.manifest, "1"))
    node = specimen.address.partition("/")[2]
    use = {"Node": node, "SkipNodeUpdate": True, "Service": {"Service": "theirs", "Port": 1}}
    meanwhile = Meanwhile(site, specimen, after_planning, lambda m: m.http("PUT", "/v1/catalog/register", use))
    results = apply(site, with_other(specimen.removed, "2"), meanwhile, allow_delete=("*",))
    assert results[specimen.address].status is Status.FAILED
    assert "not empty (service 'theirs'): left where it is; run again to forget it" in results[specimen.address].why
    planned = site.apply_all(with_other(specimen.removed, "2"))
    assert [(str(c.address), str(c.action)) for c in planned.changes] == [(specimen.address, "forget")]
    meanwhile.demand_untouched()


@pytest.mark.parametrize("specimen", of(ACL), indirect=True)
def test_consul_cannot_tell_when_somebody_changes_an_acl_object_in_the_last_moment(site, specimen):
    """There is no conditional write for them; the moment between our last look and our write cannot be closed (facts/consul.md §2)."""
    site.apply_all(specimen.manifest)
    wanted = specimen.with_entry(next(iter(specimen.variants.values())))
    meanwhile = Meanwhile(site, specimen, lambda s, w: w.path.startswith(f"/v1/acl/{s.kind.removeprefix('acl-')}/"), specimen.edit)
    with CountingProxy(site.consul.address, before=meanwhile) as proxy:
        site.through(towards(proxy)).apply_all(wanted)
    assert meanwhile.theirs
    assert site.plan(wanted).is_empty


@pytest.mark.parametrize("specimen", of(("db-role", "database")), indirect=True)
def test_an_attribute_that_somebody_changes_in_postgres_meanwhile_is_kept_and_reported(site, specimen):
    site.apply_all(with_other(specimen.manifest, "1"))
    entry = specimen.variants["createdb"] if specimen.kind == "db-role" else specimen.variants["owner"]
    meanwhile = Meanwhile(site, specimen, after_planning, specimen.edit)
    with CountingProxy(site.consul.address, before=meanwhile) as proxy:
        _, outcome = site.through(towards(proxy)).apply(with_other(specimen.with_entry(entry), "2"))
    assert [(str(n.change.address), [f.path for f in n.fields]) for n in outcome.not_converged] == [(specimen.address, [(specimen.edited,)])]


@pytest.mark.parametrize("specimen", of(""), indirect=True)
def test_a_claim_of_another_manifest_in_the_meantime_is_a_lost_race(site, specimen):
    """Two manifests that want one resource: whoever writes the record first has it."""
    other = {**specimen.manifest, "name": f"{specimen.manifest['name']}-b"}
    before = site.everything()
    meanwhile = Meanwhile(site, specimen, after_planning, lambda m: m.apply_all(other))
    results = apply(site, with_other(specimen.manifest, "1"), meanwhile)
    assert results[specimen.address].status is not Status.APPLIED
    again = site.plan(with_other(specimen.manifest, "1"))
    refused = {str(r.address): r.what for r in again.refusals}
    assert refused[specimen.address].startswith("belongs to the manifest ") or specimen.kind == "acl-token"
    site.destroy(other)
    site.destroy(with_other(specimen.manifest, "1"))
    assert site.everything() == before
