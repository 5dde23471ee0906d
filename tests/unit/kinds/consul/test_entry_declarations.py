"""What the declarations of config entries say without a server: refusals, fields that are not known, secrets, rights, the order."""

from __future__ import annotations

import pytest

from reconciler.kinds import all_kinds
from reconciler.kinds.consul._protocols import protocol_of
from reconciler.manifest.loading import load_text
from reconciler.model.errors import ManifestError
from reconciler.model.kind import Wanted
from reconciler.model.secret import Reference, Secret, SecretSource

KIND = all_kinds()["config-entry"]


def declared(*entries):
    text = "\n".join(["version: 1", "name: demo", "config_entries:", *(f"- {entry}" for entry in entries)])
    return {str(d.address).removeprefix("config-entry/"): d for d in KIND.declare(load_text(text))}


def refused(entry):
    with pytest.raises(ManifestError) as caught:
        declared(entry)
    return [f"{d.subject}: {d.what}: {d.what_to_do}" for d in caught.value.diagnostics]


def addresses(found):
    return {str(address).removeprefix("config-entry/") for address in found}


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ("{Kind: sameness-group, Name: a}", "Kind is sameness-group, which is a kind of Consul Enterprise: remove the entry"),
        (
            "{Kind: control-plane-request-limit, Name: a}",
            "Kind is control-plane-request-limit, which is a kind of Consul Enterprise: remove the entry",
        ),
        (
            "{Kind: bound-api-gateway, Name: a}",
            "Kind is bound-api-gateway, which is made by Consul itself for an api-gateway: write the api-gateway, and remove this",
        ),
        ("{Kind: service-spliter, Name: a}", 'Kind is "service-spliter", which is unknown: did you mean service-splitter?'),
    ],
)
def test_kinds_that_nobody_can_write_are_refused(entry, said):
    kind = entry.partition(",")[0].removeprefix("{Kind: ")
    assert refused(entry) == [f"config-entry/{kind}/a: {said}"]


@pytest.mark.parametrize(
    ("entry", "subject", "said"),
    [
        (
            "{Kind: service-resolver, Name: a, Redirect: {SamenessGroup: x}}",
            ".Redirect.SamenessGroup",
            "is a feature of Consul Enterprise: remove it",
        ),
        (
            "{Kind: service-resolver, Name: a, PrioritizeByLocality: {Mode: x}}",
            ".PrioritizeByLocality",
            "is a feature of Consul Enterprise: remove it",
        ),
        ("{Kind: service-router, Name: a, Routes: [{Destination: {Namespace: x}}]}", ".Routes.0.Destination.Namespace", "is a feature of"),
        ("{Kind: http-route, Name: a, Rules: [{Filters: {JWT: {Providers: []}}}]}", ".Rules.0.Filters.JWT", "is a feature of"),
        ("{Kind: proxy-defaults, Name: global, Protocol: http}", ".Protocol", "is not where Consul looks for it: write it into Config"),
        ("{Kind: service-splitter, Name: a, Splits: [{Weight: 90}]}", ".Splits", "has weights of 90 in all: make them 100 together"),
        ("{Kind: service-splitter, Name: a, Splits: [{Weight: 110}]}", ".Splits.0.Weight", "is 110: write a number from 0 to 100"),
        ("{Kind: service-resolver, Name: a, DefaultSubset: v1}", ".DefaultSubset", "is v1, which is not in Subsets"),
        ("{Kind: jwt-provider, Name: a, JSONWebKeySet: {}}", ".JSONWebKeySet", "must have one set of keys"),
        ("{Kind: ingress-gateway, Name: a, Listeners: [{Port: 1}]}", ".Listeners.1", "has no service"),
        ("{Kind: ingress-gateway, Name: a, Listeners: [{Port: 1, Services: [{Name: '*'}]}]}", ".Listeners.1", "is for tcp and stands before more"),
        ("{Kind: exported-services, Name: default, Services: [{Name: a}]}", ".Services.a", "has no consumer"),
        ("{Kind: http-route, Name: a, Rules: [{Matches: [{Path: {Value: /x}}]}]}", ".Rules.0.Matches.0.Path", "does not say how paths match"),
        ("{Kind: service-defaults, Name: a, UpstreamConfig: {Defaults: {}}, Destination: {Port: 1}}", "", "has both UpstreamConfig and Destination"),
    ],
)
def test_what_consul_would_refuse_is_said_before(entry, subject, said):
    (found,) = refused(entry)
    assert found.startswith("config-entry/")
    assert f"{subject}: {said}" in found


def test_a_field_that_is_like_no_known_one_is_sent_and_a_slip_is_an_error():
    entry = declared("{Kind: service-resolver, Name: a, Brightness: {Level: 3}, Subsets: {v1: {Filter: x, Colour: red}}}")["service-resolver/a"]
    assert entry.fields == {"Brightness": {"Level": 3}, "Subsets": {"v1": {"Filter": "x", "Colour": "red"}}}
    (slip,) = refused("{Kind: service-resolver, Name: a, ConectTimeout: 5s}")
    assert slip.endswith("did you mean ConnectTimeout?")


