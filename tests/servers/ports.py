"""Ports on loopback that nobody listens on."""

from __future__ import annotations

import random
import socket

LOOPBACK = "127.0.0.1"
_FIRST, _LAST = 20_000, 32_000  # below what the kernel gives to outgoing connections, which would take a port between our look and its use


def free_ports(count: int) -> list[int]:
    """``count`` different ports that were free a moment ago, picked at random: two processes that pick at one time seldom meet.

    Nothing holds them, so a server that finds its port taken after all is started again with others.
    """
    found: list[int] = []
    while len(found) < count:
        port = random.randint(_FIRST, _LAST)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((LOOPBACK, port))
            except OSError:
                continue
        if port not in found:
            found.append(port)
    return found
