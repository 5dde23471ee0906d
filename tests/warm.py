"""Imported by the fork server, so that a run has nothing left to import or to build: what is made late to save a person's time is made here once."""

from __future__ import annotations

import gc
import importlib
import pkgutil

import reconciler
from reconciler.kinds import all_kinds
from reconciler.manifest.loading import load_text

for found in pkgutil.walk_packages(reconciler.__path__, "reconciler."):
    importlib.import_module(found.name)
for module in ("cryptography.x509", "deepdiff.diff", "encodings.ascii", "encodings.idna", "encodings.utf_8_sig", "psycopg.rows", "structlog"):
    importlib.import_module(module)
load_text("version: 1\nname: warm\n")
all_kinds()

# what is here now is not looked at again by the children's garbage collectors, which would copy its memory
gc.collect()
gc.freeze()
