"""What is imported of all that is live, and what is not."""

from urllib.parse import quote

import pytest

from reconciler.importing.request import Request
from reconciler.model.errors import AccessDenied, ReconcilerError
from tests.importing.meshes import OTHER_SECRET, SECRET, make_every_form
from tests.importing.test_round_trips import document, with_secrets


@pytest.fixture
def made(mesh):
    make_every_form(mesh.consul, mesh.postgres)
    return mesh


def names(text):
    """Everything that a manifest names, section by section."""
    found = document(text)
    credentials = found.pop("mesh_credentials", {})
    entries = {e["Kind"] + "/" + e["Name"] for e in found.pop("config_entries", ())}
    sections = {section: set(found[section]) for section in found if section not in ("version", "name")}
    return {**sections, **{part: set(credentials[part]) for part in credentials}, **({"config_entries": entries} if entries else {})}


def test_a_service_brings_all_that_belongs_to_it_and_nothing_else(made, imported):
    taken = names(imported(services=("ledger",)).text)
    assert taken == {
        "policies": {"ledger"},
        "tokens": {"several", "by-role"},  # one has its policy, the other a templated policy with its name
        "terminating_gateways": {"exit"},
        "external_services": {"ledger"},
        "intentions": {"ledger"},
        "config_entries": {"service-defaults/ledger"},
        "kv": {"ledger/db-user", "ledger/db-name", "ledger/db-password"},
        "db_roles": {"ledger", "readers", "secretive"},  # the last two have rights in its database
        "databases": {"ledger"},
    }


def test_what_keys_point_to_belongs_to_their_service_under_whatever_name(mesh, imported):
    for key, value in {"app/db-username": "adm", "app/db-name": "stock", "app/db-password": SECRET, "app/title": "other"}.items():
        mesh.consul.put(f"/v1/kv/{key}", value.encode())
    for statement in (f"CREATE ROLE adm LOGIN PASSWORD '{SECRET}'", "CREATE ROLE other", "CREATE DATABASE stock", "CREATE DATABASE other"):
        mesh.postgres.query(statement)
    assert names(imported(services=("app",)).text) == {
        "kv": {"app/db-username", "app/db-name", "app/db-password", "app/title"},
        "db_roles": {"adm"},
        "databases": {"stock"},
    }


def test_kinds_and_addresses_narrow_what_is_taken(made, imported):
    assert names(imported(kinds=("acl-policy",)).text) == {"policies": {"shop-policy", "shop-reader", "ledger", "empty"}}
    assert names(imported(globs=("kv/shop/*", "config-entry/*/shop")).text) == {
        "kv": {"shop/api-token", "shop/on"},
        "intentions": {"shop"},
        "config_entries": {"service-defaults/shop"},
    }
    assert names(imported(kinds=("external-node",)).text) == {"external_services": {"ledger", "mail@Outside", "mail@second"}}
    assert names(imported(kinds=("kv",), services=("ledger",)).text) == {"kv": {"ledger/db-user", "ledger/db-name", "ledger/db-password"}}
    with pytest.raises(ReconcilerError, match="nothing matches all"):
        imported(globs=("kv/shop/*",), kinds=("acl-policy",))


@pytest.mark.parametrize(
    ("choices", "told"),
    [
        ({"services": ("shop", "ledgr")}, "nothing is found for the service ledgr: did you mean ledger?"),
        ({"globs": ("kv/plain", "kv/shop")}, "nothing is found at kv/shop: did you mean 'kv/shop/*'?"),
        ({"globs": ("kv/ledger/db-user", "kv/ledger/db-nam")}, "nothing is found at kv/ledger/db-nam: did you mean kv/ledger/db-name?"),
        ({"globs": ("kv/none/*",)}, "nothing is found at kv/none/*"),
        ({"globs": ("db_roles/ledger",)}, "db_roles/ledger is no address: its kind is none of acl-policy,"),
    ],
)
def test_a_choice_that_takes_nothing_is_an_error_even_beside_others(made, imported, choices, told):
    with pytest.raises(ReconcilerError) as raised:
        imported(**choices)
    assert str(raised.value).startswith(told)


def test_keys_belong_to_the_part_of_a_service_that_they_name(mesh, imported):
    for key in ("files/db-name", "files/db-password", "files/title"):
        mesh.consul.put(f"/v1/kv/{key}", b"files-adm" if key.endswith("name") else b"x")
    mesh.consul.put("/v1/catalog/register", {"Node": "outside", "Address": "db.example.com", "Service": {"Service": "files-db", "Port": 5432}})
    mesh.sql('CREATE DATABASE "files-adm"')
    assert names(imported(services=("files-db",)).text) == {
        "external_services": {"files-db"},
        "kv": {"files/db-name", "files/db-password"},
        "databases": {"files-adm"},
    }
    assert names(imported(services=("files",)).text)["kv"] == {"files/db-name", "files/db-password", "files/title"}


