"""New credentials for a cluster that has lost its own, on real Consuls with real resets; service-discover and systemctl are stand-ins."""

import fcntl
import os
import pwd
import re
import shutil
import signal
from contextlib import contextmanager

import pytest

from reconciler.credentials.archive import CA, CA_KEY, GOSSIP_KEY
from reconciler.credentials.opening import open_archive, unseal
from reconciler.model.secret import Secret
from tests.credentials.archives import PASSWORD, contents, write
from tests.credentials.mesh_server import ADDRESS, ARCHIVE, NEW_PASSWORD, MeshServer, mode_and_owner
from tests.e2e.terminal import Terminal, without_colour
from tests.servers.consul import ConsulServer
from tests.servers.counting_proxy import CountingProxy, Fate, Refusal

REGENERATE = ("credentials", "regenerate", "--password-file", "new-password")
ACL_ONLY = (*REGENERATE, "--acl-only")


@pytest.fixture
def mesh(tmp_path):
    """A single server of Carbonio Mesh whose management token nobody knows any more."""
    with MeshServer(tmp_path) as server:
        yield server


def service_token(mesh):
    return mesh.consul.token_for('key_prefix "app/" { policy = "write" }')


def open_archive_of(content):
    return unseal(content, Secret(NEW_PASSWORD), "the archive")


def works(mesh, token):
    return mesh.consul.request("PUT", "/v1/kv/app/name", b"x", token=token).status == 200


# --- only a new token ---


def test_only_a_new_token_is_made_and_the_mesh_stays_up(mesh):
    service, pid = service_token(mesh), mesh.consul.pid
    run = mesh.command(CONSUL_HTTP_TOKEN_FILE="lost-too")(*ACL_ONLY, "--yes", *mesh.options, expect=0)
    secret = mesh.secret(NEW_PASSWORD)
    assert mesh.is_management(secret) and secret != mesh.consul.token
    assert works(mesh, service) and mesh.consul.pid == pid and mesh.calls == []
    members = {m.name: m.bytes for m in open_archive(mesh.archive, Secret(NEW_PASSWORD)).members.values()}
    assert {name: members[name] for name in (GOSSIP_KEY, CA, CA_KEY)} == {name: mesh.members[name] for name in (GOSSIP_KEY, CA, CA_KEY)}
    assert mode_and_owner(mesh.archive) == ("0600", os.geteuid())
    assert not mesh.reset_file.exists() and mesh.left_over() == []
    assert mesh.is_management(mesh.consul.token), "nothing is revoked unasked"
    accessor = mesh.consul.get("/v1/acl/token/self", token=mesh.consul.token)["AccessorID"]
    assert f"{accessor}  Bootstrap Token (Global Management)  (still valid)" in run.out
    assert "LDAP still holds the old archive (carbonioMeshCredentials of" in run.out
    assert "password still holds the password of the old archive" in run.out and "write the new password there, or remove the file" in run.out


def test_older_management_tokens_are_deleted_when_that_is_said_and_no_others(mesh):
    consul, service = mesh.consul, service_token(mesh)
    management = {"Name": "global-management"}
    consul.put("/v1/acl/policy", {"Name": "more", "Rules": ""})
    mixed = consul.put("/v1/acl/token", {"Description": "mixed", "Policies": [management, {"Name": "more"}]})
    agents = consul.put("/v1/acl/token", {"Description": "the agent's", "Policies": [management]})
    consul.put("/v1/agent/token/default", {"Token": agents["SecretID"]})
    second = consul.put("/v1/acl/token", {"Description": "second", "Policies": [management]})
    role = consul.put("/v1/acl/role", {"Name": "boss", "Policies": [management]})
    by_role = consul.put("/v1/acl/token", {"Description": "by role", "Roles": [{"ID": role["ID"]}]})
    consul.put("/v1/acl/policy", {"Name": "tokens", "Rules": 'acl = "write"'})
    by_policy = consul.put("/v1/acl/token", {"Description": "by policy", "Policies": [{"Name": "tokens"}]})
    run = mesh.command(CONSUL_HTTP_TOKEN=consul.token)(*ACL_ONLY, "--yes", "--revoke-old", *mesh.options, expect=0)
    assert not mesh.is_management(consul.token) and not mesh.is_management(second["SecretID"])
    assert consul.request("GET", "/v1/acl/token/self", token=mixed["SecretID"]).status == 200
    assert mesh.is_management(agents["SecretID"]) and works(mesh, service)
    assert mesh.is_management(mesh.secret(NEW_PASSWORD)), "never the new one"
    assert f"{mixed['AccessorID']}  mixed  (kept, because it has other policies too)" in run.out
    assert f"{agents['AccessorID']}  the agent's  (kept, because the agent on this machine uses it)" in run.out
    assert f"{second['AccessorID']}  second  (deleted)" in run.out
    for token in (by_role, by_policy):
        assert f"{token['AccessorID']}  {token['Description']}  (kept, because it may by other policies or roles)" in run.out
    assert run.out.count("(deleted)") == 2 and "  test-" not in run.out, "not those of services"


