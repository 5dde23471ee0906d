"""Guessing what was meant by a name that does not exist."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence

from reconciler.manifest.mistake import Mistake, PathPart


def folded(name: str) -> str:
    """``name`` without case, ``_`` and ``-``: ``OnRemoval`` and ``on_removal`` are one."""
    return name.replace("_", "").replace("-", "").casefold()


def closest(name: str, known: Iterable[str]) -> str:
    """The known name that was probably meant, or ""."""
    names = list(known)
    same = [candidate for candidate in names if folded(candidate) == folded(name)]
    return (same or difflib.get_close_matches(name, names, 1, 0.6) or [""])[0]


def instead(name: str, known: Sequence[str]) -> str:
    """What to do about an unknown name: the closest one, or all there are."""
    guess = closest(name, known)
    if guess:
        return f"did you mean {guess}?"
    return f"write one of {', '.join(known)}" if known else "there is none yet: declare it, or remove this"


def unknown(name: str, known: Sequence[str], path: Sequence[PathPart] = (), noun: str = "key") -> Mistake:
    """The mistake of a name that is none of ``known``."""
    return Mistake(f"is an unknown {noun}", instead(name, known), path, at_key=True)
