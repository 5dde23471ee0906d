"""What is wrong is said in one clear line, exit 1, and nothing is changed anywhere."""

import ctypes

import pytest

from tests.servers.ports import LOOPBACK

ALIAS_BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]\n" for before, name in zip("abcdef", "bcdefg", strict=True)
)
FILES = {
    "not YAML": (
        b"just words: [",
        (
            "mesh.yaml:1:14: is not YAML (while parsing a flow node expected the node content, but found '<stream end>'): "
            "look for a missing quote, bracket or colon, or for wrong indentation, here or above"
        ),
    ),
    "not UTF-8": (b"version: 1\nname: caf\xe9\n", "mesh.yaml:2:10: is not UTF-8: save the file in UTF-8"),
    "50 MB": (b"version: 1\nname: mesh\nkv: {a: '" + b"x" * 50_000_000 + b"'}\n", "mesh.yaml: is larger than 16 MiB: is it the right file?"),
    "an alias bomb": (ALIAS_BOMB.encode(), "mesh.yaml:6:8: makes aliases stand for more than 100000 values: write them out, or use fewer"),
    "a list": (b"- version: 1\n- name: mesh\n", "mesh.yaml:1:1: is not a mapping: begin with version: 1 and name: NAME"),
    "a word": (b"mesh\n", "mesh.yaml:1:1: is not a mapping: begin with version: 1 and name: NAME"),
    "empty": (b"", "mesh.yaml:1:1: is empty: write at least version: 1 and name: NAME"),
    "two documents": (
        b"version: 1\nname: mesh\n---\nversion: 1\nname: other\n",
        "mesh.yaml:3:1: begins a second document: put it into a file of its own",
    ),
    "nothing but zeros": (bytes(100), 'mesh.yaml:1:1: holds the character U+0000: remove it, or write it as an escape in a "double-quoted" string'),
}
READING = (("validate",), ("plan",), ("drift",), ("apply", "--auto-approve"), ("destroy", "--auto-approve"), ("owned", "list"), ("unlock",))
ASKING = (("plan",), ("drift",), ("apply", "--auto-approve"), ("destroy", "--auto-approve"))
BOTH = (("plan",), ("apply", "--auto-approve"))
MANIFEST = "kv: {app/name: files}\ndb_roles: {app: {login: true}}\n"


def refuses(command, line, arguments):
    """The run writes this one line, and nothing else."""
    run = command(*arguments)
    assert (run.code, run.out, run.err) == (1, "", f"{line}\n"), str(run)


@pytest.mark.parametrize("what", FILES)
def test_a_file_that_is_no_manifest(command, tmp_path, what):
    content, line = FILES[what]
    (tmp_path / "mesh.yaml").write_bytes(content)
    for arguments in READING if what == "not YAML" else READING[:2]:
        refuses(command, line, (*arguments, "mesh.yaml"))


def test_a_folder_in_place_of_a_file(command, tmp_path):
    (tmp_path / "mesh.yaml").mkdir()
    refuses(command, "mesh.yaml: is a folder: give the path of a manifest", ("plan", "mesh.yaml"))


def test_no_such_file(command):
    refuses(command, "mesh.yaml: does not exist: give the path of a manifest", ("apply", "--auto-approve", "mesh.yaml"))


def test_a_file_that_this_user_may_not_read(command, write, tmp_path):
    (tmp_path / write("")).chmod(0o000)
    run = command.from_scratch("plan", "mesh.yaml", preexec_fn=without_root_reading_everything)
    assert (run.code, run.out, run.err) == (1, "", "mesh.yaml: may not be read by this user: change its permissions, or run as another user\n")


def test_all_files_that_cannot_be_read_are_named_at_once(command):
    run = command("plan", "one.yaml", "two.yaml")
    assert run.code == 1
    assert run.err.splitlines() == ["one.yaml: does not exist: give the path of a manifest", "two.yaml: does not exist: give the path of a manifest"]


def without_root_reading_everything():
    """Root without CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH reads what its owner may read, like anybody; who is not root loses nothing."""
    for capability in (1, 2):
        ctypes.CDLL(None).prctl(24, capability)  # PR_CAPBSET_DROP


@pytest.fixture
def unchanged(reconciler, write, live, nobodys_token):
    """Half of the manifest is applied, half is not, so that every command has something to do; nothing of it may change."""
    reconciler("apply", "--auto-approve", write("kv: {app/name: files}\n"), expect=0)
    write(MANIFEST)
    before = live()
    yield
    assert live() == before


def each_command_says(command, line, commands=ASKING):
    for arguments in commands:
        refuses(command, f"reconciler: error: {line}", (*arguments, "mesh.yaml"))


def test_consul_is_down(reconciler, unchanged, free_port):
    each_command_says(
        reconciler.having(CONSUL_HTTP_ADDR=f"{LOOPBACK}:{free_port}"),
        f"Consul at http://{LOOPBACK}:{free_port} cannot be reached: connection refused: start it, or set consul.address or CONSUL_HTTP_ADDR",
    )


def test_consul_has_a_name_that_nobody_knows(reconciler, unchanged):
    each_command_says(
        reconciler.having(CONSUL_HTTP_ADDR="consul.invalid:8500"),
        "Consul at http://consul.invalid:8500 cannot be reached: its name is not known: correct consul.address or CONSUL_HTTP_ADDR",
        ASKING[:1],
    )


