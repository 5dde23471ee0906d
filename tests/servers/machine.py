"""A host for tests: a Debian with a real systemd and a real sshd, which boots in some two seconds and leaves nothing behind.

It has process ids, mounts, a host name, cgroups and a network of its own, so that two of them, each with its own port 22 and 8443, do not meet.
See ``debian_root.py`` for what is on it, ``machine_runner.py`` for how it runs and how it is reached.
"""

from __future__ import annotations

import functools
import itertools
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from tests.servers import debian_root
from tests.servers.debian_root import Unavailable
from tests.servers.machine_snapshot import LOOK, Snapshot
from tests.servers.supervised import ServerFailed, Supervised, fresh_folder

_RUNNER = Path(__file__).with_name("machine_runner.py")
_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
_numbers = itertools.count(1)

_PROBE = """
ip link add here type veth peer name there
echo 1 >/proc/sys/net/ipv4/conf/here/route_localnet
mount -t cgroup2 cgroup2 /mnt
mount -t tmpfs tmpfs /mnt
"""
USERS = ("root", "admin", "careful")
"""Who may log in with ``identity_file``: ``admin`` uses sudo without a password, ``careful`` with ``Machine.sudo_password``."""


@functools.cache
def why_not() -> str | None:
    """Why there can be no machines here; ``None`` when there can. The Debian for them is made when there is none yet."""
    try:
        debian_root.obtain()
    except Unavailable as reason:
        return str(reason)
    namespaces = ["unshare", "--pid", "--mount", "--uts", "--ipc", "--net", "--cgroup", "--fork"]
    tried = subprocess.run([*namespaces, "sh", "-euc", _PROBE], capture_output=True, text=True, check=False)
    return f"root may not do here what a test machine needs: {tried.stderr.strip()}" if tried.returncode else None


@functools.cache
def _overlay_works() -> bool:
    probe = 'mount -t tmpfs t /mnt && mkdir /mnt/u /mnt/w && mount -t overlay -o "lowerdir=$0,upperdir=/mnt/u,workdir=/mnt/w" o /mnt/u'
    return subprocess.run(["unshare", "--mount", "sh", "-c", probe, debian_root.folder()], capture_output=True, check=False).returncode == 0


