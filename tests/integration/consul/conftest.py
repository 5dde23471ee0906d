"""The adapter in front of a real Consul."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from reconciler.model.secret import Secret
from reconciler.systems.consul.client import Consul
from reconciler.systems.consul.connection import consul_settings
from tests.servers.consul import ConsulServer

Connect = Callable[..., Consul]


@pytest.fixture
def connect() -> Iterator[Connect]:
    """A client for an address and a token; further arguments are those of ``Consul``, ``environ`` is more of the environment."""
    with ExitStack() as clients:

        def make(address: str, token: str = "", *, environ: dict[str, str] | None = None, timeout_s: float = 10.0, **options: Any) -> Consul:
            variables = {"CONSUL_HTTP_ADDR": address, "CONSUL_HTTP_TOKEN": token, **(environ or {})}
            settings = consul_settings(None, variables, _no_section, timeout_s=timeout_s)
            return clients.enter_context(Consul(settings, **options))

        yield make


def _no_section(source: object) -> Secret:
    raise AssertionError(source)


@pytest.fixture
def client(consul: ConsulServer, connect: Connect) -> Consul:
    """A client with the management token."""
    return connect(consul.address, consul.token)
