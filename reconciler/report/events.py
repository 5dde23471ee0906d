"""The stream that ``apply --format json`` and ``destroy --format json`` write: one JSON object a line, each when it is known.

``schemas/events.schema.json`` is generated from these shapes. Within a format version, keys and events are only ever added. The order: ``run begun``;
``plan``; of each change ``change started`` and then ``change applied`` or ``change failed``, or ``change not attempted`` alone; of what was applied
and is waited for ``change waiting``, each time that it is for something else, and ``change not ready`` when it was for nothing; ``converged`` or
``not converged``, when what was written was read again; and in any case, as the last line, ``outcome``.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final, Literal, cast

from typing_extensions import TypedDict  # pydantic makes no schema of typing's own before Python 3.12

from reconciler.model.change import Change, Plan
from reconciler.model.outcome import Outcome
from reconciler.report import documents as shape
from reconciler.report.ending import apply_line, plan_line
from reconciler.report.json import closed_schema, not_converged_document, one_line, outcome_document, plan_document

FORMAT_VERSION: Final = 1

WritingOperation = Literal["apply", "destroy"]
ChangeEventName = Literal["change started", "change applied", "change failed", "change not attempted", "change waiting", "change not ready"]


class RunBegun(TypedDict):
    """The manifest is read and valid; nothing was asked yet. ``time`` is UTC, here as everywhere. ``program`` is the version of reconciler."""

    format_version: Literal[1]
    event: Literal["run begun"]
    time: str
    operation: WritingOperation
    name: str
    program: str


class Planned(TypedDict):
    """What is about to be asked about and applied: the document of ``reconciler plan --format json``, without an outcome."""

    format_version: Literal[1]
    event: Literal["plan"]
    time: str
    plan: shape.PlanDocument


class ChangeEvent(TypedDict):
    """A change has reached a stage. ``seconds`` since it was started, or waited for. ``why`` it failed, was not attempted, or does not serve yet.

    The last event of an address is what counts, but for ``change waiting``: one that was applied may fail after all when what it supersedes cannot
    be deleted, or may not serve.
    """

    format_version: Literal[1]
    event: ChangeEventName
    time: str
    address: str
    kind: str
    action: shape.ActionName
    why: str
    seconds: float


class Converged(TypedDict):
    """What was applied was read again. ``not_converged`` is empty when all is as it was written."""

    format_version: Literal[1]
    event: Literal["converged", "not converged"]
    time: str
    not_converged: list[shape.NotConvergedDocument]


class Ended(TypedDict):
    """The end of the run, always the last line.

    ``summary`` is the last line of the text; empty when the run broke off before there was a plan. ``outcome`` is null when nothing was tried:
    there was nothing to do, it was refused or not approved, or there was an ``error``.
    """

    format_version: Literal[1]
    event: Literal["outcome"]
    time: str
    exit_code: int
    summary: str
    error: str
    outcome: shape.OutcomeDocument | None


Event = RunBegun | Planned | ChangeEvent | Converged | Ended


def run_begun(operation: WritingOperation, name: str, program: str) -> str:
    """The first line."""
    return _line({"format_version": FORMAT_VERSION, "event": "run begun", "time": _now(), "operation": operation, "name": name, "program": program})


def planned(plan: Plan, operation: WritingOperation) -> str:
    """The line of the plan."""
    return _line({"format_version": FORMAT_VERSION, "event": "plan", "time": _now(), "plan": plan_document(plan, operation)})


def changed(change: Change, stage: str, why: str, seconds: float) -> str:
    """The line of a change that has reached ``stage``: started, waiting, or one of :class:`~reconciler.model.outcome.Status`."""
    return _line({
        "format_version": FORMAT_VERSION, "event": cast("ChangeEventName", f"change {stage}"), "time": _now(), "address": str(change.address),
        "kind": change.address.kind, "action": change.action.value, "why": why, "seconds": round(seconds, 3),
    })  # fmt: skip


def converged(outcome: Outcome) -> str:
    """The line about what was read again."""
    left = [not_converged_document(item) for item in sorted(outcome.not_converged, key=lambda n: n.change.address)]
    name: Literal["converged", "not converged"] = "not converged" if left else "converged"
    return _line({"format_version": FORMAT_VERSION, "event": name, "time": _now(), "not_converged": left})


def ended(exit_code: int, plan: Plan | None, operation: WritingOperation, outcome: Outcome | None = None, error: str = "") -> str:
    """The last line."""
    summary = apply_line(outcome) if outcome else plan_line(plan, destroy=operation == "destroy") if plan else ""
    document = None if outcome is None else outcome_document(outcome)
    return _line({
        "format_version": FORMAT_VERSION, "event": "outcome", "time": _now(), "exit_code": exit_code, "summary": summary, "error": error,
        "outcome": document,
    })  # fmt: skip


def events_schema() -> dict[str, Any]:
    """The JSON Schema of one line."""
    from typing import Annotated

    from pydantic import Discriminator, TypeAdapter  # imported late: only this needs it

    schema: dict[str, Any] = TypeAdapter(Annotated[Event, Discriminator("event")]).json_schema()
    return closed_schema(schema, "a line of reconciler apply --format json, format version 1")


def _line(event: Event) -> str:
    return one_line(cast("Mapping[str, Any]", event))


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
