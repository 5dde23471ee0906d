"""The shapes of the JSON that is written for other programs; ``schemas/plan.schema.json`` is generated from them.

Within a format version, keys are only ever added. Where the text abbreviates, a document does not: it has both sides of every field whole. Secrets
are in neither.
"""

from __future__ import annotations

from typing import Any, Final, Literal

from typing_extensions import TypedDict  # pydantic makes no schema of typing's own before Python 3.12

FORMAT_VERSION: Final = 1

OperationName = Literal["plan", "apply", "destroy", "drift"]
ActionName = Literal["create", "update", "replace", "delete", "adopt", "forget", "record"]
ReasonName = Literal["manifest", "drifted", "new", "removed", "unfinished", "adopted", "retained", "recreated", "gone", "along", "aside"]


class SystemDocument(TypedDict):
    """A live system, by its name in the manifest (Consul's is empty), and what identifies it."""

    type: Literal["consul", "postgres", "host"]
    name: str
    identity: str


class ValueDocument(TypedDict, total=False):
    """One side of a field. ``value`` is there when ``state`` is ``value``, ``text`` when it is ``pending``, ``sha256`` when it is ``digest``.

    A secret inside of ``value`` is the string ``(secret)``. ``text`` of a ``value`` is the canonical rendering of one that is compared by meaning.
    """

    state: Literal["value", "absent", "secret", "pending", "unreadable", "digest"]
    value: Any
    text: str
    sha256: str


class FieldDocument(TypedDict):
    """A field that differs: ``before`` is live, ``after`` is what applying makes of it (of drift: what was last applied)."""

    path: list[str]
    secret: Literal["changed", "unchanged", "cannot compare"] | None
    before: ValueDocument
    after: ValueDocument
    drifted: bool
    manifest: bool


class UnreadableDocument(TypedDict):
    """A field that could not be compared, and why."""

    address: str
    path: list[str]
    why: str


class ChangeDocument(TypedDict):
    """One address and one action.

    ``removal`` is what removing its entry will do from now on. ``waits_for`` are the addresses whose changes come first. ``lost`` goes
    with a resource that is deleted. ``place`` is where the entry stands, ``file:line:column``.
    """

    address: str
    kind: str
    action: ActionName
    reasons: list[ReasonName]
    system: str | None
    place: str | None
    fields: list[FieldDocument]
    unreadable: list[UnreadableDocument]
    removal: Literal["delete", "retain"] | None
    waits_for: list[str]
    supersedes: list[str]
    lost: list[str]
    warning: str


class RefusalDocument(TypedDict):
    """Why the plan must not be applied as it is, and what would make it so. ``rule`` is for machines."""

    rule: str
    address: str | None
    what: str
    what_to_do: str
    fields: list[FieldDocument]


class CountsDocument(TypedDict):
    """The numbers of the last line of the text. ``change`` includes those that are record only."""

    add: int
    change: int
    replace: int
    delete: int
    adopt: int
    forget: int


class ResultDocument(TypedDict):
    """What became of one change. ``not ready``: it was written, and did not serve within the time that was waited for it.

    ``why`` has one line, and after it those that the thing itself said last.
    """

    address: str
    action: ActionName
    status: Literal["applied", "failed", "not attempted", "not ready"]
    why: str
    seconds: float


class NotConvergedDocument(TypedDict):
    """A resource that was written and still differs."""

    address: str
    fields: list[FieldDocument]


class OutcomeDocument(TypedDict):
    """The end of an apply. ``applied`` counts only what was applied."""

    complete: bool
    interrupted: bool
    stopped: str
    results: list[ResultDocument]
    not_converged: list[NotConvergedDocument]
    applied: CountsDocument
    failed: int
    not_attempted: int
    not_ready: int
    summary: str


class PlanDocument(TypedDict):
    """A plan, of ``plan``, ``apply`` and ``destroy``, or what ``drift`` found; with the outcome once it was applied.

    Lists are sorted by address. ``summary`` is the last line of the text. ``unchanged`` counts the resources with nothing to do.
    """

    format_version: Literal[1]
    operation: OperationName
    name: str
    partial: bool
    unchanged: int
    systems: list[SystemDocument]
    changes: list[ChangeDocument]
    refusals: list[RefusalDocument]
    unreadable: list[UnreadableDocument]
    warnings: list[str]
    counts: CountsDocument
    summary: str
    outcome: OutcomeDocument | None
