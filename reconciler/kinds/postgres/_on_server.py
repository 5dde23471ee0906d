"""What the kinds of resources on a Postgres server have in common."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar, LiteralString

from reconciler.model.address import Address
from reconciler.model.kind import Permission, Wanted
from reconciler.model.resource import SystemType
from reconciler.systems.postgres import Condition


class OnServer:
    """Addresses begin with the server's name, nothing is replaced by another of its name, and Consul has nothing to say about it."""

    name: ClassVar[str]
    system: ClassVar[SystemType] = "postgres"
    replaces: ClassVar[bool] = False

    def address(self, *segments: str) -> Address:
        """Postgres minds the case of names."""
        return Address.of(self.name, *segments)

    def permissions(self, wanted: Wanted, *, write: bool) -> Iterable[Permission]:
        """None in Consul."""
        del wanted, write
        return ()


def still_there(is_the_one: LiteralString, oid: str | None, name: str, subject: object = None) -> Condition:
    """That ``name`` is what was planned against; ``is_the_one`` takes both. ``subject`` is what to call it."""
    return Condition(is_the_one, {"oid": oid, "name": name}, f"{subject or name} was dropped or made anew meanwhile: run again")
