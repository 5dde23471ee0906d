"""One apply at a time: who holds the lock is waited for or named, who is dead is not, and who has lost it writes nothing more."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from reconciler.ownership import lock
from tests.faults import live
from tests.faults.example import NAME
from tests.faults.inside import WithoutLockDelay
from tests.faults.killing import finish, kill, towards
from tests.servers.counting_proxy import CountingProxy

BOOT_ID = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
PID_NAMESPACE = os.readlink("/proc/self/ns/pid")


@pytest.fixture
def proxy(site):
    with CountingProxy(site.consul.address) as running:
        yield running


class Pause:
    """Holds a run right before its ``number``-th write."""

    def __init__(self, number):
        self.number = number
        self.reached = threading.Event()
        self.over = threading.Event()

    def __call__(self, write):
        if write.number == self.number:
            self.reached.set()
            self.over.wait(60)


@pytest.fixture
def busy(site, proxy):
    """A run in the middle of its writes, and what makes it go on."""
    proxy.before = pause = Pause(5)
    run = site.run("apply", site.manifest, through=towards(proxy))
    assert pause.reached.wait(60), str(run)
    yield run, pause
    pause.over.set()
    assert run.code == 0, str(run)
    finish(site, "destroy", site.manifest)


@pytest.mark.parametrize("operation", ["apply", "destroy"])
def test_a_second_run_exits_with_4_and_names_the_holder(site, busy, operation):
    run = busy[0]
    second = site.run(operation, site.manifest)
    assert second.code == 4
    assert f"{NAME} is locked by root@{socket.gethostname()} (process {run.pid}, apply, since 20" in second.errors
    assert second.output == ""


def test_plan_takes_no_lock_and_drift_says_who_applies(site, busy):
    assert site.run("plan", site.manifest).code == 0
    drift = site.run("drift", site.manifest)
    assert drift.code == 4
    assert f"process {busy[0].pid}" in drift.errors


def test_a_second_run_waits_as_long_as_it_was_told(site, busy):
    pause = busy[1]
    with CountingProxy(site.consul.address) as proxy:
        order = []
        # its first write is its session; before its second one, which takes the lock, the first run must have ended
        proxy.before = lambda write: pause.over.set() if write.number == 1 else order.append(site.http("GET", f"/v1/kv/{lock.PREFIX}{NAME}"))
        second = site.run("apply", site.manifest, "--lock-timeout=60s", through=towards(proxy))
        assert second.code == 0, second
    assert order[0] is None
    assert second.last_line == "No changes. Live state matches the manifest."


def hold(site, **changes):
    """Take the lock as a run would that is described so; its session."""
    machine = {"host": "elsewhere", "pid": os.getpid(), "start_time": "1", "boot_id": BOOT_ID, "pid_namespace": PID_NAMESPACE}
    value = changes.get("raw") or json.dumps({"who": "root", "since": "2026-01-01", "operation": "apply", **machine, **changes}).encode()
    session = site.http("PUT", "/v1/session/create", {"Name": "held", "TTL": "30s", "LockDelay": "15s", "Checks": []})["ID"]
    assert site.http("PUT", f"/v1/kv/{lock.PREFIX}{NAME}?acquire={session}", value) is True
    return session


def start_time(pid):
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]


@pytest.fixture
def ended():
    """A process that has ended, and that nobody has asked about: a zombie."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    yield process.pid
    process.wait()


def test_a_holder_of_this_machine_that_was_killed_is_not_waited_for(site):
    assert kill(site, "consul", "before", 5, "apply", site.manifest)
    finish(site, "apply", site.manifest)
    finish(site, "destroy", site.manifest)


@pytest.mark.parametrize("how", ["gone", "zombie", "another process has its number"])
def test_a_dead_holder_of_this_machine_is_not_waited_for(site, ended, how):
    session = hold(site, **{
        "gone": {"pid": 2**22 + 1},
        "zombie": {"pid": ended, "start_time": start_time(ended)},
        "another process has its number": {"start_time": "1"},
    }[how])  # fmt: skip
    finish(site, "apply", site.manifest)
    assert site.http("GET", f"/v1/session/info/{session}") == []
    finish(site, "destroy", site.manifest)


