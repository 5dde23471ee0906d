"""What the servers for tests have in common: ports of their own, a process that is ended with whoever started it, a folder that goes with it."""

from __future__ import annotations

import shutil
from abc import ABC, abstractmethod
from pathlib import Path
from typing import ClassVar, Self

from tests.servers.supervised import ServerFailed, Supervised

_TRIES = 5


class Server(ABC):
    """A server on loopback; started and stopped as a context manager. ``folder`` is all that it writes to."""

    folder: Path
    says_port_is_taken: ClassVar[str]
    _process: Supervised | None = None

    @abstractmethod
    def _prepare(self) -> None:
        """Make what it needs before it is first started."""

    @abstractmethod
    def _choose_ports(self) -> None:
        """Take ports that are free now."""

    @abstractmethod
    def _start_once(self) -> None:
        """Set ``_process`` and wait until it can be used. Raises ServerFailed."""

    def start(self) -> Self:
        """Start it, on other ports when one was taken meanwhile, and wait until it can be used."""
        try:
            self._prepare()
            for attempt in range(1, _TRIES + 1):
                self._choose_ports()
                try:
                    self._start_once()
                except ServerFailed as failure:
                    self._end()
                    if attempt == _TRIES or self.says_port_is_taken not in str(failure):
                        raise
                else:
                    break
        except BaseException:
            self.stop()
            raise
        return self

    def restart(self) -> None:
        """Stop it and start it again on the same ports."""
        self._end()
        self._start_once()

    def kill(self) -> None:
        """End it as a power cut would; :meth:`restart` brings it back."""
        self._running.kill()

    def stop(self) -> None:
        """Stop it and remove all that it wrote."""
        self._end()
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        """The process id of the server itself."""
        return self._running.pid

    @property
    def _running(self) -> Supervised:
        assert self._process is not None, "not started"
        return self._process

    def _end(self) -> None:
        if self._process is not None:
            self._process.stop()
            self._process = None