class Machine:
    """One host; booted and ended as a context manager. Raises Unavailable where this machine cannot run any.

    ``programs``: binaries, by the name under which they appear in its /usr/bin. ``view``: how it gets a root of its own, ``overlay`` or ``copy``.
    """

    ssh_port = 22

    def __init__(self, *, hostname: str = "", programs: Mapping[str, Path] | None = None, view: str = "") -> None:
        self.hostname = hostname or f"gateway-{os.getpid()}-{next(_numbers)}.example.com"
        self.sudo_password = secrets.token_hex(8)
        self.address = ""
        self.pid = 0
        self._programs, self._view = programs or {}, view
        self._process: Supervised | None = None
        self.folder = fresh_folder("machine", None)
        self.log = self.folder / "machine.log"
        self.known_hosts = self.folder / "known_hosts"
        self.identity_file = self.folder / "identity"

    # --- running ---

    def start(self) -> Self:
        """Boot it and wait until all its units have started, sshd among them."""
        try:
            if reason := why_not():
                raise Unavailable(reason)
            self._boot()
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """End it, as a power cut would, and remove all that it wrote; harmless when it has ended already."""
        if self._process is not None:
            self._process.stop()
            self._process = None
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def runner(self) -> int:
        """The process id of what runs it."""
        assert self._process is not None, "not started"
        return self._process.pid

    @property
    def is_running(self) -> bool:
        """Whether it has not ended by itself."""
        return self._process is not None and self._process.is_running

    def _boot(self) -> None:
        outside = self.folder / "outside"
        outside.mkdir()
        passwords = self.folder / "passwords"
        passwords.touch(0o600)
        passwords.write_text(f"careful:{self.sudo_password}\n")
        view = self._view or ("overlay" if _overlay_works() else "copy")
        runner = [sys.executable, "-I", "-S", str(_RUNNER), str(self.folder), str(debian_root.folder()), view, self.hostname]
        unshare = shutil.which("unshare")
        assert unshare is not None
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as told:
            told.bind(str(outside / "notify"))
            told.setblocking(False)
            self._process = Supervised(
                [unshare, "--mount", *runner, *(f"{name}={binary}" for name, binary in self._programs.items())],
                log=self.log,
                environ={"PATH": _PATH},
                stop_signal=signal.SIGTERM,
                grace_s=20,
                remove=self.folder,
            )
            # its systemd tells when it is up, by the protocol that it also has with its own services
            self._process.wait_until(lambda: _has_told(told, b"READY=1"), what="the machine", timeout_s=90)
        process_id, self.address = (self.folder / "machine").read_text().split()
        self.pid = int(process_id)
        for kept in (self.known_hosts, self.identity_file):
            shutil.move(outside / kept.name, kept)
        shutil.rmtree(outside, ignore_errors=True)
        state = self.run("systemctl", "is-system-running", check=False).stdout.strip()
        if state not in ("running", "degraded"):
            raise ServerFailed(f"the machine is {state}\n{self.run('systemctl', 'list-jobs').stdout}")

    # --- looking ---

    def run(self, *argv: str, stdin: str = "", check: bool = True, timeout_s: float = 60) -> subprocess.CompletedProcess[str]:
        """Run a program on it as root, past sshd: for the tests' own looking and interfering."""
        done = subprocess.run(
            ["nsenter", f"--target={self.pid}", "--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup", "--", *argv],
            input=stdin,
            capture_output=True,
            text=True,
            env={"PATH": _PATH, "LC_ALL": "C.UTF-8", "HOME": "/root"},
            timeout=timeout_s,
            check=False,
        )
        if check and done.returncode != 0:
            raise ServerFailed(f"{argv[0]} on {self.hostname} ended with {done.returncode}\n{done.stdout}{done.stderr}")
        return done

    def read(self, path: str) -> str:
        """The text of a file."""
        return self.run("cat", "--", path).stdout

    def write(self, path: str, text: str, *, mode: str = "0644") -> None:
        """Write a file, as somebody else would, owned by root; with the folders above it."""
        self.run("sh", "-ec", 'mkdir -p "${1%/*}"; cat >"$1"; chmod "$2" "$1"', "sh", path, mode, stdin=text)

    def exists(self, path: str) -> bool:
        """Whether there is anything at ``path``, be it a link that leads nowhere."""
        return self.run("sh", "-c", '[ -e "$1" ] || [ -L "$1" ]', "sh", path, check=False).returncode == 0

    @property
    def machine_id(self) -> str:
        """What it calls itself in /etc/machine-id."""
        return self.read("/etc/machine-id").strip()

    def snapshot(self) -> Snapshot:
        """All that a program may have left on it: accounts, files and units, processes."""
        return Snapshot.of(self.run("sh", "-ec", LOOK).stdout)

    def ssh(self, *argv: str, user: str = "root") -> subprocess.CompletedProcess[str]:
        """Run a command on it by way of sshd, with the system's own client."""
        options = {"IdentityFile": self.identity_file, "UserKnownHostsFile": self.known_hosts, "IdentitiesOnly": "yes", "BatchMode": "yes"}
        given = [part for name, value in options.items() for part in ("-o", f"{name}={value}")]
        return subprocess.run(
            ["ssh", "-F", "none", *given, "-o", "StrictHostKeyChecking=yes", "-p", str(self.ssh_port), f"{user}@{self.address}", *argv],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )


def _has_told(told: socket.socket, what: bytes) -> bool:
    while True:
        try:
            message = told.recv(4096)
        except BlockingIOError:
            return False
        if what in message.splitlines():
            return True
