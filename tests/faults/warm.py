"""Imported by the fork server, so that a run has nothing left to import or to build: what is made late to save a person's time is made here once."""

from __future__ import annotations

import gc

from reconciler.engine.observe import declare  # noqa: F401
from reconciler.engine.operations import Connections  # noqa: F401
from reconciler.kinds import all_kinds
from reconciler.manifest.loading import load
from tests.faults.example import EXAMPLE

load([EXAMPLE])
all_kinds()

# what is here now is not looked at again by the children's garbage collectors, which would copy its memory
gc.collect()
gc.freeze()
