"""What a plan says about one address."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from reconciler.model.address import Address
from reconciler.model.record import Record
from reconciler.model.resource import Desired, Live, OnRemoval, System
from reconciler.model.value import Path, Value


class Action(StrEnum):
    """What applying does to a resource."""

    CREATE = "create"
    UPDATE = "update"
    REPLACE = "replace"
    DELETE = "delete"
    ADOPT = "adopt"
    FORGET = "forget"
    RECORD = "record"


class Reason(StrEnum):
    """Why; for display and for ``drift``, it steers nothing."""

    MANIFEST = "manifest changed"
    DRIFTED = "drifted"
    NEW = "new in the manifest"
    REMOVED = "no longer in the manifest"
    UNFINISHED = "not finished by an earlier run"
    ADOPTED = "exists already"
    RETAINED = "kept, on_removal is retain"
    RECREATED = "made anew by somebody else"
    GONE = "already gone"
    ALONG = "goes with what it lies in"
    ASIDE = "stands aside"


@dataclass(frozen=True, slots=True)
class FieldChange:
    """One field that differs: ``before`` is live, ``after`` is desired; :data:`~reconciler.model.value.ABSENT` where there is none.

    ``drifted``: live differs from what was last applied. ``manifest``: desired differs from it. ``parts`` are the differences inside a list or
    a mapping that is compared as one, for display.
    """

    path: Path
    before: Value
    after: Value
    drifted: bool = False
    manifest: bool = False
    parts: tuple[FieldChange, ...] = ()


@dataclass(frozen=True, slots=True)
class Change:
    """One address, one action.

    ``removal`` is what an entry's removal would do from now on, for display. ``waits_for`` are addresses whose changes in the same plan come
    first. ``unreadable`` are the fields that could not be compared, with why. ``deletes_superseded`` are incarnations of this resource to
    be deleted after everything that used them has moved over. ``stands_aside``: neither it nor what it stands on can be changed first, so at the
    beginning of the run it is made what it can be meanwhile; an update without fields does nothing else. ``without`` are the parts of it that are
    gone then (:attr:`~reconciler.model.resource.Hold.part`).
    """

    address: Address
    action: Action
    system: System | None
    reasons: tuple[Reason, ...] = ()
    fields: tuple[FieldChange, ...] = ()
    desired: Desired | None = None
    live: Live | None = None
    record: Record | None = None
    waits_for: frozenset[Address] = frozenset()
    deletes_superseded: tuple[str, ...] = ()
    unreadable: tuple[tuple[Path, str], ...] = ()
    removal: OnRemoval | None = None
    warning: str = ""
    stands_aside: bool = False
    without: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a plan must not be applied as it is, and what to type or change so that it may. ``rule`` names the rule, for machines.

    ``fields`` are the differences that a conflict is about.
    """

    rule: str
    address: Address | None
    what: str
    what_to_do: str
    fields: tuple[FieldChange, ...] = ()

    def __str__(self) -> str:
        return ": ".join(part for part in (str(self.address) if self.address else "", self.what, self.what_to_do) if part)


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything that applying would do, sorted by address. ``unchanged`` counts what is as it should be."""

    name: str
    changes: tuple[Change, ...]
    refusals: tuple[Refusal, ...] = ()
    warnings: tuple[str, ...] = ()
    unreadable: tuple[tuple[Address, Path, str], ...] = ()
    unchanged: int = 0
    partial: bool = False
    systems: tuple[tuple[System, str], ...] = field(default=())

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to do."""
        return not self.changes

    def count(self, action: Action) -> int:
        """How many changes have this action."""
        return sum(c.action is action for c in self.changes)
