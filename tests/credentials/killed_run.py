"""The program, killed when it notes what it has done: ``python -m tests.credentials.killed_run NUMBER before|after credentials …``."""

from __future__ import annotations

import itertools
import os
import signal
import sys
from typing import Any

from reconciler.cli.main import main
from reconciler.credentials.regeneration import journal

if __name__ == "__main__":
    number, when, notes = int(sys.argv.pop(1)), sys.argv.pop(1), itertools.count(1)
    rewritten = journal.rewritten

    def killed(*arguments: Any) -> Any:
        """Its ``number``-th note is not made, or is its last act."""
        is_the_one = next(notes) == number
        if is_the_one and when == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        result = rewritten(*arguments)
        if is_the_one:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    vars(journal)["rewritten"] = killed
    sys.exit(main())
