"""On a node of a mesh nobody need give a token: the cluster archive has it."""

import pytest

from tests.credentials.archives import PASSWORD, contents, sealed, write
from tests.e2e.on_a_mesh_node import ARCHIVE
from tests.e2e.terminal import Terminal, without_colour

MANIFEST = "version: 1\nname: mesh\nkv: {app/name: files}\n"
REFERENCE = f"consul: {{token: {{bootstrap_token: {{file: {ARCHIVE}, password: {{env: CLUSTER_CREDENTIAL_PASSWORD}}}}}}}}\n"


@pytest.fixture
def on_the_node(command, consul, tmp_path):
    """The command on a node with an archive, and nothing in the environment to identify with."""
    write(tmp_path, contents(consul.token))
    (tmp_path / "mesh.yaml").write_text(MANIFEST)
    bare = command.having(CONSUL_HTTP_TOKEN=None)
    return type(bare)(bare.folder, bare.environment, ("-m", "tests.e2e.on_a_mesh_node", "."))


def test_the_password_that_set_up_left_is_used(on_the_node, consul, tmp_path):
    (tmp_path / "password").write_text(f"{PASSWORD}\n")
    on_the_node("apply", "--auto-approve", "mesh.yaml", expect=0)
    assert consul.keys("app/") == {"app/name": b"files"}


def test_without_a_terminal_nobody_is_asked(on_the_node):
    refused = on_the_node("plan", "mesh.yaml", expect=1)
    assert "Password" not in refused.err + refused.out
    assert "lacks key:read on" in refused.err


def test_at_a_terminal_the_password_is_asked_for_once_and_unseen(on_the_node, consul):
    with Terminal(on_the_node, "apply", "mesh.yaml") as run:
        run.until("No Consul token was given. Password of ")
        run.until("(empty: go on without a token): ")
        run.type(f"{PASSWORD}\n")
        asked = without_colour(run.until('Only "yes" is accepted: '))
        run.type("yes\n")
        rest, code = run.rest()
    assert code == 0
    assert "Password" not in asked + rest
    assert PASSWORD not in asked + rest
    assert consul.keys("app/") == {"app/name": b"files"}


def test_a_manifest_brings_its_own_archive(on_the_node, consul, tmp_path):
    (tmp_path / "mesh.yaml").write_text(MANIFEST + REFERENCE)
    assert on_the_node("validate", "mesh.yaml", expect=0).err == ""
    assert "CLUSTER_CREDENTIAL_PASSWORD is not set" in on_the_node("plan", "mesh.yaml", expect=1).err
    with_it = on_the_node.having(CLUSTER_CREDENTIAL_PASSWORD=PASSWORD)
    with_it("plan", "--out", "mesh.plan", "mesh.yaml", expect=0)
    with_it("apply", "mesh.plan", expect=0)
    assert consul.keys("app/") == {"app/name": b"files"}
    wrong = on_the_node.having(CLUSTER_CREDENTIAL_PASSWORD="wrong")("plan", "mesh.yaml", expect=1)
    assert f"{ARCHIVE} cannot be opened with this password: give the right one" in wrong.err


def test_the_token_of_the_archive_is_printed_as_service_discover_does_it(on_the_node, consul, tmp_path):
    with_it = on_the_node.having(P=PASSWORD)
    assert with_it("credentials", "token", "--password-env", "P", expect=0).out == consul.token
    assert with_it("credentials", "token", "--password-env", "P", "--json", expect=0).json == {"token": consul.token}
    assert "no terminal to ask on" in on_the_node("credentials", "token", expect=1).err
    both = on_the_node("credentials", "token", "--password-env", "P", "--password-file", "x", expect=1)
    assert "--password-file excludes --password-env." in both.err
    (tmp_path / "password").write_text("that of the archive before")
    with Terminal(on_the_node, "credentials", "verify") as run:
        run.until("Password of ")
        run.type(f"{PASSWORD}\n")
        rest, code = run.rest()
    assert code == 0
    assert "✓ the CA key fits the CA certificate" in without_colour(rest)


def test_show_for_people_and_programs(on_the_node, consul, tmp_path):
    (tmp_path / "password").write_text(PASSWORD)
    shown = on_the_node("credentials", "show", expect=0).out
    assert "  gossip-key                                        0600      44 bytes\n" in shown
    assert "\n  subject  CN=Consul Agent CA " in shown
    document = on_the_node("credentials", "show", "--json", expect=0).json
    assert [m["name"] for m in document["members"]][:2] == ["gossip-key", "consul-acl-secret.json"]
    verified = on_the_node("credentials", "verify", "--json", "--warn-days", "36500", expect=0).json
    assert verified["passed"]
    assert {c["check"]: c["result"] for c in verified["checks"]} == {
        **dict.fromkeys(("password", "members", "gossip-key", "ca", "ca-key", "token", "management"), "passed"),
        "ca-expiry": "warning",
        "agents": "unknown",
    }
    assert on_the_node.having(CONSUL_HTTP_ADDR="127.0.0.1:1")("credentials", "verify", expect=1).out.count("× ") == 1
    (tmp_path / "password").write_text("that of the archive before")
    assert failed(on_the_node) == ["password", f"give the right one in {tmp_path / 'password'}, or remove that file"]
    (tmp_path / "password").write_text(PASSWORD)
    (tmp_path / ARCHIVE).write_bytes(sealed(b"no tar"))
    assert failed(on_the_node) == ["archive", "give the cluster archive"]
    (tmp_path / ARCHIVE).write_text("x")
    assert failed(on_the_node)[0] == "archive"


def failed(command):
    """The only check of an archive that cannot be opened, and what is to be done."""
    document = command.having(CONSUL_HTTP_TOKEN_FILE="gone")("credentials", "verify", "--json", expect=1).json
    (check,) = document["checks"]
    assert (document["passed"], check["result"]) == (False, "failed") and check["what"]
    return [check["check"], check["what_to_do"]]
