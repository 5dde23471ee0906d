"""Health checks of external services, in the manifest's words and in Consul's (docs/facts.md: Consul 9).

Consul stores them; consul-esm, where there is one, executes them and writes ``Status`` and ``Output``. So the status is only compared, and only
written, when the manifest sets it, and the output is only what a new check begins with.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from reconciler.kinds.consul._durations import go_text, nanoseconds
from reconciler.manifest.models import HealthCheck
from reconciler.model.kind import Operation
from reconciler.model.value import JSON

_DEFINITION: Final = {
    "http": "HTTP",
    "method": "Method",
    "header": "Header",
    "body": "Body",
    "tcp": "TCP",
    "tcp_use_tls": "TCPUseTLS",
    "grpc": "GRPC",
    "grpc_use_tls": "GRPCUseTLS",
    "tls_server_name": "TLSServerName",
    "tls_skip_verify": "TLSSkipVerify",
    "interval": "Interval",
    "timeout": "Timeout",
    "deregister_critical_service_after": "DeregisterCriticalServiceAfter",
}
DEFINED: Final = frozenset(_DEFINITION.values())
"""The keys of a definition that the manifest has words for, in Consul's spelling."""

_DURATIONS: Final = frozenset({"interval", "timeout", "deregister_critical_service_after"})
_TOP: Final = {"name": "Name", "notes": "Notes", "status": "Status", "output": "Output"}

DROPPED: Final = ("udp", "disable_redirects")
"""What a health check may have elsewhere in Consul, and ``PUT /v1/txn`` loses in silence."""

Check = Mapping[str, Any]
"""One check in normal form: the manifest's keys, without empty ones, durations as Go writes them."""


def declared(check: HealthCheck, label: str) -> dict[str, Any]:
    """A check of the manifest in normal form."""
    given = {key: getattr(check, key) for key in (*_TOP, *_DEFINITION)}
    given["name"] = check.name or label
    return _normal(given)


def live(check: Mapping[str, JSON]) -> dict[str, Any]:
    """A check of Consul in normal form. Parts of its definition that the manifest has no word for keep Consul's."""
    words = {consul: ours for ours, consul in _DEFINITION.items()}
    definition = {words.get(key, key): value for key, value in (check.get("Definition") or {}).items()}
    return _normal({"name": check.get("Name"), "notes": check.get("Notes"), "status": check.get("Status"), **definition})


def same(one: Check, other: Check) -> bool:
    """Whether two checks are one: what was printed does not count, nor does the state where one side does not say it."""
    ignored = {"output"} | (set() if "status" in one and "status" in other else {"status"})
    return {k: v for k, v in one.items() if k not in ignored} == {k: v for k, v in other.items() if k not in ignored}


def create(node: str, service_id: str, service: str, check_id: str, check: Check) -> Operation:
    """The operation that makes a check, and fails when the node has one with this ID.

    ``service`` is the service's name, which Consul would fill in, but only after it has asked whether the token may write that service.
    """
    belongs = {"Node": node, "CheckID": check_id, "ServiceID": service_id, "ServiceName": service}
    return _operation("cas", {**belongs, **_body(check), "ModifyIndex": 0})


def update(raw: Mapping[str, JSON], service: str, check: Check) -> Operation:
    """The operation that writes a check again, if nobody has written it since it was read.

    ``raw`` cannot be sent back as it came: a transaction knows no ``Interval``, ``Timeout`` and ``ExposedPort`` beside the definition, and refuses to
    be read at all. ``ServiceTags`` are left out, so that Consul takes them from the service as it is now.
    """
    kept = {key: raw[key] for key in ("Node", "CheckID", "ServiceID", "Status", "Output", "ModifyIndex")}
    return _operation("cas", {**kept, "ServiceName": service, **{k: v for k, v in _body(check).items() if k != "Output"}})


def delete(raw: Mapping[str, JSON]) -> Operation:
    """The operation that removes a check, if nobody has written it since it was read."""
    return _operation("delete-cas", {key: raw[key] for key in ("Node", "CheckID", "ServiceID", "ServiceName", "ModifyIndex")})


def _normal(check: Mapping[str, Any]) -> dict[str, Any]:
    normal = {key: go_text(nanoseconds(value)) if key in _DURATIONS and isinstance(value, str) else value for key, value in check.items()}
    return {key: value for key, value in normal.items() if value and not (key in _DURATIONS and value == "0s")}


def _body(check: Check) -> dict[str, JSON]:
    top = {consul: check[ours] for ours, consul in _TOP.items() if ours in check}
    return {"Name": "", "Notes": "", **top, "Definition": {_DEFINITION.get(key, key): value for key, value in check.items() if key not in _TOP}}


def _operation(verb: str, check: Mapping[str, JSON]) -> Operation:
    return {"Check": {"Verb": verb, "Check": dict(check)}}
