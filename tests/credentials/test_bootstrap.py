"""The first credentials of a cluster, on real Consuls whose ACLs were never bootstrapped, with the command as it is run."""

import json
import os
import re
import signal
import stat
from dataclasses import replace

import pytest

from reconciler.credentials.archive import ACL_TOKEN, CA, CA_KEY, GOSSIP_KEY
from reconciler.credentials.opening import open_archive
from reconciler.credentials.regeneration.journal import alone
from reconciler.model.secret import Secret
from tests.credentials.archives import PASSWORD, contents, gpg, needs_gpg, write
from tests.e2e.command import Command
from tests.e2e.terminal import Terminal, without_colour
from tests.servers.consul import ConsulServer
from tests.servers.counting_proxy import CountingProxy, Fate, Refusal


@pytest.fixture
def new():
    """A cluster on its first day."""
    with ConsulServer(bootstrapped=False) as server:
        yield server


@pytest.fixture
def parts(tmp_path):
    """The parts of an archive, in files."""
    made = contents()
    for name, file in ((CA, "ca.pem"), (CA_KEY, "ca-key.pem"), (GOSSIP_KEY, "gossip")):
        (tmp_path / file).write_bytes(made[name])
    (tmp_path / "password").write_text(f"{PASSWORD}\n")
    return made


BOOTSTRAP = ("credentials", "bootstrap", "--ca", "ca.pem", "--ca-key", "ca-key.pem", "--gossip-key", "gossip")
BY_FILE = (*BOOTSTRAP, "--password-file", "password", "new.tar.gpg")


def program(folder, consul):
    return Command(folder, {"PATH": os.environ["PATH"], "HOME": str(folder), "LANG": "C.UTF-8", "CONSUL_HTTP_ADDR": consul.address})


def archive_of(folder):
    return open_archive(folder / "new.tar.gpg", Secret(PASSWORD))


def is_management(consul, secret):
    token = consul.get("/v1/acl/token/self", token=secret)
    return [policy["Name"] for policy in token["Policies"]] == ["global-management"]


@needs_gpg
def test_a_new_cluster_gets_its_token_and_its_archive(tmp_path, new, parts):
    run = program(tmp_path, new)(*BY_FILE, expect=0)
    path = tmp_path / "new.tar.gpg"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    members = {m.name: m.bytes for m in archive_of(tmp_path).members.values()}
    assert {name: members[name] for name in (GOSSIP_KEY, CA, CA_KEY)} == {name: parts[name] for name in (GOSSIP_KEY, CA, CA_KEY)}
    token = json.loads(members[ACL_TOKEN])
    assert is_management(new, token["SecretID"])
    assert token["Description"] == "Bootstrap Token (Global Management)"
    assert token["Policies"] == [{"ID": "00000000-0000-0000-0000-000000000001", "Name": "global-management"}]
    assert run.out == f"The ACLs of Consul at {new.address} are bootstrapped: token {token['AccessorID']}. Its secret is in {path}.\n"
    assert token["SecretID"] not in run.out + run.err
    assert sorted(p.name for p in tmp_path.iterdir()) == ["ca-key.pem", "ca.pem", "gossip", "new.tar.gpg", "password"]
    assert token["SecretID"].encode() in gpg("-qdo", "-", content=path.read_bytes())
    # and it is what the other commands take
    command = program(tmp_path, new)
    assert command("credentials", "token", "--password-file", "password", "new.tar.gpg", expect=0).out == token["SecretID"]
    verified = command("credentials", "verify", "--password-file", "password", "new.tar.gpg", expect=0)
    assert "× " not in verified.out and "✓ the token has the policy global-management" in verified.out


def test_a_cluster_is_bootstrapped_once(tmp_path, new, parts):
    command = program(tmp_path, new)
    command(*BY_FILE, expect=0)
    before = (tmp_path / "new.tar.gpg").read_bytes()
    refused = command(*BY_FILE, expect=5)
    assert "new.tar.gpg exists: another archive would take its place" in refused.err
    again = command(*BY_FILE, "--force", expect=1)
    assert "were bootstrapped before (reset index: " in again.err
    assert (tmp_path / "new.tar.gpg").read_bytes() == before, "a refusal leaves the archive that there is"
    assert not (tmp_path / "new.tar.gpg.bootstrapping").exists()
    with alone(tmp_path / "new.tar.gpg"):
        assert "is still at work on" in command(*BY_FILE, "--force", expect=4).err


