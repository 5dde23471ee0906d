"""Config entries: every write and every deletion is conditional."""

from __future__ import annotations

import pytest

from reconciler.model.errors import AccessDenied, AlreadyExists, LostRace, Rejected
from reconciler.systems.consul.client import Consul
from tests.integration.consul.conftest import Connect
from tests.servers.consul import ConsulServer


def defaults(name: str = "web", protocol: str = "tcp") -> dict[str, str]:
    return {"Kind": "service-defaults", "Name": name, "Protocol": protocol}


def index_of(client: Consul, name: str = "web") -> int:
    entry = client.read_config_entry("service-defaults", name)
    assert entry is not None
    return int(entry["ModifyIndex"])


def test_index_0_creates_and_never_overwrites(client: Consul) -> None:
    client.write_config_entry(defaults(protocol="http"), cas=0)

    with pytest.raises(AlreadyExists, match="service-defaults/web exists"):
        client.write_config_entry(defaults(protocol="grpc"), cas=0)

    entry = client.read_config_entry("service-defaults", "web")
    assert entry is not None
    assert entry["Protocol"] == "http"


def test_a_write_by_another_index_is_a_lost_race(client: Consul) -> None:
    client.write_config_entry(defaults(), cas=0)
    index = index_of(client)
    client.write_config_entry(defaults(protocol="http"), cas=index)

    with pytest.raises(LostRace, match="service-defaults/web was changed by somebody else"):
        client.write_config_entry(defaults(protocol="grpc"), cas=index)


def test_deleting_is_conditional_and_what_is_gone_is_gone(client: Consul) -> None:
    client.write_config_entry(defaults(), cas=0)
    index = index_of(client)

    with pytest.raises(LostRace):
        client.delete_config_entry("service-defaults", "web", cas=index + 1)
    assert index_of(client) == index

    client.delete_config_entry("service-defaults", "web", cas=index)
    client.delete_config_entry("service-defaults", "web", cas=index)
    assert client.read_config_entry("service-defaults", "web") is None


def test_deleting_by_index_0_is_a_mistake_of_the_caller(client: Consul) -> None:
    with pytest.raises(ValueError, match="never 0"):
        client.delete_config_entry("service-defaults", "web", cas=0)


@pytest.mark.parametrize("name", ["a/../b", "p//q", "..", ".", "x y%2Fz?q#é", "a/b"])
def test_a_name_reaches_the_entry_of_that_name_and_no_other(client: Consul, name: str) -> None:
    client.write_config_entry(defaults("b"), cas=0)
    client.write_config_entry(defaults(name, "http"), cas=0)

    entry = client.read_config_entry("service-defaults", name)
    assert entry is not None
    assert (entry["Name"], entry["Protocol"]) == (name, "http")

    client.delete_config_entry("service-defaults", name, cas=entry["ModifyIndex"])
    assert [e["Name"] for e in client.list_config_entries()] == ["b"]


def test_the_list_has_all_kinds(client: Consul) -> None:
    client.write_config_entry(defaults(), cas=0)
    client.write_config_entry({"Kind": "mesh"}, cas=0)
    client.write_config_entry({"Kind": "terminating-gateway", "Name": "gateway", "Services": [{"Name": "web"}]}, cas=0)

    assert sorted(e["Kind"] for e in client.list_config_entries()) == ["mesh", "service-defaults", "terminating-gateway"]


def test_every_mistake_that_consul_finds_is_in_the_message(client: Consul) -> None:
    with pytest.raises(Rejected, match=r"knows no such field of this kind of config entry: (Bogus, Wrong|Wrong, Bogus): remove it"):
        client.write_config_entry({**defaults(), "Bogus": 1, "Wrong": 2}, cas=0)


def test_a_semantic_mistake_answered_with_500_is_final_and_not_tried_again(client: Consul) -> None:
    with pytest.raises(Rejected, match="uses a protocol"):
        client.write_config_entry({"Kind": "service-router", "Name": "web", "Routes": [{"Match": {"HTTP": {"PathPrefix": "/"}}}]}, cas=0)
    assert client.requests == 1


def test_the_missing_permission_is_named_as_consul_names_it(consul: ConsulServer, connect: Connect) -> None:
    client = connect(consul.address, consul.token_for('service "web" { policy = "read" }'))

    with pytest.raises(AccessDenied, match='PUT /v1/config: the token lacks service:write on "web"'):
        client.write_config_entry(defaults(), cas=0)


def test_without_a_token_the_message_says_so(consul: ConsulServer, connect: Connect) -> None:
    with pytest.raises(AccessDenied, match=r'there is no token, and without one service:write on "web" is missing: set consul\.token'):
        connect(consul.address).write_config_entry(defaults(), cas=0)
