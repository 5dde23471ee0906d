"""What each kind makes of a manifest, without any server: what comes first, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from ruamel.yaml import YAML

from reconciler.kinds import all_kinds
from reconciler.manifest.loading import load
from reconciler.model.errors import ManifestError
from reconciler.model.kind import Permission, Wanted
from reconciler.model.resource import OnRemoval


@pytest.fixture
def declare(tmp_path: Path):
    def declare(kind, **sections):
        path = tmp_path / "manifest.yaml"
        with path.open("w") as file:
            YAML(typ="safe", pure=True).dump({"version": 1, "name": "demo", **sections}, file)
        return {str(d.address): d for d in all_kinds()[kind].declare(load([path]))}

    return declare


def needs(desired):
    return {str(address) for address in desired.needs}


def after(desired):
    return {str(address) for address in desired.after}


def mistakes(declare, kind, **sections):
    with pytest.raises(ManifestError) as caught:
        declare(kind, **sections)
    assert all(d.place is not None for d in caught.value.diagnostics)
    return [f"{d.subject}: {d.what}: {d.what_to_do}" for d in caught.value.diagnostics]


def defaults(name, **fields):
    return {"Kind": "service-defaults", "Name": name, **fields}


L7 = {"files": {"permissions": [{"action": "allow", "http": {"path_prefix": "/"}}]}}
L4 = {"files": "allow"}


def test_intentions_with_permissions_come_after_the_protocol(declare):
    found = declare("config-entry", intentions={"Web": L7}, config_entries=[defaults("web", Protocol="http")])
    assert needs(found["config-entry/service-intentions/Web"]) == {"config-entry/service-defaults/Web", "config-entry/proxy-defaults/global"}
    assert needs(found["config-entry/service-defaults/web"]) == after(found["config-entry/service-defaults/web"]) == set()


def test_on_the_way_back_from_http_permissions_go_first(declare):
    found = declare("config-entry", intentions={"web": L4}, config_entries=[defaults("web", Protocol="tcp")])
    # what is live says that they go first; a retained service-defaults is no reason to keep intentions
    for one in found.values():
        assert needs(one) == after(one) == set()
        assert one.stands_on == frozenset()


@pytest.mark.parametrize("protocol", [{}, {"Protocol": "tcp"}, {"Protocol": "grpc"}])
@pytest.mark.parametrize("sources", [L4, L7])
def test_intentions_and_defaults_never_wait_for_each_other(declare, protocol, sources):
    found = declare("config-entry", intentions={"web": sources}, config_entries=[defaults("web", **protocol)])
    one, other = "config-entry/service-intentions/web", "config-entry/service-defaults/web"
    assert not (other in needs(found[one]) | after(found[one]) and one in needs(found[other]) | after(found[other]))


def test_a_jwt_provider_comes_before_intentions_that_name_it(declare):
    jwt = {"Providers": [{"Name": "okta"}]}
    entry = {"Kind": "service-intentions", "Name": "web", "JWT": jwt, "Sources": [{"Name": "a", "Action": "allow"}]}
    assert needs(declare("config-entry", config_entries=[entry])["config-entry/service-intentions/web"]) == {"config-entry/jwt-provider/okta"}


def test_grants_and_external_services_come_before_the_gateway_that_links_them(declare):
    policies = {
        "gateway": {"rules": {"service": {"gw": "write"}}},
        "service": {"rules": 'service "db" { policy = "write" }'},
        "prefix": {"rules": {"service_prefix": {"d": "write"}}},
        "reader": {"rules": {"service": {"db": "read"}}},
        "other": {"rules": {"service": {"mail": "write"}, "node": {"db": "write"}}},
    }
    services = {
        "db": {"node": "n1", "address": "a", "port": 1},
        "label": {"service": "db", "node": "n2", "address": "a", "port": 1, "id": "second"},
        "mail": {"node": "n3", "address": "a", "port": 1},
    }
    found = declare(
        "config-entry",
        mesh_credentials={"policies": policies},
        external_services=services,
        terminating_gateways={"gw": {"services": {"db": {}}}, "all": {"services": {"*": {}}}},
    )
    assert needs(found["config-entry/terminating-gateway/gw"]) == {
        "acl-policy/gateway", "acl-policy/service", "acl-policy/prefix", "external-service/n1/db", "external-service/n2/second",
    }  # fmt: skip
    assert after(found["config-entry/terminating-gateway/gw"]) == {"config-entry/service-defaults/db"}
    everything = needs(found["config-entry/terminating-gateway/all"])
    assert everything >= {"acl-policy/other", "acl-policy/gateway", "external-service/n3/mail"}
    assert "acl-policy/reader" not in everything


def test_mistakes_in_config_entries_have_their_places(declare):
    found = mistakes(declare, "config-entry", config_entries=[defaults("web", Protocl="http", upstream_config={"defaults": {"Limit": {}}})])
    assert found == [
        "config-entry/service-defaults/web.Protocl: is not a field of this kind of config entry: did you mean Protocol?",
        "config-entry/service-defaults/web.upstream_config.defaults.Limit: is not a field of this kind of config entry: did you mean Limits?",
    ]


def test_a_permission_without_a_condition_is_refused(declare):
    found = mistakes(declare, "config-entry", intentions={"web": {"files": {"permissions": [{"action": "deny"}]}}})
    subject = "config-entry/service-intentions/web.Sources.files.Permissions.0"
    assert found == [f"{subject}: has no condition on the request: write path_prefix: / (PathPrefix) for all requests"]


def test_options_are_not_fields(declare):
    (desired,) = declare("config-entry", config_entries=[defaults("web", protect=True, on_removal="retain", adopt=True)]).values()
    assert (desired.fields, desired.protect, desired.on_removal, desired.adopt) == ({}, True, OnRemoval.RETAIN, True)


def service(**fields):
    return {"node": "n", "address": "10.0.0.1", "port": 1, **fields}


def test_services_on_one_node_have_one_node(declare):
    entries = {"a": service(node_meta={"x": "1"}), "b": service(id="b", node_meta={"x": "1"}, protect=True)}
    (node,) = declare("external-node", external_services=entries).values()
    assert node.fields == {"address": "10.0.0.1", "meta": {"x": "1"}}
    assert node.protect


@pytest.mark.parametrize(
    ("choices", "together"),
    [
        ((None, None), None),
        (("delete", "delete"), OnRemoval.DELETE),
        (("delete", None), None),
        (("retain", "delete"), OnRemoval.RETAIN),
        ((None, "retain"), OnRemoval.RETAIN),
    ],
)
def test_a_node_is_kept_for_the_one_that_is_to_stay(declare, choices, together):
    entries = {f"s{n}": service(id=f"s{n}", **({"on_removal": choice} if choice else {})) for n, choice in enumerate(choices)}
    (node,) = declare("external-node", external_services=entries).values()
    assert node.on_removal is together


@pytest.mark.parametrize(("key", "value"), [("udp", "a:1"), ("disable_redirects", True)])
def test_what_a_transaction_would_lose_is_refused(declare, key, value):
    found = mistakes(declare, "external-service", external_services={"a": service(checks={"alive": {key: value}})})
    assert found == [f"external-service/n/a.checks.alive.{key}: is not stored by Consul for external services: remove it"]


def test_an_external_service_comes_after_its_node(declare):
    (desired,) = declare("external-service", external_services={"a": service(id="X", tags=["b", "a", "b"])}).values()
    assert str(desired.address) == "external-service/n/X"
    assert needs(desired) == {"external-node/n"}
    assert desired.fields == {"service": "a", "port": 1, "tags": ["a", "b"]}


def rights(kind, desired, *, write):
    return {(p.resource, p.segment, p.access) for p in all_kinds()[kind].permissions(Wanted(desired.address, "demo", desired), write=write)}


def test_rights(declare):
    found = declare("config-entry", intentions={"web": L4}, terminating_gateways={"gw": {"services": {}}}, config_entries=[defaults("web")])
    asked = {name.split("/")[1]: rights("config-entry", desired, write=True) for name, desired in found.items()}
    assert asked == {
        "service-intentions": {("intention", "web", "read"), ("intention", "web", "write")},
        "terminating-gateway": {("service", "gw", "read"), ("mesh", "", "write")},
        "service-defaults": {("service", "web", "read"), ("service", "web", "write")},
    }
    (node,) = declare("external-node", external_services={"a": service()}).values()
    assert rights("external-node", node, write=False) == {("node", "n", "read")}
    (one,) = declare("external-service", external_services={"a": service()}).values()
    assert rights("external-service", one, write=True) == {("node", "n", "read"), ("service", "a", "read"), ("service", "a", "write")}
    (key,) = declare("kv", kv={"a/b": "c"}).values()
    assert rights("kv", key, write=True) == {("key", "a/b", "read"), ("key", "a/b", "write")}


def test_a_right_names_who_needs_it(declare):
    (key,) = declare("kv", kv={"a/b": "c"}).values()
    assert list(all_kinds()["kv"].permissions(Wanted(key.address, "demo", key), write=False)) == [Permission("key", "a/b", "read", key.address)]
