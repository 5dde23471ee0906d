"""Config entries of the whole mesh: proxy-defaults, mesh."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from reconciler.kinds.consul._declaration import (
    ENVOY_EXTENSIONS,
    EXPOSE,
    FLAG,
    MESH,
    MESH_GATEWAY,
    MODE,
    MUTUAL_TLS_MODE,
    TEXT,
    TLS_VERSION,
    TRANSPARENT_PROXY,
    Declaration,
    Fields,
    entry,
    rows,
    table,
)
from reconciler.kinds.consul._protocols import default_protocol, is_http
from reconciler.kinds.consul._surroundings import Surroundings
from reconciler.kinds.consul._values import Free, Refused, Text, enterprise
from reconciler.model.address import Address

# --- proxy-defaults -----------------------------------------------------------------------------------------------------------------------

_ACCESS_LOGS: Final = table(
    Enabled=FLAG, DisableListenerLogs=FLAG, Type=Text(words=("file", "stderr", "stdout")), Path=TEXT, JSONFormat=TEXT, TextFormat=TEXT
)
_PROXY_DEFAULTS: Final = entry(
    Config=Free(),
    # Consul takes it, does not answer it, and does not look at it.
    Protocol=Refused(what="is not where Consul looks for it", what_to_do="write it into Config: Config: {protocol: http}"),
    Mode=MODE,
    TransparentProxy=TRANSPARENT_PROXY,
    MutualTLSMode=MUTUAL_TLS_MODE,
    MeshGateway=MESH_GATEWAY,
    Expose=EXPOSE,
    AccessLogs=_ACCESS_LOGS,
    EnvoyExtensions=ENVOY_EXTENSIONS,
    FailoverPolicy=enterprise(),
    PrioritizeByLocality=enterprise(),
)


def _after_proxy_defaults(_name: str, fields: Fields, surroundings: Surroundings) -> Iterator[Address]:
    if not is_http(default_protocol(fields)):
        yield from (address for address in surroundings.entries if address.identity[0] == "service-defaults")
    if fields.get("MutualTLSMode") == "permissive":
        yield MESH


# --- mesh ---------------------------------------------------------------------------------------------------------------------------------

_DIRECTION: Final = table(TLSMinVersion=TLS_VERSION, TLSMaxVersion=TLS_VERSION, CipherSuites=rows(TEXT))
_SLASHES: Final = ("IMPLEMENTATION_SPECIFIC_DEFAULT", "KEEP_UNCHANGED", "REJECT_REQUEST", "UNESCAPE_AND_REDIRECT", "UNESCAPE_AND_FORWARD")
_NORMALIZATION: Final = table(
    InsecureDisablePathNormalization=FLAG,
    MergeSlashes=FLAG,
    PathWithEscapedSlashesAction=Text(words=_SLASHES),
    HeadersWithUnderscoresAction=Text(words=("ALLOW", "REJECT_REQUEST", "DROP_HEADER")),
)
_MESH: Final = entry(
    TransparentProxy=table(MeshDestinationsOnly=FLAG),
    AllowEnablingPermissiveMutualTLS=FLAG,
    ValidateClusters=FLAG,
    TLS=table(Incoming=_DIRECTION, Outgoing=_DIRECTION),
    HTTP=table(SanitizeXForwardedClientCert=FLAG, Incoming=table(RequestNormalization=_NORMALIZATION)),
    Peering=table(PeerThroughMeshGateways=FLAG),
)

DEFAULTS: Final = (
    # Anyone may read these two.
    Declaration(kind="proxy-defaults", form=_PROXY_DEFAULTS, carries=True, read="", write="mesh", after=_after_proxy_defaults),
    Declaration(kind="mesh", form=_MESH, read="", write="mesh", nameless=True),
)
"""The kinds of this file."""
