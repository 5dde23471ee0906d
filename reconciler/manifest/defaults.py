"""What an entry's label and its neighbours say for it: names, IDs, the only Postgres server."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema

DEFAULT_SERVER: Final = "default"
"""The name of the only Postgres server of a manifest without the section ``postgres``."""


@dataclass(frozen=True, slots=True)
class Labelled:
    """A mapping by label, in whose entries the label stands for the ``keys`` that are left out; ``expand`` first makes the long form."""

    keys: tuple[str, ...]
    expand: Callable[[Any], Any] | None = None

    def fill(self, entries: Any) -> Any:
        """The entries with these keys set; what is not a mapping is left for the validation to refuse."""
        return {label: self._entry(label, entry) for label, entry in entries.items()} if isinstance(entries, Mapping) else entries

    def _entry(self, label: Any, entry: Any) -> Any:
        entry = self.expand(entry) if self.expand else entry
        return {**dict.fromkeys(self.keys, label), **entry} if isinstance(entry, Mapping) else entry

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_before_validator_function(self.fill, handler(source))


BY_NAME: Final = Labelled(("name",))


def server_names(document: Mapping[str, Any]) -> tuple[str, ...]:
    """The names of the Postgres servers of a manifest that is not validated yet."""
    postgres = document.get("postgres")
    return tuple(name for name in postgres if isinstance(name, str)) if isinstance(postgres, Mapping) and postgres else (DEFAULT_SERVER,)


def with_servers(document: Mapping[str, Any]) -> dict[str, Any]:
    """A manifest that is not validated yet, with the only server named in every role and database that names none."""
    servers = server_names(document)
    filled = dict(document)
    for section in ("db_roles", "databases"):
        entries = document.get(section)
        if len(servers) == 1 and isinstance(entries, Mapping):
            filled[section] = {k: {"server": servers[0], **e} if isinstance(e, Mapping) else e for k, e in entries.items()}
    return filled
