"""Runs the real command in a process of its own, as a person or a pipeline would."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.forks import PROGRAM, fork
from tests.servers.supervised import in_memory

ROOT = Path(__file__).parents[2]
LIMIT_S = 120


@dataclass(frozen=True, slots=True)
class Run:
    """What one run wrote, and its exit code."""

    arguments: tuple[str, ...]
    code: int
    out: str
    err: str

    @property
    def last(self) -> str:
        """The last line of standard output, which other programs read."""
        return self.out.splitlines()[-1] if self.out else ""

    @property
    def json(self) -> Any:
        """Standard output as JSON."""
        return json.loads(self.out)

    @property
    def events(self) -> list[Any]:
        """Standard output as JSON, one document a line."""
        return [json.loads(line) for line in self.out.splitlines()]

    def __str__(self) -> str:
        return f"reconciler {' '.join(self.arguments)}\nexit code {self.code}\n--- standard output\n{self.out}--- standard error\n{self.err}"


@dataclass(frozen=True, slots=True)
class Command:
    """The command in ``folder`` with nothing but ``environment``. ``program`` is what Python is told to run."""

    folder: Path
    environment: Mapping[str, str]
    program: Sequence[str] = PROGRAM

    @property
    def whole_environment(self) -> dict[str, str]:
        """With what Python needs to find the program, and whatever was decided about its caches."""
        python = {name: value for name, value in os.environ.items() if name in ("PYTHONDONTWRITEBYTECODE", "PYTHONPYCACHEPREFIX")}
        return {**self.environment, **python, "PYTHONPATH": str(ROOT)}

    def start(self, *arguments: str, **options: Any) -> subprocess.Popen[bytes]:
        """A running process, with an interpreter of its own; ``options`` are those of Popen."""
        return subprocess.Popen([sys.executable, *self.program, *arguments], cwd=self.folder, env=self.whole_environment, **options)

    def __call__(self, *arguments: str, expect: int | None = None) -> Run:
        """Run it to its end, with no terminal and nothing to read; it must end with ``expect``, if that is given."""
        with tempfile.TemporaryDirectory(dir=in_memory()) as folder:
            files = (Path(folder, "out"), Path(folder, "err"))
            for file in files:
                file.touch()
            process = fork(arguments, self.whole_environment, self.folder, files, program=self.program)
            process.join(LIMIT_S)
            if process.exitcode is None:
                process.kill()
                process.join()
                raise AssertionError(f"the run hangs: {arguments}")
            return _demand(expect, Run(arguments, process.exitcode, *(file.read_bytes().decode() for file in files)))

    def from_scratch(self, *arguments: str, expect: int | None = None, **options: Any) -> Run:
        """The same with an interpreter of its own, as a person starts it, but several times as slow; ``options`` are those of Popen."""
        process = self.start(*arguments, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options)
        try:
            out, err = process.communicate(timeout=LIMIT_S)
        except BaseException:
            process.kill()
            process.communicate()
            raise
        return _demand(expect, Run(arguments, process.returncode, out.decode(), err.decode()))

    def having(self, **environment: str | None) -> Command:
        """The same command with other variables; None takes one away."""
        merged = {**self.environment, **environment}
        return Command(self.folder, {name: value for name, value in merged.items() if value is not None}, self.program)


def _demand(code: int | None, run: Run) -> Run:
    assert code is None or run.code == code, str(run)
    return run
