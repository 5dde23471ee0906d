"""Colour, which repeats what the symbols say and never says anything alone."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Colour(StrEnum):
    """What a piece of text means, as the parameter of the ANSI sequence "select graphic rendition"."""

    ADDED = "32"
    REMOVED = "31"
    CHANGED = "33"
    TAKEN = "36"
    HEADING = "1"
    FAINT = "2"


@dataclass(frozen=True, slots=True)
class Paint:
    """Colours text, or leaves it as it is."""

    on: bool = False

    def __call__(self, text: str, colour: Colour) -> str:
        """``text`` in ``colour``, when colour is wanted at all."""
        return f"\x1b[{colour}m{text}\x1b[0m" if self.on and text else text


PLAIN = Paint()
