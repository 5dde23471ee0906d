"""What became of a plan."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from reconciler.model.change import Change, FieldChange


class Status(StrEnum):
    """What became of one change."""

    APPLIED = "applied"
    FAILED = "failed"
    NOT_ATTEMPTED = "not attempted"
    NOT_READY = "not ready"


@dataclass(frozen=True, slots=True)
class ChangeOutcome:
    """One change and what became of it; ``why`` for a failure, for what was not attempted, or for what was written and does not serve.

    After its first line, ``why`` may have more: what the thing itself said last.
    """

    change: Change
    status: Status
    why: str = ""
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class NotConverged:
    """A resource that was written and still differs."""

    change: Change
    fields: tuple[FieldChange, ...]


@dataclass(frozen=True, slots=True)
class Outcome:
    """The end of a run. ``stopped`` says why it ended early: interrupted, or the lock was lost."""

    results: tuple[ChangeOutcome, ...]
    not_converged: tuple[NotConverged, ...] = ()
    stopped: str = ""
    interrupted: bool = False

    def count(self, status: Status) -> int:
        """How many changes ended so."""
        return sum(r.status is status for r in self.results)

    @property
    def complete(self) -> bool:
        """Whether everything was applied, read back as wanted, and serves."""
        return not self.not_converged and not self.stopped and all(r.status is Status.APPLIED for r in self.results)

    @property
    def exit_code(self) -> int:
        """0, 3, or 130 when interrupted."""
        return 130 if self.interrupted else 0 if self.complete else 3
