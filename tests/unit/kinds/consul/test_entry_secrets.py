"""Secrets in config entries as the manifest has them, without a server."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest

from reconciler.kinds.consul._entries import DECLARATIONS
from reconciler.kinds.consul._forms import Keyed, Named, Rows, Table
from reconciler.kinds.consul._spelling import folded
from reconciler.kinds.consul._values import Free
from reconciler.manifest.entry_secrets import FREE_MAPS
from reconciler.manifest.loading import load_text, load_texts
from reconciler.manifest.sensitive import holds_private_key, is_sensitive_name
from reconciler.manifest.stored import literal_secrets
from reconciler.model.errors import ManifestError
from reconciler.model.secret import Secret, SecretSource


def text(*entries):
    return "\n".join(["version: 1", "name: demo", "config_entries:", *(f"- {entry}" for entry in entries)])


def body(*entries):
    return load_text(text(*entries)).manifest.config_entries[0].body


def free_maps(shape, name=""):
    if isinstance(shape, Free):
        yield name
    elif isinstance(shape, Table):
        for field, inner in shape.fields.items():
            yield from free_maps(inner, field)
    elif isinstance(shape, Rows | Keyed | Named):
        yield from free_maps(shape.element, name)


def test_every_free_map_takes_references():
    assert {folded(name) for d in DECLARATIONS.values() for name in free_maps(d.form)} == FREE_MAPS


@pytest.mark.parametrize(
    "name", ["password", "x-api-key", "signingKey", "API_TOKEN", "apiKeys", "db.secret", "client_secret_2", "HTTPToken", "token1"]
)
def test_names_that_tell(name):
    assert is_sensitive_name(name)


@pytest.mark.parametrize("name", ["", "token_url", "key_file", "passwordPolicy", "protocol", "-", "env"])
def test_names_that_do_not(name):
    assert not is_sensitive_name(name)


def keys(*each):
    return json.dumps({"keys": list(each)})


def test_key_sets_with_private_keys():
    for private in ({"kty": "oct", "k": "x"}, {"kty": "RSA", "n": "x", "d": "y"}):
        assert holds_private_key(keys(private))
        assert holds_private_key(base64.b64encode(keys({"kty": "RSA", "n": "x"}, private).encode()).decode())
    for public in (keys({"kty": "RSA", "n": "x"}), "e30=", "", "nonsense", "[1]", '{"keys": 1}', '{"keys": [1]}', "€"):
        assert not holds_private_key(public)


def test_a_free_map_itself_is_no_reference():
    assert body("{Kind: proxy-defaults, Name: global, Meta: {env: production}, Config: {file: x}}")["Meta"] == {"env": "production"}


def test_a_reference_inside_of_one_is():
    found = body("{Kind: proxy-defaults, Name: global, Config: {a: {env: A}, b: [{exec: [x]}], envoy: {b: {file: y}}}}")["Config"]
    assert found == {"a": SecretSource("env", "A"), "b": [SecretSource("exec", ("x",))], "envoy": {"b": SecretSource("file", "y")}}


@pytest.mark.parametrize(("reference", "what"), [
    ("{generate: {bytes: 8}}", "must not be generated here"),
    ("{env: 1x}", "must be"),
    ("{kv: ''}", "must"),
])  # fmt: skip
def test_a_wrong_reference_is_named_with_its_place(reference, what):
    with pytest.raises(ManifestError) as caught:
        load_text(text(f"{{Kind: proxy-defaults, Name: global, Config: {{list: [{{a: {reference}}}]}}}}"))
    (diagnostic,) = caught.value.diagnostics
    assert diagnostic.what.startswith("Config.list[0].a.")
    assert what in diagnostic.what
    assert str(diagnostic.place).startswith("manifest.yaml:4:")


def test_literals_are_warned_of_and_keep_a_plan_from_being_stored():
    loaded = load_text(text(
        "{Kind: proxy-defaults, Name: global, Config: {admin: {token: abc}}}",
        f"{{Kind: jwt-provider, Name: j, JSONWebKeySet: {{Local: {{JWKS: '{keys({'kty': 'oct', 'k': 'abc'})}'}}}}}}",
        "{Kind: service-defaults, Name: web, Meta: {token_url: 'https://example.com'}}",
    ))  # fmt: skip
    assert [d.subject for d in loaded.warnings] == ["config-entry/proxy-defaults/global", "config-entry/jwt-provider/j"]
    assert ["abc" in str(d) for d in (*loaded.warnings, *literal_secrets(loaded))] == [False] * 4
    assert body("{Kind: proxy-defaults, Name: global, Config: {admin: {token: abc, length: 3}}}")["Config"] == {
        "admin": {"token": Secret("abc"), "length": 3}
    }


def test_a_reference_in_an_overlay_replaces_what_was_there():
    base = text("{Kind: proxy-defaults, Name: global, Config: {a: {file: x}, b: {c: 1, d: 2}}, Meta: {env: production}}")
    over = text("{Kind: proxy-defaults, Name: global, Config: {a: {env: X}, b: {d: 3}}, Meta: {file: x}}")
    found = load_texts([("a.yaml", base), ("b.yaml", over)], Path()).manifest.config_entries[0].body
    assert found["Config"] == {"a": SecretSource("env", "X"), "b": {"c": 1, "d": 3}}
    assert found["Meta"] == {"env": "production", "file": "x"}
