"""What is peculiar to single kinds of config entries, on a real Consul."""

from __future__ import annotations

import json
import re

import pytest

from reconciler.kinds.consul.config_entry import ConfigEntry
from reconciler.model.errors import LostRace, Rejected
from reconciler.model.secret import Secret
from tests.servers.certificates import PAIRS, two_pairs


def entry(kind, name="one", **fields):
    return {"config_entries": [{"Kind": kind, "Name": name, **fields}]}


def stored(bench, kind, name="one"):
    return {k: v for k, v in bench.server.get(f"/v1/config/{kind}/{name}").items() if k not in ("CreateIndex", "ModifyIndex", "Hash")}


def test_a_field_that_consul_does_not_know_is_refused_by_its_name(bench):
    desired = bench.declare_one("config-entry", **entry("service-resolver", Brightness=3, Subsets={"v1": {"Colour": "red"}}))
    with pytest.raises(Rejected) as caught:
        bench.create(desired)
    said = str(caught.value)
    assert re.search(r"knows no such field of this kind of config entry: (Brightness, .*Colour|.*Colour, Brightness): remove it, or use", said)
    assert "\n" not in said


def test_bytes_of_a_certificate_survive_an_update(bench):
    """Consul answers them in base64, and takes what it is sent as they are."""
    trusted = {"TrustedCA": {"InlineBytes": "YQ=="}}
    keys = {"Remote": {"URI": "https://keys.example.com/", "JWKSCluster": {"TLSCertificates": trusted}}}
    first = bench.declare_one("config-entry", **entry("jwt-provider", JSONWebKeySet=keys, Issuer="a"))
    bench.create(first)
    before = stored(bench, "jwt-provider")
    assert bench.differences(first) == []
    then = bench.declare_one("config-entry", **entry("jwt-provider", Issuer="b"))
    bench.update(then)
    assert stored(bench, "jwt-provider") == {**before, "Issuer": "b"}
    assert bench.differences(first) == ["Issuer"]


@pytest.mark.parametrize("skew", [0, 30])
def test_a_clock_skew_that_is_the_default_is_no_difference(bench, skew):
    keys = {"Local": {"JWKS": "e30="}}
    desired = bench.declare_one("config-entry", **entry("jwt-provider", JSONWebKeySet=keys, ClockSkewSeconds=skew))
    bench.create(desired)
    record = bench.record(desired)
    assert bench.differences(desired) == []
    without = bench.declare_one("config-entry", **entry("jwt-provider", JSONWebKeySet=keys))
    assert bench.differences(without, record) == []


def test_a_weight_that_consul_rounds_is_no_difference(bench):
    bench.create(bench.declare_one("config-entry", **entry("service-defaults", Protocol="http")))
    splits = [{"Weight": 33.333, "Service": "one"}, {"Weight": 66.6666, "Service": "two"}]
    bench.server.put("/v1/config", {"Kind": "service-defaults", "Name": "two", "Protocol": "http"})
    desired = bench.declare_one("config-entry", **entry("service-splitter", Splits=splits))
    bench.create(desired)
    assert bench.differences(desired) == []


def test_the_order_of_splits_and_of_what_they_say_means_nothing(bench):
    """Consul answers the weight first, a person may write the service first."""
    for name in ("a", "one", "two"):
        bench.server.put("/v1/config", {"Kind": "service-defaults", "Name": name, "Protocol": "http"})
    splits = [{"Service": "a", "Weight": 70}, {"Service": "two", "Weight": 30}]
    desired = bench.declare_one("config-entry", **entry("service-splitter", Splits=splits))
    bench.create(desired)
    assert bench.differences(desired) == []
    assert bench.differences(bench.declare_one("config-entry", **entry("service-splitter", Splits=splits[::-1]))) == []


def certificate(number, **fields):
    files = {"Certificate": {"file": str(PAIRS / f"{number}.pem")}, "PrivateKey": {"file": str(PAIRS / f"{number}-key.pem")}}
    two_pairs()
    return entry("inline-certificate", **files, **fields)


