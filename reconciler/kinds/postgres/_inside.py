"""What the kinds that live inside databases have in common: reading, and the conditions of changing."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from reconciler.model.address import Address
from reconciler.model.kind import Order, Wanted
from reconciler.model.resource import Live
from reconciler.systems.postgres import Postgres, Session

FIRST_OF_USERS = 16384
"""The first oid of what is not in every new database."""


class Inside(ABC):
    """Kinds whose resources lie inside databases."""

    @abstractmethod
    def read_inside(self, session: Session, wanted: Sequence[Wanted]) -> Iterable[Live]:
        """What is live of ``wanted`` in the database of ``session``, in one statement."""

    def read(self, system: Postgres, wanted: Sequence[Wanted]) -> Iterable[Live]:
        """One statement for the databases, and one inside each."""

        def ask(name: str, session: Session) -> list[Live]:
            return list(self.read_inside(session, [w for w in wanted if database_of(w.address) == name]))

        return system.in_each_database({database_of(w.address) for w in wanted}, ask)


def database_of(address: Address) -> str:
    """The database that a resource lies in."""
    return address.segments[1]


def around(address: Address) -> Address:
    """The address of that database."""
    return Address.of("database", *address.segments[:2])


def specifications(wanted: Wanted) -> Iterator[dict[str, Any]]:
    """What the manifest and the record say of a resource, where they do."""
    if wanted.desired is not None:
        yield dict(wanted.desired.fields)
    if wanted.record is not None:
        yield dict(wanted.record.specification)


@contextmanager
def deleting(server: Postgres, order: Order) -> Iterator[Session | None]:
    """The connection to delete something with; None when its database is gone, and with it all that was in it."""
    name = database_of(order.address)
    if not server.has_database(name):
        yield None
        return
    with server.changing(name) as session:
        yield session
