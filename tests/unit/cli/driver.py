"""The program with operations that change nothing, for tests that need a process of its own: ``python -m tests.unit.cli.driver apply mesh.yaml``."""

from __future__ import annotations

import os
import sys

from reconciler.cli.main import main
from reconciler.engine import operations
from reconciler.engine.operations import Progress
from reconciler.model.outcome import ChangeOutcome, Outcome, Status
from tests.unit.report.samples import TYPICAL


def apply(connections, options, *, approve, progress, stop):
    """Asks as the real one does. With WAIT it then writes until it is told to stop, twice so that a second signal can be seen."""
    try:
        if not approve(TYPICAL):
            return TYPICAL, None
        for change in TYPICAL.changes:
            progress(Progress(change, "started"))
            progress(Progress(change, "applied", seconds=0.01))
        if "WAIT" in os.environ:
            print("writing", file=sys.stderr, flush=True)
            stop.wait(30)
            print("stopping", file=sys.stderr, flush=True)
            sys.stdin.readline()
        interrupted = stop.is_set()
        results = tuple(
            ChangeOutcome(c, Status.NOT_ATTEMPTED if interrupted else Status.APPLIED, "interrupted" * interrupted) for c in TYPICAL.changes
        )
        return TYPICAL, Outcome(results, stopped="interrupted" * interrupted, interrupted=interrupted)
    finally:
        print("lock released", file=sys.stderr, flush=True)


operations.apply = apply
operations.plan = lambda *_, **__: TYPICAL

if __name__ == "__main__":
    sys.exit(main())
