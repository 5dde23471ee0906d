"""Addresses: how they read, when two are one, and which globs match."""

import pytest

from reconciler.model.address import Address, matches


@pytest.mark.parametrize(
    ("address", "text"),
    [
        (Address.of("kv", "carbonio-files/db-name"), "kv/carbonio-files/db-name"),
        (Address.of("external-service", "a/b", "c/d"), "external-service/a%2Fb/c/d"),
        (Address.of("db-role", "srv", "100%"), "db-role/srv/100%"),
        (Address.of("db-role", "s%v", "x"), "db-role/s%25v/x"),
    ],
)
def test_every_segment_but_the_last_is_encoded(address, text):
    assert str(address) == text


def test_two_spellings_of_a_folded_name_are_one_address():
    assert Address.of("acl-policy", "Gateway", fold=True) == Address.of("acl-policy", "gateway", fold=True)
    assert Address.of("kv", "Key") != Address.of("kv", "key")


@pytest.mark.parametrize(
    ("glob", "matched"),
    [("kv/*", True), ("*", True), ("kv/a/b", True), ("kv/*b", True), ("kv/a", False), ("kv/[a]/b", False), ("KV/a/b", False), ("kv/a.b", False)],
)
def test_a_star_crosses_slashes_and_nothing_else_is_special(glob, matched):
    assert matches(glob, Address.of("kv", "a/b")) is matched
