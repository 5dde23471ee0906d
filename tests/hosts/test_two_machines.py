"""Gateways for several services on several machines, from one manifest; one machine that is down stops the plan, and says which."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path

import pytest

from tests.hosts.gateways import Gateways, without
from tests.servers.mesh_node import MeshNode

pytestmark = [pytest.mark.systemd, pytest.mark.envoy]


@pytest.fixture
def two(gateways: Gateways, second_gateway_node: MeshNode, tmp_path: Path) -> Gateways:
    """The command, with both machines in its ssh_config."""
    lines = []
    for machine in (gateways.node.machine, second_gateway_node.machine):
        lines += [f"Host {machine.address}", f"  IdentityFile {machine.identity_file}", f"  UserKnownHostsFile {machine.known_hosts}"]
    file = tmp_path / "ssh_config_of_both"
    file.write_text("\n".join([*lines, "Host *", "  IdentitiesOnly yes", ""]))
    return Gateways(gateways.run.having(RECONCILER_SSH_CONFIG=str(file)), gateways.node)


def test_each_machine_gets_its_own_and_one_goes_without_the_other(two: Gateways, second_gateway_node: MeshNode):
    machines = (two.node.machine, second_gateway_node.machine)
    before = machines[1].snapshot()
    manifest = two.manifest("carbonio-first", "carbonio-second")
    manifest["hosts"]["second"] = {"ssh": f"root@{machines[1].address}"}
    processes = {name: gateway["process"] for name, gateway in manifest["terminating_gateways"].items()}
    for process in processes.values():
        del process["address"]  # each has its machine's port 8443 for itself
    processes["carbonio-second"]["host"] = "second"

    two.apply(manifest)
    assert two.is_settled(manifest)
    assert [list(node.services()) for node in (two.node, second_gateway_node)] == [["carbonio-first"], ["carbonio-second"]]
    assert not machines[0].exists("/etc/carbonio/second") and not machines[1].exists("/etc/carbonio/first")

    manifest["hosts"]["second"]["port"] = 1
    assert "host second cannot be reached" in two.run("plan", two.write(manifest), expect=1).err
    # no token is made whose file could not be written, also when nothing but the token is asked for
    rotated, tokens = deepcopy(manifest), two.node.server.get("/v1/acl/tokens")
    rotated["mesh_credentials"]["tokens"]["carbonio-second"]["rotation"] = 1
    for options in ([], ["--target", "acl-token/carbonio-second"]):
        assert "host second cannot be reached" in two.apply(rotated, *options, expect=1).err
        assert two.node.server.get("/v1/acl/tokens") == tokens
    del manifest["hosts"]["second"]["port"]

    two.apply(without(manifest, "carbonio-second"), "--allow-delete", "*")
    assert machines[1].snapshot().since(before) == []
    assert machines[0].run("systemctl", "is-active", "carbonio-first").stdout.strip() == "active"
    two.destroy(manifest)
