"""After the credentials of a mesh were made anew, its other nodes are set up again, one after the other; a run that was stopped goes on."""

from __future__ import annotations

import signal

import pytest

from reconciler.credentials.archive import CA_KEY, GOSSIP_KEY
from reconciler.credentials.opening import open_archive
from reconciler.model.secret import Secret
from tests.credentials.mesh_server import NEW_PASSWORD, MeshServer
from tests.credentials.test_regenerate import REGENERATE, START, STOP
from tests.e2e.canaries import Evidence, known
from tests.hosts.members import SET_UP, Members
from tests.servers.consul import ConsulServer
from tests.servers.machine_runner import HERE
from tests.servers.mesh_node import CONFIG_FOLDER

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


def test_the_other_nodes_are_set_up_again_and_one_that_does_not_come_back_ends_the_run(leader: MeshServer, members: Members):
    one, two = members.machines
    one.goes_wrong("idle start")
    stopped = regenerate(leader, members, expect=3, program=("-m", "tests.hosts.impatient"))
    assert "one: it was set up, and has not come back as a member within 1 s: " in stopped.err and "this is not finished" in stopped.err
    assert (one.calls, two.calls) == ([SET_UP], []) and two.archive() == ("old\n", "644 root:root")

    one.node.machine.run("systemctl", "start", "service-discover")
    two.goes_wrong("hold asking")
    killed = leader.command(RECONCILER_SSH_CONFIG=members.run.environment["RECONCILER_SSH_CONFIG"])
    run = killed.start(*REGENERATE, "--yes", "--nodes", "mesh.yaml", *leader.options)
    two.holds()
    run.send_signal(signal.SIGKILL)
    run.wait(60)
    two.let_go()
    assert not two.node.machine.exists(f"{CONFIG_FOLDER}/main.json")
    shown = regenerate(leader, members, "--dry-run", expect=0).out
    assert "  7. on each of these nodes, one after the other: copy " in shown and "\n       one  (done)\n       two\n" in shown

    again = regenerate(leader, members, expect=0)
    assert "node 2 of 2: setting two up again" in again.err and "node 1" not in again.err
    assert "Set up again: one, two." in again.out
    assert one.calls == [SET_UP] and two.calls == [SET_UP] * 2
    assert [call["argv"][0] for call in leader.calls] == ["systemctl", "service-discover"] and STOP in leader.calls and START not in leader.calls
    for member in members.machines:
        assert member.archive() == (leader.archive.read_text(), "600 root:root")
        assert member.is_set_up() and member.is_member(leader.consul)
    assert leader.left_over() == []
    nothing_was_seen(leader, members, stopped, again)


def nothing_was_seen(leader, members, *runs):
    evidence, made = Evidence(), open_archive(leader.archive, Secret(NEW_PASSWORD))
    for run in runs:
        evidence.add("output", run.out, run.err)
    for member in members.machines:
        evidence.add("process list", member.processes)
        evidence.add("journal", member.node.machine.run("journalctl", "--no-pager").stdout)
    secrets = {"SecretID": made.secret_id().reveal(), "password": NEW_PASSWORD, "gossip key": made.member(GOSSIP_KEY).bytes.decode()}
    secrets["CA key"] = made.member(CA_KEY).bytes.decode().splitlines()[1][10:50]
    assert b"setup-wizard" in evidence.all("process list")
    assert evidence.search([known(name, value) for name, value in secrets.items()]) == []


def test_a_node_that_cannot_be_had_is_found_before_anything_is_changed(leader: MeshServer, members: Members):
    _, two = members.machines
    two.node.machine.run("chmod", "a-x", "/usr/bin/service-discover")
    assert "two has no program service-discover: install it there, or leave the node out" in regenerate(leader, members, expect=1).err
    (leader.folder / "mesh.yaml").write_text((leader.folder / "mesh.yaml").read_text().replace(f"root@{two.address}", f"nobody@{two.address}"))
    assert "host two" in regenerate(leader, members, expect=1).err
    assert "--nodes goes without --acl-only" in regenerate(leader, members, "--acl-only", expect=1).err
    (leader.folder / "mesh.yaml").write_text("version: 1\nname: mesh\n")
    assert "the manifest mesh has no nodes: write them under mesh_credentials.cluster.nodes" in regenerate(leader, members, expect=1).err
    assert leader.calls == [] and leader.left_over() == [] and [m.calls for m in members.machines] == [[], []]