def test_what_answers_is_not_consul(reconciler, unchanged, postgres18):
    each_command_says(
        reconciler.having(CONSUL_HTTP_ADDR=f"http://{LOOPBACK}:{postgres18.port}"),
        f"Consul at http://{LOOPBACK}:{postgres18.port} closed the connection during GET /v1/connect/ca/roots: "
        "see whether it is running, and try again",
        BOTH,
    )


def test_a_wrong_token(reconciler, unchanged, consul):
    each_command_says(
        reconciler.having(CONSUL_HTTP_TOKEN="5bd3b5bb-3bb6-4f2c-a0f1-6cd4bd1a7a4d"),
        f"Consul at {consul.address} does not know this token (from CONSUL_HTTP_TOKEN): "
        "set consul.token or CONSUL_HTTP_TOKEN to one that exists there",
    )


RIGHTS = {
    ("plan",): 'read everything that this manifest touches; it lacks key:read on "app/name", key:read on "reconciler/owned/"',
    ("drift",): 'read everything that this manifest touches; it lacks key:read on "reconciler/owned/"',
    ("apply", "--auto-approve"): 'read and write everything that this manifest touches; it lacks key:read on "app/name", key:write on "app/name", '
    'key:write on "reconciler/lock/mesh", key:read on "reconciler/owned/", key:write on "reconciler/owned/", session:write on "test-server"',
    ("destroy", "--auto-approve"): 'read and write everything that this manifest touches; it lacks key:write on "reconciler/lock/mesh", '
    'key:read on "reconciler/owned/", key:write on "reconciler/owned/", session:write on "test-server"',
}


@pytest.mark.parametrize("arguments", RIGHTS, ids=lambda arguments: arguments[0])
def test_a_token_without_rights(reconciler, unchanged, nobodys_token, arguments):
    line = f"reconciler: error: the Consul token may not {RIGHTS[arguments]}: grant that, or use another token"
    refuses(reconciler.having(CONSUL_HTTP_TOKEN=nobodys_token), line, (*arguments, "mesh.yaml"))


@pytest.mark.parametrize("arguments", [("owned", "list"), ("owned", "list", "mesh.yaml"), ("owned", "show", "kv/app/name"), ("unlock", "mesh.yaml")])
@pytest.mark.parametrize("with_token", [True, False], ids=["without rights", "without a token"])
def test_who_may_not_look_is_not_told_that_there_is_nothing(reconciler, unchanged, nobodys_token, arguments, with_token):
    run = reconciler.having(CONSUL_HTTP_TOKEN=nobodys_token if with_token else None)(*arguments)
    key = "reconciler/lock/mesh" if arguments[0] == "unlock" else "reconciler/owned/"
    assert (run.code, run.out) == (1, ""), str(run)
    assert f'lacks key:read on "{key}"' in run.err or f'without one key:read on "{key}" is missing' in run.err, str(run)


@pytest.fixture
def nobodys_token(consul, reconciler, write):
    """A token that exists and may do nothing."""
    return consul.token_for('key "somewhere/else" { policy = "read" }')


def test_postgres_is_down(reconciler, unchanged, free_port):
    postgres_says(reconciler.having(PGPORT=str(free_port)), f"({LOOPBACK}:{free_port}) cannot be reached: connection refused: {START}")


def test_postgres_has_a_name_that_nobody_knows(reconciler, unchanged):
    postgres_says(
        reconciler.having(PGHOST="postgres.invalid", PGPORT="5432"),
        "(postgres.invalid:5432) cannot be reached: its name is not known: correct postgres.default.host or PGHOST",
    )


def test_a_wrong_password(reconciler, unchanged, postgres18):
    postgres_says(reconciler.having(PGPASSWORD="not it"), f'({LOOPBACK}:{postgres18.port}) refuses the user "postgres": {WRONG}')


def test_no_password(reconciler, unchanged, postgres18):
    what_to_do = "set password, PGPASSWORD or a password file"
    where = f"({LOOPBACK}:{postgres18.port})"
    postgres_says(reconciler.having(PGPASSWORD=None), f"{where} asks for a password, and none was given: {what_to_do}")


def test_no_such_role(reconciler, unchanged, postgres18):
    postgres_says(reconciler.having(PGUSER="nobody"), f'({LOOPBACK}:{postgres18.port}) refuses the user "nobody": {WRONG}')


START = "start it, or set postgres.default.host and port, or PGHOST and PGPORT"
WRONG = "wrong password, no such role, or expired"


def postgres_says(command, rest):
    """Both commands that ask Postgres here; what is owned is in Consul alone, so that drift and destroy have no business with it."""
    each_command_says(command, f"Postgres default {rest}", BOTH)


SECRETS = {
    "{env: NOT_SET}": "the environment variable NOT_SET is not set: set it to the secret",
    "{env: EMPTY}": "the environment variable EMPTY is empty: set it to the secret",
    "{file: absent}": "the secret file absent cannot be read: no such file or directory: create it, or correct the path",
    "{exec: [absent]}": "the command absent cannot be run: no such file or directory: install it, or correct the secret's exec",
    "{exec: [sh, -c, exit 7]}": "the command sh ended with status 7: run it by hand to see why",
    "{exec: ['true']}": "the output of the command true is empty: a secret was expected there",
}


@pytest.mark.parametrize("source", SECRETS)
def test_a_secret_that_cannot_be_had(reconciler, unchanged, write, source):
    write(f"{MANIFEST}postgres: {{default: {{password: {source}}}}}\n")
    each_command_says(reconciler.having(EMPTY=""), SECRETS[source], BOTH[:1])
