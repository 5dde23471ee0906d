"""A saved plan is applied exactly, or refused with the reason."""

import hashlib
import json
import re

import pytest

from tests.servers.consul import ConsulServer
from tests.servers.postgres import PostgresServer

MESH = """\
mesh_credentials:
  policies: {app: {rules: {file: rules/app.hcl}}}
  tokens: {app: {policies: [app], file: {path: TOKEN, mode: "0600"}}}
kv: {app/name: files, app/password: {generate: {bytes: 16}}, app/api-key: {file: api.key}}
db_roles: {app: {login: true, password: {kv: app/password}}, reader: {login: true, password: {env: READER}}}
databases: {app: {owner: app}}
"""
OUT = ("--out", "mesh.plan")


@pytest.fixture
def folder(tmp_path):
    """Where the manifest lies, with what it refers to."""
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules" / "app.hcl").write_text('key_prefix "app/" { policy = "read" }\n')
    (tmp_path / "api.key").write_text("the key of the interface\n")
    return tmp_path


@pytest.fixture
def mesh(write, folder):
    """The manifest's file."""
    return write(MESH.replace("TOKEN", str(folder / "token")))


@pytest.fixture
def reconciler(reconciler):
    return reconciler.having(READER="of the reader")


def edited(folder, change, *, sound=True):
    """The saved plan after ``change``, which gets and gives its JSON; with a digest that fits, unless it shall not."""
    path = folder / "mesh.plan"
    body = json.loads(path.read_text())
    del body["sha256"]
    change(body)
    digest = hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest() if sound else "0" * 64
    path.write_text(json.dumps(body | {"sha256": digest}))


# --- applied ---


def test_a_saved_plan_is_applied_without_asking_and_without_the_files_that_it_was_made_from(reconciler, mesh, folder, consul, postgres18, live):
    before = live()
    planned = reconciler("plan", *OUT, mesh, expect=0)
    assert planned.last == "Plan: 9 to add, 0 to change, 0 to replace, 0 to delete, 0 to adopt, 0 to forget."
    assert live() == before
    assert (folder / "mesh.plan").stat().st_mode & 0o777 == 0o600
    saved = (folder / "mesh.plan").read_text()
    assert not any(secret in saved for secret in ("the key of the interface", "of the reader"))
    (folder / mesh).unlink()
    (folder / "rules" / "app.hcl").unlink()
    done = reconciler("apply", "mesh.plan", expect=0)
    assert done.last == "Apply complete: 9 added, 0 changed, 0 replaced, 0 deleted, 0 adopted, 0 forgotten."
    assert done.out.startswith(planned.out)
    assert consul.keys("app/")["app/api-key"] == b"the key of the interface"
    assert postgres18.accepts("app", consul.keys("app/")["app/password"].decode())
    assert postgres18.accepts("reader", "of the reader")
    again = reconciler("apply", "mesh.plan", expect=5)
    assert "kv/app/name was to be changed (create) when this plan was saved, and needs nothing now: " in again.out


def test_a_plan_with_nothing_to_do_is_saved_too(reconciler, mesh):
    reconciler("apply", "--auto-approve", mesh, expect=0)
    reconciler("plan", *OUT, mesh, expect=0)
    assert reconciler("apply", "mesh.plan", expect=0).out == "No changes. Live state matches the manifest.\n"


def test_overlays_are_saved_as_they_were_merged(command, write, consul, folder):
    base = write("kv: {app/name: base, app/secret: a literal that is not in the plan}\n", file="base.yaml")
    (folder / "prod.yaml").write_text("kv: {app/name: prod, app/secret: {env: SECRET}}\n")
    command = command.having(SECRET="from outside")
    command("plan", *OUT, base, "prod.yaml", expect=0)
    assert "a literal" not in (folder / "mesh.plan").read_text()
    command("apply", "mesh.plan", expect=0)
    assert consul.keys("app/") == {"app/name": b"prod", "app/secret": b"from outside"}


