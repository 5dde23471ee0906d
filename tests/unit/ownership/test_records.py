"""What goes into a record and comes out of it, and that nothing secret does."""

import json
from types import SimpleNamespace
from typing import Any

import pytest

from reconciler.engine.diff import recordable
from reconciler.model.address import Address
from reconciler.model.errors import ReconcilerError
from reconciler.model.record import Origin, Record, State
from reconciler.model.resource import CONSUL, OnRemoval, System
from reconciler.model.secret import GENERATED_AT_APPLY, Generate, Hidden, Reference, Secret, SecretSource
from reconciler.model.value import WITHHELD, Digest, Semantic
from reconciler.ownership import records
from reconciler.systems.consul.transactions import KvPair

KINDS: Any = {
    "thing": SimpleNamespace(system="consul", address=lambda *s: Address.of("thing", *s)),
    "role": SimpleNamespace(system="postgres", address=lambda *s: Address.of("role", *s)),
}
CANARY = "canary-91ab"


def record(**changes):
    values = {
        "key": "reconciler/owned/thing/a",
        "address": Address.of("thing", "a"),
        "system": CONSUL,
        "system_identity": "trust/dc1",
        "owner": "m",
        "label": "l",
        "state": State.OWNED,
        "origin": Origin.ADOPTED,
        "incarnation": "7",
        "specification": {},
        "witness": None,
        "on_removal": OnRemoval.RETAIN,
        "protect": True,
        "needs": ("reconciler/owned/thing/b",),
        "superseded": ("6",),
        "run": "r",
        "written": "2026-01-01T00:00:00+00:00",
        "created_index": 5,
        "modify_index": 9,
    }
    return Record(**{**values, **changes})


def stored(one):
    return KvPair(one.key, records.encode(one), 0, "", one.created_index, one.modify_index)


def pair(key, value):
    return KvPair(key, value, 0, "", 1, 1)


def read_back(one, names=None):
    return records.decode(stored(one), KINDS, {("consul", "trust/dc1"): CONSUL} if names is None else names)


@pytest.mark.parametrize(
    "specification",
    [
        {"a": 1, "b": ["x", {"y": None}], "c": {"d": True}},
        {"rules": Semantic({"acl": "read"}, 'acl = "read"', "…"), "long": Digest.of("x" * 5000), "password": WITHHELD},
        {"value": Generate(16, "hex")},
        {"meta": {"$semantic": "not one", "$$x": 1, "$secret": True}},
    ],
)
def test_a_record_is_read_back_as_it_was_written(specification):
    one = record(specification=specification)
    assert read_back(one) == one


def test_secrets_are_withheld_and_long_texts_are_digests():
    fields = {
        "a": Secret(CANARY),
        "b": {"c": Reference(Address.of("kv", "k"), "value")},
        "d": SecretSource("env", "X"),
        "e": GENERATED_AT_APPLY,
        "f": Hidden("why"),
        "g": "x" * 4097,
        "h": "x" * 4096,
    }
    kept = recordable(fields)
    assert kept == {"a": WITHHELD, "b": {"c": WITHHELD}, "d": WITHHELD, "e": WITHHELD, "f": WITHHELD, "g": Digest.of("x" * 4097), "h": "x" * 4096}
    assert CANARY.encode() not in records.encode(record(specification=kept))


def test_a_server_is_known_by_its_identity_and_called_by_its_present_name():
    one = record(
        key="reconciler/owned/role/7001/app",
        address=Address.of("role", "old-name", "app"),
        system=System("postgres", "old-name"),
        system_identity="7001",
    )
    assert records.key_of(one.address, one.system, "7001") == one.key
    now = read_back(one, {("postgres", "7001"): System("postgres", "new-name")})
    assert (str(now.address), now.system) == ("role/new-name/app", System("postgres", "new-name"))
    assert read_back(one, {}).system is None


@pytest.mark.parametrize("value", [b"", b"[]", b"{}", b"\xff", b'{"format": 1}', b'{"format": 1, "kind": 3}'])
def test_a_damaged_record_is_an_error_that_names_the_key(value):
    with pytest.raises(ReconcilerError, match="reconciler/owned/thing/a"):
        records.decode(pair("reconciler/owned/thing/a", value), KINDS, {})


def test_a_record_of_a_newer_format_is_refused():
    body = json.loads(records.encode(record())) | {"format": 2}
    with pytest.raises(ReconcilerError, match="format 2"):
        records.decode(pair("k", json.dumps(body).encode()), KINDS, {})


def test_whose_a_record_is_can_be_told_without_the_rest_of_it():
    """Else a damaged record of ours would count as nobody's, and what it is about as never touched."""
    body = json.loads(records.encode(record()))
    assert records.header(pair("k", json.dumps(body).encode())).needs == ("reconciler/owned/thing/b",)
    for damaged in ({k: v for k, v in body.items() if k != "needs"}, body | {"needs": None}):
        header = records.header(pair("k", json.dumps(damaged).encode()))
        assert (header.owner, header.kind, header.system_identity, header.needs) == ("m", "thing", "trust/dc1", ())
