"""What is refused, exit 5, with the whole plan shown and nothing changed: other systems, other owners, protected things, many or costly deletions."""

import json

import pytest

from tests.servers.postgres import PostgresServer

DATABASE = "db_roles: {app: {login: true}}\ndatabases: {app: {owner: app}}\n"


@pytest.fixture
def unchanged_by(live):
    """Runs a command that must change nothing and end with 5; gives the last paragraphs, with the reasons."""

    def run(command, *arguments, reasons=1):
        before = live()
        run = command(*arguments)
        assert run.code == 5, str(run)
        words = "1 reason" if reasons == 1 else f"{reasons} reasons"
        assert run.err == f"reconciler: refused: {words}, at the end of the plan; nothing was changed\n"
        assert live() == before
        return run.out

    return run


# --- the right system ---


@pytest.fixture(scope="module")
def another_postgres(no_settings_of_the_developer):
    with PostgresServer() as server:
        yield server


def test_a_server_that_was_pointed_elsewhere(reconciler, write, unchanged_by, another_postgres):
    file = write(DATABASE)
    reconciler("apply", "--auto-approve", file, expect=0)
    moved = reconciler.having(**another_postgres.environment)
    for arguments in (("plan", file), ("apply", "--auto-approve", file), ("destroy", "--auto-approve", file), ("drift", file)):
        shown = unchanged_by(moved, *arguments)
        assert "2 owned resources (database/" in shown
        assert "a server or host was re-pointed, or its section is gone" in shown
        for name in ("database/", "/app, db-role/", "/app) are on the system "):
            assert name in shown[shown.index("Refused:") :], shown
    assert another_postgres.query("SELECT FROM pg_roles WHERE rolname = 'app'") == []
    write(DATABASE)
    assert reconciler("plan", "--detailed-exitcode", file).code == 0


def test_a_server_whose_section_is_gone(reconciler, write, unchanged_by):
    file = write(DATABASE)
    reconciler("apply", "--auto-approve", file, expect=0)
    shown = unchanged_by(reconciler.having(PGHOST="postgres.invalid"), "plan", write("postgres: {}\nkv: {app/name: files}\n"))
    assert "2 owned resources (database/" in shown


def test_renaming_a_server_changes_nothing(reconciler, write):
    reconciler("apply", "--auto-approve", write("postgres: {one: {}}\n" + DATABASE), expect=0)
    assert reconciler("plan", "--detailed-exitcode", write("postgres: {another: {}}\n" + DATABASE)).code == 0


def test_one_server_under_two_names(reconciler, write, live):
    file = write("postgres: {one: {}, two: {}}\ndb_roles: {a: {server: one, login: true}, b: {server: two, login: true}}\n")
    before = live()
    for arguments in (("plan", file), ("apply", "--auto-approve", file)):
        run = reconciler(*arguments)
        assert (run.code, run.out) == (1, "")
        assert run.err.startswith("reconciler: error: postgres one and postgres two are one and the same system (")
        assert run.err.endswith("): name it once\n")
    assert live() == before


# --- whose it is ---


def test_what_another_manifest_owns(reconciler, write, unchanged_by):
    reconciler("apply", "--auto-approve", write("kv: {shared/name: files}\n" + DATABASE, name="first"), expect=0)
    second = write("kv: {shared/name: files}\n" + DATABASE, name="second")
    shown = unchanged_by(reconciler, "plan", second, reasons=3)
    for address in ("kv/shared/name", "db-role/default/app", "database/default/app"):
        advice = (
            f"remove it from one of the two manifests (reconciler owned show '{address}' --name first), "
            f"or move it here: reconciler owned transfer '{address}' --from first mesh.yaml"
        )
        assert f"× {address}: belongs to the manifest 'first': {advice}\n" in shown
    unchanged_by(reconciler, "apply", "--auto-approve", "--adopt", "*", second, reasons=3)
    owner = reconciler("owned", "show", "kv/shared/name", "--name", "first", expect=0)
    assert "    manifest: first\n" in owner.out