@pytest.mark.parametrize(
    ("glob", "kind", "wanted"),
    [
        ("*", "kv", True), ("kv/*", "kv", True), ("k*", "kv", True), ("*/x", "kv", True), ("db-role/a", "db-role", True),
        ("kv/*", "db-role", False), ("kv", "kv", False),
    ],
)  # fmt: skip
def test_only_kinds_that_can_match_are_wanted(glob, kind, wanted):
    assert Request("mesh", globs=(glob,)).may_want(kind) is wanted


def test_what_nobody_would_manage_is_not_taken(mesh, imported):
    session = mesh.consul.put("/v1/session/create", {"Name": "somebody's", "Checks": []})["ID"]
    mesh.consul.put(f"/v1/kv/app/leader?acquire={session}", b"me")
    mesh.consul.put(f"/v1/kv/app/.lock?flags={0x2DDCCBC058A50C18}", b"")
    mesh.consul.put("/v1/kv/reconciler/lock/other", b"{}")
    mesh.consul.put("/v1/kv/app/x", b"y")
    mesh.consul.put("/v1/agent/service/register", {"Name": "local", "Port": 80})
    mesh.consul.put("/v1/catalog/register", {"Node": "empty", "Address": "10.0.0.3"})
    mesh.postgres.query("CREATE DATABASE pattern IS_TEMPLATE true")
    first = imported()
    assert names(first.text) == {"kv": {"app/x"}}
    assert [what for what, _ in first.left_out] == ["database/default/pattern", "external-node/empty"]


def test_what_another_manifest_owns_is_left_out_and_named(made, imported):
    mesh = made
    theirs = {"name": "theirs", **document(imported(globs=("kv/shop/on", "external-service/*/ledger-1", "acl-policy/ledger")).text)} | {
        "name": "theirs"
    }
    mesh.apply_all(theirs)
    mesh.apply_all(
        {"name": "theirs-too", "mesh_credentials": {"tokens": {"any": document(imported().text)["mesh_credentials"]["tokens"]["by-role"]}}}
    )
    first = imported()
    owned = {what: why for what, why in first.left_out if "owned" in why}
    assert owned == {
        "kv/shop/on": "owned by theirs",
        "acl-policy/ledger": "owned by theirs",
        "external-service/Outside/ledger-1": "owned by theirs",
        "external-service/Outside/mail": "owned by theirs",  # its node is
        "acl-token/by-role": "owned by theirs-too",  # under whatever label
    }
    assert "#   acl-token/by-role: owned by theirs-too\n" in first.text
    assert "#   owned by theirs:\n#     acl-policy/ledger\n" in first.text
    assert all(f"#     {what}\n" in first.text for what in owned if what != "acl-token/by-role")
    plan = mesh.plan(with_secrets(mesh, first))
    assert [str(r) for r in plan.refusals] == []
    too = imported(owned_too=True)
    assert not [why for _, why in too.left_out if "owned" in why]
    assert "shop/on" in document(too.text)["kv"]


def test_what_the_same_manifest_owns_is_said_again_under_its_own_label(made, imported):
    manifest = document(imported(kinds=("acl-token",)).text)
    tokens = manifest["mesh_credentials"]["tokens"]
    tokens["mine"] = tokens.pop("by-role")
    made.apply_all(manifest)
    again = document(imported(kinds=("acl-token",)).text)
    assert again["mesh_credentials"] == manifest["mesh_credentials"]
    assert made.plan(again).is_empty


def test_secrets_become_references(made, imported):
    # a password under a key that does not look like one, and what no key holds
    made.consul.put("/v1/kv/elsewhere/harmless", SECRET.encode())
    first = imported()
    found = document(first.text)
    assert found["db_roles"]["ledger"]["password"] == {"kv": "ledger/db-password"}
    assert found["db_roles"]["secretive"]["password"] == {"env": "ROLE_SECRETIVE_PASSWORD"}
    assert "password" not in found["db_roles"]["readers"]
    assert found["kv"]["ledger/db-password"] == {"env": "KV_LEDGER_DB_PASSWORD"}
    assert found["kv"]["shop/api-token"] == {"value": {"env": "KV_SHOP_API_TOKEN"}, "flags": 7}
    assert found["kv"]["elsewhere/harmless"] == {"env": "KV_ELSEWHERE_HARMLESS"}
    assert found["prepared_queries"]["shop-query"]["token"] == {"env": "QUERY_SHOP_QUERY_TOKEN"}
    assert all(f"#   {name}: {needed.what}\n" in first.text for name, needed in first.variables)
    everything = [t["SecretID"] for t in made.http("GET", "/v1/acl/tokens")]
    assert [s for s in (SECRET, OTHER_SECRET, "tok-en", *everything) if s in first.text] == []


