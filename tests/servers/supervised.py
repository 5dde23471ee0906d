"""A server process, its log, and its end."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

_SUPERVISOR = Path(__file__).with_name("supervisor.py")
_ROOM_BYTES = 4 << 30


class ServerFailed(Exception):
    """A server did not start, or was not ready in time; the message ends with the last lines of its log."""


@dataclass(frozen=True, slots=True)
class User:
    """Who a server runs as, where that is not ourselves."""

    uid: int
    gid: int


def unprivileged() -> User | None:
    """Whom to run a server as that refuses to run as root: nobody. ``None``, for ourselves, when we are not root."""
    if os.geteuid() != 0:
        return None
    nobody = pwd.getpwnam("nobody")
    return User(nobody.pw_uid, nobody.pw_gid)


def in_memory() -> Path | None:
    """A folder in memory, where there is room for some servers: a database is made there ten times as fast."""
    memory = Path("/dev/shm")
    return memory if os.access(memory, os.W_OK | os.X_OK) and shutil.disk_usage(memory).free >= _ROOM_BYTES else None


def fresh_folder(name: str, user: User | None, *, above: Path | None = None) -> Path:
    """A new folder that is ``user``'s alone; outside the home folder, which other users may not pass through."""
    folder = Path(tempfile.mkdtemp(prefix=f"reconciler-{name}-", dir=above or ("/var/tmp" if user else None)))
    if user:
        os.chown(folder, user.uid, user.gid)
    return folder


class Supervised:
    """One running server.

    ``log`` collects what it prints. ``remove`` is a folder that goes when the server is stopped because we are gone; when all goes well, removing
    is the caller's. The environment holds nothing but ``environ``.
    """

    def __init__(
        self,
        argv: Sequence[str],
        *,
        log: Path,
        environ: Mapping[str, str],
        stop_signal: signal.Signals = signal.SIGTERM,
        grace_s: float = 10.0,
        user: User | None = None,
        remove: Path | None = None,
    ) -> None:
        who = (str(user.uid), str(user.gid)) if user else ("-1", "-1")
        command = [sys.executable, "-I", "-S", str(_SUPERVISOR), str(int(stop_signal)), str(grace_s), *who, str(remove or ""), "--", *argv]
        self.log = log
        self._grace_s = grace_s
        with log.open("ab") as output:
            # a session of its own: Ctrl-C is for us, who then stop the servers in order
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=output, env=dict(environ), cwd=log.parent, start_new_session=True
            )
        assert self._process.stdout is not None
        with self._process.stdout as told:
            line = told.readline()
        if not line:
            raise ServerFailed(f"{argv[0]} could not be started\n{self.last_lines()}")
        self.pid = int(line)

    @property
    def is_running(self) -> bool:
        """Whether the server has not ended yet."""
        return self._process.poll() is None

    def last_lines(self, count: int = 20) -> str:
        """The end of the log."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-count:])

    def wait_until(self, ready: Callable[[], bool], *, what: str, timeout_s: float) -> None:
        """Ask ``ready`` until it says yes; an end of the server or of the time is :class:`ServerFailed`."""
        deadline = time.monotonic() + timeout_s
        while not ready():
            if not self.is_running:
                raise ServerFailed(f"{what} ended while starting\n{self.last_lines()}")
            if time.monotonic() > deadline:
                raise ServerFailed(f"{what} was not ready after {timeout_s:g} s\n{self.last_lines()}")
            time.sleep(0.02)  # the interval of asking, not a guess at when it is ready

    def stop(self) -> None:
        """Stop the server in its own orderly way and wait for that; harmless when it has ended already."""
        stdin = self._process.stdin
        assert stdin is not None
        if not stdin.closed:
            try:
                stdin.write(b"k")  # its folder is ours to remove
                stdin.close()
            except BrokenPipeError:
                pass
        self._process.wait(3 * self._grace_s)

    def kill(self) -> None:
        """End the server as a power cut would, and wait for its end."""
        if self.is_running:
            os.kill(self.pid, signal.SIGKILL)
        self.stop()
