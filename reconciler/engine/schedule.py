"""Which changes may start, which never will: the order of a run, without doing any of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

from reconciler.engine.order import REMOVALS, awaited_removals, last_removals
from reconciler.model.address import Address
from reconciler.model.change import Change
from reconciler.model.outcome import ChangeOutcome, Status


@dataclass(frozen=True, slots=True)
class Progress:
    """A change has reached a stage; ``seconds`` since it was started. ``waiting``: it is written, and ``why`` it does not serve yet."""

    change: Change
    stage: Literal["started", "applied", "failed", "not attempted", "waiting", "not ready"]
    why: str = ""
    seconds: float = 0.0


class Schedule:
    """The changes of a plan on their way from waiting over running to a result. Used by one thread."""

    def __init__(self, changes: Iterable[Change], progress: Callable[[Progress], None]) -> None:
        self._waiting = {c.address: c for c in changes}
        self._running: dict[Address, tuple[Change, float]] = {}
        self._results: dict[Address, ChangeOutcome] = {}
        self._progress = progress
        edges = {a: c.waits_for for a, c in self._waiting.items()}
        self._early = awaited_removals(self._waiting, edges)
        self._held = last_removals(self._waiting, edges, self._early)

    @property
    def is_done(self) -> bool:
        """Whether nothing is running, nor waiting but what is held back until :meth:`let_go`."""
        return not self._running and self._waiting.keys() <= self._held

    def ready(self) -> list[Change]:
        """What may start now, by address. Whatever waits for something that failed is ended first, as not attempted.

        Creates and updates come before deletes, but for those that they wait for: what a delete would take away may still be in use by what is
        being changed. What a replacement leaves behind is still in use until the end.
        """
        self._skip_blocked()
        waiting = [c for c in self._waiting.values() if c.address not in self._held]
        building = [c for c in waiting if c.action not in REMOVALS or c.address in self._early]
        busy = any(c.action not in REMOVALS or c.address in self._early for c, _ in self._running.values())
        candidates = building or ([] if busy else waiting)
        found = sorted((c for c in candidates if not any(a in self._waiting or a in self._running for a in c.waits_for)), key=lambda c: c.address)
        if not found and not self.is_done and not self._running:
            for change in waiting:
                self.give_up(change, "it waits for what waits for it, which is a mistake in reconciler")
        return found

    def let_go(self) -> None:
        """What replacements left behind is deleted, or that has failed and the replacement with it: what they needed may go, or never will."""
        self._held = frozenset()

    def renew(self, change: Change) -> None:
        """What waits is to be written against another revision."""
        self._waiting[change.address] = change

    def start(self, change: Change) -> None:
        """It is being written from now on."""
        self._running[self._waiting.pop(change.address).address] = (change, time.monotonic())
        self._progress(Progress(change, "started"))

    def end(self, change: Change, fault: Exception | None) -> None:
        """It was written, or failed with ``fault``."""
        self._end(change, Status.FAILED if fault else Status.APPLIED, str(fault or ""))

    def give_up(self, change: Change, why: str) -> None:
        """It was not attempted."""
        self._end(change, Status.NOT_ATTEMPTED, why)

    def abandon(self, why: str) -> None:
        """What was started fails, because nothing can be recorded of it any more; nothing that still waits is attempted."""
        for change, _ in list(self._running.values()):
            self._end(change, Status.FAILED, why)
        for change in list(self._waiting.values()):
            self.give_up(change, why)

    def is_applied(self, change: Change) -> bool:
        """Whether it was written."""
        outcome = self._results.get(change.address)
        return outcome is not None and outcome.status is Status.APPLIED

    def unfinished(self, addresses: Iterable[Address]) -> list[Address]:
        """Those of ``addresses`` that were to be changed and were not."""
        return sorted(a for a in addresses if a in self._results and self._results[a].status is not Status.APPLIED)

    def results(self) -> tuple[ChangeOutcome, ...]:
        """What became of each change so far, by address."""
        return tuple(self._results[a] for a in sorted(self._results))

    def _skip_blocked(self) -> None:
        blocked = True
        while blocked:
            blocked = False
            for change in list(self._waiting.values()):
                failed = [a for a in change.waits_for if a in self._results and self._results[a].status is not Status.APPLIED]
                if failed:
                    self.give_up(change, f"{min(failed)} was not applied")
                    blocked = True

    def _end(self, change: Change, status: Status, why: str) -> None:
        self._waiting.pop(change.address, None)
        _, started = self._running.pop(change.address, (change, time.monotonic()))
        seconds = time.monotonic() - started
        self._results[change.address] = ChangeOutcome(change, status, why, seconds)
        self._progress(Progress(change, status.value, why, seconds))
