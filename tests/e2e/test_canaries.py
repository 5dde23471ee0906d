"""Marked secrets, planted in every place that a secret can come from, are nowhere to be seen."""

import base64
import hashlib
import itertools
import json
from pathlib import Path

import pytest

from reconciler.credentials.archive import ACL_TOKEN, CA, CA_KEY, GOSSIP_KEY
from reconciler.credentials.opening import open_archive
from reconciler.model.secret import Secret
from tests.credentials.archives import PASSWORD, contents, sealed, tar
from tests.credentials.archives import write as write_archive
from tests.credentials.mesh_server import NEW_PASSWORD, MeshServer
from tests.e2e.broken import PLACES
from tests.e2e.canaries import Evidence, canary, known, mark
from tests.e2e.command import Command
from tests.e2e.leaky import LEAKS
from tests.e2e.planted import Planted, command_lines, environments
from tests.forks import PROGRAM
from tests.servers.consul import ConsulServer
from tests.servers.counting_proxy import CountingProxy, Fate, Write
from tests.servers.postgres_proxy import PostgresProxy, Statement

pytestmark = pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="there is no /proc here")

LOOKS = {
    f"{output}{verbosity}": ("--format", output, *filter(None, [verbosity]), "--log-format", log_format)
    for (output, verbosity), log_format in zip(
        itertools.product(("text", "json"), ("", "-v", "-vv")), itertools.cycle(("text", "json", "json", "text")), strict=False
    )
}
LOOKS["markdown"] = ("--format", "markdown", "--log-format", "json")
LOG = ("--log-file", "run.log")
KEEPS = (*LOG, "--json-into", "run.json")


@pytest.fixture
def planted(reconciler, consul, postgres18, tmp_path):
    with CountingProxy(consul.address) as http, PostgresProxy(postgres18.host, postgres18.port) as sql:
        yield Planted(tmp_path, consul, postgres18, reconciler, (http, sql))


def without_format(looks):
    return looks[2:]


@pytest.mark.parametrize("looks", LOOKS.values(), ids=LOOKS)
def test_no_secret_is_seen_when_all_goes_well(planted, looks):
    planted.run("validate", "mesh.yaml", *without_format(looks), *LOG, expect=0)
    planted.run("plan", "mesh.yaml", *looks, *KEEPS, expect=0)
    planted.run("apply", "mesh.yaml", "--auto-approve", *looks, *KEEPS, expect=0)
    everything_is_in_use(planted)
    listing = without_format(looks) if "markdown" in looks else looks
    planted.run("owned", "list", *listing, *LOG, expect=0)
    for key in ("kv/app/generated", "db-role/default/literal", "acl-token/app") if "-vv" in looks else ("kv/app/long",):
        planted.run("owned", "show", key, "mesh.yaml", *listing, *LOG, expect=0)
    somebody_changes_them(planted)
    planted.run("drift", "mesh.yaml", *looks, *KEEPS, expect=2)
    planted.run("apply", "mesh.yaml", "--auto-approve", *looks, *KEEPS, expect=0)
    everything_is_in_use(planted)
    planted.run("unlock", "mesh.yaml", *without_format(looks), *LOG, expect=0)
    planted.run("destroy", "mesh.yaml", "--auto-approve", *looks, *KEEPS, expect=0)
    assert planted.finds() == []


@pytest.mark.parametrize("looks", [LOOKS["text-vv"], LOOKS["json-vv"]], ids=["text", "json"])
def test_what_others_have_put_there_is_not_shown_when_it_is_in_the_way(planted, looks, postgres18):
    planted.manifest["kv"]["theirs/api-token"] = planted.plant("a literal beside a live value").value
    planted.manifest["kv"]["theirs/url"] = {"value": planted.plant("a sensitive literal beside a live value").value, "sensitive": True}
    planted.write(planted.manifest)
    planted.live("theirs/api-token", "live, masked by the key's name")
    planted.live("theirs/url", "live, masked by the manifest")
    planted.live("app/exec", "live, masked because the manifest has a reference")
    postgres18.query(f"CREATE ROLE literal LOGIN PASSWORD '{planted.plant('the password of a live role').value}'")
    refused = planted.run("plan", "mesh.yaml", *looks, *KEEPS, expect=5)
    assert all(address in refused.out for address in ("kv/theirs/api-token", "kv/theirs/url", "kv/app/exec", "db-role/default/literal"))
    planted.run("apply", "mesh.yaml", "--auto-approve", *looks, *KEEPS, expect=5)
    planted.run("apply", "mesh.yaml", "--auto-approve", "--adopt", "*", *looks, *KEEPS, expect=0)
    everything_is_in_use(planted)
    planted.run("owned", "forget", "kv/theirs/url", "mesh.yaml", *without_format(looks), *LOG, expect=0)
    assert planted.finds() == []


