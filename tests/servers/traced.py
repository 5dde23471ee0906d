"""Everything that is started on a machine over SSH, or by a command, with its arguments and environment; see :mod:`~tests.servers.exec_tracer`."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.servers.machine import Machine

TRACER: Final = Path(__file__).with_name("exec_tracer.py")


@dataclass(frozen=True, slots=True)
class Started:
    """One program that was started; ``environment`` as ``NAME=VALUE``."""

    arguments: list[str]
    environment: list[str]


def started(notes: Path) -> list[Started]:
    """What was noted, in order."""
    lines = notes.read_text().splitlines() if notes.exists() else []
    return [Started(one["arguments"], one["environment"]) for one in map(json.loads, lines)]


@contextmanager
def logins_traced(machine: Machine, notes: Path) -> Iterator[None]:
    """While this lasts, whatever its sshd starts is noted."""
    argv = [sys.executable, "-I", "-S", str(TRACER), str(notes), "--process", str(_sshd(machine))]
    with subprocess.Popen(argv, stdout=subprocess.PIPE) as tracer:
        assert tracer.stdout is not None and tracer.stdout.readline() == b"watching\n"
        try:
            yield
        finally:
            tracer.terminate()


def _sshd(machine: Machine) -> int:
    """The process of its sshd that accepts connections, by the number that it has here."""
    inner = machine.run("systemctl", "show", "--property=MainPID", "--value", "ssh").stdout.strip()
    space = Path(f"/proc/{machine.pid}/ns/pid").readlink()
    for status in Path("/proc").glob("[0-9]*/status"):
        try:
            numbers = next(line for line in status.read_text().splitlines() if line.startswith("NSpid:")).split()[1:]
            if len(numbers) > 1 and numbers[-1] == inner and (status.parent / "ns/pid").readlink() == space:
                return int(status.parent.name)
        except OSError:  # it has ended meanwhile
            continue
    raise AssertionError("there is no sshd")
