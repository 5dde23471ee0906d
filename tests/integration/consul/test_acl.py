"""ACL policies and tokens, and what the token in use may do."""

from __future__ import annotations

import uuid

import pytest

from reconciler.model.errors import AccessDenied, AlreadyExists, Rejected
from reconciler.model.kind import Permission
from reconciler.model.secret import Secret
from reconciler.systems.consul.client import Consul
from tests.integration.consul.conftest import Connect
from tests.servers.consul import ConsulServer


def test_a_policy_from_creation_to_deletion(client: Consul) -> None:
    made = client.acl.create_policy({"Name": "p", "Rules": 'key "a" { policy = "read" }', "Description": "first"})
    client.acl.update_policy(made["ID"], {"Name": "p", "Rules": 'key "b" { policy = "read" }'})

    policy = client.acl.read_policy(made["ID"])
    assert policy is not None
    assert (policy["Rules"], policy["Description"]) == ('key "b" { policy = "read" }', "")
    assert "p" in [p["Name"] for p in client.acl.list_policies()]

    client.acl.delete_policy(made["ID"])
    client.acl.delete_policy(made["ID"])
    assert client.acl.read_policy(made["ID"]) is None


def test_a_second_policy_of_one_name_already_exists(client: Consul) -> None:
    client.acl.create_policy({"Name": "p"})
    with pytest.raises(AlreadyExists, match='A Policy with Name "p" already exists'):
        client.acl.create_policy({"Name": "p"})


def test_an_unknown_field_is_refused(client: Consul) -> None:
    with pytest.raises(Rejected, match='unknown field "Bogus"'):
        client.acl.create_policy({"Name": "p", "Bogus": 1})


def test_a_token_from_creation_to_deletion(client: Consul) -> None:
    accessor, secret = str(uuid.uuid4()), Secret(str(uuid.uuid4()))
    made = client.acl.create_token({"AccessorID": accessor, "SecretID": secret, "Description": "d"})
    assert made["SecretID"] == secret.reveal()

    client.acl.update_token(accessor, {"Description": "e"})
    token = client.acl.read_token(accessor)
    assert token is not None
    assert (token["Description"], token["SecretID"]) == ("e", secret.reveal())
    assert accessor in [t["AccessorID"] for t in client.acl.list_tokens()]

    client.acl.delete_token(accessor)
    client.acl.delete_token(accessor)
    assert client.acl.read_token(accessor) is None


def test_an_accessor_in_use_already_exists_and_the_secret_is_not_shown(client: Consul) -> None:
    secret = Secret(str(uuid.uuid4()))
    body = {"AccessorID": str(uuid.uuid4()), "SecretID": secret}
    client.acl.create_token(body)

    with pytest.raises(AlreadyExists, match="AccessorID is already in use") as refused:
        client.acl.create_token(body)
    assert secret.reveal() not in str(refused.value)


def test_an_id_that_is_a_path_reaches_nothing_else(client: Consul) -> None:
    policy = client.acl.create_policy({"Name": "victim"})

    with pytest.raises(Rejected, match=r"takes DELETE .* for another path"):
        client.acl.delete_token(f"x/../../policy/{policy['ID']}")
    assert client.acl.read_policy(policy["ID"]) is not None


def test_lists_of_acl_objects_are_denied_and_never_empty(consul: ConsulServer, connect: Connect) -> None:
    for token in (consul.token_for('key "a" { policy = "read" }'), ""):
        client = connect(consul.address, token)
        with pytest.raises(AccessDenied, match="acl:read"):
            client.acl.list_policies()
        with pytest.raises(AccessDenied, match="acl:read"):
            client.acl.list_tokens()


class TestSelfToken:
    def test_it_is_the_token_in_use_without_its_secret(self, consul: ConsulServer, connect: Connect) -> None:
        token = connect(consul.address, consul.token).self_token()

        assert token is not None
        assert [p["Name"] for p in token["Policies"]] == ["global-management"]
        assert consul.token not in str(token)

    def test_without_a_token_there_is_none(self, consul: ConsulServer, connect: Connect) -> None:
        assert connect(consul.address).self_token() is None

    def test_an_unknown_token_is_denied_with_where_it_came_from_and_not_shown(self, consul: ConsulServer, connect: Connect) -> None:
        wrong = str(uuid.uuid4())
        client = connect(consul.address, wrong)
        expected = r"does not know this token \(from CONSUL_HTTP_TOKEN\): set consul\.token or CONSUL_HTTP_TOKEN"

        for ask in (client.self_token, client.identity, client.acl.list_policies, client.list_nodes, lambda: client.kv_get(["a"])):
            with pytest.raises(AccessDenied, match=expected) as denied:
                ask()
            assert wrong not in str(denied.value)


class TestAuthorize:
    def test_each_permission_has_its_answer_however_many_there_are(self, consul: ConsulServer, connect: Connect) -> None:
        rules = 'key_prefix "a/" { policy = "write" } service "web" { policy = "read" intentions = "read" }'
        client = connect(consul.address, consul.token_for(rules))
        permissions = [Permission("key", f"{'ab'[n % 2]}/{n}", "write") for n in range(150)]
        permissions += [Permission("intention", "web", "read"), Permission("acl", "", "read")]

        assert client.authorize(permissions) == [n % 2 == 0 for n in range(150)] + [True, False]
        assert client.requests == 3

    def test_nothing_asked_is_nothing_sent(self, client: Consul) -> None:
        assert client.authorize([]) == []
        assert client.requests == 0

    def test_a_resource_that_consul_does_not_know_is_refused(self, client: Consul) -> None:
        with pytest.raises(Rejected, match='Invalid ACL resource requested: "bogus"'):
            client.authorize([Permission("bogus", "", "read")])


def test_a_consul_without_acls_allows_everything_but_has_no_policies(connect: Connect) -> None:
    with ConsulServerWithoutAcls() as consul:
        client = connect(consul.address)
        assert client.self_token() is None
        assert client.authorize([Permission("acl", "", "write"), Permission("key", "a", "read")]) == [True, True]
        assert client.identity().datacenter == "dc1"
        with pytest.raises(Rejected, match="ACLs switched off"):
            client.acl.list_policies()


class ConsulServerWithoutAcls(ConsulServer):
    """A server on which the management token means nothing; it is ready when it has a CA."""

    def __init__(self) -> None:
        super().__init__(extra="acl { enabled = false }")

    def _is_ready(self) -> bool:
        try:
            return bool(self.request("GET", "/v1/connect/ca/roots").body["TrustDomain"])
        except (OSError, TypeError, KeyError):
            return False
