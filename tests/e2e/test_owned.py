"""The ownership records by hand, and destroying what a manifest made when its file is gone."""

import json
from datetime import UTC, datetime, timedelta

import pytest

MESH = """\
mesh_credentials: {policies: {app: {rules: {key_prefix: {app/: read}}}}}
kv: {app/name: files, app/kept: {value: x, protect: true}}
db_roles: {app: {login: true}}
databases: {app: {owner: app}}
"""


@pytest.fixture
def applied(reconciler, write):
    """The file of a manifest that was applied."""
    file = write(MESH)
    reconciler("apply", "--auto-approve", file, expect=0)
    return file


def test_a_record_is_shown_to_everybody_who_asks_for_its_address(reconciler, applied, postgres18):
    [row] = postgres18.query("SELECT system_identifier::text AS identity FROM pg_control_system()")
    by_file = reconciler("owned", "show", "db-role/default/app", applied, expect=0).out
    assert f"    system: postgres default ({row['identity']})\n" in by_file or f"    system: {row['identity']}\n" in by_file
    assert f"    key: reconciler/owned/db-role/{row['identity']}/app\n" in by_file
    assert "    last applied:\n        login: true\n" in by_file
    key = f"reconciler/owned/db-role/{row['identity']}/app"
    assert reconciler("owned", "show", key, "--format", "json", expect=0).json["records"][0]["manifest"] == "mesh"
    for arguments in (("kv/absent", applied), ("kv/app/name", "--name", "another")):
        run = reconciler("owned", "show", *arguments)
        assert run.code == 1
        assert run.err.startswith(f"reconciler: error: {arguments[0]} is not owned by ")


def test_a_token_is_shown_with_its_age_and_its_files(reconciler, write, consul, tmp_path):
    files = f"[{{path: {tmp_path}/one}}, {{path: {tmp_path}/two}}]"
    token = f"mesh_credentials: {{tokens: {{app: {{description: shown, file: {files}}}}}}}\n"
    third = f"files: {{three: {{path: {tmp_path}/three, content: no secret}}}}\n"
    file = write(token + third)
    reconciler("apply", "--auto-approve", file, expect=0)
    made = next(t for t in consul.get("/v1/acl/tokens") if t["Description"] == "shown")
    day, _, time = made["CreateTime"].partition("T")
    by_file = reconciler("owned", "show", "acl-token/app", file, expect=0).out
    assert f"    made: {day}T{time[:8]}+00:00\n" in by_file or not made["CreateTime"].endswith("Z")
    assert f"    held by: {tmp_path}/one on local, {tmp_path}/two on local\n" in by_file
    assert "superseded" not in by_file
    [record] = reconciler("owned", "show", "acl-token/app", "--format", "json", expect=0).json["records"]
    moment = datetime.fromisoformat(record["history"]["made"])
    assert moment.utcoffset() == timedelta() and timedelta() <= datetime.now(UTC) - moment < timedelta(minutes=5)
    assert [(file["path"], file["holds"]) for file in record["history"]["files"]] == [(f"{tmp_path}/one", "this"), (f"{tmp_path}/two", "this")]
    assert "history" not in reconciler("owned", "show", f"file/local{tmp_path}/three", "--format", "json", expect=0).json["records"][0]

    rules = 'key_prefix "" { policy = "read" }'
    policy = consul.put("/v1/acl/policy", {"Name": "may-read-keys", "Rules": rules})
    secret = consul.put("/v1/acl/token", {"Policies": [{"ID": policy["ID"]}]})["SecretID"]
    blind = reconciler.having(CONSUL_HTTP_TOKEN=secret)("owned", "show", "acl-token/app", file, expect=0).out
    assert "    made: not known: " in blind and f"held by: {tmp_path}/one on local" in blind
    consul.request("DELETE", f"/v1/acl/token/{made['AccessorID']}")
    assert "    made: not known: it does not exist any more\n" in reconciler("owned", "show", "acl-token/app", file, expect=0).out


def test_a_token_is_not_said_to_be_held_by_a_file_that_still_holds_the_old_one(reconciler, write, consul, tmp_path):
    (tmp_path / "two").mkdir()
    token = "mesh_credentials: {tokens: {app: {rotation: %d, file: [{path: %s/one}, {path: %s/two/it}]}}}\n"
    reconciler("apply", "--auto-approve", write(token % (0, tmp_path, tmp_path)), expect=0)
    (tmp_path / "two").chmod(0o777)  # nothing is written into a folder that anybody may write to
    file = write(token % (1, tmp_path, tmp_path))
    reconciler("apply", "--auto-approve", file, expect=3)
    assert f"    held by: {tmp_path}/one on local\n    still the old one: {tmp_path}/two/it on local\n" in shown_token(reconciler, file)
    (tmp_path / "two").chmod(0o700)
    reconciler("apply", "--auto-approve", file, expect=0)
    assert f"    held by: {tmp_path}/one on local, {tmp_path}/two/it on local\n" in shown_token(reconciler, file)
    assert (tmp_path / "one").read_text() == (tmp_path / "two" / "it").read_text()

    [key] = [key for key in consul.keys("reconciler/owned/file/") if key.endswith("/one")]
    body = json.loads(consul.keys(key)[key])
    (held,) = body.pop("holds").values()
    assert held.partition("@")[0] in {t["AccessorID"] for t in consul.get("/v1/acl/tokens")}
    for state, said in (("claiming", "not written"), ("owned", "not known")):  # of a run that was killed, and of an earlier version
        consul.put(f"/v1/kv/{key}", json.dumps(body | {"state": state}).encode())
        assert f"    held by: {tmp_path}/two/it on local\n    {said}: {tmp_path}/one on local\n" in shown_token(reconciler, file)


