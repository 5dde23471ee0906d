"""A proxy in front of Postgres that counts statements, and can make things go wrong at an exact write.

It reads the messages of Postgres' protocol (version 3, without TLS) as they pass. A statement is counted when it is to be run: a simple query, or
the execution of a prepared one. Writes are numbered from 1 in the order in which they arrive; what only asks or brackets is no write: SELECT, SHOW,
SET, BEGIN, COMMIT and their like. ``counts`` may decide otherwise, for example to count COMMIT, which is when a transaction's writes happen.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import struct
import threading
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Self

from tests.servers.counting_proxy import Fate
from tests.servers.ports import LOOPBACK

_ASKING = frozenset(
    [
        *("SELECT", "SHOW", "VALUES", "TABLE", "EXPLAIN", "DECLARE", "FETCH", "CLOSE", "LISTEN"),
        *("SET", "RESET", "DISCARD", "DEALLOCATE"),
        *("BEGIN", "START", "COMMIT", "END", "ROLLBACK", "ABORT", "SAVEPOINT", "RELEASE"),
    ]
)
_COMMENTS = re.compile(r"\s+|--[^\n]*\n?|/\*.*?\*/", re.DOTALL)
_SPECIAL_REQUESTS = frozenset({80877102, 80877103, 80877104})  # cancel, SSL, GSS encryption: sent in place of a start-up packet


@dataclass(frozen=True, slots=True)
class Statement:
    """One numbered write, as text with its parameters left out."""

    number: int
    text: str

    def __str__(self) -> str:
        return f"{self.number}: {self.text}"


Callback = Callable[[Statement], Fate | None]
"""Called right before a write is forwarded, or when its outcome has arrived and was not passed on. ``None`` is :attr:`Fate.PASS`. What it raises is
:attr:`Fate.END`, and raised again when the proxy is left."""


def first_word(text: str) -> str:
    """The statement's first word in capitals, comments skipped; empty when there is none."""
    position = 0
    while match := _COMMENTS.match(text, position):
        position = match.end()
    word = re.compile(r"\w+").match(text, position)
    return word[0].upper() if word else ""


def is_write(text: str) -> bool:
    """Whether the statement may change something. ``WITH`` goes by the words in it, and a SELECT that calls a changing function is not noticed."""
    word = first_word(text)
    if word == "WITH":
        return re.search(r"\b(INSERT|UPDATE|DELETE|MERGE)\b", text, re.IGNORECASE) is not None
    return word != "" and word not in _ASKING


@dataclass(slots=True)
class _Expected:
    """An answer that must come. ``ends``: the message types that complete it."""

    ends: bytes
    writes: list[Statement] = field(default_factory=list)


_SYNC = b"Z"
_EXECUTED = b"CIsE"


class PostgresProxy:
    """A TCP proxy on a loopback port of its own; a context manager. Clients connect with ``sslmode`` disable or prefer.

    ``statements``: how many by first word. ``writes``: all of them, in order. ``connections``: how many were opened. ``before`` and ``after`` may be
    set at any time.
    """

    def __init__(
        self, host: str, port: int, *, before: Callback | None = None, after: Callback | None = None, counts: Callable[[str], bool] = is_write
    ) -> None:
        self.upstream = (host, port)
        self.before, self.after = before, after
        self.counts = counts
        self.statements: Counter[str] = Counter()
        self.writes: list[Statement] = []
        self.connections = 0
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._mistakes: list[Exception] = []
        self._listener = socket.create_server((LOOPBACK, 0), backlog=128)
        self._open: set[socket.socket] = set()

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._end()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        if self._mistakes and kind is None:
            raise self._mistakes[0]

    @property
    def host(self) -> str:
        """To be used as PGHOST."""
        return LOOPBACK

    @property
    def port(self) -> int:
        """To be used as PGPORT."""
        return int(self._listener.getsockname()[1])

    @property
    def has_ended(self) -> bool:
        """Whether a callback said :attr:`Fate.END`."""
        return self._ended.is_set()

    def reset(self) -> None:
        """Count from 0 again, without callbacks."""
        with self._lock:
            self.statements.clear()
            self.writes.clear()
            self.connections = 0
            self.before = self.after = None
            self._ended.clear()

    def kill_before(self, number: int, pid: Callable[[], int]) -> None:
        """Kill a process right before write ``number`` would be forwarded; nothing that it had sent after that is forwarded either."""
        self.before = _killer(number, pid)

    def kill_after(self, number: int, pid: Callable[[], int]) -> None:
        """Kill a process when the outcome of write ``number`` is known to Postgres, before the process can see it."""
        self.after = _killer(number, pid)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, contextlib.suppress(OSError), socket.create_connection(self.upstream) as server:
            for end in (client, server):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._lock:
                if self._ended.is_set():
                    return
                self.connections += 1
                self._open |= {client, server}
            try:
                _Session(self, client, server).run()
            finally:
                with self._lock:
                    self._open -= {client, server}

    def _end(self) -> None:
        """Nothing is forwarded any more, on no connection."""
        self._ended.set()
        with self._lock:
            for end in self._open:
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)

    def count(self, text: str) -> Statement | None:
        """Count a statement that is to be run; the write, if it is one."""
        with self._lock:
            self.statements[first_word(text)] += 1
            if not self.counts(text):
                return None
            write = Statement(len(self.writes) + 1, text)
            self.writes.append(write)
            return write

    def goes_on(self, callback: Callback | None, write: Statement) -> bool:
        """Ask a callback whether to go on with this connection."""
        if self._ended.is_set():
            return False
        fate = self._ask(callback, write) if callback else None
        if fate is Fate.END:
            self._end()
        return fate in (None, Fate.PASS)

    def _ask(self, callback: Callback, write: Statement) -> Fate | None:
        try:
            return callback(write)
        except Exception as error:  # noqa: BLE001  # this is not the test's thread, where it would be seen
            self._mistakes.append(error)
            return Fate.END