def test_a_secret_that_the_manifest_no_longer_has_is_not_shown(planted):
    planted.run("apply", "mesh.yaml", "--auto-approve", expect=0)
    del planted.manifest["kv"]["app/long"], planted.manifest["kv"]["app/literal"], planted.manifest["db_roles"]["env"]
    planted.manifest["kv"]["app/env"] = {"value": "no secret", "sensitive": False}
    planted.manifest["kv"]["app/copy"] = "no secret either"
    planted.write(planted.manifest)
    for looks in (LOOKS["text-vv"], LOOKS["json-vv"]):
        assert "kv/app/env" in planted.run("plan", "mesh.yaml", *looks, *KEEPS, expect=0).out
    planted.run("apply", "mesh.yaml", "--auto-approve", "-vv", *KEEPS, expect=0)
    assert planted.finds() == []


@pytest.mark.parametrize("verbosity", ["", "-vv"])
def test_no_secret_is_imported(planted, verbosity):
    planted.run("apply", "mesh.yaml", "--auto-approve", expect=0)
    planted.live("theirs/api-token", "live, masked by the key's name")
    password = planted.plant("a password under a key that does not look like one", user="theirs").value
    planted.consul.put("/v1/kv/theirs/harmless", password.encode())
    planted.postgres.query(f"CREATE ROLE theirs LOGIN PASSWORD '{password}'")
    loud = [*filter(None, [verbosity]), *LOG]
    planted.run("import", *loud, expect=0)
    planted.run("import", "--owned-too", *loud, expect=0)
    assert f"{planted.folder}/token" in planted.run("import", "--owned-too", "--token-file", str(planted.folder / "token*"), *loud, expect=0).out
    assert "theirs/harmless" in planted.run("import", "--name", "canaries", *loud, expect=0).out
    planted.run("import", "--owned-too", "--out", "imported.json", *loud, expect=0)
    planted.run("import", "--kind", "kv", "--kind", "acl-token", "no-such/*", *loud, expect=1)
    assert planted.finds() == []


def without_literals(planted):
    """The manifest with references in the place of its literals, so that a plan can be saved."""
    planted.manifest["kv"]["app/literal-password"] = planted.env("instead of a literal")
    planted.manifest["kv"]["app/literal"] = {"value": planted.file("instead of a sensitive literal"), "flags": 7}
    free_map(planted)["tracing_token"] = planted.env("instead of a literal in a free map")
    literal = next(c.value for c in planted.canaries if c.user == "literal")
    planted.manifest["db_roles"]["literal"]["password"] = planted.env("", literal)


def test_a_saved_plan_holds_no_secret(planted):
    refused = planted.run("plan", "--out", "mesh.plan", "mesh.yaml", "-v", *KEEPS, expect=1)
    assert refused.err.count("which a saved plan must not hold") == 4
    assert not (planted.folder / "mesh.plan").exists()
    without_literals(planted)
    comment = planted.plant("in a comment")
    path = planted.folder / planted.write(planted.manifest)
    path.write_text(f"# {comment.value}\n{path.read_text()}")
    planted.live("app/env", "live, in the way of what is planned")
    planted.run("plan", "--out", "mesh.plan", "--adopt", "*", "mesh.yaml", "-vv", *KEEPS, expect=0)
    planted.run("apply", "mesh.plan", "-vv", *KEEPS, expect=0)
    everything_is_in_use(planted)
    somebody_changes_them(planted)
    planted.run("plan", "--out", "drifted.plan", "mesh.yaml", *KEEPS, expect=0)
    planted.live("app/exec", "live, so that the plan is stale")
    planted.run("apply", "drifted.plan", "-vv", *KEEPS, expect=5)
    planted.run("plan", "--destroy", "--out", "destroy.plan", "mesh.yaml", *KEEPS, expect=0)
    planted.run("owned", "forget", "kv/app/exec", "mesh.yaml", expect=0)
    planted.run("owned", "adopt", "kv/app/exec", "mesh.yaml", "-vv", *LOG, expect=0)
    planted.run("owned", "transfer", "*", "--from", "canaries", "--to", "others", "-vv", *LOG, expect=0)
    assert len(planted.evidence.all("saved plan")) > 10_000
    assert planted.finds() == []


