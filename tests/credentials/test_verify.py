"""What ``verify`` finds, on a real Consul with TLS."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from reconciler.credentials.archive import ACL_TOKEN, CA, CA_KEY, GOSSIP_KEY, Archive
from reconciler.credentials.checks import verify
from reconciler.systems.consul.connection import consul_settings
from tests.credentials.archives import contents
from tests.servers.consul import ConsulServer

NOW = datetime.now(UTC) + timedelta(hours=1)  # the certificates are made later than this module is read
WARN = timedelta(days=90)


@pytest.fixture(scope="module")
def mesh():
    with ConsulServer(tls=True) as server:
        yield server


@pytest.fixture
def members(mesh):
    """The archive that this mesh would have."""
    key = Path(str(mesh.ca_file)).with_name("consul-agent-ca-key.pem")
    return {**contents(mesh.token), CA: Path(str(mesh.ca_file)).read_bytes(), CA_KEY: key.read_bytes()}


def results(members, address, now=NOW, warn=WARN):
    settings = consul_settings(None, {"CONSUL_HTTP_ADDR": address, "CONSUL_HTTP_SSL_VERIFY": "false"}, lambda s: s)
    return {check.name: check for check in verify(Archive.of(members), settings, now, warn)}


def results_only(members, address, **options):
    return {name: check.result for name, check in results(members, address, **options).items()}


ALL = {"members", "gossip-key", "ca", "ca-expiry", "ca-key", "token", "management", "agents"}


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_good_archive_passes_every_check(mesh, members, scheme):
    address = mesh.address if scheme == "http" else mesh.https_address
    assert results_only(members, address) == dict.fromkeys(ALL, "passed")


def test_each_check_fails_by_itself(mesh, members):
    other = contents(pair=1)
    weak = mesh.token_for('key_prefix "" { policy = "read" }')
    for wrong, fails in (
        ({CA_KEY: other[CA_KEY]}, {"ca-key"}),
        ({CA_KEY: b"hunter2"}, {"ca-key"}),
        ({CA: other[CA], CA_KEY: other[CA_KEY]}, {"agents"}),
        ({CA: b"hunter2"}, {"ca"}),
        ({GOSSIP_KEY: b"hunter2"}, {"gossip-key"}),
        ({ACL_TOKEN: b"{}"}, {"token"}),
        ({ACL_TOKEN: contents(weak)[ACL_TOKEN]}, {"management"}),
        ({ACL_TOKEN: contents()[ACL_TOKEN]}, {"token"}),
    ):
        found = results({**members, **wrong}, mesh.https_address)
        assert {name for name, check in found.items() if check.result == "failed"} == fails
        assert all(check.what_to_do for check in found.values() if check.result == "failed")
        assert "hunter2" not in str(found)


@pytest.mark.parametrize("name", [GOSSIP_KEY, ACL_TOKEN, CA, CA_KEY])
def test_a_missing_member_is_named_and_the_others_are_checked(mesh, members, name):
    found = results({n: content for n, content in members.items() if n != name}, mesh.https_address)
    assert (found["members"].result, found["members"].what) == ("failed", f"the archive lacks {name}")
    assert {check.result for check in found.values()} == {"failed", "passed"}


@pytest.mark.parametrize(
    ("now", "warn", "result"),
    [
        (NOW, timedelta(days=40_000), "warning"),
        (NOW + timedelta(days=40_000), WARN, "failed"),
        (NOW - timedelta(days=2), WARN, "failed"),
    ],
    ids=["soon", "expired", "not yet"],
)
def test_expiry(mesh, members, now, warn, result):
    found = results(members, mesh.https_address, now=now, warn=warn)
    assert found.pop("ca-expiry").result == result
    assert {check.result for check in found.values()} == {"passed"}


def test_a_certificate_that_is_none_of_a_ca(mesh, members):
    leaf = Path(str(mesh.client_cert_file)).read_bytes()
    assert results_only({**members, CA: leaf}, mesh.https_address)["ca"] == "failed"


def test_where_no_certificate_is_shown_that_is_said(consul):
    found = results(contents(consul.token), consul.address)
    assert (found["agents"].result, found["management"].result) == ("unknown", "passed")


def test_consul_is_down(free_port, mesh, members):
    found = results(members, f"127.0.0.1:{free_port}")
    assert found["token"].result == "failed"
    assert "connection refused" in found["token"].what
    assert found["agents"].result == "unknown"