def _killer(number: int, pid: Callable[[], int]) -> Callback:
    def kill(write: Statement) -> Fate | None:
        if write.number != number:
            return None
        os.kill(pid(), signal.SIGKILL)
        return Fate.END

    return kill


class _Session:
    """One client connection: what it prepared, and which answers are still to come."""

    def __init__(self, proxy: PostgresProxy, client: socket.socket, server: socket.socket) -> None:
        self._proxy = proxy
        self._client, self._server = client, server
        self._statements: dict[bytes, str] = {}
        self._portals: dict[bytes, str] = {}
        self._expected: deque[_Expected] = deque()

    def run(self) -> None:
        """Forward both ways until either side ends."""
        if not self._start_up():
            return
        backwards = threading.Thread(target=self._forward_answers, daemon=True)
        backwards.start()
        with contextlib.suppress(OSError):
            while message := _read_message(self._client):
                if not self._passes(*message):
                    break
                self._server.sendall(_framed(*message))
        self._close()
        backwards.join()

    def _close(self) -> None:
        for end in (self._client, self._server):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def _start_up(self) -> bool:
        """Forward what comes before messages have types: requests for encryption, which these servers decline, and the start-up packet."""
        while length := _read(self._client, 4):
            body = _read(self._client, struct.unpack("!I", length)[0] - 4)
            self._server.sendall(length + body)
            (code,) = struct.unpack("!I", body[:4])
            if code not in _SPECIAL_REQUESTS:
                return True
            self._client.sendall(_read(self._server, 1))
        return False

    def _passes(self, kind: bytes, body: bytes) -> bool:
        """Look at a message of the client; whether to forward it."""
        if kind == b"Q":
            return self._runs(_text(body), _Expected(_SYNC))
        if kind == b"P":
            name, query, _ = body.split(b"\0", 2)
            self._statements[name] = _text(query)
        elif kind == b"B":
            portal, name, _ = body.split(b"\0", 2)
            self._portals[portal] = self._statements.get(name, "")
        elif kind == b"E":
            return self._runs(self._portals.get(body.split(b"\0", 1)[0], ""), _Expected(_EXECUTED))
        elif kind == b"S":
            self._expected.append(_Expected(_SYNC))
        return True

    def _runs(self, text: str, expected: _Expected) -> bool:
        write = self._proxy.count(text)
        if write:
            expected.writes.append(write)
            if not self._proxy.goes_on(self._proxy.before, write):
                return False
        self._expected.append(expected)
        return True

    def _forward_answers(self) -> None:
        with contextlib.suppress(OSError):
            while message := _read_message(self._server):
                if not all(self._proxy.goes_on(self._proxy.after, write) for write in self._completed(message[0])):
                    break
                self._client.sendall(_framed(*message))
        self._close()

    def _completed(self, kind: bytes) -> list[Statement]:
        """The writes whose outcome this message of the server is."""
        if not self._expected:
            return []  # logging in
        first = self._expected[0]
        if first.ends == _EXECUTED and kind in (b"E", b"Z"):
            # after an error Postgres skips everything up to the next Sync; so do we
            while self._expected and self._expected[0].ends == _EXECUTED:
                self._expected.popleft()
            if kind == b"E":
                return first.writes
        elif kind not in first.ends or kind == b"":
            return []
        return self._expected.popleft().writes if self._expected else []


def _read(end: socket.socket, size: int) -> bytes:
    """Exactly ``size`` bytes; fewer only when the connection ended."""
    parts = bytearray()
    while len(parts) < size and (part := end.recv(size - len(parts))):
        parts += part
    return bytes(parts)


def _read_message(end: socket.socket) -> tuple[bytes, bytes] | None:
    header = _read(end, 5)
    if len(header) < 5:
        return None
    return header[:1], _read(end, struct.unpack("!I", header[1:])[0] - 4)


def _framed(kind: bytes, body: bytes) -> bytes:
    return kind + struct.pack("!I", len(body) + 4) + body


def _text(body: bytes) -> str:
    return body.split(b"\0", 1)[0].decode(errors="replace")