def test_nothing_is_revoked_before_the_new_token_has_proved_itself(mesh):
    mesh.command("2", "after")(*ACL_ONLY, "--yes", *mesh.options, expect=-signal.SIGKILL)
    made = mesh.archive.read_bytes()
    write(mesh.configuration, contents(), NEW_PASSWORD)
    again = (*ACL_ONLY, "--yes", "--revoke-old", *mesh.options)
    failed = mesh.command()(*again, expect=3)
    assert "put that one back, or remove" in failed.err and "run the same again, it goes on" in failed.err
    write(mesh.configuration, contents(mesh.consul.token), PASSWORD)
    failed = mesh.command()(*again, expect=3)
    assert "cannot be opened with this password" in failed.err and f"{ARCHIVE}.regenerating, and another is made" in failed.err
    assert mesh.is_management(mesh.consul.token)
    write(mesh.configuration, contents(), NEW_PASSWORD)
    (mesh.configuration / f"{ARCHIVE}.bootstrapping").write_bytes(made)
    mesh.command()(*again, expect=0)
    assert mesh.secret(NEW_PASSWORD) == open_archive_of(made).secret_id().reveal() and mesh.left_over() == []


def test_the_reset_file_is_the_services_own(mesh):
    seen = []
    with CountingProxy(mesh.consul.address) as proxy:
        proxy.before = lambda _: seen.append((mesh.reset_file.read_text(), *mode_and_owner(mesh.reset_file))) if mesh.reset_file.exists() else None
        options = [*mesh.options[:-3], "--user", "nobody", mesh.options[-1]] if os.geteuid() == 0 else mesh.options
        run = mesh.command(CONSUL_HTTP_ADDR=proxy.address)(*ACL_ONLY, "--yes", *options, expect=0)
    ((content, mode, owner),) = seen
    assert f"write the reset index {content.strip()} to " in run.err and content.endswith("\n")
    assert (mode, owner) == ("0600", pwd.getpwnam("nobody").pw_uid if os.geteuid() == 0 else os.geteuid())


def test_the_ca_key_is_taken_from_the_old_archive_where_the_node_has_none(mesh):
    (mesh.home / "consul-agent-ca-key.pem").unlink()
    failed = mesh.command()(*ACL_ONLY, "--yes", *mesh.options, expect=1)
    assert "cannot be opened with this password" in failed.err and "--old-password-file" in failed.err
    assert mesh.left_over() == [] and not mesh.reset_file.exists()
    (mesh.folder / "old-password").write_text(PASSWORD)
    mesh.command()(*ACL_ONLY, "--old-password-file", "old-password", "--yes", *mesh.options, expect=0)
    assert open_archive(mesh.archive, Secret(NEW_PASSWORD)).member(CA_KEY).bytes == mesh.members[CA_KEY]