def test_relative_paths_are_those_of_the_manifest_also_elsewhere(command, write, consul, folder):
    (folder / "first").mkdir()
    (folder / "first" / "secret").write_text("in the manifest's folder\n")
    write("kv: {app/secret: {file: secret}}\n", file="first/mesh.yaml")
    command("plan", "--out", "first/mesh.plan", "first/mesh.yaml", expect=0)
    (folder / "elsewhere.plan").write_bytes((folder / "first" / "mesh.plan").read_bytes())
    (folder / "secret").write_text("not this one\n")
    command("apply", "elsewhere.plan", expect=0)
    assert consul.keys("app/") == {"app/secret": b"in the manifest's folder"}
    command("destroy", "--auto-approve", "--name", "mesh", expect=0)
    (folder / "first").rename(folder / "second")  # another job of the same pipeline may have another folder
    command("apply", "second/mesh.plan", expect=0)
    assert consul.keys("app/") == {"app/secret": b"in the manifest's folder"}


def test_consents_and_the_part_are_saved(reconciler, write, folder, consul):
    consul.put("/v1/kv/app/name", b"theirs")
    file = write("kv: {app/name: ours, app/other: x}\n")
    refused = reconciler("plan", *OUT, file, expect=5)
    assert not (folder / "mesh.plan").exists(), refused
    reconciler("plan", *OUT, "--adopt", "kv/app/name", "--target", "kv/app/name", file, expect=0)
    for option in (("--adopt", "*"), ("--target", "kv/app/other"), ("--max-deletes", "3"), ("--allow-data-loss", "*")):
        wrong = reconciler("apply", "mesh.plan", *option, expect=1)
        assert f"A saved plan holds its own consents: leave out {option[0]}, or make the plan anew with it." in wrong.err
    shown = reconciler("apply", "mesh.plan", expect=0).out
    assert "This plan is partial: " in shown
    assert consul.keys("app/") == {"app/name": b"ours"}


def test_a_plan_to_destroy(reconciler, mesh, folder, live, consul):
    reconciler("apply", "--auto-approve", mesh, expect=0)
    planned = reconciler("plan", "--destroy", *OUT, mesh, expect=0)
    assert planned.last == "Plan: 0 to add, 0 to change, 0 to replace, 9 to delete, 0 to adopt, 0 to forget."
    assert reconciler("apply", "mesh.plan", expect=0).last == "Apply complete: 0 added, 0 changed, 0 replaced, 9 deleted, 0 adopted, 0 forgotten."
    assert consul.keys() == {}
    assert reconciler("plan", "--destroy", mesh, expect=0).out == "No changes. There is nothing to destroy.\n"


def test_the_size_of_what_is_lost_does_not_count(reconciler, write, postgres18):
    file = write("db_roles: {app: {login: true}}\ndatabases: {app: {owner: app}}\n")
    reconciler("apply", "--auto-approve", file, expect=0)
    postgres18.query("CREATE TABLE t (id int)", database="app")
    write("")
    reconciler("plan", *OUT, "--allow-data-loss", "database/default/app", file, expect=0)
    postgres18.query("CREATE TABLE u AS SELECT generate_series(1, 10000)", database="app")
    reconciler("apply", "mesh.plan", expect=0)
    assert postgres18.query("SELECT FROM pg_database WHERE datname = 'app'") == []


def test_data_that_came_after_a_plan_without_consent_is_not_lost(reconciler, write, postgres18):
    file = write("db_roles: {app: {login: true}}\ndatabases: {app: {owner: app}}\n")
    reconciler("apply", "--auto-approve", file, expect=0)
    write("")
    reconciler("plan", *OUT, file, expect=0)
    postgres18.query("CREATE TABLE t (id int)", database="app")
    assert "database/default/app: deleting it would lose 1 table" in reconciler("apply", "mesh.plan", expect=5).out


READING = 'acl = "read"\nkey_prefix "" { policy = "read" }\n'


def test_what_who_plans_may_not_read_is_compared_by_who_applies(reconciler, mesh, folder, consul):
    """Reading a token's secret takes acl:write: of the file the plan says *cannot compare*."""
    reconciler("apply", "--auto-approve", mesh, expect=0)
    (folder / mesh).write_text((folder / mesh).read_text().replace("app/name: files", "app/name: others"))
    reader = reconciler.having(CONSUL_HTTP_TOKEN=consul.token_for(READING))
    assert "Cannot compare:" in reader("plan", "--out", "first.plan", mesh, expect=0).out
    assert reader("apply", "first.plan").code == 1
    reconciler("apply", "first.plan", expect=0)
    assert consul.keys("app/")["app/name"] == b"others"

    (folder / mesh).write_text((folder / mesh).read_text().replace("app/name: others", "app/name: again"))
    reader("plan", "--out", "second.plan", mesh, expect=0)
    (folder / "token").write_text("something else\n")
    stale = reconciler("apply", "second.plan", expect=5)
    assert f"file/local{folder / 'token'}: is to be changed (update), but was not when this plan was saved: " in stale.out
    assert consul.keys("app/")["app/name"] == b"others"


