"""Resources that change hands: adopted as they are, given to another manifest, found again on a system with another identity."""

import re
import shlex
import threading

import pytest

from tests.servers.counting_proxy import CountingProxy
from tests.servers.postgres import PostgresServer

# --- adopting ---


def test_adopting_by_hand_writes_nothing_but_records_and_the_next_apply_changes_what_differs(reconciler, write, consul, live):
    for key, value in {"app/name": b"theirs", "app/same": b"same", "app/password": b"their secret"}.items():
        consul.put(f"/v1/kv/{key}", value)
    file = write("kv: {app/name: ours, app/same: same, app/password: {env: PASSWORD}, app/absent: x}\n")
    reconciler = reconciler.having(PASSWORD="our secret")
    refused = reconciler("plan", file, expect=5).out
    [typed] = re.findall(r"kv/app/name: .* \(to take it over as it is for now: reconciler (.*)\)\n", refused)
    before = live()
    run = reconciler(*shlex.split(typed), expect=0)
    assert (
        run.out
        == "kv/app/name belongs to mesh now, and differs from the manifest: the next apply changes it (live → manifest)\n    value: theirs → ours\n"
    )
    everything = reconciler("owned", "adopt", "kv/app/same", "kv/app/passw*", file, expect=0).out
    assert "kv/app/same belongs to mesh now, and is as the manifest says\n" in everything
    assert "    value: (secret) changed\n" in everything
    assert {p["Key"]: p["ModifyIndex"] for p in live()["kv"] if p["Key"].startswith("app/")} == {p["Key"]: p["ModifyIndex"] for p in before["kv"]}
    planned = reconciler("plan", "--format", "json", file, expect=0).json
    assert {c["address"]: (c["action"], c["reasons"]) for c in planned["changes"]} == {
        "kv/app/absent": ("create", ["new"]),
        "kv/app/name": ("update", ["manifest"]),
        "kv/app/password": ("update", ["manifest"]),
    }
    reconciler("apply", "--auto-approve", file, expect=0)
    assert consul.keys("app/") == {"app/name": b"ours", "app/same": b"same", "app/password": b"our secret", "app/absent": b"x"}
    shown = reconciler("owned", "show", "kv/app/name", file, expect=0).out
    assert "    origin: adopted\n" in shown
    assert "    last applied:\n        value: ours\n" in shown
    assert re.search(r"    written: \S+ by run [0-9a-f]{32}\n", shown)


def test_what_cannot_be_adopted(reconciler, write, consul, live):
    reconciler("apply", "--auto-approve", write("kv: {shared/name: x}\n", name="first", file="first.yaml"), expect=0)
    consul.put("/v1/kv/app/here", b"x")
    file = write("kv: {shared/name: x, app/here: x, app/absent: x}\n")
    before = live()
    owned = reconciler("owned", "adopt", "kv/*", file, expect=5)
    assert owned.err.startswith("reconciler: error: kv/shared/name: belongs to the manifest 'first': ")
    absent = reconciler("owned", "adopt", "kv/app/absent", "kv/app/here", file, expect=1)
    assert absent.err == "reconciler: error: kv/app/absent does not exist: there is nothing to adopt\n"
    misspelt = reconciler("owned", "adopt", "kv/app/her", file, expect=1)
    assert misspelt.err.endswith(": did you mean kv/app/here?\n")
    assert "Give addresses and then the files of the manifest." in reconciler("owned", "adopt", file, expect=1).err
    assert live() == before
    reconciler("owned", "adopt", "kv/app/*", file, expect=0)
    again = reconciler("owned", "adopt", "kv/app/here", file, expect=1)
    assert again.err == "reconciler: error: kv/app/here is owned by 'mesh' already: there is nothing to adopt\n"


def test_an_entry_that_says_adopt_is_consent_enough(reconciler, write, consul):
    consul.put("/v1/kv/app/name", b"theirs")
    file = write("kv: {app/name: {value: ours, adopt: true}}\n")
    done = reconciler("apply", "--auto-approve", file, expect=0)
    assert done.last == "Apply complete: 0 added, 0 changed, 0 replaced, 0 deleted, 1 adopted, 0 forgotten."
    assert consul.keys("app/") == {"app/name": b"ours"}
    assert reconciler("plan", "--detailed-exitcode", file).code == 0


# --- to another manifest ---


