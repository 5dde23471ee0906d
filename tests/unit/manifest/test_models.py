"""What the models hold of what is written."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from reconciler.manifest.fields import Duration
from reconciler.manifest.loaded import LoadedManifest
from reconciler.manifest.loading import load, load_text
from reconciler.manifest.models import AclToken, KvEntry, Manifest, RulesText
from reconciler.model.address import Address
from reconciler.model.secret import Generate, Reference, Secret, SecretSource

HEAD = "version: 1\nname: x\n"


def loaded(text: str, directory: Path = Path()) -> LoadedManifest:
    return load_text(HEAD + text, directory)


def manifest(text: str, directory: Path = Path()) -> Manifest:
    return loaded(text, directory).manifest


# secrets


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("text", "text"),
        ('""', ""),
        ("{env: A}", SecretSource("env", "A")),
        ("{file: ../a}", SecretSource("file", "../a")),
        ("{exec: [a, '']}", SecretSource("exec", ("a", ""))),
        ("{kv: b/c}", Reference(Address.of("kv", "b/c"), "value")),
        ("{generate: {bytes: 24, encoding: base64}}", Generate(24, "base64")),
        ("{generate: {}}", Generate(16, "hex")),
        (
            "{bootstrap_token: {file: a, password: {env: B}}}",
            SecretSource("bootstrap_token", {"file": "a", "password": SecretSource("env", "B")}),
        ),
    ],
)
def test_kv_value_in_its_short_and_its_long_form(written, value):
    assert manifest(f"kv: {{a: {written}}}").kv["a"].value == value
    assert manifest(f"kv: {{a: {{value: {written}}}}}").kv["a"].value == value


def test_literal_password_is_a_secret_and_gives_a_warning():
    read = loaded("db_roles: {r: {password: hunter2}}")

    assert read.manifest.db_roles["r"].password == Secret("hunter2")
    assert "hunter2" not in repr(read)
    assert [str(w) for w in read.warnings] == [
        "manifest.yaml:3:26: db-role/default/r: password holds a secret in plain text: write a reference such as {env: NAME} or {file: PATH}"
    ]


def test_every_literal_secret_gives_a_warning():
    read = loaded("""\
consul: {token: {bootstrap_token: {file: f, password: hunter2}}}
postgres: {s: {password: hunter2, sslpassword: hunter2}}
mesh_credentials: {cluster: {password: hunter2}}
prepared_queries: {q: {service: {service: s}, token: hunter2}}
kv: {a/password: hunter2, plain: {value: hunter2, sensitive: true}, b/api_KEY: {value: not one, sensitive: false}, c/text: plain}
""")

    assert [(d.place.line, d.subject) for d in read.warnings if d.place] == [
        (3, "consul.token.bootstrap_token.password"),
        (4, "postgres.s.password"),
        (4, "postgres.s.sslpassword"),
        (5, "mesh_credentials.cluster.password"),
        (6, "prepared-query/q"),
        (7, "kv/a/password"),
        (7, "kv/plain"),
    ]


@pytest.mark.parametrize(
    ("key", "entry", "masked"),
    [
        ("a/db-password", {"value": "x"}, True),
        ("a/API_TOKEN", {"value": "x"}, True),
        ("password/a", {"value": "x"}, False),
        ("a/b", {"value": {"env": "A"}}, True),
        ("a/b", {"value": {"env": "A"}, "sensitive": False}, False),
        ("a/key", {"value": "x", "sensitive": False}, False),
        ("a/b", {"value": "x", "sensitive": True}, True),
    ],
)
def test_value_is_masked_when_it_is_a_reference_or_its_key_says_so(key, entry, masked):
    assert KvEntry.model_validate(entry).is_masked(key) is masked


# defaults


def test_labels_stand_for_names_and_the_service_for_its_id():
    read = manifest("""\
