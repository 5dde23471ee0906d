"""``make sandbox``: a Consul and a Postgres that keep running, to try things out by hand; ``make sandbox-stop`` ends them.

``start`` leaves one process behind, the keeper, that runs both servers and ends them when it is told to, or ends itself. What is recorded of it, in
``.sandbox/``, is its process id and when it started: an id that was given to another process since is never signalled. Standard output is nothing but
``export`` lines, so ``eval "$(make -s sandbox)"`` sets the environment.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from tests.servers.consul_binary import NoConsul, obtain
from tests.servers.supervised import ServerFailed

_ROOT = Path(__file__).parents[2]
_FOLDER = _ROOT / ".sandbox"
_RECORD = _FOLDER / "keeper.json"
_LOG = _FOLDER / "keeper.log"


def started_at(pid: int) -> str | None:
    """When a process started, in a form that only means something compared with itself; ``None`` when there is no such process."""
    try:
        # what follows the program's name, which is in parentheses and may hold anything: the state is the 3rd field, the start time the 22nd
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return None if fields[0] == "Z" else fields[19]
    except OSError:
        pass
    if Path("/proc/self/stat").exists():
        return None
    shown = subprocess.run(["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False).stdout.strip()
    return shown or None


def running() -> dict[str, Any] | None:
    """The record of the keeper, if that very process still runs."""
    try:
        record: dict[str, Any] = json.loads(_RECORD.read_text())
    except (OSError, ValueError):
        return None
    return record if started_at(record["pid"]) == record["started"] else None


def keep() -> None:
    """Be the keeper: run the servers until told to end."""
    from tests.servers.consul import ConsulServer
    from tests.servers.postgres import PostgresServer

    ends = {signal.SIGTERM, signal.SIGINT, signal.SIGHUP}
    signal.pthread_sigmask(signal.SIG_BLOCK, ends)
    with ConsulServer() as consul, PostgresServer(durable=True) as postgres:
        record = {"pid": os.getpid(), "started": started_at(os.getpid()), "environment": consul.environment | postgres.environment}
        fresh = _RECORD.with_suffix(".new")
        fresh.touch(mode=0o600)
        fresh.write_text(json.dumps(record))
        fresh.replace(_RECORD)
        signal.sigwait(ends)
        _RECORD.unlink(missing_ok=True)


def start() -> int:
    """Start the servers, unless they run, and print the environment."""
    record = running()
    if record is None:
        obtain()
        record = _start_keeper()
    for name, value in record["environment"].items():
        print(f"export {name}={shlex.quote(value)}")
    print(
        f"\nA Consul and a Postgres are running, for you to try things out on. These lines are the environment that goes with them,\n"
        f'or set it at once:   eval "$(make -s sandbox)"\n'
        f"and then, for example: {Path('.venv/bin/reconciler')} plan examples/01-external-postgres/*.yaml\n"
        f"To stop them:         make sandbox-stop",
        file=sys.stderr,
    )
    return 0


def _start_keeper() -> dict[str, Any]:
    shutil.rmtree(_FOLDER, ignore_errors=True)
    _FOLDER.mkdir(mode=0o700)
    with _LOG.open("w") as log:
        keeper = subprocess.Popen(
            [sys.executable, "-m", "tests.servers.sandbox", "keep"],
            cwd=_ROOT,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    while (record := running()) is None:
        try:
            keeper.wait(0.05)
        except subprocess.TimeoutExpired:
            continue
        raise ServerFailed(f"the servers could not be started\n{_LOG.read_text()}")
    return record


def stop() -> int:
    """Stop the servers and wait for that."""
    record = running()
    if record is None:
        print("no sandbox is running", file=sys.stderr)
        shutil.rmtree(_FOLDER, ignore_errors=True)
        return 0
    os.kill(record["pid"], signal.SIGTERM)
    deadline = time.monotonic() + 120  # on a machine with much else to do
    while started_at(record["pid"]) == record["started"]:
        if time.monotonic() > deadline:
            print(f"error: process {record['pid']} does not end", file=sys.stderr)
            return 1
        time.sleep(0.05)
    shutil.rmtree(_FOLDER, ignore_errors=True)
    print("the sandbox is stopped", file=sys.stderr)
    return 0


def main(argument: str) -> int:
    """Run ``start``, ``stop`` or, from within, ``keep``."""
    try:
        if argument == "keep":
            keep()
            return 0
        return {"start": start, "stop": stop}[argument]()
    except (NoConsul, ServerFailed) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
