"""After the credentials of a mesh were made anew, its other nodes are set up again, one after the other; a run that was stopped goes on."""

from __future__ import annotations

import json
import signal

import pytest

from reconciler.credentials.opening import open_archive
from reconciler.model.secret import Secret
from tests.credentials.mesh_server import NEW_PASSWORD, MeshServer
from tests.credentials.test_regenerate import REGENERATE, START, STOP
from tests.e2e.canaries import Evidence
from tests.hosts.members import SET_UP, Members
from tests.servers.consul import ConsulServer
from tests.servers.machine_runner import HERE
from tests.servers.mesh_node import CONFIG_FOLDER

OTHER_ADDRESS = "192.0.2.7"
pytestmark = [pytest.mark.systemd, pytest.mark.envoy]


@pytest.fixture
def leader(members: Members, tmp_path):
    """The leader of another mesh, which both machines have joined; its management token is lost."""
    (tmp_path / "leader").mkdir()
    with MeshServer(tmp_path / "leader", ConsulServer(bootstrapped=False, persistent=True, for_machines=True), HERE) as server:
        for member in members.machines:
            member.joins(server.consul)
            member.wants(NEW_PASSWORD)
            member.is_set_up_by_hand()
        (server.folder / "mesh.yaml").write_text((tmp_path / members.write(members.manifest())).read_text())
        yield server


def regenerate(leader, members, *more, expect, program=()):
    command = leader.command(RECONCILER_SSH_CONFIG=members.run.environment["RECONCILER_SSH_CONFIG"])
    if program:
        command = type(command)(command.folder, command.environment, program)
    return command(*REGENERATE, "--yes", "--nodes", "mesh.yaml", *more, *leader.options, expect=expect)


def distribute(leader, members, *more, expect):
    command = leader.command(RECONCILER_SSH_CONFIG=members.run.environment["RECONCILER_SSH_CONFIG"])
    again = ("credentials", "distribute", "--set-up-again", "--nodes", "mesh.yaml", "--password-file", "new-password")
    return command(*again, *more, str(leader.archive), expect=expect)


def a_node_that_cannot_be_had_is_found_before_anything_is_changed(leader, members):
    one, two = members.machines
    two.node.machine.run("chmod", "a-x", "/usr/bin/service-discover")
    assert "two has no program service-discover: install it there, or leave the node out" in regenerate(leader, members, expect=1).err
    (leader.folder / "mesh.yaml").write_text((leader.folder / "mesh.yaml").read_text().replace(f"admin@{two.address}", f"nobody@{two.address}"))
    assert "host two" in regenerate(leader, members, expect=1).err
    assert "--nodes goes without --acl-only" in regenerate(leader, members, "--acl-only", expect=1).err
    (leader.folder / "mesh.yaml").write_text(json.dumps(members.manifest()))
    two.node.machine.run("chmod", "a+x", "/usr/bin/service-discover")
    refused = distribute(leader, members, "--yes", expect=1).err
    assert f"\n    one, at {one.address}\n    two, at {two.address}\n" in refused and "cannot be opened with this password" in refused
    manifest = members.manifest()
    manifest["mesh_credentials"]["cluster"]["nodes"]["two"]["address"] = HERE
    (leader.folder / "mesh.yaml").write_text(json.dumps(manifest))
    assert f"two leads the cluster dc1 ({HERE}), and the others join it" in distribute(leader, members, "--yes", expect=5).err
    assert "--set-up-again goes with --nodes" in distribute(leader, members, "--to", "/root/archive", expect=1).err
    (leader.folder / "mesh.yaml").write_text("version: 1\nname: mesh\n")
    assert "the manifest mesh has no nodes: write them under mesh_credentials.cluster.nodes" in regenerate(leader, members, expect=1).err
    assert leader.calls == [] and leader.left_over() == [] and [m.calls for m in members.machines] == [[], []]
    (leader.folder / "mesh.yaml").write_text(json.dumps(members.manifest()))


def test_the_other_nodes_are_set_up_again_and_whatever_stops_that_the_next_run_goes_on(leader: MeshServer, members: Members):
    a_node_that_cannot_be_had_is_found_before_anything_is_changed(leader, members)
    one, two = members.machines
    two.node.machine.run("ip", "address", "add", OTHER_ADDRESS, "dev", "eth0")
    one.goes_wrong("idle start")
    stopped = regenerate(leader, members, expect=3, program=("-m", "tests.hosts.impatient"))
    assert "one: it was set up, and has not come back as a member within 0.1 s: " in stopped.err and "this is not finished" in stopped.err
    assert (one.calls, two.calls) == ([SET_UP], []) and two.archive() == ("old\n", "644 root:root")
    journals = [leader.archive.with_name(f"{leader.archive.name}.{which}").read_text() for which in ("setting-up", "regenerating")]
    assert "an interrupted run of credentials regenerate is to be finished first" in distribute(leader, members, "--yes", expect=1).err

    one.node.machine.run("systemctl", "start", "service-discover")
    two.goes_wrong("hold asking")
    command = leader.command(RECONCILER_SSH_CONFIG=members.run.environment["RECONCILER_SSH_CONFIG"])
    run = command.start(*REGENERATE, "--yes", "--nodes", "mesh.yaml", *leader.options)
    two.holds()
    run.send_signal(signal.SIGKILL)
    run.wait(60)
    two.let_go()
    assert not two.node.machine.exists(f"{CONFIG_FOLDER}/main.json")

    shown = regenerate(leader, members, "--dry-run", expect=0).out
    assert "  7. on each of these nodes, one after the other: copy " in shown
    assert f"\n       one, at {one.address}  (done)\n       two, at {two.address}\n" in shown
    ended = command(*REGENERATE, "--yes", *leader.options, expect=0)
    assert "NOT set up again yet, as an earlier run was to do: two." in ended.out
    assert "credentials distribute --set-up-again --nodes FILE" in ended.out and two.calls == [SET_UP]

    (leader.folder / "mesh.yaml").write_text((leader.folder / "mesh.yaml").read_text().replace('"two": {}', '"second": {"host": "two"}'))
    again = distribute(leader, members, "--yes", expect=0)
    assert "node 2 of 2: setting second up again" in again.err and "node 1" not in again.err
    assert again.out == "Set up again: one, second.\n"
    assert one.calls == [SET_UP] and two.calls == [SET_UP] * 2
    assert (one.addresses, two.addresses) == ([one.address], [two.address] * 2), "which a machine with several does not know by itself any more"
    assert [call["argv"][0] for call in leader.calls] == ["systemctl", "service-discover"] and STOP in leader.calls and START not in leader.calls
    for member in members.machines:
        assert member.archive() == (leader.archive.read_text(), "600 root:root")
        assert member.is_set_up() and member.is_member(leader.consul)
    assert leader.left_over() == []
    two.node.machine.run("ip", "address", "delete", OTHER_ADDRESS, "dev", "eth0")

    evidence, made = Evidence(), open_archive(leader.archive, Secret(NEW_PASSWORD))
    evidence.add("output", *journals, *(text for run in (stopped, ended, again) for text in (run.out, run.err)))
    assert members.leaks(evidence, NEW_PASSWORD, {member.name: member.bytes for member in made.members.values()}) == []
