"""Runs commands in this process, against operations that answer with a plan made by hand."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from reconciler.cli.main import main

MANIFEST = """\
version: 1
name: mesh
kv:
  app/name: files
"""


class Result(NamedTuple):
    code: int
    out: str
    err: str


@pytest.fixture
def manifest(tmp_path: Path) -> str:
    path = tmp_path / "mesh.yaml"
    path.write_text(MANIFEST, "utf-8")
    return str(path)


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Callable[..., Result]:
    def command(*arguments: str) -> Result:
        code = main(arguments)
        captured = capsys.readouterr()
        return Result(code, captured.out, captured.err)

    return command
