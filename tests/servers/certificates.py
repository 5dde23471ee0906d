"""Keys with their certificates, made by Consul's own certificate maker, so that nothing else is needed."""

from __future__ import annotations

import atexit
import functools
import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.servers.consul_binary import NoConsul, find


@dataclass(frozen=True)
class Pair:
    """PEM texts without the newline at their end."""

    certificate: str
    key: str


PAIRS: Final = Path(tempfile.gettempdir(), f"reconciler-certificates-{os.getpid()}")
"""Where :func:`two_pairs` are: ``0.pem`` and ``0-key.pem``, ``1.pem`` and ``1-key.pem``."""


@functools.cache
def two_pairs() -> tuple[Pair, Pair]:
    """Two different ones, made when they are first needed and gone with the process."""
    binary = find()
    if binary is None:
        raise NoConsul("there is no Consul here: `make servers` gets one")
    PAIRS.mkdir(mode=0o700)
    atexit.register(shutil.rmtree, PAIRS, ignore_errors=True)
    for number in range(2):
        subprocess.run([str(binary), "tls", "ca", "create", "-domain=example.com"], cwd=PAIRS, check=True, capture_output=True)
        (PAIRS / "example.com-agent-ca.pem").rename(PAIRS / f"{number}.pem")
        (PAIRS / "example.com-agent-ca-key.pem").rename(PAIRS / f"{number}-key.pem")
    return _read(0), _read(1)


def _read(number: int) -> Pair:
    certificate, key = (PAIRS / f"{number}{ending}" for ending in (".pem", "-key.pem"))
    return Pair(certificate.read_text().rstrip("\n"), key.read_text().rstrip("\n"))