def shown_token(reconciler, file):
    return reconciler("owned", "show", "acl-token/app", file, expect=0).out


def test_what_is_forgotten_stays_and_is_adopted_by_the_next_apply(reconciler, applied, consul):
    assert reconciler("owned", "forget", "kv/app/name", applied, expect=0).out == "kv/app/name is no longer owned by mesh; it was left as it is.\n"
    assert consul.keys("app/")["app/name"] == b"files"
    assert "kv/app/name" not in reconciler("owned", "list", applied, expect=0).out
    planned = reconciler("plan", "--detailed-exitcode", applied, expect=2)
    assert planned.out.startswith("» kv/app/name (exists already)\n")
    assert planned.last == "Plan: 0 to add, 0 to change, 0 to replace, 0 to delete, 1 to adopt, 0 to forget."
    again = reconciler("owned", "forget", "kv/app/name", applied)
    assert (again.code, again.out) == (1, "")
    assert again.err == "reconciler: error: kv/app/name is not owned by 'mesh': see reconciler owned list\n"


def test_protection_is_lifted_by_hand_and_comes_back_with_the_next_apply(reconciler, applied):
    assert reconciler("owned", "unprotect", "kv/app/kept", applied, expect=0).out == "kv/app/kept is no longer protected.\n"
    planned = reconciler("plan", "--detailed-exitcode", applied, expect=2)
    assert planned.out.startswith("~ kv/app/kept (record only)\n    protect: false → true\n")


def test_destroy_without_the_file_and_with_connections_from_the_environment(reconciler, applied, tmp_path, consul, postgres18):
    reconciler("owned", "unprotect", "kv/app/kept", applied, expect=0)
    (tmp_path / applied).unlink()
    nothing = reconciler("destroy", "--name", "another", "--auto-approve", expect=0)
    assert nothing.out == "No changes. There is nothing to destroy.\n"
    done = reconciler("destroy", "--name", "mesh", "--auto-approve", expect=0)
    assert done.last == "Apply complete: 0 added, 0 changed, 0 replaced, 5 deleted, 0 adopted, 0 forgotten."
    assert gone(consul, postgres18)


def test_destroy_without_the_file_and_with_connections_from_another(command, reconciler, applied, tmp_path, consul, postgres18, live):
    reconciler("owned", "unprotect", "kv/app/kept", applied, expect=0)
    (tmp_path / applied).unlink()
    (tmp_path / "password").write_text(postgres18.password)
    connections = tmp_path / "connections.yaml"
    head = "version: 1\nname: whatever\n"
    before = live()
    connections.write_text(f"{head}consul: {{address: '{consul.address}'}}\n")
    for arguments in (("--name", "mesh"), ("--name", "mesh", "--connections", "connections.yaml")):
        refused = command.having(PGHOST="postgres.invalid")("destroy", *arguments, "--auto-approve")
        assert refused.code in (1, 5), str(refused)
        assert "Postgres default (postgres.invalid:5432) cannot be reached: " in refused.err or "/app) are on the system" in refused.out
    connections.write_text(
        f"{head}consul: {{address: '{consul.address}', token: {{env: TOKEN}}}}\n"
        f"postgres: {{elsewhere: {{host: {postgres18.host}, port: {postgres18.port}, user: postgres, password: {{file: password}}}}}}\n"
    )
    assert live() == before
    by_connections = command.having(CONSUL_HTTP_ADDR=None, CONSUL_HTTP_TOKEN=None, TOKEN=consul.token)
    done = by_connections("destroy", "--name", "mesh", "--connections", "connections.yaml", "--auto-approve", expect=0)
    assert "- database/elsewhere/app (no longer in the manifest)\n" in done.out
    assert gone(consul, postgres18)


def gone(consul, postgres):
    roles = postgres.query("SELECT FROM pg_roles WHERE rolname = 'app'") + postgres.query("SELECT FROM pg_database WHERE datname = 'app'")
    return consul.keys() == {} and roles == [] and not any(policy["Name"] == "app" for policy in consul.get("/v1/acl/policies"))
