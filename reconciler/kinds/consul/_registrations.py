"""Bodies of ``PUT /v1/catalog/register`` in files, as Consul would list what they register."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from reconciler.kinds.consul import _checks
from reconciler.kinds.consul._spelling import folded, get
from reconciler.model.value import JSON

_NODE: Final = {"node": "Node", "address": "Address", "nodemeta": "Meta", "id": "ID", "taggedaddresses": "TaggedAddresses", "locality": "Locality"}
_SERVICE: Final = {"id": "ID", "service": "Service", "kind": "Kind", "port": "Port", "address": "Address", "meta": "Meta", "tags": "Tags"}
_CHECK: Final = {"checkid": "CheckID", "name": "Name", "status": "Status", "notes": "Notes", "output": "Output", "serviceid": "ServiceID"}


def is_registration(document: Mapping[str, JSON]) -> bool:
    """Whether it is such a body; a policy's rules have keys of the same names."""
    return all(isinstance(get(document, key), str) for key in ("node", "address"))


def registrations(documents: Iterable[Mapping[str, JSON]]) -> Iterator[tuple[dict[str, JSON], list[dict[str, JSON]]]]:
    """Each node with what is on it: its services (at most one), and under ``Checks`` the checks of both."""
    for document in filter(is_registration, documents):
        node = {consul: value for key, consul in _NODE.items() if (value := get(document, key)) is not None}
        service = get(document, "service")
        found = [_service(service)] if isinstance(service, Mapping) and isinstance(get(service, "service"), str) else []
        single, several = get(document, "check"), get(document, "checks")
        checks = [single, *(several if isinstance(several, list) else [several])]
        yield {"Meta": {}, **node, "Checks": [_check(check) for check in checks if isinstance(check, Mapping)]}, found


def _service(service: Mapping[str, JSON]) -> dict[str, JSON]:
    usual = {"Kind": "", "Port": 0, "Address": "", "Meta": {}, "Tags": [], "ID": get(service, "service"), "CreateIndex": 0, "ModifyIndex": 0}
    return {**usual, **{_SERVICE.get(folded(key), key): value for key, value in service.items() if value not in (None, "")}}


def _check(check: Mapping[str, JSON]) -> dict[str, JSON]:
    said: dict[str, Any] = {consul: get(check, key) or "" for key, consul in _CHECK.items()}
    definition = get(check, "definition")
    words = {folded(word): word for word in _checks.DEFINED}
    said["CheckID"] = said["CheckID"] or said["Name"]
    said["Definition"] = {words.get(folded(key), key): value for key, value in definition.items()} if isinstance(definition, Mapping) else {}
    return said