def test_a_transfer_is_refused_where_the_new_manifest_has_no_entry(reconciler, write, live):
    first = write("kv: {a: x, b: x}\n", name="first", file="first.yaml")
    reconciler("apply", "--auto-approve", first, expect=0)
    second = write("kv: {a: x}\n", name="second", file="second.yaml")
    before = live()
    refused = reconciler("owned", "transfer", "kv/*", "--from", "first", second, expect=5)
    assert "kv/b: not declared in 'second', whose next apply would remove it: add its entry first" in refused.err
    for arguments, message in {
        ("kv/c", "--from", "first", second): "kv/c is not owned by 'first': ",
        ("kv/*", "--from", "frist", second): "kv/* is not owned by 'frist': see reconciler owned list --name frist",
        ("kv/a", "--from", "first"): "Give FILE or --to: the manifest that shall own them.",
        ("kv/a", "--from", "first", "--to", "second", second): "Give FILE or --to: the manifest that shall own them.",
        ("kv/a", second): "Give addresses, and --from with the name of the manifest that owns them.",
        ("kv/a", "--from", "second", second): "second and second are one and the same manifest name",
        ("--system", "x", second): "--system takes OLD=NEW, not 'x'.",
        ("--system", "x=default", first): "'first' owns nothing on a system 'x': ",
    }.items():
        assert message in reconciler("owned", "transfer", *arguments, expect=1).err
    assert live() == before
    assert reconciler("owned", "transfer", "kv/*", "--from", "first", "--to", "second", expect=0).out.count(" belongs to second now.\n") == 2
    assert reconciler("plan", second, expect=0).out.startswith("- kv/b (no longer in the manifest)\n")


def test_a_need_that_stays_behind_is_told(reconciler, write, consul):
    first = write("mesh_credentials: {policies: {app: {rules: {}}}, tokens: {app: {policies: [app]}}}\n", name="first", file="first.yaml")
    reconciler("apply", "--auto-approve", first, expect=0)
    second = write("mesh_credentials: {tokens: {app: {policies: [app]}}}\n", name="second", file="second.yaml")
    run = reconciler("owned", "transfer", "acl-token/app", "--from", "first", second, expect=0)
    assert run.err == "reconciler: warning: acl-token/app needs acl-policy/app, which still belongs to 'first'\n"
    assert reconciler("plan", "--detailed-exitcode", second).code == 0
    reconciler("destroy", "--auto-approve", second, expect=0)
    assert [p["Name"] for p in consul.get("/v1/acl/policies") if p["Name"] == "app"] == ["app"]


def test_both_manifests_are_locked_while_resources_change_hands(reconciler, write, consul):
    first = write("kv: {a: x}\n", name="first", file="first.yaml")
    reconciler("apply", "--auto-approve", first, expect=0)
    second = write("kv: {a: x}\n", name="second", file="second.yaml")
    others: dict[str, object] = {}

    def meanwhile(writing):
        if b"reconciler/owned/kv/a" in writing.body:
            keys = sorted(consul.keys("reconciler/lock/"))
            others.update({file: reconciler("apply", "--auto-approve", file).code for file in (first, second)}, keys=keys)
            others["back"] = reconciler("owned", "transfer", "kv/a", "--from", "second", "--to", "first").code

    with CountingProxy(consul.address, before=meanwhile) as proxy:
        reconciler.having(CONSUL_HTTP_ADDR=proxy.address)("owned", "transfer", "kv/a", "--from", "first", second, expect=0)
    assert others == {first: 4, second: 4, "keys": ["reconciler/lock/first", "reconciler/lock/second"], "back": 4}
    assert consul.keys("reconciler/lock/") == {}


@pytest.mark.parametrize("taken", ["first", "second"])
def test_a_lock_that_is_taken_away_stops_a_transfer(reconciler, write, consul, taken):
    first = write("kv: {a: x}\n", name="first", file="first.yaml")
    reconciler("apply", "--auto-approve", first, expect=0)
    before = consul.keys("reconciler/owned/")
    done = threading.Event()

    def take(writing):
        if b"reconciler/owned/kv/a" in writing.body and not done.is_set():
            done.set()
            reconciler("unlock", taken, "--yes", expect=0)

    with CountingProxy(consul.address, before=take) as proxy:
        lost = reconciler.having(CONSUL_HTTP_ADDR=proxy.address)("owned", "transfer", "kv/a", "--from", "first", "--to", "second", expect=3)
    assert "the lock was lost" in lost.err
    assert consul.keys("reconciler/owned/") == before


# --- to a system with another identity ---


