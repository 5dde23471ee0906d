"""Nodes of the mesh from one manifest: the archive on them and service-discover's set-up, one after the other. Its command is a stand-in."""

from __future__ import annotations

import signal
from dataclasses import replace
from pathlib import Path

import pytest

from tests.credentials.archives import contents
from tests.credentials.archives import write as write_archive
from tests.e2e.canaries import Evidence
from tests.hosts.members import ARCHIVE, MARK, PASSWORD, SET_UP, Members
from tests.servers.mesh_node import CONFIG_FOLDER

pytestmark = [pytest.mark.systemd, pytest.mark.envoy]

OTHER_ADDRESS = "192.0.2.7"
LOUD = ("-vv", "--log-file", "run.log")
IMPATIENT = ("-m", "tests.hosts.impatient")


def apply(members, manifest, *more, expect=0, program=()):
    command = replace(members.run, program=program) if program else members.run
    return command("apply", members.write(manifest), "--auto-approve", *more, expect=expect)


def is_settled(members, manifest):
    file = members.write(manifest)
    return members.run("plan", file, "--detailed-exitcode").code == 0 and members.run("drift", file).code == 0


def are_members(members, calls=1):
    return all(
        m.archive() == (members.sealed(), "600 root:root") and m.calls == [SET_UP] * calls and m.is_set_up() and m.is_member()
        for m in members.machines
    )  # fmt: skip


def what_cannot_be_done_is_refused_before_anything_is_written(members, free_port):
    one, two = members.machines
    two.node.machine.run("chmod", "a-x", "/usr/bin/service-discover")
    manifest = members.manifest(first="one")
    del manifest["mesh_credentials"]["cluster"]["password"]
    refused = apply(members, manifest, expect=5).out
    assert (
        "× mesh-node/one: one is to be the first instance of the mesh, and is not set up: Consul answers, so there is a mesh already: leave out"
        in refused
    )
    assert "× mesh-node/two: two is not set up, which takes the archive's password: write password:" in refused
    assert "× mesh-node/two: two has no program service-discover: install" in refused
    assert f"× mesh-node/two: two has several addresses ({two.address}, {OTHER_ADDRESS}): write address: into its entry" in refused
    down = members.run.having(CONSUL_HTTP_ADDR=f"127.0.0.1:{free_port}")("plan", "mesh.yaml", expect=1).err
    assert "if the first instance of the mesh, one, is not set up yet: run service-discover setup-wizard --first-instance there first" in down
    assert "cannot be read: no such file" in apply(members, members.manifest(file="no-such"), expect=1).err
    assert (one.calls, two.calls, one.archive(), one.is_set_up()) == ([], [], None, False)
    two.node.machine.run("chmod", "a+x", "/usr/bin/service-discover")


def test_the_nodes_get_the_archive_and_are_set_up_and_stay_what_they_are(members: Members, free_port):
    one, two = members.machines
    manifest = members.manifest()
    two.node.machine.run("ip", "address", "add", OTHER_ADDRESS, "dev", "eth0")
    what_cannot_be_done_is_refused_before_anything_is_written(members, free_port)
    manifest["mesh_credentials"]["cluster"]["nodes"]["two"]["address"] = two.address
    members.write(manifest)
    evidence = Evidence()
    whole = members.run("plan", "--out", "mesh.plan", "mesh.yaml", *LOUD, expect=0)
    part = members.run("plan", "mesh.yaml", "--target", "mesh-node/two", "--format", "json", expect=0)
    assert [c["address"] for c in part.json["changes"]] == ["mesh-node/two"], "whoever says so leaves one out"
    evidence.add("plan", whole.out, whole.err, part.out, part.err)
    applied = apply(members, manifest, *LOUD)
    two.node.machine.run("ip", "address", "delete", OTHER_ADDRESS, "dev", "eth0")
    assert applied.out.count("    archive: sha256:") == applied.out.count("    set_up: true\n") == 2
    assert are_members(members) and is_settled(members, manifest)
    assert [m.addresses for m in members.machines] == [[m.address] for m in members.machines]
    owned = members.run("owned", "show", "--format", "json", "mesh-node/one", "mesh.yaml", expect=0)
    evidence.add("output", applied.out, applied.err, owned.out, (members.run.folder / "run.log").read_text())
    evidence.add("saved plan", (members.run.folder / "mesh.plan").read_text())
    assert b"mesh-node" in evidence.all("saved plan") and b"DEBUG" in evidence.all("output").upper()
    assert members.leaks(evidence) == []

    one.node.machine.run("sh", "-c", f"chmod 0644 {ARCHIVE}; echo more >>{ARCHIVE}")
    two.node.machine.run("rm", ARCHIVE)
    drift = members.run("drift", members.write(manifest), expect=2).out
    assert "mesh-node/one" in drift and "mesh-node/two" in drift
    apply(members, manifest)
    assert are_members(members), "the archive is put right, and nothing is set up"

    write_archive(members.run.folder, contents(), PASSWORD)
    cluster = manifest["mesh_credentials"]["cluster"]
    del cluster["password"], cluster["nodes"]["two"]
    changed = apply(members, manifest)
    assert changed.last == "Apply complete: 0 added, 1 changed, 0 replaced, 0 deleted, 0 adopted, 1 forgotten."
    assert one.archive() == (members.sealed(), "600 root:root"), "a new archive takes no password"
    assert two.is_set_up() and two.is_member() and two.archive() != one.archive(), "and who is forgotten is left alone"

    cluster["nodes"]["two"] = {}
    assert "exists and was not made by this manifest; it differs in archive" in apply(members, manifest, expect=5).out
    apply(members, manifest, "--adopt", "mesh-node/two")
    assert are_members(members)
    ended = members.run("destroy", members.write(manifest), "--auto-approve", expect=0)
    assert ended.last.endswith("0 deleted, 0 adopted, 2 forgotten.") and are_members(members)


