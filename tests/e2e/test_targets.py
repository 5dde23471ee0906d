"""A part of a manifest: what --target brings along, what --exclude leaves out, and what is refused because of it."""

import json
import shlex

import pytest

MESH = """\
mesh_credentials:
  policies: {app: {rules: {key_prefix: {app/: read}}}}
  tokens: {app: {policies: [app], file: {path: TOKEN, mode: "0600"}}}
kv: {app/name: files, app/password: {generate: {bytes: 16}}}
db_roles: {app: {login: true, password: {kv: app/password}}}
databases: {app: {owner: app}}
"""


@pytest.fixture
def mesh(write, tmp_path):
    """Writes the manifest, perhaps without some lines, or with others; gives the file's name."""

    def mesh(*without, **replacements):
        body = MESH.replace("TOKEN", str(tmp_path / "token"))
        for old, new in replacements.items():
            body = body.replace(old, new)
        return write("".join(line for line in body.splitlines(True) if not any(word in line for word in without)))

    return mesh


def planned(run):
    """What a plan in JSON would do, by address."""
    return {change["address"]: change["action"] for change in run.json["changes"]}


@pytest.fixture
def plan(reconciler):
    """Plans in JSON, and gives what would be done."""
    return lambda file, *arguments, expect=0: planned(reconciler("plan", file, *arguments, "--format", "json", expect=expect))


def test_a_target_brings_what_it_needs_and_nothing_else(reconciler, mesh, plan, consul, postgres18, tmp_path):
    file = mesh()
    assert plan(file, "--target", "database/*") == {"kv/app/password": "create", "db-role/default/app": "create", "database/default/app": "create"}
    shown = reconciler("plan", "--target", "database/*", file, expect=0).out
    assert "\nThis plan is partial: resources were left out on request.\n" in shown
    assert reconciler("plan", "--target", "database/*", "--format", "json", file).json["partial"] is True
    done = reconciler("apply", "--auto-approve", "--target", "database/*", file, expect=0)
    assert done.last == "Apply complete: 3 added, 0 changed, 0 replaced, 0 deleted, 0 adopted, 0 forgotten."
    assert postgres18.accepts("app", consul.keys("app/")["app/password"].decode())
    assert consul.keys("app/").keys() == {"app/password"}
    assert plan(file, "--target", "database/*") == plan(file, "--target", "db-role/default/app") == {}
    rest = {"acl-policy/app", "acl-token/app", f"file/local{tmp_path / 'token'}", "kv/app/name"}
    assert plan(file).keys() == rest
    assert plan(file, "--exclude", "acl-*", "--exclude", "file/*").keys() == {"kv/app/name"}


def test_what_needs_a_target_goes_with_it(reconciler, mesh, plan, consul):
    reconciler("apply", "--auto-approve", mesh(), expect=0)
    file = mesh("policies:", "tokens:", "mesh_credentials", "databases")
    everything = plan(file)
    assert len(everything) == 4
    token = {a: "delete" for a in everything if not a.startswith("database/")}
    assert plan(file, "--target", "acl-policy/app") == token
    assert plan(file, "--target", "file/*") == {a: "delete" for a in token if a.startswith("file/")}
    refused = reconciler("plan", "--target", "acl-policy/app", "--exclude", "acl-token/app", file, expect=5)
    assert (
        "acl-policy/app: cannot be deleted while acl-token/app is left out, which must be deleted: do not exclude it, or exclude both" in refused.out
    )
    reconciler("apply", "--auto-approve", "--target", "acl-policy/app", file, expect=0)
    assert plan(file) == {"database/default/app": "delete"}
    assert [p["Name"] for p in consul.get("/v1/acl/policies") if p["Name"] == "app"] == []


def test_an_excluded_need_is_refused(reconciler, mesh, live):
    before = live()
    for needed, needing, verb in (("acl-policy/app", "acl-token/app", "created"), ("kv/app/password", "db-role/default/app", "created")):
        refused = reconciler("apply", "--auto-approve", "--exclude", needed, mesh(), expect=5)
        assert f"× {needing}: cannot be created while {needed} is left out, which must be {verb}: do not exclude it, or exclude both\n" in refused.out
    assert live() == before
    reconciler("apply", "--auto-approve", mesh(), expect=0)
    reconciler("plan", "--exclude", "acl-policy/app", mesh(login="superuser"), expect=0)  # nothing to be done to the policy, so nothing is missed