def test_two_secrets_never_share_a_variable(mesh, imported):
    for key in ("a/b-token", "a/b_token", "a.b/token"):
        mesh.consul.put(f"/v1/kv/{quote(key)}", key.encode())
    found = document(imported().text)["kv"]
    assert sorted(entry["env"] for entry in found.values()) == ["KV_A_B_TOKEN", "KV_A_B_TOKEN_2", "KV_A_B_TOKEN_3"]


def test_what_cannot_be_said_is_a_comment_and_the_rest_is_said(mesh, imported):
    mesh.consul.put("/v1/acl/policy", {"Name": "misspelt", "Rules": 'srvice "web" { policy = "write" }'})
    mesh.consul.put("/v1/acl/policy", {"Name": "sound", "Rules": 'service "web" { policy = "write" }'})
    mesh.consul.put("/v1/catalog/register", {"Node": "n", "Address": "a", "Service": {"Service": "portless"}})
    mesh.postgres.query('CREATE ROLE none_such; CREATE ROLE "Public"')
    first = imported()
    assert names(first.text) == {"policies": {"sound"}, "db_roles": {"none_such", "Public"}}
    assert dict(first.left_out) == {
        "acl-policy/misspelt": "rules: line 1 of the text: srvice is not an ACL rule, and Consul ignores it",
        "external-service/n/portless": "port is 0",
    }
    assert "#   external-service/n/portless: port is 0\n" in first.text


def test_without_a_place_for_postgres_it_is_not_looked_for(mesh, imported):
    mesh.consul.put("/v1/kv/app/x", b"y")
    for name in list(mesh.environment):
        if name.startswith("PG"):
            del mesh.environment[name]
    first = imported()
    assert any("Postgres was not looked at" in warning for warning in first.warnings)
    assert "# Postgres was not looked at" in first.text
    assert imported(kinds=("kv",)).warnings == ()


def test_an_answer_that_is_not_whole_is_told(mesh, imported):
    for key in ("seen/x", "hidden/x"):
        mesh.consul.put(f"/v1/kv/{key}", b"y")
    mesh.environment["CONSUL_HTTP_TOKEN"] = mesh.consul.token_for(
        'key_prefix "seen/" { policy = "read" } key_prefix "reconciler/" { policy = "read" }'
    )
    first = imported(kinds=("kv",))
    assert names(first.text) == {"kv": {"seen/x"}}
    assert any("keys" in warning for warning in first.warnings)
    with pytest.raises(AccessDenied):
        imported(kinds=("acl-policy",))


def test_rights_inside_a_database_are_parts_of_its_entry(made, imported):
    tables = "CREATE TABLE app.a (); CREATE TABLE app.b (); CREATE TABLE other.c (); CREATE TABLE other.d ()"
    made.sql(f"{tables}; GRANT SELECT, INSERT ON ALL TABLES IN SCHEMA app TO readers; GRANT SELECT ON other.c TO readers", "ledger")
    first = imported(services=("ledger",))
    assert first.left_out == ()
    assert document(first.text)["databases"]["ledger"] == {
        "owner": "ledger",
        "connection_limit": 3,
        "schemas": {"app": {"owner": "ledger"}, "other": {"owner": "postgres"}},
        "grants": {
            "PUBLIC": {"database": ["TEMPORARY"]},
            "readers": {
                "all tables in schema app": ["INSERT", "SELECT"],
                "schema app": ["USAGE"],
                "table other.c": ["SELECT"],
            },
            "secretive": {"database": {"privileges": ["CONNECT", "TEMPORARY"], "grantable": True}},
        },
        "default_privileges": {
            "ledger: functions to PUBLIC": {"owner": "ledger", "on": "functions", "to": "PUBLIC", "privileges": []},
            "ledger: tables in schema app to readers": {
                "owner": "ledger", "schema": "app", "on": "tables", "to": "readers", "privileges": ["SELECT"],
            },
        },
    }  # fmt: skip
    assert document(imported().text)["db_roles"]["ledger"]["member_of"] == {"readers": {"admin": True}}