def test_what_nobody_owns_is_adopted_only_with_consent_when_it_differs(reconciler, write, consul, unchanged_by):
    consul.put("/v1/kv/app/same", b"same")
    consul.put("/v1/kv/app/name", b"theirs")
    file = write("kv: {app/same: same, app/name: ours}\n")
    shown = unchanged_by(reconciler, "apply", "--auto-approve", file)
    assert "» kv/app/same (exists already)\n" in shown
    assert (
        "× kv/app/name: exists and was not made by this manifest; it differs in value: "
        "to take it over and change it: reconciler apply --adopt 'kv/app/name' mesh.yaml "
        "(to take it over as it is for now: reconciler owned adopt 'kv/app/name' mesh.yaml)\n" in shown
    )
    assert "        value: theirs → ours\n" in shown
    reconciler("apply", "--auto-approve", "--adopt", "kv/app/name", file, expect=0)
    assert consul.keys("app/") == {"app/same": b"same", "app/name": b"ours"}
    removed = reconciler("apply", "--auto-approve", write(""), expect=0)
    assert removed.last == "Apply complete: 0 added, 0 changed, 0 replaced, 0 deleted, 0 adopted, 2 forgotten."
    assert consul.keys("app/") == {"app/same": b"same", "app/name": b"ours"}, "what was adopted is kept when its entry is gone"


# --- consent ---


def test_what_is_protected(reconciler, write, consul, unchanged_by):
    file = write("kv: {app/name: {value: files, protect: true}}\n")
    reconciler("apply", "--auto-approve", file, expect=0)
    advice = "if it may go: reconciler owned unprotect 'kv/app/name' --name mesh"
    assert f"× kv/app/name: is protected and would be deleted: {advice}\n" in unchanged_by(reconciler, "destroy", "--auto-approve", file)
    write("")
    assert f"is protected and would be deleted: {advice}\n" in unchanged_by(reconciler, "apply", "--auto-approve", file)
    assert reconciler("owned", "unprotect", "kv/app/name", "--name", "mesh", expect=0).out == "kv/app/name is no longer protected.\n"
    reconciler("apply", "--auto-approve", file, expect=0)
    assert consul.keys() == {}


def test_more_deletions_than_are_likely_to_be_meant(reconciler, write, consul, unchanged_by):
    ten = {f"app/{n}": "x" for n in range(10)}
    file = write(json.dumps({"kv": ten})[1:-1] + "\n")
    reconciler("apply", "--auto-approve", file, expect=0)
    write(json.dumps({"kv": dict(list(ten.items())[4:])})[1:-1] + "\n")
    shown = unchanged_by(reconciler, "apply", "--auto-approve", file)
    advice = "name what may go with --allow-delete GLOB, or raise --max-deletes"
    assert f"× this plan deletes 4 of 10 owned resources, more than --max-deletes 30% (3): {advice}\n" in shown
    assert shown.endswith("\nPlan: 0 to add, 0 to change, 0 to replace, 4 to delete, 0 to adopt, 0 to forget.\n")
    for consent in (("--max-deletes", "4"), ("--max-deletes", "40%"), ("--allow-delete", "kv/app/0")):
        reconciler("plan", *consent, file, expect=0)
    write("")
    shown = unchanged_by(reconciler, "apply", "--auto-approve", "--max-deletes", "100%", file)
    assert "× this plan deletes everything that 'mesh' owns (10 resources), as if this were another manifest under the same name: " in shown
    reconciler("apply", "--auto-approve", "--allow-delete", "*", file, expect=0)
    assert consul.keys() == {}


