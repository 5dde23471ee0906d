"""``apply --format json``: events on standard output while the run goes on."""

from __future__ import annotations

import threading

from reconciler import __version__
from reconciler.cli.streams import NobodyReads, emit, give_up_stdout, say_painted
from reconciler.model.change import Change, Plan
from reconciler.model.errors import ReconcilerError
from reconciler.model.outcome import Outcome
from reconciler.report import events


class EventStream:
    """Writes the events of one run, in order. That nobody reads them stops a run before it writes, and no later."""

    def __init__(self, operation: events.WritingOperation) -> None:
        self._operation = operation
        self._lock = threading.Lock()
        self._begun = False
        self._lost = False

    def begin(self, name: str) -> None:
        """The manifest called ``name`` is about to be looked at. Raises NobodyReads."""
        self._begun = True
        emit(events.run_begun(self._operation, name, __version__))

    def planned(self, plan: Plan) -> None:
        """The plan, before it is asked about. Raises NobodyReads."""
        emit(events.planned(plan, self._operation))

    def changed(self, change: Change, stage: str, why: str, seconds: float) -> None:
        """A change has reached a stage."""
        self._write(events.changed(change, stage, why, seconds))

    def end(self, exit_code: int, plan: Plan | None, outcome: Outcome | None = None, error: str = "") -> None:
        """The run is over; said on standard error when standard output is gone."""
        if not self._begun:
            return
        if outcome is not None and not outcome.stopped:
            self._write(events.converged(outcome))
        line = events.ended(exit_code, plan, self._operation, outcome, error)
        self._write(line)
        if self._lost and outcome is not None:
            say_painted(line.rstrip("\n"))

    def _write(self, line: str) -> None:
        with self._lock:
            if self._lost:
                return
            try:
                emit(line)
            except (NobodyReads, ReconcilerError, ValueError):
                self._lost = True
                give_up_stdout()
