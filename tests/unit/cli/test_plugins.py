"""Packages that are installed beside this program have no say in it."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]


def test_a_plugin_of_pydantic_is_not_shown_the_manifest(tmp_path):
    described = tmp_path / "spy-1.dist-info"
    described.mkdir()
    (described / "METADATA").write_text("Metadata-Version: 2.1\nName: spy\nVersion: 1\n")
    (described / "entry_points.txt").write_text("[pydantic]\nspy = spy:plugin\n")
    (tmp_path / "spy.py").write_text("print('spy is here')\nclass plugin:\n    new_schema_validator = staticmethod(lambda *_: (None, None, None))\n")
    (tmp_path / "m.yaml").write_text("version: 1\nname: m\nkv: {a: b}\n")
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"}
    for program, seen in ((["-m", "reconciler.cli.main"], False), (["-c", "from reconciler.cli.main import main; main()"], True)):
        run = subprocess.run([sys.executable, *program, "validate", "m.yaml"], cwd=tmp_path, env=environment, capture_output=True, check=True)
        assert b"m: valid, 1 resource" in run.stdout, str(run)
        assert (b"spy is here" in run.stdout) is seen
