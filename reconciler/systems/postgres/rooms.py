"""The connection for changes inside a database. There is one on a server, so that its changes run one after the other, as DDL shall."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from reconciler.systems.postgres.session import Session


class Rooms:
    """Keeps the connection to the database that was changed last, because the next change is likely to be in it too. Safe for threads.

    ``connect`` makes a session in a database, ``await_end`` waits until the server has noticed the end of one of its processes, ``one_at_a_time`` is
    held by whoever is inside.
    """

    def __init__(self, connect: Callable[[str], Session], await_end: Callable[[int], None], one_at_a_time: threading.RLock) -> None:
        self._connect = connect
        self._await_end = await_end
        self._name = ""
        self._session: Session | None = None
        self._one_at_a_time = one_at_a_time

    @contextmanager
    def entered(self, name: str) -> Iterator[Session]:
        """The connection to ``name``, for one caller at a time."""
        with self._one_at_a_time:
            if self._session is None or self._name != name:
                self.leave()
                self._session, self._name = self._connect(name), name
            yield self._session

    def leave(self) -> None:
        """Close it: a session in a database hinders dropping and copying it."""
        with self._one_at_a_time:
            if self._session is None:
                return
            process = self._session.process
            self._session.close()
            self._session = None
            if process is not None:
                self._await_end(process)
