"""Grants as parts of their database's entry: what is asked about, and how it is said."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from reconciler.kinds.postgres._inner_entry import no_part, part
from reconciler.manifest.database_objects import DatabaseObject
from reconciler.model.importing import Expression, Found
from reconciler.model.resource import Live
from reconciler.systems.postgres import Row


@dataclass(frozen=True, slots=True)
class Given:
    """An object on which somebody granted or revoked something, and to whom; see ``GIVEN`` in :mod:`_grant_catalogue`."""

    object: DatabaseObject
    grantee: str
    is_of_a_set: bool
    can_be_said: bool
    is_usual: bool

    @classmethod
    def of(cls, row: Row) -> Given:
        """From a row of that question."""
        one = DatabaseObject(row["type"], row["schema"], row["name"], row["types"] or "")
        return cls(one, row["grantee"], row["is_of_a_set"], row["can_be_said"] and _is_read_as_written(one), row["is_usual"])

    @property
    def address_of_set(self) -> tuple[str, str]:
        """The end of the address of the grant on all such objects of the schema, if it is one of them; else of its own."""
        return str(self._set if self.is_of_a_set else self.object), self.grantee

    @property
    def _set(self) -> DatabaseObject:
        return DatabaseObject(self.object.type, self.object.schema)


def sets(given: Iterable[Given]) -> list[tuple[DatabaseObject, str]]:
    """All objects of a type in a schema, for each grantee of one of them.

    Not where he has something on a procedure too: a manifest cannot name it beside all functions, since it does not know that it is none.
    """
    every = list(given)
    beside = {(g.object.type, g.object.schema, g.grantee) for g in every if g.object.type == "function" and not g.is_of_a_set}
    pairs = {(g.object.type, g.object.schema, g.grantee) for g in every if g.is_of_a_set} - beside
    return [(DatabaseObject(kind, schema), grantee) for kind, schema, grantee in sorted(pairs, key=str)]


def granted(live: Live, found: Found) -> Expression:
    """The list of privileges, and whether they may be passed on."""
    text, grantee = live.address.segments[2:]
    if not live.fields:
        return no_part(live, found, "its arguments cannot be written down")
    privileges, grantable = live.fields["privileges"], live.fields["grantable"]
    if isinstance(grantable, list) and grantable:
        return no_part(live, found, "only some of its privileges may be passed on")
    at = ("grants", grantee, text)
    if grantable:
        return part(live, found, at, {"privileges": privileges, "grantable": True}, [grantee])
    return part(live, found, at, privileges, [grantee], short="privileges")


def _is_read_as_written(one: DatabaseObject) -> bool:
    try:
        return DatabaseObject.parse(str(one)) == one
    except ValueError:
        return False
