"""What can go wrong on the way to a machine and on it: one clear line, nothing half-written, and the next run completes."""

from __future__ import annotations

import contextlib
import subprocess

import pytest

from reconciler.model.errors import OutcomeUnknown, Unreachable
from reconciler.systems.host import ssh
from tests.servers.cutting_proxy import CuttingProxy

pytestmark = pytest.mark.systemd

FOLDER = "/etc/reconciler-test"
PATH = f"{FOLDER}/file"
ADDRESS = f"file/gateway{PATH}"


@pytest.fixture
def machine(gateways):
    """The machine, with a folder for the file."""
    one = gateways.node.machine
    one.run("mkdir", FOLDER)
    yield one
    one.run("rm", "-r", FOLDER)


def a_file(gateways, content="one\n", **host):
    """A manifest of one file on the machine."""
    return {
        "version": 1,
        "name": "faults",
        "hosts": {"gateway": {**gateways.host(), **host}},
        "files": {"it": {"host": "gateway", "path": PATH, "content": content}},
    }


def with_config(gateways, **options):
    """The command with other settings in its ssh_config, which come first and so win."""
    config = gateways.run.folder / "ssh_config"
    other = gateways.run.folder / "other_config"
    lines = "".join(f"  {name} {value}\n" for name, value in options.items())
    other.write_text(f"Host *\n{lines}{config.read_text()}")
    return gateways.run.having(RECONCILER_SSH_CONFIG=str(other))


def error(run):
    """The one line that a run says went wrong."""
    (line,) = [line for line in run.err.splitlines() if line.startswith("reconciler: error: ")]
    return line.removeprefix("reconciler: error: ")


def new_key(folder, name):
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / name], check=True)
    return folder / name


def refused(gateways, run=None, **host):
    """What a plan says that cannot reach the machine. Nothing is planned then."""
    done = (run or gateways.run)("plan", gateways.write(a_file(gateways, **host)), expect=1)
    assert done.out == ""
    return error(done)


def test_a_key_that_is_not_let_in(gateways, machine):
    config = gateways.run.folder / "ssh_config"
    config.write_text(config.read_text().replace(str(machine.identity_file), str(new_key(gateways.run.folder, "other"))))
    said = refused(gateways)
    assert said == (
        f"host gateway: root@{machine.address}: Permission denied (publickey,password): load the right key into the SSH agent, "
        "or name it in ~/.ssh/config; a password is never asked for"
    )


def test_a_host_key_that_is_not_known(gateways, machine):
    run = with_config(gateways, UserKnownHostsFile="none")
    by_hand = f"ssh -F {gateways.run.folder}/other_config root@{machine.address}"
    assert refused(gateways, run) == (
        f"host gateway: the host key of root@{machine.address} is not known: connect once with {by_hand}, compare its fingerprint, and accept it"
    )


def test_a_host_key_that_has_changed(gateways, machine):
    kind, key, *_ = new_key(gateways.run.folder, "host").with_suffix(".pub").read_text().split()
    known = gateways.run.folder / "known"
    known.write_text(f"{machine.address} {kind} {key}\n")
    assert refused(gateways, with_config(gateways, UserKnownHostsFile=known)).startswith(
        f"host gateway: the host key of root@{machine.address} is not the one in known_hosts: find out why; when it is right, remove the old one "
    )
    assert known.read_text() == f"{machine.address} {kind} {key}\n"


def test_a_machine_that_is_down(gateways, machine, free_port):
    assert refused(gateways, port=free_port) == (
        f"host gateway cannot be reached: connect to host {machine.address} port {free_port}: Connection refused: "
        f"ssh -F {gateways.run.folder}/ssh_config -p {free_port} root@{machine.address} must work, without a question"
    )


def test_a_name_that_means_nothing(gateways, machine):
    said = refused(gateways, with_config(gateways, HostName="gateway.invalid"))
    assert said.startswith("host gateway cannot be reached: Could not resolve hostname gateway.invalid: ")


def test_a_login_that_never_comes_to_an_end(gateways, machine, monkeypatch):
    monkeypatch.setattr(ssh, "LOGIN_TIMEOUT_S", 1)
    before = machine.read("/root/.bashrc")
    machine.write("/root/.bashrc", "sleep 100\n")
    config = gateways.run.environment["RECONCILER_SSH_CONFIG"]
    try:
        with pytest.raises(Unreachable, match="host gateway cannot be reached: no answer to a login within 1 s"):
            _ = ssh.SshShell(ssh.SshSettings("gateway", f"root@{machine.address}", config=config)).identity
    finally:
        machine.write("/root/.bashrc", before)
        machine.run("pkill", "sleep 100", "-f")