def test_the_reset_file_is_gone_however_it_fails(mesh):
    was_there = []

    def at_the_bootstrap(fate):
        """Whatever ``fate`` says, once, at the request for which the file is there."""

        def before(_):
            if not mesh.reset_file.exists():
                return None
            was_there.append(waiting.exists())
            return fate()

        return before

    waiting = mesh.configuration / f"{ARCHIVE}.bootstrapping"
    with CountingProxy(mesh.consul.address) as proxy:
        command = mesh.command(CONSUL_HTTP_ADDR=proxy.address)
        proxy.before = at_the_bootstrap(lambda: Refusal(403, "Permission denied: ACL bootstrap no longer allowed (reset index: 1)"))
        refused = command(*ACL_ONLY, "--yes", *mesh.options, expect=3)
        assert "were bootstrapped before" in refused.err and refused.err.endswith("it goes on\n")
        assert not mesh.reset_file.exists() and mesh.left_over() == [f"{ARCHIVE}.regenerating"]
        key = (mesh.home / "consul-agent-ca-key.pem").rename(mesh.folder / "key")
        command(*ACL_ONLY, "--yes", *mesh.options, expect=3)
        assert not mesh.reset_file.exists() and len(was_there) == 1, "it was not there at all: the parts are read before"
        key.rename(mesh.home / "consul-agent-ca-key.pem")

        def interrupted():
            os.kill(process.pid, signal.SIGINT)
            return Fate.END

        proxy.before = at_the_bootstrap(interrupted)
        process = command.start(*ACL_ONLY, "--yes", *mesh.options)
        assert process.wait(60) == 130
    assert not mesh.reset_file.exists() and was_there == [True, True], "and the secret was on disk before"
    mesh.command()(*ACL_ONLY, "--yes", *mesh.options, expect=0)
    assert mesh.is_management(mesh.secret(NEW_PASSWORD))
    assert not mesh.reset_file.exists() and mesh.left_over() == []
    (mesh.programs / "systemctl").write_text("#!/bin/sh\necho no such bus >&2; exit 1\n")
    failed = mesh.command()(*REGENERATE, "--yes", *mesh.options, expect=3)
    assert "no such bus" in failed.err and failed.err.endswith("it goes on\n")
    assert not mesh.reset_file.exists(), "nor is it there when Consul could not be stopped"


@pytest.mark.parametrize("moments", ["1 after, 2 before, 2 after", "removal before, 3 before, 3 after"])
def test_interrupted_at_any_step_only_one_new_token_is_made(mesh, moments):
    for moment in moments.split(", "):
        mesh.command(*moment.split())(*ACL_ONLY, "--yes", *mesh.options, expect=-signal.SIGKILL)
        finished = mesh.command()(*ACL_ONLY, "--yes", "--revoke-old", *mesh.options, expect=0)
        assert "goes on with it" in finished.err
        secret = mesh.secret(NEW_PASSWORD)
        tokens = mesh.consul.get("/v1/acl/tokens", token=secret)
        assert [t["AccessorID"] for t in tokens if t.get("Policies")] == [mesh.consul.get("/v1/acl/token/self", token=secret)["AccessorID"]]
        assert finished.out.count("(deleted)") == 1, "the one of before, and no other was made"
        assert mesh.left_over() == [] and not mesh.reset_file.exists()


def test_the_password_of_an_interrupted_run_is_needed_or_another_token_is_made(mesh):
    waiting = mesh.configuration / f"{ARCHIVE}.bootstrapping"
    with CountingProxy(mesh.consul.address) as proxy:
        process = mesh.command(CONSUL_HTTP_ADDR=proxy.address).start(*ACL_ONLY, "--yes", *mesh.options)
        proxy.after = lambda _: os.kill(process.pid, signal.SIGKILL) if waiting.exists() else None
        assert process.wait(60) == -signal.SIGKILL
    (mesh.folder / "new-password").write_text("a third one")
    failed = mesh.command()(*ACL_ONLY, "--yes", *mesh.options, expect=3)
    assert "give the right one, that of the interrupted run; or remove this file, and another token is made" in failed.err
    waiting.unlink()
    mesh.command()(*ACL_ONLY, "--yes", *mesh.options, expect=0)
    assert mesh.is_management(mesh.secret("a third one"))


# --- all of it, as the documents do ---

