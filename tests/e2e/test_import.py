"""The command ``import``, as a person or a pipeline uses it."""

import stat

import pytest

from tests.importing.meshes import OTHER_SECRET, QUERY_TOKEN, SECRET, make_every_form

SECRETS = {
    "KV_LEDGER_DB_PASSWORD": SECRET,
    "KV_SHOP_API_TOKEN": "tok-en",
    "ROLE_SECRETIVE_PASSWORD": OTHER_SECRET,
    "QUERY_SHOP_QUERY_TOKEN": QUERY_TOKEN,
}


@pytest.fixture
def made(reconciler, consul, postgres18):
    make_every_form(consul, postgres18)
    return reconciler


def test_from_a_live_mesh_to_an_empty_plan(made, tmp_path):
    run = made("import", "--name", "mesh", "--out", "mesh.yaml", expect=0)
    assert run.out == ""
    assert stat.S_IMODE((tmp_path / "mesh.yaml").stat().st_mode) == 0o600
    assert (tmp_path / "mesh.yaml").read_text().startswith("# yaml-language-server: $schema=")
    assert all(f"  {name}: " in run.err for name in SECRETS)
    assert "valid" in made("validate", "mesh.yaml", expect=0).out
    told = made.having(**SECRETS)
    planned = told("plan", "mesh.yaml", expect=0)
    assert planned.last.startswith("Plan: 0 to add, 0 to change, 0 to replace, 0 to delete, ")
    told("apply", "--auto-approve", "mesh.yaml", expect=0)
    assert told("plan", "mesh.yaml", expect=0).last == "No changes. Live state matches the manifest."
    assert made("import", "--name", "mesh", expect=0).out == (tmp_path / "mesh.yaml").read_text()


def test_a_file_is_not_replaced_unless_that_is_meant(made, tmp_path):
    (tmp_path / "mesh.yaml").write_text("precious")
    refused = made("import", "--kind", "kv", "--out", "mesh.yaml", expect=1)
    assert "mesh.yaml exists" in refused.err
    assert (tmp_path / "mesh.yaml").read_text() == "precious"
    made("import", "--kind", "kv", "--out", "mesh.yaml", "--force", expect=0)
    assert "ledger/db-name" in (tmp_path / "mesh.yaml").read_text()
    assert stat.S_IMODE((tmp_path / "mesh.yaml").stat().st_mode) == 0o600
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".")] == []


def test_a_service_alone(made):
    run = made("import", "--service", "ledger", expect=0)
    assert "name: ledger\n" in run.out
    assert "KV_SHOP_API_TOKEN" not in run.out
    assert "shop/on" not in run.out


def test_with_connections_from_a_file(made, tmp_path, write):
    server = {name: made.environment[name] for name in ("PGHOST", "PGPORT", "PGUSER", "PGPASSWORD")}
    entry = f"host: {server['PGHOST']}, port: {server['PGPORT']}, user: {server['PGUSER']}, password: {{env: SECRET_OF_MINE}}"
    write(f"postgres:\n  here: {{{entry}}}\n", name="connections", file="connections.yaml")
    elsewhere = made.having(**dict.fromkeys((*server, "PGDATABASE")), SECRET_OF_MINE=server["PGPASSWORD"], **SECRETS)
    elsewhere("import", "--connections", "connections.yaml", "--out", "mesh.yaml", "--name", "mesh", expect=0)
    text = (tmp_path / "mesh.yaml").read_text()
    assert "give it together with connections.yaml" in text
    assert "SECRET_OF_MINE" not in text
    planned = elsewhere("plan", "connections.yaml", "mesh.yaml", expect=0)
    assert planned.last.startswith("Plan: 0 to add, 0 to change, 0 to replace, 0 to delete, ")
    assert "db-role/here/ledger" in planned.out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--kind", "kv-entry"), "'kv-entry' is not one of acl-policy"),
        (("--force",), "--force goes with --out"),
        (("--name", "No Name"), "not a manifest's name"),
        (("--from-files", "no-such-folder"), "is not a folder"),
        (("--out", "no-such-folder/x.yaml"), "there is no folder no-such-folder"),
        (("--from-files", ".", "--token-file", "x"), "excludes --token-file"),
        (("--from-files", ".", "--connections", "x.yaml"), "excludes --connections"),
        (("kv/none/*",), "nothing is found at kv/none/*"),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_an_error(command, arguments, said):
    assert said in command("import", *arguments, expect=1).err


def test_from_files_asks_no_server(command, tmp_path):
    (tmp_path / "web.hcl").write_text('service "web" { policy = "write" }')
    run = command.having(CONSUL_HTTP_ADDR="http://127.0.0.1:1")("import", "--from-files", ".", expect=0)
    assert "service: {web: write}" in run.out
