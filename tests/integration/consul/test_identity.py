"""Which Consul it is, whoever asks."""

from __future__ import annotations

import json

import pytest

from reconciler.model.errors import Rejected, Unreachable
from tests.integration.consul.conftest import Connect
from tests.integration.consul.scripted import ScriptedServer
from tests.servers.consul import ConsulServer
from tests.servers.ports import free_ports

ROOTS = json.dumps({"TrustDomain": "11111111-2222-3333-4444-555555555555.consul"})


def agent(version: str) -> str:
    return json.dumps({"Config": {"Version": version, "Datacenter": "dc1", "PrimaryDatacenter": "", "NodeName": "n"}})


def test_a_token_without_agent_read_learns_the_same(consul: ConsulServer, connect: Connect) -> None:
    strong = connect(consul.address, consul.token)
    weak = connect(consul.address, consul.token_for('key "a" { policy = "read" }'))
    anonymous = connect(consul.address)

    trust_domain = consul.get("/v1/connect/ca/roots")["TrustDomain"]
    assert strong.identity().text == f"{trust_domain}/dc1"
    assert strong.identity().node_name == "test-server"
    for other in (weak, anonymous):
        assert (other.identity().text, other.identity().version, other.identity().node_name) == (
            strong.identity().text, strong.identity().version, "test-server",
        )  # fmt: skip
        assert not other.identity().is_secondary
    assert (strong.requests, weak.requests, anonymous.requests) == (2, 4, 4)


@pytest.mark.slow
def test_a_secondary_datacenter_is_known_for_one_whoever_asks(connect: Connect) -> None:
    wan_1, wan_2 = free_ports(2)
    with ConsulServer(extra=f'primary_datacenter = "dc1" ports {{ serf_wan = {wan_1} }}') as primary:
        weak_token = primary.token_for('key "a" { policy = "read" }')
        acl = f'acl {{ enable_token_replication = true tokens {{ replication = "{primary.token}" agent = "{primary.token}" }} }}'
        extra = f'primary_datacenter = "dc1" ports {{ serf_wan = {wan_2} }} retry_join_wan = ["127.0.0.1:{wan_1}"] retry_interval_wan = "1s" {acl}'
        secondary = ConsulServer(extra=extra, datacenter="dc2")
        secondary.token = primary.token
        with secondary:
            for token in (primary.token, weak_token):
                identity = connect(secondary.address, token).identity()
                assert (identity.datacenter, identity.primary_datacenter, identity.is_secondary) == ("dc2", "dc1", True)
                identity = connect(primary.address, token).identity()
                assert (identity.datacenter, identity.primary_datacenter, identity.is_secondary) == ("dc1", "dc1", False)


@pytest.mark.parametrize(
    ("version", "supported"),
    [("1.8.7", False), ("1.13.9", False), ("1.14.0", True), ("1.21.4+ent", True), ("2.0.0", True), ("x", False)],
)
def test_old_versions_are_refused(connect: Connect, version: str, *, supported: bool) -> None:
    with ScriptedServer((200, ROOTS), (200, agent(version))) as server:
        client = connect(server.address)
        if supported:
            assert client.identity().version == version
            assert client.identity().primary_datacenter is None
        else:
            with pytest.raises(Rejected, match=rf"is too old \({version}\): use 1.14 or newer"):
                client.identity()


def test_a_version_too_old_to_tell_its_version_is_refused(connect: Connect) -> None:
    with ScriptedServer((200, ROOTS), (403, "Permission denied"), (404, "")) as server, pytest.raises(Rejected, match="is too old"):
        connect(server.address).identity()


def test_a_consul_without_its_mesh_is_refused(connect: Connect) -> None:
    # -dev switches it on, whatever the configuration says
    answer = (500, "Connect must be enabled in order to use this endpoint")
    with ScriptedServer(answer) as server, pytest.raises(Rejected, match="has its service mesh switched off"):
        connect(server.address).identity()


def test_a_consul_that_is_still_starting_is_not_there_yet(connect: Connect) -> None:
    answer = (200, json.dumps({"TrustDomain": "", "Roots": None}))
    with ScriptedServer(answer) as server, pytest.raises(Unreachable, match="no certificate authority yet"):
        connect(server.address).identity()


@pytest.mark.parametrize("answer", [(200, "<html>hello</html>"), (404, "not found"), (200, "[]"), (200, "null")])
def test_what_is_not_consul_is_called_so(connect: Connect, answer: tuple[int, str]) -> None:
    with ScriptedServer(answer) as server, pytest.raises((Rejected, Unreachable), match=r"not Consul|no certificate authority"):
        connect(server.address).identity()
