"""A token that is replaced: the new one first, its file moved over, the old one deleted last."""

from __future__ import annotations

import pytest

from reconciler.model.change import Action
from reconciler.model.outcome import Status

# Postgres has nothing to do with it
pytestmark = pytest.mark.parametrize("populated_mesh", [18], ids=["postgres18"], indirect=True, scope="session")


@pytest.fixture
def path(tmp_path):
    return tmp_path / "token"


def manifest(path, **token):
    return {
        "name": "rotation",
        "mesh_credentials": {
            "policies": {"rotation": {"rules": {"key_prefix": {"r/": "read"}}}},
            "tokens": {"rotation": {"description": "rotation", "policies": ["rotation"], "file": {"path": str(path)}, **token}},
        },
    }  # fmt: skip


@pytest.fixture
def applied(mesh, path):
    """A mesh in which the token is at its first rotation."""
    mesh.apply_all(manifest(path))
    yield mesh
    path.parent.chmod(0o700)
    mesh.destroy(manifest(path))
    assert mesh.token("rotation") is None
    assert not path.exists()


def tokens(mesh):
    return [t for t in mesh.http("GET", "/v1/acl/tokens") if t["Description"] == "rotation"]


def test_a_rotation_makes_a_new_token_moves_its_file_and_deletes_the_old_one(applied, path):
    (old,) = tokens(applied)
    plan = applied.apply_all(manifest(path, rotation=1))
    assert {str(c.address): c.action for c in plan.changes} == {"acl-token/rotation": Action.REPLACE, f"file/local{path}": Action.UPDATE}
    (new,) = tokens(applied)
    assert new["AccessorID"] != old["AccessorID"]
    assert path.read_text() == new["SecretID"] + "\n" != old["SecretID"] + "\n"
    assert applied.plan(manifest(path, rotation=1)).is_empty


def test_rotating_back_works_too(applied, path):
    applied.apply_all(manifest(path, rotation=1))
    applied.apply_all(manifest(path, rotation=0))
    (token,) = tokens(applied)
    assert path.read_text() == token["SecretID"] + "\n"
    assert applied.plan(manifest(path, rotation=0)).is_empty


@pytest.mark.parametrize("other", [{"local": True}, {"expires_after": "1h"}, {"local": True, "expires_after": "2h"}], ids=str)
def test_what_consul_cannot_change_in_a_token_replaces_it(applied, path, other):
    (old,) = tokens(applied)
    plan = applied.apply_all(manifest(path, **other))
    assert {str(c.address): c.action for c in plan.changes} == {"acl-token/rotation": Action.REPLACE, f"file/local{path}": Action.UPDATE}
    (new,) = tokens(applied)
    assert new["AccessorID"] != old["AccessorID"]
    assert path.read_text() == new["SecretID"] + "\n"
    assert applied.plan(manifest(path, **other)).is_empty
    # taken back, it is unset: a token as the first one was
    applied.apply_all(manifest(path))
    (back,) = tokens(applied)
    assert (back["AccessorID"], back["Local"], back.get("ExpirationTime")) == (old["AccessorID"], False, None)
    assert path.read_text() == back["SecretID"] + "\n"
    assert applied.plan(manifest(path)).is_empty


def test_a_token_that_expired_is_made_anew_and_its_file_with_it(applied, path):
    """Expiring takes a minute; a token that is gone is the same to this program."""
    applied.apply_all(manifest(path, expires_after="1h"))
    (old,) = tokens(applied)
    applied.http("DELETE", f"/v1/acl/token/{old['AccessorID']}")
    drift = applied.drift(manifest(path, expires_after="1h"))
    assert [str(c.address) for c in drift.changes] == ["acl-token/rotation"]
    plan = applied.apply_all(manifest(path, expires_after="1h"))
    assert {str(c.address): c.action for c in plan.changes} == {"acl-token/rotation": Action.CREATE, f"file/local{path}": Action.UPDATE}
    (new,) = tokens(applied)
    assert path.read_text() == new["SecretID"] + "\n" != old["SecretID"] + "\n"
    assert applied.plan(manifest(path, expires_after="1h")).is_empty


def test_a_rotation_that_is_not_set_any_more_stays_and_may_be_set_again(applied, path):
    applied.apply_all(manifest(path, rotation=1))
    (token,) = tokens(applied)
    for same in (manifest(path), manifest(path, rotation=1)):
        applied.apply_all(same)
        assert tokens(applied) == [token]
        assert applied.plan(same).is_empty


