"""Names of files on machines."""

from __future__ import annotations

import hashlib
from typing import Final

NAME_BYTES: Final = 255
_SUFFIX: Final = ".reconciler-new"


def temporary_name(name: str) -> str:
    """Where the file ``name`` is written before it is moved to its place: a hidden file beside it, always the same."""
    beside = f".{name}{_SUFFIX}"
    if len(beside.encode("utf-8", "surrogateescape")) <= NAME_BYTES:
        return beside
    return f".{hashlib.sha256(name.encode('utf-8', 'surrogateescape')).hexdigest()}{_SUFFIX}"
