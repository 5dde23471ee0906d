"""What a manifest owns can be had back from what is live and the records; what another owns is named."""

from typing import Any

from reconciler.model.change import Action
from tests.importing.test_round_trips import document

MINE: dict[str, Any] = {
    "name": "mesh",
    "mesh_credentials": {
        "policies": {"p": {"rules": {"service": {"web": "read"}}, "on_removal": "retain"}},
        "tokens": {"t": {"policies": ["p"], "rotation": 2, "protect": True}},
    },
    "external_services": {"mail": {"node": "outside", "address": "10.0.0.7", "port": 25, "on_removal": "retain"}},
    "intentions": {"web": {"sources": {"a": "allow"}, "protect": True}, "plain": {"a": "deny"}},
    "config_entries": [{"Kind": "service-defaults", "Name": "web", "Protocol": "http", "on_removal": "retain"}],
    "kv": {
        "web/title": {"value": "x", "on_removal": "retain"},
        "web/flagged": {"value": "x", "flags": 3, "protect": True},
        "web/db-password": {"generate": {"bytes": 16, "encoding": "hex"}},
        "web/plain": "y",
    },
    "db_roles": {
        "heir": {},
        "web": {"login": True, "password": {"kv": "web/db-password"}, "reassign_to": "heir", "member_of": ["heir"], "protect": True},
    },
    "databases": {
        "web": {
            "owner": "web",
            "template": "template1",
            "on_removal": "retain",
            "schemas": {"app": {"owner": "web", "protect": True}},
            "grants": {"heir": {"schema app": {"privileges": ["USAGE"], "on_removal": "retain"}, "database": ["CREATE"]}},
            "default_privileges": {
                "web: tables in schema app to heir": {
                    "owner": "web", "schema": "app", "on": "tables", "to": "heir", "privileges": ["SELECT"], "protect": True,
                },
            },
        },
    },
}  # fmt: skip


def test_a_lost_manifest_is_had_back_with_its_options(mesh, imported):
    mesh.apply_all(MINE)
    first = imported()
    found = document(first.text)
    assert first.left_out == ()
    assert first.variables == ()
    assert found["kv"] == MINE["kv"]
    assert found["intentions"] == MINE["intentions"]
    assert found["config_entries"] == MINE["config_entries"]
    assert found["external_services"] == MINE["external_services"]
    assert found["db_roles"] == MINE["db_roles"] | {"web": MINE["db_roles"]["web"] | {"member_of": {"heir": {}}}}
    assert found["databases"] == MINE["databases"]
    assert found["mesh_credentials"]["policies"] == MINE["mesh_credentials"]["policies"]
    assert found["mesh_credentials"]["tokens"] == MINE["mesh_credentials"]["tokens"]
    assert mesh.plan(found).is_empty


def test_what_another_manifest_owns_says_so_and_keeps_its_options(mesh, imported):
    theirs: dict[str, Any] = {"name": "theirs", "kv": {"a/x": {"value": "x", "protect": True}, "a/y": "y"}}
    mesh.apply_all(theirs)
    mesh.consul.put("/v1/kv/a/z", b"z")
    assert document(imported(kinds=("kv",)).text)["kv"] == {"a/z": "z"}
    first = imported(kinds=("kv",), owned_too=True)
    assert document(first.text)["kv"] == {**theirs["kv"], "a/z": "z"}
    assert "  # owned by theirs\n  a/x: {value: x, protect: true}\n  # owned by theirs\n  a/y: " in first.text
    assert "owned by theirs\n  a/z" not in first.text


def test_options_do_not_come_from_nowhere(mesh, imported):
    mesh.apply_all({"name": "mesh", "kv": {"a/x": "x"}})
    first = imported()
    assert document(first.text)["kv"] == {"a/x": "x"}
    assert {c.action for c in mesh.plan(document(first.text)).changes} <= {Action.RECORD}
