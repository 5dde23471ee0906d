"""The laws of every kind, written once, on real servers: what a new kind must pass, unchanged."""

from __future__ import annotations

import uuid

import pytest

from reconciler.engine.operations import Connections
from reconciler.importing.operations import import_live, importable_kinds
from reconciler.importing.request import Request
from reconciler.manifest.loading import load_text
from reconciler.manifest.tree import plain
from reconciler.model.change import Action, Reason

from .specimens import SPECIMENS


def change_of(plan, specimen):
    return next((c for c in plan.changes if str(c.address) == specimen.address), None)


def field_names(change):
    return [".".join(f.path) for f in change.fields]


@pytest.fixture(params=SPECIMENS, ids=lambda s: s.__name__)
def specimen(request, mesh):
    """A fresh specimen; whatever the test leaves is removed, and then the mesh must be as it was before."""
    one = request.param(f"law-{uuid.uuid4().hex[:8]}")
    if one.on_machine:
        request.getfixturevalue("machine")
    before = mesh.everything()
    yield one
    if one.exists(mesh):
        one.remove(mesh)
    mesh.destroy(one.manifest)
    for rest in one.leftovers:
        rest(mesh)
    after = mesh.everything()
    assert {what: how for what, how in after.items() if how != before[what]} == {}


def only_those(applies):
    """The law holds for the specimens that ``applies`` accepts."""
    makers = [maker for maker in SPECIMENS if applies(maker("sample"))]
    return pytest.mark.parametrize("specimen", makers, ids=lambda maker: maker.__name__, indirect=True)


def test_what_was_created_is_as_planned(mesh, specimen):
    created = mesh.apply_all(specimen.manifest)
    assert change_of(created, specimen).action is Action.CREATE
    assert specimen.exists(mesh)
    assert mesh.plan(specimen.manifest).is_empty
    assert mesh.drift(specimen.manifest).is_empty


@only_those(lambda one: one.variants)  # of some, another name is another resource, and the name is all that an entry says
def test_each_field_that_changes_is_exactly_that_update(mesh, specimen):
    mesh.apply_all(specimen.manifest)
    for name, entry in specimen.variants.items():
        changed = specimen.with_entry(entry)
        plan = mesh.apply_all(changed)
        assert [str(c.address) for c in plan.changes] == [specimen.address]
        change = change_of(plan, specimen)
        assert (change.action, field_names(change), change.reasons) == (Action.UPDATE, [name], (Reason.MANIFEST,))
        assert mesh.plan(changed).is_empty
        # and back: what is not set any more is unset
        mesh.apply_all(specimen.manifest)
        assert mesh.plan(specimen.manifest).is_empty


def test_what_somebody_deleted_is_created_again(mesh, specimen):
    mesh.apply_all(specimen.manifest)
    specimen.remove(mesh)
    drifted = change_of(mesh.drift(specimen.manifest), specimen)
    assert Reason.DRIFTED in drifted.reasons
    change = change_of(mesh.apply_all(specimen.manifest), specimen)
    assert (change.action, change.reasons) == (Action.CREATE, (Reason.DRIFTED,))
    assert specimen.exists(mesh)
    assert mesh.plan(specimen.manifest).is_empty


@only_those(lambda one: one.edit is not None)
def test_what_somebody_edited_is_drift_that_names_the_field_and_is_put_right(mesh, specimen):
    mesh.apply_all(specimen.manifest)
    for field, edit in ((specimen.edited, specimen.edit), *specimen.damages):
        edit(mesh)
        drifted = change_of(mesh.drift(specimen.manifest), specimen)
        assert field in field_names(drifted)
        change = change_of(mesh.apply_all(specimen.manifest), specimen)
        assert field in field_names(change)
        assert change.reasons == (Reason.DRIFTED,)
    assert mesh.drift(specimen.manifest).is_empty
    assert mesh.plan(specimen.manifest).is_empty


@only_those(lambda one: one.edit_unset is not None)  # of some, the specimen sets every field
def test_an_edited_field_that_the_manifest_does_not_set_is_left_alone(mesh, specimen):
    mesh.apply_all(specimen.manifest)
    specimen.edit_unset(mesh)
    edited = specimen.read_unset(mesh)
    assert mesh.plan(specimen.manifest).is_empty
    # an update of another field leaves it alone too
    mesh.apply_all(specimen.with_entry(next(iter(specimen.variants.values()))))
    assert specimen.read_unset(mesh) == edited