def test_an_archive_that_is_of_no_use_is_replaced_when_that_is_said(tmp_path, new, parts):
    write(tmp_path, contents(), "that nobody knows any more").rename(tmp_path / "new.tar.gpg")
    with CountingProxy(new.address, after=lambda _: Fate.END) as proxy:
        program(tmp_path, new).having(CONSUL_HTTP_ADDR=proxy.address)(*BY_FILE, "--force", expect=1)
    assert "exists: another archive would take its place" in program(tmp_path, new)(*BY_FILE, expect=5).err
    program(tmp_path, new)(*BY_FILE, "--force", expect=0)
    assert is_management(new, archive_of(tmp_path).secret_id().reveal())


@pytest.mark.parametrize(
    ("change", "arguments", "message"),
    [
        (lambda f: (f / "ca.pem").unlink(), BY_FILE, "the CA certificate ca.pem cannot be read: no such file or directory: .*--ca "),
        (lambda f: (f / "ca.pem").write_text("x"), BY_FILE, "ca.pem is no certificate in PEM: .*--ca"),
        (lambda f: (f / "ca-key.pem").write_text("x"), BY_FILE, "ca-key.pem is no private key .*--ca-key"),
        (lambda f: (f / "ca-key.pem").write_bytes(contents(pair=1)[CA_KEY]), BY_FILE, "ca-key.pem is not the key of ca.pem"),
        (lambda f: (f / "gossip").write_text("x"), BY_FILE, "the gossip key in gossip is not 16, 24 or 32 bytes in base64"),
        (lambda f: (f / "new.tar.gpg").mkdir(), (*BY_FILE, "--force"), "new.tar.gpg exists and is no plain file"),
        (lambda f: (f / "password").unlink(), BY_FILE, "the secret file password cannot be read"),
        (lambda _: None, (*BY_FILE[:-1], "no-such-folder/new.tar.gpg"), "the folder .*/no-such-folder does not exist"),
        (lambda _: None, (*BOOTSTRAP, "new.tar.gpg"), "there is no password for new.tar.gpg, and no terminal to ask on: give --password-file"),
        (lambda _: None, ("credentials", "bootstrap", "--password-file", "password", "x"), "say with --ca where it is"),
    ],
)  # fmt: skip
def test_what_could_fail_is_found_before_consul_is_asked(tmp_path, consul_that_is_new, parts, change, arguments, message):
    change(tmp_path)
    failed = program(tmp_path, consul_that_is_new)(*arguments, expect=1)
    assert failed.err.count("\n") == 1
    assert re.search(message, failed.err), failed.err
    refusal = consul_that_is_new.request("PUT", "/v1/acl/bootstrap", {"BootstrapSecret": "no-uuid"}, token="")
    assert "no longer allowed" not in str(refusal.body), "it could still be bootstrapped"
    assert not list(tmp_path.glob("*.bootstrapping"))


@pytest.fixture(scope="module")
def consul_that_is_new():
    with ConsulServer(bootstrapped=False) as server:
        yield server


def test_consul_is_down(tmp_path, parts, free_port):
    command = Command(tmp_path, {"CONSUL_HTTP_ADDR": f"127.0.0.1:{free_port}"})
    assert "connection refused" in command(*BY_FILE, expect=1).err
    assert not list(tmp_path.glob("new*"))


def test_an_archive_that_cannot_be_put_in_its_place_is_finished_by_the_next_run(tmp_path, new, parts):
    def somebody_else(_):
        (tmp_path / "new.tar.gpg").write_text("somebody else's")

    with CountingProxy(new.address, before=somebody_else) as proxy:
        failed = program(tmp_path, new).having(CONSUL_HTTP_ADDR=proxy.address)(*BY_FILE, expect=3)
    assert "the ACLs are bootstrapped, but" in failed.err and "new.tar.gpg.bootstrapping, encrypted" in failed.err
    secret = open_archive(tmp_path / "new.tar.gpg.bootstrapping", Secret(PASSWORD)).secret_id().reveal()
    assert secret not in failed.err + failed.out, "no terminal, so it is not shown"
    assert is_management(new, secret)
    assert (tmp_path / "new.tar.gpg").read_text() == "somebody else's", "only what was there when --force was given may be replaced"
    (tmp_path / "new.tar.gpg").unlink()
    finished = program(tmp_path, new)(*BY_FILE, expect=0)
    assert "an earlier run was interrupted: going on with the token in" in finished.err
    assert archive_of(tmp_path).secret_id().reveal() == secret
    assert json.loads(archive_of(tmp_path).members[ACL_TOKEN].bytes)["Description"] == "Bootstrap Token (Global Management)"
    assert not (tmp_path / "new.tar.gpg.bootstrapping").exists()


