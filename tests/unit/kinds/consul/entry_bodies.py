"""Random config entries as people write them: any spelling of keys, durations and empties."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st

Draw = Callable[[st.SearchStrategy[Any]], Any]

NAMES = st.sampled_from(["web", "api", "db", "Mail", "x-1"])
META = st.dictionaries(st.sampled_from(["team", "Owner_Name", "a b"]), st.sampled_from(["", "x", "5"]), max_size=2)
DURATIONS = st.sampled_from(["0s", "90s", "1.5h", "1500ms", "1m30s", "2h45m", "3s", "1us"])
PROTOCOLS = st.sampled_from(["tcp", "http", "HTTP", "grpc", "http2", ""])
COUNTS = st.integers(0, 3)


def optional(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional=fields)


LIMITS = optional(MaxConnections=COUNTS, MaxPendingRequests=COUNTS, MaxConcurrentRequests=COUNTS)
PASSIVE = optional(Interval=DURATIONS, MaxFailures=COUNTS, EnforcingConsecutive5xx=COUNTS, MaxEjectionPercent=COUNTS, BaseEjectionTime=DURATIONS)
UPSTREAM: dict[str, st.SearchStrategy[Any]] = {
    "Protocol": PROTOCOLS,
    "ConnectTimeoutMs": COUNTS,
    "Limits": LIMITS,
    "PassiveHealthCheck": PASSIVE,
    "MeshGateway": optional(Mode=st.sampled_from(["", "local", "none"])),
    "BalanceOutboundConnections": st.sampled_from(["", "exact_balance"]),
    "EnvoyListenerJSON": st.just('{"a_b": 1}'),
}
OVERRIDES = st.lists(
    st.fixed_dictionaries({"Name": NAMES}, optional={**UPSTREAM, "Peer": st.just("p")}), max_size=3, unique_by=lambda u: (u["Name"], u.get("Peer"))
)
EXTENSION = st.fixed_dictionaries(
    {"Name": st.just("builtin/lua"), "Arguments": st.just({"ProxyType": "connect-proxy", "Listener": "inbound", "Script": "some_text"})},
    optional={"Required": st.booleans(), "EnvoyVersion": st.just("")},
)
PATHS = st.lists(
    optional(ListenerPort=COUNTS, Path=st.sampled_from(["/a", "/b"]), LocalPathPort=COUNTS, Protocol=st.sampled_from(["http", ""])), max_size=2
)

SERVICE_DEFAULTS = optional(
    Protocol=PROTOCOLS,
    Mode=st.sampled_from(["", "direct", "transparent"]),
    TransparentProxy=optional(OutboundListenerPort=COUNTS, DialedDirectly=st.booleans()),
    MutualTLSMode=st.sampled_from(["", "strict"]),
    MeshGateway=optional(Mode=st.sampled_from(["", "local", "remote"])),
    Expose=optional(Checks=st.booleans(), Paths=PATHS),
    ExternalSNI=st.sampled_from(["", "a.b"]),
    UpstreamConfig=optional(Overrides=OVERRIDES, Defaults=optional(**UPSTREAM)),
    MaxInboundConnections=COUNTS,
    LocalConnectTimeoutMs=COUNTS,
    LocalRequestTimeoutMs=COUNTS,
    BalanceInboundConnections=st.sampled_from(["", "exact_balance"]),
    EnvoyExtensions=st.lists(EXTENSION, max_size=1),
    MaxRequestHeadersKB=COUNTS,
    Meta=META,
)

HEADER = st.one_of(
    st.fixed_dictionaries({"Name": NAMES, "Present": st.just(True)}, optional={"Invert": st.booleans(), "IgnoreCase": st.just(False)}),
    st.fixed_dictionaries({"Name": NAMES, "Exact": st.just("v")}, optional={"Invert": st.booleans(), "IgnoreCase": st.booleans()}),
)
HTTP = st.fixed_dictionaries(
    {"PathPrefix": st.sampled_from(["/", "/a"])},
    optional={"Header": st.lists(HEADER, max_size=2), "Methods": st.lists(st.sampled_from(["GET", "PUT", "POST"]), max_size=2, unique=True)},
)
PERMISSIONS = st.lists(st.fixed_dictionaries({"Action": st.sampled_from(["allow", "deny"]), "HTTP": HTTP}), min_size=1, max_size=3)
SOURCE = st.one_of(
    st.fixed_dictionaries(
        {"Name": NAMES | st.just("*"), "Action": st.sampled_from(["allow", "deny"])}, optional={"Description": st.sampled_from(["", "d"])}
    ),
    st.fixed_dictionaries(
        {"Name": NAMES, "Permissions": PERMISSIONS}, optional={"Type": st.just("consul"), "Precedence": st.just(3), "Namespace": st.just("default")}
    ),
    st.fixed_dictionaries({"Name": NAMES, "Action": st.just("allow"), "Peer": st.just("p")}),
)
SOURCES = st.lists(SOURCE, min_size=1, max_size=4, unique_by=lambda s: (s["Name"], s.get("Peer")))
SERVICE_INTENTIONS = st.fixed_dictionaries({"Sources": SOURCES}, optional={"Meta": META})

LINK = st.fixed_dictionaries(
    {"Name": NAMES}, optional={"CAFile": st.sampled_from(["", "/ca"]), "SNI": st.just("s"), "DisableAutoHostRewrite": st.booleans()}
)
TERMINATING_GATEWAY = optional(Services=st.lists(LINK, max_size=4, unique_by=lambda s: s["Name"]), Meta=META)

BODIES = {"service-defaults": SERVICE_DEFAULTS, "service-intentions": SERVICE_INTENTIONS, "terminating-gateway": TERMINATING_GATEWAY}

_FREE = ("Meta", "Arguments")
_ONE_SPELLING = ("DisableAutoHostRewrite", "MaxRequestHeadersKB", "EnvoyVersion", "ConsulVersion")
"""Keys without an alias: Consul takes them in any case, but not with underscores."""


def spelled(body: Any, draw: Draw) -> Any:
    """The same body with each key in one of the spellings that Consul takes."""
    if isinstance(body, list):
        return [spelled(element, draw) for element in body]
    if not isinstance(body, dict):
        return body
    return {draw(_spellings(key)): value if key in _FREE else spelled(value, draw) for key, value in body.items()}


def _spellings(key: str) -> st.SearchStrategy[str]:
    snake = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", key).lower().replace("consecutive5xx", "consecutive_5xx")

    return st.sampled_from([key, key.lower()] if key in _ONE_SPELLING else [key, key.lower(), snake])