def test_no_ssh(gateways, machine):
    said = refused(gateways, gateways.run.having(PATH=str(gateways.run.folder)))
    assert said == "host gateway is reached by ssh, which is not installed here: install openssh-client"


def test_sudo_that_asks_for_a_password(gateways, machine):
    manifest = a_file(gateways) | {"hosts": {"gateway": gateways.host("careful", sudo=True)}}
    assert error(gateways.run("plan", gateways.write(manifest), expect=1)) == (
        "host gateway: sudo asks for a password: allow this account to use it without one (NOPASSWD in /etc/sudoers.d), or log in as root"
    )


def test_a_host_that_fails_does_not_hide_another_that_fails(gateways, machine, free_port):
    manifest = a_file(gateways, port=free_port)
    manifest["hosts"]["second"] = gateways.host("careful", sudo=True)
    manifest["files"]["other"] = {"host": "second", "path": PATH, "content": "x"}
    said = error(gateways.run("plan", gateways.write(manifest), expect=1))
    assert "host gateway cannot be reached" in said


def failures(run):
    """What failed, by address."""
    _, _, told = run.out.partition("\nFailed:\n")
    lines = told.partition("\n\n")[0].splitlines()
    return {line.split()[1]: line.partition("): ")[2] for line in lines}


def test_an_account_that_may_not_write(gateways, machine):
    manifest = gateways.manifest("carbonio-first", host=gateways.host("admin"))
    failed = failures(gateways.apply(manifest, expect=3))
    assert failed == {
        "directory/gateway/etc/carbonio/first/service-discover": "gateway: mkdir: cannot create directory './carbonio': Permission denied",
        "file/gateway/etc/systemd/system/carbonio-first.service": "gateway: /etc/systemd/system/carbonio-first.service: Permission denied",
        "os-group/gateway/carbonio-first": (
            "gateway: accounts cannot be changed: /etc is read-only, or this is not root: log in as root, or write sudo: true under hosts"
        ),
    }
    gateways.destroy(manifest)


def test_what_may_not_be_seen_is_not_taken_for_absent(gateways, machine):
    machine.run("chmod", "0700", FOLDER)
    said = refused(gateways, ssh=gateways.host("careful")["ssh"])
    assert said == f"gateway: file {PATH} cannot be looked at: Permission denied"


def test_a_full_disk(gateways, machine):
    machine.run("mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", FOLDER)
    try:
        gateways.apply(a_file(gateways))
        machine.run("sh", "-c", f"head -c 1M /dev/zero >{FOLDER}/ballast || :")
        failed = failures(gateways.apply(a_file(gateways, content="x" * 100_000), expect=3))
        assert failed == {ADDRESS: f"gateway: {PATH}: No space left on device"}
        assert machine.read(PATH) == "one\n"
        assert machine.run("ls", "-A", FOLDER).stdout.split() == ["ballast", "file"]
        machine.run("rm", f"{FOLDER}/ballast")
        gateways.apply(a_file(gateways, content="two\n"))
        assert machine.read(PATH) == "two\n"
        gateways.destroy(a_file(gateways))
    finally:
        machine.run("umount", FOLDER)


@contextlib.contextmanager
def read_only(machine, folder):
    machine.run("mount", "--bind", folder, folder)
    machine.run("mount", "-o", "remount,bind,ro", folder)
    try:
        yield
    finally:
        machine.run("umount", folder)


def test_a_read_only_etc(gateways, machine):
    manifest = gateways.manifest("carbonio-first")
    with read_only(machine, "/etc"):
        failed = failures(gateways.apply(manifest, expect=3))
        assert failed["directory/gateway/etc/carbonio/first/service-discover"].endswith("./carbonio': Read-only file system")
        assert failed["file/gateway/etc/systemd/system/carbonio-first.service"].endswith("/carbonio-first.service: Read-only file system")
        assert failed["os-group/gateway/carbonio-first"].startswith("gateway: accounts cannot be changed: /etc is read-only")
    gateways.apply(manifest)
    with read_only(machine, "/etc"):
        (why,) = failures(gateways.destroy(manifest, expect=3)).values()
        assert "carbonio-first.service: Failed to disable unit: " in why and "Read-only file system" in why
    gateways.destroy(manifest)


