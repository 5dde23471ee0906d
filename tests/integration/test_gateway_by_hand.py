"""A terminating gateway set up by hand, as the guide says, without the product: that such a host can carry what the product is to make."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import time

import pytest

from tests.servers.gateway_by_hand import GATEWAY, SERVICE, GatewayByHand, declare
from tests.servers.postgres import installation
from tests.servers.sidecar import Sidecar

pytestmark = [pytest.mark.systemd, pytest.mark.envoy]


def _intention(mesh, action):
    mesh.put("/v1/config", {"Kind": "service-intentions", "Name": SERVICE, "Sources": [{"Name": "client", "Action": action}]})


@contextlib.contextmanager
def _gateway(node):
    """The steps of the guide on the host, and their way back."""
    by_hand = GatewayByHand.set_up(node, policy=f"{GATEWAY}-{node.name}")
    try:
        yield
    finally:
        by_hand.undo()


def _psql(postgres, port):
    return subprocess.run(
        [installation(postgres.version) / "bin" / "psql", "--no-psqlrc", "--tuples-only", "--no-align", "--command=SELECT inet_client_addr()"],
        env={**postgres.environment, "PGHOST": "127.0.0.1", "PGPORT": str(port), "PGCONNECT_TIMEOUT": "10"},
        capture_output=True,
        text=True,
        check=False,
    )


def _until(postgres, sidecar, wanted, timeout_s=30):
    """The first answer that is ``wanted``.

    Gateway and sidecar hear of a change from Consul a little later, and the check that the gateway registers with itself is critical until it is
    first run, at some time within its interval of ten seconds.
    """
    deadline = time.monotonic() + timeout_s
    while True:
        answer = _psql(postgres, sidecar.port)
        if wanted(answer):
            return answer
        assert time.monotonic() < deadline, (answer, sidecar.log_text())


def _reached(answer):
    return answer.returncode == 0


def _refused(answer):
    return answer.returncode != 0 and "server closed the connection unexpectedly" in answer.stderr


def test_psql_goes_through_sidecar_and_gateway_while_the_intention_allows_it(mesh, gateway_node, postgres18):
    declare(gateway_node, postgres18.port)
    _intention(mesh, "allow")
    with _gateway(gateway_node), Sidecar(mesh, SERVICE) as sidecar:
        answer = _until(postgres18, sidecar, _reached)
        # Postgres sees the gateway, not the client
        assert answer.stdout.strip() == gateway_node.machine.address
        _intention(mesh, "deny")
        _until(postgres18, sidecar, _refused)
        _intention(mesh, "allow")
        _until(postgres18, sidecar, _reached)
    assert set(gateway_node.services()) == {GATEWAY}  # which nobody deregisters
    gateway_node.wipe()
    assert gateway_node.services() == {}


def _listens(address, port):
    with socket.socket() as probe:
        return probe.connect_ex((address, port)) == 0


def test_two_gateways_of_one_name_on_two_hosts(mesh, gateway_node, second_gateway_node, postgres18):
    declare(gateway_node, postgres18.port)
    nodes = (gateway_node, second_gateway_node)
    with _gateway(gateway_node), _gateway(second_gateway_node):
        deadline = time.monotonic() + 30
        while not all(_listens(node.machine.address, 8443) for node in nodes):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        registered = mesh.get(f"/v1/catalog/service/{GATEWAY}")
        assert {(one["Node"], one["ServiceID"], one["ServicePort"]) for one in registered} == {(node.name, GATEWAY, 8443) for node in nodes}
    assert not any(_listens(node.machine.address, 8443) for node in nodes)


def test_a_request_without_a_token_on_a_node_has_the_rights_of_the_node(gateway_node):
    run = gateway_node.machine.run
    run("consul", "services", "register", "-name=made-here", "-port=1")
    assert "made-here" in gateway_node.services()
    assert run("consul", "kv", "put", "a/b", "c", check=False).returncode != 0
