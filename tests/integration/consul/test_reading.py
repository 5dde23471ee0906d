"""Bulk reads: what Consul leaves out is known, and each list is asked for once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from reconciler.model.errors import AccessDenied
from reconciler.systems.consul.client import Consul
from reconciler.systems.consul.http import Reply
from reconciler.systems.consul.reader import ConsulReader
from tests.integration.consul.conftest import Connect
from tests.servers.consul import ConsulServer


@pytest.fixture
def furnished(consul: ConsulServer) -> ConsulServer:
    """With a node, a service and a config entry."""
    consul.put("/v1/catalog/register", {"Node": "ext", "Address": "10.0.0.1", "Service": {"Service": "db"}})
    consul.put("/v1/config", {"Kind": "service-defaults", "Name": "db"})
    return consul


def test_a_management_token_sees_everything_unfiltered(furnished: ConsulServer, connect: Connect) -> None:
    reader = ConsulReader(connect(furnished.address, furnished.token))

    assert sorted(n["Node"] for n in reader.nodes()) == ["ext", "test-server"]
    assert [s["Service"] for n in reader.node_services() if n["Node"] == "ext" for s in n["Services"]] == ["db"]
    assert [e["Name"] for e in reader.config_entries()] == ["db"]
    assert "global-management" in [p["Name"] for p in reader.policies()]
    assert len(reader.tokens()) >= 1
    assert reader.filtered == set()


def test_a_weak_token_sees_filtered_lists_and_the_reader_says_which(furnished: ConsulServer, connect: Connect) -> None:
    reader = ConsulReader(connect(furnished.address, furnished.token_for('node "ext" { policy = "read" }')))

    assert [n["Node"] for n in reader.nodes()] == ["ext"]
    assert [n["Services"] for n in reader.node_services()] == [[]]
    assert reader.config_entries() == []
    assert reader.filtered == {"nodes", "node_services", "config_entries"}


def test_a_list_of_which_nothing_was_left_out_is_not_filtered(furnished: ConsulServer, connect: Connect) -> None:
    reader = ConsulReader(connect(furnished.address, furnished.token_for('service "db" { policy = "read" }')))

    assert [e["Name"] for e in reader.config_entries()] == ["db"]
    assert reader.filtered == set()


def test_the_anonymous_token_is_told_nothing_of_what_is_left_out(furnished: ConsulServer, connect: Connect) -> None:
    """Which is why nobody may plan on a list before having asked ``authorize``."""
    reader = ConsulReader(connect(furnished.address))

    assert (reader.nodes(), reader.config_entries(), reader.filtered) == ([], [], set())


def test_services_of_a_node_that_may_not_all_be_seen_are_a_denial(furnished: ConsulServer, connect: Connect) -> None:
    for rules in ('service "db" { policy = "read" }', 'node "ext" { policy = "read" }'):
        with pytest.raises(AccessDenied, match='node:read on "ext"'):
            connect(furnished.address, furnished.token_for(rules)).node_services("ext")


def test_services_of_a_node(furnished: ConsulServer, client: Consul) -> None:
    found = client.node_services("ext")
    assert found is not None
    assert [s["Service"] for s in found["Services"]] == ["db"]
    assert client.node_services("nowhere") is None
    assert client.node_services("x/../ext") is None


def test_threads_that_want_one_list_ask_for_it_once(furnished: ConsulServer, connect: Connect) -> None:
    client = connect(furnished.address, furnished.token)
    reader = ConsulReader(client)
    asks = [reader.nodes, reader.node_services, reader.config_entries, reader.policies, reader.tokens, lambda: reader.keys(["a"])]

    with ThreadPoolExecutor(24) as pool:
        list(pool.map(lambda ask: ask(), asks * 8))

    assert reader.requests == len(asks)


def test_a_policy_is_read_once(client: Consul) -> None:
    policy = client.acl.create_policy({"Name": "p", "Rules": 'key "a" { policy = "read" }'})
    reader = ConsulReader(client)

    assert reader.policy(policy["ID"]) == reader.policy(policy["ID"])
    assert reader.policy("00000000-0000-0000-0000-00000000000f") is None
    assert reader.requests == 2


def test_an_agent_that_allows_stale_discovery_is_still_asked_for_the_leaders_view(connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    with ConsulServer(extra='discovery_max_stale = "1h"') as consul:
        asked: list[tuple[str, str]] = []
        client = connect(consul.address, consul.token)
        send = client.http._attempt

        def watched(method: str, path: str, *arguments: Any) -> Reply:
            reply = send(method, path, *arguments)
            asked.append((path, reply.headers["X-Consul-Effective-Consistency"]))
            return reply

        monkeypatch.setattr(client.http, "_attempt", watched)
        client.list_nodes()
        client.node_services("test-server")

        assert asked == [("/v1/catalog/nodes", "leader"), ("/v1/catalog/node-services/test-server", "leader")]
        assert consul.request("GET", "/v1/catalog/nodes").headers["x-consul-effective-consistency"] == "stale"


def test_a_whole_plan_takes_nine_requests(furnished: ConsulServer, connect: Connect) -> None:
    client = connect(furnished.address, furnished.token)
    reader = ConsulReader(client)

    client.identity()
    client.identity()
    client.self_token()
    client.kv_tree("reconciler/owned/")
    for ask in (reader.policies, reader.tokens, reader.config_entries, reader.nodes, reader.node_services):
        ask()

    assert client.requests == 9
