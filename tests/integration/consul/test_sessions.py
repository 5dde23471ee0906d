"""Sessions, which the lock is made of."""

from __future__ import annotations

import pytest

from reconciler.model.errors import AccessDenied
from reconciler.systems.consul.client import Consul
from tests.integration.consul.conftest import Connect
from tests.servers.consul import ConsulServer


def test_a_session_lives_by_its_ttl_alone(client: Consul) -> None:
    session = client.create_session("reconciler test", ttl_s=30, lock_delay_s=15)

    found = client.session_info(session)
    assert found is not None
    assert (found["Name"], found["TTL"], found["LockDelay"], found["Behavior"]) == ("reconciler test", "30s", 15_000_000_000, "release")
    assert not found["NodeChecks"]
    assert not found["ServiceChecks"]


def test_a_lock_delay_of_zero_is_zero(client: Consul) -> None:
    found = client.session_info(client.create_session("x", ttl_s=10, lock_delay_s=0))
    assert found is not None
    assert found["LockDelay"] == 0


def test_renewing_says_whether_the_session_still_lives(client: Consul) -> None:
    session = client.create_session("x", ttl_s=30, lock_delay_s=15)
    assert client.renew_session(session)

    client.destroy_session(session)
    client.destroy_session(session)

    assert not client.renew_session(session)
    assert client.session_info(session) is None


def test_the_permission_for_a_session_is_on_the_agents_node(consul: ConsulServer, connect: Connect) -> None:
    client = connect(consul.address, consul.token_for('key "a" { policy = "read" }'))

    with pytest.raises(AccessDenied, match=f'session:write on "{client.identity().node_name}"'):
        client.create_session("x", ttl_s=30, lock_delay_s=15)
