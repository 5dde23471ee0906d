"""``make bench``: how long the real command takes, how much memory, and how many requests, for 1, 10 and 100 units.

Each figure is of a whole process. Times are the least of several runs where running again changes nothing; the first apply and destroy are run
``--cycles`` times each. Requests and statements are counted in a cycle of its own, through the counting proxies, which cost time.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks.units import text
from tests.servers.consul import ConsulServer
from tests.servers.consul_binary import obtain
from tests.servers.counting_proxy import CountingProxy
from tests.servers.postgres import PostgresServer
from tests.servers.postgres_proxy import PostgresProxy

_PROGRAM = Path(sys.executable).with_name("reconciler")


@dataclass(frozen=True, slots=True)
class Measured:
    """One process: seconds of wall and of processor time, and its greatest memory."""

    wall_s: float
    cpu_s: float
    memory_mib: float


def run(arguments: Sequence[str], environ: Mapping[str, str], expect: int = 0) -> Measured:
    """Run the command; raises RuntimeError when it does not end with ``expect``."""
    started = time.perf_counter()
    quiet = [(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)]
    pid = os.posix_spawn(_PROGRAM, [str(_PROGRAM), *arguments], environ, file_actions=quiet)
    _, status, usage = os.wait4(pid, 0)
    wall_s = time.perf_counter() - started
    if os.waitstatus_to_exitcode(status) != expect:
        raise RuntimeError(f"reconciler {' '.join(arguments)} ended with {os.waitstatus_to_exitcode(status)}")
    return Measured(wall_s, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


def measure(count: int, manifest: str, environ: Mapping[str, str], cycles: int) -> None:
    """Print the times of ``count`` units."""
    rows: dict[str, list[Measured]] = {"apply": [], "plan, nothing to do": [], "destroy": []}
    for _ in range(cycles):
        rows["apply"].append(run(["apply", "--auto-approve", manifest], environ))
        rows["plan, nothing to do"] += [run(["plan", "--detailed-exitcode", manifest], environ) for _ in range(3)]
        rows["destroy"].append(run(["destroy", "--auto-approve", manifest], environ))
    for name, measured in rows.items():
        best = min(measured, key=lambda m: m.wall_s)
        worst = max(m.wall_s for m in measured)
        print(f"{count:>5}  {name:<20} {best.wall_s:>7.2f} – {worst:<7.2f} {best.cpu_s:>7.2f} {best.memory_mib:>9.0f}", flush=True)


def count_requests(count: int, manifest: str, consul: ConsulServer, postgres: PostgresServer, environ: Mapping[str, str]) -> None:
    """Print how many requests and statements each command takes."""
    with CountingProxy(consul.address) as http, PostgresProxy(postgres.host, postgres.port) as sql:
        proxied = {**environ, "CONSUL_HTTP_ADDR": http.address, "PGHOST": sql.host, "PGPORT": str(sql.port)}
        commands = {"apply": ["apply", "--auto-approve"], "plan, nothing to do": ["plan"], "destroy": ["destroy", "--auto-approve"]}
        for name, arguments in commands.items():
            http.reset()
            sql.reset()
            run([*arguments, manifest], proxied)
            print(f"{count:>5}  {name:<20} {http.total:>7} requests {sum(sql.statements.values()):>7} statements", flush=True)


def main() -> None:
    """The benchmark."""
    parser = argparse.ArgumentParser(prog="make bench ARGS=…", description=__doc__.splitlines()[0])
    parser.add_argument("--units", type=int, nargs="+", default=[1, 10, 100])
    parser.add_argument("--cycles", type=int, default=2, help="how often apply and destroy are run")
    arguments = parser.parse_args()
    obtain()
    with tempfile.TemporaryDirectory() as folder, ConsulServer() as consul, PostgresServer(18, durable=True) as postgres:
        environ = {"PATH": os.environ["PATH"], "HOME": folder, "LANG": "C.UTF-8", **consul.environment, **postgres.environment}
        version = [run(["version"], environ) for _ in range(5)]
        print(f"       version              {min(v.wall_s for v in version):>7.2f} s\n")
        print("units  command                     wall seconds     cpu s   peak MiB")
        manifests = {count: Path(folder, f"{count}.yaml") for count in arguments.units}
        for count, path in manifests.items():
            path.write_text(text(count), encoding="utf-8")
            measure(count, str(path), environ, arguments.cycles)
        print()
        for count, path in manifests.items():
            count_requests(count, str(path), consul, postgres, environ)


if __name__ == "__main__":
    main()
