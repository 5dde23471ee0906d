"""Runs commands in this process, against operations that answer with a plan made by hand."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from reconciler.cli import approval
from reconciler.cli.main import main
from reconciler.engine import operations
from reconciler.engine.operations import Progress
from tests.unit.report.samples import DONE

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


@pytest.fixture
def planned(monkeypatch):
    """Makes ``plan`` and ``drift`` answer."""

    def answer(made):
        def operation(*_, **__):
            if isinstance(made, BaseException):
                raise made
            return made

        monkeypatch.setattr(operations, "plan", operation)
        monkeypatch.setattr(operations, "drift", operation)

    return answer


@pytest.fixture
def applied(monkeypatch):
    """Makes ``apply`` plan ``made`` and answer; what it was asked is kept."""
    asked: dict[str, Any] = {}

    def answer(made, outcome=DONE):
        def operation(connections, options, *, approve, progress, stop):
            asked.update(options=options, name=connections.loaded.name)
            if isinstance(made, BaseException):
                raise made
            if made.is_empty or made.refusals or not approve(made):
                return made, None
            if isinstance(outcome, BaseException):
                progress(Progress(made.changes[0], "started"))
                progress(Progress(made.changes[0], "applied", seconds=0.25))
                raise outcome
            for result in outcome.results:
                progress(Progress(result.change, result.status.value, result.why, result.seconds))
            return made, outcome

        monkeypatch.setattr(operations, "apply", operation)
        return asked

    return answer


@pytest.fixture
def terminal(monkeypatch):
    """Pretends that there is a person, who answers."""

    def person(answer):
        monkeypatch.setattr(approval, "is_terminal", lambda _: True)
        monkeypatch.setattr("sys.stdin", io.StringIO(answer))

    return person