def free_map(planted):
    """The one that the manifest has in proxy-defaults."""
    return next(entry["Config"] for entry in planted.manifest["config_entries"] if "Config" in entry)


def everything_is_in_use(planted):
    """The secrets have reached their systems: what is searched for is what was really used."""
    values = {c.value for c in planted.canaries}
    live = {key: value.decode() for key, value in planted.consul.keys("app/").items()}
    assert live.keys() == planted.manifest["kv"].keys() - {"theirs/api-token", "theirs/url"}
    assert set(live.values()) <= values
    passwords = {c.user: c.value for c in planted.canaries if c.user}
    assert planted.postgres.accepts("literal", passwords["literal"])
    assert planted.postgres.accepts("special", live["app/special"])
    assert planted.postgres.accepts("generated", live["app/generated"])
    assert (planted.folder / "token").read_text().strip() in values
    config = planted.consul.get("/v1/config/proxy-defaults/global")["Config"]
    assert {config["tracing_token"], config["tracing"], config["deeper"][0]["Authorization"], config["deeper"][1]} <= values
    assert planted.consul.get("/v1/config/service-defaults/app")["EnvoyExtensions"][0]["Arguments"]["Authorization"] in values


def somebody_changes_them(planted):
    """By hand: three KV entries, two secrets in free maps, a password, a token file."""
    for key in ("app/literal", "app/env", "app/generated"):
        planted.live(key, "live, changed by hand")
    for name, field in (("proxy-defaults/global", "Config"), ("service-defaults/app", "EnvoyExtensions")):
        entry = planted.consul.get(f"/v1/config/{name}")
        theirs = {"tracing_token": planted.plant(f"in {field}, changed by hand").value, "Authorization": planted.plant(f"in {field}, by hand").value}
        (extension,) = entry.get("EnvoyExtensions") or [{"Arguments": {}}]
        changed = theirs if field == "Config" else [{**extension, "Arguments": {**extension["Arguments"], **theirs}}]
        planted.consul.put("/v1/config", {**entry, field: changed})
    planted.postgres.query(f"ALTER ROLE \"file\" PASSWORD '{planted.plant('changed by hand', user='file').value}'")
    (planted.folder / "token").write_text(planted.plant("a token file changed by hand").value)


# --- connections: each place that a token or a password can come from, right and wrong ---


def consul_token(planted, form, value):
    """The token in one of the places it can come from; nothing in the others."""
    planted.manifest["consul"] = {}
    planted.program = PROGRAM
    planted.environment = {name: text for name, text in planted.environment.items() if not name.startswith("CONSUL_HTTP_TOKEN")}
    if form in ("CONSUL_HTTP_TOKEN", "SETUP_CONSUL_TOKEN"):
        planted.environment[form] = value
    elif form == "bootstrap_token":
        planted.manifest["consul"] = {"token": {form: {"file": archive(planted, value), "password": planted.env("", PASSWORD)}}}
    elif form == "this node's archive":
        archive(planted, value)
        planted.program = ("-m", "tests.e2e.on_a_mesh_node", ".")
    elif form == "CONSUL_HTTP_TOKEN_FILE":
        planted.environment[form] = str(planted.folder / planted.file("", value)["file"])
    else:
        planted.manifest["consul"] = {
            "token": {"literal": lambda: value, "env": lambda: planted.env("", value), "file": lambda: planted.file("", value)}[form]()
        }