# --- stale ---


def change_by_hand(consul, postgres, command, mesh):
    consul.put("/v1/kv/app/name", b"by hand")


def delete_by_hand(consul, postgres, command, mesh):
    consul.delete("/v1/kv/app/name")


def change_a_role(consul, postgres, command, mesh):
    postgres.query("ALTER ROLE reader CREATEDB CONNECTION LIMIT 3 PASSWORD 'x'")


def forget_one(consul, postgres, command, mesh):
    command("owned", "forget", "kv/app/name", mesh, expect=0)


def apply_it(consul, postgres, command, mesh):
    command("apply", "--auto-approve", mesh, expect=0)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (change_by_hand, "kv/app/name: has changed since this plan was saved, in value: "),
        (delete_by_hand, "kv/app/name: was to be changed otherwise when this plan was saved: update, now create: "),
        (change_a_role, "db-role/default/reader: is to be changed (update), but was not when this plan was saved: "),
        (forget_one, "kv/app/name: exists and was not made by this manifest; "),
        (apply_it, "kv/app/name was to be changed (update) when this plan was saved, and needs nothing now: "),
    ],
)
def test_a_plan_that_is_older_than_a_change_is_stale(reconciler, mesh, folder, consul, postgres18, live, change, said):
    reconciler("apply", "--auto-approve", mesh, expect=0)
    (folder / mesh).write_text((folder / mesh).read_text().replace("app/name: files", "app/name: others"))
    reconciler("plan", *OUT, mesh, expect=0)
    change(consul, postgres18, reconciler, mesh)
    before = live()
    stale = reconciler("apply", "mesh.plan", "--format", "text")
    assert stale.code == 5, str(stale)
    assert said in stale.out
    assert "reconciler: refused: " in stale.err
    assert live() == before


def test_what_was_planned_and_who_changed_it_is_in_the_json_of_a_refusal(reconciler, mesh, folder, consul):
    reconciler("plan", *OUT, mesh, expect=0)
    consul.put("/v1/kv/app/name", b"files")
    reconciler("apply", "mesh.plan", "--json-into", "run.json", expect=5)
    refusals = json.loads((folder / "run.json").read_text())["refusals"]
    assert [(r["rule"], r["address"]) for r in refusals] == [("stale", "kv/app/name")]


# --- bound to its systems ---


@pytest.fixture(scope="module")
def another_consul(no_settings_of_the_developer):
    with ConsulServer() as server:
        yield server


@pytest.fixture(scope="module")
def another_postgres(no_settings_of_the_developer):
    with PostgresServer() as server:
        yield server


def test_on_another_cluster_nothing_is_written_not_even_a_lock(reconciler, write, folder, another_consul, another_postgres, consul):
    file = write("kv: {app/name: files}\ndb_roles: {app: {login: true}}\n")
    reconciler("plan", *OUT, file, expect=0)
    elsewhere = reconciler.having(**another_consul.environment)("apply", "mesh.plan", expect=5)
    against = r"this plan was made against another Consul \(\S+/dc1, and this is \S+/dc1\): connect to that one, or make the plan anew"
    assert re.fullmatch(f"reconciler: error: {against}\n", elsewhere.err), elsewhere.err
    assert another_consul.keys() == {}
    assert another_consul.get("/v1/session/list") == []
    server = reconciler.having(**another_postgres.environment)("apply", "mesh.plan", expect=5)
    assert "this plan was made against another postgres default (" in server.err
    assert consul.keys() == {}
    reconciler("apply", "mesh.plan", expect=0)


# --- damaged, or of another version ---


