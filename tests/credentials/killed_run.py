"""The program, killed when it notes what it has done: ``python -m tests.credentials.killed_run NUMBER before|after credentials …``.

NUMBER may be ``removal``: of the secret that waits for its archive.
"""

from __future__ import annotations

import itertools
import os
import signal
import sys
from typing import Any

from reconciler.cli.main import main
from reconciler.credentials.regeneration import journal
from reconciler.systems.host import LocalHost


def killed_at_a_note(number: int, when: str) -> None:
    """Its ``number``-th note is not made, or is its last act."""
    notes, rewritten = itertools.count(1), journal.rewritten

    def killed(*arguments: Any) -> Any:
        is_the_one = next(notes) == number
        if is_the_one and when == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        result = rewritten(*arguments)
        if is_the_one:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    vars(journal)["rewritten"] = killed


def killed_before_removal() -> None:
    """It never removes the secret that waits for its archive."""
    remove = LocalHost.remove

    def killed(self: LocalHost, path: str, **more: Any) -> None:
        if path.endswith(".bootstrapping"):
            os.kill(os.getpid(), signal.SIGKILL)
        remove(self, path, **more)

    setattr(LocalHost, "remove", killed)  # noqa: B010  # mypy allows no assignment


if __name__ == "__main__":
    what, when = sys.argv.pop(1), sys.argv.pop(1)
    if what == "removal":
        killed_before_removal()
    else:
        killed_at_a_note(int(what), when)
    sys.exit(main())
