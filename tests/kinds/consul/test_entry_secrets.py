"""Secrets inside config entries, on a real Consul: from references and by the names of their keys; never in a record, a plan or a report."""

from __future__ import annotations

import base64
import json

import pytest

from reconciler.report.json import dumps, plan_document
from reconciler.report.markdown import plan_markdown
from reconciler.report.text import drift_text, plan_text

ALL = ("from-env", "from-file", "from-kv", "in-a-list", "by-its-name", "deep-by-its-name", "in-a-header", "in-meta", "more-in-a-list")
KEYS = base64.b64encode(json.dumps({"keys": [{"kty": "oct", "k": "c2VjcmV0"}]}).encode()).decode()


def extension(argument, name="builtin/lua"):
    return {"Name": name, "Arguments": {"ProxyType": "connect-proxy", "Listener": "inbound", "Script": "x", **argument}}


@pytest.fixture
def manifest(tmp_path, environment):
    """Secrets in every place that takes them."""
    (tmp_path / "secret").write_text("from-file\n")
    environment |= {"A": "from-env", "B": "in-a-list", "C": "in-a-header", "D": "more-in-a-list", "JWKS": KEYS}
    return {
        "kv": {"app/password": "from-kv"},
        "config_entries": [
            {
                "Kind": "proxy-defaults", "Name": "global",
                "Config": {
                    "protocol": "http", "a": {"env": "A"}, "b": {"c": {"file": "secret"}}, "d": {"kv": "app/password"}, "list": ["x", {"env": "B"}],
                    "admin_password": "by-its-name", "limit": 3, "auth": {"signingKey": {"text": "deep-by-its-name", "bits": 256}},
                },
                "Meta": {"env": "production", "x-token": "in-meta"},
            },
            {"Kind": "service-defaults", "Name": "web", "Protocol": "http", "EnvoyExtensions": [
                extension({"Authorization": {"env": "D"}}), extension({"Authorization": "plain"})]},
            {"Kind": "service-router", "Name": "web", "Routes": [{"Match": {"HTTP": {"PathPrefix": "/"}}, "Destination": {"RequestHeaders": {
                "Add": {"Authorization": {"env": "C"}}}}}]},
            {"Kind": "jwt-provider", "Name": "keys", "JSONWebKeySet": {"Local": {"JWKS": {"env": "JWKS"}}}},
        ],
    }  # fmt: skip


def stored(consul, name):
    return {k: v for k, v in consul.get(f"/v1/config/{name}").items() if v}


def shown(plan):
    return "\n".join([plan_text(plan), drift_text(plan), dumps(plan_document(plan, "plan")), plan_markdown(plan), repr(plan)])


def hides(text):
    assert [secret for secret in (*ALL, KEYS, "changed!") if secret in text] == []


def test_they_reach_consul_and_nothing_else(tool, consul, manifest):
    planned = tool.apply(manifest)
    hides(shown(planned))
    config = stored(consul, "proxy-defaults/global")["Config"]
    assert config == {
        "protocol": "http", "a": "from-env", "b": {"c": "from-file"}, "d": "from-kv", "list": ["x", "in-a-list"], "admin_password": "by-its-name",
        "limit": 3, "auth": {"signingKey": {"text": "deep-by-its-name", "bits": 256}},
    }  # fmt: skip
    assert stored(consul, "proxy-defaults/global")["Meta"] == {"env": "production", "x-token": "in-meta"}
    assert [e["Arguments"]["Authorization"] for e in stored(consul, "service-defaults/web")["EnvoyExtensions"]] == ["more-in-a-list", "plain"]
    assert stored(consul, "service-router/web")["Routes"][0]["Destination"]["RequestHeaders"]["Add"] == {"Authorization": "in-a-header"}
    assert stored(consul, "jwt-provider/keys")["JSONWebKeySet"]["Local"]["JWKS"] == KEYS
    hides(b"\n".join(consul.keys("reconciler/").values()).decode())
    assert tool.drift(manifest).is_empty


def test_a_changed_secret_is_written_and_one_that_somebody_changed_put_back(tool, consul, manifest, environment):
    tool.apply(manifest)
    environment |= {"A": "changed!", "D": "changed!"}
    planned = tool.apply(manifest)
    assert [(str(c.address).removeprefix("config-entry/"), [f.path for f in c.fields], [str(r) for r in c.reasons]) for c in planned.changes] == [
        ("proxy-defaults/global", [("Config", "a")], ["manifest changed"]),
        ("service-defaults/web", [("EnvoyExtensions",)], ["manifest changed"]),
    ]
    hides(shown(planned))
    assert "EnvoyExtensions.0.Arguments.Authorization: (secret) changed" in plan_text(planned)
    assert stored(consul, "proxy-defaults/global")["Config"]["a"] == "changed!"
    live = stored(consul, "proxy-defaults/global")
    live["Config"]["a"] = live["Config"]["admin_password"] = "changed! by somebody"
    consul.put("/v1/config", live)
    assert tool.drift(manifest).is_empty, "nothing tells that it was changed but the secret itself"
    (change,) = tool.apply(manifest).changes
    assert [f.path for f in change.fields] == [("Config", "a"), ("Config", "admin_password")]
    hides(repr(change))


def test_an_edit_beside_a_secret_is_shown_without_it(tool, consul, manifest):
    tool.apply(manifest)
    live = stored(consul, "service-defaults/web")
    live["EnvoyExtensions"][0]["Arguments"]["Script"] = "theirs"
    live["EnvoyExtensions"].insert(0, extension({"Authorization": "in another place, in-a-list"}))
    consul.put("/v1/config", live)
    for found in (tool.drift(manifest), tool.apply(manifest)):
        hides(shown(found))
        assert "theirs" in shown(found)


def test_somebody_elses_entry_that_is_in_the_way_is_not_shown(tool, consul, manifest, environment):
    tool.apply(manifest)
    consul.put("/v1/config", {"Kind": "proxy-defaults", "Name": "global", "Config": {"protocol": "http", "token": "by-its-name", "a": "from-env"}})
    hides(shown(tool.drift(manifest)))


def test_a_secret_that_is_none_any_more_is_taken_out(tool, consul, manifest):
    tool.apply(manifest)
    config = manifest["config_entries"][0]["Config"]
    del config["a"], config["list"], config["auth"]
    hides(shown(tool.apply(manifest)))
    assert stored(consul, "proxy-defaults/global")["Config"].keys() == {"protocol", "b", "d", "admin_password", "limit"}
