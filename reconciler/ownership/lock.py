"""One apply at a time for each manifest: a Consul session on ``reconciler/lock/<name>``, renewed while the run lasts (docs/design.md §6).

The lock is advisory in Consul, so it is checked where it counts: every transaction carries :meth:`Lock.check`, and a write that Consul cannot
fence is not started once :meth:`Lock.is_fresh` says no.
"""

from __future__ import annotations

import base64
import getpass
import json
import os
import socket
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from reconciler.model.errors import Locked, LockLost, LostRace, OutcomeUnknown, SystemFault, Unreachable
from reconciler.model.kind import Operation
from reconciler.systems.consul.client import Consul

PREFIX: Final = "reconciler/lock/"
TTL_S: Final = 30
LOCK_DELAY_S: Final = 15
_POLL_S: Final = 0.25


@dataclass(frozen=True, slots=True)
class Holder:
    """Who holds a lock, as the lock's value says; empty fields when it says nothing understandable."""

    session: str
    who: str = ""
    host: str = ""
    since: str = ""
    operation: str = ""
    pid: int = 0
    start_time: str = ""
    boot_id: str = ""
    pid_namespace: str = ""

    @property
    def is_dead(self) -> bool:
        """Whether it was a process of this machine that has ended. False for other machines and containers: that cannot be told."""
        known = bool(self.boot_id and self.pid_namespace)
        return known and (self.boot_id, self.pid_namespace) == (_boot_id(), _pid_namespace()) and _has_ended(self.pid, self.start_time)

    def __str__(self) -> str:
        if not self.who:
            return f"session {self.session}"
        return f"{self.who}@{self.host} (process {self.pid}, {self.operation}, since {self.since})"


class Lock:
    """The lock of one manifest, held from entering the context to leaving it.

    Raises Locked on entering when somebody else holds it for longer than ``timeout_s`` seconds.
    """

    def __init__(self, consul: Consul, name: str, operation: str, timeout_s: float = 0.0, stop: threading.Event | None = None) -> None:
        self._consul = consul
        self._name = name
        self._key = PREFIX + name
        self._operation = operation
        self._timeout_s = timeout_s
        self._stop = stop or threading.Event()
        self._session = ""
        self._renewed = 0.0
        self._ended = threading.Event()
        self._lost = threading.Event()
        self._renewer: threading.Thread | None = None

    def __enter__(self) -> Self:
        asked = time.monotonic()
        self._session = self._consul.create_session(f"reconciler {self._name}", ttl_s=TTL_S, lock_delay_s=LOCK_DELAY_S)
        self._renewed = asked
        try:
            self._acquire()
        except BaseException:
            self._let_go()
            raise
        self._renewer = threading.Thread(target=self._renew, name="lock renewal", daemon=True)
        self._renewer.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._ended.set()
        if self._renewer is not None:
            self._renewer.join()
        self._let_go()

    @property
    def session(self) -> str:
        """The session that holds it."""
        return self._session

    def check(self) -> Operation:
        """The operation that makes a transaction fail unless the lock is still held."""
        return {"KV": {"Verb": "check-session", "Key": self._key, "Session": self._session}}

    def is_fresh(self) -> bool:
        """Whether it was renewed less than half a TTL ago, so that a write that Consul cannot fence may be started."""
        return not self._lost.is_set() and time.monotonic() - self._renewed < TTL_S / 2

    def lose(self) -> None:
        """Consul has said that somebody else has it, or may have it: from now on it is not fresh."""
        self._lost.set()

    def demand(self) -> None:
        """Raises LockLost when it is not fresh any more."""
        if not self.is_fresh():
            raise LockLost(f"the lock {self._key} was lost: another run may have started")

    def _acquire(self) -> None:
        deadline = time.monotonic() + self._timeout_s
        while True:
            holder = read_holder(self._consul, self._name)
            if holder is not None and holder.is_dead:
                release(self._consul, self._name, holder)
                continue
            if holder is None and self._try():
                return
            if time.monotonic() >= deadline:
                who = holder or "a run that ended moments ago"
                raise Locked(f"{self._name} is locked by {who}: wait for it (--lock-timeout 5m), or see reconciler unlock {self._name}")
            if self._stop.wait(_POLL_S):
                raise Locked("interrupted while waiting for the lock")
            self._renew_while_waiting()

    def _let_go(self) -> None:
        """Give up the lock, where it is ours, and only then the session: ending that with the lock would start the lock delay.

        What fails here is not told: it would hide the real outcome, and the session ends by its TTL.
        """
        for _ in range(2):
            try:
                self._consul.transaction([self.check(), {"KV": {"Verb": "delete", "Key": self._key}}])
                break
            except LostRace:  # it is not ours, or not any more
                break
            except Unreachable:
                return
            except SystemFault:
                continue
        with suppress(SystemFault):
            self._consul.destroy_session(self._session)

    def _try(self) -> bool:
        value = base64.b64encode(json.dumps(_self_description(self._operation), sort_keys=True).encode()).decode()
        try:
            self._consul.transaction([{"KV": {"Verb": "lock", "Key": self._key, "Value": value, "Session": self._session}}])
        except LostRace:
            return False
        except OutcomeUnknown:
            holder = read_holder(self._consul, self._name)
            if holder is None:
                raise
            return holder.session == self._session
        return True

    def _renew_while_waiting(self) -> None:
        asked = time.monotonic()
        if asked - self._renewed > TTL_S / 3:
            self._consul.renew_session(self._session)
            self._renewed = asked

    def _renew(self) -> None:
        while not self._ended.wait(TTL_S / 3 if self.is_fresh() else 1.0):
            asked = time.monotonic()
            try:
                alive = self._consul.renew_session(self._session)
            except SystemFault:
                alive = asked - self._renewed < TTL_S
            else:
                self._renewed = asked if alive else self._renewed
            if not alive:
                self._lost.set()
                return