def test_what_a_set_up_has_left_that_did_not_come_to_its_end_is_done_anew(members: Members):
    one, two = members.machines
    one.node.machine.write("/root/next/victim", "kept")
    for link in (MARK, f"{CONFIG_FOLDER}/.{Path(MARK).name}.reconciler-new"):
        one.node.machine.run("ln", "-s", "/root/next/victim", link)
    (members.run.folder / "password").write_text("another horse")
    failed = apply(members, members.manifest(), *LOUD, expect=3)
    assert "service-discover: error: unable to read" in failed.out and "openpgp: incorrect key\n" in failed.out
    assert "mesh-node/two (create): mesh-node/one was not applied" in failed.out
    assert (one.calls, two.calls, two.archive()) == ([SET_UP], [], None)
    assert not one.is_set_up() and not one.node.machine.exists(MARK)
    assert one.node.machine.read("/root/next/victim") == "kept", "root follows no link in the service's folder"
    evidence = Evidence()
    evidence.add("output", failed.out, failed.err, (members.run.folder / "run.log").read_text())
    assert members.leaks(evidence, "another horse") == []

    (members.run.folder / "password").write_text(PASSWORD)
    write_archive(members.run.folder, contents(), PASSWORD)
    one.goes_wrong("kill certificates")
    apply(members, members.manifest(), expect=3)
    assert (two.calls, one.node.machine.exists(MARK), one.is_set_up()) == ([], True, False)
    assert one.archive() == (members.sealed(), "600 root:root"), "the archive that was there was ours"
    two.goes_wrong("fail certificates")
    again = apply(members, members.manifest(), expect=3)
    assert "mesh-node/one (not finished by an earlier run)" in again.out and one.is_set_up()
    assert "unable to go on at certificates: service-discover setup-wizard has not come to its end: put that right, and run again" in again.out
    two.goes_wrong("fail files")
    failed = apply(members, members.manifest(), expect=3)
    assert "unable to go on at files: service-discover setup-wizard has not come to its end" in failed.out and not two.is_set_up()
    apply(members, members.manifest())
    assert one.calls == two.calls == [SET_UP] * 3 and one.is_set_up() and one.is_member() and two.is_set_up() and two.is_member()


def test_what_set_up_has_completed_is_not_done_again_and_nobody_meddles_with_it(members: Members, free_port):
    one, two = members.machines
    one.goes_wrong("idle start")
    for _ in range(2):
        failed = apply(members, members.manifest(), expect=3, program=IMPATIENT)
        assert "it was set up, and has not come back as a member within 0.1 s: the unit service-discover is " in failed.out
        assert "mesh-node/two (create): mesh-node/one was not applied" in failed.out and two.calls == []
        assert one.calls == [SET_UP] and one.node.machine.exists(f"{CONFIG_FOLDER}/main.json"), "set-up says that it has done all its work"

    one.node.machine.run("systemctl", "start", "service-discover")
    one.node.machine.run("sh", "-c", f"sed -i 2s/0/1/ {MARK}")
    manifest = members.manifest()
    manifest["hosts"]["one"]["consul"] = f"127.0.0.1:{free_port}"
    unknown = apply(members, manifest, expect=3, program=IMPATIENT)
    assert "its set-up has not come to its end, and it cannot be told whether it is a member: " in unknown.out
    assert "if it is none, systemctl stop service-discover there, and run again, it is done anew" in unknown.out

    two.goes_wrong("hold started")
    run = members.run.start("apply", members.write(members.manifest()), "--auto-approve")
    two.holds()
    run.send_signal(signal.SIGKILL)
    run.wait(60)
    at_work = apply(members, members.manifest(), "--lock-timeout", "60s", expect=3)
    assert "two: the set-up that was begun earlier is still at work: wait until it has ended, and run again" in at_work.out
    two.let_go()
    apply(members, members.manifest())
    assert are_members(members), "what was put right by hand is not done again"