ACCESSOR = "f4b2a1de-5f0f-4c0c-9f57-1f0f8e6f3c11"


def labelled(path, label, name="rotation", **token):
    return {
        "name": name,
        "mesh_credentials": {"tokens": {label: {"description": "rotation", "accessor": ACCESSOR, "file": {"path": str(path)}, **token}}},
    }


@pytest.mark.parametrize("labels", ["ab", "ba"])
def test_a_token_with_an_accessor_stays_the_same_under_another_label(applied, path, labels):
    applied.apply_all(labelled(path, labels[0]))
    (token,) = tokens(applied)
    plan = applied.apply_all(labelled(path, labels[1]))
    assert {str(c.address): c.action for c in plan.changes} == {
        f"acl-token/{labels[0]}": Action.FORGET, f"acl-token/{labels[1]}": Action.RECORD, f"file/local{path}": Action.RECORD
    }  # fmt: skip
    assert plan.warnings == (f"acl-token/{labels[0]}: it is acl-token/{labels[1]} from now on, and stays",)
    assert tokens(applied) == [token] and path.read_text() == token["SecretID"] + "\n"
    assert applied.plan(labelled(path, labels[1])).is_empty
    applied.apply_all(labelled(path, labels[0], policies=["global-management"]))
    assert [t["SecretID"] for t in tokens(applied)] == [token["SecretID"]]
    # made here, so removed with its entry
    assert {c.action for c in applied.apply_all({"name": "rotation"}, allow_delete=("*",)).changes} == {Action.DELETE}
    assert tokens(applied) == []


def test_one_token_under_two_labels_is_refused(applied, path):
    (token,) = tokens(applied)
    both = manifest(path)
    both["mesh_credentials"]["tokens"]["twin"] = {"accessor": token["AccessorID"]}
    (refusal,) = applied.apply(both)[0].refusals
    assert str(refusal) == "acl-token/twin: is acl-token/rotation, which is declared too: remove one of the two entries"
    assert tokens(applied) == [token]


def test_a_token_under_another_label_elsewhere_belongs_to_that_manifest(applied, path):
    applied.apply_all(labelled(path, "a"))
    before = applied.everything()
    (refusal,) = applied.apply(labelled(f"{path}-2", "b", name="another"))[0].refusals
    assert str(refusal) == (
        "acl-token/b: belongs to the manifest 'rotation', where it is acl-token/a: "
        "remove it from one of the two, or give it the same label here and transfer it"
    )
    assert applied.everything() == before


def test_the_old_token_is_kept_with_all_that_it_needs_while_its_file_cannot_be_moved_over(applied, path):
    """In the run that rotates it and takes its policy and its role away, in the next, to which only the record tells what it needs, and in one that
    rotates it again.
    """
    rules = {"rules": {"key_prefix": {"r/": "read"}}}
    before = manifest(path, roles=["rotation"])
    before["mesh_credentials"] |= {"policies": {"rotation": rules, "of-role": rules}, "roles": {"rotation": {"policies": ["of-role"]}}}
    applied.apply_all(before)
    (old,) = tokens(applied)
    after = manifest(path, rotation=1, policies=["another"])
    after["mesh_credentials"]["policies"] = {"another": rules}
    path.parent.chmod(0o777)  # nothing is written into a folder that anybody may write to
    for rotation in (1, 1, 2):
        after["mesh_credentials"]["tokens"]["rotation"]["rotation"] = rotation
        planned, outcome = applied.apply(after)
        assert len(tokens(applied)) == rotation + 1
        assert planned.count(Action.DELETE) == 3
        assert {str(r.change.address): r.why for r in outcome.results if r.status is Status.NOT_ATTEMPTED} == {
            "acl-policy/of-role": "acl-role/rotation was not applied",
            "acl-policy/rotation": "acl-token/rotation was not applied",
            "acl-role/rotation": "acl-token/rotation was not applied",
        }
        kept = applied.http("GET", f"/v1/acl/token/{old['AccessorID']}?expanded=true")
        assert {one["Name"] for one in kept["ExpandedPolicies"]} == {"rotation", "of-role"}
        assert path.read_text() == kept["SecretID"] + "\n"
    path.parent.chmod(0o700)
    applied.apply_all(after)
    (new,) = tokens(applied)
    assert new["AccessorID"] != old["AccessorID"] and path.read_text() == new["SecretID"] + "\n"
    assert applied.policy("rotation") is applied.policy("of-role") is None
    assert applied.plan(after).is_empty
