"""KV entries and transactions: nothing half done, nothing missed, no other key than the one meant."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from reconciler.model.errors import AccessDenied, LostRace, Rejected
from reconciler.systems.consul.client import Consul, TransactionDenied, TransactionRejected
from reconciler.systems.consul.reader import ConsulReader
from tests.integration.consul.conftest import Connect
from tests.servers.consul import ConsulServer


def put(key: str, value: bytes = b"x", **more: Any) -> dict[str, Any]:
    return {"KV": {"Verb": "set", "Key": key, "Value": base64.b64encode(value).decode(), **more}}


def test_entries_come_back_as_they_were_written(client: Consul) -> None:
    client.transaction([put("a/bytes", b"\x00\xff\n"), put("a/empty", b""), put("a/flagged", Flags=7)])

    pairs = client.kv_get(["a/bytes", "a/empty", "a/flagged", "a/none"])

    assert {k: (p.value, p.flags, p.session) for k, p in pairs.items()} == {
        "a/bytes": (b"\x00\xff\n", 0, ""), "a/empty": (b"", 0, ""), "a/flagged": (b"x", 7, ""),
    }  # fmt: skip
    assert all(p.create_index == p.modify_index > 0 for p in pairs.values())


def test_a_value_is_not_shown_by_the_entry_that_holds_it(client: Consul) -> None:
    client.transaction([put("a/password", b"hunter2")])

    assert "hunter2" not in repr(client.kv_get(["a/password"]))


def test_a_key_with_dots_is_not_the_key_that_its_path_cleans_to(client: Consul, consul: ConsulServer) -> None:
    client.transaction([put("victim", b"safe"), put("mine/../victim", b"mine")])
    assert client.kv_get(["mine/../victim"])["mine/../victim"].value == b"mine"

    client.transaction([{"KV": {"Verb": "delete", "Key": "mine/../victim"}}])

    assert consul.keys() == {"victim": b"safe"}
    assert client.kv_get(["mine/../victim"]) == {}


def test_a_failed_condition_names_the_operation_and_nothing_is_done(client: Consul, consul: ConsulServer) -> None:
    client.transaction([put("a/there")])
    create, absent = {"KV": {"Verb": "cas", "Key": "a/there", "Value": "", "Index": 0}}, {"KV": {"Verb": "check-not-exists", "Key": "a/there"}}

    with pytest.raises(TransactionRejected, match='cas of kv a/there: failed to set key "a/there", index is stale') as refused:
        client.transaction([put("a/new"), create, absent])

    assert isinstance(refused.value, LostRace)
    assert [index for index, _ in refused.value.failures] == [1, 2]
    assert consul.keys() == {"a/there": b"x"}


def test_a_catalog_operation_is_named_in_words(client: Consul) -> None:
    with pytest.raises(TransactionRejected, match="set of service nowhere/s: Missing node registration"):
        client.transaction([{"Service": {"Verb": "set", "Node": "nowhere", "Service": {"ID": "s", "Service": "s"}}}])


def test_a_permission_missing_in_a_transaction_is_a_denial_and_named(consul: ConsulServer, connect: Connect) -> None:
    client = connect(consul.address, consul.token_for('key_prefix "a/" { policy = "write" }'))

    with pytest.raises(TransactionDenied, match='set of kv b/x: the token lacks key:write on "b/x"') as denied:
        client.transaction([put("a/x"), put("b/x")])

    assert isinstance(denied.value, AccessDenied)
    assert [index for index, _ in denied.value.failures] == [1]
    assert consul.keys() == {}


@pytest.mark.parametrize("rules", ['key_prefix "a/" { policy = "read" }', None], ids=["weak", "anonymous"])
def test_a_key_that_may_not_be_read_is_a_denial_and_never_absent(consul: ConsulServer, connect: Connect, rules: str | None) -> None:
    consul.put("/v1/kv/b/hidden", b"1")
    client = connect(consul.address, consul.token_for(rules) if rules else "")

    with pytest.raises(AccessDenied, match='key:read on "b/absent", "b/hidden"'):
        client.kv_get(["b/hidden", "b/absent"])


def test_a_tree_of_which_something_is_hidden_is_a_denial(consul: ConsulServer, connect: Connect) -> None:
    consul.put("/v1/kv/tree/seen", b"1")
    consul.put("/v1/kv/tree/hidden", b"1")
    rules = 'key_prefix "tree/" { policy = "read" } key "tree/hidden" { policy = "deny" }'

    with pytest.raises(AccessDenied, match='key:read on "tree/"'):
        connect(consul.address, consul.token_for(rules)).kv_tree("tree/")


def test_a_tree_holds_what_begins_with_its_prefix(client: Consul) -> None:
    client.transaction([put("t/a"), put("t/b/c"), put("tt")])

    assert sorted(client.kv_tree("t/")) == ["t/a", "t/b/c"]
    assert client.kv_tree("nothing/") == {}


def test_more_keys_than_one_transaction_takes_are_read_in_several(client: Consul) -> None:
    keys = [f"many/{n:03}" for n in range(300)]
    for start in range(0, 300, 100):
        client.transaction([put(key) for key in keys[start : start + 100]])
    before = client.requests

    assert sorted(client.kv_get([*keys, "many/none", *keys])) == keys
    assert client.requests - before == 3


def test_too_many_operations_are_refused_before_anything_is_sent(client: Consul) -> None:
    with pytest.raises(Rejected, match="129 operations was asked for; it takes 128"):
        client.transaction([put(f"k{n}") for n in range(129)])
    assert client.requests == 0


def test_a_transaction_as_large_as_consul_takes_is_done_and_a_larger_one_refused_with_its_size(client: Consul, consul: ConsulServer) -> None:
    overhead = len(json.dumps([put("big", b"")], separators=(",", ":")))
    fits = (524_288 - overhead) // 4 * 3
    client.transaction([put("big", bytes(fits))])
    assert len(consul.keys()["big"]) == fits

    before = client.requests
    with pytest.raises(Rejected, match=r"524,\d\d\d bytes was asked for; it takes 524,288"):
        client.transaction([put("big", bytes(fits + 3))])
    assert client.requests == before


def test_the_lock_verbs_work_and_a_lost_lock_fails_the_transaction(client: Consul) -> None:
    session = client.create_session("test", ttl_s=30, lock_delay_s=0)
    client.transaction([{"KV": {"Verb": "lock", "Key": "lock", "Value": "", "Session": session}}])
    assert client.kv_get(["lock"])["lock"].session == session

    client.destroy_session(session)
    with pytest.raises(TransactionRejected, match="failed session check"):
        client.transaction([{"KV": {"Verb": "check-session", "Key": "lock", "Session": session}}, put("a")])


class TestReaderKeys:
    def test_few_keys_are_read_alone_and_nothing_else_of_their_folder(self, client: Consul) -> None:
        client.transaction([put("f/a"), put("f/b"), put("f/secret-of-others")])
        reader = ConsulReader(client)

        assert sorted(reader.keys(["f/a", "f/b", "f/none"])) == ["f/a", "f/b"]
        assert sorted(reader.keys(["f/a"])) == ["f/a"]
        assert reader.requests == 1

    def test_the_number_of_requests_does_not_grow_with_the_keys_of_a_folder(self, client: Consul) -> None:
        keys = [f"folder/{n:04}" for n in range(1000)]
        for start in range(0, 1000, 125):
            client.transaction([put(key) for key in keys[start : start + 125]])
        reader = ConsulReader(client)

        assert sorted(reader.keys([*keys, "folder/none", "elsewhere/none", "top"])) == keys
        assert reader.requests == 2

    def test_a_key_hidden_in_a_folder_that_is_read_whole_is_still_a_denial(self, consul: ConsulServer, connect: Connect) -> None:
        consul.put("/v1/kv/folder/0001", b"1")
        consul.put("/v1/kv/folder/0002", b"1")
        rules = 'key_prefix "folder/" { policy = "read" } key "folder/0002" { policy = "deny" }'
        reader = ConsulReader(connect(consul.address, consul.token_for(rules)))

        with pytest.raises(AccessDenied, match='key:read on "folder/0002"'):
            reader.keys(f"folder/{n:04}" for n in range(200))

    def test_without_a_token_keys_are_only_read_alone_because_trees_hide_in_silence(self, consul: ConsulServer, connect: Connect) -> None:
        consul.put("/v1/kv/folder/0001", b"1")

        with pytest.raises(AccessDenied, match="key:read"):
            ConsulReader(connect(consul.address)).keys(f"folder/{n:04}" for n in range(200))
