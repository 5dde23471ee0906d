"""What is made again, what is not, and what is said when nobody knows whether a write was done."""

from __future__ import annotations

import uuid

import pytest

from reconciler.model.errors import OutcomeUnknown, Rejected, Unreachable
from reconciler.systems.consul.client import Consul
from tests.integration.consul.conftest import Connect
from tests.integration.consul.scripted import Pauses, RawServer, ScriptedServer
from tests.servers.consul import ConsulServer
from tests.servers.counting_proxy import CountingProxy, Fate, Write

NO_LEADER = "No cluster leader"
NOT_FORWARDED = "rpc error getting client: failed to get conn: dial tcp 127.0.0.1:8300: connect: connection refused"


def cut_once(write: Write) -> Fate:
    return Fate.CUT if write.number == 1 else Fate.PASS


class TestAnswerLostAfterAWrite:
    """The write reached a real Consul and was done; only the answer was lost."""

    def test_a_transaction_is_not_sent_again(self, consul: ConsulServer, connect: Connect) -> None:
        with CountingProxy(consul.address, after=cut_once) as proxy:
            expected = r"whether PUT /v1/txn was done by Consul at http://.* is not known \(closed the connection .*\): run again"
            operation = {"KV": {"Verb": "cas", "Key": "a", "Value": "", "Index": 0}}
            with pytest.raises(OutcomeUnknown, match=expected):
                connect(proxy.address, consul.token, pause=Pauses()).transaction([operation])
            assert len(proxy.writes) == 1
        assert list(consul.keys()) == ["a"]

    def test_a_conditional_config_entry_is_not_sent_again(self, consul: ConsulServer, connect: Connect) -> None:
        with CountingProxy(consul.address, after=cut_once) as proxy, pytest.raises(OutcomeUnknown):
            connect(proxy.address, consul.token, pause=Pauses()).write_config_entry({"Kind": "service-defaults", "Name": "web"}, cas=0)

    def test_a_new_policy_is_not_sent_again(self, consul: ConsulServer, connect: Connect) -> None:
        with CountingProxy(consul.address, after=cut_once) as proxy, pytest.raises(OutcomeUnknown):
            connect(proxy.address, consul.token, pause=Pauses()).acl.create_policy({"Name": "p"})

    def test_a_new_session_is_not_sent_again(self, consul: ConsulServer, connect: Connect) -> None:
        with CountingProxy(consul.address, after=cut_once) as proxy, pytest.raises(OutcomeUnknown):
            connect(proxy.address, consul.token, pause=Pauses()).create_session("x", ttl_s=10, lock_delay_s=0)

    def test_a_new_token_with_our_own_ids_is_looked_for(self, consul: ConsulServer, connect: Connect) -> None:
        body = {"AccessorID": str(uuid.uuid4()), "SecretID": str(uuid.uuid4())}
        with CountingProxy(consul.address, after=cut_once) as proxy:
            made = connect(proxy.address, consul.token, pause=Pauses()).acl.create_token(body)
            assert len(proxy.writes) == 1
        assert made["AccessorID"] == body["AccessorID"]
        assert made["CreateIndex"] > 0

    def test_a_new_token_that_was_not_made_has_an_unknown_outcome(self, consul: ConsulServer, connect: Connect) -> None:
        body = {"AccessorID": str(uuid.uuid4()), "SecretID": str(uuid.uuid4())}
        with CountingProxy(consul.address, before=cut_once) as proxy, pytest.raises(OutcomeUnknown):
            connect(proxy.address, consul.token, pause=Pauses()).acl.create_token(body)

    def test_deleting_is_sent_again_and_finds_it_gone(self, consul: ConsulServer, connect: Connect, client: Consul) -> None:
        policy = client.acl.create_policy({"Name": "p"})
        client.write_config_entry({"Kind": "service-defaults", "Name": "web"}, cas=0)
        entry = client.read_config_entry("service-defaults", "web")
        assert entry is not None

        with CountingProxy(consul.address, after=cut_once) as proxy:
            connect(proxy.address, consul.token, pause=Pauses()).acl.delete_policy(policy["ID"])
            assert len(proxy.writes) == 2
            proxy.reset()
            proxy.after = cut_once
            connect(proxy.address, consul.token, pause=Pauses()).delete_config_entry("service-defaults", "web", cas=entry["ModifyIndex"])
            assert len(proxy.writes) == 2

    def test_replacing_by_id_is_sent_again(self, consul: ConsulServer, connect: Connect, client: Consul) -> None:
        policy = client.acl.create_policy({"Name": "p"})
        with CountingProxy(consul.address, after=cut_once) as proxy:
            changed = connect(proxy.address, consul.token, pause=Pauses()).acl.update_policy(policy["ID"], {"Name": "p", "Description": "new"})
        assert changed["Description"] == "new"


