"""The kinds of config entries, each a declaration (:mod:`_declaration`), by family: one more kind is one more declaration in one of these files."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from reconciler.kinds.consul._declaration import Declaration
from reconciler.kinds.consul._defaults import DEFAULTS
from reconciler.kinds.consul._gateways import GATEWAYS
from reconciler.kinds.consul._routing import ROUTING
from reconciler.kinds.consul._services import SERVICES

DECLARATIONS: Final[Mapping[str, Declaration]] = MappingProxyType(
    {declaration.kind: declaration for declaration in (*DEFAULTS, *SERVICES, *ROUTING, *GATEWAYS)}
)
"""The kinds of config entries that are known, by name."""
