"""What the manifest says of token files; nothing is looked at."""

from __future__ import annotations

from textwrap import dedent

from reconciler.kinds.host.file import KIND
from reconciler.manifest.loading import load
from reconciler.model.address import Address
from reconciler.model.resource import OnRemoval, System
from reconciler.model.secret import Reference


def declared(tmp_path, text):
    path = tmp_path / "manifest.yaml"
    path.write_text("version: 1\nname: test\nmesh_credentials:\n  policies: {p: {rules: {key_prefix: {a/: read}}}}\n  tokens:\n" + dedent(text))
    return {str(d.address): d for d in KIND.declare(load([path]))}


def test_each_file_of_a_token_is_a_resource_that_needs_it(tmp_path):
    found = declared(
        tmp_path,
        """
    gateway:
      policies: [p]
      on_removal: retain
      protect: true
      file:
        - {path: /etc/a/token, owner: carbonio, group: carbonio, mode: "0640"}
        - {path: /etc/b/token}
    quiet: {policies: [p]}
    """.replace("\n    ", "\n        "),
    )
    token = Address.of("acl-token", "gateway")
    assert set(found) == {"file/local/etc/a/token", "file/local/etc/b/token"}
    first, second = found.values()
    assert first.fields == {"token": Reference(token, "secret_id"), "mode": "0640", "owner": "carbonio", "group": "carbonio"}
    assert second.fields == {"token": Reference(token, "secret_id"), "mode": "0600"}
    assert first.needs == first.must_exist == {token}
    assert first.system == System("host", "local")
    assert (first.label, first.on_removal, first.protect, first.adopt) == ("gateway", OnRemoval.RETAIN, True, False)
    assert first.address == Address.of("file", "local", "etc/a/token")


def test_files_on_other_machines_are_not_this_kinds(tmp_path):
    text = """
        gateway: {policies: [p], file: {host: edge, path: /etc/a/token}}
    hosts: {edge: {ssh: root@edge}}
    """.replace("\n    hosts", "\nhosts")
    path = tmp_path / "manifest.yaml"
    path.write_text("version: 1\nname: test\nmesh_credentials:\n  policies: {p: {rules: {key_prefix: {a/: read}}}}\n  tokens:" + text)
    assert list(KIND.declare(load([path]))) == []
