"""What is put into a process under test before its run: ways to die, or to see, that a proxy in front of a server cannot give."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import Any

_STEPS = frozenset({"open", "fchown", "fchmod", "fsync", "link", "rename", "unlink"})


class KilledAtStep:
    """Kills the process right before, or right after, its ``number``-th call that makes, changes or removes something in a file system."""

    def __init__(self, number: int, *, after: bool) -> None:
        self.number = number
        self.after = after

    def __call__(self) -> None:
        from reconciler.systems.host import local

        assert vars(local)["os"] is os, "files are written elsewhere now"
        vars(local)["os"] = _CountingOs(self.number, after=self.after)


class _CountingOs:
    """The module ``os`` to one other module."""

    def __init__(self, number: int, *, after: bool) -> None:
        self._left = number
        self._after = after

    def __getattr__(self, name: str) -> Any:
        called = getattr(os, name)
        return self._counted(called) if name in _STEPS else called

    def _counted(self, called: Callable[..., Any]) -> Callable[..., Any]:
        def step(*arguments: Any, **named: Any) -> Any:
            if called is os.open and not arguments[1] & os.O_WRONLY:
                return called(*arguments, **named)
            self._left -= 1
            if self._left == 0 and not self._after:
                os.kill(os.getpid(), signal.SIGKILL)
            try:
                return called(*arguments, **named)
            finally:
                if self._left == 0 and self._after:
                    os.kill(os.getpid(), signal.SIGKILL)

        return step


class WithoutLockDelay:
    """Consul keeps a lock from everybody for 15 s after its session was destroyed; without that, the next run need not wait."""

    def __call__(self) -> None:
        from reconciler.ownership import lock

        assert "LOCK_DELAY_S" in vars(lock)
        vars(lock)["LOCK_DELAY_S"] = 0