SET_UP = {
    "argv": ["service-discover", "setup-wizard", "--first-instance"],
    "terminal": True,
    "environment": ["HOME", "LANG", "PATH", "PYTHONPATH", "TERM"],
}
STOP, START = ({"argv": ["systemctl", verb, "service-discover"]} for verb in ("stop", "start"))


def is_new(mesh, service):
    """All is new, and nothing is left of how it was made."""
    secret = mesh.secret(NEW_PASSWORD)
    assert mesh.is_management(secret) and secret != mesh.consul.token
    assert works(mesh, service)
    assert open_archive(mesh.archive, Secret(NEW_PASSWORD)).member(CA).bytes != mesh.members[CA]
    assert mesh.left_over() == [] and not mesh.reset_file.exists()


def calls(mesh):
    """How the stand-ins were called, without what the shell adds to every environment."""
    return [
        {name: [v for v in value if v not in ("PWD", "OLDPWD", "SHLVL", "_")] if name == "environment" else value for name, value in call.items()}
        for call in mesh.calls
    ]


def test_the_whole_way(mesh):
    service, victim = service_token(mesh), mesh.folder / "victim"
    seen = []
    mesh.look = lambda: seen.append(mesh.reset_file.exists())
    victim.write_text("kept")
    (mesh.configuration / f"{ARCHIVE}.set-up-status.new").symlink_to(victim)
    run = mesh.command(CONSUL_HTTP_TOKEN="lost", SETUP_CONSUL_TOKEN="lost")(*REGENERATE, "--yes", *mesh.options, expect=0)
    is_new(mesh, service)
    assert seen == [False, True], "it is there when Consul is started again, and not yet when it is told to stop"
    assert victim.read_text() == "kept", "root follows no link in the service's folder"
    assert calls(mesh) == [STOP, SET_UP], "no password in what it is called with, and its questions were answered on a terminal"
    assert NEW_PASSWORD not in (mesh.folder / "calls").read_text() + run.out + run.err
    assert (mesh.home / "password").read_text() == NEW_PASSWORD
    assert "While this runs the mesh is DOWN." in run.err
    assert "Now every other node of the mesh" in run.out and "LDAP" not in run.out


@pytest.mark.parametrize("moments", ["1 after, 2 before, 2 after", "3 before, 3 after, 4 before", "4 after, 5 after", "6 before, 6 after, 7 before"])
def test_the_whole_way_interrupted_between_any_two_steps(mesh, moments):
    service = service_token(mesh)
    for moment in moments.split(", "):
        before = len(mesh.calls)
        mesh.command(*moment.split())(*REGENERATE, "--yes", *mesh.options, expect=-signal.SIGKILL)
        assert "(done)" in mesh.command()(*REGENERATE, "--dry-run", *mesh.options, expect=0).out or moment in ("1 after", "2 before")
        finished = mesh.command()(*REGENERATE, "--yes", *mesh.options, expect=0)
        assert "goes on with it" in finished.err
        is_new(mesh, service)
        assert calls(mesh)[before:].count(SET_UP) == 1


@pytest.mark.parametrize("stage", ["asking", "files", "bootstrap", "password"])
def test_set_up_fails_and_the_next_run_does_it_again(mesh, stage):
    service = service_token(mesh)
    (mesh.folder / "mishap").write_text(f"fail {stage}")
    failed = mesh.command()(*REGENERATE, "--yes", *mesh.options, expect=3)
    assert re.search(
        r"service-discover setup-wizard --first-instance ended with status 1: service-discover: error: unable to go on at .*"
        r": this is not finished: when that is put right, run the same again, it goes on(; until then .*/acl-bootstrap-reset is there: .*)?\n$",
        failed.err,
    )
    assert mesh.reset_file.exists() == ("acl-bootstrap-reset is there" in failed.err) == (stage in ("asking", "files", "bootstrap"))
    mesh.command()(*REGENERATE, "--yes", *mesh.options, expect=0)
    is_new(mesh, service)
    assert calls(mesh).count(SET_UP) == 2


