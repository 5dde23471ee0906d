"""A gateway that was set up by hand, as the guide says, is taken over where it lies; then it can be kept, or removed whole."""

from __future__ import annotations

from copy import deepcopy

import pytest

from tests.servers.gateway_by_hand import FOLDER, GATEWAY, RULES, SERVICE, UNIT_FILE, GatewayByHand, declare

pytestmark = [pytest.mark.systemd, pytest.mark.envoy]

_DIFFERENT = (f"file/gateway{FOLDER}/token", f"file/gateway{UNIT_FILE}")
_STARTED_AGAIN = f"systemd-unit/gateway/{GATEWAY}.service"


def _manifest(gateways, by_hand, **options):
    """What there is, in words of the manifest; ``options`` are of each entry."""
    process = {"host": "gateway", "token": GATEWAY, "envoy_version_check": False, "unit_path": UNIT_FILE}
    external = {"node": "external-files-db-node", "address": "127.99.0.1", "port": 5432, "node_meta": {"external-node": "true"}}
    policy = {"description": f"Policy for {GATEWAY}", "rules": RULES}
    token = {"accessor": by_hand.accessor, "description": f"Token for {GATEWAY}", "policies": [by_hand.policy]}
    return {
        "version": 1,
        "name": "adopted",
        "hosts": {"gateway": gateways.host()},
        "mesh_credentials": {"policies": {by_hand.policy: policy | options}, "tokens": {GATEWAY: token | options}},
        "terminating_gateways": {GATEWAY: {"services": {SERVICE: {}}, "process": process, **options}},
        "external_services": {SERVICE: external | options},
    }


def _state(machine, *properties):
    return machine.run("systemctl", "show", "-p", ",".join(properties), "--value", GATEWAY).stdout.split()


@pytest.fixture
def by_hand(gateways):
    """As the guide leaves it, the token for everybody to read."""
    machine = gateways.node.machine
    made = GatewayByHand.set_up(gateways.node, token_mode="0644")
    declare(gateways.node, 5432)
    yield made
    if machine.exists(UNIT_FILE):
        made.undo()
    machine.run("rm", "-rf", "/etc/carbonio")


def test_a_gateway_made_by_hand_is_adopted_where_it_lies_and_kept(gateways, by_hand):
    machine, manifest = gateways.node.machine, _manifest(gateways, by_hand)
    process = _state(machine, "MainPID")
    elsewhere = deepcopy(manifest)
    del elsewhere["terminating_gateways"][GATEWAY]["process"]["unit_path"]
    assert f"write unit_path: {UNIT_FILE} to adopt it where it is" in gateways.run("plan", gateways.write(elsewhere), expect=5).err
    refused = gateways.run("plan", gateways.write(manifest), expect=5)
    assert "unit_path" not in refused.err
    assert [address for address in _DIFFERENT if f"× {address}: exists and was not made by this manifest" not in refused.out] == []
    assert refused.out.count("  × ") == len(_DIFFERENT)
    assert _state(machine, "MainPID") == process

    applied = gateways.apply(manifest, *(word for address in (*_DIFFERENT, _STARTED_AGAIN) for word in ("--adopt", address)))
    assert applied.last == "Apply complete: 0 added, 0 changed, 0 replaced, 0 deleted, 12 adopted, 0 forgotten."
    assert gateways.is_settled(manifest)
    assert set(_state(machine, "FragmentPath", "ActiveState", "UnitFileState")) == {UNIT_FILE, "active", "enabled"}
    assert _state(machine, "MainPID") != process
    assert not machine.exists(f"/etc/systemd/system/{GATEWAY}.service")
    assert machine.run("stat", "-c", "%U %a", f"{FOLDER}/token").stdout == f"{GATEWAY} 600\n"

    process = _state(machine, "MainPID")
    assert gateways.destroy(manifest).last.endswith(" 0 deleted, 0 adopted, 12 forgotten.")
    assert _state(machine, "MainPID") == process and _state(machine, "ActiveState") == ["active"]
    assert gateways.node.server.get(f"/v1/acl/token/{by_hand.accessor}")["AccessorID"] == by_hand.accessor


def test_what_was_adopted_is_removed_where_its_entries_say_so(gateways, by_hand, mesh):
    machine, manifest = gateways.node.machine, _manifest(gateways, by_hand, on_removal="delete", adopt=True)
    gateways.apply(manifest)
    assert gateways.destroy(manifest).last == "Apply complete: 0 added, 0 changed, 0 replaced, 12 deleted, 0 adopted, 0 forgotten."
    assert gateways.node.services() == {}
    assert by_hand.accessor not in {token["AccessorID"] for token in mesh.get("/v1/acl/tokens")}
    assert not machine.exists(UNIT_FILE) and not machine.exists(FOLDER)
    assert machine.exists("/etc/carbonio/gateway")  # which was not ours
