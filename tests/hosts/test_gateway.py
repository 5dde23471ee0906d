"""The process of a gateway on another machine, from an entry in a manifest and back: nothing of it remains."""

from __future__ import annotations

import json
from copy import deepcopy

import pytest

from tests.hosts.gateways import without

pytestmark = [pytest.mark.systemd, pytest.mark.envoy]

_WHOLE = """\
version: 1
name: carbonio-files-db
hosts:
  gateway: {host}
mesh_credentials:
  policies:
    carbonio-gateway-policy:
      description: Policy for carbonio-gateway
      rules:
        key_prefix: {{carbonio-gateway/: read}}
        node_prefix: {{"": read}}
        service: {{carbonio-gateway: write, carbonio-files-db: write}}
  tokens:
    carbonio-gateway:
      description: Token for carbonio-gateway
      policies: [carbonio-gateway-policy]
      file: {{host: gateway, path: /etc/carbonio/gateway/service-discover/token, owner: carbonio-gateway, group: carbonio-gateway, mode: "0600"}}
terminating_gateways:
  carbonio-gateway:
    services:
      carbonio-files-db: {{}}
    process: {{host: gateway, token: carbonio-gateway, envoy_version_check: false}}
external_services:
  carbonio-files-db:
    node: external-files-db-node
    address: external-database.example.com
    port: 5432
    id: carbonio-gateway
    node_meta: {{external-node: "true", external-probe: "true"}}
intentions:
  carbonio-files-db: {{carbonio-files: allow}}
files:
  external-ca: {{host: gateway, path: /etc/carbonio/gateway/external-ca.pem, source: external-ca.pem, mode: "0644"}}
"""
_TOKEN = "/etc/carbonio/gateway/service-discover/token"


@pytest.mark.parametrize(("user", "sudo"), [("root", False), ("admin", True)])
def test_the_whole_integration_is_applied_and_leaves_nothing_when_it_is_destroyed(gateways, mesh, user, sudo):
    run, machine = gateways.run, gateways.node.machine
    (run.folder / "mesh.yaml").write_text(_WHOLE.format(host=gateways.host(user, **({"sudo": True} if sudo else {}))))
    (run.folder / "external-ca.pem").write_text("a certificate\n")
    before = machine.snapshot()
    if sudo:  # once with the rights that are printed, and no more
        run = run.having(CONSUL_HTTP_TOKEN=mesh.token_for(json.dumps(run("policy", "--format", "json", "mesh.yaml", expect=0).json["rules"])))
    assert run("plan", "mesh.yaml", expect=0).last.startswith("Plan: 14 to add, 0 to change")
    applied = run("apply", "mesh.yaml", "--auto-approve", "--wait", "0", expect=0)
    assert applied.last.startswith("Apply complete: 14 added")
    assert run("plan", "mesh.yaml", expect=0).last == "No changes. Live state matches the manifest."
    assert run("drift", "mesh.yaml").code == 0

    assert machine.run("systemctl", "is-active", "carbonio-gateway", "sshd").stdout.split() == ["active", "active"]
    assert machine.run("stat", "-c", "%U:%G %a %F", _TOKEN).stdout.strip() == "carbonio-gateway:carbonio-gateway 600 regular file"
    secret = machine.read(_TOKEN)
    assert secret.endswith("\n") and mesh.get("/v1/acl/token/self", token=secret.strip())["Description"] == "Token for carbonio-gateway"
    assert machine.read("/etc/carbonio/gateway/external-ca.pem") == "a certificate\n"
    account = machine.run("getent", "passwd", "carbonio-gateway").stdout.strip().split(":")
    assert account[-1].endswith("/nologin") and not machine.exists(account[-2])
    assert gateways.node.services()["carbonio-gateway"]["Kind"] == "terminating-gateway"

    assert run("destroy", "mesh.yaml", "--auto-approve", expect=0).last.startswith("Apply complete: 0 added, 0 changed, 0 replaced, 14 deleted")
    assert machine.snapshot().since(before) == []
    assert gateways.node.services() == {}
    assert [node["Node"] for node in mesh.get("/v1/catalog/nodes") if node["Node"] not in {"test-server", *mesh.spared}] == []


def test_an_agent_that_remembers_what_the_token_was_allowed_before_is_given_time(gateways, mesh):
    manifest = gateways.manifest("carbonio-first")
    manifest["mesh_credentials"]["tokens"]["carbonio-first"]["description"] = "carbonio-first"
    earlier = deepcopy(manifest)
    del earlier["terminating_gateways"]
    earlier["mesh_credentials"]["policies"]["carbonio-first"]["rules"] = {"node_prefix": {"": "read"}}
    gateways.apply(earlier)
    (accessor,) = (token["AccessorID"] for token in mesh.get("/v1/acl/tokens") if token["Description"] == "carbonio-first")
    assert gateways.node.services(token=mesh.get(f"/v1/acl/token/{accessor}")["SecretID"]) == {}
    gateways.apply(manifest)
    assert list(gateways.node.services()) == ["carbonio-first"]
    gateways.destroy(manifest)


def test_two_gateways_share_a_machine_and_one_goes_without_the_other(gateways, mesh):
    machine = gateways.node.machine
    before = machine.snapshot()
    both = gateways.manifest("carbonio-first", "carbonio-second", serves=True)
    gateways.apply(both)
    assert gateways.is_settled(both)
    second = machine.run("systemctl", "show", "-p", "MainPID,ActiveState", "carbonio-second").stdout
    assert "ActiveState=active" in second
    gateways.apply(without(both, "carbonio-first"), "--allow-delete", "*")
    assert machine.run("systemctl", "show", "-p", "MainPID,ActiveState", "carbonio-second").stdout == second
    assert list(gateways.node.services()) == ["carbonio-second"]
    assert not machine.exists("/etc/carbonio/first") and machine.exists("/etc/carbonio/second/service-discover/token")
    gateways.apply(without(both, "carbonio-first", "carbonio-second"), "--allow-delete", "*")
    assert machine.snapshot().since(before) == []
    assert gateways.node.services() == {}


@pytest.mark.parametrize("first_to_go", [0, 1])
def test_a_folder_that_two_manifests_use_goes_with_the_last_of_them(gateways, mesh, first_to_go):
    """/etc/carbonio is made with the first gateway's folder, and used by the second's."""
    machine = gateways.node.machine
    before = machine.snapshot()
    manifests = [
        gateways.manifest("carbonio-first", owner="first", first_port=8443),
        gateways.manifest("carbonio-second", owner="second", first_port=8444),
    ]
    for manifest in manifests:
        gateways.apply(manifest)
    gateways.destroy(manifests.pop(first_to_go))
    assert gateways.is_settled(manifests[0])
    assert machine.exists("/etc/carbonio")
    gateways.destroy(manifests[0])
    assert machine.snapshot().since(before) == []
