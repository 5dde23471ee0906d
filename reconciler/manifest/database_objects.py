"""What rights are granted on: the objects of a database as a manifest writes them, and the privileges that each takes.

Names are as Postgres keeps them, case included; one with a space, a dot, a quote or a parenthesis in it stands in double quotes, as in SQL.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from reconciler.manifest.fields import Text

ObjectType = Literal["database", "schema", "table", "sequence", "function"]

PUBLIC: Final = "PUBLIC"
"""Everybody, as a grantee. No role can be called ``public``, and one called ``PUBLIC`` cannot be granted anything here."""

PRIVILEGES: Final[Mapping[str, tuple[str, ...]]] = {
    "database": ("CONNECT", "CREATE", "TEMPORARY"),
    "schema": ("CREATE", "USAGE"),
    "table": ("DELETE", "INSERT", "MAINTAIN", "REFERENCES", "SELECT", "TRIGGER", "TRUNCATE", "UPDATE"),
    "sequence": ("SELECT", "UPDATE", "USAGE"),
    "function": ("EXECUTE",),
    "type": ("USAGE",),
}
"""The privileges on each type of object. MAINTAIN is of Postgres 17 and later."""

ALL: Final = "ALL"

_BARE: Final = r'[^\x00-\x20\x7f".()]+'
_QUOTED: Final = r'"(?:[^\x00-\x1f\x7f"]|"")+"'
_NAME: Final = f"(?:{_BARE}|{_QUOTED})"
_TYPES: Final = r'[A-Za-z0-9_$ ",.\[\]]*'
OBJECT: Final = Text(
    rf"database|schema {_NAME}|(table|sequence) {_NAME}\.{_NAME}|function {_NAME}\.{_NAME}\({_TYPES}\)"
    rf"|all (tables|sequences|functions) in schema {_NAME}",
    "an object of the database",
    "write database, schema NAME, table SCHEMA.NAME, sequence SCHEMA.NAME, function SCHEMA.NAME(TYPES), or all tables in schema NAME",
    max_bytes=512,
)
_OBJECT: Final = re.compile(
    rf"(?P<type>table|sequence) (?P<schema>{_NAME})\.(?P<name>{_NAME})"
    rf"|(?P<function>function) (?P<fschema>{_NAME})\.(?P<fname>{_NAME})\((?P<types>{_TYPES})\)"
    rf"|all (?P<all>table|sequence|function)s in schema (?P<within>{_NAME})|schema (?P<only>{_NAME})|database"
)
_IS_BARE: Final = re.compile(_BARE)


@dataclass(frozen=True, slots=True)
class DatabaseObject:
    """One object of a database, or all of one type in a schema (``name`` is then None). ``types`` are those of a function's arguments, as written."""

    type: ObjectType
    schema: str | None = None
    name: str | None = None
    types: str = ""

    @classmethod
    def parse(cls, text: str) -> DatabaseObject:
        """The object that a manifest calls ``text``. Raises ValueError for what :data:`OBJECT` does not allow."""
        found = _OBJECT.fullmatch(text)
        if found is None:
            raise ValueError(f"{text!r} is no object of a database")
        part = found.groupdict()
        if part["type"]:
            return cls("table" if part["type"] == "table" else "sequence", _unquoted(part["schema"]), _unquoted(part["name"]))
        if part["function"]:
            types = ", ".join(" ".join(one.split()) for one in part["types"].split(",")) if part["types"].strip() else ""
            return cls("function", _unquoted(part["fschema"]), _unquoted(part["fname"]), types)
        if part["all"]:
            kinds: dict[str, ObjectType] = {"table": "table", "sequence": "sequence", "function": "function"}
            return cls(kinds[part["all"]], _unquoted(part["within"]))
        return cls("schema", name=_unquoted(part["only"])) if part["only"] else cls("database")

    @property
    def is_set(self) -> bool:
        """Whether it stands for all objects of its type in a schema."""
        return self.schema is not None and self.name is None

    @property
    def within(self) -> str | None:
        """The schema that it lies in, or is."""
        return self.name if self.type == "schema" else self.schema

    @property
    def signature(self) -> str:
        """A function as Postgres reads it: every name in quotes, and the types as written."""
        return f"{_in_quotes(self.schema or '')}.{_in_quotes(self.name or '')}({self.types})"

    def __str__(self) -> str:
        if self.type == "database":
            return "database"
        if self.type == "schema":
            return f"schema {_written(self.name or '')}"
        if self.name is None:
            return f"all {self.type}s in schema {_written(self.schema or '')}"
        arguments = f"({self.types})" if self.type == "function" else ""
        return f"{self.type} {_written(self.schema or '')}.{_written(self.name)}{arguments}"


def default_objects(on: str, schema: str | None) -> str:
    """Objects to come, as addresses name them: ``tables``, ``tables in schema public``."""
    return on if schema is None else f"{on} in schema {_written(schema)}"


def parse_default_objects(text: str) -> tuple[str, str | None]:
    """What :func:`default_objects` was given."""
    on, _, schema = text.partition(" in schema ")
    return on, _unquoted(schema) if schema else None


def normal_grantee(name: str) -> str:
    """A grantee in normal form: :data:`PUBLIC` for everybody in either case, since no role can be called ``public``."""
    return PUBLIC if name in ("public", PUBLIC) else name


def normal_privileges(privileges: list[str]) -> list[str]:
    """Privileges in normal form: upper case, sorted, each once; ``TEMP`` is ``TEMPORARY``, and ``ALL`` stands for the rest."""
    upper = {"TEMPORARY" if p.upper() == "TEMP" else p.upper() for p in privileges}
    return [ALL] if ALL in upper else sorted(upper)


def _written(name: str) -> str:
    return name if _IS_BARE.fullmatch(name) else _in_quotes(name)


def _in_quotes(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _unquoted(text: str) -> str:
    return text[1:-1].replace('""', '"') if text.startswith('"') else text
