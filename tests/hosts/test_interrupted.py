"""Ctrl-C while something is done on a machine: it is finished and recorded, nothing new is begun, and the next run does the rest."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.killing import until
from tests.hosts.gateways import Gateways

pytestmark = [pytest.mark.systemd, pytest.mark.envoy]

NAME = "carbonio-first"
UNIT = f"{NAME}.service"
INTERRUPTED = 130


class Typed:
    """The command in a process group of its own, at whose terminal somebody may press Ctrl-C."""

    def __init__(self, gateways: Gateways, *arguments: str) -> None:
        self._folder = Path(gateways.run.folder)
        with (self._folder / "out").open("wb") as out, (self._folder / "err").open("wb") as err:
            self.process = gateways.run.start(*arguments, stdin=subprocess.DEVNULL, stdout=out, stderr=err, start_new_session=True)

    @property
    def out(self) -> str:
        return (self._folder / "out").read_text()

    @property
    def err(self) -> str:
        return (self._folder / "err").read_text()

    def interrupt(self) -> None:
        os.killpg(self.process.pid, signal.SIGINT)

    def end(self) -> int:
        return self.process.wait(60)


@pytest.fixture
def held(gateways: Gateways) -> Iterator[Gateways]:
    """A machine on which the start of the unit goes on only when somebody writes to /run/hold."""
    machine = gateways.node.machine
    before = machine.snapshot()
    machine.run("mkfifo", "/run/hold")
    drop_in = f"/etc/systemd/system/{UNIT}.d"
    machine.write(f"{drop_in}/hold.conf", "[Service]\nExecStartPre=+/bin/sh -c 'read line </run/hold'\n")
    yield gateways
    machine.run("rm", "-rf", drop_in, "/run/hold")
    gateways.destroy(gateways.manifest(NAME))
    assert machine.snapshot().since(before) == []


def test_what_is_in_flight_on_a_machine_is_finished(held: Gateways) -> None:
    machine, manifest = held.node.machine, held.manifest(NAME)
    run = Typed(held, "apply", held.write(manifest), "--auto-approve", "--wait", "0")
    until(lambda: "start-pre" in machine.run("systemctl", "show", "--property=SubState", UNIT).stdout)
    run.interrupt()
    until(lambda: "interrupted: finishing what is in flight, nothing new is started" in run.err)
    run.interrupt()
    until(lambda: "still finishing what is in flight" in run.err)
    assert run.process.poll() is None
    machine.run("sh", "-c", "echo >/run/hold")
    assert run.end() == INTERRUPTED, run.err
    assert "Stopped early: interrupted" in run.out
    assert machine.run("systemctl", "is-active", UNIT).stdout == "active\n"
    shown = held.run("plan", held.write(manifest)).out
    assert f"systemd-unit/gateway/{UNIT}" not in shown, "it was finished, and is recorded"