class TestConnectionClosedWithoutAnswer:
    def test_a_read_is_made_three_times(self, connect: Connect) -> None:
        with RawServer(close=True) as server:
            with pytest.raises(Unreachable, match="closed the connection during GET /v1/catalog/nodes"):
                connect(server.address, pause=Pauses()).list_nodes()
            assert server.accepted == 3

    def test_reading_keys_is_a_read_though_it_is_a_put(self, connect: Connect) -> None:
        with RawServer(close=True) as server:
            with pytest.raises(Unreachable):
                connect(server.address, pause=Pauses()).kv_get(["a"])
            assert server.accepted == 3

    def test_a_write_that_is_safe_to_repeat_still_ends_with_an_unknown_outcome(self, connect: Connect) -> None:
        with RawServer(close=True) as server:
            with pytest.raises(OutcomeUnknown, match="DELETE /v1/acl/policy/x"):
                connect(server.address, pause=Pauses()).acl.delete_policy("x")
            assert server.accepted == 3

    def test_a_silent_write_is_not_repeated_and_its_outcome_unknown(self, connect: Connect) -> None:
        with RawServer() as server:
            with pytest.raises(OutcomeUnknown, match=r"PUT /v1/acl/policy .*no answer"):
                connect(server.address, timeout_s=0.2).acl.create_policy({"Name": "p"})
            assert server.accepted == 1


class TestConsulThatDidNothing:
    """Answers after which every request may be made again, because nothing was done."""

    @pytest.mark.parametrize(
        "answer",
        [
            (500, NO_LEADER),
            (500, NOT_FORWARDED),
            (500, "Raft leader not found in server lookup mapping"),
            (429, "Your IP is issuing too many concurrent connections, please rate limit your calls"),
            (429, ""),
            (503, "rate limit exceeded for operation that can only be performed by the leader, try again later"),
        ],
        ids=["no leader", "not forwarded", "leader unknown", "429", "429 without text", "503"],
    )
    def test_a_write_is_made_again(self, connect: Connect, answer: tuple[int, str]) -> None:
        pauses = Pauses()
        with ScriptedServer(answer, answer, (200, '{"ID": "1"}')) as server:
            assert connect(server.address, pause=pauses).acl.create_policy({"Name": "p"}) == {"ID": "1"}
            assert len(server.seen) == 3
        assert len(pauses.made) == 2
        assert pauses.made[0] < pauses.made[1]

    def test_in_the_end_the_outcome_is_known(self, connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("reconciler.systems.consul.retries._BUSY_FOR_S", 0.3)
        with ScriptedServer((500, NO_LEADER)) as server:
            with pytest.raises(Unreachable, match=r"cannot do PUT /v1/acl/policy now: No cluster leader: try again when it has a leader"):
                connect(server.address).acl.create_policy({"Name": "p"})
            assert len(server.seen) > 1

    def test_a_lost_answer_before_it_keeps_the_outcome_unknown(self, connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("reconciler.systems.consul.retries._BUSY_FOR_S", 0.3)
        with ScriptedServer((502, "bad gateway"), (500, NO_LEADER)) as server, pytest.raises(OutcomeUnknown, match="No cluster leader"):
            connect(server.address).acl.delete_policy("x")


class TestConsulThatMayHaveDoneIt:
    @pytest.mark.parametrize(
        "answer",
        [
            (500, "leadership lost while committing log"),
            (500, "rpc error making call: EOF"),
            (500, "rpc error making call: i/o deadline reached"),
            (502, ""),
            (504, ""),
        ],
        ids=str,
    )
    def test_a_write_is_not_made_again_and_a_read_is(self, connect: Connect, answer: tuple[int, str]) -> None:
        with ScriptedServer(answer, (200, "{}")) as server:
            with pytest.raises(OutcomeUnknown):
                connect(server.address, pause=Pauses()).acl.create_policy({"Name": "p"})
            assert len(server.seen) == 1
        with ScriptedServer(answer, (200, "[]")) as server:
            assert connect(server.address, pause=Pauses()).list_nodes() == []

    def test_any_other_500_is_final(self, connect: Connect) -> None:
        with ScriptedServer((500, "rpc error making call: Name is required")) as server:
            with pytest.raises(Rejected, match="refused GET /v1/catalog/nodes: rpc error making call: Name is required"):
                connect(server.address, pause=Pauses()).list_nodes()
            assert len(server.seen) == 1


class TestStaleAnswers:
    @pytest.mark.parametrize("headers", [{"X-Consul-KnownLeader": "false"}, {"X-Consul-LastContact": "2030"}], ids=str)
    def test_a_list_that_is_stale_is_never_used(self, connect: Connect, headers: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("reconciler.systems.consul.retries._BUSY_FOR_S", 0.2)
        with ScriptedServer((200, "[]"), headers=headers) as server, pytest.raises(Unreachable, match="stale answer to GET /v1/catalog/nodes"):
            connect(server.address).list_nodes()

    def test_a_reading_transaction_that_is_stale_is_never_used(self, connect: Connect) -> None:
        answer = (200, '{"Results": [], "KnownLeader": false}')
        with ScriptedServer(answer) as server, pytest.raises(Unreachable, match="stale answer to PUT /v1/txn"):
            connect(server.address).kv_tree("a/")


def test_a_real_consul_that_is_killed_between_two_reads_is_waited_for(connect: Connect) -> None:
    with ConsulServer(persistent=True) as consul:
        client = connect(consul.address, consul.token, pause=lambda _: consul.restart())
        client.acl.create_policy({"Name": "p"})
        consul.kill()
        assert "p" in [p["Name"] for p in client.acl.list_policies()]
