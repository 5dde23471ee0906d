"""What is wrong is said in one clear line, exit 1, and nothing is changed anywhere."""

import ctypes
import socket

import pytest

from tests.servers.ports import LOOPBACK

ALIAS_BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]\n" for before, name in zip("abcdef", "bcdefg", strict=True)
)
FILES = {
    "not YAML": (
        b"just words: [",
        "mesh.yaml:1:14: is not YAML (while parsing a flow node expected the node content, but found '<stream end>'): "
        "look for a missing quote, bracket or colon, or for wrong indentation, here or above",
    ),
    "not UTF-8": (b"version: 1\nname: caf\xe9\n", "mesh.yaml:2:10: is not UTF-8: save the file in UTF-8"),
    "50 MB": (b"version: 1\nname: mesh\nkv: {a: '" + b"x" * 50_000_000 + b"'}\n", "mesh.yaml: is larger than 16 MiB: is it the right file?"),
    "an alias bomb": (ALIAS_BOMB.encode(), "mesh.yaml:6:8: makes aliases stand for more than 100000 values: write them out, or use fewer"),
    "a list": (b"- version: 1\n- name: mesh\n", "mesh.yaml:1:1: is not a mapping: begin with version: 1 and name: NAME"),
    "a word": (b"mesh\n", "mesh.yaml:1:1: is not a mapping: begin with version: 1 and name: NAME"),
    "empty": (b"", "mesh.yaml:1:1: is empty: write at least version: 1 and name: NAME"),
    "two documents": (b"version: 1\nname: mesh\n---\nversion: 1\nname: other\n", "mesh.yaml:3:1: begins a second document: put it into a file of its own"),
    "nothing but zeros": (bytes(100), "mesh.yaml:1:1: holds the character U+0000, which YAML does not allow: remove it"),
}
READING = (("validate",), ("plan",), ("drift",), ("apply", "--auto-approve"), ("destroy", "--auto-approve"), ("owned", "list"), ("unlock",))
ASKING = (("plan",), ("drift",), ("apply", "--auto-approve"), ("destroy", "--auto-approve"))
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
    run = command("plan", "mesh.yaml", preexec_fn=without_root_reading_everything)
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
def unchanged(reconciler, write, live):
    """Half of the manifest is applied, half is not, so that every command has something to do; nothing of it may change."""
    reconciler("apply", "--auto-approve", write("kv: {app/name: files}\n"), expect=0)
    write(MANIFEST)
    before = live()
    yield
    assert live() == before


def each_command(command, line):
    for arguments in ASKING:
        refuses(command, f"reconciler: error: {line}", (*arguments, "mesh.yaml"))


def test_consul_is_down(reconciler, unchanged, free_port):
    each_command(
        reconciler.having(CONSUL_HTTP_ADDR=f"{LOOPBACK}:{free_port}"),
        f"Consul at http://{LOOPBACK}:{free_port} cannot be reached: connection refused: start it, or set consul.address or CONSUL_HTTP_ADDR",
    )


def test_what_answers_is_not_consul(reconciler, unchanged, postgres18):
    each_command(
        reconciler.having(CONSUL_HTTP_ADDR=f"http://{LOOPBACK}:{postgres18.port}"),
        f"Consul at http://{LOOPBACK}:{postgres18.port} closed the connection during GET /v1/connect/ca/roots: see whether it is running, and try again",
    )
