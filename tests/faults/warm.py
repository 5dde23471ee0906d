"""Imported by the fork server, so that a run has nothing left to import or to build: what is made late to save a person's time is made here once."""

from __future__ import annotations

import gc
import importlib

from reconciler.kinds import all_kinds
from reconciler.manifest.loading import load
from tests.faults.example import EXAMPLE

for module in (
    *("deepdiff.diff", "encodings.idna", "psycopg.rows"),
    *(
        "reconciler.cli.main",
        "reconciler.cli.apply",
        "reconciler.cli.destroy",
        "reconciler.cli.plan",
        "reconciler.cli.drift",
        "reconciler.cli.unlock",
    ),
    *("reconciler.engine.operations", "reconciler.report.json", "reconciler.report.outcome", "reconciler.report.text"),
):
    importlib.import_module(module)
load([EXAMPLE])
all_kinds()

# what is here now is not looked at again by the children's garbage collectors, which would copy its memory
gc.collect()
gc.freeze()