def test_data_that_would_be_lost(reconciler, write, postgres18, unchanged_by):
    file = write(DATABASE)
    reconciler("apply", "--auto-approve", file, expect=0)
    postgres18.query("CREATE TABLE orders (id int); CREATE TABLE stock (id int); INSERT INTO stock SELECT generate_series(1, 1000)", database="app")
    write("kv: {app/name: files}\n")
    for command in ("apply", "destroy"):
        shown = unchanged_by(reconciler, command, "--auto-approve", file)
        assert "× database/default/app: deleting it would lose 2 tables, " in shown
        assert shown.count("if that is meant: --allow-data-loss 'database/default/app'\n") == 1
    reconciler("apply", "--auto-approve", "--allow-data-loss", "database/default/app", file, expect=0)
    assert postgres18.query("SELECT FROM pg_database WHERE datname = 'app'") == postgres18.query("SELECT FROM pg_roles WHERE rolname = 'app'") == []


def test_a_role_that_still_owns_things(reconciler, write, postgres18, unchanged_by):
    file = write("db_roles: {app: {login: true}}\n")
    reconciler("apply", "--auto-approve", file, expect=0)
    postgres18.query("CREATE TABLE public.orders (id int); ALTER TABLE public.orders OWNER TO app")
    shown = unchanged_by(reconciler, "destroy", "--auto-approve", file)
    assert (
        "× db-role/default/app: deleting it would lose 1 object in database postgres: if that is meant: --allow-data-loss 'db-role/default/app'\n"
        in shown
    )
    reconciler("destroy", "--auto-approve", "--allow-data-loss", "db-role/*", file, expect=0)
    assert postgres18.query("SELECT FROM pg_tables WHERE tablename = 'orders'") == []


# --- the branch that one sits on ---


def test_what_the_run_itself_uses(reconciler, write, consul, postgres18, unchanged_by):
    """Its token, that token's policy, its role: deleting or changing them is refused to this run, not to another one."""
    file = write(
        "mesh_credentials:\n"
        "  policies: {all: {rules: {acl: write, operator: write, key_prefix: {'': write}, node_prefix: {'': write}, service_prefix: {'': write},"
        " session_prefix: {'': write}, agent_prefix: {'': read}}}}\n"
        "  tokens: {own: {policies: [all]}}\n"
        "db_roles: {chief: {login: true, superuser: true, password: {env: CHIEF}}}\n"
    )
    reconciler = reconciler.having(CHIEF="chief of this")
    reconciler("apply", "--auto-approve", file, expect=0)
    [secret] = [t["SecretID"] for t in tokens(consul) if t["Description"] == "" and t["Policies"]]
    itself = reconciler.having(CONSUL_HTTP_TOKEN=secret, PGUSER="chief", PGPASSWORD="chief of this")
    shown = unchanged_by(itself, "destroy", "--auto-approve", file, reasons=3)
    for address in ("acl-policy/all", "acl-token/own", "db-role/default/chief"):
        assert f"× {address}: this run itself uses it, and would delete it: run with other credentials\n" in shown
    reconciler("destroy", "--auto-approve", file, expect=0)
    assert postgres18.query("SELECT FROM pg_roles WHERE rolname = 'chief'") == []


def tokens(consul):
    return [consul.get(f"/v1/acl/token/{token['AccessorID']}") for token in consul.get("/v1/acl/tokens")]


def test_what_another_manifest_uses_is_not_deleted(reconciler, write, unchanged_by):
    policy = "mesh_credentials: {policies: {shared: {rules: {}}}}\nkv: {app/name: files}\n"
    reconciler("apply", "--auto-approve", write(policy), expect=0)
    reconciler(
        "apply", "--auto-approve", write("mesh_credentials: {tokens: {user: {policies: [shared]}}}\n", name="user", file="user.yaml"), expect=0
    )
    file = write("kv: {app/name: files}\n")
    advice = "let that go first, or if it may break: --allow-delete 'acl-policy/shared'"
    for arguments in (("apply", "--auto-approve", file), ("destroy", "--auto-approve", file)):
        shown = unchanged_by(reconciler, *arguments)
        assert f"acl-policy/shared: would be deleted, but acl-token/user of user needs it: {advice}\n" in shown
    reconciler("apply", "--auto-approve", "--allow-delete", "acl-policy/shared", file, expect=0)
