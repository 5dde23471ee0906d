"""What keeps a machine from being set up as a node is found out for the plan, before any of them is begun."""

from __future__ import annotations

import json

import pytest

from reconciler.kinds.host.mesh_node import KIND
from reconciler.manifest.loading import load_text
from reconciler.model.address import Address
from reconciler.model.kind import Wanted
from reconciler.systems.host import Facts, FileState, FolderState

FOLDER = "/etc/zextras/service-discover"
ARCHIVE = f"{FOLDER}/cluster-credentials.tar.gpg"
MARK = f"{ARCHIVE}.set-up-begun"
PROGRAMS = {"service-discover": "0.7.2\n", "hostname": "10.0.0.7 fd00::7 \n"}


def a_file(content: bytes | None = b"", **more: str) -> FileState:
    return FileState(content, "root", "root", "0600", (1, 2, 3), 0, 0, **more)


def told(tmp_path, *names: str, programs=PROGRAMS, folder=True, files=None, **node):
    """The findings about the node ``one``, and its live state, when this is so on its machine."""
    cluster = {"file": "archive", "password": {"env": "P"}, "nodes": {"one": node}}
    manifest = {"version": 1, "name": "mesh", "hosts": {"one": {"ssh": "root@one"}}, "mesh_credentials": {"cluster": cluster}}
    (desired,) = KIND.declare(load_text(json.dumps(manifest), tmp_path))
    folders = {FOLDER: FolderState("root", "root", "0755", 0, 0, names)} if folder else {}
    facts = Facts(files=files or {}, folders=folders, programs=programs)
    wanted = [Wanted(desired.address, "mesh", desired)]
    return [f"{f.what}: {f.what_to_do}" for f in KIND.findings(wanted, facts)], list(KIND.told(wanted, facts))


def test_a_machine_with_all_that_it_takes(tmp_path):
    assert told(tmp_path) == ([], [])
    assert told(tmp_path, files={f"{FOLDER}/config.json": a_file(b'{"bind_addr": "10.0.0.8"}')}, programs={"service-discover": ""}) == ([], [])


@pytest.mark.parametrize("bound", ['{{ GetInterfaceIP "eth0" }}', "0.0.0.0", None])
def test_an_address_that_the_agent_is_to_find_by_itself_is_none(tmp_path, bound):
    files = {f"{FOLDER}/config.json": a_file(json.dumps({"bind_addr": bound}).encode())}
    several = PROGRAMS | {"hostname": "10.0.0.7 10.0.0.8"}
    assert told(tmp_path, files=files)[0] == [], "the machine has only one"
    assert told(tmp_path, files=files, programs=several)[0] == ["one has several addresses (10.0.0.7, 10.0.0.8): write address: into its entry"]
    assert told(tmp_path, files=files, programs=several, address="10.0.0.8")[0] == []


def test_what_a_machine_lacks(tmp_path):
    assert told(tmp_path, programs={"service-discover": ""})[0] == ["one has no address: write address: into its entry"]
    assert told(tmp_path, folder=False)[0] == [f"one has no folder {FOLDER}: install service-discover-agent or -server there again"]
    assert told(tmp_path, folder=False, programs={"hostname": "10.0.0.7"})[0] == [
        "one has no program service-discover: install service-discover-agent or -server there"
    ]


def test_the_first_instance_is_not_set_up_but_one_that_we_began_is(tmp_path):
    (refused,), _ = told(tmp_path, first_instance=True)
    assert refused == (
        "one is to be the first instance of the mesh, and is not set up: "
        "Consul answers, so there is a mesh already: leave out first_instance to let it join that"
    )
    begun = {MARK: a_file(b"sha256:1\n1\n")}
    assert told(tmp_path, "main.json", files=begun, first_instance=True)[0] == []
    assert told(tmp_path, "main.json", first_instance=True)[0] == [], "and who is set up may be called so"


def test_what_stands_in_the_archives_place(tmp_path):
    hidden = a_file(None, why=f"{ARCHIVE} may not be read: permission denied")
    assert told(tmp_path, "main.json", files={ARCHIVE: hidden})[0] == [
        f"one has an archive that cannot be compared: {ARCHIVE} may not be read: permission denied: log in as root, or write sudo: true under hosts"
    ]
    findings, (live,) = told(tmp_path, files={ARCHIVE: a_file(None, special="a symbolic link")})
    assert (findings, live.foreign, live.remedy) == ([], "has a symbolic link in the archive's place", f"remove {ARCHIVE} there")


def test_a_mark_without_configuration_is_a_set_up_of_ours_too(tmp_path):
    _, (live,) = told(tmp_path, files={MARK: a_file(b"sha256:1\n"), ARCHIVE: a_file(b"x")})
    assert live.fields["set_up"] is False
    assert told(tmp_path, files={MARK: a_file(None, special="a symbolic link")}) == ([], []), "what was not made by us says nothing"


def test_a_node_does_not_keep_the_key_of_its_password_when_it_is_forgotten(tmp_path):
    cluster = {"file": "archive", "password": {"kv": "a/password"}, "nodes": {"one": {"host": "local"}, "two": {}}}
    manifest = {"version": 1, "name": "mesh", "hosts": {"two": {"ssh": "root@two"}}, "mesh_credentials": {"cluster": cluster}}
    one, two = KIND.declare(load_text(json.dumps(manifest), tmp_path))
    key = Address.of("kv", "a/password")
    assert (one.needs, one.must_exist, one.after) == (frozenset(), frozenset({key}), frozenset({key}))
    assert (two.needs, two.must_exist, two.after) == (frozenset(), frozenset({key}), frozenset({key, one.address}))
