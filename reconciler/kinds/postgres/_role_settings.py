"""The settings of a role's sessions (ALTER ROLE … SET) in normal form, and how they are written.

Postgres keeps the text as it was typed (``4096kB`` stays ``4096kB``), so equal meanings must be made equal here (docs/facts.md: Postgres 4). The unit
or type of a setting is not looked up: a text that reads as a size, a duration or a switch is one, but for settings whose values are free text.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from fractions import Fraction
from typing import Final

from reconciler.systems.postgres import Name, Statement, joined, sql

# GUC_LIST_QUOTE: each element is quoted on its own, and one literal with a comma would be one element
_LISTS: Final = frozenset(
    {"local_preload_libraries", "search_path", "session_preload_libraries", "shared_preload_libraries", "temp_tablespaces", "unix_socket_directories"}
)
_FREE_TEXT: Final = frozenset({"application_name"})
_SWITCHES: Final = {"on": "on", "true": "on", "yes": "on", "off": "off", "false": "off", "no": "off"}
_SIZES: Final = {"B": 1, "kB": 2**10, "MB": 2**20, "GB": 2**30, "TB": 2**40}
_TIMES: Final = {"us": 1, "ms": 10**3, "s": 10**6, "min": 60 * 10**6, "h": 3600 * 10**6, "d": 86400 * 10**6}
_QUANTITY: Final = re.compile(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([A-Za-z]+)\s*", re.ASCII)
_ELEMENT: Final = re.compile(r'\s*(?:"((?:[^"]|"")*)"|([^",]+?))\s*(,|$)')
_PLAIN_ELEMENT: Final = re.compile(r"[a-z_][a-z0-9_$]*", re.ASCII)


def normal_name(name: str) -> str:
    """The name of a setting as it is compared: Postgres ignores its case."""
    return name.lower()


def normal_value(name: str, text: str) -> str:
    """The value of the setting ``name`` as it is compared and written: ``4096kB`` is ``4MB``, ``300s`` is ``5min``, ``TRUE`` is ``on``."""
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
    """The normal form of ``pg_db_role_setting.setconfig``: texts such as ``work_mem=4096kB``."""
    pairs = (entry.partition("=") for entry in entries)
    return {normal_name(name): normal_value(name, text) for name, _, text in pairs}


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