def test_a_removed_entry_is_deleted_and_nothing_else(mesh, specimen):
    mesh.apply_all(specimen.manifest)
    plan = mesh.apply_all(specimen.removed, allow_delete=("*",))
    assert change_of(plan, specimen).action is Action.DELETE
    assert not specimen.exists(mesh)
    assert mesh.plan(specimen.removed).is_empty


def test_what_exists_and_is_equal_is_adopted_and_retained(mesh, specimen):
    specimen.make(mesh)
    before = mesh.everything()
    change = change_of(mesh.apply_all(specimen.manifest), specimen)
    assert (change.action, change.fields) == (Action.ADOPT, ())
    assert mesh.plan(specimen.manifest).is_empty
    plan = mesh.apply_all(specimen.removed, allow_delete=("*",))
    assert change_of(plan, specimen).action is Action.FORGET
    assert specimen.exists(mesh)
    after = mesh.everything()
    assert all(before[k] == after[k] for k in ("policies", "tokens") if specimen.kind != "acl-token" or k == "tokens")


@only_those(lambda one: one.make_other is not None)
def test_what_exists_and_differs_is_a_conflict_until_it_is_adopted(mesh, specimen):
    specimen.make_other(mesh)
    before = mesh.everything()
    plan, outcome = mesh.apply(specimen.manifest)
    assert outcome is None
    conflict = next(r for r in plan.refusals if str(r.address) == specimen.address)
    assert conflict.rule == "conflict" and "--adopt" in conflict.what_to_do
    assert mesh.everything() == before
    change = change_of(mesh.apply_all(specimen.manifest, adopt=("*",)), specimen)
    assert change.action is Action.ADOPT and change.fields
    assert mesh.plan(specimen.manifest).is_empty


@only_those(lambda one: one.has_incarnation)  # nothing tells one file from another of the same name
def test_what_a_stranger_made_anew_is_not_deleted(mesh, specimen):
    mesh.apply_all(specimen.manifest)
    specimen.remove(mesh)
    specimen.make(mesh)
    plan = mesh.apply_all(specimen.removed, allow_delete=("*",))
    assert change_of(plan, specimen).action is Action.FORGET
    assert specimen.exists(mesh)


def test_what_is_retained_stays_when_its_entry_goes(mesh, specimen):
    mesh.apply_all(specimen.manifest)
    plan = mesh.apply_all(specimen.with_options(on_removal="retain"))
    assert change_of(plan, specimen).action is Action.RECORD
    assert mesh.plan(specimen.with_options(on_removal="retain")).is_empty
    plan = mesh.apply_all(specimen.removed, allow_delete=("*",))
    assert change_of(plan, specimen).action is Action.FORGET
    assert specimen.exists(mesh)


def test_what_is_protected_is_not_deleted(mesh, specimen):
    mesh.apply_all(specimen.with_options(protect=True))
    plan, outcome = mesh.apply(specimen.removed, allow_delete=("*",))
    assert outcome is None
    assert ("protected", specimen.address) in [(r.rule, str(r.address)) for r in plan.refusals]
    assert specimen.exists(mesh)
    mesh.apply_all(specimen.manifest)


@only_those(lambda one: one.is_importable and one.kind.partition("/")[0] in importable_kinds())
def test_what_is_imported_is_adopted_as_it_is(mesh, specimen):
    specimen.make(mesh)
    name = specimen.manifest["name"]
    with Connections(load_text(f"version: 1\nname: {name}\n"), mesh.environment) as connections:
        # a file cannot be searched for
        named = (f"/{specimen.address.split('/', 2)[2]}",) if specimen.kind == "file" else ()
        imported = import_live(connections, Request(name, kinds=(specimen.kind.partition("/")[0],), token_files=named))
    # secrets of others are not ours to say
    wanted = without_secrets(plain(load_text(imported.text).document))
    plan = mesh.plan(wanted)
    assert not plan.refusals
    assert {(c.action, c.fields) for c in plan.changes} == {(Action.ADOPT, ())}
    # a token's label is nobody's but a manifest's, and names have the case that whoever made it gave them
    assert specimen.kind == "acl-token" or specimen.address.lower() in {str(c.address).lower() for c in plan.changes}


def without_secrets(value):
    """A manifest without the fields whose values would have to be known."""
    if isinstance(value, dict):
        return {k: without_secrets(v) for k, v in value.items() if not (isinstance(v, dict) and v.keys() == {"env"})}
    return [without_secrets(v) for v in value] if isinstance(value, list) else value
