"""What goes wrong on the way to a machine, and on it: one clear line, nothing half-written, and the next apply completes."""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from tests.hosts.gateways import Gateways
from tests.servers.machine import Machine

pytestmark = [pytest.mark.systemd, pytest.mark.envoy]

_FOLDER = "/etc/carbonio/gateway/service-discover"


def with_options(gateways: Gateways, **options: object) -> Gateways:
    """The same with other options in the ssh_config."""
    given = Path(gateways.run.environment["RECONCILER_SSH_CONFIG"]).read_text()
    file = gateways.run.folder / "other_ssh_config"
    kept = [line for line in given.splitlines() if line.split()[0] not in options]  # of keys every one that is named would be tried
    file.write_text("\n".join([*kept, *(f"  {name} {value}" for name, value in options.items()), ""]))
    return Gateways(gateways.run.having(RECONCILER_SSH_CONFIG=str(file)), gateways.node)


def a_key(folder: Path) -> Path:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / "key"], check=True)
    return folder / "key"


def known_hosts_with_another_key(machine: Machine, folder: Path) -> Path:
    kind, key = a_key(folder).with_suffix(".pub").read_text().split()[:2]
    file = folder / "known_hosts"
    file.write_text(f"{machine.address} {kind} {key}\n")
    return file


def empty(folder: Path) -> Path:
    (folder / "empty").touch()
    return folder / "empty"