def test_on_a_terminal_the_token_is_shown_once_when_its_archive_cannot_be_written(tmp_path, new, parts):
    with CountingProxy(new.address, before=lambda _: (tmp_path / "new.tar.gpg").mkdir()) as proxy:
        command = program(tmp_path, new).having(CONSUL_HTTP_ADDR=proxy.address)
        with Terminal(command, *BOOTSTRAP, "new.tar.gpg") as run:
            run.until("New password for new.tar.gpg: ")
            run.type(f"{PASSWORD}\n")
            run.until("The same again: ")
            run.type(f"{PASSWORD}\n")
            rest, code = run.rest()
    secret = open_archive(tmp_path / "new.tar.gpg.bootstrapping", Secret(PASSWORD)).secret_id().reveal()
    assert code == 3
    assert without_colour(rest).count(secret) == 1
    assert is_management(new, secret)


@pytest.mark.parametrize("moment", ["before it was made", "after it was made"])
def test_an_answer_that_is_lost_loses_no_token(tmp_path, new, parts, moment):
    with CountingProxy(new.address) as proxy:
        setattr(proxy, moment.split()[0], lambda write: Fate.CUT if write.path == "/v1/acl/bootstrap" else None)
        run = program(tmp_path, new).having(CONSUL_HTTP_ADDR=proxy.address)(*BY_FILE)
    if moment.startswith("before"):
        assert run.code == 1 and "is not known" in run.err
        run = program(tmp_path, new)(*BY_FILE, expect=0)
    assert run.code == 0
    assert is_management(new, archive_of(tmp_path).secret_id().reveal())


@pytest.mark.parametrize("can_be_asked", [True, False])
def test_a_refusal_is_believed_only_when_there_is_no_token(tmp_path, new, parts, can_be_asked):
    def refuse(_):
        if not can_be_asked:
            proxy.end()
        return Refusal(500, "something that nobody has heard of")

    with CountingProxy(new.address, after=refuse) as proxy:
        run = program(tmp_path, new).having(CONSUL_HTTP_ADDR=proxy.address)(*BY_FILE)
    assert run.code == (0 if can_be_asked else 1)
    if not can_be_asked:
        assert "its secret stays in" in run.err and "something that nobody has heard of" in run.err
        program(tmp_path, new)(*BY_FILE, expect=0)
    assert is_management(new, archive_of(tmp_path).secret_id().reveal())


@pytest.mark.parametrize("moment", ["kill_before", "kill_after"])
def test_a_run_that_is_killed_is_finished_by_the_next(tmp_path, new, parts, moment):
    with CountingProxy(new.address) as proxy:
        process = program(tmp_path, new).having(CONSUL_HTTP_ADDR=proxy.address).start(*BY_FILE)
        getattr(proxy, moment)(1, lambda: process.pid)
        assert process.wait(60) == -signal.SIGKILL
    assert not (tmp_path / "new.tar.gpg").exists()
    waiting = tmp_path / "new.tar.gpg.bootstrapping"
    secret = open_archive(waiting, Secret(PASSWORD)).secret_id().reveal()
    # killed once more, when all but the removal of what waited is done
    run = program(tmp_path, new)
    killed = replace(run, program=("-m", "tests.credentials.killed_run", "removal", "before"))(*BY_FILE, expect=-signal.SIGKILL)
    assert "an earlier run was interrupted" in killed.err
    assert archive_of(tmp_path).secret_id().reveal() == secret and waiting.exists()
    finished = run(*BY_FILE, expect=0)
    assert f"are bootstrapped: token {archive_of(tmp_path).token()['AccessorID']}. Its secret is in" in finished.out
    assert not waiting.exists() and is_management(new, secret)


def test_a_rest_of_another_cluster_is_told(tmp_path, new, parts):
    write(tmp_path, contents()).rename(tmp_path / "new.tar.gpg.bootstrapping")
    new.put("/v1/acl/bootstrap", token="")
    failed = program(tmp_path, new)(*BY_FILE, expect=1)
    assert "Consul does not accept the token in" in failed.err and "remove that file" in failed.err
    assert not (tmp_path / "new.tar.gpg").exists()
    write(tmp_path, contents()).rename(tmp_path / "new.tar.gpg")
    assert "another archive would take its place" in program(tmp_path, new)(*BY_FILE, expect=5).err


def test_two_different_passwords_change_nothing(tmp_path, consul_that_is_new, parts):
    with Terminal(program(tmp_path, consul_that_is_new), *BOOTSTRAP, "new.tar.gpg") as run:
        run.until("New password for new.tar.gpg: ")
        run.type("one\n")
        run.until("The same again: ")
        run.type("two\n")
        rest, code = run.rest()
    assert (code, "two different passwords" in rest) == (1, True)
    assert not list(tmp_path.glob("new*"))
