"""The program in processes of its own, forked from one that has imported everything already: a tenth of the time that a new interpreter takes."""

from __future__ import annotations

import json
import multiprocessing
import os
import runpy
import signal
import socketserver
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, Final

PROGRAM: Final = ("-m", "reconciler.cli.main")

# It has one thread, and forks before any other is started.
_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(["tests.warm", "tests.faults.inside", __name__])


def fork(
    arguments: Sequence[str],
    environment: Mapping[str, str],
    folder: Path,
    files: tuple[Path, Path],
    *,
    program: Sequence[str] = PROGRAM,
    first: Callable[[], object] | None = None,
) -> BaseProcess:
    """A process, started: ``program`` in ``folder``, with nothing to read; what it writes goes to ``files``. ``first`` is called before it runs."""
    given = (list(arguments), dict(environment), str(folder), [str(file) for file in files], list(program), first)
    process = _FORKS.Process(target=_run, args=given, daemon=True)
    process.start()
    return process


def _run(
    arguments: list[str], environment: dict[str, str], folder: str, files: list[str], program: list[str], first: Callable[[], Any] | None
) -> None:
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for descriptor, file in enumerate([os.devnull, *files]):
        opened = os.open(file, os.O_RDWR | os.O_APPEND)
        os.dup2(opened, descriptor)
        os.close(opened)
    # as an interpreter makes them that is started in the locale C.UTF-8
    sys.stdin = os.fdopen(0, encoding="utf-8", errors="surrogateescape", closefd=False)
    sys.stdout = os.fdopen(1, "w", encoding="utf-8", errors="surrogateescape", closefd=False)
    sys.stderr = os.fdopen(2, "w", encoding="utf-8", errors="backslashreplace", closefd=False)
    if first is not None:
        first()
    module, *before = program[1:]
    sys.argv = [module, *before, *arguments]
    if module == PROGRAM[1]:
        from reconciler.cli.main import program as whole

        whole()
    runpy.run_module(module, run_name="__main__", alter_sys=True)


# Asks the process of the tests for a run that writes where it would write itself.
_ASKING = """\
#!{python} -IS
import json, os, socket, sys
with socket.socket(socket.AF_UNIX) as asking:
    asking.connect({socket!r})
    asking.sendall(json.dumps([sys.argv[1:], dict(os.environ), os.getcwd(), os.getpid()]).encode() + b"\\n")
    sys.exit(int(asking.makefile().readline()))
"""


@contextmanager
def script(path: Path) -> Iterator[Path]:
    """Make ``path`` a program for shells that is run by forking, in their folder, with their environment; it works while the context lasts."""
    with tempfile.TemporaryDirectory() as folder:
        socket = f"{folder}/socket"
        with socketserver.ThreadingUnixStreamServer(socket, _Asked) as server:
            path.write_text(_ASKING.format(python=sys.executable, socket=socket))
            path.chmod(0o755)
            threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
            yield path
            server.shutdown()


class _Asked(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        arguments, environment, folder, pid = json.loads(self.rfile.readline())
        process = fork(arguments, environment, Path(folder), (Path(f"/proc/{pid}/fd/1"), Path(f"/proc/{pid}/fd/2")))
        process.join()
        self.wfile.write(f"{process.exitcode}\n".encode())
