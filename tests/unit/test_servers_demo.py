"""``make demo`` works, on a machine that may have anything in its environment, and can be interrupted."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

_ROOT = Path(__file__).parents[2]


def _hear_interrupts():
    """A background job of a shell without job control is born deaf to them, and so is all that it starts."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def _start(**environ):
    return subprocess.Popen(
        [sys.executable, "-m", "tests.servers.demo"], cwd=_ROOT, env=os.environ | environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        preexec_fn=_hear_interrupts,  # noqa: PLW1509  # there is one thread here
    )  # fmt: skip


def test_demo_ends_well_and_uses_nobody_elses_servers():
    with _start(CONSUL_HTTP_ADDR="http://127.0.0.1:1", PGHOST="127.0.0.1", PGPORT="1") as demo:
        told, complaints = demo.communicate()
    assert (demo.returncode, complaints) == (0, "")
    assert "(exit code 2)" in told
    assert "No changes. Live state matches the manifest." in told
    assert told.splitlines()[-1].startswith("Done, in ")
    assert "\033" not in told


@pytest.mark.parametrize("step", ["1. Plan", "2. Apply", "5. Drift"])
def test_interrupted_demo_stops_its_servers(tmp_path, step):
    with _start(TMPDIR=str(tmp_path)) as demo:
        assert demo.stdout
        address = demo.stdout.readline().split(" at http://")[1].split(",")[0]
        for line in demo.stdout:
            if line.startswith(step):
                break
        demo.send_signal(signal.SIGINT)
        told, complaints = demo.communicate()
    assert demo.returncode == 130, told
    assert complaints.endswith("interrupted; everything is stopped\n")
    assert "Traceback" not in complaints
    assert list(tmp_path.iterdir()) == []
    host, port = address.split(":")
    listening = subprocess.run(
        [sys.executable, "-c", f"import socket; socket.create_connection(({host!r}, {port}))"], capture_output=True, check=False
    )
    assert listening.returncode != 0