def read_holder(consul: Consul, name: str) -> Holder | None:
    """Who holds the lock of the manifest ``name``, or None."""
    pair = consul.kv_get([PREFIX + name]).get(PREFIX + name)
    if pair is None or not pair.session:
        return None
    try:
        body: dict[str, Any] = json.loads(pair.value)
        words = {k: str(body[k]) for k in ("who", "host", "since", "operation", "start_time", "boot_id", "pid_namespace")}
        return Holder(session=pair.session, pid=int(body["pid"]), **words)
    except (ValueError, KeyError, TypeError):
        return Holder(session=pair.session)


def release(consul: Consul, name: str, holder: Holder) -> None:
    """Take the lock away from ``holder``. First the key, then the session: destroying alone would start the lock delay."""
    try:
        consul.transaction([{"KV": {"Verb": "unlock", "Key": PREFIX + name, "Session": holder.session}}])
    except LostRace:
        return
    consul.destroy_session(holder.session)


def _self_description(operation: str) -> dict[str, Any]:
    return {
        "who": _user(),
        "host": socket.gethostname(),
        "since": datetime.now(UTC).isoformat(timespec="seconds"),
        "operation": operation,
        "pid": os.getpid(),
        "start_time": _state_and_start_time(os.getpid())[1],
        "boot_id": _boot_id(),
        "pid_namespace": _pid_namespace(),
    }


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a uid without an account, as in many containers; OSError since Python 3.13
        return f"uid {os.getuid()}"


def _boot_id() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
    except OSError:
        return ""


def _pid_namespace() -> str:
    """Containers on one machine share its boot ID, but not the meaning of a process ID."""
    try:
        return os.readlink("/proc/self/ns/pid")
    except OSError:
        return ""


def _has_ended(pid: int, start_time: str) -> bool:
    state, started = _state_and_start_time(pid)
    if state:
        return state in ("Z", "X") or started != start_time
    # /proc may hide the processes of other users (hidepid); asking to signal one tells whether it exists
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return pid > 0
    except (OSError, OverflowError):
        return False
    return False


def _state_and_start_time(pid: int) -> tuple[str, str]:
    """One letter (``Z``, ``X``: it has ended), and the start time in clock ticks since boot; empty when there is no such process to be seen."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace").rpartition(")")[2].split()
    except OSError:
        return "", ""
    return fields[0], fields[19]
