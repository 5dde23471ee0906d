"""Config entries in the sections that a person would choose: the inverse of :mod:`_written`, where there is one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from reconciler.kinds.consul._written import HEADER, HTTP, LINK

_OURS_OF_HTTP: Final = {consul: ours for ours, consul in HTTP.items()}
_OURS_OF_HEADER: Final = {consul: ours for ours, consul in HEADER.items()}
_OURS_OF_LINK: Final = {consul: ours for ours, consul in LINK.items()}


class _NoShortForm(Exception):
    """The section has no word for something in the entry."""


def in_section(section: str, fields: Mapping[str, Any]) -> Any | None:
    """The entry of ``section`` that means ``fields``, which are in normal form and hold nothing empty; None where it cannot say all of it."""
    short = _SECTIONS.get(section)
    try:
        return short(fields) if short is not None else None
    except _NoShortForm:
        return None


def _gateway(fields: Mapping[str, Any]) -> dict[str, Any]:
    _only(fields, "Services", "Meta")
    services = {name: _renamed(link, _OURS_OF_LINK) for name, link in fields.get("Services", {}).items()}
    return {"services": services, **_meta(fields)}


def _intention(fields: Mapping[str, Any]) -> dict[str, Any]:
    _only(fields, "Sources", "Meta")
    sources = {name: _source(rule) for name, rule in fields["Sources"].items()}
    meta = _meta(fields)
    # a source that is called "sources" would be taken for the long form
    return {"sources": sources, **meta} if meta or isinstance(sources.get("sources"), dict) else sources


def _source(rule: Mapping[str, Any]) -> Any:
    if rule.keys() == {"Action"}:
        return rule["Action"]
    _only(rule, "Name", "Peer", "Description", "Action", "Permissions")
    names = {"Name": "name", "Peer": "peer", "Action": "action", "Description": "description"}
    said = _renamed({key: value for key, value in rule.items() if key != "Permissions"}, names)
    permissions = [_permission(permission) for permission in rule.get("Permissions", ())]
    return {**said, "permissions": permissions} if permissions else said


def _permission(permission: Mapping[str, Any]) -> dict[str, Any]:
    _only(permission, "Action", "HTTP", "JWT")
    http = permission.get("HTTP") or {}
    match = _renamed({key: value for key, value in http.items() if key != "Header"}, _OURS_OF_HTTP)
    if "Header" in http:
        match["header"] = [_renamed(header, _OURS_OF_HEADER) for header in http["Header"]]
    jwt = {"jwt": permission["JWT"]} if "JWT" in permission else {}
    return {"action": permission["Action"], "http": match, **jwt}


def _meta(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {"meta": dict(fields["Meta"])} if fields.get("Meta") else {}


def _only(mapping: Mapping[str, Any], *known: str) -> None:
    if mapping.keys() - set(known):
        raise _NoShortForm


def _renamed(mapping: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    _only(mapping, *names)
    return {names[key]: value for key, value in mapping.items()}


_SECTIONS: Final[Mapping[str, Callable[[Mapping[str, Any]], Any]]] = {"terminating_gateways": _gateway, "intentions": _intention}