def postgres_password(planted, form, value):
    """The password in one of the places it can come from; nothing in the others."""
    planted.environment.pop("PGPASSWORD", None)
    planted.manifest["postgres"] = {"default": {}}
    server = planted.manifest["postgres"]["default"]
    if form == "PGPASSWORD":
        planted.environment[form] = value
    elif "passfile" in form.lower():
        path = planted.folder / planted.file("", f"{planted.sql.host}:{planted.sql.port}:*:*:{value}")["file"]
        if form == "PGPASSFILE":
            planted.environment[form] = str(path)
        else:
            server["passfile"] = path.name
    else:
        server["password"] = {"literal": lambda: value, "env": lambda: planted.env("", value), "file": lambda: planted.file("", value)}[form]()


PRIVATE = slice(10, 50)
"""Where in the first line of an EC key in PEM nothing stands that is in the certificate too: the rest of the line says which curve it is."""


def archive(planted, secret_id):
    """A cluster archive in which everything is secret, and its password beside it; the file's name."""
    members = contents(secret_id)
    members[CA_KEY] = planted.plant("the CA key", "{}\n").value.encode() + members[CA_KEY]
    lines = members[CA_KEY].decode().splitlines()
    planted.canaries += [known("the gossip key", members[GOSSIP_KEY].decode()), known("of the CA key", lines[2][PRIVATE])]
    planted.canaries += [known("a token's SecretID", secret_id), known("the archive's password", PASSWORD)]
    (planted.folder / "password").write_text(PASSWORD)
    return write_archive(planted.folder, members).name


TOKENS = ["CONSUL_HTTP_TOKEN", "CONSUL_HTTP_TOKEN_FILE", "SETUP_CONSUL_TOKEN", "literal", "env", "file", "bootstrap_token", "this node's archive"]


@pytest.mark.parametrize("form", TOKENS)
def test_the_token_is_not_seen_wherever_it_comes_from(planted, form):
    consul_token(planted, form, planted.consul.token)
    planted.run("plan", planted.write(planted.manifest), "-vv", *KEEPS, expect=0)
    consul_token(planted, form, planted.plant("a wrong token").value)
    planted.run("plan", planted.write(planted.manifest), "-vv", *KEEPS, expect=1)
    assert planted.finds() == []


@pytest.mark.parametrize("form", ["PGPASSWORD", "PGPASSFILE", "passfile", "literal", "env", "file"])
def test_the_password_is_not_seen_wherever_it_comes_from(planted, form):
    postgres_password(planted, form, planted.postgres.password)
    planted.run("plan", planted.write(planted.manifest), "-vv", *KEEPS, expect=0)
    postgres_password(planted, form, planted.plant("a wrong password", user="postgres").value)
    planted.run("plan", planted.write(planted.manifest), "-vv", *KEEPS, expect=1)
    assert planted.finds() == []


