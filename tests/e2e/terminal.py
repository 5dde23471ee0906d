"""The command with a person at a terminal."""

from __future__ import annotations

import os
import pty
import re
import select
from typing import Any, Self

from tests.e2e.command import LIMIT_S, Command


class Terminal:
    """A run whose three streams are one terminal; a context manager. ``environment`` is added to the command's."""

    def __init__(self, command: Command, *arguments: str, **environment: str) -> None:
        self._descriptor, theirs = pty.openpty()
        streams: dict[str, Any] = dict.fromkeys(("stdin", "stdout", "stderr"), theirs)
        self.process = command.having(TERM="xterm", COLUMNS="100", **environment).start(*arguments, **streams, start_new_session=True)
        os.close(theirs)
        self._seen = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._descriptor)

    def until(self, text: str) -> str:
        """Read until ``text`` has been written; what was read up to its end."""
        while text not in self._seen:
            assert self._read(), f"{text!r} was not written, only {self._seen!r}"
        before, _, self._seen = self._seen.partition(text)
        return before + text

    def type(self, text: str) -> None:
        """As on a keyboard; control characters do what the terminal makes of them."""
        os.write(self._descriptor, text.encode())

    def rest(self) -> tuple[str, int]:
        """Everything up to the end, and the exit code."""
        while self._read():
            pass
        return self._seen, self.process.wait(LIMIT_S)

    def _read(self) -> bool:
        ready, _, _ = select.select([self._descriptor], [], [], LIMIT_S)
        assert ready, f"nothing was written any more after {self._seen!r}"
        try:
            more = os.read(self._descriptor, 4096)
        except OSError:  # how a terminal tells that the other side is gone
            return False
        self._seen += more.decode()
        return bool(more)


def without_colour(text: str) -> str:
    """What a person reads: no colours, no line that was taken away again, plain ends of lines."""
    plain = re.sub(r"\x1b\[[0-9;]*m", "", text).replace("\r\n", "\n")
    return re.sub(r"\r\x1b\[K(?:[^\n]*?(?=\r\x1b\[K))?", "", plain)
