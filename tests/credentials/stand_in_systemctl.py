"""Stands in for systemctl: ``FOLDER stop|start UNIT``."""

from __future__ import annotations

import json
import socket
import sys
from pathlib import Path


def systemctl(folder: Path, verb: str) -> None:
    """Have it done by who runs the Consul."""
    with socket.socket(socket.AF_UNIX) as control:
        control.connect(str(folder / "control"))
        control.sendall(f"{verb}\n".encode())
        assert control.recv(10) == b"done\n"


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    with (folder / "calls").open("a") as calls:
        calls.write(json.dumps({"argv": ["systemctl", *sys.argv[2:]]}) + "\n")
    systemctl(folder, sys.argv[2])
