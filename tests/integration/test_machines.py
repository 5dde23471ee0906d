"""The hosts that other tests stand on: that they are what they say, do not disturb one another, and that nothing of them is left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.servers.machine import USERS, Machine, why_not
from tests.servers.supervised import ServerFailed

pytestmark = pytest.mark.systemd
_ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def possible():
    if reason := why_not():
        pytest.skip(reason)


def _eventually(condition, timeout_s=15.0):
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def _traces(folder, address, runner):
    """What there is of a machine outside of it: its processes, mounts, cgroups, interface, route and files."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            text = "".join((process / name).read_text(errors="replace") for name in ("cmdline", "mountinfo", "cgroup"))
        except OSError:
            continue
        if str(folder) in text or f"reconciler-machine-{runner}" in text:
            found.append(f"process {process.name}: {text[:200]!r}")
    # the hierarchy of cgroups, wherever it is mounted here
    mounted = [fields[4] for fields in map(str.split, Path("/proc/self/mountinfo").read_text().splitlines()) if "cgroup2" in fields]
    found += [str(group) for tree in mounted for group in Path(tree).glob(f"**/reconciler-machine-{runner}")]
    interfaces = subprocess.run(["ip", "-br", "link"], capture_output=True, text=True, check=True).stdout
    routes = subprocess.run(["ip", "route", "show", "table", "local"], capture_output=True, text=True, check=True).stdout
    found += [line for line in (interfaces + routes).splitlines() if address in line or "rec-" + "-".join(address.split(".")[2:]) + "@" in line]
    return found + ([str(folder)] if folder.exists() else [])


@pytest.mark.parametrize("user", USERS)
def test_each_user_logs_in_with_the_key(gateway_host, user):
    assert gateway_host.ssh("id", "-un", user=user).stdout == f"{user}\n"


def test_a_host_key_that_is_not_known_is_refused(gateway_host, second_gateway_host):
    known = second_gateway_host.known_hosts
    before = known.read_text()
    try:
        known.write_text(gateway_host.known_hosts.read_text().replace(gateway_host.address, second_gateway_host.address))
        assert "REMOTE HOST IDENTIFICATION HAS CHANGED" in second_gateway_host.ssh("true").stderr
    finally:
        known.write_text(before)


def test_sudo_asks_one_user_for_the_password_and_not_the_other(gateway_host):
    assert gateway_host.ssh("sudo", "-n", "id", "-un", user="admin").stdout == "root\n"
    assert "a password is required" in gateway_host.ssh("sudo", "-n", "true", user="careful").stderr
    given = f"echo {gateway_host.sudo_password} | sudo -S -p '' id -un"
    assert gateway_host.ssh(given, user="careful").stdout == "root\n"


def test_it_is_a_host_with_all_its_units_running(gateway_host):
    assert gateway_host.run("systemctl", "is-system-running").stdout == "running\n"
    assert gateway_host.run("ps", "-p", "1", "-o", "comm=").stdout == "systemd\n"
    assert gateway_host.ssh("cat", "/etc/machine-id").stdout.strip() == gateway_host.machine_id != Path("/etc/machine-id").read_text().strip()
    assert gateway_host.ssh("hostname").stdout.strip() == gateway_host.hostname


def test_snapshots_tell_what_was_changed(gateway_host):
    before = gateway_host.snapshot()
    assert gateway_host.snapshot().since(before) == []
    try:
        gateway_host.write("/etc/systemd/system/made.service", "[Service]\nExecStart=/bin/sleep 4711\n")
        gateway_host.run("useradd", "--system", "made")
        gateway_host.run("systemctl", "daemon-reload")
        gateway_host.run("systemctl", "start", "made")
        changes = "\n".join(gateway_host.snapshot().since(before))
    finally:
        gateway_host.run("systemctl", "stop", "made")
        gateway_host.run("userdel", "made")
        gateway_host.run("rm", "/etc/systemd/system/made.service")
        gateway_host.run("systemctl", "daemon-reload")
    for part in ("+ made:x:", "/etc/systemd/system/made.service", "+ made.service loaded active running", "/bin/sleep 4711"):
        assert part in changes
    assert gateway_host.snapshot().since(before) == []


def test_two_machines_do_not_disturb_one_another(gateway_host, second_gateway_host):
    hosts = (gateway_host, second_gateway_host)
    assert len({host.machine_id for host in hosts}) == len({host.address for host in hosts}) == 2
    gateway_host.write("/etc/only-here", "x")
    try:
        assert not second_gateway_host.exists("/etc/only-here")
        assert "sshd" in second_gateway_host.run("ps", "ax").stdout
        assert not set(gateway_host.run("ls", "/proc").stdout.split()) >= {str(gateway_host.pid), str(second_gateway_host.pid)}
    finally:
        gateway_host.run("rm", "/etc/only-here")
    # both have port 22, and reach one another
    assert all(host.ssh("hostname").stdout.strip() == host.hostname for host in hosts)
    assert gateway_host.run("bash", "-c", f"read -r line </dev/tcp/{second_gateway_host.address}/22; echo $line").stdout.startswith("SSH-2.0-")


def test_what_is_installed_on_one_machine_is_not_in_the_next():
    with Machine() as first:
        first.run("sh", "-c", "echo x >/etc/made; rm /usr/bin/rpm")
    with Machine() as second:
        assert not second.exists("/etc/made")
        assert second.exists("/usr/bin/rpm")


@pytest.mark.parametrize("view", ["overlay", "copy"])
def test_nothing_remains_of_a_stopped_machine(view):
    with Machine(view=view) as machine:
        machine.run("systemd-run", "--quiet", "setsid", "sleep", "10000")
        runner = machine.runner
        assert len(_traces(machine.folder, machine.address, runner)) > 5
    assert _traces(machine.folder, machine.address, runner) == []


def test_nothing_remains_of_a_machine_whose_tests_were_killed():
    script = "from tests.servers.machine import Machine\nm = Machine().start()\nprint(m.folder, m.address, m.runner, flush=True)\ninput()\n"
    with subprocess.Popen([sys.executable, "-c", script], cwd=_ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as tests:
        assert tests.stdout
        folder, address, runner = tests.stdout.readline().split()
        assert _traces(Path(folder), address, runner)
        os.kill(tests.pid, signal.SIGKILL)
    assert _eventually(lambda: _traces(Path(folder), address, runner) == []), _traces(Path(folder), address, runner)


def test_a_machine_that_powers_itself_off_is_gone():
    with Machine() as machine:
        machine.run("systemctl", "poweroff", "--force", "--force", check=False)
        assert _eventually(lambda: not machine.is_running)
        with pytest.raises(ServerFailed):
            machine.run("true")
