import json
import subprocess
import sys

import jsonschema
import pytest

from reconciler import __version__
from reconciler.cli.main import COMMANDS

PENDING_IN_CLICK = 2


@pytest.mark.parametrize("arguments", [["version"], ["--version"]])
def test_version(run, arguments):
    assert run(*arguments) == (0, f"reconciler {__version__}\n", "")


def test_without_arguments_the_commands_are_shown(run):
    code, out, err = run()
    assert (code, out) == (1, "")
    assert all(f"\n  {command} " in err for command in COMMANDS)


@pytest.mark.parametrize(
    "arguments", [["--help"], ["-h"], *([command, "-h"] for command in COMMANDS), ["owned", "list", "-h"], ["owned", "forget", "-h"]]
)
def test_help(run, arguments):
    code, out, err = run(*arguments)
    assert (code, err) == (0, "")
    assert out.startswith("Usage: reconciler")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["aply"], "No such command 'aply'. (Did you mean one of: 'apply', 'policy'?) See reconciler --help"),
        (["drfit"], "No such command 'drfit'. Did you mean 'drift'? See reconciler --help"),
        (["nonsense"], "No such command 'nonsense'. See reconciler --help"),
        (["plan"], "Missing argument 'FILE...'. See reconciler plan --help"),
        (["plan", "--detailed-exitcod", "x"], "No such option '--detailed-exitcod'. Did you mean '--detailed-exitcode'? See reconciler plan --help"),
        (["apply", "--lock-timeout", "5", "x"], "'5' is not a duration: write a number and its unit, such as 30s or 5m. See reconciler apply --help"),
        (["apply", "--max-deletes", "-1", "x"], "'-1' is neither a number nor a percentage, such as 12 or 30%. See reconciler apply --help"),
        (["apply", "--parallelism", "0", "x"], "0 is not in the range 1<=x<=256. See reconciler apply --help"),
        (["plan", "--format", "yaml", "x"], "'yaml' is not one of 'text', 'json', 'markdown'. See reconciler plan --help"),
        (["destroy"], "Missing FILE, or --name when the file is gone. See reconciler destroy --help"),
        (
            ["destroy", "--name", "x", "y.yaml"],
            "FILE excludes --name and --connections: those are for a manifest whose file is gone. See reconciler destroy --help",
        ),
        (
            ["destroy", "--auto-approve", "--name", "No Name"],
            "Invalid value for --name: 'No Name' is not a manifest's name. See reconciler destroy --help",
        ),
        (["owned", "shwo"], "No such command 'shwo'. Did you mean 'show'? See reconciler owned --help"),
        (["schema", "state"], "'state' is not one of 'manifest', 'plan', 'events'. See reconciler schema --help"),
    ],
)
def test_a_mistake_of_usage_is_one_line_and_exit_code_1(run, arguments, said):
    code, out, err = run(*arguments)
    assert (code, out) == (1, "")
    assert err.startswith("reconciler: error: ")
    assert err.endswith(f"{said}\n")
    assert err.count("\n") == 1


@pytest.mark.parametrize("document", ["manifest", "plan"])
def test_schemas_are_written(run, document):
    code, out, err = run("schema", document)
    assert (code, err) == (0, "")
    jsonschema.Draft202012Validator.check_schema(json.loads(out))


def test_every_mistake_of_a_manifest_is_a_line_that_begins_with_its_place(run, tmp_path):
    path = tmp_path / "bad.yaml"
    path.write_text("version: 1\nname: Bad\nkv: {a: 1}\n", "utf-8")
    code, out, err = run("validate", str(path))
    assert (code, out) == (1, "")
    assert [line.startswith(f"{path}:{place}: ") for line, place in zip(err.splitlines(), ["2:7", "3:9"], strict=True)] == [True, True]


def test_a_valid_manifest(run, manifest):
    assert run("validate", manifest) == (0, "mesh: valid, 1 resource.\n", "")


def test_the_commands_that_need_no_manifest_import_little():
    heavy = {"pydantic", "structlog", "rich", "consul", "urllib3", "psycopg", "deepdiff", "ruamel"}
    program = f"import sys; from reconciler.cli.main import main; main(sys.argv[1:]); print(sorted({heavy!r} & set(sys.modules)), file=sys.stderr)"
    for argument in ("version", "--help"):
        done = subprocess.run([sys.executable, "-c", program, argument], capture_output=True, text=True, check=True)
        assert done.stderr == "[]\n"


def test_a_warning_begins_with_its_place_too(run, tmp_path):
    path = tmp_path / "mesh.yaml"
    path.write_text("version: 1\nname: mesh\nconsul: {token: 00000000-1111-2222-3333-444444444444}\n", "utf-8")
    code, out, err = run("validate", str(path))
    assert (code, out) == (0, "mesh: valid, 0 resources.\n")
    assert err.startswith(f"{path}:3:17: warning: consul.token: ")
    assert "4444" not in err