def test_nothing_of_a_cluster_archive_is_seen(planted):
    consul_token(planted, "this node's archive", planted.consul.token)
    planted.write(planted.manifest)
    planted.run("credentials", "show", expect=0)
    planted.run("credentials", "show", "--json", expect=0)
    planted.run("credentials", "verify", expect=0)
    planted.run("credentials", "verify", "--json", expect=0)
    sound = (planted.folder / "cluster-credentials.tar.gpg").read_bytes()
    for content in (sound[: len(sound) // 2], sealed(b"no tar but " + PASSWORD.encode()), sealed(tar({ACL_TOKEN: PASSWORD.encode()}))):
        (planted.folder / "cluster-credentials.tar.gpg").write_bytes(content)
        for command in (("credentials", "verify"), ("credentials", "token"), ("plan", "mesh.yaml", "-vv")):
            planted.run(*command, expect=1)
    (planted.folder / "cluster-credentials.tar.gpg").write_bytes(sound)
    (planted.folder / "password").write_text(planted.plant("a wrong password of the archive").value)
    planted.run("credentials", "token", expect=1)
    planted.run("plan", "mesh.yaml", "-vv", *KEEPS, expect=1)
    assert planted.finds() == []


def test_nothing_of_new_credentials_is_seen(reconciler, tmp_path):
    evidence, members = Evidence(), contents()
    for file, name in (("consul-agent-ca.pem", CA), ("consul-agent-ca-key.pem", CA_KEY)):
        (tmp_path / file).write_bytes(members[name])
    (tmp_path / "main.json").write_text(json.dumps({"encrypt": members[GOSSIP_KEY].decode()}))
    (tmp_path / "password").write_text(PASSWORD)
    with ConsulServer(bootstrapped=False) as consul, CountingProxy(consul.address) as proxy:

        def look(_):
            evidence.add("process list", *command_lines())
            evidence.add("environments", *environments())
            evidence.add("file", (tmp_path / "cluster-credentials.tar.gpg.bootstrapping").read_bytes())

        proxy.before = look
        command = Command(tmp_path, {"CONSUL_HTTP_ADDR": proxy.address}, ("-m", "tests.e2e.on_a_mesh_node", "."))
        # processes of their own, so that the list of processes tells how they were called
        start, target = command.from_scratch, tmp_path / "cluster-credentials.tar.gpg"
        proxy.after = lambda _: target.mkdir()  # and nobody at a terminal who could be shown the token
        cannot_be_written = command("credentials", "bootstrap", expect=3)
        proxy.after = None
        target.rmdir()
        for run in (cannot_be_written, start("credentials", "bootstrap", expect=0), start("credentials", "bootstrap", "--force", expect=1)):
            evidence.add("output", run.out, run.err)
        evidence.add("file", (tmp_path / "cluster-credentials.tar.gpg").read_bytes())
        evidence.add("log of Consul", consul.log_text())
    secret_id = command("credentials", "token", expect=0).out
    key = members[CA_KEY].decode().splitlines()[1][PRIVATE]
    secrets = {"SecretID": secret_id, "password": PASSWORD, "gossip key": members[GOSSIP_KEY].decode(), "CA key": key}
    assert b"on_a_mesh_node" in evidence.all("process list") and b"CONSUL_HTTP_ADDR=" in evidence.all("environments")
    assert evidence.search([known(name, value) for name, value in secrets.items()]) == []


@pytest.mark.parametrize(("way", "old_password"), [((), ()), (("--acl-only",), ("--old-password-file", "old-password"))], ids=["whole", "acl-only"])
def test_nothing_of_regenerated_credentials_is_seen(tmp_path, way, old_password):
    evidence = Evidence()
    with MeshServer(tmp_path) as mesh:

        def look(_=None):
            evidence.add("process list", *command_lines())
            evidence.add("environments", *environments())
            for path in mesh.configuration.glob("*.tar.gpg*"):
                evidence.add("file", path.read_bytes())

        def meddle(_):
            """Only with --acl-only: another archive is in the place of the one that is to be replaced."""
            if mesh.archive.with_name(f"{mesh.archive.name}.bootstrapping").exists():
                mesh.archive.write_bytes(mesh.archive.read_bytes() + b"\n")

        mesh.look = look
        if way:
            (mesh.home / "consul-agent-ca-key.pem").unlink()
            (tmp_path / "old-password").write_text(PASSWORD)
        (tmp_path / "mishap").write_text("fail ldap")
        with CountingProxy(mesh.consul.address, before=look, after=meddle) as proxy:
            command = mesh.command(CONSUL_HTTP_ADDR=proxy.address)
            regenerate = ("credentials", "regenerate", *way, "--password-file", "new-password", "--yes", "--revoke-old", *mesh.options)
            runs = [command(*regenerate, "--dry-run", expect=0), command(*regenerate, *old_password, expect=3)]
            proxy.after = None
            for run in (*runs, command(*regenerate, *old_password, expect=0), command(*regenerate, "--no-such")):
                evidence.add("output", run.out, run.err)
        look()
        evidence.add("file", (tmp_path / "calls").read_bytes() if not way else b"")
        evidence.add("log of Consul", mesh.consul.log_text())
        made = open_archive(mesh.archive, Secret(NEW_PASSWORD))
    assert b"setup-wizard" in evidence.all("process list") or way
    assert way or b"TERM=dumb" in evidence.all("environments")
    secrets = {"SecretID": made.secret_id().reveal(), "old SecretID": mesh.consul.token, "password": NEW_PASSWORD, "old password": PASSWORD}
    for name, members in {"": {m.name: m.bytes for m in made.members.values()}, "old ": mesh.members}.items():
        secrets[f"{name}gossip key"] = members[GOSSIP_KEY].decode()
        secrets[f"{name}CA key"] = members[CA_KEY].decode().splitlines()[1][PRIVATE]
    assert b'"done": [' in evidence.all("file")
    assert evidence.search([known(name, value) for name, value in secrets.items()]) == []


# --- things that fail, at the highest verbosity ---


def fails_in_silence(planted, code, *, file="mesh.yaml", said="", command=("apply", "--auto-approve")):
    """Applied, it ends with this exit code and says this, in both formats; nothing secret is seen."""
    for looks in (LOOKS["text-vv"], LOOKS["json-vv"]):
        run = planted.run(*command, file, *looks, *KEEPS)
        assert run.code == code, str(run)
        assert said in run.out + run.err, str(run)
    assert planted.finds() == []


def test_a_command_that_fails_after_it_has_written_secrets(planted):
    (planted.folder / "out").write_text(planted.plant("its output").value)
    (planted.folder / "err").write_text(planted.plant("its errors").value)
    planted.manifest["kv"]["app/exec"] = {"exec": ["sh", "-c", "cat out; cat err >&2; exit 3"]}
    planted.write(planted.manifest)
    fails_in_silence(planted, 1, said="the command sh ended with status 3")


def test_an_argument_of_a_command_is_not_shown(planted):
    argument = mark()  # whoever writes a secret there shows it to all users of the machine, but not to those who read the output
    planted.manifest["kv"]["app/exec"] = {"exec": ["sh", "-c", "exit 3", argument]}
    planted.write(planted.manifest)
    fails_in_silence(planted, 1, said="the command sh ended with status 3")
    planted.manifest["kv"]["app/exec"] = {"exec": [f"no-such-{argument}"]}
    planted.write(planted.manifest)
    assert argument not in b"".join(planted.evidence.all(place) for place in planted.evidence.places if place != "process list").decode(
        errors="replace"
    )


def test_a_file_that_is_no_text(planted):
    mark = planted.plant("in a file that is no text").value
    (planted.folder / "binary").write_bytes(b"\xff" + mark.encode())
    planted.manifest["kv"]["app/file"] = {"file": "binary"}
    planted.write(planted.manifest)
    fails_in_silence(planted, 1, said="the secret file binary is not UTF-8 text")


def test_a_token_that_no_header_can_hold(planted):
    for name, pattern in {"with a line break": "{}\nx", "with a space": "{} x", "outside ASCII": "{}é"}.items():
        consul_token(planted, "file", planted.plant(f"a token {name}", pattern).value)
        fails_in_silence(planted, 1, file=planted.write(planted.manifest), said="contains a space, a line break or a letter outside ASCII")


def test_a_password_that_libpq_cannot_take(planted):
    postgres_password(planted, "file", planted.plant("a password with NUL", "{}\0{}").value)
    fails_in_silence(planted, 1, file=planted.write(planted.manifest), said="the password is not text in UTF-8 without NUL")


def test_postgres_is_down(planted, free_port):
    planted.environment["PGPORT"] = str(free_port)
    fails_in_silence(planted, 1, said="connection refused")


def test_consul_is_down(planted, free_port):
    planted.environment["CONSUL_HTTP_ADDR"] = f"127.0.0.1:{free_port}"
    fails_in_silence(planted, 1, said="connection refused")


def test_postgres_refuses_a_role(planted):
    planted.manifest["db_roles"]["literal"]["settings"] = {"work_mem": "nonsense"}
    planted.write(planted.manifest)
    fails_in_silence(planted, 3, said="invalid value for parameter")


def test_consul_refuses_a_policy_and_a_token_that_somebody_made_meanwhile(planted):
    def interfere(write):
        body = json.loads(write.body) if isinstance(write, Write) and write.path.startswith("/v1/acl/") else {}
        if "Rules" in body:
            planted.consul.request("PUT", "/v1/acl/policy", {"Name": body["Name"]})
        if "AccessorID" in body:
            planted.consul.request("PUT", "/v1/acl/token", {"AccessorID": body["AccessorID"]})

    planted.interfere = interfere
    run = planted.run("apply", "--auto-approve", "mesh.yaml", *LOOKS["text-vv"], *KEEPS, expect=3)
    assert "acl-policy/app (create): " in run.out
    assert planted.finds() == []


@pytest.mark.parametrize("path", ["/v1/acl/token", "/v1/txn", "/v1/config", "/v1/acl/policy"])
def test_the_connection_to_consul_breaks_in_the_middle_of_a_write(planted, path):
    planted.interfere = lambda write: Fate.CUT if isinstance(write, Write) and write.path.startswith(path) else None
    planted.run("apply", "--auto-approve", "mesh.yaml", *LOOKS["text-vv"], *KEEPS)
    assert planted.finds() == []


def test_the_connection_to_postgres_breaks_in_the_middle_of_a_write(planted):
    planted.interfere = lambda write: Fate.CUT if isinstance(write, Statement) else None
    fails_in_silence(planted, 3, said="the connection was lost")


@pytest.mark.parametrize(
    ("place", "looks"), [*itertools.product(PLACES, ("text-vv", "json-vv")), ("a role is created", "text"), ("a role is created", "markdown")]
)
def test_an_exception_that_nobody_expected_quotes_no_secret(planted, place, looks):
    """Raised inside of an apply, by a kind: what it quotes is masked in what is said of it, in the traceback, in the log and in each report."""
    working, planted.program, looks = planted.program, ("-m", "tests.e2e.broken", place), LOOKS[looks]
    before_it_writes = place == "roles are read"
    run = planted.run("apply", "mesh.yaml", "--auto-approve", *looks, *KEEPS, expect=1 if before_it_writes else 3)
    assert "RuntimeError" in run.err
    assert "cannot go on with" in run.err, "the exception is told"
    if not before_it_writes:
        assert "(secret)" in run.err
        assert planted.evidence.all("job summary") and planted.evidence.all("log file") and planted.evidence.all("JSON file")
    if "-vv" in looks:
        assert "Traceback (most recent call last)" in run.err
        assert f"{PLACES[place][1]} does not understand" in run.err, "with its cause"
    if "json" in looks and looks[1] == "json":
        assert "cannot go on with" in run.events[-1]["error"]
    assert planted.finds() == []
    planted.program = working
    planted.run("apply", "mesh.yaml", "--auto-approve", *looks, *KEEPS, expect=0)
    everything_is_in_use(planted)
    assert planted.finds() == []


MISTAKES = {
    "a number in place of a password": ("db_roles: {app: {login: true, password: 918273645546372819}}", "918273645546372819"),
    "a list in place of a password": ("db_roles: {app: {login: true, password: [MARK]}}", "MARK"),
    "a mapping in place of a password": ("db_roles: {app: {login: true, password: {MARK: MARK}}}", "MARK"),
    "a word too many": ("db_roles: {app: {login: true, password: 'MARK', passwd: 'MARK'}}", "MARK"),
    "twice": ("db_roles: {app: {login: true, password: 'MARK', password: 'MARK'}}", "MARK"),
    "without its end": ("db_roles: {app: {login: true, password: 'MARK}}", "MARK"),
    "with a tag": ("db_roles: {app: {login: true, password: !secret MARK}}", "MARK"),
    "as an alias": ("db_roles: {app: {login: true, password: *MARK}}", "MARK"),
    "a sensitive value that is no text": ("kv: {app/password: 918273645546372819}", "918273645546372819"),
    "a sensitive value of a wrong shape": ("kv: {app/x: {value: {valu: MARK}, sensitive: true}}", "MARK"),
    "an empty variable name": ("kv: {app/password: {env: 'MARK MARK'}}", "MARK"),
    "a token of a wrong shape": ("consul: {token: [MARK]}", "MARK"),
    "a number in place of a token": ("consul: {token: 918273645546372819}", "918273645546372819"),
    "with a tag of its own": ("db_roles: {app: {login: true, password: !MARK x}}", "MARK"),
    "as an anchor": ("db_roles: {app: {login: true, password: &MARK }}", "MARK"),
    "as a key": ("kv: {app/password: {kv: {MARK: x}}}", "MARK"),
    "with a control character": ('db_roles: {app: {login: true, password: "MARK\x01"}}', "MARK"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_in_the_manifest_is_said_without_the_secret(planted, mistake):
    body, text = MISTAKES[mistake]
    secret = planted.plant(mistake) if text == "MARK" else known(mistake, text)
    planted.canaries.append(secret)
    (planted.folder / "wrong.yaml").write_text(f"version: 1\nname: wrong\n{body.replace('MARK', secret.value)}\n")
    run = planted.run("validate", "wrong.yaml", "-vv", *LOG, expect=1)
    assert "\nwrong.yaml:" in run.err
    assert planted.finds() == [], str(run)


# --- commands that the program runs ---


def test_a_command_gets_no_more_than_the_program_itself_got(planted):
    planted.run("apply", "--auto-approve", "mesh.yaml", "-vv", expect=0, command=planted.command.from_scratch)
    assert len(planted.children) == 5
    for child in planted.children:
        assert child.arguments[:2] == ["sh", "print-secret"]
        # the program sets one variable for itself, which says nothing of anybody
        assert child.environment == {**planted.command.whole_environment, "PYDANTIC_DISABLE_PLUGINS": "__all__"}
    assert b"reconciler.cli.main" in planted.evidence.all("process list")


# --- the search itself ---


@pytest.mark.parametrize("place", LEAKS)
def test_a_program_that_leaks_is_found(planted, place):
    planted.program = ("-m", "tests.e2e.leaky", place)
    if place == "standard error of apply":
        planted.manifest["kv"]["app/exec"] = {"exec": ["false"]}
        planted.write(planted.manifest)
    if place == "saved plan":
        without_literals(planted)
        planted.run("plan", planted.write(planted.manifest), "--out", "mesh.plan", *KEEPS, expect=0)
    planted.run("apply", "mesh.yaml", "--auto-approve", *KEEPS)
    assert place in {find.place for find in planted.finds()}


@pytest.mark.parametrize(
    "encode",
    [
        lambda text: text.upper(),
        lambda text: text[5:15],
        lambda text: text[::-1],
        lambda text: text.encode().hex(),
        lambda text: base64.b64encode(text.encode()).decode(),
        lambda text: base64.b64encode(b"user:" + text.encode() + b"\n").decode(),
        lambda text: base64.urlsafe_b64encode(b"?" + text.encode()).decode(),
        lambda text: hashlib.sha256(text.encode()).hexdigest(),
        lambda text: hashlib.sha1(text.encode()).hexdigest().upper(),
        lambda text: "md5" + hashlib.md5(f"{text}app".encode()).hexdigest(),
        lambda text: base64.b64encode(hashlib.sha256(text.encode()).digest()).decode(),
    ],
)
def test_the_search_finds_every_form(encode):
    secret = canary("x", user="app")
    evidence = Evidence()
    evidence.add("log", f"before {encode(secret.value)} after")
    assert {find.canary for find in evidence.search([secret])} == {"x"}
    assert evidence.search([canary("another", user="app")]) == []


def test_the_search_finds_a_verifier_and_its_parts():
    evidence = Evidence(verifiers={"SCRAM-SHA-256$4096:c2FsdHNhbHQ=$U3RvcmVkS2V5U3RvcmVkS2V5:U2VydmVyS2V5U2VydmVyS2V5"})
    evidence.add("record", "c2FsdHNhbHQ=")
    assert evidence.search([]) == []
    evidence.add("log", "'SCRAM-SHA-256$4096:AAAA$BBBB:CCCC'")
    evidence.add("record", "U2VydmVyS2V5U2VydmVyS2V5")
    assert {find.place for find in evidence.search([])} == {"log", "record"}