FAULTS: dict[str, tuple[Callable[[Machine, Path], dict[str, object]], str]] = {
    "wrong key": (lambda _, folder: {"IdentityFile": a_key(folder), "IdentityAgent": "none"}, "load the right key into the SSH agent"),
    "unknown host key": (lambda _, folder: {"UserKnownHostsFile": empty(folder)}, "compare its fingerprint"),
    "changed host key": (lambda m, folder: {"UserKnownHostsFile": known_hosts_with_another_key(m, folder)}, "is not the one in known_hosts"),
    "nobody listens": (lambda *_: {"Port": 1}, "cannot be reached: ssh: connect to host .* port 1: Connection refused"),
    "no such name": (lambda *_: {"HostName": "no-such-machine.invalid"}, "cannot be reached: .*no-such-machine.invalid"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_machine_that_lets_us_not_in_is_named_with_what_to_do(gateways: Gateways, tmp_path: Path, fault: str):
    options, words = FAULTS[fault]
    wrong = with_options(gateways, **options(gateways.node.machine, tmp_path))
    said = wrong.run("plan", wrong.write(wrong.manifest("carbonio-gateway")), expect=1)
    assert said.out == ""
    [line] = said.err.splitlines()
    assert line.startswith("reconciler: error: host gateway")
    assert re.search(words, line), line


def test_sudo_that_asks_for_a_password_is_said_so(gateways: Gateways):
    manifest = gateways.manifest("carbonio-gateway", host=gateways.host("careful", sudo=True))
    assert "sudo asks for a password: allow this account to use it without one" in gateways.run("plan", gateways.write(manifest), expect=1).err


def test_without_the_right_to_see_it_is_an_error_and_no_absence(gateways: Gateways):
    machine = gateways.node.machine
    machine.run("mkdir", "-p", "-m", "0700", "/etc/carbonio")
    said = gateways.run("plan", gateways.write(gateways.manifest("carbonio-gateway", host=gateways.host("careful"))), expect=1)
    machine.run("rmdir", "/etc/carbonio")
    assert "cannot be looked at: Permission denied" in said.err


def test_without_a_client_for_ssh_it_says_what_to_install(gateways: Gateways, tmp_path: Path):
    (tmp_path / "bin").mkdir()
    for program in ("sh", "base64"):
        (tmp_path / "bin" / program).symlink_to(shutil.which(program) or "")
    run = gateways.run.having(PATH=str(tmp_path / "bin"))
    assert "install openssh-client" in run("plan", gateways.write(gateways.manifest("carbonio-gateway")), expect=1).err


def test_a_login_shell_that_greets_does_not_matter(gateways: Gateways):
    machine, manifest = gateways.node.machine, gateways.manifest("carbonio-gateway")
    machine.write("/root/.bashrc", "echo Welcome to this machine\n")
    try:
        gateways.apply(manifest)
        assert gateways.is_settled(manifest)
        gateways.destroy(manifest)
    finally:
        machine.run("rm", "-f", "/root/.bashrc")


@contextmanager
def mounted(machine: Machine, *mount: str, at: str) -> Iterator[None]:
    machine.run("mount", *mount)
    try:
        yield
    finally:
        machine.run("umount", at)


def test_a_disk_that_is_full_leaves_the_old_file_and_the_next_apply_completes(gateways: Gateways):
    machine = gateways.node.machine
    before = machine.snapshot()
    machine.run("mkdir", "/etc/small")
    manifest: dict[str, Any] = {
        "version": 1, "name": "disk", "hosts": {"gateway": gateways.host()},
        "files": {"f": {"host": "gateway", "path": "/etc/small/file", "content": "old\n"}},
    }  # fmt: skip
    with mounted(machine, "-t", "tmpfs", "-o", "size=64k", "tmpfs", "/etc/small", at="/etc/small"):
        gateways.apply(manifest)
        machine.run("sh", "-c", "head -c 1M /dev/zero >/etc/small/fill || :")
        manifest["files"]["f"]["content"] = "new\n" * 5000
        said = gateways.apply(manifest, expect=3)
        assert "/etc/small/file: No space left on device" in said.out + said.err
        assert machine.read("/etc/small/file") == "old\n"
        assert machine.run("ls", "-A", "/etc/small").stdout.split() == ["file", "fill"]
        machine.run("rm", "/etc/small/fill")
        gateways.apply(manifest)
        assert machine.read("/etc/small/file") == manifest["files"]["f"]["content"]
        gateways.destroy(manifest)
    machine.run("rmdir", "/etc/small")
    assert machine.snapshot().since(before) == []


def test_an_etc_that_cannot_be_written_fails_plainly_and_the_next_apply_completes(gateways: Gateways):
    machine, manifest = gateways.node.machine, gateways.manifest("carbonio-gateway")
    before = machine.snapshot()
    machine.run("mount", "--bind", "/etc", "/etc")
    with mounted(machine, "-o", "remount,ro,bind", "/etc", at="/etc"):
        said = gateways.apply(manifest, expect=3)
        assert "Read-only file system" in said.out + said.err
        assert said.last.startswith("Apply incomplete:")
    assert machine.snapshot().since(before) == []
    gateways.apply(manifest)
    assert gateways.is_settled(manifest)
    gateways.destroy(manifest)
    assert machine.snapshot().since(before) == []


class Cutting:
    """A way to a machine's sshd that is cut once ``after_bytes`` have gone to it; open again for the connections that come later."""

    def __init__(self, machine: Machine, after_bytes: int) -> None:
        self._target, self._left = (machine.address, machine.ssh_port), after_bytes
        self.has_cut = False
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.create_connection(self._target)
            threading.Thread(target=self._pass, args=(client, server, True), daemon=True).start()
            threading.Thread(target=self._pass, args=(server, client, False), daemon=True).start()

    def _pass(self, source: socket.socket, sink: socket.socket, counts: bool) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                if counts and not self.has_cut:
                    self._left -= len(data)
                    if self._left < 0:
                        self.has_cut = True
                        break
                sink.sendall(data)
        for each in (source, sink):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize("after_kib", [8, 14, 20, 28])
def test_a_connection_that_is_cut_leaves_nothing_half_done_and_the_next_apply_completes(gateways: Gateways, after_kib: int):
    machine, manifest = gateways.node.machine, gateways.manifest("carbonio-gateway")
    before = machine.snapshot()
    way = Cutting(machine, after_kib * 1024)
    cut = with_options(gateways, HostName="127.0.0.1", Port=way.port, HostKeyAlias=machine.address)
    said = cut.run("apply", cut.write(manifest), "--auto-approve", "--wait", "0")
    way.close()
    assert way.has_cut
    assert said.code in (0, 1, 3), str(said)  # what was cut may have been looked at again, and found done
    if said.code:
        assert "host gateway" in said.out + said.err
        assert "Traceback" not in said.err
    if machine.exists(_FOLDER):
        assert machine.run("ls", "-A", _FOLDER).stdout.split() in ([], ["token"])
    gateways.apply(manifest)
    assert gateways.is_settled(manifest)
    gateways.destroy(manifest)
    assert machine.snapshot().since(before) == []