@pytest.mark.parametrize(
    ("damage", "why"),
    {
        "edited": (lambda f: edited(f, lambda b: b["options"].update(adopt=["*"]), sound=False), "it was changed after it was made: make it anew"),
        "another manifest": (
            lambda f: (f / "mesh.plan").write_text((f / "mesh.plan").read_text().replace('"files"', '"other"')),
            "it was changed after it was made: make it anew",
        ),
        "cut off": (lambda f: (f / "mesh.plan").write_bytes((f / "mesh.plan").read_bytes()[:400]), "it is cut off or damaged: make it anew"),
        "no text": (lambda f: (f / "mesh.plan").write_bytes((f / "mesh.plan").read_bytes()[:200] + b"\xff\xfe"), "it is cut off or damaged: "),
        "another format": (lambda f: edited(f, lambda b: b.update(reconciler_plan=2)), "it has format 2, and this version reads 1: "),
        "another version": (lambda f: edited(f, lambda b: b.update(program="9.9.9")), "it was made by version 9.9.9, and this is "),
        "a part missing": (lambda f: edited(f, lambda b: b.pop("changes")), "it is damaged (KeyError): make it anew"),
        "no manifest": (lambda f: edited(f, lambda b: b["manifest"].update(tree={"at": [0, 1, 1], "is": 1})), "it holds no manifest that "),
    }.values(),
    ids=["edited", "another manifest", "cut off", "no text", "another format", "another version", "a part missing", "no manifest"],
)
def test_a_plan_that_is_not_as_it_was_made_is_not_applied(command, write, folder, live_consul, damage, why):
    command("plan", *OUT, write("kv: {app/name: files}\n"), expect=0)
    damage(folder)
    before = live_consul()
    run = command("apply", "--auto-approve", "mesh.plan", expect=1)
    assert run.err.startswith(f"reconciler: error: mesh.plan is a saved plan that must not be applied: {why}"), run.err
    assert run.out == ""
    assert live_consul() == before


def test_a_forged_plan_does_no_more_than_it_says(command, write, folder, consul):
    """The digest is no signature. A plan whose changes were rewritten to hide one is refused all the same, because it is made anew."""
    command("plan", *OUT, write("kv: {app/name: files, app/other: x}\n"), expect=0)
    edited(folder, lambda body: body["changes"].pop())
    assert "kv/app/other: is to be changed (create), but was not when this plan was saved: " in command("apply", "mesh.plan", expect=5).out
    assert consul.keys("app/") == {}


# --- what must not be saved, and where ---


def test_a_secret_in_the_manifest_itself_forbids_saving_it(reconciler, write, folder):
    file = write(
        "kv:\n  app/password: one\n  app/url: {value: two, sensitive: true}\n  app/key: {value: no secret, sensitive: false}\n"
        "db_roles:\n  app: {login: true, password: three}\n"
    )
    run = reconciler("plan", *OUT, file, expect=1)
    what = "holds a secret in plain text, which a saved plan must not hold: write a reference such as {env: NAME} or {file: PATH}"
    assert [line for line in run.err.splitlines() if ": warning: " not in line] == [
        f"mesh.yaml:4:17: kv/app/password: {what}, or sensitive: false when it is none",
        f"mesh.yaml:5:20: kv/app/url: value {what}, or sensitive: false when it is none",
        f"mesh.yaml:8:32: db-role/default/app: password {what}",
    ]
    assert not (folder / "mesh.plan").exists()
    reconciler("plan", file, expect=0)


def test_a_plan_file_in_the_wrong_place(command, write, folder):
    file = write("kv: {app/name: files}\n")
    text = (folder / file).read_text()
    assert f"Invalid value for --out: {file} is the manifest itself." in command("plan", "--out", f"./{file}", file, expect=1).err
    assert (folder / file).read_text() == text
    assert (
        command("plan", "--out", "absent/mesh.plan", file, expect=1).err == "reconciler: error: --out absent/mesh.plan: No such file or directory\n"
    )
    command("plan", *OUT, file, expect=0)
    for arguments in (("plan",), ("drift",), ("destroy", "--auto-approve"), ("validate",), ("owned", "list")):
        run = command(*arguments, "mesh.plan", expect=1)
        assert run.err == "reconciler: error: mesh.plan is a saved plan, and no manifest: only reconciler apply takes one\n"
    assert "A saved plan is applied alone: it holds its manifest." in command("apply", "--auto-approve", "mesh.plan", file, expect=1).err


def test_what_somebody_changed_is_not_deleted_by_an_older_plan(reconciler, write, consul):
    file = write("kv: {app/name: files, app/other: x}\n")
    reconciler("apply", "--auto-approve", file, expect=0)
    write("kv: {app/other: x}\n")
    reconciler("plan", *OUT, file, expect=0)
    consul.put("/v1/kv/app/name", b"precious")
    stale = reconciler("apply", "mesh.plan", expect=5)
    assert "kv/app/name: has changed since this plan was saved, in value" in stale.out
    assert consul.keys("app/")["app/name"] == b"precious"
