"""Gets actionlint, which checks workflows of GitHub Actions: from PATH, as built before, or built now (:mod:`tests.servers.go_programs`)."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from tests.servers.go_programs import GoProgram

VERSION = "1.7.12"
_PROGRAM = GoProgram(
    "actionlint", VERSION, "github.com/rhysd/actionlint/cmd/actionlint", Path(__file__).with_name(f"actionlint-{VERSION}"), 2**30, "about a minute"
)


def obtain() -> Path:
    """The binary. Raises NotBuilt."""
    on_path = shutil.which("actionlint")
    return Path(on_path) if on_path else _PROGRAM.build(_runs)


def _runs(binary: Path) -> bool:
    try:
        shown = subprocess.run([binary, "-version"], capture_output=True, text=True, timeout=60, check=False).stdout
    except (OSError, subprocess.TimeoutExpired):
        return False
    return bool(shown)


def main() -> int:
    """Get the binary and print its path."""
    print(obtain())
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
