"""What a kind of resource must tell the engine. A kind is a value that is passed in; the engine knows none by name.

A kind either writes by itself (:class:`DirectKind`: the engine writes the ownership record before and after) or turns a change into operations
of one Consul transaction that also holds the record (:class:`TransactionalKind`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal, Protocol, runtime_checkable

from reconciler.model.address import Address
from reconciler.model.field_rules import FieldRules
from reconciler.model.record import Record
from reconciler.model.resource import Desired, Live, SystemType
from reconciler.model.value import JSON, Path, Value

if TYPE_CHECKING:
    from reconciler.model.change import Change, Refusal
    from reconciler.model.secret import Reference


EVERY_SERVICE: Final = "*"
"""The destination of intentions that are about all services."""


@dataclass(frozen=True, slots=True)
class Permission:
    """One right to be asked for before anything else: what ``POST /v1/internal/acl/authorize`` takes, and who needs it."""

    resource: str
    segment: str
    access: Literal["read", "write", "list"]
    address: Address | None = field(default=None, compare=False)

    def __str__(self) -> str:
        words = f'{self.resource}:{self.access} on "{self.segment}"' if self.segment else f"{self.resource}:{self.access}"
        if (self.resource, self.segment, self.access) == ("intention", EVERY_SERVICE, "write"):
            # no rule of that name gives it (docs/facts.md: Consul 10)
            words += ' (intentions = "write" in service_prefix "" and in every rule for a service)'
        return words


@dataclass(frozen=True, slots=True)
class Wanted:
    """One address that a bulk read must answer for: what the manifest and the record say of it, where they do.

    With neither it is only referred to, and the question is whether it exists. ``owner`` is the manifest's name. ``leaving``: its entry is
    gone, so what deleting it would lose must be told (:attr:`~reconciler.model.resource.Live.dependants`).
    """

    address: Address
    owner: str
    desired: Desired | None = None
    record: Record | None = None
    leaving: bool = False


@dataclass(frozen=True, slots=True)
class Order:
    """One write, with everything known.

    ``fields`` is what the resource shall be: for a create what the manifest sets, for an update the live fields with the manifest's merged in
    and unset ones removed; every reference is resolved (secrets are :class:`~reconciler.model.secret.Secret`). ``changed`` are the
    paths that differ. For a delete only ``live`` counts, and whether losing its dependants was consented to. ``without``: when it stands aside, the
    parts that are gone meanwhile.
    """

    address: Address
    fields: Mapping[str, Value]
    owner: str
    changed: tuple[Path, ...] = ()
    desired: Desired | None = None
    live: Live | None = None
    record: Record | None = None
    allow_data_loss: bool = False
    without: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Started:
    """Something that was just written and takes a while until it serves, and whom to ask about it.

    ``system`` is as for a kind's ``read``, ``consul`` the client of the run. ``look_up`` tells what a reference means now: a token's secret, or
    :class:`~reconciler.model.secret.Hidden`.
    """

    desired: Desired
    system: Any
    consul: Any
    look_up: Callable[[Reference], Value]


@dataclass(frozen=True, slots=True)
class Finding:
    """Something about a machine that does not go with a resource on it. ``is_remark``: it may be so, and should be known."""

    address: Address
    what: str
    what_to_do: str
    is_remark: bool = False


@dataclass(frozen=True, slots=True)
class Made:
    """What a direct write left: as in :class:`~reconciler.model.resource.Live`. ``outputs`` are for those that refer to it."""

    incarnation: str | None
    witness: JSON = None
    outputs: Mapping[str, Value] = field(default_factory=dict)


Operation = dict[str, Any]
"""One operation of ``PUT /v1/txn``, as the API takes it."""


class Kind(Protocol):
    """What is known about one type of resource. Attributes:

    ``name``: the first word of its addresses. ``system``: where it lives. ``covers``: what it answers for in a manifest (as named by
    ``Manifest.features``); what no kind covers is refused as not supported yet. ``rules``: how fields compare. ``replaces``: whether a
    change of an immutable field can be made by creating anew and deleting the old one last; otherwise the plan is refused.
    """

    name: ClassVar[str]
    system: ClassVar[SystemType]
    covers: ClassVar[frozenset[str]]
    rules: ClassVar[FieldRules]
    replaces: ClassVar[bool]

    def address(self, *segments: str) -> Address:
        """The address of one of its resources, folded where the system folds."""
        ...

    def declare(self, manifest: Any) -> Iterable[Desired]:
        """The resources of this kind that a :class:`~reconciler.manifest.models.LoadedManifest` wants, in normal form."""
        ...

    def permissions(self, wanted: Wanted, *, write: bool) -> Iterable[Permission]:
        """The Consul rights that reading, or also writing, this resource takes; empty outside Consul."""
        ...

    def read(self, system: Any, wanted: Sequence[Wanted]) -> Iterable[Live]:
        """What is live of ``wanted``, in bulk: the number of round trips does not depend on how many there are.

        ``system`` is what the engine holds for the kind's system type: a ``ConsulReader``, a ``Postgres``, a ``Host``. What is absent is not
        answered; what stands on something wanted, and what that stands on, may be, too. Raises a SystemFault for whatever could not be read
        completely.
        """
        ...


@runtime_checkable
class DirectKind(Kind, Protocol):
    """A kind whose writes are calls of their own."""

    def create(self, system: Any, order: Order) -> Made:
        """Make it. Raises AlreadyExists when it exists, never overwrites."""
        ...

    def update(self, system: Any, order: Order) -> Made:
        """Make it what ``order.fields`` says. Raises LostRace when it is not what was planned against any more, where the API can tell."""
        ...

    def delete(self, system: Any, order: Order) -> None:
        """Remove ``order.live``; what is gone already is no error. Without ``allow_data_loss`` its dependants are looked for once more."""
        ...


@runtime_checkable
class YieldingKind(DirectKind, Protocol):
    """A kind whose resources can be something else for a moment, where neither they nor what they stand on can be changed first."""

    def stand_aside(self, system: Any, order: Order) -> Live:
        """Write what it can be meanwhile. ``order`` is that of the update which follows; the answer is its ``live`` with the new revision."""
        ...


@runtime_checkable
class ReplacingKind(DirectKind, Protocol):
    """A kind that replaces by making a new one, moving its users over, and deleting the old one last."""

    def delete_superseded(self, system: Any, incarnation: str) -> None:
        """Remove what a replacement left behind; what is gone already is no error."""
        ...


@runtime_checkable
class InnerKind(DirectKind, Protocol):
    """A kind whose resources lie inside the databases of a server, the second segment of their addresses. Each takes a connection of its own, so the
    engine connects once to each database and asks all such kinds there.
    """

    def read_inside(self, session: Any, wanted: Sequence[Wanted]) -> Iterable[Live]:
        """What is live of ``wanted``, all of them in the database of ``session``: one statement. Otherwise as :meth:`read`."""
        ...


@runtime_checkable
class HostKind(DirectKind, Protocol):
    """A kind of things on a machine. All such kinds of one machine are asked together, in one round trip.

    ``is_rendered``: whether a script that nobody looks at can make them.
    """

    is_rendered: ClassVar[bool]

    def asks(self, wanted: Sequence[Wanted]) -> Any:
        """What must be known of the machine to answer for ``wanted``, an ``Inquiry``; those of several kinds are joined with ``|``."""
        ...

    def told(self, wanted: Sequence[Wanted], facts: Any) -> Iterable[Live]:
        """What is live of ``wanted``, by the ``Facts`` about the machine. Otherwise as :meth:`read`."""
        ...


@runtime_checkable
class ForeseeingKind(DirectKind, Protocol):
    """A kind that makes more than the resource itself, and must know of it when that is removed, even if the run that made it was killed."""

    def foresee(self, system: Any, address: Address, remembered: Iterable[JSON]) -> JSON:
        """Asked before the claim is written, which keeps the answer: the witness that the created resource shall have.

        ``remembered`` are the witnesses in all records of this kind on the same system, whoever owns them.
        """
        ...


@runtime_checkable
class InspectingKind(HostKind, Protocol):
    """A kind whose resources take more of a machine than that it can be written to. What it asks of the machine tells that, too."""

    def findings(self, wanted: Sequence[Wanted], facts: Any) -> Iterable[Finding]:
        """What of the machine does not go with what the manifest wants on it."""
        ...


@runtime_checkable
class AwaitedKind(DirectKind, Protocol):
    """A kind whose resources serve only a while after they were written, and may never do so."""

    def lacks(self, started: Started) -> str:
        """What it still lacks before it serves, in words; empty when it serves. Asked again and again. Raises a SystemFault."""
        ...

    def last_words(self, started: Started) -> Sequence[str]:
        """What it said itself lately, at most ten lines. Raises a SystemFault."""
        ...


@runtime_checkable
class TransactionalKind(Kind, Protocol):
    """A kind whose writes are operations of a Consul transaction."""

    def create_operations(self, order: Order) -> list[Operation]:
        """Operations that make it, and fail when it exists."""
        ...

    def update_operations(self, order: Order) -> list[Operation]:
        """Operations that make it what ``order.fields`` says, and fail when its revision is not that of ``order.live``."""
        ...

    def delete_operations(self, live: Live) -> list[Operation]:
        """Operations that remove it, and fail when its revision is not that of ``live``."""
        ...

    def hindrance(self, system: Any, live: Live) -> str:
        """Asked immediately before deleting: why it must not be deleted now after all (it is then forgotten), or empty."""
        ...


@runtime_checkable
class DemandingKind(Kind, Protocol):
    """A kind whose changes take rights that its system can be asked about."""

    def lacking(self, system: Any, changes: Mapping[Address, Change]) -> Iterable[str]:
        """Rights that this run has not and that changes of this kind surely take. ``changes`` are all that a plan makes on this system."""
        ...


@runtime_checkable
class WaryKind(Kind, Protocol):
    """A kind whose changes could shut out the run that makes them."""

    def objections(self, system: Any, changes: Mapping[Address, Change], staying: Iterable[Address]) -> Iterable[Refusal]:
        """Why it must not be this run that makes the changes of a plan on this system. ``staying`` is what is wanted there afterwards."""
        ...
