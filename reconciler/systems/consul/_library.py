"""python-consul2's ``consul.base``, and nothing else of that package.

Its ``consul/__init__.py`` imports requests, which nothing here uses and which takes a third of the package's import time; so the one module is
loaded by its path. Its ``Consul`` class is not used either: it lets CONSUL_HTTP_ADDR and CONSUL_HTTP_TOKEN override explicit arguments, and warns of
its own deprecated parts. The classes inside it (``Consul.ACL.Tokens``, ``Consul.Session`` …) are sound, and take any object that has the
attributes of :class:`Agent`.
"""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

from reconciler.model.errors import ReconcilerError

_NAME: Final = "python-consul2"
_VERSION: Final = "0.1.5"
_RIVAL: Final = "py-consul"


@dataclass(frozen=True, slots=True)
class Agent:
    """What the library's classes need of the client they belong to.

    ``http`` has their ``get``, ``put``, ``post`` and ``delete``. The token is none of their business: ``http`` sends it.
    """

    http: Any
    token: None = None
    dc: None = None
    consistency: str = "default"


def _installed(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def demand_the_right_package() -> None:
    """Raises ReconcilerError unless the package ``consul`` is python-consul2 0.1.5 alone: py-consul has the same folder, and pip installs both."""
    install = f"install {_NAME}=={_VERSION}"
    if _installed(_RIVAL):
        raise ReconcilerError(f"the Python package {_RIVAL} is installed, which overwrites files of {_NAME}: uninstall both, then {install}")
    found = _installed(_NAME)
    if found != _VERSION:
        raise ReconcilerError(f"the Python package {_NAME} {_VERSION} is needed, {f'not {found}' if found else 'but it is not installed'}: {install}")


def _load() -> Any:
    demand_the_right_package()
    package = importlib.util.find_spec("consul")
    folders = package.submodule_search_locations if package else None
    spec = importlib.util.spec_from_file_location("consul.base", Path(folders[0], "base.py")) if folders else None
    if spec is None or spec.loader is None:
        raise ReconcilerError(f"the Python package {_NAME} is damaged: {_NAME}'s folder consul was not found: install it again")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


base: Final[Any] = _load()
