"""How a demo is told: text, commands as one would type them, what they print, and that each ends as it is said to; and how it ends itself."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from tests.servers.consul_binary import NoConsul, obtain
from tests.servers.supervised import ServerFailed
from tests.servers.traces import Traces

_ENDS = (signal.SIGINT, signal.SIGTERM)
_KEPT = ("PATH", "HOME", "TERM", "LANG", "NO_COLOR", "COLUMNS")
CANNOT_RUN_HERE = 77
"""The exit code for that, as with test programs of automake."""


class DemoFailed(Exception):
    """Something was not as the demo says."""


class CannotRunHere(Exception):
    """This machine does not have, or does not allow, what a demo needs; and what that is."""


def _ended(argv: list[str], folder: Path, environ: dict[str, str]) -> int:
    """Run a program to its end; its exit code. When we are interrupted, it is, once, and is waited for.

    It is in a process group of its own, or Ctrl-C on a terminal would reach it twice. We are not interrupted while it starts: between its start and
    our knowing its process id nobody could end it.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, _ENDS)
    with subprocess.Popen(
        argv,
        cwd=folder,
        env=environ,
        stdin=subprocess.DEVNULL,
        process_group=0,
        preexec_fn=_may_be_interrupted,  # noqa: PLW1509  # there are no threads here
    ) as program:
        try:
            _may_be_interrupted()
            return program.wait()
        except KeyboardInterrupt:
            program.send_signal(signal.SIGINT)
            program.wait()
            raise


def _may_be_interrupted() -> None:
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _ENDS)


class Story:
    """What the reader sees: text, commands, and what the commands print."""

    def __init__(self, folder: Path, environ: dict[str, str]) -> None:
        self._folder, self._environ = folder, environ
        self._steps = 0
        self._is_terminal = sys.stdout.isatty() and "NO_COLOR" not in os.environ
        self._width = min(shutil.get_terminal_size((110, 24)).columns, 110)

    def step(self, title: str, text: str) -> None:
        """A heading, and what to look at."""
        self._steps += 1
        print(f"\n{self._styled('1', f'{self._steps}. {title}')}\n{textwrap.fill(' '.join(text.split()), self._width)}", flush=True)

    def run(self, *arguments: str, expect: int = 0) -> None:
        """Run the command, shown as one would type it; it must end with ``expect``."""
        print(f"\n{self._styled('2', f'$ reconciler {shlex.join(arguments)}')}", flush=True)
        program = Path(sys.executable).with_name("reconciler")
        code = _ended([str(program), *arguments], self._folder, self._environ)
        print(self._styled("2", f"(exit code {code})"), flush=True)
        if code != expect:
            raise DemoFailed(f"`reconciler {shlex.join(arguments)}` ended with {code}, not {expect}")

    def aside(self, text: str) -> None:
        """Something that happens outside the command."""
        print(f"\n{self._styled('2', f'# {text}')}", flush=True)

    def _styled(self, code: str, text: str) -> str:
        return f"\033[{code}m{text}\033[0m" if self._is_terminal else text


def nothing_is_left(story: Story, left: Traces) -> None:
    """Say so, or fail."""
    story.aside(f"Checked, what is left: {left}")
    if not left.are_none:
        raise DemoFailed(f"something was left behind, or taken along: {left.names}")


def told(act: Callable[[], None]) -> int:
    """Run a demo, which stops its servers however it ends; its exit code. A Consul is got before."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        obtain()
        started = time.monotonic()
        act()
        print(f"\nDone, in {time.monotonic() - started:.0f} s, and all servers are stopped.")
    except KeyboardInterrupt:
        print("\ninterrupted; everything is stopped", file=sys.stderr)
        return 130
    except CannotRunHere as reason:
        print(f"error: this machine cannot run it: {reason}", file=sys.stderr)
        return CANNOT_RUN_HERE
    except (DemoFailed, NoConsul, ServerFailed) as error:
        print(f"\nerror: {error}", file=sys.stderr)
        return 1
    return 0


def environment(*servers: Mapping[str, str]) -> dict[str, str]:
    """Nothing of the developer's but what concerns the terminal, and how to reach ``servers``."""
    environ = {name: os.environ[name] for name in _KEPT if name in os.environ}
    for server in servers:
        environ |= server
    return environ