@pytest.mark.parametrize("how", ["lives", "on another machine", "in another container", "says nothing that can be understood"])
def test_a_holder_that_may_live_is_waited_for_until_it_is_unlocked(site, how):
    hold(site, **{
        "lives": {"start_time": start_time(os.getpid())},
        "on another machine": {"boot_id": "0b0b0b0b-0000-0000-0000-000000000000"},
        "in another container": {"pid_namespace": "pid:[1]"},
        "says nothing that can be understood": {"raw": b"?"},
    }[how])  # fmt: skip
    before = site.everything()
    run = site.run("apply", site.manifest)
    assert run.code == 4
    assert f"{NAME} is locked by {'session ' if how.startswith('says') else 'root@elsewhere (process '}" in run.errors
    assert site.everything() == before
    unlocked = site.run("unlock", site.manifest, "--yes")
    assert unlocked.code == 0, unlocked
    finish(site, "apply", site.manifest)
    finish(site, "destroy", site.manifest)


def test_a_process_that_proc_hides_is_not_taken_for_dead(monkeypatch):
    def refuse(pid, number):
        raise PermissionError

    monkeypatch.setattr(lock, "_state_and_start_time", lambda pid: ("", ""))
    assert lock._has_ended(2**22 + 1, "1")
    assert not lock._has_ended(os.getpid(), "1")
    monkeypatch.setattr(os, "kill", refuse)
    assert not lock._has_ended(1, "1")


def in_consul_alone(manifest):
    return {section: entries for section, entries in manifest.items() if section not in ("db_roles", "databases")}


def end_session(site, name=NAME):
    """What happens when a run was cut off for too long."""
    (pair,) = site.http("GET", f"/v1/kv/{lock.PREFIX}{name}")
    site.http("PUT", f"/v1/session/destroy/{pair['Session']}")


def unlock(site):
    """What somebody does who takes a living run for dead."""
    assert site.run("unlock", site.manifest, "--yes").code == 0


@pytest.mark.parametrize("loses", [end_session, unlock])
@pytest.mark.parametrize("number", [3, 4, 6, 9, 12])
def test_a_run_that_loses_the_lock_stops_and_writes_nothing_more(site, proxy, loses, number):
    manifest = in_consul_alone(site.manifest)
    for operation in ("apply", "destroy"):
        then: dict[str, Any] = {}
        refused: list[int] = []

        def lose(write, then=then):
            if write.number == number:
                loses(site)
                then.update(site.everything(), writes=len(proxy.writes))

        def note(write, then=then, refused=refused):
            if write.path == "/v1/txn" and (write.number == number or write.number > then.get("writes", 99)):
                refused.append(len(proxy.writes))

        proxy.reset()
        proxy.before, proxy.after = lose, note
        run = site.run(operation, manifest, "--parallelism=1", through=towards(proxy), first=WithoutLockDelay())
        assert run.code == 3, str(run)
        assert "Stopped early: the lock was lost" in run.output
        now = site.everything()
        assert [now[section] for section in ("kv", "nodes")] == [then[section] for section in ("kv", "nodes")]
        # one write that Consul cannot fence may begin while the refusal of the first transaction is on its way
        unfenced = [str(w) for w in proxy.writes[refused[0] :] if w.path.startswith(("/v1/acl/", "/v1/config"))]
        assert len(unfenced) <= 1, proxy.writes
        finish(site, operation, manifest)
        assert not live.locks(site)
    site.demand_nothing_left()


def test_a_lock_whose_session_was_destroyed_is_kept_from_everybody_for_a_while(site, proxy):
    site.disposable = True
    manifest = {**site.manifest, "name": "delayed"}
    proxy.before = lambda write: end_session(site, "delayed") if write.number == 5 else None
    assert site.run("apply", manifest, through=towards(proxy)).code == 3
    run = site.run("apply", manifest)
    assert run.code == 4
    assert "delayed is locked by a run that ended moments ago: wait for it (--lock-timeout" in run.errors
