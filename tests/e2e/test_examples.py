"""Every example is checked, planned, applied, planned again (which is empty) and destroyed, with the files that its README names."""

import getpass
import grp
import json
import os
import re
import shutil

import pytest

from tests.e2e.command import ROOT, Command
from tests.servers import demo_gateway

EXAMPLES = sorted(path for path in (ROOT / "examples").iterdir() if path.is_dir())


def plans(example):
    """The files of each ``reconciler plan`` in the README."""
    return [line.split() for line in re.findall(r"^ +reconciler plan ([^#\n]+)", (example / "README.md").read_text("utf-8"), re.MULTILINE)]


ELSEWHERE = [demo_gateway.EXAMPLE]
"""Told on machines of their own by tests/e2e/test_data_path.py."""
HERE = [example for example in EXAMPLES if example not in ELSEWHERE]
CASES = [pytest.param(example, files, id=f"{example.name} {' '.join(files)}") for example in HERE for files in plans(example)]


@pytest.mark.parametrize(("example", "files"), CASES)
def test_example(reconciler, tmp_path, live, example, files):
    folder = tmp_path / "example"
    shutil.copytree(example, folder)
    elsewhere(folder, tmp_path)
    run = Command(folder, reconciler.environment)
    before = live()
    checked = run("validate", *files, expect=0)
    assert checked.err == ""
    planned = run("plan", *files, expect=0)
    assert re.fullmatch(r"Plan: [1-9]\d* to add, 0 to change, 0 to replace, 0 to delete, 0 to adopt, 0 to forget\.", planned.last)
    run("apply", "--auto-approve", *files, expect=0)
    assert run("plan", "--detailed-exitcode", *files, expect=0).out == "No changes. Live state matches the manifest.\n"
    destroyed = run("destroy", "--auto-approve", *files, expect=0)
    assert destroyed.last.startswith("Apply complete: 0 added, ")
    assert live() == before
    assert not (tmp_path / "token").exists()


@pytest.mark.parametrize("example", ELSEWHERE, ids=lambda example: example.name)
def test_example_for_other_machines_is_valid_as_it_is(command, example):
    for files in plans(example):
        assert Command(example, command.environment)("validate", *files, expect=0).err == ""


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.name)
def test_example_has_a_readme_that_names_all_its_files(example):
    named = {name for files in plans(example) for name in files}
    assert {path.name for path in example.glob("*.yaml")} <= named


def elsewhere(folder, tmp_path):
    """The overlay that the README of an example tells everybody to write who is not root: token files in a folder of one's own."""
    file = {"path": str(tmp_path / "token"), "owner": getpass.getuser(), "group": grp.getgrgid(os.getgid()).gr_name}
    (folder / "elsewhere.yaml").write_text(json.dumps({"mesh_credentials": {"tokens": {"example-metrics": {"file": file}}}}))
