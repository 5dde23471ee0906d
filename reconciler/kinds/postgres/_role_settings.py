"""The settings of a role's sessions (ALTER ROLE … SET): how they are compared, and how they are written.

Postgres keeps the text as it was typed (``4096kB`` stays ``4096kB``), so equal meanings must be made equal here (docs/facts.md: Postgres 4). The unit
or type of a setting is not looked up: a text that reads as a size, a duration or a switch is compared as one, but for settings whose values are free
text. What is sent is what was written: only lists are taken apart, since Postgres takes their elements one by one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

from reconciler.model.field_rules import FieldRules
from reconciler.model.value import Path, Value
from reconciler.systems.postgres import Name, Statement, joined, sql

# GUC_LIST_QUOTE: each element is quoted on its own, and one literal with a comma would be one element
_LISTS: Final = frozenset(
    {"local_preload_libraries", "search_path", "session_preload_libraries", "shared_preload_libraries", "temp_tablespaces", "unix_socket_directories"}
)
_FREE_TEXT: Final = frozenset(
    {
        "application_name", "default_table_access_method", "default_tablespace", "default_text_search_config", "lc_messages", "lc_monetary",
        "lc_numeric", "lc_time", "role", "session_authorization",
    }
)  # fmt: skip
_SWITCHES: Final = {"on": "on", "true": "on", "yes": "on", "off": "off", "false": "off", "no": "off"}
_SIZES: Final = {"B": 1, "kB": 2**10, "MB": 2**20, "GB": 2**30, "TB": 2**40}
_TIMES: Final = {"us": 1, "ms": 10**3, "s": 10**6, "min": 60 * 10**6, "h": 3600 * 10**6, "d": 86400 * 10**6}
_QUANTITY: Final = re.compile(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([A-Za-z]+)\s*", re.ASCII)
_ELEMENT: Final = re.compile(r'\s*(?:"((?:[^"]|"")*)"|([^",]+?))\s*(,|$)')
_PLAIN_ELEMENT: Final = re.compile(r"[a-z_][a-z0-9_$]*", re.ASCII)


def normal_name(name: str) -> str:
    """The name of a setting as it is compared: Postgres ignores its case."""
    return name.lower()


@dataclass(frozen=True, slots=True)
class SettingRules(FieldRules):
    """Rules under which two texts of a setting that mean the same are the same."""

    def same(self, path: Path, one: Value, other: Value) -> bool:
        """Whether two values, or absences, mean the same."""
        if path[0] == "settings" and len(path) == 2:
            one, other = (normal_value(path[1], v) if isinstance(v, str) else v for v in (one, other))
        return FieldRules.same(self, path, one, other)


def kept(settings: Mapping[str, str]) -> dict[str, str]:
    """The settings as they are sent and recorded: names and lists in normal form, which changes no meaning, and all other values as written."""
    named = ((normal_name(name), text) for name, text in settings.items())
    return {name: normal_value(name, text) if name in _LISTS else text for name, text in named}


def normal_value(name: str, text: str) -> str:
    """The value of the setting ``name`` as it is compared: ``4096kB`` is ``4MB``, ``300s`` is ``5min``, ``TRUE`` is ``on``."""
    name = normal_name(name)
    if name in _LISTS:
        elements = _elements(text)
        return text if elements is None else ", ".join(map(_quoted, elements))
    if name in _FREE_TEXT or "." in name:
        return text
    quantity = _QUANTITY.fullmatch(text)
    if quantity is None:
        return _SWITCHES.get(text.strip().lower(), text)
    for units in (_SIZES, _TIMES):
        if quantity[2] in units:
            return _in_largest_unit(Fraction(quantity[1]) * units[quantity[2]], units) or text
    return text


def from_catalogue(entries: Iterable[str]) -> dict[str, str]:
    """The settings in ``pg_db_role_setting.setconfig``: texts such as ``work_mem=4096kB``."""
    return kept({name: text for name, _, text in (entry.partition("=") for entry in entries)})


def assignments(role: str, settings: Mapping[str, str], names: Iterable[str]) -> list[Statement]:
    """The statements that give ``role`` these of ``settings``, and reset those of ``names`` that are not among them."""
    return [
        sql("ALTER ROLE {} SET {} = {}", Name(role), Name(name), _literals(name, settings[name]))
        if name in settings
        else sql("ALTER ROLE {} RESET {}", Name(role), Name(name))
        for name in sorted(set(names))
    ]


def _literals(name: str, text: str) -> Statement:
    elements = _elements(text) if name in _LISTS else None
    return joined(", ", [sql("{}", e) for e in ([text] if elements is None else elements)])


def _elements(text: str) -> list[str] | None:
    """The elements of a list of names, as Postgres splits it: unquoted ones in lower case. None when it is malformed."""
    if not text.strip():
        return [""]
    found: list[str] = []
    at = 0
    while True:
        match = _ELEMENT.match(text, at)
        if match is None:
            return None
        found.append(match[2].lower() if match[1] is None else match[1].replace('""', '"'))
        if match[3] == "":
            return found
        at = match.end()


def _quoted(element: str) -> str:
    return element if _PLAIN_ELEMENT.fullmatch(element) else '"' + element.replace('"', '""') + '"'


def _in_largest_unit(amount: Fraction, units: Mapping[str, int]) -> str:
    if amount == 0:
        return "0"
    fitting = [unit for unit, size in units.items() if amount % size == 0]
    return f"{amount / units[fitting[-1]]}{fitting[-1]}" if fitting else ""
