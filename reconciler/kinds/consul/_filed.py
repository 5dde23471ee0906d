"""What is found in files of Consul's own: HCL and JSON, policies, config entries and registrations in any of their spellings.

HCL is read as Consul reads it, version 1 (:mod:`_hcl`); a block that stands several times is a list.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import PurePath
from typing import Any, Final

from reconciler.kinds.consul._hcl import Body, HclValue, Numeral, parse
from reconciler.kinds.consul._registrations import is_registration
from reconciler.kinds.consul._rules import NAMED, SCALARS, understand
from reconciler.kinds.consul._spelling import folded, get
from reconciler.model.value import JSON

_NAMELESS: Final = frozenset({"acl", "acl-policy", "acl_policy", "policies", "policy", "rules"})
"""Files that are called after what they hold."""

_SETTINGS: Final = ("acl", "bindaddr", "bootstrapexpect", "connect", "datacenter", "datadir", "encrypt", "ports", "retryjoin", "server")
"""What nearly every agent's configuration has some of, with the spelling folded."""


def documents(text: str) -> list[dict[str, JSON]]:
    """The mappings at the top of a file. Raises ValueError when it is neither HCL nor JSON."""
    try:
        if text.lstrip().startswith("["):
            return [part for part in json.loads(text) if isinstance(part, dict)]
        return [_plain_body(parse(text))]
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def entries(text: str) -> Iterator[dict[str, JSON]]:
    """The config entries of a file, each with ``Kind`` and ``Name`` in this spelling; those of an agent's ``config_entries.bootstrap`` too."""
    for document in documents(text):
        bootstrap = get(get(document, "configentries"), "bootstrap")
        for candidate in (document, *(bootstrap if isinstance(bootstrap, list) else [bootstrap])):
            kind = get(candidate, "kind")
            name = get(candidate, "name") or ("mesh" if kind == "mesh" else None)
            if isinstance(kind, str) and isinstance(name, str):
                yield {**{key: value for key, value in candidate.items() if folded(key) not in ("kind", "name")}, "Kind": kind, "Name": name}


def what_it_is(text: str) -> str:
    """What a file is that holds nothing for a manifest, in words; empty when it is nothing of Consul's. Raises ValueError as :func:`documents`."""
    for document in documents(text):
        services = [document, *(_each(get(document, "service"))), *_each(get(document, "services"))]
        if any(isinstance(get(service, "name"), str) and _is_definition(service, service is document) for service in services):
            return "services of a local agent, which registers them itself: not for a manifest"
        if any(get(document, key) is not None for key in _SETTINGS):
            return "settings of an agent, and no config entry among them"
    return ""


def _is_definition(service: Mapping[str, JSON], is_alone: bool) -> bool:
    return not is_alone or get(service, "port") is not None or get(service, "connect") is not None


def _each(value: JSON) -> list[JSON]:
    """What stands in a block, or in several of them."""
    return value if isinstance(value, list) else [value]


def policy_in_file(file: str, text: str) -> tuple[str, str, str] | None:
    """Name, description and rules of the policy that a file describes, or whose rules it is; None when it is neither."""
    found = documents(text)
    if len(found) != 1:
        return None
    name, rules = get(found[0], "name"), get(found[0], "rules")
    if isinstance(name, str) and isinstance(rules, str):
        return name, str(get(found[0], "description") or ""), rules
    return (_name(PurePath(file), text), "", text) if _are_rules(found[0]) and not is_registration(found[0]) else None


def is_named(file: str) -> bool:
    """Whether a file with rules is called after its policy, and not after what it holds."""
    return PurePath(file).stem.lower() not in _NAMELESS


def _are_rules(document: Mapping[str, JSON]) -> bool:
    """Whether most of what stands at the top is an ACL rule; a service's definition and an agent's settings have some of the same names."""
    known = [key for key in document if key.lower() in (*SCALARS, *NAMED)]
    is_definition = any(isinstance(get(one, "name"), str) for one in _each(document.get("service"))) or isinstance(get(document, "acl"), Mapping)
    return bool(known) and not is_definition and 2 * len(known) > len(document)


def _name(path: PurePath, text: str) -> str:
    services = understand(text).rules.get("service")
    if is_named(str(path)):
        base = path.stem
    elif isinstance(services, Mapping) and services:
        base = f"{next(iter(services))}-policy"
    else:
        base = f"{path.parent.name or 'imported'}-policy"
    return re.sub(r"[^A-Za-z0-9_-]+", "-", base)


def _plain(value: HclValue) -> Any:
    if isinstance(value, Body):
        return _plain_body(value)
    if isinstance(value, list):
        return [_plain(part) for part in value]
    return _number(value) if isinstance(value, Numeral) else value


def _plain_body(body: Body) -> dict[str, Any]:
    result: dict[str, Any] = {}
    several: set[str] = set()
    for item in body.items:
        first, *inner = item.keys
        value = _plain(item.value)
        for key in reversed(inner):
            value = {key: value}
        if first not in result:
            result[first] = value
        elif first in several:
            result[first].append(value)
        else:
            several.add(first)
            result[first] = [result[first], value]
    return result


def _number(text: str) -> int | float:
    try:
        return int(text, 0)
    except ValueError:
        return float(text) if re.search("[.eE]", text) else int(text, 10)
