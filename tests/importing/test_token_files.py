"""Files that hold tokens are found where they are named, or where the records of the manifest name them."""

import os

import pytest

from reconciler.model.change import Action
from reconciler.model.errors import ReconcilerError
from tests.importing.test_round_trips import document, with_secrets


@pytest.fixture
def secret(mesh):
    return mesh.consul.put("/v1/acl/token", {"Description": "web"})["SecretID"]


@pytest.fixture
def files(tmp_path, secret):
    """Two that hold the token, one with a newline, and one that holds something else."""
    for name, content, mode in (("web", f"{secret}\n", 0o600), ("also", secret, 0o640), ("other", "nothing of the kind", 0o600)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "token").write_text(content)
        os.chmod(tmp_path / name / "token", mode)
    return tmp_path


def test_a_token_is_imported_with_the_files_that_hold_it(mesh, imported, files, secret):
    me = {"owner": (files / "web").owner(), "group": (files / "web").group()}
    first = imported(kinds=("acl-token",), token_files=(f"{files}/[aw]*/token",))
    assert document(first.text)["mesh_credentials"]["tokens"]["web"]["file"] == [
        {"path": f"{files}/also/token", **me, "mode": "0640"},
        {"path": f"{files}/web/token", **me},
    ]
    assert secret not in first.text
    assert "--token-file" not in first.text
    manifest = with_secrets(mesh, first)
    plan = mesh.plan(manifest)
    assert sorted((c.address.kind, c.action) for c in plan.changes) == [("acl-token", Action.ADOPT), ("file", Action.ADOPT), ("file", Action.ADOPT)]
    assert len(plan.changes) == first.taken
    mesh.apply_all(manifest)
    assert mesh.plan(manifest).is_empty
    # now the records name them
    assert document(imported(kinds=("acl-token",)).text) == manifest


def test_a_file_that_is_no_tokens_is_named(imported, files):
    first = imported(token_files=(f"{files}/*/token",))
    assert first.left_out == ((f"file/local{files}/other/token", "it is no token's that can be told: it holds the secret of none that is found"),)


def test_tokens_without_a_file_are_a_remark(mesh, imported, files):
    assert "# The files that tokens stand in are not said: name them with --token-file" in imported().text
    mesh.consul.put("/v1/acl/token", {"Description": "lonely"})
    assert "# The files that 1 of 2 tokens stand in are not said:" in imported(token_files=(f"{files}/web/token",)).text
    mesh.consul.put("/v1/kv/a", b"x")
    assert "--token-file" not in imported(kinds=("kv",)).text


def test_without_the_right_to_see_secrets_no_token_is_told(mesh, imported, files):
    mesh.environment["CONSUL_HTTP_TOKEN"] = mesh.consul.token_for('acl = "read" key_prefix "" { policy = "read" }')
    first = imported(kinds=("acl-token", "file"), token_files=(f"{files}/web/token",))
    assert "reading a token's secret takes acl:write" in dict(first.left_out)[f"file/local{files}/web/token"]


def test_a_file_that_is_not_there_is_an_error(imported, tmp_path):
    with pytest.raises(ReconcilerError, match="there is no such file"):
        imported(token_files=(f"{tmp_path}/none/*",))


def test_what_of_the_manifest_cannot_be_had_back_is_named(mesh, imported, tmp_path):
    mesh.apply_all({"name": "mesh", "kv": {"a": "x"}, "files": {"note": {"path": f"{tmp_path}/note", "content": "x"}}})
    assert [what for what, _ in imported().left_out] == [f"file/local{tmp_path}/note"]
    assert imported(kinds=("kv",)).left_out == ()