def test_set_up_used_the_reset_up_and_consul_is_down(mesh):
    service = service_token(mesh)
    (mesh.folder / "mishap").write_text("fail archive")
    mesh.command()(*REGENERATE, "--yes", *mesh.options, expect=3)
    mesh.consul.kill()
    again = mesh.command()(*REGENERATE, "--yes", *mesh.options, expect=0)
    assert "starting service-discover, because Consul must say its reset index anew" in again.err
    is_new(mesh, service)
    assert calls(mesh) == [STOP, SET_UP, START, STOP, SET_UP]


def test_set_up_is_not_ended_with_the_run_and_nobody_meddles_with_it(mesh):
    service = service_token(mesh)
    os.mkfifo(mesh.folder / "hold")
    (mesh.folder / "mishap").write_text("kill bootstrap")
    mesh.command()(*REGENERATE, "--yes", *mesh.options, expect=-signal.SIGKILL)
    for way in (REGENERATE, ACL_ONLY):
        locked = mesh.command()(*way, "--yes", *mesh.options, expect=4)
        assert "another run, or the set-up that an interrupted one started, is still at work" in locked.err
    (mesh.folder / "hold").write_text("go on")
    with nobody_at_work(mesh.configuration):
        assert (mesh.configuration / f"{ARCHIVE}.set-up-status").read_text() == "0\n"
    mesh.command()(*REGENERATE, "--yes", *mesh.options, expect=0)
    is_new(mesh, service)
    assert calls(mesh) == [STOP, SET_UP]


