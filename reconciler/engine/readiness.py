"""Waits until what an apply has started serves (docs/design.md §8). Which resources take that, and what serving means, their kinds know."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any, Final

from reconciler.engine.connections import Connections
from reconciler.engine.order import is_written
from reconciler.engine.orders import Orders
from reconciler.engine.schedule import Progress
from reconciler.engine.situation import Situation
from reconciler.model.address import Address
from reconciler.model.change import Change
from reconciler.model.errors import SystemFault
from reconciler.model.kind import AwaitedKind, Started
from reconciler.model.outcome import ChangeOutcome, Outcome, Status
from reconciler.model.resource import CONSUL
from reconciler.model.secret import MASK, Secret

_FIRST_PAUSE_S: Final = 0.1
_LONGEST_PAUSE_S: Final = 2.0
_CERTAIN_AFTER_S: Final = 1.0
"""How long it must have served: what fails as soon as it is started may do so for a moment."""

_LONG: Final = 8
"""From how many characters on a single line of a longer secret is taken for one."""


def wait_until_ready(
    outcome: Outcome, situation: Situation, connections: Connections, orders: Orders, *,
    wait_s: float, progress: Callable[[Progress], None], stop: threading.Event,
) -> Outcome:  # fmt: skip
    """The outcome when everything that was started serves, or ``wait_s`` have passed, or ``stop`` is set: what lacks something is not ready."""
    started = {r.change.address: r.change for r in outcome.results if r.status is Status.APPLIED and _is_awaited(r.change, situation)}
    if not started or wait_s <= 0 or outcome.stopped:
        return outcome
    wait = _Wait(started, situation, connections, orders, progress, stop)
    lacking = wait.run(wait_s)
    results = tuple(wait.not_ready(r, lacking[r.change.address]) if r.change.address in lacking else r for r in outcome.results)
    interrupted = bool(lacking) and stop.is_set()
    return replace(outcome, results=results, stopped="interrupted" if interrupted else "", interrupted=interrupted)


class _Wait:
    def __init__(
        self, started: Mapping[Address, Change], situation: Situation, connections: Connections, orders: Orders,
        progress: Callable[[Progress], None], stop: threading.Event,
    ) -> None:  # fmt: skip
        self.started = started
        self.situation = situation
        self.connections = connections
        self.orders = orders
        self.progress = progress
        self.stop = stop
        self.began = time.monotonic()

    def run(self, wait_s: float) -> dict[Address, str]:
        """What each still lacks at the end; those that serve are not in it."""
        lacking = dict.fromkeys(self.started, "it was not asked yet")
        serving_since: dict[Address, float] = {}
        pause_s = _FIRST_PAUSE_S
        while lacking and not self.stop.is_set():
            for address in sorted(lacking):
                lack = self._lack(address)
                if lack and lack != lacking[address]:
                    self._tell(address, "waiting", lack)
                lacking[address] = lack
                if lack:
                    serving_since.pop(address, None)
                elif time.monotonic() - serving_since.setdefault(address, time.monotonic()) >= _CERTAIN_AFTER_S:
                    del lacking[address]
            left_s = self.began + wait_s - time.monotonic()
            if left_s <= 0:
                break
            self.stop.wait(min(pause_s, left_s, *([_CERTAIN_AFTER_S] if serving_since else [])))
            pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)
        return {address: lack for address, lack in lacking.items() if lack}

    def not_ready(self, result: ChangeOutcome, lack: str) -> ChangeOutcome:
        """What became of a change whose resource does not serve, with what that said itself."""
        seconds = result.seconds + time.monotonic() - self.began
        words = [] if self.stop.is_set() else self._last_words(result.change.address)
        why = "\n".join([f"{lack}; waiting for it was interrupted" if self.stop.is_set() else lack, *words])
        self.progress(Progress(result.change, "not ready", why, seconds))
        return replace(result, status=Status.NOT_READY, why=why, seconds=seconds)

    def _tell(self, address: Address, stage: Any, why: str) -> None:
        self.progress(Progress(self.started[address], stage, why, time.monotonic() - self.began))

    def _lack(self, address: Address) -> str:
        try:
            return self._masked(self._kind(address).lacks(self._started(address)))
        except SystemFault as fault:
            return self._masked(str(fault))

    def _last_words(self, address: Address) -> list[str]:
        try:
            return [self._masked(line) for line in self._kind(address).last_words(self._started(address))]
        except SystemFault:
            return []

    def _kind(self, address: Address) -> AwaitedKind:
        kind = self.situation.kinds[address.kind]
        assert isinstance(kind, AwaitedKind)
        return kind

    def _started(self, address: Address) -> Started:
        system = self.started[address].system or CONSUL
        return Started(self.situation.desired[address], self.connections.of(system), self.connections.consul, self.orders.after)

    def _masked(self, text: str) -> str:
        """What somebody else printed, without the secrets that this run knows."""
        own = self.connections.consul.settings.token
        known = _lines([*self.orders.secrets(), *([own] if own else [])])
        for secret in sorted(known, key=len, reverse=True):
            text = text.replace(secret, MASK)
        return text


def _is_awaited(change: Change, situation: Situation) -> bool:
    return change.desired is not None and is_written(change) and isinstance(situation.kinds[change.address.kind], AwaitedKind)


def _lines(secrets: Iterable[Secret]) -> set[str]:
    """Each secret, and each line of one that has several: what prints it may stop at the end of a line."""
    texts = {secret.reveal().strip() for secret in secrets}
    return (texts | {line.strip() for text in texts for line in text.splitlines() if len(line.strip()) >= _LONG}) - {""}
