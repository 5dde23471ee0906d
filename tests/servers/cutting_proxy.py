"""A proxy for any TCP connection that cuts it after so many bytes from the client, as a network would that breaks."""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import Self

from tests.servers.ports import LOOPBACK


class CuttingProxy:
    """Passes connections on to ``upstream``; a context manager.

    ``sent``: how many bytes clients have sent. When these are ``after`` bytes, all connections are cut; what comes then is passed on again, or with
    ``ends`` refused.
    """

    def __init__(self, upstream: tuple[str, int], *, after: int | None = None, ends: bool = False) -> None:
        self.upstream, self.after, self.ends = upstream, after, ends
        self.sent = 0
        self.was_cut = False
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._listener = socket.create_server((LOOPBACK, 0))

    @property
    def port(self) -> int:
        """Where it listens."""
        port: int = self._listener.getsockname()[1]
        return port

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._refuse()
        self.cut()

    def _refuse(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def cut(self) -> None:
        """Cut all connections now."""
        with self._lock:
            gone, self._open = self._open, set()
        for each in gone:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(self.upstream)
                with self._lock:
                    self._open |= {client, server}
                threading.Thread(target=self._pass_on, args=(client, server), kwargs={"counts": True}, daemon=True).start()
                threading.Thread(target=self._pass_on, args=(server, client), daemon=True).start()

    def _pass_on(self, source: socket.socket, target: socket.socket, *, counts: bool = False) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                left = self._allowed(len(data)) if counts else len(data)
                target.sendall(data[:left])
                if left < len(data):
                    if self.ends:
                        self._refuse()
                    self.cut()
                    return
            target.shutdown(socket.SHUT_WR)

    def _allowed(self, size: int) -> int:
        """How many of ``size`` more bytes may pass."""
        with self._lock:
            left = size if self.after is None or self.was_cut else min(size, max(self.after - self.sent, 0))
            self.sent += size
            self.was_cut = self.was_cut or left < size
            return left