@contextmanager
def nobody_at_work(folder):
    """When nobody is at work there any more."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def test_a_person_types_the_name_and_the_password_twice(mesh):
    service = service_token(mesh)
    arguments = [a for a in (*REGENERATE, *mesh.options) if a not in ("--password-file", "new-password")]
    with Terminal(mesh.command(), *arguments) as run:
        asked = run.until("type the cluster's name, dc1: ")
        assert "the mesh is down from here on" in asked
        run.type("dc1\n")
        for prompt in ("New password for ", "The same again: "):
            run.until(prompt)
            run.type(f"{NEW_PASSWORD}\n")
        rest, code = run.rest()
    assert code == 0 and NEW_PASSWORD not in without_colour(rest)
    is_new(mesh, service)


# --- where it refuses ---


def test_a_follower_refuses_and_names_the_leader_where_it_works(tmp_path, mesh):
    join = f'bootstrap_expect = 0\nretry_join = ["{mesh.consul.join_address}"]\nretry_interval = "1s"\n'
    others = [ConsulServer(bootstrapped=False, persistent=True, extra=f'{join}node_name = "follower-{n}"\n') for n in (1, 2)]
    with others[0] as first, others[1]:
        first.token = mesh.consul.token
        (tmp_path / "follower").mkdir()
        with MeshServer(tmp_path / "follower", first) as follower:
            shutil.copy(mesh.folder / "new-password", follower.folder)
            for way in (ACL_ONLY, REGENERATE):
                refused = follower.command()(*way, "--yes", *follower.options, expect=5)
                leader = f"{ADDRESS}:{mesh.server_port}"
                assert f"the leader of dc1 is {leader}, not this machine, and only there this works: run the same on {leader}" in refused.err
            assert follower.left_over() == [] and not follower.reset_file.exists() and follower.calls == []
            shown = mesh.command()(*REGENERATE, "--dry-run", *mesh.options, expect=0).out
            assert "The cluster has 3 servers. With another CA this one cannot reach the others" in shown
            refused = mesh.command()(*REGENERATE, "--yes", *mesh.options, expect=5)
            assert "the cluster has 3 servers, and with another CA this one alone is no majority of them: give --acl-only" in refused.err
            mesh.command()(*REGENERATE, "--allow-no-majority", *mesh.options, expect=1)  # and asks for the name
            assert mesh.calls == [] and mesh.left_over() == []
            mesh.command()(*ACL_ONLY, "--yes", *mesh.options, expect=0)
            assert follower.is_management(mesh.secret(NEW_PASSWORD))


def nothing_happened(mesh):
    return mesh.left_over() == [] and not mesh.reset_file.exists() and mesh.calls == [] and mesh.secret(PASSWORD) == mesh.consul.token


def test_the_dry_run_shows_the_steps_and_nothing_happens(mesh):
    shown = mesh.command()(*REGENERATE, "--revoke-old", "--dry-run", *mesh.options, expect=0)
    steps = re.findall(r"^  \d\. (.*)$", shown.out, re.MULTILINE)
    assert [step.split()[0] for step in steps] == ["systemctl", "write", "remove", "service-discover", "open", "list"]
    assert re.match(r"write the reset index \d+ to .*/acl-bootstrap-reset, as ", steps[1])
    assert shown.out.endswith("\nNothing was changed.\n")
    mesh.reset_file.write_text("1\n")
    mesh.command()(*ACL_ONLY, "--dry-run", *mesh.options, expect=0)
    assert mesh.reset_file.read_text() == "1\n"
    mesh.reset_file.unlink()
    assert nothing_happened(mesh)


def test_what_is_refused_before_anything_happens(mesh, free_port):
    def refused(*arguments, code=1, **environment):
        run = mesh.command(**environment)(*arguments, expect=code)
        assert run.err.count("error: ") == 1
        return run.err

    options = [*mesh.options]
    assert "there is no terminal to ask on, and nothing was changed: give --yes" in refused(*REGENERATE, *options)
    assert "no raft in it: say with --data-dir" in refused(*REGENERATE, "--yes", "--data-dir", str(mesh.home), *options[2:])
    assert "there is no user nosuch on this machine" in refused(*REGENERATE, "--yes", *options[:-3], "--user", "nosuch", options[-1])
    assert "is on another machine: unset CONSUL_HTTP_ADDR" in refused(*REGENERATE, "--yes", *options, CONSUL_HTTP_ADDR="192.0.2.1:8500")
    assert "connection refused" in refused(*REGENERATE, "--yes", *options, CONSUL_HTTP_ADDR=f"127.0.0.1:{free_port}")
    assert "--ca goes with --acl-only" in refused(*REGENERATE, "--yes", "--ca", "x", *options)
    (mesh.folder / "new-password").write_text("a\tb")
    assert "control character" in refused(*REGENERATE, "--yes", *options)
    (mesh.programs / "service-discover").rename(mesh.programs / "other")
    assert "there is no service-discover on this machine" in refused(*REGENERATE, "--yes", *options)
    waiting = mesh.configuration / f"{ARCHIVE}.bootstrapping"
    waiting.write_text("x")
    assert "left of an interrupted bootstrap" in refused(*ACL_ONLY, "--yes", *options)
    waiting.unlink()
    with Terminal(mesh.command(), *ACL_ONLY, *options) as run:
        run.until("type the cluster's name, dc1: ")
        run.type("yes\n")
        rest, code = run.rest()
    assert code == 1 and "that is not the cluster's name, dc1: nothing was changed" in rest
    assert nothing_happened(mesh)


def test_a_reset_file_that_was_written_by_hand_is_no_trouble(mesh):
    (index,) = re.findall(r"reset index: (\d+)", mesh.consul.request("PUT", "/v1/acl/bootstrap", token="").body)
    mesh.reset_file.write_text(f"{index}\n")
    mesh.command()(*ACL_ONLY, "--yes", *mesh.options, expect=0)
    assert len([t for t in mesh.consul.get("/v1/acl/tokens") if t.get("Policies")]) == 2, "the lost one and the new one"


def test_a_cluster_that_was_never_bootstrapped_has_nothing_to_reset(tmp_path):
    with ConsulServer(bootstrapped=False, persistent=True) as new, MeshServer(tmp_path, new) as mesh:
        failed = mesh.command()(*ACL_ONLY, "--yes", *mesh.options, expect=1)
        assert "were never bootstrapped, so there is nothing to reset: reconciler credentials bootstrap" in failed.err


def test_an_interrupted_run_is_finished_in_its_own_way_first(mesh):
    mesh.command("2", "after")(*ACL_ONLY, "--yes", *mesh.options, expect=-signal.SIGKILL)
    failed = mesh.command()(*REGENERATE, "--yes", *mesh.options, expect=1)
    assert "an interrupted run is to be finished first, with --acl-only" in failed.err
