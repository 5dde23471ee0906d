"""``make demo`` works, on a machine that may have anything in its environment, and can be interrupted; so can ``make demo-gateway``.

What the latter tells is a test by itself: tests/e2e/test_data_path.py.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

_ROOT = Path(__file__).parents[2]


def _hear_interrupts():
    """A background job of a shell without job control is born deaf to them, and so is all that it starts."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def _start(demo="demo", **environ):
    return subprocess.Popen(
        [sys.executable, "-m", f"tests.servers.{demo}"],
        cwd=_ROOT,
        env=os.environ | environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=_hear_interrupts,  # noqa: PLW1509  # there is one thread here
    )


@pytest.fixture
def temporary():
    """A folder with a short path: a test machine has a socket in it, and those of sockets have 107 bytes at most."""
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


def test_demo_ends_well_and_uses_nobody_elses_servers():
    with _start(CONSUL_HTTP_ADDR="http://127.0.0.1:1", PGHOST="127.0.0.1", PGPORT="1") as demo:
        told, complaints = demo.communicate()
    assert (demo.returncode, complaints) == (0, "")
    assert "(exit code 2)" in told
    assert "No changes. Live state matches the manifest." in told
    assert told.splitlines()[-1].startswith("Done, in ")
    assert "\033" not in told


_WITH_MACHINE = pytest.param("demo_gateway", "2. Apply", marks=[pytest.mark.systemd, pytest.mark.envoy])


@pytest.mark.parametrize(("name", "step"), [("demo", "1. Plan"), ("demo", "2. Apply"), ("demo", "5. Drift"), _WITH_MACHINE])
def test_interrupted_demo_stops_its_servers(temporary, name, step):
    with _start(name, TMPDIR=str(temporary)) as demo:
        assert demo.stdout
        address = re.findall(r" at http://([\d.:]+)", demo.stdout.readline())[0]
        for line in demo.stdout:
            if line.startswith(step):
                break
        demo.send_signal(signal.SIGINT)
        told, complaints = demo.communicate()
    assert demo.returncode == 130, told
    assert complaints.endswith("interrupted; everything is stopped\n")
    assert "Traceback" not in complaints
    assert list(temporary.iterdir()) == []
    host, port = address.split(":")
    listening = subprocess.run(
        [sys.executable, "-c", f"import socket; socket.create_connection(({host!r}, {port}))"], capture_output=True, check=False
    )
    assert listening.returncode != 0


@pytest.mark.parametrize(
    ("environ", "why"), [({"PATH": ""}, "test machines need "), ({"ENVOY": "/nowhere"}, "$ENVOY is /nowhere, which cannot be run")]
)
def test_demo_of_a_gateway_says_why_it_cannot_run_here(environ, why):
    with _start("demo_gateway", **environ) as demo:
        told, complaints = demo.communicate()
    assert (demo.returncode, told) == (77, "")
    assert complaints.startswith("error: this machine cannot run it: ")
    assert why in complaints
