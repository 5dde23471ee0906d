"""The kinds of resources: one module each, found by walking this package, so that nothing else lists them.

A module that has a constant ``KIND`` is a kind. Kinds do not import each other; what several share stands in a module whose name begins with an
underscore.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping
from functools import cache
from types import MappingProxyType

from reconciler.model.kind import Kind


@cache
def all_kinds() -> Mapping[str, Kind]:
    """Every kind by its name. Raises ValueError when two have one name, or answer for the same part of a manifest."""
    kinds: dict[str, Kind] = {}
    covered: dict[str, str] = {}
    for module in pkgutil.walk_packages(__path__, __name__ + "."):
        if module.ispkg or module.name.rpartition(".")[2].startswith("_"):
            continue
        kind: Kind = importlib.import_module(module.name).KIND
        if kind.name in kinds:
            raise ValueError(f"two kinds are called {kind.name}")
        for feature in kind.covers:
            if feature in covered:
                raise ValueError(f"{kind.name} and {covered[feature]} both cover {feature}")
            covered[feature] = kind.name
        kinds[kind.name] = kind
    return MappingProxyType(kinds)
