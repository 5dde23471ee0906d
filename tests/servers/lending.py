"""One machine for all tests of a worker, lent to one after the other.

A test that does not leave it as it was found fails, and the next one gets another machine, as it does after a test that failed anyhow: so one failure
stays one.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tests.servers.consul import ConsulServer
from tests.servers.idle import put_idle
from tests.servers.machine import Machine
from tests.servers.machine_snapshot import Snapshot
from tests.servers.mesh_node import MeshNode


class Lending:
    """``boot`` makes a machine when there is none: at first, and after one was given up. ``node`` is what it is in a mesh, once it has joined.

    What is about to end on it, such as the far end of a connection that was cut, is given ``settling_s`` to do so.
    """

    def __init__(self, boot: Callable[[], Machine], settling_s: float = 5.0) -> None:
        self._boot = boot
        self._settling_s = settling_s
        self._machine: Machine | None = None
        self._found: Snapshot | None = None
        self._spared: set[str] = set()
        self.node: MeshNode | None = None

    @contextmanager
    def lent(self, failed: Callable[[], bool] = lambda: False) -> Iterator[Machine]:
        """The machine. Raises AssertionError at the end, with what is not as it was found; not when ``failed``: then there is no use in looking."""
        try:
            yield self._booted()
        except BaseException:
            self._give_up()
            raise
        if failed():
            self._give_up()
        elif left := self._left():
            self._give_up()
            raise AssertionError("\n".join(["the machine is not as it was found:", *left]))

    def joined(self, mesh: ConsulServer) -> MeshNode:
        """The machine as a node of ``mesh``, which is always the same one."""
        if self.node is None:
            machine, before = self._booted(), set(mesh.spared)
            self.node = MeshNode(machine, mesh).join()
            self._spared = mesh.spared - before
            self._found = machine.snapshot()
        return self.node

    def end(self) -> None:
        """End the machine; harmless when there is none."""
        if self._machine is not None:
            self._machine.stop()

    def _booted(self) -> Machine:
        if self._machine is None:
            self._machine = self._boot()
            put_idle(self._machine)
            self._found = self._machine.snapshot()
        return self._machine

    def _left(self) -> list[str]:
        deadline = time.monotonic() + self._settling_s
        while left := self._changes():
            if time.monotonic() > deadline:
                break
            time.sleep(0.05)
        return left

    def _changes(self) -> list[str]:
        assert self._machine is not None and self._found is not None
        return self._machine.snapshot().since(self._found)

    def _give_up(self) -> None:
        """The machine ends, in whatever state it is, and its mesh forgets it."""
        self.end()
        if self.node is not None:
            self.node.server.spared -= self._spared
            self.node.server.put(f"/v1/agent/force-leave/{self.node.name}?prune=true")
        self._machine, self.node = None, None
