"""The certificate that an agent shows to whoever connects with TLS, whatever it is worth."""

from __future__ import annotations

import re
import socket
import ssl
from typing import Any, Final

from reconciler.model.errors import SystemFault
from reconciler.systems.consul.client import Consul

_TIMEOUT_S: Final = 5.0
_ENDPOINT: Final = re.compile(r"tcp://(\[[^\]]+\]|[^:]+):(\d+)")
_EVERY_ADDRESS: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  # where it listens, not where we do


def agent_certificate(consul: Consul) -> bytes | None:
    """The agent's certificate (DER), from its HTTPS or its gRPC over TLS; None where it cannot be seen from here."""
    settings = consul.settings
    if settings.scheme == "https" and not settings.socket:
        return _seen_at(settings.host, settings.port)
    for host, port in _tls_endpoints(consul) if settings.is_on_this_machine else ():
        if (found := _seen_at(host, port)) is not None:
            return found
    return None


def _tls_endpoints(consul: Consul) -> list[tuple[str, int]]:
    """Where the agent speaks TLS, as it says itself to who has ``agent:read``."""
    try:
        debug: dict[str, Any] = consul.http.send("GET", "/v1/agent/self").json().get("DebugConfig") or {}
    except SystemFault:
        return []
    found = []
    for name in ("HTTPSAddrs", "GRPCTLSAddrs"):
        for match in map(_ENDPOINT.fullmatch, map(str, debug.get(name) or ())):
            if match is not None:
                host = match[1].strip("[]")
                found.append((_EVERY_ADDRESS.get(host, host), int(match[2])))
    return found


def _seen_at(host: str, port: int) -> bytes | None:
    # Nothing is sent, and nothing believed: the certificate itself is what is looked at.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["h2", "http/1.1"])
    try:
        with socket.create_connection((host, port), _TIMEOUT_S) as plain, context.wrap_socket(plain) as tls:
            return tls.getpeercert(binary_form=True)
    except OSError:
        return None
