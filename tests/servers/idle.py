"""A program for units whose process is not what is tested: it tells its version, as consul and envoy do, and otherwise stays."""

from __future__ import annotations

from typing import Final

from tests.servers.machine import Machine

IDLE: Final = "/usr/local/bin/idle"
_PROGRAM = """#!/bin/sh
case $1 in
    version) echo Consul v1.22.3 ;;
    --version) echo envoy version: 0/1.34.1/Clean/RELEASE/BoringSSL ;;
    *) exec sleep infinity ;;
esac
"""


def put_idle(machine: Machine) -> None:
    """Have it on ``machine``."""
    machine.write(IDLE, _PROGRAM, mode="0755")
