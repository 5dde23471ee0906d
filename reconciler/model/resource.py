"""A resource as the manifest wants it, and as it is in the live system."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal

from reconciler.model.address import Address
from reconciler.model.value import JSON, Value

World = Callable[[Address], Mapping[str, Value] | None]
"""The fields of each resource at one moment, in normal form; None where it does not exist."""


@dataclass(frozen=True, slots=True)
class Hold:
    """Something that a resource stands on, and that its system insists on at every write.

    ``on`` are the resources that it is about; any of them may be absent. ``what`` says it in words, so that "it needs web to speak http" is a
    sentence; two holds on the same resources with the same words are one. ``met`` tells whether it is so.

    ``part`` makes it another thing: the system does not insist on it, but the part of the resource that is called so is in vain without it, and stays
    so when it is met later, until it is taken away and put back.
    """

    on: frozenset[Address]
    what: str
    met: Callable[[World], bool] = field(compare=False, repr=False)
    part: str = ""


SystemType = Literal["consul", "postgres", "host"]


@dataclass(frozen=True, slots=True, order=True)
class System:
    """One live system by its name in the manifest: ``System("postgres", "database-node")``. Consul has the name ``""``."""

    type: SystemType
    name: str = ""

    def __str__(self) -> str:
        return f"{self.type} {self.name}" if self.name else self.type.capitalize()


CONSUL = System("consul")


class OnRemoval(StrEnum):
    """What happens to a resource whose entry has gone."""

    DELETE = "delete"
    RETAIN = "retain"


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """Where something stands in a manifest; ``line`` and ``column`` count from 1."""

    file: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


@dataclass(frozen=True, slots=True)
class Desired:
    """One resource as the manifest wants it, in the normal form of its kind.

    ``fields`` has only what the manifest sets. ``needs`` must exist before this one and go after it; those in ``must_exist`` are an error when
    they are neither declared nor live, the others only give the order. ``after`` are written before this one when one plan changes both, and no more:
    that is not recorded, so nothing waits for it or is kept for it later. ``stands_on`` is what of those it needs the system insists on, such as a
    protocol (:class:`Hold`). A field that must not be shown holds a type of :mod:`reconciler.model.secret`, also when it was written as a literal.
    ``entry`` is the kind's own: what else it must know to tell whether the machine is fit for it and whether it serves. Never compared or recorded.
    """

    address: Address
    system: System
    fields: Mapping[str, Value]
    label: str
    place: Place
    needs: frozenset[Address] = frozenset()
    must_exist: frozenset[Address] = frozenset()
    on_removal: OnRemoval | None = None
    protect: bool = False
    adopt: bool = False
    after: frozenset[Address] = frozenset()
    stands_on: frozenset[Hold] = frozenset()
    entry: Any = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Dependant:
    """Something that would be lost with a resource, or that hinders deleting it, in words: ``table public.orders``, ``12 tables, 3.4 MB``.

    ``within`` is the resource that it lies in, or is (``is_itself``): when a plan deletes that one first, it hinders no more, nor does a
    resource itself that the plan gives another owner. ``whose``: those that would miss it, so it is no loss when one of them is deleted too.
    ``remedy`` is what to do about what no consent can lose.
    """

    text: str
    within: Address | None = None
    is_itself: bool = False
    whose: frozenset[Address] = frozenset()
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class Live:
    """One resource as it is, in the normal form of its kind.

    ``fields``: a secret is a :class:`~reconciler.model.secret.Secret`, another :class:`~reconciler.model.secret.Verifies`, or
    :class:`~reconciler.model.secret.Hidden`. ``incarnation`` tells it from one that was deleted and made anew under its name (None where
    the system has nothing to tell it by; ``"@"`` where it shares the CreateIndex of its record, given in ``created_index``).
    ``created_index`` is the Consul index at which it was created, where there is one. ``revision`` is what a conditional write needs,
    for the kind only. ``witness`` changes whenever the resource's secret is rewritten and is not derived from the secret. ``dependants``
    would be lost by deleting it, which takes consent; ``hindrances`` make that impossible as long as they are there. ``occupants`` are the
    resources inside a container that is only deleted when empty.
    ``foreign`` says why it can never be managed, such as being the node of a Consul agent, and ``remedy`` what to do about that. ``within`` is the
    resource that it lies in and that takes it along when it is deleted. ``notice`` says what deleting it would do besides, losing nothing.
    ``outputs`` are values for those that refer to it. ``stands_on`` is what the system does not let change while this stands as it is: what takes
    this away, or makes it let go, comes first. ``can_stand_aside``: see :class:`~reconciler.model.kind.YieldingKind`. ``unsaid`` is what of it a
    manifest has no word for, each in words: only import asks for that. ``has_labels``: its address is only what it is called here, and two addresses
    with one incarnation are one resource.
    ``raw`` is the kind's own.
    """

    address: Address
    fields: Mapping[str, Value]
    incarnation: str | None = None
    created_index: int | None = None
    revision: JSON = None
    witness: JSON = None
    dependants: tuple[Dependant, ...] = ()
    hindrances: tuple[Dependant, ...] = ()
    occupants: frozenset[Address] = frozenset()
    foreign: str = ""
    remedy: str = "give it another name in the manifest"
    within: Address | None = None
    notice: str = ""
    outputs: Mapping[str, Value] = field(default_factory=dict)
    stands_on: frozenset[Hold] = frozenset()
    can_stand_aside: bool = False
    unsaid: tuple[str, ...] = ()
    has_labels: bool = False
    raw: JSON = None
