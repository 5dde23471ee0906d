"""SQL as values: a constant text, and the parts that are quoted into it when it is sent.

CREATE, ALTER and DROP take no bound parameters (docs/facts.md: Postgres 3), so names and values are quoted by psycopg.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, LiteralString

from reconciler.model.errors import ReconcilerError
from reconciler.model.secret import MASK, Secret

if TYPE_CHECKING:
    import psycopg
    from psycopg.sql import Composable

NAME_BYTES = 63
"""The longest name that Postgres keeps whole; it cuts longer ones in silence, and then means another object (docs/facts.md: Postgres 2)."""


@dataclass(frozen=True, slots=True)
class Name:
    """An identifier: the name of a role, a database, a setting. Raises ReconcilerError for one that Postgres would not take as it is."""

    text: str

    def __post_init__(self) -> None:
        fault = name_fault(self.text)
        if fault:
            raise ReconcilerError(f"{self.text!r} cannot be a name in Postgres: {fault}")


@dataclass(frozen=True, slots=True)
class Statement:
    """A text with a ``{}`` for each of ``parts``: an identifier, a literal, another statement, or a secret literal, which shows nowhere."""

    text: LiteralString
    parts: tuple[Part, ...] = ()

    @property
    def carries_secret(self) -> bool:
        """Whether something in it must not be shown, nor reach the server's log."""
        return any(isinstance(p, Secret) or (isinstance(p, Statement) and p.carries_secret) for p in self.parts)

    def __str__(self) -> str:
        return self.text.format(*(MASK if isinstance(p, Secret) else p.text if isinstance(p, Name) else str(p) for p in self.parts))


Part = Name | str | int | Secret | Statement


def sql(text: LiteralString, *parts: Part) -> Statement:
    """A statement, or a piece of one: ``sql("ALTER ROLE {} CONNECTION LIMIT {}", Name("app"), 5)``."""
    return Statement(text, parts)


def joined(separator: LiteralString, statements: Iterable[Statement]) -> Statement:
    """Several pieces as one."""
    parts = tuple(statements)
    return Statement(separator.join(["{}"] * len(parts)), parts)


def name_fault(name: str) -> str:
    """Why ``name`` is no name for anything in Postgres, or empty."""
    try:
        size = len(name.encode())
    except UnicodeEncodeError:
        return "it is not valid Unicode"
    if not 0 < size <= NAME_BYTES:
        return f"it has {size} bytes, and Postgres keeps 1 to {NAME_BYTES}"
    # sql.Identifier("x\0y") made a role "x", in silence
    return "it has control characters" if any(c < " " or c == "\x7f" for c in name) else ""


def rendered(statement: Statement, connection: psycopg.Connection[object]) -> str:
    """The text to be sent. It may hold secrets: for sending only."""
    return _composed(statement).as_string(connection)


def _composed(statement: Statement) -> Composable:
    from psycopg import sql as composing

    def part(value: Part) -> Composable:
        match value:
            case Name():
                return composing.Identifier(value.text)
            case Statement():
                return _composed(value)
            case Secret():
                return composing.Literal(_without_nul(value.reveal()))
            case str():
                return composing.Literal(_without_nul(value))
        return composing.Literal(value)

    return composing.SQL(statement.text).format(*map(part, statement.parts))


def _without_nul(text: str) -> str:
    if "\0" in text:
        raise ReconcilerError("a text for Postgres holds the character NUL, which it cannot take")
    return text
