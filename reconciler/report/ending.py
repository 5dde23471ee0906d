"""The last line of each report. Other programs read these lines: they do not change (docs/design.md §4)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from reconciler.model.change import Action, Plan
from reconciler.model.outcome import Outcome, Status

NO_CHANGES: Final = "No changes. Live state matches the manifest."
NOTHING_TO_DESTROY: Final = "No changes. There is nothing to destroy."
NO_DRIFT: Final = "No drift. Live state matches what was last applied."

COUNTED: Final[dict[str, tuple[Action, ...]]] = {
    "add": (Action.CREATE,),
    "change": (Action.UPDATE, Action.RECORD),
    "replace": (Action.REPLACE,),
    "delete": (Action.DELETE,),
    "adopt": (Action.ADOPT,),
    "forget": (Action.FORGET,),
}
"""What the last line counts, in its order, and the actions that count as it."""

_DONE: Final = {"add": "added", "change": "changed", "replace": "replaced", "delete": "deleted", "adopt": "adopted", "forget": "forgotten"}


def counts(actions: Iterable[Action]) -> dict[str, int]:
    """How many of each, under the words of the last line."""
    listed = list(actions)
    return {word: sum(listed.count(action) for action in group) for word, group in COUNTED.items()}


def plan_line(plan: Plan, *, destroy: bool = False) -> str:
    """``Plan: 7 to add, …``, or that there is nothing to do; a refused plan is never said to be nothing."""
    if plan.is_empty and not plan.refusals:
        return NOTHING_TO_DESTROY if destroy else NO_CHANGES
    return "Plan: " + ", ".join(f"{n} to {word}" for word, n in counts(c.action for c in plan.changes).items()) + "."


def apply_line(outcome: Outcome) -> str:
    """``Apply complete: 7 added, …``, or ``Apply incomplete: …`` with what failed, was not attempted, does not serve, and did not converge."""
    applied = counts(r.change.action for r in outcome.results if r.status is Status.APPLIED)
    parts = [f"{n} {_DONE[word]}" for word, n in applied.items()]
    if outcome.complete:
        return "Apply complete: " + ", ".join(parts) + "."
    parts += [f"{outcome.count(Status.FAILED)} failed", f"{outcome.count(Status.NOT_ATTEMPTED)} not attempted"]
    if not_ready := outcome.count(Status.NOT_READY):
        parts.append(f"{not_ready} not ready")
    if outcome.not_converged:
        parts.append(f"{len(outcome.not_converged)} not converged")
    return "Apply incomplete: " + ", ".join(parts) + "."


def drift_line(plan: Plan) -> str:
    """``Drift: 2 resources differ from what was last applied.``, or that there is none."""
    number = len(plan.changes)
    if not number:
        return NO_DRIFT
    return "Drift: 1 resource differs from what was last applied." if number == 1 else f"Drift: {number} resources differ from what was last applied."