def test_a_replaced_token_brings_its_files_so_that_nothing_is_left_with_the_old_one(reconciler, mesh, plan, consul, tmp_path):
    reconciler("apply", "--auto-approve", mesh(), expect=0)
    file = mesh(**{"policies: [app],": "policies: [app], rotation: 1,"})
    path = f"file/local{tmp_path / 'token'}"
    assert plan(file, "--target", "acl-token/app") == {"acl-token/app": "replace", path: "update"}
    refused = reconciler("plan", "--exclude", "file/*", file, expect=5)
    assert f"acl-token/app: cannot be replaced while {path} is left out, which must be updated: do not exclude it, or exclude both" in refused.out
    reconciler("apply", "--auto-approve", "--target", "acl-token/app", file, expect=0)
    secret = (tmp_path / "token").read_text().strip()
    assert secret in {t["SecretID"] for t in tokens(consul)}
    assert len([t for t in tokens(consul) if t.get("Policies") and t["Policies"][0]["Name"] == "app"]) == 1


def tokens(consul):
    return [consul.get(f"/v1/acl/token/{token['AccessorID']}") for token in consul.get("/v1/acl/tokens")]


@pytest.mark.parametrize(
    ("option", "guess"),
    {
        ("--target", "kv/app/nmae"): "kv/app/name",
        ("--target", "db-rol/default/app"): "db-role/default/app",
        ("--exclude", "acl-policy/ap"): "acl-policy/app",
    }.items(),
)
def test_what_matches_nothing_is_an_error_with_a_guess(reconciler, mesh, option, guess):
    for command in (("plan",), ("apply", "--auto-approve")):
        run = reconciler(*command, *option, mesh(), expect=1)
        message = f"{option[0]} {option[1]!r} matches nothing that is in the manifest or owned by it: did you mean {guess}?"
        assert (run.out, run.err) == ("", f"reconciler: error: {message}\n")


def test_what_is_excluded_is_not_even_read(reconciler, mesh, consul, plan):
    """So that one half can be applied while the other cannot be reached."""
    down = reconciler.having(PGHOST="postgres.invalid")
    down("plan", mesh(), expect=1)
    done = down("apply", "--auto-approve", "--exclude", "d*", mesh(), expect=0)
    assert done.last == "Apply complete: 5 added, 0 changed, 0 replaced, 0 deleted, 0 adopted, 0 forgotten."
    reconciler("apply", "--auto-approve", mesh(), expect=0)
    file = mesh("databases", files="others")
    down("apply", "--auto-approve", "--exclude", "d*", file, expect=0)
    assert consul.keys("app/")["app/name"] == b"others"
    refused = down("plan", "--target", "database/default/app", file)
    assert (refused.code, "which this manifest no longer reaches" in refused.out) == (5, True), str(refused)
    assert plan(file) == {"database/default/app": "delete"}


def test_drift_of_a_part(reconciler, mesh, consul):
    file = mesh()
    reconciler("apply", "--auto-approve", file, expect=0)
    consul.put("/v1/kv/app/name", b"by hand")
    assert reconciler("drift", "--target", "kv/app/*", file, expect=2).last == "Drift: 1 resource differs from what was last applied."
    other = reconciler("drift", "--exclude", "kv/app/name", file, expect=0)
    assert "This plan is partial: " in other.out
    assert reconciler.having(PGHOST="postgres.invalid")("drift", "--target", "kv/*", file, expect=2).last.startswith("Drift: 1 resource")
    assert "did you mean kv/app/name?" in reconciler("drift", "--target", "kv/app/nam", file, expect=1).err


def test_destroying_a_part(reconciler, mesh, plan, consul, postgres18):
    file = mesh()
    reconciler("apply", "--auto-approve", file, expect=0)
    refused = reconciler("destroy", "--auto-approve", "--target", "db-role/default/app", "--exclude", "database/*", file, expect=5)
    assert "db-role/default/app: cannot be deleted while database/default/app is left out, which must be deleted" in refused.out
    done = reconciler("destroy", "--auto-approve", "--target", "db-role/default/app", file, expect=0)
    assert done.last == "Apply complete: 0 added, 0 changed, 0 replaced, 2 deleted, 0 adopted, 0 forgotten."
    assert plan(file).keys() == {"db-role/default/app", "database/default/app"}
    assert consul.keys("app/").keys() == {"app/name", "app/password"}


def test_the_deletion_limit_is_of_all_that_is_owned(reconciler, write, consul):
    """Not of the part: or naming ten of ten would be less than naming one of one."""
    ten = {f"{half}/{n}": "x" for half in ("a", "b") for n in range(10)}
    file = write(json.dumps({"kv": ten})[1:-1] + "\n")
    reconciler("apply", "--auto-approve", file, expect=0)
    write("kv: {b/0: x}\n")
    refused = reconciler("apply", "--auto-approve", "--target", "kv/a/*", file, expect=5)
    assert "this plan deletes 10 of 20 owned resources, more than --max-deletes 30% (6)" in refused.out
    reconciler("apply", "--auto-approve", *shlex.split("--target kv/a/0 --target kv/a/1 --target kv/a/2"), file, expect=0)
    assert len(consul.keys("a/")) == 7
