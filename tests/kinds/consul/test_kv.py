"""KV entries on a real Consul."""

from __future__ import annotations

import pytest

from reconciler.model.errors import LostRace
from reconciler.model.kind import Wanted
from reconciler.model.secret import Generate, Reference, Secret, SecretSource
from reconciler.model.value import WITHHELD, Digest
from tests.kinds.consul.workbench import OWNER


def test_created_read_changed_and_deleted(bench):
    desired = bench.declare_one("kv", kv={"app/name": "one"})
    assert bench.live(desired) is None
    bench.create(desired)
    assert bench.differences(desired) == []
    for changed, field in (({"app/name": "two"}, "value"), ({"app/name": {"value": "two", "flags": 2**64 - 1}}, "flags")):
        desired = bench.declare_one("kv", kv=changed)
        assert bench.differences(desired) == [field]
        bench.update(desired)
        assert bench.differences(desired) == []
    assert bench.server.keys("app/") == {"app/name": b"two"}
    bench.delete(desired)
    assert bench.live(desired) is None


@pytest.mark.parametrize("key", ["a b/ü?#%2F", "a//b", "x", "app/name/", "%2e%2e/a", "a&b=c"])
def test_keys_stand_for_themselves(bench, key):
    desired = bench.declare_one("kv", kv={key: "v"})
    bench.create(desired)
    assert bench.server.keys() == {key: b"v"}
    assert bench.differences(desired) == []
    assert bench.there(desired).address == desired.address


def test_flags_that_the_manifest_never_set_stay(bench):
    bench.server.put("/v1/kv/app/name?flags=7", b"theirs")
    desired = bench.declare_one("kv", kv={"app/name": "ours"})
    bench.update(desired)
    assert bench.there(desired).fields == {"value": "ours", "flags": 7}


def test_flags_that_the_manifest_sets_no_more_are_unset(bench):
    desired = bench.declare_one("kv", kv={"app/name": {"value": "v", "flags": 7}})
    bench.create(desired)
    record = bench.record(desired)
    desired = bench.declare_one("kv", kv={"app/name": "v"})
    assert bench.differences(desired, record) == ["flags"]
    bench.update(desired, record)
    assert bench.there(desired).fields == {"value": "v", "flags": 0}


def test_what_somebody_wrote_meanwhile_is_not_overwritten(bench):
    desired = bench.declare_one("kv", kv={"app/name": "ours"})
    bench.create(desired)
    live = bench.there(desired)
    bench.server.put("/v1/kv/app/name", b"theirs")
    for write in (lambda: bench.create(desired), lambda: bench.update(desired, live=live), lambda: bench.delete(desired, live=live)):
        with pytest.raises(LostRace):
            write()
    assert bench.server.keys("app/") == {"app/name": b"theirs"}


@pytest.mark.parametrize(
    ("key", "entry", "masked"),
    [
        ("app/name", "v", False),
        ("app/db-password", "v", True),
        ("app/API_TOKEN", "v", True),
        ("secret/name", "v", False),
        ("app/name", {"value": "v", "sensitive": True}, True),
        ("app/keyboard", {"value": "v", "sensitive": False}, False),
    ],
)
def test_a_literal_is_masked_by_its_key_unless_told(bench, key, entry, masked):
    desired = bench.declare_one("kv", kv={key: entry})
    bench.create(desired)
    live = bench.there(desired)
    assert isinstance(desired.fields["value"], Secret) is masked
    assert isinstance(live.fields["value"], Secret) is masked
    assert bench.differences(desired) == []
    assert live.outputs["value"].reveal() == "v"
    assert bench.server.keys(key) == {key: b"v"}
    leaving = bench.read([Wanted(desired.address, OWNER, None, bench.record(desired))])[desired.address]
    assert isinstance(leaving.fields["value"], Secret) is masked


def test_a_long_plain_text_is_not_masked_because_its_record_has_a_digest(bench):
    desired = bench.declare_one("kv", kv={"app/text": "x" * 5000})
    bench.create(desired)
    record = bench.record(desired)
    assert isinstance(record.specification["value"], Digest)
    assert bench.differences(desired, record) == []
    assert bench.read([Wanted(desired.address, OWNER, None, record)])[desired.address].fields["value"] == "x" * 5000


def test_references_are_secrets_and_come_first(bench):
    desired = bench.declare(
        "kv", kv={"a": {"generate": {"bytes": 16, "encoding": "hex"}}, "b": {"kv": "a"}, "c": {"kv": "elsewhere"}, "d": {"env": "D"}}
    )
    assert desired["kv/a"].fields == {"value": Generate(16, "hex")}
    assert desired["kv/b"].fields == {"value": Reference(desired["kv/a"].address, "value")}
    assert desired["kv/b"].needs == desired["kv/b"].must_exist == {desired["kv/a"].address}
    assert {str(a) for a in desired["kv/c"].must_exist} == {"kv/elsewhere"}
    assert isinstance(desired["kv/d"].fields["value"], SecretSource)
    bench.server.put("/v1/kv/a", b"made by hand")
    assert isinstance(bench.there(desired["kv/a"]).fields["value"], Secret)
    assert bench.differences(desired["kv/a"]) == []


def test_the_witness_of_a_secret_is_the_index_of_its_key(bench):
    desired = bench.declare_one("kv", kv={"app/password": "one"})
    bench.create(desired)
    record = bench.record(desired)
    assert record.specification["value"] is WITHHELD
    changed = bench.declare_one("kv", kv={"app/password": "two"})
    (change,) = bench.changes(changed, record)
    assert (change.drifted, change.manifest) == (False, True)
    bench.server.put("/v1/kv/app/password", b"theirs")
    (change,) = bench.changes(changed, record)
    assert (change.drifted, change.manifest) == (True, False)


def test_a_value_that_is_no_text_is_compared_and_replaced(bench):
    raw = bytes(range(256))
    bench.server.put("/v1/kv/app/blob", raw)
    desired = bench.declare_one("kv", kv={"app/blob": "text"})
    assert bench.differences(desired) == ["value"]
    bench.server.put("/v1/kv/app/token", raw)
    secret = bench.declare_one("kv", kv={"app/token": "text"})
    assert bench.differences(secret) == ["value"]
    live = bench.there(desired)
    assert live.fields["value"].encode("utf-8", "surrogateescape") == raw
    bench.update(desired)
    assert bench.differences(desired) == []


def test_an_empty_value_is_not_an_absent_key(bench):
    desired = bench.declare_one("kv", kv={"app/empty": ""})
    assert bench.live(desired) is None
    bench.create(desired)
    assert bench.there(desired).fields["value"] == ""


def test_no_operation_shows_a_secret(bench):
    from reconciler.kinds.consul.kv import KIND
    from reconciler.model.kind import Order

    desired = bench.declare_one("kv", kv={"app/password": "hunter2"})
    (operation,) = KIND.create_operations(Order(desired.address, desired.fields, OWNER, desired=desired))
    assert "hunter2" not in repr(operation)
    assert "aHVudGVyMg" not in repr(operation)
