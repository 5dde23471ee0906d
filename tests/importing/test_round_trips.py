"""What is imported is adopted as it is, and can be made anew from the manifest."""

import io
from copy import deepcopy

import pytest
from ruamel.yaml import YAML

from reconciler.engine import operations
from reconciler.engine.operations import Connections, Options
from reconciler.manifest.loading import load_text
from reconciler.manifest.tree import plain
from reconciler.model.change import Action
from tests.e2e.snapshot import snapshot
from tests.importing.made_by_others import cases, load_case, make, meaning
from tests.importing.meshes import HARD_NAMES, OTHER_SECRET, QUERY_TOKEN, SECRET, make_every_form, make_hard_names, put_key


def by_case(path):
    return pytest.param(lambda consul, postgres: make(load_case(path), consul, postgres), id=path.stem)


MESHES = [pytest.param(make_every_form, id="every form"), *map(by_case, cases())]


def document(text):
    return plain(load_text(text).document)


def with_secrets(mesh, imported):
    """Sets what the manifest refers to: a KV value as it is, a password as whoever made the role knows it."""
    for name, needed in imported.variables:
        address = needed.what.rpartition(" ")[2]
        of_others = {"db-role": OTHER_SECRET, "prepared-query": QUERY_TOKEN}
        mesh.environment[name] = mesh.kv(address.removeprefix("kv/")) if address.startswith("kv/") else of_others[address.partition("/")[0]]
    return document(imported.text)


def to_be_deleted(manifest):
    """Each entry with ``on_removal: delete``."""
    manifest = deepcopy(manifest)
    for section in ("terminating_gateways", "external_services", "prepared_queries", "db_roles", "databases"):
        for entry in manifest.get(section, {}).values():
            entry["on_removal"] = "delete"
    for database in manifest.get("databases", {}).values():
        for part in ("schemas", "extensions", "default_privileges"):
            for entry in database.get(part, {}).values():
                entry["on_removal"] = "delete"
        for grants in database.get("grants", {}).values():
            for text, grant in grants.items():
                grants[text] = {**(grant if isinstance(grant, dict) else {"privileges": grant}), "on_removal": "delete"}
    for entries in manifest.get("mesh_credentials", {}).values():
        for entry in entries.values():
            entry["on_removal"] = "delete"
    for entry in manifest.get("config_entries", ()):
        entry["on_removal"] = "delete"
    for section, key in (("kv", "value"), ("intentions", "sources")):
        for label, entry in manifest.get(section, {}).items():
            is_long = isinstance(entry, dict) and isinstance(entry.get(key), dict if key == "sources" else object) and key in entry
            manifest[section][label] = {**(entry if is_long else {key: entry}), "on_removal": "delete"}
    return manifest


@pytest.mark.parametrize("make_live", MESHES)
def test_what_is_imported_is_adopted_as_it_is_and_can_be_made_anew(mesh, imported, make_live):
    make_live(mesh.consul, mesh.postgres)
    before, meant = snapshot(mesh.consul, mesh.postgres), meaning(mesh.consul, mesh.postgres)
    first = imported()
    assert list(first.left_out) == []
    manifest = with_secrets(mesh, first)
    plan = mesh.plan(manifest)
    assert [str(r) for r in plan.refusals] == []
    assert {(c.action, c.fields) for c in plan.changes} == {(Action.ADOPT, ())}
    assert len(plan.changes) == first.taken
    mesh.apply_all(manifest)
    assert mesh.plan(manifest).is_empty
    # nothing was written, and nothing more is imported: what it owns it may say again
    after = snapshot(mesh.consul, mesh.postgres)
    assert {k: v for k, v in after.items() if k not in ("kv", "sessions")} == {k: v for k, v in before.items() if k not in ("kv", "sessions")}
    assert imported().text == first.text
    mesh.apply_all({"name": "mesh"}, allow_delete=("*",))
    assert meaning(mesh.consul, mesh.postgres) == meant
    doomed = to_be_deleted(manifest)
    mesh.apply_all(doomed)
    secrets = dict(mesh.environment)
    mesh.destroy(doomed)
    emptied = meaning(mesh.consul, mesh.postgres)
    assert all(not emptied[what] for what in ("config", "nodes", "kv"))
    mesh.environment |= secrets
    mesh.apply_all(manifest)
    assert meaning(mesh.consul, mesh.postgres) == meant


def test_an_entry_that_is_taken_out_leaves_what_it_adopted(mesh, imported):
    make_every_form(mesh.consul, mesh.postgres)
    manifest = with_secrets(mesh, imported())
    mesh.apply_all(manifest)
    del manifest["kv"]["shop/on"], manifest["mesh_credentials"]["tokens"]["several"], manifest["databases"]["old"]
    plan = mesh.apply_all(manifest)
    assert {c.action for c in plan.changes} == {Action.FORGET}
    assert mesh.kv("shop/on") == "0"
    assert mesh.token("several") is not None
    assert mesh.sql("SELECT 1 FROM pg_database WHERE datname = 'old'")


def test_names_and_values_that_are_hard_to_write_come_back_as_they_are(mesh, imported):
    make_hard_names(mesh.consul, mesh.postgres)
    mesh.consul.put("/v1/kv/binary", b"\xff\xfe\0")
    put_key(mesh.consul, "a/../b", "a key that no HTTP client can name")
    first = imported()
    assert dict(first.left_out).keys() == {"kv/binary", "kv/a/../b"}
    assert dict(first.left_out)["kv/binary"] == "its value is not text"
    with_secrets(mesh, first)
    with Connections(load_text(first.text), mesh.environment) as connections:
        plan = operations.plan(connections, Options())
    assert [str(r) for r in plan.refusals] == []
    assert {(c.action, c.fields) for c in plan.changes} == {(Action.ADOPT, ())}
    assert len(plan.changes) == first.taken
    assert sum(c.address.kind == "db-role" for c in plan.changes) == len(HARD_NAMES)


def test_the_text_is_the_same_whatever_was_made_first(mesh, imported):
    make_every_form(mesh.consul, mesh.postgres)
    text = imported().text
    for key, value in sorted(mesh.consul.keys().items(), reverse=True):
        mesh.consul.delete(f"/v1/kv/{key}")
        mesh.consul.put(f"/v1/kv/{key}?flags={7 if key in ('plain', 'shop/api-token') else 0}", value)
    assert imported().text == text


def test_any_reader_of_yaml_reads_the_same(mesh, imported):
    make_hard_names(mesh.consul, mesh.postgres)
    text = imported().text
    assert YAML(typ="safe", pure=True).load(io.StringIO(text)) == document(text)
    assert SECRET not in text
