"""A machine over SSH, by the system's own OpenSSH: the user's ssh_config, agent, known_hosts and ProxyJump hold as in every other use of it.

One connection for a run: a master whose session is ours, so that it ends with us however we end, and every script is a session of its own on it
(ssh_config(5), ControlMaster). A host's key must be known already; nothing is asked on a terminal.
"""

from __future__ import annotations

import os
import shlex
import shutil
import socket
import subprocess
import tempfile
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from reconciler.model.errors import AccessDenied, OutcomeUnknown, SystemFault, Unreachable
from reconciler.systems.dialogue import Question, Said, converse
from reconciler.systems.host.shell import PREAMBLE, TIMEOUT_S, Completed

CONNECT_TIMEOUT_S: Final = 15
_LOST: Final = 255
"""The status with which ssh itself fails."""

_OPTIONS: Final = (
    "BatchMode=yes",
    "StrictHostKeyChecking=yes",
    f"ConnectTimeout={CONNECT_TIMEOUT_S}",
    "ServerAliveInterval=10",
    "ServerAliveCountMax=3",
    "LogLevel=ERROR",
    "ForwardAgent=no",
    "ForwardX11=no",
    "ClearAllForwardings=yes",
    "StreamLocalBindUnlink=yes",
    "PermitLocalCommand=no",
    "RequestTTY=no",
    "RemoteCommand=none",
    "ControlMaster=yes",
    "ControlPersist=no",
)
LOGIN_TIMEOUT_S: Final = 60
"""How long logging in may take, all of it: somebody may have to touch a key."""

_MARK: Final = "reconciler-begins"
"""Where the output of a script begins: a login shell may have printed something of its own before."""
_GREETING: Final = "reconciler-is-there"
_GREET: Final = (
    f'id=$(cat /etc/machine-id 2>/dev/null || cat /var/lib/dbus/machine-id 2>/dev/null); echo; echo {_GREETING} "$id"; exec cat >/dev/null'
)


@dataclass(frozen=True, slots=True)
class SshSettings:
    """How to reach a machine: its name here, where ssh is to go, on which port (as ssh_config says when None), and whether to act through sudo.

    ``config`` is the path of an ssh_config that is read in place of the user's and the system's; empty for those.
    """

    name: str
    destination: str
    port: int | None = None
    sudo: bool = False
    config: str = ""

    @property
    def way(self) -> list[str]:
        """The program and what it must be told to find the machine, without the destination."""
        config = ["-F", self.config] if self.config else []
        port = ["-p", str(self.port)] if self.port is not None else []
        return ["ssh", *config, *port]

    @property
    def by_hand(self) -> str:
        """How a person would log in there."""
        return shlex.join([*self.way, self.destination])