def test_a_login_shell_that_talks(gateways, machine):
    before = machine.read("/root/.bashrc")
    machine.write("/root/.bashrc", "echo hello from $HOSTNAME; echo and this >&2\n")
    try:
        gateways.apply(a_file(gateways))
        assert gateways.is_settled(a_file(gateways))
        gateways.destroy(a_file(gateways))
    finally:
        machine.write("/root/.bashrc", before)


def through(gateways, proxy):
    """The command, which reaches the machine through a proxy."""
    return with_config(gateways, HostName="127.0.0.1", Port=proxy.port, HostKeyAlias=gateways.node.machine.address)


@pytest.mark.slow
def test_a_connection_that_is_cut(gateways, machine):
    """At several moments of an apply, for a moment or for good: what was made is recorded or claimed, and the next run completes."""
    manifest = gateways.manifest("carbonio-first")
    manifest["files"] = {"it": {"host": "gateway", "path": PATH, "content": "line\n" * 100}}
    file = gateways.write(manifest)
    before = machine.snapshot()
    with CuttingProxy((machine.address, machine.ssh_port)) as proxy:
        through(gateways, proxy)("apply", file, "--auto-approve", "--wait", "0", expect=0)
        whole = proxy.sent
    gateways.destroy(manifest)
    for part, ends in ((0.3, True), (0.4, False), (0.55, True), (0.7, False), (0.85, True)):
        with CuttingProxy((machine.address, machine.ssh_port), after=int(whole * part), ends=ends) as proxy:
            run = through(gateways, proxy)("apply", file, "--auto-approve", "--wait", "0", expect=3)
        assert proxy.was_cut
        assert "the SSH connection was lost" in run.out or "cannot be reached" in run.out, str(run)
        if machine.exists(PATH):
            assert machine.read(PATH) == "line\n" * 100
        gateways.apply(manifest)
        gateways.destroy(manifest)
        assert machine.snapshot().since(before) == []


def test_a_cut_in_the_middle_of_a_secret_leaves_the_old_one(gateways, machine):
    secret = a_file(gateways, content={"exec": ["cat", "secret"]})
    (gateways.run.folder / "secret").write_text("old")
    gateways.apply(secret)
    (gateways.run.folder / "secret").write_text("x" * 500_000)
    with CuttingProxy((machine.address, machine.ssh_port), after=250_000) as proxy:
        run = through(gateways, proxy)("apply", gateways.write(secret), "--auto-approve", expect=3)
    assert list(failures(run)) == [ADDRESS]
    assert "the SSH connection was lost" in failures(run)[ADDRESS]
    assert machine.read(PATH) == "old"
    gateways.apply(secret)
    assert machine.read(PATH) == "x" * 500_000
    assert machine.run("ls", "-A", FOLDER).stdout.split() == ["file"]
    gateways.destroy(secret)


def test_a_name_that_leads_to_another_machine_after_a_cut(gateways, machine, second_gateway_host):
    """Both have the key that is expected, as copies of one machine have."""
    known = gateways.run.folder / "known"
    keys = [host.known_hosts.read_text().split(maxsplit=1)[1] for host in (machine, second_gateway_host)]
    known.write_text("".join(f"copies {key}" for key in keys))
    folder = gateways.run.folder
    (folder / "ssh_config").write_text("")
    with CuttingProxy((machine.address, machine.ssh_port)) as proxy:
        with_config(gateways, HostName="127.0.0.1", Port=proxy.port, HostKeyAlias="copies", UserKnownHostsFile=known)
        (folder / "other_config").open("a").write(f"  IdentityFile {machine.identity_file}\n  IdentityFile {second_gateway_host.identity_file}\n")
        shell = ssh.SshShell(ssh.SshSettings("gateway", "root@gateway", config=str(folder / "other_config")))
        try:
            assert shell.run("cat /etc/machine-id").output.decode().strip() == shell.identity == machine.machine_id
            proxy.upstream = (second_gateway_host.address, second_gateway_host.ssh_port)
            proxy.cut()
            with pytest.raises((Unreachable, OutcomeUnknown)):
                shell.run("true")
            with pytest.raises(Unreachable, match="the next one led to another machine"):
                shell.run("true")
        finally:
            shell.close()