@pytest.fixture(scope="module")
def another_postgres(no_settings_of_the_developer):
    with PostgresServer() as server:
        yield server


def test_records_follow_a_postgres_that_was_restored_elsewhere(reconciler, write, postgres18, another_postgres, consul):
    body = "db_roles: {app: {login: true, password: {env: PASSWORD}}, gone: {login: true}}\ndatabases: {app: {owner: app}}\n"
    file = write(body)
    reconciler = reconciler.having(PASSWORD="the same")
    reconciler("apply", "--auto-approve", file, expect=0)
    [old], [new] = (s.query("SELECT system_identifier::text AS identity FROM pg_control_system()") for s in (postgres18, another_postgres))
    verifier = postgres18.query("SELECT rolpassword FROM pg_authid WHERE rolname = 'app'")[0]["rolpassword"]
    another_postgres.query(f"CREATE ROLE app LOGIN PASSWORD '{verifier}'")
    another_postgres.query("CREATE DATABASE app OWNER app")
    moved = reconciler.having(**another_postgres.environment)
    refused = moved("plan", file, expect=5).out
    assert f"reconciler owned transfer --system {old['identity']}=NEW --name mesh" in refused
    typed = ("owned", "transfer", "--system", f"{old['identity']}=default")
    still = reconciler(*typed, file, expect=5)
    assert f"postgres default still has the identity {old['identity']}: nothing is to be moved" in still.err
    wrong = moved("owned", "transfer", "--system", f"{old['identity']}=elsewhere", file, expect=1)
    assert "there is no postgres system 'elsewhere': write one of default" in wrong.err
    run = moved(*typed, file, expect=0)
    where = f"postgres default ({new['identity']})"
    assert run.out == (
        f"database/default/app is on {where} now.\ndb-role/default/app is on {where} now.\n"
        "db-role/default/gone was not found there, or nothing tells that it is ours: forgotten.\n"
    )
    assert sorted(consul.keys("reconciler/owned/")) == [f"reconciler/owned/{kind}/{new['identity']}/app" for kind in ("database", "db-role")]
    assert moved("plan", file, expect=0).last == "Plan: 1 to add, 0 to change, 0 to replace, 0 to delete, 0 to adopt, 0 to forget."
    assert moved("drift", file, expect=0).last == "No drift. Live state matches what was last applied."
    [oid] = another_postgres.query("SELECT oid::text AS oid FROM pg_database WHERE datname = 'app'")
    records = moved("owned", "show", "database/default/app", "--format", "json", file, expect=0).json["records"]
    assert (records[0]["incarnation"], records[0]["needs"]) == (oid["oid"], [f"reconciler/owned/db-role/{new['identity']}/app"])
    write("")
    deleted = moved("apply", "--auto-approve", file, expect=0)
    assert deleted.last == "Apply complete: 0 added, 0 changed, 0 replaced, 2 deleted, 0 adopted, 0 forgotten."


def test_records_do_not_follow_to_a_system_that_has_none_of_it(reconciler, write, another_postgres, postgres18, consul):
    another_postgres.wipe()
    file = write("db_roles: {app: {login: true}}\n")
    reconciler("apply", "--auto-approve", file, expect=0)
    [old] = postgres18.query("SELECT system_identifier::text AS identity FROM pg_control_system()")
    before = consul.keys("reconciler/owned/")
    moved = reconciler.having(**another_postgres.environment)
    refused = moved("owned", "transfer", "--system", f"{old['identity']}=default", "--name", "mesh", expect=5)
    assert "none of the 1 resources that 'mesh' owns on " in refused.err
    assert consul.keys("reconciler/owned/") == before


def test_what_differs_on_the_new_system_is_told_and_put_right_by_the_next_apply(reconciler, write, another_postgres, postgres18):
    another_postgres.wipe()
    file = write("db_roles: {app: {login: true, createdb: true}}\n")
    reconciler("apply", "--auto-approve", file, expect=0)
    another_postgres.query("CREATE ROLE app LOGIN")
    [old] = postgres18.query("SELECT system_identifier::text AS identity FROM pg_control_system()")
    moved = reconciler.having(**another_postgres.environment)
    run = moved("owned", "transfer", "--system", f"{old['identity']}=default", file, expect=0)
    assert run.out.endswith(" now, and differs from what was last applied in createdb.\n")
    assert moved("apply", "--auto-approve", file, expect=0).last.startswith("Apply complete: 0 added, 1 changed, ")
    assert moved("plan", "--detailed-exitcode", file).code == 0
