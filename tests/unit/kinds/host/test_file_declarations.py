"""What the manifest says of token files; nothing is looked at."""

from __future__ import annotations

from textwrap import dedent

import pytest

from reconciler.kinds.host.file import KIND
from reconciler.manifest.loading import load
from reconciler.model.address import Address
from reconciler.model.resource import OnRemoval, System
from reconciler.model.secret import Reference


@pytest.fixture
def declared(tmp_path):
    """The files that a manifest declares."""

    def declare(text):
        path = tmp_path / "manifest.yaml"
        path.write_text("version: 1\nname: test\n" + dedent(text))
        return list(KIND.declare(load([path])))

    return declare


def test_each_file_of_a_token_is_a_resource_that_needs_it(declared):
    first, second = declared("""
        mesh_credentials:
          policies: {p: {rules: {key_prefix: {a/: read}}}}
          tokens:
            gateway:
              policies: [p]
              on_removal: retain
              protect: true
              file:
                - {path: /etc/a/token, owner: carbonio, group: carbonio, mode: "0640"}
                - {path: /etc/b/token}
            quiet: {policies: [p]}
        """)
    token = Address.of("acl-token", "gateway")
    assert [str(d.address) for d in (first, second)] == ["file/local/etc/a/token", "file/local/etc/b/token"]
    assert first.fields == {"token": Reference(token, "secret_id"), "mode": "0640", "owner": "carbonio", "group": "carbonio"}
    assert second.fields == {"token": Reference(token, "secret_id"), "mode": "0600"}
    assert first.needs == first.must_exist == {token}
    assert first.system == System("host", "local")
    assert (first.label, first.on_removal, first.protect, first.adopt) == ("gateway", OnRemoval.RETAIN, True, False)
    assert first.address == Address.of("file", "local", "etc/a/token")
    assert (first.place.line, second.place.line) == (12, 13)


def test_files_on_other_machines_are_named_by_them(declared):
    [file] = declared("""
        hosts: {edge: {ssh: root@edge}}
        mesh_credentials:
          policies: {p: {rules: {key_prefix: {a/: read}}}}
          tokens: {gateway: {policies: [p], file: {host: edge, path: /etc/a/token}}}
        """)
    assert str(file.address) == "file/edge/etc/a/token"
    assert file.system == System("host", "edge")
