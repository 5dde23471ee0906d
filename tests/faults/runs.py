"""The command line in processes of their own, which can be killed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from tests.forks import fork

_LIMIT_S = 60
"""After this long a run hangs."""


class Run:
    """One run, started at once. ``first`` is called in the process before the run."""

    def __init__(self, arguments: Sequence[str], environment: Mapping[str, str], folder: Path, first: Callable[[], object] | None = None) -> None:
        number = sum(1 for _ in folder.glob("run-*.out"))
        self._files = (folder / f"run-{number}.out", folder / f"run-{number}.err")
        for file in self._files:
            file.touch(exist_ok=False)
        self._process = fork(arguments, environment, folder, self._files, first=first)

    @property
    def pid(self) -> int:
        """Its process id."""
        assert self._process.pid is not None
        return self._process.pid

    @property
    def code(self) -> int:
        """Its exit code, once it has ended; minus the signal that killed it."""
        self._process.join(_LIMIT_S)
        if self._process.exitcode is None:
            self._process.kill()
            raise AssertionError(f"the run hangs\n{self.output}{self.errors}")
        return self._process.exitcode

    @property
    def is_running(self) -> bool:
        """Whether it has not ended yet."""
        return self._process.is_alive()

    @property
    def output(self) -> str:
        """What it wrote to standard output so far."""
        return self._files[0].read_text()

    @property
    def errors(self) -> str:
        """What it wrote to standard error so far."""
        return self._files[1].read_text()

    @property
    def last_line(self) -> str:
        """The last line of standard output, which is stable."""
        return (self.output.splitlines() or [""])[-1]

    def __repr__(self) -> str:
        return f"exit code {self._process.exitcode}\n{self.output}{self.errors}"
