"""Privileges of one grantee on one or many objects: what is held, what that means as a specification, and how it is changed.

Where an ACL is NULL, or says what every new object of the type says, nobody has granted anything: then there is no such resource, unless that is
just what was applied. Nor is it there for a manifest that wants just that: it would be adopted, and so be retained, with all that it needs, when its
entry goes, and whether it is would depend on what was there before. So deleting a grant goes back to what Postgres gives by itself, which for PUBLIC
may be something (docs/facts.md: Postgres 11).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, LiteralString

from reconciler.kinds.postgres._inside import specifications
from reconciler.manifest.database_objects import ALL, PUBLIC
from reconciler.model.kind import Order, Wanted
from reconciler.model.value import Value
from reconciler.systems.postgres import Name, Statement, joined, sql

_KEYWORDS: Final[Mapping[str, LiteralString]] = {
    "CONNECT": "CONNECT", "CREATE": "CREATE", "DELETE": "DELETE", "EXECUTE": "EXECUTE", "INSERT": "INSERT", "MAINTAIN": "MAINTAIN",
    "REFERENCES": "REFERENCES", "SELECT": "SELECT", "TEMPORARY": "TEMPORARY", "TRIGGER": "TRIGGER", "TRUNCATE": "TRUNCATE", "UPDATE": "UPDATE",
    "USAGE": "USAGE",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Held:
    """What a grantee has: for each privilege on how many of ``objects`` objects, and on how many of them with the right to pass it on."""

    objects: int
    privileges: Mapping[str, int] = field(default_factory=dict)
    grantable: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, objects: int, rows: Iterable[Mapping[str, Any]]) -> Held:
        """From rows with ``privilege``, ``objects`` and ``grantable``."""
        rows = list(rows)
        return cls(objects, {r["privilege"]: r["objects"] for r in rows}, {r["privilege"]: r["grantable"] for r in rows if r["grantable"]})

    def specification(self, full: frozenset[str], wanted: Wanted) -> dict[str, Value]:
        """The same as fields. ``full`` are all privileges of the type in this version: they are ``ALL`` where that was written."""
        shown: list[str] = [p if n == self.objects else f"{p} on {n} of {self.objects}" for p, n in sorted(self.privileges.items())]
        options = [p if n == self.objects else f"{p} on {n} of {self.objects}" for p, n in sorted(self.grantable.items())]
        passing_on: Value = bool(shown) if options == shown else options
        written = next((s.get("privileges") for s in specifications(wanted)), None)
        if full and set(shown) == full and written == [ALL]:
            shown = [ALL]
        return {"privileges": shown, "grantable": passing_on}


def counts_as_there(held: Held, by_default: Held, fields: Mapping[str, Value], wanted: Wanted) -> bool:
    """Whether there is such a resource: somebody granted or revoked something, or what is so by default is just what was applied."""
    applied = wanted.record.specification if wanted.record is not None else {}
    return held != by_default or applied.get("privileges") == fields["privileges"]


@dataclass(frozen=True, slots=True)
class Goal:
    """What a grantee shall have; ``grantable`` None leaves that as it is."""

    privileges: frozenset[str]
    grantable: bool | None = None


def goal(order: Order, full: frozenset[str]) -> Goal:
    """What ``order`` asks for, with ``ALL`` spelt out."""
    fields = order.desired.fields if order.desired else order.fields
    privileges = full if list(fields["privileges"]) == [ALL] else frozenset(fields["privileges"])
    unset = False if ("grantable",) in order.changed else None
    return Goal(privileges, fields.get("grantable", unset))


@dataclass(frozen=True, slots=True)
class Step:
    """One GRANT or REVOKE. ``option``: only the right to pass it on is revoked, or granted with it."""

    grant: bool
    privilege: str
    option: bool = False


def steps(has: Mapping[str, bool], wanted: Goal) -> list[Step]:
    """How to get from what is held on one object (privilege to whether it may be passed on) to the goal."""
    found = [Step(False, p) for p in has if p not in wanted.privileges]
    for privilege in sorted(wanted.privileges):
        passes_on = has.get(privilege)
        if passes_on is None or (wanted.grantable and not passes_on):
            found.append(Step(True, privilege, bool(wanted.grantable)))
        elif wanted.grantable is False and passes_on:
            found.append(Step(False, privilege, option=True))
    return found


def words(steps_alike: Iterable[Step]) -> Statement:
    """The privileges of several steps: ``INSERT, SELECT``."""
    return joined(", ", [sql(_KEYWORDS[s.privilege]) for s in sorted(steps_alike, key=lambda s: s.privilege)])


def statement(steps_alike: Sequence[Step], objects: Statement, grantee: str, *, cascade: bool) -> Statement:
    """One statement for steps that differ in the privilege alone. ``objects`` is what stands after ON."""
    who = sql("PUBLIC") if grantee == PUBLIC else sql("{}", Name(grantee))
    first = steps_alike[0]
    if first.grant:
        return sql("GRANT {} ON {} TO {}{}", words(steps_alike), objects, who, sql(" WITH GRANT OPTION" if first.option else ""))
    only = sql("GRANT OPTION FOR " if first.option else "")
    return sql("REVOKE {}{} ON {} FROM {} {}", only, words(steps_alike), objects, who, sql("CASCADE" if cascade else "RESTRICT"))


def grouped(found: Iterable[Step]) -> list[list[Step]]:
    """Steps that can share a statement: revocations first."""
    groups: dict[tuple[bool, bool], list[Step]] = {}
    for step in found:
        groups.setdefault((step.grant, step.option), []).append(step)
    return [groups[key] for key in sorted(groups)]