class SshShell:
    """The shell of a machine over SSH. Connects when it is first needed, and again when the connection was lost. May be used by several threads."""

    def __init__(self, settings: SshSettings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._master: subprocess.Popen[bytes] | None = None
        self._identity = ""
        self._folder: Path | None = None
        self._ways: dict[str, str] = {}

    @property
    def identity(self) -> str:
        """What its file holds, known since the connection was made."""
        self._connected()
        return self._identity

    def run(self, script: str, arguments: Sequence[str] = (), stdin: bytes = b"", *, timeout_s: float = TIMEOUT_S, writes: bool = True) -> Completed:
        """Run ``script`` there. Raises Unreachable when the connection cannot be had or was lost, for one that ``writes`` OutcomeUnknown."""
        command = self.command(f"echo {_MARK}\n{script}", arguments)
        fault = OutcomeUnknown if writes else Unreachable
        try:
            done = subprocess.run(command, input=stdin, capture_output=True, timeout=timeout_s, check=False, start_new_session=True)
        except subprocess.TimeoutExpired:
            raise fault(f"host {self._settings.name}: a command did not end within {timeout_s:g} s") from None
        error = done.stderr.decode("utf-8", "replace")
        if done.returncode == _LOST:
            raise fault(f"host {self._settings.name}: the SSH connection was lost: {_last(error) or 'run again'}")
        _, begun, output = done.stdout.partition(f"{_MARK}\n".encode())
        if not begun:
            raise self._refusal(error)
        return Completed(done.returncode, output, error)

    def converse(self, script: str, arguments: Sequence[str], questions: Sequence[Question], *, to_ask_s: float, to_end_s: float) -> Said:
        """Run ``script`` there on a terminal, which sshd makes. Raises OutcomeUnknown when the connection was lost meanwhile."""
        command = self.command(script, arguments, terminal=True)
        conversation = converse(command, questions, {**os.environ, "TERM": "dumb"}, to_ask_s=to_ask_s, to_end_s=to_end_s)
        if conversation.status == _LOST:
            raise OutcomeUnknown(f"host {self._settings.name}: the SSH connection was lost: {_last(conversation.text) or 'run again'}")
        return conversation

    def command(self, script: str, arguments: Sequence[str] = (), *, terminal: bool = False) -> list[str]:
        """The local command that runs ``script`` there, on this connection, with its own standard input and output, or on a ``terminal`` there."""
        self._connected()
        words = ["sh", "-c", PREAMBLE + script, "reconciler", *arguments]
        if self._settings.sudo:
            words = ["sudo", "-n", "--", *words]
        return [*self._on_master(*(["-tt"] if terminal else []), "--", self._settings.destination), shlex.join(words)]

    def forward(self, target: str) -> int:
        """A port of 127.0.0.1 here that leads to ``target`` as seen from there, ``HOST:PORT`` or the path of a Unix socket, while this is open."""
        with socket.create_server(("127.0.0.1", 0)) as free:
            port: int = free.getsockname()[1]
        self._lead(f"127.0.0.1:{port}", target)
        return port

    def forward_socket(self, here: Path, target: str) -> None:
        """The same, as a Unix socket here."""
        self._lead(str(here), target)

    def socket_to(self, target: str) -> Path:
        """The same, as a Unix socket that nobody else on this machine may use."""
        self._connected()
        assert self._folder is not None
        here = self._folder / f"way-{len(self._ways)}"
        self.forward_socket(here, target)
        return here

    def close(self) -> None:
        """End the connection."""
        with self._lock:
            self._end()
            if self._folder is not None:
                shutil.rmtree(self._folder, ignore_errors=True)
                self._folder = None

    def _connected(self) -> None:
        with self._lock:
            if self._master is None or self._master.poll() is not None:
                self._end()
                self._connect()

    def _connect(self) -> None:
        # a path of a Unix socket has at most 107 bytes, of which ssh takes 17 for a name of its own
        self._folder = self._folder or Path(tempfile.mkdtemp(prefix="reconciler-", dir="/tmp"))  # a fresh folder, mode 0700
        options = [word for option in _OPTIONS for word in ("-o", option)]
        command = [*self._settings.way, *options, "-S", self._control_path, "--", self._settings.destination, f"sh -c {shlex.quote(_GREET)}"]
        with tempfile.TemporaryFile() as error:
            try:
                master = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=error, start_new_session=True)
            except FileNotFoundError:
                raise Unreachable(f"host {self._settings.name} is reached by ssh, which is not installed here: install openssh-client") from None
            self._master = master
            identity = _greeted(master)
            error.seek(0)
            said = error.read().decode("utf-8", "replace")
        if identity is None:
            self._end()
            raise self._connect_fault(said)
        if self._identity not in ("", identity):
            self._end()
            raise Unreachable(f"host {self._settings.name}: the SSH connection was lost, and the next one led to another machine: run again")
        self._identity = identity
        for here, target in self._ways.items():
            self._control("forward", "-L", f"{here}:{target}")

    def _lead(self, here: str, target: str) -> None:
        self._connected()
        self._control("forward", "-L", f"{here}:{target}")
        self._ways[here] = target  # to be made again with another connection

    def _control(self, *words: str) -> None:
        command = self._on_master("-O", *words, "--", self._settings.destination)
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=TIMEOUT_S, check=False, start_new_session=True)
        if done.returncode:
            raise Unreachable(f"host {self._settings.name} does not let us through: {_last(done.stderr.decode('utf-8', 'replace'))}")

    def _on_master(self, *words: str) -> list[str]:
        """What goes through the master, which alone has read ssh_config: the forwardings there are not asked for once more by each command.

        Without its master it must not connect by itself: that would be another connection, and perhaps to another machine.
        """
        return ["ssh", "-F", "none", "-S", self._control_path, "-o", "ProxyCommand=false", "-o", "BatchMode=yes", "-o", "LogLevel=ERROR", *words]

    @property
    def _control_path(self) -> str:
        return f"{self._folder}/control"

    def _end(self) -> None:
        master, self._master = self._master, None
        if master is None:
            return
        for stream in (master.stdin, master.stdout):
            if stream is not None:
                stream.close()
        try:
            master.wait(timeout=5)  # its session reads the end of its input, and ends
        except subprocess.TimeoutExpired:
            master.terminate()
            master.wait()

    def _connect_fault(self, said: str) -> SystemFault:
        name, destination, by_hand = self._settings.name, self._settings.destination, self._settings.by_hand
        if "REMOTE HOST IDENTIFICATION HAS CHANGED" in said:
            return AccessDenied(
                f"host {name}: the host key of {destination} is not the one in known_hosts: find out why; when it is right, remove the old one "
                f"(ssh-keygen -R) and connect once with {by_hand}"
            )
        if "Host key verification failed" in said or "host key is known" in said:
            return AccessDenied(
                f"host {name}: the host key of {destination} is not known: connect once with {by_hand}, compare its fingerprint, and accept it"
            )
        if "Permission denied" in said or "Too many authentication failures" in said:
            return AccessDenied(
                f"host {name}: {_last(said)}: load the right key into the SSH agent, or name it in ~/.ssh/config; a password is never asked for"
            )
        reason = _last(said).removeprefix("ssh: ") or f"no answer to a login within {LOGIN_TIMEOUT_S} s, or none that its shell gave"
        return Unreachable(f"host {name} cannot be reached: {reason}: {by_hand} must work, without a question")

    def _refusal(self, error: str) -> SystemFault:
        """Why a script did not even begin."""
        name = self._settings.name
        if self._settings.sudo and any(f"sudo: a {what} is required" in error for what in ("password", "terminal")):
            what = "asks for a password: allow this account to use it without one (NOPASSWD in /etc/sudoers.d), or log in as root"
            return AccessDenied(f"host {name}: sudo {what}")
        return AccessDenied(f"host {name} does not run what it is told: {_last(error) or 'see what its login shell does'}")


def _greeted(master: subprocess.Popen[bytes]) -> str | None:
    """The machine-id in the greeting; None when none came."""
    assert master.stdout is not None
    watch = threading.Timer(LOGIN_TIMEOUT_S, master.kill)
    watch.start()
    try:
        for line in master.stdout:
            greeting, _, identity = line.decode("ascii", "replace").partition(" ")
            if greeting == _GREETING:
                return identity.strip()
    finally:
        watch.cancel()
    return None


def _last(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1].rstrip(".") if lines else ""