def test_a_private_key_is_in_no_record_and_no_plan(tool, consul):
    one, _ = two_pairs()
    planned = tool.apply(certificate(0))
    assert stored_key(consul) == one.key
    secret = one.key.split("\n")[1]
    assert secret not in repr(planned)
    records = b"".join(consul.keys("reconciler/").values()).decode()
    assert "inline-certificate" in records
    for text in (*one.key.split("\n"), *one.certificate.split("\n")):
        assert text not in records


def stored_key(consul):
    return consul.get("/v1/config/inline-certificate/one")["PrivateKey"]


def test_a_certificate_is_renewed_with_its_key(tool, consul):
    tool.apply(certificate(0))
    (change,) = tool.apply(certificate(1)).changes
    assert [f.path for f in change.fields] == [("Certificate",), ("PrivateKey",)]
    assert not any(f.drifted for f in change.fields)
    assert stored_key(consul) == two_pairs()[1].key
    assert tool.apply(certificate(1)).is_empty


def test_an_edit_of_something_else_is_no_drift_of_the_key_and_another_key_is(tool, consul):
    tool.apply(certificate(0))
    live = consul.get("/v1/config/inline-certificate/one")
    consul.put("/v1/config", {**live, "Meta": {"theirs": "1"}})
    assert tool.drift(certificate(0)).is_empty
    assert tool.apply(certificate(0)).is_empty
    _, two = two_pairs()
    consul.put("/v1/config", {**live, "Certificate": two.certificate, "PrivateKey": two.key})
    (change,) = tool.drift(certificate(0)).changes
    assert [f.path for f in change.fields] == [("Certificate",), ("PrivateKey",)]
    (change,) = tool.apply(certificate(0)).changes
    assert all(f.drifted for f in change.fields)
    assert stored_key(consul) == two_pairs()[0].key


def test_a_key_may_come_from_kv(tool, consul):
    one, _ = two_pairs()
    key = {"kv": {"tls/key": {"value": {"file": str(PAIRS / "0-key.pem")}}}}
    tool.apply({**entry("inline-certificate", Certificate=one.certificate, PrivateKey={"kv": "tls/key"}), **key})
    assert stored_key(consul) == one.key


def test_what_is_read_of_a_certificate_is_masked(bench):
    one, _ = two_pairs()
    bench.server.put("/v1/config", {"Kind": "inline-certificate", "Name": "one", "Certificate": one.certificate, "PrivateKey": one.key})
    live = bench.there(bench.declare_one("config-entry", **entry("inline-certificate", Certificate=one.certificate)))
    assert live.fields["PrivateKey"] == Secret(one.key)
    assert live.fields["Certificate"] == one.certificate
    assert one.key.split("\n")[1] not in json.dumps(live.fields, default=repr)


def test_what_consul_makes_itself_is_not_found(bench, client):
    from reconciler.systems.consul.reader import ConsulReader

    bench.create(bench.declare_one("config-entry", **entry("api-gateway", Listeners=[{"Name": "l", "Port": 1, "Protocol": "tcp"}])))
    assert "bound-api-gateway" not in {live.raw["Kind"] for live in ConfigEntry().find(ConsulReader(client))}


def test_the_status_that_consul_writes_is_nobodys_edit(bench):
    desired = bench.declare_one("config-entry", **entry("http-route", Parents=[{"Name": "gate"}], Hostnames=["a.example.com"]))
    bench.create(desired)
    live = bench.there(desired)
    gateway = {"Kind": "api-gateway", "Name": "gate", "Listeners": [{"Name": "l", "Port": 1, "Protocol": "http"}]}
    bench.server.put("/v1/config", gateway)
    # answered when the entry has changed
    bench.server.get(f"/v1/config/http-route/one?index={live.revision}&wait=30s")
    changed = bench.declare_one("config-entry", **entry("http-route", Parents=[{"Name": "gate"}], Hostnames=["b.example.com"]))
    bench.update(changed, live=live)
    assert bench.differences(changed) == []
    with pytest.raises(LostRace):
        bench.delete(changed, live=live)
    bench.delete(changed)
