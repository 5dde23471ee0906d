"""What can be told of one resource besides its record, to whoever looks at it: when it was made, what holds it, what it has left behind."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal, Protocol, runtime_checkable

from reconciler.model.kind import Kind
from reconciler.model.record import Record


@dataclass(frozen=True, slots=True)
class Holder:
    """The ``record`` of what is to hold it, and what that ``holds`` by it: this one, one that this has come in the place of, nothing as long as it
    was not written, or what is not known, because an earlier version has written it.
    """

    record: Record
    holds: Literal["this", "old", "nothing", "unknown"]


@dataclass(frozen=True, slots=True)
class History:
    """``made``: when, as ISO 8601 in UTC; empty when that is not known, for the reason ``why_not``. ``holders`` are what is to hold it.

    ``superseded``: what it has come in the place of and is still to be deleted, as its system calls it, and whether it is still there; None when that
    is not known.
    """

    made: str = ""
    why_not: str = ""
    holders: tuple[Holder, ...] = ()
    superseded: tuple[tuple[str, bool | None], ...] = ()


@runtime_checkable
class RememberedKind(Kind, Protocol):
    """A kind in Consul that can tell more of a resource than what its record holds."""

    def history(self, consul: Any, record: Record, users: Iterable[Record]) -> History:
        """What is known of the resource of ``record``; ``users`` are the records, of whichever manifest, that need it. Never a secret."""
        ...
