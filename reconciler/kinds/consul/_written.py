"""The sections of the manifest that hold config entries, each entry as Consul's own fields."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from reconciler.manifest.models import Entry, HeaderMatch, HttpMatch, Intention, IntentionPermission, IntentionSource, Manifest, TerminatingGateway

HTTP: Final = {"path_exact": "PathExact", "path_prefix": "PathPrefix", "path_regex": "PathRegex", "methods": "Methods"}
HEADER: Final = {
    "name": "Name",
    "present": "Present",
    "exact": "Exact",
    "prefix": "Prefix",
    "suffix": "Suffix",
    "contains": "Contains",
    "regex": "Regex",
    "invert": "Invert",
    "ignore_case": "IgnoreCase",
}
LINK: Final = {"ca_file": "CAFile", "cert_file": "CertFile", "key_file": "KeyFile", "sni": "SNI"}


@dataclass(frozen=True, slots=True)
class Written:
    """One config entry of the manifest: ``body`` as it would be sent, ``path`` where it stands."""

    kind: str
    name: str
    body: dict[str, Any]
    entry: Entry
    label: str
    path: tuple[str | int, ...]


def written_entries(manifest: Manifest) -> Iterator[Written]:
    """All of them, section by section."""
    for name, gateway in manifest.terminating_gateways.items():
        yield Written("terminating-gateway", name, _gateway(gateway), gateway, name, ("terminating_gateways", name))
    for name, intention in manifest.intentions.items():
        yield Written("service-intentions", name, _intention(intention), intention, name, ("intentions", name))
    for index, entry in enumerate(manifest.config_entries):
        yield Written(entry.Kind, entry.Name, entry.body, entry, f"{entry.Kind}/{entry.Name}", ("config_entries", index))


def _gateway(gateway: TerminatingGateway) -> dict[str, Any]:
    return _with_meta({"Services": [{"Name": name, **_renamed(link, LINK)} for name, link in gateway.services.items()]}, gateway.meta)


def _intention(intention: Intention) -> dict[str, Any]:
    return _with_meta({"Sources": [_source(label, source) for label, source in intention.sources.items()]}, intention.meta)


def _source(label: str, source: IntentionSource) -> dict[str, Any]:
    what = {"Action": source.action} if source.permissions is None else {"Permissions": [_permission(p) for p in source.permissions]}
    return {"Name": source.name or label, **what, **_renamed(source, {"peer": "Peer", "description": "Description"})}


def _permission(permission: IntentionPermission) -> dict[str, Any]:
    # Consul demands HTTP even when it says nothing
    return {"Action": permission.action, "HTTP": _http(permission.http or HttpMatch()), **_renamed(permission, {"jwt": "JWT"})}


def _http(match: HttpMatch) -> dict[str, Any]:
    headers = {"Header": [_header(header) for header in match.header]} if match.header is not None else {}
    return {**_renamed(match, HTTP), **headers}


def _header(header: HeaderMatch) -> dict[str, Any]:
    return _renamed(header, HEADER)


def _renamed(model: object, names: dict[str, str]) -> dict[str, Any]:
    return {consul: value for ours, consul in names.items() if (value := getattr(model, ours)) is not None}


def _with_meta(body: dict[str, Any], meta: dict[str, str] | None) -> dict[str, Any]:
    return body if meta is None else {**body, "Meta": dict(meta)}
