"""The program, which waits only a moment until a node is a member: ``python -m tests.hosts.impatient apply …``."""

from __future__ import annotations

import sys

from reconciler.cli.main import main
from reconciler.credentials import joining

if __name__ == "__main__":
    vars(joining)["_TO_JOIN_S"] = 0.1
    sys.exit(main())
