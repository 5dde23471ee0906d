"""A manifest that was stored is the same when it is restored, without the files that it was made of."""

import json
from pathlib import Path

import pytest

from reconciler.engine.observe import declare
from reconciler.manifest.loading import load, load_texts
from reconciler.manifest.stored import literal_secrets, relative_to, restored, stored
from reconciler.model.errors import ReconcilerError

ROOT = Path(__file__).parents[3]
EXAMPLES = sorted(ROOT.glob("examples/*/manifest.yaml"))


def again(loaded, beside=Path()):
    return restored(json.loads(json.dumps(stored(loaded))), beside)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.parent.name)
def test_examples_are_the_same(path):
    loaded = load([path])
    found = again(loaded)
    assert found.manifest == loaded.manifest
    assert found.directory == loaded.directory.resolve()
    assert declare(found) == declare(loaded)  # the places of the entries included


def test_rules_and_sources_are_in_it(tmp_path):
    (tmp_path / "rules.hcl").write_text('key_prefix "" { policy = "read" }')
    (tmp_path / "ca.pem").write_bytes(b"\xff certificate")
    text = (
        "version: 1\nname: x\nmesh_credentials: {policies: {a: {rules: {file: rules.hcl}}, b: {rules: {operator: read}}}}\n"
        "files: {ca: {path: /etc/ca.pem, source: ca.pem}}\n"
    )
    body = stored(load_texts([("m.yaml", text)], tmp_path))
    (tmp_path / "rules.hcl").unlink()
    (tmp_path / "ca.pem").unlink()
    found = restored(json.loads(json.dumps(body)), Path())
    assert found.manifest.mesh_credentials.policies["a"].rules == 'key_prefix "" { policy = "read" }'
    assert found.manifest.mesh_credentials.policies["b"].rules == {"operator": "read"}
    assert found.source("ca.pem") == b"\xff certificate"
    with pytest.raises(ReconcilerError, match=r"ca\.pem"):
        stored(load_texts([("m.yaml", text.replace("{file: rules.hcl}", "''"))], tmp_path))


def test_literals_are_found_in_the_order_of_the_lines():
    text = "version: 1\nname: x\ndb_roles: {r: {password: alpha}}\nkv:\n  a/token: beta\n  a/b: three\nconsul: {token: delta}\n"
    found = literal_secrets(load_texts([("m.yaml", text)], Path()))
    assert [(d.place and d.place.line, d.subject) for d in found] == [(3, "db-role/default/r"), (5, "kv/a/token"), (7, "consul.token")]
    assert not any(word in str(d) for d in found for word in ("alpha", "beta", "delta"))


def test_comments_and_what_an_overlay_replaced_are_not_in_it():
    base, over = "version: 1\nname: x\n# a comment\nkv: {a/token: a literal}\n", "kv: {a/token: {env: TOKEN}}\n"
    body = json.dumps(stored(load_texts([("base.yaml", base), ("prod.yaml", over)], Path())))
    assert "comment" not in body
    assert "literal" not in body


def test_the_folder_is_found_again_from_where_it_is_stored(tmp_path):
    (tmp_path / "one" / "deploy").mkdir(parents=True)
    body = relative_to(stored(load_texts([("m.yaml", "version: 1\nname: x\n")], tmp_path / "one" / "deploy")), tmp_path / "one")
    assert restored(body, tmp_path / "elsewhere").directory == tmp_path / "one" / "deploy"
    (tmp_path / "one").rename(tmp_path / "two")
    assert restored(body, tmp_path / "two").directory == tmp_path / "two" / "deploy"