@pytest.mark.parametrize("key", ["PrivateKey", "private_key", "privatekey"])
def test_a_private_key_is_a_secret_in_every_spelling(key):
    literal = declared(f"{{Kind: inline-certificate, Name: c, Certificate: public, {key}: hidden}}")["inline-certificate/c"]
    assert isinstance(literal.fields["PrivateKey"], Secret)
    assert literal.fields["Certificate"] == "public"
    assert "hidden" not in repr(literal)
    referred = declared(f"{{Kind: inline-certificate, Name: c, Certificate: {{file: c.pem}}, {key}: {{kv: tls/key}}}}")["inline-certificate/c"]
    assert isinstance(referred.fields["Certificate"], SecretSource)
    assert isinstance(referred.fields["PrivateKey"], Reference)
    assert {str(a) for a in referred.needs} == {str(a) for a in referred.must_exist} == {"kv/tls/key"}


def test_a_private_key_is_not_shown_when_it_is_wrong():
    (said,) = refused("{Kind: inline-certificate, Name: c, PrivateKey: [hidden]}")
    assert "hidden" not in said
    assert "must be text or a reference: write {file: PATH}" in said


def test_a_private_key_in_plain_text_is_warned_of():
    (warning,) = load_text("version: 1\nname: demo\nconfig_entries:\n- {Kind: inline-certificate, Name: c, PrivateKey: hidden}\n").warnings
    assert "holds a secret in plain text" in str(warning)
    assert "hidden" not in str(warning)


def test_what_is_routed_to_comes_before_the_router():
    entry = "{Kind: service-router, Name: web, Routes: [{Destination: {Service: api, ServiceSubset: v1}}]}"
    found = declared(entry, "{Kind: ingress-gateway, Name: in, Listeners: [{Port: 1, Protocol: http, Services: [{Name: web}]}]}")
    router = found["service-router/web"]
    assert addresses(router.needs) == {"proxy-defaults/global"} | {
        f"{kind}/{name}" for kind in ("service-defaults", "service-resolver", "service-splitter") for name in ("web", "api")
    }
    assert addresses(router.after) == {"ingress-gateway/in"}
    assert {hold.what: addresses(hold.on) for hold in router.stands_on} == {
        "api to speak http, http2 or grpc": {"proxy-defaults/global", "service-defaults/api"},
        "web to speak http, http2 or grpc": {"proxy-defaults/global", "service-defaults/web"},
        "web and api to speak one protocol": {"proxy-defaults/global", "service-defaults/web", "service-defaults/api"},
        "the subset v1 of api": {"service-resolver/api"},
    }


PROTOCOLS = [
    ({}, "tcp"),
    ({"proxy-defaults/global": {"Config": {"protocol": "http"}}}, "http"),
    ({"proxy-defaults/global": {"Config": {"protocol": "http"}}, "service-defaults/web": {"Protocol": "grpc"}}, "grpc"),
    ({"proxy-defaults/global": {"Config": {"protocol": "http"}}, "service-defaults/web": {"Meta": {}}}, "tcp"),
]


@pytest.mark.parametrize(("entries", "protocol"), PROTOCOLS)
def test_the_protocol_of_a_service_is_its_own_or_that_of_all(entries, protocol):
    assert protocol_of("Web", lambda address: entries.get(str(address).partition("/")[2].lower())) == protocol


def rights(name, entry):
    desired = declared(entry)[name]
    return {(p.resource, p.segment, p.access) for p in KIND.permissions(Wanted(desired.address, "demo", desired), write=True)}


@pytest.mark.parametrize(
    ("name", "fields", "wanted"),
    [
        ("mesh/mesh", "", {("mesh", "", "write")}),
        ("proxy-defaults/global", "", {("mesh", "", "write")}),
        ("exported-services/default", "", {("mesh", "", "read"), ("mesh", "", "write")}),
        ("jwt-provider/a", "", {("mesh", "", "read"), ("mesh", "", "write")}),
        ("api-gateway/a", "", {("service", "a", "read"), ("mesh", "", "write")}),
        ("ingress-gateway/a", "", {("service", "a", "read"), ("mesh", "", "write")}),
        ("tcp-route/a", "", {("mesh", "", "read"), ("mesh", "", "write")}),
        ("inline-certificate/a", "", {("mesh", "", "read"), ("mesh", "", "write")}),
        (
            "service-router/a", ", Routes: [{Destination: {Service: b}}]",
            {("service", "a", "read"), ("service", "a", "write"), ("service", "b", "read")},
        ),
        (
            "service-resolver/a", ", Failover: {'*': {Targets: [{Service: b}, {Peer: p}]}}",
            {("service", "a", "read"), ("service", "a", "write"), ("service", "b", "read")},
        ),
    ],
)  # fmt: skip
def test_rights_are_those_that_consul_asks_for(name, fields, wanted):
    kind, _, each = name.partition("/")
    assert rights(name, f"{{Kind: {kind}, Name: {each}{fields}}}") == wanted