mesh_credentials: {policies: {p: {rules: ""}, q: {name: other, rules: ""}}, roles: {r: {}}}
external_services: {s: {node: n, address: a, port: 1, checks: {c: {tcp: "a:1"}}}, t: {service: u, node: n, address: a, port: 2}}
intentions: {d: {s: allow, "*": {action: deny}}}
prepared_queries: {q: {service: {service: s}}}
db_roles: {r: {}}
databases: {d: {schemas: {s: {}}, extensions: {e: {}}}}
""")

    policies = read.mesh_credentials.policies
    assert (policies["p"].name, policies["q"].name, read.mesh_credentials.roles["r"].name) == ("p", "other", "r")
    s, t = read.external_services["s"], read.external_services["t"]
    assert (s.service, s.id, t.service, t.id) == ("s", "s", "u", "u")
    assert s.checks is not None
    assert (s.checks["c"].id, s.checks["c"].name) == ("c", "c")
    assert [source.name for source in read.intentions["d"].sources.values()] == ["s", "*"]
    assert read.prepared_queries["q"].name == "q"
    database = read.databases["d"]
    assert (read.db_roles["r"].name, database.name) == ("r", "d")
    assert database.schemas is not None
    assert database.extensions is not None
    assert (database.schemas["s"].name, database.extensions["e"].name) == ("s", "e")


@pytest.mark.parametrize(
    ("postgres", "server"),
    [("", "default"), ("postgres: {main: {}}\n", "main"), ("postgres: {}\n", "default")],
)
def test_only_server_is_the_default(postgres, server):
    read = manifest(postgres + "db_roles: {r: {}}\ndatabases: {d: {}}")

    assert read.servers == (server,)
    assert read.db_roles["r"].server == read.databases["d"].server == server


def test_what_is_not_written_is_told_from_what_is_empty():
    token = manifest("mesh_credentials: {tokens: {t: {policies: []}}}").mesh_credentials.tokens["t"]

    assert "policies" in token.model_fields_set
    assert "policies" not in AclToken.model_validate({}).model_fields_set


# shapes


def test_file_of_a_token_may_be_one_or_several():
    tokens = manifest("mesh_credentials: {tokens: {t: {file: {path: /a}}, u: {file: [{path: /b}, {path: /c, mode: '640'}]}}}").mesh_credentials.tokens

    assert [(f.host, f.path, f.mode) for f in tokens["t"].file] == [("local", "/a", "0600")]
    assert [(f.path, f.mode) for f in tokens["u"].file] == [("/b", "0600"), ("/c", "0640")]


def test_intentions_in_their_short_and_long_forms_are_the_same():
    short = manifest("intentions: {d: {s: allow}}").intentions["d"]
    long = manifest("intentions: {d: {sources: {s: {action: allow}}}}").intentions["d"]

    assert short.sources == long.sources


def test_source_named_sources_is_a_source():
    assert list(manifest("intentions: {d: {sources: allow}}").intentions["d"].sources) == ["sources"]


def test_memberships_may_be_a_list():
    assert (
        manifest("db_roles: {r: {member_of: [a, b]}}").db_roles["r"].member_of
        == manifest("db_roles: {r: {member_of: {a: {}, b: {}}}}").db_roles["r"].member_of
    )


def test_config_entry_keeps_its_fields_as_written():
    entry = manifest("config_entries: [{Kind: service-defaults, Name: A, Protocol: tcp, mesh_gateway: {Mode: local}, protect: true}]").config_entries[
        0
    ]

    assert (entry.Kind, entry.Name, entry.protect) == ("service-defaults", "A", True)
    assert entry.body == {"Protocol": "tcp", "mesh_gateway": {"Mode": "local"}}


def test_mesh_needs_no_name():
    assert manifest("config_entries: [{Kind: mesh}]").config_entries[0].Name == "mesh"


def test_rules_are_a_mapping_or_text_or_the_text_of_a_file(tmp_path):
    (tmp_path / "r.hcl").write_text('acl = "read"\n', encoding="utf-8")
    policies = manifest(
        "mesh_credentials: {policies: {a: {rules: {acl: read}}, b: {rules: 'acl = \"read\"'}, c: {rules: {file: r.hcl}}}}", tmp_path
    ).mesh_credentials.policies

    assert policies["a"].rules == {"acl": "read"}
    assert isinstance(policies["b"].rules, RulesText)
    assert isinstance(policies["c"].rules, RulesText)
    assert policies["c"].rules == 'acl = "read"\n'


def test_rules_file_that_is_too_large_or_no_text_is_refused(tmp_path):
    for name, content in (("large", b"x" * 1_000_001), ("binary", b"\xff")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(Exception, match="names a file"):
            manifest(f"mesh_credentials: {{policies: {{a: {{rules: {{file: {name}}}}}}}}}", tmp_path)


@pytest.mark.parametrize(
    ("written", "nanoseconds"),
    [("10s", 10 * 10**9), ("1m30s", 90 * 10**9), ("1.5h", 5400 * 10**9), ("250ms", 250 * 10**6), ("3us", 3000), ("3µs", 3000), ("7ns", 7)],
)
def test_durations(written, nanoseconds):
    consul = manifest(f"consul: {{timeout: {written}}}").consul

    assert consul is not None
    timeout = consul.timeout
    assert timeout == written
    assert isinstance(timeout, Duration)
    assert timeout.nanoseconds == nanoseconds
    assert timeout.seconds == nanoseconds / 10**9


def test_models_cannot_be_changed():
    read = manifest("kv: {a: b}")

    with pytest.raises(ValidationError):
        read.kv["a"].flags = 1  # type: ignore[misc]


@pytest.mark.parametrize("key", ["a", "a/b", "a/", "a//b", "..a/b", "a/b..", "Reconciler/a", "reconcilera", "é", "a" * 512, "reconciler"])
def test_ordinary_keys_are_accepted(key):
    assert key in manifest(f'kv: {{"{key}": b}}').kv


@pytest.mark.parametrize("name", ["PG_x", "Public", "user", "a b", "x" * 63, "é" * 31, '"', "a/b"])
def test_names_that_postgres_takes_are_accepted(name):
    assert manifest(f"db_roles: {{r: {{name: '{name}'}}}}").db_roles["r"].name == name


@pytest.mark.parametrize(
    "address", ["http://127.0.0.1:8500", "https://[::1]:8501", "consul.example.com:8500", "127.0.0.1", "unix:///run/consul.sock"]
)
def test_addresses_of_consul(address):
    read = manifest(f"consul: {{address: '{address}'}}").consul
    assert read is not None
    assert read.address == address


# places


def test_place_of_an_entry_is_its_label_and_of_a_value_the_value():
    read = loaded("kv:\n  a: b\nexternal_services:\n  s:\n    node: n\n    address: a\n    port: 1\n    tags: [x, y]\n    meta:\n      k: v\n")

    def place(*path):
        found = read.place(*path)
        return found.line, found.column

    assert place() == (1, 1)
    assert place("kv") == (3, 1)
    assert place("kv", "a") == (4, 3)
    assert place("kv", "a", "value") == (4, 6)
    assert place("external_services", "s") == (6, 3)
    assert place("external_services", "s", "port") == (9, 11)
    assert place("external_services", "s", "tags") == (10, 5)
    assert place("external_services", "s", "tags", 1) == (10, 15)
    assert place("external_services", "s", "meta", "k") == (12, 10)


def test_place_of_what_is_not_written_is_the_nearest_around_it():
    read = loaded("external_services:\n  s: {node: n, address: a, port: 1}\n")

    assert str(read.place("external_services", "s", "tags", 0)) == "manifest.yaml:4:3"
    assert str(read.place("files", "nothing")) == "manifest.yaml:1:1"


def test_place_of_the_only_token_file_needs_no_index_in_the_manifest():
    read = loaded("mesh_credentials:\n  tokens:\n    t:\n      file:\n        path: /a\n")

    assert str(read.place("mesh_credentials", "tokens", "t", "file", 0, "path")) == "manifest.yaml:7:15"
    assert str(read.place("mesh_credentials", "tokens", "t", "file", 0)) == "manifest.yaml:6:7"


# features


def test_features_name_everything_that_takes_a_kind():
    read = load([Path(__file__).with_name("everything.yaml")])

    assert {feature for feature, _, _ in read.features()} == {
        *("hosts", "postgres.via", "postgres.os_user", "postgres.password.kv", "secrets.bootstrap_token"),
        *("mesh_credentials.policies", "mesh_credentials.roles", "mesh_credentials.cluster", "mesh_credentials.tokens"),
        *(f"mesh_credentials.tokens.{f}" for f in ("file", "file.remote")),
        *("terminating_gateways", "terminating_gateways.process", "external_services", "intentions", "prepared_queries", "kv", "files"),
        *("config_entries.mesh", "config_entries.proxy-defaults", "config_entries.service-defaults"),
        *("db_roles", "db_roles.member_of", "db_roles.reassign_to"),
        *("databases", "databases.grants", "databases.schemas", "databases.extensions", "databases.default_privileges"),
    }


def test_features_say_once_for_each_entry_what_uses_them_and_where():
    read = loaded("kv:\n  a: b\n  c: d\ndatabases: {d: {grants: {}}}\n")

    assert [(feature, subject, str(place)) for feature, subject, place in read.features()] == [
        ("kv", "kv/a", "manifest.yaml:4:3"),
        ("kv", "kv/c", "manifest.yaml:5:3"),
        ("databases", "database/default/d", "manifest.yaml:6:13"),
        ("databases.grants", "database/default/d", "manifest.yaml:6:17"),
    ]


def test_empty_manifest_uses_nothing():
    assert list(loaded("").features()) == []


def test_several_services_behind_one_gateway_give_a_warning():
    (warning,) = loaded("terminating_gateways: {g: {services: {a: {}, b: {}}}}").warnings

    assert str(warning.place) == "manifest.yaml:3:24"
    assert warning.what == "stands in for 2 services"
    assert warning.what_to_do.startswith("give each service a gateway of its own")
