"""SIGINT and SIGTERM. Before anything is written they end the run at once; while an apply writes, they ask it to come to an end."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any, Final, Self

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)
_FIRST: Final = b"\nreconciler: interrupted: finishing what is in flight, nothing new is started\n"
_AGAIN: Final = b"\nreconciler: still finishing what is in flight; then the lock is released\n"


@contextmanager
def terminable() -> Iterator[None]:
    """SIGTERM does what Ctrl-C does, so that locks are released and connections closed."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, _interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


class Interruption:
    """A context in which a signal sets :attr:`stop`. Until :meth:`writing` was called it also raises KeyboardInterrupt, at the prompt for example."""

    def __init__(self) -> None:
        self.stop = threading.Event()
        self._writing = False
        self._before: list[tuple[signal.Signals, Any]] = []

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            self._before = [(number, signal.signal(number, self._on_signal)) for number in _SIGNALS]
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for number, handler in self._before:
            signal.signal(number, handler)

    def writing(self) -> None:
        """From now on the run is not cut off any more."""
        self._writing = True

    def _on_signal(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002  # the signature of a handler
        again = self.stop.is_set()
        self.stop.set()
        if not self._writing:
            raise KeyboardInterrupt
        # Not through sys.stderr: the signal may have come in the middle of a write to it.
        try:
            os.write(2, _AGAIN if again else _FIRST)
        except OSError:
            return


def _interrupt(number: int, frame: FrameType | None) -> None:  # noqa: ARG001  # the signature of a handler
    raise KeyboardInterrupt
